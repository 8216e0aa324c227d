//! Every technique's model, written and opened again: the session answers as the network in memory does, and the
//! model that comes back is the one that went in.

use nlpress_artifact::{Artifact, Provenance};
use nlpress_model::{Form, Model, Network};
use nlpress_packed::Values;
use nlpress_pipeline::{kinds, ship};
use nlpress_runtime::Session;
use nlpress_testkit::{Bench, cpu};
use nlpress_text::{AnyEncoder, Encode};

/// Half floats and entries of codebooks are multiplied as floats, so they have no rounding to be excused by.
fn has_integers(model: &Model) -> bool {
    let integer =
        |form: Form| matches!(form, Form::Packed(scheme) if matches!(scheme.values, Values::Int(_)));
    model.outline().sites.iter().any(|site| integer(site.form))
}

#[test]
fn every_artifact_answers_as_its_model_does_and_gives_it_back() {
    let backend = cpu();
    let benches = Bench::families(&backend).unwrap();
    let labels = ["no".to_owned(), "yes".to_owned()];
    let (mut integers, mut narrowed, mut made_on) = (0, [0, 0], vec![0; benches.len()]);
    let all = |kind| benches.iter().enumerate().map(move |(number, bench)| (kind, number, bench));
    for (kind, number, bench) in kinds::all().flat_map(all) {
        if !bench.runs(kind) {
            continue;
        }
        made_on[number] += 1;
        let whole = bench.text_encoder();
        let name = &format!("{} on {}", kind.name, bench.name());
        let made = bench.run(kind, 1).unwrap();
        let encoder = match &made.features {
            Some(kept) => {
                let (narrow, stayed) = whole.narrowed(kept).unwrap();
                assert_eq!(stayed, *kept, "{name}");
                narrow
            }
            None => whole.clone(),
        };
        narrowed[usize::from(matches!(whole, AnyEncoder::Tokens(_)))] += usize::from(made.features.is_some());
        let valid = bench.valid_for(&made).unwrap();
        let model = made.model;
        let provenance = Provenance { technique: kind.name.into(), ..Provenance::default() };
        let packed = ship::pack(&model, &encoder, &labels, provenance).unwrap();
        let bytes = packed.to_bytes().unwrap();
        let opened = Artifact::from_bytes(&bytes, name).unwrap();
        assert_eq!(opened, packed, "{name}");
        assert_eq!(opened.to_bytes().unwrap(), bytes, "{name}: written twice, other bytes");
        assert_eq!(ship::unpack(&opened).unwrap(), model, "{name}");

        let memory = Network::bind(&model, &backend).logits_of(&valid).unwrap();
        let session = Session::from_artifact(opened).unwrap();
        let served = session.logits(valid.examples()).unwrap();
        assert_eq!(memory.len(), served.len(), "{name}");
        let largest = memory.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
        let apart = memory.iter().zip(&served).map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
        integers += usize::from(has_integers(&model));
        let bound = if has_integers(&model) { 0.05 * largest } else { 1e-4 * largest.max(1.0) };
        assert!(largest > 0.0 && apart <= bound, "{name}: {apart:e} apart, {bound:e} allowed");
    }
    assert!(made_on.iter().all(|made| *made >= 40), "{made_on:?} kinds ran on each network");
    assert!(integers >= 2, "only {integers} kinds made integers");
    assert!(narrowed.iter().all(|kinds| *kinds >= 5), "only {narrowed:?} kinds chose features and tokens");
}

/// Runs a kind on a model that another made, on the bench's rows.
fn then(bench: &Bench, name: &str, with: &str, model: Model) -> Model {
    let kind = kinds::find(name).unwrap();
    let technique = (kind.parse)(&with.parse().unwrap()).unwrap();
    bench.apply_to(technique.as_ref(), model).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn zeros_stay_zero_through_training_and_the_quantizer() {
    let bench = Bench::new(&cpu()).unwrap();
    let mut masks = 0;
    for kind in kinds::all().filter(|k| bench.runs(k)) {
        let name = kind.name;
        let made = bench.run(kind, 1).unwrap();
        let pruned = made.model;
        if made.features.is_some() || !pruned.layers().iter().any(|l| l.weight.form() == Form::Masked) {
            continue;
        }
        masks += 1;
        let trained = then(&bench, "train.more", "fit = { epochs = 2 }", pruned.clone());
        let quantized = then(&bench, "quant.int8", "", trained.clone());
        for ((before, trained), quantized) in
            pruned.layers().iter().zip(trained.layers()).zip(quantized.layers())
        {
            let keep = before.weight.keep();
            assert_eq!(keep, trained.weight.keep(), "{name}: training moved the mask of {}", before.id);
            assert!(
                trained.weight.values() != before.weight.values(),
                "{name}: {} was not trained",
                before.id
            );
            for (what, after) in [("training", trained), ("the quantizer", quantized)] {
                let woken = after.weight.values().iter().zip(&keep).position(|(x, k)| !k && *x != 0.0);
                assert_eq!(woken, None, "{name}: {what} woke an entry of {}", before.id);
            }
            if before.weight.form() == Form::Masked {
                assert!(
                    quantized.weight.kept() <= before.weight.kept(),
                    "{name}: {} stores zeros",
                    before.id
                );
            }
        }
    }
    assert!(masks >= 5, "only {masks} kinds made masks");
}
