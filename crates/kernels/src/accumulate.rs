//! One row of whole-number activations times a matrix of integers: sums, and nothing but integers.
//!
//! What the sums stand for, and what becomes of them, is the caller's affair: this is the product that a network needs
//! which runs without floating point. No float appears in this module.

use crate::input::Levels;
use crate::integers::Taken;
use crate::isa::{Kernels, Set, with_kernels};
use crate::linear::{Linear, Store};
use crate::product::{NonZeros, add_up};
use crate::scratch::{Between, Scratch};

impl Linear {
    /// Whether the matrix can [`accumulate`](Linear::accumulate): integers of up to 8 bits whose scales do not change
    /// within a sum, without [outliers](nlpress_packed::Outliers), whose products are floats.
    pub fn accumulates(&self) -> bool {
        match &self.store {
            Store::Bytes(_, integers) => !integers.is_grouped() && integers.quantized.outliers.is_none(),
            // Nothing else fits into panels.
            Store::Wide(..) => true,
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
        let Scratch { columns: all_columns, between, wide, .. } = scratch;
        let Between { levels: all_levels, bytes, sums_i32, .. } = between;
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
        let (body, integers) = match &self.store {
            Store::Bytes(body, integers) => (body, integers),
            Store::Wide(panels, _) => {
                let found = sums_i32.room(self.outputs);
                wide.rows.prepare(1, self.inputs);
                wide.rows.set_levels(0, columns, levels);
                wide.accumulate(panels, 1, (found, self.outputs));
                return sums.iter_mut().zip(&*found).for_each(|(sum, &found)| *sum = i64::from(found));
            }
            _ => return,
        };
        let found = sums_i32.room(body.width(self.outputs));
        let x = NonZeros { columns, levels }.held_as(body.held(), self.inputs, bytes);
        add_up(kernels, body, x, integers.narrow, found);
        sums.iter_mut().zip(&*found).for_each(|(sum, &found)| *sum = i64::from(found));
        match integers.taken(x) {
            None => {}
            Some(Taken::Same(all)) => sums.iter_mut().for_each(|sum| *sum -= all),
            Some(Taken::Points(points, total)) => {
                sums.iter_mut().zip(points).for_each(|(sum, z)| *sum -= i64::from(*z) * total);
            }
        }
    }
}
