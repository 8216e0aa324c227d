//! Good inputs of the targets, made by code.

use nlpress_text::{Algorithm, BagEncoder, EncoderConfig, TokenEncoder, TokensConfig, TokensTable};
use serde_json::json;

fn texts() -> Vec<String> {
    (0..40).map(|n| format!("the film {} was good, and {} of the {n}th was bad", n % 7, n * n)).collect()
}

/// A tokenizer that was learned from made-up texts.
pub fn learned(model: Algorithm) -> TokenEncoder {
    let table = TokensTable { algorithm: Some(model), vocabulary: Some(300), ..TokensTable::default() };
    let config = TokensConfig::try_from(&table).unwrap();
    TokenEncoder::fit(&config, texts().iter().map(String::as_str)).unwrap()
}

/// Every model of a tokenizer.
pub const MODELS: [Algorithm; 4] =
    [Algorithm::Wordpiece, Algorithm::Bpe, Algorithm::Unigram, Algorithm::Words];

/// ASCII in the encoding that a first byte names: two of them are UTF-16, the others have ASCII as it is.
fn encoded(first: u8, ascii: &[u8]) -> Vec<u8> {
    let units = ascii.iter().map(|byte| u16::from(*byte));
    match first {
        1 => units.flat_map(u16::to_le_bytes).collect(),
        2 => units.flat_map(u16::to_be_bytes).collect(),
        _ => ascii.to_vec(),
    }
}

/// Good inputs of the target of texts of this name.
///
/// # Panics
/// When there is no such target.
pub fn samples(name: &str) -> Vec<Vec<u8>> {
    let rows =
        || (0..12).map(|n| (format!("a text, {n} \"words\""), if n % 2 == 0 { "good" } else { "bad" }));
    let table = |mark: &str| -> Vec<u8> {
        let rows = rows().map(|(text, label)| format!("\"{}\"{mark}{label}\r\n", text.replace('"', "\"\"")));
        format!("text{mark}label\r\n{}", rows.collect::<String>()).into_bytes()
    };
    let objects =
        || rows().map(|(text, label)| json!({"text": text, "label": label, "more": [1, {"x": null}]}));
    match name {
        "csv" => vec![table(",")],
        "tsv" => vec![table("\t")],
        "jsonl" => vec![objects().map(|row| format!("{row}\n")).collect::<String>().into_bytes()],
        "json" => vec![serde_json::to_vec_pretty(&objects().collect::<Vec<_>>()).unwrap()],
        "fasttext" => {
            vec![
                rows()
                    .map(|(text, label)| format!("__label__{label} {text}\n"))
                    .collect::<String>()
                    .into_bytes(),
            ]
        }
        "encodings" => (0..8).map(|first| [&[first], &encoded(first, &table(","))[..]].concat()).collect(),
        "tokenizer" => MODELS.map(|model| learned(model).to_json().to_string().into_bytes()).into(),
        "token_parts" => MODELS.map(|model| learned(model).to_parts().1).into(),
        "bag_parts" => {
            let texts = texts();
            let fit = |texts: &[String]| {
                BagEncoder::fit(&EncoderConfig::default(), texts.iter().map(String::as_str))
                    .unwrap()
                    .to_parts()
                    .1
            };
            vec![fit(&texts[..1]), fit(&texts)]
        }
        #[cfg(feature = "parquet")]
        "parquet" => vec![parquet(&rows().collect::<Vec<_>>())],
        other => panic!("no sample for {other}"),
    }
}

/// Two columns of strings.
#[cfg(feature = "parquet")]
fn parquet(rows: &[(String, &str)]) -> Vec<u8> {
    use parquet::data_type::{ByteArray, ByteArrayType};
    use parquet::file::writer::SerializedFileWriter;
    let schema = "message rows { required binary text (STRING); required binary label (STRING); }";
    let schema = parquet::schema::parser::parse_message_type(schema).unwrap();
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema.into(), Default::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let columns: [Vec<ByteArray>; 2] = [
        rows.iter().map(|(text, _)| text.as_str().into()).collect(),
        rows.iter().map(|(_, label)| (*label).into()).collect(),
    ];
    for values in &columns {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(values, None, None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}
