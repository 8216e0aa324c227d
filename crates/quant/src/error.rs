//! Why numbers cannot become integers, or come back from them.

use nlpress_packed::PackError;
use nlpress_technique::module::ModuleError;
use nlpress_technique::settings::BadTable;
use nlpress_train::BadConfig;

/// Quantization refused its input.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantError {
    /// A setting is out of its bounds.
    #[error(transparent)]
    Setting(#[from] BadConfig),
    /// A table of settings cannot be read.
    #[error(transparent)]
    Table(#[from] BadTable),
    /// A training table is refused.
    #[error("train: {0}")]
    Training(String),
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
    /// A received gradient holds what no encoder makes.
    #[error("block {block} of the gradient: {why}")]
    Received {
        /// The block, counted from 0.
        block: usize,
        /// What is wrong with it.
        #[source]
        why: BadBytes,
    },
    /// The layout refused the integers.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// A module of which nothing is selected, or a parameter cannot be read.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// A parameter of a module cannot be quantized.
    #[error("parameter {path}: {source}")]
    Parameter {
        /// Its path.
        path: String,
        /// Why.
        source: Box<QuantError>,
    },
}

impl QuantError {
    pub(crate) fn setting(key: &'static str, value: impl ToString, bound: &'static str) -> Self {
        BadConfig { field: key, value: value.to_string(), bound }.into()
    }
}

/// Why received bytes are no block of a gradient.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BadBytes {
    /// They end early.
    #[error("its bytes end before its last number")]
    Cut,
    /// They go on.
    #[error("{0} bytes follow the last number")]
    Rest(usize),
    /// The scale is negative or infinite.
    #[error("its scale is {0}, expected a finite number of at least 0")]
    Scale(f32),
    /// A code stands for no number.
    #[error("it holds the code {code}, expected {bound}")]
    Code {
        /// The code.
        code: u8,
        /// What would be accepted.
        bound: &'static str,
    },
    /// Bits after the last number are set.
    #[error("bits after its last number are set")]
    Padding,
    /// More numbers than are ever sent.
    #[error("it announces {count} numbers, but at most {most} are sent")]
    Count {
        /// Numbers announced.
        count: usize,
        /// The bound.
        most: usize,
    },
    /// A place beyond the end.
    #[error("it has a number beyond the last of {len} places")]
    Place {
        /// Places there are.
        len: usize,
    },
    /// A count longer than 32 bits.
    #[error("a count in it is longer than 32 bits")]
    Long,
}
