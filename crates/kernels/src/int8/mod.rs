//! Products of bytes over panels of 64 columns, and what an encoder does between them, for layers in 8-bit integers.
//!
//! Activations are quantized row by row, with the scale `s = max|x| / 127` (or the weight's own), to `q = round(x · (1/s))`
//! within `±127`, and are held as unsigned bytes `128 + q`. Weights are signed bytes in panels of 64 columns
//! ([`panels`]); the sum of a column begins at `-128 ·` its total, so the offset costs nothing. Sums are the same
//! integers on every set of instructions ([`tiles`]), and what is between products is one code over vectors of sixteen
//! ([`simd`]), so a layer gives the same bits on all of them, whatever other examples go through it together.
//!
//! Beside the rules of [`multiply`](crate::multiply), GELU is interpolated ([`elementwise::gelu`], within 8e-4) and attention
//! multiplies integers ([`attention`]).

// Numbers of rows, lanes and vectors index several arrays at once; and what reads from memory takes the proof of its instructions.
#![allow(clippy::needless_range_loop, clippy::wrong_self_convention)]

mod accumulate;
mod attention;
mod elementwise;
mod panels;
mod product;
mod quantize;
mod rows;
mod simd;
mod tiles;

pub(crate) use accumulate::WideRoom;
pub(crate) use attention::{Heads, Shape, attend};
pub(crate) use elementwise::{add_and_normalize, largest};
pub(crate) use panels::WidePanels;
pub(crate) use product::{Function, Gelu, Relu, Same, ToFloats, product};
pub(crate) use quantize::quantize_bytes;
pub(crate) use rows::ByteRows;
#[cfg(target_arch = "x86_64")]
pub(crate) use simd::{Avx2, Avx512, Pairs};
pub(crate) use simd::{LANES, Portable, Simd};
pub(crate) use tiles::{Isa, Set, Sums, Tiles, with_set};

/// The sets of instructions that this processor has for encoder layers, the best first: `amx`, `avx512-bf16`, `avx512-vnni`,
/// `avx-vnni` and `avx2` on x86-64, and last, everywhere, `portable`. `avx512-bf16` is `avx512-vnni` with products of bfloat16; `amx`
/// multiplies bytes, bfloat16 and, in parts, floats by tiles.
pub fn instruction_sets() -> Vec<&'static str> {
    tiles::Isa::all().into_iter().map(tiles::Isa::name).collect()
}
