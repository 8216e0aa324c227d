//! How near predicted numbers are to true ones.

use serde::Serialize;

use crate::embeddings::spearman;
use crate::error::EvalError;

/// The usual measures of regression.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Regression {
    /// Numbers compared.
    pub documents: usize,
    /// Mean squared error.
    pub mse: f64,
    /// Mean absolute error.
    pub mae: f64,
    /// Pearson's correlation; none where the numbers on one side are all the same.
    pub pearson: Option<f64>,
    /// Spearman's correlation of ranks; none where the numbers on one side are all the same.
    pub spearman: Option<f64>,
}

impl Regression {
    /// Of predictions against the truth.
    ///
    /// # Errors
    /// [`EvalError`] for no numbers, different counts, or a number that is not finite.
    pub fn of(predictions: &[f32], truth: &[f32]) -> Result<Self, EvalError> {
        if predictions.is_empty() {
            return Err(EvalError::Empty("numbers"));
        }
        if predictions.len() != truth.len() {
            let (found, expected) = (predictions.len(), truth.len());
            return Err(EvalError::Length { what: "numbers", found, expected });
        }
        for numbers in [predictions, truth] {
            if let Some(row) = numbers.iter().position(|number| !number.is_finite()) {
                return Err(EvalError::NotFinite { row, value: numbers[row].into() });
            }
        }
        let [found, wanted] = [predictions, truth]
            .map(|numbers| -> Vec<f64> { numbers.iter().map(|number| f64::from(*number)).collect() });
        let documents = found.len();
        let mean = |of: &dyn Fn(f64, f64) -> f64| {
            found.iter().zip(&wanted).map(|(a, b)| of(*a, *b)).sum::<f64>() / documents as f64
        };
        let (of_found, of_wanted) = (mean(&|a, _| a), mean(&|_, b| b));
        let together = mean(&|a, b| (a - of_found) * (b - of_wanted));
        let size = (mean(&|a, _| (a - of_found).powi(2)) * mean(&|_, b| (b - of_wanted).powi(2))).sqrt();
        Ok(Self {
            documents,
            mse: mean(&|a, b| (a - b).powi(2)),
            mae: mean(&|a, b| (a - b).abs()),
            pearson: (size > 0.0).then(|| together / size),
            spearman: spearman(&found, &wanted),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_are_worked_out_by_hand() {
        let found = Regression::of(&[1.0, 2.0, 4.0], &[1.0, 4.0, 3.0]).unwrap();
        assert_eq!((found.documents, found.mse, found.mae), (3, 5.0 / 3.0, 1.0));
        // Deviations −4/3, −1/3, 5/3 and −5/3, 4/3, 1/3: 7/3 over √(14/3 · 14/3).
        assert!((found.pearson.unwrap() - 0.5).abs() < 1e-12, "{found:?}");
        assert!((found.spearman.unwrap() - 0.5).abs() < 1e-12, "{found:?}");
        let same = Regression::of(&[2.0, 2.0], &[1.0, 3.0]).unwrap();
        assert_eq!((same.mse, same.pearson, same.spearman), (1.0, None, None));
        assert!(Regression::of(&[], &[]).is_err() && Regression::of(&[1.0], &[1.0, 2.0]).is_err());
    }
}
