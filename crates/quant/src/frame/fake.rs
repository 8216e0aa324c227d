//! Fake quantization: weights that are rounded before the network computes with them, and trained as floats.
//!
//! The optimizer moves latent (or shadow) weights, which are floats (Courbariaux et al. 2015). Each step rounds them,
//! takes the gradient of the loss at the rounded weights, and applies it to the latent ones as if rounding were the
//! identity: the straight-through estimator (Bengio et al. 2013, arXiv:1308.3432). A [`Rule`] says how an entry is
//! rounded and which gradients are clipped.
//!
//! Sites that were not selected, and all biases, are trained as floats. The inputs of the selected sites are
//! fake-quantized, too: every row is rounded to 8 bits in training and validation, as the runtime's kernels round it,
//! with the same estimator.

use nlpress_model::{Layer, Model, SiteId, Weight};
use nlpress_packed::{Grid, Matrix, Per, Scales, Values};
use nlpress_technique::{Cx, StepError};
use nlpress_train::record::{Reader, Writer};
use nlpress_train::{Effective, Place, Reparameterization, Stateful, Step, TrainError, places};
use std::fmt::Debug;
use std::io;

use crate::QuantError;
use crate::ladder::Kept;
use crate::sites;

/// Integers and a scale for each output.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rounded {
    /// An integer for each entry, `[inputs, outputs]`; undefined for pruned entries.
    pub integers: Vec<f32>,
    /// One for each output, positive.
    pub scales: Vec<f32>,
}

impl Rounded {
    /// Dequantizes into `out`; 0 for pruned entries.
    fn write(&self, keep: Option<&[bool]>, out: &mut [f32]) {
        let outputs = self.scales.len();
        for (out, q) in out.chunks_exact_mut(outputs).zip(self.integers.chunks_exact(outputs)) {
            out.iter_mut().zip(q).zip(&self.scales).for_each(|((out, q), s)| *out = q * s);
        }
        if let Some(keep) = keep {
            out.iter_mut().zip(keep).filter(|(_, k)| !**k).for_each(|(w, _)| *w = 0.0);
        }
    }
}

/// How the weights of one site are rounded while they are trained.
pub(crate) trait Rule: Debug + Send {
    /// Rounds them.
    fn round(&self, entries: Kept<'_>, into: &mut Rounded);

    /// Updates its own parameters (scales) by the gradient at the rounded weights. `rate` is the learning rate of this
    /// step.
    fn learn(&mut self, entries: Kept<'_>, gradient: &[f32], rate: f64) {
        let _ = (entries, gradient, rate);
    }

    /// Turns the gradient at the weights that it `rounded` into the one of the latent weights.
    fn pass(&self, entries: Kept<'_>, rounded: &Rounded, gradient: &mut [f32]) {
        let _ = (entries, rounded, gradient);
    }

    /// A copy of it as it is.
    fn copy(&self) -> Box<dyn Rule>;

    /// Writes its own parameters.
    ///
    /// # Errors
    /// Those of the file.
    fn save(&self, to: &mut Writer<'_>) -> io::Result<()> {
        let _ = to;
        Ok(())
    }

    /// Becomes what [`save`](Rule::save) wrote.
    ///
    /// # Errors
    /// Those of the file.
    fn restore(&mut self, from: &mut Reader<'_>) -> io::Result<()> {
        let _ = from;
        Ok(())
    }
}

/// Makes the rule of a site from its weights before the training.
pub(crate) type Start<'a> = dyn Fn(Kept<'_>) -> Box<dyn Rule> + 'a;

/// One site that is rounded.
#[derive(Debug)]
struct Site {
    place: Place,
    /// Whether some of its entries may be masked.
    masked: bool,
    rule: Box<dyn Rule>,
    /// The rule as it was when the parameters that are kept were.
    kept: Box<dyn Rule>,
    rounded: Rounded,
}

/// The fake quantization of some sites.
#[derive(Debug)]
pub struct FakeQuantizer {
    grid: Grid,
    tensor: bool,
    sites: Vec<Site>,
}

impl FakeQuantizer {
    /// The sites `on` of a model, rounded to `grid` with scales `per` output or site. `moving` says that masks may be
    /// laid over them while they are trained.
    ///
    /// # Errors
    /// [`StepError`] for a site that cannot be trained.
    pub(crate) fn new(
        model: &Model,
        on: &[SiteId],
        (grid, per): (Grid, Per),
        start: &Start<'_>,
        moving: bool,
    ) -> Result<Self, StepError> {
        let (tensor, all) = (per == Per::Tensor, places(model));
        let sites = on.iter().map(|id| {
            let missing = || StepError::at(id, "there is no such site to train");
            let place = all.iter().find(|place| &place.id == id).ok_or_else(missing)?.clone();
            let layer = model.layer(id).ok_or_else(missing)?;
            let mask = layer.weight.mask();
            let values = layer.weight.values();
            let rule = start(Kept { values: &values, keep: mask, outputs: place.outputs, tensor });
            let masked = moving || mask.is_some();
            Ok(Site { place, masked, kept: rule.copy(), rule, rounded: Rounded::default() })
        });
        Ok(Self { grid, tensor, sites: sites.collect::<Result<_, StepError>>()? })
    }

    /// A model whose sites have the numbers that they are rounded to, as floats.
    ///
    /// # Errors
    /// [`StepError`] when it is not the model that this is for.
    pub(crate) fn rounded(&self, mut model: Model) -> Result<Model, StepError> {
        for site in &self.sites {
            let Some(layer) = model.layer(&site.place.id) else { continue };
            let mut values = vec![0.0; layer.shape.weights()];
            let mut rounded = Rounded::default();
            self.round_kept(site, layer, &mut rounded);
            rounded.write(layer.weight.mask(), &mut values);
            let weight = match &layer.weight {
                Weight::Masked { keep, .. } => Weight::Masked { values, keep: keep.clone() },
                _ => Weight::Dense(values),
            };
            model = model.with_weight(&site.place.id, weight)?;
        }
        Ok(model)
    }

    /// A model whose sites are packed as the integers that they are rounded to, by the scales that were kept. What their
    /// masks hold at zero is not stored.
    ///
    /// # Errors
    /// [`StepError`] when it is not the model that this is for, or on a request to stop.
    pub fn pack(&self, model: Model, cx: &mut Cx<'_>) -> Result<Model, StepError> {
        let (grid, on) = (self.grid, self.sites.iter().map(|s| s.place.id.clone()).collect::<Vec<_>>());
        let per = if self.tensor { Per::Tensor } else { Per::Channel };
        sites::pack(model, &on, cx, Values::int(grid, per), &|layer, keep, index| {
            let site = self.sites.iter().find(|site| site.place.id == layer.id);
            let site = site.ok_or_else(|| QuantError::Training("a site that was not trained".into()))?;
            let mut rounded = Rounded::default();
            self.round_kept(site, layer, &mut rounded);
            let scales = match self.tensor {
                true => Scales::Tensor(rounded.scales[0]),
                false => Scales::Channel(rounded.scales),
            };
            let q: Vec<i32> = rounded.integers.iter().map(|q| *q as i32).collect();
            Ok(Matrix::quantized((layer.shape.inputs, layer.shape.outputs), grid, &q, scales, keep, index)?)
        })
    }

    fn round_kept(&self, site: &Site, layer: &Layer, into: &mut Rounded) {
        let (values, outputs) = (layer.weight.values(), site.place.outputs);
        let entries = Kept { values: &values, keep: layer.weight.mask(), outputs, tensor: self.tensor };
        site.kept.round(entries, into);
    }
}

impl Site {
    fn keep<'f>(&self, effective: &'f Effective) -> Option<&'f [bool]> {
        self.masked.then(|| &effective.keep[self.place.weights.clone()])
    }

    fn entries<'f>(&self, latent: &'f [f32], effective: &'f Effective, tensor: bool) -> Kept<'f> {
        let values = &latent[self.place.weights.clone()];
        Kept { values, keep: self.keep(effective), outputs: self.place.outputs, tensor }
    }
}

impl Stateful for FakeQuantizer {
    fn identity(&self) -> String {
        let sites: Vec<String> =
            self.sites.iter().map(|s| format!("{} by {:?}", s.place.id, s.kept)).collect();
        format!("rounded to {:?}: {}", self.grid, sites.join(", "))
    }

    fn save(&self, to: &mut Writer<'_>) -> io::Result<()> {
        self.sites.iter().try_for_each(|site| {
            site.rule.save(to)?;
            site.kept.save(to)
        })
    }

    fn restore(&mut self, from: &mut Reader<'_>) -> io::Result<()> {
        self.sites.iter_mut().try_for_each(|site| {
            site.rule.restore(from)?;
            site.kept.restore(from)
        })
    }
}

impl Reparameterization for FakeQuantizer {
    fn rounded_inputs(&self) -> Vec<(usize, i32)> {
        let levels = self.grid.activation_levels();
        self.sites.iter().map(|site| (site.place.site, levels)).collect()
    }

    fn forward(&mut self, latent: &[f32], into: &mut Effective, _: Step) -> Result<(), TrainError> {
        for site in &mut self.sites {
            let mut rounded = std::mem::take(&mut site.rounded);
            site.rule.round(site.entries(latent, into, self.tensor), &mut rounded);
            site.rounded = rounded;
            let weights = site.place.weights.clone();
            let keep = site.masked.then(|| &into.keep[weights.clone()]);
            site.rounded.write(keep, &mut into.values[weights]);
        }
        Ok(())
    }

    fn learn(
        &mut self,
        latent: &[f32],
        effective: &Effective,
        gradient: &[f32],
        at: Step,
    ) -> Result<(), TrainError> {
        for site in &mut self.sites {
            let values = &latent[site.place.weights.clone()];
            let keep = site.masked.then(|| &effective.keep[site.place.weights.clone()]);
            let entries = Kept { values, keep, outputs: site.place.outputs, tensor: self.tensor };
            site.rule.learn(entries, &gradient[site.place.weights.clone()], at.rate);
        }
        Ok(())
    }

    fn backward(&self, latent: &[f32], effective: &Effective, gradient: &mut [f32]) {
        for site in &self.sites {
            let entries = site.entries(latent, effective, self.tensor);
            site.rule.pass(entries, &site.rounded, &mut gradient[site.place.weights.clone()]);
        }
    }

    fn keep(&mut self) {
        self.sites.iter_mut().for_each(|site| site.kept = site.rule.copy());
    }
}
