//! The class that logits name: the one rule for every way of answering.

/// Where a network of one output decides; more outputs need no setting.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Decision {
    /// The second class is the answer where the logit is greater.
    cut: f64,
}

impl Decision {
    /// Decides by a score, which lies above 0 and below 1; at one half when there is none.
    pub(crate) fn by(threshold: Option<f64>) -> Self {
        Self { cut: threshold.map_or(0.0, |t| (t / (1.0 - t)).ln()) }
    }

    /// The class, counted from 0: of one logit the second where it is above the cut, else the first of the greatest.
    pub(crate) fn class(self, logits: &[f32]) -> usize {
        match logits {
            [logit] => usize::from(f64::from(*logit) > self.cut),
            all => first_greatest(all),
        }
    }

    /// The cut in the units of integer logits, in which `one` stands for 1.
    pub(crate) fn integer_cut(self, one: i64) -> i64 {
        // The logit of a double lies within ±745, so this is far from the ends of an i64.
        (self.cut * one as f64).round() as i64
    }
}

/// As [`Decision::class`], without a float.
pub(crate) fn class_of_integers(logits: &[i64], cut: i64) -> usize {
    match logits {
        [logit] => usize::from(*logit > cut),
        all => first_greatest(all),
    }
}

fn first_greatest<T: PartialOrd>(all: &[T]) -> usize {
    (0..all.len()).fold(0, |best, at| if all[at] > all[best] { at } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integer::ONE;

    #[test]
    fn one_logit_is_cut_where_its_score_is_the_threshold() {
        let class = |threshold, logit| Decision::by(threshold).class(&[logit]);
        assert_eq!([class(None, 0.0), class(None, 1e-6), class(None, -1.0)], [0, 1, 0]);
        assert_eq!([class(Some(0.5), 0.0), class(Some(0.5), 1e-6)], [0, 1]);
        // The score of -1.5 is 0.18.
        assert_eq!([class(Some(0.18), -1.5), class(Some(0.19), -1.5)], [1, 0]);
        let integers = |threshold, logit: f64| {
            let logit = (logit * ONE as f64) as i64;
            class_of_integers(&[logit], Decision::by(threshold).integer_cut(ONE))
        };
        assert_eq!([integers(Some(0.18), -1.5), integers(Some(0.19), -1.5), integers(None, 0.0)], [1, 0, 0]);
    }

    #[test]
    fn of_several_the_first_greatest() {
        assert_eq!(Decision::default().class(&[1.0, 3.0, 3.0]), 1);
        assert_eq!(class_of_integers(&[-2, -1, -1], 0), 1);
    }
}
