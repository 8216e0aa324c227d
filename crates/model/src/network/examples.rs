//! What goes into a network.

use nlpress_graph::Source;
use nlpress_text::{Example, ExamplesRef, TokenRow};

use super::Network;
use crate::ModelError;

/// What a range of sites starts from.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Examples of these numbers, for a range that begins with the first site; of tokens, for all sites.
    Examples(ExamplesRef<'a>, &'a [usize]),
    /// Pre-activations `[rows, outputs of the site before]`, for any later range.
    Activations(&'a [f32]),
}

/// Places that an example takes in a pass.
pub(super) fn length(examples: ExamplesRef<'_>, i: usize) -> usize {
    match examples.get(i) {
        Example::Features(_) => 1,
        Example::Tokens(row) => row.ids.len().max(1),
    }
}

impl Network {
    /// Checks that the network takes these examples.
    pub(super) fn check_examples(
        &self,
        examples: ExamplesRef<'_>,
        indices: &[usize],
    ) -> Result<(), ModelError> {
        let bad = |why: String| Err(ModelError::Data(why));
        let count = examples.len();
        if let Some(i) = indices.iter().find(|i| **i >= count) {
            return bad(format!("row {i} does not exist: there are {count} rows"));
        }
        match (examples, self.graph.source) {
            (ExamplesRef::Features(rows), Source::Features { width } | Source::Bag { width, .. }) => {
                if rows.width() == width {
                    return Ok(());
                }
                bad(format!("rows have {} features, the network takes {width}", rows.width()))
            }
            (ExamplesRef::Tokens(rows), Source::Tokens { vocabulary, .. }) if rows.width() != vocabulary => {
                bad(format!("tokens of a vocabulary of {}, the network's has {vocabulary}", rows.width()))
            }
            (ExamplesRef::Tokens(rows), Source::Tokens { most, .. }) => {
                let row = |i: &usize| self.check_tokens(rows.row(*i), most).map_err(|why| (*i, why));
                let found = indices.iter().try_for_each(row);
                found.or_else(|(i, why)| bad(format!("example {i} {why}")))
            }
            (ExamplesRef::Features(_), Source::Tokens { .. }) => {
                bad("the network takes tokens, not feature rows".into())
            }
            (ExamplesRef::Tokens(_), _) => bad("the network takes feature rows, not tokens".into()),
        }
    }

    fn check_tokens(&self, row: TokenRow<'_>, most: usize) -> Result<(), String> {
        if row.ids.len() > most {
            return Err(format!("has {} tokens, the network takes {most}", row.ids.len()));
        }
        match row.types.iter().find(|of| usize::from(**of) >= self.wiring.types) {
            Some(of) => Err(format!("has a token of type {of}, the network knows {}", self.wiring.types)),
            None => Ok(()),
        }
    }
}
