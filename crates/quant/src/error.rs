//! Why numbers cannot become integers, or come back from them.

use nlpress_packed::PackError;

/// Quantization refused its input.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantError {
    /// A setting is out of its bounds.
    #[error("{key} is {value}, but it must be {bound}")]
    Setting {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What would be accepted.
        bound: &'static str,
    },
    /// A matrix does not have whole rows.
    #[error("{found} numbers are not whole rows of {outputs}")]
    Rows {
        /// Numbers given.
        found: usize,
        /// Length of a row.
        outputs: usize,
    },
    /// A number is infinite or undefined.
    #[error("number {position} is {value}, expected a finite one")]
    NotFinite {
        /// Where, counted from 0.
        position: usize,
        /// The number.
        value: f32,
    },
    /// A slice does not have the length that it was announced with.
    #[error("{what} has {found} entries, expected {expected}")]
    Length {
        /// Which slice.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length that fits.
        expected: usize,
    },
    /// A received scale is negative or infinite.
    #[error("block {block} has scale {scale}, expected a finite number of at least 0")]
    Scale {
        /// The block, counted from 0.
        block: usize,
        /// Its scale.
        scale: f32,
    },
    /// A received integer has no opposite.
    #[error("block {block} holds -128, expected integers in -127..=127")]
    Level {
        /// The block, counted from 0.
        block: usize,
    },
    /// The layout refused the integers.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// No parameter of a module was selected.
    #[error("no parameter of two dimensions is selected by {selectors:?}; there are: {have}")]
    NothingSelected {
        /// The selectors as written.
        selectors: Vec<String>,
        /// Paths of the parameters that could be selected.
        have: String,
    },
    /// A parameter of a module cannot be quantized.
    #[error("parameter {path}: {source}")]
    Parameter {
        /// Its path.
        path: String,
        /// Why.
        source: Box<QuantError>,
    },
    /// A tensor could not be read back from its device.
    #[error("parameter {path}: the device did not give it back: {why}")]
    Device {
        /// Path of the parameter.
        path: String,
        /// The device's words.
        why: String,
    },
}
