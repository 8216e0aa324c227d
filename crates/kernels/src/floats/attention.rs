//! Multi-head attention of one example in floats, without padding and without the matrix of scores.

use super::elementwise::exp2;
use super::tile::{Columns, Finish, FloatTiles, MOST_ROWS, PAIR_ROWS, Rows, WIDE};
use crate::aligned::Aligned;
use crate::int8::{LANES, Shape, Simd};

/// Memory for one head, to be used again.
#[derive(Clone, Debug, Default)]
pub(crate) struct FloatHeads {
    /// The keys of a head, `[tokens / 32, width, 32]`, zeros beyond the last token.
    keys: Aligned<f32>,
    /// Of some queries: scores, and then how much they attend to each token; `[queries, tokens]`.
    pub(super) shares: Aligned<f32>,
    /// All that is multiplied as bfloat16.
    #[cfg(target_arch = "x86_64")]
    pub(super) pairs: Aligned<i32>,
}

/// Scores as they are.
pub(super) struct Scores<'a> {
    pub(super) out: &'a mut [f32],
    pub(super) stride: usize,
}

impl Finish for Scores<'_> {
    #[inline(always)]
    fn vector<S: Simd>(&mut self, simd: S, row: usize, column: usize, sums: S::F) {
        let at = row * self.stride + column;
        let (out, _) = self.out[at..].split_first_chunk_mut::<LANES>().expect("whole vectors of scores");
        simd.store(sums, out);
    }
}

/// What values bring, each row divided by the sum of its shares.
pub(super) struct Brought<'a> {
    pub(super) out: &'a mut [f32],
    pub(super) stride: usize,
    pub(super) inverses: [f32; PAIR_ROWS],
}

impl Finish for Brought<'_> {
    #[inline(always)]
    fn vector<S: Simd>(&mut self, simd: S, row: usize, column: usize, sums: S::F) {
        let at = row * self.stride + column;
        let (out, _) = self.out[at..].split_first_chunk_mut::<LANES>().expect("whole vectors of a head");
        simd.store(simd.mul(sums, simd.splat(self.inverses[row])), out);
    }
}

/// What scores of heads of that width are multiplied with to be exponents of two.
pub(super) fn unit(width: usize) -> f32 {
    std::f32::consts::LOG2_E / (width as f32).sqrt()
}

/// Attention among the tokens of an example: `rows` are `[tokens, 3 · channels]`, `out` is `[tokens, channels]`. With `halves`
/// products are of bfloat16 where there is an instruction for them.
#[inline(always)]
pub(crate) fn attend<S: FloatTiles>(
    simd: S,
    shape: Shape,
    rows: &[f32],
    out: &mut [f32],
    room: &mut FloatHeads,
    halves: bool,
) {
    #[cfg(target_arch = "x86_64")]
    if halves && let Some((simd, pairs)) = simd.with_pairs() {
        return pairs.attend(simd, shape, rows, out, room);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = halves;
    let Shape { heads, width, tokens } = shape;
    let (channels, padded) = (heads * width, tokens.next_multiple_of(WIDE));
    let FloatHeads { keys, shares, .. } = room;
    let keys = keys.room(padded * width);
    let shares = shares.room(MOST_ROWS * padded);
    let unit = unit(width);
    for head in 0..heads {
        pack_keys(shape, &rows[channels + head * width..], keys);
        for first in (0..tokens).step_by(S::ROWS) {
            let count = S::ROWS.min(tokens - first);
            let from = first * 3 * channels + head * width;
            let queries = Rows { numbers: &rows[from..], stride: 3 * channels, count };
            let mut scores = Scores { out: &mut shares[..], stride: padded };
            for (n, keys) in keys.chunks_exact(width * WIDE).enumerate() {
                let keys = Columns { numbers: keys, pitch: WIDE, depth: width };
                simd.all_rows::<f32>(queries, keys, n * WIDE, &[], &mut scores);
            }
            let mut inverses = [0.0; PAIR_ROWS];
            for (shares, inverse) in shares.chunks_exact_mut(padded).zip(&mut inverses[..count]) {
                *inverse = 1.0 / softmax(simd, &mut shares[..tokens.next_multiple_of(LANES)], tokens, unit);
            }
            let shares = Rows { numbers: shares, stride: padded, count };
            let out = &mut out[first * channels + head * width..];
            let mut brought = Brought { out, stride: channels, inverses };
            for column in (0..width).step_by(WIDE) {
                let numbers = &rows[2 * channels + head * width + column..];
                let values = Columns { numbers, pitch: 3 * channels, depth: tokens };
                simd.all_rows::<f32>(shares, values, column, &[], &mut brought);
            }
        }
    }
}

/// The keys of a head as panels of tokens; `rows` begin at the head's first key.
#[inline(always)]
fn pack_keys(shape: Shape, rows: &[f32], keys: &mut [f32]) {
    let stride = 3 * shape.heads * shape.width;
    for (panel, keys) in keys.chunks_exact_mut(shape.width * WIDE).enumerate() {
        for token in 0..WIDE {
            let place = panel * WIDE + token;
            let (keys, _) = keys.as_chunks_mut::<WIDE>();
            if place < shape.tokens {
                let row = &rows[place * stride..][..shape.width];
                keys.iter_mut().zip(row).for_each(|(keys, x)| keys[token] = *x);
            } else {
                keys.iter_mut().for_each(|keys| keys[token] = 0.0);
            }
        }
    }
}

/// `2^(unit · (x - largest))` of the first `tokens` numbers of a row of whole vectors; returns their sum.
#[inline(always)]
pub(super) fn softmax<S: Simd>(simd: S, row: &mut [f32], tokens: usize, unit: f32) -> f32 {
    row[tokens..].fill(f32::NEG_INFINITY);
    let (row, _) = row.as_chunks_mut::<LANES>();
    let mut most = simd.splat(f32::NEG_INFINITY);
    for x in row.iter() {
        most = simd.max(most, simd.load(x));
    }
    let (most, unit) = (simd.splat(simd.largest(most)), simd.splat(unit));
    let mut total = simd.splat(0.0);
    for x in row.iter_mut() {
        let share = exp2(simd, simd.mul(simd.sub(simd.load(x), most), unit));
        total = simd.add(total, share);
        simd.store(share, x);
    }
    simd.sum(total)
}
