//! Biases and non-linearities behind a product.

use pulp::Arch;

use super::numbers;

/// Adds the bias `[columns]` to every row of `x`.
///
/// # Panics
/// When the bias is empty.
pub fn add_bias(x: &mut [f32], bias: &[f32]) {
    Arch::new().dispatch(|| {
        for row in x.chunks_exact_mut(bias.len()) {
            row.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
        }
    });
}

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

/// `max(x + bias, 0)` in place; the bias is `[columns]`, or empty for none.
pub fn relu(x: &mut [f32], bias: &[f32]) -> Gate {
    in_place(x, bias, |x| x.max(0.0));
    Gate::Positive
}

/// The hyperbolic tangent of `x + bias` in place.
pub fn tanh(x: &mut [f32], bias: &[f32]) -> Gate {
    in_place(x, bias, numbers::tanh);
    Gate::OneLessSquare
}

/// The Gaussian error linear unit of `x + bias` in place (Hendrycks and Gimpel 2016, arXiv:1606.08415, exact to 2e-7);
/// the derivative is computed along with it if it is `tracked`.
pub fn gelu(x: &mut [f32], bias: &[f32], tracked: bool) -> Gate {
    if !tracked {
        in_place(x, bias, |x| x * numbers::normal(x).0);
        return Gate::Factors(Vec::new());
    }
    let mut factors = vec![0.0; x.len()];
    Arch::new().dispatch(|| {
        let width = if bias.is_empty() { x.len().max(1) } else { bias.len() };
        for (x, factors) in x.chunks_exact_mut(width).zip(factors.chunks_exact_mut(width)) {
            if !bias.is_empty() {
                x.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
            }
            for (x, factor) in x.iter_mut().zip(factors) {
                let (phi, slope) = numbers::normal(*x);
                *factor = phi + slope;
                *x *= phi;
            }
        }
    });
    Gate::Factors(factors)
}

#[inline(always)]
fn in_place(x: &mut [f32], bias: &[f32], f: impl Fn(f32) -> f32) {
    Arch::new().dispatch(|| {
        if bias.is_empty() {
            return x.iter_mut().for_each(|x| *x = f(*x));
        }
        for row in x.chunks_exact_mut(bias.len()) {
            row.iter_mut().zip(bias).for_each(|(x, b)| *x = f(*x + b));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_derivatives() {
        type Of = fn(&mut [f32], &[f32], bool) -> Gate;
        let all: [Of; 3] = [|x, b, _| relu(x, b), |x, b, _| tanh(x, b), gelu];
        let (x, bias) = ([0.5, -1.25, 2.0, -0.3, 1.0, -3.0], [0.25, -0.5]);
        for of in all {
            let at = |i: usize, d: f32| {
                let mut moved = x;
                moved[i] += d;
                of(&mut moved, &bias, false);
                f64::from(moved[i])
            };
            let (mut value, mut upstream) = (x, [2.0; 6]);
            of(&mut value, &bias, true).close(&value, &mut upstream);
            for (i, found) in upstream.iter().enumerate() {
                let numeric = 2.0 * (at(i, 1e-2) - at(i, -1e-2)) / 2e-2;
                assert!((numeric - f64::from(*found)).abs() < 1e-3, "{i}: {numeric} {found}");
            }
            let mut without = x.map(|x| x + 0.25);
            of(&mut without, &[], true);
            assert_eq!(without[2], value[2]);
        }
    }

    #[test]
    fn a_bias_goes_to_every_row_and_its_derivative_comes_from_all() {
        let mut x = [1.0, 2.0, 3.0, 4.0];
        add_bias(&mut x, &[10.0, 20.0]);
        assert_eq!(x, [11.0, 22.0, 13.0, 24.0]);
        let mut sums = [1.0, 0.0];
        sum_rows(&x, &mut sums);
        assert_eq!(sums, [25.0, 46.0]);
    }
}
