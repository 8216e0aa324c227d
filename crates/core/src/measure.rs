//! A number with its name, its unit and which way is better.

use serde::{Deserialize, Serialize};

/// Which way a number should move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Smaller is better: bytes, microseconds, loss.
    Lower,
    /// Larger is better: accuracy, rows a second.
    Higher,
}

/// One measured number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// What was measured, for example `accuracy`.
    pub name: String,
    /// The value in `unit`.
    pub value: f64,
    /// Unit, for example `bytes`, `us`, or `1` for a plain ratio.
    pub unit: String,
    /// Which way is better.
    pub better: Better,
}

impl Measurement {
    /// A number of which less is better.
    pub fn lower(name: &str, value: f64, unit: &str) -> Self {
        Self { name: name.into(), value, unit: unit.into(), better: Better::Lower }
    }

    /// A number of which more is better.
    pub fn higher(name: &str, value: f64, unit: &str) -> Self {
        Self { name: name.into(), value, unit: unit.into(), better: Better::Higher }
    }
}
