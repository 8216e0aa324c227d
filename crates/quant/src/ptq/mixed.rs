//! `quant.mixed`: to each site the precision that it needs, within a budget.
//!
//! First the sensitivity is measured: for every selected site and every precision, how far the answers on the validation
//! rows move when that site alone is rounded to it, as the Kullback–Leibler divergence from what they were (Dong et al.
//! 2019, HAWQ, arXiv:1905.03696, with the answers themselves in place of the loss's curvature). The loss on labels would
//! not do: rounding makes an overconfident network less so, and its loss falls as it gets worse. Then a precision is
//! chosen for each site, so that the divergences together are the least that the budget allows: exactly, as a
//! multiple-choice knapsack, or greedily, by the least for each unit saved. `uniform` gives every site the same
//! precision, as the control.
//!
//! That divergences add up is an assumption; the step's note states the measured divergence next to the expected sum.
//! `time` is a count of multiplications, each weighed by what its precision costs relative to floats, not a clock, so
//! that the result is the same on every machine: it tells wide integers from narrow ones, and nothing among the narrow
//! ones, which are all multiplied alike.

use nlpress_core::Measurement;
use nlpress_model::{Form, Layer, Model, Outline, Site, SiteId, Weight};
use nlpress_packed::{Grid, Matrix, Scheme, Values};
use nlpress_technique::spend::{Choice, Method, spend};
use nlpress_technique::{
    Cx, Family, Kind, Made, Needs, Problem, Settings, StepError, Technique, parse, settings,
};
use nlpress_train::Distance;
use serde::Deserialize;

use crate::rounding::Rounding;
use crate::{QuantError, sites};

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "quant.mixed",
    family: Family::Quantize,
    summary: "mixed-precision quantization (bit allocation by sensitivity, after HAWQ): gives each site the precision that a \
              budget of bytes or time allows",
    source: "Dong et al. 2019, HAWQ, arXiv:1905.03696 (precision by sensitivity); Sinha and Zoltners 1979 \
             (multiple-choice knapsack)",
    example: "size = 0.3\nprecisions = [\"f16\", \"int8\", \"int4\", \"int2\", \"binary\"]",
    on: &["**"],
    settings: &[Raw::SETTINGS],
    parse: parse::<Mixed>,
};

/// The checked configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Mixed {
    limit: Limit,
    precisions: Vec<Values>,
    method: Method,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    /// Of the bytes of 32-bit floats.
    Size(f64),
    Bytes(u64),
    Time(f64),
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Limit::Size(share) => write!(f, "size is {share}"),
            Limit::Bytes(bytes) => write!(f, "bytes is {bytes}"),
            Limit::Time(share) => write!(f, "time is {share}"),
        }
    }
}

settings! {
    struct Raw {
        /// most bytes that the weights of the selected sites may take, scales included, as a share of all their
        /// weights in 32-bit floats; more than 0 and at most 1; this, bytes or time
        size: Option<f64>,
        /// the same as a number of bytes; this, size or time
        bytes: Option<u64>,
        /// most time, as a share of that of floats: multiplications, weighed 1 for f16 and bf16, 2 for int16, 0.85
        /// for what is narrower; more than 0 and at most 2; this, size or bytes
        time: Option<f64>,
        /// what a site may become: some of "f16", "bf16", "int16", "int8", "int4", "int3", "int2", "ternary",
        /// "binary"; ["f16", "int8", "int4", "int3", "int2"] by default
        precisions: Option<Vec<String>>,
        /// "knapsack" (default): the smallest sum of divergences within the budget; "greedy": step by step the
        /// smallest divergence for each unit saved; "uniform": the same precision for each site, as the control
        #[serde(default)]
        method: Method,
    }
}

impl TryFrom<Raw> for Mixed {
    type Error = QuantError;

    fn try_from(raw: Raw) -> Result<Self, QuantError> {
        let bad = |key, value: String, bound| Err(QuantError::setting(key, value, bound));
        let limit = match (raw.size, raw.bytes, raw.time) {
            (Some(size), None, None) if size > 0.0 && size <= 1.0 => Limit::Size(size),
            (Some(size), None, None) => return bad("size", size.to_string(), "more than 0 and at most 1"),
            (None, Some(0), None) => return bad("bytes", "0".into(), "at least 1"),
            (None, Some(bytes), None) => Limit::Bytes(bytes),
            (None, None, Some(time)) if time > 0.0 && time <= 2.0 => Limit::Time(time),
            (None, None, Some(time)) => return bad("time", time.to_string(), "more than 0 and at most 2"),
            (None, None, None) => return bad("size", "missing".into(), "given, or bytes, or time"),
            (Some(size), _, _) => {
                return bad("size", size.to_string(), "left out where bytes or time is given");
            }
            (None, Some(bytes), Some(_)) => {
                return bad("bytes", bytes.to_string(), "left out where time is given");
            }
        };
        let usual = || ["f16", "int8", "int4", "int3", "int2"].map(str::to_owned).to_vec();
        let mut precisions = Vec::new();
        for word in raw.precisions.unwrap_or_else(usual) {
            let precision = precision(&word)?;
            if precisions.contains(&precision) {
                return bad("precisions", format!("{word:?} twice"), "a list without repetitions");
            }
            precisions.push(precision);
        }
        if precisions.is_empty() {
            return bad("precisions", "[]".into(), "at least one");
        }
        Ok(Self { limit, precisions, method: raw.method })
    }
}

fn precision(word: &str) -> Result<Values, QuantError> {
    let grids = Grid::ALL.into_iter().filter(|grid| *grid != Grid::Int32);
    let grids = grids.map(|grid| (grid.name(), Rounding::new(grid).values()));
    let all: Vec<_> = grids.chain([("f16", Values::F16), ("bf16", Values::Bf16)]).collect();
    let bound =
        "\"f16\", \"bf16\", \"int16\", \"int8\", \"int4\", \"int3\", \"int2\", \"ternary\" or \"binary\"";
    sites::choose("precisions", word, bound, &all)
}

/// Bytes of a 32-bit float.
const FLOAT: usize = 4;

/// What a multiplication costs, in hundredths of one of floats.
fn time(values: Values) -> u64 {
    match values.grid() {
        None => 100,
        Some(Grid::Int32 | Grid::Int16) => 200,
        Some(_) => 85,
    }
}

impl Mixed {
    /// The widest precision, which is what is planned for each site.
    fn widest(&self) -> Values {
        let bytes = |values: &Values| Scheme { values: *values, ..Scheme::F32 }.bytes(128, 128, 0);
        self.precisions.iter().copied().max_by_key(bytes).unwrap_or(Values::F16)
    }

    fn pack(&self, layer: &Layer, values: Values) -> Result<Weight, StepError> {
        let failed = |e: QuantError| StepError::at(&layer.id, e);
        let (keep, index) = sites::unpacked(layer)?;
        let (numbers, shape) = (layer.weight.values(), (layer.shape.inputs, layer.shape.outputs));
        let matrix = match values {
            Values::Int(int) => Rounding::new(int.grid).pack(&numbers, shape, keep, index),
            Values::Bf16 => Matrix::bf16(shape.0, shape.1, &numbers, keep, index).map_err(QuantError::Pack),
            _ => Matrix::f16(shape.0, shape.1, &numbers, keep, index).map_err(QuantError::Pack),
        };
        Ok(Weight::Packed { scheme: Scheme { values, index }, matrix: matrix.map_err(failed)? })
    }

    fn cost(&self, weight: &Weight, values: Values) -> u64 {
        let Weight::Packed { matrix, .. } = weight else { return 0 };
        match self.limit {
            Limit::Size(_) | Limit::Bytes(_) => matrix.bytes() as u64,
            Limit::Time(_) => matrix.kept() as u64 * time(values),
        }
    }

    fn budget(&self, layers: &[&Layer]) -> u64 {
        let of = |share: f64, each: &dyn Fn(&Layer) -> usize| {
            let all: usize = layers.iter().map(|layer| each(layer)).sum();
            (all as f64 * share).floor() as u64
        };
        match self.limit {
            Limit::Bytes(bytes) => bytes,
            Limit::Size(share) => of(share, &|layer| layer.shape.weights() * FLOAT),
            Limit::Time(share) => of(share, &|layer| layer.weight.kept() * 100),
        }
    }

    /// The least that the sites can take of what is limited, where no entry of a masked site need be stored; with
    /// its bound, in one unit.
    fn least(&self, before: &Outline, on: &[SiteId]) -> (f64, f64) {
        let sites: Vec<_> = on.iter().filter_map(|id| before.site(id)).collect();
        let bound = match self.limit {
            Limit::Bytes(bytes) => bytes as f64,
            Limit::Size(share) => {
                let weights: usize = sites.iter().map(|s| s.shape.weights()).sum();
                (weights * FLOAT) as f64 * share
            }
            Limit::Time(share) => share,
        };
        let cost = |site: &Site, values| match (self.limit, sites::index(site.form)) {
            (Limit::Size(_) | Limit::Bytes(_), None) => 0.0,
            (Limit::Size(_) | Limit::Bytes(_), Some(index)) => {
                Scheme { values, index }.bytes(site.shape.inputs, site.shape.outputs, 0) as f64
            }
            // Every site saves the same share.
            (Limit::Time(_), _) => time(values) as f64 / 100.0 / sites.len() as f64,
        };
        let least = |costs: &mut dyn Iterator<Item = f64>| costs.fold(f64::INFINITY, f64::min);
        let precisions = || self.precisions.iter().copied();
        let taken = match self.method {
            Method::Uniform => least(&mut precisions().map(|p| sites.iter().map(|s| cost(s, p)).sum())),
            _ => sites.iter().map(|site| least(&mut precisions().map(|p| cost(site, p)))).sum(),
        };
        (taken, bound)
    }

    fn too_small(&self) -> StepError {
        let more = "the selected sites take more even at the";
        StepError::Failed(match self.limit {
            Limit::Size(_) | Limit::Bytes(_) => format!("{}, but {more} narrowest of precisions", self.limit),
            Limit::Time(_) => format!("{}, but {more} fastest of precisions", self.limit),
        })
    }
}

/// The mean divergence of a model's answers from others, in nats; of embeddings the mean squared difference.
fn divergence(before: &[f32], model: &Model, cx: &Cx<'_>) -> Result<f64, StepError> {
    let (after, outputs) = (cx.valid_logits(model)?, model.graph().outputs());
    let distance = distance(model);
    let mut unused = vec![0.0; outputs];
    let rows = before.chunks_exact(outputs).zip(after.chunks_exact(outputs));
    let sum: f64 = rows.map(|(before, after)| distance.of(before, after, &mut unused)).sum();
    Ok(sum / cx.valid.len().max(1) as f64)
}

/// How the answers of a network are compared with others.
fn distance(model: &Model) -> Distance {
    if model.graph().classes().is_some() { Distance::Kl { temperature: 1.0 } } else { Distance::Mse }
}

/// One precision for all sites: the one of least rise whose costs are within the budget.
fn uniform(sites: &[Vec<Choice>], budget: u64) -> Option<Vec<usize>> {
    let count = sites.first().map_or(0, Vec::len);
    let of = |at: usize| sites.iter().map(move |site| site[at]);
    let fitting = (0..count).filter(|at| of(*at).map(|c| c.cost).sum::<u64>() <= budget);
    let rise = |at: &usize| of(*at).map(|c| c.rise).sum::<f64>();
    let best = fitting.min_by(|a, b| rise(a).total_cmp(&rise(b)))?;
    Some(vec![best; sites.len()])
}

impl Technique for Mixed {
    fn needs(&self) -> Needs {
        Needs { validation: true, ..Needs::default() }
    }

    fn exact(&self) -> bool {
        false
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        let (least, bound) = self.least(before, on);
        // Sums of shares are rounded.
        if least * (1.0 - 1e-9) > bound {
            let least = match self.limit {
                Limit::Size(share) => least / bound * share,
                Limit::Bytes(_) | Limit::Time(_) => least,
            };
            problems.push(Problem::of_step(format!(
                "{}, but the selected sites take at least {} with these precisions",
                self.limit,
                (least * 1e4 - 1e-6).ceil() / 1e4
            )));
        }
        sites::plan(before, on, self.widest(), problems)
    }

    fn apply(&self, mut model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let layers: Vec<Layer> = model.layers_of(on).cloned().collect();
        let total = layers.len() * self.precisions.len();
        cx.progress("measuring sensitivity", 0, total)?;
        let before = cx.valid_logits(&model)?;
        let (mut choices, mut packed) = (Vec::new(), Vec::new());
        for (n, layer) in layers.iter().enumerate() {
            let (mut of_site, mut weights) = (Vec::new(), Vec::new());
            for (i, values) in self.precisions.iter().enumerate() {
                cx.progress("measuring sensitivity", n * self.precisions.len() + i, total)?;
                let weight = self.pack(layer, *values)?;
                let cost = self.cost(&weight, *values);
                let rise = divergence(&before, &model.clone().with_weight(&layer.id, weight.clone())?, cx)?;
                cx.measure(Measurement::lower(&format!("sensitivity.{}.{values}", layer.id), rise, "nats"));
                of_site.push(Choice { cost, rise });
                weights.push(weight);
            }
            choices.push(of_site);
            packed.push(weights);
        }
        let budget = self.budget(&layers.iter().collect::<Vec<_>>());
        let chosen = match self.method {
            Method::Uniform => uniform(&choices, budget),
            method => spend(&choices, budget, method),
        };
        let chosen = chosen.ok_or_else(|| self.too_small())?;
        let expected: f64 = choices.iter().zip(&chosen).map(|(site, at)| site[*at].rise).sum();
        let mut names = Vec::new();
        for ((layer, at), mut weights) in layers.iter().zip(&chosen).zip(packed) {
            names.push(format!("{} {}", layer.id, self.precisions[*at]));
            model = model.with_weight(&layer.id, weights.swap_remove(*at))?;
        }
        let after = divergence(&before, &model, cx)?;
        cx.note(format!(
            "chosen: {}; the answers were expected to move by {expected:.4} nats, and moved by {after:.4}",
            names.join(", ")
        ));
        let bytes: usize = model.layers_of(on).map(site_bytes).sum();
        cx.measure(Measurement::lower("site_bytes", bytes as f64, "bytes"));
        cx.measure(Measurement::lower("divergence", after, "nats"));
        Ok(model.into())
    }
}

fn site_bytes(layer: &Layer) -> usize {
    match (&layer.weight, layer.weight.form()) {
        (Weight::Packed { matrix, .. }, Form::Packed(_)) => matrix.bytes(),
        _ => 4 * layer.shape.weights(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::event::Quiet;
    use nlpress_testkit::{Bench, cpu};

    #[test]
    fn settings_are_checked() {
        let read = |text: &str| toml::from_str::<Mixed>(text).map_err(|e| e.message().to_owned());
        assert!(read(KIND.example).is_ok() && read("time = 0.9\nmethod = 'greedy'").is_ok());
        for (bad, says) in [
            ("", "size is missing"),
            ("size = 1.5", "size is 1.5"),
            ("size = 0.5\nbytes = 5", "size is 0.5, but it must be left out"),
            ("bytes = 0", "bytes is 0"),
            ("bytes = 5\ntime = 0.5", "bytes is 5, but it must be left out"),
            ("time = 3.0", "time is 3"),
            ("bytes = 5\nprecisions = []", "precisions is []"),
            ("bytes = 5\nprecisions = ['int8', 'int8']", "\"int8\" twice"),
            ("bytes = 5\nprecisions = ['int5']", "precisions is \"int5\""),
            ("bytes = 5\nmethod = 'best'", "best"),
        ] {
            let message = read(bad).unwrap_err();
            assert!(message.contains(says), "{bad}: {message}");
        }
    }

    /// Every site alone at every precision, measured here: the divergence it causes and its bytes.
    fn alone(bench: &Bench, precisions: &[&str]) -> Vec<Vec<(f64, usize)>> {
        let cx = bench.cx(&Quiet);
        let before = cx.valid_logits(bench.model()).unwrap();
        let of = |layer: &Layer, precision: &str| {
            let text = format!("bytes = 1000000\nprecisions = ['{precision}']");
            let technique: Mixed = toml::from_str(&text).unwrap();
            let on = std::slice::from_ref(&layer.id);
            let made = technique.apply(bench.model().clone(), on, &mut cx.clone()).unwrap().model;
            let bytes = site_bytes(made.layer(&layer.id).unwrap());
            (divergence(&before, &made, &cx).unwrap(), bytes)
        };
        let layers = bench.model().layers();
        layers.iter().map(|layer| precisions.iter().map(|p| of(layer, p)).collect()).collect()
    }

    /// The knapsack's choice is the least sum of the sites' divergences of all that fit, by trying all; the uniform one
    /// the least of those that are the same everywhere; and together they do move the answers less.
    #[test]
    fn spending_by_sensitivity_is_the_least_of_all_assignments() {
        let bench = Bench::new(&cpu()).unwrap();
        let on: Vec<SiteId> = bench.model().layers().iter().map(|l| l.id.clone()).collect();
        let precisions = ["int8", "int4", "int3", "int2", "binary"];
        let sites = alone(&bench, &precisions);
        let choices = precisions.len();
        let all: Vec<Vec<usize>> = (0..choices.pow(3))
            .map(|n| vec![n % choices, n / choices % choices, n / choices / choices])
            .collect();
        let sum = |assignment: &[usize]| -> (f64, usize) {
            let of = |(site, at): (&Vec<(f64, usize)>, &usize)| site[*at];
            let picked: Vec<(f64, usize)> = sites.iter().zip(assignment).map(of).collect();
            (picked.iter().map(|p| p.0).sum(), picked.iter().map(|p| p.1).sum())
        };
        let mut total = [0.0, 0.0];
        for bytes in [260, 300, 380, 500, 600] {
            let least = |same: bool| -> f64 {
                let fitting = all.iter().filter(|a| sum(a).1 <= bytes);
                let fitting = fitting.filter(|a| !same || a.iter().all(|at| *at == a[0]));
                fitting.map(|a| sum(a).0).fold(f64::INFINITY, f64::min)
            };
            for (n, method, expected) in [(0, "knapsack", least(false)), (1, "uniform", least(true))] {
                let text = format!("bytes = {bytes}\nmethod = '{method}'\nprecisions = {precisions:?}");
                let technique: Mixed = toml::from_str(&text).unwrap();
                let mut cx = bench.cx(&Quiet);
                let model = technique.apply(bench.model().clone(), &on, &mut cx).unwrap().model;
                let taken: usize = model.layers().iter().map(|layer| site_bytes(layer)).sum();
                assert!(taken <= bytes, "{taken} of {bytes}");
                let said = format!("expected to move by {expected:.4} nats");
                assert!(cx.notes[0].contains(&said), "{method}, {bytes} bytes: {said}: {:?}", cx.notes);
                let before = cx.valid_logits(bench.model()).unwrap();
                total[n] += divergence(&before, &model, &cx).unwrap();
            }
        }
        assert!(total[0] < 0.9 * total[1], "{total:?}");
    }

    #[test]
    fn a_budget_below_the_least_is_refused() {
        let bench = Bench::new(&cpu()).unwrap();
        let on: Vec<SiteId> = bench.model().layers().iter().map(|l| l.id.clone()).collect();
        let impossible: Mixed = toml::from_str("bytes = 20").unwrap();
        let error = impossible.apply(bench.model().clone(), &on, &mut bench.cx(&Quiet)).unwrap_err();
        assert!(error.to_string().contains("bytes is 20"), "{error}");
        // The plan says so before, with the least that is possible, and refuses no more than that.
        let planned = |text: &str| {
            let mut problems = Vec::new();
            let technique: Mixed = toml::from_str(text).unwrap();
            technique.plan(&bench.model().outline(), &on, &mut problems);
            problems.iter().map(ToString::to_string).collect::<String>()
        };
        let said = planned("bytes = 20");
        let least: u64 = said.split("at least ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        for method in ["knapsack", "greedy"] {
            let text = |bytes: u64| format!("bytes = {bytes}\nmethod = '{method}'");
            assert!(planned(&text(least - 1)).contains("take at least"), "{least}");
            assert_eq!(planned(&text(least)), "");
            let possible: Mixed = toml::from_str(&text(least)).unwrap();
            possible.apply(bench.model().clone(), &on, &mut bench.cx(&Quiet)).unwrap();
        }
        assert!(planned("time = 0.5").contains("take at least 0.85"), "{}", planned("time = 0.5"));
        assert_eq!(planned("time = 0.85"), "");
        let said = planned("size = 0.01");
        let least = said.split("size is 0.01, but the selected sites take at least ").nth(1).unwrap();
        assert_eq!(planned(&format!("size = {}", least.split(' ').next().unwrap())), "");
    }
}
