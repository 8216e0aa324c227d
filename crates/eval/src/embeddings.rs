//! How good embeddings are: at finding documents of the same class, and at saying what other embeddings say.
//!
//! Embeddings are `[documents, width]`, row after row, and compared by the cosine of their angle. An embedding of zeros,
//! which has no angle, is at 0 to every other.

use serde::Serialize;

use crate::error::{EvalError, check_length};

/// The depth of [`Retrieval::ndcg_at_10`].
const DEPTH: usize = 10;
/// The depths of recall.
const RECALL: [usize; 2] = [10, 100];
/// Queries that a thread takes at a time.
const AT_ONCE: usize = 16;

/// Retrieval of documents of the same class: each document is a query, all others are ranked by their cosine to it (the
/// earlier of equals first), and those of its class are relevant.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Retrieval {
    /// Documents that have another of their class. The others ask for nothing and are only found.
    pub queries: usize,
    /// Normalised discounted cumulative gain of the first ten, mean over queries: `Σ rel_i / log2(i + 1)` over ranks from
    /// 1, divided by what the best ranking gets (Järvelin and Kekäläinen 2002,
    /// <https://doi.org/10.1145/582415.582418>; with relevance 0 or 1, as BEIR measures it, arXiv:2104.08663).
    pub ndcg_at_10: f64,
    /// Share of the relevant documents among the first ten, mean over queries. Where a class has more than eleven
    /// documents, it cannot reach 1.
    pub recall_at_10: f64,
    /// The same among the first hundred.
    pub recall_at_100: f64,
    /// Share of queries whose first document is relevant: the accuracy of the nearest neighbour.
    pub precision_at_1: f64,
}

/// How near embeddings stay to others of the same documents.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fidelity {
    /// The cosine of a document's two embeddings, 1 where both are zero; nothing where they differ in width, so that no angle is
    /// between them.
    pub cosine: Option<Cosine>,
    /// Spearman's rank correlation of the similarities of all pairs of documents (Spearman 1904,
    /// <https://doi.org/10.2307/1412159>; equal similarities have the mean of their ranks): whether both call the same pairs
    /// alike. Nothing where one of them says the same of all pairs.
    pub spearman: Option<f64>,
    /// Documents whose pairs were compared.
    pub documents: usize,
}

/// Cosines of two embeddings, over documents.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cosine {
    /// The mean.
    pub mean: f64,
    /// The least.
    pub least: f64,
}

impl Retrieval {
    /// Of embeddings `[labels, width]`, on so many threads; the result does not depend on their number.
    ///
    /// # Errors
    /// [`EvalError`] for no documents, lengths that do not fit, a number that is not finite, or when no document has another
    /// of its class.
    pub fn of(embeddings: &[f32], width: usize, labels: &[u32], threads: usize) -> Result<Self, EvalError> {
        let unit = Unit::of(embeddings, width, labels.len())?;
        let mut of_class = std::collections::BTreeMap::new();
        labels.iter().for_each(|label| *of_class.entry(*label).or_insert(0_usize) += 1);
        let queries: Vec<usize> = (0..labels.len()).filter(|n| of_class[&labels[*n]] > 1).collect();
        if queries.is_empty() {
            return Err(EvalError::Empty("documents with another of their label"));
        }
        let share = queries.len().div_ceil(threads.max(1)).next_multiple_of(AT_ONCE);
        let ask = |part: &[usize]| -> Vec<[f64; 4]> {
            let mut found = Vec::new();
            for some in part.chunks(AT_ONCE) {
                let similar = unit.similarities(some);
                for (&query, similar) in some.iter().zip(similar.chunks_exact(labels.len())) {
                    let relevant = of_class[&labels[query]] - 1;
                    let ranked = nearest(similar, query, RECALL[1]);
                    found.push(scored(&ranked, |n| labels[n] == labels[query], relevant));
                }
            }
            found
        };
        let found: Vec<[f64; 4]> = std::thread::scope(|scope| {
            let parts: Vec<_> = queries.chunks(share).map(|part| scope.spawn(move || ask(part))).collect();
            let join = |part: std::thread::ScopedJoinHandle<'_, Vec<[f64; 4]>>| {
                part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            parts.into_iter().flat_map(join).collect()
        });
        let mean = |of: usize| found.iter().map(|all| all[of]).sum::<f64>() / found.len() as f64;
        Ok(Self {
            queries: queries.len(),
            ndcg_at_10: mean(0),
            recall_at_10: mean(1),
            recall_at_100: mean(2),
            precision_at_1: mean(3),
        })
    }
}

impl Fidelity {
    /// Of embeddings `[documents, width]` against those of a reference, which may have another width. Similarities are
    /// those of the pairs of up to `most` documents, spread evenly.
    ///
    /// # Errors
    /// [`EvalError`] for no documents, lengths that do not fit, or a number that is not finite.
    pub fn of(
        (embeddings, width): (&[f32], usize),
        (reference, reference_width): (&[f32], usize),
        most: usize,
    ) -> Result<Self, EvalError> {
        let documents = embeddings.len().checked_div(width).unwrap_or(0);
        let [ours, theirs] = [(embeddings, width), (reference, reference_width)]
            .map(|(numbers, width)| Unit::of(numbers, width, documents));
        let (ours, theirs) = (ours?, theirs?);
        let cosine = (width == reference_width).then(|| {
            let is_zero = |row: &[f32]| row.iter().all(|x| *x == 0.0);
            let cosines = (0..documents).map(|n| match (ours.row(n), theirs.row(n)) {
                (a, b) if is_zero(a) && is_zero(b) => 1.0,
                (a, b) => dot(a, b),
            });
            let (sum, least) = cosines.fold((0.0, 1.0), |(sum, least), x| (sum + x, f64::min(least, x)));
            Cosine { mean: sum / documents as f64, least }
        });
        let step = documents.div_ceil(most.max(1)).max(1);
        let chosen: Vec<usize> = (0..documents).step_by(step).collect();
        let pairs = |unit: &Unit| -> Vec<f64> {
            let of_row = |(i, &a): (usize, &usize)| -> Vec<f64> {
                chosen[i + 1..].iter().map(|&b| dot(unit.row(a), unit.row(b))).collect()
            };
            chosen.iter().enumerate().flat_map(of_row).collect()
        };
        let spearman = spearman(&pairs(&ours), &pairs(&theirs));
        Ok(Self { cosine, spearman, documents: chosen.len() })
    }
}

/// Spearman's rank correlation of two lists of equal length; nothing where one has no two numbers that differ.
pub fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 + 1.0) / 2.0;
    let product =
        |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum() };
    let size = (product(&a, &a) * product(&b, &b)).sqrt();
    (size > 0.0).then(|| product(&a, &b) / size)
}

/// The rank of each number, from 1; equal numbers have the mean of theirs.
fn ranks(numbers: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_unstable_by(|a, b| numbers[*a].total_cmp(&numbers[*b]));
    let mut ranks = vec![0.0; numbers.len()];
    let mut first = 0;
    while first < order.len() {
        let same = |at: &&usize| numbers[**at] == numbers[order[first]];
        let last = first + order[first..].iter().take_while(same).count();
        // Ranks `first + 1` to `last`.
        let rank = (first + 1 + last) as f64 / 2.0;
        order[first..last].iter().for_each(|at| ranks[*at] = rank);
        first = last;
    }
    ranks
}

/// The numbers of the documents that are most similar, the most first and the earlier of equals; without `query`.
fn nearest(similar: &[f64], query: usize, most: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..similar.len()).filter(|n| *n != query).collect();
    let before = |a: &usize, b: &usize| similar[*b].total_cmp(&similar[*a]).then(a.cmp(b));
    if order.len() > most {
        order.select_nth_unstable_by(most - 1, before);
        order.truncate(most);
    }
    order.sort_unstable_by(before);
    order
}

/// nDCG at ten, recall at ten and a hundred, precision of the first: of a ranking with so many relevant documents to find.
fn scored(ranked: &[usize], is_relevant: impl Fn(usize) -> bool, relevant: usize) -> [f64; 4] {
    let hits: Vec<bool> = ranked.iter().map(|n| is_relevant(*n)).collect();
    let discount = |place: usize| 1.0 / (place as f64 + 2.0).log2();
    let gain = hits.iter().take(DEPTH).enumerate().filter(|(_, hit)| **hit).map(|(n, _)| discount(n));
    let best: f64 = (0..relevant.min(DEPTH)).map(discount).sum();
    let within = |depth: usize| hits.iter().take(depth).filter(|hit| **hit).count() as f64;
    let recall = RECALL.map(|depth| within(depth) / relevant as f64);
    [gain.sum::<f64>() / best, recall[0], recall[1], within(1)]
}

/// Embeddings of Euclidean length 1, or 0.
struct Unit {
    numbers: Vec<f32>,
    width: usize,
}

impl Unit {
    fn of(numbers: &[f32], width: usize, documents: usize) -> Result<Self, EvalError> {
        if width == 0 || documents == 0 {
            return Err(EvalError::Empty(if width == 0 { "outputs" } else { "documents" }));
        }
        check_length("numbers of embeddings", documents * width, numbers.len())?;
        if let Some(at) = numbers.iter().position(|x| !x.is_finite()) {
            return Err(EvalError::NotFinite { row: at / width, value: f64::from(numbers[at]) });
        }
        let mut numbers = numbers.to_vec();
        for row in numbers.chunks_exact_mut(width) {
            let length = dot(row, row).sqrt();
            if length > 0.0 {
                row.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
            }
        }
        Ok(Self { numbers, width })
    }

    fn row(&self, n: usize) -> &[f32] {
        &self.numbers[n * self.width..][..self.width]
    }

    /// Of some documents to all, `[some, documents]`.
    fn similarities(&self, some: &[usize]) -> Vec<f64> {
        let documents = self.numbers.len() / self.width;
        let mut all = vec![0.0; some.len() * documents];
        for (n, row) in self.numbers.chunks_exact(self.width).enumerate() {
            for (place, &query) in some.iter().enumerate() {
                all[place * documents + n] = dot(self.row(query), row);
            }
        }
        all
    }
}

/// The dot product, in eight sums of single precision that are added in double.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0_f32; 8];
    let (whole, rest) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail = whole.remainder().iter().zip(rest.remainder()).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    for (a, b) in whole.zip(rest) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().map(|sum| f64::from(*sum)).sum::<f64>() + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Embeddings on the unit circle, by their angles in degrees.
    fn circle(angles: &[f32]) -> Vec<f32> {
        angles.iter().flat_map(|a| [a.to_radians().cos(), a.to_radians().sin()]).collect()
    }

    #[test]
    fn retrieval_is_worked_out_by_hand() {
        // 0 finds 10 (its class), then 30; 10 finds 0, then 30; 30 finds 10 and 0, of the other class; it asks for nothing.
        let plain = Retrieval::of(&circle(&[0.0, 10.0, 30.0]), 2, &[7, 7, 3], 1).unwrap();
        assert_eq!(
            plain,
            Retrieval {
                queries: 2,
                ndcg_at_10: 1.0,
                recall_at_10: 1.0,
                recall_at_100: 1.0,
                precision_at_1: 1.0
            }
        );
        // 0 finds 5 (other), 12 (its own): 1/log2(3). 12 finds 5, then 0: the same. 5 finds 0 and 12, then 60, its own:
        // 1/log2(4). 60 finds 12 and then 5: 1/log2(3).
        let mixed = Retrieval::of(&circle(&[0.0, 5.0, 12.0, 60.0]), 2, &[0, 1, 0, 1], 1).unwrap();
        let expected = (3.0 / 3.0_f64.log2() + 0.5) / 4.0;
        assert!((mixed.ndcg_at_10 - expected).abs() < 1e-12, "{mixed:?}");
        assert_eq!((mixed.recall_at_10, mixed.precision_at_1), (1.0, 0.0));
    }

    #[test]
    fn the_best_ranking_of_many_gets_one_and_recall_is_what_fits() {
        // Two far clusters of 60: the first ten are of the class, of 59.
        let angles: Vec<f32> =
            (0..120).map(|n| if n % 2 == 0 { 0.0 } else { 90.0 } + n as f32 * 0.01).collect();
        let labels: Vec<u32> = (0..120).map(|n| n % 2).collect();
        let found = Retrieval::of(&circle(&angles), 2, &labels, 3).unwrap();
        assert!((found.ndcg_at_10 - 1.0).abs() < 1e-12);
        assert!((found.recall_at_10 - 10.0 / 59.0).abs() < 1e-12 && found.recall_at_100 == 1.0);
        for threads in [1, 2, 7] {
            assert_eq!(Retrieval::of(&circle(&angles), 2, &labels, threads).unwrap(), found);
        }
    }

    #[test]
    fn spearman_is_worked_out_by_hand() {
        // Ranks 1, 2.5, 2.5, 5, 6, 4 and 2, 1, 4, 3, 5.5, 5.5: their products sum to 11, the squares of each to 17.
        let a = [1.0, 2.0, 2.0, 4.0, 5.0, 3.5];
        let b = [2.0, 1.0, 4.0, 3.0, 9.0, 9.0];
        assert!((spearman(&a, &b).unwrap() - 11.0 / 17.0).abs() < 1e-12);
        assert_eq!(spearman(&a, &[1.0; 6]), None);
        let up: Vec<f64> = a.iter().map(|x| x * x * x).collect();
        assert!((spearman(&a, &up).unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_copy_is_faithful_and_so_is_a_turned_one_but_for_its_cosine() {
        let angles = [0.0, 4.0, 11.0, 25.0, 70.0];
        let (own, turned) = (circle(&angles), circle(&angles.map(|a| a + 90.0)));
        let same = Fidelity::of((&own, 2), (&own, 2), 100).unwrap();
        let cosine = same.cosine.unwrap();
        assert!((cosine.least - 1.0).abs() < 1e-6 && (same.spearman.unwrap() - 1.0).abs() < 1e-12);
        let other = Fidelity::of((&turned, 2), (&own, 2), 100).unwrap();
        assert!(other.cosine.unwrap().mean.abs() < 1e-6);
        assert!(other.spearman.unwrap() > 0.99 && other.documents == 5);
        // Fewer documents, and another width: no angle.
        let wide: Vec<f32> = own.chunks(2).flat_map(|row| [row[0], row[1], 0.0]).collect();
        let wide = Fidelity::of((&wide, 3), (&own, 2), 3).unwrap();
        assert_eq!((wide.cosine, wide.documents), (None, 3));
        assert!((wide.spearman.unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn zeros_are_at_nothing_and_nonsense_is_refused() {
        let numbers = [0.0, 0.0, 1.0, 0.0, 1.0, 0.0];
        let found = Retrieval::of(&numbers, 2, &[0, 0, 0], 1).unwrap();
        assert_eq!(found.ndcg_at_10, 1.0);
        for (numbers, width, labels) in [
            (&numbers[..], 2, &[0, 0][..]),
            (&numbers, 0, &[0, 0, 0]),
            (&[], 2, &[]),
            (&[f32::NAN, 0.0, 1.0, 0.0], 2, &[0, 0]),
            (&numbers, 2, &[0, 1, 2]),
        ] {
            assert!(Retrieval::of(numbers, width, labels, 1).is_err(), "{numbers:?} {labels:?}");
        }
        assert!(Fidelity::of((&numbers, 2), (&numbers[..4], 2), 9).is_err());
        assert!(Fidelity::of((&[], 0), (&[], 0), 9).is_err());
    }
}
