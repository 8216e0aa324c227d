//! Every network once more, in plain loops over 64-bit floats, one example and one token at a time: what passes
//! through burn and through the runtime's kernels are held against. Slow, and shares no arithmetic with either.

use nlpress_model::graph::{Activation, Key, NORM_EPSILON, Op, Per, Pooling, PositionScheme, Source};
use nlpress_model::{Layer, Model, Units, Weight};
use nlpress_packed::{Scales, Scheme, Values};
use nlpress_text::ExamplesRef;

/// The logits or embeddings of some examples, `[examples, outputs]`, in evaluation (no dropout).
///
/// # Panics
/// When the examples are not what the network takes.
pub fn logits<'a>(model: &Model, examples: impl Into<ExamplesRef<'a>>) -> Vec<f64> {
    logits_without(model, examples, None)
}

/// [`logits`] as if one number of the width that runs through the network were not there: it is in no sum, no mean and no
/// variance.
///
/// # Panics
/// When the examples are not what the network takes.
pub fn logits_without<'a>(
    model: &Model,
    examples: impl Into<ExamplesRef<'a>>,
    unit: Option<usize>,
) -> Vec<f64> {
    let plain = Plain { model, through: through(model), unit };
    match examples.into() {
        ExamplesRef::Features(rows) => {
            assert_eq!(rows.width(), model.graph().inputs(), "rows of the network's width");
            let features = |(c, v): (&u32, &f32)| Word { id: *c as usize, value: f64::from(*v), kind: 0 };
            rows.iter()
                .flat_map(|row| plain.example(row.columns.iter().zip(row.values).map(features).collect()))
                .collect()
        }
        ExamplesRef::Tokens(rows) => {
            let text = |n: usize| {
                let row = rows.row(n);
                let kind = |at: usize| row.types.get(at).copied().unwrap_or(0).into();
                let words = row.ids.iter().enumerate();
                words.map(|(at, id)| Word { id: *id as usize, value: 1.0, kind: kind(at) }).collect()
            };
            (0..rows.len()).flat_map(|n| plain.example(text(n))).collect()
        }
    }
}

/// Whether each node makes numbers of the width that runs through the network.
fn through(model: &Model) -> Vec<bool> {
    let graph = model.graph();
    let width = graph.groups().into_iter().find(|group| group.what == Units::Width);
    let mut through: Vec<bool> = Vec::new();
    for node in &graph.nodes {
        through.push(match node.op.site() {
            Some(site) => width.as_ref().is_some_and(|width| width.columns.contains(site)),
            None => through[node.from[0]],
        });
    }
    through
}

/// One site: `input · weight + bias`. Sites of integers round their input first, as they do when they are served.
pub fn site(layer: &Layer, input: &[f64]) -> Vec<f64> {
    let input = rounded(layer, input);
    let (weight, outputs) = (layer.weight.values(), layer.shape.outputs);
    let mut sums: Vec<f64> = layer.bias.iter().map(|b| f64::from(*b)).collect();
    sums.resize(outputs, 0.0);
    for (i, x) in input.iter().enumerate() {
        for (j, sum) in sums.iter_mut().enumerate() {
            *sum += x * f64::from(weight[i * outputs + j]);
        }
    }
    sums
}

/// The input of a site of integers as integers times a step: the site's own, or one with which the row's largest
/// magnitude is the last level. With scales for inputs, it is the inputs times their scales that are rounded; outliers
/// are left as they are and do not count.
fn rounded(layer: &Layer, input: &[f64]) -> Vec<f64> {
    let Weight::Packed { scheme: Scheme { values: Values::Int(int), .. }, matrix } = &layer.weight else {
        return input.to_vec();
    };
    let levels = f64::from(int.grid.activation_levels());
    let outliers = matrix.outliers().map_or(&[][..], |outliers| outliers.inputs());
    let is_outlier = |i: usize| outliers.iter().any(|o| *o as usize == i);
    let scale = |i: usize| match matrix.scales() {
        Some(Scales::Row(scales)) => f64::from(scales[i].max(f32::MIN_POSITIVE)),
        _ => 1.0,
    };
    let scaled: Vec<f64> =
        input.iter().enumerate().map(|(i, x)| if is_outlier(i) { 0.0 } else { x * scale(i) }).collect();
    let largest = scaled.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    let step = matrix.activations().map_or(largest / levels, f64::from);
    let level =
        |x: f64| if step > 0.0 { (x / step).clamp(-levels, levels).round_ties_even() * step } else { 0.0 };
    let back = |(i, x): (usize, &f64)| if is_outlier(i) { input[i] } else { level(*x) / scale(i) };
    scaled.iter().enumerate().map(back).collect()
}

/// What an example consists of.
#[derive(Clone, Copy)]
struct Word {
    id: usize,
    value: f64,
    kind: usize,
}

/// A network in plain loops.
struct Plain<'a> {
    model: &'a Model,
    through: Vec<bool>,
    /// The number that is not there.
    unit: Option<usize>,
}

impl Plain<'_> {
    /// What the network makes of one example.
    fn example(&self, mut words: Vec<Word>) -> Vec<f64> {
        let graph = self.model.graph();
        if let Source::Bag { tokens, .. } = graph.source {
            words.sort_by(|a, b| b.value.total_cmp(&a.value).then(a.id.cmp(&b.id)));
            words.truncate(tokens);
        }
        let mut values: Vec<Vec<Vec<f64>>> = Vec::new();
        for n in 0..graph.nodes.len() {
            let mut made = self.node(n, &words, &values);
            if let (Some(unit), true) = (self.unit, self.through[n]) {
                made.iter_mut().for_each(|row| row[unit] = 0.0);
            }
            values.push(made);
        }
        values.pop().expect("a network has a node").remove(0)
    }

    /// The rows that one node makes: one of the example, or one of each token.
    fn node(&self, n: usize, words: &[Word], values: &[Vec<Vec<f64>>]) -> Vec<Vec<f64>> {
        let node = &self.model.graph().nodes[n];
        let read = |i: usize| &values[node.from[i]];
        let each = |of: &dyn Fn(&Vec<f64>) -> Vec<f64>| read(0).iter().map(of).collect();
        let layer = || {
            let site = node.op.site().expect("asked of nodes with a site alone");
            self.model.layer(site).expect("a network has the sites of its graph")
        };
        match &node.op {
            Op::Features { .. } => {
                let mut row = vec![0.0; self.model.graph().inputs()];
                words.iter().for_each(|word| row[word.id] = word.value);
                vec![site(layer(), &row)]
            }
            Op::Embed { by, .. } => {
                let one = |(at, word): (usize, &Word)| {
                    let key = match by {
                        Key::Word => word.id,
                        Key::Position { .. } => at,
                        Key::Type { .. } => word.kind,
                    };
                    let mut row = vec![0.0; layer().shape.inputs];
                    row[key] = 1.0;
                    site(layer(), &row)
                };
                words.iter().enumerate().map(one).collect()
            }
            Op::Linear { .. } => each(&|row| site(layer(), row)),
            Op::Norm => each(&|row| self.normed(n, row, NORM_EPSILON)),
            Op::LayerNorm { epsilon, .. } => {
                let own = self.vectors_of(n);
                let bias = |i: usize| own.get(1).map_or(0.0, |bias| f64::from(bias[i]));
                let affine = |(i, x): (usize, f64)| x * f64::from(own[0][i]) + bias(i);
                each(&|row| self.normed(n, row, *epsilon).into_iter().enumerate().map(affine).collect())
            }
            Op::Activate(activation) => each(&|row| row.iter().map(|x| activated(*activation, *x)).collect()),
            Op::Attend { heads, head_width, positions } => {
                let bias = self.vectors_of(n);
                let bias = bias.first().map_or(&[][..], |bias| bias);
                attended((*heads, *head_width), positions, bias, [read(0), read(1), read(2)])
            }
            Op::Multiply => {
                let product = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a * b).collect();
                read(0).iter().zip(read(1)).map(product).collect()
            }
            Op::Add => {
                let sum = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a + b).collect();
                read(0).iter().zip(read(1)).map(sum).collect()
            }
            Op::Dropout { .. } => read(0).clone(),
            Op::Pool(pooling) => {
                let value = self.model.graph().values()[n];
                assert_eq!(value.per, Per::Example);
                vec![pooled(*pooling, words, read(0), value.width)]
            }
            Op::Normalize => each(&|row| {
                let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
                row.iter().map(|x| if length > 0.0 { x / length } else { 0.0 }).collect()
            }),
        }
    }

    /// The vectors of a node.
    fn vectors_of(&self, n: usize) -> Vec<&[f32]> {
        let vector = |id| {
            let vector = self.model.vectors().iter().find(|vector| vector.id == id);
            &vector.expect("a network has the vectors of its graph").values[..]
        };
        self.model.graph().nodes[n].op.vectors().into_iter().map(vector).collect()
    }

    /// A row to mean 0 and variance 1, without the number that is not there.
    fn normed(&self, n: usize, row: &[f64], epsilon: f32) -> Vec<f64> {
        let gone = self.unit.filter(|_| self.through[n]);
        let there: Vec<f64> =
            row.iter().enumerate().filter(|(i, _)| gone != Some(*i)).map(|(_, x)| *x).collect();
        let count = there.len() as f64;
        let mean = there.iter().sum::<f64>() / count;
        let variance = there.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        let deviation = (variance + f64::from(epsilon)).sqrt();
        row.iter().map(|x| (x - mean) / deviation).collect()
    }
}

/// One row from those of the tokens.
fn pooled(pooling: Pooling, words: &[Word], tokens: &[Vec<f64>], width: usize) -> Vec<f64> {
    let mut sum = vec![0.0; width];
    for (n, (token, word)) in tokens.iter().zip(words).enumerate() {
        let share = match pooling {
            Pooling::WeightedSum => word.value,
            Pooling::Mean => 1.0 / words.len() as f64,
            Pooling::First => f64::from(u8::from(n == 0)),
        };
        sum.iter_mut().zip(token).for_each(|(sum, x)| *sum += share * x);
    }
    sum
}

fn activated(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Relu => x.max(0.0),
        Activation::Tanh => x.tanh(),
        Activation::Gelu => x * normal(x),
    }
}

/// The distribution function of the normal distribution, by its series; 0 or 1 far out.
fn normal(x: f64) -> f64 {
    if x.abs() > 8.0 {
        return f64::from(u8::from(x > 0.0));
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..300 {
        term *= x * x / f64::from(2 * n + 1);
        sum += term;
    }
    0.5 + sum * (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt()
}

/// The queries or keys of a token's heads, turned by its place.
fn turned(row: &[f64], place: usize, width: usize, positions: &PositionScheme) -> Vec<f64> {
    let Some(rotary) = positions.rotary else { return row.to_vec() };
    let mut out = row.to_vec();
    for (head, out) in row.chunks(width).zip(out.chunks_mut(width)) {
        for i in 0..width / 2 {
            let angle = place as f64 * f64::from(rotary.base).powf(-2.0 * i as f64 / width as f64);
            let (x, y) = (head[i], head[i + width / 2]);
            out[i] = x * angle.cos() - y * angle.sin();
            out[i + width / 2] = y * angle.cos() + x * angle.sin();
        }
    }
    out
}

/// What the heads of every token bring, one after the other; `bias` is that of the scores by distance, `[heads, buckets]`.
fn attended(
    (heads, width): (usize, usize),
    positions: &PositionScheme,
    bias: &[f32],
    [queries, keys, values]: [&Vec<Vec<f64>>; 3],
) -> Vec<Vec<f64>> {
    let turned = |rows: &Vec<Vec<f64>>| -> Vec<Vec<f64>> {
        rows.iter().enumerate().map(|(place, row)| turned(row, place, width, positions)).collect()
    };
    let (queries, keys) = (&turned(queries), &turned(keys));
    let head = |of: &[f64], h: usize| of[h * width..(h + 1) * width].to_vec();
    let mut all = Vec::new();
    for (place, query) in queries.iter().enumerate() {
        let mut brought = Vec::new();
        for h in 0..heads {
            let dot =
                |key: &Vec<f64>| -> f64 { head(query, h).iter().zip(head(key, h)).map(|(q, k)| q * k).sum() };
            let of_key = |(at, key): (usize, &Vec<f64>)| {
                if positions.window.is_some_and(|window| place.abs_diff(at) > window) {
                    return f64::NEG_INFINITY;
                }
                let by_distance = positions.relative.as_ref().map_or(0.0, |relative| {
                    let bucket = relative.bucket(at as isize - place as isize);
                    f64::from(bias[h * relative.buckets + bucket])
                });
                dot(key) / (width as f64).sqrt() + by_distance
            };
            let scores: Vec<f64> = keys.iter().enumerate().map(of_key).collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let exponentials: Vec<f64> = scores.iter().map(|s| (s - largest).exp()).collect();
            let total: f64 = exponentials.iter().sum();
            let mut mixed = vec![0.0; width];
            for (share, value) in exponentials.iter().zip(values) {
                mixed.iter_mut().zip(head(value, h)).for_each(|(sum, v)| *sum += share / total * v);
            }
            brought.extend(mixed);
        }
        all.push(brought);
    }
    all
}
