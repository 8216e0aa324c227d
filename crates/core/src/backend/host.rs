//! Operations of ours in burn's graph, on the CPU backends.
//!
//! A tensor there is plain memory. So an operation that burn lacks, or has in many small ones, can be a function on
//! slices with its derivative beside it: [`apply`] gives it the numbers of its inputs without a copy, records it in burn's
//! graph where one of them is tracked, and hands the derivative on.

use std::fmt::Debug;
use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, DispatchKindConversion, DispatchTensor, TensorMetadata, try_read_sync,
};
use burn::tensor::{Shape, Tensor, TensorData};
use std::borrow::Cow;

use super::BackendKind;

/// An operation on `N` matrices that makes one, in plain memory, with its derivative.
pub trait HostOperation<const N: usize>: Debug + Send + Sync + 'static {
    /// What the derivative needs besides the numbers that went in and came out.
    type State: Debug + Send + Sync + 'static;

    /// Computes the operation. What only the derivative needs may be left out unless it is `tracked`.
    fn forward(&self, inputs: [&[f32]; N], tracked: bool) -> Computed<Self::State>;

    /// The derivative by each input that is wanted, as long as the input, of what [`forward`](HostOperation::forward) made,
    /// by which the derivative is `upstream`, borrowed where others hold it too.
    fn backward(
        &self,
        inputs: [&[f32]; N],
        computed: (&[f32], &Self::State),
        upstream: Cow<'_, [f32]>,
        wanted: [bool; N],
    ) -> [Option<Vec<f32>>; N];
}

/// What an operation made.
#[derive(Debug)]
pub struct Computed<S> {
    /// The numbers, row by row.
    pub numbers: Vec<f32>,
    /// Rows and columns.
    pub shape: [usize; 2],
    /// What the derivative needs.
    pub state: S,
}

/// A backend whose tensors lie in memory of the process.
trait Host: Backend {
    /// The numbers where they lie, if they lie row by row.
    fn numbers(tensor: &FloatTensor<Self>) -> Option<&[f32]>;

    /// Whether nobody else holds the numbers.
    fn is_only(tensor: &FloatTensor<Self>) -> bool;
}

/// burn prefers flex; nlpress keeps ndarray for as long as burn ships it.
#[cfg(feature = "ndarray")]
#[allow(deprecated)]
type NdArray = burn::backend::NdArray;

#[cfg(feature = "ndarray")]
impl Host for NdArray {
    #[allow(deprecated)] // as above
    fn numbers(tensor: &FloatTensor<Self>) -> Option<&[f32]> {
        match tensor {
            burn::backend::ndarray::NdArrayTensor::F32(storage) => storage.view().to_slice(),
            _ => None,
        }
    }

    #[allow(deprecated)] // as above
    fn is_only(tensor: &FloatTensor<Self>) -> bool {
        matches!(tensor, burn::backend::ndarray::NdArrayTensor::F32(storage) if storage.is_unique())
    }
}

#[cfg(feature = "flex")]
impl Host for burn::backend::Flex {
    fn numbers(tensor: &FloatTensor<Self>) -> Option<&[f32]> {
        tensor.as_slice::<f32>()
    }

    fn is_only(tensor: &FloatTensor<Self>) -> bool {
        tensor.is_unique()
    }
}

/// Runs an operation on tensors of a CPU backend, all of them with a graph or none.
///
/// # Panics
/// When the tensors are on no CPU backend of this build, or do not all have a graph or none.
pub fn apply<const N: usize, O: HostOperation<N>>(
    kind: BackendKind,
    operation: O,
    inputs: [Tensor<2>; N],
) -> Tensor<2> {
    match kind {
        #[cfg(feature = "ndarray")]
        BackendKind::Ndarray => on::<NdArray, N, O>(operation, inputs),
        #[cfg(feature = "flex")]
        BackendKind::Flex => on::<burn::backend::Flex, N, O>(operation, inputs),
        #[allow(unreachable_patterns)] // reachable only when a backend is left out of the build
        _ => {
            let _ = (operation, inputs);
            panic!("backend {kind} has no memory of this process")
        }
    }
}

#[allow(dead_code)] // used where a CPU backend is in the build
fn on<B: Host, const N: usize, O: HostOperation<N>>(operation: O, inputs: [Tensor<2>; N]) -> Tensor<2>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
{
    if !inputs[0].device().is_autodiff() {
        let inputs =
            inputs.map(|x| x.try_into_primitive::<B>().expect("all are plain tensors of the backend"));
        return Tensor::from_primitive::<B>(computed::<B, N, O>(&operation, &inputs, false).0);
    }
    let mut nodes = Vec::with_capacity(N);
    let inputs = inputs.map(|x| {
        let x = x.try_into_primitive::<Autodiff<B>>().expect("all are tensors of the backend with a graph");
        let (numbers, node) = x.into_parts();
        nodes.push(node);
        numbers
    });
    let nodes = nodes.try_into().expect("there is a node for each input");
    let (made, state) = computed::<B, N, O>(&operation, &inputs, true);
    let made = match Recorded(std::marker::PhantomData::<O>)
        .prepare::<NoCheckpointing>(nodes)
        .compute_bound()
        .stateful()
    {
        OpsKind::UnTracked(prepared) => prepared.finish(made),
        OpsKind::Tracked(prepared) => {
            let record = Record { operation, inputs, made: made.clone(), state };
            prepared.finish(Arc::new(record), made)
        }
    };
    Tensor::from_primitive::<Autodiff<B>>(made)
}

fn computed<B: Host, const N: usize, O: HostOperation<N>>(
    operation: &O,
    inputs: &[FloatTensor<B>; N],
    tracked: bool,
) -> (FloatTensor<B>, O::State) {
    let device = inputs[0].device();
    let inputs = inputs.each_ref().map(read::<B>);
    let Computed { numbers, shape, state } = operation.forward(inputs.each_ref().map(|x| &**x), tracked);
    (B::float_from_data(TensorData::new(numbers, shape), &device), state)
}

/// Calls `f` with the numbers of a tensor: where they lie, if that is in memory of this process.
///
/// # Panics
/// When the tensor's device fails.
pub fn with_numbers<const D: usize, R>(tensor: &Tensor<D>, f: impl FnOnce(&[f32]) -> R) -> R {
    let tensor = tensor.clone().without_autodiff();
    match BackendKind::of(&tensor.device()) {
        #[cfg(feature = "ndarray")]
        BackendKind::Ndarray => f(&read::<NdArray>(&primitive::<NdArray, D>(tensor))),
        #[cfg(feature = "flex")]
        BackendKind::Flex => f(&read::<burn::backend::Flex>(&primitive::<burn::backend::Flex, D>(tensor))),
        #[allow(unreachable_patterns)] // reachable only when a backend is left out of the build
        _ => f(&into_numbers(tensor).expect("the device can be read")),
    }
}

/// The numbers of a tensor, without a copy if they are in memory of this process and nobody else holds them.
///
/// # Errors
/// Why the device failed.
pub fn into_numbers<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, String> {
    let tensor = tensor.without_autodiff();
    match BackendKind::of(&tensor.device()) {
        #[cfg(feature = "ndarray")]
        BackendKind::Ndarray => Ok(numbers_of::<NdArray>(primitive::<NdArray, D>(tensor))),
        #[cfg(feature = "flex")]
        BackendKind::Flex => {
            Ok(numbers_of::<burn::backend::Flex>(primitive::<burn::backend::Flex, D>(tensor)))
        }
        #[allow(unreachable_patterns)] // as above
        _ => {
            let data = tensor.try_into_data().map_err(|e| e.to_string())?;
            data.try_into_vec::<f32>().map_err(|e| format!("{e:?}"))
        }
    }
}

/// Numbers that are not worth writing where others lie: a new place costs less than taking the old one.
const FEW: usize = 1 << 14;

/// A tensor of the same shape and device without a graph, with other numbers; where they are many, they are written where
/// the old ones lie if that is in memory of this process and nobody else holds those.
///
/// # Panics
/// When there are not as many numbers.
pub fn overwritten<const D: usize>(tensor: Tensor<D>, numbers: &[f32]) -> Tensor<D> {
    let tensor = tensor.without_autodiff();
    let (shape, device) = (tensor.dims(), tensor.device());
    let is_here = numbers.len() > FEW && BackendKind::of(&device).is_cpu();
    let mut own = if is_here { into_numbers(tensor).unwrap_or_default() } else { Vec::new() };
    if own.is_empty() {
        own = numbers.to_vec();
    } else {
        own.copy_from_slice(numbers);
    }
    Tensor::from_data(TensorData::new(own, shape), &device)
}

#[allow(dead_code)] // used where a CPU backend is in the build
fn primitive<B: Host, const D: usize>(tensor: Tensor<D>) -> FloatTensor<B>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    tensor.try_into_primitive::<B>().expect("the tensor is on its device's backend, without a graph")
}

/// The numbers row by row, copied at once where others hold them too.
#[allow(dead_code)] // as above
fn numbers_of<B: Host>(tensor: FloatTensor<B>) -> Vec<f32> {
    if B::is_only(&tensor) { taken::<B>(tensor) } else { read::<B>(&tensor).into_owned() }
}

/// The numbers row by row, where they lie if they can be had there.
fn read<B: Host>(tensor: &FloatTensor<B>) -> Cow<'_, [f32]> {
    B::numbers(tensor).map_or_else(|| taken::<B>(tensor.clone()).into(), Cow::Borrowed)
}

/// The numbers row by row, without a copy where nobody else holds them.
fn taken<B: Host>(tensor: FloatTensor<B>) -> Vec<f32> {
    let data = try_read_sync(B::float_into_data(tensor)).expect("memory of this process can be read at once");
    data.expect("memory of this process can be read").try_into_vec().expect("tensors are of 32-bit floats")
}

/// An operation with what went in and came out.
struct Record<B: Host, const N: usize, O: HostOperation<N>> {
    operation: O,
    inputs: [FloatTensor<B>; N],
    made: FloatTensor<B>,
    state: O::State,
}

impl<B: Host, const N: usize, O: HostOperation<N>> Debug for Record<B, N, O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.operation.fmt(f)
    }
}

/// The step of an operation in burn's graph.
#[derive(Debug)]
struct Recorded<O>(std::marker::PhantomData<O>);

impl<B: Host, const N: usize, O: HostOperation<N>> Backward<B, N> for Recorded<O> {
    type State = Arc<Record<B, N, O>>;

    fn backward(self, ops: Ops<Self::State, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let arrived = gradients.consume::<B>(&ops.node);
        let shared;
        let upstream = if B::is_only(&arrived) {
            Cow::Owned(taken::<B>(arrived))
        } else {
            shared = arrived;
            read::<B>(&shared)
        };
        let Record { operation, inputs, made, state } = &*ops.state;
        let (numbers, made) = (inputs.each_ref().map(read::<B>), read::<B>(made));
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let of = numbers.each_ref().map(|x| &**x);
        let derivatives = operation.backward(of, (&made, state), upstream, wanted);
        let device = inputs[0].device();
        for ((parent, derivative), input) in ops.parents.iter().zip(derivatives).zip(inputs) {
            if let Some((parent, derivative)) = parent.as_ref().zip(derivative) {
                let shape: Shape = input.shape();
                let derivative = B::float_from_data(TensorData::new(derivative, shape), &device);
                gradients.register::<B>(parent.id, derivative);
            }
        }
    }
}
