//! Which integers and scales stand for which floats: the arithmetic of rounding to the nearest, on plain slices.
//!
//! Uniform grids: an entry `w` becomes `q = round(w / s)`, held within the grid, and stands for `q · s`; with a zero
//! point `z` it becomes `round(w / s) + z` and stands for `(q - z) · s` (Jacob et al. 2018). Matrices are
//! `[inputs, outputs]`, row by input; a column is one output.

use nlpress_packed::{Grid, Index, Int, Matrix, Per, Scales, Values};

use crate::QuantError;

/// Clipping ranges that [`Clip::Mse`] tries, in hundredths of the largest magnitude.
const TRIED: std::ops::RangeInclusive<u32> = 10..=100;

/// Which range the integers are spread over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clip {
    /// Up to the largest magnitude: nothing is clipped.
    Max,
    /// The range, from a tenth of the largest magnitude to all of it in steps of a hundredth, whose squared error is
    /// smallest; among equals the widest (as in Banner et al. 2019, but over the entries themselves instead of a
    /// fitted distribution).
    Mse,
}

/// How floats become integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rounding {
    /// The integers.
    pub grid: Grid,
    /// How many scales.
    pub per: Per,
    /// The range of each scale.
    pub clip: Clip,
    /// Whether each scale has a zero point, so that its range need not be symmetric.
    pub zero_points: bool,
    /// Whether every scale is a power of two, so that multiplying by it is a shift.
    pub power_of_two: bool,
}

/// What the integers of some numbers stand for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The scale, never 0.
    pub scale: f32,
    /// The integer that stands for 0.
    pub zero_point: i32,
}

/// The integers of a matrix and what they stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct Integers {
    /// `[inputs, outputs]`.
    pub q: Vec<i32>,
    /// One for all entries that share one.
    pub scales: Scales,
    /// As many, where there are any.
    pub zero_points: Option<Vec<i8>>,
}

impl Rounding {
    /// Symmetric, a scale for each output; the largest magnitude is kept, except with 2 bits and fewer, which take the
    /// range of least squared error. (With 3 and 4 bits a smaller error of the weights is a larger one of the answers:
    /// what is clipped are the weights that matter.)
    pub fn new(grid: Grid) -> Self {
        let clip = if grid.has_zero() && grid.levels() > 1 { Clip::Max } else { Clip::Mse };
        Self { grid, per: Per::Channel, clip, zero_points: false, power_of_two: false }
    }

    /// What packed values are then.
    pub fn values(&self) -> Values {
        Values::Int(Int { zero_points: self.zero_points, ..Int::new(self.grid, self.per) })
    }

    /// The smallest and the largest integer.
    fn range(&self) -> (f64, f64) {
        match self.grid.with_zero_point() {
            Some((least, most)) if self.zero_points => (least.into(), most.into()),
            _ => (-f64::from(self.grid.levels()), self.grid.levels().into()),
        }
    }

    /// The step that fits numbers which share one.
    pub fn fit(&self, numbers: &[f32]) -> Step {
        let over = |(low, high), number: &f32| (f32::min(low, *number), f32::max(high, *number));
        let (low, high) = numbers.iter().fold((0.0_f32, 0.0_f32), over);
        let step = |share: f64| self.step(f64::from(low) * share, f64::from(high) * share);
        let mut best = step(1.0);
        if self.clip == Clip::Max || best.scale == 1.0 && low == high {
            return best;
        }
        let mut least = self.squared_error(numbers, best);
        for share in TRIED.rev().skip(1) {
            let tried = step(f64::from(share) / 100.0);
            if tried == best {
                continue;
            }
            let error = self.squared_error(numbers, tried);
            if error < least {
                (least, best) = (error, tried);
            }
        }
        best
    }

    /// The step that spreads the grid over a range with zero in it.
    fn step(&self, low: f64, high: f64) -> Step {
        let (least, most) = self.range();
        let exact = if self.zero_points {
            (high - low) / (most - least)
        } else {
            f64::max(-low, high) / f64::from(self.grid.levels())
        };
        let scale = if self.power_of_two && exact > 0.0 { exact.log2().ceil().exp2() } else { exact };
        let scale = match scale as f32 {
            scale if scale > 0.0 && scale.is_finite() => scale,
            _ => 1.0,
        };
        let zero_point = if self.zero_points {
            (least - low / f64::from(scale)).round_ties_even().clamp(least, most) as i32
        } else {
            0
        };
        Step { scale, zero_point }
    }

    /// The integer nearest to a number.
    pub fn level(&self, number: f32, step: Step) -> i32 {
        let ratio = f64::from(number) / f64::from(step.scale);
        if !self.zero_points {
            return self.grid.nearest(ratio);
        }
        let (least, most) = self.range();
        (ratio.round_ties_even() + f64::from(step.zero_point)).clamp(least, most) as i32
    }

    /// The sum of the squared differences between numbers and what their integers stand for.
    pub fn squared_error(&self, numbers: &[f32], step: Step) -> f64 {
        let error = |number: &f32| {
            let restored = (self.level(*number, step) - step.zero_point) as f32 * step.scale;
            (f64::from(*number) - f64::from(restored)).powi(2)
        };
        numbers.iter().map(error).sum()
    }

    /// The integers that stand for `values`, `[inputs, outputs]` row by input; what is not kept has no say in the
    /// scales, and its integers mean nothing.
    ///
    /// # Errors
    /// [`QuantError`] when the numbers are not finite or not whole rows, or `keep` has another length.
    pub fn quantize(
        &self,
        values: &[f32],
        outputs: usize,
        keep: Option<&[bool]>,
    ) -> Result<Integers, QuantError> {
        check(values, outputs)?;
        if let Some(keep) = keep.filter(|keep| keep.len() != values.len()) {
            return Err(QuantError::Length { what: "keep", found: keep.len(), expected: values.len() });
        }
        let count = self.per.scales(values.len() / outputs, outputs);
        let places = Scales::of(self.per, vec![1.0; count]);
        let place = |i: usize| places.place(i / outputs, i % outputs, outputs);
        let mut shared = vec![Vec::new(); count];
        for (i, value) in values.iter().enumerate().filter(|(i, _)| keep.is_none_or(|k| k[*i])) {
            shared[place(i)].push(*value);
        }
        let steps: Vec<Step> = shared.iter().map(|numbers| self.fit(numbers)).collect();
        let q = values.iter().enumerate().map(|(i, v)| self.level(*v, steps[place(i)])).collect();
        let points = || steps.iter().map(|s| s.zero_point as i8).collect();
        Ok(Integers {
            q,
            scales: Scales::of(self.per, steps.iter().map(|s| s.scale).collect()),
            zero_points: self.zero_points.then(points),
        })
    }

    /// `values` as a packed matrix; with a mask only what is kept counts and is stored.
    ///
    /// # Errors
    /// [`QuantError`], also when a length does not fit, or a mask meets zero points.
    pub fn pack(
        &self,
        values: &[f32],
        (inputs, outputs): (usize, usize),
        keep: Option<&[bool]>,
        index: Index,
    ) -> Result<Matrix, QuantError> {
        let integers = self.quantize(values, outputs, keep)?;
        integers.pack((inputs, outputs), self.grid, keep, index)
    }
}

impl Integers {
    /// As a packed matrix.
    ///
    /// # Errors
    /// [`QuantError::Pack`] when a length does not fit, or a mask meets zero points.
    pub fn pack(
        self,
        shape: (usize, usize),
        grid: Grid,
        keep: Option<&[bool]>,
        index: Index,
    ) -> Result<Matrix, QuantError> {
        Ok(match self.zero_points {
            Some(points) if index == Index::Full => {
                Matrix::affine(shape, grid, &self.q, self.scales, points)?
            }
            Some(_) => {
                let values = Values::Int(Int { zero_points: true, ..Int::new(grid, self.scales.per()) });
                return Err(nlpress_packed::Scheme { values, index }.check().err().map_or(
                    QuantError::Length { what: "zero points", found: 1, expected: 0 },
                    QuantError::Pack,
                ));
            }
            None => Matrix::quantized(shape, grid, &self.q, self.scales, keep, index)?,
        })
    }
}

/// Checks that `values` are finite and make whole rows of `outputs`.
///
/// # Errors
/// [`QuantError::Rows`] or [`QuantError::NotFinite`].
pub fn check(values: &[f32], outputs: usize) -> Result<(), QuantError> {
    if outputs == 0 || !values.len().is_multiple_of(outputs) {
        return Err(QuantError::Rows { found: values.len(), outputs });
    }
    match values.iter().position(|v| !v.is_finite()) {
        Some(position) => Err(QuantError::NotFinite { position, value: values[position] }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Noise;
    use proptest::prelude::*;

    fn noise(rounding: &Rounding, values: &[f32], outputs: usize) -> f64 {
        let shape = (values.len() / outputs, outputs);
        let restored = rounding.pack(values, shape, None, Index::Full).unwrap().unpack();
        Noise::between(values, &restored).mean_squared_error()
    }

    const GRIDS: [Grid; 7] =
        [Grid::Int16, Grid::Int8, Grid::Int4, Grid::Int3, Grid::Int2, Grid::Ternary, Grid::Binary];

    #[test]
    fn integers_and_scales_are_as_worked_out_by_hand() {
        let values = [127.0, 0.0, -63.5, 0.0, 1.0, 0.0];
        let int8 = Rounding::new(Grid::Int8);
        let made = int8.quantize(&values, 2, None).unwrap();
        assert_eq!(made.q, [127, 0, -64, 0, 1, 0]);
        assert_eq!(made.scales, Scales::Channel(vec![1.0, 1.0]));
        let made = Rounding { per: Per::Tensor, ..int8 }.quantize(&[2.54, -1.27], 2, None).unwrap();
        assert_eq!(made.scales, Scales::Tensor((2.54_f64 as f32 as f64 / 127.0) as f32));
        let int4 = Rounding { zero_points: true, clip: Clip::Max, ..Rounding::new(Grid::Int4) };
        let made = int4.quantize(&[-1.0, 0.0, 14.0], 1, None).unwrap();
        assert_eq!((made.q, made.zero_points), (vec![-8, -7, 7], Some(vec![-7])));
        let power = Rounding { power_of_two: true, ..int8 };
        assert_eq!(power.fit(&[100.0]), Step { scale: 1.0, zero_point: 0 });
        assert_eq!(power.fit(&[130.0]), Step { scale: 2.0, zero_point: 0 });
    }

    #[test]
    fn clipping_an_outlier_lowers_the_error() {
        // The grid of one outlier is too coarse for many small entries: clipping it costs less than it gains.
        let mut rng = nlpress_core::Seed(1).stream(0);
        let mut values: Vec<f32> = (0..40_000).map(|_| (rng.uniform() - 0.5) * 0.1).collect();
        values.push(1.0);
        for zero_points in [false, true] {
            let error = |clip| {
                let rounding = Rounding { per: Per::Tensor, clip, zero_points, ..Rounding::new(Grid::Int8) };
                noise(&rounding, &values, 1)
            };
            let most = if zero_points { 0.99 } else { 0.95 };
            assert!(error(Clip::Mse) < most * error(Clip::Max), "{} {}", error(Clip::Mse), error(Clip::Max));
        }
    }

    #[test]
    fn more_bits_more_scales_and_free_scales_are_better() {
        let values: Vec<f32> = (0..600).map(|i| (i as f32).sin() * 10_f32.powi(i % 3)).collect();
        for grid in GRIDS {
            let rounding = Rounding { clip: Clip::Mse, ..Rounding::new(grid) };
            let of = |per| noise(&Rounding { per, ..rounding }, &values, 3);
            assert!(of(Per::Channel) < of(Per::Tensor), "{grid}");
            assert!(grid == Grid::Int16 || of(Per::Group(16)) < of(Per::Channel), "{grid}");
            let power = Rounding { power_of_two: true, ..rounding };
            assert!(of(Per::Channel) <= noise(&power, &values, 3), "{grid}");
        }
        let errors =
            GRIDS.map(|grid| noise(&Rounding { clip: Clip::Mse, ..Rounding::new(grid) }, &values, 3));
        assert!(errors.is_sorted(), "{errors:?}");
    }

    #[test]
    fn a_zero_point_pays_where_numbers_are_lopsided() {
        let values: Vec<f32> = (0..300).map(|i| (i % 50) as f32 * 0.1 - 0.5).collect();
        for grid in [Grid::Int8, Grid::Int4, Grid::Int3] {
            let rounding = Rounding { clip: Clip::Mse, ..Rounding::new(grid) };
            let affine = Rounding { zero_points: true, ..rounding };
            assert!(noise(&affine, &values, 2) < 0.5 * noise(&rounding, &values, 2), "{grid}");
        }
    }

    #[test]
    fn a_mask_keeps_its_sparsity_and_what_it_drops_has_no_say() {
        let values = [0.5, 0.0, 100.0, -0.25];
        let keep = [true, false, false, true];
        for grid in GRIDS {
            let packed = Rounding::new(grid).pack(&values, (2, 2), Some(&keep), Index::Sparse).unwrap();
            assert_eq!((packed.kept(), packed.keep()), (2, keep.to_vec()));
            assert!((packed.unpack()[0] - 0.5).abs() < 1e-6, "{grid}");
        }
        let affine = Rounding { zero_points: true, ..Rounding::new(Grid::Int8) };
        let refused = affine.pack(&values, (2, 2), Some(&keep), Index::Sparse).unwrap_err();
        assert!(refused.to_string().contains("with zero points all entries are stored"), "{refused}");
    }

    #[test]
    fn odd_numbers_and_torn_rows_are_refused() {
        assert_eq!(check(&[1.0; 5], 2), Err(QuantError::Rows { found: 5, outputs: 2 }));
        assert_eq!(check(&[], 0), Err(QuantError::Rows { found: 0, outputs: 0 }));
        assert!(matches!(check(&[0.0, f32::NAN], 2), Err(QuantError::NotFinite { position: 1, .. })));
    }

    proptest! {
        #[test]
        fn nothing_is_further_off_than_half_a_step(
            values in prop::collection::vec(-1e3_f32..1e3, 12),
            per in prop::sample::select(vec![Per::Tensor, Per::Channel, Per::Row, Per::Group(2)]),
            which in 0usize..4, zero_points: bool, power_of_two: bool,
        ) {
            let grid = GRIDS[which];
            let zero_points = zero_points && grid.with_zero_point().is_some();
            let per = if grid == Grid::Int16 { Per::Channel } else { per };
            let rounding = Rounding { grid, per, clip: Clip::Max, zero_points, power_of_two };
            let packed = rounding.pack(&values, (4, 3), None, Index::Full).unwrap();
            let scales = packed.scales().unwrap();
            for (i, (v, restored)) in values.iter().zip(packed.unpack()).enumerate() {
                let scale = scales.all()[scales.place(i / 3, i % 3, 3)];
                // With a zero point that is rounded itself, the ends of the range are half a step off, too.
                let most = if zero_points { 1.001 } else { 0.501 };
                prop_assert!((v - restored).abs() <= scale * most, "{v} {restored} {scale}");
            }
        }
    }
}
