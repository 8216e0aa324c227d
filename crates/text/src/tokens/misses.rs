//! What a tokenizer misses of some texts, and what may help.

use super::TokenEncoder;
use super::config::Algorithm;
use crate::coverage::{Coverage, share};

/// From this share of unknown tokens on, there is advice.
const MANY_UNKNOWN: f64 = 0.2;
/// From this share of texts that were cut on, there is advice.
const MANY_CUT: f64 = 0.25;

impl TokenEncoder {
    /// What to say, and what to try, where it misses much of some texts; nothing where it does not.
    pub fn advice(&self, coverage: &Coverage) -> Option<String> {
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        if coverage.share_unknown() >= MANY_UNKNOWN {
            let remedy = match self.algorithm() {
                Algorithm::Words => "pieces of words (algorithm = \"wordpiece\") know more than whole words",
                _ => "algorithm = \"bpe\" knows every text, byte for byte",
            };
            return Some(format!(
                "{} of the tokens are unknown: {remedy}; or the texts are of another kind, or in another language, than \
                 those of the tokenizer",
                percent(coverage.share_unknown())
            ));
        }
        let cut = share(coverage.documents_cut, coverage.documents);
        (cut >= MANY_CUT).then(|| {
            format!(
                "{} of the documents are cut after {} tokens: a larger `max_tokens` sees more",
                percent(cut),
                self.max_tokens()
            )
        })
    }
}
