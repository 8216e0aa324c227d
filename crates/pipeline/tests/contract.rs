//! Every technique's model, written and opened again: the session answers as the network in memory does, and the
//! model that comes back is the one that went in.

#![allow(clippy::unwrap_used)] // a test may end by a panic

use nlpress_artifact::{Artifact, Provenance};
use nlpress_core::BackendKind;
use nlpress_model::{Form, Model, Network};
use nlpress_packed::Values;
use nlpress_pipeline::{kinds, ship};
use nlpress_runtime::Session;
use nlpress_technique::contract::Bench;
use nlpress_text::{Encoder, EncoderConfig};

/// An encoder of the bench's 24 made-up words: as many features as its rows have.
fn encoder(bench: &Bench) -> Encoder {
    let text = bench.words().join(" ");
    let config = EncoderConfig { vocabulary: 24, ..EncoderConfig::default() };
    let encoder = Encoder::fit(&config, [text.as_str(); 4]).unwrap();
    assert_eq!(encoder.words(), bench.words());
    encoder
}

fn has_integers(model: &Model) -> bool {
    let integer = |form: Form| matches!(form, Form::Packed(scheme) if scheme.values != Values::F32);
    model.outline().sites.iter().any(|site| integer(site.form))
}

#[test]
fn every_artifact_answers_as_its_model_does_and_gives_it_back() {
    let backend = BackendKind::Ndarray.open().unwrap();
    let bench = Bench::new(&backend).unwrap();
    let whole = encoder(&bench);
    let labels = ["no".to_owned(), "yes".to_owned()];
    let (mut integers, mut narrowed) = (0, 0);
    for kind in kinds::all() {
        let name = kind.name;
        let made = bench.run(kind, 1).unwrap();
        let encoder = match &made.features {
            Some(kept) => whole.narrow(kept).unwrap(),
            None => whole.clone(),
        };
        narrowed += usize::from(made.features.is_some());
        let valid = bench.valid_for(&made).unwrap();
        let model = made.model;
        let provenance = Provenance { technique: name.into(), ..Provenance::default() };
        let packed = ship::pack(&model, &encoder, &labels, provenance).unwrap();
        let bytes = packed.to_bytes().unwrap();
        let opened = Artifact::from_bytes(&bytes, name).unwrap();
        assert_eq!(opened, packed, "{name}");
        assert_eq!(opened.to_bytes().unwrap(), bytes, "{name}: written twice, other bytes");
        assert_eq!(ship::unpack(&opened).unwrap(), model, "{name}");

        let memory = Network::bind(&model, &backend).logits_of(&valid).unwrap();
        let session = Session::from_artifact(opened).unwrap();
        let served = session.logits(valid.rows()).unwrap();
        assert_eq!(memory.len(), served.len(), "{name}");
        let largest = memory.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
        let apart = memory.iter().zip(&served).map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
        integers += usize::from(has_integers(&model));
        let bound = if has_integers(&model) { 0.05 * largest } else { 1e-4 * largest.max(1.0) };
        assert!(largest > 0.0 && apart <= bound, "{name}: {apart:e} apart, {bound:e} allowed");
    }
    assert!(integers >= 2, "only {integers} kinds made integers");
    assert!(narrowed >= 6, "only {narrowed} kinds chose features");
}
