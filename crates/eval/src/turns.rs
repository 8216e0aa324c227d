//! Turns: how several contenders are timed so that their times can be compared.
//!
//! Four things make two equal programs look different on one machine, and each has its remedy here:
//!
//! - **The machine drifts.** All sessions take short turns in many rounds, in an order that is shuffled anew for
//!   each round; in its turn each makes the same calls as all others.
//! - **Memory lies somewhere.** The same file, opened again, has its weights at other addresses and may be some
//!   per cent faster or slower for as long as it is open. So a contender is not one session but several, and the
//!   first contender, which the others are compared with, has twice as many (see [`crate::speedup`]).
//! - **A clock has a resolution.** Calls shorter than [`SHORT`] are timed in groups of at least [`READING`], so that
//!   neither the clock's steps nor the time to read it show.
//! - **Caches are cold after another's turn.** A turn makes its calls twice, and the second time counts: what is
//!   measured is a model that is at work, not one that was just woken. Calls of more than 50 ms are made once: what
//!   they wait for is little of them.
//!
//! Turns are short and rounds many, because what other programs take comes in slices of milliseconds: a session
//! that is measured a hundred times for a tenth of a millisecond sees as much of it as every other session.
//!
//! This module refuses to compare: it gives times by session and round.

use crate::error::EvalError;
use crate::interval::quantile;
use nlpress_core::Seed;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// What a timed call returns: any number out of its result, so that the work cannot be optimised away.
pub type Outcome = Result<f32, Box<dyn Error + Send + Sync>>;

/// A call shorter than this is timed together with others.
pub const SHORT: Duration = Duration::from_micros(5);
/// Calls that are timed together take at least this long.
pub const READING: Duration = Duration::from_micros(20);
/// Where the fastest contender's call is longer than this, a turn is one call and one before it that does not count.
const LONG: Duration = Duration::from_millis(2);
/// Where it is longer than this, there is none before it: what caches lost is read again in a small part of it.
const LONGEST: Duration = Duration::from_millis(50);
/// A reading is at least so many steps of the clock.
const STEPS: u32 = 200;
/// Most calls of a reading; they take long enough on any clock that is worth the name.
const LARGEST_GROUP: usize = 1 << 14;
/// Readings of a turn: enough for a median.
const READINGS: usize = 3;
/// Fewest rounds, where nobody asks for another number.
const LEAST_ROUNDS: u32 = 9;
/// Most rounds that anyone may ask for.
pub const MOST_ROUNDS: usize = 10_000;

/// A clock that never goes back. Tests have one that stands still between calls.
pub trait Clock {
    /// Time since a moment that does not change.
    fn now(&self) -> Duration;

    /// The smallest step that the clock was seen to make.
    fn resolution(&self) -> Duration {
        let step = || {
            let start = self.now();
            // A clock that stands still would be waited for for ever.
            (0..1 << 16).map(|_| self.now()).find(|now| *now > start).map(|now| now - start)
        };
        (0..16).filter_map(|_| step()).min().unwrap_or_default()
    }
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(Instant);

impl SystemClock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Half of the calls take no longer.
    pub p50: f64,
    /// Nine in ten calls take no longer.
    pub p90: f64,
    /// 99 in a hundred calls take no longer.
    pub p99: f64,
}

impl Percentiles {
    /// Percentiles of latencies in microseconds, in any order.
    ///
    /// # Errors
    /// No latencies.
    pub fn of(mut latencies: Vec<f64>) -> Result<Self, EvalError> {
        if latencies.is_empty() {
            return Err(EvalError::Empty("latencies"));
        }
        latencies.sort_unstable_by(f64::total_cmp);
        let at = |q| quantile(&latencies, q);
        Ok(Self { p50: at(0.5), p90: at(0.9), p99: at(0.99) })
    }
}

/// How long to measure, and how often an artifact is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    most_rounds: usize,
    least_rounds: usize,
    calls: usize,
    budget: Duration,
    sessions: usize,
}

impl Default for Pace {
    /// 150 rounds of at least 6 calls, or of one where calls are long; or as many rounds from 9 on as fit into 5 seconds for each
    /// kind of call; 5 sessions of each artifact.
    fn default() -> Self {
        let budget = Duration::from_secs(5);
        Self { most_rounds: 150, least_rounds: LEAST_ROUNDS as usize, calls: 6, budget, sessions: 5 }
    }
}

impl Pace {
    /// To see that everything runs: 5 rounds, 3 sessions.
    #[must_use]
    pub fn quick() -> Self {
        let budget = Duration::from_millis(200);
        Self { most_rounds: 5, least_rounds: 5, calls: 6, budget, sessions: 3 }
    }

    /// Exactly so many rounds, however long they take.
    ///
    /// # Errors
    /// Fewer than 5 (quartiles would mean nothing) or more than [`MOST_ROUNDS`].
    pub fn with_rounds(self, rounds: usize) -> Result<Self, EvalError> {
        let name = "rounds";
        match rounds {
            0..5 => Err(EvalError::Setting { name, value: rounds, least: 5 }),
            r if r > MOST_ROUNDS => Err(EvalError::TooMany { name, value: r, most: MOST_ROUNDS }),
            rounds => Ok(Self { most_rounds: rounds, least_rounds: rounds, ..self }),
        }
    }

    /// At most so many sessions of each artifact, and at least two: fewer where artifacts are large.
    #[must_use]
    pub fn with_sessions_up_to(self, most: usize) -> Self {
        Self { sessions: self.sessions.min(most.max(2)), ..self }
    }

    /// Sessions of each artifact. The first artifact has twice as many, to be compared with itself.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions
    }

    /// How long a round may take for the fewest of them to fit into the budget; the same however many are asked for.
    pub(crate) fn longest_round(&self) -> Duration {
        self.budget / LEAST_ROUNDS
    }

    /// As many rounds as fit into the budget, within bounds.
    fn rounds(&self, one_round: Duration) -> usize {
        let fit = self.budget.as_secs_f64() / one_round.as_secs_f64().max(1e-9);
        (fit as usize).clamp(self.least_rounds, self.most_rounds)
    }
}

/// Something that takes turns, opened several times.
#[derive(Debug)]
pub struct Contender<S> {
    /// Its name, for errors.
    pub name: String,
    /// Its sessions: the same thing, opened again.
    pub sessions: Vec<S>,
}

/// The times of one contender in one kind of call.
#[derive(Clone, Debug, PartialEq)]
pub struct Times {
    /// Over all readings of all sessions and rounds. Where one contender's calls are short, all are timed in groups
    /// of as many calls, which count with their mean.
    pub percentiles: Percentiles,
    /// Microseconds of a call by session and round: the median of the readings of a turn.
    pub turns: Vec<Vec<f64>>,
}

impl Times {
    /// The times of calls that each did so many things, as times of one thing.
    pub(crate) fn divide(&mut self, things: f64) {
        let Percentiles { p50, p90, p99 } = &mut self.percentiles;
        [p50, p90, p99].into_iter().chain(self.turns.iter_mut().flatten()).for_each(|t| *t /= things);
    }
}

/// Which calls make a reading.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reading {
    /// As many calls as are long enough to be timed.
    Calls,
    /// One call, which is long.
    One,
}

/// Lets all sessions of all contenders take turns. The answer is in the contenders' order. `watch` is called before each
/// turn, and may stop it.
pub(crate) fn take_turns<F: FnMut(usize) -> Outcome>(
    contenders: &mut [Contender<F>],
    reading: Reading,
    (pace, clock): (Pace, &dyn Clock),
    seed: Seed,
    watch: &mut dyn FnMut() -> Result<(), EvalError>,
) -> Result<Vec<Times>, EvalError> {
    if contenders.is_empty() || contenders.iter().any(|c| c.sessions.is_empty()) {
        return Err(EvalError::Empty("subjects"));
    }
    let plan = Plan::of(contenders, reading, pace, clock, watch)?;
    let mut readings: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    let mut turns: Vec<Vec<Vec<f64>>> =
        contenders.iter().map(|c| vec![Vec::with_capacity(plan.rounds); c.sessions.len()]).collect();
    let mut order: Vec<(usize, usize)> = (0..contenders.len())
        .flat_map(|who| (0..contenders[who].sessions.len()).map(move |session| (who, session)))
        .collect();
    let began = clock.now();
    // Round 0 is not counted: every session has then been through all its memory once.
    for round in 0..=plan.rounds {
        // On a machine that others take most of, the rounds last longer than they were planned to.
        if round > pace.least_rounds && clock.now() - began > 2 * pace.budget {
            break;
        }
        seed.stream(round as u64).shuffle(&mut order);
        for &(who, session) in &order {
            watch()?;
            let Contender { name, sessions } = &mut contenders[who];
            let mut run = |call| {
                black_box(sessions[session](black_box(call))).map_err(|source| EvalError::Call {
                    subject: name.clone(),
                    call,
                    source,
                })
            };
            let first = round.saturating_sub(1) * plan.calls();
            let mut times = plan.turn(first, &mut run, clock)?;
            if round > 0 {
                readings[who].extend_from_slice(&times);
                times.sort_unstable_by(f64::total_cmp);
                turns[who][session].push(quantile(&times, 0.5));
            }
        }
    }
    let all = readings.into_iter().zip(turns);
    all.map(|(readings, turns)| Ok(Times { percentiles: Percentiles::of(readings)?, turns })).collect()
}

/// What every turn consists of, the same for all.
struct Plan {
    /// Calls of a block.
    group: usize,
    /// Blocks of a turn.
    blocks: usize,
    /// Whether all calls of a turn are made once before they count.
    warm: bool,
    rounds: usize,
}

impl Plan {
    /// Chooses the group by the fastest contender, and the number of rounds by how long one takes.
    fn of<F: FnMut(usize) -> Outcome>(
        contenders: &mut [Contender<F>],
        reading: Reading,
        pace: Pace,
        clock: &dyn Clock,
        watch: &mut dyn FnMut() -> Result<(), EvalError>,
    ) -> Result<Self, EvalError> {
        let step = clock.resolution() * STEPS;
        let short = SHORT.max(step);
        let mut took = Vec::new();
        for Contender { name, sessions } in contenders.iter_mut() {
            watch()?;
            let run = |call: usize| {
                let outcome = black_box(sessions[0](black_box(call)));
                outcome.map_err(|source| EvalError::Call { subject: name.clone(), call, source })
            };
            let least = if matches!(reading, Reading::One) { Duration::ZERO } else { READING.max(step) };
            took.push(length(run, least, clock)?);
        }
        let fastest = took.iter().copied().fold(f64::INFINITY, f64::min);
        let group = match reading {
            Reading::Calls if fastest < short.as_secs_f64() => {
                let calls = READING.max(step).as_secs_f64() / fastest.max(1e-10);
                (calls.ceil() as usize).clamp(1, LARGEST_GROUP)
            }
            _ => 1,
        };
        let (blocks, warm) = match reading {
            Reading::One => (1, false),
            Reading::Calls if fastest > LONG.as_secs_f64() => (1, fastest <= LONGEST.as_secs_f64()),
            Reading::Calls => (READINGS.max(pace.calls.div_ceil(group)), true),
        };
        let turns: f64 = took.iter().zip(contenders.iter()).map(|(t, c)| t * c.sessions.len() as f64).sum();
        let one_round =
            Duration::try_from_secs_f64(turns * (group * blocks * (1 + usize::from(warm))) as f64);
        let rounds = pace.rounds(one_round.unwrap_or(Duration::MAX));
        Ok(Self { group, blocks, warm, rounds })
    }

    fn calls(&self) -> usize {
        self.group * self.blocks
    }

    /// Microseconds of a call in every block. Who has long calls has no more readings of the clock in a block than
    /// who has short ones, for reading it takes time too.
    fn turn(
        &self,
        first: usize,
        run: &mut impl FnMut(usize) -> Result<f32, EvalError>,
        clock: &dyn Clock,
    ) -> Result<Vec<f64>, EvalError> {
        if self.warm {
            (first..first + self.calls()).try_for_each(|call| run(call).map(drop))?;
        }
        let block = |block: usize| {
            let from = first + block * self.group;
            let start = clock.now();
            (from..from + self.group).try_for_each(|call| run(call).map(drop))?;
            // A clock too coarse to see the calls must not make a ratio infinite.
            let time = (clock.now() - start).max(Duration::from_nanos(1));
            Ok(time.as_secs_f64() * 1e6 / self.group as f64)
        };
        (0..self.blocks).map(block).collect()
    }
}

/// Seconds of one call: of as many, doubled until they take at least so long. The least of three times, for another
/// program may have run in one.
fn length(
    mut run: impl FnMut(usize) -> Result<f32, EvalError>,
    least: Duration,
    clock: &dyn Clock,
) -> Result<f64, EvalError> {
    run(0)?;
    let mut calls = 1;
    loop {
        let mut shortest = Duration::MAX;
        for _ in 0..3 {
            let start = clock.now();
            (0..calls).try_for_each(|call| run(call).map(drop))?;
            shortest = shortest.min(clock.now() - start);
        }
        if shortest >= least || calls >= LARGEST_GROUP {
            return Ok(shortest.as_secs_f64() / calls as f64);
        }
        calls *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated::StandingClock;
    use std::cell::RefCell;

    fn calls<'a>(
        micros: &'a [f64],
        clock: &'a StandingClock,
        log: &'a RefCell<Vec<(usize, usize)>>,
    ) -> Vec<Contender<impl FnMut(usize) -> Outcome + 'a>> {
        let contender = |(who, micros): (usize, &'a f64)| Contender {
            name: who.to_string(),
            sessions: vec![move |call: usize| {
                log.borrow_mut().push((who, call));
                clock.pass(*micros);
                Ok(0.0)
            }],
        };
        micros.iter().enumerate().map(contender).collect()
    }

    #[test]
    fn short_calls_are_timed_in_groups_and_the_clock_does_not_show() {
        // A clock of whole microseconds, calls of 0.09 and of 0.7 µs.
        let clock = StandingClock::with_step(1.0);
        let log = RefCell::default();
        let mut both = calls(&[0.09, 0.7], &clock, &log);
        let times =
            take_turns(&mut both, Reading::Calls, (Pace::quick(), &clock), Seed(1), &mut || Ok(())).unwrap();
        for (times, true_micros) in times.iter().zip([0.09, 0.7]) {
            for turn in &times.turns[0] {
                assert!((turn / true_micros - 1.0).abs() < 0.006, "{turn} for {true_micros}");
            }
        }
    }

    #[test]
    fn a_hiccup_before_the_turns_changes_nothing() {
        // Another program runs while one of two equals is looked at first.
        let clock = StandingClock::default();
        let hiccups = RefCell::new(0);
        let contender = |unlucky: bool| {
            let (clock, hiccups) = (&clock, &hiccups);
            let call = move |_: usize| {
                if unlucky && *hiccups.borrow() < 40 {
                    *hiccups.borrow_mut() += 1;
                    clock.pass(if *hiccups.borrow() % 3 == 0 { 4_000.0 } else { 1.0 });
                } else {
                    clock.pass(1.0);
                }
                Ok(0.0)
            };
            Contender { name: unlucky.to_string(), sessions: vec![call] }
        };
        let mut both = vec![contender(false), contender(true)];
        let times =
            take_turns(&mut both, Reading::Calls, (Pace::quick(), &clock), Seed(1), &mut || Ok(())).unwrap();
        assert_eq!(times[0], times[1]);
        assert!((times[0].percentiles.p99 - 1.0).abs() < 1e-6, "{:?}", times[0].percentiles);
    }

    #[test]
    fn long_calls_are_timed_one_by_one() {
        let clock = StandingClock::default();
        let log = RefCell::default();
        let mut both = calls(&[7.0, 30.0], &clock, &log);
        let pace = Pace::quick();
        let times = take_turns(&mut both, Reading::Calls, (pace, &clock), Seed(1), &mut || Ok(())).unwrap();
        assert!((times[0].percentiles.p99 - 7.0).abs() < 1e-6, "{:?}", times[0].percentiles);
        assert!((times[1].percentiles.p50 - 30.0).abs() < 1e-6, "{:?}", times[1].percentiles);
        assert_eq!(times[0].turns[0].len(), 5);
    }

    #[test]
    fn long_calls_are_few() {
        // Four calls to see how long they take; then six rounds, the first of which does not count.
        for (micros, each) in [(1_500.0, 2 * 6), (3_000.0, 2), (60_000.0, 1)] {
            let (clock, log) = (StandingClock::default(), RefCell::default());
            let mut one = calls(std::slice::from_ref(&micros), &clock, &log);
            let pace = Pace::quick();
            let times =
                take_turns(&mut one, Reading::Calls, (pace, &clock), Seed(1), &mut || Ok(())).unwrap();
            assert!((times[0].percentiles.p50 - micros).abs() < 1e-6);
            assert_eq!(log.borrow().len(), 4 + 6 * each, "{micros}");
        }
    }

    #[test]
    fn who_watches_may_stop_it() {
        let (clock, log) = (StandingClock::default(), RefCell::default());
        let mut one = calls(&[10.0], &clock, &log);
        let mut heard = 0;
        let mut watch = || {
            heard += 1;
            if heard < 4 { Ok(()) } else { Err(EvalError::Stopped) }
        };
        let stopped = take_turns(&mut one, Reading::One, (Pace::quick(), &clock), Seed(1), &mut watch);
        assert!(matches!(stopped, Err(EvalError::Stopped)));
        // Four to see how long it takes, and two rounds.
        assert_eq!(log.borrow().len(), 4 + 2);
    }

    #[test]
    fn everyone_makes_the_same_calls_and_nobody_keeps_a_place() {
        let clock = StandingClock::default();
        let log = RefCell::default();
        let mut three = calls(&[10.0; 3], &clock, &log);
        let pace = Pace::quick().with_rounds(30).unwrap();
        take_turns(&mut three, Reading::One, (pace, &clock), Seed(1), &mut || Ok(())).unwrap();
        let log = log.borrow();
        // Four calls of each to see how long they take, a round that is not counted, then the rounds.
        let rounds: Vec<&[(usize, usize)]> = log[3 * 4 + 3..].chunks(3).collect();
        assert_eq!(rounds.len(), 30);
        let mut first = [0; 3];
        for (round, turns) in rounds.iter().enumerate() {
            assert!(turns.iter().all(|(_, call)| *call == round));
            let mut who: Vec<usize> = turns.iter().map(|(who, _)| *who).collect();
            first[who[0]] += 1;
            who.sort_unstable();
            assert_eq!(who, [0, 1, 2]);
        }
        assert!(first.iter().all(|times| *times >= 4), "{first:?}");
    }

    #[test]
    fn rounds_are_as_many_as_fit() {
        let pace = Pace::default();
        assert_eq!(pace.rounds(Duration::from_millis(1)), 150);
        assert_eq!(pace.rounds(Duration::from_millis(250)), 20);
        assert_eq!(pace.rounds(Duration::from_secs(100)), 9);
        assert_eq!(pace.rounds(Duration::ZERO), 150);
        assert_eq!(pace.with_rounds(8).unwrap().rounds(Duration::from_secs(100)), 8);
        assert_eq!(pace.with_rounds(4).unwrap_err().to_string(), "rounds is 4, must be at least 5");
        let error = pace.with_rounds(1_000_000_000_000).unwrap_err().to_string();
        assert_eq!(error, "rounds is 1000000000000, must be at most 10000");
        assert_eq!(pace.with_sessions_up_to(0).sessions(), 2);
        assert_eq!(pace.with_sessions_up_to(9).sessions(), 5);
    }

    #[test]
    fn rounds_end_where_they_take_too_long() {
        // Thirty times slower once the calls were looked at.
        let clock = StandingClock::default();
        let called = RefCell::new(0);
        let call = |_: usize| {
            *called.borrow_mut() += 1;
            clock.pass(if *called.borrow() <= 8 { 1_000.0 } else { 30_000.0 });
            Ok(0.0)
        };
        let mut one = vec![Contender { name: "x".into(), sessions: vec![call] }];
        let times =
            take_turns(&mut one, Reading::Calls, (Pace::default(), &clock), Seed(1), &mut || Ok(())).unwrap();
        // 12 calls of 30 ms a round, in twice 5 seconds; the first round does not count.
        assert_eq!(times[0].turns[0].len(), 28);
    }

    #[test]
    fn a_failed_call_is_no_measurement() {
        let clock = StandingClock::default();
        let fail = |call: usize| if call < 3 { Ok(0.0) } else { Err("out of rows".into()) };
        let mut one = vec![Contender { name: "x".into(), sessions: vec![fail] }];
        let error =
            take_turns(&mut one, Reading::One, (Pace::quick(), &clock), Seed(1), &mut || Ok(())).unwrap_err();
        assert_eq!(error.to_string(), "x: call 3 failed: out of rows");
        one.clear();
        assert!(
            take_turns(&mut one, Reading::One, (Pace::quick(), &clock), Seed(1), &mut || Ok(())).is_err()
        );
    }

    #[test]
    fn percentiles_lie_where_they_must() {
        let p = Percentiles::of((0..=100).rev().map(f64::from).collect()).unwrap();
        assert_eq!((p.p50, p.p90, p.p99), (50.0, 90.0, 99.0));
        assert!(Percentiles::of(Vec::new()).is_err());
    }

    #[test]
    fn the_clock_goes_on() {
        let clock = SystemClock::start();
        let step = clock.resolution();
        assert!(step > Duration::ZERO && clock.now() >= step);
    }
}
