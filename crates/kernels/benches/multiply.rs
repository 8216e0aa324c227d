//! One row times a matrix: layouts and forms in memory side by side, over sparsities, for sparse and dense rows.
//!
//! Criterion names a measurement `case/layout, sparsity, form`. For one table of all of them, with the speed-up
//! over dense floats and dense integers, run with `--table` (and, after it, a part of the names of cases), and for
//! bytes on disk with `--sizes`. Of the forms in the table, the one with a star is chosen by itself. Each form is timed in turn many times over, and the
//! table shows medians, so that a disturbance of the machine meets all alike.
#![allow(missing_docs)] // made by criterion's macros
#![allow(clippy::print_stdout)] // the table is what it is for

use criterion::{BenchmarkId, Criterion, criterion_group};
use nlpress_kernels::{Held, Input, Linear, Scratch};
use nlpress_packed::{Grid, Index, Matrix, Scales};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Numbers in `0..1`, always the same.
fn random(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    }
}

/// What the rows of activations of a case are like.
#[derive(Clone, Copy)]
enum Rows {
    /// So many non-zeros, given by their positions.
    Sparse(usize),
    /// Nothing is zero, both signs.
    Dense,
    /// Half is zero, nothing is negative.
    Relu,
}

struct Case {
    name: &'static str,
    inputs: usize,
    outputs: usize,
    rows: Rows,
}

const CASES: [Case; 6] = [
    Case { name: "384x1536, dense rows", inputs: 384, outputs: 1536, rows: Rows::Dense },
    Case { name: "384x1536, half zeros", inputs: 384, outputs: 1536, rows: Rows::Relu },
    Case { name: "1000x128, 20 non-zeros", inputs: 1000, outputs: 128, rows: Rows::Sparse(20) },
    Case { name: "1000x128, 100 non-zeros", inputs: 1000, outputs: 128, rows: Rows::Sparse(100) },
    Case { name: "1000x128, dense rows", inputs: 1000, outputs: 128, rows: Rows::Dense },
    Case { name: "128x64, half zeros", inputs: 128, outputs: 64, rows: Rows::Relu },
];

const PERCENTS: [usize; 8] = [50, 75, 80, 90, 95, 97, 98, 99];

/// How the kept entries of a sparse matrix are spread.
fn keep(inputs: usize, outputs: usize, percent: usize, (rows, columns): (usize, usize)) -> Vec<bool> {
    let mut next = random(7 + percent as u64);
    let across = outputs.div_ceil(columns);
    let blocks: Vec<bool> =
        (0..inputs.div_ceil(rows) * across).map(|_| next() * 100.0 >= percent as f32).collect();
    (0..inputs * outputs).map(|i| blocks[i / outputs / rows * across + i % outputs / columns]).collect()
}

/// A weight in one layout and one form.
struct Candidate {
    name: String,
    weight: Linear,
    file_bytes: usize,
}

impl Candidate {
    fn new(name: String, matrix: Matrix, lay_out: impl Fn(Matrix) -> Linear) -> Self {
        Self { name, file_bytes: matrix.bytes(), weight: lay_out(matrix) }
    }
}

/// A matrix in each layout, and in each form that can be fast.
fn candidates(case: &Case) -> Vec<Candidate> {
    let (inputs, outputs) = (case.inputs, case.outputs);
    let mut next = random(1);
    let floats: Vec<f32> = (0..inputs * outputs).map(|_| next() - 0.5).collect();
    let q: Vec<i32> = floats.iter().map(|v| (v * 254.0) as i32).collect();
    let scales = || Scales::Channel(vec![0.004; outputs]);
    let made = "made-up numbers are finite and in range";
    let int8 = |keep: Option<&[bool]>, index| {
        Matrix::quantized((inputs, outputs), Grid::Int8, &q, scales(), keep, index).expect(made)
    };
    // As it is held for the rows of the case.
    let for_rows = |matrix: Matrix| match case.rows {
        Rows::Sparse(_) => Linear::for_sparse_rows(matrix),
        Rows::Dense | Rows::Relu => Linear::for_dense_rows(matrix),
    };
    let dense = Matrix::dense(inputs, outputs, floats.clone()).expect(made);
    let mut all = vec![
        Candidate::new("f32".to_owned(), dense, for_rows),
        Candidate::new("int8".to_owned(), int8(None, Index::Full), for_rows),
        Candidate::new("int8 rows".to_owned(), int8(None, Index::Full), Linear::for_sparse_rows),
    ];
    let mut add = |name: String, keep: &[bool], index: Index, forms: &[Held]| {
        let f32 = Matrix::sparse(inputs, outputs, &floats, keep, index).expect(made);
        let int8 = int8(Some(keep), index);
        for (values, matrix) in [("f32", f32), ("int8", int8)] {
            // The form that is chosen for the rows of the case has a star.
            let chosen = for_rows(matrix.clone()).held();
            for &held in forms {
                let star = if held == chosen { "*" } else { "" };
                let name = format!("{values} {name} {held}{star}");
                all.push(Candidate::new(name, matrix.clone(), |matrix| Linear::held_as(matrix, held)));
            }
        }
    };
    for percent in PERCENTS {
        let spread = keep(inputs, outputs, percent, (1, 1));
        add(format!("{percent} %"), &spread, Index::Csr, &[Held::Lists, Held::Panels]);
        for (rows, columns) in [(1, 8), (4, 4), (8, 1), (4, 8), (16, 16)] {
            let index = Index::Block { rows: rows as u8, columns: columns as u8 };
            let whole = keep(inputs, outputs, percent, (rows, columns));
            let name = format!("{percent} % {rows}x{columns}");
            add(name, &whole, index, &[Held::Strips, Held::Panels]);
        }
    }
    for (n, m) in [(2, 4), (1, 4), (1, 8), (1, 16)] {
        let kept: Vec<bool> = (0..inputs * outputs).map(|i| i / outputs % m < n).collect();
        add(format!("{n}:{m}"), &kept, Index::Nm { n: n as u8, m: m as u8 }, &[Held::Lists, Held::Panels]);
    }
    all
}

/// Rows of a case: positions and values, where all positions may be there.
fn rows(case: &Case) -> Vec<(Vec<u32>, Vec<f32>)> {
    let mut next = random(2);
    let inputs = case.inputs;
    let row = |_| {
        let all = 0..inputs as u32;
        let (columns, values): (Vec<u32>, Vec<f32>) = match case.rows {
            Rows::Dense => all.map(|i| (i, next() - 0.5)).unzip(),
            Rows::Relu => all.map(|i| (i, (next() - 0.5f32).max(0.0))).unzip(),
            Rows::Sparse(count) => {
                let mut columns: Vec<u32> = (0..count).map(|_| (next() * inputs as f32) as u32).collect();
                columns.sort_unstable();
                columns.dedup();
                columns.into_iter().map(|i| (i, next())).unzip()
            }
        };
        (columns, values)
    };
    (0..256).map(row).collect()
}

fn input<'a>(case: &Case, row: &'a (Vec<u32>, Vec<f32>)) -> Input<'a> {
    match case.rows {
        Rows::Sparse(_) => Input::Sparse { columns: &row.0, values: &row.1 },
        Rows::Dense | Rows::Relu => Input::Dense(&row.1),
    }
}

fn multiply(c: &mut Criterion) {
    let mut scratch = Scratch::default();
    for case in &CASES {
        let mut group = c.benchmark_group(case.name);
        let rows = rows(case);
        let (bias, mut out) = (vec![0.1; case.outputs], vec![0.0; case.outputs]);
        for Candidate { name, weight, .. } in candidates(case) {
            let mut rows = rows.iter().cycle();
            group.bench_function(BenchmarkId::from_parameter(name), |b| {
                b.iter(|| {
                    let row = rows.next().expect("a cycle has no end");
                    weight.multiply(input(case, row), &bias, &mut out, &mut scratch);
                    black_box(&mut out);
                });
            });
        }
    }
}

/// Prints the bytes of layouts on disk.
fn print_sizes() {
    use nlpress_packed::{Per, Scheme, Values};
    let int = |grid| Values::int(grid, Per::Channel);
    let kinds = [Values::F32, Values::F16, int(Grid::Int8), int(Grid::Int4), int(Grid::Ternary)];
    for (inputs, outputs) in [(384, 1536), (1000, 128)] {
        println!("\n{inputs}x{outputs}, bytes");
        for percent in [50, 80, 90, 95, 98] {
            let spread = keep(inputs, outputs, percent, (1, 1));
            let whole = keep(inputs, outputs, percent, (4, 8));
            let layouts = [
                (Index::Full, &spread),
                (Index::Bitmask, &spread),
                (Index::Csr, &spread),
                (Index::Block { rows: 4, columns: 8 }, &whole),
            ];
            for (index, keep) in layouts {
                print!("{percent} %");
                for values in kinds {
                    let halves = vec![0.5; keep.len()];
                    let matrix = match values.grid() {
                        Some(grid) => {
                            let (q, scales) = (vec![1; keep.len()], Scales::Channel(vec![1.0; outputs]));
                            Matrix::quantized((inputs, outputs), grid, &q, scales, Some(keep), index)
                        }
                        None if values == Values::F16 => {
                            Matrix::f16(inputs, outputs, &halves, Some(keep), index)
                        }
                        None => Matrix::sparse(inputs, outputs, &halves, keep, index),
                    };
                    let bytes = matrix.expect("made-up numbers are finite and in range").bytes();
                    print!(" | {} {bytes}", Scheme { values, index });
                }
                println!();
            }
        }
    }
}

/// Prints medians of all forms, timed in turn.
fn print_table(filter: &str) {
    let mut scratch = Scratch::default();
    for case in CASES.iter().filter(|case| case.name.contains(filter)) {
        let rows = rows(case);
        let (bias, mut out) = (vec![0.1; case.outputs], vec![0.0; case.outputs]);
        let candidates = candidates(case);
        let mut times = vec![Vec::new(); candidates.len()];
        let repeats = if case.inputs * case.outputs > 200_000 { 16 } else { 128 };
        for _ in 0..25 {
            for (Candidate { weight, .. }, times) in candidates.iter().zip(&mut times) {
                // Once more than is counted, so that the weight is in the caches that it fits into.
                let mut start = Instant::now();
                for (n, row) in rows.iter().cycle().take(2 * repeats).enumerate() {
                    if n == repeats {
                        start = Instant::now();
                    }
                    weight.multiply(input(case, row), &bias, &mut out, &mut scratch);
                    black_box(&mut out);
                }
                times.push(start.elapsed().as_secs_f64() * 1e9 / repeats as f64);
            }
        }
        let medians: Vec<f64> = times
            .iter_mut()
            .map(|times| {
                times.sort_by(f64::total_cmp);
                times[times.len() / 2]
            })
            .collect();
        println!("\n{}: ns, x dense f32, x dense int8, bytes on disk, bytes in memory", case.name);
        for (Candidate { name, weight, file_bytes }, median) in candidates.iter().zip(&medians) {
            println!(
                "{name:<28} {median:>9.0} {:>7.2} {:>7.2} {:>9} {:>9}",
                medians[0] / median,
                medians[1] / median,
                file_bytes,
                weight.resident_bytes()
            );
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(20);
    targets = multiply
}

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--table").skip(1);
    if std::env::args().any(|argument| argument == "--sizes") {
        print_sizes();
    } else if std::env::args().any(|argument| argument == "--table") {
        print_table(&arguments.next().filter(|filter| !filter.starts_with('-')).unwrap_or_default());
    } else {
        benches();
        Criterion::default().configure_from_args().final_summary();
    }
}
