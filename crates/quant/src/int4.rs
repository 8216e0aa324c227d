//! `quant.int4`: weights as 4-bit integers with scales.
//!
//! An entry becomes an integer in `-7..=7`, two of which share a byte: an eighth of the bytes of floats. With so few
//! steps the range matters, so the one of the least squared error is the default. The runtime multiplies them as it
//! does 8-bit integers, so they are smaller than those, and not faster. A masked site keeps its sparsity.

use nlpress_model::{Model, Outline, SiteId};
use nlpress_packed::{Index, Matrix, Per, Values};
use nlpress_technique::{Cx, Family, Kind, Problem, StepError, Technique, parse};
use serde::Deserialize;

use crate::int8::{Clip, Raw, best_scales};
use crate::{QuantError, grid, sites};

/// Largest magnitude of an integer.
pub const LEVELS: f64 = 7.0;

/// The technique's configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Int4 {
    per: Per,
    clip: Clip,
}

impl TryFrom<Raw> for Int4 {
    type Error = QuantError;

    fn try_from(raw: Raw) -> Result<Self, QuantError> {
        let (per, clip) = raw.read(Clip::Mse)?;
        Ok(Self { per, clip })
    }
}

/// The technique's entry.
pub const KIND: Kind = Kind {
    name: "quant.int4",
    family: Family::Quantize,
    summary: "weights become 4-bit integers with scales",
    source: "Banner et al. 2019, arXiv:1810.05723 (clipping for 4 bits); Jacob et al. 2018, arXiv:1712.05877",
    example: "per = \"channel\"\nclip = \"mse\"",
    on: &["**"],
    settings: &[
        ("per", "\"channel\" (default): one scale for each output; \"tensor\": one for each site"),
        ("clip", "\"mse\" (default): the range of least squared error; \"max\": the range of all entries"),
    ],
    parse: parse::<Int4>,
};

/// `values`, `[inputs, outputs]` row by input, as a packed matrix; with a mask only what is kept is stored.
///
/// # Errors
/// [`QuantError`] when the numbers are not finite or a length does not fit.
pub fn pack(
    values: &[f32],
    (inputs, outputs): (usize, usize),
    keep: Option<&[bool]>,
    index: Index,
    per: Per,
    clip: Clip,
) -> Result<Matrix, QuantError> {
    grid::check(values, outputs)?;
    let scales = best_scales(values, outputs, per, clip, LEVELS);
    let integers: Vec<i8> = grid::integers(values, outputs, &scales, LEVELS).map(|q| q as i8).collect();
    Ok(Matrix::int4(inputs, outputs, &integers, grid::scales(per, scales), keep, index)?)
}

impl Technique for Int4 {
    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        sites::plan(before, on, Values::Int4(self.per), problems)
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        sites::pack(model, on, cx, Values::Int4(self.per), &|layer, keep, index| {
            let shape = (layer.shape.inputs, layer.shape.outputs);
            pack(&layer.weight.values(), shape, keep, index, self.per, self.clip)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_share_a_byte_and_the_best_range_is_better_than_the_whole() {
        let values: Vec<f32> = (0..64 * 8).map(|i| ((i * 37 % 101) as f32 / 50.0 - 1.0).powi(3)).collect();
        let error = |clip| {
            let packed = pack(&values, (64, 8), None, Index::Full, Per::Channel, clip).unwrap();
            assert_eq!(packed.bytes(), 64 * 8 / 2 + 4 * 8);
            grid::Noise::between(&values, &packed.unpack()).mean_squared_error()
        };
        assert!(error(Clip::Mse) < error(Clip::Max));
    }

    #[test]
    fn a_mask_keeps_its_sparsity() {
        let keep = [true, false, true, true];
        let packed =
            pack(&[0.5, 9.0, 0.0, -0.25], (2, 2), Some(&keep), Index::Sparse, Per::Tensor, Clip::Max)
                .unwrap();
        assert_eq!((packed.kept(), packed.keep()), (3, keep.to_vec()));
    }
}
