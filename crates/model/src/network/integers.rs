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

/// How a matrix's integers would lie on the device.
#[derive(Clone, Debug, PartialEq)]
struct Layout {
    width: Width,
    /// Each output's integers in whole words, the first in the lowest bits.
    words: Vec<u8>,
    /// The scales that the device multiplies in: one for all, or one for each group of inputs, an output's together.
    held: Vec<f32>,
    /// Inputs of a group; none where there is one scale.
    group: Option<u8>,
}

impl Layout {
    /// The layout; `None` where it does not work or takes no fewer bytes than floats (see [`Integers::place`]).
    fn of(matrix: &Matrix) -> Option<Self> {
        if matrix.outliers().is_some() {
            return None;
        }
        let (inputs, outputs) = (matrix.inputs(), matrix.outputs());
        let (integers, scales) = (offsets(matrix)?, matrix.scales()?);
        let width = Width::of(&integers)?;
        let (held, group) = match scales {
            Scales::Tensor(scale) => (vec![*scale], None),
            Scales::Channel(_) | Scales::Row(_) => (vec![1.0], None),
            Scales::Group { size, scales } => {
                if *size == 0 || !usize::from(*size).is_multiple_of(width.per_word()) {
                    return None;
                }
                let groups = scales.len() / outputs.max(1);
                let of_output = |j| (0..groups).map(move |g| scales[g * outputs + j]);
                ((0..outputs).flat_map(of_output).collect(), Some(*size))
            }
        };
        let apart = match scales {
            Scales::Channel(scales) | Scales::Row(scales) => scales.len(),
            _ => 0,
        };
        let words = width.pack(&integers, (inputs, outputs));
        let bytes = words.len() + (held.len() + apart) * size_of::<f32>();
        (bytes < inputs * outputs * size_of::<f32>()).then_some(Self { width, words, held, group })
    }
}

impl Integers {
    /// Puts a matrix on the device as integers, less their zero points. `None` where that does not work, or takes
    /// no fewer bytes than floats: for floats, for integers with outliers (weights that are floats), for integers (less
    /// their zero points) beyond `±127`, and for groups of inputs that share a scale but do not fill whole words of 4 or
    /// 8 inputs.
    pub(super) fn place(matrix: &Matrix, device: &Device) -> Option<Self> {
        let Layout { width, words: mut bytes, held, group } = Layout::of(matrix)?;
        let (inputs, outputs) = (matrix.inputs(), matrix.outputs());
        let scheme = QuantScheme::default()
            .with_value(width.value())
            // Counted from the innermost dimension: along the inputs.
            .with_store(QuantStore::PackedU32(1));
        let scheme = match group {
            None => scheme.per_tensor(ScaleDtype::F32),
            Some(size) => scheme.per_block([size, 1], ScaleDtype::F32),
        };
        held.iter().for_each(|scale| bytes.extend(scale.to_ne_bytes()));
        let padded = inputs.next_multiple_of(width.per_word());
        let data =
            TensorData::from_bytes(Bytes::from_bytes_vec(bytes), [padded, outputs], DType::QFloat(scheme));
        let line = |scales: &Vec<f32>| -> Tensor<2> {
            Tensor::from_data(TensorData::new(scales.clone(), [1, scales.len()]), device)
        };
        let scales = matrix.scales()?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::Seed;
    use nlpress_packed::{Grid, Index, Per};

    /// Random integers of a grid up to `most`, both ends among them, with zero points of `point` where there is one.
    fn matrix(
        (inputs, outputs): (usize, usize),
        grid: Grid,
        per: Per,
        most: i32,
        point: Option<i8>,
    ) -> Matrix {
        let mut rng = Seed(8).stream(inputs as u64);
        let mut number = || f64::from(2.0 * rng.uniform() - 1.0);
        let mut q: Vec<i32> = (0..inputs * outputs)
            .map(|_| grid.nearest(f64::from(most) * number()).clamp(-most, most))
            .collect();
        (q[0], q[1]) = (most, -most);
        let count = per.scales(inputs, outputs);
        let scales = Scales::of(per, (0..count).map(|n| 0.01 + n as f32 * 0.003).collect());
        match point {
            Some(point) => Matrix::affine((inputs, outputs), grid, &q, scales, vec![point; count]),
            None => Matrix::quantized((inputs, outputs), grid, &q, scales, None, Index::Full),
        }
        .unwrap()
    }

    /// What the words of a layout say, times the scales: `[inputs, outputs]`.
    fn read(layout: &Layout, of: &Matrix) -> Vec<f32> {
        let (inputs, outputs) = (of.inputs(), of.outputs());
        let (per_word, bits) = (layout.width.per_word(), 32 / layout.width.per_word());
        let words_of_an_output = inputs.div_ceil(per_word);
        let mut all = vec![0.0; inputs * outputs];
        for (at, x) in all.iter_mut().enumerate() {
            let (i, j) = (at / outputs, at % outputs);
            let word = 4 * (j * words_of_an_output + i / per_word);
            let word = i32::from_ne_bytes(layout.words[word..word + 4].try_into().unwrap());
            let first = (i % per_word * bits) as u32;
            let integer = word << (32 - bits as u32 - first) >> (32 - bits);
            let held = match layout.group {
                None => layout.held[0],
                Some(size) => layout.held[j * inputs.div_ceil(size.into()) + i / usize::from(size)],
            };
            *x = integer as f32 * held;
            match of.scales() {
                Some(Scales::Channel(scales)) => *x *= scales[j],
                Some(Scales::Row(scales)) => *x *= scales[i],
                _ => {}
            }
        }
        all
    }

    #[test]
    fn words_hold_the_matrix_where_a_device_can_multiply_them() {
        for (grid, per, most, point, held) in [
            (Grid::Int8, Per::Tensor, 127, None, Some(Width::Eight)),
            (Grid::Int8, Per::Channel, 127, None, Some(Width::Eight)),
            (Grid::Int8, Per::Row, 127, None, Some(Width::Eight)),
            (Grid::Int8, Per::Group(4), 127, None, Some(Width::Eight)),
            (Grid::Int8, Per::Group(16), 127, None, Some(Width::Eight)),
            (Grid::Int8, Per::Group(6), 127, None, None),
            (Grid::Int8, Per::Channel, 100, Some(-27), Some(Width::Eight)),
            (Grid::Int8, Per::Channel, 100, Some(28), None),
            (Grid::Int4, Per::Tensor, 7, None, Some(Width::Four)),
            (Grid::Int4, Per::Row, 7, None, Some(Width::Four)),
            (Grid::Int4, Per::Group(8), 7, None, Some(Width::Four)),
            (Grid::Int4, Per::Group(4), 7, None, None),
            (Grid::Int4, Per::Group(4), 7, Some(-8), Some(Width::Eight)),
            (Grid::Int3, Per::Channel, 3, Some(1), Some(Width::Four)),
            (Grid::Ternary, Per::Channel, 1, None, Some(Width::Four)),
            (Grid::Binary, Per::Tensor, 1, None, Some(Width::Four)),
            (Grid::Int16, Per::Channel, 32767, None, None),
        ] {
            for shape in [(11, 24), (24, 16), (16, 3)] {
                let matrix = matrix(shape, grid, per, most, point);
                let layout = Layout::of(&matrix);
                let case = format!("{shape:?} {grid:?} {per:?} ±{most} {point:?}");
                assert_eq!(layout.as_ref().map(|l| l.width), held, "{case}");
                if let Some(layout) = layout {
                    for (a, b) in read(&layout, &matrix).iter().zip(matrix.unpack()) {
                        assert!((a - b).abs() <= 1e-6 * b.abs(), "{case}: {a} {b}");
                    }
                }
            }
        }
        // Three integers and a scale for their output take as many bytes as three floats.
        assert_eq!(Layout::of(&matrix((3, 1), Grid::Int8, Per::Channel, 127, None)), None);
    }
}
