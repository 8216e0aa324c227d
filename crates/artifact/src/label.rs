//! What the name of a class may be: what a person can read, on one line, and tell from the others.

use crate::ArtifactError;
use icu_normalizer::ComposingNormalizerBorrowed;
use std::collections::BTreeSet;

/// Checks the names of the classes as every artifact must have them: none twice.
pub(crate) fn check_distinct(labels: &[String]) -> Result<(), ArtifactError> {
    let mut seen = BTreeSet::new();
    match labels.iter().find(|label| !seen.insert(*label)) {
        Some(label) => Err(ArtifactError::LabelTwice(label.clone())),
        None => Ok(()),
    }
}

/// Checks them as files of every schema must have them: something to see in each, and no control character.
pub(crate) fn check_readable(labels: &[String]) -> Result<(), ArtifactError> {
    for (position, label) in labels.iter().enumerate() {
        let bad = |why| Err(ArtifactError::Label { position, label: label.clone(), why });
        if label.is_empty() {
            return bad("it is empty");
        }
        if label.trim().is_empty() {
            return bad("it is blank");
        }
        if label.chars().any(char::is_control) {
            return bad("it has a control character");
        }
    }
    Ok(())
}

/// Checks them as artifacts have them since schema 3: no two are one text after Unicode's canonical composition (NFC).
pub(crate) fn check_composed(labels: &[String]) -> Result<(), ArtifactError> {
    let nfc = ComposingNormalizerBorrowed::new_nfc();
    let mut seen = BTreeSet::new();
    match labels.iter().enumerate().find(|(_, label)| !seen.insert(nfc.normalize(label))) {
        None => Ok(()),
        Some((position, label)) => {
            let why = "it is the same text as another, after Unicode's canonical composition";
            Err(ArtifactError::Label { position, label: label.clone(), why })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_can_be_seen_and_told_from_the_others() {
        let check = |labels: &[&str]| {
            let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
            let checked = check_readable(&labels).and_then(|()| check_composed(&labels));
            checked.map_err(|e| e.to_string())
        };
        check(&["a", "A", " a", "ä", "你好", "🙂", "C++", "a, b", "\"a\""]).unwrap();
        for (label, why) in [
            ("", "empty"),
            (" \u{3000}", "blank"),
            ("a\tb", "control"),
            ("a\n", "control"),
            ("\u{1b}[31m", "control"),
            ("\u{85}", "blank"),
            ("x\u{85}", "control"),
            ("u\u{308}", "same text"),
        ] {
            let error = check(&["ü", label]).unwrap_err();
            assert!(error.contains("label 1") && error.contains(why), "{label:?}: {error}");
            assert!(!error.chars().any(char::is_control), "{error:?}");
        }
    }
}
