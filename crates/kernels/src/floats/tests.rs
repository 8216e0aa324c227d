//! Products and functions of every set of instructions against plain sums in double precision, and against each other.

use super::elementwise::exp2;
use super::*;
use crate::aligned::Aligned;
use crate::encoder::tests::{normal, numbers};
use crate::int8::{Function, Isa, LANES, Same, Set, Shape, Simd, with_set};

fn multiplied(isa: Isa, rows: Rows<'_>, panels: &FloatPanels, bias: &[f32]) -> Vec<f32> {
    let stride = bias.len() + LANES;
    let mut out = vec![7.0; rows.count * stride];
    let mut finish = WithBias { bias, out: &mut out, stride, function: Same };
    let mut room = Aligned::new();
    with_set!(isa, set => {
        let simd = set.simd();
        simd.vectorize(
            #[inline(always)]
            || product(simd, rows, panels, &mut room, &mut finish),
        );
    });
    out
}

/// Whether a set rounds rows to bfloat16 where the weight is.
fn rounds_rows(isa: Isa) -> bool {
    matches!(isa.name(), "amx" | "avx512-bf16")
}

/// Whether a set adds products in another order than the others.
fn is_apart(isa: Isa, halves: bool) -> bool {
    isa.name() == "amx" || halves && rounds_rows(isa)
}

/// Rounded to bfloat16, ties to even.
fn rounded(x: f32) -> f32 {
    let bits = x.to_bits();
    f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
}

#[test]
fn rows_of_any_number_are_multiplied_alike_on_every_set() {
    let shapes = [(64, 64), (7, 32), (130, 96), (1, 32)];
    for ((inputs, outputs), halves) in shapes.into_iter().flat_map(|shape| [(shape, false), (shape, true)]) {
        let of_weight = if halves { rounded } else { |x| x };
        let weight: Vec<f32> = numbers(1, inputs * outputs).into_iter().map(of_weight).collect();
        let (whole, bias) = (FloatPanels::new(&weight, inputs, outputs), numbers(2, outputs));
        let panels = if halves { &FloatPanels::halves(&weight, inputs, outputs) } else { &whole };
        let (stride, most) = (inputs + 3, 131);
        let x = numbers(3, most * stride);
        let stored = outputs + LANES;
        let all = Rows { numbers: &x, stride, count: most };
        // Each addition to a sum rounds by 2^-24 of it at most; twice that, as it is not said how two products are added.
        let check = |found: &[f32], of: fn(f32) -> f32| {
            for (row, found) in found.chunks_exact(stored).enumerate() {
                for (column, found) in found.iter().enumerate() {
                    let term = |i: usize| {
                        f64::from(of(x[row * stride + i])) * f64::from(weight[i * outputs + column])
                    };
                    let (exact, most) = match column < outputs {
                        true => {
                            let bias = f64::from(bias[column]);
                            let terms = (0..inputs).map(term);
                            (terms.clone().sum::<f64>() + bias, terms.map(f64::abs).sum::<f64>() + bias.abs())
                        }
                        // Nothing is written behind a row.
                        false => (7.0, 0.0),
                    };
                    let far = (f64::from(*found) - exact).abs();
                    let bound = (inputs + 1) as f64 * 2.0_f64.powi(-23) * most;
                    assert!(far <= bound, "{inputs} × {outputs}: {row}, {column}: {far} of {bound}");
                }
            }
        };
        let plain = multiplied(Isa::all().pop().unwrap(), all, &whole, &bias);
        check(&plain, |x| x);
        for isa in Isa::all() {
            let expected = multiplied(isa, all, panels, &bias);
            if is_apart(isa, halves) {
                check(&expected, if halves { rounded } else { |x| x });
            } else {
                assert_eq!(expected, plain, "{}, halves: {halves}", isa.name());
            }
            for count in (1..=31).chain([96, 97, 98, 109, most]) {
                // The last of them, so that what is before a row would show.
                let numbers = &x[(most - count) * stride..];
                let found = multiplied(isa, Rows { numbers, stride, count }, panels, &bias);
                assert_eq!(found, expected[(most - count) * stored..], "{}: {count} rows", isa.name());
            }
        }
    }
}

#[test]
fn attention_is_near_that_in_double_precision() {
    for (heads, width) in [(2, 32), (1, 64)] {
        for tokens in [1, 2, 13, 31, 33, 70] {
            let (shape, channels) = (Shape { heads, width, tokens }, heads * width);
            let rows = numbers(5, tokens * 3 * channels);
            for (isa, halves) in Isa::all().into_iter().flat_map(|isa| [(isa, false), (isa, true)]) {
                let mut out = vec![7.0; tokens * channels];
                with_set!(isa, set => {
                    let (simd, mut room) = (set.simd(), FloatHeads::default());
                    simd.vectorize(
                        #[inline(always)]
                        || attend(simd, shape, &rows, &mut out, &mut room, halves),
                    );
                });
                let rounds = halves && rounds_rows(isa);
                let at = |token: usize, n: usize| {
                    let x = rows[token * 3 * channels + n];
                    f64::from(if rounds { rounded(x) } else { x })
                };
                // A share is rounded to eight bits of significand.
                let share_error = if rounds { 2.0_f64.powi(-8) } else { 0.0 };
                for (n, found) in out.iter().enumerate() {
                    let (token, n) = (n / channels, n % channels);
                    let first = n / width * width;
                    let shares: Vec<f64> = (0..tokens)
                        .map(|other| {
                            let terms =
                                (first..first + width).map(|i| at(token, i) * at(other, channels + i));
                            (terms.sum::<f64>() / (width as f64).sqrt()).exp()
                        })
                        .collect();
                    let total: f64 = shares.iter().sum();
                    let terms = (0..tokens).map(|other| shares[other] / total * at(other, 2 * channels + n));
                    let far = (f64::from(*found) - terms.clone().sum::<f64>()).abs();
                    let bound = share_error * terms.map(f64::abs).sum::<f64>() + 1e-5;
                    assert!(far < bound, "{}, {heads} x {width}, {tokens} tokens: {far}", isa.name());
                }
            }
        }
    }
}

#[test]
fn panels_hold_the_matrix() {
    let (inputs, outputs) = (5, 70);
    let weight: Vec<f32> = numbers(4, inputs * outputs).iter().map(|x| (x * 128.0).round() / 128.0).collect();
    for (panels, bytes) in [
        (FloatPanels::new(&weight, inputs, outputs), 4 * 5),
        (FloatPanels::halves(&weight, inputs, outputs), 2 * 32),
    ] {
        let mut found = vec![0.0; weight.len()];
        panels.visit(|input, output, x| found[input * outputs + output] = x);
        assert_eq!(found, weight);
        assert_eq!((panels.count(), panels.resident_bytes()), (3, 3 * 32 * bytes));
    }
}

/// A function of sixteen numbers at a time, on every set: the same bits.
macro_rules! of_all {
    ($x:expr, $simd:ident, $vector:ident => $value:expr) => {{
        let mut all: Vec<Vec<f32>> = Vec::new();
        for isa in Isa::all() {
            let mut out = $x.to_vec();
            with_set!(isa, set => {
                let $simd = set.simd();
                for x in out.as_chunks_mut::<LANES>().0 {
                    let $vector = $simd.load(x);
                    $simd.store($value, x);
                }
            });
            all.push(out);
        }
        let bits = |of: &Vec<f32>| of.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert!(all.iter().all(|of| bits(of) == bits(&all[0])), "the same on every set");
        all.swap_remove(0)
    }};
}

#[test]
fn functions_are_close_to_those_in_double_precision() {
    let xs: Vec<f32> = (-16_000..16_000).map(|n| n as f32 / 1600.0).collect();
    for (x, found) in xs.iter().zip(of_all!(xs, simd, x => exp2(simd, x))) {
        assert!((f64::from(found) / f64::from(*x).exp2() - 1.0).abs() < 2e-7, "2^{x}: {found}");
    }
    for (x, found) in xs.iter().zip(of_all!(xs, simd, x => ExactGelu.of(simd, x))) {
        let x = f64::from(*x);
        assert!((f64::from(found) - x * normal(x)).abs() < 5e-7, "{x}: {found}");
    }
    let far = [-1e30, -127.0, -1e4, 1e4, f32::NAN, 0.0, -0.0, 1.0].repeat(2);
    let powers = of_all!(far, simd, x => exp2(simd, simd.min(simd.splat(100.0), x)));
    assert!(powers[..3].iter().all(|x| (0.0..1e-37).contains(x)), "{powers:?}");
    assert!(powers[4].is_nan() && powers[5..8] == [1.0, 1.0, 2.0]);
    let units = of_all!(far, simd, x => ExactGelu.of(simd, x));
    assert!(units[1].abs() < 1e-30 && units[2].abs() < 1e-30 && units[3] == 1e4 && units[4].is_nan());
}
