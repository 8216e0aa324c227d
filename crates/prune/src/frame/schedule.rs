//! How a sparsity is reached: at once, or in steps with training after each.

use nlpress_model::Model;
use nlpress_technique::{Cx, Needs, StepError};
use serde::{Deserialize, Serialize};

use super::curve::{Curve, SchedulePoint};
use super::finetune::{Tuning, retrain, retrain_if, spread};
use crate::PruneError;

/// Prunes a model to a point of a schedule.
type Step<'a> = dyn FnMut(Model, SchedulePoint, &mut Cx<'_>) -> Result<Model, StepError> + 'a;

/// How the kept count falls over the steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// One cut.
    #[default]
    OneShot,
    /// Along the cubic curve of Zhu and Gupta (2017).
    Cubic,
    /// The same share of what is left at each step (Han et al. 2015).
    Iterative,
}

/// A checked schedule: one cut, perhaps with a training, or several with a training each.
#[derive(Clone, Debug, PartialEq)]
pub struct PruningSchedule {
    curve: Curve,
    tunings: Vec<Tuning>,
}

impl PruningSchedule {
    /// Checks the three settings against each other.
    pub(crate) fn new(
        schedule: Schedule,
        steps: Option<u32>,
        finetune: Option<Tuning>,
    ) -> Result<Self, PruneError> {
        let curve = match schedule {
            Schedule::OneShot | Schedule::Cubic => Curve::Cubic,
            Schedule::Iterative => Curve::Geometric,
        };
        let tunings = match (schedule, steps) {
            (Schedule::OneShot, None) => Vec::from_iter(finetune),
            (Schedule::OneShot, Some(steps)) => {
                let bound = "left out unless schedule is \"cubic\" or \"iterative\"";
                return Err(PruneError::setting("steps", steps, bound));
            }
            (_, Some(steps)) if (2..=1000).contains(&steps) => {
                let bound = "given with a schedule in steps";
                let all = finetune.ok_or_else(|| PruneError::setting("finetune", "missing", bound))?;
                spread(all.fit(), steps)?.into_iter().map(|fit| all.with_fit(fit)).collect()
            }
            (_, steps) => {
                let value = steps.map_or("missing".into(), |s| s.to_string());
                let bound = "between 2 and 1000 with a schedule in steps";
                return Err(PruneError::setting("steps", value, bound));
            }
        };
        Ok(Self { curve, tunings })
    }

    /// Whether it trains.
    pub(crate) fn trains(&self) -> bool {
        !self.tunings.is_empty()
    }

    /// What a technique needs that does nothing else than this schedule.
    pub(crate) fn needs(&self) -> Needs {
        Needs::TRAINING.when(self.trains())
    }

    /// Whether it cuts in steps.
    pub(crate) fn in_steps(&self) -> bool {
        self.tunings.len() > 1
    }

    /// Runs the schedule: `step` prunes to each of its points, and training follows.
    ///
    /// # Errors
    /// [`StepError`] of a step or of a training.
    pub fn run(&self, mut model: Model, cx: &mut Cx<'_>, step: &mut Step<'_>) -> Result<Model, StepError> {
        if !self.in_steps() {
            cx.progress("cutting", 0, 1)?;
            model = step(model, SchedulePoint { curve: self.curve, step: 1, steps: 1 }, cx)?;
            return retrain_if(model, self.tunings.first(), cx);
        }
        let steps = self.tunings.len();
        for (number, tuning) in (1..).zip(&self.tunings) {
            cx.progress("cutting", number as usize - 1, steps)?;
            model = step(model, SchedulePoint { curve: self.curve, step: number, steps: steps as u64 }, cx)?;
            model = retrain(model, tuning, &format!("finetune {number}"), cx)?;
        }
        Ok(model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_against_each_other() {
        let stages =
            |schedule, steps, tuned: bool| PruningSchedule::new(schedule, steps, tuned.then(Tuning::default));
        assert_eq!(stages(Schedule::OneShot, None, false).unwrap().tunings.len(), 0);
        assert_eq!(stages(Schedule::Iterative, Some(4), true).unwrap().tunings.len(), 4);
        for (schedule, steps, tuned, says) in [
            (Schedule::OneShot, Some(3), false, "steps is 3"),
            (Schedule::Cubic, None, true, "steps is missing"),
            (Schedule::Iterative, Some(3), false, "finetune is missing"),
            (Schedule::Cubic, Some(1), true, "steps is 1, but it must be between 2 and 1000"),
            (Schedule::Iterative, Some(11), true, "finetune.epochs is 10"),
        ] {
            let message = stages(schedule, steps, tuned).unwrap_err().to_string();
            assert!(message.contains(says), "{message}");
        }
    }
}
