//! `quant.adaround`: adaptive rounding, which learns whether each weight is rounded up or down.
//!
//! Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization", arXiv:2004.10568. The nearest
//! integer is not the best where errors add up in an output. Each entry gets a variable whose rectified sigmoid says how
//! far between its two neighbours it lies; Adam minimizes the mean squared error of the site's outputs plus a
//! regularizer, whose annealed exponent drives every variable to 0 or 1. The error follows from the Gram matrix of the
//! inputs, so that the cost of a step does not depend on the number of rows.
//!
//! The error of each output is divided by that of rounding to the nearest, and multiplied by its number of entries: then
//! one weight of the regularizer fits every site. Given their scales, outputs are independent, so each keeps the learned
//! integers only where they are better than the nearest.
//!
//! Only the two neighbours of a weight are ever tried, so the range limits what can be learned, most of all with two bits
//! or fewer. There the range with the smallest error of the outputs ([`awq::clip`]) is tried as well as the one of least
//! squared error, and each output takes the one with the smaller error on held-out rows.

mod lanes;

use nlpress_technique::{Family, Kind, Settings, StepError, parse, settings};
use serde::Deserialize;

use crate::candidates::{Choice, Task};
use crate::lattice::{Coded, Lattice, Plain};
use crate::moments::{Moments, off};
use crate::rounding::Clip;
use crate::samples::{Calibrated, GRID, SAMPLES, Solver};
use crate::{QuantError, awq, sites};
use lanes::{LANES, Lanes};

/// The technique's entry.
pub const KIND: Kind = Kind {
    name: "quant.adaround",
    family: Family::Quantize,
    summary: "AdaRound, adaptive rounding (PTQ): learns for each weight whether it is rounded up or down, by the error of the \
              site's outputs",
    source: "Nagel et al. 2020, AdaRound, arXiv:2004.10568; bias correction: Nagel et al. 2019, arXiv:1906.04721",
    example: "grid = \"int4\"\nsamples = 64\niterations = 100",
    on: &["**"],
    settings: &[GRID, Raw::SETTINGS, SAMPLES],
    parse: parse::<Calibrated<AdaRound>>,
};

/// How it chooses.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
struct AdaRound {
    /// The one to learn in; by the grid where there is none.
    range: Option<Range>,
    learning: Learning,
}

/// The range that the scales of a weight cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    /// By the entries alone.
    Entries(Clip),
    /// By the error of the outputs.
    Output,
}

fn read_range(word: &str) -> Result<Range, QuantError> {
    let mse = ("mse", Range::Entries(Clip::Mse));
    let ranges = [mse, ("output", Range::Output), ("max", Range::Entries(Clip::Max))];
    sites::choose("clip", word, "\"mse\", \"output\" or \"max\"", &ranges)
}

settings! {
    struct Raw {
        /// "mse": the range of least squared error, the default from 3 bits up; "output": the range with the
        /// smallest error of the outputs; "max": the range of all entries; by default, below 3 bits, "mse" and
        /// "output" are both tried
        clip: Option<String>,
        /// steps of learning, from 1 to 100000; 1000 by default
        iterations: Option<u32>,
        /// learning rate, from 1e-6 to 1; 0.01 by default
        rate: Option<f64>,
        /// weight of the regularizer that drives each variable to 0 or 1, from 0 to 1000; 30 by default
        decide: Option<f64>,
    }
}

impl TryFrom<Raw> for AdaRound {
    type Error = QuantError;

    fn try_from(raw: Raw) -> Result<Self, QuantError> {
        Ok(Self {
            range: raw.clip.as_deref().map(read_range).transpose()?,
            learning: Learning::new(
                raw.iterations.unwrap_or(1000),
                raw.rate.unwrap_or(0.01),
                raw.decide.unwrap_or(30.0),
            )?,
        })
    }
}

/// How rounding is learned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Learning {
    iterations: u32,
    rate: f32,
    decide: f32,
}

impl Learning {
    /// `iterations` steps of Adam at a learning rate, with a weight of the regularizer.
    ///
    /// # Errors
    /// [`QuantError::Setting`] naming what is out of its bounds.
    pub fn new(iterations: u32, rate: f64, decide: f64) -> Result<Self, QuantError> {
        let bad = |key, value: String, bound| Err(QuantError::setting(key, value, bound));
        if !(1..=100_000).contains(&iterations) {
            return bad("iterations", iterations.to_string(), "between 1 and 100000");
        }
        if !(1e-6..=1.0).contains(&rate) {
            return bad("rate", rate.to_string(), "between 1e-6 and 1");
        }
        if !(0.0..=1000.0).contains(&decide) {
            return bad("decide", decide.to_string(), "between 0 and 1000");
        }
        Ok(Self { iterations, rate: rate as f32, decide: decide as f32 })
    }
}

/// The integers of a weight with the given scales, each up or down as learned; entries that are not kept stay zero.
///
/// `tick` is called now and then; its error ends the learning. The result does not depend on `threads`.
///
/// # Errors
/// What `tick` gives.
///
/// # Panics
/// When the Gram matrix is of other inputs, or the number of scales is not that of the scheme.
pub fn learn<E>(
    (plain, moments): (&Plain<'_>, &Moments),
    (lattice, scales): (Lattice, Vec<f32>),
    learning: Learning,
    threads: usize,
    tick: &mut dyn FnMut() -> Result<(), E>,
) -> Result<Coded, E> {
    let mut coded = lattice.nearest(plain, scales);
    let outputs = plain.shape().1;
    assert_eq!(moments.inputs(), plain.shape().0);
    let errors = moments.errors(&off(plain.values(), &coded.values(plain.keep())), outputs);
    let square: Vec<f32> = moments.square().iter().map(|x| *x as f32).collect();
    let starts: Vec<usize> = (0..outputs).step_by(LANES).collect();
    for wave in starts.chunks(threads.max(1)) {
        tick()?;
        let lanes = |start: usize| Lanes::new(plain, &coded, &errors, start);
        let mut wave: Vec<Lanes> = wave.iter().map(|start| lanes(*start)).collect();
        std::thread::scope(|scope| {
            let (first, rest) = wave.split_at_mut(1);
            for lanes in rest {
                scope.spawn(|| lanes.learn(&square, learning));
            }
            first[0].learn(&square, learning);
        });
        wave.iter().for_each(|lanes| lanes.write(&mut coded));
    }
    Ok(coded)
}

impl Solver for AdaRound {
    const KIND: Kind = KIND;

    fn choose(&self, lattice: Lattice, task: &Task<'_>) -> Result<Choice, StepError> {
        let plain = &task.plain;
        let whole = lattice.fit(plain, Clip::Max);
        let mut best = task.best(lattice.nearest(plain, whole.clone()), "the nearest in the whole range");
        let ranges = match self.range {
            Some(range) => vec![range],
            None if lattice.grid.bits() <= 2 => vec![Range::Entries(Clip::Mse), Range::Output],
            None => vec![Range::Entries(Clip::Mse)],
        };
        let mut tick = || task.progress("learning to round");
        for range in ranges {
            let (scales, nearest, learned) = match range {
                Range::Entries(Clip::Max) => (whole.clone(), None, "learned rounding in the whole range"),
                Range::Entries(Clip::Mse) => {
                    (lattice.fit(plain, Clip::Mse), Some("the nearest"), "learned rounding")
                }
                Range::Output => {
                    let scales = awq::clip(plain, lattice, task.moments);
                    (scales, Some("the nearest in the best range"), "learned rounding in the best range")
                }
            };
            if let Some(nearest) = nearest {
                best.offer(lattice.nearest(plain, scales.clone()), nearest);
            }
            let sides = (plain, task.moments);
            let coded = learn(sides, (lattice, scales), self.learning, task.cx.threads, &mut tick)?;
            best.offer(coded, learned);
        }
        Ok(best.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lattice::Span;
    use crate::moments::Seen;
    use crate::moments::tests::{rows, weight};
    use nlpress_packed::Grid;
    use std::convert::Infallible;

    fn learned(
        grid: Grid,
        (weight, keep): (&[f32], Option<&[bool]>),
        moments: &Moments,
        threads: usize,
    ) -> (f64, f64, Coded) {
        let outputs = weight.len() / moments.inputs();
        let plain = Plain::new(weight, outputs, keep).unwrap();
        let lattice = Lattice { grid, span: Span::Channel };
        let scales = lattice.fit(&plain, Clip::Mse);
        let nearest = lattice.nearest(&plain, scales.clone());
        let learning = Learning::new(1000, 0.01, 30.0).unwrap();
        let mut tick = || Ok::<(), Infallible>(());
        let Ok(coded) = learn((&plain, moments), (lattice, scales), learning, threads, &mut tick);
        let error = |coded: &Coded| moments.errors(&off(weight, &coded.values(keep)), outputs).iter().sum();
        (error(&nearest), error(&coded), coded)
    }

    fn moments(inputs: usize, seed: u64) -> Moments {
        let mut seen = Seen::new(inputs);
        seen.add(&rows(300, inputs, seed)).unwrap();
        seen.moments(false)
    }

    #[test]
    fn it_comes_close_to_the_best_of_all_roundings() {
        let (moments, weight) = (moments(9, 1), weight(9, 2, 1));
        let (nearest, learned, coded) = learned(Grid::Int3, (&weight, None), &moments, 1);
        let lattice = coded.lattice;
        let mut least = [f64::INFINITY; 2];
        for ups in 0..1_u32 << 9 {
            let mut tried = coded.clone();
            for (at, w) in weight.iter().enumerate() {
                let (below, above) = lattice.around(f64::from(*w) / f64::from(coded.scales[at % 2]));
                tried.integers[at] = if ups >> (at / 2) & 1 == 1 { above } else { below };
            }
            let errors = moments.errors(&off(&weight, &tried.values(None)), 2);
            least.iter_mut().zip(errors).for_each(|(least, e)| *least = e.min(*least));
        }
        let least: f64 = least.iter().sum();
        assert!(learned < 0.85 * nearest && learned < 1.1 * least, "{least} {learned} {nearest}");
    }

    #[test]
    fn every_grid_gains_and_threads_and_masks_change_nothing() {
        let (moments, weight) = (moments(24, 2), weight(24, 70, 2));
        let keep: Vec<bool> = (0..weight.len()).map(|at| at % 3 != 1).collect();
        let masked: Vec<f32> = weight.iter().zip(&keep).map(|(w, k)| if *k { *w } else { 0.0 }).collect();
        for grid in [Grid::Int8, Grid::Int4, Grid::Int3, Grid::Int2, Grid::Ternary] {
            let (nearest, error, coded) = learned(grid, (&masked, Some(&keep)), &moments, 1);
            assert!(error < 0.8 * nearest, "{grid:?}: {error} {nearest}");
            assert_eq!(coded, learned(grid, (&masked, Some(&keep)), &moments, 3).2);
            let most = grid.levels();
            for (at, q) in coded.integers.iter().enumerate() {
                assert!(q.abs() <= most && *q == grid.nearest(f64::from(*q)));
                assert!(keep[at] || *q == grid.nearest(0.0));
            }
        }
    }

    #[test]
    fn settings_are_checked() {
        let read = |text: &str| (KIND.parse)(&text.parse().unwrap()).map(|_| ()).unwrap_err();
        assert!(read("iterations = 0").contains("iterations is 0, but it must be between 1 and 100000"));
        assert!(read("rate = 0.0").contains("rate is 0"));
        assert!(read("decide = -1.0").contains("decide is -1"));
        assert!(read("clip = 'best'").contains("clip is \"best\""));
    }
}
