//! Damaged folders, and folders that lie, are refused with the file and the key or the tensor.

use nlpress_hub::{Folder, HubError, ImportOptions, Imported, export};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn original(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/folders").join(name)
}

/// A copy of a folder, to be changed.
fn copy(name: &str) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(original(name)).unwrap().map(|file| file.unwrap()) {
        std::fs::copy(file.path(), to.path().join(file.file_name())).unwrap();
    }
    to
}

fn import(folder: &Path) -> Result<Imported, HubError> {
    Folder::open(folder)?.import(ImportOptions::default())
}

fn refusal(folder: &TempDir) -> String {
    match import(folder.path()) {
        Ok(_) => panic!("it was taken"),
        Err(error) => error.to_string(),
    }
}

/// Changes a JSON file.
fn change(folder: &TempDir, file: &str, change: impl FnOnce(&mut Value)) {
    let path = folder.path().join(file);
    let mut json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut json);
    std::fs::write(path, serde_json::to_vec(&json).unwrap()).unwrap();
}

/// What is said of a folder whose `config.json` has another value at a key.
fn with(name: &str, key: &str, value: Value) -> String {
    let folder = copy(name);
    change(&folder, "config.json", |config| config[key] = value);
    refusal(&folder)
}

#[test]
fn a_configuration_that_lies_is_refused_by_its_key_or_its_tensor() {
    for (key, value, says) in [
        ("model_type", json!("gpt2"), "`model_type` is \"gpt2\"; known are bert, roberta"),
        ("model_type", Value::Null, "`model_type` is missing"),
        ("hidden_size", json!(16), "tensor embeddings.word_embeddings.weight: its shape is [29, 8]"),
        ("hidden_size", json!("8"), "`hidden_size` is \"8\", but it must be a whole number"),
        ("hidden_size", json!(-8), "must be a whole number"),
        ("hidden_size", json!(1_u64 << 60), "`hidden_size` makes no network: it is 1152921504606846976"),
        ("hidden_size", Value::Null, "`hidden_size` is missing"),
        ("num_hidden_layers", json!(3), "tensor encoder.layer.2.attention.self.query.weight: it is missing"),
        (
            "num_hidden_layers",
            json!(1_000_000_000),
            "`num_hidden_layers` makes no network: it is 1000000000 layers",
        ),
        ("num_attention_heads", json!(3), "`num_attention_heads` makes no network: it is 3"),
        (
            "intermediate_size",
            json!(13),
            "tensor encoder.layer.0.intermediate.dense.weight: its shape is [12, 8]",
        ),
        (
            "vocab_size",
            json!(20),
            "`vocab_size` is 20, but the tokenizer has 26 tokens: it is another model's",
        ),
        ("vocab_size", json!(30), "its shape is [29, 8], but the configuration makes it [30, 8]"),
        ("vocab_size", json!(u64::MAX), "the configuration makes it [18446744073709551615, 8]"),
        ("max_position_embeddings", json!(512), "tensor embeddings.position_embeddings.weight"),
        ("max_position_embeddings", json!(0), "`max_position_embeddings` is 0, and leaves no position"),
        ("type_vocab_size", json!(3), "tensor embeddings.token_type_embeddings.weight"),
        ("layer_norm_eps", json!(0), "`layer_norm_eps` makes no network: it is 0"),
        ("hidden_dropout_prob", json!(1.5), "`hidden_dropout_prob` makes no network: it is 1.5"),
        ("embedding_size", json!(4), "`embedding_size` is 4"),
        (
            "hidden_act",
            json!("gelu_new"),
            "`hidden_act` is \"gelu_new\"; of this kind of model only \"gelu\" is known",
        ),
        ("position_embedding_type", json!("relative_key"), "`position_embedding_type`"),
        ("is_decoder", json!(true), "`is_decoder`"),
    ] {
        let message = with("bert", key, value.clone());
        assert!(message.contains(says), "{key} {value}: {message}");
        assert!(message.contains(".json: ") || message.contains(".safetensors: "), "{message}");
    }
    for (key, value, says) in [
        ("id2label", json!({"0": "a", "1": "a", "2": "b"}), "`id2label` must give every class"),
        ("id2label", json!({"0": "a", "2": "b", "3": "c"}), "`id2label` must give every class"),
        ("id2label", json!({"0": "e\u{301}", "1": "\u{e9}", "2": "b"}), "`id2label` must give every class"),
        ("id2label", json!({"0": "a"}), "tensor classifier.weight: its shape is [3, 8]"),
        ("id2label", json!({}), "`id2label` has no class"),
        ("id2label", json!({"0": "a", "1": "b"}), "tensor classifier.weight: its shape is [3, 8]"),
        ("problem_type", json!("multi_label_classification"), "`problem_type`"),
    ] {
        let message = with("bert-classifier", key, value);
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn configurations_of_other_kinds_that_lie_are_refused_too() {
    let types = |kinds: [&str; 4]| json!(kinds.map(|kind| format!("{kind}_attention")));
    let rope = |key: &str, value: Value| {
        let mut all = json!({"full_attention": {"rope_type": "default", "rope_theta": 160_000.0},
                             "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0}});
        all["sliding_attention"][key] = value;
        all
    };
    let of_table = "tensor embeddings.word_embeddings.weight: its shape is [29, 6]";
    for (name, key, value, says) in [
        ("electra-small", "embedding_size", json!(8), of_table),
        ("electra-small", "embedding_size", json!(7), of_table),
        ("electra-small", "embedding_size", json!(0), "`embedding_size` makes no network: it is 0"),
        ("mpnet", "relative_attention_num_buckets", json!(64), "`relative_attention_num_buckets` is 64"),
        (
            "mpnet",
            "num_attention_heads",
            json!(4),
            "tensor encoder.relative_attention_bias.weight: its shape is [32, 2]",
        ),
        ("mpnet", "max_position_embeddings", json!(2), "leaves no position for a token"),
        ("modernbert", "norm_bias", json!(true), "`norm_bias` is true"),
        ("modernbert", "attention_bias", json!(true), "`attention_bias` is true"),
        ("modernbert", "hidden_activation", json!("silu"), "`hidden_activation` is \"silu\""),
        ("modernbert", "local_attention", json!(1), "window is 0"),
        ("modernbert", "num_attention_heads", json!(8), "`num_attention_heads` makes no network"),
        ("modernbert", "layer_types", types(["full", "full", "sliding", "full"]), "`layer_types` is not"),
        ("modernbert", "layer_types", types(["sliding", "full", "full", "full"]), "`layer_types` is not"),
        ("modernbert", "layer_types", types(["full", "other", "other", "full"]), "`layer_types` is not"),
        ("modernbert", "layer_types", json!(["full_attention"]), "`layer_types` does not name 4 layers"),
        ("modernbert", "layer_types", json!(7), "`layer_types` does not name 4 layers"),
        (
            "modernbert",
            "rope_parameters",
            rope("rope_type", json!("yarn")),
            "`rope_parameters` has a sliding",
        ),
        ("modernbert", "rope_parameters", rope("factor", json!(2.0)), "`rope_parameters` has a sliding"),
        ("modernbert", "rope_parameters", rope("rope_theta", json!(0.0)), "`rope_parameters` makes the base"),
        ("modernbert", "rope_scaling", json!({"factor": 2}), "`rope_scaling`"),
        ("modernbert", "intermediate_size", json!(11), "tensor layers.0.mlp.Wi.weight: its shape is [24, 8]"),
        ("modernbert-classifier", "classifier_pooling", json!("max"), "`classifier_pooling` is neither"),
        ("modernbert-classifier", "classifier_bias", json!(true), "`classifier_bias` is true"),
    ] {
        let message = with(name, key, value.clone());
        assert!(message.contains(says), "{name} {key} {value}: {message}");
    }
}

#[test]
fn a_length_of_texts_that_files_say_is_refused_by_its_file() {
    let folder = copy("bert");
    change(&folder, "tokenizer_config.json", |config| config["model_max_length"] = json!(2));
    let message = refusal(&folder);
    assert!(
        message.contains("tokenizer_config.json: `model_max_length` is 2: it must lie between 3 and"),
        "{message}"
    );
    std::fs::write(folder.path().join("sentence_bert_config.json"), r#"{"max_seq_length": 1}"#).unwrap();
    let message = refusal(&folder);
    assert!(message.contains("sentence_bert_config.json: `max_seq_length` is 1: it must lie"), "{message}");
    let asked = |max_tokens: usize| {
        let options = ImportOptions { max_tokens: Some(max_tokens), ..ImportOptions::default() };
        Folder::open(&original("bert")).unwrap().import(options).unwrap_err().to_string()
    };
    assert!(asked(2).contains("max_tokens"), "{}", asked(2));
    assert!(
        asked(40).contains("`max_position_embeddings` leaves 32 positions, and 40 tokens"),
        "{}",
        asked(40)
    );
}

#[test]
fn weights_that_are_cut_or_changed_are_refused_and_nothing_panics() {
    let folder = copy("bert-classifier");
    let file = folder.path().join("model.safetensors");
    let whole = std::fs::read(&file).unwrap();
    for cut in [0, 1, 7, 8, 9, 100, 1000, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&file, &whole[..cut]).unwrap();
        let message = refusal(&folder);
        assert!(message.contains("model.safetensors: not a safetensors file"), "{cut}: {message}");
    }
    std::fs::write(&file, [&whole[..], b"more"].concat()).unwrap();
    assert!(refusal(&folder).contains("follow the header"));
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    // Bytes of the header become others: what is refused says so, and what is taken was only a name or a space.
    for at in (0..header).step_by(5) {
        let mut bytes = whole.clone();
        bytes[at] = bytes[at].wrapping_add(1);
        std::fs::write(&file, &bytes).unwrap();
        if let Err(error) = import(folder.path()) {
            assert!(error.to_string().contains("model.safetensors"), "{at}: {error}");
        }
    }
    let mut bytes = whole.clone();
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&file, &bytes).unwrap();
    let message = refusal(&folder);
    assert!(message.contains("tensor ") && message.contains("is NaN"), "{message}");
    bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    std::fs::write(&file, &bytes).unwrap();
    assert!(refusal(&folder).contains("header of 18446744073709551615 bytes"));
    std::fs::remove_file(&file).unwrap();
    assert!(refusal(&folder).contains("neither model.safetensors nor"));
    std::fs::write(folder.path().join("pytorch_model.bin"), b"").unwrap();
    assert!(refusal(&folder).contains("safe_serialization=True"));
}

#[test]
fn an_index_that_lies_is_refused() {
    let with = |value: Value| {
        let folder = copy("bert-masked");
        change(&folder, "model.safetensors.index.json", |index| {
            index["weight_map"]["bert.embeddings.word_embeddings.weight"] = value;
        });
        refusal(&folder)
    };
    assert!(
        with(json!("model-00003-of-00002.safetensors"))
            .contains("model-00003-of-00002.safetensors: cannot be read")
    );
    assert!(with(json!("../model.safetensors")).contains("no name of a file beside it"));
    assert!(with(json!("/etc/passwd")).contains("no name of a file beside it"));
    assert!(with(json!(7)).contains("no name of a file beside it"));
    let other = with(json!("model-00002-of-00002.safetensors"));
    assert!(other.contains("it is not in model-00002-of-00002.safetensors, as the index says"), "{other}");
    let folder = copy("bert-masked");
    change(&folder, "model.safetensors.index.json", |index| {
        index["weight_map"].as_object_mut().unwrap().remove("bert.embeddings.word_embeddings.weight");
    });
    assert!(refusal(&folder).contains("`weight_map` names"), "{}", refusal(&folder));
    std::fs::remove_file(folder.path().join("model-00002-of-00002.safetensors")).unwrap();
    assert!(refusal(&folder).contains("model-00002-of-00002.safetensors"));
}

#[test]
fn modules_and_tokenizers_are_looked_at() {
    let module = |kind: &str, path: &str| json!({"type": format!("sentence_transformers.models.{kind}"), "path": path});
    let with = |modules: Value, pooling: Value| {
        let folder = copy("bert");
        std::fs::write(folder.path().join("modules.json"), modules.to_string()).unwrap();
        std::fs::create_dir(folder.path().join("1_Pooling")).unwrap();
        std::fs::write(folder.path().join("1_Pooling/config.json"), pooling.to_string()).unwrap();
        import(folder.path()).map(|_| ()).map_err(|e| e.to_string())
    };
    let usual = || vec![module("Transformer", ""), module("Pooling", "1_Pooling")];
    let mean = json!({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false});
    assert_eq!(with(json!(usual()), mean.clone()), Ok(()));
    assert_eq!(with(json!(usual()), json!({"pooling_mode": "cls"})), Ok(()));
    let both = json!({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true});
    assert!(with(json!(usual()), both).unwrap_err().contains("2 ways of pooling at once"));
    let max = json!({"pooling_mode_max_tokens": true});
    assert!(with(json!(usual()), max).unwrap_err().contains("`pooling_mode_max_tokens`"));
    let dense =
        json!([module("Transformer", ""), module("Pooling", "1_Pooling"), module("Dense", "2_Dense")]);
    assert!(with(dense, mean.clone()).unwrap_err().contains("Transformer, Pooling, Dense"));
    let outside = json!([module("Transformer", ""), module("Pooling", "../1_Pooling")]);
    assert!(with(outside, mean.clone()).unwrap_err().contains("not inside the folder"));
    assert!(with(json!({}), mean).unwrap_err().contains("not a list"));

    let folder = copy("bert");
    change(&folder, "tokenizer_config.json", |config| {
        config["tokenizer_class"] = "BertTokenizer".into();
        config["do_lower_case"] = false.into();
    });
    assert!(refusal(&folder).contains("`do_lower_case` is false, but tokenizer.json has lowercase true"));
    std::fs::remove_file(folder.path().join("tokenizer_config.json")).unwrap();
    std::fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    assert!(refusal(&folder).contains("no tokenizer.json"));
    std::fs::write(folder.path().join("tokenizer.json"), "{").unwrap();
    assert!(refusal(&folder).contains("tokenizer.json"));
    std::fs::write(folder.path().join("tokenizer.json"), "[".repeat(1 << 20)).unwrap();
    assert!(refusal(&folder).contains("tokenizer.json"));
    std::fs::write(folder.path().join("config.json"), "[".repeat(1 << 20)).unwrap();
    assert!(refusal(&folder).contains("config.json: it is no JSON"));
    std::fs::remove_file(folder.path().join("config.json")).unwrap();
    assert!(refusal(&folder).contains("no config.json"));
    assert!(import(&folder.path().join("none")).unwrap_err().to_string().contains("no folder"));
}

#[test]
fn a_vocabulary_alone_is_the_tokenizer_of_bert() {
    let folder = copy("bert");
    let path = folder.path().join("tokenizer.json");
    let tokenizer: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let mut words: Vec<(&String, u64)> = tokenizer["model"]["vocab"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(w, id)| (w, id.as_u64().unwrap()))
        .collect();
    words.sort_by_key(|(_, id)| *id);
    let lines: Vec<&str> = words.into_iter().map(|(word, _)| &**word).collect();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(folder.path().join("vocab.txt"), lines.join("\n") + "\n").unwrap();
    let texts = ["The small model, unseen!", "a FAST word", "", "[CLS] x"];
    let ids = |folder: &Path| -> Vec<Vec<u32>> {
        let tokenizer = Folder::open(folder).unwrap().tokenizer(30).unwrap();
        texts
            .iter()
            .map(|text| tokenizer.encode(text, &mut Default::default()).unwrap().ids.to_vec())
            .collect()
    };
    assert_eq!(ids(folder.path()), ids(&original("bert")));
    std::fs::write(folder.path().join("vocab.txt"), lines[5..].join("\n")).unwrap();
    assert!(refusal(&folder).contains("\"[CLS]\" is not in it"), "{}", refusal(&folder));
}

#[test]
fn nothing_is_written_over_what_is_there() {
    let artifact = import(&original("bert")).unwrap().artifact;
    let there = copy("bert");
    let before = std::fs::read(there.path().join("config.json")).unwrap();
    let error = export(&artifact, there.path(), None).unwrap_err().to_string();
    assert!(error.contains("it is there already"), "{error}");
    assert_eq!(std::fs::read(there.path().join("config.json")).unwrap(), before);
    let empty = tempfile::tempdir().unwrap();
    export(&artifact, empty.path(), None).unwrap();
    assert!(import(empty.path()).is_ok());
    assert!(export(&artifact, &empty.path().join("no/such/folder"), None).is_ok());
    let file = empty.path().join("config.json/below");
    assert!(export(&artifact, &file, None).unwrap_err().to_string().contains("cannot be written"));
}
