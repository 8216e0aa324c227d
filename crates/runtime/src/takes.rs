//! What a network takes, and whether some examples are that.

use crate::RuntimeError;
use nlpress_graph::{Graph, Key, Op, Source};
use nlpress_text::{AnyEncoder, Example, ExamplesRef, TokenRow};
use std::ops::Range;

/// What goes into a network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Takes {
    source: Source,
    /// Types of tokens that every table of types knows.
    types: usize,
}

impl Takes {
    pub(crate) fn of(graph: &Graph) -> Self {
        let of = |op: &Op| match op {
            Op::Embed { by: Key::Type { rows }, .. } => *rows,
            _ => usize::MAX,
        };
        let types = graph.nodes.iter().map(|node| of(&node.op)).min().unwrap_or(usize::MAX);
        Self { source: graph.source, types }
    }

    /// Checks that whatever an encoder makes of a text is taken.
    pub(crate) fn check_encoder(&self, encoder: &AnyEncoder) -> Result<(), RuntimeError> {
        match (encoder, self.source) {
            (AnyEncoder::Bag(_), Source::Tokens { .. }) => Err(RuntimeError::TakesTokens),
            (AnyEncoder::Tokens(_), Source::Features { .. } | Source::Bag { .. }) => {
                Err(RuntimeError::TakesRows)
            }
            (AnyEncoder::Bag(bag), Source::Features { width } | Source::Bag { width, .. }) => {
                if bag.width() == width {
                    return Ok(());
                }
                Err(RuntimeError::Width { encoder: bag.width(), network: width })
            }
            (AnyEncoder::Tokens(tokens), Source::Tokens { vocabulary, most }) => {
                if tokens.width() != vocabulary {
                    return Err(RuntimeError::Vocabulary { found: tokens.width(), expected: vocabulary });
                }
                let limits =
                    [("tokens", tokens.max_tokens(), most), ("types of tokens", tokens.types(), self.types)];
                match limits.into_iter().find(|(_, encoder, network)| encoder > network) {
                    Some((what, encoder, network)) => Err(RuntimeError::Tokenizer { what, encoder, network }),
                    None => Ok(()),
                }
            }
        }
    }

    /// Checks that some of these examples, which are there, can go in.
    pub(crate) fn check(&self, examples: ExamplesRef<'_>, range: &Range<usize>) -> Result<(), RuntimeError> {
        if range.end > examples.len() {
            return Err(RuntimeError::Length { what: "rows", found: examples.len(), expected: range.end });
        }
        match (examples, self.source) {
            (ExamplesRef::Features(rows), Source::Features { width } | Source::Bag { width, .. }) => {
                if rows.width() == width {
                    return Ok(());
                }
                Err(RuntimeError::Rows { found: rows.width(), expected: width })
            }
            (ExamplesRef::Tokens(rows), Source::Tokens { vocabulary, most }) => {
                if rows.width() != vocabulary {
                    return Err(RuntimeError::Vocabulary { found: rows.width(), expected: vocabulary });
                }
                let check = |row: usize| {
                    self.check_tokens(rows.row(row), most).map_err(|why| RuntimeError::Tokens { row, why })
                };
                range.clone().try_for_each(check)
            }
            (ExamplesRef::Features(_), Source::Tokens { .. }) => Err(RuntimeError::TakesTokens),
            (ExamplesRef::Tokens(_), _) => Err(RuntimeError::TakesRows),
        }
    }

    /// Checks that one example can go in.
    #[inline]
    pub(crate) fn check_one(&self, example: Example<'_>) -> Result<(), RuntimeError> {
        match (example, self.source) {
            (Example::Features(row), Source::Features { width } | Source::Bag { width, .. }) => {
                let (found, expected) = (row.values.len(), row.columns.len());
                if found != expected {
                    return Err(RuntimeError::Length { what: "values", found, expected });
                }
                // Looks at all of them, many at a time, which is faster than to stop at the first.
                let ascend = row.columns.windows(2).fold(true, |all, pair| all & (pair[0] < pair[1]));
                if !ascend {
                    return Err(RuntimeError::Order);
                }
                match row.columns.last() {
                    Some(&column) if column as usize >= width => {
                        Err(RuntimeError::Column { column, inputs: width })
                    }
                    _ => Ok(()),
                }
            }
            (Example::Tokens(row), Source::Tokens { vocabulary, most }) => {
                let beyond = row.ids.iter().find(|id| **id as usize >= vocabulary);
                let found = match beyond {
                    Some(id) => Err(format!("has the token {id} of a vocabulary of {vocabulary}")),
                    None => self.check_tokens(row, most),
                };
                found.map_err(|why| RuntimeError::Tokens { row: 0, why })
            }
            (Example::Features(_), Source::Tokens { .. }) => Err(RuntimeError::TakesTokens),
            (Example::Tokens(_), _) => Err(RuntimeError::TakesRows),
        }
    }

    fn check_tokens(&self, row: TokenRow<'_>, most: usize) -> Result<(), String> {
        if row.ids.len() > most {
            return Err(format!("has {} tokens, the network takes {most}", row.ids.len()));
        }
        if !row.types.is_empty() && row.types.len() != row.ids.len() {
            return Err(format!("has {} tokens, but {} types", row.ids.len(), row.types.len()));
        }
        match row.types.iter().find(|of| usize::from(**of) >= self.types) {
            Some(of) => Err(format!("has a token of type {of}, the network knows {}", self.types)),
            None => Ok(()),
        }
    }
}
