//! `prune.pattern`: semi-structured pruning, in patterns that hardware and sparse formats like.
//!
//! - *N of M*: of each `m` consecutive inputs of an output, the `n` best stay (2:4 is what sparse tensor cores take).
//!   A ragged last group of `r < m` keeps the `n` best of them, or all.
//! - *Blocks*: tiles of `[inputs, outputs]` go or stay as one; at the edges they are smaller.
//! - *Rows* and *columns*: whole inputs, whole outputs. Their places cost next to nothing to write.
//!
//! Tiles compete with tiles of the same size, each size keeping its share, so that the planned count is exact. A
//! tile's score is the sum of its entries' squared magnitudes, or of Wanda's squared scores. Sites must be dense:
//! in a tile with holes, nobody could say beforehand how much stays.

use nlpress_core::Fraction;
use nlpress_model::{Form, Layer, Model, Outline, Shape, SiteId};
use nlpress_technique::settings::BadTable;
use nlpress_technique::{
    Cx, Family, Kind, Made, Needs, Problem, Settings, StepError, Technique, parse, settings,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::wanda;
use crate::frame::{
    CALIBRATION, FINETUNE, Tuning, calibration, keep_largest, masked, retrain_if, split, treatable,
};
use crate::{PruneError, error};

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "prune.pattern",
    family: Family::Simplify,
    summary: "Semi-structured pruning: N:M (2:4) sparsity, block sparsity, whole rows or whole columns.",
    source: "Mishra et al. 2021, arXiv:2104.08378 (2:4); Gray et al. 2017 (block-sparse weights); Li et al. 2017, \
             arXiv:1608.08710 (rows and columns by norm)",
    example: "n_m = \"2:4\"",
    on: &["hidden.*", "encoder.layer.*.*.dense"],
    settings: &[Raw::SETTINGS],
    parse: parse::<Pattern>,
};

/// N of every M consecutive inputs of each output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct NOfM {
    n: usize,
    m: usize,
}

impl TryFrom<String> for NOfM {
    type Error = PruneError;

    fn try_from(text: String) -> Result<Self, PruneError> {
        let parts = text.split_once(':').and_then(|(n, m)| Some((n.parse().ok()?, m.parse().ok()?)));
        match parts {
            Some((n, m)) if 1 <= n && n < m && m <= 16 => Ok(Self { n, m }),
            _ => Err(PruneError::setting("n_m", text, "\"n:m\" with 1 <= n < m <= 16")),
        }
    }
}

impl NOfM {
    /// The `m`.
    pub fn of(self) -> usize {
        self.m
    }

    /// Entries that stay of a weight of that shape.
    pub fn kept(self, shape: Shape) -> usize {
        let (groups, ragged) = (shape.inputs / self.m, shape.inputs % self.m);
        (groups * self.n + ragged.min(self.n)) * shape.outputs
    }

    /// The entries of the largest scores in each group, for `scores` `[inputs, outputs]`; the earlier among equals.
    ///
    /// # Errors
    /// [`PruneError::Length`] when the scores are no whole rows of `outputs`.
    pub fn keep(self, scores: &[f32], outputs: usize) -> Result<Vec<bool>, PruneError> {
        let inputs = scores.len() / outputs.max(1);
        PruneError::same_length("scores", scores.len(), inputs * outputs)?;
        let mut mask = vec![false; scores.len()];
        for (group, scores) in scores.chunks(self.m * outputs).enumerate() {
            for o in 0..outputs {
                let column: Vec<f32> = scores.iter().skip(o).step_by(outputs).copied().collect();
                let count = self.n.min(column.len());
                let keep = keep_largest(&[&column], &[vec![true; column.len()]], count)?;
                for (i, keep) in keep.into_iter().flatten().enumerate() {
                    mask[(group * self.m + i) * outputs + o] = keep;
                }
            }
        }
        Ok(mask)
    }

    /// The outline with this pattern at the selected sites, which must be dense.
    pub(crate) fn plan(self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        plan_counts(before, on, problems, |shapes| shapes.iter().map(|s| self.kept(*s)).sum())
    }
}

/// A tile of a weight, `[inputs, outputs]`; smaller at the edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tile {
    inputs: usize,
    outputs: usize,
}

/// Whole lines of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lines {
    /// All weights of an input.
    Rows,
    /// All weights of an output.
    Columns,
}

/// What entries are ranked by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Criterion {
    /// Magnitude.
    #[default]
    Magnitude,
    /// Magnitude times norm of the input.
    Wanda,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shapes {
    NOfM(NOfM),
    Block(Tile),
    Lines(Lines),
}

/// The checked configuration of `prune.pattern`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Pattern {
    shapes: Shapes,
    sparsity: Fraction,
    global: bool,
    criterion: Criterion,
    rows: usize,
    finetune: Option<Tuning>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Over {
    #[default]
    Site,
    Global,
}

settings! {
    struct Raw {
        /// "2:4", "1:4" and so on: n less than m, m at most 16; exactly one of n_m, block and lines is required
        n_m: Option<NOfM>,
        /// [inputs, outputs] of a tile, each from 1 to 256, for example [4, 1]
        block: Option<[usize; 2]>,
        /// "rows": whole inputs; "columns": whole outputs
        lines: Option<Lines>,
        /// share of the tiles or lines to drop, more than 0 and less than 1; required with block and lines, refused
        /// with n_m
        sparsity: Option<f64>,
        /// for block and lines, "site": tiles compete within each site (default); "global": over all selected sites
        scope: Option<Over>,
        /// "magnitude" (default); "wanda": magnitude times norm of the input
        #[serde(default)]
        criterion: Criterion,
        rows: Option<usize> as CALIBRATION,
        finetune: Option<Tuning> as FINETUNE.meaning,
    }
}

impl TryFrom<Raw> for Pattern {
    type Error = PruneError;

    fn try_from(raw: Raw) -> Result<Self, PruneError> {
        let shapes = match (raw.n_m, raw.block, raw.lines) {
            (Some(n_m), None, None) => {
                let bound = "left out with n_m, which says how much is kept where";
                if let Some(share) = raw.sparsity {
                    return Err(PruneError::setting("sparsity", share, bound));
                }
                if raw.scope.is_some() {
                    return Err(PruneError::setting("scope", "given", bound));
                }
                Shapes::NOfM(n_m)
            }
            (None, Some([inputs, outputs]), None) => {
                if !(1..=256).contains(&inputs) || !(1..=256).contains(&outputs) {
                    let value = format!("[{inputs}, {outputs}]");
                    return Err(PruneError::setting("block", value, "two numbers between 1 and 256"));
                }
                Shapes::Block(Tile { inputs, outputs })
            }
            (None, None, Some(lines)) => Shapes::Lines(lines),
            (None, None, None) => {
                return Err(PruneError::setting(
                    "n_m, block or lines",
                    "missing",
                    "given, exactly one of them",
                ));
            }
            _ => {
                return Err(PruneError::setting(
                    "n_m, block or lines",
                    "given twice",
                    "given, exactly one of them",
                ));
            }
        };
        let sparsity = match (shapes, raw.sparsity) {
            (Shapes::NOfM(_), _) => Fraction::ZERO,
            (_, Some(share)) => error::sparsity(share)?,
            (_, None) => {
                return Err(PruneError::setting("sparsity", "missing", "given with block and lines"));
            }
        };
        if raw.rows.is_some() && raw.criterion == Criterion::Magnitude {
            return Err(PruneError::setting("rows", "given", "left out unless criterion is \"wanda\""));
        }
        Ok(Self {
            shapes,
            sparsity,
            global: raw.scope == Some(Over::Global),
            criterion: raw.criterion,
            rows: calibration().read::<usize, BadTable>("rows", raw.rows)?,
            finetune: raw.finetune,
        })
    }
}

/// Masks over several weights whose tiles of `[inputs, outputs]` (smaller at the edges) go or stay as one: of the
/// tiles of each size, together over all weights, the share `sparsity` with the smallest sums of squared `scores`
/// goes.
///
/// # Errors
/// [`PruneError::Length`] when scores do not fit their shape.
pub fn keep_tiles(
    scores: &[&[f32]],
    shapes: &[Shape],
    tiles: &[[usize; 2]],
    sparsity: Fraction,
) -> Result<Vec<Vec<bool>>, PruneError> {
    PruneError::same_length("shapes", shapes.len(), scores.len())?;
    PruneError::same_length("tiles", tiles.len(), scores.len())?;
    let mut masks: Vec<Vec<bool>> = Vec::with_capacity(scores.len());
    let mut sizes: BTreeMap<usize, Vec<(f32, usize, Place)>> = BTreeMap::new();
    for (weight, ((scores, shape), tile)) in scores.iter().zip(shapes).zip(tiles).enumerate() {
        PruneError::same_length("scores", scores.len(), shape.weights())?;
        masks.push(vec![false; scores.len()]);
        for place in places(*shape, *tile) {
            let squares = entries(place, shape.outputs).map(|i| f64::from(scores[i]).powi(2));
            let sum = squares.sum::<f64>().sqrt() as f32;
            sizes.entry(place.weights()).or_default().push((sum, weight, place));
        }
    }
    let counts = kept_tiles(&sizes.iter().map(|(size, of)| (*size, of.len())).collect(), sparsity);
    for (of, count) in sizes.values().zip(counts.values()) {
        let sums: Vec<f32> = of.iter().map(|(sum, ..)| *sum).collect();
        let keep = keep_largest(&[&sums], &[vec![true; sums.len()]], *count)?;
        for ((_, weight, place), _) in of.iter().zip(keep.iter().flatten()).filter(|(_, keep)| **keep) {
            entries(*place, shapes[*weight].outputs).for_each(|i| masks[*weight][i] = true);
        }
    }
    Ok(masks)
}

/// Where a tile lies: first row, first column, rows, columns.
#[derive(Clone, Copy, Debug)]
struct Place {
    row: usize,
    column: usize,
    rows: usize,
    columns: usize,
}

impl Place {
    fn weights(self) -> usize {
        self.rows * self.columns
    }
}

fn places(shape: Shape, [rows, columns]: [usize; 2]) -> impl Iterator<Item = Place> {
    let Shape { inputs, outputs, .. } = shape;
    let (rows, columns) = (rows.max(1), columns.max(1));
    (0..inputs).step_by(rows).flat_map(move |row| {
        (0..outputs).step_by(columns).map(move |column| Place {
            row,
            column,
            rows: rows.min(inputs - row),
            columns: columns.min(outputs - column),
        })
    })
}

fn entries(place: Place, outputs: usize) -> impl Iterator<Item = usize> {
    let Place { row, column, rows, columns } = place;
    (row..row + rows).flat_map(move |r| (column..column + columns).map(move |c| r * outputs + c))
}

/// How many of the tiles of each size stay: each size its share, and all of them together exactly theirs.
fn kept_tiles(tiles: &BTreeMap<usize, usize>, sparsity: Fraction) -> BTreeMap<usize, usize> {
    let counts: Vec<usize> = tiles.values().copied().collect();
    let all: usize = counts.iter().sum();
    tiles.keys().copied().zip(split(all - sparsity.of(all), &counts)).collect()
}

/// Plans counts that depend on shapes only, at sites that must be dense.
fn plan_counts(
    before: &Outline,
    on: &[SiteId],
    problems: &mut Vec<Problem>,
    count: impl Fn(&[Shape]) -> usize,
) -> Outline {
    let mut after = before.clone();
    let sites = treatable(before, on, problems);
    for site in sites.iter().filter(|s| s.form == Form::Masked) {
        let why = "it is masked: a pattern needs a dense site, because in a tile with holes the kept entries \
                   cannot be told beforehand";
        problems.push(Problem::at(&site.id, why));
    }
    let shapes: Vec<Shape> = sites.iter().map(|s| s.shape).collect();
    let (all, kept) = (shapes.iter().map(|s| s.weights()).sum::<usize>(), count(&shapes));
    if kept >= all && !sites.is_empty() {
        problems.push(Problem::of_step(format!(
            "the pattern keeps {kept} of {all} entries and drops none: the selected sites are too small for it"
        )));
    }
    after.kept = before.kept.saturating_sub(all) + kept;
    for site in sites {
        if let Some(site) = after.site_mut(&site.id) {
            site.form = Form::Masked;
        }
    }
    after
}

impl Pattern {
    /// The tile of a weight of that shape.
    fn tile(&self, shape: Shape) -> [usize; 2] {
        match self.shapes {
            Shapes::NOfM(n_m) => [n_m.m, 1],
            Shapes::Block(tile) => [tile.inputs, tile.outputs],
            Shapes::Lines(Lines::Rows) => [1, shape.outputs],
            Shapes::Lines(Lines::Columns) => [shape.inputs, 1],
        }
    }

    /// Sites whose tiles compete: all, or each alone.
    fn groups<'a, T>(&self, sites: &'a [T]) -> std::slice::Chunks<'a, T> {
        sites.chunks(if self.global { sites.len().max(1) } else { 1 })
    }

    /// Entries that stay of weights of these shapes.
    fn kept(&self, shapes: &[Shape]) -> usize {
        if let Shapes::NOfM(n_m) = self.shapes {
            return shapes.iter().map(|s| n_m.kept(*s)).sum();
        }
        let mut all = 0;
        for group in self.groups(shapes) {
            let mut tiles = BTreeMap::new();
            for shape in group {
                places(*shape, self.tile(*shape)).for_each(|p| *tiles.entry(p.weights()).or_insert(0) += 1);
            }
            all += kept_tiles(&tiles, self.sparsity).iter().map(|(size, count)| size * count).sum::<usize>();
        }
        all
    }

    /// Masks of a group of sites, by number.
    fn masks(&self, model: &Model, sites: &[usize], cx: &Cx<'_>) -> Result<Vec<Vec<bool>>, StepError> {
        let layers: Vec<&Layer> = sites.iter().map(|i| &*model.layers()[*i]).collect();
        let scores: Vec<Vec<f32>> = match self.criterion {
            Criterion::Magnitude => {
                layers.iter().map(|l| l.weight.values().iter().map(|x| x.abs()).collect()).collect()
            }
            Criterion::Wanda => {
                let norms = wanda::norms(model, sites, self.rows, cx)?;
                let of = layers.iter().zip(&norms);
                let of = of.map(|(l, norms)| wanda::scores(&l.weight.values(), norms));
                of.collect::<Result<_, _>>()?
            }
        };
        if let Shapes::NOfM(n_m) = self.shapes {
            let of = scores.iter().zip(&layers);
            return Ok(of.map(|(s, l)| n_m.keep(s, l.shape.outputs)).collect::<Result<_, _>>()?);
        }
        let slices: Vec<&[f32]> = scores.iter().map(Vec::as_slice).collect();
        let shapes: Vec<Shape> = layers.iter().map(|l| l.shape).collect();
        let tiles: Vec<[usize; 2]> = shapes.iter().map(|s| self.tile(*s)).collect();
        Ok(keep_tiles(&slices, &shapes, &tiles, self.sparsity)?)
    }
}

impl Technique for Pattern {
    fn needs(&self) -> Needs {
        let looks = Needs::INPUTS.when(self.criterion == Criterion::Wanda);
        looks.and(Needs::TRAINING.when(self.finetune.is_some()))
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        plan_counts(before, on, problems, |shapes| self.kept(shapes))
    }

    fn apply(&self, mut model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let sites: Vec<usize> =
            model.layers().iter().enumerate().filter(|(_, l)| on.contains(&l.id)).map(|(i, _)| i).collect();
        for (done, group) in self.groups(&sites).enumerate() {
            cx.progress("cutting in a pattern", done, sites.len())?;
            for (&i, keep) in group.iter().zip(self.masks(&model, group, cx)?) {
                let id = model.layers()[i].id.clone();
                model = masked(model, &id, keep)?;
            }
        }
        Ok(retrain_if(model, self.finetune.as_ref(), cx)?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Pattern, String> {
        toml::from_str(text).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn two_of_four_are_the_largest_and_a_ragged_group_keeps_what_it_can() {
        let n_m = NOfM::try_from("2:4".to_owned()).unwrap();
        // Six inputs, one output: a group of four, and a group of two that keeps both.
        assert_eq!(
            n_m.keep(&[1.0, -4.0, 3.0, 2.0, 0.1, 0.2], 1).unwrap(),
            [false, true, true, false, true, true]
        );
        assert_eq!(n_m.kept(Shape::new(6, 3)), 12);
        assert_eq!(n_m.kept(Shape::new(5, 3)), 9);
        assert!(n_m.keep(&[1.0; 5], 2).is_err());
    }

    #[test]
    fn settings_are_checked() {
        for good in [
            "n_m = '1:4'",
            "block = [4, 1]\nsparsity = 0.5",
            "lines = 'rows'\nsparsity = 0.5\nscope = 'global'",
        ] {
            read(good).unwrap();
        }
        for (bad, says) in [
            ("", "n_m, block or lines is missing"),
            ("n_m = '2:4'\nlines = 'rows'", "given twice"),
            ("n_m = '4:4'", "n_m is 4:4, but it must be"),
            ("n_m = '2:17'", "n_m is 2:17"),
            ("n_m = 'two'", "n_m is two"),
            ("n_m = '2:4'\nsparsity = 0.5", "sparsity is 0.5, but it must be left out"),
            ("block = [0, 4]\nsparsity = 0.5", "block is [0, 4]"),
            ("block = [4, 4]", "sparsity is missing"),
            ("lines = 'columns'\nsparsity = 1", "sparsity is 1"),
            ("n_m = '2:4'\nrows = 9", "rows is given"),
        ] {
            let message = read(bad).unwrap_err();
            assert!(message.contains(says), "{bad}: {message}");
        }
    }

    proptest! {
        #[test]
        fn tiles_go_whole_and_as_many_as_planned(
            shape in (1usize..20, 1usize..20), tile in (1usize..7, 1usize..7), share in 0.01..0.99f64,
        ) {
            let shape = Shape::new(shape.0, shape.1);
            let pattern = read(&format!("block = [{}, {}]\nsparsity = {share}", tile.0, tile.1)).unwrap();
            let scores: Vec<f32> = (0..shape.weights()).map(|i| (i * 7919 % 101) as f32).collect();
            let sparsity = Fraction::try_from(share).unwrap();
            let masks = keep_tiles(&[&scores], &[shape], &[[tile.0, tile.1]], sparsity).unwrap();
            prop_assert_eq!(masks[0].iter().filter(|k| **k).count(), pattern.kept(&[shape]));
            for place in places(shape, [tile.0, tile.1]) {
                let in_tile: Vec<bool> = entries(place, shape.outputs).map(|i| masks[0][i]).collect();
                prop_assert!(in_tile.iter().all(|k| *k == in_tile[0]));
            }
        }

        #[test]
        fn n_of_m_keeps_as_many_as_planned(inputs in 1usize..40, outputs in 1usize..5, n in 1usize..8, more in 1usize..8) {
            let n_m = NOfM { n, m: n + more };
            let scores: Vec<f32> = (0..inputs * outputs).map(|i| (i * 7919 % 101) as f32).collect();
            let mask = n_m.keep(&scores, outputs).unwrap();
            prop_assert_eq!(mask.iter().filter(|k| **k).count(), n_m.kept(Shape::new(inputs, outputs)));
        }
    }
}
