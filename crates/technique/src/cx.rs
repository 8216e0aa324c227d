//! A step's whole world: what a technique may look at and listen to while it runs. There are no globals.

use nlpress_core::event::{Event, Sink};
use nlpress_core::shown::counted;
use nlpress_core::{Backend, Measurement, Peers, Seed};
use nlpress_model::{Dataset, Model, Network};
use nlpress_text::{AnyEncoder, Encode, Examples};
use nlpress_train::{Loss, Scores};

use std::path::Path;

use crate::StepError;

/// What a technique needs to run, beyond the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// It looks at what training rows put into the network: calibration.
    pub inputs: bool,
    /// It looks at labels, of training or validation rows: it trains, takes derivatives of a loss, or measures one.
    pub labels: bool,
    /// It looks at validation rows.
    pub validation: bool,
    /// It learns from another model.
    pub teacher: bool,
}

impl Needs {
    /// Rows to calibrate by, whatever their labels.
    pub const INPUTS: Self = Self { inputs: true, labels: false, validation: false, teacher: false };
    /// Training rows with their labels.
    pub const LABELS: Self = Self { labels: true, ..Self::INPUTS };
    /// The loss on validation rows.
    pub const VALIDATION: Self = Self { inputs: false, labels: true, validation: true, teacher: false };
    /// All of both: what a training on labels looks at.
    pub const TRAINING: Self = Self { validation: true, ..Self::LABELS };

    /// What both need.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            inputs: self.inputs || other.inputs,
            labels: self.labels || other.labels,
            validation: self.validation || other.validation,
            teacher: self.teacher || other.teacher,
        }
    }

    /// These needs where `needed`, else none.
    #[must_use]
    pub fn when(self, needed: bool) -> Self {
        if needed { self } else { Self::default() }
    }
}

/// The model to learn from, with the rows it reads: the documents of [`Cx::train`] and [`Cx::valid`] in the same
/// order, in the teacher's own features, which need not be the student's.
#[derive(Clone, Copy, Debug)]
pub struct Teacher<'a> {
    /// The model.
    pub model: &'a Model,
    /// Its training rows.
    pub train: &'a Dataset,
    /// Its validation rows.
    pub valid: &'a Dataset,
}

/// The logits of a teacher that is no model of the run, `[documents, outputs]`: over the documents of [`Cx::train`],
/// [`Cx::valid`] and [`Cx::unlabelled`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    /// Logits of a document.
    pub outputs: usize,
    /// Over the training documents.
    pub train: Vec<f32>,
    /// Over the validation documents.
    pub valid: Vec<f32>,
    /// Over the documents without labels.
    pub unlabelled: Vec<f32>,
}

/// Documents without labels, which a student can learn from by what its teacher says of them.
#[derive(Clone, Copy, Debug)]
pub struct Unlabelled<'a> {
    /// In the features of the model.
    pub own: &'a Examples,
    /// In those of the teacher.
    pub of_teacher: &'a Examples,
}

/// Answers, `[inputs, width]`, to the inputs of these numbers.
pub type Ask<'a> = &'a mut dyn FnMut(&[usize]) -> Result<Vec<f32>, StepError>;

/// Keeps what frozen networks answer, so that no step asks one about the same input again.
pub trait AnswerStore: std::fmt::Debug + Sync {
    /// A network's answers to inputs, `[inputs, width]`; those that are not there yet `ask` gives, some at a time, by the
    /// numbers of their inputs.
    ///
    /// Networks and inputs have names: whatever an answer depends on must be in one of them.
    ///
    /// # Errors
    /// [`StepError`] as `ask` gives it, or when answers cannot be written.
    fn answers(&self, network: (&str, usize), inputs: &[String], ask: Ask<'_>)
    -> Result<Vec<f32>, StepError>;
}

/// A file that a training is written to on the way, and may go on from.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoint<'a> {
    /// The file.
    pub path: &'a Path,
    /// Whether to go on from it when it is there.
    pub resume: bool,
}

/// A step's whole world.
#[derive(Clone)]
pub struct Cx<'a> {
    /// Root of all its random choices.
    pub seed: Seed,
    /// Where tensors live.
    pub backend: &'a Backend,
    /// Threads it may use; the result must not depend on them.
    pub threads: usize,
    /// Other processes that do the same step at the same time, where there are some; the result must not depend on them.
    pub peers: Option<&'a dyn Peers>,
    /// Where a long training may be written on the way, where that is wanted.
    pub checkpoint: Option<Checkpoint<'a>>,
    /// Who listens, and may ask to stop.
    pub sink: &'a dyn Sink,
    /// Training rows; they have labels where the technique [needs](Needs::labels) them.
    pub train: &'a Dataset,
    /// Validation rows, likewise.
    pub valid: &'a Dataset,
    /// The model to learn from.
    pub teacher: Option<Teacher<'a>>,
    /// What is said by a teacher that is learnt from in place of that model.
    pub answers: Option<&'a Answers>,
    /// Where answers of frozen networks are kept for other steps, if anywhere.
    pub store: Option<&'a dyn AnswerStore>,
    /// Documents that only the teacher says something of.
    pub unlabelled: Option<Unlabelled<'a>>,
    /// What made the rows of texts, where that is known: it names features and tokens.
    pub encoder: Option<&'a AnyEncoder>,
    /// Sentences for the report.
    pub notes: Vec<String>,
    /// Numbers for the report.
    pub measured: Vec<Measurement>,
}

impl<'a> Cx<'a> {
    /// A world of one thread, without a teacher and without an encoder; its fields are set from there.
    pub fn new(
        seed: Seed,
        backend: &'a Backend,
        (train, valid): (&'a Dataset, &'a Dataset),
        sink: &'a dyn Sink,
    ) -> Self {
        Self {
            seed,
            backend,
            threads: 1,
            peers: None,
            checkpoint: None,
            sink,
            train,
            valid,
            teacher: None,
            answers: None,
            store: None,
            unlabelled: None,
            encoder: None,
            notes: Vec::new(),
            measured: Vec::new(),
        }
    }

    /// Numbers of up to `most` training rows, each set of them as likely as any other, in the order in which they were
    /// drawn by the step's seed: the same rows for all that look at as many in a step.
    pub fn draw(&self, most: usize) -> Vec<usize> {
        let mut rows: Vec<usize> = (0..self.train.len()).collect();
        self.seed.derive("calibration").stream(0).shuffle(&mut rows);
        rows.truncate(most);
        rows
    }

    /// The same rows as of [`draw`](Cx::draw), ascending.
    pub fn draw_ascending(&self, most: usize) -> Vec<usize> {
        let mut rows = self.draw(most);
        rows.sort_unstable();
        rows
    }

    /// Rows of some of the current features only, as the narrowed encoder would make them.
    ///
    /// # Errors
    /// [`StepError::Failed`] when the positions do not ascend or are not there.
    pub fn narrowed(&self, data: &Dataset, kept: &[u32]) -> Result<Dataset, StepError> {
        // An encoder that scales every row to Euclidean length 1 scales rows of fewer features anew.
        let of_length_one = self.encoder.and_then(AnyEncoder::bag).is_some_and(|bag| bag.config().l2);
        let rows = data.features()?.keep_columns(kept, of_length_one)?;
        Ok(data.with_examples(rows)?)
    }

    /// What each feature or token id of the rows stands for; an id may stand for nothing.
    ///
    /// # Errors
    /// [`StepError::Missing`] when the encoder is not known, or is of another width.
    pub fn words(&self) -> Result<Vec<Option<&'a str>>, StepError> {
        let words = self.encoder.map(Encode::vocabulary);
        let fitting = words.filter(|words| words.len() == self.train.examples().width());
        fitting.ok_or(StepError::Missing("the names of the features"))
    }

    /// The features or tokens that stay whatever a selection leaves out, ascending: special tokens.
    pub fn always_kept(&self) -> Vec<u32> {
        self.encoder.map(Encode::always_kept).unwrap_or_default()
    }

    /// The features or tokens that stay where these are to: more, where an encoder needs others for them.
    ///
    /// # Errors
    /// [`StepError::Failed`] when they do not ascend or are not there.
    pub fn closed(&self, keep: &[u32]) -> Result<Vec<u32>, StepError> {
        Ok(self.encoder.map_or_else(|| Ok(keep.to_vec()), |encoder| encoder.closed(keep))?)
    }

    /// Puts a sentence into the report.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Puts a number into the report.
    pub fn measure(&mut self, measurement: Measurement) {
        self.measured.push(measurement);
    }

    /// Says how far the work is, and learns whether to stop.
    ///
    /// # Errors
    /// [`StepError::Stopped`].
    pub fn progress(&self, what: &str, done: usize, total: usize) -> Result<(), StepError> {
        let event = Event::Progress { what: what.into(), done: done as u64, total: total as u64 };
        Ok(self.sink.say(&event)?)
    }

    /// A model's logits over the validation rows, `[rows, outputs]`.
    ///
    /// # Errors
    /// [`StepError::Model`] when the rows are not as wide as the network, or the device fails; here and below.
    pub fn valid_logits(&self, model: &Model) -> Result<Vec<f32>, StepError> {
        Ok(Network::bind(model, self.backend).logits_of(self.valid)?)
    }

    /// Cross-entropy in nats and accuracy of a model on the validation rows.
    ///
    /// # Errors
    /// As [`valid_logits`](Cx::valid_logits), and when the rows have no labels; here and below.
    pub fn scores(&self, model: &Model) -> Result<Scores, StepError> {
        self.valid.labelled()?;
        Ok(Scores::of(&self.valid_logits(model)?, self.valid, Loss::CrossEntropy)?)
    }

    /// Cross-entropy of a model on the validation rows.
    ///
    /// # Errors
    /// As [`scores`](Cx::scores).
    pub fn loss(&self, model: &Model) -> Result<f64, StepError> {
        Ok(self.scores(model)?.loss)
    }

    /// Accuracy of a model on the validation rows.
    ///
    /// # Errors
    /// As [`scores`](Cx::scores).
    pub fn accuracy(&self, model: &Model) -> Result<f64, StepError> {
        Ok(self.scores(model)?.accuracy)
    }

    /// The model to learn from, with its own rows.
    ///
    /// # Errors
    /// [`StepError::Missing`] when the recipe gave none.
    pub fn teacher(&self) -> Result<Teacher<'a>, StepError> {
        self.teacher.ok_or(StepError::Missing("a teacher"))
    }

    /// The teacher's logits over the training and the validation rows, `[rows, outputs]` each, for a student of so
    /// many outputs.
    ///
    /// # Errors
    /// [`StepError`] when there is no teacher, or it does not fit its rows, the student's, or its outputs; or when
    /// asked to stop.
    pub fn ask_teacher(&self, outputs: usize) -> Result<(Vec<f32>, Vec<f32>), StepError> {
        self.progress("asking the teacher", 0, 2)?;
        if let Some(answers) = self.answers {
            same_outputs(answers.outputs, outputs)?;
            return Ok((answers.train.clone(), answers.valid.clone()));
        }
        let teacher = self.teacher()?;
        same_outputs(teacher.model.graph().outputs(), outputs)?;
        let ask = |rows: &Dataset, split: &str, expected: usize| {
            let (inputs, features) = (teacher.model.graph().inputs(), rows.examples().width());
            if inputs != features {
                return Err(StepError::Failed(format!(
                    "the teacher has {}, but its rows {}",
                    counted(inputs, "input"),
                    counted(features, "feature")
                )));
            }
            if rows.len() != expected {
                let found = rows.len();
                return Err(StepError::Failed(format!(
                    "the teacher has {found} {split} rows, the student {expected}: they must be the same documents"
                )));
            }
            Ok(Network::bind(teacher.model, self.backend).logits_of(rows)?)
        };
        let train = ask(teacher.train, "training", self.train.len())?;
        self.progress("asking the teacher", 1, 2)?;
        Ok((train, ask(teacher.valid, "validation", self.valid.len())?))
    }

    /// The documents without labels, and the teacher's logits over them, `[documents, outputs]`; nothing where there are
    /// none.
    ///
    /// # Errors
    /// As [`ask_teacher`](Cx::ask_teacher).
    pub fn ask_about_unlabelled(
        &self,
        outputs: usize,
    ) -> Result<Option<(&'a Examples, Vec<f32>)>, StepError> {
        let Some(unlabelled) = self.unlabelled else { return Ok(None) };
        self.progress("asking the teacher about texts without labels", 0, 1)?;
        let logits = match self.answers {
            Some(answers) => answers.unlabelled.clone(),
            None => {
                let teacher = self.teacher()?;
                Network::bind(teacher.model, self.backend).logits(unlabelled.of_teacher.view())?
            }
        };
        let expected = unlabelled.own.len() * outputs;
        if logits.len() != expected {
            let found = logits.len();
            return Err(StepError::Failed(format!(
                "the teacher gave {found} logits for texts without labels, which need {expected}"
            )));
        }
        Ok(Some((unlabelled.own, logits)))
    }
}

fn same_outputs(teacher: usize, student: usize) -> Result<(), StepError> {
    match teacher == student {
        true => Ok(()),
        false => Err(StepError::Failed(format!(
            "the teacher has {}, the student {student}: they must be the same",
            counted(teacher, "output")
        ))),
    }
}

impl std::fmt::Debug for Cx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cx {{ {:?}, {:?}, {} threads }}", self.seed, self.backend, self.threads)
    }
}
