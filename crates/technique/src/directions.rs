//! The main directions of the rows of a matrix, its right singular vectors, by one-sided Jacobi rotations.

use crate::solve::dot;

/// Sweeps over all pairs of rows, at most; around ten are enough for any matrix.
const SWEEPS: usize = 60;
/// Cosine of two rows that count as orthogonal.
const ORTHOGONAL: f64 = 1e-12;
/// Squared length of a row, relative to all rows together, that counts as nothing.
const NOTHING: f64 = 1e-28;

/// The right singular vectors of `matrix`, `[rows, width]`, for its `rank` largest singular values, largest first:
/// `[rank, width]`. A vector whose singular value is nothing (1e-14 of the whole) is zero.
///
/// Pairs of rows are rotated until all are orthogonal (Hestenes 1958). What is left of the rows is the singular
/// vectors times their singular values. The order of the rotations is fixed, so the result is too.
pub fn directions(mut matrix: Vec<f64>, width: usize, rank: usize) -> Vec<f64> {
    let count = matrix.len() / width;
    let lengths = |m: &[f64]| m.chunks_exact(width).map(|row| dot(row, row)).collect::<Vec<f64>>();
    let mut squares = lengths(&matrix);
    let nothing = NOTHING * squares.iter().sum::<f64>();
    for _ in 0..SWEEPS {
        let mut turned = false;
        for p in 0..count {
            let (upper, lower) = matrix.split_at_mut((p + 1) * width);
            let a = &mut upper[p * width..];
            for (q, b) in (p + 1..count).zip(lower.chunks_exact_mut(width)) {
                let (alpha, beta) = (squares[p], squares[q]);
                if alpha.min(beta) <= nothing {
                    continue;
                }
                let gamma = dot(a, b);
                if gamma.abs() <= ORTHOGONAL * (alpha * beta).sqrt() {
                    continue;
                }
                turned = true;
                let zeta = (beta - alpha) / (2.0 * gamma);
                let tangent = zeta.signum() / (zeta.abs() + zeta.hypot(1.0));
                let cosine = 1.0 / tangent.hypot(1.0);
                let sine = cosine * tangent;
                for (x, y) in a.iter_mut().zip(b.iter_mut()) {
                    (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
                }
                squares[p] = alpha - tangent * gamma;
                squares[q] = beta + tangent * gamma;
            }
        }
        // The lengths are carried along only within a sweep: rounding would add up.
        squares = lengths(&matrix);
        if !turned {
            break;
        }
    }
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| squares[*b].total_cmp(&squares[*a]));
    let mut found = Vec::with_capacity(rank * width);
    for &row in order.iter().take(rank) {
        let length = squares[row].sqrt();
        let unit = if squares[row] <= nothing { 0.0 } else { 1.0 / length };
        found.extend(matrix[row * width..][..width].iter().map(|x| x * unit));
    }
    found.resize(rank * width, 0.0);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::Seed;
    use proptest::prelude::*;

    #[test]
    fn the_longest_direction_comes_first_and_nothing_is_zero() {
        // Singular values 5 and 2 along the axes, mixed by a rotation of the rows; the third row is nothing.
        let (c, s) = (0.6, 0.8);
        let matrix = vec![2.0 * c, 5.0 * s, 0.0, -2.0 * s, 5.0 * c, 0.0, 0.0, 0.0, 0.0];
        let found = directions(matrix, 3, 3);
        let size: Vec<f64> = found.iter().map(|x| x.abs()).collect();
        for (found, expected) in size.iter().zip([0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-12, "{size:?}");
        }
        assert_eq!(directions(vec![0.0; 6], 3, 2), [0.0; 6]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn they_are_orthonormal_and_span_the_rows(seed in 0u64..1000, rows in 1usize..12, width in 1usize..12) {
            let mut rng = Seed(seed).stream(0);
            let matrix: Vec<f64> = (0..rows * width).map(|_| f64::from(rng.normal())).collect();
            let rank = rows.min(width);
            let found = directions(matrix.clone(), width, rank);
            for (i, a) in found.chunks_exact(width).enumerate() {
                for (j, b) in found.chunks_exact(width).enumerate() {
                    let expected = if i == j { 1.0 } else { 0.0 };
                    prop_assert!((dot(a, b) - expected).abs() < 1e-8, "{i} {j}");
                }
            }
            for row in matrix.chunks_exact(width) {
                let mut left = row.to_vec();
                for v in found.chunks_exact(width) {
                    let along = dot(row, v);
                    left.iter_mut().zip(v).for_each(|(x, v)| *x -= along * v);
                }
                prop_assert!(dot(&left, &left) < 1e-16);
            }
        }
    }
}
