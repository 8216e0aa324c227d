//! Attention as in [`attention`](crate::floats::attention), with products of bfloat16: queries, keys, values and shares are rounded to
//! it before they are multiplied; scores and the sum of the shares are not.

use super::tiles::Blocks;
use super::{By, PairPanels, PairRows, in_turns, round, rounded};
use crate::floats::attention::{Brought, FloatHeads, Scores, softmax, unit};
use crate::floats::tile::{FloatTiles, PAIR_ROWS, WIDE};
use crate::int8::{Avx512, LANES, Pairs, Shape};
use std::arch::x86_64::*;

impl Pairs {
    /// Attention among the tokens of an example: `rows` are `[tokens, 3 · channels]`, `out` is `[tokens, channels]`.
    #[inline(always)]
    pub(in crate::floats) fn attend(
        self,
        simd: Avx512,
        shape: Shape,
        rows: &[f32],
        out: &mut [f32],
        room: &mut FloatHeads,
    ) {
        // SAFETY: the token is the proof of the instructions.
        self.begin(|by| unsafe { attend(by, simd, shape, rows, out, room) });
    }
}

#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16")]
fn attend(by: By<'_>, simd: Avx512, shape: Shape, rows: &[f32], out: &mut [f32], room: &mut FloatHeads) {
    let Shape { heads, width, tokens } = shape;
    let (channels, padded, (_, block)) = (heads * width, tokens.next_multiple_of(WIDE), simd.together());
    let shares = room.shares.room(block * padded);
    let each = padded * width / 2;
    let pairs = room.pairs.room(2 * each + block * (width + padded) / 2);
    let (keys, pairs) = pairs.split_at_mut(each);
    let (values, pairs) = pairs.split_at_mut(each);
    let (queries, rounded) = pairs.split_at_mut(block * width / 2);
    let blocks = &mut Blocks::new();
    for head in 0..heads {
        let rows = &rows[head * width..];
        pack_keys(shape, &rows[channels..], keys);
        pack_values(shape, &rows[2 * channels..], values);
        for first in (0..tokens).step_by(block) {
            let count = block.min(tokens - first);
            for (n, query) in queries.chunks_exact_mut(width / 2).take(count).enumerate() {
                round(&rows[(first + n) * 3 * channels..][..width], query);
            }
            let queries = PairRows { pairs: queries, stride: width / 2, count };
            let mut scores = Scores { out: &mut shares[..], stride: padded };
            let size = width / 2 * WIDE;
            let panels = PairPanels { numbers: keys, size, read: size, count: padded / WIDE };
            by.multiply(simd, queries, panels, blocks, &mut scores);
            let mut inverses = [0.0; PAIR_ROWS];
            let all = shares.chunks_exact_mut(padded).zip(rounded.chunks_exact_mut(padded / 2));
            for ((shares, rounded), inverse) in all.zip(&mut inverses[..count]) {
                let shares = &mut shares[..tokens.next_multiple_of(LANES)];
                *inverse = 1.0 / softmax(simd, shares, tokens, unit(width));
                round(&shares[..tokens], rounded);
            }
            let shares = PairRows { pairs: rounded, stride: padded / 2, count };
            let out = &mut out[first * channels + head * width..];
            let mut brought = Brought { out, stride: channels, inverses };
            let (size, read) = (padded / 2 * WIDE, by.pairs(tokens) * WIDE);
            let panels = PairPanels { numbers: values, size, read, count: width / WIDE };
            by.multiply(simd, shares, panels, blocks, &mut brought);
        }
    }
}

/// The keys of a head, `[tokens / 32, width / 2, 32]`, zeros beyond the last token; `rows` begin at the head's first key.
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16")]
fn pack_keys(shape: Shape, rows: &[f32], keys: &mut [i32]) {
    let Shape { heads, width, tokens } = shape;
    let mut row = [0; LANES];
    for (panel, keys) in keys.chunks_exact_mut(width / 2 * WIDE).enumerate() {
        for (part, keys) in keys.chunks_exact_mut(LANES * WIDE).enumerate() {
            for token in 0..WIDE {
                let place = panel * WIDE + token;
                if place < tokens {
                    round(&rows[place * 3 * heads * width + part * WIDE..][..WIDE], &mut row);
                } else {
                    row.fill(0);
                }
                for (keys, pair) in keys.as_chunks_mut::<WIDE>().0.iter_mut().zip(row) {
                    keys[token] = pair;
                }
            }
        }
    }
}

/// The values of a head, `[width / 32, tokens / 2, 32]`, zeros beyond the last token; `rows` begin at the head's first value.
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16")]
fn pack_values(shape: Shape, rows: &[f32], values: &mut [i32]) {
    let Shape { heads, width, tokens } = shape;
    let stride = 3 * heads * width;
    let in_turns = in_turns();
    let each = values.len() / (width / WIDE);
    for (panel, values) in values.chunks_exact_mut(each).enumerate() {
        for (pair, values) in values.as_chunks_mut::<WIDE>().0.iter_mut().enumerate() {
            let (values, _) = values.as_chunks_mut::<LANES>();
            for (part, values) in values.iter_mut().enumerate() {
                let load = |token: usize| {
                    if token >= tokens {
                        return _mm512_setzero_ps();
                    }
                    let row = &rows[token * stride + panel * WIDE + part * LANES..][..LANES];
                    // SAFETY: sixteen numbers.
                    unsafe { _mm512_loadu_ps(row.as_ptr()) }
                };
                let (low, high) = (load(2 * pair), load(2 * pair + 1));
                let pairs = _mm512_permutexvar_epi16(in_turns, rounded(low, high));
                // SAFETY: sixteen pairs are written.
                unsafe { _mm512_storeu_si512(values.as_mut_ptr().cast(), pairs) };
            }
        }
    }
}
