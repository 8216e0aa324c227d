//! Word dropout: each step of training leaves out some words of each row.
//!
//! Coarse weights overfit the words of their training rows: what keeps units from leaning on one another, dropout
//! between the sites, does nothing for the first one, which has most of the weights and reads the words themselves
//! (Iyyer et al. 2015, "Deep Unordered Composition Rivals Syntactic
//! Methods for Text Classification", section 3.2).

use burn::tensor::Tensor;
use nlpress_core::Seed;
use nlpress_model::ModelError;
use nlpress_model::network::{Seen, Taps};
use nlpress_text::{Examples, ExamplesRef, Rows, TokenRows};
use serde::Deserialize;

use crate::{BadConfig, Objective};

/// The share of words that are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub struct WordDropout(f32);

impl TryFrom<f64> for WordDropout {
    type Error = BadConfig;

    fn try_from(share: f64) -> Result<Self, BadConfig> {
        if !(0.0..1.0).contains(&share) {
            let (field, bound) = ("word_dropout", "at least 0 and less than 1");
            return Err(BadConfig { field, value: share.to_string(), bound });
        }
        Ok(Self(share as f32))
    }
}

impl WordDropout {
    /// What a setting of this type says.
    pub const SETTING: &str = "share of each text's words that a step of training leaves out, at least 0 and less than 1; 0 by default";

    /// Whether every word stays.
    pub fn is_off(self) -> bool {
        self.0 == 0.0
    }

    /// Some examples without some of their words, which depend on `seed` and `step` alone.
    ///
    /// A feature row stays as long as it was, and is left as it is where nothing of it would stay. The first token of a
    /// text always stays: some networks read all of it there.
    pub fn thinned(self, examples: ExamplesRef<'_>, indices: &[usize], seed: Seed, step: u64) -> Examples {
        match examples {
            ExamplesRef::Features(rows) => self.thinned_rows(rows, indices, seed, step).into(),
            ExamplesRef::Tokens(rows) => self.thinned_tokens(rows, indices, seed, step).into(),
        }
    }

    fn thinned_tokens(self, rows: &TokenRows, indices: &[usize], seed: Seed, step: u64) -> TokenRows {
        let mut rng = seed.stream(step);
        let (mut offsets, mut ids, mut types) = (vec![0], Vec::new(), Vec::new());
        for i in indices {
            let row = rows.row(*i);
            for (at, id) in row.ids.iter().enumerate() {
                if at == 0 || rng.uniform() >= self.0 {
                    ids.push(*id);
                    types.extend(row.types.get(at));
                }
            }
            offsets.push(ids.len());
        }
        TokenRows::new(rows.width(), offsets, ids, types).expect("a part of rows is rows")
    }

    fn thinned_rows(self, rows: &Rows, indices: &[usize], seed: Seed, step: u64) -> Rows {
        let mut rng = seed.stream(step);
        let (mut offsets, mut columns, mut values) = (vec![0], Vec::new(), Vec::new());
        for i in indices {
            let (row, start) = (rows.row(*i), values.len());
            for (column, value) in row.columns.iter().zip(row.values) {
                if rng.uniform() >= self.0 {
                    columns.push(*column);
                    values.push(*value);
                }
            }
            let (was, is) = (length(row.values), length(&values[start..]));
            if is > 0.0 {
                values[start..].iter_mut().for_each(|x| *x *= was / is);
            } else {
                columns.truncate(start);
                values.truncate(start);
                columns.extend_from_slice(row.columns);
                values.extend_from_slice(row.values);
            }
            offsets.push(values.len());
        }
        Rows::new(rows.width(), offsets, columns, values).expect("a part of rows is rows")
    }
}

fn length(values: &[f32]) -> f32 {
    values.iter().map(|x| x * x).sum::<f32>().sqrt()
}

/// An objective of rows that were taken out of others: `indices` are their numbers there.
pub(crate) struct Renumbered<'a> {
    pub(crate) objective: &'a dyn Objective,
    pub(crate) indices: &'a [usize],
}

impl Objective for Renumbered<'_> {
    fn loss(&self, rows: &[usize], n: usize, logits: &[f32], gradient: &mut [f32]) -> f64 {
        self.objective.loss(&self.numbers(rows), n, logits, gradient)
    }

    fn taps(&self) -> Taps {
        self.objective.taps()
    }

    fn term(&self, rows: &[usize], n: usize, seen: &Seen) -> Result<Option<Tensor<1>>, ModelError> {
        self.objective.term(&self.numbers(rows), n, seen)
    }
}

impl Renumbered<'_> {
    fn numbers(&self, rows: &[usize]) -> Vec<usize> {
        rows.iter().map(|row| self.indices[*row]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_length_and_lose_the_share() {
        let values: Vec<f32> = (0..200 * 50).map(|i| (i % 7) as f32 * 0.1).collect();
        let rows = Rows::from_dense(200, 50, &values).unwrap();
        let all: Vec<usize> = (0..200).rev().collect();
        let words = WordDropout::try_from(0.3).unwrap();
        let of_step = |step| words.thinned((&rows).into(), &all, Seed(1), step);
        assert_ne!(of_step(4), of_step(5));
        let thinned = of_step(4);
        assert_eq!(thinned, of_step(4));
        let thinned = thinned.features().unwrap();
        let left = thinned.nonzeros() as f64 / rows.nonzeros() as f64;
        assert!((left - 0.7).abs() < 0.02, "{left}");
        for (at, i) in all.iter().enumerate() {
            let (was, is) = (rows.row(*i), thinned.row(at));
            assert!((length(was.values) - length(is.values)).abs() < 1e-5);
            assert!(is.columns.iter().all(|c| was.columns.contains(c)));
        }
    }

    #[test]
    fn a_row_never_loses_its_last_word() {
        let rows = Rows::from_dense(3, 2, &[0.0, 2.0, 0.0, 0.0, 1.0, 0.0]).unwrap();
        let words = WordDropout::try_from(0.99).unwrap();
        for step in 0..20 {
            assert_eq!(words.thinned((&rows).into(), &[0, 1, 2], Seed(3), step), rows.clone().into());
        }
        assert!(!words.is_off() && WordDropout::default().is_off());
    }

    #[test]
    fn a_text_loses_tokens_with_their_types_but_never_the_first() {
        let (ids, types): (Vec<u32>, Vec<u8>) = (0..400u32).map(|id| (id, (id % 3) as u8)).unzip();
        let rows = TokenRows::new(400, vec![0, 0, 1, 200, 400], ids, types).unwrap();
        let words = WordDropout::try_from(0.4).unwrap();
        let thinned = words.thinned((&rows).into(), &[3, 2, 1, 0], Seed(1), 7);
        let thinned = thinned.tokens().unwrap();
        let lengths: Vec<usize> = thinned.iter().map(|row| row.ids.len()).collect();
        assert_eq!((thinned.row(0).ids[0], thinned.row(1).ids[0], &lengths[2..]), (200, 1, &[1, 0][..]));
        for row in thinned.iter() {
            assert!(row.ids.is_sorted());
            assert!(row.ids.iter().zip(row.types).all(|(id, of)| id % 3 == u32::from(*of)));
        }
        let left = thinned.tokens() as f64 / rows.tokens() as f64;
        assert!((left - 0.6).abs() < 0.06, "{left}");
    }

    #[test]
    fn the_share_is_checked() {
        for bad in [1.0, -0.1, f64::NAN] {
            let message = WordDropout::try_from(bad).unwrap_err().to_string();
            assert!(message.contains("word_dropout is"), "{message}");
        }
    }
}
