//! Forward hooks: the input of a site, and the gradient of the loss by gates on a site's inputs.

use burn::tensor::{Tensor, TensorData};
use nlpress_graph::{Key, Op, Per};
use nlpress_text::{ExamplesRef, Rows};

use super::body::Pass;
use super::hooks::Probe;
use super::taps::{Seen, Tapping, Taps};
use super::{Network, host, lost};
use crate::ModelError;

impl Network {
    /// The tokens of the given examples between layers, without dropout: `[tokens, width]`, row by row, after the first
    /// `block` [layers](nlpress_graph::Graph::blocks) (0: after the embeddings), which is what the next one adds to.
    ///
    /// # Errors
    /// [`ModelError::Data`] when the network has no layers of tokens or fewer, or the examples do not fit,
    /// [`ModelError::Device`] when the device fails.
    pub fn words<'a>(
        &self,
        block: usize,
        examples: impl Into<ExamplesRef<'a>>,
        indices: &[usize],
    ) -> Result<Vec<f32>, ModelError> {
        let blocks = self.graph.blocks();
        let Some(first) = blocks.first() else {
            return Err(ModelError::Data("only a network with attention has words between blocks".into()));
        };
        let ends: Vec<usize> = blocks.iter().map(|block| block.end).collect();
        let Some(&node) = std::iter::once(&first.start).chain(&ends).nth(block) else {
            return Err(ModelError::Data(format!("there are {} blocks, no words after {block}", ends.len())));
        };
        self.captured(Probe { node: Some(node), ..Probe::default() }, node, examples.into(), indices)
    }

    /// What a pass over the given examples makes, without dropout and without a graph.
    ///
    /// # Errors
    /// [`ModelError::Data`] when the examples do not fit, [`ModelError::Device`] when the device fails.
    pub fn seen<'a>(
        &self,
        examples: impl Into<ExamplesRef<'a>>,
        indices: &[usize],
        taps: Taps,
    ) -> Result<Seen, ModelError> {
        if indices.is_empty() {
            return Err(ModelError::Data("there is no row".into()));
        }
        let mut start = self.start(examples.into(), indices)?;
        let mut tapping = Tapping::of(&self.graph, taps);
        let mut pass = Pass::evaluating(self);
        pass.hooks = Some(&mut tapping);
        let output = pass.whole(&mut start);
        Ok(tapping.seen(output, start.tokens.as_ref()))
    }

    /// What goes into a site for the given examples, without dropout: one row of `inputs` numbers for each example, or,
    /// among tokens, for each token of it (a one in the column that is looked up, for a table).
    ///
    /// # Errors
    /// [`ModelError::Data`] when there is no such site or the examples do not fit, [`ModelError::Device`] when the
    /// device fails.
    pub fn site_inputs<'a>(
        &self,
        site: usize,
        examples: impl Into<ExamplesRef<'a>>,
        indices: &[usize],
    ) -> Result<Rows, ModelError> {
        let Some(bound) = self.sites.get(site) else {
            return Err(ModelError::Data(format!("there is no site number {site}")));
        };
        let (width, examples) = (bound.shape.inputs, examples.into());
        let node = &self.graph.nodes[self.wiring.nodes[site]];
        match (&node.op, examples) {
            (Op::Features { .. }, ExamplesRef::Features(rows)) => {
                self.check_examples(examples, indices)?;
                return Ok(rows.select(indices));
            }
            (Op::Embed { by, .. }, _) => return self.looked_up_in(*by, width, examples, indices),
            _ => {}
        }
        let probe = Probe { capture: Some(site), ..Probe::default() };
        let seen = self.captured(probe, node.from[0], examples, indices)?;
        Rows::from_dense(seen.len() / width, width, &seen).map_err(|e| ModelError::Data(e.to_string()))
    }

    /// What tokens look up in a table of `width` rows, as rows with a single one.
    fn looked_up_in(
        &self,
        by: Key,
        width: usize,
        examples: ExamplesRef<'_>,
        indices: &[usize],
    ) -> Result<Rows, ModelError> {
        let keys = self.start(examples, indices)?.tokens.map(|tokens| tokens.keys(by)).unwrap_or_default();
        let (offsets, ones) = ((0..=keys.len()).collect(), vec![1.0; keys.len()]);
        Rows::new(width, offsets, keys, ones).map_err(|e| ModelError::Data(e.to_string()))
    }

    /// What a probe captures, which has the shape of the value of `node`.
    fn captured(
        &self,
        mut probe: Probe,
        node: usize,
        examples: ExamplesRef<'_>,
        indices: &[usize],
    ) -> Result<Vec<f32>, ModelError> {
        if indices.is_empty() {
            return Err(ModelError::Data("there is no row".into()));
        }
        let mut start = self.start(examples, indices)?;
        let mut pass = Pass::evaluating(self);
        pass.hooks = Some(&mut probe);
        pass.whole(&mut start);
        let mut seen = host(probe.captured.ok_or_else(|| lost("what is looked at"))?)?;
        let value = self.wiring.values[node];
        if let Some(tokens) = start.tokens.filter(|_| value.per == Per::Token) {
            // Where no token is, one place is.
            seen.truncate(tokens.count() * value.width);
        }
        Ok(seen)
    }

    /// Gate gradients (Michel, Levy and Neubig 2019): the derivative of the loss by a factor of 1 on each input of each of
    /// `sites`, `[indices, inputs]` for each. `loss` is as in [`Network::gradients`]; what goes into the first site of
    /// feature rows and into tables are words, which have no factor.
    ///
    /// # Errors
    /// [`ModelError::Data`] for such a site or one that is not there, or examples that do not fit,
    /// [`ModelError::Device`] when the device fails.
    pub fn input_worth<'a>(
        &self,
        sites: &[usize],
        (examples, indices): (impl Into<ExamplesRef<'a>>, &[usize]),
        loss: &mut dyn FnMut(&[f32], &mut [f32]) -> f64,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let has_inputs = |s: &usize| *s > 0 && *s < self.sites.len() && !self.wiring.is_table[*s];
        if let Some(bad) = sites.iter().find(|s| !has_inputs(s)) {
            return Err(ModelError::Data(format!("site number {bad} has no inputs that units make")));
        }
        let mut start = self.start(examples.into(), indices)?;
        let ones = |site: &usize| {
            let shape = [indices.len(), self.sites[*site].shape.inputs];
            let ones = TensorData::new(vec![1.0_f32; shape[0] * shape[1]], shape);
            (*site, Tensor::<2>::from_data(ones, &self.tracked).require_grad())
        };
        let mut probe = Probe { factors: sites.iter().map(ones).collect(), ..Probe::default() };
        let mut pass = Pass::training(self, None);
        pass.hooks = Some(&mut probe);
        let output = pass.whole(&mut start);
        let logits = host(output.clone().inner())?;
        let mut upstream = vec![0.0; logits.len()];
        loss(&logits, &mut upstream);
        let factor = self.tensor(upstream, output.dims(), &self.tracked);
        let mut gradients = (output * factor).sum().backward();
        probe
            .factors
            .iter()
            .map(|(_, f)| host(f.grad_remove(&mut gradients).ok_or_else(|| lost("a factor"))?))
            .collect()
    }
}
