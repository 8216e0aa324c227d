//! `quant.int32`, `quant.int16`, `quant.int8`, `quant.int4`, `quant.int3`, `quant.int2`: weights as integers with
//! scales, rounded to the nearest.
//!
//! The article's "integerization" and "binaryization" (sections 3.3.1 and 3.3.2) turn parameters into integers and
//! into few binary digits. An entry becomes an integer and stands for it times a scale. From 8 bits down a weight takes
//! the number of bits in its name, and the runtime multiplies integers. 32 and 16 bits are multiplied with 16-bit
//! activations into 64-bit sums; 32 bits are finer than what a float carries, so they lose next to nothing and, being as
//! wide as floats, win nothing in size: their use is arithmetic without floating point, and the comparison.
//!
//! A masked site keeps its sparsity: only the kept entries are stored, and only they count for the scales. A few inputs
//! may stay 16-bit floats (`outliers`), chosen as Dettmers et al. 2022 do, within a budget.

use nlpress_model::{Model, Outline, SiteId};
use nlpress_packed::{Grid, Per};
use nlpress_technique::settings::BadTable;
use nlpress_technique::{Cx, Family, Kind, Made, Needs, Problem, Settings, StepError, Technique, settings};

use crate::calibration::{ACTIVATIONS, Calibration};
use crate::outliers::{self, Search};
use crate::rounding::{Clip, Rounding};
use crate::settings::per;
use crate::{QuantError, sites};

/// 8-bit integers.
pub const INT8: Kind = Kind {
    name: "quant.int8",
    family: Family::Quantize,
    summary: "int8 post-training quantization (PTQ), rounding to the nearest: weights become 8-bit integers with scales, \
              activations are quantized for each row (dynamic) or with a fixed scale (static)",
    source: "Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient \
             Integer-Arithmetic-Only Inference, arXiv:1712.05877; outliers: Dettmers et al. 2022, LLM.int8(), \
             arXiv:2208.07339",
    example: "per = \"channel\"\nclip = \"max\"",
    on: &["**"],
    settings: &[Raw::SETTINGS],
    parse: |with| read(Grid::Int8, with),
};

/// 4-bit integers.
pub const INT4: Kind = Kind {
    name: "quant.int4",
    summary: "int4 post-training quantization (PTQ), rounding to the nearest: weights become 4-bit integers with scales, \
              two to a byte; activations have 8 bits",
    source: "Banner et al. 2019, Post training 4-bit quantization of convolutional networks for rapid-deployment, \
             arXiv:1810.05723; outliers: Dettmers et al. 2022, LLM.int8(), arXiv:2208.07339",
    example: "per = 16\nzero_points = true",
    parse: |with| read(Grid::Int4, with),
    ..INT8
};

/// 3-bit integers.
pub const INT3: Kind = Kind {
    name: "quant.int3",
    summary: "int3 post-training quantization (PTQ), rounding to the nearest: weights become 3-bit integers with scales, \
              eight to three bytes; activations have 8 bits",
    example: "per = \"row\"\noutliers = 4",
    parse: |with| read(Grid::Int3, with),
    ..INT4
};

/// 2-bit integers.
pub const INT2: Kind = Kind {
    name: "quant.int2",
    summary: "2-bit post-training quantization (PTQ), rounding to the nearest: weights become -3, -1, 1 or 3 times a \
              scale, four to a byte; activations have 8 bits",
    source: "Banner et al. 2019, arXiv:1810.05723; four values without a zero: Max 1960, Quantizing for minimum \
             distortion; outliers: Dettmers et al. 2022, LLM.int8(), arXiv:2208.07339",
    example: "power_of_two = true\nactivations = { calibrator = \"percentile\", percentile = 99.5, samples = 64 }",
    parse: |with| read(Grid::Int2, with),
    ..INT4
};

/// 16-bit integers.
pub const INT16: Kind = Kind {
    name: "quant.int16",
    summary: "int16 post-training quantization (PTQ): weights become 16-bit integers with scales, multiplied with 16-bit \
              activations into 64-bit sums",
    source: "Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient \
             Integer-Arithmetic-Only Inference, arXiv:1712.05877",
    example: "per = \"tensor\"",
    settings: &[RawWide::SETTINGS],
    parse: |with| read(Grid::Int16, with),
    ..INT8
};

/// 32-bit integers.
pub const INT32: Kind = Kind {
    name: "quant.int32",
    summary: "int32 post-training quantization (PTQ), for fixed-point arithmetic: weights become 32-bit integers with \
              scales; the file gets no smaller",
    example: "per = \"channel\"",
    parse: |with| read(Grid::Int32, with),
    ..INT16
};

/// The technique, whatever the integers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Integers {
    rounding: Rounding,
    activations: Option<Calibration>,
    outliers: u16,
}

settings! {
    struct Raw {
        /// "channel" (default): one scale for each output; "tensor": one for each site; "row": one for each input;
        /// a number from 16 to 128, the group size: one for each group of consecutive inputs of one output
        #[serde(default, deserialize_with = "per")]
        per: Option<Per>,
        /// "max": the range of all entries, the default from 3 bits up; "mse": the range of least squared error,
        /// the default below
        clip: Option<String>,
        /// whether ranges need not be symmetric: each scale then has a zero point; false by default
        #[serde(default)]
        zero_points: bool,
        /// whether every scale is a power of two; false by default
        #[serde(default)]
        power_of_two: bool,
        activations: Option<Calibration> as ACTIVATIONS,
        /// greatest number of outlier inputs of a site, from 0 (default) to 256: their weights stay 16-bit floats,
        /// and they are not rounded themselves. Chosen by the largest max|x| · ‖w‖ or max|x| on training rows, and
        /// kept only where they lower the error of the outputs on other training rows by a tenth at least; not with
        /// zero_points nor a number for per, and not for inference without floats
        outliers: Option<i64>,
    }
}

settings! {
    /// The settings of integers of more than 8 bits: so wide, they have no use for the others.
    struct RawWide {
        /// "channel" (default): one scale for each output; "tensor": one for each site
        #[serde(default, deserialize_with = "per")]
        per: Option<Per>,
        activations: Option<Calibration> as ACTIVATIONS,
    }
}

fn read(grid: Grid, with: &toml::Table) -> Result<Box<dyn Technique>, String> {
    let message = |e: BadTable| e.to_string();
    let read = match grid.levels() > 127 {
        true => settings::read(with.clone()).map(|raw: RawWide| raw.check(grid)).map_err(message)?,
        false => settings::read(with.clone()).map(|raw: Raw| raw.check(grid)).map_err(message)?,
    };
    Ok(Box::new(read.map_err(|e| e.to_string())?))
}

impl RawWide {
    fn check(self, grid: Grid) -> Result<Integers, QuantError> {
        let per = self.per.unwrap_or(Per::Channel);
        if !matches!(per, Per::Channel | Per::Tensor) {
            let value = match per {
                Per::Group(inputs) => inputs.to_string(),
                _ => "\"row\"".into(),
            };
            return Err(QuantError::setting("per", value, "\"channel\" or \"tensor\""));
        }
        let rounding = Rounding { per, ..Rounding::new(grid) };
        Ok(Integers { rounding, activations: self.activations, outliers: 0 })
    }
}

impl Raw {
    fn check(self, grid: Grid) -> Result<Integers, QuantError> {
        let usual = Rounding::new(grid);
        let per = self.per.unwrap_or(Per::Channel);
        let clip = self.clip.as_deref().map_or(Ok(usual.clip), Clip::read)?;
        let rounding =
            Rounding { grid, per, clip, zero_points: self.zero_points, power_of_two: self.power_of_two };
        let bad = |count: i64, bound| Err(QuantError::setting("outliers", count, bound));
        let outliers = match self.outliers.unwrap_or(0) {
            0 => 0,
            count if !(0..=i64::from(outliers::MOST)).contains(&count) => {
                return bad(count, "between 0 and 256");
            }
            count if self.zero_points || matches!(per, Per::Group(_)) => {
                return bad(count, "0 or left out with zero_points and with a number for per");
            }
            count => count as u16,
        };
        Ok(Integers { rounding, activations: self.activations, outliers })
    }
}

impl Integers {
    /// How sites are packed where they may have outliers.
    fn search(&self) -> Option<Search<'_>> {
        let (rounding, activations) = (&self.rounding, self.activations.as_ref());
        (self.outliers > 0).then_some(Search { rounding, most: self.outliers, activations })
    }
}

impl Technique for Integers {
    fn needs(&self) -> Needs {
        Needs::INPUTS.when(self.activations.is_some() || self.outliers > 0)
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        let mut after = sites::plan(before, on, self.rounding.values(), problems);
        if let Some(search) = self.search() {
            after = search.plan(after, on);
        }
        Calibration::plan_if(self.activations.as_ref(), after, on)
    }

    /// As many outliers are planned as there may be, and those that pay are made.
    fn exact(&self) -> bool {
        self.outliers == 0
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        if let Some(search) = self.search() {
            return Ok(search.apply(model, on, cx)?.into());
        }
        let model = sites::pack(model, on, cx, self.rounding.values(), &|layer, keep, index| {
            let shape = (layer.shape.inputs, layer.shape.outputs);
            self.rounding.pack(&layer.weight.values(), shape, keep, index)
        })?;
        Ok(Calibration::apply_if(self.activations.as_ref(), model, on, cx)?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_by_name() {
        let read = |kind: &Kind, text: &str| (kind.parse)(&text.parse().unwrap()).map(|_| ());
        for kind in [INT32, INT16, INT8, INT4, INT3, INT2] {
            assert_eq!(read(&kind, ""), Ok(()));
            assert_eq!(read(&kind, "per = 'tensor'"), Ok(()));
        }
        for (with, says) in [
            ("per = 'line'", "per is \"line\", but it must be"),
            ("per = 8", "per is 8, but it must be"),
            ("per = 129", "per is 129, but it must be"),
            ("per = -1", "per is -1, but it must be"),
            ("clip = 'none'", "clip is \"none\""),
            ("bits = 3", "unknown field `bits`"),
            ("outliers = -1", "outliers is -1, but it must be between 0 and 256"),
            ("outliers = 257", "outliers is 257"),
            ("outliers = 4\nzero_points = true", "outliers is 4, but it must be 0 or left out"),
            ("outliers = 4\nper = 16", "outliers is 4, but it must be 0 or left out"),
        ] {
            let message = read(&INT4, with).unwrap_err();
            assert!(message.contains(says), "{message}");
        }
        assert!(read(&INT16, "outliers = 1").is_err() && read(&INT2, "outliers = 256").is_ok());
        assert!(read(&INT8, "outliers = 0\nzero_points = true").is_ok());
        assert!(read(&INT32, "per = 'row'").is_err() && read(&INT16, "zero_points = true").is_err());
        assert!(read(&INT3, "per = 'row'\nzero_points = true\nclip = 'max'").is_ok());
    }
}
