//! Logits as scores of the classes: at least 0, together 1.

/// Replaces `scores` by the scores of the classes: for one logit `[1 - p, p]` with its sigmoid `p`, else the
/// softmax. Neither overflows, whatever the logits.
pub(crate) fn from_logits(logits: &[f32], scores: &mut Vec<f32>) {
    scores.clear();
    if let [logit] = *logits {
        // exp(-|z|) is at most 1, and each side is computed without taking it from 1.
        let small = (-logit.abs()).exp();
        let (p, q) = (1.0 / (1.0 + small), small / (1.0 + small));
        scores.extend(if logit >= 0.0 { [q, p] } else { [p, q] });
        return;
    }
    let largest = logits.iter().fold(f32::NEG_INFINITY, |m, &z| m.max(z));
    scores.extend(logits.iter().map(|z| (z - largest).exp()));
    let sum: f32 = scores.iter().sum();
    for score in scores {
        *score /= sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(logits: &[f32]) -> Vec<f32> {
        let mut scores = vec![9.0];
        from_logits(logits, &mut scores);
        scores
    }

    #[test]
    fn one_logit_is_two_classes() {
        assert_eq!(scores(&[0.0]), [0.5, 0.5]);
        let p = 1.0 / (1.0 + (-1.5f64).exp());
        assert!((f64::from(scores(&[1.5])[1]) - p).abs() < 1e-7);
        assert!((f64::from(scores(&[-1.5])[0]) - p).abs() < 1e-7);
        assert_eq!(scores(&[1000.0]), [0.0, 1.0]);
        assert_eq!(scores(&[-1000.0]), [1.0, 0.0]);
        assert!(scores(&[-80.0])[1] > 0.0);
    }

    #[test]
    fn several_logits_are_a_softmax() {
        let s = scores(&[1.0, 2.0, 3.0]);
        let sum: f64 = [1.0f64, 2.0, 3.0].iter().map(|z| z.exp()).sum();
        for (z, s) in [1.0f64, 2.0, 3.0].iter().zip(&s) {
            assert!((z.exp() / sum - f64::from(*s)).abs() < 1e-7);
        }
        assert_eq!(scores(&[3e38, 0.0, -3e38]), [1.0, 0.0, 0.0]);
    }
}
