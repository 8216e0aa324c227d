//! One technique on one artifact, without labels: what trains on nothing and learns from no teacher works on what is trained
//! already. What calibrates does so on plain texts.

use nlpress_artifact::{Artifact, Provenance};
use nlpress_core::event::Sink;
use nlpress_core::shown::counted;
use nlpress_core::{Backend, Seed, Selectors};
use nlpress_model::Dataset;
use nlpress_technique::{Cx, Kind, Made, Needs, StepError};
use nlpress_text::{AnyEncoder, Encode, TextError};

use crate::origin::Origin;
use crate::plan::{selected_by, selects_none};
use crate::ship::{self, ShipError};

/// What is done to an artifact.
#[derive(Debug)]
pub struct Compression<'a> {
    /// The technique.
    pub kind: &'static Kind,
    /// Its settings, as a recipe's `with`.
    pub with: &'a toml::Table,
    /// The sites.
    pub on: &'a Selectors,
    /// Texts, where there are any, that the technique may calibrate by; see [`Shares`].
    pub texts: Option<&'a [&'a str]>,
    /// Root of random choices.
    pub seed: Seed,
    /// Threads it may use.
    pub threads: usize,
}

/// What was made of an artifact.
#[derive(Debug)]
pub struct Compressed {
    /// The new artifact.
    pub artifact: Artifact,
    /// What the technique says of it.
    pub notes: Vec<String>,
    /// Which texts it has seen.
    pub shares: Shares,
}

/// Which of some texts a technique looks at, by number, and which are left to compare artifacts by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// Those that it calibrates by: its training rows.
    pub calibrated: Vec<usize>,
    /// Those that it chooses by: its validation rows.
    pub chosen: Vec<usize>,
    /// Those that it has not seen.
    pub held: Vec<usize>,
}

impl Shares {
    /// Divides texts: of each four in a row the second is held, and where the technique looks at validation rows the third
    /// is one. A technique that looks at no rows sees none.
    ///
    /// # Errors
    /// A sentence where there are too few.
    pub fn of(texts: usize, needs: Needs) -> Result<Self, String> {
        let mut shares = Self::default();
        for text in 0..texts {
            match text % 4 {
                _ if !needs.inputs && !needs.validation => &mut shares.held,
                1 => &mut shares.held,
                2 if needs.validation => &mut shares.chosen,
                _ if !needs.inputs => &mut shares.chosen,
                _ => &mut shares.calibrated,
            }
            .push(text);
        }
        let least = if needs.inputs && needs.validation { 3 } else { 2 };
        if (needs.inputs || needs.validation) && texts < least {
            let (there, of) =
                (counted(texts, "text"), "it calibrates by some texts and is compared on others");
            return Err(format!("{of}, so it needs at least {least}, but there is only {there}"));
        }
        Ok(shares)
    }
}

/// An artifact that could not be compressed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompressError {
    /// The technique, its settings or the sites do not fit.
    #[error("{kind}: {why}")]
    Refused {
        /// The technique.
        kind: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The technique failed.
    #[error("{kind}: {source}")]
    Step {
        /// The technique.
        kind: &'static str,
        /// Why.
        source: StepError,
    },
    /// The tokens that stay are not what the encoder can be left with.
    #[error(transparent)]
    Text(#[from] TextError),
    /// What was made cannot ship.
    #[error(transparent)]
    Ship(#[from] ShipError),
}

/// What a technique makes of an artifact.
///
/// # Errors
/// [`CompressError`]; a technique that needs labels or a teacher, with these settings, is refused: it has a place in a recipe.
pub fn compress(
    origin: Origin,
    how: &Compression<'_>,
    backend: &Backend,
    sink: &dyn Sink,
) -> Result<Compressed, CompressError> {
    let kind = how.kind.name;
    let refused = |why: String| CompressError::Refused { kind, why };
    let failed = |source: StepError| CompressError::Step { kind, source };
    let technique = how.kind.read(how.with).map_err(refused)?;
    let needs = technique.needs();
    if needs.labels || needs.teacher {
        let what = if needs.teacher { "a teacher" } else { "labelled text" };
        return Err(refused(format!(
            "it needs {what}: make it a step of a recipe that starts from the artifact, model = {{ path = … }}"
        )));
    }
    if how.texts.is_none() && (needs.inputs || needs.validation) {
        return Err(refused(
            "it looks at texts, which need no labels: give a file of them, a text a line".into(),
        ));
    }
    let texts = how.texts.unwrap_or_default();
    let shares = Shares::of(texts.len(), needs).map_err(refused)?;
    let before = origin.model.outline();
    let on = selected_by(how.on, &before);
    if on.is_empty() {
        return Err(refused(selects_none(how.on, &before)));
    }
    let mut problems = Vec::new();
    technique.plan(&before, &on, &mut problems);
    if !problems.is_empty() {
        let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
        return Err(refused(all.join("; ")));
    }
    let encoded = |numbers: &[usize]| encoded(&origin.encoder, texts, numbers).map_err(failed);
    let (train, valid) = (encoded(&shares.calibrated)?, encoded(&shares.chosen)?);
    let mut cx = Cx {
        encoder: Some(&origin.encoder),
        threads: how.threads,
        ..Cx::new(how.seed, backend, (&train, &valid), sink)
    };
    let Made { model, features } = technique.apply(origin.model, &on, &mut cx).map_err(failed)?;
    let notes = std::mem::take(&mut cx.notes);
    let encoder = match features {
        None => origin.encoder,
        Some(kept) => origin.encoder.narrowed(&kept)?.0,
    };
    let provenance = Provenance {
        start_sha256: Some(origin.sha256),
        seed: how.seed.0,
        technique: kind.into(),
        ..Provenance::default()
    };
    let artifact = ship::pack(&model, &encoder, &origin.labels, provenance)?;
    let artifact = artifact.with_threshold(origin.threshold).map_err(ShipError::from)?;
    Ok(Compressed { artifact, notes, shares })
}

/// Reads settings as a recipe's inline table has them (`bits = 4, per = "channel"`), or a key a line.
///
/// # Errors
/// The message of the reader.
pub fn settings(text: &str) -> Result<toml::Table, String> {
    let lines = text.parse::<toml::Table>().map_err(|e| e.message().to_owned());
    lines.or_else(|why| match format!("with = {{ {text} }}").parse::<toml::Table>() {
        Ok(mut table) if table.len() == 1 => match table.remove("with") {
            Some(toml::Value::Table(table)) => Ok(table),
            _ => Err(why),
        },
        _ => Err(why),
    })
}

/// Some of the texts, encoded; in place of none an empty text, for a technique that looks at no rows of theirs.
fn encoded(encoder: &AnyEncoder, texts: &[&str], numbers: &[usize]) -> Result<Dataset, StepError> {
    let mut some: Vec<&str> = numbers.iter().map(|n| texts[*n]).collect();
    if some.is_empty() {
        some.push("");
    }
    let (examples, _) = encoder.encode_all(&some).map_err(|e| StepError::Failed(e.to_string()))?;
    Ok(Dataset::unlabelled(examples)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_seen_or_held_never_both() {
        let choosing = Needs { validation: true, ..Needs::INPUTS };
        let of = |texts, needs| {
            Shares::of(texts, needs)
                .map(|s| (s.calibrated, s.chosen, s.held))
                .map_err(|why| why.contains("needs at least"))
        };
        assert_eq!(of(6, Needs::INPUTS), Ok((vec![0, 2, 3, 4], vec![], vec![1, 5])));
        assert_eq!(of(5, choosing), Ok((vec![0, 3, 4], vec![2], vec![1])));
        let only_choosing = Needs { inputs: false, ..choosing };
        assert_eq!(of(4, only_choosing), Ok((vec![], vec![0, 2, 3], vec![1])));
        assert_eq!(of(2, Needs::default()), Ok((vec![], vec![], vec![0, 1])));
        assert_eq!(of(0, Needs::default()), Ok((vec![], vec![], vec![])));
        assert_eq!((of(1, Needs::INPUTS), of(2, choosing)), (Err(true), Err(true)));
    }

    #[test]
    fn settings_are_inline_or_a_key_a_line() {
        let table = |text: &str| settings(text).map(|table| table.to_string());
        assert_eq!(table(""), Ok(String::new()));
        assert_eq!(table("bits = 4, per = \"channel\""), table("bits = 4\nper = \"channel\""));
        assert_eq!(table("bits = 4").unwrap().trim(), "bits = 4");
        assert!(table("bits = ").is_err() && table("a = 1 }, b = { c = 2").is_err());
    }
}
