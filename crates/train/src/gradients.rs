//! Where the gradient of a batch comes from, and what happens to it on its way to the optimizer.

use burn::tensor::Tensor;
use nlpress_core::{Backend, Seed};
use nlpress_model::network::{Factored, Loss, Seen, Taps};
use nlpress_model::{Dropout, Gradients, Model, ModelError, Network};
use nlpress_text::ExamplesRef;
use std::ops::Range;

use crate::crew::{Crew, by_pieces};
use crate::record::Stateful;
use crate::word_dropout::{Renumbered, WordDropout};
use crate::{Objective, TrainError};

/// Rows whose gradient is asked for: all of a step's, or a contiguous part of them.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    /// All training examples.
    pub examples: ExamplesRef<'a>,
    /// The numbers of those of this batch.
    pub indices: &'a [usize],
    /// Place of the first of them among the step's rows, which decides what dropout switches off.
    pub first: usize,
    /// Number of the step's rows: the loss is a mean over them.
    pub total: usize,
    /// What to switch off in this step.
    pub dropout: &'a Dropout,
    /// What to reduce.
    pub objective: &'a dyn Objective,
}

impl<'a> Batch<'a> {
    /// All rows of a step.
    pub fn whole(
        (examples, indices): (ExamplesRef<'a>, &'a [usize]),
        dropout: &'a Dropout,
        objective: &'a dyn Objective,
    ) -> Self {
        Self { examples, indices, first: 0, total: indices.len(), dropout, objective }
    }

    /// Some of its rows, by their places in it; the loss is still divided by the number of the step's rows.
    ///
    /// # Panics
    /// When it has no such places.
    #[must_use]
    pub fn part(&self, places: Range<usize>) -> Self {
        Self { first: self.first + places.start, indices: &self.indices[places], ..*self }
    }

    /// The loss of logits `[rows, outputs]`; its derivative goes into `gradient`.
    pub fn loss(&self, logits: &[f32], gradient: &mut [f32]) -> f64 {
        self.objective.loss(self.indices, self.total, logits, gradient)
    }

    /// Its loss, and the derivative by every number that can be trained, computed by a network with these numbers.
    ///
    /// # Errors
    /// [`TrainError`] when the rows do not fit the network, or the device fails.
    pub fn gradients(&self, network: &mut Network, flat: &[f32]) -> Result<Gradients, TrainError> {
        if self.indices.is_empty() {
            return Ok(Gradients { loss: 0.0, flat: vec![0.0; flat.len()] });
        }
        network.update(0..network.sites(), flat);
        self.gradients_of(network)
    }

    /// [`gradients`](Batch::gradients) at the numbers that the network has.
    ///
    /// # Errors
    /// As [`gradients`](Batch::gradients).
    pub fn gradients_of(&self, network: &Network) -> Result<Gradients, TrainError> {
        Ok(self.factored(network)?.multiplied())
    }

    /// [`gradients_of`](Batch::gradients_of) in factors.
    ///
    /// # Errors
    /// As [`gradients`](Batch::gradients).
    pub fn factored(&self, network: &Network) -> Result<Factored, TrainError> {
        if self.indices.is_empty() {
            return Ok(Factored::zeros(network));
        }
        let examples = (self.examples, self.indices);
        Ok(network.factored(examples, Some(self.dropout), self.first, &mut self.reduced())?)
    }

    /// Its loss as networks take it.
    pub(crate) fn reduced(&self) -> Reduced<'_> {
        Reduced(self)
    }

    /// Calls `of` with the batch, without the words that the step leaves out.
    pub(crate) fn thinned<R>(
        &self,
        words: Option<(WordDropout, Seed)>,
        step: u64,
        of: impl FnOnce(&Batch<'_>) -> R,
    ) -> R {
        let Some((words, seed)) = words else { return of(self) };
        let examples = words.thinned(self.examples, self.indices, seed, step);
        let all: Vec<usize> = (0..examples.len()).collect();
        let objective = Renumbered { objective: self.objective, indices: self.indices };
        of(&Batch { examples: examples.view(), indices: &all, objective: &objective, ..*self })
    }
}

/// The loss of a batch.
pub(crate) struct Reduced<'a>(&'a Batch<'a>);

impl Loss for Reduced<'_> {
    fn taps(&self) -> Taps {
        self.0.objective.taps()
    }

    fn of_logits(&mut self, logits: &[f32], derivative: &mut [f32]) -> f64 {
        self.0.loss(logits, derivative)
    }

    fn of_seen(&mut self, seen: &Seen) -> Result<Option<Tensor<1>>, ModelError> {
        self.0.objective.term(self.0.indices, self.0.total, seen)
    }
}

impl std::fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Batch of {} rows", self.indices.len())
    }
}

/// Sites whose input is rounded, and to how many levels to either side of zero; see [`Network::round_input`].
pub type RoundedInputs = [(usize, i32)];

/// A network of the model that rounds what goes into these sites.
///
/// # Errors
/// [`TrainError`] for a site that is not there, or packed.
pub fn bind(model: &Model, backend: &Backend, rounded: &RoundedInputs) -> Result<Network, TrainError> {
    let mut network = Network::bind(model, backend);
    rounded.iter().try_for_each(|(site, levels)| network.round_input(*site, *levels))?;
    Ok(network)
}

/// Computes the gradient of a batch, on one thread or many.
pub trait GradientSource: Stateful + Send {
    /// Prepares for training this model, with the inputs of some sites rounded.
    ///
    /// # Errors
    /// [`TrainError`] when it cannot be trained so.
    fn begin(&mut self, model: &Model, backend: &Backend, rounded: &RoundedInputs) -> Result<(), TrainError>;

    /// Loss and gradient where the network computes with `flat` (as [`Model::flat`] has them).
    ///
    /// # Errors
    /// [`TrainError`] when the device or a worker fails.
    fn gradients(&mut self, flat: &[f32], batch: &Batch<'_>) -> Result<Gradients, TrainError>;

    /// The threads that it computes on, which then do what else a step does to every parameter; none where it has no threads
    /// of its own.
    fn crew(&self) -> Option<&Crew> {
        None
    }

    /// Itself, where its parameters are in the memory of this process and so are all of its gradients.
    fn in_place(&mut self) -> Option<&mut dyn InPlace> {
        None
    }
}

/// A source of gradients whose own parameters the optimizer moves.
pub trait InPlace {
    /// Loss and gradient of each share of the batch, in their order, at the parameters as they are.
    ///
    /// # Errors
    /// [`TrainError`] when the rows do not fit the network, or a worker fails.
    fn factored(&mut self, batch: &Batch<'_>) -> Result<Vec<Factored>, TrainError>;

    /// Hands out the parameters, as [`Network::changed`] does, and the threads to change them on, where there are some.
    ///
    /// # Errors
    /// [`TrainError`] when there is no network, or its device fails.
    fn change(&mut self, change: &mut Change<'_>) -> Result<(), TrainError>;
}

/// What changes parameters.
pub type Change<'a> = dyn FnMut(Option<&Crew>, Vec<&mut [f32]>) + 'a;

/// Changes the parameters of a network where they lie.
///
/// # Errors
/// [`TrainError`] when there is no network, or its device fails.
pub fn change(
    network: &mut Option<Network>,
    crew: Option<&Crew>,
    change: &mut Change<'_>,
) -> Result<(), TrainError> {
    let taken = network.take().ok_or(TrainError::NotBegun)?;
    *network = Some(taken.changed(|numbers| change(crew, numbers))?);
    Ok(())
}

/// Adds a row to another, entry by entry, on the threads of a crew where there is one.
pub(crate) fn add(crew: Option<&Crew>, sum: &mut [f32], more: &[f32]) {
    by_pieces(crew, [sum], |start, [sum]| {
        sum.iter_mut().zip(&more[start..]).for_each(|(sum, x)| *sum += x);
    });
}

/// Adds rows of gradients in their order, and their losses; nothing of no row.
pub fn sum(crew: Option<&Crew>, all: Vec<Gradients>) -> Option<Gradients> {
    let mut all = all.into_iter();
    let mut sum = all.next()?;
    let others: Vec<Gradients> = all.collect();
    sum.loss += others.iter().map(|more| more.loss).sum::<f64>();
    by_pieces(crew, [&mut sum.flat], |start, [sum]| {
        for more in &others {
            sum.iter_mut().zip(&more.flat[start..]).for_each(|(sum, x)| *sum += x);
        }
    });
    Some(sum)
}

/// The whole batch on one network, on the calling thread.
#[derive(Debug, Default)]
pub struct OneNetwork(Option<Network>);

impl Stateful for OneNetwork {
    fn identity(&self) -> String {
        "one network".into()
    }
}

impl GradientSource for OneNetwork {
    fn begin(&mut self, model: &Model, backend: &Backend, rounded: &RoundedInputs) -> Result<(), TrainError> {
        self.0 = Some(bind(model, backend, rounded)?);
        Ok(())
    }

    fn gradients(&mut self, flat: &[f32], batch: &Batch<'_>) -> Result<Gradients, TrainError> {
        let network = self.0.as_mut().ok_or(TrainError::NotBegun)?;
        batch.gradients(network, flat)
    }

    fn in_place(&mut self) -> Option<&mut dyn InPlace> {
        Some(self)
    }
}

impl InPlace for OneNetwork {
    fn factored(&mut self, batch: &Batch<'_>) -> Result<Vec<Factored>, TrainError> {
        let network = self.0.as_ref().ok_or(TrainError::NotBegun)?;
        Ok(vec![batch.factored(network)?])
    }

    fn change(&mut self, how: &mut Change<'_>) -> Result<(), TrainError> {
        change(&mut self.0, None, how)
    }
}

/// What happens to a gradient between its source and the optimizer.
pub trait Wire: Stateful + Send {
    /// Sends a gradient and puts what arrives in its place.
    fn send(&mut self, gradient: &mut [f32]);

    /// Bytes sent so far.
    fn bytes(&self) -> u64;
}
