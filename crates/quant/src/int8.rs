//! `quant.int8`: weights as 8-bit integers with scales.
//!
//! The article's "binaryization" (section 3.3.2) turns parameters into 8-bit binary numbers. An entry becomes an
//! integer in `-127..=127` and stands for that integer times a scale, one for each output or one for the whole
//! site; a weight then takes a quarter of its bytes, and the runtime multiplies integers. A masked site keeps its
//! sparsity: only the kept entries are stored.
//!
//! Scale and zero follow Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
//! Integer-Arithmetic-Only Inference", in its symmetric form. `clip = "mse"` searches the clipping range with the
//! smallest squared error, as in Banner et al. 2019, "Post training 4-bit quantization of convolutional networks
//! for rapid-deployment", but over the entries themselves instead of a fitted distribution.

use nlpress_model::{Model, Outline, SiteId};
use nlpress_packed::{Index, Matrix, Per, Scales, Values};
use nlpress_technique::{Cx, Family, Kind, Problem, StepError, Technique, parse};
use serde::Deserialize;

use crate::{QuantError, grid, sites};

/// Largest magnitude of an integer.
pub const LEVELS: f64 = 127.0;

/// Clipping ranges that [`Clip::Mse`] tries, in hundredths of the largest magnitude.
const TRIED: std::ops::RangeInclusive<u32> = 20..=100;

/// Which range the integers are spread over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clip {
    /// Up to the largest magnitude: nothing is clipped.
    #[default]
    Max,
    /// The range, from a fifth of the largest magnitude to all of it in steps of a hundredth, whose squared
    /// error is smallest; among equals the widest.
    Mse,
}

/// The technique's configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Int8 {
    per: Per,
    clip: Clip,
}

/// The settings of integers on a symmetric grid, as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Raw {
    per: Option<String>,
    clip: Option<String>,
}

impl Raw {
    /// Checks them; `clip` is what holds where none is given.
    pub(crate) fn read(&self, clip: Clip) -> Result<(Per, Clip), QuantError> {
        let per = self.per.as_deref().map_or(Ok(Per::Channel), read_per)?;
        let clips = [("max", Clip::Max), ("mse", Clip::Mse)];
        let clip = match &self.clip {
            Some(word) => sites::choose("clip", word, "\"max\" or \"mse\"", &clips)?,
            None => clip,
        };
        Ok((per, clip))
    }
}

impl TryFrom<Raw> for Int8 {
    type Error = QuantError;

    fn try_from(raw: Raw) -> Result<Self, QuantError> {
        let (per, clip) = raw.read(Clip::Max)?;
        Ok(Self { per, clip })
    }
}

pub(crate) fn read_per(word: &str) -> Result<Per, QuantError> {
    let words = [("channel", Per::Channel), ("tensor", Per::Tensor)];
    sites::choose("per", word, "\"channel\" or \"tensor\"", &words)
}

/// The technique's entry.
pub const KIND: Kind = Kind {
    name: "quant.int8",
    family: Family::Quantize,
    summary: "weights become 8-bit integers with scales",
    source: "Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient \
             Integer-Arithmetic-Only Inference (symmetric form)",
    example: "per = \"channel\"\nclip = \"max\"",
    on: &["**"],
    settings: &[
        ("per", "\"channel\" (default): one scale for each output; \"tensor\": one for each site"),
        ("clip", "\"max\" (default): the range of all entries; \"mse\": the range of least squared error"),
    ],
    parse: parse::<Int8>,
};

/// The 8-bit integers and scales that stand for `values`, `[inputs, outputs]` row by input.
///
/// # Errors
/// [`QuantError`] when the numbers are not finite or not whole rows.
pub fn quantize(
    values: &[f32],
    outputs: usize,
    per: Per,
    clip: Clip,
) -> Result<(Vec<i8>, Scales), QuantError> {
    grid::check(values, outputs)?;
    let scales = best_scales(values, outputs, per, clip, LEVELS);
    let integers = grid::integers(values, outputs, &scales, LEVELS).map(|q| q as i8).collect();
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
    clip: Clip,
) -> Result<Matrix, QuantError> {
    let (integers, scales) = quantize(values, outputs, per, clip)?;
    Ok(Matrix::int8(inputs, outputs, &integers, scales, keep, index)?)
}

/// The scales of the range that `clip` names, for integers within `±levels`.
pub(crate) fn best_scales(values: &[f32], outputs: usize, per: Per, clip: Clip, levels: f64) -> Vec<f32> {
    let ranges = grid::ranges(values, outputs, per);
    let at = |share: f64| -> Vec<f32> {
        ranges.iter().map(|r| grid::scale((f64::from(*r) * share) as f32, levels)).collect()
    };
    let mut best = at(1.0);
    if clip == Clip::Max {
        return best;
    }
    let mut least = grid::squared_errors(values, outputs, &best, levels);
    for share in TRIED.rev().skip(1) {
        let scales = at(f64::from(share) / 100.0);
        let errors = grid::squared_errors(values, outputs, &scales, levels);
        for (i, error) in errors.into_iter().enumerate() {
            if error < least[i] {
                (least[i], best[i]) = (error, scales[i]);
            }
        }
    }
    best
}

impl Technique for Int8 {
    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        sites::plan(before, on, Values::Int8(self.per), problems)
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        sites::pack(model, on, cx, Values::Int8(self.per), &|layer, keep, index| {
            let shape = (layer.shape.inputs, layer.shape.outputs);
            pack(&layer.weight.values(), shape, keep, index, self.per, self.clip)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::Noise;
    use proptest::prelude::*;

    fn restored(values: &[f32], outputs: usize, per: Per, clip: Clip) -> Vec<f32> {
        let shape = (values.len() / outputs, outputs);
        pack(values, shape, None, Index::Full, per, clip).unwrap().unpack()
    }

    #[test]
    fn integers_and_scales_are_as_worked_out_by_hand() {
        let values = [127.0, 0.0, -63.5, 0.0, 1.0, 0.0];
        let (q, scales) = quantize(&values, 2, Per::Channel, Clip::Max).unwrap();
        assert_eq!(q, [127, 0, -64, 0, 1, 0]);
        assert_eq!(scales, Scales::Channel(vec![1.0, 1.0]));
        let (q, scales) = quantize(&[2.54, -1.27], 2, Per::Tensor, Clip::Max).unwrap();
        assert_eq!(q[0], 127);
        assert_eq!(scales, Scales::Tensor((2.54_f64 as f32 as f64 / 127.0) as f32));
    }

    #[test]
    fn clipping_an_outlier_lowers_the_error() {
        // The grid of one outlier is too coarse for many small entries: clipping it costs less than it gains.
        let mut rng = nlpress_core::Seed(1).stream(0);
        let mut values: Vec<f32> = (0..40_000).map(|_| (rng.uniform() - 0.5) * 0.1).collect();
        values.push(1.0);
        let error =
            |clip| Noise::between(&values, &restored(&values, 1, Per::Tensor, clip)).mean_squared_error();
        assert!(error(Clip::Mse) < 0.95 * error(Clip::Max), "{} {}", error(Clip::Mse), error(Clip::Max));
    }

    #[test]
    fn a_scale_for_each_output_is_better_than_one_for_all() {
        let values: Vec<f32> = (0..600).map(|i| (i as f32).sin() * 10_f32.powi(i % 3)).collect();
        let noise = |per| Noise::between(&values, &restored(&values, 3, per, Clip::Max)).mean_squared_error();
        assert!(noise(Per::Channel) < noise(Per::Tensor));
    }

    #[test]
    fn a_mask_keeps_its_sparsity() {
        let values = [0.5, 0.0, 0.0, -0.25];
        let keep = [true, false, true, true];
        let packed = pack(&values, (2, 2), Some(&keep), Index::Sparse, Per::Channel, Clip::Max).unwrap();
        assert_eq!((packed.kept(), packed.keep()), (3, keep.to_vec()));
        assert!((packed.unpack()[0] - 0.5).abs() < 1e-6);
    }

    #[test]
    fn settings_are_checked_by_name() {
        let read = |text: &str| (KIND.parse)(&text.parse().unwrap()).map(|_| ());
        assert_eq!(read(""), Ok(()));
        assert_eq!(
            read("per = 'row'").unwrap_err(),
            "per is \"row\", but it must be \"channel\" or \"tensor\""
        );
        assert!(read("clip = 'none'").unwrap_err().contains("clip is \"none\""));
    }

    proptest! {
        #[test]
        fn nothing_is_further_off_than_half_a_step(
            values in prop::collection::vec(-1e3_f32..1e3, 12),
            per in prop::sample::select(vec![Per::Tensor, Per::Channel]),
        ) {
            let (q, scales) = quantize(&values, 3, per, Clip::Max).unwrap();
            for (i, (v, q)) in values.iter().zip(&q).enumerate() {
                let scale = scales.of(i % 3);
                prop_assert!((v - f32::from(*q) * scale).abs() <= scale * 0.5001);
            }
        }
    }
}
