//! Forward hooks: the inputs of sites, and the gradient of the loss by gates on a site's inputs.

use burn::tensor::{Tensor, TensorData};
use nlpress_graph::{Op, Per};
use nlpress_text::{ExamplesRef, Rows};

use super::body::Pass;
use super::hooks::{Probe, Watch};
use super::taps::{Seen, Tapping, Taps};
use super::tokens::Tokens;
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

    /// Shows what goes into some sites for the given examples, in one pass without dropout. `see` gets the number of a
    /// site and one row of `inputs` numbers for each example, or, among tokens, for each token of it (a one in the column
    /// that is looked up, for a table): those of one site after the other, in the order of the network.
    ///
    /// # Errors
    /// [`ModelError::Data`] when there is no such site or the examples do not fit, [`ModelError::Device`] when the
    /// device fails; and the first error of `see`, after which it is shown nothing more.
    pub fn each_input<'a, E: From<ModelError>>(
        &self,
        sites: &[usize],
        examples: impl Into<ExamplesRef<'a>>,
        indices: &[usize],
        see: &mut dyn FnMut(usize, Rows) -> Result<(), E>,
    ) -> Result<(), E> {
        let examples = examples.into();
        let mut watched = Vec::new();
        for &site in sites {
            let Some(bound) = self.sites.get(site) else {
                return Err(ModelError::Data(format!("there is no site number {site}")).into());
            };
            match (&self.graph.nodes[self.wiring.nodes[site]].op, examples) {
                (Op::Features { .. }, ExamplesRef::Features(rows)) => {
                    self.check_examples(examples, indices)?;
                    see(site, rows.select(indices))?;
                }
                (Op::Embed { by, .. }, _) => {
                    let tokens = self.start(examples, indices)?.tokens;
                    see(site, looked_up(tokens.map(|tokens| tokens.keys(*by)), bound.shape.inputs)?)?;
                }
                _ => watched.push(site),
            }
        }
        if watched.is_empty() {
            return Ok(());
        }
        if indices.is_empty() {
            return Err(ModelError::Data("there is no row".into()).into());
        }
        let mut start = self.start(examples, indices)?;
        let count = start.tokens.as_ref().map(Tokens::count);
        let mut show = |site: usize, input: Tensor<2>| -> Result<(), E> {
            let [_, width] = input.dims();
            let mut seen = host(input)?;
            let node = self.graph.nodes[self.wiring.nodes[site]].from[0];
            if let Some(count) = count.filter(|_| self.wiring.values[node].per == Per::Token) {
                // Where no token is, one place is.
                seen.truncate(count * width);
            }
            let rows = Rows::from_dense(seen.len() / width, width, &seen);
            see(site, rows.map_err(|e| ModelError::Data(e.to_string()))?)
        };
        let mut watch = Watch { sites: &watched, show: &mut show, failed: None };
        let mut pass = Pass::evaluating(self);
        pass.hooks = Some(&mut watch);
        let starts = self.starts(&mut start, false);
        // What comes behind the last of them need not be computed.
        let nodes = watched.iter().map(|site| self.wiring.nodes[*site]);
        let last = nodes.chain(starts.iter().map(|(node, _)| *node)).max().expect("some site is watched");
        pass.run(start.tokens.as_ref(), starts, last);
        watch.failed.map_or(Ok(()), Err)
    }

    /// What goes into one site, as [`each_input`](Network::each_input) shows it.
    ///
    /// # Errors
    /// As [`each_input`](Network::each_input).
    pub fn site_inputs<'a>(
        &self,
        site: usize,
        examples: impl Into<ExamplesRef<'a>>,
        indices: &[usize],
    ) -> Result<Rows, ModelError> {
        let mut found = Err(lost("the site"));
        self.each_input(&[site], examples, indices, &mut |_, rows| {
            found = Ok(rows);
            Ok::<_, ModelError>(())
        })?;
        found
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

/// What tokens look up in a table of `width` rows, as rows with a single one.
fn looked_up(keys: Option<Vec<u32>>, width: usize) -> Result<Rows, ModelError> {
    let keys = keys.unwrap_or_default();
    let (offsets, ones) = ((0..=keys.len()).collect(), vec![1.0; keys.len()]);
    Rows::new(width, offsets, keys, ones).map_err(|e| ModelError::Data(e.to_string()))
}
