//! 95 % intervals over documents.
//!
//! The question is how far a number would move on other texts of the same kind. Seeds are averaged first: an
//! interval is about the mean over the seeds that ran, and it does not tell how much a seed that did not run would
//! differ.
//!
//! Shares and differences of shares have intervals that stay honest with few documents, where a bootstrap
//! collapses: if no document was wrong, no resample has a wrong one. Some documents that were not seen are added:
//! two right and two wrong ones to a share (Agresti and Coull, 1998), one gained and one lost to a difference
//! (Bonett and Price, 2012); the interval is Student's on what that gives. Macro-F1 and the negative
//! log-likelihood have intervals by the percentile bootstrap (Efron, 1979); where every document is right, that of macro-F1 is
//! the share's.

use crate::error::{EvalError, check_length};
use crate::quality::{Classes, Scores, macro_f1, matches, mean};
use nlpress_core::Seed;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// A mean and its 95 % interval over documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The value on the documents as they are.
    pub mean: f64,
    /// Where it lies on other documents of the same kind, in 95 of 100 sets of them.
    pub ci95: [f64; 2],
}

impl Estimate {
    /// A value that is known exactly.
    #[must_use]
    pub fn exact(value: f64) -> Self {
        Self { mean: value, ci95: [value; 2] }
    }

    /// Whether zero lies outside the interval: for a difference, whether there is one.
    #[must_use]
    pub fn excludes_zero(&self) -> bool {
        self.ci95[0] > 0.0 || self.ci95[1] < 0.0
    }
}

/// The four numbers that say how good a variant is, each the mean over its seeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Share of documents that are classified as labelled.
    pub accuracy: Estimate,
    /// Unweighted mean of the classes' F1.
    pub macro_f1: Estimate,
    /// Negative log-likelihood of the label, in nats.
    pub nll: Estimate,
    /// Share of documents on which the variant predicts what the reference predicts.
    pub agreement: Estimate,
}

impl Quality {
    /// The quality of one variant: `runs` has one entry a seed, all on the same documents with these `labels`;
    /// `reference` has the predictions to agree with, one list for each run or one for all.
    ///
    /// # Errors
    /// No runs or no documents, or lists whose lengths differ.
    pub fn of(
        runs: &[Scores],
        labels: &[u32],
        reference: &[Vec<u32>],
        bootstrap: &Bootstrap,
    ) -> Result<Self, EvalError> {
        if reference.len() != 1 {
            check_length("reference predictions", runs.len(), reference.len())?;
        }
        let correct: Vec<&[f64]> = runs.iter().map(|r| &*r.correct).collect();
        let nll: Vec<&[f64]> = runs.iter().map(|r| &*r.row_nll).collect();
        let predictions: Vec<&[u32]> = runs.iter().map(|r| &*r.predictions).collect();
        let agree = (runs.iter().zip(reference.iter().cycle()))
            .map(|(run, other)| matches(&run.predictions, other))
            .collect::<Result<Vec<_>, _>>()?;
        let accuracy = share(&correct)?;
        let mut macro_f1 = bootstrap.macro_f1(&predictions, labels)?;
        // No resample has a wrong document where none is wrong: what was not seen may have.
        if macro_f1 == Estimate::exact(1.0) {
            macro_f1.ci95 = accuracy.ci95;
        }
        Ok(Self { accuracy, macro_f1, nll: bootstrap.mean(&nll)?, agreement: share(&agree)? })
    }
}

/// The mean over seeds and documents of a number from 0 to 1 per document: `per_seed[s][document]`.
///
/// # Errors
/// No seeds, no documents, seeds with different numbers of documents, a value that is not finite.
pub fn share<V: AsRef<[f64]>>(per_seed: &[V]) -> Result<Estimate, EvalError> {
    Ok(with_unseen(&average(per_seed)?, &[1.0, 1.0, 0.0, 0.0], [0.0, 1.0]))
}

/// The mean of `variant` minus the mean of `parent`, both numbers from 0 to 1 per document, paired by document.
/// The numbers of seeds may differ.
///
/// # Errors
/// As for [`share`], and when the two have different numbers of documents.
pub fn difference<V: AsRef<[f64]>, P: AsRef<[f64]>>(
    variant: &[V],
    parent: &[P],
) -> Result<Estimate, EvalError> {
    let (mut difference, parent) = (average(variant)?, average(parent)?);
    check_length("documents", parent.len(), difference.len())?;
    difference.iter_mut().zip(&parent).for_each(|(d, p)| *d -= p);
    Ok(with_unseen(&difference, &[1.0, -1.0], [-1.0, 1.0]))
}

/// Student's interval of the values and of some that were not seen, within bounds.
fn with_unseen(values: &[f64], unseen: &[f64], bounds: [f64; 2]) -> Estimate {
    let all = || values.iter().chain(unseen);
    let count = (values.len() + unseen.len()) as f64;
    let middle = all().sum::<f64>() / count;
    let variance = all().map(|x| (x - middle).powi(2)).sum::<f64>() / count;
    let half = student(0.975, count - 1.0) * (variance / count).sqrt();
    let mean = mean(values);
    let low = (middle - half).clamp(bounds[0], bounds[1]).min(mean);
    Estimate { mean, ci95: [low, (middle + half).clamp(bounds[0], bounds[1]).max(mean)] }
}

/// The quantile of Student's distribution with so many degrees of freedom, at least 1.
pub(crate) fn student(quantile: f64, freedom: f64) -> f64 {
    let t = StudentsT::new(0.0, 1.0, freedom.max(1.0)).expect("scale and freedom are positive");
    t.inverse_cdf(quantile)
}

/// Draws resamples of documents. Resample `r` is the same for every statistic and every variant of a run.
#[derive(Clone, Copy, Debug)]
pub struct Bootstrap {
    seed: Seed,
}

/// The 2.5 % quantile of so many is the twenty-fifth.
const RESAMPLES: usize = 1000;

impl Bootstrap {
    /// Resamples that depend on nothing but `seed`.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        Self { seed: seed.derive("bootstrap") }
    }

    /// The mean over seeds and documents of a number per document: `per_seed[s][document]`.
    ///
    /// # Errors
    /// No seeds, no documents, seeds with different numbers of documents, a value that is not finite.
    pub fn mean<V: AsRef<[f64]>>(&self, per_seed: &[V]) -> Result<Estimate, EvalError> {
        Ok(self.estimate(&average(per_seed)?))
    }

    /// The mean over seeds of the macro-F1 of `predictions[s][document]`.
    ///
    /// # Errors
    /// No seeds, no documents, or lists whose lengths differ.
    pub fn macro_f1<P: AsRef<[u32]>>(
        &self,
        predictions: &[P],
        labels: &[u32],
    ) -> Result<Estimate, EvalError> {
        if predictions.is_empty() {
            return Err(EvalError::Empty("seeds"));
        }
        let whole =
            (predictions.iter()).map(|p| macro_f1(p.as_ref(), labels)).collect::<Result<Vec<_>, _>>()?;
        let lists = predictions.iter().map(AsRef::as_ref).chain([labels]);
        let mut classes = Classes::of(lists);
        let renumber = |list: &[u32]| list.iter().map(|&c| classes.index(c)).collect::<Vec<_>>();
        let labels = renumber(labels);
        let predictions: Vec<Vec<usize>> = predictions.iter().map(|p| renumber(p.as_ref())).collect();
        let mut drawn = vec![0; labels.len()];
        let values = (0..RESAMPLES).map(|r| {
            self.draw(r, &mut drawn);
            let mut sum = 0.0;
            for seed in &predictions {
                classes.clear();
                drawn.iter().for_each(|&i| classes.count(seed[i as usize], labels[i as usize]));
                sum += classes.macro_f1();
            }
            sum / predictions.len() as f64
        });
        Ok(Estimate { mean: mean(&whole), ci95: middle95(values.collect()) })
    }

    fn estimate(&self, values: &[f64]) -> Estimate {
        let mut drawn = vec![0; values.len()];
        let means = (0..RESAMPLES).map(|r| {
            self.draw(r, &mut drawn);
            drawn.iter().map(|&i| values[i as usize]).sum::<f64>() / values.len() as f64
        });
        Estimate { mean: mean(values), ci95: middle95(means.collect()) }
    }

    /// Documents with replacement. One 32-bit draw each, scaled: its bias, documents / 2³², is far below what
    /// a bootstrap can resolve.
    fn draw(&self, resample: usize, drawn: &mut [u32]) {
        let documents = drawn.len() as u64;
        let mut rng = self.seed.stream(resample as u64);
        drawn.iter_mut().for_each(|i| *i = ((u64::from(rng.bits()) * documents) >> 32) as u32);
    }
}

/// The mean over seeds of every document's value.
fn average<V: AsRef<[f64]>>(per_seed: &[V]) -> Result<Vec<f64>, EvalError> {
    let first = per_seed.first().ok_or(EvalError::Empty("seeds"))?.as_ref();
    if first.is_empty() {
        return Err(EvalError::Empty("documents"));
    }
    let mut sums = vec![0.0; first.len()];
    for seed in per_seed {
        let seed = seed.as_ref();
        check_length("documents", sums.len(), seed.len())?;
        if let Some(row) = seed.iter().position(|x| !x.is_finite()) {
            return Err(EvalError::NotFinite { row, value: seed[row] });
        }
        sums.iter_mut().zip(seed).for_each(|(sum, x)| *sum += x);
    }
    sums.iter_mut().for_each(|sum| *sum /= per_seed.len() as f64);
    Ok(sums)
}

fn middle95(mut values: Vec<f64>) -> [f64; 2] {
    values.sort_unstable_by(f64::total_cmp);
    [quantile(&values, 0.025), quantile(&values, 0.975)]
}

/// The quantile of sorted values, linear between neighbours (Hyndman and Fan's type 7).
///
/// `sorted` must not be empty.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len() - 1) as f64;
    let low = at.floor() as usize;
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + (sorted[high] - sorted[low]) * (at - low as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `k`-th of `n` documents is wrong.
    fn wrong_every(k: usize, n: usize) -> Vec<f64> {
        (0..n).map(|i| f64::from(u8::from(i % k != 0))).collect()
    }

    #[test]
    fn the_interval_of_a_share_is_as_wide_as_theory_says() {
        let half = 1.96 * (0.8_f64 * 0.2 / 2000.0).sqrt();
        let values = [wrong_every(5, 2000)];
        for e in [share(&values).unwrap(), Bootstrap::new(Seed(7)).mean(&values).unwrap()] {
            assert_eq!(e.mean, 0.8);
            assert!((e.ci95[0] - (0.8 - half)).abs() < 0.003, "{e:?}");
            assert!((e.ci95[1] - (0.8 + half)).abs() < 0.003, "{e:?}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_interval_and_another_does_not() {
        let values = [wrong_every(3, 500)];
        let of = |seed| Bootstrap::new(Seed(seed)).mean(&values).unwrap();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1).ci95, of(2).ci95);
    }

    #[test]
    fn pairing_finds_a_difference_that_the_two_intervals_hide() {
        let parent = wrong_every(4, 1000);
        let mut variant = parent.clone();
        (1..13).for_each(|i| variant[4 * i + 1] = 0.0);
        let (p, v) = (share(&[&parent]).unwrap(), share(&[&variant]).unwrap());
        assert!(v.ci95[1] > p.ci95[0], "the plain intervals overlap");
        let d = difference(&[&variant], &[&parent, &parent]).unwrap();
        assert!((d.mean + 0.012).abs() < 1e-12 && d.excludes_zero() && d.ci95[1] < 0.0, "{d:?}");
        assert!(!difference(&[&parent], &[&parent]).unwrap().excludes_zero());
    }

    #[test]
    fn few_documents_tell_little() {
        // All 16 right, and no document decided otherwise: what a bootstrap takes for certain.
        let right = vec![1.0; 16];
        let e = share(&[&right]).unwrap();
        assert!(e.mean == 1.0 && e.ci95[0] > 0.7 && e.ci95[0] < 0.82 && e.ci95[1] == 1.0, "{e:?}");
        let d = difference(&[&right], &[&right]).unwrap();
        assert!(d.mean == 0.0 && d.ci95[1] > 0.1 && d.ci95[0] < -0.1, "{d:?}");
        // Three of 16 lost: McNemar's exact test gives 0.25.
        let mut worse = right.clone();
        worse[..3].fill(0.0);
        assert!(!difference(&[&worse], &[&right]).unwrap().excludes_zero());
        worse[..8].fill(0.0);
        assert!(difference(&[&worse], &[&right]).unwrap().excludes_zero());
        // With 2000 that all agree, the two are alike within a fifth of a point.
        let many = vec![1.0; 2000];
        let d = difference(&[&many], &[&many]).unwrap();
        assert!(d.ci95[1] < 0.002 && d.ci95[1] > 0.001, "{d:?}");
        let one = share(&[vec![0.0]]).unwrap();
        assert!(one.ci95[0] == 0.0 && one.ci95[1] > 0.9, "{one:?}");
    }

    /// Draws sets of documents on which two equal variants are each right where the other is not in `apart` of
    /// all cases, and counts the sets that say that they differ.
    fn wrongly_told_apart(documents: usize, apart: f32, seeds: usize) -> usize {
        (0..2000)
            .filter(|set| {
                let mut rng = Seed(*set).derive("coverage").stream(0);
                let mut draw = || {
                    let one = |u: f32| f64::from(u8::from(u < 0.9));
                    (0..documents)
                        .map(|_| {
                            let (u, v) = (rng.uniform(), rng.uniform());
                            if v < apart {
                                (one(rng.uniform()), one(rng.uniform()))
                            } else {
                                (one(u), one(u))
                            }
                        })
                        .unzip::<f64, f64, Vec<_>, Vec<_>>()
                };
                let (a, b): (Vec<_>, Vec<_>) = (0..seeds).map(|_| draw()).unzip();
                difference(&a, &b).unwrap().excludes_zero()
            })
            .count()
    }

    #[test]
    fn equal_variants_are_told_apart_in_at_most_one_set_in_twenty() {
        for documents in [16, 60, 203] {
            for apart in [0.05, 0.3, 1.0] {
                for seeds in [1, 3] {
                    let wrong = wrongly_told_apart(documents, apart, seeds);
                    assert!(wrong <= 115, "{wrong} of 2000: {documents} documents, {apart}, {seeds} seeds");
                }
            }
        }
    }

    #[test]
    fn students_quantiles_are_those_of_the_tables() {
        for (freedom, quantile, expected) in [
            (1.0, 0.975, 12.7062),
            (4.0, 0.975, 2.7764),
            (4.0, 0.9995, 8.6103),
            (13.0, 0.999, 3.8520),
            (120.0, 0.975, 1.9799),
        ] {
            let found = student(quantile, freedom);
            assert!((found - expected).abs() < 2e-4, "{found} for {quantile} of {freedom}");
        }
    }

    #[test]
    fn seeds_are_averaged() {
        let b = Bootstrap::new(Seed(1));
        let e = b.mean(&[vec![1.0, 0.0], vec![0.0, 1.0]]).unwrap();
        assert_eq!(e, Estimate::exact(0.5));
    }

    #[test]
    fn macro_f1_is_resampled() {
        let labels: Vec<u32> = (0..900).map(|i| i % 3).collect();
        let guess: Vec<u32> = (0..900).map(|i| if i % 10 == 0 { 0 } else { i % 3 }).collect();
        let b = Bootstrap::new(Seed(3));
        let e = b.macro_f1(&[&guess, &guess], &labels).unwrap();
        assert_eq!(e.mean, macro_f1(&guess, &labels).unwrap());
        assert!(e.ci95[0] < e.mean && e.mean < e.ci95[1] && e.ci95[1] - e.ci95[0] < 0.06, "{e:?}");
        assert_eq!(b.macro_f1(&[&labels], &labels).unwrap(), Estimate::exact(1.0));
    }

    #[test]
    fn quality_puts_the_four_numbers_together() {
        let labels = [0, 1, 1, 0];
        let run = Scores::of(&[-1.0, 1.0, -1.0, -1.0], 1, &labels).unwrap();
        let b = Bootstrap::new(Seed(3));
        let q = Quality::of(&[run.clone(), run.clone()], &labels, &[vec![0, 1, 1, 1]], &b).unwrap();
        assert_eq!((q.accuracy.mean, q.agreement.mean), (0.75, 0.5));
        assert_eq!(q.nll.mean, run.nll);
        assert!(Quality::of(&[run.clone(), run], &labels, &[], &b).is_err());
        let perfect = Scores::of(&[-1.0, 1.0, 1.0, -1.0], 1, &labels).unwrap();
        let q = Quality::of(&[perfect], &labels, &[labels.to_vec()], &b).unwrap();
        assert!(q.macro_f1.mean == 1.0 && q.macro_f1.ci95[0] < 0.9, "{q:?}");
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.5), 2.0);
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), 3.0);
        assert_eq!(quantile(&[5.0], 0.99), 5.0);
    }

    #[test]
    fn refuses_what_cannot_be_resampled() {
        let b = Bootstrap::new(Seed(0));
        let none: [Vec<f64>; 0] = [];
        assert_eq!(b.mean(&none).unwrap_err().to_string(), "no seeds to score");
        assert_eq!(b.mean(&[Vec::new()]).unwrap_err().to_string(), "no documents to score");
        assert!(b.mean(&[vec![1.0], vec![1.0, 2.0]]).is_err());
        assert!(b.mean(&[vec![1.0, f64::INFINITY]]).is_err());
        assert!(difference(&[vec![1.0]], &[vec![1.0, 2.0]]).is_err());
        assert!(share(&none).is_err() && share(&[vec![f64::NAN]]).is_err());
        assert!(b.macro_f1(&[vec![1]], &[1, 2]).is_err());
    }
}
