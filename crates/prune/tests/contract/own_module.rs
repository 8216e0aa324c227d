//! Pruning a burn module that is not nlpress's.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use nlpress_core::{BackendKind, Fraction, Selectors};
use nlpress_prune::{PruneError, Scope, module};

#[derive(Module, Debug)]
struct Two {
    up: Linear,
    down: Linear,
}

fn device() -> Device {
    BackendKind::compiled()[0].open().unwrap().device().clone()
}

fn two(device: &Device) -> Two {
    Two { up: LinearConfig::new(20, 10).init(device), down: LinearConfig::new(10, 5).init(device) }
}

fn zeros(weight: &Tensor<2>) -> usize {
    weight.to_data().try_into_vec::<f32>().unwrap().iter().filter(|x| **x == 0.0).count()
}

fn cut(model: Two, on: &str, share: f64, scope: Scope) -> Result<(Two, module::Report), PruneError> {
    module::prune_magnitude(
        model,
        &Selectors::parse(&[on]).unwrap(),
        Fraction::try_from(share).unwrap(),
        scope,
    )
}

#[test]
fn drops_exactly_so_many_of_the_matched_parameters() {
    let model = two(&device());
    let bias = model.up.bias.as_ref().unwrap().val().to_data();
    let (model, report) = cut(model, "*.weight", 0.9, Scope::Global).unwrap();
    assert_eq!((report.kept, report.dropped), (25, 225));
    assert_eq!(zeros(&model.up.weight.val()) + zeros(&model.down.weight.val()), 225);
    assert_eq!(model.up.bias.as_ref().unwrap().val().to_data(), bias);
    let (model, report) = cut(two(&device()), "*.weight", 0.5, Scope::Site).unwrap();
    assert_eq!((zeros(&model.up.weight.val()), zeros(&model.down.weight.val())), (100, 25));
    assert_eq!(report.sites[1].path, "down.weight");
    let (model, _) = cut(two(&device()), "down.*", 0.5, Scope::Global).unwrap();
    assert_eq!((zeros(&model.up.weight.val()), zeros(&model.down.weight.val())), (0, 25));
}

#[test]
fn a_selector_that_matches_nothing_names_what_there_is() {
    let error = cut(two(&device()), "left.weight", 0.5, Scope::Global).unwrap_err();
    assert!(error.to_string().contains("up.weight, down.weight"), "{error}");
}

#[test]
fn training_goes_on_with_the_mask_held() {
    let tracked = device().autodiff();
    let model = two(&tracked).train();
    let (mut model, report) = cut(model, "*.weight", 0.8, Scope::Global).unwrap();
    assert!(model.up.weight.val().is_require_grad());
    let loss = model.down.forward(model.up.forward(Tensor::<2>::ones([3, 20], &tracked))).sum();
    let gradients = loss.backward();
    let gradient = model.up.weight.val().grad(&gradients).unwrap();
    model.up.weight = model.up.weight.map(|w| Tensor::from_inner(w.inner() - gradient * 0.1).require_grad());
    assert!(zeros(&model.up.weight.val()) < 200 - report.sites[0].keep.iter().filter(|k| **k).count());
    let model = report.hold(model);
    let kept = report.sites[0].keep.iter().filter(|k| **k).count();
    assert_eq!(zeros(&model.up.weight.val()), 200 - kept);
    assert!(model.up.weight.val().is_require_grad());
}
