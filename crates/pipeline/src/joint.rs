//! `train.joint`: pruning, quantization and distillation in one training, data-parallel where asked.
//!
//! One after the other, each technique undoes some of what the one before it learnt. Here every step of one training
//! sees all of them: the masks move (movement pruning), what they leave is rounded (quantization-aware training), the
//! loss looks at a teacher (knowledge distillation), and workers share the batch out. Scores, scales and weights learn
//! from the same gradient, that of the loss at the masked and rounded weights, by the straight-through estimator. What a
//! mask holds at zero in the end is not stored.
//!
//! With low-rank adapters, narrow factors are trained in place of the weights, and what is masked and rounded is the sum;
//! they are added to the weights at the end.
//!
//! A part that is left out is not there: with a single part, this is that part's own technique, to the bit. Masks that
//! the model has are held.

use nlpress_core::Measurement;
use nlpress_model::{Form, Model, Outline, SiteId};
use nlpress_parallel::{Coding, DataParallel, data};
use nlpress_prune::moving::MasksConfig;
use nlpress_quant::QuantizerConfig;
use nlpress_technique::{
    Cx, DISTILL, Family, KdSettings, Kind, Made, Needs, Problem, Settings, StepError, Technique, Training,
    Tuning, parse, settings,
};
use nlpress_train::{
    AdapterConfig, GradientSource, Objective, Reparameterization, TrainError, With, WordDropout,
};
use serde::Deserialize;

/// The technique's configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Joint {
    adapters: Option<AdapterConfig>,
    masks: Option<MasksConfig>,
    quantize: Option<QuantizerConfig>,
    distill: Option<KdSettings>,
    workers: Option<usize>,
    wire: Option<Coding>,
    words: WordDropout,
    train: Tuning,
}

settings! {
    struct Raw {
        /// low-rank adapters (LoRA) in place of the selected weights: a table of `rank`, 1 to 4096 (at most a side
        /// of the weight), and `alpha`, a positive number, twice the rank by default, which over the rank is the
        /// factor of their product; weights themselves are trained when it is left out
        adapters: Option<AdapterConfig>,
        /// movement pruning: a table of `sparsity`, `nonzeros` or `bytes`, `scope`, `score_rate`, `start`, `warmup`
        /// and `settle`, as prune.movement takes them; masks are held as they are when it is left out
        masks: Option<MasksConfig>,
        /// quantization-aware training: a table of `grid`, `per`, `step` and `activations`, as quant.qat takes
        /// them; weights stay floats when it is left out
        quantize: Option<QuantizerConfig>,
        distill: Option<KdSettings> as DISTILL,
        /// data parallelism: shares of a batch, 1 to 256; batches stay whole when it is left out
        workers: Option<usize>,
        wire: Option<Coding> as data::WIRE,
        #[serde(default)]
        word_dropout: WordDropout as WordDropout::SETTING,
        /// the training, as a training table; by default its learning rate is 1e-2, its schedule "linear" and, with
        /// quantize, its clip_norm 1; its `dropout` replaces the network's. Sites that are not selected are trained
        /// as floats
        #[serde(default)]
        train: toml::Table,
    }
}

impl TryFrom<Raw> for Joint {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        let Raw { adapters, masks, quantize, distill, workers, wire, word_dropout, train } = raw;
        workers.map_or(Ok(()), |workers| data::check_workers("workers", workers))?;
        let has_none = masks.is_none() && quantize.is_none() && distill.is_none() && workers.is_none();
        if has_none && adapters.is_none() {
            return Err(
                "there is nothing to join: set one of adapters, masks, quantize, distill and workers".into(),
            );
        }
        if wire.is_some() && workers.is_none() {
            return Err("wire is set, but there are no workers that send: set workers".into());
        }
        let mut defaults = vec![("learning_rate", 1e-2.into()), ("schedule", "linear".into())];
        defaults.extend(quantize.as_ref().map(|_| ("clip_norm", 1.0.into())));
        let train = Tuning::read(train, &defaults).map_err(|e| format!("train: {e}"))?;
        if let Some(adapters) = adapters {
            adapters.check(train.fit()).map_err(|e| format!("train: {e}"))?;
        }
        Ok(Self { adapters, masks, quantize, distill, workers, wire, words: word_dropout, train })
    }
}

impl Joint {
    /// The training's random choices: those that the technique of the first part makes.
    fn seed(&self, cx: &Cx<'_>) -> nlpress_core::Seed {
        match (&self.masks, &self.quantize, &self.distill) {
            (Some(_), _, _) => cx.seed.derive("movement"),
            (None, Some(_), _) => cx.seed.derive("shadow"),
            (None, None, Some(_)) => cx.seed.derive("distill"),
            (None, None, None) if self.adapters.is_some() => cx.seed.derive("adapters"),
            (None, None, None) => cx.seed,
        }
    }

    fn source<'a>(&self, cx: &Cx<'a>) -> Result<Option<DataParallel<'a>>, StepError> {
        let Some(workers) = self.workers else { return Ok(None) };
        let source = DataParallel::new(workers, cx.threads)?.with_peers(cx.peers);
        Ok(Some(match &self.wire {
            Some(coding) => source.with_wire(coding.clone(), cx.seed.derive("wire")),
            None => source,
        }))
    }
}

impl Technique for Joint {
    fn needs(&self) -> Needs {
        let teacher = self.distill.as_ref().is_some_and(KdSettings::needs_teacher);
        Needs { teacher, ..Needs::TRAINING }
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        let mut after = before.clone();
        match &self.masks {
            Some(masks) => after = masks.plan(&after, on, problems),
            None if self.quantize.is_some() => {}
            None => problems.extend(Problem::missing(before, on)),
        }
        if let Some(quantize) = &self.quantize {
            after = quantize.plan(&after, on, problems);
        }
        if before.sites.iter().all(|site| matches!(site.form, Form::Packed(_))) {
            problems.push(Problem::of_step("every site is packed, so there is nothing to train"));
        }
        after
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let mut masks = self.masks.as_ref().map(|masks| masks.moving(&model, on)).transpose()?;
        let moving = masks.is_some();
        let mut adapters = self
            .adapters
            .map(|adapters| adapters.adapters(&model, on, cx.seed, self.train.fit()))
            .transpose()
            .map_err(TrainError::from)?;
        let mut quantizer = self.quantize.as_ref().map(|q| q.quantizer(&model, on, moving)).transpose()?;
        let mut source = self.source(cx)?;
        cx.measure(Measurement::higher("valid_accuracy_before", cx.accuracy(&model)?, "1"));
        let logits = self.distill.as_ref().map(|kd| kd.logits(&model, cx)).transpose()?;
        let kd = logits.as_deref().zip(self.distill.as_ref());
        let imitation = kd.map(|(logits, kd)| kd.loss().objective(logits, cx.train));
        let mut reparameterizations: Vec<&mut dyn Reparameterization> = Vec::new();
        reparameterizations.extend(adapters.as_mut().map(|a| a as &mut dyn Reparameterization));
        reparameterizations.extend(masks.as_mut().map(|m| m as &mut dyn Reparameterization));
        reparameterizations.extend(quantizer.as_mut().map(|q| q as &mut dyn Reparameterization));
        let training = Training {
            objective: imitation.as_ref().map(|i| i as &dyn Objective),
            with: With {
                reparameterizations,
                source: source.as_mut().map(|s| s as &mut dyn GradientSource),
                words: Some((self.words, cx.seed.derive("words"))),
                ..With::default()
            },
            ..Training::new(&self.train, self.seed(cx))
        };
        let (mut model, _) = training.run(model, cx)?;
        if let Some(adapters) = &adapters {
            model = adapters.merged(model)?;
        }
        if let Some(masks) = &masks {
            model = masks.cut(model)?;
        }
        if let Some((quantize, quantizer)) = self.quantize.as_ref().zip(quantizer.as_ref()) {
            model = quantize.pack(quantizer, model, on, cx)?;
        }
        if let Some(source) = &source {
            let (sent, as_f32) = (source.bytes() as f64, source.bytes_as_f32() as f64);
            cx.measure(Measurement::lower("exchanged_bytes", sent, "bytes"));
            cx.measure(Measurement::lower("exchanged_bytes_as_f32", as_f32, "bytes"));
        }
        cx.measure(Measurement::higher("valid_accuracy", cx.accuracy(&model)?, "1"));
        Ok(model.into())
    }
}

/// Entry in the list of techniques.
pub const KIND: Kind = Kind {
    name: "train.joint",
    family: Family::Chain,
    summary: "joint pruning, quantization and distillation (JPQD): low-rank adapters (LoRA), movement pruning, \
              quantization-aware training, knowledge distillation and data parallelism in the same steps of one training",
    source: "Hu et al. 2021, arXiv:2106.09685 (LoRA); Sanh, Wolf and Rush 2020, arXiv:2005.07683 (movement pruning); Esser et al. 2019, arXiv:1902.08153 (LSQ); \
             Hinton et al. 2015, arXiv:1503.02531 (distillation); Lagunas et al. 2021, arXiv:2109.04838, and Kurtic et al. \
             2022, arXiv:2203.07259, which join them",
    example: "masks = { sparsity = 0.5 }\nquantize = { grid = \"int4\" }\ndistill = {}\nworkers = 2\n\
              wire = { codec = \"int8\" }\ntrain = { epochs = 2 }",
    on: &["**"],
    settings: &[Raw::SETTINGS],
    parse: parse::<Joint>,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_by_name() {
        let read = |text: &str| (KIND.parse)(&text.parse().unwrap()).map(|_| ());
        assert_eq!(read("workers = 1"), Ok(()));
        for (bad, says) in [
            ("", "there is nothing to join"),
            ("train = { epochs = 2 }", "there is nothing to join"),
            ("workers = 0", "workers is 0, but it must be between 1 and 256"),
            ("distill = {}\nwire = {}", "there are no workers that send"),
            ("masks = {}", "sparsity, nonzeros or bytes is missing"),
            ("masks = { sparsity = 0.5, warmup = 1 }", "warmup is 1"),
            ("masks = { sparsity = 0.5, finetune = {} }", "unknown field `finetune`"),
            ("quantize = { grid = 'int16' }", "grid is \"int16\""),
            ("quantize = { train = {} }", "unknown field `train`"),
            ("quantize = {}\ntrain = { epochs = 0 }", "train: epochs is 0"),
            ("quantize = {}\nword_dropout = 1", "word_dropout is 1"),
            ("adapters = { rank = 0 }", "rank is 0"),
            ("adapters = { rank = 2 }\ntrain = { weight_decay = 0.1 }", "weight_decay is 0.1"),
        ] {
            let message = read(bad).unwrap_err();
            assert!(message.contains(says), "{bad}: {message}");
        }
    }
}
