//! The product with a weight, the bias and the non-linearity behind it.

use burn::tensor::{Tensor, activation};
use nlpress_core::BackendKind;
use nlpress_core::backend::host::{Computed, HostOperation, apply};
use nlpress_graph::Activation;
use nlpress_kernels::dense::{self, Gate, View, ViewMut, add_product, product as product_of};
use std::borrow::Cow;

use super::outer::{Outer, Slot};
use super::{Way, by_rows};

/// `activation(x · weight + bias)`, with `x` `[rows, inputs]`, `weight` `[inputs, outputs]`, `bias` `[1, outputs]`.
pub(crate) fn affine(
    way: Way,
    x: Tensor<2>,
    (weight, bias): (Tensor<2>, Option<Tensor<2>>),
    activation: Option<Activation>,
) -> Tensor<2> {
    match (way, bias) {
        (Way::Burn, bias) => {
            let product = x.matmul(weight);
            let sum = if let Some(bias) = bias { product + bias } else { product };
            if let Some(activation) = activation { activate(activation, sum) } else { sum }
        }
        (Way::Host(kind), Some(bias)) => {
            apply(kind, Affine { shape: weight.dims(), activation, factors: None }, [x, weight, bias])
        }
        (Way::Host(kind), None) => {
            apply(kind, Affine { shape: weight.dims(), activation, factors: None }, [x, weight])
        }
    }
}

/// `x · weight`. With a place for them, the factors of the weight's derivative are left there by the backward pass, and burn
/// never sees it.
pub(crate) fn product(
    kind: BackendKind,
    x: Tensor<2>,
    weight: Tensor<2>,
    factors: Option<Slot>,
) -> Tensor<2> {
    let weight = if factors.is_some() { weight.without_autodiff().autodiff() } else { weight };
    apply(kind, Affine { shape: weight.dims(), activation: None, factors }, [x, weight])
}

/// A non-linearity of each number.
pub(crate) fn activate(activation: Activation, x: Tensor<2>) -> Tensor<2> {
    match activation {
        Activation::Relu => activation::relu(x),
        // burn's own has the derivative of another function, the approximation by tanh.
        Activation::Gelu => x.clone() * ((x * std::f32::consts::FRAC_1_SQRT_2).erf() + 1.0) * 0.5,
        Activation::Tanh => x.tanh(),
    }
}

/// A weight and its bias, with those of two others that take the same input and have as many outputs.
pub(crate) type Projection = [(Tensor<2>, Tensor<2>); 3];

/// The three products of `x` `[rows, inputs]`, side by side: `[rows, 3 · outputs]`.
pub(crate) fn project(way: Way, x: Tensor<2>, projection: Projection) -> Tensor<2> {
    let Way::Host(kind) = way else {
        let made = projection.map(|(weight, bias)| affine(way, x.clone(), (weight, Some(bias)), None));
        return Tensor::cat(made.into(), 1);
    };
    let [(query, a), (key, b), (value, c)] = projection;
    apply(kind, Project { shape: query.dims() }, [x, query, a, key, b, value, c])
}

#[derive(Debug)]
struct Affine {
    /// Inputs and outputs.
    shape: [usize; 2],
    activation: Option<Activation>,
    /// Where the weight's derivative is left, if it is left in factors.
    factors: Option<Slot>,
}

impl<const N: usize> HostOperation<N> for Affine {
    type State = Option<Gate>;

    fn forward(&self, inputs: [&[f32]; N], tracked: bool) -> Computed<Self::State> {
        let (x, weight, bias) = (inputs[0], inputs[1], inputs.get(2).copied().unwrap_or_default());
        let mut numbers = rows_times(x, weight, bias, self.shape);
        let gate = self.activation.map(|activation| match activation {
            Activation::Relu => dense::relu(&mut numbers),
            Activation::Tanh => dense::tanh(&mut numbers),
            Activation::Gelu => dense::gelu(&mut numbers, tracked),
        });
        Computed { numbers, shape: [x.len() / self.shape[0], self.shape[1]], state: gate }
    }

    fn backward(
        &self,
        inputs: [&[f32]; N],
        (value, gate): (&[f32], &Self::State),
        upstream: Cow<'_, [f32]>,
        wanted: [bool; N],
    ) -> [Option<Vec<f32>>; N] {
        let upstream = match gate {
            None => upstream,
            Some(gate) => {
                let mut upstream = upstream.into_owned();
                gate.close(value, &mut upstream);
                upstream.into()
            }
        };
        let (by_x, (by_weight, by_bias)) = rayon::join(
            || wanted[0].then(|| times_transposed(&upstream, inputs[1], self.shape)),
            || {
                let by_weight = wanted[1].then(|| transposed_times(inputs[0], &upstream, self.shape));
                (by_weight, (wanted.get(2) == Some(&true)).then(|| sums(&upstream, self.shape[1])))
            },
        );
        if let Some(factors) = &self.factors {
            let (inputs, upstream) = (inputs[0].to_vec(), upstream.into_owned());
            factors.put(Outer { inputs, upstream, shape: self.shape });
        }
        let mut all = [by_x, by_weight, by_bias].into_iter();
        std::array::from_fn(|_| all.next().flatten())
    }
}

#[derive(Debug)]
struct Project {
    /// Inputs and outputs of each.
    shape: [usize; 2],
}

impl HostOperation<7> for Project {
    /// The weights side by side, `[inputs, 3 · outputs]`.
    type State = Vec<f32>;

    fn forward(&self, [x, q, a, k, b, v, c]: [&[f32]; 7], _: bool) -> Computed<Self::State> {
        let [inputs, outputs] = self.shape;
        let mut weight = Vec::with_capacity(3 * inputs * outputs);
        for row in 0..inputs {
            [q, k, v].iter().for_each(|of| weight.extend_from_slice(&of[row * outputs..][..outputs]));
        }
        let numbers = rows_times(x, &weight, &[a, b, c].concat(), [inputs, 3 * outputs]);
        Computed { numbers, shape: [x.len() / inputs, 3 * outputs], state: weight }
    }

    fn backward(
        &self,
        inputs: [&[f32]; 7],
        (_, weight): (&[f32], &Self::State),
        upstream: Cow<'_, [f32]>,
        wanted: [bool; 7],
    ) -> [Option<Vec<f32>>; 7] {
        let outputs = self.shape[1];
        let all = [self.shape[0], 3 * outputs];
        let (by_x, (by_weight, by_bias)) = rayon::join(
            || wanted[0].then(|| times_transposed(&upstream, weight, all)),
            || (transposed_times(inputs[0], &upstream, all), sums(&upstream, all[1])),
        );
        let strip = |of: &[f32], nth: usize| {
            let mut strip = Vec::with_capacity(of.len() / 3);
            of.chunks_exact(all[1]).for_each(|row| strip.extend_from_slice(&row[nth * outputs..][..outputs]));
            strip
        };
        let mut by_x = by_x;
        std::array::from_fn(|n| match n {
            0 => by_x.take(),
            _ if !wanted[n] => None,
            n if n % 2 == 1 => Some(strip(&by_weight, n / 2)),
            n => Some(strip(&by_bias, n / 2 - 1)),
        })
    }
}

/// `x · weight + bias`, `[rows, outputs]`; an empty bias is none.
fn rows_times(x: &[f32], weight: &[f32], bias: &[f32], [inputs, outputs]: [usize; 2]) -> Vec<f32> {
    let rows = x.len() / inputs;
    let multiply = if bias.is_empty() { product_of } else { add_product };
    let mut out = if bias.is_empty() { vec![0.0; rows * outputs] } else { bias.repeat(rows) };
    by_rows(&mut out, outputs, |first, out| {
        let rows = out.len() / outputs;
        let x = View::new(&x[first * inputs..][..rows * inputs], rows, inputs);
        multiply(1.0, x, View::new(weight, inputs, outputs), ViewMut::new(out, rows, outputs));
    });
    out
}

/// `upstream · weightᵀ`, `[rows, inputs]`.
fn times_transposed(upstream: &[f32], weight: &[f32], [inputs, outputs]: [usize; 2]) -> Vec<f32> {
    let mut out = vec![0.0; upstream.len() / outputs * inputs];
    by_rows(&mut out, inputs, |first, out| {
        let rows = out.len() / inputs;
        let upstream = View::new(&upstream[first * outputs..][..rows * outputs], rows, outputs);
        let weight = View::new(weight, inputs, outputs).transposed();
        product_of(1.0, upstream, weight, ViewMut::new(out, rows, inputs));
    });
    out
}

/// `xᵀ · upstream`, `[inputs, outputs]`.
fn transposed_times(x: &[f32], upstream: &[f32], [inputs, outputs]: [usize; 2]) -> Vec<f32> {
    let rows = x.len() / inputs;
    let mut out = vec![0.0; inputs * outputs];
    let x = View::new(x, rows, inputs).transposed();
    product_of(1.0, x, View::new(upstream, rows, outputs), ViewMut::new(&mut out, inputs, outputs));
    out
}

/// The sums of all rows.
fn sums(upstream: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![0.0; width];
    dense::sum_rows(upstream, &mut sums);
    sums
}
