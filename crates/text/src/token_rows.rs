//! Token ids of texts: ragged rows in plain memory.

use crate::error::TextError;

/// The token ids of texts, one after the other, without padding; each token perhaps with a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRows {
    offsets: Vec<usize>,
    ids: Vec<u32>,
    types: Option<Vec<u8>>,
}

/// The tokens of one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenRow<'a> {
    /// Their ids.
    pub ids: &'a [u32],
    /// Their types; none where all are 0.
    pub types: Option<&'a [u8]>,
}

impl TokenRows {
    /// Rows from their parts: row `i` lies at `offsets[i]..offsets[i + 1]`.
    ///
    /// # Errors
    /// [`TextError::Rows`] when the offsets do not start at 0, ascend and end at the number of ids, or there are not as
    /// many types as ids.
    pub fn new(offsets: Vec<usize>, ids: Vec<u32>, types: Option<Vec<u8>>) -> Result<Self, TextError> {
        let fail = |problem: String| Err(TextError::Rows(problem));
        if offsets.first() != Some(&0) || offsets.last() != Some(&ids.len()) {
            return fail(format!("offsets must start at 0 and end at {}", ids.len()));
        }
        if let Some(at) = offsets.windows(2).position(|w| w[0] > w[1]) {
            return fail(format!("row {at} ends before it begins"));
        }
        if let Some(types) = types.as_ref().filter(|types| types.len() != ids.len()) {
            return fail(format!("{} types for {} tokens", types.len(), ids.len()));
        }
        Ok(Self { offsets, ids, types })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row of that number.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn row(&self, i: usize) -> TokenRow<'_> {
        let range = self.offsets[i]..self.offsets[i + 1];
        TokenRow { ids: &self.ids[range.clone()], types: self.types.as_ref().map(|types| &types[range]) }
    }
}
