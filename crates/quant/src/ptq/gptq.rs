//! `quant.gptq`: second-order error compensation. The weights of one input after the other are rounded, and the weights
//! of the inputs that follow are corrected for the error.
//!
//! Frantar et al. 2022, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
//! arXiv:2210.17323, a fast form of optimal brain quantization (OBQ: Frantar and Alistarh 2022, arXiv:2208.11580). A
//! site computes `x · W`. Inputs are rounded one after the other, for all outputs at once; the error of each, divided
//! by its diagonal entry of the inverse Hessian (of the damped Gram matrix of the inputs) and multiplied by that row, is
//! subtracted from the weights of the inputs that are not rounded yet. With order by activation (act-order) the inputs of the largest mean square come
//! first, while many are left to compensate; all scales are then fixed beforehand. Without it, and with scales for
//! groups, a group's scales are fitted when it is reached, to its corrected weights.
//!
//! Compensation is greedy and fits the calibration rows; rounding to the nearest within the range of the smallest output
//! error sometimes beats it. So that is tried as well, and more damping, and each output keeps the integers with the
//! smallest error on held-out rows (all outputs together where they share one scale).

use nlpress_technique::solve::inverse_factor;
use nlpress_technique::{Family, Kind, Settings, StepError, parse, settings};
use serde::Deserialize;

use crate::QuantError;
use crate::awq;
use crate::candidates::{Choice, Task};
use crate::lattice::{Coded, Lattice, Plain, Span};
use crate::moments::Moments;
use crate::rounding::Clip;
use crate::samples::{Calibrated, GRID, SAMPLES, Solver};

/// The technique's entry.
pub const KIND: Kind = Kind {
    name: "quant.gptq",
    family: Family::Quantize,
    summary: "GPTQ (PTQ by second-order error compensation, optimal brain quantization): rounds one input after another and \
              corrects the weights not yet rounded for the error",
    source: "Frantar et al. 2022, GPTQ, arXiv:2210.17323; Frantar and Alistarh 2022, Optimal Brain Compression (OBQ), \
             arXiv:2208.11580; bias correction: Nagel et al. 2019, arXiv:1906.04721",
    example: "grid = \"int4\"\nsamples = 64",
    on: &["**"],
    settings: &[GRID, Raw::SETTINGS, SAMPLES],
    parse: parse::<Calibrated<Gptq>>,
};

/// In which order inputs are rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    /// The inputs of the largest mean square first.
    Activation,
    /// In the order of the inputs.
    None,
    /// Both are tried.
    #[default]
    Best,
}

/// How it chooses.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
struct Gptq {
    order: Order,
    damping: f64,
    clip: Clip,
}

settings! {
    struct Raw {
        /// "activation": the largest inputs are rounded first (act-order); "none": in the order of the inputs;
        /// "best" (default): both are tried, and each output takes the one with the smaller error
        #[serde(default)]
        order: Order,
        /// added to the diagonal of the inputs' Gram matrix (the Hessian), relative to its mean, from 1e-8 to 1;
        /// 0.01 by default. 10 and 100 times that value are tried as well
        damping: f64 => or(0.01).when(|x: &f64| (1e-8..=1.0).contains(x), "between 1e-8 and 1"),
        /// "mse" (default): the range of least squared error; "max": the range of all entries
        clip: Option<String>,
    }
}

impl TryFrom<Raw> for Gptq {
    type Error = QuantError;

    fn try_from(raw: Raw) -> Result<Self, QuantError> {
        let Raw { order, damping, clip } = raw;
        Ok(Self { order, damping, clip: clip.as_deref().map_or(Ok(Clip::Mse), Clip::read)? })
    }
}

/// The inverse of the damped Gram matrix of a site's inputs, factored in the order in which they are rounded.
#[derive(Clone, Debug)]
pub struct Inverse {
    order: Vec<usize>,
    /// Upper `U` with `Uᵀ · U = (H + damping)⁻¹`, rows and columns in that order.
    factor: Vec<f64>,
}

impl Inverse {
    /// For inputs in their order, or by descending mean square (`by_activation`).
    ///
    /// # Errors
    /// [`QuantError::Setting`] when the matrix cannot be inverted with this damping.
    pub fn new(moments: &Moments, by_activation: bool, damping: f64) -> Result<Self, QuantError> {
        let n = moments.inputs();
        let mut order: Vec<usize> = (0..n).collect();
        if by_activation {
            order.sort_by(|a, b| moments.diagonal(*b).total_cmp(&moments.diagonal(*a)));
        }
        let mean = (0..n).map(|i| moments.diagonal(i)).sum::<f64>() / n.max(1) as f64;
        // Inputs that never occur are left with the damping alone: rounded, and nothing makes up for them.
        let more = (damping * mean).max(f64::MIN_POSITIVE.sqrt());
        let mut lower = vec![0.0; n * n];
        for (i, from) in order.iter().enumerate() {
            for (j, to) in order[..=i].iter().enumerate() {
                lower[i * n + j] = moments.square()[from * n + to];
            }
            lower[i * n + i] += more;
        }
        let bound = "larger: the inputs' second moments cannot be inverted";
        let singular = || QuantError::setting("damping", damping, bound);
        Ok(Self { order, factor: inverse_factor(lower, n).ok_or_else(singular)? })
    }

    fn as_they_lie(&self) -> bool {
        self.order.is_sorted()
    }
}

/// The integers of a weight, input by input, with the given scales; entries that are not kept stay zero.
///
/// With groups, and inputs in their order, the scales are fitted anew, by `clip`, when a group is reached.
///
/// # Panics
/// When the inverse is for other inputs, or the number of scales is not that of the scheme.
pub fn compensate(
    plain: &Plain<'_>,
    lattice: Lattice,
    (mut scales, clip): (Vec<f32>, Clip),
    inverse: &Inverse,
) -> Coded {
    let (shape, (n, outputs)) = (plain.shape(), plain.shape());
    assert_eq!((inverse.order.len(), scales.len()), (n, lattice.scales(shape)));
    // In the order in which inputs are rounded.
    let mut weights: Vec<f64> = Vec::with_capacity(n * outputs);
    for &i in &inverse.order {
        weights.extend(plain.values()[i * outputs..(i + 1) * outputs].iter().map(|w| f64::from(*w)));
    }
    let refit = matches!(lattice.span, Span::Group(_)) && inverse.as_they_lie();
    let size = lattice.inputs(n);
    let mut integers = vec![lattice.grid.nearest(0.0); n * outputs];
    let mut wrong = vec![0.0; outputs];
    for (at, &i) in inverse.order.iter().enumerate() {
        if refit && i.is_multiple_of(size) {
            let inputs = i..n.min(i + size);
            let now: Vec<f32> =
                weights[inputs.start * outputs..inputs.end * outputs].iter().map(|w| *w as f32).collect();
            let fitted = lattice.fit(&plain.rows(inputs).with(&now), clip);
            scales[i / size * outputs..][..outputs].copy_from_slice(&fitted);
        }
        let (done, rest) = weights.split_at_mut((at + 1) * outputs);
        let d = inverse.factor[at * n + at];
        for (o, w) in done[at * outputs..].iter().enumerate() {
            let entry = i * outputs + o;
            wrong[o] = 0.0;
            if plain.kept(entry) {
                let (integer, stands_for) = lattice.round(*w, scales[lattice.scale_of(shape, entry)]);
                integers[entry] = integer;
                wrong[o] = (w - f64::from(stands_for)) / d;
            }
        }
        let later = inverse.order[at + 1..].iter().zip(rest.chunks_exact_mut(outputs));
        for (u, (i, later)) in inverse.factor[at * n + at + 1..(at + 1) * n].iter().zip(later) {
            if *u == 0.0 {
                continue;
            }
            match plain.keep() {
                None => later.iter_mut().zip(&wrong).for_each(|(w, wrong)| *w -= wrong * u),
                Some(keep) => {
                    let keep = &keep[i * outputs..(i + 1) * outputs];
                    let kept = later.iter_mut().zip(&wrong).zip(keep).filter(|(_, keep)| **keep);
                    kept.for_each(|((w, wrong), _)| *w -= wrong * u);
                }
            }
        }
    }
    Coded { lattice, shape, integers, scales }
}

impl Solver for Gptq {
    const KIND: Kind = KIND;

    fn choose(&self, lattice: Lattice, task: &Task<'_>) -> Result<Choice, StepError> {
        let plain = &task.plain;
        let own = lattice.fit(plain, self.clip);
        let output = awq::clip(plain, lattice, task.moments);
        let mut best = task.nearest(lattice);
        // Rows that were not solved for may want more damping; that is tried in one order.
        let (first, second) = match self.order {
            Order::Activation => (true, None),
            Order::None => (false, None),
            Order::Best => (true, Some((false, 1.0, "compensation as they lie"))),
        };
        let name = if first { "compensation, largest first" } else { "compensation as they lie" };
        let tried = [
            (first, 1.0, name),
            (first, 10.0, "compensation damped 10 times"),
            (first, 100.0, "compensation damped 100 times"),
        ];
        for (by_activation, times, name) in tried.into_iter().chain(second) {
            task.progress("inverting")?;
            let inverse = Inverse::new(task.moments, by_activation, self.damping * times)
                .map_err(|e| task.failed(e))?;
            for scales in [&own, &output] {
                task.progress("rounding inputs")?;
                best.offer(compensate(plain, lattice, (scales.clone(), self.clip), &inverse), name);
            }
        }
        Ok(best.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lattice::Span;
    use crate::moments::tests::{rows, weight};
    use crate::moments::{Seen, off};
    use nlpress_packed::Grid;

    fn moments(inputs: usize, seed: u64) -> Moments {
        let mut seen = Seen::new(inputs);
        seen.add(&rows(400, inputs, seed)).unwrap();
        seen.moments(false)
    }

    fn error(moments: &Moments, plain: &Plain<'_>, coded: &Coded) -> f64 {
        moments.errors(&off(plain.values(), &coded.values(plain.keep())), plain.shape().1).iter().sum()
    }

    #[test]
    fn the_last_input_makes_up_for_the_first_exactly() {
        // Two inputs that are always the same: what one is off, the other takes up.
        let mut seen = Seen::new(2);
        seen.add(&[1.0, 1.0, 2.0, 2.0]).unwrap();
        let moments = seen.moments(false);
        let plain = Plain::new(&[0.4, 0.4], 1, None).unwrap();
        let lattice = Lattice { grid: Grid::Int4, span: Span::Channel };
        let inverse = Inverse::new(&moments, false, 1e-6).unwrap();
        let coded = compensate(&plain, lattice, (vec![1.0], Clip::Mse), &inverse);
        assert_eq!(coded.integers, [0, 1], "0.8 in all: 0 first, then 0.8, which is 1");
        assert_eq!(lattice.nearest(&plain, vec![1.0]).integers, [0, 0]);
    }

    #[test]
    fn outputs_are_off_less_than_by_rounding_with_the_same_scales() {
        let (moments, weight) = (moments(40, 3), weight(40, 12, 3));
        let plain = Plain::new(&weight, 12, None).unwrap();
        for grid in [Grid::Int8, Grid::Int4, Grid::Int3, Grid::Int2, Grid::Ternary] {
            for span in [Span::Channel, Span::Tensor, Span::Group(16)] {
                for by_activation in [false, true] {
                    let lattice = Lattice { grid, span };
                    let scales = lattice.fit(&plain, Clip::Mse);
                    let nearest = error(&moments, &plain, &lattice.nearest(&plain, scales.clone()));
                    let inverse = Inverse::new(&moments, by_activation, 0.01).unwrap();
                    let coded = compensate(&plain, lattice, (scales, Clip::Mse), &inverse);
                    let found = error(&moments, &plain, &coded);
                    assert!(found < 0.9 * nearest, "{lattice:?} {by_activation}: {found} {nearest}");
                }
            }
        }
    }

    #[test]
    fn inputs_that_never_occur_are_plainly_rounded_and_masked_entries_stay() {
        let (moments, weight) = (moments(10, 4), weight(10, 6, 4));
        let keep: Vec<bool> = (0..60).map(|at| at % 4 != 1).collect();
        let weight: Vec<f32> = weight.iter().zip(&keep).map(|(w, k)| if *k { *w } else { 0.0 }).collect();
        let plain = Plain::new(&weight, 6, Some(&keep)).unwrap();
        let lattice = Lattice { grid: Grid::Int4, span: Span::Channel };
        let scales = lattice.fit(&plain, Clip::Mse);
        let nearest = lattice.nearest(&plain, scales.clone());
        for by_activation in [false, true] {
            let inverse = Inverse::new(&moments, by_activation, 0.01).unwrap();
            let coded = compensate(&plain, lattice, (scales.clone(), Clip::Mse), &inverse);
            assert_eq!(coded.integers[54..], nearest.integers[54..]);
            assert_ne!(coded.integers, nearest.integers);
            assert!(coded.integers.iter().zip(&keep).all(|(q, keep)| *keep || *q == 0));
            assert!(error(&moments, &plain, &coded) < error(&moments, &plain, &nearest));
        }
    }

    #[test]
    fn settings_are_checked() {
        let read = |text: &str| (KIND.parse)(&text.parse().unwrap()).map(|_| ()).unwrap_err();
        assert!(read("damping = 0.0").contains("damping is 0, but it must be between 1e-8 and 1"));
        assert!(read("order = 'random'").contains("unknown value `random`"));
        assert!(read("clip = 'output'").contains("clip is \"output\""));
    }
}
