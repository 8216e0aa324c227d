//! Why numbers are not a matrix.

use crate::Dtype;

/// Numbers that make no matrix: a wrong count, a value out of range, an index out of order.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// A side is zero, or there are too many entries.
    #[error("a {inputs} x {outputs} matrix: both sides must be at least 1 and the product at most {most}")]
    Shape {
        /// Rows.
        inputs: usize,
        /// Columns.
        outputs: usize,
        /// Most entries.
        most: usize,
    },
    /// Integer sums over so many inputs could overflow.
    #[error("a quantized matrix has {inputs} inputs, but at most {most} can be summed without overflow")]
    Inputs {
        /// Rows.
        inputs: usize,
        /// Most rows.
        most: usize,
    },
    /// A slice has the wrong length.
    #[error("{what} has {found} entries, expected {expected}")]
    Length {
        /// Which slice.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length that fits.
        expected: usize,
    },
    /// A value is not a number, or infinite.
    #[error("{what} at position {position} is {value}, expected a finite number")]
    NotFinite {
        /// Which values.
        what: &'static str,
        /// Where, counted from 0.
        position: usize,
        /// The value.
        value: f32,
    },
    /// A scale is negative, or so large that its products are infinite.
    #[error("scale {position} is {value}, expected a number of at least 0 and at most {most:e}")]
    Scale {
        /// Where, counted from 0.
        position: usize,
        /// The value.
        value: f32,
        /// The largest scale whose products stay finite.
        most: f32,
    },
    /// An integer has no opposite.
    #[error("values at position {position} is {value}, expected at least {least}")]
    Level {
        /// Where, counted from 0.
        position: usize,
        /// The value.
        value: i32,
        /// The smallest integer allowed.
        least: i32,
    },
    /// A part that the layout needs was not given.
    #[error("part {0} is missing")]
    Missing(&'static str),
    /// A part has another type of number.
    #[error("part {name} is {found}, expected {expected}")]
    Dtype {
        /// The part.
        name: &'static str,
        /// Its type.
        found: Dtype,
        /// The type that the layout needs.
        expected: Dtype,
    },
    /// A part has another shape.
    #[error("part {name} has shape {found:?}, expected {expected:?}")]
    PartShape {
        /// The part.
        name: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that the layout needs.
        expected: Vec<usize>,
    },
    /// A part's bytes do not have the length that its shape asks for.
    #[error("part {name} has {found} bytes, expected {expected}")]
    PartBytes {
        /// The part.
        name: &'static str,
        /// Bytes given.
        found: usize,
        /// Bytes needed.
        expected: usize,
    },
    /// The bits of a mask are not as many as the values.
    #[error("the mask keeps {found} entries, but {expected} values are stored")]
    Popcount {
        /// Bits that are set.
        found: usize,
        /// Values stored.
        expected: usize,
    },
    /// Bits beyond the last entry are set.
    #[error("the mask has bits set beyond its last entry")]
    MaskTail,
    /// The counts of the rows do not add up to the values.
    #[error("the row counts add up to {found}, but {expected} values are stored")]
    Counts {
        /// Their sum.
        found: u64,
        /// Values stored.
        expected: usize,
    },
    /// The columns of a row do not increase, or leave the matrix.
    #[error("row {row} has column {column} out of order or beyond the last of {outputs} outputs")]
    Columns {
        /// The row.
        row: usize,
        /// The first column at fault.
        column: usize,
        /// Columns of the matrix.
        outputs: usize,
    },
    /// Stored parts are laid out in one definite way, which `sparse` is not.
    #[error("layout {0} does not say whether it is a bitmask or csr")]
    Unresolved(crate::Scheme),
}
