//! `prune.wanda`: the connections that carry least go: magnitude of the weight times norm of its input.
//!
//! A small weight on a large input matters more than a large weight on an input that is nearly always zero. The
//! norm of each input over some hundred rows is all that it needs beside the weights: no derivative and no
//! training. Sites are cut in the order of the forward pass, each with the inputs that the cut sites before give.
//! Within the incoming weights of one output by default, because inputs of different sites are of different size.

use nlpress_model::{Model, Outline, SiteId};
use nlpress_technique::{Cx, Family, Kind, Needs, Problem, StepError, Technique, parse};
use serde::Deserialize;

use crate::PruneError;
use crate::activations::{CALIBRATION, calibration_rows, each_input};
use crate::cut::{self, Cut, Scope};
use crate::magnitude::keep_largest;
use crate::schedule::{SCHEDULE, STEPS, Schedule, Stages};
use crate::target::{BYTES, NONZEROS, SPARSITY, Target};
use crate::tune::{FINETUNE, Tuning};

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "prune.wanda",
    family: Family::Simplify,
    summary: "Drops the connections of the smallest magnitude times norm of their input.",
    source: "Sun et al. 2023, arXiv:2306.11695",
    example: "sparsity = 0.5\nrows = 64",
    on: &["**"],
    settings: &[
        SPARSITY,
        NONZEROS,
        BYTES,
        (
            "scope",
            "\"output\": among the incoming weights of each output (default); \"site\": within each site; \
             \"global\": over all selected sites",
        ),
        CALIBRATION,
        SCHEDULE,
        STEPS,
        FINETUNE,
    ],
    parse: parse::<Wanda>,
};

/// The checked configuration of `prune.wanda`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Wanda {
    target: Target,
    scope: Scope,
    rows: usize,
    stages: Stages,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    sparsity: Option<f64>,
    nonzeros: Option<usize>,
    bytes: Option<usize>,
    #[serde(default = "output")]
    scope: Scope,
    rows: Option<usize>,
    #[serde(default)]
    schedule: Schedule,
    steps: Option<u32>,
    finetune: Option<Tuning>,
}

fn output() -> Scope {
    Scope::Output
}

impl TryFrom<Raw> for Wanda {
    type Error = PruneError;

    fn try_from(raw: Raw) -> Result<Self, PruneError> {
        let target = Target::one_of(raw.sparsity, raw.nonzeros, raw.bytes)?;
        let stages = Stages::new(raw.schedule, raw.steps, raw.finetune)?;
        Ok(Self { target, scope: raw.scope, rows: calibration_rows(raw.rows)?, stages })
    }
}

/// `|weight| · norm of its input`, for `weights` `[norms, outputs]`.
///
/// # Errors
/// [`PruneError::Length`] when they do not fit.
pub fn scores(weights: &[f32], norms: &[f32]) -> Result<Vec<f32>, PruneError> {
    let outputs = weights.len() / norms.len().max(1);
    PruneError::same_length("weights", weights.len(), norms.len() * outputs)?;
    let rows = weights.chunks_exact(outputs.max(1)).zip(norms);
    Ok(rows.flat_map(|(row, norm)| row.iter().map(move |w| w.abs() * norm)).collect())
}

/// Euclidean norm of every input of site number `site` over up to `rows` training rows.
pub(crate) fn norms(model: &Model, site: usize, rows: usize, cx: &Cx<'_>) -> Result<Vec<f32>, StepError> {
    let width = model.layers()[site].shape.inputs;
    let mut squares = vec![0.0_f64; width];
    each_input(model, site, rows, "measuring inputs", cx, &mut |inputs| {
        for row in inputs.chunks_exact(width) {
            squares.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x) * f64::from(*x));
        }
        Ok(())
    })?;
    Ok(squares.into_iter().map(|sum| sum.sqrt() as f32).collect())
}

impl Wanda {
    /// Scores of the selected sites. Where each site is cut by itself, its inputs are those that the sites before
    /// give once they are cut.
    fn score(&self, model: &Model, cut: &Cut, at: cut::At, cx: &Cx<'_>) -> Result<Vec<Vec<f32>>, StepError> {
        let mut cut_so_far = model.clone();
        let mut all = Vec::new();
        for (i, layer) in model.layers().iter().enumerate() {
            let Some(place) = cut.place(&layer.id) else { continue };
            let norms = norms(&cut_so_far, i, self.rows, cx)?;
            let scores = scores(&layer.weight.values(), &norms);
            all.push(scores.map_err(|e| StepError::Failed(e.to_string()))?);
            if self.scope != Scope::Global {
                cut_so_far = cut.make_one(cut_so_far, place, &all[place], at, &mut keep_largest)?;
            }
        }
        Ok(all)
    }
}

impl Technique for Wanda {
    fn needs(&self) -> Needs {
        Needs { training: true, ..self.stages.needs() }
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        cut::plan(before, on, self.target, self.scope, problems)
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        let cut = Cut::of(&model, on, self.target, self.scope)?;
        let mut score = |model: &Model, at: cut::At, cx: &mut Cx<'_>| self.score(model, &cut, at, cx);
        self.stages.run(model, &cut, cx, &mut score, &mut keep_largest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_weight_on_a_large_input_outweighs() {
        assert_eq!(scores(&[1.0, -2.0, 0.5, 0.1], &[1.0, 10.0]).unwrap(), [1.0, 2.0, 5.0, 1.0]);
        assert!(scores(&[1.0, 2.0, 3.0], &[1.0, 2.0]).is_err());
        assert_eq!(scores(&[], &[]).unwrap(), Vec::<f32>::new());
    }

    #[test]
    fn settings_are_checked() {
        let read = |text: &str| toml::from_str::<Wanda>(text).map_err(|e| e.message().to_owned());
        let wanda = read("sparsity = 0.5").unwrap();
        assert_eq!((wanda.scope, wanda.rows), (Scope::Output, 512));
        assert!(read("sparsity = 0.5\nrows = 0").unwrap_err().contains("rows is 0"));
    }
}
