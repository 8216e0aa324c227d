//! The tests of what this crate gives to others, in one binary: linking burn takes longer than most of them.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, but not in the functions they share

mod compose;
mod contract;
mod joint;
mod pages;
mod select;
mod settings;
mod teachers;
