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
mod passes;
mod select;
mod units;

use nlpress_prune::KINDS;
use nlpress_prune::select::frequency;
use nlpress_technique::Kind;
use nlpress_testkit::contract::check_all;
use nlpress_testkit::{Bench, backends};

#[test]
fn every_kind_keeps_the_contract() {
    for backend in backends() {
        // Its example trains on the narrower rows, but of fewer tokens texts are cut anew.
        // Of averaged embeddings, which are looked up, too little of the cost is in units for the other example to be reached.
        let refused = [
            (frequency::KIND.name, "tokens"),
            (frequency::KIND.name, "averaging"),
            (frequency::KIND.name, "modern"),
            (frequency::KIND.name, "relative"),
        ];
        check_all(KINDS, &refused, &backend).unwrap_or_else(|broken| panic!("{broken}"));
        Bench::tokens(&backend).unwrap().check(&Kind { example: "keep = 12", ..frequency::KIND }).unwrap();
    }
}
