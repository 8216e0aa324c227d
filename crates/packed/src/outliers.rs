//! Inputs of a matrix of integers whose weights are 16-bit floats, and whose activations are not rounded.
//!
//! A row of activations shares one scale, so a single input that is much larger than the others takes their precision
//! from them. Dettmers et al. 2022 (LLM.int8(), arXiv:2208.07339) multiply such inputs as 16-bit floats and all others as
//! integers, and add the two products. Here the inputs are named once, when the matrix is made, so that finding them
//! costs nothing but a look at each row; in the integers their weights are zero, or the integer nearest to zero where
//! the grid has none, which no activation is multiplied with.

use crate::body::Body;
use crate::check;
use crate::index::{Lookup, Shape};
use crate::multiply::room;
use crate::numbers::{LARGEST_HALF, halves, read_halves, read_whole, round_to_half, whole};
use crate::parts::{Dtype, Part};
use crate::{Batch, Grid, Input, Matrix, PackError, Scratch};
use std::borrow::Cow;

/// The inputs of a matrix of integers whose weights are floats.
#[derive(Clone, Debug, PartialEq)]
pub struct Outliers {
    /// Ascending.
    inputs: Vec<u32>,
    /// `[inputs, outputs]`, exact as 16-bit floats.
    values: Vec<f32>,
    outputs: usize,
    /// One bit for each input up to the last of them, so that all others are told from them in one look.
    marks: Vec<u64>,
}

impl Outliers {
    /// Which inputs, ascending.
    pub fn inputs(&self) -> &[u32] {
        &self.inputs
    }

    /// Their weights, `[inputs, outputs]`, each of which a 16-bit float holds exactly.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Rounds the weights to 16-bit floats; `None` for no inputs.
    pub(crate) fn new(
        inputs: Vec<u32>,
        values: &[f32],
        shape: (usize, usize),
    ) -> Result<Option<Self>, PackError> {
        check::length("outliers", values.len(), inputs.len().saturating_mul(shape.1))?;
        if let Some((position, &value)) =
            values.iter().enumerate().find(|(_, v)| !round_to_half(**v).is_finite())
        {
            return Err(match value.is_finite() {
                true => PackError::Half { position, value, most: LARGEST_HALF },
                false => PackError::NotFinite { what: "outliers", position, value },
            });
        }
        if inputs.is_empty() {
            return Ok(None);
        }
        let values = values.iter().map(|v| round_to_half(*v)).collect();
        Self::checked(inputs, values, shape).map(Some)
    }

    fn checked(inputs: Vec<u32>, values: Vec<f32>, shape: (usize, usize)) -> Result<Self, PackError> {
        let mut outliers = Self { inputs, values, outputs: shape.1, marks: vec![] };
        outliers.check(shape.0, shape.1)?;
        // The last is the largest; a matrix of integers has few enough inputs for a bit each.
        let last = outliers.inputs.last().map_or(0, |last| *last as usize);
        outliers.marks.resize(last / 64 + 1, 0);
        for input in &outliers.inputs {
            outliers.marks[*input as usize / 64] |= 1 << (input % 64);
        }
        Ok(outliers)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u16 {
        self.inputs.len() as u16
    }

    /// Checks which inputs they are, and that their weights are finite.
    pub(crate) fn check(&self, inputs: usize, outputs: usize) -> Result<(), PackError> {
        if inputs > crate::MOST_QUANTIZED_INPUTS {
            return Err(PackError::Inputs { inputs, most: crate::MOST_QUANTIZED_INPUTS });
        }
        if self.inputs.len() > usize::from(u16::MAX) {
            return Err(PackError::Outliers { found: self.inputs.len(), most: u16::MAX });
        }
        for (position, &input) in self.inputs.iter().enumerate() {
            let ascends = position == 0 || self.inputs[position - 1] < input;
            if !ascends || input as usize >= inputs {
                return Err(PackError::Outlier { position, input: input.into(), inputs });
            }
        }
        check::length("outliers", self.values.len(), self.inputs.len() * outputs)?;
        match self.values.iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(position) => {
                Err(PackError::NotFinite { what: "outliers", position, value: self.values[position] })
            }
        }
    }

    /// Checks that no weight is given twice: the integers in their place are the one nearest to zero, and where nothing
    /// is kept their weights are zero.
    pub(crate) fn check_body(&self, body: &Body<i8>, outputs: usize, grid: Grid) -> Result<(), PackError> {
        let placeholder = grid.nearest(0.0);
        let mut kept = vec![false; self.values.len()];
        let mut bad = None;
        body.visit(outputs, |input, output, q| {
            let Some(place) = self.place(input) else { return };
            kept[place * outputs + output] = true;
            if i32::from(q) != placeholder {
                bad.get_or_insert((input, output, f32::from(q)));
            }
        });
        if let Some((input, output, value)) = bad {
            let expected = "the integer nearest to zero beside its float";
            return Err(PackError::OutlierValue { input, output, value, expected });
        }
        match self.values.iter().zip(&kept).position(|(value, kept)| !kept && *value != 0.0) {
            None => Ok(()),
            Some(at) => {
                let (input, output) = (self.inputs[at / outputs] as usize, at % outputs);
                let expected = "0, for nothing is kept there";
                Err(PackError::OutlierValue { input, output, value: self.values[at], expected })
            }
        }
    }

    fn place(&self, input: usize) -> Option<usize> {
        self.inputs.binary_search(&u32::try_from(input).ok()?).ok()
    }

    /// The weights of an input, where it is one of them.
    pub(crate) fn row(&self, input: usize) -> Option<&[f32]> {
        self.place(input).map(|place| &self.values[place * self.outputs..][..self.outputs])
    }

    pub(crate) fn resident_bytes(&self) -> usize {
        size_of_val(&self.inputs[..]) + size_of_val(&self.values[..]) + size_of_val(&self.marks[..])
    }

    /// A row times a matrix with these outliers, by the rules of [`multiply`](crate::multiply).
    pub(crate) fn multiply(
        &self,
        matrix: &Matrix,
        input: Input<'_>,
        (bias, out): (&[f32], &mut [f32]),
        scratch: &mut Scratch,
    ) {
        // Moved out, so that the product can have the rest.
        let mut rest = std::mem::take(&mut scratch.without_outliers);
        let mut taken = std::mem::take(&mut scratch.outliers);
        let found = room(&mut taken, self.inputs.len());
        rest.clear();
        let input = match input {
            Input::Sparse { columns, values } => {
                rest.extend_from_slice(values);
                found.fill(0.0);
                for (x, &column) in rest.iter_mut().zip(columns) {
                    let marks = self.marks.get(column as usize / 64).copied().unwrap_or(0);
                    if marks >> (column % 64) & 1 == 1
                        && let Some(place) = self.place(column as usize)
                    {
                        found[place] = std::mem::take(x);
                    }
                }
                Input::Sparse { columns, values: &rest }
            }
            Input::Dense(row) => {
                assert_eq!(row.len(), matrix.inputs(), "one activation for each input");
                rest.extend_from_slice(row);
                self.take(&mut rest, found);
                Input::Dense(&rest)
            }
        };
        matrix.multiply_rest(input, bias, out, scratch);
        self.add(found, out);
        (scratch.without_outliers, scratch.outliers) = (rest, taken);
    }

    /// The same for several rows; those without gaps all at once.
    pub(crate) fn multiply_rows(
        &self,
        matrix: &Matrix,
        batch: Batch<'_>,
        (bias, out): (&[f32], &mut [f32]),
        scratch: &mut Scratch,
    ) {
        let (inputs, outputs, count) = (matrix.inputs(), matrix.outputs(), self.inputs.len());
        let Batch::Dense(rows) = batch else {
            for (row, out) in out.chunks_exact_mut(outputs).enumerate() {
                self.multiply(matrix, batch.row(row, inputs), (bias, out), scratch);
            }
            return;
        };
        let mut rest = std::mem::take(&mut scratch.without_outliers);
        let mut taken = std::mem::take(&mut scratch.outliers);
        rest.clear();
        rest.extend_from_slice(rows);
        let found = room(&mut taken, rows.len() / inputs * count);
        for (row, found) in rest.chunks_exact_mut(inputs).zip(found.chunks_exact_mut(count)) {
            self.take(row, found);
        }
        matrix.multiply_rows_rest(Batch::Dense(&rest), bias, out, scratch);
        for (found, out) in found.chunks_exact(count).zip(out.chunks_exact_mut(outputs)) {
            self.add(found, out);
        }
        (scratch.without_outliers, scratch.outliers) = (rest, taken);
    }

    /// Leaves zeros in a row without gaps where it takes the outliers' activations from.
    fn take(&self, row: &mut [f32], found: &mut [f32]) {
        for (found, &input) in found.iter_mut().zip(&self.inputs) {
            *found = std::mem::take(&mut row[input as usize]);
        }
    }

    /// Adds the products of the outliers' activations.
    fn add(&self, found: &[f32], out: &mut [f32]) {
        for (&x, weights) in found.iter().zip(self.values.chunks_exact(self.outputs)) {
            if x != 0.0 {
                out.iter_mut().zip(weights).for_each(|(out, w)| *out += x * w);
            }
        }
    }

    /// As they are written.
    pub(crate) fn parts(&self, outputs: usize) -> [Part<'_>; 2] {
        let inputs: Vec<i32> = self.inputs.iter().map(|&input| input as i32).collect();
        [
            Part {
                name: "outlier_inputs",
                dtype: Dtype::I32,
                shape: vec![inputs.len()],
                bytes: whole(Cow::Owned(inputs)),
            },
            Part {
                name: "outliers",
                dtype: Dtype::F16,
                shape: vec![self.inputs.len(), outputs],
                bytes: halves(Cow::Borrowed(&self.values)),
            },
        ]
    }

    /// Reads so many.
    pub(crate) fn read<'a>(
        count: u16,
        shape: Shape,
        lookup: &mut impl Lookup<'a>,
    ) -> Result<Option<Self>, PackError> {
        if count == 0 {
            return Ok(None);
        }
        let count = usize::from(count);
        let part = Part::take("outlier_inputs", lookup)?;
        part.expect(Dtype::I32, &[count])?;
        let found = read_whole::<i32>(&part.bytes, count)?;
        let unsigned = |(position, input): (usize, &i32)| {
            let inputs = shape.inputs;
            u32::try_from(*input).map_err(|_| PackError::Outlier { position, input: (*input).into(), inputs })
        };
        let inputs = found.iter().enumerate().map(unsigned).collect::<Result<_, _>>()?;
        let part = Part::take("outliers", lookup)?;
        part.expect(Dtype::F16, &[count, shape.outputs])?;
        let values = read_halves(&part.bytes, count * shape.outputs)?;
        Self::checked(inputs, values, (shape.inputs, shape.outputs)).map(Some)
    }
}
