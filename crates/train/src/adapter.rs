//! Low-rank adapters (LoRA): instead of a weight, the product of two narrow matrices that is added to it is trained.
//!
//! Hu et al. 2021, arXiv:2106.09685. The effective weight is `W + alpha / rank · down · up`, with `W` as it was and `up`
//! zero at first. Adapters are a reparameterization as masks and fake quantizers are, and go before them: what is masked or
//! rounded is the sum. Both factors learn by the straight-through estimator from the gradient at the effective weight,
//! with Adam at the training's learning rate. After the training [`Adapters::merged`] adds them to the weights for good.

use nlpress_core::Seed;
use nlpress_model::{Model, SiteId};
use serde::Deserialize;
use std::io;

use crate::adam::{Adam, Betas};
use crate::places::{Place, places};
use crate::record::{Reader, Stateful, Writer, invalid};
use crate::reparameterization::{Effective, Reparameterization, Step};
use crate::{BadConfig, FitConfig, TrainError};

/// The sizes of adapters.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct AdapterConfig {
    rank: usize,
    alpha: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    rank: usize,
    alpha: Option<f64>,
}

impl TryFrom<Raw> for AdapterConfig {
    type Error = BadConfig;

    fn try_from(Raw { rank, alpha }: Raw) -> Result<Self, BadConfig> {
        if !(1..=4096).contains(&rank) {
            return Err(BadConfig { field: "rank", value: rank.to_string(), bound: "between 1 and 4096" });
        }
        let alpha = alpha.unwrap_or(2.0 * rank as f64);
        if !((alpha as f32).is_finite() && alpha as f32 > 0.0) {
            return Err(BadConfig {
                field: "alpha",
                value: format!("{alpha:?}"),
                bound: "positive in 32 bits",
            });
        }
        Ok(Self { rank, alpha })
    }
}

/// The adapters of some sites while they are trained.
#[derive(Debug)]
pub struct Adapters {
    config: AdapterConfig,
    betas: Betas,
    sites: Vec<Adapter>,
    /// The factors that go with the parameters to be kept.
    kept: Option<Vec<Vec<f32>>>,
}

#[derive(Debug)]
struct Adapter {
    place: Place,
    rank: usize,
    /// `down` `[inputs, rank]`, then `up` `[rank, outputs]`.
    factors: Vec<f32>,
    adam: Adam,
}

impl AdapterConfig {
    /// Refuses a training that would move the weights that adapters leave as they are.
    ///
    /// # Errors
    /// [`BadConfig`] for `weight_decay`, `l1` or `l2`.
    pub fn check(self, fit: &FitConfig) -> Result<(), BadConfig> {
        for (field, value) in [("weight_decay", fit.weight_decay()), ("l1", fit.l1()), ("l2", fit.l2())] {
            if value > 0.0 {
                let bound = "0 where adapters are trained in place of weights";
                return Err(BadConfig { field, value: value.to_string(), bound });
            }
        }
        Ok(())
    }

    /// Fresh adapters of those of these sites that can be trained, which change nothing yet. Where a side of a weight is less
    /// than the rank, that is the rank there.
    ///
    /// # Errors
    /// [`BadConfig`] as of [`check`](AdapterConfig::check).
    pub fn adapters(
        self,
        model: &Model,
        on: &[SiteId],
        seed: Seed,
        fit: &FitConfig,
    ) -> Result<Adapters, BadConfig> {
        self.check(fit)?;
        let fresh = |place: Place| {
            let (inputs, outputs) = (place.weights.len() / place.outputs, place.outputs);
            let rank = self.rank.min(inputs).min(outputs);
            let mut rng = seed.derive("adapter").derive(place.id.as_str()).stream(0);
            let bound = 1.0 / (inputs as f32).sqrt();
            let mut factors: Vec<f32> =
                (0..inputs * rank).map(|_| (2.0 * rng.uniform() - 1.0) * bound).collect();
            factors.resize((inputs + outputs) * rank, 0.0);
            Adapter { adam: Adam::new(factors.len()), rank, factors, place }
        };
        let sites = places(model).into_iter().filter(|place| on.contains(&place.id)).map(fresh).collect();
        Ok(Adapters { config: self, betas: fit.adam(), sites, kept: None })
    }
}

impl Adapters {
    /// The model with the adapters added to its weights; what a mask holds at zero stays there.
    ///
    /// # Errors
    /// [`TrainError`] when a sum is not finite.
    pub fn merged(&self, model: Model) -> Result<Model, TrainError> {
        let mut flat = model.flat();
        let keep = model.flat_keep();
        for (n, site) in self.sites.iter().enumerate() {
            let factors = self.kept.as_ref().map_or(&site.factors, |kept| &kept[n]);
            let range = site.place.weights.clone();
            site.add(factors, self.scale(site), (&mut flat[range.clone()], &keep[range]));
        }
        Ok(model.with_flat(&flat)?)
    }

    fn scale(&self, site: &Adapter) -> f32 {
        (self.config.alpha / site.rank as f64) as f32
    }
}

impl Adapter {
    fn inputs(&self) -> usize {
        self.place.weights.len() / self.place.outputs
    }

    /// Adds `scale · down · up` to a weight where it is kept.
    fn add(&self, factors: &[f32], scale: f32, (weight, keep): (&mut [f32], &[bool])) {
        let (outputs, mut sums) = (self.place.outputs, vec![0.0; self.place.outputs]);
        let (down, up) = factors.split_at(self.inputs() * self.rank);
        let rows = weight.chunks_exact_mut(outputs).zip(keep.chunks_exact(outputs));
        for ((weight, keep), down) in rows.zip(down.chunks_exact(self.rank)) {
            sums.fill(0.0);
            for (a, up) in down.iter().zip(up.chunks_exact(outputs)) {
                sums.iter_mut().zip(up).for_each(|(sum, b)| *sum += a * b);
            }
            for ((w, sum), keep) in weight.iter_mut().zip(&sums).zip(keep) {
                *w += if *keep { scale * sum } else { 0.0 };
            }
        }
    }

    /// The derivative by the factors, of which that by the weight is `gradient`.
    fn derivative(&self, scale: f32, (gradient, keep): (&[f32], &[bool])) -> Vec<f32> {
        let outputs = self.place.outputs;
        let mut found = vec![0.0; self.factors.len()];
        let (down, up) = self.factors.split_at(self.inputs() * self.rank);
        let (by_down, by_up) = found.split_at_mut(down.len());
        let mut held = vec![0.0; outputs];
        let rows = gradient.chunks_exact(outputs).zip(keep.chunks_exact(outputs));
        let factors = down.chunks_exact(self.rank).zip(by_down.chunks_exact_mut(self.rank));
        for ((gradient, keep), (down, by_down)) in rows.zip(factors) {
            for ((held, g), keep) in held.iter_mut().zip(gradient).zip(keep) {
                *held = if *keep { scale * g } else { 0.0 };
            }
            let ups = up.chunks_exact(outputs).zip(by_up.chunks_exact_mut(outputs));
            for ((a, by_a), (up, by_up)) in down.iter().zip(by_down).zip(ups) {
                *by_a = held.iter().zip(up).map(|(g, b)| g * b).sum();
                by_up.iter_mut().zip(&held).for_each(|(sum, g)| *sum += a * g);
            }
        }
        found
    }
}

impl Reparameterization for Adapters {
    fn forward(&mut self, _: &[f32], into: &mut Effective, _: Step) -> Result<(), TrainError> {
        for site in &self.sites {
            let range = site.place.weights.clone();
            let of = (&mut into.values[range.clone()], &into.keep[range]);
            site.add(&site.factors, self.scale(site), of);
        }
        Ok(())
    }

    fn learn(
        &mut self,
        _: &[f32],
        effective: &Effective,
        gradient: &[f32],
        at: Step,
    ) -> Result<(), TrainError> {
        let (alpha, betas) = (self.config.alpha, self.betas);
        for site in &mut self.sites {
            let range = site.place.weights.clone();
            let scale = (alpha / site.rank as f64) as f32;
            let found = site.derivative(scale, (&gradient[range.clone()], &effective.keep[range]));
            site.adam.step(&mut site.factors, &found, at.rate, betas);
        }
        Ok(())
    }

    fn backward(&self, _: &[f32], _: &Effective, gradient: &mut [f32]) {
        self.sites.iter().for_each(|site| gradient[site.place.weights.clone()].fill(0.0));
    }

    fn keep(&mut self) {
        self.kept = Some(self.sites.iter().map(|site| site.factors.clone()).collect());
    }
}

impl Stateful for Adapters {
    fn identity(&self) -> String {
        let sites: Vec<&str> = self.sites.iter().map(|site| site.place.id.as_str()).collect();
        format!("adapters {:?} of {}", self.config, sites.join(", "))
    }

    fn save(&self, to: &mut Writer<'_>) -> io::Result<()> {
        for (n, site) in self.sites.iter().enumerate() {
            to.row(&site.factors)?;
            to.row(self.kept.as_ref().map_or(&site.factors, |kept| &kept[n]))?;
            site.adam.save(to)?;
        }
        Ok(())
    }

    fn restore(&mut self, from: &mut Reader<'_>) -> io::Result<()> {
        let mut kept = Vec::new();
        for site in &mut self.sites {
            from.row_into(&mut site.factors)?;
            let mut best = vec![0.0; site.factors.len()];
            from.row_into(&mut best)?;
            site.adam.restore(from)?;
            if site.factors.iter().chain(&best).any(|x| !x.is_finite()) {
                return Err(invalid("a number of an adapter is not finite"));
            }
            kept.push(best);
        }
        self.kept = Some(kept);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_model::{Graph, MlpSpec, Weight};

    fn setup(text: &str) -> (Model, Adapters) {
        let graph = Graph::from(MlpSpec::new(4, &[3], 2, 0.0));
        let model = Model::init(&graph, Seed(1)).unwrap();
        let config: AdapterConfig = toml::from_str(text).unwrap();
        let on: Vec<SiteId> = model.layers().iter().map(|l| l.id.clone()).collect();
        let adapters = config.adapters(&model, &on, Seed(2), &FitConfig::default()).unwrap();
        (model, adapters)
    }

    fn at() -> Step {
        Step { number: 0, of: 1, rate: 0.1 }
    }

    #[test]
    fn fresh_adapters_change_nothing_and_trained_ones_are_merged_as_they_were_seen() {
        let (model, mut adapters) = setup("rank = 2");
        let flat = model.flat();
        let mut effective = Effective { values: flat.clone(), keep: model.flat_keep() };
        adapters.forward(&flat, &mut effective, at()).unwrap();
        assert_eq!(effective.values, flat);
        let gradient: Vec<f32> = (0..flat.len()).map(|i| (i % 5) as f32 - 1.5).collect();
        adapters.learn(&flat, &effective, &gradient, at()).unwrap();
        effective.values.clone_from(&flat);
        adapters.forward(&flat, &mut effective, at()).unwrap();
        assert_ne!(effective.values, flat);
        assert_eq!(effective.values[12..15], flat[12..15], "a bias has no adapter");
        let merged = adapters.merged(model).unwrap();
        assert_eq!(merged.flat(), effective.values);
        let mut held = gradient;
        adapters.backward(&flat, &effective, &mut held);
        assert!(held[..12].iter().all(|g| *g == 0.0) && held[12] != 0.0);
    }

    #[test]
    fn the_derivative_agrees_with_finite_differences() {
        let (model, mut adapters) = setup("rank = 2\nalpha = 3");
        let keep: Vec<bool> = (0..12).map(|i| i != 5).collect();
        let gradient: Vec<f32> = (0..12).map(|i| (i % 5) as f32 - 1.5).collect();
        let site = &mut adapters.sites[0];
        (0..site.factors.len()).for_each(|i| site.factors[i] = (i % 7) as f32 / 4.0 - 0.7);
        let loss = |site: &Adapter| -> f32 {
            let mut weight = model.layers()[0].weight.values().into_owned();
            site.add(&site.factors, 1.5, (&mut weight, &keep));
            weight.iter().zip(&gradient).map(|(w, g)| w * g).sum()
        };
        let found = site.derivative(1.5, (&gradient, &keep));
        for (i, slope) in found.iter().enumerate() {
            let mut moved = |d: f32| {
                site.factors[i] += d;
                let loss = loss(site);
                site.factors[i] -= d;
                loss
            };
            let numeric = (moved(0.25) - moved(-0.25)) / 0.5;
            assert!((numeric - slope).abs() < 1e-4, "{i}: {numeric} {slope}");
        }
    }

    #[test]
    fn what_a_mask_holds_stays_zero() {
        let (model, mut adapters) = setup("rank = 1");
        adapters.sites.iter_mut().for_each(|site| site.factors.fill(1.0));
        let keep = vec![false; 12];
        let masked = Weight::Masked { values: vec![0.0; 12], keep };
        let masked = model.with_weight(&SiteId::hidden(0), masked).unwrap();
        assert_eq!(*adapters.merged(masked).unwrap().layers()[0].weight.values(), [0.0; 12]);
    }

    #[test]
    fn settings_have_bounds() {
        let read = |text: &str| toml::from_str::<AdapterConfig>(text).map_err(|e| e.to_string());
        assert!(read("rank = 0").unwrap_err().contains("rank is 0"));
        assert!(read("rank = 2\nalpha = 0").unwrap_err().contains("alpha is 0"));
        assert!(read("alpha = 2").unwrap_err().contains("rank"));
        let (model, _) = setup("rank = 1");
        let decaying: FitConfig = toml::from_str("weight_decay = 0.1").unwrap();
        let refused = read("rank = 1").unwrap().adapters(&model, &[], Seed(1), &decaying).unwrap_err();
        assert!(refused.to_string().starts_with("weight_decay is 0.1"), "{refused}");
    }
}
