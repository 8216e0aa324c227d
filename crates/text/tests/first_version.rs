//! Encoders that were written before texts were normalized: their parts, as that code wrote them, and the rows that it
//! gave, bit for bit.

#![allow(clippy::unwrap_used)] // a test may end by a panic

use nlpress_text::{Analyzer, BagEncoder, EncoderConfig, Scratch};
use serde_json::json;

/// What they were fitted on.
const TEXTS: [&str; 4] =
    ["Don’t re\u{301}ussi 3.14", "İstanbul STRASSE ß", "re 3 don't 质量", "soft\u{ad}ly C++"];
/// What was encoded.
const ASKED: [&str; 2] = ["RE\u{301}USSI 3.14 3 İ don’t", "质量 straße"];

const WORDS: [u8; 71] = [
    12, 2, 49, 52, 1, 51, 1, 99, 5, 100, 111, 110, 39, 116, 10, 105, 204, 135, 115, 116, 97, 110, 98, 117,
    108, 2, 108, 121, 2, 114, 101, 4, 115, 111, 102, 116, 22, 116, 114, 97, 115, 115, 101, 4, 117, 115, 115,
    105, 2, 195, 159, 6, 232, 180, 168, 233, 135, 143, 1, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0,
];

const CHARACTERS: [u8; 38] = [
    12, 1, 32, 17, 51, 1, 51, 1, 100, 17, 111, 1, 101, 17, 32, 1, 110, 1, 111, 1, 114, 1, 115, 1, 116, 2, 2,
    0, 0, 0, 0, 1, 0, 1, 1, 1, 1, 2,
];

type Row = (&'static [u32], &'static [u32]);

fn check(analyzer: serde_json::Value, blob: &[u8], rows: [Row; 2]) {
    let description = json!({
        "version": 1, "documents": 4,
        "config": {
            "analyzer": analyzer, "weighting": "tf_idf", "sublinear": false, "l2": true, "vocabulary": 12,
            "min_documents": 1,
        },
    });
    let written = BagEncoder::from_parts(&description, blob).unwrap();
    assert_eq!(written.to_parts(), (description.clone(), blob.to_vec()));
    let config = EncoderConfig { version: 1, ..written.config().clone() };
    let fitted = BagEncoder::fit(&config, TEXTS).unwrap();
    assert_eq!(fitted.to_parts(), (description, blob.to_vec()));
    let mut scratch = Scratch::default();
    for encoder in [&written, &fitted, &written.narrow(&(0..12).collect::<Vec<u32>>()).unwrap()] {
        for (text, (columns, values)) in ASKED.iter().zip(rows) {
            let row = encoder.encode(text, &mut scratch);
            let bits: Vec<u32> = row.values.iter().map(|v| v.to_bits()).collect();
            assert_eq!((row.columns, &bits[..]), (columns, values), "{text}");
        }
    }
}

#[test]
fn words_are_cut_as_they_were() {
    let rows: [Row; 2] = [
        (&[0, 1, 3, 6, 9], &[1_054_205_500, 1_059_628_037, 1_051_239_429, 1_051_239_429, 1_054_205_500]),
        (&[11], &[1_065_353_216]),
    ];
    let analyzer = serde_json::to_value(Analyzer::default()).unwrap();
    assert_eq!(analyzer, json!({ "words": { "min_length": 1 } }));
    check(analyzer, &WORDS, rows);
}

#[test]
fn characters_are_cut_as_they_were() {
    let rows: [Row; 2] = [
        (
            &[0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11],
            &[
                1_057_900_761,
                1_054_275_480,
                1_054_275_480,
                1_045_886_872,
                1_045_886_872,
                1_043_204_306,
                1_043_204_306,
                1_043_204_306,
                1_043_204_306,
                1_051_592_914,
                1_041_123_545,
            ],
        ),
        (&[0, 5, 9, 10, 11], &[1_053_360_444, 1_056_299_926, 1_056_299_926, 1_056_299_926, 1_053_360_444]),
    ];
    check(json!({ "characters": { "min": 1, "max": 2 } }), &CHARACTERS, rows);
}
