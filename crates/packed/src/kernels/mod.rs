//! The inner loops, for each set of instructions.
//!
//! [`Kernels`] is the list of loops; its default methods are plain safe code for any processor. A set of
//! instructions is a token that exists only on processors that have them, so holding one is the proof that its
//! loops may run.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod portable;

use crate::body::{Chunks, Panels, Strips, Tiles};
use crate::quantize::quantize;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;

/// Floats in a vector: the columns of a row in memory are a multiple of this.
pub(crate) const LANES: usize = 8;

/// Whether panels have fast loops on this processor.
pub(crate) fn has_panels() -> bool {
    #[cfg(target_arch = "x86_64")]
    return Avx2::detect().is_some();
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// Loops over rows of `stride` weights, where `stride` is 1 or a multiple of [`LANES`] and as long as `sums`;
/// `columns` and `values` (or `levels`) are the non-zeros of the activations, as many of one as of the other.
pub(crate) trait Kernels: Copy {
    /// `sums[c] = Σ values[i] · weights[columns[i]][c]`, for `stride` of more than one.
    fn rows_f32(self, weights: &[f32], stride: usize, columns: &[u32], values: &[f32], sums: &mut [f32]) {
        sums.fill(0.0);
        portable::rows(weights, stride, columns, values, sums, |x, w| x * w);
    }

    /// As `rows_f32`, in integers: `levels` and weights are within `±127`.
    fn rows_i8(self, weights: &[i8], stride: usize, columns: &[u32], levels: &[i32], sums: &mut [i32]) {
        sums.fill(0);
        portable::rows(weights, stride, columns, levels, sums, |x, w| x * i32::from(w));
    }

    /// As `rows_f32`, in long integers.
    fn rows_i32(self, weights: &[i32], stride: usize, columns: &[u32], levels: &[i32], sums: &mut [i64]) {
        sums.fill(0);
        portable::rows(weights, stride, columns, levels, sums, |x, w| i64::from(x) * i64::from(w));
    }

    /// As `rows_f32`, where only some weights of each row are there; there are
    /// [`SPARE`](crate::body::SPARE) more sums than outputs.
    fn lists_f32(self, lists: &Chunks<f32>, columns: &[u32], values: &[f32], sums: &mut [f32]) {
        sums.fill(0.0);
        portable::lists(lists, columns, values, sums, |x, w, sum| sum + x * w);
    }

    /// As `lists_f32`, in integers.
    fn lists_i8(self, lists: &Chunks<i8>, columns: &[u32], levels: &[i32], sums: &mut [i32]) {
        sums.fill(0);
        portable::lists(lists, columns, levels, sums, |x, w, sum| sum + x * i32::from(w));
    }

    /// As `lists_f32`, in long integers.
    fn lists_i32(self, lists: &Chunks<i32>, columns: &[u32], levels: &[i32], sums: &mut [i64]) {
        sums.fill(0);
        portable::lists(lists, columns, levels, sums, |x, w, sum| sum + i64::from(x) * i64::from(w));
    }

    /// As `lists_f32`, eight weights at a time; there are as many sums as outputs, rounded up to eights.
    fn strips_f32(self, strips: &Strips<f32>, columns: &[u32], values: &[f32], sums: &mut [f32]) {
        sums.fill(0.0);
        portable::strips(strips, columns, values, sums, |x, w| x * w);
    }

    /// As `strips_f32`, in integers.
    fn strips_i8(self, strips: &Strips<i8>, columns: &[u32], levels: &[i32], sums: &mut [i32]) {
        sums.fill(0);
        portable::strips(strips, columns, levels, sums, |x, w| x * i32::from(w));
    }

    /// As `strips_f32`, in long integers.
    fn strips_i32(self, strips: &Strips<i32>, columns: &[u32], levels: &[i32], sums: &mut [i64]) {
        sums.fill(0);
        portable::strips(strips, columns, levels, sums, |x, w| i64::from(x) * i64::from(w));
    }

    /// `sums[c] = Σ row[i] · weights[i][c]`; `row` is filled with zeros up to whole groups, and there are as many
    /// sums as outputs, rounded up to eights.
    fn panels_f32(self, panels: &Panels<f32>, row: &[f32], sums: &mut [f32]) {
        portable::panels(panels, row, sums, |x, w| x * w);
    }

    /// As `panels_f32`, in integers: `row` and weights are within `±127`.
    fn panels_i8(self, panels: &Panels<i8>, row: &[i8], sums: &mut [i32]) {
        portable::panels(panels, row, sums, |x, w| i32::from(x) * i32::from(w));
    }

    /// As `panels_f32`, in long integers.
    fn panels_i32(self, panels: &Panels<i32>, row: &[i32], sums: &mut [i64]) {
        portable::panels(panels, row, sums, |x, w| i64::from(x) * i64::from(w));
    }

    /// As `panels_f32`, where all weights are there.
    fn tiles_f32(self, tiles: &Tiles<f32>, row: &[f32], sums: &mut [f32]) {
        portable::tiles(tiles, row, sums, |x, w| x * w);
    }

    /// As `tiles_f32`, in integers: `row` and weights are within `±127`.
    fn tiles_i8(self, tiles: &Tiles<i8>, row: &[i8], sums: &mut [i32]) {
        portable::tiles(tiles, row, sums, |x, w| i32::from(x) * i32::from(w));
    }

    /// As `tiles_f32`, in long integers.
    fn tiles_i32(self, tiles: &Tiles<i32>, row: &[i32], sums: &mut [i64]) {
        portable::tiles(tiles, row, sums, |x, w| i64::from(x) * i64::from(w));
    }

    /// The product of two vectors of the same length.
    fn dot(self, a: &[f32], b: &[f32]) -> f32 {
        portable::dot(a, b, |x, w, sum| sum + x * w)
    }

    /// The product of two vectors of the same length, in integers.
    fn dot_i8(self, levels: &[i32], weights: &[i8]) -> i32 {
        levels.iter().zip(weights).map(|(x, &w)| x * i32::from(w)).sum()
    }

    /// Puts the positions and the values of what is not zero to the front of `columns` and `values`, which have
    /// room for the row and [`LANES`] more; returns how many they are.
    fn compress(self, row: &[f32], columns: &mut [u32], values: &mut [f32]) -> usize {
        portable::compress(row, 0, 0, columns, values)
    }

    /// Numbers that fit into bytes, as bytes; one of the two may be longer.
    fn narrow(self, levels: &[i32], bytes: &mut [i8]) {
        portable::narrow(levels, bytes);
    }

    /// See [`quantize_row`](crate::quantize_row).
    fn quantize(self, row: &[f32], levels: i32, out: &mut [i32]) -> f32 {
        quantize(row, levels, out)
    }
}

/// Instructions that every processor has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

impl Kernels for Portable {}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// Integers within `±largest`, some of them zero.
    fn numbers(seed: u64, count: usize, largest: i32) -> Vec<i32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as i32
        };
        (0..count)
            .map(|_| if next() % 4 == 0 { 0 } else { next() % (largest + 1) * (next() % 2 * 2 - 1) })
            .collect()
    }

    #[test]
    fn avx2_and_portable_integers_are_the_same() {
        let Some(avx2) = Avx2::detect() else { return };
        for (case, stride) in [8, 16, 24, 32, 40, 64, 72, 96, 128, 200].into_iter().enumerate() {
            for nonzeros in [0, 1, 2, 3, 4, 5, 20, 61] {
                let seed = (case * 100 + nonzeros) as u64;
                let levels = numbers(seed, nonzeros, 127);
                let columns: Vec<u32> = (0..nonzeros as u32).map(|i| i * 3 % 64).collect();
                let weights = numbers(seed + 1, 64 * stride, 127);
                let bytes: Vec<i8> = weights.iter().map(|&w| w as i8).collect();
                let (mut a, mut b) = (vec![1; stride], vec![2; stride]);
                avx2.rows_i8(&bytes, stride, &columns, &levels, &mut a);
                Portable.rows_i8(&bytes, stride, &columns, &levels, &mut b);
                assert_eq!(a, b, "stride {stride}, {nonzeros} non-zeros");

                let levels = numbers(seed, nonzeros, 32_767);
                let weights = numbers(seed + 2, 64 * stride, i32::MAX - 1);
                let (mut a, mut b) = (vec![1; stride], vec![2; stride]);
                avx2.rows_i32(&weights, stride, &columns, &levels, &mut a);
                Portable.rows_i32(&weights, stride, &columns, &levels, &mut b);
                assert_eq!(a, b, "stride {stride}, {nonzeros} non-zeros");
            }
        }
    }

    #[test]
    fn the_largest_integers_do_not_saturate() {
        let Some(avx2) = Avx2::detect() else { return };
        for (x, w) in [(127, 127), (-127, 127), (127, -127), (-127, -127)] {
            for stride in [8, 32] {
                let mut sums = vec![0; stride];
                avx2.rows_i8(
                    &vec![w as i8; 9 * stride],
                    stride,
                    &[0, 1, 2, 3, 4, 5, 6, 7, 8],
                    &[x; 9],
                    &mut sums,
                );
                assert_eq!(sums, vec![9 * x * w; stride]);
            }
        }
    }

    #[test]
    fn avx2_and_portable_floats_differ_in_rounding_only() {
        let Some(avx2) = Avx2::detect() else { return };
        for stride in [8, 16, 24, 32, 56, 64, 128, 136, 184] {
            for nonzeros in [0, 1, 3, 7, 8, 9, 40] {
                let weights: Vec<f32> =
                    numbers(7, 64 * stride, 999).iter().map(|&w| w as f32 / 999.0).collect();
                let values: Vec<f32> = numbers(8, nonzeros, 999).iter().map(|&w| w as f32 / 999.0).collect();
                let columns: Vec<u32> = (0..nonzeros as u32).map(|i| i * 5 % 64).collect();
                let (mut a, mut b) = (vec![1.0; stride], vec![2.0; stride]);
                avx2.rows_f32(&weights, stride, &columns, &values, &mut a);
                Portable.rows_f32(&weights, stride, &columns, &values, &mut b);
                let close = a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-5);
                assert!(close, "stride {stride}, {nonzeros} non-zeros");
                let (x, w) = (&weights[..nonzeros], &weights[64..64 + nonzeros]);
                assert!((avx2.dot(x, w) - Portable.dot(x, w)).abs() <= 1e-5);
            }
        }
    }

    #[test]
    fn avx2_and_portable_rows_are_quantized_and_compressed_alike() {
        let Some(avx2) = Avx2::detect() else { return };
        for count in [0, 1, 7, 8, 9, 31, 64, 100] {
            let row: Vec<f32> = numbers(count as u64, count, 999).iter().map(|&w| w as f32 / 77.0).collect();
            let (mut a, mut b) = (vec![1; count], vec![2; count]);
            for levels in [127, 32_767] {
                assert_eq!(avx2.quantize(&row, levels, &mut a), Portable.quantize(&row, levels, &mut b));
                assert_eq!(a, b);
            }
            let expected: Vec<u32> = (0..count as u32).filter(|&i| row[i as usize] != 0.0).collect();
            let (mut columns, mut values) = (vec![9; count + LANES], vec![9.0; count + LANES]);
            for portable in [false, true] {
                let n = match portable {
                    false => avx2.compress(&row, &mut columns, &mut values),
                    true => Portable.compress(&row, &mut columns, &mut values),
                };
                assert_eq!(columns[..n], expected);
                assert!(expected.iter().zip(&values).all(|(&i, v)| *v == row[i as usize]));
                columns.fill(9);
            }
        }
    }
}
