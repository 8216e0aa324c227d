//! CSV and TSV.
//!
//! CSV is RFC 4180, read strictly where leniency hides damage: a quotation mark that is never closed and text after a
//! closing one are errors, and quoted fields that swallowed rows are told (see [`quotes`](super::quotes)). A quotation
//! mark within an unquoted field is text. TSV has no quotes. (The crate `csv` reads all of this without a word; see
//! `docs/decisions/text-crates.md`.)

use memchr::{memchr, memchr_iter};

use super::input::Input;
use super::lines::Lines;
use super::options::{Column, CorpusOptions, Format};
use super::quotes::{Quotes, Span};
use super::sink::{Other, Row, Sink};
use crate::error::{Place, TextError};

pub(super) fn read(input: Input, options: &CorpusOptions, sink: &mut Sink<'_>) -> Result<(), TextError> {
    let mut table = Table::open(input, options)?;
    let Table { quoting, delimiter, .. } = table;
    let mut columns: Option<Columns> = None;
    let mut quotes = Quotes::default();
    let (mut header, mut repeated) = (Vec::new(), false);
    while table.next()? {
        let record = &table.record;
        let place = || table.lines.place(record.line);
        let Some(columns) = &columns else {
            if let Some((line, opened)) = record.after_quote {
                return Err(bad_header(record, delimiter, options, table.lines.place(line), opened));
            }
            let found = Columns::find(record, delimiter, options, sink.other, place())?;
            match options.header {
                true => header = record.bytes.clone(),
                false => drop(take(record, &found, &table.lines, sink)?),
            }
            columns = Some(found);
            continue;
        };
        if let Some((line, opened)) = record.after_quote {
            let problem = TextError::AfterQuote { place: table.lines.place(line), opened };
            if line > record.line {
                // The field swallowed line ends, so where rows begin is unknown from here.
                return Err(problem);
            }
            sink.tally.bad(&problem);
            continue;
        }
        if record.fields.len() != columns.count {
            sink.tally.bad(&columns.ragged(record, quoting, place()));
            continue;
        }
        if let Some(label) = take(record, columns, &table.lines, sink)?
            && quoting
            && sink.other != Other::Nothing
        {
            quotes.label(label);
        }
        if record.bytes == header && !repeated {
            repeated = true;
            sink.tally.notes.push(format!(
                "{}: the row repeats the header, and is read as a document: give files one by one in place of joining them",
                table.lines.place(record.line)
            ));
        }
        for field in record.fields.iter().filter(|field| field.lines > 0) {
            let last = record.line + record.lines;
            let span = Span { first: record.line, last, lines: field.lines + 1 };
            quotes.field(span, record.bytes_of(field), |line| columns.label_in(line, delimiter));
        }
        quotes.row();
    }
    sink.tally.notes.extend(quotes.finish(table.lines.name()));
    Ok(())
}

/// Hands the fields of every row to `each`, the first row too; what is wrong within a row is left to the reader.
pub(super) fn each_row(
    input: Input,
    options: &CorpusOptions,
    each: &mut dyn FnMut(&[String]),
) -> Result<(), TextError> {
    let mut table = Table::open(input, options)?;
    while table.next()? {
        let record = &table.record;
        let field = |f: &Field| String::from_utf8_lossy(record.bytes_of(f)).into_owned();
        each(&record.fields.iter().map(field).collect::<Vec<_>>());
    }
    Ok(())
}

/// Hands a row on; its label, when it could be read.
fn take<'r>(
    record: &'r Record,
    columns: &Columns,
    lines: &Lines,
    sink: &mut Sink<'_>,
) -> Result<Option<&'r str>, TextError> {
    let place = || lines.place(record.line);
    let Some(text) = sink.utf8(record.field(columns.text), place) else { return Ok(None) };
    let mut at = |column: Option<usize>| match column {
        None => Some(None),
        Some(i) => sink.utf8(record.field(i), place).map(Some),
    };
    let (Some(pair), Some(other)) = (at(columns.pair), at(columns.other)) else { return Ok(None) };
    let other = other.unwrap_or_default();
    sink.row(Row { text, pair, other, line: record.line })?;
    Ok(Some(other))
}

/// A table that is read row by row.
struct Table {
    lines: Lines,
    quoting: bool,
    delimiter: u8,
    record: Record,
}

/// A row.
#[derive(Default)]
struct Record {
    /// Its lines as they are, with their ends.
    bytes: Vec<u8>,
    /// What quoted fields mean, where it is not what stands in `bytes`.
    unquoted: Vec<u8>,
    fields: Vec<Field>,
    /// The line on which it begins.
    line: u64,
    /// Line ends within it.
    lines: u64,
    /// The line of a quotation mark that closes a field and is followed by text, and the line where the field began.
    after_quote: Option<(u64, u64)>,
}

/// A field: a range of [`Record::bytes`], or of [`Record::unquoted`].
#[derive(Clone, Copy)]
struct Field {
    from: usize,
    to: usize,
    doubled: bool,
    /// Line ends within it.
    lines: u64,
}

impl Record {
    fn bytes_of(&self, field: &Field) -> &[u8] {
        let bytes = if field.doubled { &self.unquoted } else { &self.bytes };
        &bytes[field.from..field.to]
    }

    fn field(&self, i: usize) -> &[u8] {
        self.fields.get(i).map_or(&[], |field| self.bytes_of(field))
    }
}

impl Table {
    fn open(input: Input, options: &CorpusOptions) -> Result<Self, TextError> {
        let quoting = input.format == Format::Csv;
        let delimiter = options.delimiter_byte(input.format);
        let mut lines = Lines::new(input, options.max_line_bytes);
        if quoting {
            lines.detect_carriage_returns()?;
        }
        Ok(Self { lines, quoting, delimiter, record: Record::default() })
    }

    /// Reads the next row that is not blank; false at the end of the file.
    fn next(&mut self) -> Result<bool, TextError> {
        loop {
            let record = &mut self.record;
            record.bytes.clear();
            record.unquoted.clear();
            record.fields.clear();
            record.lines = 0;
            record.after_quote = None;
            record.line = self.lines.next();
            if !self.lines.append(&mut record.bytes, record.line)? {
                return Ok(false);
            }
            let content = self.lines.content(&record.bytes);
            let blank = content.iter().all(|b| b.is_ascii_whitespace()) && !content.contains(&self.delimiter);
            if !blank {
                self.fields()?;
                return Ok(true);
            }
        }
    }

    /// Cuts the row into fields, and reads more lines where a quoted field goes on.
    fn fields(&mut self) -> Result<(), TextError> {
        let mut at = 0;
        loop {
            let quoted = self.quoting && self.record.bytes.get(at) == Some(&b'"');
            let end = if quoted { self.quoted(at)? } else { self.plain(at) };
            if self.record.bytes.get(end) != Some(&self.delimiter) || end >= self.content_end() {
                return Ok(());
            }
            at = end + 1;
        }
    }

    /// Where the last line's content ends. Other line ends stand in quoted fields.
    fn content_end(&self) -> usize {
        self.lines.content(&self.record.bytes).len()
    }

    /// A field without quotation marks, from `at`; where it ends.
    fn plain(&mut self, at: usize) -> usize {
        let content = self.content_end();
        let end = memchr(self.delimiter, &self.record.bytes[at..content]).map_or(content, |n| at + n);
        self.record.fields.push(Field { from: at, to: end, doubled: false, lines: 0 });
        end
    }

    /// A field that begins with a quotation mark at `at`; where the next delimiter or the row's end is.
    fn quoted(&mut self, at: usize) -> Result<usize, TextError> {
        let opened = self.record.line + self.record.lines;
        let (mut from, mut search) = (at + 1, at + 1);
        let start = self.record.unquoted.len();
        let (mut doubled, mut lines) = (false, 0);
        let close = loop {
            let Some(n) = memchr(b'"', &self.record.bytes[search..]) else {
                search = self.record.bytes.len();
                self.more(opened)?;
                lines += 1;
                continue;
            };
            let quote = search + n;
            if self.record.bytes.get(quote + 1) != Some(&b'"') {
                break quote;
            }
            doubled = true;
            self.record.unquoted.extend_from_slice(&self.record.bytes[from..=quote]);
            (from, search) = (quote + 2, quote + 2);
        };
        self.record.fields.push(if doubled {
            self.record.unquoted.extend_from_slice(&self.record.bytes[from..close]);
            Field { from: start, to: self.record.unquoted.len(), doubled, lines }
        } else {
            Field { from, to: close, doubled, lines }
        });
        let content = self.content_end();
        let after = close + 1;
        let end = memchr(self.delimiter, &self.record.bytes[after..content]).map_or(content, |n| after + n);
        if end > after {
            self.record.after_quote.get_or_insert((self.record.line + self.record.lines, opened));
        }
        Ok(end)
    }

    /// Reads another line into the row, whose quoted field, opened on line `opened`, goes on.
    fn more(&mut self, opened: u64) -> Result<(), TextError> {
        let what = match self.lines.append(&mut self.record.bytes, self.record.line) {
            Ok(true) => {
                self.record.lines += 1;
                return Ok(());
            }
            Ok(false) => "is not closed before the end of the file".to_owned(),
            Err(TextError::LineTooLong { limit, .. }) => format!("is not closed within {limit} bytes"),
            Err(other) => return Err(other),
        };
        Err(TextError::OpenQuote { place: self.lines.place(opened), what })
    }
}

/// Where the wanted columns are.
struct Columns {
    text: usize,
    pair: Option<usize>,
    other: Option<usize>,
    count: usize,
}

impl Columns {
    /// Looks them up in the first row.
    fn find(
        first: &Record,
        delimiter: u8,
        options: &CorpusOptions,
        other: Other<'_>,
        place: Place,
    ) -> Result<Self, TextError> {
        let names: Vec<_> = first.fields.iter().map(|f| String::from_utf8_lossy(first.bytes_of(f))).collect();
        let at = |column: &Column, option| {
            let missing = || {
                TextError::MissingColumn {
                place: place.clone(),
                column: column.to_string(),
                found: existing(&names, options.header),
                hint: match hint(column, &first.bytes, delimiter) {
                    none if none.is_empty() && options.header => {
                        "; if the first row is a document, give `--no-header` (in a recipe `read = { header = false }`) and \
                         the columns by number"
                            .into()
                    }
                    found => found,
                },
            }
            };
            match column {
                Column::Index(i) => Some(*i).filter(|&i| i < names.len()).ok_or_else(missing),
                Column::Name(name) => {
                    let mut same = (0..names.len()).filter(|&i| names[i].trim() == name);
                    let found = same.next().ok_or_else(missing)?;
                    match same.next() {
                        None => Ok(found),
                        Some(second) => Err(TextError::TwoColumns {
                            place: place.clone(),
                            name: name.clone(),
                            option,
                            numbers: [found, second],
                        }),
                    }
                }
            }
        };
        let text = at(&options.text, "--text-column")?;
        let other = other.column().map(|(column, option)| at(column, option)).transpose()?;
        if other == Some(text) {
            return Err(TextError::Setting {
                setting: "label",
                value: options.label.to_string(),
                bound: format!("is column {text}, which is the text as well"),
            });
        }
        let pair = options.pair.as_ref().map(|column| at(column, "--pair-column")).transpose()?;
        if let Some(pair) = pair.filter(|pair| *pair == text || Some(*pair) == other) {
            return Err(TextError::Setting {
                setting: "pair",
                value: options.pair.as_ref().map(Column::to_string).unwrap_or_default(),
                bound: format!("is column {pair}, which is the text or the label as well"),
            });
        }
        Ok(Self { text, pair, other, count: names.len() })
    }

    /// The label in a line taken as a row without quotes; none when it has another number of fields.
    fn label_in<'l>(&self, line: &'l [u8], delimiter: u8) -> Option<&'l [u8]> {
        let mut ends = memchr_iter(delimiter, line).chain(std::iter::once(line.len()));
        let (mut from, mut label, mut count) = (0, None, 0);
        for end in &mut ends {
            if Some(count) == self.other {
                label = Some(&line[from..end]);
            }
            (from, count) = (end + 1, count + 1);
        }
        label.filter(|_| count == self.count)
    }

    fn ragged(&self, record: &Record, quoting: bool, place: Place) -> TextError {
        let (found, expected) = (record.fields.len() as u64, self.count as u64);
        let hint = match (found > expected, quoting) {
            (true, true) if record.bytes.contains(&b'"') => {
                ": a quotation mark counts only as the first character of a field"
            }
            (true, true) => ": a text that holds the delimiter must stand in quotation marks",
            (true, false) => ": a field of TSV cannot hold the delimiter",
            (false, _) => "",
        };
        TextError::Ragged { place, expected, found, hint }
    }
}

/// A header with text after a closing quotation mark: mostly one whose delimiter is another.
fn bad_header(
    header: &Record,
    delimiter: u8,
    options: &CorpusOptions,
    place: Place,
    opened: u64,
) -> TextError {
    let hint = hint(&options.text, &header.bytes, delimiter);
    if hint.is_empty() {
        return TextError::AfterQuote { place, opened };
    }
    let line = String::from_utf8_lossy(header.bytes.trim_ascii_end());
    let found = crate::label::list([&*line].into_iter(), 1);
    TextError::MissingColumn { place, column: options.text.to_string(), found, hint }
}

/// Columns for a message.
fn existing(names: &[std::borrow::Cow<'_, str>], header: bool) -> String {
    if !header {
        return format!("0 to {}", names.len().saturating_sub(1));
    }
    crate::label::list(names.iter().map(|name| name.trim()), 20)
}

/// The delimiter that would make the column exist.
fn hint(column: &Column, first: &[u8], delimiter: u8) -> String {
    let exists = |by: u8| {
        let mut fields = first.split(|&b| b == by).map(|field| field.trim_ascii());
        match column {
            Column::Index(i) => first.split(|&b| b == by).count() > *i,
            Column::Name(name) => fields.any(|field| {
                field.strip_prefix(b"\"").and_then(|f| f.strip_suffix(b"\"")).unwrap_or(field)
                    == name.as_bytes()
            }),
        }
    };
    let others = [(b';', ";"), (b'\t', "\\t"), (b'|', "|"), (b',', ",")];
    if let Some((_, name)) = others.into_iter().find(|&(by, _)| by != delimiter && exists(by)) {
        return format!("; fields seem to be separated otherwise: `--delimiter \"{name}\"`");
    }
    let line = first.trim_ascii_end();
    if line.contains(&b'\r') {
        return "; the lines of the file seem to end with carriage returns, which are text here".into();
    }
    String::new()
}
