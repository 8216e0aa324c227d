//! The suite catches what it is there to catch: for each clause a technique that breaks just that one.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, but not in the functions they share

use nlpress_core::BackendKind;
use nlpress_model::{Form, Model, Outline, SiteId, Weight};
use nlpress_technique::{
    Cx, Family, Kind, Made, Needs, Problem, Setting, Settings, StepError, Technique, parse, settings,
};
use nlpress_testkit::Bench;
use serde::Deserialize;

settings! {
    /// Halves the weights of the selected sites, and breaks what it is told to break.
    #[derive(Clone, Debug)]
    struct Halve {
        /// the clause to break
        breaks: Break,
        /// what weights are multiplied by; 0.5 by default
        #[serde(default = "half")]
        factor: f32,
        /// a table of rounds
        #[serde(default)]
        more: More,
    }
}

/// A table of settings within.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct More {
    #[serde(default)]
    rounds: usize,
}

fn half() -> f32 {
    0.5
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Break {
    Nothing,
    PlanningAtAll,
    FindingMissingSites,
    NamingMissingSites,
    ThePlannedForm,
    TheSameSeed,
    TheThreadCount,
    FiniteLogits,
    OtherSites,
    Speaking,
    Stopping,
    StoppingLate,
    StoppingInTime,
    StoppingCleanly,
    Applying,
    NamingFeatures,
    OrderOfFeatures,
    CountOfFeatures,
    KeepingForNothing,
    LookingAtLabels,
    LookingAtRows,
    NeedingLabels,
}

impl Technique for Halve {
    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        if self.breaks == Break::PlanningAtAll {
            problems.push(Problem::of_step("it never plans"));
        }
        let mut after = before.clone();
        for id in on {
            match after.site_mut(id) {
                Some(site) if self.breaks == Break::ThePlannedForm => site.form = Form::Masked,
                None if self.breaks == Break::NamingMissingSites => {
                    problems.push(Problem::of_step("something is wrong"));
                }
                None if self.breaks != Break::FindingMissingSites => {
                    problems.push(Problem::at(id, "there is no such site"));
                }
                _ => {}
            }
        }
        after
    }

    fn apply(&self, mut model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        for n in 0..if self.breaks == Break::Speaking { 0 } else { 2 + self.more.rounds } {
            let heard = cx.progress("halving", n, 2);
            match self.breaks {
                Break::Stopping => {}
                Break::StoppingLate if n > 0 => {}
                Break::StoppingInTime if heard.is_err() => {
                    cx.progress("ending", 1, 1)?;
                    return Ok(model.into());
                }
                Break::StoppingCleanly => {
                    heard.map_err(|e| StepError::Failed(format!("cannot go on: {e}")))?
                }
                _ => heard?,
            }
        }
        if self.breaks == Break::Applying {
            return Err(StepError::Failed("it never works".into()));
        }
        let factor = match self.breaks {
            Break::TheSameSeed => 1.0 / (1.0 + counted() as f32),
            Break::TheThreadCount => 1.0 / (1.0 + cx.threads as f32),
            // Each number is finite, their products are not.
            Break::FiniteLogits => 1e30,
            Break::LookingAtLabels if cx.train.labels().is_empty() => 0.25,
            Break::LookingAtRows => 1.0 / cx.train.len() as f32,
            Break::NeedingLabels => cx.loss(&model)?.min(0.5) as f32,
            _ => self.factor,
        };
        let all: Vec<SiteId> = model.layers().iter().map(|l| l.id.clone()).collect();
        for id in if self.breaks == Break::OtherSites { &all } else { on } {
            let layer = model.layer(id).ok_or(StepError::Missing("a site"))?;
            let values = layer.weight.values().iter().map(|x| x * factor).collect();
            model = model.with_weight(id, Weight::Dense(values))?;
        }
        let (inputs, features) = match self.breaks {
            Break::KeepingForNothing => (24, Some((0..24).collect())),
            Break::NamingFeatures => (23, None),
            Break::OrderOfFeatures => (2, Some(vec![1, 0])),
            Break::CountOfFeatures => (3, Some(vec![0, 1])),
            _ => return Ok(model.into()),
        };
        Ok(Made { model: narrow(model, inputs)?, features })
    }
}

/// A model that reads the first features only.
fn narrow(model: Model, inputs: usize) -> Result<Model, StepError> {
    let (graph, mut layers) = model.into_parts();
    let first = &mut layers[0];
    let weights = first.weight.values()[..inputs * first.shape.outputs].to_vec();
    first.weight = Weight::Dense(weights);
    first.shape.inputs = inputs;
    Ok(Model::new(graph.with_inputs(inputs), layers)?)
}

/// Another number each time, as a clock or a shared generator would give.
fn counted() -> usize {
    static CALLS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

const BREAKS: Setting = Setting::of::<Halve>("breaks");
const FACTOR: Setting = Setting::of::<Halve>("factor");
const MORE: Setting = Setting::of::<Halve>("more");
// Descriptions that are not so.
const VAGUE: Setting = MORE.saying("a table");
const QUARTER: Setting = FACTOR.saying("a factor; 0.25 by default");
const WORD: Setting = FACTOR.saying("a factor, \"half\" (default)");
const NOTHING: Setting = BREAKS.saying("which; default \"nothing\"");
const RATE: Setting = Setting::new("rate", "a rate");

fn kind(example: &'static str) -> Kind {
    Kind {
        name: "test.halve",
        family: Family::Clip,
        summary: "halves weights",
        source: "this test",
        example,
        on: &["hidden.*"],
        settings: &[Halve::SETTINGS],
        parse: parse::<Halve>,
    }
}

fn verdict(kind: &Kind) -> Result<(), String> {
    let backend = BackendKind::Ndarray.open().unwrap();
    Bench::new(&backend).unwrap().check(kind)
}

#[test]
fn an_honest_technique_passes() {
    verdict(&kind("breaks = 'nothing'")).unwrap();
}

#[test]
fn each_broken_clause_is_named() {
    for (example, complaint) in [
        ("breaks = ", "its example is not TOML"),
        ("breaks = 'no-such-clause'", "its example does not parse"),
        ("breaks = 'planning-at-all'", "its example does not plan"),
        ("breaks = 'finding-missing-sites'", "finds no problem there: []"),
        ("breaks = 'naming-missing-sites'", "finds no problem there: [Problem"),
        ("breaks = 'the-planned-form'", "planned"),
        ("breaks = 'the-same-seed'", "the same seed gives other numbers"),
        ("breaks = 'the-thread-count'", "the same seed gives other numbers, or threads change them"),
        ("breaks = 'finite-logits'", "a logit is"),
        ("breaks = 'other-sites'", "was not selected and changed"),
        ("breaks = 'speaking'", "it never says how far it is, so it cannot be stopped"),
        ("breaks = 'stopping'", "it went on although it was asked to stop at event 1 of 2"),
        ("breaks = 'stopping-late'", "it went on although it was asked to stop at event 2 of 2"),
        ("breaks = 'stopping-in-time'", "asked to stop at event 1 of 2, it said 1 more"),
        ("breaks = 'stopping-cleanly'", "asked to stop at event 1 of 2, it failed instead"),
        ("breaks = 'applying'", "apply: it never works"),
        ("breaks = 'naming-features'", "24 inputs became 23, but it does not say which features"),
        ("breaks = 'order-of-features'", "do not ascend"),
        ("breaks = 'count-of-features'", "it keeps 2 features for 3 inputs"),
        ("breaks = 'keeping-for-nothing'", "it keeps features, but its inputs are 24 as before"),
        ("breaks = 'looking-at-labels'", "without the rest it makes another model"),
        ("breaks = 'looking-at-rows'", "without the rest it makes another model"),
        ("breaks = 'needing-labels'", "without the rest it fails: data: the rows have no labels"),
    ] {
        let complained = verdict(&kind(example)).expect_err(example);
        assert!(complained.starts_with("test.halve"), "{complained}");
        assert!(complained.contains(complaint), "{example}: {complained}");
    }
}

#[test]
fn entries_that_mislead_a_reader_are_named() {
    let good = kind("breaks = 'nothing'");
    for (bad, complaint) in [
        (
            Kind { settings: &[&[BREAKS, FACTOR, VAGUE]], ..good },
            "it reads more.rounds, which its description does not name",
        ),
        (
            Kind { settings: &[Halve::SETTINGS, &[RATE]], ..good },
            "it describes the setting rate, but does not read it",
        ),
        (Kind { settings: &[&[BREAKS, QUARTER, MORE]], ..good }, "factor is not 0.25 by default"),
        (
            Kind { settings: &[&[BREAKS, WORD, MORE]], ..good },
            "factor is \"half\" by default, which is refused",
        ),
        (Kind { settings: &[&[NOTHING, FACTOR, MORE]], ..good }, "it cannot be left out"),
        (Kind { summary: "", ..good }, "it has no summary"),
        (Kind { source: "", ..good }, "it has no source"),
        (Kind { on: &["nowhere"], ..good }, "select no site"),
        (Kind { on: &[], ..good }, "select"),
    ] {
        let complained = verdict(&bad).expect_err(complaint);
        assert!(complained.contains(complaint), "{complained}");
    }
    for name in ["halve", "Test.halve", "test.", "test.halve.twice", "test.hal ve"] {
        let complained = verdict(&Kind { name, ..good }).expect_err(name);
        assert!(complained.contains("family.method"), "{complained}");
    }
}
