//! The file that a row will be, before anything is trained: its bytes, and something to time.
//!
//! A row's outline is planned from its recipe, and its words follow from the weights of the model that it starts from.
//! What training adds are numbers, and numbers of a form take the same bytes whatever they are. So the file is put
//! together with other numbers in the same form. Only where pruned entries are stored sparsely do bytes depend on which
//! entries those are: there they lie by chance, and the bytes are near, not exact.

use nlpress_artifact::{Artifact, EncoderParts, Layer, Provenance, Vector};
use nlpress_core::Seed;
use nlpress_model::graph::Op;
use nlpress_model::{Dataset, Form, Model, Site};
use nlpress_packed::{Activations, Index, Matrix, PackError, Scales, Values};
use nlpress_prune::select::norm::{norms, root_mean_squares};
use nlpress_prune::select::{frequency, within};
use nlpress_technique::StepError;
use nlpress_text::{Encode, TextError};
use std::borrow::Cow;

use crate::failure::RunError;
use crate::prepared::Prepared;
use crate::recipe::Recipe;
use crate::run::planned;
use crate::ship::ShipError;

/// The artifact of a row without what it learns; `kept` are the features that it will read, ascending, where they are not
/// all.
///
/// # Errors
/// [`RunError`] for a recipe that cannot be planned, a row that it does not have, features that the row does not read, and
/// forms other than floats and integers with scales alone.
pub fn untrained(
    recipe: &Recipe,
    id: &str,
    prepared: &Prepared,
    kept: Option<&[u32]>,
) -> Result<Artifact, RunError> {
    let broken = |why: &str| RunError::Internal(format!("{id}: {why}"));
    let plan = planned(recipe, prepared)?;
    let row = plan.rows.into_iter().find(|row| row.id == id).ok_or_else(|| broken("there is no such row"))?;
    let steps: Vec<&str> = row.steps.iter().map(|step| step.technique.as_str()).collect();
    // Hashes have one length, whatever they are of.
    let provenance = Provenance {
        recipe_sha256: "0".repeat(64),
        start_sha256: recipe.network.path.is_some().then(|| "0".repeat(64)),
        data_sha256: prepared.corpus.sha256.clone(),
        seed: Seed(recipe.seed).derive("repetition 0").0,
        technique: steps.join(" → "),
        nlpress: env!("CARGO_PKG_VERSION").into(),
    };
    let outline = row.outline;
    let encoder = match kept {
        Some(kept) => Cow::Owned(prepared.encoder.narrowed(kept).map_err(crate::DataError::from)?.0),
        None => Cow::Borrowed(&prepared.encoder),
    };
    if encoder.width() != outline.graph.inputs() {
        return Err(broken("the features are not those that the row reads"));
    }
    let total: usize = outline.sites.iter().map(|site| site.shape.weights()).sum();
    let share = outline.kept as f64 / total.max(1) as f64;
    let layer = |site: &Site| -> Result<Layer, RunError> {
        let failed = |source| ShipError::Pack { site: site.id.clone(), source };
        let matrix = matrix(site, share, recipe.seed).ok_or_else(|| broken("a form that is not foreseen"))?;
        Ok(Layer {
            id: site.id.clone(),
            matrix: matrix.map_err(failed)?,
            bias: vec![0.0; site.shape.biases()],
        })
    };
    let layers = outline.sites.iter().map(layer).collect::<Result<Vec<_>, _>>()?;
    let (config, blob) = encoder.to_parts();
    let parts = EncoderParts { config, blob };
    let labels = prepared.corpus.labels.clone();
    let vectors = outline.graph.vectors().into_iter();
    let vectors = vectors.map(|(id, of)| Vector { id, values: vec![of.fresh; of.length] }).collect();
    let artifact = Artifact::new(outline, layers, vectors, labels, parts, provenance);
    Ok(artifact.map_err(ShipError::from)?)
}

/// A weight of a site's form, of which this share of the entries is kept; nothing for a form that is not foreseen.
fn matrix(site: &Site, share: f64, seed: u64) -> Option<Result<Matrix, PackError>> {
    let (inputs, outputs) = (site.shape.inputs, site.shape.outputs);
    let entries = inputs * outputs;
    let keep = || {
        let mut order: Vec<usize> = (0..entries).collect();
        Seed(seed).derive(site.id.as_str()).stream(0).shuffle(&mut order);
        let mut keep = vec![false; entries];
        order.iter().take((share * entries as f64).round() as usize).for_each(|i| keep[*i] = true);
        keep
    };
    Some(match site.form {
        Form::Dense => Matrix::dense(inputs, outputs, vec![0.0; entries]),
        Form::Masked => Matrix::smallest(inputs, outputs, &vec![0.0; entries], &keep()),
        Form::Packed(scheme) => {
            let Values::Int(int) = scheme.values else { return None };
            if int.zero_points || int.outliers > 0 || int.activations != Activations::Dynamic {
                return None;
            }
            let scales = Scales::of(int.per, vec![1.0; int.per.scales(inputs, outputs)]);
            let integers = vec![if int.grid.has_zero() { 0 } else { 1 }; entries];
            let keep = (scheme.index != Index::Full).then(keep);
            Matrix::quantized((inputs, outputs), int.grid, &integers, scales, keep.as_deref(), scheme.index)
        }
    })
}

/// Numbers of what a network makes of a text by its last pooling: the most that static embeddings of it may have; 0 where it does
/// not pool.
pub fn pooled_width(model: &Model) -> usize {
    let graph = model.graph();
    let pool = graph.nodes.iter().rposition(|node| matches!(node.op, Op::Pool(_)));
    pool.map_or(0, |pool| graph.values()[pool].width)
}

/// How often training documents have each token, as `select.frequency` ranks them: those that always stay come first.
pub fn frequencies(prepared: &Prepared) -> Vec<f64> {
    let mut scores = frequency::scores(&prepared.train);
    prepared.encoder.always_kept().into_iter().for_each(|kept| scores[kept as usize] = f64::INFINITY);
    scores
}

/// The tokens that stay where `select.frequency` keeps so many by these scores: fewer where one more would need others.
///
/// # Errors
/// [`RunError`] where too few are to be kept.
pub fn most_frequent(prepared: &Prepared, scores: &[f64], keep: usize) -> Result<Vec<u32>, RunError> {
    let failed = |e: TextError| StepError::Failed(e.to_string());
    let kept = within(scores, keep, |some| prepared.encoder.closed(some).map_err(failed));
    kept.map_err(|e| RunError::step("fit", frequency::KIND.name, e))
}

/// All features in the order in which `select.norm` keeps them: by the norm of their weights, with `contribution` times
/// the root mean square of their values.
pub fn by_norm(model: &Model, train: &Dataset, contribution: bool) -> Vec<u32> {
    let Some(first) = model.layers().first() else { return Vec::new() };
    let mut scores = norms(&first.weight.values(), first.shape.outputs);
    if contribution {
        scores.iter_mut().zip(root_mean_squares(train)).for_each(|(score, size)| *score *= size);
    }
    let mut order: Vec<u32> = (0..scores.len() as u32).collect();
    let score = |i: &u32| Some(scores[*i as usize]).filter(|x| !x.is_nan()).unwrap_or(f64::NEG_INFINITY);
    order.sort_by(|a, b| score(b).total_cmp(&score(a)));
    order
}
