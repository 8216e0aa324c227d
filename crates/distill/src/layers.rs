//! `distill.layers`: the incoming model learns from a teacher's hidden states and attention maps, and from its outputs.
//!
//! The distances are TinyBERT's of hidden states and MiniLM's of attention (see [`LayerDistillation`]); they are added to
//! the loss of `distill.student`. The student is the model at hand and keeps its form, so that one that has lost layers or
//! connections is taught before it is quantized. Teacher and student read the same tokens and are as wide; a student may
//! have fewer layers.

use nlpress_model::{Form, Model, Network, Outline, SiteId};
use nlpress_technique::settings::{Rule, or};
use nlpress_technique::{
    Cx, Family, Kind, Made, Needs, Problem, Settings, StepError, Technique, parse, settings,
};
use nlpress_train::{FitConfig, LayerDistillation};
use serde::Deserialize;

use crate::error::check;
use crate::frame::distill::{Distill, FIT, TEMPERATURE};
use crate::frame::teacher::TeacherCache;
use crate::start::Start;
use crate::{Distance, DistillError, KdConfig};

/// The technique's entry.
pub const KIND: Kind = Kind {
    name: "distill.layers",
    family: Family::Distill,
    summary: "knowledge distillation of hidden states and attention maps (TinyBERT, MiniLM): the model at hand learns \
              from its teacher's layers as well as from its outputs",
    source: "Jiao et al. 2019, arXiv:1909.10351 (hidden states); Wang et al. 2020, arXiv:2002.10957 (attention); Hinton et \
             al. 2015 (outputs)",
    example: "hidden = 1.0\nattention = 0.5\nfit = { epochs = 2 }",
    on: &["encoder.**"],
    settings: &[Raw::SETTINGS],
    parse: parse::<Layers>,
};

/// The technique's configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Layers {
    distill: Distill,
    hidden: f64,
    attention: f64,
}

settings! {
    struct Raw {
        /// share of the teacher in the loss of the outputs, more than 0 and at most 1, default 0.5
        alpha: f64 => or(0.5),
        temperature: f64 as TEMPERATURE => or(2.0),
        /// weight of the distance of hidden states, at least 0, default 1; 0 leaves it out
        hidden: f64 => weight(),
        /// weight of the divergence of attention maps, at least 0, default 1; 0 leaves it out. One of the two is
        /// more than 0
        attention: f64 => weight(),
        #[serde(default)]
        fit: FitConfig as FIT,
    }
}

fn weight() -> Rule<f64> {
    or(1.0).when(|x: &f64| (*x as f32).is_finite() && *x >= 0.0, "at least 0 and finite in 32 bits")
}

impl TryFrom<Raw> for Layers {
    type Error = DistillError;

    fn try_from(Raw { alpha, temperature, hidden, attention, fit }: Raw) -> Result<Self, DistillError> {
        let any = hidden > 0.0 || attention > 0.0;
        check(any, "attention", attention, "more than 0 where hidden is 0: else distill.student is meant")?;
        let loss = KdConfig::new(Distance::kl(temperature)?, alpha);
        let loss =
            loss.ok_or_else(|| DistillError::setting("alpha", alpha, "greater than 0 and at most 1"))?;
        Ok(Self { distill: Distill::of(Start::Model, loss, fit), hidden, attention })
    }
}

impl Technique for Layers {
    fn needs(&self) -> Needs {
        self.distill.needs()
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        problems.extend(Problem::missing(before, on));
        if before.graph.blocks().is_empty() {
            problems.push(Problem::of_step("the network has no layers with attention; see distill.student"));
        }
        let packed = before.sites.iter().filter(|site| matches!(site.form, Form::Packed(_)));
        problems.extend(
            packed.map(|site| Problem::at(&site.id, format!("it is {} and cannot be trained", site.form))),
        );
        before.clone()
    }

    fn reads_teacher_network(&self) -> bool {
        true
    }

    fn check_teacher(&self, before: &Outline, teacher: &Outline, problems: &mut Vec<Problem>) {
        let same = same_tokens(before.graph.inputs(), teacher.graph.inputs());
        problems.extend(same.err().map(Problem::of_step));
        let weights = (self.hidden, self.attention);
        if let Err(why) = LayerDistillation::pairs(&before.graph, &teacher.graph, weights) {
            problems.push(Problem::of_step(why));
        }
    }

    fn apply(&self, model: Model, _on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let cache = TeacherCache::ask(&model, cx)?;
        let teacher = cx.teacher()?;
        let (own, others) = (cx.train.examples().width(), teacher.train.examples().width());
        same_tokens(own, others).map_err(StepError::Failed)?;
        let network = Network::bind(teacher.model, cx.backend);
        let objective = LayerDistillation::new(
            self.distill.loss().objective(&cache.train, cx.train),
            model.graph(),
            (&network, teacher.train.examples()),
            (self.hidden, self.attention),
        )?;
        let student = self.distill.train(model, (&objective, cx.train), cx.seed.derive("distill"), cx)?;
        cache.compare(&student, cx)?;
        Ok(student.into())
    }
}

/// Layers are compared token by token, so that teacher and student read the same ones.
fn same_tokens(own: usize, others: usize) -> Result<(), String> {
    if own == others {
        return Ok(());
    }
    Err(format!("the teacher reads {others} words, the student {own}: layers are of the same tokens"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_by_name() {
        let read = |text: &str| (KIND.parse)(&text.parse().unwrap()).map(|_| ());
        assert_eq!(read(""), Ok(()));
        assert_eq!(read("hidden = 0\nattention = 0.5"), Ok(()));
        for (bad, says) in [
            ("hidden = 0\nattention = 0", "attention is 0"),
            ("hidden = -1", "hidden is -1"),
            ("attention = inf", "attention is inf"),
            ("alpha = 0", "alpha is 0"),
            ("temperature = 0", "temperature is 0"),
            ("from = 'model'", "unknown field `from`"),
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.contains(says), "{bad}: {error}");
        }
    }
}
