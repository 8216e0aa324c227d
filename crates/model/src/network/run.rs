//! Passes over a bound network: logits, gradients, and the two halves of a pass with gradients.

use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use nlpress_text::ExamplesRef;
use std::ops::Range;
use std::sync::Arc;

use super::body::Pass;
use super::examples::{Input, length};
use super::factors::{Factored, Gradients, Part};
use super::hooks::Hooks;
use super::parameters::Derivative;
use super::start::Start;
use super::taps::{Loss, Tapping};
use super::wiring::reads_tokens;
use super::{Network, host, lost};
use crate::operations::Slot;
use crate::{Dataset, Dropout, ModelError};

/// Examples of a forward pass without gradients, and the tokens that they may have: more of either are another pass.
const BATCH: usize = 256;
const BATCH_TOKENS: usize = 1 << 13;

/// A forward pass over a range of sites that waits for its backward pass.
#[derive(Debug)]
pub struct Trace {
    sites: Range<usize>,
    start: Start,
    leaves: Vec<Tensor<2>>,
    /// Where the backward pass leaves derivatives in factors, with their sites.
    factors: Vec<(usize, Slot)>,
    /// Absent where the pass ends where it starts.
    output: Option<Tensor<2>>,
    /// What a loss looks at besides; it takes part in the backward pass.
    term: Option<Tensor<1>>,
}

/// What a backward pass leaves.
struct Derived {
    start: Start,
    /// The derivatives by where the pass started.
    into_leaves: Vec<Arc<Vec<f32>>>,
    /// Those in factors.
    factors: Vec<(usize, Slot)>,
    /// Those in burn's graph; absent where the pass ended where it started.
    of: Option<burn::tensor::Gradients>,
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
                let mut start = self.start(examples, &indices)?;
                logits.extend(host(Pass::evaluating(self).whole(&mut start))?);
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
    /// `first` is the place of the first of `indices` in the whole batch, for dropout. The loss is [`Loss`], or a function
    /// that gets the logits `[indices, outputs]`, writes its derivative into the second slice, and returns its value.
    ///
    /// # Errors
    /// [`ModelError`] when the examples are not what the network takes, or the device fails.
    pub fn gradients<'a>(
        &self,
        examples: (impl Into<ExamplesRef<'a>>, &'a [usize]),
        dropout: Option<&Dropout>,
        first: usize,
        loss: &mut dyn Loss,
    ) -> Result<Gradients, ModelError> {
        Ok(self.factored(examples, dropout, first, loss)?.multiplied())
    }

    /// [`gradients`](Network::gradients) in factors.
    ///
    /// # Errors
    /// As [`gradients`](Network::gradients).
    pub fn factored<'a>(
        &self,
        examples: (impl Into<ExamplesRef<'a>>, &'a [usize]),
        dropout: Option<&Dropout>,
        first: usize,
        loss: &mut dyn Loss,
    ) -> Result<Factored, ModelError> {
        let input = Input::Examples(examples.0.into(), examples.1);
        let (loss, trace, upstream) = self.forward_to(input, dropout, first, loss)?;
        Ok(Factored::new(loss, self.derivatives(trace, input, &upstream)?.0))
    }

    /// [`gradients`](Network::gradients) as burn's optimizers take them: on the device, by parameter; none of what is
    /// frozen.
    ///
    /// # Errors
    /// As [`gradients`](Network::gradients).
    pub fn parameter_gradients<'a>(
        &self,
        examples: (impl Into<ExamplesRef<'a>>, &'a [usize]),
        dropout: Option<&Dropout>,
        first: usize,
        loss: &mut dyn Loss,
    ) -> Result<(f64, GradientsParams), ModelError> {
        let input = Input::Examples(examples.0.into(), examples.1);
        let (loss, trace, upstream) = self.forward_to(input, dropout, first, loss)?;
        let mut found = GradientsParams::new();
        let sites = trace.sites.clone();
        let mut derived = self.derived(trace, &upstream)?;
        for i in sites.filter(|i| self.sites[*i].trainable) {
            if let Some(derivative) = self.derivative(i, input, &mut derived) {
                self.register(i, derivative, &mut found);
            }
        }
        for vector in self.vectors.iter().filter_map(|vector| vector.placed.as_ref()) {
            if let Some(by_vector) = derived.of.as_mut().and_then(|of| vector.grad_remove(of)) {
                found.register::<1>(vector.id, by_vector);
            }
        }
        Ok((loss, found))
    }

    /// The whole forward pass, its loss, and the loss's derivative by the logits.
    fn forward_to(
        &self,
        input: Input<'_>,
        dropout: Option<&Dropout>,
        first: usize,
        loss: &mut dyn Loss,
    ) -> Result<(f64, Trace, Vec<f32>), ModelError> {
        let mut tapping = loss.taps().is_any().then(|| Tapping::of(&self.graph, loss.taps()));
        let hooks = tapping.as_mut().map(|tapping| tapping as &mut dyn Hooks);
        let mut trace = self.forward_with(0..self.sites.len(), input, (dropout, first), hooks)?;
        let logits = trace.output()?;
        let mut upstream = vec![0.0; logits.len()];
        let mut total = loss.of_logits(&logits, &mut upstream);
        if let Some((tapping, output)) = tapping.zip(trace.output.clone()) {
            trace.term = loss.of_seen(&tapping.seen(output, trace.start.tokens.as_ref()))?;
            if let Some(term) = &trace.term {
                total += host(term.clone())?.iter().map(|x| f64::from(*x)).sum::<f64>();
            }
        }
        Ok((total, trace, upstream))
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
        self.forward_with(sites, input, (dropout, first), None)
    }

    fn forward_with<'a>(
        &'a self,
        sites: Range<usize>,
        input: Input<'_>,
        (dropout, first): (Option<&'a Dropout>, usize),
        hooks: Option<&'a mut dyn Hooks>,
    ) -> Result<Trace, ModelError> {
        self.check(&sites, input)?;
        let (start, mut starts) = match input {
            Input::Activations(pre) => {
                let (width, node) =
                    (self.sites[sites.start].shape.inputs, self.wiring.nodes[sites.start - 1]);
                let value = self.tensor(pre.to_vec(), [pre.len() / width, width], &self.tracked);
                (Start::default(), vec![(node, value)])
            }
            Input::Examples(examples, indices) => {
                let mut start = self.start(examples, indices)?;
                let starts = self.starts(&mut start, true);
                (start, starts)
            }
        };
        let mut leaves = Vec::new();
        if self.on_cpu || matches!(input, Input::Activations(_)) {
            for (_, value) in &mut starts {
                *value = value.clone().require_grad();
                leaves.push(value.clone());
            }
        }
        let last = self.wiring.last(sites.end);
        let ends_at_a_leaf = !leaves.is_empty() && starts.iter().any(|(node, _)| *node == last);
        let mut pass = Pass::training(self, dropout.map(|d| (d, first)));
        (pass.hooks, pass.factors) = (hooks, Some(Vec::new()));
        let output = (!ends_at_a_leaf).then(|| pass.run(start.tokens.as_ref(), starts, last));
        let factors = pass.factors.unwrap_or_default();
        Ok(Trace { sites, start, leaves, factors, output, term: None })
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
        let (parts, into_input) = self.derivatives(trace, input, upstream)?;
        Ok((Factored::new(0.0, parts).multiplied().flat, into_input))
    }

    /// What [`backward`](Network::backward) returns, part by part.
    fn derivatives(
        &self,
        trace: Trace,
        input: Input<'_>,
        upstream: &[f32],
    ) -> Result<(Vec<Part>, Vec<f32>), ModelError> {
        let sites = trace.sites.clone();
        let mut derived = self.derived(trace, upstream)?;
        let mut parts = Vec::new();
        for i in sites.clone().filter(|i| self.sites[*i].trainable) {
            if let Some(derivative) = self.derivative(i, input, &mut derived) {
                parts.extend(self.parts(i, derivative)?);
            }
        }
        if let (true, Some(of)) = (sites.end == self.sites.len(), &mut derived.of) {
            for vector in self.vectors.iter().filter_map(|vector| vector.placed.as_ref()) {
                let by_vector = vector.grad_remove(of).ok_or_else(|| lost("a vector"))?;
                parts.push(Part::Numbers(host(by_vector)?));
            }
        }
        let into_input = match input {
            Input::Examples(..) => Vec::new(),
            Input::Activations(_) => {
                derived.into_leaves.iter().flat_map(|leaf| leaf.iter().copied()).collect()
            }
        };
        Ok((parts, into_input))
    }

    fn derived(&self, trace: Trace, upstream: &[f32]) -> Result<Derived, ModelError> {
        let Trace { start, leaves, factors, output, term, .. } = trace;
        let Some(output) = output else {
            return Ok(Derived { start, into_leaves: vec![Arc::new(upstream.to_vec())], factors, of: None });
        };
        let factor = self.tensor(upstream.to_vec(), output.dims(), &self.tracked);
        let mut root = (output * factor).sum();
        if let Some(term) = term {
            root = root + term.sum();
        }
        let mut of = root.backward();
        // Taken out rather than copied: burn moves numbers that nobody else holds.
        let into = |leaf: Tensor<2>| {
            host(leaf.grad_remove(&mut of).ok_or_else(|| lost("where the pass starts"))?).map(Arc::new)
        };
        let into_leaves = leaves.into_iter().map(into).collect::<Result<_, _>>()?;
        Ok(Derived { start, into_leaves, factors, of: Some(of) })
    }

    /// The derivative by a site; none where the pass did not come to it.
    fn derivative(
        &self,
        i: usize,
        input: Input<'_>,
        Derived { start, into_leaves, factors, of }: &mut Derived,
    ) -> Option<Derivative> {
        match (input, of) {
            (Input::Examples(..), _) if self.on_cpu && self.wiring.is_table[i] => {
                Some(self.table_derivative(i, start, into_leaves))
            }
            (Input::Examples(ExamplesRef::Features(rows), indices), _) if self.in_plain_memory(i) => {
                Some(self.first_site_derivative((rows, indices), start, &into_leaves[0]))
            }
            (_, Some(of)) => {
                let factors = factors.iter().find(|(site, _)| *site == i).and_then(|(_, slot)| slot.take());
                Some(self.site_derivative(i, factors, of))
            }
            (_, None) => None,
        }
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
        if let Some(i) = sites.clone().find(|i| self.sites[*i].placed.is_none()) {
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
        host(self.output.as_ref().unwrap_or_else(|| &self.leaves[0]).clone().inner())
    }
}
