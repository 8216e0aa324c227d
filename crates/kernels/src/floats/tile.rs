//! Products of a few rows with 32 columns: the inner loop of every product in floats.

#[cfg(target_arch = "x86_64")]
use crate::int8::{Avx2, Avx512, Pairs};
use crate::int8::{LANES, Portable, Simd};
use bytemuck::{Pod, must_cast_slice};

/// Columns of a panel.
pub(crate) const WIDE: usize = 2 * LANES;
/// Most rows that are multiplied at once.
pub(crate) const MOST_ROWS: usize = 12;

/// Rows that go through products together, at most: weights are read once for all of them, and what is between two products stays in
/// the second cache.
pub(super) const TOGETHER: usize = 96;
/// The same for products by tiles, which take less time for a weight that was read.
#[cfg(target_arch = "x86_64")]
pub(super) const TOGETHER_BY_TILES: usize = 128;
/// Most rows of pairs of bfloat16 that are multiplied at once: room is for whole blocks of as many.
pub(crate) const PAIR_ROWS: usize = 32;

/// Rows of numbers that begin `stride` apart; as many of each are read as the columns are deep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    /// From the first number of the first row.
    pub(crate) numbers: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) count: usize,
}

/// [`WIDE`] columns of `depth` inputs: rows of them, each for [`Weight::DEEP`] inputs, that begin `pitch` apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns<'a, W> {
    pub(crate) numbers: &'a [W],
    pub(crate) pitch: usize,
    pub(crate) depth: usize,
}

/// Numbers as columns hold them.
pub(crate) trait Weight: Pod + Default {
    /// How many inputs a row of columns is for.
    const DEEP: usize;
    /// Inputs are filled up with zeros to a multiple of so many.
    const FILLED: usize;

    /// Rows of columns for so many inputs.
    #[inline(always)]
    fn rows(inputs: usize) -> usize {
        inputs.next_multiple_of(Self::FILLED) / Self::DEEP
    }

    /// Those of sixteen columns and of one of the inputs, as floats.
    fn load<S: Simd>(simd: S, from: &[Self; LANES], input: usize) -> S::F;
}

impl Weight for f32 {
    const DEEP: usize = 1;
    const FILLED: usize = 1;

    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[f32; LANES], _: usize) -> S::F {
        simd.load(from)
    }
}

/// Two bfloat16 of a column: of an input, and of the next one in the upper half.
impl Weight for i32 {
    const DEEP: usize = 2;
    /// A vector of pairs, or a tile of them.
    const FILLED: usize = 2 * LANES;

    #[inline(always)]
    fn load<S: Simd>(simd: S, from: &[i32; LANES], input: usize) -> S::F {
        let pairs = simd.load_i(from);
        if input == 0 { simd.low_half(pairs) } else { simd.high_half(pairs) }
    }
}

/// What becomes of sums: sixteen of a row, from a column on. It may be called again for the same ones.
pub(crate) trait Finish {
    fn vector<S: Simd>(&mut self, simd: S, row: usize, column: usize, sums: S::F);
}

/// What becomes of sums of rows that are counted from one on.
#[cfg(target_arch = "x86_64")]
pub(super) struct Below<'a, F> {
    pub(super) first: usize,
    pub(super) finish: &'a mut F,
}

#[cfg(target_arch = "x86_64")]
impl<F: Finish> Finish for Below<'_, F> {
    #[inline(always)]
    fn vector<S: Simd>(&mut self, simd: S, row: usize, column: usize, sums: S::F) {
        self.finish.vector(simd, self.first + row, column, sums);
    }
}

/// Sets of instructions for products of floats.
pub(crate) trait FloatTiles: Simd {
    /// Most rows whose sums stay in registers.
    const ROWS: usize;

    /// Most rows that go through products together, and of how many their blocks consist where they can.
    #[inline(always)]
    fn together(self) -> (usize, usize) {
        (TOGETHER, Self::ROWS)
    }

    /// What multiplies pairs of bfloat16, if it is to be used.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn with_pairs(self) -> Option<(Avx512, Pairs)> {
        None
    }

    /// `rows · columns`: 1 row, or an even number up to [`ROWS`](FloatTiles::ROWS). The numbers `ahead` are soon to be read.
    fn some_rows<W: Weight>(
        self,
        rows: Rows<'_>,
        columns: Columns<'_, W>,
        ahead: &[W],
        finish: impl FnMut(usize, usize, Self::F),
    );

    /// `rows · columns`, the first of which is the column `column` of the result.
    #[inline(always)]
    fn all_rows<W: Weight>(
        self,
        rows: Rows<'_>,
        columns: Columns<'_, W>,
        column: usize,
        mut ahead: &[W],
        finish: &mut impl Finish,
    ) {
        in_tiles(
            rows.count,
            Self::ROWS,
            #[inline(always)]
            |first, count| {
                let some = Rows { numbers: &rows.numbers[first * rows.stride..], count, ..rows };
                self.some_rows(
                    some,
                    columns,
                    std::mem::take(&mut ahead),
                    #[inline(always)]
                    |row, vector, sums| finish.vector(self, first + row, column + vector * LANES, sums),
                );
            },
        );
    }
}

/// All rows as tiles of 1 row, or of an even number up to `most`: calls `run` with the first row of each and how many it has.
#[inline(always)]
pub(super) fn in_tiles(rows: usize, most: usize, mut run: impl FnMut(usize, usize)) {
    let mut done = 0;
    while done < rows {
        let left = rows - done;
        let whole = left.min(most).next_multiple_of(2);
        // Where one row too many would be multiplied, one that is done already is done again; where there is none,
        // one is left.
        let count = if whole <= rows { whole } else { left - left % 2 }.max(1);
        let first = done.min(rows - count);
        run(first, count);
        done = first + count;
    }
}

/// What one input of `R` rows adds to the sums of the columns of `V` vectors.
///
/// # Safety
/// A number of each row must be there, `stride` apart, and `V` vectors of a row of columns.
#[inline(always)]
unsafe fn add_input<S: Simd, W: Weight, const R: usize, const V: usize>(
    simd: S,
    (number, stride): (*const f32, usize),
    (weight, input): (*const W, usize),
    sums: &mut [[S::F; V]; R],
) {
    let mut weights = [simd.splat(0.0); V];
    for v in 0..V {
        let at = weight.wrapping_add(v * LANES).cast::<[W; LANES]>();
        // SAFETY: a vector of those that the caller promises; an array lies as its numbers do.
        weights[v] = W::load(simd, unsafe { &*at }, input);
    }
    for r in 0..R {
        // SAFETY: a number of those that the caller promises.
        let x = simd.splat(unsafe { *number.wrapping_add(r.wrapping_mul(stride)) });
        for v in 0..V {
            sums[r][v] = simd.mul_add(x, weights[v], sums[r][v]);
        }
    }
}

/// `R` rows times the columns of `V` vectors, from vector `from` on.
#[inline(always)]
fn tile<S: Simd, W: Weight, const R: usize, const V: usize>(
    simd: S,
    rows: Rows<'_>,
    columns: Columns<'_, W>,
    from: usize,
    ahead: &[W],
    finish: &mut impl FnMut(usize, usize, S::F),
) {
    let Columns { numbers, pitch, depth } = columns;
    assert!(rows.count == R && rows.numbers.len() >= (R - 1) * rows.stride + depth, "numbers of rows");
    assert!(from + V <= WIDE / LANES, "vectors of a panel");
    let steps = depth.div_ceil(W::DEEP);
    assert!(steps == 0 || numbers.len() >= (steps - 1) * pitch + WIDE, "numbers of columns");
    let mut ahead = ahead.chunks_exact(WIDE);
    let mut sums = [[simd.splat(0.0); V]; R];
    // Pointers that move without a check for overflow, which would be in the innermost loop.
    let (mut number, mut weight) = (rows.numbers.as_ptr(), numbers.as_ptr().wrapping_add(from * LANES));
    for done in (0..depth).step_by(W::DEEP) {
        // SAFETY: an input of each row and of the columns, all of which were checked to be there.
        unsafe { add_input(simd, (number, rows.stride), (weight, 0), &mut sums) };
        if W::DEEP == 2 && done + 1 < depth {
            // SAFETY: as above, the next input.
            unsafe { add_input(simd, (number.wrapping_add(1), rows.stride), (weight, 1), &mut sums) };
        }
        if let Some(row) = ahead.next() {
            simd.prefetch(must_cast_slice(row));
        }
        (number, weight) = (number.wrapping_add(W::DEEP), weight.wrapping_add(pitch));
    }
    for r in 0..R {
        for v in 0..V {
            finish(r, from + v, sums[r][v]);
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl FloatTiles for Avx512 {
    const ROWS: usize = MOST_ROWS;

    #[inline(always)]
    fn together(self) -> (usize, usize) {
        match self.pairs().and_then(Pairs::tiles) {
            Some(_) => (TOGETHER_BY_TILES, PAIR_ROWS),
            None => (TOGETHER, Self::ROWS),
        }
    }

    #[inline(always)]
    fn with_pairs(self) -> Option<(Self, Pairs)> {
        self.pairs().map(|pairs| (self, pairs))
    }

    #[inline(always)]
    fn some_rows<W: Weight>(
        self,
        rows: Rows<'_>,
        columns: Columns<'_, W>,
        ahead: &[W],
        mut finish: impl FnMut(usize, usize, Self::F),
    ) {
        match rows.count {
            1 => tile::<_, _, 1, 2>(self, rows, columns, 0, ahead, &mut finish),
            2 => tile::<_, _, 2, 2>(self, rows, columns, 0, ahead, &mut finish),
            4 => tile::<_, _, 4, 2>(self, rows, columns, 0, ahead, &mut finish),
            6 => tile::<_, _, 6, 2>(self, rows, columns, 0, ahead, &mut finish),
            8 => tile::<_, _, 8, 2>(self, rows, columns, 0, ahead, &mut finish),
            10 => tile::<_, _, 10, 2>(self, rows, columns, 0, ahead, &mut finish),
            _ => tile::<_, _, 12, 2>(self, rows, columns, 0, ahead, &mut finish),
        }
    }
}

/// For sets with registers for half the columns at a time.
macro_rules! in_halves {
    ($simd:ty) => {
        impl FloatTiles for $simd {
            const ROWS: usize = 6;

            #[inline(always)]
            fn some_rows<W: Weight>(
                self,
                rows: Rows<'_>,
                columns: Columns<'_, W>,
                mut ahead: &[W],
                mut finish: impl FnMut(usize, usize, Self::F),
            ) {
                for half in 0..2 {
                    match rows.count {
                        1 => tile::<_, _, 1, 1>(self, rows, columns, half, ahead, &mut finish),
                        2 => tile::<_, _, 2, 1>(self, rows, columns, half, ahead, &mut finish),
                        4 => tile::<_, _, 4, 1>(self, rows, columns, half, ahead, &mut finish),
                        _ => tile::<_, _, 6, 1>(self, rows, columns, half, ahead, &mut finish),
                    }
                    ahead = &[];
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
in_halves!(Avx2);
in_halves!(Portable);
