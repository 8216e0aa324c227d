//! Training after, before and between cuts, with the masks held.

use nlpress_core::Seed;
use nlpress_model::Model;
pub use nlpress_technique::Tuning;
use nlpress_technique::{Cx, Made, StepError, Training};
use nlpress_train::{Fit, FitConfig, fit};

use crate::PruneError;

/// The description of `finetune` where no connection was cut.
pub(crate) const AFTERWARDS: &str = "training afterwards, as a training table; none by default";

/// Trains every trainable site of a cut model; entries that are not kept stay zero.
///
/// `name` sets its random choices apart from those of the step's other trainings.
pub(crate) fn retrain(model: Model, tuning: &Tuning, name: &str, cx: &Cx<'_>) -> Result<Model, StepError> {
    Ok(Training::new(tuning, cx.seed.derive(name)).run(model, cx)?.0)
}

/// [`retrain`] where the recipe asks for it.
pub(crate) fn retrain_if(model: Model, tuning: Option<&Tuning>, cx: &mut Cx<'_>) -> Result<Model, StepError> {
    match tuning {
        Some(tuning) => retrain(model, tuning, "finetune", cx),
        None => Ok(model),
    }
}

/// Trains every trainable site of a model on the step's data; entries that are not kept stay zero.
///
/// `name` sets its random choices apart from those of the step's other trainings.
pub(crate) fn tune(
    model: Model,
    config: &FitConfig,
    name: &str,
    cx: &mut Cx<'_>,
) -> Result<Model, StepError> {
    let seed: Seed = cx.seed.derive(name);
    let fit_on = Fit { valid: Some(cx.valid), ..Fit::new(config, cx.backend, cx.train, seed, cx.sink) };
    Ok(fit(model, fit_on)?.0)
}

/// [`tune`] where the recipe asks for it: what a technique ends with.
pub(crate) fn tune_if(model: Model, config: Option<&FitConfig>, cx: &mut Cx<'_>) -> Result<Made, StepError> {
    Ok(match config {
        Some(config) => tune(model, config, "finetune", cx)?,
        None => model,
    }
    .into())
}

/// Spreads the epochs of a training over steps, as evenly as can be, the later steps getting what is left over.
///
/// # Errors
/// [`PruneError`] when there are fewer epochs than steps.
pub(crate) fn spread(config: &FitConfig, steps: u32) -> Result<Vec<FitConfig>, PruneError> {
    let epochs = config.epochs();
    let few = || PruneError::setting("finetune.epochs", epochs, "at least as many as steps");
    let share = |step: u32| epochs * (step + 1) / steps - epochs * step / steps;
    (0..steps).map(|step| config.clone().with_epochs(share(step)).map_err(|_| few())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_spread_without_loss() {
        let ten = FitConfig::default();
        let epochs: Vec<u32> = spread(&ten, 4).unwrap().iter().map(FitConfig::epochs).collect();
        assert_eq!(epochs, [2, 3, 2, 3]);
        assert!(spread(&ten, 11).is_err());
    }
}
