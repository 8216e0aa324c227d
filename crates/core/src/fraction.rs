//! A number proven to lie in `[0, 1]`: a sparsity, a rate, a share.

use serde::{Deserialize, Serialize};

/// A finite number in `[0, 1]`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Fraction(f64);

/// The number does not lie in `[0, 1]`.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{0} is not a fraction: it must lie between 0 and 1")]
pub struct NotAFraction(pub f64);

impl Fraction {
    /// Nothing.
    pub const ZERO: Self = Self(0.0);

    /// The plain number.
    pub fn get(self) -> f64 {
        self.0
    }

    /// How many of `n` this share is, rounded down: 0.9 of 10 is 9.
    ///
    /// A tiny tolerance keeps decimal fractions from losing one to binary rounding (0.29 of 100 is 29).
    pub fn of(self, n: usize) -> usize {
        ((n as f64 * self.0 + 1e-9).floor() as usize).min(n)
    }
}

impl TryFrom<f64> for Fraction {
    type Error = NotAFraction;

    fn try_from(value: f64) -> Result<Self, NotAFraction> {
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err(NotAFraction(value)) }
    }
}

impl From<Fraction> for f64 {
    fn from(value: Fraction) -> f64 {
        value.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_lies_outside() {
        for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(Fraction::try_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn counts_without_losing_one_to_rounding() {
        let f = |x| Fraction::try_from(x).unwrap();
        assert_eq!(f(0.29).of(100), 29);
        assert_eq!(f(0.9).of(136_192), 122_572);
        assert_eq!(f(1.0).of(7), 7);
    }
}
