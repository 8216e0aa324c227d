//! Which hidden layers `prune.layers` chooses, against merging each of them.

use nlpress_model::{Model, SiteId};
use nlpress_prune::KINDS;
use nlpress_testkit::reference;

use crate::chains::World;

/// A network after `prune.layers`, and what it says.
fn merge(world: &World, hidden: &[usize], with: &str) -> (Model, Vec<String>) {
    let kind = KINDS.iter().find(|k| k.name == "prune.layers").unwrap();
    let technique = (kind.parse)(&with.parse().unwrap()).unwrap();
    let on: Vec<SiteId> = hidden.iter().map(|i| SiteId::hidden(*i)).collect();
    let mut cx = world.cx();
    let made = technique.apply(world.bench.model().clone(), &on, &mut cx).unwrap().model;
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

/// Pre-activations of a site for every row, in plain loops.
fn pre_activations(world: &World, model: &Model, site: usize) -> Vec<Vec<f64>> {
    let rows = world.cx().train.features().unwrap();
    let of = |row: nlpress_text::Row<'_>| {
        let mut x = vec![0.0; rows.width()];
        row.columns.iter().zip(row.values).for_each(|(c, v)| x[*c as usize] = f64::from(*v));
        for layer in &model.layers()[..site] {
            x = reference::site(layer, &x).into_iter().map(|x| x.max(0.0)).collect();
        }
        reference::site(&model.layers()[site], &x)
    };
    rows.iter().map(of).collect()
}

/// The mean angle between rows, as a share of a half turn.
fn turned(was: &[Vec<f64>], is: &[Vec<f64>]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let angle = |(a, b): (&Vec<f64>, &Vec<f64>)| {
        (dot(a, b) / (dot(a, a).sqrt() * dot(b, b).sqrt())).clamp(-1.0, 1.0).acos() / std::f64::consts::PI
    };
    was.iter().zip(is).map(angle).sum::<f64>() / was.len() as f64
}

#[test]
fn the_layer_that_turns_what_follows_least_goes_and_both_go_when_asked() {
    let world = World::new();
    let each = [0, 1].map(|i| merge(&world, &[i], "").0);
    let turns = [0, 1].map(|i| {
        let was = pre_activations(&world, world.bench.model(), i + 1);
        turned(&was, &pre_activations(&world, &each[i], i))
    });
    assert!((turns[0] - turns[1]).abs() > 1e-3, "{turns:?}: either would do");
    let best = usize::from(turns[1] < turns[0]);
    let (chosen, notes) = merge(&world, &[0, 1], "count = 1");
    assert_eq!(chosen, each[best], "{turns:?}");
    let said = format!("of 2 candidates it turns what follows by {:.4}", turns[best]);
    assert!(
        notes[0].contains(&format!("hidden.{best} went")) && notes[0].contains(&said),
        "{notes:?} {said}"
    );
    let (both, notes) = merge(&world, &[0, 1], "count = 2\ncriterion = 'validation'");
    assert_eq!((both.layers().len(), notes.len()), (1, 2));
    assert!(world.loss(&both).is_finite());
}
