//! `select.frequency`: the words of the most training documents stay.
//!
//! The cheapest rule, which looks at no label (document frequency thresholding in Yang and Pedersen 1997, who
//! found it nearly as good as the best until nine words in ten are gone). It is what the encoder's own limit
//! does, but after a teacher has learned from the larger vocabulary. Without a count it is vocabulary trimming (Abdaoui et
//! al. 2020): of a tokenizer whose pieces are looked up greedily, every text of the training documents keeps its tokens.

use nlpress_model::{Dataset, Model};
use nlpress_technique::{Cx, Family, Kind, Needs, StepError, parse};
use serde::Deserialize;

use super::{FINETUNE, KEEP, Selector, WordScore, totals};

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "select.frequency",
    family: Family::Simplify,
    summary: "Feature selection by document frequency: keeps the words of the most training documents, or \
              without a count those of any; vocabulary and first site shrink.",
    source: "Yang and Pedersen 1997, A Comparative Study on Feature Selection in Text Categorization \
             (document frequency); Abdaoui et al. 2020, arXiv:2010.05609 (tokens of a corpus)",
    example: "keep = 12\nfinetune = { epochs = 1 }",
    on: &["**"],
    settings: &[&[
        KEEP.saying(
            "features that stay, at least 1 and fewer than there are; when left out, those that any training document \
             has: its text is then cut as before (the plan is a bound)",
        ),
        FINETUNE,
    ]],
    parse: parse::<Selector<Frequency>>,
};

/// The number of training documents that have a word is its score.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frequency {}

impl WordScore for Frequency {
    const KIND: Kind = KIND;
    const NEEDS_KEEP: bool = false;
    const PROGRESS: &str = "counting words";

    fn needs(&self) -> Needs {
        Needs::INPUTS
    }

    fn scores(&self, _model: &Model, _keep: Option<usize>, cx: &mut Cx<'_>) -> Result<Vec<f64>, StepError> {
        Ok(scores(cx.train))
    }
}

/// Rows that have each feature.
pub fn scores(data: &Dataset) -> Vec<f64> {
    totals(data, |_| 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_text::Rows;

    #[test]
    fn documents_are_counted_whatever_their_class_or_value() {
        let rows = Rows::from_dense(3, 3, &[0.5, 0.0, 1.0, 0.0, 0.0, 2.0, 3.0, 0.0, 0.1]).unwrap();
        let data = Dataset::new(rows, vec![0, 1, 1], 2).unwrap();
        assert_eq!(scores(&data), [2.0, 0.0, 3.0]);
    }
}
