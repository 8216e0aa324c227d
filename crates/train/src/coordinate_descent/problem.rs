//! One class against the rest: the L2-regularized squared hinge of a linear function, by coordinate descent on the dual.
//!
//! The primal is `½‖w‖² + Σᵢ Cᵢ max(0, 1 − yᵢ w·xᵢ)²`. Its dual has one variable `αᵢ ≥ 0` a row, and
//! `w = Σᵢ yᵢ αᵢ xᵢ`. The bias is the weight of a feature that every row has as 1, regularized as the others are. With all other
//! variables fixed, the best `αᵢ` takes one product of a row. Rows whose variable is at zero and will
//! stay there are left out of later passes, and looked at again before the end (Hsieh et al. 2008, "A Dual Coordinate Descent
//! Method for Large-scale Linear SVM", algorithm 3).

use nlpress_core::seed::Rng;
use nlpress_text::{Row, Rows};

/// A step that is shorter is not taken.
const SHORTEST: f64 = 1e-12;

/// One class against the rest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Problem<'a> {
    pub(crate) rows: &'a Rows,
    /// Of each row, whether it is of the class.
    pub(crate) is_class: &'a [bool],
    /// What an error of each row costs, more than 0.
    pub(crate) costs: &'a [f64],
    /// The features that may have a weight; all where there is no list.
    pub(crate) keep: Option<&'a [bool]>,
}

/// When a descent ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until {
    /// The projected gradients of a pass over all rows differ by this at most.
    pub(crate) tolerance: f64,
    /// Or there were so many passes.
    pub(crate) passes: u32,
}

/// The best linear function, or how far a descent came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Solution {
    pub(crate) weights: Vec<f64>,
    pub(crate) bias: f64,
    /// The dual variable of each row.
    pub(crate) alpha: Vec<f64>,
    pub(crate) passes: u32,
    /// Whether it ended by the tolerance.
    pub(crate) is_optimal: bool,
}

impl Problem<'_> {
    /// Descends from zero, through the rows in an order drawn anew for each pass; `look` is called after each, and may end it.
    pub(crate) fn solve<E>(
        &self,
        until: Until,
        mut rng: Rng,
        look: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<Solution, E> {
        let rows = self.rows.len();
        let curvature: Vec<f64> = (0..rows).map(|i| self.squares(i) + self.diagonal(i)).collect();
        let mut at = Solution {
            weights: vec![0.0; self.rows.width()],
            bias: 0.0,
            alpha: vec![0.0; rows],
            passes: 0,
            is_optimal: false,
        };
        let mut order: Vec<usize> = (0..rows).collect();
        let mut active = rows;
        let mut bound = f64::INFINITY;
        while at.passes < until.passes && !at.is_optimal {
            rng.shuffle(&mut order[..active]);
            let (lowest, highest) = self.pass(&mut at, &curvature, &mut order, &mut active, bound);
            at.passes += 1;
            if highest - lowest > until.tolerance {
                bound = if highest > 0.0 { highest } else { f64::INFINITY };
            } else {
                at.is_optimal = active == rows;
                (active, bound) = (rows, f64::INFINITY);
            }
            look()?;
        }
        Ok(at)
    }

    /// One pass through the active rows; the lowest and the highest projected gradient. A row at zero whose gradient is
    /// above `bound` is taken out of them.
    fn pass(
        &self,
        at: &mut Solution,
        curvature: &[f64],
        order: &mut [usize],
        active: &mut usize,
        bound: f64,
    ) -> (f64, f64) {
        let (mut lowest, mut highest) = (f64::INFINITY, f64::NEG_INFINITY);
        let mut place = 0;
        while place < *active {
            let i = order[place];
            let (row, side) = (self.rows.row(i), self.side(i));
            let alpha = at.alpha[i];
            let gradient = side * at.of(row) - 1.0 + self.diagonal(i) * alpha;
            if alpha == 0.0 && gradient > bound {
                *active -= 1;
                order.swap(place, *active);
                continue;
            }
            let projected = if alpha == 0.0 { gradient.min(0.0) } else { gradient };
            (lowest, highest) = (lowest.min(projected), highest.max(projected));
            if projected.abs() > SHORTEST {
                at.alpha[i] = (alpha - gradient / curvature[i]).max(0.0);
                self.move_along(at, row, side * (at.alpha[i] - alpha));
            }
            place += 1;
        }
        (lowest, highest)
    }

    fn move_along(&self, at: &mut Solution, row: Row<'_>, step: f64) {
        let entries = row.columns.iter().zip(row.values);
        match self.keep {
            None => entries.for_each(|(&j, &x)| at.weights[j as usize] += step * f64::from(x)),
            Some(keep) => entries
                .filter(|(j, _)| keep[**j as usize])
                .for_each(|(&j, &x)| at.weights[j as usize] += step * f64::from(x)),
        }
        at.bias += step;
    }

    fn side(&self, row: usize) -> f64 {
        if self.is_class[row] { 1.0 } else { -1.0 }
    }

    /// What the squares of the loss add to the dual's curvature.
    fn diagonal(&self, row: usize) -> f64 {
        0.5 / self.costs[row]
    }

    /// The squared length of a row, in the features that count and the bias's.
    fn squares(&self, row: usize) -> f64 {
        let row = self.rows.row(row);
        let entries = row.columns.iter().zip(row.values);
        let kept = entries.filter(|(j, _)| self.keep.is_none_or(|keep| keep[**j as usize]));
        kept.map(|(_, &x)| f64::from(x) * f64::from(x)).sum::<f64>() + 1.0
    }
}

impl Solution {
    /// The function's value.
    fn of(&self, row: Row<'_>) -> f64 {
        let entries = row.columns.iter().zip(row.values);
        self.bias + entries.map(|(&j, &x)| self.weights[j as usize] * f64::from(x)).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::Seed;
    use std::convert::Infallible;

    const UNTIL: Until = Until { tolerance: 1e-9, passes: 100_000 };

    /// Rows of few features, none without noise, with a class that follows two of them.
    fn data(rows: usize, width: usize) -> (Rows, Vec<bool>, Vec<f64>) {
        let mut rng = Seed(3).stream(0);
        let mut dense = Vec::new();
        let (mut is_class, mut costs) = (Vec::new(), Vec::new());
        for i in 0..rows {
            let row: Vec<f32> =
                (0..width).map(|_| if rng.below(3) > 0 { rng.normal() } else { 0.0 }).collect();
            is_class.push(row[0] - row[1] + 0.8 * rng.normal() > 0.3);
            costs.push([0.2, 1.0, 5.0][i % 3]);
            dense.extend(row);
        }
        (Rows::from_dense(rows, width, &dense).unwrap(), is_class, costs)
    }

    fn solved(problem: Problem<'_>, until: Until) -> Solution {
        problem.solve(until, Seed(1).stream(0), &mut || Ok::<_, Infallible>(())).unwrap()
    }

    fn margin(problem: Problem<'_>, i: usize, weights: &[f64], bias: f64) -> f64 {
        let row = problem.rows.row(i);
        let of = row.columns.iter().zip(row.values).map(|(&j, &x)| weights[j as usize] * f64::from(x));
        problem.side(i) * (of.sum::<f64>() + bias)
    }

    /// The primal's value.
    fn primal(problem: Problem<'_>, weights: &[f64], bias: f64) -> f64 {
        let losses = (0..problem.rows.len())
            .map(|i| problem.costs[i] * (1.0 - margin(problem, i, weights, bias)).max(0.0).powi(2));
        0.5 * (weights.iter().map(|w| w * w).sum::<f64>() + bias * bias) + losses.sum::<f64>()
    }

    /// The primal's minimum, by steps along its gradient.
    fn descended(problem: Problem<'_>) -> f64 {
        let width = problem.rows.width();
        let (mut weights, mut bias) = (vec![0.0; width], 0.0);
        for _ in 0..60_000 {
            let mut gradient = weights.clone();
            let mut of_bias = bias;
            for i in 0..problem.rows.len() {
                let short = (1.0 - margin(problem, i, &weights, bias)).max(0.0);
                let slope = -2.0 * problem.costs[i] * short * problem.side(i);
                let row = problem.rows.row(i);
                row.columns
                    .iter()
                    .zip(row.values)
                    .for_each(|(&j, &x)| gradient[j as usize] += slope * f64::from(x));
                of_bias += slope;
            }
            for j in 0..width {
                let kept = problem.keep.is_none_or(|keep| keep[j]);
                weights[j] -= if kept { 5e-4 * gradient[j] } else { 0.0 };
            }
            bias -= 5e-4 * of_bias;
        }
        primal(problem, &weights, bias)
    }

    #[test]
    fn the_minimum_is_that_of_a_plain_descent_in_the_features_that_stay() {
        let (rows, is_class, costs) = data(40, 6);
        let keep = [true, true, false, true, false, true];
        for keep in [None, Some(&keep[..])] {
            let problem = Problem { rows: &rows, is_class: &is_class, costs: &costs, keep };
            let found = solved(problem, UNTIL);
            assert!(found.is_optimal);
            let (ours, least) = (primal(problem, &found.weights, found.bias), descended(problem));
            assert!((ours / least - 1.0).abs() < 1e-6, "{ours} {least}");
            let gone = |j: usize| keep.is_some_and(|keep| !keep[j]);
            assert!((0..6).all(|j| (found.weights[j] == 0.0) == gone(j)), "{:?}", found.weights);
        }
    }

    /// At the optimum a row's variable is what its margin falls short of 1 by, times twice its cost, and the dual has the value of
    /// the primal.
    #[test]
    fn the_conditions_of_optimality_hold() {
        let (rows, is_class, costs) = data(200, 30);
        let problem = Problem { rows: &rows, is_class: &is_class, costs: &costs, keep: None };
        let found = solved(problem, UNTIL);
        let mut dual = 0.0;
        for (i, (cost, alpha)) in costs.iter().zip(&found.alpha).enumerate() {
            let short = 1.0 - margin(problem, i, &found.weights, found.bias);
            let expected = 2.0 * cost * short.max(0.0);
            assert!((alpha - expected).abs() < 1e-6, "{i}: {alpha} {expected}");
            dual += alpha - 0.5 * problem.diagonal(i) * alpha.powi(2);
        }
        dual -= 0.5 * (found.weights.iter().map(|w| w * w).sum::<f64>() + found.bias.powi(2));
        let primal = primal(problem, &found.weights, found.bias);
        assert!((primal - dual).abs() < 1e-6 * primal, "{primal} {dual}");
        let left = found.alpha.iter().filter(|alpha| **alpha == 0.0).count();
        assert!(left > 20, "{left} rows are at zero, so that leaving them out was tried");
    }

    #[test]
    fn passes_have_an_end_and_a_look_may_end_them() {
        let (rows, is_class, costs) = data(200, 30);
        let problem = Problem { rows: &rows, is_class: &is_class, costs: &costs, keep: None };
        let few = solved(problem, Until { passes: 2, ..UNTIL });
        assert!(few.passes == 2 && !few.is_optimal);
        let mut left = 3;
        let mut look = || {
            left -= 1;
            if left == 0 { Err("enough") } else { Ok(()) }
        };
        assert_eq!(problem.solve(UNTIL, Seed(1).stream(0), &mut look), Err("enough"));
    }
}
