//! What `encoders.py` wrote.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, but not in the functions they share

mod file;

use nlpress_graph::{EncoderSpec, Graph, SiteId, StaticSpec};
use nlpress_text::TokenRows;
use std::ops::Deref;

pub(crate) use file::{File, numbers};

/// A network, texts, and what PyTorch makes of them.
pub(crate) struct Dump {
    file: File,
    pub(crate) graph: Graph,
    pub(crate) texts: TokenRows,
}

/// All files.
pub(crate) fn dumps() -> [Dump; 3] {
    ["encoder", "encoder-embedding", "static"].map(Dump::read)
}

impl Dump {
    fn read(name: &'static str) -> Self {
        let file = File::read(name);
        let at = |what: &str| file.at(what);
        let graph = if at("encoder").is_object() {
            Graph::from(serde_json::from_value::<EncoderSpec>(at("encoder").clone()).unwrap())
        } else {
            Graph::from(serde_json::from_value::<StaticSpec>(at("static").clone()).unwrap())
        };
        graph.check().unwrap();
        assert_eq!(graph.sites().len(), at("parameters").as_object().unwrap().len());
        assert_eq!(graph.vectors().len(), at("vectors").as_object().unwrap().len());
        let (mut offsets, mut ids, mut types) = (vec![0], Vec::new(), Vec::new());
        for text in at("texts").as_array().unwrap() {
            ids.extend(numbers(&text["ids"]).iter().map(|id| *id as u32));
            if text["types"].is_array() {
                types.extend(numbers(&text["types"]).iter().map(|of| *of as u8));
            }
            offsets.push(ids.len());
        }
        let texts = TokenRows::new(graph.inputs(), offsets, ids, types).unwrap();
        Self { file, graph, texts }
    }

    /// The weight and the bias of a site, which may have none, among `parameters` or `gradients`.
    pub(crate) fn both(&self, among: &str, site: &SiteId) -> [Vec<f32>; 2] {
        let of = &self.at(among)[site.as_str()];
        ["weight", "bias"].map(|part| if of[part].is_array() { numbers(&of[part]) } else { Vec::new() })
    }

    /// A vector, among `vectors` or `vector_gradients`.
    pub(crate) fn vector(&self, among: &str, id: &SiteId) -> Vec<f32> {
        numbers(&self.at(among)[id.as_str()])
    }
}

impl Deref for Dump {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}
