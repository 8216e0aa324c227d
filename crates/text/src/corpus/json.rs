//! JSON objects: one a line (JSONL), or in an array, or one after the other over any number of lines.

use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::elements::Elements;
use super::input::Input;
use super::lines::Lines;
use super::options::{Column, CorpusOptions, Format};
use super::sink::{Row, Sink};
use crate::error::{Place, TextError};

/// Longest whole number that can be a label, in digits.
const MOST_DIGITS: usize = 100;

pub(super) fn read(input: Input, options: &CorpusOptions, sink: &mut Sink<'_>) -> Result<(), TextError> {
    let keys = Keys {
        text: key(&options.text)?,
        pair: options.pair.as_ref().map(key).transpose()?,
        other: sink.other.column().map(|(column, _)| key(column)).transpose()?,
        id: sink.other.is_any_number(),
    };
    let file = Arc::clone(&input.name);
    each_value(input, options, &mut |value, line| {
        object(value, &keys, &|| Place::new(&file, line), line, sink)
    })
}

/// What is done with a value and the line on which it begins.
type EachValue<'a> = dyn FnMut(&[u8], u64) -> Result<(), TextError> + 'a;

/// Hands every value of a file to `each`, with the line on which it begins: the elements of an array, values that follow
/// each other, or the lines of JSONL that are not blank.
fn each_value(mut input: Input, options: &CorpusOptions, each: &mut EachValue<'_>) -> Result<(), TextError> {
    // An array that is called .jsonl is an array; JSONL that is called .json has an object first and reads as such.
    let array = input.fill()?.trim_ascii_start().first() == Some(&b'[');
    if array || input.format == Format::Json {
        let mut elements = Elements::new(input, options.max_line_bytes)?;
        while let Some((element, line)) = elements.next()? {
            each(element, line)?;
        }
        return Ok(());
    }
    let mut lines = Lines::new(input, options.max_line_bytes);
    let mut line = Vec::new();
    loop {
        line.clear();
        let number = lines.next();
        if !lines.append(&mut line, number)? {
            return Ok(());
        }
        if !line.iter().all(u8::is_ascii_whitespace) {
            each(lines.content(&line), number)?;
        }
    }
}

/// A key of an object and its value as text.
pub(super) type Pair = (String, String);

/// Hands the keys of every object to `each`, with the values that are texts, numbers or truth values; others are empty.
/// What is no object is left to the reader.
pub(super) fn each_object(
    input: Input,
    options: &CorpusOptions,
    each: &mut dyn FnMut(&[Pair]),
) -> Result<(), TextError> {
    use serde_json::{Map, Value};
    let text = |value: Value| match value {
        Value::String(text) => text,
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        _ => String::new(),
    };
    each_value(input, options, &mut |value, _| {
        if let Ok(object) = serde_json::from_slice::<Map<String, Value>>(value) {
            each(&object.into_iter().map(|(key, value)| (key, text(value))).collect::<Vec<_>>());
        }
        Ok(())
    })
}

const OF_LABEL: &str = "a string, a whole number, true or false";

/// The keys that are wanted of every object.
#[derive(Clone, Copy)]
struct Keys<'a> {
    text: &'a str,
    pair: Option<&'a str>,
    other: Option<&'a str>,
    /// Any number may be an identifier, but only a whole one a label.
    id: bool,
}

fn key(column: &Column) -> Result<&str, TextError> {
    match column {
        Column::Name(name) => Ok(name),
        Column::Index(i) => Err(TextError::Setting {
            setting: "column",
            value: i.to_string(),
            bound: "JSON has named columns only".into(),
        }),
    }
}

/// Reads one object, which begins on `line`.
fn object(
    bytes: &[u8],
    keys: &Keys<'_>,
    place: &dyn Fn() -> Place,
    line: u64,
    sink: &mut Sink<'_>,
) -> Result<(), TextError> {
    let Some(json) = sink.utf8(bytes, place) else { return Ok(()) };
    let row = parse(json, *keys).map_err(|e| not_an_object(&e, place())).and_then(|found| {
        if let Some(key) = found.twice {
            return Err(TextError::TwoKeys { place: place(), key: key.into() });
        }
        let pair = keys.pair.map(|key| text(key, found.pair, json, place)).transpose()?;
        let text = text(keys.text, found.text, json, place)?;
        let Some(key) = keys.other else { return Ok((text, pair, Cow::Borrowed(""))) };
        let other = found.other.ok_or_else(|| missing(key, json, place()))?;
        Ok((text, pair, label(key, other, keys.id, place)?))
    });
    match row {
        Ok((text, pair, other)) => sink.row(Row { text: &text, pair: pair.as_deref(), other: &other, line }),
        Err(problem) => {
            sink.tally.bad(&problem);
            Ok(())
        }
    }
}

/// The text at a key of an object.
fn text<'j>(
    key: &str,
    cell: Option<Cell<'j>>,
    json: &str,
    place: &dyn Fn() -> Place,
) -> Result<Cow<'j, str>, TextError> {
    match cell.ok_or_else(|| missing(key, json, place()))? {
        Cell::Text(text) => Ok(text),
        other => Err(wrong(key, &other, "a string", place())),
    }
}

/// The written form of a label or an identifier.
fn label<'j>(
    key: &str,
    cell: Cell<'j>,
    id: bool,
    place: &dyn Fn() -> Place,
) -> Result<Cow<'j, str>, TextError> {
    match cell {
        Cell::Text(text) => Ok(text),
        Cell::Truth(truth) => Ok(if truth { "true" } else { "false" }.into()),
        Cell::Number(number) if id => Ok(number),
        // pandas writes the integers of a column with a gap as 0.0, 1.0, ...
        Cell::Number(number) => match whole(&number) {
            Some(whole) => Ok(whole.into()),
            None => Err(wrong(key, &Cell::Number(number), OF_LABEL, place())),
        },
        other => Err(wrong(key, &other, OF_LABEL, place())),
    }
}

/// The digits of a JSON number that is whole, exactly: of `12`, `12.0`, `1.2e1`, and of numbers that no machine word holds;
/// none of other numbers, and of those of more than [`MOST_DIGITS`].
fn whole(number: &str) -> Option<String> {
    let (sign, plain) = number.strip_prefix('-').map_or(("", number), |plain| ("-", plain));
    let (mantissa, exponent) = plain.split_once(['e', 'E']).unwrap_or((plain, "0"));
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = [integer, fraction].concat();
    let digits = all.trim_start_matches('0').trim_end_matches('0');
    if digits.is_empty() {
        return Some("0".into());
    }
    let zeros = (all.len() - all.trim_end_matches('0').len()) as i64 - fraction.len() as i64;
    let zeros = usize::try_from(zeros.checked_add(exponent.parse().ok()?)?).ok()?;
    (zeros <= MOST_DIGITS && digits.len() + zeros <= MOST_DIGITS)
        .then(|| format!("{sign}{digits}{}", "0".repeat(zeros)))
}

fn wrong(key: &str, cell: &Cell<'_>, expected: &'static str, place: Place) -> TextError {
    TextError::WrongType { place, column: format!("{key:?}"), found: cell.to_string(), expected }
}

/// Says which keys there are; the object is known to be one.
fn missing(key: &str, json: &str, place: Place) -> TextError {
    let keys: Vec<String> = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json)
        .map(|object| object.into_iter().map(|(key, _)| key).collect())
        .unwrap_or_default();
    TextError::MissingColumn {
        place,
        column: format!("{key:?}"),
        found: crate::label::list(keys.iter().map(String::as_str), 20),
        hint: String::new(),
    }
}

/// The parser counts lines within what it was given.
fn not_an_object(error: &serde_json::Error, mut place: Place) -> TextError {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    place.line += (error.line() as u64).saturating_sub(1);
    let problem = match text.strip_suffix(&position) {
        Some(plain) => format!("{plain} at column {}", error.column()),
        None => text,
    };
    TextError::Json { place, problem }
}

/// What of an object is used.
#[derive(Default)]
struct Found<'j> {
    text: Option<Cell<'j>>,
    pair: Option<Cell<'j>>,
    other: Option<Cell<'j>>,
    /// A key that it has twice.
    twice: Option<&'j str>,
}

/// A value.
enum Cell<'j> {
    Text(Cow<'j, str>),
    Truth(bool),
    /// As it is written.
    Number(Cow<'j, str>),
    Null,
    Array,
    Object,
}

impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("a string"),
            Self::Truth(truth) => write!(f, "{truth}"),
            Self::Number(number) => write!(f, "the number {}", crate::label::shown(number)),
            Self::Null => f.write_str("null"),
            Self::Array => f.write_str("an array"),
            Self::Object => f.write_str("an object"),
        }
    }
}

fn parse<'j>(json: &'j str, keys: Keys<'j>) -> Result<Found<'j>, serde_json::Error> {
    let mut parser = serde_json::Deserializer::from_str(json);
    let mut found = keys.deserialize(&mut parser)?;
    parser.end()?;
    // The parser has rounded it.
    let cells =
        [(Some(keys.text), &mut found.text), (keys.pair, &mut found.pair), (keys.other, &mut found.other)];
    for (key, cell) in cells {
        if let (Some(key), Some(Cell::Number(number))) = (key, cell)
            && number.is_empty()
        {
            *number = Cow::Borrowed(written(json, key));
        }
    }
    Ok(found)
}

/// The value of a key as it stands in the text of an object that has this key once.
fn written<'j>(json: &'j str, key: &str) -> &'j str {
    let bytes = json.as_bytes();
    let mut at = json.find('{').map_or(json.len(), |at| at + 1);
    while let Some(open) = json[at..].find('"').map(|n| at + n) {
        let close = string_end(bytes, open);
        let is = serde_json::from_str::<Key<'_>>(&json[open..close]).is_ok_and(|found| found.0 == key);
        let from = json[close..].find(':').map_or(json.len(), |n| close + n + 1);
        let (mut to, mut depth) = (from, 0_usize);
        while to < bytes.len() {
            match bytes[to] {
                b',' | b'}' if depth == 0 => break,
                b'"' => to = string_end(bytes, to) - 1,
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            to += 1;
        }
        if is {
            return json[from..to].trim();
        }
        at = to;
    }
    ""
}

/// Behind the quotation mark that ends the string which begins at `open`.
fn string_end(bytes: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while let Some(n) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += n + 1;
        if bytes[at - 1] == b'"' {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

impl<'j> DeserializeSeed<'j> for Keys<'j> {
    type Value = Found<'j>;

    fn deserialize<D: serde::Deserializer<'j>>(self, parser: D) -> Result<Found<'j>, D::Error> {
        parser.deserialize_map(self)
    }
}

#[derive(Deserialize)]
struct Key<'j>(#[serde(borrow)] Cow<'j, str>);

impl<'j> Visitor<'j> for Keys<'j> {
    type Value = Found<'j>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'j>>(self, mut map: A) -> Result<Found<'j>, A::Error> {
        let mut found = Found::default();
        while let Some(Key(key)) = map.next_key()? {
            let (cell, name) = if key == self.text {
                (&mut found.text, self.text)
            } else if let Some(pair) = self.pair.filter(|pair| key == *pair) {
                (&mut found.pair, pair)
            } else if let Some(other) = self.other.filter(|other| key == *other) {
                (&mut found.other, other)
            } else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if cell.is_some() {
                found.twice = Some(name);
            }
            *cell = Some(map.next_value_seed(CellVisitor)?);
        }
        Ok(found)
    }
}

struct CellVisitor;

impl<'j> DeserializeSeed<'j> for CellVisitor {
    type Value = Cell<'j>;

    fn deserialize<D: serde::Deserializer<'j>>(self, parser: D) -> Result<Cell<'j>, D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'j> Visitor<'j> for CellVisitor {
    type Value = Cell<'j>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'j str) -> Result<Cell<'j>, E> {
        Ok(Cell::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cell<'j>, E> {
        Ok(Cell::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Cell<'j>, E> {
        Ok(Cell::Text(Cow::Owned(text)))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Cell<'j>, E> {
        Ok(Cell::Truth(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Cell<'j>, E> {
        Ok(Cell::Number(number.to_string().into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Cell<'j>, E> {
        Ok(Cell::Number(number.to_string().into()))
    }

    /// A fraction, or a number that no machine word holds: [`parse`] looks it up.
    fn visit_f64<E>(self, _rounded: f64) -> Result<Cell<'j>, E> {
        Ok(Cell::Number("".into()))
    }

    fn visit_unit<E>(self) -> Result<Cell<'j>, E> {
        Ok(Cell::Null)
    }

    fn visit_seq<A: SeqAccess<'j>>(self, mut items: A) -> Result<Cell<'j>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Cell::Array)
    }

    fn visit_map<A: MapAccess<'j>>(self, mut map: A) -> Result<Cell<'j>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Cell::Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_is_read_digit_by_digit() {
        for (number, digits) in [
            ("0", "0"),
            ("-0.0", "0"),
            ("0e9999999999", "0"),
            ("12.00", "12"),
            ("-1.2e1", "-12"),
            ("1200e-2", "12"),
            ("1E+3", "1000"),
            ("0.05e2", "5"),
            ("9007199254740993.0", "9007199254740993"),
            ("-12345678901234567890123", "-12345678901234567890123"),
        ] {
            assert_eq!(whole(number).as_deref(), Some(digits), "{number}");
        }
        for number in
            ["0.5", "-1.25", "12e-1", "4503599627370497.5", "1e101", "1e9999999999", "1e99999999999999999999"]
        {
            assert_eq!(whole(number), None, "{number}");
        }
    }

    #[test]
    fn a_number_is_found_where_it_stands() {
        let json = r#" {"a\"b" : {"id": [1.50, "}"]}, "c,": "\\", "\u0069d":  -1.50E2 , "z": 2.0}"#;
        for (key, number) in [("id", "-1.50E2"), ("z", "2.0"), ("c,", "\"\\\\\""), ("none", "")] {
            assert_eq!(written(json, key), number, "{key}");
        }
    }
}
