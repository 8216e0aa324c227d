//! Training of linear models to their optimum, without steps along gradients: each class against the rest, by coordinate
//! descent on the dual ([`problem`]).
//!
//! Classes share nothing, so threads take them in turn, and the numbers do not depend on how many threads there are: each class
//! draws the order of its rows from its own stream of the seed. What a model was before does not matter, but for the entries that
//! a mask leaves out: they stay zero, and the optimum is that of the entries that are kept.

mod problem;
mod solved;

use nlpress_core::event::{Event, Stopped};
use nlpress_model::{Dataset, Model, ModelError, Weight};
use nlpress_text::Rows;
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::fit::check_data;
use crate::history::{Epoch, History};
use crate::label_training::LabelTraining;
use crate::linear_config::CoordinateDescent;
use crate::scores::Scores;
use crate::{Loss, TrainError};
use problem::{Problem, Until};
use solved::{Class, Solved};

/// Classes between two writings of the checkpoint.
const CLASSES_A_CHECKPOINT: usize = 16;

/// Trains a linear model. What was solved is in the checkpoint, where there is one; a class that was stopped on its way begins
/// anew.
///
/// # Errors
/// [`TrainError`].
pub(crate) fn solve(
    model: Model,
    config: &CoordinateDescent,
    training: &LabelTraining<'_>,
) -> Result<(Model, History), TrainError> {
    CoordinateDescent::check(&model.outline())?;
    let (rows, layer) = (training.train.features()?, &model.layers()[0]);
    let shape = layer.shape;
    check_data(&model, [Some(training.train), training.valid])?;
    for data in std::iter::once(training.train).chain(training.valid) {
        let (have, takes) = (data.labelled()?.examples().width(), shape.inputs);
        if have != takes {
            let why = format!("rows have {have} features, the network takes {takes}");
            return Err(ModelError::Data(why).into());
        }
    }
    let mut solved = Solved::open(&model, config, training)?;
    let work = Work {
        config,
        training,
        rows,
        costs: costs(training.train, config.cost()),
        keep: match &layer.weight {
            Weight::Masked { keep, .. } => Some(keep),
            _ => None,
        },
        outputs: shape.outputs,
        done: AtomicUsize::new(solved.done()),
    };
    let left = solved.left();
    let group = if training.checkpoint.is_some() { CLASSES_A_CHECKPOINT } else { shape.outputs };
    for classes in left.chunks(group) {
        let found: Vec<_> = classes.par_iter().map(|&class| work.class(class)).collect();
        let mut stopped = Ok(());
        for (&class, found) in classes.iter().zip(found) {
            match found {
                Ok(found) => solved.classes[class] = Some(found),
                Err(error) => stopped = Err(error),
            }
        }
        training.checkpoint.map_or(Ok(()), |path| solved.save(path))?;
        stopped?;
    }
    let classes: Vec<&Class> = solved.classes.iter().flatten().collect();
    let flat = work.joined(&classes)?;
    let passes = || classes.iter().map(|class| class.passes);
    let history = History {
        epochs: vec![work.end(&flat, passes().max().unwrap_or(0))?],
        kept: passes().max().unwrap_or(0),
        steps: passes().map(u64::from).sum(),
    };
    Ok((model.with_flat(&flat)?, history))
}

/// All classes of a data set to be told apart.
struct Work<'a> {
    config: &'a CoordinateDescent,
    training: &'a LabelTraining<'a>,
    rows: &'a Rows,
    /// Of each row.
    costs: Vec<f64>,
    /// The entries that the mask of the weight keeps.
    keep: Option<&'a [bool]>,
    outputs: usize,
    /// Classes that are solved.
    done: AtomicUsize,
}

impl Work<'_> {
    /// Solves a class against the rest; of two classes that share an output, the second.
    fn class(&self, output: usize) -> Result<Class, Stopped> {
        let class = if self.outputs == 1 { 1 } else { output as u32 };
        let is_class: Vec<bool> = self.training.train.labels().iter().map(|&label| label == class).collect();
        let kept = |keep: &[bool]| keep.iter().skip(output).step_by(self.outputs).copied().collect();
        let keep: Option<Vec<bool>> = self.keep.map(kept);
        let problem =
            Problem { rows: self.rows, is_class: &is_class, costs: &self.costs, keep: keep.as_deref() };
        let until = Until { tolerance: self.config.tolerance(), passes: self.config.epochs() };
        let order = self.training.seed.derive("coordinate descent").stream(output as u64);
        let found = problem.solve(until, order, &mut || self.say())?;
        self.done.fetch_add(1, Ordering::Relaxed);
        Ok(Class {
            weights: found.weights.iter().map(|&w| w as f32).collect(),
            bias: found.bias as f32,
            passes: found.passes,
            is_optimal: found.is_optimal,
        })
    }

    fn say(&self) -> Result<(), Stopped> {
        let (done, total) = (self.done.load(Ordering::Relaxed) as u64, self.outputs as u64);
        self.training.sink.say(&Event::Progress { what: "training, class by class".into(), done, total })
    }

    /// The parameters of all classes; those that are not optimal are said.
    fn joined(&self, classes: &[&Class]) -> Result<Vec<f32>, TrainError> {
        let short = classes.iter().filter(|class| !class.is_optimal).count();
        if short > 0 {
            let (passes, tolerance) = (self.config.epochs(), self.config.tolerance());
            let text = format!(
                "note: {short} of {} outputs did not reach the tolerance {tolerance:?} in {passes} passes: raise epochs or \
                 tolerance, or lower cost",
                self.outputs
            );
            self.training.sink.say(&Event::Note { text })?;
        }
        let of_feature = |feature: usize| classes.iter().map(move |class| class.weights[feature]);
        let mut flat: Vec<f32> = (0..self.rows.width()).flat_map(of_feature).collect();
        flat.extend(classes.iter().map(|class| class.bias));
        Ok(flat)
    }

    /// How good these parameters are, after so many passes; it is said as an epoch.
    fn end(&self, flat: &[f32], passes: u32) -> Result<Epoch, TrainError> {
        let LabelTraining { train, valid, sink, .. } = *self.training;
        let score = |data: &Dataset| -> Result<Scores, TrainError> {
            Ok(Scores::of(&logits(data.features()?, flat, self.outputs), data, Loss::SquaredHinge)?)
        };
        let (of_train, of_valid) = (score(train)?, valid.map(score).transpose()?);
        let epoch = Epoch {
            loss: of_train.loss,
            valid_loss: of_valid.map(|v| v.loss),
            valid_accuracy: of_valid.map(|v| v.accuracy),
        };
        sink.say(&Event::EpochFinished {
            epoch: passes,
            epochs: passes,
            loss: epoch.loss,
            valid_accuracy: epoch.valid_accuracy,
        })?;
        Ok(epoch)
    }
}

/// What an error in each row costs: the more, the more its class weighs.
fn costs(data: &Dataset, cost: f64) -> Vec<f64> {
    let weight = |label: &u32| data.class_weights().get(*label as usize).copied().unwrap_or(1.0);
    data.labels().iter().map(|label| cost * weight(label)).collect()
}

/// The logits of a linear model `[rows, outputs]`; `flat` is its weight `[features, outputs]` and its bias.
fn logits(rows: &Rows, flat: &[f32], outputs: usize) -> Vec<f32> {
    let (weight, bias) = flat.split_at(rows.width() * outputs);
    let mut all = Vec::with_capacity(rows.len() * outputs);
    for row in rows.iter() {
        let start = all.len();
        all.extend_from_slice(bias);
        for (&column, value) in row.columns.iter().zip(row.values) {
            let of_feature = &weight[column as usize * outputs..][..outputs];
            all[start..].iter_mut().zip(of_feature).for_each(|(sum, w)| *sum += value * w);
        }
    }
    all
}

#[cfg(test)]
mod tests;
