//! What the penalty on units does to what their removal costs.

use nlpress_prune::group_lasso::train;
use nlpress_prune::importance::{ImportanceCriterion as Criterion, least, score};
use nlpress_prune::units;
use nlpress_train::FitConfig;

use crate::chains::World;

/// What halving a layer after training under the penalty is like.
#[derive(Debug)]
struct Halved {
    /// The largest norm of the units that go, by the largest of those that stay.
    norms: f64,
    loss: f64,
    /// The rise of the loss.
    cost: f64,
}

fn halved(world: &World, lambda: f64) -> Halved {
    let model = world.bench.model().clone();
    let group = model.graph().groups().remove(0);
    let config: FitConfig = toml::from_str("epochs = 200\nlearning_rate = 0.01").unwrap();
    let model = train(model, std::slice::from_ref(&group), lambda, &config, &world.cx()).unwrap();
    let squares =
        score(&model, std::slice::from_ref(&group), Criterion::L2, &world.cx()).unwrap().remove(0).scores;
    let gone = least(&squares, group.units / 2);
    let largest = |goes: bool| {
        let units = (0..group.units).filter(|unit| gone.contains(unit) == goes);
        units.map(|unit| squares[unit].sqrt()).fold(0.0, f64::max)
    };
    let without = units::remove(model.clone(), &group, &gone, None).unwrap();
    let loss = world.loss(&model);
    Halved { norms: largest(true) / largest(false), loss, cost: world.loss(&without) - loss }
}

#[test]
fn units_that_the_penalty_emptied_cost_less() {
    let world = World::new();
    let (plain, drawn) = (halved(&world, 0.0), halved(&world, 0.002));
    // Guessing is 0.69.
    assert!(drawn.loss < 0.2, "{drawn:?}");
    assert!(drawn.norms < 0.1 * plain.norms, "{drawn:?} {plain:?}");
    assert!(drawn.cost < 0.1 * plain.cost, "{drawn:?} {plain:?}");
}
