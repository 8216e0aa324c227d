//! The bodies of the fuzz targets (`crates/fuzz`) on damaged copies of good inputs; always the same copies.

#![cfg(test)]

#[path = "../../fuzz/src/text.rs"]
#[allow(unreachable_pub)] // public where they belong
mod bodies;
#[path = "../../fuzz/src/samples.rs"]
#[allow(unreachable_pub)]
mod samples;

use bodies::{BODIES, Body};
use nlpress_text::TokenEncoder;
use samples::{MODELS, learned, samples};
use serde_json::{Value, json};
use std::path::Path;

/// Damaged copies of each sample.
const COPIES: u64 = 200;

/// A sequence of numbers that look random (a linear congruential generator of Knuth).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }

    fn pick<'a>(&mut self, all: &[&'a [u8]]) -> &'a [u8] {
        all[self.below(all.len())]
    }
}

/// Pieces that mean something to some reader.
const PIECES: &[&[u8]] = &[
    b"\"",
    b"\"\"",
    b",",
    b"\t",
    b"\n",
    b"\r\n",
    b"\r",
    b"\0",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b"null",
    b"1e999",
    b"-0.0",
    b"\\u0000",
    b"\\ud800",
    b"__label__",
    b"__label__a",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xfe\xff",
    b"\xc3",
    b"\xf0\x9f",
    b"4294967296",
    b"99999999999999999999",
    b" ",
    b"\x1b$B",
    b"\x1f\x8b",
    b"\x28\xb5\x2f\xfd",
    b"\"text\"",
    b"text,label",
];

/// A copy with one to four faults.
fn damaged(sample: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut copy = sample.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(copy.len() + 1);
        let length = numbers.below(9).min(copy.len() - at);
        match numbers.below(6) {
            0 if at < copy.len() => copy[at] ^= 1 << numbers.below(8),
            1 => copy.truncate(at),
            2 => drop(copy.drain(at..at + length)),
            3 => drop(copy.splice(at..at, numbers.pick(PIECES).iter().copied())),
            4 => drop(copy.splice(at..at + length, numbers.pick(PIECES).iter().copied())),
            _ => {
                let again = copy[at..at + length].to_vec();
                let to = numbers.below(copy.len() + 1);
                drop(copy.splice(to..to, again));
            }
        }
    }
    copy
}

/// A copy of JSON with one value replaced, removed or doubled.
fn twisted(json: &Value, numbers: &mut Numbers) -> Value {
    let odd = [
        json!(null),
        json!(-1),
        json!(0),
        json!(7),
        json!(4_000_000_000u32),
        json!(1e300),
        json!(""),
        json!("a"),
        json!("\u{fffd}##"),
        json!([]),
        json!({}),
        json!(true),
        json!([[1]]),
        json!({"type": "Precompiled", "precompiled_charsmap": "BAAAAAAEAAA="}),
        json!({"type": "Sequence", "normalizers": [], "pretokenizers": [], "processors": []}),
        json!({"type": "Replace", "pattern": {"Regex": "(a*)*$|\\b"}, "content": "é"}),
        json!({"type": "Split", "pattern": {"Regex": "(?=.)"}, "behavior": "Isolated", "invert": true}),
        json!({"type": "Digits", "individual_digits": true}),
    ];
    let mut copy = json.clone();
    let mut place = &mut copy;
    loop {
        let deeper = numbers.below(8) > 0;
        let children =
            place.as_object().map_or(0, serde_json::Map::len) + place.as_array().map_or(0, Vec::len);
        if !deeper || children == 0 {
            *place = odd[numbers.below(odd.len())].clone();
            return copy;
        }
        let child = numbers.below(children);
        place = match place {
            Value::Object(all) => all.values_mut().nth(child).unwrap(),
            Value::Array(all) => &mut all[child],
            _ => unreachable!("it has children"),
        };
    }
}

fn run(name: &str, body: Body, folder: &Path) {
    for (number, sample) in samples(name).iter().enumerate() {
        assert!(body(sample, folder), "{name}: sample {number} is no good");
        let mut numbers = Numbers(number as u64);
        for _ in 0..COPIES {
            body(&damaged(sample, &mut numbers), folder);
        }
    }
}

#[test]
fn damaged_files_are_refused_or_read() {
    let folder = tempfile::tempdir().unwrap();
    for (name, body) in BODIES.iter().filter(|(name, _)| !name.contains("token")) {
        run(name, *body, folder.path());
    }
}

#[test]
fn damaged_tokenizers_are_refused_or_read() {
    let folder = tempfile::tempdir().unwrap();
    for (name, body) in BODIES.iter().filter(|(name, _)| name.contains("token")) {
        run(name, *body, folder.path());
    }
}

#[test]
fn twisted_tokenizers_are_refused_or_read() {
    for model in MODELS {
        let json = learned(model).to_json();
        let mut numbers = Numbers(model as u64);
        let mut accepted = 0;
        for _ in 0..COPIES {
            let bytes = twisted(&json, &mut numbers).to_string().into_bytes();
            accepted += usize::from(TokenEncoder::from_json("twisted", &bytes, 16).is_ok());
            bodies::tokenizer(&bytes, Path::new(""));
        }
        assert!(accepted > 0 && accepted < COPIES as usize, "{model:?}: {accepted} of {COPIES}");
    }
}
