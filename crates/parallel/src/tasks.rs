//! Task parallelism: independent trainings side by side, of which the best on the validation rows is kept.
//!
//! A task is one whole training with its own learning rate. Tasks share nothing, so their results are the same
//! bits in whatever order and on however many threads they run; among equals the first wins.

use nlpress_core::Measurement;
use nlpress_model::{Model, Outline, SiteId};
use nlpress_technique::{
    Cx, Family, Kind, Made, Needs, Problem, Settings, StepError, TRAINING, Technique, parse, settings,
};
use nlpress_train::{Crew, Fit, FitConfig, fit};
use serde::Deserialize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::retrain;

/// Runs independent tasks on at most `threads` threads; results come in the order of the tasks.
///
/// # Errors
/// The first error in the order of the tasks; tasks after it that had not begun are not begun.
pub fn run<T: Sync, R: Send>(
    tasks: &[T],
    threads: usize,
    work: impl Fn(&T) -> Result<R, StepError> + Sync,
) -> Result<Vec<R>, StepError> {
    let crew = Crew::new(threads.clamp(1, tasks.len().max(1)))?;
    let first_failure = AtomicUsize::new(usize::MAX);
    let one = |(number, task): (usize, &T)| {
        // What comes after a failure would be thrown away; what comes before it may still fail first.
        if number > first_failure.load(Ordering::SeqCst) {
            return None;
        }
        let result = work(task);
        if result.is_err() {
            first_failure.fetch_min(number, Ordering::SeqCst);
        }
        Some(result)
    };
    let results = crew.map(tasks.iter().enumerate().collect(), one);
    results.into_iter().flatten().collect()
}

/// `parallel.tasks`: trains one fresh network for each learning rate and keeps the best.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Tasks {
    fits: Vec<FitConfig>,
    rates: Vec<f64>,
    compare: bool,
}

settings! {
    #[derive(Clone, Debug)]
    #[serde(default)]
    struct Raw {
        /// one task each, 1 to 64; default [1e-3, 5e-4]
        learning_rates: Vec<f64>,
        /// run the tasks one after another as well and report the speed-up; default true
        compare: bool,
        fit: FitConfig as TRAINING,
    }
}

impl Default for Raw {
    fn default() -> Self {
        Self { learning_rates: vec![1e-3, 5e-4], compare: true, fit: FitConfig::default() }
    }
}

impl TryFrom<Raw> for Tasks {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        let rates = raw.learning_rates;
        if !(1..=64).contains(&rates.len()) {
            return Err(format!("learning_rates has {} entries, but it must have 1 to 64", rates.len()));
        }
        let with = |rate: &f64| raw.fit.clone().with_learning_rate(*rate).map_err(|e| e.to_string());
        Ok(Self { fits: rates.iter().map(with).collect::<Result<_, _>>()?, rates, compare: raw.compare })
    }
}

impl Technique for Tasks {
    fn needs(&self) -> Needs {
        Needs::TRAINING
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        retrain::plan(before, on, problems)
    }

    fn apply(&self, model: Model, _on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let task = |config: &FitConfig| -> Result<(Model, f64), StepError> {
            let fresh = Model::init(model.graph(), cx.seed)?;
            let mut plan = Fit::new(config, cx.backend, cx.train, cx.seed, cx.sink);
            plan.valid = Some(cx.valid);
            let (trained, _) = fit(fresh, plan)?;
            let loss = cx.loss(&trained)?;
            Ok((trained, loss))
        };
        let start = Instant::now();
        let trained = run(&self.fits, cx.threads, task)?;
        let seconds = start.elapsed().as_secs_f64();
        if self.compare {
            let start = Instant::now();
            let serial = run(&self.fits, 1, task)?;
            let serial_seconds = start.elapsed().as_secs_f64();
            let ratio = serial_seconds / seconds;
            if serial != trained {
                return Err(StepError::Failed("the tasks gave other numbers one after another".into()));
            }
            cx.measure(Measurement::lower("training_seconds", seconds, "s"));
            cx.measure(Measurement::lower("serial_training_seconds", serial_seconds, "s"));
            cx.measure(Measurement::higher("speedup_over_one_after_another", ratio, "1"));
            cx.measure(Measurement::lower("largest_logit_difference", 0.0, "1"));
            cx.note(format!(
                "{} trainings side by side are {ratio:.2}x as fast as one after another, and give the same bits",
                self.fits.len()
            ));
        }
        let mut best = 0;
        for (i, (_, loss)) in trained.iter().enumerate() {
            if *loss < trained[best].1 {
                best = i;
            }
        }
        cx.note(format!(
            "learning rate {} has the lowest validation loss, {:.4}",
            self.rates[best], trained[best].1
        ));
        trained.into_iter().nth(best).map(|(model, _)| model.into()).ok_or(StepError::Missing("a task"))
    }
}

/// Entry in the list of techniques.
pub const KIND: Kind = Kind {
    name: "parallel.tasks",
    family: Family::Parallel,
    summary: "task-parallel training (hyper-parameter search in parallel): trains one fresh network for each learning rate, \
              and keeps the best on validation rows",
    source: "Bergstra and Bengio 2012, Random Search for Hyper-Parameter Optimization (independent trials)",
    example: "learning_rates = [1e-3, 5e-4]\nfit = { epochs = 2 }",
    on: &["**"],
    settings: &[Raw::SETTINGS],
    parse: parse::<Tasks>,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_impossible_settings() {
        for bad in
            ["learning_rates = []", "learning_rates = [0.0]", "learning_rates = [1e-3, nan]", "rates = [1.0]"]
        {
            assert!(toml::from_str::<Tasks>(bad).is_err(), "{bad}");
        }
        let many = format!("learning_rates = {:?}", vec![0.1; 65]);
        assert!(toml::from_str::<Tasks>(&many).is_err());
    }
}
