//! Knowledge-distillation losses on another network's logits, as plain functions that return their own derivative.
//!
//! - [`Distance::Kl`]: `T² · KL(teacher_T ‖ student_T)`, both outputs softened by the temperature `T`; the
//!   factor keeps the size of its derivative when `T` changes (Hinton et al. 2015, "Distilling the Knowledge in a
//!   Neural Network", section 2). For one output, both classes of the softened sigmoid.
//! - [`Distance::Mse`]: the mean squared difference of logits (Ba and Caruana 2014, "Do Deep Nets Really Need to
//!   be Deep?").
//!
//! Both are zero exactly where the student agrees with the teacher. Everything is computed from logits in double
//! precision, so neither value nor derivative is ever infinite or undefined.

use crate::BadConfig;
use crate::objective::{Labels, Objective};

/// How far a student's outputs are from the teacher's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distance {
    /// Kullback-Leibler divergence of softened outputs, times the temperature squared.
    Kl {
        /// What logits are divided by.
        temperature: f64,
    },
    /// Mean squared difference of logits.
    Mse,
}

impl Distance {
    /// The divergence at a temperature.
    ///
    /// # Errors
    /// [`BadConfig`] when it is not between 0.1 and 100.
    pub fn kl(temperature: f64) -> Result<Self, BadConfig> {
        if (0.1..=100.0).contains(&temperature) {
            return Ok(Self::Kl { temperature });
        }
        let (field, bound) = ("temperature", "between 0.1 and 100");
        Err(BadConfig { field, value: temperature.to_string(), bound })
    }

    /// The distance of one row of logits; its derivative by the student's goes into `gradient`.
    ///
    /// All three slices are as long as the network has outputs; one output is a binary classifier.
    pub fn of(self, teacher: &[f32], student: &[f32], gradient: &mut [f32]) -> f64 {
        match self {
            Distance::Kl { temperature } => divergence(temperature, teacher, student, gradient),
            Distance::Mse => {
                let n = student.len().max(1) as f64;
                let mut sum = 0.0;
                for ((t, s), g) in teacher.iter().zip(student).zip(gradient) {
                    let difference = f64::from(*s) - f64::from(*t);
                    sum += difference * difference;
                    *g = (2.0 * difference / n) as f32;
                }
                sum / n
            }
        }
    }
}

fn divergence(temperature: f64, teacher: &[f32], student: &[f32], gradient: &mut [f32]) -> f64 {
    let (t, s) = (log_probabilities(temperature, teacher), log_probabilities(temperature, student));
    let sum: f64 = t.iter().zip(&s).map(|(t, s)| t.exp() * (t - s)).sum();
    // With one output, the derivative is that of the second class, whose logit it is.
    let skip = t.len() - teacher.len();
    for ((t, s), g) in t.iter().zip(&s).skip(skip).zip(gradient) {
        *g = (temperature * (s.exp() - t.exp())) as f32;
    }
    (temperature * temperature * sum).max(0.0)
}

/// Logarithms of the softened probabilities of all classes; one logit stands for two classes, `[0, x]`.
fn log_probabilities(temperature: f64, logits: &[f32]) -> Vec<f64> {
    let soft = |x: &f32| f64::from(*x) / temperature;
    let scaled: Vec<f64> = match logits {
        [one] => vec![0.0, soft(one)],
        many => many.iter().map(soft).collect(),
    };
    let top = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total = scaled.iter().map(|x| (x - top).exp()).sum::<f64>().ln();
    scaled.into_iter().map(|x| x - top - total).collect()
}

/// `weight(row) · α · distance to the teacher + (1 − α) · cross-entropy of the label`, averaged over a batch.
#[derive(Clone, Debug)]
pub struct Imitation<'a> {
    teacher: &'a [f32],
    distance: Distance,
    labels: Option<(Labels<'a>, f64)>,
    weights: Option<&'a [f64]>,
}

impl<'a> Imitation<'a> {
    /// Distillation without labels. `teacher` are the teacher's logits `[rows, outputs]` over the whole training set.
    pub fn of(teacher: &'a [f32], distance: Distance) -> Self {
        Self { teacher, distance, labels: None, weights: None }
    }

    /// Learns from labels too; `alpha`, in `[0, 1]`, is the share of the teacher.
    #[must_use]
    pub fn with_labels(mut self, labels: Labels<'a>, alpha: f64) -> Self {
        self.labels = Some((labels, alpha));
        self
    }

    /// Weighs the distance of every row of the training set.
    #[must_use]
    pub fn with_weights(mut self, weights: &'a [f64]) -> Self {
        self.weights = Some(weights);
        self
    }
}

impl Objective for Imitation<'_> {
    fn loss(&self, rows: &[usize], batch: usize, logits: &[f32], gradient: &mut [f32]) -> f64 {
        if rows.is_empty() {
            return 0.0;
        }
        let outputs = logits.len() / rows.len();
        let alpha = match self.labels {
            Some((_, alpha)) => alpha,
            None => 1.0,
        };
        let mut total = 0.0;
        match &self.labels {
            Some((labels, _)) => {
                total += (1.0 - alpha) * labels.loss(rows, batch, logits, gradient);
                gradient.iter_mut().for_each(|g| *g *= (1.0 - alpha) as f32);
            }
            None => gradient.fill(0.0),
        }
        let mut derivative = vec![0.0; outputs];
        for ((&row, student), gradient) in
            rows.iter().zip(logits.chunks_exact(outputs)).zip(gradient.chunks_exact_mut(outputs))
        {
            let teacher = &self.teacher[row * outputs..(row + 1) * outputs];
            let factor = alpha * self.weights.map_or(1.0, |w| w[row]) / batch as f64;
            total += factor * self.distance.of(teacher, student, &mut derivative);
            for (g, d) in gradient.iter_mut().zip(&derivative) {
                *g += factor as f32 * d;
            }
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_model::Dataset;
    use nlpress_text::Rows;

    /// Compares the derivative with a central difference at every logit.
    fn difference(objective: &Imitation<'_>, logits: &[f32], rows: &[usize]) {
        let mut gradient = vec![7.0; logits.len()];
        objective.loss(rows, rows.len(), logits, &mut gradient);
        for i in 0..logits.len() {
            let at = |d: f32| {
                let mut moved = logits.to_vec();
                moved[i] += d;
                objective.loss(rows, rows.len(), &moved, &mut vec![0.0; logits.len()])
            };
            let numeric = (at(5e-3) - at(-5e-3)) / 1e-2;
            assert!((numeric - f64::from(gradient[i])).abs() < 2e-4, "{i}: {numeric} {}", gradient[i]);
        }
    }

    fn data(labels: &[u32], classes: usize) -> Dataset {
        let rows = Rows::from_dense(labels.len(), 1, &vec![1.0; labels.len()]).unwrap();
        Dataset::new(rows, labels.to_vec(), classes).unwrap()
    }

    #[test]
    fn derivatives_agree_with_finite_differences() {
        let teacher = [2.0, -1.0, 0.5, 0.3, -4.0, 1.0];
        let logits = [0.3, -2.0, 1.5, 0.0, 0.1, 0.2];
        let weights = [1.0, 0.5, 2.0, 1.0, 1.5, 0.1];
        for distance in [Distance::Kl { temperature: 1.0 }, Distance::Kl { temperature: 3.0 }, Distance::Mse]
        {
            let plain = Imitation::of(&teacher, distance);
            for (classes, rows) in [(2, &[5, 1, 0, 2, 4, 3][..]), (3, &[1, 0])] {
                let data = data(&vec![1; rows.len()], classes);
                let mixed = plain.clone().with_labels(Labels::of(&data), 0.3).with_weights(&weights);
                difference(&plain, &logits, rows);
                difference(&mixed, &logits, rows);
            }
        }
    }

    #[test]
    fn one_output_is_two_classes() {
        let kl = Distance::Kl { temperature: 2.0 };
        let (mut one, mut two) = ([0.0], [0.0; 2]);
        let a = kl.of(&[1.5], &[-0.5], &mut one);
        let b = kl.of(&[0.0, 1.5], &[0.0, -0.5], &mut two);
        assert!((a - b).abs() < 1e-12 && (one[0] - two[1]).abs() < 1e-6, "{a} {b} {one:?} {two:?}");
    }

    #[test]
    fn the_distance_is_zero_at_the_teacher_and_finite_everywhere() {
        let mut gradient = [0.0; 2];
        for distance in
            [Distance::Kl { temperature: 0.1 }, Distance::Kl { temperature: 100.0 }, Distance::Mse]
        {
            let at_teacher = distance.of(&[1.0, -3.0], &[1.0, -3.0], &mut gradient);
            assert_eq!((at_teacher, gradient), (0.0, [0.0; 2]));
            let far = distance.of(&[1e4, -1e4], &[-1e4, 1e4], &mut gradient);
            assert!(far.is_finite() && far > 0.0 && gradient.iter().all(|g| g.is_finite()));
        }
    }

    #[test]
    fn the_factor_keeps_the_size_of_the_derivative() {
        let size = |temperature| {
            let mut gradient = [0.0];
            Distance::Kl { temperature }.of(&[0.2], &[-0.2], &mut gradient);
            gradient[0]
        };
        assert!((size(1.0) / size(50.0) - 1.0).abs() < 0.05, "{} {}", size(1.0), size(50.0));
    }

    #[test]
    fn a_share_of_a_batch_counts_as_a_share() {
        let teacher = [1.0, -1.0, 2.0, 0.0];
        let logits = [0.5, 0.5, 0.5, 0.5];
        let data = data(&[0, 1, 1, 0], 2);
        let objective = Imitation::of(&teacher, Distance::Mse).with_labels(Labels::of(&data), 0.5);
        let mut whole = [0.0; 4];
        let loss = objective.loss(&[0, 1, 2, 3], 4, &logits, &mut whole);
        let mut parts = [0.0; 4];
        let (left, right) = parts.split_at_mut(2);
        let sum =
            objective.loss(&[0, 1], 4, &logits[..2], left) + objective.loss(&[2, 3], 4, &logits[2..], right);
        assert!((loss - sum).abs() < 1e-9);
        assert_eq!(whole, parts);
    }

    #[test]
    fn temperatures_have_bounds() {
        assert!(Distance::kl(2.0).is_ok());
        for bad in [0.0, -1.0, 1e3, f64::NAN] {
            assert!(Distance::kl(bad).unwrap_err().to_string().contains("between 0.1 and 100"));
        }
    }
}
