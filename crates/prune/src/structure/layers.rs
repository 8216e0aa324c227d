//! `prune.layers`: depth pruning of a perceptron. Hidden layers that matter little go, each merged with the one after it.
//!
//! Without the layer's non-linearity, its site and the next are one linear map, of shape
//! `inputs of the one × outputs of the other`. The product of both matrices is that map only where no unit is
//! ever off; so the map starts as the least-squares fit, on the training rows, of what the next site used to
//! compute, and as the product where the layer before is too wide to solve for. Then it is trained, where asked.
//!
//! Either all selected layers are removed, or, with `count`, that number of them, the least important first: each candidate is
//! merged on trial, and the trial is judged by the angle by which it turns what the next site computes on the
//! training rows (as Gromov et al. 2024 judge blocks), or by the validation loss. The data then decide how wide the
//! network is that is left, so the plan is a bound. A network with factored sites is refused: merge first.
//!
//! Sites are renumbered: with `hidden.1` gone, what was `hidden.2` is `hidden.1`.

use nlpress_core::shown::counted;
use nlpress_model::{Form, Graph, Layer, Model, Network, Outline, Shape, Site, SiteId, Weight};
use nlpress_technique::{
    Cx, Family, Kind, Made, Needs, Problem, Settings, StepError, Technique, parse, settings,
};
use nlpress_train::FitConfig;
use serde::Deserialize;

use super::depth;
pub use super::depth::Choice;
use crate::PruneError;
use crate::frame::{AFTERWARDS, ROWS, pre_activations, relu, ridge, treatable, tune_if};
use crate::solve::{LeastSquares, Linear};

/// Widest input that is solved for: 8 MiB of sums, and less than a second.
pub const WIDEST_SOLVED: usize = 1024;

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "prune.layers",
    family: Family::Simplify,
    summary: "Depth pruning: removes hidden layers, each merged with the next into one least-squares map.",
    source: "Dror et al. 2021, arXiv:2112.15106 (layer folding), with a fit in the manner of He et al. 2017, arXiv:1707.06168; choice by angle: Gromov et al. 2024, arXiv:2403.17887",
    example: "count = 1\nridge = 1e-3\nfinetune = { epochs = 1 }",
    on: &["hidden.*"],
    settings: &[Raw::SETTINGS],
    parse: parse::<Layers>,
};

/// The checked configuration of `prune.layers`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Layers {
    ridge: f64,
    /// How many of the selected layers go, and which; all without.
    choice: Option<(usize, Choice)>,
    finetune: Option<FitConfig>,
}

settings! {
    struct Raw {
        /// how many of the selected hidden layers go, from 1 to 64; all of them by default
        count: Option<usize>,
        /// which go, with count: "angle" (default): those whose merging turns what the next site computes least;
        /// "validation": those whose merging costs the least validation loss
        criterion: Option<Choice>,
        /// weight of the squares in the fit, relative to the mean variance, from 1e-9 to 1000; 1e-3 by default
        ridge: f64 => ridge(),
        finetune: Option<FitConfig> as AFTERWARDS,
    }
}

impl TryFrom<Raw> for Layers {
    type Error = PruneError;

    fn try_from(raw: Raw) -> Result<Self, PruneError> {
        let choice = match (raw.count, raw.criterion) {
            (None, None) => None,
            (None, Some(_)) => return Err(PruneError::setting("count", "missing", "given with criterion")),
            (Some(count), criterion) if (1..=64).contains(&count) => {
                Some((count, criterion.unwrap_or_default()))
            }
            (Some(count), _) => return Err(PruneError::setting("count", count, "between 1 and 64")),
        };
        Ok(Self { ridge: raw.ridge, choice, finetune: raw.finetune })
    }
}

/// Two linear maps, one after the other, as one: `weight = w1 · w2`, `bias = b1 · w2 + b2`, where `w1` is
/// `[inputs, b1]` and `w2` is `[b1, b2]`.
///
/// # Errors
/// [`PruneError::Length`] when they do not fit.
pub fn product((w1, b1): (&[f32], &[f32]), (w2, b2): (&[f32], &[f32])) -> Result<Linear, PruneError> {
    let (middle, outputs) = (b1.len(), b2.len());
    PruneError::same_length("the second weight", w2.len(), middle * outputs)?;
    let inputs = w1.len() / middle.max(1);
    PruneError::same_length("the first weight", w1.len(), inputs * middle)?;
    let through = |row: &[f32], start: &[f32]| -> Vec<f32> {
        let mut sums: Vec<f64> = start.iter().map(|x| f64::from(*x)).collect();
        for (x, w) in row.iter().zip(w2.chunks_exact(outputs.max(1))) {
            sums.iter_mut().zip(w).for_each(|(sum, w)| *sum += f64::from(*x) * f64::from(*w));
        }
        sums.into_iter().map(|x| x as f32).collect()
    };
    let none = vec![0.0; outputs];
    let weight = w1.chunks_exact(middle.max(1)).flat_map(|row| through(row, &none)).collect();
    Ok(Linear { weight, bias: through(b1, b2) })
}

/// Mean angle between the rows of `a` and those of `b`, both `[rows, width]`, as a share of a half turn: 0 where they
/// point the same way, 1 where they point apart. A row of zeros is at a right angle to any but another such.
///
/// # Errors
/// [`PruneError::Length`] when they do not fit.
pub fn angle(a: &[f32], b: &[f32], width: usize) -> Result<f64, PruneError> {
    PruneError::same_length("the second rows", b.len(), a.len())?;
    let rows = a.len() / width.max(1);
    PruneError::same_length("the first rows", a.len(), rows * width)?;
    let mut sum = 0.0;
    for (a, b) in a.chunks_exact(width.max(1)).zip(b.chunks_exact(width.max(1))) {
        sum += depth::angle(a, b)?;
    }
    Ok(sum / rows.max(1) as f64)
}

/// The network without hidden layer `i`.
fn without(graph: &Graph, i: usize) -> Graph {
    graph.without_layer(i).unwrap_or_else(|| graph.clone())
}

/// Widths of the hidden layers of a chain.
fn hidden(graph: &Graph) -> Vec<usize> {
    let mut widths: Vec<usize> = graph.sites().iter().map(|(_, shape)| shape.outputs).collect();
    widths.pop();
    if graph.is_chain() { widths } else { Vec::new() }
}

/// Numbers of the selected hidden layers, the last first, so that a removal does not renumber the next one.
fn selected(graph: &Graph, on: &[SiteId]) -> Vec<usize> {
    let sites = graph.sites();
    (0..hidden(graph).len()).rev().filter(|i| on.contains(&sites[*i].0)).collect()
}

impl Layers {
    /// The map that takes the place of sites `i` and `i + 1`.
    fn merge(&self, model: &Model, i: usize, cx: &Cx<'_>) -> Result<(Linear, String), StepError> {
        let (this, next) = (&model.layers()[i], &model.layers()[i + 1]);
        let (inputs, outputs) = (this.shape.inputs, next.shape.outputs);
        if inputs <= WIDEST_SOLVED {
            let network = Network::bind(model, cx.backend);
            let mut fit = LeastSquares::new(inputs, outputs);
            let (data, mut dense) = (cx.train, Vec::new());
            for first in (0..data.len()).step_by(ROWS) {
                cx.progress("fitting the merged layer", first, data.len())?;
                let indices: Vec<usize> = (first..data.len().min(first + ROWS)).collect();
                if i == 0 {
                    dense.clear();
                    data.features()?.densify(indices.iter().copied(), &mut dense);
                } else {
                    dense = pre_activations(&network, i - 1, data, &indices)?;
                    relu(&mut dense);
                }
                let targets = pre_activations(&network, i + 1, data, &indices)?;
                fit.add(&dense, &targets)?;
            }
            if let Some(linear) = fit.solve(self.ridge) {
                return Ok((linear, format!("least squares on {}", counted(data.len(), "row"))));
            }
        }
        cx.progress("multiplying the merged layers", 0, 1)?;
        let (w1, w2) = (this.weight.values(), next.weight.values());
        let linear = product((&w1, &this.bias), (&w2, &next.bias));
        Ok((linear?, "the product of both".into()))
    }

    /// The model without hidden layer `i`, and a sentence on it.
    fn merged(&self, model: &Model, i: usize, cx: &Cx<'_>) -> Result<(Model, String), StepError> {
        let (Linear { weight, bias }, from) = self.merge(model, i, cx)?;
        let was = model.outline().parameters();
        let (graph, mut layers) = model.clone().into_parts();
        let graph = without(&graph, i);
        let mut note = format!("{} went; the merged site starts from {from}", layers[i].id);
        let shape = Shape::new(layers[i].shape.inputs, layers[i + 1].shape.outputs);
        let merged = Layer { id: layers[i].id.clone(), shape, weight: Weight::Dense(weight), bias };
        layers.splice(i..i + 2, [merged]);
        layers.iter_mut().zip(graph.sites()).for_each(|(layer, (id, _))| layer.id = id);
        let made = Model::new(graph, layers)?;
        let is = made.outline().parameters();
        if is > was {
            note += &format!("; the network became larger: {was} parameters before, {is} after");
        }
        Ok((made, note))
    }

    /// The candidate that matters least, with the model without it.
    fn least(
        &self,
        model: &Model,
        candidates: &[usize],
        choice: Choice,
        cx: &Cx<'_>,
    ) -> Result<Option<(usize, Model, String)>, StepError> {
        let mut best: Option<(f64, usize, Model, String)> = None;
        for &i in candidates {
            let (made, note) = self.merged(model, i, cx)?;
            let (score, what) = match choice {
                Choice::Angle => (turn(model, &made, i, cx)?, "turns what follows by"),
                Choice::Validation => (cx.loss(&made)?, "leaves a validation loss of"),
            };
            if best.as_ref().is_none_or(|(least, ..)| score.total_cmp(least).is_lt()) {
                best = Some((
                    score,
                    i,
                    made,
                    format!("{note}; of {} candidates it {what} {score:.4}", candidates.len()),
                ));
            }
        }
        Ok(best.map(|(_, i, made, note)| (i, made, note)))
    }
}

/// The mean angle by which leaving hidden layer `i` out turns what the site after it computes on the training rows.
fn turn(before: &Model, after: &Model, i: usize, cx: &Cx<'_>) -> Result<f64, StepError> {
    let (old, new) = (Network::bind(before, cx.backend), Network::bind(after, cx.backend));
    let (data, mut sum) = (cx.train, 0.0);
    for first in (0..data.len()).step_by(ROWS) {
        cx.progress("comparing with and without a layer", first, data.len())?;
        let indices: Vec<usize> = (first..data.len().min(first + ROWS)).collect();
        let (was, is) =
            (pre_activations(&old, i + 1, data, &indices)?, pre_activations(&new, i, data, &indices)?);
        let width = was.len() / indices.len();
        let mean = angle(&was, &is, width)?;
        sum += mean * indices.len() as f64;
    }
    Ok(sum / data.len() as f64)
}

/// The largest outline that can be left when `count` of the `candidates` go, whichever they are.
fn bound(before: &Outline, hidden: &[usize], candidates: &[usize], count: usize) -> Outline {
    let first = candidates.iter().copied().min().unwrap_or(hidden.len());
    let possible = |place: usize, layer: usize| {
        let gone = layer - place;
        let earlier = candidates.iter().filter(|c| **c < layer).count();
        let later = candidates.iter().filter(|c| **c > layer).count();
        gone <= earlier && count - gone <= later
    };
    let widest = |place: usize| {
        let layers = (place..=place + count).filter(|layer| possible(place, *layer));
        layers.map(|layer| hidden[layer]).max().unwrap_or(1)
    };
    let mut graph = before.graph.clone();
    for _ in 0..count {
        graph = without(&graph, 0);
    }
    for (place, group) in graph.groups().iter().enumerate() {
        graph = graph.with_units(group, widest(place));
    }
    let mut after = Outline::dense(&graph);
    after.sites[..first].clone_from_slice(&before.sites[..first]);
    let weights = |sites: &[Site]| sites[first..].iter().map(|s| s.shape.weights()).sum::<usize>();
    after.kept = before.kept.saturating_sub(weights(&before.sites)) + weights(&after.sites);
    after
}

impl Technique for Layers {
    fn needs(&self) -> Needs {
        let validates = matches!(self.choice, Some((_, Choice::Validation)));
        Needs::INPUTS
            .and(Needs::VALIDATION.when(validates))
            .and(Needs::TRAINING.when(self.finetune.is_some()))
    }

    fn exact(&self) -> bool {
        self.choice.is_none()
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        treatable(before, on, problems);
        if on.contains(&SiteId::output()) {
            problems.push(Problem::at(&SiteId::output(), "it is no hidden layer and cannot be removed"));
        }
        if !before.graph.ranks().is_empty() {
            problems.push(Problem::of_step("some sites are products of two: remove layers before factoring"));
            return before.clone();
        }
        if let Some((count, _)) = self.choice.filter(|_| before.graph.is_chain()) {
            let candidates = selected(&before.graph, on);
            if count > candidates.len() {
                problems.push(Problem::of_step(format!(
                    "count is {count}, but {} hidden layers are selected",
                    candidates.len()
                )));
                return before.clone();
            }
            // Any of the candidates may go, and every later site gets another number.
            let first = candidates.iter().copied().min().unwrap_or(0);
            for site in before.sites[first..].iter().filter(|s| s.form != Form::Dense) {
                let why = format!("it is {}, but merged sites are dense: remove layers before", site.form);
                problems.push(Problem::at(&site.id, why));
            }
            return bound(before, &hidden(&before.graph), &candidates, count);
        }
        let mut after = before.clone();
        for i in selected(&before.graph, on) {
            let (first, second) = (&after.sites[i], &after.sites[i + 1]);
            for site in [&before.sites[i], &before.sites[i + 1]] {
                if site.form != Form::Dense {
                    let why =
                        format!("it is {}, but a merged site is dense: remove layers before", site.form);
                    let problem = Problem::at(&site.id, why);
                    if !problems.contains(&problem) {
                        problems.push(problem);
                    }
                }
            }
            let shape = Shape::new(first.shape.inputs, second.shape.outputs);
            let gone = first.shape.weights() + second.shape.weights();
            let merged = Site { id: second.id.clone(), shape, form: Form::Dense };
            after.kept = after.kept.saturating_sub(gone) + shape.weights();
            after.sites.splice(i..i + 2, [merged]);
            after.graph = without(&after.graph, i);
        }
        let names = after.graph.sites();
        after.sites.iter_mut().zip(names).for_each(|(site, (id, _))| site.id = id);
        after
    }

    fn apply(&self, mut model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let mut candidates = selected(model.graph(), on);
        match self.choice {
            None => {
                for i in candidates {
                    let (made, note) = self.merged(&model, i, cx)?;
                    model = made;
                    cx.note(note);
                }
            }
            Some((count, choice)) => {
                candidates.reverse();
                for _ in 0..count {
                    let Some((gone, made, note)) = self.least(&model, &candidates, choice, cx)? else {
                        break;
                    };
                    model = made;
                    cx.note(note);
                    candidates.retain(|i| *i != gone);
                    candidates.iter_mut().filter(|i| **i > gone).for_each(|i| *i -= 1);
                }
            }
        }
        tune_if(model, self.finetune.as_ref(), cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_model::MlpSpec;

    #[test]
    fn a_product_is_both_maps_in_one() {
        let (w1, b1) = ([1.0, 2.0, 3.0, 4.0], [0.5, -0.5]);
        let (w2, b2) = ([1.0, -1.0], [2.0]);
        let linear = product((&w1, &b1), (&w2, &b2)).unwrap();
        assert_eq!(linear, Linear { weight: vec![-1.0, -1.0], bias: vec![3.0] });
        assert!(product((&w1, &b1), (&w2[..1], &b2)).is_err());
        assert!(product((&w1[..3], &b1), (&w2, &b2)).is_err());
    }

    fn plan(on: &[SiteId]) -> (Outline, Vec<Problem>) {
        let graph = Graph::from(MlpSpec::new(10, &[8, 6, 4], 2, 0.1));
        let mut problems = Vec::new();
        let after = toml::from_str::<Layers>("").unwrap().plan(&Outline::dense(&graph), on, &mut problems);
        (after, problems)
    }

    #[test]
    fn sites_are_renumbered_and_neighbours_may_go_together() {
        let (after, none) = plan(&[SiteId::hidden(0), SiteId::hidden(1)]);
        assert_eq!(none, []);
        assert_eq!(hidden(&after.graph), [4]);
        assert_eq!(after, Outline::dense(&after.graph));
        let (after, none) = plan(&[SiteId::hidden(0), SiteId::hidden(1), SiteId::hidden(2)]);
        assert_eq!((none, after.parameters()), (vec![], 22));
    }

    #[test]
    fn the_output_and_sparse_sites_are_refused() {
        let (_, some) = plan(&[SiteId::output()]);
        assert!(some[0].to_string().contains("cannot be removed"));
        let graph = Graph::from(MlpSpec::new(10, &[8], 2, 0.1));
        let mut before = Outline::dense(&graph);
        before.sites[1].form = Form::Masked;
        let mut some = Vec::new();
        toml::from_str::<Layers>("").unwrap().plan(&before, &[SiteId::hidden(0)], &mut some);
        assert!(some[0].to_string().contains("site output: it is masked"), "{some:?}");
    }

    #[test]
    fn whichever_layers_go_the_outline_fits_within_the_plan() {
        let hidden = [8, 3, 9, 5, 7];
        let graph = Graph::from(MlpSpec::new(10, &hidden, 2, 0.1));
        let before = Outline::dense(&graph);
        for on in [&[0, 1, 2, 3, 4][..], &[1, 3], &[2, 3, 4], &[4]] {
            let sites: Vec<SiteId> = on.iter().map(|i| SiteId::hidden(*i)).collect();
            for count in 1..=on.len() {
                let mut problems = Vec::new();
                let layers: Layers = toml::from_str(&format!("count = {count}")).unwrap();
                let planned = layers.plan(&before, &sites, &mut problems);
                assert_eq!(problems, []);
                for set in (0_u32..32).filter(|s| s.count_ones() as usize == count) {
                    let goes = |i: &usize| set & (1 << i) != 0;
                    if (0..5).filter(goes).all(|i| on.contains(&i)) {
                        let left: Vec<usize> = (0..5).filter(|i| !goes(i)).map(|i| hidden[i]).collect();
                        let made = Outline::dense(&Graph::from(MlpSpec::new(10, &left, 2, 0.1)));
                        assert!(made.fits_within(&planned), "{on:?} {set:b}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_count_needs_candidates_and_dense_sites_after_them() {
        let graph = Graph::from(MlpSpec::new(10, &[8, 6, 4], 2, 0.1));
        let why = |change: &dyn Fn(&mut Outline), on: &[SiteId]| {
            let (mut before, mut problems) = (Outline::dense(&graph), Vec::new());
            change(&mut before);
            let layers: Layers = toml::from_str("count = 2\ncriterion = 'validation'").unwrap();
            assert!(!layers.exact() && layers.needs().validation);
            layers.plan(&before, on, &mut problems);
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        let last = [SiteId::hidden(1), SiteId::hidden(2)];
        assert!(why(&|_| {}, &last[..1]).contains("count is 2, but 1 hidden layers are selected"));
        assert!(why(&|o| o.sites[3].form = Form::Masked, &last).contains("site output: it is masked"));
        assert_eq!(why(&|o| o.sites[0].form = Form::Masked, &last), "");
        let factored = |o: &mut Outline| {
            o.graph = o.graph.clone().factored(&SiteId::hidden(0), 2);
            *o = Outline::dense(&o.graph);
        };
        assert!(why(&factored, &last).contains("remove layers before factoring"));
    }

    #[test]
    fn angles_are_shares_of_a_half_turn() {
        let (x, y, none) = ([2.0, 0.0], [0.0, 3.0], [0.0, 0.0]);
        for (a, b, share) in
            [(x, x, 0.0), (x, y, 0.5), (x, [-1.0, 0.0], 1.0), (x, none, 0.5), (none, none, 0.0)]
        {
            assert!((angle(&a, &b, 2).unwrap() - share).abs() < 1e-7, "{a:?} {b:?}");
        }
        assert!((angle(&[2.0, 0.0, 1.0, 1.0], &[2.0, 0.0, 1.0, 0.0], 2).unwrap() - 0.125).abs() < 1e-7);
        assert!(angle(&x, &x[..1], 2).is_err() && angle(&[1.0; 3], &[1.0; 3], 2).is_err());
    }

    #[test]
    fn a_count_is_bounded_and_a_criterion_needs_one() {
        for bad in ["count = 0", "count = 65", "criterion = 'angle'", "count = 1\ncriterion = 'size'"] {
            assert!(toml::from_str::<Layers>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_ridge_is_bounded() {
        for bad in ["ridge = 0", "ridge = nan", "ridge = 1e9", "rigde = 1"] {
            assert!(toml::from_str::<Layers>(bad).is_err(), "{bad}");
        }
    }
}
