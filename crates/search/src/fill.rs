//! How many words fit: files are foreseen, and filled up to the limit.

use crate::candidate::{Candidate, Student};
use crate::choose::LATENCY_USED;
use crate::generations::Search;
use crate::queue::side_by_side;
use crate::trial::base_of;

/// A file is filled up with words to this share of the limit at least.
const FULL: f64 = 0.99;
/// Sizes that are foreseen to find how many words fit.
const STEPS: usize = 6;
/// Bytes of a file without words and weights, about.
const FRAME: f64 = 2200.0;

impl Search<'_> {
    /// Candidates with as many words as the limit on size allows, or no more than that; those that are foreseen to miss
    /// a limit even so are left out, and counted.
    pub(crate) fn fill(&mut self, candidates: Vec<(Candidate, bool)>) -> Vec<Candidate> {
        let ratio = self.foreseen_too_low();
        let one = |_, (candidate, full): &(Candidate, bool)| self.filled(candidate.clone(), *full, ratio);
        let filled = side_by_side(&self.pool, &candidates, |_| 0.0, one);
        self.spared += filled.iter().filter(|candidate| candidate.is_none()).count();
        filled.into_iter().flatten().collect()
    }

    /// What files with pruned entries take, over what was foreseen; what is exact needs no correction.
    fn foreseen_too_low(&self) -> f64 {
        let sparse = self.trials.iter().filter(|trial| !trial.candidate.is_exact());
        let ratios = sparse.map(|trial| trial.bytes as f64 / trial.foreseen as f64);
        ratios.fold(1.01, f64::max)
    }

    fn filled(&self, mut candidate: Candidate, full: bool, ratio: f64) -> Option<Candidate> {
        let limits = &self.request.limits;
        let opened = base_of(&self.opened, &candidate)?;
        let ratio = if candidate.is_exact() { 1.0 } else { ratio };
        let bytes = |keep: usize| {
            let student = Student { keep, ..candidate.student.clone() };
            let candidate = Candidate { student, ..candidate.clone() };
            // What cannot be planned fails as a trial, with its reason.
            let foreseen = self.world.foresee(&candidate, opened, false);
            foreseen.map_or(0.0, |foreseen| ratio * foreseen.bytes as f64)
        };
        if let Some(most) = limits.max_bytes {
            let start = candidate.student.keep.min(opened.width);
            if opened.base.is_hashed() && bytes(start) > most as f64 {
                return None;
            }
            candidate.student.keep =
                words_that_fit(start, (opened.fewest, opened.width, full), most as f64, bytes)?;
        }
        if let Some(most) = limits.max_latency_us {
            let foreseen = self.world.foresee(&candidate, opened, true).ok()?;
            if foreseen.latency_us.is_some_and(|us| us > LATENCY_USED * most) {
                return None;
            }
        }
        Some(candidate)
    }
}

/// The largest number of words, from `fewest` up to `width`, whose file has no more than `most` bytes: where it is to be `full`, as near
/// to the limit as is quickly found; else no more than `start` words. `bytes` grows with words. Nothing where not even the
/// fewest fit.
fn words_that_fit(
    start: usize,
    (fewest, width, full): (usize, usize, bool),
    most: f64,
    bytes: impl Fn(usize) -> f64,
) -> Option<usize> {
    let (mut low, mut high) = (None::<(usize, f64)>, None::<(usize, f64)>);
    let mut next = start.clamp(fewest, width);
    for _ in 0..STEPS {
        let taken = bytes(next);
        match taken <= most {
            true => low = Some((next, taken)),
            false => high = Some((next, taken)),
        }
        let enough = |(words, taken): (usize, f64)| {
            words == width || taken >= FULL * most || (!full && words == start)
        };
        let (from, to) = (low.map_or(fewest, |l| l.0 + 1), high.map_or(width, |h| h.0.saturating_sub(1)));
        if low.is_some_and(enough) || from > to {
            break;
        }
        // A straight line through what is known, and a little below the limit.
        let aim = 0.998 * most;
        let guess = match (low, high) {
            (Some(l), Some(h)) => l.0 as f64 + (aim - l.1) * (h.0 - l.0) as f64 / (h.1 - l.1),
            (Some(p), None) | (None, Some(p)) => p.0 as f64 * (aim - FRAME) / (p.1 - FRAME).max(1.0),
            (None, None) => break,
        };
        next = (guess.max(0.0) as usize).clamp(from, to);
    }
    match low {
        Some((words, _)) => Some(words),
        None => (bytes(fewest) <= most).then_some(fewest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidate::FEWEST;

    /// The most words that fit are found, whatever a word takes, and nothing that does not fit.
    #[test]
    fn words_that_fit_fill_the_file() {
        for (fixed, word, width) in [(2000.0, 6.3, 50_000), (2000.0, 60.0, 7000), (0.0, 1.0, 20)] {
            // Words take less where there are more, as in a vocabulary that shares beginnings.
            let bytes = |keep: usize| fixed + word * (keep as f64).powf(0.95);
            for most in [2500.0, 12_500.0, 100_000.0] {
                let full = words_that_fit(width, (FEWEST.min(width), width, true), most, bytes);
                let fits = |keep: usize| bytes(keep) <= most;
                match full {
                    None => assert!(!fits(FEWEST.min(width))),
                    Some(keep) => {
                        assert!(fits(keep), "{keep} words take {} of {most}", bytes(keep));
                        assert!(
                            keep == width || keep == FEWEST || bytes(keep + 1) > 0.98 * most,
                            "{keep} of {most}"
                        );
                    }
                }
                let sizes = (FEWEST.min(width), width, false);
                let few = words_that_fit(FEWEST.max(width / 100), sizes, most, bytes);
                assert!(few.is_none_or(|few| few <= FEWEST.max(width / 100) && fits(few)));
            }
        }
    }
}
