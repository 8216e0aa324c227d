//! Where the models of a run decide between two classes: settled, or chosen on the validation documents.
//!
//! Each artifact gets a threshold of its own, chosen by a session of that artifact, so that a compressed model decides
//! where it is best and not where its parent was. Gates and early stopping look at accuracy at one half, as without a
//! threshold; quality in reports is that of the answers, threshold included.

use nlpress_artifact::{Artifact, ArtifactError};
use nlpress_eval::{Aim, EvalError};
use nlpress_model::Dataset;
use nlpress_runtime::{RuntimeError, Session};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::str::FromStr;

const EXPECTED: &str = "a score above 0 and below 1, f1, macro-f1 or balanced-accuracy";

/// A setting for the threshold of the second class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Threshold {
    /// This score.
    Fixed(f64),
    /// What is best for an aim on the validation documents.
    Chosen(Aim),
}

/// A threshold that cannot be set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ThresholdError {
    /// It is no setting.
    #[error("threshold is {0:?}, but it must be {EXPECTED}")]
    Setting(String),
    /// There are more classes than a threshold decides between.
    #[error("threshold: it decides between two classes, but the data have {0}")]
    Classes(usize),
    /// The validation documents do not say where to put it.
    #[error("threshold: it cannot be chosen on the validation documents, for all of them have one label")]
    OneLabel,
    /// The artifact refuses it.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The session cannot answer.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The logits cannot be scored.
    #[error(transparent)]
    Eval(#[from] EvalError),
}

impl Threshold {
    /// Checks that it can be set on data, before anything is trained.
    ///
    /// # Errors
    /// [`ThresholdError`].
    pub fn check(self, valid: &Dataset) -> Result<(), ThresholdError> {
        if valid.classes() != 2 {
            return Err(ThresholdError::Classes(valid.classes()));
        }
        let one_label = valid.labels().windows(2).all(|pair| pair[0] == pair[1]);
        if one_label && matches!(self, Self::Chosen(_)) {
            return Err(ThresholdError::OneLabel);
        }
        Ok(())
    }

    /// The artifact with its threshold, and a sentence about it.
    ///
    /// # Errors
    /// [`ThresholdError`].
    pub fn set(self, artifact: Artifact, valid: &Dataset) -> Result<(Artifact, String), ThresholdError> {
        self.check(valid)?;
        let label = artifact.labels.get(1).cloned().unwrap_or_default();
        let label = nlpress_core::shown::shown(&label).to_string();
        match self {
            Self::Fixed(value) => Ok((
                artifact.with_threshold(Some(value))?,
                format!("\"{label}\" is predicted above a score of {value}"),
            )),
            Self::Chosen(aim) => {
                let session = Session::from_artifact(artifact.clone())?;
                let found = aim.choose(&session.logits(valid.examples())?, valid.labels())?;
                let note = format!(
                    "\"{label}\" is predicted above a score of {:.4}: on validation, {aim} is {:.4} there and {:.4} at 0.5",
                    found.value, found.reached, found.before
                );
                Ok((artifact.with_threshold(Some(found.value))?, note))
            }
        }
    }

    fn fixed(value: f64) -> Option<Self> {
        (value > 0.0 && value < 1.0).then_some(Self::Fixed(value))
    }

    fn named(name: &str) -> Option<Self> {
        [Aim::F1, Aim::MacroF1, Aim::BalancedAccuracy]
            .into_iter()
            .find(|aim| aim.to_string() == name)
            .map(Self::Chosen)
    }
}

impl FromStr for Threshold {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        let number = || text.parse().ok().and_then(Self::fixed);
        Self::named(text).or_else(number).ok_or_else(|| ThresholdError::Setting(text.into()))
    }
}

impl<'de> Deserialize<'de> for Threshold {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrNumber)
    }
}

struct NameOrNumber;

impl Visitor<'_> for NameOrNumber {
    type Value = Threshold;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Threshold, E> {
        Threshold::fixed(value).ok_or_else(|| refused(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Threshold, E> {
        Err(refused(value))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Threshold, E> {
        Threshold::named(name).ok_or_else(|| refused(format!("{name:?}")))
    }
}

fn refused<E: Error>(value: impl fmt::Display) -> E {
    E::custom(format!("threshold is {value}, but it must be {EXPECTED}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_text::Rows;

    fn data(labels: &[u32], classes: usize) -> Dataset {
        let rows = Rows::from_dense(labels.len(), 1, &vec![1.0; labels.len()]).unwrap();
        Dataset::new(rows, labels.to_vec(), classes).unwrap()
    }

    #[test]
    fn settings_are_names_and_scores() {
        assert_eq!("f1".parse::<Threshold>().unwrap(), Threshold::Chosen(Aim::F1));
        assert_eq!("0.3".parse::<Threshold>().unwrap(), Threshold::Fixed(0.3));
        for bad in ["", "f2", "0", "1", "-0.1", "nan", "inf"] {
            let error = bad.parse::<Threshold>().unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")) && error.contains("macro-f1"), "{error}");
        }
        #[derive(Deserialize)]
        struct Table {
            threshold: Threshold,
        }
        let read = |text: &str| toml::from_str::<Table>(&format!("threshold = {text}")).map(|t| t.threshold);
        assert_eq!(read("'balanced-accuracy'").unwrap(), Threshold::Chosen(Aim::BalancedAccuracy));
        assert_eq!(read("0.25").unwrap(), Threshold::Fixed(0.25));
        for bad in ["0", "1", "1.5", "nan", "'f0'", "true"] {
            let error = read(bad).unwrap_err().message().to_owned();
            assert!(error.contains("a score above 0") && !error.contains("to be"), "{bad}: {error}");
        }
    }

    #[test]
    fn what_cannot_be_chosen_is_refused_before_training() {
        let chosen = Threshold::Chosen(Aim::F1);
        assert!(chosen.check(&data(&[0, 1], 2)).is_ok());
        assert!(matches!(chosen.check(&data(&[1, 1], 2)), Err(ThresholdError::OneLabel)));
        assert!(Threshold::Fixed(0.3).check(&data(&[1, 1], 2)).is_ok());
        assert!(matches!(Threshold::Fixed(0.3).check(&data(&[0, 2], 3)), Err(ThresholdError::Classes(3))));
    }
}
