//! An artifact whose network takes token ids.

use crate::decision::Decision;
use crate::network::{Activations, Network};
use crate::session::{finite, same_length};
use crate::{RuntimeError, scores};
use nlpress_artifact::{Artifact, EncoderParts, Provenance};
use nlpress_graph::{Key, Op, Outline, Source};
use nlpress_text::{TokenRow, TokenRows};
use std::ops::Range;

/// Tokens that go through the network together, where one text alone has not more: enough for weights to be read once
/// for many, and few enough for what is between two sites to stay in a cache.
const TOKENS: usize = 256;

/// An artifact that answers token ids: with logits, or with embeddings, as its network was made for.
///
/// Its encoder is carried as it is: whoever knows it makes the ids of texts.
#[derive(Debug)]
pub struct TokenSession {
    outline: Outline,
    network: Network,
    labels: Vec<String>,
    threshold: Option<f64>,
    encoder: EncoderParts,
    provenance: Provenance,
    most: usize,
    vocabulary: usize,
    /// Types of tokens that every table of types knows.
    types: usize,
}

/// Memory for intermediate results, to be used again: once it has grown, answering allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct TokenScratch(Activations);

impl TokenSession {
    /// Opens an artifact that is in memory.
    ///
    /// # Errors
    /// [`RuntimeError::TakesRows`] for a network of feature rows.
    pub fn from_artifact(artifact: Artifact) -> Result<Self, RuntimeError> {
        let Artifact { outline, layers, vectors, labels, threshold, encoder, provenance, .. } = artifact;
        let Source::Tokens { vocabulary, most } = outline.graph.source else {
            return Err(RuntimeError::TakesRows);
        };
        let of = |op: &Op| match op {
            Op::Embed { by: Key::Type { rows }, .. } => *rows,
            _ => usize::MAX,
        };
        let types = outline.graph.nodes.iter().map(|node| of(&node.op)).min().unwrap_or(usize::MAX);
        let network = Network::new(outline.graph.clone(), layers, vectors);
        Ok(Self { outline, network, labels, threshold, encoder, provenance, most, vocabulary, types })
    }

    /// The network and the form of its sites.
    pub fn outline(&self) -> &Outline {
        &self.outline
    }

    /// Names of the classes; none for a network that makes embeddings.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// What turns texts into tokens, as the artifact carries it.
    pub fn encoder(&self) -> &EncoderParts {
        &self.encoder
    }

    /// Where the model came from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Bytes of the weights in memory.
    pub fn resident_bytes(&self) -> usize {
        self.network.resident_bytes()
    }

    /// Numbers that an answer has: logits, or those of an embedding.
    pub fn outputs(&self) -> usize {
        self.network.outputs
    }

    /// The class that one row of logits names, counted from 0.
    pub fn class(&self, logits: &[f32]) -> usize {
        Decision::by(self.threshold).class(logits)
    }

    /// The score above which the second of two classes is the answer, where it is not one half.
    pub fn threshold(&self) -> Option<f64> {
        self.threshold
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// The scores of the classes, at least 0 and together 1, of one row of logits.
    pub fn scores(&self, logits: &[f32]) -> Vec<f32> {
        let mut found = Vec::new();
        scores::from_logits(logits, &mut found);
        found
    }

    /// The logits or embeddings of texts, `[texts, outputs]`, row-major.
    ///
    /// # Errors
    /// As [`answer_rows`](TokenSession::answer_rows).
    pub fn answer(&self, rows: &TokenRows) -> Result<Vec<f32>, RuntimeError> {
        let mut out = vec![0.0; rows.len() * self.network.outputs];
        self.answer_rows(rows, 0..rows.len(), &mut out, &mut TokenScratch::default())?;
        Ok(out)
    }

    /// The logits or embeddings of some consecutive texts, `[texts, outputs]`, row-major, written into `out`. Several texts
    /// go through the network together, without padding, and come to what each does alone, bit for bit. Allocates nothing
    /// once `scratch` has grown.
    ///
    /// # Errors
    /// [`RuntimeError::Vocabulary`] when it is another than the network's, [`RuntimeError::Tokens`] for a text with more
    /// tokens than the network takes, or a type that it does not know, [`RuntimeError::Length`] when there are not as many places in `out` as those texts have
    /// numbers, or not as many texts as the range ends with, [`RuntimeError::NotFinite`] with the number of the text.
    pub fn answer_rows(
        &self,
        rows: &TokenRows,
        range: Range<usize>,
        out: &mut [f32],
        scratch: &mut TokenScratch,
    ) -> Result<(), RuntimeError> {
        self.check_rows(rows, &range, out.len())?;
        let outputs = self.network.outputs;
        let (mut first, mut rest) = (range.start, out);
        while first < range.end {
            let (mut end, mut tokens) = (first, 0);
            while end < range.end && (end == first || tokens + rows.row(end).ids.len() <= TOKENS) {
                tokens += rows.row(end).ids.len();
                end += 1;
            }
            let (now, later) = rest.split_at_mut((end - first) * outputs);
            self.network.outputs_of(rows, first..end, now, &mut scratch.0);
            finite(now, first, outputs)?;
            (first, rest) = (end, later);
        }
        Ok(())
    }

    /// Checks that the texts are there and what the network takes, and that so many numbers are what it makes of them.
    pub(crate) fn check_rows(
        &self,
        rows: &TokenRows,
        range: &Range<usize>,
        out: usize,
    ) -> Result<(), RuntimeError> {
        if range.end > rows.len() {
            return Err(RuntimeError::Length { what: "rows", found: rows.len(), expected: range.end });
        }
        let (found, expected) = (rows.width(), self.vocabulary);
        if found != expected {
            return Err(RuntimeError::Vocabulary { found, expected });
        }
        same_length("out", out, range.len() * self.network.outputs)?;
        range
            .clone()
            .try_for_each(|row| self.check(rows.row(row)).map_err(|why| RuntimeError::Tokens { row, why }))
    }

    fn check(&self, row: TokenRow<'_>) -> Result<(), String> {
        if row.ids.len() > self.most {
            return Err(format!("has {} tokens, the network takes {}", row.ids.len(), self.most));
        }
        match row.types.iter().find(|of| usize::from(**of) >= self.types) {
            Some(of) => Err(format!("has a token of type {of}, the network knows {}", self.types)),
            None => Ok(()),
        }
    }
}
