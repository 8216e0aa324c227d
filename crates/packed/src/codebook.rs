//! Values that are entries of a list: what is stored is their number in it.
//!
//! One number at a time is scalar quantization by k-means (Han, Mao and Dally 2016, arXiv:1510.00149); several outputs
//! of one input at a time is vector quantization, with a list for each group of outputs product quantization (Jégou,
//! Douze and Schmid 2011). A matrix is opened into floats, so a codebook saves bytes on disk and no time.

use serde::{Deserialize, Serialize};
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

fn is_false(value: &bool) -> bool {
    !value
}
