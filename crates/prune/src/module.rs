//! Pruning on a burn module of your own, without nlpress's `Model`.
//!
//! The same plain arithmetic ([`keep_largest`]) on every float parameter of rank 2 whose path matches: paths are
//! dotted as burn gives them, for example `encoder.0.linear.weight`. Shapes stay; what is dropped becomes zero.
//! Zeros do not hold by themselves while burn's optimiser goes on: keep the [`Report`] and call
//! [`Report::hold`] after each of its steps.
//!
//! ```
//! # #[cfg(feature = "ndarray")] {
//! use burn::nn::LinearConfig;
//! use nlpress_core::BackendKind;
//! use nlpress_prune::{Fraction, Scope, Selectors, module};
//!
//! let device = BackendKind::Ndarray.open()?.device().clone();
//! let layer = LinearConfig::new(10, 4).init(&device);
//! let selectors = Selectors::parse(&["weight"])?;
//! let (layer, report) =
//!     module::prune_magnitude(layer, &selectors, Fraction::try_from(0.75)?, Scope::Global)?;
//! assert_eq!((report.kept, report.dropped), (10, 30));
//! assert_eq!(report.sites[0].path, "weight");
//! # let _ = layer;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::{Bool, Tensor, TensorData};
use nlpress_core::{Fraction, Selectors};
use nlpress_technique::module;

use crate::frame::{keep_each_output, keep_largest, split};
use crate::{PruneError, Scope};

/// What was done to a module, and the masks that it was done with.
#[derive(Clone, Debug)]
pub struct Report {
    /// Entries that are kept, over all matched parameters.
    pub kept: usize,
    /// Entries that are zero now.
    pub dropped: usize,
    /// The matched parameters, in the order of the module.
    pub sites: Vec<Pruned>,
}

/// What was done to one parameter.
#[derive(Clone, Debug)]
pub struct Pruned {
    /// Its path in the module.
    pub path: String,
    /// Which entries are kept, row-major.
    pub keep: Vec<bool>,
    id: ParamId,
}

impl Report {
    /// Sets what was dropped to zero again, for example after a step of an optimiser.
    ///
    /// Parameters are found by burn's identity; those that are not of this report stay as they are.
    pub fn hold<M: Module>(&self, module: M) -> M {
        module.map(&mut Apply(self))
    }
}

/// Sets the entries of the smallest magnitude to zero: the share `sparsity` of all matched parameters together
/// ([`Scope::Global`]), of each ([`Scope::Site`]), or of each column ([`Scope::Output`]: burn's `Linear` holds
/// `[inputs, outputs]`).
///
/// Entries that are zero already are the first to go. The number of dropped entries is exact:
/// `sparsity.of(entries)`.
///
/// # Errors
/// [`PruneError`] when no parameter of rank 2 matches, or one is quantized, or cannot be read.
pub fn prune_magnitude<M: Module>(
    module: M,
    selectors: &Selectors,
    sparsity: Fraction,
    scope: Scope,
) -> Result<(M, Report), PruneError> {
    let found = module::selected(&module, selectors)?;
    let mut masks = Vec::with_capacity(found.len());
    let sizes: Vec<usize> = found.iter().map(|f| f.values.len()).collect();
    let size: usize = sizes.iter().sum();
    let total = size - sparsity.of(size);
    let (together, counts) = match scope {
        Scope::Global => (found.len(), vec![total]),
        Scope::Site | Scope::Output => (1, split(total, &sizes)),
    };
    for (group, count) in found.chunks(together).zip(counts) {
        let values: Vec<&[f32]> = group.iter().map(|f| f.values.as_slice()).collect();
        let all: Vec<Vec<bool>> = values.iter().map(|v| vec![true; v.len()]).collect();
        if scope == Scope::Output {
            masks.push(keep_each_output(values[0], &all[0], group[0].shape[1], count, &mut keep_largest)?);
        } else {
            masks.extend(keep_largest(&values, &all, count)?);
        }
    }
    let kept = masks.iter().flatten().filter(|k| **k).count();
    let dropped = masks.iter().map(Vec::len).sum::<usize>() - kept;
    let sites =
        found.into_iter().zip(masks).map(|(f, keep)| Pruned { path: f.path, keep, id: f.id }).collect();
    let report = Report { kept, dropped, sites };
    Ok((report.hold(module), report))
}

/// Sets what the masks do not keep to zero, in the parameter's own precision.
struct Apply<'a>(&'a Report);

impl ModuleMapper for Apply<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(site) = self.0.sites.iter().find(|s| s.id == param.id) else { return param };
        param.map(|tensor| {
            let shape = tensor.shape();
            if shape.num_elements() != site.keep.len() {
                return tensor;
            }
            // On the plain backend, so that the result is a leaf again and training can go on from it.
            let (traced, tracked) = (tensor.is_autodiff(), tensor.is_require_grad());
            let plain = tensor.inner();
            let drop: Vec<bool> = site.keep.iter().map(|k| !k).collect();
            let drop = Tensor::<D, Bool>::from_data(TensorData::new(drop, shape), &plain.device());
            let cut = plain.mask_fill(drop, 0.0);
            let cut = if traced { Tensor::from_inner(cut) } else { cut };
            if tracked { cut.require_grad() } else { cut }
        })
    }
}
