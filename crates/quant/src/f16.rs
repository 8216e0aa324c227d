//! `quant.f16`: weights as 16-bit floats.
//!
//! Half of the bytes, eleven bits of precision, and nothing to choose. The runtime widens them when the file is opened,
//! so they save bytes on disk and no time.

use nlpress_model::{Model, Outline, SiteId};
use nlpress_packed::{Matrix, Values};
use nlpress_technique::{Cx, Family, Kind, Problem, StepError, Technique, parse};
use serde::Deserialize;

use crate::sites;

/// The technique's configuration, which has no settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct F16 {}

/// The technique's entry.
pub const KIND: Kind = Kind {
    name: "quant.f16",
    family: Family::Quantize,
    summary: "weights become 16-bit floats",
    source: "IEEE 754-2008, binary16; Micikevicius et al. 2018, arXiv:1710.03740",
    example: "",
    on: &["**"],
    settings: &[],
    parse: parse::<F16>,
};

impl Technique for F16 {
    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        sites::plan(before, on, Values::F16, problems)
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        sites::pack(model, on, cx, Values::F16, &|layer, keep, index| {
            let (inputs, outputs) = (layer.shape.inputs, layer.shape.outputs);
            Ok(Matrix::f16(inputs, outputs, &layer.weight.values(), keep, index)?)
        })
    }
}
