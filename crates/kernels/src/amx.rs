//! The registers of AMX: eight tiles of 16 rows of 64 bytes.
//!
//! They have no stable intrinsics, so instructions on them are written out. They belong to the thread, and nothing that the
//! compiler makes uses them.

use std::arch::asm;
use std::cell::Cell;
use std::marker::PhantomData;

/// Rows of a tile, and columns of sums of 32 bits.
pub(crate) const HIGH: usize = 16;

/// Bits of leaf 7, `edx`: tiles, and their products of bytes and of bfloat16.
const TILE: u32 = 1 << 24;
const INT8: u32 = 1 << 25;
const BF16: u32 = 1 << 22;

/// The proof that this processor has AMX with products of bytes and of bfloat16, and that the system lets this process use it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TileRegisters(());

/// What `ldtilecfg` reads: palette 1, all eight tiles of 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

static CONFIGURATION: Configuration = Configuration {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

impl TileRegisters {
    /// A token if this processor has the instructions and the system grants them. Every processor with products of bytes has
    /// those of bfloat16, too.
    pub(crate) fn detect() -> Option<Self> {
        (has_instructions() && is_granted()).then_some(Self(()))
    }

    /// Does work for which the registers of this thread are configured.
    #[inline(always)]
    pub(crate) fn configured<R>(self, work: impl for<'a> FnOnce(Configured<'a>) -> R) -> R {
        let _configuring = Configuring::new(self);
        work(Configured(PhantomData))
    }
}

/// Whether the processor names AMX and its products.
fn has_instructions() -> bool {
    const ALL: u32 = TILE | INT8 | BF16;
    if cfg!(miri) || std::arch::x86_64::__cpuid(0).eax < 7 {
        return false;
    }
    std::arch::x86_64::__cpuid_count(7, 0).edx & ALL == ALL
}

/// Asks Linux for the state of tiles: `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`. Granted once, it is for all
/// threads of the process. Other systems are not asked.
fn is_granted() -> bool {
    #[cfg(target_os = "linux")]
    {
        const ARCH_PRCTL: i64 = 158;
        const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
        const XTILEDATA: i64 = 18;
        let result: i64;
        // SAFETY: a system call that takes two numbers, touches no memory, and changes what the process is permitted to do
        // and nothing else. The instruction overwrites the two registers that are named.
        unsafe {
            asm!(
                "syscall", inlateout("rax") ARCH_PRCTL => result, in("rdi") ARCH_REQ_XCOMP_PERM, in("rsi") XTILEDATA,
                out("rcx") _, out("r11") _, options(nostack)
            );
        }
        result == 0
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// The proof that tile registers of this thread are configured. It cannot go to another thread, nor leave the work that it was
/// given to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Configured<'a>(PhantomData<(&'a Cell<()>, *const ())>);

thread_local! {
    /// How many [`Configuring`] there are on this thread.
    static DEPTH_OF_WORK: Cell<usize> = const { Cell::new(0) };
}

/// Keeps tile registers configured as long as it lives.
struct Configuring;

impl Configuring {
    #[inline(always)]
    fn new(_proof: TileRegisters) -> Self {
        let depth = DEPTH_OF_WORK.replace(DEPTH_OF_WORK.get() + 1);
        if depth == 0 {
            // SAFETY: the token is the proof of the instruction, which reads the 64 bytes of the configuration and sets
            // tile registers, which nothing else uses.
            unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const CONFIGURATION, options(nostack, readonly)) }
        }
        Self
    }
}

impl Drop for Configuring {
    #[inline(always)]
    fn drop(&mut self) {
        let depth = DEPTH_OF_WORK.replace(DEPTH_OF_WORK.get() - 1);
        if depth == 1 {
            // SAFETY: made with the proof of the instruction, which clears tile registers.
            unsafe { asm!("tilerelease", options(nostack, nomem)) }
        }
    }
}
