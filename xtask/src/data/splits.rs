//! Documents in three splits, and how they are written.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::package::Package;

const NAMES: [&str; 3] = ["train", "valid", "test"];

/// A text and its label.
pub(crate) type Document = (String, String);

/// Documents in train, valid and test.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Splits(pub(crate) [Vec<Document>; 3]);

/// Bucket of a text, 0 to 99: the first 8 bytes of SHA-256 of the trimmed text, big-endian, modulo 100; the rule
/// that the text crate uses for single files.
pub(crate) fn bucket(text: &str) -> u64 {
    let digest = Sha256::digest(text.trim().as_bytes());
    digest[..8].iter().fold(0, |n, &b| (n << 8) | u64::from(b)) % 100
}

/// White space collapsed to single spaces, ends trimmed.
pub(crate) fn tidy(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Splits {
    /// Splits documents by the bucket that `key` gives to an index and text: `train` buckets of training, 10 of
    /// validation, the rest of test.
    pub(crate) fn by_bucket(documents: Vec<Document>, train: u64, key: impl Fn(usize, &str) -> u64) -> Self {
        let mut splits = Self::default();
        for (i, (text, label)) in documents.into_iter().enumerate() {
            let split = match key(i, &text) {
                b if b < train => 0,
                b if b < train + 10 => 1,
                _ => 2,
            };
            splits.0[split].push((text, label));
        }
        splits
    }

    /// A given test split; a tenth of the training documents (buckets 90 to 99) becomes the validation split.
    /// A label's only training documents stay in training.
    pub(crate) fn given(train: Vec<Document>, test: Vec<Document>) -> Self {
        let mut left: BTreeMap<String, bool> = BTreeMap::new();
        for (text, label) in &train {
            *left.entry(label.clone()).or_default() |= bucket(text) < 90;
        }
        let (train, valid) =
            train.into_iter().partition(|(t, l)| bucket(t) < 90 || left.get(l) != Some(&true));
        Self([train, valid, test])
    }

    /// Writes `train.jsonl`, `valid.jsonl`, `test.jsonl` and `SOURCE.json`.
    pub(crate) fn write(&self, folder: &Path, package: &Package) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for (name, documents) in NAMES.iter().zip(&self.0) {
            if documents.is_empty() {
                bail!("the {name} split is empty: the package is not what was expected");
            }
            let beside = tempfile::Builder::new().suffix(".partial").tempfile_in(folder)?;
            let mut out = BufWriter::new(beside);
            for (text, label) in documents {
                serde_json::to_writer(&mut out, &json!({ "text": text, "label": label }))?;
                out.write_all(b"\n")?;
            }
            out.into_inner().map_err(|e| e.into_error())?.persist(folder.join(format!("{name}.jsonl")))?;
        }
        let mut counts = serde_json::Map::new();
        for (name, documents) in NAMES.iter().zip(&self.0) {
            let mut of_label: BTreeMap<&str, u64> = BTreeMap::new();
            for (_, label) in documents {
                *of_label.entry(label).or_default() += 1;
            }
            counts.insert((*name).into(), json!({ "documents": documents.len(), "labels": of_label }));
        }
        write_source(folder, package, &Value::Object(counts))
    }

    /// One line: the number of documents.
    pub(crate) fn summary(&self) -> String {
        let parts = NAMES.iter().zip(&self.0).map(|(name, d)| format!("{} {name}", d.len()));
        parts.collect::<Vec<_>>().join(", ")
    }
}

/// Writes `SOURCE.json`, last of all: where it is, the rest is whole.
pub(crate) fn write_source(folder: &Path, package: &Package, counts: &Value) -> Result<()> {
    let mut beside = tempfile::Builder::new().suffix(".partial").tempfile_in(folder)?;
    let source = json!({
        "package": package.name,
        "version": package.version,
        "file": package.file,
        "sha256": package.sha256,
        "counts": counts,
    });
    serde_json::to_writer_pretty(&mut beside, &source)?;
    beside.persist(folder.join("SOURCE.json"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validation_is_a_tenth_and_takes_no_class_whole() {
        let train: Vec<Document> = (0..1000)
            .map(|i| (format!("text {i}"), if i < 900 { "a".into() } else { format!("only {i}") }))
            .collect();
        let splits = Splits::given(train.clone(), vec![]);
        assert_eq!(splits, Splits::given(train, vec![]));
        let [train, valid, _] = &splits.0;
        assert!((60..130).contains(&valid.len()), "{}", valid.len());
        assert!(valid.iter().all(|(_, label)| train.iter().any(|(_, l)| l == label)));
    }

    #[test]
    fn files_appear_whole() {
        let folder = tempfile::tempdir().unwrap();
        let one = |t: &str| vec![(t.to_owned(), "l\"x".to_owned())];
        let splits = Splits([one("a"), one("b"), one("c")]);
        let package = super::super::MOVIES;
        splits.write(folder.path(), &package).unwrap();
        let line = fs::read_to_string(folder.path().join("test.jsonl")).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), json!({"text": "c", "label": "l\"x"}));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
        assert!(Splits::default().write(folder.path(), &package).is_err());
    }
}
