//! The parameters of a network as one row of numbers, and its gradients as burn's optimizers take them.

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};
use nlpress_core::backend::host::{into_numbers, overwritten};
use std::ops::Range;

use super::factors::Part;
use super::placed::{Held, Placed};
use super::{Network, host, lost};
use crate::ModelError;
use crate::operations::Outer;

/// The derivative by the numbers of a site.
#[allow(clippy::large_enum_variant)] // there is one at a time
pub(super) enum Derivative {
    /// In the memory of this process; an empty bias is none.
    Made {
        /// By the weight.
        weight: Part,
        /// By the bias.
        bias: Vec<f32>,
    },
    /// By the weight in factors, by the bias on the device.
    Factors(Outer, Option<Tensor<2>>),
    /// On the device; absent what has none.
    Tensors(Option<Tensor<2>>, Option<Tensor<2>>),
}

/// Puts new numbers of a parameter on the device.
pub type Update<'a> = Box<dyn FnOnce() + Send + 'a>;

impl Network {
    /// Puts new numbers on the device, in the order of [`Model::flat`](crate::Model::flat), for a range of sites.
    ///
    /// # Panics
    /// When the count is not [`trainable`](Network::trainable)'s.
    pub fn update(&mut self, sites: Range<usize>, flat: &[f32]) {
        self.updates(sites, flat).into_iter().for_each(|update| update());
    }

    /// What [`update`](Network::update) does, as jobs that may be done in any order, or side by side.
    ///
    /// # Panics
    /// As [`update`](Network::update).
    pub fn updates<'a>(&'a mut self, sites: Range<usize>, flat: &'a [f32]) -> Vec<Update<'a>> {
        assert_eq!(flat.len(), self.trainable(sites.clone()));
        let is_last = sites.end == self.sites.len();
        let (mut rest, mut updates) = (flat, Vec::new());
        for site in self.sites[sites].iter_mut().filter(|site| site.trainable) {
            let mut numbers = rest.split_off(..site.shape.parameters()).expect("the numbers are counted");
            updates.push(Box::new(move || {
                if let Some(Placed { weight: Held::Floats(weight), bias }) = site.placed.take() {
                    let weight = Held::Floats(with(weight, &mut numbers));
                    let bias = bias.map(|bias| with(bias, &mut numbers));
                    site.placed = Some(Placed { weight, bias });
                }
            }) as Update<'a>);
        }
        for vector in self.vectors.iter_mut().filter(|_| is_last) {
            let mut numbers = rest.split_off(..vector.length).expect("the numbers are counted");
            updates.push(Box::new(move || {
                vector.placed = vector.placed.take().map(|param| with(param, &mut numbers));
            }));
        }
        updates
    }

    /// The network with the numbers of its parameters changed: they are handed out in the order of
    /// [`Model::flat`](crate::Model::flat), weight and bias of each site and then the vectors, where they lie if that is in
    /// memory of this process and nobody else holds them.
    ///
    /// # Errors
    /// [`ModelError::Device`] when the device fails.
    pub fn changed(self, change: impl FnOnce(Vec<&mut [f32]>)) -> Result<Self, ModelError> {
        let mut taken = Taken::default();
        let network = self.map(&mut taken);
        let mut numbers = taken.0.into_iter().collect::<Result<Vec<_>, _>>()?;
        change(numbers.iter_mut().map(|(numbers, _)| &mut numbers[..]).collect());
        Ok(network.map(&mut Given(numbers.into_iter())))
    }

    /// The numbers of all sites and vectors that are trained, in the order of [`Model::flat`](crate::Model::flat), read
    /// from the device.
    ///
    /// # Errors
    /// [`ModelError::Device`] when the device fails.
    pub fn flat(&self) -> Result<Vec<f32>, ModelError> {
        let mut flat = Vec::with_capacity(self.trainable(0..self.sites.len()));
        for site in self.sites.iter().filter(|site| site.trainable) {
            let Some(Placed { weight: Held::Floats(weight), bias }) = &site.placed else { continue };
            flat.extend(host(weight.val().without_autodiff())?);
            if let Some(bias) = bias {
                flat.extend(host(bias.val().without_autodiff())?);
            }
        }
        for vector in self.vectors.iter().filter_map(|vector| vector.placed.as_ref()) {
            flat.extend(host(vector.val().without_autodiff())?);
        }
        Ok(flat)
    }

    /// The derivative by a site's weight and its bias: on the device, but for the weight's where there are factors.
    pub(super) fn site_derivative(
        &self,
        i: usize,
        factors: Option<Outer>,
        gradients: &mut burn::tensor::Gradients,
    ) -> Derivative {
        let Some(Placed { weight: Held::Floats(weight), bias }) = &self.sites[i].placed else {
            return Derivative::Tensors(None, None);
        };
        let by_bias = bias.as_ref().and_then(|bias| bias.grad_remove(gradients));
        match factors {
            Some(outer) => Derivative::Factors(outer, by_bias),
            None => Derivative::Tensors(weight.grad_remove(gradients), by_bias),
        }
    }

    /// The derivatives by a site's weight and bias in the memory of this process.
    pub(super) fn parts(&self, site: usize, derivative: Derivative) -> Result<Vec<Part>, ModelError> {
        let has_bias = self.sites[site].shape.bias;
        let of_bias = |bias: Option<Tensor<2>>| match has_bias {
            true => host(bias.ok_or_else(|| lost("a bias"))?),
            false => Ok(Vec::new()),
        };
        let (weight, bias) = match derivative {
            Derivative::Made { weight, bias } => (weight, bias),
            Derivative::Factors(outer, bias) => (Part::Product(outer), of_bias(bias)?),
            Derivative::Tensors(weight, bias) => {
                (Part::Numbers(host(weight.ok_or_else(|| lost("a weight"))?)?), of_bias(bias)?)
            }
        };
        Ok([weight].into_iter().chain(has_bias.then_some(Part::Numbers(bias))).collect())
    }

    /// Puts a derivative where burn's optimizers look for it, unless the parameter is frozen.
    pub(super) fn register(&self, site: usize, derivative: Derivative, into: &mut GradientsParams) {
        let Some(Placed { weight: Held::Floats(weight), bias }) = &self.sites[site].placed else { return };
        let shape = self.sites[site].shape;
        let tensor = |part: Part| self.tensor(part.numbers(), [shape.inputs, shape.outputs], &self.device);
        let (by_weight, by_bias) = match derivative {
            Derivative::Tensors(by_weight, by_bias) => (by_weight, by_bias),
            Derivative::Factors(outer, by_bias) => (Some(tensor(Part::Product(outer))), by_bias),
            Derivative::Made { weight, bias } => {
                let by_bias = shape.bias.then(|| self.tensor(bias, [1, shape.outputs], &self.device));
                (Some(tensor(weight)), by_bias)
            }
        };
        // A frozen parameter would move all the same if it were registered.
        if let Some(by_weight) = by_weight.filter(|_| weight.is_require_grad()) {
            into.register::<2>(weight.id, by_weight);
        }
        if let Some((bias, by_bias)) = bias.as_ref().zip(by_bias).filter(|(bias, _)| bias.is_require_grad()) {
            into.register::<2>(bias.id, by_bias);
        }
    }
}

/// The numbers of a parameter, and its shape.
type Shaped = (Vec<f32>, Vec<usize>);

/// The numbers of parameters and their shapes, taken out of them: what is left is nothing worth having.
#[derive(Default)]
struct Taken(Vec<Result<Shaped, ModelError>>);

impl ModuleMapper for Taken {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|value| {
            let (shape, device) = (value.dims().to_vec(), value.device());
            self.0.push(into_numbers(value).map(|numbers| (numbers, shape)).map_err(ModelError::Device));
            Tensor::zeros([1; D], &device)
        })
    }
}

/// Gives parameters their numbers.
struct Given(std::vec::IntoIter<Shaped>);

impl ModuleMapper for Given {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (numbers, shape) = self.0.next().expect("there are numbers for every parameter");
        param.map(|old| {
            let device = old.device().inner();
            Tensor::from_data(TensorData::new(numbers, shape), &device).autodiff().require_grad()
        })
    }
}

/// The parameter with the next numbers of a row.
fn with<const D: usize>(param: Param<Tensor<D>>, rest: &mut &[f32]) -> Param<Tensor<D>> {
    param.map(|value| {
        let is_trained = value.is_require_grad();
        let numbers = rest.split_off(..value.dims().iter().product()).expect("the numbers are counted");
        let value = overwritten(value, numbers).autodiff();
        if is_trained { value.require_grad() } else { value }
    })
}
