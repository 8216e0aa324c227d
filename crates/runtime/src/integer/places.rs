//! Attention in integers that makes something of the places of tokens. All numbers have 16 fraction bits.

use super::fixed::{FRACTION, Factor, divide};
use super::functions::softmax;

/// What an attention makes of places, as [`Positions`](crate::positions::Positions).
#[derive(Debug)]
pub(super) struct Places {
    /// Cosine and sine, `[places, head_width / 2]`.
    pub(super) turns: Option<Vec<(i64, i64)>>,
    pub(super) window: Option<usize>,
    /// `[heads, 2 · most - 1]`.
    pub(super) relative: Option<Vec<i64>>,
}

/// What no share is left of.
const FAR: i64 = i64::MIN / 2;

impl Places {
    /// Multi-head attention among the tokens of one example; `score` is what a product of a query and a key is multiplied
    /// by.
    pub(super) fn attend(
        &self,
        (heads, width): (usize, usize),
        score: Factor,
        [query, key, value]: [&[i64]; 3],
        out: &mut [i64],
        shares: &mut Vec<i64>,
    ) {
        let stride = heads * width;
        let tokens = query.len() / stride;
        let (mut query, mut key) = (query.to_vec(), key.to_vec());
        self.turn(&mut query, stride, width);
        self.turn(&mut key, stride, width);
        out.fill(0);
        for head in 0..heads {
            let part = head * width..(head + 1) * width;
            let rows = query.chunks_exact(stride).zip(out.chunks_exact_mut(stride)).enumerate();
            for (place, (query, out)) in rows {
                let near = match self.window {
                    Some(window) => place.saturating_sub(window)..(place + window + 1).min(tokens),
                    None => 0..tokens,
                };
                let of_key = |(at, key): (usize, &[i64])| {
                    if !near.contains(&at) {
                        return FAR;
                    }
                    let terms = query[part.clone()]
                        .iter()
                        .zip(&key[part.clone()])
                        .map(|(q, k)| i128::from(*q) * i128::from(*k));
                    let dot = (terms.sum::<i128>() >> FRACTION).clamp(-(1 << 36), 1 << 36);
                    score.times(dot as i64) + self.bias((head, heads), place, at)
                };
                shares.clear();
                shares.extend(key.chunks_exact(stride).enumerate().map(of_key));
                softmax(shares);
                let out = &mut out[part.clone()];
                for (share, value) in shares.iter().zip(value.chunks_exact(stride)) {
                    out.iter_mut().zip(&value[part.clone()]).for_each(|(m, v)| *m += share * v);
                }
                out.iter_mut().for_each(|m| *m = divide(*m, 1 << FRACTION));
            }
        }
    }

    /// What is added to the score of a head's query at a place and a key at another.
    fn bias(&self, (head, heads): (usize, usize), query: usize, key: usize) -> i64 {
        let Some(all) = &self.relative else { return 0 };
        let of_head = all.len() / heads;
        all[head * of_head + of_head / 2 + key - query]
    }

    /// Turns the queries or keys of all heads.
    fn turn(&self, values: &mut [i64], stride: usize, width: usize) {
        let Some(turns) = &self.turns else { return };
        let half = width / 2;
        for (row, turns) in values.chunks_exact_mut(stride).zip(turns.chunks_exact(half)) {
            for head in row.chunks_exact_mut(width) {
                let (first, second) = head.split_at_mut(half);
                for ((x, y), (cos, sin)) in first.iter_mut().zip(second).zip(turns) {
                    (*x, *y) = (turned(*x * cos, *y * -sin), turned(*y * cos, *x * sin));
                }
            }
        }
    }
}

/// The sum of two products, which have 32 fraction bits, with 16.
fn turned(a: i64, b: i64) -> i64 {
    (a + b) >> FRACTION
}

#[cfg(test)]
mod tests {
    use super::super::fixed::ONE;
    use super::super::prepare;
    use crate::attention::{self, Heads};
    use crate::positions::{Positions, Relative};
    use nlpress_graph::{RelativeBias, Rotary, SiteId};
    use std::sync::Arc;

    #[test]
    fn integers_attend_nearly_as_floats_do() {
        let (heads, width, tokens) = (2, 4, 11);
        let numbers = |salt: usize| -> Vec<f32> {
            (0..heads * width * tokens).map(|n| ((n * 131 + salt * 17) % 97) as f32 / 40.0 - 1.2).collect()
        };
        let bias = RelativeBias { param: SiteId::new("bias"), buckets: 8, distance: 16 };
        let values: Vec<f32> = (0..16).map(|n| n as f32 * 0.3 - 2.0).collect();
        let relative = Some(Arc::new(Relative::of(&bias, &values, heads, 20)));
        let turns = Some(Rotary { base: 100.0 }.turns(20, width).into());
        let all = [
            Positions { turns, ..Positions::default() },
            Positions { relative, ..Positions::default() },
            Positions { window: Some(2), ..Positions::default() },
        ];
        let score = prepare::factor(0.5).unwrap();
        let from = [numbers(1), numbers(2), numbers(3)];
        let fixed = from.clone().map(|of| of.iter().map(|x| (x * ONE as f32) as i64).collect::<Vec<i64>>());
        let mut plain = vec![0.0; heads * width * tokens];
        let from = [&from[0][..], &from[1], &from[2]];
        attention::attend((heads, width), &Positions::default(), from, &mut plain, &mut Heads::default());
        for positions in all {
            let mut expected = vec![0.0; plain.len()];
            attention::attend((heads, width), &positions, from, &mut expected, &mut Heads::default());
            let far = expected.iter().zip(&plain).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(far > 0.1, "places make a difference");
            let (mut found, mut shares) = (vec![0; plain.len()], Vec::new());
            let places = prepare::places(&positions).unwrap();
            let fixed = [&fixed[0][..], &fixed[1], &fixed[2]];
            places.attend((heads, width), score, fixed, &mut found, &mut shares);
            for (found, expected) in found.iter().zip(&expected) {
                let found = *found as f32 / ONE as f32;
                assert!((found - expected).abs() < 0.02, "{positions:?}: {found} {expected}");
            }
        }
        assert!(prepare::places(&Positions::default()).is_none());
    }
}
