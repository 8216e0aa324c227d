//! Training of numbers that the network does not compute with as they are: masked, rounded, or with something added.
//!
//! The optimizer moves the *latent* parameters. A list of reparameterizations makes the *effective* ones of them, each
//! of what those before it made; the loss and its gradient are taken there, and validation looks there too. Each then
//! learns from the gradient at the effective parameters (scores of a mask, scales of a quantizer), and the gradient
//! passes back through the list to the latent ones. In the straight-through estimator (Bengio et al. 2013,
//! arXiv:1308.3432) it passes as if nothing had been done; [`Reparameterization::backward`] says what is not to pass.
//!
//! What a mask holds at zero gets no gradient: the loop sees to that for every `false` in [`Effective::keep`].

use crate::TrainError;
use crate::record::Stateful;

/// A step of a training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Steps that were done before it.
    pub number: u64,
    /// Steps of the whole training.
    pub of: u64,
    /// The learning rate.
    pub rate: f64,
}

impl Step {
    /// The share of the training that is over, 0 to 1.
    pub fn done(self) -> f64 {
        self.number as f64 / self.of.max(1) as f64
    }
}

/// The parameters that the network computes with, in the order of [`Model::flat`](nlpress_model::Model::flat).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effective {
    /// The numbers.
    pub values: Vec<f32>,
    /// Which are not held at zero by a mask.
    pub keep: Vec<bool>,
}

/// What makes effective parameters of latent ones.
pub trait Reparameterization: Stateful + Send {
    /// Sites whose input is to be rounded while this is trained, and to how many levels.
    fn rounded_inputs(&self) -> Vec<(usize, i32)> {
        Vec::new()
    }

    /// Makes its part of the effective parameters. They come as the reparameterizations before it left them: at first
    /// the latent numbers, with the masks that the model has.
    ///
    /// # Errors
    /// [`TrainError`] when the parameters are not those that it was made for.
    fn forward(&mut self, latent: &[f32], into: &mut Effective, at: Step) -> Result<(), TrainError>;

    /// Learns from the gradient at the effective parameters that the last [`forward`](Reparameterization::forward)
    /// led to.
    ///
    /// # Errors
    /// [`TrainError`] when the gradient is not one of these parameters.
    fn learn(
        &mut self,
        latent: &[f32],
        effective: &Effective,
        gradient: &[f32],
        at: Step,
    ) -> Result<(), TrainError> {
        let _ = (latent, effective, gradient, at);
        Ok(())
    }

    /// Turns the gradient at what it made into the one at what it made it of; the same by default.
    fn backward(&self, latent: &[f32], effective: &Effective, gradient: &mut [f32]) {
        let _ = (latent, effective, gradient);
    }

    /// Whether a model of this step could be the one that is kept; early stopping compares no others.
    fn settled(&self, at: Step) -> bool {
        let _ = at;
        true
    }

    /// Told after each epoch whose parameters are to be kept, unless a later one's are: with
    /// [`FitConfig::patience`](crate::FitConfig::patience) the best so far, without it every epoch's. What it has become
    /// then is what goes with the parameters that [`fit`](crate::fit()) returns.
    fn keep(&mut self) {}
}

/// A term of the loss that depends on the parameters alone.
pub trait Penalty: Send + Sync {
    /// Adds its derivative by the latent parameters to `gradient`.
    ///
    /// # Errors
    /// [`TrainError`] when the parameters are not those that it was made for.
    fn add(&self, latent: &[f32], gradient: &mut [f32]) -> Result<(), TrainError>;
}
