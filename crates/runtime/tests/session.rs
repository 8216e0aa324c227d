//! A session answers in order, alike for every number of threads, and refuses what is no artifact.

#![cfg(test)]

mod common;

use common::{artifact, encoder, texts};
use nlpress_graph::Form;
use nlpress_packed::{Grid, Index, Per, Scheme, Values};
use nlpress_runtime::{RuntimeError, Scratch, Session};
use std::path::Path;

const INT8: Form = Form::Packed(Scheme { values: Values::int(Grid::Int8, Per::Channel), index: Index::Full });

#[test]
#[cfg_attr(target_family = "wasm", ignore = "starts threads")]
fn answers_do_not_depend_on_threads() {
    for form in [Form::Dense, Form::Masked, INT8] {
        let session = Session::from_artifact(artifact(form, 200, &[64, 32], 4, 30)).unwrap();
        let texts = texts(101, 200, 30);
        let one = session.predict_many(&texts, 1).unwrap();
        for threads in [2, 3, 8] {
            assert_eq!(session.predict_many(&texts, threads).unwrap(), one);
        }
        let mut scratch = Scratch::default();
        for (text, expected) in texts.iter().zip(&one) {
            assert_eq!(&session.predict(text).unwrap(), expected);
            assert_eq!(session.score(text, &mut scratch).unwrap(), expected.scores);
            assert_eq!(expected.label, session.labels()[expected.class]);
            assert!((expected.scores.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
        let classes: std::collections::BTreeSet<usize> = one.iter().map(|p| p.class).collect();
        assert!(classes.len() > 1, "all texts are in one class: nothing was tested");
        assert!(session.predict_many::<&str>(&[], 3).unwrap().is_empty());
    }
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "starts threads")]
fn two_threads_may_ask_at_once() {
    let session = Session::from_artifact(artifact(INT8, 200, &[64], 1, 30)).unwrap();
    let texts = texts(50, 200, 30);
    let expected = session.predict_many(&texts, 1).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (text, expected) in texts.iter().zip(&expected) {
                    assert_eq!(&session.predict(text).unwrap(), expected);
                }
            });
        }
    });
}

#[test]
fn one_output_scores_two_labels() {
    let session = Session::from_artifact(artifact(Form::Dense, 60, &[16], 1, 100)).unwrap();
    assert_eq!(session.labels().len(), 2);
    let text = &texts(1, 60, 20)[0];
    let prediction = session.predict(text).unwrap();
    let logits = session.logits(&session.encoder().bag().unwrap().encode_all(&[text])).unwrap();
    let p = 1.0 / (1.0 + (-logits[0]).exp());
    assert!((prediction.scores[1] - p).abs() < 1e-6);
    assert_eq!(prediction.class, usize::from(logits[0] > 0.0));
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "makes a file")]
fn a_session_is_opened_on_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.nlpress");
    let artifact = artifact(INT8, 60, &[16], 3, 100);
    artifact.write(&path).unwrap();
    let (from_file, from_memory) = (Session::open(&path).unwrap(), Session::from_artifact(artifact).unwrap());
    let texts = texts(10, 60, 20);
    assert_eq!(from_file.predict_many(&texts, 2).unwrap(), from_memory.predict_many(&texts, 2).unwrap());
    let from_bytes = Session::from_bytes(&std::fs::read(&path).unwrap(), "its bytes").unwrap();
    assert_eq!(from_bytes.predict_many(&texts, 2).unwrap(), from_memory.predict_many(&texts, 2).unwrap());
    assert!(matches!(Session::open(Path::new("no such file")), Err(RuntimeError::Artifact(_))));
}

#[test]
fn bytes_are_opened_by_one_thread() {
    // So large that a system with threads would read the encoder, and take checksums, beside.
    let artifact = artifact(INT8, 40_000, &[32], 3, 100);
    let bytes = artifact.to_bytes().unwrap();
    assert!(artifact.encoder.blob.len() > 1 << 16, "{} bytes", artifact.encoder.blob.len());
    assert!(bytes.len() > 1 << 20, "{} bytes", bytes.len());
    let (from_bytes, from_memory) =
        (Session::from_bytes(&bytes, "its bytes").unwrap(), Session::from_artifact(artifact).unwrap());
    let texts = texts(10, 40_000, 20);
    assert_eq!(from_bytes.predict_many(&texts, 1).unwrap(), from_memory.predict_many(&texts, 1).unwrap());
    let error = Session::from_bytes(&bytes[..bytes.len() - 1], "its bytes").unwrap_err();
    assert!(error.to_string().contains("its bytes"), "{error}");
}

#[test]
fn refuses_what_does_not_fit() {
    let good = artifact(INT8, 60, &[16], 3, 100);
    let mut narrow = good.clone();
    (narrow.encoder.config, narrow.encoder.blob) = encoder(59).to_parts();
    let error = Session::from_artifact(narrow).unwrap_err();
    assert!(matches!(error, RuntimeError::Width { encoder: 59, network: 60 }));
    let mut broken = good.clone();
    broken.encoder.blob.pop();
    assert!(matches!(Session::from_artifact(broken), Err(RuntimeError::Encoder(_))));
    let session = Session::from_artifact(good).unwrap();
    for threads in [0, 1025] {
        assert!(matches!(session.predict_many(&["a"], threads), Err(RuntimeError::Threads(_))));
    }
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "makes a file")]
fn a_threshold_moves_the_class_and_not_the_scores() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.nlpress");
    let plain = artifact(Form::Dense, 60, &[16], 1, 100);
    let texts = texts(40, 60, 20);
    let before = Session::from_artifact(plain.clone()).unwrap();
    let scores: Vec<f32> = texts.iter().map(|t| before.predict(t).unwrap().scores[1]).collect();
    let mut sorted = scores.clone();
    sorted.sort_by(f32::total_cmp);
    // As far from one half as can be, so that it changes something.
    let threshold = f64::from(f32::midpoint(sorted[3], sorted[4]));
    let moved = scores.iter().filter(|s| (**s > 0.5) != (f64::from(**s) > threshold)).count();
    assert!(moved > 0, "the threshold {threshold} changes nothing");
    plain.with_threshold(Some(threshold)).unwrap().write(&path).unwrap();
    let session = Session::open(&path).unwrap();
    assert_eq!(session.threshold(), Some(threshold));
    let rows = session.encoder().bag().unwrap().encode_all(&texts);
    let logits = session.logits(&rows).unwrap();
    for (n, text) in texts.iter().enumerate() {
        let answer = session.predict(text).unwrap();
        assert_eq!(answer.scores[1], scores[n]);
        assert_eq!(answer.class, usize::from(f64::from(scores[n]) > threshold));
        assert_eq!(answer.class, session.class(&logits[n..=n]));
    }
    assert_eq!(texts.iter().filter(|t| session.predict(t).unwrap().class == 1).count(), 36);
}

#[test]
fn a_threshold_needs_two_classes_of_one_output() {
    let two = artifact(Form::Dense, 60, &[16], 1, 100);
    for bad in [0.0, 1.0, -0.5, f64::NAN] {
        assert!(two.clone().with_threshold(Some(bad)).is_err(), "{bad}");
    }
    let three = artifact(Form::Dense, 60, &[16], 3, 100);
    assert!(three.clone().with_threshold(Some(0.3)).is_err());
    assert!(three.with_threshold(None).is_ok());
}
