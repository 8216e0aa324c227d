//! What happened in a training.

use std::io;

use crate::record::{Reader, Writer};

/// One epoch of a training.
#[derive(Clone, Debug, PartialEq)]
pub struct Epoch {
    /// Mean training loss over its steps, dropout on, penalties left out.
    pub loss: f64,
    /// Loss on the validation rows.
    pub valid_loss: Option<f64>,
    /// Accuracy on the validation rows.
    pub valid_accuracy: Option<f64>,
}

impl Epoch {
    pub(crate) fn write(&self, to: &mut Writer<'_>) -> io::Result<()> {
        to.number(self.loss)?;
        [self.valid_loss, self.valid_accuracy].into_iter().try_for_each(|x| {
            to.count(x.is_some().into())?;
            x.map_or(Ok(()), |x| to.number(x))
        })
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> io::Result<Self> {
        let loss = from.number()?;
        let mut maybe = || Ok::<_, io::Error>(if from.count()? > 0 { Some(from.number()?) } else { None });
        Ok(Self { loss, valid_loss: maybe()?, valid_accuracy: maybe()? })
    }
}

/// What happened in a training.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// Epoch by epoch; of coordinate descent the end alone.
    pub epochs: Vec<Epoch>,
    /// The epoch, from 1, whose parameters were kept; of coordinate descent the passes of the class that took the most.
    pub kept: u32,
    /// Optimiser steps; of coordinate descent the passes of all classes.
    pub steps: u64,
}
