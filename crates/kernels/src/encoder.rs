//! Layers of an encoder, from hidden states to hidden states, with everything between products fused: in 8-bit integers here,
//! in floats in [`floats`].
//!
//! In integers, the sums of products are those of [`Linear::multiply_rows`]; beside it GELU is interpolated (within 8e-4), scales are
//! divided by as a multiplication with one over them, and attention multiplies integers.

mod floats;
mod rows;

use crate::aligned::Aligned;
use crate::crew::Crew;
use crate::floats::FloatTiles;
use crate::int8::{Isa, Set, Simd, WidePanels, largest, with_set};
use crate::linear::{EncoderNumbers, Linear};
use floats::FloatOwn;
use rows::Own;
use std::ops::Range;

/// Tokens whose queries, keys and values are made together, by one thread.
const TOKENS_TOGETHER: usize = 48;
/// Tokens that are worth a thread.
const LEAST_TOKENS: usize = 16;

/// A non-linearity of the feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// GELU with the normal distribution.
    Gelu,
    /// ReLU.
    Relu,
}

/// A weight and its bias.
#[derive(Clone, Copy, Debug)]
pub struct Weighted<'a> {
    /// The weight, laid out by [`Linear::for_encoder`].
    pub weight: &'a Linear,
    /// As many numbers as the weight has outputs.
    pub bias: &'a [f32],
}

/// A normalisation to mean 0 and variance 1, times a gain, plus a bias.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// One for each number of a token.
    pub gain: &'a [f32],
    /// As many.
    pub bias: &'a [f32],
    /// Added to the variance.
    pub epsilon: f32,
}

/// A post-norm layer (Vaswani et al. 2017, arXiv:1706.03762; Devlin et al. 2019, arXiv:1810.04805), whose weights are
/// all bytes or all floats.
#[derive(Clone, Copy, Debug)]
pub struct EncoderLayer<'a> {
    /// What makes queries, keys and values of a token.
    pub query_key_value: [Weighted<'a>; 3],
    /// What attention brings, before it is added.
    pub output: Weighted<'a>,
    /// The normalisation behind attention.
    pub attention_norm: Norm<'a>,
    /// The feed-forward block.
    pub up: Weighted<'a>,
    /// Between its products.
    pub activation: Activation,
    /// Its second product.
    pub down: Weighted<'a>,
    /// The normalisation behind it.
    pub output_norm: Norm<'a>,
    /// Attention heads.
    pub heads: usize,
    /// Numbers of a head.
    pub head_width: usize,
}

/// Memory for what lies between products, to be used again: once it has grown, nothing is allocated.
#[derive(Clone, Debug, Default)]
pub struct Room {
    /// Queries, keys and values of the examples at hand.
    query_key_value: Aligned<f32>,
    /// What attention brings to all tokens.
    context: Aligned<f32>,
    /// The largest magnitude of each token's states.
    largest: Vec<f32>,
    /// For the rows of each thread.
    own: Vec<Own>,
    /// For layers in floats.
    floats: FloatOwn,
}

impl<'a> Weighted<'a> {
    fn panels(&self) -> &'a WidePanels {
        self.weight.wide().expect("checked when the layer was: the weight is laid out in panels")
    }

    fn factors(&self) -> &'a [f32] {
        self.panels().factors()
    }

    /// The scale of activations, where it is fixed.
    fn fixed(&self) -> Option<f32> {
        self.weight.quantization().and_then(|quantized| quantized.activations)
    }

    fn fits(&self, inputs: usize, outputs: usize, numbers: Option<EncoderNumbers>) -> bool {
        numbers.is_some()
            && self.weight.panel_numbers() == numbers
            && (self.weight.inputs(), self.weight.outputs(), self.bias.len()) == (inputs, outputs, outputs)
    }
}

impl<'a> EncoderLayer<'a> {
    /// Whether this processor has instructions with which such a layer is faster than its operations one by one.
    pub fn is_fast() -> bool {
        !matches!(Isa::best(), Isa::Portable(_))
    }

    /// Heads of these widths have fused attention.
    pub const HEAD_WIDTHS: [usize; 2] = [32, 64];

    /// Whether all shapes fit each other and hidden states of that width, and all weights lie in panels.
    pub fn fits(&self, width: usize) -> bool {
        let channels = self.heads * self.head_width;
        let numbers = self.output.weight.panel_numbers();
        let norm = |norm: &Norm<'_>| norm.gain.len() == width && norm.bias.len() == width;
        Self::HEAD_WIDTHS.contains(&self.head_width)
            && self.heads > 0
            && self.query_key_value.iter().all(|site| site.fits(width, channels, numbers))
            && self.output.fits(channels, width, numbers)
            && self.up.fits(width, self.up.bias.len(), numbers)
            && self.down.fits(self.up.bias.len(), width, numbers)
            && norm(&self.attention_norm)
            && norm(&self.output_norm)
    }

    /// Puts the tokens' states `[tokens, width]` through the layers. Tokens of an example, which attend to each other, lie
    /// between two of the `ends`; the result of an example does not depend on the others, nor on the threads of the crew, which
    /// take rows where there are enough for several.
    ///
    /// # Panics
    /// When a layer does not [fit](EncoderLayer::fits), there are not as many states as the last of `ends` says, or `ends`
    /// do not ascend: mistakes of the caller.
    pub fn run(
        layers: &[Self],
        width: usize,
        hidden: &mut [f32],
        ends: &[usize],
        room: &mut Room,
        crew: Option<&Crew>,
    ) {
        with_set!(Isa::best(), set => Self::run_with(set, layers, width, hidden, ends, room, crew));
    }

    pub(crate) fn run_with<S: Set>(
        set: S,
        layers: &[Self],
        width: usize,
        hidden: &mut [f32],
        ends: &[usize],
        room: &mut Room,
        crew: Option<&Crew>,
    ) where
        S::Simd: FloatTiles,
    {
        assert!(layers.iter().all(|layer| layer.fits(width)), "layers that fit each other");
        let tokens = ends.last().copied().unwrap_or(0);
        assert!(hidden.len() == tokens * width && ends.is_sorted(), "as many states as tokens");
        if tokens == 0 {
            return;
        }
        if layers.iter().all(|layer| layer.output.weight.panel_numbers() == Some(EncoderNumbers::Floats)) {
            return Self::run_floats(set.simd(), layers, hidden, ends, room);
        }
        let parts = crew.map_or(1, Crew::threads).min(tokens / LEAST_TOKENS).max(1);
        room.own.resize_with(room.own.len().max(parts), Own::default);
        room.largest.resize(tokens, 0.0);
        room.context.room(tokens * layers.iter().map(Self::channels).max().unwrap_or(0));
        let simd = set.simd();
        simd.vectorize(
            #[inline(always)]
            || {
                for (row, most) in hidden.chunks_exact(width).zip(&mut room.largest) {
                    *most = largest(simd, row);
                }
            },
        );
        let together = Together { set, crew: crew.filter(|_| parts > 1), parts };
        for layer in layers {
            let (mut start, mut from) = (0, 0);
            for (n, &end) in ends.iter().enumerate() {
                // Whole examples, so many that weights are worth reading and few enough to stay in a cache.
                let is_enough = end - start >= TOKENS_TOGETHER * parts || n + 1 == ends.len();
                if is_enough && start < end {
                    together.project(layer, start..end, hidden, room);
                    together.attend(layer, start, &ends[from..=n], room);
                    (start, from) = (end, n + 1);
                }
            }
            together.finish(layer, hidden, room);
        }
    }

    /// Numbers of a token.
    pub fn width(&self) -> usize {
        self.output_norm.gain.len()
    }

    fn channels(&self) -> usize {
        self.heads * self.head_width
    }
}

/// What works on rows: instructions, and the threads that share the rows.
#[derive(Clone, Copy)]
struct Together<'c, S> {
    set: S,
    crew: Option<&'c Crew>,
    parts: usize,
}

impl<S: Set> Together<'_, S> {
    /// Does `work` for the rows of each thread.
    #[inline(always)]
    fn each<P: Send>(&self, parts: impl Iterator<Item = P>, work: impl Fn(P) + Sync) {
        match self.crew {
            Some(crew) => crew.each(parts, work),
            None => parts.for_each(work),
        }
    }

    /// Queries, keys and values of some tokens.
    fn project(&self, layer: &EncoderLayer<'_>, range: Range<usize>, hidden: &[f32], room: &mut Room) {
        let (width, all) = (layer.width(), 3 * layer.channels());
        let each = range.len().div_ceil(self.parts);
        let hidden = hidden[range.start * width..range.end * width].chunks(each * width);
        let largest = room.largest[range.clone()].chunks(each);
        let out = room.query_key_value.room(range.len() * all).chunks_mut(each * all);
        let parts = room.own.iter_mut().zip(hidden.zip(largest).zip(out));
        self.each(parts, |(own, (rows, out))| {
            self.set.begin(|tiles| own.project(tiles, layer, rows, out));
        });
    }

    /// Attention of the examples that end there, the first of which starts with token `first`.
    fn attend(&self, layer: &EncoderLayer<'_>, first: usize, ends: &[usize], room: &mut Room) {
        let channels = layer.channels();
        let tokens = ends[ends.len() - 1] - first;
        let each = tokens.div_ceil(self.parts);
        let rows = &room.query_key_value[..tokens * 3 * channels];
        let out = room.context[first * channels..][..tokens * channels].chunks_mut(each * channels);
        let parts = room.own.iter_mut().zip(out).enumerate();
        self.each(parts, |(n, (own, out))| {
            self.set.begin(|tiles| own.attend(tiles, layer, (first, ends), rows, (n * each, out)));
        });
    }

    /// What follows attention, of all tokens.
    fn finish(&self, layer: &EncoderLayer<'_>, hidden: &mut [f32], room: &mut Room) {
        let (width, channels, tokens) = (layer.width(), layer.channels(), room.largest.len());
        let each = tokens.div_ceil(self.parts);
        let hidden = hidden.chunks_mut(each * width).zip(room.largest.chunks_mut(each));
        let context = room.context[..tokens * channels].chunks(each * channels);
        let parts = room.own.iter_mut().zip(context.zip(hidden));
        self.each(parts, |(own, (context, rows))| {
            self.set.begin(|tiles| own.finish(tiles, layer, context, rows));
        });
    }
}

#[cfg(test)]
pub(crate) mod tests;
