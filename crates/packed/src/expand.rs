//! How much memory a matrix may take once it is read, told before it is: from its sides, its layout, and how many bytes
//! its values have in the file.
//!
//! What multiplies by a matrix may hold it with its zeros, in whole vectors, or each kept entry in a vector of its own;
//! it keeps to this budget, and its tests hold it to that.

use crate::{Index, Per, Scheme, Values};

/// Outputs and inputs that are filled up to whole vectors.
const VECTOR: usize = 8;
const QUAD: usize = 4;
/// Bytes of a kept entry in a vector of its own, with its places.
const LONELY: usize = 68;
/// So many such vectors are filled up to whole rounds of a loop, in each eight outputs.
const ROUND: usize = 4;
/// Eights of outputs for which memory is taken whatever the number of entries.
const FEW: usize = 4096;
/// A form without zeros may take a little more than the one with them that it replaces, in quarters.
const MORE: (usize, usize) = (5, 4);
/// One in so many entries kept, and a matrix may be held with its zeros: integers of a byte, wider ones, floats.
const WITH_ZEROS: [usize; 3] = [80, 8, 22];

impl Scheme {
    /// At most so many bytes are held for the entries of a `[inputs, outputs]` matrix, in whatever form, when the values
    /// have `value_bytes` bytes in the file; scales, lists of numbers and outliers come on top. Saturates.
    pub fn expanded_bytes(self, inputs: usize, outputs: usize, value_bytes: usize) -> usize {
        let (size, share) = match self.values {
            Values::Int(int) if !int.grid.is_wide() => (1, WITH_ZEROS[0]),
            Values::Int(_) => (4, WITH_ZEROS[1]),
            _ => (4, WITH_ZEROS[2]),
        };
        // A matrix of fewer rows than are filled up to is held with its zeros where still less is kept.
        let share = if inputs < QUAD { share * QUAD } else { share };
        let across = if outputs == 1 { 1 } else { whole(outputs, VECTOR) };
        let dense = whole(inputs, QUAD).saturating_mul(across).saturating_mul(size);
        if self.index == Index::Full {
            return dense;
        }
        let entries = inputs.saturating_mul(outputs);
        let kept = self.values.most(value_bytes).min(entries);
        let with_zeros = (dense.saturating_add(entries / 8 + 1) / MORE.1).saturating_mul(MORE.0);
        // Groups of scales are multiplied by as rows with all their zeros, however few entries are kept.
        let in_groups = matches!(self.values, Values::Int(int) if matches!(int.per, Per::Group(_)));
        if in_groups || kept > 0 && kept >= entries / share {
            return with_zeros;
        }
        let eights = outputs.div_ceil(VECTOR).min(kept.max(FEW));
        let padding = eights.min(kept).saturating_mul(ROUND * LONELY).saturating_add(eights * 4);
        let rows = inputs.saturating_add(1).saturating_mul(4);
        let few = kept.saturating_mul(LONELY).saturating_add(rows).saturating_add(padding);
        // The starts of rows take more than a single column does.
        if outputs == 1 { few } else { few.min(with_zeros) }
    }
}

fn whole(count: usize, of: usize) -> usize {
    count.checked_next_multiple_of(of).unwrap_or(usize::MAX)
}
