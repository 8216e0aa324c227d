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

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use nlpress_core::Selectors;
use nlpress_packed::{Index, Matrix};

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
    let mut rounder = Rounder { walk: Walk::new(on), rounding, done: Vec::new(), failed: None };
    let module = module.map(&mut rounder);
    match rounder.failed {
        Some(error) => Err(error),
        None if rounder.done.is_empty() => Err(rounder.walk.nothing()),
        None => Ok((module, rounder.done)),
    }
}

/// The selected parameters as integers with scales, in the order of the module's fields.
///
/// # Errors
/// [`QuantError`], also when nothing is selected.
pub fn pack<M: Module>(module: &M, on: &Selectors, rounding: &Rounding) -> Result<Vec<Packed>, QuantError> {
    let mut packer = Packer { walk: Walk::new(on), rounding, done: Vec::new(), failed: None };
    module.visit(&mut packer);
    match packer.failed {
        Some(error) => Err(error),
        None if packer.done.is_empty() => Err(packer.walk.nothing()),
        None => Ok(packer.done),
    }
}

/// Where in a module we are.
struct Walk<'a> {
    on: &'a Selectors,
    path: Vec<String>,
    seen: Vec<String>,
}

impl<'a> Walk<'a> {
    fn new(on: &'a Selectors) -> Self {
        Self { on, path: Vec::new(), seen: Vec::new() }
    }

    /// The path, when a parameter of `rank` dimensions here is selected.
    fn select(&mut self, rank: usize) -> Option<String> {
        if rank != 2 {
            return None;
        }
        let path = self.path.join(".");
        self.seen.push(path.clone());
        self.on.matches(&path).then_some(path)
    }

    fn nothing(&self) -> QuantError {
        let have = if self.seen.is_empty() { "none".into() } else { self.seen.join(", ") };
        QuantError::NothingSelected { selectors: self.on.source().to_vec(), have }
    }
}

struct Rounder<'a> {
    walk: Walk<'a>,
    rounding: &'a Rounding,
    done: Vec<Rounded>,
    failed: Option<QuantError>,
}

impl ModuleMapper for Rounder<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.walk.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.walk.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(path) = self.walk.select(D).filter(|_| self.failed.is_none()) else { return param };
        let rounded = host(&param.base(), &path).and_then(|(values, shape)| {
            let matrix = packed(&values, shape, &path, self.rounding)?;
            Ok((Noise::between(&values, &matrix.unpack()), matrix, shape))
        });
        match rounded {
            Ok((noise, matrix, shape)) => {
                self.done.push(Rounded { path, shape, noise });
                param.map(|old| {
                    let data = TensorData::new(matrix.unpack(), shape);
                    let new = Tensor::from_data(data, (&old.device(), old.dtype()));
                    if old.is_require_grad() { new.require_grad() } else { new }
                })
            }
            Err(error) => {
                self.failed = Some(error);
                param
            }
        }
    }
}

struct Packer<'a> {
    walk: Walk<'a>,
    rounding: &'a Rounding,
    done: Vec<Packed>,
    failed: Option<QuantError>,
}

impl ModuleVisitor for Packer<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.walk.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.walk.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(path) = self.walk.select(D).filter(|_| self.failed.is_none()) else { return };
        let matrix = host(&param.base(), &path)
            .and_then(|(values, shape)| packed(&values, shape, &path, self.rounding));
        match matrix {
            Ok(matrix) => {
                let bytes_before = 4 * matrix.inputs() * matrix.outputs();
                self.done.push(Packed { path, bytes_before, matrix });
            }
            Err(error) => self.failed = Some(error),
        }
    }
}

/// A parameter's numbers and shape.
fn host<const D: usize>(tensor: &Tensor<D>, path: &str) -> Result<(Vec<f32>, [usize; 2]), QuantError> {
    let dims = tensor.dims();
    let values = tensor
        .clone()
        .try_into_vec_as::<f32>()
        .map_err(|e| QuantError::Device { path: path.into(), why: format!("{e:?}") })?;
    Ok((values, [dims[0], dims[1]]))
}

/// A parameter in whichever layout is smaller: all entries, or those that are not zero.
fn packed(
    values: &[f32],
    [inputs, outputs]: [usize; 2],
    path: &str,
    rounding: &Rounding,
) -> Result<Matrix, QuantError> {
    let pack = |keep: Option<&[bool]>, index| rounding.pack(values, (inputs, outputs), keep, index);
    let keep: Vec<bool> = values.iter().map(|v| *v != 0.0).collect();
    let smaller = pack(None, Index::Full).and_then(|full| {
        if rounding.zero_points {
            return Ok(full); // there is no layout that leaves entries out and has zero points
        }
        let sparse = pack(Some(&keep), Index::Sparse)?;
        Ok(if sparse.bytes() < full.bytes() { sparse } else { full })
    });
    smaller.map_err(|source| QuantError::Parameter { path: path.into(), source: Box::new(source) })
}
