//! How the count of kept entries falls over the steps of a pruning schedule.

/// How the count of kept entries falls from the first step of a schedule to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// Zhu and Gupta (2017): much goes while much is redundant and little near the end.
    Cubic,
    /// The same share of what is left goes at each step (Han et al. 2015; Frankle and Carbin 2019).
    Geometric,
}

impl Curve {
    /// Entries kept after `step` of `steps`, on the way from `from` to `to`.
    ///
    /// Step 0 gives `from`, the last step and any beyond it exactly `to`.
    pub fn count(self, from: usize, to: usize, step: u64, steps: u64) -> usize {
        if step >= steps || from <= to {
            return to;
        }
        let done = step as f64 / steps as f64;
        match self {
            Curve::Cubic => to + ((from - to) as f64 * (1.0 - done).powi(3)).round() as usize,
            Curve::Geometric => {
                let left = (to.max(1) as f64 / from as f64).powf(done);
                ((from as f64 * left).round() as usize).clamp(to, from)
            }
        }
    }
}

/// A point of a pruning schedule: step `step` of `steps` along a curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchedulePoint {
    /// The curve.
    pub curve: Curve,
    /// The step, from 1.
    pub step: u64,
    /// All steps.
    pub steps: u64,
}

impl SchedulePoint {
    /// The end of any schedule: the count that was asked for.
    pub const END: Self = Self { curve: Curve::Cubic, step: 1, steps: 1 };

    /// Entries kept at this point, on the way from `from` to `to`.
    pub fn count(self, from: usize, to: usize) -> usize {
        self.curve.count(from, to, self.step, self.steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_end_exactly() {
        let at = |curve: Curve| (0..=4).map(|t| curve.count(1000, 100, t, 4)).collect::<Vec<_>>();
        assert_eq!(at(Curve::Cubic), [1000, 480, 213, 114, 100]);
        assert_eq!(at(Curve::Geometric), [1000, 562, 316, 178, 100]);
        for curve in [Curve::Cubic, Curve::Geometric] {
            assert_eq!(curve.count(5, 5, 1, 3), 5);
            assert_eq!(curve.count(5, 2, 9, 3), 2);
            assert_eq!(curve.count(5, 0, 3, 3), 0);
        }
    }
}
