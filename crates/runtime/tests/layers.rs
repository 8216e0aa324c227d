//! Encoders whose layers run as one kernel: near the same network in floats, the same bits whatever else is in a batch and
//! on however many threads, and nothing allocated once memory has grown.

#![cfg(test)]

mod common;

use common::{network, random};
use nlpress_artifact::{Artifact, Layer};
use nlpress_graph::{EncoderSpec, Form, Graph, Head, Pooling};
use nlpress_packed::{Grid, Index, Matrix, Per, Scheme, Values};
use nlpress_runtime::{Scratch, Session};
use nlpress_text::TokenRows;

const VOCABULARY: usize = 300;

#[cfg(test)]
mod counting {
    //! The system's allocator, which counts what each thread allocates.

    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;

    pub(crate) struct Counting;

    thread_local! {
        static COUNT: Cell<usize> = const { Cell::new(0) };
    }

    /// Allocations of this thread so far.
    pub(crate) fn count() -> usize {
        COUNT.with(Cell::get)
    }

    // SAFETY: everything is left to the system's allocator.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // Not counted where the thread is already going.
            let _ = COUNT.try_with(|count| count.set(count.get() + 1));
            // SAFETY: as the caller promises.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
            // SAFETY: as the caller promises.
            unsafe { System.dealloc(at, layout) }
        }
    }
}

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

fn graph(width: usize, heads: usize, head: Head) -> Graph {
    Graph::from(EncoderSpec {
        vocabulary: VOCABULARY,
        tokens: 200,
        positions: 200,
        types: 2,
        intermediate: 256,
        head,
        ..EncoderSpec::new(width, 2, heads)
    })
}

fn int8(per: Per) -> Form {
    Form::Packed(Scheme { values: Values::int(Grid::Int8, per), index: Index::Full })
}

fn bf16() -> Form {
    Form::Packed(Scheme { values: Values::Bf16, index: Index::Full })
}

fn embedding() -> Head {
    Head::Embedding { pooling: Pooling::Mean, unit: true }
}

/// Texts of one to 180 tokens.
fn texts() -> TokenRows {
    let mut next = random(3);
    let (mut offsets, mut ids) = (vec![0], Vec::new());
    for length in [5, 1, 80, 33, 180, 16, 64, 17, 2, 128, 31] {
        ids.extend((0..length).map(|_| (next() * VOCABULARY as f32) as u32));
        offsets.push(ids.len());
    }
    TokenRows::new(VOCABULARY, offsets, ids, vec![]).unwrap()
}

/// The same network with other matrices of the same shapes.
fn with(artifact: &Artifact, made: impl Fn(&Matrix) -> Matrix) -> Artifact {
    let mut outline = artifact.outline.clone();
    let layers: Vec<Layer> =
        artifact.layers.iter().map(|layer| Layer { matrix: made(&layer.matrix), ..layer.clone() }).collect();
    for (site, layer) in outline.sites.iter_mut().zip(&layers) {
        site.form = Form::Packed(layer.matrix.scheme());
    }
    let Artifact { vectors, labels, encoder, provenance, .. } = artifact.clone();
    Artifact::new(outline, layers, vectors, labels, encoder, provenance).unwrap()
}

/// The same numbers as floats.
fn in_floats(matrix: &Matrix) -> Matrix {
    Matrix::dense(matrix.inputs(), matrix.outputs(), matrix.unpack()).unwrap()
}

/// The same numbers as floats in a layout that no panels are made of.
fn apart(matrix: &Matrix) -> Matrix {
    let values = matrix.unpack();
    let keep = vec![true; values.len()];
    Matrix::sparse(matrix.inputs(), matrix.outputs(), &values, &keep, Index::Bitmask).unwrap()
}

/// Layers that run as one kernel, where there are fast instructions for it.
fn fused(session: &Session) -> usize {
    if nlpress_runtime::encoder_instructions()[0] == "portable" { 2 } else { session.fused_layers() }
}

#[test]
fn layers_are_near_the_network_in_floats() {
    let classifier = Head::Classifier { pooling: Pooling::Mean, outputs: 3 };
    for (width, heads, head, per) in [(128, 4, embedding(), Per::Channel), (128, 2, classifier, Per::Tensor)]
    {
        let artifact = network(&graph(width, heads, head), int8(per), 100);
        let exact = Session::from_artifact(with(&artifact, apart)).unwrap();
        assert_eq!(exact.fused_layers(), 0);
        let floats = Session::from_artifact(with(&artifact, in_floats)).unwrap();
        let session = Session::from_artifact(artifact).unwrap();
        assert_eq!((fused(&session), fused(&floats)), (2, 2));
        let expected = exact.logits(&texts()).unwrap();
        let outputs = session.outline().graph.outputs();
        for (row, (a, b)) in
            session.logits(&texts()).unwrap().chunks(outputs).zip(expected.chunks(outputs)).enumerate()
        {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
            assert!(cosine > 0.995, "{width}, text {row}: {cosine}");
        }
        for (n, (a, b)) in floats.logits(&texts()).unwrap().iter().zip(&expected).enumerate() {
            assert!((a - b).abs() < 2e-5, "{width}, logit {n}: {a} {b}");
        }
    }
}

#[test]
fn layers_of_bfloat16_are_near_those_of_the_same_numbers_in_32_bits() {
    let artifact = network(&graph(128, 4, embedding()), Form::Dense, 100);
    let halves = with(&artifact, |matrix| {
        Matrix::bf16(matrix.inputs(), matrix.outputs(), &matrix.unpack(), None, Index::Full).unwrap()
    });
    let whole = Session::from_artifact(with(&halves, in_floats)).unwrap();
    let session = Session::from_artifact(halves).unwrap();
    assert_eq!((fused(&session), fused(&whole)), (2, 2));
    let (found, expected) = (session.logits(&texts()).unwrap(), whole.logits(&texts()).unwrap());
    if !["amx", "avx512-bf16"].contains(&nlpress_runtime::encoder_instructions()[0]) {
        return assert_eq!(found, expected);
    }
    // Activations are rounded, too. The vectors are of length 1.
    let outputs = session.outline().graph.outputs();
    for (row, (a, b)) in found.chunks(outputs).zip(expected.chunks(outputs)).enumerate() {
        let cosine: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum();
        assert!(cosine > 0.9998, "text {row}: {cosine}");
    }
}

#[test]
fn a_layer_of_floats_and_integers_runs_operation_by_operation() {
    let artifact = network(&graph(128, 4, embedding()), int8(Per::Channel), 100);
    let shapes = |matrix: &Matrix| (matrix.inputs(), matrix.outputs());
    // The first product of the feed-forward blocks.
    let mixed = with(&artifact, |of| if shapes(of) == (128, 256) { in_floats(of) } else { of.clone() });
    assert_eq!(Session::from_artifact(mixed).unwrap().fused_layers(), 0);
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "starts threads")]
fn an_answer_depends_on_neither_the_batch_nor_the_threads() {
    for form in [int8(Per::Channel), Form::Dense, bf16()] {
        let session = Session::from_artifact(network(&graph(128, 4, embedding()), form, 100)).unwrap();
        assert_eq!(fused(&session), 2);
        let (texts, outputs) = (texts(), session.outline().graph.outputs());
        let all = session.logits(&texts).unwrap();
        for threads in [1, 2, 3] {
            assert_eq!(session.logits_many(&texts, threads).unwrap(), all, "{form}, {threads} threads");
        }
        let mut one = vec![0.0; outputs];
        for threads in [1, 2, 3] {
            let mut scratch = session.scratch(threads).unwrap();
            for row in 0..texts.len() {
                session.logits_row(texts.row(row), &mut one, &mut scratch).unwrap();
                assert_eq!(one, all[row * outputs..][..outputs], "{form}, text {row}, {threads} threads");
            }
        }
        assert!(session.scratch(0).is_err() && session.scratch(1025).is_err());
        let mut scratch = Scratch::default();
        for first in 0..texts.len() {
            for end in first + 1..=texts.len() {
                let mut some = vec![0.0; (end - first) * outputs];
                session.logits_rows(&texts, first..end, &mut some, &mut scratch).unwrap();
                assert_eq!(some, all[first * outputs..end * outputs], "{form}, texts {first}..{end}");
            }
        }
    }
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "starts threads")]
fn a_warm_call_allocates_nothing() {
    for (form, threads) in
        [int8(Per::Channel), Form::Dense, bf16()].into_iter().flat_map(|form| [1, 2].map(|n| (form, n)))
    {
        let session = Session::from_artifact(network(&graph(128, 4, embedding()), form, 100)).unwrap();
        let texts = texts();
        let mut scratch = session.scratch(threads).unwrap();
        let outputs = session.outline().graph.outputs();
        let mut out = vec![0.0; texts.len() * outputs];
        session.logits_rows(&texts, 0..texts.len(), &mut out, &mut scratch).unwrap();
        let before = counting::count();
        session.logits_rows(&texts, 0..texts.len(), &mut out, &mut scratch).unwrap();
        for row in 0..texts.len() {
            session.logits_row(texts.row(row), &mut out[..outputs], &mut scratch).unwrap();
        }
        assert_eq!(counting::count() - before, 0, "{form}, {threads} threads");
    }
}
