//! Data made ready: a corpus, the encoder fitted on its training documents, and encoded splits.

use nlpress_core::shown::{counted, shown};
use nlpress_model::graph::Source as Takes;
use nlpress_model::{Dataset, Graph};
use nlpress_text::corpus::label;
use nlpress_text::{
    AnyEncoder, AsInput, Corpus, CorpusOptions, Coverage, Document, Encode, EncoderPlan, EncoderTable,
    Examples, Files, Source, TextError,
};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::data_error::DataError;
use crate::origin::Origin;
use crate::recipe::{DataRecipe, NetworkRecipe, Recipe};

/// The name of the corpus that is built in.
pub const EMBEDDED: &str = "embedded";

/// Labels that a message lists.
const MOST_SHOWN: usize = 20;

/// A corpus with its encoder and encoded splits.
#[derive(Debug)]
pub struct Prepared {
    /// The documents.
    pub corpus: Arc<Corpus>,
    /// Text to rows or tokens.
    pub encoder: AnyEncoder,
    /// Rows to train on.
    pub train: Dataset,
    /// Rows to choose by.
    pub valid: Dataset,
    /// Rows to score on.
    pub test: Dataset,
    /// Rows without labels, where there are any.
    pub unlabelled: Option<Examples>,
    /// What the encoder knows of the documents that were held back from training: of validation and test documents.
    pub held_back: Coverage,
    /// What it knows of the test documents.
    pub of_test: Coverage,
    /// The artifact that the encoder is of, where it is one's, and its path.
    pub(crate) origin: Option<(PathBuf, Origin)>,
}

impl Prepared {
    /// Reads the corpus of a recipe; named ones other than `embedded` are looked for in `folder`.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn of(data: &DataRecipe, folder: &Path) -> Result<Self, DataError> {
        Self::of_corpus(Arc::new(read_corpus(data, folder)?), data)
    }

    /// The data of a recipe. One that starts from an artifact and names no encoder has the artifact's.
    ///
    /// # Errors
    /// [`DataError`]; [`DataError::Origin`] where the artifact cannot be opened.
    pub fn of_recipe(recipe: &Recipe, folder: &Path) -> Result<Self, DataError> {
        let data = &recipe.data;
        match recipe.network.path.as_deref().filter(|_| data.encoder == EncoderTable::default()) {
            None => Self::of(data, folder),
            Some(path) => {
                let origin = Origin::open(path)?;
                let corpus = Arc::new(read_corpus(data, folder)?);
                Self::of_origin(corpus, (path, origin), data)
            }
        }
    }

    /// Encodes a corpus that is read as an artifact does that was opened from a path, for recipes that start from it.
    ///
    /// # Errors
    /// As [`of_corpus`](Self::of_corpus).
    pub fn of_origin(
        corpus: Arc<Corpus>,
        (path, origin): (&Path, Origin),
        data: &DataRecipe,
    ) -> Result<Self, DataError> {
        let prepared = Self::with_encoder(corpus, origin.encoder.clone(), data)?;
        Ok(Self { origin: Some((path.to_owned(), origin)), ..prepared })
    }

    /// Fits a recipe's encoder to a corpus that is read, and encodes it.
    ///
    /// # Errors
    /// [`DataError`] when the encoder finds no token, a class weight has no class, or a split is empty.
    pub fn of_corpus(corpus: Arc<Corpus>, data: &DataRecipe) -> Result<Self, DataError> {
        let inputs = corpus.train.iter().map(AsInput::as_input);
        let texts = inputs.flat_map(|input| std::iter::once(input.text).chain(input.pair));
        let encoder = AnyEncoder::fit(&EncoderPlan::try_from(&data.encoder)?, texts)?;
        Self::with_encoder(corpus, encoder, data)
    }

    /// Encodes a corpus with an encoder that is there.
    ///
    /// # Errors
    /// As [`of_corpus`](Self::of_corpus).
    pub fn with_encoder(
        corpus: Arc<Corpus>,
        encoder: AnyEncoder,
        data: &DataRecipe,
    ) -> Result<Self, DataError> {
        let weights = match &data.class_weights {
            None => Vec::new(),
            Some(weights) => {
                let mut counts = vec![0; corpus.labels.len()];
                corpus.train.iter().for_each(|d| counts[d.label as usize] += 1);
                // Labels of files are read in this form.
                let form = |l: &str| label(l).map_or_else(|_| l.to_owned(), Cow::into_owned);
                weights.clone().with_labels(form).resolve(&corpus.labels, &counts).map_err(|why| {
                    let labels: Vec<String> =
                        corpus.labels.iter().take(MOST_SHOWN).map(|label| shown(label).to_string()).collect();
                    let more = if corpus.labels.len() > MOST_SHOWN { ", …" } else { "" };
                    DataError::ClassWeights { why, labels: labels.join(", ") + more }
                })?
            }
        };
        Self::encode(corpus, encoder, &weights)
    }

    /// The same documents in some of the features, or cut into some of the tokens, only.
    ///
    /// # Errors
    /// [`DataError::Text`] when the positions do not strictly ascend or are not there, the encoder cannot be narrowed, or
    /// a token is not among them that always stays.
    pub fn narrow(&self, keep: &[u32]) -> Result<Self, DataError> {
        let (encoder, kept) = self.encoder.narrowed(keep)?;
        if kept != keep {
            let why = format!("{} were to stay, but {} must", counted(keep.len(), "token"), kept.len());
            return Err(TextError::Narrow(why).into());
        }
        Self::encode(Arc::clone(&self.corpus), encoder, self.train.class_weights())
    }

    /// Logits of a network for the labels: one for two of them, else one each.
    pub fn outputs(&self) -> usize {
        if self.corpus.labels.len() == 2 { 1 } else { self.corpus.labels.len() }
    }

    fn encode(corpus: Arc<Corpus>, encoder: AnyEncoder, weights: &[f64]) -> Result<Self, DataError> {
        let split = |documents: &[Document], split, why| {
            if documents.is_empty() {
                return Err(DataError::Empty { corpus: corpus.name.clone(), split, why });
            }
            dataset_seen(&encoder, documents, corpus.labels.len())
        };
        // What is chosen on validation is chosen by the loss that is trained.
        let weighted = |data: Dataset| data.with_class_weights(weights.to_vec());
        let (train, _) = split(&corpus.train, "train", "to train")?;
        let (valid, mut held_back) = split(&corpus.valid, "valid", "to choose between models")?;
        let (test, of_test) = split(&corpus.test, "test", "to score models")?;
        held_back.merge(&of_test);
        let (train, valid) = (weighted(train)?, weighted(valid)?);
        let unlabelled = match corpus.unlabelled.as_slice() {
            [] => None,
            texts => Some(encoder.encode_all(texts)?.0),
        };
        Ok(Self { train, valid, test, unlabelled, held_back, of_test, encoder, corpus, origin: None })
    }

    /// The network of a recipe on this data.
    ///
    /// # Errors
    /// [`DataError::Misfit`] when its inputs or outputs contradict the data, or it is impossible.
    pub fn graph(&self, network: &NetworkRecipe) -> Result<Graph, DataError> {
        let (features, outputs) = (self.encoder.width(), self.outputs());
        let graph = match (&self.encoder, network.template.source) {
            (AnyEncoder::Bag(_), Takes::Tokens { .. }) => {
                return Err(DataError::Misfit(
                    "the network reads tokens, but the encoder makes bags of words: give an encoder with kind = \"tokens\""
                        .into(),
                ));
            }
            (AnyEncoder::Tokens(_), Takes::Features { .. } | Takes::Bag { .. }) => {
                return Err(DataError::Misfit(
                    "the network reads bags of words, but the encoder makes tokens: take network = { static = … } or \
                     { encoder = … }, or leave kind = \"tokens\" out"
                        .into(),
                ));
            }
            (AnyEncoder::Tokens(tokens), Takes::Tokens { .. }) => {
                network.template.clone().with_length(tokens.max_tokens())
            }
            (AnyEncoder::Bag(_), _) => network.template.clone(),
        };
        if let Some(inputs) = network.inputs.filter(|n| *n != features) {
            let why = format!(
                "the network has {}, but the encoder makes {} of {}; leave inputs out to take what there is",
                counted(inputs, "input"),
                counted(features, "feature"),
                self.corpus.name
            );
            return Err(DataError::Misfit(why));
        }
        if let Some(given) = network.outputs.filter(|n| *n != outputs) {
            let classes = self.corpus.labels.len();
            let why = format!(
                "the network has {}, but {} need {outputs}",
                counted(given, "output"),
                counted(classes, "class")
            );
            return Err(DataError::Misfit(why));
        }
        let graph = graph.with_inputs(features).with_outputs(outputs);
        graph.check().map_err(|e| DataError::Misfit(e.to_string()))?;
        Ok(graph)
    }
}

/// Reads the corpus of a recipe; named ones other than `embedded` are looked for in `folder`.
///
/// # Errors
/// [`DataError`].
pub fn read_corpus(data: &DataRecipe, folder: &Path) -> Result<Corpus, DataError> {
    let corpus = match (&data.corpus, &data.source) {
        (Some(name), _) if name == EMBEDDED => embedded(&data.options)?,
        (Some(name), _) => fetched(name, folder, &data.options)?,
        (None, Some(source)) => Corpus::read_for_training(source, &data.options)?,
        (None, None) => return Err(DataError::Misfit("data names no corpus and no file".into())),
    };
    match &data.unlabelled {
        Some(files) => Ok(corpus.with_unlabelled(files, &data.options)?),
        None => Ok(corpus),
    }
}

/// Encodes documents, on the threads of the current pool.
///
/// # Errors
/// [`DataError`] when there is none, or one cannot be encoded.
pub fn dataset(encoder: &AnyEncoder, documents: &[Document], classes: usize) -> Result<Dataset, DataError> {
    dataset_seen(encoder, documents, classes).map(|(data, _)| data)
}

/// The same, with what the encoder knows of the documents.
fn dataset_seen(
    encoder: &AnyEncoder,
    documents: &[Document],
    classes: usize,
) -> Result<(Dataset, Coverage), DataError> {
    let (examples, coverage) = encoder.encode_all(documents)?;
    Ok((Dataset::new(examples, documents.iter().map(|d| d.label).collect(), classes)?, coverage))
}

/// The corpus that is built in, whose options but one are settled.
fn embedded(options: &CorpusOptions) -> Result<Corpus, DataError> {
    if *options != (CorpusOptions { limit: options.limit, ..CorpusOptions::default() }) {
        return Err(DataError::Misfit("read: of the embedded corpus only the limit can be set".into()));
    }
    let corpus = Corpus::embedded()?;
    Ok(match options.limit {
        Some(limit) => corpus.limited(limit)?,
        None => corpus,
    })
}

/// The files of a named corpus in a folder of fetched ones, of which the first must be there; none of the one that is
/// built in.
pub fn fetched_files(name: &str, folder: &Path) -> Vec<PathBuf> {
    let splits: &[&str] = if name == EMBEDDED { &[] } else { &["train", "valid", "test"] };
    splits.iter().map(|split| folder.join(name).join(format!("{split}.jsonl"))).collect()
}

/// A corpus that `cargo xtask data fetch` put into `folder/name`.
fn fetched(name: &str, folder: &Path, options: &CorpusOptions) -> Result<Corpus, DataError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let missing =
        || DataError::NotFetched { name: name.into(), folder: folder.join(name).display().to_string() };
    if name.is_empty() || !name.chars().all(plain) {
        return Err(missing());
    }
    let mut files = fetched_files(name, folder).into_iter();
    let mut next = || files.next().filter(|file| file.is_file()).map(Files::from);
    let (Some(train), valid, test) = (next(), next(), next()) else { return Err(missing()) };
    let source = Source::Splits { train, valid, test };
    let mut corpus = Corpus::read_for_training(&source, options)?;
    corpus.name = name.into();
    Ok(corpus)
}
