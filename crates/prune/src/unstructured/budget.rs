//! `prune.budget`: layer-wise sparsity allocation under a budget of entries or bytes, by measured sensitivity.
//!
//! First the sensitivity is measured: for every selected site and every level of sparsity, how much the validation
//! loss rises when that site alone is cut to that level by magnitude. Then a level is chosen for each site, so that
//! the rises together are the least that the budget allows: exactly, as a multiple-choice knapsack, or greedily, by
//! the least rise for each byte saved. `uniform` gives every site the same share, as the control.
//!
//! That rises add up is an assumption (they are measured one site at a time); the step's note states the loss that
//! the cut really has beside the sum that was expected.

use nlpress_core::{Fraction, Measurement};
use nlpress_model::{Form, Layer, Model, Outline, SiteId};
use nlpress_packed::{Index, Scheme};
use nlpress_technique::spend::{Choice, Method, spend};
use nlpress_technique::{
    Cx, Family, Kind, Made, Needs, Problem, Settings, StepError, Technique, parse, settings,
};
use nlpress_train::FitConfig;
use serde::Deserialize;

use crate::frame::{Scope, SparsityTarget, keep_largest, masked, plan_masks, treatable, tune_if};
use crate::sensitivity::{cut_to, keeps, sensitivity};
use crate::{PruneError, error};

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "prune.budget",
    family: Family::Simplify,
    summary: "Layer-wise sparsity allocation: measures how sensitive each site is to magnitude pruning, and \
              spends a budget of entries or bytes by it.",
    source: "Han et al. 2015, arXiv:1506.02626, section 4.1 (sensitivity); Sinha and Zoltners 1979 \
             (multiple-choice knapsack)",
    example: "sparsity = 0.8\nmethod = \"knapsack\"\nlevels = [0.5, 0.8, 0.9]",
    on: &["**"],
    settings: &[Raw::SETTINGS],
    parse: parse::<Budget>,
};

/// The checked configuration of `prune.budget`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Budget {
    limit: Limit,
    method: Method,
    levels: Vec<Fraction>,
    finetune: Option<FitConfig>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    Sparsity(Fraction),
    Bytes(u64),
}

settings! {
    struct Raw {
        /// share of the selected sites' weights to drop, more than 0 and less than 1; this or bytes
        sparsity: Option<f64>,
        /// most bytes that the weights of the selected sites may take as they ship (the smallest of the float
        /// layouts for each); this or sparsity
        bytes: Option<u64>,
        /// "knapsack" (default): the least rise of the loss within the budget; "greedy": by the least rise for each
        /// byte saved; "uniform": the same share for each site, as the control
        #[serde(default)]
        method: Method,
        /// shares at which the sensitivity of each site is measured, ascending, each more than 0 and less than 1;
        /// [0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.965, 0.98, 0.99] by default
        #[serde(default = "usual_levels")]
        levels: Vec<f64>,
        /// training afterwards with the masks held, as a training table; none by default
        finetune: Option<FitConfig>,
    }
}

fn usual_levels() -> Vec<f64> {
    vec![0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.965, 0.98, 0.99]
}

impl TryFrom<Raw> for Budget {
    type Error = PruneError;

    fn try_from(raw: Raw) -> Result<Self, PruneError> {
        let limit = match (raw.sparsity, raw.bytes) {
            (Some(share), None) => Limit::Sparsity(error::sparsity(share)?),
            (None, Some(0)) => return Err(PruneError::setting("bytes", 0, "at least 1")),
            (None, Some(bytes)) => Limit::Bytes(bytes),
            (Some(_), Some(bytes)) => {
                return Err(PruneError::setting("bytes", bytes, "left out where sparsity is given"));
            }
            (None, None) => return Err(PruneError::setting("sparsity", "missing", "given, or bytes")),
        };
        let bound = "ascending shares, each more than 0 and less than 1";
        let levels = raw.levels.iter().map(|l| error::sparsity(*l)).collect::<Result<Vec<_>, _>>();
        let bad = || PruneError::setting("levels", format!("{:?}", raw.levels), bound);
        let levels = levels.map_err(|_| bad())?;
        if levels.is_empty() || !levels.is_sorted_by(|a, b| a.get() < b.get()) {
            return Err(bad());
        }
        Ok(Self { limit, method: raw.method, levels, finetune: raw.finetune })
    }
}

/// Bytes of a site that keeps `kept` entries, in the smallest of the float layouts.
fn smallest_bytes(layer: &Layer, kept: usize) -> u64 {
    let bytes = |index| Scheme { index, ..Scheme::F32 }.bytes(layer.shape.inputs, layer.shape.outputs, kept);
    bytes(Index::Full).min(bytes(Index::Sparse)) as u64
}

impl Budget {
    /// How many entries each selected site keeps.
    fn counts(
        &self,
        layers: &[&Layer],
        on: &[SiteId],
        model: &Model,
        cx: &mut Cx<'_>,
    ) -> Result<Vec<usize>, StepError> {
        let kept = |l: &Layer| l.weight.kept();
        let cost = |l: &Layer, n: usize| match self.limit {
            Limit::Sparsity(_) => n as u64,
            Limit::Bytes(_) => smallest_bytes(l, n),
        };
        let budget = match self.limit {
            Limit::Sparsity(share) => {
                let size: usize = layers.iter().map(|l| l.shape.weights()).sum();
                (size - share.of(size)) as u64
            }
            Limit::Bytes(bytes) => bytes,
        };
        if self.method == Method::Uniform {
            let total: u64 = layers.iter().map(|l| cost(l, kept(l))).sum();
            // The same share of each, the largest that fits: found by halving, as bytes are no straight line.
            let at = |share: f64| -> Vec<usize> {
                layers.iter().map(|l| (kept(l) as f64 * share).floor() as usize).collect()
            };
            let fits =
                |counts: &[usize]| layers.iter().zip(counts).map(|(l, n)| cost(l, *n)).sum::<u64>() <= budget;
            if total <= budget {
                return Ok(layers.iter().map(|l| kept(l)).collect());
            }
            if !fits(&at(0.0)) {
                return Err(self.too_small(budget));
            }
            let (mut low, mut high) = (0.0, 1.0);
            for _ in 0..40 {
                let middle = 0.5 * (low + high);
                *(if fits(&at(middle)) { &mut low } else { &mut high }) = middle;
            }
            return Ok(at(low));
        }
        let found = sensitivity(model, on, &self.levels, cx)?;
        let sites: Vec<Vec<Choice>> = layers
            .iter()
            .zip(&found.rises)
            .map(|(layer, rises)| {
                let full = Choice { cost: cost(layer, kept(layer)), rise: 0.0 };
                let cut = self.levels.iter().zip(rises);
                let cut =
                    cut.map(|(level, rise)| Choice { cost: cost(layer, keeps(layer, *level)), rise: *rise });
                std::iter::once(full).chain(cut).collect()
            })
            .collect();
        for (site, (rises, points)) in found.sites.iter().zip(found.rises.iter().zip(&found.points)) {
            let at = self.levels.iter().zip(rises.iter().zip(points));
            let text: Vec<String> = at
                .map(|(l, (rise, points))| format!("{} % {rise:+.4} ({points:+.1})", 100.0 * l.get()))
                .collect();
            cx.note(format!("sensitivity of {site}, rise of the loss (points lost): {}", text.join(", ")));
            for (level, rise) in self.levels.iter().zip(rises) {
                let name = format!("sensitivity.{site}.{}", level.get());
                cx.measure(Measurement::lower(&name, *rise, "nats"));
            }
        }
        let chosen = spend(&sites, budget, self.method).ok_or_else(|| self.too_small(budget))?;
        let expected: f64 = sites.iter().zip(&chosen).map(|(s, c)| s[*c].rise).sum();
        cx.note(format!(
            "the loss was {:.4}; the chosen levels were expected to add {expected:.4}",
            found.loss
        ));
        Ok(layers
            .iter()
            .zip(chosen)
            .map(|(layer, choice)| match choice {
                0 => kept(layer),
                n => keeps(layer, self.levels[n - 1]),
            })
            .collect())
    }

    /// What the levels leave over of the budget goes to the largest of the entries that they would drop.
    fn spend_spare(&self, layers: &[&Layer], counts: &mut Vec<usize>) -> Result<(), StepError> {
        if self.method == Method::Uniform && matches!(self.limit, Limit::Bytes(_)) {
            return Ok(());
        }
        let dropped: usize = layers.iter().zip(&*counts).map(|(l, n)| l.weight.kept() - n).sum();
        let with = |spare| -> Result<Vec<usize>, StepError> {
            let more = spread_spare(layers, counts, spare)?;
            Ok(counts.iter().zip(more).map(|(count, more)| count + more).collect())
        };
        let bytes = match self.limit {
            Limit::Sparsity(share) => {
                let size: usize = layers.iter().map(|l| l.shape.weights()).sum();
                *counts = with((size - share.of(size)).saturating_sub(counts.iter().sum()))?;
                return Ok(());
            }
            Limit::Bytes(bytes) => bytes,
        };
        let (mut fits, mut too_many) = (0, dropped + 1);
        while too_many - fits > 1 {
            let middle = fits + (too_many - fits) / 2;
            let total: u64 = layers.iter().zip(with(middle)?).map(|(l, n)| smallest_bytes(l, n)).sum();
            *(if total <= bytes { &mut fits } else { &mut too_many }) = middle;
        }
        *counts = with(fits)?;
        Ok(())
    }

    fn too_small(&self, budget: u64) -> StepError {
        let most = self.levels.last().map_or(0.0, |l| l.get());
        StepError::Failed(match self.limit {
            Limit::Bytes(_) => {
                format!("bytes is {budget}, but the selected sites take more even at level {most}")
            }
            Limit::Sparsity(share) => format!(
                "sparsity {} is more than the last of levels, {most}: give a larger level",
                share.get()
            ),
        })
    }
}

impl Technique for Budget {
    fn needs(&self) -> Needs {
        Needs::VALIDATION.and(Needs::TRAINING.when(self.finetune.is_some()))
    }

    fn exact(&self) -> bool {
        matches!(self.limit, Limit::Sparsity(_))
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        if let Limit::Sparsity(share) = self.limit {
            if self.method != Method::Uniform && self.levels.last().is_some_and(|l| l.get() < share.get()) {
                problems
                    .push(Problem::of_step("sparsity is more than the last of levels: give a larger level"));
            }
            let target = SparsityTarget::Sparsity(share);
            return plan_masks(before, on, target, Scope::Global, problems);
        }
        let mut after = before.clone();
        for site in treatable(before, on, problems) {
            if let Some(site) = after.site_mut(&site.id) {
                site.form = Form::Masked;
            }
        }
        after
    }

    fn apply(&self, mut model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        cx.progress("measuring sensitivity", 0, 1)?;
        let layers: Vec<&Layer> = model.layers_of(on).collect();
        let mut counts = self.counts(&layers, on, &model, cx)?;
        let ids: Vec<SiteId> = layers.iter().map(|l| l.id.clone()).collect();
        self.spend_spare(&layers, &mut counts)?;
        let before = cx.loss(&model)?;
        for (id, count) in ids.iter().zip(&counts) {
            model = cut_to(model, id, *count)?;
            if model.layer(id).is_some_and(|l| l.weight.form() == Form::Dense) {
                let keep = model.layer(id).map(|l| l.weight.keep()).unwrap_or_default();
                model = masked(model, id, keep)?;
            }
        }
        let after = cx.loss(&model)?;
        cx.note(format!("the cut itself added {:.4} to the validation loss", after - before));
        tune_if(model, self.finetune.as_ref(), cx)
    }
}

/// How many more entries each site keeps, when the `spare` largest of those that `counts` would drop stay.
fn spread_spare(layers: &[&Layer], counts: &[usize], spare: usize) -> Result<Vec<usize>, StepError> {
    let values: Vec<_> = layers.iter().map(|l| l.weight.values()).collect();
    let mut dropped = Vec::new();
    for ((layer, values), count) in layers.iter().zip(&values).zip(counts) {
        let kept = layer.weight.keep();
        let stays = keep_largest(&[values], std::slice::from_ref(&kept), *count)?.remove(0);
        dropped.push(kept.iter().zip(&stays).map(|(k, s)| *k && !*s).collect::<Vec<bool>>());
    }
    let slices: Vec<&[f32]> = values.iter().map(|v| v.as_ref()).collect();
    let back = keep_largest(&slices, &dropped, spare)?;
    Ok(back.iter().map(|mask| mask.iter().filter(|k| **k).count()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        let read = |text: &str| toml::from_str::<Budget>(text).map_err(|e| e.message().to_owned());
        assert!(read(KIND.example).is_ok());
        assert!(!read("bytes = 1000").unwrap().exact());
        for (bad, says) in [
            ("", "sparsity is missing"),
            ("sparsity = 0.5\nbytes = 10", "bytes is 10"),
            ("bytes = 0", "bytes is 0"),
            ("sparsity = 0.5\nlevels = []", "levels is []"),
            ("sparsity = 0.5\nlevels = [0.5, 0.4]", "ascending"),
            ("sparsity = 0.5\nlevels = [0.5, 1.0]", "levels is [0.5, 1.0]"),
            ("sparsity = 0.5\nmethod = \"best\"", "best"),
        ] {
            let message = read(bad).unwrap_err();
            assert!(message.contains(says), "{bad}: {message}");
        }
    }
}
