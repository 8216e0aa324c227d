#![doc = include_str!("../README.md")]

mod error;
mod export;
mod family;
mod fits;
mod folder;
mod import;
mod json;
mod sentence;
mod spec;
mod tokenizer;
mod weights;
mod written;

pub use error::HubError;
pub use export::export;
pub use folder::Folder;
pub use import::{Imported, Unused};
pub use spec::ImportOptions;
