//! Every technique of the crate against the contract, on every backend that opens.
#![allow(clippy::unwrap_used)] // clippy lets test functions unwrap, but not what they call

mod chains;
mod connections;
mod depth;
mod group_lasso;
mod groups;
mod layers;
mod low_rank;
mod own_module;
mod select;
mod units;

use nlpress_prune::KINDS;
use nlpress_testkit::backends;
use nlpress_testkit::contract::check_all;

#[test]
fn every_kind_keeps_the_contract() {
    for backend in backends() {
        check_all(KINDS, &[], &backend).unwrap_or_else(|broken| panic!("{broken}"));
    }
}
