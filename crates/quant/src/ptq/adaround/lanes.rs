//! The variables of some outputs, learned side by side: one lane for each, so that a step is arithmetic on rows of them.

use super::Learning;
use crate::lattice::{Coded, Plain};

/// Where the sigmoid is stretched to, so that it reaches 0 and 1.
const LOW: f32 = -0.1;
const HIGH: f32 = 1.1;
/// The share of the iterations before the regularizer starts.
const WARM: f64 = 0.2;
/// The exponent of the regularizer after them, and at the end.
const EXPONENTS: (f32, f32) = (20.0, 2.0);
/// Outputs that are learned side by side.
pub(super) const LANES: usize = 32;

/// Some outputs of a weight, side by side.
pub(super) struct Lanes {
    start: usize,
    outputs: usize,
    /// For each entry: whether it may move at all, the lower neighbour, and how far the next is, in weights.
    live: Vec<[bool; LANES]>,
    below: Vec<[i32; LANES]>,
    step: Vec<[f32; LANES]>,
    /// The lower neighbour minus the weight.
    off: Vec<[f32; LANES]>,
    /// The variables.
    up: Vec<[f32; LANES]>,
    /// What an error of each output counts.
    counts: [f32; LANES],
    /// Neighbours' distance in integers.
    apart: i32,
}

impl Lanes {
    /// Those from `start` on, each entry where its weight lies between its neighbours; `errors` are those of the
    /// nearest.
    pub(super) fn new(plain: &Plain<'_>, coded: &Coded, errors: &[f64], start: usize) -> Self {
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
    pub(super) fn learn(&mut self, square: &[f32], learning: Learning) {
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

    /// Puts the neighbours that were decided for into `coded`.
    pub(super) fn write(&self, coded: &mut Coded) {
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
