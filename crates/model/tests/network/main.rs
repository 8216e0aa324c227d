//! Passes and gradients on every backend that opens: against finite differences, against each other, and
//! against the arithmetic that ships.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, but not in the functions they share
#![allow(clippy::duplicate_mod)] // both dumps of PyTorch, which other crates' tests read too, share a file

mod attention;
mod encoders;
mod integers;
mod module;
mod pytorch;
mod served;

use nlpress_core::{Backend, Seed};
use nlpress_kernels::{Linear, Scratch};
use nlpress_model::network::Input;
use nlpress_model::{Dropout, Graph, Layer, Layers, MlpSpec, Model, ModelError, Network, SiteId, Weight};
use nlpress_packed::{Grid, Index, Matrix, Per, Scales, Scheme, Values};
use nlpress_testkit::{backends, reference};
use nlpress_text::Rows;

const INPUTS: usize = 11;
/// How far a derivative may be apart, relative to the largest of its parameter.
const GRADIENT_NEAR: f32 = 1e-4;

fn graph(hidden: &[usize], outputs: usize, dropout: f64) -> Graph {
    Graph::from(MlpSpec::new(INPUTS, hidden, outputs, dropout))
}

fn rows(n: usize, density: f32) -> Rows {
    let mut rng = Seed(5).stream(0);
    let dense: Vec<f32> =
        (0..n * INPUTS).map(|_| if rng.uniform() < density { rng.normal() } else { 0.0 }).collect();
    Rows::from_dense(n, INPUTS, &dense).unwrap()
}

/// The largest magnitude.
fn largest(of: &[f32]) -> f32 {
    of.iter().fold(0.0, |most, x| most.max(x.abs()))
}

/// Holds a derivative against that of PyTorch, whose largest magnitude is `largest`.
fn assert_gradient(found: &[f32], expected: &[f32], largest: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    assert!(expected.is_empty() || largest > 1e-6, "{what}: the loss does not depend on it");
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        let apart = (a - b).abs();
        assert!(apart <= GRADIENT_NEAR * largest, "{what}, number {i}: {a}, PyTorch {b} of {largest}");
    }
}

/// `Σ cᵢ zᵢ + zᵢ² / 2` over the logits, with different `cᵢ`; its derivative is `cᵢ + zᵢ`.
fn loss(logits: &[f32], gradient: &mut [f32]) -> f64 {
    let mut sum = 0.0;
    for (i, (z, g)) in logits.iter().zip(gradient).enumerate() {
        let c = (i % 5) as f32 - 1.5;
        *g = c + z;
        sum += f64::from(c * z) + 0.5 * f64::from(*z).powi(2);
    }
    sum
}

/// The model with biases that are not zero, as fresh ones are.
fn with_biases(model: &Model) -> Model {
    let mut rng = Seed(31).stream(0);
    let (graph, mut layers) = model.clone().into_parts();
    layers.iter_mut().for_each(|layer| layer.bias.iter_mut().for_each(|b| *b = rng.uniform() - 0.5));
    Model::new(graph, layers).unwrap()
}

/// The largest difference.
fn distance(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max)
}

/// Holds numbers against those of plain loops, relative to the largest of them.
fn assert_near(found: &[f32], expected: &[f64], within: f64) {
    let largest = expected.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    assert!(largest > 0.1, "logits as small as {largest} say nothing");
    let apart = distance(found, expected) / largest;
    assert!(apart <= within, "{apart:e} apart");
}

/// Holds every entry of the gradient against the slope of the loss.
fn check_gradient(model: &Model, rows: &Rows, backend: &Backend) {
    let indices: Vec<usize> = (0..rows.len()).rev().collect();
    let dropout = Dropout::new(model.graph(), Seed(9), 3);
    let at = |flat: &[f32]| {
        let mut network = Network::bind(model, backend);
        network.update(0..network.sites(), flat);
        network.gradients((rows, &indices), Some(&dropout), 0, &mut loss).unwrap()
    };
    let flat = model.flat();
    let gradients = at(&flat);
    assert_eq!(gradients.flat.len(), flat.len());
    let step = 1e-3;
    let mut kinks = 0;
    for (i, found) in gradients.flat.iter().enumerate() {
        let moved = |by: f32| {
            let mut flat = flat.clone();
            flat[i] += by;
            at(&flat).loss
        };
        let slope = |from: f64, to: f64| (to - from) / f64::from(step);
        let (left, right) = (slope(moved(-step), gradients.loss), slope(gradients.loss, moved(step)));
        let tolerance = 1e-2 * (1.0 + left.abs());
        // A unit that is about to switch has two slopes; the gradient lies at or between them.
        kinks += usize::from((left - right).abs() > tolerance);
        let within = left.min(right) - tolerance..=left.max(right) + tolerance;
        assert!(within.contains(&f64::from(*found)), "entry {i}: {found} is not in {within:?}");
    }
    assert!(kinks * 10 <= flat.len(), "{kinks} kinks among {}", flat.len());
}

fn with_layers(model: &Model, change: impl Fn(usize, Layer) -> Layer) -> Model {
    let (graph, Layers { sites, vectors }) = model.clone().into_parts();
    let sites = sites.into_iter().enumerate().map(|(i, l)| change(i, l)).collect();
    Model::new(graph, Layers { sites, vectors }).unwrap()
}

fn packed(layer: &Layer, matrix: Matrix, values: Values) -> Layer {
    let scheme = Scheme { values, index: Index::Full };
    Layer { weight: Weight::Packed { scheme, matrix }, ..layer.clone() }
}

/// A site frozen as floats.
fn frozen(layer: &Layer) -> Layer {
    let values = layer.weight.values().into_owned();
    let matrix = Matrix::dense(layer.shape.inputs, layer.shape.outputs, values).unwrap();
    packed(layer, matrix, Values::F32)
}

/// A site frozen as integers, rounded to `levels` steps of each column's largest magnitude.
fn frozen_integers(layer: &Layer, levels: f32) -> Layer {
    let (inputs, outputs) = (layer.shape.inputs, layer.shape.outputs);
    let values = layer.weight.values();
    let column = |j: usize| values.iter().skip(j).step_by(outputs);
    let scales: Vec<f32> =
        (0..outputs).map(|j| column(j).fold(0.0_f32, |m, x| m.max(x.abs())) / levels).collect();
    let integers: Vec<i32> =
        values.iter().enumerate().map(|(i, x)| (x / scales[i % outputs]).round() as i32).collect();
    let grid = if levels == 127.0 { Grid::Int8 } else { Grid::Int32 };
    let scales = Scales::Channel(scales);
    let matrix = Matrix::quantized((inputs, outputs), grid, &integers, scales, None, Index::Full).unwrap();
    packed(layer, matrix, Values::int(grid, Per::Channel))
}

/// A site frozen as 8-bit integers with a few outliers.
fn frozen_with_outliers(layer: &Layer, per: Per, step: Option<f32>) -> Layer {
    let (inputs, outputs) = (layer.shape.inputs, layer.shape.outputs);
    let values = layer.weight.values();
    let scales: Vec<f32> =
        (0..per.scales(inputs, outputs)).map(|j| 0.004 * (1.0 + (j % 3) as f32 * 0.5)).collect();
    let scales = Scales::of(per, scales);
    let level =
        |at: usize| (values[at] / scales.all()[scales.place(at / outputs, at % outputs, outputs)]).round();
    let integers: Vec<i32> = (0..values.len()).map(|at| level(at).clamp(-127.0, 127.0) as i32).collect();
    let rows = vec![1, inputs as u32 / 2, inputs as u32 - 1];
    let beside: Vec<f32> =
        rows.iter().flat_map(|row| &values[*row as usize * outputs..][..outputs]).copied().collect();
    let matrix =
        Matrix::quantized((inputs, outputs), Grid::Int8, &integers, scales, None, Index::Full).unwrap();
    let mut matrix = matrix.with_outliers(rows, &beside).unwrap();
    if let Some(step) = step {
        matrix = matrix.with_activations(step).unwrap();
    }
    let values = matrix.scheme().values;
    packed(layer, matrix, values)
}

#[test]
fn gradients_are_the_slope_of_the_loss() {
    for backend in backends() {
        for (hidden, outputs, rate) in
            [(&[20, 6][..], 2, 0.0), (&[6, 5], 3, 0.4), (&[33], 1, 0.3), (&[], 3, 0.0), (&[], 1, 0.0)]
        {
            let model = Model::init(&graph(hidden, outputs, rate), Seed(2)).unwrap();
            for density in [1.0, 0.6, 0.15] {
                check_gradient(&model, &rows(7, density), &backend);
            }
        }
    }
}

#[test]
fn gradients_pass_masks_and_frozen_sites() {
    let model = Model::init(&graph(&[18, 6], 2, 0.2), Seed(2)).unwrap();
    let masked = with_layers(&model, |_, layer| masked(&layer));
    for backend in backends() {
        for site in 0..3 {
            let model = with_layers(&model, |i, layer| if i == site { frozen(&layer) } else { layer });
            let expected: usize = model
                .layers()
                .iter()
                .enumerate()
                .filter(|(i, _)| *i != site)
                .map(|(_, l)| l.shape.parameters())
                .sum();
            assert_eq!(model.flat().len(), expected);
            check_gradient(&model, &rows(6, 1.0), &backend);
            check_gradient(&model, &rows(6, 0.1), &backend);
        }
        // A mask stops an entry from being changed, not from having a slope: the loop leaves it alone.
        let mut network = Network::bind(&masked, &backend);
        let indices = [0, 1, 2];
        let all = network.gradients((&rows(6, 1.0), &indices), None, 0, &mut loss).unwrap();
        let dense =
            with_layers(&masked, |_, l| Layer { weight: Weight::Dense(l.weight.values().into()), ..l });
        network = Network::bind(&dense, &backend);
        assert_eq!(network.gradients((&rows(6, 1.0), &indices), None, 0, &mut loss).unwrap().flat, all.flat);
    }
}

/// The same rows, once with their zeros stored, which sends them through the loops for rows without gaps.
fn with_zeros_stored(rows: &Rows) -> Rows {
    let mut dense = Vec::new();
    rows.densify(0..rows.len(), &mut dense);
    let ones: Vec<f32> = dense.iter().map(|x| if *x == 0.0 { f32::MIN_POSITIVE } else { *x }).collect();
    let full = Rows::from_dense(rows.len(), INPUTS, &ones).unwrap();
    full.map_rows(|_, values| values.iter_mut().filter(|x| **x == f32::MIN_POSITIVE).for_each(|x| *x = 0.0))
}

#[test]
fn sparse_and_dense_loops_agree() {
    for backend in backends() {
        for width in [1, 7, 16, 40, 67] {
            let model = Model::init(&graph(&[width, 5], 2, 0.5), Seed(3)).unwrap();
            let network = Network::bind(&model, &backend);
            let dropout = Dropout::new(model.graph(), Seed(1), 0);
            for (n, density) in [(1, 0.2), (9, 0.2), (70, 0.1)] {
                let sparse = rows(n, density);
                let full = with_zeros_stored(&sparse);
                assert_eq!(full.density(), 1.0);
                let indices: Vec<usize> = (0..n).collect();
                let pass = |rows| network.gradients((rows, &indices), Some(&dropout), 0, &mut loss).unwrap();
                let (a, b) = (pass(&sparse), pass(&full));
                if backend.kind().is_cpu() {
                    assert_eq!(a.flat, b.flat, "width {width}, {n} rows");
                }
                let apart = a.flat.iter().zip(&b.flat).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(apart < 1e-4, "{apart}");
                assert_eq!(network.logits(&sparse).unwrap().len(), 2 * n);
            }
        }
    }
}

#[test]
fn ranges_of_sites_and_shares_of_a_batch_give_the_whole() {
    for backend in backends() {
        let model = Model::init(&graph(&[20, 8, 6], 3, 0.5), Seed(4)).unwrap();
        let (rows, indices) = (rows(10, 0.5), [3, 1, 4, 0, 5, 9, 2, 6]);
        let dropout = Dropout::new(model.graph(), Seed(1), 17);
        let network = Network::bind(&model, &backend);
        let whole = network.gradients((&rows, &indices), Some(&dropout), 0, &mut loss).unwrap();

        for cut in 1..4 {
            let front = Network::bind_sites(&model, &backend, 0..cut);
            let back = Network::bind_sites(&model, &backend, cut..4);
            let input = Input::Examples((&rows).into(), &indices);
            let first = front.forward(0..cut, input, Some(&dropout), 0).unwrap();
            let between = first.output().unwrap();
            let second = back.forward(cut..4, Input::Activations(&between), Some(&dropout), 0).unwrap();
            let logits = second.output().unwrap();
            let mut upstream = vec![0.0; logits.len()];
            assert_eq!(loss(&logits, &mut upstream), whole.loss);
            let (tail, into) = back.backward(second, Input::Activations(&between), &upstream).unwrap();
            let (mut flat, none) = front.backward(first, input, &into).unwrap();
            flat.extend(tail);
            assert!(none.is_empty());
            assert_eq!(flat, whole.flat, "cut before site {cut}");
        }

        let mut sum = vec![0.0; whole.flat.len()];
        let (mut logits, mut start) = (Vec::new(), 0);
        for share in indices.chunks(3) {
            let mut upstream_of_share = |z: &[f32], g: &mut [f32]| {
                let all: Vec<f32> = std::iter::repeat_n(0.0, 3 * start).chain(z.iter().copied()).collect();
                let mut gradient = vec![0.0; all.len()];
                loss(&all, &mut gradient);
                g.copy_from_slice(&gradient[3 * start..]);
                logits.extend_from_slice(z);
                0.0
            };
            let part =
                network.gradients((&rows, share), Some(&dropout), start, &mut upstream_of_share).unwrap();
            sum.iter_mut().zip(&part.flat).for_each(|(sum, x)| *sum += x);
            start += share.len();
        }
        assert!((loss(&logits, &mut vec![0.0; logits.len()]) - whole.loss).abs() < 1e-5);
        let apart = sum.iter().zip(&whole.flat).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-4, "{apart}");
    }
}

/// A site with every third entry held at zero.
fn masked(layer: &Layer) -> Layer {
    let keep: Vec<bool> = (0..layer.shape.weights()).map(|i| i % 3 != 0).collect();
    let values = layer.weight.values().iter().zip(&keep).map(|(v, k)| if *k { *v } else { 0.0 }).collect();
    Layer { weight: Weight::Masked { values, keep }, ..layer.clone() }
}

fn with_outliers_where_they_fit(layer: &Layer) -> Layer {
    if layer.shape.inputs > 3 { frozen_with_outliers(layer, Per::Row, None) } else { frozen(layer) }
}

#[test]
fn logits_are_those_of_plain_loops() {
    let mut factored = graph(&[20, 6], 2, 0.3);
    factored = factored.factored(&SiteId::hidden(0), 4).factored(&SiteId::output(), 1);
    let specs = [
        graph(&[20, 6], 2, 0.5),
        graph(&[33], 1, 0.3),
        graph(&[], 3, 0.0),
        graph(&[70, 9, 4], 5, 0.0),
        factored,
    ];
    type Form = (&'static str, fn(&Layer) -> Layer, f64);
    let forms: [Form; 5] = [
        ("dense", Layer::clone, 1e-5),
        ("masked", masked, 1e-5),
        ("frozen", frozen, 1e-5),
        ("8 bits", |layer| frozen_integers(layer, 127.0), 1e-4),
        ("outliers", with_outliers_where_they_fit, 1e-4),
    ];
    for backend in backends() {
        for graph in &specs {
            let model = with_biases(&Model::init(graph, Seed(12)).unwrap());
            for (name, form, within) in forms {
                let model = with_layers(&model, |_, layer| form(&layer));
                for density in [1.0, 0.2] {
                    let rows = rows(9, density);
                    let found = Network::bind(&model, &backend).logits(&rows).unwrap();
                    println!("{name} {graph:?} on {}", backend.kind());
                    assert_near(&found, &reference::logits(&model, &rows), within);
                }
            }
        }
    }
}

/// Logits as the runtime computes them.
fn shipped(model: &Model, rows: &Rows) -> Vec<f32> {
    let mut scratch = Scratch::default();
    let mut logits = Vec::new();
    for row in rows.iter() {
        let mut hidden = Vec::new();
        for (i, layer) in model.layers().iter().enumerate() {
            let Weight::Packed { matrix, .. } = &layer.weight else { panic!("all are packed") };
            let mut out = vec![0.0; layer.shape.outputs];
            let input = if i == 0 {
                nlpress_kernels::Input::Sparse { columns: row.columns, values: row.values }
            } else {
                nlpress_kernels::Input::Dense(&hidden)
            };
            let weight = Linear::for_sparse_rows(matrix.clone());
            weight.multiply(input, &layer.bias, &mut out, &mut scratch);
            hidden = if i < 2 { out.iter().map(|x| x.max(0.0)).collect() } else { out };
        }
        logits.extend(hidden);
    }
    logits
}

#[test]
fn outliers_compute_as_they_ship() {
    let model = Model::init(&graph(&[24, 16], 3, 0.0), Seed(6)).unwrap();
    let apart = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    for backend in backends() {
        for density in [1.0, 0.2] {
            let rows = rows(40, density);
            for (per, step) in [
                (Per::Channel, None),
                (Per::Tensor, None),
                (Per::Row, None),
                (Per::Channel, Some(0.01)),
                (Per::Row, Some(0.0002)),
            ] {
                let packed = with_layers(&model, |_, layer| frozen_with_outliers(&layer, per, step));
                let network = Network::bind(&packed, &backend);
                assert_eq!((network.held_as_integers(), network.dequantized()), (0, 3));
                let (ours, theirs) = (network.logits(&rows).unwrap(), shipped(&packed, &rows));
                assert!(apart(&ours, &theirs) < 1e-5, "{per} {step:?}: {}", apart(&ours, &theirs));
                // Were outliers rounded, or counted for the scale, it would be seen.
                let without = with_layers(&packed, |_, layer| {
                    let Weight::Packed { matrix, .. } = &layer.weight else { panic!("all are packed") };
                    let (rows, values) = (matrix.outliers().unwrap().inputs(), matrix.unpack());
                    let (scales, outputs) = (matrix.scales().unwrap(), matrix.outputs());
                    let mut q = matrix.integers().unwrap();
                    for at in rows.iter().flat_map(|r| *r as usize * outputs..(*r as usize + 1) * outputs) {
                        let scale = scales.all()[scales.place(at / outputs, at % outputs, outputs)];
                        q[at] = (values[at] / scale).round().clamp(-127.0, 127.0) as i32;
                    }
                    let shape = (matrix.inputs(), outputs);
                    let plain =
                        Matrix::quantized(shape, Grid::Int8, &q, scales.clone(), None, Index::Full).unwrap();
                    let plain = match step {
                        Some(step) => plain.with_activations(step).unwrap(),
                        None => plain,
                    };
                    let values = plain.scheme().values;
                    self::packed(&layer, plain, values)
                });
                let rounded = Network::bind(&without, &backend).logits(&rows).unwrap();
                assert!(apart(&ours, &rounded) > 1e-4, "{per} {step:?}: {}", apart(&ours, &rounded));
            }
        }
    }
}

#[test]
fn packed_sites_compute_as_they_ship() {
    let model = Model::init(&graph(&[24, 16], 3, 0.0), Seed(6)).unwrap();
    for backend in backends() {
        for density in [1.0, 0.2] {
            let rows = rows(40, density);
            let plain = Network::bind(&model, &backend).logits(&rows).unwrap();
            // What rounding inputs to 127 or 32767 levels may do: far more than the tolerance, where it is done.
            for (levels, tolerance, least) in
                [(f32::INFINITY, 1e-5, 0.0), (127.0, 1e-5, 1e-4), (32767.0, 1e-5, 1e-9)]
            {
                let packed = with_layers(&model, |_, layer| {
                    if levels.is_finite() { frozen_integers(&layer, levels) } else { frozen(&layer) }
                });
                let ours = Network::bind(&packed, &backend).logits(&rows).unwrap();
                let theirs = shipped(&packed, &rows);
                let apart =
                    |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(apart(&ours, &theirs) < tolerance, "{levels}: {}", apart(&ours, &theirs));
                assert!(apart(&ours, &plain) >= least, "{levels}: nothing was rounded");
            }
        }
    }
}

#[test]
fn a_row_too_small_to_round_is_zero_as_it_ships() {
    let model = Model::init(&graph(&[4], 1, 0.0), Seed(6)).unwrap();
    let packed = with_layers(&model, |_, layer| frozen_integers(&layer, 127.0));
    let tiny = Rows::new(INPUTS, vec![0, 1, 1], vec![2], vec![1e-44]).unwrap();
    for backend in backends() {
        let logits = Network::bind(&packed, &backend).logits(&tiny).unwrap();
        assert_eq!(logits[0], logits[1], "the second row is empty");
        assert!(logits[0].is_finite());
    }
}

#[test]
fn impossible_passes_are_refused() {
    for backend in backends() {
        let model = Model::init(&graph(&[6, 5], 2, 0.1), Seed(2)).unwrap();
        let network = Network::bind(&model, &backend);
        let part = Network::bind_sites(&model, &backend, 1..2);
        let rows = rows(3, 1.0);
        let narrow = Rows::from_dense(1, 2, &[1.0, 1.0]).unwrap();
        let six = [0.0; 6];
        let refused = |network: &Network, sites, input| {
            matches!(network.forward(sites, input, None, 0), Err(ModelError::Data(_)))
        };
        assert!(network.forward(1..2, Input::Activations(&six), None, 0).is_ok());
        assert!(refused(&network, 0..3, Input::Examples((&narrow).into(), &[0])));
        assert!(refused(&network, 0..3, Input::Examples((&rows).into(), &[3])));
        assert!(refused(&network, 0..3, Input::Examples((&rows).into(), &[])));
        assert!(refused(&network, 1..3, Input::Examples((&rows).into(), &[0])));
        assert!(refused(&network, 0..2, Input::Activations(&six)));
        assert!(refused(&network, 1..2, Input::Activations(&six[..5])));
        assert!(refused(&network, 1..4, Input::Activations(&six)));
        assert!(refused(&network, 2..2, Input::Activations(&six)));
        assert!(refused(&part, 1..3, Input::Activations(&six)));
        assert!(network.logits(&narrow).is_err());
    }
}
