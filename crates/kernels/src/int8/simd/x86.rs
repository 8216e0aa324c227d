//! The operations in vectors of 512 and of 256 bits.
//!
//! # Unsafe code
//!
//! Every operation is a call of an instruction, or of a few, that the token's [`detect`](Avx512::detect) found on this
//! processor: that is the argument of every `unsafe` block here but those at loads and stores, which read and write
//! arrays of just the size that the instruction takes, from addresses that need not be aligned, and where a vector
//! becomes an array of as many bytes, each of which is any number.

use super::{LANES, Simd};
use crate::amx::TileRegisters;
use bytemuck::must_cast;
use std::arch::x86_64::*;
use std::mem::transmute;

/// The proof that this processor has AVX-512 F, BW, VL, DQ and VNNI, AVX2 and FMA; and maybe [`Pairs`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(Option<Pairs>);

/// The proof that this processor has AVX-512 BF16 besides [`Avx512`], and that it multiplies more numbers in a second with it, or
/// with tiles, than with 32-bit products.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pairs(Option<TileRegisters>);

/// The proof that this processor has AVX2, FMA and POPCNT.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx512 {
    /// A token if this processor has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vnni");
        Avx2::detect().filter(|_| all).map(|_| Self(None))
    }

    /// The same, if the processor has [`Pairs`] without tiles, too.
    pub(crate) fn detect_pairs() -> Option<Self> {
        let has_pairs = is_x86_feature_detected!("avx512bf16") && is_amd();
        Self::detect().filter(|_| has_pairs).map(|_| Self(Some(Pairs(None))))
    }

    /// The same with [`Pairs`] that are multiplied by tiles, if the processor has what rounds to them.
    pub(crate) fn detect_with_tiles(registers: TileRegisters) -> Option<Self> {
        let rounds = is_x86_feature_detected!("avx512bf16");
        Self::detect().filter(|_| rounds).map(|_| Self(Some(Pairs(Some(registers)))))
    }

    /// What multiplies pairs of bfloat16, if it is to be used.
    #[inline(always)]
    pub(crate) fn pairs(self) -> Option<Pairs> {
        self.0
    }
}

impl Pairs {
    /// The tiles that multiply them, where that is not done by vectors.
    #[inline(always)]
    pub(crate) fn tiles(self) -> Option<TileRegisters> {
        self.0
    }
}

/// Whether AMD made the processor. With theirs `vdpbf16ps` starts as often as a product of 32 bits; with those of Intel that were
/// measured a quarter as often, so that it is the slower way.
fn is_amd() -> bool {
    if cfg!(miri) {
        return false;
    }
    let name = __cpuid(0);
    [name.ebx, name.edx, name.ecx].map(u32::to_le_bytes).concat() == b"AuthenticAMD"
}

impl Avx2 {
    /// A token if this processor has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("popcnt");
        all.then_some(Self(()))
    }
}

/// Methods that are each one expression of instructions which the token stands for.
macro_rules! instructions {
    ($($name:ident($($argument:ident: $of:ty),*) -> $result:ty = $value:expr;)*) => {
        $(
            #[inline(always)]
            fn $name(self, $($argument: $of),*) -> $result {
                // SAFETY: see the head of this file.
                #[allow(unused_unsafe)] // of two vectors that are moved only
                unsafe {
                    $value
                }
            }
        )*
    };
}

impl Simd for Avx512 {
    type F = __m512;
    type I = __m512i;

    #[inline(always)]
    fn vectorize<R>(self, op: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
        fn inner<R>(op: impl FnOnce() -> R) -> R {
            op()
        }
        // SAFETY: the token is the proof of these instructions.
        unsafe { inner(op) }
    }

    #[inline(always)]
    fn prefetch(self, bytes: &[i8]) {
        for line in bytes.as_chunks::<64>().0 {
            // SAFETY: an instruction that reads nothing; the address is that of a byte.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr()) };
        }
    }

    instructions! {
        splat(x: f32) -> __m512 = _mm512_set1_ps(x);
        splat_i(x: i32) -> __m512i = _mm512_set1_epi32(x);
        load(from: &[f32; LANES]) -> __m512 = _mm512_loadu_ps(from.as_ptr());
        store(x: __m512, to: &mut [f32; LANES]) -> () = _mm512_storeu_ps(to.as_mut_ptr(), x);
        load_i(from: &[i32; LANES]) -> __m512i = _mm512_loadu_si512(from.as_ptr().cast());
        add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        mul_add(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        min(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);
        abs(a: __m512) -> __m512 = _mm512_abs_ps(a);
        look_up(table: &[f32; 2 * LANES], i: __m512i) -> __m512 = {
            let (low, high) = (table.as_ptr(), table.as_ptr().add(LANES));
            _mm512_permutex2var_ps(_mm512_loadu_ps(low), i, _mm512_loadu_ps(high))
        };
        add_i(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi32(a, b);
        max_i(a: __m512i, b: __m512i) -> __m512i = _mm512_max_epi32(a, b);
        min_i(a: __m512i, b: __m512i) -> __m512i = _mm512_min_epi32(a, b);
        to_exponent(a: __m512i) -> __m512i = _mm512_slli_epi32::<23>(a);
        four_bytes(a: [__m512i; 4]) -> __m512i = {
            let low = _mm512_set1_epi32(255);
            let a01 = _mm512_or_si512(
                _mm512_and_si512(a[0], low), _mm512_slli_epi32::<8>(_mm512_and_si512(a[1], low)));
            let a23 = _mm512_or_si512(
                _mm512_slli_epi32::<16>(_mm512_and_si512(a[2], low)), _mm512_slli_epi32::<24>(a[3]));
            _mm512_or_si512(a01, a23)
        };
        bits(a: __m512) -> __m512i = _mm512_castps_si512(a);
        from_bits(a: __m512i) -> __m512 = _mm512_castsi512_ps(a);
        float(a: __m512i) -> __m512 = _mm512_cvtepi32_ps(a);
        low_half(a: __m512i) -> __m512 = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(a));
        high_half(a: __m512i) -> __m512 =
            _mm512_castsi512_ps(_mm512_and_si512(a, _mm512_set1_epi32(-0x1_0000)));
        round(a: __m512) -> __m512i = _mm512_cvtps_epi32(a);
        offset_bytes(a: [__m512i; 4]) -> [u8; 4 * LANES] = {
            let bytes = _mm512_xor_si512(Self(None).narrow(a), _mm512_set1_epi8(i8::MIN));
            transmute::<__m512i, [u8; 64]>(bytes)
        };
        narrow(a: [__m512i; 4]) -> __m512i = {
            let ab = _mm512_packs_epi32(a[0], a[1]);
            let cd = _mm512_packs_epi32(a[2], a[3]);
            // Packed within quarters: fours of all four vectors, then those of the next quarters.
            let bytes = _mm512_packs_epi16(ab, cd);
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            _mm512_permutexvar_epi32(order, bytes)
        };
        turn(a: [__m512i; 8]) -> [__m512i; 8] = {
            let first = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
            let second = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
            let [mut all, mut fours] = [a; 2];
            for h in 0..2 {
                let [a, b, c, d] = [a[4 * h], a[4 * h + 1], a[4 * h + 2], a[4 * h + 3]];
                let (low, high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
                let (below, above) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
                fours[4 * h] = _mm512_unpacklo_epi64(low, below);
                fours[4 * h + 1] = _mm512_unpackhi_epi64(low, below);
                fours[4 * h + 2] = _mm512_unpacklo_epi64(high, above);
                fours[4 * h + 3] = _mm512_unpackhi_epi64(high, above);
            }
            for q in 0..4 {
                all[q] = _mm512_permutex2var_epi64(fours[q], first, fours[4 + q]);
                all[4 + q] = _mm512_permutex2var_epi64(fours[q], second, fours[4 + q]);
            }
            all
        };
        words(a: __m512i) -> [i32; LANES] = transmute::<__m512i, [i32; LANES]>(a);
        low_bytes(a: __m512i) -> [u8; LANES] = must_cast(_mm512_cvtepi32_epi8(a));
        sum(a: __m512) -> f32 = {
            let half = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            sum_of_8(half)
        };
        largest(a: __m512) -> f32 = {
            let half = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            largest_of_8(half)
        };
        largest_i(a: __m512i) -> i32 = {
            let half = _mm256_max_epi32(_mm512_castsi512_si256(a), _mm512_extracti64x4_epi64::<1>(a));
            largest_of_8_i(half)
        };
    }
}

/// The sum of eight, half to half.
///
/// # Safety
/// The processor must have AVX2.
#[inline(always)]
unsafe fn sum_of_8(a: __m256) -> f32 {
    // SAFETY: what the caller promises.
    unsafe {
        let a = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let a = _mm_add_ps(a, _mm_movehl_ps(a, a));
        _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)))
    }
}

/// The largest of eight.
///
/// # Safety
/// The processor must have AVX2.
#[inline(always)]
unsafe fn largest_of_8(a: __m256) -> f32 {
    // SAFETY: what the caller promises.
    unsafe {
        let a = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let a = _mm_max_ps(a, _mm_movehl_ps(a, a));
        _mm_cvtss_f32(_mm_max_ss(a, _mm_movehdup_ps(a)))
    }
}

/// The largest of eight integers.
///
/// # Safety
/// The processor must have AVX2.
#[inline(always)]
unsafe fn largest_of_8_i(a: __m256i) -> i32 {
    // SAFETY: what the caller promises.
    unsafe {
        let a = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256::<1>(a));
        let a = _mm_max_epi32(a, _mm_shuffle_epi32::<0b01_00_11_10>(a));
        _mm_cvtsi128_si32(_mm_max_epi32(a, _mm_shuffle_epi32::<0b10_11_00_01>(a)))
    }
}

/// Sixteen floats in two vectors.
type F2 = [__m256; 2];
/// Sixteen integers in two vectors.
type I2 = [__m256i; 2];

impl Simd for Avx2 {
    type F = F2;
    type I = I2;

    #[inline(always)]
    fn vectorize<R>(self, op: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx2,fma,popcnt")]
        fn inner<R>(op: impl FnOnce() -> R) -> R {
            op()
        }
        // SAFETY: the token is the proof of these instructions.
        unsafe { inner(op) }
    }

    instructions! {
        splat(x: f32) -> F2 = [_mm256_set1_ps(x); 2];
        splat_i(x: i32) -> I2 = [_mm256_set1_epi32(x); 2];
        load(from: &[f32; LANES]) -> F2 =
            [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))];
        store(x: F2, to: &mut [f32; LANES]) -> () = {
            _mm256_storeu_ps(to.as_mut_ptr(), x[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), x[1]);
        };
        load_i(from: &[i32; LANES]) -> I2 = must_cast(*from);
        add(a: F2, b: F2) -> F2 = [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])];
        sub(a: F2, b: F2) -> F2 = [_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])];
        mul(a: F2, b: F2) -> F2 = [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])];
        div(a: F2, b: F2) -> F2 = [_mm256_div_ps(a[0], b[0]), _mm256_div_ps(a[1], b[1])];
        mul_add(a: F2, b: F2, c: F2) -> F2 =
            [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])];
        max(a: F2, b: F2) -> F2 = [_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])];
        min(a: F2, b: F2) -> F2 = [_mm256_min_ps(a[0], b[0]), _mm256_min_ps(a[1], b[1])];
        abs(a: F2) -> F2 = {
            let signs = _mm256_set1_ps(-0.0);
            [_mm256_andnot_ps(signs, a[0]), _mm256_andnot_ps(signs, a[1])]
        };
        look_up(table: &[f32; 2 * LANES], i: I2) -> F2 = {
            let low = _mm256_set1_epi32(31);
            // Indices of 0 to 31, within the table.
            [
                _mm256_i32gather_ps::<4>(table.as_ptr(), _mm256_and_si256(i[0], low)),
                _mm256_i32gather_ps::<4>(table.as_ptr(), _mm256_and_si256(i[1], low)),
            ]
        };
        add_i(a: I2, b: I2) -> I2 = [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])];
        max_i(a: I2, b: I2) -> I2 = [_mm256_max_epi32(a[0], b[0]), _mm256_max_epi32(a[1], b[1])];
        min_i(a: I2, b: I2) -> I2 = [_mm256_min_epi32(a[0], b[0]), _mm256_min_epi32(a[1], b[1])];
        to_exponent(a: I2) -> I2 = [_mm256_slli_epi32::<23>(a[0]), _mm256_slli_epi32::<23>(a[1])];
        four_bytes(a: [I2; 4]) -> I2 = {
            let low = _mm256_set1_epi32(255);
            let mut all = a[0];
            for h in 0..2 {
                let a01 = _mm256_or_si256(
                    _mm256_and_si256(a[0][h], low), _mm256_slli_epi32::<8>(_mm256_and_si256(a[1][h], low)));
                let a23 = _mm256_or_si256(
                    _mm256_slli_epi32::<16>(_mm256_and_si256(a[2][h], low)), _mm256_slli_epi32::<24>(a[3][h]));
                all[h] = _mm256_or_si256(a01, a23);
            }
            all
        };
        bits(a: F2) -> I2 = [_mm256_castps_si256(a[0]), _mm256_castps_si256(a[1])];
        from_bits(a: I2) -> F2 = [_mm256_castsi256_ps(a[0]), _mm256_castsi256_ps(a[1])];
        float(a: I2) -> F2 = [_mm256_cvtepi32_ps(a[0]), _mm256_cvtepi32_ps(a[1])];
        low_half(a: I2) -> F2 = [
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(a[0])),
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(a[1])),
        ];
        high_half(a: I2) -> F2 = {
            let high = _mm256_set1_epi32(-0x1_0000);
            [
                _mm256_castsi256_ps(_mm256_and_si256(a[0], high)),
                _mm256_castsi256_ps(_mm256_and_si256(a[1], high)),
            ]
        };
        round(a: F2) -> I2 = [_mm256_cvtps_epi32(a[0]), _mm256_cvtps_epi32(a[1])];
        offset_bytes(a: [I2; 4]) -> [u8; 4 * LANES] = {
            let (bytes, highest) = (Self(()).narrow(a), _mm256_set1_epi8(i8::MIN));
            must_cast([_mm256_xor_si256(bytes[0], highest), _mm256_xor_si256(bytes[1], highest)])
        };
        narrow(a: [I2; 4]) -> I2 = {
            let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            let mut all = [_mm256_setzero_si256(); 2];
            for h in 0..2 {
                let (a, b) = (a[2 * h], a[2 * h + 1]);
                let bytes = _mm256_packs_epi16(
                    _mm256_packs_epi32(a[0], a[1]), _mm256_packs_epi32(b[0], b[1]));
                all[h] = _mm256_permutevar8x32_epi32(bytes, order);
            }
            all
        };
        turn(a: [I2; 8]) -> [I2; 8] = {
            let mut all = a;
            for h in 0..2 {
                let mut fours = [_mm256_setzero_si256(); 8];
                for n in [0, 4] {
                    let [a, b, c, d] = [a[n][h], a[n + 1][h], a[n + 2][h], a[n + 3][h]];
                    let (low, high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
                    let (below, above) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
                    fours[n] = _mm256_unpacklo_epi64(low, below);
                    fours[n + 1] = _mm256_unpackhi_epi64(low, below);
                    fours[n + 2] = _mm256_unpacklo_epi64(high, above);
                    fours[n + 3] = _mm256_unpackhi_epi64(high, above);
                }
                for q in 0..4 {
                    all[q][h] = _mm256_permute2x128_si256::<0x20>(fours[q], fours[4 + q]);
                    all[4 + q][h] = _mm256_permute2x128_si256::<0x31>(fours[q], fours[4 + q]);
                }
            }
            all
        };
        words(a: I2) -> [i32; LANES] = must_cast(a);
        low_bytes(a: I2) -> [u8; LANES] = {
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(a[0], a[1]));
            let (low, high) = (_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            must_cast(_mm_packus_epi16(low, high))
        };
        sum(a: F2) -> f32 = sum_of_8(_mm256_add_ps(a[0], a[1]));
        largest(a: F2) -> f32 = largest_of_8(_mm256_max_ps(a[0], a[1]));
        largest_i(a: I2) -> i32 = largest_of_8_i(_mm256_max_epi32(a[0], a[1]));
    }
}
