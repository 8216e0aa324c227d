//! A model as it ships, in memory: proven to be consistent when it is made.

use crate::{ArtifactError, Provenance, label};
use nlpress_core::shown::{counted, shown};
use nlpress_graph::{Form, Outline, Site, SiteId};
use nlpress_packed::{Index, Matrix, Scheme, Values};

/// A model as it ships. The fields are readable everywhere, but only [`Artifact::new`] and the readers make one.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Artifact {
    /// The network and the form of its sites.
    pub outline: Outline,
    /// Its layers, in the order of the outline.
    pub layers: Vec<Layer>,
    /// Its vectors, in the order of the graph.
    pub vectors: Vec<Vector>,
    /// Names of the classes: two for one output (the second is what the output speaks for), else one an output; none for
    /// a network that makes embeddings.
    pub labels: Vec<String>,
    /// For a network of one output, the score above which the second class is the answer; one half where there is
    /// none. Scores do not depend on it.
    pub threshold: Option<f64>,
    /// How texts become feature rows or tokens.
    pub encoder: EncoderParts,
    /// Where the model came from.
    pub provenance: Provenance,
}

/// The numbers of a site.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// The site.
    pub id: SiteId,
    /// Its weight, `[inputs, outputs]`.
    pub matrix: Matrix,
    /// Its bias, `[outputs]`; empty for a site without one.
    pub bias: Vec<f32>,
}

/// A vector of a normalisation.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector {
    /// Its name, which its tensor has too.
    pub id: SiteId,
    /// Its numbers.
    pub values: Vec<f32>,
}

/// An encoder in parts that this crate carries without understanding them.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderParts {
    /// Its settings.
    pub config: serde_json::Value,
    /// Its vocabulary, in the encoder's own form.
    pub blob: Vec<u8>,
}

impl Artifact {
    /// Puts a model together.
    ///
    /// A dense site ships as floats, all stored; a masked one as floats in any index; a packed one in its layout,
    /// where `sparse` stands for the smaller of bitmask and csr. Entries kept are counted from the index; a layer
    /// whose index stores zeros may keep any number from its non-zeros up.
    ///
    /// # Errors
    /// [`ArtifactError`] for a bad specification, for layers, vectors or labels that do not match the outline, and for a
    /// label that cannot be read on one line or told from the others.
    pub fn new(
        outline: Outline,
        layers: Vec<Layer>,
        vectors: Vec<Vector>,
        labels: Vec<String>,
        encoder: EncoderParts,
        provenance: Provenance,
    ) -> Result<Self, ArtifactError> {
        check_sites(&outline)?;
        check_labels(&outline, &labels)?;
        label::check_readable(&labels)?;
        Self::assemble(outline, layers, vectors, labels, encoder, provenance)
    }

    /// Puts a model together whose sites and labels have been looked at.
    pub(crate) fn assemble(
        outline: Outline,
        layers: Vec<Layer>,
        vectors: Vec<Vector>,
        labels: Vec<String>,
        encoder: EncoderParts,
        provenance: Provenance,
    ) -> Result<Self, ArtifactError> {
        let name = |id: Option<&SiteId>| id.map_or("none".to_owned(), |id| shown(id.as_str()).to_string());
        for i in 0..outline.sites.len().max(layers.len()) {
            let (expected, found) = (outline.sites.get(i).map(|s| &s.id), layers.get(i).map(|l| &l.id));
            if expected != found {
                return Err(ArtifactError::Layer { expected: name(expected), found: name(found) });
            }
        }
        for (site, layer) in outline.sites.iter().zip(&layers) {
            check_layer(site, layer)?;
        }
        check_vectors(&outline, &vectors)?;
        check_kept(&outline, &layers)?;
        Ok(Self { outline, layers, vectors, labels, threshold: None, encoder, provenance })
    }

    /// The same model, answering its second class where the score of it is greater than `threshold`.
    ///
    /// # Errors
    /// [`ArtifactError::Threshold`] when it is not above 0 and below 1, or the network has not one output.
    pub fn with_threshold(mut self, threshold: Option<f64>) -> Result<Self, ArtifactError> {
        let outputs = self.outline.graph.outputs();
        let has_one = outputs == 1 && self.outline.graph.classes().is_some();
        if let Some(value) = threshold.filter(|t| !(has_one && *t > 0.0 && *t < 1.0)) {
            return Err(ArtifactError::Threshold { value, outputs });
        }
        self.threshold = threshold;
        Ok(self)
    }
}

/// Checks that the outline has the sites of its specification, all of possible sizes.
pub(crate) fn check_sites(outline: &Outline) -> Result<(), ArtifactError> {
    outline.graph.check()?;
    let expected = outline.graph.sites();
    if expected.len() != outline.sites.len() {
        let (expected, found) = (expected.len(), outline.sites.len());
        return Err(ArtifactError::Sites(format!("{}, expected {expected}", counted(found, "site"))));
    }
    for ((id, shape), site) in expected.iter().zip(&outline.sites) {
        if (id, shape) != (&site.id, &site.shape) {
            return Err(ArtifactError::Sites(format!(
                "found {} [{}, {}], expected {} [{}, {}]",
                shown(site.id.as_str()),
                site.shape.inputs,
                site.shape.outputs,
                shown(id.as_str()),
                shape.inputs,
                shape.outputs
            )));
        }
    }
    Ok(())
}

pub(crate) fn check_labels(outline: &Outline, labels: &[String]) -> Result<(), ArtifactError> {
    let (outputs, expected) = (outline.graph.outputs(), outline.graph.classes().unwrap_or(0));
    if labels.len() != expected {
        return Err(ArtifactError::Labels { found: labels.len(), outputs, expected });
    }
    label::check_distinct(labels)
}

/// Checks that a site of that form may ship in that layout, as far as the layout alone tells.
pub(crate) fn check_layout(site: &Site, scheme: Scheme) -> Result<(), ArtifactError> {
    let fits = match site.form {
        Form::Dense => scheme == Scheme::F32,
        Form::Masked => scheme.values == Values::F32,
        Form::Packed(Scheme { values, index: Index::Sparse }) => {
            scheme.values == values && scheme.index != Index::Full
        }
        Form::Packed(form) => scheme == form,
    };
    if fits && scheme.index != Index::Sparse {
        return Ok(());
    }
    Err(ArtifactError::Layout { site: site.id.clone(), found: scheme, form: site.form.to_string() })
}

fn check_layer(site: &Site, layer: &Layer) -> Result<(), ArtifactError> {
    let (found, shape) = ([layer.matrix.inputs(), layer.matrix.outputs()], site.shape);
    if found != [shape.inputs, shape.outputs] {
        let expected = [shape.inputs, shape.outputs];
        return Err(ArtifactError::Shape { site: site.id.clone(), found, expected });
    }
    check_layout(site, layer.matrix.scheme())?;
    if layer.bias.len() != shape.biases() {
        let (found, expected) = (layer.bias.len(), shape.biases());
        return Err(ArtifactError::Bias { site: site.id.clone(), found, expected });
    }
    match layer.bias.iter().position(|b| !b.is_finite()) {
        None => Ok(()),
        Some(position) => {
            Err(ArtifactError::BiasValue { site: site.id.clone(), position, value: layer.bias[position] })
        }
    }
}

fn check_vectors(outline: &Outline, vectors: &[Vector]) -> Result<(), ArtifactError> {
    let expected = outline.graph.vectors();
    if expected.len() != vectors.len() {
        let (expected, found) = (expected.len(), vectors.len());
        return Err(ArtifactError::Sites(format!("{}, expected {expected}", counted(found, "vector"))));
    }
    for ((id, expected), vector) in expected.iter().zip(vectors) {
        if *id != vector.id || expected.length != vector.values.len() {
            let (found, length) = (shown(vector.id.as_str()), vector.values.len());
            let expected = format!("expected {} [{}]", shown(id.as_str()), expected.length);
            return Err(ArtifactError::Sites(format!("found {found} [{length}], {expected}")));
        }
        if let Some(position) = vector.values.iter().position(|x| !x.is_finite()) {
            return Err(ArtifactError::VectorValue {
                vector: id.clone(),
                position,
                value: vector.values[position],
            });
        }
    }
    Ok(())
}

fn check_kept(outline: &Outline, layers: &[Layer]) -> Result<(), ArtifactError> {
    let most: usize = layers.iter().map(|layer| layer.matrix.kept()).sum();
    if outline.kept == most {
        return Ok(());
    }
    let sites = outline.sites.iter().zip(layers);
    let least = sites.map(|(site, layer)| match site.form {
        Form::Dense => layer.matrix.kept(),
        _ if !layer.matrix.scheme().index.stores_zeros() => layer.matrix.kept(),
        _ => layer.matrix.nonzeros(),
    });
    let least: usize = least.sum();
    if (least..=most).contains(&outline.kept) {
        return Ok(());
    }
    Err(ArtifactError::Kept { outline: outline.kept, least, most })
}
