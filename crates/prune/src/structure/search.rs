//! `prune.search`: a budget for the whole network, spent by Fisher's information, and the rest put right by least
//! squares, with no training at all.
//!
//! In the three steps of Kwon et al. (2022). *Search*: the diagonal of the Fisher information is the importance of each
//! unit; the unit of the least importance for the cost it saves is removed, until the budget holds. *Rearrangement*:
//! within a layer, the full Fisher block knows which units are redundant to each other; units are swapped while the loss
//! that the block predicts falls. *Reconstruction*: every site that reads fewer units is fitted anew, by linear least squares on
//! the training rows, to what it put out before, layer by layer, so that a later site also repairs what an earlier one
//! could not.
//!
//! The data decide how wide each layer becomes, so the plan is a bound. The cost is counted, never timed, so that the
//! outcome is the same on every machine.

use nlpress_core::{Fraction, Measurement, Seed};
use nlpress_model::graph::Source;
use nlpress_model::{Dataset, Graph, Group, Model, Network, Outline, Shape, SiteId};
use nlpress_technique::{
    Cx, Family, Kind, Made, Needs, Problem, Settings, StepError, Technique, parse, settings,
};
use nlpress_train::objective::{sigmoid, softmax};
use nlpress_train::{FitConfig, Labels};
use serde::Deserialize;

use crate::PruneError;
use crate::frame::{AFTERWARDS, RIDGE, only_dense, reconstruct, ridge, treatable, tune_if};
use crate::importance::{factors, fisher, least, means};
use crate::units;

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "prune.search",
    family: Family::Simplify,
    summary: "Structured pruning after training, without retraining: a mask search by Fisher information \
              under a budget of multiply-accumulates, then least-squares reconstruction.",
    source: "Kwon et al. 2022, arXiv:2204.09656",
    example: "macs = 0.5",
    on: &["**"],
    settings: &[Raw::SETTINGS],
    parse: parse::<Search>,
};

/// Columns that the runtime multiplies at once.
const TILE: usize = 8;

/// The checked configuration of `prune.search`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Search {
    share: Fraction,
    cost: Cost,
    labels: bool,
    reconstruct: bool,
    ridge: f64,
    round_to: usize,
    finetune: Option<FitConfig>,
}

/// What a budget is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cost {
    Macs,
    Latency,
    Units,
}

settings! {
    struct Raw {
        /// share of the network's multiply-accumulates that may stay, more than 0 and less than 1, for a training row of
        /// average length where the network reads tokens; this, latency or units
        macs: Option<f64>,
        /// the same share of a cost that stands for time: a row of the first site has as many inputs as a training
        /// row has words on average, and outputs count in whole tiles of 8; this, macs or units
        latency: Option<f64>,
        /// the same share of the units of all selected groups; this, macs or latency
        units: Option<f64>,
        /// true (default): Fisher information from the true labels (empirical Fisher); false: from labels drawn
        /// from the model's own answers, which needs no labels
        labels: bool => or(true),
        /// whether sites that read fewer units are fitted anew; true by default
        reconstruct: bool => or(true),
        ridge: f64 as RIDGE => ridge(),
        /// widths are multiples of so many numbers where they were, from 1 to 1024, a head having as many as it is wide; 1 by
        /// default
        round_to: usize => or(1).within(1..=1024),
        finetune: Option<FitConfig> as AFTERWARDS,
    }
}

impl TryFrom<Raw> for Search {
    type Error = PruneError;

    fn try_from(raw: Raw) -> Result<Self, PruneError> {
        let (key, share, cost) = match (raw.macs, raw.latency, raw.units) {
            (Some(share), None, None) => ("macs", share, Cost::Macs),
            (None, Some(share), None) => ("latency", share, Cost::Latency),
            (None, None, Some(share)) => ("units", share, Cost::Units),
            (None, None, None) => {
                return Err(PruneError::setting("macs", "missing", "given, or latency, or units"));
            }
            _ => return Err(PruneError::setting("macs", "not alone", "given without latency and units")),
        };
        let share = match Fraction::try_from(share) {
            Ok(checked) if share > 0.0 && share < 1.0 => checked,
            _ => return Err(PruneError::setting(key, share, "more than 0 and less than 1")),
        };
        let Raw { labels, reconstruct, ridge, round_to, finetune, .. } = raw;
        Ok(Self { share, cost, labels, reconstruct, ridge, round_to, finetune })
    }
}

/// Fisher's information of a group's units as a full matrix `[units, units]`, from the derivatives of each row.
pub fn fisher_block(rows: &[Vec<f64>]) -> Vec<f64> {
    let units = rows.first().map_or(0, Vec::len);
    let mut block = vec![0.0; units * units];
    for row in rows {
        for (i, x) in row.iter().enumerate().filter(|(_, x)| **x != 0.0) {
            block[i * units..(i + 1) * units].iter_mut().zip(row).for_each(|(sum, y)| *sum += x * y);
        }
    }
    block
}

/// Improves which units go: while a swap of one that goes and one that stays lowers the loss that the block predicts
/// (the sum of its entries among those that go), the best swap is made. The count stays.
///
/// `block` is `[units, units]` and symmetric, `gone` says of each unit whether it goes.
///
/// # Panics
/// When the block is smaller than that.
pub fn rearrange(block: &[f64], gone: &mut [bool]) {
    let n = gone.len();
    // What each unit has in common with all that go.
    let mut shared: Vec<f64> =
        (0..n).map(|i| (0..n).filter(|j| gone[*j]).map(|j| block[i * n + j]).sum()).collect();
    // A swap lowers the loss, so none comes twice; the bound is for rounding.
    for _ in 0..4 * n {
        let mut best = (-1e-12 * (1.0 + shared.iter().map(|x| x.abs()).sum::<f64>()), None);
        for out in (0..n).filter(|i| gone[*i]) {
            for into in (0..n).filter(|i| !gone[*i]) {
                let change = -2.0 * shared[out]
                    + block[out * n + out]
                    + 2.0 * (shared[into] - block[out * n + into])
                    + block[into * n + into];
                if change < best.0 {
                    best = (change, Some((out, into)));
                }
            }
        }
        let Some((out, into)) = best.1 else { return };
        (gone[out], gone[into]) = (false, true);
        for (i, shared) in shared.iter_mut().enumerate() {
            *shared += block[i * n + into] - block[i * n + out];
        }
    }
}

impl Search {
    fn groups(graph: &Graph, on: &[SiteId]) -> Vec<Group> {
        units::selected(graph, on, &units::INNER)
    }

    /// The cost of a network, `words` being the inputs that a row has at the first site: tokens, where it reads tokens, of
    /// which a table is only looked up.
    fn cost(&self, graph: &Graph, words: f64, groups: &[Group]) -> f64 {
        if let (Source::Tokens { .. }, Cost::Macs | Cost::Latency) = (graph.source, self.cost) {
            let shapes = graph.sites();
            let tile = if self.cost == Cost::Macs { 1 } else { TILE };
            let kept = |id: &SiteId, weights: usize| {
                let shape = shapes.iter().find(|(site, _)| site == id).map(|(_, shape)| *shape);
                shape.map_or(weights, |s| s.inputs.saturating_mul(s.outputs.next_multiple_of(tile)))
            };
            return graph.macs_of((words.round() as usize).max(1), kept) as f64;
        }
        let work = |(n, (_, s)): (usize, (SiteId, Shape))| match self.cost {
            Cost::Macs => s.weights() as f64,
            _ => {
                let inputs = if n == 0 { words } else { s.inputs as f64 };
                inputs * s.outputs.next_multiple_of(TILE) as f64
            }
        };
        if self.cost == Cost::Units {
            let now = graph.groups();
            let units = |g: &Group| now.iter().find(|n| n.lead() == g.lead()).map_or(0, |n| n.units);
            return groups.iter().map(|g| units(g) as f64).sum();
        }
        graph.sites().into_iter().enumerate().map(work).sum()
    }

    /// So many units of a group are as many numbers as widths are multiples of.
    fn step(&self, group: &Group) -> usize {
        (1..=self.round_to).find(|units| (units * group.block).is_multiple_of(self.round_to)).unwrap_or(1)
    }

    /// The least share of the cost that can stay, as far as it is known without the data.
    fn least(&self, graph: &Graph, groups: &[Group]) -> f64 {
        let narrowest = groups
            .iter()
            .fold(graph.clone(), |graph, group| graph.with_units(group, group.units.min(self.step(group))));
        let share = |words: f64| self.cost(&narrowest, words, groups) / self.cost(graph, words, groups);
        let lengths: Vec<usize> = match graph.source {
            Source::Tokens { most, .. } => (1..=most).collect(),
            // A quotient of linear functions of the words of a row is least at one of its ends.
            _ => vec![0, graph.inputs()],
        };
        lengths.into_iter().map(|words| share(words as f64)).fold(f64::INFINITY, f64::min)
    }

    /// How many units of each group stay.
    fn widths(
        &self,
        graph: &Graph,
        groups: &[Group],
        worth: &[Vec<f64>],
        words: f64,
    ) -> Result<Vec<usize>, StepError> {
        let budget = self.share.get() * self.cost(graph, words, groups);
        // From the least worth up: what goes first.
        let orders: Vec<Vec<f64>> = worth
            .iter()
            .map(|w| {
                let mut sorted = w.clone();
                sorted.sort_by(f64::total_cmp);
                sorted
            })
            .collect();
        let mut widths: Vec<usize> = groups.iter().map(|g| g.units).collect();
        let mut now = graph.clone();
        loop {
            let cost = self.cost(&now, words, groups);
            if cost <= budget {
                return Ok(widths);
            }
            let mut best: Option<(f64, usize, usize, Graph)> = None;
            for (i, group) in groups.iter().enumerate() {
                let step = self.step(group);
                let next = (widths[i] - 1) / step * step;
                if next == 0 {
                    continue;
                }
                let gone = group.units - widths[i]..group.units - next;
                let lost: f64 = orders[i][gone].iter().sum();
                let smaller = now.clone().with_units(group, next);
                let saved = cost - self.cost(&smaller, words, groups);
                let price = if saved > 0.0 { lost / saved } else { lost };
                if best.as_ref().is_none_or(|(least, ..)| price < *least) {
                    best = Some((price, i, next, smaller));
                }
            }
            let Some((_, i, next, smaller)) = best else {
                let share = self.share.get();
                return Err(StepError::Failed(format!(
                    "a share of {share} cannot be reached: with the narrowest layers the cost is {cost:.0}, the budget is {budget:.0}"
                )));
            };
            widths[i] = next;
            now = smaller;
        }
    }

    /// The labels that the Fisher information is computed with.
    fn judged(&self, model: &Model, cx: &Cx<'_>) -> Result<Dataset, StepError> {
        if self.labels {
            return Ok(cx.train.labelled()?.clone());
        }
        let classes = model.graph().classes();
        let classes = classes.ok_or_else(|| StepError::Failed(NO_CLASSES.into()))?;
        let logits = Network::bind(model, cx.backend).logits_of(cx.train)?;
        let labels = draw(&logits, model.graph().outputs(), cx.seed.derive("labels"));
        Ok(cx.train.relabelled(labels, classes)?)
    }
}

/// Why a network of embeddings cannot be searched.
const NO_CLASSES: &str = "it measures by a loss over classes, and the network makes embeddings";

/// A label for each row, drawn by the probabilities that its logits stand for.
fn draw(logits: &[f32], outputs: usize, seed: Seed) -> Vec<u32> {
    let mut rng = seed.stream(0);
    let mut shares = vec![0.0; outputs];
    let one = |logits: &[f32]| {
        let mut at = rng.uniform();
        if let [logit] = *logits {
            return u32::from(at < sigmoid(logit));
        }
        softmax(logits, &mut shares);
        for (class, share) in shares.iter().enumerate() {
            if at < *share {
                return class as u32;
            }
            at -= share;
        }
        outputs as u32 - 1
    };
    logits.chunks_exact(outputs).map(one).collect()
}

impl Technique for Search {
    fn needs(&self) -> Needs {
        let looks = if self.labels { Needs::LABELS } else { Needs::INPUTS };
        looks.and(Needs::TRAINING.when(self.finetune.is_some()))
    }

    fn exact(&self) -> bool {
        false
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        treatable(before, on, problems);
        let groups = Self::groups(&before.graph, on);
        if groups.is_empty() {
            let select = units::selectors(&before.graph, &units::INNER);
            problems.push(Problem::of_step(format!("no units are selected; {select}")));
        }
        only_dense(before, &groups, problems);
        if before.graph.classes().is_none() {
            problems.push(Problem::of_step(NO_CLASSES));
        }
        let (share, least) = (self.share.get(), self.least(&before.graph, &groups));
        if problems.is_empty() && share < least {
            problems.push(Problem::of_step(format!(
                "a share of {share} cannot be reached: with the narrowest layers {least:.4} of the cost stays"
            )));
        }
        before.clone()
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        cx.progress("searching", 0, 1)?;
        let groups = Self::groups(model.graph(), on);
        let data = self.judged(&model, cx)?;
        let worths = factors(&model, &groups, &Labels::of(&data), cx)?;
        let diagonal: Vec<Vec<f64>> = worths.iter().map(|rows| fisher(rows)).collect();
        let words = cx.train.examples().entries() as f64 / cx.train.len() as f64;
        let widths = self.widths(model.graph(), &groups, &diagonal, words)?;
        let levels = means(&model, &groups, cx)?;
        let mut smaller = model.clone();
        let mut stayed: Vec<Vec<usize>> = Vec::new();
        let measured = worths.iter().zip(&diagonal).zip(&levels);
        for ((group, ((rows, worth), levels)), width) in groups.iter().zip(measured).zip(widths) {
            let mut gone = vec![false; group.units];
            least(worth, group.units - width).into_iter().for_each(|unit| gone[unit] = true);
            rearrange(&fisher_block(rows), &mut gone);
            let gone: Vec<usize> = (0..group.units).filter(|u| gone[*u]).collect();
            smaller = units::remove(smaller, group, &gone, Some(levels))?;
            cx.note(format!("{}: {width} of {} units stay", group.lead(), group.units));
            stayed.push((0..group.units).filter(|u| gone.binary_search(u).is_err()).collect());
        }
        let (was, is) =
            (self.cost(model.graph(), words, &groups), self.cost(smaller.graph(), words, &groups));
        cx.measure(Measurement::lower("cost.share", is / was, "1"));
        if self.reconstruct {
            smaller = reconstruct(&model, smaller, &groups, &stayed, self.ridge, cx)?;
        }
        tune_if(smaller, self.finetune.as_ref(), cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn settings_are_checked() {
        let read = |text: &str| toml::from_str::<Search>(text).map_err(|e| e.message().to_owned());
        assert_eq!(read("latency = 0.5").unwrap().cost, Cost::Latency);
        for (bad, says) in [
            ("", "macs is missing"),
            ("macs = 0.5\nlatency = 0.5", "macs is not alone"),
            ("macs = 1", "macs is 1"),
            ("units = 0", "units is 0"),
            ("macs = 0.5\nridge = 0", "ridge is 0"),
            ("macs = 0.5\nround_to = 0", "round_to is 0"),
        ] {
            let message = read(bad).unwrap_err();
            assert!(message.contains(says), "{bad}: {message}");
        }
    }

    #[test]
    fn units_that_stand_in_for_each_other_do_not_both_go() {
        // Units 0 and 1 do the same thing: alone each is cheap, together they are not. Unit 2 is dearer alone.
        let rows = vec![vec![1.0, 1.0, 0.0], vec![0.0, 0.0, 1.2], vec![1.0, 1.0, 0.0]];
        let block = fisher_block(&rows);
        assert_eq!(block[1], 2.0);
        let mut gone = [true, true, false];
        rearrange(&block, &mut gone);
        assert!(gone[2] && gone.iter().filter(|g| **g).count() == 2, "{gone:?}");
    }

    #[test]
    fn a_table_that_is_looked_up_costs_no_products() {
        let graph = |vocabulary: usize| {
            Graph::feed_forward(Source::Tokens { vocabulary, most: 32 }, &[16, 24], 3, 0.0)
        };
        let cost = |text: &str, vocabulary| {
            let search: Search = toml::from_str(text).unwrap();
            search.cost(&graph(vocabulary), 9.4, &[])
        };
        assert_eq!(cost("macs = 0.5", 50), (16 * 24 + 24 * 3) as f64);
        assert_eq!(cost("macs = 0.5", 50), cost("macs = 0.5", 50_000));
        assert_eq!(cost("latency = 0.5", 50), (16 * 24 + 24 * 8) as f64);
        // So half of the products is half of those behind the table.
        let search: Search = toml::from_str("macs = 0.5").unwrap();
        let graph = graph(50_000);
        let groups = Search::groups(&graph, &graph.sites().into_iter().map(|(id, _)| id).collect::<Vec<_>>());
        assert!(search.least(&graph, &groups) < 0.1, "{}", search.least(&graph, &groups));
        let worth: Vec<Vec<f64>> = groups.iter().map(|g| vec![1.0; g.units]).collect();
        let widths = search.widths(&graph, &groups, &worth, 9.0).unwrap();
        assert!(widths.iter().zip(&groups).any(|(now, was)| *now < was.units), "{widths:?}");
    }

    proptest! {
        #[test]
        fn swaps_never_make_it_worse(seed in 0u64..300, units in 2usize..9, count in 1usize..8) {
            let mut rng = Seed(seed).stream(0);
            let rows: Vec<Vec<f64>> = (0..6).map(|_| (0..units).map(|_| f64::from(rng.normal())).collect()).collect();
            let block = fisher_block(&rows);
            let predicted = |gone: &[bool]| -> f64 {
                let sum = |row: &Vec<f64>| row.iter().zip(gone).filter(|(_, g)| **g).map(|(x, _)| x).sum::<f64>();
                rows.iter().map(|row| sum(row).powi(2)).sum()
            };
            let mut gone: Vec<bool> = (0..units).map(|u| u < count.min(units)).collect();
            let before = predicted(&gone);
            rearrange(&block, &mut gone);
            prop_assert!(predicted(&gone) <= before + 1e-9);
            prop_assert_eq!(gone.iter().filter(|g| **g).count(), count.min(units));
        }
    }
}
