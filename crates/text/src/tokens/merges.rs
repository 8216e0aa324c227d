//! Joining frequent pairs of pieces: how vocabularies of BPE and WordPiece are learned (Sennrich et al. 2016,
//! <https://aclanthology.org/P16-1162>).
//!
//! Of equally frequent pairs the one of the earlier pieces is joined first, where characters come in byte order, then
//! pieces in the order in which they were made.

use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Pieces, and the pairs that made the longer ones.
#[derive(Debug, PartialEq)]
pub(super) struct Joined {
    pub(super) tokens: Vec<String>,
    pub(super) merges: Vec<[String; 2]>,
}

/// Two neighbouring pieces.
type Pair = (u32, u32);

/// How often a pair occurs, and in which words it was seen (some have lost it since).
#[derive(Debug, Default)]
struct Place {
    count: u64,
    words: Vec<u32>,
}

/// Words as pieces, and what is counted of them.
struct Pieces<'a> {
    prefix: &'a str,
    texts: Vec<String>,
    numbers: FxHashMap<String, u32>,
    /// The pieces of each word, and how often the word occurs.
    words: Vec<(Vec<u32>, u64)>,
    places: FxHashMap<Pair, Place>,
}

/// Learns at most `room` pieces from words in byte order with their counts. Pieces that continue a word begin with
/// `prefix`. Where no `alphabet` is given it is the most frequent characters, which get half of the room at most; words
/// with others teach nothing.
pub(super) fn learn(
    words: &[(String, u64)],
    room: usize,
    min_count: u64,
    prefix: &str,
    alphabet: &[char],
) -> Joined {
    let mut pieces = Pieces::of(words, room, prefix, alphabet);
    let mut heap: BinaryHeap<(u64, Reverse<Pair>)> =
        pieces.places.iter().map(|(pair, place)| (place.count, Reverse(*pair))).collect();
    let mut merges = Vec::new();
    while pieces.texts.len() < room {
        let Some((count, Reverse(pair))) = heap.pop() else { break };
        let now = pieces.places.get(&pair).map_or(0, |place| place.count);
        if now != count {
            if now > 0 {
                heap.push((now, Reverse(pair)));
            }
            continue;
        }
        if count < min_count.max(1) {
            break;
        }
        merges.push([pieces.texts[pair.0 as usize].clone(), pieces.texts[pair.1 as usize].clone()]);
        for grown in pieces.join(pair) {
            heap.push((pieces.places[&grown].count, Reverse(grown)));
        }
    }
    Joined { tokens: pieces.texts, merges }
}

impl<'a> Pieces<'a> {
    fn of(words: &[(String, u64)], room: usize, prefix: &'a str, alphabet: &[char]) -> Self {
        let mut texts: Vec<String> = match alphabet {
            [] => characters(words, room / 2, prefix),
            given => given.iter().take(room).map(|c| c.to_string()).collect(),
        };
        texts.sort_unstable();
        let numbers: FxHashMap<String, u32> = texts.iter().cloned().zip(0..).collect();
        let mut pieces = Self { prefix, texts, numbers, words: Vec::new(), places: FxHashMap::default() };
        for (word, count) in words {
            let all: Option<Vec<u32>> =
                symbols(word, prefix).map(|symbol| pieces.numbers.get(&symbol).copied()).collect();
            if let Some(all) = all.filter(|all| all.len() > 1) {
                let number = pieces.words.len() as u32;
                for pair in all.windows(2) {
                    let place = pieces.places.entry((pair[0], pair[1])).or_default();
                    place.count += count;
                    place.words.push(number);
                }
                pieces.words.push((all, *count));
            }
        }
        pieces
    }

    /// Joins a pair wherever it occurs. Returns the pairs that became more frequent.
    fn join(&mut self, pair: Pair) -> Vec<Pair> {
        let right = &self.texts[pair.1 as usize];
        let text =
            format!("{}{}", self.texts[pair.0 as usize], right.strip_prefix(self.prefix).unwrap_or(right));
        let next = self.texts.len() as u32;
        let piece = *self.numbers.entry(text.clone()).or_insert(next);
        if piece == next {
            self.texts.push(text);
        }
        let mut seen =
            self.places.get_mut(&pair).map(|place| std::mem::take(&mut place.words)).unwrap_or_default();
        seen.sort_unstable();
        seen.dedup();
        let mut grown = Vec::new();
        for number in seen {
            let (word, count) = &mut self.words[number as usize];
            if !word.windows(2).any(|two| (two[0], two[1]) == pair) {
                continue;
            }
            for two in word.windows(2) {
                if let Some(place) = self.places.get_mut(&(two[0], two[1])) {
                    place.count -= *count;
                }
            }
            replace(word, pair, piece);
            for two in word.windows(2) {
                let place = self.places.entry((two[0], two[1])).or_default();
                place.count += *count;
                if two.contains(&piece) {
                    place.words.push(number);
                    grown.push((two[0], two[1]));
                }
            }
        }
        grown.sort_unstable();
        grown.dedup();
        grown
    }
}

/// Puts a piece in the place of each pair, from the left.
fn replace(word: &mut Vec<u32>, pair: Pair, piece: u32) {
    let (mut read, mut write) = (0, 0);
    while read < word.len() {
        let joins = word[read] == pair.0 && word.get(read + 1) == Some(&pair.1);
        word[write] = if joins { piece } else { word[read] };
        read += if joins { 2 } else { 1 };
        write += 1;
    }
    word.truncate(write);
}

/// The characters of a word as pieces.
fn symbols(word: &str, prefix: &str) -> impl Iterator<Item = String> {
    word.chars().enumerate().map(move |(i, c)| if i == 0 { c.to_string() } else { format!("{prefix}{c}") })
}

/// The most frequent characters as pieces; of equally frequent ones the first in byte order.
fn characters(words: &[(String, u64)], most: usize, prefix: &str) -> Vec<String> {
    let mut counts: FxHashMap<String, u64> = FxHashMap::default();
    for (word, count) in words {
        for symbol in symbols(word, prefix) {
            *counts.entry(symbol).or_default() += count;
        }
    }
    let mut all: Vec<(String, u64)> = counts.into_iter().collect();
    all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    all.truncate(most);
    all.into_iter().map(|(symbol, _)| symbol).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// The same, counting everything anew before each join.
    fn plainly(words: &[(String, u64)], room: usize, min_count: u64, prefix: &str) -> Joined {
        let mut tokens = characters(words, room / 2, prefix);
        tokens.sort_unstable();
        let cut = |(word, count): &(String, u64)| {
            let all: Vec<String> = symbols(word, prefix).collect();
            all.iter().all(|symbol| tokens.contains(symbol)).then_some((all, *count))
        };
        let mut all: Vec<(Vec<String>, u64)> = words.iter().filter_map(cut).collect();
        let mut merges = Vec::new();
        while tokens.len() < room {
            let mut counts: BTreeMap<[usize; 2], u64> = BTreeMap::new();
            let place = |text: &String| tokens.iter().position(|token| token == text).unwrap();
            for (word, count) in &all {
                for two in word.windows(2) {
                    *counts.entry([place(&two[0]), place(&two[1])]).or_default() += count;
                }
            }
            let best = counts.into_iter().max_by_key(|(pair, count)| (*count, Reverse(*pair)));
            let Some(([left, right], _)) = best.filter(|(_, count)| *count >= min_count) else { break };
            let [left, right] = [tokens[left].clone(), tokens[right].clone()];
            let text = format!("{left}{}", right.strip_prefix(prefix).unwrap());
            for (word, _) in &mut all {
                let mut joined: Vec<String> = Vec::new();
                for symbol in word.drain(..) {
                    // A piece that was joined just now is marked, so that it is joined no further.
                    match joined.last_mut() {
                        Some(last) if *last == left && symbol == right => *last = format!("\0{text}"),
                        _ => joined.push(symbol),
                    }
                }
                *word = joined.into_iter().map(|symbol| symbol.trim_start_matches('\0').to_owned()).collect();
            }
            if !tokens.contains(&text) {
                tokens.push(text);
            }
            merges.push([left, right]);
        }
        Joined { tokens, merges }
    }

    #[test]
    fn the_most_frequent_pair_is_joined_first() {
        let words = [("ab".to_owned(), 3), ("abc".to_owned(), 2), ("bc".to_owned(), 4)];
        let learned = learn(&words, 20, 1, "", &['a', 'b', 'c']);
        let merges: Vec<String> = learned.merges.iter().map(|pair| pair.join("+")).collect();
        assert_eq!(merges, ["b+c", "a+b", "a+bc"]);
        assert_eq!(learned.tokens, ["a", "b", "c", "bc", "ab", "abc"]);
        assert_eq!(learn(&words, 4, 1, "", &['a', 'b', 'c']).tokens, ["a", "b", "c", "bc"]);
        assert_eq!(learn(&words, 20, 4, "", &['a', 'b', 'c']).tokens, ["a", "b", "c", "bc"]);
    }

    proptest! {
        #[test]
        fn joins_are_those_of_counting_anew(
            words in prop::collection::btree_map("[a-d]{1,7}", 1u64..5, 1..20),
            room in 4usize..30,
            min_count in 1u64..4,
            prefix in prop_oneof![Just(""), Just("##")],
        ) {
            let words: Vec<(String, u64)> = words.into_iter().collect();
            prop_assert_eq!(learn(&words, room, min_count, prefix, &[]), plainly(&words, room, min_count, prefix));
        }
    }
}
