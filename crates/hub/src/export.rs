//! An artifact as a folder that `transformers` and `sentence-transformers` open.

use nlpress_artifact::Artifact;
use nlpress_graph::{EncoderSpec, Graph, Head, Key, Op, Pooling, Shape, SiteId};
use nlpress_text::{AnyEncoder, Encode, TokenEncoder};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

use crate::family::{self, Family, First};
use crate::folder::CONFIG;
use crate::import::transposed;
use crate::weights::{Raw, SINGLE};
use crate::written::{Files, modules, to_bytes, write};
use crate::{Folder, HubError, tokenizer};

/// Files of the tokenizer beside `tokenizer.json`, kept where it has not changed.
const BESIDE: [&str; 5] =
    ["tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "vocab.json", "merges.txt"];
/// Largest of them.
const LARGEST_BESIDE: u64 = 1 << 26;

/// Writes an encoder of tokens as a new folder, as floats: what was compressed is written as the numbers that it stands for.
///
/// Without `like` it is of the kind `bert`, or of the one that has a place for what `bert` has none for: `electra` for
/// narrow tables, `mpnet` for a bias by distance, `modernbert` for its layers. With the folder that the
/// model once came from it is of that kind: keys and tensors that this crate does not know are kept, each tensor has the
/// type it had there, and what was imported and not changed is written as it was, tensor for tensor.
///
/// The folder appears whole or not at all.
///
/// # Errors
/// [`HubError::Form`] for a model that no such folder can hold: a bag of words, layers of different widths, heads cut from
/// the attention, a factored site, a classifier that pools the mean; [`HubError::Write`] where `folder` is there already
/// and is not empty, or cannot be written.
pub fn export(artifact: &Artifact, folder: &Path, like: Option<&Folder>) -> Result<(), HubError> {
    let graph = &artifact.outline.graph;
    let spec = EncoderSpec::of(graph)
        .map_err(|why| HubError::Form(format!("{why}, as no folder of this kind can say")))?;
    let encoder = AnyEncoder::from_parts(&artifact.encoder.config, &artifact.encoder.blob)?;
    let AnyEncoder::Tokens(encoder) = encoder else {
        return Err(HubError::Form("its texts become features, not tokens".into()));
    };
    let keeps_tokenizer = match like {
        Some(like) => like.tokenizer(encoder.max_tokens())?.to_json() == encoder.to_json(),
        None => false,
    };
    let family = like.map_or_else(|| Family::for_spec(&spec), |like| like.family);
    let export = Export { artifact, spec, encoder: *encoder, family, like, keeps_tokenizer };
    export.check()?;
    let files = export.files()?;
    write(folder, &files)
}

/// A folder in the making.
pub(crate) struct Export<'a> {
    pub(crate) artifact: &'a Artifact,
    pub(crate) spec: EncoderSpec,
    pub(crate) encoder: TokenEncoder,
    pub(crate) family: &'static Family,
    pub(crate) like: Option<&'a Folder>,
    /// Whether the folder that it is like has the same tokenizer.
    pub(crate) keeps_tokenizer: bool,
}

impl Export<'_> {
    fn files(&self) -> Result<Files, HubError> {
        let mut files = self.tokenizer()?;
        let mut text = |name: &str, value: &Value| {
            let text = serde_json::to_string_pretty(value).expect("a JSON value can be written");
            files.insert(name.into(), text.into_bytes());
        };
        text(CONFIG, &self.config()?);
        if let Head::Embedding { pooling, unit } = self.spec.head {
            text("modules.json", &modules(unit));
            text(
                "1_Pooling/config.json",
                &json!({
                    "word_embedding_dimension": self.spec.width,
                    "pooling_mode_cls_token": pooling == Pooling::First,
                    "pooling_mode_mean_tokens": pooling == Pooling::Mean,
                    "pooling_mode_max_tokens": false,
                    "pooling_mode_mean_sqrt_len_tokens": false,
                }),
            );
            text(
                tokenizer::OF_SENTENCES,
                &json!({"max_seq_length": self.spec.tokens, "do_lower_case": false}),
            );
        }
        files.insert(SINGLE.into(), self.weights()?);
        Ok(files)
    }

    /// `config.json`: the keys of the folder that it is like, with those that this crate knows as they are now.
    fn config(&self) -> Result<Value, HubError> {
        let mut config = match self.like {
            Some(like) => like.config.keys.clone().into(),
            None => self.fresh(),
        };
        self.put_sizes(&mut config)?;
        self.put_classes(&mut config);
        Ok(config)
    }

    /// What only a folder that is like no other is told.
    fn fresh(&self) -> Value {
        let (spec, keys) = (&self.spec, self.family.keys);
        let padding = self.encoder.id("[PAD]").or_else(|| self.encoder.id("<pad>")).unwrap_or(0);
        let mut config = json!({
            "pad_token_id": padding, keys.activation: "gelu", "max_position_embeddings": spec.positions,
            keys.dropout.0: spec.dropout,
        });
        if let Some(key) = keys.epsilon.0 {
            config[key] = json!(f64::from(spec.epsilon));
        }
        if !keys.modern {
            config["attention_probs_dropout_prob"] = json!(spec.dropout);
        }
        if let Some(modern) = spec.modern {
            config["global_attn_every_n_layers"] = modern.every.into();
            config["local_attention"] = (2 * modern.window).into();
            config["global_rope_theta"] = json!(modern.global_base);
            config["local_rope_theta"] = json!(modern.local_base);
        }
        if let Head::Prediction { pooling, .. } = spec.head {
            config["classifier_pooling"] = if pooling == Pooling::First { "cls" } else { "mean" }.into();
        }
        config["architectures"] = json!([format!("{}Model", self.family.class)]);
        if let (true, Some(outputs)) = (spec.scores, spec.head.outputs()) {
            config["problem_type"] = "regression".into();
            let name = |n: usize| (n.to_string(), json!(format!("LABEL_{n}")));
            config["id2label"] = (0..outputs).map(name).collect::<Map<_, _>>().into();
        }
        config
    }

    fn put_sizes(&self, config: &mut Value) -> Result<(), HubError> {
        let (spec, keys) = (&self.spec, self.family.keys);
        config["model_type"] = self.family.model_type.into();
        config["vocab_size"] = self.rows(&Key::Word, spec.vocabulary, 0)?.into();
        // Without a table it is no size of the model.
        if let Some(first) = self.first()? {
            config["max_position_embeddings"] = (spec.positions + first).into();
        }
        config[keys.width] = spec.width.into();
        config[keys.layers] = spec.layers.into();
        config[keys.heads] = spec.heads.into();
        config[keys.intermediate] = spec.intermediate.into();
        if let Some(key) = keys.types {
            config[key] = spec.types.max(1).into();
        }
        if let Some((key, _)) = keys.embedding {
            config[key] = spec.embedding.unwrap_or(spec.width).into();
        }
        if let (Some((key, _)), Some(relative)) = (keys.relative, spec.relative) {
            config[key] = relative.buckets.into();
        }
        if let (true, Some(types)) =
            (keys.modern, config.get_mut("layer_types").and_then(Value::as_array_mut))
        {
            types.truncate(spec.layers);
        }
        Ok(())
    }

    fn put_classes(&self, config: &mut Value) {
        if self.spec.head.outputs().is_none() {
            return;
        }
        config["architectures"] = json!([format!("{}ForSequenceClassification", self.family.class)]);
        if !self.spec.scores {
            let labels = self.artifact.labels.iter().enumerate();
            let names: Map<_, _> = labels.clone().map(|(n, label)| (n.to_string(), json!(label))).collect();
            let ids: Map<_, _> = labels.map(|(n, label)| (label.clone(), n.into())).collect();
            config["id2label"] = names.into();
            config["label2id"] = ids.into();
        }
    }

    /// The rows of a table in the folder.
    fn rows(&self, by: &Key, used: usize, skipped: usize) -> Result<usize, HubError> {
        let kept = match self.like {
            // Rows behind the last token stay where the vocabulary is still that of the folder.
            Some(like) if matches!(by, Key::Word) && self.keeps_tokenizer => like.rows(by, used, skipped)?,
            _ => used + skipped,
        };
        Ok(kept)
    }

    fn tokenizer(&self) -> Result<Files, HubError> {
        let mut files = Files::new();
        if let Some(like) = self.like.filter(|_| self.keeps_tokenizer) {
            if let Some(bytes) = tokenizer::bytes(&like.path)? {
                files.insert(tokenizer::FILE.into(), bytes);
            }
            for name in BESIDE {
                if let Some(bytes) = crate::json::bytes(&like.path.join(name), LARGEST_BESIDE)? {
                    files.insert(name.into(), bytes);
                }
            }
            return Ok(files);
        }
        let json = serde_json::to_vec(&self.encoder.to_json()).expect("a JSON value can be written");
        files.insert(tokenizer::FILE.into(), json);
        let mut config = Map::from_iter([
            ("tokenizer_class".to_owned(), json!("PreTrainedTokenizerFast")),
            ("model_max_length".to_owned(), self.encoder.max_tokens().into()),
        ]);
        let named = [
            ("pad_token", ["[PAD]", "<pad>"]),
            ("unk_token", ["[UNK]", "<unk>"]),
            ("cls_token", ["[CLS]", "<s>"]),
            ("sep_token", ["[SEP]", "</s>"]),
            ("mask_token", ["[MASK]", "<mask>"]),
        ];
        for (key, names) in named {
            if let Some(name) = names.into_iter().find(|name| self.encoder.id(name).is_some()) {
                config.insert(key.to_owned(), name.into());
            }
        }
        let config = serde_json::to_vec_pretty(&config).expect("a JSON value can be written");
        files.insert("tokenizer_config.json".into(), config);
        Ok(files)
    }

    /// `model.safetensors`.
    fn weights(&self) -> Result<Vec<u8>, HubError> {
        let graph = &self.artifact.outline.graph;
        let canonical = Graph::from(self.spec.clone());
        let mut tensors: BTreeMap<String, Raw> = BTreeMap::new();
        let sites = self.artifact.layers.iter().zip(canonical.sites());
        // Parts of one tensor, which follow each other.
        let mut together: Vec<f32> = Vec::new();
        for (layer, (id, shape)) in sites {
            let node = graph.node_of(&layer.id).expect("a layer of an artifact is of its graph");
            let weight = layer.matrix.unpack();
            let (numbers, shape) = match &graph.nodes[node].op {
                Op::Embed { by, .. } => self.table(&id, by, weight, shape)?,
                _ => {
                    let Shape { inputs, outputs, .. } = shape;
                    let own = transposed(&weight, outputs, inputs);
                    match self.family.part(id.as_str()) {
                        (_, 1) => (own, [outputs, inputs].into()),
                        (part, of) => {
                            if part == 0 {
                                together.clear();
                            }
                            together.extend(own);
                            if together.len() < of * outputs * inputs {
                                continue;
                            }
                            (std::mem::take(&mut together), [of * outputs, inputs].into())
                        }
                    }
                }
            };
            self.add(&mut tensors, id.as_str(), "weight", &numbers, shape);
            if !layer.bias.is_empty() {
                self.add(&mut tensors, id.as_str(), "bias", &layer.bias, vec![layer.bias.len()]);
            }
        }
        for (vector, (id, _)) in self.artifact.vectors.iter().zip(canonical.vectors()) {
            let (of, part) = family::of_vector(&id);
            match canonical.nodes.iter().find_map(|node| node.op.relative()) {
                Some(bias) if bias.vector() == id => {
                    let heads = vector.values.len() / bias.buckets;
                    let numbers = transposed(&vector.values, bias.buckets, heads);
                    self.add(&mut tensors, of, part, &numbers, vec![bias.buckets, heads]);
                }
                _ => self.add(&mut tensors, of, part, &vector.values, vec![vector.values.len()]),
            }
        }
        if self.spec.types == 0 && self.family.keys.types.is_some() {
            let width = self.spec.embedding.unwrap_or(self.spec.width);
            let zeros = vec![0.0; width];
            self.add(&mut tensors, "embeddings.token_type_embeddings", "weight", &zeros, vec![1, width]);
        }
        self.keep_unknown(&mut tensors)?;
        let views: Result<Vec<_>, _> = tensors
            .iter()
            .map(|(name, raw)| Ok((name, TensorView::new(raw.dtype, raw.shape.clone(), &raw.bytes)?)))
            .collect();
        let format = |e: safetensors::SafeTensorError| HubError::Form(e.to_string());
        // transformers refuses a file that does not say for what it was written.
        let metadata = [("format".to_owned(), "pt".to_owned())].into();
        safetensors::serialize(views.map_err(format)?, Some(metadata)).map_err(format)
    }

    /// The first row of the table of positions that a token has in the folder; none where there is no table.
    fn first(&self) -> Result<Option<usize>, HubError> {
        match (self.like, self.family.first) {
            (Some(like), _) => like.first_position(),
            (None, First::Row(row)) => Ok(Some(row)),
            // Only a folder tells the id of its padding token.
            (None, First::BehindPadding) => Ok(Some(0)),
            (None, First::NoTable) => Ok(None),
        }
    }

    /// A table with the rows that are never used, as the folder that it is like has them.
    fn table(
        &self,
        id: &SiteId,
        by: &Key,
        used: Vec<f32>,
        shape: Shape,
    ) -> Result<(Vec<f32>, Vec<usize>), HubError> {
        let Shape { inputs, outputs, .. } = shape;
        let first = self.first()?.unwrap_or(0);
        let skipped = if matches!(by, Key::Position { .. }) { first } else { 0 };
        let rows = self.rows(by, inputs, skipped)?;
        let mut table = vec![0.0; rows * outputs];
        if let Some(like) = self.like {
            let name = format!("{}.weight", self.family.name(id.as_str(), like.prefix()));
            if like.weights.shape(&name) == Some(&[rows, outputs]) {
                table = like.weights.numbers(&name, &[rows, outputs])?;
            }
        }
        table[skipped * outputs..][..used.len()].copy_from_slice(&used);
        Ok((table, vec![rows, outputs]))
    }

    /// Adds a tensor under its name there, of the type that it has there.
    fn add(
        &self,
        tensors: &mut BTreeMap<String, Raw>,
        of: &str,
        part: &str,
        numbers: &[f32],
        shape: Vec<usize>,
    ) {
        let prefix = match self.like {
            Some(like) => like.prefix(),
            None if matches!(self.spec.head, Head::Embedding { .. }) => "",
            None => self.family.prefix,
        };
        let name = self.family.name(of, prefix);
        let older = format!("{name}.{}", family::older(part));
        let name = match self.like {
            Some(like) if like.weights.has(&older) => older,
            _ => format!("{name}.{part}"),
        };
        let dtype = self.like.and_then(|like| like.weights.dtype(&name)).unwrap_or(Dtype::F32);
        let (dtype, bytes) = to_bytes(dtype, numbers);
        tensors.insert(name, Raw { dtype, shape, bytes });
    }

    /// Adds what the folder has beside the model, where the model still has the sizes that it had there.
    fn keep_unknown(&self, tensors: &mut BTreeMap<String, Raw>) -> Result<(), HubError> {
        let Some(like) = self.like else { return Ok(()) };
        let fits =
            |(name, raw): (&String, &Raw)| like.weights.shape(name).is_none_or(|shape| *shape == *raw.shape);
        if !tensors.iter().all(fits) {
            return Ok(());
        }
        for (name, _) in like.weights.names() {
            if !tensors.contains_key(name) && !self.is_of_a_layer(name, like) {
                tensors.insert(name.to_owned(), like.weights.raw(name)?);
            }
        }
        Ok(())
    }

    /// Whether a tensor of the folder is of a layer that the model no longer has.
    fn is_of_a_layer(&self, name: &str, like: &Folder) -> bool {
        let probe = self.family.name("encoder.layer.0.output.dense", like.prefix());
        let Some((before, _)) = probe.split_once(".0.") else { return false };
        let rest = name.strip_prefix(before).and_then(|rest| rest.strip_prefix('.'));
        let layer = rest.and_then(|rest| rest.split('.').next()).and_then(|n| n.parse::<usize>().ok());
        layer.is_some_and(|layer| layer >= self.spec.layers)
    }
}
