//! `prune.layers`: hidden layers that matter little go, each merged with the one after it.
//!
//! Without the layer's non-linearity, its site and the next are one linear map, of shape
//! `inputs of the one × outputs of the other`. The product of both matrices is that map only where no unit is
//! ever off; so the map starts as the least-squares fit, on the training rows, of what the next site used to
//! compute, and as the product where the layer before is too wide to solve for. Then it is trained, where asked.
//!
//! Sites are renumbered: with `hidden.1` gone, what was `hidden.2` is `hidden.1`.

use nlpress_model::{Form, Layer, Model, Network, Outline, Shape, Site, SiteId, Spec, Weight};
use nlpress_technique::{Cx, Family, Kind, Needs, Problem, StepError, Technique, parse};
use nlpress_train::FitConfig;
use serde::Deserialize;

use crate::PruneError;
use crate::activations::{ROWS, pre_activations, relu};
use crate::cut::treatable;
use crate::solve::{LeastSquares, Linear};
use crate::tune::tune_if;

/// Widest input that is solved for: 8 MiB of sums, and less than a second.
pub const WIDEST_SOLVED: usize = 1024;

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "prune.layers",
    family: Family::Simplify,
    summary: "Removes hidden layers, each merged with the next into one least-squares map.",
    source: "Dror et al. 2021, arXiv:2112.15106 (layer folding), with a fit in the manner of He et al. 2017, arXiv:1707.06168",
    example: "ridge = 1e-3\nfinetune = { epochs = 1 }",
    on: &["hidden.1"],
    settings: &[
        (
            "ridge",
            "weight of the squares in the fit, relative to the mean variance, from 1e-9 to 1000; 1e-3 by default",
        ),
        ("finetune", "training afterwards, as a training table; none by default"),
    ],
    parse: parse::<Layers>,
};

/// The checked configuration of `prune.layers`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Layers {
    ridge: f64,
    finetune: Option<FitConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default = "gentle")]
    ridge: f64,
    finetune: Option<FitConfig>,
}

fn gentle() -> f64 {
    1e-3
}

impl TryFrom<Raw> for Layers {
    type Error = PruneError;

    fn try_from(raw: Raw) -> Result<Self, PruneError> {
        if !(1e-9..=1e3).contains(&raw.ridge) {
            return Err(PruneError::setting("ridge", raw.ridge, "between 1e-9 and 1000"));
        }
        Ok(Self { ridge: raw.ridge, finetune: raw.finetune })
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

/// The outline of `spec` without hidden layer `i`.
fn without(spec: &Spec, i: usize) -> Spec {
    let mut spec = spec.clone();
    if let Spec::Mlp(mlp) = &mut spec {
        mlp.hidden.remove(i);
    }
    spec
}

/// Numbers of the selected hidden layers, the last first, so that a removal does not renumber the next one.
fn selected(spec: &Spec, on: &[SiteId]) -> Vec<usize> {
    let Spec::Mlp(mlp) = spec else { return Vec::new() };
    (0..mlp.hidden.len()).rev().filter(|i| on.contains(&SiteId::hidden(*i))).collect()
}

impl Layers {
    /// The map that takes the place of sites `i` and `i + 1`.
    fn merge(&self, model: &Model, i: usize, cx: &mut Cx<'_>) -> Result<Linear, StepError> {
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
                    data.rows().densify(indices.iter().copied(), &mut dense);
                } else {
                    dense = pre_activations(&network, i - 1, data, &indices)?;
                    relu(&mut dense);
                }
                let targets = pre_activations(&network, i + 1, data, &indices)?;
                fit.add(&dense, &targets).map_err(|e| StepError::Failed(e.to_string()))?;
            }
            if let Some(linear) = fit.solve(self.ridge) {
                cx.note(format!(
                    "{} went; the merged site starts from least squares on {} rows",
                    this.id,
                    data.len()
                ));
                return Ok(linear);
            }
        }
        cx.progress("multiplying the merged layers", 0, 1)?;
        cx.note(format!("{} went; the merged site starts from the product of both", this.id));
        let (w1, w2) = (this.weight.values(), next.weight.values());
        product((&w1, &this.bias), (&w2, &next.bias)).map_err(|e| StepError::Failed(e.to_string()))
    }
}

impl Technique for Layers {
    fn needs(&self) -> Needs {
        Needs { training: true, validation: self.finetune.is_some(), teacher: false }
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        treatable(before, on, problems);
        if on.contains(&SiteId::output()) {
            problems.push(Problem::at(&SiteId::output(), "it is no hidden layer and cannot be removed"));
        }
        let mut after = before.clone();
        for i in selected(&before.spec, on) {
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
            let shape = Shape { inputs: first.shape.inputs, outputs: second.shape.outputs };
            let gone = first.shape.weights() + second.shape.weights();
            let merged = Site { id: second.id.clone(), shape, form: Form::Dense };
            after.kept = after.kept.saturating_sub(gone) + shape.weights();
            after.sites.splice(i..i + 2, [merged]);
            after.spec = without(&after.spec, i);
        }
        let names = after.spec.sites();
        after.sites.iter_mut().zip(names).for_each(|(site, (id, _))| site.id = id);
        after
    }

    fn apply(&self, mut model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        for i in selected(model.spec(), on) {
            let Linear { weight, bias } = self.merge(&model, i, cx)?;
            let before = model.outline();
            let (spec, mut layers) = model.into_parts();
            let spec = without(&spec, i);
            let shape = Shape { inputs: layers[i].shape.inputs, outputs: layers[i + 1].shape.outputs };
            let merged = Layer { id: layers[i].id.clone(), shape, weight: Weight::Dense(weight), bias };
            layers.splice(i..i + 2, [merged]);
            layers.iter_mut().zip(spec.sites()).for_each(|(layer, (id, _))| layer.id = id);
            model = Model::new(spec, layers)?;
            let (was, is) = (before.parameters(), model.outline().parameters());
            if is > was {
                cx.note(format!(
                    "merging hidden.{i} made the network larger: {was} parameters before, {is} after"
                ));
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
        let spec = Spec::Mlp(MlpSpec::new(10, &[8, 6, 4], 2, 0.1));
        let mut problems = Vec::new();
        let after = toml::from_str::<Layers>("").unwrap().plan(&Outline::dense(&spec), on, &mut problems);
        (after, problems)
    }

    #[test]
    fn sites_are_renumbered_and_neighbours_may_go_together() {
        let (after, none) = plan(&[SiteId::hidden(0), SiteId::hidden(1)]);
        assert_eq!(none, []);
        let Spec::Mlp(mlp) = &after.spec else { unreachable!("it was one") };
        assert_eq!(mlp.hidden, [4]);
        assert_eq!(after, Outline::dense(&after.spec));
        let (after, none) = plan(&[SiteId::hidden(0), SiteId::hidden(1), SiteId::hidden(2)]);
        assert_eq!((none, after.parameters()), (vec![], 22));
    }

    #[test]
    fn the_output_and_sparse_sites_are_refused() {
        let (_, some) = plan(&[SiteId::output()]);
        assert!(some[0].to_string().contains("cannot be removed"));
        let spec = Spec::Mlp(MlpSpec::new(10, &[8], 2, 0.1));
        let mut before = Outline::dense(&spec);
        before.sites[1].form = Form::Masked;
        let mut some = Vec::new();
        toml::from_str::<Layers>("").unwrap().plan(&before, &[SiteId::hidden(0)], &mut some);
        assert!(some[0].to_string().contains("site output: it is masked"), "{some:?}");
    }

    #[test]
    fn the_ridge_is_bounded() {
        for bad in ["ridge = 0", "ridge = nan", "ridge = 1e9", "rigde = 1"] {
            assert!(toml::from_str::<Layers>(bad).is_err(), "{bad}");
        }
    }
}
