//! What is derived from the dataflow.

use super::*;
use crate::{AttentionSpec, BlockSpec, Group, MlpSpec, Ranks, Shape, SiteId, Units};
use proptest::prelude::*;

fn mlp(hidden: &[usize], outputs: usize) -> Graph {
    MlpSpec::new(30, hidden, outputs, 0.25).into()
}

fn attention(blocks: &[(usize, usize)]) -> Graph {
    AttentionSpec {
        inputs: 100,
        width: 16,
        head_width: 4,
        layers: blocks.iter().map(|&(heads, neurons)| BlockSpec { heads, neurons }).collect(),
        outputs: 3,
        dropout: 0.1,
        tokens: 64,
        ranks: Ranks::new(),
    }
    .into()
}

fn ids(names: &[&str]) -> Vec<SiteId> {
    names.iter().map(|name| SiteId::new(*name)).collect()
}

/// Networks of both families, with some of their sites factored.
fn graphs() -> impl Strategy<Value = Graph> {
    let mlps = (prop::collection::vec(1_usize..9, 0..4), 1_usize..4).prop_map(|(h, o)| mlp(&h, o));
    let attentions = prop::collection::vec((1_usize..5, 1_usize..9), 0..4).prop_map(|b| attention(&b));
    (prop_oneof![mlps, attentions], any::<u64>(), 1_usize..3).prop_map(|(plain, which, rank)| {
        let chosen = plain.sites().into_iter().enumerate().filter(|(n, _)| which >> (n % 64) & 1 == 1);
        let factored = |graph: Graph, (_, (id, shape)): (usize, (SiteId, Shape))| {
            graph.factored(&id, rank.min(shape.inputs).min(shape.outputs))
        };
        chosen.fold(plain, factored)
    })
}

proptest! {
    #[test]
    fn groups_are_whole_and_can_be_narrowed(graph in graphs(), units in 1_usize..4) {
        prop_assert_eq!(graph.check(), Ok(()));
        let shapes: std::collections::BTreeMap<_, _> = graph.sites().into_iter().collect();
        for group in graph.groups() {
            let numbers = group.units * group.block;
            prop_assert!(group.columns.iter().all(|s| shapes[s].outputs == numbers), "{:?}", group);
            prop_assert!(group.rows.iter().all(|s| shapes[s].inputs == numbers), "{:?}", group);
            let units = units.min(group.units);
            let narrower = graph.clone().with_units(&group, units);
            prop_assert_eq!(narrower.check(), Ok(()));
            let same = narrower.groups().into_iter().find(|g| g.lead() == group.lead()).unwrap();
            prop_assert_eq!((same.units, same.block), (units, group.block));
            for (id, shape) in narrower.sites() {
                let touched = group.columns.contains(&id) || group.rows.contains(&id);
                let first = narrower.sites().iter().any(|(s, _)| narrower.first_factor(s) == Some(&id));
                let second = narrower.first_factor(&id).is_some();
                prop_assert!(shape == shapes[&id] || touched || first || second, "{} has no part in {:?}", id, group);
            }
        }
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

#[test]
fn units_of_a_perceptron_are_its_neurons() {
    let graph = mlp(&[8, 7], 3).factored(&SiteId::hidden(1), 5);
    let neurons = |units, column: &str, row: &str| Group {
        what: Units::Neurons,
        units,
        block: 1,
        columns: ids(&[column]),
        rows: ids(&[row]),
    };
    assert_eq!(graph.groups(), [neurons(8, "hidden.0", "hidden.1.reduce"), neurons(7, "hidden.1", "output")]);
    let sites: Vec<String> =
        graph.sites().iter().map(|(id, s)| format!("{id} {} {}", s.inputs, s.outputs)).collect();
    assert_eq!(sites, ["hidden.0 30 8", "hidden.1.reduce 8 5", "hidden.1 5 7", "output 7 3"]);
    assert_eq!(graph.ranks(), Ranks::from([(SiteId::hidden(1), 5)]));
    let narrower = graph.clone().with_units(&graph.groups()[0], 4);
    assert_eq!(
        narrower,
        mlp(&[4, 7], 3).factored(&SiteId::hidden(1), 4),
        "a rank is never more than what it factors"
    );
}

#[test]
fn units_of_attention_are_heads_neurons_and_the_width_that_runs_through() {
    let graph = attention(&[(2, 5), (3, 6)]);
    let of = |block: usize, names: &[&str]| -> Vec<SiteId> {
        names.iter().map(|name| AttentionSpec::site(block, name)).collect()
    };
    let made = ["attention.query", "attention.key", "attention.value"];
    let mut expected = Vec::new();
    for (block, (heads, neurons)) in [(2, 5), (3, 6)].into_iter().enumerate() {
        let (columns, rows) = (of(block, &made), of(block, &["attention.output"]));
        expected.push(Group { what: Units::Heads, units: heads, block: 4, columns, rows });
        let (columns, rows) = (of(block, &["ffn.up"]), of(block, &["ffn.down"]));
        expected.push(Group { what: Units::Neurons, units: neurons, block: 1, columns, rows });
    }
    let mut columns = ids(&["embedding"]);
    let mut rows = Vec::new();
    for block in 0..2 {
        columns.extend(of(block, &["attention.output", "ffn.down"]));
        rows.extend(of(block, &[made[0], made[1], made[2], "ffn.up"]));
    }
    rows.push(SiteId::output());
    expected.push(Group { what: Units::Width, units: 16, block: 1, columns, rows });
    assert_eq!(graph.groups(), expected);
    let narrower = graph.clone().with_units(&expected[2], 1);
    assert_eq!(narrower, attention(&[(2, 5), (1, 6)]));
}

#[test]
fn factors_fold_into_what_alone_makes_the_inputs() {
    let of = |graph: &Graph, id: &str| graph.fold_target(&SiteId::new(id)).map(SiteId::to_string);
    let perceptron = mlp(&[8, 7], 1).factored(&SiteId::hidden(1), 3);
    assert_eq!(of(&perceptron, "hidden.0"), None);
    assert_eq!(of(&perceptron, "hidden.1.reduce").as_deref(), Some("hidden.0"));
    assert_eq!(of(&perceptron, "hidden.1").as_deref(), Some("hidden.1.reduce"));
    assert_eq!(of(&perceptron, "output").as_deref(), Some("hidden.1"));
    let blocks = attention(&[(3, 5)]);
    let all: Vec<Option<String>> = blocks.sites().iter().map(|(id, _)| of(&blocks, id.as_str())).collect();
    let (value, up) = ("encoder.0.attention.value".to_owned(), "encoder.0.ffn.up".to_owned());
    assert_eq!(all, [None, None, None, None, Some(value), None, Some(up), None]);
}

#[test]
fn what_is_taken_out_leaves_the_network_without_it() {
    for gone in 0..3 {
        let mut blocks = vec![(2, 5), (3, 6), (4, 7)];
        let graph = attention(&blocks);
        blocks.remove(gone);
        assert_eq!(graph.without_block(gone), Some(attention(&blocks)));
        let mut hidden = vec![8, 7, 6];
        let graph = mlp(&hidden, 3);
        hidden.remove(gone);
        assert_eq!(graph.without_layer(gone), Some(mlp(&hidden, 3)));
    }
    assert_eq!(attention(&[(2, 5)]).without_block(1), None);
    assert_eq!((mlp(&[8], 3).without_layer(1), mlp(&[8], 3).without_block(0)), (None, None));
    assert_eq!(attention(&[(2, 5)]).without_layer(0), None);
    let factored = attention(&[(2, 5), (2, 6)]).factored(&AttentionSpec::site(1, "ffn.up"), 3);
    let left = attention(&[(2, 6)]).factored(&AttentionSpec::site(0, "ffn.up"), 3);
    assert_eq!(factored.without_block(0), Some(left));
    assert_eq!(factored.block_of(&AttentionSpec::site(1, "ffn.up").reduce()), Some(1));
    assert_eq!(factored.block_of(&AttentionSpec::embedding()), None);
}

#[test]
fn multiply_accumulates_are_counted_by_tokens() {
    let linear = mlp(&[8], 3);
    assert_eq!((linear.macs(30), linear.macs(5)), (30 * 8 + 8 * 3, 5 * 8 + 8 * 3));
    let small = attention(&[(2, 5)]);
    let of_a_token = 3 * 16 * 8 + 8 * 16 + 16 * 5 + 5 * 16;
    assert_eq!(small.macs(7), 7 * of_a_token + 2 * 7 * 7 * 8 + 7 * 16 + 16 * 3);
}

#[test]
fn a_chain_can_be_cut_at_every_node_and_blocks_only_between_them() {
    let chain = mlp(&[8, 8], 3);
    assert_eq!(chain.cuts(), (0..chain.nodes.len()).collect::<Vec<_>>());
    let blocks = attention(&[(2, 5), (2, 5)]);
    let at: Vec<&Op> = blocks.cuts().into_iter().map(|n| &blocks.nodes[n].op).collect();
    assert!(!at.iter().any(|op| matches!(op, Op::Norm | Op::Attend { .. } | Op::Activate(_))), "{at:?}");
    assert_eq!(at.iter().filter(|op| matches!(op, Op::Add)).count(), 4);
}

#[test]
fn what_cannot_run_is_refused_by_name() {
    let refused = |change: &dyn Fn(&mut Graph)| {
        let mut graph = attention(&[(2, 5)]);
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
    let graph = mlp(&[8], 3);
    let other =
        Group { what: Units::Neurons, units: 4, block: 1, columns: vec![SiteId::hidden(7)], rows: vec![] };
    assert_eq!(graph.clone().with_units(&other, 2), graph);
}
