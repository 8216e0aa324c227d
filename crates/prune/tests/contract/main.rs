//! Every technique of the crate against the contract, on every backend that opens.
#![allow(clippy::unwrap_used)] // clippy lets test functions unwrap, but not what they call

mod chains;
mod connections;
mod depth;
mod group_lasso;
mod layers;
mod low_rank;
mod own_module;
mod select;
mod units;

use nlpress_core::{Backend, BackendKind};
use nlpress_prune::KINDS;
use nlpress_technique::Kind;
use nlpress_testkit::Bench;

fn hold(backend: BackendKind) {
    let backend: Backend = match backend.open() {
        Ok(backend) => backend,
        Err(why) => {
            assert!(backend == BackendKind::Wgpu || !backend.is_compiled(), "{why}");
            return;
        }
    };
    let benches = [Bench::new(&backend).unwrap(), Bench::attention(&backend).unwrap()];
    let check = |kind: &Kind| {
        // Every kind on the network that its example is for, and on both where it acts on both.
        let mut fitting: Vec<&Bench> = benches.iter().filter(|b| b.selects(kind)).collect();
        assert!(!fitting.is_empty(), "{}: its example selects no site of any network", kind.name);
        // A software driver takes minutes for all of them.
        fitting.truncate(if backend.kind() == BackendKind::Wgpu { 1 } else { 2 });
        fitting.into_iter().filter_map(|b| b.check(kind).err()).collect::<Vec<_>>()
    };
    let broken: Vec<String> = KINDS.iter().flat_map(check).collect();
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
