//! Steps whose parameters, gradients and optimizer state stay on the device.
//!
//! For backends whose memory is not that of this process. A step reads nothing from the device but the logits, whose loss
//! is a function on the host, and a number for a term of the loss that is a tensor. What is done is what
//! [`Whole`](crate::steps::Whole) does, as operations on one tensor for each parameter; only after an epoch are the
//! parameters read, for validation and checkpoints.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use nlpress_core::Seed;
use nlpress_model::{Model, Network};

use crate::adam::Adam;
use crate::checkpoint::Progress;
use crate::gradients::Batch;
use crate::plan::Fit;
use crate::reparameterization::Step;
use crate::segments::Segments;
use crate::word_dropout::WordDropout;
use crate::{FitConfig, TrainError};

/// Steps on the device.
pub(crate) struct OnDevice<'a> {
    config: &'a FitConfig,
    /// Taken only while its parameters are replaced.
    network: Option<Network>,
    parameters: Vec<Parameter>,
    adam: Adam,
    words: Option<(WordDropout, Seed)>,
    /// Whether the moments are wanted after each epoch.
    is_saved: bool,
}

/// How a parameter is trained.
struct Parameter {
    /// What the learning rate is multiplied with; 0 where nothing moves.
    rate: f64,
    decay: f64,
    is_weight: bool,
    /// 1 where it may change, 0 where a mask holds a zero; absent where all may.
    keep: Option<Tensor<1>>,
    first: Tensor<1>,
    second: Tensor<1>,
}

/// Whether nothing of a training but its step is done on the host.
pub(crate) fn possible(fit: &Fit<'_>) -> bool {
    let with = &fit.with;
    with.reparameterizations.is_empty()
        && with.penalties.is_empty()
        && with.source.is_none()
        && with.wire.is_none()
}

impl<'a> OnDevice<'a> {
    /// Puts model and moments on the device, as they are at the beginning or in a checkpoint.
    ///
    /// # Errors
    /// [`TrainError::NoGroup`] for a group that selects no site that is trained.
    pub(crate) fn new(model: &Model, fit: &Fit<'a>, at: &mut Progress) -> Result<Self, TrainError> {
        let mut network = Network::bind(model, fit.backend);
        network.update(0..network.sites(), &at.flat);
        let (segments, device) = (Segments::of(model, fit.config)?, fit.backend.device());
        let (keep, is_weight) = (model.flat_keep(), model.flat_is_weight());
        let mut parameters = Vec::new();
        let mut begin = 0;
        for length in Lengths::of(&network) {
            let range = begin..begin + length;
            begin = range.end;
            let (rate, decay) = segments.at(range.start);
            let kept: Vec<f32> = keep[range.clone()].iter().map(|keep| f32::from(*keep)).collect();
            let (first, second) = at.adam.moments(range.clone());
            parameters.push(Parameter {
                rate,
                decay,
                is_weight: is_weight[range.start],
                keep: kept.contains(&0.0).then(|| on(kept, device)),
                first: on(first.to_vec(), device),
                second: on(second.to_vec(), device),
            });
        }
        let words = fit.with.words.filter(|(words, _)| !words.is_off());
        let (adam, is_saved) = (at.adam.counter(), fit.checkpoint.is_some());
        Ok(Self { config: fit.config, network: Some(network), parameters, adam, words, is_saved })
    }

    fn network(&self) -> &Network {
        self.network.as_ref().expect("it is there between steps")
    }

    /// Does a step on a batch and gives its loss, penalties left out. With a loss that is no number, nothing is done.
    ///
    /// # Errors
    /// [`TrainError`] when the device fails.
    pub(crate) fn step(&mut self, batch: &Batch<'_>, now: Step) -> Result<f64, TrainError> {
        let (loss, gradients) = batch.thinned(self.words, now.number, |batch| self.gradients(batch))?;
        if !loss.is_finite() {
            return Ok(loss);
        }
        let values = Values::of(self.network());
        let mut gradients: Vec<Option<Tensor<1>>> = self
            .parameters
            .iter()
            .zip(gradients)
            .zip(&values)
            .map(|((parameter, gradient), value)| self.with_penalties(parameter, gradient?, value))
            .collect();
        self.clip(&mut gradients);
        let update = self.adam.next(now.rate, self.config.adam());
        let moved = self.parameters.iter_mut().zip(gradients).zip(values).map(|((of, gradient), value)| {
            let gradient = gradient?;
            let left = 1.0 - now.rate * of.rate * of.decay;
            let value = if of.decay > 0.0 { value * left as f32 } else { value };
            let moments = (of.first.clone(), of.second.clone());
            let (value, first, second) = update.at(of.rate).on_device(value, gradient, moments);
            (of.first, of.second) = (first, second);
            Some(value)
        });
        let mut put = Put(moved.collect::<Vec<_>>().into_iter());
        self.network = self.network.take().map(|network| network.map(&mut put));
        Ok(loss)
    }

    /// Reads the parameters, and the moments where they are saved.
    ///
    /// # Errors
    /// [`TrainError`] when the device fails.
    pub(crate) fn end_epoch(&self, at: &mut Progress) -> Result<(), TrainError> {
        at.flat = self.network().flat()?;
        if self.is_saved {
            let read = |of: fn(&Parameter) -> &Tensor<1>| -> Result<Vec<f32>, TrainError> {
                let all = self.parameters.iter().map(|p| Ok(nlpress_model::network::host(of(p).clone())?));
                Ok(all.collect::<Result<Vec<_>, TrainError>>()?.concat())
            };
            at.adam = self.adam.with_moments(read(|p| &p.first)?, read(|p| &p.second)?);
        }
        Ok(())
    }

    /// Loss and gradients of a batch, computed on a few rows at a time.
    fn gradients(&self, batch: &Batch<'_>) -> Result<(f64, Vec<Option<Tensor<1>>>), TrainError> {
        let (rows, size) = (batch.indices.len(), self.config.batch());
        let (mut loss, mut sums) = (0.0, Vec::new());
        for start in (0..rows).step_by(size) {
            let part = batch.part(start..rows.min(start + size));
            let network = self.network();
            let examples = (part.examples, part.indices);
            let (more, mut found) =
                network.parameter_gradients(examples, Some(part.dropout), part.first, &mut part.reduced())?;
            loss += more;
            let found = Found::of(network, &mut found);
            sums = if start == 0 { found } else { added(sums, found) };
        }
        Ok((loss, sums))
    }

    /// The gradient with those of the penalties on weights, and zero where a mask holds; none where nothing moves.
    fn with_penalties(&self, of: &Parameter, gradient: Tensor<1>, value: &Tensor<1>) -> Option<Tensor<1>> {
        let (l1, l2) = (self.config.l1(), self.config.l2());
        let mut gradient = gradient;
        if of.rate == 0.0 {
            return None;
        }
        if of.is_weight && l1 > 0.0 {
            gradient = gradient + value.clone().sign() * l1 as f32;
        }
        if of.is_weight && l2 > 0.0 {
            gradient = gradient + value.clone() * (2.0 * l2) as f32;
        }
        Some(if let Some(keep) = &of.keep { gradient * keep.clone() } else { gradient })
    }

    /// Scales all gradients down to the norm that they may have together, which stays on the device.
    fn clip(&self, gradients: &mut [Option<Tensor<1>>]) {
        let Some(bound) = self.config.clip_norm() else { return };
        let squares = gradients.iter().flatten().map(|g| (g.clone() * g.clone()).sum());
        let Some(squares) = squares.reduce(|a, b| a + b) else { return };
        // A norm of zero gives an infinite quotient, of which 1 is left.
        let scale = (squares.sqrt().recip() * bound as f32).clamp_max(1.0);
        for gradient in gradients.iter_mut().flatten() {
            *gradient = gradient.clone() * scale.clone();
        }
    }
}

fn on(numbers: Vec<f32>, device: &Device) -> Tensor<1> {
    let count = numbers.len();
    Tensor::from_data(TensorData::new(numbers, [count]), device)
}

fn added(a: Vec<Option<Tensor<1>>>, b: Vec<Option<Tensor<1>>>) -> Vec<Option<Tensor<1>>> {
    a.into_iter().zip(b).map(|pair| pair.0.zip(pair.1).map(|(a, b)| a + b)).collect()
}

/// Numbers of each parameter.
struct Lengths(Vec<usize>);

impl Lengths {
    fn of(network: &Network) -> Vec<usize> {
        let mut lengths = Self(Vec::new());
        network.visit(&mut lengths);
        lengths.0
    }
}

impl ModuleVisitor for Lengths {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(param.val().dims().iter().product());
    }
}

/// The parameters without a graph.
struct Values(Vec<Tensor<1>>);

impl Values {
    fn of(network: &Network) -> Vec<Tensor<1>> {
        let mut values = Self(Vec::new());
        network.visit(&mut values);
        values.0
    }
}

impl ModuleVisitor for Values {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(param.val().without_autodiff().flatten(0, D - 1));
    }
}

/// The gradients of the parameters.
struct Found<'g>(&'g mut GradientsParams, Vec<Option<Tensor<1>>>);

impl<'g> Found<'g> {
    fn of(network: &Network, gradients: &'g mut GradientsParams) -> Vec<Option<Tensor<1>>> {
        let mut found = Self(gradients, Vec::new());
        network.visit(&mut found);
        found.1
    }
}

impl ModuleVisitor for Found<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.1.push(self.0.remove::<D>(param.id).map(|gradient| gradient.flatten(0, D - 1)));
    }
}

/// Replaces parameters by what is there for them.
struct Put(std::vec::IntoIter<Option<Tensor<1>>>);

impl ModuleMapper for Put {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.0.next().flatten() {
            None => param,
            Some(new) => param.map(|old| new.reshape(old.dims()).autodiff().require_grad()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{backends, bags};
    use crate::fit::fit_by;
    use crate::history::History;
    use crate::objective::Labels;
    use crate::steps::Way;
    use nlpress_core::Backend;
    use nlpress_core::event::{Event, Flow, Quiet, Sink};
    use nlpress_model::network::bytes_read;
    use nlpress_model::{
        AttentionSpec, BlockSpec, Dataset, Dropout, EncoderSpec, Graph, MlpSpec, Ranks, Weight,
    };
    use nlpress_text::TokenRows;

    const INPUTS: usize = 40;

    fn rows(count: usize) -> Dataset {
        bags(count, INPUTS, 8, 2)
    }

    fn texts(count: usize) -> Dataset {
        let mut rng = Seed(3).stream(0);
        let (mut offsets, mut ids) = (vec![0], Vec::new());
        for row in 0..count {
            ids.extend((0..1 + row % 6).map(|_| rng.below(INPUTS) as u32));
            offsets.push(ids.len());
        }
        let labels = (0..count).map(|row| (row % 2) as u32).collect();
        Dataset::new(TokenRows::new(INPUTS, offsets, ids, Vec::new()).unwrap(), labels, 2).unwrap()
    }

    fn attention(width: usize) -> Graph {
        Graph::from(AttentionSpec {
            inputs: INPUTS,
            width,
            head_width: width / 2,
            layers: vec![BlockSpec { heads: 2, neurons: 2 * width }],
            outputs: 1,
            dropout: 0.2,
            tokens: 6,
            ranks: Ranks::new(),
        })
    }

    fn encoder() -> Graph {
        Graph::from(EncoderSpec {
            vocabulary: INPUTS,
            tokens: 6,
            positions: 6,
            types: 2,
            intermediate: 12,
            dropout: 0.1,
            ..EncoderSpec::new(8, 1, 2)
        })
    }

    fn masked(model: Model) -> Model {
        let (graph, mut layers) = model.into_parts();
        for layer in layers.iter_mut() {
            let keep: Vec<bool> = (0..layer.shape.weights()).map(|i| i % 3 != 1).collect();
            let kept =
                layer.weight.values().iter().zip(&keep).map(|(v, k)| if *k { *v } else { 0.0 }).collect();
            layer.weight = Weight::Masked { values: kept, keep };
        }
        Model::new(graph, layers).unwrap()
    }

    fn train(model: &Model, text: &str, data: &Dataset, backend: &Backend, way: Way) -> (Model, History) {
        let config: FitConfig = toml::from_str(text).unwrap();
        let mut how = Fit { valid: Some(data), ..Fit::new(&config, backend, data, Seed(6), &Quiet) };
        how.with.words = Some((WordDropout::try_from(0.2).unwrap(), Seed(8)));
        fit_by(model.clone(), how, way).unwrap()
    }

    #[test]
    fn the_numbers_are_those_of_steps_on_the_host_up_to_rounding() {
        let mlp = Graph::from(MlpSpec::new(INPUTS, &[8], 1, 0.3));
        for backend in backends() {
            for (graph, data, text) in [
                (&mlp, rows(50), "epochs = 2\nbatch = 8"),
                (
                    &mlp,
                    rows(50),
                    "epochs = 2\nbatch = 4\naccumulate = 2\nl1 = 0.01\nl2 = 0.02\nclip_norm = 0.1",
                ),
                (&attention(6), rows(50), "epochs = 2\nbatch = 8\nweight_decay = 2.0\nschedule = 'linear'"),
                (
                    &encoder(),
                    texts(50),
                    "epochs = 2\nbatch = 8\nclip_norm = 0.5\ngroups = [{ on = ['encoder.**'], \
                  rate = 0.5, weight_decay = 1.0 }, { on = ['embeddings.word_embeddings'], frozen = true }]",
                ),
            ] {
                for model in
                    [Model::init(graph, Seed(1)).unwrap()].into_iter().flat_map(|m| [m.clone(), masked(m)])
                {
                    let run = |way| train(&model, text, &data, &backend, way);
                    let ((whole, said), (device, also)) = (run(Way::Whole), run(Way::OnDevice));
                    assert_eq!(whole.outline(), device.outline());
                    for (a, b) in said.epochs.iter().zip(&also.epochs) {
                        assert!((a.loss - b.loss).abs() < 1e-4, "{text}: {} {}", a.loss, b.loss);
                    }
                    let (a, b) = (whole.flat(), device.flat());
                    let off = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                    assert!(off < 2e-4, "{}, {text}: {off}", backend.kind());
                    let moved = model.flat().iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                    assert!(moved > 5e-3, "{text}: nothing is trained");
                }
            }
        }
    }

    /// Stops a training after an epoch.
    struct StopAfter(u32);

    impl Sink for StopAfter {
        fn push(&self, event: &Event) -> Flow {
            match event {
                Event::EpochFinished { epoch, .. } if *epoch == self.0 => Flow::Stop,
                _ => Flow::Continue,
            }
        }
    }

    #[test]
    fn a_training_goes_on_from_its_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let (data, model) = (rows(40), Model::init(&attention(6), Seed(1)).unwrap());
        for backend in backends() {
            let path = folder.path().join(backend.kind().name());
            let config = FitConfig::default().with_epochs(4).unwrap();
            let run = |sink: &dyn Sink, checkpoint: bool| {
                let how = Fit::new(&config, &backend, &data, Seed(6), sink);
                let checkpoint = checkpoint.then_some(path.as_path());
                fit_by(model.clone(), Fit { checkpoint, resume: true, ..how }, Way::OnDevice)
            };
            assert!(matches!(run(&StopAfter(2), true), Err(TrainError::Stopped(_))));
            let (resumed, whole) = (run(&Quiet, true).unwrap().0, run(&Quiet, false).unwrap().0);
            assert_eq!(resumed.flat(), whole.flat());
        }
    }

    /// What a step reads from a device whose memory is another's, by the bytes of the parameters there.
    #[test]
    fn a_step_reads_no_parameter_and_no_gradient() {
        let data = rows(64);
        let config: FitConfig = toml::from_str("clip_norm = 1.0\nweight_decay = 0.1").unwrap();
        let graph = attention(64);
        for backend in backends().into_iter().filter(|backend| !backend.kind().is_cpu()) {
            let model = Model::init(&graph, Seed(1)).unwrap();
            let fit = Fit::new(&config, &backend, &data, Seed(6), &Quiet);
            let flat = model.flat();
            let mut at = Progress {
                identity: Default::default(),
                epoch: 0,
                step: 0,
                adam: Adam::new(flat.len()),
                flat,
                best: None,
                stale: 0,
                epochs: Vec::new(),
            };
            let mut steps = OnDevice::new(&model, &fit, &mut at).unwrap();
            let (indices, objective) = ((0..32).collect::<Vec<_>>(), Labels::of(&data));
            let dropout = Dropout::new(&graph, Seed(6), 0);
            let before = bytes_read();
            for number in 0..3 {
                let batch = Batch::whole((data.examples(), &indices), &dropout, &objective);
                steps.step(&batch, Step { number, of: 3, rate: 1e-3 }).unwrap();
            }
            let read = (bytes_read() - before) / 3;
            let parameters = 4 * at.flat.len() as u64;
            assert!(read > 0 && 100 * read < parameters, "{read} bytes a step of {parameters}");
        }
    }
}
