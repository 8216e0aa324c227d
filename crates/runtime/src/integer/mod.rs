//! Inference in integers: from the counts of words, or from tokens, to logits without a float.
//!
//! Possible where every site has integers of up to 8 bits and a fixed scale of its activations. Sums have 32 bits and
//! are exact; scales, biases and feature weights become fixed-point numbers when the network is prepared,
//! once; what remains are additions, products, shifts and one square root, so the answers are the same bits on
//! every processor, also on one without a floating-point unit.
//!
//! Numbers that stand for real ones have 16 fraction bits.

// Held by the compiler's lint for everything but `prepare`, and proven by a test that looks at the machine code.
#[deny(clippy::float_arithmetic)]
mod features;
#[deny(clippy::float_arithmetic)]
mod fixed;
#[cfg_attr(not(test), deny(clippy::float_arithmetic))]
pub mod functions;
#[deny(clippy::float_arithmetic)]
mod network;
#[cfg_attr(not(test), deny(clippy::float_arithmetic))]
mod places;
mod prepare;
#[deny(clippy::float_arithmetic)]
mod site;

use crate::{RuntimeError, Session, decision};
use features::Features;
use network::{Between, Network};
use nlpress_graph::SiteId;
use nlpress_text::{AnyEncoder, AnyScratch, AsInput, Counts, Example, Seen, TokenRows};
use std::ops::Range;

/// What stands for 1 in a logit.
pub const ONE: i64 = fixed::ONE;

/// A session that answers in integers.
#[derive(Debug)]
pub struct IntegerSession<'s> {
    session: &'s Session,
    /// What words are worth, where there is a bag of them.
    features: Option<Features>,
    network: Network<'s>,
    /// The logit above which one output means the second class.
    cut: i64,
}

/// Memory for intermediate results, to be used again: once it has grown, answering allocates next to nothing.
#[derive(Clone, Debug, Default)]
pub struct IntegerScratch {
    text: AnyScratch,
    values: Vec<i64>,
    between: Between,
    logits: Vec<i64>,
}

impl IntegerScratch {
    /// What the encoder saw of the text that was answered last.
    pub fn seen(&self) -> Seen {
        self.text.seen()
    }
}

/// Why a network cannot run in integers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("site {site}: {why}")]
pub struct NotIntegers {
    /// The first site that cannot.
    pub site: SiteId,
    /// What it lacks.
    pub why: String,
}

impl Session {
    /// The same session, answering in integers alone.
    ///
    /// # Errors
    /// [`NotIntegers`] naming a site that is not integers of up to 8 bits, that has outliers, whose activations have
    /// no fixed scale (tables look a one up, which needs a scale too), or whose numbers are beyond fixed point: the
    /// session itself then answers in floats from the same weights.
    pub fn in_integers(&self) -> Result<IntegerSession<'_>, NotIntegers> {
        let (network, cut) = (prepare::network(self.network())?, prepare::cut(self.threshold()));
        let features = self.encoder().bag().map(prepare::features);
        Ok(IntegerSession { session: self, features, network, cut })
    }
}

impl<'s> IntegerSession<'s> {
    /// The session that it answers for.
    pub fn session(&self) -> &'s Session {
        self.session
    }

    /// The logits (or scores, or the embedding) of a text, or of two texts as one example, in units of 1/[`ONE`].
    ///
    /// # Errors
    /// As [`Session::answer`], but for numbers that are not finite.
    pub fn logits<'a>(
        &self,
        text: &(impl AsInput + ?Sized),
        scratch: &'a mut IntegerScratch,
    ) -> Result<&'a [i64], RuntimeError> {
        let input = text.as_input();
        let IntegerScratch { text: words, values, between, logits } = scratch;
        logits.resize(self.session.network().outputs, 0);
        match (self.session.encoder(), &self.features) {
            (AnyEncoder::Bag(bag), Some(features)) if input.pair.is_none() => {
                let counts = bag.count(input.text, words.bag());
                features.values(counts, values);
                self.network.logits(counts.columns, values, logits, between);
            }
            (encoder, _) => {
                let example = encoder.encode_input(input, words).map_err(RuntimeError::Text)?;
                if input.pair.is_some() {
                    self.session.check_one(example)?;
                }
                if let Example::Tokens(row) = example {
                    self.network.outputs_of(std::iter::once(row), logits, between);
                }
            }
        }
        Ok(logits)
    }

    /// The logits or embeddings of some consecutive texts, `[texts, outputs]`, in units of 1/[`ONE`], written into `out`.
    ///
    /// # Errors
    /// As [`Session::logits_rows`], for what is not in the texts.
    pub fn logits_rows(
        &self,
        rows: &TokenRows,
        range: Range<usize>,
        out: &mut [i64],
        scratch: &mut IntegerScratch,
    ) -> Result<(), RuntimeError> {
        self.session.check(rows.into(), &range, out.len())?;
        self.network.outputs_of(range.map(|row| rows.row(row)), out, &mut scratch.between);
        Ok(())
    }

    /// The logits of counted words, in units of 1/[`ONE`], written into `out`.
    ///
    /// # Errors
    /// [`RuntimeError::TakesTokens`] for a network of tokens, which has no words to count.
    ///
    /// # Panics
    /// When there are not as many counts as columns, a column that the encoder does not have, or not as many places in
    /// `out` as outputs: mistakes of the caller.
    pub fn logits_of(
        &self,
        counts: Counts<'_>,
        out: &mut [i64],
        scratch: &mut IntegerScratch,
    ) -> Result<(), RuntimeError> {
        assert_eq!(counts.columns.len(), counts.counts.len(), "one count for each column");
        assert_eq!(out.len(), self.session.network().outputs, "one place for each output");
        let IntegerScratch { values, between, .. } = scratch;
        self.features.as_ref().ok_or(RuntimeError::TakesTokens)?.values(counts, values);
        self.network.logits(counts.columns, values, out, between);
        Ok(())
    }

    /// The class of a text, counted from 0.
    ///
    /// # Errors
    /// As [`logits`](IntegerSession::logits), and [`RuntimeError::NoClasses`] for a network that makes embeddings.
    pub fn classify(&self, text: &str, scratch: &mut IntegerScratch) -> Result<usize, RuntimeError> {
        self.session.check_classes()?;
        Ok(self.class(self.logits(text, scratch)?))
    }

    /// The class that logits name, counted from 0: the first of the highest, or of one logit whether its score is
    /// above the artifact's threshold.
    pub fn class(&self, logits: &[i64]) -> usize {
        decision::class_of_integers(logits, self.cut)
    }
}
