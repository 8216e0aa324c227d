#![doc = include_str!("../README.md")]

pub use nlpress_artifact as artifact;
pub use nlpress_core as core;
pub use nlpress_distill as distill;
pub use nlpress_eval as eval;
pub use nlpress_graph as graph;
pub use nlpress_hub as hub;
pub use nlpress_kernels as kernels;
pub use nlpress_model as model;
pub use nlpress_packed as packed;
pub use nlpress_parallel as parallel;
pub use nlpress_pipeline as pipeline;
pub use nlpress_prune as prune;
pub use nlpress_quant as quant;
pub use nlpress_runtime as runtime;
pub use nlpress_search as search;
pub use nlpress_technique as technique;
pub use nlpress_text as text;
pub use nlpress_train as train;

/// Finds the best small model for labelled text within limits on size, latency and quality: see [`search`].
///
/// ```rust
/// use nlpress::core::BackendKind;
/// use nlpress::core::event::Quiet;
/// use nlpress::pipeline::recipe::DataRecipe;
/// use nlpress::search::{Bytes, Effort, Limits, Request, clean};
/// use nlpress::text::{CorpusOptions, EncoderConfig};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let data = DataRecipe {
///     corpus: Some("embedded".into()), // or `source`, for files
///     source: None,
///     unlabelled: None,
///     options: CorpusOptions { limit: Some(120), ..CorpusOptions::default() },
///     encoder: EncoderConfig::default().into(),
///     class_weights: None,
/// };
/// let folder = std::env::temp_dir().join(format!("nlpress-fit-{}", std::process::id()));
/// let size: Bytes = "4KB".parse()?;
/// let request = Request {
///     limits: Limits { max_bytes: Some(size.0), ..Limits::default() },
///     effort: Effort::Trials(3),
///     ..Request::new(data, &folder)
/// };
/// let found = nlpress::fit(&request, &BackendKind::Ndarray.open()?, &Quiet)?;
/// assert!(found.choice.missed.is_empty() && found.chosen().bytes <= 4000);
/// let model = std::fs::read(&found.chosen().path)?; // the artifact
/// assert_eq!(model.len() as u64, found.chosen().bytes);
/// clean(&folder)?;
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok(())
/// # }
/// ```
pub use nlpress_search::fit;
