//! Measures artifacts: quality, size and speed of a session opened on the file.

use nlpress_artifact::{Artifact, Sizes};
use nlpress_core::Seed;
use nlpress_eval::speed::BATCH;
use nlpress_eval::{Call, Contender, EvalError, Outcome, Pace, Scores, Speeds, Subject, SystemClock};
use nlpress_graph::{Form, Outline, Output, Source};
use nlpress_packed::{Activations, Scheme, Values};
use nlpress_runtime::{IntegerScratch, NotIntegers, RuntimeError, Scratch, Session, integer};
use nlpress_text::{AsInput, Document, Encode, Examples, ExamplesRef, TextError, TextInput};
use std::error::Error;
use std::path::Path;

use crate::report::Size;
use crate::ship::ShipError;

/// Texts that speed is measured on.
const TIMED_TEXTS: usize = 512;
/// Bytes of weights that all sessions may hold together while speed is measured, as long as each artifact has two.
const MOST_RESIDENT: usize = 1 << 30;

/// An artifact, opened once, with texts and the same texts encoded by itself.
#[derive(Debug)]
pub struct Served<'a> {
    session: Session,
    examples: Examples,
    texts: &'a [TextInput<'a>],
    scratch: Scratch,
    logits: Vec<f32>,
}

impl<'a> Served<'a> {
    /// Opens an artifact and encodes the texts.
    ///
    /// # Errors
    /// [`RuntimeError`] when it cannot be opened, [`EvalError`] when there are no texts.
    pub fn open(path: &Path, texts: &'a [TextInput<'a>]) -> Result<Self, MeasureError> {
        if texts.is_empty() {
            return Err(EvalError::Empty("texts").into());
        }
        let session = Session::open(path)?;
        let (examples, _) = session.encoder().encode_all(texts)?;
        let logits = vec![0.0; BATCH * session.outline().graph.outputs()];
        Ok(Self { session, examples, texts, scratch: Scratch::default(), logits })
    }

    /// Whether answers are classes; else they are embeddings, or numbers.
    fn classifies(&self) -> bool {
        self.session.outline().graph.output == Output::Logits
    }
}

impl Subject for Served<'_> {
    fn one(&mut self, call: usize) -> Outcome {
        let example = self.examples.get(call % self.examples.len());
        let outputs = self.session.outline().graph.outputs();
        self.session.logits_row(example, &mut self.logits[..outputs], &mut self.scratch)?;
        Ok(self.logits[0])
    }

    fn batch(&mut self, call: usize) -> Outcome {
        // So many rows in their order, and from the first again after the last.
        let outputs = self.session.outline().graph.outputs();
        let (mut first, mut done) = (call * BATCH % self.examples.len(), 0);
        while done < BATCH {
            let range = first..self.examples.len().min(first + BATCH - done);
            let out = &mut self.logits[done * outputs..][..range.len() * outputs];
            done += range.len();
            self.session.logits_rows(&self.examples, range, out, &mut self.scratch)?;
            first = 0;
        }
        Ok(self.logits[0])
    }

    fn text(&mut self, call: usize) -> Outcome {
        let text = &self.texts[call % self.texts.len()];
        let answer = match self.classifies() {
            true => self.session.score(text, &mut self.scratch)?,
            false => self.session.answer(text, &mut self.scratch)?,
        };
        Ok(answer[0])
    }

    fn pass(&mut self, threads: usize, most: usize) -> Result<usize, Box<dyn Error + Send + Sync>> {
        let texts = &self.texts[..self.texts.len().min(most)];
        Ok(match self.classifies() {
            true => self.session.predict_many(texts, threads)?.len(),
            false => self.session.answer_many(texts, threads)?.len() / self.session.outline().graph.outputs(),
        })
    }
}

/// The texts that speed is measured on: so many, spread evenly over the documents, and from the first again where
/// there are fewer.
fn timed_texts(documents: &[Document]) -> Vec<TextInput<'_>> {
    let many = documents.len();
    let place = |i| if many < TIMED_TEXTS { i % many } else { i * many / TIMED_TEXTS };
    let texts = if many == 0 { 0 } else { TIMED_TEXTS };
    (0..texts).map(|i| documents[place(i)].as_input()).collect()
}

/// Times artifacts, given by name and path, side by side: from text to answer, and the network alone. Each is opened
/// several times, the first twice as often; large ones less often. `watch` hears what is timed, again and again, and may stop it.
///
/// # Errors
/// [`RuntimeError`] when an artifact cannot be opened, [`EvalError`] when a call fails or there are no documents, and
/// whatever `watch` answers.
pub fn speeds<E: From<MeasureError>>(
    artifacts: &[(&str, &Path)],
    documents: &[Document],
    threads: &[usize],
    pace: Pace,
    mut watch: impl FnMut(Call) -> Result<(), E>,
) -> Result<Speeds, E> {
    let texts = timed_texts(documents);
    let mut contenders = open_all(artifacts, &texts, pace)?;
    let mut stopped = None;
    let heard = |call| {
        watch(call).map_err(|error| {
            stopped = Some(error);
            EvalError::Stopped
        })
    };
    let speeds = Speeds::measure(&mut contenders, threads, pace, &SystemClock::start(), heard);
    match stopped {
        Some(error) => Err(error),
        None => speeds.map_err(|e| MeasureError::from(e).into()),
    }
}

/// Opens every artifact several times, in an order in which none has a place in memory to itself.
fn open_all<'a>(
    artifacts: &[(&str, &Path)],
    texts: &'a [TextInput<'a>],
    pace: Pace,
) -> Result<Vec<Contender<Served<'a>>>, MeasureError> {
    let mut contenders = Vec::new();
    for (name, path) in artifacts {
        contenders.push(Contender { name: (*name).to_owned(), sessions: vec![Served::open(path, texts)?] });
    }
    let resident = |c: &Contender<Served<'_>>| c.sessions[0].session.resident_bytes();
    let once: usize = contenders.iter().map(resident).sum();
    let sessions = pace.with_sessions_up_to(MOST_RESIDENT / once.max(1)).sessions();
    let mut order: Vec<usize> = (0..artifacts.len()).flat_map(|who| vec![who; sessions - 1]).collect();
    order.extend(vec![0; sessions]);
    Seed(0).derive("openings").stream(0).shuffle(&mut order);
    for who in order {
        contenders[who].sessions.push(Served::open(artifacts[who].1, texts)?);
    }
    Ok(contenders)
}

/// Encodes documents with a session's own encoder.
///
/// # Errors
/// [`MeasureError::Text`] where its tokenizer fails at one.
pub fn encode(session: &Session, documents: &[Document]) -> Result<Examples, MeasureError> {
    Ok(session.encoder().encode_all(documents)?.0)
}

/// Logits and scores of a session on encoded documents.
///
/// # Errors
/// [`RuntimeError`] when the examples do not fit, [`EvalError`] when a logit is no number.
pub fn score(
    session: &Session,
    examples: &Examples,
    labels: &[u32],
) -> Result<(Vec<f32>, Scores), MeasureError> {
    let logits = session.logits(examples)?;
    let outputs = session.outline().graph.outputs();
    let predictions = logits.chunks_exact(outputs).map(|row| session.class(row) as u32).collect();
    let scores = Scores::decided(predictions, &logits, outputs, labels)?;
    Ok((logits, scores))
}

/// Scores a session on texts that it answers in integers alone; the logits are scored as what they stand for.
///
/// # Errors
/// [`MeasureError::NotIntegers`] when it cannot, [`EvalError`] when there is nothing to score.
pub fn score_integers(
    session: &Session,
    documents: &[Document],
    labels: &[u32],
) -> Result<Scores, MeasureError> {
    let integers = session.in_integers()?;
    let mut scratch = IntegerScratch::default();
    let (mut logits, mut predictions) = (Vec::new(), Vec::new());
    for document in documents {
        let found = integers.logits(document, &mut scratch)?;
        predictions.push(integers.class(found) as u32);
        logits.extend(found.iter().map(|logit| *logit as f32 / integer::ONE as f32));
    }
    Ok(Scores::decided(predictions, &logits, session.outline().graph.outputs(), labels)?)
}

/// Whether any site's activations have a fixed scale, as they must have for inference in integers.
pub fn has_fixed_activations(session: &Session) -> bool {
    session.outline().sites.iter().any(|site| {
        matches!(site.form, Form::Packed(Scheme { values: Values::Int(int), .. }) if int.activations == Activations::Static)
    })
}

/// How large an artifact is; of one that reads tokens, how much it computes for a text as long as those of `test` are on
/// average.
///
/// # Errors
/// [`ShipError::Artifact`] when the file is not an artifact.
pub fn size<'a>(path: &Path, test: impl Into<ExamplesRef<'a>>) -> Result<Size, ShipError> {
    let artifact = Artifact::open(path)?;
    let Sizes { file_bytes, weight_bytes, vocabulary_bytes, unshrunk, .. } = artifact.sizes()?;
    let nonzeros: usize = artifact.layers.iter().map(|l| l.matrix.nonzeros()).sum();
    let outline = &artifact.outline;
    let of_tokens = |tokens: usize| {
        outline.graph.macs_of(tokens, |site, weights| {
            artifact.layers.iter().find(|l| l.id == *site).map_or(weights, |l| l.matrix.kept())
        })
    };
    let test = test.into();
    let (macs, mean) = match (outline.graph.source, test) {
        (Source::Tokens { most, .. }, ExamplesRef::Tokens(_)) => {
            let mean = test.entries() as f64 / test.len().max(1) as f64;
            (of_tokens(most), Some(of_tokens(mean.round() as usize)))
        }
        (Source::Tokens { most, .. }, ExamplesRef::Features(_)) => (of_tokens(most), None),
        (Source::Features { .. } | Source::Bag { .. }, _) => (outline.macs(), None),
    };
    Ok(Size {
        file_bytes,
        weight_bytes,
        vocabulary_bytes,
        unshrunk,
        parameters: outline.parameters() as u64,
        nonzeros: nonzeros as u64,
        macs: macs as u64,
        mean_macs: mean.map(|macs| macs as u64),
    })
}

/// A session that cannot be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeasureError {
    /// The session refused.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// A text cannot be encoded.
    #[error("a text cannot be encoded: {0}")]
    Text(#[from] TextError),
    /// It cannot answer in integers.
    #[error("it cannot answer in integers: {0}")]
    NotIntegers(#[from] NotIntegers),
    /// The numbers cannot be scored.
    #[error(transparent)]
    Eval(#[from] EvalError),
}

/// Largest difference of two rows of logits (not a number, when one is none), and the largest magnitude of the first.
pub(crate) fn apart(a: &[f32], b: &[f32]) -> (f32, f32) {
    let larger = |most: f32, x: f32| if x.is_nan() || x > most { x } else { most };
    let difference = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, larger);
    (difference, a.iter().fold(0.0, |m, x| x.abs().max(m)))
}

/// How far the logits of a model in memory and of its written artifact may lie apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// Both add the same floats, in another order. Half floats and codebooks are floats too: what the file holds is
    /// widened to exactly the numbers of the model.
    Floats,
    /// Activations are rounded to integers before they are multiplied. Where the sum before the rounding differs in its
    /// last bit, a tie falls the other way, one activation differs by a whole step, and in a deep network so do more and more
    /// behind it: a text at the border of two classes is then as far off as the rounding itself puts it. Over all, logits agree.
    Integers,
}

impl Rounding {
    pub(crate) fn of(outline: &Outline) -> Self {
        let integers = |form: Form| matches!(form, Form::Packed(Scheme { values: Values::Int(_), .. }));
        if outline.sites.iter().any(|site| integers(site.form)) { Self::Integers } else { Self::Floats }
    }

    /// The largest difference, and its root mean square, as shares of the largest logit, or of 1 where that is larger.
    pub(crate) fn tolerance(self) -> [f32; 2] {
        match self {
            Self::Floats => [1e-4; 2],
            Self::Integers => [0.5, 0.05],
        }
    }
}

/// Whether logits of memory and file agree; gives their largest difference.
pub(crate) fn agree(memory: &[f32], file: &[f32], rounding: Rounding) -> Result<f32, String> {
    if memory.len() != file.len() {
        return Err(format!("the artifact gives {} logits, the model {}", file.len(), memory.len()));
    }
    let (difference, largest) = apart(memory, file);
    let squares = memory.iter().zip(file).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
    let mean = (squares / memory.len().max(1) as f64).sqrt() as f32;
    let [most, most_mean] = rounding.tolerance().map(|share| share * largest.max(1.0));
    if difference <= most && mean <= most_mean {
        return Ok(difference);
    }
    Err(format!(
        "the artifact's logits differ from the model's by up to {difference:e} and {mean:e} in the root mean square, more than \
         {most:e} or {most_mean:e}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_model::{Graph, MlpSpec};
    use nlpress_packed::{Grid, Index, Per};

    #[test]
    fn only_integers_are_rounded_on_their_way() {
        let mut outline = Outline::dense(&Graph::from(MlpSpec::new(4, &[3], 2, 0.0)));
        assert_eq!(Rounding::of(&outline), Rounding::Floats);
        for (values, rounding) in [
            (Values::F16, Rounding::Floats),
            (Values::Bf16, Rounding::Floats),
            (Values::int(Grid::Int4, Per::Channel), Rounding::Integers),
        ] {
            outline.sites[1].form = Form::Packed(Scheme { values, index: Index::Full });
            assert_eq!(Rounding::of(&outline), rounding, "{values:?}");
        }
    }

    #[test]
    fn logits_agree_within_what_their_numbers_excuse() {
        let memory = [2.0, -1.0];
        assert!(agree(&memory, &[2.0001, -1.0], Rounding::Floats).is_ok());
        assert!(agree(&memory, &[2.001, -1.0], Rounding::Floats).unwrap_err().contains("differ"));
        assert!(agree(&memory, &[2.13, -1.0], Rounding::Integers).is_ok());
        assert!(agree(&memory, &[2.15, -1.0], Rounding::Integers).is_err());
        // One in a hundred may be farther off, though not by any distance.
        let many = |first: f32| [&[first][..], &[2.0; 99]].concat();
        assert!(agree(&many(2.0), &many(2.9), Rounding::Integers).is_ok_and(|most| most > 0.89));
        assert!(agree(&many(2.0), &many(3.1), Rounding::Integers).is_err());
        assert!(agree(&memory, &[f32::NAN, -1.0], Rounding::Integers).is_err());
        assert!(agree(&memory, &memory[..1], Rounding::Floats).is_err());
    }

    #[test]
    fn timed_texts_are_spread_over_all_documents() {
        let documents = |many: usize| -> Vec<Document> {
            (0..many).map(|n| Document { text: n.to_string(), pair: None, label: 0 }).collect()
        };
        let timed_texts =
            |documents| timed_texts(documents).iter().map(|input| input.text).collect::<Vec<_>>();
        assert!(timed_texts(&[]).is_empty());
        let (three, many) = (documents(3), documents(5120));
        assert_eq!(timed_texts(&three)[..4], ["0", "1", "2", "0"]);
        assert_eq!((timed_texts(&three).len(), timed_texts(&many).len()), (512, 512));
        assert_eq!(timed_texts(&many)[..3], ["0", "10", "20"]);
        assert_eq!(timed_texts(&many)[511], "5110");
    }
}
