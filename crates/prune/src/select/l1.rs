//! `select.l1`: the words that a linear model under an L1 penalty uses stay.
//!
//! A linear classifier is trained on the rows while `λ · Σ|w|` holds its weights at zero unless a word is worth
//! its price (the lasso, Tibshirani 1996). The larger λ, the fewer words have a weight at all. λ is found by
//! bisection so that as few words as possible, but at least `keep`, are used; should no λ give exactly `keep`,
//! those of the smallest weights go. Unlike the rules that judge each word by itself, of words that say the same
//! one is enough here.
//!
//! The model is softmax regression, or logistic for two classes, with a free bias, minimised by the accelerated
//! proximal gradient method (Beck and Teboulle 2009) with restarts (O'Donoghue and Candès 2015), each λ starting
//! from the solution before. It is thrown away; only the choice of words is used.

use nlpress_core::Measurement;
use nlpress_model::{Dataset, Model};
use nlpress_technique::{Cx, Family, Kind, Settings, StepError, parse, settings};
use nlpress_text::Rows;
use std::borrow::Cow;

use super::{FINETUNE, KEEP, Selector, WordScore};

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "select.l1",
    family: Family::Simplify,
    summary: "Feature selection by the lasso (L1): keeps the words that a linear model under an L1 penalty \
              uses; vocabulary and first site shrink.",
    source: "Tibshirani 1996, Regression Shrinkage and Selection via the Lasso; solver: Beck and Teboulle 2009",
    example: "keep = 12\niterations = 30",
    on: &["**"],
    settings: &[&[KEEP], Lasso::SETTINGS, &[FINETUNE]],
    parse: parse::<Selector<Lasso>>,
};

/// Penalties tried between the one that no word is worth and [`SMALLEST`] of it.
const BISECTIONS: usize = 16;
/// Smallest penalty tried, as a share of the one that no word is worth.
const SMALLEST: f64 = 1e-5;

settings! {
    /// The weight that a linear model under an L1 penalty gives a word is its score.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Lasso {
        /// steps of the solver for each penalty, from 1 to 10000; 100 by default
        iterations: usize => or(100).within(1..=10_000),
    }
}

impl WordScore for Lasso {
    const KIND: Kind = KIND;
    const PROGRESS: &str = "finding the penalty";

    fn scores(&self, _model: &Model, keep: Option<usize>, cx: &mut Cx<'_>) -> Result<Vec<f64>, StepError> {
        let (penalty, scores) = self.search(keep.unwrap_or(cx.train.examples().width()), cx)?;
        cx.measure(Measurement::higher("penalty", penalty, "1"));
        Ok(scores)
    }
}

/// A linear model `[features, outputs]` with its bias `[outputs]`; one output for two classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// Weights, row by feature.
    pub weight: Vec<f64>,
    /// Biases.
    pub bias: Vec<f64>,
}

impl Linear {
    /// Features with a weight that is not zero.
    pub fn used(&self) -> usize {
        self.rows().filter(|row| row.iter().any(|w| *w != 0.0)).count()
    }

    fn numbers(&self) -> impl Iterator<Item = &f64> {
        self.weight.iter().chain(&self.bias)
    }

    fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.weight.chunks_exact(self.bias.len())
    }
}

/// The problem of fitting a linear model to rows under a penalty.
#[derive(Debug)]
pub struct Path<'a> {
    data: &'a Dataset,
    rows: Cow<'a, Rows>,
    outputs: usize,
    /// Bound on the curvature of the mean loss.
    curvature: f64,
}

impl<'a> Path<'a> {
    /// Lays the problem over rows with labels.
    pub fn of(data: &'a Dataset) -> Self {
        let outputs = data.outputs().unwrap_or(1);
        // The Hessian is at most the loss's own curvature times that of mean(x xᵀ), the bias being a column of ones.
        let of_loss = if outputs == 1 { 0.25 } else { 0.5 };
        let rows = data.bags();
        let curvature = of_loss * largest_eigenvalue(&rows);
        Self { data, rows, outputs, curvature }
    }

    /// The model of no weight, its biases at the best of the classes' shares.
    pub fn start(&self) -> Linear {
        let (rows, classes) = (self.data.len() as f64, self.data.classes());
        let mut counts = vec![0.5_f64; classes];
        self.data.labels().iter().for_each(|label| counts[*label as usize] += 1.0);
        let bias = match self.outputs {
            1 => vec![(counts[1] / counts[0]).ln()],
            _ => counts.iter().map(|n| (n / rows).ln()).collect(),
        };
        Linear { weight: vec![0.0; self.rows.width() * self.outputs], bias }
    }

    /// The gradient of the mean loss, in the shape of the model.
    pub fn gradient(&self, at: &Linear) -> Linear {
        let outputs = self.outputs;
        let mut gradient = Linear { weight: vec![0.0; at.weight.len()], bias: vec![0.0; outputs] };
        let share = 1.0 / self.data.len() as f64;
        let mut logits = vec![0.0; outputs];
        for (row, label) in self.rows.iter().zip(self.data.labels()) {
            logits.copy_from_slice(&at.bias);
            for (column, value) in row.columns.iter().zip(row.values) {
                let start = *column as usize * outputs;
                let weights = &at.weight[start..start + outputs];
                logits.iter_mut().zip(weights).for_each(|(sum, w)| *sum += f64::from(*value) * w);
            }
            residual(&mut logits, *label as usize);
            logits.iter_mut().for_each(|r| *r *= share);
            for (column, value) in row.columns.iter().zip(row.values) {
                let start = *column as usize * outputs;
                let sums = &mut gradient.weight[start..start + outputs];
                sums.iter_mut().zip(&logits).for_each(|(sum, r)| *sum += f64::from(*value) * r);
            }
            gradient.bias.iter_mut().zip(&logits).for_each(|(sum, r)| *sum += r);
        }
        gradient
    }

    /// The smallest penalty under which no feature is used.
    pub fn largest_penalty(&self) -> f64 {
        // The bias alone is fitted exactly up to the half that keeps it finite; a hair covers that.
        let gradient = self.gradient(&self.start());
        1.001 * gradient.weight.iter().fold(0.0_f64, |most, g| most.max(g.abs()))
    }

    /// Goes on from `from` towards the minimum under `penalty`, for at most `iterations` steps.
    pub fn solve(&self, from: Linear, penalty: f64, iterations: usize) -> Linear {
        let step = 1.0 / self.curvature.max(f64::MIN_POSITIVE);
        let (mut now, mut ahead, mut momentum) = (from.clone(), from, 1.0_f64);
        for _ in 0..iterations {
            let gradient = self.gradient(&ahead);
            let mut next = ahead.clone();
            for (w, g) in next.weight.iter_mut().zip(&gradient.weight) {
                *w = shrink(*w - step * g, step * penalty);
            }
            next.bias.iter_mut().zip(&gradient.bias).for_each(|(b, g)| *b -= step * g);
            let (mut uphill, mut moved, mut size) = (0.0, 0.0, 0.0);
            for ((a, n), b) in ahead.numbers().zip(next.numbers()).zip(now.numbers()) {
                uphill += (a - n) * (n - b);
                moved += (n - b) * (n - b);
                size += n * n;
            }
            let faster =
                if uphill > 0.0 { 1.0 } else { 0.5 * (1.0 + (1.0 + 4.0 * momentum * momentum).sqrt()) };
            let push = if uphill > 0.0 { 0.0 } else { (momentum - 1.0) / faster };
            let onward = |n: &[f64], b: &[f64]| n.iter().zip(b).map(|(n, b)| n + push * (n - b)).collect();
            ahead = Linear { weight: onward(&next.weight, &now.weight), bias: onward(&next.bias, &now.bias) };
            (now, momentum) = (next, faster);
            if moved <= 1e-12 * size {
                break;
            }
        }
        now
    }
}

/// Soft thresholding: towards zero by `by`, and no further.
fn shrink(x: f64, by: f64) -> f64 {
    x.signum() * (x.abs() - by).max(0.0)
}

/// Logits become the derivative of the cross-entropy by each.
fn residual(logits: &mut [f64], label: usize) {
    if let [one] = logits {
        *one = 1.0 / (1.0 + (-*one).exp()) - if label == 1 { 1.0 } else { 0.0 };
        return;
    }
    let most = logits.iter().fold(f64::NEG_INFINITY, |m, x| m.max(*x));
    logits.iter_mut().for_each(|x| *x = (*x - most).exp());
    let sum: f64 = logits.iter().sum();
    logits.iter_mut().for_each(|x| *x /= sum);
    logits[label] -= 1.0;
}

/// The largest eigenvalue of `mean(x xᵀ)` with a column of ones beside the rows, from above.
fn largest_eigenvalue(rows: &Rows) -> f64 {
    let width = rows.width();
    let trace =
        1.0 + rows.values().iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>() / rows.len() as f64;
    let mut vector = vec![1.0_f64; width + 1];
    let mut length = 0.0;
    for _ in 0..30 {
        let norm = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
        vector.iter_mut().for_each(|x| *x /= norm);
        let mut image = vec![0.0; width + 1];
        for row in rows.iter() {
            let pairs = || row.columns.iter().zip(row.values);
            let along =
                vector[width] + pairs().map(|(c, v)| vector[*c as usize] * f64::from(*v)).sum::<f64>();
            pairs().for_each(|(c, v)| image[*c as usize] += along * f64::from(*v));
            image[width] += along;
        }
        image.iter_mut().for_each(|x| *x /= rows.len() as f64);
        length = image.iter().map(|x| x * x).sum::<f64>().sqrt();
        vector = image;
    }
    // Thirty powers come close from below; a tenth more is above, and the trace always is.
    (1.1 * length).min(trace)
}

/// A score for each feature of a solution: used ones by the norm of their weights, above all others by how near
/// they are to being used.
pub fn ranking(solution: &Linear, gradient: &Linear) -> Vec<f64> {
    let pairs = solution.rows().zip(gradient.rows());
    pairs
        .map(|(weights, gradient)| {
            let norm = weights.iter().map(|w| w * w).sum::<f64>().sqrt();
            let near = gradient.iter().fold(0.0_f64, |most, g| most.max(g.abs()));
            if norm > 0.0 { 1.0 + norm } else { near / (1.0 + near) }
        })
        .collect()
}

impl Lasso {
    /// The penalty under which as few features as possible, but at least `keep`, are used; and a score for each.
    fn search(&self, keep: usize, cx: &Cx<'_>) -> Result<(f64, Vec<f64>), StepError> {
        let path = Path::of(cx.train);
        let (mut too_many, mut too_few) = (SMALLEST.ln(), 0.0);
        let largest = path.largest_penalty();
        let mut solution = path.start();
        // The solution that uses enough features, and the fewest of those.
        let mut found: Option<(f64, Linear)> = None;
        for done in 0..BISECTIONS {
            cx.progress(Self::PROGRESS, done, BISECTIONS)?;
            let middle: f64 = 0.5 * (too_many + too_few);
            solution = path.solve(solution, largest * middle.exp(), self.iterations);
            let used = solution.used();
            if used < keep {
                too_few = middle;
                continue;
            }
            too_many = middle;
            if found.as_ref().is_none_or(|(_, best)| used < best.used()) {
                found = Some((largest * middle.exp(), solution.clone()));
            }
            if used == keep {
                break;
            }
        }
        // When no penalty tried uses enough, the last was the smallest.
        let (penalty, solution) = found.unwrap_or((largest * too_many.exp(), solution));
        let gradient = path.gradient(&solution);
        Ok((penalty, ranking(&solution, &gradient)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::Seed;

    /// Rows of 8 features in which 0 and 1 tell the class, and 1 says nothing that 0 does not.
    fn data(classes: usize) -> Dataset {
        let mut rng = Seed(4).stream(0);
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..120 {
            let label = rng.below(classes) as u32;
            labels.push(label);
            for feature in 0..8 {
                let told = feature < 2 && label == 1;
                values.push(if told || rng.uniform() < 0.3 { 1.0 } else { 0.0 });
            }
        }
        Dataset::new(Rows::from_dense(120, 8, &values).unwrap(), labels, classes).unwrap()
    }

    fn loss(path: &Path<'_>, at: &Linear) -> f64 {
        let data = path.data;
        let mut total = 0.0;
        for (row, label) in path.rows.iter().zip(data.labels()) {
            let mut logits = at.bias.clone();
            for (c, v) in row.columns.iter().zip(row.values) {
                for (o, sum) in logits.iter_mut().enumerate() {
                    *sum += f64::from(*v) * at.weight[*c as usize * path.outputs + o];
                }
            }
            if path.outputs == 1 {
                logits.insert(0, 0.0);
            }
            let log_sum = logits.iter().map(|x| x.exp()).sum::<f64>().ln();
            total += log_sum - logits[*label as usize];
        }
        total / data.len() as f64
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        for classes in [2, 3] {
            let data = data(classes);
            let path = Path::of(&data);
            let mut at = path.start();
            at.weight.iter_mut().enumerate().for_each(|(i, w)| *w = (i as f64).sin());
            let gradient = path.gradient(&at);
            for i in 0..at.weight.len() {
                let mut more = at.clone();
                more.weight[i] += 1e-6;
                let slope = (loss(&path, &more) - loss(&path, &at)) / 1e-6;
                assert!((slope - gradient.weight[i]).abs() < 1e-5, "{slope} {}", gradient.weight[i]);
            }
        }
    }

    #[test]
    fn solutions_are_minima() {
        // Where a weight is not zero its gradient is the penalty, elsewhere it is smaller.
        for classes in [2, 3] {
            let data = data(classes);
            let path = Path::of(&data);
            let penalty = 0.2 * path.largest_penalty();
            let solution = path.solve(path.start(), penalty, 5000);
            let gradient = path.gradient(&solution);
            for (w, g) in solution.weight.iter().zip(&gradient.weight) {
                let optimal = if *w == 0.0 {
                    g.abs() <= penalty + 1e-6
                } else {
                    (g + penalty * w.signum()).abs() < 1e-5
                };
                assert!(optimal, "weight {w}, gradient {g}, penalty {penalty}");
            }
            assert!(gradient.bias.iter().all(|g| g.abs() < 1e-5));
            assert!(solution.used() > 0 && solution.used() < 8, "{}", solution.used());
            assert_eq!(path.solve(path.start(), path.largest_penalty(), 500).used(), 0);
        }
    }

    #[test]
    fn the_words_that_tell_the_class_are_used_first() {
        let data = data(2);
        let path = Path::of(&data);
        let solution = path.solve(path.start(), 0.5 * path.largest_penalty(), 1000);
        let scores = ranking(&solution, &path.gradient(&solution));
        assert_eq!(crate::select::best(&scores, 2), [0, 1]);
        assert!(scores[..2].iter().all(|s| *s > 1.0) && scores[2..].iter().all(|s| *s < 1.0), "{scores:?}");
    }

    #[test]
    fn settings_are_checked() {
        let read = |text: &str| (KIND.parse)(&text.parse().unwrap()).map(|_| ());
        assert_eq!(read("keep = 5"), Ok(()));
        assert!(read("keep = 5\niterations = 0").unwrap_err().contains("iterations is 0"));
        assert!(read("keep = 5\nlambda = 1.0").unwrap_err().contains("lambda"));
    }
}
