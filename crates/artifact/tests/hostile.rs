//! Files that nobody honest wrote: always an error or a valid artifact, never a panic.

#![cfg(test)]

mod common;

use common::file::{put_together, sealed, take_apart, with_manifest as change_manifest};
use common::{artifact, fault, forms};
use nlpress_artifact::manifest::SCHEMA;
use nlpress_artifact::{Artifact, ArtifactError as E, LARGEST_MANIFEST, Layer, OpenOptions};
use nlpress_graph::{Form, Graph, MlpSpec, Outline};
use nlpress_packed::{Codebook, Grid, Index, Int, Matrix, PackError, Per, Scheme, Values};
use serde_json::{Value, json};

const CSR8: Form = Form::Packed(Scheme { values: Values::int(Grid::Int8, Per::Channel), index: Index::Csr });
const MASK: Form = Form::Packed(Scheme { values: Values::F32, index: Index::Bitmask });

fn read(bytes: &[u8]) -> Result<Artifact, E> {
    Artifact::from_bytes(bytes, "memory")
}

/// The error after `change` was done to the header.
fn with_header(form: Form, change: impl Fn(&mut Value)) -> E {
    let (mut header, data) = take_apart(&artifact(form, 2).to_bytes().unwrap());
    change(&mut header);
    fault(read(&sealed(&put_together(&header, &data))))
}

/// The error after `change` was done to the manifest.
fn with_manifest(change: impl Fn(&mut Value)) -> E {
    with_header(CSR8, |header| change_manifest(header, &change))
}

/// The error after a network was written by its family, as before schema 4, and that was changed.
fn by_family(change: &dyn Fn(&mut Value)) -> E {
    with_manifest(|m| {
        let mut mlp = json!(MlpSpec::new(30, &[12, 7], 2, 0.5));
        change(&mut mlp);
        m["schema"] = json!(3);
        m["outline"].as_object_mut().unwrap().remove("graph");
        m["outline"]["spec"] = json!({ "mlp": mlp });
    })
}

/// The error after the first bytes of a tensor were replaced.
fn with_tensor(form: Form, name: &str, put: &[u8]) -> E {
    let (header, mut data) = take_apart(&artifact(form, 2).to_bytes().unwrap());
    let start = header[name]["data_offsets"][0].as_u64().unwrap() as usize;
    data[start..start + put.len()].copy_from_slice(put);
    fault(read(&sealed(&put_together(&header, &data))))
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
fn headers_that_ask_for_too_much_are_refused() {
    for claim in [u64::MAX, 1 << 60, 1 << 40, LARGEST_MANIFEST, 3, 0] {
        let bytes = [&claim.to_le_bytes()[..], b"{}"].concat();
        let error = fault(read(&bytes));
        assert!(matches!(&error, E::NotSafetensors(why) if why.contains(&claim.to_string())), "{error}");
    }
    let mut large = [&(LARGEST_MANIFEST + 1).to_le_bytes()[..], b"{"].concat();
    large.resize(large.len() + LARGEST_MANIFEST as usize, b' ');
    assert!(matches!(fault(read(&large)), E::Header { found, .. } if found == LARGEST_MANIFEST + 1));
    for text in ["", "text,label\n", "PK\u{3}\u{4}", "{\"a\": [1, 2, 3]}", "text,label\ngood,a\nbad,b\n"] {
        let error = fault(read(text.as_bytes()));
        assert!(error.to_string().starts_with("not a safetensors file: "), "{text:?}: {error}");
    }
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
    let sizes = |inputs: usize, hidden: &[usize]| {
        with_manifest(|m| m["outline"]["graph"] = json!(Graph::from(MlpSpec::new(inputs, hidden, 2, 0.5))))
    };
    assert!(matches!(sizes(usize::MAX, &[12, 7]), E::Graph(_)));
    assert!(matches!(sizes(30, &[1 << 20, 1 << 20]), E::Graph(_)));
    assert!(matches!(sizes(30, &[1; 700]), E::Graph(_)));
    assert!(matches!(sizes(30, &[12]), E::Sites(_)));
    // By its family, as before schema 4.
    let family = |hidden: Value| by_family(&|mlp| mlp["hidden"] = hidden.clone());
    let refused = |hidden: Value, why: &str| {
        let error = family(hidden);
        assert!(matches!(&error, E::Manifest(said) if said.contains(why)), "{error}");
    };
    refused(json!([1 << 20, 1 << 20]), "the number of parameters");
    refused(json!(vec![1; 65]), "at most 64 layers");
    assert!(matches!(family(json!([12])), E::Sites(_)));
    // A possible size that the tensors do not have: refused before anything of that size is made.
    let wide = with_manifest(|m| {
        m["outline"]["graph"]["source"]["features"]["width"] = json!(1 << 17);
        m["outline"]["sites"][0]["shape"]["inputs"] = json!(1 << 17);
    });
    assert!(matches!(wide, E::Weight { error: PackError::Code { name: "counts", .. }, .. }), "{wide}");
}

#[test]
fn graphs_on_tokens_that_ask_for_too_much_are_refused() {
    let (header, data) = take_apart(&common::embedder(MASK).to_bytes().unwrap());
    let with = |place: &str, lie: Value| {
        let mut header = header.clone();
        change_manifest(&mut header, |m| {
            *m.pointer_mut(&format!("/outline/graph/{place}")).unwrap() = lie.clone()
        });
        fault(read(&sealed(&put_together(&header, &data)))).to_string()
    };
    let huge = json!(u64::MAX);
    let embed = |by: Value, bias: bool| json!({"site": "t", "outputs": 8, "by": by, "bias": bias});
    for (place, lie, part) in [
        ("source/tokens/vocabulary", huge.clone(), "inputs is"),
        ("source/tokens/vocabulary", json!(31), "expected embeddings.word_embeddings [31, 8]"),
        ("source/tokens/most", huge.clone(), "tokens is"),
        ("source/tokens/most", json!(10), "at least the 10 tokens"),
        ("nodes/1/op/embed", embed(json!({"position": {"rows": u64::MAX}}), false), "rows is"),
        ("nodes/3/op/embed", embed(json!({"type": {"rows": u64::MAX}}), false), "rows is"),
        ("nodes/3/op/embed", embed(json!({"place": {"rows": 2}}), false), "unknown variant"),
        (
            "nodes/0/op/embed",
            embed(json!("word"), true),
            "found embeddings.word_embeddings [30, 8], expected t",
        ),
        ("nodes/0/op/embed/outputs", huge.clone(), "is 18446744073709551615"),
        ("nodes/5/op/layer_norm/epsilon", json!(-1.0), "epsilon is -1"),
        ("nodes/5/op/layer_norm/epsilon", json!(1e308), "epsilon is inf"),
        ("nodes/5/op/layer_norm/param", json!("other"), "tensor other.weight is missing"),
        ("nodes/5/op/layer_norm/param", json!("embeddings.word_embeddings"), "used twice"),
        ("nodes/10/op/attend/heads", huge.clone(), "heads is"),
        ("nodes/16/op/activate", json!("swish"), "unknown variant"),
        ("output", json!("tokens"), "unknown variant"),
        ("output", json!("logits"), "found 0 labels, expected 8"),
    ] {
        let message = with(place, lie.clone());
        assert!(message.contains(part), "{place} {lie}: {message}");
        assert!(message.chars().count() < 1200, "{message}");
    }
}

#[test]
fn broken_manifests_are_told_apart() {
    assert!(matches!(with_header(CSR8, |h| h["__metadata__"] = json!({"format": "pt"})), E::NoManifest));
    assert!(matches!(with_header(CSR8, |h| h["__metadata__"]["nlpress"] = json!("{")), E::Manifest(_)));
    for schema in [0, 1, SCHEMA + 1, u64::MAX] {
        let error = with_manifest(|m| m["schema"] = json!(schema));
        assert!(matches!(error, E::Schema { found, known: SCHEMA } if found == schema), "{error}");
    }
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

#[test]
fn nothing_is_there_twice_or_unknown() {
    // The text of the header, in which a key can be there twice.
    let with_text = |change: &dyn Fn(&str) -> String| {
        let (header, data) = take_apart(&artifact(CSR8, 2).to_bytes().unwrap());
        let header = change(&header.to_string());
        fault(read(&sealed(&[&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat())))
    };
    let entry = "\"output.bias\":{\"data_offsets\":[0,0],\"dtype\":\"F32\",\"shape\":[0]},";
    let tensor = with_text(&|text| text.replacen("\"output.bias\"", &format!("{entry}\"output.bias\""), 1));
    assert!(matches!(&tensor, E::Format(why) if why.contains("output.bias is there twice")), "{tensor}");
    let key = with_text(&|text| text.replacen("\"nlpress\":", "\"nlpress\":\"{}\",\"nlpress\":", 1));
    assert!(matches!(&key, E::Format(why) if why.contains("duplicate field `nlpress`")), "{key}");
    let metadata = with_text(&|text| text.replacen('{', "{\"__metadata__\":{},", 1));
    assert!(
        matches!(&metadata, E::Format(why) if why.contains("duplicate field `__metadata__`")),
        "{metadata}"
    );
    let seed = with_text(&|text| text.replacen("\\\"seed\\\":", "\\\"seed\\\":1,\\\"seed\\\":", 1));
    assert!(matches!(&seed, E::Manifest(why) if why.contains("duplicate field `seed`")), "{seed}");
    let config = with_text(&|text| text.replacen("\\\"limit\\\":", "\\\"limit\\\":1,\\\"limit\\\":", 1));
    assert!(matches!(&config, E::Manifest(why) if why.contains("`limit` is there twice")), "{config}");
    let field = with_header(CSR8, |h| h["output.bias"]["more"] = json!(1));
    assert!(
        matches!(&field, E::Format(why) if why.contains("output.bias") && why.contains("`more`")),
        "{field}"
    );
    let beside = with_header(CSR8, |h| h["__metadata__"]["format"] = json!("pt"));
    assert!(matches!(&beside, E::UnknownKey(key) if key == "format"), "{beside}");
    for place in
        ["/outline", "/outline/sites/0", "/outline/sites/0/shape", "/layouts/0", "/encoder", "/provenance"]
    {
        let error = with_manifest(|m| m.pointer_mut(place).unwrap()["more"] = json!(1));
        assert!(matches!(&error, E::Manifest(why) if why.contains("`more`")), "{place}: {error}");
    }
}

#[test]
fn long_lists_and_names_are_refused_in_few_words() {
    let long = "x".repeat(200_000);
    let few = |error: E, why: &str| {
        let text = error.to_string();
        assert!(text.contains(why) && text.chars().count() < 1000, "{} characters: {text:.300}", text.len());
    };
    few(with_header(CSR8, |h| h["output.bias"]["shape"] = json!(vec![1; 500_000])), "more than 8 entries");
    few(
        with_header(CSR8, |h| h[&long] = json!({"dtype": "U8", "shape": [0], "data_offsets": [0, 0]})),
        "xxx",
    );
    few(with_header(CSR8, |h| h["__metadata__"][&long] = json!("")), "unknown key `xxx");
    few(with_header(CSR8, |h| h["output.bias"]["dtype"] = json!(long)), "unknown variant `xxx");
    few(with_header(CSR8, |h| h["output.bias"][&long] = json!(1)), "unknown field `xxx");
    let nodes =
        |n: usize| with_manifest(|m| m["outline"]["graph"]["nodes"] = json!(vec![json!({"op": "norm"}); n]));
    few(nodes(500_000), "more than 4096 entries");
    few(nodes(4000), "nodes is 4000");
    few(
        with_manifest(|m| m["outline"]["graph"]["nodes"][0]["from"] = json!(vec![0; 500_000])),
        "more than 8 entries",
    );
    let name = |name: &str| {
        with_manifest(|m| m["outline"]["graph"]["nodes"][0]["op"]["features"]["site"] = json!(name))
    };
    few(name(&long), "nodes.0.site");
    few(name("a\u{1b}[31m"), "nodes.0.site");
    few(by_family(&|mlp| mlp["hidden"] = json!(vec![1; 500_000])), "more than 4096 entries");
    few(by_family(&|mlp| mlp["hidden"] = json!(vec![1; 4000])), "at most 64 layers");
    few(by_family(&|mlp| mlp["ranks"] = json!({&long: 1})), "ranks.xxx");
    few(with_manifest(|m| m["encoder"]["config"] = json!(vec![0; 500_000])), "more than 262144 values");
    few(with_manifest(|m| m["labels"] = json!(vec![""; (1 << 20) + 1])), "more than 1048576 entries");
    few(with_manifest(|m| m["labels"] = json!([long, long])), "label `xxx");
    few(with_manifest(|m| m["outline"]["sites"][0]["id"] = json!(long)), "found xxx");
    few(with_manifest(|m| m["layouts"][0]["site"] = json!(long)), "found xxx");
    few(with_manifest(|m| m["outline"]["sites"][0]["form"] = json!(long)), "unknown variant `xxx");
    few(with_manifest(|m| m[&long] = json!(1)), "unknown field `xxx");
}

#[test]
fn weights_that_would_take_too_much_memory_are_refused() {
    // A code for eight outputs in four bits: 64 times its bytes in memory.
    let codes = Codebook { width: 8, bits: 4, product: false };
    let graph = Graph::from(MlpSpec::new(500, &[4096], 2, 0.0));
    let mut outline = Outline::dense(&graph);
    let matrix = |inputs, outputs, codebook: Codebook| {
        let numbers = vec![0.5; codebook.numbers(outputs)];
        let codes = vec![0; inputs * outputs / usize::from(codebook.width)];
        Matrix::coded((inputs, outputs), codebook, &numbers, &codes, (None, Index::Full)).unwrap()
    };
    let matrices = [matrix(500, 4096, codes), matrix(4096, 2, Codebook { width: 1, ..codes })];
    let mut layers = Vec::new();
    for (site, matrix) in outline.sites.iter_mut().zip(matrices) {
        site.form = Form::Packed(matrix.scheme());
        layers.push(Layer { id: site.id.clone(), bias: vec![0.0; site.shape.outputs], matrix });
    }
    let labels = vec!["a".into(), "b".into()];
    let made =
        Artifact::new(outline, layers, vec![], labels, common::encoder(), common::provenance()).unwrap();
    let bytes = made.to_bytes().unwrap();
    assert!(bytes.len() < 200_000);
    assert_eq!(read(&bytes).unwrap(), made);
    let within = |most| {
        let options = OpenOptions { largest_expanded_bytes: Some(most), ..OpenOptions::default() };
        Artifact::from_bytes_with(&bytes, "memory", &options)
    };
    let exact = 4 * (500 * 4096 + 4096 * 8);
    assert!(within(exact + 4096).is_ok());
    let error = fault(within(exact - 1));
    assert!(matches!(error, E::Expanded { needed, most } if needed >= exact && most == exact - 1), "{error}");
}

#[test]
fn files_of_the_schema_before_are_opened_as_they_were() {
    for form in forms().into_iter().step_by(5) {
        let bytes = artifact(form, 2).to_bytes().unwrap();
        let (mut header, data) = take_apart(&bytes);
        // As they were written: no checksums, and labels that are one text after composition.
        header["__metadata__"].as_object_mut().unwrap().remove("nlpress.blake3").unwrap();
        change_manifest(&mut header, |m| {
            m["schema"] = json!(2);
            m["labels"] = json!(["\u{e9}", "e\u{301}"]);
        });
        let old = Artifact::from_bytes(&put_together(&header, &data), "memory").unwrap();
        assert_eq!(old.labels, ["\u{e9}", "e\u{301}"]);
        assert_eq!(old.layers, read(&bytes).unwrap().layers, "{form}");
        // What cannot be read on one line never could.
        change_manifest(&mut header, |m| m["labels"] = json!([" ", "a\tb"]));
        assert!(matches!(fault(read(&put_together(&header, &data))), E::Label { .. }));
        change_manifest(&mut header, |m| m["labels"] = json!(["a", "a"]));
        assert!(matches!(fault(read(&put_together(&header, &data))), E::LabelTwice(_)));
        // A file of today that lost its checksums is damaged, not old.
        change_manifest(&mut header, |m| m["schema"] = json!(3));
        assert!(matches!(fault(read(&put_together(&header, &data))), E::NoChecksums(3)));
    }
    for labels in
        [json!(["", "b"]), json!([" ", "b"]), json!(["a\u{1b}[31m", "b"]), json!(["\u{e9}", "e\u{301}"])]
    {
        let error = with_manifest(|m| m["labels"] = labels.clone());
        assert!(matches!(error, E::Label { .. }), "{labels}: {error}");
    }
}
