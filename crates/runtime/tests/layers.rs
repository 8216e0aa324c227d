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

/// The same numbers as floats.
fn in_floats(artifact: &Artifact) -> Artifact {
    let mut outline = artifact.outline.clone();
    outline.sites.iter_mut().for_each(|site| site.form = Form::Dense);
    let layers = artifact.layers.iter().map(|layer| Layer {
        id: layer.id.clone(),
        matrix: Matrix::dense(layer.matrix.inputs(), layer.matrix.outputs(), layer.matrix.unpack()).unwrap(),
        bias: layer.bias.clone(),
    });
    let Artifact { vectors, labels, encoder, provenance, .. } = artifact.clone();
    Artifact::new(outline, layers.collect(), vectors, labels, encoder, provenance).unwrap()
}

#[test]
fn layers_are_near_the_network_in_floats() {
    let classifier = Head::Classifier { pooling: Pooling::Mean, outputs: 3 };
    for (width, heads, head, per) in [(128, 4, embedding(), Per::Channel), (128, 2, classifier, Per::Tensor)]
    {
        let artifact = network(&graph(width, heads, head), int8(per), 100);
        let exact = Session::from_artifact(in_floats(&artifact)).unwrap();
        let session = Session::from_artifact(artifact).unwrap();
        let fast = nlpress_runtime::encoder_instructions()[0] != "portable";
        assert_eq!((exact.fused_layers(), session.fused_layers()), (0, if fast { 2 } else { 0 }));
        let (found, expected) = (session.logits(&texts()).unwrap(), exact.logits(&texts()).unwrap());
        let outputs = session.outline().graph.outputs();
        for (row, (a, b)) in found.chunks(outputs).zip(expected.chunks(outputs)).enumerate() {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
            assert!(cosine > 0.995, "{width}, text {row}: {cosine}");
        }
    }
}

#[test]
fn an_answer_depends_on_neither_the_batch_nor_the_threads() {
    let session =
        Session::from_artifact(network(&graph(128, 4, embedding()), int8(Per::Channel), 100)).unwrap();
    let (texts, outputs) = (texts(), session.outline().graph.outputs());
    let all = session.logits(&texts).unwrap();
    for threads in [1, 2, 3] {
        assert_eq!(session.logits_many(&texts, threads).unwrap(), all, "{threads} threads");
    }
    let mut scratch = Scratch::default();
    let mut one = vec![0.0; outputs];
    for row in 0..texts.len() {
        session.logits_row(texts.row(row), &mut one, &mut scratch).unwrap();
        assert_eq!(one, all[row * outputs..][..outputs], "text {row}");
    }
    for first in 0..texts.len() {
        for end in first + 1..=texts.len() {
            let mut some = vec![0.0; (end - first) * outputs];
            session.logits_rows(&texts, first..end, &mut some, &mut scratch).unwrap();
            assert_eq!(some, all[first * outputs..end * outputs], "texts {first}..{end}");
        }
    }
}

#[test]
fn a_warm_call_allocates_nothing() {
    let session =
        Session::from_artifact(network(&graph(128, 4, embedding()), int8(Per::Channel), 100)).unwrap();
    let texts = texts();
    let mut scratch = Scratch::default();
    let outputs = session.outline().graph.outputs();
    let mut out = vec![0.0; texts.len() * outputs];
    session.logits_rows(&texts, 0..texts.len(), &mut out, &mut scratch).unwrap();
    let before = counting::count();
    session.logits_rows(&texts, 0..texts.len(), &mut out, &mut scratch).unwrap();
    for row in 0..texts.len() {
        session.logits_row(texts.row(row), &mut out[..outputs], &mut scratch).unwrap();
    }
    assert_eq!(counting::count() - before, 0);
}
