//! Feature selection by a score of each word: everything but the score.

use nlpress_core::Measurement;
use nlpress_model::graph::Source;
use nlpress_model::{Dataset, Form, Model, Outline, SiteId, Weight};
use nlpress_technique::settings::BadTable;
use nlpress_technique::{Cx, Kind, Made, Needs, Problem, Setting, StepError, Technique, settings};
use nlpress_train::{LabelTraining, TrainConfig};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _};
use std::fmt::Debug;

use crate::PruneError;

/// Scores words: those of the highest scores stay.
///
/// The struct's own fields are the settings that only this technique has.
pub trait WordScore: Debug + Send + Sync + DeserializeOwned + 'static {
    /// The technique's entry. Of `keep` and `finetune`, those can be set that its `settings` name.
    const KIND: Kind;
    /// Whether `keep` must be set. Without it, the words stay whose scores are more than zero.
    const NEEDS_KEEP: bool = true;
    /// What it is doing while it scores.
    const PROGRESS: &str = "scoring words";

    /// What it looks at: training rows and their labels, where nothing else is said.
    fn needs(&self) -> Needs {
        Needs::LABELS
    }

    /// A score for each feature, of which the `keep` highest will stay.
    ///
    /// # Errors
    /// [`StepError`] when they cannot be computed, or no word would stay.
    fn scores(&self, model: &Model, keep: Option<usize>, cx: &mut Cx<'_>) -> Result<Vec<f64>, StepError>;
}

/// Feature selection by a score: the checked configuration of its technique.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "toml::Table", bound = "S: WordScore")]
pub struct Selector<S> {
    keep: Option<usize>,
    finetune: Option<TrainConfig>,
    score: S,
}

settings! {
    /// The settings that techniques of this kind share.
    struct Shared {
        /// features that stay, at least 1 and fewer than there are; required
        keep: Option<usize>,
        /// training on the rows of the features that stay, as a training table; none by default
        finetune: Option<TrainConfig>,
    }
}

/// The setting of how many features stay.
pub const KEEP: Setting = Setting::of::<Shared>("keep");
/// The setting of the training afterwards.
pub const FINETUNE: Setting = Setting::of::<Shared>("finetune");

impl<S: WordScore> TryFrom<toml::Table> for Selector<S> {
    type Error = PruneError;

    fn try_from(table: toml::Table) -> Result<Self, PruneError> {
        let (Shared { keep, finetune }, score) = settings::split(table, S::KIND.settings)?;
        match keep {
            None if S::NEEDS_KEEP => Err(BadTable::missing_field("keep").into()),
            Some(0) => Err(PruneError::setting("keep", 0, "at least 1")),
            _ => Ok(Self { keep, finetune, score }),
        }
    }
}

impl<S> Selector<S> {
    /// What is its technique's own.
    pub fn score(&self) -> &S {
        &self.score
    }

    /// Keeps these features, and trains where the recipe asks for it.
    fn keep_features(&self, model: Model, kept: Vec<u32>, cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let before = model.graph().inputs();
        cx.measure(Measurement::lower("features_before", before as f64, "1"));
        cx.measure(Measurement::lower("features", kept.len() as f64, "1"));
        let covered = covered(cx.train, &kept);
        cx.measure(Measurement::higher("training_values_kept", covered, "1"));
        if kept.len() == before {
            cx.note("every feature stays");
        }
        let mut model = narrow(model, &kept)?;
        if let Some(config) = &self.finetune {
            let (train, valid) = (cx.narrowed(cx.train, &kept)?, cx.narrowed(cx.valid, &kept)?);
            let seed = cx.seed.derive("finetune");
            let training = LabelTraining::new(config, cx.backend, (&train, &valid), seed, cx.sink);
            model = training.run(model)?.0;
        }
        Ok(Made { model, features: (kept.len() < before).then_some(kept) })
    }
}

impl<S: WordScore> Technique for Selector<S> {
    fn needs(&self) -> Needs {
        self.score.needs().and(Needs::TRAINING.when(self.finetune.is_some()))
    }

    fn exact(&self) -> bool {
        false
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        problems.extend(Problem::missing(before, on));
        let mut after = before.clone();
        let Some(first) = after.sites.first_mut() else { return after };
        if !on.contains(&first.id) {
            problems.push(Problem::at(&first.id, "it reads the features and is not selected"));
        }
        if let Form::Packed(_) = first.form {
            let why = format!("it is {}: select features before packing", first.form);
            problems.push(Problem::at(&first.id, why));
        }
        if let (Source::Tokens { .. }, Some(_)) = (before.graph.source, &self.finetune) {
            problems.push(Problem::of_step(
                "finetune trains on the rows of the words that stay, but fewer tokens cut texts anew: leave it out, and \
                 train in the next step",
            ));
        }
        if let (Some(Err(why)), Form::Dense | Form::Masked) =
            (self.finetune.as_ref().map(|finetune| finetune.check(before)), first.form)
        {
            problems.push(Problem::of_step(format!("finetune: {why}")));
        }
        let inputs = first.shape.inputs;
        let keep = self.keep.unwrap_or(inputs);
        if self.keep.is_some_and(|keep| keep >= inputs) {
            let why = format!("keep is {keep}, but it must be less than the {inputs} features there are");
            problems.push(Problem::of_step(why));
            return after;
        }
        let weights = first.shape.weights();
        first.shape.inputs = keep;
        let fewer = first.shape.weights();
        let form = first.form;
        after.graph = after.graph.with_inputs(keep);
        if let Err(bad) = after.graph.check() {
            problems.push(Problem::of_step(format!("keep is {keep}: {bad}")));
        }
        let others: usize = after.sites.iter().skip(1).map(|s| s.shape.weights()).sum();
        after.kept = match form {
            Form::Dense => before.kept.saturating_sub(weights) + fewer,
            // How many entries the kept rows have is not known: no more than before, and than there are.
            _ => before.kept.min(fewer + others),
        };
        after
    }

    fn apply(&self, model: Model, _on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        cx.progress(S::PROGRESS, 0, 1)?;
        if self.score.needs().labels {
            cx.train.labelled()?;
        }
        let mut scores = self.score.scores(&model, self.keep, cx)?;
        let always_kept = cx.always_kept();
        always_kept.iter().for_each(|kept| scores[*kept as usize] = f64::INFINITY);
        let keep = self.keep.unwrap_or_else(|| scores.iter().filter(|score| **score > 0.0).count());
        if keep < always_kept.len() {
            let always = always_kept.len();
            return Err(StepError::Failed(format!(
                "keep is {keep}, but {always} special tokens always stay"
            )));
        }
        let kept = match self.keep {
            Some(_) => within(&scores, keep, |some| cx.closed(some))?,
            None => cx.closed(&best(&scores, keep))?,
        };
        self.keep_features(model, kept, cx)
    }
}

/// The best features of which, with all that the encoder needs for them ([`closed`](nlpress_text::Encode::closed)), at most
/// `keep` stay: fewer than that only where one more would need several.
///
/// # Errors
/// [`StepError`] where `closed` fails, or not even one feature with what it needs is within `keep`.
pub fn within(
    scores: &[f64],
    keep: usize,
    closed: impl Fn(&[u32]) -> Result<Vec<u32>, StepError>,
) -> Result<Vec<u32>, StepError> {
    let (mut most, mut kept) = (keep, closed(&best(scores, keep))?);
    if kept.len() <= keep {
        return Ok(kept);
    }
    let mut least = 0;
    while most - least > 1 {
        let middle = least + (most - least) / 2;
        let of_middle = closed(&best(scores, middle))?;
        if of_middle.len() > keep {
            most = middle;
        } else {
            (least, kept) = (middle, of_middle);
        }
    }
    if kept.len() > keep {
        let needed = kept.len();
        return Err(StepError::Failed(format!(
            "keep is {keep}, but one token and what is needed are {needed}"
        )));
    }
    Ok(kept)
}

/// Positions of the `count` highest scores, ascending; among equals the earlier ones, and what is not a number
/// last.
pub fn best(scores: &[f64], count: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..scores.len() as u32).collect();
    let score = |i: &u32| Some(scores[*i as usize]).filter(|x| !x.is_nan()).unwrap_or(f64::NEG_INFINITY);
    order.sort_by(|a, b| score(b).total_cmp(&score(a)));
    order.truncate(count);
    order.sort_unstable();
    order
}

/// A model whose first site has the rows of these inputs only; `kept` are their positions, ascending.
///
/// # Errors
/// [`StepError`] when they do not ascend or are not there, and for a first site that is packed.
pub fn narrow(model: Model, kept: &[u32]) -> Result<Model, StepError> {
    let (graph, mut layers) = model.into_parts();
    let inputs = graph.inputs();
    if !kept.is_sorted_by(|a, b| a < b) || kept.last().is_none_or(|last| *last as usize >= inputs) {
        return Err(StepError::Failed(format!(
            "the features that stay must be at least one, ascend and be less than {inputs}"
        )));
    }
    let Some(first) = layers.first_mut() else {
        return Err(StepError::Failed("the network has no site".into()));
    };
    let outputs = first.shape.outputs;
    let rows = || kept.iter().flat_map(|row| *row as usize * outputs..(*row as usize + 1) * outputs);
    first.weight = match &first.weight {
        Weight::Dense(values) => Weight::Dense(rows().map(|i| values[i]).collect()),
        Weight::Masked { values, keep } => Weight::Masked {
            values: rows().map(|i| values[i]).collect(),
            keep: rows().map(|i| keep[i]).collect(),
        },
        packed => {
            let (site, form) = (&first.id, packed.form());
            return Err(StepError::Failed(format!(
                "site {site}: it is {form}: select features before packing"
            )));
        }
    };
    first.shape.inputs = kept.len();
    Ok(Model::new(graph.with_inputs(kept.len()), layers)?)
}

/// Rows of each class, and of each feature the rows of each class that have it: `[features, classes]`.
pub(crate) fn presence(data: &Dataset) -> (Vec<f64>, Vec<f64>) {
    sums(data, |_| 1.0)
}

/// Of each feature, the sum over all rows of what `of` makes of a stored value that is not zero.
pub(crate) fn totals(data: &Dataset, of: impl Fn(f32) -> f64) -> Vec<f64> {
    let bags = data.bags();
    let mut totals = vec![0.0; bags.width()];
    for (column, value) in bags.iter().flat_map(|row| row.columns.iter().zip(row.values)) {
        if *value != 0.0 {
            totals[*column as usize] += of(*value);
        }
    }
    totals
}

/// Rows of each class, and the sum over the rows of each class of what `of` makes of a stored value.
pub(crate) fn sums(data: &Dataset, of: impl Fn(f32) -> f64) -> (Vec<f64>, Vec<f64>) {
    let classes = data.classes();
    let mut rows = vec![0.0; classes];
    let bags = data.bags();
    let mut sums = vec![0.0; bags.width() * classes];
    for (row, label) in bags.iter().zip(data.labels()) {
        rows[*label as usize] += 1.0;
        for (column, value) in row.columns.iter().zip(row.values) {
            if *value != 0.0 {
                sums[*column as usize * classes + *label as usize] += of(*value);
            }
        }
    }
    (rows, sums)
}

/// Share of the stored values of rows that lie in these columns.
fn covered(data: &Dataset, kept: &[u32]) -> f64 {
    let bags = data.bags();
    let inside = bags.columns().iter().filter(|c| kept.binary_search(c).is_ok()).count();
    inside as f64 / bags.nonzeros().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::Seed;
    use nlpress_model::{Graph, MlpSpec};

    fn selection(keep: Option<usize>) -> Selector<crate::select::frequency::Frequency> {
        Selector { keep, finetune: None, score: crate::select::frequency::Frequency {} }
    }

    #[test]
    fn the_best_stay_in_order_and_ties_go_by_place() {
        assert_eq!(best(&[1.0, 3.0, f64::NAN, 3.0, 2.0], 3), [1, 3, 4]);
        assert_eq!(best(&[1.0, 1.0, 1.0], 2), [0, 1]);
        assert_eq!(best(&[f64::NAN, f64::NEG_INFINITY, -1.0], 2), [0, 2]);
        assert_eq!(best(&[f64::NAN, -1.0], 1), [1]);
    }

    #[test]
    fn a_narrow_model_has_the_rows_that_stay_with_their_mask() {
        let graph = Graph::from(MlpSpec::new(4, &[2], 3, 0.0));
        let model = Model::init(&graph, Seed(1)).unwrap();
        let keep = vec![true, false, false, false, true, true, false, true];
        let values = (1..=8).zip(&keep).map(|(v, k)| if *k { v as f32 } else { 0.0 }).collect();
        let masked = model.with_weight(&SiteId::hidden(0), Weight::Masked { values, keep }).unwrap();
        let narrowed = narrow(masked.clone(), &[0, 2]).unwrap();
        let first = &narrowed.layers()[0];
        assert_eq!(*first.weight.values(), [1.0, 0.0, 5.0, 6.0]);
        assert_eq!(first.weight.keep(), [true, false, true, true]);
        assert_eq!((narrowed.graph().inputs(), first.shape.inputs), (2, 2));
        assert_eq!(narrowed.layers()[1], masked.layers()[1]);
        for bad in [&[][..], &[1, 1], &[2, 1], &[4]] {
            let error = narrow(masked.clone(), bad).unwrap_err().to_string();
            assert!(error.contains("less than 4"), "{error}");
        }
    }

    #[test]
    fn any_network_has_a_first_site() {
        let block = nlpress_model::BlockSpec { heads: 2, neurons: 5 };
        let attention = Graph::from(nlpress_model::AttentionSpec {
            inputs: 9,
            width: 6,
            head_width: 3,
            layers: vec![block],
            outputs: 2,
            dropout: 0.0,
            tokens: 4,
            ranks: nlpress_model::Ranks::new(),
        });
        let mut factored = Graph::from(MlpSpec::new(9, &[6], 2, 0.0));
        factored = factored.factored(&SiteId::hidden(0), 3);
        for graph in [attention, factored.clone()] {
            let before = Outline::dense(&graph);
            let on: Vec<SiteId> = before.sites.iter().map(|s| s.id.clone()).collect();
            let mut problems = Vec::new();
            let planned = selection(Some(4)).plan(&before, &on, &mut problems);
            assert_eq!(problems, []);
            let narrowed = narrow(Model::init(&graph, Seed(1)).unwrap(), &[0, 3, 4, 8]).unwrap();
            assert_eq!(narrowed.outline(), planned);
            assert_eq!(narrowed.layers()[0].shape.inputs, 4);
        }
        // Fewer features than the factors between them and the next layer.
        let before = Outline::dense(&factored);
        let on: Vec<SiteId> = before.sites.iter().map(|s| s.id.clone()).collect();
        let mut problems = Vec::new();
        selection(Some(2)).plan(&before, &on, &mut problems);
        assert!(problems[0].to_string().contains("ranks.hidden.0 is 3"), "{problems:?}");
    }

    #[test]
    fn plans_count_a_dense_site_and_bound_a_masked_one() {
        let graph = Graph::from(MlpSpec::new(10, &[4], 2, 0.0));
        let all: Vec<SiteId> = graph.sites().into_iter().map(|(id, _)| id).collect();
        let dense = Outline::dense(&graph);
        let plan = |outline: &Outline, on: &[SiteId], keep| {
            let mut problems = Vec::new();
            let after = selection(keep).plan(outline, on, &mut problems);
            (after, problems.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let (after, none) = plan(&dense, &all, Some(3));
        assert!(none.is_empty(), "{none:?}");
        assert_eq!((after.graph.inputs(), after.kept), (3, 3 * 4 + 8));
        assert_eq!(after, Outline::dense(&after.graph));
        let mut masked = dense.clone();
        (masked.sites[0].form, masked.kept) = (Form::Masked, 18);
        assert_eq!(plan(&masked, &all, Some(3)).0.kept, 18);
        assert_eq!(plan(&masked, &all, Some(2)).0.kept, 16);
        assert_eq!(plan(&masked, &all, None).0, masked);
        let (_, some) = plan(&dense, &all, Some(10));
        assert_eq!(some, ["keep is 10, but it must be less than the 10 features there are"]);
        let (_, some) = plan(&dense, &all[1..], Some(3));
        assert_eq!(some, ["site hidden.0: it reads the features and is not selected"]);
        let mut packed = dense.clone();
        packed.sites[0].form = Form::Packed(nlpress_packed::Scheme::F32);
        let (_, some) = plan(&packed, &all, Some(3));
        assert!(some[0].contains("select features before packing"), "{some:?}");
    }
}
