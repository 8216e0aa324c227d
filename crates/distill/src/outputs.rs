//! `distill.outputs`: a student imitates the teacher's outputs on the training rows, and sees no label.
//!
//! The article's distillation loss (section 3.4.3): the difference of the teacher's and the student's outputs
//! on the training set is what the student reduces. The difference is `T² · KL(teacher_T ‖ student_T)` (Hinton
//! et al. 2015) or, with `loss = "mse"`, the mean squared difference of logits (Ba and Caruana 2014). Because no
//! label is needed, any text will do for training, whatever the teacher was trained on.

use nlpress_technique::{Family, Kind, Settings, settings};

use crate::frame::distill::{Distill, SOFTENED, STUDENT, TRAINED};
use crate::{Distance, DistillError, KdConfig};

/// The technique's entry.
pub const KIND: Kind = Kind {
    name: "distill.outputs",
    family: Family::Distill,
    summary: "knowledge distillation by logit matching: a small student imitates the teacher's outputs on \
              the training rows, without labels",
    source: "Hinton et al. 2015, Distilling the Knowledge in a Neural Network; Ba and Caruana 2014, Do Deep \
             Nets Really Need to be Deep?",
    example: "hidden = [4]\nloss = \"mse\"\nfit = { epochs = 2 }",
    on: &["**"],
    settings: &[
        STUDENT,
        Raw::SETTINGS,
        &[
            SOFTENED.saying(
                "what logits are divided by, between 0.1 and 100, default 2; only with loss = \"kl\"",
            ),
            TRAINED,
        ],
    ],
    parse: |with| Distill::parse(with, &KIND, loss),
};

settings! {
    struct Raw {
        /// "kl" (default): divergence of softened outputs; "mse": squared difference of logits
        loss: String => or("kl".into()),
    }
}

fn loss(raw: &Raw, temperature: Option<f64>) -> Result<KdConfig, DistillError> {
    let distance = match (raw.loss.as_str(), temperature) {
        ("kl", temperature) => Distance::kl(temperature.unwrap_or(2.0))?,
        ("mse", None) => Distance::Mse,
        ("mse", Some(_)) => {
            return Err(DistillError::NoEffect { key: "temperature", with: "loss = \"mse\"" });
        }
        (other, _) => {
            let (value, bound) = (format!("{other:?}"), "\"kl\" or \"mse\"");
            return Err(DistillError::setting("loss", value, bound));
        }
    };
    Ok(KdConfig::without_labels(distance))
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
