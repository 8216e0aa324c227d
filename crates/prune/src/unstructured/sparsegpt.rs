//! `prune.sparsegpt`: SparseGPT, layer-wise reconstruction after pruning by the optimal brain surgeon.
//!
//! Each site is to compute what it did, `X · W` on the rows at hand, with fewer weights. Dropping one weight costs least when the others of its output move
//! to make up for it: the optimal brain surgeon (Hassibi and Stork 1993), whose cost is `w² / [H⁻¹]ᵢᵢ` with
//! `H = XᵀX`. SparseGPT does that for all outputs at once with one inverse: inputs are frozen one after the other,
//! and what a dropped weight leaves undone goes to the inputs that are still free. The inverse of what is left of
//! `H` at each step is a row of one Cholesky factor.
//!
//! Not every output matters alike. With `weigh = "loss"`, an error at an output costs the mean squared derivative of
//! the loss by it: the second derivatives of the loss itself, in Kronecker-factored form (Martens and Grosse 2015).
//! How many entries each site keeps is still a ranking by magnitude: shared out by these costs, small sites starve at
//! high sparsity, and the network dies.
//!
//! The bias takes part as the weight of an input that is always one, is never dropped and is frozen last. Sites are
//! treated in the order of the forward pass, each with the inputs that the pruned sites before it give. All sums
//! are in double precision, in the order of the rows.

use nlpress_model::{Layer, Model, Network, Outline, SiteId, Weight};
use nlpress_technique::{
    Cx, Family, Kind, Made, Needs, Problem, Settings, StepError, Technique, parse, settings,
};
use nlpress_train::{Labels, Objective};
use serde::{Deserialize, Serialize};

use super::pattern::NOfM;
use crate::PruneError;
use crate::frame::{
    CALIBRATION, MaskBuilder, PruningSchedule, SCHEDULE, SCOPE, SchedulePoint, Scope, Shared, SparsityTarget,
    TARGET, calibration, dense, each_input, keep_each_output, keep_in_outputs, keep_largest, kept_by_output,
    plan_masks,
};
use crate::solve::{Gram, inverse_factor};

/// Widest input that is solved for: 128 MiB of sums, and less than a minute.
pub const WIDEST: usize = 4096;

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "prune.sparsegpt",
    family: Family::Simplify,
    summary: "SparseGPT, the optimal brain surgeon at scale: drops connections by second derivatives and \
              moves the others so that each site computes what it did.",
    source: "Frantar and Alistarh 2023, arXiv:2301.00774; Hassibi and Stork 1993 (optimal brain surgeon); \
             weighing: Martens and Grosse 2015, arXiv:1503.05671",
    example: "sparsity = 0.5\nrows = 64\nblock = 8",
    on: &["**"],
    settings: &[
        TARGET,
        &[Raw::SETTINGS[0], SCOPE.saying(
            "\"global\": each site keeps as many as a ranking over all sites gives it, by magnitude (default); \
             \"site\": its share; \"output\": so does each output",
        )],
        Raw::SETTINGS.split_at(1).1,
        SCHEDULE,
    ],
    parse: parse::<SparseGpt>,
};

/// The checked configuration of `prune.sparsegpt`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct SparseGpt {
    what: What,
    rows: usize,
    block: usize,
    damping: f64,
    weigh: Weigh,
    schedule: PruningSchedule,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Target(SparsityTarget, Scope),
    NOfM(NOfM),
}

/// What an error at an output of a site costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weigh {
    /// As much as at any other.
    Even,
    /// Each output weighted by the mean squared derivative of the loss by its pre-activation.
    #[default]
    Loss,
}

settings! {
    struct Raw {
        /// "2:4" and so on: keep N of every M consecutive inputs of each output, in place of sparsity
        n_m: Option<NOfM>,
        /// "even": errors of all outputs of a site count alike; "loss" (default): each output is weighted by the
        /// mean squared derivative of the loss by it
        #[serde(default)]
        weigh: Weigh,
        rows: usize as CALIBRATION => calibration(),
        /// inputs whose entries are chosen at a time, from 1 to 4096; 128 by default
        block: usize => or(128).within(1..=WIDEST),
        /// added to H's diagonal, relative to its mean, from 1e-8 to 1; 0.01 by default
        damping: f64 => or(0.01).when(|x: &f64| (1e-8..=1.0).contains(x), "between 1e-8 and 1"),
    }
}

impl TryFrom<toml::Table> for SparseGpt {
    type Error = PruneError;

    fn try_from(table: toml::Table) -> Result<Self, PruneError> {
        let (shared, raw): (Shared, Raw) = settings::split(table, KIND.settings)?;
        let what = match raw.n_m {
            None => {
                let target = SparsityTarget::one_of(shared.sparsity, shared.nonzeros, shared.bytes)?;
                What::Target(target, shared.scope.unwrap_or_default())
            }
            Some(n_m) => {
                let bound = "left out with n_m, which says how much is kept where";
                match (shared.sparsity, shared.nonzeros, shared.bytes, shared.scope) {
                    (Some(share), ..) => return Err(PruneError::setting("sparsity", share, bound)),
                    (_, Some(count), ..) => return Err(PruneError::setting("nonzeros", count, bound)),
                    (_, _, Some(bytes), _) => return Err(PruneError::setting("bytes", bytes, bound)),
                    (.., Some(_)) => return Err(PruneError::setting("scope", "given", bound)),
                    _ => What::NOfM(n_m),
                }
            }
        };
        let Raw { rows, block, damping, weigh, .. } = raw;
        let schedule = PruningSchedule::new(shared.schedule, shared.steps, shared.finetune)?;
        if let What::NOfM(n_m) = what {
            if !block.is_multiple_of(n_m.of()) {
                return Err(PruneError::setting("block", block, "a multiple of the m of n_m"));
            }
            if schedule.in_steps() {
                let bound = "\"one_shot\" with n_m, which has no steps";
                return Err(PruneError::setting("schedule", "given", bound));
            }
        }
        Ok(Self { what, rows, block, damping, weigh, schedule })
    }
}

/// A weight that is being pruned: `[inputs, outputs]`, with the bias, where there is one, as one more input at the end.
#[derive(Debug)]
pub struct Surgery {
    inputs: usize,
    /// The inputs, and one more for a bias.
    width: usize,
    outputs: usize,
    /// `[width, outputs]`.
    weights: Vec<f64>,
    /// What an error at each output costs.
    importance: Vec<f64>,
    /// Upper factor `U` with `Uᵀ · U = (H + damping)⁻¹`, `[width, width]`.
    factor: Vec<f64>,
}

impl Surgery {
    /// Prepares to prune `weights` `[inputs, outputs]` with their `bias`, of which there may be none, for the inputs summed
    /// up in `gram`, where an error at an output costs its `importance`.
    ///
    /// # Errors
    /// [`PruneError`] when they do not fit, or the sums are not finite or cannot be inverted.
    pub fn new(
        weights: &[f32],
        bias: &[f32],
        importance: &[f64],
        gram: &Gram,
        damping: f64,
    ) -> Result<Self, PruneError> {
        let (inputs, outputs) = (gram.width(), importance.len());
        if !bias.is_empty() {
            PruneError::same_length("bias", bias.len(), outputs)?;
        }
        PruneError::same_length("weights", weights.len(), inputs * outputs)?;
        let singular =
            || PruneError::setting("damping", damping, "larger: the inputs' products cannot be inverted");
        let width = inputs + usize::from(!bias.is_empty());
        let mut products = gram.with_constant(damping);
        if width == inputs {
            let rows = products.chunks_exact(inputs + 1).take(inputs);
            products = rows.flat_map(|row| &row[..inputs]).copied().collect();
        }
        let factor = inverse_factor(products, width).ok_or_else(singular)?;
        let weights = weights.iter().chain(bias).map(|w| f64::from(*w)).collect();
        Ok(Self { inputs, width, outputs, weights, importance: importance.to_vec(), factor })
    }

    /// What dropping each entry of the inputs `from..to` would cost now: `w² / [H⁻¹]` times the importance of the
    /// output, `[to - from, outputs]`.
    ///
    /// # Panics
    /// When there are no such inputs.
    pub fn costs(&self, from: usize, to: usize) -> Vec<f32> {
        let n = self.width;
        let of = |i: usize| {
            let d = self.factor[i * n + i];
            let row = self.weights[i * self.outputs..(i + 1) * self.outputs].iter().zip(&self.importance);
            row.map(move |(w, importance)| ((w / d).powi(2) * importance) as f32)
        };
        (from..to).flat_map(of).collect()
    }

    /// Freezes input `i`: entries not in `keep` become zero, and the inputs after it make up for them.
    ///
    /// # Panics
    /// When there is no such input or `keep` is not as long as the outputs.
    pub fn freeze(&mut self, i: usize, keep: &[bool]) {
        assert_eq!(keep.len(), self.outputs);
        let (n, outputs) = (self.width, self.outputs);
        let (done, rest) = self.weights.split_at_mut((i + 1) * outputs);
        let row = &mut done[i * outputs..];
        let d = self.factor[i * n + i];
        let mut gone: Vec<(usize, f64)> = Vec::new();
        for ((o, w), _) in row.iter_mut().enumerate().zip(keep).filter(|(_, keep)| !**keep) {
            if *w != 0.0 {
                gone.push((o, *w / d));
                *w = 0.0;
            }
        }
        for (k, later) in rest.chunks_exact_mut(outputs).enumerate() {
            let u = self.factor[i * n + i + 1 + k];
            if u != 0.0 {
                gone.iter().for_each(|(o, error)| later[*o] -= error * u);
            }
        }
    }

    /// The weights and the bias as they are now.
    pub fn finish(self) -> (Vec<f32>, Vec<f32>) {
        let mut weights: Vec<f32> = self.weights.into_iter().map(|w| w as f32).collect();
        let bias = weights.split_off(self.inputs * self.outputs);
        (weights, bias)
    }
}

impl SparseGpt {
    /// Entries of a block to keep, by what dropping them would cost: as many as `like`, a choice made before.
    fn choose_like(
        &self,
        costs: &[f32],
        kept: &[bool],
        outputs: usize,
        like: &[bool],
    ) -> Result<Vec<bool>, PruneError> {
        match self.what {
            What::Target(_, Scope::Output) => {
                keep_in_outputs(costs, kept, &kept_by_output(like, outputs), &mut keep_largest)
            }
            What::Target(..) => {
                let count = like.iter().filter(|k| **k).count();
                Ok(keep_largest(&[costs], &[kept.to_vec()], count)?.remove(0))
            }
            What::NOfM(n_m) => n_m.keep(costs, outputs),
        }
    }

    /// The first choice, for the whole site.
    fn choose(
        &self,
        costs: &[f32],
        kept: &[bool],
        outputs: usize,
        count: usize,
    ) -> Result<Vec<bool>, PruneError> {
        match self.what {
            What::Target(_, Scope::Output) => {
                keep_each_output(costs, kept, outputs, count, &mut keep_largest)
            }
            What::Target(..) => Ok(keep_largest(&[costs], &[kept.to_vec()], count)?.remove(0)),
            What::NOfM(n_m) => n_m.keep(costs, outputs),
        }
    }

    /// A site, ready to be pruned.
    fn surgery(
        &self,
        model: &Model,
        site: usize,
        importance: &[Vec<f64>],
        cx: &Cx<'_>,
    ) -> Result<Surgery, StepError> {
        let layer = &model.layers()[site];
        let mut gram = Gram::new(layer.shape.inputs);
        let drawn = (cx.train, &*cx.draw_ascending(self.rows));
        each_input(model, &[site], drawn, cx, &mut |_, rows| Ok(gram.add(&dense(&rows))?))?;
        cx.progress("inverting", site, model.layers().len())?;
        Surgery::new(&layer.weight.values(), &layer.bias, &importance[site], &gram, self.damping)
            .map_err(|e| StepError::at(&layer.id, e))
    }

    /// A site of which `count` entries are kept.
    fn prune(
        &self,
        model: &Model,
        site: usize,
        count: usize,
        mut surgery: Surgery,
        cx: &Cx<'_>,
    ) -> Result<Layer, StepError> {
        let failed = |e: PruneError| StepError::at(&model.layers()[site].id, e);
        let layer: &Layer = &model.layers()[site];
        let (inputs, outputs) = (layer.shape.inputs, layer.shape.outputs);
        let kept = layer.weight.keep();
        // How many entries each block keeps is decided before any of them is: an input that says much may keep more
        // than its share. Which ones is decided when the block is reached.
        let first = self.choose(&surgery.costs(0, inputs), &kept, outputs, count).map_err(failed)?;
        let mut mask = Vec::with_capacity(kept.len());
        for from in (0..inputs).step_by(self.block) {
            cx.progress("pruning inputs", from, inputs)?;
            let to = inputs.min(from + self.block);
            let block = from * outputs..to * outputs;
            let costs = surgery.costs(from, to);
            let chosen = self.choose_like(&costs, &kept[block.clone()], outputs, &first[block]);
            let chosen = chosen.map_err(failed)?;
            for (i, keep) in (from..to).zip(chosen.chunks_exact(outputs)) {
                surgery.freeze(i, keep);
            }
            mask.extend(chosen);
        }
        let (values, bias) = surgery.finish();
        Ok(Layer { weight: Weight::Masked { values, keep: mask }, bias, ..layer.clone() })
    }

    /// What an error at each output of each site costs, in parts of the dearest.
    fn importance(&self, model: &Model, cx: &Cx<'_>) -> Result<Vec<Vec<f64>>, StepError> {
        let mut sums: Vec<Vec<f64>> = model.layers().iter().map(|l| vec![0.0; l.shape.outputs]).collect();
        if self.weigh == Weigh::Loss {
            let (network, labels) = (Network::bind(model, cx.backend), Labels::of(cx.train.labelled()?));
            let drawn = cx.draw_ascending(self.rows);
            for (at, row) in drawn.chunks(1).enumerate() {
                if at % 64 == 0 {
                    cx.progress("weighing outputs", at, drawn.len())?;
                }
                let mut loss = |logits: &[f32], gradient: &mut [f32]| labels.loss(row, 1, logits, gradient);
                let flat = network.gradients((cx.train.examples(), row), None, 0, &mut loss)?.flat;
                // The derivative by a bias, for one row, is the one by the pre-activation; so is, where there is no bias,
                // what a table's entries have together, since every token takes one of its rows.
                let mut start = 0;
                for (sums, layer) in sums.iter_mut().zip(model.layers()) {
                    if layer.weight.is_trainable() {
                        let (weight, bias) =
                            flat[start..start + layer.shape.parameters()].split_at(layer.shape.weights());
                        let by_output = if layer.shape.bias { bias } else { weight };
                        let mut derivative = vec![0.0; sums.len()];
                        for row in by_output.chunks_exact(sums.len()) {
                            derivative.iter_mut().zip(row).for_each(|(sum, g)| *sum += f64::from(*g));
                        }
                        sums.iter_mut().zip(derivative).for_each(|(sum, g)| *sum += g.powi(2));
                        start += layer.shape.parameters();
                    }
                }
            }
        }
        let most = sums.iter().flatten().fold(0.0_f64, |m, x| m.max(*x));
        // An output that no row's loss feels still counts a little, so that its best entries stay.
        let part = |x: f64| if most > 0.0 { (x / most).max(1e-9) } else { 1.0 };
        Ok(sums.into_iter().map(|of| of.into_iter().map(part).collect()).collect())
    }

    /// Entries that each selected site keeps at a point of the schedule.
    fn counts(
        &self,
        model: &Model,
        on: &[usize],
        masks: Option<&MaskBuilder>,
        at: SchedulePoint,
    ) -> Result<Vec<usize>, StepError> {
        let layers: Vec<&Layer> = on.iter().map(|i| &*model.layers()[*i]).collect();
        let masks = match (self.what, masks) {
            (What::NOfM(n_m), _) => return Ok(layers.iter().map(|l| n_m.kept(l.shape)).collect()),
            (_, None) => return Ok(Vec::new()),
            (_, Some(masks)) => masks,
        };
        let kept: Vec<Vec<bool>> = layers.iter().map(|l| l.weight.keep()).collect();
        let masks = masks.choose(&masks.weights(model), &kept, at, &mut keep_largest)?;
        Ok(masks.iter().map(|mask| mask.iter().filter(|k| **k).count()).collect())
    }
}

impl Technique for SparseGpt {
    fn needs(&self) -> Needs {
        let weighs = if self.weigh == Weigh::Loss { Needs::LABELS } else { Needs::INPUTS };
        weighs.and(self.schedule.needs())
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        for site in before.sites.iter().filter(|s| on.contains(&s.id) && s.shape.inputs > WIDEST) {
            let why = format!("it has {} inputs, but at most {WIDEST} can be solved for", site.shape.inputs);
            problems.push(Problem::at(&site.id, why));
        }
        match self.what {
            What::Target(target, scope) => plan_masks(before, on, target, scope, problems),
            What::NOfM(n_m) => n_m.plan(before, on, problems),
        }
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let masks = match self.what {
            What::Target(target, scope) => Some(MaskBuilder::of(&model, on, target, scope)?),
            What::NOfM(_) => None,
        };
        let sites: Vec<usize> =
            model.layers().iter().enumerate().filter(|(_, l)| on.contains(&l.id)).map(|(i, _)| i).collect();
        let pruned = self.schedule.run(model, cx, &mut |mut model, at, cx| {
            let importance = self.importance(&model, cx)?;
            let counts = self.counts(&model, &sites, masks.as_ref(), at)?;
            for (&site, count) in sites.iter().zip(counts) {
                let surgery = self.surgery(&model, site, &importance, cx)?;
                let pruned = self.prune(&model, site, count, surgery, cx)?;
                let (graph, mut layers) = model.into_parts();
                layers[site] = pruned;
                model = Model::new(graph, layers)?;
            }
            Ok(model)
        })?;
        Ok(pruned.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::Seed;

    /// Rows whose inputs are correlated, weights and a bias.
    fn case(inputs: usize, outputs: usize) -> (Vec<f32>, Vec<f32>, Vec<f32>, Gram) {
        let mut rng = Seed(3).stream(0);
        let mut rows = Vec::new();
        for _ in 0..200 {
            let common = rng.normal();
            rows.extend((0..inputs).map(|i| common * (i as f32 * 0.3).sin() + 0.5 * rng.normal() + 0.4));
        }
        let mut draw = |n: usize| (0..n).map(|_| rng.normal()).collect::<Vec<f32>>();
        let (weights, bias) = (draw(inputs * outputs), draw(outputs));
        let mut gram = Gram::new(inputs);
        gram.add(&rows).unwrap();
        (rows, weights, bias, gram)
    }

    fn output(rows: &[f32], weights: &[f32], bias: &[f32]) -> Vec<f64> {
        let (inputs, outputs) = (weights.len() / bias.len(), bias.len());
        let of = |row: &[f32], o: usize| {
            row.iter()
                .enumerate()
                .map(|(i, x)| f64::from(*x) * f64::from(weights[i * outputs + o]))
                .sum::<f64>()
                + f64::from(bias[o])
        };
        rows.chunks_exact(inputs).flat_map(|row| (0..outputs).map(move |o| of(row, o))).collect()
    }

    fn error(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum()
    }

    #[test]
    fn dropping_one_weight_is_the_optimal_brain_surgeon() {
        // The cost is the rise of the squared error, and no other weights do better: moving any of them adds error.
        let (rows, weights, bias, gram) = case(5, 1);
        let was = output(&rows, &weights, &bias);
        let mut surgery = Surgery::new(&weights, &bias, &[1.0], &gram, 1e-8).unwrap();
        let cost = f64::from(surgery.costs(0, 1)[0]);
        surgery.freeze(0, &[false]);
        let (new, new_bias) = surgery.finish();
        let least = error(&was, &output(&rows, &new, &new_bias));
        assert!((least - cost).abs() < 1e-3 * cost, "{least} {cost}");
        for i in 1..5 {
            for d in [-1e-2, 1e-2] {
                let mut moved = new.clone();
                moved[i] += d;
                assert!(error(&was, &output(&rows, &moved, &new_bias)) > least);
            }
        }
        assert!(error(&was, &output(&rows, &new, &[new_bias[0] + 1e-2])) > least);
    }

    #[test]
    fn without_a_bias_the_weights_alone_make_up_for_what_is_dropped() {
        let (rows, weights, _, gram) = case(5, 1);
        let was = output(&rows, &weights, &[0.0]);
        let mut surgery = Surgery::new(&weights, &[], &[1.0], &gram, 1e-8).unwrap();
        let cost = f64::from(surgery.costs(0, 1)[0]);
        surgery.freeze(0, &[false]);
        let (new, no_bias) = surgery.finish();
        assert!(no_bias.is_empty());
        let least = error(&was, &output(&rows, &new, &[0.0]));
        assert!((least - cost).abs() < 1e-3 * cost, "{least} {cost}");
        for (i, d) in (1..5).flat_map(|i| [(i, -1e-2), (i, 1e-2)]) {
            let mut moved = new.clone();
            moved[i] += d;
            assert!(error(&was, &output(&rows, &moved, &[0.0])) > least);
        }
        assert!(Surgery::new(&weights, &[0.0; 2], &[1.0], &gram, 1e-8).is_err());
    }

    #[test]
    fn what_is_dropped_is_zero_and_keeping_all_changes_nothing() {
        let (_, weights, bias, gram) = case(7, 3);
        let mut surgery = Surgery::new(&weights, &bias, &[1.0; 3], &gram, 0.01).unwrap();
        (0..7).for_each(|i| surgery.freeze(i, &[true; 3]));
        assert_eq!(surgery.finish(), (weights.clone(), bias.clone()));
        let mut surgery = Surgery::new(&weights, &bias, &[1.0; 3], &gram, 0.01).unwrap();
        (0..7).for_each(|i| surgery.freeze(i, &[i % 2 == 0, false, true]));
        let (new, _) = surgery.finish();
        for i in 0..7 {
            assert_eq!([new[3 * i] == 0.0, new[3 * i + 1] == 0.0], [i % 2 == 1, true]);
        }
        assert!(Surgery::new(&weights[..6], &bias, &[1.0; 3], &gram, 0.01).is_err());
    }

    #[test]
    fn settings_are_checked() {
        let read = |text: &str| toml::from_str::<SparseGpt>(text).map_err(|e| e.message().to_owned());
        assert!(read("n_m = '2:4'").is_ok());
        for (bad, says) in [
            ("", "sparsity, nonzeros or bytes is missing"),
            ("n_m = '2:4'\nsparsity = 0.5", "sparsity is 0.5, but it must be left out"),
            ("n_m = '2:4'\nblock = 6", "block is 6, but it must be a multiple"),
            ("n_m = '4:4'", "n_m"),
            ("sparsity = 0.5\nblock = 0", "block is 0"),
            ("sparsity = 0.5\ndamping = 0", "damping is 0"),
            ("sparsity = 0.5\nrows = 0", "rows is 0"),
            ("n_m = '2:4'\nschedule = 'cubic'\nsteps = 2\nfinetune = {}", "schedule is given"),
        ] {
            let message = read(bad).unwrap_err();
            assert!(message.contains(says), "{bad}: {message}");
        }
    }
}
