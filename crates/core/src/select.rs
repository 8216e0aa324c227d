//! Glob selectors over dotted site names: `**` is every site, `hidden.*` the hidden layers, `output` the last.

use crate::shown::shown;
use globset::{GlobBuilder, GlobMatcher};

/// A list of selectors; a name is selected when any of them matches and none that begins with `!` does.
#[derive(Clone, Debug)]
pub struct Selectors {
    take: Vec<GlobMatcher>,
    leave: Vec<GlobMatcher>,
    source: Vec<String>,
}

/// A selector that cannot be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("selector \"{}\" cannot be read: {why}", shown(selector))]
pub struct BadSelector {
    /// The text as written.
    pub selector: String,
    /// What is wrong with it.
    pub why: String,
}

impl Selectors {
    /// Reads the selectors of a recipe. `*` matches within one dotted part, `**` across parts.
    ///
    /// # Errors
    /// [`BadSelector`] for a pattern that is not a glob, or when nothing positive is selected.
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Self, BadSelector> {
        let mut all = Self { take: vec![], leave: vec![], source: vec![] };
        for text in texts {
            let text = text.as_ref();
            all.source.push(text.to_owned());
            let (pattern, list) = match text.strip_prefix('!') {
                Some(rest) => (rest, &mut all.leave),
                None => (text, &mut all.take),
            };
            if pattern.is_empty() {
                return Err(BadSelector { selector: text.into(), why: "it is empty".into() });
            }
            let glob = GlobBuilder::new(&pattern.replace('.', "/"))
                .literal_separator(true)
                .build()
                .map_err(|e| BadSelector { selector: text.into(), why: e.kind().to_string() })?;
            list.push(glob.compile_matcher());
        }
        if all.take.is_empty() {
            return Err(BadSelector { selector: all.source.join(", "), why: "it selects nothing".into() });
        }
        Ok(all)
    }

    /// Every site.
    pub fn everything() -> Self {
        Self::parse(&["**"]).expect("the pattern is a constant and reads")
    }

    /// Whether `name` is selected.
    pub fn matches(&self, name: &str) -> bool {
        let path = name.replace('.', "/");
        self.take.iter().any(|g| g.is_match(&path)) && !self.leave.iter().any(|g| g.is_match(&path))
    }

    /// The selectors as written.
    pub fn source(&self) -> &[String] {
        &self.source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_follow_the_dots() {
        let s = Selectors::parse(&["encoder.*.ffn.**", "!encoder.0.**"]).unwrap();
        assert!(s.matches("encoder.3.ffn.up"));
        assert!(!s.matches("encoder.0.ffn.up"));
        assert!(!s.matches("encoder.3.attention.q"));
        assert!(Selectors::everything().matches("output"));
    }

    #[test]
    fn refuses_what_selects_nothing() {
        assert!(Selectors::parse::<&str>(&[]).is_err());
        assert!(Selectors::parse(&["!a"]).is_err());
        assert!(Selectors::parse(&[""]).is_err());
        assert!(Selectors::parse(&["a[b"]).is_err());
    }
}
