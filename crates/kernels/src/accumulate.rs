//! One row of whole-number activations times a matrix of integers: sums, and nothing but integers.
//!
//! What the sums stand for, and what becomes of them, is the caller's affair: this is the product that a network needs
//! which runs without floating point. No float appears in this module.

use crate::form::Body;
use crate::input::{Levels, scatter};
use crate::integers::{Taken, rows_of};
use crate::isa::{Kernels, Set, Touched, with_kernels};
use crate::lanes::GROUP;
use crate::linear::{Linear, Store};
use crate::scratch::Scratch;

impl Linear {
    /// Whether the matrix can [`accumulate`](Linear::accumulate): integers of up to 8 bits whose scales do not change
    /// within a sum, without [outliers](nlpress_packed::Outliers), whose products are floats.
    pub fn accumulates(&self) -> bool {
        match &self.store {
            Store::Bytes(_, integers) => {
                !integers.is_grouped() && integers.quantized.outliers.is_none()
            }
            _ => false,
        }
    }

    /// `sums_j = Σ level_i · (q_ij - z)`, where `q` are the matrix's integers and `z` the zero point of each, if there
    /// is any. Scales have no part in it. The same on every processor.
    ///
    /// # Panics
    /// When the matrix does not [accumulate](Linear::accumulates), `sums` does not have as many entries as it has
    /// outputs, dense activations not as many as it has inputs, or sparse ones a column beyond them: mistakes of the
    /// caller.
    pub fn accumulate(&self, levels: Levels<'_>, sums: &mut [i64], scratch: &mut Scratch) {
        assert!(self.accumulates(), "the matrix must be one that accumulates");
        assert_eq!(sums.len(), self.outputs, "one place for each output");
        with_kernels!(Set::best(), kernels => self.accumulate_with(kernels, levels, sums, scratch));
    }

    pub(crate) fn accumulate_with(
        &self,
        kernels: impl Kernels,
        levels: Levels<'_>,
        sums: &mut [i64],
        scratch: &mut Scratch,
    ) {
        let Store::Bytes(body, integers) = &self.store else { return };
        let Scratch { columns: all_columns, levels: all_levels, bytes, sums_i32, .. } = scratch;
        let (columns, levels) = match levels {
            Levels::Sparse { columns, levels } => {
                assert_eq!(columns.len(), levels.len(), "one activation for each column");
                (columns, levels)
            }
            Levels::Dense(row) => {
                assert_eq!(row.len(), self.inputs, "one activation for each input");
                let (columns, levels) = (all_columns.room(row.len()), all_levels.room(row.len()));
                let mut count = 0;
                for (column, &level) in row.iter().enumerate().filter(|(_, level)| **level != 0) {
                    columns[count] = column as u32;
                    levels[count] = level;
                    count += 1;
                }
                (&columns[..count], &levels[..count])
            }
        };
        let found = sums_i32.room(body.width(self.outputs));
        if matches!(body, Body::Panels(_) | Body::Tiles(_)) {
            let row = bytes.room(self.inputs.next_multiple_of(GROUP));
            scatter(columns, levels, |level| level as i8, self.inputs, row);
        }
        match body {
            Body::Rows { values: weights, stride } => {
                let row = bytes.room(levels.len());
                row.iter_mut().zip(levels).for_each(|(byte, level)| *byte = *level as i8);
                rows_of(
                    kernels,
                    Touched { weights, stride: *stride, columns, levels: row, narrow: integers.narrow },
                    found,
                );
            }
            Body::Lists(lists) => kernels.lists_i8(lists, columns, levels, found),
            Body::Strips(strips) => kernels.strips_i8(strips, columns, levels, found),
            Body::Panels(panels) => kernels.panels_i8(panels, bytes, found),
            Body::Tiles(tiles) => kernels.tiles_i8(tiles, bytes, integers.narrow, found),
        }
        sums.iter_mut().zip(&*found).for_each(|(sum, &found)| *sum = i64::from(found));
        match integers.taken(columns.iter().zip(levels).map(|(&column, &level)| (column as usize, level))) {
            None => {}
            Some(Taken::Same(all)) => sums.iter_mut().for_each(|sum| *sum -= all),
            Some(Taken::Points(points, total)) => {
                sums.iter_mut().zip(points).for_each(|(sum, z)| *sum -= i64::from(*z) * total);
            }
        }
    }
}
