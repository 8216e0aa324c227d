//! One row of activations times a matrix, plus a bias.
//!
//! The rules, which training code mirrors:
//! - **f32**: `y = x · W + b`. Paths (portable, AVX2, NEON) may differ in rounding.
//! - **f16**, **bf16**: as f32, of the values as they were rounded.
//! - **int8** and narrower: the row is quantized to `q` with scale `s` by [`quantize_row`](crate::quantize_row) at
//!   127 levels; `acc_j = Σ q_i · w_ij` in 32-bit integers; `y_j = acc_j as f32 * (s * scale_j) + b_j`, each
//!   operation rounded to single precision, nothing fused.
//! - **int32**, **int16**: the same, with 32767 levels and 64-bit sums.
//! - A **scale for each row** of the weight is multiplied into the activations before they are quantized:
//!   `y_j = acc_j as f32 * s + b_j`.
//! - **Scales for groups** of inputs: `y_j = b_j`, then for each group `y_j += acc_j as f32 * (s * scale_gj)`, in the
//!   order in which the row visits the groups.
//! - **Zero points**: `acc_j` loses `z_j · Σ q_i`, in integers, before it becomes a float.
//! - **Static activations**: `s` is the matrix's own, by [`quantize_row_at`](crate::quantize_row_at).
//!
//! A row of zeros gives the bias. Integer results are the same on every path. The values of a row that is given
//! as sparse are quantized as they are; entries that it leaves out are zeros, so both forms agree.

use crate::body::{Body, Element, Held, SPARE};
use crate::kernels::{Kernels, LANES, Set, with_kernels};
use crate::matrix::Store;
use crate::quantize::quantize_at;
use crate::quantized::Quantized;
use crate::{Matrix, Scales};

/// Why a form of another kind is a bug.
const WHOLE: &str = "only called for panels and tiles";
/// A multiple of what all types of panels have for a group.
pub(crate) const WHOLE_GROUPS: usize = 32;

/// One row of activations.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The non-zeros: `columns[i]` holds `values[i]`, no column twice.
    Sparse {
        /// Positions in the row, each less than the matrix's inputs.
        columns: &'a [u32],
        /// As many values.
        values: &'a [f32],
    },
    /// All entries; zeros are skipped.
    Dense(&'a [f32]),
}

/// Memory for intermediate results, to be used again: after the first row of a kind nothing is allocated.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    pub(crate) columns: Vec<u32>,
    values: Vec<f32>,
    pub(crate) levels: Vec<i32>,
    weighted: Vec<f32>,
    row: Vec<f32>,
    pub(crate) bytes: Vec<i8>,
    words: Vec<i32>,
    sums_f32: Vec<f32>,
    pub(crate) sums_i32: Vec<i32>,
    sums_i64: Vec<i64>,
}

impl Matrix {
    /// `out = input · W + bias`, by the rules of this module.
    ///
    /// # Panics
    /// When `bias` or `out` do not have as many entries as the matrix has outputs, a dense input not as many as
    /// it has inputs, or a sparse one a column beyond them: mistakes of the caller.
    pub fn multiply(&self, input: Input<'_>, bias: &[f32], out: &mut [f32], scratch: &mut Scratch) {
        assert_eq!(bias.len(), self.outputs, "one bias for each output");
        assert_eq!(out.len(), self.outputs, "one place for each output");
        with_kernels!(Set::best(), kernels => self.multiply_with(kernels, input, bias, out, scratch));
    }

    pub(crate) fn multiply_with(
        &self,
        kernels: impl Kernels,
        input: Input<'_>,
        bias: &[f32],
        out: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let row = match input {
            Input::Sparse { columns, values } => {
                assert_eq!(columns.len(), values.len(), "one value for each column");
                Row { columns, values }
            }
            Input::Dense(row) => {
                assert_eq!(row.len(), self.inputs, "one activation for each input");
                if self.outputs == 1 && self.multiply_column(kernels, row, bias, out, scratch) {
                    return;
                }
                if matches!(self.held(), Held::Panels | Held::Tiles) {
                    return self.multiply_whole(kernels, row, bias, out, scratch);
                }
                let columns = room(&mut scratch.columns, row.len() + LANES);
                let values = room(&mut scratch.values, row.len() + LANES);
                let n = kernels.compress(row, columns, values);
                Row { columns: &scratch.columns[..n], values: &scratch.values[..n] }
            }
        };
        let Row { columns, values } = row;
        match &self.store {
            Store::Floats(body, _) => {
                let sums = room(&mut scratch.sums_f32, body.width(self.outputs));
                match body {
                    Body::Rows { values: w, stride: 1, .. } => {
                        sums[0] = gather(columns, values, w, |x, w| x * w);
                    }
                    Body::Rows { values: w, stride, .. } => {
                        kernels.rows_f32(w, *stride, columns, values, sums);
                    }
                    Body::Lists(lists) => kernels.lists_f32(lists, columns, values, sums),
                    Body::Strips(strips) => kernels.strips_f32(strips, columns, values, sums),
                    Body::Panels(panels) => {
                        let row = spread(&mut scratch.row, row, values, |x| x, self.inputs);
                        kernels.panels_f32(panels, row, sums);
                    }
                    Body::Tiles(tiles) => {
                        let row = spread(&mut scratch.row, row, values, |x| x, self.inputs);
                        kernels.tiles_f32(tiles, row, sums);
                    }
                }
                add_bias(sums, bias, out);
            }
            Store::Bytes(body, means) => {
                let values = means.weighted(columns, values, &mut scratch.weighted);
                let levels = room(&mut scratch.levels, values.len());
                let s = means.quantize(kernels, values, levels);
                let sums = room(&mut scratch.sums_i32, body.width(self.outputs));
                if let (Scales::Group { size, .. }, Body::Rows { values: w, stride, .. }) =
                    (&means.scales, body)
                {
                    out.copy_from_slice(bias);
                    let size = u32::from(*size);
                    let (mut columns, mut levels): (&[u32], &[i32]) = (columns, levels);
                    while let Some(&first) = columns.first() {
                        let group = first / size;
                        let end = columns.iter().position(|c| c / size != group).unwrap_or(columns.len());
                        let (run, run_levels) = (&columns[..end], &levels[..end]);
                        (columns, levels) = (&columns[end..], &levels[end..]);
                        match stride {
                            1 => sums[0] = gather(run, run_levels, w, |x, w| x * i32::from(w)),
                            _ => kernels.rows_i8(w, *stride, run, run_levels, sums),
                        }
                        means.add_group(group as usize, sums, run_levels, s, out);
                    }
                    return;
                }
                match body {
                    Body::Rows { values: w, stride: 1, .. } => {
                        sums[0] = gather(columns, levels, w, |x, w| x * i32::from(w));
                    }
                    Body::Rows { values: w, stride, .. } => {
                        kernels.rows_i8(w, *stride, columns, levels, sums);
                    }
                    Body::Lists(lists) => kernels.lists_i8(lists, columns, levels, sums),
                    Body::Strips(strips) => kernels.strips_i8(strips, columns, levels, sums),
                    Body::Panels(panels) => {
                        let row = spread(&mut scratch.bytes, row, levels, |x| x as i8, self.inputs);
                        kernels.panels_i8(panels, row, sums);
                    }
                    Body::Tiles(tiles) => {
                        let row = spread(&mut scratch.bytes, row, levels, |x| x as i8, self.inputs);
                        kernels.tiles_i8(tiles, row, sums);
                    }
                }
                let taken = means.taken(columns.iter().zip(&*levels).map(|(&c, &q)| (c as usize, q)));
                means.rescale(sums, |sum| sum as f32, (s, taken), bias, out);
            }
            Store::Words(body, means) => {
                let levels = room(&mut scratch.levels, values.len());
                let s = means.quantize(kernels, values, levels);
                let sums = room(&mut scratch.sums_i64, body.width(self.outputs));
                match body {
                    Body::Rows { values: w, stride, .. } => {
                        kernels.rows_i32(w, *stride, columns, levels, sums);
                    }
                    Body::Lists(lists) => kernels.lists_i32(lists, columns, levels, sums),
                    Body::Strips(strips) => kernels.strips_i32(strips, columns, levels, sums),
                    Body::Panels(panels) => {
                        let row = spread(&mut scratch.words, row, levels, |x| x, self.inputs);
                        kernels.panels_i32(panels, row, sums);
                    }
                    Body::Tiles(tiles) => {
                        let row = spread(&mut scratch.words, row, levels, |x| x, self.inputs);
                        kernels.tiles_i32(tiles, row, sums);
                    }
                }
                means.rescale(sums, |sum| sum as f32, (s, None), bias, out);
            }
        }
    }

    /// A dense row times a form that takes it as it is.
    fn multiply_whole(
        &self,
        kernels: impl Kernels,
        row: &[f32],
        bias: &[f32],
        out: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let inputs = self.inputs.next_multiple_of(WHOLE_GROUPS);
        match &self.store {
            Store::Floats(body, _) => {
                let sums = room(&mut scratch.sums_f32, self.outputs.next_multiple_of(LANES));
                let row = if inputs == row.len() {
                    row
                } else {
                    let filled = room(&mut scratch.row, inputs);
                    filled[..row.len()].copy_from_slice(row);
                    filled[row.len()..].fill(0.0);
                    filled
                };
                match body {
                    Body::Panels(panels) => kernels.panels_f32(panels, row, sums),
                    Body::Tiles(tiles) => kernels.tiles_f32(tiles, row, sums),
                    _ => unreachable!("{WHOLE}"),
                }
                add_bias(sums, bias, out);
            }
            Store::Bytes(body, means) => {
                let row = means.weighted_row(row, &mut scratch.weighted);
                let levels = room(&mut scratch.levels, row.len());
                let s = means.quantize(kernels, row, levels);
                let bytes = room(&mut scratch.bytes, inputs);
                kernels.narrow(levels, bytes);
                bytes[row.len()..].fill(0);
                let sums = room(&mut scratch.sums_i32, self.outputs.next_multiple_of(LANES));
                match body {
                    Body::Panels(panels) => kernels.panels_i8(panels, bytes, sums),
                    Body::Tiles(tiles) => kernels.tiles_i8(tiles, bytes, sums),
                    _ => unreachable!("{WHOLE}"),
                }
                let taken = means.taken(levels.iter().copied().enumerate());
                means.rescale(sums, |sum| sum as f32, (s, taken), bias, out);
            }
            Store::Words(body, means) => {
                let levels = room(&mut scratch.levels, inputs);
                let s = means.quantize(kernels, row, levels);
                levels[row.len()..].fill(0);
                let sums = room(&mut scratch.sums_i64, self.outputs.next_multiple_of(LANES));
                match body {
                    Body::Panels(panels) => kernels.panels_i32(panels, levels, sums),
                    Body::Tiles(tiles) => kernels.tiles_i32(tiles, levels, sums),
                    _ => unreachable!("{WHOLE}"),
                }
                means.rescale(sums, |sum| sum as f32, (s, None), bias, out);
            }
        }
    }
}

/// What zero points take off every sum: the same of each, or each output's own zero point times a total.
#[derive(Clone, Copy)]
enum Taken<'a> {
    Same(i64),
    Points(&'a [i8], i64),
}

impl Quantized {
    /// The activations as integers, and their scale.
    fn quantize(&self, kernels: impl Kernels, values: &[f32], levels: &mut [i32]) -> f32 {
        let most = self.grid.activation_levels();
        match self.activations {
            None => kernels.quantize(values, most, levels),
            Some(scale) => {
                quantize_at(values, scale, most, levels);
                scale
            }
        }
    }

    /// The activations of these columns times the scales of the weight's rows, where rows have them.
    fn weighted<'a>(&self, columns: &[u32], values: &'a [f32], scratch: &'a mut Vec<f32>) -> &'a [f32] {
        let Scales::Row(scales) = &self.scales else { return values };
        scratch.clear();
        scratch.extend(columns.iter().zip(values).map(|(&c, x)| x * scales[c as usize]));
        scratch
    }

    /// As [`weighted`](Quantized::weighted), of a row without gaps.
    fn weighted_row<'a>(&self, row: &'a [f32], scratch: &'a mut Vec<f32>) -> &'a [f32] {
        let Scales::Row(scales) = &self.scales else { return row };
        scratch.clear();
        scratch.extend(row.iter().zip(scales).map(|(x, scale)| x * scale));
        scratch
    }

    /// What the zero points take off, from each input's activation; not for groups.
    fn taken(&self, levels: impl Iterator<Item = (usize, i32)>) -> Option<Taken<'_>> {
        let points = self.zero_points.as_deref()?;
        Some(match self.scales {
            Scales::Row(_) => Taken::Same(levels.map(|(i, q)| i64::from(q) * i64::from(points[i])).sum()),
            Scales::Tensor(_) => {
                Taken::Same(levels.map(|(_, q)| i64::from(q)).sum::<i64>() * i64::from(points[0]))
            }
            _ => Taken::Points(points, levels.map(|(_, q)| i64::from(q)).sum()),
        })
    }

    /// `out_j = sum_j · (s · scale_j) + b_j`, where `sum_j` has lost what zero points take.
    fn rescale<S: Copy + Into<i64>>(
        &self,
        sums: &[S],
        float: impl Fn(S) -> f32,
        (s, taken): (f32, Option<Taken<'_>>),
        bias: &[f32],
        out: &mut [f32],
    ) {
        let sums = &sums[..out.len()];
        match taken {
            None => self.rescale_by(|j| float(sums[j]), s, bias, out),
            Some(Taken::Same(all)) => self.rescale_by(|j| (sums[j].into() - all) as f32, s, bias, out),
            Some(Taken::Points(points, total)) => {
                let sum = |j: usize| (sums[j].into() - i64::from(points[j]) * total) as f32;
                self.rescale_by(sum, s, bias, out);
            }
        }
    }

    #[inline(always)]
    fn rescale_by(&self, sum: impl Fn(usize) -> f32, s: f32, bias: &[f32], out: &mut [f32]) {
        let places = out.iter_mut().zip(bias).enumerate();
        match &self.scales {
            Scales::Tensor(scale) => places.for_each(|(j, (out, b))| *out = sum(j) * (s * scale) + b),
            Scales::Channel(scales) => {
                places.zip(scales).for_each(|((j, (out, b)), scale)| *out = sum(j) * (s * scale) + b);
            }
            Scales::Row(_) => places.for_each(|(j, (out, b))| *out = sum(j) * s + b),
            Scales::Group { .. } => unreachable!("groups are added one by one"),
        }
    }

    /// Adds the sums of one group of inputs.
    fn add_group(&self, group: usize, sums: &[i32], levels: &[i32], s: f32, out: &mut [f32]) {
        let first = group * out.len();
        let scales = &self.scales.all()[first..][..out.len()];
        match &self.zero_points {
            None => {
                for ((out, &sum), scale) in out.iter_mut().zip(sums).zip(scales) {
                    *out += sum as f32 * (s * scale);
                }
            }
            Some(points) => {
                let total: i64 = levels.iter().map(|q| i64::from(*q)).sum();
                let points = &points[first..][..scales.len()];
                for (((out, &sum), scale), z) in out.iter_mut().zip(sums).zip(scales).zip(points) {
                    *out += (i64::from(sum) - i64::from(*z) * total) as f32 * (s * scale);
                }
            }
        }
    }
}

/// The activations that are not zero.
#[derive(Clone, Copy)]
struct Row<'a> {
    columns: &'a [u32],
    values: &'a [f32],
}

/// A row with its zeros, filled up to whole groups of panels; `numbers` stand for its values.
fn spread<'a, X: Copy, Y: Copy + Default>(
    room_for: &'a mut Vec<Y>,
    row: Row<'_>,
    numbers: &[X],
    as_number: impl Fn(X) -> Y,
    inputs: usize,
) -> &'a [Y] {
    let spread = room(room_for, inputs.next_multiple_of(WHOLE_GROUPS));
    spread.fill(Y::default());
    for (&column, &x) in row.columns.iter().zip(numbers) {
        spread[..inputs][column as usize] = as_number(x);
    }
    spread
}

fn add_bias(sums: &[f32], bias: &[f32], out: &mut [f32]) {
    for ((out, sum), b) in out.iter_mut().zip(sums).zip(bias) {
        *out = *sum + b;
    }
}

impl Matrix {
    /// A dense row times a matrix of one column, which is a vector; false where there is no shortcut.
    fn multiply_column(
        &self,
        kernels: impl Kernels,
        row: &[f32],
        bias: &[f32],
        out: &mut [f32],
        scratch: &mut Scratch,
    ) -> bool {
        match &self.store {
            Store::Floats(Body::Rows { values, .. }, _) => out[0] = kernels.dot(row, values) + bias[0],
            Store::Bytes(Body::Rows { values, .. }, means)
                if !matches!(means.scales, Scales::Group { .. }) =>
            {
                let row = means.weighted_row(row, &mut scratch.weighted);
                let levels = room(&mut scratch.levels, row.len());
                let s = means.quantize(kernels, row, levels);
                let taken = means.taken(levels.iter().copied().enumerate());
                means.rescale(&[kernels.dot_i8(levels, values)], |sum| sum as f32, (s, taken), bias, out);
            }
            _ => return false,
        }
        true
    }
}

impl<T: Element> Body<T> {
    /// How many sums the kernels need: the columns in memory.
    fn width(&self, outputs: usize) -> usize {
        match self {
            Body::Rows { stride, .. } => *stride,
            Body::Lists(_) => outputs + SPARE,
            Body::Strips(_) | Body::Panels(_) | Body::Tiles(_) => outputs.next_multiple_of(LANES),
        }
    }
}

/// The product of a sparse row and a vector.
fn gather<X: Copy, W: Copy, S: std::iter::Sum>(
    columns: &[u32],
    values: &[X],
    weights: &[W],
    product: impl Fn(X, W) -> S,
) -> S {
    columns.iter().zip(values).map(|(&column, &x)| product(x, weights[column as usize])).sum()
}

/// Room for `count` numbers, which may be anything.
pub(crate) fn room<T: Copy + Default>(numbers: &mut Vec<T>, count: usize) -> &mut [T] {
    if numbers.len() < count {
        numbers.resize(count, T::default());
    }
    &mut numbers[..count]
}
