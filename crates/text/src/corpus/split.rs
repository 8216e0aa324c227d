//! The split rule: one corpus into training, validation and test documents, the same on every machine.
//!
//! Version 2, which `docs/data.md` has in more words. Documents with the same [normal form](normal_form) are one
//! group and stay together; a group belongs to the class that most of its documents have. In every class the groups
//! are put in the order of the SHA-256 of their normal form, and the first share of them tests, the next validates,
//! the rest trains. So each class keeps its share in each split, the order of the file does not count, and a file
//! that grows a little moves few documents.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::str::FromStr;

use crate::error::TextError;
use crate::input::TextInput;

/// Version of the rule; reports name it.
pub const SPLIT_RULE_VERSION: u32 = 2;

/// How large the splits of a corpus are to be.
///
/// A class with three groups of documents or more has at least one in each split that is wanted; of two, one trains;
/// a single one trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitRule {
    /// Percentage of training documents.
    pub train: u8,
    /// Percentage of validation documents.
    pub valid: u8,
    /// Percentage of test documents.
    pub test: u8,
}

impl Default for SplitRule {
    /// 80, 10 and 10 per cent.
    fn default() -> Self {
        Self { train: 80, valid: 10, test: 10 }
    }
}

impl SplitRule {
    /// Checks the percentages.
    ///
    /// # Errors
    /// [`TextError::Setting`] when there is nothing to train on or the parts do not make 100.
    pub fn check(self) -> Result<(), TextError> {
        let sum = u32::from(self.train) + u32::from(self.valid) + u32::from(self.test);
        if sum != 100 || self.train == 0 {
            return Err(TextError::Setting {
                setting: "split",
                value: format!("{}/{}/{}", self.train, self.valid, self.test),
                bound: "train, valid and test must make 100 per cent, and train must not be 0".into(),
            });
        }
        Ok(())
    }

    /// The parts in order.
    pub(super) fn parts(self) -> [u32; 3] {
        [self.train.into(), self.valid.into(), self.test.into()]
    }
}

/// `80/10/10`: train, valid and test in per cent.
impl FromStr for SplitRule {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let parts: Option<Vec<u8>> = text.split('/').map(|part| part.trim().parse().ok()).collect();
        let Some([train, valid, test]) = parts.as_deref().and_then(|p| <[u8; 3]>::try_from(p).ok()) else {
            return Err(TextError::Setting {
                setting: "split",
                value: text.into(),
                bound: "must be three percentages such as 80/10/10".into(),
            });
        };
        let rule = Self { train, valid, test };
        rule.check()?;
        Ok(rule)
    }
}

/// What decides whether two documents are copies of each other: the characters of a text canonically composed and in
/// lower case, with one space for every run of white space between words and none at the ends; of a pair, both texts with
/// a line end between them. Written over `into`.
pub(super) fn normal_form(input: TextInput<'_>, into: &mut String) {
    into.clear();
    append_normal_form(input.text, into);
    if let Some(pair) = input.pair {
        into.push('\n');
        append_normal_form(pair, into);
    }
}

fn append_normal_form(text: &str, into: &mut String) {
    let start = into.len();
    if text.is_ascii() {
        // What `char::is_whitespace` holds for ASCII; `u8::is_ascii_whitespace` leaves out the vertical tab.
        let space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
        for word in text.as_bytes().split(space).filter(|word| !word.is_empty()) {
            if into.len() > start {
                into.push(' ');
            }
            let from = into.len();
            into.push_str(std::str::from_utf8(word).expect("a piece of an ASCII text is ASCII"));
            into[from..].make_ascii_lowercase();
        }
        return;
    }
    let composed = crate::normalize::composed(text);
    for word in composed.split_whitespace() {
        if into.len() > start {
            into.push(' ');
        }
        into.extend(word.chars().flat_map(char::to_lowercase));
    }
}

/// What a group of documents is called, and its place in the order: the first 16 bytes of the SHA-256 of its normal
/// form, as a big-endian number.
pub(super) type Key = u128;

/// The key of a text or a pair; `buffer` is overwritten.
pub(super) fn key(input: TextInput<'_>, buffer: &mut String) -> Key {
    normal_form(input, buffer);
    let digest = Sha256::digest(buffer.as_bytes());
    digest[..16].iter().fold(0, |number, &byte| (number << 8) | Key::from(byte))
}

/// Documents with one key.
#[derive(Clone, Copy, Debug)]
struct Group {
    key: Key,
    class: u32,
}

/// The split of each document: 0 trains, 1 validates, 2 tests.
///
/// `keys[i]` and `classes[i]` are of document `i`; `rank[class]` orders classes by their names, so that nothing
/// depends on the order of the documents. Of `parts`, train is above 0; a split whose part is 0 stays empty.
pub(super) fn assign(keys: &[Key], classes: &[u32], rank: &[u32], parts: [u32; 3]) -> Vec<u8> {
    let mut order: Vec<u32> = (0..keys.len() as u32).collect();
    order.sort_unstable_by_key(|&i| (keys[i as usize], rank[classes[i as usize] as usize]));
    let mut groups: Vec<Group> = Vec::new();
    let mut group_of = vec![0; keys.len()];
    for same in order.chunk_by(|&a, &b| keys[a as usize] == keys[b as usize]) {
        for &i in same {
            group_of[i as usize] = groups.len();
        }
        let class = most_frequent(same.iter().map(|&i| classes[i as usize]));
        groups.push(Group { key: keys[same[0] as usize], class });
    }
    let mut splits = vec![0; groups.len()];
    // Groups are in the order of their keys, so each class's are too.
    let mut members = vec![Vec::new(); rank.len()];
    for (i, group) in groups.iter().enumerate() {
        members[group.class as usize].push(i);
    }
    for of_class in &members {
        let first = of_class.first().map_or(0, |&i| groups[i].key);
        let [_, valid, test] = shares(of_class.len(), parts, first);
        for &i in &of_class[..test] {
            splits[i] = 2;
        }
        for &i in &of_class[test..test + valid] {
            splits[i] = 1;
        }
    }
    fill_the_empty(&mut splits, parts);
    keep_every_class_in_training(&mut splits, &group_of, &order, classes, rank.len());
    group_of.into_iter().map(|group| splits[group]).collect()
}

/// The class that occurs most; of equals the first.
fn most_frequent(classes: impl Iterator<Item = u32> + Clone) -> u32 {
    let mut best = (0, 0);
    let mut run = (0, 0);
    // Equal classes stand together.
    for class in classes {
        run = if run.1 > 0 && run.0 == class { (class, run.1 + 1) } else { (class, 1) };
        if run.1 > best.1 {
            best = run;
        }
    }
    best.0
}

/// How many of `n` groups of a class train, validate and test.
fn shares(n: usize, parts: [u32; 3], first: Key) -> [usize; 3] {
    let [_, valid, test] = parts;
    let whole: u64 = parts.iter().map(|&part| u64::from(part)).sum();
    let share = |part: u32| match (part, n) {
        (0, _) | (_, 0 | 1) => 0,
        (_, 2) => 1,
        _ => ((2 * n as u64 * u64::from(part) + whole) / (2 * whole)).max(1) as usize,
    };
    let (mut valid, mut test) = (share(valid), share(test));
    if n == 2 && valid + test == 2 {
        // One must train: which split has the other differs from class to class, so that neither is left out.
        if first & 1 == 0 { valid = 0 } else { test = 0 }
    }
    while valid + test >= n.max(1) {
        if valid >= test { valid -= 1 } else { test -= 1 }
    }
    [n - valid - test, valid, test]
}

/// When only one of valid and test got documents, by classes of two, it gives up every second group.
fn fill_the_empty(splits: &mut [u8], parts: [u32; 3]) {
    for (empty, full) in [(1, 2), (2, 1)] {
        let has = |split: u8| splits.contains(&split);
        if parts[empty as usize] > 0 && parts[full as usize] > 0 && !has(empty) && has(full) {
            let members: Vec<usize> = (0..splits.len()).filter(|&i| splits[i] == full).collect();
            for &i in members.iter().skip(1).step_by(2) {
                splits[i] = empty;
            }
        }
    }
}

/// A class may stand only in groups of other classes, outside the training split: its first group trains then.
fn keep_every_class_in_training(
    splits: &mut [u8],
    group_of: &[usize],
    order: &[u32],
    classes: &[u32],
    count: usize,
) {
    let mut trains = vec![false; count];
    for (&group, &class) in group_of.iter().zip(classes) {
        trains[class as usize] |= splits[group] == 0;
    }
    for &i in order {
        let class = classes[i as usize] as usize;
        if !trains[class] {
            splits[group_of[i as usize]] = 0;
            trains[class] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Splits texts of classes 0.. and counts each class in each split.
    fn count(documents: &[(String, u32)], parts: [u32; 3]) -> (Vec<u8>, Vec<[usize; 3]>) {
        let mut buffer = String::new();
        let keys: Vec<Key> = documents.iter().map(|(text, _)| key(text.into(), &mut buffer)).collect();
        let classes: Vec<u32> = documents.iter().map(|d| d.1).collect();
        let most = classes.iter().max().map_or(0, |&c| c as usize + 1);
        let rank: Vec<u32> = (0..most as u32).collect();
        let splits = assign(&keys, &classes, &rank, parts);
        let mut counts = vec![[0; 3]; most];
        for (&split, &class) in splits.iter().zip(&classes) {
            counts[class as usize][split as usize] += 1;
        }
        (splits, counts)
    }

    fn of(sizes: &[usize]) -> Vec<(String, u32)> {
        let class =
            |(class, &n): (usize, &usize)| (0..n).map(move |i| (format!("c{class} t{i}"), class as u32));
        sizes.iter().enumerate().flat_map(class).collect()
    }

    #[test]
    fn every_class_has_its_share() {
        let (_, counts) = count(&of(&[1000, 100, 10, 5, 3, 1]), [80, 10, 10]);
        assert_eq!(counts, [[800, 100, 100], [80, 10, 10], [8, 1, 1], [3, 1, 1], [1, 1, 1], [1, 0, 0]]);
        let (_, counts) = count(&of(&[50, 7]), [90, 0, 10]);
        assert_eq!(counts, [[45, 0, 5], [6, 0, 1]]);
        assert_eq!(count(&of(&[4]), [2, 49, 49]).1, [[1, 1, 2]]);
        assert_eq!(count(&of(&[9, 2]), [100, 0, 0]).1, [[9, 0, 0], [2, 0, 0]]);
    }

    #[test]
    fn twenty_rows_and_classes_of_two_fill_every_split() {
        assert_eq!(count(&of(&[10, 10]), [80, 10, 10]).1, [[8, 1, 1], [8, 1, 1]]);
        for classes in 2..12 {
            let (splits, counts) = count(&of(&vec![2; classes]), [80, 10, 10]);
            assert!(counts.iter().all(|c| c[0] == 1), "{counts:?}");
            assert!(splits.contains(&1) && splits.contains(&2), "{classes}: {splits:?}");
        }
    }

    #[test]
    fn the_rule_is_the_documented_one() {
        // Version 2 is what people rely on: these places must never change.
        let documents: Vec<(String, u32)> = (0..20).map(|i| (format!("text {i}"), i % 2)).collect();
        let (splits, _) = count(&documents, [80, 10, 10]);
        let at = |split: u8| (0..20).filter(|&i| splits[i] == split).collect::<Vec<_>>();
        let mut even: Vec<usize> = (0..20).step_by(2).collect();
        let mut odd: Vec<usize> = (1..20).step_by(2).collect();
        for class in [&mut even, &mut odd] {
            class.sort_by_key(|i| Sha256::digest(format!("text {i}")).to_vec());
        }
        assert_eq!(at(2), {
            let mut v = vec![even[0], odd[0]];
            v.sort_unstable();
            v
        });
        assert_eq!(at(1), {
            let mut v = vec![even[1], odd[1]];
            v.sort_unstable();
            v
        });
    }

    #[test]
    fn copies_stay_together_and_a_class_of_copies_trains() {
        let mut documents = of(&[30, 30]);
        for i in 0..60 {
            let (text, class) = documents[i].clone();
            documents.push((format!("  {}\t", text.to_uppercase().replace(' ', "\n ")), class));
        }
        // Class 2 stands only beside more copies of class 0.
        documents.extend([("same".into(), 0), ("Same ".into(), 0), ("SAME".into(), 2)]);
        let (splits, counts) = count(&documents, [50, 25, 25]);
        for i in 0..60 {
            assert_eq!(splits[i], splits[i + 60], "{:?}", documents[i]);
        }
        assert_eq!(splits[120..], [0, 0, 0]);
        assert_eq!(counts[2], [1, 0, 0]);
    }

    #[test]
    fn normal_forms_ignore_case_and_white_space() {
        let form = |text: &str| {
            let mut into = String::from("before");
            normal_form(text.into(), &mut into);
            into
        };
        assert_eq!(form("  A\u{b}b \r\n C"), form("a b\u{a0}c"));
        assert_eq!(form("Ünï\u{2003}Çode"), "ünï çode");
        assert_eq!(form("cafe\u{301}"), form("CAFÉ"));
        assert_eq!(form(" \n"), "");
        let mut pair = String::new();
        normal_form([" A  b", "É\nC "].into(), &mut pair);
        assert_eq!(pair, "a b\né c");
    }

    #[test]
    fn rules_are_read_from_text() {
        assert_eq!("70/10/20".parse::<SplitRule>().unwrap(), SplitRule { train: 70, valid: 10, test: 20 });
        for bad in ["80/10", "80/10/20", "0/50/50", "a/b/c", "80-10-10", "", "300/-100/-100", "80/10/10/0"] {
            assert!(bad.parse::<SplitRule>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn the_order_of_the_file_does_not_count(
            sizes in prop::collection::vec(0_usize..12, 1..6),
            turn in 0_usize..50,
            train in 1_u8..=100,
        ) {
            let valid = (100 - train) / 2;
            let parts = [train.into(), valid.into(), (100 - train - valid).into()];
            let documents = of(&sizes);
            let (splits, counts) = count(&documents, parts);
            prop_assert!(counts.iter().all(|c| c[0] > 0 || c.iter().sum::<usize>() == 0));
            let mut turned = documents.clone();
            let by = turn % documents.len().max(1);
            turned.rotate_left(by);
            let mut back = count(&turned, parts).0;
            back.rotate_right(by);
            prop_assert_eq!(splits, back);
        }

        #[test]
        fn ascii_takes_the_fast_path_to_the_same_form(text in "[ -~\t\r\n\u{b}\u{c}]{0,40}") {
            let mut fast = String::new();
            normal_form((&text).into(), &mut fast);
            let mut slow = String::new();
            normal_form((&format!("{text} é")).into(), &mut slow);
            let slow = slow.trim_end_matches('é').trim_end();
            prop_assert_eq!(fast, slow);
        }
    }
}
