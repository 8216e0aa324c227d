//! `select.information`: the words that tell most about the class stay.
//!
//! The mutual information of a word's presence and the class, in nats: by how much the uncertainty about the
//! class falls when one learns whether a document has the word (information gain). Unlike chi-squared it does not
//! favour rare words.

use nlpress_model::{Dataset, Model};
use nlpress_technique::{Cx, Family, Kind, StepError, parse};
use serde::Deserialize;

use super::{FINETUNE, KEEP, Selector, WordScore, presence};
use crate::PruneError;

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "select.information",
    family: Family::Simplify,
    summary: "Feature selection by information gain: keeps the words whose presence tells most about the \
              class; vocabulary and first site shrink.",
    source: "Yang and Pedersen 1997, A Comparative Study on Feature Selection in Text Categorization \
             (information gain)",
    example: "keep = 12",
    on: &["**"],
    settings: &[&[KEEP, FINETUNE]],
    parse: parse::<Selector<Information>>,
};

/// The mutual information of its presence and the class is a word's score.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Information {}

impl WordScore for Information {
    const KIND: Kind = KIND;

    fn scores(&self, _model: &Model, _keep: Option<usize>, cx: &mut Cx<'_>) -> Result<Vec<f64>, StepError> {
        Ok(scores(cx.train)?)
    }
}

/// Mutual information of each feature's presence and the class, in nats.
///
/// `rows` are the rows of each class, `present` `[features, classes]` those of them that have each feature.
///
/// # Errors
/// [`PruneError`] when there is no class, the lengths do not fit, or more rows have a feature than there are.
pub fn gains(rows: &[f64], present: &[f64]) -> Result<Vec<f64>, PruneError> {
    if rows.is_empty() || !present.len().is_multiple_of(rows.len()) {
        return Err(PruneError::Length { what: "present", found: present.len(), expected: rows.len() });
    }
    let pairs = || present.chunks_exact(rows.len()).flat_map(|present| present.iter().zip(rows));
    if let Some((bad, _)) = pairs().find(|(present, rows)| !(**present >= 0.0 && present <= rows)) {
        return Err(PruneError::setting("present", bad, "at least 0 and at most the rows of its class"));
    }
    let all: f64 = rows.iter().sum();
    let term = |joint: f64, a: f64, b: f64| {
        if joint > 0.0 { joint / all * (joint * all / (a * b)).ln() } else { 0.0 }
    };
    let of_feature = |present: &[f64]| -> f64 {
        let there: f64 = present.iter().sum();
        let terms = present
            .iter()
            .zip(rows)
            .map(|(present, rows)| term(*present, there, *rows) + term(rows - present, all - there, *rows));
        terms.sum::<f64>().max(0.0)
    };
    Ok(present.chunks_exact(rows.len()).map(of_feature).collect())
}

/// [`gains`] of rows with labels.
///
/// # Errors
/// As [`gains`]; never for a data set.
pub fn scores(data: &Dataset) -> Result<Vec<f64>, PruneError> {
    let (rows, present) = presence(data);
    gains(&rows, &present)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gains_are_those_worked_out_by_hand() {
        // A feature that settles the class gives its whole entropy; one that is everywhere or even gives nothing.
        let found = gains(&[2.0, 2.0], &[2.0, 0.0, 2.0, 2.0, 1.0, 1.0, 0.0, 0.0]).unwrap();
        assert!((found[0] - 2.0_f64.ln()).abs() < 1e-12, "{found:?}");
        assert!(found[1..].iter().all(|x| x.abs() < 1e-12), "{found:?}");
        // One of one and one of three rows: H(class) - H(class | presence).
        let h = |ps: &[f64]| -ps.iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum::<f64>();
        let found = gains(&[1.0, 3.0], &[1.0, 1.0]).unwrap();
        let expected = h(&[0.25, 0.75]) - 0.5 * h(&[0.5, 0.5]) - 0.5 * h(&[0.0, 1.0]);
        assert!((found[0] - expected).abs() < 1e-12);
        assert!(gains(&[1.0], &[2.0]).unwrap_err().to_string().contains("at most the rows"));
        assert!(gains(&[], &[]).is_err());
    }
}
