//! What a user wrote: read from TOML, then checked, with line numbers kept for whatever is wrong later.

use nlpress_core::select::BadSelector;
use nlpress_core::{Selectors, files};
use nlpress_model::{AttentionSpec, BlockSpec, MlpSpec, Ranks, Spec};
use nlpress_technique::{Kind, Technique};
use nlpress_text::{CorpusOptions, EncoderConfig, Source, StopWords, TextError};
use nlpress_train::{ClassWeights, FitConfig};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use toml::Spanned;

use crate::kinds;
use crate::prepared::DataError;
use crate::report::{ALIKE_POINTS, Family};
use crate::threshold::Threshold;

/// Largest recipe file.
const LARGEST: u64 = 1 << 20;
/// Most repetitions with different seeds.
const MOST_SEEDS: u32 = 100;
/// The row that every variant descends from.
pub const TEACHER: &str = "teacher";
/// The control that is a linear model.
pub(crate) const LINEAR: &str = "control.linear";
/// The control that goes on training.
pub(crate) const MORE: &str = "control.more";
/// The control that is a student without a teacher.
pub(crate) const STUDENT: &str = "control.student";

/// A recipe that cannot be run.
#[derive(Debug, thiserror::Error)]
#[error("{file}{}: {why}", line.map(|l| format!(":{l}")).unwrap_or_default())]
pub struct RecipeError {
    /// Name of the file.
    pub file: String,
    /// Line, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong, naming the value and the bound.
    pub why: String,
}

/// A checked recipe.
#[derive(Debug)]
pub struct Recipe {
    /// What the report calls it.
    pub name: String,
    /// Path as it was given.
    pub path: String,
    /// Hash of its text.
    pub sha256: String,
    /// Root of all random choices.
    pub seed: u64,
    /// Repetitions, each with a seed derived from the root.
    pub seeds: u32,
    /// The network, as far as it is given; inputs and outputs may come from the data.
    pub network: NetworkRecipe,
    /// The data.
    pub data: DataRecipe,
    /// How the first model is trained.
    pub train: FitConfig,
    /// Where models of two classes decide, when it is not at one half.
    pub threshold: Option<Threshold>,
    /// The rows to make, in an order in which every parent comes before its children.
    pub variants: Vec<Variant>,
    /// What is reported beside them.
    pub controls: Controls,
    /// How the report judges.
    pub report: ReportRecipe,
    /// Where its parts stand.
    pub lines: Lines,
}

/// How the report judges.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReportRecipe {
    /// Points of accuracy within which two rows are alike, more than 0 and at most 100.
    pub alike_points: f64,
}

impl Default for ReportRecipe {
    fn default() -> Self {
        Self { alike_points: ALIKE_POINTS }
    }
}

/// Lines of the parts of a recipe, from 1, where they are written in it: for what is found wrong with them later.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lines {
    /// The path or the network of the model.
    pub model: Option<usize>,
    /// The network's inputs.
    pub inputs: Option<usize>,
    /// The network's outputs.
    pub outputs: Option<usize>,
    /// The data; none when they were replaced from the command line.
    pub data: Option<usize>,
    /// How the data are read.
    pub read: Option<usize>,
    /// The controls.
    pub controls: Option<usize>,
    /// The weights of classes.
    pub class_weights: Option<usize>,
    /// The threshold.
    pub threshold: Option<usize>,
}

/// The network of a recipe.
#[derive(Clone, Debug)]
pub struct NetworkRecipe {
    /// Artifact to start from in place of training, relative to the recipe.
    pub path: Option<PathBuf>,
    /// Features; from the encoder when not given.
    pub inputs: Option<usize>,
    /// Logits; from the labels when not given.
    pub outputs: Option<usize>,
    /// Everything else about it; its inputs and outputs are those of the data.
    pub template: Spec,
}

/// The data of a recipe.
#[derive(Clone, Debug)]
pub struct DataRecipe {
    /// `embedded`, the name of a fetched corpus, or none when files are given.
    pub corpus: Option<String>,
    /// Files.
    pub source: Option<Source>,
    /// How they are read.
    pub options: CorpusOptions,
    /// How texts become rows.
    pub encoder: EncoderConfig,
    /// How much the documents of each class weigh in training.
    pub class_weights: Option<ClassWeights>,
}

/// One row of the report to make.
#[derive(Debug)]
pub struct Variant {
    /// Its name.
    pub id: String,
    /// Family it is reported under; a chain when its steps are of several.
    pub family: Family,
    /// The row it starts from.
    pub parent: String,
    /// The row that distillation learns from.
    pub teacher: String,
    /// What is done.
    pub steps: Vec<Step>,
    /// Line of the recipe.
    pub line: usize,
}

/// One step of a variant.
#[derive(Debug)]
pub struct Step {
    /// The kind.
    pub kind: &'static Kind,
    /// Which sites.
    pub on: Selectors,
    /// The technique with its settings.
    pub technique: Box<dyn Technique>,
    /// The settings in a canonical form, in which a file that they name is its content's hash.
    pub settings: String,
    /// A file that the settings name, and that was read with them.
    pub file: Option<PathBuf>,
    /// Largest drop of validation accuracy, in points, with which the step is kept.
    pub max_drop: Option<f64>,
    /// Line of the recipe.
    pub line: usize,
}

/// What is reported beside the variants, to keep everyone honest.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Controls {
    /// A linear model on the same features.
    pub linear: bool,
    /// Epochs that the teacher trains on without compression; 0 for none.
    pub more_epochs: u32,
    /// Hidden widths of a student that is trained alone; empty for none.
    pub student: Vec<usize>,
}

impl Default for Controls {
    fn default() -> Self {
        Self { linear: true, more_epochs: 3, student: vec![16] }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    schema: Spanned<u32>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    seeds: Option<Spanned<u32>>,
    model: Spanned<RawModel>,
    data: Spanned<RawData>,
    #[serde(default)]
    train: Option<Spanned<TrainTable>>,
    #[serde(default)]
    controls: Option<Spanned<Controls>>,
    #[serde(default)]
    report: Option<Spanned<ReportRecipe>>,
    #[serde(default)]
    steps: Vec<Spanned<RawStep>>,
    #[serde(default)]
    variants: Vec<Spanned<RawVariant>>,
}

/// The table of training; each value with its place.
type TrainTable = BTreeMap<String, Spanned<toml::Value>>;

/// What the table of training says.
#[derive(Default)]
struct Train {
    fit: FitConfig,
    class_weights: Option<ClassWeights>,
    threshold: Option<Threshold>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModel {
    #[serde(default)]
    path: Option<Spanned<PathBuf>>,
    #[serde(default)]
    network: Option<Spanned<RawNetwork>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawNetwork {
    Mlp(RawMlp),
    Attention(RawAttention),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMlp {
    #[serde(default)]
    inputs: Option<Spanned<usize>>,
    #[serde(default)]
    hidden: Vec<usize>,
    #[serde(default)]
    outputs: Option<Spanned<usize>>,
    #[serde(default)]
    dropout: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAttention {
    #[serde(default)]
    inputs: Option<Spanned<usize>>,
    width: usize,
    head_width: usize,
    #[serde(default)]
    layers: Vec<BlockSpec>,
    #[serde(default)]
    outputs: Option<Spanned<usize>>,
    #[serde(default)]
    dropout: f64,
    #[serde(default = "most_tokens")]
    tokens: usize,
}

fn most_tokens() -> usize {
    128
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawData {
    #[serde(default)]
    corpus: Option<String>,
    #[serde(default)]
    files: Option<Source>,
    #[serde(default)]
    read: Option<Spanned<CorpusOptions>>,
    #[serde(default)]
    encoder: Option<Spanned<EncoderConfig>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVariant {
    id: String,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    teacher: Option<String>,
    steps: Vec<Spanned<RawStep>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    #[serde(rename = "use")]
    kind: String,
    #[serde(default = "everywhere")]
    on: Vec<String>,
    #[serde(default)]
    with: toml::Table,
    #[serde(default)]
    gate: Option<RawGate>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGate {
    max_drop: f64,
}

fn everywhere() -> Vec<String> {
    vec!["**".into()]
}

impl Recipe {
    /// Reads a recipe file.
    ///
    /// # Errors
    /// [`RecipeError`] with the file and, where it is known, the line.
    pub fn open(path: &Path) -> Result<Self, RecipeError> {
        let file = path.display().to_string();
        let refuse = |why: String| RecipeError { file: file.clone(), line: None, why };
        let bytes = files::read_stream_bounded(path, LARGEST).map_err(|e| refuse(e.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|e| {
            let before = &e.as_bytes()[..e.utf8_error().valid_up_to()];
            let line = 1 + before.iter().filter(|b| **b == b'\n').count();
            RecipeError { file: file.clone(), line: Some(line), why: "it is not UTF-8".into() }
        })?;
        Self::parse(&text, &file)
    }

    /// Something that is wrong with a part of this recipe.
    pub(crate) fn refuse(&self, line: Option<usize>, why: impl std::fmt::Display) -> RecipeError {
        RecipeError { file: self.path.clone(), line, why: why.to_string() }
    }

    /// Data of this recipe that cannot be made ready, at the part of the recipe that asks for them.
    pub fn refuse_data(&self, error: &DataError) -> RecipeError {
        let line = match error {
            DataError::Text(TextError::Setting { .. }) => self.lines.read,
            DataError::ClassWeights(_) => self.lines.class_weights,
            _ => None,
        };
        self.refuse(line.or(self.lines.data), error)
    }

    /// The files that the recipe names and that a run reads, each with what names it.
    pub fn reads(&self) -> Vec<(&'static str, &Path)> {
        let mut all: Vec<(&'static str, &Path)> = Vec::new();
        all.extend(
            self.network.path.as_deref().map(|path| ("the artifact that the recipe starts from", path)),
        );
        let data = self.data.source.iter().flat_map(Source::paths);
        all.extend(data.map(|path| ("the data", path)));
        if let StopWords::Lines { path, .. } = &self.data.encoder.stop_words {
            all.push(("the stop words", path));
        }
        let files = self.variants.iter().flat_map(|v| &v.steps).filter_map(|s| s.file.as_deref());
        all.extend(files.map(|file| ("a file of a step", file)));
        all
    }

    /// The names of the rows that a run makes, controls included.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &str> {
        let Controls { linear, more_epochs, student } = &self.controls;
        let controls = [(*linear, LINEAR), (*more_epochs > 0, MORE), (!student.is_empty(), STUDENT)];
        let controls = controls.into_iter().filter_map(|(is, id)| is.then_some(id));
        std::iter::once(TEACHER).chain(controls).chain(self.variants.iter().map(|v| v.id.as_str()))
    }

    /// Takes the data from elsewhere: what is wrong with them is then not in the recipe's text.
    pub fn forget_data_lines(&mut self) {
        (self.lines.data, self.lines.read) = (None, None);
    }

    /// Reads the text of a recipe; `file` names it in errors.
    ///
    /// # Errors
    /// [`RecipeError`] for text that is not TOML, unknown keys, kinds and settings, bad selectors, rows that are
    /// named twice, and parents or teachers that do not come before.
    pub fn parse(text: &str, file: &str) -> Result<Self, RecipeError> {
        let reader = Reader::new(text, file);
        let raw: Raw =
            toml::from_str(text).map_err(|e| reader.refuse(e.span().map(|s| s.start), e.message()))?;
        let seeds = reader.head(&raw)?;
        let folder = Path::new(file).parent().unwrap_or(Path::new(""));
        let mut lines = Lines::default();
        let network = reader.network(raw.model, folder, &mut lines)?;
        let train = reader.train(raw.train, &mut lines)?;
        let data =
            DataRecipe { class_weights: train.class_weights, ..reader.data(raw.data, folder, &mut lines)? };
        let mut variants = reader.chain(raw.steps)?;
        for variant in raw.variants {
            variants.push(reader.variant(variant)?);
        }
        let controls = reader.controls(raw.controls, &train.fit, &mut lines)?;
        let report = reader.report(raw.report)?;
        let stem = Path::new(file).file_stem().map_or("recipe".into(), |s| s.to_string_lossy().into_owned());
        let recipe = Self {
            name: raw.name.unwrap_or(stem),
            path: file.into(),
            sha256: files::sha256_hex(text.as_bytes()),
            seed: raw.seed,
            seeds,
            network,
            data,
            train: train.fit,
            threshold: train.threshold,
            variants,
            controls,
            report,
            lines,
        };
        reader.names(&recipe)?;
        Ok(recipe)
    }
}

/// The text being read, to find line numbers in.
struct Reader<'a> {
    file: &'a str,
    /// Where the lines end, in bytes.
    ends: Vec<usize>,
}

impl<'a> Reader<'a> {
    fn new(text: &str, file: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at).collect();
        Self { file, ends }
    }

    fn report(&self, raw: Option<Spanned<ReportRecipe>>) -> Result<ReportRecipe, RecipeError> {
        let Some(raw) = raw else { return Ok(ReportRecipe::default()) };
        let points = raw.get_ref().alike_points;
        if points > 0.0 && points <= 100.0 {
            return Ok(raw.into_inner());
        }
        let why = format!("alike_points is {points}, but it must be more than 0 and at most 100");
        Err(self.refuse(Some(raw.span().start), why))
    }

    fn refuse(&self, at: Option<usize>, why: impl Into<String>) -> RecipeError {
        RecipeError { file: self.file.into(), line: at.map(|at| self.line(at)), why: why.into() }
    }

    fn line(&self, at: usize) -> usize {
        1 + self.ends.partition_point(|end| *end < at)
    }

    /// The line of a part, and the part.
    fn located<T>(&self, part: Option<Spanned<T>>) -> (Option<usize>, Option<T>) {
        part.map(|part| (self.line(part.span().start), part.into_inner())).unzip()
    }

    /// Checks schema and seeds; the number of seeds.
    fn head(&self, raw: &Raw) -> Result<u32, RecipeError> {
        if *raw.schema.get_ref() != 1 {
            let why = format!("schema is {}, but this version reads 1", raw.schema.get_ref());
            return Err(self.refuse(Some(raw.schema.span().start), why));
        }
        let seeds = raw.seeds.as_ref().map_or(1, |s| *s.get_ref());
        if !(1..=MOST_SEEDS).contains(&seeds) {
            let at = raw.seeds.as_ref().map(|s| s.span().start);
            return Err(
                self.refuse(at, format!("seeds is {seeds}, but it must be between 1 and {MOST_SEEDS}"))
            );
        }
        Ok(seeds)
    }

    fn network(
        &self,
        raw: Spanned<RawModel>,
        folder: &Path,
        lines: &mut Lines,
    ) -> Result<NetworkRecipe, RecipeError> {
        let table = self.line(raw.span().start);
        let raw = raw.into_inner();
        let (of_path, path) = self.located(raw.path);
        let (of_network, network) = self.located(raw.network);
        lines.model = of_path.or(of_network).or(Some(table));
        let refuse = |why: String| RecipeError { file: self.file.into(), line: lines.model, why };
        let (template, inputs, outputs) = match (path, network) {
            (Some(_), Some(_)) => return Err(refuse("model has both a path and a network: give one".into())),
            (None, None) => return Err(refuse("model has neither a path nor a network".into())),
            (Some(path), None) => {
                return Ok(NetworkRecipe {
                    path: Some(folder.join(path)),
                    inputs: None,
                    outputs: None,
                    template: Spec::Mlp(MlpSpec::new(1, &[], 1, 0.0)),
                });
            }
            (None, Some(RawNetwork::Mlp(raw))) => {
                (Spec::Mlp(MlpSpec::new(1, &raw.hidden, 1, raw.dropout)), raw.inputs, raw.outputs)
            }
            (None, Some(RawNetwork::Attention(raw))) => {
                let spec = AttentionSpec {
                    inputs: 1,
                    width: raw.width,
                    head_width: raw.head_width,
                    layers: raw.layers,
                    outputs: 1,
                    dropout: raw.dropout,
                    tokens: raw.tokens,
                    ranks: Ranks::new(),
                };
                (Spec::Attention(spec), raw.inputs, raw.outputs)
            }
        };
        template.check().map_err(|e| refuse(e.to_string()))?;
        let (of_inputs, inputs) = self.located(inputs);
        let (of_outputs, outputs) = self.located(outputs);
        (lines.inputs, lines.outputs) = (of_inputs, of_outputs);
        Ok(NetworkRecipe { path: None, inputs, outputs, template })
    }

    fn data(
        &self,
        raw: Spanned<RawData>,
        folder: &Path,
        lines: &mut Lines,
    ) -> Result<DataRecipe, RecipeError> {
        let at = raw.span().start;
        lines.data = Some(self.line(at));
        let raw = raw.into_inner();
        if raw.corpus.is_some() == raw.files.is_some() {
            return Err(self.refuse(Some(at), "data needs either a corpus name or files, and not both"));
        }
        let (of_read, options) = self.located(raw.read);
        let options = options.unwrap_or_default();
        let (of_encoder, encoder) = self.located(raw.encoder);
        lines.read = of_read;
        let refuse = |line, e: TextError| RecipeError { file: self.file.into(), line, why: e.to_string() };
        options.split.check().map_err(|e| refuse(of_read, e))?;
        // It checks itself, and reads the files that it names.
        let encoder = encoder.unwrap_or_default().read(folder).map_err(|e| refuse(of_encoder, e))?;
        let source = raw.files.map(|files| files.below(folder));
        Ok(DataRecipe { corpus: raw.corpus, source, options, encoder, class_weights: None })
    }

    /// The table of training: how the first model is trained, and what beside it every model is told.
    fn train(&self, raw: Option<Spanned<TrainTable>>, lines: &mut Lines) -> Result<Train, RecipeError> {
        let Some(raw) = raw else { return Ok(Train::default()) };
        let at = raw.span().start;
        let mut table = raw.into_inner();
        let (weights, threshold) = (table.remove("class_weights"), table.remove("threshold"));
        let (of_weights, weights) = self.located(weights);
        let (of_threshold, threshold) = self.located(threshold);
        (lines.class_weights, lines.threshold) = (of_weights, of_threshold);
        let refuse = |line: Option<usize>, e: toml::de::Error| RecipeError {
            file: self.file.into(),
            line: line.or(Some(self.line(at))),
            why: e.message().into(),
        };
        let fit: toml::Table = table.into_iter().map(|(key, value)| (key, value.into_inner())).collect();
        Ok(Train {
            fit: toml::Value::Table(fit).try_into().map_err(|e| refuse(None, e))?,
            class_weights: weights
                .map(toml::Value::try_into)
                .transpose()
                .map_err(|e| refuse(of_weights, e))?,
            threshold: threshold
                .map(toml::Value::try_into)
                .transpose()
                .map_err(|e| refuse(of_threshold, e))?,
        })
    }

    fn controls(
        &self,
        raw: Option<Spanned<Controls>>,
        train: &FitConfig,
        lines: &mut Lines,
    ) -> Result<Controls, RecipeError> {
        let (line, controls) = self.located(raw);
        lines.controls = line;
        let controls = controls.unwrap_or_default();
        if let (Some(_), 1..) = (line, controls.more_epochs) {
            train.clone().with_epochs(controls.more_epochs).map_err(|e| {
                let why = format!("controls: more_epochs: {e}");
                RecipeError { file: self.file.into(), line, why }
            })?;
        }
        Ok(controls)
    }

    /// Plain `[[steps]]`: a chain in which every step is a row of its own.
    fn chain(&self, steps: Vec<Spanned<RawStep>>) -> Result<Vec<Variant>, RecipeError> {
        let mut variants: Vec<Variant> = Vec::new();
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for raw in steps {
            let step = self.step(raw)?;
            let nth = times.entry(step.kind.name).or_default();
            *nth += 1;
            let id = match *nth {
                1 => step.kind.name.to_owned(),
                n => format!("{}.{n}", step.kind.name),
            };
            let parent = variants.last().map_or(TEACHER.into(), |v| v.id.clone());
            let family = step.kind.family.into();
            let line = step.line;
            variants.push(Variant { id, family, parent, teacher: TEACHER.into(), steps: vec![step], line });
        }
        Ok(variants)
    }

    fn variant(&self, raw: Spanned<RawVariant>) -> Result<Variant, RecipeError> {
        let at = raw.span().start;
        let raw = raw.into_inner();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if raw.id.is_empty() || raw.id.len() > 64 || !raw.id.chars().all(plain) || raw.id.starts_with('.') {
            let why = format!("id {:?} must be 1 to 64 letters, digits, '.', '-' or '_'", raw.id);
            return Err(self.refuse(Some(at), why));
        }
        if raw.steps.is_empty() {
            return Err(self.refuse(Some(at), format!("variant {:?} has no step", raw.id)));
        }
        let steps = raw.steps.into_iter().map(|s| self.step(s)).collect::<Result<Vec<_>, _>>()?;
        let families: BTreeSet<Family> = steps.iter().map(|s| s.kind.family.into()).collect();
        let family = match (families.len(), families.first()) {
            (1, Some(only)) => *only,
            _ => Family::Chain,
        };
        Ok(Variant {
            id: raw.id,
            family,
            parent: raw.from.unwrap_or_else(|| TEACHER.into()),
            teacher: raw.teacher.unwrap_or_else(|| TEACHER.into()),
            steps,
            line: self.line(at),
        })
    }

    fn step(&self, raw: Spanned<RawStep>) -> Result<Step, RecipeError> {
        let at = raw.span().start;
        let raw = raw.into_inner();
        let Some(kind) = kinds::find(&raw.kind) else {
            let why = format!("unknown technique {:?}; `nlpress techniques` lists them", raw.kind);
            return Err(self.refuse(Some(at), why));
        };
        let on = Selectors::parse(&raw.on)
            .map_err(|e: BadSelector| self.refuse(Some(at), format!("{}: {e}", raw.kind)))?;
        let refuse = |why: String| self.refuse(Some(at), format!("{}: {why}", raw.kind));
        // A file that a technique reads is named relative to the recipe's folder.
        let mut with = raw.with;
        let mut read = None;
        if let Some(toml::Value::String(file)) = with.get_mut("file") {
            let folder = Path::new(self.file).parent().unwrap_or(Path::new(""));
            *file = folder.join(&*file).display().to_string();
            read = Some(file.clone());
        }
        let technique = (kind.parse)(&with).map_err(refuse)?;
        let file = read.map(PathBuf::from);
        if let Some(file) = &file {
            let bytes = std::fs::read(file).map_err(|e| refuse(format!("{}: {e}", file.display())))?;
            with.insert("file".into(), files::sha256_hex(&bytes).into());
        }
        let settings = toml::to_string(&with).map_err(|e| refuse(e.to_string()))?;
        let max_drop = raw.gate.map(|g| g.max_drop);
        if let Some(drop) = max_drop.filter(|d| !(d.is_finite() && *d >= 0.0)) {
            return Err(
                self.refuse(Some(at), format!("max_drop is {drop}, but it must be at least 0 points"))
            );
        }
        Ok(Step { kind, on, technique, settings, file, max_drop, line: self.line(at) })
    }

    /// Every row has its own name, and parents and teachers come first.
    fn names(&self, recipe: &Recipe) -> Result<(), RecipeError> {
        let mut known: BTreeSet<&str> = BTreeSet::from([TEACHER]);
        for variant in &recipe.variants {
            let line = Some(variant.line);
            let refuse = |why| Err(RecipeError { file: self.file.into(), line, why });
            for (what, name) in [("from", &variant.parent), ("teacher", &variant.teacher)] {
                if !known.contains(name.as_str()) {
                    return refuse(format!("{}: {what} = {name:?} is not a row before it", variant.id));
                }
            }
            if variant.id.starts_with("control.") || !known.insert(&variant.id) {
                return refuse(format!("the row name {:?} is taken", variant.id));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "schema = 1\n[model]\nnetwork = { mlp = { hidden = [8] } }\n[data]\ncorpus = 'embedded'\n";

    fn refused(tail: &str) -> RecipeError {
        Recipe::parse(&format!("{HEAD}{tail}"), "r.toml").expect_err(tail)
    }

    #[test]
    fn a_chain_names_its_rows_and_their_parents() {
        let step = "[[steps]]\nuse = 'prune.magnitude'\nwith = { sparsity = 0.5 }\n";
        let recipe = Recipe::parse(&format!("{HEAD}{step}{step}"), "r.toml").unwrap();
        let rows: Vec<_> = recipe.variants.iter().map(|v| (v.id.as_str(), v.parent.as_str())).collect();
        assert_eq!(rows, [("prune.magnitude", "teacher"), ("prune.magnitude.2", "prune.magnitude")]);
    }

    #[test]
    fn errors_name_the_line() {
        let e = refused("[[steps]]\nuse = 'prune.nothing'\n");
        assert_eq!((e.line, e.why.contains("prune.nothing")), (Some(6), true), "{e}");
        let e = refused("[[steps]]\nuse = 'prune.magnitude'\nwith = { sparsity = 1.5 }\n");
        assert!(e.line == Some(6) && e.to_string().contains("1.5"), "{e}");
        let e = refused("\n[[steps]]\nuse = 'prune.magnitude'\nwith = { sparsty = 0.5 }\n");
        assert!(e.to_string().contains("sparsty"), "{e}");
        let e = refused("sed = 3\n");
        assert!(e.to_string().contains("sed"), "{e}");
    }

    #[test]
    fn weights_and_threshold_stand_in_the_table_of_training() {
        let parse = |tail: &str| Recipe::parse(&format!("{HEAD}{tail}"), "r.toml").unwrap();
        let recipe = parse("[train]\nepochs = 3\nclass_weights = 'balanced'\nthreshold = 0.3\n");
        assert_eq!((recipe.train.epochs(), recipe.threshold), (3, Some(Threshold::Fixed(0.3))));
        assert_eq!(recipe.data.class_weights, Some(ClassWeights::Balanced));
        let plain = parse("[train]\nepochs = 3\n");
        assert_eq!((plain.threshold, plain.data.class_weights), (None, None));
        let e = refused("[train]\nepochs = 3\nclass_weights = 'even'\n");
        assert!(e.line == Some(8) && e.why.contains("balanced"), "{e}");
        let e = refused("[train]\nepochs = 3\nthreshold = 'f3'\n");
        assert!(e.line == Some(8) && e.why.contains("macro-f1"), "{e}");
        let e = refused("[train]\nclass_weight = 'balanced'\n");
        assert!(e.why.contains("class_weight"), "{e}");
    }

    #[test]
    fn rows_must_be_known_before_they_are_used() {
        let variant = |id: &str, from: &str| {
            format!("[[variants]]\nid = '{id}'\nfrom = '{from}'\nsteps = [{{ use = 'quant.int8' }}]\n")
        };
        assert!(refused(&variant("a", "b")).why.contains("\"b\""));
        assert!(refused(&(variant("a", "teacher") + &variant("a", "teacher"))).why.contains("taken"));
        assert!(refused(&variant("../a", "teacher")).why.contains("letters"));
        assert!(refused(&variant("control.linear", "teacher")).why.contains("taken"));
    }
}
