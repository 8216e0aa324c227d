//! Post-training quantization with calibration rows (AWQ, GPTQ, AdaRound): one technique, with its settings, its walk
//! over the sites in the order of the forward pass, its corrections and its measurements. The techniques differ in the
//! [`Solver`], which chooses the integers of a site.
//!
//! A thousand rows are few for two thousand words, and a solution fits them better than other rows. So a quarter of
//! the rows is held out, and decides for each output whether a solution is better than rounding to the nearest.

use nlpress_core::Measurement;
use nlpress_model::{Model, Network, Outline, SiteId, Weight};
use nlpress_packed::{Per, Scheme};
use nlpress_technique::settings::split;
use nlpress_technique::{Cx, Kind, Made, Needs, Problem, Setting, Settings, StepError, Technique};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;

use crate::calibration::{ACTIVATIONS, Calibration};
use crate::candidates::{Choice, Task};
use crate::correct::{self, Correct};
use crate::lattice::{Coded, Lattice, Plain, Span};
use crate::moments::{Moments, Seen, off};
use crate::rounding::Clip;
use crate::{QuantError, fold, settings, sites};

/// Most inputs of a site whose Gram matrix is held: 128 MiB for each set of rows.
pub(crate) const WIDEST: usize = 4096;
/// Rows of one forward pass.
const ROWS: usize = 256;

/// How the integers of a site are chosen, and the settings of that.
pub(crate) trait Solver: Clone + Debug + Send + Sync + DeserializeOwned + 'static {
    /// The technique's entry.
    const KIND: Kind;

    /// Chooses the integers of a site.
    fn choose(&self, lattice: Lattice, task: &Task<'_>) -> Result<Choice, StepError>;
}

/// A technique that chooses by the solver `S`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "toml::Table", bound = "S: Solver")]
pub(crate) struct Calibrated<S> {
    lattice: Lattice,
    samples: usize,
    correct: Correct,
    activations: Option<Calibration>,
    solver: S,
}

nlpress_technique::settings! {
    /// The settings that all of them have.
    struct Shared {
        /// the integers: "int8" (±127), "int4" (±7, default), "int3" (±3), "int2" (±1 and ±3), "ternary" (0 and ±1)
        /// or "binary" (±1)
        grid: Option<String>,
        /// "channel" (default): one scale for each output; "tensor": one for each site; a number from 16 to 128,
        /// the group size: one for each group of consecutive inputs of one output
        #[serde(default, deserialize_with = "settings::per")]
        per: Option<Per>,
        /// calibration rows, drawn from the training rows by the seed, from 1 to 1000000; 1024 by default. From 8
        /// on a quarter of them is held out, and decides which of several solutions is best
        samples: usize => or(1024).within(1..=1_000_000),
        /// "none" (default); "bias": bias correction, each bias takes up the mean error of its output; "norm":
        /// scales restore the Euclidean norm of each output's weights; "both"
        #[serde(default)]
        correct: Correct,
        activations: Option<Calibration> as ACTIVATIONS,
    }
}

/// The settings of the integers, which come before the solver's own.
pub(crate) const GRID: &[Setting] = Shared::SETTINGS.split_at(2).0;
/// The settings of the rows, the corrections and the activations, which come after them.
pub(crate) const SAMPLES: &[Setting] = Shared::SETTINGS.split_at(2).1;

fn read_per(per: Option<Per>) -> Result<Span, QuantError> {
    match per {
        None | Some(Per::Channel) => Ok(Span::Channel),
        Some(Per::Tensor) => Ok(Span::Tensor),
        Some(Per::Group(size)) => Ok(Span::Group(size)),
        Some(Per::Row) => Err(QuantError::setting(
            "per",
            "\"row\"",
            "\"channel\", \"tensor\" or a number of inputs from 16 to 128: outputs are solved for one by one",
        )),
    }
}

impl<S: Solver> TryFrom<toml::Table> for Calibrated<S> {
    type Error = String;

    fn try_from(table: toml::Table) -> Result<Self, String> {
        let (shared, solver): (Shared, S) = split(table, S::KIND.settings).map_err(|e| e.to_string())?;
        let says = |e: QuantError| e.to_string();
        let grid = settings::grid(shared.grid.as_deref().unwrap_or("int4")).map_err(says)?;
        let lattice = Lattice { grid, span: read_per(shared.per).map_err(says)? };
        let correct = shared.correct;
        if correct.norm() && lattice.span == Span::Tensor {
            let value = format!("{:?}", if correct.bias() { "both" } else { "norm" });
            let bound = "\"none\" or \"bias\" with per = \"tensor\", which has no scale for each output";
            return Err(says(QuantError::setting("correct", value, bound)));
        }
        Ok(Self { lattice, samples: shared.samples, correct, activations: shared.activations, solver })
    }
}

impl<S: Solver> Technique for Calibrated<S> {
    fn needs(&self) -> Needs {
        Needs::INPUTS
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        for site in before.sites.iter().filter(|s| on.contains(&s.id) && s.shape.inputs > WIDEST) {
            let why = format!("it has {} inputs, but at most {WIDEST} can be looked at", site.shape.inputs);
            problems.push(Problem::at(&site.id, why));
        }
        let after = sites::plan(before, on, self.lattice.values(), problems);
        Calibration::plan_if(self.activations.as_ref(), after, on)
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let model = self.pack(model, on, cx)?;
        Ok(Calibration::apply_if(self.activations.as_ref(), model, on, cx)?.into())
    }
}

impl<S: Solver> Calibrated<S> {
    /// Why a site's factors cannot go into the site before it, if they cannot.
    fn cannot_fold(&self, absorbs: Option<&SiteId>, done: &BTreeMap<SiteId, Coded>) -> Option<&'static str> {
        match absorbs {
            None => Some("nothing before it can take a factor for each input"),
            Some(id) if !done.contains_key(id) => {
                Some("the site before it, which could take factors, is not quantized by this step")
            }
            Some(_) if self.lattice.span == Span::Tensor => {
                Some("the site before it has one scale, which cannot take a factor for each output")
            }
            Some(_) => None,
        }
    }

    /// Packs the selected sites in the order of the forward pass, each with what the solver makes of it and of the
    /// inputs that the sites before it now give.
    fn pack(&self, mut model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        let selected = sites::selected(&model, on)?;
        let mut done: BTreeMap<SiteId, Coded> = BTreeMap::new();
        let mut totals = sites::Totals::default();
        for (count, &site) in selected.iter().enumerate() {
            let [solved, unseen, moments] = self.look(&model, site, cx)?;
            let layer = &model.layers()[site];
            let failed = |e: QuantError| StepError::at(&layer.id, e);
            let (keep, index) = sites::unpacked(layer)?;
            let values = layer.weight.values();
            let outputs = layer.shape.outputs;
            let plain = Plain::new(&values, outputs, keep).map_err(failed)?;
            let absorbs = model.graph().fold_target(&layer.id).cloned();
            let cannot_fold = self.cannot_fold(absorbs.as_ref(), &done);
            let at = (count, selected.len());
            let task = Task {
                site: layer,
                plain,
                moments: &solved,
                judges: [&unseen, &moments],
                cannot_fold,
                cx,
                at,
            };
            let mut choice = self.solver.choose(self.lattice, &task)?;
            if self.correct.norm() {
                let longer = correct::norm(&values, &unfolded(&choice, keep, outputs), outputs);
                choice.coded.scale_outputs(&longer.map_err(failed)?);
            }
            let (now, mut bias) = (unfolded(&choice, keep, outputs), layer.bias.clone());
            let nearest = self.lattice.nearest(&plain, self.lattice.fit(&plain, Clip::Max)).values(keep);
            measure(&layer.id, (&values, outputs), [&now, &nearest], [&moments, &unseen], cx);
            if self.correct.bias() {
                let more = correct::bias(&values, &now, moments.mean(), outputs);
                let more = more.map_err(failed)?;
                bias.iter_mut().zip(more).for_each(|(b, more)| *b += more);
            }
            let matrix = choice.coded.matrix(keep, index).map_err(failed)?;
            let stood_for = match &choice.factors {
                Some(factors) => fold::multiplied(&values, outputs, factors),
                None => values.to_vec(),
            };
            totals.add(&layer.id, &stood_for, &matrix, index, cx);
            cx.note(format!("site {}: {}", layer.id, choice.note));
            let scheme = Scheme { values: self.lattice.values(), index };

            let (graph, mut layers) = model.into_parts();
            layers[site].weight = Weight::Packed { scheme, matrix };
            layers[site].bias = bias;
            done.insert(layers[site].id.clone(), choice.coded);
            if let (Some(factors), Some(id)) = (&choice.factors, &absorbs) {
                fold::fold(factors, id, &mut layers, &mut done)?;
            }
            model = Model::new(graph, layers)?;
        }
        totals.report(cx);
        cx.progress("quantizing", selected.len(), selected.len())?;
        Ok(model)
    }

    /// Gram matrices of a site's inputs on the rows to solve for, the held-out ones, and all.
    fn look(&self, model: &Model, site: usize, cx: &Cx<'_>) -> Result<[Moments; 3], StepError> {
        let network = Network::bind(model, cx.backend);
        let mut drawn = cx.draw(self.samples);
        let held = drawn.split_off(if drawn.len() < 8 { drawn.len() } else { drawn.len() - drawn.len() / 4 });
        let inputs = model.layers()[site].shape.inputs;
        let mut seen = [Seen::new(inputs), Seen::new(inputs)];
        let (mut dense, mut done) = (Vec::new(), 0);
        for (seen, rows) in seen.iter_mut().zip([&mut drawn, &mut { held }]) {
            rows.sort_unstable();
            for indices in rows.chunks(ROWS) {
                cx.progress("summing up inputs", done, self.samples.min(cx.train.len()))?;
                done += indices.len();
                let rows = network.site_inputs(site, cx.train.examples(), indices)?;
                dense.clear();
                rows.densify(0..rows.len(), &mut dense);
                seen.add(&dense)?;
            }
        }
        let [solved, held] = seen;
        let mut all = solved.clone();
        all.merge(&held)?;
        let held = if held.rows() == 0 { &all } else { &held };
        Ok([&solved, held, &all].map(|seen| seen.moments(self.correct.bias())))
    }
}

/// What the integers of a choice stand for on the inputs as they were before any factor, on which everything is judged.
fn unfolded(choice: &Choice, keep: Option<&[bool]>, outputs: usize) -> Vec<f32> {
    let mut values = choice.coded.values(keep);
    for (row, factor) in values.chunks_exact_mut(outputs).zip(choice.factors.iter().flatten()) {
        row.iter_mut().for_each(|w| *w /= factor);
    }
    values
}

/// Measures how far a site's outputs are off, of their variance: as it was solved and rounded to the nearest, on all rows and
/// on those that were held out.
fn measure(
    site: &SiteId,
    (values, outputs): (&[f32], usize),
    [now, nearest]: [&[f32]; 2],
    [all, unseen]: [&Moments; 2],
    cx: &mut Cx<'_>,
) {
    for (name, coded, moments) in [
        ("output_mse", now, all),
        ("nearest_mse", nearest, all),
        ("unseen_mse", now, unseen),
        ("unseen_nearest_mse", nearest, unseen),
    ] {
        let variance: f64 = moments.variances(values, outputs).iter().sum();
        let error: f64 = moments.errors(&off(values, coded), outputs).iter().sum();
        let relative = if error == 0.0 { 0.0 } else { error / variance.max(f64::MIN_POSITIVE) };
        cx.measure(Measurement::lower(&format!("{name}.{site}"), relative.min(f64::MAX), "1"));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn settings_are_checked_by_name() {
        for kind in [crate::gptq::KIND, crate::awq::KIND, crate::adaround::KIND] {
            let read = |text: &str| (kind.parse)(&text.parse().unwrap()).map(|_| ());
            for good in
                ["", "per = 16", "per = 'tensor'\ncorrect = 'bias'", "grid = 'int2'\ncorrect = 'both'"]
            {
                assert_eq!(read(good), Ok(()), "{good}");
            }
            for (bad, says) in [
                ("grid = 'int5'", "grid is \"int5\", but it must be \"int8\", \"int4\""),
                ("per = 'row'", "per is \"row\""),
                ("per = 15", "per is 15, but it must be"),
                ("per = -1", "per is -1"),
                ("samples = 0", "samples is 0, but it must be between 1 and 1000000"),
                ("per = 'tensor'\ncorrect = 'norm'", "correct is \"norm\", but it must be"),
                ("correct = 'all'", "unknown value `all`"),
            ] {
                let message = read(bad).unwrap_err();
                assert!(message.contains(says), "{bad}: {message}");
            }
        }
    }
}
