//! Passes over a bound network: logits, gradients, and the two halves of a pass with gradients.

use burn::tensor::Tensor;
use nlpress_text::ExamplesRef;
use std::ops::Range;

use super::body::Pass;
use super::examples::{Input, length};
use super::leaves::Leaf;
use super::placed::{Held, Placed};
use super::start::Start;
use super::wiring::reads_tokens;
use super::{Network, host, lost};
use crate::{Dataset, Dropout, ModelError};

/// Examples of a forward pass without gradients, and the tokens that they may have: more of either are another pass.
const BATCH: usize = 256;
const BATCH_TOKENS: usize = 1 << 13;

/// Result of a pass with gradients.
#[derive(Clone, Debug)]
pub struct Gradients {
    /// What the loss function returned.
    pub loss: f64,
    /// The derivative by every entry of [`Model::flat`](crate::Model::flat), in that order.
    pub flat: Vec<f32>,
}

/// A forward pass over a range of sites that waits for its backward pass.
#[derive(Debug)]
pub struct Trace {
    sites: Range<usize>,
    start: Start,
    leaves: Vec<Tensor<2>>,
    /// Absent where the pass ends where it starts.
    output: Option<Tensor<2>>,
}

impl Network {
    /// Logits (or embeddings) `[examples, outputs]` of all examples, without dropout.
    ///
    /// # Errors
    /// [`ModelError`] when the examples are not what the network takes, or the device fails.
    pub fn logits<'a>(&self, examples: impl Into<ExamplesRef<'a>>) -> Result<Vec<f32>, ModelError> {
        let examples = examples.into();
        let count = examples.len();
        let mut logits = Vec::with_capacity(count * self.graph.outputs());
        let (mut indices, mut tokens) = (Vec::new(), 0);
        for i in 0..count {
            tokens += length(examples, i);
            indices.push(i);
            let is_full =
                |next: usize| indices.len() == BATCH || tokens + length(examples, next) > BATCH_TOKENS;
            if i + 1 == count || is_full(i + 1) {
                let start = self.start(examples, &indices)?;
                let mut pass = Pass::evaluating(self);
                logits.extend(host(pass.whole(&start, &self.device))?);
                (indices, tokens) = (Vec::new(), 0);
            }
        }
        Ok(logits)
    }

    /// Logits of every row of a data set.
    ///
    /// # Errors
    /// As [`logits`](Network::logits).
    pub fn logits_of(&self, data: &Dataset) -> Result<Vec<f32>, ModelError> {
        self.logits(data.examples())
    }

    /// Loss and gradient of a batch.
    ///
    /// `first` is the place of the first of `indices` in the whole batch, for dropout. `loss` gets the logits
    /// `[indices, outputs]`, writes its derivative into the second slice, and returns its value.
    ///
    /// # Errors
    /// [`ModelError`] when the examples are not what the network takes, or the device fails.
    pub fn gradients<'a>(
        &self,
        (examples, indices): (impl Into<ExamplesRef<'a>>, &'a [usize]),
        dropout: Option<&Dropout>,
        first: usize,
        loss: &mut dyn FnMut(&[f32], &mut [f32]) -> f64,
    ) -> Result<Gradients, ModelError> {
        let (all, input) = (0..self.sites.len(), Input::Examples(examples.into(), indices));
        let trace = self.forward(all, input, dropout, first)?;
        let logits = trace.output()?;
        let mut upstream = vec![0.0; logits.len()];
        let loss = loss(&logits, &mut upstream);
        let (flat, _) = self.backward(trace, input, &upstream)?;
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
        let (mut start, nodes) = match input {
            Input::Examples(examples, indices) => {
                (self.start(examples, indices)?, self.wiring.leaves.clone())
            }
            Input::Activations(pre) => {
                let (width, node) =
                    (self.sites[sites.start].shape.inputs, self.wiring.nodes[sites.start - 1]);
                let values = vec![(pre.to_vec(), [pre.len() / width, width])];
                (Start { values, ..Start::default() }, vec![Leaf { node, tables: Vec::new() }])
            }
        };
        let values = std::mem::take(&mut start.values);
        let leaf = |(values, shape)| self.tensor(values, shape, &self.tracked).require_grad();
        let leaves: Vec<Tensor<2>> = values.into_iter().map(leaf).collect();
        let last = self.wiring.last(sites.end);
        let starts: Vec<_> = nodes.iter().map(|leaf| leaf.node).zip(leaves.iter().cloned()).collect();
        let output = starts.iter().all(|(node, _)| *node != last).then(|| {
            let mut pass = Pass::training(self, dropout.map(|d| (d, first)));
            pass.run(start.tokens.as_ref(), starts, last)
        });
        Ok(Trace { sites, start, leaves, output })
    }

    /// Carries the derivative `upstream` by a trace's output back through its sites: returns the derivative by
    /// the range's part of [`Model::flat`](crate::Model::flat), and by the range's input where that is
    /// [`Input::Activations`].
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
        let Trace { sites, start, leaves, output } = trace;
        let (mut into_leaves, mut gradients) = (vec![upstream.to_vec()], None);
        if let Some(output) = output {
            let factor = self.tensor(upstream.to_vec(), output.dims(), &self.tracked);
            let mut of = (output * factor).sum().backward();
            // Taken out rather than copied: burn moves numbers that nobody else holds.
            let mut into = |leaf: Tensor<2>| {
                host(leaf.grad_remove(&mut of).ok_or_else(|| lost("where the pass starts"))?)
            };
            into_leaves = leaves.into_iter().map(&mut into).collect::<Result<_, _>>()?;
            gradients = Some(of);
        }
        let mut flat = Vec::with_capacity(self.trainable(sites.clone()));
        for i in sites.clone().filter(|i| self.sites[*i].trainable) {
            match (input, &mut gradients) {
                (Input::Examples(..), _) if self.wiring.is_table[i] => {
                    self.table_gradient(i, &start, &into_leaves, &mut flat);
                }
                (Input::Examples(ExamplesRef::Features(rows), indices), _) if i == 0 => {
                    self.first_site_gradient((rows, indices), &start, &into_leaves[0], &mut flat)?;
                }
                (_, Some(gradients)) => self.site_gradient(i, gradients, &mut flat)?,
                (_, None) => {}
            }
        }
        if let (true, Some(gradients)) = (sites.end == self.sites.len(), &mut gradients) {
            for vector in self.vectors.iter().filter_map(|vector| vector.on_device.as_ref()) {
                flat.extend(host(vector.grad_remove(gradients).ok_or_else(|| lost("a vector"))?)?);
            }
        }
        Ok((
            flat,
            match input {
                Input::Examples(..) => Vec::new(),
                Input::Activations(_) => into_leaves.concat(),
            },
        ))
    }

    /// Appends the gradient of a site on the device, of its weight and its bias.
    fn site_gradient(
        &self,
        i: usize,
        gradients: &mut burn::tensor::Gradients,
        flat: &mut Vec<f32>,
    ) -> Result<(), ModelError> {
        let Some(Placed { weight: Held::Floats(weight), bias }) = &self.sites[i].on_device else {
            return Ok(());
        };
        flat.extend(host(weight.grad_remove(gradients).ok_or_else(|| lost("a weight"))?)?);
        if let Some(bias) = bias {
            flat.extend(host(bias.grad_remove(gradients).ok_or_else(|| lost("a bias"))?)?);
        }
        Ok(())
    }

    /// Whether a pass can run over these sites from this input.
    fn check(&self, sites: &Range<usize>, input: Input<'_>) -> Result<(), ModelError> {
        let bad = |why: String| Err(ModelError::Data(why));
        if sites.is_empty() || sites.end > self.sites.len() {
            return bad(format!("sites {sites:?} of {} cannot run", self.sites.len()));
        }
        let is_whole = *sites == (0..self.sites.len());
        if !is_whole && (reads_tokens(&self.graph) || !self.vectors.is_empty()) {
            return bad(format!(
                "a network on tokens or with vectors runs as a whole, not its sites {sites:?} alone"
            ));
        }
        if let Some(i) = sites.clone().find(|i| self.sites[*i].weight.is_empty()) {
            return bad(format!("site {i} is not bound here"));
        }
        match input {
            Input::Examples(..) if sites.start > 0 => {
                bad(format!("examples go into site 0, not {}", sites.start))
            }
            Input::Examples(_, []) => bad("there is no row".into()),
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
            Input::Examples(..) => Ok(()),
        }
    }
}

impl Trace {
    /// The pre-activation of the last site, `[rows, outputs]`; of a whole pass, the network's result.
    ///
    /// # Errors
    /// [`ModelError::Device`] when the device fails.
    pub fn output(&self) -> Result<Vec<f32>, ModelError> {
        host(self.output.as_ref().unwrap_or(&self.leaves[0]).clone().inner())
    }
}
