//! Which hidden units are switched off, as a function of names and counters.

use nlpress_core::Seed;
use nlpress_graph::Graph;
use std::ops::Range;

/// Dropout of one training step: which hidden units are switched off for which row (Srivastava et al. 2014).
///
/// The choice depends on the seed, the step, the site before it and the row's place in the batch, so that splitting a
/// batch over workers changes nothing.
#[derive(Clone, Debug)]
pub struct Dropout {
    rate: f64,
    /// Of the first dropout behind each site.
    seeds: Vec<Seed>,
    step: u64,
    /// For each site of which only some outputs are here: which, and how many there are.
    parts: Vec<Option<(Range<usize>, usize)>>,
}

impl Dropout {
    /// The dropout of one step of training `graph`.
    pub fn new(graph: &Graph, seed: Seed, step: u64) -> Self {
        let seeds = graph.sites().iter().map(|(id, _)| seed.derive("dropout").derive(id.as_str())).collect();
        Self { rate: graph.dropout(), seeds, step, parts: Vec::new() }
    }

    /// The same choices at another step.
    #[must_use]
    pub fn at(mut self, step: u64) -> Self {
        self.step = step;
        self
    }

    /// The same choices for a network that has some of the outputs of some sites only: for each site which, and how many there
    /// are in the whole network.
    #[must_use]
    pub fn of_parts(&self, parts: Vec<Option<(Range<usize>, usize)>>) -> Self {
        Self { parts, ..self.clone() }
    }

    /// Whether it switches nothing off.
    pub fn is_off(&self) -> bool {
        self.rate <= 0.0
    }

    /// Factors `[rows, width]` for the dropout number `nth`, from 0, behind site number `site`: 0 or `1 / (1 - rate)`.
    /// `first` is the place in the whole batch of the first of these rows.
    ///
    /// # Panics
    /// When there is no such site.
    pub fn factors(&self, (site, nth): (usize, usize), first: usize, rows: usize, width: usize) -> Vec<f32> {
        let seed = if nth == 0 { self.seeds[site] } else { self.seeds[site].derive(&nth.to_string()) };
        let scale = (1.0 / (1.0 - self.rate)) as f32;
        let threshold = (self.rate * f64::from(u32::MAX)) as u32;
        let part = self.parts.get(site).cloned().flatten();
        let (here, width) = part.unwrap_or((0..width, width));
        let mut factors = Vec::with_capacity(rows * here.len());
        for row in first..first + rows {
            // A batch has at most 2¹⁶ rows, so steps and rows do not meet.
            let mut rng = seed.stream((self.step << 24) | row as u64);
            let factor = |rng: &mut nlpress_core::Rng| if rng.bits() < threshold { 0.0 } else { scale };
            for column in 0..width.min(here.end) {
                let factor = factor(&mut rng);
                factors.extend(here.contains(&column).then_some(factor));
            }
        }
        factors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_graph::MlpSpec;

    fn dropout(rate: f64, step: u64) -> Dropout {
        let graph = Graph::from(MlpSpec::new(3, &[40, 20], 1, rate));
        Dropout::new(&graph, Seed(4), step)
    }

    #[test]
    fn splitting_a_batch_changes_nothing() {
        let whole = dropout(0.5, 7).factors((1, 0), 0, 10, 20);
        let mut parts = dropout(0.5, 7).factors((1, 0), 0, 3, 20);
        parts.extend(dropout(0.5, 7).factors((1, 0), 3, 7, 20));
        assert_eq!(whole, parts);
    }

    #[test]
    fn some_outputs_get_what_they_get_among_all() {
        let whole = dropout(0.5, 7).factors((0, 0), 0, 3, 40);
        let part = dropout(0.5, 7).of_parts(vec![Some((16..33, 40))]);
        let expected: Vec<f32> = whole.chunks(40).flat_map(|row| row[16..33].to_vec()).collect();
        assert_eq!(part.factors((0, 0), 0, 3, 17), expected);
        assert_eq!(part.factors((1, 0), 0, 3, 20), dropout(0.5, 7).factors((1, 0), 0, 3, 20));
    }

    #[test]
    fn steps_sites_and_rows_are_independent() {
        let factors = |step, site, row| dropout(0.5, step).factors((site, 0), row, 1, 20);
        let one = factors(1, 0, 0);
        assert_eq!(one, dropout(0.5, 0).at(1).factors((0, 0), 0, 1, 20));
        assert_ne!(one, dropout(0.5, 1).factors((0, 1), 0, 1, 20), "another dropout behind the same site");
        assert!([factors(2, 0, 0), factors(1, 1, 0), factors(1, 0, 1)].iter().all(|other| *other != one));
    }

    #[test]
    fn keeps_the_expected_share_and_the_mean() {
        for rate in [0.1, 0.5, 0.9] {
            let factors = dropout(rate, 0).factors((0, 0), 0, 500, 40);
            let off = factors.iter().filter(|f| **f == 0.0).count() as f64 / factors.len() as f64;
            let mean = factors.iter().map(|f| f64::from(*f)).sum::<f64>() / factors.len() as f64;
            assert!((off - rate).abs() < 0.015, "{rate}: {off} are off");
            assert!((mean - 1.0).abs() < 0.1, "{rate}: mean {mean}");
        }
        assert!(dropout(0.0, 0).is_off());
    }
}
