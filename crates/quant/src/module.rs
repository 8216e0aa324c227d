//! Quantization of a burn module of your own, without nlpress's model.
//!
//! Parameters of two dimensions whose path matches the selectors are taken as `[inputs, outputs]`, as burn's
//! `Linear` keeps them. [`fake_quantize`] rounds them to the grid and leaves them floats, so that you can
//! measure what quantization costs your network; [`pack`] gives the integers, as they would ship. Entries that
//! are exactly zero count as pruned: when leaving them out makes a parameter smaller, they are left out.
//!
//! ```
//! use burn::module::Module;
//! use burn::nn::{Linear, LinearConfig};
//! use burn::tensor::Device;
//! use nlpress_core::{BackendKind, Selectors};
//! use nlpress_quant::{Grid, Rounding, module};
//!
//! #[derive(Module, Debug)]
//! struct Scorer {
//!     hidden: Linear,
//!     output: Linear,
//! }
//!
//! let backend = BackendKind::Ndarray.open()?;
//! let device: &Device = backend.device();
//! let scorer = Scorer {
//!     hidden: LinearConfig::new(32, 16).init(device),
//!     output: LinearConfig::new(16, 1).init(device),
//! };
//! let on = Selectors::parse(&["hidden.*"])?;
//! let (scorer, report) = module::fake_quantize(scorer, &on, &Rounding::new(Grid::Int8))?;
//! assert_eq!(report[0].path, "hidden.weight");
//! let packed = module::pack(&scorer, &on, &Rounding::new(Grid::Int8))?;
//! assert_eq!(packed[0].matrix.bytes(), 32 * 16 + 4 * 16);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use burn::module::Module;
use nlpress_core::Selectors;
use nlpress_packed::{Index, Matrix};
use nlpress_technique::module::{self, Parameter};

use crate::Noise;
use crate::{QuantError, Rounding};

/// What happened to a parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Rounded {
    /// Its path, for example `hidden.weight`.
    pub path: String,
    /// Its shape.
    pub shape: [usize; 2],
    /// How far it moved.
    pub noise: Noise,
}

/// A parameter as it would ship.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    /// Its path, for example `hidden.weight`.
    pub path: String,
    /// Its bytes as 32-bit floats.
    pub bytes_before: usize,
    /// Its integers; [`Matrix::bytes`] says how many bytes they take.
    pub matrix: Matrix,
}

/// Rounds the selected parameters to the grid; they stay floats on their device.
///
/// # Errors
/// [`QuantError`], also when nothing is selected; the module is then given up.
pub fn fake_quantize<M: Module>(
    module: M,
    on: &Selectors,
    rounding: &Rounding,
) -> Result<(M, Vec<Rounded>), QuantError> {
    let (mut done, mut replaced) = (Vec::new(), Vec::new());
    for parameter in module::selected(&module, on)? {
        let values = packed(&parameter, rounding)?.unpack();
        let Parameter { path, id, shape, values: was } = parameter;
        done.push(Rounded { path, shape, noise: Noise::between(&was, &values) });
        replaced.push((id, values));
    }
    Ok((module::replaced(module, &replaced), done))
}

/// The selected parameters as integers with scales, in the order of the module's fields.
///
/// # Errors
/// [`QuantError`], also when nothing is selected.
pub fn pack<M: Module>(module: &M, on: &Selectors, rounding: &Rounding) -> Result<Vec<Packed>, QuantError> {
    let pack = |parameter: Parameter| {
        let (matrix, bytes_before) = (packed(&parameter, rounding)?, 4 * parameter.values.len());
        Ok(Packed { path: parameter.path, bytes_before, matrix })
    };
    module::selected(module, on)?.into_iter().map(pack).collect()
}

/// A parameter in whichever layout is smaller: all entries, or those that are not zero.
fn packed(parameter: &Parameter, rounding: &Rounding) -> Result<Matrix, QuantError> {
    let Parameter { path, shape: [inputs, outputs], values, .. } = parameter;
    let pack = |keep: Option<&[bool]>, index| rounding.pack(values, (*inputs, *outputs), keep, index);
    let keep: Vec<bool> = values.iter().map(|v| *v != 0.0).collect();
    let smaller = pack(None, Index::Full).and_then(|full| {
        if rounding.zero_points {
            return Ok(full); // there is no layout that leaves entries out and has zero points
        }
        let sparse = pack(Some(&keep), Index::Sparse)?;
        Ok(if sparse.bytes() < full.bytes() { sparse } else { full })
    });
    smaller.map_err(|source| QuantError::Parameter { path: path.clone(), source: Box::new(source) })
}
