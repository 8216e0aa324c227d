//! `quant.binary`: binary weights, each becomes plus or minus a scale.
//!
//! XNOR-Net's binary weights (Rastegari et al. 2016, arXiv:1603.05279): the sign of a weight times the mean magnitude
//! of its output's weights, which is the least squared error (equation 6). The network is trained with its weights
//! rounded (straight-through estimator), after BinaryConnect (Courbariaux et al. 2015, arXiv:1511.00363): a weight of
//! large magnitude gets no gradient that would make it larger still, because that cannot change its sign.

use nlpress_packed::Grid;
use nlpress_technique::{Family, Kind, Settings, parse};

use crate::fake::{Rounded, Rule};
use crate::ladder::{Kept, hold};
use crate::ruled::{Fixed, Raw, Ruled};

/// The technique's entry.
pub const KIND: Kind = Kind {
    name: "quant.binary",
    family: Family::Quantize,
    summary: "binary weights (XNOR-Net's binary-weight networks, BinaryConnect) by quantization-aware training: each weight \
              becomes plus or minus a scale",
    source: "Rastegari et al. 2016, arXiv:1603.05279 (XNOR-Net, binary weights); Courbariaux et al. 2015, \
             arXiv:1511.00363 (BinaryConnect)",
    example: "train = { epochs = 2 }",
    on: &["**"],
    settings: &[Raw::SETTINGS],
    parse: parse::<Ruled<Signs>>,
};

/// The mean magnitude of each output's kept weights; 1 where all are zero.
pub fn scales(entries: Kept<'_>) -> Vec<f32> {
    let counts = entries.counts();
    let sums = entries.sums(|_, w| w.abs());
    let scale = |(sum, n): (&f64, &f64)| if *sum > 0.0 { (sum / n) as f32 } else { 1.0 };
    sums.iter().zip(&counts).map(scale).collect()
}

/// Magnitude, in scales, from which on gradients are clipped. The papers' bound is one; but most trained weights would then
/// hardly move, and accuracy on R8 falls from 95 to 82 points. Bounds of two and four do as well as none.
const CLIP: f32 = 4.0;

/// Rounds to signs.
#[derive(Clone, Copy, Debug, Default)]
struct Signs;

impl Fixed for Signs {
    const GRID: Grid = Grid::Binary;
}

impl Rule for Signs {
    fn round(&self, entries: Kept<'_>, into: &mut Rounded) {
        into.scales = scales(entries);
        into.integers.clear();
        into.integers.extend(entries.values.iter().map(|w| if *w < 0.0 { -1.0 } else { 1.0 }));
    }

    fn pass(&self, entries: Kept<'_>, rounded: &Rounded, gradient: &mut [f32]) {
        hold(entries, &rounded.scales, CLIP, gradient);
    }

    fn copy(&self) -> Box<dyn Rule> {
        Box::new(*self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::Seed;

    #[test]
    fn the_scale_is_that_of_least_squares() {
        let mut rng = Seed(2).stream(0);
        let values: Vec<f32> = (0..300).map(|_| rng.uniform() - 0.4).collect();
        let keep: Vec<bool> = (0..300).map(|i| i % 5 != 2).collect();
        let entries = Kept { values: &values, keep: Some(&keep), outputs: 3, tensor: false };
        let found = scales(entries);
        let error = |output: usize, scale: f64| -> f64 {
            let lives = (output..300).step_by(3).filter(|i| keep[*i]);
            lives.map(|i| (f64::from(values[i].abs()) - scale).powi(2)).sum()
        };
        for (output, scale) in found.iter().map(|s| f64::from(*s)).enumerate() {
            let least = error(output, scale);
            for other in 1..=1000 {
                assert!(least <= error(output, f64::from(other) * 1e-3) + 1e-6, "{output}: {scale} {other}");
            }
        }
        let tensor = scales(Kept { tensor: true, ..entries });
        assert!(tensor[0] == tensor[1] && tensor[1] == tensor[2]);
        assert_eq!(scales(Kept { values: &[0.0; 3], keep: None, outputs: 3, tensor: false }), [1.0; 3]);
    }
}
