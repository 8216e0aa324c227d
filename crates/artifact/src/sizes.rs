//! How many bytes of a file are what, and which of them did not shrink.

use crate::{Artifact, ArtifactError};
use nlpress_core::shown::counted;
use nlpress_graph::Form;
use nlpress_packed::{Grid, Index, Int, Values};
use serde::{Deserialize, Serialize};

/// The bytes of a file; the four parts add up to the whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// The whole file.
    pub file_bytes: u64,
    /// Weights: values, scales, indexes.
    pub weight_bytes: u64,
    /// Biases, and the vectors of normalisations.
    pub bias_bytes: u64,
    /// The encoder's vocabulary.
    pub vocabulary_bytes: u64,
    /// Everything else: the manifest, the names and places of the tensors, padding.
    pub manifest_bytes: u64,
    /// What is not smaller than in the uncompressed model.
    pub unshrunk: Vec<Unshrunk>,
}

/// A part of the file that is not smaller than in the uncompressed model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unshrunk {
    /// The part.
    pub what: String,
    /// Its bytes.
    pub bytes: u64,
    /// Why it did not shrink.
    pub why: String,
}

impl Artifact {
    /// The sizes of the file that [`write`](Artifact::write) makes.
    ///
    /// # Errors
    /// As [`to_bytes`](Artifact::to_bytes).
    pub fn sizes(&self) -> Result<Sizes, ArtifactError> {
        let weight_bytes: Vec<u64> = self.layers.iter().map(|l| l.matrix.bytes() as u64).collect();
        Ok(Sizes::of(self, self.to_bytes()?.len() as u64, &weight_bytes))
    }
}

impl Sizes {
    /// The sizes of an artifact's file; `weights` are the bytes of each layer's weight in it.
    pub(crate) fn of(artifact: &Artifact, file_bytes: u64, weights: &[u64]) -> Self {
        let weight_bytes = weights.iter().sum::<u64>();
        let biases: usize = artifact.layers.iter().map(|l| l.bias.len()).sum();
        let vectors: usize = artifact.vectors.iter().map(|v| v.values.len()).sum();
        let bias_bytes = 4 * (biases + vectors) as u64;
        let vocabulary_bytes = artifact.encoder.blob.len() as u64;
        let manifest_bytes = file_bytes - weight_bytes - bias_bytes - vocabulary_bytes;
        let entry = |what: &str, bytes, why: &str| Unshrunk { what: what.into(), bytes, why: why.into() };
        let mut unshrunk = unshrunk_weights(artifact, weights);
        unshrunk.push(entry(
            "biases",
            bias_bytes,
            "biases stay 32-bit floats, and so do the vectors of normalisations",
        ));
        if vocabulary_bytes > 0 {
            unshrunk.push(entry(
                "encoder.vocabulary",
                vocabulary_bytes,
                "features are named in text: fewer bytes only for fewer features (select.*)",
            ));
        }
        unshrunk.push(entry(
            "manifest",
            manifest_bytes,
            "names, shapes and provenance do not depend on the weights",
        ));
        Sizes { file_bytes, weight_bytes, bias_bytes, vocabulary_bytes, manifest_bytes, unshrunk }
    }
}

/// Weights that take at least as many bytes as 32-bit floats would.
fn unshrunk_weights(artifact: &Artifact, weight_bytes: &[u64]) -> Vec<Unshrunk> {
    let all: usize = artifact.outline.sites.iter().map(|s| s.shape.weights()).sum();
    let mut unshrunk = Vec::new();
    for ((site, layer), &bytes) in artifact.outline.sites.iter().zip(&artifact.layers).zip(weight_bytes) {
        let weights = site.shape.weights();
        if bytes < 4 * weights as u64 {
            continue;
        }
        let scheme = layer.matrix.scheme();
        let why = match (site.form, scheme.values, scheme.index) {
            (Form::Dense, ..) => {
                let share = 100.0 * weights as f64 / all as f64;
                format!("left dense: 32-bit floats, {share:.2} % of all weights")
            }
            (Form::Masked, ..) => {
                "too many entries are kept: an index would take more than the zeros do".into()
            }
            (_, Values::Int(Int { grid: Grid::Int32, .. }), Index::Full) => {
                "32-bit integers are as wide as the floats they replace, and have scales besides".into()
            }
            (_, Values::Int(_), _) => "too few entries for the scales and the index to pay off".into(),
            (_, _, Index::Full) => "32-bit floats, all stored".into(),
            _ => format!(
                "{} kept: the index takes more than the zeros do",
                counted(layer.matrix.kept(), "entry")
            ),
        };
        unshrunk.push(Unshrunk { what: format!("{}.weight", site.id), bytes, why });
    }
    unshrunk
}
