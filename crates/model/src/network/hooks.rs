//! What may look into a pass, and change what goes into sites.

use burn::tensor::{Int, Tensor};

/// The attention probabilities of some examples in one layer. The examples of a batch are grouped by the number of their
/// tokens in the same way in every network.
#[derive(Clone, Debug)]
pub struct AttentionMap {
    /// `[examples, heads, tokens, tokens]`: how much each token, the third, gets of each other.
    pub probabilities: Tensor<4>,
    /// `[examples, 1, tokens, 1]`: 1 for a token, 0 for padding.
    pub present: Tensor<4>,
}

/// Called from a pass.
pub(super) trait Hooks {
    /// With the input of every site but tables and the first on feature rows, `[examples or places, inputs]`, and the
    /// example of each place where it is of places; what it returns goes in.
    fn input(&mut self, site: usize, input: Tensor<2>, owners: Option<&Tensor<1, Int>>) -> Tensor<2>;

    /// With the value of every node from where the pass starts on, but for what is computed together with the next.
    fn value(&mut self, node: usize, value: &Tensor<2>);

    /// Whether it looks at inputs: else some are not shown.
    fn sees_inputs(&self) -> bool {
        true
    }

    /// Whether it looks at attention.
    fn sees_attention(&self) -> bool {
        false
    }

    /// With the attention probabilities of each attention, of one group of examples after the other, where it looks at them.
    fn attention(&mut self, maps: Vec<AttentionMap>) {
        let _ = maps;
    }
}

/// What to look at during a pass.
#[derive(Debug, Default)]
pub(super) struct Probe {
    /// The node whose value is captured.
    pub(super) node: Option<usize>,
    pub(super) captured: Option<Tensor<2>>,
    /// Sites with a factor for each example and input, `[examples, inputs]`.
    pub(super) factors: Vec<(usize, Tensor<2>)>,
}

impl Hooks for Probe {
    fn input(&mut self, site: usize, input: Tensor<2>, owners: Option<&Tensor<1, Int>>) -> Tensor<2> {
        let Some((_, factor)) = self.factors.iter().find(|(s, _)| *s == site) else { return input };
        match owners {
            Some(owners) => input * factor.clone().select(0, owners.clone()),
            None => input * factor.clone(),
        }
    }

    fn value(&mut self, node: usize, value: &Tensor<2>) {
        if self.node == Some(node) {
            self.captured = Some(value.clone());
        }
    }
}

/// Shows the inputs of some sites, until that fails.
pub(super) struct Watch<'w, E> {
    pub(super) sites: &'w [usize],
    pub(super) show: &'w mut dyn FnMut(usize, Tensor<2>) -> Result<(), E>,
    pub(super) failed: Option<E>,
}

impl<E> Hooks for Watch<'_, E> {
    fn input(&mut self, site: usize, input: Tensor<2>, _: Option<&Tensor<1, Int>>) -> Tensor<2> {
        if self.failed.is_none() && self.sites.contains(&site) {
            self.failed = (self.show)(site, input.clone()).err();
        }
        input
    }

    fn value(&mut self, _: usize, _: &Tensor<2>) {}
}
