//! Inputs of a matrix of integers whose weights are 16-bit floats, and whose activations are not rounded.
//!
//! A row of activations shares one scale, so a single input that is much larger than the others takes their precision
//! from them. Dettmers et al. 2022 (LLM.int8(), arXiv:2208.07339) multiply such inputs as 16-bit floats and all others as
//! integers, and add the two products. Here the inputs are named once, when the matrix is made, so that finding them
//! costs nothing but a look at each row; in the integers their weights are zero, or the integer nearest to zero where
//! the grid has none, which no activation is multiplied with.

use crate::PackError;
use crate::dtype::Dtype;
use crate::numbers::{LARGEST_HALF, halves, read_halves, read_whole, round_to_half, whole};
use crate::part::{Lookup, Part};
use crate::shape::{MOST_QUANTIZED_INPUTS, Shape, check_length};
use std::borrow::Cow;

/// The inputs of a matrix of integers whose weights are floats.
#[derive(Clone, Debug, PartialEq)]
pub struct Outliers {
    /// Ascending.
    inputs: Vec<u32>,
    /// `[inputs, outputs]`, exact as 16-bit floats.
    values: Vec<f32>,
    outputs: usize,
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
        check_length("outliers", values.len(), inputs.len().saturating_mul(shape.1))?;
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
        let outliers = Self { inputs, values, outputs: shape.1 };
        outliers.check(shape.0, shape.1)?;
        Ok(outliers)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u16 {
        self.inputs.len() as u16
    }

    /// Checks which inputs they are, and that their weights are finite.
    pub(crate) fn check(&self, inputs: usize, outputs: usize) -> Result<(), PackError> {
        if inputs > MOST_QUANTIZED_INPUTS {
            return Err(PackError::Inputs { inputs, most: MOST_QUANTIZED_INPUTS });
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
        check_length("outliers", self.values.len(), self.inputs.len() * outputs)?;
        match self.values.iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(position) => {
                Err(PackError::NotFinite { what: "outliers", position, value: self.values[position] })
            }
        }
    }

    /// Which of them an input is, counted from 0, where it is one.
    pub fn place(&self, input: usize) -> Option<usize> {
        self.inputs.binary_search(&u32::try_from(input).ok()?).ok()
    }

    /// The weights of an input, where it is one of them.
    pub fn row(&self, input: usize) -> Option<&[f32]> {
        self.place(input).map(|place| &self.values[place * self.outputs..][..self.outputs])
    }

    /// Bytes that they take in memory.
    pub fn resident_bytes(&self) -> usize {
        size_of_val(&self.inputs[..]) + size_of_val(&self.values[..])
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
