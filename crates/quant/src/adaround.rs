//! `quant.adaround`: whether each weight is rounded up or down is learned.
//!
//! Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization", arXiv:2004.10568. The nearest
//! integer is not the best where errors add up in an output. Each entry gets a variable whose rectified sigmoid says how
//! far between its two neighbours it lies; Adam lowers the mean squared error of the site's outputs, and a term whose
//! exponent falls makes every variable decide. The error is taken from the second moments of the inputs, so that a
//! step costs the same whatever the rows.
//!
//! The error of each output counts in parts of what plain rounding makes of it, times its entries: then one weight of
//! the deciding term fits every site. Outputs are independent, given their scales, so each keeps the learned integers
//! only where they are better than the nearest.

use nlpress_model::{Model, Outline, SiteId};
use nlpress_packed::Per;
use nlpress_technique::{Cx, Family, Kind, Needs, Problem, StepError, Technique, parse};
use serde::Deserialize;

use crate::correct::Correct;
use crate::lattice::{Coded, Lattice, Plain};
use crate::moments::{Moments, off};
use crate::rounding::Clip;
use crate::samples::{self, Best, CORRECT, Calibrated, GRID, PER, SAMPLES, Task};
use crate::{QuantError, settings};

/// Where the sigmoid is stretched to, so that it reaches 0 and 1.
const LOW: f32 = -0.1;
const HIGH: f32 = 1.1;
/// The share of the iterations in which nothing has to decide yet.
const WARM: f64 = 0.2;
/// The exponent of the deciding term after them, and at the end.
const EXPONENTS: (f32, f32) = (20.0, 2.0);
/// Outputs that are learned side by side.
const LANES: usize = 32;

/// The technique's entry.
pub const KIND: Kind = Kind {
    name: "quant.adaround",
    family: Family::Quantize,
    summary: "weights become integers of a few bits; whether each is rounded up or down is learned",
    source: "Nagel et al. 2020, arXiv:2004.10568; bias: Nagel et al. 2019, arXiv:1906.04721",
    example: "grid = \"int4\"\nsamples = 64\niterations = 100",
    on: &["**"],
    settings: &[
        GRID,
        PER,
        ("clip", "\"mse\" (default): the range of least squared error; \"max\": the range of all entries"),
        ("iterations", "steps of learning, from 1 to 100000; 1000 by default"),
        ("rate", "learning rate, from 1e-6 to 1; 0.01 by default"),
        ("decide", "weight of the term that makes each variable decide, from 0 to 1000; 30 by default"),
        SAMPLES,
        CORRECT,
    ],
    parse: parse::<AdaRound>,
};

/// The technique's configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct AdaRound {
    calibrated: Calibrated,
    clip: Clip,
    learning: Learning,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    grid: Option<String>,
    #[serde(default, deserialize_with = "settings::per")]
    per: Option<Per>,
    samples: Option<usize>,
    #[serde(default)]
    correct: Correct,
    clip: Option<String>,
    iterations: Option<u32>,
    rate: Option<f64>,
    decide: Option<f64>,
}

impl TryFrom<Raw> for AdaRound {
    type Error = QuantError;

    fn try_from(raw: Raw) -> Result<Self, QuantError> {
        Ok(Self {
            calibrated: Calibrated::read(raw.grid.as_deref(), raw.per, raw.samples, raw.correct)?,
            clip: samples::read_clip(raw.clip.as_deref())?,
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
    /// So many steps of Adam at a rate, with a weight of the deciding term.
    ///
    /// # Errors
    /// [`QuantError::Setting`] naming what is out of its bounds.
    pub fn new(iterations: u32, rate: f64, decide: f64) -> Result<Self, QuantError> {
        let bad = |key, value: String, bound| Err(QuantError::Setting { key, value, bound });
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
/// When the moments are of other inputs, or the scales are not as many as the lattice has.
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

/// Some outputs of a weight, side by side.
struct Lanes {
    start: usize,
    outputs: usize,
    /// For each entry: whether it may move at all, the lower neighbour, and how far the next is, in weights.
    live: Vec<[bool; LANES]>,
    below: Vec<[i32; LANES]>,
    step: Vec<[f32; LANES]>,
    /// How far the lower neighbour is off the weight, in weights.
    off: Vec<[f32; LANES]>,
    /// The variables.
    up: Vec<[f32; LANES]>,
    /// What an error of each output counts.
    counts: [f32; LANES],
    /// Neighbours' distance in integers.
    apart: i32,
}

impl Lanes {
    fn new(plain: &Plain<'_>, coded: &Coded, errors: &[f64], start: usize) -> Self {
        let (inputs, outputs) = plain.shape();
        let mut this = Self {
            start,
            outputs: LANES.min(outputs - start),
            live: vec![[false; LANES]; inputs],
            below: vec![[0; LANES]; inputs],
            step: vec![[0.0; LANES]; inputs],
            off: vec![[0.0; LANES]; inputs],
            up: vec![[0.0; LANES]; inputs],
            counts: [0.0; LANES],
            apart: 1,
        };
        for lane in 0..this.outputs {
            let mut kept = 0.0;
            for i in 0..inputs {
                let at = i * outputs + start + lane;
                let scale = f64::from(coded.scales[coded.lattice.scale_of(plain.shape(), at)]);
                if !plain.kept(at) {
                    continue;
                }
                kept += 1.0;
                let value = f64::from(plain.values()[at]);
                let (below, above) = coded.lattice.around(value / scale);
                let apart = f64::from(above - below);
                let part = ((value / scale - f64::from(below)) / apart).clamp(0.0, 1.0) as f32;
                this.apart = above - below;
                this.live[i][lane] = true;
                this.below[i][lane] = below;
                this.step[i][lane] = (apart * scale) as f32;
                this.off[i][lane] = (f64::from(below) * scale - value) as f32;
                this.up[i][lane] = -((HIGH - LOW) / (part - LOW) - 1.0).ln();
            }
            let error = errors[start + lane];
            this.counts[lane] = if error > 0.0 { (kept / error) as f32 } else { 0.0 };
        }
        this
    }

    /// Learns the variables, given the inputs' mean products `[inputs, inputs]`.
    fn learn(&mut self, square: &[f32], learning: Learning) {
        let n = self.up.len();
        let mut now = vec![[0.0_f32; LANES]; n];
        let (mut first, mut second) = (vec![[0.0_f32; LANES]; n], vec![[0.0_f32; LANES]; n]);
        let warm = f64::from(learning.iterations) * WARM;
        let (mut decay1, mut decay2) = (1.0_f32, 1.0_f32);
        for iteration in 0..learning.iterations {
            for (i, now) in now.iter_mut().enumerate() {
                let (off, step) = (&self.off[i], &self.step[i]);
                for (lane, now) in now.iter_mut().enumerate() {
                    *now = off[lane] + step[lane] * stretched(self.up[i][lane]);
                }
            }
            let done = (f64::from(iteration) - warm) / (f64::from(learning.iterations) - warm);
            let exponent = EXPONENTS.1 + (EXPONENTS.0 - EXPONENTS.1) * (1.0 - done.max(0.0)) as f32;
            let decide = if done < 0.0 { 0.0 } else { learning.decide };
            (decay1, decay2) = (decay1 * 0.9, decay2 * 0.999);
            let rate = learning.rate * (1.0 - decay2).sqrt() / (1.0 - decay1);
            for i in 0..n {
                let mut pull = [0.0_f32; LANES];
                for (square, now) in square[i * n..(i + 1) * n].iter().zip(&now) {
                    for lane in 0..LANES {
                        pull[lane] += square * now[lane];
                    }
                }
                for lane in 0..LANES {
                    let (sigmoid, up) = (sigmoid(self.up[i][lane]), &mut self.up[i][lane]);
                    let raw = (HIGH - LOW) * sigmoid + LOW;
                    let slope = if (0.0..=1.0).contains(&raw) {
                        (HIGH - LOW) * sigmoid * (1.0 - sigmoid)
                    } else {
                        0.0
                    };
                    let side = 2.0 * raw.clamp(0.0, 1.0) - 1.0;
                    // Of 1 - |side|^exponent.
                    let term = if decide > 0.0 && side != 0.0 {
                        -decide * 2.0 * exponent * side.abs().powf(exponent - 1.0) * side.signum()
                    } else {
                        0.0
                    };
                    let error = 2.0 * pull[lane] * self.counts[lane] * self.step[i][lane];
                    let gradient = (error + term) * slope;
                    let (m, v) = (&mut first[i][lane], &mut second[i][lane]);
                    *m = 0.9 * *m + 0.1 * gradient;
                    *v = 0.999 * *v + 0.001 * gradient * gradient;
                    if self.live[i][lane] {
                        *up -= rate * *m / (v.sqrt() + 1e-8);
                    }
                }
            }
        }
    }

    fn write(&self, coded: &mut Coded) {
        let outputs = coded.shape.1;
        for (i, live) in self.live.iter().enumerate() {
            for lane in (0..self.outputs).filter(|lane| live[*lane]) {
                let up = i32::from(stretched(self.up[i][lane]) >= 0.5) * self.apart;
                coded.integers[i * outputs + self.start + lane] = self.below[i][lane] + up;
            }
        }
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

fn stretched(x: f32) -> f32 {
    ((HIGH - LOW) * sigmoid(x) + LOW).clamp(0.0, 1.0)
}

impl AdaRound {
    fn choose<'a>(&self, task: &Task<'a>) -> Result<Best<'a>, StepError> {
        let (plain, lattice) = (&task.plain, self.calibrated.lattice);
        let whole = lattice.fit(plain, Clip::Max);
        let mut best = task.best(lattice.nearest(plain, whole), "the nearest in the whole range");
        let scales = lattice.fit(plain, self.clip);
        if self.clip == Clip::Mse {
            best.offer(lattice.nearest(plain, scales.clone()), "the nearest");
        }
        let mut tick = || task.progress("learning to round");
        let sides = (lattice, scales);
        best.offer(
            learn((plain, task.moments), sides, self.learning, task.cx.threads, &mut tick)?,
            "learned rounding",
        );
        Ok(best)
    }
}

impl Technique for AdaRound {
    fn needs(&self) -> Needs {
        Needs { training: true, ..Needs::default() }
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        self.calibrated.plan(before, on, problems)
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        self.calibrated.pack(model, on, cx, &mut |task| Ok(self.choose(task)?.into()))
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
