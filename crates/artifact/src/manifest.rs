//! What an artifact says about itself, in JSON.

use nlpress_graph::{Outline, SiteId};
use nlpress_packed::Scheme;
use serde::{Deserialize, Serialize};

/// The schema that this version writes. Since 3, a file has checksums, and no two labels are one text after Unicode's
/// canonical composition; labels that nobody can read are [refused](crate::ArtifactError::Label) in every schema. Since 4,
/// a network is written as its graph, before by its family.
pub const SCHEMA: u64 = 4;
/// The oldest schema that this version reads. Before 2, a layout's values were named in another way.
pub const OLDEST_SCHEMA: u64 = 2;
/// The metadata key of the manifest.
pub const KEY: &str = "nlpress";
/// The metadata key of the checksums.
pub const CHECKSUMS: &str = "nlpress.blake3";

/// Most labels: as many as a layer can have outputs, and two for one output.
pub(crate) const MOST_LABELS: usize = nlpress_graph::WIDEST;
/// Longest other list of a manifest.
pub(crate) const MOST_LISTED: usize = 1 << 12;
/// The tensor that holds the encoder's vocabulary.
pub(crate) const VOCABULARY: &str = "encoder.vocabulary";
/// The largest header, which holds the manifest: 16 MiB.
pub const LARGEST_MANIFEST: u64 = 1 << 24;

/// The manifest: everything but the numbers. Fields are written in this order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this structure.
    pub schema: u64,
    /// The network: its specification, the form of every site, entries kept.
    pub outline: Outline,
    /// How each site's weight lies in the file, in the order of the outline.
    #[serde(deserialize_with = "nlpress_core::bounded::list::<_, _, MOST_LISTED>")]
    pub layouts: Vec<Layout>,
    /// Names of the classes, in the order of the scores.
    #[serde(deserialize_with = "nlpress_core::bounded::list::<_, _, MOST_LABELS>")]
    pub labels: Vec<String>,
    /// The score above which the second of two classes is the answer, where it is not one half.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// How texts become feature rows.
    pub encoder: EncoderEntry,
    /// Where the model came from.
    pub provenance: Provenance,
}

/// How a site's weight lies in the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// The site.
    pub site: SiteId,
    /// Its layout; the index is a definite one.
    pub scheme: Scheme,
}

/// The encoder's part of the manifest; its vocabulary is the tensor `encoder.vocabulary`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderEntry {
    /// Its settings, which only the encoder understands.
    #[serde(deserialize_with = "crate::strict::value")]
    pub config: serde_json::Value,
}

/// Where a model came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// SHA-256, in hexadecimal, of what the recipe says of this model and of those it was made from, in a canonical
    /// form; empty when there was none.
    pub recipe_sha256: String,
    /// SHA-256 of the artifact that the recipe started from, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_sha256: Option<String>,
    /// SHA-256 of the training data; empty when there was none.
    pub data_sha256: String,
    /// Seed of the run.
    pub seed: u64,
    /// The techniques that made it, for example `prune.magnitude`.
    pub technique: String,
    /// Version of nlpress.
    pub nlpress: String,
}

impl Default for Provenance {
    /// Nothing but the version of nlpress.
    fn default() -> Self {
        Self {
            recipe_sha256: String::new(),
            start_sha256: None,
            data_sha256: String::new(),
            seed: 0,
            technique: String::new(),
            nlpress: env!("CARGO_PKG_VERSION").into(),
        }
    }
}
