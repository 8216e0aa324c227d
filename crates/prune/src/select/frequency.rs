//! `select.frequency`: the words of the most training documents stay.
//!
//! The cheapest rule, which looks at no label (document frequency thresholding in Yang and Pedersen 1997, who
//! found it nearly as good as the best until nine words in ten are gone). It is what the encoder's own limit
//! does, but after a teacher has learned from the larger vocabulary.

use nlpress_model::{Dataset, Model, Outline, SiteId};
use nlpress_technique::{Cx, Family, Kind, Needs, Problem, StepError, Technique, parse};
use serde::Deserialize;

use super::{FINETUNE, KEEP, Plain, Selection, sums};
use crate::PruneError;

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "select.frequency",
    family: Family::Simplify,
    summary: "Keeps the words of the most training documents; vocabulary and first site shrink.",
    source: "Yang and Pedersen 1997, A Comparative Study on Feature Selection in Text Categorization \
             (document frequency)",
    example: "keep = 12\nfinetune = { epochs = 1 }",
    on: &["**"],
    settings: &[KEEP, FINETUNE],
    parse: parse::<Frequency>,
};

/// The checked configuration of `select.frequency`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Plain")]
pub struct Frequency(Selection);

impl TryFrom<Plain> for Frequency {
    type Error = PruneError;

    fn try_from(raw: Plain) -> Result<Self, PruneError> {
        Ok(Self(Selection::try_from(raw)?))
    }
}

/// Rows that have each feature.
pub fn scores(data: &Dataset) -> Vec<f64> {
    let (_, present) = sums(data, |_| 1.0);
    present.chunks_exact(data.classes()).map(|by_class| by_class.iter().sum()).collect()
}

impl Technique for Frequency {
    fn needs(&self) -> Needs {
        self.0.needs(true)
    }

    fn exact(&self) -> bool {
        false
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        self.0.plan(before, on, problems)
    }

    fn apply(&self, model: Model, _on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        cx.progress("counting words", 0, 1)?;
        let scores = scores(cx.train);
        self.0.keep_best(model, &scores, cx)
    }
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
