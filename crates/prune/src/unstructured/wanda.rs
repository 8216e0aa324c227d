//! `prune.wanda`: Wanda, pruning by magnitude of the weight times norm of its input.
//!
//! A small weight on a large input matters more than a large weight on an input that is nearly always zero. The
//! norm of each input over some hundred rows is all that it needs beside the weights: no derivative and no
//! training. Sites are cut in the order of the forward pass, each with the inputs that the cut sites before give.
//! Within the incoming weights of one output by default, because inputs of different sites are of different size.

use nlpress_model::Model;
use nlpress_technique::{Cx, Family, Kind, Needs, Settings, StepError, parse, settings};
use std::collections::BTreeMap;

use crate::PruneError;
use crate::frame::{
    CALIBRATION, Criterion, MaskBuilder, SCHEDULE, SCOPE, SchedulePoint, Scope, TARGET, Unstructured,
    calibration, each_input, keep_largest,
};

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "prune.wanda",
    family: Family::Simplify,
    summary: "Wanda, pruning by weights and activations: drops the connections of the smallest magnitude \
              times norm of their input.",
    source: "Sun et al. 2023, arXiv:2306.11695",
    example: "sparsity = 0.5\nrows = 64",
    on: &["**"],
    settings: &[
        TARGET,
        &[SCOPE.saying(
            "\"output\": among the incoming weights of each output (default); \"site\": within each site; \
             \"global\": over all selected sites",
        )],
        Wanda::SETTINGS,
        SCHEDULE,
    ],
    parse: parse::<Unstructured<Wanda>>,
};

settings! {
    /// Magnitude of a weight times the norm of its input is its score.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Wanda {
        rows: usize as CALIBRATION => calibration(),
    }
}

impl Criterion for Wanda {
    const KIND: Kind = KIND;
    const DEFAULT_SCOPE: Scope = Scope::Output;

    fn needs(&self) -> Needs {
        Needs::INPUTS
    }

    /// Where each site is pruned by itself, its inputs are those that the sites before give once they are pruned; where all
    /// compete, no site is pruned before, and all inputs are measured in one pass.
    fn scores(
        &self,
        model: &Model,
        masks: &MaskBuilder,
        at: SchedulePoint,
        cx: &mut Cx<'_>,
    ) -> Result<Vec<Vec<f32>>, StepError> {
        let layers = model.layers();
        let scored = |site: usize, norms: &[f32]| -> Result<Vec<f32>, StepError> {
            Ok(scores(&layers[site].weight.values(), norms)?)
        };
        let sites: Vec<usize> = (0..layers.len()).filter(|i| masks.place(&layers[*i].id).is_some()).collect();
        if masks.scope() == Scope::Global {
            let norms = norms(model, &sites, self.rows, cx)?;
            return sites.iter().zip(&norms).map(|(site, norms)| scored(*site, norms)).collect();
        }
        let (mut pruned, mut all) = (model.clone(), Vec::new());
        for (place, site) in sites.into_iter().enumerate() {
            all.push(scored(site, &norms(&pruned, &[site], self.rows, cx)?[0])?);
            pruned = masks.prune_site(pruned, place, &all[place], at, &mut keep_largest)?;
        }
        Ok(all)
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

/// Euclidean norm of every input of each of these sites over up to `rows` training rows, in one pass over them.
pub(crate) fn norms(
    model: &Model,
    sites: &[usize],
    rows: usize,
    cx: &Cx<'_>,
) -> Result<Vec<Vec<f32>>, StepError> {
    let mut squares: BTreeMap<usize, Vec<f64>> =
        sites.iter().map(|site| (*site, vec![0.0; model.layers()[*site].shape.inputs])).collect();
    each_input(model, sites, (cx.train, &cx.draw_ascending(rows)), cx, &mut |site, inputs| {
        let sums = squares.get_mut(&site).expect("a site that was asked for");
        for row in inputs.iter() {
            row.columns.iter().zip(row.values).for_each(|(c, x)| sums[*c as usize] += f64::from(*x).powi(2));
        }
        Ok(())
    })?;
    let norms = |site| squares[site].iter().map(|sum| sum.sqrt() as f32).collect();
    Ok(sites.iter().map(norms).collect())
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
        let read =
            |text: &str| toml::from_str::<Unstructured<Wanda>>(text).map_err(|e| e.message().to_owned());
        let wanda = read("sparsity = 0.5").unwrap();
        assert_eq!(wanda.criterion().rows, 512);
        assert_eq!(wanda, read("sparsity = 0.5\nscope = 'output'").unwrap());
        assert!(read("sparsity = 0.5\nrows = 0").unwrap_err().contains("rows is 0"));
    }
}
