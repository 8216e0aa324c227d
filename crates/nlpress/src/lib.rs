#![doc = include_str!("../README.md")]

pub use nlpress_artifact as artifact;
pub use nlpress_core as core;
pub use nlpress_distill as distill;
pub use nlpress_eval as eval;
pub use nlpress_graph as graph;
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
