//! A site on the device: how its weight is held there, and its product.

use burn::tensor::Tensor;

use super::integers::Integers;

/// A site's numbers on the device.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) weight: Held,
    /// `[1, outputs]`; absent where the site has none.
    pub(super) bias: Option<Tensor<2>>,
}

/// How a device holds a weight.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // there is one for each of a few sites
pub(super) enum Held {
    /// As it is, `[inputs, outputs]`, with a graph where it is trainable.
    Floats(Tensor<2>),
    /// As integers with scales.
    Integers(Integers),
}

impl Placed {
    /// `[rows, inputs]` times the weight, plus the bias, without a graph.
    pub(super) fn evaluate(&self, input: Tensor<2>) -> Tensor<2> {
        let output = match &self.weight {
            Held::Floats(weight) => input.matmul(weight.clone().inner()),
            Held::Integers(integers) => integers.product(input),
        };
        match &self.bias {
            Some(bias) => output + bias.clone().inner(),
            None => output,
        }
    }

    /// The same with a graph, in which integers are constants.
    pub(super) fn train(&self, input: Tensor<2>) -> Tensor<2> {
        let weight = match &self.weight {
            Held::Floats(weight) => weight.clone(),
            Held::Integers(integers) => integers.floats().autodiff(),
        };
        let output = input.matmul(weight);
        match &self.bias {
            Some(bias) => output + bias.clone(),
            None => output,
        }
    }
}
