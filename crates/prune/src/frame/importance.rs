//! Importance scores of units (neurons, heads, dimensions): the criteria of structured pruning.

use nlpress_model::{Dataset, Group, Layer, Model, Network};
use nlpress_technique::{Cx, StepError};
use nlpress_train::{Labels, Objective};
use serde::{Deserialize, Serialize};

use super::activations::ROWS;
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

/// The setting of that name.
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

/// Scores the units of a group.
///
/// # Errors
/// [`StepError`] when the data do not fit, the device fails, or on a request to stop.
pub fn score(
    model: &Model,
    group: &Group,
    criterion: ImportanceCriterion,
    cx: &Cx<'_>,
) -> Result<Importance, StepError> {
    let (means, magnitudes) = levels(
        model,
        group,
        if criterion == ImportanceCriterion::Ablation { cx.valid } else { cx.train },
        cx,
    )?;
    let scores = match criterion {
        ImportanceCriterion::Ablation => ablation(model, group, &means, cx)?,
        ImportanceCriterion::Taylor => {
            let worth = factors(model, std::slice::from_ref(group), &Labels::of(cx.train), cx)?.remove(0);
            let sum = |unit| worth.iter().map(|row: &Vec<f64>| row[unit]).sum::<f64>().abs();
            (0..group.units).map(sum).collect()
        }
        ImportanceCriterion::Fisher => {
            fisher(&factors(model, std::slice::from_ref(group), &Labels::of(cx.train), cx)?.remove(0))
        }
        ImportanceCriterion::L1 => weights(model, group, |w| f64::from(w.abs())),
        ImportanceCriterion::L2 => weights(model, group, |w| f64::from(w * w)),
        ImportanceCriterion::Activation => per_unit(&magnitudes, group.block),
    };
    Ok(Importance { scores, levels: means })
}

/// The mean of each number of a group's units over the training rows, `[units · block]`.
pub(crate) fn means(model: &Model, group: &Group, cx: &Cx<'_>) -> Result<Vec<f32>, StepError> {
    Ok(levels(model, group, cx.train, cx)?.0)
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

/// Mean and mean magnitude of every number of a group's units, as the first site that reads them gets it.
fn levels(
    model: &Model,
    group: &Group,
    data: &Dataset,
    cx: &Cx<'_>,
) -> Result<(Vec<f32>, Vec<f64>), StepError> {
    let (site, network) = (reader(model, group)?, Network::bind(model, cx.backend));
    let (mut sums, mut sizes) =
        (vec![0.0_f64; group.units * group.block], vec![0.0_f64; group.units * group.block]);
    let mut count = 0;
    let rows = sample(data);
    for (n, part) in rows.chunks(ROWS).enumerate() {
        cx.progress("measuring activations", n * ROWS, rows.len())?;
        let inputs = network.site_inputs(site, data.examples(), part)?;
        count += inputs.len();
        for row in inputs.iter() {
            for (&column, &value) in row.columns.iter().zip(row.values) {
                sums[column as usize] += f64::from(value);
                sizes[column as usize] += f64::from(value.abs());
            }
        }
    }
    let count = count.max(1) as f64;
    Ok((sums.iter().map(|s| (s / count) as f32).collect(), sizes.iter().map(|s| s / count).collect()))
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
