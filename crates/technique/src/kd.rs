//! Knowledge distillation while a model is compressed: from the logits of a teacher, or of the model itself as it was
//! before.
//!
//! The loss is `share · T² · KL(teacher_T ‖ student_T) + (1 − share) · cross-entropy` (Hinton et al. 2015,
//! arXiv:1503.02531); for quantized students see Polino et al. 2018, arXiv:1802.05668, and Mishra and Marr 2018,
//! arXiv:1711.05852.

use nlpress_model::{Model, Network};
use nlpress_train::{BadConfig, Distance, KdConfig};
use serde::Deserialize;

use crate::{Cx, StepError};

/// The description of `distill`, the setting of techniques that may learn from a teacher.
pub const DISTILL: &str = "knowledge distillation, learn from a teacher's outputs as well: `{ share, temperature, teacher }`; `share` of it in the loss, more than \
     0 and at most 1, 0.5 by default; `temperature` from 0.1 to 100, 2 by default; `teacher` is \"row\" (default), the \
     row that the recipe names as teacher, or \"self\", the model itself before this step; none by default";

/// Knowledge distillation while compressing: the loss, and who teaches.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct KdSettings {
    loss: KdConfig,
    by: Who,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Who {
    #[default]
    Row,
    #[serde(rename = "self")]
    Itself,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    share: Option<f64>,
    temperature: Option<f64>,
    #[serde(default)]
    teacher: Who,
}

impl TryFrom<Raw> for KdSettings {
    type Error = BadConfig;

    fn try_from(raw: Raw) -> Result<Self, BadConfig> {
        let share = raw.share.unwrap_or(0.5);
        let bad = || BadConfig {
            field: "share",
            value: share.to_string(),
            bound: "more than 0 (else nothing is learnt from the teacher) and at most 1",
        };
        let distance = Distance::kl(raw.temperature.unwrap_or(2.0))?;
        Ok(Self { loss: KdConfig::new(distance, share).ok_or_else(bad)?, by: raw.teacher })
    }
}

impl KdSettings {
    /// Whether the recipe must give a teacher.
    pub fn needs_teacher(&self) -> bool {
        self.by == Who::Row
    }

    /// The loss.
    pub fn loss(&self) -> KdConfig {
        self.loss
    }

    /// The teacher's logits over the training rows, for a student that is still `model`.
    ///
    /// # Errors
    /// [`StepError`] when there is no teacher, or the device fails.
    pub fn logits(&self, model: &Model, cx: &Cx<'_>) -> Result<Vec<f32>, StepError> {
        match self.by {
            Who::Row => Ok(cx.ask_teacher(model.graph().outputs())?.0),
            Who::Itself => Ok(Network::bind(model, cx.backend).logits_of(cx.train)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        let read = |text: &str| toml::from_str::<KdSettings>(text).map_err(|e| e.message().to_owned());
        let all = read("").unwrap();
        assert_eq!(
            (all.loss().share(), all.loss().distance(), all.needs_teacher()),
            (0.5, Distance::Kl { temperature: 2.0 }, true)
        );
        assert!(!read("teacher = 'self'").unwrap().needs_teacher());
        for (bad, says) in [
            ("share = 0.0", "share is 0, but it must be more than 0"),
            ("share = 1.1", "share is 1.1"),
            ("temperature = 0.0", "temperature is 0, but it must be between 0.1 and 100"),
            ("teacher = 'me'", "unknown variant `me`"),
            ("temp = 1.0", "unknown field `temp`"),
        ] {
            let message = read(bad).unwrap_err();
            assert!(message.contains(says), "{message}");
        }
    }
}
