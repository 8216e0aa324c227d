//! What `encoders.py` wrote.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, but not in the functions they share

use nlpress_graph::{EncoderSpec, Graph, SiteId, StaticSpec};
use nlpress_text::TokenRows;
use serde_json::Value;
use std::path::Path;

/// How far a number may be apart, relative to its magnitude or to one.
const NEAR: f32 = 1e-5;

/// A network, texts, and what PyTorch makes of them.
pub(crate) struct Dump {
    /// The file, without its ending.
    pub(crate) name: &'static str,
    pub(crate) graph: Graph,
    pub(crate) texts: TokenRows,
    all: Value,
}

/// All files.
pub(crate) fn dumps() -> [Dump; 3] {
    ["encoder", "encoder-embedding", "static"].map(Dump::read)
}

impl Dump {
    fn read(name: &'static str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/pytorch");
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        let all: Value = serde_json::from_str(&text).unwrap();
        let graph = if all["encoder"].is_object() {
            Graph::from(serde_json::from_value::<EncoderSpec>(all["encoder"].clone()).unwrap())
        } else {
            Graph::from(serde_json::from_value::<StaticSpec>(all["static"].clone()).unwrap())
        };
        graph.check().unwrap();
        assert_eq!(graph.sites().len(), all["parameters"].as_object().unwrap().len());
        assert_eq!(graph.vectors().len(), all["vectors"].as_object().unwrap().len());
        let (mut offsets, mut ids, mut types) = (vec![0], Vec::new(), Vec::new());
        for text in all["texts"].as_array().unwrap() {
            ids.extend(numbers(&text["ids"]).iter().map(|id| *id as u32));
            if text["types"].is_array() {
                types.extend(numbers(&text["types"]).iter().map(|of| *of as u8));
            }
            offsets.push(ids.len());
        }
        let texts = TokenRows::new(graph.inputs(), offsets, ids, types).unwrap();
        Self { name, graph, texts, all }
    }

    /// What is called so.
    pub(crate) fn at(&self, what: &str) -> &Value {
        &self.all[what]
    }

    /// The weight and the bias of a site, which may have none, among `parameters` or `gradients`.
    pub(crate) fn both(&self, among: &str, site: &SiteId) -> [Vec<f32>; 2] {
        let of = &self.all[among][site.as_str()];
        ["weight", "bias"].map(|part| if of[part].is_array() { numbers(&of[part]) } else { Vec::new() })
    }

    /// A vector, among `vectors` or `vector_gradients`.
    pub(crate) fn vector(&self, among: &str, id: &SiteId) -> Vec<f32> {
        numbers(&self.all[among][id.as_str()])
    }

    /// Holds numbers against those of PyTorch.
    pub(crate) fn assert_near(&self, found: &[f32], expected: &Value, what: &str) {
        let (name, expected) = (self.name, numbers(expected));
        assert_eq!(found.len(), expected.len(), "{name}, {what}");
        for (i, (a, b)) in found.iter().zip(&expected).enumerate() {
            assert!((a - b).abs() <= NEAR * b.abs().max(1.0), "{name}, {what}, number {i}: {a}, PyTorch {b}");
        }
    }
}

pub(crate) fn numbers(of: &Value) -> Vec<f32> {
    of.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}
