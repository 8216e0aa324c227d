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
    /// Weight and bias as floats: with their graph, integers as constants, for a pass that is `tracked`; without a graph
    /// else, where there are none of integers.
    pub(super) fn floats(&self, tracked: bool) -> Option<(Tensor<2>, Option<Tensor<2>>)> {
        let of = |x: &Tensor<2>| if tracked { x.clone() } else { x.clone().inner() };
        let weight = match &self.weight {
            Held::Floats(weight) => of(weight),
            Held::Integers(integers) if tracked => integers.floats().autodiff(),
            Held::Integers(_) => return None,
        };
        Some((weight, self.bias.as_ref().map(of)))
    }

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
}
