//! A network as a burn module: what is trained are its parameters, called after our sites.
//!
//! `hidden.0.weight`, `hidden.0.bias`, `encoder.layer.0.output.LayerNorm.weight`: the paths of weights, biases and
//! vectors are those of Hugging Face's files where ours are. What is packed is no parameter: burn sees nothing of it, but
//! for the device that it is on.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};

use super::Network;
use super::placed::{Held, Placed};
use super::wiring::reads_tokens;
use crate::operations::Way;
use nlpress_core::BackendKind;

/// The types of burn that have parameters of these names.
const LINEAR: &str = "Struct:Linear";
const LAYER_NORM: &str = "Struct:LayerNorm";

/// What a module does with each of its parameters.
trait Each {
    fn each<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>>;
}

impl Network {
    /// Every parameter, also what is packed, through `each`.
    fn through(mut self, each: &mut impl Each) -> Self {
        for site in &mut self.sites {
            site.placed = site.placed.take().map(|Placed { weight, bias }| Placed {
                weight: match weight {
                    Held::Floats(weight) => Held::Floats(each.each(weight)),
                    Held::Integers(integers) => Held::Integers(integers),
                },
                bias: bias.map(|bias| each.each(bias)),
            });
        }
        for vector in &mut self.vectors {
            vector.placed = vector.placed.take().map(|param| each.each(param));
        }
        self
    }

    /// The same network with the same numbers, which are not copied, and a graph of its own: replicas compute gradients side
    /// by side, where clones of one network wait for each other for ever in burn 0.22.1.
    #[must_use]
    pub fn replica(&self) -> Self {
        self.clone().fork(&self.tracked)
    }

    /// The network on another device.
    ///
    /// # Panics
    /// When a packed site is held as integers and the device is another: the network is bound there instead.
    fn moved(mut self, device: &Device, each: &mut impl Each) -> Self {
        let plain = device.clone().inner();
        if plain != self.device {
            assert_eq!(
                self.held_as_integers(),
                0,
                "integers stay on their device; bind the model on the other"
            );
        }
        let kind = BackendKind::of(&plain);
        self.host = Some(kind).filter(|kind| kind.is_cpu());
        self.on_cpu = self.host.is_some();
        self.way = self.host.filter(|_| reads_tokens(&self.graph)).map_or(Way::Burn, Way::Host);
        self.tracked = plain.clone().autodiff();
        self.device = plain;
        self.through(each)
    }
}

/// Splits `encoder.layer.0.output.LayerNorm.weight` before the last name.
fn of_vector(id: &str) -> (&str, &str) {
    id.rsplit_once('.').unwrap_or(("", id))
}

impl Module for Network {
    fn collect_devices(&self, mut devices: Vec<Device>) -> Vec<Device> {
        if !devices.contains(&self.device) {
            devices.push(self.device.clone());
        }
        devices
    }

    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        for site in self.sites.iter().filter(|site| site.trainable) {
            let Some(Placed { weight: Held::Floats(weight), bias }) = &site.placed else { continue };
            visitor.enter_module(site.id.as_str(), LINEAR);
            visitor.enter_module("weight", LINEAR);
            weight.visit(visitor);
            visitor.exit_module("weight", LINEAR);
            if let Some(bias) = bias {
                visitor.enter_module("bias", LINEAR);
                bias.visit(visitor);
                visitor.exit_module("bias", LINEAR);
            }
            visitor.exit_module(site.id.as_str(), LINEAR);
        }
        for vector in &self.vectors {
            let Some(param) = &vector.placed else { continue };
            let (module, name) = of_vector(vector.id.as_str());
            visitor.enter_module(module, LAYER_NORM);
            visitor.enter_module(name, LAYER_NORM);
            param.visit(visitor);
            visitor.exit_module(name, LAYER_NORM);
            visitor.exit_module(module, LAYER_NORM);
        }
    }

    fn map<M: ModuleMapper>(mut self, mapper: &mut M) -> Self {
        for site in self.sites.iter_mut().filter(|site| site.trainable) {
            let Some(Placed { weight: Held::Floats(weight), bias }) = site.placed.take() else { continue };
            mapper.enter_module(site.id.as_str(), LINEAR);
            mapper.enter_module("weight", LINEAR);
            let weight = Module::map(weight, mapper);
            mapper.exit_module("weight", LINEAR);
            let bias = bias.map(|bias| {
                mapper.enter_module("bias", LINEAR);
                let bias = Module::map(bias, mapper);
                mapper.exit_module("bias", LINEAR);
                bias
            });
            mapper.exit_module(site.id.as_str(), LINEAR);
            site.placed = Some(Placed { weight: Held::Floats(weight), bias });
        }
        for vector in &mut self.vectors {
            let Some(param) = vector.placed.take() else { continue };
            let (module, name) = of_vector(vector.id.as_str());
            mapper.enter_module(module, LAYER_NORM);
            mapper.enter_module(name, LAYER_NORM);
            vector.placed = Some(Module::map(param, mapper));
            mapper.exit_module(name, LAYER_NORM);
            mapper.exit_module(module, LAYER_NORM);
        }
        self
    }

    fn to_device(self, device: &Device) -> Self {
        struct To<'a>(&'a Device);
        impl Each for To<'_> {
            fn each<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                param.to_device(self.0)
            }
        }
        self.moved(device, &mut To(device))
    }

    fn fork(self, device: &Device) -> Self {
        struct Fork<'a>(&'a Device);
        impl Each for Fork<'_> {
            fn each<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                param.fork(self.0)
            }
        }
        self.moved(device, &mut Fork(device))
    }

    fn train(self) -> Self {
        struct Train;
        impl Each for Train {
            fn each<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                param.train()
            }
        }
        self.through(&mut Train)
    }

    fn valid(&self) -> Self {
        struct Valid;
        impl Each for Valid {
            fn each<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                param.valid()
            }
        }
        self.clone().through(&mut Valid)
    }

    fn materialize(self) -> Self {
        struct Materialize;
        impl Each for Materialize {
            fn each<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                param.materialize()
            }
        }
        self.through(&mut Materialize)
    }
}
