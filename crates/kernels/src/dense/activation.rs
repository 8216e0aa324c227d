//! Non-linearities behind a product, and the derivative by a bias.

use pulp::Arch;

use super::numbers;

/// Adds the rows of `x`, each as long as `sums`, to `sums`, from the first to the last: the derivative by a bias.
///
/// # Panics
/// When `sums` is empty.
pub fn sum_rows(x: &[f32], sums: &mut [f32]) {
    Arch::new().dispatch(|| {
        for row in x.chunks_exact(sums.len()) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
    });
}

/// The derivative of a non-linearity at each number, as far as it is not in its value.
#[derive(Clone, Debug, PartialEq)]
pub enum Gate {
    /// It is 1 where the value is positive, else 0.
    Positive,
    /// It is 1 less the square of the value.
    OneLessSquare,
    /// It is this.
    Factors(Vec<f32>),
}

impl Gate {
    /// Multiplies `upstream` with the derivative, given the non-linearity's value.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn close(&self, value: &[f32], upstream: &mut [f32]) {
        assert_eq!(value.len(), upstream.len());
        Arch::new().dispatch(|| match self {
            Self::Positive => {
                upstream.iter_mut().zip(value).for_each(|(u, y)| *u = if *y > 0.0 { *u } else { 0.0 });
            }
            Self::OneLessSquare => upstream.iter_mut().zip(value).for_each(|(u, y)| *u *= 1.0 - y * y),
            Self::Factors(factors) => upstream.iter_mut().zip(factors).for_each(|(u, d)| *u *= d),
        });
    }
}

/// `max(x, 0)` in place.
pub fn relu(x: &mut [f32]) -> Gate {
    Arch::new().dispatch(|| x.iter_mut().for_each(|x| *x = x.max(0.0)));
    Gate::Positive
}

/// The hyperbolic tangent in place.
pub fn tanh(x: &mut [f32]) -> Gate {
    Arch::new().dispatch(|| x.iter_mut().for_each(|x| *x = numbers::tanh(*x)));
    Gate::OneLessSquare
}

/// The Gaussian error linear unit in place (Hendrycks and Gimpel 2016, arXiv:1606.08415, exact to 3e-7); the derivative is
/// computed along with it if it is `tracked`.
pub fn gelu(x: &mut [f32], tracked: bool) -> Gate {
    let mut factors = vec![0.0; if tracked { x.len() } else { 0 }];
    Arch::new().dispatch(|| {
        if !tracked {
            return x.iter_mut().for_each(|x| *x *= numbers::normal(*x).0);
        }
        for (x, factor) in x.iter_mut().zip(&mut factors) {
            let (phi, slope) = numbers::normal(*x);
            *factor = phi + slope;
            *x *= phi;
        }
    });
    Gate::Factors(factors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_derivatives() {
        let all: [fn(&mut [f32]) -> Gate; 3] = [relu, tanh, |x| gelu(x, true)];
        let x = [0.75, -1.75, 2.25, -0.8, 1.25, -3.5];
        for of in all {
            let at = |i: usize, d: f32| {
                let mut moved = x;
                moved[i] += d;
                of(&mut moved);
                f64::from(moved[i])
            };
            let (mut value, mut upstream) = (x, [2.0; 6]);
            of(&mut value).close(&value, &mut upstream);
            for (i, found) in upstream.iter().enumerate() {
                let numeric = 2.0 * (at(i, 1e-2) - at(i, -1e-2)) / 2e-2;
                assert!((numeric - f64::from(*found)).abs() < 1e-3, "{i}: {numeric} {found}");
            }
        }
        let (mut with, mut without) = (x, x);
        gelu(&mut with, true);
        gelu(&mut without, false);
        assert_eq!(with, without);
    }

    #[test]
    fn rows_are_added_up() {
        let mut sums = [1.0, 0.0];
        sum_rows(&[11.0, 22.0, 13.0, 24.0], &mut sums);
        assert_eq!(sums, [25.0, 46.0]);
    }
}
