//! Latencies and throughput of several subjects, side by side.
//!
//! A machine's speed drifts while it is measured, so two subjects that are timed one after the other cannot be
//! compared. Here all subjects take turns in many short rounds, in an order that rotates, and the ratio of two
//! subjects is taken within each round, where both saw the same machine; what is reported is the median of
//! these ratios and their quartiles.

use crate::error::{EvalError, check_length};
use crate::interval::quantile;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// What a timed call returns: any number out of its result, so that the work cannot be optimised away.
pub type Outcome = Result<f32, Box<dyn Error + Send + Sync>>;

/// How many rows [`Subject::batch`] is asked for.
pub const BATCH: usize = 32;

/// Something whose speed is measured. Calls are numbered from 0; which document a number means is the subject's
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

    /// Predicts one raw text, from characters to logits; `None` (the default) where the subject reads no text.
    fn text(&mut self, call: usize) -> Option<Outcome> {
        let _ = call;
        None
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

/// A ratio that was taken once a round: its median over the rounds, and its quartiles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// Half of the rounds lie below.
    pub median: f64,
    /// A quarter of the rounds lies below.
    pub q1: f64,
    /// A quarter of the rounds lies above.
    pub q3: f64,
}

/// How long to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    rounds: usize,
    singles: usize,
    batches: usize,
}

impl Default for Pace {
    /// 15 rounds of 200 single calls and 20 batches.
    fn default() -> Self {
        Self { rounds: 15, singles: 200, batches: 20 }
    }
}

impl Pace {
    /// `rounds` rounds, in each of which every subject makes `singles` single calls and `batches` batches.
    ///
    /// # Errors
    /// Fewer than 5 rounds (quartiles would mean nothing), or no calls.
    pub fn new(rounds: usize, singles: usize, batches: usize) -> Result<Self, EvalError> {
        for (name, value, least) in [("rounds", rounds, 5), ("singles", singles, 1), ("batches", batches, 1)]
        {
            if value < least {
                return Err(EvalError::Setting { name, value, least });
            }
        }
        Ok(Self { rounds, singles, batches })
    }
}

/// The latencies of one subject in one kind of call.
#[derive(Clone, Debug, PartialEq)]
pub struct Times {
    /// Over all calls of all rounds.
    pub percentiles: Percentiles,
    /// The median latency of every round, in microseconds.
    pub round_medians: Vec<f64>,
}

impl Times {
    /// How many times faster this is than `other`, which must have run in the same rounds.
    ///
    /// # Errors
    /// Numbers of rounds that differ, or no rounds.
    pub fn speedup_over(&self, other: &Times) -> Result<Ratio, EvalError> {
        check_length("rounds", other.round_medians.len(), self.round_medians.len())?;
        if self.round_medians.is_empty() {
            return Err(EvalError::Empty("rounds"));
        }
        let mut ratios: Vec<f64> =
            other.round_medians.iter().zip(&self.round_medians).map(|(theirs, ours)| theirs / ours).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        let at = |q| quantile(&ratios, q);
        Ok(Ratio { median: at(0.5), q1: at(0.25), q3: at(0.75) })
    }
}

/// Everything that was timed for one subject.
#[derive(Clone, Debug, PartialEq)]
pub struct Timing {
    /// The subject's name.
    pub name: String,
    /// One row of features a call.
    pub one: Times,
    /// [`BATCH`] rows of features a call.
    pub batch: Times,
    /// One raw text a call, where the subject reads text.
    pub text: Option<Times>,
}

/// Times all subjects side by side; the answer is in their order.
///
/// # Errors
/// No subjects, or a call that fails.
pub fn compare(subjects: &mut [(String, &mut dyn Subject)], pace: Pace) -> Result<Vec<Timing>, EvalError> {
    let names: Vec<String> = subjects.iter().map(|(name, _)| name.clone()).collect();
    let one = {
        let calls = subjects.iter_mut().map(|(_, s)| move |i| s.one(i));
        race(&names, &mut calls.collect::<Vec<_>>(), pace.rounds, pace.singles)?
    };
    let batch = {
        let calls = subjects.iter_mut().map(|(_, s)| move |i| s.batch(i));
        race(&names, &mut calls.collect::<Vec<_>>(), pace.rounds, pace.batches)?
    };
    let reads: Vec<bool> = subjects.iter_mut().map(|(_, s)| s.text(0).is_some()).collect();
    let mut text = if reads.contains(&true) {
        let readers = subjects.iter_mut().zip(&reads).filter(|(_, reads)| **reads).map(|(s, _)| s);
        let names: Vec<String> =
            names.iter().zip(&reads).filter(|(_, r)| **r).map(|(n, _)| n.clone()).collect();
        let calls = readers
            .map(|(_, s)| move |i| s.text(i).unwrap_or_else(|| Err("reads text in some calls only".into())));
        race(&names, &mut calls.collect::<Vec<_>>(), pace.rounds, pace.singles)?
    } else {
        Vec::new()
    }
    .into_iter();
    let timings = names.into_iter().zip(one).zip(batch).zip(reads).map(|(((name, one), batch), reads)| {
        Timing { name, one, batch, text: if reads { text.next() } else { None } }
    });
    Ok(timings.collect())
}

/// Times closures side by side: `calls` calls of each in every one of `rounds` rounds, after one round of
/// warm-up that is not counted. The answer is in the closures' order.
///
/// # Errors
/// No closures, as many names as closures not given, no rounds or calls, or a call that fails.
pub fn race<F: FnMut(usize) -> Outcome>(
    names: &[String],
    subjects: &mut [F],
    rounds: usize,
    calls: usize,
) -> Result<Vec<Times>, EvalError> {
    if subjects.is_empty() {
        return Err(EvalError::Empty("subjects"));
    }
    check_length("names", subjects.len(), names.len())?;
    for (name, value) in [("rounds", rounds), ("calls", calls)] {
        if value == 0 {
            return Err(EvalError::Setting { name, value, least: 1 });
        }
    }
    let many = subjects.len();
    let mut latencies = vec![Vec::new(); many];
    let mut medians = vec![Vec::new(); many];
    for (name, subject) in names.iter().zip(subjects.iter_mut()) {
        run(name, subject, 0, calls, &mut Vec::new())?;
    }
    for round in 0..rounds {
        for turn in 0..many {
            let who = (round + turn) % many;
            let mut times = Vec::with_capacity(calls.min(1 << 16));
            run(&names[who], &mut subjects[who], round * calls, calls, &mut times)?;
            latencies[who].extend_from_slice(&times);
            times.sort_unstable_by(f64::total_cmp);
            medians[who].push(quantile(&times, 0.5));
        }
    }
    let all = latencies.into_iter().zip(medians);
    all.map(|(l, round_medians)| Ok(Times { percentiles: Percentiles::of(l)?, round_medians })).collect()
}

/// Rows a second on `threads` threads. `pass(threads)` does a whole pass on so many threads and says how many
/// rows it did; passes are repeated, after one that is not counted, until there were three and `at_least` has
/// gone by, and the median of their rates is the answer.
///
/// # Errors
/// No threads, a pass that fails, or one that does no rows.
pub fn throughput(
    name: &str,
    threads: usize,
    at_least: Duration,
    mut pass: impl FnMut(usize) -> Result<usize, Box<dyn Error + Send + Sync>>,
) -> Result<f64, EvalError> {
    if threads == 0 {
        return Err(EvalError::Setting { name: "threads", value: 0, least: 1 });
    }
    let mut rates = Vec::new();
    let mut run = |call| {
        let start = Instant::now();
        let rows = pass(threads).map_err(|source| EvalError::Call { subject: name.into(), call, source })?;
        let time = start.elapsed().max(Duration::from_nanos(1));
        if rows == 0 { Err(EvalError::Empty("rows")) } else { Ok(rows as f64 / time.as_secs_f64()) }
    };
    run(0)?;
    let start = Instant::now();
    while rates.len() < 3 || start.elapsed() < at_least {
        rates.push(run(rates.len() + 1)?);
    }
    rates.sort_unstable_by(f64::total_cmp);
    Ok(quantile(&rates, 0.5))
}

fn run(
    name: &str,
    subject: &mut impl FnMut(usize) -> Outcome,
    first: usize,
    calls: usize,
    times: &mut Vec<f64>,
) -> Result<(), EvalError> {
    for call in first..first + calls {
        let start = Instant::now();
        let outcome = black_box(subject(black_box(call)));
        // A clock too coarse to see the call must not make a ratio infinite.
        let time = start.elapsed().max(Duration::from_nanos(1));
        outcome.map_err(|source| EvalError::Call { subject: name.into(), call, source })?;
        times.push(time.as_secs_f64() * 1e6);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    struct Sleeper {
        micros: u64,
        reads: bool,
    }

    impl Subject for Sleeper {
        fn one(&mut self, _: usize) -> Outcome {
            spin(self.micros)
        }

        fn batch(&mut self, _: usize) -> Outcome {
            spin(4 * self.micros)
        }

        fn text(&mut self, _: usize) -> Option<Outcome> {
            self.reads.then(|| spin(2 * self.micros))
        }
    }

    fn spin(micros: u64) -> Outcome {
        let start = Instant::now();
        while start.elapsed() < Duration::from_micros(micros) {
            std::hint::spin_loop();
        }
        Ok(1.0)
    }

    #[test]
    fn finds_the_ratio_of_two_speeds() {
        let mut slow = Sleeper { micros: 80, reads: true };
        let mut fast = Sleeper { micros: 20, reads: false };
        let mut subjects: Vec<(String, &mut dyn Subject)> =
            vec![("slow".into(), &mut slow), ("fast".into(), &mut fast)];
        let t = compare(&mut subjects, Pace::new(5, 40, 10).unwrap()).unwrap();
        assert_eq!((t[0].name.as_str(), t[1].name.as_str()), ("slow", "fast"));
        for (slow, fast) in [(&t[0].one, &t[1].one), (&t[0].batch, &t[1].batch)] {
            let r = fast.speedup_over(slow).unwrap();
            assert!((2.5..6.0).contains(&r.median) && r.q1 <= r.median && r.median <= r.q3, "{r:?}");
        }
        assert!(t[0].one.percentiles.p50 >= 80.0 && t[0].batch.percentiles.p50 >= 320.0);
        assert!(t[0].text.as_ref().unwrap().percentiles.p50 >= 160.0 && t[1].text.is_none());
        assert_eq!(t[0].one.round_medians.len(), 5);
    }

    #[test]
    fn takes_turns_and_nobody_is_always_first() {
        let order = RefCell::new(Vec::new());
        let note = |who: char| {
            let order = &order;
            move |call: usize| {
                order.borrow_mut().push((who, call));
                Ok(0.0)
            }
        };
        let mut subjects: Vec<Box<dyn FnMut(usize) -> Outcome + '_>> =
            vec![Box::new(note('a')), Box::new(note('b')), Box::new(note('c'))];
        let names = ["a", "b", "c"].map(String::from);
        race(&names, &mut subjects, 3, 1).unwrap();
        drop(subjects);
        let turns: String = order.borrow().iter().map(|(who, _)| *who).collect();
        assert_eq!(turns, "abcabcbcacab");
        let calls: Vec<usize> = order.borrow().iter().skip(3).map(|(_, call)| *call).collect();
        assert_eq!(calls, [0, 0, 0, 1, 1, 1, 2, 2, 2]);
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        let times = |m: &[f64]| Times { percentiles: Percentiles::default(), round_medians: m.to_vec() };
        // The machine slows down tenfold half-way; the ratio does not notice.
        let parent = times(&[2.0, 2.0, 20.0, 20.0]);
        let variant = times(&[1.0, 1.0, 10.0, 10.0]);
        assert_eq!(variant.speedup_over(&parent).unwrap(), Ratio { median: 2.0, q1: 2.0, q3: 2.0 });
        assert!(
            variant.speedup_over(&times(&[1.0])).is_err() && times(&[]).speedup_over(&times(&[])).is_err()
        );
    }

    #[test]
    fn a_failed_call_is_no_measurement() {
        let mut calls = [|i: usize| if i < 3 { Ok(0.0) } else { Err("out of rows".into()) }];
        let error = race(&["x".to_owned()], &mut calls, 5, 2).unwrap_err();
        assert_eq!(error.to_string(), "x: call 3 failed");
        assert_eq!(error.source().unwrap().to_string(), "out of rows");
        assert!(throughput("x", 2, Duration::ZERO, |_| Err("no".into())).is_err());
        assert!(throughput("x", 2, Duration::ZERO, |_| Ok(0)).is_err());
        assert!(throughput("x", 0, Duration::ZERO, |_| Ok(1)).is_err());
    }

    #[test]
    fn throughput_counts_rows_in_a_second() {
        let rate = throughput("x", 2, Duration::from_millis(5), |threads| {
            spin(500)?;
            Ok(50 * threads)
        })
        .unwrap();
        assert!((50_000.0..=200_000.0).contains(&rate), "{rate}");
    }

    #[test]
    fn percentiles_and_settings_are_checked() {
        let p = Percentiles::of((0..=100).rev().map(f64::from).collect()).unwrap();
        assert_eq!((p.p50, p.p90, p.p99), (50.0, 90.0, 99.0));
        assert!(Percentiles::of(Vec::new()).is_err());
        assert_eq!(Pace::new(4, 1, 1).unwrap_err().to_string(), "rounds is 4, must be at least 5");
        assert!(Pace::new(5, 0, 1).is_err() && Pace::new(5, 1, 0).is_err());
        let none: &mut [fn(usize) -> Outcome] = &mut [];
        assert!(race(&[], none, 5, 1).is_err());
    }
}
