//! A named run of little-endian numbers, and what is asked of one that was given.

use crate::PackError;
use crate::dtype::Dtype;
use std::borrow::Cow;

/// A named run of little-endian numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Part<'a> {
    /// `values`, `scales`, `zero_points`, `activations`, `outlier_inputs`, `outliers`, `numbers`, `mask`, `counts`,
    /// `gaps` or `positions`.
    pub name: &'static str,
    /// What the bytes are.
    pub dtype: Dtype,
    /// How many there are, in each dimension.
    pub shape: Vec<usize>,
    /// The numbers.
    pub bytes: Cow<'a, [u8]>,
}

/// Gives the parts that a matrix is read from, by name.
pub(crate) trait Lookup<'a>: FnMut(&'static str) -> Option<Part<'a>> {}
impl<'a, L: FnMut(&'static str) -> Option<Part<'a>>> Lookup<'a> for L {}

impl<'a> Part<'a> {
    pub(crate) fn take(name: &'static str, lookup: &mut impl Lookup<'a>) -> Result<Self, PackError> {
        let mut part = lookup(name).ok_or(PackError::Missing(name))?;
        part.name = name;
        Ok(part)
    }

    pub(crate) fn expect(&self, dtype: Dtype, shape: &[usize]) -> Result<(), PackError> {
        if self.dtype != dtype {
            return Err(PackError::Dtype { name: self.name, found: self.dtype, expected: dtype });
        }
        if self.shape != shape {
            let (found, expected) = (self.shape.clone(), shape.to_vec());
            return Err(PackError::PartShape { name: self.name, found, expected });
        }
        let numbers = shape.iter().try_fold(1usize, |n, &side| n.checked_mul(side));
        match numbers.and_then(|n| n.checked_mul(dtype.bytes())) {
            Some(expected) if expected == self.bytes.len() => Ok(()),
            expected => Err(PackError::PartBytes {
                name: self.name,
                found: self.bytes.len(),
                expected: expected.unwrap_or(usize::MAX),
            }),
        }
    }
}
