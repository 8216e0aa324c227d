//! What a user wrote: read from TOML, then checked, with line numbers kept for whatever is wrong later.

use nlpress_core::select::BadSelector;
use nlpress_core::{Selectors, files};
use nlpress_model::{AttentionSpec, BlockSpec, MlpSpec, Ranks, Spec};
use nlpress_technique::{Kind, Technique};
use nlpress_text::{CorpusOptions, EncoderConfig, Source};
use nlpress_train::FitConfig;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use toml::Spanned;

use crate::kinds;

/// Largest recipe file.
const LARGEST: u64 = 1 << 20;
/// Most repetitions with different seeds.
const MOST_SEEDS: u32 = 100;
/// The row that every variant descends from.
pub const TEACHER: &str = "teacher";

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
    /// The rows to make, in an order in which every parent comes before its children.
    pub variants: Vec<Variant>,
    /// What is reported beside them.
    pub controls: Controls,
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
}

/// One row of the report to make.
#[derive(Debug)]
pub struct Variant {
    /// Its name.
    pub id: String,
    /// Family it is reported under; `chain` when its steps are of several.
    pub family: String,
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
    model: RawModel,
    data: Spanned<RawData>,
    #[serde(default)]
    train: FitConfig,
    #[serde(default)]
    controls: Option<Spanned<Controls>>,
    #[serde(default)]
    steps: Vec<Spanned<RawStep>>,
    #[serde(default)]
    variants: Vec<Spanned<RawVariant>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModel {
    #[serde(default)]
    path: Option<PathBuf>,
    #[serde(default)]
    network: Option<RawNetwork>,
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
    inputs: Option<usize>,
    #[serde(default)]
    hidden: Vec<usize>,
    #[serde(default)]
    outputs: Option<usize>,
    #[serde(default)]
    dropout: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAttention {
    #[serde(default)]
    inputs: Option<usize>,
    width: usize,
    head_width: usize,
    #[serde(default)]
    layers: Vec<BlockSpec>,
    #[serde(default)]
    outputs: Option<usize>,
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
        let bytes = files::read_bounded(path, LARGEST).map_err(|e| refuse(e.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|e| {
            let before = &e.as_bytes()[..e.utf8_error().valid_up_to()];
            let line = 1 + before.iter().filter(|b| **b == b'\n').count();
            RecipeError { file: file.clone(), line: Some(line), why: "it is not UTF-8".into() }
        })?;
        Self::parse(&text, &file)
    }

    /// Something that is wrong with this recipe as a whole.
    pub(crate) fn refuse(&self, why: impl std::fmt::Display) -> RecipeError {
        RecipeError { file: self.path.clone(), line: None, why: why.to_string() }
    }

    /// Reads the text of a recipe; `file` names it in errors.
    ///
    /// # Errors
    /// [`RecipeError`] for text that is not TOML, unknown keys, kinds and settings, bad selectors, rows that are
    /// named twice, and parents or teachers that do not come before.
    pub fn parse(text: &str, file: &str) -> Result<Self, RecipeError> {
        let reader = Reader { text, file };
        let raw: Raw =
            toml::from_str(text).map_err(|e| reader.refuse(e.span().map(|s| s.start), e.message()))?;
        if *raw.schema.get_ref() != 1 {
            let why = format!("schema is {}, but this version reads 1", raw.schema.get_ref());
            return Err(reader.refuse(Some(raw.schema.span().start), why));
        }
        let seeds = raw.seeds.as_ref().map_or(1, |s| *s.get_ref());
        if !(1..=MOST_SEEDS).contains(&seeds) {
            let at = raw.seeds.as_ref().map(|s| s.span().start);
            return Err(
                reader.refuse(at, format!("seeds is {seeds}, but it must be between 1 and {MOST_SEEDS}"))
            );
        }
        let folder = Path::new(file).parent().unwrap_or(Path::new(""));
        let network = reader.network(raw.model, folder)?;
        let data = reader.data(raw.data, folder)?;
        let mut variants = reader.chain(raw.steps)?;
        for variant in raw.variants {
            variants.push(reader.variant(variant)?);
        }
        let controls = reader.controls(raw.controls, &raw.train)?;
        let stem = Path::new(file).file_stem().map_or("recipe".into(), |s| s.to_string_lossy().into_owned());
        let recipe = Self {
            name: raw.name.unwrap_or(stem),
            path: file.into(),
            sha256: files::sha256_hex(text.as_bytes()),
            seed: raw.seed,
            seeds,
            network,
            data,
            train: raw.train,
            variants,
            controls,
        };
        reader.names(&recipe)?;
        Ok(recipe)
    }
}

/// The text being read, to find line numbers in.
struct Reader<'a> {
    text: &'a str,
    file: &'a str,
}

impl Reader<'_> {
    fn refuse(&self, at: Option<usize>, why: impl Into<String>) -> RecipeError {
        RecipeError { file: self.file.into(), line: at.map(|at| self.line(at)), why: why.into() }
    }

    fn line(&self, at: usize) -> usize {
        1 + self.text.as_bytes().iter().take(at).filter(|b| **b == b'\n').count()
    }

    fn network(&self, raw: RawModel, folder: &Path) -> Result<NetworkRecipe, RecipeError> {
        match (raw.path, raw.network) {
            (Some(_), Some(_)) => Err(self.refuse(None, "model has both a path and a network: give one")),
            (None, None) => Err(self.refuse(None, "model has neither a path nor a network")),
            (Some(path), None) => Ok(NetworkRecipe {
                path: Some(folder.join(path)),
                inputs: None,
                outputs: None,
                template: Spec::Mlp(MlpSpec::new(1, &[], 1, 0.0)),
            }),
            (None, Some(RawNetwork::Mlp(mlp))) => Ok(NetworkRecipe {
                path: None,
                inputs: mlp.inputs,
                outputs: mlp.outputs,
                template: Spec::Mlp(MlpSpec::new(1, &mlp.hidden, 1, mlp.dropout)),
            }),
            (None, Some(RawNetwork::Attention(raw))) => Ok(NetworkRecipe {
                path: None,
                inputs: raw.inputs,
                outputs: raw.outputs,
                template: Spec::Attention(AttentionSpec {
                    inputs: 1,
                    width: raw.width,
                    head_width: raw.head_width,
                    layers: raw.layers,
                    outputs: 1,
                    dropout: raw.dropout,
                    tokens: raw.tokens,
                    ranks: Ranks::new(),
                }),
            }),
        }
    }

    fn data(&self, raw: Spanned<RawData>, folder: &Path) -> Result<DataRecipe, RecipeError> {
        let at = raw.span().start;
        let raw = raw.into_inner();
        if raw.corpus.is_some() == raw.files.is_some() {
            return Err(self.refuse(Some(at), "data needs either a corpus name or files, and not both"));
        }
        let options = match raw.read {
            Some(read) => {
                let checked = read.get_ref().split.check();
                checked.map_err(|e| self.refuse(Some(read.span().start), e.to_string()))?;
                read.into_inner()
            }
            None => CorpusOptions::default(),
        };
        let encoder = match raw.encoder {
            Some(encoder) => {
                let at = encoder.span().start;
                let read = encoder.into_inner().read(folder);
                read.map_err(|e| self.refuse(Some(at), e.to_string()))?
            }
            None => EncoderConfig::default(),
        };
        let source = raw.files.map(|files| match files {
            Source::One(path) => Source::One(folder.join(path)),
            Source::Splits { train, valid, test } => Source::Splits {
                train: folder.join(train),
                valid: valid.map(|p| folder.join(p)),
                test: test.map(|p| folder.join(p)),
            },
        });
        Ok(DataRecipe { corpus: raw.corpus, source, options, encoder })
    }

    fn controls(&self, raw: Option<Spanned<Controls>>, train: &FitConfig) -> Result<Controls, RecipeError> {
        let Some(raw) = raw else { return Ok(Controls::default()) };
        let (at, controls) = (raw.span().start, raw.into_inner());
        if controls.more_epochs > 0 {
            let more = train.clone().with_epochs(controls.more_epochs);
            more.map_err(|e| self.refuse(Some(at), format!("controls: more_epochs: {e}")))?;
        }
        Ok(controls)
    }

    /// Plain `[[steps]]`: a chain in which every step is a row of its own.
    fn chain(&self, steps: Vec<Spanned<RawStep>>) -> Result<Vec<Variant>, RecipeError> {
        let mut variants: Vec<Variant> = Vec::new();
        for raw in steps {
            let step = self.step(raw)?;
            let repeats = variants.iter().filter(|v| v.steps[0].kind.name == step.kind.name).count();
            let id = match repeats {
                0 => step.kind.name.to_owned(),
                n => format!("{}.{}", step.kind.name, n + 1),
            };
            let parent = variants.last().map_or(TEACHER.into(), |v| v.id.clone());
            let family = step.kind.family.to_string();
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
        let families: BTreeSet<String> = steps.iter().map(|s| s.kind.family.to_string()).collect();
        let family = match families.len() {
            1 => families.into_iter().next().unwrap_or_default(),
            _ => "chain".into(),
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
        // A file that a technique reads is named relative to the recipe's folder.
        let mut with = raw.with;
        if let Some(toml::Value::String(file)) = with.get_mut("file") {
            let folder = Path::new(self.file).parent().unwrap_or(Path::new(""));
            *file = folder.join(&*file).display().to_string();
        }
        let technique =
            (kind.parse)(&with).map_err(|e| self.refuse(Some(at), format!("{}: {e}", raw.kind)))?;
        let max_drop = raw.gate.map(|g| g.max_drop);
        if let Some(drop) = max_drop.filter(|d| !(d.is_finite() && *d >= 0.0)) {
            return Err(
                self.refuse(Some(at), format!("max_drop is {drop}, but it must be at least 0 points"))
            );
        }
        Ok(Step { kind, on, technique, max_drop, line: self.line(at) })
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
