//! Every technique of this crate against the contract, on every backend that opens; and what they are for.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, but not in the functions they share

use nlpress_core::Seed;
use nlpress_core::event::Quiet;
use nlpress_distill::{KINDS, layers, outputs, student, validation};
use nlpress_model::dataset::accuracy;
use nlpress_model::{Dataset, Model, Network, SiteId, Weight};
use nlpress_packed::{Index, Matrix, Scheme, Values};
use nlpress_technique::{Cx, Kind, StepError, Teacher};
use nlpress_testkit::contract::check_all;
use nlpress_testkit::{Bench, backends, clear_rows, cpu};
use nlpress_train::{Fit, FitConfig, fit};

/// Those that learn from outputs alone, and make a student of any kind.
const OF_OUTPUTS: &[Kind] = &[student::KIND, validation::KIND, outputs::KIND];

#[test]
fn every_kind_keeps_the_contract() {
    // Bags have no tokens to encode one by one.
    let refused = ["mlp", "attention", "encoder"].map(|bench| ("distill.static", bench));
    for backend in backends() {
        check_all(KINDS, &refused, &backend).unwrap_or_else(|broken| panic!("{broken}"));
    }
}

/// What a step says beside the model it makes.
struct Said {
    measured: Vec<(String, f64)>,
    notes: Vec<String>,
}

impl Said {
    fn value(&self, name: &str) -> f64 {
        self.measured
            .iter()
            .find(|(n, _)| n == name)
            .unwrap_or_else(|| panic!("{name}: {:?}", self.measured))
            .1
    }
}

fn apply(
    kind: &Kind,
    with: &str,
    model: Model,
    teacher: Option<&Model>,
    (train, valid): (&Dataset, &Dataset),
) -> Result<(Model, Said), StepError> {
    let teacher = teacher.map(|model| Teacher { model, train, valid });
    taught(kind, with, model, teacher, (train, valid))
}

/// [`apply`] with a teacher that reads rows of its own.
fn taught(
    kind: &Kind,
    with: &str,
    model: Model,
    teacher: Option<Teacher<'_>>,
    (train, valid): (&Dataset, &Dataset),
) -> Result<(Model, Said), StepError> {
    let backend = cpu();
    let technique = (kind.parse)(&with.parse().unwrap()).unwrap();
    let on: Vec<SiteId> = model.layers().iter().map(|l| l.id.clone()).collect();
    let mut problems = Vec::new();
    let planned = technique.plan(&model.outline(), &on, &mut problems);
    if let Some(problem) = problems.first() {
        return Err(StepError::Failed(problem.to_string()));
    }
    let mut cx = Cx { teacher, ..Cx::new(Seed(4), &backend, (train, valid), &Quiet) };
    let model = technique.apply(model, &on, &mut cx)?.model;
    assert_eq!(model.outline(), planned);
    let measured = cx.measured.into_iter().map(|m| (m.name, m.value)).collect();
    Ok((model, Said { measured, notes: cx.notes }))
}

/// Rows to learn from, others to be judged on, and a teacher that knows the first well.
struct World {
    bench: Bench,
    train: Dataset,
    valid: Dataset,
    teacher: Model,
}

impl World {
    fn new() -> Self {
        let bench = Bench::new(&cpu()).unwrap();
        let (train, valid) = (clear_rows(200, 21).unwrap(), clear_rows(400, 22).unwrap());
        let config: FitConfig = toml::from_str("epochs = 20\nlearning_rate = 0.01").unwrap();
        let fresh = bench.model().clone();
        let teacher = fit(fresh, Fit::new(&config, &cpu(), &train, Seed(9), &Quiet)).unwrap().0;
        Self { bench, train, valid, teacher }
    }

    fn model(&self) -> Model {
        self.bench.model().clone()
    }

    fn data(&self) -> (&Dataset, &Dataset) {
        (&self.train, &self.valid)
    }
}

fn relabelled(data: &Dataset, label: impl Fn(usize, u32) -> u32) -> Dataset {
    let labels = data.labels().iter().enumerate().map(|(i, l)| label(i, *l)).collect();
    data.relabelled(labels, data.classes()).unwrap()
}

fn score(model: &Model, data: &Dataset) -> f64 {
    accuracy(&Network::bind(model, &cpu()).logits_of(data).unwrap(), data.outputs().unwrap(), data.labels())
}

const FIT: &str = "fit = { epochs = 20, learning_rate = 0.02 }";

#[test]
fn a_student_learns_what_its_teacher_knows() {
    let world = World::new();
    let known = score(&world.teacher, &world.valid);
    assert!(known > 0.85, "{known}");
    for kind in [&student::KIND, &outputs::KIND] {
        let with = format!("hidden = [6]\n{FIT}");
        let (student, said) = apply(kind, &with, world.model(), Some(&world.teacher), world.data()).unwrap();
        // On rows that neither has seen; a student that had not looked at its teacher would agree on fewer.
        assert!(said.value("agreement_after") > 0.9, "{}: {:?}", kind.name, said.measured);
        assert!(said.value("agreement_after") > said.value("agreement_before") + 0.1);
        assert!(score(&student, &world.valid) > known - 0.05);
        assert!(student.outline().parameters() < world.teacher.outline().parameters());
    }
}

#[test]
fn imitating_outputs_looks_at_no_label() {
    let world = World::new();
    let flipped = relabelled(&world.train, |_, label| 1 - label);
    for loss in ["kl", "mse"] {
        let with = format!("hidden = [6]\nloss = '{loss}'\n{FIT}");
        let learn = |train| {
            let data = (train, &world.valid);
            apply(&outputs::KIND, &with, world.model(), Some(&world.teacher), data).unwrap().0
        };
        let taught = learn(&world.train);
        assert_eq!(taught, learn(&flipped), "{loss}");
        assert!(score(&taught, &world.valid) > 0.8, "{loss}: {}", score(&taught, &world.valid));
    }
}

#[test]
fn labels_count_beside_the_teacher() {
    let world = World::new();
    let flipped = relabelled(&world.train, |_, label| 1 - label);
    let learn = |train, alpha| {
        let with = format!("hidden = [6]\nalpha = {alpha}\n{FIT}");
        apply(&student::KIND, &with, world.model(), Some(&world.teacher), (train, &world.valid)).unwrap().0
    };
    assert!(score(&learn(&flipped, 0.02), &world.valid) < 0.25);
    assert!(score(&learn(&flipped, 0.98), &world.valid) > 0.8);
}

#[test]
fn a_teacher_reads_its_own_rows() {
    let world = World::new();
    // The student sees twelve of the teacher's features.
    let kept: Vec<u32> = (0..12).collect();
    let narrow = |whole: &Dataset| {
        let rows = whole.features().unwrap().keep_columns(&kept, false).unwrap();
        Dataset::new(rows, whole.labels().to_vec(), whole.classes()).unwrap()
    };
    let (train, valid) = (narrow(&world.train), narrow(&world.valid));
    let graph = world.bench.model().graph().clone().with_inputs(12);
    let student = Model::init(&graph, Seed(2)).unwrap();
    let its = Teacher { model: &world.teacher, train: &world.train, valid: &world.valid };
    for kind in OF_OUTPUTS {
        let with = format!("from = 'model'\n{FIT}");
        let (made, said) = taught(kind, &with, student.clone(), Some(its), (&train, &valid)).unwrap();
        assert_eq!(made.graph().inputs(), 12, "{}", kind.name);
        let known = score(&world.teacher, &world.valid);
        assert!((said.value("teacher_valid_accuracy") - known).abs() < 1e-12);
        assert!(said.value("agreement_after") > 0.85, "{}: {:?}", kind.name, said.measured);
        let few = world.train.select(&[0, 1, 2]).unwrap();
        let other = Teacher { train: &few, ..its };
        let error = taught(kind, &with, student.clone(), Some(other), (&train, &valid));
        let error = error.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("the teacher has 3 training rows, the student 200"), "{error}");
    }
}

#[test]
fn a_masked_model_is_taught_with_its_mask() {
    let World { bench, teacher, train, valid } = World::new();
    let layer = &bench.model().layers()[0];
    let keep: Vec<bool> = (0..layer.shape.weights()).map(|i| i % 3 != 0).collect();
    let values = layer.weight.values().iter().zip(&keep).map(|(v, k)| if *k { *v } else { 0.0 }).collect();
    let masked =
        bench.model().clone().with_weight(&layer.id, Weight::Masked { values, keep: keep.clone() }).unwrap();
    for kind in OF_OUTPUTS {
        let with = "from = 'model'\nfit = { epochs = 2 }";
        let data = (&train, &valid);
        let (taught, _) = apply(kind, with, masked.clone(), Some(&teacher), data).unwrap();
        assert_eq!(taught.layers()[0].weight.keep(), keep, "{}", kind.name);
        assert_ne!(taught, masked, "{}", kind.name);
    }
}

#[test]
fn packed_models_can_be_replaced_but_not_taught() {
    let bench = Bench::new(&cpu()).unwrap();
    let layer = &bench.model().layers()[0];
    let scheme = Scheme { values: Values::F32, index: Index::Full };
    let matrix =
        Matrix::dense(layer.shape.inputs, layer.shape.outputs, layer.weight.values().into_owned()).unwrap();
    let packed = bench.model().clone().with_weight(&layer.id, Weight::Packed { scheme, matrix }).unwrap();
    let data = (bench.train(), bench.valid());
    for kind in OF_OUTPUTS {
        let short = "fit = { epochs = 1 }";
        assert!(apply(kind, short, packed.clone(), Some(bench.model()), data).is_ok());
        let with = format!("from = 'model'\n{short}");
        let error = apply(kind, &with, packed.clone(), Some(bench.model()), data).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("hidden.0: it is packed f32"), "{error}");
    }
}

#[test]
fn validation_steers_the_rounds() {
    let World { bench, teacher, train, valid } = World::new();
    // Nine of ten labels of class 1 are wrong in training: a small share of the teacher falls behind in class 1.
    let wrong = relabelled(&train, |i, label| if i % 10 == 0 { label } else { 0 });
    let with = format!("hidden = [6]\nalphas = [0.05, 0.95]\nrounds = 3\n{FIT}");
    let learn = |with: &str| {
        apply(&validation::KIND, with, bench.model().clone(), Some(&teacher), (&wrong, &valid)).unwrap()
    };
    let (taught, said) = learn(&with);
    assert_eq!(said.notes.len(), 4, "{:?}", said.notes);
    assert!(said.notes[..3].iter().all(|note| note.contains("alpha 0.95")), "{:?}", said.notes);
    assert!(score(&taught, &valid) > 0.8, "{:?}", said.notes);
    let (misled, one) = learn(&format!("hidden = [6]\nalphas = [0.05]\nrounds = 3\n{FIT}"));
    assert!(score(&misled, &valid) < score(&taught, &valid) - 0.05);
    let notes = one.notes;
    // The first round weighs both classes alike, the later ones class 1 more.
    assert!(notes[0].contains("class weights 1.000 1.000"), "{notes:?}");
    let weight = |note: &str| -> Vec<f64> {
        let list = note.split("class weights ").nth(1).unwrap().split(',').next().unwrap();
        list.split(' ').map(|w| w.parse().unwrap()).collect()
    };
    let (second, third) = (weight(&notes[1]), weight(&notes[2]));
    assert!(second[1] > second[0] && third[1] >= second[1], "{notes:?}");
}

#[test]
fn a_teacher_must_be_there_and_fit() {
    let bench = Bench::new(&cpu()).unwrap();
    let data = (bench.train(), bench.valid());
    let other = nlpress_model::Graph::from(nlpress_model::MlpSpec::new(23, &[], 1, 0.0));
    let other = Model::init(&other, Seed(1)).unwrap();
    for kind in OF_OUTPUTS {
        let error = |teacher| {
            apply(kind, "", bench.model().clone(), teacher, data).map(|_| ()).unwrap_err().to_string()
        };
        assert_eq!(error(None), "it needs a teacher, and there is none");
        assert!(
            error(Some(&other)).contains("the teacher has 23 inputs, but its rows 24 features"),
            "{}",
            error(Some(&other))
        );
    }
}

#[test]
fn a_masked_network_of_attention_is_taught_by_layers() {
    let bench = Bench::attention(&cpu()).unwrap();
    let layer = &bench.model().layers()[1];
    let keep: Vec<bool> = (0..layer.shape.weights()).map(|i| i % 2 == 0).collect();
    let values = layer.weight.values().iter().zip(&keep).map(|(v, k)| if *k { *v } else { 0.0 }).collect();
    let masked =
        bench.model().clone().with_weight(&layer.id, Weight::Masked { values, keep: keep.clone() }).unwrap();
    let data = (bench.train(), bench.valid());
    let with = "alpha = 1.0\nfit = { epochs = 6 }";
    let (taught, said) = apply(&layers::KIND, with, masked.clone(), Some(bench.model()), data).unwrap();
    assert_eq!(taught.layers()[1].weight.keep(), keep);
    assert_ne!(taught, masked);
    assert!(said.value("agreement_after") > 0.9, "{:?}", said.measured);
    let none = apply(&layers::KIND, with, masked.clone(), None, data).map(|_| ()).unwrap_err();
    assert!(none.to_string().contains("a teacher"), "{none}");
    let plain = Bench::new(&cpu()).unwrap();
    let other = apply(&layers::KIND, with, masked, Some(plain.model()), data).map(|_| ()).unwrap_err();
    assert!(other.to_string().contains("the teacher 0"), "{other}");
}
