//! Layers of an encoder, from hidden states to hidden states, with everything between products fused: in 8-bit integers here,
//! in floats in [`floats`].
//!
//! In integers, the sums of products are those of [`Linear::multiply_rows`]; beside it GELU is interpolated (within 8e-4), scales are
//! divided by as a multiplication with one over them, and attention multiplies integers.

mod floats;

use crate::aligned::Aligned;
use crate::floats::FloatHeads;
use crate::int8::{
    ByteRows, Function, Gelu, Heads, Isa, LANES, Relu, Same, Shape, Simd, Sums, Tiles, ToFloats, WidePanels,
    add_and_normalize, attend, largest, product, with_tiles,
};
use crate::linear::{EncoderNumbers, Linear};
use std::ops::Range;

/// Rows that go through the products behind attention together: what is between two of them stays in a cache.
const ROWS_TOGETHER: usize = 48;

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
    rows: ByteRows,
    wide_rows: ByteRows,
    query_key_value: Aligned<f32>,
    context: Aligned<f32>,
    change: Aligned<f32>,
    wide: Aligned<f32>,
    /// The largest magnitudes of a row: of hidden states, and of the feed-forward block lane by lane.
    largest: Vec<f32>,
    wide_largest: Vec<[f32; LANES]>,
    heads: Heads,
    float_heads: FloatHeads,
    sums: Option<Box<[Sums; 2]>>,
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
    /// between two of the `ends`; the result of an example does not depend on the others.
    ///
    /// # Panics
    /// When a layer does not [fit](EncoderLayer::fits), there are not as many states as the last of `ends` says, or `ends`
    /// do not ascend: mistakes of the caller.
    pub fn run(layers: &[Self], width: usize, hidden: &mut [f32], ends: &[usize], room: &mut Room) {
        with_tiles!(Isa::best(), tiles => Self::run_with(tiles, layers, width, hidden, ends, room));
    }

    pub(crate) fn run_with<T: Tiles>(
        tiles: T,
        layers: &[Self],
        width: usize,
        hidden: &mut [f32],
        ends: &[usize],
        room: &mut Room,
    ) {
        assert!(layers.iter().all(|layer| layer.fits(width)), "layers that fit each other");
        let tokens = ends.last().copied().unwrap_or(0);
        assert!(hidden.len() == tokens * width && ends.is_sorted(), "as many states as tokens");
        if tokens == 0 {
            return;
        }
        if layers.iter().all(|layer| layer.output.weight.panel_numbers() == Some(EncoderNumbers::Floats)) {
            return Self::run_floats(tiles.simd(), layers, hidden, ends, room);
        }
        let mut sums = room.sums.take().unwrap_or_else(|| Box::new([Sums::new(), Sums::new()]));
        room.largest.resize(tokens, 0.0);
        room.context.room(tokens * layers.iter().map(Self::channels).max().unwrap_or(0));
        let simd = tiles.simd();
        simd.vectorize(
            #[inline(always)]
            || {
                for (row, most) in hidden.chunks_exact(width).zip(&mut room.largest) {
                    *most = largest(simd, row);
                }
            },
        );
        tiles.begin();
        for layer in layers {
            let (mut start, mut from) = (0, 0);
            for (n, &end) in ends.iter().enumerate() {
                // Whole examples, so many that weights are worth reading and few enough to stay in a cache.
                let is_enough = end - start >= ROWS_TOGETHER || n + 1 == ends.len();
                if is_enough && start < end {
                    layer.project(tiles, start..end, hidden, room, &mut sums);
                    layer.attend(tiles, start, &ends[from..=n], room);
                    (start, from) = (end, n + 1);
                }
            }
            for first in (0..tokens).step_by(ROWS_TOGETHER) {
                let range = first..tokens.min(first + ROWS_TOGETHER);
                layer.add_context(tiles, range.clone(), hidden, room, &mut sums);
                layer.feed_forward(tiles, range, hidden, room, &mut sums);
            }
        }
        tiles.end();
        room.sums = Some(sums);
    }

    /// Numbers of a token.
    pub fn width(&self) -> usize {
        self.output_norm.gain.len()
    }

    fn channels(&self) -> usize {
        self.heads * self.head_width
    }

    /// Queries, keys and values of some tokens.
    fn project<T: Tiles>(
        &self,
        tiles: T,
        range: Range<usize>,
        hidden: &[f32],
        room: &mut Room,
        sums: &mut [Sums; 2],
    ) {
        let (width, channels, simd) = (self.width(), self.channels(), tiles.simd());
        let tokens = range.len();
        let out = room.query_key_value.room(tokens * 3 * channels);
        room.rows.prepare(tokens, width);
        let mut before = None;
        for (n, site) in self.query_key_value.iter().enumerate() {
            let again = before.replace(site.fixed()) != Some(site.fixed());
            simd.vectorize(
                #[inline(always)]
                || {
                    if again {
                        for (row, token) in range.clone().enumerate() {
                            let x = &hidden[token * width..][..width];
                            room.rows.quantize(simd, row, x, room.largest[token], site.fixed());
                        }
                    }
                    let mut finish = ToFloats {
                        scales: &room.rows.scales,
                        factors: site.factors(),
                        bias: site.bias,
                        out: &mut out[n * channels..],
                        stride: 3 * channels,
                        function: Same,
                        largest: &mut [],
                    };
                    product(tiles, &room.rows, tokens, site.panels(), sums, &mut finish);
                },
            );
        }
    }

    /// Attention of the examples that end there, the first of which starts with token `first`.
    fn attend<T: Tiles>(&self, tiles: T, first: usize, ends: &[usize], room: &mut Room) {
        let channels = self.channels();
        let Room { query_key_value, context, heads, .. } = room;
        tiles.simd().vectorize(
            #[inline(always)]
            || {
                let mut start = first;
                for &end in ends {
                    if start < end {
                        let shape = Shape { heads: self.heads, width: self.head_width, tokens: end - start };
                        let rows =
                            &query_key_value[(start - first) * 3 * channels..][..3 * channels * shape.tokens];
                        let out = &mut context[start * channels..end * channels];
                        attend(tiles, shape, rows, out, heads);
                    }
                    start = end;
                }
            },
        );
    }

    /// What attention brings, projected, added to some tokens and normalised.
    fn add_context<T: Tiles>(
        &self,
        tiles: T,
        range: Range<usize>,
        hidden: &mut [f32],
        room: &mut Room,
        sums: &mut [Sums; 2],
    ) {
        let (channels, simd) = (self.channels(), tiles.simd());
        room.rows.prepare(range.len(), channels);
        simd.vectorize(
            #[inline(always)]
            || {
                for (row, token) in range.clone().enumerate() {
                    let x = &room.context[token * channels..][..channels];
                    room.rows.quantize(simd, row, x, largest(simd, x), self.output.fixed());
                }
            },
        );
        change(tiles, self.output, range.len(), (&room.rows, &mut room.change), sums);
        self.normalize(tiles, self.attention_norm, range, hidden, room);
    }

    /// The feed-forward block of some tokens, added and normalised.
    fn feed_forward<T: Tiles>(
        &self,
        tiles: T,
        range: Range<usize>,
        hidden: &mut [f32],
        room: &mut Room,
        sums: &mut [Sums; 2],
    ) {
        let (width, inner, simd) = (self.width(), self.up.bias.len(), tiles.simd());
        let count = range.len();
        room.rows.prepare(count, width);
        simd.vectorize(
            #[inline(always)]
            || {
                for (row, token) in range.clone().enumerate() {
                    let x = &hidden[token * width..][..width];
                    room.rows.quantize(simd, row, x, room.largest[token], self.up.fixed());
                }
            },
        );
        match self.activation {
            Activation::Gelu => self.widen(tiles, count, Gelu, room, sums),
            Activation::Relu => self.widen(tiles, count, Relu, room, sums),
        }
        room.wide_rows.prepare(count, inner);
        simd.vectorize(
            #[inline(always)]
            || {
                for row in 0..count {
                    let most = simd.largest(simd.load(&room.wide_largest[row]));
                    let x = &room.wide[row * inner..][..inner];
                    room.wide_rows.quantize(simd, row, x, most, self.down.fixed());
                }
            },
        );
        change(tiles, self.down, count, (&room.wide_rows, &mut room.change), sums);
        self.normalize(tiles, self.output_norm, range, hidden, room);
    }

    /// The first product of the feed-forward block and what follows it, of rows that are bytes.
    fn widen<T: Tiles>(
        &self,
        tiles: T,
        count: usize,
        function: impl Function,
        room: &mut Room,
        sums: &mut [Sums; 2],
    ) {
        let inner = self.up.bias.len();
        room.wide_largest.clear();
        room.wide_largest.resize(count, [0.0; LANES]);
        let mut finish = ToFloats {
            scales: &room.rows.scales,
            factors: self.up.factors(),
            bias: self.up.bias,
            out: room.wide.room(count * inner),
            stride: inner,
            function,
            largest: &mut room.wide_largest,
        };
        tiles.simd().vectorize(
            #[inline(always)]
            || product(tiles, &room.rows, count, self.up.panels(), sums, &mut finish),
        );
    }

    /// What changed of some tokens, added and normalised.
    fn normalize<T: Tiles>(
        &self,
        tiles: T,
        norm: Norm<'_>,
        range: Range<usize>,
        hidden: &mut [f32],
        room: &mut Room,
    ) {
        let (width, simd) = (self.width(), tiles.simd());
        simd.vectorize(
            #[inline(always)]
            || {
                for (row, token) in range.enumerate() {
                    let change = &room.change[row * width..][..width];
                    let hidden = &mut hidden[token * width..][..width];
                    room.largest[token] =
                        add_and_normalize(simd, hidden, change, (norm.gain, norm.bias), norm.epsilon);
                }
            },
        );
    }
}

/// The product of some rows with a weight, plus its bias.
fn change<T: Tiles>(
    tiles: T,
    site: Weighted<'_>,
    count: usize,
    (rows, out): (&ByteRows, &mut Aligned<f32>),
    sums: &mut [Sums; 2],
) {
    let outputs = site.bias.len();
    let out = out.room(count * outputs);
    tiles.simd().vectorize(
        #[inline(always)]
        || {
            let mut finish = ToFloats {
                scales: &rows.scales,
                factors: site.factors(),
                bias: site.bias,
                out,
                stride: outputs,
                function: Same,
                largest: &mut [],
            };
            product(tiles, rows, count, site.panels(), sums, &mut finish);
        },
    );
}

#[cfg(test)]
pub(crate) mod tests;
