//! How much memory a row takes while it is made, by what is planned for it, and how much there is for all.
//!
//! These are estimates: a row that takes more than it was thought to is made all the same, and what is made never depends on
//! them.

use nlpress_model::Outline;
use nlpress_model::graph::{Graph, Op, Per, Source};
use nlpress_train::{FitConfig, TrainConfig};
use std::collections::BTreeMap;
use toml::{Table, Value};

use crate::options::RunOptions;
use crate::plan::selected;
use crate::recipe::{Step, TEACHER, Variant};

/// Times that the numbers of a network are there while it is trained: as it was, as it is, its gradient, two moments, and some
/// of what a pass needs; rounded up.
const OF_PARAMETERS: u64 = 10;
/// Times that what lies between the operations of a network is there: values, their derivatives, and what custom operations
/// keep.
const OF_VALUES: u64 = 3;
/// The part of the memory that is free which a run takes.
const SHARE: (u64, u64) = (4, 5);

/// Bytes of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    /// While it is made.
    pub(crate) making: u64,
    /// From then on: its model is compared with its file when all rows are made.
    pub(crate) made: u64,
}

impl Room {
    /// Of the first row, and of each variant in turn, which come after what they are made from.
    pub(crate) fn of_rows(base: &Outline, variants: &[&Variant], train: &TrainConfig) -> Vec<Self> {
        let batch = match train {
            TrainConfig::Gradient(config) => config.batch(),
            TrainConfig::CoordinateDescent(_) => 1,
        };
        let mut outlines = BTreeMap::from([(TEACHER, base.clone())]);
        let mut rooms = vec![Self { making: of_training(&base.graph, batch), made: of_model(base) }];
        for variant in variants {
            let missing = || base.clone();
            let mut outline = outlines.get(variant.parent.as_str()).cloned().unwrap_or_else(missing);
            let mut making = of_model(&outline);
            for step in &variant.steps {
                let (batch, on) = (batch_of(step), selected(step, &outline));
                making = making.max(of_training(&outline.graph, batch));
                outline = step.technique.plan(&outline, &on, &mut Vec::new());
                making = making.max(of_training(&outline.graph, batch));
            }
            // What teaches is asked once, before training begins.
            let is_taught = variant.steps.iter().any(|step| step.technique.needs().teacher);
            let teacher = variant.teacher.row().filter(|_| is_taught).and_then(|row| outlines.get(row));
            making += teacher.map_or(0, |teacher| 4 * parameters(&teacher.graph));
            rooms.push(Self { making, made: of_model(&outline) });
            outlines.insert(&variant.id, outline);
        }
        rooms
    }
}

/// Bytes that rows may take together: as the options say, or else four fifths of what is free; no bound where the system does
/// not tell.
pub(crate) fn budget(options: &RunOptions<'_>) -> u64 {
    let of_free = || available().map_or(u64::MAX, |bytes| bytes / SHARE.1 * SHARE.0);
    options.budget.unwrap_or_else(of_free)
}

/// Bytes that programs can have without others being moved out of memory, as Linux tells.
fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Rows that a step takes at a time: the most that its settings name, which have tables of training in them, or what all of those
/// leave it at.
fn batch_of(step: &Step) -> usize {
    let settings = step.settings.parse::<Table>().unwrap_or_default();
    largest_batch(&settings).unwrap_or_else(|| FitConfig::default().batch())
}

fn largest_batch(table: &Table) -> Option<usize> {
    let of = |(key, value): (&String, &Value)| match value {
        Value::Table(inner) => largest_batch(inner),
        Value::Integer(rows) if key == "batch" => usize::try_from(*rows).ok(),
        _ => None,
    };
    table.iter().filter_map(of).max()
}

fn parameters(graph: &Graph) -> u64 {
    Outline::dense(graph).parameters() as u64
}

fn of_model(outline: &Outline) -> u64 {
    outline.predicted_bytes() as u64
}

/// Bytes of a training in batches of examples as long as any may be.
fn of_training(graph: &Graph, batch: usize) -> u64 {
    let tokens = match graph.source {
        Source::Features { .. } => 1,
        Source::Bag { tokens, .. } => tokens as u64,
        Source::Tokens { most, .. } => most as u64,
    };
    let of_node = |(op, per, width): (&Op, Per, usize)| {
        let maps = match op {
            Op::Attend { heads, .. } => *heads as u64 * tokens * tokens,
            _ => 0,
        };
        maps + width as u64 * if per == Per::Token { tokens } else { 1 }
    };
    let nodes = graph.nodes.iter().zip(graph.values());
    let values: u64 = nodes.map(|(node, value)| of_node((&node.op, value.per, value.width))).sum();
    4 * (OF_PARAMETERS * parameters(graph) + OF_VALUES * batch as u64 * values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Recipe;
    use nlpress_model::{EncoderSpec, MlpSpec};

    #[test]
    fn a_training_takes_its_parameters_and_a_batch_of_values() {
        let mlp = Graph::from(MlpSpec::new(100, &[50], 2, 0.0));
        let parameters = 100 * 50 + 50 + 50 * 2 + 2;
        // The first layer, its activation, dropout, the second layer.
        assert_eq!(of_training(&mlp, 8), 4 * (10 * parameters + 3 * 8 * (50 + 50 + 50 + 2)));
        let encoder = |tokens| {
            let sizes = EncoderSpec { vocabulary: 100, tokens, positions: 512, ..EncoderSpec::new(12, 2, 3) };
            of_training(&Graph::from(sizes), 8)
        };
        let (short, long) = (encoder(128), encoder(512));
        let maps = |tokens: u64| 4 * 3 * 8 * 2 * 3 * tokens * tokens;
        assert!(long - short > maps(512) - maps(128), "{short} {long}");
    }

    #[test]
    fn a_row_takes_the_most_of_its_steps_and_then_its_model() {
        let text = "schema = 1\nmodel = { network = { mlp = { hidden = [50] } } }\n\
                    data = { corpus = 'embedded' }\n\
                    [[variants]]\nid = 'a'\nsteps = [{ use = 'prune.neurons', on = ['hidden.*'], with = { remove = 0.5 } }]\n\
                    [[variants]]\nid = 'b'\nfrom = 'a'\nsteps = [{ use = 'quant.int8' }]\n";
        let recipe = Recipe::parse(text, "r.toml").unwrap();
        let base = Outline::dense(&Graph::from(MlpSpec::new(100, &[50], 1, 0.0)));
        let rooms = Room::of_rows(&base, &recipe.variants.iter().collect::<Vec<_>>(), &recipe.train);
        let [teacher, half, integers] = rooms[..] else { panic!("{rooms:?}") };
        assert_eq!(teacher.made, 4 * (100 * 50 + 50 + 50 + 1));
        assert_eq!(half.making, teacher.making, "it begins with the whole network");
        assert_eq!(half.made, 4 * (100 * 25 + 25 + 25 + 1));
        assert!(integers.making < half.making && 3 * integers.made < half.made, "{integers:?} {half:?}");
    }

    #[test]
    fn a_row_takes_the_batches_of_its_own_training() {
        let text = "schema = 1\nmodel = { network = { mlp = { hidden = [50] } } }\n\
                    data = { corpus = 'embedded' }\ntrain = { batch = 100 }\n\
                    [[variants]]\nid = 'a'\nsteps = [{ use = 'parallel.data' }]\n\
                    [[variants]]\nid = 'b'\nsteps = [{ use = 'parallel.data', with = { fit = { batch = 900 } } }]\n";
        let recipe = Recipe::parse(text, "r.toml").unwrap();
        let graph = Graph::from(MlpSpec::new(100, &[50], 1, 0.0));
        let variants = recipe.variants.iter().collect::<Vec<_>>();
        let rooms = Room::of_rows(&Outline::dense(&graph), &variants, &recipe.train);
        let making: Vec<u64> = rooms.iter().map(|room| room.making).collect();
        assert_eq!(making, [100, 32, 900].map(|batch| of_training(&graph, batch)));
    }
}
