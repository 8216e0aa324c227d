//! Rows of signed levels times a weight in panels: sums, and nothing but integers.

use super::panels::WidePanels;
use super::product::{ToSums, product};
use super::rows::ByteRows;
use super::simd::Simd;
use super::tiles::{Isa, Set, Sums, with_set};

/// Memory for rows as panels take them.
#[derive(Clone, Debug, Default)]
pub(crate) struct WideRoom {
    rows: ByteRows,
    block: Option<Box<[Sums; 2]>>,
}

/// `sums = levels · weight`, `[rows, stride]`, of rows of `levels` that are `row` long, inputs first.
pub(crate) fn accumulate(
    panels: &WidePanels,
    inputs: usize,
    (levels, row): (&[i8], usize),
    (sums, stride): (&mut [i32], usize),
    room: &mut WideRoom,
) {
    let count = levels.len() / row;
    room.rows.prepare(count, inputs);
    let block = room.block.get_or_insert_with(|| Box::new([Sums::new(), Sums::new()]));
    let mut finish = ToSums { out: sums, stride, outputs: panels.outputs() };
    let isa = Isa::best().for_product(count * inputs * panels.outputs());
    with_set!(isa, set => {
        let simd = set.simd();
        set.begin(|tiles| {
            simd.vectorize(
                #[inline(always)]
                || {
                    for (n, levels) in levels.chunks_exact(row).enumerate() {
                        for (byte, level) in room.rows.row_mut(n).iter_mut().zip(&levels[..inputs]) {
                            *byte = level.cast_unsigned() ^ 128;
                        }
                    }
                    product(tiles, &room.rows, count, panels, block, &mut finish);
                },
            );
        });
    });
}
