//! A model bound to a burn device, where it computes.
//!
//! The forward pass and its gradient are written here and nowhere else. Two things make it fast on text:
//! what starts from the text (the first layer on feature rows, the tables of tokens) is linear in a constant input, so its
//! product and its gradient need no graph, and on the CPU both run where the rows lie ([`kernel`](crate::kernel)), so that
//! its weight, the largest by far, never becomes a tensor; and a loss is a plain function of the logits that returns its own derivative, so burn's graph holds
//! just the layers between.
//!
//! A pass may cover a range of sites, which is how model parallelism splits a network over threads: what goes
//! from stage to stage is the pre-activation `[batch, outputs]` of the last site of a range.

mod body;
mod examples;
mod hooks;
mod integers;
mod leaves;
mod placed;
mod probe;
mod rounding;
mod rows;
mod run;
mod start;
mod tokens;
mod wiring;

use burn::tensor::{Device, Tensor, TensorData};
use nlpress_core::Backend;
use nlpress_graph::{Graph, Shape};
use std::ops::Range;

use crate::operations::Way;
use crate::{Model, ModelError, Weight};
use integers::Integers;
use placed::{Held, Placed};
use rounding::Rounding;
use wiring::Wiring;

pub use examples::Input;
pub use run::{Gradients, Trace};

/// A model bound to a device.
#[derive(Debug)]
pub struct Network {
    graph: Graph,
    wiring: Wiring,
    sites: Vec<Bound>,
    vectors: Vec<BoundVector>,
    on_cpu: bool,
    /// How operations between sites are computed: by burn's for feature rows, of which a batch is small.
    way: Way,
    device: Device,
    tracked: Device,
}

#[derive(Debug)]
struct Bound {
    shape: Shape,
    trainable: bool,
    /// How the site's input is rounded, as the runtime's integer kernels do.
    rounding: Option<Rounding>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    /// Absent outside the bound range, and at the first site on the CPU, which computes in plain memory.
    on_device: Option<Placed>,
}

/// A vector of a normalisation.
#[derive(Debug)]
struct BoundVector {
    values: Vec<f32>,
    /// `[1, length]`; absent where the last site is not bound.
    on_device: Option<Tensor<2>>,
}

impl Network {
    /// Puts a model's numbers on the backend's device.
    pub fn bind(model: &Model, backend: &Backend) -> Self {
        Self::bind_sites(model, backend, 0..model.layers().len())
    }

    /// Puts the numbers of a range of sites on the device; only passes within that range can then run.
    pub fn bind_sites(model: &Model, backend: &Backend, range: Range<usize>) -> Self {
        let device = backend.device().clone();
        let tracked = device.clone().autodiff();
        let sites = model
            .layers()
            .iter()
            .enumerate()
            .map(|(i, layer)| Bound {
                shape: layer.shape,
                trainable: layer.weight.is_trainable(),
                rounding: match &layer.weight {
                    Weight::Packed { matrix, .. } => Rounding::of(matrix),
                    _ => None,
                },
                weight: if range.contains(&i) { layer.weight.values().into_owned() } else { Vec::new() },
                bias: if range.contains(&i) { layer.bias.clone() } else { Vec::new() },
                on_device: None,
            })
            .collect();
        let on_cpu = backend.kind().is_cpu();
        let vector = |of: &crate::Vector| BoundVector { values: of.values.clone(), on_device: None };
        let vectors = model.vectors().iter().map(vector).collect();
        let graph = model.graph().clone();
        let wiring = Wiring::of(&graph);
        let in_memory = on_cpu && wiring::reads_tokens(&graph);
        let way = if in_memory { Way::Host(backend.kind()) } else { Way::Burn };
        let mut network = Self { graph, wiring, sites, vectors, on_cpu, way, device, tracked };
        for i in range.clone() {
            network.place(i, &model.layers()[i].weight);
        }
        if range.end == network.sites.len() {
            network.place_vectors();
        }
        network
    }

    /// Bound sites whose packed integers are integers on the device too.
    ///
    /// They take fewer bytes there than floats would, on the `wgpu` backend: every site but tables of tokens, with integers that, less their zero points, are within `±127` and have no outliers, in all but groups of
    /// inputs that are no multiple of 4 (of 8, for integers within `±7`). A pass without gradients multiplies integers of
    /// 8 bits as they lie; smaller ones, held in 4 bits, it unpacks on the device for each product, because there burn
    /// 0.22.1 multiplies wrongly from 16,000 inputs on, if not before. A pass with gradients unpacks all but the first
    /// site.
    ///
    /// Zero on the CPU, where burn has no use for integers.
    pub fn held_as_integers(&self) -> usize {
        let held = |s: &&Bound| matches!(&s.on_device, Some(Placed { weight: Held::Integers(_), .. }));
        self.sites.iter().filter(held).count()
    }

    /// Bound sites whose packed integers were made floats to compute with: those with integers that are not
    /// [`held_as_integers`](Network::held_as_integers). Their inputs are rounded as if they were.
    pub fn dequantized(&self) -> usize {
        let integers = |s: &&Bound| s.rounding.is_some() && !s.weight.is_empty();
        self.sites.iter().filter(integers).count() - self.held_as_integers()
    }

    /// Number of sites.
    pub fn sites(&self) -> usize {
        self.sites.len()
    }

    /// How many of [`Model::flat`]'s numbers belong to a range of sites; vectors belong to the last.
    pub fn trainable(&self, sites: Range<usize>) -> usize {
        let vectors = if sites.end == self.sites.len() { &self.vectors[..] } else { &[] };
        let of_sites = self.sites[sites].iter().filter(|s| s.trainable).map(|s| s.shape.parameters());
        of_sites.chain(vectors.iter().map(|v| v.values.len())).sum()
    }

    /// Puts new numbers on the device, in the order of [`Model::flat`], for a range of sites.
    ///
    /// # Panics
    /// When the count is not [`trainable`](Network::trainable)'s.
    pub fn update(&mut self, sites: Range<usize>, flat: &[f32]) {
        assert_eq!(flat.len(), self.trainable(sites.clone()));
        let mut rest = flat;
        let is_last = sites.end == self.sites.len();
        for i in sites {
            let site = &mut self.sites[i];
            if site.trainable {
                let (weight, tail) = rest.split_at(site.shape.weights());
                let (bias, tail) = tail.split_at(site.shape.biases());
                site.weight.copy_from_slice(weight);
                site.bias.copy_from_slice(bias);
                rest = tail;
                self.place_floats(i);
            }
        }
        if is_last {
            for vector in &mut self.vectors {
                let (values, tail) = rest.split_at(vector.values.len());
                vector.values.copy_from_slice(values);
                rest = tail;
            }
            self.place_vectors();
        }
    }

    /// Rounds what goes into a site as the kernels would if its weight were integers: every row to `levels` steps to
    /// either side of zero, the largest magnitude having all of them. The gradient passes straight through. The tokens
    /// that a table is looked up for are not numbers, and stay as they are.
    ///
    /// # Errors
    /// [`ModelError::Data`] when there is no such site, it is packed, so that its matrix says how its input is
    /// rounded, or there is no level.
    pub fn round_input(&mut self, site: usize, levels: i32) -> Result<(), ModelError> {
        let bad = |why: String| Err(ModelError::Data(why));
        match self.sites.get_mut(site) {
            None => bad(format!("there is no site number {site}")),
            Some(site) if !site.trainable => bad("the input of a packed site is rounded as it says".into()),
            Some(_) if levels < 1 => {
                bad(format!("an input is to have {levels} levels, but needs at least 1"))
            }
            Some(site) => {
                site.rounding = Some(Rounding::dynamic(levels));
                Ok(())
            }
        }
    }

    /// Puts a site's weight on the device, as integers where that works.
    fn place(&mut self, i: usize, weight: &Weight) {
        let integers = match weight {
            Weight::Packed { matrix, .. } if !self.on_cpu && !self.in_plain_memory(i) => {
                Integers::place(matrix, &self.device)
            }
            _ => None,
        };
        match integers {
            Some(integers) => {
                let weight = Held::Integers(integers);
                self.sites[i].on_device = Some(Placed { weight, bias: self.bias(i, false) });
            }
            None => self.place_floats(i),
        }
    }

    fn place_floats(&mut self, i: usize) {
        if self.in_plain_memory(i) {
            return;
        }
        let Bound { shape, trainable, weight, .. } = &self.sites[i];
        let track = *trainable && i > 0;
        let weight = self.tensor(weight.clone(), [shape.inputs, shape.outputs], &self.tracked);
        let weight = Held::Floats(if track { weight.require_grad() } else { weight });
        self.sites[i].on_device = Some(Placed { weight, bias: self.bias(i, track) });
    }

    fn bias(&self, i: usize, track: bool) -> Option<Tensor<2>> {
        let Bound { shape, bias, .. } = &self.sites[i];
        let bias = shape.bias.then(|| self.tensor(bias.clone(), [1, shape.outputs], &self.tracked));
        if track { bias.map(Tensor::require_grad) } else { bias }
    }

    fn place_vectors(&mut self) {
        for n in 0..self.vectors.len() {
            let values = self.vectors[n].values.clone();
            let shape = [1, values.len()];
            self.vectors[n].on_device = Some(self.tensor(values, shape, &self.tracked).require_grad());
        }
    }

    /// Whether a site computes without the device.
    fn in_plain_memory(&self, i: usize) -> bool {
        self.wiring.is_table[i] || (i == 0 && self.on_cpu)
    }

    fn tensor(&self, values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values, shape), device)
    }
}

fn host(tensor: Tensor<2>) -> Result<Vec<f32>, ModelError> {
    let data = tensor.try_into_data().map_err(|e| ModelError::Device(e.to_string()))?;
    data.try_into_vec::<f32>().map_err(|e| ModelError::Device(format!("{e:?}")))
}

fn lost(what: &str) -> ModelError {
    ModelError::Device(format!("no gradient arrived at {what}"))
}
