//! The Gram matrix and the means of a site's inputs: enough to tell the error of its outputs without the rows.
//!
//! Weights that change by `Δ` change the output by `x · Δ`, whose mean square is `Δᵀ · H · Δ` with `H` the mean of `xᵀx`.
//! Where bias correction removes the mean, `H` is the covariance.

mod seen;

pub use seen::Seen;

/// Means over the rows of a site's inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// `[inputs, inputs]`.
    square: Vec<f64>,
    mean: Vec<f64>,
    magnitudes: Vec<f64>,
    centred: bool,
}

impl Moments {
    /// How many inputs.
    pub fn inputs(&self) -> usize {
        self.mean.len()
    }

    /// Mean products of inputs, `[inputs, inputs]`.
    pub fn square(&self) -> &[f64] {
        &self.square
    }

    /// The mean square of an input.
    ///
    /// # Panics
    /// When there is no such input.
    pub fn diagonal(&self, i: usize) -> f64 {
        self.square[i * self.inputs() + i]
    }

    /// The mean of each input.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The mean magnitude of each input.
    pub fn magnitudes(&self) -> &[f64] {
        &self.magnitudes
    }

    /// The mean squared error of each output for the quantization error `off` of its weights, `[inputs, outputs]`.
    ///
    /// # Panics
    /// When `off` is not whole rows for all inputs.
    pub fn errors(&self, off: &[f64], outputs: usize) -> Vec<f64> {
        assert_eq!(off.len(), self.inputs() * outputs);
        self.errors_of(0..self.inputs(), off, outputs)
    }

    /// The same where only the weights of some inputs have an error; `off` has a row for each of them.
    pub(crate) fn errors_of(&self, inputs: std::ops::Range<usize>, off: &[f64], outputs: usize) -> Vec<f64> {
        let n = self.inputs();
        let (mut errors, mut acc) = (vec![0.0; outputs], vec![0.0; outputs]);
        for (i, row) in inputs.clone().zip(off.chunks_exact(outputs)) {
            let square = &self.square[i * n..(i + 1) * n];
            acc.iter_mut().zip(row).for_each(|(a, d)| *a = square[i] * d);
            for (k, other) in (inputs.start..i).zip(off.chunks_exact(outputs)) {
                if square[k] != 0.0 {
                    let twice = 2.0 * square[k];
                    acc.iter_mut().zip(other).for_each(|(a, d)| *a += twice * d);
                }
            }
            errors.iter_mut().zip(row.iter().zip(&acc)).for_each(|(e, (d, a))| *e += d * a);
        }
        errors.into_iter().map(|e| e.max(0.0)).collect()
    }

    /// `H · Δ` for the rows of some inputs.
    pub(crate) fn product(&self, inputs: std::ops::Range<usize>, off: &[f64], outputs: usize) -> Vec<f64> {
        let n = self.inputs();
        let mut all = vec![0.0; inputs.len() * outputs];
        for (i, acc) in inputs.zip(all.chunks_exact_mut(outputs)) {
            for (square, other) in self.square[i * n..(i + 1) * n].iter().zip(off.chunks_exact(outputs)) {
                if *square != 0.0 {
                    acc.iter_mut().zip(other).for_each(|(a, d)| *a += square * d);
                }
            }
        }
        all
    }

    /// The variance of each output of a weight `[inputs, outputs]`.
    ///
    /// # Panics
    /// When the weight is not whole rows for all inputs.
    pub fn variances(&self, weight: &[f32], outputs: usize) -> Vec<f64> {
        let weight: Vec<f64> = weight.iter().map(|w| f64::from(*w)).collect();
        let squares = self.errors(&weight, outputs);
        if self.centred {
            return squares;
        }
        let means = self.shifts(&weight, outputs);
        squares.iter().zip(means).map(|(square, mean)| (square - mean * mean).max(0.0)).collect()
    }

    /// The mean shift of each output for the quantization error `off` of its weights.
    ///
    /// # Panics
    /// When `off` is not whole rows for all inputs.
    pub fn shifts(&self, off: &[f64], outputs: usize) -> Vec<f64> {
        assert_eq!(off.len(), self.inputs() * outputs);
        let mut shifts = vec![0.0; outputs];
        for (mean, row) in self.mean.iter().zip(off.chunks_exact(outputs)) {
            shifts.iter_mut().zip(row).for_each(|(s, d)| *s += mean * d);
        }
        shifts
    }

    /// The moments of inputs that are divided by `factors`, one for each.
    ///
    /// # Panics
    /// When there is not one factor for each input.
    #[must_use]
    pub fn divided(&self, factors: &[f32]) -> Self {
        let n = self.inputs();
        assert_eq!(factors.len(), n);
        let by = |i: usize| f64::from(factors[i]);
        let square = self.square.iter().enumerate().map(|(at, s)| s / (by(at / n) * by(at % n))).collect();
        let each = |of: &[f64]| of.iter().enumerate().map(|(i, x)| x / by(i)).collect();
        Self { square, mean: each(&self.mean), magnitudes: each(&self.magnitudes), centred: self.centred }
    }
}

/// The quantization error: `quantized − original`.
pub(crate) fn off(original: &[f32], quantized: &[f32]) -> Vec<f64> {
    original.iter().zip(quantized).map(|(w, q)| f64::from(*q) - f64::from(*w)).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use nlpress_core::Seed;

    /// Rows of correlated inputs, mostly positive, some of which are zero; the last never occurs.
    pub(crate) fn rows(count: usize, inputs: usize, seed: u64) -> Vec<f32> {
        let mut rng = Seed(seed).stream(0);
        let mix: Vec<f32> = (0..inputs * inputs).map(|_| rng.normal() / (inputs as f32).sqrt()).collect();
        let mut rows = Vec::new();
        for _ in 0..count {
            let draw: Vec<f32> = (0..inputs).map(|_| rng.normal() + 0.3).collect();
            rows.extend((0..inputs).map(|i| {
                let mixed: f32 = draw.iter().zip(&mix[i * inputs..]).map(|(x, m)| x * m).sum();
                let size = 0.1 + (i % 5) as f32;
                if i + 1 == inputs { 0.0 } else { (mixed + 0.5 * draw[i]).max(0.0) * size }
            }));
        }
        rows
    }

    pub(crate) fn weight(inputs: usize, outputs: usize, seed: u64) -> Vec<f32> {
        let mut rng = Seed(seed).stream(1);
        (0..inputs * outputs).map(|_| rng.normal() * 0.2).collect()
    }

    /// The mean squared error (or variance) of each output, from the rows themselves.
    fn by_rows(rows: &[f32], off: &[f64], outputs: usize, centred: bool) -> Vec<f64> {
        let n = off.len() / outputs;
        let all: Vec<Vec<f64>> = rows
            .chunks_exact(n)
            .map(|x| {
                let of = |o| x.iter().enumerate().map(|(i, x)| f64::from(*x) * off[i * outputs + o]).sum();
                (0..outputs).map(of).collect()
            })
            .collect();
        let mean = |f: &dyn Fn(&Vec<f64>) -> f64| all.iter().map(f).sum::<f64>() / all.len() as f64;
        (0..outputs)
            .map(|o| {
                let at = if centred { mean(&|y| y[o]) } else { 0.0 };
                mean(&|y| (y[o] - at).powi(2))
            })
            .collect()
    }

    #[test]
    fn errors_and_variances_are_those_of_the_rows() {
        let (rows, weight) = (rows(50, 6, 1), weight(6, 3, 1));
        let mut seen = Seen::new(6);
        seen.add(&rows[..120]).unwrap();
        let mut rest = Seen::new(6);
        rest.add(&rows[120..]).unwrap();
        seen.merge(&rest).unwrap();
        assert!(seen.rows() == 50 && seen.merge(&Seen::new(5)).is_err());
        assert!(seen.add(&[0.0; 5]).is_err());
        let off: Vec<f64> = weight.iter().map(|w| f64::from(*w)).collect();
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9 * (1.0 + b));
        let (raw, centred) = (seen.moments(false), seen.moments(true));
        assert!(near(&raw.errors(&off, 3), &by_rows(&rows, &off, 3, false)));
        assert!(near(&centred.errors(&off, 3), &by_rows(&rows, &off, 3, true)));
        assert!(near(&raw.variances(&weight, 3), &by_rows(&rows, &off, 3, true)));
        assert!(near(&centred.variances(&weight, 3), &by_rows(&rows, &off, 3, true)));
        let whole = raw.product(0..6, &off, 3);
        let by_product: Vec<f64> =
            (0..3).map(|o| (0..6).map(|i| off[i * 3 + o] * whole[i * 3 + o]).sum()).collect();
        assert!(near(&by_product, &raw.errors(&off, 3)));
        let part = raw.errors_of(2..5, &off[6..15], 3);
        let mut alone = vec![0.0; 18];
        alone[6..15].copy_from_slice(&off[6..15]);
        assert!(near(&part, &raw.errors(&alone, 3)));
    }

    #[test]
    fn divided_inputs_with_multiplied_weights_do_the_same() {
        let mut seen = Seen::new(5);
        seen.add(&rows(40, 5, 2)).unwrap();
        let (moments, factors) = (seen.moments(false), [0.5, 2.0, 1.0, 4.0, 1.0]);
        let off: Vec<f64> = weight(5, 2, 2).iter().map(|w| f64::from(*w)).collect();
        let multiplied: Vec<f64> =
            off.iter().enumerate().map(|(at, d)| d * f64::from(factors[at / 2])).collect();
        let divided = moments.divided(&factors);
        for (a, b) in divided.errors(&multiplied, 2).iter().zip(moments.errors(&off, 2)) {
            assert!((a - b).abs() < 1e-9);
        }
        for (a, b) in divided.shifts(&multiplied, 2).iter().zip(moments.shifts(&off, 2)) {
            assert!((a - b).abs() < 1e-9);
        }
        assert!((divided.magnitudes()[1] - moments.magnitudes()[1] / 2.0).abs() < 1e-12);
    }
}
