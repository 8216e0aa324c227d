//! `prune.neurons`: structured pruning of neurons. Hidden units that contribute least to the quality on the validation rows go.
//!
//! A unit's contribution is measured, not guessed: the rise of the validation loss when its output is held at a
//! constant, which is exactly what removing it does. The constant is its mean over the validation rows, which
//! moves into the next bias (`compensate`), or zero. Matrices become physically smaller, so the network is
//! faster anywhere, without sparse kernels.
//!
//! Holding one unit changes the next site's pre-activation by one column times one row, so that all units of a
//! layer are measured from one forward pass, without touching the network.
//!
//! A masked site keeps its share of live entries: after its units are gone, its smallest entries are dropped (or
//! dropped ones let live again, at zero) until the share is as before. So the planned count is exact.

use nlpress_core::Fraction;
use nlpress_model::network::Input;
use nlpress_model::{Dataset, Group, Model, Network, Outline, Shape, SiteId, Units};
use nlpress_technique::settings::BadTable;
use nlpress_technique::{
    Cx, Family, Kind, Made, Needs, Problem, Settings, StepError, Technique, parse, settings,
};
use nlpress_train::{FitConfig, Labels, mean_loss};
use serde::Deserialize;

use crate::PruneError;
use crate::frame::{AFTERWARDS, RIDGE, ROWS, only_dense, pre_activations, reconstruct, relu, ridge, tune_if};
use crate::importance::{self, CRITERION, Importance, ImportanceCriterion, least};
use crate::units::{self, Share, Shares};

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "prune.neurons",
    family: Family::Simplify,
    summary: "Structured pruning of neurons: removes the hidden units whose removal raises the validation loss \
              least, or by another importance; matrices shrink.",
    source: "Mozer and Smolensky 1989 (skeletonization); Molchanov et al. 2017, arXiv:1611.06440 (oracle ranking)",
    example: "remove = 0.5\npasses = 2",
    on: &["hidden.*", "encoder.layer.*.intermediate.dense"],
    settings: &[Raw::SETTINGS],
    parse: parse::<Narrow>,
};

/// The checked configuration of `prune.neurons`, and of `prune.heads` and `prune.width`: units of one kind, of which a share
/// goes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Narrow {
    pub(super) units: Units,
    pub(super) remove: Fraction,
    pub(super) round_to: usize,
    pub(super) criterion: ImportanceCriterion,
    pub(super) passes: usize,
    pub(super) compensate: bool,
    /// The ridge of the fit, where sites are fitted anew.
    pub(super) reconstruct: Option<f64>,
    pub(super) finetune: Option<FitConfig>,
}

settings! {
    struct Raw {
        /// share of the units of each selected hidden layer, more than 0 and at most 1, rounded down; one unit
        /// always stays; required
        remove: Fraction => required().share(),
        /// the width that is left is rounded up to a multiple of this, from 1 to 1024; 1 by default
        round_to: usize => or(1).within(1..=1024),
        #[serde(default = "ablation")]
        criterion: ImportanceCriterion as CRITERION,
        /// removals, with new measurements in between, from 1 to 100; 1 by default
        passes: usize => or(1).within(1..=100),
        /// whether a removed unit's mean output moves into the next bias; true by default
        compensate: bool => or(true),
        /// whether the sites that read fewer units are fitted anew to what they put out before, by least squares on
        /// the training rows; false by default
        #[serde(default)]
        reconstruct: bool,
        ridge: Option<f64> as RIDGE,
        finetune: Option<FitConfig> as AFTERWARDS,
    }
}

fn ablation() -> ImportanceCriterion {
    ImportanceCriterion::Ablation
}

impl TryFrom<Raw> for Narrow {
    type Error = PruneError;

    fn try_from(raw: Raw) -> Result<Self, PruneError> {
        if let (false, Some(value)) = (raw.reconstruct, raw.ridge) {
            return Err(PruneError::setting("ridge", value, "left out unless reconstruct is true"));
        }
        let ridge = ridge().read::<f64, BadTable>("ridge", raw.ridge)?;
        let reconstruct = raw.reconstruct.then_some(ridge);
        let Raw { remove, round_to, criterion, passes, compensate, finetune, .. } = raw;
        let units = Units::Neurons;
        Ok(Self { units, remove, round_to, criterion, passes, compensate, reconstruct, finetune })
    }
}

/// Pre-activations `[rows, width]` of a site when one unit before it outputs `level` on every row.
///
/// `pre` are the site's pre-activations, `column` is the unit's output on every row, `outgoing` the site's
/// weights `[width]` from that unit: one rank-one update, appended to `out`.
///
/// # Panics
/// When `outgoing` is empty.
pub fn hold_unit(
    pre: &[f32],
    column: impl Iterator<Item = f32>,
    level: f32,
    outgoing: &[f32],
    out: &mut Vec<f32>,
) {
    for (row, output) in pre.chunks_exact(outgoing.len()).zip(column) {
        out.extend(row.iter().zip(outgoing).map(|(p, w)| p + (level - output) * w));
    }
}

/// What the units of one hidden layer contribute, on some rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Contributions {
    /// Loss of the network as it is.
    pub loss: f64,
    /// Rise of the loss when a unit outputs its level on every row.
    pub increases: Vec<f64>,
    /// The level that each unit was held at: its mean output, or zero.
    pub levels: Vec<f32>,
}

/// Measures every unit of the hidden layer that site number `site` makes.
///
/// # Errors
/// [`StepError`] when there is no such hidden layer, the data do not fit, the device fails, or on a request to
/// stop.
pub fn measure(
    model: &Model,
    site: usize,
    data: &Dataset,
    compensate: bool,
    cx: &Cx<'_>,
) -> Result<Contributions, StepError> {
    let Some(next) = model.layers().get(site + 1) else {
        return Err(StepError::Failed(format!("site number {site} makes no hidden layer")));
    };
    let Shape { inputs: units, outputs: width, .. } = next.shape;
    let (network, rows) = (Network::bind(model, cx.backend), data.len());
    let mut hidden = Vec::with_capacity(rows * units);
    let mut pre = Vec::with_capacity(rows * width);
    let mut levels = vec![0.0; units];
    for first in (0..rows).step_by(ROWS) {
        let indices: Vec<usize> = (first..rows.min(first + ROWS)).collect();
        let mut part = pre_activations(&network, site, data, &indices)?;
        pre.extend(network.forward(site + 1..site + 2, Input::Activations(&part), None, 0)?.output()?);
        relu(&mut part);
        hidden.extend(part);
    }
    if compensate {
        let mut sums = vec![0.0_f64; units];
        for row in hidden.chunks_exact(units) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        levels = sums.iter().map(|sum| (sum / rows as f64) as f32).collect();
    }
    let weight = next.weight.values();
    let rest = site + 2..network.sites();
    let labels = Labels::of(data.labelled()?);
    let losses = |pre: &[f32]| -> Result<Vec<f64>, StepError> {
        let logits = if rest.is_empty() {
            pre.to_vec()
        } else {
            network.forward(rest.clone(), Input::Activations(pre), None, 0)?.output()?
        };
        let per_unit = logits.chunks_exact(rows * model.graph().outputs());
        Ok(per_unit.map(|logits| mean_loss(&labels, logits, rows)).collect())
    };
    let loss = losses(&pre)?[0];
    let mut increases = Vec::with_capacity(units);
    let at_once = (ROWS * 16 / rows).max(1);
    let mut held = Vec::new();
    for first in (0..units).step_by(at_once) {
        cx.progress("measuring units", first, units)?;
        held.clear();
        for unit in first..units.min(first + at_once) {
            let column = hidden.iter().skip(unit).step_by(units).copied();
            hold_unit(&pre, column, levels[unit], &weight[unit * width..(unit + 1) * width], &mut held);
        }
        increases.extend(losses(&held)?.into_iter().map(|held| held - loss));
    }
    Ok(Contributions { loss, increases, levels })
}

impl Narrow {
    fn share(&self) -> Share<'_> {
        Share { kinds: std::slice::from_ref(&self.units), remove: self.remove, round_to: self.round_to }
    }
}

impl Technique for Narrow {
    fn needs(&self) -> Needs {
        let looks = self.criterion.needs().and(Needs::INPUTS.when(self.reconstruct.is_some()));
        looks.and(Needs::TRAINING.when(self.finetune.is_some()))
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        if self.reconstruct.is_some() {
            only_dense(before, &units::selected(&before.graph, on, &[self.units]), problems);
        }
        self.share().plan(before, on, problems)
    }

    fn apply(&self, mut model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let widths = self.share().groups(model.graph(), on);
        let (original, shares) = (model.clone(), Shares::of(&model));
        let mut stayed: Vec<Vec<usize>> = widths.iter().map(|(g, _)| (0..g.units).collect()).collect();
        for pass in 1..=self.passes {
            let left = |(g, target): &(Group, usize)| g.units - (g.units - target) * pass / self.passes;
            let now = units::above(model.graph(), widths.iter().map(|width| (&width.0, left(width))));
            for now in now.chunks(self.criterion.at_once(now.len())) {
                let found = self.measure(&model, now, cx)?;
                for ((group, left), Importance { scores, levels }) in now.iter().zip(found) {
                    let levels = self.compensate.then_some(&levels[..]);
                    let gone = least(&scores, group.units - left);
                    model = units::remove(model, group, &gone, levels)?;
                    let (mut unit, same) = (0.., |(g, _): &(Group, usize)| g.lead() == group.lead());
                    for (_, stayed) in widths.iter().zip(&mut stayed).filter(|(width, _)| same(width)) {
                        stayed.retain(|_| unit.next().is_some_and(|u| gone.binary_search(&u).is_err()));
                    }
                }
            }
        }
        model = shares.restore(model)?;
        if let Some(ridge) = self.reconstruct {
            let groups: Vec<Group> = widths.iter().map(|(g, _)| g.clone()).collect();
            model = reconstruct(&original, model, &groups, &stayed, ridge, cx)?;
        }
        for (group, target) in widths {
            cx.note(format!("{}: {} of {} units stay", group.lead(), target, group.units));
        }
        tune_if(model, self.finetune.as_ref(), cx)
    }
}

impl Narrow {
    /// What the units of some layers are worth. Ablation in a plain perceptron is measured from one forward pass.
    fn measure(
        &self,
        model: &Model,
        layers: &[(Group, usize)],
        cx: &Cx<'_>,
    ) -> Result<Vec<Importance>, StepError> {
        let plain =
            self.units == Units::Neurons && model.graph().is_chain() && model.graph().ranks().is_empty();
        let groups: Vec<Group> = layers.iter().map(|(group, _)| group.clone()).collect();
        if !plain || self.criterion != ImportanceCriterion::Ablation {
            return importance::score(model, &groups, self.criterion, cx);
        }
        let site = |group: &Group| model.layers().iter().position(|l| &l.id == group.lead());
        let sites = groups.iter().filter_map(site);
        let found = sites.map(|site| measure(model, site, cx.valid, self.compensate, cx));
        found.map(|found| found.map(|f| Importance { scores: f.increases, levels: f.levels })).collect()
    }
}
