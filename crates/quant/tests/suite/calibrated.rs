//! Quantization that looks at the data: what it makes of every site of a trained network.

use nlpress_core::Seed;
use nlpress_core::event::Quiet;
use nlpress_model::network::passes;
use nlpress_model::{Model, Network, SiteId, Weight};
use nlpress_quant::{adaround, awq, gptq, integers, smooth};
use nlpress_technique::{Cx, Kind};
use nlpress_testkit::{Bench, cpu};

fn benches() -> [Bench; 7] {
    Bench::families(&cpu()).unwrap()
}

/// What a technique made, with its numbers and notes.
struct Made {
    model: Model,
    measured: Vec<(String, f64)>,
    notes: Vec<String>,
}

impl Made {
    fn value(&self, name: &str) -> f64 {
        let found = self.measured.iter().find(|(n, _)| n == name);
        found.unwrap_or_else(|| panic!("{name} in {:?}", self.measured)).1
    }

    fn note(&self, site: &SiteId) -> &str {
        let start = format!("site {site}: ");
        self.notes.iter().find_map(|n| n.strip_prefix(&start)).unwrap()
    }
}

fn apply(kind: &Kind, with: &str, model: &Model, on: &[SiteId], bench: &Bench) -> Made {
    let backend = cpu();
    let technique = (kind.parse)(&with.parse().unwrap()).unwrap();
    let mut problems = Vec::new();
    let planned = technique.plan(&model.outline(), on, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    let mut cx = Cx::new(Seed(4), &backend, (bench.train(), bench.valid()), &Quiet);
    let model = technique.apply(model.clone(), on, &mut cx).unwrap().model;
    assert_eq!(model.outline(), planned);
    Made { model, measured: cx.measured.into_iter().map(|m| (m.name, m.value)).collect(), notes: cx.notes }
}

fn sites(model: &Model) -> Vec<SiteId> {
    model.layers().iter().map(|l| l.id.clone()).collect()
}

fn logits(model: &Model, bench: &Bench) -> Vec<f32> {
    // On the rows that techniques look at: what they say they measured is held against it.
    Network::bind(model, &cpu()).logits_of(bench.train()).unwrap()
}

fn mean_squared(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / a.len() as f64
}

/// What a site's outputs are off with other weights: the mean square on the training rows over the outputs' variance.
fn output_error(bench: &Bench, site: &SiteId, weight: &[f32]) -> f64 {
    let layer = bench.model().layer(site).unwrap();
    let number = bench.model().layers().iter().position(|l| l.id == *site).unwrap();
    let network = Network::bind(bench.model(), &cpu());
    let rows: Vec<usize> = (0..bench.train().len()).collect();
    let inputs = network.site_inputs(number, bench.train().examples(), &rows).unwrap();
    let outputs = layer.shape.outputs;
    let product = |row: nlpress_text::Row<'_>, weight: &dyn Fn(usize) -> f64, output: usize| -> f64 {
        let terms = row.columns.iter().zip(row.values);
        terms.map(|(c, x)| f64::from(*x) * weight(*c as usize * outputs + output)).sum()
    };
    let was = layer.weight.values();
    let (mut error, mut variance) = (0.0, 0.0);
    for output in 0..outputs {
        let off = |at: usize| f64::from(weight[at]) - f64::from(was[at]);
        error += inputs.iter().map(|row| product(row, &off, output).powi(2)).sum::<f64>();
        let all: Vec<f64> = inputs.iter().map(|row| product(row, &|at| f64::from(was[at]), output)).collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        variance += all.iter().map(|z| (z - mean).powi(2)).sum::<f64>();
    }
    error / variance
}

/// A weight rounded to the nearest of `levels` to either side, each scale that of its largest entry.
fn nearest(weight: &[f32], outputs: usize, per: &str, levels: f32) -> Vec<f32> {
    let place = |at: usize| match per {
        "\"tensor\"" => 0,
        "\"channel\"" => at % outputs,
        _ => at / outputs / 16 * outputs + at % outputs,
    };
    let mut largest = vec![0.0_f32; weight.len()];
    for (at, w) in weight.iter().enumerate() {
        largest[place(at)] = largest[place(at)].max(w.abs());
    }
    let round = |(at, w): (usize, &f32)| {
        let scale = largest[place(at)] / levels;
        (w / scale).round_ties_even() * scale
    };
    weight.iter().enumerate().map(round).collect()
}

#[test]
fn compensation_beats_ranges_and_ranges_beat_rounding_on_every_site() {
    for bench in benches() {
        let all = sites(bench.model());
        for (grid, levels) in [("int4", 7.0), ("int3", 3.0)] {
            for per in ["\"channel\"", "\"tensor\"", "16"] {
                let with = format!("grid = \"{grid}\"\nper = {per}");
                // One site at a time, so that each technique is given the same inputs.
                for site in &all {
                    let layer = bench.model().layer(site).unwrap();
                    let plain = nearest(&layer.weight.values(), layer.shape.outputs, per, levels);
                    let plain = output_error(&bench, site, &plain);
                    let [gptq, awq, adaround] = [gptq::KIND, awq::KIND, adaround::KIND].map(|kind| {
                        let made = apply(&kind, &with, bench.model(), std::slice::from_ref(site), &bench);
                        let found =
                            output_error(&bench, site, &made.model.layer(site).unwrap().weight.values());
                        for (name, measured) in [("output_mse", found), ("nearest_mse", plain)] {
                            let said = made.value(&format!("{name}.{site}"));
                            let near = (said - measured).abs() <= 0.01 * measured + 1e-7;
                            assert!(
                                near,
                                "{} {site} {with}: {name} is {said}, measured {measured}",
                                kind.name
                            );
                        }
                        found
                    });
                    let slack = 1.0 + 1e-6;
                    assert!(
                        gptq <= awq * slack && awq <= plain * slack,
                        "{site} {with}: {gptq} {awq} {plain}"
                    );
                    assert!(adaround <= plain * slack, "{site} {with}: {adaround} {plain}");
                }
                // And in a row, where each has the inputs that its own earlier sites give.
                for kind in [gptq::KIND, awq::KIND, adaround::KIND] {
                    let made = apply(&kind, &with, bench.model(), &all, &bench);
                    for site in &all {
                        let [is, nearest] =
                            ["output_mse", "nearest_mse"].map(|n| made.value(&format!("{n}.{site}")));
                        assert!(is <= nearest, "{} {with} {site}: {is} {nearest}", kind.name);
                    }
                }
            }
        }
    }
}

#[test]
fn a_wide_site_gains_much() {
    let bench = Bench::new(&cpu()).unwrap();
    let site = SiteId::hidden(0);
    let of = |kind: &Kind| {
        let made = apply(kind, "grid = 'int3'", bench.model(), std::slice::from_ref(&site), &bench);
        made.value("output_mse.hidden.0") / made.value("nearest_mse.hidden.0")
    };
    let (gptq, adaround) = (of(&gptq::KIND), of(&adaround::KIND));
    assert!(gptq < 0.6 && adaround < 0.6, "{gptq} {adaround}");
}

#[test]
fn with_two_bits_or_less_learned_rounding_also_starts_from_the_range_that_outputs_feel_least() {
    let mut better = 0;
    for bench in benches() {
        for grid in ["int2", "ternary", "binary"] {
            for site in sites(bench.model()) {
                let unseen = |kind: &Kind, more: &str| {
                    let with = format!("grid = \"{grid}\"\n{more}");
                    let made = apply(kind, &with, bench.model(), std::slice::from_ref(&site), &bench);
                    made.value(&format!("unseen_mse.{site}"))
                };
                let (both, mse) = (unseen(&adaround::KIND, ""), unseen(&adaround::KIND, "clip = \"mse\""));
                assert!(both <= mse, "{site} {grid}: {both} {mse}");
                better += usize::from(both < 0.99 * mse);
            }
        }
    }
    assert!(better >= 3, "the other range is of use on {better} sites and grids");
}

#[test]
fn the_measured_error_is_the_one_of_the_logits() {
    // The last site's outputs are the logits, and with it alone quantized nothing else is off.
    for bench in benches() {
        let before = logits(bench.model(), &bench);
        let last = sites(bench.model()).pop().unwrap();
        let mean = before.iter().sum::<f32>() / before.len() as f32;
        let variance = mean_squared(&before, &vec![mean; before.len()]);
        for kind in [gptq::KIND, awq::KIND, adaround::KIND] {
            for correct in ["none", "bias", "norm", "both"] {
                let with = format!("grid = 'int2'\ncorrect = '{correct}'");
                let made = apply(&kind, &with, bench.model(), std::slice::from_ref(&last), &bench);
                let now = mean_squared(&before, &logits(&made.model, &bench)) / variance;
                let said = made.value(&format!("output_mse.{last}"));
                // The network also rounds the site's inputs to 8 bits, as the runtime does.
                assert!((now - said).abs() < 0.05 * said + 1e-4, "{} {correct}: {now} {said}", kind.name);
            }
        }
    }
}

#[test]
fn corrections_do_what_they_are_called() {
    let bench = Bench::new(&cpu()).unwrap();
    let before = logits(bench.model(), &bench);
    let output = SiteId::output();
    let length = |model: &Model| {
        model
            .layer(&output)
            .unwrap()
            .weight
            .values()
            .iter()
            .map(|w| f64::from(*w).powi(2))
            .sum::<f64>()
            .sqrt()
    };
    let mean = |logits: &[f32]| logits.iter().map(|x| f64::from(*x)).sum::<f64>() / logits.len() as f64;
    for kind in [gptq::KIND, awq::KIND, adaround::KIND] {
        let made = |correct: &str| {
            let with = format!("grid = 'ternary'\ncorrect = '{correct}'");
            apply(&kind, &with, bench.model(), std::slice::from_ref(&output), &bench).model
        };
        let off = |model: &Model| (mean(&logits(model, &bench)) - mean(&before)).abs();
        let longer = |model: &Model| (length(model) / length(bench.model()) - 1.0).abs();
        assert!(
            off(&made("bias")) < 2e-5 && off(&made("none")) > 1e-4,
            "{}: {} {}",
            kind.name,
            off(&made("bias")),
            off(&made("none"))
        );
        assert!(longer(&made("norm")) < 1e-5 && longer(&made("none")) > 1e-3, "{}", kind.name);
        let both = made("both");
        assert!(off(&both) < 2e-5 && longer(&both) < 1e-5, "{}", kind.name);
    }
}

#[test]
fn factors_are_folded_where_the_site_before_can_take_them() {
    let mut folded = 0;
    for bench in benches() {
        let all = sites(bench.model());
        for grid in ["int4", "int3"] {
            let made = apply(&awq::KIND, &format!("grid = '{grid}'"), bench.model(), &all, &bench);
            for layer in made.model.layers() {
                // A GELU lets no factor through.
                let can = layer.id.as_str().ends_with("ffn.down") && bench.name() != "encoder"
                    || layer.id.as_str().ends_with("attention.output")
                    || layer.id.as_str().ends_with("attention.output.dense")
                    || (layer.id != bench.model().layers()[0].id
                        && bench.model().layer(&SiteId::hidden(0)).is_some());
                let note = made.note(&layer.id);
                assert_eq!(note.contains("nothing before it"), !can, "{}: {note}", layer.id);
                folded += usize::from(note.contains("to the power"));
            }
            // A factor that were not undone would show in the logits.
            let (was, is) = (logits(bench.model(), &bench), logits(&made.model, &bench));
            let mean = was.iter().sum::<f32>() / was.len() as f32;
            let variance = mean_squared(&was, &vec![mean; was.len()]);
            assert!(mean_squared(&was, &is) < 0.2 * variance, "{grid}");
        }
        let alone = apply(&awq::KIND, "", bench.model(), &all[all.len() - 1..], &bench);
        let note = alone.note(all.last().unwrap());
        assert!(note.contains("nothing before it") || note.contains("not quantized by this step"), "{note}");
    }
    assert!(folded > 0, "no site took factors");
}

#[test]
fn masks_stay_with_every_grid() {
    let bench = Bench::new(&cpu()).unwrap();
    let layer = &bench.model().layers()[0];
    let keep: Vec<bool> = (0..layer.shape.weights()).map(|i| i % 3 != 0).collect();
    let values = layer.weight.values().iter().zip(&keep).map(|(v, k)| if *k { *v } else { 0.0 }).collect();
    let mask = Weight::Masked { values, keep: keep.clone() };
    let model = bench.model().clone().with_weight(&SiteId::hidden(0), mask).unwrap();
    for kind in [gptq::KIND, awq::KIND, adaround::KIND] {
        for grid in ["int8", "int4", "int3", "int2", "ternary", "binary"] {
            let with = format!("grid = '{grid}'\ncorrect = 'both'");
            let after = apply(&kind, &with, &model, &sites(&model), &bench).model;
            let weight = &after.layers()[0].weight;
            assert_eq!(weight.keep(), keep, "{} {grid}", kind.name);
            assert!(weight.values().iter().zip(&keep).all(|(v, k)| *k || *v == 0.0));
        }
    }
}

/// Fixed scales and the factors of smoothing are found in one pass over each batch of rows for up to eight sites.
#[test]
fn more_sites_take_no_more_passes() {
    let bench = Bench::new(&cpu()).unwrap();
    let all = sites(bench.model());
    for (kind, with) in
        [(integers::INT8, "activations = { calibrator = 'mse' }"), (smooth::KIND, "samples = 64")]
    {
        let made = |on: &[SiteId]| {
            let before = passes();
            apply(&kind, with, bench.model(), on, &bench);
            passes() - before
        };
        let (two, three) = (made(&all[1..]), made(&all));
        assert!(two > 0 && two == three, "{}: {two} passes for two sites, {three} for three", kind.name);
    }
}
