//! What a network's numbers are: sites with their weights, and vectors.

use nlpress_graph::{Form, Graph, Shape, SiteId};
use nlpress_packed::Matrix;

use crate::ModelError;

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
    /// One number for each output; none for a site without a bias.
    pub bias: Vec<f32>,
}

/// A vector of a normalisation with its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector {
    /// Its name.
    pub id: SiteId,
    /// Its numbers.
    pub values: Vec<f32>,
}

/// The numbers of a network: the layers that they are mostly about, and the vectors that go with them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layers {
    /// The sites, in the order of the forward pass.
    pub sites: Vec<Layer>,
    /// The vectors, in the order of the forward pass.
    pub vectors: Vec<Vector>,
}

/// Checks that the vectors are those of the graph, and finite.
pub(crate) fn check_vectors(graph: &Graph, vectors: &[Vector]) -> Result<(), ModelError> {
    let expected = graph.vectors();
    let bad = |site: &SiteId, why: String| Err(ModelError::Site { site: site.clone(), why });
    for (n, (id, of)) in expected.iter().enumerate() {
        match vectors.get(n) {
            None => return bad(id, format!("the vector is missing: there are {}", vectors.len())),
            Some(vector) if vector.id != *id || vector.values.len() != of.length => {
                let why = format!("the vector has {}, expected {id} of {}", vector.values.len(), of.length);
                return bad(&vector.id, why);
            }
            Some(vector) if vector.values.iter().any(|x| !x.is_finite()) => {
                return bad(id, "a number is not finite".into());
            }
            Some(_) => {}
        }
    }
    match vectors.get(expected.len()) {
        Some(more) => bad(&more.id, "the specification has no such vector".into()),
        None => Ok(()),
    }
}

impl From<Vec<Layer>> for Layers {
    fn from(sites: Vec<Layer>) -> Self {
        Self { sites, vectors: Vec::new() }
    }
}

/// A list of its sites, for whoever has to do with those alone.
impl std::ops::Deref for Layers {
    type Target = Vec<Layer>;

    fn deref(&self) -> &Vec<Layer> {
        &self.sites
    }
}

impl std::ops::DerefMut for Layers {
    fn deref_mut(&mut self) -> &mut Vec<Layer> {
        &mut self.sites
    }
}

impl Layer {
    /// Checks that its numbers fit its shape, are finite, and are zero where they are not kept.
    pub(crate) fn check(&self) -> Result<(), ModelError> {
        let (bad, shape) = (|why: String| Err(ModelError::Site { site: self.id.clone(), why }), self.shape);
        let (size, finite) = match &self.weight {
            Weight::Dense(values) => (values.len(), values.iter().all(|x| x.is_finite())),
            Weight::Masked { values, keep } => {
                if keep.len() != values.len() || values.iter().zip(keep).any(|(v, k)| !k && *v != 0.0) {
                    return bad("an entry that is not kept is not zero".into());
                }
                (values.len(), values.iter().all(|x| x.is_finite()))
            }
            Weight::Packed { matrix, .. } => {
                if (matrix.inputs(), matrix.outputs()) != (shape.inputs, shape.outputs) {
                    return bad(format!("its matrix is {} × {}", matrix.inputs(), matrix.outputs()));
                }
                (shape.weights(), true)
            }
        };
        if size != shape.weights() || self.bias.len() != shape.biases() {
            return bad("the count of numbers does not fit the shape".into());
        }
        if !finite || self.bias.iter().any(|x| !x.is_finite()) {
            return bad("a number is not finite".into());
        }
        Ok(())
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

    /// The mask of a masked weight: which entries are kept.
    pub fn mask(&self) -> Option<&[bool]> {
        match self {
            Weight::Masked { keep, .. } => Some(keep),
            _ => None,
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
