//! Checks what a recipe says, with the line of whatever is wrong.

use nlpress_core::select::BadSelector;
use nlpress_core::shown::{escaped, is_plain, shown};
use nlpress_core::{Selectors, files};
use nlpress_model::graph::Source as Takes;
use nlpress_model::{AttentionSpec, EncoderSpec, Graph, Head, MlpSpec, Ranks};
use nlpress_technique::{said, told};
use nlpress_text::{Files, Source, TextError};
use nlpress_train::{ClassWeights, TrainConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use toml::Spanned;

use super::raw::{Raw, RawData, RawModel, RawNetwork, RawStep, RawTeacher, RawVariant, Table};
use super::{
    Controls, DataRecipe, Lines, MOST_SEEDS, NetworkRecipe, Recipe, RecipeError, ReportRecipe, Step, TEACHER,
    TeacherFile, Teaching, Variant,
};
use crate::kinds;
use crate::report::Family;
use crate::threshold::Threshold;

/// Refuses what is there and is no regular file: opening a named pipe would wait for a writer.
fn regular(path: &Path) -> Result<(), String> {
    match files::open_regular(path) {
        Err(e) if e.kind() == ErrorKind::InvalidInput => Err(format!("{} {e}", path.display())),
        _ => Ok(()),
    }
}

/// What stands at keys of a recipe that have tables, or values of several kinds.
const EXAMPLES: [(&str, &str); 20] = [
    ("network", "{ mlp = { hidden = [64], dropout = 0.5 } }"),
    ("mlp", "{ hidden = [64], dropout = 0.5 }"),
    ("attention", "{ width = 64, head_width = 16, layers = [{ heads = 4, neurons = 128 }] }"),
    ("static", "{ width = 64 }"),
    ("network.encoder", "{ width = 64, layers = 2, heads = 4 }"),
    ("hidden", "[64, 32]"),
    ("files", "\"reviews.csv\""),
    ("read", "{ text = \"body\", label = \"stars\" }"),
    ("text", "\"body\""),
    ("label", "\"stars\""),
    ("split", "{ train = 80, valid = 10, test = 10 }"),
    ("encoder", "{ vocabulary = 1000 }"),
    ("analyzer", "{ characters = { min = 1, max = 2 } }"),
    ("stop_words", "\"stop.txt\""),
    ("on", "[\"hidden.*\"]"),
    ("with", "{ sparsity = 0.5 }"),
    ("gate", "{ max_drop = 1.0 }"),
    ("student", "[16]"),
    ("teacher", "\"ROW\"` or `teacher = { path = \"teacher.safetensors\" }"),
    ("unlabelled", "\"more.csv\""),
];

/// What a network on tokens reads until the data say how many there are.
const TEXT: Takes = Takes::Tokens { vocabulary: 1, most: 1 };

/// What is wrong with the value of a key, with what may stand there.
pub(super) fn with_example(why: String, key: Option<&str>) -> String {
    match key.and_then(|key| EXAMPLES.iter().find(|(known, _)| *known == key)) {
        Some((key, value)) => {
            let key = key.rsplit('.').next().unwrap_or(key);
            format!("{why}; for example `{key} = {value}`")
        }
        None => why,
    }
}

/// What the table of training says.
#[derive(Default)]
pub(super) struct Train {
    pub(super) fit: TrainConfig,
    pub(super) class_weights: Option<ClassWeights>,
    pub(super) threshold: Option<Threshold>,
}

/// The text being read, to find line numbers in.
pub(super) struct Reader<'a> {
    text: &'a str,
    file: &'a str,
    /// Where the lines end, in bytes.
    ends: Vec<usize>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, file: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at).collect();
        Self { text, file, ends }
    }

    pub(super) fn report(&self, raw: Option<Spanned<ReportRecipe>>) -> Result<ReportRecipe, RecipeError> {
        let Some(raw) = raw else { return Ok(ReportRecipe::default()) };
        let points = raw.get_ref().alike_points;
        if points > 0.0 && points <= 100.0 {
            return Ok(raw.into_inner());
        }
        let why = format!("alike_points is {points}, but it must be more than 0 and at most 100");
        Err(self.refuse(Some(raw.span().start), why))
    }

    pub(super) fn refuse(&self, at: Option<usize>, why: impl Into<String>) -> RecipeError {
        RecipeError { file: self.file.into(), line: at.map(|at| self.line(at)), why: why.into() }
    }

    /// TOML that is none, or not of the form of a recipe.
    pub(super) fn refuse_toml(&self, error: &toml::de::Error) -> RecipeError {
        let at = error.span().map(|span| span.start);
        let key = at.and_then(|at| self.key_before(at));
        let of_network =
            at.is_some_and(|at| self.text[..at].lines().last().is_some_and(|l| l.contains("network")));
        let why = said(error.message(), key);
        // The parser says where it stands, and not which.
        let twice = error.span().filter(|_| error.message() == "duplicate key");
        if let Some(twice) = twice.and_then(|span| self.text.get(span)) {
            return self.refuse(at, format!("duplicate key `{}`", shown(twice)));
        }
        let key = if key == Some("encoder") && of_network { Some("network.encoder") } else { key };
        self.refuse(at, with_example(why, key))
    }

    /// The key whose value begins there.
    fn key_before(&self, at: usize) -> Option<&'a str> {
        let before = self.text.get(..at)?.trim_end_matches([' ', '\t']).strip_suffix('=')?.trim_end();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let start = before.rfind(|c| !plain(c)).map_or(0, |at| at + 1);
        Some(&before[start..]).filter(|key| !key.is_empty())
    }

    fn line(&self, at: usize) -> usize {
        1 + self.ends.partition_point(|end| *end < at)
    }

    /// The line of a part, and the part.
    fn located<T>(&self, part: Option<Spanned<T>>) -> (Option<usize>, Option<T>) {
        part.map(|part| (self.line(part.span().start), part.into_inner())).unzip()
    }

    /// The name of a recipe: its own, or else that of its file.
    pub(super) fn name(&self, raw: Option<Spanned<String>>) -> Result<String, RecipeError> {
        let Some(raw) = raw else {
            let stem = Path::new(self.file).file_stem().map(|stem| stem.to_string_lossy());
            return Ok(stem.map_or_else(|| "recipe".into(), |stem| escaped(&stem).to_string()));
        };
        let (at, name) = (raw.span().start, raw.into_inner());
        let bad = |why| Err(self.refuse(Some(at), format!("name = \"{}\": {why}", shown(&name))));
        if name.trim().is_empty() {
            return bad("it is blank");
        }
        if !name.chars().all(is_plain) {
            return bad("it must be one line of text without control characters");
        }
        Ok(name)
    }

    /// Checks schema and seeds; the number of seeds.
    pub(super) fn head(&self, raw: &Raw) -> Result<u32, RecipeError> {
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

    pub(super) fn network(
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
                    template: Graph::from(MlpSpec::new(1, &[], 1, 0.0)),
                });
            }
            (None, Some(RawNetwork::Mlp(raw))) => {
                let mlp = MlpSpec::new(1, &raw.hidden, 1, raw.dropout);
                mlp.check().map_err(|e| refuse(e.to_string()))?;
                (Graph::from(mlp), raw.inputs, raw.outputs)
            }
            (None, Some(RawNetwork::Static(raw))) => {
                let widths = [&[raw.width][..], &raw.hidden].concat();
                let graph = Graph::feed_forward(TEXT, &widths, 1, raw.dropout);
                graph.check().map_err(|e| refuse(e.to_string()))?;
                (graph, None, raw.outputs)
            }
            (None, Some(RawNetwork::Encoder(raw))) => {
                let spec = EncoderSpec {
                    intermediate: raw.intermediate.unwrap_or(raw.width.saturating_mul(4)),
                    dropout: raw.dropout,
                    head: Head::Classifier { pooling: raw.pooling, outputs: 1 },
                    ..EncoderSpec::new(raw.width, raw.layers, raw.heads)
                };
                spec.check().map_err(|e| refuse(e.to_string()))?;
                (Graph::from(spec), None, raw.outputs)
            }
            (None, Some(RawNetwork::Attention(raw))) => {
                let attention = AttentionSpec {
                    inputs: 1,
                    width: raw.width,
                    head_width: raw.head_width,
                    layers: raw.layers,
                    outputs: 1,
                    dropout: raw.dropout,
                    tokens: raw.tokens,
                    ranks: Ranks::new(),
                };
                attention.check().map_err(|e| refuse(e.to_string()))?;
                (Graph::from(attention), raw.inputs, raw.outputs)
            }
        };
        let (of_inputs, inputs) = self.located(inputs);
        let (of_outputs, outputs) = self.located(outputs);
        (lines.inputs, lines.outputs) = (of_inputs, of_outputs);
        Ok(NetworkRecipe { path: None, inputs, outputs, template })
    }

    pub(super) fn data(
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
        lines.read = of_read;
        let refuse = |line, e: TextError| RecipeError { file: self.file.into(), line, why: e.to_string() };
        options.split.check().map_err(|e| refuse(of_read, e))?;
        let encoder = self.encoder(raw.encoder, folder)?;
        let source = raw.files.map(|files| files.below(folder));
        // Every run reads them anew; one that is not there is told where it is read.
        let unlabelled = raw.unlabelled.map(|files| files.below(folder));
        let more = unlabelled.iter().flat_map(Files::paths).map(PathBuf::as_path);
        for path in source.iter().flat_map(Source::paths).chain(more) {
            regular(path).map_err(|why| self.refuse(Some(at), why))?;
        }
        Ok(DataRecipe { corpus: raw.corpus, source, unlabelled, options, encoder, class_weights: None })
    }

    /// The table of training: how the first model is trained, and what beside it every model is told.
    pub(super) fn train(&self, raw: Option<Spanned<Table>>, lines: &mut Lines) -> Result<Train, RecipeError> {
        let Some(raw) = raw else { return Ok(Train::default()) };
        let at = raw.span().start;
        lines.train = Some(self.line(at));
        let mut table = raw.into_inner();
        let (weights, threshold) = (table.remove("class_weights"), table.remove("threshold"));
        let (of_weights, weights) = self.located(weights);
        let (of_threshold, threshold) = self.located(threshold);
        (lines.class_weights, lines.threshold) = (of_weights, of_threshold);
        let refuse = |line: Option<usize>, e: toml::de::Error| RecipeError {
            file: self.file.into(),
            line: line.or(Some(self.line(at))),
            why: told(&e),
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

    pub(super) fn controls(
        &self,
        raw: Option<Spanned<Controls>>,
        train: &TrainConfig,
        lines: &mut Lines,
    ) -> Result<Controls, RecipeError> {
        let (line, controls) = self.located(raw);
        lines.controls = line;
        let controls = controls.unwrap_or_default();
        let refuse = |why: String| {
            let why = format!("controls: more_epochs: {why}");
            Err(RecipeError { file: self.file.into(), line, why })
        };
        match (controls.more_epochs, train) {
            (Some(epochs @ 1..), TrainConfig::Gradient(train)) => {
                train.clone().with_epochs(epochs).map(|_| ()).or_else(|e| refuse(e.to_string()))?;
            }
            (Some(epochs @ 1..), TrainConfig::CoordinateDescent(_)) => refuse(format!(
                "it is {epochs}, but it must be 0 or left out: the solver of [train] ends at the optimum, from which there is \
                 nowhere to go"
            ))?,
            (None | Some(0), _) => {}
        }
        Ok(controls)
    }

    /// Plain `[[steps]]`: a chain in which every step is a row of its own.
    pub(super) fn chain(&self, steps: Vec<Spanned<RawStep>>) -> Result<Vec<Variant>, RecipeError> {
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
            let teacher = Teaching::default();
            variants.push(Variant { id, family, parent, teacher, steps: vec![step], line });
        }
        Ok(variants)
    }

    pub(super) fn variant(&self, raw: Spanned<RawVariant>) -> Result<Variant, RecipeError> {
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
            teacher: raw.teacher.map_or_else(|| Ok(Teaching::default()), |t| self.teaching(t, at))?,
            steps,
            line: self.line(at),
        })
    }

    fn teaching(&self, raw: RawTeacher, at: usize) -> Result<Teaching, RecipeError> {
        let file = match raw {
            RawTeacher::Row(id) => return Ok(Teaching::Row(id)),
            RawTeacher::File(file) => file,
        };
        let is_hash = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if let Some(bad) = file.sha256.as_deref().filter(|text| !is_hash(text)) {
            let why = format!("teacher: sha256 is \"{}\", but it must be 64 hexadecimal digits", shown(bad));
            return Err(self.refuse(Some(at), why));
        }
        let folder = Path::new(self.file).parent().unwrap_or(Path::new(""));
        let sha256 = file.sha256.map(|text| text.to_ascii_lowercase());
        Ok(Teaching::File(TeacherFile { path: folder.join(file.path), sha256 }))
    }

    fn step(&self, raw: Spanned<RawStep>) -> Result<Step, RecipeError> {
        let at = raw.span().start;
        let raw = raw.into_inner();
        let Some(kind) = kinds::find(&raw.kind) else {
            let why = format!("unknown technique \"{}\"; `nlpress techniques` lists them", shown(&raw.kind));
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
        let file = read.map(PathBuf::from);
        file.as_deref().map_or(Ok(()), regular).map_err(refuse)?;
        let technique = kind.read(&with).map_err(refuse)?;
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
    pub(super) fn names(&self, recipe: &Recipe) -> Result<(), RecipeError> {
        let mut known: BTreeSet<&str> = BTreeSet::from([TEACHER]);
        for variant in &recipe.variants {
            let line = Some(variant.line);
            let refuse = |why| Err(RecipeError { file: self.file.into(), line, why });
            let teacher = variant.teacher.row().map(|row| ("teacher", row));
            for (what, name) in [("from", variant.parent.as_str())].into_iter().chain(teacher) {
                if !known.contains(name) {
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
