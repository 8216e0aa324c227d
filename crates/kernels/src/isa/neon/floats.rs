//! Loops over floats: products and sums in one step.

use crate::form::Panels;
use crate::isa::portable;
use crate::lanes::{LANES, UNROLL};
use std::arch::aarch64::*;

#[target_feature(enable = "neon")]
pub(super) fn rows_f32(weights: &[f32], stride: usize, columns: &[u32], values: &[f32], sums: &mut [f32]) {
    let mut at = 0;
    while at < stride {
        let sums = &mut sums[at..];
        // For few columns several rows at a time, so that there are always independent sums to hide the latency
        // of each.
        at += match stride - at {
            64.. => block::<16, 1>(weights, (stride, at), columns, values, sums),
            32.. => block::<8, 1>(weights, (stride, at), columns, values, sums),
            _ => block::<2, 4>(weights, (stride, at), columns, values, sums),
        };
    }
}

/// `N` vectors of four columns of rows of `stride` weights, from column `at` on, `R` rows at a time; returns the
/// columns done.
#[inline]
#[target_feature(enable = "neon")]
fn block<const N: usize, const R: usize>(
    weights: &[f32],
    (stride, at): (usize, usize),
    columns: &[u32],
    values: &[f32],
    sums: &mut [f32],
) -> usize {
    let mut acc = [[vdupq_n_f32(0.0); N]; R];
    let ((columns, columns_left), (values, values_left)) =
        (columns.as_chunks::<R>(), values.as_chunks::<R>());
    for (columns, values) in columns.iter().zip(values) {
        for r in 0..R {
            add_row(&weights[columns[r] as usize * stride + at..][..4 * N], values[r], &mut acc[r]);
        }
    }
    for (&column, &value) in columns_left.iter().zip(values_left) {
        add_row(&weights[column as usize * stride + at..][..4 * N], value, &mut acc[0]);
    }
    for (n, sums) in sums.as_chunks_mut::<4>().0[..N].iter_mut().enumerate() {
        store(sums, acc.iter().skip(1).fold(acc[0][n], |sum, acc| vaddq_f32(sum, acc[n])));
    }
    4 * N
}

#[inline]
#[target_feature(enable = "neon")]
fn add_row<const N: usize>(row: &[f32], x: f32, acc: &mut [float32x4_t; N]) {
    let x = vdupq_n_f32(x);
    for (acc, weights) in acc.iter_mut().zip(row.as_chunks::<4>().0) {
        *acc = vfmaq_f32(*acc, x, load(weights));
    }
}

#[target_feature(enable = "neon")]
pub(super) fn panels_f32(panels: &Panels<f32>, row: &[f32], sums: &mut [f32]) {
    const STEPS: usize = UNROLL * Panels::<f32>::WIDTH;
    let (tables, _) = row.as_chunks::<4>().0.as_chunks::<2>();
    let (groups, _) = panels.groups.as_chunks::<UNROLL>();
    let (picks, _) = panels.picks.as_chunks::<STEPS>();
    let (values, _) = panels.values.as_chunks::<STEPS>();
    let sums = sums.as_chunks_mut::<4>().0.as_chunks_mut::<2>().0;
    for (ends, sums) in panels.starts.windows(2).zip(sums) {
        let range = ends[0] as usize / UNROLL..ends[1] as usize / UNROLL;
        let steps = groups[range.clone()].iter().zip(&picks[range.clone()]).zip(&values[range]);
        let mut acc = [[vdupq_n_f32(0.0); 2]; UNROLL];
        for ((groups, picks), values) in steps {
            let (picks, values) = (picks.as_chunks::<LANES>().0, values.as_chunks::<4>().0);
            for i in 0..UNROLL {
                let [first, second] = look_up(&tables[groups[i] as usize], &picks[i]);
                acc[i][0] = vfmaq_f32(acc[i][0], first, load(&values[2 * i]));
                acc[i][1] = vfmaq_f32(acc[i][1], second, load(&values[2 * i + 1]));
            }
        }
        for (half, sums) in sums.iter_mut().enumerate() {
            let pairs = (vaddq_f32(acc[0][half], acc[1][half]), vaddq_f32(acc[2][half], acc[3][half]));
            store(sums, vaddq_f32(pairs.0, pairs.1));
        }
    }
}

/// The activations that are picked from eight; of an empty pick, any of them.
#[inline]
#[target_feature(enable = "neon")]
fn look_up([lower, upper]: &[[f32; 4]; 2], picks: &[u8; LANES]) -> [float32x4_t; 2] {
    let table = uint8x16x2_t(vreinterpretq_u8_f32(load(lower)), vreinterpretq_u8_f32(load(upper)));
    // SAFETY: 8 bytes are read, which the array has; they need not be aligned.
    let picks = unsafe { vld1_u8(picks.as_ptr()) };
    // Without the bit of an empty pick, and then for each float the places of its four bytes.
    let picks = vmovl_u8(vand_u8(picks, vdup_n_u8(LANES as u8 - 1)));
    let places = |picks: uint32x4_t| {
        let places = vmlaq_n_u32(vdupq_n_u32(0x0302_0100), picks, 0x0404_0404);
        vreinterpretq_f32_u8(vqtbl2q_u8(table, vreinterpretq_u8_u32(places)))
    };
    [places(vmovl_u16(vget_low_u16(picks))), places(vmovl_high_u16(picks))]
}

#[target_feature(enable = "neon")]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    portable::dot(a, b, |x, w, sum| x.mul_add(w, sum))
}

#[inline]
#[target_feature(enable = "neon")]
fn load(floats: &[f32; 4]) -> float32x4_t {
    // SAFETY: four floats are read, which the array has.
    unsafe { vld1q_f32(floats.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn store(sums: &mut [f32; 4], sum: float32x4_t) {
    // SAFETY: four floats are written, which the array has room for.
    unsafe { vst1q_f32(sums.as_mut_ptr(), sum) }
}
