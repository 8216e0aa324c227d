//! `prune.random`: the control. Connections are removed at random.
//!
//! Whatever rule for dropping connections is no better than this one, at the same sparsity and with the same
//! training afterwards, has found nothing.

use nlpress_core::Rng;
use nlpress_technique::{Cx, Family, Kind, parse};
use serde::Deserialize;

use crate::PruneError;
use crate::frame::{Criterion, KeepRule, SCHEDULE, SCOPE, TARGET, Unstructured, mask_from, unpruned};

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "prune.random",
    family: Family::Simplify,
    summary: "Random pruning: drops connections at random, as the control for every other criterion.",
    source: "Blalock et al. 2020, arXiv:2003.03033 (random pruning as the control that papers leave out)",
    example: "sparsity = 0.8",
    on: &["**"],
    settings: &[TARGET, &[SCOPE], SCHEDULE],
    parse: parse::<Unstructured<Random>>,
};

/// Every connection is as likely to go as any other.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Random {}

impl Criterion for Random {
    const KIND: Kind = KIND;

    fn rule(&self, cx: &Cx<'_>) -> Box<KeepRule<'static>> {
        let mut rng = cx.seed.derive(KIND.name).stream(0);
        Box::new(move |scores, kept, count| keep_random(scores, kept, count, &mut rng))
    }
}

/// A uniformly random mask: of the entries that are kept, `count` stay, every set of that size being equally likely.
///
/// As [`keep_largest`](crate::frame::keep_largest) otherwise; the values do not matter.
///
/// # Errors
/// As [`keep_largest`](crate::frame::keep_largest).
pub fn keep_random(
    weights: &[&[f32]],
    kept: &[Vec<bool>],
    count: usize,
    rng: &mut Rng,
) -> Result<Vec<Vec<bool>>, PruneError> {
    let mut places = unpruned(weights, kept, count)?;
    rng.shuffle(&mut places);
    Ok(mask_from(&places[..count], kept))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::Seed;

    #[test]
    fn draws_exactly_the_count_among_the_kept() {
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
