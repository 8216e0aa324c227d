//! Forward hooks: the input of a site, and the gradient of the loss by gates on a site's inputs.

use burn::tensor::{Tensor, TensorData};
use nlpress_text::Rows;

use super::body::Pass;
use super::hooks::Probe;
use super::tokens::Tokens;
use super::{Network, Start, host, lost};
use crate::ModelError;

impl Network {
    /// The words of the given rows between blocks of an attention network, without dropout: `[words, width]`, row by
    /// row, after the first `block` blocks (0: after the embedding), which is what the next block adds to.
    ///
    /// # Errors
    /// [`ModelError::Data`] when the network has no blocks or fewer, or the rows do not fit, [`ModelError::Device`]
    /// when the device fails.
    pub fn words(&self, block: usize, rows: &Rows, indices: &[usize]) -> Result<Vec<f32>, ModelError> {
        let blocks = self.graph.blocks();
        let Some(first) = blocks.first() else {
            return Err(ModelError::Data("only a network with attention has words between blocks".into()));
        };
        let ends: Vec<usize> = blocks.iter().map(|block| block.end).collect();
        let Some(&node) = std::iter::once(&first.start).chain(&ends).nth(block) else {
            return Err(ModelError::Data(format!("there are {} blocks, no words after {block}", ends.len())));
        };
        if indices.is_empty() {
            return Err(ModelError::Data("there is no row".into()));
        }
        let Start { values, shape, tokens, .. } = self.start(rows, indices)?;
        let start = self.tensor(values, shape, &self.device);
        let mut probe = Probe { node: Some(node), ..Probe::default() };
        let mut pass = Pass::evaluating(self, tokens.as_ref());
        pass.hooks = Some(&mut probe);
        pass.run(start, 1..self.sites.len());
        let seen = host(probe.captured.ok_or_else(|| lost("the words between blocks"))?)?;
        let (width, places) = (self.values[node].width, tokens.iter().flat_map(Tokens::filled));
        Ok(places.flat_map(|place| &seen[place * width..][..width]).copied().collect())
    }

    /// What goes into a site for the given rows, without dropout: one row of `inputs` numbers for each row, or, inside
    /// an attention network, for each word of it (a one at the word's column for the first site).
    ///
    /// # Errors
    /// [`ModelError::Data`] when there is no such site or the rows do not fit, [`ModelError::Device`] when the
    /// device fails.
    pub fn site_inputs(&self, site: usize, rows: &Rows, indices: &[usize]) -> Result<Rows, ModelError> {
        let Some(bound) = self.sites.get(site) else {
            return Err(ModelError::Data(format!("there is no site number {site}")));
        };
        let width = bound.shape.inputs;
        let Start { values, shape, tokens, .. } = self.start(rows, indices)?;
        if site == 0 {
            let Some(tokens) = tokens else { return Ok(rows.select(indices)) };
            let words: Vec<u32> = tokens.words().collect();
            let (offsets, ones) = ((0..=words.len()).collect(), vec![1.0; words.len()]);
            return Rows::new(width, offsets, words, ones).map_err(|e| ModelError::Data(e.to_string()));
        }
        let start = self.tensor(values, shape, &self.device);
        let mut probe = Probe { capture: Some(site), ..Probe::default() };
        let mut pass = Pass::evaluating(self, tokens.as_ref());
        pass.hooks = Some(&mut probe);
        pass.run(start, 1..self.sites.len());
        let seen = host(probe.captured.ok_or_else(|| lost("the site that is looked at"))?)?;
        let seen = match tokens {
            // Places without a word are nothing that the site must get right.
            Some(tokens) if seen.len() == tokens.places() * width => {
                tokens.filled().flat_map(|place| &seen[place * width..][..width]).copied().collect()
            }
            _ => seen,
        };
        Rows::from_dense(seen.len() / width, width, &seen).map_err(|e| ModelError::Data(e.to_string()))
    }

    /// Gate gradients (Michel, Levy and Neubig 2019): the derivative of the loss by a factor of 1 on each input of each of
    /// `sites`, `[indices, inputs]` for each. `loss` is as in [`Network::gradients`]; the first site's inputs
    /// are words, which have no factor.
    ///
    /// # Errors
    /// [`ModelError::Data`] for the first site or one that is not there, or rows that do not fit,
    /// [`ModelError::Device`] when the device fails.
    pub fn input_worth(
        &self,
        sites: &[usize],
        (rows, indices): (&Rows, &[usize]),
        loss: &mut dyn FnMut(&[f32], &mut [f32]) -> f64,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        if let Some(bad) = sites.iter().find(|s| **s == 0 || **s >= self.sites.len()) {
            return Err(ModelError::Data(format!("site number {bad} has no inputs that units make")));
        }
        let Start { values, shape, tokens, .. } = self.start(rows, indices)?;
        let ones = |site: &usize| {
            let shape = [indices.len(), self.sites[*site].shape.inputs];
            let ones = TensorData::new(vec![1.0_f32; shape[0] * shape[1]], shape);
            (*site, Tensor::<2>::from_data(ones, &self.tracked).require_grad())
        };
        let mut probe = Probe { factors: sites.iter().map(ones).collect(), ..Probe::default() };
        let start = self.tensor(values, shape, &self.tracked);
        let mut pass = Pass::training(self, tokens.as_ref(), None);
        pass.hooks = Some(&mut probe);
        let output = pass.run(start, 1..self.sites.len());
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
