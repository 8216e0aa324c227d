//! Normalisation of rows.

use pulp::Arch;

use super::numbers::{sum, sum_of};

/// What the derivative of a layer normalisation needs.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNorm {
    /// The rows before gain and bias, `[rows, width]`.
    normed: Vec<f32>,
    /// What each row was multiplied with.
    factors: Vec<f32>,
}

impl LayerNorm {
    /// Every row of `x` `[rows, width]` to mean 0 and variance 1, times a gain, plus a bias, both `[width]`
    /// (Ba et al. 2016, arXiv:1607.06450). `epsilon` is added to the variance.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn forward(x: &[f32], (gain, bias): (&[f32], &[f32]), epsilon: f32) -> (Vec<f32>, Self) {
        assert_eq!(gain.len(), bias.len());
        let (normed, factors) = normalize(x, gain.len(), epsilon);
        let mut y = vec![0.0; x.len()];
        Arch::new().dispatch(|| {
            for (y, n) in y.chunks_exact_mut(gain.len()).zip(normed.chunks_exact(gain.len())) {
                for (((y, n), g), b) in y.iter_mut().zip(n).zip(gain).zip(bias) {
                    *y = n * g + b;
                }
            }
        });
        (y, Self { normed, factors })
    }

    /// Turns the derivative by what [`forward`](LayerNorm::forward) made into the one by its input, in place; adds those by
    /// gain and bias to `into`.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn backward(&self, gain: &[f32], upstream: &mut [f32], (by_gain, by_bias): (&mut [f32], &mut [f32])) {
        let width = gain.len();
        assert!(upstream.len() == self.normed.len() && by_gain.len() == width && by_bias.len() == width);
        Arch::new().dispatch(|| {
            let rows = upstream.chunks_exact_mut(width).zip(self.normed.chunks_exact(width));
            for ((u, n), factor) in rows.zip(&self.factors) {
                by_bias.iter_mut().zip(&*u).for_each(|(sum, u)| *sum += u);
                by_gain.iter_mut().zip(&*u).zip(n).for_each(|((sum, u), n)| *sum += u * n);
                u.iter_mut().zip(gain).for_each(|(u, g)| *u *= g);
                row_backward(n, *factor, u);
            }
        });
    }
}

/// Every row of `x` `[rows, width]` to mean 0 and variance 1, and what each was multiplied with. `epsilon` is added to the
/// variance.
///
/// # Panics
/// When the width is 0.
pub fn normalize(x: &[f32], width: usize, epsilon: f32) -> (Vec<f32>, Vec<f32>) {
    let mut normed = vec![0.0; x.len()];
    let mut factors = Vec::with_capacity(x.len() / width);
    Arch::new().dispatch(|| {
        for (y, x) in normed.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            let mean = sum(x) / width as f32;
            y.iter_mut().zip(x).for_each(|(y, x)| *y = x - mean);
            let variance = sum_of(y, y, |a, b| a * b) / width as f32;
            let factor = 1.0 / (variance + epsilon).sqrt();
            y.iter_mut().for_each(|y| *y *= factor);
            factors.push(factor);
        }
    });
    (normed, factors)
}

/// Turns the derivative by what [`normalize`] made into the one by its input, in place.
///
/// # Panics
/// When the lengths do not fit.
pub fn normalize_backward(normed: &[f32], factors: &[f32], upstream: &mut [f32]) {
    assert_eq!(normed.len(), upstream.len());
    let width = normed.len() / factors.len().max(1);
    Arch::new().dispatch(|| {
        let rows = upstream.chunks_exact_mut(width.max(1)).zip(normed.chunks_exact(width.max(1)));
        for ((u, n), factor) in rows.zip(factors) {
            row_backward(n, *factor, u);
        }
    });
}

#[inline(always)]
fn row_backward(normed: &[f32], factor: f32, upstream: &mut [f32]) {
    let width = upstream.len() as f32;
    let mean = sum(upstream) / width;
    let along = sum_of(upstream, normed, |a, b| a * b) / width;
    for (u, n) in upstream.iter_mut().zip(normed) {
        *u = factor * (*u - mean - n * along);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: [f32; 8] = [0.5, -1.25, 2.0, 0.25, 1.0, 1.0, -3.0, 4.0];
    const GAIN: [f32; 4] = [1.0, 0.5, -2.0, 1.5];
    const BIAS: [f32; 4] = [0.1, 0.2, -0.3, 0.4];
    const TOWARDS: [f32; 8] = [1.0, -2.0, 0.5, 3.0, -1.0, 0.25, 2.0, 1.0];

    fn loss(x: &[f32], gain: &[f32], bias: &[f32]) -> f64 {
        let (y, _) = LayerNorm::forward(x, (gain, bias), 1e-5);
        y.iter().zip(TOWARDS).map(|(y, t)| f64::from(y * t)).sum()
    }

    fn difference(at: &[f32], found: &[f32], loss: impl Fn(&[f32]) -> f64) {
        for i in 0..at.len() {
            let moved = |d: f32| {
                let mut moved = at.to_vec();
                moved[i] += d;
                loss(&moved)
            };
            let numeric = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            assert!((numeric - f64::from(found[i])).abs() < 2e-3, "{i}: {numeric} {}", found[i]);
        }
    }

    #[test]
    fn derivatives_agree_with_finite_differences() {
        let (_, norm) = LayerNorm::forward(&X, (&GAIN, &BIAS), 1e-5);
        let (mut upstream, mut by_gain, mut by_bias) = (TOWARDS, [0.0; 4], [0.0; 4]);
        norm.backward(&GAIN, &mut upstream, (&mut by_gain, &mut by_bias));
        difference(&X, &upstream, |x| loss(x, &GAIN, &BIAS));
        difference(&GAIN, &by_gain, |gain| loss(&X, gain, &BIAS));
        difference(&BIAS, &by_bias, |bias| loss(&X, &GAIN, bias));
        let (normed, factors) = normalize(&X, 4, 1e-5);
        let mut upstream = TOWARDS;
        normalize_backward(&normed, &factors, &mut upstream);
        difference(&X, &upstream, |x| loss(x, &[1.0; 4], &[0.0; 4]));
    }

    #[test]
    fn rows_have_mean_zero_and_variance_one() {
        let (normed, _) = normalize(&X, 4, 1e-9);
        for row in normed.chunks_exact(4) {
            assert!(row.iter().sum::<f32>().abs() < 1e-5);
            assert!((row.iter().map(|x| x * x).sum::<f32>() / 4.0 - 1.0).abs() < 1e-5);
        }
        assert_eq!(normalize(&[3.0; 4], 4, 1e-5).0, [0.0; 4]);
    }
}
