//! `quant.int32`: weights as 32-bit integers with scales.
//!
//! The article's "integerization" (section 3.3.1) turns parameters into integers. An entry becomes an integer in
//! `±(2^31 - 1)` times a scale; the runtime multiplies them with 16-bit activations into 64-bit sums. Such
//! integers are finer than the 24 bits that a float carries, so next to nothing is lost, and, as they take as
//! many bytes as floats, next to nothing is won in size: the report says so. Its use is arithmetic without
//! floating point, and the comparison with `quant.int8`.

use nlpress_model::{Model, Outline, SiteId};
use nlpress_packed::{Index, Matrix, Per, Scales, Values};
use nlpress_technique::{Cx, Family, Kind, Problem, StepError, Technique, parse};
use serde::Deserialize;

use crate::{QuantError, grid, int8, sites};

/// Largest magnitude of an integer.
pub const LEVELS: f64 = i32::MAX as f64;

/// The technique's configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Int32 {
    per: Per,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Raw {
    per: String,
}

impl Default for Raw {
    fn default() -> Self {
        Self { per: "channel".into() }
    }
}

impl TryFrom<Raw> for Int32 {
    type Error = QuantError;

    fn try_from(raw: Raw) -> Result<Self, QuantError> {
        Ok(Self { per: int8::read_per(&raw.per)? })
    }
}

/// The technique's entry.
pub const KIND: Kind = Kind {
    name: "quant.int32",
    family: Family::Quantize,
    summary: "weights become 32-bit integers with scales; their bytes do not shrink",
    source: "Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient \
             Integer-Arithmetic-Only Inference (symmetric form, with 32 bits)",
    example: "per = \"channel\"",
    on: &["**"],
    settings: &[("per", "\"channel\" (default): one scale for each output; \"tensor\": one for each site")],
    parse: parse::<Int32>,
};

/// The 32-bit integers and scales that stand for `values`, `[inputs, outputs]` row by input.
///
/// # Errors
/// [`QuantError`] when the numbers are not finite or not whole rows.
pub fn quantize(values: &[f32], outputs: usize, per: Per) -> Result<(Vec<i32>, Scales), QuantError> {
    grid::check(values, outputs)?;
    let ranges = grid::ranges(values, outputs, per);
    let scales: Vec<f32> = ranges.into_iter().map(|r| grid::scale(r, LEVELS)).collect();
    let integers = grid::integers(values, outputs, &scales, LEVELS).map(|q| q as i32).collect();
    Ok((integers, grid::scales(per, scales)))
}

/// `values` as a packed matrix; with a mask only what is kept counts and is stored.
///
/// # Errors
/// [`QuantError`], also when a length does not fit.
pub fn pack(
    values: &[f32],
    (inputs, outputs): (usize, usize),
    keep: Option<&[bool]>,
    index: Index,
    per: Per,
) -> Result<Matrix, QuantError> {
    let (integers, scales) = quantize(values, outputs, per)?;
    Ok(Matrix::int32(inputs, outputs, &integers, scales, keep, index)?)
}

impl Technique for Int32 {
    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        sites::plan(before, on, Values::Int32(self.per), problems)
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        let model = sites::pack(model, on, cx, Values::Int32(self.per), &|layer, keep, index| {
            let shape = (layer.shape.inputs, layer.shape.outputs);
            pack(&layer.weight.values(), shape, keep, index, self.per)
        })?;
        cx.note("32-bit integers take as many bytes as 32-bit floats, and their scales come on top: nothing shrinks");
        Ok(model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::Noise;

    #[test]
    fn the_largest_magnitude_takes_the_largest_integer() {
        let (q, scales) = quantize(&[1.0, -2.0, 0.0, 0.0], 1, Per::Tensor).unwrap();
        assert!((q[1] + i32::MAX).abs() < 256, "{q:?}"); // the scale itself is a 24-bit float
        assert_eq!(q[2], 0);
        assert!((f64::from(scales.of(0)) * LEVELS - 2.0).abs() < 1e-6);
    }

    #[test]
    fn next_to_nothing_is_lost_and_nothing_shrinks() {
        let values: Vec<f32> = (0..640).map(|i| (i as f32 * 0.71).sin()).collect();
        let packed = pack(&values, (40, 16), None, Index::Full, Per::Channel).unwrap();
        assert!(Noise::between(&values, &packed.unpack()).decibels() > 130.0);
        assert_eq!(packed.bytes(), 4 * 640 + 4 * 16);
    }

    #[test]
    fn zero_and_tiny_channels_have_positive_scales() {
        let values = [0.0, 1e-44, 0.0, -1e-44];
        let (q, scales) = quantize(&values, 2, Per::Channel).unwrap();
        assert!(scales.all().iter().all(|s| *s > 0.0));
        assert_eq!(q, [0; 4]);
    }
}
