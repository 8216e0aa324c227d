//! Importance scores of units (neurons, heads, dimensions): the criteria of structured pruning.

use nlpress_model::{Dataset, Group, Layer, Model, Network};
use nlpress_technique::{Cx, Needs, StepError};
use nlpress_train::{Labels, Objective};
use serde::{Deserialize, Serialize};

use super::activations::{ROWS, each_input};
use super::units::remove;

/// How the importance of a unit is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportanceCriterion {
    /// The rise of the validation loss when it is held at its mean: measured, one unit at a time.
    Ablation,
    /// The size of the loss's derivative by a factor on the unit, summed over the training rows (Molchanov et al. 2019).
    Taylor,
    /// The sum of that derivative's square over the training rows: the diagonal of Fisher's information (Theis et al.
    /// 2018; Kwon et al. 2022).
    Fisher,
    /// The sum of the magnitudes of its weights (Li et al. 2017).
    L1,
    /// The sum of the squares of its weights.
    L2,
    /// The mean magnitude of its outputs on the training rows (Hu et al. 2016).
    Activation,
}

impl ImportanceCriterion {
    /// What it looks at, besides the training rows that say what the mean of a unit is.
    pub(crate) fn needs(self) -> Needs {
        match self {
            Self::Ablation => Needs::VALIDATION,
            Self::Taylor | Self::Fisher => Needs::LABELS,
            Self::L1 | Self::L2 | Self::Activation => Needs::INPUTS,
        }
    }

    /// How many of `groups` are measured before any of them is cut: all in one pass, but for ablation, which measures the
    /// network that ships and so looks at what the groups before are by then.
    pub(crate) fn at_once(self, groups: usize) -> usize {
        if self == Self::Ablation { 1 } else { groups.max(1) }
    }
}

/// The description of `criterion`.
pub(crate) const CRITERION: &str = "\"ablation\": the rise of the validation loss when a unit is held at its mean; \
     \"taylor\", \"fisher\": the derivative of the training loss by a factor on it, summed, or its squares; \"l1\", \
     \"l2\": its weights; \"activation\": its outputs";

/// Importance scores of the units of a group, and the mean activation of each of their numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Importance {
    /// A score for each unit.
    pub scores: Vec<f64>,
    /// The mean of each number over the rows, `[units · block]`.
    pub levels: Vec<f32>,
}

/// Training rows that criteria look at, at most.
const MOST_ROWS: usize = 2048;

/// Scores the units of each of some groups; rows are looked at in one pass for all of them.
///
/// # Errors
/// [`StepError`] when the data do not fit, the device fails, or on a request to stop.
pub fn score(
    model: &Model,
    groups: &[Group],
    criterion: ImportanceCriterion,
    cx: &Cx<'_>,
) -> Result<Vec<Importance>, StepError> {
    let data = if criterion == ImportanceCriterion::Ablation { cx.valid } else { cx.train };
    let levels = levels(model, groups, data, cx)?;
    let mut worth = match criterion {
        ImportanceCriterion::Taylor | ImportanceCriterion::Fisher => {
            factors(model, groups, &Labels::of(cx.train.labelled()?), cx)?
        }
        _ => Vec::new(),
    }
    .into_iter();
    let each = groups.iter().zip(levels).map(|(group, Levels { means, magnitudes })| {
        let worth = worth.next().unwrap_or_default();
        let scores = match criterion {
            ImportanceCriterion::Ablation => ablation(model, group, &means, cx)?,
            ImportanceCriterion::Taylor => {
                let sum = |unit| worth.iter().map(|row: &Vec<f64>| row[unit]).sum::<f64>().abs();
                (0..group.units).map(sum).collect()
            }
            ImportanceCriterion::Fisher => fisher(&worth),
            ImportanceCriterion::L1 => weights(model, group, |w| f64::from(w.abs())),
            ImportanceCriterion::L2 => weights(model, group, |w| f64::from(w * w)),
            ImportanceCriterion::Activation => per_unit(&magnitudes, group.block),
        };
        Ok(Importance { scores, levels: means })
    });
    each.collect()
}

/// The mean of each number of the units of each group over the training rows, `[units · block]`.
pub(crate) fn means(model: &Model, groups: &[Group], cx: &Cx<'_>) -> Result<Vec<Vec<f32>>, StepError> {
    Ok(levels(model, groups, cx.train, cx)?.into_iter().map(|levels| levels.means).collect())
}

/// How large the numbers of a group's units are, `[units · block]` each.
struct Levels {
    means: Vec<f32>,
    magnitudes: Vec<f64>,
}

/// The diagonal of Fisher's information from the derivatives of each row, `[rows][units]`.
pub fn fisher(rows: &[Vec<f64>]) -> Vec<f64> {
    let units = rows.first().map_or(0, Vec::len);
    (0..units).map(|unit| rows.iter().map(|row| row[unit] * row[unit]).sum()).collect()
}

/// The numbers of the `count` units of the least importance, ascending; the earlier among equals.
pub fn least(scores: &[f64], count: usize) -> Vec<usize> {
    let mut units: Vec<usize> = (0..scores.len()).collect();
    units.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    units.truncate(count);
    units.sort_unstable();
    units
}

/// Rows that criteria look at: evenly spread over the data.
pub(crate) fn sample(data: &Dataset) -> Vec<usize> {
    let step = data.len().div_ceil(MOST_ROWS).max(1);
    (0..data.len()).step_by(step).collect()
}

/// The site that reads the units, by number.
pub(crate) fn reader(model: &Model, group: &Group) -> Result<usize, StepError> {
    let site = group.rows.first().and_then(|id| model.layers().iter().position(|l| &l.id == id));
    site.ok_or_else(|| StepError::Failed(format!("{}: no site reads its units", group.lead())))
}

/// Mean and mean magnitude of every number of the units of each group, as the first site that reads them gets it.
fn levels(model: &Model, groups: &[Group], data: &Dataset, cx: &Cx<'_>) -> Result<Vec<Levels>, StepError> {
    let sites: Vec<usize> = groups.iter().map(|group| reader(model, group)).collect::<Result<_, _>>()?;
    // Sums of the numbers and of their magnitudes, and how many rows there were.
    let mut sums: Vec<(Vec<[f64; 2]>, usize)> =
        groups.iter().map(|group| (vec![[0.0; 2]; group.units * group.block], 0)).collect();
    each_input(model, &sites, (data, &sample(data)), cx, &mut |site, inputs| {
        for ((sums, count), _) in sums.iter_mut().zip(&sites).filter(|(_, of)| **of == site) {
            *count += inputs.len();
            for row in inputs.iter() {
                for (&column, &value) in row.columns.iter().zip(row.values) {
                    sums[column as usize][0] += f64::from(value);
                    sums[column as usize][1] += f64::from(value.abs());
                }
            }
        }
        Ok(())
    })?;
    let levels = sums.into_iter().map(|(sums, count)| {
        let count = count.max(1) as f64;
        let means = sums.iter().map(|[sum, _]| (sum / count) as f32).collect();
        Levels { means, magnitudes: sums.iter().map(|[_, size]| size / count).collect() }
    });
    Ok(levels.collect())
}

fn per_unit(numbers: &[f64], block: usize) -> Vec<f64> {
    numbers.chunks_exact(block).map(|n| n.iter().sum()).collect()
}

/// The rise of the validation loss without each unit.
fn ablation(model: &Model, group: &Group, levels: &[f32], cx: &Cx<'_>) -> Result<Vec<f64>, StepError> {
    let before = cx.loss(model)?;
    if group.units == 1 {
        return Ok(vec![0.0]);
    }
    (0..group.units)
        .map(|unit| {
            cx.progress("measuring units", unit, group.units)?;
            Ok(cx.loss(&remove(model.clone(), group, &[unit], Some(levels))?)? - before)
        })
        .collect()
}

/// The derivative of each training row's loss by a factor on each unit, for each group: `[group][row][unit]`.
///
/// # Errors
/// As [`score`].
pub fn factors(
    model: &Model,
    groups: &[Group],
    objective: &dyn Objective,
    cx: &Cx<'_>,
) -> Result<Vec<Vec<Vec<f64>>>, StepError> {
    let network = Network::bind(model, cx.backend);
    let number = |id| model.layers().iter().position(|l| &l.id == id);
    let readers: Vec<Vec<usize>> =
        groups.iter().map(|g| g.rows.iter().filter_map(number).collect()).collect();
    let sites: Vec<usize> = readers.iter().flatten().copied().collect();
    let mut all = vec![Vec::new(); groups.len()];
    let rows = sample(cx.train);
    for (n, part) in rows.chunks(ROWS).enumerate() {
        cx.progress("measuring derivatives", n * ROWS, rows.len())?;
        // Every row for itself: the batch is one row long as far as the loss is concerned.
        let mut loss = |logits: &[f32], gradient: &mut [f32]| objective.loss(part, 1, logits, gradient);
        let found = network.input_worth(&sites, (cx.train.examples(), part), &mut loss)?;
        let mut found = found.iter();
        for ((all, readers), group) in all.iter_mut().zip(&readers).zip(groups) {
            // A unit that several sites read has a factor at each; together they are its own.
            let mut numbers = vec![0.0; part.len() * group.units * group.block];
            for of_site in found.by_ref().take(readers.len()) {
                numbers.iter_mut().zip(of_site).for_each(|(sum, x)| *sum += f64::from(*x));
            }
            all.extend(numbers.chunks_exact(group.units * group.block).map(|row| per_unit(row, group.block)));
        }
    }
    Ok(all)
}

/// A sum over all weights of each unit, at every site of the group.
fn weights(model: &Model, group: &Group, size: impl Fn(f32) -> f64) -> Vec<f64> {
    let mut sums = vec![0.0; group.units];
    for Layer { id, shape, weight, .. } in model.layers().iter().map(|layer| &**layer) {
        let (made, read) = (group.columns.contains(id), group.rows.contains(id));
        if !(made || read) {
            continue;
        }
        for (i, w) in weight.values().iter().enumerate() {
            let (row, column) = (i / shape.outputs, i % shape.outputs);
            sums[if made { column } else { row } / group.block] += size(*w);
        }
    }
    sums
}
