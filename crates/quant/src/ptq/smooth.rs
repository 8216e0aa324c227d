//! `quant.smooth`: SmoothQuant, which migrates large activations into the weights before either is quantized.
//!
//! Some inputs of a site are much larger than the others, and one scale for all of them is then too coarse for most.
//! Dividing input `i` by a factor and multiplying row `i` of the weight by it changes nothing, but evens them out: with
//! `s_i = max|x_i|^α / max|w_i|^(1-α)` (Xiao et al. 2023, SmoothQuant, arXiv:2211.10438) the difficulty is shared between
//! activations and weights. The division is folded into the site before, exactly: ReLU commutes with a positive factor,
//! and so does attention, on its values. α is searched, by the error of the site's outputs with both rounded to 8 bits;
//! leaving everything as it is is among what is tried.
//!
//! The network stays one of floats: quantize it afterwards. Where nothing before a site can take the factors (the first
//! site, those after a normalisation), `per = "row"` of `quant.int8` has a factor for each input instead.

use nlpress_core::Measurement;
use nlpress_kernels::quantize_row_at;
use nlpress_model::{Layer, Model, Network, Outline, SiteId, Weight};
use nlpress_packed::{Grid, Index};
use nlpress_technique::{
    Cx, Family, Kind, Made, Needs, Problem, Settings, StepError, Technique, parse, settings,
};
use std::collections::BTreeMap;

use crate::rounding::Rounding;
use crate::{QuantError, sites};

/// Values of α that are tried: in twentieths from 0 to 1.
const TRIED: usize = 20;
/// Activations' levels.
const LEVELS: i32 = 127;

/// The technique's entry.
pub const KIND: Kind = Kind {
    name: "quant.smooth",
    family: Family::Quantize,
    summary: "SmoothQuant: migrates large activations into the weights by a factor for each input, so that both quantize \
              well; the network stays one of floats",
    source: "Xiao et al. 2023, SmoothQuant, arXiv:2211.10438",
    example: "samples = 32",
    on: &["**"],
    settings: &[Smooth::SETTINGS],
    parse: parse::<Smooth>,
};

settings! {
    /// The checked configuration.
    #[derive(Clone, Copy, Debug, PartialEq)]
    pub struct Smooth {
        /// migration strength: how much of the difficulty goes into the weights, from 0 to 1; searched when it is
        /// not given
        alpha: Option<f64>,
        /// training rows to look at, from 1 to 100000, drawn by the seed; 256 by default
        samples: usize => or(256).within(1..=100_000),
    } => Smooth::check
}

impl Smooth {
    fn check(&self) -> Result<(), QuantError> {
        match self.alpha {
            Some(alpha) if !(0.0..=1.0).contains(&alpha) => {
                Err(QuantError::setting("alpha", alpha, "between 0 and 1"))
            }
            _ => Ok(()),
        }
    }
}

/// The factor of each input: `max|x_i|^α / max|w_i|^(1-α)`, and 1 where the input or its weights are always zero.
///
/// `inputs` is `[rows, width]`, `weights` `[width, outputs]`.
pub fn factors(inputs: &[f32], weights: &[f32], width: usize, alpha: f64) -> Vec<f32> {
    let mut largest = vec![0.0_f32; width];
    for row in inputs.chunks_exact(width.max(1)) {
        largest.iter_mut().zip(row).for_each(|(m, x)| *m = m.max(x.abs()));
    }
    let outputs = weights.len() / width.max(1);
    let rows = weights.chunks_exact(outputs.max(1));
    largest
        .iter()
        .zip(rows)
        .map(|(x, row)| {
            let w = row.iter().fold(0.0_f32, |m, w| m.max(w.abs()));
            let factor = f64::from(*x).powf(alpha) / f64::from(w).powf(1.0 - alpha);
            let usable = *x > 0.0 && w > 0.0 && factor.is_finite() && factor > 1e-6 && factor < 1e6;
            if usable { factor as f32 } else { 1.0 }
        })
        .collect()
}

/// The mean squared error of a site's outputs, when its inputs are rounded to 8 bits with one scale and its weights to
/// 8-bit integers with one for each output, after `factors`.
///
/// # Errors
/// [`QuantError`] when numbers are not finite or do not fit.
pub fn error(inputs: &[f32], weights: &[f32], factors: &[f32]) -> Result<f64, QuantError> {
    let width = factors.len();
    let outputs = weights.len() / width.max(1);
    let scaled: Vec<f32> = weights
        .chunks_exact(outputs.max(1))
        .zip(factors)
        .flat_map(|(row, f)| row.iter().map(move |w| w * f))
        .collect();
    let rounded = Rounding::new(Grid::Int8).pack(&scaled, (width, outputs), None, Index::Full)?.unpack();
    let smooth: Vec<f32> =
        inputs.chunks_exact(width).flat_map(|row| row.iter().zip(factors).map(|(x, f)| x / f)).collect();
    let scale = smooth.iter().fold(0.0_f32, |m, x| m.max(x.abs())) / LEVELS as f32;
    if scale == 0.0 {
        return Ok(0.0);
    }
    let mut levels = vec![0; width];
    let (mut total, mut count) = (0.0, 0_u64);
    for (exact, smooth) in inputs.chunks_exact(width).zip(smooth.chunks_exact(width)) {
        quantize_row_at(smooth, scale, LEVELS, &mut levels);
        let mut off = vec![0.0_f64; outputs];
        for (i, (x, level)) in exact.iter().zip(&levels).enumerate() {
            let approximate = f64::from(*level as f32 * scale);
            if *x == 0.0 && approximate == 0.0 {
                continue;
            }
            let (w, r) = (&weights[i * outputs..][..outputs], &rounded[i * outputs..][..outputs]);
            for ((off, w), r) in off.iter_mut().zip(w).zip(r) {
                *off += f64::from(*x) * f64::from(*w) - approximate * f64::from(*r);
            }
        }
        total += off.iter().map(|off| off * off).sum::<f64>();
        count += outputs as u64;
    }
    Ok(total / count.max(1) as f64)
}

impl Smooth {
    /// The factors that make the least error, with their α; `None` for leaving all as it is.
    fn best(
        &self,
        inputs: &[f32],
        weights: &[f32],
        width: usize,
    ) -> Result<Option<(f64, Vec<f32>)>, QuantError> {
        let tried: Vec<f64> = match self.alpha {
            Some(alpha) => vec![alpha],
            None => (0..=TRIED).map(|n| n as f64 / TRIED as f64).collect(),
        };
        let mut least = match self.alpha {
            Some(_) => f64::INFINITY,
            None => error(inputs, weights, &vec![1.0; width])?,
        };
        let mut best = None;
        for alpha in tried {
            let factors = factors(inputs, weights, width, alpha);
            let found = error(inputs, weights, &factors)?;
            if found < least {
                (least, best) = (found, Some((alpha, factors)));
            }
        }
        Ok(best)
    }
}

impl Smooth {
    /// A model whose site has the best factors for its `inputs`, `[rows, inputs]`, and whose site `before` it their inverses.
    fn smoothed(
        &self,
        model: Model,
        (site, before): (usize, &SiteId),
        inputs: &[f32],
        cx: &mut Cx<'_>,
    ) -> Result<Model, StepError> {
        let layer = &model.layers()[site];
        let (id, width, weights) = (layer.id.clone(), layer.shape.inputs, layer.weight.values().into_owned());
        let failed = |e: QuantError| StepError::at(&id, e);
        let best = self.best(inputs, &weights, width).map_err(failed)?;
        let plain = error(inputs, &weights, &vec![1.0; width]).map_err(failed)?;
        let Some((alpha, factors)) = best else {
            cx.note(format!("{id}: as it is, its outputs are off the least"));
            return Ok(model);
        };
        let after = error(inputs, &weights, &factors).map_err(failed)?;
        cx.measure(Measurement::lower(&format!("smooth_error_ratio.{id}"), after / plain, "1"));
        cx.note(format!("{id}: α = {alpha}"));
        let (graph, mut layers) = model.into_parts();
        for layer in layers.iter_mut() {
            if layer.id == id {
                scale(layer, |input, _| factors[input]);
            } else if &layer.id == before {
                scale(layer, |_, output| 1.0 / factors[output]);
                layer.bias.iter_mut().zip(&factors).for_each(|(b, f)| *b /= f);
            }
        }
        Ok(Model::new(graph, layers)?)
    }
}

impl Technique for Smooth {
    fn needs(&self) -> Needs {
        Needs::INPUTS
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        if on.is_empty() {
            problems.push(Problem::of_step("no site is selected"));
        }
        problems.extend(Problem::missing(before, on));
        for site in before.sites.iter().filter(|s| on.contains(&s.id) && sites::index(s.form).is_none()) {
            problems.push(Problem::at(&site.id, format!("it is already {}", site.form)));
        }
        let absorbers: Vec<SiteId> =
            on.iter().filter_map(|id| before.graph.fold_target(id).cloned()).collect();
        if !on.is_empty() && absorbers.is_empty() {
            problems.push(Problem::of_step("nothing before any of the selected sites can take a factor"));
        } else if let Some(first) = absorbers.first().filter(|_| absorbers.iter().all(|id| !on.contains(id)))
        {
            problems
                .push(Problem::at(first, "it would take factors of the site after it, and is not selected"));
        }
        before.clone()
    }

    fn apply(&self, mut model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let drawn = cx.draw_ascending(self.samples);
        let names: Vec<SiteId> = model.layers().iter().map(|l| l.id.clone()).collect();
        let mut chosen = Vec::new();
        for (site, id) in names.iter().enumerate().filter(|(_, id)| on.contains(id)) {
            match target(&model, id, on) {
                Ok(before) => chosen.push((site, before)),
                Err(why) => cx.note(format!("{id}: {why}")),
            }
        }
        // Factors that go into a site leave its own inputs as they are, so that all can be looked at before.
        let original = model.clone();
        let network = Network::bind(&original, cx.backend);
        for (part, chosen) in chosen.chunks(sites::AT_ONCE).enumerate() {
            cx.progress("smoothing", part * sites::AT_ONCE, names.len())?;
            let looked_at: Vec<usize> = chosen.iter().map(|(site, _)| *site).collect();
            let mut inputs = BTreeMap::new();
            network.each_input(&looked_at, cx.train.examples(), &drawn, &mut |site, rows| {
                let mut dense = Vec::new();
                rows.densify(0..rows.len(), &mut dense);
                inputs.insert(site, dense);
                Ok::<_, StepError>(())
            })?;
            for (site, before) in chosen {
                cx.progress("smoothing", *site, names.len())?;
                model = self.smoothed(model, (*site, before), &inputs[site], cx)?;
            }
        }
        Ok(model.into())
    }
}

/// The site before one that can take a factor for each of its inputs.
fn target(model: &Model, id: &SiteId, on: &[SiteId]) -> Result<SiteId, String> {
    let Some(before) = model.graph().fold_target(id) else {
        return Err("nothing before it can take a factor for each input".into());
    };
    if !on.contains(before) {
        return Err(format!("{before}, which could take its factors, is not selected"));
    }
    if !model.layer(before).is_some_and(|layer| layer.weight.is_trainable()) {
        return Err(format!("{before}, which could take its factors, is packed already"));
    }
    Ok(before.clone())
}

/// Multiplies each entry of a weight of floats.
fn scale(layer: &mut Layer, factor: impl Fn(usize, usize) -> f32) {
    let outputs = layer.shape.outputs;
    if let Weight::Dense(values) | Weight::Masked { values, .. } = &mut layer.weight {
        for (at, value) in values.iter_mut().enumerate() {
            *value *= factor(at / outputs, at % outputs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::{Seed, event::Quiet};
    use nlpress_testkit::{Bench, cpu};

    /// Inputs of which one is fifty times the others.
    fn lopsided() -> (Vec<f32>, Vec<f32>) {
        let mut rng = Seed(1).stream(0);
        let inputs = (0..40 * 8).map(|i| rng.normal().abs() * if i % 8 == 3 { 50.0 } else { 1.0 }).collect();
        let weights = (0..8 * 5).map(|_| rng.normal()).collect();
        (inputs, weights)
    }

    #[test]
    fn an_outlier_is_evened_out() {
        let (inputs, weights) = lopsided();
        let plain = error(&inputs, &weights, &[1.0; 8]).unwrap();
        let smooth = Smooth { alpha: None, samples: 1 };
        let (alpha, found) = smooth.best(&inputs, &weights, 8).unwrap().unwrap();
        let after = error(&inputs, &weights, &found).unwrap();
        assert!(after < 0.5 * plain && alpha > 0.0, "{after} {plain} {alpha}");
        assert!(found[3] > 3.0 * found[2]);
        for alpha in [0.0, 0.5, 1.0] {
            let tried = factors(&inputs, &weights, 8, alpha);
            assert!(after <= error(&inputs, &weights, &tried).unwrap());
        }
    }

    #[test]
    fn factors_are_worked_out_by_hand() {
        assert_eq!(factors(&[4.0, 0.0, -1.0, 0.0], &[1.0, 5.0], 2, 0.5), [2.0, 1.0]);
        assert_eq!(factors(&[4.0], &[0.0], 1, 0.5), [1.0]);
    }

    #[test]
    fn answers_stay_what_they_were() {
        for bench in Bench::families(&cpu()).unwrap() {
            let on: Vec<SiteId> = bench.model().layers().iter().map(|l| l.id.clone()).collect();
            let mut cx = bench.cx(&Quiet);
            let technique = Smooth { alpha: Some(0.5), samples: 40 };
            let after = technique.apply(bench.model().clone(), &on, &mut cx).unwrap().model;
            assert_ne!(&after, bench.model());
            let logits = |model: &Model| Network::bind(model, &cpu()).logits_of(bench.valid()).unwrap();
            for (a, b) in logits(&after).iter().zip(logits(bench.model())) {
                assert!((a - b).abs() < 1e-3 * b.abs().max(1.0), "{a} {b}");
            }
        }
    }

    #[test]
    fn settings_are_checked() {
        let read = |text: &str| toml::from_str::<Smooth>(text).map_err(|e| e.message().to_owned());
        assert!(read(KIND.example).is_ok());
        assert!(read("alpha = 1.5").unwrap_err().contains("alpha is 1.5"));
        assert!(read("samples = 0").unwrap_err().contains("samples is 0"));
    }
}
