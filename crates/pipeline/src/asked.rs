//! What frozen networks answer to texts and to tokens. None is asked about the same twice, and what was answered can be
//! kept on disk.

use nlpress_core::event::{Event, Sink};
use nlpress_core::{Backend, files};
use nlpress_runtime::Session;
use nlpress_technique::{AnswerStore, Answers, Ask, StepError};
use nlpress_text::{Encode, TextInput};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::failure::RunError;
use crate::measure::MeasureError;

/// Inputs that are asked about between two looks at whether to stop.
const A_LOOK: usize = 128;
/// What a file of answers begins with.
const MAGIC: &[u8] = b"nlpress answers 1\n";
/// Letters of an input's hash, and of the hash at the end of a file.
const HASH: usize = 32;
/// Largest file of answers that is read or written.
const LARGEST: u64 = 2 << 30;

/// Who asks.
#[derive(Clone, Copy)]
#[allow(missing_debug_implementations)] // sinks have none
pub struct Asking<'a> {
    /// Where a probe is trained.
    pub backend: &'a Backend,
    /// Threads on which networks are asked.
    pub threads: usize,
    /// Who listens.
    pub sink: &'a dyn Sink,
}

/// What a teacher says of the documents of a corpus, but for the test documents.
#[derive(Debug)]
pub struct Taught {
    /// Its logits.
    pub answers: Answers,
    /// Share of the validation documents that it is right about.
    pub right: f64,
    /// Where it makes embeddings, the probe of them by which it teaches.
    pub probed: Option<Probed>,
}

/// A linear probe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probed {
    /// Numbers of an embedding.
    pub numbers: usize,
    /// What an error cost in its training, beside the penalty on weights.
    pub cost: f64,
}

/// Answers by the SHA-256 of the network's artifact or name, and the folder where they are kept, if any.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    folder: Option<PathBuf>,
    known: Mutex<BTreeMap<String, Known>>,
}

/// What one network answered.
#[derive(Debug, Default, PartialEq)]
struct Known {
    /// Numbers of an answer.
    width: usize,
    /// Where the answer to each input is, by the input's hash.
    places: HashMap<String, usize>,
    numbers: Vec<f32>,
}

/// A network, the SHA-256 of its artifact, and on how many threads it is asked.
#[derive(Clone, Copy)]
pub(crate) struct Frozen<'a> {
    pub(crate) session: &'a Session,
    pub(crate) sha256: &'a str,
    pub(crate) threads: usize,
}

impl Asked {
    /// Answers that are kept in a folder.
    pub(crate) fn kept_in(folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()), known: Mutex::default() }
    }

    /// What the network makes of each text, `[texts, outputs]`.
    ///
    /// # Errors
    /// [`RunError`] when a text cannot be answered, a file not be written, or the sink says to stop.
    pub(crate) fn ask(
        &self,
        frozen: Frozen<'_>,
        texts: &[TextInput<'_>],
        sink: &dyn Sink,
    ) -> Result<Vec<f32>, RunError> {
        let width = frozen.session.outline().graph.outputs();
        let network = (frozen.sha256, width);
        self.answered(
            network,
            texts.iter().copied().map(hash_of).collect(),
            |i| texts[i].text.len() + texts[i].pair.map_or(0, str::len),
            |some, (done, total)| {
                sink.say(&Event::Progress { what: "asking the teacher".into(), done, total })?;
                let some: Vec<TextInput<'_>> = some.iter().map(|i| texts[*i]).collect();
                let (examples, _) = frozen.session.encoder().encode_all(&some).map_err(MeasureError::from)?;
                Ok(frozen.session.logits_many(&examples, frozen.threads).map_err(MeasureError::from)?)
            },
        )
    }

    /// What a network makes of inputs of these hashes, `[inputs, width]`. `ask` is asked about those that nobody asked about, some of like
    /// lengths at a time, and told about how many it was asked before, and about how many it will be.
    fn answered<E: From<RunError>>(
        &self,
        (network, width): (&str, usize),
        hashes: Vec<String>,
        length: impl Fn(usize) -> usize,
        ask: impl FnMut(&[usize], (u64, u64)) -> Result<Vec<f32>, E>,
    ) -> Result<Vec<f32>, E> {
        // Whoever else wants answers waits here, in place of asking too.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains_key(network) {
            let found = self.file(network).and_then(|file| Known::open(&file, width));
            let fresh = Known { width, ..Known::default() };
            known.insert(network.to_owned(), found.unwrap_or(fresh));
        }
        let lost = || RunError::Internal("an answer is missing".into());
        let of = known.get_mut(network).ok_or_else(lost)?;
        let mut wanted: Vec<usize> =
            (0..hashes.len()).filter(|i| !of.places.contains_key(&hashes[*i])).collect();
        wanted.sort_by(|a, b| hashes[*a].cmp(&hashes[*b]));
        wanted.dedup_by(|a, b| hashes[*a] == hashes[*b]);
        wanted.sort_by_key(|i| (length(*i), *i));
        let all_asked = of.ask(&wanted, &hashes, ask);
        // What was answered until a stop is kept, too.
        if let (Some(file), false) = (self.file(network), wanted.is_empty()) {
            of.save(&file)?;
        }
        all_asked?;
        let mut all = Vec::with_capacity(hashes.len() * width);
        for hash in &hashes {
            let place = of.places.get(hash).ok_or_else(lost)?;
            all.extend_from_slice(&of.numbers[place * width..(place + 1) * width]);
        }
        Ok(all)
    }

    fn file(&self, network: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(format!("{}.answers", &network[..HASH])))
    }
}

impl AnswerStore for Asked {
    fn answers(
        &self,
        (network, width): (&str, usize),
        inputs: &[String],
        ask: Ask<'_>,
    ) -> Result<Vec<f32>, StepError> {
        let network = files::sha256_hex(network.as_bytes());
        let hashes = inputs.iter().map(|input| hash(input.as_bytes())).collect();
        self.answered((&network, width), hashes, |_| 0, |some, _| ask(some))
    }
}

impl From<RunError> for StepError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Stopped(stopped) => Self::Stopped(stopped),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl Known {
    /// Asks about inputs that are wanted.
    fn ask<E>(
        &mut self,
        wanted: &[usize],
        hashes: &[String],
        mut ask: impl FnMut(&[usize], (u64, u64)) -> Result<Vec<f32>, E>,
    ) -> Result<(), E> {
        for (n, some) in wanted.chunks(A_LOOK).enumerate() {
            let numbers = ask(some, ((n * A_LOOK) as u64, wanted.len() as u64))?;
            for i in some {
                self.places.insert(hashes[*i].clone(), self.places.len());
            }
            self.numbers.extend(numbers);
        }
        Ok(())
    }

    /// Reads a file; nothing where it is not there, is damaged, or of another width: then texts are asked about again.
    fn open(file: &Path, width: usize) -> Option<Self> {
        let bytes = files::read_bounded(file, LARGEST).ok()?;
        let (body, end) = bytes.split_at_checked(bytes.len().checked_sub(HASH)?)?;
        let answers = body.strip_prefix(MAGIC).filter(|_| hash(body).as_bytes() == end)?;
        let (found, answers) = answers.split_at_checked(8)?;
        let each = HASH + 4 * width;
        if found != (width as u64).to_le_bytes() || answers.len() % each != 0 {
            return None;
        }
        let mut known = Self { width, ..Self::default() };
        for answer in answers.chunks_exact(each) {
            let (text, numbers) = answer.split_at(HASH);
            known.places.insert(std::str::from_utf8(text).ok()?.to_owned(), known.places.len());
            let number = |four: &[u8]| f32::from_le_bytes([four[0], four[1], four[2], four[3]]);
            known.numbers.extend(numbers.chunks_exact(4).map(number));
        }
        let whole = known.places.len() * width == known.numbers.len();
        (whole && known.numbers.iter().all(|x| x.is_finite())).then_some(known)
    }

    /// Writes the file, unless it would be too large to be read.
    fn save(&self, file: &Path) -> Result<(), RunError> {
        let mut texts: Vec<(&String, usize)> =
            self.places.iter().map(|(text, place)| (text, *place)).collect();
        texts.sort_by_key(|(_, place)| *place);
        let mut bytes = MAGIC.to_vec();
        bytes.extend((self.width as u64).to_le_bytes());
        for (text, place) in texts {
            bytes.extend(text.as_bytes());
            let numbers = &self.numbers[place * self.width..(place + 1) * self.width];
            numbers.iter().for_each(|x| bytes.extend(x.to_le_bytes()));
        }
        let end = hash(&bytes);
        bytes.extend(end.as_bytes());
        if bytes.len() as u64 > LARGEST {
            return Ok(());
        }
        let failed = |e| RunError::Write(file.to_owned(), e);
        file.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed)?;
        files::write_atomically(file, &bytes).map_err(failed)
    }
}

fn hash(bytes: &[u8]) -> String {
    files::sha256_hex(bytes)[..HASH].to_owned()
}

/// The hash of a text; of a pair, that of the hashes of both.
fn hash_of(input: TextInput<'_>) -> String {
    match input.pair {
        None => hash(input.text.as_bytes()),
        Some(pair) => hash((hash(input.text.as_bytes()) + &hash(pair.as_bytes())).as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_artifact::{Artifact, EncoderParts, Layer, Provenance};
    use nlpress_core::event::{Flow, Quiet};
    use nlpress_graph::{Graph, MlpSpec, Outline};
    use nlpress_packed::Matrix;
    use nlpress_text::{BagEncoder, EncoderConfig};

    /// Says how many of three words there are: twice each, in three numbers.
    fn session() -> Session {
        let encoder = BagEncoder::fit(&EncoderConfig::default(), ["red", "green", "blue"]).unwrap();
        let outline = Outline::dense(&Graph::from(MlpSpec::new(3, &[], 3, 0.0)));
        let matrix = Matrix::dense(3, 3, vec![2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 2.0]).unwrap();
        let layers = vec![Layer { id: outline.sites[0].id.clone(), matrix, bias: vec![0.0; 3] }];
        let (config, blob) = encoder.to_parts();
        let labels = ["a", "b", "c"].map(str::to_owned).to_vec();
        let parts = EncoderParts { config, blob };
        let artifact = Artifact::new(outline, layers, Vec::new(), labels, parts, Provenance::default());
        Session::from_artifact(artifact.unwrap()).unwrap()
    }

    /// Stops whoever asks a network.
    struct NoMore;

    impl Sink for NoMore {
        fn push(&self, _: &Event) -> Flow {
            Flow::Stop
        }
    }

    #[test]
    fn no_text_is_asked_about_twice_by_whoever_reads_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (session, sha256) = (session(), "5".repeat(64));
        let frozen = Frozen { session: &session, sha256: &sha256, threads: 1 };
        let texts = ["blue", "red green", "blue", "", "green"].map(TextInput::from);
        let asked = Asked::kept_in(folder.path());
        let first = asked.ask(frozen, &texts, &Quiet).unwrap();
        assert_eq!(first.len(), texts.len() * 3);
        assert_eq!(first[..3], first[6..9]);
        for (text, numbers) in texts.iter().zip(first.chunks(3)) {
            assert_eq!(session.answer(text, &mut nlpress_runtime::Scratch::default()).unwrap(), numbers);
        }
        assert_eq!(asked.ask(frozen, &texts[1..], &NoMore).unwrap(), first[3..]);
        let later = Asked::kept_in(folder.path());
        assert_eq!(later.ask(frozen, &texts, &NoMore).unwrap(), first);
        assert!(later.ask(frozen, &["red".into()], &NoMore).is_err());
        let other = Frozen { sha256: &"6".repeat(64), ..frozen };
        assert!(later.ask(other, &texts, &NoMore).is_err());
    }

    #[test]
    fn steps_find_what_steps_have_asked_before() {
        let folder = tempfile::tempdir().unwrap();
        let inputs = ["a", "b", "a", "c"].map(str::to_owned);
        let mut asked = Vec::new();
        let mut ask = |some: &[usize]| {
            asked.extend_from_slice(some);
            Ok(some.iter().flat_map(|i| [*i as f32, 0.5]).collect())
        };
        let expected = [0.0, 0.5, 1.0, 0.5, 0.0, 0.5, 3.0, 0.5];
        for _ in 0..2 {
            let store = Asked::kept_in(folder.path());
            assert_eq!(store.answers(("one", 2), &inputs, &mut ask).unwrap(), expected);
        }
        let store = Asked::kept_in(folder.path());
        assert_eq!(store.answers(("other", 2), &inputs[3..], &mut ask).unwrap(), [0.0, 0.5]);
        assert_eq!(asked, [0, 1, 3, 0]);
        let refuse = &mut |_: &[usize]| Err(StepError::Failed("no".into()));
        let error = store.answers(("third", 2), &inputs, refuse).unwrap_err();
        assert_eq!(error.to_string(), "no");
    }

    #[test]
    fn a_damaged_file_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let (session, sha256) = (session(), "7".repeat(64));
        let frozen = Frozen { session: &session, sha256: &sha256, threads: 1 };
        let asked = Asked::kept_in(folder.path());
        asked.ask(frozen, &["red", "blue"].map(TextInput::from), &Quiet).unwrap();
        let file = asked.file(&sha256).unwrap();
        let whole = std::fs::read(&file).unwrap();
        assert!(Known::open(&file, 3).is_some() && Known::open(&file, 2).is_none());
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&file, &bytes).unwrap();
            assert_eq!(Known::open(&file, 3), None, "byte {at}");
            std::fs::write(&file, &whole[..at]).unwrap();
            assert_eq!(Known::open(&file, 3), None, "cut at {at}");
        }
    }
}
