//! Fixed-point numbers: the product of an integer and a fraction, rounded, without a float.

/// A positive factor `mantissa / 2^shift`.
///
/// The mantissa has 25 bits, so the factor is true to 3 parts in 100 million, and a product with up to 38 bits does not
/// overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Factor {
    pub(super) mantissa: i64,
    /// In `1..=62`.
    pub(super) shift: u32,
}

/// Bits of a mantissa.
pub(super) const MANTISSA_BITS: u32 = 25;
/// Largest shift.
pub(super) const MOST_SHIFT: u32 = 62;
/// Bits of a number that a factor may multiply, its sign left out.
pub(super) const MOST_BITS: u32 = 37;

impl Factor {
    /// The product with `x`, rounded to the nearest integer, halves up.
    pub(crate) fn times(self, x: i64) -> i64 {
        (x * self.mantissa + (1 << (self.shift - 1))) >> self.shift
    }
}

/// Fraction bits of a number that stands for a real one: activations between attention blocks, features, logits.
pub(crate) const FRACTION: u32 = 16;
/// One, as such a number.
pub(crate) const ONE: i64 = 1 << FRACTION;

/// The largest number that passes between sites.
pub(crate) const MOST: i64 = (1 << (MOST_BITS - 1)) - 1;

/// The product of two numbers with 16 fraction bits, rounded down, within `±`[`MOST`].
pub(crate) fn multiply(a: i64, b: i64) -> i64 {
    let product = (i128::from(a) * i128::from(b)) >> FRACTION;
    product.clamp((-MOST).into(), MOST.into()) as i64
}

/// `a / b`, rounded to the nearest integer; `b` is positive.
pub(crate) fn divide(a: i64, b: i64) -> i64 {
    (2 * a + b).div_euclid(2 * b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_and_quotients_are_rounded() {
        // 3 / 4 and 1 / 2^20.
        let (three_quarters, tiny) =
            (Factor { mantissa: 3 << 23, shift: 25 }, Factor { mantissa: 1 << 24, shift: 44 });
        for (x, product) in [(4, 3), (1, 1), (2, 2), (-4, -3), (-1, -1), (0, 0), (1000, 750)] {
            assert_eq!(three_quarters.times(x), product, "{x}");
        }
        assert_eq!(tiny.times((1 << MOST_BITS) - 1), 1 << 17);
        assert_eq!(tiny.times(1 - (1 << MOST_BITS)), -(1 << 17));
        for (a, b, quotient) in
            [(7, 2, 4), (-7, 2, -3), (6, 4, 2), (5, 3, 2), (4, 3, 1), (-4, 3, -1), (0, 9, 0)]
        {
            assert_eq!(divide(a, b), quotient, "{a} / {b}");
        }
    }
}
