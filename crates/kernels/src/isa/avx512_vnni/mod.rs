//! Loops for x86-64 processors with AVX-512 and its instructions for products of bytes: sixteen sums at a time.
//!
//! AVX-512 has no instruction that moves the signs of activations to weights. Where vectors are of 512 bits and an
//! activation is negative, `w + 128` is multiplied as an unsigned byte by `x` as a signed one, and `128 · Σ x`, which
//! is the same for every output, is taken away. Sums may wrap around on the way; since the result fits into 32 bits,
//! it is exact all the same.

mod floats;
mod wide;

use super::avx2::steps::{four_narrow_rows, four_rows, load, look_up, none_negative, store, store_in_order};
use super::avx2::{Avx2, forward_to_avx2};
use super::cuts::{self, Touched};
use super::x86_bytes::byte_loops;
use super::{FloatBlocks, Kernels, Rescale, byte_kernels, portable};
use crate::form::{Chunks, Panels, Strips, Tiles};
use crate::lanes::{LANES, QUAD, TILE, UNROLL};
use bytemuck::must_cast;
use std::arch::x86_64::*;
use wide::{widest_rows, widest_tiles};

/// The proof that this processor has AVX-512 F, BW, VL and VNNI and all of [`Avx2`]: only [`Avx512Vnni::detect`]
/// makes one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512Vnni(Avx2);

impl Avx512Vnni {
    /// A token if this processor has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni");
        Avx2::detect().filter(|_| all).map(Self)
    }
}

impl Kernels for Avx512Vnni {
    byte_kernels!();
    forward_to_avx2!(but rows of floats);

    fn rows_f32(self, weights: &[f32], stride: usize, columns: &[u32], values: &[f32], sums: &mut [f32]) {
        // SAFETY: `self` exists only if the processor has these instructions.
        unsafe { floats::rows_f32(weights, stride, columns, values, sums) }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512vnni")]
fn add_fours<const SIGNED: bool>(acc: __m256i, levels: __m256i, weights: __m256i) -> __m256i {
    if SIGNED {
        _mm256_dpbusd_epi32(acc, _mm256_abs_epi8(levels), _mm256_sign_epi8(weights, levels))
    } else {
        _mm256_dpbusd_epi32(acc, levels, weights)
    }
}

byte_loops!("avx2,fma,popcnt,avx512f,avx512bw,avx512vl,avx512vnni");
