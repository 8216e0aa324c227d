//! What two sets of logits over the same rows have in common, on plain slices.

use nlpress_model::Dataset;
use nlpress_train::{Labels, Objective};

/// Cross-entropy of every row of `data` against its label; `logits` are `[rows, outputs]`.
pub fn losses(data: &Dataset, logits: &[f32]) -> Vec<f64> {
    let outputs = logits.len() / data.len();
    let labels = Labels::of(data);
    let mut gradient = vec![0.0; outputs];
    logits
        .chunks_exact(outputs)
        .enumerate()
        .map(|(row, logits)| labels.loss(&[row], 1, logits, &mut gradient))
        .collect()
}

/// Mean of `values` over the rows of each class; 0 for a class without rows.
pub fn class_means(values: &[f64], labels: &[u32], classes: usize) -> Vec<f64> {
    let mut sums = vec![(0.0, 0_usize); classes];
    for (value, label) in values.iter().zip(labels) {
        let (sum, count) = &mut sums[*label as usize];
        *sum += value;
        *count += 1;
    }
    sums.into_iter().map(|(sum, count)| sum / count.max(1) as f64).collect()
}

/// The mean; 0 of nothing.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_text::Rows;

    #[test]
    fn losses_are_those_of_each_row() {
        let data = Dataset::new(Rows::from_dense(2, 1, &[1.0, 1.0]).unwrap(), vec![1, 0], 2).unwrap();
        let losses = losses(&data, &[0.0, 2.0]);
        assert!((losses[0] - 2.0_f64.ln()).abs() < 1e-6);
        assert!((losses[1] - (1.0 + 2.0_f64.exp()).ln()).abs() < 1e-6);
    }

    #[test]
    fn a_class_without_rows_has_mean_zero() {
        assert_eq!(class_means(&[1.0, 3.0, 5.0], &[0, 0, 2], 3), [2.0, 0.0, 5.0]);
    }
}
