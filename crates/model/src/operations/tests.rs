//! Both ways of each operation give the same values and the same derivatives.

use burn::tensor::{Device, Tensor, TensorData};
use nlpress_core::{Backend, BackendKind, Seed};
use nlpress_graph::Activation;
use nlpress_kernels::dense::Heads;

use super::{Way, affine, attend, layer_norm, norm, pool, project};

/// The CPU backends of this build.
fn backends() -> Vec<Backend> {
    let kinds = BackendKind::compiled().into_iter().filter(|kind| kind.is_cpu());
    kinds.map(|kind| kind.open().unwrap()).collect()
}

fn tensor(shape: [usize; 2], seed: u64, device: &Device) -> Tensor<2> {
    let mut rng = Seed(seed).stream(0);
    let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| 2.0 * rng.uniform() - 1.0).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn numbers(x: Tensor<2>) -> Vec<f32> {
    x.into_data().try_into_vec().unwrap()
}

/// The value of an operation on inputs of these shapes, without and with a graph, and its derivative by each input.
fn run(
    of: &dyn Fn(Vec<Tensor<2>>) -> Tensor<2>,
    shapes: &[[usize; 2]],
    frozen: Option<usize>,
    device: &Device,
) -> Vec<Vec<f32>> {
    let inputs = |device: &Device| -> Vec<Tensor<2>> {
        (0..).zip(shapes).map(|(seed, shape)| tensor(*shape, seed, device)).collect()
    };
    let mut all = vec![numbers(of(inputs(device)))];
    let mut leaves = inputs(&device.clone().autodiff());
    for (n, leaf) in leaves.iter_mut().enumerate().filter(|(n, _)| Some(*n) != frozen) {
        let _ = n;
        *leaf = leaf.clone().require_grad();
    }
    let value = of(leaves.clone());
    all.push(numbers(value.clone().inner()));
    let towards = tensor(value.dims(), 99, &device.clone().autodiff());
    // Used twice, so that derivatives that arrive from two sides are added.
    let mut gradients = (value.clone() * towards + value * 0.5).sum().backward();
    for (n, leaf) in leaves.into_iter().enumerate() {
        match leaf.grad_remove(&mut gradients) {
            Some(gradient) => all.push(numbers(gradient)),
            None => assert_eq!(Some(n), frozen, "no derivative by input {n}"),
        }
    }
    all
}

fn compare(of: impl Fn(Way, Vec<Tensor<2>>) -> Tensor<2>, shapes: &[[usize; 2]]) {
    for backend in backends() {
        for frozen in std::iter::once(None)
            .chain((0..shapes.len()).map(Some))
            .filter(|f| *f != Some(0) || shapes.len() > 1)
        {
            let of = |way: Way| run(&|inputs| of(way, inputs), shapes, frozen, backend.device());
            let (burn, host) = (of(Way::Burn), of(Way::Host(backend.kind())));
            assert_eq!(burn.len(), host.len());
            for (n, (burn, host)) in burn.iter().zip(&host).enumerate() {
                assert_eq!(burn.len(), host.len());
                let largest = burn.iter().fold(1.0_f32, |top, x| top.max(x.abs()));
                for (i, (a, b)) in burn.iter().zip(host).enumerate() {
                    let (kind, off) = (backend.kind(), (a - b).abs());
                    assert!(off <= 1e-5 * largest, "{kind}, {shapes:?}, {frozen:?}: {n} at {i}: {a} {b}");
                }
            }
        }
    }
}

#[test]
fn products_with_biases_and_activations() {
    for activation in [None, Some(Activation::Relu), Some(Activation::Gelu), Some(Activation::Tanh)] {
        for [rows, inputs, outputs] in [[1, 3, 2], [37, 40, 24], [1030, 16, 33]] {
            let with = |way, x: Vec<Tensor<2>>| {
                let [x, weight, bias] = x.try_into().unwrap();
                affine(way, x, (weight, Some(bias)), activation)
            };
            compare(with, &[[rows, inputs], [inputs, outputs], [1, outputs]]);
        }
        let without = |way, x: Vec<Tensor<2>>| {
            let [x, weight] = x.try_into().unwrap();
            affine(way, x, (weight, None), activation)
        };
        compare(without, &[[9, 5], [5, 17]]);
    }
}

#[test]
fn three_products_of_one_value() {
    let of = |way, x: Vec<Tensor<2>>| {
        let [x, q, a, k, b, v, c] = x.try_into().unwrap();
        project(way, x, [(q, a), (k, b), (v, c)])
    };
    let (weight, bias) = ([12, 8], [1, 8]);
    compare(of, &[[21, 12], weight, bias, weight, bias, weight, bias]);
}

#[test]
fn normalisations() {
    for shape in [[1, 4], [33, 20], [5, 128]] {
        let gain = [1, shape[1]];
        compare(|way, mut x| norm(way, x.remove(0), 1e-5), &[shape]);
        let gained = |way, x: Vec<Tensor<2>>| {
            let [x, gain, bias] = x.try_into().unwrap();
            layer_norm(way, x, [gain, bias], 1e-12)
        };
        compare(gained, &[shape, gain, gain]);
    }
}

#[test]
fn pooled_examples() {
    let of =
        |way, mut x: Vec<Tensor<2>>| pool(way, x.remove(0), &[0, 3, 3, 5], vec![0.5, 1.0, -2.0, 1.0, 0.25]);
    compare(of, &[[5, 12]]);
    compare(of, &[[6, 3]]);
}

#[test]
fn attention_among_the_tokens_of_each_example() {
    let (heads, offsets) = (Heads { heads: 2, width: 8 }, [0, 7, 7, 8, 40]);
    let of = |way, mut x: Vec<Tensor<2>>| match way {
        Way::Host(kind) => attend(kind, x.remove(0), heads, &offsets),
        Way::Burn => {
            let qkv = x.remove(0);
            let examples = offsets.windows(2).filter(|w| w[1] > w[0]).map(|w| {
                let tokens = w[1] - w[0];
                let [q, k, v] = std::array::from_fn(|nth| {
                    let own = qkv.clone().slice([w[0]..w[1], nth * 16..(nth + 1) * 16]);
                    own.reshape([tokens, 2, 8]).swap_dims(0, 1)
                });
                let scores = q.matmul(k.swap_dims(1, 2)) / 8.0_f32.sqrt();
                let mixed: Tensor<3> = burn::tensor::activation::softmax(scores, 2).matmul(v);
                mixed.swap_dims(0, 1).reshape([tokens, 16])
            });
            Tensor::cat(examples.collect(), 0)
        }
    };
    compare(of, &[[40, 48]]);
}
