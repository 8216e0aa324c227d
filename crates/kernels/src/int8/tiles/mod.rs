//! Products of a few rows of unsigned bytes with a panel of signed ones: the inner loop of every product of an encoder.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx_vnni;
mod portable;

#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2, Avx512};
use super::simd::{Portable, Simd};
#[cfg(target_arch = "x86_64")]
pub(crate) use {amx::Amx, avx_vnni::AvxVnni};

/// Columns of a panel.
pub(crate) const WIDE: usize = 64;
/// Inputs side by side.
pub(crate) const QUAD: usize = 4;
/// Bytes of four inputs of a panel.
pub(crate) const PITCH: usize = WIDE * QUAD;
/// Most rows of a block. Rows are kept in whole blocks, so that all of one can be read.
pub(crate) const ROWS: usize = 32;

/// The sums of a block: `[ROWS, WIDE]`.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(crate) struct Sums(pub(crate) [[i32; WIDE]; ROWS]);

impl Sums {
    pub(crate) fn new() -> Self {
        Self([[0; WIDE]; ROWS])
    }
}

/// Up to [`ROWS`] rows of unsigned bytes, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<'a> {
    /// From the first byte of the first row.
    pub(crate) bytes: &'a [u8],
    /// Bytes from a row to the next.
    pub(crate) stride: usize,
    /// How many rows count.
    pub(crate) count: usize,
}

/// Columns of signed bytes: `[inputs / QUAD, columns, QUAD]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panel<'a> {
    pub(crate) bytes: &'a [i8],
    /// Columns, at most [`WIDE`] and a multiple of 16.
    pub(crate) columns: usize,
    /// Fours of inputs.
    pub(crate) quads: usize,
    /// What the sum of each column begins with.
    pub(crate) starts: &'a [i32; WIDE],
}

impl Panel<'_> {
    /// Checks that all bytes that are read are there.
    #[inline(always)]
    fn check(&self, rows: &Block<'_>, read: usize) {
        assert!(self.columns <= WIDE && self.columns.is_multiple_of(16), "columns of a panel");
        assert!(self.bytes.len() >= self.quads * self.columns * QUAD, "bytes of a panel");
        assert!(rows.count <= ROWS && rows.stride >= self.quads * QUAD, "rows of a block");
        assert!(rows.bytes.len() >= read * rows.stride, "bytes of a block");
    }
}

/// A set of instructions for products of bytes, which threads begin to use.
pub(crate) trait Set: Copy + Sync {
    /// The instructions for what is between products.
    type Simd: Simd;
    /// The proof that this thread has begun, which lives no longer than that.
    type Tiles<'a>: Tiles<Simd = Self::Simd>;

    fn simd(self) -> Self::Simd;

    /// Does work for which this thread may use the products.
    fn begin<R>(self, work: impl for<'a> FnOnce(Self::Tiles<'a>) -> R) -> R;
}

/// Sets with which there is nothing to begin.
macro_rules! always_begun {
    ($($set:ty),*) => {
        $(
            impl Set for $set {
                type Simd = Self;
                type Tiles<'a> = Self;

                #[inline(always)]
                fn simd(self) -> Self {
                    self
                }

                #[inline(always)]
                fn begin<R>(self, work: impl for<'a> FnOnce(Self) -> R) -> R {
                    work(self)
                }
            }
        )*
    };
}
always_begun!(Portable);
#[cfg(target_arch = "x86_64")]
always_begun!(Avx2, Avx512);

/// A set of instructions for products of bytes that this thread uses.
pub(crate) trait Tiles: Copy {
    /// The instructions for what is between products.
    type Simd: Simd;

    fn simd(self) -> Self::Simd;

    /// Most rows that are multiplied at once with the best use of the instructions; at most [`ROWS`].
    const BEST: usize;

    /// `sums[r][c] = starts[c] + Σ rows[r][i] · panel[i][c]` for the rows that count, in integers that wrap around.
    fn tile(self, rows: Block<'_>, panel: Panel<'_>, sums: &mut Sums);

    /// Rows of the blocks of a long product.
    const BLOCK: usize = Self::BEST;

    /// As [`tile`](Tiles::tile); meanwhile does `work` for each number below `count`, which may not use tiles.
    #[inline(always)]
    fn tile_while(
        self,
        rows: Block<'_>,
        panel: Panel<'_>,
        sums: &mut Sums,
        count: usize,
        work: impl FnMut(usize),
    ) {
        self.tile_then(rows, panel, sums, count, work);
    }

    /// The same one after the other.
    #[inline(always)]
    fn tile_then(
        self,
        rows: Block<'_>,
        panel: Panel<'_>,
        sums: &mut Sums,
        count: usize,
        mut work: impl FnMut(usize),
    ) {
        self.tile(rows, panel, sums);
        // An iterator's `for_each` need not be inlined, and would then be compiled without the instructions.
        for n in 0..count {
            work(n);
        }
    }

    /// The same of one row, of which no more than that row is read.
    #[inline(always)]
    fn one_row(self, rows: Block<'_>, panel: Panel<'_>, sums: &mut Sums) {
        self.tile(rows, panel, sums);
    }

    /// As many fours of inputs as are best multiplied, where there are so many that count and zeros behind them.
    #[inline(always)]
    fn quads(count: usize) -> usize {
        count
    }
}

/// Sets of instructions that this processor has, for encoders.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Isa {
    #[cfg(target_arch = "x86_64")]
    Amx(Amx),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    AvxVnni(AvxVnni),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    Portable(Portable),
}

/// Evaluates an expression for a set of instructions, compiled for each.
macro_rules! with_set {
    ($isa:expr, $set:ident => $value:expr) => {
        match $isa {
            #[cfg(target_arch = "x86_64")]
            $crate::int8::Isa::Amx($set) => $value,
            #[cfg(target_arch = "x86_64")]
            $crate::int8::Isa::Avx512($set) => $value,
            #[cfg(target_arch = "x86_64")]
            $crate::int8::Isa::AvxVnni($set) => $value,
            #[cfg(target_arch = "x86_64")]
            $crate::int8::Isa::Avx2($set) => $value,
            $crate::int8::Isa::Portable($set) => $value,
        }
    };
}
pub(crate) use with_set;

/// The set that layers run with, once it has been looked for.
static BEST: std::sync::OnceLock<Isa> = std::sync::OnceLock::new();

impl Isa {
    /// All sets of this processor, the best first. The last is always the portable one.
    pub(crate) fn all() -> Vec<Self> {
        let all = [
            #[cfg(target_arch = "x86_64")]
            Amx::detect().map(Self::Amx),
            #[cfg(target_arch = "x86_64")]
            Avx512::detect_pairs().map(Self::Avx512),
            #[cfg(target_arch = "x86_64")]
            Avx512::detect().map(Self::Avx512),
            #[cfg(target_arch = "x86_64")]
            AvxVnni::detect().map(Self::AvxVnni),
            #[cfg(target_arch = "x86_64")]
            Avx2::detect().map(Self::Avx2),
            Some(Self::Portable(Portable)),
        ];
        all.into_iter().flatten().collect()
    }

    /// The best set of this processor.
    pub(crate) fn best() -> Self {
        *BEST.get_or_init(|| Self::all()[0])
    }

    /// Makes the best of those that are allowed the [best](Isa::best), unless it has been looked for.
    pub(crate) fn limit(allowed: impl Fn(&Self) -> bool) -> Result<(), Self> {
        let best = Self::all().into_iter().find(allowed).unwrap_or(Self::Portable(Portable));
        BEST.set(best)
    }

    /// The set for one product of so many multiplications: to begin with tiles takes as long as a small one.
    pub(crate) fn for_product(self, multiplications: usize) -> Self {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx(set) if multiplications < amx::LEAST => Self::Avx512(set.simd()),
            set => {
                let _ = multiplications;
                set
            }
        }
    }

    /// Whether rows without zeros are multiplied faster with this set than by the loops over forms.
    pub(crate) fn is_best_of_dense_rows(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx(_) | Self::Avx512(_) | Self::AvxVnni(_) => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => false,
            Self::Portable(_) => false,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx(_) => "amx",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(set) if set.pairs().is_some() => "avx512-bf16",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512-vnni",
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(_) => "avx-vnni",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            Self::Portable(_) => "portable",
        }
    }
}

#[cfg(test)]
mod tests;
