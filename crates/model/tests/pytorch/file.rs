//! A file of numbers that PyTorch computed.

use serde_json::Value;
use std::path::Path;

/// How far a number may be apart, relative to its magnitude or to one.
const NEAR: f32 = 1e-5;

/// The numbers, by what they are.
pub(crate) struct File {
    /// The file, without its ending.
    pub(crate) name: &'static str,
    all: Value,
}

impl File {
    pub(crate) fn read(name: &'static str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/pytorch");
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        Self { name, all: serde_json::from_str(&text).unwrap() }
    }

    /// What is called so.
    pub(crate) fn at(&self, what: &str) -> &Value {
        &self.all[what]
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
