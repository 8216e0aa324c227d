//! Apache Parquet, by the crate `parquet`: the feature `parquet` compiles it in.
//!
//! Two columns of the top level are read, row by row; places count rows from 1. The file is held in memory as it is,
//! compressed.

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::types::{Type, TypePtr};
use std::borrow::Cow;
use std::io::Read;
use std::sync::Arc;

use super::input::Input;
use super::options::{Column, CorpusOptions};
use super::source::{Other, Row, Sink};
use crate::error::{Place, TextError};

/// Whole numbers up to here are exact in a double.
const EXACT: f64 = 9_007_199_254_740_992.0;

pub(super) fn read(mut input: Input, options: &CorpusOptions, sink: &mut Sink<'_>) -> Result<(), TextError> {
    let mut bytes = Vec::new();
    if let Err(error) = input.bytes.read_to_end(&mut bytes) {
        return Err(input.failed(error));
    }
    let file = Arc::clone(&input.name);
    let bad = |problem: String| TextError::Parquet { file: file.to_string(), problem };
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).map_err(|e| bad(e.to_string()))?;
    let schema = reader.metadata().file_metadata().schema();
    let text = find(schema, &options.text, Place::new(&file, 1))?;
    let other =
        sink.other.column().map(|(column, _)| find(schema, column, Place::new(&file, 1))).transpose()?;
    let fields: Vec<TypePtr> = [Some(&text), other.as_ref()].into_iter().flatten().cloned().collect();
    let projection = Type::group_type_builder(schema.name()).with_fields(fields).build();
    let projection = projection.map_err(|e| bad(e.to_string()))?;
    let rows = reader.get_row_iter(Some(projection)).map_err(|e| bad(e.to_string()))?;
    let id = matches!(sink.other, Other::Id(_));
    let mut expanded = 0;
    for (line, row) in (1..).zip(rows) {
        let row = row.map_err(|e| bad(format!("row {line}: {e}")))?;
        let place = || Place::new(&file, line);
        let cell = |name: &str| row.get_column_iter().find(|(n, _)| *n == name).map(|(_, field)| field);
        let found = written(cell(text.name()), text.name(), true, false, place()).and_then(|text| {
            let other =
                other.as_ref().map(|other| written(cell(other.name()), other.name(), false, id, place()));
            Ok((text, other.transpose()?.unwrap_or_default()))
        });
        let (text, other) = match found {
            Ok(found) => found,
            Err(problem) => {
                sink.tally.bad(&problem);
                continue;
            }
        };
        expanded += (text.len() + other.len()) as u64;
        if expanded > options.max_file_bytes {
            return Err(TextError::FileTooLarge { path: (&*file).into(), limit: options.max_file_bytes });
        }
        sink.row(Row { text: &text, other: &other, line })?;
    }
    Ok(())
}

/// A column of the top level.
fn find(schema: &Type, column: &Column, place: Place) -> Result<TypePtr, TextError> {
    let fields = schema.get_fields();
    let found = match column {
        Column::Index(i) => fields.get(*i),
        Column::Name(name) => fields.iter().find(|field| field.name() == name),
    };
    found.cloned().ok_or_else(|| TextError::MissingColumn {
        place,
        column: column.to_string(),
        found: super::label::list(fields.iter().map(|field| field.name()), 20),
        hint: String::new(),
    })
}

/// A cell as text: of the text column (`text`) a string only, else what can be a label or an identifier (`id`).
fn written<'f>(
    field: Option<&'f Field>,
    column: &str,
    text: bool,
    id: bool,
    place: Place,
) -> Result<Cow<'f, str>, TextError> {
    let field = field.unwrap_or(&Field::Null);
    let number = |n: &dyn std::fmt::Display| Ok(Cow::Owned(n.to_string()));
    match field {
        Field::Str(text) => return Ok(Cow::Borrowed(text)),
        Field::Bytes(bytes) => {
            return std::str::from_utf8(bytes.data())
                .map(Cow::Borrowed)
                .map_err(|_| TextError::NotUtf8(place));
        }
        _ if text => {}
        Field::Bool(truth) => return number(truth),
        Field::Byte(n) => return number(n),
        Field::Short(n) => return number(n),
        Field::Int(n) => return number(n),
        Field::Long(n) => return number(n),
        Field::UByte(n) => return number(n),
        Field::UShort(n) => return number(n),
        Field::UInt(n) => return number(n),
        Field::ULong(n) => return number(n),
        Field::Float(n) if n.fract() == 0.0 && f64::from(*n).abs() < EXACT => return number(&(*n as i64)),
        Field::Double(n) if n.fract() == 0.0 && n.abs() < EXACT => return number(&(*n as i64)),
        Field::Float(n) if id => return number(n),
        Field::Double(n) if id => return number(n),
        _ => {}
    }
    let found = match field {
        Field::Null => "null".to_owned(),
        Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_) => "a nested value".to_owned(),
        other => format!("{other}"),
    };
    let expected = if text { "a string" } else { "a string, a whole number, true or false" };
    Err(TextError::WrongType { place, column: format!("{column:?}"), found, expected })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::{Corpus, Source};
    use parquet::column::writer::ColumnWriter;
    use parquet::data_type::ByteArray;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    /// A file of texts, labels that may be null, and a column that is not asked for.
    fn file(texts: &[&str], labels: &[Option<f64>]) -> Vec<u8> {
        let schema =
            "message schema { required int32 id; optional double label; required binary text (UTF8); }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let mut bytes = Vec::new();
        let mut writer = SerializedFileWriter::new(&mut bytes, schema, Default::default()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        while let Some(mut column) = group.next_column().unwrap() {
            match column.untyped() {
                ColumnWriter::Int32ColumnWriter(c) => {
                    let ids: Vec<i32> = (0..texts.len() as i32).collect();
                    c.write_batch(&ids, None, None).unwrap();
                }
                ColumnWriter::DoubleColumnWriter(c) => {
                    let values: Vec<f64> = labels.iter().flatten().copied().collect();
                    let there: Vec<i16> = labels.iter().map(|l| i16::from(l.is_some())).collect();
                    c.write_batch(&values, Some(&there), None).unwrap();
                }
                ColumnWriter::ByteArrayColumnWriter(c) => {
                    let texts: Vec<ByteArray> = texts.iter().map(|&t| t.into()).collect();
                    c.write_batch(&texts, None, None).unwrap();
                }
                _ => unreachable!(),
            }
            column.close().unwrap();
        }
        group.close().unwrap();
        writer.close().unwrap();
        bytes
    }

    fn read(bytes: &[u8], options: &CorpusOptions) -> Result<Corpus, TextError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        std::fs::write(&path, bytes).unwrap();
        Corpus::read(&Source::Splits { train: path.into(), valid: None, test: None }, options)
    }

    #[test]
    fn two_columns_are_read_and_null_rows_counted() {
        let bytes = file(&["a", "b", "c", "d"], &[Some(0.0), Some(1.0), None, Some(0.5)]);
        let said = read(&bytes, &CorpusOptions::default()).unwrap_err().to_string();
        assert!(
            said.contains("2 of 4 rows") && said.contains("t.parquet:3: column \"label\" holds null"),
            "{said}"
        );
        let skip = CorpusOptions { skip_bad_rows: 2, ..CorpusOptions::default() };
        let corpus = read(&bytes, &skip).unwrap();
        assert_eq!((corpus.labels, corpus.train.len()), (vec!["0".to_owned(), "1".into()], 2));
        let other = CorpusOptions { text: Column::Name("body".into()), ..skip };
        let said = read(&bytes, &other).unwrap_err().to_string();
        assert!(said.contains("there are: id, label, text"), "{said}");
    }

    #[test]
    fn files_cut_short_are_refused() {
        let bytes = file(&["a", "b"], &[Some(0.0), Some(1.0)]);
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length], &CorpusOptions::default()).is_err(), "{length}");
        }
    }
}
