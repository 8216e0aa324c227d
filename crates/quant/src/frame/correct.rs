//! Bias correction and norm correction of a quantized site: the mean error of each output goes into its bias, and the
//! Euclidean norm of each output's weights is restored by its scale.
//!
//! The mean is Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction",
//! arXiv:1906.04721 (section 4.2), with the mean inputs measured on rows. The length follows Finkelstein et al. 2019,
//! "Fighting Quantization Bias With Bias", arXiv:1906.03193, and Banner et al. 2019, arXiv:1810.05723 (section 4), who
//! restore a channel's statistics.

use serde::Deserialize;

use crate::QuantError;

/// What is corrected once the integers are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Correct {
    /// Nothing.
    #[default]
    None,
    /// The bias of each output, by its mean error.
    Bias,
    /// The scale of each output, so that its weights have the norm that they had.
    Norm,
    /// Both, the scales first.
    Both,
}

impl Correct {
    /// Whether biases are corrected.
    pub fn bias(self) -> bool {
        matches!(self, Self::Bias | Self::Both)
    }

    /// Whether scales are corrected.
    pub fn norm(self) -> bool {
        matches!(self, Self::Norm | Self::Both)
    }
}

/// What to add to the bias of each output so that its mean is what it was: minus the mean of `x · (quantized - original)`,
/// from the mean of each input. Weights are `[inputs, outputs]`.
///
/// # Errors
/// [`QuantError::Length`] when they do not fit.
pub fn bias(
    original: &[f32],
    quantized: &[f32],
    mean: &[f64],
    outputs: usize,
) -> Result<Vec<f32>, QuantError> {
    same_length("the original weight", original.len(), mean.len() * outputs)?;
    same_length("the quantized weight", quantized.len(), mean.len() * outputs)?;
    let mut more = vec![0.0; outputs];
    let rows = original.chunks_exact(outputs.max(1)).zip(quantized.chunks_exact(outputs.max(1)));
    for ((w, q), mean) in rows.zip(mean) {
        for ((more, w), q) in more.iter_mut().zip(w).zip(q) {
            *more -= mean * (f64::from(*q) - f64::from(*w));
        }
    }
    Ok(more.into_iter().map(|m| m as f32).collect())
}

/// The factor for the scale of each output that restores the Euclidean norm of its weights; 1 where the weights before or
/// after are all zero. Weights are `[inputs, outputs]`.
///
/// # Errors
/// [`QuantError::Length`] or [`QuantError::Rows`] when they do not fit.
pub fn norm(original: &[f32], quantized: &[f32], outputs: usize) -> Result<Vec<f32>, QuantError> {
    same_length("the quantized weight", quantized.len(), original.len())?;
    if outputs == 0 || !original.len().is_multiple_of(outputs) {
        return Err(QuantError::Rows { found: original.len(), outputs });
    }
    let squares = |of: &[f32]| {
        let mut sums = vec![0.0_f64; outputs];
        of.iter().enumerate().for_each(|(at, x)| sums[at % outputs] += f64::from(*x).powi(2));
        sums
    };
    let factor = |(was, is): (f64, f64)| {
        let factor = (was / is).sqrt() as f32;
        if factor.is_finite() && factor > 0.0 { factor } else { 1.0 }
    };
    Ok(squares(original).into_iter().zip(squares(quantized)).map(factor).collect())
}

fn same_length(what: &'static str, found: usize, expected: usize) -> Result<(), QuantError> {
    if found == expected { Ok(()) } else { Err(QuantError::Length { what, found, expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_output_comes_back() {
        let (w, q) = ([1.0, 2.0, 3.0, 4.0], [0.5, 2.5, 3.0, 3.0]);
        let mean = [2.0, 10.0];
        let more = bias(&w, &q, &mean, 2).unwrap();
        assert_eq!(more, [1.0, 9.0]);
        assert!(bias(&w, &q[..3], &mean, 2).is_err());
        assert!(bias(&w[..3], &q, &mean, 2).is_err());
    }

    #[test]
    fn lengths_come_back_and_nothing_is_divided_by_zero() {
        let (w, q) = ([3.0, 1.0, 0.0, 4.0, 1.0, 0.0], [1.5, 0.0, 5.0, 2.0, 0.0, 0.0]);
        assert_eq!(norm(&w, &q, 3).unwrap(), [2.0, 1.0, 1.0]);
        assert!(norm(&w, &q, 4).is_err());
        assert!(norm(&w, &q[..3], 3).is_err());
    }
}
