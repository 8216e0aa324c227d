//! Values that are entries of a list: what is stored is their number in it.
//!
//! One number at a time is scalar quantization by k-means (Han, Mao and Dally 2016, arXiv:1510.00149); several outputs
//! of one input at a time is vector quantization, with a list for each group of outputs product quantization (Jégou,
//! Douze and Schmid 2011). A matrix is opened into floats, so a codebook saves bytes on disk and no time.

use crate::index::Shape;
use crate::{PackError, codes};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;

/// Bits of a code.
pub(crate) const BITS: std::ops::RangeInclusive<u8> = 4..=8;
/// Outputs that one code stands for.
pub(crate) const WIDTHS: std::ops::RangeInclusive<u8> = 1..=8;

/// How a codebook stands for a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Codebook {
    /// Consecutive outputs of one input that one code stands for, in `1..=8`; the outputs of the matrix are a multiple
    /// of it. Above 1, all entries are stored.
    pub width: u8,
    /// Bits of a code, in `4..=8`: a list has as many entries as they can name.
    pub bits: u8,
    /// Whether every group of `width` outputs has a list of its own.
    #[serde(default, skip_serializing_if = "is_false")]
    pub product: bool,
}

impl Codebook {
    /// Entries of a list.
    pub fn entries(self) -> usize {
        1 << self.bits.min(*BITS.end())
    }

    /// Lists of a matrix of so many outputs.
    pub fn lists(self, outputs: usize) -> usize {
        if self.product { outputs / usize::from(self.width).max(1) } else { 1 }
    }

    /// Numbers of all lists.
    pub fn numbers(self, outputs: usize) -> usize {
        self.lists(outputs).saturating_mul(self.entries() * usize::from(self.width))
    }

    /// Bytes of the codes of so many stored values.
    pub(crate) fn bytes(self, count: usize) -> usize {
        (count.div_ceil(usize::from(self.width).max(1)) * usize::from(self.bits)).div_ceil(8)
    }

    /// Most values that so many bytes of codes stand for.
    pub(crate) fn most(self, bytes: usize) -> usize {
        bytes * 8 / usize::from(self.bits).max(1) * usize::from(self.width)
    }

    /// What is wrong with the numbers of its name.
    pub(crate) fn fault(self) -> Option<&'static str> {
        if !WIDTHS.contains(&self.width) {
            return Some("a code stands for between 1 and 8 outputs");
        }
        (!BITS.contains(&self.bits)).then_some("a code has between 4 and 8 bits")
    }

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

impl fmt::Display for Codebook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "codes of {} bits", self.bits)?;
        match (self.width, self.product) {
            (1, false) => Ok(()),
            (width, false) => write!(f, " for {width} outputs"),
            (width, true) => write!(f, " for {width} outputs each"),
        }
    }
}

/// A codebook with its lists, `[lists, entries, width]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Book {
    pub(crate) codebook: Codebook,
    pub(crate) numbers: Vec<f32>,
}

fn is_false(value: &bool) -> bool {
    !value
}
