//! Small trained networks and the rows that they tell apart: the world that techniques are tried in.

use nlpress_core::event::{Quiet, Sink};
use nlpress_core::{Backend, Seed, Selectors};
use nlpress_model::graph::{
    Activation, Builder, Key, ModernLayers, Op, Output, Pooling, RelativeSizes, Source,
};
use nlpress_model::{
    AttentionSpec, BlockSpec, Dataset, EncoderSpec, Graph, MlpSpec, Model, Outline, Ranks, SiteId,
};
use nlpress_technique::{Cx, Kind, Made, StepError, Teacher, Technique};
use nlpress_text::{
    AnyEncoder, BagEncoder, Encode, EncoderConfig, ExamplesRef, Rows, TokenEncoder, TokenRows,
};
use nlpress_train::{Fit, FitConfig, fit};

/// Features of a row, or tokens of a vocabulary.
pub const FEATURES: usize = 24;
/// Most tokens of a text.
const MAX_TOKENS: usize = 12;
/// The token that stands for those that a vocabulary does not have.
const UNKNOWN: u32 = 0;

/// A trained network, the rows it was trained on, and others of the same kind that it has not seen.
#[derive(Debug)]
pub struct Bench {
    name: &'static str,
    backend: Backend,
    train: Dataset,
    valid: Dataset,
    model: Model,
    encoder: AnyEncoder,
}

impl Bench {
    /// A multi-layer perceptron of 24 → 12 → 8 → 1.
    ///
    /// # Errors
    /// When the training itself fails.
    pub fn new(backend: &Backend) -> Result<Self, String> {
        Self::of("mlp", &Graph::from(MlpSpec::new(FEATURES, &[12, 8], 1, 0.2)), backend)
    }

    /// An attention network of two blocks.
    ///
    /// # Errors
    /// When the training itself fails.
    pub fn attention(backend: &Backend) -> Result<Self, String> {
        let graph = AttentionSpec {
            inputs: FEATURES,
            width: 12,
            head_width: 4,
            layers: vec![BlockSpec { heads: 3, neurons: 10 }; 2],
            outputs: 1,
            dropout: 0.1,
            tokens: 16,
            ranks: Ranks::new(),
        };
        Self::of("attention", &Graph::from(graph), backend)
    }

    /// A network of two layers as BERT has them, on the words of a bag: post-norm with gains and biases, and GELU.
    ///
    /// # Errors
    /// When the training itself fails.
    pub fn encoder(backend: &Backend) -> Result<Self, String> {
        Self::of("encoder", &post_norm(), backend)
    }

    /// An encoder of two layers as BERT has them, on texts of tokens: word and position embeddings, attention,
    /// feed-forward blocks with GELU, and a classifier on the mean.
    ///
    /// # Errors
    /// When the training itself fails.
    pub fn tokens(backend: &Backend) -> Result<Self, String> {
        Self::of("tokens", &Graph::from(encoder()), backend)
    }

    /// The same with the layers of ModernBERT: normalised first, without biases, rotary positions, GeGLU, a window in the
    /// second layer.
    ///
    /// # Errors
    /// When the training itself fails.
    pub fn modern(backend: &Backend) -> Result<Self, String> {
        let layers = ModernLayers { every: 2, window: 2, global_base: 160_000.0, local_base: 10_000.0 };
        Self::of("modern", &Graph::from(EncoderSpec { modern: Some(layers), ..encoder() }), backend)
    }

    /// The same with a bias of attention by distance, which the layers share, and tables narrower than they are.
    ///
    /// # Errors
    /// When the training itself fails.
    pub fn relative(backend: &Backend) -> Result<Self, String> {
        let relative = Some(RelativeSizes { buckets: 8, distance: 16 });
        Self::of("relative", &Graph::from(EncoderSpec { relative, embedding: Some(8), ..encoder() }), backend)
    }

    /// Token embeddings of width 12 whose mean goes through a hidden layer of 8.
    ///
    /// # Errors
    /// When the training itself fails.
    pub fn averaging(backend: &Backend) -> Result<Self, String> {
        let source = Source::Tokens { vocabulary: FEATURES, most: MAX_TOKENS };
        Self::of("averaging", &Graph::feed_forward(source, &[12, 8], 1, 0.2), backend)
    }

    /// Every family of networks.
    ///
    /// # Errors
    /// When the training itself fails.
    pub fn families(backend: &Backend) -> Result<[Self; 7], String> {
        Ok([
            Self::new(backend)?,
            Self::attention(backend)?,
            Self::encoder(backend)?,
            Self::tokens(backend)?,
            Self::averaging(backend)?,
            Self::modern(backend)?,
            Self::relative(backend)?,
        ])
    }

    /// A network of any specification on 24 features, or on texts of 24 tokens, trained for three epochs.
    ///
    /// # Errors
    /// When the specification does not fit the rows, or the training itself fails.
    pub fn of(name: &'static str, graph: &Graph, backend: &Backend) -> Result<Self, String> {
        let takes_tokens = matches!(graph.source, Source::Tokens { .. });
        let of = |count, seed| if takes_tokens { texts(count, seed) } else { rows(count, seed) };
        let (train, valid) = (of(96, 1)?, of(48, 2)?);
        let config = FitConfig::default().with_epochs(3).map_err(|e| e.to_string())?;
        let model = Model::init(graph, Seed(3)).map_err(|e| e.to_string())?;
        let (model, _) =
            fit(model, Fit::new(&config, backend, &train, Seed(3), &Quiet)).map_err(|e| e.to_string())?;
        let encoder: AnyEncoder = if takes_tokens { tokenizer()?.into() } else { bag()?.into() };
        Ok(Self { name, backend: backend.clone(), train, valid, model, encoder })
    }

    /// What the network is called in messages.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The trained network.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The rows that it was trained on.
    pub fn train(&self) -> &Dataset {
        &self.train
    }

    /// Rows that it was not trained on.
    pub fn valid(&self) -> &Dataset {
        &self.valid
    }

    /// Where it computes.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// What would make its rows of texts: a bag of 24 words, or a tokenizer of as many, twenty of Latin letters, then four
    /// Chinese ones.
    pub fn text_encoder(&self) -> &AnyEncoder {
        &self.encoder
    }

    /// A step's world: the training and validation rows, and the network itself as the teacher.
    pub fn cx<'a>(&'a self, sink: &'a dyn Sink) -> Cx<'a> {
        let teacher = Teacher { model: &self.model, train: &self.train, valid: &self.valid };
        Cx {
            teacher: Some(teacher),
            encoder: Some(&self.encoder),
            ..Cx::new(Seed(11), &self.backend, (&self.train, &self.valid), sink)
        }
    }

    /// Whether a kind's example finds sites to act on in this network.
    pub fn selects(&self, kind: &Kind) -> bool {
        self.selected(kind, &self.model.outline()).is_ok()
    }

    /// Whether a kind's example can run on this network: it finds sites, and its plan has no problem.
    pub fn runs(&self, kind: &Kind) -> bool {
        let before = self.model.outline();
        let (Ok(technique), Ok(on)) = (example(kind), self.selected(kind, &before)) else { return false };
        let mut problems = Vec::new();
        technique.plan(&before, &on, &mut problems);
        problems.is_empty()
    }

    /// The sites of a network that a kind's example acts on.
    ///
    /// # Errors
    /// When there is none.
    pub fn selected(&self, kind: &Kind, of: &Outline) -> Result<Vec<SiteId>, String> {
        let bad = |why: String| format!("{}: its selectors {:?} {why}", kind.name, kind.on);
        let selectors = Selectors::parse(kind.on).map_err(|e| bad(format!("do not select: {e}")))?;
        let sites = of.sites.iter().map(|site| site.id.clone());
        let on: Vec<SiteId> = sites.filter(|id| selectors.matches(id.as_str())).collect();
        if on.is_empty() { Err(bad("select no site".into())) } else { Ok(on) }
    }

    /// Runs a kind's example on the trained network.
    ///
    /// # Errors
    /// A sentence on what failed.
    pub fn run(&self, kind: &Kind, threads: usize) -> Result<Made, String> {
        let technique = example(kind)?;
        let on = self.selected(kind, &self.model.outline())?;
        let made = self.apply(&*technique, &on, Cx { threads, ..self.cx(&Quiet) });
        made.map_err(|e| format!("{}: apply: {e}", kind.name))
    }

    /// Runs a technique on the trained network, in a world as given.
    ///
    /// # Errors
    /// [`StepError`] as the technique gives it.
    pub fn apply(&self, technique: &dyn Technique, on: &[SiteId], mut cx: Cx<'_>) -> Result<Made, StepError> {
        technique.apply(self.model.clone(), on, &mut cx)
    }

    /// Runs a technique on all sites of a model that reads the bench's rows, for instance on what another has made.
    ///
    /// # Errors
    /// [`StepError`] as the technique gives it.
    pub fn apply_to(&self, technique: &dyn Technique, model: Model) -> Result<Model, StepError> {
        let on: Vec<SiteId> = model.layers().iter().map(|l| l.id.clone()).collect();
        Ok(technique.apply(model, &on, &mut self.cx(&Quiet))?.model)
    }

    /// A kind's example after something else: on what that made, with the rows that it reads. Nothing where the plan
    /// refuses.
    ///
    /// # Errors
    /// A sentence on what failed although it was planned, or was not made as planned.
    pub fn then(&self, first: &Made, kind: &Kind) -> Result<Option<Made>, String> {
        let (technique, before) = (example(kind)?, first.model.outline());
        let Ok(on) = self.selected(kind, &before) else { return Ok(None) };
        let mut problems = Vec::new();
        let planned = technique.plan(&before, &on, &mut problems);
        let whole = self.cx(&Quiet);
        if let Some(teacher) = &whole.teacher {
            technique.check_teacher(&before, &teacher.model.outline(), &mut problems);
        }
        if !problems.is_empty() {
            return Ok(None);
        }
        let narrow = |data: &Dataset| match &first.features {
            Some(kept) => self.narrowed(data, kept),
            None => Ok(data.clone()),
        };
        let (train, valid) = (narrow(&self.train)?, narrow(&self.valid)?);
        let encoder = match &first.features {
            Some(kept) => self.encoder.narrowed(kept).map_err(|e| e.to_string())?.0,
            None => self.encoder.clone(),
        };
        let mut cx = Cx { train: &train, valid: &valid, encoder: Some(&encoder), ..whole.clone() };
        let made = technique.apply(first.model.clone(), &on, &mut cx).map_err(|e| format!("apply: {e}"))?;
        self.check_made(&*technique, &planned, before.graph.inputs(), &made, &valid)?;
        Ok(Some(made))
    }

    /// The validation rows as a model reads them.
    ///
    /// # Errors
    /// When its features do not ascend or are not there.
    pub fn valid_for(&self, made: &Made) -> Result<Dataset, String> {
        let Some(kept) = &made.features else { return Ok(self.valid.clone()) };
        self.narrowed(&self.valid, kept)
    }

    /// Rows of some features only, or texts cut by some tokens only, as a narrower encoder would make them.
    ///
    /// # Errors
    /// When the features do not ascend or are not there, or the unknown token is not among them.
    pub(crate) fn narrowed(&self, data: &Dataset, kept: &[u32]) -> Result<Dataset, String> {
        let ExamplesRef::Tokens(rows) = data.examples() else {
            return self.cx(&Quiet).narrowed(data, kept).map_err(|e| e.to_string());
        };
        let place = |id: u32| kept.binary_search(&id).ok();
        let unknown = place(UNKNOWN).ok_or("the unknown token does not stay")?;
        let ids = rows.ids().iter().map(|id| place(*id).unwrap_or(unknown) as u32).collect();
        let rows = TokenRows::new(kept.len(), rows.offsets().to_vec(), ids, Vec::new());
        let rows = rows.map_err(|e| e.to_string())?;
        data.with_examples(rows).map_err(|e| e.to_string())
    }
}

/// A tokenizer of whole words.
fn tokenizer() -> Result<TokenEncoder, String> {
    let words = words();
    let ids: serde_json::Map<String, serde_json::Value> =
        words.iter().zip(0..).map(|(word, id)| (word.to_string(), id.into())).collect();
    let json = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": { "type": "Whitespace" }, "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "vocab": ids, "unk_token": &*words[UNKNOWN as usize] },
    });
    TokenEncoder::from_json("made up", json.to_string().as_bytes(), MAX_TOKENS).map_err(|e| e.to_string())
}

/// A bag of the words: as many features as the rows have, not scaled.
fn bag() -> Result<BagEncoder, String> {
    let text = words().join(" ");
    let config = EncoderConfig { vocabulary: FEATURES, l2: false, ..EncoderConfig::default() };
    BagEncoder::fit(&config, [text.as_str(); 4]).map_err(|e| e.to_string())
}

/// An encoder of two layers as BERT has them.
fn encoder() -> EncoderSpec {
    EncoderSpec {
        vocabulary: FEATURES,
        tokens: MAX_TOKENS,
        positions: MAX_TOKENS,
        intermediate: 10,
        dropout: 0.1,
        ..EncoderSpec::new(12, 2, 3)
    }
}

/// Layers of BERT on a bag.
fn post_norm() -> Graph {
    let mut nodes = Builder::default();
    let norm = |name: &str| Op::layer_norm(SiteId::new(name), 1e-5);
    let table = SiteId::new("embedding");
    nodes.add(Op::embed(table, 12, Key::Word), &[]);
    let mut tokens = nodes.then(norm("embedding.LayerNorm"));
    for layer in 0..2 {
        let site = |name: &str| AttentionSpec::site(layer, name);
        let made = ["attention.query", "attention.key", "attention.value"]
            .map(|name| nodes.add(Op::linear(site(name), 12), &[tokens]));
        nodes.add(Op::attend(3, 4), &made);
        let change = nodes.then(Op::linear(site("attention.output"), 12));
        nodes.add(Op::Add, &[tokens, change]);
        tokens = nodes.then(norm(site("attention.LayerNorm").as_str()));
        nodes.then(Op::linear(site("ffn.up"), 10));
        nodes.then(Op::Activate(Activation::Gelu));
        let change = nodes.then(Op::linear(site("ffn.down"), 12));
        nodes.add(Op::Add, &[tokens, change]);
        tokens = nodes.then(norm(site("ffn.LayerNorm").as_str()));
    }
    nodes.then(Op::Pool(Pooling::WeightedSum));
    nodes.then(Op::Dropout { rate: 0.1 });
    nodes.then(Op::linear(SiteId::output(), 1));
    nodes.graph(Source::Bag { width: FEATURES, tokens: 16 }, Output::Logits)
}

/// A kind's example, parsed.
///
/// # Errors
/// When it is no TOML or the kind refuses it.
pub fn example(kind: &Kind) -> Result<Box<dyn Technique>, String> {
    (kind.parse)(&table(kind)?).map_err(|e| format!("{}: its example does not parse: {e}", kind.name))
}

/// A kind's example as a table.
///
/// # Errors
/// When it is no TOML.
pub(crate) fn table(kind: &Kind) -> Result<toml::Table, String> {
    kind.example.parse().map_err(|e| format!("{}: its example is not TOML: {e}", kind.name))
}

/// Names of the 24 features, in byte order.
fn words() -> Vec<Box<str>> {
    let latin = (0..FEATURES - 4).map(|n| format!("w{n:02}"));
    let han = ["七", "三", "二", "五"].map(str::to_owned);
    latin.chain(han).map(String::into_boxed_str).collect()
}

/// Rows of 24 features in two classes, about a third of the features not zero; the class shifts the values of the first
/// six, by less than they differ among themselves: a network of a few epochs is far from sure of the class.
///
/// # Errors
/// Never, unless a dataset of 24 features and two classes became impossible.
pub fn rows(count: usize, seed: u64) -> Result<Dataset, String> {
    shifted(count, seed, 0.8)
}

/// Texts of 2 to 12 tokens in two classes; those of the second have the first six tokens more often.
///
/// # Errors
/// Never, unless a dataset of 24 tokens and two classes became impossible.
pub fn texts(count: usize, seed: u64) -> Result<Dataset, String> {
    let mut rng = Seed(seed).stream(0);
    let (mut offsets, mut ids, mut labels) = (vec![0], Vec::new(), Vec::new());
    for _ in 0..count {
        let label = rng.below(2) as u32;
        labels.push(label);
        for _ in 0..2 + rng.below(MAX_TOKENS - 1) {
            let few = label == 1 && rng.uniform() < 0.3;
            ids.push(rng.below(if few { 6 } else { FEATURES }) as u32);
        }
        offsets.push(ids.len());
    }
    let rows = TokenRows::new(FEATURES, offsets, ids, Vec::new()).map_err(|e| e.to_string())?;
    Dataset::new(rows, labels, 2).map_err(|e| e.to_string())
}

/// [`rows`] whose class can be told from most of them, so that what was learnt shows on rows that were not seen.
///
/// # Errors
/// As [`rows`].
pub fn clear_rows(count: usize, seed: u64) -> Result<Dataset, String> {
    shifted(count, seed, 4.0)
}

fn shifted(count: usize, seed: u64, by: f32) -> Result<Dataset, String> {
    let mut rng = Seed(seed).stream(0);
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let label = rng.below(2) as u32;
        labels.push(label);
        for feature in 0..FEATURES {
            let there = rng.uniform() < 0.35;
            let shift = if feature < 6 && label == 1 { by } else { 0.0 };
            let value = rng.uniform() + shift;
            values.push(if there { value } else { 0.0 });
        }
    }
    let rows = Rows::from_dense(count, FEATURES, &values).map_err(|e| e.to_string())?;
    Dataset::new(rows, labels, 2).map_err(|e| e.to_string())
}
