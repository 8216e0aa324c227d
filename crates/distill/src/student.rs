//! `distill.student`: a small student learns from a teacher's softened outputs and from the labels.
//!
//! The article's teacher-student architecture (section 3.4.1): the larger model trains a smaller one. The loss
//! is `α · T² · KL(teacher_T ‖ student_T) + (1 − α) · cross-entropy`, as in Hinton et al. 2015, "Distilling the
//! Knowledge in a Neural Network". The teacher's logits over the training rows are computed once.
//!
//! With `from = "model"` the incoming model is the student and keeps its form, so that a pruned network can be
//! taught before it is quantized.

use nlpress_model::{Model, Outline, SiteId};
use nlpress_technique::{Cx, Family, Kind, Needs, Problem, StepError, Technique, parse};
use nlpress_train::{Fit, FitConfig, Labels, fit};
use serde::Deserialize;

use crate::error::check;
use crate::lesson::Lesson;
use crate::{Distance, DistillError, Imitation, Start};

/// The technique's configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Student {
    start: Start,
    distance: Distance,
    alpha: f64,
    fit: FitConfig,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Raw {
    from: String,
    hidden: Option<Vec<usize>>,
    dropout: Option<f64>,
    temperature: f64,
    alpha: f64,
    fit: FitConfig,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            from: "fresh".into(),
            hidden: None,
            dropout: None,
            temperature: 2.0,
            alpha: 0.5,
            fit: FitConfig::default(),
        }
    }
}

impl TryFrom<Raw> for Student {
    type Error = DistillError;

    fn try_from(raw: Raw) -> Result<Self, DistillError> {
        check(is_alpha(raw.alpha), "alpha", raw.alpha, ALPHA_BOUND)?;
        Ok(Self {
            start: Start::read(&raw.from, raw.hidden, raw.dropout)?,
            distance: Distance::kl(raw.temperature)?,
            alpha: raw.alpha,
            fit: raw.fit,
        })
    }
}

pub(crate) const ALPHA_BOUND: &str = "greater than 0 (else nothing is learnt from the teacher) and at most 1";

pub(crate) fn is_alpha(alpha: f64) -> bool {
    alpha > 0.0 && alpha <= 1.0
}

/// The technique's entry.
pub const KIND: Kind = Kind {
    name: "distill.student",
    family: Family::Distill,
    summary: "a small student learns from the teacher's softened outputs and from the labels",
    source: "Hinton et al. 2015, Distilling the Knowledge in a Neural Network",
    example: "hidden = [4]\ntemperature = 2.0\nalpha = 0.5\nfit = { epochs = 2 }",
    on: &["**"],
    settings: &[
        ("from", "\"fresh\" (default): a new dense student; \"model\": the incoming model, its form kept"),
        ("hidden", "widths of a fresh student's hidden layers, default [16]; [] makes it linear"),
        ("dropout", "a fresh student's dropout rate, at least 0 and less than 1, default 0"),
        ("temperature", "what logits are divided by, between 0.1 and 100, default 2"),
        ("alpha", "share of the teacher in the loss, greater than 0 and at most 1, default 0.5"),
        ("fit", "how to train; the defaults of training when left out"),
    ],
    parse: parse::<Student>,
};

impl Technique for Student {
    fn needs(&self) -> Needs {
        Needs { training: true, validation: true, teacher: true }
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        self.start.plan(before, on, problems)
    }

    fn apply(&self, model: Model, _on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        let lesson = Lesson::begin(&model, cx)?;
        let objective =
            Imitation::of(&lesson.train, self.distance).with_labels(Labels::of(cx.train), self.alpha);
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
        assert_eq!(read(""), Ok(()));
        assert_eq!(read("hidden = []"), Ok(()));
        for (bad, starts) in [
            ("alpha = 0.0", "alpha is 0, but"),
            ("alpha = nan", "alpha is NaN"),
            ("temperature = 0.0", "temperature is 0"),
            ("from = 'x'", "from is \"x\""),
            ("from = 'model'\nhidden = [3]", "hidden is set"),
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.starts_with(starts), "{bad}: {error}");
        }
    }
}
