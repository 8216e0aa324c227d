//! Candidates of a pretrained encoder that teaches: the encoder itself, frozen, in integers; and static embeddings of its
//! tokens.
//!
//! Both keep those of its tokens that training documents have, which is most of their bytes. Priors, as measured with MiniLM on
//! mr: a probe costs a few seconds and is what the encoder knows; static embeddings of 64 numbers are a hundred times faster.

use nlpress_core::seed::Rng;

use crate::candidate::{Base, Candidate, How, Loss, Numbers, Reads, Steps, Student, Training, pick};
use crate::trial::Opened;

/// Numbers of a token: those to begin with, and all.
const FIRST_WIDTHS: [usize; 2] = [64, 24];
const WIDTHS: [usize; 7] = [8, 16, 24, 48, 64, 128, 256];
/// Documents that a static student sees in training, all epochs together, and its epochs.
const SEEN: usize = 60_000;
const EPOCHS: [usize; 2] = [5, 20];

/// The base of an encoder with this hash; an error in its probe costs so much beside the penalty on weights. One that is a
/// classifier has its own head, and no cost counts.
pub(crate) fn base(sha256: &str, cost: f64) -> Base {
    Base {
        encoder: Reads::Pretrained { pretrained: sha256.to_owned() },
        hidden: Vec::new(),
        dropout: 0.0,
        fit: Training::Optimum { cost },
    }
}

/// What usually pays, for one base: the best first.
pub(crate) fn usual(opened: &Opened) -> Vec<Candidate> {
    let documents = opened.prepared.train.len() + opened.prepared.corpus.unlabelled.len();
    let epochs = (SEEN / documents.max(1)).clamp(EPOCHS[0], EPOCHS[1]) as u32;
    let fit = Steps { epochs, learning_rate: 3e-3, weight_decay: 0.0, loss: Loss::CrossEntropy };
    let learns = |width: usize| How::Static {
        width: width.min(opened.pooled).max(1),
        temperature: 1.0,
        alpha: 0.7,
        fit,
    };
    let candidate = |how: How, numbers: Numbers| Candidate {
        base: opened.base.clone(),
        student: Student {
            keep: opened.seen(),
            contribution: false,
            how,
            rank: None,
            sparsity: 0.0,
            numbers,
        },
    };
    let [wide, narrow] = FIRST_WIDTHS;
    vec![
        candidate(How::Frozen, Numbers::Int8),
        candidate(learns(wide), Numbers::Int8),
        candidate(learns(narrow), Numbers::Int4),
    ]
}

/// One change of a candidate that was made.
pub(crate) fn change(child: &mut Candidate, of: &Opened, rng: &mut Rng) {
    let student = &mut child.student;
    match (rng.below(6), &mut student.how) {
        (0 | 1, _) => {
            student.keep = (student.keep as f64 * pick(&[0.5, 0.7, 0.85, 1.2, 1.5], rng)) as usize;
        }
        (2, How::Static { .. }) => student.numbers = pick(&Numbers::ALL, rng),
        (2, _) => student.numbers = pick(&[Numbers::Int8, Numbers::Int4], rng),
        (3, How::Static { width, .. }) => *width = pick(&WIDTHS, rng).min(of.pooled).max(1),
        (4, How::Static { temperature, alpha, .. }) => {
            (*temperature, *alpha) = (pick(&[0.5, 1.0, 2.0], rng), pick(&[0.3, 0.5, 0.7, 0.9], rng));
        }
        (5, How::Static { fit, .. }) => {
            fit.learning_rate = (fit.learning_rate * pick(&[0.4, 0.7, 1.5, 2.5], rng)).clamp(1e-4, 5e-2);
            let epochs = (f64::from(fit.epochs) * pick(&[0.5, 1.5, 2.0], rng)).round();
            fit.epochs = (epochs as u32).clamp(1, 60);
            fit.weight_decay = pick(&[0.0, 0.1, 0.3, 1.0], rng);
        }
        // An encoder that stays as it is becomes static embeddings.
        _ => {
            let (numbers, how) = (pick(&[Numbers::Int8, Numbers::Int4], rng), usual(of));
            (student.numbers, student.how) = (numbers, how[1].student.how.clone());
        }
    }
}
