//! A session computes what the definition of each layout says.

#![cfg(test)]

mod common;

use common::{artifact, forms, network, random, rows};
use nlpress_artifact::{Artifact, Layer};
use nlpress_graph::{AttentionSpec, BlockSpec, Form, SiteId};
use nlpress_packed::{Activations, Grid, Index, Int, Matrix, Outliers, Per, Scales, Scheme, Values};
use nlpress_runtime::{RuntimeError, Scratch, Session};
use nlpress_text::{Row, Rows};

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
    if let Some(outliers) = m.outliers() {
        return reference_outliers(layer, x, outliers);
    }
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

/// The product without the outliers, and theirs.
fn reference_outliers(layer: &Layer, x: &[f32], outliers: &Outliers) -> Vec<f32> {
    let m = &layer.matrix;
    let (shape, n) = ((m.inputs(), m.outputs()), m.outputs());
    let Values::Int(int) = m.scheme().values else { panic!("only integers have outliers") };
    let (q, scales) = (m.integers().unwrap(), m.scales().unwrap().clone());
    let mut plain = Matrix::quantized(shape, int.grid, &q, scales, Some(&m.keep()), Index::Bitmask).unwrap();
    if let Some(scale) = m.activations() {
        plain = plain.with_activations(scale).unwrap();
    }
    let mut rest = x.to_vec();
    outliers.inputs().iter().for_each(|i| rest[*i as usize] = 0.0);
    let plain = Layer { matrix: plain, ..layer.clone() };
    let mut out = reference_layer(&plain, &rest);
    for (i, weights) in outliers.inputs().iter().zip(outliers.values().chunks_exact(n)) {
        out.iter_mut().zip(weights).for_each(|(out, w)| *out += x[*i as usize] * w);
    }
    out
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
                let rows = rows(session.encoder().bag().unwrap(), 12, 40);
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
                session.logits_row(row, &mut out, &mut scratch).unwrap();
                assert_eq!(out, expected, "{form}");
            }
        }
    }
}

/// A network of self-attention in the plainest loops (Vaswani et al. 2017): every word looks at every word, one number
/// after the other, as [`AttentionSpec`] says it in words.
fn reference_attention(spec: &AttentionSpec, artifact: &Artifact, row: Row<'_>) -> Vec<f32> {
    let layer = |name: &str| artifact.layers.iter().find(|l| l.id.as_str() == name).unwrap();
    let site = |name: &str, x: &[f32]| match spec.ranks.contains_key(&SiteId::new(name)) {
        true => reference_layer(layer(name), &reference_layer(layer(&format!("{name}.reduce")), x)),
        false => reference_layer(layer(name), x),
    };
    let norm = |x: &[f32]| -> Vec<f32> {
        let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / x.len() as f64;
        x.iter().map(|v| ((f64::from(*v) - mean) / (variance + 1e-5).sqrt()) as f32).collect()
    };
    // The words of the largest values, the first among equals, in their order.
    let mut ranked: Vec<usize> = (0..row.columns.len()).collect();
    ranked.sort_by(|a, b| row.values[*b].total_cmp(&row.values[*a]).then(a.cmp(b)));
    ranked.truncate(spec.tokens);
    ranked.sort_unstable();
    let mut words: Vec<Vec<f32>> = Vec::new();
    for i in &ranked {
        let mut one = vec![0.0; spec.inputs];
        one[row.columns[*i] as usize] = 1.0;
        words.push(site("embedding", &one));
    }
    for (n, block) in spec.layers.iter().enumerate() {
        let name = |part: &str| format!("encoder.{n}.{part}");
        let all = |part: &str| words.iter().map(|w| site(&name(part), &norm(w))).collect::<Vec<_>>();
        let (query, key, value) = (all("attention.query"), all("attention.key"), all("attention.value"));
        let mut sums = words.clone();
        for (at, sum) in sums.iter_mut().enumerate() {
            let mut mixed = vec![0.0_f32; block.heads * spec.head_width];
            for head in 0..block.heads {
                let of = |x: &[f32], i: usize| f64::from(x[head * spec.head_width + i]);
                let score = |other: &[f32]| {
                    let dot: f64 = (0..spec.head_width).map(|i| of(&query[at], i) * of(other, i)).sum();
                    (dot / (spec.head_width as f64).sqrt()).exp()
                };
                let scores: Vec<f64> = key.iter().map(|other| score(other)).collect();
                let total: f64 = scores.iter().sum();
                for i in 0..spec.head_width {
                    let sum: f64 = scores.iter().zip(&value).map(|(s, v)| s / total * of(v, i)).sum();
                    mixed[head * spec.head_width + i] = sum as f32;
                }
            }
            let made = site(&name("attention.output"), &mixed);
            sum.iter_mut().zip(made).for_each(|(sum, x)| *sum += x);
        }
        words = sums;
        for word in &mut words {
            let up: Vec<f32> = site(&name("ffn.up"), &norm(word)).iter().map(|x| x.max(0.0)).collect();
            word.iter_mut().zip(site(&name("ffn.down"), &up)).for_each(|(sum, x)| *sum += x);
        }
    }
    let mut pooled = vec![0.0; spec.width];
    for (word, i) in words.iter().zip(&ranked) {
        pooled.iter_mut().zip(word).for_each(|(sum, x)| *sum += row.values[*i] * x);
    }
    site("output", &pooled)
}

#[test]
fn attention_computes_its_definition() {
    let spec = |layers: &[(usize, usize)], tokens, ranks: &[(&str, usize)]| AttentionSpec {
        inputs: 120,
        width: 12,
        head_width: 5,
        layers: layers.iter().map(|&(heads, neurons)| BlockSpec { heads, neurons }).collect(),
        outputs: 3,
        dropout: 0.0,
        tokens,
        ranks: ranks.iter().map(|&(name, rank)| (SiteId::new(name), rank)).collect(),
    };
    let specs = [
        spec(&[], 64, &[]),
        spec(&[(1, 9)], 64, &[]),
        spec(&[(3, 20), (2, 7)], 64, &[("encoder.1.ffn.up", 4), ("embedding", 6)]),
        // Fewer than most rows have, so that some words are left out.
        spec(&[(2, 16)], 8, &[("encoder.0.attention.output", 3)]),
    ];
    let fixed = Int { activations: Activations::Static, ..Int::new(Grid::Int8, Per::Channel) };
    let forms = [
        (Form::Dense, 1e-4),
        (Form::Masked, 1e-4),
        (Form::Packed(Scheme { values: Values::F16, index: Index::Csr }), 1e-4),
        // A number that is nearly halfway between two integers may become either, which is a step of 1/127.
        (Form::Packed(Scheme { values: Values::int(Grid::Int8, Per::Channel), index: Index::Full }), 0.02),
        (Form::Packed(Scheme { values: Values::Int(fixed), index: Index::Full }), 0.02),
    ];
    for (spec, (form, most)) in specs.iter().flat_map(|spec| forms.map(|form| (spec, form))) {
        let artifact = network(&spec.clone().into(), form, 70);
        let session = Session::from_artifact(artifact.clone()).unwrap();
        let rows = rows(session.encoder().bag().unwrap(), 8, 30);
        let found = session.logits(&rows).unwrap();
        let expected: Vec<f32> =
            rows.iter().flat_map(|row| reference_attention(spec, &artifact, row)).collect();
        let largest = expected.iter().fold(1.0_f32, |m, x| m.max(x.abs()));
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() <= most * largest, "{form} {spec:?}: {a} {b}");
        }
        assert!(
            expected.windows(2).any(|pair| (pair[0] - pair[1]).abs() > 0.01),
            "{form}: nothing was tested"
        );
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
        session.logits_row(Row { columns, values }, &mut vec![0.0; out], &mut scratch)
    };
    assert!(row(&[49], &[1.0], 2).is_ok());
    assert!(row(&[], &[], 2).is_ok());
    assert!(matches!(row(&[50], &[1.0], 2), Err(RuntimeError::Column { column: 50, inputs: 50 })));
    assert!(matches!(row(&[7, 3], &[1.0, 1.0], 2), Err(RuntimeError::Order)));
    assert!(matches!(row(&[3, 3], &[1.0, 1.0], 2), Err(RuntimeError::Order)));
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

#[test]
#[cfg_attr(target_family = "wasm", ignore = "starts threads")]
fn logits_that_are_not_finite_are_no_answer() {
    let huge = |form: Form| {
        let mut artifact = artifact(form, 50, &[8], 2, 100);
        let values = vec![3e38; 8 * 2];
        artifact.layers[1].matrix = match form {
            Form::Dense => Matrix::dense(8, 2, values).unwrap(),
            _ => {
                let scales = Scales::Channel(vec![1e36; 2]);
                Matrix::quantized((8, 2), Grid::Int8, &[127; 16], scales, None, Index::Full).unwrap()
            }
        };
        artifact.layers[0].bias = vec![1000.0; 8];
        Session::from_artifact(artifact).unwrap()
    };
    let int8 = Form::Packed(Scheme { values: Values::int(Grid::Int8, Per::Channel), index: Index::Full });
    for form in [Form::Dense, int8] {
        let session = huge(form);
        let mut scratch = Scratch::default();
        let is_it = |error: RuntimeError, number: usize| {
            assert!(matches!(error, RuntimeError::NotFinite { row, .. } if row == number), "{form}: {error}");
            assert!(error.to_string().contains("too large to compute with"), "{error}");
        };
        is_it(session.predict("worda").unwrap_err(), 0);
        is_it(session.score("worda", &mut scratch).unwrap_err(), 0);
        for threads in [1, 3] {
            is_it(session.predict_many(&["worda", "wordb", "wordc"], threads).unwrap_err(), 0);
        }
        is_it(
            session
                .logits_row(Row { columns: &[1], values: &[1.0] }, &mut [0.0; 2], &mut scratch)
                .unwrap_err(),
            0,
        );
        let rows = Rows::from_dense(3, 50, &[0.5; 150]).unwrap();
        is_it(session.logits(&rows).unwrap_err(), 0);
        is_it(session.logits_rows(&rows, 2..3, &mut [0.0; 2], &mut scratch).unwrap_err(), 2);
    }
}
