//! A model bound to a burn device, where it computes.
//!
//! The forward pass and its gradient are written here and nowhere else. Two things make it fast on text:
//! the first layer is linear in a constant input, so its product and its gradient need no graph, and on the CPU
//! both run on the rows where they lie ([`kernel`](crate::kernel)), so that its weight, the largest by far, never becomes a
//! tensor; and a loss is a plain function of the logits that returns its own derivative, so burn's graph holds
//! just the layers between.
//!
//! A pass may cover a range of sites, which is how model parallelism splits a network over threads: what goes
//! from stage to stage is the pre-activation `[batch, outputs]` of the last site of a range.

mod body;
mod hooks;
mod integers;
mod placed;
mod probe;
mod rounding;
mod rows;
mod tokens;

use burn::tensor::{Device, Tensor, TensorData};
use nlpress_core::Backend;
use nlpress_graph::Shape;
use nlpress_graph::{Graph, Source, Value};
use nlpress_text::Rows;
use std::ops::Range;

use crate::{Dataset, Dropout, Model, ModelError, Weight};
use body::Pass;
use integers::Integers;
use placed::{Held, Placed};
use rounding::Rounding;
use tokens::Tokens;

/// Rows of a forward pass without gradients.
const EVALUATION_BATCH: usize = 256;

/// A model bound to a device.
#[derive(Debug)]
pub struct Network {
    graph: Graph,
    /// Of the graph: what its nodes make, who reads each last, and the node of each site.
    values: Vec<Value>,
    last_readers: Vec<usize>,
    nodes: Vec<usize>,
    sites: Vec<Bound>,
    on_cpu: bool,
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

/// Result of a pass with gradients.
#[derive(Clone, Debug)]
pub struct Gradients {
    /// What the loss function returned.
    pub loss: f64,
    /// The derivative by every entry of [`Model::flat`], in that order.
    pub flat: Vec<f32>,
}

/// A forward pass over a range of sites that waits for its backward pass.
#[derive(Debug)]
pub struct Trace {
    sites: Range<usize>,
    start: Start,
    leaf: Tensor<2>,
    output: Option<Tensor<2>>,
}

/// What the first site made of rows, and how it saw them.
#[derive(Debug, Default)]
struct Start {
    /// A pre-activation for each row, or a start for each word: of this shape.
    values: Vec<f32>,
    shape: [usize; 2],
    /// The words of the rows, where the network looks at them.
    tokens: Option<Tokens>,
    /// The rows with their numbers rounded, and the numbers of all of them, where the site's input is rounded.
    rounded: Option<(Rows, Vec<usize>)>,
    /// The rows without gaps, where the site needed them so.
    dense: Vec<f32>,
}

/// What a range of sites starts from.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Feature rows, for a range that begins with the first site.
    Rows(&'a Rows, &'a [usize]),
    /// Pre-activations `[rows, outputs of the site before]`, for any later range.
    Activations(&'a [f32]),
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
        let graph = model.graph().clone();
        let (values, last_readers) = (graph.values(), graph.last_readers());
        let has_site = |n: &usize| graph.nodes[*n].op.site().is_some();
        let nodes = (0..graph.nodes.len()).filter(has_site).collect();
        let mut network = Self { graph, values, last_readers, nodes, sites, on_cpu, device, tracked };
        for i in range {
            network.place(i, &model.layers()[i].weight);
        }
        network
    }

    /// Bound sites whose packed integers are integers on the device too.
    ///
    /// They take fewer bytes there than floats would, on the `wgpu` backend: every site but the first of an attention
    /// network, with integers that, less their zero points, are within `±127` and have no outliers, in all but groups of
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

    /// How many of [`Model::flat`]'s numbers belong to a range of sites.
    pub fn trainable(&self, sites: Range<usize>) -> usize {
        self.sites[sites].iter().filter(|s| s.trainable).map(|s| s.shape.parameters()).sum()
    }

    /// Puts new numbers on the device, in the order of [`Model::flat`], for a range of sites.
    ///
    /// # Panics
    /// When the count is not [`trainable`](Network::trainable)'s.
    pub fn update(&mut self, sites: Range<usize>, flat: &[f32]) {
        assert_eq!(flat.len(), self.trainable(sites.clone()));
        let mut rest = flat;
        for i in sites {
            let site = &mut self.sites[i];
            if site.trainable {
                let (weight, tail) = rest.split_at(site.shape.weights());
                let (bias, tail) = tail.split_at(site.shape.outputs);
                site.weight.copy_from_slice(weight);
                site.bias.copy_from_slice(bias);
                rest = tail;
                self.place_floats(i);
            }
        }
    }

    /// Rounds what goes into a site as the kernels would if its weight were integers: every row to `levels` steps to
    /// either side of zero, the largest magnitude having all of them. The gradient passes straight through. The words
    /// that an attention network starts from are not numbers, and stay as they are.
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

    /// Logits `[rows, outputs]` of all rows, without dropout.
    ///
    /// # Errors
    /// [`ModelError`] when the rows are not as wide as the network, or the device fails.
    pub fn logits(&self, rows: &Rows) -> Result<Vec<f32>, ModelError> {
        let mut logits = Vec::with_capacity(rows.len() * self.graph.outputs());
        let all: Vec<usize> = (0..rows.len()).collect();
        for indices in all.chunks(EVALUATION_BATCH) {
            let start = self.start(rows, indices)?;
            let values = self.tensor(start.values, start.shape, &self.device);
            let mut pass = Pass::evaluating(self, start.tokens.as_ref());
            logits.extend(host(pass.run(values, 1..self.sites.len()))?);
        }
        Ok(logits)
    }

    /// Logits of every row of a data set.
    ///
    /// # Errors
    /// As [`logits`](Network::logits).
    pub fn logits_of(&self, data: &Dataset) -> Result<Vec<f32>, ModelError> {
        self.logits(data.rows())
    }

    /// Loss and gradient of a batch.
    ///
    /// `first` is the place of the first of `indices` in the whole batch, for dropout. `loss` gets the logits
    /// `[indices, outputs]`, writes its derivative into the second slice, and returns its value.
    ///
    /// # Errors
    /// [`ModelError`] when the rows are not as wide as the network, or the device fails.
    pub fn gradients(
        &self,
        (rows, indices): (&Rows, &[usize]),
        dropout: Option<&Dropout>,
        first: usize,
        loss: &mut dyn FnMut(&[f32], &mut [f32]) -> f64,
    ) -> Result<Gradients, ModelError> {
        let all = 0..self.sites.len();
        let trace = self.forward(all, Input::Rows(rows, indices), dropout, first)?;
        let logits = trace.output()?;
        let mut upstream = vec![0.0; logits.len()];
        let loss = loss(&logits, &mut upstream);
        let (flat, _) = self.backward(trace, Input::Rows(rows, indices), &upstream)?;
        Ok(Gradients { loss, flat })
    }

    /// Runs a range of sites and keeps what the backward pass needs.
    ///
    /// # Errors
    /// As [`gradients`](Network::gradients).
    pub fn forward(
        &self,
        sites: Range<usize>,
        input: Input<'_>,
        dropout: Option<&Dropout>,
        first: usize,
    ) -> Result<Trace, ModelError> {
        self.check(&sites, input)?;
        let (mut start, rest) = match input {
            Input::Rows(rows, indices) => (self.start(rows, indices)?, 1..sites.end),
            Input::Activations(pre) => {
                let width = self.sites[sites.start].shape.inputs;
                let shape = [pre.len() / width, width];
                (Start { values: pre.to_vec(), shape, ..Start::default() }, sites.clone())
            }
        };
        let values = std::mem::take(&mut start.values);
        let leaf = self.tensor(values, start.shape, &self.tracked).require_grad();
        let output = (!rest.is_empty()).then(|| {
            let mut pass = Pass::training(self, start.tokens.as_ref(), dropout.map(|d| (d, first)));
            pass.run(leaf.clone(), rest)
        });
        Ok(Trace { sites, start, leaf, output })
    }

    /// Runs the first site on rows.
    fn start(&self, rows: &Rows, indices: &[usize]) -> Result<Start, ModelError> {
        let Shape { inputs, outputs } = self.sites[0].shape;
        if rows.width() != inputs {
            let have = rows.width();
            return Err(ModelError::Data(format!("rows have {have} features, the network takes {inputs}")));
        }
        if let Some(i) = indices.iter().find(|i| **i >= rows.len()) {
            return Err(ModelError::Data(format!("row {i} does not exist: there are {} rows", rows.len())));
        }
        if let Source::Bag { tokens: most, .. } = self.graph.source {
            let tokens = Tokens::of(rows, indices, most);
            let values = tokens.embed(&self.sites[0].weight, &self.sites[0].bias);
            let shape = [tokens.places(), outputs];
            return Ok(Start { values, shape, tokens: Some(tokens), ..Start::default() });
        }
        let mut start = Start { shape: [indices.len(), outputs], ..Start::default() };
        start.rounded = self.sites[0].rounding.as_ref().map(|rounding| {
            let rounded = rounding.rows(rows.select(indices));
            (rounded, (0..indices.len()).collect())
        });
        let (rows, indices) = start.rounded.as_ref().map_or((rows, indices), |(rows, all)| (rows, all));
        start.values = self.first_site(rows, indices, &mut start.dense)?;
        Ok(start)
    }

    /// Carries the derivative `upstream` by a trace's output back through its sites: returns the derivative by
    /// the range's part of [`Model::flat`], and by the range's input where that is [`Input::Activations`].
    ///
    /// # Errors
    /// As [`gradients`](Network::gradients).
    pub fn backward(
        &self,
        trace: Trace,
        input: Input<'_>,
        upstream: &[f32],
    ) -> Result<(Vec<f32>, Vec<f32>), ModelError> {
        self.check(&trace.sites, input)?;
        let rest = match input {
            Input::Rows(..) => 1..trace.sites.end,
            Input::Activations(_) => trace.sites.clone(),
        };
        let (into_leaf, mut gradients) = match trace.output {
            None => (upstream.to_vec(), None),
            Some(output) => {
                let factor = self.tensor(upstream.to_vec(), output.dims(), &self.tracked);
                let mut gradients = (output * factor).sum().backward();
                // Taken out rather than copied: burn moves numbers that nobody else holds.
                let leaf = trace.leaf.grad_remove(&mut gradients).ok_or_else(|| lost("a hidden layer"))?;
                (host(leaf)?, Some(gradients))
            }
        };
        let mut flat = Vec::with_capacity(self.trainable(trace.sites));
        if let (Input::Rows(rows, indices), true) = (input, self.sites[0].trainable) {
            let Start { tokens, rounded, dense, .. } = &trace.start;
            // The weight's gradient is by what it was multiplied with.
            let (rows, indices) = rounded.as_ref().map_or((rows, indices), |(rows, all)| (rows, all));
            match tokens {
                Some(tokens) => tokens.gradient(&into_leaf, self.sites[0].shape, &mut flat),
                None => self.first_site_gradient((rows, indices, dense), &into_leaf, &mut flat)?,
            }
        }
        for site in &self.sites[rest] {
            let (Some(placed), Some(gradients), true) = (&site.on_device, &mut gradients, site.trainable)
            else {
                continue;
            };
            let Held::Floats(weight) = &placed.weight else { continue };
            flat.extend(host(weight.grad_remove(gradients).ok_or_else(|| lost("a weight"))?)?);
            flat.extend(host(placed.bias.grad_remove(gradients).ok_or_else(|| lost("a bias"))?)?);
        }
        Ok((flat, if matches!(input, Input::Rows(..)) { Vec::new() } else { into_leaf }))
    }

    /// Whether a pass can run over these sites from this input.
    fn check(&self, sites: &Range<usize>, input: Input<'_>) -> Result<(), ModelError> {
        let bad = |why: String| Err(ModelError::Data(why));
        if sites.is_empty() || sites.end > self.sites.len() {
            return bad(format!("sites {sites:?} of {} cannot run", self.sites.len()));
        }
        if self.reads_tokens() && *sites != (0..self.sites.len()) {
            return bad(format!("a network on tokens runs as a whole, not its sites {sites:?} alone"));
        }
        if let Some(i) = sites.clone().find(|i| self.sites[*i].weight.is_empty()) {
            return bad(format!("site {i} is not bound here"));
        }
        match input {
            Input::Rows(..) if sites.start > 0 => {
                bad(format!("feature rows go into site 0, not {}", sites.start))
            }
            Input::Rows(_, []) => bad("there is no row".into()),
            Input::Activations(_) if sites.start == 0 => {
                bad("site 0 takes feature rows, not activations".into())
            }
            Input::Activations(pre) => {
                let width = self.sites[sites.start].shape.inputs;
                if pre.is_empty() || !pre.len().is_multiple_of(width) {
                    return bad(format!("{} activations are not rows of {width}", pre.len()));
                }
                Ok(())
            }
            Input::Rows(..) => Ok(()),
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

    fn bias(&self, i: usize, track: bool) -> Tensor<2> {
        let Bound { shape, bias, .. } = &self.sites[i];
        let bias = self.tensor(bias.clone(), [1, shape.outputs], &self.tracked);
        if track { bias.require_grad() } else { bias }
    }

    /// Whether a site computes without the device.
    fn in_plain_memory(&self, i: usize) -> bool {
        i == 0 && (self.on_cpu || self.reads_tokens())
    }

    /// Whether it starts from tokens, so that it runs as a whole.
    fn reads_tokens(&self) -> bool {
        matches!(self.graph.source, Source::Bag { .. })
    }

    fn tensor(&self, values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values, shape), device)
    }
}

impl Trace {
    /// The pre-activation of the last site, `[rows, outputs]`.
    ///
    /// # Errors
    /// [`ModelError::Device`] when the device fails.
    pub fn output(&self) -> Result<Vec<f32>, ModelError> {
        host(self.output.as_ref().unwrap_or(&self.leaf).clone().inner())
    }
}

fn host(tensor: Tensor<2>) -> Result<Vec<f32>, ModelError> {
    let data = tensor.try_into_data().map_err(|e| ModelError::Device(e.to_string()))?;
    data.try_into_vec::<f32>().map_err(|e| ModelError::Device(format!("{e:?}")))
}

fn lost(what: &str) -> ModelError {
    ModelError::Device(format!("no gradient arrived at {what}"))
}
