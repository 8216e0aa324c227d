//! An artifact as a folder that `transformers` and `sentence-transformers` open.

use half::{bf16, f16};
use nlpress_artifact::Artifact;
use nlpress_core::files;
use nlpress_graph::{EncoderSpec, Graph, Head, Key, Op, Pooling, Shape, SiteId};
use nlpress_text::{AnyEncoder, Encode, TokenEncoder};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::family::{self, BERT, Family};
use crate::folder::CONFIG;
use crate::import::transposed;
use crate::weights::{Raw, SINGLE};
use crate::{Folder, HubError, tokenizer};

/// Files of the tokenizer beside `tokenizer.json`, kept where it has not changed.
const BESIDE: [&str; 5] =
    ["tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "vocab.json", "merges.txt"];
/// Largest of them.
const LARGEST_BESIDE: u64 = 1 << 26;

/// Writes an encoder of tokens as a new folder, as floats: what was compressed is written as the numbers that it stands for.
///
/// Without `like` it is of the kind `bert`, which has a place for all of what this crate reads. With the folder that the
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
    let family = like.map_or(&BERT, |like| like.family);
    let export = Export { artifact, spec, encoder: *encoder, family, like, keeps_tokenizer };
    export.check()?;
    let files = export.files()?;
    write(folder, &files)
}

/// A folder in the making.
struct Export<'a> {
    artifact: &'a Artifact,
    spec: EncoderSpec,
    encoder: TokenEncoder,
    family: &'static Family,
    like: Option<&'a Folder>,
    /// Whether the folder that it is like has the same tokenizer.
    keeps_tokenizer: bool,
}

/// Files by their places in the folder.
type Files = BTreeMap<PathBuf, Vec<u8>>;

impl Export<'_> {
    fn check(&self) -> Result<(), HubError> {
        let form = |why: String| Err(HubError::Form(why));
        if let Some(like) = self.like {
            let classes = matches!(self.spec.head, Head::Pooler { .. });
            if classes != like.labels()?.is_some() {
                let (is, other) = if classes { ("a classifier", "none") } else { ("no classifier", "one") };
                return form(format!("it is {is}, and the folder that it is to be like is {other}"));
            }
            if self.family.offset && !self.keeps_tokenizer {
                return form("its tokens are not those of the folder that it is to be like, and there positions depend on \
                             the padding token"
                    .into());
            }
        }
        let family = self.family;
        match self.spec.head {
            Head::Classifier { pooling, .. } => {
                return form(format!(
                    "its classifier reads {pooling:?} of the tokens; there it reads the first, through a dense layer"
                ));
            }
            Head::Pooler { activation, .. } if activation != family.pooler => {
                return form(format!(
                    "{activation:?} stands before its classifier, and in {} {:?}: give the folder that it is like",
                    family.model_type, family.pooler
                ));
            }
            Head::Embedding { pooling: Pooling::WeightedSum, .. } => {
                return form("its tokens have weights".into());
            }
            _ => {}
        }
        if self.spec.types > 0 && family.keys.types.is_none() {
            return form(format!("its tokens have types, and those of {} have none", family.model_type));
        }
        Ok(())
    }

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
                "sentence_bert_config.json",
                &json!({"max_seq_length": self.spec.tokens, "do_lower_case": false}),
            );
        }
        files.insert(SINGLE.into(), self.weights()?);
        Ok(files)
    }

    /// `config.json`: the keys of the folder that it is like, with those that this crate knows as they are now.
    fn config(&self) -> Result<Value, HubError> {
        let (spec, keys, family) = (&self.spec, self.family.keys, self.family);
        let offset = self.like.map_or(Ok(0), Folder::first_position)?;
        let mut config = self.like.map_or_else(
            || {
                let padding = self.encoder.id("[PAD]").or_else(|| self.encoder.id("<pad>")).unwrap_or(0);
                Map::from_iter([
                    ("pad_token_id".to_owned(), padding.into()),
                    ("hidden_act".to_owned(), "gelu".into()),
                ])
            },
            |like| like.config.keys.clone(),
        );
        // What says the same already stays as it is written.
        let mut set = |key: &str, value: Value| match config.get(key) {
            Some(there) if *there == value => {}
            _ => {
                config.insert(key.to_owned(), value);
            }
        };
        set("model_type", family.model_type.into());
        let vocabulary = self.rows(&Key::Word, spec.vocabulary, 0)?;
        set("vocab_size", vocabulary.into());
        set("max_position_embeddings", (spec.positions + offset).into());
        set(keys.width, spec.width.into());
        set(keys.layers, spec.layers.into());
        set(keys.heads, spec.heads.into());
        set(keys.intermediate, spec.intermediate.into());
        if let Some(key) = keys.types {
            set(key, spec.types.max(1).into());
        }
        if let (Some(key), None) = (keys.epsilon, self.like) {
            set(key, json!(f64::from(spec.epsilon)));
        }
        if self.like.is_none() {
            set(keys.dropout, json!(spec.dropout));
            set("attention_probs_dropout_prob", json!(spec.dropout));
        }
        let classifies = matches!(spec.head, Head::Pooler { .. });
        if self.like.is_none() || classifies {
            let of = if classifies { "ForSequenceClassification" } else { "Model" };
            set("architectures", json!([format!("{}{of}", family.class)]));
        }
        if classifies {
            let labels = self.artifact.labels.iter().enumerate();
            let names: Map<_, _> = labels.clone().map(|(n, label)| (n.to_string(), json!(label))).collect();
            let ids: Map<_, _> = labels.map(|(n, label)| (label.clone(), n.into())).collect();
            set("id2label", names.into());
            set("label2id", ids.into());
        }
        Ok(config.into())
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
        for (layer, (id, shape)) in sites {
            let node = graph.node_of(&layer.id).expect("a layer of an artifact is of its graph");
            let weight = layer.matrix.unpack();
            let (numbers, shape) = match &graph.nodes[node].op {
                Op::Embed { by, .. } => self.table(&id, by, weight, shape)?,
                _ => {
                    let Shape { inputs, outputs, .. } = shape;
                    (transposed(&weight, outputs, inputs), [outputs, inputs].into())
                }
            };
            self.add(&mut tensors, id.as_str(), "weight", &numbers, shape);
            if !layer.bias.is_empty() {
                self.add(&mut tensors, id.as_str(), "bias", &layer.bias, vec![layer.bias.len()]);
            }
        }
        for (vector, (id, _)) in self.artifact.vectors.iter().zip(canonical.vectors()) {
            let (of, part) = family::of_vector(&id);
            self.add(&mut tensors, of, part, &vector.values, vec![vector.values.len()]);
        }
        if self.spec.types == 0 && self.family.keys.types.is_some() {
            let zeros = vec![0.0; self.spec.width];
            self.add(
                &mut tensors,
                "embeddings.token_type_embeddings",
                "weight",
                &zeros,
                vec![1, self.spec.width],
            );
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

    /// A table with the rows that are never used, as the folder that it is like has them.
    fn table(
        &self,
        id: &SiteId,
        by: &Key,
        used: Vec<f32>,
        shape: Shape,
    ) -> Result<(Vec<f32>, Vec<usize>), HubError> {
        let Shape { inputs, outputs, .. } = shape;
        let offset = self.like.map_or(Ok(0), Folder::first_position)?;
        let skipped = if matches!(by, Key::Position { .. }) { offset } else { 0 };
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

/// Numbers in a type; in F32 where it is none of floats.
fn to_bytes(dtype: Dtype, numbers: &[f32]) -> (Dtype, Vec<u8>) {
    match dtype {
        Dtype::F16 => (dtype, numbers.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect()),
        Dtype::BF16 => (dtype, numbers.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect()),
        _ => (Dtype::F32, numbers.iter().flat_map(|x| x.to_le_bytes()).collect()),
    }
}

/// `modules.json`.
fn modules(unit: bool) -> Value {
    let module = |n: usize, kind: &str, path: &str| json!({"idx": n, "name": n.to_string(), "path": path, "type": format!("sentence_transformers.models.{kind}")});
    let mut all = vec![module(0, "Transformer", ""), module(1, "Pooling", "1_Pooling")];
    if unit {
        all.push(module(2, "Normalize", "2_Normalize"));
    }
    all.into()
}

/// Writes a folder beside, and renames it when it is whole.
fn write(folder: &Path, all: &Files) -> Result<(), HubError> {
    let fault = |file: &Path| {
        let file = file.to_owned();
        move |error| HubError::Write { file, error }
    };
    let empty = |folder: &Path| folder.read_dir().is_ok_and(|mut entries| entries.next().is_none());
    if folder.exists() && !empty(folder) {
        return Err(HubError::file(folder, "it is there already, and not an empty folder"));
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.with_file_name(format!(".{name}.{}.partial", std::process::id()));
    let written = all.iter().try_for_each(|(path, bytes)| {
        let path = beside.join(path);
        let parent = path.parent().expect("a file is in the folder");
        std::fs::create_dir_all(parent)
            .and_then(|()| files::write_atomically(&path, bytes))
            .map_err(fault(&path))
    });
    // An empty folder gives way to a whole one.
    let renamed = written.and_then(|()| std::fs::rename(&beside, folder).map_err(fault(folder)));
    if renamed.is_err() {
        let _ = std::fs::remove_dir_all(&beside);
    }
    renamed
}
