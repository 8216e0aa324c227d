//! Products by AMX: 16 rows times 16 columns times 64 inputs in one instruction.
//!
//! A tile of the panel is 16 rows of 64 bytes, each four inputs of 16 columns, which is how panels lie; so nothing is
//! laid out anew. Tile registers are configured by [`begin`](Set::begin).

use super::{Block, PITCH, Panel, QUAD, ROWS, Set, Sums, Tiles, WIDE};
use crate::amx::{Configured, HIGH, TileRegisters};
use crate::int8::simd::Avx512;
use std::arch::asm;

/// Inputs of a tile.
const DEPTH: usize = 64;
/// Multiplications of a product from which on tiles are faster than vectors, where it is the only one that they begin with.
pub(super) const LEAST: usize = 1 << 18;
/// Most rows that are multiplied faster by vectors.
const FEW: usize = 3;
/// Bytes of a row of sums.
const SUMS: usize = 4 * WIDE;

/// The proof that this processor has AMX besides [`Avx512`] and what rounds to bfloat16, and that the system lets this process use it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amx(Avx512, TileRegisters);

/// The same, and that tile registers of this thread are configured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AmxTiles<'a>(Avx512, Configured<'a>);

impl Amx {
    /// A token if this processor has the instructions and the system grants them.
    pub(crate) fn detect() -> Option<Self> {
        let registers = TileRegisters::detect()?;
        Avx512::detect_with_tiles(registers).map(|simd| Self(simd, registers))
    }
}

impl Set for Amx {
    type Simd = Avx512;
    type Tiles<'a> = AmxTiles<'a>;

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self.0
    }

    #[inline(always)]
    fn begin<R>(self, work: impl for<'a> FnOnce(AmxTiles<'a>) -> R) -> R {
        self.1.configured(
            #[inline(always)]
            |configured| work(AmxTiles(self.0, configured)),
        )
    }
}

impl Tiles for AmxTiles<'_> {
    type Simd = Avx512;

    const BEST: usize = ROWS;

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self.0
    }

    #[inline(always)]
    fn tile(self, rows: Block<'_>, panel: Panel<'_>, sums: &mut Sums) {
        let whole = (panel.quads * QUAD).is_multiple_of(DEPTH) && panel.columns.is_multiple_of(2 * HIGH);
        if !whole || rows.count <= FEW {
            return self.simd().tile(rows, panel, sums);
        }
        let steps = panel.quads * QUAD / DEPTH;
        let (x, w, starts) = (rows.bytes.as_ptr(), panel.bytes.as_ptr(), panel.starts.as_ptr());
        let to = sums.0.as_mut_ptr().cast::<i32>();
        if rows.count <= HIGH && panel.columns == WIDE {
            panel.check(&rows, HIGH);
            // SAFETY: the token is the proof that tiles are configured; 16 rows of the block, the columns of the panel, and 16
            // rows of sums are there, as was checked.
            return unsafe { one_by_four(x, rows.stride, w, steps, starts, to) };
        }
        panel.check(&rows, ROWS);
        let pitch = panel.columns * QUAD;
        for column in (0..panel.columns).step_by(2 * HIGH) {
            // SAFETY: as above, with 32 rows and 32 columns.
            unsafe {
                let (w, starts) = (w.add(column * QUAD), starts.add(column));
                two_by_two((x, rows.stride), (w, pitch), steps, starts, to.add(column));
            }
        }
    }

    /// Tile registers work beside all others, so what is given is done between the steps of the product.
    #[inline(always)]
    fn tile_while(
        self,
        rows: Block<'_>,
        panel: Panel<'_>,
        sums: &mut Sums,
        count: usize,
        mut work: impl FnMut(usize),
    ) {
        let steps = panel.quads * QUAD / DEPTH;
        let whole = (panel.quads * QUAD).is_multiple_of(DEPTH) && panel.columns == WIDE && steps > 0;
        if !whole || rows.count <= HIGH {
            return self.tile_then(rows, panel, sums, count, work);
        }
        panel.check(&rows, ROWS);
        let mut done = 0;
        // All is done with the last of the steps, of which there are twice as many.
        let each = count.div_ceil(2 * steps);
        let to = sums.0.as_mut_ptr().cast::<i32>();
        for column in [0, 2 * HIGH] {
            // SAFETY: the token is the proof that tiles are configured; 32 rows of the block, half the columns of the panel,
            // and 32 rows of sums are there, as was checked.
            unsafe {
                begin_two_by_two(panel.starts.as_ptr().add(column));
                for step in 0..steps {
                    let x = rows.bytes.as_ptr().add(step * DEPTH);
                    let w = panel.bytes.as_ptr().add(step * DEPTH / QUAD * PITCH + column * QUAD);
                    step_two_by_two(x, rows.stride, w);
                    for n in done..count.min(done + each) {
                        work(n);
                    }
                    done = count.min(done + each);
                }
                end_two_by_two(to.add(column));
            }
        }
    }

    #[inline(always)]
    fn one_row(self, rows: Block<'_>, panel: Panel<'_>, sums: &mut Sums) {
        self.simd().one_row(rows, panel, sums);
    }

    #[inline(always)]
    fn quads(count: usize) -> usize {
        count.next_multiple_of(DEPTH / QUAD)
    }
}

/// Four tiles of sums, each row of which begins with the starts: a stride of none. They are side by side or two by two.
macro_rules! load_sums {
    ($second:literal, $third:literal, $fourth:literal) => {
        concat!(
            "tileloadd tmm0, [{starts} + {none}]\n",
            "tileloadd tmm1, [{starts} + {none} + ",
            $second,
            "]\n",
            "tileloadd tmm2, [{starts} + {none} + ",
            $third,
            "]\n",
            "tileloadd tmm3, [{starts} + {none} + ",
            $fourth,
            "]",
        )
    };
}

/// 64 inputs of 32 rows times 32 columns. Of a panel, which no more than a few blocks of rows pass, the nearest cache is told to
/// keep nothing: it has room for the rows.
macro_rules! step_two_by_two {
    () => {
        concat!(
            "tileloadd tmm4, [{x} + {stride}]\n",
            "tileloaddt1 tmm6, [{w} + {pitch}]\n",
            "tileloadd tmm5, [{below} + {stride}]\n",
            "tdpbusd tmm0, tmm4, tmm6\n",
            "tileloaddt1 tmm7, [{w} + {pitch} + 64]\n",
            "tdpbusd tmm2, tmm5, tmm6\n",
            "tdpbusd tmm1, tmm4, tmm7\n",
            "tdpbusd tmm3, tmm5, tmm7",
        )
    };
}

/// 32 rows times 32 columns of a panel, which has `pitch` bytes for four inputs.
///
/// # Safety
/// Tiles must be configured. `steps` times 64 bytes must be there in 32 rows of `stride`, as many fours of inputs in the
/// panel, 32 starts, and 32 rows of [`WIDE`] sums with 32 columns.
#[inline(always)]
unsafe fn two_by_two(
    (x, stride): (*const u8, usize),
    (w, pitch): (*const i8, usize),
    steps: usize,
    starts: *const i32,
    to: *mut i32,
) {
    // SAFETY: reads and writes what the caller promises to be there, and no register but those named.
    unsafe {
        asm!(
            load_sums!("64", "0", "64"),
            "2:",
            step_two_by_two!(),
            "add {x}, 64",
            "add {below}, 64",
            "add {w}, {tile}",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{to} + {row}], tmm0",
            "tilestored [{to} + {row} + 64], tmm1",
            "add {to}, {lower}",
            "tilestored [{to} + {row}], tmm2",
            "tilestored [{to} + {row} + 64], tmm3",
            starts = in(reg) starts, none = in(reg) 0_usize, stride = in(reg) stride, pitch = in(reg) pitch,
            x = inout(reg) x => _, below = inout(reg) x.add(HIGH * stride) => _, w = inout(reg) w => _,
            tile = in(reg) HIGH * pitch, steps = inout(reg) steps => _, row = in(reg) SUMS,
            to = inout(reg) to => _, lower = const HIGH * SUMS,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _,
            out("tmm6") _, out("tmm7") _, options(nostack)
        );
    }
}

/// What [`two_by_two`] begins with, for panels of 64 columns. Tile registers keep their numbers from here to
/// [`end_two_by_two`]: nothing that the compiler makes uses them, and no work between the steps does.
///
/// # Safety
/// Tiles must be configured, and 32 starts be there.
#[inline(always)]
unsafe fn begin_two_by_two(starts: *const i32) {
    // SAFETY: reads what the caller promises to be there into registers of tiles.
    unsafe {
        asm!(
            load_sums!("64", "0", "64"),
            starts = in(reg) starts, none = in(reg) 0_usize,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, options(nostack, readonly)
        );
    }
}

/// One step of [`two_by_two`]: 64 inputs.
///
/// # Safety
/// As [`two_by_two`], for one step and a pitch of 256, after [`begin_two_by_two`].
#[inline(always)]
unsafe fn step_two_by_two(x: *const u8, stride: usize, w: *const i8) {
    // SAFETY: reads what the caller promises to be there, and changes registers of tiles.
    unsafe {
        asm!(
            step_two_by_two!(),
            x = in(reg) x, below = in(reg) x.add(HIGH * stride), stride = in(reg) stride, w = in(reg) w,
            pitch = in(reg) PITCH,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _,
            out("tmm6") _, out("tmm7") _, options(nostack, readonly)
        );
    }
}

/// What [`two_by_two`] ends with.
///
/// # Safety
/// As [`two_by_two`], after its steps.
#[inline(always)]
unsafe fn end_two_by_two(to: *mut i32) {
    // SAFETY: writes the sums that the caller promises to be there.
    unsafe {
        asm!(
            "tilestored [{to} + {row}], tmm0",
            "tilestored [{to} + {row} + 64], tmm1",
            "tilestored [{lower} + {row}], tmm2",
            "tilestored [{lower} + {row} + 64], tmm3",
            to = in(reg) to, lower = in(reg) to.add(HIGH * WIDE), row = in(reg) SUMS, options(nostack)
        );
    }
}

/// 16 rows times the 64 columns of a panel.
///
/// # Safety
/// As [`two_by_two`], with 16 rows, 64 columns and a pitch of 256.
#[inline(always)]
unsafe fn one_by_four(
    x: *const u8,
    stride: usize,
    w: *const i8,
    steps: usize,
    starts: *const i32,
    to: *mut i32,
) {
    // SAFETY: reads and writes what the caller promises to be there, and no register but those named.
    unsafe {
        asm!(
            load_sums!("64", "128", "192"),
            "2:",
            "tileloadd tmm4, [{x} + {stride}]",
            "tileloadd tmm5, [{w} + {pitch}]",
            "tdpbusd tmm0, tmm4, tmm5",
            "tileloadd tmm6, [{w} + {pitch} + 64]",
            "tdpbusd tmm1, tmm4, tmm6",
            "tileloadd tmm7, [{w} + {pitch} + 128]",
            "tdpbusd tmm2, tmm4, tmm7",
            "tileloadd tmm5, [{w} + {pitch} + 192]",
            "tdpbusd tmm3, tmm4, tmm5",
            "add {x}, 64",
            "add {w}, {tile}",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{to} + {pitch}], tmm0",
            "tilestored [{to} + {pitch} + 64], tmm1",
            "tilestored [{to} + {pitch} + 128], tmm2",
            "tilestored [{to} + {pitch} + 192], tmm3",
            starts = in(reg) starts, none = in(reg) 0_usize, stride = in(reg) stride, pitch = in(reg) PITCH,
            x = inout(reg) x => _, w = inout(reg) w => _, tile = const DEPTH / QUAD * PITCH,
            steps = inout(reg) steps => _, to = in(reg) to,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _,
            out("tmm6") _, out("tmm7") _, options(nostack)
        );
    }
}
