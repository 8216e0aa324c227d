//! Masks from scores: exact counts of entries to keep, of several tensors together or of each output by itself.
//!
//! Plain functions on slices. Which scores they are given is a technique's own.

use super::target::split;
use crate::PruneError;

/// Makes masks by scores: of the entries of several tensors that are `kept`, it says which `count` stay.
pub type KeepRule<'a> = dyn FnMut(&[&[f32]], &[Vec<bool>], usize) -> Result<Vec<Vec<bool>>, PruneError> + 'a;

/// Masks of the `count` entries of the largest magnitude.
///
/// `weights` are the entries of several tensors, which compete with each other; `kept` are the masks before. An entry
/// that was masked stays masked. Among equals, the earlier tensor and the earlier entry stay; what is not a number goes
/// first. Exactly `count` are `true` in the result, whose shape is `kept`'s.
///
/// # Errors
/// [`PruneError::Length`] when the lengths differ, [`PruneError::TooFew`] when fewer than `count` are kept.
pub fn keep_largest(
    weights: &[&[f32]],
    kept: &[Vec<bool>],
    count: usize,
) -> Result<Vec<Vec<bool>>, PruneError> {
    keep_by(weights, kept, count, f32::abs)
}

/// As [`keep_largest`] for scores that may be negative: masks of the `count` highest.
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
    let mut places = unpruned(values, kept, count)?;
    let size = |&(tensor, entry): &(u32, u32)| {
        let x = size(values[tensor as usize][entry as usize]);
        if x.is_nan() { f32::NEG_INFINITY } else { x }
    };
    if (1..places.len()).contains(&count) {
        // Larger first, then earlier first: a total order, so that the outcome is one and the same everywhere.
        places.select_nth_unstable_by(count - 1, |a, b| size(b).total_cmp(&size(a)).then(a.cmp(b)));
    }
    Ok(mask_from(&places[..count], kept))
}

/// Places `(tensor, entry)` of all entries that are kept, in order; an error when there are fewer than `count`.
pub(crate) fn unpruned(
    weights: &[&[f32]],
    kept: &[Vec<bool>],
    count: usize,
) -> Result<Vec<(u32, u32)>, PruneError> {
    PruneError::same_length("kept", kept.len(), weights.len())?;
    let mut all = Vec::new();
    for (tensor, (weights, kept)) in weights.iter().zip(kept).enumerate() {
        PruneError::same_length("kept", kept.len(), weights.len())?;
        if u32::try_from(weights.len()).is_err() {
            let (found, expected) = (weights.len(), u32::MAX as usize);
            return Err(PruneError::Length { what: "a tensor", found, expected });
        }
        let places = kept.iter().enumerate().filter(|(_, k)| **k);
        all.extend(places.map(|(entry, _)| (tensor as u32, entry as u32)));
    }
    if count > all.len() {
        return Err(PruneError::TooFew { wanted: count, kept: all.len() });
    }
    Ok(all)
}

/// Masks of exactly the places given.
pub(crate) fn mask_from(places: &[(u32, u32)], like: &[Vec<bool>]) -> Vec<Vec<bool>> {
    let mut masks: Vec<Vec<bool>> = like.iter().map(|k| vec![false; k.len()]).collect();
    for &(tensor, entry) in places {
        masks[tensor as usize][entry as usize] = true;
    }
    masks
}

/// [`KeepRule`] on each output's incoming weights by themselves: `values` are `[inputs, outputs]`.
///
/// Every output keeps the same share of `count`, one more or less; an output that has fewer left keeps them all,
/// and the others share the rest.
///
/// # Errors
/// [`PruneError`] when the lengths differ or fewer than `count` are kept.
pub(crate) fn keep_each_output(
    values: &[f32],
    kept: &[bool],
    outputs: usize,
    count: usize,
    rule: &mut KeepRule<'_>,
) -> Result<Vec<bool>, PruneError> {
    PruneError::same_length("kept", kept.len(), values.len())?;
    let have = kept_by_output(kept, outputs);
    keep_in_outputs(values, kept, &fill(count, &have)?, rule)
}

/// Entries of each output in a mask `[inputs, outputs]`.
pub(crate) fn kept_by_output(kept: &[bool], outputs: usize) -> Vec<usize> {
    (0..outputs).map(|o| kept.iter().skip(o).step_by(outputs).filter(|k| **k).count()).collect()
}

/// [`KeepRule`] on each output's incoming weights by themselves, with a count for each.
pub(crate) fn keep_in_outputs(
    values: &[f32],
    kept: &[bool],
    counts: &[usize],
    rule: &mut KeepRule<'_>,
) -> Result<Vec<bool>, PruneError> {
    PruneError::same_length("kept", kept.len(), values.len())?;
    let column = |o: usize| (o..values.len()).step_by(counts.len());
    let mut mask = vec![false; values.len()];
    for (o, &count) in counts.iter().enumerate() {
        let of: Vec<f32> = column(o).map(|i| values[i]).collect();
        let was: Vec<bool> = column(o).map(|i| kept[i]).collect();
        for (i, keep) in column(o).zip(rule(&[&of], &[was], count)?.into_iter().flatten()) {
            mask[i] = keep;
        }
    }
    Ok(mask)
}

/// Spreads `count` evenly over places of limited `room`.
fn fill(count: usize, room: &[usize]) -> Result<Vec<usize>, PruneError> {
    let kept: usize = room.iter().sum();
    if count > kept {
        return Err(PruneError::TooFew { wanted: count, kept });
    }
    let mut given = vec![0; room.len()];
    let mut left = count;
    while left > 0 {
        let open: Vec<usize> = (0..room.len()).filter(|i| given[*i] < room[*i]).collect();
        for (&i, share) in open.iter().zip(split(left, &vec![1; open.len()])) {
            let more = share.min(room[i] - given[i]);
            given[i] += more;
            left -= more;
        }
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_output_keeps_its_share_and_a_poor_one_all() {
        // Three inputs, four outputs; the third output has one entry left.
        let values = [9.0, 1.0, 5.0, 3.0, 8.0, 2.0, 6.0, 2.0, 7.0, 3.0, 7.0, 1.0];
        let mut kept = [true; 12];
        (kept[2], kept[6]) = (false, false);
        let masks = |count| keep_each_output(&values, &kept, 4, count, &mut keep_largest);
        let by_output = |mask: &[bool]| -> Vec<usize> {
            (0..4).map(|o| mask.iter().skip(o).step_by(4).filter(|k| **k).count()).collect()
        };
        let mask = masks(8).unwrap();
        assert_eq!(by_output(&mask).iter().sum::<usize>(), 8);
        assert_eq!(by_output(&mask)[2], 1);
        assert!(by_output(&mask).iter().all(|n| *n >= 1));
        assert_eq!(by_output(&masks(4).unwrap()), [1, 1, 1, 1]);
        assert!(masks(4).unwrap()[0] && masks(4).unwrap()[9] && masks(4).unwrap()[3]);
        assert!(masks(11).is_err());
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
