//! Why something is not an artifact.

use crate::manifest::OLDEST_SCHEMA;
use nlpress_core::files;
use nlpress_core::shown::{counted, shown};
use nlpress_graph::{BadSpec, SiteId};
use nlpress_packed::{PackError, Scheme};
use std::io;

/// An artifact cannot be made, written or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// What is wrong with a file.
    #[error("{file}: {error}")]
    In {
        /// The file, or the name that was given for the bytes.
        file: String,
        /// The fault.
        #[source]
        error: Box<ArtifactError>,
    },
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[source] io::Error),
    /// The file cannot be written.
    #[error("cannot be written: {0}")]
    Write(#[source] io::Error),
    /// The bytes do not begin as a safetensors file does.
    #[error("not a safetensors file: {0}")]
    NotSafetensors(String),
    /// The header is damaged, or does not fit the bytes that follow it.
    #[error("the header cannot be understood: {0}")]
    Format(String),
    /// The metadata has something that no artifact has.
    #[error("the metadata has the unknown key `{0}`")]
    UnknownKey(String),
    /// A part of the file is not as it was written.
    #[error("damaged: the checksum of {0} does not agree")]
    Damaged(String),
    /// The checksums that every file of this schema has are not there.
    #[error("damaged: a file of schema {0} has checksums, and this one has none")]
    NoChecksums(u64),
    /// Opened, the weights would take more memory than they may.
    #[error("the weights would take {needed} bytes in memory, but at most {most} are accepted for this file")]
    Expanded {
        /// Bytes that they would take.
        needed: u64,
        /// The limit of the [`OpenOptions`](crate::OpenOptions).
        most: u64,
    },
    /// The system does not have the memory.
    #[error("the weights take {0} bytes in memory, which the system does not give")]
    Memory(u64),
    /// The header is larger than any artifact's.
    #[error("the header has {found} bytes, but at most {most} are accepted")]
    Header {
        /// Its size, as claimed.
        found: u64,
        /// The limit.
        most: u64,
    },
    /// A safetensors file without a manifest.
    #[error("not an nlpress artifact: its metadata has no key `nlpress`")]
    NoManifest,
    /// The manifest is not what this version understands.
    #[error("the manifest cannot be understood: {0}")]
    Manifest(String),
    /// The manifest is of a later version.
    #[error("the manifest has schema {found}, but this version of nlpress knows {OLDEST_SCHEMA} to {known}")]
    Schema {
        /// The schema of the file.
        found: u64,
        /// The schema of this version.
        known: u64,
    },
    /// No network has that specification.
    #[error("bad specification: {0}")]
    Graph(#[from] BadSpec),
    /// The sites or the vectors are not those of the specification.
    #[error("the sites or vectors are not those of the specification: {0}")]
    Sites(String),
    /// The layers do not match the outline.
    #[error("expected layer {expected}, found {found}")]
    Layer {
        /// The site that is next in the outline, or `none`.
        expected: String,
        /// The layer that is there, or `none`.
        found: String,
    },
    /// A layer has another shape than its site.
    #[error("layer {site} is {found:?}, but its site is {expected:?} ([inputs, outputs])")]
    Shape {
        /// The site.
        site: SiteId,
        /// Shape of the matrix.
        found: [usize; 2],
        /// Shape of the site.
        expected: [usize; 2],
    },
    /// A layer has a layout that the form of its site does not ship in.
    #[error("layer {site} is laid out as {found}, but a {form} site ships otherwise")]
    Layout {
        /// The site.
        site: SiteId,
        /// Layout of the matrix.
        found: Scheme,
        /// Form of the site.
        form: String,
    },
    /// The layers keep another number of entries than the outline says.
    #[error("the outline keeps {}, but the layers keep {least} to {most}", counted(*outline, "entry"))]
    Kept {
        /// As the outline says.
        outline: usize,
        /// At least, in the layers.
        least: usize,
        /// At most, in the layers.
        most: usize,
    },
    /// A bias has the wrong length.
    #[error("the bias of {site} has {}, expected {expected}", counted(*found, "entry"))]
    Bias {
        /// The site.
        site: SiteId,
        /// Its length.
        found: usize,
        /// Outputs of the site, or 0 where it has no bias.
        expected: usize,
    },
    /// A bias is not a number, or infinite.
    #[error("the bias of {site} is {value} at position {position}, expected a finite number")]
    BiasValue {
        /// The site.
        site: SiteId,
        /// Where, counted from 0.
        position: usize,
        /// The value.
        value: f32,
    },
    /// A number of a vector is not a number, or infinite.
    #[error("vector {vector} is {value} at position {position}, expected a finite number")]
    VectorValue {
        /// The vector.
        vector: SiteId,
        /// Where, counted from 0.
        position: usize,
        /// The value.
        value: f32,
    },
    /// There are more or fewer labels than classes.
    #[error("found {}, expected {expected} for {}", counted(*found, "label"), counted(*outputs, "output"))]
    Labels {
        /// Labels given.
        found: usize,
        /// Logits of the network.
        outputs: usize,
        /// Labels needed.
        expected: usize,
    },
    /// A threshold is not between 0 and 1, or there are not two classes of one output to decide between.
    #[error(
        "the threshold is {value} on {}, but it must be above 0 and below 1, on one output",
        counted(*outputs, "output")
    )]
    Threshold {
        /// The threshold.
        value: f64,
        /// Logits of the network.
        outputs: usize,
    },
    /// Two classes have the same label.
    #[error("label `{}` is there twice", shown(.0))]
    LabelTwice(String),
    /// The name of a class is none that can be read on one line and told from the others.
    #[error("label {position} is `{}`: {why}", shown(.label))]
    Label {
        /// Which label, counted from 0.
        position: usize,
        /// The label.
        label: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The weight of a site is damaged.
    #[error("tensors {site}.weight: {error}")]
    Weight {
        /// The site.
        site: SiteId,
        /// The fault.
        #[source]
        error: PackError,
    },
    /// A tensor is not there.
    #[error("tensor {0} is missing")]
    Missing(String),
    /// A tensor has another type or shape.
    #[error("tensor {name} is {found}, expected {expected}")]
    Tensor {
        /// The tensor.
        name: String,
        /// Its type and shape.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// Tensors that no artifact has.
    #[error("unknown tensor {0}")]
    Unknown(String),
}

impl ArtifactError {
    /// Whether the system failed (a full disk, a device with errors, no memory), rather than that the file, or the path,
    /// is one that nobody could accept.
    pub fn is_failure(&self) -> bool {
        match self {
            Self::In { error, .. } => error.is_failure(),
            Self::Read(error) => !files::is_refusal(error),
            // Unlike a file that may not be read, one that may not be written is no fault of what is in it.
            Self::Write(error) => {
                !files::is_refusal(error) || error.kind() == io::ErrorKind::PermissionDenied
            }
            Self::Memory(_) => true,
            _ => false,
        }
    }

    pub(crate) fn of(self, file: &str) -> Self {
        Self::In { file: file.into(), error: Box::new(self) }
    }
}
