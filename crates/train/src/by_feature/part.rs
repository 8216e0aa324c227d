//! Some outputs of the first site: their weights, and what a batch does with them.
//!
//! A weight reaches one output only, so outputs can be shared out among threads: each computes its own from the
//! product to the update, and nothing is added across them.

use nlpress_model::kernel;
use pulp::Arch;
use std::ops::Range;

use super::Batched;
use super::passed::{Passed, Sleep};
use crate::adam::{Adam, Update};

/// Entries that are computed at a time.
const LANES: usize = 8;

/// The weights of some outputs, by feature, with their moments.
#[derive(Debug)]
pub(super) struct Part {
    /// The outputs, of all that the site has.
    outputs: Range<usize>,
    /// Entries of a feature: the outputs, then zeros up to a multiple of [`LANES`].
    stride: usize,
    all: Numbers,
    /// Which entries may change; none of a mask's zeros.
    keep: Option<Vec<bool>>,
    bias: Vec<f32>,
    /// The numbers of the features of a batch, in its order.
    batch: Numbers,
    gradient: Vec<f32>,
    /// `[rows, stride]`: what the site makes of the batch, then the derivative by it.
    pre: Vec<f32>,
}

/// Weights with both moments, `[features, stride]`.
#[derive(Debug, Default)]
struct Numbers {
    weight: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Part {
    /// Some outputs of a weight `[features, width]`, as a training stands.
    pub(super) fn new(
        outputs: Range<usize>,
        width: usize,
        weight: &[f32],
        adam: &mut Adam,
        keep: Option<&[bool]>,
    ) -> Self {
        // Few outputs are not worth zeros beside them.
        let stride =
            if outputs.len() < LANES / 2 { outputs.len() } else { outputs.len().next_multiple_of(LANES) };
        let (first, second) = adam.moments(0..weight.len());
        let all = Numbers {
            weight: spread(weight, width, &outputs, stride),
            first: spread(first, width, &outputs, stride),
            second: spread(second, width, &outputs, stride),
        };
        let keep = keep.map(|keep| spread(keep, width, &outputs, stride));
        let bias = vec![0.0; stride];
        let (batch, gradient, pre) = (Numbers::default(), Vec::new(), Vec::new());
        Self { outputs, stride, all, keep, bias, batch, gradient, pre }
    }

    /// Wakes the features of a batch up and multiplies its rows.
    pub(super) fn product(&mut self, batch: &Batched, bias: &[f32], passed: &Passed, now: u32) {
        self.batch.clear();
        for &feature in &batch.features {
            let at = feature as usize * self.stride;
            self.batch.push(&self.all, at..at + self.stride);
        }
        self.batch.wake(self.stride, &batch.lasts, passed, now);
        self.bias[..self.outputs.len()].copy_from_slice(&bias[self.outputs.clone()]);
        self.pre.clear();
        self.pre.resize(batch.len() * self.stride, 0.0);
        kernel::rows_times_weight(batch.rows(), &self.batch.weight, &self.bias, &mut self.pre);
    }

    /// Writes what the site makes of the batch into its place in `[rows, width]`.
    pub(super) fn write(&self, into: &mut [f32], width: usize) {
        for (row, pre) in into.chunks_exact_mut(width).zip(self.pre.chunks_exact(self.stride)) {
            row[self.outputs.clone()].copy_from_slice(&pre[..self.outputs.len()]);
        }
    }

    /// Computes the gradient of the batch's features from the derivative by what the site made, `[rows, width]`.
    pub(super) fn gradient(&mut self, batch: &Batched, upstream: &[f32], width: usize) {
        for (pre, row) in self.pre.chunks_exact_mut(self.stride).zip(upstream.chunks_exact(width)) {
            pre[..self.outputs.len()].copy_from_slice(&row[self.outputs.clone()]);
            pre[self.outputs.len()..].fill(0.0);
        }
        self.gradient.clear();
        self.gradient.resize(self.batch.weight.len(), 0.0);
        kernel::add_weight_gradient(batch.rows(), &self.pre, self.stride, &mut self.gradient);
        let Some(keep) = &self.keep else { return };
        for (gradient, &feature) in self.gradient.chunks_exact_mut(self.stride).zip(&batch.features) {
            let keep = &keep[feature as usize * self.stride..];
            gradient.iter_mut().zip(keep).for_each(|(g, keep)| *g = if *keep { *g } else { 0.0 });
        }
    }

    /// The sum of squares of the gradient, for each output.
    pub(super) fn squares(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.outputs.len()];
        for gradient in self.gradient.chunks_exact(self.stride) {
            sums.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += f64::from(*g).powi(2));
        }
        sums
    }

    /// Makes the gradient smaller, the weights too where they decay, and then steps.
    pub(super) fn step(&mut self, features: &[u32], shorter: f32, decay: f32, update: Update) {
        if shorter != 1.0 {
            self.gradient.iter_mut().for_each(|g| *g *= shorter);
        }
        let Numbers { weight, first, second } = &mut self.batch;
        if decay != 1.0 {
            weight.iter_mut().for_each(|w| *w *= decay);
        }
        update.apply(weight, &self.gradient, first, second);
        for (slot, &feature) in features.iter().enumerate() {
            let (from, to) = (slot * self.stride, feature as usize * self.stride);
            self.all.put(to, &self.batch, from..from + self.stride);
        }
    }

    /// Wakes every feature up; `lasts` says since when each has slept.
    pub(super) fn wake(&mut self, lasts: &[u32], passed: &Passed) {
        self.all.wake(self.stride, lasts, passed, passed.steps());
    }

    /// Writes weights and moments into their places in `[features, width]`.
    pub(super) fn settle(&self, weight: &mut [f32], adam: &mut Adam, width: usize) {
        let (first, second) = adam.moments(0..weight.len());
        let Numbers { weight: w, first: m, second: v } = &self.all;
        for (into, from) in [(weight, w), (first, m), (second, v)] {
            for (into, from) in into.chunks_exact_mut(width).zip(from.chunks_exact(self.stride)) {
                into[self.outputs.clone()].copy_from_slice(&from[..self.outputs.len()]);
            }
        }
    }
}

impl Numbers {
    fn clear(&mut self) {
        self.weight.clear();
        self.first.clear();
        self.second.clear();
    }

    fn push(&mut self, from: &Numbers, range: Range<usize>) {
        self.weight.extend_from_slice(&from.weight[range.clone()]);
        self.first.extend_from_slice(&from.first[range.clone()]);
        self.second.extend_from_slice(&from.second[range]);
    }

    fn put(&mut self, at: usize, from: &Numbers, range: Range<usize>) {
        let to = at..at + range.len();
        self.weight[to.clone()].copy_from_slice(&from.weight[range.clone()]);
        self.first[to.clone()].copy_from_slice(&from.first[range.clone()]);
        self.second[to].copy_from_slice(&from.second[range]);
    }

    /// Does to each feature the sleep that began when `lasts` says.
    fn wake(&mut self, stride: usize, lasts: &[u32], passed: &Passed, now: u32) {
        let Self { weight, first, second } = self;
        Arch::new().dispatch(
            #[inline(always)]
            || {
                let weights = weight.chunks_exact_mut(stride).zip(first.chunks_exact_mut(stride));
                for (((w, m), v), &last) in weights.zip(second.chunks_exact_mut(stride)).zip(lasts) {
                    if last == now {
                        continue;
                    }
                    let sleep = passed.sleep(last, now);
                    let (w, w_rest) = w.as_chunks_mut::<LANES>();
                    let (m, m_rest) = m.as_chunks_mut::<LANES>();
                    let (v, v_rest) = v.as_chunks_mut::<LANES>();
                    w.iter_mut().zip(m).zip(v).for_each(|((w, m), v)| sleep.over(w, m, v));
                    sleep.over(w_rest, m_rest, v_rest);
                }
            },
        );
    }
}

impl Sleep {
    #[inline(always)]
    fn over(self, w: &mut [f32], m: &mut [f32], v: &mut [f32]) {
        for ((w, m), v) in w.iter_mut().zip(m).zip(v) {
            *w = self.scale * *w - self.drift * *m / (v.sqrt() + self.epsilon);
            *m *= self.first;
            *v *= self.second;
        }
    }
}

/// The columns of some outputs of `[features, width]`, each row filled up to `stride`.
fn spread<T: Copy + Default>(from: &[T], width: usize, outputs: &Range<usize>, stride: usize) -> Vec<T> {
    let mut spread = vec![T::default(); from.len() / width * stride];
    for (into, from) in spread.chunks_exact_mut(stride).zip(from.chunks_exact(width)) {
        into[..outputs.len()].copy_from_slice(&from[outputs.clone()]);
    }
    spread
}
