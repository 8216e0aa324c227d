//! What must hold of the numbers of a matrix.

use crate::entries::Entries;
use crate::numbers::Number;
use crate::quantized::Quantized;
use crate::{Grid, Outliers, PackError};

/// Checks that all floats are finite.
pub(super) fn floats(entries: &Entries<f32>, outputs: usize) -> Result<(), PackError> {
    if entries.numbers().iter().all(|v| v.is_finite()) {
        return Ok(());
    }
    let mut bad = None;
    entries.visit(outputs, |row, column, value| {
        if !value.is_finite() {
            bad.get_or_insert((row * outputs + column, value));
        }
    });
    match bad {
        None => Ok(()),
        Some((position, value)) => Err(PackError::NotFinite { what: "values", position, value }),
    }
}

/// The least and the largest of all numbers, many at a time: a model has millions.
fn extremes<T: Number + Ord>(numbers: &[T]) -> Option<[T; 2]> {
    let mut ends = [[*numbers.first()?; 64]; 2];
    let (many, rest) = numbers.as_chunks::<64>();
    for some in many {
        for (n, &q) in some.iter().enumerate() {
            ends[0][n] = ends[0][n].min(q);
            ends[1][n] = ends[1][n].max(q);
        }
    }
    let [least, most] = ends.map(|end| end.into_iter().chain(rest.iter().copied()));
    Some([least.min()?, most.max()?])
}

/// Checks that all integers are on their grid.
pub(super) fn integers<T: Number + Ord>(
    entries: &Entries<T>,
    outputs: usize,
    quantized: &Quantized,
    widen: impl Fn(T) -> i32,
) -> Result<(), PackError> {
    let grid = quantized.grid;
    let (least, most) = quantized.range();
    let odd = !grid.has_zero() && quantized.zero_points.is_none();
    let good = |q: i32| (least..=most).contains(&q) && (!odd || grid.contains(q));
    let numbers = entries.numbers();
    let is_good = |ends: Option<[T; 2]>| ends.is_none_or(|ends| ends.into_iter().all(|q| good(widen(q))));
    if is_good(extremes(numbers)) && (!odd || numbers.iter().all(|&q| good(widen(q)))) {
        return Ok(());
    }
    let mut bad = None;
    entries.visit(outputs, |row, column, q| {
        if !good(widen(q)) {
            bad.get_or_insert((row * outputs + column, widen(q)));
        }
    });
    match bad {
        None => Ok(()),
        Some((position, value)) if odd => Err(PackError::Grid { position, value, grid }),
        Some((position, value)) => Err(PackError::Level { position, value, least, most }),
    }
}

/// Checks that no weight of outliers is given twice: the integers in their place are the one nearest to zero, and where nothing
/// is kept their weights are zero.
pub(super) fn outliers(
    outliers: &Outliers,
    entries: &Entries<i8>,
    outputs: usize,
    grid: Grid,
) -> Result<(), PackError> {
    let (inputs, values) = (outliers.inputs(), outliers.values());
    let placeholder = grid.nearest(0.0);
    let mut kept = vec![false; values.len()];
    let mut bad = None;
    entries.visit(outputs, |input, output, q| {
        let Some(place) = outliers.place(input) else { return };
        kept[place * outputs + output] = true;
        if i32::from(q) != placeholder {
            bad.get_or_insert((input, output, f32::from(q)));
        }
    });
    if let Some((input, output, value)) = bad {
        let expected = "the integer nearest to zero beside its float";
        return Err(PackError::OutlierValue { input, output, value, expected });
    }
    match values.iter().zip(&kept).position(|(value, kept)| !kept && *value != 0.0) {
        None => Ok(()),
        Some(at) => {
            let (input, output) = (inputs[at / outputs] as usize, at % outputs);
            let expected = "0, for nothing is kept there";
            Err(PackError::OutlierValue { input, output, value: values[at], expected })
        }
    }
}
