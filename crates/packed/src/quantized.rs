//! What integers stand for: their scales, zero points, the scale of the activations, and the inputs that are none.

use crate::shape::{MOST_QUANTIZED_INPUTS, check_length};
use crate::{Activations, Grid, Int, Outliers, PackError, Per};

/// The scales of a quantized matrix: an entry is its integer, less its zero point, times its scale.
#[derive(Clone, Debug, PartialEq)]
pub enum Scales {
    /// One for the whole matrix.
    Tensor(f32),
    /// One for each output.
    Channel(Vec<f32>),
    /// One for each input.
    Row(Vec<f32>),
    /// One for each output of each group of consecutive inputs, the last of which may be smaller.
    Group {
        /// Inputs of a group.
        size: u8,
        /// `[groups, outputs]`.
        scales: Vec<f32>,
    },
}

/// What the integers of a matrix stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// Which integers they are.
    pub grid: Grid,
    /// Their scales.
    pub scales: Scales,
    /// One for each scale, where the matrix has zero points.
    pub zero_points: Option<Vec<i8>>,
    /// The scale of the activations, where it is static.
    pub activations: Option<f32>,
    /// The inputs whose weights are floats, where there are any.
    pub outliers: Option<Box<Outliers>>,
}

impl Quantized {
    /// Symmetric, with dynamic activations.
    pub(crate) fn symmetric(grid: Grid, scales: Scales) -> Self {
        Self { grid, scales, zero_points: None, activations: None, outliers: None }
    }

    pub(crate) fn int(&self) -> Int {
        Int {
            grid: self.grid,
            per: self.scales.per(),
            zero_points: self.zero_points.is_some(),
            activations: if self.activations.is_some() { Activations::Static } else { Activations::Dynamic },
            outliers: self.outliers.as_ref().map_or(0, |outliers| outliers.count()),
        }
    }

    /// Checks everything but the integers themselves.
    pub(crate) fn check(&self, inputs: usize, outputs: usize) -> Result<(), PackError> {
        if inputs > MOST_QUANTIZED_INPUTS {
            return Err(PackError::Inputs { inputs, most: MOST_QUANTIZED_INPUTS });
        }
        let count = self.scales.per().scales(inputs, outputs);
        check_length("scales", self.scales.all().len(), count)?;
        // Twice the levels: as far apart as an integer and its zero point can be.
        let most = 2.0 * self.grid.levels() as f32;
        let scale = |position: usize, value: f32| match value >= 0.0 && (value * most).is_finite() {
            true => Ok(()),
            false => Err(PackError::Scale { position, value, most: f32::MAX / most }),
        };
        for (position, &value) in self.scales.all().iter().enumerate() {
            scale(position, value)?;
        }
        if let Some(value) = self.activations.filter(|step| !(*step > 0.0 && (step * most).is_finite())) {
            return Err(PackError::Step { value, most: f32::MAX / most });
        }
        if let Some(outliers) = &self.outliers {
            outliers.check(inputs, outputs)?;
        }
        let (Some(points), Some((least, most))) = (&self.zero_points, self.grid.with_zero_point()) else {
            return Ok(());
        };
        check_length("zero points", points.len(), count)?;
        match points.iter().position(|z| !(least..=most).contains(&i32::from(*z))) {
            None => Ok(()),
            Some(position) => {
                Err(PackError::ZeroPoint { position, value: points[position].into(), least, most })
            }
        }
    }

    /// The smallest and the largest integer.
    pub fn range(&self) -> (i32, i32) {
        let symmetric = (-self.grid.levels(), self.grid.levels());
        match self.zero_points {
            Some(_) => self.grid.with_zero_point().unwrap_or(symmetric),
            None => symmetric,
        }
    }

    /// What an integer at that place stands for, in single precision; for an outlier the float beside it.
    pub fn value(&self, input: usize, output: usize, outputs: usize, q: i32) -> f32 {
        if let Some(row) = self.outliers.as_ref().and_then(|outliers| outliers.row(input)) {
            return row[output];
        }
        let at = self.scales.place(input, output, outputs);
        let zero = self.zero_points.as_ref().map_or(0, |points| i32::from(points[at]));
        (q - zero) as f32 * self.scales.all()[at]
    }
}

impl Scales {
    /// How many there are.
    pub fn per(&self) -> Per {
        match self {
            Scales::Tensor(_) => Per::Tensor,
            Scales::Channel(_) => Per::Channel,
            Scales::Row(_) => Per::Row,
            Scales::Group { size, .. } => Per::Group(*size),
        }
    }

    /// All of them, in the order in which they are written.
    pub fn all(&self) -> &[f32] {
        match self {
            Scales::Tensor(scale) => std::slice::from_ref(scale),
            Scales::Channel(scales) | Scales::Row(scales) | Scales::Group { scales, .. } => scales,
        }
    }

    /// Scales from [`all`](Scales::all) of them.
    ///
    /// # Panics
    /// When one scale is asked for and there is none: a mistake of the caller.
    pub fn of(per: Per, all: Vec<f32>) -> Self {
        match per {
            Per::Tensor => Scales::Tensor(all[0]),
            Per::Channel => Scales::Channel(all),
            Per::Row => Scales::Row(all),
            Per::Group(size) => Scales::Group { size, scales: all },
        }
    }

    /// The position in [`all`](Scales::all) of an entry's scale, in a matrix of `outputs` columns.
    pub fn place(&self, input: usize, output: usize, outputs: usize) -> usize {
        match self {
            Scales::Tensor(_) => 0,
            Scales::Channel(_) => output,
            Scales::Row(_) => input,
            Scales::Group { size, .. } => input / usize::from(*size).max(1) * outputs + output,
        }
    }
}
