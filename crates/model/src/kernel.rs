//! Feature rows times dense weights, and the gradient of that product: the two loops that the first site of a
//! network spends its time in, on the CPU.
//!
//! Text rows have a few dozen non-zeros among a thousand features, and burn has no operation for them: the
//! sparse loops touch only what is there. Rows without gaps go through register tiles, straight from where they
//! lie in memory: nothing is packed, transposed or copied.
//!
//! Every number is a chain of multiply-adds in one fixed order: by column for a product, by row for a gradient.
//! So sparse and dense loops give the same bits, and so does every thread count. `pulp` picks the instruction
//! set at run time; those with fused multiply-add agree to the bit, whatever their width.

use nlpress_text::rows::Row;
use pulp::{Arch, Simd, WithSimd};

/// Rows (or features, in a gradient) of a tile. With [`WIDE`] vectors each, eight sums are in flight, which is
/// what two fused units with a latency of four take, and fit into sixteen registers with their operands.
const TILE: usize = 4;
/// Vectors of a tile.
const WIDE: usize = 2;
/// Features that a product takes at a time, so that their weights stay in the nearest cache.
const DEPTH: usize = 32;

/// `out[i] = rows[i] · weight + bias` through the non-zeros, with `weight` `[features, outputs]` and `out`
/// `[rows, outputs]`. A row's columns count rows of `weight`, in any order.
///
/// # Panics
/// When there are more rows than `out` has, or a column has no row of `weight`; both are proven by the caller.
pub fn rows_times_weight<'r>(
    rows: impl Iterator<Item = Row<'r>>,
    weight: &[f32],
    bias: &[f32],
    out: &mut [f32],
) {
    Arch::new().dispatch(SparseProduct { rows, weight, bias, out });
}

/// Adds `rowsᵀ · upstream` to `gradient` `[features, outputs]` through the non-zeros.
///
/// # Panics
/// When a column has no row of `gradient`.
pub fn add_weight_gradient<'r>(
    rows: impl Iterator<Item = Row<'r>>,
    upstream: &[f32],
    outputs: usize,
    gradient: &mut [f32],
) {
    Arch::new().dispatch(SparseGradient { rows, upstream, outputs, gradient });
}

/// Adds to `out` some rows of `matrix`, as long as `out` each, by their numbers, times what stands beside them.
///
/// # Panics
/// When there is no such row.
pub(crate) fn add_rows(terms: &[(u32, f32)], matrix: &[f32], out: &mut [f32]) {
    Arch::new().dispatch(RowSum { terms, matrix, out });
}

/// [`rows_times_weight`] for rows given in full, each as long as `weight` has rows.
///
/// # Panics
/// When a length does not fit.
pub fn full_rows_times_weight(rows: &[&[f32]], weight: &[f32], bias: &[f32], out: &mut [f32]) {
    let outputs = bias.len();
    assert_eq!(out.len(), rows.len() * outputs);
    assert!(rows.iter().all(|row| row.len() * outputs == weight.len()));
    Arch::new().dispatch(Product { rows, weight, bias, out });
}

/// [`add_weight_gradient`] for rows given in full.
///
/// # Panics
/// When a length does not fit.
pub fn add_full_weight_gradient(rows: &[&[f32]], upstream: &[f32], outputs: usize, gradient: &mut [f32]) {
    assert_eq!(upstream.len(), rows.len() * outputs);
    assert!(rows.iter().all(|row| row.len() * outputs == gradient.len()));
    Arch::new().dispatch(Gradient { rows, upstream, outputs, gradient });
}

struct SparseProduct<'a, R> {
    rows: R,
    weight: &'a [f32],
    bias: &'a [f32],
    out: &'a mut [f32],
}

impl<'r, R: Iterator<Item = Row<'r>>> WithSimd for SparseProduct<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let outputs = self.bias.len();
        let mut left = self.out.chunks_exact_mut(outputs);
        for row in self.rows {
            let out = left.next().expect("there is room for every row");
            if let [bias] = *self.bias {
                // A sum that stays in a register: through memory, each addition would wait for the one before.
                out[0] = row.columns.iter().zip(row.values).fold(bias, |sum, (&column, &value)| {
                    scalar_multiply_add::<S>(value, self.weight[column as usize], sum)
                });
                continue;
            }
            out.copy_from_slice(self.bias);
            for (&column, &value) in row.columns.iter().zip(row.values) {
                let start = column as usize * outputs;
                axpy(simd, value, &self.weight[start..start + outputs], out);
            }
        }
    }
}

struct SparseGradient<'a, R> {
    rows: R,
    upstream: &'a [f32],
    outputs: usize,
    gradient: &'a mut [f32],
}

impl<'r, R: Iterator<Item = Row<'r>>> WithSimd for SparseGradient<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let outputs = self.outputs;
        for (row, upstream) in self.rows.zip(self.upstream.chunks_exact(outputs)) {
            for (&column, &value) in row.columns.iter().zip(row.values) {
                let start = column as usize * outputs;
                if let [upstream] = *upstream {
                    let sum = &mut self.gradient[start];
                    *sum = scalar_multiply_add::<S>(value, upstream, *sum);
                } else {
                    axpy(simd, value, upstream, &mut self.gradient[start..start + outputs]);
                }
            }
        }
    }
}

struct RowSum<'a> {
    terms: &'a [(u32, f32)],
    matrix: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for RowSum<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if let [out] = self.out {
            for &(row, factor) in self.terms {
                *out = scalar_multiply_add::<S>(factor, self.matrix[row as usize], *out);
            }
            return;
        }
        let width = self.out.len();
        for &(row, factor) in self.terms {
            axpy(simd, factor, &self.matrix[row as usize * width..][..width], self.out);
        }
    }
}

/// `a · b + c`, rounded as the vectors of `S` round it.
#[inline(always)]
fn scalar_multiply_add<S: Simd>(a: f32, b: f32, c: f32) -> f32 {
    if S::IS_SCALAR { a * b + c } else { a.mul_add(b, c) }
}

struct Product<'a> {
    rows: &'a [&'a [f32]],
    weight: &'a [f32],
    bias: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let outputs = self.bias.len();
        self.out.chunks_exact_mut(outputs).for_each(|out| out.copy_from_slice(self.bias));
        for (block, weight) in self.weight.chunks(DEPTH * outputs).enumerate() {
            let depth = weight.len() / outputs;
            let part = |row: usize| &self.rows[row][block * DEPTH..block * DEPTH + depth];
            for (tile, out) in self.out.chunks_mut(TILE * outputs).enumerate() {
                let first = tile * TILE;
                if out.len() == TILE * outputs {
                    let rows = std::array::from_fn(|r| part(first + r));
                    product_tiles::<S, TILE>(simd, rows, weight, outputs, out);
                } else {
                    for (r, out) in out.chunks_exact_mut(outputs).enumerate() {
                        product_tiles::<S, 1>(simd, [part(first + r)], weight, outputs, out);
                    }
                }
            }
        }
    }
}

struct Gradient<'a> {
    rows: &'a [&'a [f32]],
    upstream: &'a [f32],
    outputs: usize,
    gradient: &'a mut [f32],
}

impl WithSimd for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let outputs = self.outputs;
        for (tile, gradient) in self.gradient.chunks_mut(TILE * outputs).enumerate() {
            let first = tile * TILE;
            if gradient.len() == TILE * outputs {
                gradient_tiles::<S, TILE>(simd, self.rows, first, self.upstream, outputs, gradient);
            } else {
                for (r, gradient) in gradient.chunks_exact_mut(outputs).enumerate() {
                    gradient_tiles::<S, 1>(simd, self.rows, first + r, self.upstream, outputs, gradient);
                }
            }
        }
    }
}

/// Adds `rows · weight` to `out` `[R, outputs]`, with `weight` `[depth, outputs]`.
#[inline(always)]
fn product_tiles<S: Simd, const R: usize>(
    simd: S,
    rows: [&[f32]; R],
    weight: &[f32],
    outputs: usize,
    out: &mut [f32],
) {
    let depth = weight.len() / outputs;
    let rows = rows.map(|row| &row[..depth]);
    let lanes = S::F32_LANES;
    let mut at = 0;
    while at + WIDE * lanes <= outputs {
        let mut sums = load::<S, R>(out, outputs, at);
        for (k, weight) in (0..depth).zip(weight.chunks_exact(outputs)) {
            let w = vectors::<S>(weight, at);
            multiply_add(simd, &rows.map(|row| row[k]), &w, &mut sums);
        }
        store::<S, R>(&sums, out, outputs, at);
        at += WIDE * lanes;
    }
    while at < outputs {
        let end = outputs.min(at + lanes);
        for (row, out) in rows.iter().zip(out.chunks_exact_mut(outputs)) {
            let mut sum = simd.partial_load_f32s(&out[at..end]);
            for (x, weight) in row.iter().zip(weight.chunks_exact(outputs)) {
                let w = simd.partial_load_f32s(&weight[at..end]);
                sum = simd.mul_add_e_f32s(simd.splat_f32s(*x), w, sum);
            }
            simd.partial_store_f32s(&mut out[at..end], sum);
        }
        at = end;
    }
}

/// Adds `rows[.., first..first + R]ᵀ · upstream` to `gradient` `[R, outputs]`.
#[inline(always)]
fn gradient_tiles<S: Simd, const R: usize>(
    simd: S,
    rows: &[&[f32]],
    first: usize,
    upstream: &[f32],
    outputs: usize,
    gradient: &mut [f32],
) {
    let lanes = S::F32_LANES;
    let mut at = 0;
    while at + WIDE * lanes <= outputs {
        let mut sums = load::<S, R>(gradient, outputs, at);
        for (row, upstream) in rows.iter().zip(upstream.chunks_exact(outputs)) {
            let row = &row[first..first + R];
            let u = vectors::<S>(upstream, at);
            multiply_add(simd, &std::array::from_fn(|r| row[r]), &u, &mut sums);
        }
        store::<S, R>(&sums, gradient, outputs, at);
        at += WIDE * lanes;
    }
    while at < outputs {
        let end = outputs.min(at + lanes);
        for (r, gradient) in gradient.chunks_exact_mut(outputs).enumerate() {
            let mut sum = simd.partial_load_f32s(&gradient[at..end]);
            for (row, upstream) in rows.iter().zip(upstream.chunks_exact(outputs)) {
                let u = simd.partial_load_f32s(&upstream[at..end]);
                sum = simd.mul_add_e_f32s(simd.splat_f32s(row[first + r]), u, sum);
            }
            simd.partial_store_f32s(&mut gradient[at..end], sum);
        }
        at = end;
    }
}

type Sums<S, const R: usize> = [[<S as Simd>::f32s; WIDE]; R];

#[inline(always)]
fn multiply_add<S: Simd, const R: usize>(simd: S, x: &[f32; R], w: &[S::f32s; WIDE], sums: &mut Sums<S, R>) {
    for r in 0..R {
        let x = simd.splat_f32s(x[r]);
        for v in 0..WIDE {
            sums[r][v] = simd.mul_add_e_f32s(x, w[v], sums[r][v]);
        }
    }
}

/// The vectors of a tile from entry `at` on.
#[inline(always)]
fn vectors<S: Simd>(from: &[f32], at: usize) -> [S::f32s; WIDE] {
    let (vectors, _) = S::as_simd_f32s(&from[at..at + WIDE * S::F32_LANES]);
    std::array::from_fn(|v| vectors[v])
}

#[inline(always)]
fn load<S: Simd, const R: usize>(from: &[f32], outputs: usize, at: usize) -> Sums<S, R> {
    std::array::from_fn(|r| vectors::<S>(from, r * outputs + at))
}

#[inline(always)]
fn store<S: Simd, const R: usize>(sums: &Sums<S, R>, into: &mut [f32], outputs: usize, at: usize) {
    for (r, sums) in sums.iter().enumerate() {
        let start = r * outputs + at;
        let (vectors, _) = S::as_mut_simd_f32s(&mut into[start..start + WIDE * S::F32_LANES]);
        vectors.copy_from_slice(sums);
    }
}

/// `y += a · x`.
#[inline(always)]
fn axpy<S: Simd>(simd: S, a: f32, x: &[f32], y: &mut [f32]) {
    let a = simd.splat_f32s(a);
    let (x, x_tail) = S::as_simd_f32s(x);
    let (y, y_tail) = S::as_mut_simd_f32s(y);
    for (y, x) in y.iter_mut().zip(x) {
        *y = simd.mul_add_e_f32s(a, *x, *y);
    }
    if !y_tail.is_empty() {
        let sum = simd.mul_add_e_f32s(a, simd.partial_load_f32s(x_tail), simd.partial_load_f32s(y_tail));
        simd.partial_store_f32s(y_tail, sum);
    }
}
