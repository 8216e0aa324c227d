//! Attention among the tokens of each example, in the memory of this process.

use burn::tensor::Tensor;
use nlpress_core::BackendKind;
use nlpress_core::backend::host::{Computed, HostOperation, apply};
use nlpress_kernels::dense::Heads;
use rayon::prelude::*;
use std::borrow::Cow;

/// What each token gets, `[places, heads · width]`, of queries, keys and values side by side, `qkv` `[places,
/// 3 · heads · width]`. The tokens of an example begin and end at `offsets`; places behind all of them get nothing.
pub(crate) fn attend(kind: BackendKind, qkv: Tensor<2>, heads: Heads, offsets: &[usize]) -> Tensor<2> {
    apply(kind, Attend { heads, offsets: offsets.to_vec() }, [qkv])
}

#[derive(Debug)]
struct Attend {
    heads: Heads,
    offsets: Vec<usize>,
}

impl Attend {
    /// Places and attention probabilities of each example.
    fn sizes(&self) -> impl Iterator<Item = (usize, usize)> {
        let lengths = self.offsets.windows(2).map(|w| w[1] - w[0]);
        lengths.map(|tokens| (tokens, self.heads.probabilities(tokens)))
    }
}

impl HostOperation<1> for Attend {
    /// The attention probabilities of all examples, one after the other.
    type State = Vec<f32>;

    fn forward(&self, [qkv]: [&[f32]; 1], _: bool) -> Computed<Self::State> {
        let all = self.heads.all();
        let mut numbers = vec![0.0; qkv.len() / 3];
        let mut probabilities = vec![0.0; self.sizes().map(|(_, n)| n).sum()];
        let (mut qkv, mut out, mut rest) = (qkv, &mut numbers[..], &mut probabilities[..]);
        let mut examples = Vec::new();
        for (tokens, squares) in self.sizes() {
            let own = qkv.split_off(..3 * tokens * all).expect("there is a place for each token");
            let out = out.split_off_mut(..tokens * all).expect("there is a place for each token");
            let probabilities = rest.split_off_mut(..squares).expect("there is room for each example");
            examples.push((own, probabilities, out));
        }
        examples.into_par_iter().for_each(|(qkv, probabilities, out)| {
            self.heads.forward(qkv, probabilities, out);
        });
        Computed { shape: [numbers.len() / all, all], numbers, state: probabilities }
    }

    fn backward(
        &self,
        [qkv]: [&[f32]; 1],
        (_, probabilities): (&[f32], &Self::State),
        upstream: Cow<'_, [f32]>,
        _: [bool; 1],
    ) -> [Option<Vec<f32>>; 1] {
        let all = self.heads.all();
        let mut by_qkv = vec![0.0; qkv.len()];
        let (mut qkv, mut upstream, mut out) = (qkv, &upstream[..], &mut by_qkv[..]);
        let mut probabilities = &probabilities[..];
        let mut examples = Vec::new();
        for (tokens, squares) in self.sizes() {
            let own = qkv.split_off(..3 * tokens * all).expect("there is a place for each token");
            let upstream = upstream.split_off(..tokens * all).expect("there is a place for each token");
            let out = out.split_off_mut(..3 * tokens * all).expect("there is a place for each token");
            let probabilities = probabilities.split_off(..squares).expect("there is room for each example");
            examples.push((own, probabilities, upstream, out));
        }
        examples.into_par_iter().for_each(|(qkv, probabilities, upstream, by_qkv)| {
            self.heads.backward(qkv, probabilities, upstream, by_qkv);
        });
        [Some(by_qkv)]
    }
}
