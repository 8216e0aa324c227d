//! Why numbers are not a matrix.

use crate::dtype::Dtype;

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
    /// The step of the activations is none that anything could be divided by.
    #[error("the step of the activations is {value}, expected a number above 0 and at most {most:e}")]
    Step {
        /// The value.
        value: f32,
        /// The largest step whose products stay finite.
        most: f32,
    },
    /// An integer has too large a magnitude; so has the smallest of its type, which has no opposite.
    #[error("values at position {position} is {value}, expected a number between {least} and {most}")]
    Level {
        /// Where, counted from 0.
        position: usize,
        /// The value.
        value: i32,
        /// The smallest allowed.
        least: i32,
        /// The largest allowed.
        most: i32,
    },
    /// An integer is not on its grid.
    #[error("values at position {position} is {value}, which is not an integer that {grid} has")]
    Grid {
        /// Where, counted from 0.
        position: usize,
        /// The value.
        value: i32,
        /// The grid.
        grid: crate::Grid,
    },
    /// A zero point is beyond the integers of its grid.
    #[error("zero point {position} is {value}, expected an integer between {least} and {most}")]
    ZeroPoint {
        /// Where, counted from 0.
        position: usize,
        /// The value.
        value: i32,
        /// The smallest integer.
        least: i32,
        /// The largest integer.
        most: i32,
    },
    /// The parts of a layout's name do not go together.
    #[error("layout {scheme}: {why}")]
    Scheme {
        /// The layout.
        scheme: crate::Scheme,
        /// What does not go together.
        why: &'static str,
    },
    /// Outputs are not whole groups that codes stand for.
    #[error("{outputs} outputs are not whole groups of {width}, for which one code stands")]
    Codes {
        /// Columns.
        outputs: usize,
        /// Outputs of a code.
        width: u8,
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
    /// A gap leads beyond the last column.
    #[error("row {row} has column {column}, beyond the last of {outputs} outputs")]
    Columns {
        /// The row, or the row of blocks.
        row: usize,
        /// The first column at fault, or column of blocks.
        column: usize,
        /// Columns of the matrix.
        outputs: usize,
    },
    /// Bytes are not the numbers that they should be in the code that they name.
    #[error("part {name} {why}")]
    Code {
        /// The part.
        name: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// What only fills up is not zero.
    #[error("part {0} has a value beyond the end of the matrix")]
    Padding(&'static str),
    /// The positions in a group do not increase, or leave the group.
    #[error("group {group} of output {output} has position {position} out of order or beyond its inputs")]
    Positions {
        /// The output.
        output: usize,
        /// The group, counted from 0.
        group: usize,
        /// The first position at fault.
        position: usize,
    },
    /// A group keeps more entries than its layout stores.
    #[error("group {group} of output {output} keeps {found} inputs, but {n}:{m} stores at most {n}")]
    Crowded {
        /// The output.
        output: usize,
        /// The group, counted from 0.
        group: usize,
        /// Kept entries.
        found: usize,
        /// Stored entries of a group.
        n: usize,
        /// Inputs of a group.
        m: usize,
    },
    /// A block has a side of zero, or too long a side.
    #[error("block {rows}x{columns}: each side must be between 1 and 64")]
    Block {
        /// Its inputs.
        rows: u8,
        /// Its outputs.
        columns: u8,
    },
    /// No group can keep so many.
    #[error("{n}:{m}: the first must be at least 1 and less than the second, which is at most 16")]
    Group {
        /// Stored entries of a group.
        n: u8,
        /// Inputs of a group.
        m: u8,
    },
    /// A float is beyond what 16 bits hold.
    #[error("values at position {position} is {value}, but 16-bit floats hold at most {most}")]
    Half {
        /// Where, counted from 0.
        position: usize,
        /// The value.
        value: f32,
        /// The largest magnitude.
        most: f32,
    },
    /// Outliers are not a few inputs of the matrix.
    #[error(
        "outlier {position} is input {input}, expected inputs in ascending order, each less than {inputs}"
    )]
    Outlier {
        /// Where, counted from 0.
        position: usize,
        /// The input.
        input: i64,
        /// Inputs of the matrix.
        inputs: usize,
    },
    /// Too many inputs are outliers for their count to be written.
    #[error("{found} inputs are outliers, but at most {most} can be")]
    Outliers {
        /// How many there are.
        found: usize,
        /// Most that there can be.
        most: u16,
    },
    /// An outlier's weight is given twice, or where nothing is kept.
    #[error("outlier input {input} has {value} at output {output}, expected {expected}")]
    OutlierValue {
        /// The input.
        input: usize,
        /// The output.
        output: usize,
        /// The number.
        value: f32,
        /// What is there in a matrix that is whole.
        expected: &'static str,
    },
    /// Stored parts are laid out in one definite way, which `sparse` is not.
    #[error("layout {0} does not say whether it is a bitmask or csr")]
    Unresolved(crate::Scheme),
}
