//! Sixteen numbers at a time, on each set of instructions.
//!
//! What is between the products of an encoder is written once, over [`Simd`]. A token of it exists only on processors
//! that have its instructions. Every operation is one IEEE 754 single-precision operation a lane, sums over lanes are
//! taken in one order, and fused operations are fused everywhere, so all sets give the same bits.

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512, Pairs};

/// Numbers of a vector.
pub(crate) const LANES: usize = 16;

/// A set of instructions for vectors of sixteen floats or sixteen 32-bit integers.
pub(crate) trait Simd: Copy {
    /// Sixteen floats.
    type F: Copy;
    /// Sixteen integers.
    type I: Copy;

    /// Runs what is given in code that is compiled for these instructions; `op` must be `#[inline(always)]` down to
    /// the operations below.
    fn vectorize<R>(self, op: impl FnOnce() -> R) -> R;

    /// Asks for bytes that are soon to be read, where there is an instruction for it.
    #[inline(always)]
    fn prefetch(self, bytes: &[i8]) {
        let _ = bytes;
    }

    fn splat(self, x: f32) -> Self::F;
    fn splat_i(self, x: i32) -> Self::I;
    fn load(self, from: &[f32; LANES]) -> Self::F;
    fn store(self, x: Self::F, to: &mut [f32; LANES]);
    fn load_i(self, from: &[i32; LANES]) -> Self::I;

    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b + c`, rounded once.
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    fn abs(self, a: Self::F) -> Self::F;
    /// `table[i]` for each integer, of which the five lowest bits count.
    fn look_up(self, table: &[f32; 2 * LANES], i: Self::I) -> Self::F;

    fn add_i(self, a: Self::I, b: Self::I) -> Self::I;
    fn max_i(self, a: Self::I, b: Self::I) -> Self::I;
    fn min_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a << 23`: to where the exponent of a float is.
    fn to_exponent(self, a: Self::I) -> Self::I;
    /// `(a0 & 255) | (a1 & 255) << 8 | (a2 & 255) << 16 | a3 << 24`.
    fn four_bytes(self, a: [Self::I; 4]) -> Self::I;
    fn bits(self, a: Self::F) -> Self::I;
    fn from_bits(self, a: Self::I) -> Self::F;
    /// Integers as floats.
    fn float(self, a: Self::I) -> Self::F;
    /// The lower 16 bits of each integer as those of a bfloat16.
    fn low_half(self, a: Self::I) -> Self::F;
    /// The upper 16 bits of each integer as those of a bfloat16.
    fn high_half(self, a: Self::I) -> Self::F;
    /// Floats, held within 32 bits, as integers, ties to even.
    fn round(self, a: Self::F) -> Self::I;

    /// Four vectors as 64 bytes, held within `-128..=127` and turned over at the highest bit: 128 more.
    fn offset_bytes(self, a: [Self::I; 4]) -> [u8; 4 * LANES];
    /// Four vectors as 64 bytes, held within `-128..=127`.
    fn narrow(self, a: [Self::I; 4]) -> Self::I;
    /// Integers `q` of the lower half of vector `n` become the integers `n` of the lower half of vector `q`; so do those of
    /// the upper half.
    fn turn(self, a: [Self::I; 8]) -> [Self::I; 8];
    /// The bits of each integer, for storing.
    fn words(self, a: Self::I) -> [i32; LANES];
    /// Integers of `0..=255` as bytes.
    fn low_bytes(self, a: Self::I) -> [u8; LANES];

    /// The sum of all, added half to half.
    fn sum(self, a: Self::F) -> f32;
    /// The largest of all.
    fn largest(self, a: Self::F) -> f32;
    /// The largest of all.
    fn largest_i(self, a: Self::I) -> i32;
}
