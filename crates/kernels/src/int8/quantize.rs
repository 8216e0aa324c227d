//! Rows of floats become bytes, by the rule of [`quantize_row`](crate::quantize_row) at 127 levels.
//!
//! The rule divides. A product with the inverse takes half the time, and rounds to another integer only next to a tie; so a row is
//! multiplied, and divided where one of its numbers came so near to one.

use super::simd::{LANES, Simd};
use super::tiles::{Isa, Set, with_set};
use crate::quantize::INT8_LEVELS;
use bytemuck::{must_cast, must_cast_ref};

/// Floats that become bytes together.
const CHUNK: usize = 4 * LANES;
/// From a distance to the nearest integer on that is less than this below a half, a quotient might round to another integer than the
/// product: of numbers up to 127.5 the one is rounded once, by at most 2^-18, and the other twice, by at most 2^-16.
const NEAR: f32 = 1.0 / 32_768.0;

/// Levels as they are written.
pub(crate) trait Byte: Copy {
    /// The level zero.
    const ZERO: Self;

    /// Levels of four vectors, held within `-128..=127`.
    fn pack<S: Simd>(simd: S, levels: [S::I; 4]) -> [Self; CHUNK];
}

impl Byte for i8 {
    const ZERO: Self = 0;

    #[inline(always)]
    fn pack<S: Simd>(simd: S, levels: [S::I; 4]) -> [Self; CHUNK] {
        must_cast(simd.words(simd.narrow(levels)))
    }
}

/// 128 more.
impl Byte for u8 {
    const ZERO: Self = 128;

    #[inline(always)]
    fn pack<S: Simd>(simd: S, levels: [S::I; 4]) -> [Self; CHUNK] {
        simd.offset_bytes(levels)
    }
}

/// As [`quantize_row`](crate::quantize_row) at 127 levels, or, with a scale that is given, as
/// [`quantize_row_at`](crate::quantize_row_at); bytes beyond the row become zero. Returns the scale.
#[inline]
pub(crate) fn quantize_bytes<B: Byte>(row: &[f32], given: Option<f32>, bytes: &mut [B]) -> f32 {
    with_set!(Isa::best(), set => quantize_with(set.simd(), row, given, bytes))
}

fn quantize_with<S: Simd, B: Byte>(simd: S, row: &[f32], given: Option<f32>, bytes: &mut [B]) -> f32 {
    assert!(bytes.len() >= row.len(), "a byte for each number");
    simd.vectorize(
        #[inline(always)]
        || {
            let scale = given.unwrap_or_else(
                #[inline(always)]
                || largest(simd, row) / INT8_LEVELS as f32,
            );
            if scale == 0.0 {
                bytes.fill(B::ZERO);
                return 0.0;
            }
            // Of a subnormal number there may be no inverse, and one that is subnormal is not precise.
            let inverse = 1.0 / scale;
            let (times, by) = (simd.splat(inverse), simd.splat(scale));
            let (most, least) = (simd.splat(INT8_LEVELS as f32), simd.splat(-INT8_LEVELS as f32));
            let is_exact = inverse.is_normal()
                && 0.5
                    - round(
                        simd,
                        row,
                        bytes,
                        #[inline(always)]
                        |x| simd.mul(x, times),
                    )
                    > NEAR;
            if !is_exact {
                round(
                    simd,
                    row,
                    bytes,
                    #[inline(always)]
                    |x| simd.max(simd.min(simd.div(x, by), most), least),
                );
            }
            scale
        },
    )
}

/// Few numbers, and zeros behind them.
#[inline(always)]
fn filled(few: &[f32]) -> [f32; CHUNK] {
    let mut all = [0.0; CHUNK];
    all[..few.len()].copy_from_slice(few);
    all
}

/// The largest magnitude; what is no number is larger than all that are.
#[inline(always)]
fn largest<S: Simd>(simd: S, row: &[f32]) -> f32 {
    let mut most = [simd.splat_i(0); 4];
    for chunk in row.as_chunks().0 {
        keep_larger(simd, &mut most, chunk);
    }
    // Numbers that are looked at twice are as large as before.
    match row.last_chunk() {
        _ if row.len().is_multiple_of(CHUNK) => {}
        Some(last) => keep_larger(simd, &mut most, last),
        None => keep_larger(simd, &mut most, &filled(row)),
    }
    let most = simd.max_i(simd.max_i(most[0], most[1]), simd.max_i(most[2], most[3]));
    f32::from_bits(simd.largest_i(most).cast_unsigned())
}

#[inline(always)]
fn keep_larger<S: Simd>(simd: S, most: &mut [S::I; 4], chunk: &[f32; CHUNK]) {
    let chunk: &[[f32; LANES]; 4] = must_cast_ref(chunk);
    for v in 0..4 {
        // Without their signs, floats are in the order of their bits.
        most[v] = simd.max_i(most[v], simd.bits(simd.abs(simd.load(&chunk[v]))));
    }
}

/// What `of` makes of each number, rounded, ties to even, within the levels; and how far any of them was from an integer.
#[inline(always)]
fn round<S: Simd, B: Byte>(simd: S, row: &[f32], bytes: &mut [B], of: impl Fn(S::F) -> S::F) -> f32 {
    let mut farthest = [simd.splat(0.0); 4];
    let (bytes, beyond) = bytes.split_at_mut(row.len());
    beyond.fill(B::ZERO);
    for (to, x) in bytes.as_chunks_mut().0.iter_mut().zip(row.as_chunks().0) {
        *to = round_chunk(simd, x, &of, &mut farthest);
    }
    // The last ones, some of which are rounded to the same once more.
    match (bytes.last_chunk_mut(), row.last_chunk()) {
        _ if row.len().is_multiple_of(CHUNK) => {}
        (Some(to), Some(x)) => *to = round_chunk(simd, x, &of, &mut farthest),
        _ => {
            let all = round_chunk(simd, &filled(row), &of, &mut farthest);
            bytes.copy_from_slice(&all[..row.len()]);
        }
    }
    let [a, b, c, d] = farthest;
    simd.largest(simd.max(simd.max(a, b), simd.max(c, d)))
}

#[inline(always)]
fn round_chunk<S: Simd, B: Byte>(
    simd: S,
    x: &[f32; CHUNK],
    of: &impl Fn(S::F) -> S::F,
    farthest: &mut [S::F; 4],
) -> [B; CHUNK] {
    let x: &[[f32; LANES]; 4] = must_cast_ref(x);
    let least = simd.splat_i(-INT8_LEVELS);
    let mut levels = [least; 4];
    for v in 0..4 {
        let x = of(simd.load(&x[v]));
        // What does not fit into 32 bits becomes another number, and so is far from it.
        let level = simd.round(x);
        // The second where the first is no number, so that one such forgets no other.
        farthest[v] = simd.max(simd.abs(simd.sub(x, simd.float(level))), farthest[v]);
        levels[v] = simd.max_i(level, least);
    }
    B::pack(simd, levels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::{quantize_row, quantize_row_at};

    /// Rows with ties, next to ties, and beyond the levels, at scales of all magnitudes.
    fn rows() -> Vec<(Vec<f32>, f32)> {
        let mut state = 7_u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1_u64 << 24) as f32
        };
        let mut rows = vec![];
        for scale in [1.0, 0.1, 3.7e-3, 0.31, 1e30, 2.9e38, 1e-30, 1.3e-38, 3e-39, 1e-44, 1e-45] {
            for count in [0, 1, 31, 32, 33, 63, 64, 65, 100, 1000] {
                let held = |x: f32| (x * scale).clamp(f32::MIN, f32::MAX);
                rows.push(((0..count).map(|_| held(next() * 300.0 - 150.0)).collect(), scale));
                let near = |n: usize| held((n % 255) as f32 - 127.5);
                rows.push(((0..count).map(near).collect(), scale));
                rows.push(((0..count).map(|n| near(n).next_up().min(f32::MAX)).collect(), scale));
                rows.push(((0..count).map(|n| near(n).next_down().max(f32::MIN)).collect(), scale));
            }
        }
        rows
    }

    #[test]
    fn bytes_are_those_of_the_rule() {
        for (row, given) in rows() {
            let whole = row.len().next_multiple_of(32) + 32;
            let (mut expected, mut found) = (vec![0; whole], vec![3_i8; whole]);
            let scale = quantize_row(&row, INT8_LEVELS, &mut expected);
            for isa in Isa::all() {
                let name = isa.name();
                let s = with_set!(isa, set => quantize_with(set.simd(), &row, None, &mut found));
                assert_eq!(s.to_bits(), scale.to_bits(), "{name}: {row:?}");
                assert!(found.iter().map(|q| i32::from(*q)).eq(expected.iter().copied()), "{name}: {row:?}");
            }
            quantize_row_at(&row, given, INT8_LEVELS, &mut expected);
            for isa in Isa::all() {
                with_set!(isa, set => quantize_with(set.simd(), &row, Some(given), &mut found));
                let is_same = found.iter().map(|q| i32::from(*q)).eq(expected.iter().copied());
                assert!(is_same, "{}: {row:?} / {given}", isa.name());
                let mut offset = vec![3_u8; whole];
                with_set!(isa, set => quantize_with(set.simd(), &row, Some(given), &mut offset));
                assert!(offset.iter().zip(&found).all(|(byte, level)| byte ^ 128 == level.cast_unsigned()));
            }
        }
    }

    #[test]
    fn odd_numbers_change_no_others() {
        let odd = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e-45, -0.0];
        let mut rows: Vec<Vec<f32>> = odd.iter().map(|&x| vec![x]).collect();
        rows.extend(odd.map(|x| [x].into_iter().chain((0..70).map(|i| i as f32 - 30.0)).collect()));
        // In one lane, one after the other: beyond the levels or next to a tie, and then what is no number.
        rows.extend([1e30, -1e30, 3.25, -3.75].map(|x| {
            let mut row = vec![1.0; 200];
            (row[3], row[67], row[131]) = (x, f32::NAN, 0.5);
            row
        }));
        for row in rows {
            for given in [None, Some(0.5)] {
                let whole = row.len().next_multiple_of(32);
                let (mut expected, mut found) = (vec![3_i8; whole], vec![4_i8; whole]);
                let scale = quantize_with(super::super::Portable, &row, given, &mut expected);
                assert!(expected.iter().all(|q| (-127..=127).contains(q)));
                if scale.is_finite() {
                    let mut levels = vec![0; row.len()];
                    match given {
                        Some(scale) => quantize_row_at(&row, scale, INT8_LEVELS, &mut levels),
                        None => _ = quantize_row(&row, INT8_LEVELS, &mut levels),
                    }
                    let pairs = row.iter().zip(&levels).zip(&expected);
                    for ((x, level), found) in pairs.filter(|((x, _), _)| !x.is_nan()) {
                        assert_eq!(*level, i32::from(*found), "{x} in {row:?} at {given:?}");
                    }
                }
                for isa in Isa::all() {
                    let s = with_set!(isa, set => quantize_with(set.simd(), &row, given, &mut found));
                    assert_eq!(
                        (s.to_bits(), &found),
                        (scale.to_bits(), &expected),
                        "{}: {row:?}",
                        isa.name()
                    );
                }
            }
        }
    }
}
