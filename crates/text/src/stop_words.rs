//! Words that are no features: given as a list, or by a file with one a line.

use nlpress_core::files;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

use crate::analyzer::{Analysis, Buffer, StopSet};
use crate::error::TextError;

/// Largest file of stop words, in bytes.
pub const MAX_FILE: u64 = 1 << 20;

/// Words that are left out before anything is counted.
///
/// In a recipe: the name of a file, or a list of words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StopWords {
    /// A file with a word on each line, UTF-8; blank lines are skipped. [`StopWords::read`] reads it.
    File(PathBuf),
    /// The words.
    Words(Vec<String>),
    /// The lines of a file, and which one that was.
    #[serde(skip_deserializing)]
    Lines {
        /// The file, for messages.
        #[serde(skip)]
        path: PathBuf,
        /// Its lines, trimmed.
        lines: Vec<String>,
    },
}

impl Default for StopWords {
    fn default() -> Self {
        Self::Words(Vec::new())
    }
}

impl StopWords {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Words(words) if words.is_empty())
    }

    /// The lines of the file, whose name is relative to `folder`; a list stays what it is.
    ///
    /// # Errors
    /// [`TextError::StopWords`] for a file that cannot be read, is no UTF-8, is larger than [`MAX_FILE`] or has no
    /// word.
    pub fn read(self, folder: &Path) -> Result<Self, TextError> {
        let Self::File(name) = self else { return Ok(self) };
        let path = folder.join(name);
        let refuse = |problem: String| TextError::StopWords { place: path.display().to_string(), problem };
        let bytes = files::read_bounded(&path, MAX_FILE).map_err(|e| refuse(e.to_string()))?;
        let text = std::str::from_utf8(&bytes).map_err(|e| {
            let line = 1 + bytes[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count();
            TextError::StopWords {
                place: format!("{}:{line}", path.display()),
                problem: "not valid UTF-8".into(),
            }
        })?;
        let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        match lines.iter().all(String::is_empty) {
            true => Err(refuse("it has no word".into())),
            false => Ok(Self::Lines { path, lines }),
        }
    }

    /// The words as the tokens that `analysis` makes of them.
    ///
    /// # Errors
    /// [`TextError::StopWords`] for a line that is not one word, and for a file that was not read.
    pub(crate) fn tokens(&self, analysis: Analysis<'_>) -> Result<StopSet, TextError> {
        let (place, words): (&dyn Fn(u64) -> String, _) = match self {
            Self::Words(words) => (&|n| format!("stop word {n}"), words),
            Self::Lines { path, lines } => (&|n| format!("{}:{n}", path.display()), lines),
            Self::File(path) => {
                let place = path.display().to_string();
                return Err(TextError::StopWords { place, problem: "it was not read yet".into() });
            }
        };
        let mut set = StopSet::default();
        let mut buffer = Buffer::default();
        for (word, number) in words.iter().zip(1..).filter(|(word, _)| !word.is_empty()) {
            let mut found = Vec::new();
            analysis.tokens(word, &mut buffer, |token| found.push(token.text.into()));
            match <[Box<str>; 1]>::try_from(found) {
                Ok([token]) => set.insert(token),
                Err(found) => {
                    let problem = format!("{word:?} is {} words to the analyzer, not one", found.len());
                    return Err(TextError::StopWords { place: place(number), problem });
                }
            };
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyzer::Analyzer;
    use std::fs;

    fn tokens(words: &StopWords) -> Result<Vec<Box<str>>, TextError> {
        let none = StopSet::default();
        let analysis = Analysis {
            version: 2,
            analyzer: Analyzer::default(),
            symbols: false,
            words: [1, 1],
            stop: &none,
        };
        let mut tokens: Vec<_> = words.tokens(analysis)?.into_iter().collect();
        tokens.sort();
        Ok(tokens)
    }

    #[test]
    fn words_of_a_file_are_normalized_as_texts_are() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("stop.txt"), "\u{feff}The\r\n\r\n don’t \nE\u{301}t\u{e9}\nthe\n")
            .unwrap();
        let read = StopWords::File("stop.txt".into()).read(folder.path()).unwrap();
        let found = tokens(&read).unwrap();
        assert_eq!(found.iter().map(|w| &**w).collect::<Vec<_>>(), ["don't", "the", "été"]);
        assert!(StopWords::default().is_empty() && !read.is_empty());
    }

    #[test]
    fn what_is_no_list_of_words_is_refused_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |bytes: &[u8]| {
            fs::write(folder.path().join("s"), bytes).unwrap();
            let read = StopWords::File("s".into()).read(folder.path());
            read.and_then(|words| tokens(&words)).unwrap_err().to_string()
        };
        assert!(refused(b"the\nof the\n").ends_with("s:2: \"of the\" is 2 words to the analyzer, not one"));
        assert!(refused(b"the\n...\n").ends_with("s:2: \"...\" is 0 words to the analyzer, not one"));
        assert!(refused(b"a\nb\n\xff").ends_with("s:3: not valid UTF-8"));
        assert!(refused(b" \n\n").ends_with("s: it has no word"));
        assert!(StopWords::File("gone".into()).read(folder.path()).unwrap_err().to_string().contains("gone"));
        assert!(tokens(&StopWords::File("unread".into())).unwrap_err().to_string().contains("unread"));
        let listed = StopWords::Words(vec!["a".into(), "b c".into()]);
        assert!(tokens(&listed).unwrap_err().to_string().starts_with("stop word 2: "));
    }
}
