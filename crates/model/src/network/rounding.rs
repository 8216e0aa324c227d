//! What the integer kernels of `packed` do to a site's input, in floats: so that training and every look at the
//! outputs see the numbers that will ship.

use burn::tensor::{Tensor, TensorData};
use nlpress_packed::{Matrix, Scales, Scheme, Values};
use nlpress_text::Rows;

/// How the input of a site with integers is rounded.
#[derive(Clone, Debug)]
pub(super) struct Rounding {
    levels: f32,
    /// The distance between two levels, where it is static; else each row's largest magnitude has all of them.
    step: Option<f32>,
    /// What each input is multiplied by before it is rounded, and divided by after; empty for nothing.
    factors: Vec<f32>,
    /// The inputs that are not rounded, ascending: they are multiplied as floats and have no say in a row's step.
    outliers: Vec<u32>,
}

impl Rounding {
    /// The rounding of a matrix's input; `None` for floats.
    pub(super) fn of(matrix: &Matrix) -> Option<Self> {
        let Scheme { values: Values::Int(int), .. } = matrix.scheme() else { return None };
        let factors = match matrix.scales() {
            // A scale of zero hides what its input is.
            Some(Scales::Row(scales)) => scales.iter().map(|s| s.max(f32::MIN_POSITIVE)).collect(),
            _ => Vec::new(),
        };
        let outliers = matrix.outliers().map_or_else(Vec::new, |outliers| outliers.inputs().to_vec());
        let levels = int.grid.activation_levels() as f32;
        Some(Self { levels, step: matrix.activations(), factors, outliers })
    }

    /// Rounds each row to `levels` steps to either side of zero; the row's largest magnitude is the last step.
    pub(super) fn dynamic(levels: i32) -> Self {
        Self { levels: levels as f32, step: None, factors: Vec::new(), outliers: Vec::new() }
    }

    /// Rounds feature rows.
    pub(super) fn rows(&self, rows: Rows) -> Rows {
        let mut outliers = Vec::new();
        rows.map_rows(|columns, values| {
            // Away while the others are rounded, so that they count as zeros.
            outliers.clear();
            if !self.outliers.is_empty() {
                let places = columns.iter().zip(&mut *values).enumerate();
                let found = places.filter(|(_, (column, _))| self.outliers.binary_search(column).is_ok());
                outliers.extend(found.map(|(at, (_, x))| (at, std::mem::take(x))));
            }
            let factor = |column: u32| self.factors.get(column as usize).copied().unwrap_or(1.0);
            if !self.factors.is_empty() {
                values.iter_mut().zip(columns).for_each(|(x, c)| *x *= factor(*c));
            }
            let step =
                self.step.unwrap_or_else(|| values.iter().fold(0.0_f32, |m, x| m.max(x.abs())) / self.levels);
            if step > 0.0 {
                let level = |x: f32| (x / step).clamp(-self.levels, self.levels).round_ties_even();
                values.iter_mut().for_each(|x| *x = level(*x) * step);
            } else {
                values.fill(0.0);
            }
            if !self.factors.is_empty() {
                values.iter_mut().zip(columns).for_each(|(x, c)| *x /= factor(*c));
            }
            outliers.iter().for_each(|(at, x)| values[*at] = *x);
        })
    }

    /// Rounds the rows of a tensor; the gradient passes straight through.
    pub(super) fn tensor(&self, input: Tensor<2>) -> Tensor<2> {
        let mut plain = input.clone().detach();
        let device = plain.device();
        let line = |numbers: Vec<f32>| -> Tensor<2> {
            let width = numbers.len();
            Tensor::from_data(TensorData::new(numbers, [1, width]), &device)
        };
        let factors = (!self.factors.is_empty()).then(|| line(self.factors.clone()));
        if !self.outliers.is_empty() {
            let [_, inputs] = plain.dims();
            let mut rest = vec![1.0; inputs];
            self.outliers.iter().for_each(|input| rest[*input as usize] = 0.0);
            plain = plain * line(rest);
        }
        let before = plain.clone();
        if let Some(factors) = &factors {
            plain = plain * factors.clone();
        }
        let mut rounded = match self.step {
            Some(step) => (plain / step).clamp(-self.levels, self.levels).round() * step,
            None => {
                let step = (plain.clone().abs().max_dim(1) / self.levels).clamp_min(f32::MIN_POSITIVE);
                (plain / step.clone()).round() * step
            }
        };
        if let Some(factors) = factors {
            rounded = rounded / factors;
        }
        input + (rounded - before)
    }
}
