//! Scaled dot-product attention of several heads among the tokens of one example.

use pulp::Arch;

use crate::functions::softmax;
use crate::positions::Positions;

/// Numbers that one vector of sums has.
const LANES: usize = 16;
/// Queries that go through keys and values together.
const QUERIES: usize = 4;

/// Memory for one head, to be used again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heads {
    /// The keys of a head, `[width, tokens]`.
    keys: Vec<f32>,
    /// The values of a head, `[tokens, width]`.
    values: Vec<f32>,
    /// The queries of a head, turned, `[tokens, width]`; empty where they are not.
    queries: Vec<f32>,
    /// How much some queries attend to each token, `[queries, tokens]`.
    shares: Vec<f32>,
    /// What some queries bring, `[queries, width]`.
    brought: Vec<f32>,
}

/// Attention of `(heads, width)`: query, key, value and `out` are `[tokens, heads · width]`.
pub(crate) fn attend(
    (heads, width): (usize, usize),
    positions: &Positions,
    from: [&[f32]; 3],
    out: &mut [f32],
    room: &mut Heads,
) {
    Arch::new().dispatch(
        #[inline(always)]
        || (0..heads).for_each(|head| one_head(head, (heads * width, width), positions, from, out, room)),
    );
}

/// One head: its keys and values are copied out, so that what follows is contiguous.
#[inline(always)]
fn one_head(
    head: usize,
    (stride, width): (usize, usize),
    positions: &Positions,
    [query, key, value]: [&[f32]; 3],
    out: &mut [f32],
    room: &mut Heads,
) {
    let tokens = query.len() / stride;
    // Rounded up, so that vectors need no rest; what is beyond is never read.
    let (row, wide) = (tokens.next_multiple_of(LANES), width.next_multiple_of(LANES));
    let part = head * width..(head + 1) * width;
    let Heads { keys, values, queries, shares, brought } = room;
    keys.clear();
    keys.resize(width * row, 0.0);
    values.clear();
    values.resize(tokens * wide, 0.0);
    for (token, (key, value)) in key.chunks_exact(stride).zip(value.chunks_exact(stride)).enumerate() {
        let mut scatter = |key: &[f32]| key.iter().enumerate().for_each(|(n, x)| keys[n * row + token] = *x);
        if positions.turns.is_some() {
            queries.clear();
            queries.extend_from_slice(&key[part.clone()]);
            positions.turn(token, queries);
            scatter(queries);
        } else {
            scatter(&key[part.clone()]);
        }
        values[token * wide..][..width].copy_from_slice(&value[part.clone()]);
    }
    shares.resize(QUERIES * row, 0.0);
    brought.resize(QUERIES * wide, 0.0);
    queries.clear();
    if positions.turns.is_some() {
        query.chunks_exact(stride).for_each(|query| queries.extend_from_slice(&query[part.clone()]));
        queries.chunks_exact_mut(width).enumerate().for_each(|(place, query)| positions.turn(place, query));
    }
    let (query, stride_of_queries, own) = match queries[..] {
        [] => (query, stride, part.clone()),
        _ => (&queries[..], width, 0..width),
    };
    let scale = 1.0 / (width as f32).sqrt();
    let mut first = 0;
    while first < tokens {
        let count = QUERIES.min(tokens - first);
        // Where fewer are left, the last goes through more than once.
        let query = |n: usize| &query[(first + n.min(count - 1)) * stride_of_queries..][own.clone()];
        product([query(0), query(1), query(2), query(3)], keys, row, shares);
        for (n, shares) in shares.chunks_exact_mut(row).enumerate() {
            shares[..tokens].iter_mut().for_each(|x| *x *= scale);
            positions.apply(head, first + n.min(count - 1), &mut shares[..tokens]);
            softmax(&mut shares[..tokens]);
        }
        let share = |n: usize| &shares[n * row..][..tokens];
        product([share(0), share(1), share(2), share(3)], values, wide, brought);
        for (n, brought) in brought.chunks_exact(wide).take(count).enumerate() {
            out[(first + n) * stride..][part.clone()].copy_from_slice(&brought[..width]);
        }
        first += count;
    }
}

/// Four rows times a matrix of rows of `stride`, a multiple of [`LANES`]: `[QUERIES, stride]`.
#[inline(always)]
fn product(rows: [&[f32]; QUERIES], matrix: &[f32], stride: usize, out: &mut [f32]) {
    let [a, b, c, d] = rows;
    for column in (0..stride).step_by(LANES) {
        let mut sums = [[0.0_f32; LANES]; QUERIES];
        let terms = a.iter().zip(b).zip(c).zip(d).zip(matrix.chunks_exact(stride));
        for ((((a, b), c), d), row) in terms {
            let Some(row) = row[column..].first_chunk::<LANES>() else { continue };
            for lane in 0..LANES {
                sums[0][lane] += a * row[lane];
                sums[1][lane] += b * row[lane];
                sums[2][lane] += c * row[lane];
                sums[3][lane] += d * row[lane];
            }
        }
        for (sums, out) in sums.iter().zip(out.chunks_exact_mut(stride)) {
            out[column..column + LANES].copy_from_slice(sums);
        }
    }
}

/// The same, one number after the other with the exponential of the standard library: what bags have been answered by
/// since there are such artifacts, whose answers stay the same bits.
pub(crate) fn attend_in_order(
    (heads, width): (usize, usize),
    [query, key, value]: [&[f32]; 3],
    out: &mut [f32],
    Heads { shares, .. }: &mut Heads,
) {
    let stride = heads * width;
    let scale = 1.0 / (width as f32).sqrt();
    out.fill(0.0);
    for head in 0..heads {
        let part = head * width..(head + 1) * width;
        for (query, out) in query.chunks_exact(stride).zip(out.chunks_exact_mut(stride)) {
            let query = &query[part.clone()];
            shares.clear();
            shares.extend(key.chunks_exact(stride).map(|key| {
                let dot: f32 = query.iter().zip(&key[part.clone()]).map(|(q, k)| q * k).sum();
                dot * scale
            }));
            let largest = shares.iter().fold(f32::NEG_INFINITY, |m, x| m.max(*x));
            shares.iter_mut().for_each(|x| *x = (*x - largest).exp());
            let sum: f32 = shares.iter().sum();
            let out = &mut out[part.clone()];
            for (share, value) in shares.iter().zip(value.chunks_exact(stride)) {
                let share = share / sum;
                out.iter_mut().zip(&value[part.clone()]).for_each(|(m, v)| *m += share * v);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_agree() {
        for (heads, width, tokens) in [(1, 1, 1), (2, 4, 3), (3, 16, 17), (4, 8, 33), (2, 20, 5), (1, 5, 0)] {
            let length = heads * width * tokens;
            let made = |salt: usize| -> Vec<f32> {
                (0..length).map(|n| ((n * 131 + salt * 17) % 97) as f32 / 40.0 - 1.2).collect()
            };
            let (query, key, value) = (made(1), made(2), made(3));
            let (mut found, mut expected) = (vec![7.0; length], vec![7.0; length]);
            let mut room = Heads::default();
            // Of another size before, so that what is left of it would show.
            let none = Positions::default();
            attend((1, 40), &none, [&[2.0; 1600], &[3.0; 1600], &[4.0; 1600]], &mut [0.0; 1600], &mut room);
            attend((heads, width), &none, [&query, &key, &value], &mut found, &mut room);
            attend_in_order((heads, width), [&query, &key, &value], &mut expected, &mut room);
            for (a, b) in found.iter().zip(&expected) {
                assert!((a - b).abs() < 1e-5, "{heads} x {width}, {tokens}: {a} {b}");
            }
        }
    }
}
