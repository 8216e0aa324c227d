//! The words that decided: how much each known word of a text added to the logit of a class.
//!
//! A linear network adds up its words, so each one's share is exact: value times weight. Of hidden layers it is
//! gradient times input (Shrikumar et al. 2017, section 3), exact as long as no unit changes its side of zero: with
//! the biases that reached the logit, the shares make up the logit. Weights are taken as they are stored; activations
//! that the network would round are not. Of two classes with one logit, the first class has its negative.

use crate::{RuntimeError, Scratch, Session};
use nlpress_graph::Op;
use nlpress_text::BagEncoder;

/// What one word of a text added to a logit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contribution<'s> {
    /// The word of the vocabulary.
    pub word: &'s str,
    /// What it added; negative where it spoke against the class.
    pub amount: f32,
}

/// A session's weights as plain numbers, to ask which words decided.
#[derive(Debug)]
pub struct Explainer<'s> {
    session: &'s Session,
    encoder: &'s BagEncoder,
    /// Of every site, `[inputs, outputs]`.
    weights: Vec<Vec<f32>>,
}

impl Session {
    /// What is needed to say which words decided. It holds every weight as a float, zeros included.
    ///
    /// # Errors
    /// [`RuntimeError::NotExplained`] for a network of attention, one on tokens, or one on hashed words.
    pub fn explainer(&self) -> Result<Explainer<'_>, RuntimeError> {
        let nodes = &self.network().graph.nodes;
        let is_chain = |op: &Op| {
            matches!(op, Op::Features { .. } | Op::Linear { .. } | Op::Activate(_) | Op::Dropout { .. })
        };
        let has_words = |bag: &&BagEncoder| !bag.config().hashed;
        let encoder = self.encoder().bag().filter(|_| nodes.iter().all(|node| is_chain(&node.op)));
        let encoder = encoder.filter(has_words);
        let Some(encoder) = encoder else { return Err(RuntimeError::NotExplained) };
        let weights = self.network().layers.iter().map(|l| l.weight.unpack()).collect();
        Ok(Explainer { session: self, encoder, weights })
    }
}

impl<'s> Explainer<'s> {
    /// What every known word of a text added to the logit of class `class`, the largest magnitudes first and equal ones
    /// in the order of the vocabulary.
    ///
    /// # Errors
    /// [`RuntimeError::Length`] for a class that there is not.
    pub fn explain(
        &self,
        text: &str,
        class: usize,
        scratch: &mut Scratch,
    ) -> Result<Vec<Contribution<'s>>, RuntimeError> {
        let labels = self.session.labels().len();
        if class >= labels {
            return Err(RuntimeError::Length { what: "labels", found: labels, expected: class + 1 });
        }
        let row = self.encoder.encode(text, scratch.text().bag());
        let slopes = self.slopes(row.columns, row.values, class);
        let words = self.encoder.words();
        let mut all: Vec<Contribution<'s>> = (row.columns.iter().zip(row.values).zip(slopes))
            .map(|((&column, value), slope)| Contribution {
                word: &words[column as usize],
                amount: value * slope,
            })
            .collect();
        all.sort_by(|a, b| b.amount.abs().total_cmp(&a.amount.abs()));
        Ok(all)
    }

    /// The derivative of a class's logit by each of the inputs that are not zero.
    fn slopes(&self, columns: &[u32], values: &[f32], class: usize) -> Vec<f32> {
        let open = self.open_units(columns, values);
        let layers = &self.session.network().layers;
        let mut slope = vec![0.0; layers[layers.len() - 1].bias.len()];
        match &mut slope[..] {
            [one] => *one = if class == 1 { 1.0 } else { -1.0 },
            all => all[class] = 1.0,
        }
        for n in (1..layers.len()).rev() {
            let through = |(unit, open): (usize, &bool)| if *open { self.dot(n, unit, &slope) } else { 0.0 };
            slope = open[n - 1].iter().enumerate().map(through).collect();
        }
        columns.iter().map(|column| self.dot(0, *column as usize, &slope)).collect()
    }

    /// For every site but the last, which of its outputs go on: those that a ReLU does not set to zero.
    fn open_units(&self, columns: &[u32], values: &[f32]) -> Vec<Vec<bool>> {
        let network = self.session.network();
        let mut open: Vec<Vec<bool>> = Vec::new();
        let mut inputs: Vec<(usize, f32)> =
            columns.iter().map(|c| *c as usize).zip(values.iter().copied()).collect();
        for n in 0..network.layers.len() - 1 {
            let mut sums = network.layers[n].bias.clone();
            for (input, value) in inputs {
                let weights = &self.weights[n][input * sums.len()..][..sums.len()];
                sums.iter_mut().zip(weights).for_each(|(sum, w)| *sum += value * w);
            }
            let linear = network.graph.first_factor(&network.layers[n + 1].id).is_some();
            open.push(sums.iter().map(|x| linear || *x > 0.0).collect());
            inputs = sums.into_iter().enumerate().filter(|(unit, _)| open[n][*unit]).collect();
        }
        open
    }

    /// The weights from one input of a site, times one number an output, summed.
    fn dot(&self, site: usize, input: usize, by: &[f32]) -> f32 {
        let weights = &self.weights[site][input * by.len()..][..by.len()];
        weights.iter().zip(by).map(|(w, x)| w * x).sum()
    }
}
