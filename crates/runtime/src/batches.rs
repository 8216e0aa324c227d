//! Which examples go through the network together, and on which thread.

use nlpress_text::{ExamplesRef, TokenRows};
use rayon::prelude::*;
use std::ops::Range;

use crate::RuntimeError;
use crate::session::{Scratch, Session, finite};

/// Rows that go through the network together.
const ROWS: usize = 32;
/// Tokens that go through the network together, where one text alone has not more: enough for weights to be read once
/// for many, and few enough for what is between two sites to stay in a cache.
const TOKENS: usize = 512;

impl Session {
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
    /// [`logits`](Session::logits) gives, bit for bit, whatever their number. One text is never worked on by two.
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
            self.logits_rows(examples, 0..examples.len(), &mut logits, &mut Scratch::default())?;
            return Ok(logits);
        }
        let pool = self.pool(threads)?;
        self.check(examples, &(0..examples.len()), logits.len())?;
        let groups: Vec<Range<usize>> = match examples {
            ExamplesRef::Features(rows) => {
                let starts = (0..rows.len()).step_by(ROWS);
                starts.map(|first| first..rows.len().min(first + ROWS)).collect()
            }
            ExamplesRef::Tokens(rows) => together(rows, 0..rows.len()).collect(),
        };
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
