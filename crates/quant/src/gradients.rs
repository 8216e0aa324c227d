//! `quant.gradients`: training with compressed gradients.
//!
//! The article's gradient quantization (section 3.3.3) turns the gradients of training into integers. The model
//! is trained, from fresh numbers or from those it has, and every gradient is coded block by block on its way to the
//! optimiser: as 8-bit integers, integers of fewer bits, ternary numbers, signs, or only its largest numbers (see
//! [`crate::gradient`]). What shrinks is the traffic of a training spread over processors; the model itself keeps
//! its form and its size.
//!
//! Selected sites have their gradients coded; all trainable sites are trained. Packed sites stay as they are.

use nlpress_core::Measurement;
use nlpress_model::{Form, Model, Outline, SiteId, Weight};
use nlpress_technique::{
    Cx, Family, Kind, Made, Needs, Problem, Settings, StepError, Technique, parse, settings,
};
use nlpress_train::{Fit, FitConfig, Wire, fit};
use serde::Deserialize;

use crate::{Coding, GradientWire, QuantError};

/// The technique's configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct Gradients {
    fit: FitConfig,
    restart: bool,
    compare: bool,
    coding: Coding,
}

settings! {
    #[serde(default)]
    struct Raw {
        /// how to train; the defaults of training when left out
        fit: FitConfig,
        /// true (default): train from fresh numbers; false: go on from those the model has
        restart: bool,
        /// train with gradients in full as well, and report that accuracy too; default true
        compare: bool,
    }
}

impl Default for Raw {
    fn default() -> Self {
        Self { fit: FitConfig::default(), restart: true, compare: true }
    }
}

impl TryFrom<toml::Table> for Gradients {
    type Error = QuantError;

    fn try_from(table: toml::Table) -> Result<Self, QuantError> {
        let (Raw { fit, restart, compare }, coding) = settings::split(table, KIND.settings)?;
        Ok(Self { fit, restart, compare, coding })
    }
}

/// The technique's entry.
pub const KIND: Kind = Kind {
    name: "quant.gradients",
    family: Family::Quantize,
    summary: "gradient compression (gradient quantization or top-k sparsification, with error feedback): trains with \
              gradients coded in few bytes",
    source: "Seide et al. 2014, 1-Bit Stochastic Gradient Descent; Alistarh et al. 2017, QSGD; Wen et al. 2017, \
             TernGrad; Stich et al. 2018, Sparsified SGD with Memory; Lin et al. 2018, Deep Gradient Compression; \
             Karimireddy et al. 2019, Error Feedback Fixes SignSGD",
    example: "codec = \"qsgd\"\nbits = 4\nfit = { epochs = 2 }",
    on: &["**"],
    settings: &[Raw::SETTINGS, Coding::SETTINGS],
    parse: parse::<Gradients>,
};

/// The model with fresh numbers wherever it can be trained; masks stay, packed sites stay.
///
/// # Errors
/// [`StepError::Model`].
fn restarted(model: Model, cx: &Cx<'_>) -> Result<Model, StepError> {
    let fresh = Model::init(model.graph(), cx.seed.derive("quant.gradients"))?;
    let (graph, mut layers) = model.into_parts();
    for (layer, fresh) in layers.iter_mut().zip(fresh.layers()) {
        let Weight::Dense(new) = &fresh.weight else { continue };
        match &mut layer.weight {
            Weight::Dense(values) => values.copy_from_slice(new),
            Weight::Masked { values, keep } => {
                for ((value, new), keep) in values.iter_mut().zip(new).zip(keep.iter()) {
                    *value = if *keep { *new } else { 0.0 };
                }
            }
            Weight::Packed { .. } => continue,
        }
        layer.bias.copy_from_slice(&fresh.bias);
    }
    Ok(Model::new(graph, layers)?)
}

impl Technique for Gradients {
    fn needs(&self) -> Needs {
        Needs::TRAINING
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        if on.is_empty() {
            problems.push(Problem::of_step("no site is selected"));
        }
        problems.extend(Problem::missing(before, on));
        for site in before.sites.iter().filter(|s| on.contains(&s.id)) {
            if let form @ Form::Packed(_) = site.form {
                problems.push(Problem::at(&site.id, format!("it is {form} and has no gradient")));
            }
        }
        before.clone()
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        cx.progress("training with coded gradients", 0, self.fit.epochs() as usize)?;
        let model = if self.restart { restarted(model, cx)? } else { model };
        let wire = GradientWire::new(&self.coding, &model, |id| on.contains(id), cx.seed.derive("wire"));
        let mut wire = wire.map_err(|e| StepError::Failed(e.to_string()))?;
        let seed = cx.seed.derive("fit");
        let train = |model, wire| -> Result<_, StepError> {
            let mut how = Fit::new(&self.fit, cx.backend, cx.train, seed, cx.sink);
            how.valid = Some(cx.valid);
            how.with.wire = wire;
            Ok(fit(model, how)?)
        };
        let whole = match self.compare {
            true => Some(cx.accuracy(&train(model.clone(), None)?.0)?),
            false => None,
        };
        let (model, history) = train(model, Some(&mut wire as &mut dyn Wire))?;
        let coded = cx.accuracy(&model)?;
        let (sent, plain) = (wire.bytes(), wire.bytes_as_f32());
        let ratio = plain as f64 / sent.max(1) as f64;
        cx.measure(Measurement::lower("gradient_bytes", sent as f64, "bytes"));
        cx.measure(Measurement::lower("gradient_bytes_as_f32", plain as f64, "bytes"));
        cx.measure(Measurement::higher("gradient_ratio", ratio, "1"));
        cx.measure(Measurement::higher("gradient_sqnr", wire.noise().decibels(), "dB"));
        cx.measure(Measurement::higher("valid_accuracy", coded, "1"));
        let mut beside = String::new();
        if let Some(whole) = whole {
            cx.measure(Measurement::higher("valid_accuracy_with_whole_gradients", whole, "1"));
            beside = format!(", {:.1} % with whole gradients", 100.0 * whole);
        }
        cx.note(format!(
            "{} gradients took {sent} bytes as {}, {plain} bytes as floats ({ratio:.2} times as many); validation \
             accuracy is {:.1} %{beside}; the model itself is no smaller for it",
            history.steps,
            self.coding,
            100.0 * coded
        ));
        Ok(model.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_technique::Setting;

    #[test]
    fn settings_are_checked_by_name() {
        let read = |text: &str| (KIND.parse)(&text.parse().unwrap()).map(|_| ());
        assert_eq!(read("block = 'site'\nrestart = false"), Ok(()));
        for bad in ["block = 0", "block = 1.5", "block = 'row'", "block = 1048577"] {
            assert!(read(bad).unwrap_err().starts_with("block is "), "{bad}");
        }
        for Setting { name, .. } in KIND.settings() {
            assert!(!read(&format!("{name} = 'x'")).unwrap_err().contains("unknown field"), "{name}");
        }
        assert!(read("fit = { epochs = 0 }").unwrap_err().contains("epochs is 0"));
    }
}
