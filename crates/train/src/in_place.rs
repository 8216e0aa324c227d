//! Steps that move parameters where the network computes with them.
//!
//! A wide network's parameters, gradients and moments are more than a core's caches hold, so that a step costs what is read
//! and written of them. Here a step goes over the parameters once: a tile of the gradient, the sum of all shares, is made of
//! its factors in a core's cache and moves the tile's parameters and moments at once. Threads share out the tiles. The numbers
//! are those of [`Whole`](crate::steps::Whole) to the bit.

use nlpress_model::Model;
use nlpress_model::network::{Factored, Tile, tiles};
use rayon::prelude::*;
use std::cell::RefCell;

use crate::FitConfig;
use crate::TrainError;
use crate::checkpoint::Progress;
use crate::crew::Crew;
use crate::gradients::Batch;
use crate::parts::Parts;
use crate::reparameterization::Step;
use crate::segments::Segments;

/// Numbers to move for which the threads of the current pool are worth waking up, where the source of gradients has none.
const MANY: usize = 1 << 18;

/// Steps in place.
pub(crate) struct InPlace<'a> {
    config: &'a FitConfig,
    segments: Segments,
    tiles: Vec<Tile>,
}

thread_local! {
    /// The gradient of a tile, and what comes between.
    static SCRATCH: RefCell<[Vec<f32>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// Whether all that a training does to a gradient is to follow it, number by number.
pub(crate) fn possible(config: &FitConfig, parts: &mut Parts<'_>) -> bool {
    let is_followed = config.clip_norm().is_none()
        && config.l1() + config.l2() == 0.0
        && config.rows_of_step() == config.batch();
    is_followed && parts.in_place().is_some()
}

impl<'a> InPlace<'a> {
    /// Gives the network the parameters that the training begins with.
    ///
    /// # Errors
    /// [`TrainError::NoGroup`] for a group that selects no site that is trained.
    pub(crate) fn new(
        model: &Model,
        config: &'a FitConfig,
        parts: &mut Parts<'_>,
        at: &Progress,
    ) -> Result<Self, TrainError> {
        let mut rest = &at.flat[..];
        change(parts, &mut |_, parameters| {
            for numbers in parameters {
                let (own, others) = rest.split_at(numbers.len());
                numbers.copy_from_slice(own);
                rest = others;
            }
        })?;
        Ok(Self { config, segments: Segments::of(model, config)?, tiles: tiles(model) })
    }

    /// Does a step on a batch and gives its loss. With a loss that is no number, nothing is done.
    ///
    /// # Errors
    /// [`TrainError`] when a worker fails.
    pub(crate) fn step(
        &self,
        parts: &mut Parts<'_>,
        at: &mut Progress,
        batch: &Batch<'_>,
        now: Step,
    ) -> Result<f64, TrainError> {
        let words = parts.words;
        let source = parts.in_place().ok_or_else(missing)?;
        let shares = batch.thinned(words, now.number, |batch| source.factored(batch))?;
        let (first, others) =
            shares.split_first().ok_or_else(|| TrainError::Failed("it has no worker".into()))?;
        let loss = first.loss + others.iter().map(|more| more.loss).sum::<f64>();
        if loss.is_finite() {
            source
                .change(&mut |crew, parameters| self.move_all(crew, parameters, &shares, (&mut *at, now)))?;
        }
        Ok(loss)
    }

    /// Moves all parameters against the sum of some gradients.
    fn move_all(
        &self,
        crew: Option<&Crew>,
        parameters: Vec<&mut [f32]>,
        shares: &[Factored],
        (at, now): (&mut Progress, Step),
    ) {
        let update = at.adam.next(now.rate, self.config.adam());
        let (mut first, mut second) = at.adam.moments(0..at.flat.len());
        let (mut left, mut jobs, mut start) = (parameters, Vec::with_capacity(self.tiles.len()), 0);
        for tile in &self.tiles {
            let count = tile.numbers.len();
            let moved = [&mut left[tile.parameter], &mut first, &mut second];
            let moved = moved.map(|row| row.split_off_mut(..count).expect("tiles are all there is"));
            jobs.push((tile, start, moved));
            start += count;
        }
        let work = |(tile, start, moved): (&Tile, usize, [&mut [f32]; 3])| {
            SCRATCH.with_borrow_mut(|[gradient, spare]| {
                gradient.resize(tile.numbers.len(), 0.0);
                Factored::sum(shares, tile, gradient, spare);
                self.segments.step_from(start, moved, gradient, (update, now.rate));
            });
        };
        match crew {
            Some(crew) => drop(crew.map(jobs, work)),
            None if start >= MANY => jobs.into_par_iter().for_each(work),
            None => jobs.into_iter().for_each(work),
        }
    }

    /// Reads the parameters.
    ///
    /// # Errors
    /// [`TrainError`] when there are none.
    pub(crate) fn end_epoch(&self, parts: &mut Parts<'_>, at: &mut Progress) -> Result<(), TrainError> {
        at.flat.clear();
        change(parts, &mut |_, parameters| {
            parameters.iter().for_each(|numbers| at.flat.extend_from_slice(numbers));
        })
    }
}

fn change(parts: &mut Parts<'_>, change: &mut crate::gradients::Change<'_>) -> Result<(), TrainError> {
    parts.in_place().ok_or_else(missing)?.change(change)
}

fn missing() -> TrainError {
    TrainError::Failed("its parameters are not at hand".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{backends, bags};
    use crate::fit::fit_by;
    use crate::history::History;
    use crate::plan::Fit;
    use crate::steps::Way;
    use nlpress_core::event::{Event, Flow, Quiet, Sink};
    use nlpress_core::{Backend, Seed};
    use nlpress_model::{AttentionSpec, BlockSpec, Dataset, Graph, MlpSpec, Ranks};
    use std::path::Path;

    const INPUTS: usize = 40;

    /// Two of its layers are wide enough for factors, one of which is more than a tile.
    fn wide() -> Graph {
        MlpSpec::new(INPUTS, &[300, 260, 256], 1, 0.3).into()
    }

    fn attention() -> Graph {
        Graph::from(AttentionSpec {
            inputs: INPUTS,
            width: 8,
            head_width: 4,
            layers: vec![BlockSpec { heads: 2, neurons: 16 }],
            outputs: 1,
            dropout: 0.2,
            tokens: 6,
            ranks: Ranks::new(),
        })
    }

    struct Run<'a>(&'a Model, &'a str, [&'a Dataset; 2], &'a Backend);

    impl Run<'_> {
        fn train(
            &self,
            way: Way,
            checkpoint: Option<&Path>,
            sink: &dyn Sink,
        ) -> Result<(Model, History), TrainError> {
            let Self(model, text, [train, valid], backend) = *self;
            let config: FitConfig = toml::from_str(text).unwrap();
            let how = Fit::new(&config, backend, train, Seed(6), sink);
            fit_by(model.clone(), Fit { valid: Some(valid), checkpoint, resume: true, ..how }, way)
        }
    }

    #[test]
    fn the_bits_are_those_of_whole_steps() {
        let (sparse, valid) = (bags(60, INPUTS, 6, 1), bags(30, INPUTS, 6, 2));
        let dense = bags(60, INPUTS, 60, 1);
        for backend in backends().into_iter().filter(|backend| backend.kind().is_cpu()) {
            for (graph, train, text) in [
                (wide(), &sparse, "epochs = 2\nbatch = 25"),
                (wide(), &dense, "epochs = 2\nweight_decay = 2.0\npatience = 1\nlearning_rate = 0.01"),
                (
                    wide(),
                    &sparse,
                    "epochs = 2\nschedule = 'linear'\ngroups = [{ on = ['hidden.1'], frozen = true }, \
                     { on = ['hidden.*'], rate = 0.5, weight_decay = 1.0 }]",
                ),
                (attention(), &sparse, "epochs = 2\nbatch = 7"),
            ] {
                let model = Model::init(&graph, Seed(1)).unwrap();
                let run = Run(&model, text, [train, &valid], &backend);
                let whole = run.train(Way::Whole, None, &Quiet).unwrap();
                assert_eq!(run.train(Way::InPlace, None, &Quiet).unwrap(), whole, "{text}");
                assert_ne!(whole.0, model);
            }
        }
    }

    /// Stops a training after an epoch.
    struct StopAfter(u32);

    impl Sink for StopAfter {
        fn push(&self, event: &Event) -> Flow {
            match event {
                Event::EpochFinished { epoch, .. } if *epoch == self.0 => Flow::Stop,
                _ => Flow::Continue,
            }
        }
    }

    #[test]
    fn a_training_goes_on_from_its_checkpoint_to_the_same_bits() {
        let (folder, data) = (tempfile::tempdir().unwrap(), bags(40, INPUTS, 6, 1));
        let model = Model::init(&wide(), Seed(1)).unwrap();
        for backend in backends().into_iter().filter(|backend| backend.kind().is_cpu()) {
            let path = folder.path().join(backend.kind().name());
            let run = Run(&model, "epochs = 3", [&data, &data], &backend);
            let stopped = run.train(Way::InPlace, Some(&path), &StopAfter(2));
            assert!(matches!(stopped, Err(TrainError::Stopped(_))));
            let resumed = run.train(Way::InPlace, Some(&path), &Quiet).unwrap();
            assert_eq!(resumed, run.train(Way::InPlace, None, &Quiet).unwrap());
        }
    }
}
