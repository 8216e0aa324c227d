//! The products of every set of instructions that this processor has against those in plain Rust.

use super::*;

/// Bytes, always the same, the extremes among them.
fn bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    (0..count)
        .map(|_| match next() % 8 {
            0 => 255,
            1 => 1,
            _ => (next() % 255 + 1) as u8,
        })
        .collect()
}

#[derive(Clone, Copy)]
struct Case {
    rows: usize,
    quads: usize,
    columns: usize,
}

fn check(case: Case, weights: &[i8], levels: &[u8]) {
    let Case { rows, quads, columns } = case;
    let stride = quads * QUAD;
    let starts = std::array::from_fn(|column| 1000 - 37 * column as i32);
    let panel = Panel { bytes: weights, columns, quads, starts: &starts };
    let block = Block { bytes: levels, stride, count: rows };
    let mut expected = Sums::new();
    Portable.tile(block, panel, &mut expected);
    for isa in Isa::all() {
        let mut found = Sums([[7; WIDE]; ROWS]);
        with_set!(isa, set => set.begin(|tiles| tiles.tile(block, panel, &mut found)));
        for r in 0..rows {
            let (found, expected) = (&found.0[r][..columns], &expected.0[r][..columns]);
            assert_eq!(found, expected, "{}: {rows} x {stride} x {columns}, row {r}", isa.name());
        }
    }
}

#[test]
#[allow(clippy::print_stdout)] // which sets a run covered depends on the machine
fn sums_are_the_same() {
    println!("covered here: {}", crate::encoder_instruction_sets().join(", "));
    for rows in [1, 2, 5, 6, 7, 11, 12, 13, 16, 17, 24, 29, 32] {
        for quads in [1, 8, 16, 20, 32, 96, 203] {
            for columns in [16, 32, 48, 64] {
                let levels = bytes(rows as u64, ROWS * quads * QUAD);
                let weights: Vec<i8> =
                    bytes(quads as u64, quads * columns * QUAD).iter().map(|w| w.cast_signed()).collect();
                check(Case { rows, quads, columns }, &weights, &levels);
            }
        }
    }
}

#[test]
fn the_largest_sums_are_the_same() {
    let case = Case { rows: 32, quads: 96, columns: 64 };
    // 16 bits have room for two products of the third and fourth, and none for those of the two behind them.
    for (level, weight) in [
        (255, 127),
        (255, -127),
        (255, 64),
        (252, -65),
        (255, 65),
        (253, -65),
        (1, 127),
        (0, -127),
        (128, -127),
    ] {
        let (levels, weights) = (vec![level; 32 * 96 * QUAD], vec![weight; 96 * 64 * QUAD]);
        check(case, &weights, &levels);
    }
}
