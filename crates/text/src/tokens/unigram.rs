//! The pieces of a unigram language model, learned by expectation maximization (Kudo 2018,
//! <https://aclanthology.org/P18-1007>; as SentencePiece does it).
//!
//! It begins with many pieces, fits their probabilities to the words, and drops those without which the words lose least,
//! until there is room. Every character stays, as far as there is room for them.

use rayon::prelude::*;
use rustc_hash::FxHashMap;

/// Longest piece, in characters.
const LONGEST: usize = 16;
/// Pieces to begin with, for each that there is room for.
const BEGIN: usize = 10;
/// Share of the pieces that a round keeps.
const KEPT: f64 = 0.75;
/// Fits between two cuts.
const FITS: usize = 2;
/// Words that are summed up in one piece, whatever the number of threads.
const CHUNK: usize = 4096;
/// Pieces that are expected less often are dropped.
const RARE: f64 = 0.5;

/// A piece with the logarithm of its probability.
#[derive(Clone, Debug)]
struct Piece {
    text: String,
    score: f64,
    /// Characters stay.
    single: bool,
}

/// The pieces, to be looked up.
struct Model<'a> {
    pieces: &'a [Piece],
    numbers: FxHashMap<&'a str, u32>,
}

/// A piece that fits between two characters of a word.
#[derive(Clone, Copy)]
struct Arc {
    from: usize,
    to: usize,
    piece: usize,
}

/// At most `room` pieces of words in byte order, with their scores. A score is exact in 32 bits.
pub(super) fn learn(words: &[(String, u64)], room: usize) -> Vec<(String, f64)> {
    let mut pieces = seeds(words, room);
    let enough = room + room / 10;
    loop {
        for _ in 0..FITS {
            pieces = fitted(pieces, words);
        }
        if pieces.len() <= enough {
            break;
        }
        let target = enough.max((pieces.len() as f64 * KEPT) as usize);
        let losses = losses(&pieces, words);
        pieces = strongest(pieces, &losses, target);
    }
    let scores: Vec<f64> = pieces.iter().map(|piece| piece.score).collect();
    let kept = strongest(pieces, &scores, room);
    kept.into_iter().map(|piece| (piece.text, f64::from(piece.score as f32))).collect()
}

/// Every character, and the parts of words that cover most.
fn seeds(words: &[(String, u64)], room: usize) -> Vec<Piece> {
    let mut singles: FxHashMap<&str, u64> = FxHashMap::default();
    let mut parts: FxHashMap<&str, u64> = FxHashMap::default();
    for (word, count) in words {
        let ends = bounds(word);
        for (i, from) in ends.iter().enumerate() {
            for (length, to) in ends[i + 1..].iter().take(LONGEST).enumerate() {
                let all = if length == 0 { &mut singles } else { &mut parts };
                *all.entry(&word[*from..*to]).or_default() += count;
            }
        }
    }
    parts.retain(|_, count| *count > 1);
    let singles = ranked(singles, room, false);
    let parts = ranked(parts, room.saturating_mul(BEGIN), true);
    let sum: f64 = singles.iter().chain(&parts).map(|(weight, _)| *weight as f64).sum();
    let piece = |single| {
        move |(weight, text): &(u64, &str)| Piece {
            text: (*text).into(),
            score: (*weight as f64 / sum).ln(),
            single,
        }
    };
    singles.iter().map(piece(true)).chain(parts.iter().map(piece(false))).collect()
}

/// The texts of the largest weight: how often they occur, `weighted` by their length; of equal ones the first in byte
/// order.
fn ranked(all: FxHashMap<&str, u64>, most: usize, weighted: bool) -> Vec<(u64, &str)> {
    let weight = |text: &str, count| if weighted { count * text.chars().count() as u64 } else { count };
    let mut all: Vec<(u64, &str)> =
        all.into_iter().map(|(text, count)| (weight(text, count), text)).collect();
    all.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    all.truncate(most);
    all
}

/// The pieces with the scores that their expected counts give (with a sparse prior: digamma in place of the logarithm).
fn fitted(pieces: Vec<Piece>, words: &[(String, u64)]) -> Vec<Piece> {
    let expected = summed(&pieces, words, |model, arcs, length, count, sums| {
        model.expect(arcs, length, count as f64, sums);
    });
    let keep = |(piece, count): (Piece, f64)| match piece.single {
        true => Some((piece, count.max(RARE))),
        false => (count >= RARE).then_some((piece, count)),
    };
    let kept: Vec<(Piece, f64)> = pieces.into_iter().zip(expected).filter_map(keep).collect();
    let whole = digamma(kept.iter().map(|(_, count)| count).sum());
    kept.into_iter().map(|(piece, count)| Piece { score: digamma(count) - whole, ..piece }).collect()
}

/// What the words lose without each piece: how often it is used, times what the best cut without it costs.
fn losses(pieces: &[Piece], words: &[(String, u64)]) -> Vec<f64> {
    let used = summed(pieces, words, |model, arcs, length, count, sums| {
        for piece in model.best(arcs, length, None).0 {
            sums[piece] += count as f64;
        }
    });
    let model = Model::of(pieces);
    let loss = |(number, used): (usize, f64)| {
        let (arcs, length) = model.arcs(&pieces[number].text);
        let (_, other) = model.best(&arcs, length, Some(number));
        if other == f64::NEG_INFINITY { f64::INFINITY } else { used * (pieces[number].score - other) }
    };
    used.into_par_iter().enumerate().map(loss).collect()
}

/// The pieces of the largest values, at most `most`, characters first; of equal ones the first in byte order.
fn strongest(pieces: Vec<Piece>, values: &[f64], most: usize) -> Vec<Piece> {
    let mut order: Vec<usize> = (0..pieces.len()).collect();
    order.sort_unstable_by(|&a, &b| {
        let (left, right) = (&pieces[a], &pieces[b]);
        let by_value = values[b].total_cmp(&values[a]).then_with(|| left.text.cmp(&right.text));
        right.single.cmp(&left.single).then(by_value)
    });
    order.truncate(most);
    order.into_iter().map(|i| pieces[i].clone()).collect()
}

/// Adds something up over all words, for each piece; always in the same order.
fn summed(
    pieces: &[Piece],
    words: &[(String, u64)],
    add: impl Fn(&Model<'_>, &[Arc], usize, u64, &mut [f64]) + Sync,
) -> Vec<f64> {
    let model = Model::of(pieces);
    let of_chunk = |chunk: &[(String, u64)]| {
        let mut sums = vec![0.0; pieces.len()];
        for (word, count) in chunk {
            let (arcs, length) = model.arcs(word);
            add(&model, &arcs, length, *count, &mut sums);
        }
        sums
    };
    let chunks: Vec<Vec<f64>> = words.par_chunks(CHUNK).map(of_chunk).collect();
    let mut sums = vec![0.0; pieces.len()];
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, part)| *sum += part);
    }
    sums
}

impl<'a> Model<'a> {
    fn of(pieces: &'a [Piece]) -> Self {
        Self { pieces, numbers: pieces.iter().map(|piece| piece.text.as_str()).zip(0..).collect() }
    }

    /// Every piece that fits into a word, by where it begins; and the length of the word in characters.
    fn arcs(&self, word: &str) -> (Vec<Arc>, usize) {
        let ends = bounds(word);
        let mut arcs = Vec::new();
        for from in 0..ends.len() {
            for to in from + 1..ends.len().min(from + 1 + LONGEST) {
                if let Some(piece) = self.numbers.get(&word[ends[from]..ends[to]]) {
                    arcs.push(Arc { from, to, piece: *piece as usize });
                }
            }
        }
        (arcs, ends.len() - 1)
    }

    /// The best pieces of a word and their score, without one of the pieces; no pieces and minus infinity where there is
    /// no way through.
    fn best(&self, arcs: &[Arc], length: usize, without: Option<usize>) -> (Vec<usize>, f64) {
        let mut best = vec![(f64::NEG_INFINITY, None); length + 1];
        best[0].0 = 0.0;
        for arc in arcs.iter().filter(|arc| Some(arc.piece) != without) {
            let score = best[arc.from].0 + self.pieces[arc.piece].score;
            if score > best[arc.to].0 {
                best[arc.to] = (score, Some(arc));
            }
        }
        let (mut pieces, mut at) = (Vec::new(), length);
        while let (_, Some(arc)) = best[at] {
            pieces.push(arc.piece);
            at = arc.from;
        }
        (pieces, best[length].0)
    }

    /// Adds how often each piece is expected in a word that occurs `count` times (forward and backward).
    fn expect(&self, arcs: &[Arc], length: usize, count: f64, sums: &mut [f64]) {
        let mut forward = vec![f64::NEG_INFINITY; length + 1];
        let mut backward = forward.clone();
        (forward[0], backward[length]) = (0.0, 0.0);
        for arc in arcs {
            forward[arc.to] = log_add(forward[arc.to], forward[arc.from] + self.pieces[arc.piece].score);
        }
        let whole = forward[length];
        if whole == f64::NEG_INFINITY {
            return; // it has a character that there was no room for
        }
        for arc in arcs.iter().rev() {
            backward[arc.from] = log_add(backward[arc.from], backward[arc.to] + self.pieces[arc.piece].score);
        }
        for arc in arcs {
            let score = forward[arc.from] + self.pieces[arc.piece].score + backward[arc.to];
            sums[arc.piece] += count * (score - whole).exp();
        }
    }
}

/// Where the characters of a word begin, and its end.
fn bounds(word: &str) -> Vec<usize> {
    word.char_indices().map(|(at, _)| at).chain([word.len()]).collect()
}

/// `ln(exp(a) + exp(b))`.
fn log_add(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// The derivative of `ln Γ` for positive numbers: by its recurrence up to 6, then by its asymptotic series
/// (Abramowitz and Stegun 6.3.5 and 6.3.18).
fn digamma(mut x: f64) -> f64 {
    let mut sum = 0.0;
    while x < 6.0 {
        sum -= x.recip();
        x += 1.0;
    }
    let square = (x * x).recip();
    sum + x.ln()
        - 0.5 / x
        - square * (1.0 / 12.0 - square * (1.0 / 120.0 - square * (1.0 / 252.0 - square / 240.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digamma_has_its_known_values() {
        for (x, want) in
            [(0.5, -1.963_510_026_021_423_5), (1.0, -0.577_215_664_901_532_9), (10.0, 2.251_752_589_066_721)]
        {
            assert!((digamma(x) - want).abs() < 1e-8, "{x}: {}", digamma(x));
        }
    }

    #[test]
    fn expectations_are_those_of_all_cuts() {
        let piece = |text: &str, p: f64| Piece { text: text.into(), score: p.ln(), single: text.len() == 1 };
        let pieces = [piece("a", 0.2), piece("b", 0.3), piece("ab", 0.4), piece("ba", 0.1)];
        let model = Model::of(&pieces);
        let (arcs, length) = model.arcs("aba");
        let mut sums = [0.0; 4];
        model.expect(&arcs, length, 2.0, &mut sums);
        // a|b|a 0.012, ab|a 0.08, a|ba 0.02
        let whole = 0.012 + 0.08 + 0.02;
        let want =
            [2.0 * (2.0 * 0.012 + 0.08 + 0.02) / whole, 2.0 * 0.012 / whole, 0.16 / whole, 0.04 / whole];
        for (got, want) in sums.iter().zip(want) {
            assert!((got - want).abs() < 1e-12, "{sums:?}");
        }
        let (best, score) = model.best(&arcs, length, None);
        assert_eq!(best, [0, 2]); // from the end
        assert!((score - 0.08f64.ln()).abs() < 1e-12);
        assert_eq!(model.best(&arcs, length, Some(2)).0, [3, 0]);
        assert_eq!(model.best(&arcs, length, Some(0)).1, f64::NEG_INFINITY);
    }

    #[test]
    fn words_that_share_a_stem_get_it_as_a_piece() {
        let words: Vec<(String, u64)> = ["▁walked", "▁walking", "▁walks", "▁talked", "▁talking", "▁talks"]
            .map(|word| (word.to_owned(), 50))
            .into();
        let pieces = learn(&words, 20);
        assert!(pieces.len() <= 20, "{pieces:?}");
        let has = |text: &str| pieces.iter().any(|(piece, _)| piece == text);
        assert!("▁walkedings".chars().all(|c| has(&c.to_string())), "{pieces:?}");
        assert!(pieces.iter().any(|(piece, _)| piece.chars().count() > 2), "{pieces:?}");
        assert!(pieces.iter().all(|(_, score)| *score < 0.0 && f64::from(*score as f32) == *score));
    }
}
