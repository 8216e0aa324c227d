//! Products of 32-bit floats over panels of 32 columns, and attention, for layers of an encoder in floats.
//!
//! A sum is taken over the inputs in their order, each a fused multiplication and addition, in a lane of its own
//! ([`tile`]). So it is the same bits whatever rows are beside it, and on every set of instructions; and so is what is
//! between products, which is one code over vectors of sixteen ([`Simd`](crate::int8::Simd)).
//!
//! Two sets are apart, where the weights are bfloat16: with `amx` and `avx512-bf16` what they are multiplied with, and what attention
//! multiplies, is rounded to bfloat16, too (`pairs`). A sum does not depend on the rows beside it there either, but it is not the same
//! bits as with the other sets. With `amx` products of weights in 32 bits are sums of products of bfloat16, too, as near to the exact
//! sum as the others and not the same bits (`split`).

// Numbers of rows and vectors index several arrays at once.
#![allow(clippy::needless_range_loop)]

mod attention;
mod elementwise;
#[cfg(target_arch = "x86_64")]
mod pairs;
mod panels;
mod product;
#[cfg(target_arch = "x86_64")]
mod split;
mod tile;

pub(crate) use attention::{FloatHeads, attend};
pub(crate) use elementwise::ExactGelu;
pub(crate) use panels::FloatPanels;
pub(crate) use product::{ToRows, WithBias, product, product_in_order, room_of};
pub(crate) use tile::{FloatTiles, Rows};

#[cfg(test)]
mod tests;
