//! What is written is read back, in exactly the bytes that were promised; what does not fit together is refused.

#![cfg(test)]

mod common;

use common::{artifact, assemble, embedder, encoder_graph, fault, forms, parts, parts_of};
use nlpress_artifact::{Artifact, ArtifactError, Inspection, OpenOptions};
use nlpress_graph::{Activation, Form, Head, SiteId};
use nlpress_packed::{Grid, Index, Matrix, Per, Scheme, Values};

const INT8: Form = Form::Packed(Scheme { values: Values::int(Grid::Int8, Per::Channel), index: Index::Full });

#[test]
fn every_form_survives_the_file() {
    for form in forms() {
        for outputs in [1, 2, 5] {
            let written = artifact(form, outputs);
            let bytes = written.to_bytes().unwrap();
            let read = Artifact::from_bytes(&bytes, "memory").unwrap();
            assert_eq!(read, written, "{form}");
            assert_eq!(read.to_bytes().unwrap(), bytes, "{form}");
            assert_eq!(read.outline.sites[0].form, form);

            let sizes = Inspection::from_bytes(&bytes, "memory", &OpenOptions::default()).unwrap().sizes;
            assert_eq!(sizes, written.sizes().unwrap());
            let weights: usize = written.layers.iter().map(|l| l.matrix.bytes()).sum();
            assert_eq!(sizes.weight_bytes, weights as u64);
            assert_eq!(sizes.bias_bytes, 4 * (12 + 7 + outputs as u64));
            assert_eq!(sizes.vocabulary_bytes, 5);
            let parts = sizes.weight_bytes + sizes.bias_bytes + sizes.vocabulary_bytes + sizes.manifest_bytes;
            assert_eq!(sizes.file_bytes, parts);
            // The manifest is the header: its own length says so.
            let header = u64::from_le_bytes(*bytes.first_chunk().unwrap());
            assert_eq!(sizes.manifest_bytes, 8 + header);
        }
    }
}

#[test]
fn encoders_survive_the_file_with_their_vectors() {
    for form in forms().into_iter().step_by(9) {
        let classifier = assemble(parts_of(
            &encoder_graph(Head::Pooler { activation: Activation::Tanh, outputs: 3 }),
            form,
        ))
        .unwrap();
        for written in [classifier, embedder(form)] {
            let bytes = written.to_bytes().unwrap();
            let read = Artifact::from_bytes(&bytes, "memory").unwrap();
            assert_eq!((&read, read.to_bytes().unwrap()), (&written, bytes), "{form}");
            let biases: usize = read.layers.iter().map(|l| l.bias.len()).sum();
            assert!(read.layers[0].bias.is_empty());
            assert_eq!(written.sizes().unwrap().bias_bytes, 4 * (biases as u64 + 3 * 2 * 8));
        }
    }
    assert!(embedder(INT8).labels.is_empty());
}

#[test]
fn a_file_is_opened_and_named_in_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.nlpress");
    let written = artifact(INT8, 2);
    written.write(&path).unwrap();
    assert_eq!(Artifact::open(&path).unwrap(), written);
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(written.sha256().unwrap(), nlpress_core::files::sha256_hex(&bytes));

    std::fs::write(&path, &bytes[..100]).unwrap();
    assert!(Artifact::open(&path).unwrap_err().to_string().contains("model.nlpress"));
    let missing = Artifact::open(&folder.path().join("none")).unwrap_err();
    assert!(missing.to_string().contains("none: cannot be read"), "{missing}");
}

#[test]
fn sizes_say_what_did_not_shrink() {
    let whys = |form| {
        let sizes = artifact(form, 2).sizes().unwrap();
        let what: Vec<String> = sizes.unshrunk.iter().map(|u| format!("{}: {}", u.what, u.why)).collect();
        what.join("\n")
    };
    let int32 = Scheme { values: Values::int(Grid::Int32, Per::Tensor), index: Index::Full };
    assert!(whys(Form::Packed(int32)).contains("hidden.0.weight: 32-bit integers are as wide"));
    assert!(whys(Form::Dense).contains("hidden.0.weight: left dense: 32-bit floats, 78.60 % of all"));
    assert!(!whys(INT8).contains("hidden.0.weight"));
    assert!(whys(INT8).contains("biases: biases stay 32-bit floats"));
}

#[test]
fn refuses_what_does_not_fit_together() {
    let change = |form, change: &dyn Fn(&mut common::Parts)| {
        let mut parts = parts(form, 2);
        change(&mut parts);
        fault(assemble(parts))
    };
    use ArtifactError as E;
    assert!(matches!(change(INT8, &|p| p.2.push("c".into())), E::Labels { found: 3, expected: 2, .. }));
    assert!(matches!(change(INT8, &|p| p.2[1] = p.2[0].clone()), E::LabelTwice(_)));
    assert!(matches!(change(INT8, &|p| drop(p.1.pop())), E::Layer { .. }));
    assert!(matches!(change(INT8, &|p| p.1.swap(0, 1)), E::Layer { .. }));
    assert!(matches!(change(INT8, &|p| p.1[0].bias.push(0.0)), E::Bias { found: 13, .. }));
    assert!(matches!(change(INT8, &|p| p.1[0].bias[3] = f32::NAN), E::BiasValue { position: 3, .. }));
    assert!(matches!(change(INT8, &|p| p.0.sites[0].form = Form::Dense), E::Layout { .. }));
    assert!(matches!(change(INT8, &|p| p.0.kept += 1), E::Kept { .. }));
    assert!(matches!(change(Form::Dense, &|p| p.0.kept -= 1), E::Kept { .. }));
    assert!(matches!(change(Form::Masked, &|p| p.0.kept -= 1), E::Kept { .. }));
    assert!(matches!(change(INT8, &|p| p.0.sites[1].id = SiteId::new("x")), E::Sites(_)));
    assert!(matches!(change(INT8, &|p| drop(p.0.sites.pop())), E::Sites(_)));
    let small = |p: &mut common::Parts| p.1[0].matrix = Matrix::dense(2, 12, vec![0.0; 24]).unwrap();
    assert!(matches!(change(Form::Dense, &small), E::Shape { found: [2, 12], .. }));
    let graph = |p: &mut common::Parts| {
        p.0.graph = p.0.graph.clone().with_inputs(0);
    };
    assert!(matches!(change(INT8, &graph), E::Graph(_)));
}

#[test]
fn refuses_vectors_that_do_not_fit() {
    let with = |change: &dyn Fn(&mut Artifact)| {
        let mut made = embedder(INT8);
        change(&mut made);
        let Artifact { outline, layers, vectors, labels, encoder, provenance, .. } = made;
        Artifact::new(outline, layers, vectors, labels, encoder, provenance).map_err(|e| e.to_string())
    };
    assert!(with(&|_| {}).is_ok());
    let says = |change: &dyn Fn(&mut Artifact), part: &str| {
        let message = with(change).unwrap_err();
        assert!(message.contains(part), "{message}");
    };
    says(&|a| drop(a.vectors.pop()), "5 vectors, expected 6");
    says(
        &|a| a.vectors[1].values.push(0.0),
        "found embeddings.LayerNorm.bias [9], expected embeddings.LayerNorm.bias [8]",
    );
    says(&|a| a.vectors.swap(0, 1), "found embeddings.LayerNorm.bias [8]");
    says(&|a| a.vectors[2].values[3] = f32::INFINITY, "is inf at position 3");
    says(&|a| a.labels.push("a".into()), "found 1 label, expected 0");
    says(
        &|a| a.layers[0].bias = vec![0.0; 8],
        "the bias of embeddings.word_embeddings has 8 entries, expected 0",
    );
    assert!(embedder(INT8).with_threshold(Some(0.5)).is_err());
}
