//! The weights of a burn module of your own: parameters of two dimensions, `[inputs, outputs]` as burn's `Linear` keeps
//! them, read by selectors of their paths and put back. Paths are dotted as burn gives them, for example
//! `encoder.0.linear.weight`.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Tensor, TensorData};
use nlpress_core::Selectors;

/// A parameter of a module.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its path.
    pub path: String,
    /// What burn knows it by.
    pub id: ParamId,
    /// Its shape.
    pub shape: [usize; 2],
    /// Its numbers, row-major.
    pub values: Vec<f32>,
}

/// A module whose parameters cannot be treated.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ModuleError {
    /// No parameter was selected.
    #[error("no parameter of two dimensions is selected by {selectors:?}; there are: {have}")]
    NothingSelected {
        /// The selectors as written.
        selectors: Vec<String>,
        /// Paths of the parameters that could be selected.
        have: String,
    },
    /// A parameter cannot be read as floats.
    #[error("parameter {path}: {why}")]
    Parameter {
        /// Its path.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

/// The parameters that are selected, in the order of the module's fields.
///
/// # Errors
/// [`ModuleError`] when there is none, or one is quantized or cannot be read.
pub fn selected<M: Module>(module: &M, on: &Selectors) -> Result<Vec<Parameter>, ModuleError> {
    let mut gather = Gather { on, path: Vec::new(), seen: Vec::new(), found: Vec::new() };
    module.visit(&mut gather);
    if gather.found.is_empty() {
        let have = if gather.seen.is_empty() { "none".into() } else { gather.seen.join(", ") };
        return Err(ModuleError::NothingSelected { selectors: on.source().to_vec(), have });
    }
    gather.found.into_iter().collect()
}

/// The module with other numbers in some parameters, which stay of their type, on their device, and as trainable as they
/// are.
pub fn replaced<M: Module>(module: M, by: &[(ParamId, Vec<f32>)]) -> M {
    module.map(&mut Replace(by))
}

struct Gather<'a> {
    on: &'a Selectors,
    path: Vec<String>,
    seen: Vec<String>,
    found: Vec<Result<Parameter, ModuleError>>,
}

impl ModuleVisitor for Gather<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if D != 2 {
            return;
        }
        let path = self.path.join(".");
        self.seen.push(path.clone());
        if self.on.matches(&path) {
            self.found.push(read(path, param));
        }
    }
}

fn read<const D: usize>(path: String, param: &Param<Tensor<D>>) -> Result<Parameter, ModuleError> {
    let bad = |why: String| ModuleError::Parameter { path: path.clone(), why };
    let (tensor, shape) = (param.base(), param.shape());
    if !tensor.dtype().is_float() {
        return Err(bad(format!("it is {:?}, not of floats", tensor.dtype())));
    }
    let data = tensor.try_into_data().map_err(|e| bad(e.to_string()))?;
    let values = data.convert::<f32>().try_into_vec::<f32>().map_err(|e| bad(format!("{e:?}")))?;
    Ok(Parameter { id: param.id, shape: [shape[0], shape[1]], values, path })
}

struct Replace<'a>(&'a [(ParamId, Vec<f32>)]);

impl ModuleMapper for Replace<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some((_, values)) = self.0.iter().find(|(id, _)| *id == param.id) else { return param };
        param.map(|old| {
            let data = TensorData::new(values.clone(), old.shape());
            let new = Tensor::from_data(data, (&old.device(), old.dtype()));
            if old.is_require_grad() { new.require_grad() } else { new }
        })
    }
}
