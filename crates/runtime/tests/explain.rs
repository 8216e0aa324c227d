//! The words that decided: exact for a linear network, the local slope for hidden layers.

#![cfg(test)]

mod common;

use common::{artifact, texts};
use nlpress_graph::Form;
use nlpress_packed::{Grid, Index, Per, Scheme, Values};
use nlpress_runtime::{RuntimeError, Scratch, Session};
use nlpress_text::Row;

const INT8: Form = Form::Packed(Scheme { values: Values::int(Grid::Int8, Per::Channel), index: Index::Full });

fn logits(session: &Session, columns: &[u32], values: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; session.outline().graph.outputs()];
    session.logits_row(Row { columns, values }, &mut out, &mut Scratch::default()).unwrap();
    out
}

/// The logit of a class: of one logit, the first class has its negative.
fn logit(session: &Session, columns: &[u32], values: &[f32], class: usize) -> f32 {
    match logits(session, columns, values)[..] {
        [one] => one * if class == 1 { 1.0 } else { -1.0 },
        ref all => all[class],
    }
}

#[test]
fn shares_of_a_linear_network_make_up_its_logit() {
    for (form, outputs) in [(Form::Dense, 1), (Form::Dense, 4), (Form::Masked, 3), (INT8, 3)] {
        let session = Session::from_artifact(artifact(form, 80, &[], outputs, 40)).unwrap();
        let explainer = session.explainer().unwrap();
        let mut scratch = Scratch::default();
        for text in texts(5, 80, 12) {
            let rows = session.encoder().bag().unwrap().encode_all(&[&text]);
            let row = rows.row(0);
            for class in 0..session.labels().len() {
                let shares = explainer.explain(&text, class, &mut scratch).unwrap();
                assert_eq!(shares.len(), row.columns.len());
                let expected =
                    logit(&session, row.columns, row.values, class) - logit(&session, &[], &[], class);
                let sum: f32 = shares.iter().map(|s| s.amount).sum();
                assert!((sum - expected).abs() < 0.02 * expected.abs().max(1.0), "{form}: {sum} {expected}");
                assert!(shares.windows(2).all(|w| w[0].amount.abs() >= w[1].amount.abs()));
                assert!(shares.iter().all(|s| session.encoder().bag().unwrap().position(s.word).is_some()));
            }
        }
    }
}

#[test]
fn shares_of_hidden_layers_are_value_times_slope() {
    let (mut compared, mut bent) = (0, 0);
    for outputs in [1, 3] {
        let session = Session::from_artifact(artifact(Form::Dense, 60, &[24, 12], outputs, 100)).unwrap();
        let explainer = session.explainer().unwrap();
        for text in texts(5, 60, 10) {
            let rows = session.encoder().bag().unwrap().encode_all(&[&text]);
            let row = rows.row(0);
            for class in 0..session.labels().len() {
                for share in explainer.explain(&text, class, &mut Scratch::default()).unwrap() {
                    let column = session.encoder().bag().unwrap().position(share.word).unwrap() as u32;
                    let at = row.columns.iter().position(|c| *c == column).unwrap();
                    let moved = |by: f32| {
                        let mut values = row.values.to_vec();
                        values[at] += by;
                        logit(&session, row.columns, &values, class)
                    };
                    let (less, here, more) = (moved(-1e-3), moved(0.0), moved(1e-3));
                    if (more - here - (here - less)).abs() > 2e-6 {
                        bent += 1; // a unit changes its side of zero between them
                        continue;
                    }
                    compared += 1;
                    let expected = (more - less) / 2e-3 * row.values[at];
                    assert!(
                        (share.amount - expected).abs() < 2e-3,
                        "{}: {} {expected}",
                        share.word,
                        share.amount
                    );
                }
            }
        }
    }
    assert!(compared > 100 && compared > 3 * bent, "{compared} compared, {bent} bent");
}

#[test]
fn a_text_of_unknown_words_has_no_shares_and_a_class_must_be_there() {
    let session = Session::from_artifact(artifact(Form::Dense, 60, &[8], 3, 100)).unwrap();
    let explainer = session.explainer().unwrap();
    assert!(explainer.explain("nothing known", 0, &mut Scratch::default()).unwrap().is_empty());
    let beyond = explainer.explain("w1", 3, &mut Scratch::default());
    assert!(matches!(beyond, Err(RuntimeError::Length { what: "labels", found: 3, expected: 4 })));
}
