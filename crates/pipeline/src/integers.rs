//! How good an artifact is when it answers in integers alone, beside its answers in floats.

use nlpress_core::Measurement;
use nlpress_eval::{Scores, quality::agreement};
use nlpress_runtime::Session;

use crate::measure::{self, MeasureError};
use crate::prepared::Prepared;
use crate::report::Row;

/// What inference in integers alone makes of an artifact.
pub(crate) struct Integers {
    accuracy: f64,
    /// With the same artifact's answers in floats.
    agreement: f64,
    /// Why it has none.
    refused: Option<String>,
}

impl Integers {
    /// Scores it where activations have fixed scales; `None` where none has.
    pub(crate) fn of(
        session: &Session,
        prepared: &Prepared,
        floats: &Scores,
    ) -> Result<Option<Self>, MeasureError> {
        if !measure::has_fixed_activations(session) {
            return Ok(None);
        }
        match measure::score_integers(session, &prepared.corpus.test, prepared.test.labels()) {
            Ok(found) => {
                let agreement = agreement(&found.predictions, &floats.predictions)?;
                Ok(Some(Self { accuracy: found.accuracy, agreement, refused: None }))
            }
            Err(MeasureError::NotIntegers(why)) => {
                Ok(Some(Self { accuracy: 0.0, agreement: 0.0, refused: Some(why.to_string()) }))
            }
            Err(other) => Err(other),
        }
    }

    /// Puts the mean over the seeds into a row.
    pub(crate) fn report(all: &[Self], row: &mut Row) {
        if let Some(why) = all.iter().find_map(|i| i.refused.as_ref()) {
            row.notes.push(format!("it does not run in integers alone: {why}"));
            return;
        }
        let mean = |of: fn(&Self) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
        let (accuracy, agreement) = (mean(|i| i.accuracy), mean(|i| i.agreement));
        row.measured.push(Measurement::higher("integers.accuracy", accuracy, "1"));
        row.measured.push(Measurement::higher("integers.agreement", agreement, "1"));
        row.notes.push(format!(
            "in integers alone, from counts of words to logits, its accuracy is {:.2} %, and it names the same class for \
             {:.2} % of the documents",
            100.0 * accuracy,
            100.0 * agreement
        ));
    }
}
