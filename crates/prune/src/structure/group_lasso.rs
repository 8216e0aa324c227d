//! `prune.group_lasso`: structured sparsity by group lasso, then the weakest units go.
//!
//! A group lasso adds the norm of all weights of a unit, at every site that it touches, to the loss. Unlike L1, which
//! empties single connections all over, it draws whole units towards zero together, so that those which the task does
//! not need can be taken out of the matrices at little cost. The subgradient never makes a norm exactly zero; which
//! units go is therefore set by a share, not by a threshold.
//!
//! A weight between two selected layers belongs to a unit of each and is drawn by both. Biases are not penalised.

use nlpress_core::Fraction;
use nlpress_model::{Group, Model, Outline, SiteId};
use nlpress_technique::{
    Cx, Family, Kind, Made, Needs, Problem, Settings, StepError, Technique, parse, settings,
};
use nlpress_train::{Fit, FitConfig, Penalty, Place, TrainError, With, fit, places};

use crate::PruneError;
use crate::frame::tune_if;
use crate::importance::{self, Importance, ImportanceCriterion, least};
use crate::units::{self, Share, Shares};

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "prune.group_lasso",
    family: Family::Simplify,
    summary: "Structured sparsity by group lasso: trains under a penalty on the norm of each unit, then \
              removes the weakest; matrices shrink.",
    source: "Yuan and Lin 2006 (group lasso); Wen et al. 2016, arXiv:1608.03665 (structured sparsity learning)",
    example: "lambda = 1e-3\nremove = 0.5\ntrain = { epochs = 1 }",
    on: &["hidden.*", "encoder.layer.*.intermediate.dense"],
    settings: &[GroupLasso::SETTINGS],
    parse: parse::<GroupLasso>,
};

settings! {
    /// The checked configuration of `prune.group_lasso`.
    #[derive(Clone, Debug, PartialEq)]
    pub struct GroupLasso {
        /// weight of the penalty in the loss, positive; required
        lambda: f64 => required().positive(),
        /// training under the penalty, as a training table; by default its defaults
        #[serde(default)]
        train: FitConfig,
        /// share of the units (neurons, heads) of each selected group, more than 0 and at most 1, rounded down; one
        /// unit always stays; required
        remove: Fraction => required().share(),
        /// the count that is left is rounded up to a multiple of this, from 1 to 1024; 1 by default
        round_to: usize => or(1).within(1..=1024),
        /// training afterwards without the penalty, as a training table; none by default
        finetune: Option<FitConfig>,
    }
}

/// Norms below this pull with less than full force, so that a unit at zero stays there.
const SMALLEST_NORM: f64 = 1e-6;

/// The penalty `lambda · Σ √n · ‖w‖` over units of `n` weights `w` each; its derivative is added to `gradient`.
///
/// `entries` says which of `weights` belong to which of the `units` units: place, then unit.
///
/// # Errors
/// [`PruneError::Length`] when `gradient` is not as long as `weights`.
///
/// # Panics
/// When an entry names a place or a unit that is not there.
pub fn penalty(
    weights: &[f32],
    entries: &[(u32, u32)],
    units: usize,
    lambda: f64,
    gradient: &mut [f32],
) -> Result<f64, PruneError> {
    PruneError::same_length("the gradient", gradient.len(), weights.len())?;
    let (mut squares, mut counts) = (vec![0.0_f64; units], vec![0_u32; units]);
    for &(place, unit) in entries {
        squares[unit as usize] += f64::from(weights[place as usize]).powi(2);
        counts[unit as usize] += 1;
    }
    let norms = || squares.iter().map(|s| s.sqrt()).zip(counts.iter().map(|n| f64::from(*n).sqrt()));
    let factors: Vec<f32> = norms().map(|(w, n)| (lambda * n / w.max(SMALLEST_NORM)) as f32).collect();
    for &(place, unit) in entries {
        gradient[place as usize] += factors[unit as usize] * weights[place as usize];
    }
    Ok(lambda * norms().map(|(w, n)| n * w).sum::<f64>())
}

/// The weights of a group's units that are not held at zero: the place of each in [`Model::flat`], and its unit.
///
/// # Errors
/// [`TrainError::Failed`] when a site of the group is packed, so that it is not in there.
pub fn entries(model: &Model, group: &Group) -> Result<Vec<(u32, u32)>, TrainError> {
    let (keep, places) = (model.flat_keep(), places(model));
    let mut entries = Vec::new();
    for id in group.columns.iter().chain(&group.rows) {
        if !places.iter().any(|place| &place.id == id) {
            return Err(TrainError::Failed(format!("site {id} is packed or not there, and is not trained")));
        }
    }
    for Place { id, outputs, weights, .. } in places {
        let (made, read) = (group.columns.contains(&id), group.rows.contains(&id));
        if made || read {
            let unit = |i: usize| if made { i % outputs } else { i / outputs } / group.block;
            let live = weights.clone().filter(|i| keep[*i]);
            // No network has more than 2^28 weights.
            entries.extend(live.map(|i| (i as u32, unit(i - weights.start) as u32)));
        }
    }
    Ok(entries)
}

/// The penalty on the units of some groups, as a term of a training's loss.
#[derive(Debug)]
struct GroupPenalty {
    lambda: f64,
    /// The entries of each group, and how many units it has.
    groups: Vec<(Vec<(u32, u32)>, usize)>,
}

impl Penalty for GroupPenalty {
    fn add(&self, latent: &[f32], gradient: &mut [f32]) -> Result<(), TrainError> {
        for (entries, units) in &self.groups {
            let added = penalty(latent, entries, *units, self.lambda, gradient);
            added.map_err(|e| TrainError::Failed(e.to_string()))?;
        }
        Ok(())
    }
}

/// Trains a model on the step's data under `lambda` times the penalty on the units of `groups`.
///
/// # Errors
/// [`StepError`] when the training fails, a site of a group is packed, or on a request to stop.
pub fn train(
    model: Model,
    groups: &[Group],
    lambda: f64,
    config: &FitConfig,
    cx: &Cx<'_>,
) -> Result<Model, StepError> {
    let groups = groups.iter().map(|group| Ok((entries(&model, group)?, group.units)));
    let term = GroupPenalty { lambda, groups: groups.collect::<Result<_, TrainError>>()? };
    let with = With { penalties: vec![&term], ..With::default() };
    let plain = Fit::new(config, cx.backend, cx.train, cx.seed.derive("group_lasso"), cx.sink);
    Ok(fit(model, Fit { valid: Some(cx.valid), with, ..plain })?.0)
}

impl GroupLasso {
    fn share(&self) -> Share<'static> {
        Share { kinds: &units::INNER, remove: self.remove, round_to: self.round_to }
    }
}

impl Technique for GroupLasso {
    fn needs(&self) -> Needs {
        Needs::TRAINING
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        self.share().plan(before, on, problems)
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let counts = self.share().groups(model.graph(), on);
        let shares = Shares::of(&model);
        let groups: Vec<Group> = counts.iter().map(|(g, _)| g.clone()).collect();
        let mut model = train(model, &groups, self.lambda, &self.train, cx)?;
        let found = importance::score(&model, &groups, ImportanceCriterion::L2, cx)?;
        for ((group, count), Importance { scores, levels }) in counts.iter().zip(found) {
            let gone = least(&scores, group.units - count);
            cx.note(format!(
                "{}: {count} of {} units stay; {}",
                group.lead(),
                group.units,
                spread(&scores, &gone)
            ));
            if !gone.is_empty() {
                model = units::remove(model, group, &gone, Some(&levels))?;
            }
        }
        tune_if(shares.restore(model)?, self.finetune.as_ref(), cx)
    }
}

/// How far the norms of the units that go are from those of the others, in words; `squares` are the norms' squares.
fn spread(squares: &[f64], gone: &[usize]) -> String {
    let between = |which: &dyn Fn(&usize) -> bool| {
        let norms = || (0..squares.len()).filter(which).map(|unit| squares[unit].sqrt());
        (norms().fold(f64::INFINITY, f64::min), norms().fold(0.0, f64::max))
    };
    let (least, most) = between(&|unit| gone.binary_search(unit).is_err());
    if gone.is_empty() {
        return format!("their norms are {least:.3e} to {most:.3e}");
    }
    let (low, high) = between(&|unit| gone.binary_search(unit).is_ok());
    format!("norms of {low:.3e} to {high:.3e} go, of {least:.3e} to {most:.3e} stay")
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::Seed;
    use nlpress_model::{AttentionSpec, BlockSpec, Graph, MlpSpec, Ranks, Units, Weight};

    #[test]
    fn the_gradient_is_the_slope_of_the_penalty() {
        let weights = [0.5, -1.0, 0.0, 2.0, 0.25, -0.75, 3.0];
        // The second place belongs to no unit; unit 1 has no entry.
        let entries = [(0, 0), (2, 0), (3, 0), (4, 2), (5, 2), (6, 2)];
        let value = |weights: &[f32]| penalty(weights, &entries, 3, 0.3, &mut [0.0; 7]).unwrap();
        let mut gradient = [1.0; 7];
        let found = penalty(&weights, &entries, 3, 0.3, &mut gradient).unwrap();
        let by_hand = 0.3 * 3.0_f64.sqrt() * (4.25_f64.sqrt() + (9.0 + 0.625_f64).sqrt());
        assert!((found - by_hand).abs() < 1e-12, "{found} {by_hand}");
        for i in 0..7 {
            let moved = |by: f32| {
                let mut weights = weights;
                weights[i] += by;
                value(&weights)
            };
            let slope = (moved(0.001) - moved(-0.001)) / 0.002;
            let own = f64::from(gradient[i] - 1.0);
            assert!((slope - own).abs() < 1e-4, "{i}: {slope} {own}");
        }
        assert_eq!(gradient[1], 1.0);
        let mut none = [0.0; 2];
        assert_eq!(penalty(&[0.0; 2], &[(0, 0), (1, 0)], 1, 1.0, &mut none).unwrap(), 0.0);
        assert_eq!(none, [0.0; 2]);
        assert!(penalty(&weights, &entries, 3, 0.3, &mut [0.0; 6]).is_err());
    }

    #[test]
    fn entries_are_columns_of_what_makes_a_unit_and_rows_of_what_reads_it() {
        let graph = Graph::from(MlpSpec::new(2, &[3], 2, 0.0));
        let model = Model::init(&graph, Seed(1)).unwrap();
        let group = graph.groups().remove(0);
        let all = entries(&model, &group).unwrap();
        let of = |unit| all.iter().filter(|e| e.1 == unit).map(|e| e.0).collect::<Vec<_>>();
        // 2 × 3 weights and 3 biases, then 3 × 2.
        assert_eq!((of(0), of(1), of(2)), (vec![0, 3, 9, 10], vec![1, 4, 11, 12], vec![2, 5, 13, 14]));
        let values = vec![1.0, 0.0, 1.0, 1.0, 1.0, 1.0];
        let keep = vec![true, false, true, true, true, true];
        let masked = model.with_weight(&SiteId::hidden(0), Weight::Masked { values, keep }).unwrap();
        assert_eq!(entries(&masked, &group).unwrap().len(), 11);
    }

    #[test]
    fn a_unit_of_several_numbers_has_all_of_their_weights() {
        let graph = Graph::from(AttentionSpec {
            inputs: 5,
            width: 4,
            head_width: 3,
            layers: vec![BlockSpec { heads: 2, neurons: 6 }],
            outputs: 1,
            dropout: 0.0,
            tokens: 8,
            ranks: Ranks::new(),
        });
        let model = Model::init(&graph, Seed(1)).unwrap();
        let flat: Vec<f64> = model.flat().iter().map(|w| f64::from(*w)).collect();
        for group in graph.groups().iter().filter(|g| g.what != Units::Width) {
            let all = entries(&model, group).unwrap();
            let per_unit = all.len() / group.units;
            for unit in 0..group.units as u32 {
                assert_eq!(all.iter().filter(|e| e.1 == unit).count(), per_unit);
            }
            let sum: f64 = all.iter().map(|e| flat[e.0 as usize].powi(2)).sum();
            let sites =
                model.layers().iter().filter(|l| group.columns.contains(&l.id) || group.rows.contains(&l.id));
            let whole: f64 =
                sites.flat_map(|l| l.weight.values().into_owned()).map(|w| f64::from(w).powi(2)).sum();
            assert!((sum - whole).abs() < 1e-9, "{group:?}: {sum} {whole}");
        }
    }

    #[test]
    fn settings_are_checked() {
        let read = |text: &str| toml::from_str::<GroupLasso>(text).map_err(|e| e.message().to_owned());
        assert!(read("lambda = 0.01\nremove = 0.5\nround_to = 8").is_ok());
        for (bad, says) in [
            ("remove = 0.5", "lambda"),
            ("lambda = 0\nremove = 0.5", "lambda is 0, but it must be positive"),
            ("lambda = inf\nremove = 0.5", "lambda is inf"),
            ("lambda = 0.1\nremove = 0", "remove is 0"),
            ("lambda = 0.1\nremove = 0.5\nround_to = 0", "round_to is 0"),
            ("lambda = 0.1\nremove = 0.5\ntrain = { epochs = 0 }", "epochs is 0"),
        ] {
            let message = read(bad).unwrap_err();
            assert!(message.contains(says), "{bad}: {message}");
        }
    }
}
