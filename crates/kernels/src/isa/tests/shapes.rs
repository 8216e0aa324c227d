//! Whole matrices of 8-bit integers, in the shapes of networks and in odd ones: the sums of every set of
//! instructions are those that are made one product at a time, bit for bit.

use super::*;
use crate::form::Held;
use crate::input::{Batch, Input};
use crate::linear::Linear;
use crate::quantize::quantize_row;
use crate::scratch::Scratch;
use nlpress_packed::{Grid, Index, Matrix, Scales};

const SHAPES: [(usize, usize); 19] = [
    (1, 1),
    (3, 5),
    (4, 1),
    (7, 9),
    (12, 8),
    (20, 33),
    (33, 31),
    (50, 63),
    (61, 65),
    (64, 1),
    (100, 96),
    (129, 127),
    (36, 200),
    (97, 161),
    (128, 64),
    (300, 72),
    (1000, 128),
    (1000, 1),
    (384, 1536),
];

/// What weights and activations are like.
#[derive(Clone, Copy, Debug)]
enum Numbers {
    /// Anything, a quarter of it zero.
    Random,
    /// All as large as they can be, of one sign.
    Same(i32, i32),
    /// All as large as they can be, of signs by chance.
    Signs,
}

const NUMBERS: [Numbers; 6] = [
    Numbers::Random,
    Numbers::Same(127, 127),
    Numbers::Same(127, -127),
    Numbers::Same(-127, 127),
    Numbers::Same(-127, -127),
    Numbers::Signs,
];

impl Numbers {
    fn make(self, seed: u64, count: usize, of_activations: bool) -> Vec<i32> {
        match self {
            Self::Random => numbers(seed, count, 127),
            Self::Same(x, w) => vec![if of_activations { x } else { w }; count],
            Self::Signs => {
                numbers(seed, count, 127).into_iter().map(|n| if n < 0 { -127 } else { 127 }).collect()
            }
        }
    }
}

/// A matrix in each form: all entries, then those of `keep`.
fn forms(weights: &[i32], keep: &[bool], (inputs, outputs): (usize, usize)) -> Vec<Linear> {
    let int8 = |keep, index| {
        let scales = Scales::Channel(vec![1.0; outputs]);
        Matrix::quantized((inputs, outputs), Grid::Int8, weights, scales, keep, index).unwrap()
    };
    let (dense, sparse) = (int8(None, Index::Full), int8(Some(keep), Index::Csr));
    let mut all = vec![Linear::for_sparse_rows(dense.clone()), Linear::held_as(dense, Held::Tiles)];
    let held = [Held::Rows, Held::Tiles, Held::Lists, Held::Strips, Held::Panels];
    all.extend(held.map(|held| Linear::held_as(sparse.clone(), held)));
    all.push(Linear::for_dense_rows(sparse));
    all
}

/// One product at a time, in integers of any size.
fn expected(weights: &[i32], row: &[i32], outputs: usize) -> Vec<f32> {
    let mut sums = vec![0i64; outputs];
    for (weights, &x) in weights.chunks_exact(outputs).zip(row) {
        sums.iter_mut().zip(weights).for_each(|(sum, &w)| *sum += i64::from(x) * i64::from(w));
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}

#[test]
fn sums_of_whole_matrices_are_exact() {
    on_every_set!(check_sums);
}

fn check_sums(kernels: impl Kernels, set: &str) {
    let mut scratch = Scratch::default();
    for ((inputs, outputs), like) in SHAPES.iter().flat_map(|shape| NUMBERS.map(|like| (*shape, like))) {
        let seed = (inputs * 31 + outputs) as u64;
        let weights = like.make(seed, inputs * outputs, false);
        let keep: Vec<bool> = numbers(seed + 1, weights.len(), 99).iter().map(|n| n.abs() % 3 == 0).collect();
        let kept: Vec<i32> = weights.iter().zip(&keep).map(|(&w, &keep)| if keep { w } else { 0 }).collect();
        let weights_in_forms = forms(&weights, &keep, (inputs, outputs));
        for absolute in [false, true] {
            let mut row = like.make(seed + 2, inputs, true);
            if absolute {
                row.iter_mut().for_each(|x| *x = x.abs());
            }
            // So that a level is the number itself: the scale is one.
            row[inputs / 2] = 127;
            let floats: Vec<f32> = row.iter().map(|&x| x as f32).collect();
            let mut levels = vec![0; inputs];
            assert_eq!((quantize_row(&floats, 127, &mut levels), &levels), (1.0, &row));
            let columns: Vec<u32> = (0..inputs as u32).filter(|&i| row[i as usize] != 0).collect();
            let values: Vec<f32> = columns.iter().map(|&i| floats[i as usize]).collect();
            let all = [Input::Dense(&floats), Input::Sparse { columns: &columns, values: &values }];
            for (n, linear) in weights_in_forms.iter().enumerate() {
                let sums = expected(if n < 2 { &weights } else { &kept }, &row, outputs);
                for input in all {
                    // Infinite, so that what is not written is seen.
                    let mut out = vec![f32::INFINITY; outputs];
                    linear.multiply_by_loops(kernels, input, &vec![0.0; outputs], &mut out, &mut scratch);
                    let held = linear.held();
                    assert_eq!(out, sums, "{set}: {inputs}x{outputs}, {held}, {like:?}, {absolute}");
                }
            }
        }
    }
}

#[test]
fn rows_together_are_rows_alone() {
    on_every_set!(check_batches);
}

/// Rows that are dense and sparse enough to be taken together, and others, in numbers that fill blocks and do not.
fn check_batches(kernels: impl Kernels, set: &str) {
    let mut scratch = Scratch::default();
    let shapes = SHAPES.iter().filter(|(inputs, outputs)| inputs * outputs <= 200 * 200);
    for ((n, &(inputs, outputs)), grid) in shapes.enumerate().flat_map(|s| [(s, Grid::Int8), (s, Grid::Int4)])
    {
        let seed = (inputs * 31 + outputs) as u64;
        let largest = grid.levels();
        let weights = match n % 3 {
            0 => vec![-largest; inputs * outputs],
            _ => numbers(seed, inputs * outputs, largest),
        };
        let scales = Scales::Channel(vec![0.25; outputs]);
        let held = [Held::Rows, Held::Tiles, Held::Lists];
        let matrix = Matrix::quantized((inputs, outputs), grid, &weights, scales, None, Index::Full).unwrap();
        let points = vec![grid.with_zero_point().unwrap().0 as i8; outputs];
        let scales = Scales::Channel(vec![0.5; outputs]);
        let affine = Matrix::affine((inputs, outputs), grid, &weights, scales, points).unwrap();
        let fixed = matrix.clone().with_activations(0.7).unwrap();
        let row_scales = Scales::Row((0..inputs).map(|i| 0.1 + i as f32).collect());
        let by_row =
            Matrix::quantized((inputs, outputs), grid, &weights, row_scales, None, Index::Full).unwrap();
        let bias: Vec<f32> = (0..outputs).map(|j| j as f32).collect();
        let all = [matrix, affine, fixed, by_row];
        for linear in all.iter().flat_map(|m| held.map(|held| Linear::held_as(m.clone(), held))) {
            for (rows, percent) in [(1, 100), (2, 100), (4, 100), (7, 60), (9, 90), (33, 100), (41, 20)] {
                let mut dense: Vec<f32> =
                    numbers(seed + rows, rows as usize * inputs, 99).iter().map(|&x| x as f32).collect();
                let zeros = numbers(seed + 5, dense.len(), 99);
                dense.iter_mut().zip(zeros).filter(|(_, n)| n.abs() >= percent).for_each(|(x, _)| *x = 0.0);
                if rows % 2 == 1 {
                    dense.iter_mut().for_each(|x| *x = x.abs());
                }
                let (mut offsets, mut columns, mut values) = (vec![0], vec![], vec![]);
                for row in dense.chunks_exact(inputs) {
                    let nonzeros = (0..inputs as u32).filter(|&i| row[i as usize] != 0.0);
                    columns.extend(nonzeros.clone());
                    values.extend(nonzeros.map(|i| row[i as usize]));
                    offsets.push(columns.len());
                }
                let mut expected = vec![f32::INFINITY; rows as usize * outputs];
                for (row, out) in dense.chunks_exact(inputs).zip(expected.chunks_exact_mut(outputs)) {
                    linear.multiply_by_loops(Portable, Input::Dense(row), &bias, out, &mut scratch);
                }
                let sparse = Batch::Sparse { offsets: &offsets, columns: &columns, values: &values };
                for batch in [Batch::Dense(&dense), sparse] {
                    let mut out = vec![f32::INFINITY; expected.len()];
                    linear.multiply_rows_with(kernels, batch, &bias, &mut out, &mut scratch);
                    assert_eq!(
                        out,
                        expected,
                        "{set}: {inputs}x{outputs} {grid} {}, {rows} rows",
                        linear.held()
                    );
                }
            }
        }
    }
}

#[test]
fn floats_together_are_floats_alone() {
    on_every_set!(check_float_batches);
}

fn check_float_batches(kernels: impl Kernels, set: &str) {
    let mut scratch = Scratch::default();
    for (inputs, outputs) in [(1, 64), (5, 60), (33, 128), (100, 96), (64, 200), (40, 7)] {
        let weights =
            numbers(inputs as u64, inputs * outputs, 999).iter().map(|&w| w as f32 / 999.0).collect();
        let linear = Linear::for_sparse_rows(Matrix::dense(inputs, outputs, weights).unwrap());
        let bias = vec![0.5; outputs];
        for (rows, zeros) in [(1, 2), (4, 2), (6, 9), (7, 3), (15, 4), (33, 5), (40, 2)] {
            let random = numbers(rows as u64, rows * inputs, 999);
            let dense: Vec<f32> =
                random.iter().map(|&x| if x % zeros == 0 { 0.0 } else { x as f32 / 77.0 }).collect();
            let (mut together, mut alone) = (vec![9.0; rows * outputs], vec![8.0; rows * outputs]);
            linear.multiply_rows_with(kernels, Batch::Dense(&dense), &bias, &mut together, &mut scratch);
            for (row, out) in dense.chunks_exact(inputs).zip(alone.chunks_exact_mut(outputs)) {
                linear.multiply_with(kernels, Input::Dense(row), &bias, out, &mut scratch);
            }
            assert_eq!(together, alone, "{set}: {inputs}x{outputs}, {rows} rows");
        }
    }
}
