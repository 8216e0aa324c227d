//! The contract, as a suite that any kind can be held against, on any backend.
//!
//! It checks on a small network and made-up rows: the entry says what a reader needs; the example parses and plans; applying makes exactly the
//! planned outline; the same seed gives the same numbers, whatever the thread count; a model that reads fewer features says which; outputs are finite; sites
//! that were not selected keep their bits, where their shape is planned to stay; a stop is obeyed; an unknown
//! setting is refused.

use nlpress_core::event::{Event, Flow, Quiet, Sink};
use nlpress_core::{Backend, Seed, Selectors};
use nlpress_model::{AttentionSpec, BlockSpec, Dataset, MlpSpec, Model, Network, Ranks, SiteId, Spec};
use nlpress_text::Rows;
use nlpress_train::{Fit, FitConfig, fit};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Cx, Family, Kind, StepError, Teacher, Technique};

/// The small world that the suite runs in.
#[derive(Debug)]
pub struct Bench {
    backend: Backend,
    train: Dataset,
    valid: Dataset,
    model: Model,
    words: Vec<Box<str>>,
}

/// What a kind's example made of the bench's network.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// The model.
    pub model: Model,
    /// The features it reads, where they are not all.
    pub features: Option<Vec<u32>>,
}

/// Holds a kind against the contract.
///
/// # Errors
/// A sentence on the clause that is broken.
pub fn check(kind: &Kind, backend: &Backend) -> Result<(), String> {
    Bench::new(backend)?.check(kind)
}

impl Bench {
    /// A trained network of 24 → 12 → 8 → 1 and rows that it can tell apart.
    ///
    /// # Errors
    /// When the training itself fails.
    pub fn new(backend: &Backend) -> Result<Self, String> {
        Self::of(Spec::Mlp(MlpSpec::new(24, &[12, 8], 1, 0.2)), backend)
    }

    /// The same with an attention network of two blocks, for kinds that act on its sites.
    ///
    /// # Errors
    /// When the training itself fails.
    pub fn attention(backend: &Backend) -> Result<Self, String> {
        let spec = AttentionSpec {
            inputs: 24,
            width: 12,
            head_width: 4,
            layers: vec![BlockSpec { heads: 3, neurons: 10 }; 2],
            outputs: 1,
            dropout: 0.1,
            tokens: 16,
            ranks: Ranks::new(),
        };
        Self::of(Spec::Attention(spec), backend)
    }

    fn of(spec: Spec, backend: &Backend) -> Result<Self, String> {
        let train = rows(96, 1)?;
        let valid = rows(48, 2)?;
        let config = FitConfig::default().with_epochs(3).map_err(|e| e.to_string())?;
        let model = Model::init(&spec, Seed(3)).map_err(|e| e.to_string())?;
        let (model, _) =
            fit(model, Fit::new(&config, backend, &train, Seed(3), &Quiet)).map_err(|e| e.to_string())?;
        Ok(Self { backend: backend.clone(), train, valid, model, words: words() })
    }

    /// Whether a kind's example finds sites to act on in this network.
    pub fn selects(&self, kind: &Kind) -> bool {
        self.selected(kind).is_ok()
    }

    /// The trained network.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The validation rows.
    pub fn valid(&self) -> &Dataset {
        &self.valid
    }

    /// Names of the features: twenty of Latin letters, then four Chinese ones.
    pub fn words(&self) -> &[Box<str>] {
        &self.words
    }

    /// Runs a kind's example on the trained network.
    ///
    /// # Errors
    /// A sentence on what failed.
    pub fn run(&self, kind: &Kind, threads: usize) -> Result<Made, String> {
        self.apply(kind, threads, &Quiet).map_err(|e| format!("{}: apply: {e}", kind.name))
    }

    /// The validation rows as a model reads them.
    ///
    /// # Errors
    /// When its features do not ascend or are not there.
    pub fn valid_for(&self, made: &Made) -> Result<Dataset, String> {
        let Some(kept) = &made.features else { return Ok(self.valid.clone()) };
        self.cx(&Quiet).narrowed(&self.valid, kept).map_err(|e| e.to_string())
    }

    /// Holds a kind against the contract.
    ///
    /// # Errors
    /// A sentence on the clause that is broken.
    pub fn check(&self, kind: &Kind) -> Result<(), String> {
        let name = kind.name;
        check_entry(kind)?;
        let table = example(kind)?;
        if let Some(key) = table.keys().find(|key| !kind.settings.iter().any(|(setting, _)| setting == key)) {
            return Err(format!("{name}: setting {key} of its example is not described"));
        }
        let technique =
            (kind.parse)(&table).map_err(|e| format!("{name}: its example does not parse: {e}"))?;
        let mut unknown = table.clone();
        unknown.insert("no_such_setting".into(), toml::Value::Boolean(true));
        if (kind.parse)(&unknown).is_ok() {
            return Err(format!("{name}: an unknown setting is not refused"));
        }

        let before = self.model.outline();
        let on = self.selected(kind)?;
        let mut problems = Vec::new();
        let planned = technique.plan(&before, &on, &mut problems);
        if let Some(problem) = problems.first() {
            return Err(format!("{name}: its example does not plan: {problem}"));
        }
        let mut none = Vec::new();
        if kind.family != Family::Train {
            technique.plan(&before, &[SiteId::new("nowhere")], &mut none);
            if none.is_empty() {
                return Err(format!("{name}: planning on a site that does not exist finds no problem"));
            }
        }

        let made = self.run(kind, 1)?;
        if made != self.run(kind, 1)? || made != self.run(kind, 2)? {
            return Err(format!("{name}: the same seed gives other numbers, or threads change them"));
        }
        check_features(&made, before.spec.inputs()).map_err(|e| format!("{name}: {e}"))?;
        let valid = self.valid_for(&made).map_err(|e| format!("{name}: {e}"))?;
        let after = made.model;
        if after.outline() != planned && (technique.exact() || !after.outline().fits_within(&planned)) {
            return Err(format!("{name}: planned {planned:?}, made {:?}", after.outline()));
        }
        let logits = Network::bind(&after, &self.backend).logits_of(&valid).map_err(|e| e.to_string())?;
        if let Some(bad) = logits.iter().find(|x| !x.is_finite()) {
            return Err(format!("{name}: a logit is {bad}"));
        }
        let trains = technique.needs().training;
        for layer in self.model.layers().iter().filter(|l| !on.contains(&l.id) && !trains) {
            let same_shape = planned.site(&layer.id).is_some_and(|s| s.shape == layer.shape);
            if same_shape && after.layer(&layer.id) != Some(layer) {
                return Err(format!("{name}: site {} was not selected and changed", layer.id));
            }
        }
        let stop = StopAtOnce(AtomicBool::new(false));
        match self.apply(kind, 1, &stop) {
            Err(StepError::Stopped(_)) => Ok(()),
            Ok(_) if !stop.0.load(Ordering::Relaxed) && !trains => Ok(()),
            Ok(_) => Err(format!("{name}: it went on although it was asked to stop")),
            Err(other) => Err(format!("{name}: asked to stop, it failed instead: {other}")),
        }
    }

    fn selected(&self, kind: &Kind) -> Result<Vec<SiteId>, String> {
        let bad = |why: String| format!("{}: its selectors {:?} {why}", kind.name, kind.on);
        let selectors = Selectors::parse(kind.on).map_err(|e| bad(format!("do not select: {e}")))?;
        let sites = self.model.layers().iter().map(|l| l.id.clone());
        let on: Vec<SiteId> = sites.filter(|id| selectors.matches(id.as_str())).collect();
        if on.is_empty() { Err(bad("select no site".into())) } else { Ok(on) }
    }

    fn cx<'a>(&'a self, sink: &'a dyn Sink) -> Cx<'a> {
        let teacher = Teacher { model: &self.model, train: &self.train, valid: &self.valid };
        Cx {
            teacher: Some(teacher),
            words: &self.words,
            unit_rows: false,
            ..Cx::new(Seed(11), &self.backend, (&self.train, &self.valid), sink)
        }
    }

    /// Runs a technique on a model of the bench's rows, for instance on what another has made.
    ///
    /// # Errors
    /// [`StepError`] as the technique gives it.
    pub fn apply_to(&self, technique: &dyn Technique, model: Model) -> Result<Model, StepError> {
        let on: Vec<SiteId> = model.layers().iter().map(|l| l.id.clone()).collect();
        technique.apply(model, &on, &mut self.cx(&Quiet))
    }

    fn apply(&self, kind: &Kind, threads: usize, sink: &dyn Sink) -> Result<Made, StepError> {
        let technique = example(kind).and_then(|t| (kind.parse)(&t)).map_err(StepError::Failed)?;
        let on = self.selected(kind).map_err(StepError::Failed)?;
        let mut cx = Cx { threads, ..self.cx(sink) };
        let model = technique.apply(self.model.clone(), &on, &mut cx)?;
        Ok(Made { model, features: cx.kept_features })
    }
}

/// Asks to stop at the first event.
struct StopAtOnce(AtomicBool);

impl Sink for StopAtOnce {
    fn push(&self, _event: &Event) -> Flow {
        self.0.store(true, Ordering::Relaxed);
        Flow::Stop
    }
}

/// Checks that a model of other inputs says which features it reads: ascending, as many as its inputs.
///
/// # Errors
/// A sentence on what is not so.
pub fn check_features(made: &Made, before: usize) -> Result<(), String> {
    let after = made.model.spec().inputs();
    match &made.features {
        None if after == before => Ok(()),
        None => {
            Err(format!("its {before} inputs became {after}, but it does not say which features it keeps"))
        }
        Some(_) if after == before => {
            Err(format!("it keeps features, but its inputs are {before} as before"))
        }
        Some(kept) if kept.len() != after => {
            Err(format!("it keeps {} features for {after} inputs", kept.len()))
        }
        Some(kept) if !kept.is_sorted_by(|a, b| a < b) => Err("the features it keeps do not ascend".into()),
        Some(kept) => match kept.last().filter(|last| **last as usize >= before) {
            Some(last) => Err(format!("it keeps feature {last}, but there were {before}")),
            None => Ok(()),
        },
    }
}

/// Names of the 24 features, in byte order.
fn words() -> Vec<Box<str>> {
    let latin = (0..20).map(|n| format!("w{n:02}"));
    let han = ["七", "三", "二", "五"].map(str::to_owned);
    latin.chain(han).map(String::into_boxed_str).collect()
}

/// Holds what a kind says about itself against what its readers need.
fn check_entry(kind: &Kind) -> Result<(), String> {
    let name = kind.name;
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b"_0123456789".contains(&b))
    };
    if name.split('.').count() != 2 || !name.split('.').all(word) {
        return Err(format!("{name}: a name is family.method in lower case"));
    }
    for (what, text) in [("summary", kind.summary), ("source", kind.source)] {
        if text.trim().is_empty() {
            return Err(format!("{name}: it has no {what}"));
        }
    }
    match kind.settings.iter().find(|(_, meaning)| meaning.trim().is_empty()) {
        Some((setting, _)) => Err(format!("{name}: setting {setting} is not described")),
        None => Ok(()),
    }
}

fn example(kind: &Kind) -> Result<toml::Table, String> {
    kind.example.parse().map_err(|e| format!("{}: its example is not TOML: {e}", kind.name))
}

/// Rows of 24 features, about a third of them not zero, whose class shifts the first six.
fn rows(n: usize, seed: u64) -> Result<Dataset, String> {
    let mut rng = Seed(seed).stream(0);
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..n {
        let label = rng.below(2) as u32;
        labels.push(label);
        for feature in 0..24 {
            let there = rng.uniform() < 0.35;
            let shift = if feature < 6 && label == 1 { 0.8 } else { 0.0 };
            let value = rng.uniform() + shift;
            values.push(if there { value } else { 0.0 });
        }
    }
    let rows = Rows::from_dense(n, 24, &values).map_err(|e| e.to_string())?;
    Dataset::new(rows, labels, 2).map_err(|e| e.to_string())
}
