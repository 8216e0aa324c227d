//! One technique on one artifact, without data: what needs neither rows nor a teacher works on what is trained already.

use nlpress_artifact::{Artifact, Provenance};
use nlpress_core::event::Sink;
use nlpress_core::{Backend, Seed, Selectors};
use nlpress_model::Dataset;
use nlpress_technique::{Cx, Kind, StepError};
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
    /// Root of random choices.
    pub seed: Seed,
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

/// The artifact that a technique makes of another, and what it says of it.
///
/// # Errors
/// [`CompressError`]; a technique that needs data or a teacher, with these settings, is refused: it has a place in a recipe.
pub fn compress(
    origin: Origin,
    how: &Compression<'_>,
    backend: &Backend,
    sink: &dyn Sink,
) -> Result<(Artifact, Vec<String>), CompressError> {
    let kind = how.kind.name;
    let refused = |why: String| CompressError::Refused { kind, why };
    let failed = |source: StepError| CompressError::Step { kind, source };
    let technique = how.kind.read(how.with).map_err(refused)?;
    let needs = technique.needs();
    if needs.training || needs.validation || needs.teacher {
        let what = if needs.teacher { "a teacher" } else { "labelled text" };
        return Err(refused(format!(
            "it needs {what}: make it a step of a recipe that starts from the artifact"
        )));
    }
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
    let nothing = nothing(&origin.encoder).map_err(failed)?;
    let words: Vec<Box<str>> =
        origin.encoder.vocabulary().into_iter().map(|word| word.unwrap_or_default().into()).collect();
    let always_kept = origin.encoder.always_kept().unwrap_or_default();
    let mut cx = Cx {
        words: &words,
        always_kept: &always_kept,
        unit_rows: origin.encoder.bag().is_some_and(|bag| bag.config().l2),
        ..Cx::new(how.seed, backend, (&nothing, &nothing), sink)
    };
    let model = technique.apply(origin.model, &on, &mut cx).map_err(failed)?;
    let encoder = match cx.kept_features.take() {
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
    Ok((artifact.with_threshold(origin.threshold).map_err(ShipError::from)?, cx.notes))
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

/// The encoding of an empty text, for a technique that looks at no rows.
fn nothing(encoder: &AnyEncoder) -> Result<Dataset, StepError> {
    let (examples, _) = encoder.encode_all(&[""]).map_err(|e| StepError::Failed(e.to_string()))?;
    Ok(Dataset::new(examples, vec![0], 2)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_inline_or_a_key_a_line() {
        let table = |text: &str| settings(text).map(|table| table.to_string());
        assert_eq!(table(""), Ok(String::new()));
        assert_eq!(table("bits = 4, per = \"channel\""), table("bits = 4\nper = \"channel\""));
        assert_eq!(table("bits = 4").unwrap().trim(), "bits = 4");
        assert!(table("bits = ").is_err() && table("a = 1 }, b = { c = 2").is_err());
    }
}
