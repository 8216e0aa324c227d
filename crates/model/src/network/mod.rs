//! A model bound to a burn device, where it computes.
//!
//! The forward pass and its gradient are written here and nowhere else. Two things make it fast on text:
//! what starts from the text (the first layer on feature rows, the tables of tokens) is linear in a constant input, so on the
//! CPU its product and its gradient need no graph, and run where the rows lie ([`kernel`](crate::kernel)); and a loss may be
//! a plain function of the logits that returns its own derivative, so burn's graph holds just the layers between.
//!
//! A network is a burn [`Module`](burn::module::Module): its parameters are called after our sites, so that burn's
//! optimizers, groups and records work on it.
//!
//! A pass may cover a range of sites, which is how model parallelism splits a network over threads: what goes
//! from stage to stage is the pre-activation `[batch, outputs]` of the last site of a range.

mod body;
mod examples;
mod factors;
mod hooks;
mod integers;
mod leaves;
mod module;
mod parameters;
mod placed;
mod positions;
mod probe;
mod rounding;
mod rows;
mod run;
mod start;
mod taps;
mod tokens;
mod wiring;

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use nlpress_core::backend::host::into_numbers;
use nlpress_core::{Backend, BackendKind};
use nlpress_graph::{Graph, Shape, SiteId};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::operations::Way;
use crate::{Model, ModelError, Weight};
use placed::{Held, Placed};
use rounding::Rounding;
use wiring::Wiring;

pub use examples::Input;
pub use factors::{Factored, Gradients, Tile, tiles};
pub use hooks::AttentionMap;
pub use parameters::Update;
pub use run::Trace;
pub use taps::{Loss, Seen, Taps};

/// A model bound to a device.
#[derive(Clone, Debug)]
pub struct Network {
    graph: Arc<Graph>,
    wiring: Arc<Wiring>,
    sites: Vec<Bound>,
    vectors: Vec<BoundVector>,
    on_cpu: bool,
    /// How operations between sites are computed: by burn's for feature rows, of which a batch is small.
    way: Way,
    /// Where tensors are in the memory of this process, the backend that has them.
    host: Option<BackendKind>,
    device: Device,
    tracked: Device,
}

#[derive(Clone, Debug)]
struct Bound {
    id: SiteId,
    shape: Shape,
    trainable: bool,
    /// How the site's input is rounded, as the runtime's integer kernels do.
    rounding: Option<Rounding>,
    /// Absent outside the bound range.
    placed: Option<Placed>,
}

/// A vector of a normalisation.
#[derive(Clone, Debug)]
struct BoundVector {
    id: SiteId,
    length: usize,
    /// Absent where the last site is not bound.
    placed: Option<Param<Tensor<1>>>,
}

impl Network {
    /// Puts a model's numbers on the backend's device.
    pub fn bind(model: &Model, backend: &Backend) -> Self {
        Self::bind_sites(model, backend, 0..model.layers().len())
    }

    /// Puts the numbers of a range of sites on the device; only passes within that range can then run.
    pub fn bind_sites(model: &Model, backend: &Backend, range: Range<usize>) -> Self {
        let device = backend.device().clone();
        let tracked = device.clone().autodiff();
        let host = Some(backend.kind()).filter(|kind| kind.is_cpu());
        let on_cpu = host.is_some();
        let graph = model.graph().clone();
        let wiring = Wiring::of(&graph);
        let way = host.filter(|_| wiring::reads_tokens(&graph)).map_or(Way::Burn, Way::Host);
        let sites = model.layers().iter().enumerate().map(|(i, layer)| Bound {
            id: layer.id.clone(),
            shape: layer.shape,
            trainable: layer.weight.is_trainable(),
            rounding: match &layer.weight {
                Weight::Packed { matrix, .. } => Rounding::of(matrix),
                _ => None,
            },
            placed: range.contains(&i).then(|| {
                let may_be_integers = !on_cpu && !wiring.is_table[i];
                Placed::of(layer, &device, may_be_integers)
            }),
        });
        let is_last = range.end == model.layers().len();
        let vectors = model.vectors().iter().map(|vector| BoundVector {
            id: vector.id.clone(),
            length: vector.values.len(),
            placed: is_last.then(|| placed::trained(vector.values.clone(), [vector.values.len()], &device)),
        });
        let (sites, vectors) = (sites.collect(), vectors.collect());
        let (graph, wiring) = (Arc::new(graph), Arc::new(wiring));
        Self { graph, wiring, sites, vectors, on_cpu, way, host, device, tracked }
    }

    /// Bound sites whose packed integers are integers on the device too.
    ///
    /// They take fewer bytes there than floats would, on the `wgpu` backend: every site but tables of tokens, with integers that, less their zero points, are within `±127` and have no outliers, in all but groups of
    /// inputs that are no multiple of 4 (of 8, for integers within `±7`). A pass without gradients multiplies integers of
    /// 8 bits as they lie; smaller ones, held in 4 bits, it unpacks on the device for each product, because there burn
    /// 0.22.1 multiplies wrongly from 16,000 inputs on, if not before. A pass with gradients unpacks all but the first
    /// site.
    ///
    /// Zero on the CPU, where burn has no use for integers.
    pub fn held_as_integers(&self) -> usize {
        let held = |s: &&Bound| matches!(&s.placed, Some(Placed { weight: Held::Integers(_), .. }));
        self.sites.iter().filter(held).count()
    }

    /// Bound sites whose packed integers were made floats to compute with: those with integers that are not
    /// [`held_as_integers`](Network::held_as_integers). Their inputs are rounded as if they were.
    pub fn dequantized(&self) -> usize {
        let integers = |s: &&Bound| s.rounding.is_some() && s.placed.is_some();
        self.sites.iter().filter(integers).count() - self.held_as_integers()
    }

    /// What the network is.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Number of sites.
    pub fn sites(&self) -> usize {
        self.sites.len()
    }

    /// How many numbers each parameter has that is trained: weight and bias of each site, then the vectors.
    fn lengths(&self) -> impl Iterator<Item = usize> {
        let sites = self.sites.iter().filter(|site| site.trainable);
        let of_sites = sites.flat_map(|site| [site.shape.weights(), site.shape.biases()]);
        of_sites.chain(self.vectors.iter().map(|vector| vector.length)).filter(|length| *length > 0)
    }

    /// Where the product with a site is computed in the memory of this process, though those of other operations are not: a
    /// wide one, whose derivative can then be kept in factors.
    fn host_of(&self, site: &Bound) -> Option<BackendKind> {
        self.host.filter(|_| self.way == Way::Burn && site.shape.weights() >= factors::WIDE)
    }

    /// How many of [`Model::flat`]'s numbers belong to a range of sites; vectors belong to the last.
    pub fn trainable(&self, sites: Range<usize>) -> usize {
        let vectors = if sites.end == self.sites.len() { &self.vectors[..] } else { &[] };
        let of_sites = self.sites[sites].iter().filter(|s| s.trainable).map(|s| s.shape.parameters());
        of_sites.chain(vectors.iter().map(|v| v.length)).sum()
    }

    /// Rounds what goes into a site as the kernels would if its weight were integers: every row to `levels` steps to
    /// either side of zero, the largest magnitude having all of them. The gradient passes straight through. The tokens
    /// that a table is looked up for are not numbers, and stay as they are.
    ///
    /// # Errors
    /// [`ModelError::Data`] when there is no such site, it is packed, so that its matrix says how its input is
    /// rounded, or there is no level.
    pub fn round_input(&mut self, site: usize, levels: i32) -> Result<(), ModelError> {
        let bad = |why: String| Err(ModelError::Data(why));
        match self.sites.get_mut(site) {
            None => bad(format!("there is no site number {site}")),
            Some(site) if !site.trainable => bad("the input of a packed site is rounded as it says".into()),
            Some(_) if levels < 1 => {
                bad(format!("an input is to have {levels} levels, but needs at least 1"))
            }
            Some(site) => {
                site.rounding = Some(Rounding::dynamic(levels));
                Ok(())
            }
        }
    }

    /// Whether a site computes in the memory of this process, where a pass starts.
    fn in_plain_memory(&self, i: usize) -> bool {
        self.on_cpu && (i == 0 || self.wiring.is_table[i])
    }

    /// The numbers of a site.
    ///
    /// # Panics
    /// When it is not bound; passes check that it is.
    fn placed(&self, i: usize) -> &Placed {
        self.sites[i].placed.as_ref().expect("a pass goes over bound sites")
    }

    fn tensor(&self, values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values, shape), device)
    }
}

/// Passes that were made.
static PASSES: AtomicU64 = AtomicU64::new(0);

/// Forward passes, of whole networks or parts of them, that this process has made so far.
pub fn passes() -> u64 {
    PASSES.load(Ordering::Relaxed)
}

/// Bytes that [`host`] has read.
static READ: AtomicU64 = AtomicU64::new(0);

/// Bytes of tensors that networks of this process have read into its memory so far: on a graphics card, what was copied from
/// there.
pub fn bytes_read() -> u64 {
    READ.load(Ordering::Relaxed)
}

/// The numbers of a tensor: the one place where networks, and what trains them, read a device.
///
/// # Errors
/// [`ModelError::Device`] when the device fails.
pub fn host<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, ModelError> {
    let numbers = into_numbers(tensor).map_err(ModelError::Device)?;
    READ.fetch_add(size_of_val(&numbers[..]) as u64, Ordering::Relaxed);
    Ok(numbers)
}

fn lost(what: &str) -> ModelError {
    ModelError::Device(format!("no gradient arrived at {what}"))
}
