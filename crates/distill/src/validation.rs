//! `distill.validation`: the difference between teacher and student on the validation rows steers the loss.
//!
//! The article's KD loss (section 3.4.2): the difference of performance of teacher and student on the validation
//! set generates a loss that trains the student. Here that is, precisely:
//!
//! Training goes in rounds. The loss of a training row `i` of class `c` is
//! `α · w_c · T² · KL(teacher_T ‖ student_T) + (1 − α) · cross-entropy`; at first every `w_c` is 1. In a round,
//! every candidate `α` goes on from the same student with the same order of rows, and the one whose *gap* is
//! smallest goes into the next round, the first among equals. The gap is the student's mean cross-entropy on the
//! validation rows minus the teacher's. Then the *deficit* of each class, the same difference over its validation
//! rows, reweights: `w_c ← w_c · exp(max(0, min(1, deficit_c)))`, after which all `w` are divided by one number
//! so that they average 1 over the training rows. So classes in which the student falls behind the teacher hear
//! more of the teacher; where it is level, nothing changes. The student of the round with the smallest gap is
//! kept. The optimiser starts anew in every round.
//!
//! The nearest published things are DoReMi (Xie et al. 2023), which reweights groups of training data by the
//! exponential of a clipped excess loss over a reference model, and group DRO (Sagawa et al. 2020), from which
//! that update comes; the distillation itself is Hinton et al. 2015. That the excess is measured on validation
//! rows, and class by class, is the article's idea.
//!
//! The validation rows choose here, so what is measured on them afterwards is flattering: trust the test rows.

use nlpress_core::Measurement;
use nlpress_model::{Model, Outline, SiteId};
use nlpress_technique::{Cx, Family, Kind, Made, Needs, Problem, Settings, StepError, Technique, settings};
use nlpress_train::agreement;

use crate::error::check;
use crate::frame::distill::{Distill, SOFTENED, STUDENT, TRAINED};
use crate::frame::teacher::TeacherCache;
use crate::{Distance, DistillError, KdConfig, compare};

const MOST_ROUNDS: u32 = 100;
const MOST_SHARES: usize = 16;

/// A search over the teacher's share of the loss, round by round: the checked configuration of `distill.validation`.
#[derive(Clone, Debug, PartialEq)]
pub struct Validation {
    distill: Distill,
    /// Losses of the shares to choose among.
    losses: Vec<KdConfig>,
    rounds: u32,
}

settings! {
    #[serde(default)]
    struct Raw {
        /// shares of the teacher to choose among, 1 to 16 of them, in (0, 1], default [0.5, 0.9]
        alphas: Vec<f64>,
        /// rounds of training, between 1 and 100, default 3
        rounds: u32,
    }
}

impl Default for Raw {
    fn default() -> Self {
        Self { alphas: vec![0.5, 0.9], rounds: 3 }
    }
}

/// The technique's entry.
pub const KIND: Kind = Kind {
    name: "distill.validation",
    family: Family::Distill,
    summary: "knowledge distillation in rounds, each steered by how far the student is behind on the \
              validation rows",
    source: "Hinton et al. 2015, Distilling the Knowledge in a Neural Network; reweighting as in Xie et al. \
             2023, DoReMi, and Sagawa et al. 2020, Distributionally Robust Neural Networks",
    example: "hidden = [4]\nalphas = [0.5, 0.9]\nrounds = 2\nfit = { epochs = 1 }",
    on: &["**"],
    settings: &[
        STUDENT,
        &[SOFTENED],
        Raw::SETTINGS,
        &[TRAINED
            .saying("how to train in each round, for each share; the defaults of training when left out")],
    ],
    parse: |with| match Validation::read(with) {
        Ok(validation) => Ok(Box::new(validation)),
        Err(error) => Err(error.to_string()),
    },
};

/// The weights of the classes after a round: `weights` times the exponential of each deficit, held in `[0, 1]`,
/// divided so that they average 1 over rows of which each class has `counts`.
pub fn reweigh(weights: &[f64], deficits: &[f64], counts: &[usize]) -> Vec<f64> {
    let raised: Vec<f64> = weights.iter().zip(deficits).map(|(w, d)| w * d.clamp(0.0, 1.0).exp()).collect();
    let rows: usize = counts.iter().sum();
    let total: f64 = raised.iter().zip(counts).map(|(w, n)| w * *n as f64).sum();
    raised.into_iter().map(|w| w * rows as f64 / total).collect()
}

/// A student as a round left it.
struct Candidate {
    model: Model,
    logits: Vec<f32>,
    /// Its mean cross-entropy on the validation rows, less the teacher's.
    gap: f64,
    alpha: f64,
    round: u32,
}

/// What all candidates of a round have in common.
struct Round<'a> {
    number: u32,
    student: &'a Model,
    teacher: &'a TeacherCache,
    teacher_loss: f64,
    /// Weight of the teacher for each training row.
    weights: &'a [f64],
}

impl Validation {
    fn read(with: &toml::Table) -> Result<Self, DistillError> {
        let (distill, raw) = Distill::read(with, &KIND, |raw: &Raw, temperature| {
            Ok(losses(&raw.alphas, Distance::kl(temperature.unwrap_or(2.0))?)?[0])
        })?;
        check((1..=MOST_ROUNDS).contains(&raw.rounds), "rounds", raw.rounds, "between 1 and 100")?;
        let losses = losses(&raw.alphas, distill.loss().distance())?;
        Ok(Self { distill, losses, rounds: raw.rounds })
    }

    /// Trains one candidate and marks it on the validation rows.
    fn candidate(&self, round: &Round<'_>, loss: KdConfig, cx: &Cx<'_>) -> Result<Candidate, StepError> {
        let objective = loss.objective(&round.teacher.train, cx.train).with_weights(round.weights);
        let seed = cx.seed.derive("distill").derive(&format!("round {}", round.number));
        let model = self.distill.train(round.student.clone(), (&objective, cx.train), seed, cx)?;
        let logits = cx.valid_logits(&model)?;
        let gap = compare::mean(&compare::losses(cx.valid, &logits)) - round.teacher_loss;
        Ok(Candidate { model, logits, gap, alpha: loss.share(), round: round.number })
    }
}

/// A loss for each share of the teacher, at least one.
fn losses(shares: &[f64], distance: Distance) -> Result<Vec<KdConfig>, DistillError> {
    let losses: Option<Vec<KdConfig>> = shares.iter().map(|share| KdConfig::new(distance, *share)).collect();
    let losses = losses.filter(|losses| (1..=MOST_SHARES).contains(&losses.len()));
    losses.ok_or_else(|| {
        DistillError::setting(
            "alphas",
            format!("{shares:?}"),
            "1 to 16 numbers, each greater than 0 and at most 1",
        )
    })
}

impl Technique for Validation {
    fn needs(&self) -> Needs {
        self.distill.needs()
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        self.distill.plan(before, on, problems)
    }

    fn apply(&self, model: Model, _on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let outputs = model.graph().outputs();
        let teacher = TeacherCache::ask(&model, cx)?;
        let (train, valid) = (cx.train.labelled()?, cx.valid.labelled()?);
        let classes = train.classes();
        if valid.classes() != classes {
            let has = valid.classes();
            return Err(StepError::Failed(format!(
                "{classes} training classes, but {has} validation classes"
            )));
        }
        let teacher_losses = compare::losses(valid, &teacher.valid);
        let teacher_loss = compare::mean(&teacher_losses);
        let mut counts = vec![0; classes];
        train.labels().iter().for_each(|label| counts[*label as usize] += 1);
        let mut student = self.distill.student(model, cx)?;
        let mut weights = vec![1.0; classes];
        let mut kept: Option<Candidate> = None;

        for number in 1..=self.rounds {
            let rows: Vec<f64> = train.labels().iter().map(|label| weights[*label as usize]).collect();
            let round = Round { number, student: &student, teacher: &teacher, teacher_loss, weights: &rows };
            let mut chosen: Option<Candidate> = None;
            for (done, loss) in self.losses.iter().enumerate() {
                cx.progress("choosing the teacher's share", done, self.losses.len())?;
                let candidate = self.candidate(&round, *loss, cx)?;
                if chosen.as_ref().is_none_or(|best| candidate.gap < best.gap) {
                    chosen = Some(candidate);
                }
            }
            let Some(best) = chosen else { break };
            let excess: Vec<f64> = compare::losses(valid, &best.logits)
                .iter()
                .zip(&teacher_losses)
                .map(|(s, t)| s - t)
                .collect();
            let deficits = compare::class_means(&excess, valid.labels(), classes);
            cx.note(format!(
                "round {number}: alpha {}, class weights {}, gap to the teacher {:+.4}, agreement {:.4}, \
                 deficits by class {}",
                best.alpha,
                listed(&weights),
                best.gap,
                agreement(&teacher.valid, &best.logits, outputs),
                listed(&deficits),
            ));
            weights = reweigh(&weights, &deficits, &counts);
            student = best.model.clone();
            if kept.as_ref().is_none_or(|kept| best.gap < kept.gap) {
                kept = Some(best);
            }
        }
        let kept = kept.ok_or_else(|| StepError::Failed("no round was run".into()))?;
        cx.note(format!("the student of round {} was kept (alpha {})", kept.round, kept.alpha));
        cx.measure(Measurement::lower("valid_gap", kept.gap, "nats"));
        teacher.compare(&kept.model, cx)?;
        Ok(kept.model.into())
    }
}

/// At most eight numbers, for a sentence.
fn listed(numbers: &[f64]) -> String {
    let mut text: Vec<String> = numbers.iter().take(8).map(|x| format!("{x:.3}")).collect();
    if numbers.len() > 8 {
        text.push(format!("and {} more", numbers.len() - 8));
    }
    text.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_that_fall_behind_weigh_more() {
        let weights = reweigh(&[1.0, 1.0], &[0.5, -0.2], &[30, 10]);
        assert!((weights[0] / weights[1] - 0.5_f64.exp()).abs() < 1e-12);
        assert!((weights[0] * 30.0 + weights[1] * 10.0 - 40.0).abs() < 1e-9);
    }

    #[test]
    fn a_level_student_changes_nothing_and_a_hopeless_one_is_held() {
        assert_eq!(reweigh(&[1.0, 1.0], &[-1.0, 0.0], &[1, 1]), [1.0, 1.0]);
        let weights = reweigh(&[1.0, 1.0], &[1e9, 0.0], &[1, 1]);
        assert!((weights[0] / weights[1] - 1.0_f64.exp()).abs() < 1e-12);
    }

    #[test]
    fn settings_are_checked_by_name() {
        let read = |text: &str| (KIND.parse)(&text.parse().unwrap()).map(|_| ());
        assert_eq!(read(""), Ok(()));
        for (bad, starts) in [
            ("alphas = []", "alphas is []"),
            ("alphas = [0.5, 1.5]", "alphas is [0.5, 1.5]"),
            ("rounds = 0", "rounds is 0"),
            ("temperature = -1.0", "temperature is -1"),
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.starts_with(starts), "{bad}: {error}");
        }
    }
}
