//! Which hidden layers `prune.layers` chooses, against merging each of them.

use nlpress_model::{Model, SiteId};
use nlpress_prune::KINDS;

use crate::chains::World;

/// A network after `prune.layers`, and what it says.
fn merge(world: &World, hidden: &[usize], with: &str) -> (Model, Vec<String>) {
    let kind = KINDS.iter().find(|k| k.name == "prune.layers").unwrap();
    let technique = (kind.parse)(&with.parse().unwrap()).unwrap();
    let on: Vec<SiteId> = hidden.iter().map(|i| SiteId::hidden(*i)).collect();
    let mut cx = world.cx();
    let made = technique.apply(world.bench.model().clone(), &on, &mut cx).unwrap();
    (made, cx.notes)
}

#[test]
fn the_layer_of_the_smallest_validation_loss_goes() {
    let world = World::new();
    let each: Vec<Model> = [0, 1].map(|i| merge(&world, &[i], "").0).into();
    let losses: Vec<f64> = each.iter().map(|m| world.loss(m)).collect();
    let best = usize::from(losses[1] < losses[0]);
    assert_ne!(losses[0], losses[1]);
    let (chosen, notes) = merge(&world, &[0, 1], "count = 1\ncriterion = 'validation'");
    assert_eq!(chosen, each[best]);
    assert!(notes[0].contains(&format!("hidden.{best} went")), "{notes:?}");
}

#[test]
fn either_choice_is_one_of_the_two_and_both_go_when_asked() {
    let world = World::new();
    let each = [0, 1].map(|i| merge(&world, &[i], "").0);
    let (chosen, notes) = merge(&world, &[0, 1], "count = 1");
    assert!(each.contains(&chosen));
    assert!(notes[0].contains("of 2 candidates it turns what follows by"), "{notes:?}");
    let (both, notes) = merge(&world, &[0, 1], "count = 2\ncriterion = 'validation'");
    assert_eq!((both.layers().len(), notes.len()), (1, 2));
    assert!(world.loss(&both).is_finite());
}
