//! The tests of what this crate gives to others, in one binary: linking burn takes longer than most of them.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, but not in the functions they share

mod calibrated;
mod contract;
mod gradients;
mod module;
mod qat;
