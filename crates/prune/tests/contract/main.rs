//! Every technique of the crate against the contract, on every backend that opens.
#![allow(clippy::unwrap_used)] // clippy lets test functions unwrap, but not what they call

mod chains;
mod connections;
mod own_module;
mod units;

use nlpress_core::{Backend, BackendKind};
use nlpress_prune::KINDS;
use nlpress_technique::contract::Bench;

fn hold(backend: BackendKind) {
    let backend: Backend = match backend.open() {
        Ok(backend) => backend,
        Err(why) => {
            assert!(backend == BackendKind::Wgpu || !backend.is_compiled(), "{why}");
            return;
        }
    };
    let bench = Bench::new(&backend).unwrap();
    let broken: Vec<String> = KINDS.iter().filter_map(|kind| bench.check(kind).err()).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn on_ndarray() {
    hold(BackendKind::Ndarray);
}

#[test]
fn on_flex() {
    hold(BackendKind::Flex);
}

#[test]
fn on_wgpu() {
    hold(BackendKind::Wgpu);
}
