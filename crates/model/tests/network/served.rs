//! A network on tokens answers through the runtime what it does in training and in plain loops, in every layout.

#[path = "../../../runtime/tests/common/mod.rs"]
mod common;

use nlpress_artifact::Artifact;
use nlpress_core::BackendKind;
use nlpress_graph::{
    Activation, EncoderSpec, Form, Graph, Head, ModernLayers, Pooling, RelativeSizes, StaticSpec,
};
use nlpress_model::{Layer, Layers, Model, Network, Vector, Weight};
use nlpress_packed::{Codebook, Grid, Index, Int, Per, Scheme, Values};
use nlpress_runtime::Session;
use nlpress_testkit::reference;
use nlpress_text::TokenRows;

fn model(artifact: &Artifact) -> Model {
    let sites = artifact.outline.sites.iter().zip(&artifact.layers).map(|(site, layer)| {
        let weight = match site.form {
            Form::Packed(scheme) => Weight::Packed { scheme, matrix: layer.matrix.clone() },
            _ => Weight::Dense(layer.matrix.unpack()),
        };
        Layer { id: site.id.clone(), shape: site.shape, weight, bias: layer.bias.clone() }
    });
    let vectors = artifact.vectors.iter().map(|v| Vector { id: v.id.clone(), values: v.values.clone() });
    let layers = Layers { sites: sites.collect(), vectors: vectors.collect() };
    Model::new(artifact.outline.graph.clone(), layers).unwrap()
}

fn graphs() -> [Graph; 4] {
    let spec = EncoderSpec {
        vocabulary: 40,
        tokens: 30,
        positions: 30,
        types: 4,
        intermediate: 40,
        dropout: 0.1,
        head: Head::Pooler { activation: Activation::Tanh, outputs: 3 },
        ..EncoderSpec::new(24, 2, 3)
    };
    let table = StaticSpec { vocabulary: 40, tokens: 30, width: 20, outputs: Some(4), dropout: 0.0 };
    let mpnet = EncoderSpec { relative: Some(RelativeSizes { buckets: 8, distance: 16 }), ..spec.clone() };
    let modern = EncoderSpec {
        types: 0,
        modern: Some(ModernLayers { every: 2, window: 4, global_base: 160_000.0, local_base: 10_000.0 }),
        head: Head::Prediction { pooling: Pooling::Mean, outputs: 3 },
        ..spec.clone()
    };
    [spec.into(), table.into(), mpnet.into(), modern.into()]
}

#[test]
fn what_is_served_is_what_was_trained() {
    let lengths = [5, 30, 1, 0, 12];
    let (mut offsets, mut ids) = (vec![0], Vec::new());
    for length in lengths {
        ids.extend((0..length).map(|at: u32| (at * 17 + length * 5) % 40));
        offsets.push(ids.len());
    }
    let types = ids.iter().map(|id| (id % 4) as u8).collect();
    let texts = TokenRows::new(40, offsets, ids, types).unwrap();
    let packed = |values, index| Form::Packed(Scheme { values, index });
    let affine = Values::Int(Int { zero_points: true, ..Int::new(Grid::Int4, Per::Group(8)) });
    let forms = [
        Form::Dense,
        packed(Values::F16, Index::Full),
        packed(Values::F32, Index::Csr),
        packed(Values::int(Grid::Int8, Per::Channel), Index::Full),
        packed(affine, Index::Full),
        packed(Values::Codebook(Codebook { width: 1, bits: 6, product: false }), Index::Full),
    ];
    let backend = BackendKind::Ndarray.open().unwrap();
    for graph in graphs() {
        for form in forms {
            let artifact = common::network(&graph, form, 70);
            let model = model(&artifact);
            let served = Session::from_artifact(artifact).unwrap().logits(&texts).unwrap();
            let trained = Network::bind(&model, &backend).logits(&texts).unwrap();
            let plain = reference::logits(&model, &texts);
            let largest = plain.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
            // A number on the edge between two levels may fall to either side of it.
            let near =
                if matches!(form, Form::Packed(Scheme { values: Values::Int(_), .. })) { 0.02 } else { 1e-5 };
            for ((served, trained), plain) in served.iter().zip(&trained).zip(&plain) {
                let apart = (f64::from(*served) - plain).abs().max((f64::from(*trained) - plain).abs());
                assert!(
                    apart <= near * largest.max(1.0),
                    "{form}: {served}, {trained}, {plain} of {largest}"
                );
            }
        }
    }
}
