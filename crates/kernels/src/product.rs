//! Sums of products: where types of weights meet the forms that they are held in, in one place for all products.

use crate::aligned::Aligned;
use crate::form::{Body, Chunks, Element, Held, Panels, Strips, Tiles};
use crate::input::scatter;
use crate::isa::{Kernels, Touched};
use crate::lanes::GROUP;

/// Weights that there are loops for.
pub(crate) trait Product: Element {
    /// An activation by itself; a row of all of them has as wide ones as the weights.
    type Level: Copy;
    /// What products are added up in.
    type Sum;

    /// The activation as a row has it.
    fn narrowed(level: Self::Level) -> Self;
    /// The same of several, in `room` where they are not so narrow already.
    fn all_narrowed<'a>(levels: &'a [Self::Level], room: &'a mut Aligned<Self>) -> &'a [Self];

    fn rows(kernels: impl Kernels, rows: Touched<'_, Self>, sums: &mut [Self::Sum]);
    fn lists(kernels: impl Kernels, lists: &Chunks<Self>, some: NonZeros<'_, Self>, sums: &mut [Self::Sum]);
    fn strips(kernels: impl Kernels, strips: &Strips<Self>, some: NonZeros<'_, Self>, sums: &mut [Self::Sum]);
    fn panels(kernels: impl Kernels, panels: &Panels<Self>, row: &[Self], sums: &mut [Self::Sum]);
    fn tiles(kernels: impl Kernels, tiles: &Tiles<Self>, row: &[Self], narrow: bool, sums: &mut [Self::Sum]);
}

/// The activations that are not zero, by their columns.
#[derive(Clone, Copy)]
pub(crate) struct NonZeros<'a, W: Product> {
    pub(crate) columns: &'a [u32],
    pub(crate) levels: &'a [W::Level],
}

/// A row of activations as a form takes it.
#[derive(Clone, Copy)]
pub(crate) enum Activations<'a, W: Product> {
    /// The non-zeros, as narrow as the weights; there may be more levels than columns, zeros that fill up groups.
    Rows { columns: &'a [u32], levels: &'a [W] },
    /// The non-zeros.
    NonZeros(NonZeros<'a, W>),
    /// All, filled with zeros up to whole groups.
    Whole(&'a [W]),
}

impl<'a, W: Product> NonZeros<'a, W> {
    /// The same as a form takes them.
    #[inline]
    pub(crate) fn held_as(self, held: Held, inputs: usize, room: &'a mut Aligned<W>) -> Activations<'a, W> {
        let Self { columns, levels } = self;
        match held {
            Held::Rows => Activations::Rows { columns, levels: W::all_narrowed(levels, room) },
            Held::Lists | Held::Strips => Activations::NonZeros(self),
            Held::Panels | Held::Tiles => {
                let row = room.room(inputs.next_multiple_of(GROUP));
                scatter(columns, levels, W::narrowed, inputs, row);
                Activations::Whole(row)
            }
        }
    }
}

impl Activations<'_, i8> {
    /// The sum of all.
    pub(crate) fn total(self) -> i64 {
        match self {
            // What fills up is zero.
            Self::Rows { levels, .. } | Self::Whole(levels) => levels.iter().map(|q| i64::from(*q)).sum(),
            Self::NonZeros(x) => x.levels.iter().map(|q| i64::from(*q)).sum(),
        }
    }

    /// The sum of all, each times what its input has.
    pub(crate) fn total_of(self, factors: &[i8]) -> i64 {
        let of = |column: &u32| i64::from(factors[*column as usize]);
        match self {
            Self::Rows { columns, levels } => {
                columns.iter().zip(levels).map(|(c, q)| of(c) * i64::from(*q)).sum()
            }
            Self::NonZeros(x) => x.columns.iter().zip(x.levels).map(|(c, q)| of(c) * i64::from(*q)).sum(),
            Self::Whole(row) => {
                row.iter().zip(factors).map(|(q, factor)| i64::from(*q) * i64::from(*factor)).sum()
            }
        }
    }
}

/// `sums_j = Σ x_i · w_ij`, over the columns [in memory](Body::width). With `narrow`, bytes are within
/// `±`[`NARROW`](crate::lanes::NARROW).
///
/// # Panics
/// When the activations are not as the form takes them: a bug.
#[inline]
pub(crate) fn add_up<W: Product>(
    kernels: impl Kernels,
    body: &Body<W>,
    activations: Activations<'_, W>,
    narrow: bool,
    sums: &mut [W::Sum],
) {
    match (body, activations) {
        (Body::Rows { values: weights, stride }, Activations::Rows { columns, levels }) => {
            W::rows(kernels, Touched { weights, stride: *stride, columns, levels, narrow }, sums);
        }
        (Body::Lists(lists), Activations::NonZeros(some)) => W::lists(kernels, lists, some, sums),
        (Body::Strips(strips), Activations::NonZeros(some)) => W::strips(kernels, strips, some, sums),
        (Body::Panels(panels), Activations::Whole(row)) => W::panels(kernels, panels, row, sums),
        (Body::Tiles(tiles), Activations::Whole(row)) => W::tiles(kernels, tiles, row, narrow, sums),
        _ => unreachable!("activations were made for another form"),
    }
}

/// Implements [`Product`] for a type of weights, by functions below and by loops.
macro_rules! product {
    (
        $weight:ty, $level:ty => $sum:ty, ($narrowed:expr, $all_narrowed:path), $rows:path, $tiles:path,
        $lists:ident, $strips:ident, $panels:ident
    ) => {
        impl Product for $weight {
            type Level = $level;
            type Sum = $sum;

            #[inline(always)]
            fn narrowed(level: $level) -> Self {
                $narrowed(level)
            }

            #[inline(always)]
            fn all_narrowed<'a>(levels: &'a [$level], room: &'a mut Aligned<Self>) -> &'a [Self] {
                $all_narrowed(levels, room)
            }

            #[inline(always)]
            fn rows(kernels: impl Kernels, rows: Touched<'_, Self>, sums: &mut [$sum]) {
                $rows(kernels, rows, sums);
            }

            #[inline(always)]
            fn lists(kernels: impl Kernels, lists: &Chunks<Self>, x: NonZeros<'_, Self>, sums: &mut [$sum]) {
                kernels.$lists(lists, x.columns, x.levels, sums);
            }

            #[inline(always)]
            fn strips(
                kernels: impl Kernels,
                strips: &Strips<Self>,
                x: NonZeros<'_, Self>,
                sums: &mut [$sum],
            ) {
                kernels.$strips(strips, x.columns, x.levels, sums);
            }

            #[inline(always)]
            fn panels(kernels: impl Kernels, panels: &Panels<Self>, row: &[Self], sums: &mut [$sum]) {
                kernels.$panels(panels, row, sums);
            }

            #[inline(always)]
            fn tiles(
                kernels: impl Kernels,
                tiles: &Tiles<Self>,
                row: &[Self],
                narrow: bool,
                sums: &mut [$sum],
            ) {
                $tiles(kernels, tiles, row, narrow, sums);
            }
        }
    };
}

product!(
    f32, f32 => f32, (|x| x, as_they_are), float_rows, float_tiles, lists_f32, strips_f32, panels_f32
);
product!(
    i32, i32 => i64, (|level| level, as_they_are), word_rows, word_tiles, lists_i32, strips_i32, panels_i32
);
product!(
    i8, i32 => i32, (|level| level as i8, as_bytes), byte_rows, byte_tiles, lists_i8, strips_i8, panels_i8
);

#[inline(always)]
fn as_they_are<'a, T>(levels: &'a [T], _: &'a mut Aligned<T>) -> &'a [T] {
    levels
}

#[inline(always)]
fn as_bytes<'a>(levels: &'a [i32], room: &'a mut Aligned<i8>) -> &'a [i8] {
    let bytes = room.room(levels.len());
    bytes.iter_mut().zip(levels).for_each(|(byte, level)| *byte = *level as i8);
    bytes
}

#[inline(always)]
fn float_rows(kernels: impl Kernels, rows: Touched<'_, f32>, sums: &mut [f32]) {
    let Touched { weights, stride, columns, levels, .. } = rows;
    if stride == 1 {
        // A vector.
        let products = columns.iter().zip(levels).map(|(&column, x)| x * weights[column as usize]);
        sums[0] = products.sum();
        return;
    }
    kernels.rows_f32(weights, stride, columns, levels, sums);
}

#[inline(always)]
fn word_rows(kernels: impl Kernels, rows: Touched<'_, i32>, sums: &mut [i64]) {
    kernels.rows_i32(rows.weights, rows.stride, rows.columns, rows.levels, sums);
}

#[inline(always)]
fn byte_rows(kernels: impl Kernels, rows: Touched<'_, i8>, sums: &mut [i32]) {
    let Touched { weights, stride, columns, levels, .. } = rows;
    if stride == 1 {
        // A vector.
        let product = |(&column, &q): (&u32, &i8)| i32::from(q) * i32::from(weights[column as usize]);
        sums[0] = columns.iter().zip(levels).map(product).sum();
        return;
    }
    kernels.rows_i8(rows, sums);
}

#[inline(always)]
fn float_tiles(kernels: impl Kernels, tiles: &Tiles<f32>, row: &[f32], _: bool, sums: &mut [f32]) {
    kernels.tiles_f32(tiles, row, sums);
}

#[inline(always)]
fn word_tiles(kernels: impl Kernels, tiles: &Tiles<i32>, row: &[i32], _: bool, sums: &mut [i64]) {
    kernels.tiles_i32(tiles, row, sums);
}

#[inline(always)]
fn byte_tiles(kernels: impl Kernels, tiles: &Tiles<i8>, row: &[i8], narrow: bool, sums: &mut [i32]) {
    kernels.tiles_i8(tiles, row, narrow, sums);
}
