//! What integers stand for, as a product needs it: activations become integers before it, and sums outputs after it, by
//! the rules of [`multiply`](crate::multiply).

use crate::aligned::Aligned;
use crate::isa::{Kernels, Rescale, Touched};
use crate::lanes::{GROUP, NARROW};
use crate::outliers::Apart;
use nlpress_packed::{Quantized, Scales};

/// What the integers of a weight stand for.
#[derive(Clone, Debug)]
pub(crate) struct Integers {
    pub(crate) quantized: Quantized,
    /// Whether all are small enough for [`Touched::narrow`].
    pub(crate) narrow: bool,
    /// The largest activation beside them.
    levels: i32,
    /// Of the outliers, one bit for each input up to the last of them.
    marks: Vec<u64>,
}

/// What zero points take off every sum: the same of each, or each output's own zero point times a total.
#[derive(Clone, Copy)]
pub(crate) enum Taken<'a> {
    Same(i64),
    Points(&'a [i8], i64),
}

/// The levels of a row without gaps, by input.
pub(crate) fn whole(levels: &[i8]) -> impl Iterator<Item = (usize, i32)> {
    levels.iter().map(|q| i32::from(*q)).enumerate()
}

/// The levels of some columns, by input; there may be more levels, which are zeros.
pub(crate) fn touched(columns: &[u32], levels: &[i8]) -> impl Iterator<Item = (usize, i32)> {
    columns.iter().zip(levels).map(|(c, q)| (*c as usize, i32::from(*q)))
}

/// `sums[c] = Σ levels[i] · weights[columns[i]][c]`.
#[inline]
pub(crate) fn rows_of(kernels: impl Kernels, rows: Touched<'_>, sums: &mut [i32]) {
    if rows.stride > 1 {
        return kernels.rows_i8(rows, sums);
    }
    let product = |(input, level): (usize, i32)| level * i32::from(rows.weights[input]);
    sums[0] = touched(rows.columns, rows.levels).map(product).sum();
}

impl Integers {
    pub(crate) fn new(quantized: Quantized) -> Self {
        let (least, most) = quantized.range();
        let marks = quantized.outliers.as_deref().map(Apart::marks).unwrap_or_default();
        let levels = quantized.grid.activation_levels();
        Self { narrow: most.max(-least) <= NARROW, levels, marks, quantized }
    }

    /// The inputs that are not integers, where there are any.
    pub(crate) fn apart(&self) -> Option<Apart<'_>> {
        let outliers = self.quantized.outliers.as_deref()?;
        Some(Apart { outliers, marks: &self.marks })
    }

    /// Whether scales change within a sum.
    pub(crate) fn is_grouped(&self) -> bool {
        matches!(self.quantized.scales, Scales::Group { .. })
    }

    pub(crate) fn resident_bytes(&self) -> usize {
        let Quantized { scales, zero_points, outliers, .. } = &self.quantized;
        size_of_val(scales.all())
            + zero_points.as_ref().map_or(0, Vec::len)
            + outliers.as_ref().map_or(0, |outliers| outliers.resident_bytes())
            + size_of_val(&self.marks[..])
    }

    /// The activations as integers, and their scale.
    pub(crate) fn quantize(&self, kernels: impl Kernels, values: &[f32], levels: &mut [i32]) -> f32 {
        match self.quantized.activations {
            None => kernels.quantize(values, self.levels, levels),
            Some(scale) => {
                kernels.quantize_at(values, scale, self.levels, levels);
                scale
            }
        }
    }

    /// As [`quantize`](Integers::quantize), in bytes, filled with zeros up to whole groups.
    #[inline]
    pub(crate) fn bytes<'a>(
        &self,
        kernels: impl Kernels,
        row: &[f32],
        bytes: &'a mut Aligned<i8>,
    ) -> (&'a [i8], f32) {
        let bytes = bytes.room(row.len().next_multiple_of(GROUP));
        let s = self.bytes_into(kernels, row, bytes);
        (bytes, s)
    }

    /// The same, into as many bytes as whole groups have; returns the scale.
    #[inline]
    pub(crate) fn bytes_into(&self, kernels: impl Kernels, row: &[f32], bytes: &mut [i8]) -> f32 {
        match self.quantized.activations {
            None => kernels.quantize_bytes(row, bytes.as_chunks_mut().0),
            Some(scale) => {
                kernels.quantize_bytes_at(row, scale, bytes.as_chunks_mut().0);
                scale
            }
        }
    }

    /// The activations of these columns times the scales of the weight's rows, where rows have them.
    pub(crate) fn weighted<'a>(
        &self,
        columns: &[u32],
        values: &'a [f32],
        scratch: &'a mut Vec<f32>,
    ) -> &'a [f32] {
        let Scales::Row(scales) = &self.quantized.scales else { return values };
        scratch.clear();
        scratch.extend(columns.iter().zip(values).map(|(&c, x)| x * scales[c as usize]));
        scratch
    }

    /// As [`weighted`](Integers::weighted), of a row without gaps.
    pub(crate) fn weighted_row<'a>(&self, row: &'a [f32], scratch: &'a mut Vec<f32>) -> &'a [f32] {
        let Scales::Row(scales) = &self.quantized.scales else { return row };
        scratch.clear();
        scratch.extend(row.iter().zip(scales).map(|(x, scale)| x * scale));
        scratch
    }

    /// What the zero points take off, from each input's activation; not for groups.
    pub(crate) fn taken(&self, levels: impl Iterator<Item = (usize, i32)>) -> Option<Taken<'_>> {
        let points = self.quantized.zero_points.as_deref()?;
        Some(match self.quantized.scales {
            Scales::Row(_) => Taken::Same(levels.map(|(i, q)| i64::from(q) * i64::from(points[i])).sum()),
            Scales::Tensor(_) => {
                Taken::Same(levels.map(|(_, q)| i64::from(q)).sum::<i64>() * i64::from(points[0]))
            }
            _ => Taken::Points(points, levels.map(|(_, q)| i64::from(q)).sum()),
        })
    }

    /// `out_j = sum_j · (s · scale_j) + b_j`, where `sum_j` has lost what zero points take.
    #[inline]
    pub(crate) fn finish(
        &self,
        kernels: impl Kernels,
        sums: &[i32],
        taken: Option<Taken<'_>>,
        (s, bias): (f32, &[f32]),
        out: &mut [f32],
    ) {
        let Some(taken) = taken else {
            return kernels.rescale(sums, Rescale { s, scales: &self.quantized.scales, bias }, out);
        };
        let places = out.iter_mut().zip(bias).zip(sums).enumerate();
        for (j, ((out, b), sum)) in places {
            let sum = match taken {
                Taken::Same(all) => i64::from(*sum) - all,
                Taken::Points(points, total) => i64::from(*sum) - i64::from(points[j]) * total,
            };
            *out = sum as f32 * self.factor(s, j) + b;
        }
    }

    /// What a sum is multiplied by.
    fn factor(&self, s: f32, output: usize) -> f32 {
        match &self.quantized.scales {
            Scales::Tensor(scale) => s * scale,
            Scales::Channel(scales) => s * scales[output],
            Scales::Row(_) | Scales::Group { .. } => s,
        }
    }

    /// The product with a matrix whose scales are those of groups of `size` inputs, group by group.
    pub(crate) fn add_groups(
        &self,
        kernels: impl Kernels,
        (rows, s): (Touched<'_>, f32),
        size: usize,
        (bias, sums): (&[f32], &mut [i32]),
        out: &mut [f32],
    ) {
        out.copy_from_slice(bias);
        let (mut columns, mut levels) = (rows.columns, rows.levels);
        while let Some(&first) = columns.first() {
            let group = first as usize / size;
            let end = columns.iter().position(|c| *c as usize / size != group).unwrap_or(columns.len());
            let run = Touched { columns: &columns[..end], levels: &levels[..end], ..rows };
            (columns, levels) = (&columns[end..], &levels[end..]);
            rows_of(kernels, run, sums);
            let first = group * out.len();
            let scales = &self.quantized.scales.all()[first..][..out.len()];
            match &self.quantized.zero_points {
                None => {
                    for ((out, &sum), scale) in out.iter_mut().zip(&*sums).zip(scales) {
                        *out += sum as f32 * (s * scale);
                    }
                }
                Some(points) => {
                    let total: i64 = run.levels.iter().map(|q| i64::from(*q)).sum();
                    let points = &points[first..][..scales.len()];
                    for (((out, &sum), scale), z) in out.iter_mut().zip(&*sums).zip(scales).zip(points) {
                        *out += (i64::from(sum) - i64::from(*z) * total) as f32 * (s * scale);
                    }
                }
            }
        }
    }
}
