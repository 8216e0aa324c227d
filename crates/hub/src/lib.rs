#![doc = include_str!("../README.md")]

mod error;
mod export;
mod family;
mod folder;
mod import;
mod json;
mod sentence;
mod tokenizer;
mod weights;

pub use error::HubError;
pub use export::export;
pub use folder::Folder;
pub use import::{ImportOptions, Imported, Unused};
