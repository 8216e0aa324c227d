//! Coded gradients between their source and the optimiser.

use nlpress_core::Seed;
use nlpress_model::{Model, SiteId};
use nlpress_train::record::{Reader, Writer};
use nlpress_train::{Stateful, Wire};
use std::io;

use super::Coding;
use super::sender::{Layout, Sender};
use crate::Noise;
use crate::QuantError;

/// Every gradient as coded bytes on its way to the optimiser. All bytes are counted as they are made.
#[derive(Clone, Debug)]
pub struct GradientWire {
    sender: Sender,
    masked: Vec<usize>,
    message: Vec<u8>,
    bytes: u64,
    bytes_as_f32: u64,
    noise: Noise,
}

impl GradientWire {
    /// A wire of one sender for the trainable numbers of a model, coded on the sites `on`; `seed` is the root of its
    /// chances. Masked numbers are never trained, so that nothing is sent of their gradients.
    ///
    /// # Errors
    /// [`QuantError::Setting`].
    pub fn new(
        coding: &Coding,
        model: &Model,
        on: impl Fn(&SiteId) -> bool,
        seed: Seed,
    ) -> Result<Self, QuantError> {
        let sender = Sender::new(Layout::of(coding, model, on)?, seed);
        let keep = model.flat_keep();
        let masked = keep.iter().enumerate().filter(|(_, keep)| !**keep).map(|(i, _)| i).collect();
        Ok(Self { sender, masked, message: Vec::new(), bytes: 0, bytes_as_f32: 0, noise: Noise::default() })
    }

    /// Bytes that the same gradients take as floats.
    pub fn bytes_as_f32(&self) -> u64 {
        self.bytes_as_f32
    }

    /// How far what arrived is from the gradient, step by step, with what was owed paid in between.
    pub fn noise(&self) -> Noise {
        self.noise
    }
}

impl Wire for GradientWire {
    /// # Panics
    /// When the gradient does not have the model's length.
    fn send(&mut self, gradient: &mut [f32]) {
        self.masked.iter().for_each(|&i| gradient[i] = 0.0);
        let sent = gradient.to_vec();
        self.message.clear();
        self.sender.send(gradient, &mut self.message).expect("the gradient has the model's length");
        self.bytes += self.message.len() as u64;
        self.bytes_as_f32 += 4 * gradient.len() as u64;
        self.noise = self.noise.plus(Noise::between(&sent, gradient));
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Stateful for GradientWire {
    fn identity(&self) -> String {
        self.sender.identity()
    }

    fn save(&self, to: &mut Writer<'_>) -> io::Result<()> {
        self.sender.save(to)?;
        to.count(self.bytes)?;
        to.count(self.bytes_as_f32)?;
        self.noise.save(to)
    }

    fn restore(&mut self, from: &mut Reader<'_>) -> io::Result<()> {
        self.sender.restore(from)?;
        self.bytes = from.count()?;
        self.bytes_as_f32 = from.count()?;
        self.noise = Noise::read(from)?;
        Ok(())
    }
}
