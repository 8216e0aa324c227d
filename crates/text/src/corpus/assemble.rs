//! Gathers documents, then checks them as a whole and makes the corpus.

use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};
use std::sync::Arc;

use super::reading::Reading;
use super::sink::Row;
use super::{Corpus, Document, MAX_CLASSES};
use crate::error::{Place, TextError, UnseenLabel, UnseenLabels};
use crate::label;

/// Names of the splits, in order.
pub(super) const SPLITS: [&str; 3] = ["train", "valid", "test"];

/// Labels that are numbered as they come.
#[derive(Debug, Default)]
pub(super) struct Labels {
    /// Every written form that occurred, and its class.
    written: FxHashMap<String, u32>,
    /// The names of the classes.
    names: FxHashMap<String, u32>,
    /// Whole numbers with a fraction, and what they were read as.
    reformed: Vec<(String, String)>,
}

impl Labels {
    /// The class of a label.
    pub(super) fn class(&mut self, raw: &str, place: impl Fn() -> Place) -> Result<u32, TextError> {
        if let Some(&class) = self.written.get(raw) {
            return Ok(class);
        }
        let name = label::label(raw).map_err(|what| TextError::ControlInLabel {
            place: place(),
            label: label::shown(raw.trim()),
            what,
        })?;
        if name.is_empty() {
            return Err(TextError::EmptyLabel(place()));
        }
        let next = self.names.len();
        let class = match self.names.get(&*name) {
            Some(&class) => class,
            None if next == MAX_CLASSES => {
                return Err(TextError::TooManyClasses {
                    place: place(),
                    label: label::shown(&name),
                    limit: MAX_CLASSES,
                });
            }
            None => next as u32,
        };
        if label::is_whole_float(raw.trim()) {
            self.reformed.push((raw.trim().into(), name.to_string()));
        }
        self.written.insert(raw.into(), class);
        self.names.insert(name.into_owned(), class);
        Ok(class)
    }

    /// The names in byte order, and the new number of each old one.
    pub(super) fn sorted(self) -> (Vec<String>, Vec<u32>) {
        let mut sorted: Vec<(String, u32)> = self.names.into_iter().collect();
        sorted.sort_unstable();
        let mut renumbered = vec![0; sorted.len()];
        for (new, (_, old)) in sorted.iter().enumerate() {
            renumbered[*old as usize] = new as u32;
        }
        (sorted.into_iter().map(|(label, _)| label).collect(), renumbered)
    }

    /// That whole numbers were written with a fraction.
    pub(super) fn note(&self) -> Option<String> {
        let mut pairs = self.reformed.clone();
        pairs.sort_unstable();
        let shown: Vec<String> = pairs.iter().take(3).map(|(raw, name)| format!("{raw} as {name}")).collect();
        let more = if pairs.len() > 3 { ", …" } else { "" };
        let shown = shown.join(", ");
        (!pairs.is_empty())
            .then(|| format!("labels that are whole numbers were read without their fraction: {shown}{more}"))
    }
}

/// A corpus that is being read.
#[derive(Debug, Default)]
pub(super) struct Draft {
    labels: Labels,
    /// The first document of each label in each split.
    first: Vec<[Option<Place>; 3]>,
    splits: [Vec<Document>; 3],
}

impl Draft {
    /// Adds a document to split 0, 1 or 2.
    pub(super) fn add(&mut self, split: usize, row: Row<'_>, file: &Arc<str>) -> Result<(), TextError> {
        let place = || Place::new(file, row.line);
        row.check_texts(place)?;
        let class = self.labels.class(row.other, place)?;
        if class as usize == self.first.len() {
            self.first.push([None, None, None]);
        }
        self.first[class as usize][split].get_or_insert_with(place);
        self.splits[split].push(row.document(class));
        Ok(())
    }

    /// Checks the whole. Splits that are `wanted` must have documents. The corpus has no hash yet.
    pub(super) fn finish(
        self,
        name: String,
        wanted: [bool; 3],
        mut reading: Reading,
    ) -> Result<Corpus, TextError> {
        let Self { labels, first, mut splits } = self;
        for split in 0..3 {
            if wanted[split] && splits[split].is_empty() {
                return Err(TextError::EmptySplit { corpus: name, split: SPLITS[split] });
            }
        }
        reading.notes.extend(labels.note());
        let (labels, renumbered) = labels.sorted();
        let mut unseen = Vec::new();
        for (old, places) in first.iter().enumerate() {
            let elsewhere = [1, 2].into_iter().find_map(|split| Some((split, places[split].clone()?)));
            if let (None, Some((split, place))) = (&places[0], elsewhere) {
                let label = labels[renumbered[old] as usize].clone();
                unseen.push(UnseenLabel { place, label, split: SPLITS[split] });
            }
        }
        if !unseen.is_empty() {
            unseen.sort_unstable_by(|a, b| a.label.cmp(&b.label));
            return Err(TextError::UnseenLabels(UnseenLabels(unseen)));
        }
        if let [label] = &labels[..] {
            return Err(TextError::OneClass { corpus: name, label: label.clone() });
        }
        for document in splits.iter_mut().flatten() {
            document.label = renumbered[document.label as usize];
        }
        let [train, valid, test] = splits;
        Ok(Corpus {
            name,
            labels,
            train,
            valid,
            test,
            unlabelled: Vec::new(),
            sha256: String::new(),
            reading,
        })
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
        of_class.sort_by_cached_key(|&i| (rank(&documents[i]), i));
        for i in of_class.into_iter().take(quota) {
            keep[i] = true;
        }
    }
    let mut keep = keep.into_iter();
    documents.retain(|_| keep.next().unwrap_or(false));
}

/// Places in a thinned class: bytes 8 to 16 of the hash, whose first 8 chose the split.
fn rank(document: &Document) -> [u8; 8] {
    let mut hash = Sha256::new_with_prefix(document.text.trim());
    if let Some(pair) = &document.pair {
        hash.update([0]);
        hash.update(pair.trim());
    }
    let digest = hash.finalize();
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
