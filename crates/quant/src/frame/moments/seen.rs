//! Sums over rows of inputs, from which their means follow.

use nlpress_technique::solve::{Gram, SolveError};

use super::Moments;

/// Sums over rows of inputs that are still to come.
#[derive(Clone, Debug)]
pub struct Seen {
    gram: Gram,
    magnitudes: Vec<f64>,
}

impl Seen {
    /// No rows yet.
    pub fn new(inputs: usize) -> Self {
        Self { gram: Gram::new(inputs), magnitudes: vec![0.0; inputs] }
    }

    /// Takes rows `[rows, inputs]`.
    ///
    /// # Errors
    /// [`SolveError`] when they do not fit.
    pub fn add(&mut self, rows: &[f32]) -> Result<(), SolveError> {
        self.gram.add(rows)?;
        for row in rows.chunks_exact(self.magnitudes.len().max(1)) {
            self.magnitudes.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(x.abs()));
        }
        Ok(())
    }

    /// Takes the rows of another.
    ///
    /// # Errors
    /// [`SolveError`] when it is of other inputs.
    pub fn merge(&mut self, other: &Self) -> Result<(), SolveError> {
        self.gram.merge(&other.gram)?;
        self.magnitudes.iter_mut().zip(&other.magnitudes).for_each(|(a, b)| *a += b);
        Ok(())
    }

    /// Rows taken so far.
    pub fn rows(&self) -> usize {
        self.gram.rows()
    }

    /// The means; `centred` (the covariance) where bias correction will remove the mean error.
    pub fn moments(&self, centred: bool) -> Moments {
        let (n, rows) = (self.gram.width(), self.gram.rows().max(1) as f64);
        let mean: Vec<f64> = self.gram.sums().iter().map(|x| x / rows).collect();
        let mut square = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                let mut s = self.gram.square()[i * n + j] / rows;
                if centred {
                    s -= mean[i] * mean[j];
                    // An input that never varies is not to vary by the last bit.
                    if i == j && s <= 1e-12 * mean[i] * mean[i] {
                        s = 0.0;
                    }
                }
                square[i * n + j] = s;
                square[j * n + i] = s;
            }
        }
        let still: Vec<usize> = (0..n).filter(|i| square[i * n + i] == 0.0).collect();
        for i in still {
            (0..n).for_each(|j| (square[i * n + j], square[j * n + i]) = (0.0, 0.0));
        }
        let magnitudes = self.magnitudes.iter().map(|x| x / rows).collect();
        Moments { square, mean, magnitudes, centred }
    }
}
