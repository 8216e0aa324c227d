//! Adam in one pass over the flat parameters (Kingma and Ba 2015), with decoupled weight decay (Loshchilov and
//! Hutter 2019).
//!
//! burn's own optimiser makes a tensor for every term; here each parameter is read and written once. That is
//! most of the difference in training time on a network this small.

use burn::tensor::Tensor;
use pulp::Arch;
use std::io;
use std::ops::Range;

use crate::record::{Reader, Writer};

/// Moments of every parameter and the count of steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Adam {
    first: Vec<f32>,
    second: Vec<f32>,
    step: u64,
}

/// Decay rates of the moments, and the number that keeps the division finite.
pub type Betas = (f64, f64, f64);

/// One step of Adam for any of its parameters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Update {
    rate: f32,
    root: f32,
    b1: f32,
    b2: f32,
    epsilon: f32,
}

impl Adam {
    /// Fresh state for `n` parameters.
    pub fn new(n: usize) -> Self {
        Self { first: vec![0.0; n], second: vec![0.0; n], step: 0 }
    }

    /// Writes moments and count.
    ///
    /// # Errors
    /// Those of the file.
    pub fn save(&self, to: &mut Writer<'_>) -> io::Result<()> {
        to.count(self.step)?;
        to.row(&self.first)?;
        to.row(&self.second)
    }

    /// Becomes what [`save`](Adam::save) wrote of as many parameters.
    ///
    /// # Errors
    /// Those of the file, and when it has another number of parameters.
    pub fn restore(&mut self, from: &mut Reader<'_>) -> io::Result<()> {
        self.step = from.count()?;
        from.row_into(&mut self.first)?;
        from.row_into(&mut self.second)
    }

    /// The same count of steps, without moments: those of the parameters are elsewhere.
    pub(crate) fn counter(&self) -> Self {
        Self { first: Vec::new(), second: Vec::new(), step: self.step }
    }

    /// The same count of steps with these moments.
    pub(crate) fn with_moments(&self, first: Vec<f32>, second: Vec<f32>) -> Self {
        Self { first, second, step: self.step }
    }

    /// Number of parameters.
    pub fn len(&self) -> usize {
        self.first.len()
    }

    /// Whether there is no parameter.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Moves `parameters` against `gradient`.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn step(&mut self, parameters: &mut [f32], gradient: &[f32], rate: f64, betas: Betas) {
        let update = self.next(rate, betas);
        update.apply(parameters, gradient, &mut self.first, &mut self.second);
    }

    /// Counts a step and says what it does to a parameter; it is for the caller to do it to all of them.
    pub(crate) fn next(&mut self, rate: f64, (b1, b2, epsilon): Betas) -> Update {
        self.step += 1;
        let (first, second) = corrections(self.step, (b1, b2, epsilon));
        Update {
            rate: (rate / first) as f32,
            root: (1.0 / second.sqrt()) as f32,
            b1: b1 as f32,
            b2: b2 as f32,
            epsilon: epsilon as f32,
        }
    }

    /// The first and second moments of some parameters.
    pub(crate) fn moments(&mut self, of: Range<usize>) -> (&mut [f32], &mut [f32]) {
        (&mut self.first[of.clone()], &mut self.second[of])
    }
}

/// `1 − β₁ᵗ` and `1 − β₂ᵗ`: what the moments at step `t` are too small by, since they began at zero.
pub(crate) fn corrections(step: u64, (b1, b2, _): Betas) -> (f64, f64) {
    let t = step.min(i32::MAX as u64) as i32;
    (1.0 - b1.powi(t), 1.0 - b2.powi(t))
}

impl Update {
    /// The same at a multiple of the rate.
    pub(crate) fn at(self, factor: f64) -> Self {
        Self { rate: self.rate * factor as f32, ..self }
    }

    /// Moves `parameters` against `gradient` and their moments with it.
    ///
    /// # Panics
    /// When the lengths differ.
    pub(crate) fn apply(
        self,
        parameters: &mut [f32],
        gradient: &[f32],
        first: &mut [f32],
        second: &mut [f32],
    ) {
        assert!(parameters.len() == gradient.len() && first.len() == gradient.len());
        assert_eq!(first.len(), second.len());
        let Self { rate, root, b1, b2, epsilon } = self;
        Arch::new().dispatch(|| {
            for (((p, g), m), v) in parameters.iter_mut().zip(gradient).zip(first).zip(second) {
                *m = b1 * *m + (1.0 - b1) * g;
                *v = b2 * *v + (1.0 - b2) * g * g;
                *p -= rate * *m / (v.sqrt() * root + epsilon);
            }
        });
    }
}

impl Update {
    /// [`apply`](Update::apply) where the numbers are on a device: what it makes of parameters and both moments.
    pub(crate) fn on_device(
        self,
        parameters: Tensor<1>,
        gradient: Tensor<1>,
        (first, second): (Tensor<1>, Tensor<1>),
    ) -> (Tensor<1>, Tensor<1>, Tensor<1>) {
        let Self { rate, root, b1, b2, epsilon } = self;
        let first = first * b1 + gradient.clone() * (1.0 - b1);
        let second = second * b2 + gradient.clone() * gradient * (1.0 - b2);
        let step = first.clone() * rate / (second.clone().sqrt() * root + epsilon);
        (parameters - step, first, second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_has_the_size_of_the_rate_whatever_the_gradient() {
        let mut parameters = [1.0, 1.0];
        Adam::new(2).step(&mut parameters, &[100.0, -1e-3], 0.1, (0.9, 0.999, 1e-8));
        assert!((parameters[0] - 0.9).abs() < 1e-5 && (parameters[1] - 1.1).abs() < 1e-4, "{parameters:?}");
    }

    #[test]
    fn finds_the_bottom_of_a_bowl() {
        let mut adam = Adam::new(1);
        let mut x = [3.0];
        for _ in 0..500 {
            let g = [2.0 * (x[0] - 1.0)];
            adam.step(&mut x, &g, 0.05, (0.9, 0.999, 1e-8));
        }
        assert!((x[0] - 1.0).abs() < 1e-2, "{x:?}");
    }
}
