//! The examples that a model sees, whichever encoder made them.

use crate::error::TextError;
use crate::rows::{Row, Rows};
use crate::token_rows::{TokenRow, TokenRows};

/// Encoded texts.
#[derive(Clone, Debug, PartialEq)]
pub enum Examples {
    /// Sparse feature rows, as a bag of words makes them.
    Features(Rows),
    /// Token ids, as a tokenizer makes them.
    Tokens(TokenRows),
}

/// Encoded texts that lie elsewhere.
#[derive(Clone, Copy, Debug)]
pub enum ExamplesRef<'a> {
    /// Sparse feature rows.
    Features(&'a Rows),
    /// Token ids.
    Tokens(&'a TokenRows),
}

/// One encoded text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Example<'a> {
    /// A sparse feature row.
    Features(Row<'a>),
    /// Token ids.
    Tokens(TokenRow<'a>),
}

impl Examples {
    /// Number of examples.
    pub fn len(&self) -> usize {
        self.view().len()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of features, or the size of the vocabulary.
    pub fn width(&self) -> usize {
        self.view().width()
    }

    /// Example `i`.
    ///
    /// # Panics
    /// When `i` is not below [`len`](Self::len).
    pub fn get(&self, i: usize) -> Example<'_> {
        self.view().get(i)
    }

    /// The given examples in the given order; one may be taken more than once.
    ///
    /// # Panics
    /// When one is not below [`len`](Self::len).
    #[must_use]
    pub fn select(&self, examples: &[usize]) -> Self {
        self.view().select(examples)
    }

    /// These examples, and after them others of the same encoder.
    ///
    /// # Errors
    /// [`TextError::Rows`] when the others are of another kind or width.
    pub fn followed_by(&self, others: &Self) -> Result<Self, TextError> {
        match (self.clone(), others) {
            (Self::Features(mut rows), Self::Features(others)) if rows.width() == others.width() => {
                rows.append(others);
                Ok(Self::Features(rows))
            }
            (Self::Tokens(mut rows), Self::Tokens(others)) if rows.width() == others.width() => {
                rows.append(others);
                Ok(Self::Tokens(rows))
            }
            _ => Err(TextError::Rows("the examples are of two encoders".into())),
        }
    }

    /// Adds an example of the same encoder.
    ///
    /// # Errors
    /// [`TextError::Rows`] when it is of another kind.
    pub fn push(&mut self, example: Example<'_>) -> Result<(), TextError> {
        match (self, example) {
            (Self::Features(rows), Example::Features(row)) => rows.push(row),
            (Self::Tokens(rows), Example::Tokens(row)) => rows.push(row),
            _ => return Err(TextError::Rows("the examples are of two encoders".into())),
        }
        Ok(())
    }

    /// Forgets all examples, and keeps their memory.
    pub fn clear(&mut self) {
        match self {
            Self::Features(rows) => rows.clear(),
            Self::Tokens(rows) => rows.clear(),
        }
    }

    /// The same examples, borrowed.
    pub fn view(&self) -> ExamplesRef<'_> {
        self.into()
    }

    /// The feature rows; none where the examples are tokens.
    pub fn features(&self) -> Option<&Rows> {
        match self {
            Self::Features(rows) => Some(rows),
            Self::Tokens(_) => None,
        }
    }

    /// The token rows; none where the examples are features.
    pub fn tokens(&self) -> Option<&TokenRows> {
        match self {
            Self::Tokens(rows) => Some(rows),
            Self::Features(_) => None,
        }
    }
}

impl<'a> ExamplesRef<'a> {
    /// Number of examples.
    pub fn len(self) -> usize {
        match self {
            Self::Features(rows) => rows.len(),
            Self::Tokens(rows) => rows.len(),
        }
    }

    /// Whether there is no example.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Number of features, or the size of the vocabulary.
    pub fn width(self) -> usize {
        match self {
            Self::Features(rows) => rows.width(),
            Self::Tokens(rows) => rows.width(),
        }
    }

    /// Stored values of all rows, or tokens of all texts.
    pub fn entries(self) -> usize {
        match self {
            Self::Features(rows) => rows.nonzeros(),
            Self::Tokens(rows) => rows.tokens(),
        }
    }

    /// Example `i`.
    ///
    /// # Panics
    /// When `i` is not below [`len`](Self::len).
    pub fn get(self, i: usize) -> Example<'a> {
        match self {
            Self::Features(rows) => Example::Features(rows.row(i)),
            Self::Tokens(rows) => Example::Tokens(rows.row(i)),
        }
    }

    /// The given examples in the given order; one may be taken more than once.
    ///
    /// # Panics
    /// When one is not below [`len`](Self::len).
    #[must_use]
    pub fn select(self, examples: &[usize]) -> Examples {
        match self {
            Self::Features(rows) => Examples::Features(rows.select(examples)),
            Self::Tokens(rows) => Examples::Tokens(rows.select(examples)),
        }
    }
}

impl<'a> From<&'a Examples> for ExamplesRef<'a> {
    fn from(examples: &'a Examples) -> Self {
        match examples {
            Examples::Features(rows) => Self::Features(rows),
            Examples::Tokens(rows) => Self::Tokens(rows),
        }
    }
}

impl<'a> From<&'a Rows> for ExamplesRef<'a> {
    fn from(rows: &'a Rows) -> Self {
        Self::Features(rows)
    }
}

impl<'a> From<&'a TokenRows> for ExamplesRef<'a> {
    fn from(rows: &'a TokenRows) -> Self {
        Self::Tokens(rows)
    }
}

impl<'a> From<Row<'a>> for Example<'a> {
    fn from(row: Row<'a>) -> Self {
        Self::Features(row)
    }
}

impl<'a> From<TokenRow<'a>> for Example<'a> {
    fn from(row: TokenRow<'a>) -> Self {
        Self::Tokens(row)
    }
}

impl From<Rows> for Examples {
    fn from(rows: Rows) -> Self {
        Self::Features(rows)
    }
}

impl From<TokenRows> for Examples {
    fn from(rows: TokenRows) -> Self {
        Self::Tokens(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_follow_those_of_the_same_encoder() {
        let rows =
            |n: usize, width| Examples::from(Rows::from_dense(n, width, &vec![1.0; n * width]).unwrap());
        assert_eq!(rows(2, 3).followed_by(&rows(1, 3)).unwrap(), rows(3, 3));
        let tokens = |offsets: &[usize], ids: &[u32]| {
            Examples::from(TokenRows::new(9, offsets.to_vec(), ids.to_vec(), Vec::new()).unwrap())
        };
        let both = tokens(&[0, 2], &[4, 1]).followed_by(&tokens(&[0, 0, 1], &[8])).unwrap();
        assert_eq!(both, tokens(&[0, 2, 2, 3], &[4, 1, 8]));
        assert!(rows(2, 3).followed_by(&rows(2, 4)).is_err());
        assert!(rows(2, 9).followed_by(&both).is_err());
    }
}
