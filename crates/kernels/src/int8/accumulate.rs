//! Rows of levels times a weight in panels.

use super::panels::WidePanels;
use super::product::{Finish, Same, ToFloats, ToSums, product};
use super::rows::ByteRows;
use super::simd::Simd;
use super::tiles::{Isa, Set, Sums, with_set};

/// Memory for rows as panels take them.
#[derive(Clone, Debug, Default)]
pub(crate) struct WideRoom {
    pub(crate) rows: ByteRows,
    block: Option<Box<[Sums; 2]>>,
}

impl WideRoom {
    /// `out = sum · (scale_row · factor) + bias`, `[rows, outputs]`, of the first `count` rows; for panels with factors.
    pub(crate) fn multiply(&mut self, panels: &WidePanels, count: usize, bias: &[f32], out: &mut [f32]) {
        let mut finish = ToFloats {
            scales: &self.rows.scales,
            factors: panels.factors(),
            bias,
            out,
            stride: panels.outputs(),
            function: Same,
            largest: &mut [],
        };
        run(&self.rows, &mut self.block, panels, count, &mut finish);
    }

    /// The sums of the first `count` rows, `[rows, stride]`.
    pub(crate) fn accumulate(
        &mut self,
        panels: &WidePanels,
        count: usize,
        (sums, stride): (&mut [i32], usize),
    ) {
        let mut finish = ToSums { out: sums, stride, outputs: panels.outputs() };
        run(&self.rows, &mut self.block, panels, count, &mut finish);
    }
}

/// The product of the first `count` rows, by the best set for it.
fn run(
    rows: &ByteRows,
    block: &mut Option<Box<[Sums; 2]>>,
    panels: &WidePanels,
    count: usize,
    finish: &mut impl Finish,
) {
    let block = block.get_or_insert_with(|| Box::new([Sums::new(), Sums::new()]));
    let isa = Isa::best().for_product(count * panels.inputs() * panels.outputs());
    with_set!(isa, set => {
        let simd = set.simd();
        set.begin(|tiles| {
            simd.vectorize(
                #[inline(always)]
                || product(tiles, rows, count, panels, block, finish),
            );
        });
    });
}
