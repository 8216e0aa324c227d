//! What is tried: first what usually pays, then changes to what has been found.
//!
//! The first candidates follow what recipes of this project have shown on their corpora: the vocabulary is most of a small
//! file, so words go before bits do; a linear model of 8 bits is hard to beat; with few words a small network that
//! learns from a model of all words is better than one that learns from labels alone; and with many classes a matrix of
//! low rank takes a word's bytes down from one a class to a few.

use nlpress_core::seed::Rng;
use nlpress_text::{
    Analyzer, BagEncoder, Boundaries, Corpus, Coverage, EncoderConfig, TextError, Weighting, corpus,
};

use crate::candidate::{Base, Candidate, How, Loss, Numbers, Reads, Steps, Student, Training, pick};
use crate::pretrained;
use crate::trial::{Opened, base_of};

/// Words that a base reads at most.
const MOST_WORDS: usize = 50_000;

/// From this share of tokens that are characters of a script without spaces on, tokens are runs of characters.
const SINGLES: f64 = 0.3;

/// From this share of documents with emoticons and the like on, signs are tried as tokens.
const SYMBOLS: f64 = 0.05;

/// From so many outputs on, a matrix of low rank is tried.
const MANY_OUTPUTS: usize = 6;

/// What an error costs in bases that are trained to their optimum, beside the penalty on weights.
const COSTS: [f64; 2] = [1.0, 0.25];

/// Bits of a weight in the files that buckets are counted for.
const HASHED_BITS: [usize; 2] = [4, 8];

/// Buckets at most: inputs of a matrix that can be quantized.
const MOST_BUCKETS: usize = 1 << 17;

/// Bytes of a file without words and weights, more than less.
const FRAME: usize = 3000;

/// Bytes of a word from which on tokens are hashed, too. Where words took 2 to 3, as in three corpora of films, books and
/// mails, the words that were chosen were better than as many bytes of buckets, by 0 to 1 point.
const COSTLY: usize = 4;

/// Kinds of features whose other models are trained, too: those of the best linear models.
const BEST_FEATURES: usize = 2;

/// Linear models of each kind of features, trained to their optimum at each cost, the one that works everywhere first.
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
    let base = |encoder: &EncoderConfig, cost: f64| Base {
        encoder: Reads::Bag(encoder.clone()),
        hidden: Vec::new(),
        dropout: 0.0,
        fit: Training::Optimum { cost },
    };
    Ok(COSTS.iter().flat_map(|&cost| encoders.iter().map(move |encoder| base(encoder, cost))).collect())
}

/// A training of a base by steps along gradients, on so many documents.
fn of_base(documents: usize) -> Steps {
    let epochs = (150_000 / documents.max(1)).clamp(6, 40) as u32;
    Steps { epochs, learning_rate: 5e-3, weight_decay: 0.0, loss: Loss::CrossEntropy }
}

/// Other models of the features whose linear models were best: by cross-entropy, of a hidden layer.
pub(crate) fn more_bases(opened: &[Opened]) -> Vec<Base> {
    let mut order: Vec<&Opened> = opened.iter().collect();
    order.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut best: Vec<&Base> = Vec::new();
    for Opened { base, .. } in order {
        if best.len() < BEST_FEATURES && best.iter().all(|other| other.encoder != base.encoder) {
            best.push(base);
        }
    }
    let steps = of_base(opened.first().map_or(0, documents_of));
    let others = |base: &Base| {
        let deep = Steps { epochs: steps.epochs.div_ceil(2), learning_rate: 1e-3, ..steps };
        let linear = |fit| Base { fit, ..base.clone() };
        [
            linear(Training::Steps(steps)),
            Base { hidden: vec![64], dropout: 0.5, ..linear(Training::Steps(deep)) },
        ]
    };
    // The same change of both before the next.
    let lists: Vec<[Base; 2]> = best.into_iter().map(others).collect();
    (0..2).flat_map(|n| lists.iter().map(move |list| list[n].clone())).collect()
}

/// Linear models of tokens that are hashed, cut from texts as the best base cuts them: as many buckets as a file of `most`
/// bytes has room for. Only where words take many bytes, and where there are few classes: of many, a word says something
/// of few, and lists of what stays are shorter.
pub(crate) fn hashed_bases(opened: &[Opened], outputs: usize, most: Option<u64>) -> Vec<Base> {
    let best = opened.iter().max_by(|a, b| a.score.total_cmp(&b.score).then(b.width.cmp(&a.width)));
    let best = best.filter(|best| outputs < MANY_OUTPUTS && has_costly_words(best));
    let Some((best, bag)) = best.and_then(|best| Some((best, best.base.bag()?))) else {
        return Vec::new();
    };
    let room = most.map_or(MOST_BUCKETS, |most| usize::try_from(most).unwrap_or(MOST_BUCKETS));
    let buckets =
        HASHED_BITS.map(|bits| (8 * room.saturating_sub(FRAME) / (bits * outputs)).min(MOST_BUCKETS));
    let enough = buckets.into_iter().filter(|n| 2 * n >= best.width);
    let encoder = |vocabulary| EncoderConfig {
        hashed: true,
        vocabulary,
        weighting: Weighting::Count,
        min_documents: 1,
        ..bag.clone()
    };
    let fit = Training::Optimum { cost: COSTS[0] };
    let base =
        |buckets| Base { encoder: Reads::Bag(encoder(buckets)), hidden: Vec::new(), dropout: 0.0, fit };
    let mut bases: Vec<Base> = enough.map(base).collect();
    bases.dedup();
    bases
}

/// Whether a word of the vocabulary takes more than [`COSTLY`] bytes in a file.
fn has_costly_words(opened: &Opened) -> bool {
    let bytes = opened.prepared.encoder.bag().map_or(0, BagEncoder::vocabulary_bytes);
    bytes > COSTLY * opened.width
}

/// What usually pays, for one base: the best first. `keeps` are the numbers of words to try each with.
pub(crate) fn usual(opened: &Opened, outputs: usize, keeps: &[usize], by_file: bool) -> Vec<Candidate> {
    let documents = documents_of(opened);
    let temperature = if matches!(opened.base.fit, Training::Optimum { .. }) { 1.0 } else { 2.0 };
    let taught_as = |hidden: &[usize], alpha| {
        let (hidden, fit) = (hidden.to_vec(), of_student(of_students(opened)));
        How::Distilled { hidden, temperature, alpha, by_file, fit }
    };
    let taught = |width: usize| taught_as(&[width], 0.7);
    let student = |keep: usize, how: How, numbers, (rank, sparsity)| Candidate {
        base: opened.base.clone(),
        student: Student {
            keep: keep.clamp(opened.fewest, opened.width),
            contribution: true,
            how,
            rank,
            sparsity,
            numbers,
        },
    };
    let tuned = || How::Tuned(after(&opened.base, documents));
    let plain = (None, 0.0);
    if opened.base.is_hashed() {
        // Buckets cannot be chosen among: they stay.
        return [Numbers::Int4, Numbers::Int8].map(|n| student(opened.width, tuned(), n, plain)).into();
    }
    let mut ways: Vec<(How, Numbers, (Option<usize>, f64))> = match opened.base.hidden.is_empty() {
        true => vec![(tuned(), Numbers::Int8, plain), (tuned(), Numbers::Int4, plain)],
        false => vec![(taught(8), Numbers::Int4, plain)],
    };
    if outputs > 1 && matches!(opened.base.fit, Training::Optimum { .. }) {
        // A word says something of few classes, and the optimum is found anew with what stays.
        ways.insert(1, (tuned(), Numbers::Int8, (None, 0.5)));
    }
    if opened.base.hidden.is_empty() && outputs >= MANY_OUTPUTS {
        let rank = ranks(outputs).last().copied();
        ways.insert(0, (How::Tuned(by_steps(&opened.base, documents)), Numbers::Int8, (rank, 0.0)));
    }
    ways.insert(1, (taught(16), Numbers::Int8, plain));
    if by_file || opened.prepared.unlabelled.is_some() {
        // Where others know more than the labels say, they come first.
        ways.insert(0, (taught_as(&[], 0.9), Numbers::Int8, plain));
    }
    let each = ways.iter().flat_map(|way| keeps.iter().map(move |keep| (way, *keep)));
    each.map(|((how, numbers, form), keep)| student(keep, how.clone(), *numbers, *form)).collect()
}

/// A training on labels from a base's numbers: to the optimum where that is how the base was trained, else by steps.
fn after(base: &Base, documents: usize) -> Training {
    match base.fit {
        optimum @ Training::Optimum { .. } => optimum,
        Training::Steps(_) => by_steps(base, documents),
    }
}

/// A training on labels from a base's numbers, of its loss, by steps.
fn by_steps(base: &Base, documents: usize) -> Training {
    let (epochs, weight_decay, loss) = match base.fit {
        Training::Optimum { .. } => (of_base(documents).epochs, 0.1, Loss::SquaredHinge),
        Training::Steps(Steps { epochs, weight_decay, loss, .. }) => (epochs, weight_decay, loss),
    };
    Training::Steps(Steps { epochs: epochs.div_ceil(3), learning_rate: 3e-3, weight_decay, loss })
}

/// The training of a network that learns from a base.
fn of_student(documents: usize) -> Steps {
    let usual = of_base(documents);
    Steps { epochs: (2 * usual.epochs).min(40), learning_rate: 3e-3, ..usual }
}

/// Documents that a base is trained on.
fn documents_of(opened: &Opened) -> usize {
    opened.prepared.train.len()
}

/// Documents that a student of a base is trained on.
fn of_students(opened: &Opened) -> usize {
    documents_of(opened) + opened.prepared.corpus.unlabelled.len()
}

/// Ranks for a matrix of so many outputs.
fn ranks(outputs: usize) -> Vec<usize> {
    [4, 6, 8, 12, 16, 24].into_iter().filter(|rank| rank * 2 <= outputs).collect()
}

/// A change to a candidate that was made: one or two of its choices. Bases lie with the best first.
pub(crate) fn changed(
    parent: &Candidate,
    opened: &[&Opened],
    (outputs, has_file): (usize, bool),
    rng: &mut Rng,
) -> Candidate {
    let mut child = parent.clone();
    if let (None, Some(of)) = (parent.base.bag(), base_of(opened.iter().copied(), parent)) {
        (0..=rng.below(2)).for_each(|_| pretrained::change(&mut child, of, rng));
        child.student.keep = child.student.keep.clamp(of.fewest, of.width);
        return child;
    }
    // What is changed into another base is changed into one of features.
    let opened: Vec<&Opened> = opened.iter().copied().filter(|o| o.base.bag().is_some()).collect();
    let opened = &opened[..];
    let documents = opened.first().map_or(0, |o| documents_of(o));
    let of_students = opened.first().map_or(0, |o| of_students(o));
    for _ in 0..=rng.below(2) {
        change(&mut child, opened, Facts { outputs, documents, of_students, has_file }, rng);
    }
    let Candidate { base, student } = &mut child;
    match &student.how {
        How::Tuned(_) if !base.hidden.is_empty() => student.rank = None,
        How::Tuned(Training::Optimum { .. }) if student.rank.is_some() => {
            student.how = How::Tuned(by_steps(base, documents));
        }
        How::Tuned(_) => {}
        How::Distilled { .. } | How::Frozen | How::Static { .. } => student.rank = None,
    }
    if let Some(of) = base_of(opened.iter().copied(), &child) {
        child.student.keep = child.student.keep.clamp(of.fewest, of.width);
    }
    child
}

/// What changes depend on beside the candidate.
#[derive(Clone, Copy)]
struct Facts {
    outputs: usize,
    /// Documents with labels to train on.
    documents: usize,
    /// Documents that students learn from.
    of_students: usize,
    /// Whether there is an artifact that teaches.
    has_file: bool,
}

fn change(child: &mut Candidate, opened: &[&Opened], facts: Facts, rng: &mut Rng) {
    let Facts { outputs, documents, of_students, has_file } = facts;
    let student = &mut child.student;
    match rng.below(11) {
        0 | 1 => student.keep = (student.keep as f64 * pick(&[0.5, 0.7, 0.85, 1.2, 1.4, 2.0], rng)) as usize,
        2 | 3 => student.numbers = pick(&Numbers::ALL, rng),
        4 => student.sparsity = pick(&[0.0, 0.5, 0.7, 0.85], rng),
        5 => student.contribution = !student.contribution,
        6 => student.how = taught(&student.how, (of_students, has_file), rng),
        7 if outputs >= MANY_OUTPUTS && child.base.hidden.is_empty() => {
            let mut ranks: Vec<Option<usize>> = ranks(outputs).into_iter().map(Some).collect();
            ranks.push(None);
            student.rank = pick(&ranks, rng);
            student.how = How::Tuned(after(&child.base, documents));
        }
        7 => student.how = How::Tuned(after(&child.base, documents)),
        8 => match &mut student.how {
            How::Tuned(Training::Optimum { cost }) => {
                *cost = (*cost * pick(&[0.25, 0.5, 2.0, 4.0], rng)).clamp(1.0 / 64.0, 64.0);
            }
            How::Tuned(Training::Steps(fit)) | How::Distilled { fit, .. } | How::Static { fit, .. } => {
                let epochs = (f64::from(fit.epochs) * pick(&[0.5, 1.5, 2.0], rng)).round();
                fit.epochs = (epochs as u32).clamp(1, 60);
                fit.learning_rate =
                    (fit.learning_rate * pick(&[0.4, 0.7, 1.0, 1.5, 2.5], rng)).clamp(1e-4, 5e-2);
                fit.weight_decay = pick(&[0.0, 0.1, 0.3, 1.0, 2.0], rng);
            }
            How::Frozen => {}
        },
        _ => {
            // The better, the more often: the least of two.
            child.base = opened[rng.below(opened.len()).min(rng.below(opened.len()))].base.clone();
            if let How::Tuned(_) = &student.how {
                student.how = How::Tuned(after(&child.base, documents));
            }
        }
    }
}

/// Another network that learns from the base or from the artifact that teaches.
fn taught(how: &How, (documents, has_file): (usize, bool), rng: &mut Rng) -> How {
    let hidden = pick(&[vec![], vec![4], vec![8], vec![12], vec![16], vec![24], vec![32], vec![64]], rng);
    let (temperature, alpha) = (pick(&[0.5, 1.0, 2.0, 3.0], rng), pick(&[0.3, 0.5, 0.7, 0.9], rng));
    let fit = match how {
        How::Distilled { fit, .. } => *fit,
        _ => of_student(documents),
    };
    let by_file = has_file && rng.below(3) > 0;
    How::Distilled { hidden, temperature, alpha, by_file, fit }
}
