//! Quantization-aware training (QAT): what all such techniques have in common.
//!
//! The weights of the selected sites are [fake-quantized](crate::fake) while the network is trained, and then packed as
//! the integers that they were rounded to. Fixed scales of activations (`activations`) are found after the training.

use nlpress_core::Measurement;
use nlpress_model::{Model, SiteId};
use nlpress_packed::{Grid, Per};
use nlpress_technique::{Cx, KdSettings, StepError, Training, Tuning};
use nlpress_train::{Objective, With, WordDropout};

use crate::calibration::Calibration;
use crate::fake::{FakeQuantizer, Start};

/// The configuration of a quantization-aware training.
#[derive(Clone, Copy)]
pub(crate) struct Course<'a> {
    /// How; only rounding when there is none.
    pub tuning: Option<&'a Tuning>,
    /// What to learn from besides labels.
    pub kd: Option<&'a KdSettings>,
    /// The integers, and where scales belong.
    pub to: (Grid, Per),
    /// Which share of words each step leaves out.
    pub words: WordDropout,
    /// How the activations of the sites are fixed afterwards.
    pub activations: Option<&'a Calibration>,
    /// The rule of each site.
    pub start: &'a Start<'a>,
}

impl Course<'_> {
    /// Trains `model` with the sites `on` rounded, and packs them as integers.
    pub(crate) fn run(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        let mut quantizer = FakeQuantizer::new(&model, on, self.to, self.start, false)?;
        let model = match self.tuning {
            Some(tuning) => self.train(model, tuning, &mut quantizer, cx)?,
            None => model,
        };
        let model = Calibration::apply_if(self.activations, quantizer.pack(model, cx)?, on, cx)?;
        if self.tuning.is_some() {
            cx.measure(Measurement::higher("valid_accuracy", cx.accuracy(&model)?, "1"));
        }
        Ok(model)
    }

    /// The model with the latent weights of its training.
    fn train(
        &self,
        model: Model,
        tuning: &Tuning,
        quantizer: &mut FakeQuantizer,
        cx: &mut Cx<'_>,
    ) -> Result<Model, StepError> {
        let as_floats = cx.accuracy(&model)?;
        let rounded = cx.accuracy(&quantizer.rounded(model.clone())?)?;
        cx.measure(Measurement::higher("valid_accuracy_as_floats", as_floats, "1"));
        cx.measure(Measurement::higher("valid_accuracy_only_rounded", rounded, "1"));
        let logits = self.kd.map(|kd| kd.logits(&model, cx)).transpose()?;
        let imitation =
            logits.as_deref().zip(self.kd).map(|(logits, kd)| kd.loss().objective(logits, cx.train));
        let training = Training {
            objective: imitation.as_ref().map(|i| i as &dyn Objective),
            with: With {
                reparameterizations: vec![quantizer],
                words: Some((self.words, cx.seed.derive("words"))),
                ..With::default()
            },
            ..Training::new(tuning, cx.seed.derive("shadow"))
        };
        Ok(training.run(model, cx)?.0)
    }
}
