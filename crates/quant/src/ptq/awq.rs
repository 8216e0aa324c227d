//! `quant.awq`: activation-aware weight quantization. Weights of large inputs are rounded more finely, and each range is
//! clipped to the one with the smallest error of the outputs.
//!
//! Lin et al. 2023, "AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration",
//! arXiv:2306.00978. The weights of an input are multiplied with a factor, and the input is divided by it; rounding
//! then does less harm where inputs are large. The factor is `(mean |x|)^α`, one α of twenty for a site: the one with
//! the smallest error of its outputs on the calibration rows. Then the range of each scale is searched in the same way.
//!
//! Dividing costs nothing where it can be folded into the site before: into the scales and the biases of what makes
//! the inputs, which must be quantized by the same step with a scale for each output. Behind a ReLU, behind attention
//! (whose outputs are weighted sums of values) and behind the first factor of a product that is exact. Elsewhere, as at
//! the first site or behind a normalisation, only ranges are searched, and a note says so.

use nlpress_technique::{Family, Kind, StepError, parse};
use serde::Deserialize;

use crate::QuantError;
use crate::candidates::{Choice, Errors, Task};
pub use crate::fold::multiplied;
use crate::lattice::{Lattice, Plain};
use crate::moments::{Moments, off};
pub use crate::range::clip;
use crate::rounding::Clip;
use crate::samples::{Calibrated, GRID, SAMPLES, Solver};

/// The exponents that are tried, in twentieths.
const EXPONENTS: std::ops::Range<u32> = 0..20;

/// The technique's entry.
pub const KIND: Kind = Kind {
    name: "quant.awq",
    family: Family::Quantize,
    summary: "AWQ, activation-aware weight quantization (PTQ): scales up the weights of large inputs before rounding, and \
              clips each range where the outputs change least",
    source: "Lin et al. 2023, AWQ, arXiv:2306.00978; bias correction: Nagel et al. 2019, arXiv:1906.04721",
    example: "grid = \"int4\"\nsamples = 64",
    on: &["**"],
    settings: &[GRID, SAMPLES],
    parse: parse::<Calibrated<Awq>>,
};

/// How it chooses: there is nothing to set.
#[derive(Clone, Debug, Deserialize)]
struct Awq {}

/// The factor of each input, `(mean |x|)^exponent`, scaled so that the largest and the smallest multiply to 1; 1 for
/// inputs that never occur.
pub fn factors(magnitudes: &[f64], exponent: f64) -> Vec<f32> {
    let power = |x: f64| x.max(1e-4).powf(exponent);
    let live = || magnitudes.iter().filter(|x| **x > 0.0).map(|x| power(*x));
    let (least, most) = live().fold((f64::INFINITY, 0.0_f64), |(l, m), x| (l.min(x), m.max(x)));
    let middle = (least * most).sqrt();
    magnitudes.iter().map(|x| if *x > 0.0 { (power(*x) / middle) as f32 } else { 1.0 }).collect()
}

/// The exponent with the smallest squared error of the outputs of the rounded weight, and that error.
///
/// # Errors
/// [`QuantError`] when a factor makes a number infinite.
pub fn exponent(plain: &Plain<'_>, lattice: Lattice, moments: &Moments) -> Result<(f64, f64), QuantError> {
    let (outputs, mut best) = (plain.shape().1, (0.0, f64::INFINITY));
    for twentieths in EXPONENTS {
        let exponent = f64::from(twentieths) / 20.0;
        let factors = factors(moments.magnitudes(), exponent);
        let values = multiplied(plain.values(), outputs, &factors);
        let scaled = Plain::new(&values, outputs, plain.keep())?;
        let coded = lattice.nearest(&scaled, lattice.fit(&scaled, Clip::Max));
        let mut off = off(&values, &coded.values(plain.keep()));
        for (row, factor) in off.chunks_exact_mut(outputs).zip(&factors) {
            row.iter_mut().for_each(|d| *d /= f64::from(*factor));
        }
        let error: f64 = moments.errors(&off, outputs).iter().sum();
        if error < best.1 {
            best = (exponent, error);
        }
    }
    Ok(best)
}

impl Solver for Awq {
    const KIND: Kind = KIND;

    fn choose(&self, lattice: Lattice, task: &Task<'_>) -> Result<Choice, StepError> {
        let plain = &task.plain;
        let failed = |e| task.failed(e);
        task.progress("searching ranges")?;
        let mut choice: Choice = task.nearest(lattice).into();
        if let Some(why) = task.cannot_fold {
            choice.note = format!("{why}, so only ranges were searched: {}", choice.note);
            return Ok(choice);
        }
        task.progress("searching factors")?;
        let (exponent, _) = exponent(plain, lattice, task.moments).map_err(failed)?;
        let outputs = plain.shape().1;
        let factors = factors(task.moments.magnitudes(), exponent);
        let values = multiplied(plain.values(), outputs, &factors);
        let scaled = Plain::new(&values, outputs, plain.keep()).map_err(failed)?;
        let divided = |moments: &Moments| moments.divided(&factors);
        let coded = lattice.nearest(&scaled, clip(&scaled, lattice, &divided(task.moments)));
        let [unseen, all] = task.judges.map(divided);
        let errors = Errors::of(&scaled, &coded, [&unseen, &all]);
        choice.note = format!("no factors were better than ranges alone: {}", choice.note);
        if errors.less_than(&choice.errors) {
            let note = format!("inputs have factors of their mean magnitude to the power {exponent}");
            choice = Choice { coded, errors, factors: Some(factors), note };
        }
        Ok(choice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lattice::Coded;
    use crate::lattice::Span;
    use crate::moments::Seen;
    use crate::moments::tests::{rows, weight};
    use crate::range::RANGES;
    use nlpress_packed::Grid;

    fn moments(inputs: usize, seed: u64) -> Moments {
        let mut seen = Seen::new(inputs);
        seen.add(&rows(400, inputs, seed)).unwrap();
        seen.moments(false)
    }

    #[test]
    fn factors_follow_the_magnitudes_and_leave_idle_inputs_alone() {
        assert_eq!(factors(&[1.0, 16.0, 0.0, 4.0], 0.5), [0.5, 2.0, 1.0, 1.0]);
        assert_eq!(factors(&[1.0, 16.0, 0.0], 0.0), [1.0; 3]);
        assert_eq!(factors(&[0.0; 2], 0.5), [1.0; 2]);
        assert_eq!(multiplied(&[1.0, 2.0, 3.0, 4.0], 2, &[0.5, 2.0]), [0.5, 1.0, 6.0, 8.0]);
    }

    #[test]
    fn a_loud_input_gets_a_factor_that_helps() {
        // One input of forty is thirty times as large as the others, and its weights are as small as theirs.
        let mut rows = rows(300, 40, 5);
        rows.chunks_exact_mut(40).for_each(|row| row[7] *= 30.0);
        let mut seen = Seen::new(40);
        seen.add(&rows).unwrap();
        let (moments, weight) = (seen.moments(false), weight(40, 8, 5));
        let plain = Plain::new(&weight, 8, None).unwrap();
        let lattice = Lattice { grid: Grid::Int3, span: Span::Channel };
        let nearest = lattice.nearest(&plain, lattice.fit(&plain, Clip::Max));
        let was: f64 = moments.errors(&off(&weight, &nearest.values(None)), 8).iter().sum();
        let (exponent, error) = exponent(&plain, lattice, &moments).unwrap();
        assert!(exponent > 0.0 && error < 0.5 * was, "{exponent} {error} {was}");
    }

    #[test]
    fn ranges_are_as_good_as_trying_each_alone_and_never_worse_than_the_whole() {
        let (moments, weight) = (moments(40, 6), weight(40, 5, 6));
        let keep: Vec<bool> = (0..200).map(|at| at % 7 != 1).collect();
        let weight: Vec<f32> = weight.iter().zip(&keep).map(|(w, k)| if *k { *w } else { 0.0 }).collect();
        let plain = Plain::new(&weight, 5, Some(&keep)).unwrap();
        let errors = |coded: &Coded| moments.errors(&off(&weight, &coded.values(Some(&keep))), 5);
        for grid in [Grid::Int4, Grid::Int3, Grid::Int2, Grid::Ternary, Grid::Binary] {
            for span in [Span::Channel, Span::Tensor, Span::Group(16)] {
                let lattice = Lattice { grid, span };
                let whole = lattice.fit(&plain, Clip::Max);
                let with = |scales: Vec<f32>| errors(&lattice.nearest(&plain, scales));
                let found = with(clip(&plain, lattice, &moments));
                let (found_all, whole_all) =
                    (found.iter().sum::<f64>(), with(whole.clone()).iter().sum::<f64>());
                assert!(found_all <= whole_all, "{lattice:?}: {found_all} {whole_all}");
                assert!(
                    grid == Grid::Int4 || found_all < 0.95 * whole_all,
                    "{lattice:?}: {found_all} {whole_all}"
                );
                if span != Span::Channel {
                    continue;
                }
                let mut least = with(whole.clone());
                let shares = RANGES
                    .map(|t| whole.iter().map(|s| (f64::from(*s) * f64::from(t) / 20.0) as f32).collect());
                for scales in shares.chain([lattice.fit(&plain, Clip::Mse)]) {
                    least.iter_mut().zip(with(scales)).for_each(|(least, e)| *least = least.min(e));
                }
                assert!(
                    found.iter().zip(&least).all(|(a, b)| (a - b).abs() <= 1e-9 * b),
                    "{grid:?}: {found:?} {least:?}"
                );
            }
        }
    }
}
