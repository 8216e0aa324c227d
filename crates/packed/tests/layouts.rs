//! Every layout keeps its numbers, takes the bytes it is said to take, and refuses what is broken.

#![cfg(test)]

use nlpress_packed::{Dtype, Index, Matrix, PackError, Part, Per, Scales, Scheme, Values};
use proptest::prelude::*;
use std::borrow::Cow;

const INDEXES: [Index; 4] = [Index::Full, Index::Bitmask, Index::Csr, Index::Sparse];

/// A made-up matrix: integers and which of them are kept.
fn grid(seed: u64, entries: usize, percent_kept: u64) -> (Vec<i32>, Vec<bool>) {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    (0..entries).map(|_| (next() as i32 % 128, next() % 100 < percent_kept)).unzip()
}

/// Each of the three value types, in each index.
fn matrices(inputs: usize, outputs: usize, q: &[i32], keep: &[bool], index: Index) -> Vec<Matrix> {
    let floats: Vec<f32> = q.iter().map(|&q| q as f32 * 0.37).collect();
    let bytes: Vec<i8> = q.iter().map(|&q| q as i8).collect();
    let words: Vec<i32> = q.iter().map(|&q| q * 16_000_000).collect();
    let channels = || Scales::Channel((0..outputs).map(|j| 0.001 * (j + 1) as f32).collect());
    vec![
        Matrix::sparse(inputs, outputs, &floats, keep, index).unwrap(),
        Matrix::int8(inputs, outputs, &bytes, channels(), Some(keep), index).unwrap(),
        Matrix::int8(inputs, outputs, &bytes, Scales::Tensor(0.25), Some(keep), index).unwrap(),
        Matrix::int32(inputs, outputs, &words, channels(), Some(keep), index).unwrap(),
        Matrix::int32(inputs, outputs, &words, Scales::Tensor(1e-9), Some(keep), index).unwrap(),
    ]
}

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
        let (q, keep) = grid(seed, inputs * outputs, percent);
        for index in INDEXES {
            for matrix in matrices(inputs, outputs, &q, &keep, index) {
                let parts = matrix.parts();
                let kept = keep.iter().filter(|k| **k).count();
                let written: usize = parts.iter().map(|p| p.bytes.len()).sum();
                let asked = Scheme { index, ..matrix.scheme() };
                prop_assert_eq!(written, asked.bytes(inputs, outputs, kept));
                prop_assert_eq!(written, matrix.bytes());
                prop_assert_ne!(matrix.scheme().index, Index::Sparse);
                if index != Index::Full {
                    prop_assert_eq!(&matrix.keep(), &keep);
                    prop_assert_eq!(matrix.kept(), kept);
                }
                prop_assert_eq!(&read_back(&matrix, &parts).unwrap(), &matrix);

                // The numbers are the ones that went in.
                let unpacked = matrix.unpack();
                for (at, (&q, &keep)) in q.iter().zip(&keep).enumerate() {
                    let expected = match (keep, matrix.scheme().values) {
                        (false, _) => 0.0,
                        (_, Values::F32) => q as f32 * 0.37,
                        (_, Values::Int8(_)) => q as f32 * matrix.scales().unwrap().of(at % outputs),
                        (_, Values::Int32(_)) =>
                            (q * 16_000_000) as f32 * matrix.scales().unwrap().of(at % outputs),
                    };
                    prop_assert_eq!(unpacked[at], expected);
                }
            }
        }
    }

    /// Whatever the bytes of the parts are, reading them is an error or a valid matrix.
    #[test]
    fn damaged_parts_never_panic(
        which in 0usize..5, index in 0usize..3, part in 0usize..4, at in 0usize..200, byte: u8, cut in 0usize..3,
    ) {
        let (q, keep) = grid(3, 9 * 21, 30);
        let matrix = matrices(9, 21, &q, &keep, INDEXES[index]).swap_remove(which);
        let mut parts = matrix.parts();
        let count = parts.len();
        let bytes = parts[part % count].bytes.to_mut();
        let length = bytes.len();
        bytes[at % length] = byte;
        bytes.truncate(length - cut.min(length));
        if let Ok(read) = read_back(&matrix, &parts) {
            prop_assert!(read.unpack().iter().all(|v| v.is_finite()));
            prop_assert_eq!(read_back(&read, &read.parts()).unwrap(), read);
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
        let m = Matrix::int8(1, 2, &[1, -128], Scales::Tensor(1.0), Some(&keep), index).unwrap();
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
    for index in INDEXES {
        let bad = Matrix::sparse(1, 3, &[0.0, 0.0, f32::NAN], &all, index);
        assert!(matches!(bad, Err(NotFinite { position: 2, .. })));
        let bad = Matrix::int8(1, 3, &[0, -128, 0], one.clone(), None, index);
        assert!(matches!(bad, Err(Level { position: 1, value: -128, least: -127 })));
        let bad = Matrix::int32(1, 3, &[i32::MIN, 0, 0], one.clone(), Some(&all), index);
        assert!(matches!(bad, Err(Level { position: 0, .. })));
    }
    for scale in [-1.0, f32::NAN, f32::INFINITY, 1e37] {
        let bad = Matrix::int8(1, 1, &[1], Scales::Tensor(scale), None, Index::Full);
        assert!(matches!(bad, Err(Scale { position: 0, .. })), "{scale}");
    }
    let bad = Matrix::int8(1, 2, &[1, 1], Scales::Channel(vec![1.0]), None, Index::Full);
    assert!(matches!(bad, Err(Length { what: "scales", .. })));
    let tall = vec![0; (1 << 17) + 1];
    assert!(matches!(Matrix::int8(tall.len(), 1, &tall, one, None, Index::Full), Err(Inputs { .. })));
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
    let csr = |counts: &[u8], columns: &[u8]| {
        let counts = part("counts", Dtype::U8, &[counts.len()], counts);
        read(Index::Csr, vec![counts, part("columns", Dtype::U8, &[columns.len()], columns)])
    };
    let mask = |bits: &[u8]| read(Index::Bitmask, vec![part("mask", Dtype::U8, &[bits.len()], bits)]);
    use PackError::{Columns, Counts, Dtype as BadDtype, MaskTail, Missing, PartShape, Popcount, Unresolved};

    assert_eq!(csr(&[2, 0], &[1, 4]).unwrap().keep()[..5], [false, true, false, false, true]);
    assert_eq!(csr(&[1, 1], &[4, 1]).unwrap().kept(), 2);
    for bad in [[4, 1], [1, 1], [1, 5]] {
        assert!(matches!(csr(&[2, 0], &bad), Err(Columns { row: 0, .. })));
    }
    assert!(matches!(csr(&[1, 0], &[1, 2]), Err(Counts { found: 1, expected: 2 })));
    assert!(matches!(csr(&[255, 255], &[1, 2]), Err(Counts { .. })));
    assert!(matches!(csr(&[2], &[1, 2]), Err(PartShape { name: "counts", .. })));
    assert!(matches!(csr(&[2, 0], &[1, 2, 3]), Err(PartShape { name: "columns", .. })));
    let wide = part("counts", Dtype::U16, &[2], &[2, 0, 0, 0]);
    assert!(matches!(read(Index::Csr, vec![wide]), Err(BadDtype { name: "counts", .. })));

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
    // 13 % kept: a column costs as much as eight bits of mask, so below one in eight csr is smaller.
    for (percent, index) in [(50, Index::Bitmask), (5, Index::Csr)] {
        let (q, keep) = grid(1, 100 * 64, percent);
        for matrix in matrices(100, 64, &q, &keep, Index::Sparse) {
            assert_eq!(matrix.scheme().index, index);
        }
    }
    assert_eq!(Per::Tensor, Scales::Tensor(1.0).per());
}
