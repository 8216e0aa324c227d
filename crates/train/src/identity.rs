//! What a training is: two trainings of one identity give the same numbers.

use nlpress_model::{Dataset, Model, Targets};
use nlpress_text::ExamplesRef;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::label_training::LabelTraining;
use crate::linear_config::CoordinateDescent;
use crate::parts::Parts;
use crate::plan::Fit;
use crate::record::Stateful;
use crate::train_config::TrainConfig;

/// All that decides what a training gives, a line each: its name and a hash. What has fields is hashed in its
/// serialized form, in which none can be left out.
pub(crate) fn of(model: &Model, fit: &Fit<'_>, parts: &Parts<'_>, start: &[f32]) -> String {
    let mut numbers = Sha256::new();
    start.iter().for_each(|x| numbers.update(x.to_le_bytes()));
    let mut lines = vec![
        ("network", of_network(model)),
        ("numbers at the start", hex(numbers)),
        ("configuration", form(fit.config)),
        ("seed", form(&fit.seed)),
        ("technique", form(&parts.identity())),
        ("training data", of_data(fit.train)),
    ];
    lines.extend(fit.valid.map(|valid| ("validation data", of_data(valid))));
    text(&lines)
}

/// The same of a solver, which starts from no numbers and looks at validation rows only at the end.
pub(crate) fn of_solver(model: &Model, config: &CoordinateDescent, training: &LabelTraining<'_>) -> String {
    text(&[
        ("network", of_network(model)),
        ("configuration", form(&TrainConfig::CoordinateDescent(*config))),
        ("seed", form(&training.seed)),
        ("training data", of_data(training.train)),
    ])
}

fn text(lines: &[(&str, String)]) -> String {
    lines.iter().map(|(name, hash)| format!("{name}\t{hash}\n")).collect()
}

fn of_network(model: &Model) -> String {
    form(&(model.outline(), model.flat_keep()))
}

/// The names of what differs between two identities, in the order of the second.
pub(crate) fn differing(of: &str, other: &str) -> String {
    let [one, two] = [of, other].map(|text| text.lines().collect::<Vec<_>>());
    let new = two.iter().filter(|line| !one.contains(line));
    let gone = one.iter().filter(|line| !two.contains(line));
    let mut names: Vec<&str> = Vec::new();
    for name in new.chain(gone).filter_map(|line| line.split('\t').next()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}

fn of_data(data: &Dataset) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{} × {} of {}", data.len(), data.examples().width(), data.classes()));
    data.labels().iter().for_each(|x| hash.update(x.to_le_bytes()));
    data.class_weights().iter().for_each(|x| hash.update(x.to_le_bytes()));
    if let Targets::Vectors { values, .. } = data.targets() {
        values.iter().for_each(|x| hash.update(x.to_le_bytes()));
    }
    let mut offsets = |offsets: &[usize]| {
        offsets.iter().for_each(|x| hash.update((*x as u64).to_le_bytes()));
    };
    match data.examples() {
        ExamplesRef::Features(rows) => {
            offsets(rows.offsets());
            rows.columns().iter().for_each(|x| hash.update(x.to_le_bytes()));
            rows.values().iter().for_each(|x| hash.update(x.to_le_bytes()));
        }
        ExamplesRef::Tokens(rows) => {
            offsets(rows.offsets());
            rows.ids().iter().for_each(|x| hash.update(x.to_le_bytes()));
            hash.update(rows.types());
        }
    }
    hex(hash)
}

fn form(value: &impl Serialize) -> String {
    hex(Sha256::new_with_prefix(serde_json::to_vec(value).expect("numbers, texts and text keys are JSON")))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
