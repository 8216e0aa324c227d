//! A site on the device: how its numbers are held there, and its product.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use nlpress_core::backend::host::with_numbers;

use super::integers::Integers;
use crate::layers::{Layer, Weight};

/// A site's numbers on the device.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) weight: Held,
    /// `[1, outputs]`, as it is added, so that no pass has to reshape it; absent where the site has none.
    pub(super) bias: Option<Param<Tensor<2>>>,
}

/// How a device holds a weight.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // there is one for each of a few sites
pub(super) enum Held {
    /// As it is, `[inputs, outputs]`, with a graph where it is trainable.
    Floats(Param<Tensor<2>>),
    /// As integers with scales.
    Integers(Integers),
}

/// A parameter that is trained.
pub(super) fn trained<const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &Device,
) -> Param<Tensor<D>> {
    // Made without a graph and switched to training once: the other order would leave it without a gradient, silently.
    Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), device)).train()
}

/// A parameter that is not.
fn fixed<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), device)).freeze()
}

/// A value with a graph, where it has one, or without.
pub(super) fn on<const D: usize>(param: &Param<Tensor<D>>, tracked: bool) -> Tensor<D> {
    let value = param.val();
    if tracked { value.autodiff() } else { value.without_autodiff() }
}

impl Placed {
    /// A site's numbers, as integers where it has such, that is asked for, and it works.
    pub(super) fn of(layer: &Layer, device: &Device, may_be_integers: bool) -> Self {
        let shape = [layer.shape.inputs, layer.shape.outputs];
        let is_trained = layer.weight.is_trainable();
        let bias = layer.shape.bias.then(|| {
            let of = if is_trained { trained::<2> } else { fixed::<2> };
            of(layer.bias.clone(), [1, layer.shape.outputs], device)
        });
        let integers = match &layer.weight {
            Weight::Packed { matrix, .. } if may_be_integers => Integers::place(matrix, device),
            _ => None,
        };
        let weight = integers.map_or_else(
            || {
                let of = if is_trained { trained::<2> } else { fixed::<2> };
                Held::Floats(of(layer.weight.values().into_owned(), shape, device))
            },
            Held::Integers,
        );
        Self { weight, bias }
    }

    /// Weight and bias, `[1, outputs]`, as floats: with their graph, integers as constants, for a pass that is `tracked`;
    /// without a graph else, where there are none of integers.
    pub(super) fn floats(&self, tracked: bool) -> Option<(Tensor<2>, Option<Tensor<2>>)> {
        let weight = match &self.weight {
            Held::Floats(weight) => on(weight, tracked),
            Held::Integers(integers) if tracked => integers.floats().autodiff(),
            Held::Integers(_) => return None,
        };
        Some((weight, self.bias_row(tracked)))
    }

    /// `[rows, inputs]` times the weight, plus the bias, without a graph.
    pub(super) fn evaluate(&self, input: Tensor<2>) -> Tensor<2> {
        let output = match &self.weight {
            Held::Floats(weight) => input.matmul(on(weight, false)),
            Held::Integers(integers) => integers.product(input),
        };
        match self.bias_row(false) {
            Some(bias) => output + bias,
            None => output,
        }
    }

    /// The bias `[1, outputs]`.
    pub(super) fn bias_row(&self, tracked: bool) -> Option<Tensor<2>> {
        self.bias.as_ref().map(|bias| on(bias, tracked))
    }

    /// Calls `f` with weight and bias in the memory of this process; without a bias the second is empty.
    ///
    /// # Panics
    /// When the weight is held as integers, which is on no CPU.
    pub(super) fn with_numbers<R>(&self, f: impl FnOnce(&[f32], &[f32]) -> R) -> R {
        let Held::Floats(weight) = &self.weight else { panic!("a CPU holds floats") };
        with_numbers(&weight.val(), |weight| match &self.bias {
            Some(bias) => with_numbers(&bias.val(), |bias| f(weight, bias)),
            None => f(weight, &[]),
        })
    }
}
