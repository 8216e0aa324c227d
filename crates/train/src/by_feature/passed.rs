//! What steps without a gradient do to a weight, all at once.

use crate::FitConfig;
use crate::adam::corrections;

/// The steps of an epoch, for a weight that sleeps through some of them.
///
/// Adam moves a weight `w` with moments `m` and `v` at every step, also where its gradient is zero: after `s` such
/// steps the moments are `β₁ˢ m` and `β₂ˢ v`, and each step has moved the weight by `aₛ ρˢ m / √v`, with
/// `ρ = β₁ / √β₂` and a factor `aₛ` that holds the step's learning rate and bias corrections and is the same for every
/// weight. So a sum of `aₛ ρˢ` is all that is needed, and it is the difference of two that are known in advance.
/// Weight decay multiplies what a weight was, and is a product in the same way. Only `ε`, which counts for gradients
/// near `1e-8` alone, is taken as it was when the sleep began.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// After step `l`: the sum of `aₛ ρˢ⁻ˡ / decay[s]` over the epoch's later steps `s`.
    to_come: Vec<f64>,
    /// What weight decay has left, after step `l`, of what was there before the epoch.
    decay: Vec<f64>,
    /// Powers of `ρ`, `β₁` and `β₂`.
    rho: Vec<f64>,
    first: Vec<f32>,
    second: Vec<f32>,
    epsilon: Vec<f32>,
}

/// What a sleep does: `w ← scale · w − drift · m / (√v + epsilon)`, `m ← first · m`, `v ← second · v`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sleep {
    pub(super) scale: f32,
    pub(super) drift: f32,
    pub(super) first: f32,
    pub(super) second: f32,
    pub(super) epsilon: f32,
}

/// Powers of `β₁` below this are zero: what they stand for is lost in the rounding of a sum, and numbers of fewer
/// bits are slow.
const FORGOTTEN: f64 = 1e-20;

impl Passed {
    /// The next `steps` steps of a training of `total`, of which `done` are done.
    pub(super) fn of(config: &FitConfig, done: u64, steps: usize, total: u64) -> Self {
        let (b1, b2, epsilon) = config.adam();
        let rho = b1 / b2.sqrt();
        let rate = |step: usize| config.learning_rate(done + step as u64 - 1, total);
        let mut decay = vec![1.0; steps + 1];
        for step in 1..=steps {
            decay[step] = decay[step - 1] * (1.0 - rate(step) * config.weight_decay());
        }
        let mut to_come = vec![0.0; steps + 1];
        for step in (1..=steps).rev() {
            let (first, second) = corrections(done + step as u64, config.adam());
            to_come[step - 1] = rho * (rate(step) / first * second.sqrt() / decay[step] + to_come[step]);
        }
        let smallest = |step: usize| {
            let (_, second) = corrections(done + step as u64, config.adam());
            ((epsilon * second.sqrt()) as f32).max(f32::MIN_POSITIVE)
        };
        let powers = |of: f64| (0..=steps).map(move |n| of.powi(n as i32));
        Self {
            to_come,
            decay,
            rho: powers(rho).collect(),
            first: powers(b1).map(|x| if x < FORGOTTEN { 0.0 } else { x as f32 }).collect(),
            second: powers(b2).map(|x| x as f32).collect(),
            epsilon: (0..=steps).map(smallest).collect(),
        }
    }

    /// From after step `from` of the epoch to after step `to`; 0 is before the first.
    pub(super) fn sleep(&self, from: u32, to: u32) -> Sleep {
        let (from, to) = (from as usize, to as usize);
        let steps = to - from;
        Sleep {
            scale: (self.decay[to] / self.decay[from]) as f32,
            drift: (self.decay[to] * (self.to_come[from] - self.rho[steps] * self.to_come[to])) as f32,
            first: self.first[steps],
            second: self.second[steps],
            epsilon: self.epsilon[from],
        }
    }

    /// Steps of the epoch.
    pub(super) fn steps(&self) -> u32 {
        self.decay.len() as u32 - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adam::Adam;

    /// A weight through an epoch, with a gradient at some steps: by Adam step by step, and by sleeps.
    fn both(text: &str, done: u64, awake: &[usize]) -> [f64; 2] {
        const STEPS: usize = 400;
        let config: FitConfig = toml::from_str(text).unwrap();
        let gradient = |step: usize| if awake.contains(&step) { 0.03 - 1e-4 * step as f32 } else { 0.0 };
        let total = done + STEPS as u64;
        let rate = |step: usize| config.learning_rate(done + step as u64 - 1, total);
        let start = || {
            let mut adam = Adam::new(1);
            (0..done).for_each(|_| _ = adam.next(0.1, config.adam()));
            adam
        };
        let shrink = |step: usize| (1.0 - rate(step) * config.weight_decay()) as f32;
        let (mut adam, mut by_steps) = (start(), [0.5]);
        for step in 1..=STEPS {
            by_steps[0] *= shrink(step);
            adam.step(&mut by_steps, &[gradient(step)], rate(step), config.adam());
        }
        let passed = Passed::of(&config, done, STEPS, total);
        let (mut adam, mut w, mut last) = (start(), [0.5f32], 0);
        let mut wake = |adam: &mut Adam, w: &mut [f32; 1], to: u32| {
            let Sleep { scale, drift, first, second, epsilon } = passed.sleep(last, to);
            let (m, v) = adam.moments(0..1);
            w[0] = scale * w[0] - drift * m[0] / (v[0].sqrt() + epsilon);
            (m[0], v[0], last) = (m[0] * first, v[0] * second, to + 1);
        };
        for step in 1..=STEPS {
            let update = adam.next(rate(step), config.adam());
            if gradient(step) != 0.0 {
                wake(&mut adam, &mut w, step as u32 - 1);
                w[0] *= shrink(step);
                let (m, v) = adam.moments(0..1);
                update.apply(&mut w, &[gradient(step)], m, v);
            }
        }
        wake(&mut adam, &mut w, STEPS as u32);
        [f64::from(by_steps[0]), f64::from(w[0])]
    }

    #[test]
    fn a_sleep_gives_what_its_steps_give() {
        for text in [
            "",
            "schedule = 'linear'\nwarmup_steps = 30\nlearning_rate = 0.01",
            "schedule = 'cosine'\nweight_decay = 5.0\nlearning_rate = 0.01",
            "beta1 = 0.0",
            "beta1 = 0.5\nbeta2 = 0.9",
            "beta1 = 0.99\nweight_decay = 0.1",
        ] {
            for done in [0, 3, 5000] {
                for awake in [&[1][..], &[400], &[2, 3, 4, 90, 91, 300], &[7, 11, 200, 399], &[]] {
                    let [by_steps, by_sleeps] = both(text, done, awake);
                    let moved = (by_steps - 0.5).abs();
                    let off = (by_steps - by_sleeps).abs();
                    // The steps round a number near 0.5 up to 400 times, by 3e-8 at most; half of them cancel.
                    assert!(off <= 6e-6 + 1e-4 * moved, "{text} {done} {awake:?}: {by_steps} {by_sleeps}");
                    assert!(awake.is_empty() || moved > 1e-6, "{text} {done} {awake:?}: nothing moved");
                }
            }
        }
    }
}
