//! From a model to the artifact that ships, and back.

use nlpress_artifact::{Artifact, ArtifactError, EncoderParts, Layer, Provenance, Vector};
use nlpress_model::{Form, Layers, Model, ModelError, SiteId, Weight};
use nlpress_packed::{Index, Matrix, PackError};
use nlpress_text::Encode;

/// A model that cannot ship, or an artifact that cannot be trained further.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShipError {
    /// A layout refused the numbers.
    #[error("site {site}: {source}")]
    Pack {
        /// The site.
        site: SiteId,
        /// Why.
        source: PackError,
    },
    /// The artifact's own checks.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The model's own checks.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Lays a model out as it ships: dense sites as floats, masked sites in the smallest of the float layouts,
/// packed sites as they are.
///
/// # Errors
/// [`ShipError`].
pub fn pack(
    model: &Model,
    encoder: &impl Encode,
    labels: &[String],
    provenance: Provenance,
) -> Result<Artifact, ShipError> {
    let mut layers = Vec::new();
    for layer in model.layers() {
        let pack = |e| ShipError::Pack { site: layer.id.clone(), source: e };
        let (inputs, outputs) = (layer.shape.inputs, layer.shape.outputs);
        let matrix = match &layer.weight {
            Weight::Dense(values) => Matrix::dense(inputs, outputs, values.clone()).map_err(pack)?,
            Weight::Masked { values, keep } => {
                Matrix::smallest(inputs, outputs, values, keep).map_err(pack)?
            }
            Weight::Packed { matrix, .. } => matrix.clone(),
        };
        layers.push(Layer { id: layer.id.clone(), matrix, bias: layer.bias.clone() });
    }
    let vectors = model.vectors().iter().map(|v| Vector { id: v.id.clone(), values: v.values.clone() });
    let (config, blob) = encoder.to_parts();
    let encoder = EncoderParts { config, blob };
    Ok(Artifact::new(model.outline(), layers, vectors.collect(), labels.to_vec(), encoder, provenance)?)
}

/// The model of an artifact, with every site in the form that its outline names.
///
/// A masked site that shipped with all entries stored keeps those that are not zero.
///
/// # Errors
/// [`ShipError::Model`].
pub fn unpack(artifact: &Artifact) -> Result<Model, ShipError> {
    let sites = artifact.outline.sites.iter().zip(&artifact.layers).map(|(site, layer)| {
        let weight = match site.form {
            Form::Dense => Weight::Dense(layer.matrix.unpack()),
            Form::Masked => {
                let values = layer.matrix.unpack();
                let keep = match layer.matrix.scheme().index {
                    Index::Full => values.iter().map(|x| *x != 0.0).collect(),
                    _ => layer.matrix.keep(),
                };
                Weight::Masked { values, keep }
            }
            Form::Packed(scheme) => Weight::Packed { scheme, matrix: layer.matrix.clone() },
        };
        nlpress_model::Layer { id: site.id.clone(), shape: site.shape, weight, bias: layer.bias.clone() }
    });
    let vectors = artifact.vectors.iter();
    let vectors = vectors.map(|v| nlpress_model::Vector { id: v.id.clone(), values: v.values.clone() });
    let layers = Layers { sites: sites.collect(), vectors: vectors.collect() };
    Ok(Model::new(artifact.outline.graph.clone(), layers)?)
}
