//! What is derived from the dataflow.

use super::*;
use crate::{
    AttentionSpec, BlockSpec, EncoderSpec, Group, Head, MlpSpec, Ranks, Shape, SiteId, StaticSpec, Units,
};
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

fn encoder(layers: usize, heads: usize, head: Head) -> Graph {
    EncoderSpec {
        vocabulary: 40,
        tokens: 12,
        positions: 16,
        types: 2,
        intermediate: 10,
        dropout: 0.1,
        head,
        ..EncoderSpec::new(4 * heads, layers, heads)
    }
    .into()
}

fn bert(layers: usize) -> Graph {
    encoder(layers, 2, Head::Pooler { activation: Activation::Tanh, outputs: 3 })
}

fn heads() -> impl Strategy<Value = Head> {
    prop_oneof![
        (1_usize..4).prop_map(|outputs| Head::Pooler { activation: Activation::Tanh, outputs }),
        (1_usize..4).prop_map(|outputs| Head::Classifier { pooling: Pooling::Mean, outputs }),
        any::<bool>().prop_map(|unit| Head::Embedding { pooling: Pooling::First, unit }),
    ]
}

/// Networks of all families, with some of their sites factored.
fn graphs() -> impl Strategy<Value = Graph> {
    let mlps = (prop::collection::vec(1_usize..9, 0..4), 1_usize..4).prop_map(|(h, o)| mlp(&h, o));
    let attentions = prop::collection::vec((1_usize..5, 1_usize..9), 0..4).prop_map(|b| attention(&b));
    let encoders = (0_usize..3, 1_usize..4, heads()).prop_map(|(l, h, head)| encoder(l, h, head));
    let tables = (1_usize..9, prop::option::of(1_usize..4)).prop_map(|(width, outputs)| {
        StaticSpec { vocabulary: 30, tokens: 50, width, outputs, dropout: 0.5 }.into()
    });
    (prop_oneof![mlps, attentions, encoders, tables], any::<u64>(), 1_usize..3).prop_map(
        |(plain, which, rank)| {
            let chosen = plain.sites().into_iter().enumerate().filter(|(n, _)| which >> (n % 64) & 1 == 1);
            let factored = |graph: Graph, (_, (id, shape)): (usize, (SiteId, Shape))| {
                graph.factored(&id, rank.min(shape.inputs).min(shape.outputs))
            };
            chosen.fold(plain, factored)
        },
    )
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
            let vectors: std::collections::BTreeMap<_, _> = graph.vectors().into_iter().collect();
            for (id, vector) in narrower.vectors() {
                let length = if group.vectors.contains(&id) { units * group.block } else { vectors[&id].length };
                prop_assert_eq!(vector.length, length, "{}", id);
            }
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
    fn what_can_be_left_out_is_left_out_whole(graph in graphs()) {
        let names = |graph: &Graph| graph.params().into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        for (n, residual) in graph.residuals().iter().enumerate() {
            let less = graph.without_residual(n).unwrap();
            prop_assert_eq!(less.check(), Ok(()));
            prop_assert_eq!(less.nodes.len(), graph.nodes.len() - residual.nodes.len());
            prop_assert!(names(&less).iter().all(|id| names(&graph).contains(id)));
            prop_assert_eq!(less.residuals().len() + 1, graph.residuals().len());
        }
        for n in 0..graph.blocks().len() {
            let less = graph.without_block(n).unwrap();
            prop_assert_eq!(less.check(), Ok(()));
            prop_assert_eq!(less.blocks().len() + 1, graph.blocks().len());
            let gone = names(&graph).iter().filter(|id| graph.block_of(id) == Some(n)).count();
            prop_assert_eq!(names(&less).len() + gone, names(&graph).len());
        }
    }

    #[test]
    fn a_graph_of_anything_is_checked_without_a_panic(
        source in prop_oneof![
            (0_usize..3).prop_map(|width| Source::Features { width }),
            (0_usize..3, 0_usize..3).prop_map(|(width, tokens)| Source::Bag { width, tokens }),
            (0_usize..3, 0_usize..3).prop_map(|(vocabulary, most)| Source::Tokens { vocabulary, most }),
        ],
        nodes in prop::collection::vec((0_usize..15, prop::collection::vec(0_usize..9, 0..4), 0_usize..3), 0..9),
    ) {
        let op = |kind, n: usize, outputs| match kind {
            0 => Op::Features { site: SiteId::hidden(n), outputs },
            1 => Op::embed(SiteId::hidden(n), outputs, Key::Word),
            2 => Op::Linear { site: SiteId::hidden(n), outputs, bias: false },
            3 => Op::linear(SiteId::hidden(n), outputs),
            4 => Op::Norm,
            9 => Op::embed(SiteId::hidden(n), outputs, Key::Position { rows: outputs }),
            10 => Op::embed(SiteId::hidden(n), outputs, Key::Type { rows: outputs }),
            11 => Op::LayerNorm { param: SiteId::hidden(n), epsilon: outputs as f32, bias: outputs % 2 == 0 },
            12 => Op::Pool(Pooling::Mean),
            13 => Op::Pool(Pooling::First),
            14 => Op::Normalize,
            5 => Op::attend(outputs, outputs),
            6 => Op::Add,
            7 => Op::Dropout { rate: outputs as f64 / 2.0 },
            _ => Op::Pool(Pooling::WeightedSum),
        };
        let node = |(n, (kind, from, outputs)): (usize, (usize, Vec<usize>, usize))| Node { op: op(kind, n, outputs), from };
        let graph = Graph { source, nodes: nodes.into_iter().enumerate().map(node).collect(), output: Output::Logits };
        if graph.check().is_ok() {
            let _ = (graph.params(), graph.groups(), graph.macs(3), graph.cuts());
            for n in 0..graph.residuals().len() {
                let _ = (graph.without_residual(n).unwrap().values(), graph.without_block(n));
            }
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
        vectors: vec![],
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
        expected.push(Group { what: Units::Heads, units: heads, block: 4, columns, rows, vectors: vec![] });
        let (columns, rows) = (of(block, &["ffn.up"]), of(block, &["ffn.down"]));
        expected.push(Group {
            what: Units::Neurons,
            units: neurons,
            block: 1,
            columns,
            rows,
            vectors: vec![],
        });
    }
    let mut columns = ids(&["embedding"]);
    let mut rows = Vec::new();
    for block in 0..2 {
        columns.extend(of(block, &["attention.output", "ffn.down"]));
        rows.extend(of(block, &[made[0], made[1], made[2], "ffn.up"]));
    }
    rows.push(SiteId::output());
    expected.push(Group { what: Units::Width, units: 16, block: 1, columns, rows, vectors: vec![] });
    assert_eq!(graph.groups(), expected);
    let narrower = graph.clone().with_units(&expected[2], 1);
    assert_eq!(narrower, attention(&[(2, 5), (1, 6)]));
}

#[test]
fn units_of_an_encoder_are_heads_neurons_and_the_width_with_its_vectors() {
    let graph = bert(1);
    let groups = graph.groups();
    let of = |n: usize| {
        let Group { what, units, block, columns, rows, vectors } = &groups[n];
        let all = |ids: &[SiteId]| ids.iter().map(SiteId::as_str).collect::<Vec<_>>().join(" ");
        format!("{what:?} {units}x{block}: {} -> {} | {}", all(columns), all(rows), all(vectors))
    };
    assert_eq!(
        of(0),
        "Heads 2x4: encoder.layer.0.attention.self.query encoder.layer.0.attention.self.key \
         encoder.layer.0.attention.self.value -> encoder.layer.0.attention.output.dense | "
    );
    assert_eq!(of(1), "Neurons 10x1: encoder.layer.0.intermediate.dense -> encoder.layer.0.output.dense | ");
    assert_eq!(
        of(2),
        "Width 8x1: embeddings.word_embeddings embeddings.position_embeddings embeddings.token_type_embeddings \
         encoder.layer.0.attention.output.dense encoder.layer.0.output.dense -> \
         encoder.layer.0.attention.self.query encoder.layer.0.attention.self.key \
         encoder.layer.0.attention.self.value encoder.layer.0.intermediate.dense pooler.dense | \
         embeddings.LayerNorm.weight embeddings.LayerNorm.bias \
         encoder.layer.0.attention.output.LayerNorm.weight encoder.layer.0.attention.output.LayerNorm.bias \
         encoder.layer.0.output.LayerNorm.weight encoder.layer.0.output.LayerNorm.bias"
    );
    assert_eq!(of(3), "Neurons 8x1: pooler.dense -> classifier | ");
    assert_eq!(groups.len(), 4);
    // Whoever reads an embedding reads all of its width, so that stays.
    let embedder = encoder(1, 2, Head::Embedding { pooling: Pooling::Mean, unit: true });
    assert!(embedder.groups().iter().all(|group| group.what != Units::Width));
    assert_eq!((embedder.classes(), bert(1).classes()), (None, Some(3)));
}

#[test]
fn parameters_of_an_encoder_have_the_usual_names_and_shapes() {
    let of = |(id, param): (SiteId, Param)| match param {
        Param::Site(Shape { inputs, outputs, bias }) => format!("{id} {inputs} {outputs} {bias}"),
        Param::Vector(Vector { length, fresh }) => format!("{id} {length} {fresh}"),
    };
    let all: Vec<String> = bert(1).params().into_iter().map(of).collect();
    let expected = [
        "embeddings.word_embeddings 40 8 false",
        "embeddings.position_embeddings 16 8 false",
        "embeddings.token_type_embeddings 2 8 false",
        "embeddings.LayerNorm.weight 8 1",
        "embeddings.LayerNorm.bias 8 0",
        "encoder.layer.0.attention.self.query 8 8 true",
        "encoder.layer.0.attention.self.key 8 8 true",
        "encoder.layer.0.attention.self.value 8 8 true",
        "encoder.layer.0.attention.output.dense 8 8 true",
        "encoder.layer.0.attention.output.LayerNorm.weight 8 1",
        "encoder.layer.0.attention.output.LayerNorm.bias 8 0",
        "encoder.layer.0.intermediate.dense 8 10 true",
        "encoder.layer.0.output.dense 10 8 true",
        "encoder.layer.0.output.LayerNorm.weight 8 1",
        "encoder.layer.0.output.LayerNorm.bias 8 0",
        "pooler.dense 8 8 true",
        "classifier 8 3 true",
    ];
    assert_eq!(all, expected);
    let outline = crate::Outline::dense(&bert(1));
    let numbers: usize = bert(1).params().iter().map(|(_, param)| param.numbers()).sum();
    assert_eq!((outline.parameters(), outline.predicted_bytes()), (numbers, 4 * numbers));
    // MiniLM-L6 has 22,713,216 parameters with its pooler; Hugging Face says so too.
    let minilm = EncoderSpec {
        vocabulary: 30_522,
        tokens: 512,
        positions: 512,
        types: 2,
        dropout: 0.1,
        head: Head::Pooler { activation: Activation::Tanh, outputs: 2 },
        ..EncoderSpec::new(384, 6, 12)
    };
    let of_classifier = 384 * 2 + 2;
    assert_eq!(crate::Outline::dense(&minilm.into()).parameters() - of_classifier, 22_713_216);
}

#[test]
fn blocks_of_an_encoder_go_with_their_normalisation() {
    let graph = bert(3);
    let ends: Vec<(&Op, bool)> =
        graph.residuals().iter().map(|r| (&graph.nodes[r.nodes.end].op, r.attends)).collect();
    assert!(ends.iter().all(|(op, _)| matches!(op, Op::LayerNorm { .. })), "{ends:?}");
    assert_eq!(ends.iter().map(|(_, attends)| *attends).collect::<Vec<_>>(), [true, false].repeat(3));
    for layer in 0..3 {
        assert_eq!(graph.without_block(layer), Some(bert(2)));
    }
    let norm = SiteId::new("encoder.layer.1.output.LayerNorm.bias");
    assert_eq!(
        (graph.block_of(&norm), graph.block_of(&SiteId::new("embeddings.LayerNorm.bias"))),
        (Some(1), None)
    );
    // Without the attention of one layer, its feed-forward block is a layer.
    let less = graph.without_residual(2).unwrap();
    assert_eq!(less.blocks().len(), 3);
    assert_eq!(less.block_of(&EncoderSpec::site(1, "intermediate.dense")), Some(1));
    assert_eq!(less.without_block(1), Some(bert(2)));
    let single = bert(1);
    let [attention, forward] = &single.residuals()[..] else { panic!("two blocks") };
    assert_eq!(single.blocks(), std::slice::from_ref(&(attention.nodes.start..forward.nodes.end)));
    // Pre-norm: nothing comes between a sum and what starts from it.
    let sums = attention_ends(&attention_bag());
    assert!(sums.iter().all(|op| matches!(op, Op::Add)), "{sums:?}");
}

fn attention_bag() -> Graph {
    attention(&[(2, 5), (3, 6)])
}

fn attention_ends(graph: &Graph) -> Vec<Op> {
    graph.residuals().iter().map(|r| graph.nodes[r.nodes.end].op.clone()).collect()
}

#[test]
fn what_was_written_before_there_were_tokens_is_read() {
    let text = r#"{"source":{"bag":{"width":9,"tokens":4}},"nodes":[{"op":{"embed":{"site":"embedding","outputs":4}}},
        {"op":"norm"},{"op":{"linear":{"site":"up","outputs":4}}},{"op":{"activate":"relu"}},
        {"op":"add","from":[0,3]},{"op":{"pool":"weighted_sum"}},{"op":{"linear":{"site":"output","outputs":2}}}]}"#;
    let graph: Graph = serde_json::from_str(text).unwrap();
    assert_eq!((graph.check(), graph.output), (Ok(()), Output::Logits));
    assert!(graph.sites().iter().all(|(_, shape)| shape.bias));
    let written: String = text.split_whitespace().collect();
    assert_eq!(serde_json::to_string(&graph).unwrap(), written, "and written as it was");
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
    let encoder = bert(1);
    let all: Vec<Option<String>> = encoder.sites().iter().map(|(id, _)| of(&encoder, id.as_str())).collect();
    let value = "encoder.layer.0.attention.self.value".to_owned();
    let expected = [None, None, None, None, None, None, Some(value), None, None, None, None];
    assert_eq!(all, expected, "a normalisation is read by what adds to it, and GELU keeps no scale");
    let table: Graph =
        StaticSpec { vocabulary: 9, tokens: 9, width: 4, outputs: Some(2), dropout: 0.0 }.into();
    assert_eq!(of(&table, "output").as_deref(), Some("embedding"));
}

#[test]
fn a_site_that_others_read_too_is_no_factor() {
    // The tables are narrower than the layers, which all read what makes them as wide: query, key, value and the sum behind.
    let graph: Graph =
        EncoderSpec { embedding: Some(3), intermediate: 10, ..EncoderSpec::new(8, 2, 2) }.into();
    assert_eq!(graph.ranks(), Ranks::new());
    for group in graph.groups() {
        let less = graph.clone().with_units(&group, 1);
        assert_eq!(less.check(), Ok(()));
        let of =
            |graph: &Graph| graph.sites().into_iter().find(|(id, _)| id.as_str() == "embeddings_project");
        let is_touched = group.columns.iter().any(|id| id.as_str() == "embeddings_project");
        assert!(
            is_touched || group.rows.contains(&SiteId::new("embeddings_project")) || of(&less) == of(&graph)
        );
    }
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
    let of_a_token = 4 * 8 * 8 + 2 * 8 * 10;
    assert_eq!(bert(2).macs(7), 2 * (7 * of_a_token + 2 * 7 * 7 * 8) + 8 * 8 + 8 * 3);
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
    says(refused(&|g| g.nodes[5].op = Op::attend(2, 5)), "attention over width 8");
    says(refused(&|g| g.nodes[7].from = vec![4, 6]), "a sum of widths 8 and 16");
    says(refused(&|g| g.nodes.truncate(8)), "one value for each token");
    says(refused(&|g| g.nodes[6].from = vec![4]), "nodes.5 is read by none");
    says(refused(&|g| g.nodes[4].op = g.nodes[3].op.clone()), "used twice");
    says(refused(&|g| g.nodes[6].op = Op::Pool(Pooling::First)), "which has no order");
    says(
        refused(&|g| g.nodes[0].op = Op::embed(SiteId::output(), 16, Key::Type { rows: 2 })),
        "a bag has no others",
    );
    let wide = refused(&|g| *g = g.clone().with_outputs(crate::WIDEST + 1));
    says(wide, "output is 1048577");
    let refused = |change: &dyn Fn(&mut Graph)| {
        let mut graph = bert(1);
        change(&mut graph);
        graph.check().unwrap_err().to_string()
    };
    says(
        refused(&|g| g.source = Source::Tokens { vocabulary: 40, most: 17 }),
        "rows is 16, but it must be at least",
    );
    says(refused(&|g| g.source = Source::Tokens { vocabulary: 40, most: 1 << 17 }), "tokens is 131072");
    says(refused(&|g| g.source = Source::Bag { width: 40, tokens: 12 }), "a bag has no others");
    let param = SiteId::new("embeddings.word_embeddings");
    says(refused(&|g| g.nodes[5].op = Op::layer_norm(param.clone(), 1.0)), "used twice");
    let none = SiteId::new("");
    says(refused(&|g| g.nodes[5].op = Op::layer_norm(none.clone(), 1.0)), "nodes.5.param is");
    says(refused(&|g| g.nodes[0].op = Op::embed(param.clone(), 9, Key::Word)), "a sum of widths 9 and 8");
}

#[test]
fn an_unknown_group_changes_nothing() {
    let graph = mlp(&[8], 3);
    let other = Group {
        what: Units::Neurons,
        units: 4,
        block: 1,
        columns: vec![SiteId::hidden(7)],
        rows: vec![],
        vectors: vec![],
    };
    assert_eq!(graph.clone().with_units(&other, 2), graph);
}
