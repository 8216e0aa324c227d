//! A site in integers: numbers with 16 fraction bits in, and the same out.

use super::fixed::{Factor, MOST, ONE};
use nlpress_kernels::{Levels, Linear, Scratch as Products};

/// A weight, and what turns numbers into its activations and its sums into numbers.
#[derive(Debug)]
pub(super) struct Site<'a> {
    pub(super) weight: &'a Linear,
    /// From a number to a level, one for each input or one for all.
    pub(super) before: Vec<Factor>,
    /// In units of the sums.
    pub(super) bias: Vec<i64>,
    /// From a sum to a number, one for each output or one for all.
    pub(super) after: Vec<Factor>,
    /// The largest level.
    pub(super) levels: i64,
}

/// Memory for one product, to be used again.
#[derive(Clone, Debug, Default)]
pub(super) struct Room {
    levels: Vec<i32>,
    sums: Vec<i64>,
    products: Products,
}

impl Site<'_> {
    pub(super) fn outputs(&self) -> usize {
        self.weight.outputs()
    }

    /// The product with a row that has these numbers in these columns.
    pub(super) fn sparse(&self, columns: &[u32], values: &[i64], out: &mut [i64], room: &mut Room) {
        room.levels.clear();
        room.levels.extend(columns.iter().zip(values).map(|(&c, &x)| self.level(c as usize, x)));
        room.sums.resize(out.len(), 0);
        let levels = Levels::Sparse { columns, levels: &room.levels };
        self.weight.accumulate(levels, &mut room.sums, &mut room.products);
        self.finish(&room.sums, out);
    }

    /// The product with a row.
    pub(super) fn dense(&self, row: &[i64], out: &mut [i64], room: &mut Room) {
        room.levels.clear();
        room.levels.extend(row.iter().enumerate().map(|(i, &x)| self.level(i, x)));
        room.sums.resize(out.len(), 0);
        self.weight.accumulate(Levels::Dense(&room.levels), &mut room.sums, &mut room.products);
        self.finish(&room.sums, out);
    }

    /// The row of a table, as the product with a one in its column.
    pub(super) fn row(&self, column: u32, out: &mut [i64], room: &mut Room) {
        self.sparse(&[column], &[ONE], out, room);
    }

    fn level(&self, input: usize, x: i64) -> i32 {
        let factor = self.before[input.min(self.before.len() - 1)];
        factor.times(x.clamp(-MOST, MOST)).clamp(-self.levels, self.levels) as i32
    }

    fn finish(&self, sums: &[i64], out: &mut [i64]) {
        for (j, ((out, sum), bias)) in out.iter_mut().zip(sums).zip(&self.bias).enumerate() {
            let factor = self.after[j.min(self.after.len() - 1)];
            *out = factor.times(sum + bias).clamp(-MOST, MOST);
        }
    }
}
