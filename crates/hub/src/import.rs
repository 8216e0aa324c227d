//! A folder as an artifact: the graph that its configuration says, with its numbers.

use nlpress_artifact::{Artifact, EncoderParts, Layer, Provenance, Vector};
use nlpress_graph::{EncoderSpec, Graph, Head, Key, Op, Outline, Param, Pooling, Shape, SiteId};
use nlpress_packed::Matrix;
use nlpress_text::TokenEncoder;
use nlpress_text::corpus::label;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::family::{self, USUAL_EPSILON};
use crate::{Folder, HubError};

/// What a caller may choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Most tokens of a text, special ones among them; where there is none, what the files say, and the rows of the table
    /// of positions at most.
    pub max_tokens: Option<usize>,
    /// How tokens become one vector in a folder that has no classifier; where there is none, what the files of
    /// sentence-transformers say, and the mean where there are none.
    pub pooling: Option<Pooling>,
}

/// A model from a folder.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The model: a classifier, or an encoder whose result is the embedding of a text.
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
    /// classifier, every other an encoder of embeddings.
    ///
    /// # Errors
    /// [`HubError`] naming the file, and the key or the tensor: sizes that do not fit each other or that no network may
    /// have, tensors that are missing, of another shape than the configuration says or not finite, and a tokenizer that
    /// is not this model's.
    pub fn import(&self, options: ImportOptions) -> Result<Imported, HubError> {
        let labels = self.labels()?;
        let offset = self.first_position()?;
        if labels.is_some() && options.pooling.is_some() {
            return Err(self.config.bad(
                "architectures",
                "names a classifier, which reads the first token: there is no pooling to choose",
            ));
        }
        let key = "max_position_embeddings";
        let rows = self.config.needed(key)?;
        let positions = rows.checked_sub(offset).filter(|n| *n > 0);
        let positions = positions
            .ok_or_else(|| self.config.bad(key, format!("is {rows}, and leaves no position for a token")))?;
        let most = options.max_tokens.or(self.texts.most.map(|n| n.min(positions))).unwrap_or(positions);
        let tokenizer = self.tokenizer(most)?;
        let spec = self.spec(labels.as_deref(), positions, &tokenizer, options.pooling)?;
        spec.check().map_err(|e| HubError::file(&self.config.file, format!("it makes no network: {e}")))?;
        let graph = Graph::from(spec);
        let mut used = BTreeSet::new();
        let (mut layers, mut vectors) = (Vec::new(), Vec::new());
        for (id, param) in graph.params() {
            match param {
                Param::Site(shape) => layers.push(self.layer(&graph, id, shape, offset, &mut used)?),
                Param::Vector(vector) => {
                    let (of, part) = family::of_vector(&id);
                    let tensor = self.tensor(of, part, &mut used);
                    let values = self.weights.numbers(&tensor, &[vector.length])?;
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
            labels.unwrap_or_default(),
            parts,
            provenance,
        )
        .map_err(|e| HubError::Artifact { folder: self.path.clone(), error: Box::new(e) })?;
        Ok(Imported { artifact, unused })
    }

    /// The encoder that the configuration says.
    fn spec(
        &self,
        labels: Option<&[String]>,
        positions: usize,
        tokenizer: &TokenEncoder,
        pooling: Option<Pooling>,
    ) -> Result<EncoderSpec, HubError> {
        let (config, keys) = (&self.config, self.family.keys);
        let rows = config.needed("vocab_size")?;
        let vocabulary = tokenizer.width();
        if vocabulary > rows {
            let why = format!("is {rows}, but the tokenizer has {vocabulary} tokens: it is another model's");
            return Err(config.bad("vocab_size", why));
        }
        let width = config.needed(keys.width)?;
        config.only("embedding_size", &width.into())?;
        let number = |key: Option<&str>, usual| match key.map(|key| config.number(key)).transpose()?.flatten()
        {
            Some(found) => Ok(found),
            None => Ok::<f64, HubError>(usual),
        };
        let types = match keys.types {
            Some(key) => config.size(key)?.unwrap_or(2),
            None => 0,
        };
        let unit = self.sentence.is_some_and(|sentence| sentence.unit);
        let head = match labels {
            Some(labels) => Head::Pooler { activation: self.family.pooler, outputs: labels.len() },
            None => Head::Embedding { pooling: pooling.or(self.pooling()).unwrap_or(Pooling::Mean), unit },
        };
        Ok(EncoderSpec {
            vocabulary,
            tokens: tokenizer.max_tokens(),
            positions,
            types,
            width,
            layers: config.needed(keys.layers)?,
            heads: config.needed(keys.heads)?,
            intermediate: config.needed(keys.intermediate)?,
            epsilon: number(keys.epsilon, USUAL_EPSILON)? as f32,
            dropout: number(Some(keys.dropout), 0.1)?,
            head,
        })
    }

    /// The rows of the table of positions that are never used.
    pub(crate) fn first_position(&self) -> Result<usize, HubError> {
        if !self.family.offset {
            return Ok(0);
        }
        Ok(self.config.size("pad_token_id")?.unwrap_or(1).saturating_add(1))
    }

    /// The classes, in the order of the logits; none for what is no classifier.
    pub(crate) fn labels(&self) -> Result<Option<Vec<String>>, HubError> {
        let config = &self.config;
        let name = config.get("architectures").and_then(|all| all.get(0)).and_then(Value::as_str);
        match name {
            Some(name) if name.ends_with("ForSequenceClassification") => {}
            _ => return Ok(None),
        }
        if config.text("problem_type")?.is_some_and(|kind| kind != "single_label_classification") {
            return Err(config
                .bad("problem_type", "is not single_label_classification: only one class a text is known"));
        }
        let labels = match config.get("id2label") {
            Some(labels) => labels_of(labels).ok_or_else(|| {
                config.bad("id2label", "must give every class, counted from 0, a different text on one line")
            })?,
            None => (0..config.size("num_labels")?.unwrap_or(2))
                .map(|n| format!("LABEL_{n}"))
                .take(MOST_LABELS)
                .collect(),
        };
        if labels.len() < 2 {
            return Err(
                config.bad("id2label", "has one class: scores of regression or ranking are not classes")
            );
        }
        Ok(Some(labels))
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
        offset: usize,
        used: &mut BTreeSet<String>,
    ) -> Result<Layer, HubError> {
        let Shape { inputs, outputs, bias } = shape;
        let tensor = self.tensor(id.as_str(), "weight", used);
        let node = graph.node_of(&id).expect("a site of the graph is of a node");
        let weight = match &graph.nodes[node].op {
            Op::Embed { by, .. } => {
                // A table may have more rows than are used: before the first position, or after the last token.
                let skipped = if matches!(by, Key::Position { .. }) { offset } else { 0 };
                let rows = self.rows(by, inputs, skipped)?;
                let mut table = self.weights.numbers(&tensor, &[rows, outputs])?;
                table.truncate((skipped + inputs) * outputs);
                table.drain(..skipped * outputs);
                table
            }
            _ => transposed(&self.weights.numbers(&tensor, &[outputs, inputs])?, inputs, outputs),
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

/// More classes than a classifier may have.
const MOST_LABELS: usize = 1 << 20;

/// The names of `id2label`, whose keys are numbers as texts.
fn labels_of(labels: &Value) -> Option<Vec<String>> {
    let labels = labels.as_object()?;
    // In the form that labels of data have.
    let name = |n: usize| label(labels.get(&n.to_string())?.as_str()?).ok().map(Cow::into_owned);
    let names: Vec<String> = (0..labels.len()).map(name).collect::<Option<_>>()?;
    (names.iter().collect::<BTreeSet<_>>().len() == names.len()).then_some(names)
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
