//! Everything after the first site: the passes of both networks, site by site.

use burn::tensor::{Tensor, TensorData, activation};
use nlpress_outline::{AttentionSpec, Spec};
use std::ops::Range;

use super::Network;
use super::probe::Probe;
use super::tokens::Tokens;
use crate::Dropout;

/// One pass through a network.
pub(super) struct Pass<'a> {
    network: &'a Network,
    tokens: Option<&'a Tokens>,
    train: bool,
    /// What to switch off, and the place in the whole batch of the first row.
    dropout: Option<(&'a Dropout, usize)>,
    pub(super) probe: Option<&'a mut Probe>,
}

impl<'a> Pass<'a> {
    /// A pass with a graph, for gradients.
    pub(super) fn training(
        network: &'a Network,
        tokens: Option<&'a Tokens>,
        dropout: Option<(&'a Dropout, usize)>,
    ) -> Self {
        let dropout = dropout.filter(|(d, _)| !d.is_off());
        Self { network, tokens, train: true, dropout, probe: None }
    }

    /// A pass without.
    pub(super) fn evaluating(network: &'a Network, tokens: Option<&'a Tokens>) -> Self {
        Self { network, tokens, train: false, dropout: None, probe: None }
    }

    /// Runs the sites of `range` on what comes out of the site before it: for a multi-layer perceptron a
    /// pre-activation `[batch, width]`, for an attention network, whose range is all but the first site, the start of
    /// every place `[batch · length, width]`.
    pub(super) fn run(&mut self, start: Tensor<2>, range: Range<usize>) -> Tensor<2> {
        let network = self.network;
        match (&network.spec, self.tokens) {
            (Spec::Attention(spec), Some(tokens)) => self.attention(spec, tokens, start),
            _ => self.perceptron(start, range),
        }
    }

    fn perceptron(&mut self, mut pre: Tensor<2>, range: Range<usize>) -> Tensor<2> {
        for i in range {
            let hidden = if self.network.sites[i].follows_factor {
                pre
            } else {
                self.dropped(activation::relu(pre), i - 1)
            };
            pre = self.site(i, hidden);
        }
        pre
    }

    fn attention(&mut self, spec: &AttentionSpec, tokens: &Tokens, start: Tensor<2>) -> Tensor<2> {
        let (rows, length) = (tokens.rows, tokens.length);
        let device = start.device();
        let fill = |values: Vec<f32>, shape: [usize; 4]| -> Tensor<4> {
            Tensor::from_data(TensorData::new(values, shape), &device)
        };
        let absence = fill(tokens.absence(), [rows, 1, 1, length]);
        let mut next = 1;
        // A factored embedding has its second factor on the device.
        let mut x = if self.network.sites[1].follows_factor { self.next(&mut next, start) } else { start };
        let scale = 1.0 / (spec.head_width as f32).sqrt();
        self.show_words(0, &x);
        for (i, block) in spec.layers.iter().enumerate() {
            let (heads, width) = (block.heads, spec.head_width);
            let split =
                |x: Tensor<2>| -> Tensor<4> { x.reshape([rows, length, heads, width]).swap_dims(1, 2) };
            let normed = norm(x.clone());
            let query = split(self.next(&mut next, normed.clone()));
            let key = split(self.next(&mut next, normed.clone()));
            let value = split(self.next(&mut next, normed));
            let scores = query.matmul(key.swap_dims(2, 3)) * scale + absence.clone();
            let mixed = activation::softmax(scores, 3).matmul(value);
            let mixed = mixed.swap_dims(1, 2).reshape([rows * length, heads * width]);
            x = x + self.next(&mut next, mixed);
            let up = self.next(&mut next, norm(x.clone()));
            x = x + self.next(&mut next, activation::relu(up));
            self.show_words(i + 1, &x);
        }
        let [_, width] = x.dims();
        let weights: Tensor<3> =
            Tensor::from_data(TensorData::new(tokens.values.clone(), [rows, length, 1]), &device);
        let summed: Tensor<2> =
            (x.reshape([rows, length, width]) * weights).sum_dim(1).reshape([rows, width]);
        let summed = self.dropped(summed, self.network.sites.len() - 1);
        self.next(&mut next, summed)
    }

    fn show_words(&mut self, blocks: usize, words: &Tensor<2>) {
        if let Some(probe) = &mut self.probe {
            probe.see_words(blocks, words);
        }
    }

    /// The site after the last one that was run, both factors of it where it is factored.
    fn next(&mut self, next: &mut usize, input: Tensor<2>) -> Tensor<2> {
        let mut output = self.site(*next, input);
        *next += 1;
        let sites = &self.network.sites;
        if sites.get(*next).is_some_and(|s| s.follows_factor) {
            output = self.site(*next, output);
            *next += 1;
        }
        output
    }

    fn dropped(&self, hidden: Tensor<2>, site: usize) -> Tensor<2> {
        let Some((dropout, first)) = self.dropout else { return hidden };
        let [rows, width] = hidden.dims();
        let device = if self.train { &self.network.tracked } else { &self.network.device };
        let factors = dropout.factors(site, first, rows, width);
        hidden * self.network.tensor(factors, [rows, width], device)
    }

    /// Input times weight, plus bias.
    fn site(&mut self, i: usize, mut input: Tensor<2>) -> Tensor<2> {
        let site = &self.network.sites[i];
        if let Some(probe) = &mut self.probe {
            input = probe.see(i, input);
        }
        if let Some(rounding) = &site.rounding {
            input = rounding.tensor(input);
        }
        let placed = site.on_device.as_ref().expect("every site but the first is always placed");
        if self.train { placed.train(input) } else { placed.evaluate(input) }
    }
}

/// Every row to mean 0 and variance 1.
fn norm(x: Tensor<2>) -> Tensor<2> {
    let centred = x.clone() - x.mean_dim(1);
    let variance = (centred.clone() * centred.clone()).mean_dim(1);
    centred / (variance + AttentionSpec::NORM_EPSILON).sqrt()
}
