//! `quant.f16`, `quant.bf16`: weights as 16-bit floats.
//!
//! Half of the bytes, eleven bits of precision or eight, and nothing to choose. The runtime widens them when the file is
//! opened, so they save bytes on disk and no time.

use nlpress_model::{Model, Outline, SiteId};
use nlpress_packed::{Matrix, Values};
use nlpress_technique::{Cx, Family, Kind, Made, Problem, StepError, Technique};

use crate::sites;

/// The technique, which has no settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Floats {
    /// binary16: eleven bits of precision, up to 65504.
    Half,
    /// bfloat16: eight bits of precision, the range of 32-bit floats.
    Brain,
}

/// binary16.
pub const F16: Kind = Kind {
    name: "quant.f16",
    family: Family::Quantize,
    summary: "half precision (FP16, IEEE binary16): weights become 16-bit floats",
    source: "IEEE 754-2008, binary16; Micikevicius et al. 2018, arXiv:1710.03740",
    example: "",
    on: &["**"],
    settings: &[],
    parse: |_| Ok(Box::new(Floats::Half)),
};

/// bfloat16.
pub const BF16: Kind = Kind {
    name: "quant.bf16",
    summary: "bfloat16 (BF16): weights become the upper halves of 32-bit floats",
    source: "Kalamkar et al. 2019, A Study of BFLOAT16 for Deep Learning Training, arXiv:1905.12322",
    parse: |_| Ok(Box::new(Floats::Brain)),
    ..F16
};

impl Floats {
    fn values(self) -> Values {
        match self {
            Floats::Half => Values::F16,
            Floats::Brain => Values::Bf16,
        }
    }
}

impl Technique for Floats {
    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        sites::plan(before, on, self.values(), problems)
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let packed = sites::pack(model, on, cx, self.values(), &|layer, keep, index| {
            let (inputs, outputs) = (layer.shape.inputs, layer.shape.outputs);
            let pack = match self {
                Floats::Half => Matrix::f16,
                Floats::Brain => Matrix::bf16,
            };
            Ok(pack(inputs, outputs, &layer.weight.values(), keep, index)?)
        })?;
        Ok(packed.into())
    }
}
