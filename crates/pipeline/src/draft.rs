//! A first recipe for a file of labelled text: what can be guessed from the file is guessed, said, and written down
//! where the user can change it.
//!
//! Guessed are the columns, the delimiter, what counts as a token, the size of the vocabulary, of the network and of the
//! training, and a few rows that are worth a try. What is written has been read, prepared and planned as `nlpress run`
//! does it, so it runs as it stands. This module refuses to train anything to find a better guess.

use nlpress_core::shown::{counted, shown};
use nlpress_text::corpus::columns::{self, MOST_VALUES, Profile, Table};
use nlpress_text::{BagEncoder, Column, Corpus, CorpusOptions, Coverage, EncoderConfig, Source, TextError};
use std::fmt::Write as _;
use std::path::Path;

use crate::data_error::DataError;
use crate::failure::RunError;
use crate::recipe::RecipeError;
use crate::{Prepared, Recipe, plan_of};

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
/// Largest vocabulary that is proposed.
const MOST_WORDS: usize = 20_000;
/// Classes that a comment lists.
const LISTED: usize = 12;
/// From this ratio of the largest class to the smallest on, weights for the classes are proposed.
const UNEVEN: usize = 4;
/// Share of tokens from which on characters are proposed, when they are of scripts without spaces between words.
const SINGLES: f64 = 0.3;

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
    let label = match &hints.label {
        Some(label) => label.clone(),
        None => {
            let found = guess_label(&table, hints.text.as_ref()).ok_or_else(|| unknown(&table, "label"))?;
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
            let found = guess_text(&table, &label).ok_or_else(|| unknown(&table, "text"))?;
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

fn unknown(table: &Table, what: &str) -> DraftError {
    let columns: Vec<String> =
        table.columns.iter().take(20).map(|p| shown(&p.column.to_string()).to_string()).collect();
    DraftError::Columns(format!(
        "which column is the {what} cannot be guessed: give --{what}-column; there are: {}",
        columns.join(", ")
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

/// The column of few different short values, one that is called like a label before others.
fn guess_label<'t>(table: &'t Table, text: Option<&Column>) -> Option<&'t Profile> {
    let fits = |p: &&Profile| {
        let distinct = p.distinct as u64;
        let repeats = distinct <= p.values / 2 || (p.values < 8 && distinct < p.values);
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

/// What the documents say about a first network and its training.
struct Facts {
    /// Whether tokens are characters in place of words.
    characters: bool,
    /// Whether signs and emoji are tokens.
    symbols: bool,
    min_documents: u32,
    vocabulary: usize,
    hidden: Vec<usize>,
    dropout: f64,
    epochs: u32,
    learning_rate: f64,
    /// Documents of each class in the training split.
    classes: Vec<usize>,
}

impl Facts {
    fn of(corpus: &Corpus, notes: &mut Vec<String>) -> Result<Self, DraftError> {
        let texts: Vec<&str> = corpus.train.iter().map(|d| d.text.as_str()).collect();
        let fit = |config: &EncoderConfig| BagEncoder::fit(config, texts.iter().copied());
        let base = EncoderConfig { vocabulary: MOST_WORDS, ..EncoderConfig::default() };
        let mut config = base.clone();
        let mut encoder = match fit(&base) {
            Ok(encoder) => encoder,
            // Texts of nothing but signs have no word.
            Err(_) => {
                config.symbols = true;
                fit(&config)?
            }
        };
        let coverage = Coverage::of(&encoder, &texts);
        let tokens = coverage.tokens.max(1) as f64;
        let characters = coverage.singles as f64 / tokens >= SINGLES;
        if characters {
            config.analyzer = nlpress_text::Analyzer::characters(1, 2);
            encoder = fit(&config)?;
            notes.push("the texts are of a script without spaces between words, so tokens are runs of 1 to 2 characters".into());
        } else if coverage.documents_with_symbols * 4 >= coverage.documents && !config.symbols {
            config.symbols = true;
            encoder = fit(&config)?;
            notes.push("many texts have emoticons or the like, so signs are tokens too".into());
        }
        // Tokens of one document alone tell nothing of others, but a small file has no others.
        let twice = fit(&EncoderConfig { min_documents: 2, ..config.clone() });
        let (min_documents, width) = match twice {
            Ok(encoder) if encoder.width() >= 100 => (2, encoder.width()),
            _ => (1, encoder.width()),
        };
        let mut classes = vec![0; corpus.labels.len()];
        corpus.train.iter().for_each(|d| classes[d.label as usize] += 1);
        let documents = texts.len();
        let small = documents < 2000;
        Ok(Self {
            characters,
            symbols: config.symbols,
            min_documents,
            vocabulary: width,
            hidden: if small { vec![32] } else { vec![64] },
            dropout: if small { 0.2 } else { 0.5 },
            // About 3000 steps of 32 documents.
            epochs: (96_000 / documents.max(1)).clamp(5, 60) as u32,
            learning_rate: if small { 5e-3 } else { 1e-3 },
            classes,
        })
    }
}

/// The recipe as a page.
struct Page<'a> {
    data: &'a str,
    options: &'a CorpusOptions,
    corpus: &'a Corpus,
    facts: &'a Facts,
}

/// A value as TOML.
fn toml(value: impl Into<toml::Value>) -> String {
    value.into().to_string()
}

fn column(column: &Column) -> String {
    match column {
        Column::Name(name) => toml(name.as_str()),
        Column::Index(index) => index.to_string(),
    }
}

impl Page<'_> {
    fn text(&self) -> String {
        let Self { corpus, facts, .. } = self;
        let name = shown(&corpus.name).to_string();
        let mut page = format!(
            "# A recipe for {name}, written by `nlpress new-recipe`: change what you like.\n\
             #\n\
             #   nlpress plan RECIPE             checks it and shows every row; trains nothing\n\
             #   nlpress run RECIPE --quick      tries it on a few documents\n\
             #   nlpress run RECIPE --out DIR    makes every row and the report\n\
             #\n\
             # docs/recipes.md has every setting, `nlpress techniques` every technique.\n\n\
             schema = 1\nname = {}\n\
             seed = 1                        # root of all random choices\n\
             seeds = 1                       # repetitions; 3 or more show how much chance there is in a row\n\n",
            toml(corpus.name.as_str())
        );
        page += &self.data_part();
        page += &format!(
            "[model]\n\
             # A small network; the row control.linear shows what none at all would do.\n\
             network = {{ mlp = {{ hidden = {:?}, dropout = {:?} }} }}\n\n\
             [train]\n\
             epochs = {}\n\
             learning_rate = {:?}\n\
             patience = 3                    # ends after so many epochs without a better validation loss\n",
            facts.hidden, facts.dropout, facts.epochs, facts.learning_rate
        );
        page += &self.weights_part();
        page += "\n# Rows beside yours that keep comparisons honest.\n\
                 [controls]\n\
                 linear = true                   # a linear model on the same features\n\
                 more_epochs = 3                 # the teacher trained on, without compression; 0 for none\n\
                 student = [8]                   # a small network trained alone, without a teacher; [] for none\n\n";
        page += &self.rows_part();
        page
    }

    fn data_part(&self) -> String {
        let Self { options, corpus, facts, .. } = self;
        let CorpusOptions { format, encoding, text, label, header, delimiter, skip_bad_rows, .. } = options;
        let mut read = vec![format!("text = {}", column(text)), format!("label = {}", column(label))];
        read.extend(format.map(|f| format!("format = {}", setting(&f))));
        read.extend(encoding.map(|e| format!("encoding = {}", setting(&e))));
        read.extend(delimiter.map(|d| format!("delimiter = {}", toml(d.to_string()))));
        read.extend((!header).then(|| "header = false".to_owned()));
        read.extend((*skip_bad_rows > 0).then(|| format!("skip_bad_rows = {skip_bad_rows}")));
        let analyzer = match facts.characters {
            true => "analyzer = { characters = { min = 1, max = 2 } }, ",
            false => "",
        };
        let symbols = if facts.symbols { "symbols = true, " } else { "" };
        let [train, valid, test] = [&corpus.train, &corpus.valid, &corpus.test].map(Vec::len);
        format!(
            "[data]\n\
             # {} to train on, {valid} to choose by, {test} to score on, in {}. Files of your own\n\
             # for the splits: files = {{ train = \"a.csv\", valid = \"b.csv\", test = \"c.csv\" }}\n\
             files = {}\n\
             read = {{ {} }}\n\
             # The {} of the most documents{}.\n\
             encoder = {{ {analyzer}{symbols}vocabulary = {}, min_documents = {} }}\n\n",
            counted(train, "document"),
            counted(corpus.labels.len(), "class"),
            toml(self.data),
            read.join(", "),
            counted(facts.vocabulary, "token"),
            if facts.min_documents > 1 { ", of two at least" } else { "" },
            facts.vocabulary,
            facts.min_documents,
        )
    }

    /// What to do where classes are uneven, as comments.
    fn weights_part(&self) -> String {
        let classes = &self.facts.classes;
        let (most, least) = (classes.iter().max().copied(), classes.iter().min().copied());
        let (Some(most), Some(least)) = (most, least) else { return String::new() };
        if most < UNEVEN * least {
            return String::new();
        }
        let mut lines = String::from(
            "# The classes are uneven. Weights make rare ones count as much, at some cost in accuracy.\n",
        );
        let named = self.corpus.labels.iter().zip(classes).take(LISTED);
        for (label, documents) in named {
            writeln!(lines, "#   {}: {documents} training documents", shown(label))
                .expect("a String takes every write");
        }
        if classes.len() > LISTED {
            writeln!(lines, "#   and {} more", classes.len() - LISTED).expect("a String takes every write");
        }
        lines + "# class_weights = \"balanced\"\n"
    }

    fn rows_part(&self) -> String {
        let Facts { epochs, vocabulary, .. } = self.facts;
        let tune = (epochs / 4).max(1);
        let mut rows = format!(
            "# Your rows. A gate takes a step back that costs more than so many points of accuracy on validation.\n\n\
             # Integers of 8 bits in place of floats: a quarter of the bytes.\n\
             [[variants]]\n\
             id = \"int8\"\n\
             steps = [{{ use = \"quant.int8\", gate = {{ max_drop = 1.0 }} }}]\n\n\
             # Half of the hidden neurons, then integers.\n\
             [[variants]]\n\
             id = \"half-int8\"\n\
             steps = [\n\
             \x20   {{ use = \"prune.neurons\", on = [\"hidden.*\"], with = {{ remove = 0.5, finetune = {{ epochs = {tune} }} }} }},\n\
             \x20   {{ use = \"quant.int8\" }},\n\
             ]\n\n\
             # One connection of ten, then integers.\n\
             [[variants]]\n\
             id = \"sparse-int8\"\n\
             steps = [\n\
             \x20   {{ use = \"prune.magnitude\", with = {{ sparsity = 0.9, finetune = {{ epochs = {tune} }} }} }},\n\
             \x20   {{ use = \"quant.int8\" }},\n\
             ]\n\n\
             # A smaller network that learns from the teacher; compare it with control.student, which learns alone.\n\
             [[variants]]\n\
             id = \"student-int8\"\n\
             steps = [\n\
             \x20   {{ use = \"distill.student\", with = {{ hidden = [8], fit = {{ epochs = {epochs} }} }} }},\n\
             \x20   {{ use = \"quant.int8\" }},\n\
             ]\n"
        );
        if *vocabulary >= 400 {
            rows += &format!(
                "\n# The words that tell most about the class. The vocabulary is often most of a small model's file.\n\
                 [[variants]]\n\
                 id = \"words-int8\"\n\
                 steps = [\n\
                 \x20   {{ use = \"select.chi2\", with = {{ keep = {}, finetune = {{ epochs = {tune} }} }} }},\n\
                 \x20   {{ use = \"quant.int8\" }},\n\
                 ]\n",
                vocabulary / 4
            );
        }
        rows
    }
}

/// A setting as TOML, written as it is read.
fn setting(value: &impl serde::Serialize) -> String {
    toml::Value::try_from(value).map(|value| value.to_string()).unwrap_or_default()
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
    }
}
