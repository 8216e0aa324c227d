use super::*;
use nlpress_core::Seed;
use nlpress_model::{Graph, MlpSpec};

fn normal(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = Seed(seed).stream(0);
    (0..n).map(|_| rng.normal()).collect()
}

/// `a · b` of `[rows, inner]` and `[inner, columns]`.
fn product(a: &[f32], b: &[f32], inner: usize, columns: usize) -> Vec<f32> {
    let row = |x: &[f32]| -> Vec<f32> {
        (0..columns).map(|c| x.iter().enumerate().map(|(i, x)| x * b[i * columns + c]).sum()).collect()
    };
    a.chunks_exact(inner).flat_map(row).collect()
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

const SHAPES: [Shape; 3] = [Shape::new(12, 7), Shape::new(7, 12), Shape::new(8, 8)];

#[test]
fn the_error_falls_with_the_rank_and_is_gone_at_the_full_one() {
    for shape in SHAPES {
        let weight = normal(shape.weights(), 1);
        let errors: Vec<f64> = (1..=most(shape))
            .map(|rank| {
                let Factors { reduce, expand, shift } = factor(&weight, shape, rank).unwrap();
                assert_eq!((reduce.len(), expand.len()), (shape.inputs * rank, rank * shape.outputs));
                assert!(shift.iter().all(|s| *s == 0.0));
                distance(&product(&reduce, &expand, rank, shape.outputs), &weight)
            })
            .collect();
        assert!(errors.is_sorted_by(|a, b| a > b), "{errors:?}");
        assert!(errors[0] > 1.0 && errors[most(shape) - 1] < 1e-9, "{errors:?}");
    }
}

#[test]
fn a_product_of_that_rank_is_found_again() {
    for shape in SHAPES {
        let weight = product(&normal(shape.inputs * 2, 2), &normal(2 * shape.outputs, 3), 2, shape.outputs);
        let found = factor(&weight, shape, 2).unwrap();
        assert!(distance(&product(&found.reduce, &found.expand, 2, shape.outputs), &weight) < 1e-9);
        // More rank than there is adds nothing.
        let found = factor(&weight, shape, 3).unwrap();
        assert!(distance(&product(&found.reduce, &found.expand, 3, shape.outputs), &weight) < 1e-9);
    }
}

/// Rows whose inputs vary by very different amounts, around means that are not zero.
fn skewed(inputs: usize) -> Vec<f32> {
    let mut rows = normal(200 * inputs, 4);
    for row in rows.chunks_exact_mut(inputs) {
        row.iter_mut().enumerate().for_each(|(i, x)| *x = 0.5_f32.powi(i as i32) * (*x + 1.0));
        row.reverse();
    }
    rows
}

fn seen<'a>(weight: &'a [f32], shape: Shape, rows: &[f32]) -> Seen<'a> {
    let mut seen = Seen::new(weight, shape).unwrap();
    for row in rows.chunks_exact(shape.inputs) {
        let columns: Vec<u32> = (0..shape.inputs as u32).collect();
        seen.add(&columns, row).unwrap();
    }
    seen
}

fn output_error(weight: &[f32], shape: Shape, rows: &[f32], rank: usize, found: &Factors) -> f64 {
    let wanted = product(rows, weight, shape.inputs, shape.outputs);
    let mut made =
        product(&product(rows, &found.reduce, shape.inputs, rank), &found.expand, rank, shape.outputs);
    for row in made.chunks_exact_mut(shape.outputs) {
        row.iter_mut().zip(&found.shift).for_each(|(x, s)| *x += s);
    }
    distance(&made, &wanted)
}

#[test]
fn weighted_by_skewed_inputs_the_outputs_are_closer() {
    for shape in SHAPES {
        let (weight, rows) = (normal(shape.weights(), 5), skewed(shape.inputs));
        let error = |rank, found| output_error(&weight, shape, &rows, rank, &found);
        for rank in 1..most(shape) {
            let plain = error(rank, factor(&weight, shape, rank).unwrap());
            let weighted = error(rank, seen(&weight, shape, &rows).factor(rank).unwrap());
            assert!(weighted < plain * 0.9, "{shape:?} rank {rank}: {weighted} {plain}");
        }
        let full = error(most(shape), seen(&weight, shape, &rows).factor(most(shape)).unwrap());
        assert!(full < 1e-6, "{full}");
    }
}

#[test]
fn the_weighted_error_is_what_the_directions_left_out_vary_by() {
    // Independent inputs of variance 9, 4 and 1 through the identity: at rank 2 the last one is lost.
    let shape = Shape::new(3, 3);
    let weight = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    let sign = |n: u32, bit: u32| if n >> bit & 1 == 0 { 1.0 } else { -1.0 };
    let rows: Vec<f32> =
        (0..8).flat_map(|n| [3.0 * sign(n, 0), 2.0 * sign(n, 1), 5.0 + sign(n, 2)]).collect();
    let found = seen(&weight, shape, &rows).factor(2).unwrap();
    assert!((output_error(&weight, shape, &rows, 2, &found) - 8.0).abs() < 1e-4);
    // Its mean is not lost.
    assert!((found.shift[2] - 5.0).abs() < 1e-4, "{found:?}");
}

#[test]
fn without_rows_it_is_the_plain_one() {
    let shape = SHAPES[0];
    let weight = normal(shape.weights(), 6);
    assert_eq!(Seen::new(&weight, shape).unwrap().factor(3), factor(&weight, shape, 3));
}

#[test]
fn what_does_not_fit_is_refused() {
    let shape = SHAPES[0];
    let weight = normal(shape.weights(), 7);
    assert!(factor(&weight[1..], shape, 2).is_err());
    assert!(factor(&weight, shape, 0).is_err());
    assert!(factor(&weight, shape, 8).is_err());
    assert!(factor(&[], Shape::new(0, 3), 1).is_err());
    assert!(Seen::new(&weight[1..], shape).is_err());
    let mut seen = Seen::new(&weight, shape).unwrap();
    assert!(seen.add(&[12], &[1.0]).is_err());
    assert!(seen.add(&[1, 2], &[1.0]).is_err());
    seen.add(&[0], &[f32::INFINITY]).unwrap();
    assert!(seen.clone().factor(8).is_err());
    assert!(seen.factor(2).unwrap_err().to_string().contains("finite"));
}

#[test]
fn settings_are_checked() {
    let read = |text: &str| toml::from_str::<LowRank>(text).map_err(|e| e.message().to_owned());
    assert!(read("rank = 3\nweighted = false").is_ok());
    for (bad, says) in [
        ("", "rank is missing"),
        ("rank = 0", "rank is 0"),
        ("rank = -1", "-1"),
        ("share = 0", "share is 0"),
        ("share = 1.5", "share is 1.5"),
        ("share = nan", "share is NaN"),
        ("rank = 3\nshare = 0.5", "beside share"),
    ] {
        let message = read(bad).unwrap_err();
        assert!(message.contains(says), "{bad}: {message}");
    }
    let share = |text| read(text).unwrap().rank_of(Shape::new(30, 7));
    assert_eq!((share("share = 0.5"), share("share = 0.01"), share("share = 1")), (4, 1, 7));
}

fn plan(before: &Outline, on: &[SiteId], text: &str) -> (Outline, Vec<String>) {
    let mut problems = Vec::new();
    let after = toml::from_str::<LowRank>(text).unwrap().plan(before, on, &mut problems);
    (after, problems.iter().map(ToString::to_string).collect())
}

#[test]
fn plans_list_both_factors() {
    let before = Outline::dense(&Graph::from(MlpSpec::new(100, &[20, 10], 1, 0.0)));
    let (after, problems) = plan(&before, &[SiteId::hidden(0), SiteId::hidden(1)], "rank = 4");
    assert_eq!(problems, [""; 0]);
    assert_eq!(after, Outline::dense(&after.graph));
    let names: Vec<&str> = after.sites.iter().map(|s| s.id.as_str()).collect();
    assert_eq!(names, ["hidden.0.reduce", "hidden.0", "hidden.1.reduce", "hidden.1", "output"]);
    assert_eq!(after.kept, 4 * 120 + 4 * 30 + 10);
}

#[test]
fn plans_refuse_what_gains_nothing_or_is_no_dense_matrix() {
    let before = Outline::dense(&Graph::from(MlpSpec::new(100, &[20, 10], 1, 0.0)));
    let first = [SiteId::hidden(0)];
    let refused = |before: &Outline, on: &[SiteId], text, says: &str| {
        let (_, problems) = plan(before, on, text);
        assert!(problems.iter().any(|p| p.contains(says)), "{says}: {problems:?}");
    };
    // 16 · 120 = 1920 < 2000, 17 · 120 = 2040.
    assert!(plan(&before, &first, "rank = 16").1.is_empty());
    refused(&before, &first, "rank = 17", "at most 16");
    refused(&before, &first, "rank = 21", "more than a matrix");
    refused(&before, &[SiteId::output()], "rank = 1", "no two factors");
    refused(&before, &[], "rank = 1", "no site");
    let mut masked = before.clone();
    masked.sites[0].form = Form::Masked;
    refused(&masked, &first, "rank = 2", "it is masked");
    masked.sites[0].form = Form::Packed(nlpress_packed::Scheme::F32);
    refused(&masked, &first, "rank = 2", "it is packed");
    let (factored, _) = plan(&before, &first, "rank = 4");
    refused(&factored, &first, "rank = 2", "a factor already");
    refused(&factored, &[SiteId::hidden(0).reduce()], "rank = 2", "a factor already");
    let wide = Outline::dense(&Graph::from(MlpSpec::new(3000, &[3000], 1, 0.0)));
    refused(&wide, &first, "rank = 2", "more than 2048");
}
