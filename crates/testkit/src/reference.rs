//! Every network once more, in plain loops over 64-bit floats, written from the words of its specification: what passes
//! through burn and through the runtime's kernels are held against. Slow, and shares no arithmetic with either.

use nlpress_model::graph::{NORM_EPSILON, Op, Source};
use nlpress_model::{AttentionSpec, Layer, Model, SiteId, Weight};
use nlpress_packed::{Scales, Scheme, Values};
use nlpress_text::Rows;

/// The logits of some rows, `[rows, outputs]`, in evaluation (no dropout).
///
/// # Panics
/// When the rows are not as wide as the network's input.
pub fn logits(model: &Model, rows: &Rows) -> Vec<f64> {
    logits_without(model, rows, None)
}

/// [`logits`] of an attention network as if one number of every token were not there: it is in no sum, no mean and no
/// variance.
///
/// # Panics
/// When the rows are not as wide as the network's input.
pub fn logits_without(model: &Model, rows: &Rows, unit: Option<usize>) -> Vec<f64> {
    assert_eq!(rows.width(), model.graph().inputs(), "rows of the network's width");
    let mut all = Vec::new();
    for row in rows.iter() {
        let features: Vec<(usize, f64)> =
            row.columns.iter().zip(row.values).map(|(c, v)| (*c as usize, f64::from(*v))).collect();
        all.extend(match model.graph().source {
            Source::Features { .. } => perceptron(model, &features),
            Source::Bag { tokens, .. } => Attention::of(model, tokens, unit).row(&features),
        });
    }
    all
}

/// The layer called `id`, after the first factor of it where there is one.
fn linear(model: &Model, id: &SiteId, input: &[f64]) -> Vec<f64> {
    let reduced = model.layer(&id.reduce()).map(|first| site(first, input));
    let layer = model.layer(id).expect("a specification names the sites of its network");
    site(layer, reduced.as_deref().unwrap_or(input))
}

/// One site: `input · weight + bias`. Sites of integers round their input first, as they do when they are served.
pub fn site(layer: &Layer, input: &[f64]) -> Vec<f64> {
    let input = rounded(layer, input);
    let (weight, outputs) = (layer.weight.values(), layer.shape.outputs);
    let mut sums: Vec<f64> = layer.bias.iter().map(|b| f64::from(*b)).collect();
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

/// Hidden layers with ReLU, then the logits.
fn perceptron(model: &Model, features: &[(usize, f64)]) -> Vec<f64> {
    let mut x = vec![0.0; model.graph().inputs()];
    features.iter().for_each(|(feature, value)| x[*feature] = *value);
    let factors = |id: &SiteId| id.as_str().ends_with(".reduce");
    let plain: Vec<&SiteId> = model.layers().iter().map(|l| &l.id).filter(|id| !factors(id)).collect();
    for (n, id) in plain.iter().enumerate() {
        x = linear(model, id, &x);
        if n + 1 < plain.len() {
            x.iter_mut().for_each(|x| *x = x.max(0.0));
        }
    }
    x
}

/// An attention network, with or without one number of every token.
struct Attention<'a> {
    model: &'a Model,
    /// Most tokens of a row.
    tokens: usize,
    /// Numbers of a token.
    width: usize,
    /// Heads of each block, and numbers of a token in one.
    heads: Vec<(usize, usize)>,
    without: Option<usize>,
}

impl<'a> Attention<'a> {
    fn of(model: &'a Model, tokens: usize, without: Option<usize>) -> Self {
        let heads = model.graph().nodes.iter().filter_map(|node| match node.op {
            Op::Attend { heads, head_width } => Some((heads, head_width)),
            _ => None,
        });
        let width = model.layer(&AttentionSpec::embedding()).map_or(0, |layer| layer.shape.outputs);
        Self { model, tokens, width, heads: heads.collect(), without }
    }

    /// Logits of a row of features.
    fn row(&self, features: &[(usize, f64)]) -> Vec<f64> {
        let mut words = features.to_vec();
        words.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        words.truncate(self.tokens);
        let mut states: Vec<Vec<f64>> = words.iter().map(|(word, _)| self.embedded(*word)).collect();
        for block in 0..self.heads.len() {
            let heads = self.attended(block, &states);
            let output =
                |heads: &Vec<f64>| linear(self.model, &AttentionSpec::site(block, "attention.output"), heads);
            self.add(&mut states, &heads.iter().map(output).collect::<Vec<_>>());
            let fed: Vec<Vec<f64>> = states.iter().map(|state| self.fed(block, state)).collect();
            self.add(&mut states, &fed);
        }
        let mut sum = vec![0.0; self.width];
        for (state, (_, value)) in states.iter().zip(&words) {
            sum.iter_mut().zip(state).for_each(|(sum, x)| *sum += value * x);
        }
        self.omit(&mut sum);
        linear(self.model, &SiteId::output(), &sum)
    }

    fn embedded(&self, word: usize) -> Vec<f64> {
        let mut one = vec![0.0; self.model.graph().inputs()];
        one[word] = 1.0;
        let mut state = linear(self.model, &AttentionSpec::embedding(), &one);
        self.omit(&mut state);
        state
    }

    fn add(&self, states: &mut [Vec<f64>], more: &[Vec<f64>]) {
        for (state, more) in states.iter_mut().zip(more) {
            state.iter_mut().zip(more).for_each(|(x, more)| *x += more);
            self.omit(state);
        }
    }

    /// Sets the number that is not there to zero, so that it is in no sum.
    fn omit(&self, state: &mut [f64]) {
        self.without.into_iter().for_each(|unit| state[unit] = 0.0);
    }

    /// A token to mean 0 and variance 1, without gain and bias.
    fn normed(&self, state: &[f64]) -> Vec<f64> {
        let there: Vec<f64> =
            state.iter().enumerate().filter(|(i, _)| self.without != Some(*i)).map(|(_, x)| *x).collect();
        let count = there.len() as f64;
        let mean = there.iter().sum::<f64>() / count;
        let variance = there.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        let deviation = (variance + f64::from(NORM_EPSILON)).sqrt();
        let mut normed: Vec<f64> = state.iter().map(|x| (x - mean) / deviation).collect();
        self.omit(&mut normed);
        normed
    }

    /// What the heads of every token bring, one after the other.
    fn attended(&self, block: usize, states: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let project = |name: &str| -> Vec<Vec<f64>> {
            let id = AttentionSpec::site(block, name);
            states.iter().map(|state| linear(self.model, &id, &self.normed(state))).collect()
        };
        let (queries, keys, values) =
            (project("attention.query"), project("attention.key"), project("attention.value"));
        let (heads_of_block, width) = self.heads[block];
        let head = |of: &[f64], h: usize| of[h * width..(h + 1) * width].to_vec();
        let mut all = Vec::new();
        for query in &queries {
            let mut heads = Vec::new();
            for h in 0..heads_of_block {
                let dot = |key: &Vec<f64>| -> f64 {
                    head(query, h).iter().zip(head(key, h)).map(|(q, k)| q * k).sum()
                };
                let scores: Vec<f64> = keys.iter().map(|key| dot(key) / (width as f64).sqrt()).collect();
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let exponentials: Vec<f64> = scores.iter().map(|s| (s - largest).exp()).collect();
                let total: f64 = exponentials.iter().sum();
                let mut mixed = vec![0.0; width];
                for (share, value) in exponentials.iter().zip(&values) {
                    mixed.iter_mut().zip(head(value, h)).for_each(|(sum, v)| *sum += share / total * v);
                }
                heads.extend(mixed);
            }
            all.push(heads);
        }
        all
    }

    /// What the feed-forward layer brings to a token.
    fn fed(&self, block: usize, state: &[f64]) -> Vec<f64> {
        let mut hidden = linear(self.model, &AttentionSpec::site(block, "ffn.up"), &self.normed(state));
        hidden.iter_mut().for_each(|x| *x = x.max(0.0));
        linear(self.model, &AttentionSpec::site(block, "ffn.down"), &hidden)
    }
}
