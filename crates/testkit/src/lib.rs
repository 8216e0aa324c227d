#![doc = include_str!("../README.md")]

pub mod bench;
pub mod contract;
mod entry;
pub mod reference;
mod stops;

pub use bench::{Bench, clear_rows, rows, texts};
pub use contract::check_features;

use nlpress_core::{Backend, BackendKind};

/// Every backend of this build, opened.
///
/// # Panics
/// When one does not open, or there is none: a test over no backend would pass without having looked at anything.
pub fn backends() -> Vec<Backend> {
    let compiled = BackendKind::compiled();
    assert!(!compiled.is_empty(), "this build has no backend");
    compiled.into_iter().map(|kind| kind.open().unwrap_or_else(|why| panic!("{why}"))).collect()
}

/// The first CPU backend of this build, for tests that are not about backends.
///
/// # Panics
/// When this build has none.
pub fn cpu() -> Backend {
    let cpu = BackendKind::compiled().into_iter().find(|kind| kind.is_cpu());
    cpu.expect("these tests are built with a CPU backend").open().unwrap_or_else(|why| panic!("{why}"))
}
