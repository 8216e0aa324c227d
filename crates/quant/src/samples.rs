//! What the techniques share that look at the inputs of the sites that they quantize: settings, the walk over the
//! sites in the order of the forward pass, corrections, and what is measured.
//!
//! A thousand rows say little of two thousand words: what is solved for on them does worse on others. So a quarter of
//! the rows is held back, and decides for each output whether a solution is better than a plainer one.

use nlpress_core::Measurement;
use nlpress_model::{Layer, Model, Network, Outline, SiteId, Spec, Weight};
use nlpress_packed::{Per, Scheme};
use nlpress_technique::solve::SolveError;
use nlpress_technique::{Cx, Problem, StepError};
use std::collections::BTreeMap;

use crate::calibration::Calibration;
use crate::correct::{self, Correct};
use crate::lattice::{Coded, Lattice, Plain, Span};
use crate::moments::{Moments, Seen, off};
use crate::rounding::Clip;
use crate::{QuantError, awq, settings, sites};

/// Most inputs of a site whose second moments are held: 128 MiB of sums for each of some sets of rows.
pub(crate) const WIDEST: usize = 4096;
/// Rows of one forward pass.
const ROWS: usize = 256;

pub(crate) const GRID: (&str, &str) = (
    "grid",
    "the integers: \"int8\" (±127), \"int4\" (±7, default), \"int3\" (±3), \"int2\" (±1 and ±3), \"ternary\" (0 and \
     ±1) or \"binary\" (±1)",
);
pub(crate) const PER: (&str, &str) = (
    "per",
    "\"channel\" (default): one scale for each output; \"tensor\": one for each site; 16 to 128: one for so many \
     inputs of one output",
);
pub(crate) const SAMPLES: (&str, &str) = (
    "samples",
    "training rows to look at, from 1 to 1000000, drawn by the seed; 1024 by default. From 8 on a quarter of them is \
     not solved for, and says which of several solutions is best",
);
pub(crate) const CORRECT: (&str, &str) = (
    "correct",
    "\"none\" (default); \"bias\": biases take up what outputs are off on the average; \"norm\": scales make each \
     output's weights as long as they were; \"both\"",
);

/// The settings that they share.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Calibrated {
    pub(crate) lattice: Lattice,
    samples: usize,
    correct: Correct,
    activations: Option<Calibration>,
}

/// Reads the setting of a range.
pub(crate) fn read_clip(word: Option<&str>) -> Result<Clip, QuantError> {
    word.map_or(Ok(Clip::Mse), Clip::read)
}

fn read_per(per: Option<Per>) -> Result<Span, QuantError> {
    match per {
        None | Some(Per::Channel) => Ok(Span::Channel),
        Some(Per::Tensor) => Ok(Span::Tensor),
        Some(Per::Group(size)) => Ok(Span::Group(size)),
        Some(Per::Row) => Err(QuantError::Setting {
            key: "per",
            value: "\"row\"".into(),
            bound: "\"channel\", \"tensor\" or a number of inputs from 16 to 128: outputs are solved for one by one",
        }),
    }
}

impl Calibrated {
    /// Checks them.
    pub(crate) fn read(
        grid: Option<&str>,
        per: Option<Per>,
        samples: Option<usize>,
        correct: Correct,
    ) -> Result<Self, QuantError> {
        let lattice = Lattice { grid: settings::grid(grid.unwrap_or("int4"))?, span: read_per(per)? };
        let samples = samples.unwrap_or(1024);
        if !(1..=1_000_000).contains(&samples) {
            let bound = "between 1 and 1000000";
            return Err(QuantError::Setting { key: "samples", value: samples.to_string(), bound });
        }
        if correct.norm() && lattice.span == Span::Tensor {
            let value = format!("{:?}", if correct.bias() { "both" } else { "norm" });
            let bound = "\"none\" or \"bias\" with per = \"tensor\", which has no scale for each output";
            return Err(QuantError::Setting { key: "correct", value, bound });
        }
        Ok(Self { lattice, samples, correct, activations: None })
    }

    /// The same, with the activations of its sites fixed afterwards.
    pub(crate) fn fixing(self, activations: Option<Calibration>) -> Self {
        Self { activations, ..self }
    }

    /// The outline with the selected sites packed.
    pub(crate) fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        for site in before.sites.iter().filter(|s| on.contains(&s.id) && s.shape.inputs > WIDEST) {
            let why = format!("it has {} inputs, but at most {WIDEST} can be looked at", site.shape.inputs);
            problems.push(Problem::at(&site.id, why));
        }
        let after = sites::plan(before, on, self.lattice.values(), problems);
        Calibration::plan_if(self.activations.as_ref(), after, on)
    }

    /// Packs the selected sites in the order of the forward pass, each with what `choose` makes of it and of the
    /// inputs that the sites before it now give.
    pub(crate) fn pack(
        &self,
        model: Model,
        on: &[SiteId],
        cx: &mut Cx<'_>,
        choose: &mut dyn FnMut(&Task<'_>) -> Result<Choice, StepError>,
    ) -> Result<Model, StepError> {
        let model = self.pack_weights(model, on, cx, choose)?;
        Calibration::apply_if(self.activations.as_ref(), model, on, cx)
    }

    fn pack_weights(
        &self,
        mut model: Model,
        on: &[SiteId],
        cx: &mut Cx<'_>,
        choose: &mut dyn FnMut(&Task<'_>) -> Result<Choice, StepError>,
    ) -> Result<Model, StepError> {
        if let Some(id) = on.iter().find(|id| model.layer(id).is_none()) {
            return Err(StepError::Failed(format!("site {id}: there is no such site")));
        }
        let mut done: BTreeMap<SiteId, Coded> = BTreeMap::new();
        let mut totals = sites::Totals::default();
        let selected: Vec<usize> =
            (0..model.layers().len()).filter(|i| on.contains(&model.layers()[*i].id)).collect();
        for (count, &site) in selected.iter().enumerate() {
            let [solved, unseen, moments] = self.look(&model, site, cx)?;
            let layer = &model.layers()[site];
            let failed = |why: String| StepError::Failed(format!("site {}: {why}", layer.id));
            let form = layer.weight.form();
            let index = sites::index(form).ok_or_else(|| failed(format!("it is already {form}")))?;
            let keep = match &layer.weight {
                Weight::Masked { keep, .. } => Some(keep.as_slice()),
                _ => None,
            };
            let values = layer.weight.values();
            let outputs = layer.shape.outputs;
            let plain = Plain::new(&values, outputs, keep).map_err(|e| failed(e.to_string()))?;
            let absorbs = absorber(model.spec(), &layer.id);
            let cannot_fold = match &absorbs {
                None => Some("nothing before it can take a factor for each input"),
                Some(id) if !done.contains_key(id) => {
                    Some("the site before it, which could take factors, is not quantized by this step")
                }
                Some(_) if self.lattice.span == Span::Tensor => {
                    Some("the site before it has one scale, which cannot take a factor for each output")
                }
                Some(_) => None,
            };
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
            let mut choice = choose(&task)?;
            // Everything is judged on the inputs as they were before any factor.
            let unfolded = |coded: &Coded| {
                let mut values = coded.values(keep);
                for (row, factor) in values.chunks_exact_mut(outputs).zip(choice.factors.iter().flatten()) {
                    row.iter_mut().for_each(|w| *w /= factor);
                }
                values
            };
            if self.correct.norm() {
                let longer = correct::norm(&values, &unfolded(&choice.coded), outputs);
                let mut coded = choice.coded.clone();
                coded.scale_outputs(&longer.map_err(|e| failed(e.to_string()))?);
                choice.coded = coded;
            }
            let (now, mut bias) = (unfolded(&choice.coded), layer.bias.clone());
            let nearest = self.lattice.nearest(&plain, self.lattice.fit(&plain, Clip::Max)).values(keep);
            for (name, coded, moments) in [
                ("output_mse", &now, &moments),
                ("nearest_mse", &nearest, &moments),
                ("unseen_mse", &now, &unseen),
                ("unseen_nearest_mse", &nearest, &unseen),
            ] {
                let variance: f64 = moments.variances(&values, outputs).iter().sum();
                let error: f64 = moments.errors(&off(&values, coded), outputs).iter().sum();
                let relative = if error == 0.0 { 0.0 } else { error / variance.max(f64::MIN_POSITIVE) };
                let name = format!("{name}.{}", layer.id);
                cx.measure(Measurement::lower(&name, relative.min(f64::MAX), "1"));
            }
            if self.correct.bias() {
                let more = correct::bias(&values, &now, moments.mean(), outputs);
                let more = more.map_err(|e| failed(e.to_string()))?;
                bias.iter_mut().zip(more).for_each(|(b, more)| *b += more);
            }
            let matrix = choice.coded.matrix(keep, index).map_err(|e| failed(e.to_string()))?;
            let stood_for = match &choice.factors {
                Some(factors) => awq::multiplied(&values, outputs, factors),
                None => values.to_vec(),
            };
            totals.add(&layer.id, &stood_for, &matrix, index, cx);
            cx.note(format!("site {}: {}", layer.id, choice.note));
            let scheme = Scheme { values: self.lattice.values(), index };

            let (spec, mut layers) = model.into_parts();
            layers[site].weight = Weight::Packed { scheme, matrix };
            layers[site].bias = bias;
            done.insert(layers[site].id.clone(), choice.coded);
            if let (Some(factors), Some(id)) = (&choice.factors, &absorbs) {
                fold(factors, id, &mut layers, &mut done)?;
            }
            model = Model::new(spec, layers)?;
        }
        totals.report(cx);
        cx.progress("quantizing", selected.len(), selected.len())?;
        Ok(model)
    }

    /// The moments of a site's inputs on the sampled rows: those to solve for, the others, and all.
    fn look(&self, model: &Model, site: usize, cx: &Cx<'_>) -> Result<[Moments; 3], StepError> {
        let failed = |e: SolveError| StepError::Failed(e.to_string());
        let network = Network::bind(model, cx.backend);
        let mut drawn = sites::draw(self.samples, cx);
        let held = drawn.split_off(if drawn.len() < 8 { drawn.len() } else { drawn.len() - drawn.len() / 4 });
        let inputs = model.layers()[site].shape.inputs;
        let mut seen = [Seen::new(inputs), Seen::new(inputs)];
        let (mut dense, mut done) = (Vec::new(), 0);
        for (seen, rows) in seen.iter_mut().zip([&mut drawn, &mut { held }]) {
            rows.sort_unstable();
            for indices in rows.chunks(ROWS) {
                cx.progress("summing up inputs", done, self.samples.min(cx.train.len()))?;
                done += indices.len();
                let rows = network.site_inputs(site, cx.train.rows(), indices)?;
                dense.clear();
                rows.densify(0..rows.len(), &mut dense);
                seen.add(&dense).map_err(failed)?;
            }
        }
        let [solved, held] = seen;
        let mut all = solved.clone();
        all.merge(&held).map_err(failed)?;
        let held = if held.rows() == 0 { &all } else { &held };
        Ok([&solved, held, &all].map(|seen| seen.moments(self.correct.bias())))
    }
}

/// A site that is to be quantized.
pub(crate) struct Task<'a> {
    site: &'a Layer,
    /// Its weight.
    pub(crate) plain: Plain<'a>,
    /// What its inputs are on the average of the rows to solve for.
    pub(crate) moments: &'a Moments,
    /// What they are on those not solved for, and on all.
    pub(crate) judges: [&'a Moments; 2],
    /// Why no factor of its inputs can be folded into the site before, where none can.
    pub(crate) cannot_fold: Option<&'static str>,
    /// Threads and progress.
    pub(crate) cx: &'a Cx<'a>,
    at: (usize, usize),
}

impl<'a> Task<'a> {
    /// Says what is being done.
    pub(crate) fn progress(&self, what: &str) -> Result<(), StepError> {
        self.cx.progress(&format!("{}: {what}", self.site.id), self.at.0, self.at.1)
    }

    /// An error of this site.
    pub(crate) fn failed(&self, error: QuantError) -> StepError {
        StepError::Failed(format!("site {}: {error}", self.site.id))
    }

    /// A first candidate.
    pub(crate) fn best(&self, coded: Coded, name: &'static str) -> Best<'a> {
        let errors = Errors::of(&self.plain, &coded, self.judges);
        let by = vec![name; errors.all.len()];
        Best { plain: self.plain, judges: self.judges, coded, errors, by }
    }

    /// Rounding to the nearest, in the range of all entries or in the one that the outputs feel least.
    pub(crate) fn nearest(&self, lattice: Lattice) -> Best<'a> {
        let nearest = |scales| lattice.nearest(&self.plain, scales);
        let mut best = self.best(nearest(lattice.fit(&self.plain, Clip::Max)), "rounding");
        best.offer(nearest(awq::clip(&self.plain, lattice, self.moments)), "rounding in the best range");
        best
    }
}

/// The mean squared error of each output.
#[derive(Clone, Debug)]
pub(crate) struct Errors {
    unseen: Vec<f64>,
    all: Vec<f64>,
}

impl Errors {
    /// Those of a weight, on the rows not solved for and on all.
    pub(crate) fn of(plain: &Plain<'_>, coded: &Coded, judges: [&Moments; 2]) -> Self {
        let off = off(plain.values(), &coded.values(plain.keep()));
        let of = |moments: &Moments| moments.errors(&off, plain.shape().1);
        Self { unseen: of(judges[0]), all: of(judges[1]) }
    }

    /// Whether all outputs together are off less than in another case on the rows not solved for, and no more on all.
    pub(crate) fn less_than(&self, other: &Self) -> bool {
        let sum = |of: &[f64]| of.iter().sum::<f64>();
        sum(&self.unseen) < sum(&other.unseen) && sum(&self.all) <= sum(&other.all)
    }
}

/// The best of several candidates for a site, output by output where each has scales of its own.
pub(crate) struct Best<'a> {
    plain: Plain<'a>,
    judges: [&'a Moments; 2],
    coded: Coded,
    errors: Errors,
    by: Vec<&'static str>,
}

impl Best<'_> {
    /// Takes what another candidate does better on the rows not solved for, and no worse on all.
    pub(crate) fn offer(&mut self, coded: Coded, name: &'static str) {
        let errors = Errors::of(&self.plain, &coded, self.judges);
        if coded.lattice.span == Span::Tensor && coded.scales != self.coded.scales {
            if errors.less_than(&self.errors) {
                (self.coded, self.errors) = (coded, errors);
                self.by.fill(name);
            }
            return;
        }
        for (output, (unseen, all)) in errors.unseen.into_iter().zip(errors.all).enumerate() {
            let now = (&mut self.errors.unseen[output], &mut self.errors.all[output]);
            if unseen < *now.0 && all <= *now.1 && self.coded.take_output(&coded, output) {
                (*now.0, *now.1, self.by[output]) = (unseen, all, name);
            }
        }
    }
}

/// What a technique made of a site.
pub(crate) struct Choice {
    /// The integers and scales.
    pub(crate) coded: Coded,
    /// What it is off.
    pub(crate) errors: Errors,
    /// What the weights of each input were multiplied with, where the site before is to divide by it.
    pub(crate) factors: Option<Vec<f32>>,
    /// A sentence for the report.
    pub(crate) note: String,
}

impl From<Best<'_>> for Choice {
    fn from(best: Best<'_>) -> Self {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        best.by.iter().for_each(|name| *counts.entry(name).or_default() += 1);
        let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{count} by {name}")).collect();
        let note = format!("of {} outputs {}", best.by.len(), counts.join(", "));
        Self { coded: best.coded, errors: best.errors, factors: None, note }
    }
}

/// The site whose outputs can be divided, each by a number above zero, so that the inputs of `id` are, and nothing
/// else changes.
pub(crate) fn absorber(spec: &Spec, id: &SiteId) -> Option<SiteId> {
    if spec.ranks().contains_key(id) {
        return Some(id.reduce());
    }
    let group = spec.groups().into_iter().find(|g| g.rows == [id.clone()])?;
    match group.what {
        // Neurons are cut off at zero, which a factor does not move.
        nlpress_model::Units::Neurons => group.columns.first().filter(|_| group.columns.len() == 1).cloned(),
        // What attention gives is a weighted sum of its values.
        nlpress_model::Units::Heads => {
            group.columns.into_iter().find(|c| c.as_str().ends_with("attention.value"))
        }
        nlpress_model::Units::Width => None,
    }
}

/// Divides the outputs of a site that is already packed: its scales and its biases.
fn fold(
    factors: &[f32],
    id: &SiteId,
    layers: &mut [Layer],
    done: &mut BTreeMap<SiteId, Coded>,
) -> Result<(), StepError> {
    let failed = |why: String| StepError::Failed(format!("site {id}: {why}"));
    let (Some(coded), Some(layer)) = (done.get_mut(id), layers.iter_mut().find(|l| &l.id == id)) else {
        return Err(failed("it was to take factors, and is not there".into()));
    };
    let Weight::Packed { scheme, matrix } = &mut layer.weight else {
        return Err(failed("it was to take factors, and is not packed".into()));
    };
    let less: Vec<f32> = factors.iter().map(|f| 1.0 / f).collect();
    coded.scale_outputs(&less);
    let keep = matrix.keep();
    let masked = scheme.index != nlpress_packed::Index::Full;
    *matrix =
        coded.matrix(masked.then_some(keep.as_slice()), scheme.index).map_err(|e| failed(e.to_string()))?;
    layer.bias.iter_mut().zip(&less).for_each(|(b, less)| *b *= less);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
                ("correct = 'all'", "unknown variant `all`"),
            ] {
                let message = read(bad).unwrap_err();
                assert!(message.contains(says), "{bad}: {message}");
            }
        }
    }

    #[test]
    fn what_can_be_folded_where() {
        use nlpress_model::{AttentionSpec, BlockSpec, MlpSpec, Ranks};
        let mut mlp = MlpSpec::new(9, &[8, 7], 1, 0.0);
        mlp.ranks.insert(SiteId::hidden(1), 3);
        let mlp = Spec::Mlp(mlp);
        let of = |spec: &Spec, id: &str| absorber(spec, &SiteId::new(id)).map(|s| s.to_string());
        assert_eq!(of(&mlp, "hidden.0"), None);
        assert_eq!(of(&mlp, "hidden.1.reduce").as_deref(), Some("hidden.0"));
        assert_eq!(of(&mlp, "hidden.1").as_deref(), Some("hidden.1.reduce"));
        assert_eq!(of(&mlp, "output").as_deref(), Some("hidden.1"));
        let attention = Spec::Attention(AttentionSpec {
            inputs: 9,
            width: 6,
            head_width: 2,
            layers: vec![BlockSpec { heads: 3, neurons: 5 }],
            outputs: 1,
            dropout: 0.0,
            tokens: 4,
            ranks: Ranks::new(),
        });
        let sites = attention.sites();
        let all: Vec<Option<String>> = sites.iter().map(|(id, _)| of(&attention, id.as_str())).collect();
        let (value, up) = (Some(sites[3].0.to_string()), Some(sites[5].0.to_string()));
        assert_eq!(all, [None, None, None, None, value, None, up, None]);
    }
}
