//! Gradients that are not multiplied out.
//!
//! The derivative by a wide weight has as many numbers as the weight, however few rows it is of. What it is a product of is
//! small: what went into the site, and the derivative by what came out. So a pass with gradients keeps these factors, and the
//! derivative is made of them tile by tile: by an optimizer just before it moves a tile's numbers, so that the whole of it
//! never lies in memory, and threads share out the tiles of all the gradients that are added.
//!
//! Tiles depend on shapes alone, and each is computed in the same way whoever asks, so that the numbers do not depend on
//! who does.

use std::ops::Range;
use std::sync::Arc;

use super::Network;
use crate::operations::Outer;
use crate::{Model, kernel};

/// Numbers of a tile, at most, unless a single row has more: few enough for the cache of a core.
const TILE: usize = 1 << 16;
/// Numbers of a weight from which on its derivative is kept in factors.
pub(super) const WIDE: usize = 1 << 16;

/// Result of a pass with gradients.
#[derive(Clone, Debug)]
pub struct Gradients {
    /// What the loss function returned.
    pub loss: f64,
    /// The derivative by every entry of [`Model::flat`](crate::Model::flat), in that order.
    pub flat: Vec<f32>,
}

/// Loss and gradient of some rows, the gradient in factors.
#[derive(Clone, Debug)]
pub struct Factored {
    /// What the loss function returned.
    pub loss: f64,
    /// Weight and bias of each site that is trained, then the vectors.
    parts: Vec<Part>,
}

/// The derivative by a weight, a bias or a vector.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// All zero.
    Zeros(usize),
    /// As it is.
    Numbers(Vec<f32>),
    /// A product.
    Product(Outer),
    /// For each row the sum of some rows of another matrix.
    Sums(Sums),
}

/// For each row of a weight, the rows of `upstream` that are added up to its derivative, and what each is multiplied with.
#[derive(Clone, Debug)]
pub(super) struct Sums {
    /// Where the terms of each row begin, and where the last one's end.
    offsets: Vec<usize>,
    /// In the order in which they are added.
    terms: Vec<(u32, f32)>,
    /// `[rows, outputs]`.
    upstream: Arc<Vec<f32>>,
    outputs: usize,
}

/// Some rows of a weight, or all of a bias or a vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// The number of the parameter among those that [`Network::changed`] hands out.
    pub parameter: usize,
    /// Its numbers in that parameter.
    pub numbers: Range<usize>,
}

/// The tiles of everything of a model that is trained, in the order of [`Model::flat`].
pub fn tiles(model: &Model) -> Vec<Tile> {
    let sites = model.layers().iter().filter(|layer| layer.weight.is_trainable());
    let of_sites = sites.flat_map(|layer| {
        let shape = layer.shape;
        [(shape.weights(), shape.outputs), (shape.biases(), shape.biases())]
    });
    let vectors = model.vectors().iter().map(|vector| vector.values.len());
    let all = of_sites.chain(vectors.map(|length| (length, length))).filter(|(length, _)| *length > 0);
    let tiles = all.enumerate().flat_map(|(parameter, (length, width))| {
        cuts(length, width).map(move |numbers| Tile { parameter, numbers })
    });
    tiles.collect()
}

/// `length` numbers, in rows of `width`, in tiles.
fn cuts(length: usize, width: usize) -> impl Iterator<Item = Range<usize>> {
    let step = (TILE / width.max(1)).max(1) * width.max(1);
    (0..length).step_by(step).map(move |begin| begin..length.min(begin + step))
}

impl Factored {
    pub(super) fn new(loss: f64, parts: Vec<Part>) -> Self {
        Self { loss, parts }
    }

    /// No loss and no gradient, of a network.
    pub fn zeros(network: &Network) -> Self {
        Self { loss: 0.0, parts: network.lengths().map(Part::Zeros).collect() }
    }

    /// The numbers that the gradient has.
    pub fn len(&self) -> usize {
        self.parts.iter().map(Part::len).sum()
    }

    /// Whether it is of nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The gradient multiplied out.
    pub fn multiplied(self) -> Gradients {
        let mut flat = Vec::with_capacity(self.len());
        self.parts.into_iter().for_each(|part| part.append(&mut flat));
        Gradients { loss: self.loss, flat }
    }

    /// Writes to `out` the sum of some gradients at a tile, added in their order. `spare` is for what comes between.
    ///
    /// # Panics
    /// When `out` is not as long as the tile, or the gradients have no such tile.
    pub fn sum(all: &[Self], tile: &Tile, out: &mut [f32], spare: &mut Vec<f32>) {
        assert_eq!(out.len(), tile.numbers.len());
        let mut all = all.iter().map(|of| &of.parts[tile.parameter]);
        match all.next() {
            None => out.fill(0.0),
            Some(first) => first.write(tile.numbers.clone(), out),
        }
        all.for_each(|more| more.add(tile.numbers.clone(), out, spare));
    }
}

impl Part {
    fn len(&self) -> usize {
        match self {
            Self::Zeros(length) => *length,
            Self::Numbers(numbers) => numbers.len(),
            Self::Product(Outer { shape: [inputs, outputs], .. }) => inputs * outputs,
            Self::Sums(sums) => (sums.offsets.len() - 1) * sums.outputs,
        }
    }

    /// Numbers of a row.
    fn width(&self) -> usize {
        match self {
            Self::Zeros(length) => *length,
            Self::Numbers(numbers) => numbers.len(),
            Self::Product(outer) => outer.shape[1],
            Self::Sums(sums) => sums.outputs,
        }
    }

    /// All of it.
    pub(super) fn numbers(self) -> Vec<f32> {
        let mut numbers = Vec::new();
        self.append(&mut numbers);
        numbers
    }

    /// Appends all of it.
    pub(super) fn append(self, to: &mut Vec<f32>) {
        match self {
            Self::Numbers(numbers) if to.is_empty() && to.capacity() <= numbers.len() => *to = numbers,
            Self::Numbers(numbers) => to.extend(numbers),
            part => {
                for tile in cuts(part.len(), part.width()) {
                    let begin = to.len();
                    to.resize(begin + tile.len(), 0.0);
                    part.write(tile, &mut to[begin..]);
                }
            }
        }
    }

    /// The sum with another of the same parameter.
    pub(super) fn with(self, more: Self) -> Self {
        if let Self::Zeros(_) = self {
            return more;
        }
        let mut numbers = self.numbers();
        numbers.iter_mut().zip(more.numbers()).for_each(|(sum, x)| *sum += x);
        Self::Numbers(numbers)
    }

    /// Writes some of its numbers, of whole rows.
    fn write(&self, numbers: Range<usize>, out: &mut [f32]) {
        match self {
            Self::Zeros(_) => out.fill(0.0),
            Self::Numbers(all) => out.copy_from_slice(&all[numbers]),
            Self::Product(outer) => outer.write(numbers, out),
            Self::Sums(Sums { outputs, upstream, .. }) => {
                out.fill(0.0);
                for (row, out) in (numbers.start / outputs..).zip(out.chunks_exact_mut(*outputs)) {
                    kernel::add_rows(self.terms(row), upstream, out);
                }
            }
        }
    }

    /// Adds some of its numbers, of whole rows: each is computed before it is added.
    fn add(&self, numbers: Range<usize>, out: &mut [f32], spare: &mut Vec<f32>) {
        let add = |out: &mut [f32], more: &[f32]| out.iter_mut().zip(more).for_each(|(sum, x)| *sum += x);
        match self {
            Self::Zeros(_) => out.iter_mut().for_each(|sum| *sum += 0.0),
            Self::Numbers(all) => add(out, &all[numbers]),
            Self::Product(outer) => {
                spare.resize(out.len(), 0.0);
                outer.write(numbers, spare);
                add(out, spare);
            }
            Self::Sums(Sums { outputs, upstream, .. }) => {
                for (row, out) in (numbers.start / outputs..).zip(out.chunks_exact_mut(*outputs)) {
                    if !self.terms(row).is_empty() {
                        spare.clear();
                        spare.resize(*outputs, 0.0);
                        kernel::add_rows(self.terms(row), upstream, spare);
                        add(out, spare);
                    }
                }
            }
        }
    }

    /// What is added up to a row.
    fn terms(&self, row: usize) -> &[(u32, f32)] {
        match self {
            Self::Sums(Sums { offsets, terms, .. }) => &terms[offsets[row]..offsets[row + 1]],
            _ => &[],
        }
    }
}

impl Sums {
    /// Of a weight of so many rows, where term by term is said what row it belongs to, what row of `upstream` it is, and what
    /// that is multiplied with.
    pub(super) fn of(
        rows: usize,
        all: impl Iterator<Item = (u32, u32, f32)> + Clone,
        (upstream, outputs): (Arc<Vec<f32>>, usize),
    ) -> Self {
        let mut offsets = vec![0; rows + 1];
        all.clone().for_each(|(row, ..)| offsets[row as usize + 1] += 1);
        (0..rows).for_each(|row| offsets[row + 1] += offsets[row]);
        let (mut next, mut terms) = (offsets.clone(), vec![(0, 0.0); offsets[rows]]);
        for (row, place, factor) in all {
            terms[next[row as usize]] = (place, factor);
            next[row as usize] += 1;
        }
        Self { offsets, terms, upstream, outputs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::Seed;
    use nlpress_graph::{Graph, MlpSpec};

    const INPUTS: usize = 700;
    const OUTPUTS: usize = 300;

    /// Small whole numbers, whose sums are exact.
    fn numbers(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 37 + seed * 11) % 23) as f32 - 11.0).collect()
    }

    fn product(rows: usize, seed: usize) -> Part {
        let (inputs, upstream) = (numbers(rows * INPUTS, seed), numbers(rows * OUTPUTS, seed + 1));
        Part::Product(Outer { inputs, upstream, shape: [INPUTS, OUTPUTS] })
    }

    fn sums(rows: usize, seed: usize) -> Part {
        let terms = (0..3 * rows).map(|n| (((n * n + seed) % INPUTS) as u32, (n / 3) as u32, n as f32 - 4.0));
        Part::Sums(Sums::of(INPUTS, terms, (Arc::new(numbers(rows * OUTPUTS, seed)), OUTPUTS)))
    }

    /// What a part stands for, number by number.
    fn plain(part: &Part, row: usize, column: usize) -> f32 {
        match part {
            Part::Zeros(_) => 0.0,
            Part::Numbers(numbers) => numbers[row * OUTPUTS + column],
            Part::Product(Outer { inputs, upstream, .. }) => {
                let rows = inputs.chunks_exact(INPUTS).zip(upstream.chunks_exact(OUTPUTS));
                rows.map(|(x, u)| x[row] * u[column]).sum()
            }
            Part::Sums(Sums { offsets, terms, upstream, .. }) => {
                let own = &terms[offsets[row]..offsets[row + 1]];
                own.iter().map(|(place, factor)| factor * upstream[*place as usize * OUTPUTS + column]).sum()
            }
        }
    }

    #[test]
    fn tiles_of_a_sum_are_the_sum() {
        let all: Vec<Part> = vec![
            product(5, 1),
            sums(9, 2),
            Part::Zeros(INPUTS * OUTPUTS),
            Part::Numbers(numbers(INPUTS * OUTPUTS, 3)),
            sums(2, 4),
            product(1, 5),
        ];
        for first in 0..all.len() {
            let order = || (first..all.len()).chain(0..first);
            let shares: Vec<Factored> = order().map(|n| Factored::new(0.0, vec![all[n].clone()])).collect();
            let (mut found, mut spare) = (Vec::new(), Vec::new());
            for numbers in cuts(INPUTS * OUTPUTS, OUTPUTS) {
                let mut tile = vec![7.0; numbers.len()];
                Factored::sum(&shares, &Tile { parameter: 0, numbers }, &mut tile, &mut spare);
                found.extend(tile);
            }
            for (at, found) in found.iter().enumerate().step_by(113) {
                let sum: f32 = order().map(|n| plain(&all[n], at / OUTPUTS, at % OUTPUTS)).sum();
                assert_eq!(*found, sum, "{first} {at}");
            }
            assert_eq!(found.len(), INPUTS * OUTPUTS);
            let alone = Factored::new(0.0, vec![all[first].clone()]);
            let whole = alone.multiplied().flat;
            for (at, found) in whole.iter().enumerate().step_by(113) {
                assert_eq!(*found, plain(&all[first], at / OUTPUTS, at % OUTPUTS));
            }
        }
    }

    #[test]
    fn tiles_are_all_parameters_in_order() {
        let model = Model::init(&Graph::from(MlpSpec::new(900, &[200, 3], 1, 0.0)), Seed(1)).unwrap();
        let tiles = tiles(&model);
        let of = |parameter: usize| tiles.iter().filter(move |tile| tile.parameter == parameter);
        let lengths = [900 * 200, 200, 200 * 3, 3, 3, 1];
        for (parameter, length) in lengths.into_iter().enumerate() {
            let ends: Vec<usize> = of(parameter).map(|tile| tile.numbers.end).collect();
            let starts: Vec<usize> = of(parameter).map(|tile| tile.numbers.start).collect();
            assert_eq!((starts[0], ends[ends.len() - 1]), (0, length));
            assert_eq!(starts[1..], ends[..ends.len() - 1]);
        }
        assert!(tiles.is_sorted_by_key(|tile| tile.parameter) && of(0).count() == 3);
        assert!(of(0).all(|tile| tile.numbers.start % 200 == 0));
    }
}
