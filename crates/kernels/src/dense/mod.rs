//! Dense float arithmetic of training: products, and what stands between them, each with its derivative.
//!
//! Everything is on slices, row by row (`[rows, columns]`). The inner loops are plain Rust that is compiled for each
//! set of vector instructions (`pulp`); the products are those of the `gemm` crate. Sums over a row go through
//! sixteen partial sums in a fixed order, so that the same processor gives the same bits whatever the thread count.

mod activation;
mod attention;
mod norm;
mod numbers;
mod pool;
mod product;

pub use activation::{Gate, gelu, relu, sum_rows, tanh};
pub use attention::Heads;
pub use norm::{LayerNorm, normalize, normalize_backward};
pub use pool::Pool;
pub use product::{View, ViewMut, add_product, product};
