//! Several rows of activations at once times a matrix, plus a bias.
//!
//! Each row comes to what [`Linear::multiply`] makes of it alone, bit for bit. Where rows have few zeros and weights are
//! bytes, or floats that are added up in one order whatever the form, weights are read once for several rows, as in Goto
//! and van de Geijn (2008), from panels of columns that stay in the nearest cache. Panels are laid out once, when the first such
//! rows come; where the instructions have none for bytes, so many columns of rows of bytes at a time are laid out as tiles.
//! Everywhere else rows are multiplied one by one.

use crate::floats::{Rows, ToRows, product_in_order};
use crate::form::Body;
use crate::input::{Batch, Input, is_whole, scatter};
use crate::int8::{Isa, Set as _, Simd, with_set};
use crate::integers::Integers;
#[cfg(target_arch = "wasm32")]
use crate::isa::FloatBlocks;
use crate::isa::{Block, Kernels, Set, with_kernels};
use crate::lanes::{GROUP, LANES, QUAD, TILE};
use crate::linear::{Linear, Store};
use crate::multiply::add_bias;
use crate::product::Activations;
use crate::scratch::{Quantities, Scratch};

/// Rows that are multiplied together at most.
const MOST_ROWS: usize = 32;
/// Fewest rows for which it pays to lay out rows of weights as tiles.
const FEWEST_ROWS: usize = 8;
/// Columns that are laid out as tiles at a time.
const COLUMNS: usize = 4 * LANES;
/// Share of activations that are not zero from which on the zeros of a row are not worth skipping: measured by
/// `benches/chain.rs`.
const DENSE_SHARE: f64 = 0.65;
/// The same for floats.
const DENSE_FLOAT_SHARE: f64 = 0.35;

impl Linear {
    /// `out = rows · W + bias`, `[rows, outputs]`, by the rules of [`multiply`](Linear::multiply) for each row.
    ///
    /// # Panics
    /// When `bias` does not have as many entries as the matrix has outputs, `out` or the batch not as many rows as the
    /// other, dense rows not as many entries as the matrix has inputs, or sparse ones a column beyond them: mistakes of
    /// the caller.
    pub fn multiply_rows(&self, batch: Batch<'_>, bias: &[f32], out: &mut [f32], scratch: &mut Scratch) {
        let rows = batch.rows(self.inputs);
        if rows == 1 {
            return self.multiply(batch.row(0, self.inputs), bias, out, scratch);
        }
        assert_eq!(bias.len(), self.outputs, "one bias for each output");
        assert_eq!(out.len(), rows * self.outputs, "one place for each output of each row");
        let Store::Bytes(_, integers) = &self.store else {
            return self.multiply_rows_rest(batch, bias, out, scratch);
        };
        match (integers.apart(), batch) {
            (None, _) => self.multiply_rows_rest(batch, bias, out, scratch),
            (Some(apart), Batch::Dense(rows)) => {
                // Moved out, so that the product can have the rest.
                let mut rest = std::mem::take(&mut scratch.without_outliers);
                let mut taken = std::mem::take(&mut scratch.outliers);
                let (batch, found) = apart.take_rows(rows, self.inputs, &mut rest, &mut taken);
                self.multiply_rows_rest(batch, bias, out, scratch);
                apart.add(found, self.outputs, out);
                (scratch.without_outliers, scratch.outliers) = (rest, taken);
            }
            (Some(_), Batch::Sparse { .. }) => {
                for (row, out) in out.chunks_exact_mut(self.outputs).enumerate() {
                    self.multiply(batch.row(row, self.inputs), bias, out, scratch);
                }
            }
        }
    }

    /// As [`multiply_rows`](Linear::multiply_rows), where the activations of outliers are zero.
    fn multiply_rows_rest(&self, batch: Batch<'_>, bias: &[f32], out: &mut [f32], scratch: &mut Scratch) {
        with_kernels!(Set::best(), kernels => self.multiply_rows_with(kernels, batch, bias, out, scratch));
    }

    pub(crate) fn multiply_rows_with(
        &self,
        kernels: impl Kernels,
        batch: Batch<'_>,
        bias: &[f32],
        out: &mut [f32],
        scratch: &mut Scratch,
    ) {
        match &self.store {
            Store::Bytes(body, integers) if self.is_worth_panels(body, integers, batch) => {
                let panels = self.together.bytes(body, (self.inputs, self.outputs), integers);
                self.multiply_wide(kernels, (panels, integers), batch, (bias, out), scratch);
            }
            Store::Bytes(body, integers) if self.is_worth_blocks(body, integers, batch) => {
                for (n, out) in out.chunks_mut(MOST_ROWS * self.outputs).enumerate() {
                    let rows = n * MOST_ROWS..n * MOST_ROWS + out.len() / self.outputs;
                    let rows = rows.map(|row| batch.row(row, self.inputs));
                    let mut quantized = std::mem::take(&mut scratch.block);
                    quantized.fill(self.inputs, rows, integers, scratch);
                    self.multiply_block(kernels, (body, integers), &mut quantized, (bias, out), scratch);
                    scratch.block = quantized;
                }
            }
            Store::Wide(panels, integers) => {
                self.multiply_wide(kernels, (panels, integers), batch, (bias, out), scratch);
            }
            Store::FloatPanels(panels) => self.multiply_float_panels(panels, batch, (bias, out), scratch),
            Store::Floats(Body::Rows { values, stride })
                if self.is_worth_float_blocks(kernels, *stride, batch) =>
            {
                self.multiply_float_rows(kernels, (values, *stride), batch, (bias, out), scratch);
            }
            _ => {
                for (row, out) in out.chunks_exact_mut(self.outputs).enumerate() {
                    self.multiply_with(kernels, batch.row(row, self.inputs), bias, out, scratch);
                }
            }
        }
    }

    /// Whether bytes are multiplied from panels, which are laid out for that where they are not yet.
    pub(crate) fn is_worth_panels(&self, body: &Body<i8>, integers: &Integers, batch: Batch<'_>) -> bool {
        let rows = batch.rows(self.inputs);
        let is_few = match body {
            Body::Tiles(_) => rows < 2,
            Body::Rows { stride: 2.., .. } => rows == 0,
            _ => true,
        };
        // Panels are filled up with zeros to whole vectors: no matrix may take more than twice its bytes that way.
        let padded = self.inputs.next_multiple_of(64).saturating_mul(self.outputs.next_multiple_of(64));
        let is_filled = padded <= 2 * self.inputs * self.outputs;
        if is_few || !is_filled || integers.is_grouped() || !Isa::best().is_best_of_dense_rows() {
            return false;
        }
        match (body, batch) {
            // Tiles hold zeros, too.
            (Body::Tiles(_), Batch::Dense(_)) => true,
            // The first row stands for all.
            (_, Batch::Dense(rows)) => Batch::Dense(&rows[..self.inputs]).fill(self.inputs) > DENSE_SHARE,
            (_, Batch::Sparse { .. }) => batch.fill(self.inputs) > DENSE_SHARE,
        }
    }

    /// The same from tiles, where no set has panels.
    fn is_worth_blocks(&self, body: &Body<i8>, integers: &Integers, batch: Batch<'_>) -> bool {
        let rows = batch.rows(self.inputs);
        let fewest = match body {
            Body::Tiles(_) => 2,
            Body::Rows { stride: 2.., .. } => FEWEST_ROWS,
            _ => return false,
        };
        if rows < fewest || integers.is_grouped() || Isa::best().is_best_of_dense_rows() {
            return false;
        }
        matches!(batch, Batch::Dense(_)) || batch.fill(self.inputs) > DENSE_SHARE
    }

    fn is_worth_float_blocks(&self, kernels: impl Kernels, stride: usize, batch: Batch<'_>) -> bool {
        let has_blocks = batch.rows(self.inputs) > 1 && kernels.float_blocks(stride).is_some();
        has_blocks && batch.fill(self.inputs) > DENSE_FLOAT_SHARE
    }

    /// Several rows of floats times rows of weights that begin `stride` apart.
    fn multiply_float_rows(
        &self,
        kernels: impl Kernels,
        (weights, stride): (&[f32], usize),
        batch: Batch<'_>,
        (bias, out): (&[f32], &mut [f32]),
        scratch: &mut Scratch,
    ) {
        for (n, out) in out.chunks_mut(MOST_ROWS * self.outputs).enumerate() {
            let rows = n * MOST_ROWS..n * MOST_ROWS + out.len() / self.outputs;
            let count = rows.len();
            let numbers = batch.dense(rows, self.inputs, &mut scratch.between.floats);
            let sums = scratch.between.sums_f32.room(count * stride);
            match kernels.float_blocks(stride) {
                #[cfg(target_arch = "wasm32")]
                Some(FloatBlocks::Rows) => kernels.block_f32(weights, stride, numbers, sums),
                _ => {
                    let rows = Rows { numbers, stride: self.inputs, count };
                    let panels = self.together.floats(weights, (self.inputs, stride));
                    let mut finish = ToRows { out: &mut *sums, stride };
                    with_set!(Isa::best(), set => {
                        let simd = set.simd();
                        simd.vectorize(
                            #[inline(always)]
                            || product_in_order(simd, rows, panels, &mut finish),
                        );
                    });
                }
            }
            for (out, sums) in out.chunks_exact_mut(self.outputs).zip(sums.chunks_exact(stride)) {
                add_bias(sums, bias, out);
            }
        }
    }

    /// Up to [`MOST_ROWS`] rows that are quantized already.
    fn multiply_block(
        &self,
        kernels: impl Kernels,
        (body, integers): (&Body<i8>, &Integers),
        quantized: &mut Quantities,
        (bias, out): (&[f32], &mut [f32]),
        scratch: &mut Scratch,
    ) {
        let Quantities { levels, stride, scales, tiles } = quantized;
        let levels = &levels[..scales.len() * *stride];
        let (width, size) = (self.outputs.next_multiple_of(LANES), self.inputs.div_ceil(QUAD) * TILE);
        let sums = scratch.between.sums_i32.room(scales.len() * width);
        let block = Block { weights: &[], size, rows: levels, stride: *stride, narrow: integers.narrow };
        match body {
            Body::Tiles(tiles) => kernels.block_i8(Block { weights: &tiles.values, ..block }, sums, width),
            Body::Rows { values, stride } => {
                for at in (0..width).step_by(COLUMNS) {
                    let panels = (width - at).min(COLUMNS) / LANES;
                    let tiles = tiles.room(panels * size);
                    kernels.pack_i8(&values[at..], *stride, tiles, size);
                    kernels.block_i8(Block { weights: tiles, ..block }, &mut sums[at..], width);
                }
            }
            _ => unreachable!("only called for rows and tiles"),
        }
        let rows = levels.chunks_exact(*stride).zip(&*scales);
        for ((out, sums), (levels, s)) in
            out.chunks_exact_mut(self.outputs).zip(sums.chunks_exact(width)).zip(rows)
        {
            let taken = integers.taken(Activations::Whole(&levels[..self.inputs]));
            integers.finish(kernels, sums, taken, (*s, bias), out);
        }
    }
}

impl Quantities {
    fn fill<'a>(
        &mut self,
        inputs: usize,
        rows: impl ExactSizeIterator<Item = Input<'a>>,
        integers: &Integers,
        scratch: &mut Scratch,
    ) {
        self.stride = inputs.next_multiple_of(GROUP);
        let levels = self.levels.room(rows.len() * self.stride);
        self.scales.clear();
        for (row, levels) in rows.zip(levels.chunks_exact_mut(self.stride)) {
            let s = match row {
                Input::Dense(row) => {
                    let row = integers.weighted_row(row, &mut scratch.between.weighted);
                    integers.bytes_into(row, levels)
                }
                Input::Sparse { columns, values } if is_whole(columns, inputs) => {
                    let values = integers.weighted_row(values, &mut scratch.between.weighted);
                    integers.bytes_into(values, levels)
                }
                Input::Sparse { columns, values } => {
                    let values = integers.weighted(columns, values, &mut scratch.between.weighted);
                    let (bytes, s) = integers.bytes(values, &mut scratch.between.bytes);
                    scatter(columns, bytes, |level| level, inputs, levels);
                    s
                }
            };
            self.scales.push(s);
        }
    }
}
