//! Networks on tokens: what PyTorch computes (see `crates/model/tests/pytorch/encoders.py`), for every layout what each text
//! alone comes to, and errors for what a network does not take.

#![cfg(test)]

mod common;
#[path = "../../model/tests/pytorch/encoders.rs"]
mod dump;

use common::{artifact, encoder, forms, network, texts as made_up, tokenizer};
use dump::{Dump, dumps};
use nlpress_artifact::{Artifact, EncoderParts, Layer, Provenance, Vector};
use nlpress_graph::{
    Activation, EncoderSpec, Form, Graph, Head, MlpSpec, ModernLayers, Outline, Pooling, RelativeSizes,
    Source, StaticSpec,
};
use nlpress_packed::{Activations, Grid, Index, Int, Matrix, Per, Scheme, Values};
use nlpress_runtime::{IntegerScratch, RuntimeError, Scratch, Session, integer};
use nlpress_text::{AnyScratch, Encode, Example, Row, TokenRow, TokenRows};

fn of(dump: &Dump) -> Session {
    let layers = dump.graph.sites().into_iter().map(|(id, shape)| {
        let [weight, bias] = dump.both("parameters", &id);
        Layer { id, matrix: Matrix::dense(shape.inputs, shape.outputs, weight).unwrap(), bias }
    });
    let vectors = dump.graph.vectors().into_iter().map(|(id, _)| {
        let values = dump.vector("vectors", &id);
        Vector { id, values }
    });
    let labels = (0..dump.graph.classes().unwrap_or(0)).map(|n| format!("class {n}")).collect();
    let Source::Tokens { vocabulary, most } = dump.graph.source else { panic!("it takes tokens") };
    let (config, blob) = tokenizer(vocabulary, most).to_parts();
    let (outline, parts) = (Outline::dense(&dump.graph), EncoderParts { config, blob });
    let made =
        Artifact::new(outline, layers.collect(), vectors.collect(), labels, parts, Provenance::default());
    let bytes = made.unwrap().to_bytes().unwrap();
    Session::from_artifact(Artifact::from_bytes(&bytes, "memory").unwrap()).unwrap()
}

#[test]
fn results_are_those_of_pytorch() {
    for dump in dumps() {
        let session = of(&dump);
        dump.assert_near(&session.logits(&dump.texts).unwrap(), dump.at("results"), "results");
    }
}

/// Encoders that make something of places in their attention.
fn placed() -> [Graph; 2] {
    let spec = EncoderSpec {
        vocabulary: 60,
        tokens: 200,
        positions: 200,
        intermediate: 40,
        relative: Some(RelativeSizes { buckets: 32, distance: 128 }),
        ..EncoderSpec::new(24, 2, 3)
    };
    let modern = EncoderSpec {
        relative: None,
        modern: Some(ModernLayers { every: 2, window: 4, global_base: 160_000.0, local_base: 10_000.0 }),
        head: Head::Prediction { pooling: Pooling::Mean, outputs: 3 },
        ..spec.clone()
    };
    [spec.into(), modern.into()]
}

fn graphs() -> [Graph; 2] {
    let spec = EncoderSpec {
        vocabulary: 60,
        tokens: 200,
        positions: 200,
        types: 4,
        intermediate: 40,
        dropout: 0.1,
        head: Head::Pooler { activation: Activation::Tanh, outputs: 3 },
        ..EncoderSpec::new(24, 2, 3)
    };
    let table = StaticSpec { vocabulary: 60, tokens: 200, width: 20, outputs: None, dropout: 0.0 };
    [spec.into(), table.into()]
}

fn texts(lengths: &[usize]) -> TokenRows {
    let (mut offsets, mut ids) = (vec![0], Vec::new());
    for (n, length) in lengths.iter().enumerate() {
        ids.extend((0..*length).map(|at| ((n * 31 + at * 17) % 60) as u32));
        offsets.push(ids.len());
    }
    let types = ids.iter().map(|id| (id % 4) as u8).collect();
    TokenRows::new(60, offsets, ids, types).unwrap()
}

#[test]
fn texts_together_come_to_what_each_does_alone_in_every_layout() {
    let lengths = [7, 1, 0, 100, 33, 2, 200, 16, 15];
    let all = texts(&lengths);
    for graph in graphs().into_iter().chain(placed()) {
        for form in forms().into_iter().step_by(6) {
            let made = network(&graph, form, 60);
            let session = Session::from_artifact(made).unwrap();
            let together = session.logits(&all).unwrap();
            assert!(together.iter().any(|x| x.abs() > 1e-3), "{form}");
            let (mut scratch, outputs) = (Scratch::default(), session.outline().graph.outputs());
            for n in (0..lengths.len()).rev() {
                let mut alone = vec![0.0; outputs];
                session.logits_rows(&all, n..n + 1, &mut alone, &mut scratch).unwrap();
                assert_eq!(alone, together[n * outputs..][..outputs], "{form}, text {n}");
            }
        }
    }
}

#[test]
fn embeddings_have_length_one_and_types_are_optional() {
    let [classifier, embedder] = graphs();
    let session = Session::from_artifact(network(&embedder, Form::Dense, 100)).unwrap();
    assert!(session.labels().is_empty());
    for row in session.logits(&texts(&[5, 1, 70])).unwrap().chunks(session.outline().graph.outputs()) {
        let length: f32 = row.iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-5);
    }
    assert!(session.logits(&texts(&[0])).unwrap().iter().all(|x| *x == 0.0), "nothing stands for no text");
    let session = Session::from_artifact(network(&classifier, Form::Dense, 100)).unwrap();
    let of_type =
        |types| session.logits(&TokenRows::new(60, vec![0, 3], vec![1, 2, 3], types).unwrap()).unwrap();
    assert_eq!(of_type(vec![]), of_type(vec![0; 3]));
    assert_ne!(of_type(vec![]), of_type(vec![0, 1, 0]));
    let logits = of_type(vec![]);
    let mut alone = vec![0.0; 3];
    let row = TokenRow { ids: &[1, 2, 3], types: &[] };
    session.logits_row(row, &mut alone, &mut Scratch::default()).unwrap();
    assert_eq!(alone, logits);
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "starts threads")]
fn texts_are_answered_as_their_tokens_are() {
    let [classifier, embedder] = graphs();
    let all = made_up(20, 60, 30);
    for graph in [classifier, embedder] {
        let session = Session::from_artifact(network(&graph, Form::Dense, 100)).unwrap();
        let (examples, coverage) = session.encoder().encode_all(&all).unwrap();
        let logits = session.logits(&examples).unwrap();
        let (mut scratch, mut known) = (Scratch::default(), 0);
        for (text, row) in all.iter().zip(logits.chunks(session.outline().graph.outputs())) {
            assert_eq!(session.answer(text, &mut scratch).unwrap(), row);
            known += u64::from(scratch.seen().known);
        }
        assert_eq!((known, coverage.tokens), (coverage.tokens - coverage.tokens_unknown, 600));
        assert!(coverage.tokens_unknown > 0, "one word of the texts is not in the vocabulary");
        if session.labels().is_empty() {
            assert!(matches!(session.predict("worda"), Err(RuntimeError::NoClasses)));
            assert!(matches!(session.score("worda", &mut scratch), Err(RuntimeError::NoClasses)));
            continue;
        }
        let one = session.predict_many(&all, 1).unwrap();
        assert_eq!(one, session.predict_many(&all, 3).unwrap());
        // Whatever goes through the network beside a text: nothing, fewer, others, in another order.
        for (text, answer) in all.iter().zip(&one) {
            assert_eq!(session.predict(text).unwrap(), *answer);
        }
        assert_eq!(session.predict_many(&all[3..8], 2).unwrap(), one[3..8]);
        let back: Vec<&String> = all.iter().rev().cycle().take(70).collect();
        for threads in [1, 3] {
            let found = session.predict_many(&back, threads).unwrap();
            assert!(found.iter().zip(one.iter().rev().cycle()).all(|(found, answer)| found == answer));
        }
        for (answer, row) in one.iter().zip(logits.chunks(3)) {
            assert_eq!(answer.class, session.class(row));
            assert!((answer.scores.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
        assert!(matches!(session.explainer(), Err(RuntimeError::NotExplained)));
    }
}

#[test]
fn integers_alone_come_near_or_say_which_site_cannot() {
    let fixed = Values::Int(Int { activations: Activations::Static, ..Int::new(Grid::Int8, Per::Channel) });
    let all = texts(&[7, 1, 0, 40, 33]);
    let [encoder, table] = graphs();
    for (graph, near) in [(encoder.clone(), 0.25), (table, 0.1)] {
        let form = Form::Packed(Scheme { values: fixed, index: Index::Full });
        let session = Session::from_artifact(network(&graph, form, 100)).unwrap();
        let floats = session.logits(&all).unwrap();
        let integers = session.in_integers().unwrap();
        let mut found = vec![0; floats.len()];
        let mut scratch = IntegerScratch::default();
        integers.logits_rows(&all, 0..5, &mut found, &mut scratch).unwrap();
        let largest = floats.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        for (found, float) in found.iter().zip(&floats) {
            let found = *found as f32 / integer::ONE as f32;
            assert!((found - float).abs() <= near * largest, "{found} {float} of {largest}");
        }
        let (mut alone, outputs) =
            (vec![0; session.outline().graph.outputs()], session.outline().graph.outputs());
        integers.logits_rows(&all, 3..4, &mut alone, &mut scratch).unwrap();
        assert_eq!(alone, found[3 * outputs..4 * outputs]);
        assert!(integers.logits_rows(&all, 0..6, &mut found, &mut scratch).is_err());
        let (text, mut of_text) = (&made_up(1, 60, 9)[0], AnyScratch::default());
        let Example::Tokens(row) = session.encoder().encode(text, &mut of_text).unwrap() else { panic!() };
        let rows = TokenRows::new(60, vec![0, row.ids.len()], row.ids.to_vec(), vec![]).unwrap();
        integers.logits_rows(&rows, 0..1, &mut alone, &mut scratch).unwrap();
        assert_eq!(integers.logits(text, &mut scratch).unwrap(), alone);
        assert_eq!(scratch.seen().tokens, 9);
    }
    let refused = |form| {
        let session = Session::from_artifact(network(&encoder, form, 100)).unwrap();
        session.in_integers().unwrap_err().to_string()
    };
    assert!(refused(Form::Dense).contains("embeddings.word_embeddings"));
    let dynamic = Scheme { values: Values::int(Grid::Int8, Per::Channel), index: Index::Full };
    assert!(refused(Form::Packed(dynamic)).contains("must be fixed"));
}

#[test]
fn what_a_network_does_not_take_is_refused() {
    let session = Session::from_artifact(network(&graphs()[0], Form::Dense, 100)).unwrap();
    let refused = |ids: Vec<u32>, types| {
        let rows = TokenRows::new(60, vec![0, 0, ids.len()], ids, types).unwrap();
        match session.logits(&rows) {
            Err(RuntimeError::Tokens { row: 1, why }) => why,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(vec![0; 201], vec![]), "has 201 tokens, the network takes 200");
    assert_eq!(refused(vec![1], vec![4]), "has a token of type 4, the network knows 4");
    let other = TokenRows::new(61, vec![0, 2], vec![1, 60], vec![]).unwrap();
    assert!(matches!(session.logits(&other), Err(RuntimeError::Vocabulary { found: 61, expected: 60 })));
    let (rows, mut scratch) = (texts(&[3, 4]), Scratch::default());
    let mut length = |range, out: &mut [f32]| {
        matches!(session.logits_rows(&rows, range, out, &mut scratch), Err(RuntimeError::Length { .. }))
    };
    assert!(length(0..3, &mut [0.0; 9]) && length(0..2, &mut [0.0; 5]) && !length(1..2, &mut [0.0; 3]));
    let row = TokenRow { ids: &[60], types: &[] };
    let error = session.logits_row(row, &mut [0.0; 3], &mut scratch).unwrap_err();
    assert!(error.to_string().contains("the token 60 of a vocabulary of 60"), "{error}");
    let features = Row { columns: &[1], values: &[1.0] };
    let error = session.logits_row(features, &mut [0.0; 3], &mut scratch).unwrap_err();
    assert!(matches!(error, RuntimeError::TakesTokens));
    let bag = Session::from_artifact(artifact(Form::Dense, 60, &[4], 2, 100)).unwrap();
    assert!(matches!(bag.logits(&rows), Err(RuntimeError::TakesRows)));
}

#[test]
fn an_encoder_that_does_not_fit_its_network_is_refused() {
    let with = |graph: &Graph, (config, blob): (serde_json::Value, Vec<u8>)| {
        let mut made = network(graph, Form::Dense, 100);
        made.encoder = EncoderParts { config, blob };
        Session::from_artifact(made).unwrap_err()
    };
    let graph = &graphs()[0];
    let bag = Graph::from(MlpSpec::new(60, &[4], 2, 0.0));
    assert!(matches!(with(graph, encoder(60).to_parts()), RuntimeError::TakesTokens));
    assert!(matches!(with(&bag, tokenizer(60, 9).to_parts()), RuntimeError::TakesRows));
    let other = with(graph, tokenizer(61, 200).to_parts());
    assert!(matches!(other, RuntimeError::Vocabulary { found: 61, expected: 60 }), "{other}");
    let longer = with(graph, tokenizer(60, 201).to_parts());
    assert!(longer.to_string().contains("up to 201 tokens, but its network takes 200"), "{longer}");
}
