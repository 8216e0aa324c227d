//! What is derived from the dataflow, against what is written by hand for each family.

use super::*;
use crate::{AttentionSpec, BlockSpec, Group, MlpSpec, Ranks, Spec, Units};
use proptest::prelude::*;

fn mlp(hidden: &[usize], outputs: usize) -> Spec {
    Spec::Mlp(MlpSpec::new(30, hidden, outputs, 0.25))
}

fn attention(blocks: &[(usize, usize)]) -> Spec {
    Spec::Attention(AttentionSpec {
        inputs: 100,
        width: 16,
        head_width: 4,
        layers: blocks.iter().map(|&(heads, neurons)| BlockSpec { heads, neurons }).collect(),
        outputs: 3,
        dropout: 0.1,
        tokens: 64,
        ranks: Ranks::new(),
    })
}

/// Specifications of both families, with some of their sites factored.
fn specs() -> impl Strategy<Value = Spec> {
    let mlps = (prop::collection::vec(1_usize..9, 0..4), 1_usize..4).prop_map(|(h, o)| mlp(&h, o));
    let attentions = prop::collection::vec((1_usize..5, 1_usize..9), 0..4).prop_map(|b| attention(&b));
    (prop_oneof![mlps, attentions], any::<u64>(), 1_usize..3).prop_map(|(mut spec, which, rank)| {
        for (n, (id, shape)) in spec.plain_sites().into_iter().enumerate() {
            if which >> (n % 64) & 1 == 1 {
                spec.ranks_mut().insert(id, rank.min(shape.inputs.min(shape.outputs)));
            }
        }
        spec
    })
}

proptest! {
    #[test]
    fn what_is_derived_is_what_was_written_by_hand(spec in specs(), units in 1_usize..4) {
        let graph = Graph::of(&spec);
        prop_assert_eq!(graph.check(), Ok(()));
        prop_assert_eq!(graph.sites(), spec.sites());
        prop_assert_eq!((graph.inputs(), graph.outputs()), (spec.inputs(), spec.outputs()));
        prop_assert_eq!(&graph.ranks(), spec.ranks());
        prop_assert_eq!(graph.groups(), spec.groups());
        for group in spec.groups() {
            let units = units.min(group.units);
            let narrower = Graph::of(&spec.clone().with_units(&group, units));
            prop_assert_eq!(graph.clone().with_units(&group, units), narrower);
        }
        for (id, _) in spec.sites() {
            prop_assert_eq!(graph.fold_target(&id).cloned(), folded_by_hand(&spec, &id), "{}", id);
        }
        let blocks = match &spec { Spec::Attention(a) => a.layers.len(), Spec::Mlp(_) => 0 };
        prop_assert_eq!(graph.blocks().len(), blocks);
        let text = serde_json::to_string(&graph).unwrap();
        prop_assert_eq!(serde_json::from_str::<Graph>(&text).unwrap(), graph);
    }

    #[test]
    fn a_graph_of_anything_is_checked_without_a_panic(
        source in prop_oneof![
            (0_usize..3).prop_map(|width| Source::Features { width }),
            (0_usize..3, 0_usize..3).prop_map(|(width, tokens)| Source::Bag { width, tokens }),
        ],
        nodes in prop::collection::vec((0_usize..9, prop::collection::vec(0_usize..9, 0..4), 0_usize..3), 0..9),
    ) {
        let op = |kind, n: usize, outputs| match kind {
            0 => Op::Features { site: SiteId::hidden(n), outputs },
            1 => Op::Embed { site: SiteId::hidden(n), outputs },
            2 | 3 => Op::Linear { site: SiteId::hidden(n), outputs },
            4 => Op::Norm,
            5 => Op::Attend { heads: outputs, head_width: outputs },
            6 => Op::Add,
            7 => Op::Dropout { rate: outputs as f64 / 2.0 },
            _ => Op::Pool(Pooling::WeightedSum),
        };
        let node = |(n, (kind, from, outputs)): (usize, (usize, Vec<usize>, usize))| Node { op: op(kind, n, outputs), from };
        let graph = Graph { source, nodes: nodes.into_iter().enumerate().map(node).collect() };
        if graph.check().is_ok() {
            let _ = (graph.sites(), graph.groups(), graph.blocks(), graph.macs(3), graph.cuts());
        }
    }
}

/// The rule for the two families, from their groups.
fn folded_by_hand(spec: &Spec, id: &SiteId) -> Option<SiteId> {
    if spec.ranks().contains_key(id) {
        return Some(id.reduce());
    }
    let group = spec.groups().into_iter().find(|g| g.rows == [id.clone()])?;
    match group.what {
        Units::Neurons => group.columns.first().cloned(),
        Units::Heads => group.columns.into_iter().find(|c| c.as_str().ends_with("attention.value")),
        Units::Width => None,
    }
}

#[test]
fn a_block_that_is_taken_out_leaves_the_network_without_it() {
    for gone in 0..3 {
        let mut blocks = vec![(2, 5), (3, 6), (4, 7)];
        let graph = Graph::of(&attention(&blocks));
        let block = graph.blocks()[gone].clone();
        let less = graph.without(block);
        less.check().unwrap();
        blocks.remove(gone);
        let shapes = |graph: &Graph| graph.sites().into_iter().map(|(_, shape)| shape).collect::<Vec<_>>();
        assert_eq!(shapes(&less), shapes(&Graph::of(&attention(&blocks))));
        assert!(less.node_of(&AttentionSpec::site(gone, "ffn.up")).is_none());
    }
}

#[test]
fn multiply_accumulates_are_counted_by_tokens() {
    let linear = Graph::of(&mlp(&[8], 3));
    assert_eq!((linear.macs(30), linear.macs(5)), (30 * 8 + 8 * 3, 5 * 8 + 8 * 3));
    let small = Graph::of(&attention(&[(2, 5)]));
    let of_a_token = 3 * 16 * 8 + 8 * 16 + 16 * 5 + 5 * 16;
    assert_eq!(small.macs(7), 7 * of_a_token + 2 * 7 * 7 * 8 + 7 * 16 + 16 * 3);
}

#[test]
fn a_chain_can_be_cut_at_every_node_and_blocks_only_between_them() {
    let chain = Graph::of(&mlp(&[8, 8], 3));
    assert_eq!(chain.cuts(), (0..chain.nodes.len()).collect::<Vec<_>>());
    let blocks = Graph::of(&attention(&[(2, 5), (2, 5)]));
    let at: Vec<&Op> = blocks.cuts().into_iter().map(|n| &blocks.nodes[n].op).collect();
    assert!(!at.iter().any(|op| matches!(op, Op::Norm | Op::Attend { .. } | Op::Activate(_))), "{at:?}");
    assert_eq!(at.iter().filter(|op| matches!(op, Op::Add)).count(), 4);
}

#[test]
fn what_cannot_run_is_refused_by_name() {
    let refused = |change: &dyn Fn(&mut Graph)| {
        let mut graph = Graph::of(&attention(&[(2, 5)]));
        change(&mut graph);
        graph.check().unwrap_err().to_string()
    };
    let says = |message: String, part: &str| assert!(message.contains(part), "{message}");
    says(refused(&|g| g.nodes.clear()), "nodes is 0");
    says(refused(&|g| g.source = Source::Bag { width: 100, tokens: 0 }), "tokens is 0");
    says(refused(&|g| g.source = Source::Features { width: 100 }), "nodes.0 is embed");
    says(refused(&|g| g.nodes[5].from = vec![2, 3]), "nodes.5.from is 2");
    says(refused(&|g| g.nodes[5].from = vec![2, 3, 5]), "nodes.5.from is 5");
    says(refused(&|g| g.nodes[5].op = Op::Attend { heads: 2, head_width: 5 }), "attention over width 8");
    says(refused(&|g| g.nodes[7].from = vec![4, 6]), "a sum of widths 8 and 16");
    says(refused(&|g| g.nodes.truncate(8)), "one value for each token");
    says(refused(&|g| g.nodes[6].from = vec![4]), "nodes.5 is read by none");
    says(refused(&|g| g.nodes[4].op = g.nodes[3].op.clone()), "used twice");
    let wide = refused(&|g| *g = g.clone().with_outputs(crate::WIDEST + 1));
    says(wide, "output is 1048577");
}

#[test]
fn an_unknown_group_changes_nothing() {
    let graph = Graph::of(&mlp(&[8], 3));
    let other =
        Group { what: Units::Neurons, units: 4, block: 1, columns: vec![SiteId::hidden(7)], rows: vec![] };
    assert_eq!(graph.clone().with_units(&other, 2), graph);
}
