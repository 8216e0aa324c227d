//! Apache Parquet, by the crate `parquet`: the feature `parquet` compiles it in.
//!
//! Two or three columns of the top level are read, row by row; places count rows from 1. Their types are known before the first
//! row, so a column that can hold no text or no label is refused as a whole. The file is held in memory as it is,
//! compressed.

use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row as Record};
use parquet::schema::printer::print_schema;
use parquet::schema::types::{Type, TypePtr};
use std::borrow::Cow;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::input::Input;
use super::options::{Column, CorpusOptions};
use super::sink::{Other, Row, Sink};
use super::thrift::{footer_is_whole, pages_are_whole};
use crate::error::{Place, TextError};

/// Whole numbers up to here are exact in a double.
const EXACT: f64 = 9_007_199_254_740_992.0;
const OF_TEXT: &str = "a string";
const OF_LABEL: &str = "a string, a whole number, true or false";

pub(super) fn read(mut input: Input, options: &CorpusOptions, sink: &mut Sink<'_>) -> Result<(), TextError> {
    let mut bytes = Vec::new();
    if let Err(error) = input.bytes.read_to_end(&mut bytes) {
        return Err(input.failed(error));
    }
    let file = Arc::clone(&input.name);
    let bad = |problem: String| TextError::Parquet { file: file.to_string(), problem };
    if !footer_is_whole(&bytes) {
        return Err(bad("the footer promises more than there is".into()));
    }
    let bytes = bytes::Bytes::from(bytes);
    let reader = guarded(|| SerializedFileReader::new(bytes.clone())).map_err(bad)?;
    let schema = reader.metadata().file_metadata().schema();
    let fields = wanted(schema, options, sink.other, &file)?;
    check_pages(&reader, &fields, &bytes).map_err(bad)?;
    let projection = || Type::group_type_builder(schema.name()).with_fields(fields).build();
    let mut rows = guarded(|| reader.get_row_iter(Some(projection()?))).map_err(bad)?;
    let mut expanded = 0;
    for line in 1.. {
        let place = || Place::new(&file, line);
        let next =
            guarded(|| rows.next().transpose()).map_err(|problem| bad(format!("row {line}: {problem}")))?;
        let Some(record) = next else { break };
        let (text, pair, other) = match cells(&record, options.pair.is_some(), sink.other, &place) {
            Ok(cells) => cells,
            Err(problem) => {
                sink.tally.bad(&problem);
                continue;
            }
        };
        let length = (text.len() + pair.as_ref().map_or(0, |pair| pair.len()) + other.len()) as u64;
        if length > options.max_line_bytes {
            return Err(TextError::LineTooLong { place: place(), limit: options.max_line_bytes });
        }
        expanded += length;
        if expanded > options.max_file_bytes {
            return Err(TextError::FileTooLarge { path: (&*file).into(), limit: options.max_file_bytes });
        }
        sink.row(Row { text: &text, pair: pair.as_deref(), other: &other, line })?;
    }
    Ok(())
}

/// Looks at the headers of all pages of the columns that are read. Columns do not share bytes, so none is looked at twice.
fn check_pages(reader: &impl FileReader, fields: &[TypePtr], bytes: &[u8]) -> Result<(), String> {
    let mut left = bytes.len() as u64;
    let chunks = reader.metadata().row_groups().iter().flat_map(|group| group.columns());
    let is_read = |name: &String| fields.iter().any(|field| field.name() == name);
    for chunk in chunks.filter(|chunk| chunk.column_path().parts().first().is_some_and(is_read)) {
        let (start, length) = guarded(|| Ok(chunk.byte_range()))?;
        let column = chunk.column_path();
        left = left
            .checked_sub(length)
            .ok_or_else(|| format!("its columns up to {column} are longer than it"))?;
        let pages = usize::try_from(start).ok().and_then(|start| bytes.get(start..)).unwrap_or_default();
        if !pages_are_whole(&pages[..pages.len().min(length as usize)]) {
            return Err(format!("the header of a page of {column} promises more than there is"));
        }
    }
    Ok(())
}

/// What the crate answers; it panics at some damaged files.
fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(answer) => answer.map_err(|e| e.to_string()),
        Err(_) => Err("the file is damaged".into()),
    }
}

/// The columns of the text, or of both of a pair, and of what is wanted beside it.
fn wanted(
    schema: &Type,
    options: &CorpusOptions,
    other: Other<'_>,
    file: &Arc<str>,
) -> Result<Vec<TypePtr>, TextError> {
    let place = || Place::new(file, 1);
    let text = find(schema, &options.text, place())?;
    let wrong = |field: &Type, expected| TextError::WrongType {
        place: place(),
        column: format!("{:?}", field.name()),
        found: shown(field),
        expected,
    };
    let of_text = |field| plain(field).filter(is_text).ok_or_else(|| wrong(field, OF_TEXT));
    let mut fields = vec![of_text(text)?];
    if let Some(column) = &options.pair {
        let field = find(schema, column, place())?;
        if field.name() == text.name() {
            return Err(TextError::Setting {
                setting: "pair",
                value: column.to_string(),
                bound: format!("is the column {:?}, which is the text as well", text.name()),
            });
        }
        fields.push(of_text(field)?);
    }
    if let Some((column, _)) = other.column() {
        let field = find(schema, column, place())?;
        if let Some(text) = fields.iter().find(|text| text.name() == field.name()) {
            return Err(TextError::Setting {
                setting: "label",
                value: column.to_string(),
                bound: format!("is the column {:?}, which is the text as well", text.name()),
            });
        }
        fields.push(plain(field).ok_or_else(|| wrong(field, OF_LABEL))?);
    }
    Ok(fields)
}

/// A column of the top level, whose name no other has: the crate finds them by name alone.
fn find<'s>(schema: &'s Type, column: &Column, place: Place) -> Result<&'s Type, TextError> {
    let fields = schema.get_fields();
    let found = match column {
        Column::Index(i) => fields.get(*i),
        Column::Name(name) => fields.iter().find(|field| field.name() == name),
    };
    let Some(found) = found else {
        return Err(TextError::MissingColumn {
            place,
            column: column.to_string(),
            found: crate::label::list(fields.iter().map(|field| field.name()), 20),
            hint: String::new(),
        });
    };
    if fields.iter().filter(|field| field.name() == found.name()).count() > 1 {
        let problem = format!("two columns are called {:?}: rename one of them", found.name());
        return Err(TextError::Parquet { file: place.file.to_string(), problem });
    }
    Ok(found)
}

/// The column as it is asked for; none when its values are neither texts, whole numbers nor truth values.
fn plain(field: &Type) -> Option<TypePtr> {
    let info = field.get_basic_info();
    if field.is_group() || info.repetition() == Repetition::REPEATED {
        return None;
    }
    let logical = info.logical_type_ref();
    match field.get_physical_type() {
        PhysicalType::BYTE_ARRAY => {
            let text =
                matches!(logical, None | Some(LogicalType::String | LogicalType::Enum | LogicalType::Json))
                    && info.converted_type() != ConvertedType::DECIMAL;
            text.then(|| Arc::new(field.clone()))
        }
        PhysicalType::INT32 | PhysicalType::INT64 => {
            let whole = matches!(
                info.converted_type(),
                ConvertedType::NONE
                    | ConvertedType::INT_8
                    | ConvertedType::INT_16
                    | ConvertedType::INT_32
                    | ConvertedType::INT_64
                    | ConvertedType::UINT_8
                    | ConvertedType::UINT_16
                    | ConvertedType::UINT_32
                    | ConvertedType::UINT_64
            ) && matches!(logical, None | Some(LogicalType::Integer { .. }));
            whole.then(|| Arc::new(field.clone()))
        }
        PhysicalType::BOOLEAN | PhysicalType::FLOAT | PhysicalType::DOUBLE => Some(Arc::new(field.clone())),
        PhysicalType::INT96 | PhysicalType::FIXED_LEN_BYTE_ARRAY => None,
    }
}

fn is_text(field: &TypePtr) -> bool {
    field.get_physical_type() == PhysicalType::BYTE_ARRAY
}

/// The type of a column in Parquet's own words, as far as they stand on one line.
fn shown(field: &Type) -> String {
    let mut out = Vec::new();
    print_schema(&mut out, field);
    let text = String::from_utf8_lossy(&out);
    let line = text.lines().next().unwrap_or_default();
    line.trim_end_matches([';', '{', ' ']).to_owned()
}

/// A cell as text.
type Cell<'r> = Cow<'r, str>;

/// The text of a row, the second text where rows are pairs, and the label or the identifier.
fn cells<'r>(
    record: &'r Record,
    is_pair: bool,
    other: Other<'_>,
    place: &dyn Fn() -> Place,
) -> Result<(Cell<'r>, Option<Cell<'r>>, Cell<'r>), TextError> {
    let mut columns = record.get_column_iter();
    let mut next = |expected, id| match columns.next() {
        Some((name, field)) => written(field, name, expected, id, place),
        None => Ok(Cow::Borrowed("")),
    };
    let text = next(OF_TEXT, false)?;
    let pair = if is_pair { Some(next(OF_TEXT, false)?) } else { None };
    Ok((text, pair, next(OF_LABEL, other.is_any_number())?))
}

/// A cell as text: a string, or what can be a label or an identifier (`id`), which any number can be.
fn written<'f>(
    field: &'f Field,
    column: &str,
    expected: &'static str,
    id: bool,
    place: &dyn Fn() -> Place,
) -> Result<Cow<'f, str>, TextError> {
    let number = |n: &dyn std::fmt::Display| Ok(Cow::Owned(n.to_string()));
    match field {
        Field::Str(text) => Ok(Cow::Borrowed(text)),
        Field::Bytes(bytes) => {
            std::str::from_utf8(bytes.data()).map(Cow::Borrowed).map_err(|_| TextError::NotUtf8(place()))
        }
        Field::Bool(truth) => number(truth),
        Field::Byte(n) => number(n),
        Field::Short(n) => number(n),
        Field::Int(n) => number(n),
        Field::Long(n) => number(n),
        Field::UByte(n) => number(n),
        Field::UShort(n) => number(n),
        Field::UInt(n) => number(n),
        Field::ULong(n) => number(n),
        Field::Float(n) if n.fract() == 0.0 && f64::from(*n).abs() < EXACT => number(&(*n as i64)),
        Field::Double(n) if n.fract() == 0.0 && n.abs() < EXACT => number(&(*n as i64)),
        Field::Float(n) if id => number(n),
        Field::Double(n) if id => number(n),
        other => Err(TextError::WrongType {
            place: place(),
            column: format!("{column:?}"),
            found: match other {
                Field::Null => "null".to_owned(),
                number => format!("the number {number}"),
            },
            expected,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::{Corpus, Source};
    use parquet::column::writer::ColumnWriter;
    use parquet::data_type::ByteArray;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    /// The values of a column, null where there is none.
    enum Values<'a> {
        Int(&'a [i32]),
        Long(&'a [i64]),
        Double(&'a [Option<f64>]),
        Bytes(&'a [&'a [u8]]),
        /// Two, of whole numbers.
        EmptyLists,
    }
    use Values::{Bytes, Double, EmptyLists, Int, Long};

    fn file(schema: &str, columns: &[Values<'_>]) -> Vec<u8> {
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let mut bytes = Vec::new();
        let mut writer = SerializedFileWriter::new(&mut bytes, schema, Default::default()).unwrap();
        let mut group = writer.next_row_group().unwrap();
        for values in columns {
            let mut column = group.next_column().unwrap().unwrap();
            match (column.untyped(), values) {
                (ColumnWriter::Int32ColumnWriter(c), Int(values)) => c.write_batch(values, None, None),
                (ColumnWriter::Int32ColumnWriter(c), EmptyLists) => {
                    c.write_batch(&[], Some(&[0, 0]), Some(&[0, 0]))
                }
                (ColumnWriter::Int64ColumnWriter(c), Long(values)) => c.write_batch(values, None, None),
                (ColumnWriter::DoubleColumnWriter(c), Double(values)) => {
                    let there: Vec<i16> = values.iter().map(|v| i16::from(v.is_some())).collect();
                    c.write_batch(&values.iter().flatten().copied().collect::<Vec<_>>(), Some(&there), None)
                }
                (ColumnWriter::ByteArrayColumnWriter(c), Bytes(values)) => {
                    let values: Vec<ByteArray> = values.iter().map(|v| v.to_vec().into()).collect();
                    c.write_batch(&values, None, None)
                }
                _ => unreachable!("another type than the schema's"),
            }
            .unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
        writer.close().unwrap();
        bytes
    }

    /// Texts, labels that may be null, and a column that is not asked for.
    fn numbered(texts: &[&[u8]], labels: &[Option<f64>]) -> Vec<u8> {
        let schema =
            "message schema { required int32 id; optional double label; required binary text (UTF8); }";
        let ids: Vec<i32> = (0..texts.len() as i32).collect();
        file(schema, &[Int(&ids), Double(labels), Bytes(texts)])
    }

    fn read_all(files: &[&[u8]], options: &CorpusOptions) -> Result<Corpus, TextError> {
        let folder = tempfile::tempdir().unwrap();
        let mut paths = files.iter().enumerate().map(|(i, bytes)| {
            let path = folder.path().join(["t.parquet", "v.parquet"][i]);
            std::fs::write(&path, bytes).unwrap();
            path.into()
        });
        let train = paths.next().unwrap();
        Corpus::read(&Source::Splits { train, valid: paths.next(), test: None }, options)
    }

    fn read(bytes: &[u8], options: &CorpusOptions) -> Result<Corpus, TextError> {
        read_all(&[bytes], options)
    }

    fn refused(bytes: &[u8], options: &CorpusOptions) -> String {
        read(bytes, options).unwrap_err().to_string()
    }

    fn columns(text: &str, label: &str) -> CorpusOptions {
        CorpusOptions {
            text: Column::Name(text.into()),
            label: Column::Name(label.into()),
            ..CorpusOptions::default()
        }
    }

    #[test]
    fn two_columns_are_read_and_null_rows_counted() {
        let bytes = numbered(&[b"a", b"b", b"c", b"d"], &[Some(0.0), Some(1.0), None, Some(0.5)]);
        let said = refused(&bytes, &CorpusOptions::default());
        assert!(
            said.contains("2 of 4 rows")
                && said
                    .contains("t.parquet:3: column \"label\" holds null, expected a string, a whole number")
                && said.contains("t.parquet:4: column \"label\" holds the number 0.5"),
            "{said}"
        );
        let skip = CorpusOptions { skip_bad_rows: 2, ..CorpusOptions::default() };
        let corpus = read(&bytes, &skip).unwrap();
        assert_eq!((corpus.labels, corpus.train.len()), (vec!["0".to_owned(), "1".into()], 2));
        let said = refused(&bytes, &columns("body", "label"));
        assert!(said.contains("there are: id, label, text"), "{said}");
        let short = CorpusOptions { max_line_bytes: 1, ..skip };
        assert!(refused(&bytes, &short).contains("t.parquet:1: line longer than the limit of 1 bytes"));
    }

    #[test]
    fn texts_that_are_not_utf8_are_bad_rows_but_in_columns_that_promise_it() {
        let texts: &[&[u8]] = &[b"a", b"caf\xe9", b"c"];
        let schema = "message schema { required int32 label; required binary text; }";
        let bytes = file(schema, &[Int(&[0, 1, 1]), Bytes(texts)]);
        let said = refused(&bytes, &CorpusOptions::default());
        assert!(said.contains("t.parquet:2: not valid UTF-8"), "{said}");
        let skip = CorpusOptions { skip_bad_rows: 1, ..CorpusOptions::default() };
        assert_eq!(read(&bytes, &skip).unwrap().reading.skipped, 1);
        let promised = numbered(texts, &[Some(0.0), Some(1.0), Some(1.0)]);
        let said = refused(&promised, &skip);
        assert!(said.contains("t.parquet: bad Parquet: row 2:"), "{said}");
    }

    #[test]
    fn whole_numbers_are_one_label_whatever_their_type() {
        let schema = |label| format!("message schema {{ {label}; required binary text; }}");
        let (one, two): (&[&[u8]], &[&[u8]]) = (&[b"a", b"b"], &[b"c", b"d"]);
        let floats = file(&schema("optional double label"), &[Double(&[Some(-0.0), Some(1.0)]), Bytes(one)]);
        let ints = file(&schema("required int64 label (UINT_64)"), &[Long(&[0, 1]), Bytes(two)]);
        let strings = file(&schema("required binary label (UTF8)"), &[Bytes(&[b"0.0", b" 1 "]), Bytes(two)]);
        for other in [ints, strings] {
            let corpus = read_all(&[&floats, &other], &CorpusOptions::default()).unwrap();
            assert_eq!(corpus.labels, ["0", "1"]);
            assert_eq!(corpus.valid.iter().map(|d| d.label).collect::<Vec<_>>(), [0, 1]);
        }
    }

    #[test]
    fn columns_of_other_types_are_named_with_their_type() {
        let schema = "message schema { required int64 n; required int32 day (DATE); \
            required int64 at (TIMESTAMP(NANOS,true)); required binary text (UTF8); \
            required binary text2 (DECIMAL(4,2)); repeated int32 many; required group pair { required int32 of; } }";
        let bytes = file(
            schema,
            &[
                Long(&[0, 1]),
                Int(&[0, 1]),
                Long(&[0, 1]),
                Bytes(&[b"a", b"b"]),
                Bytes(&[b"1", b"2"]),
                EmptyLists,
                Int(&[0, 1]),
            ],
        );
        for (text, label, said) in [
            ("n", "text", "column \"n\" holds REQUIRED INT64 n, expected a string"),
            ("text", "day", "column \"day\" holds REQUIRED INT32 day (DATE), expected a string, a whole"),
            ("text", "at", "column \"at\" holds REQUIRED INT64 at (TIMESTAMP(NANOS,true)), expected"),
            ("text2", "n", "column \"text2\" holds REQUIRED BYTE_ARRAY text2 (DECIMAL(4,2)), expected"),
            ("text", "many", "column \"many\" holds REPEATED INT32 many, expected"),
            ("text", "pair", "column \"pair\" holds REQUIRED group pair, expected"),
        ] {
            let found = refused(&bytes, &columns(text, label));
            assert!(found.contains(said), "{found}");
        }
        let both = CorpusOptions { label: Column::Index(3), ..CorpusOptions::default() };
        let found = refused(&bytes, &both);
        assert!(found.contains("is the column \"text\", which is the text as well"), "{found}");
    }

    #[test]
    fn pairs_are_read_from_two_columns_in_any_place() {
        let schema =
            "message schema { required binary b (UTF8); required int32 label; required binary text (UTF8); }";
        let bytes = file(schema, &[Bytes(&[b"c", b"d"]), Int(&[0, 1]), Bytes(&[b"a", b"b"])]);
        let with = |column: Column| CorpusOptions { pair: Some(column), ..CorpusOptions::default() };
        let corpus = read(&bytes, &with(Column::Name("b".into()))).unwrap();
        let found: Vec<_> = corpus.train.iter().map(|d| (&*d.text, d.pair.as_deref(), d.label)).collect();
        assert_eq!(found, [("a", Some("c"), 0), ("b", Some("d"), 1)]);
        assert!(
            refused(&bytes, &with(Column::Index(2)))
                .contains("is the column \"text\", which is the text as well")
        );
        assert!(
            refused(&bytes, &with(Column::Index(1))).contains("column \"label\" holds REQUIRED INT32 label")
        );
    }

    #[test]
    fn two_columns_of_one_name_are_refused_when_asked_for() {
        let schema =
            "message schema { required int32 label; required binary text; required binary text (UTF8); }";
        let bytes = file(schema, &[Int(&[0, 1]), Bytes(&[b"a", b"b"]), Bytes(&[b"c", b"d"])]);
        let said = refused(&bytes, &CorpusOptions::default());
        assert!(said.contains("two columns are called \"text\""), "{said}");
    }

    #[test]
    fn files_cut_short_are_refused() {
        let bytes = numbered(&[b"a", b"b"], &[Some(0.0), Some(1.0)]);
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length], &CorpusOptions::default()).is_err(), "{length}");
        }
    }

    #[test]
    fn damaged_files_do_not_panic() {
        let bytes = numbered(&[b"a", b"b"], &[Some(0.0), Some(1.0)]);
        for at in 0..bytes.len() {
            for flip in [1, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                let _ = read(&damaged, &CorpusOptions::default()); // an error or, by luck, documents
            }
        }
    }
}
