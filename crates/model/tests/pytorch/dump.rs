//! What `dump.py` wrote.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, but not in the functions they share

use nlpress_graph::{AttentionSpec, Graph, MlpSpec};
use nlpress_text::Rows;
use serde_json::Value;
use std::path::Path;

/// How far a number may be apart, relative to its magnitude or to one.
const NEAR: f32 = 1e-5;

/// A network, rows with labels, and what PyTorch makes of them.
pub(crate) struct Dump {
    /// The file, without its ending.
    pub(crate) name: &'static str,
    pub(crate) graph: Graph,
    pub(crate) rows: Rows,
    all: Value,
}

/// All files.
pub(crate) fn dumps() -> [Dump; 4] {
    ["mlp-one-logit", "mlp-four-classes", "attention", "attention-factored"].map(Dump::read)
}

impl Dump {
    fn read(name: &'static str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/pytorch");
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        let all: Value = serde_json::from_str(&text).unwrap();
        let spec = |family: &str| all[family].clone();
        let graph = if all["mlp"].is_object() {
            Graph::from(serde_json::from_value::<MlpSpec>(spec("mlp")).unwrap())
        } else {
            Graph::from(serde_json::from_value::<AttentionSpec>(spec("attention")).unwrap())
        };
        assert_eq!(graph.sites().len(), all["parameters"].as_object().unwrap().len());
        let (mut offsets, mut columns, mut values) = (vec![0], Vec::new(), Vec::new());
        for row in all["rows"].as_array().unwrap() {
            columns.extend(numbers(&row["columns"]).iter().map(|column| *column as u32));
            values.extend(numbers(&row["values"]));
            offsets.push(columns.len());
        }
        let rows = Rows::new(graph.inputs(), offsets, columns, values).unwrap();
        Self { name, graph, rows, all }
    }

    /// What is called so.
    pub(crate) fn at(&self, what: &str) -> &Value {
        &self.all[what]
    }

    /// The weight and the bias of a site, among `parameters` or `gradients`.
    pub(crate) fn both(&self, among: &str, site: &str) -> [Vec<f32>; 2] {
        ["weight", "bias"].map(|part| numbers(&self.all[among][site][part]))
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
