//! What a row is made of, and the hash that says so.
//!
//! A run that goes on opens what it made before in place of making it again. That is right only if everything that
//! decides the row's bytes is the same: what the recipe says of the row and of the rows it descends and learns
//! from, the files that those steps read, the artifact that the run starts from, the data, the seed, the backend
//! and the version. All of it is hashed in a serialized form with named fields; `Debug` text would leave out what a
//! hand-written implementation leaves out. What decides nothing is not in it: comments and layout of the recipe,
//! rows that this one does not know of, paths, threads.

use nlpress_core::files;
use nlpress_model::Graph;
use nlpress_text::Encode;
use nlpress_train::TrainConfig;
use serde::Serialize;
use std::collections::BTreeMap;

use crate::prepared::Prepared;
use crate::recipe::{Step, TEACHER, Variant};
use crate::threshold::Threshold;

/// What a recipe says of each row, as a hash over the row's own part and the hashes of the rows it is made from.
#[derive(Debug, Default)]
pub(crate) struct Written(BTreeMap<String, String>);

/// The first row.
#[derive(Serialize)]
enum First<'a> {
    /// Trained by the recipe.
    Trained { network: &'a Graph, train: &'a TrainConfig, threshold: Option<Threshold> },
    /// The artifact with this SHA-256; where it makes embeddings, how it is trained to tell classes apart.
    Opened {
        sha256: &'a str,
        threshold: Option<Threshold>,
        #[serde(skip_serializing_if = "Option::is_none")]
        train: Option<&'a TrainConfig>,
    },
}

/// A row made from others.
#[derive(Serialize)]
struct Later<'a> {
    /// Its name decides its seeds.
    id: &'a str,
    from: &'a str,
    teacher: &'a str,
    steps: Vec<StepForm<'a>>,
}

#[derive(Serialize)]
struct StepForm<'a> {
    technique: &'a str,
    on: &'a [String],
    settings: &'a str,
    max_drop: Option<f64>,
}

impl<'a> StepForm<'a> {
    fn of(step: &'a Step) -> Self {
        let Step { kind, on, settings, max_drop, .. } = step;
        Self { technique: kind.name, on: on.source(), settings, max_drop: *max_drop }
    }
}

/// A row of a repetition.
#[derive(Serialize)]
struct Identity<'a> {
    nlpress: &'a str,
    backend: String,
    data: &'a str,
    seed: u64,
    row: &'a str,
    written: &'a str,
}

impl Written {
    /// The first row: trained, or opened from the artifact with the hash, which may be a classifier already.
    pub(crate) fn new(
        network: &Graph,
        (train, threshold): (&TrainConfig, Option<Threshold>),
        start: Option<(&str, bool)>,
    ) -> Self {
        let first = match start {
            Some((sha256, is_classifier)) => {
                First::Opened { sha256, threshold, train: (!is_classifier).then_some(train) }
            }
            None => First::Trained { network, train, threshold },
        };
        Self(BTreeMap::from([(TEACHER.to_owned(), sha256(&first))]))
    }

    /// Adds a row whose parent and teacher are there; `file` is the SHA-256 of its teacher, where that is an artifact.
    pub(crate) fn add(&mut self, variant: &Variant, file: Option<&str>) {
        let later = Later {
            id: &variant.id,
            from: self.of(&variant.parent),
            teacher: file.or(variant.teacher.row().map(|row| self.of(row))).unwrap_or_default(),
            steps: variant.steps.iter().map(StepForm::of).collect(),
        };
        let hash = sha256(&later);
        self.0.insert(variant.id.clone(), hash);
    }

    /// The hash of a row; empty for one that was not added.
    pub(crate) fn of(&self, id: &str) -> &str {
        self.0.get(id).map_or("", String::as_str)
    }

    /// The identity of a row of a repetition, on the data of this hash.
    pub(crate) fn identity(&self, id: &str, data: &str, backend: impl ToString, seed: u64) -> String {
        let nlpress = env!("CARGO_PKG_VERSION");
        let (backend, written) = (backend.to_string(), self.of(id));
        sha256(&Identity { nlpress, backend, data, seed, row: id, written })
    }
}

/// A hash of prepared data: the documents with their labels and splits, the encoder as it was fitted, and the weights
/// of the classes.
pub(crate) fn of_data(prepared: &Prepared) -> String {
    let (config, blob) = prepared.encoder.to_parts();
    sha256(&(&prepared.corpus.sha256, config, files::sha256_hex(&blob), prepared.train.class_weights()))
}

fn sha256(form: &impl Serialize) -> String {
    let text = serde_json::to_vec(form).expect("texts, numbers and text keys are JSON");
    files::sha256_hex(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Recipe;

    const HEAD: &str =
        "schema = 1\nmodel = { network = { mlp = { hidden = [8] } } }\ndata = { corpus = 'embedded' }\n";
    const ROWS: &str = "[[variants]]\nid = 'a'\nsteps = [{ use = 'quant.int8', with = { clip = 'mse' } }]\n\
                        [[variants]]\nid = 'b'\nfrom = 'a'\nsteps = [{ use = 'train.more' }]\n\
                        [[variants]]\nid = 'c'\nteacher = 'a'\nsteps = [{ use = 'train.more' }]\n";

    fn written(text: &str, start: Option<(&str, bool)>) -> Vec<String> {
        let recipe = Recipe::parse(text, "r.toml").unwrap();
        let mut written = Written::new(&recipe.network.template, (&recipe.train, recipe.threshold), start);
        recipe.variants.iter().for_each(|variant| written.add(variant, None));
        [TEACHER, "a", "b", "c"].map(|id| written.of(id).to_owned()).to_vec()
    }

    /// Which of teacher, a, b and c are other rows after a change.
    fn changed(from: &str, to: &str) -> [bool; 4] {
        let before = format!("{HEAD}{ROWS}");
        let (old, new) = (written(&before, None), written(&before.replacen(from, to, 1), None));
        std::array::from_fn(|i| old[i] != new[i])
    }

    #[test]
    fn a_row_changes_with_what_it_is_made_of_and_with_nothing_else() {
        assert_eq!(changed("hidden = [8]", "hidden = [9]"), [true; 4]);
        assert_eq!(changed("[[variants]]", "train = { epochs = 3 }\n[[variants]]"), [true; 4]);
        assert_eq!(changed("[[variants]]", "train = { threshold = 'f1' }\n[[variants]]"), [true; 4]);
        assert_eq!(changed("'mse'", "'max'"), [false, true, true, true]);
        assert_eq!(changed("from = 'a'", "from = 'teacher'"), [false, false, true, false]);
        assert_eq!(changed("teacher = 'a'", ""), [false, false, false, true]);
        assert_eq!(changed("'quant.int8',", "'quant.int8', on = ['output'],"), [false, true, true, true]);
        assert_eq!(changed("'mse' }", "'mse' }, gate = { max_drop = 1.0 }"), [false, true, true, true]);
        assert_eq!(changed("[[variants]]", "# a remark\n\n[[variants]]"), [false; 4]);
        assert_eq!(changed("with = { clip = 'mse' }", "with = {  clip  =  \"mse\"  }"), [false; 4]);
        let more = "[[variants]]\nid = 'new'\nsteps = [{ use = 'quant.f16' }]\n[[variants]]\nid = 'a'";
        assert_eq!(changed("[[variants]]\nid = 'a'", more), [false; 4]);
    }

    #[test]
    fn the_first_row_is_the_artifact_that_it_is_opened_from() {
        let text = format!("{HEAD}{ROWS}");
        let [none, one, other] =
            [None, Some(("1", true)), Some(("2", true))].map(|start| written(&text, start));
        for row in 0..4 {
            assert!(none[row] != one[row] && one[row] != other[row]);
        }
        // How it is trained counts where it is trained.
        let longer = text.replacen("[[variants]]", "train = { epochs = 3 }\n[[variants]]", 1);
        assert_eq!(written(&longer, Some(("1", true))), one);
        assert_ne!(written(&longer, Some(("1", false))), written(&text, Some(("1", false))));
    }

    #[test]
    fn settings_that_read_a_file_are_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let rows = "[[variants]]\nid = 'a'\nsteps = [{ use = 'select.words', with = { file = 'FILE' } }]\n";
        let of = |name: &str, words: &str| {
            std::fs::write(folder.path().join(name), words).unwrap();
            let file = folder.path().join("r.toml");
            let text = format!("{HEAD}{}", rows.replace("FILE", name));
            Recipe::parse(&text, &file.display().to_string()).unwrap().variants[0].steps[0].settings.clone()
        };
        assert_ne!(of("words", "good\nbad\n"), of("words", "good\nbadly\n"));
        assert_eq!(of("words", "good\nbad\n"), of("others", "good\nbad\n"));
    }

    #[test]
    fn an_identity_is_of_a_row_of_a_repetition_on_its_data() {
        let recipe = Recipe::parse(HEAD, "r.toml").unwrap();
        let written = Written::new(&recipe.network.template, (&recipe.train, recipe.threshold), None);
        let one = written.identity(TEACHER, "data", "ndarray", 1);
        assert_eq!(one, written.identity(TEACHER, "data", "ndarray", 1));
        for other in [
            written.identity("a", "data", "ndarray", 1),
            written.identity(TEACHER, "other", "ndarray", 1),
            written.identity(TEACHER, "data", "flex", 1),
            written.identity(TEACHER, "data", "ndarray", 2),
        ] {
            assert_ne!(one, other);
        }
    }
}
