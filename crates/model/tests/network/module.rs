//! A network as a burn module: its paths, burn's optimizers and records, and devices.

use burn::module::{Module, ModuleVisitor, Param, ParamGroup};
use burn::optim::SgdConfig;
use burn::tensor::Tensor;
use nlpress_core::Seed;
use nlpress_core::backend::host::into_numbers;
use nlpress_model::graph::Pooling;
use nlpress_model::{EncoderSpec, Graph, Head, Model, Network, SiteId, Weight};
use nlpress_packed::{Matrix, Scheme};
use nlpress_testkit::backends;
use nlpress_text::TokenRows;

use super::{graph, loss, rows};

fn encoder() -> Graph {
    let head = Head::Classifier { pooling: Pooling::Mean, outputs: 3 };
    let spec = EncoderSpec {
        vocabulary: 20,
        tokens: 6,
        positions: 8,
        intermediate: 12,
        head,
        ..EncoderSpec::new(8, 1, 2)
    };
    Graph::from(spec)
}

fn texts() -> TokenRows {
    TokenRows::new(20, vec![0, 3, 4, 9], vec![1, 7, 3, 2, 5, 5, 19, 0, 4], Vec::new()).unwrap()
}

/// The path and the numbers of each parameter, in order.
#[derive(Default)]
struct Paths {
    at: Vec<String>,
    all: Vec<(String, Vec<f32>)>,
}

impl ModuleVisitor for Paths {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.at.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.at.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.all.push((self.at.join("."), into_numbers(param.val()).unwrap()));
    }
}

fn parameters(network: &Network) -> Vec<(String, Vec<f32>)> {
    let mut paths = Paths::default();
    network.visit(&mut paths);
    assert!(paths.at.is_empty());
    paths.all
}

#[test]
fn parameters_are_called_after_sites_and_vectors_and_hold_the_models_numbers() {
    for backend in backends() {
        for of in [graph(&[4, 3], 2, 0.1), encoder()] {
            let model = Model::init(&of, Seed(3)).unwrap();
            let network = Network::bind(&model, &backend);
            let mut expected: Vec<String> = Vec::new();
            for layer in model.layers() {
                expected.push(format!("{}.weight", layer.id.as_str()));
                expected.extend(layer.shape.bias.then(|| format!("{}.bias", layer.id.as_str())));
            }
            expected.extend(model.vectors().iter().map(|vector| vector.id.to_string()));
            let found = parameters(&network);
            assert_eq!(found.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>(), expected);
            let numbers: Vec<f32> = found.into_iter().flat_map(|(_, numbers)| numbers).collect();
            assert_eq!(numbers, model.flat());
            assert_eq!(network.num_params(), numbers.len());
            assert_eq!(network.flat().unwrap(), numbers);
        }
        let paths = parameters(&Network::bind(&Model::init(&encoder(), Seed(3)).unwrap(), &backend));
        assert!(paths.iter().any(|(path, _)| path == "encoder.layer.0.attention.self.query.weight"));
        assert!(paths.iter().any(|(path, _)| path == "encoder.layer.0.output.LayerNorm.bias"));
    }
}

/// Plain gradient descent by burn is plain gradient descent by hand, also of what computes outside burn's graph.
#[test]
fn a_step_of_a_burn_optimizer_moves_every_parameter_along_its_gradient() {
    const RATE: f32 = 0.125;
    for backend in backends() {
        let model = Model::init(&encoder(), Seed(4)).unwrap();
        let network = Network::bind(&model, &backend);
        let (texts, all) = (texts(), [0, 1, 2]);
        let gradient = network.gradients((&texts, &all), None, 0, &mut loss).unwrap();
        let (value, found) = network.parameter_gradients((&texts, &all), None, 0, &mut loss).unwrap();
        assert_eq!((value, found.len()), (gradient.loss, parameters(&network).len()));
        let mut optimizer = SgdConfig::new().init();
        let network = optimizer.step(f64::from(RATE), network, found);
        let moved = network.flat().unwrap();
        for ((before, after), slope) in model.flat().iter().zip(&moved).zip(&gradient.flat) {
            assert!((before - RATE * slope - after).abs() < 1e-6, "{before} {after} {slope}");
        }
        assert_ne!(moved, model.flat());
        // What burn moved is what the next pass computes with.
        let again = network.gradients((&texts, &all), None, 0, &mut loss).unwrap();
        let expected = Network::bind(&model.with_flat(&moved).unwrap(), &backend);
        assert_eq!(again.flat, expected.gradients((&texts, &all), None, 0, &mut loss).unwrap().flat);
    }
}

#[test]
fn a_frozen_group_has_no_gradient_wherever_it_is_computed() {
    for backend in backends() {
        let model = Model::init(&graph(&[4, 3], 2, 0.0), Seed(4)).unwrap();
        let frozen = ["hidden.0.weight".to_owned(), "hidden.1.bias".to_owned()];
        let group = ParamGroup::from_regex(r"^hidden\.0\.weight$|^hidden\.1\.bias$").unwrap();
        let network = Network::bind(&model, &backend).freeze_group(group);
        let indices = [0, 1, 2];
        let (_, found) = network.parameter_gradients((&rows(3, 0.5), &indices), None, 0, &mut loss).unwrap();
        assert_eq!(found.len(), parameters(&network).len() - frozen.len());
        let mut optimizer = SgdConfig::new().init();
        let moved = parameters(&optimizer.step(0.5, network, found));
        let before = parameters(&Network::bind(&model, &backend));
        for ((path, before), (_, after)) in before.iter().zip(&moved) {
            assert_eq!(before == after, frozen.contains(path), "{path}");
        }
    }
}

#[test]
fn a_record_goes_out_and_comes_back() {
    for backend in backends() {
        let [one, other] = [5, 6].map(|seed| Model::init(&encoder(), Seed(seed)).unwrap());
        let record = Network::bind(&one, &backend).into_record();
        let network = Network::bind(&other, &backend).load_record(record);
        assert_eq!(network.flat().unwrap(), one.flat());
        let expected = Network::bind(&one, &backend).logits(&texts()).unwrap();
        assert_eq!(network.logits(&texts()).unwrap(), expected);
        // It trains on.
        let found = network.parameter_gradients((&texts(), &[0, 1, 2]), None, 0, &mut loss).unwrap().1;
        assert_eq!(found.len(), parameters(&network).len());
    }
}

#[test]
fn a_network_without_a_graph_and_one_on_another_device_compute_the_same() {
    for backend in backends() {
        let model = Model::init(&encoder(), Seed(7)).unwrap();
        let network = Network::bind(&model, &backend);
        let logits = network.logits(&texts()).unwrap();
        assert_eq!(network.valid().logits(&texts()).unwrap(), logits);
        let trained = network.valid().train();
        let found = trained.parameter_gradients((&texts(), &[1]), None, 0, &mut loss).unwrap().1;
        assert_eq!(found.len(), parameters(&network).len());
        for other in backends() {
            let moved = network.clone().fork(&other.device().clone().autodiff());
            assert_eq!(moved.devices(), [other.device().clone()]);
            let found = moved.logits(&texts()).unwrap();
            assert!(found.iter().zip(&logits).all(|(a, b)| (a - b).abs() < 1e-4), "{found:?} {logits:?}");
        }
    }
}

#[test]
fn what_is_packed_is_no_parameter() {
    for backend in backends() {
        let model = Model::init(&graph(&[4], 2, 0.0), Seed(8)).unwrap();
        let values = model.layers()[1].weight.values().into_owned();
        let matrix = Matrix::dense(4, 2, values).unwrap();
        let packed = Weight::Packed { scheme: Scheme::F32, matrix };
        let model = model.with_weight(&SiteId::output(), packed).unwrap();
        let network = Network::bind(&model, &backend).unfreeze();
        let paths: Vec<String> = parameters(&network).into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["hidden.0.weight", "hidden.0.bias"]);
    }
}
