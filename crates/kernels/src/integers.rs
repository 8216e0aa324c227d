//! What integers stand for, as a product needs it: activations become integers before it, and sums outputs after it, by
//! the rules of [`multiply`](crate::multiply).

use crate::aligned::Aligned;
use crate::form::Body;
use crate::int8::quantize_bytes;
use crate::isa::{Kernels, Rescale};
use crate::lanes::{GROUP, NARROW};
use crate::outliers::Apart;
use crate::product::{Activations, add_up};
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
    pub(crate) fn bytes<'a>(&self, row: &[f32], bytes: &'a mut Aligned<i8>) -> (&'a [i8], f32) {
        let bytes = bytes.room(row.len().next_multiple_of(GROUP));
        let s = self.bytes_into(row, bytes);
        (bytes, s)
    }

    /// The same, into as many bytes as whole groups have; returns the scale.
    #[inline]
    pub(crate) fn bytes_into(&self, row: &[f32], bytes: &mut [i8]) -> f32 {
        quantize_bytes(row, self.quantized.activations, bytes)
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

    /// What the zero points take off, from the activations; not for groups.
    #[inline]
    pub(crate) fn taken(&self, x: Activations<'_, i8>) -> Option<Taken<'_>> {
        let points = self.quantized.zero_points.as_deref()?;
        Some(match self.quantized.scales {
            Scales::Row(_) => Taken::Same(x.total_of(points)),
            Scales::Tensor(_) => Taken::Same(x.total() * i64::from(points[0])),
            _ => Taken::Points(points, x.total()),
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

    /// What the sums of each output are multiplied by beside the scale of the activations, where that is all that becomes of
    /// them: there are no zero points, and scales do not change within a sum.
    pub(crate) fn factors(&self, outputs: usize) -> Option<Vec<f32>> {
        if self.quantized.zero_points.is_some() {
            return None;
        }
        match &self.quantized.scales {
            Scales::Tensor(scale) => Some(vec![*scale; outputs]),
            Scales::Channel(scales) => Some(scales.clone()),
            Scales::Row(_) => Some(vec![1.0; outputs]),
            Scales::Group { .. } => None,
        }
    }

    /// The product with rows of weights whose scales are those of groups of inputs, group by group.
    pub(crate) fn add_groups(
        &self,
        kernels: impl Kernels,
        (body, x, s): (&Body<i8>, Activations<'_, i8>, f32),
        (bias, sums): (&[f32], &mut [i32]),
        out: &mut [f32],
    ) {
        let (Scales::Group { size, scales }, Activations::Rows { mut columns, mut levels }) =
            (&self.quantized.scales, x)
        else {
            unreachable!("weights in groups are rows");
        };
        let size = usize::from(*size);
        out.copy_from_slice(bias);
        while let Some(&first) = columns.first() {
            let group = first as usize / size;
            let end = columns.iter().position(|c| *c as usize / size != group).unwrap_or(columns.len());
            let run = Activations::Rows { columns: &columns[..end], levels: &levels[..end] };
            (columns, levels) = (&columns[end..], &levels[end..]);
            add_up(kernels, body, run, self.narrow, sums);
            let first = group * out.len();
            let scales = &scales[first..][..out.len()];
            match &self.quantized.zero_points {
                None => {
                    for ((out, &sum), scale) in out.iter_mut().zip(&*sums).zip(scales) {
                        *out += sum as f32 * (s * scale);
                    }
                }
                Some(points) => {
                    let total = run.total();
                    let points = &points[first..][..scales.len()];
                    for (((out, &sum), scale), z) in out.iter_mut().zip(&*sums).zip(scales).zip(points) {
                        *out += (i64::from(sum) - i64::from(*z) * total) as f32 * (s * scale);
                    }
                }
            }
        }
    }
}
