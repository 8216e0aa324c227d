//! Losses of what a pass makes: of its result by hand, of what is between by burn.

use burn::tensor::{Int, Tensor};
use nlpress_graph::Graph;

use super::hooks::{AttentionMap, Hooks};
use super::tokens::Tokens;
use crate::ModelError;

/// What a loss looks at besides the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taps {
    /// The result as a tensor.
    pub output: bool,
    /// The hidden states between layers.
    pub hidden: bool,
    /// The attention probabilities.
    pub attention: bool,
}

/// What a pass made, on the device, with its graph where the pass has one.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The result, `[examples, outputs]`.
    pub output: Tensor<2>,
    /// The tokens of all examples after the embeddings and after each [layer](nlpress_graph::Graph::blocks), `[tokens,
    /// width]`; where no example has a token, there is a row all the same.
    pub hidden: Vec<Tensor<2>>,
    /// The attention of each layer.
    pub attention: Vec<Vec<AttentionMap>>,
    /// Where the tokens of each example begin, and where those of the last end; empty without tokens.
    pub offsets: Vec<usize>,
}

/// A loss of a batch. A function of logits that writes their derivative is one.
pub trait Loss {
    /// What it looks at besides logits on the host.
    fn taps(&self) -> Taps {
        Taps::default()
    }

    /// The loss of the logits `[examples, outputs]`; its derivative goes into the second slice, which holds zeros.
    fn of_logits(&mut self, logits: &[f32], derivative: &mut [f32]) -> f64;

    /// A term that is added, as a tensor of one number; called where there are [`taps`](Loss::taps).
    ///
    /// # Errors
    /// [`ModelError`] when what is seen is not what it can be compared with, or the device fails.
    fn of_seen(&mut self, seen: &Seen) -> Result<Option<Tensor<1>>, ModelError> {
        let _ = seen;
        Ok(None)
    }
}

impl<F: FnMut(&[f32], &mut [f32]) -> f64> Loss for F {
    fn of_logits(&mut self, logits: &[f32], derivative: &mut [f32]) -> f64 {
        self(logits, derivative)
    }
}

impl Taps {
    /// Whether there is anything.
    pub fn is_any(self) -> bool {
        self != Self::default()
    }
}

/// Keeps what is looked at.
#[derive(Debug)]
pub(super) struct Tapping {
    taps: Taps,
    /// The nodes of the hidden states.
    nodes: Vec<usize>,
    hidden: Vec<Tensor<2>>,
    attention: Vec<Vec<AttentionMap>>,
}

impl Tapping {
    pub(super) fn of(graph: &Graph, taps: Taps) -> Self {
        let blocks = if taps.hidden { graph.blocks() } else { Vec::new() };
        let nodes = blocks.first().map(|first| first.start).into_iter().chain(blocks.iter().map(|b| b.end));
        Self { taps, nodes: nodes.collect(), hidden: Vec::new(), attention: Vec::new() }
    }

    pub(super) fn seen(self, output: Tensor<2>, tokens: Option<&Tokens>) -> Seen {
        let offsets = tokens.map_or_else(Vec::new, |tokens| tokens.offsets().to_vec());
        Seen { output, hidden: self.hidden, attention: self.attention, offsets }
    }
}

impl Hooks for Tapping {
    fn sees_inputs(&self) -> bool {
        false
    }

    fn sees_attention(&self) -> bool {
        self.taps.attention
    }

    fn input(&mut self, _: usize, input: Tensor<2>, _: Option<&Tensor<1, Int>>) -> Tensor<2> {
        input
    }

    fn value(&mut self, node: usize, value: &Tensor<2>) {
        if self.nodes.contains(&node) {
            self.hidden.push(value.clone());
        }
    }

    fn attention(&mut self, maps: Vec<AttentionMap>) {
        self.attention.push(maps);
    }
}
