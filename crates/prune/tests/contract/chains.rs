//! Techniques one after another: what is made is what was planned, or the plan refuses.

use nlpress_core::event::Quiet;
use nlpress_core::{Backend, Seed, Selectors};
use nlpress_model::{Form, Model, Network, SiteId};
use nlpress_prune::KINDS;
use nlpress_technique::{Cx, Technique};
use nlpress_testkit::{Bench, cpu};
use nlpress_train::{Labels, mean_loss};

/// A step of a chain: a technique, its selectors, its table.
pub(crate) type Step = (&'static str, &'static str, &'static str);

pub(crate) struct World {
    pub(crate) backend: Backend,
    pub(crate) bench: Bench,
}

impl World {
    pub(crate) fn new() -> Self {
        let backend = cpu();
        Self { bench: Bench::new(&backend).unwrap(), backend }
    }

    pub(crate) fn cx(&self) -> Cx<'_> {
        // What a rule computes is looked at on the rows that it was given: the same for training and validation.
        let data = self.bench.valid();
        Cx::new(Seed(5), &self.backend, (data, data), &Quiet)
    }

    pub(crate) fn loss(&self, model: &Model) -> f64 {
        let data = self.bench.valid();
        let logits = Network::bind(model, &self.backend).logits_of(data).unwrap();
        mean_loss(&Labels::of(data), &logits, data.len())
    }

    /// Plans and makes a step, and checks that the plan was kept; an error is the plan's first problem.
    pub(crate) fn step(&self, model: Model, (name, on, with): Step) -> Result<Model, String> {
        let kind = KINDS.iter().find(|k| k.name == name).unwrap();
        let technique: Box<dyn Technique> = (kind.parse)(&with.parse().unwrap()).unwrap();
        let selectors = Selectors::parse(&[on]).unwrap();
        let on: Vec<SiteId> =
            model.layers().iter().map(|l| l.id.clone()).filter(|id| selectors.matches(id.as_str())).collect();
        let mut problems = Vec::new();
        let planned = technique.plan(&model.outline(), &on, &mut problems);
        if let Some(problem) = problems.first() {
            return Err(problem.to_string());
        }
        let mut cx = self.cx();
        let made = technique.apply(model, &on, &mut cx).map_err(|e| e.to_string())?.model;
        assert_eq!(made.outline(), planned, "{name}");
        assert!(self.loss(&made).is_finite());
        Ok(made)
    }

    pub(crate) fn run(&self, steps: &[Step]) -> Result<Model, String> {
        steps.iter().try_fold(self.bench.model().clone(), |model, step| self.step(model, *step))
    }
}

const HALF: Step = ("prune.magnitude", "**", "sparsity = 0.5");
const FACTORED: Step = ("prune.low_rank", "hidden.0", "rank = 4");

#[test]
fn chains_keep_their_plans() {
    let world = World::new();
    let all = 24 * 12 + 12 * 8 + 8;
    for (steps, kept) in [
        (&[HALF, ("prune.magnitude", "**", "sparsity = 0.9")][..], all - 352),
        (&[HALF, ("prune.magnitude", "**", "sparsity = 0.9\nscope = 'site'")], 29 + 10 + 1),
        (&[HALF, ("prune.random", "**", "sparsity = 0.75\nfinetune = { epochs = 1 }")], 98),
        (&[HALF, ("prune.l1", "**", "lambda = 0.001\nsparsity = 0.75\ntrain = { epochs = 1 }")], 98),
        (&[HALF, ("prune.sparse", "**", "index = 'csr'")], all / 2),
        (&[HALF, ("prune.magnitude", "**", "nonzeros = 50")], 50),
        (&[HALF, ("prune.wanda", "**", "sparsity = 0.9\nscope = 'global'")], all - 352),
        (&[HALF, ("prune.sparsegpt", "**", "sparsity = 0.75")], 98),
        (&[HALF, ("prune.movement", "**", "sparsity = 0.75\ntrain = { epochs = 1 }")], 98),
        (&[HALF, ("prune.lottery", "**", "sparsity = 0.75\nrounds = 2\ntrain = { epochs = 1 }")], 98),
        (&[("prune.sparse", "**", "bytes = 800")], 166),
        (
            &[
                ("prune.pattern", "hidden.*", "block = [4, 5]\nsparsity = 0.5"),
                ("prune.snip", "**", "nonzeros = 99"),
            ],
            99,
        ),
        (&[("prune.pattern", "hidden.*", "lines = 'columns'\nsparsity = 0.5")], 24 * 6 + 12 * 4 + 8),
        (
            &[("prune.pattern", "hidden.*", "lines = 'rows'\nsparsity = 0.5\nscope = 'global'")],
            12 * 12 + 6 * 8 + 8,
        ),
        (&[HALF, ("prune.sparse", "**", "sparsity = 0.75\nfinetune = { epochs = 1 }")], 98),
        (&[("prune.sparse", "output", "sparsity = 0.5")], all - 4),
        (&[HALF, ("prune.clip", "**", "sparsity = 0.9\nindex = 'bitmask'")], 29 + 10 + 1),
        // Half the units of both layers: the share of live entries stays at a half.
        (&[HALF, ("prune.neurons", "hidden.*", "remove = 0.5\npasses = 3")], (24 * 6 + 6 * 4 + 4) / 2),
        (
            &[
                ("prune.magnitude", "hidden.0", "sparsity = 0.5"),
                ("prune.neurons", "hidden.1", "remove = 0.5"),
            ],
            144 + 48 + 4,
        ),
        (&[("prune.neurons", "**", "remove = 1")], 24 + 1 + 1),
        (&[("prune.layers", "hidden.*", "")], 24),
        (
            &[("prune.layers", "hidden.0", ""), ("prune.neurons", "hidden.0", "remove = 0.5"), HALF],
            (24 * 4 + 4) / 2,
        ),
        (&[FACTORED, HALF], (144 + 96 + 8) / 2),
        (&[FACTORED, ("prune.neurons", "hidden.*", "remove = 0.5")], 24 * 4 + 4 * 6 + 6 * 4 + 4),
        (&[FACTORED, ("prune.low_rank", "hidden.1", "share = 0.5\nfinetune = { epochs = 1 }")], 144 + 80 + 8),
    ] {
        let made = world.run(steps).unwrap_or_else(|why| panic!("{steps:?}: {why}"));
        assert_eq!(made.outline().kept, kept, "{steps:?}");
    }
}

#[test]
fn plans_refuse_what_cannot_be_done() {
    let world = World::new();
    let packed = ("prune.sparse", "**", "sparsity = 0.5");
    for (steps, why) in [
        (&[packed, HALF][..], "it is packed f32 sparse: prune before packing"),
        (&[packed, ("prune.neurons", "hidden.0", "remove = 0.5")], "prune before packing"),
        (
            &[("prune.sparse", "hidden.1", "sparsity = 0.5"), ("prune.neurons", "hidden.0", "remove = 0.5")],
            "site hidden.1: it follows a selected site",
        ),
        (&[("prune.sparse", "**", "")], "site hidden.0: it is dense"),
        (&[HALF, ("prune.sparse", "**", "sparsity = 0.5")], "it must be larger"),
        (&[HALF, ("prune.layers", "hidden.0", "")], "site hidden.0: it is masked"),
        (&[HALF, ("prune.pattern", "hidden.0", "n_m = '2:4'")], "a pattern needs a dense site"),
        (&[HALF, ("prune.sparsegpt", "hidden.0", "n_m = '2:4'")], "a pattern needs a dense site"),
        (&[("prune.pattern", "hidden.*", "block = [24, 12]\nsparsity = 0.3")], "drops none"),
        (
            &[HALF, ("prune.wanda", "**", "nonzeros = 196")],
            "but only 196 are kept already: it must be smaller",
        ),
        (&[packed, ("prune.movement", "**", "sparsity = 0.9")], "prune before packing"),
        (&[HALF, ("prune.magnitude", "output", "sparsity = 0.9")], "select all sparse sites"),
        (&[HALF, ("prune.neurons", "hidden.1", "remove = 0.5")], "remove units before pruning"),
        (&[("prune.neurons", "output", "remove = 0.5")], "removes no unit"),
        (&[("prune.neurons", "hidden.*", "remove = 0.3\nround_to = 8")], "removes no unit"),
        (&[("prune.magnitude", "output", "sparsity = 0.1")], "it must be larger"),
        (&[FACTORED, FACTORED], "site hidden.0: it is a factor already"),
        (&[HALF, FACTORED], "site hidden.0: it is masked"),
        (&[packed, FACTORED], "prune before packing"),
        (&[("prune.low_rank", "hidden.0", "rank = 8")], "the rank must be at most 7"),
    ] {
        let problem = world.run(steps).unwrap_err();
        assert!(problem.contains(why), "{steps:?}: {problem}");
    }
}

#[test]
fn a_site_that_kept_too_little_is_named() {
    let world = World::new();
    // 10 of 96 are left at hidden.1, which the second cut is to leave 20 of; the plan knows totals only.
    let why = world
        .run(&[
            ("prune.magnitude", "hidden.1", "sparsity = 0.9"),
            ("prune.magnitude", "hidden.*", "sparsity = 0.8\nscope = 'site'"),
        ])
        .unwrap_err();
    assert!(why.contains("hidden.1: 10 of 96 entries are kept, fewer than the 20"), "{why}");
}

#[test]
fn packing_keeps_the_numbers_and_the_layout_asked_for() {
    let world = World::new();
    let masked = world.run(&[HALF]).unwrap();
    let packed = world.run(&[HALF, ("prune.sparse", "**", "index = 'bitmask'")]).unwrap();
    for (a, b) in masked.layers().iter().zip(packed.layers()) {
        assert_eq!(a.weight.values(), b.weight.values());
        assert_eq!(a.weight.keep(), b.weight.keep());
        assert_eq!(b.weight.form().to_string(), "packed f32 bitmask");
    }
    assert_eq!(world.loss(&masked), world.loss(&packed));
}

#[test]
fn a_cut_takes_the_smallest_and_training_holds_the_mask() {
    let world = World::new();
    let dense = world.bench.model();
    let cut = world.run(&[HALF]).unwrap();
    let numbers =
        |m: &Model| m.layers().iter().flat_map(|l| l.weight.values().into_owned()).collect::<Vec<f32>>();
    let (was, is) = (numbers(dense), numbers(&cut));
    let largest_gone =
        was.iter().zip(&is).filter(|(_, x)| **x == 0.0).map(|(x, _)| x.abs()).fold(0.0, f32::max);
    let least_left = is.iter().filter(|x| **x != 0.0).map(|x| x.abs()).fold(f32::INFINITY, f32::min);
    assert!(largest_gone <= least_left);
    let tuned = world.run(&[("prune.magnitude", "**", "sparsity = 0.5\nfinetune = { epochs = 2 }")]).unwrap();
    for (a, b) in cut.layers().iter().zip(tuned.layers()) {
        assert_eq!(a.weight.keep(), b.weight.keep());
        assert_eq!(b.weight.form(), Form::Masked);
    }
    assert!(world.loss(&tuned) < world.loss(&cut));
}

#[test]
fn magnitude_loses_less_than_chance_and_a_fit_less_than_a_product() {
    let world = World::new();
    let magnitude = world.loss(&world.run(&[HALF]).unwrap());
    let random = world.loss(&world.run(&[("prune.random", "**", "sparsity = 0.5")]).unwrap());
    assert!(magnitude < random, "{magnitude} {random}");

    let model = world.bench.model();
    let fitted = world.run(&[("prune.layers", "hidden.0", "")]).unwrap();
    let (a, b) = (&model.layers()[0], &model.layers()[1]);
    let linear =
        nlpress_prune::layers::product((&a.weight.values(), &a.bias), (&b.weight.values(), &b.bias)).unwrap();
    let (graph, mut layers) = fitted.clone().into_parts();
    layers[0].weight = nlpress_model::Weight::Dense(linear.weight);
    layers[0].bias = linear.bias;
    let product = Model::new(graph, layers).unwrap();
    assert!(world.loss(&fitted) < world.loss(&product), "{} {}", world.loss(&fitted), world.loss(&product));
}
