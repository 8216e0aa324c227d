//! The loops of every set of instructions that this processor has against those of [`Portable`].

mod shapes;

use super::*;
use crate::lanes::{GROUP, LANES, NARROW, QUAD, SPARE, TILE};
use nlpress_packed::Lists;

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

/// Runs a check on each set of instructions of this processor, with its name.
macro_rules! on_every_set {
    ($check:expr) => {
        for set in Set::all() {
            with_kernels!(set, kernels => $check(kernels, set.name()));
        }
    };
}
use on_every_set;

#[test]
#[allow(clippy::print_stdout)] // which sets a run covered depends on the machine
fn the_sets_of_this_processor_end_with_the_portable_one() {
    println!("instruction sets covered here: {}", instruction_sets().join(", "));
    assert_eq!(instruction_sets().last(), Some(&"portable"));
    assert_eq!(instruction_sets()[0], Set::best().name());
}

#[test]
fn integers_are_the_same() {
    on_every_set!(check_integers_are_the_same);
}

fn check_integers_are_the_same(kernels: impl Kernels, set: &str) {
    for (case, stride) in [8, 16, 24, 32, 40, 64, 72, 96, 128, 200].into_iter().enumerate() {
        for nonzeros in [0, 1, 2, 3, 4, 5, 20, 61] {
            let seed = (case * 100 + nonzeros) as u64;
            let levels: Vec<i8> = numbers(seed, nonzeros, 127).iter().map(|&x| x as i8).collect();
            let columns: Vec<u32> = (0..nonzeros as u32).map(|i| i * 3 % 64).collect();
            for (largest, narrow) in [(127, false), (NARROW, true)] {
                let weights = numbers(seed + 1, 64 * stride, largest);
                let bytes: Vec<i8> = weights.iter().map(|&w| w as i8).collect();
                let (mut a, mut b) = (vec![1; stride], vec![2; stride]);
                let rows = Touched { weights: &bytes, stride, columns: &columns, levels: &levels, narrow };
                kernels.rows_i8(rows, &mut a);
                Portable.rows_i8(rows, &mut b);
                assert_eq!(a, b, "{set}: stride {stride}, {nonzeros} non-zeros, up to {largest}");
            }

            let levels = numbers(seed, nonzeros, 32_767);
            let weights = numbers(seed + 2, 64 * stride, i32::MAX - 1);
            let (mut a, mut b) = (vec![1; stride], vec![2; stride]);
            kernels.rows_i32(&weights, stride, &columns, &levels, &mut a);
            Portable.rows_i32(&weights, stride, &columns, &levels, &mut b);
            assert_eq!(a, b, "{set}: stride {stride}, {nonzeros} non-zeros");
        }
    }
}

#[test]
fn the_largest_integers_do_not_saturate() {
    on_every_set!(check_the_largest_integers_do_not_saturate);
}

fn check_the_largest_integers_do_not_saturate(kernels: impl Kernels, set: &str) {
    for (largest, narrow) in [(127, false), (NARROW, true)] {
        for (x, w) in [(127, largest), (-127, largest), (127, -largest), (-127, -largest)] {
            for (stride, count) in [8, 32, 64, 128, 224].into_iter().flat_map(|s| [(s, 9), (s, 64), (s, 71)])
            {
                let mut sums = vec![0; stride];
                let weights = vec![w as i8; count * stride];
                let (columns, levels): (Vec<u32>, _) = ((0..count as u32).collect(), vec![x as i8; count]);
                let rows = Touched { weights: &weights, stride, columns: &columns, levels: &levels, narrow };
                kernels.rows_i8(rows, &mut sums);
                assert_eq!(sums, vec![count as i32 * x * w; stride], "{set}: {stride}, {count}");
            }
        }
    }
}

#[test]
fn floats_differ_in_rounding_only() {
    on_every_set!(check_floats_differ_in_rounding_only);
}

fn check_floats_differ_in_rounding_only(kernels: impl Kernels, set: &str) {
    for stride in [8, 16, 24, 32, 56, 64, 128, 136, 184] {
        for nonzeros in [0, 1, 3, 7, 8, 9, 40] {
            let weights: Vec<f32> = numbers(7, 64 * stride, 999).iter().map(|&w| w as f32 / 999.0).collect();
            let values: Vec<f32> = numbers(8, nonzeros, 999).iter().map(|&w| w as f32 / 999.0).collect();
            let columns: Vec<u32> = (0..nonzeros as u32).map(|i| i * 5 % 64).collect();
            let (mut a, mut b) = (vec![1.0; stride], vec![2.0; stride]);
            kernels.rows_f32(&weights, stride, &columns, &values, &mut a);
            Portable.rows_f32(&weights, stride, &columns, &values, &mut b);
            let close = a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 1e-5);
            assert!(close, "{set}: stride {stride}, {nonzeros} non-zeros");
            let (x, w) = (&weights[..nonzeros], &weights[64..64 + nonzeros]);
            assert!((kernels.dot(x, w) - Portable.dot(x, w)).abs() <= 1e-5, "{set}");
        }
    }
}

#[test]
fn rows_are_quantized_and_compressed_alike() {
    on_every_set!(check_rows_are_quantized_and_compressed_alike);
}

fn check_rows_are_quantized_and_compressed_alike(kernels: impl Kernels, set: &str) {
    for count in [0, 1, 7, 8, 9, 31, 64, 100] {
        let row: Vec<f32> = numbers(count as u64, count, 999).iter().map(|&w| w as f32 / 77.0).collect();
        let (mut a, mut b) = (vec![1; count], vec![2; count]);
        for levels in [127, 32_767] {
            assert_eq!(kernels.quantize(&row, levels, &mut a), Portable.quantize(&row, levels, &mut b));
            assert_eq!(a, b, "{set}");
        }
        let scale = 0.31 * 999.0 / 77.0 / 127.0;
        kernels.quantize_at(&row, scale, 127, &mut a);
        crate::quantize::quantize_row_at(&row, scale, 127, &mut b);
        assert_eq!(a, b, "{set}");
        let expected: Vec<u32> = (0..count as u32).filter(|&i| row[i as usize] != 0.0).collect();
        let (mut columns, mut values) = (vec![9; count + LANES], vec![9.0; count + LANES]);
        for portable in [false, true] {
            let n = match portable {
                false => kernels.compress(&row, &mut columns, &mut values),
                true => Portable.compress(&row, &mut columns, &mut values),
            };
            assert_eq!(columns[..n], expected, "{set}");
            assert!(expected.iter().zip(&values).all(|(&i, v)| *v == row[i as usize]));
            columns.fill(9);
        }
    }
}

#[test]
fn blocks_hold_the_largest_integers() {
    on_every_set!(check_the_largest_integers_of_blocks);
}

fn check_the_largest_integers_of_blocks(kernels: impl Kernels, set: &str) {
    let (rows, tiles, panels) = (5, 35, 3);
    let (size, stride) = (tiles * TILE, (tiles * QUAD).next_multiple_of(GROUP));
    for (largest, narrow) in [(127, false), (NARROW, true)] {
        for (x, w) in [(127, largest), (-127, largest), (127, -largest), (-127, -largest)] {
            let (weights, levels) = (vec![w as i8; panels * size], vec![x as i8; rows * stride]);
            let block = Block { weights: &weights, size, rows: &levels, stride, narrow };
            let width = panels * LANES + 8;
            let mut sums = vec![7; rows * width];
            kernels.block_i8(block, &mut sums, width);
            for row in sums.chunks_exact(width) {
                let (sums, beyond) = row.split_at(panels * LANES);
                assert_eq!(sums, vec![(tiles * QUAD) as i32 * x * w; panels * LANES], "{set}");
                assert_eq!(beyond, [7; 8], "{set}");
            }
        }
    }
}

#[test]
fn products_of_two_vectors_are_the_same() {
    on_every_set!(check_products_of_two_vectors);
}

fn check_products_of_two_vectors(kernels: impl Kernels, set: &str) {
    let bytes = |seed, count| numbers(seed, count, 127).into_iter().map(|n| n as i8).collect::<Vec<_>>();
    for count in [0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 1000] {
        let (x, w) = (bytes(count as u64, count), bytes(7, count));
        assert_eq!(kernels.dot_i8(&x, &w), Portable.dot_i8(&x, &w), "{set}: {count}");
        for (x, w) in [(127i8, 127i8), (-127, 127), (127, -127), (-127, -127)] {
            let expected = count as i32 * i32::from(x) * i32::from(w);
            assert_eq!(kernels.dot_i8(&vec![x; count], &vec![w; count]), expected, "{set}: {count}");
        }
    }
}

/// A matrix of 50 inputs as lists: numbers of which about `percent` are kept, and the rows that they are in.
fn lists(seed: u64, outputs: usize, percent: i32, largest: i32) -> (Vec<i32>, Vec<bool>) {
    let keep = numbers(seed + 9, 50 * outputs, 99).iter().map(|n| n.abs() < percent).collect();
    (numbers(seed, 50 * outputs, largest), keep)
}

/// Every shape, kept share and count of activations that takes another way through the loops.
fn cases() -> impl Iterator<Item = (usize, i32, usize)> {
    let outputs = [2, 8, 9, 32, 40, 72, 200];
    let percents = [0, 1, 4, 20, 60, 100];
    outputs
        .into_iter()
        .flat_map(move |o| percents.map(|p| (o, p)))
        .flat_map(|(o, p)| [0, 1, 7, 20, 50].map(|n| (o, p, n)))
}

#[test]
fn sparse_integers_are_the_same() {
    on_every_set!(check_sparse_integers_are_the_same);
}

fn check_sparse_integers_are_the_same(kernels: impl Kernels, set: &str) {
    for (outputs, percent, nonzeros) in cases() {
        let seed = outputs as u64 + 1000 * percent as u64;
        let (weights, keep) = lists(seed, outputs, percent, 127);
        let weights: Vec<i8> = weights.iter().map(|&w| w as i8).collect();
        let lists = Lists::gather(&weights, &keep, outputs);
        let columns: Vec<u32> = (0..nonzeros as u32).map(|i| i * 7 % 50).collect();
        let mut row = vec![0i8; 64];
        for signed in [false, true] {
            let mut levels = numbers(seed + 3, nonzeros, 127);
            if !signed {
                levels.iter_mut().for_each(|level| *level = level.abs());
            }
            columns.iter().zip(&levels).for_each(|(&c, &level)| row[c as usize] = level as i8);
            let width = outputs.next_multiple_of(LANES);
            let (mut a, mut b) = (vec![1; outputs + SPARE], vec![2; outputs + SPARE]);
            let chunks = Chunks::new(&lists, outputs);
            kernels.lists_i8(&chunks, &columns, &levels, &mut a);
            Portable.lists_i8(&chunks, &columns, &levels, &mut b);
            assert_eq!(a, b, "{set}: lists, {outputs} outputs, {percent} %, {nonzeros} non-zeros");
            let expected = &a[..outputs];

            let strips = Strips::new(&lists);
            let (mut a, mut b) = (vec![1; width], vec![2; width]);
            kernels.strips_i8(&strips, &columns, &levels, &mut a);
            Portable.strips_i8(&strips, &columns, &levels, &mut b);
            assert_eq!((&a, &a[..outputs]), (&b, expected), "{set}: strips, {outputs} outputs, {percent} %");

            for size in [16, 32] {
                let panels = Panels::new(&lists, outputs, size);
                let (mut a, mut b) = (vec![1; width], vec![2; width]);
                kernels.panels_i8(&panels, &row, &mut a);
                Portable.panels_i8(&panels, &row, &mut b);
                assert_eq!(
                    (&a, &a[..outputs]),
                    (&b, expected),
                    "{set}: panels of {size}, {outputs} outputs, {percent} %"
                );
            }

            let mut dense = vec![0; 50 * outputs];
            lists.visit(|row, column, value| dense[row * outputs + column] = value);
            let tiles = Tiles::new(&dense, outputs, 50, outputs);
            let (mut a, mut b) = (vec![1; width], vec![2; width]);
            kernels.tiles_i8(&tiles, &row, false, &mut a);
            Portable.tiles_i8(&tiles, &row, false, &mut b);
            assert_eq!((&a, &a[..outputs]), (&b, expected), "{set}: tiles, {outputs} outputs, {percent} %");
        }
    }
}

#[test]
fn sparse_floats_differ_in_rounding_only() {
    on_every_set!(check_sparse_floats_differ_in_rounding_only);
}

fn check_sparse_floats_differ_in_rounding_only(kernels: impl Kernels, set: &str) {
    for (outputs, percent, nonzeros) in cases() {
        let seed = outputs as u64 + 1000 * percent as u64;
        let (weights, keep) = lists(seed, outputs, percent, 999);
        let weights: Vec<f32> = weights.iter().map(|&w| w as f32 / 999.0).collect();
        let lists = Lists::gather(&weights, &keep, outputs);
        let columns: Vec<u32> = (0..nonzeros as u32).map(|i| i * 7 % 50).collect();
        let values: Vec<f32> = numbers(seed + 3, nonzeros, 999).iter().map(|&x| x as f32 / 999.0).collect();
        let mut row = vec![0.0; 56];
        columns.iter().zip(&values).for_each(|(&c, &x)| row[c as usize] = x);
        let (width, spare) = (outputs.next_multiple_of(LANES), outputs + SPARE);
        let (chunks, strips) = (Chunks::new(&lists, outputs), Strips::new(&lists));
        let panels = Panels::new(&lists, outputs, 8);
        let mut all = [spare, spare, width, width, width, width].map(|width| vec![3.0; width]);
        let [a, b, c, d, e, f] = &mut all;
        kernels.lists_f32(&chunks, &columns, &values, a);
        Portable.lists_f32(&chunks, &columns, &values, b);
        kernels.strips_f32(&strips, &columns, &values, c);
        Portable.strips_f32(&strips, &columns, &values, d);
        kernels.panels_f32(&panels, &row, e);
        Portable.panels_f32(&panels, &row, f);
        for other in &all[1..] {
            let close = all[0][..outputs].iter().zip(other).all(|(a, b)| (a - b).abs() <= 2e-5);
            assert!(close, "{set}: {outputs} outputs, {percent} %, {nonzeros} non-zeros");
        }
    }
}

#[test]
fn the_largest_integers_do_not_saturate_in_any_form() {
    on_every_set!(check_the_largest_integers_do_not_saturate_in_any_form);
}

fn check_the_largest_integers_do_not_saturate_in_any_form(kernels: impl Kernels, set: &str) {
    for (x, w) in [(127, 127), (-127, 127), (127, -127), (-127, -127)] {
        let (inputs, outputs) = (64, 16);
        let lists = Lists::gather(&vec![w as i8; inputs * outputs], &vec![true; inputs * outputs], outputs);
        let row = vec![x as i8; inputs];
        let mut sums = vec![0; outputs];
        for size in [16, 32] {
            kernels.panels_i8(&Panels::new(&lists, outputs, size), &row, &mut sums);
            assert_eq!(sums, vec![64 * x * w; outputs], "{set}");
        }
        let tiles = Tiles::new(&lists.values, outputs, inputs, outputs);
        kernels.tiles_i8(&tiles, &row, false, &mut sums);
        assert_eq!(sums, vec![64 * x * w; outputs], "{set}");
        let columns: Vec<u32> = (0..64).collect();
        kernels.strips_i8(&Strips::new(&lists), &columns, &[x; 64], &mut sums);
        assert_eq!(sums, vec![64 * x * w; outputs], "{set}");
    }
}
