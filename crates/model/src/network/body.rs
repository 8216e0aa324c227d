//! Everything after the first site: the graph, node by node.

use burn::tensor::{Tensor, TensorData, activation};
use nlpress_graph::{Activation, NORM_EPSILON, Op, Per, Pooling};
use std::ops::Range;

use super::Network;
use super::hooks::Hooks;
use super::tokens::Tokens;
use crate::Dropout;

/// One pass through a network.
pub(super) struct Pass<'a> {
    network: &'a Network,
    tokens: Option<&'a Tokens>,
    train: bool,
    /// What to switch off, and the place in the whole batch of the first row.
    dropout: Option<(&'a Dropout, usize)>,
    pub(super) hooks: Option<&'a mut dyn Hooks>,
}

impl<'a> Pass<'a> {
    /// A pass with a graph, for gradients.
    pub(super) fn training(
        network: &'a Network,
        tokens: Option<&'a Tokens>,
        dropout: Option<(&'a Dropout, usize)>,
    ) -> Self {
        let dropout = dropout.filter(|(d, _)| !d.is_off());
        Self { network, tokens, train: true, dropout, hooks: None }
    }

    /// A pass without.
    pub(super) fn evaluating(network: &'a Network, tokens: Option<&'a Tokens>) -> Self {
        Self { network, tokens, train: false, dropout: None, hooks: None }
    }

    /// Runs the sites of `range`, and what lies between them, on what the site before it makes: `[batch, width]`, or
    /// `[batch · length, width]` for every place of tokens.
    pub(super) fn run(&mut self, start: Tensor<2>, range: Range<usize>) -> Tensor<2> {
        let network = self.network;
        let (first, last) = (network.nodes[range.start - 1], network.nodes[range.end - 1]);
        let mut values: Vec<Option<Tensor<2>>> = vec![None; last + 1];
        self.show(first, &start);
        values[first] = Some(start);
        let mut site = range.start - 1;
        for n in first + 1..=last {
            let node = &network.graph.nodes[n];
            let mut read = |i: usize| {
                let from = node.from[i];
                let value = if network.last_readers[from] == n && !node.from[i + 1..].contains(&from) {
                    values[from].take()
                } else {
                    values[from].clone()
                };
                value.expect("a node comes after what it reads")
            };
            let made = match &node.op {
                Op::Linear { .. } | Op::Features { .. } | Op::Embed { .. } => {
                    site += 1;
                    self.site(site, read(0))
                }
                Op::Norm => norm(read(0)),
                Op::Activate(Activation::Relu) => activation::relu(read(0)),
                Op::Attend { heads, head_width } => {
                    let (query, key, value) = (read(0), read(1), read(2));
                    self.attend((*heads, *head_width), query, key, value)
                }
                Op::Add => read(0) + read(1),
                Op::Dropout { .. } => self.dropped(read(0), site, network.values[n].per),
                Op::Pool(Pooling::WeightedSum) => self.weighted_sum(read(0)),
            };
            self.show(n, &made);
            values[n] = Some(made);
        }
        values[last].take().expect("the last node has run")
    }

    /// Scaled dot-product attention among the places of each row that have a token.
    fn attend(
        &self,
        (heads, width): (usize, usize),
        query: Tensor<2>,
        key: Tensor<2>,
        value: Tensor<2>,
    ) -> Tensor<2> {
        let Tokens { rows, length, .. } = *self.tokens();
        let absence = TensorData::new(self.tokens().absence(), [rows, 1, 1, length]);
        let absence: Tensor<4> = Tensor::from_data(absence, &query.device());
        let split = |x: Tensor<2>| -> Tensor<4> { x.reshape([rows, length, heads, width]).swap_dims(1, 2) };
        let scale = 1.0 / (width as f32).sqrt();
        let scores = split(query).matmul(split(key).swap_dims(2, 3)) * scale + absence;
        let mixed = activation::softmax(scores, 3).matmul(split(value));
        mixed.swap_dims(1, 2).reshape([rows * length, heads * width])
    }

    /// The sum of each row's tokens, each times its weight.
    fn weighted_sum(&self, x: Tensor<2>) -> Tensor<2> {
        let Tokens { rows, length, ref values, .. } = *self.tokens();
        let [_, width] = x.dims();
        let weights: Tensor<3> =
            Tensor::from_data(TensorData::new(values.clone(), [rows, length, 1]), &x.device());
        (x.reshape([rows, length, width]) * weights).sum_dim(1).reshape([rows, width])
    }

    fn tokens(&self) -> &'a Tokens {
        self.tokens.expect("a graph on tokens starts from them")
    }

    fn show(&mut self, node: usize, value: &Tensor<2>) {
        if let Some(hooks) = &mut self.hooks {
            hooks.value(node, value);
        }
    }

    /// A value with some of its numbers switched off; `site` is the last one before it. What is switched off for a row
    /// does not depend on how long the longest of its batch is.
    fn dropped(&self, hidden: Tensor<2>, site: usize, per: Per) -> Tensor<2> {
        let Some((dropout, first)) = self.dropout else { return hidden };
        let [places, width] = hidden.dims();
        let each = if per == Per::Token { self.tokens().length } else { 1 };
        let device = if self.train { &self.network.tracked } else { &self.network.device };
        let factors = dropout.factors(site, first, places / each, each * width);
        hidden * self.network.tensor(factors, [places, width], device)
    }

    /// Input times weight, plus bias.
    fn site(&mut self, i: usize, mut input: Tensor<2>) -> Tensor<2> {
        let site = &self.network.sites[i];
        if let Some(hooks) = &mut self.hooks {
            input = hooks.input(i, input);
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
    centred / (variance + NORM_EPSILON).sqrt()
}
