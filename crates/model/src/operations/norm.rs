//! Normalisation of rows.

use burn::tensor::Tensor;
use nlpress_core::backend::host::{Computed, HostOperation, apply};
use nlpress_kernels::dense::{LayerNorm, normalize, normalize_backward};
use std::borrow::Cow;

use super::Way;

/// Every row to mean 0 and variance 1.
pub(crate) fn norm(way: Way, x: Tensor<2>, epsilon: f32) -> Tensor<2> {
    if let Way::Host(kind) = way {
        return apply(kind, Norm { width: x.dims()[1], epsilon }, [x]);
    }
    let centred = x.clone() - x.mean_dim(1);
    let variance = (centred.clone() * centred.clone()).mean_dim(1);
    centred / (variance + epsilon).sqrt()
}

/// Every row to mean 0 and variance 1, times a gain, plus a bias, both `[1, width]`.
pub(crate) fn layer_norm(way: Way, x: Tensor<2>, [gain, bias]: [Tensor<2>; 2], epsilon: f32) -> Tensor<2> {
    match way {
        Way::Host(kind) => apply(kind, Gained { epsilon }, [x, gain, bias]),
        Way::Burn => norm(way, x, epsilon) * gain + bias,
    }
}

#[derive(Debug)]
struct Norm {
    width: usize,
    epsilon: f32,
}

impl HostOperation<1> for Norm {
    /// What each row was multiplied with.
    type State = Vec<f32>;

    fn forward(&self, [x]: [&[f32]; 1], _: bool) -> Computed<Self::State> {
        let (numbers, factors) = normalize(x, self.width, self.epsilon);
        Computed { shape: [factors.len(), self.width], numbers, state: factors }
    }

    fn backward(
        &self,
        _: [&[f32]; 1],
        (normed, factors): (&[f32], &Self::State),
        upstream: Cow<'_, [f32]>,
        _: [bool; 1],
    ) -> [Option<Vec<f32>>; 1] {
        let mut upstream = upstream.into_owned();
        normalize_backward(normed, factors, &mut upstream);
        [Some(upstream)]
    }
}

#[derive(Debug)]
struct Gained {
    epsilon: f32,
}

impl HostOperation<3> for Gained {
    type State = LayerNorm;

    fn forward(&self, [x, gain, bias]: [&[f32]; 3], _: bool) -> Computed<Self::State> {
        let (numbers, state) = LayerNorm::forward(x, (gain, bias), self.epsilon);
        Computed { shape: [x.len() / gain.len(), gain.len()], numbers, state }
    }

    fn backward(
        &self,
        [_, gain, _]: [&[f32]; 3],
        (_, state): (&[f32], &Self::State),
        upstream: Cow<'_, [f32]>,
        wanted: [bool; 3],
    ) -> [Option<Vec<f32>>; 3] {
        let mut upstream = upstream.into_owned();
        let (mut by_gain, mut by_bias) = (vec![0.0; gain.len()], vec![0.0; gain.len()]);
        state.backward(gain, &mut upstream, (&mut by_gain, &mut by_bias));
        let mut all = [Some(upstream), Some(by_gain), Some(by_bias)];
        std::array::from_fn(|n| all[n].take().filter(|_| wanted[n]))
    }
}
