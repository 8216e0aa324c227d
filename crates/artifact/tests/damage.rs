//! Thousands of damaged files: every one is refused by a few words that name the place; with checksums that were made to
//! fit, it is refused or is a valid artifact. Never a panic, never much memory.

#![cfg(test)]

mod common;

use common::file::{put_together, sealed, take_apart, tensors, with_manifest};
use common::{artifact, assemble, embedder, encoder_graph, fault, forms, parts_of};
use nlpress_artifact::{Artifact, ArtifactError as E};
use nlpress_graph::{Activation, Form, Head};
use nlpress_packed::{Grid, Index, Per, Scheme, Values};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const INT8: Form = Form::Packed(Scheme { values: Values::int(Grid::Int8, Per::Channel), index: Index::Full });

/// Numbers of the same sequence in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n.max(1)
    }
}

fn read(bytes: &[u8]) -> Result<Artifact, E> {
    Artifact::from_bytes(bytes, "memory")
}

/// One kind of damage, done to a copy; `None` where it came to nothing.
fn damaged(bytes: &[u8], kind: usize, random: &mut Random) -> Option<(String, Vec<u8>)> {
    let mut copy = bytes.to_vec();
    let (a, b) = (random.below(copy.len()), random.below(copy.len()));
    let length = 1 + random.below(40);
    let what = match kind {
        0 => {
            let bit = random.below(8);
            copy[a] ^= 1 << bit;
            format!("bit {bit} of byte {a} flipped")
        }
        1 => {
            copy.truncate(a);
            format!("cut to {a} bytes")
        }
        2 => {
            copy.swap(a, b);
            format!("bytes {a} and {b} swapped")
        }
        3 => {
            let piece = copy[a..(a + length).min(copy.len())].to_vec();
            copy.splice(a..a, piece);
            format!("{length} bytes at {a} there twice")
        }
        4 => {
            copy.drain(a..(a + length).min(bytes.len()));
            format!("{length} bytes at {a} lost")
        }
        5 => {
            let end = (a + length).min(copy.len());
            copy[a..end].fill([0, 0xff][random.below(2)]);
            format!("{length} bytes at {a} blank")
        }
        6 => {
            for at in a..(a + length).min(copy.len()) {
                copy[at] = random.below(256) as u8;
            }
            format!("{length} bytes at {a} at random")
        }
        _ => {
            // A sector of another place, as disks have it.
            let from = b.min(copy.len() - length.min(copy.len()));
            let piece = bytes[from..(from + length).min(bytes.len())].to_vec();
            let end = (a + piece.len()).min(copy.len());
            copy[a..end].copy_from_slice(&piece[..end - a]);
            format!("{length} bytes of {b} at {a}")
        }
    };
    (copy != bytes).then_some((what, copy))
}

const KINDS: usize = 8;

/// What an error says, checked to be short and to name the file.
fn told(result: Result<Artifact, E>) -> String {
    let text = result.unwrap_err().to_string();
    assert!(text.starts_with("memory: "), "{text}");
    assert!(text.chars().count() < 1200 && !text.chars().any(char::is_control), "{text}");
    text
}

#[test]
fn damage_anywhere_is_found_and_its_place_is_named() {
    let mut random = Random(1);
    let mut refused = 0;
    for form in forms() {
        let bytes = artifact(form, 2).to_bytes().unwrap();
        let header = 8 + u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        let places = tensors(&bytes);
        for n in 0..4 * KINDS {
            let Some((what, copy)) = damaged(&bytes, n % KINDS, &mut random) else { continue };
            let text = told(read(&copy));
            refused += 1;
            // Where nothing moved, the first tensor with another byte is the one that is named.
            let first = bytes.iter().zip(&copy).position(|(a, b)| a != b);
            if copy.len() == bytes.len()
                && let Some(at) = first.filter(|at| *at >= header)
            {
                let (name, _) = places.iter().find(|(_, range)| range.contains(&at)).unwrap();
                let expected = format!("memory: damaged: the checksum of tensor {name} does not agree");
                assert_eq!(text, expected, "{form}, {what}");
            }
        }
    }
    assert!(refused > 2000, "{refused}");
}

#[test]
fn every_bit_counts() {
    let bytes = artifact(Form::Masked, 2).to_bytes().unwrap();
    let mut copy = bytes.clone();
    for bit in 0..8 * bytes.len() {
        copy[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&copy).is_err(), "bit {} of byte {}", bit % 8, bit / 8);
        copy[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn damage_with_checksums_that_fit_is_refused_or_valid() {
    let mut random = Random(2);
    let (mut refused, mut accepted) = (0, 0);
    for form in forms() {
        let bytes = artifact(form, 2).to_bytes().unwrap();
        let header = 8 + u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        for n in 0..60 {
            // In place, so that the header stays one that can be sealed: flips, swaps, blanks, noise, sectors.
            let kind = [0, 2, 5, 6, 7][n % 5];
            let Some((what, copy)) = damaged(&bytes[header..], kind, &mut random) else { continue };
            let copy = sealed(&[&bytes[..header], &copy].concat());
            match read(&copy) {
                Err(error) => {
                    refused += 1;
                    let error = told(Err(error));
                    assert!(!error.contains("checksum"), "{form}, {what}: {error}");
                }
                Ok(artifact) => {
                    accepted += 1;
                    let again = artifact.to_bytes().unwrap();
                    assert_eq!(read(&again).unwrap(), artifact, "{form}, {what}");
                }
            }
        }
    }
    assert!(refused > 1000 && accepted > 1000, "{refused} refused, {accepted} accepted");
}

/// What may be written in the place of anything.
fn lies() -> Vec<Value> {
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(-1),
        json!(0.5),
        json!(1e308),
        json!(7),
        json!(255),
        json!(256),
        json!(1 << 20),
        json!(1_u64 << 31),
        json!(u64::MAX),
        json!(""),
        json!("x"),
        json!("hidden.1"),
        json!("full"),
        json!("dense"),
        json!("\u{1b}[31m\u{0}\n"),
        json!("y".repeat(2000)),
        json!([]),
        json!([0, 1]),
        json!(vec![1; 300]),
        json!({}),
        json!({"packed": {"values": "f32", "index": "csr"}}),
        json!({"nm": {"n": 2, "m": 4}}),
        deep,
    ]
}

/// Every place in a value, as JSON pointers.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(n, value)| places(value, &format!("{at}/{n}"), all));
        }
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            let key = key.replace('~', "~0").replace('/', "~1");
            places(value, &format!("{at}/{key}"), all);
        }),
        _ => {}
    }
}

/// What a lie came to: how many of each were refused and accepted.
#[derive(Default)]
struct Outcomes {
    refused: usize,
    accepted: BTreeMap<String, usize>,
}

impl Outcomes {
    fn see(&mut self, place: &str, bytes: &[u8], honest: &Artifact) {
        match read(bytes) {
            Err(error) => {
                told(Err(error));
                self.refused += 1;
            }
            Ok(artifact) => {
                // Only what names and describes can be otherwise: a model that computes something else is none of
                // these weights.
                assert_eq!(artifact.layers, honest.layers, "{place}");
                assert_eq!(artifact.outline.sites, honest.outline.sites, "{place}");
                assert_eq!(artifact.vectors, honest.vectors, "{place}");
                *self.accepted.entry(place.to_owned()).or_default() += 1;
            }
        }
    }
}

#[test]
fn lies_in_every_field_of_the_manifest_are_refused_or_harmless() {
    let mut outcomes = Outcomes::default();
    let pooler =
        parts_of(&encoder_graph(Head::Pooler { activation: Activation::Tanh, outputs: 2 }), Form::Dense);
    let encoders = [assemble(pooler).unwrap(), embedder(INT8)];
    for honest in forms().into_iter().step_by(30).map(|form| artifact(form, 2)).chain(encoders) {
        let (header, data) = take_apart(&honest.to_bytes().unwrap());
        let manifest: Value =
            serde_json::from_str(header["__metadata__"]["nlpress"].as_str().unwrap()).unwrap();
        let mut all = Vec::new();
        places(&manifest, "", &mut all);
        for place in &all {
            for lie in lies() {
                let mut header = header.clone();
                with_manifest(&mut header, |m| *m.pointer_mut(place).unwrap() = lie.clone());
                outcomes.see(place, &sealed(&put_together(&header, &data)), &honest);
            }
        }
    }
    let accepted: usize = outcomes.accepted.values().sum();
    assert!(outcomes.refused > 4000, "{} refused, {accepted} accepted", outcomes.refused);
    // What no check can know: names of classes, settings of an encoder that this crate does not understand, where the
    // model is from, and what matters in training only.
    let harmless = [
        "/labels/",
        "/encoder",
        "/provenance/",
        "/outline/graph/nodes/2/op/dropout",
        "/outline/graph/nodes/5/op/dropout",
        "/outline/graph/source/tokens/most",
    ];
    for place in outcomes.accepted.keys() {
        // The schema before this one has the same fields, and what is true may be said of anything.
        let true_ones = ["/labels", "/outline/sites", "/layouts", "/outline/graph/nodes", "/outline/kept"];
        let known = harmless.iter().chain(&true_ones).any(|known| place.starts_with(known));
        assert!(known, "{place} may be anything");
    }
}

#[test]
fn lies_in_every_field_of_the_header_are_refused() {
    let mut outcomes = Outcomes::default();
    for form in forms().into_iter().step_by(20) {
        let honest = artifact(form, 2);
        let (header, data) = take_apart(&honest.to_bytes().unwrap());
        let mut all = Vec::new();
        places(&header, "", &mut all);
        for place in all.iter().filter(|place| !place.is_empty() && !place.contains("nlpress")) {
            for lie in lies() {
                let mut header = header.clone();
                *header.pointer_mut(place).unwrap() = lie;
                // Sealed as far as it can be.
                let file = put_together(&header, &data);
                outcomes.see(place, &sealed(&file), &honest);
                outcomes.refused += usize::from(matches!(
                    fault(read(&cut(&file))),
                    E::NotSafetensors(_) | E::Format(_) | E::Damaged(_)
                ));
            }
        }
    }
    assert!(outcomes.refused > 2000, "{}", outcomes.refused);
    // The number that is there already.
    assert!(
        outcomes.accepted.keys().all(|place| place.contains("/data_offsets/") || place.contains("/shape/"))
    );
}

/// The file without its last byte.
fn cut(file: &[u8]) -> Vec<u8> {
    file[..file.len() - 1].to_vec()
}

#[cfg(target_os = "linux")]
#[test]
fn hostile_files_take_little_memory() {
    let (header, data) = take_apart(&artifact(Form::Dense, 2).to_bytes().unwrap());
    let many = |n: usize| "0,".repeat(n - 1) + "0";
    let bombs = [
        ("/encoder/config", format!("[{}]", many(3_500_000))),
        ("/outline/graph/nodes", format!("[{}]", many(3_500_000))),
        ("/labels", format!("[{}\"\"]", "\"\",".repeat(3_500_000 / 2))),
        ("/outline/sites", format!("[{}]", many(3_500_000))),
        ("/provenance/seed", "[".repeat(1_000_000)),
    ];
    let before = peak();
    for (place, bomb) in bombs {
        let mut manifest: Value =
            serde_json::from_str(header["__metadata__"]["nlpress"].as_str().unwrap()).unwrap();
        *manifest.pointer_mut(place).unwrap() = json!("BOMB");
        let mut header = header.clone();
        header["__metadata__"]["nlpress"] = manifest.to_string().replace("\"BOMB\"", &bomb).into();
        told(read(&sealed(&put_together(&header, &data))));
    }
    let mut entries = header.to_string();
    entries.pop();
    for n in 0..150_000 {
        entries.push_str(&format!(",\"t{n}\":{{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}"));
    }
    entries.push('}');
    let file = [&(entries.len() as u64).to_le_bytes()[..], entries.as_bytes(), &data].concat();
    assert!(told(read(&file)).contains("the header"));
    // The files themselves are some 7 to 10 MB, held a few times by this test.
    let grown = peak() - before;
    assert!(grown < 200 << 20, "{} MiB", grown >> 20);
}

/// Most memory that the process has had, in bytes.
#[cfg(target_os = "linux")]
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    1024 * line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()
}
