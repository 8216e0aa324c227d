//! Ordinary training as techniques, for the rows that keep everyone honest: the same model trained for more
//! epochs without compression, and a smaller (or linear) network trained alone, without a teacher.

use nlpress_model::{Form, Graph, Model, Outline, SiteId};
use nlpress_technique::{
    Cx, Family, Kind, Made, Needs, Problem, Settings, StepError, TRAINING, Technique, parse, settings,
};
use nlpress_train::{LabelTraining, TrainConfig};

/// The kinds of this module.
pub const KINDS: &[Kind] = &[MORE, ALONE];

settings! {
    /// `train.more`: goes on training every trainable site.
    #[derive(Clone, Debug, Default)]
    #[serde(default)]
    pub struct More {
        fit: TrainConfig as TRAINING,
    }
}

impl More {
    /// Goes on for as many epochs as the configuration has.
    pub fn new(fit: TrainConfig) -> Self {
        Self { fit }
    }
}

impl Technique for More {
    fn needs(&self) -> Needs {
        Needs::TRAINING
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        whole(before, on, problems);
        if before.sites.iter().all(|site| matches!(site.form, Form::Packed(_))) {
            problems.push(Problem::of_step("every site is packed, so there is nothing to train"));
        } else if let Err(why) = self.fit.check(before) {
            problems.push(Problem::of_step(why.to_string()));
        }
        before.clone()
    }

    fn apply(&self, model: Model, _on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        Ok(train(model, &self.fit, cx)?.into())
    }
}

settings! {
    /// `train.alone`: a fresh network of other hidden widths, trained on the labels alone.
    #[derive(Clone, Debug, Default)]
    #[serde(default)]
    pub struct Alone {
        /// widths of the hidden layers; default none, which is a linear model
        hidden: Vec<usize>,
        /// dropout rate after each hidden layer, at least 0 and less than 1; default 0
        dropout: f64,
        fit: TrainConfig as TRAINING,
    }
}

impl Alone {
    /// A network of these hidden widths; none makes it linear.
    pub fn new(hidden: Vec<usize>, fit: TrainConfig) -> Self {
        Self { hidden, dropout: 0.0, fit }
    }

    fn graph(&self, before: &Graph) -> Graph {
        Graph::feed_forward(before.source, &self.hidden, before.outputs(), self.dropout)
    }
}

impl Technique for Alone {
    fn needs(&self) -> Needs {
        Needs::TRAINING
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        whole(before, on, problems);
        let graph = self.graph(&before.graph);
        if let Err(e) = graph.check() {
            problems.push(Problem::of_step(e.to_string()));
            return before.clone();
        }
        let outline = Outline::dense(&graph);
        problems.extend(self.fit.check(&outline).err().map(|why| Problem::of_step(why.to_string())));
        outline
    }

    fn apply(&self, model: Model, _on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let fresh = Model::init(&self.graph(model.graph()), cx.seed)?;
        Ok(train(fresh, &self.fit, cx)?.into())
    }
}

fn train(model: Model, config: &TrainConfig, cx: &Cx<'_>) -> Result<Model, StepError> {
    Ok(LabelTraining::new(config, cx.backend, (cx.train, cx.valid), cx.seed, cx.sink).run(model)?.0)
}

/// Training takes the whole network: every site must be selected, and none that is not there.
fn whole(before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) {
    problems.extend(Problem::missing(before, on));
    for site in before.sites.iter().filter(|s| !on.contains(&s.id)) {
        problems.push(Problem::at(&site.id, "it is not selected, but training takes the whole network"));
    }
}

pub(crate) const MORE: Kind = Kind {
    name: "train.more",
    family: Family::Train,
    summary: "goes on training without any compression: what the extra epochs alone would have given",
    source: "the control of Blalock et al. 2020, What is the State of Neural Network Pruning?",
    example: "fit = { epochs = 1 }",
    on: &["**"],
    settings: &[More::SETTINGS],
    parse: parse::<More>,
};

pub(crate) const ALONE: Kind = Kind {
    name: "train.alone",
    family: Family::Train,
    summary: "trains a fresh network of other hidden widths on the labels alone: the student without a teacher",
    source: "the baseline of Hinton et al. 2015, Distilling the Knowledge in a Neural Network",
    example: "hidden = [4]\nfit = { epochs = 1 }",
    on: &["**"],
    settings: &[Alone::SETTINGS],
    parse: parse::<Alone>,
};
