//! Made-up matrices of every layout.
#![allow(dead_code)] // each file of tests uses some

use nlpress_packed::{Codebook, Grid, Index, Int, Matrix, Per, Scales, Scheme, Values};

pub(crate) const INDEXES: [Index; 11] = [
    Index::Full,
    Index::Bitmask,
    Index::Csr,
    Index::Block { rows: 1, columns: 4 },
    Index::Block { rows: 4, columns: 1 },
    Index::Block { rows: 4, columns: 4 },
    Index::Block { rows: 8, columns: 16 },
    Index::Nm { n: 2, m: 4 },
    Index::Nm { n: 1, m: 4 },
    Index::Nm { n: 5, m: 16 },
    Index::Sparse,
];

/// A made-up matrix: integers and which of them are kept.
pub(crate) fn grid(seed: u64, entries: usize, percent_kept: u64) -> (Vec<i32>, Vec<bool>) {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    (0..entries).map(|_| (next() as i32 % 128, next() % 100 < percent_kept)).unzip()
}

/// Drops entries until no group of an `n:m` index keeps too many.
pub(crate) fn thin(index: Index, outputs: usize, keep: &[bool]) -> Vec<bool> {
    let mut keep = keep.to_vec();
    if let Index::Nm { n, m } = index {
        for rows in keep.chunks_mut(usize::from(m) * outputs) {
            for output in 0..outputs {
                let kept = (output..rows.len()).step_by(outputs).filter(|&i| rows[i]);
                kept.skip(n.into()).collect::<Vec<_>>().into_iter().for_each(|i| rows[i] = false);
            }
        }
    }
    keep
}

/// Integers on a grid.
pub(crate) fn onto(grid: Grid, q: &[i32]) -> Vec<i32> {
    q.iter().map(|&q| grid.nearest(f64::from(q) * f64::from(grid.levels()) / 127.0)).collect()
}

/// The inputs that are made outliers: the last, and one in the middle.
pub(crate) fn few(inputs: usize) -> Vec<u32> {
    let mut few = vec![inputs as u32 / 2, inputs as u32 - 1];
    few.dedup();
    few
}

/// Their weights, of which some are zero.
pub(crate) fn beside(inputs: usize, outputs: usize) -> Vec<f32> {
    (0..few(inputs).len() * outputs).map(|i| (i % 23) as f32 * 0.125 - 1.0).collect()
}

/// Each of the value types that goes with the index, and the numbers that went in.
pub(crate) fn matrices(inputs: usize, outputs: usize, q: &[i32], keep: &[bool], index: Index) -> Vec<Matrix> {
    let floats: Vec<f32> = q.iter().map(|&q| q as f32 * 0.37).collect();
    let mut all = vec![
        Matrix::sparse(inputs, outputs, &floats, keep, index).unwrap(),
        Matrix::f16(inputs, outputs, &floats, Some(keep), index).unwrap(),
        Matrix::bf16(inputs, outputs, &floats, Some(keep), index).unwrap(),
    ];
    for (width, bits, product) in [(1, 4, false), (1, 8, true), (4, 6, false), (3, 5, true)] {
        let codebook = Codebook { width, bits, product };
        let scheme = Scheme { values: Values::Codebook(codebook), index };
        let full = index == Index::Full;
        if scheme.check().is_err() || !outputs.is_multiple_of(width.into()) {
            continue;
        }
        let entries = (1 << bits) - 1;
        let codes: Vec<u8> =
            q.iter().step_by(width.into()).map(|q| (q.unsigned_abs() & entries) as u8).collect();
        let numbers: Vec<f32> =
            (0..codebook.numbers(outputs)).map(|n| (n % 97) as f32 * 0.25 - 12.0).collect();
        let keep = (!full).then_some(keep);
        all.push(Matrix::coded((inputs, outputs), codebook, &numbers, &codes, (keep, index)).unwrap());
    }
    for grid in Grid::ALL {
        for per in [Per::Tensor, Per::Channel, Per::Row, Per::Group(5), Per::Group(32)] {
            let count = per.scales(inputs, outputs);
            let scales = (0..count).map(|j| 0.25 / grid.levels() as f32 * (1 + j % 17) as f32).collect();
            let scales = Scales::of(per, scales);
            let scheme = Scheme { values: Values::int(grid, per), index };
            let q = onto(grid, q);
            // Without a zero, nothing stands for an entry that is not kept.
            let all_kept = index == Index::Full && !grid.has_zero();
            let keep = (!all_kept).then_some(keep);
            let made = Matrix::quantized((inputs, outputs), grid, &q, scales.clone(), keep, index);
            match scheme.check() {
                Err(error) => assert_eq!(made.unwrap_err(), error),
                Ok(()) => all.push(made.unwrap()),
            }
            let outliers = Int { outliers: 1, ..Int::new(grid, per) };
            if let Ok(matrix) = Matrix::quantized((inputs, outputs), grid, &q, scales.clone(), keep, index)
                && (Scheme { values: Values::Int(outliers), index }).check().is_ok()
                && per != Per::Tensor
            {
                let matrix = matrix.with_outliers(few(inputs), &beside(inputs, outputs)).unwrap();
                all.push(if per == Per::Row { matrix.with_activations(0.03).unwrap() } else { matrix });
            }
            let affine = Int { zero_points: true, ..Int::new(grid, per) };
            if index == Index::Full && (Scheme { values: Values::Int(affine), index }).check().is_ok() {
                let (least, most) = grid.with_zero_point().unwrap();
                let points = (0..count as i32).map(|j| (least + j % (most - least + 1)) as i8).collect();
                let q: Vec<i32> = q.iter().map(|q| q.clamp(&least, &most)).copied().collect();
                let affine = Matrix::affine((inputs, outputs), grid, &q, scales, points).unwrap();
                all.push(affine.with_activations(0.03).unwrap());
            }
        }
    }
    all
}
