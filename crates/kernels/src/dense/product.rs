//! Products of dense matrices.

use gemm::{Parallelism, gemm};

/// A matrix in memory.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    numbers: &'a [f32],
    rows: usize,
    columns: usize,
    /// From a number to the one below it, and to the one on its right.
    steps: (usize, usize),
}

/// A matrix in memory that is written to, row by row.
#[derive(Debug)]
pub struct ViewMut<'a> {
    numbers: &'a mut [f32],
    rows: usize,
    columns: usize,
    /// From a row to the next; at least `columns`.
    step: usize,
}

/// Panics unless all of a matrix lies in memory of that length.
fn assert_within(length: usize, (rows, columns): (usize, usize), steps: (usize, usize)) {
    let last = |n: usize, step: usize| (n - 1).checked_mul(step);
    let fits = rows == 0 || columns == 0 || {
        let end = last(rows, steps.0).zip(last(columns, steps.1)).and_then(|(r, c)| r.checked_add(c));
        end.is_some_and(|end| end < length)
    };
    assert!(fits, "{rows} × {columns} numbers, {steps:?} apart, are not in {length}");
}

impl<'a> View<'a> {
    /// All of `[rows, columns]`.
    ///
    /// # Panics
    /// When there are not as many numbers.
    pub fn new(numbers: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(Some(numbers.len()), rows.checked_mul(columns));
        Self::part(numbers, (rows, columns), columns)
    }

    /// Rows of `columns` numbers that begin `step` numbers apart.
    ///
    /// # Panics
    /// When the last of them is not there.
    pub fn part(numbers: &'a [f32], (rows, columns): (usize, usize), step: usize) -> Self {
        assert_within(numbers.len(), (rows, columns), (step, 1));
        Self { numbers, rows, columns, steps: (step, 1) }
    }

    /// Rows as columns.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { rows: self.columns, columns: self.rows, steps: (self.steps.1, self.steps.0), ..self }
    }
}

impl<'a> ViewMut<'a> {
    /// All of `[rows, columns]`.
    ///
    /// # Panics
    /// When there are not as many numbers.
    pub fn new(numbers: &'a mut [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(Some(numbers.len()), rows.checked_mul(columns));
        Self::part(numbers, (rows, columns), columns)
    }

    /// Rows of `columns` numbers that begin `step` numbers apart.
    ///
    /// # Panics
    /// When the last of them is not there, or rows overlap.
    pub fn part(numbers: &'a mut [f32], (rows, columns): (usize, usize), step: usize) -> Self {
        assert_within(numbers.len(), (rows, columns), (step, 1));
        assert!(step >= columns || rows < 2, "rows of {columns} numbers overlap, {step} apart");
        Self { numbers, rows, columns, step }
    }
}

/// `out = factor · a · b`, on this thread.
///
/// # Panics
/// When the shapes do not fit.
pub fn product(factor: f32, a: View<'_>, b: View<'_>, out: ViewMut<'_>) {
    multiply(factor, a, b, out, false);
}

/// `out = out + factor · a · b`, on this thread.
///
/// # Panics
/// When the shapes do not fit.
pub fn add_product(factor: f32, a: View<'_>, b: View<'_>, out: ViewMut<'_>) {
    multiply(factor, a, b, out, true);
}

fn multiply(factor: f32, a: View<'_>, b: View<'_>, out: ViewMut<'_>, keeps: bool) {
    assert_eq!((a.rows, a.columns, b.columns), (out.rows, b.rows, out.columns));
    // A slice is at most `isize::MAX` bytes, and no step that is taken leaves it.
    let step = |step: usize| isize::try_from(step).unwrap_or(isize::MAX);
    let (a_steps, b_steps) = ((step(a.steps.0), step(a.steps.1)), (step(b.steps.0), step(b.steps.1)));
    // SAFETY: `assert_within` has been true of all three matrices with the steps that are given here, so that every number
    // the product reads or writes is in its slice; where a matrix has no row or no column, none is. The numbers of `out`
    // are all different ones, since its rows do not overlap, and no other slice has them, since it is borrowed mutably.
    unsafe {
        gemm(
            out.rows,
            out.columns,
            a.columns,
            out.numbers.as_mut_ptr(),
            1,
            step(out.step),
            keeps,
            a.numbers.as_ptr(),
            a_steps.1,
            a_steps.0,
            b.numbers.as_ptr(),
            b_steps.1,
            b_steps.0,
            1.0,
            factor,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 37 + seed * 11) % 23) as f32 / 8.0 - 1.25).collect()
    }

    /// Sums of exact numbers: the same in any order.
    fn plain(
        a: impl Fn(usize, usize) -> f32,
        b: impl Fn(usize, usize) -> f32,
        k: usize,
    ) -> impl Fn(usize, usize) -> f32 {
        move |r, c| (0..k).map(|i| a(r, i) * b(i, c)).sum()
    }

    #[test]
    fn products_of_all_layouts_and_sizes_are_exact() {
        for (m, k, n) in
            [(1, 1, 1), (1, 7, 5), (5, 3, 1), (17, 33, 9), (64, 16, 48), (70, 1, 66), (3, 300, 2)]
        {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let expected = plain(|r, i| a[r * k + i], |i, c| b[i * n + c], k);
            let (at, bt) = (
                (0..k * m).map(|i| a[(i % m) * k + i / m]).collect::<Vec<_>>(),
                (0..n * k).map(|i| b[(i % k) * n + i / k]).collect::<Vec<_>>(),
            );
            let views = [View::new(&a, m, k), View::new(&at, k, m).transposed()];
            for a in views {
                for b in [View::new(&b, k, n), View::new(&bt, n, k).transposed()] {
                    let mut out = vec![f32::NAN; m * n];
                    product(0.5, a, b, ViewMut::new(&mut out, m, n));
                    add_product(0.5, a, b, ViewMut::new(&mut out, m, n));
                    for (i, found) in out.iter().enumerate() {
                        assert_eq!(*found, expected(i / n, i % n), "{m} {k} {n}: {i}");
                    }
                }
            }
        }
    }

    #[test]
    fn parts_are_read_and_written_in_place() {
        let (a, b) = (numbers(4 * 6, 3), numbers(3 * 2, 4));
        let mut out = [9.0; 4 * 5];
        let into = ViewMut::part(&mut out[1..], (4, 2), 5);
        product(1.0, View::part(&a[2..], (4, 3), 6), View::new(&b, 3, 2), into);
        for r in 0..4 {
            let expected = |c: usize| (0..3).map(|i| a[r * 6 + 2 + i] * b[i * 2 + c]).sum::<f32>();
            assert_eq!(out[r * 5..][..5], [9.0, expected(0), expected(1), 9.0, 9.0]);
        }
    }

    #[test]
    fn nothing_is_multiplied_where_there_is_nothing() {
        let mut out = [1.0; 6];
        product(1.0, View::new(&[], 2, 0), View::new(&[], 0, 3), ViewMut::new(&mut out, 2, 3));
        assert_eq!(out, [0.0; 6]);
        product(1.0, View::new(&[], 0, 2), View::new(&[1.0; 4], 2, 2), ViewMut::new(&mut [], 0, 2));
    }

    #[test]
    #[should_panic(expected = "are not in 11")]
    fn a_part_beyond_the_end_is_refused() {
        View::part(&[0.0; 11], (3, 4), 4);
    }

    #[test]
    #[should_panic(expected = "overlap")]
    fn rows_that_overlap_are_not_written() {
        ViewMut::part(&mut [0.0; 11], (3, 4), 3);
    }

    #[test]
    #[should_panic(expected = "assertion")]
    fn shapes_must_fit() {
        product(
            1.0,
            View::new(&[0.0; 6], 2, 3),
            View::new(&[0.0; 4], 2, 2),
            ViewMut::new(&mut [0.0; 4], 2, 2),
        );
    }
}
