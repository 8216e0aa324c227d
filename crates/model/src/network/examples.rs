//! What goes into a network.

use nlpress_graph::Source;
use nlpress_text::{Rows, TokenRow, TokenRows};

use super::Network;
use crate::ModelError;

/// Examples as networks take them: feature rows (also those whose words are a bag of tokens), or tokens.
#[derive(Clone, Copy, Debug)]
pub enum Examples<'a> {
    /// Feature rows.
    Features(&'a Rows),
    /// Token ids.
    Tokens(&'a TokenRows),
}

/// What a range of sites starts from.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Feature rows, for a range that begins with the first site.
    Rows(&'a Rows, &'a [usize]),
    /// Tokens, for all sites.
    Tokens(&'a TokenRows, &'a [usize]),
    /// Pre-activations `[rows, outputs of the site before]`, for any later range.
    Activations(&'a [f32]),
}

impl<'a> Input<'a> {
    /// The examples of those numbers.
    pub(super) fn of(examples: Examples<'a>, indices: &'a [usize]) -> Self {
        match examples {
            Examples::Features(rows) => Input::Rows(rows, indices),
            Examples::Tokens(rows) => Input::Tokens(rows, indices),
        }
    }

    /// The examples, where it has any.
    pub(super) fn examples(self) -> Option<(Examples<'a>, &'a [usize])> {
        match self {
            Input::Rows(rows, indices) => Some((rows.into(), indices)),
            Input::Tokens(rows, indices) => Some((rows.into(), indices)),
            Input::Activations(_) => None,
        }
    }
}

impl<'a> From<&'a Rows> for Examples<'a> {
    fn from(rows: &'a Rows) -> Self {
        Self::Features(rows)
    }
}

impl<'a> From<&'a TokenRows> for Examples<'a> {
    fn from(rows: &'a TokenRows) -> Self {
        Self::Tokens(rows)
    }
}

impl Examples<'_> {
    /// How many there are.
    pub(super) fn count(self) -> usize {
        match self {
            Self::Features(rows) => rows.len(),
            Self::Tokens(rows) => rows.len(),
        }
    }

    /// Places that an example takes in a pass.
    pub(super) fn length(self, i: usize) -> usize {
        match self {
            Self::Features(_) => 1,
            Self::Tokens(rows) => rows.row(i).ids.len().max(1),
        }
    }
}

impl Network {
    /// Checks that the network takes these examples.
    pub(super) fn check_examples(&self, examples: Examples<'_>, indices: &[usize]) -> Result<(), ModelError> {
        let bad = |why: String| Err(ModelError::Data(why));
        let count = examples.count();
        if let Some(i) = indices.iter().find(|i| **i >= count) {
            return bad(format!("row {i} does not exist: there are {count} rows"));
        }
        match (examples, self.graph.source) {
            (Examples::Features(rows), Source::Features { width } | Source::Bag { width, .. }) => {
                if rows.width() == width {
                    return Ok(());
                }
                bad(format!("rows have {} features, the network takes {width}", rows.width()))
            }
            (Examples::Tokens(rows), Source::Tokens { vocabulary, .. }) if rows.width() != vocabulary => {
                bad(format!("tokens of a vocabulary of {}, the network's has {vocabulary}", rows.width()))
            }
            (Examples::Tokens(rows), Source::Tokens { most, .. }) => {
                let row = |i: &usize| self.check_tokens(rows.row(*i), most).map_err(|why| (*i, why));
                let found = indices.iter().try_for_each(row);
                found.or_else(|(i, why)| bad(format!("example {i} {why}")))
            }
            (Examples::Features(_), Source::Tokens { .. }) => {
                bad("the network takes tokens, not feature rows".into())
            }
            (Examples::Tokens(_), _) => bad("the network takes feature rows, not tokens".into()),
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
