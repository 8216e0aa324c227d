//! A candidate: features, the model that reads all of them, and what is made of it; and the recipe that says so.

use nlpress_core::seed::Rng;
use nlpress_text::EncoderConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The row of a recipe that a candidate is.
pub const ROW: &str = "fit";

/// Fewest words of a candidate.
pub(crate) const FEWEST: usize = 8;

/// What turns texts into what a base reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Reads {
    /// The tokenizer of the encoder that teaches: the base is that encoder, frozen, and a linear classifier behind it.
    Pretrained {
        /// SHA-256 of the encoder's artifact.
        pretrained: String,
    },
    /// Words or other features, without their order.
    Bag(EncoderConfig),
}

/// Rows of a batch where a table of token embeddings is trained: each step moves all of it, so that few large steps are faster
/// than many small ones.
const TABLE_BATCH: usize = 64;

/// What the strongest model of some features is, from which students are cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Base {
    /// Text to features or tokens.
    pub encoder: Reads,
    /// Widths of the hidden layers; none is a linear model.
    pub hidden: Vec<usize>,
    /// Dropout rate after each hidden layer.
    pub dropout: f64,
    /// How it is trained.
    pub fit: Training,
}

/// The part of a training on labels that is searched.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Training {
    /// A linear model, to the optimum of the squared hinge with a penalty on weights.
    Optimum {
        /// What an error costs beside the penalty.
        cost: f64,
    },
    /// Any network, by steps along gradients.
    Steps(Steps),
}

/// A training by steps along gradients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// Passes over the training documents.
    pub epochs: u32,
    /// The learning rate, which falls to zero in a straight line.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// What is reduced.
    pub loss: Loss,
}

/// The loss of a training on labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// The negative logarithm of the label's probability.
    #[default]
    CrossEntropy,
    /// Support vector machines of one class against the rest.
    SquaredHinge,
}

/// What is made of a base.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Student {
    /// Features that stay; all where there are no more.
    pub keep: usize,
    /// Whether words are ranked by the norm of their weights times the size of their values, or by the norm alone.
    pub contribution: bool,
    /// The network.
    pub how: How,
    /// For a linear model of many classes, the width between the two factors of its matrix; none for one matrix.
    pub rank: Option<usize>,
    /// Share of the connections that go; 0 for none.
    pub sparsity: f64,
    /// The numbers of the weights.
    pub numbers: Numbers,
}

/// Where a student's network comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// The base's own, trained on with the features that stay.
    Tuned(Training),
    /// A network of these hidden widths that learns from a teacher and from the labels.
    Distilled {
        /// Widths of the hidden layers; none is a linear model.
        hidden: Vec<usize>,
        /// What logits are divided by.
        temperature: f64,
        /// Share of the teacher in the loss.
        alpha: f64,
        /// Whether the teacher is the artifact that the search was given, and not the base.
        by_file: bool,
        /// How it is trained.
        fit: Steps,
    },
    /// The base's own, as it is: of an encoder.
    Frozen,
    /// What the base's encoder makes of each token alone, in so many numbers, whose mean stands for a text; then it learns from the
    /// teacher and from the labels.
    Static {
        /// Numbers of a token.
        width: usize,
        /// What logits are divided by.
        temperature: f64,
        /// Share of the teacher in the loss.
        alpha: f64,
        /// How it is trained.
        fit: Steps,
    },
}

/// What the weights of a student are stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Numbers {
    /// Integers of 8 bits, rounded after training.
    Int8,
    /// Integers of 4 bits, rounded after training.
    Int4,
    /// Integers of 4 bits, trained as such.
    Int4Trained,
    /// Integers of 3 bits, trained as such.
    Int3,
    /// Integers of 2 bits, trained as such.
    Int2,
    /// −1, 0 or 1, trained as such.
    Ternary,
}

/// A base and what is made of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// What it starts from.
    pub base: Base,
    /// What it becomes.
    pub student: Student,
}

impl Training {
    fn table(&self) -> Value {
        match self {
            Self::Optimum { cost } => json!({ "solver": "coordinate_descent", "cost": cost }),
            Self::Steps(steps) => steps.table(),
        }
    }

    /// What may follow where numbers change in ways that only steps can train: so many epochs of the same loss.
    fn steps(&self, epochs: u32, learning_rate: f64) -> Steps {
        match self {
            Self::Optimum { .. } => {
                Steps { epochs, learning_rate, weight_decay: 0.1, loss: Loss::SquaredHinge }
            }
            Self::Steps(steps) => Steps { epochs, learning_rate, ..*steps },
        }
    }
}

impl Steps {
    fn table(&self) -> Value {
        let Self { epochs, learning_rate, weight_decay, loss } = *self;
        let mut table = json!({ "epochs": epochs, "learning_rate": learning_rate, "schedule": "linear" });
        if weight_decay > 0.0 {
            table["weight_decay"] = json!(weight_decay);
        }
        if loss != Loss::CrossEntropy {
            table["loss"] = json!(loss);
        }
        table
    }
}

/// A training with batches of so many rows.
fn batched(mut train: Value, batch: Option<usize>) -> Value {
    if let Some(batch) = batch {
        train["batch"] = json!(batch);
    }
    train
}

impl Base {
    /// The features that it reads, where it reads such.
    pub(crate) fn bag(&self) -> Option<&EncoderConfig> {
        match &self.encoder {
            Reads::Bag(bag) => Some(bag),
            Reads::Pretrained { .. } => None,
        }
    }

    /// Whether its tokens are hashed, so that none can be chosen.
    pub(crate) fn is_hashed(&self) -> bool {
        self.bag().is_some_and(|bag| bag.hashed)
    }

    /// The recipe of the base alone, without its data; `teacher` is the table of what teaches, which names the encoder of a base
    /// that is one.
    pub(crate) fn recipe(&self, seed: u64, teacher: Option<&Value>) -> Value {
        let fit = self.fit.table();
        let mlp = match self.hidden.is_empty() {
            true => json!({ "hidden": [] }),
            false => json!({ "hidden": self.hidden, "dropout": self.dropout }),
        };
        let (model, data) = match &self.encoder {
            Reads::Bag(bag) => (json!({ "network": { "mlp": mlp } }), json!({ "encoder": bag })),
            Reads::Pretrained { .. } => {
                (json!({ "path": teacher.map(|teacher| &teacher["path"]) }), json!({}))
            }
        };
        json!({
            "schema": 1,
            "name": ROW,
            "seed": seed,
            "seeds": 1,
            "model": model,
            "data": data,
            "train": fit,
            "controls": { "linear": false, "more_epochs": 0, "student": [] },
        })
    }
}

impl Numbers {
    /// All, the widest first.
    pub(crate) const ALL: [Self; 6] =
        [Self::Int8, Self::Int4, Self::Int4Trained, Self::Int3, Self::Int2, Self::Ternary];

    /// The name of the integers.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Int4 => "int4",
            Self::Int4Trained => "int4 (trained)",
            Self::Int3 => "int3",
            Self::Int2 => "int2",
            Self::Ternary => "ternary",
        }
    }

    /// The step that makes them, after a training of this kind, in batches of so many rows where it is not as usual.
    fn step(self, fit: &Training, batch: Option<usize>) -> Value {
        let trained = |grid: &str| {
            let mut train = batched(fit.steps(5, 1e-2).table(), batch);
            train["clip_norm"] = json!(1.0);
            json!({ "use": "quant.qat", "with": { "grid": grid, "train": train } })
        };
        match self {
            Self::Int8 => json!({ "use": "quant.int8" }),
            Self::Int4 => json!({ "use": "quant.int4", "with": { "clip": "mse" } }),
            Self::Int4Trained => trained("int4"),
            Self::Int3 => trained("int3"),
            Self::Int2 => trained("int2"),
            Self::Ternary => trained("ternary"),
        }
    }
}

impl Candidate {
    /// The recipe whose row [`ROW`] is the candidate; `width` is the number of features of its encoder, and `teacher` the
    /// table of the artifact that teaches, where there is one.
    pub(crate) fn recipe(&self, seed: u64, width: usize, teacher: Option<&Value>) -> Value {
        let Student { keep, contribution, how, rank, sparsity, numbers } = &self.student;
        let mut steps = Vec::new();
        let more = |fit: &Training| json!({ "use": "train.more", "with": { "fit": fit.table() } });
        let tuned = if let (How::Tuned(fit), None) = (how, rank) { Some(fit) } else { None };
        if *keep < width {
            let mut with = json!({ "keep": keep });
            if *contribution {
                with["by"] = json!("contribution");
            }
            if let Some(fit) = tuned {
                with["finetune"] = fit.table();
            }
            let by = if self.base.bag().is_some() { "select.norm" } else { "select.frequency" };
            steps.push(json!({ "use": by, "with": with }));
        } else if let Some(fit) = tuned {
            let is_there = matches!(fit, Training::Optimum { .. }) && *fit == self.base.fit;
            steps.extend((!is_there).then(|| more(fit)));
        }
        let fit = match (how, rank) {
            (How::Tuned(fit), None) => *fit,
            (How::Tuned(fit), Some(rank)) => {
                let with = json!({ "rank": rank, "finetune": fit.table() });
                steps.push(json!({ "use": "prune.low_rank", "on": ["output"], "with": with }));
                *fit
            }
            (How::Distilled { hidden, temperature, alpha, fit, .. }, _) => {
                steps.push(json!({ "use": "distill.student", "with": {
                    "hidden": hidden, "temperature": temperature, "alpha": alpha, "fit": fit.table(),
                } }));
                Training::Steps(*fit)
            }
            (How::Frozen, _) => self.base.fit,
            (How::Static { width, temperature, alpha, fit }, _) => {
                steps.push(json!({ "use": "distill.static", "with": { "width": width } }));
                steps.push(json!({ "use": "distill.student", "with": {
                    "from": "model", "temperature": temperature, "alpha": alpha,
                    "fit": batched(fit.table(), Some(TABLE_BATCH)),
                } }));
                Training::Steps(*fit)
            }
        };
        match fit {
            _ if *sparsity == 0.0 => {}
            Training::Optimum { .. } => {
                steps.push(json!({ "use": "prune.magnitude", "with": { "sparsity": sparsity } }));
                steps.push(more(&fit));
            }
            Training::Steps(_) => {
                let finetune = fit.steps(4, 2e-3).table();
                let with =
                    json!({ "sparsity": sparsity, "schedule": "cubic", "steps": 4, "finetune": finetune });
                steps.push(json!({ "use": "prune.magnitude", "with": with }));
            }
        }
        let batch = matches!(how, How::Static { .. }).then_some(TABLE_BATCH);
        steps.push(numbers.step(&fit, batch));
        let mut recipe = self.base.recipe(seed, teacher);
        let mut variant = json!({ "id": ROW, "steps": steps });
        if let (true, Some(teacher)) = (self.is_taught_by_file(), teacher) {
            variant["teacher"] = teacher.clone();
        }
        recipe["variants"] = json!([variant]);
        recipe
    }

    /// Whether it learns from what the search was given as a teacher.
    pub(crate) fn is_taught_by_file(&self) -> bool {
        matches!(self.student.how, How::Distilled { by_file: true, .. } | How::Static { .. })
    }

    /// Roughly what it takes to make: passes over the documents, each as long as its first matrix is wide.
    pub(crate) fn cost(&self, outputs: usize) -> f64 {
        let Student { how, rank, sparsity, numbers, .. } = &self.student;
        let (epochs, pruning) = match how {
            How::Tuned(Training::Optimum { .. }) => (2, 2),
            How::Tuned(Training::Steps(fit)) | How::Distilled { fit, .. } => (fit.epochs, 16),
            // The vocabulary goes through the encoder, or all validation documents do.
            How::Frozen | How::Static { .. } => (1000, 0),
        };
        let pruning = if *sparsity > 0.0 { pruning } else { 0 };
        let rounding = if matches!(numbers, Numbers::Int8 | Numbers::Int4) { 0 } else { 5 };
        let width = rank.unwrap_or_else(|| self.hidden().first().copied().unwrap_or(outputs));
        f64::from(epochs + pruning + rounding) * (8 + width) as f64
    }

    /// Whether another is the same but for a few words more or less.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let near = self.student.keep.abs_diff(other.student.keep) * 25 < self.student.keep;
        near && *self
            == Self { student: Student { keep: self.student.keep, ..other.student.clone() }, ..other.clone() }
    }

    /// Whether its bytes are known before it is made: those of pruned entries depend on which they are.
    pub(crate) fn is_exact(&self) -> bool {
        self.student.sparsity == 0.0
    }

    /// Hidden widths of what it becomes.
    pub(crate) fn hidden(&self) -> &[usize] {
        match &self.student.how {
            How::Tuned(_) => &self.base.hidden,
            How::Distilled { hidden, .. } => hidden,
            How::Frozen | How::Static { .. } => &[],
        }
    }

    /// The network, in a few words.
    pub(crate) fn network(&self) -> String {
        match (&self.student.how, self.hidden(), self.student.rank) {
            (How::Frozen, ..) => "the frozen encoder and a linear probe".to_owned(),
            (How::Static { width, .. }, ..) => format!("static embeddings of {width} numbers"),
            (_, [], None) => "linear".to_owned(),
            (_, [], Some(rank)) => format!("linear of rank {rank}"),
            (_, hidden, _) => {
                format!("mlp {}", hidden.iter().map(ToString::to_string).collect::<Vec<_>>().join("-"))
            }
        }
    }

    /// One line: features, network, numbers.
    pub(crate) fn told(&self) -> String {
        let network = self.network();
        let taught = match self.student.how {
            How::Distilled { by_file: true, .. } | How::Static { .. } => ", distilled from the teacher",
            How::Distilled { by_file: false, .. } => ", distilled",
            How::Tuned(_) | How::Frozen => "",
        };
        let numbers = self.student.numbers.name();
        let sparse = match self.student.sparsity {
            0.0 => String::new(),
            share => format!(", {:.0} % of connections pruned", 100.0 * share),
        };
        format!(
            "{} {}, {network}{taught}{sparse}, {numbers}",
            self.student.keep,
            features(&self.base.encoder)
        )
    }
}

/// What the features are, in a few words.
pub(crate) fn features(encoder: &Reads) -> String {
    use nlpress_text::Analyzer;
    let Reads::Bag(encoder) = encoder else { return "tokens of the teacher".into() };
    let [fewest, most] = encoder.word_ngrams;
    let symbols = if encoder.symbols { " and symbols" } else { "" };
    let cut = match encoder.analyzer {
        Analyzer::Characters { min, max, within_words } => {
            format!("{min}–{max} characters{}", if within_words { " within words" } else { "" })
        }
        Analyzer::Words { .. } if (fewest, most) == (1, 1) => format!("words{symbols}"),
        Analyzer::Words { .. } => format!("runs of {fewest}–{most} words{symbols}"),
    };
    if encoder.hashed { format!("buckets of {cut}") } else { cut }
}

/// One of some values.
pub(crate) fn pick<T: Clone>(of: &[T], rng: &mut Rng) -> T {
    of[rng.below(of.len())].clone()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use nlpress_pipeline::Recipe;

    pub(crate) fn candidate() -> Candidate {
        let fit = Steps { epochs: 3, learning_rate: 5e-3, weight_decay: 0.0, loss: Loss::CrossEntropy };
        let fit = Training::Steps(fit);
        Candidate {
            base: Base { encoder: Reads::Bag(EncoderConfig::default()), hidden: vec![8], dropout: 0.2, fit },
            student: Student {
                keep: 50,
                contribution: true,
                how: How::Tuned(fit),
                rank: None,
                sparsity: 0.5,
                numbers: Numbers::Int2,
            },
        }
    }

    #[test]
    fn every_form_is_a_recipe() {
        let fit = Steps { epochs: 2, learning_rate: 3e-3, weight_decay: 0.01, loss: Loss::SquaredHinge };
        let of_teacher = Steps { loss: Loss::CrossEntropy, ..fit };
        let distilled =
            How::Distilled { hidden: vec![4], temperature: 2.0, alpha: 0.7, by_file: true, fit: of_teacher };
        let teacher = json!({ "path": "teacher.safetensors", "sha256": "0".repeat(64) });
        let exact = How::Tuned(Training::Optimum { cost: 0.25 });
        let tuned = How::Tuned(Training::Steps(fit));
        for (how, ranks) in [(tuned, &[None, Some(3)][..]), (distilled, &[None]), (exact, &[None])] {
            for (numbers, rank) in Numbers::ALL.into_iter().flat_map(|n| ranks.iter().map(move |r| (n, *r))) {
                for (keep, sparsity) in [(50, 0.0), (1000, 0.8)] {
                    let mut candidate = candidate();
                    candidate.student =
                        Student { keep, contribution: false, how: how.clone(), rank, sparsity, numbers };
                    let mut recipe = candidate.recipe(7, 1000, Some(&teacher));
                    recipe["data"]["corpus"] = json!("embedded");
                    let text = toml::to_string(&recipe).unwrap();
                    let recipe = Recipe::parse(&text, "fit.toml").unwrap_or_else(|e| panic!("{e}\n{text}"));
                    assert_eq!((recipe.seed, recipe.variants.len()), (7, 1));
                }
            }
        }
    }
}
