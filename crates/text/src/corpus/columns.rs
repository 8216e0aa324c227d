//! What stands in the columns of a file, counted: to tell texts from labels when nobody said which is which.

use std::collections::HashSet;
use std::path::Path;

use super::input::Input;
use super::options::{Column, CorpusOptions, Format};
use super::{delimited, json};
use crate::error::TextError;

/// Different values of a column that are counted one by one.
pub const MOST_VALUES: usize = 1000;

/// A column of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What it is called.
    pub column: Column,
    /// Values that are not blank.
    pub values: u64,
    /// Their characters.
    pub characters: u64,
    /// Those of them that are numbers.
    pub numbers: u64,
    /// Values that are the column's name: the first row may be no header.
    pub named: u64,
    /// Different values; one more than [`MOST_VALUES`] stands for any larger number.
    pub distinct: usize,
}

/// The columns of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// In the order of the file; none for fastText and Parquet, whose columns have their names.
    pub columns: Vec<Profile>,
    /// Rows of as many fields as the first has.
    pub rows: u64,
    /// Rows of another number of fields.
    pub ragged: u64,
    /// What separates the fields, when it is not the usual one of the format.
    pub delimiter: Option<char>,
}

impl Profile {
    /// Characters of a value on average.
    pub fn length(&self) -> f64 {
        if self.values == 0 { 0.0 } else { self.characters as f64 / self.values as f64 }
    }
}

/// Counts what stands in the columns of a file. Without a delimiter in the options, the one is taken that cuts the most
/// rows of a CSV file alike.
///
/// # Errors
/// [`TextError`] for a file that cannot be opened, a format that is not known, and quotation marks that do not close.
pub fn columns(path: &Path, options: &CorpusOptions) -> Result<Table, TextError> {
    let format = Input::open(path, options)?.format;
    let separators: &[Option<char>] = match (format, options.delimiter) {
        (Format::Csv, None) => &[None, Some(';'), Some('\t'), Some('|')],
        (_, given) => &[given],
    };
    let mut best: Option<Result<Table, TextError>> = None;
    for &delimiter in separators {
        let read = read(path, format, &CorpusOptions { delimiter, ..options.clone() });
        let better = match (&best, &read) {
            (None, _) | (Some(Err(_)), Ok(_)) => true,
            (Some(Ok(best)), Ok(read)) => read.worth() > best.worth(),
            (Some(_), Err(_)) => false,
        };
        if better {
            best = Some(read.map(|table| Table { delimiter, ..table }));
        }
    }
    best.unwrap_or_else(|| Ok(Table::default()))
}

fn read(path: &Path, format: Format, options: &CorpusOptions) -> Result<Table, TextError> {
    let mut counts = Counts {
        header: options.header && format != Format::Jsonl && format != Format::Json,
        ..Counts::default()
    };
    let input = Input::open(path, options)?;
    match format {
        Format::Csv | Format::Tsv => {
            delimited::each_row(input, options, &mut |fields| counts.fields(fields))?
        }
        Format::Jsonl | Format::Json => json::each_object(input, options, &mut |pairs| counts.pairs(pairs))?,
        Format::FastText | Format::Parquet => {}
    }
    Ok(counts.table())
}

impl Table {
    /// How well the file falls into columns: two at least, of as many rows as possible.
    fn worth(&self) -> (bool, u64) {
        (self.columns.len() > 1, self.rows.saturating_sub(self.ragged))
    }
}

/// What was counted so far.
#[derive(Default)]
struct Counts {
    header: bool,
    names: Vec<Column>,
    columns: Vec<Count>,
    rows: u64,
    ragged: u64,
}

#[derive(Default)]
struct Count {
    values: u64,
    characters: u64,
    numbers: u64,
    named: u64,
    distinct: HashSet<Box<str>>,
}

impl Counts {
    /// A row of CSV or TSV; the first one may be the header.
    fn fields(&mut self, fields: &[String]) {
        if self.names.is_empty() {
            let name = |(n, field): (usize, &String)| match self.header {
                true => Column::Name(field.trim().into()),
                false => Column::Index(n),
            };
            self.names = fields.iter().enumerate().map(name).collect();
            self.columns.resize_with(fields.len(), Count::default);
            if self.header {
                return;
            }
        }
        if fields.len() != self.names.len() {
            self.ragged += 1;
            return;
        }
        self.rows += 1;
        for ((count, name), field) in self.columns.iter_mut().zip(&self.names).zip(fields) {
            count.add(field);
            count.named += u64::from(matches!(name, Column::Name(name) if name == field.trim()));
        }
    }

    /// An object of JSON, as pairs of key and value.
    fn pairs(&mut self, pairs: &[(String, String)]) {
        self.rows += 1;
        for (key, value) in pairs {
            let name = Column::Name(key.clone());
            let place = match self.names.iter().position(|known| *known == name) {
                Some(place) => place,
                // Objects of any keys are no table.
                None if self.names.len() >= MOST_VALUES => continue,
                None => {
                    self.names.push(name);
                    self.columns.push(Count::default());
                    self.names.len() - 1
                }
            };
            self.columns[place].add(value);
        }
    }

    fn table(self) -> Table {
        let profile = |(column, count): (Column, Count)| Profile {
            column,
            values: count.values,
            characters: count.characters,
            numbers: count.numbers,
            named: count.named,
            distinct: count.distinct.len(),
        };
        let columns = self.names.into_iter().zip(self.columns).map(profile).collect();
        Table { columns, rows: self.rows, ragged: self.ragged, delimiter: None }
    }
}

impl Count {
    fn add(&mut self, value: &str) {
        let value = value.trim();
        if value.is_empty() {
            return;
        }
        self.values += 1;
        self.characters += value.chars().count() as u64;
        self.numbers += u64::from(value.parse::<f64>().is_ok());
        if self.distinct.len() <= MOST_VALUES && !self.distinct.contains(value) {
            self.distinct.insert(value.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, content: &str) -> Table {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        columns(&path, &CorpusOptions::default()).unwrap()
    }

    fn shown(table: &Table) -> Vec<(String, u64, u64, usize)> {
        let shown = |p: &Profile| (p.column.to_string(), p.values, p.numbers, p.distinct);
        let mut all: Vec<_> = table.columns.iter().map(shown).collect();
        all.sort(); // keys of JSON have no order
        all
    }

    #[test]
    fn columns_are_counted_in_every_format() {
        let expected =
            vec![("\"body\"".to_owned(), 2, 0, 2), ("\"id\"".into(), 3, 3, 3), ("\"y\"".into(), 3, 0, 2)];
        assert_eq!(shown(&of("a.csv", "id,body,y\n1,\"a, b\",x\n2,c d,z\n3,,x\n")), expected);
        assert_eq!(shown(&of("a.tsv", "id\tbody\ty\n1\ta, b\tx\n2\tc d\tz\n3\t\tx\n")), expected);
        let objects = ["{\"id\":1,\"body\":\"a, b\",\"y\":\"x\"}", "{\"id\":2,\"body\":\"c d\",\"y\":\"z\"}"];
        let last = "{\"id\":3,\"body\":null,\"y\":\"x\"}";
        assert_eq!(shown(&of("a.jsonl", &format!("{}\n{}\n{last}\n", objects[0], objects[1]))), expected);
        assert_eq!(shown(&of("a.json", &format!("[{},{},\n{last}]", objects[0], objects[1]))), expected);
        assert!(of("a.ft", "__label__x a b\n").columns.is_empty());
    }

    #[test]
    fn the_delimiter_is_the_one_that_makes_columns() {
        for delimiter in [';', '\t', '|'] {
            let table = of("a.csv", &format!("text{delimiter}label\na, b{delimiter}x\nc{delimiter}y\n"));
            assert_eq!((table.delimiter, table.columns.len(), table.rows), (Some(delimiter), 2, 2));
        }
        let table = of("a.csv", "text,label\na; b,x\nc,y\n");
        assert_eq!((table.delimiter, table.columns.len()), (None, 2));
    }
}
