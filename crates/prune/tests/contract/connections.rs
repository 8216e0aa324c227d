//! Techniques that drop connections: what they promise beyond the contract, on a trained network.

use nlpress_core::Seed;
use nlpress_core::event::Quiet;
use nlpress_model::network::Input;
use nlpress_model::{Model, Network};
use nlpress_packed::{Grid, Index, Matrix, Scales};
use nlpress_train::{Fit, FitConfig, fit};

use crate::chains::{Step, World};

/// Inputs `[rows, inputs]` of a site, on all rows.
fn inputs(world: &World, model: &Model, site: usize) -> Vec<f32> {
    let data = world.bench.valid();
    let all: Vec<usize> = (0..data.len()).collect();
    let mut dense = Vec::new();
    if site == 0 {
        data.features().unwrap().densify(all, &mut dense);
        return dense;
    }
    let network = Network::bind(model, &world.backend);
    let before = network.forward(0..site, Input::Examples(data.examples(), &all), None, 0).unwrap();
    before.output().unwrap().into_iter().map(|x| x.max(0.0)).collect()
}

/// Squared distance of what a site computes in two models, on the inputs it has in the first.
fn distance(world: &World, was: &Model, is: &Model, site: usize) -> f64 {
    let rows = inputs(world, was, site);
    let (was, is) = (&was.layers()[site], &is.layers()[site]);
    let outputs = was.shape.outputs;
    let (a, b) = (was.weight.values(), is.weight.values());
    let mut sum = 0.0;
    for row in rows.chunks_exact(was.shape.inputs) {
        for o in 0..outputs {
            let weights = row.iter().enumerate().map(|(i, x)| {
                f64::from(*x) * (f64::from(a[i * outputs + o]) - f64::from(b[i * outputs + o]))
            });
            sum += (weights.sum::<f64>() + f64::from(was.bias[o]) - f64::from(is.bias[o])).powi(2);
        }
    }
    sum
}

#[test]
fn what_a_site_computes_is_kept_best_by_sparsegpt_then_wanda_then_magnitude() {
    let world = World::new();
    let model = world.bench.model();
    for (site, name) in ["hidden.0", "hidden.1", "output"].into_iter().enumerate() {
        let error = |technique: &'static str| {
            let made = world.run(&[(technique, name, "sparsity = 0.5\nscope = 'output'")]).unwrap();
            distance(&world, model, &made, site)
        };
        let (surgeon, wanda, magnitude) =
            (error("prune.sparsegpt"), error("prune.wanda"), error("prune.magnitude"));
        assert!(surgeon < wanda && wanda <= magnitude, "{name}: {surgeon} {wanda} {magnitude}");
        assert!(surgeon < 0.8 * magnitude, "{name}: {surgeon} {magnitude}");
    }
}

const ALL: usize = 24 * 12 + 12 * 8 + 8;

#[test]
fn counts_are_exact_whatever_the_technique_and_the_scope() {
    let world = World::new();
    for (name, more) in [
        ("prune.magnitude", ""),
        ("prune.random", ""),
        ("prune.snip", "rows = 32"),
        ("prune.taylor", "rows = 32"),
        ("prune.wanda", ""),
        ("prune.sparsegpt", "block = 5"),
        ("prune.movement", "train = { epochs = 1 }"),
        ("prune.soft_movement", "train = { epochs = 1 }"),
        ("prune.lottery", "rounds = 2\ntrain = { epochs = 1 }"),
        ("prune.elastic", "l1 = 0.001\nl2 = 0.001\ntrain = { epochs = 1 }"),
    ] {
        for scope in ["global", "site", "output"] {
            for (target, kept) in [("sparsity = 0.77", ALL - ALL * 77 / 100), ("nonzeros = 123", 123)] {
                let with: &'static str = format!("{target}\nscope = '{scope}'\n{more}").leak();
                let made = world.run(&[(name, "**", with)]).unwrap();
                assert_eq!(made.outline().kept, kept, "{name} {with}");
                let live = made.layers().iter().map(|l| l.weight.keep().iter().filter(|k| **k).count());
                assert_eq!(live.sum::<usize>(), kept, "{name} {with}");
            }
        }
    }
}

#[test]
fn every_output_keeps_the_same_share() {
    let world = World::new();
    for name in ["prune.magnitude", "prune.wanda", "prune.sparsegpt"] {
        let made = world.run(&[(name, "**", "sparsity = 0.75\nscope = 'output'")]).unwrap();
        for layer in made.layers() {
            let outputs = layer.shape.outputs;
            let keep = layer.weight.keep();
            for o in 0..outputs {
                let kept = keep.iter().skip(o).step_by(outputs).filter(|k| **k).count();
                let share = kept as f64 - layer.shape.inputs as f64 / 4.0;
                assert!(share.abs() <= 1.0, "{name} {} {o}: {kept}", layer.id);
            }
        }
    }
}

#[test]
fn a_budget_of_bytes_is_kept_by_what_is_packed() {
    let world = World::new();
    for scope in ["global", "site", "output"] {
        for budget in [400, 700, 1200] {
            let with: &'static str = format!("bytes = {budget}\nscope = '{scope}'").leak();
            let made = world.run(&[("prune.magnitude", "**", with)]).unwrap();
            let bytes: usize = made
                .layers()
                .iter()
                .map(|l| {
                    let (values, keep) = (l.weight.values(), l.weight.keep());
                    let packed = Matrix::smallest(l.shape.inputs, l.shape.outputs, &values, &keep).unwrap();
                    packed.bytes() + 4 * l.bias.len()
                })
                .sum();
            assert!(bytes <= budget, "{with}: {bytes}");
            assert!(bytes + 60 >= budget, "{with}: {bytes} leaves much unused");
        }
    }
    let why = world.run(&[("prune.magnitude", "**", "bytes = 90")]).unwrap_err();
    assert!(why.contains("bytes is 90, but with one entry"), "{why}");
    let why = world.run(&[("prune.magnitude", "**", "bytes = 90000")]).unwrap_err();
    assert!(why.contains("bytes 90000 leaves 392 of 392 entries"), "{why}");
}

#[test]
fn a_heavier_penalty_leaves_fewer_weights_and_a_higher_loss() {
    let world = World::new();
    for (name, lambdas, small) in [
        ("prune.l1", ["1e-4", "3e-3", "1e-2", "3e-2"], 2e-2),
        ("prune.l2", ["1e-4", "3e-3", "1e-2", "1e-1"], 5e-2),
    ] {
        let mut last = (usize::MAX, 0.0);
        for lambda in lambdas {
            let with: &'static str =
                format!("lambda = {lambda}\nsparsity = 0.01\ntrain = {{ epochs = 20, dropout = 0 }}").leak();
            let made = world.run(&[(name, "**", with)]).unwrap();
            let large = |l: &std::sync::Arc<nlpress_model::Layer>| {
                l.weight.values().iter().filter(|x| x.abs() > small).count()
            };
            let now = (made.layers().iter().map(large).sum::<usize>(), world.loss(&made));
            assert!(now.0 < last.0 && now.1 > last.1, "{name} {lambda}: {last:?} then {now:?}");
            last = now;
        }
    }
}

fn dropped(model: &Model) -> Vec<(usize, usize)> {
    let layers = model.layers().iter().enumerate();
    layers
        .flat_map(|(l, layer)| {
            let keep = layer.weight.keep().into_iter().enumerate();
            keep.filter(|(_, k)| !k).map(move |(i, _)| (l, i)).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn zeros_stay_exactly_zero_whatever_follows() {
    let world = World::new();
    for first in [
        ("prune.movement", "**", "sparsity = 0.6\ntrain = { epochs = 1 }"),
        ("prune.sparsegpt", "**", "sparsity = 0.6"),
        ("prune.pattern", "**", "n_m = '1:4'"),
        ("prune.magnitude", "**", "sparsity = 0.6\nscope = 'output'"),
    ] {
        let cut = world.run(&[first]).unwrap();
        let gone = dropped(&cut);
        let zero = |model: &Model, what: &str| {
            for &(l, i) in &gone {
                let x = model.layers()[l].weight.values()[i];
                assert!(x.to_bits() == 0, "{first:?}, {what}: {x} at {l} {i}");
            }
        };
        zero(&cut, "at once");
        let config = FitConfig::default().with_epochs(3).unwrap();
        let on = Fit::new(&config, &world.backend, world.bench.valid(), Seed(9), &Quiet);
        zero(&fit(cut.clone(), on).unwrap().0, "after training");
        for next in [
            ("prune.magnitude", "**", "sparsity = 0.9\nfinetune = { epochs = 1 }"),
            ("prune.taylor", "**", "sparsity = 0.9"),
            ("prune.wanda", "**", "sparsity = 0.9"),
            ("prune.sparsegpt", "**", "sparsity = 0.9\nscope = 'output'"),
            ("prune.movement", "**", "sparsity = 0.9\ntrain = { epochs = 1 }"),
            ("prune.soft_movement", "**", "sparsity = 0.9\nstart = 'magnitude'\ntrain = { epochs = 1 }"),
            ("prune.lottery", "**", "sparsity = 0.9\nrounds = 1\ntrain = { epochs = 1 }"),
        ] {
            zero(&world.step(cut.clone(), next).unwrap(), next.0);
        }
        for (l, layer) in cut.layers().iter().enumerate() {
            let (values, keep) = (layer.weight.values(), layer.weight.keep());
            let top = values.iter().fold(0.0_f32, |m, x| m.max(x.abs())) / 127.0;
            let levels: Vec<i32> = values.iter().map(|x| (x / top).round() as i32).collect();
            let (i, o) = (layer.shape.inputs, layer.shape.outputs);
            let scales = Scales::Tensor(top);
            let packed =
                Matrix::quantized((i, o), Grid::Int8, &levels, scales, Some(&keep), Index::Sparse).unwrap();
            assert_eq!(packed.keep(), keep);
            let back = packed.unpack();
            assert!(gone.iter().filter(|(at, _)| *at == l).all(|(_, i)| back[*i].to_bits() == 0));
        }
    }
}

#[test]
fn two_of_four_hold_through_training() {
    let world = World::new();
    let on_hidden = |with| world.run(&[("prune.pattern", "hidden.*", with)]).unwrap();
    for made in [
        on_hidden("n_m = '2:4'\nfinetune = { epochs = 2 }"),
        on_hidden("n_m = '2:4'\ncriterion = 'wanda'"),
        world.run(&[("prune.sparsegpt", "hidden.*", "n_m = '2:4'\nblock = 8")]).unwrap(),
    ] {
        for layer in &made.layers()[..2] {
            let (keep, outputs) = (layer.weight.keep(), layer.shape.outputs);
            for group in keep.chunks(4 * outputs) {
                for o in 0..outputs {
                    assert_eq!(group.iter().skip(o).step_by(outputs).filter(|k| **k).count(), 2);
                }
            }
        }
    }
}

#[test]
fn learnt_scores_beat_chance() {
    let world = World::new();
    let loss =
        |name: &'static str, with: &'static str| world.loss(&world.run(&[(name, "**", with)]).unwrap());
    let chance = loss("prune.random", "sparsity = 0.9\nfinetune = { epochs = 12 }");
    for step in [
        ("prune.movement", "sparsity = 0.9\ntrain = { epochs = 8 }\nfinetune = { epochs = 4 }"),
        ("prune.soft_movement", "sparsity = 0.9\ntrain = { epochs = 8 }\nfinetune = { epochs = 4 }"),
        ("prune.taylor", "sparsity = 0.9\nfinetune = { epochs = 12 }"),
        ("prune.lottery", "sparsity = 0.9\nrounds = 3\ntrain = { epochs = 12 }"),
    ] {
        let learnt = loss(step.0, step.1);
        assert!(learnt < chance, "{}: {learnt} {chance}", step.0);
    }
}

#[test]
fn second_derivatives_lose_less_than_magnitude_without_training() {
    let world = World::new();
    let step = |name| -> Step { (name, "**", "sparsity = 0.7") };
    let surgeon = world.loss(&world.run(&[step("prune.sparsegpt")]).unwrap());
    let magnitude = world.loss(&world.run(&[step("prune.magnitude")]).unwrap());
    assert!(surgeon < magnitude, "{surgeon} {magnitude}");
}
