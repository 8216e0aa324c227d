//! `prune.depth`: depth pruning. Whole transformer blocks that matter little go.
//!
//! A block adds to the words that run through the network. One that hardly turns them can be left out, with nothing put
//! in its place: the words go on as they are. How far a block turns them is told from training rows alone (the angle
//! between a word before and after it), or the block is tried without (the validation loss). After each removal the
//! others are measured anew, because later blocks then see other words.
//!
//! A block is a candidate when its `encoder.N.attention.query` is selected; it goes with all of its sites, selected or
//! not. Later blocks are renumbered: with block 1 gone, what was `encoder.2` is `encoder.1`. The data choose which
//! candidates go, so all of them, and blocks between them, must be dense and of one shape: then the sites that are left are the
//! same whichever go. What else blocks differ in (ModernBERT's in how far they look, and the first has one normalisation less)
//! stays with those that stay, so the plan is a bound. Narrowing and masking come afterwards.

use nlpress_model::graph::{Node, Op};
use nlpress_model::{Form, Graph, Model, Network, Outline, Shape, SiteId};
use nlpress_technique::{
    Cx, Family, Kind, Made, Needs, Problem, Settings, StepError, Technique, parse, settings,
};
use nlpress_train::FitConfig;
use serde::{Deserialize, Serialize};
use std::ops::Range;

use crate::PruneError;
use crate::frame::{AFTERWARDS, ROWS, treatable, tune_if};
use crate::importance::{least, sample};

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "prune.depth",
    family: Family::Simplify,
    summary: "Depth pruning (layer dropping): removes the transformer blocks that change the hidden states \
              least.",
    source: "Gromov et al. 2024, arXiv:2403.17887 (angular distance); Men et al. 2024, arXiv:2403.03853 (ShortGPT)",
    example: "remove = 1",
    on: &["encoder.**"],
    settings: &[Depth::SETTINGS],
    parse: parse::<Depth>,
};

/// How the block, or the hidden layer of [`layers`](crate::layers), that goes next is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// The mean [`angle`] is least by which it turns a word, or by which merging it turns what the next site computes.
    #[default]
    Angle,
    /// The validation loss without it is least.
    Validation,
}

settings! {
    /// The checked configuration of `prune.depth`.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Depth {
        /// count of blocks that go, at least 1; one block always stays; required
        remove: usize => required().when(|count: &usize| *count > 0, "at least 1"),
        /// "angle" (default): the mean angle between a word before and after a block, on the training rows;
        /// "validation": the validation loss without it
        #[serde(default)]
        criterion: Choice,
        finetune: Option<FitConfig> as AFTERWARDS,
    }
}

/// The angular distance `arccos(cos) / π` of two vectors, from 0 (one direction) to 1 (opposite ones). A vector of zeros
/// has no direction: it is 0 from another one, and at a right angle to anything else.
///
/// # Errors
/// [`PruneError::Length`] when they are not equally long.
pub fn angle(a: &[f32], b: &[f32]) -> Result<f64, PruneError> {
    PruneError::same_length("the second vector", b.len(), a.len())?;
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let (of_a, of_b) = (dot(a, a), dot(b, b));
    if of_a == 0.0 && of_b == 0.0 {
        return Ok(0.0);
    }
    let cosine = if of_a == 0.0 || of_b == 0.0 { 0.0 } else { dot(a, b) / (of_a.sqrt() * of_b.sqrt()) };
    Ok(cosine.clamp(-1.0, 1.0).acos() / std::f64::consts::PI)
}

/// How far each block of an attention network turns the words of some training rows: the mean [`angle`] over words;
/// none for another network.
///
/// # Errors
/// [`StepError`] when the data do not fit, the device fails, or on a request to stop.
pub fn distances(model: &Model, cx: &Cx<'_>) -> Result<Vec<f64>, StepError> {
    let blocks = model.graph().blocks();
    let Some(first) = blocks.first() else { return Ok(Vec::new()) };
    let width = model.graph().values()[first.start].width;
    let (network, rows) = (Network::bind(model, cx.backend), sample(cx.train));
    let (mut sums, mut words) = (vec![0.0; blocks.len()], 0_usize);
    for (n, part) in rows.chunks(ROWS).enumerate() {
        cx.progress("measuring blocks", n * ROWS, rows.len())?;
        let mut before = network.words(0, cx.train.examples(), part)?;
        words += before.len() / width;
        for (block, sum) in sums.iter_mut().enumerate() {
            let after = network.words(block + 1, cx.train.examples(), part)?;
            for (a, b) in before.chunks_exact(width).zip(after.chunks_exact(width)) {
                *sum += angle(a, b)?;
            }
            before = after;
        }
    }
    Ok(sums.into_iter().map(|sum| sum / words.max(1) as f64).collect())
}

/// A model without block `block`, its later blocks renumbered.
///
/// # Errors
/// [`StepError`] when it has no such block.
pub fn without(model: Model, block: usize) -> Result<Model, StepError> {
    let (graph, mut layers) = model.into_parts();
    let Some(shallower) = graph.without_block(block) else {
        return Err(StepError::Failed(format!("there is no attention block {block}")));
    };
    layers.retain(|layer| graph.block_of(&layer.id) != Some(block));
    layers.iter_mut().zip(shallower.sites()).for_each(|(layer, (id, _))| layer.id = id);
    layers.vectors.retain(|vector| graph.block_of(&vector.id) != Some(block));
    let names = shallower.vectors().into_iter().map(|(id, _)| id);
    layers.vectors.iter_mut().zip(names).for_each(|(vector, id)| vector.id = id);
    Ok(Model::new(shallower, layers)?)
}

/// Numbers of the blocks that may go, ascending: those whose queries are selected.
fn candidates(graph: &Graph, on: &[SiteId]) -> Vec<usize> {
    let queries = |block: &Range<usize>| {
        let attends = |node: &&Node| matches!(node.op, Op::Attend { .. });
        graph.nodes[block.start..=block.end]
            .iter()
            .find(attends)
            .and_then(|node| graph.nodes[node.from[0]].op.site())
    };
    let chosen = |block: &Range<usize>| queries(block).is_some_and(|site| on.contains(site));
    graph.blocks().iter().enumerate().filter(|(_, block)| chosen(block)).map(|(n, _)| n).collect()
}

impl Depth {
    /// Whether the blocks from `first` to `last` are dense and of one shape; what is not goes into `problems`.
    fn check_alike(
        before: &Outline,
        on: &[SiteId],
        (first, last): (usize, usize),
        problems: &mut Vec<Problem>,
    ) {
        let sites =
            |block: usize| before.sites.iter().filter(move |s| before.graph.block_of(&s.id) == Some(block));
        let shapes = |block: usize| sites(block).map(|s| s.shape).collect::<Vec<Shape>>();
        for block in first..=last {
            for site in sites(block) {
                match site.form {
                    Form::Dense => {}
                    // That much has been said of a selected one.
                    Form::Packed(_) if on.contains(&site.id) => {}
                    form => {
                        let why = format!(
                            "it is {form}, but blocks that may go must be dense: remove blocks before"
                        );
                        problems.push(Problem::at(&site.id, why));
                    }
                }
            }
            if shapes(block) != shapes(first) {
                problems.push(Problem::of_step(format!(
                    "blocks {first} and {block} have other shapes, and which goes is told by the data only: remove \
                     blocks before narrowing or factoring them, or select neighbours of one shape"
                )));
            }
        }
    }

    /// Scores of the blocks, less for what should go earlier; only those of the candidates count.
    fn scores(&self, model: &Model, candidates: &[usize], cx: &Cx<'_>) -> Result<Vec<f64>, StepError> {
        if self.criterion == Choice::Angle {
            let all = distances(model, cx)?;
            return Ok(candidates.iter().map(|block| all[*block]).collect());
        }
        let loss = |(n, block): (usize, &usize)| -> Result<f64, StepError> {
            cx.progress("measuring blocks", n, candidates.len())?;
            cx.loss(&without(model.clone(), *block)?)
        };
        candidates.iter().enumerate().map(loss).collect()
    }
}

impl Technique for Depth {
    fn needs(&self) -> Needs {
        let looks = match self.criterion {
            Choice::Angle => Needs::INPUTS,
            Choice::Validation => Needs::VALIDATION,
        };
        looks.and(Needs::TRAINING.when(self.finetune.is_some()))
    }

    fn exact(&self) -> bool {
        false
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        treatable(before, on, problems);
        let may_go = candidates(&before.graph, on);
        let (Some(first), Some(last)) = (may_go.first(), may_go.last()) else {
            problems.push(Problem::of_step(
                "no block is selected: blocks are selected by encoder.N.attention.query",
            ));
            return before.clone();
        };
        let blocks = before.graph.blocks().len();
        if self.remove > may_go.len() || self.remove >= blocks {
            let most = may_go.len().min(blocks - 1);
            problems.push(Problem::of_step(format!(
                "remove is {}, but it must be at most {most}: {} of {blocks} blocks are selected, and one stays",
                self.remove,
                may_go.len()
            )));
            return before.clone();
        }
        Self::check_alike(before, on, (*first, *last), problems);
        let mut after = before.clone();
        // Those with the least that is not a site: as much as can be stays then.
        let vectors = |block: &usize| {
            let of_block = |id: &SiteId| before.graph.block_of(id) == Some(*block);
            let vectors = before.graph.vectors().into_iter().filter(|(id, _)| of_block(id));
            vectors.map(|(_, vector)| vector.length).sum::<usize>()
        };
        let mut gone: Vec<usize> = may_go.iter().rev().copied().collect();
        gone.sort_by_key(vectors);
        gone.truncate(self.remove);
        gone.sort_unstable_by(|a, b| b.cmp(a));
        for block in gone {
            let Some(graph) = after.graph.without_block(block) else { continue };
            let (gone, stay): (Vec<_>, Vec<_>) =
                after.sites.into_iter().partition(|s| after.graph.block_of(&s.id) == Some(block));
            let weights: usize = gone.iter().map(|s| s.shape.weights()).sum();
            after = Outline { graph, sites: stay, kept: after.kept.saturating_sub(weights) };
            let names = after.graph.sites();
            after.sites.iter_mut().zip(names).for_each(|(site, (id, _))| site.id = id);
        }
        after
    }

    fn apply(&self, mut model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let mut may_go = candidates(model.graph(), on);
        // What each was called before any went.
        let mut names = may_go.clone();
        let what = match self.criterion {
            Choice::Angle => "mean angular distance",
            Choice::Validation => "validation loss without it",
        };
        for _ in 0..self.remove {
            let scores = self.scores(&model, &may_go, cx)?;
            let Some(&next) = least(&scores, 1).first() else {
                return Err(StepError::Failed("fewer blocks are selected than should go".into()));
            };
            let others = scores.iter().enumerate().filter(|(i, _)| *i != next).map(|(_, s)| *s);
            let least_other = others.fold(f64::INFINITY, f64::min);
            let rest = if least_other.is_finite() {
                format!("; {least_other:.4} for the next")
            } else {
                String::new()
            };
            cx.note(format!("encoder.{} went: {what} {:.4}{rest}", names.remove(next), scores[next]));
            let block = may_go.remove(next);
            model = without(model, block)?;
            may_go.iter_mut().filter(|b| **b > block).for_each(|b| *b -= 1);
        }
        tune_if(model, self.finetune.as_ref(), cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_model::{AttentionSpec, BlockSpec};

    fn graph(neurons: &[usize], ranks: &[(&str, usize)]) -> Graph {
        let graph = Graph::from(AttentionSpec {
            inputs: 9,
            width: 6,
            head_width: 3,
            layers: neurons.iter().map(|n| BlockSpec { heads: 2, neurons: *n }).collect(),
            outputs: 1,
            dropout: 0.0,
            tokens: 8,
            ranks: ranks.iter().map(|(id, rank)| (SiteId::new(*id), *rank)).collect(),
        });
        graph.check().unwrap();
        graph
    }

    fn plan(before: &Outline, remove: usize, on: &[usize]) -> (Outline, Vec<String>) {
        let on: Vec<SiteId> = on.iter().map(|b| AttentionSpec::site(*b, "attention.query")).collect();
        let mut problems = Vec::new();
        let technique: Depth = toml::from_str(&format!("remove = {remove}")).unwrap();
        let after = technique.plan(before, &on, &mut problems);
        (after, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn angles_go_from_none_to_opposite() {
        let of = |a: &[f32], b: &[f32]| angle(a, b).unwrap();
        assert_eq!(of(&[1.0, 0.0], &[3.0, 0.0]), 0.0);
        assert_eq!(of(&[1.0, 0.0], &[0.0, 2.0]), 0.5);
        assert_eq!(of(&[1.0, 0.0], &[-0.1, 0.0]), 1.0);
        assert!((of(&[1.0, 0.0], &[1.0, 1.0]) - 0.25).abs() < 1e-12);
        assert_eq!((of(&[0.0], &[0.0]), of(&[0.0], &[1.0])), (0.0, 0.5));
        assert!(angle(&[1.0], &[1.0, 2.0]).is_err());
    }

    #[test]
    fn blocks_and_ranks_are_renumbered() {
        let ranks =
            [("embedding", 2), ("encoder.0.ffn.up", 1), ("encoder.1.ffn.up", 2), ("encoder.2.ffn.up", 3)];
        let found = graph(&[4, 5, 7], &ranks).without_block(1).unwrap();
        let wanted = graph(&[4, 7], &[("embedding", 2), ("encoder.0.ffn.up", 1), ("encoder.1.ffn.up", 3)]);
        assert_eq!(found, wanted);
        assert_eq!(found.without_block(2), None);
    }

    #[test]
    fn a_plan_has_fewer_blocks_of_the_same_kind() {
        let before = Outline::dense(&graph(&[5, 5, 5], &[]));
        assert_eq!(plan(&before, 2, &[0, 1, 2]), (Outline::dense(&graph(&[5], &[])), vec![]));
        // Another shape beside the candidates does no harm.
        let mixed = Outline::dense(&graph(&[4, 5, 5], &[("encoder.0.ffn.up", 2)]));
        let wanted = Outline::dense(&graph(&[4, 5], &[("encoder.0.ffn.up", 2)]));
        assert_eq!(plan(&mixed, 1, &[1, 2]), (wanted, vec![]));
    }

    #[test]
    fn what_cannot_be_planned_is_refused() {
        let says = |before: &Outline, remove, on: &[usize], what: &str| {
            let (_, problems) = plan(before, remove, on);
            assert!(problems.iter().any(|p| p.contains(what)), "{what}: {problems:?}");
        };
        let three = Outline::dense(&graph(&[5, 5, 5], &[]));
        says(&three, 3, &[0, 1, 2], "at most 2");
        says(&three, 2, &[1], "at most 1: 1 of 3 blocks");
        says(&three, 1, &[7], "no block is selected");
        says(&Outline::dense(&graph(&[5, 4], &[])), 1, &[0, 1], "blocks 0 and 1 have other shapes");
        says(&Outline::dense(&graph(&[5, 4, 5], &[])), 1, &[0, 2], "blocks 0 and 1 have other shapes");
        says(&Outline::dense(&graph(&[5, 5], &[("encoder.1.ffn.up", 2)])), 1, &[0, 1], "have other shapes");
        let mut masked = three.clone();
        masked.sites[5].form = Form::Masked;
        says(&masked, 1, &[0, 1], "site encoder.0.ffn.up: it is masked");
        assert!(plan(&masked, 1, &[1, 2]).1.is_empty());
    }

    #[test]
    fn settings_are_checked() {
        let read = |text: &str| toml::from_str::<Depth>(text).map_err(|e| e.message().to_owned());
        assert_eq!(read("remove = 1\ncriterion = \"validation\"").unwrap().criterion, Choice::Validation);
        for (bad, says) in [
            ("", "remove"),
            ("remove = 0", "remove is 0, but it must be at least 1"),
            ("remove = -1", "-1"),
            ("remove = 1\ncriterion = \"luck\"", "luck"),
        ] {
            let message = read(bad).unwrap_err();
            assert!(message.contains(says), "{bad}: {message}");
        }
    }
}
