//! `distill.outputs`: a student imitates the teacher's outputs on the training rows, and sees no label.
//!
//! The article's distillation loss (section 3.4.3): the difference of the teacher's and the student's outputs
//! on the training set is what the student reduces. The difference is `T² · KL(teacher_T ‖ student_T)` (Hinton
//! et al. 2015) or, with `loss = "mse"`, the mean squared difference of logits (Ba and Caruana 2014). Because no
//! label is needed, any text will do for training, whatever the teacher was trained on.

use nlpress_model::{Model, Outline, SiteId};
use nlpress_technique::{Cx, Family, Kind, Needs, Problem, StepError, Technique, parse};
use nlpress_train::{Fit, FitConfig, fit};
use serde::Deserialize;

use crate::lesson::Lesson;
use crate::{Distance, DistillError, Imitation, Start};

/// The technique's configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Outputs {
    start: Start,
    distance: Distance,
    fit: FitConfig,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Raw {
    from: String,
    hidden: Option<Vec<usize>>,
    dropout: Option<f64>,
    loss: String,
    temperature: Option<f64>,
    fit: FitConfig,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            from: "fresh".into(),
            hidden: None,
            dropout: None,
            loss: "kl".into(),
            temperature: None,
            fit: FitConfig::default(),
        }
    }
}

impl TryFrom<Raw> for Outputs {
    type Error = DistillError;

    fn try_from(raw: Raw) -> Result<Self, DistillError> {
        let distance = match (raw.loss.as_str(), raw.temperature) {
            ("kl", temperature) => Distance::kl(temperature.unwrap_or(2.0))?,
            ("mse", None) => Distance::Mse,
            ("mse", Some(_)) => {
                return Err(DistillError::NoEffect { key: "temperature", with: "loss = \"mse\"" });
            }
            (other, _) => {
                let (value, bound) = (format!("{other:?}"), "\"kl\" or \"mse\"");
                return Err(DistillError::Setting { key: "loss", value, bound });
            }
        };
        Ok(Self { start: Start::read(&raw.from, raw.hidden, raw.dropout)?, distance, fit: raw.fit })
    }
}

/// The technique's entry.
pub const KIND: Kind = Kind {
    name: "distill.outputs",
    family: Family::Distill,
    summary: "a small student imitates the teacher's outputs on the training rows, without labels",
    source: "Hinton et al. 2015, Distilling the Knowledge in a Neural Network; Ba and Caruana 2014, Do Deep \
             Nets Really Need to be Deep?",
    example: "hidden = [4]\nloss = \"mse\"\nfit = { epochs = 2 }",
    on: &["**"],
    settings: &[
        ("from", "\"fresh\" (default): a new dense student; \"model\": the incoming model, its form kept"),
        ("hidden", "widths of a fresh student's hidden layers, default [16]; [] makes it linear"),
        ("dropout", "a fresh student's dropout rate, at least 0 and less than 1, default 0"),
        ("loss", "\"kl\" (default): divergence of softened outputs; \"mse\": squared difference of logits"),
        (
            "temperature",
            "what logits are divided by, between 0.1 and 100, default 2; only with loss = \"kl\"",
        ),
        ("fit", "how to train; the defaults of training when left out"),
    ],
    parse: parse::<Outputs>,
};

impl Technique for Outputs {
    fn needs(&self) -> Needs {
        Needs { training: true, validation: true, teacher: true }
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        self.start.plan(before, on, problems)
    }

    fn apply(&self, model: Model, _on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        let lesson = Lesson::begin(&model, cx)?;
        let objective = Imitation::of(&lesson.train, self.distance);
        let mut how = Fit::new(&self.fit, cx.backend, cx.train, cx.seed.derive("distill"), cx.sink);
        how.valid = Some(cx.valid);
        how.objective = Some(&objective);
        let (student, _) = fit(self.start.make(model, cx.seed)?, how)?;
        lesson.end(&student, cx)?;
        Ok(student)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_by_name() {
        let read = |text: &str| (KIND.parse)(&text.parse().unwrap()).map(|_| ());
        assert_eq!(read("loss = 'kl'\ntemperature = 4.0"), Ok(()));
        assert!(read("loss = 'mse'\ntemperature = 4.0").unwrap_err().starts_with("temperature is set"));
        assert!(read("loss = 'l1'").unwrap_err().starts_with("loss is \"l1\""));
        assert!(read("alpha = 0.5").is_err());
    }
}
