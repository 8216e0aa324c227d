//! `select.words`: the words of a list stay, or those of some scripts.
//!
//! Vocabulary pruning as TextPruner does it (Yang, Cui and Chen 2022): a model that must serve one language has
//! no use for the words of the others, and a list says which words a product needs. Nothing is measured: what
//! goes is what the user says.
//!
//! A word is of a script when all its characters are of that script or of none (digits, apostrophes and other
//! characters that Unicode calls common or inherited); a word of such characters alone stays with any script.
//! With both a list and scripts, a word stays when either names it.

use nlpress_core::files;
use nlpress_model::Model;
use nlpress_technique::{Cx, Family, Kind, Needs, Settings, StepError, parse, settings};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use unicode_script::{Script, UnicodeScript};

use super::{FINETUNE, Selector, WordScore};
use crate::PruneError;

/// Largest list of words, in bytes.
const LARGEST: u64 = 64 << 20;

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "select.words",
    family: Family::Simplify,
    summary: "Vocabulary pruning: keeps the words of a list or of some scripts, as when a model is reduced \
              to one language.",
    source: "Yang, Cui and Chen 2022, TextPruner, arXiv:2203.15996 (vocabulary pruning); scripts: Unicode UAX 24",
    example: "scripts = [\"latin\"]",
    on: &["**"],
    settings: &[Raw::SETTINGS, &[FINETUNE]],
    parse: parse::<Selector<Words>>,
};

/// A word of the list or of the scripts has score 1, any other 0. The list was read when the configuration was.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Words {
    list: BTreeSet<String>,
    scripts: Vec<Script>,
}

settings! {
    struct Raw {
        /// list of the words that stay, one a line, UTF-8, at most 64 MiB; in a recipe relative to its folder;
        /// normalized as texts are; empty lines are skipped
        file: Option<PathBuf>,
        /// Unicode scripts whose words stay, for example ["latin", "han"]; file or scripts or both are required
        scripts: Option<Vec<String>>,
    }
}

impl TryFrom<Raw> for Words {
    type Error = PruneError;

    fn try_from(raw: Raw) -> Result<Self, PruneError> {
        if raw.file.is_none() && raw.scripts.is_none() {
            return Err(PruneError::setting("file", "missing", "given, or scripts must be"));
        }
        let list = raw.file.as_deref().map(read).transpose()?.unwrap_or_default();
        let scripts = raw.scripts.as_ref().map_or(&[][..], Vec::as_slice);
        if raw.scripts.is_some() && scripts.is_empty() {
            return Err(PruneError::setting("scripts", "[]", "at least one"));
        }
        let scripts = scripts.iter().map(|name| script(name)).collect::<Result<_, _>>()?;
        Ok(Self { list, scripts })
    }
}

/// The words of a file, one a line.
fn read(path: &Path) -> Result<BTreeSet<String>, PruneError> {
    let refuse = |why: String| PruneError::List { path: path.to_owned(), why };
    let bytes = files::read_stream_bounded(path, LARGEST).map_err(|e| refuse(e.to_string()))?;
    let text = std::str::from_utf8(&bytes).map_err(|e| {
        let line = 1 + bytes[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count();
        refuse(format!("line {line} is not UTF-8"))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // As the words of a vocabulary are written: normalized, or lower-cased alone in artifacts of version 1.
    let forms = |word: &str| [nlpress_text::normalize::text(word).into_owned(), word.to_lowercase()];
    let words: BTreeSet<String> =
        text.lines().map(str::trim).filter(|w| !w.is_empty()).flat_map(forms).collect();
    if words.is_empty() { Err(refuse("it has no word".into())) } else { Ok(words) }
}

/// A script by its Unicode name, in any case, or its four-letter code.
fn script(name: &str) -> Result<Script, PruneError> {
    let capital = |part: &str| {
        let mut chars = part.chars();
        let first = chars.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(chars.flat_map(char::to_lowercase)).collect::<String>()
    };
    let full: Vec<String> = name.split(['_', ' ']).map(capital).collect();
    let found = Script::from_full_name(&full.join("_")).or_else(|| Script::from_short_name(&capital(name)));
    match found.filter(|s| !matches!(s, Script::Common | Script::Inherited | Script::Unknown)) {
        Some(script) => Ok(script),
        None => Err(PruneError::setting(
            "scripts",
            format!("{name:?}"),
            "names of Unicode scripts, such as \"latin\", \"cyrillic\" or \"han\"",
        )),
    }
}

/// Whether every character of a word is of one of the scripts, or of none.
pub fn is_of(word: &str, scripts: &[Script]) -> bool {
    let neutral = |script| matches!(script, Script::Common | Script::Inherited);
    word.chars().map(|c| c.script()).all(|script| neutral(script) || scripts.contains(&script))
}

impl WordScore for Words {
    const KIND: Kind = KIND;
    const NEEDS_KEEP: bool = false;
    const PROGRESS: &str = "looking at words";

    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn scores(&self, _model: &Model, _keep: Option<usize>, cx: &mut Cx<'_>) -> Result<Vec<f64>, StepError> {
        let words = cx.words()?;
        let stays =
            |word: &str| self.list.contains(word) || (!self.scripts.is_empty() && is_of(word, &self.scripts));
        let scores: Vec<f64> =
            words.iter().map(|word| if word.is_some_and(stays) { 1.0 } else { 0.0 }).collect();
        if !scores.contains(&1.0) {
            let all = words.len();
            return Err(StepError::Failed(format!("none of the {all} words of the vocabulary would stay")));
        }
        Ok(scores)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_table(text: &str) -> Result<Selector<Words>, String> {
        toml::from_str(text).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn words_belong_to_scripts() {
        let latin = [Script::Latin];
        for (word, is) in [
            ("don't", true),
            ("école", true),
            ("3d", true),
            ("1987", true),
            ("привет", false),
            ("a好", false),
        ] {
            assert_eq!(is_of(word, &latin), is, "{word}");
        }
        assert!(is_of("a好", &[Script::Latin, Script::Han]));
    }

    #[test]
    fn settings_are_checked() {
        let scripts = read_table("scripts = ['Latin', 'han', 'old_italic', 'cyrl']").unwrap();
        assert_eq!(
            scripts.score().scripts,
            [Script::Latin, Script::Han, Script::Old_Italic, Script::Cyrillic]
        );
        for (bad, says) in [
            ("", "file is missing"),
            ("scripts = []", "scripts is []"),
            ("scripts = ['klingon']", "scripts is \"klingon\""),
            ("scripts = ['common']", "scripts is \"common\""),
            ("file = 'no-such-list.txt'", "no-such-list.txt"),
            ("scripts = ['latin']\nkeep = 3", "keep"),
        ] {
            let message = read_table(bad).unwrap_err();
            assert!(message.contains(says), "{bad}: {message}");
        }
    }

    #[test]
    fn a_list_is_read_once_and_normalized() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.txt");
        let table = format!("file = '{}'", path.display());
        std::fs::write(&path, "\u{feff}Bank\r\n\n  oil \nE\u{301}COLE\nStraße\n").unwrap();
        let words = read_table(&table).unwrap();
        let list = ["bank", "e\u{301}cole", "oil", "strasse", "straße", "école"];
        assert!(words.score().list.iter().eq(list), "{words:?}");
        std::fs::write(&path, b"good\nbad \xff\n").unwrap();
        assert!(read_table(&table).unwrap_err().contains("line 2 is not UTF-8"));
        std::fs::write(&path, " \n").unwrap();
        assert!(read_table(&table).unwrap_err().contains("it has no word"));
    }
}
