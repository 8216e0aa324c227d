//! `prune.heads` and `prune.width`: structured pruning of attention heads and of embedding dimensions.
//!
//! A head is the columns of query, key and value and the rows of the attention's output that belong to it; many heads
//! of a trained network can go at a small cost. A column of the embedding runs through the whole network: it is a
//! column of every site that writes to the words, and a row of every site that reads them. All of these matrices
//! become physically smaller.

use nlpress_core::Fraction;
use nlpress_model::{Graph, Group, Model, Outline, SiteId, Units};
use nlpress_technique::{Cx, Family, Kind, Made, Needs, Problem, Settings, StepError, Technique, settings};
use nlpress_train::FitConfig;

use crate::frame::{AFTERWARDS, treatable, tune_if};
use crate::importance::{self, Importance, ImportanceCriterion, least};
use crate::units::{self, Shares};

/// The entry of head pruning in the list of all techniques.
pub const HEADS: Kind = Kind {
    name: "prune.heads",
    family: Family::Simplify,
    summary: "Attention head pruning (structured): removes the heads of the least importance; matrices \
              shrink.",
    source: "Michel, Levy and Neubig 2019, arXiv:1905.10650",
    example: "remove = 0.5",
    on: &["encoder.*.attention.query", "encoder.layer.*.attention.self.query"],
    settings: &[Raw::SETTINGS],
    parse: |with| Narrower::read(with, Units::Heads),
};

/// The entry of width pruning in the list of all techniques.
pub const WIDTH: Kind = Kind {
    name: "prune.width",
    summary: "Width pruning (structured): removes the embedding dimensions of the least importance \
              throughout the network.",
    source: "McCarley, Chakravarti and Sil 2019, arXiv:1910.06360, for the dimensions of an embedding",
    example: "remove = 0.25\ncriterion = \"l2\"",
    on: &["embedding", "embeddings.word_embeddings"],
    settings: &[
        &[Raw::SETTINGS[0].saying(
            "share of the embedding's columns, more than 0 and at most 1, rounded down; one always stays; \
             required",
        )],
        Raw::SETTINGS.split_at(1).1,
    ],
    parse: |with| Narrower::read(with, Units::Width),
    ..HEADS
};

/// The checked configuration of `prune.heads` and `prune.width`: units of one kind, of which a share goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Narrower {
    units: Units,
    remove: Fraction,
    criterion: ImportanceCriterion,
    passes: usize,
    finetune: Option<FitConfig>,
}

settings! {
    struct Raw {
        /// share of the heads of each selected block, more than 0 and at most 1, rounded down; one always stays;
        /// required
        remove: Fraction => required().share(),
        /// "taylor" (default), "fisher": the derivative of the training loss by a factor on a unit, summed, or its
        /// squares; "ablation": the rise of the validation loss when it is held at its mean; "l1", "l2": its
        /// weights; "activation": its outputs
        criterion: Option<ImportanceCriterion>,
        /// removals, with new measurements in between, from 1 to 100; 1 by default
        passes: usize => or(1).within(1..=100),
        finetune: Option<FitConfig> as AFTERWARDS,
    }
}

impl Narrower {
    fn read(with: &toml::Table, units: Units) -> Result<Box<dyn Technique>, String> {
        let raw: Result<Raw, _> = settings::read(with.clone());
        let Raw { remove, criterion, passes, finetune } = raw.map_err(|e| e.to_string())?;
        let criterion = criterion.unwrap_or(ImportanceCriterion::Taylor);
        Ok(Box::new(Self { units, remove, criterion, passes, finetune }))
    }

    /// Units of a group that stay.
    fn stays(&self, units: usize) -> usize {
        (units - self.remove.of(units)).max(1)
    }
}

impl Technique for Narrower {
    fn needs(&self) -> Needs {
        self.criterion.needs().and(Needs::TRAINING.when(self.finetune.is_some()))
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        treatable(before, on, problems);
        let groups = units::selected(&before.graph, on, &[self.units]);
        let smaller = |graph: Graph, g: &Group| graph.with_units(g, self.stays(g.units));
        let graph = groups.iter().fold(before.graph.clone(), smaller);
        if graph == before.graph {
            let (share, select) = (self.remove.get(), units::selectors(&before.graph, &[self.units]));
            let what = if self.units == Units::Heads { "heads" } else { "columns of an embedding" };
            let why = format!("remove {share} removes no {what} of the selected sites; {select}");
            problems.push(Problem::of_step(why));
            return before.clone();
        }
        units::plan(before, graph, on, problems)
    }

    fn apply(&self, mut model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let groups = units::selected(model.graph(), on, &[self.units]);
        let shares = Shares::of(&model);
        for pass in 1..=self.passes {
            let left = |whole: usize| whole - (whole - self.stays(whole)) * pass / self.passes;
            let now = units::above(model.graph(), groups.iter().map(|g| (g, left(g.units))));
            for now in now.chunks(self.criterion.at_once(now.len())) {
                let measured: Vec<Group> = now.iter().map(|(group, _)| group.clone()).collect();
                let found = importance::score(&model, &measured, self.criterion, cx)?;
                for ((group, left), Importance { scores, levels }) in now.iter().zip(found) {
                    // What a head says on average stays; the width is normalised anew wherever it is read.
                    let levels = (self.units == Units::Heads).then_some(&levels[..]);
                    model = units::remove(model, group, &least(&scores, group.units - left), levels)?;
                }
            }
        }
        let model = shares.restore(model)?;
        for group in groups {
            cx.note(format!("{}: {} of {} units stay", group.lead(), self.stays(group.units), group.units));
        }
        tune_if(model, self.finetune.as_ref(), cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        let read = |text: &str| (HEADS.parse)(&text.parse().unwrap()).map(|_| ());
        assert!(read("remove = 0.5\ncriterion = \"fisher\"").is_ok());
        for (bad, says) in [
            ("", "remove"),
            ("remove = 0", "remove is 0"),
            ("remove = 0.5\npasses = 0", "passes is 0"),
            ("remove = 0.5\ncriterion = \"luck\"", "luck"),
        ] {
            let message = read(bad).unwrap_err();
            assert!(message.contains(says), "{bad}: {message}");
        }
    }
}
