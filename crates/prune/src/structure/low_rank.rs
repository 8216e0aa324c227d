//! `prune.low_rank`: low-rank factorization, a matrix becomes the product of two thin ones.
//!
//! A weight `[inputs, outputs]` becomes `[inputs, rank]` times `[rank, outputs]`, which is fewer numbers and fewer
//! products at a small rank. Of all products of that rank one comes closest to the weight: the largest singular values
//! and their vectors (Eckart and Young 1936). What the site is there for is its output, though, so by default the
//! product comes closest to the outputs on training rows (Chen et al. 2021): then the second factor is the directions
//! in which the outputs vary most, and the first one the weight along them. This module refuses sites where the two
//! factors would be no smaller than the one.

use nlpress_core::Fraction;
use nlpress_model::{Form, Layer, Model, Outline, Shape, Site, SiteId, Weight};
use nlpress_technique::{
    Cx, Family, Kind, Made, Needs, Problem, Settings, StepError, Technique, parse, settings,
};
use nlpress_train::FitConfig;
use serde::Deserialize;

use crate::PruneError;
use crate::frame::{AFTERWARDS, directions, each_input, treatable, tune_if};
use crate::importance::sample;
use crate::solve;

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "prune.low_rank",
    family: Family::Simplify,
    summary: "Low-rank factorization: replaces a matrix by the product of two thin ones that comes closest \
              to it on the training rows.",
    source: "Denton et al. 2014, arXiv:1404.0736; Eckart and Young 1936; weighted: Chen et al. 2021 (DRONE)",
    example: "rank = 2",
    on: &["hidden.0", "encoder.*.ffn.up", "encoder.layer.*.intermediate.dense"],
    settings: &[Raw::SETTINGS],
    parse: parse::<LowRank>,
};

/// The checked configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct LowRank {
    rank: Rank,
    weighted: bool,
    finetune: Option<FitConfig>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rank {
    Count(usize),
    Share(Fraction),
}

settings! {
    struct Raw {
        /// width between the two factors, at least 1 and so small that they have fewer weights than the one; this
        /// or share
        rank: Option<usize>,
        /// the rank as a share of the largest possible one, the smaller side of the matrix, more than 0 and at most
        /// 1; at least rank 1; this or rank
        share: Option<f64>,
        /// true (default): closest in the outputs on the training rows; false: closest in the weights
        weighted: bool => or(true),
        finetune: Option<FitConfig> as AFTERWARDS,
    }
}

impl TryFrom<Raw> for LowRank {
    type Error = PruneError;

    fn try_from(raw: Raw) -> Result<Self, PruneError> {
        let rank = match (raw.rank, raw.share) {
            (Some(0), None) => return Err(PruneError::setting("rank", 0, "at least 1")),
            (Some(rank), None) => Rank::Count(rank),
            (None, Some(share)) => match Fraction::try_from(share) {
                Ok(fraction) if share > 0.0 => Rank::Share(fraction),
                _ => return Err(PruneError::setting("share", share, "more than 0 and at most 1")),
            },
            (None, None) => return Err(PruneError::setting("rank", "missing", "set, or share")),
            (Some(rank), Some(_)) => return Err(PruneError::setting("rank", rank, "left out beside share")),
        };
        Ok(Self { rank, weighted: raw.weighted, finetune: raw.finetune })
    }
}

/// Sites that the training rows are shown to in one pass: the sums of each take up to 32 MiB.
const AT_ONCE: usize = 8;
/// The smaller side of a matrix that is factored, at most: the time grows with its square times the larger one.
const WIDEST: usize = 2048;
/// What an input that the rows do not show counts for, relative to the mean square of all inputs.
const RIDGE: f64 = 1e-4;

impl LowRank {
    fn rank_of(&self, shape: Shape) -> usize {
        match self.rank {
            Rank::Count(rank) => rank,
            Rank::Share(share) => ((share.get() * most(shape) as f64).round() as usize).max(1),
        }
    }

    /// Why a site cannot be factored.
    fn refusal(&self, before: &Outline, site: &Site) -> Option<String> {
        let Shape { inputs, outputs, .. } = site.shape;
        let ranks = before.graph.ranks();
        let (rank, bound) = (self.rank_of(site.shape), largest(site.shape));
        if ranks.keys().any(|id| *id == site.id || id.reduce() == site.id) {
            return Some("it is a factor already".into());
        }
        if site.form != Form::Dense {
            return Some(format!("it is {}: factor before pruning connections and packing", site.form));
        }
        if rank > most(site.shape) {
            return Some(format!("rank {rank} is more than a matrix of {inputs} × {outputs} can have"));
        }
        if bound == 0 {
            return Some(format!("no two factors have fewer weights than its {inputs} × {outputs}"));
        }
        if rank > bound {
            return Some(format!(
                "at rank {rank} its two factors have at least as many weights as its {inputs} × {outputs}: the rank \
                 must be at most {bound}"
            ));
        }
        (most(site.shape) > WIDEST)
            .then(|| format!("both sides of its {inputs} × {outputs} are more than {WIDEST}"))
    }

    /// The factors of sites of a model, by number; where inputs count, the training rows are shown to all of them in one
    /// pass.
    fn factors(&self, model: &Model, sites: &[usize], cx: &Cx<'_>) -> Result<Vec<Factors>, StepError> {
        let layers = || sites.iter().map(|site| &*model.layers()[*site]);
        let failed = |layer: &Layer, e: PruneError| StepError::at(&layer.id, e);
        let weights: Vec<_> = layers().map(|layer| layer.weight.values()).collect();
        if !self.weighted {
            let factored = layers().zip(&weights).map(|(layer, weight)| {
                factor(weight, layer.shape, self.rank_of(layer.shape)).map_err(|e| failed(layer, e))
            });
            return factored.collect();
        }
        let seen = layers().zip(&weights).map(|(l, w)| Seen::new(w, l.shape).map_err(|e| failed(l, e)));
        let mut seen = seen.collect::<Result<Vec<_>, _>>()?;
        each_input(model, sites, (cx.train, &sample(cx.train)), cx, &mut |site, rows| {
            let of_site = seen.iter_mut().zip(sites).filter(|(_, of)| **of == site);
            for (seen, _) in of_site {
                rows.iter().try_for_each(|row| seen.add(row.columns, row.values))?;
            }
            Ok(())
        })?;
        let factored = seen.into_iter().zip(layers());
        factored
            .map(|(seen, layer)| seen.factor(self.rank_of(layer.shape)).map_err(|e| failed(layer, e)))
            .collect()
    }

    /// Puts the two factors of a site in its place.
    fn factored(&self, model: Model, id: &SiteId, factors: Factors) -> Result<Model, StepError> {
        let number = model.layers().iter().position(|l| &l.id == id).expect("a site of the outline");
        let shape = model.layers()[number].shape;
        let rank = self.rank_of(shape);
        let (graph, mut layers) = model.into_parts();
        let graph = graph.factored(id, rank);
        let layer = &mut layers[number];
        layer.bias.iter_mut().zip(&factors.shift).for_each(|(b, s)| *b += s);
        layer.weight = Weight::Dense(factors.expand);
        layer.shape.inputs = rank;
        let reduce = Layer {
            id: id.reduce(),
            shape: Shape { outputs: rank, ..shape },
            weight: Weight::Dense(factors.reduce),
            bias: vec![0.0; if shape.bias { rank } else { 0 }],
        };
        layers.insert(number, reduce);
        Ok(Model::new(graph, layers)?)
    }
}

impl Technique for LowRank {
    fn needs(&self) -> Needs {
        Needs::INPUTS.when(self.weighted).and(Needs::TRAINING.when(self.finetune.is_some()))
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        let mut after = before.clone();
        for site in treatable(before, on, problems) {
            if let Some(why) = self.refusal(before, site) {
                problems.push(Problem::at(&site.id, why));
                continue;
            }
            let (Shape { inputs, outputs, .. }, rank) = (site.shape, self.rank_of(site.shape));
            after.graph = after.graph.factored(&site.id, rank);
            after.kept = after.kept.saturating_sub(inputs * outputs) + rank * (inputs + outputs);
        }
        let form = |id: &SiteId| before.site(id).map_or(Form::Dense, |s| s.form);
        let sites = after.graph.sites().into_iter();
        after.sites = sites.map(|(id, shape)| Site { form: form(&id), id, shape }).collect();
        after
    }

    fn apply(&self, mut model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let before = model.outline();
        let number = |id: &SiteId| {
            let number = before.sites.iter().position(|site| &site.id == id);
            let number = number.ok_or_else(|| StepError::at(id, "there is no such site"))?;
            let refusal = self.refusal(&before, &before.sites[number]);
            refusal.map_or(Ok(number), |why| Err(StepError::at(id, why)))
        };
        let sites = on.iter().map(number).collect::<Result<Vec<_>, _>>()?;
        let (original, mut done) = (model.clone(), 0);
        for (part, on) in sites.chunks(AT_ONCE).zip(on.chunks(AT_ONCE)) {
            for (factors, id) in self.factors(&original, part, cx)?.into_iter().zip(on) {
                cx.progress("factoring", done, sites.len())?;
                model = self.factored(model, id, factors)?;
                cx.note(format!("{id}: rank {}", model.graph().ranks()[id]));
                done += 1;
            }
        }
        tune_if(model, self.finetune.as_ref(), cx)
    }
}

/// Two factors of a weight, and what to add to the bias.
#[derive(Clone, Debug, PartialEq)]
pub struct Factors {
    /// `[inputs, rank]`.
    pub reduce: Vec<f32>,
    /// `[rank, outputs]`, with rows of length one that are orthogonal to each other.
    pub expand: Vec<f32>,
    /// `[outputs]`: what the product is off by on average.
    pub shift: Vec<f32>,
}

/// The two factors of that rank whose product comes closest to `weight`, `[inputs, outputs]`, in the sum of squares
/// (Eckart and Young 1936). Nothing is added to the bias.
///
/// # Errors
/// [`PruneError`] when the weight does not fit the shape, its smaller side is 0 or more than 2048, or no matrix of
/// that shape has that rank.
pub fn factor(weight: &[f32], shape: Shape, rank: usize) -> Result<Factors, PruneError> {
    check(weight, shape)?;
    check_rank(shape, rank)?;
    let wide = if shape.inputs <= shape.outputs {
        weight.iter().map(|w| f64::from(*w)).collect()
    } else {
        mirrored(gram(weight, shape, 1.0), shape.outputs)
    };
    Ok(along(weight, shape, directions(wide, shape.outputs, rank), None))
}

/// What the rows that go into a site show of it, for factors that come closest in its outputs.
///
/// Double precision in the order of the rows. Memory grows with the square of the smaller side of the weight.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    weight: &'a [f32],
    shape: Shape,
    rows: usize,
    /// Mean square of an input, times rows and inputs.
    size: f64,
    sums: Vec<f64>,
    /// Lower triangle of the sum of products, of inputs or, where there are fewer, of outputs.
    squares: Vec<f64>,
    row: Vec<f64>,
}

impl<'a> Seen<'a> {
    /// No rows yet.
    ///
    /// # Errors
    /// [`PruneError::Length`] when the weight does not fit the shape, [`PruneError::Setting`] when its smaller side is
    /// 0 or more than 2048.
    pub fn new(weight: &'a [f32], shape: Shape) -> Result<Self, PruneError> {
        check(weight, shape)?;
        let n = most(shape);
        let zeros = |n| vec![0.0; n];
        Ok(Self { weight, shape, rows: 0, size: 0.0, sums: zeros(n), squares: zeros(n * n), row: zeros(n) })
    }

    /// Takes a row by the columns where it is not zero, and its values there.
    ///
    /// # Errors
    /// [`PruneError::Length`] when there are not as many values as columns, [`PruneError::Setting`] when there is no
    /// such column.
    pub fn add(&mut self, columns: &[u32], values: &[f32]) -> Result<(), PruneError> {
        PruneError::same_length("values", values.len(), columns.len())?;
        if let Some(column) = columns.iter().find(|c| **c as usize >= self.shape.inputs) {
            return Err(PruneError::setting("a column", column, "one of the site's inputs"));
        }
        let outputs = self.shape.outputs;
        let inputs = columns.iter().map(|c| *c as usize).zip(values.iter().map(|v| f64::from(*v)));
        self.row.fill(0.0);
        for (column, value) in inputs {
            self.size += value * value;
            if self.of_inputs() {
                self.row[column] += value;
            } else {
                let weights = &self.weight[column * outputs..][..outputs];
                self.row.iter_mut().zip(weights).for_each(|(y, w)| *y += value * f64::from(*w));
            }
        }
        self.rows += 1;
        let n = self.row.len();
        for (i, x) in self.row.iter().enumerate().filter(|(_, x)| **x != 0.0) {
            self.sums[i] += x;
            let squares = &mut self.squares[i * n..][..=i];
            squares.iter_mut().zip(&self.row).for_each(|(sum, y)| *sum += x * y);
        }
        Ok(())
    }

    /// The two factors of that rank, and the addition to the bias, that come closest in the site's outputs on the
    /// rows, in the sum of squares, plus a little for inputs that no row shows: as if every input varied a bit by
    /// itself. Without rows, or with zeros only, it is [`factor`].
    ///
    /// With the bias free, the best affine map of that rank is the outputs' projection onto the directions in which
    /// they vary most around their mean; so no inverse is needed.
    ///
    /// # Errors
    /// [`PruneError`] when no matrix of that shape has that rank, or the rows are not finite.
    pub fn factor(mut self, rank: usize) -> Result<Factors, PruneError> {
        check_rank(self.shape, rank)?;
        let Shape { inputs, outputs, .. } = self.shape;
        if self.size == 0.0 {
            return factor(self.weight, self.shape, rank);
        }
        if !self.size.is_finite() {
            return Err(PruneError::setting("the mean square of the rows", self.size, "finite"));
        }
        let (n, rows) = (self.row.len(), self.rows as f64);
        let ridge = RIDGE * self.size / (rows * inputs as f64);
        self.sums.iter_mut().for_each(|s| *s /= rows);
        for i in 0..n {
            for j in 0..=i {
                let square = &mut self.squares[i * n + j];
                *square = *square / rows - self.sums[i] * self.sums[j];
            }
        }
        if !self.of_inputs() {
            let every = gram(self.weight, self.shape, ridge);
            self.squares.iter_mut().zip(every).for_each(|(s, e)| *s += e);
            let vectors = directions(mirrored(self.squares, n), outputs, rank);
            return Ok(along(self.weight, self.shape, vectors, Some(&self.sums)));
        }
        (0..n).for_each(|i| self.squares[i * n + i] += ridge);
        solve::factor(&mut self.squares, n)
            .ok_or_else(|| PruneError::setting("the variance of an input", "not positive", "more than 0"))?;
        // Lᵀ · W varies as the outputs do.
        let mut varied = vec![0.0; inputs * outputs];
        let mut means = vec![0.0; outputs];
        for (k, weights) in self.weight.chunks_exact(outputs).enumerate() {
            means.iter_mut().zip(weights).for_each(|(m, w)| *m += self.sums[k] * f64::from(*w));
            for (row, l) in varied.chunks_exact_mut(outputs).zip(&self.squares[k * n..][..=k]) {
                row.iter_mut().zip(weights).for_each(|(x, w)| *x += l * f64::from(*w));
            }
        }
        Ok(along(self.weight, self.shape, directions(varied, outputs, rank), Some(&means)))
    }

    fn of_inputs(&self) -> bool {
        self.shape.inputs <= self.shape.outputs
    }
}

/// The weight along each of the `vectors`, `[rank, outputs]`, and those; what is lost of the mean outputs moves.
fn along(weight: &[f32], shape: Shape, vectors: Vec<f64>, means: Option<&[f64]>) -> Factors {
    let outputs = shape.outputs;
    let on = |row: &[f64]| vectors.chunks_exact(outputs).map(|v| solve::dot(row, v)).collect::<Vec<f64>>();
    let mut reduce = Vec::with_capacity(shape.inputs * vectors.len() / outputs);
    for weights in weight.chunks_exact(outputs) {
        let row: Vec<f64> = weights.iter().map(|w| f64::from(*w)).collect();
        reduce.extend(on(&row).into_iter().map(|x| x as f32));
    }
    let mut shift = means.map_or_else(|| vec![0.0; outputs], <[f64]>::to_vec);
    for (part, vector) in on(&shift).into_iter().zip(vectors.chunks_exact(outputs)) {
        shift.iter_mut().zip(vector).for_each(|(s, v)| *s -= part * v);
    }
    let single = |values: Vec<f64>| values.into_iter().map(|x| x as f32).collect();
    Factors { reduce, expand: single(vectors), shift: single(shift) }
}

/// Lower triangle of `scale · Wᵀ · W`, `[outputs, outputs]`.
fn gram(weight: &[f32], shape: Shape, scale: f64) -> Vec<f64> {
    let n = shape.outputs;
    let mut sums = vec![0.0; n * n];
    for weights in weight.chunks_exact(n) {
        let row: Vec<f64> = weights.iter().map(|w| f64::from(*w)).collect();
        for (i, x) in row.iter().enumerate() {
            let x = scale * x;
            sums[i * n..][..=i].iter_mut().zip(&row).for_each(|(sum, y)| *sum += x * y);
        }
    }
    sums
}

/// A symmetric matrix from its lower triangle.
fn mirrored(mut lower: Vec<f64>, n: usize) -> Vec<f64> {
    for i in 0..n {
        for j in i + 1..n {
            lower[i * n + j] = lower[j * n + i];
        }
    }
    lower
}

fn most(shape: Shape) -> usize {
    shape.inputs.min(shape.outputs)
}

/// The largest rank at which two factors have fewer weights than the one.
fn largest(shape: Shape) -> usize {
    let sides = (shape.inputs + shape.outputs).max(1);
    shape.weights().saturating_sub(1) / sides
}

fn check(weight: &[f32], shape: Shape) -> Result<(), PruneError> {
    if !(1..=WIDEST).contains(&most(shape)) {
        return Err(PruneError::setting("the smaller side of the weight", most(shape), "between 1 and 2048"));
    }
    PruneError::same_length("weight", weight.len(), shape.weights())
}

fn check_rank(shape: Shape, rank: usize) -> Result<(), PruneError> {
    if (1..=most(shape)).contains(&rank) {
        return Ok(());
    }
    Err(PruneError::setting("rank", rank, "between 1 and the smaller side of the weight"))
}

#[cfg(test)]
#[path = "low_rank_tests.rs"]
mod tests;
