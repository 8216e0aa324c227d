//! `prune.clip`: sparse clipping, magnitude pruning within each site, in a sparse matrix.
//!
//! Each selected site is a list of its non-zeros first; the smallest of the list go until the site has its own
//! share of zeros, by magnitude and for each site alone, as the article's section 3.2.3 has it. Zeros cost
//! nothing to drop: they go first. Then, where asked, a training with the mask held, and the list is packed.
//!
//! Against `prune.sparse`, whose entries compete over all sites: every site gets the same share here, which
//! makes sizes predictable for each site and treats small layers harder.

use nlpress_technique::{Cx, Family, Kind, Settings, parse, settings};

use crate::PruneError;
use crate::frame::{Criterion, FINETUNE, KeepRule, Places, Scope, TARGET, Unstructured};

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "prune.clip",
    family: Family::Clip,
    summary: "Sparse clipping, magnitude pruning within each layer: turns each site into a sparse matrix and \
              drops the smallest of its entries.",
    source: "Han et al. 2015, arXiv:1506.02626, with a threshold for each layer",
    example: "sparsity = 0.6",
    on: &["**"],
    settings: &[TARGET, Clip::SETTINGS, &[FINETUNE]],
    parse: parse::<Unstructured<Clip>>,
};

settings! {
    /// The smallest non-zeros of each site go; the others are packed.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Clip {
        /// "auto": the smaller for each site (default); "bitmask"; "csr"
        #[serde(default)]
        index: Places,
    }
}

impl Criterion for Clip {
    const KIND: Kind = KIND;
    const DEFAULT_SCOPE: Scope = Scope::Site;

    fn rule(&self, _cx: &Cx<'_>) -> Box<KeepRule<'static>> {
        Box::new(|weights, kept, count| {
            weights.iter().zip(kept).map(|(w, k)| clip_one(w, k, count)).collect()
        })
    }

    fn layout(&self) -> Option<Places> {
        Some(self.index)
    }
}

/// The `count` entries of the largest magnitude of a list `(place, value)`, the earlier among equals, in their old order.
///
/// A list shorter than `count` stays as it is. What is not a number goes first.
pub fn clip_list(list: &[(u32, f32)], count: usize) -> Vec<(u32, f32)> {
    let size = |x: f32| if x.is_nan() { -1.0 } else { x.abs() };
    let mut ranked = list.to_vec();
    ranked.sort_by(|a, b| size(b.1).total_cmp(&size(a.1)));
    ranked.truncate(count);
    ranked.sort_by_key(|(place, _)| *place);
    ranked
}

/// [`clip_list`] on the non-zeros of one weight. Where there are fewer than `count`, unmasked zeros are kept, too, the
/// first ones, so that exactly `count` entries are.
fn clip_one(values: &[f32], kept: &[bool], count: usize) -> Result<Vec<bool>, PruneError> {
    PruneError::same_length("kept", kept.len(), values.len())?;
    let living = || kept.iter().enumerate().filter(|(_, k)| **k).map(|(i, _)| i);
    let list: Vec<(u32, f32)> =
        living().filter(|i| values[*i] != 0.0).map(|i| (i as u32, values[i])).collect();
    let mut keep = vec![false; values.len()];
    let clipped = clip_list(&list, count);
    clipped.iter().for_each(|(i, _)| keep[*i as usize] = true);
    let zeros = living().filter(|i| values[*i] == 0.0).take(count - clipped.len());
    let zeros: Vec<usize> = zeros.collect();
    if clipped.len() + zeros.len() < count {
        return Err(PruneError::TooFew { wanted: count, kept: living().count() });
    }
    zeros.into_iter().for_each(|i| keep[i] = true);
    Ok(keep)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::keep_largest;

    #[test]
    fn the_list_keeps_its_order() {
        let list = [(0, 1.0), (3, -5.0), (4, f32::NAN), (9, 2.0), (11, 2.0)];
        assert_eq!(clip_list(&list, 2), [(3, -5.0), (9, 2.0)]);
        assert_eq!(clip_list(&list[..2], 9), list[..2]);
    }

    #[test]
    fn agrees_with_ranking_the_whole_weight() {
        let values = [0.0, -3.0, 0.5, 0.0, 2.0, -0.5, 0.0, 1.0];
        for kept in [[true; 8], [true, true, false, true, true, true, false, true]] {
            let living = kept.iter().filter(|k| **k).count();
            for count in 0..=living {
                let whole = keep_largest(&[&values], &[kept.to_vec()], count).unwrap();
                assert_eq!(clip_one(&values, &kept, count).unwrap(), whole[0], "{count}");
            }
            assert!(clip_one(&values, &kept, living + 1).is_err());
        }
    }
}
