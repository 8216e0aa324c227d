//! Every form in memory multiplies alike, keeps its numbers, and takes no more memory than was foretold.

#![cfg(test)]
#![cfg(not(target_family = "wasm"))]

#[path = "../../packed/tests/common/mod.rs"]
mod common;

use common::{INDEXES, grid, matrices, thin};
use nlpress_kernels::{Batch, Held, Input, Levels, Linear, Scratch, quantize_row, quantize_row_at};
use nlpress_packed::{Dtype, Grid, Index, Matrix, Part, Per, Scales, Scheme, Values};
use proptest::prelude::*;
use std::borrow::Cow;

proptest! {
    #[test]
    fn forms_take_the_memory_that_was_foretold(
        (inputs, outputs) in prop_oneof![(1usize..40, 1usize..40), (1usize..4, 250usize..300)],
        percent in prop_oneof![Just(0u64), Just(100), 0u64..101],
        seed in 0u64..1000,
    ) {
        let (q, all) = grid(seed, inputs * outputs, percent);
        for index in INDEXES {
            let keep = thin(index, outputs, &all);
            for matrix in matrices(inputs, outputs, &q, &keep, index) {
                let values = matrix.parts()[0].bytes.len();
                let foretold =
                    matrix.scheme().expanded_bytes(inputs, outputs, values) + 2 * (matrix.bytes() - values);
                let unpacked = matrix.unpack();
                for linear in [Linear::for_sparse_rows(matrix.clone()), Linear::for_dense_rows(matrix)] {
                    // But for one mark for each input up to the last outlier and a cache line of padding.
                    let (form, bytes) = (linear.held(), linear.resident_bytes());
                    prop_assert!(bytes <= foretold + inputs / 8 + 64, "{}, {form}: {bytes}, {foretold}", linear.scheme());
                    prop_assert_eq!(linear.unpack(), &unpacked[..]);
                }
            }
        }
    }
}

#[test]
fn all_forms_in_memory_are_the_same_matrix() {
    let (inputs, outputs) = (37, 45);
    let bias: Vec<f32> = (0..outputs).map(|j| j as f32 * 0.01).collect();
    let signed: Vec<f32> =
        (0..inputs).map(|i| (i % 3) as f32 * if i % 2 == 0 { 0.7 } else { -1.3 }).collect();
    let positive: Vec<f32> = signed.iter().map(|x| x.abs()).collect();
    let columns: Vec<u32> = (0..inputs as u32).filter(|&i| signed[i as usize] != 0.0).collect();
    let mut scratch = Scratch::default();
    for (percent, index) in
        [0, 1, 3, 30, 90].into_iter().flat_map(|percent| INDEXES.map(|index| (percent, index)))
    {
        let (q, keep) = grid(percent, inputs * outputs, percent);
        let keep = thin(index, outputs, &keep);
        for matrix in matrices(inputs, outputs, &q, &keep, index) {
            let rows = Linear::held_as(matrix.clone(), Held::Rows);
            for held in [Held::Lists, Held::Strips, Held::Panels, Held::Tiles] {
                let other = Linear::held_as(matrix.clone(), held);
                let grouped = matches!(matrix.scales(), Some(Scales::Group { .. }));
                let rows_only = grouped || index == Index::Full && held != Held::Tiles;
                assert_eq!(other.held(), if rows_only { Held::Rows } else { held });
                assert_eq!(rows.unpack(), matrix.unpack());
                assert_eq!(other.unpack(), matrix.unpack());
                for row in [&signed, &positive] {
                    let values: Vec<f32> = columns.iter().map(|&c| row[c as usize]).collect();
                    let sparse = Input::Sparse { columns: &columns, values: &values };
                    let mut products = vec![vec![1.0; outputs]; 4];
                    rows.multiply(Input::Dense(row), &bias, &mut products[0], &mut scratch);
                    rows.multiply(sparse, &bias, &mut products[1], &mut scratch);
                    other.multiply(Input::Dense(row), &bias, &mut products[2], &mut scratch);
                    other.multiply(sparse, &bias, &mut products[3], &mut scratch);
                    for product in &products[1..] {
                        for (a, b) in products[0].iter().zip(product) {
                            match matrix.scheme().values {
                                Values::F32 | Values::F16 | Values::Bf16 | Values::Codebook(_) => {
                                    assert!((a - b).abs() <= 1e-5 * a.abs().max(100.0), "{a} {b}");
                                }
                                _ => assert_eq!(a, b),
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn sums_are_those_of_the_integers_in_every_form() {
    let (inputs, outputs) = (37, 45);
    let row: Vec<i32> = (0..inputs as i32).map(|i| if i % 3 == 0 { 0 } else { i * 31 % 255 - 127 }).collect();
    let columns: Vec<u32> = (0..inputs as u32).filter(|&i| row[i as usize] != 0).collect();
    let levels: Vec<i32> = columns.iter().map(|&i| row[i as usize]).collect();
    let mut scratch = Scratch::default();
    let mut accumulated = 0;
    for index in INDEXES {
        let (q, keep) = grid(8, inputs * outputs, 40);
        let keep = thin(index, outputs, &keep);
        for matrix in matrices(inputs, outputs, &q, &keep, index) {
            let narrow = matrix.scheme().values.grid().is_some_and(|grid| grid.bits() <= 8);
            let grouped = matches!(matrix.scales(), Some(Scales::Group { .. }));
            let accumulates = Linear::for_sparse_rows(matrix.clone()).accumulates();
            assert_eq!(accumulates, narrow && !grouped && matrix.outliers().is_none());
            if !accumulates {
                continue;
            }
            accumulated += 1;
            let (q, scales) = (matrix.integers().unwrap(), matrix.scales().unwrap());
            let zero = |i, j| matrix.zero_points().map_or(0, |z| i64::from(z[scales.place(i, j, outputs)]));
            let sum = |j| -> i64 {
                (0..inputs).map(|i| i64::from(row[i]) * (i64::from(q[i * outputs + j]) - zero(i, j))).sum()
            };
            let expected: Vec<i64> = (0..outputs).map(sum).collect();
            for held in [Held::Rows, Held::Lists, Held::Strips, Held::Panels, Held::Tiles] {
                let linear = Linear::held_as(matrix.clone(), held);
                for levels in [Levels::Dense(&row), Levels::Sparse { columns: &columns, levels: &levels }] {
                    let mut sums = vec![1; outputs];
                    linear.accumulate(levels, &mut sums, &mut scratch);
                    assert_eq!(sums, expected, "{} {held}", matrix.scheme());
                }
            }
        }
    }
    assert!(accumulated > 100);
}

#[test]
fn the_form_in_memory_follows_the_sparsity() {
    let held = |percent, index, dense_rows| {
        let (q, keep) = grid(4, 256 * 512, percent);
        // The first entry of each block of 4 x 8 decides for all of it, where blocks are asked for.
        let keep: Vec<bool> = match index {
            Index::Block { .. } => (0..keep.len()).map(|i| keep[i / 2048 * 2048 + i % 512 / 8 * 8]).collect(),
            _ => keep,
        };
        let all = matrices(256, 512, &q, &keep, index);
        let int = |grid| Values::int(grid, Per::Channel);
        let of = |values| all.iter().find(|m| m.scheme().values == values).unwrap();
        [of(Values::F32), of(int(Grid::Int8)), of(int(Grid::Int32))].map(|matrix| match dense_rows {
            false => Linear::for_sparse_rows(matrix.clone()).held(),
            true => Linear::for_dense_rows(matrix.clone()).held(),
        })
    };
    let block = Index::Block { rows: 4, columns: 8 };
    assert_eq!(held(50, Index::Sparse, false), [Held::Rows; 3]);
    assert!(held(50, Index::Sparse, false).iter().all(|held| held.with_zeros()));
    assert_eq!(held(98, Index::Full, false), [Held::Rows; 3]);
    assert_eq!(held(3, Index::Csr, false), [Held::Lists, Held::Rows, Held::Lists]);
    assert_eq!(held(3, block, false), [Held::Strips; 3]);
    assert_eq!(held(10, block, false), [Held::Strips, Held::Rows, Held::Strips]);
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        assert_eq!(held(10, Index::Csr, true), [Held::Panels, Held::Panels, Held::Lists]);
        assert_eq!(held(95, Index::Bitmask, true), [Held::Rows, Held::Tiles, Held::Rows]);
        assert_eq!(held(50, Index::Full, true), [Held::Rows, Held::Tiles, Held::Rows]);
        assert_eq!(held(3, block, true), [Held::Panels, Held::Panels, Held::Strips]);
    }
}

/// The rules of the product, in double precision: `y = Σ s·q·w + Σ x·w` over the inputs that are outliers, and `b`.
#[test]
fn a_product_with_outliers_follows_its_rules() {
    let (inputs, outputs) = (37, 45);
    let bias: Vec<f32> = (0..outputs).map(|j| j as f32 * 0.01).collect();
    // One outlier is a hundred times the others, the last is not there.
    let mut row: Vec<f32> = (0..inputs).map(|i| if i % 4 == 0 { 0.0 } else { (i as f32).sin() }).collect();
    (row[inputs / 2], row[inputs - 1]) = (-100.0, 0.0);
    let columns: Vec<u32> = (0..inputs as u32).filter(|i| row[*i as usize] != 0.0).collect();
    let values: Vec<f32> = columns.iter().map(|c| row[*c as usize]).collect();
    let mut scratch = Scratch::default();
    let mut checked = 0;
    for index in INDEXES {
        let (q, keep) = grid(8, inputs * outputs, 40);
        let keep = thin(index, outputs, &keep);
        for matrix in matrices(inputs, outputs, &q, &keep, index) {
            let Some(outliers) = matrix.outliers() else { continue };
            checked += 1;
            let factor = |i: usize| match matrix.scales().unwrap() {
                Scales::Row(scales) => scales[i],
                _ => 1.0,
            };
            let is_outlier = |i: usize| outliers.inputs().contains(&(i as u32));
            let rest: Vec<f32> =
                (0..inputs).map(|i| if is_outlier(i) { 0.0 } else { row[i] * factor(i) }).collect();
            let mut levels = vec![0; inputs];
            let s = match matrix.activations() {
                None => quantize_row(&rest, 127, &mut levels),
                Some(scale) => {
                    quantize_row_at(&rest, scale, 127, &mut levels);
                    scale
                }
            };
            let weights = matrix.unpack();
            let product = |i: usize, j: usize| -> f64 {
                let w = f64::from(weights[i * outputs + j]);
                match is_outlier(i) {
                    true => f64::from(row[i]) * w,
                    false => f64::from(levels[i]) * f64::from(s) / f64::from(factor(i)) * w,
                }
            };
            for held in [Held::Rows, Held::Lists, Held::Strips, Held::Panels, Held::Tiles] {
                let linear = Linear::held_as(matrix.clone(), held);
                for input in [Input::Dense(&row), Input::Sparse { columns: &columns, values: &values }] {
                    let mut out = vec![7.0; outputs];
                    linear.multiply(input, &bias, &mut out, &mut scratch);
                    // Several rows come to what each comes to alone, bit for bit.
                    let (rows, offsets) =
                        ([&row[..]; 9].concat(), [0, values.len(), values.len(), 2 * values.len()]);
                    let mut nine = vec![7.0; 9 * outputs];
                    linear.multiply_rows(Batch::Dense(&rows), &bias, &mut nine, &mut scratch);
                    assert!(nine.chunks_exact(outputs).all(|one| one == out), "{}", matrix.scheme());
                    let (columns, values) = ([&columns[..]; 2].concat(), [&values[..]; 2].concat());
                    let batch = Batch::Sparse { offsets: &offsets, columns: &columns, values: &values };
                    let three = &mut nine[..3 * outputs];
                    linear.multiply_rows(batch, &bias, three, &mut scratch);
                    assert_eq!((&three[..outputs], &three[2 * outputs..]), (&out[..], &out[..]));
                    assert_eq!(&three[outputs..2 * outputs], &bias[..]);
                    for (j, (found, b)) in out.iter().zip(&bias).enumerate() {
                        let expected = (0..inputs).map(|i| product(i, j)).sum::<f64>() + f64::from(*b);
                        let close = (f64::from(*found) - expected).abs() <= 1e-5 * expected.abs().max(10.0);
                        assert!(close, "{} {held}: {found}, not {expected}", matrix.scheme());
                    }
                }
            }
        }
    }
    assert!(checked > 60, "{checked}");
}

/// The rules of the product, each operation rounded, for rows without zeros: alone, few and many together.
#[test]
fn integers_and_rows_without_zeros_follow_the_rules_to_the_bit() {
    let mut scratch = Scratch::default();
    let mut checked = 0;
    for (inputs, outputs) in [(37, 45), (70, 64), (200, 128), (64, 3)] {
        let bias: Vec<f32> = (0..outputs).map(|j| j as f32 * 0.01 - 0.3).collect();
        let rows: Vec<f32> =
            (0..33 * inputs).map(|i| ((i * 37 + i / inputs) % 101) as f32 * 0.021 - 1.0307).collect();
        let (q, keep) = grid(11, inputs * outputs, 100);
        let all = matrices(inputs, outputs, &q, &keep, Index::Full);
        let fixed: Vec<Matrix> =
            all.iter().filter_map(|matrix| matrix.clone().with_activations(0.0137).ok()).collect();
        for matrix in all.into_iter().chain(fixed) {
            let is_narrow = matrix.scheme().values.grid().is_some_and(|grid| grid.bits() <= 8);
            let is_grouped = matches!(matrix.scales(), Some(Scales::Group { .. }));
            if !is_narrow || is_grouped || matrix.outliers().is_some() {
                continue;
            }
            checked += 1;
            let (q, scales) = (matrix.integers().unwrap(), matrix.scales().unwrap());
            let zero = |i, j| matrix.zero_points().map_or(0, |z| i64::from(z[scales.place(i, j, outputs)]));
            let mut expected = vec![];
            for row in rows.chunks_exact(inputs) {
                let weighted: Vec<f32> = match scales {
                    Scales::Row(scales) => row.iter().zip(scales).map(|(x, scale)| x * scale).collect(),
                    _ => row.to_vec(),
                };
                let mut levels = vec![0; inputs];
                let s = match matrix.activations() {
                    None => quantize_row(&weighted, 127, &mut levels),
                    Some(scale) => {
                        quantize_row_at(&weighted, scale, 127, &mut levels);
                        scale
                    }
                };
                expected.extend((0..outputs).map(|j| {
                    let product = |i| i64::from(levels[i]) * (i64::from(q[i * outputs + j]) - zero(i, j));
                    let sum: i64 = (0..inputs).map(product).sum();
                    let factor = match scales {
                        Scales::Row(_) => s,
                        scales => s * scales.all()[scales.place(0, j, outputs)],
                    };
                    sum as f32 * factor + bias[j]
                }));
            }
            for linear in [Linear::for_sparse_rows(matrix.clone()), Linear::for_dense_rows(matrix.clone())] {
                for count in [1, 2, 5, 33] {
                    let mut out = vec![7.0; count * outputs];
                    let batch = Batch::Dense(&rows[..count * inputs]);
                    linear.multiply_rows(batch, &bias, &mut out, &mut scratch);
                    let which = format!("{count} x {inputs} x {outputs}, {}", matrix.scheme());
                    assert_eq!(out, expected[..count * outputs], "{which}");
                }
            }
        }
    }
    assert!(checked > 80, "{checked}");
}

/// A kept entry among very many outputs: nothing is made that is as large as the outputs are said to be many.
#[test]
fn wide_matrices_of_few_entries_take_little_memory() {
    let part = |name, dtype, shape: &[usize], bytes: &[u8]| Part {
        name,
        dtype,
        shape: shape.to_vec(),
        bytes: Cow::Owned(bytes.to_vec()),
    };
    let scheme = Scheme { values: Values::F32, index: Index::Csr };
    let bits = |name, bits: &[u8]| part(name, Dtype::U8, &[bits.len()], bits);
    let parts = [
        part("values", Dtype::F32, &[1], &1f32.to_le_bytes()),
        bits("counts", &[1, 1]),
        bits("gaps", &[28, 0xff, 0xff, 0xff, 7]),
    ];
    let find = |name| parts.iter().find(|p| p.name == name).cloned();
    let matrix = Matrix::from_parts(1, 1 << 28, scheme, find).unwrap();
    assert_eq!(Linear::for_sparse_rows(matrix.clone()).held(), Held::Lists);
    let linear = Linear::for_dense_rows(matrix);
    assert!(linear.resident_bytes() < 1000, "{}", linear.resident_bytes());
}
