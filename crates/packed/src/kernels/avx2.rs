//! Loops for x86-64 processors with AVX2, FMA and POPCNT, as all with AVX2 have.
//!
//! 8-bit products use `vpmaddubsw`, which multiplies unsigned by signed bytes and adds two neighbours with
//! saturation at 16 bits. Activations go in as magnitudes and their signs move to the weights; as both are within
//! `±127`, two products are within `±32258` and never saturate (-128 is refused when a matrix is made).

use super::{Kernels, LANES, portable};
use crate::body::{Chunks, Panels, QUAD, Strips, TILE, Tiles, UNROLL};
use crate::quantize::quantize;
use bytemuck::{cast_slice, must_cast, pod_read_unaligned};
use std::arch::x86_64::*;

/// The proof that this processor has AVX2, FMA and POPCNT: only [`Avx2::detect`] makes one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// A token if this processor has the instructions; asked once, then remembered by the standard library.
    pub(crate) fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("popcnt");
        all.then_some(Self(()))
    }
}

impl Kernels for Avx2 {
    fn rows_f32(self, weights: &[f32], stride: usize, columns: &[u32], values: &[f32], sums: &mut [f32]) {
        // SAFETY: `self` exists only if the processor has AVX2, FMA and POPCNT, which is all that the call asks for.
        unsafe { rows_f32(weights, stride, columns, values, sums) }
    }

    fn rows_i8(self, weights: &[i8], stride: usize, columns: &[u32], levels: &[i32], sums: &mut [i32]) {
        // SAFETY: as in `rows_f32`.
        unsafe { rows_i8(weights, stride, columns, levels, sums) }
    }

    fn rows_i32(self, weights: &[i32], stride: usize, columns: &[u32], levels: &[i32], sums: &mut [i64]) {
        // SAFETY: as in `rows_f32`.
        unsafe { rows_i32(weights, stride, columns, levels, sums) }
    }

    fn lists_f32(self, lists: &Chunks<f32>, columns: &[u32], values: &[f32], sums: &mut [f32]) {
        // SAFETY: as in `rows_f32`.
        unsafe { lists_f32(lists, columns, values, sums) }
    }

    fn strips_f32(self, strips: &Strips<f32>, columns: &[u32], values: &[f32], sums: &mut [f32]) {
        // SAFETY: as in `rows_f32`.
        unsafe { strips_f32(strips, columns, values, sums) }
    }

    fn strips_i8(self, strips: &Strips<i8>, columns: &[u32], levels: &[i32], sums: &mut [i32]) {
        // SAFETY: as in `rows_f32`.
        unsafe { strips_i8(strips, columns, levels, sums) }
    }

    fn panels_f32(self, panels: &Panels<f32>, row: &[f32], sums: &mut [f32]) {
        // SAFETY: as in `rows_f32`.
        unsafe { panels_f32(panels, row, sums) }
    }

    fn panels_i8(self, panels: &Panels<i8>, row: &[i8], sums: &mut [i32]) {
        // SAFETY: as in `rows_f32`.
        unsafe { panels_i8(panels, row, sums) }
    }

    fn lists_i8(self, lists: &Chunks<i8>, columns: &[u32], levels: &[i32], sums: &mut [i32]) {
        // SAFETY: as in `rows_f32`.
        unsafe { lists_i8(lists, columns, levels, sums) }
    }

    fn tiles_i8(self, tiles: &Tiles<i8>, row: &[i8], sums: &mut [i32]) {
        // SAFETY: as in `rows_f32`.
        unsafe { tiles_i8(tiles, row, sums) }
    }

    fn narrow(self, levels: &[i32], bytes: &mut [i8]) {
        // SAFETY: as in `rows_f32`.
        unsafe { narrow(levels, bytes) }
    }

    fn dot(self, a: &[f32], b: &[f32]) -> f32 {
        // SAFETY: as in `rows_f32`.
        unsafe { dot(a, b) }
    }

    fn dot_i8(self, levels: &[i32], weights: &[i8]) -> i32 {
        // SAFETY: as in `rows_f32`.
        unsafe { dot_i8(levels, weights) }
    }

    fn compress(self, row: &[f32], columns: &mut [u32], values: &mut [f32]) -> usize {
        // SAFETY: as in `rows_f32`.
        unsafe { compress(row, columns, values) }
    }

    fn quantize(self, row: &[f32], levels: i32, out: &mut [i32]) -> f32 {
        // SAFETY: as in `rows_f32`.
        unsafe { quantize_avx2(row, levels, out) }
    }
}

#[target_feature(enable = "avx2,fma,popcnt")]
fn rows_f32(weights: &[f32], stride: usize, columns: &[u32], values: &[f32], sums: &mut [f32]) {
    let mut at = 0;
    while at < stride {
        // Sums of as many columns as fill half the registers; for fewer columns, several rows at a time, so
        // that there are always eight independent sums to hide the latency of each.
        at += match stride - at {
            64.. => block_f32::<8, 1>(weights, stride, at, columns, values, sums),
            32.. => block_f32::<4, 2>(weights, stride, at, columns, values, sums),
            16.. => block_f32::<2, 4>(weights, stride, at, columns, values, sums),
            _ => block_f32::<1, 8>(weights, stride, at, columns, values, sums),
        };
    }
}

/// `N` vectors of columns from column `at` on, `R` rows at a time; returns the columns done.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn block_f32<const N: usize, const R: usize>(
    weights: &[f32],
    stride: usize,
    at: usize,
    columns: &[u32],
    values: &[f32],
    sums: &mut [f32],
) -> usize {
    let mut acc = [[_mm256_setzero_ps(); N]; R];
    let ((columns, columns_left), (values, values_left)) =
        (columns.as_chunks::<R>(), values.as_chunks::<R>());
    for (columns, values) in columns.iter().zip(values) {
        for r in 0..R {
            add_row(weights, columns[r] as usize * stride + at, values[r], &mut acc[r]);
        }
    }
    for (&column, &value) in columns_left.iter().zip(values_left) {
        add_row(weights, column as usize * stride + at, value, &mut acc[0]);
    }
    let (chunks, _) = sums[at..at + N * LANES].as_chunks_mut::<LANES>();
    for (n, chunk) in chunks.iter_mut().enumerate() {
        let sum = acc.iter().skip(1).fold(acc[0][n], |sum, acc| _mm256_add_ps(sum, acc[n]));
        *chunk = must_cast(sum);
    }
    N * LANES
}

#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn add_row<const N: usize>(weights: &[f32], start: usize, x: f32, acc: &mut [__m256; N]) {
    let (row, _) = weights[start..start + N * LANES].as_chunks::<LANES>();
    let x = _mm256_set1_ps(x);
    for n in 0..N {
        acc[n] = _mm256_fmadd_ps(x, must_cast(row[n]), acc[n]);
    }
}

#[target_feature(enable = "avx2,fma,popcnt")]
fn rows_i8(weights: &[i8], stride: usize, columns: &[u32], levels: &[i32], sums: &mut [i32]) {
    sums.fill(0);
    if none_negative(levels) {
        all_i8::<false>(weights, stride, columns, levels, sums);
    } else {
        all_i8::<true>(weights, stride, columns, levels, sums);
    }
}

/// Where four rows start, and their activations in bytes.
#[derive(Clone, Copy)]
struct Quad {
    starts: [usize; 4],
    levels: i32,
}

/// Quads that are made at once, before the columns are gone through.
const QUADS: usize = 32;

/// Rows in fours; without `SIGNED`, no activation may be negative.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn all_i8<const SIGNED: bool>(
    weights: &[i8],
    stride: usize,
    columns: &[u32],
    levels: &[i32],
    sums: &mut [i32],
) {
    let mut quads = [Quad { starts: [0; 4], levels: 0 }; QUADS];
    for (columns, levels) in columns.chunks(4 * QUADS).zip(levels.chunks(4 * QUADS)) {
        let ((c4, c), (l4, l)) = (columns.as_chunks::<4>(), levels.as_chunks::<4>());
        for ((quad, columns), levels) in quads.iter_mut().zip(c4).zip(l4) {
            *quad = make_quad(stride, columns, levels);
        }
        let mut count = c4.len();
        if !c.is_empty() {
            // The last is filled with activations of zero for the first row.
            let (mut columns, mut levels) = ([0; 4], [0; 4]);
            columns[..c.len()].copy_from_slice(c);
            levels[..l.len()].copy_from_slice(l);
            quads[count] = make_quad(stride, &columns, &levels);
            count += 1;
        }
        let quads = &quads[..count];
        let mut at = 0;
        while at < stride {
            at += match stride - at {
                64.. => block_i8::<2, SIGNED>(weights, at, quads, sums),
                32.. => block_i8::<1, SIGNED>(weights, at, quads, sums),
                _ => narrow_i8::<SIGNED>(weights, at, quads, sums),
            };
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn make_quad(stride: usize, columns: &[u32; 4], levels: &[i32; 4]) -> Quad {
    let [c0, c1, c2, c3] = *columns;
    let [l0, l1, l2, l3] = *levels;
    Quad {
        starts: [c0 as usize * stride, c1 as usize * stride, c2 as usize * stride, c3 as usize * stride],
        levels: i32::from_le_bytes([l0 as u8, l1 as u8, l2 as u8, l3 as u8]),
    }
}

/// `B` blocks of 32 columns from column `at` on; returns the columns done.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn block_i8<const B: usize, const SIGNED: bool>(
    weights: &[i8],
    at: usize,
    quads: &[Quad],
    sums: &mut [i32],
) -> usize {
    let mut acc = [[_mm256_setzero_si256(); 4]; B];
    for quad in quads {
        let levels = _mm256_set1_epi32(quad.levels);
        let [s0, s1, s2, s3] = quad.starts;
        let (w0, w1) = (&weights[s0 + at..][..32 * B], &weights[s1 + at..][..32 * B]);
        let (w2, w3) = (&weights[s2 + at..][..32 * B], &weights[s3 + at..][..32 * B]);
        for (b, acc) in acc.iter_mut().enumerate() {
            let (r0, r1) = (load_i8(w0, 32 * b), load_i8(w1, 32 * b));
            let (r2, r3) = (load_i8(w2, 32 * b), load_i8(w3, 32 * b));
            // Four bytes of four rows side by side for each column, in the order that the lanes allow.
            let (lo01, hi01) = (_mm256_unpacklo_epi8(r0, r1), _mm256_unpackhi_epi8(r0, r1));
            let (lo23, hi23) = (_mm256_unpacklo_epi8(r2, r3), _mm256_unpackhi_epi8(r2, r3));
            acc[0] = add_fours::<SIGNED>(acc[0], levels, _mm256_unpacklo_epi16(lo01, lo23));
            acc[1] = add_fours::<SIGNED>(acc[1], levels, _mm256_unpackhi_epi16(lo01, lo23));
            acc[2] = add_fours::<SIGNED>(acc[2], levels, _mm256_unpacklo_epi16(hi01, hi23));
            acc[3] = add_fours::<SIGNED>(acc[3], levels, _mm256_unpackhi_epi16(hi01, hi23));
        }
    }
    for (b, [a0, a1, a2, a3]) in acc.into_iter().enumerate() {
        let sums = &mut sums[at + 32 * b..][..32];
        add_to(sums, 0, _mm256_permute2x128_si256::<0x20>(a0, a1));
        add_to(sums, 8, _mm256_permute2x128_si256::<0x20>(a2, a3));
        add_to(sums, 16, _mm256_permute2x128_si256::<0x31>(a0, a1));
        add_to(sums, 24, _mm256_permute2x128_si256::<0x31>(a2, a3));
    }
    32 * B
}

/// Eight columns from column `at` on; returns the columns done.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn narrow_i8<const SIGNED: bool>(weights: &[i8], at: usize, quads: &[Quad], sums: &mut [i32]) -> usize {
    let mut acc = _mm256_setzero_si256();
    for quad in quads {
        let [s0, s1, s2, s3] = quad.starts;
        let r01 = _mm_unpacklo_epi8(load_eight(weights, s0 + at), load_eight(weights, s1 + at));
        let r23 = _mm_unpacklo_epi8(load_eight(weights, s2 + at), load_eight(weights, s3 + at));
        let fours = _mm256_set_m128i(_mm_unpackhi_epi16(r01, r23), _mm_unpacklo_epi16(r01, r23));
        acc = add_fours::<SIGNED>(acc, _mm256_set1_epi32(quad.levels), fours);
    }
    add_to(&mut sums[at..][..8], 0, acc);
    8
}

/// Adds the products of four weights and four activations, for each of eight columns.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn add_fours<const SIGNED: bool>(acc: __m256i, levels: __m256i, weights: __m256i) -> __m256i {
    let pairs = if SIGNED {
        _mm256_maddubs_epi16(_mm256_abs_epi8(levels), _mm256_sign_epi8(weights, levels))
    } else {
        _mm256_maddubs_epi16(levels, weights)
    };
    _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn load_i8(row: &[i8], at: usize) -> __m256i {
    pod_read_unaligned(cast_slice(&row[at..][..32]))
}

#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn load_eight(weights: &[i8], at: usize) -> __m128i {
    _mm_cvtsi64_si128(pod_read_unaligned(cast_slice(&weights[at..][..8])))
}

#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn add_to(sums: &mut [i32], at: usize, more: __m256i) {
    let sums = &mut sums[at..][..LANES];
    let sum = _mm256_add_epi32(pod_read_unaligned(cast_slice(sums)), more);
    sums.copy_from_slice(&must_cast::<__m256i, [i32; LANES]>(sum));
}

#[target_feature(enable = "avx2,fma,popcnt")]
fn rows_i32(weights: &[i32], stride: usize, columns: &[u32], levels: &[i32], sums: &mut [i64]) {
    // Plain code, for which the compiler finds `vpmuldq` here.
    sums.fill(0);
    portable::rows(weights, stride, columns, levels, sums, |x, w| i64::from(x) * i64::from(w));
}

#[target_feature(enable = "avx2,fma,popcnt")]
fn lists_i8(lists: &Chunks<i8>, columns: &[u32], levels: &[i32], sums: &mut [i32]) {
    sums.fill(0);
    portable::lists(lists, columns, levels, sums, |x, w, sum| sum + x * i32::from(w));
}

#[target_feature(enable = "avx2,fma,popcnt")]
fn lists_f32(lists: &Chunks<f32>, columns: &[u32], values: &[f32], sums: &mut [f32]) {
    sums.fill(0.0);
    portable::lists(lists, columns, values, sums, |x, w, sum| x.mul_add(w, sum));
}

#[target_feature(enable = "avx2,fma,popcnt")]
fn strips_f32(strips: &Strips<f32>, columns: &[u32], values: &[f32], sums: &mut [f32]) {
    sums.fill(0.0);
    let (weights, _) = strips.values.as_chunks::<LANES>();
    portable::runs(&strips.starts, columns, values, |strip, x| {
        let sums = &mut sums[strips.columns[strip] as usize..][..LANES];
        let old = pod_read_unaligned(cast_slice(sums));
        let sum = _mm256_fmadd_ps(_mm256_set1_ps(x), must_cast(weights[strip]), old);
        sums.copy_from_slice(&must_cast::<__m256, [f32; LANES]>(sum));
    });
}

#[target_feature(enable = "avx2,fma,popcnt")]
fn strips_i8(strips: &Strips<i8>, columns: &[u32], levels: &[i32], sums: &mut [i32]) {
    sums.fill(0);
    let (weights, _) = strips.values.as_chunks::<LANES>();
    portable::runs(&strips.starts, columns, levels, |strip, x| {
        // As 16-bit numbers, an activation beside a zero times a weight beside its sign.
        let x = _mm256_set1_epi32(x & 0xffff);
        let w = _mm256_cvtepi8_epi32(_mm_cvtsi64_si128(must_cast(weights[strip])));
        add_to(&mut sums[strips.columns[strip] as usize..], 0, _mm256_madd_epi16(w, x));
    });
}

#[target_feature(enable = "avx2,fma,popcnt")]
fn panels_f32(panels: &Panels<f32>, row: &[f32], sums: &mut [f32]) {
    const STEPS: usize = UNROLL * Panels::<f32>::WIDTH;
    let (tables, _) = row.as_chunks::<8>();
    let (groups, _) = panels.groups.as_chunks::<UNROLL>();
    let (picks, _) = panels.picks.as_chunks::<STEPS>();
    let (values, _) = panels.values.as_chunks::<STEPS>();
    for (ends, sums) in panels.starts.windows(2).zip(sums.as_chunks_mut::<LANES>().0) {
        let range = ends[0] as usize / UNROLL..ends[1] as usize / UNROLL;
        let steps = groups[range.clone()].iter().zip(&picks[range.clone()]).zip(&values[range]);
        let mut acc = [_mm256_setzero_ps(); UNROLL];
        for ((groups, picks), values) in steps {
            let picks: [i64; UNROLL] = must_cast(*picks);
            let values: [__m256; UNROLL] = must_cast(*values);
            for i in 0..UNROLL {
                let picks = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(picks[i]));
                let x = _mm256_permutevar8x32_ps(must_cast(tables[groups[i] as usize]), picks);
                acc[i] = _mm256_fmadd_ps(x, values[i], acc[i]);
            }
        }
        let sum = _mm256_add_ps(_mm256_add_ps(acc[0], acc[1]), _mm256_add_ps(acc[2], acc[3]));
        *sums = must_cast(sum);
    }
}

#[target_feature(enable = "avx2,fma,popcnt")]
fn panels_i8(panels: &Panels<i8>, row: &[i8], sums: &mut [i32]) {
    let (tables, _) = row.as_chunks::<16>();
    match (panels.size, none_negative(row)) {
        (16, true) => all_panels_i8::<1, false>(panels, tables, sums),
        (16, false) => all_panels_i8::<1, true>(panels, tables, sums),
        (_, true) => all_panels_i8::<2, false>(panels, tables, sums),
        (_, false) => all_panels_i8::<2, true>(panels, tables, sums),
    }
}

/// A group is `G` tables of 16 activations; without `SIGNED`, none may be negative.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn all_panels_i8<const G: usize, const SIGNED: bool>(
    panels: &Panels<i8>,
    tables: &[[i8; 16]],
    sums: &mut [i32],
) {
    const STEPS: usize = UNROLL * Panels::<i8>::WIDTH;
    let (tables, _) = tables.as_chunks::<G>();
    let (groups, _) = panels.groups.as_chunks::<UNROLL>();
    let (picks, _) = panels.picks.as_chunks::<STEPS>();
    let (values, _) = panels.values.as_chunks::<STEPS>();
    for (ends, sums) in panels.starts.windows(2).zip(sums.as_chunks_mut::<LANES>().0) {
        let range = ends[0] as usize / UNROLL..ends[1] as usize / UNROLL;
        let steps = groups[range.clone()].iter().zip(&picks[range.clone()]).zip(&values[range]);
        let mut acc = [_mm256_setzero_si256(); 2];
        for ((groups, picks), values) in steps {
            let picks: [__m256i; UNROLL] = must_cast(*picks);
            let values: [__m256i; UNROLL] = must_cast(*values);
            for i in 0..UNROLL {
                let x = look_up(&tables[groups[i] as usize], picks[i]);
                acc[i % 2] = add_fours::<SIGNED>(acc[i % 2], x, values[i]);
            }
        }
        *sums = must_cast(_mm256_add_epi32(acc[0], acc[1]));
    }
}

/// The activations that are picked from one or two tables; of an empty pick, anything.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn look_up<const G: usize>(tables: &[[i8; 16]; G], picks: __m256i) -> __m256i {
    // The same 16 activations in both halves. A shuffle gives zero where the highest bit of its pick is set.
    let first = _mm256_broadcastsi128_si256(must_cast(tables[0]));
    if G == 1 {
        return _mm256_shuffle_epi8(first, picks);
    }
    let second = _mm256_broadcastsi128_si256(must_cast(tables[1 % G]));
    // 0..16 become 0x70..0x80 and those above get that bit; and the other way round.
    let in_first = _mm256_adds_epu8(picks, _mm256_set1_epi8(0x70));
    let in_second = _mm256_sub_epi8(picks, _mm256_set1_epi8(16));
    _mm256_or_si256(_mm256_shuffle_epi8(first, in_first), _mm256_shuffle_epi8(second, in_second))
}

#[target_feature(enable = "avx2,fma,popcnt")]
fn tiles_i8(tiles: &Tiles<i8>, row: &[i8], sums: &mut [i32]) {
    let signed = !none_negative(row);
    // Four panels at a time share the loads of activations.
    let wide = 4 * tiles.panel();
    let (weights, left) = tiles.values.split_at(tiles.values.len() / wide * wide);
    let (sums, sums_left) = sums.split_at_mut(weights.len() / tiles.panel() * LANES);
    for (weights, sums) in weights.chunks_exact(wide).zip(sums.chunks_exact_mut(4 * LANES)) {
        match signed {
            false => panels_of_tiles::<4, false>(weights, row, sums),
            true => panels_of_tiles::<4, true>(weights, row, sums),
        }
    }
    for (weights, sums) in left.chunks_exact(tiles.panel()).zip(sums_left.chunks_exact_mut(LANES)) {
        match signed {
            false => panels_of_tiles::<1, false>(weights, row, sums),
            true => panels_of_tiles::<1, true>(weights, row, sums),
        }
    }
}

/// `P` panels; without `SIGNED`, no activation may be negative.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn panels_of_tiles<const P: usize, const SIGNED: bool>(weights: &[i8], row: &[i8], sums: &mut [i32]) {
    let (tiles, _) = weights.as_chunks::<TILE>();
    let (row, _) = row.as_chunks::<QUAD>();
    let count = tiles.len() / P;
    let row = &row[..count];
    let panels: [&[[i8; TILE]]; P] = std::array::from_fn(|p| &tiles[p * count..][..count]);
    let mut acc = [_mm256_setzero_si256(); P];
    for (i, &levels) in row.iter().enumerate() {
        let levels = _mm256_set1_epi32(must_cast(levels));
        for p in 0..P {
            acc[p] = add_fours::<SIGNED>(acc[p], levels, must_cast(panels[p][i]));
        }
    }
    for (sums, acc) in sums.as_chunks_mut::<LANES>().0.iter_mut().zip(acc) {
        *sums = must_cast(acc);
    }
}

#[target_feature(enable = "avx2,fma,popcnt")]
fn narrow(levels: &[i32], bytes: &mut [i8]) {
    portable::narrow(levels, bytes);
}

/// Whether no number is negative; looks at all of them, which is faster than to stop at the first.
#[inline]
#[target_feature(enable = "avx2,fma,popcnt")]
fn none_negative<T: Copy + Default + std::ops::BitOr<Output = T> + PartialOrd>(numbers: &[T]) -> bool {
    numbers.iter().fold(T::default(), |all, &n| all | n) >= T::default()
}

#[target_feature(enable = "avx2,fma,popcnt")]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    portable::dot(a, b, |x, w, sum| x.mul_add(w, sum))
}

#[target_feature(enable = "avx2,fma,popcnt")]
fn dot_i8(levels: &[i32], weights: &[i8]) -> i32 {
    levels.iter().zip(weights).map(|(x, &w)| x * i32::from(w)).sum()
}

#[target_feature(enable = "avx2,fma,popcnt")]
fn quantize_avx2(row: &[f32], levels: i32, out: &mut [i32]) -> f32 {
    quantize(row, levels, out)
}

/// For each set of lanes, the lanes in order, then anything.
const LANES_OF: [[u8; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut set = 0;
    while set < 256 {
        let (mut lane, mut n) = (0, 0);
        while lane < 8 {
            if set >> lane & 1 == 1 {
                table[set][n] = lane;
                n += 1;
            }
            lane += 1;
        }
        set += 1;
    }
    table
};

#[target_feature(enable = "avx2,fma,popcnt")]
fn compress(row: &[f32], columns: &mut [u32], values: &mut [f32]) -> usize {
    let (chunks, _) = row.as_chunks::<LANES>();
    let mut n = 0;
    let mut lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for chunk in chunks {
        let x: __m256 = must_cast(*chunk);
        let set = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(x, _mm256_setzero_ps())) as usize;
        let order = _mm_cvtsi64_si128(i64::from_le_bytes(LANES_OF[set & 0xff]));
        let order = _mm256_cvtepu8_epi32(order);
        // Whole vectors are written; what is beyond the non-zeros is written over by the next.
        let x: [f32; LANES] = must_cast(_mm256_permutevar8x32_ps(x, order));
        let at: [u32; LANES] = must_cast(_mm256_permutevar8x32_epi32(lanes, order));
        values[n..][..LANES].copy_from_slice(&x);
        columns[n..][..LANES].copy_from_slice(&at);
        lanes = _mm256_add_epi32(lanes, _mm256_set1_epi32(8));
        n += set.count_ones() as usize;
    }
    portable::compress(row, chunks.len() * LANES, n, columns, values)
}
