//! A made-up model in every layout.
#![allow(dead_code)] // each test file uses a part

pub(crate) mod file;
mod forms;

use nlpress_artifact::{Artifact, ArtifactError, EncoderParts, Layer, Provenance, Vector};
use nlpress_graph::{EncoderSpec, Form, Graph, Head, MlpSpec, Outline, Pooling};
use nlpress_packed::{Activations, Index, Int, Matrix, Scales, Scheme, Values};

pub(crate) use forms::forms;

pub(crate) type Parts = (Outline, Vec<Layer>, Vec<String>);

/// A 30 → 12 → 7 → `outputs` network with every site in that form, about a third of its entries kept.
pub(crate) fn parts(form: Form, outputs: usize) -> Parts {
    parts_of(&Graph::from(MlpSpec::new(30, &[12, 7], outputs, 0.25)), form)
}

/// An encoder of one layer, whose tables have no bias.
pub(crate) fn encoder_graph(head: Head) -> Graph {
    Graph::from(EncoderSpec {
        vocabulary: 30,
        tokens: 9,
        positions: 9,
        types: 4,
        intermediate: 12,
        dropout: 0.1,
        head,
        ..EncoderSpec::new(8, 1, 2)
    })
}

/// Of a mean of tokens, not a class.
pub(crate) fn embedder(form: Form) -> Artifact {
    assemble(parts_of(&encoder_graph(Head::Embedding { pooling: Pooling::Mean, unit: true }), form)).unwrap()
}

pub(crate) fn parts_of(graph: &Graph, form: Form) -> Parts {
    let mut outline = Outline::dense(graph);
    let mut layers = Vec::new();
    let mut kept = 0;
    for (n, site) in outline.sites.iter_mut().enumerate() {
        site.form = form;
        let (inputs, outputs) = (site.shape.inputs, site.shape.outputs);
        let matrix = matrix(form, inputs, outputs, n);
        kept += matrix.kept();
        let bias = (0..site.shape.biases()).map(|j| j as f32 * 0.1 - 0.3).collect();
        layers.push(Layer { id: site.id.clone(), matrix, bias });
    }
    outline.kept = kept;
    let labels = (0..graph.classes().unwrap_or(0)).map(|n| format!("class \"{n}\" ä")).collect();
    (outline, layers, labels)
}

fn matrix(form: Form, inputs: usize, outputs: usize, salt: usize) -> Matrix {
    let hash = |i: usize| (i + salt * 977).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let q: Vec<i32> = (0..inputs * outputs).map(|i| (hash(i) % 255) as i32 - 127).collect();
    // Every third input of a column, from anywhere on: no group of seven keeps more than three.
    let keep: Vec<bool> =
        (0..inputs * outputs).map(|i| (i / outputs + hash(i % outputs)).is_multiple_of(3)).collect();
    let floats: Vec<f32> = q.iter().map(|&q| q as f32 / 100.0).collect();
    let made = match form {
        Form::Dense => Matrix::dense(inputs, outputs, floats),
        Form::Masked => Matrix::smallest(inputs, outputs, &floats, &keep),
        Form::Packed(Scheme { values: Values::F32, index }) => {
            Matrix::sparse(inputs, outputs, &floats, &keep, index)
        }
        Form::Packed(Scheme { values: Values::F16, index }) => {
            Matrix::f16(inputs, outputs, &floats, Some(&keep), index)
        }
        Form::Packed(Scheme { values: Values::Bf16, index }) => {
            Matrix::bf16(inputs, outputs, &floats, Some(&keep), index)
        }
        Form::Packed(Scheme { values: Values::Codebook(codebook), index }) => {
            let numbers: Vec<f32> = (0..codebook.numbers(outputs)).map(|n| n as f32 * 0.01 - 0.3).collect();
            let code = |x: &f32| ((x + 0.3) * 100.0).round().clamp(0.0, 63.0) as u8;
            let codes: Vec<u8> = floats.iter().map(code).collect();
            let keep = (index != Index::Full).then_some(&keep[..]);
            Matrix::coded((inputs, outputs), codebook, &numbers, &codes, (keep, index))
        }
        Form::Packed(Scheme { values: Values::Int(int), index }) => {
            Ok(integers(int, (inputs, outputs), &q, (&keep, index)))
        }
    };
    made.unwrap()
}

fn integers(int: Int, shape: (usize, usize), q: &[i32], (keep, index): (&[bool], Index)) -> Matrix {
    let grid = int.grid;
    let count = int.per.scales(shape.0, shape.1);
    let scales = Scales::of(int.per, (1..=count).map(|j| 0.01 / j as f32).collect());
    let matrix = match (int.zero_points, grid.with_zero_point()) {
        (true, Some((least, most))) => {
            let q: Vec<i32> = q.iter().map(|&q| q.clamp(least, most)).collect();
            Matrix::affine(shape, grid, &q, scales, vec![most as i8; count])
        }
        _ => {
            let onto = |&q: &i32| grid.nearest(f64::from(q) * f64::from(grid.levels()) / 127.0);
            let q: Vec<i32> = q.iter().map(onto).collect();
            let keep = (grid.has_zero() || index != Index::Full).then_some(keep);
            Matrix::quantized(shape, grid, &q, scales, keep, index)
        }
    };
    let mut matrix = matrix.unwrap();
    if int.outliers > 0 {
        let values: Vec<f32> =
            (0..usize::from(int.outliers) * shape.1).map(|i| i as f32 * 0.25 - 1.0).collect();
        matrix = matrix.with_outliers((1..=int.outliers.into()).collect(), &values).unwrap();
    }
    match int.activations {
        Activations::Dynamic => matrix,
        Activations::Static => matrix.with_activations(0.02).unwrap(),
    }
}

pub(crate) fn encoder() -> EncoderParts {
    EncoderParts { config: serde_json::json!({"kind": "words", "limit": 30}), blob: b"a\nb\nc".to_vec() }
}

pub(crate) fn provenance() -> Provenance {
    Provenance { technique: "quant.int8".into(), seed: 7, ..Provenance::default() }
}

pub(crate) fn assemble((outline, layers, labels): Parts) -> Result<Artifact, ArtifactError> {
    let vectors = vectors(&outline.graph);
    Artifact::new(outline, layers, vectors, labels, encoder(), provenance())
}

/// Made-up numbers for the vectors of a graph.
pub(crate) fn vectors(graph: &Graph) -> Vec<Vector> {
    let of = |length: usize| (0..length).map(|n| 1.0 - n as f32 * 0.25).collect();
    graph.vectors().into_iter().map(|(id, vector)| Vector { id, values: of(vector.length) }).collect()
}

pub(crate) fn artifact(form: Form, outputs: usize) -> Artifact {
    assemble(parts(form, outputs)).unwrap()
}

/// The innermost error of a file.
pub(crate) fn fault(result: Result<Artifact, ArtifactError>) -> ArtifactError {
    match result {
        Err(ArtifactError::In { error, .. }) => *error,
        Err(other) => other,
        Ok(_) => panic!("expected an error"),
    }
}
