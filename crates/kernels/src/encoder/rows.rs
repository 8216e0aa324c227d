//! What one thread does with its rows of a layer.

use super::{Activation, EncoderLayer, Norm, Weighted};
use crate::aligned::Aligned;
use crate::int8::{
    ByteRows, Function, Gelu, Heads, LANES, Relu, Same, Shape, Simd, Sums, Tiles, ToFloats,
    add_and_normalize, attend, largest, product,
};

/// Rows that go through the products behind attention together, or as few more as fill a block: what is between two of them
/// stays in a cache.
const ROWS_TOGETHER: usize = 64;

/// Memory of one thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Own {
    rows: ByteRows,
    wide_rows: ByteRows,
    change: Aligned<f32>,
    wide: Aligned<f32>,
    /// The largest magnitudes of a row of the feed-forward block, lane by lane.
    wide_largest: Vec<[f32; LANES]>,
    heads: Heads,
    sums: Option<Box<[Sums; 2]>>,
}

/// The sums of two blocks.
fn sums_of(sums: &mut Option<Box<[Sums; 2]>>) -> &mut [Sums; 2] {
    sums.get_or_insert_with(|| Box::new([Sums::new(), Sums::new()]))
}

impl Own {
    /// Queries, keys and values of rows of which the largest magnitudes are known, `[rows, 3 · channels]`.
    pub(super) fn project<T: Tiles>(
        &mut self,
        tiles: T,
        layer: &EncoderLayer<'_>,
        (hidden, most): (&[f32], &[f32]),
        out: &mut [f32],
    ) {
        let (width, channels, simd) = (layer.width(), layer.channels(), tiles.simd());
        let Self { rows, sums, .. } = self;
        let sums = sums_of(sums);
        rows.prepare(most.len(), width);
        let mut before = None;
        for (n, site) in layer.query_key_value.iter().enumerate() {
            let again = before.replace(site.fixed()) != Some(site.fixed());
            simd.vectorize(
                #[inline(always)]
                || {
                    if again {
                        for (row, (x, most)) in hidden.chunks_exact(width).zip(most).enumerate() {
                            rows.quantize(simd, row, x, *most, site.fixed());
                        }
                    }
                    let mut finish = ToFloats {
                        scales: &rows.scales,
                        factors: site.factors(),
                        bias: site.bias,
                        out: &mut out[n * channels..],
                        stride: 3 * channels,
                        function: Same,
                        largest: &mut [],
                    };
                    product(tiles, rows, most.len(), site.panels(), sums, &mut finish);
                },
            );
        }
    }

    /// Attention of consecutive tokens, the first of which is `from` behind the first of all, to those of their examples, which
    /// end there.
    pub(super) fn attend<T: Tiles>(
        &mut self,
        tiles: T,
        layer: &EncoderLayer<'_>,
        (first, ends): (usize, &[usize]),
        rows: &[f32],
        (from, out): (usize, &mut [f32]),
    ) {
        let channels = layer.channels();
        let to = from + out.len() / channels;
        tiles.simd().vectorize(
            #[inline(always)]
            || {
                let mut start = 0;
                for end in ends.iter().map(|end| end - first) {
                    let own = start.max(from)..end.min(to);
                    if !own.is_empty() {
                        let shape =
                            Shape { heads: layer.heads, width: layer.head_width, tokens: end - start };
                        let rows = &rows[start * 3 * channels..end * 3 * channels];
                        let out = &mut out[(own.start - from) * channels..(own.end - from) * channels];
                        attend(tiles, shape, rows, own.start - start, out, &mut self.heads);
                    }
                    start = end;
                }
            },
        );
    }

    /// What follows attention: its result projected, added and normalised; then the feed-forward block.
    pub(super) fn finish<T: Tiles>(
        &mut self,
        tiles: T,
        layer: &EncoderLayer<'_>,
        context: &[f32],
        (hidden, most): (&mut [f32], &mut [f32]),
    ) {
        let (width, channels) = (layer.width(), layer.channels());
        // As many as possible together, and about as many each time.
        let times = most.len().div_ceil(ROWS_TOGETHER);
        let each = most.len().div_ceil(times).next_multiple_of(T::BLOCK).min(most.len());
        // Fewer rows may come to larger parts: memory is for the largest.
        self.reserve(if times > 1 { ROWS_TOGETHER.next_multiple_of(T::BLOCK) } else { each }, layer);
        let rows = hidden.chunks_mut(each * width).zip(most.chunks_mut(each));
        for (context, (hidden, most)) in context.chunks(each * channels).zip(rows) {
            self.add_context(tiles, layer, context, hidden, most);
            self.feed_forward(tiles, layer, hidden, most);
        }
    }

    /// Memory for so many rows behind attention.
    fn reserve(&mut self, rows: usize, layer: &EncoderLayer<'_>) {
        let (width, inner) = (layer.width(), layer.up.bias.len());
        self.rows.prepare(rows, width.max(layer.channels()));
        self.wide_rows.prepare(rows, inner);
        self.change.room(rows * width);
        self.wide.room(rows * inner);
        self.wide_largest.reserve(rows.saturating_sub(self.wide_largest.len()));
    }

    /// What attention brings, projected, added to some tokens and normalised.
    fn add_context<T: Tiles>(
        &mut self,
        tiles: T,
        layer: &EncoderLayer<'_>,
        context: &[f32],
        hidden: &mut [f32],
        most: &mut [f32],
    ) {
        let (channels, simd) = (layer.channels(), tiles.simd());
        self.rows.prepare(most.len(), channels);
        simd.vectorize(
            #[inline(always)]
            || {
                for (row, x) in context.chunks_exact(channels).enumerate() {
                    self.rows.quantize(simd, row, x, largest(simd, x), layer.output.fixed());
                }
            },
        );
        let sums = sums_of(&mut self.sums);
        change(tiles, layer.output, most.len(), (&self.rows, &mut self.change), sums);
        normalize(tiles, layer.attention_norm, &self.change, hidden, most);
    }

    /// The feed-forward block of some tokens, added and normalised.
    fn feed_forward<T: Tiles>(
        &mut self,
        tiles: T,
        layer: &EncoderLayer<'_>,
        hidden: &mut [f32],
        most: &mut [f32],
    ) {
        let (width, inner, simd) = (layer.width(), layer.up.bias.len(), tiles.simd());
        self.rows.prepare(most.len(), width);
        simd.vectorize(
            #[inline(always)]
            || {
                for (row, (x, most)) in hidden.chunks_exact(width).zip(&*most).enumerate() {
                    self.rows.quantize(simd, row, x, *most, layer.up.fixed());
                }
            },
        );
        match layer.activation {
            Activation::Gelu => self.widen(tiles, layer.up, most.len(), Gelu),
            Activation::Relu => self.widen(tiles, layer.up, most.len(), Relu),
        }
        self.wide_rows.prepare(most.len(), inner);
        simd.vectorize(
            #[inline(always)]
            || {
                for (row, lanes) in self.wide_largest.iter().enumerate() {
                    let most = simd.largest(simd.load(lanes));
                    let x = &self.wide[row * inner..][..inner];
                    self.wide_rows.quantize(simd, row, x, most, layer.down.fixed());
                }
            },
        );
        let sums = sums_of(&mut self.sums);
        change(tiles, layer.down, most.len(), (&self.wide_rows, &mut self.change), sums);
        normalize(tiles, layer.output_norm, &self.change, hidden, most);
    }

    /// The first product of the feed-forward block and what follows it, of rows that are bytes.
    fn widen<T: Tiles>(&mut self, tiles: T, up: Weighted<'_>, count: usize, function: impl Function) {
        let inner = up.bias.len();
        self.wide_largest.clear();
        self.wide_largest.resize(count, [0.0; LANES]);
        let mut finish = ToFloats {
            scales: &self.rows.scales,
            factors: up.factors(),
            bias: up.bias,
            out: self.wide.room(count * inner),
            stride: inner,
            function,
            largest: &mut self.wide_largest,
        };
        let sums = sums_of(&mut self.sums);
        tiles.simd().vectorize(
            #[inline(always)]
            || product(tiles, &self.rows, count, up.panels(), sums, &mut finish),
        );
    }
}

/// What changed of some tokens, added and normalised; and their largest magnitudes.
fn normalize<T: Tiles>(tiles: T, norm: Norm<'_>, change: &[f32], hidden: &mut [f32], most: &mut [f32]) {
    let (width, simd) = (norm.gain.len(), tiles.simd());
    simd.vectorize(
        #[inline(always)]
        || {
            let rows = hidden.chunks_exact_mut(width).zip(change.chunks_exact(width));
            for ((hidden, change), most) in rows.zip(most) {
                *most = add_and_normalize(simd, hidden, change, (norm.gain, norm.bias), norm.epsilon);
            }
        },
    );
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
