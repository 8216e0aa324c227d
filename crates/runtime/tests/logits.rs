//! A session computes what the definition of each layout says.

#![cfg(test)]

mod common;

use common::{artifact, forms, random, rows};
use nlpress_artifact::{Artifact, Layer};
use nlpress_outline::Form;
use nlpress_packed::{Scales, Scheme, Values};
use nlpress_runtime::{RuntimeError, Scratch, Session};
use nlpress_text::Rows;

/// The widths that go through every kernel: whole blocks, remainders, one column.
const NETWORKS: [(usize, &[usize], usize); 4] =
    [(300, &[128, 64], 1), (90, &[40, 23, 72], 5), (50, &[], 1), (64, &[1, 8], 2)];

/// The definition, in the plainest loops: integers where weights are integers, floats where they are floats.
fn reference_layer(layer: &Layer, x: &[f32]) -> Vec<f32> {
    let m = &layer.matrix;
    let (n, bias) = (m.outputs(), &layer.bias);
    let Values::Int(int) = m.scheme().values else {
        let w = m.unpack();
        let sum = |j| (0..x.len()).map(|i| f64::from(x[i]) * f64::from(w[i * n + j])).sum::<f64>();
        return (0..n).map(|j| (sum(j) + f64::from(bias[j])) as f32).collect();
    };
    let levels = int.grid.activation_levels() as f32;
    let (w, scales) = (m.integers().unwrap(), m.scales().unwrap());
    let x: Vec<f32> = match scales {
        Scales::Row(rows) => x.iter().zip(rows).map(|(x, scale)| x * scale).collect(),
        _ => x.to_vec(),
    };
    let s = m.activations().unwrap_or(x.iter().fold(0.0f32, |m, v| m.max(v.abs())) / levels);
    if s == 0.0 {
        return bias.clone();
    }
    let q: Vec<i64> = x.iter().map(|v| (v / s).round_ties_even().clamp(-levels, levels) as i64).collect();
    let zero = |i, j| m.zero_points().map_or(0, |points| i64::from(points[scales.place(i, j, n)]));
    let sum = |inputs: std::ops::Range<usize>, j: usize| -> f32 {
        inputs.map(|i| q[i] * (i64::from(w[i * n + j]) - zero(i, j))).sum::<i64>() as f32
    };
    let output = |j| match scales {
        Scales::Tensor(scale) => sum(0..x.len(), j) * (s * scale) + bias[j],
        Scales::Channel(scales) => sum(0..x.len(), j) * (s * scales[j]) + bias[j],
        Scales::Row(_) => sum(0..x.len(), j) * s + bias[j],
        Scales::Group { size, scales } => {
            let size = usize::from(*size);
            let starts = (0..x.len()).step_by(size);
            // A group without any activation is not visited, which is as good as adding its zeros.
            starts.fold(bias[j], |out, i| {
                out + sum(i..(i + size).min(x.len()), j) * (s * scales[i / size * n + j])
            })
        }
    };
    (0..n).map(output).collect()
}

fn reference(artifact: &Artifact, rows: &Rows) -> Vec<f32> {
    let mut all = Vec::new();
    for row in rows.iter() {
        let mut x = vec![0.0; rows.width()];
        for (&c, &v) in row.columns.iter().zip(row.values) {
            x[c as usize] = v;
        }
        for (n, layer) in artifact.layers.iter().enumerate() {
            x = reference_layer(layer, &x);
            if n + 1 < artifact.layers.len() {
                x.iter_mut().for_each(|v| *v = v.max(0.0));
            }
        }
        all.extend(x);
    }
    all
}

#[test]
fn every_layout_computes_its_definition() {
    for (inputs, hidden, outputs) in NETWORKS {
        for form in forms() {
            for percent in [3, 40, 100] {
                let artifact = artifact(form, inputs, hidden, outputs, percent);
                let expected_all = |rows: &Rows| reference(&artifact, rows);
                let bytes = artifact.to_bytes().unwrap();
                let session =
                    Session::from_artifact(Artifact::from_bytes(&bytes, "memory").unwrap()).unwrap();
                let rows = rows(session.encoder(), 12, 40);
                let (found, expected) = (session.logits(&rows).unwrap(), expected_all(&rows));
                let what = format!("{form}, {inputs} {hidden:?} {outputs}, {percent} % kept");
                match form {
                    // Floats are summed in another order; the logits are about 1 and the sums at most 300 long.
                    Form::Dense
                    | Form::Masked
                    | Form::Packed(Scheme {
                        values: Values::F32 | Values::F16 | Values::Bf16 | Values::Codebook(_),
                        ..
                    }) => {
                        for (a, b) in found.iter().zip(&expected) {
                            assert!((a - b).abs() <= 1e-5, "{what}: {a} {b}");
                        }
                    }
                    // Integers leave no room: every float operation is defined one by one.
                    _ => assert_eq!(found, expected, "{what}"),
                }
            }
        }
    }
}

#[test]
fn rows_together_are_rows_alone() {
    let mut next = random(4);
    let (count, inputs) = (37, 60);
    let mut rows_of = |zeros: f32| -> Vec<f32> {
        (0..count * inputs).map(|_| if next() < zeros { 0.0 } else { next() }).collect()
    };
    let all_rows = [0.0, 0.1, 0.9].map(|zeros| Rows::from_dense(count, inputs, &rows_of(zeros)).unwrap());
    for form in forms() {
        let session = Session::from_artifact(artifact(form, inputs, &[40, 24], 3, 60)).unwrap();
        let mut scratch = Scratch::default();
        for rows in &all_rows {
            let all = session.logits(rows).unwrap();
            let mut some = vec![0.0; 11 * 3];
            session.logits_rows(rows, 5..16, &mut some, &mut scratch).unwrap();
            assert_eq!(some, all[5 * 3..16 * 3], "{form}");
            for (row, expected) in rows.iter().zip(all.chunks(3)) {
                let mut out = [0.0; 3];
                session.logits_row(row.columns, row.values, &mut out, &mut scratch).unwrap();
                assert_eq!(out, expected, "{form}");
            }
        }
    }
}

#[test]
fn negative_features_are_multiplied_too() {
    let mut next = random(3);
    for form in forms() {
        let artifact = artifact(form, 50, &[40], 3, 60);
        let dense: Vec<f32> = (0..50 * 4).map(|_| next() * 2.0 - 1.0).collect();
        let rows = Rows::from_dense(4, 50, &dense).unwrap();
        let expected = reference(&artifact, &rows);
        let found = Session::from_artifact(artifact).unwrap().logits(&rows).unwrap();
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() <= 1e-5, "{form}: {a} {b}");
        }
    }
}

#[test]
fn rows_that_do_not_fit_are_refused() {
    let session = Session::from_artifact(artifact(Form::Dense, 50, &[8], 2, 100)).unwrap();
    let mut scratch = Scratch::default();
    let mut row = |columns: &[u32], values: &[f32], out: usize| {
        session.logits_row(columns, values, &mut vec![0.0; out], &mut scratch)
    };
    assert!(row(&[49], &[1.0], 2).is_ok());
    assert!(row(&[], &[], 2).is_ok());
    assert!(matches!(row(&[50], &[1.0], 2), Err(RuntimeError::Column { column: 50, inputs: 50 })));
    assert!(matches!(row(&[1], &[], 2), Err(RuntimeError::Length { what: "values", .. })));
    assert!(matches!(row(&[1], &[1.0], 3), Err(RuntimeError::Length { what: "out", .. })));
    let wide = Rows::from_dense(1, 51, &[0.0; 51]).unwrap();
    assert!(matches!(session.logits(&wide), Err(RuntimeError::Rows { found: 51, expected: 50 })));
    let two = Rows::from_dense(2, 50, &[1.0; 100]).unwrap();
    let mut some = |range, out: usize| session.logits_rows(&two, range, &mut vec![0.0; out], &mut scratch);
    assert!(some(0..2, 4).is_ok());
    assert!(some(2..2, 0).is_ok());
    assert!(matches!(some(1..3, 4), Err(RuntimeError::Length { what: "rows", found: 2, expected: 3 })));
    assert!(matches!(some(0..2, 5), Err(RuntimeError::Length { what: "out", .. })));
}
