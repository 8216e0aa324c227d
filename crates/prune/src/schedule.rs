//! How a cut is reached: at once, or in steps with training after each.

use nlpress_model::Model;
use nlpress_technique::{Cx, Needs, StepError};
use serde::{Deserialize, Serialize};

use crate::PruneError;
use crate::cut::{At, Curve, Cut, Rule};
use crate::tune::{Tuning, retrain, retrain_if, spread};

/// The setting that names a schedule.
pub(crate) const SCHEDULE: (&str, &str) = (
    "schedule",
    "\"one_shot\" (default); \"cubic\": in steps, much at first and little at the end; \"iterative\": in steps \
     that each drop the same share of what is left; training follows each step",
);
/// The setting that names the number of steps.
pub(crate) const STEPS: (&str, &str) =
    ("steps", "cuts of a schedule in steps, from 2 to 1000; required with one, refused without");

/// Gives one row of scores for each selected site of a model, for a cut to a point of a curve.
type Score<'a> = dyn FnMut(&Model, At, &mut Cx<'_>) -> Result<Vec<Vec<f32>>, StepError> + 'a;
/// Cuts a model to a point of a curve.
type Step<'a> = dyn FnMut(Model, At, &mut Cx<'_>) -> Result<Model, StepError> + 'a;

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
pub(crate) struct Stages {
    curve: Curve,
    tunings: Vec<Tuning>,
}

impl Stages {
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
        Needs { training: self.trains(), validation: self.trains(), teacher: false }
    }

    /// Whether it cuts in steps.
    pub(crate) fn in_steps(&self) -> bool {
        self.tunings.len() > 1
    }

    /// Runs the schedule: `score` gives one row of scores for each selected site, `rule` chooses by them.
    pub(crate) fn run(
        &self,
        model: Model,
        cut: &Cut,
        cx: &mut Cx<'_>,
        score: &mut Score<'_>,
        rule: &mut Rule<'_>,
    ) -> Result<Model, StepError> {
        self.run_steps(model, cx, &mut |model, at, cx| {
            let scores = score(&model, at, cx)?;
            cut.make_by(model, &scores, at, rule)
        })
    }

    /// Runs the schedule: `step` cuts to a point of its curve.
    pub(crate) fn run_steps(
        &self,
        mut model: Model,
        cx: &mut Cx<'_>,
        step: &mut Step<'_>,
    ) -> Result<Model, StepError> {
        if !self.in_steps() {
            cx.progress("cutting", 0, 1)?;
            model = step(model, (self.curve, 1, 1), cx)?;
            return retrain_if(model, self.tunings.first(), cx);
        }
        let steps = self.tunings.len();
        for (number, tuning) in (1..).zip(&self.tunings) {
            cx.progress("cutting", number as usize - 1, steps)?;
            model = step(model, (self.curve, number, steps as u64), cx)?;
            model = retrain(model, tuning, &format!("finetune {number}"), None, cx)?;
        }
        Ok(model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_against_each_other() {
        let stages = |schedule, steps, tuned: bool| Stages::new(schedule, steps, tuned.then(Tuning::default));
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
