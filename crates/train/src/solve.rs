//! Trains by the solver that the settings name.

use nlpress_model::Model;

use crate::TrainError;
use crate::coordinate_descent;
use crate::fit::fit;
use crate::history::History;
use crate::label_training::LabelTraining;
use crate::plan::Fit;
use crate::train_config::TrainConfig;

impl LabelTraining<'_> {
    /// Trains every trainable site of a model.
    ///
    /// # Errors
    /// [`TrainError`]; the checkpoint, where there is one, then holds what was done.
    pub fn run(self, model: Model) -> Result<(Model, History), TrainError> {
        match self.config {
            TrainConfig::Gradient(config) => {
                let plan = Fit {
                    valid: self.valid,
                    checkpoint: self.checkpoint,
                    resume: self.resume,
                    ..Fit::new(config, self.backend, self.train, self.seed, self.sink)
                };
                fit(model, plan)
            }
            TrainConfig::CoordinateDescent(config) => coordinate_descent::solve(model, config, &self),
        }
    }
}
