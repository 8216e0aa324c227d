//! What a user wrote: read from TOML, then checked, with line numbers kept for whatever is wrong later.

mod encoder;
mod raw;
mod reader;

use nlpress_core::{Selectors, files};
use nlpress_model::Graph;
use nlpress_technique::{Kind, Technique};
use nlpress_text::{CorpusOptions, EncoderTable, Files, Source, StopWords, TextError};
use nlpress_train::{ClassWeights, FitConfig, TrainConfig};
use serde::Deserialize;
use std::path::{Path, PathBuf};

use crate::data_error::DataError;
use crate::report::{ALIKE_POINTS, Family};
use crate::threshold::Threshold;
use raw::Raw;
use reader::Reader;

/// Largest recipe file.
const LARGEST: u64 = 1 << 20;
/// Most repetitions with different seeds.
const MOST_SEEDS: u32 = 100;
/// Epochs that a teacher usually trains on without compression.
pub const MORE_EPOCHS: u32 = 3;
/// The row that every variant descends from.
pub const TEACHER: &str = "teacher";
/// The control that is a linear model.
pub(crate) const LINEAR: &str = "control.linear";
/// The control that goes on training.
pub(crate) const MORE: &str = "control.more";
/// The control that is a student without a teacher.
pub(crate) const STUDENT: &str = "control.student";

/// An artifact that a recipe names as a teacher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeacherFile {
    /// Where it is.
    pub path: PathBuf,
    /// The SHA-256 that it must have, where one is given.
    pub sha256: Option<String>,
}

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
    pub train: TrainConfig,
    /// Where models of two classes decide, when it is not at one half.
    pub threshold: Option<Threshold>,
    /// The rows to make, in an order in which every parent comes before its children.
    pub variants: Vec<Variant>,
    /// What is reported beside them.
    pub controls: Controls,
    /// How the report judges.
    pub report: ReportRecipe,
    /// Whether it is run on few documents and short timings, only to see that everything runs.
    pub quick: bool,
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
    /// How the first model is trained.
    pub train: Option<usize>,
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
    pub template: Graph,
}

/// The data of a recipe.
#[derive(Clone, Debug)]
pub struct DataRecipe {
    /// `embedded`, the name of a fetched corpus, or none when files are given.
    pub corpus: Option<String>,
    /// Files.
    pub source: Option<Source>,
    /// Files of texts without labels, which students learn from by what their teacher says of them.
    pub unlabelled: Option<Files>,
    /// How they are read.
    pub options: CorpusOptions,
    /// How texts become rows or tokens.
    pub encoder: EncoderTable,
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
    /// What distillation learns from.
    pub teacher: Teaching,
    /// What is done.
    pub steps: Vec<Step>,
    /// Line of the recipe.
    pub line: usize,
}

/// What distillation learns from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Teaching {
    /// A row of the recipe.
    Row(String),
    /// An artifact.
    File(TeacherFile),
}

impl Default for Teaching {
    fn default() -> Self {
        Self::Row(TEACHER.into())
    }
}

impl Teaching {
    /// The row, where it is one.
    pub fn row(&self) -> Option<&str> {
        match self {
            Self::Row(id) => Some(id),
            Self::File(_) => None,
        }
    }
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
    /// Epochs that the teacher trains on without compression; 0 for none. When it is not given, [`MORE_EPOCHS`], or none where the
    /// teacher is trained to its optimum.
    pub more_epochs: Option<u32>,
    /// Hidden widths of a student that is trained alone; empty for none.
    pub student: Vec<usize>,
    /// How the linear model and the student are trained, where it is otherwise than the first model: what suits a deep
    /// network may not suit them, and a control that is trained badly says nothing.
    pub train: Option<TrainConfig>,
}

impl Default for Controls {
    fn default() -> Self {
        Self { linear: true, more_epochs: None, student: vec![16], train: None }
    }
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
            DataError::ClassWeights { .. } => self.lines.class_weights,
            DataError::Origin(_) => self.lines.model,
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
        let unlabelled = self.data.unlabelled.iter().flat_map(Files::paths);
        all.extend(unlabelled.map(|path| ("the texts without labels", path.as_path())));
        all.extend(self.teachers().map(|(_, file)| ("the teacher", file.path.as_path())));
        match &self.data.encoder {
            EncoderTable::Bag(bag) => {
                if let StopWords::Lines { path, .. } = &bag.stop_words {
                    all.push(("the stop words", path));
                }
            }
            EncoderTable::Tokens(tokens) => {
                all.extend(tokens.file.as_deref().map(|path| ("the tokenizer", path)));
            }
        }
        let files = self.variants.iter().flat_map(|v| &v.steps).filter_map(|s| s.file.as_deref());
        all.extend(files.map(|file| ("a file of a step", file)));
        all
    }

    /// The artifacts that teach, each with the variant that learns from it.
    pub(crate) fn teachers(&self) -> impl Iterator<Item = (&Variant, &TeacherFile)> {
        self.variants.iter().filter_map(|variant| match &variant.teacher {
            Teaching::File(file) => Some((variant, file)),
            Teaching::Row(_) => None,
        })
    }

    /// The names of the rows that a run makes, controls included.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &str> {
        let Controls { linear, student, .. } = &self.controls;
        let more = self.training_on().is_some();
        let controls = [(*linear, LINEAR), (more, MORE), (!student.is_empty(), STUDENT)];
        let controls = controls.into_iter().filter_map(|(is, id)| is.then_some(id));
        std::iter::once(TEACHER).chain(controls).chain(self.variants.iter().map(|v| v.id.as_str()))
    }

    /// How the teacher trains on without compression, where it does.
    pub(crate) fn training_on(&self) -> Option<FitConfig> {
        let TrainConfig::Gradient(config) = &self.train else { return None };
        match self.controls.more_epochs.unwrap_or(MORE_EPOCHS) {
            0 => None,
            // The reader has looked at what was given.
            epochs => config.clone().with_epochs(epochs).ok(),
        }
    }

    /// How the linear control is trained.
    pub(crate) fn linear_train(&self) -> TrainConfig {
        self.controls.train.as_ref().unwrap_or(&self.train).clone()
    }

    /// How the student is trained that is a control: as the teacher, unless a solver of linear models trains that.
    pub(crate) fn student_train(&self) -> TrainConfig {
        match (&self.controls.train, &self.train) {
            (Some(train), _) => train.clone(),
            (None, TrainConfig::Gradient(train)) => train.clone().into(),
            (None, TrainConfig::CoordinateDescent(_)) => TrainConfig::default(),
        }
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
        let raw: Raw = toml::from_str(text).map_err(|e| reader.refuse_toml(&e))?;
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
        let name = reader.name(raw.name)?;
        let recipe = Self {
            name,
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
            quick: false,
            lines,
        };
        reader.names(&recipe)?;
        Ok(recipe)
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
