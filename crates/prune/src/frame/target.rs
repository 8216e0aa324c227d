//! How much is kept: a share to drop, a count of entries, or a budget of bytes.
//!
//! Whatever is asked becomes one exact count of kept entries over the selected sites, from shapes alone, so that
//! a plan can promise it. Which entries they are is a technique's own rule.

use nlpress_core::Fraction;
use nlpress_model::{Form, Outline, Shape, Site};
use nlpress_packed::{Index, Scheme, Values};
use nlpress_technique::Problem;
use std::fmt;

use super::scope::{Scope, is_full, kept_at};
use crate::{PruneError, error};

/// How much of the selected sites is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SparsityTarget {
    /// This share of the entries is dropped; the count of dropped entries is rounded down.
    Sparsity(Fraction),
    /// The number of entries that are kept over the selected sites.
    Nonzeros(usize),
    /// A budget of bytes for all weights and biases of the network, each selected site in the smallest layout of 32-bit
    /// floats: the largest number of entries that surely fits is kept. The file's manifest and vocabulary come on top.
    Bytes(usize),
}

impl SparsityTarget {
    /// The one of three settings that is given.
    ///
    /// # Errors
    /// [`PruneError::Setting`] when none or several are given, or the one is out of its bounds.
    pub fn one_of(
        sparsity: Option<f64>,
        nonzeros: Option<usize>,
        bytes: Option<usize>,
    ) -> Result<Self, PruneError> {
        let (key, given) = ("sparsity, nonzeros or bytes", "given, exactly one of them");
        match (sparsity, nonzeros, bytes) {
            (Some(share), None, None) => Ok(Self::Sparsity(error::sparsity(share)?)),
            (None, Some(0), None) => Err(PruneError::setting("nonzeros", 0, "at least 1")),
            (None, None, Some(0)) => Err(PruneError::setting("bytes", 0, "at least 1")),
            (None, Some(count), None) => Ok(Self::Nonzeros(count)),
            (None, None, Some(bytes)) => Ok(Self::Bytes(bytes)),
            (None, None, None) => Err(PruneError::setting(key, "missing", given)),
            _ => Err(PruneError::setting(key, "given twice", given)),
        }
    }

    /// Entries to keep at each of `sites` (selected sites of `before`) for scopes that count them, or the one
    /// total for [`Scope::Global`].
    ///
    /// # Errors
    /// A [`Problem`] when not even one entry fits.
    pub(crate) fn counts(
        self,
        before: &Outline,
        sites: &[&Site],
        scope: Scope,
    ) -> Result<Vec<usize>, Problem> {
        let shapes: Vec<Shape> = sites.iter().map(|s| s.shape).collect();
        let sizes: Vec<usize> = shapes.iter().map(|s| s.weights()).collect();
        let all: usize = sizes.iter().sum();
        let over = |total: usize| match scope {
            Scope::Global => vec![total],
            Scope::Site | Scope::Output => split(total, &sizes),
        };
        let total = match self {
            Self::Sparsity(share) => all - share.of(all),
            Self::Nonzeros(count) => count,
            Self::Bytes(budget) => {
                let fixed = other_bytes(before, sites) + biases(before);
                let needed = |total: usize| {
                    fixed
                        + match scope {
                            Scope::Global => most_bytes(&shapes, total),
                            _ => over(total).iter().zip(&shapes).map(|(k, s)| smallest(*s, *k)).sum(),
                        }
                };
                let total = largest(all, |total| needed(total) <= budget);
                if total == 0 {
                    return Err(Problem::of_step(format!(
                        "bytes is {budget}, but with one entry of the selected sites kept the network takes {}",
                        needed(1)
                    )));
                }
                total
            }
        };
        Ok(over(total))
    }

    /// What would have to be different for a cut that drops something.
    pub(crate) fn must_be(self) -> &'static str {
        if matches!(self, Self::Sparsity(_)) { "larger" } else { "smaller" }
    }
}

impl fmt::Display for SparsityTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sparsity(share) => write!(f, "sparsity {}", share.get()),
            Self::Nonzeros(count) => write!(f, "nonzeros {count}"),
            Self::Bytes(bytes) => write!(f, "bytes {bytes}"),
        }
    }
}

/// Spreads `total` over parts in proportion to `sizes`: each gets its share, rounded up or down, and all of them
/// together exactly `total`.
pub fn split(total: usize, sizes: &[usize]) -> Vec<usize> {
    let all = sizes.iter().sum::<usize>().max(1) as u128;
    let mut before = 0_u128;
    let up_to = |size: u128| (total as u128 * size / all) as usize;
    sizes
        .iter()
        .map(|&size| {
            let (from, to) = (before, before + size as u128);
            before = to;
            up_to(to) - up_to(from)
        })
        .collect()
}

/// Bytes of the smallest layout of floats, wherever in the matrix the kept entries lie.
fn smallest(shape: Shape, kept: usize) -> usize {
    let Shape { inputs, outputs, .. } = shape;
    let bitmask = Scheme { values: Values::F32, index: Index::Bitmask }.bytes(inputs, outputs, kept);
    let lists = 4 * kept + (kept * bits(outputs - 1)).div_ceil(8) + counts_of_rows(shape);
    Scheme::F32.bytes(inputs, outputs, kept).min(bitmask).min(lists)
}

/// Bytes of the counts of the rows of a csr index. Its codes are the shortest for its gaps and counts, so never longer
/// than those of a fixed width, which are counted here and in [`smallest`].
fn counts_of_rows(shape: Shape) -> usize {
    (shape.inputs * bits(shape.outputs)).div_ceil(8) + 2
}

/// Bits that hold every number up to `largest`.
fn bits(largest: usize) -> usize {
    (usize::BITS - largest.leading_zeros()) as usize
}

/// The most bytes that `kept` entries can take, however they are spread over the sites.
///
/// Bytes of a site are the least of three straight lines in its count: all entries, four bytes a kept entry and a
/// bit for each, or some more a kept entry and little else. Each line, summed over the sites, is a bound.
fn most_bytes(shapes: &[Shape], kept: usize) -> usize {
    let sum = |of: &dyn Fn(Shape) -> usize| shapes.iter().map(|s| of(*s)).sum::<usize>();
    let each = shapes.iter().map(|s| bits(s.outputs - 1)).max().unwrap_or(0);
    let full = sum(&|s| Scheme::F32.bytes(s.inputs, s.outputs, 0));
    let bitmask = Scheme { values: Values::F32, index: Index::Bitmask };
    let masks = 4 * kept + sum(&|s| bitmask.bytes(s.inputs, s.outputs, 0));
    let lists = 4 * kept + (kept * each).div_ceil(8) + sum(&counts_of_rows) + shapes.len();
    full.min(masks).min(lists)
}

fn biases(before: &Outline) -> usize {
    before.sites.iter().map(|s| 4 * s.shape.outputs).sum()
}

/// Bytes of the weights of all sites but the selected ones.
fn other_bytes(before: &Outline, sites: &[&Site]) -> usize {
    let others: Vec<&Site> = before.sites.iter().filter(|s| !sites.iter().any(|t| t.id == s.id)).collect();
    let weights = |of: &mut dyn Iterator<Item = &&Site>| of.map(|s| s.shape.weights()).sum::<usize>();
    let full = weights(&mut others.iter().filter(|s| is_full(s)));
    let selected = kept_at(before, sites).unwrap_or(0);
    let sparse: Vec<usize> = others.iter().map(|s| if is_full(s) { 0 } else { s.shape.weights() }).collect();
    let kept = split(before.kept.saturating_sub(full + selected), &sparse);
    let bytes = others.iter().zip(kept).map(|(site, kept)| {
        let Shape { inputs, outputs, .. } = site.shape;
        match site.form {
            Form::Dense => Scheme::F32.bytes(inputs, outputs, kept),
            Form::Masked => smallest(site.shape, kept),
            Form::Packed(scheme) => scheme.bytes(inputs, outputs, kept),
        }
    });
    bytes.sum()
}

/// The largest count up to `most` for which `fits`, where smaller counts fit too, give or take one.
fn largest(most: usize, fits: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if fits(middle) { low = middle } else { high = middle - 1 }
    }
    while low > 0 && !fits(low) {
        low -= 1;
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_model::{Graph, MlpSpec};
    use proptest::prelude::*;

    fn article() -> Outline {
        let hidden = vec![128, 64];
        Outline::dense(&Graph::from(MlpSpec::new(1000, &hidden, 8, 0.5)))
    }

    fn counts(
        target: SparsityTarget,
        before: &Outline,
        on: &[usize],
        scope: Scope,
    ) -> Result<Vec<usize>, Problem> {
        let sites: Vec<&Site> = on.iter().map(|i| &before.sites[*i]).collect();
        target.counts(before, &sites, scope)
    }

    #[test]
    fn exactly_one_is_given() {
        assert_eq!(SparsityTarget::one_of(None, Some(5), None), Ok(SparsityTarget::Nonzeros(5)));
        assert_eq!(SparsityTarget::one_of(None, None, Some(9)), Ok(SparsityTarget::Bytes(9)));
        for (s, n, b, says) in [
            (None, None, None, "sparsity, nonzeros or bytes is missing"),
            (Some(0.5), Some(3), None, "given twice"),
            (None, Some(3), Some(3), "given twice"),
            (None, Some(0), None, "nonzeros is 0, but it must be at least 1"),
            (None, None, Some(0), "bytes is 0"),
            (Some(1.0), None, None, "sparsity is 1"),
        ] {
            let error = SparsityTarget::one_of(s, n, b).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn totals_are_exact_in_every_scope() {
        let before = article();
        let all = 128_000 + 8192 + 512;
        for share in [0.013, 0.5, 0.9, 0.98, 0.999] {
            let share = Fraction::try_from(share).unwrap();
            for scope in [Scope::Global, Scope::Site, Scope::Output] {
                let counts = counts(SparsityTarget::Sparsity(share), &before, &[0, 1, 2], scope).unwrap();
                assert_eq!(counts.iter().sum::<usize>(), all - share.of(all));
            }
        }
        assert_eq!(
            counts(SparsityTarget::Nonzeros(77), &before, &[1, 2], Scope::Site)
                .unwrap()
                .iter()
                .sum::<usize>(),
            77
        );
    }

    #[test]
    fn a_budget_is_kept_and_used_up() {
        let before = article();
        let budget = SparsityTarget::Bytes(60_000);
        for scope in [Scope::Site, Scope::Global] {
            let found = counts(budget, &before, &[0, 1, 2], scope).unwrap();
            let total: usize = found.iter().sum();
            let bytes = |total: usize| -> usize {
                let shares = split(total, &[128_000, 8192, 512]);
                biases(&before)
                    + shares.iter().zip(&before.sites).map(|(k, s)| smallest(s.shape, *k)).sum::<usize>()
            };
            assert!(bytes(total) <= 60_000, "{}", bytes(total));
            assert!(bytes(total) > 59_000, "{}", bytes(total));
        }
        // Unselected sites count: the first alone is 512,000 bytes.
        let why = counts(budget, &before, &[1, 2], Scope::Global).unwrap_err().to_string();
        assert!(why.contains("bytes is 60000, but with one entry"), "{why}");
    }

    proptest! {
        #[test]
        fn no_spread_takes_more_than_the_most(
            shapes in prop::collection::vec((1usize..400, 1usize..400, 0.0..=1.0f64), 1..5)
        ) {
            let kept: Vec<usize> = shapes.iter().map(|(i, o, x)| ((i * o) as f64 * x) as usize).collect();
            let shapes: Vec<Shape> =
                shapes.iter().map(|&(inputs, outputs, _)| Shape::new(inputs, outputs)).collect();
            let bytes: usize = shapes.iter().zip(&kept).map(|(s, k)| smallest(*s, *k)).sum();
            prop_assert!(bytes <= most_bytes(&shapes, kept.iter().sum()));
        }

        #[test]
        fn splits_are_whole_and_fit(sizes in prop::collection::vec(0usize..1000, 1..9), share in 0.0..=1.0f64) {
            let all: usize = sizes.iter().sum();
            let total = (all as f64 * share) as usize;
            let parts = split(total, &sizes);
            prop_assert_eq!(parts.iter().sum::<usize>(), total);
            for (part, size) in parts.iter().zip(&sizes) {
                prop_assert!(part <= size);
                prop_assert!((*part as f64 - *size as f64 * total as f64 / all.max(1) as f64).abs() <= 1.0);
            }
        }
    }
}
