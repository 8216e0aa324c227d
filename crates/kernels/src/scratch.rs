//! Memory for what lies between the steps of a product.

use crate::aligned::Aligned;
use crate::int8::WideRoom;

/// Memory for intermediate results, to be used again: after the first row of a kind nothing is allocated.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    /// The non-zeros of a row that was given with its zeros.
    pub(crate) columns: Aligned<u32>,
    pub(crate) values: Aligned<f32>,
    pub(crate) between: Between,
    pub(crate) block: Quantities,
    pub(crate) without_outliers: Vec<f32>,
    pub(crate) outliers: Aligned<f32>,
    pub(crate) wide: WideRoom,
}

/// What lies between the activations of one product and its outputs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Between {
    /// Activations times the scales of the weight's rows.
    pub(crate) weighted: Vec<f32>,
    /// Activations as integers, one by one.
    pub(crate) levels: Aligned<i32>,
    /// Activations of the type of the weights.
    pub(crate) floats: Aligned<f32>,
    pub(crate) words: Aligned<i32>,
    pub(crate) bytes: Aligned<i8>,
    /// Sums of each type.
    pub(crate) sums_f32: Aligned<f32>,
    pub(crate) sums_i32: Aligned<i32>,
    pub(crate) sums_i64: Aligned<i64>,
}

/// Rows as integers, without gaps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quantities {
    /// `[rows, stride]`, zeros beyond the inputs; and what is left of larger blocks.
    pub(crate) levels: Aligned<i8>,
    /// A multiple of [`GROUP`](crate::lanes::GROUP).
    pub(crate) stride: usize,
    /// The scale of each row.
    pub(crate) scales: Vec<f32>,
    /// Room for tiles of the matrix.
    pub(crate) tiles: Aligned<i8>,
}
