//! Products and functions of every set of instructions against plain sums in double precision, and against each other.

use super::elementwise::exp2;
use super::*;
use crate::encoder::tests::{normal, numbers};
use crate::int8::{Function, Isa, LANES, Same, Set, Simd, with_set};

fn multiplied(isa: Isa, rows: Rows<'_>, panels: &FloatPanels, bias: &[f32]) -> Vec<f32> {
    let stride = bias.len() + LANES;
    let mut out = vec![7.0; rows.count * stride];
    let mut finish = WithBias { bias, out: &mut out, stride, function: Same };
    with_set!(isa, set => {
        let simd = set.simd();
        simd.vectorize(
            #[inline(always)]
            || product(simd, rows, panels, &mut finish),
        );
    });
    out
}

#[test]
fn rows_of_any_number_are_multiplied_alike_on_every_set() {
    for (inputs, outputs) in [(64, 64), (7, 32), (130, 96), (1, 32)] {
        // Numbers that are bfloat16, too.
        let weight: Vec<f32> =
            numbers(1, inputs * outputs).iter().map(|x| (x * 128.0).round() / 128.0).collect();
        let (panels, bias) = (FloatPanels::new(&weight, inputs, outputs), numbers(2, outputs));
        let halves = FloatPanels::halves(&weight, inputs, outputs);
        let (stride, most) = (inputs + 3, 31);
        let x = numbers(3, most * stride);
        let stored = outputs + LANES;
        let all = Rows { numbers: &x, stride, count: most };
        let expected = multiplied(Isa::all().pop().unwrap(), all, &panels, &bias);
        for (row, found) in expected.chunks_exact(stored).enumerate() {
            for (column, found) in found.iter().enumerate() {
                let term = |i: usize| f64::from(x[row * stride + i] * weight[i * outputs + column]);
                let exact = match column < outputs {
                    true => (0..inputs).map(term).sum::<f64>() + f64::from(bias[column]),
                    // Nothing is written behind a row.
                    false => 7.0,
                };
                assert!((f64::from(*found) - exact).abs() < 2e-5, "{inputs} × {outputs}: {row}, {column}");
            }
        }
        for isa in Isa::all() {
            for count in 1..=most {
                // The last of them, so that what is before a row would show.
                let numbers = &x[(most - count) * stride..];
                let found = multiplied(isa, Rows { numbers, stride, count }, &panels, &bias);
                assert_eq!(found, expected[(most - count) * stored..], "{}: {count} rows", isa.name());
                let found = multiplied(isa, Rows { numbers, stride, count }, &halves, &bias);
                assert_eq!(
                    found,
                    expected[(most - count) * stored..],
                    "{}: {count} rows, halves",
                    isa.name()
                );
            }
        }
    }
}

#[test]
fn panels_hold_the_matrix() {
    let (inputs, outputs) = (5, 70);
    let weight: Vec<f32> = numbers(4, inputs * outputs).iter().map(|x| (x * 128.0).round() / 128.0).collect();
    for (panels, bytes) in
        [(FloatPanels::new(&weight, inputs, outputs), 4), (FloatPanels::halves(&weight, inputs, outputs), 2)]
    {
        let mut found = vec![0.0; weight.len()];
        panels.visit(|input, output, x| found[input * outputs + output] = x);
        assert_eq!(found, weight);
        assert_eq!((panels.count(), panels.resident_bytes()), (3, bytes * 3 * 32 * inputs));
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
