//! `prune.snip` and `prune.taylor`: connection sensitivity and Taylor pruning, criteria of the loss's derivative.
//!
//! To first order, dropping weight `w` changes the loss by `g · w`, where `g` is its derivative. SNIP takes the
//! magnitude of that for the mean loss over all rows looked at; made for networks before training, where it finds
//! what the data will use. Taylor pruning squares it for each small batch and adds the squares up, because around
//! a minimum the mean derivative vanishes while the batches' do not.

use nlpress_model::{Model, Network};
use nlpress_technique::{Cx, Family, Kind, Needs, Settings, StepError, parse, settings};
use nlpress_train::{Labels, Objective};

use crate::PruneError;
use crate::frame::{Criterion, MaskBuilder, SCHEDULE, SCOPE, SchedulePoint, TARGET, Unstructured};

/// The entry of SNIP in the list of all techniques.
pub const SNIP: Kind = Kind {
    name: "prune.snip",
    family: Family::Simplify,
    summary: "SNIP, connection sensitivity: drops the connections whose removal changes the loss least to \
              first order, over all rows.",
    source: "Lee et al. 2019, arXiv:1810.02340",
    example: "sparsity = 0.8\nrows = 64",
    parse: parse::<Unstructured<Saliency<false>>>,
    ..TAYLOR
};

/// The entry of Taylor pruning in the list of all techniques.
pub const TAYLOR: Kind = Kind {
    name: "prune.taylor",
    family: Family::Simplify,
    summary: "Taylor pruning, an empirical Fisher criterion: drops the connections with the smallest squared \
              first-order change of the loss, summed over batches.",
    source: "Molchanov et al. 2019, arXiv:1906.10771",
    example: "sparsity = 0.8\nrows = 64\nbatch = 16",
    on: &["**"],
    settings: &[TARGET, &[SCOPE], Saliency::<true>::SETTINGS, SCHEDULE],
    parse: parse::<Unstructured<Saliency<true>>>,
};

settings! {
    /// Saliency of connections, the first-order change of the loss without them: of `prune.snip` and, where `SQUARED`, of
    /// `prune.taylor`.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Saliency<const SQUARED: bool> {
        /// training rows to look at, from 1 to 1000000, drawn by the seed; 4096 by default
        rows: usize => or(4096).within(1..=1_000_000),
        /// rows of a derivative, from 1 to 65536; 32 by default
        batch: usize => or(32).within(1..=1 << 16),
    }
}

impl<const SQUARED: bool> Criterion for Saliency<SQUARED> {
    const KIND: Kind = if SQUARED { TAYLOR } else { SNIP };

    fn needs(&self) -> Needs {
        Needs::LABELS
    }

    fn scores(
        &self,
        model: &Model,
        masks: &MaskBuilder,
        _at: SchedulePoint,
        cx: &mut Cx<'_>,
    ) -> Result<Vec<Vec<f32>>, StepError> {
        Ok(masks.of_flat(model, &self.changes(model, cx)?))
    }
}

/// Adds a batch's first-order changes of the loss, `gradient · weight`, to `sums`: squared for Taylor pruning, as
/// they are for SNIP, whose score is the magnitude of the sum.
///
/// # Errors
/// [`PruneError::Length`] when the lengths differ.
pub fn add_changes(
    gradient: &[f32],
    weights: &[f32],
    squared: bool,
    sums: &mut [f64],
) -> Result<(), PruneError> {
    PruneError::same_length("gradient", gradient.len(), weights.len())?;
    PruneError::same_length("sums", sums.len(), weights.len())?;
    for ((sum, g), w) in sums.iter_mut().zip(gradient).zip(weights) {
        let change = f64::from(*g) * f64::from(*w);
        *sum += if squared { change * change } else { change };
    }
    Ok(())
}

impl<const SQUARED: bool> Saliency<SQUARED> {
    /// Changes of the loss without each of a model's trainable numbers, in the order of [`Model::flat`] and relative to
    /// the largest, dropout off.
    fn changes(&self, model: &Model, cx: &Cx<'_>) -> Result<Vec<f32>, StepError> {
        let network = Network::bind(model, cx.backend);
        let labels = Labels::of(cx.train.labelled()?);
        let (flat, drawn) = (model.flat(), cx.draw_ascending(self.rows));
        let mut sums = vec![0.0_f64; flat.len()];
        for (at, indices) in drawn.chunks(self.batch).enumerate() {
            if at % 16 == 0 {
                cx.progress("taking derivatives", at * self.batch, drawn.len())?;
            }
            let mut loss =
                |logits: &[f32], gradient: &mut [f32]| labels.loss(indices, indices.len(), logits, gradient);
            let mut found = network.gradients((cx.train.examples(), indices), None, 0, &mut loss)?.flat;
            // A last, smaller batch counts by its rows.
            let share = indices.len() as f32 / self.batch as f32;
            found.iter_mut().for_each(|g| *g *= share);
            add_changes(&found, &flat, SQUARED, &mut sums)?;
        }
        let largest = sums.iter().fold(0.0_f64, |m, x| m.max(x.abs())).max(f64::MIN_POSITIVE);
        // Squares of small changes would vanish in single precision: only the order matters.
        let score = |sum: f64| if SQUARED { (sum / largest).sqrt() } else { sum.abs() / largest };
        Ok(sums.into_iter().map(|sum| score(sum) as f32).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_that_cancel_count_for_taylor_only() {
        let (mut snip, mut taylor) = ([0.0; 2], [0.0; 2]);
        for gradient in [[1.0, 0.5], [-1.0, 0.5]] {
            add_changes(&gradient, &[2.0, 2.0], false, &mut snip).unwrap();
            add_changes(&gradient, &[2.0, 2.0], true, &mut taylor).unwrap();
        }
        assert_eq!((snip, taylor), ([0.0, 2.0], [8.0, 2.0]));
        assert!(add_changes(&[1.0], &[1.0, 2.0], true, &mut taylor).is_err());
        assert!(add_changes(&[1.0], &[1.0], true, &mut taylor).is_err());
    }

    #[test]
    fn settings_are_checked() {
        let read = |text: &str| {
            toml::from_str::<Unstructured<Saliency<true>>>(text).map_err(|e| e.message().to_owned())
        };
        assert_eq!(read("nonzeros = 9").unwrap().criterion().rows, 4096);
        for (bad, says) in [
            ("sparsity = 0.5\nrows = 0", "rows is 0, but it must be between 1 and 1000000"),
            ("sparsity = 0.5\nbatch = 100000", "batch is 100000"),
            ("rows = 5", "sparsity, nonzeros or bytes is missing"),
        ] {
            let message = read(bad).unwrap_err();
            assert!(message.contains(says), "{bad}: {message}");
        }
    }
}
