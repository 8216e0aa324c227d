//! Token ids: the rows that a tokenizer makes of texts, ragged, in plain memory. Nothing is padded at rest.

use crate::error::TextError;
use crate::offsets::Offsets;
use crate::rows::Rows;

/// Largest vocabulary of token ids.
pub const MAX_TOKENS: usize = 1 << 24;

/// Rows of token ids below [`width`](Self::width), each as long as its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRows {
    width: usize,
    offsets: Offsets,
    ids: Vec<u32>,
    /// One for each id, or none at all where every type is 0.
    types: Vec<u8>,
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenRow<'a> {
    /// Token ids, in the order of the text.
    pub ids: &'a [u32],
    /// The type of each token (BERT's segment); none at all where every type of the set is 0.
    pub types: &'a [u8],
}

impl TokenRows {
    /// Rows from their parts: row `i` lies at `offsets[i]..offsets[i + 1]` of `ids` and, where there are any, of
    /// `types`.
    ///
    /// # Errors
    /// [`TextError::Rows`] when `width` is above [`MAX_TOKENS`], when the offsets do not start at 0, ascend and end at the number of ids, when there are
    /// types but not one for each id, or when an id is not below `width`.
    pub fn new(width: usize, offsets: Vec<usize>, ids: Vec<u32>, types: Vec<u8>) -> Result<Self, TextError> {
        let fail = |problem: String| Err(TextError::Rows(problem));
        if width > MAX_TOKENS {
            return fail(format!("a vocabulary of {width} is larger than {MAX_TOKENS}"));
        }
        if !types.is_empty() && types.len() != ids.len() {
            return fail(format!("{} types for {} tokens", types.len(), ids.len()));
        }
        let offsets = Offsets::new(offsets, ids.len()).map_err(TextError::Rows)?;
        if let Some(at) = ids.iter().position(|&id| id as usize >= width) {
            return fail(format!("token {at} is {}, not below the vocabulary of {width}", ids[at]));
        }
        Ok(Self { width, offsets, ids, types })
    }

    /// No rows yet, to be filled by [`push`](Self::push).
    pub(crate) fn empty(width: usize) -> Self {
        Self { width, offsets: Offsets::empty(), ids: Vec::new(), types: Vec::new() }
    }

    /// Appends a row of the same encoder: either all its rows have types, or none has.
    pub(crate) fn push(&mut self, row: TokenRow<'_>) {
        self.ids.extend_from_slice(row.ids);
        self.types.extend_from_slice(row.types);
        self.offsets.push(self.ids.len());
    }

    /// Forgets all rows.
    pub(crate) fn clear(&mut self) {
        self.offsets.clear();
        self.ids.clear();
        self.types.clear();
    }

    /// Appends all rows of another set of the same encoder.
    pub(crate) fn append(&mut self, other: &Self) {
        self.ids.extend_from_slice(&other.ids);
        self.types.extend_from_slice(&other.types);
        self.offsets.append(&other.offsets);
    }

    /// The size of the vocabulary: every id is below.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.offsets.rows()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of tokens in all rows.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// Tokens of the longest row; 0 without rows.
    pub fn longest(&self) -> usize {
        self.offsets.iter().map(|row| row.len()).max().unwrap_or(0)
    }

    /// Bytes that the rows take in memory.
    pub fn bytes(&self) -> usize {
        size_of_val(self.offsets()) + size_of_val(&self.ids[..]) + self.types.len()
    }

    /// Where each row begins in [`ids`](Self::ids); one more at the end.
    pub fn offsets(&self) -> &[usize] {
        self.offsets.as_slice()
    }

    /// The ids of all rows, one row after the other.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The types of all tokens; none at all where every type is 0.
    pub fn types(&self) -> &[u8] {
        &self.types
    }

    /// Row `i`.
    ///
    /// # Panics
    /// When `i` is not below [`len`](Self::len).
    pub fn row(&self, i: usize) -> TokenRow<'_> {
        let range = self.offsets.row(i);
        let types = if self.types.is_empty() { &[] } else { &self.types[range.clone()] };
        TokenRow { ids: &self.ids[range], types }
    }

    /// Every row in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = TokenRow<'_>> {
        (0..self.len()).map(|i| self.row(i))
    }

    /// The given rows in the given order; a row may be taken more than once.
    ///
    /// # Panics
    /// When a row is not below [`len`](Self::len).
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let mut out = Self::empty(self.width);
        rows.iter().for_each(|&i| out.push(self.row(i)));
        out
    }

    /// How often each id occurs in each row, whatever the order: the rows of a bag of tokens.
    pub fn bags(&self) -> Rows {
        let (mut offsets, mut columns, mut values) = (vec![0], Vec::new(), Vec::<f32>::new());
        let mut ids = Vec::new();
        for row in self.iter() {
            ids.clear();
            ids.extend_from_slice(row.ids);
            ids.sort_unstable();
            for same in ids.chunk_by(|a, b| a == b) {
                columns.push(same[0]);
                values.push(same.len() as f32);
            }
            offsets.push(columns.len());
        }
        Rows::new(self.width, offsets, columns, values).expect("ids below the width, ascending")
    }

    /// How often each id occurs, by id: `[width]`.
    pub fn counts(&self) -> Vec<u64> {
        let mut counts = vec![0; self.width];
        self.ids.iter().for_each(|&id| counts[id as usize] += 1);
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_that_contradict_each_other_are_refused() {
        type Parts<'a> = (&'a [usize], &'a [u32], &'a [u8], &'a str);
        let bad: [Parts<'_>; 7] = [
            (&[], &[], &[], "offsets must start at 0"),
            (&[1, 1], &[0], &[], "offsets must start at 0"),
            (&[0, 2], &[0], &[], "end at 1"),
            (&[0, 2, 1, 2], &[0, 1], &[], "row 1 ends before"),
            (&[0, usize::MAX, 1], &[0], &[], "row 1 ends before"),
            (&[0, 2], &[0, 3], &[], "token 1 is 3, not below the vocabulary of 3"),
            (&[0, 2], &[0, 1], &[0], "1 types for 2 tokens"),
        ];
        for (offsets, ids, types, want) in bad {
            let error = TokenRows::new(3, offsets.into(), ids.into(), types.into()).unwrap_err().to_string();
            assert!(error.contains(want), "{error:?} is not {want:?}");
        }
        let error = TokenRows::new(usize::MAX, vec![0], vec![], vec![]).unwrap_err().to_string();
        assert!(error.contains("is larger than 16777216"), "{error}");
    }

    #[test]
    fn rows_have_their_types() {
        let rows = TokenRows::new(9, vec![0, 2, 2, 3], vec![8, 8, 1], vec![0, 1, 1]).unwrap();
        assert_eq!(rows.row(0), TokenRow { ids: &[8, 8], types: &[0, 1] });
        assert_eq!(rows.row(1), TokenRow { ids: &[], types: &[] });
        assert_eq!((rows.len(), rows.tokens(), rows.longest()), (3, 3, 2));
        assert_eq!(rows.bytes(), 4 * 8 + 3 * 4 + 3);
        assert_eq!(rows.counts(), [0, 1, 0, 0, 0, 0, 0, 0, 2]);
        let bags = rows.bags();
        assert_eq!((bags.len(), bags.width(), bags.nonzeros()), (3, 9, 2));
        assert_eq!((bags.row(0).columns, bags.row(0).values), (&[8][..], &[2.0][..]));
    }

    proptest! {
        #[test]
        fn selected_rows_are_those_rows(
            rows in prop::collection::vec(prop::collection::vec((0u32..9, 0u8..3), 0..5), 1..9),
            typed: bool,
            picks in prop::collection::vec(any::<prop::sample::Index>(), 0..9),
        ) {
            let flat: Vec<(u32, u8)> = rows.iter().flatten().copied().collect();
            let offsets = std::iter::once(0).chain(rows.iter().scan(0, |end, row| { *end += row.len(); Some(*end) })).collect();
            let types = if typed { flat.iter().map(|(_, kind)| *kind).collect() } else { Vec::new() };
            let all = TokenRows::new(9, offsets, flat.iter().map(|(id, _)| *id).collect(), types).unwrap();
            let picks: Vec<usize> = picks.iter().map(|pick| pick.index(rows.len())).collect();
            let some = all.select(&picks);
            prop_assert_eq!(some.len(), picks.len());
            for (row, &i) in some.iter().zip(&picks) {
                prop_assert_eq!(row, all.row(i));
                let ids: Vec<u32> = rows[i].iter().map(|(id, _)| *id).collect();
                prop_assert_eq!(row.ids, &ids[..]);
            }
            let (offsets, ids, types) = (some.offsets().to_vec(), some.ids().to_vec(), some.types().to_vec());
            prop_assert_eq!(TokenRows::new(9, offsets, ids, types).unwrap(), some);
        }
    }
}
