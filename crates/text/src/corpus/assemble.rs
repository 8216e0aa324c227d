//! Gathers documents, then checks them as a whole and makes the corpus.

use sha2::{Digest, Sha256};
use std::collections::HashMap;

use super::{Corpus, Document, MAX_CLASSES};
use crate::error::{Place, TextError};

/// Names of the splits, in order.
pub(super) const SPLITS: [&str; 3] = ["train", "valid", "test"];

/// A corpus that is being read. Labels are numbered as they come.
#[derive(Debug, Default)]
pub(super) struct Draft {
    labels: HashMap<String, u32>,
    /// The first document of each label in each split.
    first: Vec<[Option<Place>; 3]>,
    splits: [Vec<Document>; 3],
}

impl Draft {
    /// Adds a document to split 0, 1 or 2. White space around a label does not count.
    pub(super) fn add(
        &mut self,
        split: usize,
        text: &str,
        label: &str,
        place: Place,
    ) -> Result<(), TextError> {
        let label = label.trim();
        if text.trim().is_empty() {
            return Err(TextError::EmptyText(place));
        }
        if label.is_empty() {
            return Err(TextError::EmptyLabel(place));
        }
        let number = match self.labels.get(label) {
            Some(&number) => number,
            None if self.labels.len() == MAX_CLASSES => {
                return Err(TextError::TooManyClasses { place, label: label.into(), limit: MAX_CLASSES });
            }
            None => {
                let number = self.labels.len() as u32;
                self.labels.insert(label.into(), number);
                self.first.push([None, None, None]);
                number
            }
        };
        self.first[number as usize][split].get_or_insert(place);
        self.splits[split].push(Document { text: text.into(), label: number });
        Ok(())
    }

    /// Checks the whole. Splits that are `wanted` must have documents; `hint` ends the message when not.
    pub(super) fn finish(
        self,
        name: String,
        wanted: [bool; 3],
        hint: &'static str,
        limit: Option<usize>,
    ) -> Result<Corpus, TextError> {
        let Self { labels, first, mut splits } = self;
        for split in 0..3 {
            if wanted[split] && splits[split].is_empty() {
                return Err(TextError::EmptySplit { corpus: name, split: SPLITS[split], hint });
            }
        }
        let mut sorted: Vec<(String, u32)> = labels.into_iter().collect();
        sorted.sort_unstable();
        for split in [1, 2] {
            for (label, number) in &sorted {
                let places = &first[*number as usize];
                if let (None, Some(place)) = (&places[0], &places[split]) {
                    let (place, label) = (place.clone(), label.clone());
                    return Err(TextError::UnseenLabel { place, label, split: SPLITS[split] });
                }
            }
        }
        if let [(label, _)] = &sorted[..] {
            return Err(TextError::OneClass { corpus: name, label: label.clone() });
        }
        let mut renumbered = vec![0; sorted.len()];
        for (new, (_, old)) in sorted.iter().enumerate() {
            renumbered[*old as usize] = new as u32;
        }
        for document in splits.iter_mut().flatten() {
            document.label = renumbered[document.label as usize];
        }
        let [train, valid, test] = splits;
        let labels = sorted.into_iter().map(|(label, _)| label).collect();
        let mut corpus = Corpus { name, labels, train, valid, test, sha256: String::new() };
        if let Some(limit) = limit {
            return corpus.limited(limit);
        }
        corpus.sha256 = corpus.hash();
        Ok(corpus)
    }
}

/// A limit must leave room for every class.
pub(super) fn check_limit(limit: usize, classes: usize) -> Result<(), TextError> {
    if limit < classes {
        return Err(TextError::Setting {
            setting: "limit",
            value: limit.to_string(),
            bound: format!("must be at least the number of classes, {classes}"),
        });
    }
    Ok(())
}

/// Keeps at most `limit` documents, every class by its share and with at least one.
pub(super) fn thin(documents: &mut Vec<Document>, classes: usize, limit: usize) {
    if documents.len() <= limit {
        return;
    }
    let mut members = vec![Vec::new(); classes];
    for (i, document) in documents.iter().enumerate() {
        members[document.label as usize].push(i);
    }
    let sizes: Vec<usize> = members.iter().map(Vec::len).collect();
    let mut keep = vec![false; documents.len()];
    for (mut of_class, quota) in members.into_iter().zip(quotas(&sizes, limit)) {
        of_class.sort_by_cached_key(|&i| (rank(&documents[i].text), i));
        for i in of_class.into_iter().take(quota) {
            keep[i] = true;
        }
    }
    let mut keep = keep.into_iter();
    documents.retain(|_| keep.next().unwrap_or(false));
}

/// Places in a thinned class: bytes 8 to 16 of the hash, whose first 8 chose the split.
fn rank(text: &str) -> [u8; 8] {
    let digest = Sha256::digest(text.trim().as_bytes());
    let mut rank = [0; 8];
    rank.copy_from_slice(&digest[8..16]);
    rank
}

/// Divides `limit` places among classes of the given sizes (more than `limit` in all, no more classes than
/// `limit`): in proportion, fractions to the largest remainders; then a class that has members but got no place
/// takes one from the class with the most.
fn quotas(sizes: &[usize], limit: usize) -> Vec<usize> {
    let all = sizes.iter().sum::<usize>().max(1) as u128;
    let share = |n: usize| n as u128 * limit as u128;
    let mut quotas: Vec<usize> = sizes.iter().map(|&n| (share(n) / all) as usize).collect();
    let left = limit - quotas.iter().sum::<usize>();
    let mut by_remainder: Vec<usize> = (0..sizes.len()).collect();
    by_remainder.sort_by_key(|&class| std::cmp::Reverse(share(sizes[class]) % all));
    for &class in by_remainder.iter().take(left) {
        quotas[class] += 1;
    }
    for class in 0..sizes.len() {
        if sizes[class] > 0 && quotas[class] == 0 {
            let most = (0..sizes.len()).rev().max_by_key(|&c| quotas[c]).unwrap_or(class);
            quotas[most] -= 1;
            quotas[class] += 1;
        }
    }
    quotas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_follow_the_shares_and_forget_no_class() {
        assert_eq!(quotas(&[900, 100], 100), [90, 10]);
        assert_eq!(quotas(&[90, 10], 10), [9, 1]);
        assert_eq!(quotas(&[1000, 1, 0], 10), [9, 1, 0]);
        assert_eq!(quotas(&[5, 5, 5], 3), [1, 1, 1]);
        for limit in 3..20 {
            assert_eq!(quotas(&[13, 5, 2], limit).iter().sum::<usize>(), limit, "{limit}");
        }
    }
}
