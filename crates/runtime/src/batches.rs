//! Which examples go through the network together, and on which thread.

use nlpress_text::{AnyEncoder, AsInput, Encode, Examples, ExamplesRef, Rows, TokenRows};
use rayon::prelude::*;
use std::ops::Range;

use crate::session::{Prediction, Scratch, Session, finite};
use crate::{RuntimeError, scores};

/// Rows that go through the network together.
const ROWS: usize = 32;
/// Tokens that go through the network together, where one text alone has not more: enough for weights to be read once
/// for many, and few enough for what is between two sites to stay in a cache.
const TOKENS: usize = 512;

/// Pieces of the texts for each thread, enough to even out long and short ones.
const PIECES: usize = 4;

/// Memory in which texts are answered together, to be used again.
struct Together {
    examples: Examples,
    logits: Vec<f32>,
}

impl Session {
    /// [`predict`](Session::predict) for every text or pair of texts, on `threads` threads: in the order of the texts, and the same, bit for
    /// bit, for every number of threads and whatever the texts beside it.
    ///
    /// Texts go through the network together, so that weights are read once for several. Threads are started when a number
    /// of them is first asked for, and kept. Each takes some of the texts; where there are few, all share
    /// [the tokens](Session::scratch).
    ///
    /// # Errors
    /// [`RuntimeError::Threads`] for none or more than 1024, [`RuntimeError::Pool`] when they cannot be started,
    /// [`RuntimeError::NoClasses`] for a network that has none, [`RuntimeError::Text`] where a tokenizer from a stranger
    /// fails at a text, and [`RuntimeError::NotFinite`] with the number of the first text that has no answer.
    pub fn predict_many<S: AsInput + Sync>(
        &self,
        texts: &[S],
        threads: usize,
    ) -> Result<Vec<Prediction<'_>>, RuntimeError> {
        self.check_classes()?;
        let outputs = self.network().outputs;
        self.each_many(texts, threads, |logits, all| {
            all.extend(logits.chunks_exact(outputs).map(|logits| {
                let class = self.class(logits);
                let mut scores = Vec::new();
                scores::from_logits(logits, &mut scores);
                Prediction { class, label: &self.labels()[class], scores }
            }));
        })
    }

    /// [`answer`](Session::answer) for every text or pair of texts, `[texts, outputs]`, row-major, on `threads` threads as
    /// [`predict_many`](Session::predict_many).
    ///
    /// # Errors
    /// As [`predict_many`](Session::predict_many), but for [`RuntimeError::NoClasses`].
    pub fn answer_many<S: AsInput + Sync>(
        &self,
        texts: &[S],
        threads: usize,
    ) -> Result<Vec<f32>, RuntimeError> {
        self.each_many(texts, threads, |logits, all| all.extend_from_slice(logits))
    }

    /// What `take` makes of the logits of every few texts, in the order of the texts.
    fn each_many<S: AsInput + Sync, T: Send>(
        &self,
        texts: &[S],
        threads: usize,
        take: impl Fn(&[f32], &mut Vec<T>) + Sync,
    ) -> Result<Vec<T>, RuntimeError> {
        let (outputs, examples) = (self.network().outputs, no_examples(self.encoder())?);
        let room = || Together { examples: examples.clone(), logits: Vec::with_capacity(ROWS * outputs) };
        let mut all = Vec::new();
        let is_few = self.fused_layers() > 0 && texts.len() < PIECES * threads;
        if threads == 1 || is_few {
            return self.with_scratch(threads, |scratch| {
                let mut room = room();
                for (n, piece) in texts.chunks(ROWS).enumerate() {
                    take(self.answer_together(n * ROWS, piece, &mut room, scratch)?, &mut all);
                }
                Ok(all)
            });
        }
        let pool = self.pool(threads)?;
        let piece = texts.len().div_ceil(PIECES * threads).clamp(1, ROWS);
        let one = |(room, scratch): &mut (Together, Scratch), (n, texts): (usize, &[S])| {
            let mut some = Vec::new();
            take(self.answer_together(n * piece, texts, room, scratch)?, &mut some);
            Ok::<_, RuntimeError>(some)
        };
        let room = || (room(), Scratch::default());
        let pieces = texts.par_chunks(piece).enumerate();
        // In order, so that the error is that of the first text whatever the threads.
        for some in pool.install(|| pieces.map_init(room, one).collect::<Vec<_>>()) {
            all.append(&mut some?);
        }
        Ok(all)
    }

    /// The logits of consecutive texts, the first of which has the number `first`.
    fn answer_together<'r, S: AsInput>(
        &self,
        first: usize,
        texts: &[S],
        room: &'r mut Together,
        scratch: &mut Scratch,
    ) -> Result<&'r [f32], RuntimeError> {
        let Together { examples, logits } = room;
        examples.clear();
        for text in texts {
            let example = self.encoder().encode_input(text.as_input(), scratch.text());
            example.and_then(|example| examples.push(example)).map_err(RuntimeError::Text)?;
        }
        logits.resize(texts.len() * self.network().outputs, 0.0);
        self.logits_rows(examples.view(), 0..texts.len(), logits, scratch).map_err(|e| e.after(first))?;
        Ok(logits)
    }

    /// The logits (or embeddings) of examples, `[examples, outputs]`, row-major.
    ///
    /// # Errors
    /// As [`logits_rows`](Session::logits_rows).
    pub fn logits<'a>(&self, examples: impl Into<ExamplesRef<'a>>) -> Result<Vec<f32>, RuntimeError> {
        let examples = examples.into();
        let mut logits = vec![0.0; examples.len() * self.network().outputs];
        self.logits_rows(examples, 0..examples.len(), &mut logits, &mut Scratch::default())?;
        Ok(logits)
    }

    /// The logits (or embeddings) of some consecutive examples, `[examples, outputs]`, row-major, written into `out`: for
    /// each what [`logits_row`](Session::logits_row) gives, bit for bit. Weights are read once for several feature rows
    /// where that is faster (where rows have few zeros), and for several texts, which go through the network together
    /// without padding. Allocates nothing once `scratch` has grown.
    ///
    /// # Errors
    /// [`RuntimeError::TakesTokens`] and [`RuntimeError::TakesRows`] for examples of the other kind,
    /// [`RuntimeError::Rows`] when rows are not as wide as the network's inputs, [`RuntimeError::Vocabulary`] when that
    /// of texts is another, [`RuntimeError::Tokens`] for a text with more tokens than the network takes, or a type that
    /// it does not know, [`RuntimeError::Length`] when there are not as many places in `out` as those examples have
    /// numbers, or not as many examples as the range ends with, [`RuntimeError::NotFinite`] with the number of the row.
    pub fn logits_rows<'a>(
        &self,
        examples: impl Into<ExamplesRef<'a>>,
        range: Range<usize>,
        out: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<(), RuntimeError> {
        let examples = examples.into();
        self.check(examples, &range, out.len())?;
        let outputs = self.network().outputs;
        match examples {
            ExamplesRef::Features(rows) => {
                for (n, out) in out.chunks_mut(ROWS * outputs).enumerate() {
                    let first = range.start + n * ROWS;
                    let rows_of = first..first + out.len() / outputs;
                    self.network().logits_of(rows, rows_of, out, &mut scratch.activations);
                    finite(out, first, outputs)?;
                }
            }
            ExamplesRef::Tokens(rows) => {
                let mut rest = out;
                for texts in together(rows, range) {
                    let (now, later) = rest.split_at_mut(texts.len() * outputs);
                    self.logits_together(rows, texts, now, scratch)?;
                    rest = later;
                }
            }
        }
        Ok(())
    }

    /// The logits (or embeddings) of all examples, `[examples, outputs]`, row-major, on `threads` threads: what
    /// [`logits`](Session::logits) gives, bit for bit, whatever their number. Each takes some of the examples; where there are
    /// few texts, all share [the tokens](Session::scratch).
    ///
    /// # Errors
    /// As [`logits_rows`](Session::logits_rows), and [`RuntimeError::Threads`] and [`RuntimeError::Pool`] as in
    /// [`predict_many`](Session::predict_many).
    pub fn logits_many<'a>(
        &self,
        examples: impl Into<ExamplesRef<'a>>,
        threads: usize,
    ) -> Result<Vec<f32>, RuntimeError> {
        let (examples, outputs) = (examples.into(), self.network().outputs);
        let mut logits = vec![0.0; examples.len() * outputs];
        if threads == 1 {
            let all = 0..examples.len();
            self.with_scratch(1, |scratch| self.logits_rows(examples, all, &mut logits, scratch))?;
            return Ok(logits);
        }
        self.check(examples, &(0..examples.len()), logits.len())?;
        let groups: Vec<Range<usize>> = match examples {
            ExamplesRef::Features(rows) => {
                let starts = (0..rows.len()).step_by(ROWS);
                starts.map(|first| first..rows.len().min(first + ROWS)).collect()
            }
            ExamplesRef::Tokens(rows) => together(rows, 0..rows.len()).collect(),
        };
        if self.fused_layers() > 0 && groups.len() < PIECES * threads {
            let all = 0..examples.len();
            self.with_scratch(threads, |scratch| self.logits_rows(examples, all, &mut logits, scratch))?;
            return Ok(logits);
        }
        let pool = self.pool(threads)?;
        let mut rest = &mut logits[..];
        let mut work = Vec::with_capacity(groups.len());
        for group in groups {
            let (now, later) = rest.split_at_mut(group.len() * outputs);
            work.push((group, now));
            rest = later;
        }
        let one = |scratch: &mut Scratch, (group, out): (Range<usize>, &mut [f32])| match examples {
            ExamplesRef::Features(rows) => {
                self.network().logits_of(rows, group.clone(), out, &mut scratch.activations);
                finite(out, group.start, outputs)
            }
            ExamplesRef::Tokens(rows) => self.logits_together(rows, group, out, scratch),
        };
        // In order, so that the error is that of the first row whatever the threads.
        let done: Vec<_> = pool.install(|| work.into_par_iter().map_init(Scratch::default, one).collect());
        done.into_iter().collect::<Result<(), _>>()?;
        Ok(logits)
    }

    /// The logits of some consecutive texts, which go through the network together.
    fn logits_together(
        &self,
        rows: &TokenRows,
        texts: Range<usize>,
        out: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<(), RuntimeError> {
        let first = texts.start;
        self.network().outputs_of(texts.map(|row| rows.row(row)), out, &mut scratch.activations);
        finite(out, first, self.network().outputs)
    }
}

/// None of an encoder's examples, to add to.
fn no_examples(encoder: &AnyEncoder) -> Result<Examples, RuntimeError> {
    let width = encoder.width();
    Ok(match encoder {
        AnyEncoder::Bag(_) => Rows::from_dense(0, width, &[])?.into(),
        AnyEncoder::Tokens(_) => TokenRows::new(width, vec![0], Vec::new(), Vec::new())?.into(),
    })
}

/// Consecutive texts of [`TOKENS`] tokens at most, or one that has more.
fn together(rows: &TokenRows, range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut first = range.start;
    std::iter::from_fn(move || {
        if first == range.end {
            return None;
        }
        let (mut end, mut tokens) = (first, 0);
        while end < range.end && (end == first || tokens + rows.row(end).ids.len() <= TOKENS) {
            tokens += rows.row(end).ids.len();
            end += 1;
        }
        let texts = first..end;
        first = end;
        Some(texts)
    })
}
