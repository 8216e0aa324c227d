//! What is tried: first what usually pays, then changes to what has been found.
//!
//! The first candidates follow what recipes of this project have shown on their corpora: the vocabulary is most of a small
//! file, so words go before bits do; a linear model of 8 bits is hard to beat; and with few words a small network that
//! learns from a model of all words is better than one that learns from labels alone.

use nlpress_core::seed::Rng;
use nlpress_text::{Analyzer, BagEncoder, Boundaries, Corpus, Coverage, EncoderConfig, TextError, corpus};

use crate::candidate::{Base, Candidate, How, Numbers, Student, Training};
use crate::limits::Limits;
use crate::trial::{Opened, Trial, base_of};

/// Words that a base reads at most.
const MOST_WORDS: usize = 50_000;

/// From this share of tokens that are characters of a script without spaces on, tokens are runs of characters.
const SINGLES: f64 = 0.3;

/// From this share of documents with emoticons and the like on, signs are tried as tokens.
const SYMBOLS: f64 = 0.05;

/// Bytes of a file without words and weights.
const FRAME: f64 = 2200.0;

/// How much longer a word is in the file when its neighbours are gone: they share beginnings.
const LONELY: f64 = 1.15;

/// The bases to try, the one that works everywhere first.
pub(crate) fn bases(corpus: &Corpus) -> Result<Vec<Base>, TextError> {
    let documents = corpus.train.len();
    let usual = EncoderConfig {
        vocabulary: MOST_WORDS,
        min_documents: if documents >= 500 { 2 } else { 1 },
        sublinear: true,
        ..EncoderConfig::default()
    };
    let words = Analyzer::Words { min_length: 1, boundaries: Boundaries::Unicode };
    let with = |analyzer: Analyzer, word_ngrams: [usize; 2], symbols: bool| EncoderConfig {
        analyzer,
        word_ngrams,
        symbols,
        ..usual.clone()
    };
    let texts = || corpus::texts(&corpus.train);
    let plain = with(words, [1, 1], false);
    let seen = match BagEncoder::fit(&plain, texts()) {
        Ok(encoder) => Some(Coverage::of(&encoder, texts())),
        Err(_) => None, // no words at all
    };
    let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
    let singles = seen.as_ref().is_none_or(|s| share(s.singles as usize, s.tokens as usize) >= SINGLES);
    let symbols = seen
        .as_ref()
        .is_none_or(|s| share(s.documents_with_symbols as usize, s.documents as usize) >= SYMBOLS);
    let encoders = match singles {
        true => vec![
            with(Analyzer::characters(1, 2), [1, 1], false),
            with(Analyzer::characters(1, 3), [1, 1], false),
        ],
        false => {
            let inside = Analyzer::Characters { min: 3, max: 5, within_words: true };
            let mut encoders = vec![plain, with(words, [1, 2], false), with(inside, [1, 1], false)];
            if symbols {
                encoders.insert(2, with(words, [1, 2], true));
            }
            encoders
        }
    };
    let epochs = (150_000 / documents.max(1)).clamp(6, 40) as u32;
    let linear = Training { epochs, learning_rate: 5e-3, weight_decay: 0.0 };
    let deep = Training { epochs: epochs.div_ceil(2), learning_rate: 1e-3, weight_decay: 0.0 };
    let base = |encoder: &EncoderConfig, hidden: &[usize], fit| Base {
        encoder: encoder.clone(),
        hidden: hidden.to_vec(),
        dropout: if hidden.is_empty() { 0.0 } else { 0.5 },
        fit,
    };
    let shallow = encoders.iter().map(|e| base(e, &[], linear));
    let hidden = encoders.iter().take(2).map(|e| base(e, &[64], deep));
    Ok(shallow.chain(hidden).collect())
}

/// What is known of sizes: the shape of the answer, and how far predictions were off so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) outputs: usize,
    /// Bytes of files over predicted bytes, the mean.
    pub(crate) correction: f64,
}

impl Sizes {
    /// What is learnt from trials.
    pub(crate) fn learn(outputs: usize, trials: &[Trial], opened: &[Opened]) -> Self {
        let plain = Self { outputs, correction: 1.0 };
        let ratios = trials.iter().filter_map(|trial| {
            let of = base_of(opened, &trial.candidate)?;
            Some(trial.bytes as f64 / plain.bytes(&trial.candidate, of))
        });
        let (sum, count) = ratios.fold((0.0, 0.0), |(sum, count), ratio| (sum + ratio, count + 1.0));
        Self { correction: if count > 0.0 { sum / count } else { 1.0 }, ..plain }
    }

    /// Predicted bytes of a candidate's file.
    pub(crate) fn bytes(&self, candidate: &Candidate, opened: &Opened) -> f64 {
        let Student { keep, sparsity, numbers, .. } = &candidate.student;
        let keep = (*keep).min(opened.width) as f64;
        let [of_word, fixed] = self.parts(candidate.hidden(), *numbers, *sparsity, opened);
        self.correction * (fixed + keep * of_word)
    }

    /// How many words fit into a file of so many bytes.
    pub(crate) fn words(&self, bytes: f64, candidate: &Candidate, opened: &Opened) -> usize {
        let Student { sparsity, numbers, .. } = &candidate.student;
        let [of_word, fixed] = self.parts(candidate.hidden(), *numbers, *sparsity, opened);
        let words = (bytes / self.correction - fixed) / of_word;
        (words.max(8.0) as usize).min(opened.width)
    }

    /// Bytes of a word, and of what does not grow with words.
    fn parts(&self, hidden: &[usize], numbers: Numbers, sparsity: f64, opened: &Opened) -> [f64; 2] {
        let byte = numbers.bits() / 8.0;
        // A sparse entry costs about two bits more to find.
        let entry = if sparsity > 0.0 { ((1.0 - sparsity) * (byte + 0.5)).min(byte) } else { byte };
        let widths: Vec<usize> = hidden.iter().copied().chain([self.outputs]).collect();
        let later: usize = widths.windows(2).map(|w| w[0] * w[1]).sum();
        let biases: usize = widths.iter().sum();
        let of_word = LONELY * opened.word_bytes + entry * widths[0] as f64;
        [of_word, FRAME + entry * later as f64 + 8.0 * biases as f64]
    }
}

/// What usually pays, for one base: the best first.
pub(crate) fn usual(opened: &Opened, strongest: bool, limits: &Limits, sizes: &Sizes) -> Vec<Candidate> {
    let epochs = opened.base.fit.epochs;
    let tuned = How::Tuned(Training { epochs: epochs.div_ceil(3), learning_rate: 3e-3, weight_decay: 0.0 });
    let fit = Training { epochs: (2 * epochs).min(40), learning_rate: 3e-3, weight_decay: 0.0 };
    let taught = |width: usize| How::Distilled { hidden: vec![width], temperature: 2.0, alpha: 0.7, fit };
    let student = |keep, how: &How, numbers| Candidate {
        base: opened.base.clone(),
        student: Student { keep, contribution: true, how: how.clone(), sparsity: 0.0, numbers },
    };
    let ways: Vec<(How, Numbers)> = match opened.base.hidden.is_empty() {
        true => vec![(tuned.clone(), Numbers::Int8), (taught(16), Numbers::Int8), (tuned, Numbers::Int4)],
        false => vec![(taught(16), Numbers::Int8), (taught(8), Numbers::Int4)],
    };
    let ladder: &[usize] = if strongest { &[8000, 2000, 500] } else { &[4000] };
    let mut candidates = Vec::new();
    for (how, numbers) in &ways {
        match limits.max_bytes {
            Some(most) => {
                let mut candidate = student(opened.width, how, *numbers);
                candidate.student.keep = sizes.words(0.95 * most as f64, &candidate, opened);
                candidates.push(candidate);
            }
            None => {
                candidates.extend(ladder.iter().map(|&keep| student(keep.min(opened.width), how, *numbers)))
            }
        }
    }
    candidates
}

/// A change to a candidate that was made: one or two of its choices.
pub(crate) fn changed(
    parent: &Candidate,
    opened: &[Opened],
    limits: &Limits,
    sizes: &Sizes,
    rng: &mut Rng,
) -> Candidate {
    let mut child = parent.clone();
    for _ in 0..=rng.below(2) {
        change(&mut child, opened, rng);
    }
    let Some(of) = base_of(opened, &child) else { return child };
    child.student.keep = child.student.keep.clamp(8, of.width.max(8));
    if let Some(most) = limits.max_bytes {
        let (least, most) = (0.7 * most as f64, 0.96 * most as f64);
        let bytes = sizes.bytes(&child, of);
        if bytes > most || (bytes < least && rng.below(2) == 0) {
            child.student.keep = sizes.words(most, &child, of);
        }
    }
    child
}

fn pick<T: Clone>(of: &[T], rng: &mut Rng) -> T {
    of[rng.below(of.len())].clone()
}

fn change(child: &mut Candidate, opened: &[Opened], rng: &mut Rng) {
    let student = &mut child.student;
    match rng.below(9) {
        0 | 1 => student.keep = (student.keep as f64 * pick(&[0.5, 0.7, 0.85, 1.2, 1.4, 2.0], rng)) as usize,
        2 => student.numbers = pick(&[Numbers::Int8, Numbers::Int4, Numbers::Int2, Numbers::Ternary], rng),
        3 => student.sparsity = pick(&[0.0, 0.5, 0.7, 0.85], rng),
        4 => student.contribution = !student.contribution,
        5 | 6 => student.how = other_network(&student.how, rng),
        7 => {
            let (How::Tuned(fit) | How::Distilled { fit, .. }) = &mut student.how;
            let epochs = (f64::from(fit.epochs) * pick(&[0.5, 1.5, 2.0], rng)).round();
            fit.epochs = (epochs as u32).clamp(1, 60);
            fit.learning_rate = (fit.learning_rate * pick(&[0.4, 0.7, 1.0, 1.5, 2.5], rng)).clamp(1e-4, 5e-2);
            fit.weight_decay = pick(&[0.0, 0.0, 1e-2, 1e-1], rng);
        }
        _ => child.base = opened[rng.below(opened.len())].base.clone(),
    }
}

fn other_network(how: &How, rng: &mut Rng) -> How {
    let hidden = pick(&[vec![], vec![4], vec![8], vec![12], vec![16], vec![24], vec![32], vec![64]], rng);
    let (temperature, alpha) = (pick(&[1.0, 2.0, 3.0, 4.0], rng), pick(&[0.3, 0.5, 0.7, 0.9], rng));
    let fit = match how {
        How::Distilled { fit, .. } => *fit,
        How::Tuned(fit) => Training { epochs: (3 * fit.epochs).clamp(5, 40), learning_rate: 3e-3, ..*fit },
    };
    How::Distilled { hidden, temperature, alpha, fit }
}
