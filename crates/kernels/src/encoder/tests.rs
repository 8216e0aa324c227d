//! Layers of every set of instructions against those in plain Rust, and against the operations one by one in floats.

use super::*;
use crate::int8::Isa;
use nlpress_packed::{Grid, Index, Matrix, Scales};

/// What the weights of a layer are.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Floats,
    /// Floats that are bfloat16.
    Halves,
    Bytes,
    /// With that scale of activations.
    Fixed(f32),
}

/// Numbers in `-1..1`, always the same.
pub(crate) fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// The numbers of a layer.
struct Numbers {
    /// Query, key, value, output, up, down.
    weights: Vec<(Linear, Vec<f32>)>,
    gain: Vec<f32>,
    bias: Vec<f32>,
    heads: usize,
    head_width: usize,
}

fn weight(seed: u64, inputs: usize, outputs: usize, kind: Kind) -> Linear {
    if let Kind::Floats | Kind::Halves = kind {
        let scale = 1.0 / (inputs as f32).sqrt();
        let values: Vec<f32> = numbers(seed, inputs * outputs).iter().map(|x| x * scale).collect();
        let matrix = match kind {
            Kind::Halves => Matrix::bf16(inputs, outputs, &values, None, Index::Full),
            _ => Matrix::dense(inputs, outputs, values),
        };
        return Linear::for_encoder(matrix.unwrap());
    }
    let levels: Vec<i32> =
        numbers(seed, inputs * outputs).iter().map(|x| (x * 127.0).round() as i32).collect();
    let scales = numbers(seed + 1, outputs).into_iter().map(|x| (1.2 + x) / 127.0 / (inputs as f32).sqrt());
    let scales = Scales::Channel(scales.collect());
    let mut matrix =
        Matrix::quantized((inputs, outputs), Grid::Int8, &levels, scales, None, Index::Full).unwrap();
    if let Kind::Fixed(step) = kind {
        matrix = matrix.with_activations(step).unwrap();
    }
    Linear::for_encoder(matrix)
}

impl Numbers {
    fn new((width, inner): (usize, usize), heads: usize, head_width: usize, kind: Kind) -> Self {
        let channels = heads * head_width;
        let shapes =
            [(width, channels), (width, channels), (width, channels), (channels, width), (width, inner)];
        let shapes = shapes.into_iter().chain([(inner, width)]).enumerate();
        let weights = shapes
            .map(|(n, (inputs, outputs))| {
                let seed = 10 * n as u64 + 1;
                (weight(seed, inputs, outputs, kind), numbers(seed + 2, outputs))
            })
            .collect();
        let gain = numbers(3, width).iter().map(|x| 1.0 + 0.3 * x).collect();
        Self { weights, gain, bias: numbers(4, width), heads, head_width }
    }

    fn layer(&self) -> EncoderLayer<'_> {
        let site = |n: usize| Weighted { weight: &self.weights[n].0, bias: &self.weights[n].1 };
        let norm = Norm { gain: &self.gain, bias: &self.bias, epsilon: 1e-12 };
        EncoderLayer {
            query_key_value: [site(0), site(1), site(2)],
            output: site(3),
            attention_norm: norm,
            up: site(4),
            activation: Activation::Gelu,
            down: site(5),
            output_norm: norm,
            heads: self.heads,
            head_width: self.head_width,
        }
    }
}

fn run(isa: Isa, layers: &[EncoderLayer<'_>], width: usize, ends: &[usize], room: &mut Room) -> Vec<f32> {
    run_on(isa, layers, width, ends, room, None)
}

fn run_on(
    isa: Isa,
    layers: &[EncoderLayer<'_>],
    width: usize,
    ends: &[usize],
    room: &mut Room,
    crew: Option<&Crew>,
) -> Vec<f32> {
    let tokens = ends.last().copied().unwrap();
    let mut hidden: Vec<f32> = numbers(77, tokens * width).iter().map(|x| 2.0 * x).collect();
    with_set!(isa, set => EncoderLayer::run_with(set, layers, width, &mut hidden, ends, room, crew));
    hidden
}

#[test]
fn layers_are_the_same_bits_on_every_set() {
    for (heads, head_width, inner, kind) in [
        (2, 32, 128, Kind::Bytes),
        (1, 64, 192, Kind::Bytes),
        (4, 32, 64, Kind::Fixed(0.03)),
        (2, 64, 64, Kind::Bytes),
        (2, 32, 128, Kind::Floats),
        (1, 64, 192, Kind::Floats),
        (2, 32, 128, Kind::Halves),
        (1, 64, 192, Kind::Halves),
    ] {
        let width = 128;
        let numbers = Numbers::new((width, inner), heads, head_width, kind);
        let layers = [numbers.layer(), numbers.layer()];
        for ends in [vec![1], vec![16], vec![3, 3, 40, 41, 107], vec![64, 129], vec![150], vec![70, 70]] {
            let expected = run(Isa::all().pop().unwrap(), &layers, width, &ends, &mut Room::default());
            assert!(expected.iter().all(|x| x.is_finite()));
            let mut room = Room::default();
            for isa in Isa::all() {
                // Those sets round activations to bfloat16 where weights are, and one adds products of floats in parts.
                if matches!((kind, isa.name()), (Kind::Halves, "amx" | "avx512-bf16") | (Kind::Floats, "amx"))
                {
                    continue;
                }
                let found = run(isa, &layers, width, &ends, &mut room);
                let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(
                    bits(&found),
                    bits(&expected),
                    "{}, {kind:?}, {heads} x {head_width}, {ends:?}",
                    isa.name()
                );
            }
        }
    }
}

#[test]
fn an_example_does_not_depend_on_the_others() {
    let width = 128;
    let ends = [5, 70, 71, 200, 233];
    let kinds = [Kind::Bytes, Kind::Floats, Kind::Halves];
    for (isa, kind) in Isa::all().into_iter().flat_map(|isa| kinds.map(|kind| (isa, kind))) {
        let numbers = Numbers::new((width, 128), 4, 32, kind);
        let layers = [numbers.layer(), numbers.layer()];
        let mut room = Room::default();
        let all = run(isa, &layers, width, &ends, &mut room);
        let states: Vec<f32> = super::tests::numbers(77, 233 * width).iter().map(|x| 2.0 * x).collect();
        let mut start = 0;
        for end in ends {
            let mut alone = states[start * width..end * width].to_vec();
            with_set!(isa, set => {
                EncoderLayer::run_with(set, &layers, width, &mut alone, &[end - start], &mut room, None);
            });
            assert_eq!(alone, all[start * width..end * width], "{}, {kind:?}, {start}..{end}", isa.name());
            start = end;
        }
    }
}

#[test]
#[cfg_attr(target_family = "wasm", ignore = "starts threads")]
fn threads_that_share_rows_change_nothing() {
    let width = 128;
    let numbers = Numbers::new((width, 192), 4, 32, Kind::Bytes);
    let layers = [numbers.layer(), numbers.layer()];
    let crews = [2, 3, 5].map(|threads| Crew::new(threads).unwrap());
    for ends in [vec![31], vec![32], vec![33], vec![129], vec![10, 10, 97, 98], vec![150, 151, 400]] {
        for isa in Isa::all() {
            let expected = run(isa, &layers, width, &ends, &mut Room::default());
            let mut room = Room::default();
            for crew in &crews {
                let found = run_on(isa, &layers, width, &ends, &mut room, Some(crew));
                assert_eq!(found, expected, "{}, {ends:?}, {crew:?}", isa.name());
            }
        }
    }
}

/// `Φ(x)`: the series of the error function whose terms are all of one sign.
pub(crate) fn normal(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..400 {
        term *= x * x / f64::from(2 * n + 1);
        sum += term;
    }
    0.5 + sum * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// The operations one by one: products by [`Linear::multiply_rows`], the rest in floats.
fn in_floats(layer: &EncoderLayer<'_>, width: usize, hidden: &mut Vec<f32>, ends: &[usize]) {
    let product = |site: &Weighted<'_>, rows: &[f32]| {
        let count = rows.len() / site.weight.inputs();
        let mut out = vec![0.0; count * site.bias.len()];
        let mut scratch = crate::Scratch::default();
        site.weight.multiply_rows(crate::Batch::Dense(rows), site.bias, &mut out, &mut scratch);
        out
    };
    let normalized = |rows: &[f32], change: &[f32], norm: &Norm<'_>| -> Vec<f32> {
        let mut all = Vec::new();
        for (row, change) in rows.chunks(width).zip(change.chunks(width)) {
            let x: Vec<f64> = row.iter().zip(change).map(|(a, b)| f64::from(*a) + f64::from(*b)).collect();
            let mean = x.iter().sum::<f64>() / width as f64;
            let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / width as f64;
            let scale = 1.0 / (variance + f64::from(norm.epsilon)).sqrt();
            all.extend(
                x.iter()
                    .zip(norm.gain)
                    .zip(norm.bias)
                    .map(|((x, gain), bias)| ((x - mean) * scale) as f32 * gain + bias),
            );
        }
        all
    };
    let [query, key, value] = layer.query_key_value.map(|site| product(&site, hidden));
    let channels = layer.heads * layer.head_width;
    let mut context = vec![0.0; query.len()];
    let mut start = 0;
    for &end in ends {
        for token in start..end {
            for head in 0..layer.heads {
                let part = |of: &[f32], token: usize| {
                    of[token * channels + head * layer.head_width..][..layer.head_width].to_vec()
                };
                let q = part(&query, token);
                let scores: Vec<f32> = (start..end)
                    .map(|other| {
                        let dot: f32 = q.iter().zip(part(&key, other)).map(|(q, k)| q * k).sum();
                        dot / (layer.head_width as f32).sqrt()
                    })
                    .collect();
                let most = scores.iter().fold(f32::MIN, |m, x| m.max(*x));
                let total: f32 = scores.iter().map(|x| (x - most).exp()).sum();
                for (other, score) in (start..end).zip(&scores) {
                    let share = (score - most).exp() / total;
                    for (d, v) in part(&value, other).iter().enumerate() {
                        context[token * channels + head * layer.head_width + d] += share * v;
                    }
                }
            }
        }
        start = end;
    }
    let change = product(&layer.output, &context);
    *hidden = normalized(hidden, &change, &layer.attention_norm);
    let mut wide = product(&layer.up, hidden);
    wide.iter_mut().for_each(|x| *x *= normal(f64::from(*x)) as f32);
    let change = product(&layer.down, &wide);
    *hidden = normalized(hidden, &change, &layer.output_norm);
}

#[test]
fn layers_are_near_their_operations_in_floats() {
    let width = 128;
    for (heads, head_width, kind) in [
        (4, 32, Kind::Bytes),
        (2, 64, Kind::Bytes),
        (4, 32, Kind::Fixed(0.03)),
        (4, 32, Kind::Floats),
        (2, 64, Kind::Floats),
        (4, 32, Kind::Halves),
        (2, 64, Kind::Halves),
    ] {
        let numbers = Numbers::new((width, 256), heads, head_width, kind);
        let layers = [numbers.layer()];
        let ends = [1, 20, 20, 90];
        let found = run(Isa::best(), &layers, width, &ends, &mut Room::default());
        let mut expected: Vec<f32> = super::tests::numbers(77, 90 * width).iter().map(|x| 2.0 * x).collect();
        in_floats(&layers[0], width, &mut expected, &ends);
        for (row, (found, expected)) in found.chunks(width).zip(expected.chunks(width)).enumerate() {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            let cosine = dot(found, expected) / (dot(found, found) * dot(expected, expected)).sqrt();
            assert!(cosine > 0.9995, "{kind:?}, {heads} x {head_width}, row {row}: {cosine}");
            if let Kind::Floats = kind {
                let far = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(far < 1e-5, "{heads} x {head_width}, row {row}: {far}");
            }
        }
    }
}

#[test]
fn what_is_undefined_stays_undefined() {
    let width = 128;
    let kinds = [Kind::Bytes, Kind::Floats, Kind::Halves];
    for (isa, kind) in Isa::all().into_iter().flat_map(|isa| kinds.map(|kind| (isa, kind))) {
        let numbers = Numbers::new((width, 128), 4, 32, kind);
        let mut hidden = super::tests::numbers(5, 20 * width);
        hidden[7 * width + 3] = f32::NAN;
        hidden[9 * width] = f32::INFINITY;
        with_set!(isa, set => {
            let layers = [numbers.layer()];
            EncoderLayer::run_with(set, &layers, width, &mut hidden, &[20], &mut Room::default(), None);
        });
        for row in [7, 9] {
            assert!(
                hidden[row * width..][..width].iter().any(|x| !x.is_finite()),
                "{}, {kind:?}",
                isa.name()
            );
        }
    }
}

#[test]
fn panels_multiply_as_every_other_form_does() {
    let (inputs, outputs, rows) = (192, 128, 37);
    for step in [None, Some(0.01)] {
        let made = |lay_out: fn(Matrix) -> Linear| {
            let levels: Vec<i32> =
                numbers(8, inputs * outputs).iter().map(|x| (x * 127.0).round() as i32).collect();
            let scales = Scales::Channel(numbers(9, outputs).iter().map(|x| x.abs() / 100.0).collect());
            let mut matrix =
                Matrix::quantized((inputs, outputs), Grid::Int8, &levels, scales, None, Index::Full).unwrap();
            if let Some(step) = step {
                matrix = matrix.with_activations(step).unwrap();
            }
            lay_out(matrix)
        };
        let (wide, other) = (made(Linear::for_encoder), made(Linear::for_dense_rows));
        assert!(wide.wide().is_some() && other.wide().is_none());
        assert_eq!(wide.unpack(), other.unpack());
        let bias = numbers(10, outputs);
        let mut scratch = crate::Scratch::default();
        let mut x = numbers(11, rows * inputs);
        x[5 * inputs..6 * inputs].fill(0.0);
        let mut of = |linear: &Linear, x: &[f32]| {
            let mut out = vec![7.0; x.len() / inputs * outputs];
            linear.multiply_rows(crate::Batch::Dense(x), &bias, &mut out, &mut scratch);
            out
        };
        assert_eq!(of(&wide, &x), of(&other, &x));
        assert_eq!(of(&wide, &x[..inputs]), of(&other, &x[..inputs]));
        let (columns, values) = ([3, 70, 191], [0.5, -2.0, 1.5]);
        let [mut a, mut b] = [vec![7.0; outputs], vec![8.0; outputs]];
        let some = crate::Input::Sparse { columns: &columns, values: &values };
        wide.multiply(some, &bias, &mut a, &mut scratch);
        other.multiply(some, &bias, &mut b, &mut scratch);
        assert_eq!(a, b);
        let levels = [100, -127, 3];
        let [mut a, mut b] = [vec![7; outputs], vec![8; outputs]];
        let some = crate::Levels::Sparse { columns: &columns, levels: &levels };
        wide.accumulate(some, &mut a, &mut scratch);
        other.accumulate(some, &mut b, &mut scratch);
        assert_eq!(a, b);
    }
}
