//! A network's numbers at rest, in plain memory.

use nlpress_core::Seed;
use nlpress_outline::{BadSpec, Form, Outline, Shape, Site, SiteId, Spec};
use nlpress_packed::{Matrix, PackError};

/// What sits at a site.
#[derive(Clone, Debug, PartialEq)]
pub enum Weight {
    /// Trainable floats `[inputs, outputs]`, row by input.
    Dense(Vec<f32>),
    /// Trainable floats of which those not kept are zero and stay zero.
    Masked {
        /// `[inputs, outputs]`.
        values: Vec<f32>,
        /// Which entries live; the others are zero.
        keep: Vec<bool>,
    },
    /// Final: laid out as it ships.
    Packed {
        /// The layout that the outline names; it may leave the choice of the sparse index open.
        scheme: nlpress_packed::Scheme,
        /// The numbers.
        matrix: Matrix,
    },
}

/// A site with its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Name of the site.
    pub id: SiteId,
    /// Shape of the weight.
    pub shape: Shape,
    /// The weight.
    pub weight: Weight,
    /// One number for each output.
    pub bias: Vec<f32>,
}

/// A network's numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    spec: Spec,
    layers: Vec<Layer>,
}

/// A model that cannot be made or bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The specification is impossible.
    #[error(transparent)]
    Spec(#[from] BadSpec),
    /// The layers do not fit the specification.
    #[error("site {site}: {why}")]
    Site {
        /// The site.
        site: SiteId,
        /// What does not fit.
        why: String,
    },
    /// The rows do not fit.
    #[error("data: {0}")]
    Data(String),
    /// A layout refused the numbers.
    #[error("site {site}: {source}")]
    Pack {
        /// The site.
        site: SiteId,
        /// Why.
        source: PackError,
    },
    /// A tensor could not be read back from the device.
    #[error("the device did not give a tensor back: {0}")]
    Device(String),
}

impl Model {
    /// A fresh network with weights and biases uniform in `±1/√inputs` of each layer (LeCun's bound).
    ///
    /// The numbers depend on the seed and the site's name only.
    ///
    /// # Errors
    /// [`ModelError::Spec`].
    pub fn init(spec: &Spec, seed: Seed) -> Result<Self, ModelError> {
        spec.check()?;
        let layers = spec
            .sites()
            .into_iter()
            .map(|(id, shape)| {
                let mut rng = seed.derive("init").derive(id.as_str()).stream(0);
                let bound = 1.0 / (shape.inputs as f32).sqrt();
                let mut draw =
                    |n: usize| (0..n).map(|_| (2.0 * rng.uniform() - 1.0) * bound).collect::<Vec<_>>();
                Layer { weight: Weight::Dense(draw(shape.weights())), bias: draw(shape.outputs), id, shape }
            })
            .collect();
        Ok(Self { spec: spec.clone(), layers })
    }

    /// Joins a specification and its layers.
    ///
    /// # Errors
    /// [`ModelError`] when a site is missing or too many, a shape differs, a number is not finite, or an entry
    /// that is not kept is not zero.
    pub fn new(spec: Spec, layers: Vec<Layer>) -> Result<Self, ModelError> {
        spec.check()?;
        let sites = spec.sites();
        let first = layers.first().map_or(SiteId::output(), |l| l.id.clone());
        if sites.len() != layers.len() {
            let why = format!("the specification has {} sites, the model {}", sites.len(), layers.len());
            return Err(ModelError::Site { site: first, why });
        }
        for ((id, shape), layer) in sites.iter().zip(&layers) {
            let bad = |why: String| Err(ModelError::Site { site: layer.id.clone(), why });
            if id != &layer.id || shape != &layer.shape {
                return bad(format!("expected {id} of {} × {}", shape.inputs, shape.outputs));
            }
            let (size, finite) = match &layer.weight {
                Weight::Dense(values) => (values.len(), values.iter().all(|x| x.is_finite())),
                Weight::Masked { values, keep } => {
                    if keep.len() != values.len() || values.iter().zip(keep).any(|(v, k)| !k && *v != 0.0) {
                        return bad("an entry that is not kept is not zero".into());
                    }
                    (values.len(), values.iter().all(|x| x.is_finite()))
                }
                Weight::Packed { matrix, .. } => (matrix.inputs() * matrix.outputs(), true),
            };
            if size != shape.weights() || layer.bias.len() != shape.outputs {
                return bad("the count of numbers does not fit the shape".into());
            }
            if !finite || layer.bias.iter().any(|x| !x.is_finite()) {
                return bad("a number is not finite".into());
            }
        }
        Ok(Self { spec, layers })
    }

    /// What the network is.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The sites with their numbers, in the order of the forward pass.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The site of that name.
    pub fn layer(&self, id: &SiteId) -> Option<&Layer> {
        self.layers.iter().find(|l| &l.id == id)
    }

    /// Changes the weight of a site; the shape must stay.
    ///
    /// # Errors
    /// [`ModelError`] as for [`Model::new`], with the model given up.
    pub fn with_weight(mut self, id: &SiteId, weight: Weight) -> Result<Self, ModelError> {
        match self.layers.iter_mut().find(|l| &l.id == id) {
            Some(layer) => layer.weight = weight,
            None => return Err(ModelError::Site { site: id.clone(), why: "there is no such site".into() }),
        }
        Self::new(self.spec, self.layers)
    }

    /// The specification and the layers, taken apart.
    pub fn into_parts(self) -> (Spec, Vec<Layer>) {
        (self.spec, self.layers)
    }

    /// The model without its numbers.
    pub fn outline(&self) -> Outline {
        Outline {
            spec: self.spec.clone(),
            sites: self
                .layers
                .iter()
                .map(|l| Site { id: l.id.clone(), shape: l.shape, form: l.weight.form() })
                .collect(),
            kept: self.layers.iter().map(|l| l.weight.kept()).sum(),
        }
    }

    /// Weight entries that are not zero.
    pub fn nonzeros(&self) -> usize {
        self.layers.iter().map(|l| l.weight.values().iter().filter(|x| **x != 0.0).count()).sum()
    }

    /// All trainable numbers in one row: each layer's weight, then its bias. Packed sites have none.
    pub fn flat(&self) -> Vec<f32> {
        let mut flat = Vec::new();
        for layer in self.layers.iter().filter(|l| l.weight.is_trainable()) {
            flat.extend_from_slice(&layer.weight.values());
            flat.extend_from_slice(&layer.bias);
        }
        flat
    }

    /// Which entries of [`flat`](Model::flat) may change: `false` where a mask holds a zero.
    pub fn flat_keep(&self) -> Vec<bool> {
        let mut flat = Vec::new();
        for layer in self.layers.iter().filter(|l| l.weight.is_trainable()) {
            match &layer.weight {
                Weight::Masked { keep, .. } => flat.extend_from_slice(keep),
                _ => flat.extend(std::iter::repeat_n(true, layer.shape.weights())),
            }
            flat.extend(std::iter::repeat_n(true, layer.shape.outputs));
        }
        flat
    }

    /// Which entries of [`flat`](Model::flat) are weights rather than biases.
    pub fn flat_is_weight(&self) -> Vec<bool> {
        let mut flat = Vec::new();
        for layer in self.layers.iter().filter(|l| l.weight.is_trainable()) {
            flat.extend(std::iter::repeat_n(true, layer.shape.weights()));
            flat.extend(std::iter::repeat_n(false, layer.shape.outputs));
        }
        flat
    }

    /// Puts trained numbers back; masked entries stay zero.
    ///
    /// # Errors
    /// [`ModelError::Data`] when the count differs from [`flat`](Model::flat)'s, [`ModelError::Site`] when a
    /// number is not finite (training diverged).
    pub fn with_flat(mut self, flat: &[f32]) -> Result<Self, ModelError> {
        let mut rest = flat;
        for layer in self.layers.iter_mut().filter(|l| l.weight.is_trainable()) {
            let (n, b) = (layer.shape.weights(), layer.shape.outputs);
            if rest.len() < n + b {
                return Err(ModelError::Data("too few numbers for the trainable sites".into()));
            }
            match &mut layer.weight {
                Weight::Dense(values) => values.copy_from_slice(&rest[..n]),
                Weight::Masked { values, keep } => {
                    for ((value, new), keep) in values.iter_mut().zip(rest).zip(keep.iter()) {
                        *value = if *keep { *new } else { 0.0 };
                    }
                }
                Weight::Packed { .. } => {}
            }
            layer.bias.copy_from_slice(&rest[n..n + b]);
            rest = &rest[n + b..];
        }
        if !rest.is_empty() {
            return Err(ModelError::Data("too many numbers for the trainable sites".into()));
        }
        Self::new(self.spec, self.layers)
    }
}

impl Weight {
    /// Its form in an outline.
    pub fn form(&self) -> Form {
        match self {
            Weight::Dense(_) => Form::Dense,
            Weight::Masked { .. } => Form::Masked,
            Weight::Packed { scheme, .. } => Form::Packed(*scheme),
        }
    }

    /// Entries that are kept, whatever their value.
    pub fn kept(&self) -> usize {
        match self {
            Weight::Dense(values) => values.len(),
            Weight::Masked { keep, .. } => keep.iter().filter(|k| **k).count(),
            Weight::Packed { matrix, .. } => matrix.kept(),
        }
    }

    /// Whether training may change it.
    pub fn is_trainable(&self) -> bool {
        !matches!(self, Weight::Packed { .. })
    }

    /// The plain numbers `[inputs, outputs]`, dequantised where need be.
    pub fn values(&self) -> std::borrow::Cow<'_, [f32]> {
        match self {
            Weight::Dense(values) | Weight::Masked { values, .. } => values.into(),
            Weight::Packed { matrix, .. } => matrix.unpack().into(),
        }
    }

    /// Which entries are kept.
    pub fn keep(&self) -> Vec<bool> {
        match self {
            Weight::Dense(values) => vec![true; values.len()],
            Weight::Masked { keep, .. } => keep.clone(),
            Weight::Packed { matrix, .. } => matrix.keep(),
        }
    }
}
