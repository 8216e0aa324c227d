//! Which candidate to ship.

use serde::Serialize;

use crate::limits::Limits;
use crate::trial::Trial;

/// Points that may be lost where nothing is said.
pub(crate) const USUAL_DROP: f64 = 1.0;

/// Candidates are alike when their scores differ by no more than this share of the standard error of the difference: with
/// many documents to choose by, and with few.
const ALIKE: [f64; 2] = [0.25, 1.0];

/// So few documents to choose by, all folds together, that among those that cannot be told apart the smaller is preferred.
const FEW: usize = 500;

/// Share of a limit on latency that is used, because the next measurement will differ a little.
pub(crate) const LATENCY_USED: f64 = 0.9;

/// A candidate chosen, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// Its place among the trials.
    pub trial: usize,
    /// The limits that it misses, each in words; none when it keeps all.
    pub missed: Vec<String>,
    /// Why it was chosen.
    pub why: String,
}

/// The candidates that no other beats in size and quality, smallest first.
pub fn frontier(trials: &[Trial]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..trials.len()).collect();
    order.sort_by(|&a, &b| {
        (trials[a].bytes.cmp(&trials[b].bytes))
            .then(trials[b].score.total_cmp(&trials[a].score))
            .then(a.cmp(&b))
    });
    let mut best = f64::NEG_INFINITY;
    order.retain(|&i| {
        let better = trials[i].score > best;
        best = best.max(trials[i].score);
        better
    });
    order
}

/// How far a limit is missed, as a factor; at most 1 where it is kept.
fn misses(trial: &Trial, limits: &Limits, best: f64) -> [f64; 3] {
    let of = |value: f64, limit: Option<f64>| limit.map_or(0.0, |limit| value / limit);
    let drop = (100.0 * (best - trial.score)).max(0.0);
    let drop =
        limits.max_drop.map_or(0.0, |most| if drop <= most { 0.0 } else { 1.0 + (drop - most) / 10.0 });
    [
        of(trial.bytes as f64, limits.max_bytes.map(|b| b as f64)),
        of(trial.latency_us, limits.max_latency_us.map(|us| LATENCY_USED * us)),
        drop,
    ]
}

/// Whether a candidate keeps the limits on size and latency.
pub(crate) fn fits(trial: &Trial, limits: &Limits) -> bool {
    misses(trial, &Limits { max_drop: None, ..*limits }, 0.0).iter().all(|m| *m <= 1.0)
}

/// The standard error of the difference of two candidates' scores, from the documents that both answered.
pub(crate) fn error_of_difference(a: &Trial, b: &Trial) -> f64 {
    let n = a.correct.len().min(b.correct.len());
    if n < 2 {
        return 0.0;
    }
    let differences = a.correct.iter().zip(&b.correct).map(|(a, b)| a - b);
    let mean = differences.clone().sum::<f64>() / n as f64;
    let variance = differences.map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
    (variance / n as f64).sqrt()
}

/// The candidate to ship, of those in `among`.
///
/// With a bound on the drop (or no limit at all: one point), the smallest file within it. With other limits only,
/// the best that keeps them, or a smaller one that is not told apart from it: within a quarter of the standard error of
/// the difference, within one where there are few documents. Where none keeps the limits, the one that misses them by least.
pub fn choose(trials: &[Trial], among: &[usize], limits: &Limits) -> Option<Choice> {
    let best = among.iter().map(|&i| trials[i].score).fold(f64::NEG_INFINITY, f64::max);
    let unlimited = *limits == Limits::default();
    let limits = Limits { max_drop: limits.max_drop.or(unlimited.then_some(USUAL_DROP)), ..*limits };
    let worst = |i: usize| misses(&trials[i], &limits, best).into_iter().fold(0.0, f64::max);
    let fitting: Vec<usize> = among.iter().copied().filter(|&i| worst(i) <= 1.0).collect();
    if fitting.is_empty() {
        let nearest = among.iter().copied().min_by(|&a, &b| worst(a).total_cmp(&worst(b)))?;
        let missed = told_misses(&trials[nearest], &limits, best);
        return Some(Choice {
            trial: nearest,
            missed,
            why: "no candidate keeps the limits; it is the nearest".into(),
        });
    }
    let smallest = |of: &[usize]| {
        let key = |&i: &usize| (trials[i].bytes, std::cmp::Reverse((1e9 * trials[i].score) as i64), i);
        of.iter().copied().min_by_key(|i| key(i))
    };
    if let Some(drop) = limits.max_drop {
        let trial = smallest(&fitting)?;
        let points = if drop == 1.0 { "1 point".to_owned() } else { format!("{drop} points") };
        let why = format!("the smallest file within {points} of the best model found");
        return Some(Choice { trial, missed: Vec::new(), why });
    }
    let top = fitting.iter().copied().max_by(|&a, &b| {
        trials[a]
            .score
            .total_cmp(&trials[b].score)
            .then(trials[b].bytes.cmp(&trials[a].bytes))
            .then(b.cmp(&a))
    })?;
    let alike = |&i: &usize| {
        let share = ALIKE[usize::from(trials[top].correct.len() < FEW)];
        trials[top].score - trials[i].score <= share * error_of_difference(&trials[top], &trials[i])
    };
    let trial = smallest(&fitting.iter().copied().filter(alike).collect::<Vec<_>>())?;
    let why = match trial == top {
        true => "the best that keeps the limits".to_owned(),
        false => "the smallest that is not told apart from the best that keeps the limits".to_owned(),
    };
    Some(Choice { trial, missed: Vec::new(), why })
}

fn told_misses(trial: &Trial, limits: &Limits, best: f64) -> Vec<String> {
    let [bytes, latency, drop] = misses(trial, limits, best);
    let mut told = Vec::new();
    if let (Some(most), true) = (limits.max_bytes, bytes > 1.0) {
        told.push(format!("{} bytes, {} more than {most}", trial.bytes, trial.bytes - most));
    }
    if let (Some(most), true) = (limits.max_latency_us, latency > 1.0) {
        let us = trial.latency_us;
        told.push(format!(
            "{us:.2} µs a text, too near to {most} µs or above (a tenth is kept for the next measurement)"
        ));
    }
    if let (Some(most), true) = (limits.max_drop, drop > 1.0) {
        let points = 100.0 * (best - trial.score);
        told.push(format!("{points:.2} points below the best model found, {most} are allowed"));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidate::tests::candidate;

    fn trial(bytes: u64, right: usize, latency_us: f64) -> Trial {
        let correct: Vec<f64> = (0..1000).map(|i| if i < right { 1.0 } else { 0.0 }).collect();
        let score = right as f64 / 1000.0;
        let (candidate, path) = (candidate(), Default::default());
        Trial {
            told: candidate.told(),
            candidate,
            bytes,
            foreseen: bytes,
            score,
            folds: 1,
            latency_us,
            seconds: 1.0,
            correct,
            path,
        }
    }

    fn chosen(trials: &[Trial], limits: Limits) -> (usize, Vec<String>) {
        let all: Vec<usize> = (0..trials.len()).collect();
        let choice = choose(trials, &all, &limits).unwrap();
        (choice.trial, choice.missed)
    }

    #[test]
    fn the_frontier_has_no_row_that_another_beats() {
        let trials = [trial(100, 900, 1.0), trial(50, 890, 1.0), trial(60, 880, 1.0), trial(200, 900, 1.0)];
        assert_eq!(frontier(&trials), [1, 0]);
    }

    #[test]
    fn limits_are_kept_and_equals_are_small() {
        // 901 and 900 right of a thousand differ by one document: the standard error is about 0.001.
        let trials = [trial(100, 901, 5.0), trial(50, 900, 2.0), trial(40, 880, 1.0), trial(10, 700, 1.0)];
        let limits = Limits::default();
        assert_eq!(chosen(&trials, Limits { max_bytes: Some(120), ..limits }).0, 0);
        assert_eq!(chosen(&trials, Limits { max_bytes: Some(60), ..limits }).0, 1);
        assert_eq!(chosen(&trials, Limits { max_latency_us: Some(1.5), ..limits }).0, 2);
        assert_eq!(chosen(&trials, Limits { max_drop: Some(3.0), ..limits }).0, 2);
        assert_eq!(chosen(&trials, limits).0, 1);
        let (nearest, missed) = chosen(&trials, Limits { max_bytes: Some(9), ..limits });
        assert_eq!((nearest, missed), (3, vec!["10 bytes, 1 more than 9".to_owned()]));
        let (_, missed) = chosen(&trials, Limits { max_bytes: Some(20), max_drop: Some(1.0), ..limits });
        assert_eq!(missed.len(), 2, "{missed:?}");
        assert_eq!(choose(&trials, &[], &limits), None);
    }

    #[test]
    fn few_documents_prefer_the_smaller() {
        // Two right more and one less of a hundred: 0.6 standard errors apart.
        let few = |bytes, wrong: &[usize]| {
            let mut trial = trial(bytes, 0, 1.0);
            trial.correct = (0..100).map(|i| if wrong.contains(&i) { 0.0 } else { 1.0 }).collect();
            trial.score = trial.correct.iter().sum::<f64>() / 100.0;
            trial
        };
        let limits = Limits { max_bytes: Some(200), ..Limits::default() };
        let trials = [few(100, &[1, 2]), few(50, &[1, 3, 4])];
        assert_eq!(chosen(&trials, limits).0, 1);
        let many = trials.map(|mut trial| {
            trial.correct = (0..10).flat_map(|_| trial.correct.clone()).collect();
            trial
        });
        assert_eq!(chosen(&many, limits).0, 0);
    }

    #[test]
    fn a_difference_that_is_noise_goes_to_the_smaller() {
        let noisy = |bytes, from: usize| {
            let mut trial = trial(bytes, 0, 1.0);
            trial.correct = (0..1000).map(|i| if i % 10 == from { 0.0 } else { 1.0 }).collect();
            trial.score = 0.9;
            trial
        };
        let mut best = noisy(100, 1);
        best.score = 0.902;
        let trials = [best, noisy(80, 2)];
        assert_eq!(chosen(&trials, Limits { max_bytes: Some(200), ..Limits::default() }).0, 1);
    }
}
