//! Configuration of a knowledge-distillation loss, for everything that learns from a teacher's outputs.

use nlpress_model::Dataset;

use crate::{Distance, Imitation, Labels};

/// A knowledge-distillation loss: `share · distance to the teacher + (1 − share) · cross-entropy` (Hinton et al. 2015,
/// arXiv:1503.02531). With a share of 1 no label is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KdConfig {
    distance: Distance,
    share: f64,
}

impl KdConfig {
    /// A loss of which the teacher has this share; nothing unless that is more than 0 and at most 1.
    pub fn new(distance: Distance, share: f64) -> Option<Self> {
        (share > 0.0 && share <= 1.0).then_some(Self { distance, share })
    }

    /// The distance to the teacher alone.
    pub fn without_labels(distance: Distance) -> Self {
        Self { distance, share: 1.0 }
    }

    /// How the student's outputs are compared with the teacher's.
    pub fn distance(self) -> Distance {
        self.distance
    }

    /// The teacher's share of the loss.
    pub fn share(self) -> f64 {
        self.share
    }

    /// The loss on the rows of `data`, over which the teacher's logits are `teacher`, `[rows, outputs]`.
    pub fn objective<'a>(self, teacher: &'a [f32], data: &'a Dataset) -> Imitation<'a> {
        let imitation = Imitation::of(teacher, self.distance);
        if self.share < 1.0 { imitation.with_labels(Labels::of(data), self.share) } else { imitation }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Objective;
    use nlpress_text::Rows;

    #[test]
    fn shares_have_bounds() {
        for share in [0.0, -0.5, 1.1, f64::NAN] {
            assert_eq!(KdConfig::new(Distance::Mse, share), None, "{share}");
        }
        assert_eq!(KdConfig::new(Distance::Mse, 1.0), Some(KdConfig::without_labels(Distance::Mse)));
    }

    #[test]
    fn labels_count_by_what_the_teacher_leaves() {
        let data = |label| Dataset::new(Rows::from_dense(1, 1, &[1.0]).unwrap(), vec![label], 2).unwrap();
        let loss = |share, label| {
            let config = KdConfig::new(Distance::Mse, share).unwrap();
            config.objective(&[1.0], &data(label)).loss(&[0], 1, &[3.0], &mut [0.0])
        };
        // The distance is (3 - 1)², the cross-entropies are ln(1 + e^∓3).
        assert_eq!((loss(1.0, 0), loss(1.0, 1)), (4.0, 4.0));
        for (label, entropy) in [(0, (1.0 + 3.0_f64.exp()).ln()), (1, (1.0 + (-3.0_f64).exp()).ln())] {
            assert!((loss(0.25, label) - (1.0 + 0.75 * entropy)).abs() < 1e-6, "{label}");
        }
    }
}
