//! Named, independent streams of random numbers.
//!
//! Every random choice draws from a stream derived from the recipe's seed and a *name* (and counters), never
//! from a shared generator: so the same recipe gives the same bytes whatever the thread count, and adding one
//! random choice does not shift the others. The generator is ChaCha with 8 rounds, whose values are fixed by
//! its specification.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The root of all random choices of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

impl Seed {
    /// A seed for a named part of the work, independent of every other name.
    #[must_use]
    pub fn derive(self, name: &str) -> Seed {
        let mut hash = Sha256::new();
        hash.update(self.0.to_le_bytes());
        hash.update(name.as_bytes());
        let digest = hash.finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        Seed(u64::from_le_bytes(first))
    }

    /// The stream of this seed with the given number (an epoch, a batch, a site).
    pub fn stream(self, number: u64) -> Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.0);
        rng.set_stream(number);
        Rng(rng)
    }
}

/// A stream of random numbers. It can be written into a checkpoint and read back in the middle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rng(ChaCha8Rng);

impl Rng {
    /// 32 random bits.
    pub fn bits(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Uniform in `[0, 1)`, with 24 bits of precision.
    pub fn uniform(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    /// Uniform in `0..n` without bias (Lemire's rejection).
    ///
    /// # Panics
    /// When `n` is zero.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "an empty range has no element");
        let n = n as u64;
        loop {
            let wide = u128::from(self.0.next_u64()) * u128::from(n);
            let low = wide as u64;
            if low >= n || low >= n.wrapping_neg() % n {
                return (wide >> 64) as usize;
            }
        }
    }

    /// Standard normal, by Box and Muller's transform.
    pub fn normal(&mut self) -> f32 {
        let u = 1.0 - f64::from(self.uniform());
        let v = f64::from(self.uniform());
        ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
    }

    /// Puts `items` in random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_give_independent_streams() {
        let draw = |s: Seed, n| s.stream(n).bits();
        let seed = Seed(7);
        assert_eq!(draw(seed.derive("a"), 0), draw(seed.derive("a"), 0));
        assert_ne!(draw(seed.derive("a"), 0), draw(seed.derive("b"), 0));
        assert_ne!(draw(seed.derive("a"), 0), draw(seed.derive("a"), 1));
    }

    #[test]
    fn a_stream_goes_on_where_it_was_saved() {
        let mut rng = Seed(1).stream(3);
        rng.bits();
        let mut again: Rng = serde_json::from_str(&serde_json::to_string(&rng).unwrap()).unwrap();
        assert_eq!((rng.bits(), rng.bits()), (again.bits(), again.bits()));
    }

    #[test]
    fn a_shuffle_is_a_permutation_and_below_stays_in_range() {
        let mut items: Vec<usize> = (0..100).collect();
        let mut rng = Seed(1).stream(0);
        rng.shuffle(&mut items);
        let mut sorted = items.clone();
        sorted.sort_unstable();
        assert_ne!(items, sorted);
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert!((0..1000).all(|_| rng.below(3) < 3));
    }

    #[test]
    fn normal_draws_have_mean_zero_and_variance_one() {
        let mut rng = Seed(5).stream(0);
        let draws: Vec<f32> = (0..20_000).map(|_| rng.normal()).collect();
        let mean = draws.iter().sum::<f32>() / 20_000.0;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
