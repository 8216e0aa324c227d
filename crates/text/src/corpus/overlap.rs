//! Documents that stand in two splits: what a model learnt by heart says nothing about what it learnt.

use hashbrown::HashTable;
use rustc_hash::FxHasher;
use std::hash::Hasher;

use super::split::normal_form;
use super::{Corpus, Document, Overlap};
use crate::input::AsInput;

/// Counts, in a corpus whose splits were given, the documents whose normal form stands in another split, and says so.
pub(super) fn find(corpus: &mut Corpus) {
    let pairs = [
        ("valid", "train", &corpus.valid, &corpus.train),
        ("test", "train", &corpus.test, &corpus.train),
        ("test", "valid", &corpus.test, &corpus.valid),
    ];
    let mut found = Vec::new();
    for (split, with, documents, others) in pairs {
        let count = common(documents, others);
        if count > 0 {
            found.push(Overlap { split, with, documents: count, of: documents.len() });
        }
    }
    for Overlap { split, with, documents, of } in &found {
        let why = if *with == "train" {
            "what was learnt by heart makes its scores too good"
        } else {
            "they are not independent"
        };
        corpus.reading.notes.push(format!(
            "{documents} of {of} {split} documents stand in the {with} split too (case and white space aside): {why}"
        ));
    }
    corpus.reading.overlap = found;
}

/// How many of `documents` have a text that one of `others` has.
fn common(documents: &[Document], others: &[Document]) -> usize {
    if documents.is_empty() || others.is_empty() {
        return 0;
    }
    let (mut buffer, mut other) = (String::new(), String::new());
    // The smaller table is of the split that is asked about.
    let mut table: HashTable<(u64, u32)> = HashTable::with_capacity(documents.len());
    let mut copies = vec![1_usize; documents.len()];
    for (i, document) in documents.iter().enumerate() {
        normal_form(document.as_input(), &mut buffer);
        let key = hash(&buffer);
        let same = table.find(key, |&(k, j)| {
            k == key && {
                normal_form(documents[j as usize].as_input(), &mut other);
                other == buffer
            }
        });
        match same {
            Some(&(_, j)) => copies[j as usize] += 1,
            None => {
                table.insert_unique(key, (key, i as u32), |&(key, _)| key);
            }
        }
    }
    let mut count = 0;
    for document in others {
        normal_form(document.as_input(), &mut buffer);
        let key = hash(&buffer);
        let entry = table.find_entry(key, |&(k, j)| {
            k == key && {
                normal_form(documents[j as usize].as_input(), &mut other);
                other == buffer
            }
        });
        if let Ok(entry) = entry {
            let ((_, j), _) = entry.remove();
            count += copies[j as usize];
        }
        if table.is_empty() {
            break;
        }
    }
    count
}

fn hash(text: &str) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(text.as_bytes());
    hasher.finish()
}
