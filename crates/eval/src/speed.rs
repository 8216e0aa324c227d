//! Latency and throughput of several artifacts, side by side.
//!
//! Everything that is measured takes turns ([`crate::turns`]): one text, a row of features, [`BATCH`] rows, and a
//! pass over many texts on one thread and on several. What the times say about two artifacts is
//! [`crate::speedup`]'s affair.

use crate::error::EvalError;
use crate::speedup::{Floor, Race, Ratio};
use crate::turns::{Clock, Contender, Outcome, Pace, Percentiles, Reading, Times, take_turns};
use nlpress_core::Seed;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

/// Sessions of an artifact that make passes; the first artifact has twice as many. A session keeps the threads that it
/// started, so that many sessions would keep many.
const PASSING: usize = 2;

/// A pass is over so many texts for each thread at least, if there are as many: then every thread has several together.
const LEAST_TEXTS: usize = 32;

/// How many rows [`Subject::batch`] is asked for.
pub const BATCH: usize = 32;

/// A session whose speed is measured. Calls are numbered from 0; which document a number means is the subject's
/// affair, but it should be the same one for every subject.
pub trait Subject {
    /// Predicts one row of features.
    ///
    /// # Errors
    /// Whatever keeps it from predicting: the measurement stops.
    fn one(&mut self, call: usize) -> Outcome;

    /// Predicts [`BATCH`] rows of features at once.
    ///
    /// # Errors
    /// As [`Subject::one`].
    fn batch(&mut self, call: usize) -> Outcome;

    /// Predicts one raw text, from characters to its class.
    ///
    /// # Errors
    /// As [`Subject::one`].
    fn text(&mut self, call: usize) -> Outcome;

    /// Predicts many raw texts, the same ones each time and `most` at most, on so many threads; how many they were.
    ///
    /// # Errors
    /// As [`Subject::one`].
    fn pass(&mut self, threads: usize, most: usize) -> Result<usize, Box<dyn Error + Send + Sync>>;
}

/// One kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// One raw text, from characters to its class.
    Text,
    /// One row of features.
    Row,
    /// [`BATCH`] rows of features.
    Batch,
    /// Many raw texts on so many threads.
    Pass(usize),
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("from text to answer"),
            Self::Row => f.write_str("the network on one row"),
            Self::Batch => write!(f, "the network on {BATCH} rows"),
            Self::Pass(1) => f.write_str("texts a second on one thread"),
            Self::Pass(n) => write!(f, "texts a second on {n} threads"),
        }
    }
}

/// What was measured of several artifacts.
#[derive(Debug)]
pub struct Speeds {
    races: BTreeMap<Call, Race>,
}

impl Speeds {
    /// Times all contenders side by side in every kind of call; passes on each of these numbers of threads. The
    /// first contender should have twice as many sessions as the others. `watch` hears what is timed, before each turn, and
    /// may stop it.
    ///
    /// # Errors
    /// No contenders, one without sessions, a call that fails, or what `watch` says.
    pub fn measure<S: Subject>(
        contenders: &mut [Contender<S>],
        threads: &[usize],
        pace: Pace,
        clock: &dyn Clock,
        mut watch: impl FnMut(Call) -> Result<(), EvalError>,
    ) -> Result<Self, EvalError> {
        let mut races: BTreeMap<Call, Race> = BTreeMap::new();
        let passes = threads.iter().map(|n| Call::Pass(*n));
        for call in [Call::Text, Call::Row, Call::Batch].into_iter().chain(passes) {
            // So many texts that all of them, answered by everyone, take a round.
            let most = match (call, races.get(&Call::Text)) {
                (Call::Pass(threads), Some(race)) => {
                    let text = |(who, of): (usize, &Contender<S>)| {
                        let sessions = of.sessions.len().min(passing(who));
                        race.times(who).percentiles.p50 * sessions as f64 / threads as f64
                    };
                    let all: f64 = contenders.iter().enumerate().map(text).sum();
                    let fit = (pace.longest_round().as_secs_f64() * 1e6 / all) as usize;
                    fit.max(LEAST_TEXTS * threads)
                }
                _ => usize::MAX,
            };
            let times = times(contenders, call, most, (pace, clock), &mut watch)?;
            races.insert(call, Race::new(times)?);
        }
        Ok(Self { races })
    }

    /// Microseconds of a call of this kind; of a pass, of one text of it.
    #[must_use]
    pub fn percentiles(&self, who: usize, call: Call) -> Option<Percentiles> {
        self.races.get(&call).map(|race| race.times(who).percentiles)
    }

    /// Texts a second, by the number of threads.
    #[must_use]
    pub fn rates(&self, who: usize) -> BTreeMap<String, f64> {
        let rate = |(call, race): (&Call, &Race)| match call {
            Call::Pass(threads) => Some((threads.to_string(), 1e6 / race.times(who).percentiles.p50)),
            _ => None,
        };
        self.races.iter().filter_map(rate).collect()
    }

    /// How many times faster `who` is than `over` in this kind of call, as one of `among` ratios of a report.
    #[must_use]
    pub fn speedup(&self, call: Call, who: usize, over: usize, among: usize) -> Option<Ratio> {
        self.races.get(&call).map(|race| race.speedup(who, over, among))
    }

    /// [`Speeds::speedup`] of the passes, by the number of threads.
    #[must_use]
    pub fn rate_speedups(&self, who: usize, over: usize, among: usize) -> BTreeMap<String, Ratio> {
        let ratio = |(call, race): (&Call, &Race)| match call {
            Call::Pass(threads) => Some((threads.to_string(), race.speedup(who, over, among))),
            _ => None,
        };
        self.races.iter().filter_map(ratio).collect()
    }

    /// How far an artifact, opened again, differed from itself in this kind of call.
    #[must_use]
    pub fn floor(&self, call: Call) -> Option<Floor> {
        self.races.get(&call)?.floor()
    }

    /// The kinds of call that were measured.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.races.keys().copied().collect()
    }

    /// How many kinds of call there are.
    #[must_use]
    pub fn kinds(&self) -> usize {
        self.races.len()
    }
}

/// Sessions of a contender that make passes.
fn passing(who: usize) -> usize {
    if who == 0 { 2 * PASSING } else { PASSING }
}

fn times<S: Subject>(
    contenders: &mut [Contender<S>],
    call: Call,
    most: usize,
    (pace, clock): (Pace, &dyn Clock),
    watch: &mut impl FnMut(Call) -> Result<(), EvalError>,
) -> Result<Vec<Times>, EvalError> {
    watch(call)?;
    let seed = Seed(0).derive(&format!("turns of {call:?}"));
    let mut texts = 1;
    if let (Call::Pass(threads), Some(Contender { name, sessions })) = (call, contenders.first_mut())
        && let Some(session) = sessions.first_mut()
    {
        let failed = |source| EvalError::Call { subject: name.clone(), call: 0, source };
        texts = session.pass(threads, most).map_err(failed)?;
        if texts == 0 {
            return Err(EvalError::Empty("texts"));
        }
    }
    let is_pass = matches!(call, Call::Pass(_));
    let mut callers: Vec<Contender<_>> = (contenders.iter_mut().enumerate())
        .map(|(who, Contender { name, sessions })| {
            let some = sessions.iter_mut().take(if is_pass { passing(who) } else { usize::MAX });
            let sessions = some.map(|s| move |n| answer(s, call, n, texts)).collect();
            Contender { name: name.clone(), sessions }
        })
        .collect();
    let reading = if is_pass { Reading::One } else { Reading::Calls };
    let mut times = take_turns(&mut callers, reading, (pace, clock), seed, &mut || watch(call))?;
    for time in &mut times {
        time.divide(texts as f64);
    }
    Ok(times)
}

/// One call; a pass must be over as many texts as everyone's.
fn answer<S: Subject>(session: &mut S, call: Call, n: usize, texts: usize) -> Outcome {
    match call {
        Call::Text => session.text(n),
        Call::Row => session.one(n),
        Call::Batch => session.batch(n),
        Call::Pass(threads) => match session.pass(threads, texts)? {
            found if found == texts => Ok(found as f32),
            found => Err(format!("a pass was over {found} texts, the first over {texts}").into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated::StandingClock;
    use std::cell::Cell;

    struct Steady<'a> {
        clock: &'a StandingClock,
        micros: f64,
        texts: usize,
        /// Over how many texts the last pass was.
        passed: &'a Cell<usize>,
    }

    impl Subject for Steady<'_> {
        fn one(&mut self, _: usize) -> Outcome {
            self.clock.pass(self.micros);
            Ok(1.0)
        }

        fn batch(&mut self, _: usize) -> Outcome {
            self.clock.pass(20.0 * self.micros);
            Ok(1.0)
        }

        fn text(&mut self, _: usize) -> Outcome {
            self.clock.pass(10.0 + self.micros);
            Ok(1.0)
        }

        fn pass(&mut self, threads: usize, most: usize) -> Result<usize, Box<dyn Error + Send + Sync>> {
            let texts = self.texts.min(most);
            self.passed.set(texts);
            self.clock.pass(texts as f64 * (10.0 + self.micros) / threads as f64);
            Ok(texts)
        }
    }

    fn contenders<'a>(
        clock: &'a StandingClock,
        passed: &'a Cell<usize>,
        all: &[(f64, usize)],
    ) -> Vec<Contender<Steady<'a>>> {
        let contender = |(who, (micros, texts)): (usize, &(f64, usize))| {
            let open = |_| Steady { clock, micros: *micros, texts: *texts, passed };
            Contender { name: who.to_string(), sessions: (0..3).map(open).collect() }
        };
        all.iter().enumerate().map(contender).collect()
    }

    #[test]
    fn every_kind_of_call_has_its_own_ratio() {
        let (clock, passed) = (StandingClock::default(), Cell::default());
        let mut two = contenders(&clock, &passed, &[(8.0, 100), (2.0, 100)]);
        let mut seen = Vec::new();
        let watch = |call| {
            if seen.last() != Some(&call) {
                seen.push(call);
            }
            Ok(())
        };
        let speeds = Speeds::measure(&mut two, &[1, 2], Pace::quick(), &clock, watch).unwrap();
        assert_eq!(seen, [Call::Text, Call::Row, Call::Batch, Call::Pass(1), Call::Pass(2)]);
        assert_eq!(speeds.kinds(), 5);
        let ratio = |call| speeds.speedup(call, 1, 0, 1).unwrap().median;
        for (call, expected) in [
            (Call::Text, 1.5),
            (Call::Row, 4.0),
            (Call::Batch, 4.0),
            (Call::Pass(1), 1.5),
            (Call::Pass(2), 1.5),
        ] {
            assert!((ratio(call) - expected).abs() < 0.01, "{call:?}: {}", ratio(call));
        }
        let rates = speeds.rates(1);
        assert!(
            (rates["1"] - 1e6 / 12.0).abs() < 10.0 && (rates["2"] - 2e6 / 12.0).abs() < 10.0,
            "{rates:?}"
        );
        assert!((speeds.percentiles(0, Call::Batch).unwrap().p90 - 160.0).abs() < 0.1);
        assert!(speeds.floor(Call::Row).unwrap().reopened < 1.001);
        assert_eq!(speeds.rate_speedups(1, 0, 1).len(), 2);
    }

    #[test]
    fn passes_of_slow_models_are_over_fewer_texts() {
        // A ninth of five seconds for five sessions that pass, three of the first and two of the second: 111 texts of a
        // millisecond, and the fewest of ten milliseconds.
        let expected = [(990.0, 1, 111), (990.0, 2, 222), (9_990.0, 1, 32), (9_990.0, 2, 64), (1.0, 1, 512)];
        for (micros, threads, texts) in expected {
            for rounds in [5, 40] {
                let (clock, passed) = (StandingClock::default(), Cell::default());
                let mut two = contenders(&clock, &passed, &[(micros, 512), (micros, 512)]);
                let pace = Pace::default().with_rounds(rounds).unwrap();
                let speeds = Speeds::measure(&mut two, &[threads], pace, &clock, |_| Ok(())).unwrap();
                assert_eq!(passed.get(), texts, "{micros} µs, {threads} threads, {rounds} rounds");
                let rate = speeds.rates(0)[&threads.to_string()];
                assert!((rate * (10.0 + micros) / 1e6 / threads as f64 - 1.0).abs() < 1e-3, "{rate}");
            }
        }
    }

    #[test]
    fn passes_over_other_texts_or_none_are_refused() {
        let (clock, passed) = (StandingClock::default(), Cell::default());
        let mut watch = |_| Ok(());
        let mut other = contenders(&clock, &passed, &[(8.0, 100), (2.0, 90)]);
        let error = Speeds::measure(&mut other, &[1], Pace::quick(), &clock, &mut watch).unwrap_err();
        assert_eq!(error.to_string(), "1: call 0 failed: a pass was over 90 texts, the first over 100");
        let mut none = contenders(&clock, &passed, &[(8.0, 0)]);
        assert!(Speeds::measure(&mut none, &[1], Pace::quick(), &clock, &mut watch).is_err());
        let mut stop = |_| Err(EvalError::Empty("patience"));
        assert!(Speeds::measure(&mut none, &[1], Pace::quick(), &clock, &mut stop).is_err());
    }
}
