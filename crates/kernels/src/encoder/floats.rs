//! Layers of an encoder in floats.
//!
//! The sums of products, what follows them and attention are in the order of the module of products in floats, so an
//! example's result does not depend on the others, and is the same bits on every set of instructions but two: `amx` adds products
//! in parts, and with weights in bfloat16 it and `avx512-bf16` round what they are multiplied with to bfloat16. GELU is within 5e-7.

use super::{Activation, EncoderLayer, Norm, Room, Weighted};
use crate::aligned::Aligned;
use crate::floats::{
    ExactGelu, FloatHeads, FloatPanels, FloatTiles, Rows, WithBias, attend, product, room_of,
};
use crate::int8::{Function, Relu, Same, Shape, add_and_normalize};
use std::ops::Range;

/// Memory for what lies between products, beside that of layers in integers.
#[derive(Clone, Debug, Default)]
pub(super) struct FloatOwn {
    change: Aligned<f32>,
    wide: Aligned<f32>,
    /// What is bfloat16 on the way.
    pairs: Aligned<i32>,
    heads: FloatHeads,
}

impl<'a> Weighted<'a> {
    fn floats(&self) -> &'a FloatPanels {
        self.weight.float_panels().expect("checked when the layer was: the weight is laid out in panels")
    }
}

/// The product of some rows, `stride` apart, with a weight, plus its bias, through a function.
fn multiply<S: FloatTiles>(
    simd: S,
    site: Weighted<'_>,
    rows: Rows<'_>,
    (out, stride): (&mut [f32], usize),
    function: impl Function,
    pairs: &mut Aligned<i32>,
) {
    let mut finish = WithBias { bias: site.bias, out, stride, function };
    simd.vectorize(
        #[inline(always)]
        || product(simd, rows, site.floats(), pairs, &mut finish),
    );
}

impl EncoderLayer<'_> {
    /// [`run_with`](EncoderLayer::run_with), where all weights are floats.
    pub(super) fn run_floats<S: FloatTiles>(
        simd: S,
        layers: &[Self],
        hidden: &mut [f32],
        ends: &[usize],
        room: &mut Room,
    ) {
        let (most_rows, block) = simd.together();
        let tokens = ends.last().copied().unwrap_or(0);
        room.context.room(tokens * layers.iter().map(Self::channels).max().unwrap_or(0));
        // What is between products: as much as any run of so many tokens takes, so that one of fewer never takes more.
        let most = tokens.min(most_rows);
        for layer in layers {
            room.floats.change.room(most * layer.width());
            room.floats.wide.room(most * layer.up.bias.len());
            let sites = [layer.output, layer.up, layer.down].into_iter().chain(layer.query_key_value);
            let pairs = sites.map(|site| room_of(simd, most, site.floats())).max().unwrap_or(0);
            room.floats.pairs.room(pairs);
        }
        let parts = tokens.div_ceil(most_rows);
        let together = tokens.div_ceil(parts).next_multiple_of(block);
        for layer in layers {
            let (mut start, mut from) = (0, 0);
            for (n, &end) in ends.iter().enumerate() {
                let is_enough = end - start >= most_rows || n + 1 == ends.len();
                if is_enough && start < end {
                    layer.attend_floats(simd, (start, &ends[from..=n]), hidden, room);
                    (start, from) = (end, n + 1);
                }
            }
            for first in (0..tokens).step_by(together) {
                layer.feed_forward_floats(simd, first..tokens.min(first + together), hidden, room);
            }
        }
    }

    /// Queries, keys, values and attention of the examples that end there, the first of which starts with token `first`.
    fn attend_floats<S: FloatTiles>(
        &self,
        simd: S,
        (first, ends): (usize, &[usize]),
        hidden: &[f32],
        room: &mut Room,
    ) {
        let (width, channels) = (self.width(), self.channels());
        let count = ends.last().copied().unwrap_or(first) - first;
        let rows = Rows { numbers: &hidden[first * width..][..count * width], stride: width, count };
        let Room { query_key_value, context, floats: FloatOwn { heads, pairs, .. }, .. } = room;
        let all = query_key_value.room(count * 3 * channels);
        let halves = self.query_key_value.iter().all(|site| site.floats().are_halves());
        for (n, site) in self.query_key_value.iter().enumerate() {
            multiply(simd, *site, rows, (&mut all[n * channels..], 3 * channels), Same, pairs);
        }
        simd.vectorize(
            #[inline(always)]
            || {
                let mut start = first;
                for &end in ends {
                    if start < end {
                        let shape = Shape { heads: self.heads, width: self.head_width, tokens: end - start };
                        let rows = &all[(start - first) * 3 * channels..][..3 * channels * shape.tokens];
                        attend(
                            simd,
                            shape,
                            rows,
                            &mut context[start * channels..end * channels],
                            heads,
                            halves,
                        );
                    }
                    start = end;
                }
            },
        );
    }

    /// What attention brings and the feed-forward block of some tokens, each added and normalised.
    fn feed_forward_floats<S: FloatTiles>(
        &self,
        simd: S,
        range: Range<usize>,
        hidden: &mut [f32],
        room: &mut Room,
    ) {
        let (width, channels, inner, count) =
            (self.width(), self.channels(), self.up.bias.len(), range.len());
        let hidden = &mut hidden[range.start * width..range.end * width];
        let Room { context, floats: FloatOwn { change, wide, pairs, .. }, .. } = room;
        let (change, wide) = (change.room(count * width), wide.room(count * inner));
        let numbers = &context[range.start * channels..range.end * channels];
        let rows = Rows { numbers, stride: channels, count };
        multiply(simd, self.output, rows, (&mut *change, width), Same, pairs);
        normalize(simd, self.attention_norm, hidden, change);
        let rows = Rows { numbers: hidden, stride: width, count };
        match self.activation {
            Activation::Gelu => multiply(simd, self.up, rows, (&mut *wide, inner), ExactGelu, pairs),
            Activation::Relu => multiply(simd, self.up, rows, (&mut *wide, inner), Relu, pairs),
        }
        let rows = Rows { numbers: wide, stride: inner, count };
        multiply(simd, self.down, rows, (&mut *change, width), Same, pairs);
        normalize(simd, self.output_norm, hidden, change);
    }
}

/// Rows with their changes, normalised.
fn normalize<S: FloatTiles>(simd: S, norm: Norm<'_>, hidden: &mut [f32], change: &[f32]) {
    let width = norm.gain.len();
    simd.vectorize(
        #[inline(always)]
        || {
            for (row, change) in hidden.chunks_exact_mut(width).zip(change.chunks_exact(width)) {
                add_and_normalize(simd, row, change, (norm.gain, norm.bias), norm.epsilon);
            }
        },
    );
}
