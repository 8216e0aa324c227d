//! Sites: their names, shapes and forms.

use nlpress_packed::Scheme;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The name of an addressable place in a network, or of a vector: `hidden.0`, `output`, `embeddings.LayerNorm.weight`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SiteId(String);

impl SiteId {
    /// A site of that name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The `n`-th hidden layer of a multi-layer perceptron, from 0.
    pub fn hidden(n: usize) -> Self {
        Self(format!("hidden.{n}"))
    }

    /// The last layer.
    pub fn output() -> Self {
        Self("output".into())
    }

    /// The first factor of a site that is the product of two.
    #[must_use]
    pub fn reduce(&self) -> Self {
        Self(format!("{}.reduce", self.0))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The shape of a site: of its weight, `[inputs, outputs]`, and of its bias, `[outputs]` where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Rows of the weight.
    pub inputs: usize,
    /// Columns of the weight.
    pub outputs: usize,
    /// Whether there is a bias.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub bias: bool,
}

/// What serde takes for a shape of which nothing is said.
fn yes() -> bool {
    true
}

impl Shape {
    /// The shape of a site with a bias.
    pub const fn new(inputs: usize, outputs: usize) -> Self {
        Self { inputs, outputs, bias: true }
    }

    /// Entries of the bias.
    pub fn biases(self) -> usize {
        if self.bias { self.outputs } else { 0 }
    }

    /// Entries of the weight.
    pub fn weights(self) -> usize {
        self.inputs.saturating_mul(self.outputs)
    }

    /// Entries of weight and bias.
    pub fn parameters(self) -> usize {
        self.weights().saturating_add(self.biases())
    }
}

/// What form a site's weight is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Trainable floats.
    Dense,
    /// Trainable floats, some of which are held at zero.
    Masked,
    /// Final: laid out as it ships, no longer trained.
    Packed(Scheme),
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Form::Dense => f.write_str("dense"),
            Form::Masked => f.write_str("masked"),
            Form::Packed(scheme) => write!(f, "packed {scheme}"),
        }
    }
}

/// A site of an outline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Its name.
    pub id: SiteId,
    /// Its shape.
    pub shape: Shape,
    /// The form of its weight.
    pub form: Form,
}
