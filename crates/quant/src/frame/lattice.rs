//! The quantization scheme (grid and granularity) of a weight, and the quantized weight: the types of the techniques
//! that use calibration data.
//!
//! Weights are `[inputs, outputs]`, row by input. An entry stands for its integer times its scale.

use nlpress_packed::{Grid, Index, Matrix, Per, Scales, Values};

use crate::QuantError;
use crate::rounding::{self, Clip, Rounding};

/// A weight `[inputs, outputs]` in floats, with its mask where it has one.
#[derive(Clone, Copy, Debug)]
pub struct Plain<'a> {
    values: &'a [f32],
    outputs: usize,
    keep: Option<&'a [bool]>,
}

impl<'a> Plain<'a> {
    /// Checks that numbers are finite and make whole rows of `outputs`, and that a mask fits.
    ///
    /// # Errors
    /// [`QuantError::Rows`], [`QuantError::NotFinite`] or [`QuantError::Length`].
    pub fn new(values: &'a [f32], outputs: usize, keep: Option<&'a [bool]>) -> Result<Self, QuantError> {
        rounding::check(values, outputs)?;
        match keep.filter(|keep| keep.len() != values.len()) {
            Some(keep) => {
                Err(QuantError::Length { what: "a mask", found: keep.len(), expected: values.len() })
            }
            None => Ok(Self { values, outputs, keep }),
        }
    }

    /// The numbers.
    pub fn values(&self) -> &'a [f32] {
        self.values
    }

    /// Its inputs and outputs.
    pub fn shape(&self) -> (usize, usize) {
        (self.values.len() / self.outputs, self.outputs)
    }

    /// Whether the entry at a position counts; the others are zero and stay zero.
    pub fn kept(&self, at: usize) -> bool {
        self.keep.is_none_or(|keep| keep[at])
    }

    /// The mask.
    pub fn keep(&self) -> Option<&'a [bool]> {
        self.keep
    }

    /// The rows of some inputs.
    ///
    /// # Panics
    /// When there are no such inputs.
    #[must_use]
    pub fn rows(&self, inputs: std::ops::Range<usize>) -> Self {
        let part = inputs.start * self.outputs..inputs.end * self.outputs;
        Self { values: &self.values[part.clone()], keep: self.keep.map(|k| &k[part]), ..*self }
    }
}

impl Plain<'_> {
    /// The same shape and mask with other numbers.
    ///
    /// # Panics
    /// When there are not as many.
    pub(crate) fn with<'b>(&self, values: &'b [f32]) -> Plain<'b>
    where
        Self: 'b,
    {
        assert_eq!(values.len(), self.values.len());
        Plain { values, ..*self }
    }
}

/// The granularity of quantization: which entries share a scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Span {
    /// All of the weight.
    Tensor,
    /// Those of one output.
    #[default]
    Channel,
    /// A group of consecutive inputs of one output, of the given size.
    Group(u8),
}

/// A quantization scheme: the grid of integers, and which entries share a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lattice {
    /// The integers.
    pub grid: Grid,
    /// The scales.
    pub span: Span,
}

impl Lattice {
    /// What packed values are then.
    pub fn values(self) -> Values {
        Values::int(self.grid, self.per())
    }

    /// How many scales packed matrices have.
    fn per(self) -> Per {
        match self.span {
            Span::Tensor => Per::Tensor,
            Span::Channel => Per::Channel,
            Span::Group(size) => Per::Group(size),
        }
    }

    /// Consecutive inputs of one output that share a scale.
    pub fn inputs(self, of: usize) -> usize {
        match self.span {
            Span::Group(size) => usize::from(size).clamp(1, of.max(1)),
            _ => of,
        }
    }

    /// Scales of a weight: one, or `[groups, outputs]`.
    pub fn scales(self, (inputs, outputs): (usize, usize)) -> usize {
        match self.span {
            Span::Tensor => 1,
            _ => inputs.div_ceil(self.inputs(inputs).max(1)) * outputs,
        }
    }

    /// Which scale the entry at a position has.
    pub fn scale_of(self, (inputs, outputs): (usize, usize), at: usize) -> usize {
        match self.span {
            Span::Tensor => 0,
            Span::Channel => at % outputs,
            Span::Group(_) => at / outputs / self.inputs(inputs) * outputs + at % outputs,
        }
    }

    /// The scales of the range that `clip` names, by the entries alone, as in rounding to the nearest:
    /// [`scales`](Lattice::scales) of them.
    pub fn fit(self, plain: &Plain<'_>, clip: Clip) -> Vec<f32> {
        let rounding = Rounding { per: self.per(), clip, ..Rounding::new(self.grid) };
        let fitted = rounding.quantize(plain.values, plain.outputs, plain.keep);
        fitted.expect("a plain weight is checked when it is made").scales.all().to_vec()
    }

    /// The integer of `value`, and the dequantized value.
    pub fn round(self, value: f64, scale: f32) -> (i32, f32) {
        let integer = self.grid.nearest(value / f64::from(scale));
        (integer, integer as f32 * scale)
    }

    /// The nearest integers to a weight, with the given scales.
    ///
    /// # Panics
    /// When there are not [`scales`](Lattice::scales) of them.
    pub fn nearest(self, plain: &Plain<'_>, scales: Vec<f32>) -> Coded {
        let shape = plain.shape();
        let of = |(at, value): (usize, &f32)| {
            if plain.kept(at) {
                self.round(f64::from(*value), scales[self.scale_of(shape, at)]).0
            } else {
                self.grid.nearest(0.0)
            }
        };
        let integers = plain.values.iter().enumerate().map(of).collect();
        Coded { lattice: self, shape, integers, scales }
    }

    /// The two integers of the grid next to `x`, the lower one first.
    pub fn around(self, x: f64) -> (i32, i32) {
        let (most, step) = (self.grid.levels(), self.grid.step());
        let below = if step == 1 { x.floor() } else { 2.0 * ((x - 1.0) / 2.0).floor() + 1.0 };
        let below = below.clamp(f64::from(-most), f64::from(most - step)) as i32;
        (below, below + step)
    }
}

/// A quantized weight: integers and scales.
#[derive(Clone, Debug, PartialEq)]
pub struct Coded {
    /// The scheme.
    pub lattice: Lattice,
    /// Inputs and outputs.
    pub shape: (usize, usize),
    /// `[inputs, outputs]`.
    pub integers: Vec<i32>,
    /// One, or `[groups, outputs]`.
    pub scales: Vec<f32>,
}

impl Coded {
    /// The dequantized weight; zero for pruned entries.
    pub fn values(&self, keep: Option<&[bool]>) -> Vec<f32> {
        let of = |(at, q): (usize, &i32)| match keep {
            Some(keep) if !keep[at] => 0.0,
            _ => *q as f32 * self.scales[self.lattice.scale_of(self.shape, at)],
        };
        self.integers.iter().enumerate().map(of).collect()
    }

    /// Multiplies the scales of each output by its factor; nothing changes where all outputs share one.
    ///
    /// # Panics
    /// When there is not one factor for each output.
    pub fn scale_outputs(&mut self, factors: &[f32]) {
        assert_eq!(factors.len(), self.shape.1);
        if self.lattice.span != Span::Tensor {
            self.scales.iter_mut().zip(factors.iter().cycle()).for_each(|(scale, factor)| *scale *= factor);
        }
    }

    /// Takes the integers and scales of one output from another of the same shape; whether that can be done, which
    /// it cannot where all outputs share a scale.
    pub(crate) fn take_output(&mut self, other: &Self, output: usize) -> bool {
        let outputs = self.shape.1;
        if self.lattice.span == Span::Tensor && self.scales != other.scales {
            return false;
        }
        let of = |at: &usize| at % outputs == output;
        (0..self.integers.len()).filter(of).for_each(|at| self.integers[at] = other.integers[at]);
        if self.lattice.span != Span::Tensor {
            (0..self.scales.len()).filter(of).for_each(|at| self.scales[at] = other.scales[at]);
        }
        true
    }

    /// As a packed matrix; with a mask only what is kept is stored.
    ///
    /// # Errors
    /// [`QuantError::Pack`].
    pub fn matrix(&self, keep: Option<&[bool]>, index: Index) -> Result<Matrix, QuantError> {
        let scales = Scales::of(self.lattice.per(), self.scales.clone());
        Ok(Matrix::quantized(self.shape, self.lattice.grid, &self.integers, scales, keep, index)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lattice(grid: Grid, span: Span) -> Lattice {
        Lattice { grid, span }
    }

    #[test]
    fn neighbours_are_members_on_both_sides() {
        let around = |grid, x| lattice(grid, Span::Channel).around(x);
        assert_eq!(around(Grid::Int4, 2.3), (2, 3));
        assert_eq!(around(Grid::Int4, -9.0), (-7, -6));
        assert_eq!(around(Grid::Int4, 7.0), (6, 7));
        assert_eq!(around(Grid::Ternary, -0.2), (-1, 0));
        assert_eq!(around(Grid::Int2, 0.1), (-1, 1));
        assert_eq!(around(Grid::Int2, 1.5), (1, 3));
        assert_eq!(around(Grid::Int2, 8.0), (1, 3));
        assert_eq!(around(Grid::Binary, -5.0), (-1, 1));
    }

    #[test]
    fn groups_have_scales_of_their_own() {
        let values = [1.1, 11.0, 2.0, 20.0, 30.0, 0.3, 40.0, 0.7];
        let plain = Plain::new(&values, 2, None).unwrap();
        let by = |span| lattice(Grid::Int4, span).fit(&plain, Clip::Max);
        let over_7 = |ranges: &[f64]| ranges.iter().map(|r| (r / 7.0) as f32).collect::<Vec<_>>();
        assert_eq!(by(Span::Tensor), over_7(&[40.0]));
        assert_eq!(by(Span::Channel), over_7(&[40.0, 20.0]));
        let group = by(Span::Group(2));
        assert!(group.iter().zip(over_7(&[2.0, 20.0, 40.0, 0.7])).all(|(a, b)| (a - b).abs() < 1e-6));
        let coded = lattice(Grid::Int4, Span::Group(2)).nearest(&plain, group);
        assert_eq!(coded.integers, [4, 4, 7, 7, 5, 3, 7, 7]);
    }

    #[test]
    fn one_bit_finds_the_mean_magnitude_and_what_is_masked_does_not_count() {
        let values = [1.0, -0.5, 0.25, -0.25, 0.0, 0.0];
        let keep = [true, true, true, true, false, false];
        let plain = Plain::new(&values, 1, Some(&keep)).unwrap();
        let lattice = lattice(Grid::Binary, Span::Channel);
        let scales = lattice.fit(&plain, Clip::Mse);
        assert!((scales[0] - 0.5).abs() < 0.006, "{scales:?}");
        let coded = lattice.nearest(&plain, scales);
        assert_eq!(coded.integers[..4], [1, -1, 1, -1]);
        assert_eq!(coded.values(Some(&keep))[4..], [0.0, 0.0]);
    }

    #[test]
    fn outputs_can_be_taken_and_scaled_where_each_has_a_scale() {
        let plain = Plain::new(&[1.0, 2.0, 3.0, 4.0], 2, None).unwrap();
        let of = |span, scale: f32| {
            let lattice = lattice(Grid::Int4, span);
            lattice.nearest(&plain, vec![scale; lattice.scales(plain.shape())])
        };
        let (mut a, b) = (of(Span::Channel, 1.0), of(Span::Channel, 2.0));
        assert!(a.take_output(&b, 1));
        assert_eq!((a.scales.clone(), a.integers.clone()), (vec![1.0, 2.0], vec![1, 1, 3, 2]));
        a.scale_outputs(&[2.0, 0.5]);
        assert_eq!(a.scales, [2.0, 1.0]);
        assert!(!of(Span::Tensor, 1.0).take_output(&of(Span::Tensor, 2.0), 0));
    }

    #[test]
    fn masks_that_do_not_fit_are_refused() {
        assert!(matches!(Plain::new(&[1.0; 4], 2, Some(&[true; 3])), Err(QuantError::Length { .. })));
        assert!(Plain::new(&[f32::NAN; 4], 2, None).is_err());
    }
}
