//! Listens to trainings for the learning curves of a report, and passes everything on.

use nlpress_core::event::{Event, Flow, Sink};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};

use crate::report::{Curve, Epoch};

/// Most epochs that are kept of one row: enough for every picture that one can read.
const MOST_EPOCHS: usize = 2000;

/// A sink before another.
pub(crate) struct Recorder<'a> {
    sink: &'a dyn Sink,
    heard: Mutex<Vec<(ThreadId, Curve)>>,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(sink: &'a dyn Sink) -> Self {
        Self { sink, heard: Mutex::new(Vec::new()) }
    }

    /// The trainings since the last time, in the order in which they began.
    pub(crate) fn take(&self) -> Vec<Curve> {
        let heard = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        heard.into_iter().map(|(_, curve)| curve).collect()
    }

    /// An epoch goes on a training of the same thread, for several may train side by side.
    fn hear(&self, epoch: Epoch) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.iter().map(|(_, curve)| curve.epochs.len()).sum::<usize>() >= MOST_EPOCHS {
            return;
        }
        let thread = thread::current().id();
        let last = heard.iter_mut().rev().find(|(of, _)| *of == thread);
        match last {
            Some((_, curve)) if curve.epochs.last().is_some_and(|e| e.epoch < epoch.epoch) => {
                curve.epochs.push(epoch);
            }
            _ => heard.push((thread, Curve { epochs: vec![epoch] })),
        }
    }
}

impl Sink for Recorder<'_> {
    fn push(&self, event: &Event) -> Flow {
        if let Event::EpochFinished { epoch, loss, valid_accuracy, .. } = event
            && loss.is_finite()
        {
            let valid_accuracy = valid_accuracy.filter(|a| a.is_finite());
            self.hear(Epoch { epoch: *epoch, loss: *loss, valid_accuracy });
        }
        self.sink.push(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::event::Quiet;

    fn epoch(epoch: u32) -> Event {
        Event::EpochFinished { epoch, epochs: 3, loss: 1.0 / f64::from(epoch), valid_accuracy: Some(0.5) }
    }

    #[test]
    fn a_training_that_begins_anew_is_another_curve() {
        let recorder = Recorder::new(&Quiet);
        for n in [1, 2, 3, 1, 2] {
            recorder.push(&epoch(n));
        }
        let loss = f64::NAN;
        recorder.push(&Event::EpochFinished { epoch: 3, epochs: 3, loss, valid_accuracy: None });
        let lengths: Vec<usize> = recorder.take().iter().map(|c| c.epochs.len()).collect();
        assert_eq!(lengths, [3, 2]);
        assert!(recorder.take().is_empty());
    }

    #[test]
    fn trainings_side_by_side_are_not_mixed() {
        let recorder = Recorder::new(&Quiet);
        recorder.push(&epoch(1));
        thread::scope(|scope| {
            scope.spawn(|| [1, 2, 3].map(|n| recorder.push(&epoch(n))));
        });
        recorder.push(&epoch(2));
        let numbers: Vec<Vec<u32>> =
            recorder.take().iter().map(|c| c.epochs.iter().map(|e| e.epoch).collect()).collect();
        assert_eq!(numbers, [vec![1, 2], vec![1, 2, 3]]);
    }

    #[test]
    fn the_sink_behind_decides() {
        let recorder = Recorder::new(&Stop);
        assert_eq!(recorder.push(&epoch(1)), Flow::Stop);
    }

    struct Stop;

    impl Sink for Stop {
        fn push(&self, _: &Event) -> Flow {
            Flow::Stop
        }
    }
}
