//! Linear least squares with a ridge, and factors of an inverse, from streamed rows: what techniques solve that look
//! at the inputs of a site.

use pulp::Arch;

/// A slice does not have the length that the sums are made for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} has {found} entries, expected {expected}")]
pub struct SolveError {
    /// Which slice.
    pub what: &'static str,
    /// Its length.
    pub found: usize,
    /// The length that fits.
    pub expected: usize,
}

/// Sums of products of inputs over rows: what least squares and second derivatives are made of.
///
/// Memory grows with the width, not with the rows. Double precision throughout, in the order of the rows, so that
/// the result does not depend on threads.
#[derive(Clone, Debug)]
pub struct Gram {
    width: usize,
    rows: usize,
    /// Lower triangle of inputsᵀ · inputs, `[width, width]`.
    square: Vec<f64>,
    inputs: Vec<f64>,
}

impl Gram {
    /// No rows yet.
    pub fn new(width: usize) -> Self {
        Self { width, rows: 0, square: vec![0.0; width * width], inputs: vec![0.0; width] }
    }

    /// Inputs of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Takes rows `[rows, width]`.
    ///
    /// # Errors
    /// [`SolveError`] when they do not fit.
    pub fn add(&mut self, inputs: &[f32]) -> Result<(), SolveError> {
        let rows = inputs.len() / self.width.max(1);
        same_length("inputs", inputs.len(), rows * self.width)?;
        if is_dense(inputs) {
            for some in inputs.chunks(TOGETHER * self.width) {
                self.add_dense(&doubles(some));
            }
            return Ok(());
        }
        inputs.chunks_exact(self.width.max(1)).for_each(|row| self.add_row(&live(row)));
        Ok(())
    }

    /// Takes rows of which most numbers are not zero: to the bit what [`add_row`](Self::add_row) makes of them.
    fn add_dense(&mut self, rows: &[f64]) {
        let width = self.width;
        add_products(&mut self.square, rows, rows, (width, width), |i| i + 1);
        for row in rows.chunks_exact(width) {
            self.inputs.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        self.rows += rows.len() / width;
    }

    /// Takes the rows of another.
    ///
    /// # Errors
    /// [`SolveError`] when it is of other inputs.
    pub fn merge(&mut self, other: &Self) -> Result<(), SolveError> {
        same_length("inputs", other.width, self.width)?;
        self.square.iter_mut().zip(&other.square).for_each(|(a, b)| *a += b);
        self.inputs.iter_mut().zip(&other.inputs).for_each(|(a, b)| *a += b);
        self.rows += other.rows;
        Ok(())
    }

    /// Takes one row, given by what is not zero in it.
    fn add_row(&mut self, live: &[(usize, f64)]) {
        for (at, &(i, x)) in live.iter().enumerate() {
            self.inputs[i] += x;
            let square = &mut self.square[i * self.width..];
            live[..=at].iter().for_each(|&(j, y)| square[j] += x * y);
        }
        self.rows += 1;
    }

    /// Rows taken so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Lower triangle of inputsᵀ · inputs, `[width, width]`; what is above the diagonal is zero.
    pub fn square(&self) -> &[f64] {
        &self.square
    }

    /// The sum of each input over the rows, `[width]`.
    pub fn sums(&self) -> &[f64] {
        &self.inputs
    }

    /// Lower triangle `[width + 1, width + 1]` of the sums with one more input that is always one, the diagonal
    /// raised by `damping` times its mean.
    pub fn with_constant(&self, damping: f64) -> Vec<f64> {
        let (width, n) = (self.width, self.width + 1);
        let mut all = vec![0.0; n * n];
        for i in 0..width {
            all[i * n..i * n + i + 1].copy_from_slice(&self.square[i * width..i * width + i + 1]);
        }
        all[width * n..width * n + width].copy_from_slice(&self.inputs);
        all[n * n - 1] = self.rows.max(1) as f64;
        let mean = (0..width).map(|i| self.square[i * width + i]).sum::<f64>() / width.max(1) as f64;
        let more = (damping * mean).max(f64::MIN_POSITIVE.sqrt());
        (0..width).for_each(|i| all[i * n + i] += more);
        // The constant is damped least: a bias may move freely.
        all[n * n - 1] *= 1.0 + 1e-9;
        all
    }
}

fn same_length(what: &'static str, found: usize, expected: usize) -> Result<(), SolveError> {
    if found == expected { Ok(()) } else { Err(SolveError { what, found, expected }) }
}

/// What is not zero in a row. After a ReLU, and in text rows, most numbers are zero.
fn live(row: &[f32]) -> Vec<(usize, f64)> {
    row.iter().enumerate().filter(|(_, x)| **x != 0.0).map(|(i, x)| (i, f64::from(*x))).collect()
}

/// Rows whose products are added together, so that they are read from a cache.
const TOGETHER: usize = 64;

/// Whether most numbers are not zero.
fn is_dense(numbers: &[f32]) -> bool {
    2 * numbers.iter().filter(|x| **x != 0.0).count() > numbers.len()
}

fn doubles(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|x| f64::from(*x)).collect()
}

/// Adds `aᵀ · b` to `sums` `[a's width, b's width]`, in each of its rows `i` only the first `until(i)` numbers. A number is
/// added to in the order of the rows, whatever is done together, so that the bits are those of one row after the other.
fn add_products(
    sums: &mut [f64],
    a: &[f64],
    b: &[f64],
    (width, outputs): (usize, usize),
    until: impl Fn(usize) -> usize,
) {
    let whole = a.len() / width / 4 * 4;
    let (a, a_rest) = a.split_at(whole * width);
    let (b, b_rest) = b.split_at(whole * outputs);
    Arch::new().dispatch(|| {
        for (i, sums) in sums.chunks_exact_mut(outputs).enumerate() {
            let sums = &mut sums[..until(i)];
            for (a, b) in a.chunks_exact(4 * width).zip(b.chunks_exact(4 * outputs)) {
                let [x0, x1, x2, x3] = [0, 1, 2, 3].map(|row| a[row * width + i]);
                let [b0, b1, b2, b3] = [0, 1, 2, 3].map(|row| &b[row * outputs..][..sums.len()]);
                for ((((sum, y0), y1), y2), y3) in sums.iter_mut().zip(b0).zip(b1).zip(b2).zip(b3) {
                    *sum = *sum + x0 * y0 + x1 * y1 + x2 * y2 + x3 * y3;
                }
            }
            for (a, b) in a_rest.chunks_exact(width).zip(b_rest.chunks_exact(outputs)) {
                sums.iter_mut().zip(b).for_each(|(sum, y)| *sum += a[i] * y);
            }
        }
    });
}

/// Sums over rows that a least-squares fit of `targets ≈ inputs · weight + bias` needs.
#[derive(Clone, Debug)]
pub struct LeastSquares {
    gram: Gram,
    outputs: usize,
    /// inputsᵀ · targets, `[width, outputs]`.
    cross: Vec<f64>,
    targets: Vec<f64>,
}

/// A linear map that was fitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// `[width, outputs]`, row-major.
    pub weight: Vec<f32>,
    /// `[outputs]`.
    pub bias: Vec<f32>,
}

impl LeastSquares {
    /// No rows yet.
    pub fn new(width: usize, outputs: usize) -> Self {
        Self {
            gram: Gram::new(width),
            outputs,
            cross: vec![0.0; width * outputs],
            targets: vec![0.0; outputs],
        }
    }

    /// Takes rows `[rows, width]` and their targets `[rows, outputs]`.
    ///
    /// # Errors
    /// [`SolveError`] when they do not fit.
    pub fn add(&mut self, inputs: &[f32], targets: &[f32]) -> Result<(), SolveError> {
        let width = self.gram.width;
        let rows = inputs.len() / width.max(1);
        same_length("inputs", inputs.len(), rows * width)?;
        same_length("targets", targets.len(), rows * self.outputs)?;
        if is_dense(inputs) {
            let parts = inputs.chunks(TOGETHER * width).zip(targets.chunks(TOGETHER * self.outputs));
            for (inputs, targets) in parts {
                let (inputs, targets) = (doubles(inputs), doubles(targets));
                self.gram.add_dense(&inputs);
                add_products(&mut self.cross, &inputs, &targets, (width, self.outputs), |_| self.outputs);
                for row in targets.chunks_exact(self.outputs) {
                    self.targets.iter_mut().zip(row).for_each(|(sum, t)| *sum += t);
                }
            }
            return Ok(());
        }
        for row in 0..rows {
            let t = &targets[row * self.outputs..(row + 1) * self.outputs];
            self.targets.iter_mut().zip(t).for_each(|(sum, t)| *sum += f64::from(*t));
            let live = live(&inputs[row * width..(row + 1) * width]);
            self.gram.add_row(&live);
            for (i, x) in live {
                let cross = &mut self.cross[i * self.outputs..(i + 1) * self.outputs];
                cross.iter_mut().zip(t).for_each(|(sum, t)| *sum += x * f64::from(*t));
            }
        }
        Ok(())
    }

    /// The map with the least squared error plus `ridge` times the mean input variance times the squared weights
    /// (for each row). The bias is not held down.
    ///
    /// `None` when there is no row, or the equations have no finite solution.
    pub fn solve(mut self, ridge: f64) -> Option<Linear> {
        let Gram { width, rows, mut square, inputs } = self.gram;
        if rows == 0 || width == 0 {
            return None;
        }
        let (n, outputs) = (rows as f64, self.outputs);
        // Centre: then the bias leaves the equations.
        for i in 0..width {
            for j in 0..=i {
                square[i * width + j] -= inputs[i] * inputs[j] / n;
            }
            for o in 0..outputs {
                self.cross[i * outputs + o] -= inputs[i] * self.targets[o] / n;
            }
        }
        let mean = (0..width).map(|i| square[i * width + i]).sum::<f64>() / width as f64;
        // An input that never varies gets weight zero, not a division by zero.
        let ridge = (ridge * mean).max(f64::MIN_POSITIVE.sqrt());
        (0..width).for_each(|i| square[i * width + i] += ridge);
        factor(&mut square, width)?;
        substitute(&square, &mut self.cross, width, outputs);
        let bias = (0..outputs).map(|o| {
            let of_mean: f64 = (0..width).map(|i| inputs[i] * self.cross[i * outputs + o]).sum();
            ((self.targets[o] - of_mean) / n) as f32
        });
        let bias: Vec<f32> = bias.collect();
        let weight: Vec<f32> = self.cross.iter().map(|x| *x as f32).collect();
        weight.iter().chain(&bias).all(|x| x.is_finite()).then_some(Linear { weight, bias })
    }
}

/// The upper triangular `u` with `uᵀ · u = a⁻¹`, `[n, n]`, for a symmetric matrix given by its lower triangle; `None`
/// when it is not positive definite.
///
/// Row `i` of `u`, from the diagonal on, is what is left of the inverse once the rows before `i` are gone.
pub fn inverse_factor(a: Vec<f64>, n: usize) -> Option<Vec<f64>> {
    // With rows and columns in reverse, the factor of the matrix gives that of its inverse.
    let mut l = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            l[i * n + j] = a[(n - 1 - j) * n + n - 1 - i];
        }
    }
    drop(a);
    factor(&mut l, n)?;
    let mut inverse = vec![0.0; n * n];
    for i in 0..n {
        let (above, from_i) = inverse.split_at_mut(i * n);
        let row = &mut from_i[..=i];
        for (j, other) in above.chunks_exact(n).enumerate() {
            let factor = l[i * n + j];
            row[..=j].iter_mut().zip(other).for_each(|(x, y)| *x -= factor * y);
        }
        row[i] = 1.0;
        row.iter_mut().for_each(|x| *x /= l[i * n + i]);
    }
    inverse.iter().all(|x| x.is_finite()).then(|| {
        inverse.reverse();
        inverse
    })
}

/// Cholesky's factor of a symmetric matrix, in its lower triangle; `None` when it is not positive definite.
pub fn factor(a: &mut [f64], n: usize) -> Option<()> {
    for i in 0..n {
        let (above, from_i) = a.split_at_mut(i * n);
        let row = &mut from_i[..n];
        for j in 0..i {
            let other = &above[j * n..j * n + n];
            row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
        }
        let left = row[i] - dot(&row[..i], &row[..i]);
        if !(left > 0.0 && left.is_finite()) {
            return None;
        }
        row[i] = left.sqrt();
    }
    Some(())
}

/// Solves `l · lᵀ · x = b` for each of the `m` columns of `b`, in place.
fn substitute(l: &[f64], b: &mut [f64], n: usize, m: usize) {
    for i in 0..n {
        let (done, rest) = b.split_at_mut(i * m);
        for (j, done) in done.chunks_exact(m).enumerate() {
            let factor = l[i * n + j];
            rest[..m].iter_mut().zip(done).for_each(|(x, y)| *x -= factor * y);
        }
        rest[..m].iter_mut().for_each(|x| *x /= l[i * n + i]);
    }
    for i in (0..n).rev() {
        let (rest, done) = b.split_at_mut((i + 1) * m);
        let this = &mut rest[i * m..];
        for (j, done) in (i + 1..n).zip(done.chunks_exact(m)) {
            let factor = l[j * n + i];
            this.iter_mut().zip(done).for_each(|(x, y)| *x -= factor * y);
        }
        this.iter_mut().for_each(|x| *x /= l[i * n + i]);
    }
}

/// Four sums side by side, so that the compiler can use vector registers; their order is fixed.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let tail: f64 = a4.remainder().iter().zip(b4.remainder()).map(|(x, y)| x * y).sum();
    for (a, b) in a4.zip(b4) {
        for k in 0..4 {
            sums[k] += a[k] * b[k];
        }
    }
    sums.iter().sum::<f64>() + tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::Seed;
    use proptest::prelude::*;

    #[test]
    fn refuses_lengths_that_do_not_fit_and_has_no_answer_without_rows() {
        let mut fit = LeastSquares::new(3, 2);
        assert!(fit.add(&[0.0; 4], &[0.0; 2]).is_err());
        assert!(fit.add(&[0.0; 6], &[0.0; 3]).is_err());
        assert_eq!(fit.clone().solve(1e-3), None);
        fit.add(&[f32::NAN, 0.0, 0.0], &[0.0; 2]).unwrap();
        assert_eq!(fit.solve(1e-3), None);
    }

    #[test]
    fn inputs_that_never_vary_are_harmless() {
        let mut fit = LeastSquares::new(2, 1);
        fit.add(&[1.0, 0.0, 1.0, 0.0], &[3.0, 5.0]).unwrap();
        let linear = fit.solve(1e-6).unwrap();
        assert!((linear.bias[0] + linear.weight[0] - 4.0).abs() < 1e-5, "{linear:?}");
    }

    #[test]
    fn merged_sums_are_those_of_all_rows() {
        let rows = [1.0, 2.0, 0.0, -1.0, 3.0, 0.5];
        let of = |rows: &[f32]| {
            let mut gram = Gram::new(2);
            gram.add(rows).unwrap();
            gram
        };
        let (mut part, all) = (of(&rows[..2]), of(&rows));
        part.merge(&of(&rows[2..])).unwrap();
        assert_eq!((part.rows(), part.square(), part.sums()), (3, all.square(), all.sums()));
        assert!(part.merge(&Gram::new(3)).is_err());
    }

    #[test]
    fn dense_rows_add_up_to_the_same_bits() {
        let (mut rng, width, outputs) = (Seed(9).stream(0), 5, 3);
        let rows = 2 * TOGETHER + 7;
        let mut draw = |n: usize| (0..n).map(|_| rng.normal()).collect::<Vec<f32>>();
        let (inputs, targets) = (draw(rows * width), draw(rows * outputs));
        assert!(is_dense(&inputs));
        let (mut together, mut apart) =
            (LeastSquares::new(width, outputs), LeastSquares::new(width, outputs));
        together.add(&inputs, &targets).unwrap();
        for (x, t) in inputs.chunks(width).zip(targets.chunks(outputs)) {
            apart.gram.add_row(&live(x));
            for (i, x) in live(x) {
                (0..outputs).for_each(|o| apart.cross[i * outputs + o] += x * f64::from(t[o]));
            }
            (0..outputs).for_each(|o| apart.targets[o] += f64::from(t[o]));
        }
        assert_eq!((together.gram.square(), together.gram.sums()), (apart.gram.square(), apart.gram.sums()));
        assert_eq!((together.gram.rows(), &together.cross), (apart.gram.rows(), &apart.cross));
        assert_eq!(together.targets, apart.targets);
        let mut gram = Gram::new(width);
        gram.add(&inputs).unwrap();
        assert_eq!(gram.square(), apart.gram.square());
    }

    #[test]
    fn the_inverse_factor_is_one() {
        let mut rng = Seed(4).stream(0);
        let n = 7;
        let rows: Vec<f32> = (0..20 * (n - 1)).map(|_| rng.normal() + 0.3).collect();
        let mut gram = Gram::new(n - 1);
        gram.add(&rows).unwrap();
        let a = gram.with_constant(0.01);
        let u = inverse_factor(a.clone(), n).unwrap();
        let full = |i: usize, j: usize| if i >= j { a[i * n + j] } else { a[j * n + i] };
        for i in 0..n {
            for j in 0..n {
                assert!(i <= j || u[i * n + j] == 0.0, "upper");
                // (uᵀ · u) · a is the identity.
                let inverse = |k: usize| (0..n).map(|m| u[m * n + i] * u[m * n + k]).sum::<f64>();
                let entry: f64 = (0..n).map(|k| inverse(k) * full(k, j)).sum();
                assert!((entry - f64::from(u8::from(i == j))).abs() < 1e-9, "{i} {j} {entry}");
            }
        }
        assert!(inverse_factor(vec![1.0, 0.0, 2.0, 1.0], 2).is_none());
        assert!(inverse_factor(vec![f64::NAN], 1).is_none());
        assert!(gram.add(&[0.0; 5]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn finds_the_map_that_made_the_targets(seed in 0u64..1000, width in 1usize..9, outputs in 1usize..4) {
            let mut rng = Seed(seed).stream(0);
            let mut draw = |n: usize| (0..n).map(|_| rng.normal()).collect::<Vec<f32>>();
            let (weight, bias) = (draw(width * outputs), draw(outputs));
            let rows = 6 * width + 4;
            let inputs = draw(rows * width);
            let targets: Vec<f32> = inputs
                .chunks_exact(width)
                .flat_map(|x| (0..outputs).map(|o| {
                    bias[o] + x.iter().enumerate().map(|(i, x)| x * weight[i * outputs + o]).sum::<f32>()
                }).collect::<Vec<_>>())
                .collect();
            let mut fit = LeastSquares::new(width, outputs);
            let half = rows / 2;
            fit.add(&inputs[..half * width], &targets[..half * outputs]).unwrap();
            fit.add(&inputs[half * width..], &targets[half * outputs..]).unwrap();
            let found = fit.solve(1e-9).unwrap();
            for (a, b) in found.weight.iter().chain(&found.bias).zip(weight.iter().chain(&bias)) {
                prop_assert!((a - b).abs() < 1e-3, "{a} {b}");
            }
        }
    }
}
