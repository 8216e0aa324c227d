//! A folder as an artifact: the graph that its configuration says, with its numbers.

use nlpress_artifact::{Artifact, EncoderParts, Layer, Provenance, Vector};
use nlpress_graph::{Graph, Key, Op, Outline, Param, Shape, SiteId};
use nlpress_packed::Matrix;
use std::collections::BTreeSet;

use crate::family;
use crate::spec::{ImportOptions, Task};
use crate::{Folder, HubError};

/// A model from a folder.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The model: a classifier, one that scores, or an encoder whose result is the embedding of a text.
    pub artifact: Artifact,
    /// Tensors of the folder that are no part of it, such as those of another head.
    pub unused: Vec<Unused>,
}

/// A tensor that was not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unused {
    /// Its name.
    pub name: String,
    /// Its bytes in the file.
    pub bytes: u64,
}

impl Folder {
    /// Makes an artifact of the folder. A folder whose `architectures` names a class for sequence classification becomes a
    /// classifier, or what scores where it has one class or is a regression; every other an encoder of embeddings.
    ///
    /// # Errors
    /// [`HubError`] naming the file, and the key or the tensor: sizes that do not fit each other or that no network may
    /// have, tensors that are missing, of another shape than the configuration says or not finite, and a tokenizer that
    /// is not this model's.
    pub fn import(&self, options: ImportOptions) -> Result<Imported, HubError> {
        let task = self.task()?;
        let (spec, tokenizer) = self.spec(&task, options)?;
        let graph = Graph::from(spec);
        let mut used = BTreeSet::new();
        let (mut layers, mut vectors) = (Vec::new(), Vec::new());
        for (id, param) in graph.params() {
            match param {
                Param::Site(shape) => layers.push(self.layer(&graph, id, shape, &mut used)?),
                Param::Vector(vector) => {
                    let (of, part) = family::of_vector(&id);
                    let tensor = self.tensor(of, part, &mut used);
                    let values = match graph.nodes.iter().find_map(|node| node.op.relative()) {
                        Some(bias) if bias.vector() == id => {
                            let heads = vector.length / bias.buckets;
                            transposed(
                                &self.weights.numbers(&tensor, &[bias.buckets, heads])?,
                                heads,
                                bias.buckets,
                            )
                        }
                        _ => self.weights.numbers(&tensor, &[vector.length])?,
                    };
                    vectors.push(Vector { id, values });
                }
            }
        }
        let unused = self.weights.names().filter(|(name, _)| !used.contains(*name));
        let unused = unused.map(|(name, bytes)| Unused { name: name.to_owned(), bytes }).collect();
        let (config, blob) = tokenizer.to_parts();
        let provenance =
            Provenance { technique: format!("import.{}", self.family.model_type), ..Provenance::default() };
        let parts = EncoderParts { config, blob };
        let artifact = Artifact::new(
            Outline::dense(&graph),
            layers,
            vectors,
            if let Task::Classes(labels) = task { labels } else { Vec::new() },
            parts,
            provenance,
        )
        .map_err(|e| HubError::Artifact { folder: self.path.clone(), error: Box::new(e) })?;
        Ok(Imported { artifact, unused })
    }

    /// The tensor of a part of a site or a normalisation, by the name under which the files have it.
    fn tensor(&self, of: &str, part: &str, used: &mut BTreeSet<String>) -> String {
        let name = self.family.name(of, self.prefix());
        let names = [format!("{name}.{part}"), format!("{name}.{}", family::older(part))];
        let found = names.iter().find(|name| self.weights.has(name)).unwrap_or(&names[0]).clone();
        used.insert(found.clone());
        found
    }

    /// The numbers of a site.
    fn layer(
        &self,
        graph: &Graph,
        id: SiteId,
        shape: Shape,
        used: &mut BTreeSet<String>,
    ) -> Result<Layer, HubError> {
        let Shape { inputs, outputs, bias } = shape;
        let tensor = self.tensor(id.as_str(), "weight", used);
        let node = graph.node_of(&id).expect("a site of the graph is of a node");
        let weight = match &graph.nodes[node].op {
            Op::Embed { by, .. } => {
                // A table may have more rows than are used: before the first position, or after the last token.
                let first = self.first_position()?.unwrap_or(0);
                let skipped = if matches!(by, Key::Position { .. }) { first } else { 0 };
                let rows = self.rows(by, inputs, skipped)?;
                let mut table = self.weights.numbers(&tensor, &[rows, outputs])?;
                table.truncate((skipped + inputs) * outputs);
                table.drain(..skipped * outputs);
                table
            }
            _ => {
                let (part, of) = self.family.part(id.as_str());
                let all = self.weights.numbers(&tensor, &[of.saturating_mul(outputs), inputs])?;
                transposed(&all[part * outputs * inputs..][..outputs * inputs], inputs, outputs)
            }
        };
        let bias = match bias {
            true => self.weights.numbers(&self.tensor(id.as_str(), "bias", used), &[outputs])?,
            false => Vec::new(),
        };
        let matrix =
            Matrix::dense(inputs, outputs, weight).map_err(|e| self.weights.bad(&tensor, e.to_string()))?;
        Ok(Layer { id, matrix, bias })
    }

    /// The rows that a table has in the files.
    pub(crate) fn rows(&self, by: &Key, used: usize, skipped: usize) -> Result<usize, HubError> {
        Ok(match by {
            Key::Word => self.config.needed("vocab_size")?,
            Key::Position { .. } | Key::Type { .. } => used + skipped,
        })
    }
}

/// `[rows, columns]` from `[columns, rows]`.
pub(crate) fn transposed(from: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut to = vec![0.0; from.len()];
    for (column, values) in from.chunks_exact(rows).enumerate() {
        for (row, value) in values.iter().enumerate() {
            to[row * columns + column] = *value;
        }
    }
    to
}
