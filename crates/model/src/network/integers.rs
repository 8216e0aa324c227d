//! Weights that stay integers on the device, where burn can hold them so: on graphics cards.
//!
//! burn 0.22.1 has a quantized tensor: integers packed into 32-bit words, with one scale or one for each block.
//! What it does with them was tried on `wgpu` (Mesa's software driver for Vulkan), with symmetric integers of 8, 4 and
//! 2 bits, on 1000 × 128, 128 × 64, 64 × 1 and up to 40,000 inputs, against floats:
//!
//! - Words along the inputs work for every shape whose inputs fill whole words; missing ones are filled with zeros
//!   here. Words along the outputs panic at one output, and so does a store without words below 8 bits; with 8 bits
//!   its kernel does not compile.
//! - Unpacking is exact to the bit, for one scale and for blocks of whole words. A word across two blocks gets one
//!   scale for both, silently; and a block has at most 255 entries a side, too few for a column. So only groups become
//!   blocks; the scales of columns and rows are multiplied in here, with the outputs and the inputs.
//! - The product with 8 bits reads the words, equals the product with floats wherever it was tried, and is as fast.
//!   With 4 bits it takes up to 2.7 times as long and, silently, is wrong by a third to two thirds of the largest
//!   output at 16,000 inputs and more (right at 12,000); with 2 bits it panics when it wants more shared memory than
//!   there is. So 4 bits are held as integers and unpacked for each product, and fewer are held as 4.
//!
//! On the CPU burn unpacks for every product or panics, so weights are floats there.

use burn::tensor::quantization::{QuantScheme, QuantStore, QuantValue, ScaleDtype};
use burn::tensor::{Bytes, DType, Device, Tensor, TensorData};
use nlpress_packed::{Matrix, Scales};

/// The integers of a weight `[inputs, outputs]` on the device.
#[derive(Clone, Debug)]
pub(super) struct Integers {
    /// `[inputs, outputs]`, with inputs of zeros up to a whole number of words.
    words: Tensor<2>,
    inputs: usize,
    width: Width,
    /// `[1, inputs]`: one scale for each input, where there are such.
    rows: Option<Tensor<2>>,
    /// `[1, outputs]`: one for each output.
    columns: Option<Tensor<2>>,
}

/// How many bits an integer has on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    Four,
    Eight,
}

impl Integers {
    /// Puts a matrix on the device as integers, less their zero points. `None` where that does not work, or takes
    /// no fewer bytes than floats: for floats, for integers with outliers (weights that are floats), for integers (less
    /// their zero points) beyond `±127`, and for groups of inputs that share a scale but do not fill whole words of 4 or
    /// 8 inputs.
    pub(super) fn place(matrix: &Matrix, device: &Device) -> Option<Self> {
        if matrix.outliers().is_some() {
            return None;
        }
        let (inputs, outputs) = (matrix.inputs(), matrix.outputs());
        let (integers, scales) = (offsets(matrix)?, matrix.scales()?);
        let width = Width::of(&integers)?;
        let padded = inputs.next_multiple_of(width.per_word());
        let scheme = QuantScheme::default()
            .with_value(width.value())
            // Counted from the innermost dimension: along the inputs.
            .with_store(QuantStore::PackedU32(1));
        let (scheme, held): (_, Vec<f32>) = match scales {
            Scales::Tensor(scale) => (scheme.per_tensor(ScaleDtype::F32), vec![*scale]),
            Scales::Channel(_) | Scales::Row(_) => (scheme.per_tensor(ScaleDtype::F32), vec![1.0]),
            Scales::Group { size, scales } => {
                if *size == 0 || !usize::from(*size).is_multiple_of(width.per_word()) {
                    return None;
                }
                let groups = scales.len() / outputs.max(1);
                let of_output = |j| (0..groups).map(move |g| scales[g * outputs + j]);
                (scheme.per_block([*size, 1], ScaleDtype::F32), (0..outputs).flat_map(of_output).collect())
            }
        };
        let mut bytes = width.pack(&integers, (inputs, outputs));
        held.iter().for_each(|scale| bytes.extend(scale.to_ne_bytes()));
        let apart = match scales {
            Scales::Channel(scales) | Scales::Row(scales) => scales.len() * size_of::<f32>(),
            _ => 0,
        };
        if bytes.len() + apart >= inputs * outputs * size_of::<f32>() {
            return None;
        }
        let data =
            TensorData::from_bytes(Bytes::from_bytes_vec(bytes), [padded, outputs], DType::QFloat(scheme));
        let line = |scales: &Vec<f32>| -> Tensor<2> {
            Tensor::from_data(TensorData::new(scales.clone(), [1, scales.len()]), device)
        };
        let rows = if let Scales::Row(scales) = scales { Some(line(scales)) } else { None };
        let columns = if let Scales::Channel(scales) = scales { Some(line(scales)) } else { None };
        Some(Self { words: Tensor::from_data(data, device), inputs, width, rows, columns })
    }

    /// `[rows, inputs]` times the weight, without a graph.
    pub(super) fn product(&self, mut input: Tensor<2>) -> Tensor<2> {
        if let Some(rows) = &self.rows {
            input = input * rows.clone();
        }
        let [batch, inputs] = input.dims();
        let output = match self.width {
            Width::Four => input.matmul(self.unpacked()),
            Width::Eight => {
                let [padded, _] = self.words.dims();
                if padded > inputs {
                    let zeros = Tensor::zeros([batch, padded - inputs], &input.device());
                    input = Tensor::cat(vec![input, zeros], 1);
                }
                input.matmul(self.words.clone())
            }
        };
        match &self.columns {
            Some(columns) => output * columns.clone(),
            None => output,
        }
    }

    /// The weight as floats `[inputs, outputs]`: the numbers of [`Matrix::unpack`], made anew on the device.
    pub(super) fn floats(&self) -> Tensor<2> {
        let mut floats = self.unpacked();
        if let Some(rows) = &self.rows {
            floats = floats * rows.clone().transpose();
        }
        if let Some(columns) = &self.columns {
            floats = floats * columns.clone();
        }
        floats
    }

    /// The integers as floats, times the scales that are held with them.
    fn unpacked(&self) -> Tensor<2> {
        self.words.clone().dequantize().narrow(0, 0, self.inputs)
    }
}

impl Width {
    /// The fewest bits that hold all; `None` for more than 8.
    fn of(integers: &[i32]) -> Option<Self> {
        let largest = integers.iter().map(|q| q.unsigned_abs()).max().unwrap_or(0);
        match largest {
            0..=7 => Some(Self::Four),
            8..=127 => Some(Self::Eight),
            _ => None,
        }
    }

    fn value(self) -> QuantValue {
        match self {
            Self::Four => QuantValue::Q4S,
            Self::Eight => QuantValue::Q8S,
        }
    }

    fn per_word(self) -> usize {
        match self {
            Self::Four => 8,
            Self::Eight => 4,
        }
    }

    /// Integers `[inputs, outputs]` as burn wants the bytes: each output's inputs together, filled up with zeros to
    /// whole words, the first integer in the lowest bits of its word.
    fn pack(self, integers: &[i32], (inputs, outputs): (usize, usize)) -> Vec<u8> {
        let bits = 32 / self.per_word();
        let words = inputs.div_ceil(self.per_word());
        let mut bytes = Vec::with_capacity(words * outputs * size_of::<u32>());
        for output in 0..outputs {
            for word in 0..words {
                let first = word * self.per_word();
                let last = (first + self.per_word()).min(inputs);
                let packed = (first..last).fold(0_u32, |packed, input| {
                    let integer = integers[input * outputs + output] as u32 & ((1 << bits) - 1);
                    packed | integer << ((input - first) * bits)
                });
                bytes.extend(packed.to_ne_bytes());
            }
        }
        bytes
    }
}

/// The integers of a matrix less their zero points, `[inputs, outputs]`, zeros where nothing is stored; `None` for
/// floats.
fn offsets(matrix: &Matrix) -> Option<Vec<i32>> {
    let mut integers = matrix.integers()?;
    if let (Some(points), Some(scales)) = (matrix.zero_points(), matrix.scales()) {
        // Only matrices that store every entry have zero points.
        let outputs = matrix.outputs();
        for (at, q) in integers.iter_mut().enumerate() {
            let point = points[scales.place(at / outputs, at % outputs, outputs)];
            *q = q.saturating_sub(i32::from(point));
        }
    }
    Some(integers)
}
