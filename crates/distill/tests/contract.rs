//! Every technique of this crate against the contract, on every backend that opens; and what they are for.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, but not in the functions they share

use nlpress_core::event::Quiet;
use nlpress_core::{Backend, BackendKind, Seed};
use nlpress_distill::{KINDS, outputs, student, validation};
use nlpress_model::dataset::accuracy;
use nlpress_model::{Dataset, Model, Network, SiteId, Weight};
use nlpress_packed::{Index, Matrix, Scheme, Values};
use nlpress_testkit::Bench;
use nlpress_technique::{Cx, Kind, StepError, Teacher};
use nlpress_train::{Fit, FitConfig, fit};

#[test]
fn every_kind_keeps_the_contract() {
    for backend in BackendKind::compiled().into_iter().filter_map(|kind| kind.open().ok()) {
        let bench = Bench::new(&backend).unwrap();
        for kind in KINDS {
            bench.check(kind).unwrap();
        }
    }
}

fn ndarray() -> Backend {
    BackendKind::Ndarray.open().unwrap()
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
    let backend = ndarray();
    let technique = (kind.parse)(&with.parse().unwrap()).unwrap();
    let on: Vec<SiteId> = model.layers().iter().map(|l| l.id.clone()).collect();
    let mut problems = Vec::new();
    let planned = technique.plan(&model.outline(), &on, &mut problems);
    if let Some(problem) = problems.first() {
        return Err(StepError::Failed(problem.to_string()));
    }
    let mut cx = Cx { teacher, ..Cx::new(Seed(4), &backend, (train, valid), &Quiet) };
    let model = technique.apply(model, &on, &mut cx)?;
    assert_eq!(model.outline(), planned);
    let measured = cx.measured.into_iter().map(|m| (m.name, m.value)).collect();
    Ok((model, Said { measured, notes: cx.notes }))
}

/// A teacher that knows its rows, taught on the bench's validation rows.
fn teacher(bench: &Bench) -> Model {
    let config: FitConfig = toml::from_str("epochs = 80\nlearning_rate = 0.01").unwrap();
    let backend = ndarray();
    fit(bench.model().clone(), Fit::new(&config, &backend, bench.valid(), Seed(9), &Quiet)).unwrap().0
}

fn relabelled(data: &Dataset, label: impl Fn(usize, u32) -> u32) -> Dataset {
    let labels = data.labels().iter().enumerate().map(|(i, l)| label(i, *l)).collect();
    Dataset::new(data.rows().clone(), labels, data.classes()).unwrap()
}

fn score(model: &Model, data: &Dataset) -> f64 {
    accuracy(&Network::bind(model, &ndarray()).logits_of(data).unwrap(), data.outputs(), data.labels())
}

const FIT: &str = "fit = { epochs = 60, learning_rate = 0.02 }";

#[test]
fn a_student_learns_what_its_teacher_knows() {
    let bench = Bench::new(&ndarray()).unwrap();
    let teacher = teacher(&bench);
    let data = (bench.valid(), bench.valid());
    for kind in [&student::KIND, &outputs::KIND] {
        let with = format!("hidden = [6]\n{FIT}");
        let (student, said) = apply(kind, &with, bench.model().clone(), Some(&teacher), data).unwrap();
        assert!(said.value("agreement_after") > 0.9, "{}: {:?}", kind.name, said.measured);
        assert!(said.value("agreement_after") >= said.value("agreement_before"));
        assert!(student.outline().parameters() < teacher.outline().parameters());
    }
}

#[test]
fn imitating_outputs_looks_at_no_label() {
    let bench = Bench::new(&ndarray()).unwrap();
    let teacher = teacher(&bench);
    let flipped = relabelled(bench.valid(), |_, label| 1 - label);
    for loss in ["kl", "mse"] {
        let with = format!("hidden = [6]\nloss = '{loss}'\n{FIT}");
        let learn = |train| {
            apply(&outputs::KIND, &with, bench.model().clone(), Some(&teacher), (train, bench.valid()))
                .unwrap()
                .0
        };
        let taught = learn(bench.valid());
        assert_eq!(taught, learn(&flipped), "{loss}");
        assert!(score(&taught, bench.valid()) > 0.8, "{loss}: {}", score(&taught, bench.valid()));
    }
}

#[test]
fn labels_count_beside_the_teacher() {
    let bench = Bench::new(&ndarray()).unwrap();
    let teacher = teacher(&bench);
    let flipped = relabelled(bench.valid(), |_, label| 1 - label);
    let learn = |train, alpha| {
        let with = format!("hidden = [6]\nalpha = {alpha}\n{FIT}");
        let data = (train, bench.valid());
        apply(&student::KIND, &with, bench.model().clone(), Some(&teacher), data).unwrap().0
    };
    assert!(score(&learn(&flipped, 0.02), bench.valid()) < 0.3);
    assert!(score(&learn(&flipped, 0.98), bench.valid()) > 0.8);
}

#[test]
fn a_teacher_reads_its_own_rows() {
    let bench = Bench::new(&ndarray()).unwrap();
    let teacher = teacher(&bench);
    let whole = bench.valid();
    // The student sees twelve of the teacher's features.
    let kept: Vec<u32> = (0..12).collect();
    let rows = whole.rows().keep_columns(&kept, false).unwrap();
    let narrow = Dataset::new(rows, whole.labels().to_vec(), whole.classes()).unwrap();
    let spec = bench.model().spec().clone().with_inputs(12);
    let student = Model::init(&spec, Seed(2)).unwrap();
    let its = Teacher { model: &teacher, train: whole, valid: whole };
    for kind in KINDS {
        let with = "from = 'model'\nfit = { epochs = 60, learning_rate = 0.02 }";
        let (made, said) = taught(kind, with, student.clone(), Some(its), (&narrow, &narrow)).unwrap();
        assert_eq!(made.spec().inputs(), 12, "{}", kind.name);
        assert!((said.value("teacher_valid_accuracy") - score(&teacher, whole)).abs() < 1e-12);
        assert!(said.value("agreement_after") > 0.8, "{}: {:?}", kind.name, said.measured);
        let few = whole.select(&[0, 1, 2]).unwrap();
        let other = Teacher { train: &few, ..its };
        let error = taught(kind, with, student.clone(), Some(other), (&narrow, &narrow));
        let error = error.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("the teacher has 3 training rows, the student 48"), "{error}");
    }
}

#[test]
fn a_masked_model_is_taught_with_its_mask() {
    let bench = Bench::new(&ndarray()).unwrap();
    let teacher = teacher(&bench);
    let layer = &bench.model().layers()[0];
    let keep: Vec<bool> = (0..layer.shape.weights()).map(|i| i % 3 != 0).collect();
    let values = layer.weight.values().iter().zip(&keep).map(|(v, k)| if *k { *v } else { 0.0 }).collect();
    let masked =
        bench.model().clone().with_weight(&layer.id, Weight::Masked { values, keep: keep.clone() }).unwrap();
    for kind in KINDS {
        let with = "from = 'model'\nfit = { epochs = 2 }";
        let data = (bench.valid(), bench.valid());
        let (taught, _) = apply(kind, with, masked.clone(), Some(&teacher), data).unwrap();
        assert_eq!(taught.layers()[0].weight.keep(), keep, "{}", kind.name);
        assert_ne!(taught, masked, "{}", kind.name);
    }
}

#[test]
fn packed_models_can_be_replaced_but_not_taught() {
    let bench = Bench::new(&ndarray()).unwrap();
    let layer = &bench.model().layers()[0];
    let scheme = Scheme { values: Values::F32, index: Index::Full };
    let matrix =
        Matrix::dense(layer.shape.inputs, layer.shape.outputs, layer.weight.values().into_owned()).unwrap();
    let packed = bench.model().clone().with_weight(&layer.id, Weight::Packed { scheme, matrix }).unwrap();
    let data = (bench.valid(), bench.valid());
    for kind in KINDS {
        let short = "fit = { epochs = 1 }";
        assert!(apply(kind, short, packed.clone(), Some(bench.model()), data).is_ok());
        let with = format!("from = 'model'\n{short}");
        let error = apply(kind, &with, packed.clone(), Some(bench.model()), data).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("hidden.0: it is packed f32"), "{error}");
    }
}

#[test]
fn validation_steers_the_rounds() {
    let bench = Bench::new(&ndarray()).unwrap();
    let teacher = teacher(&bench);
    // Nine of ten labels of class 1 are wrong in training: a small share of the teacher falls behind in class 1.
    let wrong = relabelled(bench.valid(), |i, label| if i % 10 == 0 { label } else { 0 });
    let with = format!("hidden = [6]\nalphas = [0.05, 0.95]\nrounds = 3\n{FIT}");
    let (taught, said) =
        apply(&validation::KIND, &with, bench.model().clone(), Some(&teacher), (&wrong, bench.valid()))
            .unwrap();
    assert_eq!(said.notes.len(), 4, "{:?}", said.notes);
    assert!(said.notes[..3].iter().all(|note| note.contains("alpha 0.95")), "{:?}", said.notes);
    assert!(score(&taught, bench.valid()) > 0.9, "{:?}", said.notes);
    let one = apply(
        &validation::KIND,
        &format!("hidden = [6]\nalphas = [0.05]\nrounds = 3\n{FIT}"),
        bench.model().clone(),
        Some(&teacher),
        (&wrong, bench.valid()),
    );
    let notes = one.unwrap().1.notes;
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
    let bench = Bench::new(&ndarray()).unwrap();
    let data = (bench.valid(), bench.valid());
    let other = nlpress_model::Spec::Mlp(nlpress_model::MlpSpec::new(23, &[], 1, 0.0));
    let other = Model::init(&other, Seed(1)).unwrap();
    for kind in KINDS {
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
