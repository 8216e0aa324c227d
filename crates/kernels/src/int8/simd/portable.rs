//! The operations in plain Rust: what the others are held against.

use super::{LANES, Simd};

/// Instructions that every processor has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

#[inline(always)]
fn each<A: Copy, R: Copy + Default>(a: [A; LANES], of: impl Fn(A) -> R) -> [R; LANES] {
    let mut all = [R::default(); LANES];
    for n in 0..LANES {
        all[n] = of(a[n]);
    }
    all
}

#[inline(always)]
fn both<A: Copy, R: Copy + Default>(a: [A; LANES], b: [A; LANES], of: impl Fn(A, A) -> R) -> [R; LANES] {
    let mut all = [R::default(); LANES];
    for n in 0..LANES {
        all[n] = of(a[n], b[n]);
    }
    all
}

/// All lanes to one, the upper half to the lower until one is left.
#[inline(always)]
fn folded<A: Copy>(mut a: [A; LANES], of: impl Fn(A, A) -> A) -> A {
    let mut half = LANES / 2;
    while half > 0 {
        for n in 0..half {
            a[n] = of(a[n], a[n + half]);
        }
        half /= 2;
    }
    a[0]
}

impl Simd for Portable {
    type F = [f32; LANES];
    type I = [i32; LANES];

    #[inline(always)]
    fn vectorize<R>(self, op: impl FnOnce() -> R) -> R {
        op()
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        [x; LANES]
    }

    #[inline(always)]
    fn splat_i(self, x: i32) -> Self::I {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F {
        *from
    }

    #[inline(always)]
    fn store(self, x: Self::F, to: &mut [f32; LANES]) {
        *to = x;
    }

    #[inline(always)]
    fn load_i(self, from: &[i32; LANES]) -> Self::I {
        *from
    }

    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        both(a, b, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        both(a, b, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        both(a, b, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        both(a, b, |a, b| a / b)
    }

    #[inline(always)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        let mut all = c;
        for n in 0..LANES {
            all[n] = a[n].mul_add(b[n], c[n]);
        }
        all
    }

    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        // The second where they do not compare, as the instruction has it.
        both(a, b, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        both(a, b, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn abs(self, a: Self::F) -> Self::F {
        each(a, f32::abs)
    }

    #[inline(always)]
    fn look_up(self, table: &[f32; 2 * LANES], i: Self::I) -> Self::F {
        each(i, |i| table[(i & 31) as usize])
    }

    #[inline(always)]
    fn add_i(self, a: Self::I, b: Self::I) -> Self::I {
        both(a, b, i32::wrapping_add)
    }

    #[inline(always)]
    fn max_i(self, a: Self::I, b: Self::I) -> Self::I {
        both(a, b, i32::max)
    }

    #[inline(always)]
    fn min_i(self, a: Self::I, b: Self::I) -> Self::I {
        both(a, b, i32::min)
    }

    #[inline(always)]
    fn to_exponent(self, a: Self::I) -> Self::I {
        each(a, |a| a << 23)
    }

    #[inline(always)]
    fn four_bytes(self, [a0, a1, a2, a3]: [Self::I; 4]) -> Self::I {
        let mut all = a0;
        for n in 0..LANES {
            all[n] = a0[n] & 255 | (a1[n] & 255) << 8 | (a2[n] & 255) << 16 | a3[n] << 24;
        }
        all
    }

    #[inline(always)]
    fn bits(self, a: Self::F) -> Self::I {
        each(a, |a| a.to_bits().cast_signed())
    }

    #[inline(always)]
    fn from_bits(self, a: Self::I) -> Self::F {
        each(a, |a| f32::from_bits(a.cast_unsigned()))
    }

    #[inline(always)]
    fn float(self, a: Self::I) -> Self::F {
        each(a, |a| a as f32)
    }

    #[inline(always)]
    fn low_half(self, a: Self::I) -> Self::F {
        each(a, |a| f32::from_bits(a.cast_unsigned() << 16))
    }

    #[inline(always)]
    fn high_half(self, a: Self::I) -> Self::F {
        each(a, |a| f32::from_bits(a.cast_unsigned() & 0xffff_0000))
    }

    #[inline(always)]
    fn round(self, a: Self::F) -> Self::I {
        // What is no number, or too large, is the smallest integer, as the instruction has it.
        each(a, |a| {
            let a = a.round_ties_even();
            if (-2_147_483_648.0..2_147_483_648.0).contains(&a) { a as i32 } else { i32::MIN }
        })
    }

    #[inline(always)]
    fn offset_bytes(self, a: [Self::I; 4]) -> [u8; 4 * LANES] {
        let mut all = [0; 4 * LANES];
        for (vector, all) in a.iter().zip(all.as_chunks_mut::<LANES>().0) {
            for n in 0..LANES {
                all[n] = (vector[n].clamp(-128, 127) as u8) ^ 128;
            }
        }
        all
    }

    #[inline(always)]
    fn narrow(self, a: [Self::I; 4]) -> Self::I {
        let mut all = [0_i8; 4 * LANES];
        for (vector, all) in a.iter().zip(all.as_chunks_mut::<LANES>().0) {
            *all = each(*vector, |a| a.clamp(-128, 127) as i8);
        }
        bytemuck::must_cast(all)
    }

    #[inline(always)]
    fn turn(self, a: [Self::I; 8]) -> [Self::I; 8] {
        let mut all = a;
        for (n, vector) in a.iter().enumerate() {
            for q in 0..8 {
                (all[q][n], all[q][8 + n]) = (vector[q], vector[8 + q]);
            }
        }
        all
    }

    #[inline(always)]
    fn words(self, a: Self::I) -> [i32; LANES] {
        a
    }

    #[inline(always)]
    fn low_bytes(self, a: Self::I) -> [u8; LANES] {
        each(a, |a| a as u8)
    }

    #[inline(always)]
    fn sum(self, a: Self::F) -> f32 {
        folded(a, |a, b| a + b)
    }

    #[inline(always)]
    fn largest(self, a: Self::F) -> f32 {
        folded(a, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn largest_i(self, a: Self::I) -> i32 {
        folded(a, i32::max)
    }
}
