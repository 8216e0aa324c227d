//! Quantization of a burn module that nlpress knows nothing about.

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use nlpress_core::{BackendKind, Selectors};
use nlpress_quant::{Clip, Grid, Per, QuantError, Rounding, module};

#[derive(Module, Debug)]
struct Scorer {
    layers: Vec<Linear>,
    gain: Param<Tensor<1>>,
}

fn scorer(device: &Device) -> Scorer {
    Scorer {
        layers: vec![LinearConfig::new(20, 8).init(device), LinearConfig::new(8, 2).init(device)],
        gain: Param::from_tensor(Tensor::ones([8], device)),
    }
}

fn weight(scorer: &Scorer, layer: usize) -> Vec<f32> {
    scorer.layers[layer].weight.val().try_into_vec_as::<f32>().unwrap()
}

#[test]
fn selected_weights_land_on_the_grid_and_nothing_else_moves() {
    for backend in BackendKind::compiled().into_iter().filter_map(|b| b.open().ok()) {
        for device in [backend.device().clone(), backend.device().clone().autodiff()] {
            let before = scorer(&device);
            let on = Selectors::parse(&["layers.0.*"]).unwrap();
            let (after, report) =
                module::fake_quantize(before.clone(), &on, &Rounding::new(Grid::Int8)).unwrap();
            assert_eq!(
                (report.len(), report[0].path.as_str(), report[0].shape),
                (1, "layers.0.weight", [20, 8])
            );
            assert!(report[0].noise.decibels() > 35.0);
            assert_ne!(weight(&before, 0), weight(&after, 0));
            assert_eq!(weight(&before, 1), weight(&after, 1));
            let weight_of = |s: &Scorer| s.layers[0].weight.val();
            assert_eq!(weight_of(&before).is_require_grad(), weight_of(&after).is_require_grad());
            assert_eq!(before.layers[0].weight.id, after.layers[0].weight.id);
            let packed = module::pack(&after, &on, &Rounding::new(Grid::Int8)).unwrap();
            let close =
                packed[0].matrix.unpack().iter().zip(weight(&after, 0)).all(|(a, b)| (a - b).abs() < 1e-6);
            assert!(close);
            assert_eq!((packed[0].bytes_before, packed[0].matrix.bytes()), (4 * 160, 160 + 4 * 8));
        }
    }
}

#[test]
fn zeros_are_left_out_where_that_is_smaller() {
    let backend = BackendKind::compiled()[0].open().unwrap();
    let mut model = scorer(backend.device());
    model.layers[0].weight = model.layers[0].weight.clone().map(|w| {
        let mask = Tensor::<2>::from_data([[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]], &w.device());
        w * mask
    });
    let rounding = Rounding { per: Per::Tensor, clip: Clip::Mse, ..Rounding::new(Grid::Int8) };
    let packed = module::pack(&model, &Selectors::everything(), &rounding).unwrap();
    assert_eq!(packed[0].matrix.kept(), 20);
    // One column is whole blocks of 4 x 1: values, a scale, a count of one bit for each of five bands after the name of
    // their code, gaps that are all zero.
    assert_eq!(packed[0].matrix.bytes(), 20 + 4 + (1 + 1) + 1);
}

#[test]
fn selecting_nothing_is_an_error_that_names_what_there_is() {
    let backend = BackendKind::compiled()[0].open().unwrap();
    let on = Selectors::parse(&["gain"]).unwrap();
    let error = module::pack(&scorer(backend.device()), &on, &Rounding::new(Grid::Int8)).unwrap_err();
    assert!(matches!(error, QuantError::Module(_)));
    assert!(error.to_string().ends_with("there are: layers.0.weight, layers.1.weight"), "{error}");
}
