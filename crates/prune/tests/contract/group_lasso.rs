//! What the penalty on units does to what their removal costs.

use nlpress_prune::group_lasso::train;
use nlpress_prune::units;
use nlpress_prune::worth::{Criterion, least, score};
use nlpress_train::FitConfig;

use crate::chains::World;

/// The largest norm of the half that goes by the largest of the half that stays, and the rise of the loss.
fn halved(world: &World, lambda: f64) -> (f64, f64) {
    let model = world.bench.model().clone();
    let group = model.spec().groups().remove(0);
    let config = FitConfig::default().with_epochs(200).unwrap();
    let model = train(model, std::slice::from_ref(&group), lambda, &config, &world.cx()).unwrap();
    let squares = score(&model, &group, Criterion::L2, &world.cx()).unwrap().scores;
    let gone = least(&squares, group.units / 2);
    let largest = |goes: bool| {
        let units = (0..group.units).filter(|unit| gone.contains(unit) == goes);
        units.map(|unit| squares[unit].sqrt()).fold(0.0, f64::max)
    };
    let without = units::remove(model.clone(), &group, &gone, None).unwrap();
    (largest(true) / largest(false), world.loss(&without) - world.loss(&model))
}

#[test]
fn units_that_the_penalty_emptied_cost_less() {
    let world = World::new();
    let (plain, cost) = halved(&world, 0.0);
    let (weak, less) = halved(&world, 0.01);
    assert!(weak < 0.2 * plain, "norms {weak} and {plain}");
    assert!(less < 0.2 * cost, "costs {less} and {cost}");
}
