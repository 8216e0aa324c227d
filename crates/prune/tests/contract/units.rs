//! What hidden units contribute, against removing them one by one.

use nlpress_model::Model;
use nlpress_prune::importance::least;
use nlpress_prune::neurons::measure;
use nlpress_prune::units;
use nlpress_technique::StepError;

use crate::chains::World;

fn remove_units(model: Model, site: usize, gone: &[usize], levels: &[f32]) -> Result<Model, StepError> {
    match model.graph().groups().get(site) {
        Some(group) => units::remove(model.clone(), group, gone, Some(levels)),
        None => Err(StepError::Failed("there is no such group".into())),
    }
}

#[test]
fn a_units_measured_contribution_is_what_its_removal_costs() {
    let world = World::new();
    let model = world.bench.model();
    for compensate in [true, false] {
        for (site, units) in [(0, 12), (1, 8)] {
            let found = measure(model, site, world.bench.valid(), compensate, &world.cx()).unwrap();
            assert_eq!(found.increases.len(), units);
            assert!((found.loss - world.loss(model)).abs() < 1e-6);
            for unit in 0..units {
                let without = remove_units(model.clone(), site, &[unit], &found.levels).unwrap();
                let cost = world.loss(&without) - world.loss(model);
                let measured = found.increases[unit];
                assert!((cost - measured).abs() < 1e-5, "site {site} unit {unit}: {cost} {measured}");
            }
        }
    }
}

#[test]
fn the_least_units_go_and_ties_by_number() {
    assert_eq!(least(&[0.3, -1.0, 0.3, 0.1, f64::NAN], 3), [0, 1, 3]);
    assert_eq!(least(&[0.3], 5), [0]);
}

#[test]
fn removing_the_least_costs_less_than_removing_the_most() {
    let world = World::new();
    let model = world.bench.model();
    let found = measure(model, 0, world.bench.valid(), true, &world.cx()).unwrap();
    let most: Vec<f64> = found.increases.iter().map(|x| -x).collect();
    let cost = |gone: &[usize]| world.loss(&remove_units(model.clone(), 0, gone, &found.levels).unwrap());
    assert!(cost(&least(&found.increases, 6)) < cost(&least(&most, 6)));
}

#[test]
fn impossible_removals_are_errors() {
    let world = World::new();
    let model = || world.bench.model().clone();
    let levels = [0.0; 12];
    assert!(remove_units(model(), 0, &[12], &levels).is_err());
    assert!(remove_units(model(), 0, &[3, 3], &levels).is_err());
    assert!(remove_units(model(), 0, &[0], &levels[..3]).is_err());
    assert!(remove_units(model(), 2, &[0], &levels).is_err());
    assert!(remove_units(model(), 0, &(0..12).collect::<Vec<_>>(), &levels).is_err());
    assert!(measure(&model(), 2, world.bench.valid(), true, &world.cx()).is_err());
}
