//! What `dump.py` wrote.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, but not in the functions they share

mod file;

use nlpress_graph::{AttentionSpec, Graph, MlpSpec};
use nlpress_text::Rows;
use std::ops::Deref;

pub(crate) use file::{File, numbers};

/// A network, rows with labels, and what PyTorch makes of them.
pub(crate) struct Dump {
    file: File,
    pub(crate) graph: Graph,
    pub(crate) rows: Rows,
}

/// All files.
pub(crate) fn dumps() -> [Dump; 4] {
    ["mlp-one-logit", "mlp-four-classes", "attention", "attention-factored"].map(Dump::read)
}

impl Dump {
    fn read(name: &'static str) -> Self {
        let file = File::read(name);
        let at = |what: &str| file.at(what);
        let spec = |family: &str| at(family).clone();
        let graph = if at("mlp").is_object() {
            Graph::from(serde_json::from_value::<MlpSpec>(spec("mlp")).unwrap())
        } else {
            Graph::from(serde_json::from_value::<AttentionSpec>(spec("attention")).unwrap())
        };
        assert_eq!(graph.sites().len(), at("parameters").as_object().unwrap().len());
        let (mut offsets, mut columns, mut values) = (vec![0], Vec::new(), Vec::new());
        for row in at("rows").as_array().unwrap() {
            columns.extend(numbers(&row["columns"]).iter().map(|column| *column as u32));
            values.extend(numbers(&row["values"]));
            offsets.push(columns.len());
        }
        let rows = Rows::new(graph.inputs(), offsets, columns, values).unwrap();
        Self { file, graph, rows }
    }

    /// The weight and the bias of a site, among `parameters` or `gradients`.
    pub(crate) fn both(&self, among: &str, site: &str) -> [Vec<f32>; 2] {
        ["weight", "bias"].map(|part| numbers(&self.at(among)[site][part]))
    }
}

impl Deref for Dump {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}
