//! Recipes whose students learn from an artifact, and from texts without labels.

use nlpress_core::event::Quiet;
use nlpress_core::{Backend, BackendKind};
use nlpress_eval::Pace;
use nlpress_pipeline::{Prepared, Recipe, Report, RunError, RunOptions, plan_of, run};
use nlpress_text::{Corpus, Document};
use serde_json::json;
use std::path::Path;

/// The embedded corpus in files: a tenth of the training documents with labels, and the texts of the others.
struct World {
    folder: tempfile::TempDir,
    backend: Backend,
}

const TRAIN: &str = "[train]\nepochs = 12\nlearning_rate = 0.01\n";
const CONTROLS: &str = "[controls]\nlinear = false\nmore_epochs = 0\nstudent = []\n";

impl World {
    fn new() -> Self {
        let world =
            Self { folder: tempfile::tempdir().unwrap(), backend: BackendKind::Ndarray.open().unwrap() };
        let corpus = Corpus::embedded().unwrap();
        let lines = |documents: &mut dyn Iterator<Item = &Document>, labelled: bool| {
            let line = |document: &Document| match labelled {
                true => json!({ "text": document.text, "label": corpus.labels[document.label as usize] })
                    .to_string(),
                false => json!({ "text": document.text }).to_string(),
            };
            documents.map(|document| line(document) + "\n").collect::<String>()
        };
        let tenth = |is: bool| {
            let chosen = corpus.train.iter().enumerate().filter(move |(i, _)| (i % 10 == 0) == is);
            chosen.map(|(_, document)| document)
        };
        world.write("all.jsonl", &lines(&mut corpus.train.iter(), true));
        world.write("few.jsonl", &lines(&mut tenth(true), true));
        world.write("more.jsonl", &lines(&mut tenth(false), false));
        world.write("valid.jsonl", &lines(&mut corpus.valid.iter(), true));
        world.write("test.jsonl", &lines(&mut corpus.test.iter(), true));
        world
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// A recipe that trains on a file.
    fn recipe(train: &str, unlabelled: bool, rows: &str) -> String {
        let more = if unlabelled { "unlabelled = \"more.jsonl\"\n" } else { "" };
        format!(
            "schema = 1\nseed = 3\n[model]\nnetwork = {{ mlp = {{ hidden = [16] }} }}\n[data]\n{more}\
             files = {{ train = \"{train}\", valid = \"valid.jsonl\", test = \"test.jsonl\" }}\n\
             encoder = {{ vocabulary = 2000 }}\n{TRAIN}{CONTROLS}{rows}"
        )
    }

    fn prepare(&self, text: &str) -> Result<(Recipe, Prepared), RunError> {
        let recipe = Recipe::parse(text, &self.folder.path().join("recipe.toml").display().to_string())?;
        let prepared = Prepared::of(&recipe.data, Path::new(""))?;
        Ok((recipe, prepared))
    }

    fn run(&self, text: &str, out: &str, resume: bool) -> Result<Report, RunError> {
        let (recipe, prepared) = self.prepare(text)?;
        let out = self.folder.path().join(out);
        let (backend, pace) = (&self.backend, Pace::quick());
        let options = RunOptions {
            backend,
            threads: 1,
            workers: None,
            budget: None,
            peers: None,
            out: &out,
            resume,
            pace,
            memory: None,
        };
        run::run(&recipe, &prepared, &options, &Quiet)
    }

    /// Trains on all labels; the path of the artifact as a recipe names it.
    fn taught(&self) -> &'static str {
        self.run(&Self::recipe("all.jsonl", false, ""), "all", false).unwrap();
        "all/artifacts/teacher.0.safetensors"
    }

    fn refused(&self, text: &str) -> String {
        let (recipe, prepared) = match self.prepare(text) {
            Ok(both) => both,
            Err(error) => return error.to_string(),
        };
        plan_of(&recipe, &prepared).expect_err(text).to_string()
    }
}

/// A row that learns from an artifact.
fn student(id: &str, teacher: &str, technique: &str) -> String {
    let fit = "fit = { epochs = 12, learning_rate = 0.01 }";
    format!(
        "[[variants]]\nid = \"{id}\"\nteacher = {teacher}\n\
         steps = [{{ use = \"{technique}\", with = {{ hidden = [8], {fit} }} }}, {{ use = \"quant.int8\" }}]\n"
    )
}

fn accuracy(report: &Report, id: &str) -> f64 {
    report.rows.iter().find(|row| row.id == id).unwrap_or_else(|| panic!("no row {id}")).quality.accuracy.mean
}

fn bytes(report: &Report, id: &str) -> String {
    report.rows.iter().find(|row| row.id == id).unwrap_or_else(|| panic!("no row {id}")).sha256.clone()
}

#[test]
fn with_few_labels_a_teacher_helps_and_with_texts_without_labels_it_helps_more() {
    let world = World::new();
    let file = world.taught();
    let by_file = student("taught", &format!("{{ path = \"{file}\" }}"), "distill.student");
    let alone = world.run(&World::recipe("few.jsonl", false, &by_file), "few", false).unwrap();
    let own = student("own", "\"teacher\"", "distill.student");
    let text = World::recipe("few.jsonl", true, &format!("{by_file}{own}"));
    let more = world.run(&text, "more", false).unwrap();
    let (without, taught) = (accuracy(&alone, "teacher"), accuracy(&alone, "taught"));
    let joined = accuracy(&more, "taught");
    assert!(taught > without, "{taught} {without}");
    assert!(joined > without + 0.03 && joined > taught + 0.02, "{joined} {taught} {without}");
    assert_eq!(accuracy(&more, "teacher"), without, "labels alone know nothing of other texts");
    let row = |id: &str| more.rows.iter().find(|row| row.id == id).unwrap();
    let texts = |id: &str| row(id).measured.iter().find(|m| m.name == "texts_without_labels").unwrap().value;
    assert!(texts("taught") > 500.0 && texts("taught") == texts("own"));
    assert!(more.notes.iter().any(|note| note.contains("texts without labels")), "{:?}", more.notes);

    // The same bytes again, and nothing is made again that is there.
    let again = world.run(&text, "again", false).unwrap();
    let resumed = world.run(&text, "again", true).unwrap();
    for id in ["teacher", "taught", "own"] {
        assert_eq!(bytes(&more, id), bytes(&again, id), "{id}");
        assert_eq!(bytes(&more, id), bytes(&resumed, id), "{id}");
    }
    // Another teacher makes another row, also in a folder that has one.
    let other = "more/artifacts/own.0.safetensors";
    let changed = world.run(&text.replace(file, other), "again", true).unwrap();
    assert!(bytes(&changed, "taught") != bytes(&more, "taught"));
    assert_eq!(bytes(&changed, "own"), bytes(&more, "own"));
}

#[test]
fn what_cannot_teach_is_refused_in_the_plan() {
    let world = World::new();
    let file = world.taught();
    let named = |teacher: &str| {
        world.refused(&World::recipe("few.jsonl", false, &student("a", teacher, "distill.outputs")))
    };
    let missing = named("{ path = \"none.safetensors\" }");
    assert!(missing.contains("none.safetensors") && missing.contains("a: teacher"), "{missing}");
    let no_artifact = named("{ path = \"few.jsonl\" }");
    assert!(no_artifact.contains("few.jsonl"), "{no_artifact}");
    let other = named(&format!("{{ path = \"{file}\", sha256 = \"{}\" }}", "0".repeat(64)));
    assert!(other.contains("its SHA-256 is") && other.contains("0000"), "{other}");
    let short = named(&format!("{{ path = \"{file}\", sha256 = \"12\" }}"));
    assert!(short.contains("64 hexadecimal digits"), "{short}");
    let unknown = named(&format!("{{ path = \"{file}\", hash = \"12\" }}"));
    assert!(unknown.contains("teacher = "), "{unknown}");
    world.write("two.csv", "text,label\ngood,x\nbad,y\ngood again,x\nbad again,y\n");
    let labels = World::recipe(
        "few.jsonl",
        false,
        &student("a", &format!("{{ path = \"{file}\" }}"), "distill.student"),
    );
    let labels = labels.replace(
        "files = { train = \"few.jsonl\", valid = \"valid.jsonl\", test = \"test.jsonl\" }",
        "files = { train = \"two.csv\", valid = \"two.csv\", test = \"two.csv\" }",
    );
    let labels = world.refused(&labels);
    assert!(labels.contains("its labels are") && labels.contains("the data's are x, y"), "{labels}");
    let layers = format!(
        "[[variants]]\nid = \"a\"\nteacher = {{ path = \"{file}\" }}\nsteps = [{{ use = \"distill.layers\" }}]\n"
    );
    let layers = world.refused(&World::recipe("few.jsonl", false, &layers));
    assert!(layers.contains("must be a row and no file"), "{layers}");
    let nothing = World::recipe("few.jsonl", true, "").replace("more.jsonl", "few.jsonl");
    let nothing = world.refused(&nothing);
    assert!(nothing.contains("few.jsonl: every text is empty or stands among"), "{nothing}");
}
