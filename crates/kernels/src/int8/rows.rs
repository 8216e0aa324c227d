//! Rows of activations as unsigned bytes.

use super::quantize::quantize_bytes;
use super::simd::{LANES, Simd};
use super::tiles::{Block, ROWS};
use crate::aligned::Aligned;

/// Rows of bytes `128 + q`, filled up to whole blocks, each with a scale: a row stands for `q · scale`.
#[derive(Clone, Debug, Default)]
pub(crate) struct ByteRows {
    bytes: Aligned<u8>,
    stride: usize,
    pub(crate) scales: Aligned<f32>,
}

/// Bytes of rows are a multiple of this.
const WHOLE: usize = 64;
/// The largest level.
const MOST: f32 = 127.0;

impl ByteRows {
    /// Makes room for rows of `inputs`, whatever was there before. What is beyond the inputs, where they are no whole
    /// vectors, may be anything: weights have zeros there.
    pub(crate) fn prepare(&mut self, rows: usize, inputs: usize) {
        self.stride = inputs.next_multiple_of(WHOLE);
        self.bytes.room(rows.next_multiple_of(ROWS) * self.stride);
        self.scales.room(rows);
    }

    #[inline(always)]
    pub(crate) fn block(&self, first: usize, count: usize) -> Block<'_> {
        Block { bytes: &self.bytes[first * self.stride..], stride: self.stride, count }
    }

    /// The bytes of a row.
    fn row_mut(&mut self, row: usize) -> &mut [u8] {
        &mut self.bytes[row * self.stride..][..self.stride]
    }

    /// Levels at their columns, and zeros everywhere else.
    pub(crate) fn set_levels(&mut self, row: usize, columns: &[u32], levels: &[i32]) {
        let bytes = self.row_mut(row);
        bytes.fill(128);
        for (column, level) in columns.iter().zip(levels) {
            bytes[*column as usize] = (*level as i8).cast_unsigned() ^ 128;
        }
    }

    /// The bytes of a row again as levels.
    pub(crate) fn levels(&self, row: usize) -> impl Iterator<Item = i8> {
        self.bytes[row * self.stride..][..self.stride].iter().map(|byte| (byte ^ 128).cast_signed())
    }

    /// A row of floats by the rule of [`quantize_row`](crate::quantize_row), or with a scale that is given by that of
    /// [`quantize_row_at`](crate::quantize_row_at).
    pub(crate) fn quantize_by_rule(&mut self, row: usize, x: &[f32], given: Option<f32>) {
        self.scales[row] = quantize_bytes(x, given, self.row_mut(row));
    }

    /// A row of floats, as many as a multiple of 64; `largest` is the largest magnitude among them, `fixed` the scale
    /// where it is given.
    #[inline(always)]
    pub(crate) fn quantize<S: Simd>(
        &mut self,
        simd: S,
        row: usize,
        x: &[f32],
        largest: f32,
        fixed: Option<f32>,
    ) {
        let scale = fixed.unwrap_or(largest / MOST);
        self.scales[row] = scale;
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        // Of a subnormal scale there is no inverse: such a row counts as zeros.
        let inverse = simd.splat(if inverse < f32::INFINITY { inverse } else { 0.0 });
        let to = &mut self.bytes[row * self.stride..][..self.stride];
        let (most, least) = (simd.splat(MOST), simd.splat(-MOST));
        let (to, _) = to.as_chunks_mut::<WHOLE>();
        for (to, x) in to.iter_mut().zip(x.as_chunks::<WHOLE>().0) {
            let x: &[[f32; LANES]; 4] = bytemuck::must_cast_ref(x);
            let mut vectors = [simd.splat_i(0); 4];
            for v in 0..4 {
                let scaled = simd.mul(simd.load(&x[v]), inverse);
                vectors[v] = simd.round(simd.max(simd.min(scaled, most), least));
            }
            *to = simd.offset_bytes(vectors);
        }
    }
}
