//! `prune.snip` and `prune.taylor`: the connections that the loss feels least go.
//!
//! To first order, dropping weight `w` changes the loss by `g · w`, where `g` is its derivative. SNIP takes the
//! magnitude of that for the mean loss over all rows looked at; made for networks before training, where it finds
//! what the data will use. Taylor pruning squares it for each small batch and adds the squares up, because around
//! a minimum the mean derivative vanishes while the batches' do not.

use nlpress_model::{Model, Network, Outline, SiteId};
use nlpress_technique::{Cx, Family, Kind, Needs, Problem, StepError, Technique, parse};
use nlpress_train::{Labels, Objective};
use serde::Deserialize;

use crate::PruneError;
use crate::cut::{self, Cut, SCOPE, Scope};
use crate::magnitude::keep_largest;
use crate::schedule::{SCHEDULE, STEPS, Schedule, Stages};
use crate::target::{BYTES, NONZEROS, SPARSITY, Target};
use crate::tune::{FINETUNE, Tuning};

/// The entry of SNIP in the list of all techniques.
pub const SNIP: Kind = Kind {
    name: "prune.snip",
    family: Family::Simplify,
    summary: "Drops the connections whose removal changes the loss least to first order, over all rows.",
    source: "Lee et al. 2019, arXiv:1810.02340",
    example: "sparsity = 0.8\nrows = 64",
    parse: parse::<Sensitivity<false>>,
    ..TAYLOR
};

/// The entry of Taylor pruning in the list of all techniques.
pub const TAYLOR: Kind = Kind {
    name: "prune.taylor",
    family: Family::Simplify,
    summary: "Drops the connections with the smallest squared first-order change of the loss, summed over batches.",
    source: "Molchanov et al. 2019, arXiv:1906.10771",
    example: "sparsity = 0.8\nrows = 64\nbatch = 16",
    on: &["**"],
    settings: &[
        SPARSITY,
        NONZEROS,
        BYTES,
        SCOPE,
        ("rows", "training rows to look at, from 1 to 1000000, drawn by the seed; 4096 by default"),
        ("batch", "rows of a derivative, from 1 to 65536; 32 by default"),
        SCHEDULE,
        STEPS,
        FINETUNE,
    ],
    parse: parse::<Sensitivity<true>>,
};

/// The checked configuration of `prune.snip` and, where `SQUARED`, of `prune.taylor`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Sensitivity<const SQUARED: bool> {
    target: Target,
    scope: Scope,
    rows: usize,
    batch: usize,
    stages: Stages,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    sparsity: Option<f64>,
    nonzeros: Option<usize>,
    bytes: Option<usize>,
    #[serde(default)]
    scope: Scope,
    rows: Option<usize>,
    batch: Option<usize>,
    #[serde(default)]
    schedule: Schedule,
    steps: Option<u32>,
    finetune: Option<Tuning>,
}

impl<const SQUARED: bool> TryFrom<Raw> for Sensitivity<SQUARED> {
    type Error = PruneError;

    fn try_from(raw: Raw) -> Result<Self, PruneError> {
        let (rows, batch) = (raw.rows.unwrap_or(4096), raw.batch.unwrap_or(32));
        if !(1..=1_000_000).contains(&rows) {
            return Err(PruneError::setting("rows", rows, "between 1 and 1000000"));
        }
        if !(1..=1 << 16).contains(&batch) {
            return Err(PruneError::setting("batch", batch, "between 1 and 65536"));
        }
        let target = Target::one_of(raw.sparsity, raw.nonzeros, raw.bytes)?;
        let stages = Stages::new(raw.schedule, raw.steps, raw.finetune)?;
        Ok(Self { target, scope: raw.scope, rows, batch, stages })
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

/// Scores of all trainable numbers of a model, in the order of [`Model::flat`], without dropout.
fn scores(
    model: &Model,
    squared: bool,
    (rows, batch): (usize, usize),
    cx: &Cx<'_>,
) -> Result<Vec<f32>, StepError> {
    let network = Network::bind(model, cx.backend);
    let labels = Labels::of(cx.train);
    let (flat, drawn) = (model.flat(), cx.draw_ascending(rows));
    let mut sums = vec![0.0_f64; flat.len()];
    for (at, indices) in drawn.chunks(batch).enumerate() {
        if at % 16 == 0 {
            cx.progress("taking derivatives", at * batch, drawn.len())?;
        }
        let mut loss =
            |logits: &[f32], gradient: &mut [f32]| labels.loss(indices, indices.len(), logits, gradient);
        let mut found = network.gradients((cx.train.rows(), indices), None, 0, &mut loss)?.flat;
        // A last, smaller batch counts by its rows.
        let share = indices.len() as f32 / batch as f32;
        found.iter_mut().for_each(|g| *g *= share);
        add_changes(&found, &flat, squared, &mut sums).map_err(|e| StepError::Failed(e.to_string()))?;
    }
    let largest = sums.iter().fold(0.0_f64, |m, x| m.max(x.abs())).max(f64::MIN_POSITIVE);
    // Squares of small changes would vanish in single precision: only the order matters.
    let score = |sum: f64| if squared { (sum / largest).sqrt() } else { sum.abs() / largest };
    Ok(sums.into_iter().map(|sum| score(sum) as f32).collect())
}

impl<const SQUARED: bool> Technique for Sensitivity<SQUARED> {
    fn needs(&self) -> Needs {
        Needs { training: true, ..self.stages.needs() }
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        cut::plan(before, on, self.target, self.scope, problems)
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        let cut = Cut::of(&model, on, self.target, self.scope)?;
        let mut score = |model: &Model, _: cut::At, cx: &mut Cx<'_>| {
            let flat = scores(model, SQUARED, (self.rows, self.batch), cx)?;
            Ok(cut.of_flat(model, &flat))
        };
        self.stages.run(model, &cut, cx, &mut score, &mut keep_largest)
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
        let read = |text: &str| toml::from_str::<Sensitivity<true>>(text).map_err(|e| e.message().to_owned());
        assert_eq!(read("nonzeros = 9").unwrap().rows, 4096);
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
