//! What network the configuration of a folder says.

use nlpress_graph::{BadSpec, EncoderSpec, Head, ModernLayers, Pooling, RelativeSizes};
use nlpress_text::corpus::label;
use nlpress_text::{TextError, TokenEncoder};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::json::Object;
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

/// What a folder is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Texts become vectors.
    Embedding,
    /// Classes, in the order of the logits.
    Classes(Vec<String>),
    /// So many scores as they are.
    Scores(usize),
}

/// More classes than a classifier may have.
const MOST_LABELS: usize = 1 << 20;
/// Buckets of a bias of attention by distance.
const BUCKETS: usize = 32;
/// The key of the longest text, in `config.json`.
const POSITIONS: &str = "max_position_embeddings";

impl Folder {
    /// The encoder that the configuration says, with its tokenizer.
    pub(crate) fn spec(
        &self,
        task: &Task,
        options: ImportOptions,
    ) -> Result<(EncoderSpec, TokenEncoder), HubError> {
        let (config, keys) = (&self.config, self.family.keys);
        if *task != Task::Embedding && options.pooling.is_some() {
            return Err(config.bad(
                "architectures",
                "names a classifier, which says itself what it reads: there is no pooling to choose",
            ));
        }
        let positions = self.positions()?;
        let said = self.texts.most.as_ref().map(|most| most.tokens.min(positions));
        let most = options.max_tokens.or(said).unwrap_or(positions);
        if most > positions {
            let why = format!("leaves {positions} positions, and {most} tokens are asked for");
            return Err(config.bad(POSITIONS, why));
        }
        let tokenizer = self.tokenizer(most).map_err(|error| self.of_file(error, options, positions))?;
        let rows = config.needed("vocab_size")?;
        let vocabulary = tokenizer.width();
        if vocabulary > rows {
            let why = format!("is {rows}, but the tokenizer has {vocabulary} tokens: it is another model's");
            return Err(config.bad("vocab_size", why));
        }
        let width = config.needed(keys.width)?;
        let embedding = match keys.embedding {
            Some((key, usual)) => Some(config.size(key)?.unwrap_or(usual)).filter(|n| *n != width),
            None => {
                config.only("embedding_size", &width.into())?;
                None
            }
        };
        let relative = match keys.relative {
            Some((key, distance)) => {
                // The others count in so many whatever the configuration says.
                config.only(key, &BUCKETS.into())?;
                Some(RelativeSizes { buckets: BUCKETS, distance })
            }
            None => None,
        };
        let types = match keys.types {
            Some(key) => config.size(key)?.unwrap_or(2),
            None => 0,
        };
        let layers = config.needed(keys.layers)?;
        let epsilon = keys.epsilon.0.map(|key| config.number(key)).transpose()?.flatten();
        let spec = EncoderSpec {
            vocabulary,
            tokens: tokenizer.max_tokens(),
            positions,
            types,
            embedding,
            width,
            layers,
            heads: config.needed(keys.heads)?,
            intermediate: config.needed(keys.intermediate)?,
            relative,
            modern: if keys.modern { Some(modern(config, layers)?) } else { None },
            epsilon: epsilon.unwrap_or(keys.epsilon.1) as f32,
            dropout: config.number(keys.dropout.0)?.unwrap_or(keys.dropout.1),
            head: self.head(task, options.pooling)?,
            scores: matches!(task, Task::Scores(_)),
        };
        spec.check().map_err(|error| self.of_key(&error))?;
        Ok((spec, tokenizer))
    }

    /// The positions that tokens can have.
    fn positions(&self) -> Result<usize, HubError> {
        let rows = self.config.needed(POSITIONS)?;
        let positions = rows.checked_sub(self.first_position()?.unwrap_or(0)).filter(|n| *n > 0);
        positions.ok_or_else(|| {
            self.config.bad(POSITIONS, format!("is {rows}, and leaves no position for a token"))
        })
    }

    /// An error of the tokenizer, by the file and the key that a length of texts is from.
    fn of_file(&self, error: HubError, options: ImportOptions, positions: usize) -> HubError {
        match (&error, &self.texts.most) {
            (HubError::Text(TextError::Setting { value, bound, .. }), most)
                if options.max_tokens.is_none() =>
            {
                match most {
                    Some(most) if most.tokens <= positions => {
                        HubError::key(&self.path.join(most.file), most.key, format!("is {value}: it {bound}"))
                    }
                    _ => self.config.bad(POSITIONS, format!("leaves {value} tokens for a text: it {bound}")),
                }
            }
            _ => error,
        }
    }

    /// A size that no network has, by the key that it is from.
    fn of_key(&self, error: &BadSpec) -> HubError {
        let BadSpec { what, value, bound } = error;
        let key = match &what[..] {
            "classifier" => self.family.key_of("outputs"),
            "inputs" => self.family.key_of("vocabulary"),
            what if what.ends_with("by.position.rows") => self.family.key_of("positions"),
            what if what.contains(".positions.relative.") => self.family.key_of("relative"),
            what if what.ends_with(".positions.rotary") => self.family.key_of("heads"),
            size => self.family.key_of(size),
        };
        match key {
            Some(key) => {
                self.config.bad(key, format!("makes no network: it is {value}, but it must be {bound}"))
            }
            None => HubError::file(&self.config.file, format!("it makes no network: {error}")),
        }
    }

    fn head(&self, task: &Task, asked: Option<Pooling>) -> Result<Head, HubError> {
        let outputs = match task {
            Task::Embedding => {
                let unit = self.sentence.is_some_and(|sentence| sentence.unit);
                return Ok(Head::Embedding {
                    pooling: asked.or(self.pooling()).unwrap_or(Pooling::Mean),
                    unit,
                });
            }
            Task::Classes(labels) => labels.len(),
            Task::Scores(scores) => *scores,
        };
        if !self.family.keys.modern {
            return Ok(Head::Pooler { activation: self.family.pooler, outputs });
        }
        let key = "classifier_pooling";
        let pooling = match self.config.text(key)? {
            None | Some("cls") => Pooling::First,
            Some("mean") => Pooling::Mean,
            Some(_) => return Err(self.config.bad(key, "is neither cls nor mean")),
        };
        Ok(Head::Prediction { pooling, outputs })
    }

    /// What the folder is for.
    pub(crate) fn task(&self) -> Result<Task, HubError> {
        let config = &self.config;
        let name = config.get("architectures").and_then(|all| all.get(0)).and_then(Value::as_str);
        match name {
            Some(name) if name.ends_with("ForSequenceClassification") => {}
            _ => return Ok(Task::Embedding),
        }
        let is_regression = match config.text("problem_type")? {
            None | Some("single_label_classification") => false,
            Some("regression") => true,
            Some(_) => {
                let why =
                    "is neither single_label_classification nor regression: only one class a text is known";
                return Err(config.bad("problem_type", why));
            }
        };
        let labels = match config.get("id2label") {
            Some(labels) => labels_of(labels).ok_or_else(|| {
                config.bad("id2label", "must give every class, counted from 0, a different text on one line")
            })?,
            None => (0..config.size("num_labels")?.unwrap_or(2))
                .map(|n| format!("LABEL_{n}"))
                .take(MOST_LABELS)
                .collect(),
        };
        match labels.len() {
            0 => Err(config.bad("id2label", "has no class")),
            // One class tells nothing apart: it is a score, as those of cross-encoders that rank.
            scores if is_regression || scores == 1 => Ok(Task::Scores(scores)),
            _ => Ok(Task::Classes(labels)),
        }
    }
}

/// The layers of ModernBERT that a configuration says, in the older form or the newer.
pub(crate) fn modern(config: &Object, layers: usize) -> Result<ModernLayers, HubError> {
    let local = config.size("local_attention")?.unwrap_or(128);
    let every = match config.get("layer_types") {
        Some(types) => every(config, types, layers)?,
        None => config.size("global_attn_every_n_layers")?.unwrap_or(3),
    };
    config.only("rope_scaling", &Value::Null)?;
    let key = "rope_parameters";
    let base = |kind: &str, older: &str, usual: f64| -> Result<f32, HubError> {
        let Some(of_kind) = config.get(key).and_then(|all| all.get(kind)) else {
            return Ok(config.number(older)?.unwrap_or(usual) as f32);
        };
        let odd = of_kind.as_object().is_none_or(|keys| {
            keys.iter().any(|(key, value)| match &key[..] {
                "rope_type" => *value != json!("default"),
                "rope_theta" => !value.is_number(),
                _ => true,
            })
        });
        if odd {
            let why = format!("has a {kind} that is more than rope_theta and the rope_type default");
            return Err(config.bad(key, why));
        }
        Ok(of_kind.get("rope_theta").and_then(Value::as_f64).unwrap_or(usual) as f32)
    };
    let global_base = base("full_attention", "global_rope_theta", 160_000.0)?;
    let local_base = base("sliding_attention", "local_rope_theta", 10_000.0)?;
    for (kind, base) in [("full_attention", global_base), ("sliding_attention", local_base)] {
        if !(base.is_finite() && base > 1.0) {
            let key = if config.get(key).is_some() { key } else { "global_rope_theta" };
            return Err(config.bad(key, format!("makes the base of {kind} {base}: it must be above 1")));
        }
    }
    Ok(ModernLayers { every, window: local / 2, global_base, local_base })
}

/// From layer 0 on every so many layers attend to all tokens, as `layer_types` says.
fn every(config: &Object, types: &Value, layers: usize) -> Result<usize, HubError> {
    let key = "layer_types";
    let names: Option<Vec<&str>> = types.as_array().map(|all| all.iter().filter_map(Value::as_str).collect());
    let names = names.filter(|names| names.len() == layers);
    let names = names.ok_or_else(|| config.bad(key, format!("does not name {layers} layers")))?;
    let is_global = |name: &&str| *name == "full_attention";
    let every = names.iter().skip(1).position(is_global).map_or(layers.max(1), |n| n + 1);
    let fits = |(n, name): (usize, &&str)| match n.is_multiple_of(every) {
        true => is_global(name),
        false => *name == "sliding_attention",
    };
    match names.iter().enumerate().all(fits) {
        true => Ok(every),
        false => Err(config.bad(
            key,
            "is not full_attention every so many layers, from the first on, and sliding_attention between them",
        )),
    }
}

/// The names of `id2label`, whose keys are numbers as texts.
fn labels_of(labels: &Value) -> Option<Vec<String>> {
    let labels = labels.as_object()?;
    // In the form that labels of data have.
    let name = |n: usize| label(labels.get(&n.to_string())?.as_str()?).ok().map(Cow::into_owned);
    let names: Vec<String> = (0..labels.len()).map(name).collect::<Option<_>>()?;
    (names.iter().collect::<BTreeSet<_>>().len() == names.len()).then_some(names)
}
