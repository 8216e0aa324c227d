//! Artifacts, with checksums that fit: else no fuzzer would get past them.

use nlpress_artifact::{Artifact, OpenOptions};
use nlpress_runtime::{RuntimeError, Session};
use std::path::Path;

#[path = "../../artifact/tests/common/file.rs"]
#[allow(dead_code)] // shared with the tests of the artifacts
mod file;

/// A text for every model: words of the vocabularies of the seeds, others, and what is hardly text.
const TEXTS: [&str; 4] = ["", "w0 w1 w2 w17 the film was good", "é好🙂\u{0}\u{202e}", "a a a a a a a a"];
/// More than any seed takes, and little enough to do often.
const LIMITS: OpenOptions =
    OpenOptions { largest_file_bytes: 1 << 20, largest_expanded_bytes: Some(1 << 24) };

/// Files that hold every family of networks and every layout, of made-up numbers.
pub const FILES: [&[u8]; 13] = [
    include_bytes!("../../runtime/tests/golden/attention-f32.v3.nlp"),
    include_bytes!("../../runtime/tests/golden/attention-int8.v3.nlp"),
    include_bytes!("../../runtime/tests/golden/bag-f32.v3.nlp"),
    include_bytes!("../../runtime/tests/golden/linear-f32.v3.nlp"),
    include_bytes!("../../runtime/tests/golden/mlp-codebook.v3.nlp"),
    include_bytes!("../../runtime/tests/golden/mlp-csr.v3.nlp"),
    include_bytes!("../../runtime/tests/golden/mlp-f16.v3.nlp"),
    include_bytes!("../../runtime/tests/golden/mlp-f32.v3.nlp"),
    include_bytes!("../../runtime/tests/golden/mlp-int4.v3.nlp"),
    include_bytes!("../../runtime/tests/golden/mlp-int8.v3.nlp"),
    include_bytes!("../../runtime/tests/golden/mlp-low-rank.v3.nlp"),
    include_bytes!("../../runtime/tests/golden/mlp-masked.v3.nlp"),
    include_bytes!("../../runtime/tests/golden/mlp-ternary.v3.nlp"),
];

/// A whole file.
pub fn file(bytes: &[u8], _: &Path) -> bool {
    let _ = Artifact::from_bytes_with(bytes, "fuzz", &LIMITS);
    let header = bytes.first_chunk().map(|length| u64::from_le_bytes(*length));
    let header = header.and_then(|length| bytes[8..].get(..usize::try_from(length).ok()?));
    let is_object = header.is_some_and(|header| {
        serde_json::from_slice::<serde_json::Value>(header).is_ok_and(|header| header.is_object())
    });
    is_object && answers(&file::sealed(bytes))
}

/// The bytes of the tensors of one of [`FILES`], from the first on; the first byte says of which.
pub fn tensors(bytes: &[u8], _: &Path) -> bool {
    let Some((which, bytes)) = bytes.split_first() else { return false };
    let mut copy = FILES[usize::from(*which) % FILES.len()].to_vec();
    let start = file::tensors(&copy).first().map_or(copy.len(), |(_, range)| range.start);
    copy[start..].iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    answers(&file::sealed(&copy))
}

fn answers(bytes: &[u8]) -> bool {
    let opened = Artifact::from_bytes_with(bytes, "fuzz", &LIMITS).map_err(RuntimeError::from);
    let Ok(artifact) = opened else { return false };
    let again = artifact.to_bytes().expect("what was read is written");
    Artifact::from_bytes(&again, "again").expect("what was written is read");
    let Ok(session) = Session::from_artifact(artifact) else { return false };
    for text in TEXTS {
        match session.predict(text) {
            Ok(answer) => {
                let sum: f32 = answer.scores.iter().sum();
                assert!((sum - 1.0).abs() < 1e-3, "{:?}", answer.scores);
            }
            Err(RuntimeError::NotFinite { .. } | RuntimeError::Text(_)) => {}
            Err(other) => panic!("{text:?}: {other}"),
        }
    }
    true
}
