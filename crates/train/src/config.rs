//! How to train: read from a recipe, then checked.

use nlpress_core::Selectors;
use serde::{Deserialize, Serialize};

/// A checked training configuration. Its defaults are the article's: 10 epochs, batches of 32, Adam at 1e-3.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct FitConfig(Raw);

/// Passes over the training rows where nothing is said.
const EPOCHS: u32 = 10;

/// A value that training cannot run with.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field} is {value}, but it must be {bound}")]
pub struct BadConfig {
    /// The field.
    pub field: &'static str,
    /// Its value.
    pub value: String,
    /// What would be accepted.
    pub bound: &'static str,
}

/// How the learning rate moves over the steps of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// It stays.
    #[default]
    Constant,
    /// It falls to zero in a straight line.
    Linear,
    /// It falls to zero along half a cosine (Loshchilov and Hutter 2017, without restarts).
    Cosine,
}

/// What a training on labels reduces, where no technique brings a loss of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// The negative logarithm of the label's probability: softmax over classes, sigmoid for two.
    #[default]
    CrossEntropy,
    /// The sum of `max(0, 1 − s·x)²` over the logits `x`, with `s = 1` for the label and `−1` for every other class:
    /// support vector machines of one class against the rest, as LIBLINEAR trains them (Fan et al. 2008, "LIBLINEAR: A
    /// Library for Large Linear Classification"). It often names the right class more often than cross-entropy where
    /// there are more words than documents; what its logits give by softmax is no probability.
    SquaredHinge,
}

/// What finds the parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Solver {
    /// Steps along the gradients of batches.
    #[default]
    Adam,
    /// [`CoordinateDescent`](crate::CoordinateDescent).
    CoordinateDescent,
}

/// A table of training as it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Raw {
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) solver: Solver,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cost: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tolerance: Option<f64>,
    /// What the solver usually reduces where there is none.
    pub(crate) loss: Option<Loss>,
    /// What the solver usually needs where there is none.
    pub(crate) epochs: Option<u32>,
    pub(crate) batch: usize,
    pub(crate) learning_rate: f64,
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    pub(crate) epsilon: f64,
    pub(crate) schedule: Schedule,
    pub(crate) warmup_steps: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) warmup: f64,
    #[serde(skip_serializing_if = "is_one")]
    pub(crate) accumulate: usize,
    pub(crate) clip_norm: Option<f64>,
    pub(crate) patience: Option<u32>,
    pub(crate) l1: f64,
    pub(crate) l2: f64,
    pub(crate) weight_decay: f64,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) groups: Vec<ParameterGroup>,
}

// What came later is not written where it is not set, so that the hash of a configuration stays what it was.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_one(value: &usize) -> bool {
    *value == 1
}

/// Sites that are trained otherwise than the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParameterGroup {
    /// Selectors of its sites; a site belongs to the first group that selects it.
    pub on: Vec<String>,
    /// What the learning rate is multiplied with; 1 when it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// The weight decay of these sites; that of the training when it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Whether nothing of them is trained.
    #[serde(default)]
    pub frozen: bool,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            solver: Solver::Adam,
            cost: None,
            tolerance: None,
            loss: None,
            epochs: None,
            batch: 32,
            learning_rate: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            schedule: Schedule::Constant,
            warmup_steps: 0,
            warmup: 0.0,
            accumulate: 1,
            clip_norm: None,
            patience: None,
            l1: 0.0,
            l2: 0.0,
            weight_decay: 0.0,
            groups: Vec::new(),
        }
    }
}

impl TryFrom<Raw> for FitConfig {
    type Error = BadConfig;

    fn try_from(mut raw: Raw) -> Result<Self, BadConfig> {
        let check = |ok: bool, field, value: String, bound| {
            if ok { Ok(()) } else { Err(BadConfig { field, value, bound }) }
        };
        let here = "\"adam\" here, where training takes steps along gradients";
        check(raw.solver == Solver::Adam, "solver", "\"coordinate_descent\"".into(), here)?;
        for (field, value) in [("cost", raw.cost), ("tolerance", raw.tolerance)] {
            let value = value.map(|x| format!("{x:?}"));
            let alone = "left out without solver = \"coordinate_descent\"";
            check(value.is_none(), field, value.unwrap_or_default(), alone)?;
        }
        raw.loss = Some(raw.loss.unwrap_or_default());
        let epochs = *raw.epochs.insert(raw.epochs.unwrap_or(EPOCHS));
        // Training computes in 32 bits: what is 0, 1 or infinite there is so here.
        let positive = |x: f64| (x as f32).is_finite() && x as f32 > 0.0;
        let below_one = |x: f64| (0.0..1.0).contains(&(x as f32)) && x >= 0.0;
        let (a_positive, a_share) = ("positive in 32 bits", "at least 0 and less than 1 in 32 bits");
        let not_negative = |x: f64| x.is_finite() && x >= 0.0;
        let n = |x: f64| format!("{x:?}");
        check((1..=10_000).contains(&epochs), "epochs", epochs.to_string(), "between 1 and 10000")?;
        check((1..=1 << 16).contains(&raw.batch), "batch", raw.batch.to_string(), "between 1 and 65536")?;
        check(positive(raw.learning_rate), "learning_rate", n(raw.learning_rate), a_positive)?;
        check(below_one(raw.beta1), "beta1", n(raw.beta1), a_share)?;
        check(below_one(raw.beta2), "beta2", n(raw.beta2), a_share)?;
        check(positive(raw.epsilon), "epsilon", n(raw.epsilon), a_positive)?;
        check(not_negative(raw.l1), "l1", n(raw.l1), "at least 0")?;
        check(not_negative(raw.l2), "l2", n(raw.l2), "at least 0")?;
        let kept = |decay: f64, rate: f64| (0.0..1.0).contains(&(decay * rate * raw.learning_rate));
        let bound = "at least 0, and less than 1 / learning_rate";
        check(kept(raw.weight_decay, 1.0), "weight_decay", n(raw.weight_decay), bound)?;
        check(
            (1..=1 << 16).contains(&raw.accumulate),
            "accumulate",
            raw.accumulate.to_string(),
            "between 1 and 65536",
        )?;
        check((0.0..1.0).contains(&raw.warmup), "warmup", n(raw.warmup), "at least 0 and less than 1")?;
        let one = raw.warmup == 0.0 || raw.warmup_steps == 0;
        check(one, "warmup", n(raw.warmup), "left out where warmup_steps is set")?;
        for group in &raw.groups {
            let readable = Selectors::parse(&group.on).is_ok();
            check(readable, "groups.on", format!("{:?}", group.on), "selectors, at least one without `!`")?;
            let left_out = group.rate.or(group.weight_decay).is_none() || !group.frozen;
            check(left_out, "groups.frozen", "true".into(), "left out beside rate or weight_decay")?;
            let rate = group.rate.unwrap_or(1.0);
            check(positive(rate), "groups.rate", n(rate), a_positive)?;
            let decay = group.weight_decay.unwrap_or(raw.weight_decay);
            let bound = "at least 0, and less than 1 / (learning_rate · rate)";
            check(kept(decay, rate), "groups.weight_decay", n(decay), bound)?;
        }
        if let Some(norm) = raw.clip_norm {
            check(positive(norm), "clip_norm", n(norm), a_positive)?;
        }
        if let Some(patience) = raw.patience {
            check(patience > 0, "patience", patience.to_string(), "at least 1 epoch")?;
        }
        Ok(Self(raw))
    }
}

impl Default for FitConfig {
    fn default() -> Self {
        Self(Raw { loss: Some(Loss::default()), epochs: Some(EPOCHS), ..Raw::default() })
    }
}

impl From<FitConfig> for Raw {
    fn from(config: FitConfig) -> Raw {
        config.0
    }
}

impl FitConfig {
    /// What a training on labels reduces.
    pub fn loss(&self) -> Loss {
        self.0.loss.unwrap_or_default()
    }

    /// Passes over the training rows.
    pub fn epochs(&self) -> u32 {
        self.0.epochs.unwrap_or(EPOCHS)
    }

    /// Rows whose gradient is computed at once.
    pub fn batch(&self) -> usize {
        self.0.batch
    }

    /// Rows of a step: so many batches, whose gradients are added up, as are set to be accumulated.
    pub fn rows_of_step(&self) -> usize {
        self.0.batch * self.0.accumulate
    }

    /// Steps of an epoch over so many rows.
    pub fn steps_of_epoch(&self, rows: usize) -> usize {
        rows.div_ceil(self.rows_of_step())
    }

    /// Sites that are trained otherwise than the rest.
    pub fn groups(&self) -> &[ParameterGroup] {
        &self.0.groups
    }

    /// Epochs without a better validation loss after which training ends, if it may end early.
    pub fn patience(&self) -> Option<u32> {
        self.0.patience
    }

    /// Largest Euclidean norm of a step's gradient; longer ones are scaled down.
    pub fn clip_norm(&self) -> Option<f64> {
        self.0.clip_norm
    }

    /// Weight of the sum of magnitudes of all weights in the loss.
    pub fn l1(&self) -> f64 {
        self.0.l1
    }

    /// Weight of the sum of squares of all weights in the loss.
    pub fn l2(&self) -> f64 {
        self.0.l2
    }

    /// Share of every weight, not of biases, that each step takes away, per unit of the learning rate: decoupled
    /// weight decay (Loshchilov and Hutter 2019).
    pub fn weight_decay(&self) -> f64 {
        self.0.weight_decay
    }

    /// The learning rate at its highest.
    pub fn peak_rate(&self) -> f64 {
        self.0.learning_rate
    }

    /// Adam's decay rates of the first and second moment, and the number that keeps its division finite.
    pub fn adam(&self) -> (f64, f64, f64) {
        (self.0.beta1, self.0.beta2, self.0.epsilon)
    }

    /// The learning rate at a step, from 0, of `steps`.
    pub fn learning_rate(&self, step: u64, steps: u64) -> f64 {
        let (peak, share) = (self.0.learning_rate, self.0.warmup);
        let rising = if share > 0.0 { (share * steps as f64).round() as u64 } else { self.0.warmup_steps };
        if step < rising {
            return peak * (step + 1) as f64 / rising as f64;
        }
        let done = (step - rising) as f64 / steps.saturating_sub(rising).max(1) as f64;
        match self.0.schedule {
            Schedule::Constant => peak,
            Schedule::Linear => peak * (1.0 - done).max(0.0),
            Schedule::Cosine => peak * 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos()),
        }
    }

    /// The same with another number of epochs.
    ///
    /// # Errors
    /// [`BadConfig`] when it is out of bounds.
    pub fn with_epochs(mut self, epochs: u32) -> Result<Self, BadConfig> {
        self.0.epochs = Some(epochs);
        Self::try_from(self.0)
    }

    /// The same with a penalty on the weights.
    ///
    /// # Errors
    /// [`BadConfig`] when a number is negative or not finite.
    pub fn with_penalty(mut self, l1: f64, l2: f64) -> Result<Self, BadConfig> {
        (self.0.l1, self.0.l2) = (l1, l2);
        Self::try_from(self.0)
    }

    /// The same with another learning rate.
    ///
    /// # Errors
    /// [`BadConfig`] when it is not positive.
    pub fn with_learning_rate(mut self, rate: f64) -> Result<Self, BadConfig> {
        self.0.learning_rate = rate;
        Self::try_from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_refuses() {
        let config: FitConfig = toml::from_str("epochs = 3\nclip_norm = 1.0").unwrap();
        assert_eq!((config.epochs(), config.batch(), config.clip_norm()), (3, 32, Some(1.0)));
        for bad in [
            "epochs = 0",
            "learning_rate = -1.0",
            "learning_rate = 1e-50",
            "beta2 = 0.99999999999",
            "epsilon = 1e300",
            "l1 = nan",
            "beta1 = 1.0",
            "epoch = 3",
            "patience = 0",
            "weight_decay = -0.1",
            "weight_decay = 1000.0",
            "loss = 'hinge'",
            "solver = 'coordinate_descent'",
            "cost = 1.0",
            "tolerance = 1e-4",
            "accumulate = 0",
            "warmup = 1.0",
            "warmup = 0.1\nwarmup_steps = 5",
            "groups = [{ rate = 0.1 }]",
            "groups = [{ on = [] }]",
            "groups = [{ on = ['a'], rate = 0.0 }]",
            "groups = [{ on = ['a'], frozen = true, rate = 0.1 }]",
            "groups = [{ on = ['a'], weight_decay = 1000.0 }]",
            "groups = [{ on = ['a'], freeze = true }]",
        ] {
            assert!(toml::from_str::<FitConfig>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn schedules_fall_from_the_peak() {
        let config: FitConfig = toml::from_str("schedule = 'cosine'\nwarmup_steps = 10").unwrap();
        assert!((config.learning_rate(0, 110) - 1e-4).abs() < 1e-12);
        assert!((config.learning_rate(10, 110) - 1e-3).abs() < 1e-12);
        assert!((config.learning_rate(60, 110) - 5e-4).abs() < 1e-12);
        let share: FitConfig = toml::from_str("warmup = 0.1").unwrap();
        let rates = [0, 9, 10, 99].map(|step| share.learning_rate(step, 100) / 1e-3);
        assert!((rates[0] - 0.1).abs() < 1e-12 && rates[1..].iter().all(|r| (r - 1.0).abs() < 1e-12));
        let linear: FitConfig = toml::from_str("schedule = 'linear'").unwrap();
        assert!((linear.learning_rate(50, 100) - 5e-4).abs() < 1e-12);
    }
}
