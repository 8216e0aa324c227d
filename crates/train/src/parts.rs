//! The parts of a training that compose: reparameterizations, penalties, the source of gradients and the wire.

use nlpress_core::{Backend, Seed};
use nlpress_model::{Gradients, Model, Network};
use std::io;

use crate::TrainError;
use crate::crew::Crew;
use crate::gradients::{Batch, GradientSource, InPlace, OneNetwork, Wire, add, bind};
use crate::plan::With;
use crate::record::{Reader, Stateful, Writer, invalid};
use crate::reparameterization::{Effective, Penalty, Reparameterization, Step};
use crate::word_dropout::WordDropout;

/// What is done in every step, ready to be done.
pub(crate) struct Parts<'a> {
    reparameterizations: Vec<&'a mut dyn Reparameterization>,
    penalties: Vec<&'a dyn Penalty>,
    source: Source<'a>,
    wire: Option<&'a mut dyn Wire>,
    pub(crate) words: Option<(WordDropout, Seed)>,
    /// Empty where nothing is made of the parameters, but for what the model's masks keep, where it has any.
    effective: Effective,
}

enum Source<'a> {
    Own(Box<OneNetwork>),
    Given(&'a mut dyn GradientSource),
}

impl Source<'_> {
    fn get(&mut self) -> &mut dyn GradientSource {
        match self {
            Self::Own(own) => &mut **own,
            Self::Given(given) => &mut **given,
        }
    }

    fn as_stateful(&self) -> &dyn Stateful {
        match self {
            Self::Own(own) => &**own,
            Self::Given(given) => &**given,
        }
    }
}

impl<'a> Parts<'a> {
    pub(crate) fn new(with: With<'a>) -> Self {
        let With { reparameterizations, penalties, source, wire, words } = with;
        let source = source.map_or(Source::Own(Box::default()), Source::Given);
        let words = words.filter(|(words, _)| !words.is_off());
        Self { reparameterizations, penalties, source, wire, words, effective: Effective::default() }
    }

    /// Prepares for training this model.
    pub(crate) fn begin(&mut self, model: &Model, backend: &Backend) -> Result<(), TrainError> {
        let keep = model.flat_keep();
        if !self.reparameterizations.is_empty() {
            self.effective = Effective { values: model.flat(), keep };
        } else if keep.contains(&false) {
            self.effective.keep = keep;
        }
        let rounded = self.rounded_inputs();
        self.source.get().begin(model, backend, &rounded)
    }

    fn rounded_inputs(&self) -> Vec<(usize, i32)> {
        self.reparameterizations.iter().flat_map(|r| r.rounded_inputs()).collect()
    }

    /// Makes the effective parameters.
    pub(crate) fn forward(&mut self, latent: &[f32], at: Step) -> Result<(), TrainError> {
        if !self.reparameterizations.is_empty() {
            self.effective.values.copy_from_slice(latent);
        }
        let Self { reparameterizations, effective, .. } = self;
        reparameterizations.iter_mut().try_for_each(|r| r.forward(latent, effective, at))
    }

    /// A network of the model as [`forward`](Parts::forward) left it: what validation looks at.
    pub(crate) fn network(
        &self,
        model: &Model,
        latent: &[f32],
        backend: &Backend,
    ) -> Result<Network, TrainError> {
        let flat = if self.reparameterizations.is_empty() { latent } else { &self.effective.values };
        bind(&model.clone().with_flat(flat)?, backend, &self.rounded_inputs())
    }

    /// Loss and gradient of a step at the effective parameters, computed on `size` rows at a time.
    pub(crate) fn gradients(
        &mut self,
        latent: &[f32],
        step: &Batch<'_>,
        size: usize,
    ) -> Result<Gradients, TrainError> {
        let flat = if self.reparameterizations.is_empty() { latent } else { &self.effective.values };
        let (source, rows) = (self.source.get(), step.indices.len());
        let mut sum = source.gradients(flat, &step.part(0..rows.min(size)))?;
        for start in (size..rows).step_by(size) {
            let more = source.gradients(flat, &step.part(start..rows.min(start + size)))?;
            sum.loss += more.loss;
            add(source.crew(), &mut sum.flat, &more.flat);
        }
        Ok(sum)
    }

    /// Turns the gradient at the effective parameters into the one of the latent, penalties added. What has something
    /// to learn from it, learns.
    pub(crate) fn backward(
        &mut self,
        latent: &[f32],
        gradient: &mut [f32],
        at: Step,
    ) -> Result<(), TrainError> {
        if let Some(wire) = &mut self.wire {
            wire.send(gradient);
        }
        for each in &mut self.reparameterizations {
            each.learn(latent, &self.effective, gradient, at)?;
        }
        for each in self.reparameterizations.iter().rev() {
            each.backward(latent, &self.effective, gradient);
        }
        self.penalties.iter().try_for_each(|penalty| penalty.add(latent, gradient))
    }

    /// Sets the gradient to zero where a mask holds a zero.
    pub(crate) fn hold(&self, gradient: &mut [f32]) {
        gradient.iter_mut().zip(&self.effective.keep).for_each(|(g, keep)| *g = if *keep { *g } else { 0.0 });
    }

    /// The source, where steps are nothing but its gradient and the optimizer's step, and it has its parameters at hand.
    pub(crate) fn in_place(&mut self) -> Option<&mut dyn InPlace> {
        let is_plain = self.reparameterizations.is_empty()
            && self.penalties.is_empty()
            && self.wire.is_none()
            && self.effective.keep.is_empty();
        if is_plain { self.source.get().in_place() } else { None }
    }

    /// The threads that what is done to every parameter is done on, where there are some.
    pub(crate) fn crew(&self) -> Option<&Crew> {
        match &self.source {
            Source::Own(own) => own.crew(),
            Source::Given(given) => given.crew(),
        }
    }

    pub(crate) fn settled(&self, at: Step) -> bool {
        self.reparameterizations.iter().all(|r| r.settled(at))
    }

    pub(crate) fn keep(&mut self) {
        self.reparameterizations.iter_mut().for_each(|r| r.keep());
    }

    fn all(&self) -> Vec<&dyn Stateful> {
        let mut all: Vec<&dyn Stateful> = vec![self.source.as_stateful()];
        all.extend(self.wire.as_deref().map(|wire| wire as &dyn Stateful));
        all.extend(self.reparameterizations.iter().map(|r| &**r as &dyn Stateful));
        all
    }
}

impl Stateful for Parts<'_> {
    fn identity(&self) -> String {
        let all: Vec<String> = self.all().into_iter().map(Stateful::identity).collect();
        let words = self.words.map_or(String::new(), |words| format!("; {words:?}"));
        all.join("; ") + &words
    }

    fn save(&self, to: &mut Writer<'_>) -> io::Result<()> {
        let all = self.all();
        to.count(all.len() as u64)?;
        all.into_iter().try_for_each(|part| part.save(to))
    }

    fn restore(&mut self, from: &mut Reader<'_>) -> io::Result<()> {
        let parts = 1 + usize::from(self.wire.is_some()) + self.reparameterizations.len();
        if from.count()? != parts as u64 {
            return Err(invalid("it has another number of states"));
        }
        self.source.get().restore(from)?;
        if let Some(wire) = &mut self.wire {
            wire.restore(from)?;
        }
        self.reparameterizations.iter_mut().try_for_each(|r| r.restore(from))
    }
}
