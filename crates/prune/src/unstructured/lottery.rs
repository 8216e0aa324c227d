//! `prune.lottery`: lottery tickets, iterative magnitude pruning with rewinding.
//!
//! Rounds of training and of cutting the smallest weights, each round the same share of what is left; after each cut
//! the surviving weights go back to where they were early in training (*rewinding*), and the round starts from there.
//! What survives the last round is the lottery ticket, trained once more from that point.
//!
//! With `rewind = "weights"`, the step makes that early point itself: a fresh network, trained for `rewind_epochs`
//! (none is Frankle and Carbin's first recipe; some are needed for larger networks, Frankle et al. 2020). What the
//! model had learnt is given up on purpose: only its shape, its masks and its packed sites stay.
//!
//! With `rewind = "learning_rate"`, weights stay and only the schedule of the learning rate starts again (Renda et
//! al. 2020): simpler, and as good.

use nlpress_model::{Layer, Layers, Model, Weight};
use nlpress_technique::{Cx, Family, Kind, Needs, Settings, StepError, parse, settings};
use serde::{Deserialize, Serialize};

use crate::PruneError;
use crate::frame::{
    Criterion, Curve, MaskBuilder, PruningSchedule, SCOPE, SchedulePoint, TARGET, Tuning, Unstructured,
    keep_largest, retrain,
};

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "prune.lottery",
    family: Family::Simplify,
    summary: "Lottery ticket, iterative magnitude pruning with rewinding: drops the smallest weights in \
              rounds, going back to an early point of training after each.",
    source: "Frankle and Carbin 2019, arXiv:1803.03635; Frankle et al. 2020, arXiv:1912.05671 (late rewinding); \
             Renda et al. 2020, arXiv:2003.02389 (learning-rate rewinding)",
    example: "sparsity = 0.8\nrounds = 2\nrewind_epochs = 1\ntrain = { epochs = 1 }",
    on: &["**"],
    settings: &[TARGET, &[SCOPE], Raw::SETTINGS],
    parse: parse::<Unstructured<Lottery>>,
};

/// What goes back after a cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rewind {
    /// The weights, to an early point of training.
    #[default]
    Weights,
    /// The schedule of the learning rate.
    LearningRate,
}

/// Magnitude in rounds, each of which goes back to an early point of training.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Lottery {
    /// The training up to the point that weights go back to; `None` where they do not.
    early: Option<Early>,
    rounds: u32,
    train: Tuning,
}

/// How the early point is reached.
#[derive(Clone, Debug, PartialEq)]
enum Early {
    /// It is the fresh network.
    Fresh,
    /// By some epochs.
    After(Tuning),
}

settings! {
    struct Raw {
        /// what goes back after each cut: "weights", to an early point of training anew (default); "learning_rate",
        /// the schedule only
        #[serde(default)]
        rewind: Rewind,
        /// epochs of a fresh network's training that the weights go back to, from 0 to 100; 1 by default, refused
        /// with "learning_rate"
        rewind_epochs: Option<u32>,
        /// cuts, from 1 to 100; 5 by default
        rounds: u32 => or(5).within(1..=100),
        /// each round's training, as a training table like finetune's; its learning rate is 1e-2, its schedule
        /// "linear" and its epochs 10 by default
        #[serde(default)]
        train: Tuning,
    }
}

impl TryFrom<Raw> for Lottery {
    type Error = PruneError;

    fn try_from(raw: Raw) -> Result<Self, PruneError> {
        let early = match (raw.rewind, raw.rewind_epochs) {
            (Rewind::LearningRate, None) => None,
            (Rewind::LearningRate, Some(epochs)) => {
                let bound = "left out with rewind = \"learning_rate\"";
                return Err(PruneError::setting("rewind_epochs", epochs, bound));
            }
            (Rewind::Weights, Some(0)) => Some(Early::Fresh),
            (Rewind::Weights, epochs) => {
                let epochs = epochs.unwrap_or(1);
                let bad = || PruneError::setting("rewind_epochs", epochs, "between 0 and 100");
                if epochs > 100 {
                    return Err(bad());
                }
                let fit = raw.train.fit().clone().with_epochs(epochs).map_err(|_| bad())?;
                Some(Early::After(raw.train.with_fit(fit)))
            }
        };
        Ok(Self { early, rounds: raw.rounds, train: raw.train })
    }
}

/// A fresh network of a model's shape with its masks, in which only packed sites keep their numbers.
fn fresh(model: &Model, cx: &Cx<'_>) -> Result<Model, StepError> {
    let (graph, mut layers) = Model::init(model.graph(), cx.seed)?.into_parts();
    for (new, old) in layers.iter_mut().zip(model.layers()) {
        match &old.weight {
            Weight::Dense(_) => {}
            Weight::Masked { .. } => *new = held(new.clone(), &old.weight.keep()),
            Weight::Packed { .. } => new.clone_from(old),
        }
    }
    Ok(Model::new(graph, layers)?)
}

/// A layer of which only some entries are left.
fn held(mut layer: Layer, keep: &[bool]) -> Layer {
    let values = layer.weight.values().iter().zip(keep).map(|(v, k)| if *k { *v } else { 0.0 }).collect();
    layer.weight = Weight::Masked { values, keep: keep.to_vec() };
    layer
}

/// The numbers of `point` with the masks of `cut`.
fn rewound(point: &Model, cut: &Model) -> Result<Model, StepError> {
    let (graph, Layers { sites, vectors }) = point.clone().into_parts();
    let sites = sites.into_iter().zip(cut.layers()).map(|(layer, cut)| match &cut.weight {
        Weight::Masked { keep, .. } => held(layer, keep),
        _ => layer,
    });
    Ok(Model::new(graph, Layers { sites: sites.collect(), vectors })?)
}

impl Criterion for Lottery {
    const KIND: Kind = KIND;

    fn needs(&self) -> Needs {
        Needs::TRAINING
    }

    /// The rounds are its schedule.
    fn prune(
        &self,
        mut model: Model,
        masks: &MaskBuilder,
        _schedule: &PruningSchedule,
        cx: &mut Cx<'_>,
    ) -> Result<Model, StepError> {
        let rounds = u64::from(self.rounds);
        let mut point = None;
        if let Some(early) = &self.early {
            model = fresh(&model, cx)?;
            if let Early::After(tuning) = early {
                model = retrain(model, tuning, "to the point", cx)?;
            }
            point = Some(model.clone());
            model = retrain(model, &self.train, "round 0", cx)?;
        }
        for round in 1..=rounds {
            cx.progress("rounds", round as usize - 1, rounds as usize)?;
            let scores = masks.weights(&model);
            let at = SchedulePoint { curve: Curve::Geometric, step: round, steps: rounds };
            model = masks.prune(model, &scores, at, &mut keep_largest)?;
            if let Some(point) = &point {
                model = rewound(point, &model)?;
            }
            model = retrain(model, &self.train, &format!("round {round}"), cx)?;
        }
        Ok(model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::Seed;
    use nlpress_model::{Graph, MlpSpec};

    #[test]
    fn survivors_go_back_and_the_others_stay_zero() {
        let graph = Graph::from(MlpSpec::new(3, &[2], 1, 0.0));
        let (point, trained) = (Model::init(&graph, Seed(1)).unwrap(), Model::init(&graph, Seed(2)).unwrap());
        let keep = vec![true, false, true, true, false, false];
        let (graph, mut layers) = trained.into_parts();
        layers[0] = held(layers[0].clone(), &keep);
        let back = rewound(&point, &Model::new(graph, layers).unwrap()).unwrap();
        for ((new, old), keep) in
            back.layers()[0].weight.values().iter().zip(point.layers()[0].weight.values().iter()).zip(&keep)
        {
            assert_eq!(*new, if *keep { *old } else { 0.0 });
        }
        assert_eq!(back.layers()[0].bias, point.layers()[0].bias);
        assert_eq!(back.layers()[1], point.layers()[1]);
    }

    #[test]
    fn settings_are_checked() {
        let read =
            |text: &str| toml::from_str::<Unstructured<Lottery>>(text).map_err(|e| e.message().to_owned());
        assert_eq!(read("sparsity = 0.5\nrewind_epochs = 0").unwrap().criterion().early, Some(Early::Fresh));
        assert_eq!(read("sparsity = 0.5\nrewind = 'learning_rate'").unwrap().criterion().early, None);
        for (bad, says) in [
            ("sparsity = 0.5\nrewind = 'learning_rate'\nrewind_epochs = 2", "rewind_epochs is 2"),
            ("sparsity = 0.5\nrewind_epochs = 101", "rewind_epochs is 101"),
            ("sparsity = 0.5\nrounds = 0", "rounds is 0, but it must be between 1 and 100"),
            ("sparsity = 0.5\nrewind = 'bias'", "bias"),
            ("rounds = 3", "sparsity, nonzeros or bytes is missing"),
        ] {
            let message = read(bad).unwrap_err();
            assert!(message.contains(says), "{bad}: {message}");
        }
    }
}
