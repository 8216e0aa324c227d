//! `prune.random`: the control. Connections are removed at random.
//!
//! Whatever rule for dropping connections is no better than this one, at the same sparsity and with the same
//! training afterwards, has found nothing.

use nlpress_core::Rng;
use nlpress_model::{Model, Outline, SiteId};
use nlpress_technique::{Cx, Family, Kind, Needs, Problem, StepError, Technique, parse};
use serde::Deserialize;

use crate::PruneError;
use crate::cut::{self, Cut, SCOPE, Scope};
use crate::magnitude::{alive, chosen};
use crate::schedule::{SCHEDULE, STEPS, Schedule, Stages};
use crate::target::{BYTES, NONZEROS, SPARSITY, Target};
use crate::tune::{FINETUNE, Tuning};

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "prune.random",
    family: Family::Simplify,
    summary: "Drops connections at random: the control for every other rule.",
    source: "Blalock et al. 2020, arXiv:2003.03033 (random pruning as the control that papers leave out)",
    example: "sparsity = 0.8",
    on: &["**"],
    settings: &[SPARSITY, NONZEROS, BYTES, SCOPE, SCHEDULE, STEPS, FINETUNE],
    parse: parse::<Random>,
};

/// The checked configuration of `prune.random`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Random {
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

impl TryFrom<Raw> for Random {
    type Error = PruneError;

    fn try_from(raw: Raw) -> Result<Self, PruneError> {
        let target = Target::one_of(raw.sparsity, raw.nonzeros, raw.bytes)?;
        let stages = Stages::new(raw.schedule, raw.steps, raw.finetune)?;
        Ok(Self { target, scope: raw.scope, stages })
    }
}

/// A uniformly random mask: of the entries that are kept, `count` stay, every set of that size being equally likely.
///
/// As [`keep_largest`](crate::magnitude::keep_largest) otherwise; the values do not matter.
///
/// # Errors
/// As [`keep_largest`](crate::magnitude::keep_largest).
pub fn keep_random(
    weights: &[&[f32]],
    kept: &[Vec<bool>],
    count: usize,
    rng: &mut Rng,
) -> Result<Vec<Vec<bool>>, PruneError> {
    let mut alive = alive(weights, kept, count)?;
    rng.shuffle(&mut alive);
    Ok(chosen(&alive[..count], kept))
}

impl Technique for Random {
    fn needs(&self) -> Needs {
        self.stages.needs()
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        cut::plan(before, on, self.target, self.scope, problems)
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        let mut rng = cx.seed.derive(KIND.name).stream(0);
        let cut = Cut::of(&model, on, self.target, self.scope)?;
        let mut rule =
            |weights: &[&[f32]], kept: &[Vec<bool>], count| keep_random(weights, kept, count, &mut rng);
        self.stages.run(model, &cut, cx, &mut |model, _, _| Ok(cut.weights(model)), &mut rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::Seed;

    #[test]
    fn draws_so_many_and_never_the_dead() {
        let kept = [vec![true; 50], (0..50).map(|i| i % 2 == 0).collect()];
        let zeros = [0.0; 50];
        let draw = |seed| keep_random(&[&zeros, &zeros], &kept, 30, &mut Seed(seed).stream(0)).unwrap();
        let masks = draw(1);
        assert_eq!(masks.iter().flatten().filter(|k| **k).count(), 30);
        assert!(masks.iter().flatten().zip(kept.iter().flatten()).all(|(is, was)| *was || !is));
        assert_eq!(masks, draw(1));
        assert_ne!(masks, draw(2));
        assert!(keep_random(&[&zeros, &zeros], &kept, 76, &mut Seed(1).stream(0)).is_err());
    }
}
