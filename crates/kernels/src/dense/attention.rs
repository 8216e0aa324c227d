//! Scaled dot-product attention among the tokens of one example.

use pulp::Arch;

use super::numbers::{exp, largest, sum, sum_of};
use super::product::{View, ViewMut, product};

/// The sizes of multi-head attention (Vaswani et al. 2017, arXiv:1706.03762).
///
/// Query, key and value of a token lie one after the other, `[tokens, 3 · heads · width]`, and within each of them the
/// heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Heads.
    pub heads: usize,
    /// Numbers of a token in one head.
    pub width: usize,
}

impl Heads {
    /// Numbers of a token in all heads.
    pub fn all(self) -> usize {
        self.heads * self.width
    }

    /// Attention probabilities of an example with so many tokens: `[heads, tokens, tokens]`.
    pub fn probabilities(self, tokens: usize) -> usize {
        self.heads * tokens * tokens
    }

    /// What each token gets, `out` `[tokens, heads · width]`, and how much from each other, `probabilities`.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn forward(self, qkv: &[f32], probabilities: &mut [f32], out: &mut [f32]) {
        let tokens = self.tokens(out.len(), qkv.len(), probabilities.len());
        if tokens == 0 {
            return;
        }
        let (all, square) = (self.all(), tokens * tokens);
        for (head, probabilities) in probabilities.chunks_exact_mut(square).enumerate() {
            let [query, key, value] = self.views(qkv, tokens, head);
            product(self.scale(), query, key.transposed(), ViewMut::new(probabilities, tokens, tokens));
            softmax(probabilities, tokens);
            let mixed = ViewMut::part(&mut out[head * self.width..], (tokens, self.width), all);
            product(1.0, View::new(probabilities, tokens, tokens), value, mixed);
        }
    }

    /// The derivative by query, key and value, `by_qkv` `[tokens, 3 · heads · width]`, of which that by what
    /// [`forward`](Heads::forward) made is `upstream`.
    ///
    /// # Panics
    /// When the lengths do not fit.
    pub fn backward(self, qkv: &[f32], probabilities: &[f32], upstream: &[f32], by_qkv: &mut [f32]) {
        let tokens = self.tokens(upstream.len(), qkv.len(), probabilities.len());
        assert_eq!(qkv.len(), by_qkv.len());
        if tokens == 0 {
            return;
        }
        let (all, square) = (self.all(), tokens * tokens);
        let mut slopes = vec![0.0; square];
        for (head, probabilities) in probabilities.chunks_exact(square).enumerate() {
            let [query, key, value] = self.views(qkv, tokens, head);
            let arrived = View::part(&upstream[head * self.width..], (tokens, self.width), all);
            let shares = View::new(probabilities, tokens, tokens);
            product(1.0, shares.transposed(), arrived, self.view_mut(by_qkv, tokens, (2, head)));
            product(1.0, arrived, value.transposed(), ViewMut::new(&mut slopes, tokens, tokens));
            softmax_backward(probabilities, &mut slopes, tokens);
            let scores = View::new(&slopes, tokens, tokens);
            product(self.scale(), scores, key, self.view_mut(by_qkv, tokens, (0, head)));
            product(self.scale(), scores.transposed(), query, self.view_mut(by_qkv, tokens, (1, head)));
        }
    }

    fn scale(self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }

    fn tokens(self, out: usize, qkv: usize, probabilities: usize) -> usize {
        let tokens = out / self.all();
        assert_eq!((out, qkv), (tokens * self.all(), 3 * out));
        assert_eq!(probabilities, self.probabilities(tokens));
        tokens
    }

    fn views(self, qkv: &[f32], tokens: usize, head: usize) -> [View<'_>; 3] {
        std::array::from_fn(|nth| {
            let begin = nth * self.all() + head * self.width;
            View::part(&qkv[begin..], (tokens, self.width), 3 * self.all())
        })
    }

    fn view_mut(self, qkv: &mut [f32], tokens: usize, (nth, head): (usize, usize)) -> ViewMut<'_> {
        let begin = nth * self.all() + head * self.width;
        ViewMut::part(&mut qkv[begin..], (tokens, self.width), 3 * self.all())
    }
}

/// Every row to the exponentials of its numbers, divided by their sum.
fn softmax(x: &mut [f32], width: usize) {
    Arch::new().dispatch(|| {
        for row in x.chunks_exact_mut(width) {
            let top = largest(row);
            row.iter_mut().for_each(|x| *x = exp(*x - top));
            let factor = 1.0 / sum(row);
            row.iter_mut().for_each(|x| *x *= factor);
        }
    });
}

/// Turns the derivative by a softmax into the one by its input, in place.
fn softmax_backward(probabilities: &[f32], upstream: &mut [f32], width: usize) {
    Arch::new().dispatch(|| {
        for (u, p) in upstream.chunks_exact_mut(width).zip(probabilities.chunks_exact(width)) {
            let mean = sum_of(u, p, |u, p| u * p);
            u.iter_mut().zip(p).for_each(|(u, p)| *u = p * (*u - mean));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADS: Heads = Heads { heads: 2, width: 3 };

    fn run(qkv: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let tokens = qkv.len() / 18;
        let (mut out, mut probabilities) = (vec![0.0; tokens * 6], vec![0.0; HEADS.probabilities(tokens)]);
        HEADS.forward(qkv, &mut probabilities, &mut out);
        (out, probabilities)
    }

    fn numbers(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 37 + seed * 11) % 23) as f32 / 8.0 - 1.25).collect()
    }

    #[test]
    fn attention_is_what_the_paper_says() {
        let (tokens, qkv) = (5, numbers(5 * 18, 1));
        let (out, probabilities) = run(&qkv);
        for head in 0..2 {
            let at = |token: usize, nth: usize, i: usize| f64::from(qkv[token * 18 + nth * 6 + head * 3 + i]);
            for t in 0..tokens {
                let score =
                    |s: usize| (0..3).map(|i| at(t, 0, i) * at(s, 1, i)).sum::<f64>() / 3.0_f64.sqrt();
                let total: f64 = (0..tokens).map(|s| score(s).exp()).sum();
                let share = |s: usize| score(s).exp() / total;
                for s in 0..tokens {
                    let found = probabilities[head * 25 + t * 5 + s];
                    assert!((f64::from(found) - share(s)).abs() < 1e-6);
                }
                for i in 0..3 {
                    let expected: f64 = (0..tokens).map(|s| share(s) * at(s, 2, i)).sum();
                    assert!((f64::from(out[t * 6 + head * 3 + i]) - expected).abs() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn derivatives_agree_with_finite_differences() {
        let (qkv, towards) = (numbers(4 * 18, 2), numbers(4 * 6, 3));
        let loss =
            |qkv: &[f32]| -> f64 { run(qkv).0.iter().zip(&towards).map(|(x, t)| f64::from(x * t)).sum() };
        let (_, probabilities) = run(&qkv);
        let mut found = vec![f32::NAN; qkv.len()];
        HEADS.backward(&qkv, &probabilities, &towards, &mut found);
        for i in 0..qkv.len() {
            let moved = |d: f32| {
                let mut moved = qkv.clone();
                moved[i] += d;
                loss(&moved)
            };
            let numeric = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            assert!((numeric - f64::from(found[i])).abs() < 2e-3, "{i}: {numeric} {}", found[i]);
        }
    }

    #[test]
    fn no_token_and_one_token_have_attention() {
        assert_eq!(run(&[]).0, []);
        let one = numbers(18, 4);
        assert_eq!(run(&one).0, one[12..]);
        HEADS.backward(&[], &[], &[], &mut []);
    }
}
