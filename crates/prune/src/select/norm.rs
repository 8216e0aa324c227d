//! `select.norm`: the words that the network itself uses stay.
//!
//! A word reaches the network through its row of the first site's weight. A row of zeros does nothing: after
//! connections were pruned there are such words. They go for free, but for one thing: with an encoder that scales
//! rows to length 1 they took part in that length. Beyond those, the words of the shortest rows go (Li et al.
//! 2017 rank filters by their norm); with `by = "contribution"` the norm is multiplied by the root mean square of
//! the word's values in the training rows, as Wanda does for single weights, because a long row of a rare word
//! adds little.

use nlpress_model::{Dataset, Model};
use nlpress_technique::{Cx, Family, Kind, Needs, Settings, StepError, parse, settings};
use serde::Deserialize;

use super::{FINETUNE, KEEP, Selector, WordScore, totals};

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "select.norm",
    family: Family::Simplify,
    summary: "Vocabulary pruning by weight norm: keeps the words that the first site's weights use most; \
              without a count, all that they use at all.",
    source: "Li et al. 2017, arXiv:1608.08710 (rows by norm); Sun et al. 2023, arXiv:2306.11695 (norm times input)",
    example: "keep = 12\nby = \"contribution\"",
    on: &["**"],
    settings: &[
        &[KEEP.saying(
            "features that stay, at least 1 and fewer than there are; when left out, those with a weight that \
             is not zero (the plan is then a bound)",
        )],
        Norm::SETTINGS,
        &[FINETUNE],
    ],
    parse: parse::<Selector<Norm>>,
};

/// What words are ranked by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The norm of a word's weights.
    #[default]
    Weight,
    /// That times the root mean square of its values.
    Contribution,
}

settings! {
    /// The norm of a word's weights is its score, times the size of its values where asked.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Norm {
        /// "weight": the norm of a word's weights (default); "contribution": that times the root mean square of its
        /// values in the training rows
        #[serde(default)]
        by: By,
    }
}

impl WordScore for Norm {
    const KIND: Kind = KIND;
    const NEEDS_KEEP: bool = false;
    const PROGRESS: &str = "measuring words";

    fn needs(&self) -> Needs {
        Needs::INPUTS.when(self.by == By::Contribution)
    }

    fn scores(&self, model: &Model, keep: Option<usize>, cx: &mut Cx<'_>) -> Result<Vec<f64>, StepError> {
        let Some(first) = model.layers().first() else {
            return Err(StepError::Failed("the network has no site".into()));
        };
        let mut scores = norms(&first.weight.values(), first.shape.outputs);
        if self.by == By::Contribution {
            scores.iter_mut().zip(root_mean_squares(cx.train)).for_each(|(score, size)| *score *= size);
        }
        if keep.is_none() && !scores.iter().any(|score| *score > 0.0) {
            let why = format!("site {}: every weight is zero, so that no word is used", first.id);
            return Err(StepError::Failed(why));
        }
        Ok(scores)
    }
}

/// Euclidean norm of every row of `weight`, `[inputs, outputs]`.
///
/// # Panics
/// When `outputs` is zero.
pub fn norms(weight: &[f32], outputs: usize) -> Vec<f64> {
    let squares = |row: &[f32]| row.iter().map(|w| f64::from(*w) * f64::from(*w)).sum::<f64>();
    weight.chunks_exact(outputs).map(|row| squares(row).sqrt()).collect()
}

/// Root mean square of every column over all rows.
pub fn root_mean_squares(data: &Dataset) -> Vec<f64> {
    let squares = totals(data, |x| f64::from(x) * f64::from(x));
    squares.into_iter().map(|sum| (sum / data.len() as f64).sqrt()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_text::Rows;

    #[test]
    fn norms_are_those_of_the_rows() {
        assert_eq!(norms(&[3.0, 4.0, 0.0, 0.0, -1.0, 0.0], 2), [5.0, 0.0, 1.0]);
        let rows = Rows::from_dense(4, 2, &[2.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 1.0]).unwrap();
        let data = Dataset::new(rows, vec![0, 1, 0, 1], 2).unwrap();
        assert_eq!(root_mean_squares(&data), [1.0, 0.5_f64.sqrt()]);
    }
}
