//! One row from the tokens of each example.

use pulp::Arch;

/// How much of each token goes into the row of its example.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Where the tokens of each example begin, and where those of the last end.
    offsets: Vec<usize>,
    /// One for each token.
    shares: Vec<f32>,
}

impl Pool {
    /// Sums of tokens, each times its share.
    ///
    /// # Panics
    /// When the offsets do not rise from 0 to the number of shares.
    pub fn new(offsets: Vec<usize>, shares: Vec<f32>) -> Self {
        assert!(offsets.first() == Some(&0) && offsets.last() == Some(&shares.len()) && offsets.is_sorted());
        Self { offsets, shares }
    }

    /// The sums `[examples, width]` of tokens `x` `[tokens, width]`; more rows of `x` are left out.
    ///
    /// # Panics
    /// When there are fewer rows than tokens.
    pub fn forward(&self, x: &[f32], width: usize) -> Vec<f32> {
        let mut out = vec![0.0; (self.offsets.len() - 1) * width];
        Arch::new().dispatch(|| {
            for (out, range) in out.chunks_exact_mut(width).zip(self.offsets.windows(2)) {
                for token in range[0]..range[1] {
                    let (share, x) = (self.shares[token], &x[token * width..][..width]);
                    out.iter_mut().zip(x).for_each(|(out, x)| *out += share * x);
                }
            }
        });
        out
    }

    /// The derivative by `rows` rows of tokens, `[rows, width]`; those beyond the tokens have none.
    ///
    /// # Panics
    /// When there are fewer rows than tokens.
    pub fn backward(&self, upstream: &[f32], width: usize, rows: usize) -> Vec<f32> {
        let mut out = vec![0.0; rows * width];
        Arch::new().dispatch(|| {
            for (u, range) in upstream.chunks_exact(width).zip(self.offsets.windows(2)) {
                for token in range[0]..range[1] {
                    let share = self.shares[token];
                    let out = &mut out[token * width..][..width];
                    out.iter_mut().zip(u).for_each(|(out, u)| *out = share * u);
                }
            }
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_summed_and_their_derivative_is_spread() {
        let pool = Pool::new(vec![0, 2, 2, 3], vec![0.5, 2.0, -1.0]);
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 100.0, 100.0];
        assert_eq!(pool.forward(&x, 2), [6.5, 9.0, 0.0, 0.0, -5.0, -6.0]);
        let back = pool.backward(&[1.0, 2.0, 7.0, 8.0, 3.0, 4.0], 2, 4);
        assert_eq!(back, [0.5, 1.0, 2.0, 4.0, -3.0, -4.0, 0.0, 0.0]);
    }

    #[test]
    #[should_panic(expected = "assertion")]
    fn offsets_are_those_of_the_shares() {
        Pool::new(vec![0, 2], vec![1.0]);
    }
}
