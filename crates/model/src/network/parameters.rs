//! The parameters of a network as one row of numbers, and its gradients as burn's optimizers take them.

use burn::module::Param;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use nlpress_core::backend::host::overwritten;
use std::ops::Range;

use super::placed::{Held, Placed};
use super::{Network, host, lost};
use crate::ModelError;

/// The derivative by the numbers of a site.
#[allow(clippy::large_enum_variant)] // there is one at a time
pub(super) enum Derivative {
    /// By the weight, then the bias, in the memory of this process.
    Numbers(Vec<f32>),
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

    /// The derivative by a site on the device, of its weight and its bias.
    pub(super) fn site_derivative(&self, i: usize, gradients: &mut burn::tensor::Gradients) -> Derivative {
        match &self.sites[i].placed {
            Some(Placed { weight: Held::Floats(weight), bias }) => Derivative::Tensors(
                weight.grad_remove(gradients),
                bias.as_ref().and_then(|bias| bias.grad_remove(gradients)),
            ),
            _ => Derivative::Tensors(None, None),
        }
    }

    /// Appends a derivative to a row of numbers.
    pub(super) fn append(
        &self,
        site: usize,
        derivative: Derivative,
        flat: &mut Vec<f32>,
    ) -> Result<(), ModelError> {
        match derivative {
            Derivative::Numbers(numbers) => flat.extend(numbers),
            Derivative::Tensors(weight, bias) => {
                flat.extend(host(weight.ok_or_else(|| lost("a weight"))?)?);
                if self.sites[site].shape.bias {
                    flat.extend(host(bias.ok_or_else(|| lost("a bias"))?)?);
                }
            }
        }
        Ok(())
    }

    /// Puts a derivative where burn's optimizers look for it, unless the parameter is frozen.
    pub(super) fn register(&self, site: usize, derivative: Derivative, into: &mut GradientsParams) {
        let Some(Placed { weight: Held::Floats(weight), bias }) = &self.sites[site].placed else { return };
        let shape = self.sites[site].shape;
        let (by_weight, by_bias) = match derivative {
            Derivative::Tensors(by_weight, by_bias) => (by_weight, by_bias),
            Derivative::Numbers(mut numbers) => {
                let tail = numbers.split_off(shape.weights());
                let by_weight = self.tensor(numbers, [shape.inputs, shape.outputs], &self.device);
                let by_bias = shape.bias.then(|| self.tensor(tail, [1, shape.outputs], &self.device));
                (Some(by_weight), by_bias)
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

/// The parameter with the next numbers of a row.
fn with<const D: usize>(param: Param<Tensor<D>>, rest: &mut &[f32]) -> Param<Tensor<D>> {
    param.map(|value| {
        let is_trained = value.is_require_grad();
        let numbers = rest.split_off(..value.dims().iter().product()).expect("the numbers are counted");
        let value = overwritten(value, numbers).autodiff();
        if is_trained { value.require_grad() } else { value }
    })
}
