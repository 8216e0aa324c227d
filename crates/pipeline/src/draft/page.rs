//! The page of a first recipe, and what the documents say of its network and training.

use nlpress_core::shown::{counted, shown};
use nlpress_text::{BagEncoder, Column, Corpus, CorpusOptions, Coverage, EncoderConfig};
use std::fmt::Write as _;

use super::DraftError;

/// Largest vocabulary that is proposed.
const MOST_WORDS: usize = 20_000;
/// Classes that a comment lists.
const LISTED: usize = 12;
/// From this ratio of the largest class to the smallest on, weights for the classes are proposed.
const UNEVEN: usize = 4;
/// Share of tokens from which on characters are proposed, when they are of scripts without spaces between words.
const SINGLES: f64 = 0.3;

/// What the documents say about a first network and its training.
pub(super) struct Facts {
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
    pub(super) fn of(corpus: &Corpus, notes: &mut Vec<String>) -> Result<Self, DraftError> {
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
pub(super) struct Page<'a> {
    pub(super) data: &'a str,
    pub(super) options: &'a CorpusOptions,
    pub(super) corpus: &'a Corpus,
    pub(super) facts: &'a Facts,
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
    pub(super) fn text(&self) -> String {
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
