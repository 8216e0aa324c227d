//! The settings of coordinate descent.

use nlpress_model::graph::Source;
use nlpress_model::{Form, Graph, Outline};

use crate::TrainError;
use crate::config::{BadConfig, Loss, Raw, Solver};

/// Passes at most, where nothing is said: as scikit-learn's `LinearSVC` has it.
const PASSES: u32 = 1000;
/// The tolerance where nothing is said, as there.
const TOLERANCE: f64 = 1e-4;
/// Largest cost and tolerance.
const LARGEST: f64 = 1e6;
/// Smallest ones.
const SMALLEST: f64 = 1e-9;

/// Dual coordinate descent for linear models: the squared hinge of each class against the rest, with a penalty of half
/// the squared length of the class's weights and bias. What LIBLINEAR does, and so scikit-learn's `LinearSVC` (Hsieh et al. 2008,
/// "A Dual Coordinate Descent Method for Large-scale Linear SVM").
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CoordinateDescent {
    cost: f64,
    tolerance: f64,
    passes: u32,
}

impl CoordinateDescent {
    /// What a document's loss is multiplied with beside the penalty: `C` of scikit-learn.
    pub fn cost(&self) -> f64 {
        self.cost
    }

    /// How much the projected gradients of a pass over all documents may differ at the end.
    pub fn tolerance(&self) -> f64 {
        self.tolerance
    }

    /// Most passes over the documents of a class against the rest.
    pub fn epochs(&self) -> u32 {
        self.passes
    }

    /// Whether models of an outline are linear in feature rows, and can be trained.
    ///
    /// # Errors
    /// [`TrainError::NotLinear`].
    pub fn check(outline: &Outline) -> Result<(), TrainError> {
        let graph = &outline.graph;
        let linear = Graph::feed_forward(graph.source, &[], graph.outputs(), graph.dropout());
        let refuse = |why: String| Err(TrainError::NotLinear(why));
        if !matches!(graph.source, Source::Features { .. }) || *graph != linear {
            let sites: Vec<&str> = outline.sites.iter().map(|site| site.id.as_str()).collect();
            return refuse(format!("the network has the sites {}", sites.join(", ")));
        }
        match outline.sites.iter().find(|site| matches!(site.form, Form::Packed(_))) {
            Some(site) => refuse(format!("site {} is {}", site.id, site.form)),
            None => Ok(()),
        }
    }
}

impl TryFrom<Raw> for CoordinateDescent {
    type Error = BadConfig;

    fn try_from(raw: Raw) -> Result<Self, BadConfig> {
        let refuse = |field, value: String, bound| Err(BadConfig { field, value, bound });
        if let Some(field) = set_for_steps(&raw) {
            let bound = "left out with solver = \"coordinate_descent\", which takes no steps along gradients";
            return refuse(field, "set".into(), bound);
        }
        if raw.loss == Some(Loss::CrossEntropy) {
            let bound = "\"squared_hinge\", which is all that solver = \"coordinate_descent\" reduces";
            return refuse("loss", "\"cross_entropy\"".into(), bound);
        }
        let (cost, tolerance) = (raw.cost.unwrap_or(1.0), raw.tolerance.unwrap_or(TOLERANCE));
        for (field, value) in [("cost", cost), ("tolerance", tolerance)] {
            if !(SMALLEST..=LARGEST).contains(&value) {
                return refuse(field, format!("{value:?}"), "more than 0: from 1e-9 to 1e6");
            }
        }
        match raw.epochs.unwrap_or(PASSES) {
            passes @ 1..=10_000 => Ok(Self { cost, tolerance, passes }),
            passes => refuse("epochs", passes.to_string(), "between 1 and 10000"),
        }
    }
}

impl From<CoordinateDescent> for Raw {
    fn from(config: CoordinateDescent) -> Raw {
        let CoordinateDescent { cost, tolerance, passes } = config;
        Raw {
            solver: Solver::CoordinateDescent,
            cost: Some(cost),
            tolerance: Some(tolerance),
            loss: Some(Loss::SquaredHinge),
            epochs: Some(passes),
            ..Raw::default()
        }
    }
}

/// A setting that only steps along gradients have, and that is set.
fn set_for_steps(raw: &Raw) -> Option<&'static str> {
    let usual = Raw::default();
    [
        ("batch", raw.batch != usual.batch),
        ("learning_rate", raw.learning_rate != usual.learning_rate),
        ("beta1", raw.beta1 != usual.beta1),
        ("beta2", raw.beta2 != usual.beta2),
        ("epsilon", raw.epsilon != usual.epsilon),
        ("schedule", raw.schedule != usual.schedule),
        ("warmup_steps", raw.warmup_steps != usual.warmup_steps),
        ("warmup", raw.warmup != usual.warmup),
        ("accumulate", raw.accumulate != usual.accumulate),
        ("clip_norm", raw.clip_norm != usual.clip_norm),
        ("patience", raw.patience != usual.patience),
        ("l1", raw.l1 != usual.l1),
        ("l2", raw.l2 != usual.l2),
        ("weight_decay", raw.weight_decay != usual.weight_decay),
        ("groups", raw.groups != usual.groups),
    ]
    .into_iter()
    .find_map(|(field, is_set)| is_set.then_some(field))
}
