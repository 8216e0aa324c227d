//! `distill.student`: a small student learns from a teacher's softened outputs and from the labels.
//!
//! The article's teacher-student architecture (section 3.4.1): the larger model trains a smaller one. The loss
//! is `α · T² · KL(teacher_T ‖ student_T) + (1 − α) · cross-entropy`, as in Hinton et al. 2015, "Distilling the
//! Knowledge in a Neural Network". The teacher's logits over the training rows are computed once.
//!
//! With `from = "model"` the incoming model is the student and keeps its form, so that a pruned network can be
//! taught before it is quantized.

use nlpress_technique::{Family, Kind, Settings, settings};

use crate::frame::distill::{Distill, SOFTENED, STUDENT, TRAINED};
use crate::{Distance, DistillError, KdConfig};

/// The technique's entry.
pub const KIND: Kind = Kind {
    name: "distill.student",
    family: Family::Distill,
    summary: "knowledge distillation (teacher-student): a small student learns from the teacher's softened \
              outputs (soft targets) and from the labels",
    source: "Hinton et al. 2015, Distilling the Knowledge in a Neural Network",
    example: "hidden = [4]\ntemperature = 2.0\nalpha = 0.5\nfit = { epochs = 2 }",
    on: &["**"],
    settings: &[STUDENT, &[SOFTENED], Raw::SETTINGS, &[TRAINED]],
    parse: |with| Distill::parse(with, &KIND, loss),
};

settings! {
    struct Raw {
        /// share of the teacher in the loss, greater than 0 and at most 1, default 0.5
        alpha: f64 => or(0.5),
    }
}

fn loss(raw: &Raw, temperature: Option<f64>) -> Result<KdConfig, DistillError> {
    let bad = || {
        DistillError::setting(
            "alpha",
            raw.alpha,
            "greater than 0 (else nothing is learnt from the teacher) and at most 1",
        )
    };
    KdConfig::new(Distance::kl(temperature.unwrap_or(2.0))?, raw.alpha).ok_or_else(bad)
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
