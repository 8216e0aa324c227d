//! Every layout keeps its numbers, takes the bytes it is said to take, and refuses what is broken.

#![cfg(test)]

mod common;

use common::{INDEXES, beside, grid, matrices, onto, thin};
use nlpress_packed::{Codebook, Dtype, Grid, Index, Matrix, PackError, Part, Per, Scales, Scheme, Values};
use proptest::prelude::*;
use std::borrow::Cow;

fn read_back(matrix: &Matrix, parts: &[Part<'_>]) -> Result<Matrix, PackError> {
    Matrix::from_parts(matrix.inputs(), matrix.outputs(), matrix.scheme(), |name| {
        parts.iter().find(|p| p.name == name).cloned()
    })
}

proptest! {
    #[test]
    fn parts_hold_everything_in_the_bytes_predicted(
        (inputs, outputs) in prop_oneof![(1usize..40, 1usize..40), (1usize..4, 250usize..300)],
        percent in prop_oneof![Just(0u64), Just(100), 0u64..101],
        seed in 0u64..1000,
    ) {
        let (q, all) = grid(seed, inputs * outputs, percent);
        for index in INDEXES {
            let keep = thin(index, outputs, &all);
            for matrix in matrices(inputs, outputs, &q, &keep, index) {
                let parts = matrix.parts();
                let kept = keep.iter().filter(|k| **k).count();
                let written: usize = parts.iter().map(|p| p.bytes.len()).sum();
                let exact = matches!(matrix.scheme().index, Index::Full | Index::Bitmask | Index::Nm { .. });
                if exact {
                    prop_assert_eq!(written, matrix.scheme().bytes(inputs, outputs, kept));
                }
                prop_assert_eq!(written, matrix.bytes());
                prop_assert_ne!(matrix.scheme().index, Index::Sparse);
                let stored = matrix.keep();
                prop_assert_eq!(matrix.kept(), stored.iter().filter(|k| **k).count());
                if index.stores_zeros() {
                    prop_assert!(keep.iter().zip(&stored).all(|(keep, stored)| !keep || *stored));
                } else {
                    prop_assert_eq!(&stored, &keep);
                }
                prop_assert_eq!(&read_back(&matrix, &parts).unwrap(), &matrix);
                // What it takes in memory was known before.
                let values = parts[0].bytes.len();
                let foretold = matrix.scheme().expanded_bytes(inputs, outputs, values) + 2 * (written - values);
                let bytes = matrix.resident_bytes();
                prop_assert!(bytes <= foretold, "{}: {bytes}, {foretold}", matrix.scheme());
                let nonzeros = matrix.unpack().iter().filter(|v| **v != 0.0).count();
                prop_assert!(matrix.outliers().is_none() || matrix.nonzeros() == nonzeros);

                // The numbers are the ones that went in.
                let (unpacked, source) = (matrix.unpack(), &q);
                for (at, (&q, &keep)) in q.iter().zip(&keep).enumerate() {
                    let float = q as f32 * 0.37;
                    if let (Values::Codebook(codebook), true) = (matrix.scheme().values, keep || index == Index::Full) {
                        let (width, numbers) = (usize::from(codebook.width), matrix.codebook().unwrap());
                        let first = at - at % outputs % width;
                        let code = source[first].unsigned_abs() as usize & (codebook.entries() - 1);
                        let list = if codebook.product { at % outputs / width } else { 0 };
                        let place = (list * codebook.entries() + code) * width + at % outputs % width;
                        prop_assert_eq!(unpacked[at], numbers[place]);
                        continue;
                    }
                    let outlier = matrix.outliers().and_then(|o| o.inputs().iter().position(|i| *i as usize == at / outputs));
                    if let Some(place) = outlier {
                        let expected = if stored[at] { beside(inputs, outputs)[place * outputs + at % outputs] } else { 0.0 };
                        prop_assert_eq!(unpacked[at], expected);
                        continue;
                    }
                    let whole = matrix.scheme().values.grid().is_some_and(|g| !g.has_zero()) && index == Index::Full;
                    let keep = keep || whole || matrix.zero_points().is_some();
                    let expected = match (keep, matrix.scheme().values) {
                        (false, _) => 0.0,
                        (_, Values::Codebook(_)) => unreachable!("compared above"),
                        (_, Values::F32) => float,
                        (_, Values::F16) => half::f16::from_f32(float).to_f32(),
                        (_, Values::Bf16) => half::bf16::from_f32(float).to_f32(),
                        (_, Values::Int(int)) => {
                            let scales = matrix.scales().unwrap();
                            let place = scales.place(at / outputs, at % outputs, outputs);
                            let mut q = onto(int.grid, &[q])[0];
                            if let Some(points) = matrix.zero_points() {
                                let (least, most) = int.grid.with_zero_point().unwrap();
                                q = q.clamp(least, most) - i32::from(points[place]);
                            }
                            q as f32 * scales.all()[place]
                        }
                    };
                    prop_assert_eq!(unpacked[at], expected);
                }
            }
        }
    }

    /// Whatever the bytes of the parts are, reading them is an error or a valid matrix.
    #[test]
    fn damaged_parts_never_panic(
        which in 0usize..200, index in 0usize..10, part in 0usize..6, at in 0usize..200, byte: u8, cut in 0usize..3,
    ) {
        let (q, keep) = grid(3, 9 * 21, 30);
        let keep = thin(INDEXES[index], 21, &keep);
        let mut all = matrices(9, 21, &q, &keep, INDEXES[index]);
        let matrix = all.swap_remove(which % all.len());
        let mut parts = matrix.parts();
        let count = parts.len();
        let part = &mut parts[part % count];
        let bytes = part.bytes.to_mut();
        let length = bytes.len();
        bytes[at % length] = byte;
        bytes.truncate(length - cut.min(length));
        if part.shape.len() == 1 {
            part.shape = vec![part.bytes.len() / part.dtype.bytes()];
        }
        if let Ok(read) = read_back(&matrix, &parts) {
            prop_assert!(read.unpack().iter().all(|v| v.is_finite()));
            prop_assert_eq!(&read_back(&read, &read.parts()).unwrap(), &read);
        }
    }

    /// Shapes that parts were not made for are an error, however large.
    #[test]
    fn other_shapes_are_refused_or_read(
        index in 0usize..10, inputs in prop_oneof![1usize..40, Just(1 << 27)],
        outputs in prop_oneof![1usize..40, Just(1 << 27)],
    ) {
        let (q, keep) = grid(5, 12 * 16, 20);
        let keep = thin(INDEXES[index], 16, &keep);
        for matrix in matrices(12, 16, &q, &keep, INDEXES[index]) {
            let parts = matrix.parts();
            let find = |name| parts.iter().find(|p| p.name == name).cloned();
            if let Ok(read) = Matrix::from_parts(inputs, outputs, matrix.scheme(), find) {
                prop_assert_eq!((read.inputs(), read.outputs()), (inputs, outputs));
                // Entries that fill the last byte up may be read, and outliers' inputs are other entries.
                let same = inputs * outputs == 12 * 16 && matrix.outliers().is_none();
                prop_assert!(!same || read.nonzeros() == matrix.nonzeros(), "{}", matrix.scheme());
            }
        }
    }
}

#[test]
fn a_kept_entry_may_be_zero() {
    let m = Matrix::sparse(2, 3, &[0.0; 6], &[true, false, false, false, true, true], Index::Csr).unwrap();
    assert_eq!(m.kept(), 3);
    assert_eq!(m.keep(), [true, false, false, false, true, true]);
}

#[test]
fn what_is_not_kept_is_ignored() {
    let keep = [true, false];
    for index in INDEXES {
        let m = Matrix::sparse(1, 2, &[1.0, f32::NAN], &keep, index).unwrap();
        assert_eq!(m.unpack(), [1.0, 0.0]);
        let m = Matrix::quantized((1, 2), Grid::Int8, &[1, -128], Scales::Tensor(1.0), Some(&keep), index)
            .unwrap();
        assert_eq!(m.integers().unwrap(), [1, 0]);
    }
}

#[test]
fn refuses_bad_numbers() {
    use PackError::{Inputs, Length, Level, NotFinite, Scale, Shape};
    let one = Scales::Tensor(1.0);
    assert!(matches!(Matrix::dense(0, 3, vec![]), Err(Shape { .. })));
    assert!(matches!(Matrix::dense(usize::MAX, 3, vec![]), Err(Shape { .. })));
    assert!(matches!(Matrix::dense(2, 3, vec![0.0; 5]), Err(Length { .. })));
    assert!(matches!(Matrix::sparse(1, 1, &[1.0], &[], Index::Csr), Err(Length { what: "keep", .. })));
    let at = Matrix::dense(1, 9, (0..9).map(|i| 1.0 / (5 - i) as f32 * f32::MIN_POSITIVE).collect());
    assert!(matches!(at, Err(NotFinite { position: 5, .. })), "{at:?}");
    let all = [true; 3];
    for index in INDEXES.into_iter().filter(|i| !matches!(i, Index::Nm { .. })) {
        let bad = Matrix::sparse(1, 3, &[0.0, 0.0, f32::NAN], &all, index);
        assert!(matches!(bad, Err(NotFinite { position: 2, .. })));
        let bad = Matrix::quantized((1, 3), Grid::Int8, &[0, -128, 0], one.clone(), None, index);
        assert!(matches!(bad, Err(Level { position: 1, value: -128, least: -127, most: 127 })));
        let bad = Matrix::quantized((1, 3), Grid::Int32, &[i32::MIN, 0, 0], one.clone(), Some(&all), index);
        assert!(matches!(bad, Err(Level { position: 0, .. })));
    }
    for q in [-8, 8, 127, -128, 1000] {
        let bad = Matrix::quantized((1, 3), Grid::Int4, &[0, 0, q], one.clone(), None, Index::Csr);
        assert!(matches!(bad, Err(Level { position: 2, most: 7, value, .. }) if value == q), "{q}");
    }
    let keep = [true, false, true];
    let bad = Matrix::quantized((1, 3), Grid::Binary, &[1, 1, 1], one.clone(), Some(&keep), Index::Full);
    assert!(matches!(bad, Err(PackError::Grid { position: 1, value: 0, .. })));
    for q in [0, 2, -2] {
        let bad = Matrix::quantized((1, 3), Grid::Int2, &[1, -3, q], one.clone(), None, Index::Full);
        assert!(matches!(bad, Err(PackError::Grid { position: 2, value, .. }) if value == q), "{q}");
    }
    let affine = |q: &[i32], points| Matrix::affine((1, 2), Grid::Int4, q, one.clone(), points);
    assert!(affine(&[-8, 7], vec![7]).is_ok());
    assert!(matches!(affine(&[-9, 7], vec![7]), Err(Level { value: -9, least: -8, .. })));
    assert!(matches!(affine(&[0, 0], vec![8]), Err(PackError::ZeroPoint { value: 8, .. })));
    assert!(matches!(affine(&[0, 0], vec![0, 0]), Err(Length { what: "zero points", .. })));
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert!(matches!(
            affine(&[0, 0], vec![0]).unwrap().with_activations(scale),
            Err(PackError::Step { .. })
        ));
    }
    for value in [65_520.0, -1e30] {
        let bad = Matrix::f16(1, 2, &[65_519.0, value], None, Index::Csr);
        assert!(matches!(bad, Err(PackError::Half { position: 1, .. })), "{value}");
    }
    let bad = Matrix::f16(1, 2, &[f32::NAN, 1.0], None, Index::Full);
    assert!(matches!(bad, Err(NotFinite { position: 0, .. })));
    let bad = Matrix::sparse(4, 1, &[1.0; 4], &[true, false, true, true], Index::Nm { n: 2, m: 4 });
    assert!(matches!(bad, Err(PackError::Crowded { output: 0, group: 0, found: 3, n: 2, m: 4 })));
    let bad = Matrix::sparse(4, 1, &[1.0; 4], &[true; 4], Index::Nm { n: 4, m: 4 });
    assert!(matches!(bad, Err(PackError::Group { .. })));
    let bad = Matrix::sparse(4, 1, &[1.0; 4], &[true; 4], Index::Block { rows: 0, columns: 1 });
    assert!(matches!(bad, Err(PackError::Block { .. })));
    for scale in [-1.0, f32::NAN, f32::INFINITY, 1e37] {
        let bad = Matrix::quantized((1, 1), Grid::Int8, &[1], Scales::Tensor(scale), None, Index::Full);
        assert!(matches!(bad, Err(Scale { position: 0, .. })), "{scale}");
    }
    let bad = Matrix::quantized((1, 2), Grid::Int8, &[1, 1], Scales::Channel(vec![1.0]), None, Index::Full);
    assert!(matches!(bad, Err(Length { what: "scales", .. })));
    let tall = vec![0; (1 << 17) + 1];
    let bad = Matrix::quantized((tall.len(), 1), Grid::Int8, &tall, one, None, Index::Full);
    assert!(matches!(bad, Err(Inputs { .. })));
}

#[test]
fn refuses_bad_codes() {
    let codebook = Codebook { width: 2, bits: 4, product: false };
    let coded = |numbers: &[f32], codes: &[u8], outputs| {
        Matrix::coded((2, outputs), codebook, numbers, codes, (None, Index::Full))
    };
    let numbers = [0.5; 32];
    assert!(coded(&numbers, &[0, 15, 3, 4], 4).is_ok());
    assert!(matches!(coded(&numbers, &[0, 16, 3, 4], 4), Err(PackError::Level { value: 16, most: 15, .. })));
    assert!(matches!(coded(&numbers, &[0; 3], 3), Err(PackError::Codes { outputs: 3, width: 2 })));
    assert!(matches!(coded(&numbers[1..], &[0; 4], 4), Err(PackError::Length { what: "numbers", .. })));
    assert!(matches!(coded(&numbers, &[0; 5], 4), Err(PackError::Length { what: "codes", .. })));
    assert!(matches!(coded(&[1e6; 32], &[0; 4], 4), Err(PackError::Half { .. })));
    assert!(matches!(coded(&[f32::NAN; 32], &[0; 4], 4), Err(PackError::NotFinite { what: "numbers", .. })));
    let one = Codebook { width: 1, ..codebook };
    let keep = [true, false];
    let masked = |index| Matrix::coded((1, 2), one, &[0.5; 16], &[1, 2], (Some(&keep), index));
    assert!(matches!(masked(Index::Full), Err(PackError::Scheme { .. })));
    assert_eq!(masked(Index::Bitmask).unwrap().unpack(), [0.5, 0.0]);
}

fn part(name: &'static str, dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Part<'static> {
    Part { name, dtype, shape: shape.to_vec(), bytes: Cow::Owned(bytes.to_vec()) }
}

#[test]
fn refuses_bad_indexes() {
    let values = part("values", Dtype::F32, &[2], &[0; 8]);
    let read = |index, extra: Vec<Part<'static>>| {
        let parts: Vec<Part<'_>> = extra.into_iter().chain([values.clone()]).collect();
        Matrix::from_parts(2, 5, Scheme { values: Values::F32, index }, |name| {
            parts.iter().find(|p| p.name == name).cloned()
        })
    };
    let bits = |name, bits: &[u8]| part(name, Dtype::U8, &[bits.len()], bits);
    // The first byte is the width: 4 bits for each of the two counts and the two gaps.
    let csr =
        |counts: u8, gaps: u8| read(Index::Csr, vec![bits("counts", &[4, counts]), bits("gaps", &[4, gaps])]);
    let mask = |mask: &[u8]| read(Index::Bitmask, vec![bits("mask", mask)]);
    use PackError::{
        Code, Columns, Counts, Dtype as BadDtype, MaskTail, Missing, Padding, PartShape, Popcount, Positions,
        Unresolved,
    };

    assert_eq!(csr(0x02, 0x21).unwrap().keep()[..5], [false, true, false, false, true]);
    assert_eq!(csr(0x11, 0x14).unwrap().kept(), 2);
    for bad in [0x05, 0x31, 0x04, 0xff] {
        assert!(matches!(csr(0x02, bad), Err(Columns { row: 0, .. })), "{bad:x}");
    }
    assert!(matches!(csr(0x01, 0x11), Err(Counts { found: 1, expected: 2 })));
    assert!(matches!(csr(0xff, 0x11), Err(Counts { found: 30, .. })));
    let code = |counts: &[u8], gaps: &[u8]| {
        read(Index::Csr, vec![bits("counts", counts), bits("gaps", gaps)]).unwrap_err()
    };
    assert!(matches!(code(&[4, 2, 0], &[4, 1]), Code { name: "counts", .. }));
    assert!(matches!(code(&[0], &[4, 1]), Code { name: "counts", .. }));
    assert!(matches!(code(&[4, 2], &[]), Code { name: "gaps", .. }));
    assert!(matches!(code(&[4, 2], &[32, 0xff, 0xff]), Code { name: "gaps", .. }));
    assert!(matches!(code(&[4, 2], &[3, 0b01_000_000]), Code { name: "gaps", .. }));
    assert!(matches!(code(&[4, 2], &[99, 0]), Code { name: "gaps", .. }));
    let wide = part("counts", Dtype::F16, &[1], &[2, 0]);
    assert!(matches!(read(Index::Csr, vec![wide]), Err(BadDtype { name: "counts", .. })));

    // A block of one row and two columns at the right edge reaches beyond it.
    let block = |gap: u8| {
        let index = Index::Block { rows: 1, columns: 2 };
        let values = part("values", Dtype::I8, &[2], &[3, 4]);
        let scales = part("scales", Dtype::F32, &[1], &1f32.to_le_bytes());
        let parts = [values, scales, bits("counts", &[1, 0b01]), bits("gaps", &[4, gap])];
        Matrix::from_parts(2, 5, Scheme { values: Values::int(Grid::Int8, Per::Tensor), index }, |name| {
            parts.iter().find(|p| p.name == name).cloned()
        })
    };
    assert_eq!(block(1).unwrap().integers().unwrap()[..5], [0, 0, 3, 4, 0]);
    assert!(matches!(block(2), Err(Padding("values"))));
    assert!(matches!(block(3), Err(Columns { row: 0, column: 3, outputs: 3 })));

    let nm = |positions: u8, values: &[u8]| {
        let index = Index::Nm { n: 2, m: 3 };
        let values = part("values", Dtype::U8, &[values.len()], values);
        let scales = part("scales", Dtype::F32, &[1], &1f32.to_le_bytes());
        let parts = [values, scales, bits("positions", &[positions])];
        Matrix::from_parts(4, 1, Scheme { values: Values::int(Grid::Int4, Per::Tensor), index }, |name| {
            parts.iter().find(|p| p.name == name).cloned()
        })
    };
    assert_eq!(nm(0b00_10_01, &[0x21, 0x03]).unwrap().integers().unwrap(), [0, 1, 2, 3]);
    for bad in [0b00_01_01, 0b00_00_01, 0b00_11_01, 0b01_10_01] {
        assert!(matches!(nm(bad, &[0x21, 0x03]), Err(Positions { output: 0, .. })), "{bad:b}");
    }
    assert!(matches!(nm(0b0100_1001, &[0x21, 0x03]), Err(Padding("positions"))));
    assert!(matches!(nm(0b00_10_01, &[0x21, 0x13]), Err(Padding("values"))));
    assert!(matches!(nm(0b00_10_01, &[0x81, 0x03]), Err(PackError::Level { value: -8, most: 7, .. })));
    assert!(matches!(nm(0b00_10_01, &[0x21]), Err(PartShape { name: "values", .. })));

    assert_eq!(mask(&[0b10, 0b10]).unwrap().kept(), 2);
    assert!(matches!(mask(&[0b11, 0b10]), Err(Popcount { found: 3, expected: 2 })));
    assert!(matches!(mask(&[0b10, 0b100]), Err(MaskTail)));
    assert!(matches!(mask(&[0b11]), Err(PartShape { name: "mask", .. })));
    assert!(matches!(read(Index::Bitmask, vec![]), Err(Missing("mask"))));
    assert!(matches!(read(Index::Sparse, vec![]), Err(Unresolved(_))));
    assert!(matches!(read(Index::Full, vec![]), Err(PartShape { name: "values", .. })));
}

#[test]
fn sparse_becomes_the_smaller_index() {
    for (percent, index) in [(60, Index::Bitmask), (20, Index::Csr), (5, Index::Csr)] {
        let (q, keep) = grid(1, 100 * 64, percent);
        for matrix in matrices(100, 64, &q, &keep, Index::Sparse) {
            assert_eq!(matrix.scheme().index, index);
        }
    }
    // Measured for the matrix at hand: half of the entries, but in long runs, which gaps need no bits for.
    let keep: Vec<bool> = (0..100 * 64).map(|i| i / 64 % 2 == 0 && i % 64 != 5).collect();
    let matrix = Matrix::sparse(100, 64, &vec![1.0; 6400], &keep, Index::Sparse).unwrap();
    assert_eq!(matrix.scheme().index, Index::Csr);
    assert_eq!(Per::Tensor, Scales::Tensor(1.0).per());
}

/// Entries spread by chance take what is predicted, within 2 %, and hardly more than the entropy of their places.
#[test]
fn bytes_are_near_their_prediction_and_near_the_entropy() {
    for (inputs, outputs) in [(1000, 128), (384, 1536)] {
        for percent in [50u64, 20, 10, 5, 2] {
            let (q, keep) = grid(percent, inputs * outputs, percent);
            let kept = keep.iter().filter(|k| **k).count();
            for matrix in matrices(inputs, outputs, &q, &keep, Index::Csr) {
                near(&matrix, kept);
                let p = kept as f64 / keep.len() as f64;
                let entropy = -(p * p.log2() + (1.0 - p) * (1.0 - p).log2()) * keep.len() as f64 / 8.0;
                let places: usize = matrix
                    .parts()
                    .iter()
                    .filter(|p| ["counts", "gaps"].contains(&p.name))
                    .map(|p| p.bytes.len())
                    .sum();
                let share = places as f64 / entropy;
                assert!((0.99..1.22).contains(&share), "{inputs}x{outputs}, {percent} %: {share}");
            }
            for (rows, columns) in [(1, 4), (4, 1), (4, 4), (8, 1), (16, 32)] {
                let across = outputs / columns;
                let (_, blocks) = grid(percent, inputs.div_ceil(rows) * across, percent);
                let whole: Vec<bool> = (0..inputs * outputs)
                    .map(|i| blocks[i / outputs / rows * across + i % outputs / columns])
                    .collect();
                let kept = whole.iter().filter(|k| **k).count();
                let index = Index::Block { rows: rows as u8, columns: columns as u8 };
                for matrix in matrices(inputs, outputs, &q, &whole, index) {
                    assert_eq!(matrix.kept(), kept);
                    near(&matrix, kept);
                }
            }
        }
    }
}

/// Checks that the bytes are within 2 % of the prediction.
fn near(matrix: &Matrix, kept: usize) {
    let (scheme, shape) = (matrix.scheme(), [matrix.inputs(), matrix.outputs()]);
    let (written, predicted) = (matrix.bytes() as f64, scheme.bytes(shape[0], shape[1], kept) as f64);
    assert!(
        (written / predicted - 1.0).abs() <= 0.02,
        "{scheme} {shape:?}, {kept}: {written}, not {predicted}"
    );
}

/// A kept entry among very many outputs: nothing is made that is as large as the outputs are said to be many.
#[test]
fn wide_matrices_of_few_entries_take_little_memory() {
    let scheme = Scheme { values: Values::F32, index: Index::Csr };
    let bits = |name, bits: &[u8]| part(name, Dtype::U8, &[bits.len()], bits);
    let parts = [
        part("values", Dtype::F32, &[1], &1f32.to_le_bytes()),
        bits("counts", &[1, 1]),
        bits("gaps", &[28, 0xff, 0xff, 0xff, 7]),
    ];
    let find = |name| parts.iter().find(|p| p.name == name).cloned();
    let matrix = Matrix::from_parts(1, 1 << 28, scheme, find).unwrap();
    assert!(scheme.expanded_bytes(1, 1 << 28, 4) < 20_000);
    assert_eq!(matrix.bytes(), 4 + 2 + 5);
    assert!(matrix.resident_bytes() < 100, "{}", matrix.resident_bytes());
}

#[test]
fn patterns_are_found_and_stored_as_what_they_are() {
    let (inputs, outputs) = (96, 64);
    let values: Vec<f32> = (0..inputs * outputs).map(|i| (i % 97) as f32 - 48.0).collect();
    let of = |keep: &dyn Fn(usize, usize) -> bool| -> Index {
        let keep: Vec<bool> = (0..inputs * outputs).map(|i| keep(i / outputs, i % outputs)).collect();
        let matrix = Matrix::smallest(inputs, outputs, &values, &keep).unwrap();
        assert_eq!(matrix.keep(), keep);
        let parts: usize = matrix.parts().iter().map(|p| p.bytes.len()).sum();
        assert_eq!(parts, matrix.bytes());
        for index in [Index::Bitmask, Index::Csr] {
            let other = Matrix::sparse(inputs, outputs, &values, &keep, index).unwrap();
            assert!(matrix.bytes() <= other.bytes());
        }
        matrix.scheme().index
    };
    assert_eq!(of(&|i, o| (i / 4 * 7 + o / 8).is_multiple_of(10)), Index::Block { rows: 4, columns: 8 });
    assert_eq!(of(&|i, o| (i / 8 * 7 + o).is_multiple_of(5)), Index::Block { rows: 8, columns: 1 });
    assert_eq!(of(&|i, o| (i + o * o / 3) % 4 == i / 4 % 4), Index::Nm { n: 1, m: 4 });
    assert!(matches!(of(&|i, o| (i * 31 + o * o * 7) % 11 == 3), Index::Bitmask | Index::Csr));
}

#[test]
fn refuses_bad_outliers() {
    let made = |index| {
        let keep = [true, true, false, true, true, true];
        let keep = (index != Index::Full).then_some(&keep[..]);
        Matrix::quantized((3, 2), Grid::Int8, &[1, 2, 3, 4, 5, 6], Scales::Tensor(0.5), keep, index).unwrap()
    };
    let with = |rows: &[u32], values: &[f32]| made(Index::Full).with_outliers(rows.to_vec(), values);
    let good = with(&[1], &[1.5, f32::MIN_POSITIVE]).unwrap();
    assert_eq!(good.unpack(), [0.5, 1.0, 1.5, 0.0, 2.5, 3.0]);
    assert_eq!(good.scheme().to_string(), "int8/tensor with 1 outlier");
    assert_eq!(with(&[], &[]).unwrap(), made(Index::Full));
    use PackError::{Half, Length, Missing, NotFinite, Outlier, OutlierValue, PartShape};
    assert!(matches!(with(&[3], &[1.0; 2]), Err(Outlier { position: 0, input: 3, inputs: 3 })));
    assert!(matches!(with(&[u32::MAX], &[1.0; 2]), Err(Outlier { .. })));
    assert!(matches!(with(&[1, 0], &[1.0; 4]), Err(Outlier { position: 1, input: 0, .. })));
    assert!(matches!(with(&[1, 1], &[1.0; 4]), Err(Outlier { position: 1, .. })));
    assert!(matches!(with(&[1], &[1.0; 3]), Err(Length { what: "outliers", found: 3, expected: 2 })));
    assert!(matches!(with(&[1], &[1.0, f32::NAN]), Err(NotFinite { what: "outliers", position: 1, .. })));
    assert!(matches!(with(&[1], &[1e6, 1.0]), Err(Half { position: 0, .. })));
    let floats = Matrix::dense(3, 2, vec![0.0; 6]).unwrap();
    assert!(matches!(floats.with_outliers(vec![1], &[1.0; 2]), Err(PackError::Scheme { .. })));
    let wide = Matrix::quantized((1, 1), Grid::Int16, &[1], Scales::Tensor(1.0), None, Index::Full).unwrap();
    assert!(matches!(wide.with_outliers(vec![0], &[1.0]), Err(PackError::Scheme { .. })));
    let affine = Matrix::affine((1, 1), Grid::Int8, &[1], Scales::Tensor(1.0), vec![3]).unwrap();
    assert!(matches!(affine.with_outliers(vec![0], &[1.0]), Err(PackError::Scheme { .. })));
    // A value where nothing is kept is ignored when it is given, and refused when it is read.
    let masked = made(Index::Bitmask).with_outliers(vec![1], &[f32::NAN, 1.5]).unwrap();
    assert_eq!((masked.unpack()[2..4].to_vec(), masked.kept()), (vec![0.0, 1.5], 5));

    let damaged = |matrix: &Matrix, name: &str, bytes: &[u8]| {
        let mut parts = matrix.parts();
        let part = parts.iter_mut().find(|p| p.name == name).unwrap();
        part.bytes.to_mut()[..bytes.len()].copy_from_slice(bytes);
        read_back(matrix, &parts).unwrap_err()
    };
    let two = with(&[0, 2], &[1.0; 4]).unwrap();
    assert!(matches!(damaged(&good, "outlier_inputs", &[3]), Outlier { input: 3, inputs: 3, .. }));
    assert!(matches!(damaged(&good, "outlier_inputs", &[0xff; 4]), Outlier { input: -1, .. }));
    assert!(matches!(damaged(&two, "outlier_inputs", &[2]), Outlier { position: 1, input: 2, .. }));
    assert!(matches!(damaged(&good, "outliers", &[0, 0x7e]), NotFinite { what: "outliers", .. }));
    assert!(matches!(damaged(&good, "outliers", &[0, 0x7c]), NotFinite { what: "outliers", .. }));
    // An input that has integers too, and a float where nothing is kept.
    let twice = damaged(&good, "outlier_inputs", &[2]);
    assert!(matches!(twice, OutlierValue { input: 2, output: 0, value: 5.0, .. }), "{twice}");
    let unkept = damaged(&masked, "outliers", &[0, 0x3c]);
    assert!(matches!(unkept, OutlierValue { input: 1, output: 0, value: 1.0, .. }), "{unkept}");
    for name in ["outlier_inputs", "outliers"] {
        let mut parts = good.parts();
        parts.retain(|p| p.name != name);
        assert_eq!(read_back(&good, &parts).unwrap_err(), Missing(name));
        let other = two.parts();
        let parts: Vec<Part<'_>> = good.parts().into_iter().filter(|p| p.name != name).chain(other).collect();
        assert!(matches!(read_back(&good, &parts).unwrap_err(), PartShape { .. }), "{name}");
    }
}
