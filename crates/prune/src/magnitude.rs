//! `prune.magnitude`: the connections of the smallest magnitude go.
//!
//! The oldest rule, and hard to beat with some training afterwards (Han et al. 2015): a weight near zero adds
//! little to any sum. Ranked over all sites together by default, because a sparsity for each site alone ruins
//! the small last layers (70 weights of an output layer are not as redundant as 128,000 of the first). At once,
//! or in steps along the cubic curve of Zhu and Gupta (2017) with training in between.
//!
//! It changes no shape; the zeros pay when the site is packed sparse (`prune.sparse`, or by the artifact).

use nlpress_model::{Model, Outline, SiteId};
use nlpress_technique::{Cx, Family, Kind, Needs, Problem, StepError, Technique, parse};
use serde::Deserialize;

use crate::PruneError;
use crate::cut::{self, Cut, SCOPE, Scope};
use crate::schedule::{SCHEDULE, STEPS, Schedule, Stages};
use crate::target::{BYTES, NONZEROS, SPARSITY, Target};
use crate::tune::{FINETUNE, Tuning};

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "prune.magnitude",
    family: Family::Simplify,
    summary: "Drops the connections of the smallest magnitude, at once or along a schedule.",
    source: "Han et al. 2015, arXiv:1506.02626; schedule: Zhu and Gupta 2017, arXiv:1710.01878",
    example: "sparsity = 0.8\nschedule = \"cubic\"\nsteps = 2\nfinetune = { epochs = 2 }",
    on: &["**"],
    settings: &[SPARSITY, NONZEROS, BYTES, SCOPE, SCHEDULE, STEPS, FINETUNE],
    parse: parse::<Magnitude>,
};

/// The checked configuration of `prune.magnitude`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Magnitude {
    target: Target,
    scope: Scope,
    stages: Stages,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    sparsity: Option<f64>,
    nonzeros: Option<usize>,
    bytes: Option<usize>,
    #[serde(default)]
    scope: Scope,
    #[serde(default)]
    schedule: Schedule,
    steps: Option<u32>,
    finetune: Option<Tuning>,
}

impl TryFrom<Raw> for Magnitude {
    type Error = PruneError;

    fn try_from(raw: Raw) -> Result<Self, PruneError> {
        let target = Target::one_of(raw.sparsity, raw.nonzeros, raw.bytes)?;
        let stages = Stages::new(raw.schedule, raw.steps, raw.finetune)?;
        Ok(Self { target, scope: raw.scope, stages })
    }
}

/// Of the entries that live, the `count` of the largest magnitude live on.
///
/// `weights` are the entries of several tensors, which compete with each other; `kept` says of each whether it
/// lives. An entry that does not live never comes back. Among equals, the earlier tensor and the earlier entry
/// stay; what is not a number goes first. Exactly `count` are `true` in the result, whose shape is `kept`'s.
///
/// # Errors
/// [`PruneError::Length`] when the lengths differ, [`PruneError::TooFew`] when fewer than `count` live.
pub fn keep_largest(
    weights: &[&[f32]],
    kept: &[Vec<bool>],
    count: usize,
) -> Result<Vec<Vec<bool>>, PruneError> {
    keep_by(weights, kept, count, f32::abs)
}

/// As [`keep_largest`] for scores that may be negative: the `count` of the highest live on.
///
/// # Errors
/// As [`keep_largest`].
pub fn keep_highest(
    scores: &[&[f32]],
    kept: &[Vec<bool>],
    count: usize,
) -> Result<Vec<Vec<bool>>, PruneError> {
    // Adding zero makes one zero of both.
    keep_by(scores, kept, count, |x| x + 0.0)
}

fn keep_by(
    values: &[&[f32]],
    kept: &[Vec<bool>],
    count: usize,
    size: impl Fn(f32) -> f32,
) -> Result<Vec<Vec<bool>>, PruneError> {
    let mut alive = alive(values, kept, count)?;
    let size = |&(tensor, entry): &(u32, u32)| {
        let x = size(values[tensor as usize][entry as usize]);
        if x.is_nan() { f32::NEG_INFINITY } else { x }
    };
    if (1..alive.len()).contains(&count) {
        // Larger first, then earlier first: a total order, so that the outcome is one and the same everywhere.
        alive.select_nth_unstable_by(count - 1, |a, b| size(b).total_cmp(&size(a)).then(a.cmp(b)));
    }
    Ok(chosen(&alive[..count], kept))
}

/// Places `(tensor, entry)` of all entries that live, in order.
pub(crate) fn alive(
    weights: &[&[f32]],
    kept: &[Vec<bool>],
    count: usize,
) -> Result<Vec<(u32, u32)>, PruneError> {
    PruneError::same_length("kept", kept.len(), weights.len())?;
    let mut alive = Vec::new();
    for (tensor, (weights, kept)) in weights.iter().zip(kept).enumerate() {
        PruneError::same_length("kept", kept.len(), weights.len())?;
        if u32::try_from(weights.len()).is_err() {
            let (found, expected) = (weights.len(), u32::MAX as usize);
            return Err(PruneError::Length { what: "a tensor", found, expected });
        }
        let places = kept.iter().enumerate().filter(|(_, k)| **k);
        alive.extend(places.map(|(entry, _)| (tensor as u32, entry as u32)));
    }
    if count > alive.len() {
        return Err(PruneError::TooFew { wanted: count, kept: alive.len() });
    }
    Ok(alive)
}

/// Masks that keep exactly the places given.
pub(crate) fn chosen(places: &[(u32, u32)], like: &[Vec<bool>]) -> Vec<Vec<bool>> {
    let mut masks: Vec<Vec<bool>> = like.iter().map(|k| vec![false; k.len()]).collect();
    for &(tensor, entry) in places {
        masks[tensor as usize][entry as usize] = true;
    }
    masks
}

impl Technique for Magnitude {
    fn needs(&self) -> Needs {
        self.stages.needs()
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        cut::plan(before, on, self.target, self.scope, problems)
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        let cut = Cut::of(&model, on, self.target, self.scope)?;
        self.stages.run(model, &cut, cx, &mut |model, _, _| Ok(cut.weights(model)), &mut keep_largest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Magnitude, String> {
        toml::from_str(text).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn settings_are_checked() {
        assert!(!read("sparsity = 0.5").unwrap().stages.trains());
        assert!(read(KIND.example).unwrap().stages.trains());
        assert_eq!(read("bytes = 9000\nscope = 'output'").unwrap().target, Target::Bytes(9000));
        for (bad, says) in [
            ("", "sparsity, nonzeros or bytes is missing"),
            ("sparsity = 1.0", "sparsity is 1, but it must be more than 0 and less than 1"),
            ("sparsity = nan", "sparsity is NaN"),
            ("sparsity = 0.5\nscope = 'layer'", "layer"),
            ("sparsity = 0.5\nsteps = 3", "steps is 3"),
            ("sparsity = 0.5\nschedule = 'cubic'\nfinetune = {}", "steps is missing"),
            ("sparsity = 0.5\nsparse = true", "sparse"),
            ("sparsity = 0.5\nfinetune = { epochs = 0 }", "epochs is 0"),
        ] {
            let message = read(bad).unwrap_err();
            assert!(message.contains(says), "{bad}: {message}");
        }
    }

    #[test]
    fn scores_keep_their_sign_and_both_zeros_are_one() {
        let all = [vec![true; 5]];
        let masks = keep_highest(&[&[-0.0, -9.0, 0.0, f32::NAN, 1.0]], &all, 2).unwrap();
        assert_eq!(masks, [vec![true, false, false, false, true]]);
        let masks = keep_highest(&[&[-0.0, -9.0, 0.0, f32::NAN, 1.0]], &all, 4).unwrap();
        assert_eq!(masks, [vec![true, true, true, false, true]]);
    }

    #[test]
    fn the_largest_stay_and_ties_go_by_place() {
        let kept = [vec![true; 3], vec![true, false, true]];
        let masks = keep_largest(&[&[1.0, -3.0, 1.0], &[0.5, 9.0, 1.0]], &kept, 2).unwrap();
        assert_eq!(masks, [vec![true, true, false], vec![false; 3]]);
    }

    #[test]
    fn what_is_not_a_number_goes_first() {
        let weights = [f32::NAN, 0.0, -f32::NAN, f32::INFINITY];
        let masks = keep_largest(&[&weights], &[vec![true; 4]], 2).unwrap();
        assert_eq!(masks, [vec![false, true, false, true]]);
    }

    #[test]
    fn impossible_requests_are_errors() {
        assert!(matches!(keep_largest(&[&[1.0]], &[vec![false]], 1), Err(PruneError::TooFew { .. })));
        assert!(matches!(keep_largest(&[&[1.0]], &[vec![true; 2]], 1), Err(PruneError::Length { .. })));
        assert!(matches!(keep_largest(&[&[1.0]], &[], 1), Err(PruneError::Length { .. })));
        assert_eq!(keep_largest(&[], &[], 0).unwrap(), Vec::<Vec<bool>>::new());
    }

    proptest! {
        #[test]
        fn exactly_so_many_stay_and_none_that_goes_is_larger(
            tensors in prop::collection::vec(
                prop::collection::vec((prop::num::f32::ANY, prop::bool::ANY), 0..40), 0..4),
            share in 0.0..=1.0f64,
        ) {
            let weights: Vec<Vec<f32>> = tensors.iter().map(|t| t.iter().map(|e| e.0).collect()).collect();
            let kept: Vec<Vec<bool>> = tensors.iter().map(|t| t.iter().map(|e| e.1).collect()).collect();
            let slices: Vec<&[f32]> = weights.iter().map(Vec::as_slice).collect();
            let living = kept.iter().flatten().filter(|k| **k).count();
            let count = (living as f64 * share) as usize;
            let masks = keep_largest(&slices, &kept, count).unwrap();
            let rank = |x: f32| if x.is_nan() { -1.0 } else { x.abs() };
            let (mut stay, mut go) = (Vec::new(), Vec::new());
            for (x, (was, is)) in weights.iter().flatten().zip(kept.iter().flatten().zip(masks.iter().flatten())) {
                prop_assert!(*was || !*is, "an entry came back");
                match (was, is) {
                    (_, true) => stay.push(rank(*x)),
                    (true, false) => go.push(rank(*x)),
                    _ => {}
                }
            }
            prop_assert_eq!(stay.len(), count);
            let least = stay.iter().copied().fold(f32::INFINITY, f32::min);
            prop_assert!(go.iter().all(|x| *x <= least));
        }
    }
}
