//! A weight matrix that is laid out for multiplying.

use crate::floats::FloatPanels;
use crate::form::{Body, Element, Held};
use crate::int8::WidePanels;
use crate::integers::Integers;
use crate::isa::has_panels;
use nlpress_packed::{Entries, Index, Matrix, Numbers, Quantized, Scales, Scheme, Values};
use std::sync::OnceLock;

/// A `[inputs, outputs]` weight matrix, laid out in memory for the products of this processor.
///
/// Made once from a [`Matrix`], whose numbers move: the two are never held both, but for the one that is being laid out.
#[derive(Clone, Debug)]
pub struct Linear {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    scheme: Scheme,
    pub(crate) store: Store,
    pub(crate) together: Together,
}

/// A matrix once more, in panels of columns, as products of rows with few zeros take it: laid out when the first such product
/// asks for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Together {
    bytes: OnceLock<WidePanels>,
    floats: OnceLock<FloatPanels>,
}

impl Together {
    pub(crate) fn bytes(
        &self,
        body: &Body<i8>,
        (inputs, outputs): (usize, usize),
        integers: &Integers,
    ) -> &WidePanels {
        self.bytes.get_or_init(|| {
            let factors =
                integers.factors(outputs).filter(|_| outputs.is_multiple_of(64)).unwrap_or_default();
            if let Body::Rows { values, stride } = body {
                return WidePanels::new(values, (inputs, *stride), factors);
            }
            let mut rows = vec![0; inputs * outputs];
            body.visit(outputs, |row, column, value| rows[row * outputs + column] = value);
            WidePanels::new(&rows, (inputs, outputs), factors)
        })
    }

    /// From rows of as many numbers as there are outputs.
    pub(crate) fn floats(&self, rows: &[f32], (inputs, outputs): (usize, usize)) -> &FloatPanels {
        self.floats.get_or_init(|| FloatPanels::new(rows, inputs, outputs))
    }

    fn resident_bytes(&self) -> usize {
        let bytes = self.bytes.get().map_or(0, WidePanels::resident_bytes);
        bytes + self.floats.get().map_or(0, FloatPanels::resident_bytes)
    }
}

/// Weights of one type of numbers.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    /// Floats.
    Floats(Body<f32>),
    /// The same, all stored, in panels of 32 columns.
    FloatPanels(FloatPanels),
    /// Integers of more than 8 bits.
    Words(Body<i32>, Integers),
    /// Integers of up to 8 bits.
    Bytes(Body<i8>, Integers),
    /// The same, all stored, with a scale for each output, in panels of 64 columns.
    Wide(WidePanels, Integers),
}

/// What the panels of an encoder's weights are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncoderNumbers {
    /// Integers of 8 bits.
    Bytes,
    /// Floats of 32 bits.
    Floats,
}

/// Evaluates an expression for the body of a store, whatever its type.
macro_rules! each {
    ($store:expr, $body:ident => $value:expr) => {
        match $store {
            Store::Floats($body) => $value,
            Store::FloatPanels($body) => $value,
            Store::Words($body, _) => $value,
            Store::Bytes($body, _) => $value,
            Store::Wide($body, _) => $value,
        }
    };
}

/// What decides how weights are held.
#[derive(Clone, Copy)]
enum Choice {
    SparseRows,
    DenseRows,
    Held(Held),
}

fn lay_out<T: Element>(
    entries: Entries<T>,
    (inputs, outputs): (usize, usize),
    choice: Choice,
    narrow: bool,
) -> Body<T> {
    match choice {
        Choice::SparseRows => Body::for_sparse_rows(entries, inputs, outputs),
        Choice::DenseRows => Body::for_dense_rows(entries, (inputs, outputs), narrow, has_panels()),
        Choice::Held(held) => Body::held_as(entries, held, inputs, outputs),
    }
}

impl Linear {
    /// In the form that is the fastest for activations that are mostly zero, which is what the first layer of a text
    /// network gets. Every form takes every row.
    pub fn for_sparse_rows(matrix: Matrix) -> Self {
        Self::new(matrix, Choice::SparseRows)
    }

    /// In the form that is the fastest for activations that are mostly not zero.
    pub fn for_dense_rows(matrix: Matrix) -> Self {
        Self::new(matrix, Choice::DenseRows)
    }

    /// As the layers of an encoder take it: in panels of columns, where [that can be](Linear::encoder_numbers), else as
    /// [`for_dense_rows`](Linear::for_dense_rows).
    pub fn for_encoder(matrix: Matrix) -> Self {
        if Self::encoder_numbers(&matrix).is_none() {
            return Self::for_dense_rows(matrix);
        }
        let (inputs, outputs, scheme) = (matrix.inputs(), matrix.outputs(), matrix.scheme());
        match matrix.into_numbers() {
            Numbers::Bytes(Entries::Full(values), quantized) => {
                let integers = Integers::new(quantized);
                let factors = integers.factors(outputs).expect("no zero points, and no groups");
                let panels = WidePanels::new(&values, (inputs, outputs), factors);
                let store = Store::Wide(panels, integers);
                Self { inputs, outputs, scheme, store, together: Together::default() }
            }
            Numbers::Floats(Entries::Full(values)) => {
                let lay_out = match scheme.values {
                    Values::Bf16 => FloatPanels::halves,
                    _ => FloatPanels::new,
                };
                let store = Store::FloatPanels(lay_out(&values, inputs, outputs));
                Self { inputs, outputs, scheme, store, together: Together::default() }
            }
            _ => unreachable!("such matrices store all their numbers"),
        }
    }

    /// Of what a matrix's panels of columns are, if it can lie so: floats, or integers of up to 8 bits with one scale or
    /// one for each output and nothing else, that are all stored, and whose sides are whole vectors and fill whole panels.
    pub fn encoder_numbers(matrix: &Matrix) -> Option<EncoderNumbers> {
        let whole = matrix.inputs().is_multiple_of(64) && matrix.outputs().is_multiple_of(64);
        let Scheme { values, index: Index::Full } = matrix.scheme() else { return None };
        let Values::Int(int) = values else { return whole.then_some(EncoderNumbers::Floats) };
        let plain = matrix.quantization().is_some_and(|quantized| {
            quantized.zero_points.is_none()
                && quantized.outliers.is_none()
                && matches!(quantized.scales, Scales::Channel(_) | Scales::Tensor(_))
        });
        (whole && plain && !int.grid.is_wide()).then_some(EncoderNumbers::Bytes)
    }

    /// Of what the panels of [`for_encoder`](Linear::for_encoder) are.
    pub(crate) fn panel_numbers(&self) -> Option<EncoderNumbers> {
        match &self.store {
            Store::Wide(..) => Some(EncoderNumbers::Bytes),
            Store::FloatPanels(_) => Some(EncoderNumbers::Floats),
            _ => None,
        }
    }

    /// The panels of floats of [`for_encoder`](Linear::for_encoder).
    pub(crate) fn float_panels(&self) -> Option<&FloatPanels> {
        match &self.store {
            Store::FloatPanels(panels) => Some(panels),
            _ => None,
        }
    }

    /// The panels of bytes of [`for_encoder`](Linear::for_encoder).
    pub(crate) fn wide(&self) -> Option<&WidePanels> {
        match &self.store {
            Store::Wide(panels, _) => Some(panels),
            _ => None,
        }
    }

    /// In that form, whatever is faster.
    ///
    /// A matrix that stores all entries is held as [`Held::Rows`] or [`Held::Tiles`], and as rows otherwise; one with
    /// scales for groups is always held as rows.
    pub fn held_as(matrix: Matrix, held: Held) -> Self {
        Self::new(matrix, Choice::Held(held))
    }

    fn new(matrix: Matrix, choice: Choice) -> Self {
        let (inputs, outputs, scheme) = (matrix.inputs(), matrix.outputs(), matrix.scheme());
        let shape = (inputs, outputs);
        let store = match matrix.into_numbers() {
            Numbers::Floats(entries) => Store::Floats(lay_out(entries, shape, choice, false)),
            Numbers::Words(entries, quantized) => {
                Store::Words(lay_out(entries, shape, choice, false), Integers::new(quantized))
            }
            Numbers::Bytes(entries, quantized) => {
                let integers = Integers::new(quantized);
                // Scales for groups of inputs are multiplied by group by group, for which there are only rows.
                let choice = if integers.is_grouped() { Choice::Held(Held::Rows) } else { choice };
                Store::Bytes(lay_out(entries, shape, choice, integers.narrow), integers)
            }
        };
        Self { inputs, outputs, scheme, store, together: Together::default() }
    }

    /// Rows: the length of an input.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Columns: the length of an output.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The layout of the matrix that it was made from.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// How the weights are held in memory.
    pub fn held(&self) -> Held {
        match &self.store {
            Store::Floats(body) => body.held(),
            Store::Words(body, _) => body.held(),
            Store::Bytes(body, _) => body.held(),
            Store::Wide(..) | Store::FloatPanels(_) => Held::Tiles,
        }
    }

    /// Bytes that the weights take in memory. A sparse matrix that multiplies faster with its zeros in place is held
    /// that way, so this can be more than [`Matrix::bytes`]; and one that rows with few zeros have been multiplied with may be held
    /// once more, in another order.
    pub fn resident_bytes(&self) -> usize {
        let scales = match &self.store {
            Store::Floats(_) | Store::FloatPanels(_) => 0,
            Store::Words(_, integers) | Store::Bytes(_, integers) | Store::Wide(_, integers) => {
                integers.resident_bytes()
            }
        };
        scales + self.together.resident_bytes() + each!(&self.store, body => body.resident_bytes())
    }

    /// What the integers stand for; `None` for floats.
    pub fn quantization(&self) -> Option<&Quantized> {
        match &self.store {
            Store::Floats(_) | Store::FloatPanels(_) => None,
            Store::Words(_, integers) | Store::Bytes(_, integers) | Store::Wide(_, integers) => {
                Some(&integers.quantized)
            }
        }
    }

    /// All entries as floats, `[inputs, outputs]`, row-major: what [`Matrix::unpack`] gives.
    pub fn unpack(&self) -> Vec<f32> {
        let mut dense = vec![0.0; self.inputs * self.outputs];
        let mut put = |row, column, value| dense[row * self.outputs + column] = value;
        match &self.store {
            Store::Floats(body) => body.visit(self.outputs, put),
            Store::FloatPanels(panels) => panels.visit(put),
            Store::Words(body, Integers { quantized, .. }) => {
                body.visit(self.outputs, |r, c, q| put(r, c, quantized.value(r, c, self.outputs, q)));
            }
            Store::Bytes(body, Integers { quantized, .. }) => {
                body.visit(self.outputs, |r, c, q| put(r, c, quantized.value(r, c, self.outputs, q.into())));
            }
            Store::Wide(panels, Integers { quantized, .. }) => {
                panels.visit(|r, c, q| put(r, c, quantized.value(r, c, self.outputs, q.into())));
            }
        }
        dense
    }
}
