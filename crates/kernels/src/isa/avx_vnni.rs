//! Loops for x86-64 processors with AVX-VNNI beside AVX2: one instruction, `vpdpbusd`, adds four products of
//! bytes to each of eight sums where AVX2 takes three.
//!
//! It multiplies unsigned by signed bytes and adds them in 32 bits, so nothing saturates. As in AVX2, activations go
//! in as magnitudes and their signs move to the weights.

use super::avx2::steps::{four_narrow_rows, four_rows, load, look_up, none_negative, store, store_in_order};
use super::avx2::{Avx2, forward_to_avx2};
use super::cuts::{self, Touched};
use super::x86_bytes::byte_loops;
use super::{FloatBlocks, Kernels, Rescale, byte_kernels, portable};
use crate::form::{Chunks, Panels, Strips, Tiles};
use crate::lanes::{LANES, QUAD, TILE, UNROLL};
use bytemuck::must_cast;
use std::arch::x86_64::*;

/// The proof that this processor has AVX-VNNI and all of [`Avx2`]: only [`AvxVnni::detect`] makes one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AvxVnni(Avx2);

impl AvxVnni {
    /// A token if this processor has the instructions.
    pub(crate) fn detect() -> Option<Self> {
        Avx2::detect().filter(|_| is_x86_feature_detected!("avxvnni")).map(Self)
    }
}

impl Kernels for AvxVnni {
    byte_kernels!();
    forward_to_avx2!();
}

#[inline]
#[target_feature(enable = "avx2,fma,popcnt,avxvnni")]
fn add_fours<const SIGNED: bool>(acc: __m256i, levels: __m256i, weights: __m256i) -> __m256i {
    if SIGNED {
        _mm256_dpbusd_avx_epi32(acc, _mm256_abs_epi8(levels), _mm256_sign_epi8(weights, levels))
    } else {
        _mm256_dpbusd_avx_epi32(acc, levels, weights)
    }
}

/// Two blocks of rows, which is as many sums as there are registers.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,avxvnni")]
fn widest_rows<const SIGNED: bool>(rows: Touched<'_>, at: usize, sums: &mut [i32]) -> usize {
    wide_rows::<2, SIGNED>(rows, at, sums)
}

/// Eight panels, so that eight independent sums hide the latency of each; or four.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt,avxvnni")]
fn widest_tiles<const SIGNED: bool>(weights: &[i8], size: usize, row: &[i8], sums: &mut [i32]) -> usize {
    match weights.len() / size {
        8.. => few_tiles::<8, SIGNED>(weights, size, row, sums),
        _ => few_tiles::<4, SIGNED>(weights, size, row, sums),
    }
}

byte_loops!("avx2,fma,popcnt,avxvnni");
