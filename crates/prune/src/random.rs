//! `prune.random`: the control. Connections go by lot.
//!
//! Whatever rule for dropping connections is no better than this one, at the same sparsity and with the same
//! training afterwards, has found nothing.

use nlpress_core::{Fraction, Rng};
use nlpress_model::{Model, Outline, SiteId};
use nlpress_technique::{Cx, Family, Kind, Needs, Problem, StepError, Technique, parse};
use nlpress_train::FitConfig;
use serde::Deserialize;

use crate::cut::{self, Cut, Scope};
use crate::magnitude::{alive, chosen};
use crate::tune::tune_if;
use crate::{PruneError, error};

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "prune.random",
    family: Family::Simplify,
    summary: "Drops connections by lot: the control for every other rule.",
    source: "Blalock et al. 2020, arXiv:2003.03033 (random pruning as the control that papers leave out)",
    example: "sparsity = 0.8",
    on: &["**"],
    settings: &[
        ("sparsity", "share of the selected sites' weights to drop, more than 0 and less than 1; required"),
        ("scope", "\"global\": drawn from all selected sites together (default); \"site\": from each"),
        ("finetune", "training afterwards with the mask held, as a training table; none by default"),
    ],
    parse: parse::<Random>,
};

/// The checked configuration of `prune.random`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Random {
    sparsity: Fraction,
    scope: Scope,
    finetune: Option<FitConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    sparsity: f64,
    #[serde(default)]
    scope: Scope,
    finetune: Option<FitConfig>,
}

impl TryFrom<Raw> for Random {
    type Error = PruneError;

    fn try_from(raw: Raw) -> Result<Self, PruneError> {
        Ok(Self { sparsity: error::sparsity(raw.sparsity)?, scope: raw.scope, finetune: raw.finetune })
    }
}

/// Of the entries that live, `count` live on, each set of so many being as likely as any other.
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
        let trains = self.finetune.is_some();
        Needs { training: trains, validation: trains, teacher: false }
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        cut::plan(before, on, self.sparsity, self.scope, problems)
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        cx.progress("cutting", 0, 1)?;
        let mut rng = cx.seed.derive(KIND.name).stream(0);
        let cut = Cut::of(&model, on, self.sparsity, self.scope)?;
        let model = cut.make(model, &mut |weights: &[&[f32]], kept: &[Vec<bool>], count| {
            keep_random(weights, kept, count, &mut rng)
        })?;
        tune_if(model, self.finetune.as_ref(), cx)
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
