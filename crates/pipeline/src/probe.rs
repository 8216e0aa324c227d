//! A linear probe: what a frozen network makes of texts, and behind it a linear classifier that is trained to its optimum.
//!
//! Nothing of the network is trained, so that each text goes through it once, and then a probe is a linear model of a few hundred
//! numbers. Alain and Bengio 2017, "Understanding Intermediate Layers Using Linear Classifier Probes".

use nlpress_core::event::{Event, Flow, Sink};
use nlpress_core::{Backend, Seed};
use nlpress_model::dataset::accuracy;
use nlpress_model::graph::Source;
use nlpress_model::{Dataset, Graph, Model, Weight};
use nlpress_technique::Answers;
use nlpress_text::{Corpus, Document, Rows};
use nlpress_train::{LabelTraining, Loss, Scores, TrainConfig, TrainError};
use serde_json::json;

use crate::asked::{Asking, Probed, Taught};
use crate::data_error::DataError;
use crate::failure::RunError;

/// What an error costs in the probes that are tried, beside the penalty on weights.
const COSTS: [f64; 5] = [0.02, 0.1, 0.5, 2.0, 8.0];
/// Parts of the training documents, each of which is answered by a probe of the others.
const PARTS: usize = 5;
/// Where and how finely the scale of logits is looked for, as powers of e.
const SCALES: [f64; 2] = [-3.0, 4.0];
const SEARCHED: usize = 40;

/// A linear function of embeddings.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Probe {
    /// `[numbers of an embedding, outputs]`.
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

/// Embeddings of labelled documents.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Embedded<'a> {
    /// Numbers of an embedding.
    pub(crate) width: usize,
    /// `[documents, width]`.
    pub(crate) numbers: &'a [f32],
    pub(crate) labels: &'a [u32],
    pub(crate) classes: usize,
    /// Weights of the classes; none where they are alike.
    pub(crate) weights: &'a [f64],
}

/// What probes are trained with beside the embeddings.
#[derive(Clone, Copy)]
pub(crate) struct Training<'a> {
    pub(crate) backend: &'a Backend,
    pub(crate) seed: Seed,
    pub(crate) sink: &'a dyn Sink,
}

impl<'a> Training<'a> {
    /// With this seed, by whoever asks.
    pub(crate) fn new(seed: Seed, by: Asking<'a>) -> Self {
        Self { backend: by.backend, seed, sink: by.sink }
    }
}

/// Passes on what a training says of its way, and not of its epochs.
struct OnTheWay<'a>(&'a dyn Sink);

impl Sink for OnTheWay<'_> {
    fn push(&self, event: &Event) -> Flow {
        match event {
            Event::Progress { .. } => self.0.push(event),
            _ => self.0.push(&Event::Progress { what: String::new(), done: 1, total: 0 }),
        }
    }
}

impl Probe {
    /// Trains a probe. Their mean is taken from embeddings, because what all texts have in common tells nothing apart, and they are
    /// multiplied by the number that makes their mean squared length 1, so that a cost means the same whatever network they
    /// are from. Weights and biases are those of embeddings as they are.
    ///
    /// # Errors
    /// [`RunError`] when a number is not finite, the settings are not those of a linear model, or the sink says to stop.
    pub(crate) fn fit(of: Embedded<'_>, how: &TrainConfig, with: Training<'_>) -> Result<Self, RunError> {
        let documents = of.labels.len() as f64;
        let mut mean = vec![0.0; of.width];
        for row in of.numbers.chunks_exact(of.width) {
            mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x) / documents);
        }
        let centred = || of.numbers.iter().zip(mean.iter().cycle()).map(|(x, mean)| f64::from(*x) - mean);
        let squares = centred().map(|x| x * x).sum::<f64>();
        let scale = (documents / squares.max(f64::MIN_POSITIVE)).sqrt();
        let scaled: Vec<f32> = centred().map(|x| (scale * x) as f32).collect();
        let rows = Rows::from_dense(of.labels.len(), of.width, &scaled).map_err(DataError::from)?;
        let data = Dataset::new(rows, of.labels.to_vec(), of.classes).map_err(DataError::from)?;
        let data = data.with_class_weights(of.weights.to_vec()).map_err(DataError::from)?;
        let outputs = if of.classes == 2 { 1 } else { of.classes };
        let linear = Graph::feed_forward(Source::Features { width: of.width }, &[], outputs, 0.0);
        let training = LabelTraining {
            valid: None,
            ..LabelTraining::new(how, with.backend, (&data, &data), with.seed, with.sink)
        };
        let fresh = Model::init(&linear, with.seed).map_err(TrainError::from)?;
        let (model, _) = training.run(fresh)?;
        let layer = &model.layers()[0];
        let weight: Vec<f64> = layer.weight.values().iter().map(|w| scale * f64::from(*w)).collect();
        let mut bias: Vec<f64> = layer.bias.iter().map(|b| f64::from(*b)).collect();
        for (mean, of_number) in mean.iter().zip(weight.chunks_exact(outputs)) {
            bias.iter_mut().zip(of_number).for_each(|(b, w)| *b -= mean * w);
        }
        let floats = |numbers: Vec<f64>| numbers.into_iter().map(|x| x as f32).collect();
        Ok(Self { weight: floats(weight), bias: floats(bias) })
    }

    /// Its logits of embeddings, `[documents, outputs]`.
    pub(crate) fn logits(&self, embeddings: &[f32]) -> Vec<f32> {
        let outputs = self.bias.len();
        let mut all = Vec::new();
        for row in embeddings.chunks_exact(self.weight.len() / outputs) {
            let start = all.len();
            all.extend_from_slice(&self.bias);
            for (x, of_number) in row.iter().zip(self.weight.chunks_exact(outputs)) {
                all[start..].iter_mut().zip(of_number).for_each(|(sum, w)| *sum += x * w);
            }
        }
        all
    }
}

/// A network whose last site is the probe of what stands before it, given the embeddings of its training documents.
///
/// # Errors
/// As [`Probe::fit`].
pub(crate) fn behind(
    network: Model,
    (data, embeddings): (&Dataset, &[f32]),
    how: &TrainConfig,
    with: Training<'_>,
) -> Result<Model, RunError> {
    let embedded = Embedded {
        width: embeddings.len() / data.len().max(1),
        numbers: embeddings,
        labels: data.labels(),
        classes: data.classes(),
        weights: data.class_weights(),
    };
    let Probe { weight, bias } = Probe::fit(embedded, how, with)?;
    let (graph, mut layers) = network.into_parts();
    if let Some(last) = layers.last_mut() {
        (last.weight, last.bias) = (Weight::Dense(weight), bias);
    }
    Ok(Model::new(graph, layers).map_err(TrainError::from)?)
}

/// The settings of a probe at a cost.
fn at_cost(cost: f64) -> Result<TrainConfig, RunError> {
    let settings = json!({ "solver": "coordinate_descent", "cost": cost, "tolerance": 0.01, "epochs": 300 });
    serde_json::from_value(settings).map_err(|e| RunError::Internal(format!("a probe's settings: {e}")))
}

/// What a probe of a frozen network teaches: its logits over the documents of a corpus, given their embeddings.
///
/// Training documents are answered by probes of the other training documents, because what one says of the documents that it
/// learnt from is better than what it knows. The cost is the one at which those answers are right most often. Logits are
/// multiplied by the number that makes them probabilities over these answers.
///
/// # Errors
/// As [`Probe::fit`].
pub(crate) fn taught(
    corpus: &Corpus,
    width: usize,
    [train, valid, unlabelled]: [&[f32]; 3],
    (backend, sink): (&Backend, &dyn Sink),
) -> Result<Taught, RunError> {
    let sink = OnTheWay(sink);
    let with = Training { backend, seed: Seed(0).derive("probe"), sink: &sink };
    let labels = |documents: &[Document]| documents.iter().map(|d| d.label).collect::<Vec<u32>>();
    let (of_train, of_valid) = (labels(&corpus.train), labels(&corpus.valid));
    let classes = corpus.labels.len();
    let outputs = if classes == 2 { 1 } else { classes };
    let all = Embedded { width, numbers: train, labels: &of_train, classes, weights: &[] };
    let mut best: Option<(f64, f64, Vec<f32>)> = None;
    for cost in COSTS {
        let logits = by_others(all, outputs, &at_cost(cost)?, with)?;
        let right = accuracy(&logits, outputs, &of_train);
        if best.as_ref().is_none_or(|(most, ..)| right > *most) {
            best = Some((right, cost, logits));
        }
    }
    let (_, cost, mut of_others) = best.ok_or_else(|| RunError::Internal("no probe was tried".into()))?;
    let probe = Probe::fit(all, &at_cost(cost)?, with)?;
    // Nothing of the rows counts here but their labels.
    let rows = Rows::from_dense(of_train.len(), 1, &vec![0.0; of_train.len()]).map_err(DataError::from)?;
    let data = Dataset::new(rows, of_train, classes).map_err(DataError::from)?;
    let scale = scale(&of_others, &data)?;
    let scaled = |logits: &mut Vec<f32>| logits.iter_mut().for_each(|x| *x *= scale);
    let (mut of_documents, mut of_texts) = (probe.logits(valid), probe.logits(unlabelled));
    [&mut of_others, &mut of_documents, &mut of_texts].into_iter().for_each(scaled);
    let right = accuracy(&of_documents, outputs, &of_valid);
    let answers = Answers { outputs, train: of_others, valid: of_documents, unlabelled: of_texts };
    Ok(Taught { answers, right, probed: Some(Probed { numbers: width, cost }) })
}

/// Logits of documents, each by a probe of the documents in the other parts.
fn by_others(
    all: Embedded<'_>,
    outputs: usize,
    how: &TrainConfig,
    with: Training<'_>,
) -> Result<Vec<f32>, RunError> {
    let documents = all.labels.len();
    let mut order: Vec<usize> = (0..documents).collect();
    with.seed.derive("parts").stream(0).shuffle(&mut order);
    let parts = PARTS.min(documents);
    if parts < 2 {
        return Ok(Probe::fit(all, how, with)?.logits(all.numbers));
    }
    let row = |i: usize| &all.numbers[i * all.width..(i + 1) * all.width];
    let mut logits = vec![0.0; documents * outputs];
    for part in 0..parts {
        let is_held = |place: &usize| place % parts == part;
        let others: Vec<usize> = (0..documents).filter(|n| !is_held(n)).map(|n| order[n]).collect();
        let numbers: Vec<f32> = others.iter().flat_map(|i| row(*i).iter().copied()).collect();
        let labels: Vec<u32> = others.iter().map(|i| all.labels[*i]).collect();
        let probe = Probe::fit(Embedded { numbers: &numbers, labels: &labels, ..all }, how, with)?;
        for i in (0..documents).filter(is_held).map(|n| order[n]) {
            logits[i * outputs..(i + 1) * outputs].copy_from_slice(&probe.logits(row(i)));
        }
    }
    Ok(logits)
}

/// The number that logits are to be multiplied by so that the labels are as likely as they can be, by golden sections.
fn scale(logits: &[f32], data: &Dataset) -> Result<f32, RunError> {
    let loss = |power: f64| -> Result<f64, RunError> {
        let scaled: Vec<f32> = logits.iter().map(|x| (power.exp() * f64::from(*x)) as f32).collect();
        Ok(Scores::of(&scaled, data, Loss::CrossEntropy).map_err(TrainError::from)?.loss)
    };
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    let [mut low, mut high] = SCALES;
    let inner = |low: f64, high: f64| [high - golden * (high - low), low + golden * (high - low)];
    for _ in 0..SEARCHED {
        let [left, right] = inner(low, high);
        match loss(left)? <= loss(right)? {
            true => high = right,
            false => low = left,
        }
    }
    Ok(f64::midpoint(low, high).exp() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::BackendKind;
    use nlpress_core::event::Quiet;

    /// Embeddings of two classes, along the first number, with noise in the others and one wrong label in ten.
    fn embeddings(documents: usize) -> (Vec<f32>, Vec<u32>) {
        let mut rng = Seed(3).stream(0);
        let mut numbers = Vec::new();
        let labels: Vec<u32> = (0..documents)
            .map(|i| {
                let class = (i % 2) as u32;
                numbers.push(if class == 1 { 30.0 } else { -30.0 });
                numbers.extend((0..7).map(|_| (rng.below(2001) as f32 - 1000.0) / 50.0));
                if i % 10 == 0 { 1 - class } else { class }
            })
            .collect();
        (numbers, labels)
    }

    #[test]
    fn a_probe_teaches_what_it_did_not_learn_by_heart() {
        let backend = BackendKind::compiled().into_iter().find(|k| k.is_cpu()).unwrap().open().unwrap();
        let (numbers, labels) = embeddings(200);
        let texts = |from: usize, to: usize| -> Vec<(String, String)> {
            (from..to).map(|i| (format!("text {i}"), format!("{}", labels[i]))).collect()
        };
        let corpus = Corpus::from_splits("two", &texts(0, 120), &texts(120, 160), &texts(160, 200)).unwrap();
        let (train, valid) = (&numbers[..120 * 8], &numbers[120 * 8..160 * 8]);
        let splits = [train, valid, &numbers[160 * 8..]];
        let ask = || taught(&corpus, 8, splits, (&backend, &Quiet)).unwrap();
        let Taught { answers, right, .. } = ask();
        assert_eq!((answers.outputs, answers.train.len(), answers.unlabelled.len()), (1, 120, 40));
        // Labels that are wrong are not what the others say.
        let truth: Vec<u32> = (0..120).map(|i| (i % 2) as u32).collect();
        assert!(accuracy(&answers.train, 1, &truth) > 0.97);
        assert!((0.85..=0.95).contains(&right), "{right}");
        // A probability of about nine in ten: what the labels are.
        let sure = answers.valid.iter().map(|x| f64::from(x.abs())).sum::<f64>() / 40.0;
        let said = 1.0 / (1.0 + (-sure).exp());
        assert!((0.8..=0.95).contains(&said), "{said}");
        assert_eq!(ask().answers, answers);
    }

    #[test]
    fn a_cost_means_the_same_wherever_numbers_lie() {
        let backend = BackendKind::compiled().into_iter().find(|k| k.is_cpu()).unwrap().open().unwrap();
        let (numbers, labels) = embeddings(80);
        let small: Vec<f32> = numbers.iter().map(|x| x / 1024.0 + 2.0).collect();
        let with = Training { backend: &backend, seed: Seed(1), sink: &Quiet };
        let of = |numbers: &[f32]| {
            let of = Embedded { width: 8, numbers, labels: &labels, classes: 2, weights: &[] };
            Probe::fit(of, &at_cost(1.0).unwrap(), with).unwrap().logits(numbers)
        };
        for (large, small) in of(&numbers).iter().zip(of(&small)) {
            assert!((large - small).abs() < 1e-3, "{large} {small}");
        }
    }
}
