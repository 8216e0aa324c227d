//! Recipes whose steps choose features: what is written has fewer words, agrees with memory, is gone on from, and
//! is taught by a teacher that reads all of them.

use nlpress_artifact::Artifact;
use nlpress_core::event::{Event, Flow, Sink};
use nlpress_core::{Backend, BackendKind};
use nlpress_eval::Pace;
use nlpress_model::{Graph, MlpSpec, Outline};
use nlpress_pipeline::report::Row;
use nlpress_pipeline::{Plan, Prepared, Recipe, Report, RunError, RunOptions, run};
use nlpress_runtime::Session;
use std::path::Path;
use std::sync::Mutex;

const HEAD: &str = r#"
schema = 1
seed = 3
[data]
corpus = "embedded"
encoder = { vocabulary = 400 }
read = { limit = 300 }
[train]
epochs = 4
[controls]
linear = false
more_epochs = 0
student = []
"#;
const NETWORK: &str = "[model]\nnetwork = { mlp = { hidden = [8] } }\n";

/// Remembers what techniques said they were doing.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Sink for Heard {
    fn push(&self, event: &Event) -> Flow {
        if let Event::Progress { what, .. } = event {
            self.0.lock().unwrap().push(what.clone());
        }
        Flow::Continue
    }
}

impl Heard {
    fn times(&self, what: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|w| *w == what).count()
    }
}

struct World {
    folder: tempfile::TempDir,
    backend: Backend,
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), backend: BackendKind::Ndarray.open().unwrap() }
    }

    fn run(&self, text: &str, resume: bool, heard: &Heard) -> Result<Report, RunError> {
        let file = self.folder.path().join("recipe.toml");
        let recipe = Recipe::parse(text, &file.display().to_string())?;
        let prepared = Prepared::of(&recipe.data, Path::new(""))?;
        let out = self.folder.path().join("out");
        let options = RunOptions {
            backend: &self.backend,
            threads: 1,
            workers: None,
            budget: None,
            peers: None,
            out: &out,
            resume,
            pace: Pace::quick(),
            memory: None,
        };
        run::run(&recipe, &prepared, &options, heard)
    }

    fn prepared(&self, text: &str) -> Prepared {
        Prepared::of(&Recipe::parse(text, "recipe.toml").unwrap().data, Path::new("")).unwrap()
    }

    fn artifact(&self, row: &Row) -> std::path::PathBuf {
        self.folder.path().join("out").join(&row.artifact)
    }
}

fn row<'a>(report: &'a Report, id: &str) -> &'a Row {
    report.rows.iter().find(|r| r.id == id).unwrap_or_else(|| panic!("no row {id}"))
}

fn measured(row: &Row, name: &str) -> f64 {
    row.measured.iter().find(|m| m.name == name).unwrap_or_else(|| panic!("{name}: {:?}", row.measured)).value
}

const CHAIN: &str = r#"
[[variants]]
id = "chosen"
steps = [{ use = "select.chi2", with = { keep = 120, finetune = { epochs = 1 } } }, { use = "train.more", with = { fit = { epochs = 1 } } }]

[[variants]]
id = "taught"
from = "chosen"
steps = [{ use = "distill.student", with = { from = "model", fit = { epochs = 2 } } }]

# Features of features, after connections were pruned, and packed in the end.
[[variants]]
id = "small"
from = "taught"
steps = [
    { use = "prune.magnitude", with = { sparsity = 0.9 } },
    { use = "select.norm" },
    { use = "select.norm", with = { keep = 40 } },
    { use = "quant.int8" },
]

[[variants]]
id = "held"
steps = [{ use = "select.frequency", with = { keep = 1 }, gate = { max_drop = 0.0 } }]
"#;

#[test]
fn chosen_words_are_what_is_written_served_and_gone_on_from() {
    let world = World::new();
    let heard = Heard::default();
    let text = format!("{HEAD}{NETWORK}{CHAIN}");
    // The run itself holds every session against the network in memory.
    let report = world.run(&text, false, &heard).unwrap();
    let teacher = row(&report, "teacher");
    let words =
        |row: &Row| Session::open(&world.artifact(row)).unwrap().encoder().bag().unwrap().words().to_vec();
    let all = words(teacher);
    assert_eq!(all.len(), 400);
    for (id, features) in [("chosen", 120), ("taught", 120), ("small", 40), ("held", 400)] {
        let row = row(&report, id);
        let of_row = words(row);
        assert_eq!(of_row.len(), features, "{id}");
        assert!(of_row.iter().all(|w| all.binary_search(w).is_ok()), "{id}");
        let artifact = Artifact::open(&world.artifact(row)).unwrap();
        assert_eq!(artifact.layers[0].matrix.inputs(), features, "{id}");
    }
    let [chosen, taught, small, held] = ["chosen", "taught", "small", "held"].map(|id| row(&report, id));
    assert!(chosen.size.vocabulary_bytes < teacher.size.vocabulary_bytes * 2 / 3);
    assert!(chosen.size.weight_bytes < teacher.size.weight_bytes / 3);
    assert!(small.size.file_bytes < chosen.size.file_bytes / 2);
    assert!(words(small).iter().all(|w| words(taught).contains(w)));
    assert!(held.notes.iter().any(|n| n.contains("select.frequency was rolled back")), "{:?}", held.notes);

    // The teacher was asked on its own 400 features, the student on its 120: what was measured while teaching is what the
    // written files answer.
    let valid = world.prepared(&text).corpus.valid.clone();
    let classes = |row: &Row| -> Vec<u32> {
        let session = Session::open(&world.artifact(row)).unwrap();
        let label = |text: &str| {
            session.labels().iter().position(|l| *l == session.predict(text).unwrap().label).unwrap()
        };
        valid.iter().map(|document| label(&document.text) as u32).collect()
    };
    let share = |pairs: Vec<bool>| pairs.iter().filter(|same| **same).count() as f64 / pairs.len() as f64;
    let same = |a: &[u32], b: &[u32]| share(a.iter().zip(b).map(|(a, b)| a == b).collect());
    let (asked, before, after) = (classes(teacher), classes(chosen), classes(taught));
    let right = share(asked.iter().zip(&valid).map(|(class, document)| *class == document.label).collect());
    for (name, expected) in [
        ("teacher_valid_accuracy", right),
        ("agreement_before", same(&asked, &before)),
        ("agreement_after", same(&asked, &after)),
    ] {
        assert!(
            (measured(taught, name) - expected).abs() < 1e-9,
            "{name}: {} {expected}",
            measured(taught, name)
        );
    }
    assert!(right > 0.5, "{right}");

    assert!(heard.times("scoring words") > 0 && heard.times("measuring words") == 2);
    let again = Heard::default();
    let resumed = world.run(&text, true, &again).unwrap();
    assert_eq!((again.times("scoring words"), again.times("measuring words")), (0, 0));
    for (a, b) in report.rows.iter().zip(&resumed.rows) {
        assert_eq!((&a.id, &a.sha256, a.quality.accuracy.mean), (&b.id, &b.sha256, b.quality.accuracy.mean));
    }

    // Without the last row's journal only that row is made, from a parent that was opened.
    std::fs::remove_file(world.folder.path().join("out/journal/small.0.json")).unwrap();
    let some = Heard::default();
    let resumed = world.run(&text, true, &some).unwrap();
    assert_eq!((some.times("scoring words"), some.times("measuring words")), (0, 2));
    assert_eq!(row(&resumed, "small").sha256, small.sha256);

    // Features that a journal does not have, or that its artifact was not written with, are not believed.
    let path = world.folder.path().join("out/journal/chosen.0.json");
    let journal: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for features in [serde_json::json!(null), serde_json::json!([5, 4]), serde_json::json!([7_000_000])] {
        let mut bad = journal.clone();
        bad["features"] = features;
        std::fs::write(&path, bad.to_string()).unwrap();
        let some = Heard::default();
        let resumed = world.run(&text, true, &some).unwrap();
        assert_eq!(some.times("scoring words"), 1);
        assert_eq!(row(&resumed, "chosen").sha256, chosen.sha256);
    }
}

#[test]
fn the_recipe_that_comes_with_nlpress_plans_fewer_words() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes/r8-40kb.toml");
    let recipe = Recipe::open(&path).unwrap();
    let base = Outline::dense(&Graph::from(MlpSpec::new(8000, &[64], 8, 0.5)));
    let plan = Plan::of(&recipe, &base).unwrap();
    for (id, inputs) in [("words-1000", 1000), ("words-600", 600), ("words-300", 300)] {
        let row = plan.rows.iter().find(|row| row.id == id).unwrap();
        assert_eq!((row.outline.graph.inputs(), row.steps[0].outline.graph.inputs()), (inputs, inputs));
        assert!(row.predicted_bytes < 20_000, "{id}: {}", row.predicted_bytes);
    }
}

#[test]
fn a_recipe_goes_on_from_an_artifact_of_fewer_words() {
    let world = World::new();
    let chain = "[[steps]]\nuse = 'select.information'\nwith = { keep = 50 }\n";
    let report = world.run(&format!("{HEAD}{NETWORK}{chain}"), false, &Heard::default()).unwrap();
    let narrow = row(&report, "select.information");
    std::fs::copy(world.artifact(narrow), world.folder.path().join("narrow.safetensors")).unwrap();
    let from = "[model]\npath = 'narrow.safetensors'\n";
    let more = "[[steps]]\nuse = 'select.norm'\nwith = { keep = 20, by = 'contribution' }\n";
    let next = world.run(&format!("{HEAD}{from}{more}"), false, &Heard::default()).unwrap();
    assert_eq!(next.rows[0].quality.accuracy.mean, narrow.quality.accuracy.mean);
    let session = Session::open(&world.artifact(row(&next, "select.norm"))).unwrap();
    assert_eq!(session.encoder().bag().unwrap().width(), 20);
    // Other weights of the same words are another encoder.
    let other = HEAD.replace("vocabulary = 400", "vocabulary = 400, weighting = \"count\"");
    let error = world.run(&format!("{other}{from}"), false, &Heard::default()).unwrap_err();
    assert!(error.to_string().contains("its vocabulary is neither"), "{error}");
}

#[test]
fn a_list_of_words_lies_beside_its_recipe_and_is_part_of_it() {
    let world = World::new();
    let list = world.folder.path().join("words.txt");
    let text = format!("{HEAD}{NETWORK}[[steps]]\nuse = 'select.words'\nwith = {{ file = 'words.txt' }}\n");
    let missing = world.run(&text, false, &Heard::default()).unwrap_err();
    assert!(missing.to_string().contains("words.txt"), "{missing}");
    let words = |report: &Report| {
        let session = Session::open(&world.artifact(row(report, "select.words"))).unwrap();
        session.encoder().bag().unwrap().words().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    std::fs::write(&list, "the\nThis\nnoSuchWordAtAll\n").unwrap();
    let report = world.run(&text, false, &Heard::default()).unwrap();
    assert_eq!(words(&report), ["the", "this"]);
    std::fs::write(&list, "the\n").unwrap();
    let report = world.run(&text, true, &Heard::default()).unwrap();
    assert_eq!(words(&report), ["the"]);
    std::fs::write(&list, "nosuchwordatall\n").unwrap();
    let report = world.run(&text, true, &Heard::default()).unwrap();
    let failed: Vec<_> = report.failed.iter().map(|row| (row.id.as_str(), row.why.as_str())).collect();
    assert!(
        matches!(failed[..], [("select.words", why)] if why.contains("none of the 400 words")),
        "{failed:?}"
    );
}
