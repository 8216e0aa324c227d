//! Files that nobody honest wrote: always an error or a valid artifact, never a panic.

#![cfg(test)]

mod common;

use common::{artifact, fault, forms};
use nlpress_artifact::{Artifact, ArtifactError as E, LARGEST_MANIFEST};
use nlpress_outline::Form;
use nlpress_packed::{Grid, Index, Int, PackError, Per, Scheme, Values};
use serde_json::{Value, json};

const CSR8: Form = Form::Packed(Scheme { values: Values::int(Grid::Int8, Per::Channel), index: Index::Csr });
const MASK: Form = Form::Packed(Scheme { values: Values::F32, index: Index::Bitmask });

fn read(bytes: &[u8]) -> Result<Artifact, E> {
    Artifact::from_bytes(bytes, "memory")
}

/// A file taken apart into its header and its tensors' bytes.
fn take_apart(bytes: &[u8]) -> (Value, Vec<u8>) {
    let header = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    (serde_json::from_slice(&bytes[8..8 + header]).unwrap(), bytes[8 + header..].to_vec())
}

fn put_together(header: &Value, data: &[u8]) -> Vec<u8> {
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

/// The error after `change` was done to the header.
fn with_header(form: Form, change: impl Fn(&mut Value)) -> E {
    let (mut header, data) = take_apart(&artifact(form, 2).to_bytes().unwrap());
    change(&mut header);
    fault(read(&put_together(&header, &data)))
}

/// The error after `change` was done to the manifest.
fn with_manifest(change: impl Fn(&mut Value)) -> E {
    with_header(CSR8, |header| {
        let text = &mut header["__metadata__"]["nlpress"];
        let mut manifest = serde_json::from_str(text.as_str().unwrap()).unwrap();
        change(&mut manifest);
        *text = manifest.to_string().into();
    })
}

/// The error after the first bytes of a tensor were replaced.
fn with_tensor(form: Form, name: &str, put: &[u8]) -> E {
    let (header, mut data) = take_apart(&artifact(form, 2).to_bytes().unwrap());
    let start = header[name]["data_offsets"][0].as_u64().unwrap() as usize;
    data[start..start + put.len()].copy_from_slice(put);
    fault(read(&put_together(&header, &data)))
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    for form in forms() {
        let bytes = artifact(form, 2).to_bytes().unwrap();
        for length in (0..bytes.len()).step_by(7).chain(bytes.len() - 9..bytes.len()) {
            assert!(read(&bytes[..length]).is_err(), "{form} cut to {length} bytes");
        }
        let longer = [&bytes[..], b"x"].concat();
        assert!(read(&longer).is_err());
    }
}

#[test]
fn a_flipped_bit_is_an_error_or_a_valid_artifact() {
    let (mut refused, mut accepted) = (0, 0);
    for form in forms() {
        let bytes = artifact(form, 2).to_bytes().unwrap();
        let mut damaged = bytes.clone();
        for n in 0..600 {
            let bit = n * 7919 % (8 * bytes.len());
            damaged[bit / 8] ^= 1 << (bit % 8);
            match read(&damaged) {
                Err(_) => refused += 1,
                Ok(artifact) => {
                    accepted += 1;
                    let again = artifact.to_bytes().unwrap();
                    assert_eq!(read(&again).unwrap(), artifact, "{form}, bit {bit}");
                }
            }
            damaged[bit / 8] ^= 1 << (bit % 8);
        }
    }
    assert!(refused > 1000 && accepted > 1000, "{refused} refused, {accepted} accepted");
}

#[test]
fn headers_that_ask_for_too_much_are_refused() {
    for claim in [u64::MAX, 1 << 60, 1 << 40, LARGEST_MANIFEST + 1] {
        let bytes = [&claim.to_le_bytes()[..], b"{}"].concat();
        assert!(matches!(fault(read(&bytes)), E::Header { found, .. } if found == claim));
    }
    let bytes = [&LARGEST_MANIFEST.to_le_bytes()[..], b"{}"].concat();
    assert!(matches!(fault(read(&bytes)), E::Format(_)));
    for huge in [1u64 << 42, 1 << 59, u64::MAX / 4, u64::MAX] {
        let grow = |header: &mut Value| {
            let tensor = &mut header["hidden.0.weight.values"];
            let start = tensor["data_offsets"][0].as_u64().unwrap();
            tensor["shape"] = json!([huge]);
            tensor["data_offsets"] = json!([start, start.saturating_add(huge)]);
        };
        assert!(matches!(with_header(CSR8, grow), E::Format(_)));
    }
}

#[test]
fn specifications_that_ask_for_too_much_are_refused() {
    let sizes = |inputs: u64, hidden: Value| {
        with_manifest(|m| {
            m["outline"]["spec"]["mlp"]["inputs"] = json!(inputs);
            m["outline"]["spec"]["mlp"]["hidden"] = hidden.clone();
        })
    };
    assert!(matches!(sizes(u64::MAX, json!([12, 7])), E::Spec(_)));
    assert!(matches!(sizes(30, json!([1 << 20, 1 << 20])), E::Spec(_)));
    assert!(matches!(sizes(30, json!(vec![1; 65])), E::Spec(_)));
    assert!(matches!(sizes(30, json!([12])), E::Sites(_)));
    // A possible size that the tensors do not have: refused before anything of that size is made.
    let wide = with_manifest(|m| {
        m["outline"]["spec"]["mlp"]["inputs"] = json!(1 << 17);
        m["outline"]["sites"][0]["shape"]["inputs"] = json!(1 << 17);
    });
    assert!(matches!(wide, E::Weight { error: PackError::Code { name: "counts", .. }, .. }), "{wide}");
}

#[test]
fn broken_manifests_are_told_apart() {
    assert!(matches!(with_header(CSR8, |h| h["__metadata__"] = json!({"format": "pt"})), E::NoManifest));
    assert!(matches!(with_header(CSR8, |h| h["__metadata__"]["nlpress"] = json!("{")), E::Manifest(_)));
    assert!(matches!(with_manifest(|m| m["schema"] = json!(3)), E::Schema { found: 3, known: 2 }));
    assert!(matches!(with_manifest(|m| m["extra"] = json!(1)), E::Manifest(_)));
    assert!(matches!(with_manifest(|m| m["labels"] = json!(["a"])), E::Labels { .. }));
    assert!(matches!(with_manifest(|m| m["layouts"] = json!([])), E::Sites(_)));
    assert!(matches!(with_manifest(|m| m["layouts"][0]["site"] = json!("output")), E::Layer { .. }));
    assert!(matches!(
        with_manifest(|m| m["layouts"][0]["scheme"]["index"] = json!("full")),
        E::Layout { .. }
    ));
    for index in [json!({"block": {"rows": 0, "columns": 4}}), json!({"nm": {"n": 4, "m": 4}})] {
        let impossible = with_manifest(|m| {
            m["layouts"][0]["scheme"]["index"] = index.clone();
            m["outline"]["sites"][0]["form"]["packed"]["index"] = index.clone();
        });
        assert!(
            matches!(impossible, E::Weight { error: PackError::Block { .. } | PackError::Group { .. }, .. }),
            "{impossible}"
        );
    }
    assert!(matches!(with_manifest(|m| m["outline"]["kept"] = json!(3)), E::Kept { outline: 3, .. }));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(with_header(CSR8, |h| h["__metadata__"]["nlpress"] = json!(deep)), E::Manifest(_)));
}

#[test]
fn broken_tensors_are_named() {
    let rename = |from: &'static str, to: &'static str| {
        with_header(CSR8, move |header| {
            let tensor = header.as_object_mut().unwrap().remove(from).unwrap();
            header[to] = tensor;
        })
    };
    let missing = rename("hidden.1.weight.counts", "hidden.1.weight.count");
    assert!(matches!(&missing, E::Missing(name) if name == "hidden.1.weight.counts"), "{missing}");
    assert!(matches!(rename("output.bias", "bias"), E::Missing(name) if name == "output.bias"));
    assert!(matches!(rename("encoder.vocabulary", "v"), E::Missing(name) if name == "encoder.vocabulary"));
    let unknown = with_header(CSR8, |h| {
        let all = h.as_object().unwrap().values().filter_map(|t| t["data_offsets"][1].as_u64());
        let last = all.max();
        h["more"] = json!({"dtype": "U8", "shape": [0], "data_offsets": [last, last]});
    });
    assert!(matches!(&unknown, E::Unknown(name) if name == "more"), "{unknown}");

    let retype =
        |name: &'static str, dtype: &'static str| with_header(CSR8, move |h| h[name]["dtype"] = json!(dtype));
    assert!(matches!(retype("output.bias", "I32"), E::Tensor { .. }));
    let odd = retype("hidden.0.weight.values", "F8_E4M3");
    assert!(matches!(&odd, E::Tensor { name, .. } if name == "hidden.0.weight.values"), "{odd}");
    let unsigned = retype("hidden.0.weight.values", "U8");
    assert!(matches!(unsigned, E::Weight { error: PackError::Dtype { name: "values", .. }, .. }));
    let square = with_header(CSR8, |h| h["output.bias"]["shape"] = json!([1, 2]));
    assert!(matches!(square, E::Tensor { .. }));
}

#[test]
fn broken_numbers_are_named() {
    let nan = f32::NAN.to_le_bytes();
    assert!(matches!(with_tensor(CSR8, "output.bias", &nan), E::BiasValue { position: 0, .. }));
    assert!(matches!(
        with_tensor(MASK, "hidden.0.weight.values", &nan),
        E::Weight { error: PackError::NotFinite { .. }, .. }
    ));
    assert!(matches!(
        with_tensor(CSR8, "hidden.0.weight.scales", &nan),
        E::Weight { error: PackError::Scale { .. }, .. }
    ));
    assert!(matches!(
        with_tensor(CSR8, "hidden.0.weight.values", &[0x80]),
        E::Weight { error: PackError::Level { value: -128, .. }, .. }
    ));
    let two = Int { outliers: 2, ..Int::new(Grid::Int8, Per::Channel) };
    let two = Form::Packed(Scheme { values: Values::Int(two), index: Index::Full });
    for put in [&[99, 0, 0, 0][..], &[0xff; 4], &[2, 0, 0, 0]] {
        let error = with_tensor(two, "hidden.0.weight.outlier_inputs", put);
        assert!(matches!(error, E::Weight { error: PackError::Outlier { .. }, .. }), "{put:?}: {error}");
    }
    let given_twice = with_tensor(two, "hidden.0.weight.outlier_inputs", &[0]);
    assert!(
        matches!(given_twice, E::Weight { error: PackError::OutlierValue { input: 0, .. }, .. }),
        "{given_twice}"
    );
    assert!(matches!(
        with_tensor(two, "hidden.0.weight.outliers", &[1, 0x7c]),
        E::Weight { error: PackError::NotFinite { what: "outliers", .. }, .. }
    ));
    for name in ["outlier_inputs", "outliers"] {
        let without = with_header(two, |header| {
            let tensor = header.as_object_mut().unwrap().remove(&format!("hidden.1.weight.{name}")).unwrap();
            header["hidden.1.weight.more"] = tensor;
        });
        let expected = format!("hidden.1.weight.{name}");
        assert!(matches!(&without, E::Missing(name) if *name == expected), "{without}");
    }
    // Another count in all that the manifest says of the site.
    for count in [1, 3, 65_535] {
        let other = with_header(two, |header| {
            let text = &mut header["__metadata__"]["nlpress"];
            let manifest = text.as_str().unwrap();
            assert!(manifest.contains("\"outliers\":2"));
            *text = manifest.replace("\"outliers\":2", &format!("\"outliers\":{count}")).into();
        });
        let shape =
            matches!(other, E::Weight { error: PackError::PartShape { name: "outlier_inputs", .. }, .. });
        assert!(shape, "{count}: {other}");
    }
    // The first byte of counts and gaps names their code; what follows are the numbers.
    for (name, put) in [("gaps", 99), ("gaps", 31), ("counts", 0), ("counts", 255), ("counts", 7)] {
        let error = with_tensor(CSR8, &format!("hidden.0.weight.{name}"), &[put]);
        assert!(matches!(error, E::Weight { error: PackError::Code { .. }, .. }), "{name} {put}: {error}");
    }
    let counts = with_tensor(CSR8, "hidden.0.weight.counts", &[3, 0xff]);
    assert!(matches!(counts, E::Weight { error: PackError::Counts { .. }, .. }), "{counts}");
    let (rows, columns) = (4, 8);
    let block = Form::Packed(Scheme {
        values: Values::int(Grid::Int4, Per::Tensor),
        index: Index::Block { rows, columns },
    });
    let beyond = with_tensor(block, "hidden.1.weight.values", &[0xff; 16]);
    assert!(matches!(beyond, E::Weight { error: PackError::Padding("values"), .. }), "{beyond}");
    let nibble = with_tensor(block, "hidden.0.weight.values", &[0x18]);
    assert!(matches!(nibble, E::Weight { error: PackError::Level { value: -8, .. }, .. }), "{nibble}");
    let group = Form::Packed(Scheme { values: Values::F16, index: Index::Nm { n: 3, m: 7 } });
    let places = with_tensor(group, "hidden.0.weight.positions", &[0xff]);
    assert!(matches!(places, E::Weight { error: PackError::Positions { .. }, .. }), "{places}");
    let infinite = with_tensor(group, "hidden.0.weight.values", &[0, 0x7c]);
    assert!(matches!(infinite, E::Weight { error: PackError::NotFinite { .. }, .. }), "{infinite}");
    assert!(matches!(
        with_tensor(MASK, "hidden.0.weight.mask", &[0xff; 4]),
        E::Weight { error: PackError::Popcount { .. }, .. }
    ));
}
