//! A model bound to a burn device, where it computes.
//!
//! The forward pass and its gradient are written here and nowhere else. Two things make it fast on text:
//! the first layer is linear in a constant input, so its product and its gradient need no graph, and on the CPU
//! both go through the non-zeros of the rows only; and a loss is a plain function of the logits that returns
//! its own derivative, so burn's graph holds just the layers between.
//!
//! A pass may cover a range of sites, which is how model parallelism splits a network over threads: what goes
//! from stage to stage is the pre-activation `[batch, outputs]` of the last site of a range.

use burn::tensor::{Device, Tensor, TensorData, activation};
use nlpress_core::{Backend, Seed};
use nlpress_outline::{Shape, Spec};
use nlpress_packed::Values;
use nlpress_text::Rows;
use std::ops::Range;

use crate::{Dataset, Model, ModelError, Weight, kernel};

/// Rows of a forward pass without gradients.
const EVALUATION_BATCH: usize = 256;
/// Below this share of non-zeros the sparse product is the faster one (measured: about a third).
const SPARSE_BELOW: f64 = 0.25;

/// A model bound to a device.
#[derive(Debug)]
pub struct Network {
    sites: Vec<Bound>,
    outputs: usize,
    on_cpu: bool,
    device: Device,
    tracked: Device,
}

#[derive(Debug)]
struct Bound {
    shape: Shape,
    trainable: bool,
    /// Levels that the site's input is rounded to, as the runtime's integer kernels do.
    levels: Option<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
    on_device: Option<Placed>,
}

#[derive(Clone, Debug)]
struct Placed {
    weight: Tensor<2>,
    bias: Tensor<2>,
}

/// Dropout of one training step: which hidden units are switched off for which row.
///
/// The choice depends on the seed, the step, the site and the row's place in the batch, so that splitting a
/// batch over workers changes nothing.
#[derive(Clone, Debug)]
pub struct Dropout {
    rate: f64,
    seeds: Vec<Seed>,
    step: u64,
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
    leaf: Tensor<2>,
    output: Option<Tensor<2>>,
    rows: usize,
}

/// What a range of sites starts from.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Feature rows, for a range that begins with the first site.
    Rows(&'a Rows, &'a [usize]),
    /// Pre-activations `[rows, outputs of the site before]`, for any later range.
    Activations(&'a [f32]),
}

impl Dropout {
    /// The dropout of one step of training `spec`.
    pub fn new(spec: &Spec, seed: Seed, step: u64) -> Self {
        let Spec::Mlp(mlp) = spec;
        let seeds = spec.sites().iter().map(|(id, _)| seed.derive("dropout").derive(id.as_str())).collect();
        Self { rate: mlp.dropout, seeds, step }
    }

    /// The same choices at another step.
    #[must_use]
    pub fn at(mut self, step: u64) -> Self {
        self.step = step;
        self
    }

    /// Factors `[rows, width]` for the hidden layer `site`: 0 or `1 / (1 - rate)`. `first` is the place in the
    /// whole batch of the first of these rows.
    fn factors(&self, site: usize, first: usize, rows: usize, width: usize) -> Vec<f32> {
        let scale = (1.0 / (1.0 - self.rate)) as f32;
        let threshold = (self.rate * f64::from(u32::MAX)) as u32;
        let mut factors = Vec::with_capacity(rows * width);
        for row in first..first + rows {
            let mut rng = self.seeds[site].stream((self.step << 24) | row as u64);
            factors.extend((0..width).map(|_| if rng.bits() < threshold { 0.0 } else { scale }));
        }
        factors
    }
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
                levels: match &layer.weight {
                    Weight::Packed { scheme, .. } => match scheme.values {
                        Values::F32 => None,
                        Values::Int32(_) => Some(32767.0),
                        Values::Int8(_) => Some(127.0),
                    },
                    _ => None,
                },
                weight: if range.contains(&i) { layer.weight.values().into_owned() } else { Vec::new() },
                bias: if range.contains(&i) { layer.bias.clone() } else { Vec::new() },
                on_device: None,
            })
            .collect();
        let on_cpu = backend.kind().is_cpu();
        let mut network = Self { sites, outputs: model.spec().outputs(), on_cpu, device, tracked };
        for i in range {
            network.place(i);
        }
        network
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
                self.place(i);
            }
        }
    }

    /// Logits `[rows, outputs]` of all rows, without dropout.
    ///
    /// # Errors
    /// [`ModelError`] when the rows are not as wide as the network, or the device fails.
    pub fn logits(&self, rows: &Rows) -> Result<Vec<f32>, ModelError> {
        let mut logits = Vec::with_capacity(rows.len() * self.outputs);
        let all: Vec<usize> = (0..rows.len()).collect();
        for indices in all.chunks(EVALUATION_BATCH) {
            let hidden = self.first_site(rows, indices)?;
            let first = self.tensor(hidden, [indices.len(), self.sites[0].shape.outputs], &self.device);
            let output = self.rest(first, 1..self.sites.len(), false, None, 0);
            logits.extend(host(output)?);
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
        let (pre, rows, rest) = match input {
            Input::Rows(rows, indices) => (self.first_site(rows, indices)?, indices.len(), 1..sites.end),
            Input::Activations(pre) => {
                let width = self.sites[sites.start].shape.inputs;
                (pre.to_vec(), pre.len() / width, sites.clone())
            }
        };
        let width = pre.len() / rows.max(1);
        let leaf = self.tensor(pre, [rows, width], &self.tracked).require_grad();
        let output = (!rest.is_empty()).then(|| self.rest(leaf.clone(), rest, true, dropout, first));
        Ok(Trace { sites, leaf, output, rows })
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
        let begins = matches!(input, Input::Rows(..));
        let rest = if begins { 1..trace.sites.end } else { trace.sites.clone() };
        let (into_leaf, gradients) = match trace.output {
            None => (upstream.to_vec(), None),
            Some(output) => {
                let shape = output.dims();
                let factor = self.tensor(upstream.to_vec(), shape, &self.tracked);
                let gradients = (output * factor).sum().backward();
                let leaf = trace.leaf.grad(&gradients).ok_or_else(|| lost("a hidden layer"))?;
                (host(leaf)?, Some(gradients))
            }
        };
        let mut flat = Vec::with_capacity(self.trainable(trace.sites.clone()));
        if let (Input::Rows(rows, indices), true) = (input, self.sites[0].trainable && begins) {
            let (weight, bias) = self.first_site_gradient(rows, indices, &into_leaf)?;
            flat.extend(weight);
            flat.extend(bias);
        }
        for i in rest {
            let (site, Some(gradients)) = (&self.sites[i], &gradients) else { continue };
            let (Some(placed), true) = (&site.on_device, site.trainable) else { continue };
            flat.extend(host(placed.weight.grad(gradients).ok_or_else(|| lost("a weight"))?)?);
            flat.extend(host(placed.bias.grad(gradients).ok_or_else(|| lost("a bias"))?)?);
        }
        debug_assert_eq!(into_leaf.len() % trace.rows.max(1), 0);
        Ok((flat, if begins { Vec::new() } else { into_leaf }))
    }

    /// Sites of `range` on a pre-activation `[batch, outputs of the site before]`.
    fn rest(
        &self,
        mut pre: Tensor<2>,
        range: Range<usize>,
        train: bool,
        dropout: Option<&Dropout>,
        first: usize,
    ) -> Tensor<2> {
        for i in range {
            let site = &self.sites[i];
            let placed = site.on_device.as_ref().expect("every site but the first is always placed");
            let mut hidden = activation::relu(pre);
            if let Some(dropout) = dropout.filter(|d| d.rate > 0.0) {
                let [rows, width] = hidden.dims();
                let factors = dropout.factors(i - 1, first, rows, width);
                hidden = hidden
                    * self.tensor(factors, [rows, width], if train { &self.tracked } else { &self.device });
            }
            if let Some(levels) = site.levels {
                hidden = round_to_levels(hidden, levels);
            }
            let (weight, bias) = if train {
                (placed.weight.clone(), placed.bias.clone())
            } else {
                (placed.weight.clone().inner(), placed.bias.clone().inner())
            };
            pre = hidden.matmul(weight) + bias;
        }
        pre
    }

    /// Pre-activation of the first site, `[indices, outputs]`.
    fn first_site(&self, rows: &Rows, indices: &[usize]) -> Result<Vec<f32>, ModelError> {
        let site = &self.sites[0];
        if rows.width() != site.shape.inputs {
            let (have, want) = (rows.width(), site.shape.inputs);
            return Err(ModelError::Data(format!("rows have {have} features, the network takes {want}")));
        }
        let rounded;
        let all: Vec<usize>;
        let (rows, indices) = match site.levels {
            Some(levels) => {
                rounded = round_rows(rows.select(indices), levels);
                all = (0..indices.len()).collect();
                (&rounded, &all[..])
            }
            None => (rows, indices),
        };
        if self.is_sparse(rows) {
            let mut out = vec![0.0; indices.len() * site.shape.outputs];
            kernel::rows_times_weight(rows, indices, &site.weight, &site.bias, &mut out);
            return Ok(out);
        }
        let placed = site.on_device.as_ref().expect("the first site is placed too");
        let input = self.dense(rows, indices);
        host(input.matmul(placed.weight.clone().inner()) + placed.bias.clone().inner())
    }

    fn first_site_gradient(
        &self,
        rows: &Rows,
        indices: &[usize],
        upstream: &[f32],
    ) -> Result<(Vec<f32>, Vec<f32>), ModelError> {
        let shape = self.sites[0].shape;
        let mut bias = vec![0.0; shape.outputs];
        if self.is_sparse(rows) {
            let mut weight = vec![0.0; shape.weights()];
            kernel::add_weight_gradient(rows, indices, upstream, &mut weight, &mut bias);
            return Ok((weight, bias));
        }
        for row in upstream.chunks_exact(shape.outputs) {
            for (sum, x) in bias.iter_mut().zip(row) {
                *sum += x;
            }
        }
        let upstream = self.tensor(upstream.to_vec(), [indices.len(), shape.outputs], &self.device);
        let weight = host(self.dense(rows, indices).transpose().matmul(upstream))?;
        Ok((weight, bias))
    }

    fn is_sparse(&self, rows: &Rows) -> bool {
        self.on_cpu && rows.density() < SPARSE_BELOW
    }

    fn dense(&self, rows: &Rows, indices: &[usize]) -> Tensor<2> {
        let mut values = Vec::new();
        rows.densify(indices.iter().copied(), &mut values);
        self.tensor(values, [indices.len(), rows.width()], &self.device)
    }

    fn place(&mut self, i: usize) {
        let Bound { shape, trainable, weight, bias, .. } = &self.sites[i];
        let put = |values: &[f32], shape, track| {
            let tensor = self.tensor(values.to_vec(), shape, &self.tracked);
            if track { tensor.require_grad() } else { tensor }
        };
        let track = *trainable && i > 0;
        let placed = Placed {
            weight: put(weight, [shape.inputs, shape.outputs], track),
            bias: put(bias, [1, shape.outputs], track),
        };
        self.sites[i].on_device = Some(placed);
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

/// Rounds each row to `±levels` steps of its largest magnitude, as the runtime's integer kernels do; the
/// gradient passes straight through.
fn round_to_levels(input: Tensor<2>, levels: f32) -> Tensor<2> {
    let plain = input.clone().detach();
    let step = (plain.clone().abs().max_dim(1) / levels).clamp_min(f32::MIN_POSITIVE);
    let rounded = (plain.clone() / step.clone()).round() * step;
    input + (rounded - plain)
}

fn round_rows(rows: Rows, levels: f32) -> Rows {
    rows.map_rows(|values| {
        let largest = values.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
        if largest > 0.0 {
            let step = largest / levels;
            values.iter_mut().for_each(|x| *x = (*x / step).round_ties_even() * step);
        }
    })
}

fn host(tensor: Tensor<2>) -> Result<Vec<f32>, ModelError> {
    let data = tensor.try_into_data().map_err(|e| ModelError::Device(e.to_string()))?;
    data.try_into_vec::<f32>().map_err(|e| ModelError::Device(format!("{e:?}")))
}

fn lost(what: &str) -> ModelError {
    ModelError::Device(format!("no gradient arrived at {what}"))
}
