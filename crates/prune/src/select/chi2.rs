//! `select.chi2`: the words that depend most on the class stay.
//!
//! The chi-squared statistic compares how much of a word each class has with what it would have if word and
//! class had nothing to do with each other. It is what scikit-learn's `chi2` computes, by default on presence (a
//! document has the word or not), which long documents and frequent words do not inflate. In the comparison of
//! Yang and Pedersen (1997) it was, with information gain, the best rule for text.
//!
//! Each word is judged by itself: of words that say the same, all stay or none.

use nlpress_model::{Dataset, Model};
use nlpress_technique::{Cx, Family, Kind, Settings, StepError, parse, settings};
use serde::Deserialize;

use super::{FINETUNE, KEEP, Selector, WordScore, presence, sums};
use crate::PruneError;

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "select.chi2",
    family: Family::Simplify,
    summary: "Feature selection by the chi-squared statistic: keeps the words that depend most on the class; \
              vocabulary and first site shrink.",
    source: "Yang and Pedersen 1997, A Comparative Study on Feature Selection in Text Categorization",
    example: "keep = 12\nof = \"presence\"",
    on: &["**"],
    settings: &[&[KEEP], Chi2::SETTINGS, &[FINETUNE]],
    parse: parse::<Selector<Chi2>>,
};

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// Documents that have the word.
    #[default]
    Presence,
    /// Values of the rows, which must not be negative.
    Values,
}

settings! {
    /// The chi-squared statistic is a word's score.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Chi2 {
        /// "presence": whether a document has the word (default); "values": the values of the rows
        #[serde(default)]
        of: Counted,
    }
}

impl WordScore for Chi2 {
    const KIND: Kind = KIND;

    fn scores(&self, _model: &Model, _keep: Option<usize>, cx: &mut Cx<'_>) -> Result<Vec<f64>, StepError> {
        Ok(scores(cx.train, self.of)?)
    }
}

/// The chi-squared statistic of every feature against the classes; 0 for a feature that no row has.
///
/// `rows` are the rows of each class, `observed` `[features, classes]` what each class has of each feature.
///
/// # Errors
/// [`PruneError`] when a count is negative, there is no class, or the lengths do not fit.
pub fn statistics(rows: &[f64], observed: &[f64]) -> Result<Vec<f64>, PruneError> {
    if rows.is_empty() || !observed.len().is_multiple_of(rows.len()) {
        return Err(PruneError::Length { what: "observed", found: observed.len(), expected: rows.len() });
    }
    if let Some(bad) = observed.iter().find(|x| x.is_nan() || **x < 0.0) {
        return Err(PruneError::setting("a value", bad, "at least 0 for the chi-squared statistic"));
    }
    let all: f64 = rows.iter().sum();
    let of_feature = |observed: &[f64]| {
        let total: f64 = observed.iter().sum();
        let terms = observed.iter().zip(rows).map(|(o, rows)| {
            let expected = total * rows / all;
            if expected > 0.0 { (o - expected) * (o - expected) / expected } else { 0.0 }
        });
        terms.sum()
    };
    Ok(observed.chunks_exact(rows.len()).map(of_feature).collect())
}

/// [`statistics`] of rows with labels.
///
/// # Errors
/// [`PruneError`] when a value is negative.
pub fn scores(data: &Dataset, of: Counted) -> Result<Vec<f64>, PruneError> {
    if of == Counted::Values
        && let Some(bad) = data.bags().values().iter().find(|x| **x < 0.0)
    {
        return Err(PruneError::setting("a value", bad, "at least 0 for the chi-squared statistic"));
    }
    let (rows, observed) = match of {
        Counted::Presence => presence(data),
        Counted::Values => sums(data, f64::from),
    };
    statistics(&rows, &observed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_text::Rows;

    #[test]
    fn statistics_are_those_worked_out_by_hand() {
        // Two classes of 2 and 2 rows. Feature 0 is in the first class only; feature 1 in both; feature 2 in none.
        let found = statistics(&[2.0, 2.0], &[2.0, 0.0, 1.0, 1.0, 0.0, 0.0]).unwrap();
        assert_eq!(found, [2.0, 0.0, 0.0]);
        // Uneven classes: expected 0.75 and 2.25 of 3.
        let found = statistics(&[1.0, 3.0], &[1.0, 2.0]).unwrap();
        assert!((found[0] - (0.0625 / 0.75 + 0.0625 / 2.25)).abs() < 1e-12);
        assert!(statistics(&[1.0, 3.0], &[1.0]).is_err());
        assert!(statistics(&[1.0], &[-1.0]).is_err());
        assert!(statistics(&[1.0], &[f64::NAN]).is_err());
    }

    #[test]
    fn presence_and_values_differ() {
        let rows = Rows::from_dense(4, 2, &[0.9, 0.1, 0.0, 0.1, 0.1, 0.1, 0.1, 0.9]).unwrap();
        let data = Dataset::new(rows, vec![0, 0, 1, 1], 2).unwrap();
        let presence = scores(&data, Counted::Presence).unwrap();
        assert!((presence[0] - 1.0 / 3.0).abs() < 1e-12 && presence[1] == 0.0, "{presence:?}");
        let values = scores(&data, Counted::Values).unwrap();
        assert!(values.iter().all(|x| *x > 0.3), "{values:?}");
        let negative = Rows::from_dense(2, 1, &[-0.5, 1.0]).unwrap();
        let negative = Dataset::new(negative, vec![0, 1], 2).unwrap();
        assert!(scores(&negative, Counted::Values).unwrap_err().to_string().contains("-0.5"));
        assert!(scores(&negative, Counted::Presence).is_ok());
    }

    #[test]
    fn settings_are_checked() {
        let read = |text: &str| (KIND.parse)(&text.parse().unwrap()).map(|_| ());
        assert_eq!(read("keep = 5"), Ok(()));
        assert!(read("").unwrap_err().contains("keep"));
        assert_eq!(read("keep = 0").unwrap_err(), "keep is 0, but it must be at least 1");
        assert!(read("keep = 1\nof = 'tf'").unwrap_err().contains("tf"));
    }
}
