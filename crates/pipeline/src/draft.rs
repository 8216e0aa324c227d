//! A first recipe for a file of labelled text: what can be guessed from the file is guessed, said, and written down
//! where the user can change it.
//!
//! Guessed are the columns, the delimiter, what counts as a token, the size of the vocabulary, of the network and of the
//! training, and a few rows that are worth a try. What is written has been read, prepared and planned as `nlpress run`
//! does it, so it runs as it stands. This module refuses to train anything to find a better guess.

mod page;

use nlpress_core::shown::{counted, shown};
use nlpress_text::corpus::columns::{self, MOST_VALUES, Profile, Table};
use nlpress_text::{Column, Corpus, CorpusOptions, Source, TextError};
use std::path::Path;

use crate::data_error::DataError;
use crate::failure::RunError;
use crate::recipe::RecipeError;
use crate::{Prepared, Recipe, plan_of};
use page::{Facts, Page};

/// Names that columns of texts have, in lower case.
const TEXTS: [&str; 15] = [
    "text",
    "body",
    "content",
    "review",
    "comment",
    "message",
    "sentence",
    "document",
    "description",
    "tweet",
    "question",
    "headline",
    "title",
    "summary",
    "abstract",
];
/// Names that columns of labels have, in lower case.
const LABELS: [&str; 15] = [
    "label",
    "labels",
    "class",
    "category",
    "target",
    "sentiment",
    "topic",
    "intent",
    "stars",
    "rating",
    "score",
    "polarity",
    "tag",
    "language",
    "y",
];
/// What is known of a file before it is read.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    /// The column of the text; guessed when not given.
    pub text: Option<Column>,
    /// The column of the label; guessed when not given.
    pub label: Option<Column>,
    /// How the file is read; its columns are not looked at.
    pub options: CorpusOptions,
}

/// A recipe that was written for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Its text.
    pub text: String,
    /// What was guessed, one sentence each.
    pub notes: Vec<String>,
}

/// A file that no recipe can be written for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DraftError {
    /// The file cannot be read.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Nothing can be learned from it.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Which columns are meant cannot be guessed.
    #[error("{0}")]
    Columns(String),
    /// A path that no recipe can hold.
    #[error("{}: the path is not Unicode, but recipes are", .0.display())]
    Path(std::path::PathBuf),
    /// What was written does not run.
    #[error("the recipe that was written does not run: {0}; this is a bug in nlpress")]
    Recipe(#[from] RecipeError),
    /// What was written cannot be planned.
    #[error("the recipe that was written cannot be planned: {0}; this is a bug in nlpress")]
    Plan(#[from] RunError),
}

/// Writes a recipe for the file `data`, to be stored at `recipe`.
///
/// # Errors
/// [`DraftError`] for a file that cannot be read or learned from, and for columns that cannot be guessed.
pub fn draft(data: &Path, recipe: &Path, hints: &Hints) -> Result<Draft, DraftError> {
    let mut notes = Vec::new();
    let options = columns_of(data, hints, &mut notes)?;
    let corpus = Corpus::read_for_training(&Source::One(data.into()), &options)?;
    notes.extend(corpus.told());
    let facts = Facts::of(&corpus, &mut notes)?;
    let text =
        Page { data: &named_from(data, recipe)?, options: &options, corpus: &corpus, facts: &facts }.text();
    let written = Recipe::parse(&text, &recipe.display().to_string())?;
    plan_of(&written, &Prepared::of(&written.data, Path::new(""))?)?;
    Ok(Draft { text, notes })
}

/// The path of the data as the recipe names it: relative to the recipe's folder if it lies below.
///
/// # Errors
/// [`DraftError::Path`].
pub fn named_from(data: &Path, recipe: &Path) -> Result<String, DraftError> {
    let bad = || DraftError::Path(data.into());
    let whole = |path: &Path| std::path::absolute(path).map_err(|_| bad());
    let (data, recipe) = (whole(data)?, whole(recipe)?);
    let below = recipe.parent().and_then(|folder| data.strip_prefix(folder).ok());
    below.unwrap_or(&data).to_str().map(Into::into).ok_or_else(bad)
}

/// Options with the columns that were given or guessed; what was guessed goes into `notes`.
///
/// # Errors
/// [`DraftError`] when the file cannot be read, or columns can neither be taken as given nor guessed.
pub fn columns_of(data: &Path, hints: &Hints, notes: &mut Vec<String>) -> Result<CorpusOptions, DraftError> {
    let table = columns::columns(data, &hints.options)?;
    let delimiter = hints.options.delimiter.or(table.delimiter);
    let mut options = CorpusOptions { delimiter, ..hints.options.clone() };
    if let Some(found) = table.delimiter {
        notes.push(format!("fields are separated by {found:?}"));
    }
    if let Some(found) = table.columns.iter().find(|p| p.named > 0 && p.values > 0) {
        notes.push(format!(
            "the first row is taken as the names of the columns, but {} is a value of its column, too: if that row is a \
             document, give --no-header",
            shown(&found.column.to_string())
        ));
    }
    if table.columns.is_empty() {
        // fastText and Parquet, or nothing at all, of which the reader knows more.
        options.text = hints.text.clone().unwrap_or(options.text);
        options.label = hints.label.clone().unwrap_or(options.label);
        return Ok(options);
    }
    let named = |why: String| DraftError::Columns(format!("{}: {why}", data.display()));
    let label = match &hints.label {
        Some(label) => label.clone(),
        None => {
            let found = guess_label(&table, hints.text.as_ref())
                .ok_or_else(|| named(one_class(&table).unwrap_or_else(|| unknown(&table, "label"))))?;
            notes.push(format!(
                "the label is taken to be the column {}: {} different values in {}",
                found.column,
                found.distinct,
                counted(found.values, "row")
            ));
            found.column.clone()
        }
    };
    let text = match &hints.text {
        Some(text) => text.clone(),
        None => {
            let found = guess_text(&table, &label).ok_or_else(|| named(unknown(&table, "text")))?;
            let length = found.length();
            notes.push(format!(
                "the text is taken to be the column {}: {length:.0} characters on average",
                found.column
            ));
            found.column.clone()
        }
    };
    (options.text, options.label) = (text, label);
    Ok(options)
}

fn unknown(table: &Table, what: &str) -> String {
    let columns: Vec<String> =
        table.columns.iter().take(20).map(|p| shown(&p.column.to_string()).to_string()).collect();
    format!(
        "which column is the {what} cannot be guessed: give --{what}-column; there are: {}",
        columns.join(", ")
    )
}

/// What is wrong where a column that is called like a label has one value.
fn one_class(table: &Table) -> Option<String> {
    let is_label = |p: &&Profile| rank(&p.column, &LABELS) < LABELS.len() && p.distinct == 1;
    let Profile { column, values, .. } = table.columns.iter().find(is_label)?;
    Some(format!(
        "the column {column} has the same value in {}, and a classifier needs two classes: if the label is another, give \
         --label-column",
        if *values == 1 { "its only row".into() } else { format!("all {values} rows") }
    ))
}

/// Where a name stands in a list, taken in lower case.
fn rank(column: &Column, names: &[&str]) -> usize {
    match column {
        Column::Name(name) => {
            names.iter().position(|known| name.trim().to_lowercase() == *known).unwrap_or(names.len())
        }
        Column::Index(_) => names.len(),
    }
}

/// The column of few different short values, one that is called like a label before others. Of a few rows, it may have a value of
/// its own for each.
fn guess_label<'t>(table: &'t Table, text: Option<&Column>) -> Option<&'t Profile> {
    let fits = |p: &&Profile| {
        let distinct = p.distinct as u64;
        let is_named = rank(&p.column, &LABELS) < LABELS.len();
        let repeats = distinct <= p.values / 2 || (p.values < 8 && (is_named || distinct < p.values));
        Some(&p.column) != text && (2..=MOST_VALUES).contains(&p.distinct) && repeats && p.length() <= 64.0
    };
    table.columns.iter().filter(fits).min_by_key(|p| (rank(&p.column, &LABELS), p.distinct))
}

/// The column of the longest values, one that is called like a text before others that are not much longer.
fn guess_text<'t>(table: &'t Table, label: &Column) -> Option<&'t Profile> {
    let fits = |p: &&Profile| p.column != *label && p.values > 0 && p.numbers < p.values;
    let longest = table.columns.iter().filter(fits).map(Profile::length).fold(0.0, f64::max);
    let long = |p: &&Profile| fits(p) && p.length() >= longest / 4.0;
    let key = |p: &&Profile| (rank(&p.column, &TEXTS), -(p.length() * 1000.0) as i64);
    table.columns.iter().filter(long).min_by_key(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str, values: u64, characters: u64, numbers: u64, distinct: usize) -> Profile {
        Profile { column: Column::Name(name.into()), values, characters, numbers, named: 0, distinct }
    }

    fn guessed(columns: Vec<Profile>) -> (Option<String>, Option<String>) {
        let table = Table { columns, rows: 100, ..Table::default() };
        let label = guess_label(&table, None).map(|p| p.column.clone());
        let text = label.as_ref().and_then(|label| guess_text(&table, label)).map(|p| p.column.to_string());
        (text, label.map(|l| l.to_string()))
    }

    #[test]
    fn columns_are_told_by_what_stands_in_them_and_by_their_names() {
        let named = |text: &str, label: &str| (Some(format!("{text:?}")), Some(format!("{label:?}")));
        let text = || profile("words", 100, 9000, 0, 99);
        let id = || profile("id", 100, 300, 100, 100);
        assert_eq!(guessed(vec![id(), text(), profile("kind", 100, 400, 0, 3)]), named("words", "kind"));
        // A name decides where the values leave it open.
        let two = vec![profile("split", 100, 400, 0, 2), profile("Class", 100, 400, 0, 5), text()];
        assert_eq!(guessed(two), named("words", "Class"));
        let title = vec![
            profile("title", 100, 4000, 0, 98),
            profile("body", 100, 9000, 0, 99),
            profile("y", 100, 100, 100, 2),
        ];
        assert_eq!(guessed(title), named("body", "y"));
        // Short texts beside a long one are no texts, whatever they are called.
        let short = vec![profile("title", 100, 900, 0, 90), text(), profile("stars", 100, 100, 100, 5)];
        assert_eq!(guessed(short), named("words", "stars"));
        assert_eq!(guessed(vec![id(), text()]), (None, None));
        // Of a few rows each may have a label of its own.
        assert_eq!(guessed(vec![text(), profile("label", 3, 12, 0, 3)]), named("words", "label"));
        assert_eq!(guessed(vec![text(), profile("kind", 3, 12, 0, 3)]), (None, None));
        // A label that is the same everywhere is one all the same.
        let columns = vec![text(), profile("label", 100, 400, 0, 1)];
        let said = one_class(&Table { columns, rows: 100, ..Table::default() }).unwrap().to_string();
        assert!(said.contains("\"label\"") && said.contains("all 100 rows"), "{said}");
        assert!(one_class(&Table { columns: vec![text()], rows: 100, ..Table::default() }).is_none());
    }
}
