//! The product in plain Rust: what the others are held against.

use super::{Block, Panel, QUAD, ROWS, Sums, Tiles};
use crate::int8::simd::Portable;

impl Tiles for Portable {
    type Simd = Self;

    const BEST: usize = ROWS;

    fn simd(self) -> Self {
        self
    }

    fn tile(self, rows: Block<'_>, panel: Panel<'_>, sums: &mut Sums) {
        panel.check(&rows, rows.count);
        for (row, sums) in rows.bytes.chunks(rows.stride).zip(&mut sums.0).take(rows.count) {
            sums.copy_from_slice(panel.starts);
            let quads = panel.bytes.chunks_exact(panel.columns * QUAD).zip(row.as_chunks::<QUAD>().0);
            for (weights, row) in quads.take(panel.quads) {
                for (sum, weights) in sums.iter_mut().zip(weights.as_chunks::<QUAD>().0) {
                    for (w, x) in weights.iter().zip(row) {
                        *sum = sum.wrapping_add(i32::from(*w) * i32::from(*x));
                    }
                }
            }
        }
    }
}
