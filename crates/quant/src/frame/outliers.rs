//! Which inputs of a site stay 16-bit floats beside its integers, and whether that pays.
//!
//! Dettmers et al. 2022 (LLM.int8(), arXiv:2208.07339) keep every input that reaches a magnitude of 6 as floats. Here
//! there is a budget instead, and it is spent only where it shows: inputs are ranked on training rows by
//! `max|x_i| · ‖w_i‖`, the most that they add to the outputs, and by `max|x_i|`, the step that they force upon the others
//! (a large input of small weights is first in one and last in the other). On other training rows the site's outputs are
//! computed as they ship, with 0, 1, 2, 4, … of either kept. None is kept unless the best of these lowers the
//! mean squared error by a tenth; then the fewest that bring nine tenths of what the best brings. The scales are fitted
//! without the inputs that are kept, those of the weights and, where it is fixed, that of the activations.

use nlpress_core::Measurement;
use nlpress_kernels::{Input, Linear, Scratch};
use nlpress_model::{Form, Model, Network, Outline, SiteId, Weight};
use nlpress_packed::{Index, Matrix, Scheme, Values};
use nlpress_technique::{Cx, StepError};
use nlpress_text::Rows;

use crate::calibration::{Calibration, weighted};
use crate::rounding::Rounding;
use crate::{QuantError, sites};

/// Most of them.
pub(crate) const MOST: u16 = 256;
/// Training rows that are looked at: half of them choose, the other half judge.
const SAMPLES: usize = 512;
/// Most inputs of a half, where a row gives several.
const INPUTS: usize = 2048;
/// Rows of inputs that are calibrated together.
const BATCH: usize = 32;
/// The error that keeping any must come down to, as a share of that of keeping none.
const WORTH: f64 = 0.9;
/// The share of the best gain that is as good as all of it.
const ENOUGH: f64 = 0.9;

/// How sites are packed, with up to `most` outliers each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search<'a> {
    pub(crate) rounding: &'a Rounding,
    pub(crate) most: u16,
    pub(crate) activations: Option<&'a Calibration>,
}

/// A site's weight.
#[derive(Clone, Copy, Debug)]
struct Plain<'a> {
    values: &'a [f32],
    shape: (usize, usize),
    keep: Option<&'a [bool]>,
    index: Index,
}

/// What is best for a site.
#[derive(Debug)]
struct Found {
    matrix: Matrix,
    kept: usize,
    /// The error of its outputs as a share of that without outliers, and that of the best that was tried.
    ratio: f64,
    best: f64,
}

impl Search<'_> {
    /// The outline with as many outliers as there may be at most.
    pub(crate) fn plan(&self, before: Outline, on: &[SiteId]) -> Outline {
        let mut after = before;
        for id in on {
            let Some(site) = after.site_mut(id) else { continue };
            let inputs = u16::try_from(site.shape.inputs).unwrap_or(u16::MAX);
            if let Form::Packed(Scheme { values: Values::Int(int), .. }) = &mut site.form {
                int.outliers = self.most.min(inputs);
            }
        }
        after
    }

    /// Packs the sites in the order of the network: each sees what the ones before it make of the rows, with their
    /// outliers and with the scales of their activations.
    ///
    /// # Errors
    /// [`StepError`] when asked to stop, a site cannot be packed, or there are not two training rows.
    pub(crate) fn apply(&self, mut model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        let drawn = cx.draw(SAMPLES);
        let (choosing, judging) = drawn.split_at(drawn.len().div_ceil(2));
        if judging.is_empty() {
            return Err(StepError::Failed(format!(
                "outliers are chosen on some training rows and judged on others, but of rows there {}",
                if drawn.len() == 1 { "is 1" } else { "are none" }
            )));
        }
        let selected = sites::selected(&model, on)?;
        let mut totals = sites::Totals::default();
        for (done, &site) in selected.iter().enumerate() {
            cx.progress("choosing outliers", done, selected.len())?;
            let layer = &model.layers()[site];
            let id = &layer.id.clone();
            let (keep, index) = sites::unpacked(layer)?;
            let network = Network::bind(&model, cx.backend);
            let inputs =
                |rows| Ok::<_, StepError>(some(&network.site_inputs(site, cx.train.examples(), rows)?));
            let (choosing, judging) = (inputs(choosing)?, inputs(judging)?);
            let values = layer.weight.values();
            let shape = (layer.shape.inputs, layer.shape.outputs);
            let plain = Plain { values: &values, shape, keep, index };
            let found = self.choose(&plain, &choosing, &judging).map_err(|e| StepError::at(id, e))?;
            cx.measure(Measurement::lower(&format!("outliers.{id}"), found.kept as f64, "inputs"));
            cx.measure(Measurement::lower(&format!("outlier_error_ratio.{id}"), found.ratio, "1"));
            if found.kept == 0 {
                cx.note(format!("{id}: no outliers; the best leave {:.3} of the error", found.best));
            }
            totals.add(id, &values, &found.matrix, index, cx);
            let scheme = Scheme { values: found.matrix.scheme().values, index };
            model = model.with_weight(id, Weight::Packed { scheme, matrix: found.matrix })?;
            model = Calibration::apply_if(self.activations, model, std::slice::from_ref(id), cx)?;
        }
        totals.report(cx);
        cx.progress("choosing outliers", selected.len(), selected.len())?;
        Ok(model)
    }

    /// The fewest outliers that are worth it, of those that `choosing` ranks and `judging` judges.
    fn choose(&self, plain: &Plain<'_>, choosing: &Rows, judging: &Rows) -> Result<Found, QuantError> {
        let rankings = rankings(choosing, plain);
        let most = rankings[0].len().min(self.most.into());
        let exact = exact(judging, plain);
        let mut tried = Vec::new();
        let mut count = 0;
        loop {
            let mut sets = rankings.each_ref().map(|ranked| ranked[..count].to_vec());
            sets.iter_mut().for_each(|set| set.sort_unstable());
            let same = sets[0] == sets[1];
            for outliers in sets.into_iter().take(if same { 1 } else { 2 }) {
                let matrix = self.pack(plain, outliers, choosing)?;
                tried.push((error(&matrix, judging, &exact), count, matrix));
            }
            if count == most {
                break;
            }
            count = (2 * count).clamp(1, most);
        }
        let none = tried[0].0;
        let least = tried.iter().fold(f64::INFINITY, |least, (error, ..)| least.min(*error));
        let share = |error: f64| if none > 0.0 { error / none } else { 1.0 };
        let pays = least <= WORTH * none && none > 0.0;
        let enough = if pays { none - ENOUGH * (none - least) } else { f64::INFINITY };
        let place = tried.iter().position(|(error, ..)| *error <= enough).unwrap_or(0);
        let (error, kept, matrix) = tried.swap_remove(place);
        Ok(Found { matrix, kept, ratio: share(error), best: share(least) })
    }

    /// The weight as integers, but for the outliers; the scale of the activations, where it is to be fixed, is the one
    /// that these rows ask for.
    fn pack(&self, plain: &Plain<'_>, outliers: Vec<u32>, rows: &Rows) -> Result<Matrix, QuantError> {
        let (shape, outputs) = (plain.shape, plain.shape.1);
        let keep = plain.keep;
        let mut counts = keep.map_or_else(|| vec![true; plain.values.len()], <[bool]>::to_vec);
        let mut beside = Vec::with_capacity(outliers.len() * outputs);
        for &input in &outliers {
            let row = input as usize * outputs..(input as usize + 1) * outputs;
            beside.extend_from_slice(&plain.values[row.clone()]);
            counts[row].fill(false);
        }
        let integers = self.rounding.quantize(plain.values, outputs, Some(&counts))?;
        let mut matrix = integers.pack(shape, self.rounding.grid, keep, plain.index)?;
        if !outliers.is_empty() {
            matrix = matrix.with_outliers(outliers, &beside)?;
        }
        let Some(calibration) = self.activations else { return Ok(matrix) };
        let all: Vec<usize> = (0..rows.len()).collect();
        let batches: Vec<Vec<f32>> =
            all.chunks(BATCH).map(|batch| weighted(&rows.select(batch), &matrix)).collect();
        let scale = calibration.scale(&batches, self.rounding.grid.activation_levels()).0;
        Ok(matrix.with_activations(scale)?)
    }
}

/// Some of the rows, evenly, where there are very many.
fn some(rows: &Rows) -> Rows {
    let step = rows.len().div_ceil(INPUTS).max(1);
    rows.select(&(0..rows.len()).step_by(step).collect::<Vec<_>>())
}

/// Inputs by `max|x_i| · ‖w_i‖` and by `max|x_i|`, the largest first, and the first among equals; without those of which
/// the former is 0.
fn rankings(rows: &Rows, plain: &Plain<'_>) -> [Vec<u32>; 2] {
    let mut largest = vec![0.0_f32; plain.shape.0];
    for row in rows.iter() {
        for (&column, x) in row.columns.iter().zip(row.values) {
            let largest = &mut largest[column as usize];
            *largest = largest.max(x.abs());
        }
    }
    let weights = plain.values.chunks_exact(plain.shape.1);
    let score = |(x, row): (&f32, &[f32])| {
        f64::from(*x) * row.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>().sqrt()
    };
    let scores: Vec<f64> = largest.iter().zip(weights).map(score).collect();
    let mut by_score: Vec<u32> =
        (0..scores.len() as u32).filter(|input| scores[*input as usize] > 0.0).collect();
    let mut by_size = by_score.clone();
    by_score.sort_by(|a, b| scores[*b as usize].total_cmp(&scores[*a as usize]));
    by_size.sort_by(|a, b| largest[*b as usize].total_cmp(&largest[*a as usize]));
    [by_score, by_size]
}

/// The outputs of floats, without a bias, `[rows, outputs]`.
fn exact(rows: &Rows, plain: &Plain<'_>) -> Vec<f64> {
    let outputs = plain.shape.1;
    let mut all = vec![0.0; rows.len() * outputs];
    for (row, out) in rows.iter().zip(all.chunks_exact_mut(outputs)) {
        for (&column, x) in row.columns.iter().zip(row.values) {
            let weights = &plain.values[column as usize * outputs..][..outputs];
            out.iter_mut().zip(weights).for_each(|(out, w)| *out += f64::from(*x) * f64::from(*w));
        }
    }
    all
}

/// The mean squared error of the outputs that ship.
fn error(matrix: &Matrix, rows: &Rows, exact: &[f64]) -> f64 {
    let bias = vec![0.0; matrix.outputs()];
    let weight = Linear::for_sparse_rows(matrix.clone());
    let (mut out, mut scratch) = (bias.clone(), Scratch::default());
    let mut sum = 0.0;
    for (row, exact) in rows.iter().zip(exact.chunks_exact(matrix.outputs())) {
        let input = Input::Sparse { columns: row.columns, values: row.values };
        weight.multiply(input, &bias, &mut out, &mut scratch);
        sum += out.iter().zip(exact).map(|(out, exact)| (f64::from(*out) - exact).powi(2)).sum::<f64>();
    }
    sum / exact.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibration::Calibrator;
    use nlpress_core::Seed;
    use nlpress_packed::{Grid, Per};

    const SHAPE: (usize, usize) = (40, 12);

    /// Rows of which input 17 is so many times the others, and weights.
    fn world(times: f32, seed: u64) -> (Rows, Vec<f32>) {
        let mut rng = Seed(seed).stream(0);
        let factor = |i: usize| if i % SHAPE.0 == 17 { times } else { 1.0 };
        let dense: Vec<f32> = (0..200 * SHAPE.0).map(|i| rng.normal() * factor(i)).collect();
        let weights = (0..SHAPE.0 * SHAPE.1).map(|_| rng.normal() * 0.3).collect();
        (Rows::from_dense(200, SHAPE.0, &dense).unwrap(), weights)
    }

    fn found(search: Search<'_>, times: f32, keep: Option<&[bool]>) -> Found {
        let (rows, weights) = world(times, 5);
        let index = if keep.is_some() { Index::Sparse } else { Index::Full };
        let weights: Vec<f32> = match keep {
            Some(keep) => weights.iter().zip(keep).map(|(w, keep)| if *keep { *w } else { 0.0 }).collect(),
            None => weights,
        };
        let plain = Plain { values: &weights, shape: SHAPE, keep, index };
        let half = |from: usize| rows.select(&(from..from + 100).collect::<Vec<_>>());
        search.choose(&plain, &half(0), &half(100)).unwrap()
    }

    #[test]
    fn one_large_input_is_kept_and_the_error_falls() {
        let minmax: Calibration = toml::from_str("calibrator = 'minmax'").unwrap();
        for per in [Per::Channel, Per::Tensor, Per::Row] {
            for activations in [None, Some(&minmax)] {
                let rounding = Rounding { per, ..Rounding::new(Grid::Int8) };
                let found = found(Search { rounding: &rounding, most: 8, activations }, 100.0, None);
                assert!(found.matrix.outliers().unwrap().inputs().contains(&17));
                assert!(found.ratio <= 0.2, "{per}: {}", found.ratio);
                assert_eq!(found.matrix.activations().is_some(), activations.is_some());
                let one = self::found(Search { rounding: &rounding, most: 1, activations }, 100.0, None);
                assert_eq!((one.kept, one.matrix.outliers().unwrap().inputs()), (1, &[17][..]));
                assert!(one.ratio <= 0.2, "{per}: {}", one.ratio);
            }
        }
    }

    #[test]
    fn a_mask_is_kept() {
        let keep: Vec<bool> = (0..SHAPE.0 * SHAPE.1).map(|i| i % 3 != 0).collect();
        for grid in [Grid::Int8, Grid::Int2] {
            let rounding = Rounding::new(grid);
            let found = found(Search { rounding: &rounding, most: 4, activations: None }, 100.0, Some(&keep));
            assert_eq!(found.matrix.keep(), keep);
            assert!(found.matrix.outliers().unwrap().inputs().contains(&17) && found.ratio < 0.2);
        }
    }

    #[test]
    fn none_is_kept_where_none_stands_out() {
        for (grid, most) in [(Grid::Int8, 2), (Grid::Int4, 2), (Grid::Int3, 1)] {
            let rounding = Rounding::new(grid);
            let found = found(Search { rounding: &rounding, most, activations: None }, 1.0, None);
            assert_eq!((found.kept, found.ratio), (0, 1.0), "{grid}: {}", found.best);
            assert_eq!(found.matrix.outliers(), None);
        }
    }

    #[test]
    fn without_an_error_none_is_kept() {
        let zeros = vec![0.0; SHAPE.0 * SHAPE.1];
        let plain = Plain { values: &zeros, shape: SHAPE, keep: None, index: Index::Full };
        let rounding = Rounding::new(Grid::Int8);
        let search = Search { rounding: &rounding, most: 8, activations: None };
        let rows = world(100.0, 1).0;
        let found = search.choose(&plain, &rows, &rows).unwrap();
        assert_eq!((found.kept, found.ratio), (0, 1.0));
    }

    #[test]
    fn inputs_are_ranked_by_what_they_are_times_their_weights() {
        let rows = Rows::from_dense(2, 4, &[1.0, 0.0, -5.0, 2.0, 3.0, 0.0, 1.0, 2.0]).unwrap();
        let plain = Plain {
            values: &[1.0, 0.0, 9.0, 9.0, 0.0, 0.5, 3.0, 4.0],
            shape: (4, 2),
            keep: None,
            index: Index::Full,
        };
        assert_eq!(rankings(&rows, &plain), [[3, 0, 2], [2, 0, 3]]);
    }

    #[test]
    fn the_scale_of_the_activations_is_that_of_the_others() {
        let (rows, weights) = world(100.0, 5);
        let plain = Plain { values: &weights, shape: SHAPE, keep: None, index: Index::Full };
        let rounding = Rounding::new(Grid::Int8);
        let calibration = toml::from_str("calibrator = 'minmax'").unwrap();
        let search = Search { rounding: &rounding, most: 1, activations: Some(&calibration) };
        let largest = |of: &dyn Fn(u32) -> bool| {
            let all = rows.columns().iter().zip(rows.values()).filter(|(c, _)| of(**c));
            all.map(|(_, x)| x.abs()).fold(0.0, f32::max)
        };
        assert_eq!(Calibrator::MinMax.range(&[vec![2.0]], 127), 2.0);
        let scale =
            |outliers: &[u32]| search.pack(&plain, outliers.to_vec(), &rows).unwrap().activations().unwrap();
        assert_eq!(scale(&[17]), largest(&|c| c != 17) / 127.0);
        assert_eq!(scale(&[]), largest(&|_| true) / 127.0);
    }
}
