//! How much of some texts an encoder knows: a model whose texts are mostly unknown words answers all the same,
//! and only these counts show it.

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

/// What an encoder saw of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Tokens that the analyzer found.
    pub tokens: u32,
    /// Those that are features.
    pub known: u32,
    /// What the analyzer left out: runs of symbols and punctuation marks that are no tokens, words that are too
    /// short or too long. Not counted by encoders of version 1.
    pub dropped: u32,
    /// Those of the runs that look as if they meant something: with a symbol (`<3`, `->`), or an emoticon.
    pub symbols: u32,
    /// Tokens that are one character of a script without spaces between words (Chinese, Thai).
    pub singles: u32,
    /// Runs of such characters without anything between them.
    pub single_runs: u32,
    /// Whether tokens at the end were left out because the row was full.
    pub cut: bool,
}

/// Counts over texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Texts.
    pub documents: u64,
    /// Texts without any known feature: all of them get the same answer.
    pub documents_without: u64,
    /// Tokens.
    pub tokens: u64,
    /// Tokens that are no features.
    pub tokens_unknown: u64,
    /// Runs of symbols and punctuation marks, and words too short or too long, that are no tokens.
    pub dropped: u64,
    /// Texts with a dropped run that looks as if it meant something (`:)`, `<3`).
    pub documents_with_symbols: u64,
    /// Tokens that are one character of a script without spaces between words.
    pub singles: u64,
    /// Runs of such characters.
    pub single_runs: u64,
    /// Texts of which tokens at the end were left out because the row was full.
    pub documents_cut: u64,
}

impl Coverage {
    /// Counts one more text.
    pub fn add(&mut self, seen: Seen) {
        self.documents += 1;
        self.documents_without += u64::from(seen.known == 0);
        self.tokens += u64::from(seen.tokens);
        self.tokens_unknown += u64::from(seen.tokens - seen.known);
        self.dropped += u64::from(seen.dropped);
        self.documents_with_symbols += u64::from(seen.symbols > 0);
        self.singles += u64::from(seen.singles);
        self.single_runs += u64::from(seen.single_runs);
        self.documents_cut += u64::from(seen.cut);
    }

    /// Counts the texts that another one counted.
    pub fn merge(&mut self, other: &Self) {
        self.documents += other.documents;
        self.documents_without += other.documents_without;
        self.tokens += other.tokens;
        self.tokens_unknown += other.tokens_unknown;
        self.dropped += other.dropped;
        self.documents_with_symbols += other.documents_with_symbols;
        self.singles += other.singles;
        self.single_runs += other.single_runs;
        self.documents_cut += other.documents_cut;
    }

    /// Share of the texts without a known feature, from 0 to 1.
    pub fn share_without(&self) -> f64 {
        share(self.documents_without, self.documents)
    }

    /// Share of the tokens that are unknown, from 0 to 1.
    pub fn share_unknown(&self) -> f64 {
        share(self.tokens_unknown, self.tokens)
    }
}

/// With the shares beside the counts.
impl Serialize for Coverage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Coverage", 7)?;
        object.serialize_field("documents", &self.documents)?;
        object.serialize_field("documents_without", &self.documents_without)?;
        object.serialize_field("share_without", &self.share_without())?;
        object.serialize_field("tokens", &self.tokens)?;
        object.serialize_field("tokens_unknown", &self.tokens_unknown)?;
        object.serialize_field("share_unknown", &self.share_unknown())?;
        object.serialize_field("dropped", &self.dropped)?;
        object.end()
    }
}

pub(crate) fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}
