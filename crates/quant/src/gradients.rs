//! `quant.gradients`: training whose gradients travel as 8-bit integers.
//!
//! The article's gradient quantization (section 3.3.3) turns the gradients of training into integers. The model
//! is trained, from fresh numbers or from those it has, and every gradient becomes integers with one scale for
//! each block on its way to the optimiser, with error feedback (see [`crate::gradient`]). What shrinks is the
//! traffic of a training spread over processors, by nearly four; the model itself keeps its form and its size.
//!
//! Selected sites have their gradients quantized; all trainable sites are trained. Packed sites stay as they are.

use nlpress_core::Measurement;
use nlpress_model::{Form, Model, Outline, SiteId, Weight};
use nlpress_technique::{Cx, Family, Kind, Needs, Problem, StepError, Technique, parse};
use nlpress_train::{Fit, FitConfig, Wire, fit};
use serde::Deserialize;

use crate::{Int8Wire, QuantError, sites};

const DEFAULT_BLOCK: usize = 256;
const LARGEST_BLOCK: i64 = 1 << 20;

/// The technique's configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Gradients {
    fit: FitConfig,
    restart: bool,
    /// Numbers with one scale; a whole site where there is none.
    block: Option<usize>,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Raw {
    fit: FitConfig,
    restart: bool,
    block: toml::Value,
}

impl Default for Raw {
    fn default() -> Self {
        let block = toml::Value::Integer(DEFAULT_BLOCK as i64);
        Self { fit: FitConfig::default(), restart: true, block }
    }
}

impl TryFrom<Raw> for Gradients {
    type Error = QuantError;

    fn try_from(raw: Raw) -> Result<Self, QuantError> {
        let block = match &raw.block {
            toml::Value::Integer(n) if (1..=LARGEST_BLOCK).contains(n) => Some(*n as usize),
            toml::Value::String(word) if word == "site" => None,
            other => {
                let bound = "between 1 and 1048576, or \"site\"";
                return Err(QuantError::Setting { key: "block", value: other.to_string(), bound });
            }
        };
        Ok(Self { fit: raw.fit, restart: raw.restart, block })
    }
}

/// The technique's entry.
pub const KIND: Kind = Kind {
    name: "quant.gradients",
    family: Family::Quantize,
    summary: "the model is trained with gradients that travel as 8-bit integers",
    source: "Seide et al. 2014, 1-Bit Stochastic Gradient Descent; Karimireddy et al. 2019, Error Feedback \
             Fixes SignSGD (with 8 bits for each number)",
    example: "block = 256\nfit = { epochs = 2 }",
    on: &["**"],
    settings: &[
        ("fit", "how to train; the defaults of training when left out"),
        ("restart", "true (default): train from fresh numbers; false: go on from those the model has"),
        ("block", "numbers that share a scale, between 1 and 1048576, default 256; or \"site\""),
    ],
    parse: parse::<Gradients>,
};

/// The model with fresh numbers wherever it can be trained; masks stay, packed sites stay.
///
/// # Errors
/// [`StepError::Model`].
fn restarted(model: Model, cx: &Cx<'_>) -> Result<Model, StepError> {
    let fresh = Model::init(model.spec(), cx.seed.derive("quant.gradients"))?;
    let (spec, mut layers) = model.into_parts();
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
    Ok(Model::new(spec, layers)?)
}

impl Technique for Gradients {
    fn needs(&self) -> Needs {
        Needs { training: true, validation: true, teacher: false }
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        if on.is_empty() {
            problems.push(Problem::of_step("no site is selected"));
        }
        for id in on {
            match before.site(id).map(|s| s.form) {
                None => problems.push(sites::missing(before, id)),
                Some(form @ Form::Packed(_)) => {
                    problems.push(Problem::at(id, format!("it is {form} and has no gradient")));
                }
                Some(Form::Dense | Form::Masked) => {}
            }
        }
        before.clone()
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        cx.progress("training with quantized gradients", 0, self.fit.epochs() as usize)?;
        let model = if self.restart { restarted(model, cx)? } else { model };
        let mut wire = Int8Wire::new(&model, on, self.block).map_err(|e| StepError::Failed(e.to_string()))?;
        let mut how = Fit::new(&self.fit, cx.backend, cx.train, cx.seed.derive("fit"), cx.sink);
        how.valid = Some(cx.valid);
        how.wire = Some(&mut wire);
        let (model, history) = fit(model, how)?;
        let (sent, plain) = (wire.bytes(), wire.bytes_as_f32());
        cx.measure(Measurement::lower("gradient_bytes", sent as f64, "bytes"));
        cx.measure(Measurement::lower("gradient_bytes_as_f32", plain as f64, "bytes"));
        cx.measure(Measurement::higher("gradient_sqnr", wire.noise().decibels(), "dB"));
        cx.note(format!(
            "{} gradients took {sent} bytes as integers with scales, {plain} bytes as floats ({:.2} times as \
             many); the model itself is no smaller for it",
            history.steps,
            plain as f64 / sent.max(1) as f64
        ));
        Ok(model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_by_name() {
        let read = |text: &str| (KIND.parse)(&text.parse().unwrap()).map(|_| ());
        assert_eq!(read("block = 'site'\nrestart = false"), Ok(()));
        for bad in ["block = 0", "block = 1.5", "block = 'row'", "block = 1048577"] {
            assert!(read(bad).unwrap_err().starts_with("block is "), "{bad}");
        }
        assert!(read("fit = { epochs = 0 }").unwrap_err().contains("epochs is 0"));
    }
}
