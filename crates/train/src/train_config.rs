//! A table of training, whatever solver it names.

use nlpress_model::Outline;
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::config::{BadConfig, FitConfig, Loss, Raw, Solver};
use crate::linear_config::CoordinateDescent;

/// How to train on labels: the settings of a table of training, checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub enum TrainConfig {
    /// By steps along gradients: for every network.
    Gradient(FitConfig),
    /// To the optimum of a linear model.
    CoordinateDescent(CoordinateDescent),
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self::Gradient(FitConfig::default())
    }
}

impl From<FitConfig> for TrainConfig {
    fn from(config: FitConfig) -> Self {
        Self::Gradient(config)
    }
}

impl TryFrom<Raw> for TrainConfig {
    type Error = BadConfig;

    fn try_from(raw: Raw) -> Result<Self, BadConfig> {
        match raw.solver {
            Solver::Adam => Ok(Self::Gradient(raw.try_into()?)),
            Solver::CoordinateDescent => Ok(Self::CoordinateDescent(raw.try_into()?)),
        }
    }
}

impl From<TrainConfig> for Raw {
    fn from(config: TrainConfig) -> Raw {
        match config {
            TrainConfig::Gradient(config) => config.into(),
            TrainConfig::CoordinateDescent(config) => config.into(),
        }
    }
}

impl TrainConfig {
    /// What a training reduces.
    pub fn loss(&self) -> Loss {
        match self {
            Self::Gradient(config) => config.loss(),
            Self::CoordinateDescent(_) => Loss::SquaredHinge,
        }
    }

    /// Most passes over the training rows.
    pub fn epochs(&self) -> u32 {
        match self {
            Self::Gradient(config) => config.epochs(),
            Self::CoordinateDescent(config) => config.epochs(),
        }
    }

    /// Whether models of an outline can be trained so.
    ///
    /// # Errors
    /// [`TrainError::NotLinear`] for coordinate descent of anything but a linear model of feature rows that is not packed.
    pub fn check(&self, outline: &Outline) -> Result<(), TrainError> {
        match self {
            Self::Gradient(_) => Ok(()),
            Self::CoordinateDescent(_) => CoordinateDescent::check(outline),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_names_its_solver_and_has_no_setting_of_another() {
        let read = |text: &str| toml::from_str::<TrainConfig>(text).map_err(|e| e.message().to_owned());
        assert_eq!(read("").unwrap(), TrainConfig::default());
        assert_eq!(read("solver = 'adam'\nepochs = 3").unwrap().epochs(), 3);
        let exact = read("solver = 'coordinate_descent'").unwrap();
        assert_eq!((exact.epochs(), exact.loss()), (1000, Loss::SquaredHinge));
        let all = "solver = 'coordinate_descent'\nloss = 'squared_hinge'\ncost = 0.25\ntolerance = 0.01\nepochs = 7";
        let TrainConfig::CoordinateDescent(config) = read(all).unwrap() else { panic!("another solver") };
        assert_eq!((config.cost(), config.tolerance(), config.epochs()), (0.25, 0.01, 7));
        for (bad, says) in [
            ("learning_rate = 0.01", "learning_rate is set, but it must be left out with solver"),
            ("batch = 8", "batch is set"),
            ("patience = 3", "patience is set"),
            ("schedule = 'linear'", "schedule is set"),
            ("weight_decay = 0.1", "weight_decay is set"),
            ("groups = [{ on = ['a'], frozen = true }]", "groups is set"),
            ("loss = 'cross_entropy'", "loss is \"cross_entropy\", but it must be \"squared_hinge\""),
            ("cost = 0.0", "cost is 0.0, but it must be more than 0"),
            ("cost = 1e9", "cost is 1000000000.0"),
            ("tolerance = 0.0", "tolerance is 0.0"),
            ("epochs = 0", "epochs is 0"),
        ] {
            let error = read(&format!("solver = 'coordinate_descent'\n{bad}")).unwrap_err();
            assert!(error.contains(says), "{bad}: {error}");
        }
        assert!(read("cost = 1.0").unwrap_err().contains("left out without solver"));
        assert!(read("solver = 'newton'").unwrap_err().contains("newton"));
    }

    #[test]
    fn a_table_is_written_as_it_is_read() {
        for text in ["epochs = 3", "solver = 'coordinate_descent'\ncost = 4.0"] {
            let config: TrainConfig = toml::from_str(text).unwrap();
            let written = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<TrainConfig>(&written).unwrap(), config, "{written}");
        }
        // The form in which hashes of recipes have it.
        let plain = serde_json::to_string(&TrainConfig::default()).unwrap();
        assert!(plain.starts_with(r#"{"loss":"cross_entropy","epochs":10,"batch":32,"#), "{plain}");
    }
}
