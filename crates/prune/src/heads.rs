//! `prune.heads` and `prune.width`: attention heads, and columns of the embedding, that are worth least go.
//!
//! A head is the columns of query, key and value and the rows of the attention's output that belong to it; many heads
//! of a trained network can go at a small cost. A column of the embedding runs through the whole network: it is a
//! column of every site that writes to the words, and a row of every site that reads them. All of these matrices
//! become physically smaller.

use nlpress_core::Fraction;
use nlpress_model::{Group, Model, Outline, SiteId, Spec, Units};
use nlpress_technique::{Cx, Family, Kind, Needs, Problem, StepError, Technique, parse};
use nlpress_train::FitConfig;
use serde::Deserialize;

use crate::PruneError;
use crate::cut::treatable;
use crate::tune::tune_if;
use crate::units::{self, Shares};
use crate::worth::{self, Criterion, Worth, least};

/// The entry of head pruning in the list of all techniques.
pub const HEADS: Kind = Kind {
    name: "prune.heads",
    family: Family::Simplify,
    summary: "Removes the attention heads that are worth least; matrices shrink.",
    source: "Michel, Levy and Neubig 2019, arXiv:1905.10650",
    example: "remove = 0.5",
    on: &["encoder.*.attention.query"],
    settings: &[
        (
            "remove",
            "share of the heads of each selected block, more than 0 and at most 1, rounded down; one always stays; required",
        ),
        ("criterion", CRITERION_TAYLOR),
        ("passes", "removals, with new measurements in between, from 1 to 100; 1 by default"),
        ("finetune", "training afterwards, as a training table; none by default"),
    ],
    parse: parse::<Heads>,
};

/// The entry of width pruning in the list of all techniques.
pub const WIDTH: Kind = Kind {
    name: "prune.width",
    summary: "Removes the columns of the embedding that are worth least, throughout the network.",
    source: "McCarley, Chakravarti and Sil 2019, arXiv:1910.06360, for the dimensions of an embedding",
    example: "remove = 0.25\ncriterion = \"l2\"",
    on: &["embedding"],
    settings: &[
        (
            "remove",
            "share of the embedding's columns, more than 0 and at most 1, rounded down; one always stays; required",
        ),
        ("criterion", CRITERION_TAYLOR),
        ("passes", "removals, with new measurements in between, from 1 to 100; 1 by default"),
        ("finetune", "training afterwards, as a training table; none by default"),
    ],
    parse: parse::<Width>,
    ..HEADS
};

const CRITERION_TAYLOR: &str = "\"taylor\" (default), \"fisher\": the derivative of the training loss by a factor on a unit, summed, or \
     its squares; \"ablation\": the rise of the validation loss when it is held at its mean; \"l1\", \"l2\": its \
     weights; \"activation\": its outputs";

/// The checked configuration of `prune.heads`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Heads(Fewer);

/// The checked configuration of `prune.width`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Width(Fewer);

#[derive(Clone, Debug, PartialEq)]
struct Fewer {
    remove: Fraction,
    criterion: Criterion,
    passes: usize,
    finetune: Option<FitConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    remove: f64,
    criterion: Option<Criterion>,
    passes: Option<usize>,
    finetune: Option<FitConfig>,
}

impl TryFrom<Raw> for Fewer {
    type Error = PruneError;

    fn try_from(raw: Raw) -> Result<Self, PruneError> {
        let remove = match Fraction::try_from(raw.remove) {
            Ok(share) if raw.remove > 0.0 => share,
            _ => return Err(PruneError::setting("remove", raw.remove, "more than 0 and at most 1")),
        };
        let passes = raw.passes.unwrap_or(1);
        if !(1..=100).contains(&passes) {
            return Err(PruneError::setting("passes", passes, "between 1 and 100"));
        }
        let criterion = raw.criterion.unwrap_or(Criterion::Taylor);
        Ok(Self { remove, criterion, passes, finetune: raw.finetune })
    }
}

impl TryFrom<Raw> for Heads {
    type Error = PruneError;

    fn try_from(raw: Raw) -> Result<Self, PruneError> {
        Ok(Self(raw.try_into()?))
    }
}

impl TryFrom<Raw> for Width {
    type Error = PruneError;

    fn try_from(raw: Raw) -> Result<Self, PruneError> {
        Ok(Self(raw.try_into()?))
    }
}

impl Fewer {
    fn stays(&self, units: usize) -> usize {
        (units - self.remove.of(units)).max(1)
    }

    fn plan(&self, what: Units, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        treatable(before, on, problems);
        let groups = units::selected(&before.spec, on, &[what]);
        let smaller = |spec: Spec, g: &Group| spec.with_units(g, self.stays(g.units));
        let spec = groups.iter().fold(before.spec.clone(), smaller);
        if spec == before.spec {
            let (share, select) = (
                self.remove.get(),
                match what {
                    Units::Heads => "heads are selected by encoder.N.attention.query",
                    _ => "the width is selected by embedding",
                },
            );
            problems.push(Problem::of_step(format!(
                "remove {share} removes nothing of the selected sites: {select}"
            )));
            return before.clone();
        }
        units::plan(before, spec, on, problems)
    }

    fn apply(
        &self,
        what: Units,
        mut model: Model,
        on: &[SiteId],
        cx: &mut Cx<'_>,
    ) -> Result<Model, StepError> {
        let groups = units::selected(model.spec(), on, &[what]);
        let shares = Shares::of(&model);
        for pass in 1..=self.passes {
            for group in &groups {
                let left = group.units - (group.units - self.stays(group.units)) * pass / self.passes;
                let now = model.spec().groups().into_iter().find(|g| g.lead() == group.lead());
                let Some(now) = now.filter(|g| g.units > left) else { continue };
                let Worth { scores, levels } = worth::score(&model, &now, self.criterion, cx)?;
                // What a head says on average stays; the width is normalised anew wherever it is read.
                let levels = (what == Units::Heads).then_some(&levels[..]);
                model = units::remove(model, &now, &least(&scores, now.units - left), levels)?;
            }
        }
        let model = shares.restore(model)?;
        for group in groups {
            cx.note(format!("{}: {} of {} units stay", group.lead(), self.stays(group.units), group.units));
        }
        tune_if(model, self.finetune.as_ref(), cx)
    }

    fn needs(&self) -> Needs {
        Needs { training: true, validation: true, teacher: false }
    }
}

impl Technique for Heads {
    fn needs(&self) -> Needs {
        self.0.needs()
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        self.0.plan(Units::Heads, before, on, problems)
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        self.0.apply(Units::Heads, model, on, cx)
    }
}

impl Technique for Width {
    fn needs(&self) -> Needs {
        self.0.needs()
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        self.0.plan(Units::Width, before, on, problems)
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        self.0.apply(Units::Width, model, on, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        let read = |text: &str| toml::from_str::<Heads>(text).map_err(|e| e.message().to_owned());
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
