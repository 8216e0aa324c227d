//! A candidate: features, the model that reads all of them, and what is made of it; and the recipe that says so.

use nlpress_text::EncoderConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The row of a recipe that a candidate is.
pub const ROW: &str = "fit";

/// What the strongest model of some features is, from which students are cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Base {
    /// Text to features.
    pub encoder: EncoderConfig,
    /// Widths of the hidden layers; none is a linear model.
    pub hidden: Vec<usize>,
    /// Dropout rate after each hidden layer.
    pub dropout: f64,
    /// How it is trained.
    pub fit: Training,
}

/// The part of a training that is searched.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Passes over the training documents.
    pub epochs: u32,
    /// Adam's learning rate, which falls to zero in a straight line.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
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
    /// A network of these hidden widths that learns from the base and from the labels.
    Distilled {
        /// Widths of the hidden layers; none is a linear model.
        hidden: Vec<usize>,
        /// What logits are divided by.
        temperature: f64,
        /// Share of the base in the loss.
        alpha: f64,
        /// How it is trained.
        fit: Training,
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
        let Self { epochs, learning_rate, weight_decay } = *self;
        let mut table = json!({ "epochs": epochs, "learning_rate": learning_rate, "schedule": "linear" });
        if weight_decay > 0.0 {
            table["weight_decay"] = json!(weight_decay);
        }
        table
    }
}

impl Base {
    /// The recipe of the base alone, without its data and with an encoder that is `encoder`.
    pub(crate) fn recipe(&self, seed: u64) -> Value {
        let fit = self.fit.table();
        let mlp = match self.hidden.is_empty() {
            true => json!({ "hidden": [] }),
            false => json!({ "hidden": self.hidden, "dropout": self.dropout }),
        };
        json!({
            "schema": 1,
            "name": ROW,
            "seed": seed,
            "seeds": 1,
            "model": { "network": { "mlp": mlp } },
            "data": { "encoder": self.encoder },
            "train": fit,
            "controls": { "linear": false, "more_epochs": 0, "student": [] },
        })
    }
}

impl Numbers {
    /// Bits of a weight.
    pub(crate) fn bits(self) -> f64 {
        match self {
            Self::Int8 => 8.0,
            Self::Int4 => 4.0,
            Self::Int2 => 2.0,
            Self::Ternary => 1.6,
        }
    }

    fn step(self) -> Value {
        let trained = |grid: &str| json!({ "use": "quant.qat", "with": { "grid": grid, "train": { "epochs": 5, "learning_rate": 1e-2, "schedule": "linear", "clip_norm": 1.0 } } });
        match self {
            Self::Int8 => json!({ "use": "quant.int8" }),
            Self::Int4 => json!({ "use": "quant.int4" }),
            Self::Int2 => trained("int2"),
            Self::Ternary => trained("ternary"),
        }
    }
}

impl Candidate {
    /// The recipe whose row [`ROW`] is the candidate; `width` is the number of features of its encoder.
    pub(crate) fn recipe(&self, seed: u64, width: usize) -> Value {
        let Student { keep, contribution, how, sparsity, numbers } = &self.student;
        let mut steps = Vec::new();
        let tuned = match how {
            How::Tuned(fit) if fit.epochs > 0 => Some(fit.table()),
            _ => None,
        };
        if *keep < width {
            let mut with = json!({ "keep": keep });
            if *contribution {
                with["by"] = json!("contribution");
            }
            if let Some(fit) = &tuned {
                with["finetune"] = fit.clone();
            }
            steps.push(json!({ "use": "select.norm", "with": with }));
        } else if let Some(fit) = &tuned {
            steps.push(json!({ "use": "train.more", "with": { "fit": fit } }));
        }
        if let How::Distilled { hidden, temperature, alpha, fit } = how {
            steps.push(json!({ "use": "distill.student", "with": {
                "hidden": hidden, "temperature": temperature, "alpha": alpha, "fit": fit.table(),
            } }));
        }
        if *sparsity > 0.0 {
            let finetune = json!({ "epochs": 4, "learning_rate": 2e-3, "schedule": "linear" });
            let with = json!({ "sparsity": sparsity, "schedule": "cubic", "steps": 4, "finetune": finetune });
            steps.push(json!({ "use": "prune.magnitude", "with": with }));
        }
        steps.push(numbers.step());
        let mut recipe = self.base.recipe(seed);
        recipe["variants"] = json!([{ "id": ROW, "steps": steps }]);
        recipe
    }

    /// Whether another is the same but for a few words more or less.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let near = self.student.keep.abs_diff(other.student.keep) * 25 < self.student.keep;
        near && *self
            == Self { student: Student { keep: self.student.keep, ..other.student.clone() }, ..other.clone() }
    }

    /// Hidden widths of what it becomes.
    pub(crate) fn hidden(&self) -> &[usize] {
        match &self.student.how {
            How::Tuned(_) => &self.base.hidden,
            How::Distilled { hidden, .. } => hidden,
        }
    }

    /// One line: features, network, numbers.
    pub(crate) fn told(&self) -> String {
        let network = match self.hidden() {
            [] => "linear".to_owned(),
            hidden => format!("mlp {}", hidden.iter().map(ToString::to_string).collect::<Vec<_>>().join("-")),
        };
        let taught = if matches!(self.student.how, How::Distilled { .. }) { ", distilled" } else { "" };
        let numbers = match self.student.numbers {
            Numbers::Int8 => "int8",
            Numbers::Int4 => "int4",
            Numbers::Int2 => "int2",
            Numbers::Ternary => "ternary",
        };
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
pub(crate) fn features(encoder: &EncoderConfig) -> String {
    use nlpress_text::Analyzer;
    let [fewest, most] = encoder.word_ngrams;
    let symbols = if encoder.symbols { " and symbols" } else { "" };
    match encoder.analyzer {
        Analyzer::Characters { min, max, within_words } => {
            format!("{min}–{max} characters{}", if within_words { " within words" } else { "" })
        }
        Analyzer::Words { .. } if (fewest, most) == (1, 1) => format!("words{symbols}"),
        Analyzer::Words { .. } => format!("runs of {fewest}–{most} words{symbols}"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use nlpress_pipeline::Recipe;

    pub(crate) fn candidate() -> Candidate {
        let fit = Training { epochs: 3, learning_rate: 5e-3, weight_decay: 0.0 };
        Candidate {
            base: Base { encoder: EncoderConfig::default(), hidden: vec![8], dropout: 0.2, fit },
            student: Student {
                keep: 50,
                contribution: true,
                how: How::Tuned(fit),
                sparsity: 0.5,
                numbers: Numbers::Int2,
            },
        }
    }

    #[test]
    fn every_form_is_a_recipe() {
        let fit = Training { epochs: 2, learning_rate: 3e-3, weight_decay: 0.01 };
        let distilled = How::Distilled { hidden: vec![4], temperature: 2.0, alpha: 0.7, fit };
        for how in [How::Tuned(fit), distilled] {
            for numbers in [Numbers::Int8, Numbers::Int4, Numbers::Int2, Numbers::Ternary] {
                for (keep, sparsity) in [(50, 0.0), (1000, 0.8)] {
                    let mut candidate = candidate();
                    candidate.student =
                        Student { keep, contribution: false, how: how.clone(), sparsity, numbers };
                    let mut recipe = candidate.recipe(7, 1000);
                    recipe["data"]["corpus"] = json!("embedded");
                    let text = toml::to_string(&recipe).unwrap();
                    let recipe = Recipe::parse(&text, "fit.toml").unwrap_or_else(|e| panic!("{e}\n{text}"));
                    assert_eq!((recipe.seed, recipe.variants.len()), (7, 1));
                }
            }
        }
    }
}
