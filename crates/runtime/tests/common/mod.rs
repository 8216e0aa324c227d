//! Made-up models and texts.
#![allow(dead_code, unused_imports)] // each test file uses a part

#[path = "../../../artifact/tests/common/forms.rs"]
mod forms;

use nlpress_artifact::{Artifact, EncoderParts, Layer, Provenance, Vector};
use nlpress_graph::{Form, Graph, MlpSpec, Outline, Source};
use nlpress_packed::{Activations, Index, Int, Matrix, Scales, Scheme, Values};
use nlpress_text::{BagEncoder, EncoderConfig, Rows, TokenEncoder};

pub(crate) use forms::forms;

/// Numbers in `0..1`, always the same.
pub(crate) fn random(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// Words of which the made-up texts consist.
fn word(n: usize) -> String {
    format!("word{}", n.to_string().bytes().map(|b| (b - b'0' + b'a') as char).collect::<String>())
}

pub(crate) fn texts(count: usize, vocabulary: usize, length: usize) -> Vec<String> {
    let mut next = random(5);
    let mut text = || {
        let words: Vec<String> = (0..length).map(|_| word((next() * vocabulary as f32) as usize)).collect();
        words.join(" ")
    };
    (0..count).map(|_| text()).collect()
}

pub(crate) fn encoder(vocabulary: usize) -> BagEncoder {
    let all: Vec<String> = (0..vocabulary).map(word).collect();
    let text = all.join(" ");
    let config = EncoderConfig { vocabulary, min_documents: 1, ..EncoderConfig::default() };
    let encoder = BagEncoder::fit(&config, [text.as_str()]).expect("what is made up here fits together");
    assert_eq!(encoder.width(), vocabulary);
    encoder
}

/// A tokenizer of whole words, of so many tokens; the first stands for what it does not know. Texts that [`texts`] makes
/// have others, too.
pub(crate) fn tokenizer(vocabulary: usize, max_tokens: usize) -> TokenEncoder {
    let words = (1..vocabulary).map(|n| (word(n), n));
    let ids: serde_json::Map<String, serde_json::Value> =
        words.chain([("[UNK]".to_owned(), 0)]).map(|(word, id)| (word, id.into())).collect();
    let json = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": { "type": "Whitespace" }, "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "vocab": ids, "unk_token": "[UNK]" },
    });
    let made = TokenEncoder::from_json("made up", json.to_string().as_bytes(), max_tokens);
    let made = made.expect("what is made up here fits together");
    assert_eq!(made.width(), vocabulary);
    made
}

/// A perceptron of that form with `percent` of its weights kept.
pub(crate) fn artifact(
    form: Form,
    inputs: usize,
    hidden: &[usize],
    outputs: usize,
    percent: u32,
) -> Artifact {
    network(&Graph::from(MlpSpec::new(inputs, hidden, outputs, 0.5)), form, percent)
}

/// A network of that form with `percent` of its weights kept.
pub(crate) fn network(graph: &Graph, form: Form, percent: u32) -> Artifact {
    let mut outline = Outline::dense(graph);
    let mut next = random(11);
    let mut layers = Vec::new();
    let mut kept = 0;
    for site in &mut outline.sites {
        site.form = form;
        let (inputs, outputs) = (site.shape.inputs, site.shape.outputs);
        let spread = (6.0 / (inputs + outputs) as f32).sqrt();
        let floats: Vec<f32> = (0..inputs * outputs).map(|_| (next() * 2.0 - 1.0) * spread).collect();
        let mut keep: Vec<bool> = floats.iter().map(|_| next() * 100.0 < percent as f32).collect();
        if let Form::Packed(Scheme { index: Index::Nm { n, m }, .. }) = site.form {
            // Of every group, the first few: what such a layout can hold.
            for group in keep.chunks_mut(usize::from(m) * outputs) {
                let mut kept = vec![0; outputs];
                for (i, keep) in group.iter_mut().enumerate() {
                    *keep &= kept[i % outputs] < n;
                    kept[i % outputs] += u8::from(*keep);
                }
            }
        }
        let matrix = matrix(form, inputs, outputs, &floats, &keep, spread);
        kept += matrix.kept();
        let bias = (0..site.shape.biases()).map(|_| next() * 0.2 - 0.1).collect();
        layers.push(Layer { id: site.id.clone(), matrix, bias });
    }
    outline.kept = kept;
    let vectors = graph.vectors().into_iter().map(|(id, of)| {
        let values = (0..of.length).map(|_| of.fresh + next() - 0.5).collect();
        Vector { id, values }
    });
    let vectors = vectors.collect();
    let labels = (0..graph.classes().unwrap_or(0)).map(|n| format!("class {n}")).collect();
    let (config, blob) = match graph.source {
        Source::Tokens { vocabulary, most } => tokenizer(vocabulary, most).to_parts(),
        _ => encoder(graph.inputs()).to_parts(),
    };
    Artifact::new(outline, layers, vectors, labels, EncoderParts { config, blob }, Provenance::default())
        .expect("what is made up here fits together")
}

fn matrix(form: Form, inputs: usize, outputs: usize, floats: &[f32], keep: &[bool], spread: f32) -> Matrix {
    let made = match form {
        Form::Dense => Matrix::dense(inputs, outputs, floats.to_vec()),
        Form::Masked => Matrix::smallest(inputs, outputs, floats, keep),
        Form::Packed(Scheme { values: Values::F32, index }) => {
            Matrix::sparse(inputs, outputs, floats, keep, index)
        }
        Form::Packed(Scheme { values: Values::F16, index }) => {
            Matrix::f16(inputs, outputs, floats, Some(keep), index)
        }
        Form::Packed(Scheme { values: Values::Bf16, index }) => {
            Matrix::bf16(inputs, outputs, floats, Some(keep), index)
        }
        Form::Packed(Scheme { values: Values::Codebook(codebook), index }) => {
            let numbers: Vec<f32> = (0..codebook.numbers(outputs)).map(|n| n as f32 * 0.01 - 0.3).collect();
            let code = |x: &f32| ((x + 0.3) * 100.0).round().clamp(0.0, 63.0) as u8;
            let codes: Vec<u8> = floats.iter().map(code).collect();
            let keep = (index != Index::Full).then_some(keep);
            Matrix::coded((inputs, outputs), codebook, &numbers, &codes, (keep, index))
        }
        Form::Packed(Scheme { values: Values::Int(int), index }) => {
            Ok(integers(int, (inputs, outputs), floats, (keep, index), spread))
        }
    };
    made.expect("what is made up here fits together")
}

/// Floats within `±spread` as integers.
fn integers(
    int: Int,
    shape: (usize, usize),
    floats: &[f32],
    (keep, index): (&[bool], Index),
    spread: f32,
) -> Matrix {
    let (outputs, grid) = (shape.1, int.grid);
    let levels = grid.levels().min(2_000_000_000) as f32;
    let count = int.per.scales(shape.0, outputs);
    let scales = (0..count).map(|j| spread / levels * (1.0 + (j % 99) as f32 / 99.0)).collect();
    let scales = Scales::of(int.per, scales);
    let place = |i: usize| scales.place(i / outputs, i % outputs, outputs);
    let ratio = |(i, v): (usize, &f32)| v / scales.all()[place(i)];
    let made = match (int.zero_points, grid.with_zero_point()) {
        (true, Some((least, most))) => {
            let points: Vec<i8> = (0..count as i32).map(|j| (least + j % (most - least + 1)) as i8).collect();
            let whole = |at: (usize, &f32)| {
                (ratio(at).round() as i32 + i32::from(points[place(at.0)])).clamp(least, most)
            };
            let q: Vec<i32> = floats.iter().enumerate().map(whole).collect();
            Matrix::affine(shape, grid, &q, scales.clone(), points)
        }
        _ => {
            let q: Vec<i32> = floats.iter().enumerate().map(|at| grid.nearest(ratio(at).into())).collect();
            // Without a zero, nothing stands for an entry that is not kept.
            let keep = (grid.has_zero() || index != Index::Full).then_some(keep);
            Matrix::quantized(shape, grid, &q, scales.clone(), keep, index)
        }
    };
    let mut matrix = made.expect("what is made up here fits together");
    if int.outliers > 0 {
        let outliers: Vec<usize> = (0..shape.0).rev().take(int.outliers.into()).rev().collect();
        let values: Vec<f32> =
            outliers.iter().flat_map(|i| &floats[i * outputs..][..outputs]).copied().collect();
        let inputs = outliers.iter().map(|i| *i as u32).collect();
        matrix = matrix.with_outliers(inputs, &values).expect("as many as there are inputs");
    }
    match int.activations {
        Activations::Dynamic => matrix,
        Activations::Static => matrix.with_activations(0.011).expect("a positive scale"),
    }
}

/// Rows of the made-up texts, and an empty one.
pub(crate) fn rows(encoder: &BagEncoder, count: usize, length: usize) -> Rows {
    let mut texts = texts(count, encoder.width(), length);
    texts.push("nothing known".into());
    encoder.encode_all(&texts)
}
