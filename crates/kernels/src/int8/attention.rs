//! Multi-head attention of one example in integers, without padding and without the matrix of scores.
//!
//! Keys are signed bytes with a scale for each channel of the example, which is multiplied into the queries before those
//! are quantized row by row: what a score then lacks is one factor for its row. Values are signed bytes with a scale for
//! each channel. Of a block of queries, scores are integers; `255 · 2^(x − max)` of them is rounded to a byte, and what the
//! values bring is divided by the sum of the rounded bytes. So an example's result depends on nothing but the example.

use super::elementwise::exp2_255;
use super::simd::{LANES, Simd};
use super::tiles::{Block, Panel, QUAD, ROWS, Sums, Tiles, WIDE};
use crate::aligned::Aligned;
use bytemuck::must_cast_slice;

/// The largest level of queries, keys and values.
const MOST: f32 = 127.0;
/// Fours of tokens in which values are held: what the widest instruction takes.
const DEEP: usize = 16;

/// Memory for one head, to be used again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heads {
    /// Of each channel of all heads: the scale of keys and of values, and one by it.
    keys: Scales,
    values: Scales,
    /// The keys of a head, `[tokens / 64, width / 4, 64]` fours of bytes.
    packed_keys: Aligned<i32>,
    key_starts: Vec<[i32; WIDE]>,
    /// The values of a head, `[tokens / 4, width]` fours of bytes.
    packed_values: Aligned<i32>,
    /// The queries of a head, `[tokens, width]`, and what their scores are multiplied by.
    queries: Aligned<u8>,
    factors: Vec<f32>,
    /// Of some queries, 64 tokens each.
    scores: Vec<Sums>,
    /// How much some queries attend to each token, `[queries, tokens]`.
    shares: Aligned<u8>,
}

/// Scales of channels.
#[derive(Clone, Debug, Default)]
struct Scales {
    scales: Aligned<f32>,
    inverses: Aligned<f32>,
}

/// The shape of attention: heads, numbers of each, and where queries, keys and values lie in a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) heads: usize,
    /// 32 or 64.
    pub(crate) width: usize,
    pub(crate) tokens: usize,
}

impl Shape {
    /// Numbers of all heads.
    fn channels(self) -> usize {
        self.heads * self.width
    }

    /// Tokens in whole vectors.
    fn whole(self) -> usize {
        self.tokens.next_multiple_of(LANES)
    }
}

/// The numbers of a head from `at` on.
#[inline(always)]
fn vectors<const V: usize>(rows: &[f32], at: usize) -> &[[f32; LANES]; V] {
    let (vectors, _) = rows[at..at + V * LANES].as_chunks::<LANES>();
    vectors.first_chunk().expect("as many as were cut out")
}

/// Attention of consecutive tokens of an example, from `first` on, to all of them: `rows` are `[tokens, 3 · channels]`, `out`
/// is `[tokens that attend, channels]`.
#[inline(always)]
pub(crate) fn attend<T: Tiles>(
    tiles: T,
    shape: Shape,
    rows: &[f32],
    first: usize,
    out: &mut [f32],
    room: &mut Heads,
) {
    match shape.width {
        32 => attend_by::<T, 2>(tiles, shape, rows, first, out, room),
        _ => attend_by::<T, 4>(tiles, shape, rows, first, out, room),
    }
}

/// The same with `V` vectors to a head.
#[inline(always)]
fn attend_by<T: Tiles, const V: usize>(
    tiles: T,
    shape: Shape,
    rows: &[f32],
    first: usize,
    out: &mut [f32],
    room: &mut Heads,
) {
    let simd = tiles.simd();
    let channels = shape.channels();
    let attending = out.len() / channels;
    let queries = &rows[first * 3 * channels..][..attending * 3 * channels];
    room.prepare(shape);
    room.keys.measure(simd, shape, &rows[channels..]);
    room.values.measure(simd, shape, &rows[2 * channels..]);
    for head in 0..shape.heads {
        room.pack_keys::<T, V>(tiles, shape, head, rows);
        room.pack_queries::<T::Simd, V>(simd, shape, head, queries);
        room.pack_values::<T::Simd, V>(simd, shape, head, rows);
        for first in (0..attending).step_by(T::BEST) {
            let count = T::BEST.min(attending - first);
            room.score(tiles, shape, first, count);
            let mut totals = [0.0; ROWS];
            for r in 0..count {
                totals[r] = room.share(simd, shape, first, r);
            }
            room.bring::<T, V>(tiles, shape, (head, first), &totals[..count], out);
        }
    }
}

impl Scales {
    /// Of each channel, the scale that takes its largest magnitude to the largest level; `rows` begin at the first channel.
    #[inline(always)]
    fn measure<S: Simd>(&mut self, simd: S, shape: Shape, rows: &[f32]) {
        let channels = shape.channels();
        let scales = self.scales.room(channels);
        let inverses = self.inverses.room(channels);
        for at in (0..channels).step_by(2 * LANES) {
            let mut most = [simd.splat(0.0); 2];
            for token in 0..shape.tokens {
                let x = vectors::<2>(rows, token * 3 * channels + at);
                for v in 0..2 {
                    most[v] = simd.max(most[v], simd.abs(simd.load(&x[v])));
                }
            }
            for v in 0..2 {
                let mut numbers = [0.0; LANES];
                simd.store(most[v], &mut numbers);
                for (n, most) in numbers.iter().enumerate() {
                    let at = at + v * LANES + n;
                    scales[at] = most / MOST;
                    let inverse = MOST / most;
                    inverses[at] = if inverse < f32::INFINITY { inverse } else { 0.0 };
                }
            }
        }
    }
}

impl Heads {
    fn prepare(&mut self, shape: Shape) {
        let panels = shape.tokens.div_ceil(WIDE);
        let rows = shape.tokens.next_multiple_of(ROWS);
        self.packed_keys.room(panels * WIDE * shape.width / QUAD);
        if self.key_starts.len() < panels {
            self.key_starts.resize(panels, [0; WIDE]);
            self.scores.resize(panels, Sums::new());
        }
        self.packed_values.room(shape.tokens.div_ceil(QUAD).next_multiple_of(DEEP) * shape.width);
        // Rows from the last block on may be read beyond the last token.
        self.queries.room((rows + ROWS) * shape.width);
        if self.factors.len() < rows {
            self.factors.resize(rows, 0.0);
        }
        self.shares.room(ROWS * panels * WIDE);
    }

    /// Columns of a panel of keys.
    fn columns(shape: Shape, panel: usize) -> usize {
        (shape.whole() - panel * WIDE).min(WIDE)
    }

    fn key_panel(&self, shape: Shape, panel: usize) -> Panel<'_> {
        let bytes: &[i8] = must_cast_slice(&self.packed_keys[..]);
        Panel {
            bytes: &bytes[panel * WIDE * shape.width..],
            columns: Self::columns(shape, panel),
            quads: shape.width / QUAD,
            starts: &self.key_starts[panel],
        }
    }

    /// The keys of a head as panels; the last token again up to whole vectors.
    #[inline(always)]
    fn pack_keys<T: Tiles, const V: usize>(&mut self, tiles: T, shape: Shape, head: usize, rows: &[f32]) {
        let simd = tiles.simd();
        let (channels, quads) = (shape.channels(), shape.width / QUAD);
        let inverses = vectors::<V>(&self.keys.inverses, head * shape.width);
        for first in (0..shape.whole()).step_by(LANES) {
            let columns = Self::columns(shape, first / WIDE);
            let to = &mut self.packed_keys[first / WIDE * WIDE * quads..][..columns * quads];
            for v in (0..V).step_by(2) {
                // Of eight tokens and the eight behind them, 32 numbers each: a token's fours become a column.
                let mut fours = [simd.splat_i(0); 8];
                for n in 0..8 {
                    let mut levels = [simd.splat_i(0); 4];
                    for half in 0..2 {
                        let token = (first + 8 * half + n).min(shape.tokens - 1);
                        let x = vectors::<V>(rows, (3 * token + 1) * channels + head * shape.width);
                        for w in 0..2 {
                            let scaled = simd.mul(simd.load(&x[v + w]), simd.load(&inverses[v + w]));
                            levels[2 * half + w] = simd.round(scaled);
                        }
                    }
                    fours[n] = simd.narrow(levels);
                }
                let fours = simd.turn(fours);
                for (q, fours) in fours.into_iter().enumerate() {
                    let at = (8 * (v / 2) + q) * columns + first % WIDE;
                    to[at..at + LANES].copy_from_slice(&simd.words(fours));
                }
            }
        }
        // Queries have 128 on top: what that comes to is a product with a row of it.
        let row = [128_u8; WIDE];
        let ones = Block { bytes: &row[..shape.width], stride: shape.width, count: 1 };
        for panel in 0..shape.tokens.div_ceil(WIDE) {
            let mut sums = self.scores.swap_remove(0);
            let keys = Panel { starts: &[0; WIDE], ..self.key_panel(shape, panel) };
            tiles.one_row(ones, keys, &mut sums);
            for column in 0..keys.columns {
                self.key_starts[panel][column] = -sums.0[0][column];
            }
            self.scores.push(sums);
        }
    }

    /// The queries of a head, times the scales of the keys, of the rows that attend.
    #[inline(always)]
    fn pack_queries<S: Simd, const V: usize>(&mut self, simd: S, shape: Shape, head: usize, rows: &[f32]) {
        let channels = shape.channels();
        let (each, attending) = (4 / V, rows.len() / (3 * channels));
        let scales = vectors::<V>(&self.keys.scales, head * shape.width);
        let unit = std::f32::consts::LOG2_E / (shape.width as f32).sqrt();
        let (to, _) = self.queries.as_chunks_mut::<{ 4 * LANES }>();
        for (group, to) in to[..attending.div_ceil(each)].iter_mut().enumerate() {
            let mut levels = [simd.splat_i(0); 4];
            for n in 0..each {
                let token = (group * each + n).min(attending - 1);
                let q = vectors::<V>(rows, 3 * token * channels + head * shape.width);
                let mut x = [simd.splat(0.0); V];
                let mut most = simd.splat(0.0);
                for v in 0..V {
                    x[v] = simd.mul(simd.load(&q[v]), simd.load(&scales[v]));
                    most = simd.max(most, simd.abs(x[v]));
                }
                let most = simd.largest(most);
                let inverse = MOST / most;
                let inverse = simd.splat(if inverse < f32::INFINITY { inverse } else { 0.0 });
                for v in 0..V {
                    levels[n * V + v] = simd.round(simd.mul(x[v], inverse));
                }
                self.factors[group * each + n] = most / MOST * unit;
            }
            *to = simd.offset_bytes(levels);
        }
    }

    /// The values of a head, four tokens side by side; zeros behind the last.
    #[inline(always)]
    fn pack_values<S: Simd, const V: usize>(&mut self, simd: S, shape: Shape, head: usize, rows: &[f32]) {
        let channels = shape.channels();
        let fours = shape.tokens.div_ceil(QUAD).next_multiple_of(DEEP);
        let inverses = vectors::<V>(&self.values.inverses, head * shape.width);
        let (to, _) = self.packed_values[..fours * shape.width].as_chunks_mut::<LANES>();
        for (four, to) in to.as_chunks_mut::<V>().0.iter_mut().enumerate() {
            let mut levels = [[simd.splat_i(0); QUAD]; V];
            for n in 0..QUAD {
                let token = four * QUAD + n;
                if token < shape.tokens {
                    let x = vectors::<V>(rows, (3 * token + 2) * channels + head * shape.width);
                    for v in 0..V {
                        levels[v][n] = simd.round(simd.mul(simd.load(&x[v]), simd.load(&inverses[v])));
                    }
                }
            }
            for v in 0..V {
                to[v] = simd.words(simd.four_bytes(levels[v]));
            }
        }
    }

    /// The scores of some queries.
    #[inline(always)]
    fn score<T: Tiles>(&mut self, tiles: T, shape: Shape, first: usize, count: usize) {
        let mut scores = std::mem::take(&mut self.scores);
        let queries = Block { bytes: &self.queries[first * shape.width..], stride: shape.width, count };
        for panel in 0..shape.tokens.div_ceil(WIDE) {
            tiles.tile(queries, self.key_panel(shape, panel), &mut scores[panel]);
        }
        self.scores = scores;
    }

    /// The shares of query `first + r`, as bytes; returns their sum.
    #[inline(always)]
    fn share<S: Simd>(&mut self, simd: S, shape: Shape, first: usize, r: usize) -> f32 {
        let whole = shape.whole() / LANES;
        let panels = &self.scores[..shape.tokens.div_ceil(WIDE)];
        let mut most = [simd.splat_i(i32::MIN); 4];
        for (p, scores) in panels.iter().enumerate() {
            let (scores, _) = scores.0[r].as_chunks::<LANES>();
            for v in 0..4 {
                if 4 * p + v < whole {
                    most[v] = simd.max_i(most[v], simd.load_i(&scores[v]));
                }
            }
        }
        let most = simd.max_i(simd.max_i(most[0], most[1]), simd.max_i(most[2], most[3]));
        let least = simd.splat_i(simd.largest_i(most).wrapping_neg());
        let factor = simd.splat(self.factors[first + r]);
        let (shares, _) = self.shares[r * panels.len() * WIDE..].as_chunks_mut::<LANES>();
        let (shares, _) = shares.as_chunks_mut::<4>();
        let last = &KEPT[(shape.tokens - 1) % LANES];
        let mut totals = [simd.splat_i(0); 4];
        for (p, (scores, shares)) in panels.iter().zip(shares).enumerate() {
            let (scores, _) = scores.0[r].as_chunks::<LANES>();
            for v in 0..4 {
                let n = 4 * p + v;
                if n >= whole {
                    shares[v] = [0; LANES];
                    continue;
                }
                let x = simd.mul(simd.float(simd.add_i(simd.load_i(&scores[v]), least)), factor);
                let mut share = simd.round(exp2_255(simd, x));
                if n + 1 == whole {
                    share = simd.min_i(share, simd.load_i(last));
                }
                totals[v] = simd.add_i(totals[v], share);
                shares[v] = simd.low_bytes(share);
            }
        }
        let [a, b, c, d] = totals;
        simd.sum(simd.float(simd.add_i(simd.add_i(a, b), simd.add_i(c, d))))
    }

    /// What the values bring to some queries.
    #[inline(always)]
    fn bring<T: Tiles, const V: usize>(
        &mut self,
        tiles: T,
        shape: Shape,
        (head, first): (usize, usize),
        totals: &[f32],
        out: &mut [f32],
    ) {
        let simd = tiles.simd();
        let stride = shape.tokens.div_ceil(WIDE) * WIDE;
        let shares = Block { bytes: &self.shares[..], stride, count: totals.len() };
        let bytes: &[i8] = must_cast_slice(&self.packed_values[..]);
        let values = Panel {
            bytes,
            columns: shape.width,
            quads: T::quads(shape.tokens.div_ceil(QUAD)),
            starts: &[0; WIDE],
        };
        // The scores have been read.
        let sums = &mut self.scores[0];
        tiles.tile(shares, values, sums);
        let scales = vectors::<V>(&self.values.scales, head * shape.width);
        for (r, total) in totals.iter().enumerate() {
            let share = simd.splat(1.0 / total);
            let out = &mut out[(first + r) * shape.channels() + head * shape.width..][..V * LANES];
            let (out, _) = out.as_chunks_mut::<LANES>();
            let (sums, _) = sums.0[r].as_chunks::<LANES>();
            for v in 0..V {
                let unit = simd.mul(simd.load(&scales[v]), share);
                simd.store(simd.mul(simd.float(simd.load_i(&sums[v])), unit), &mut out[v]);
            }
        }
    }
}

/// Of a vector whose last token is at that lane: what shares are at most.
const KEPT: [[i32; LANES]; LANES] = {
    let mut kept = [[0; LANES]; LANES];
    let mut last = 0;
    while last < LANES {
        let mut lane = 0;
        while lane <= last {
            kept[last][lane] = 255;
            lane += 1;
        }
        last += 1;
    }
    kept
};
