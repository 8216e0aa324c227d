//! The lists of a codebook, and values as codes of what is in them.

use crate::shape::Shape;
use crate::{Codebook, PackError, codes};
use std::collections::HashMap;

/// A codebook with its lists, `[lists, entries, width]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Book {
    pub(crate) codebook: Codebook,
    pub(crate) numbers: Vec<f32>,
}

impl Codebook {
    /// The codes of values that are all in their lists, `numbers` being `[lists, entries, width]`; the first of equal
    /// entries.
    pub(crate) fn encode(self, numbers: &[f32], values: &[f32], outputs: usize) -> Vec<u8> {
        let width = usize::from(self.width);
        let bits = |vector: &[f32]| -> Vec<u32> { vector.iter().map(|x| x.to_bits()).collect() };
        let mut places: Vec<HashMap<Vec<u32>, u8>> = Vec::new();
        for list in numbers.chunks_exact(self.entries() * width) {
            let mut of_list = HashMap::new();
            for (code, entry) in list.chunks_exact(width).enumerate() {
                of_list.entry(bits(entry)).or_insert(code as u8);
            }
            places.push(of_list);
        }
        let groups = if self.product { outputs / width } else { 1 };
        let code = |(at, vector): (usize, &[f32])| {
            let list = &places[at % groups];
            list.get(&bits(vector)).copied().expect("a matrix of a codebook has only what is in its lists")
        };
        codes::write_fixed(values.chunks_exact(width).enumerate().map(code), self.bits.into())
    }

    /// `count` values from their codes.
    pub(crate) fn decode(
        self,
        numbers: &[f32],
        bytes: &[u8],
        count: usize,
        outputs: usize,
    ) -> Result<Vec<f32>, PackError> {
        let width = usize::from(self.width);
        let (codes, tail) = codes::read_fixed(bytes, count / width, self.bits.into());
        if tail != 0 {
            return Err(PackError::Padding("values"));
        }
        Ok(self.values(numbers, &codes, outputs))
    }

    /// The values that codes stand for.
    pub(crate) fn values(self, numbers: &[f32], codes: &[u8], outputs: usize) -> Vec<f32> {
        let width = usize::from(self.width);
        let groups = if self.product { outputs / width } else { 1 };
        let mut values = Vec::with_capacity(codes.len() * width);
        for (at, code) in codes.iter().enumerate() {
            let from = ((at % groups) * self.entries() + usize::from(*code)) * width;
            values.extend_from_slice(&numbers[from..from + width]);
        }
        values
    }

    /// Checks that a matrix may have the shape.
    pub(crate) fn check(self, shape: Shape) -> Result<(), PackError> {
        match shape.outputs.is_multiple_of(usize::from(self.width).max(1)) {
            true => Ok(()),
            false => Err(PackError::Codes { outputs: shape.outputs, width: self.width }),
        }
    }
}
