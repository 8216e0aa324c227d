//! A network's numbers at rest, in plain memory.

use nlpress_core::Seed;
use nlpress_graph::{Graph, Outline, Site, SiteId};
use std::sync::Arc;

use crate::ModelError;
use crate::layers::{Layer, Layers, Vector, Weight, check_vectors};

/// A network's numbers. Clones share those of every site until one of them is changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    graph: Graph,
    layers: Vec<Arc<Layer>>,
    vectors: Arc<Vec<Vector>>,
}

impl Model {
    /// A fresh network with weights and biases uniform in `±1/√inputs` of each layer (LeCun's bound).
    ///
    /// Vectors start as gains of one and biases of zero. The numbers depend on the seed and the site's name only.
    ///
    /// # Errors
    /// [`ModelError::Graph`].
    pub fn init(graph: &Graph, seed: Seed) -> Result<Self, ModelError> {
        graph.check()?;
        let layers = graph
            .sites()
            .into_iter()
            .map(|(id, shape)| {
                let mut rng = seed.derive("init").derive(id.as_str()).stream(0);
                let bound = 1.0 / (shape.inputs as f32).sqrt();
                let mut draw =
                    |n: usize| (0..n).map(|_| (2.0 * rng.uniform() - 1.0) * bound).collect::<Vec<_>>();
                let weight = Weight::Dense(draw(shape.weights()));
                Arc::new(Layer { weight, bias: draw(shape.biases()), id, shape })
            })
            .collect();
        let fresh =
            |(id, of): (SiteId, nlpress_graph::Vector)| Vector { id, values: vec![of.fresh; of.length] };
        let vectors = Arc::new(graph.vectors().into_iter().map(fresh).collect());
        Ok(Self { graph: graph.clone(), layers, vectors })
    }

    /// The network of another graph, with the numbers of this one at all sites and vectors that are the same in both, and
    /// fresh ones at the others.
    ///
    /// # Errors
    /// [`ModelError::Graph`].
    pub fn moved_to(&self, graph: &Graph, seed: Seed) -> Result<Self, ModelError> {
        let mut moved = Self::init(graph, seed)?;
        for layer in &mut moved.layers {
            let known = self.layers.iter().find(|known| known.id == layer.id && known.shape == layer.shape);
            if let Some(known) = known {
                *layer = Arc::clone(known);
            }
        }
        for vector in Arc::make_mut(&mut moved.vectors) {
            let same = |known: &&Vector| known.id == vector.id && known.values.len() == vector.values.len();
            if let Some(known) = self.vectors.iter().find(same) {
                vector.values.clone_from(&known.values);
            }
        }
        Ok(moved)
    }

    /// Joins a specification and its numbers; layers alone are all that a network without vectors has.
    ///
    /// # Errors
    /// [`ModelError`] when a site or a vector is missing or too many, a shape differs, a number is not finite, or an
    /// entry that is not kept is not zero.
    pub fn new(graph: Graph, layers: impl Into<Layers>) -> Result<Self, ModelError> {
        graph.check()?;
        let Layers { sites: layers, vectors } = layers.into();
        let sites = graph.sites();
        let first = layers.first().map_or(SiteId::output(), |l| l.id.clone());
        if sites.len() != layers.len() {
            let why = format!("the specification has {} sites, the model {}", sites.len(), layers.len());
            return Err(ModelError::Site { site: first, why });
        }
        for ((id, shape), layer) in sites.iter().zip(&layers) {
            if id != &layer.id || shape != &layer.shape {
                let why = format!("expected {id} of {} × {}", shape.inputs, shape.outputs);
                return Err(ModelError::Site { site: layer.id.clone(), why });
            }
            layer.check()?;
        }
        check_vectors(&graph, &vectors)?;
        let layers = layers.into_iter().map(Arc::new).collect();
        Ok(Self { graph, layers, vectors: Arc::new(vectors) })
    }

    /// What the network is.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The sites with their numbers, in the order of the forward pass.
    pub fn layers(&self) -> &[Arc<Layer>] {
        &self.layers
    }

    /// The vectors with their numbers, in the order of the forward pass.
    pub fn vectors(&self) -> &[Vector] {
        &self.vectors
    }

    /// The sites of these names, in the order of the forward pass.
    pub fn layers_of<'m>(&'m self, sites: &'m [SiteId]) -> impl Iterator<Item = &'m Layer> {
        self.layers.iter().map(Arc::as_ref).filter(|layer| sites.contains(&layer.id))
    }

    /// The site of that name.
    pub fn layer(&self, id: &SiteId) -> Option<&Layer> {
        self.layers.iter().find(|l| &l.id == id).map(Arc::as_ref)
    }

    /// Changes the weight of a site; the shape must stay. Only that site is looked at.
    ///
    /// # Errors
    /// [`ModelError`] as for [`Model::new`], with the model given up.
    pub fn with_weight(mut self, id: &SiteId, weight: Weight) -> Result<Self, ModelError> {
        let Some(layer) = self.layers.iter_mut().find(|l| &l.id == id) else {
            return Err(ModelError::Site { site: id.clone(), why: "there is no such site".into() });
        };
        let changed = Layer { id: id.clone(), shape: layer.shape, weight, bias: layer.bias.clone() };
        changed.check()?;
        *layer = Arc::new(changed);
        Ok(self)
    }

    /// The specification and the numbers, taken apart.
    pub fn into_parts(self) -> (Graph, Layers) {
        let sites = self.layers.into_iter().map(Arc::unwrap_or_clone).collect();
        (self.graph, Layers { sites, vectors: Arc::unwrap_or_clone(self.vectors) })
    }

    /// The model without its numbers.
    pub fn outline(&self) -> Outline {
        Outline {
            graph: self.graph.clone(),
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

    /// All trainable numbers in one row: each layer's weight, then its bias; then the vectors. Packed sites have none.
    pub fn flat(&self) -> Vec<f32> {
        let mut flat = Vec::new();
        for layer in self.layers.iter().filter(|l| l.weight.is_trainable()) {
            flat.extend_from_slice(&layer.weight.values());
            flat.extend_from_slice(&layer.bias);
        }
        self.vectors.iter().for_each(|vector| flat.extend_from_slice(&vector.values));
        flat
    }

    /// Numbers of all vectors.
    fn vector_numbers(&self) -> usize {
        self.vectors.iter().map(|vector| vector.values.len()).sum()
    }

    /// Which entries of [`flat`](Model::flat) may change: `false` where a mask holds a zero.
    pub fn flat_keep(&self) -> Vec<bool> {
        let mut flat = Vec::new();
        for layer in self.layers.iter().filter(|l| l.weight.is_trainable()) {
            match &layer.weight {
                Weight::Masked { keep, .. } => flat.extend_from_slice(keep),
                _ => flat.extend(std::iter::repeat_n(true, layer.shape.weights())),
            }
            flat.extend(std::iter::repeat_n(true, layer.bias.len()));
        }
        flat.extend(std::iter::repeat_n(true, self.vector_numbers()));
        flat
    }

    /// Which entries of [`flat`](Model::flat) are weights rather than biases or numbers of vectors.
    pub fn flat_is_weight(&self) -> Vec<bool> {
        let mut flat = Vec::new();
        for layer in self.layers.iter().filter(|l| l.weight.is_trainable()) {
            flat.extend(std::iter::repeat_n(true, layer.shape.weights()));
            flat.extend(std::iter::repeat_n(false, layer.bias.len()));
        }
        flat.extend(std::iter::repeat_n(false, self.vector_numbers()));
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
            let (n, b) = (layer.shape.weights(), layer.shape.biases());
            if rest.len() < n + b {
                return Err(ModelError::Data("too few numbers for the trainable sites".into()));
            }
            let layer = Arc::make_mut(layer);
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
            layer.check()?;
            rest = &rest[n + b..];
        }
        if rest.len() != self.vector_numbers() {
            let (found, expected) = (rest.len(), self.vector_numbers());
            let why = format!("behind the trainable sites are {found} numbers, expected {expected}");
            return Err(ModelError::Data(why));
        }
        if !rest.is_empty() {
            for vector in Arc::make_mut(&mut self.vectors) {
                let (values, tail) = rest.split_at(vector.values.len());
                vector.values.copy_from_slice(values);
                rest = tail;
            }
            check_vectors(&self.graph, &self.vectors)?;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_graph::MlpSpec;
    use nlpress_packed::Matrix;

    fn model() -> Model {
        let graph = Graph::from(MlpSpec::new(4, &[3], 2, 0.0));
        Model::init(&graph, Seed(1)).unwrap()
    }

    fn with(change: impl FnOnce(&mut Layers)) -> Result<Model, ModelError> {
        let (graph, mut layers) = model().into_parts();
        change(&mut layers);
        Model::new(graph, layers)
    }

    #[test]
    fn fresh_numbers_depend_on_seed_and_site_and_stay_within_the_bound() {
        let (a, graph) = (model(), model().graph().clone());
        assert_eq!(a, Model::init(&graph, Seed(1)).unwrap());
        assert_ne!(a, Model::init(&graph, Seed(2)).unwrap());
        for layer in a.layers() {
            let bound = 1.0 / (layer.shape.inputs as f32).sqrt();
            assert!(layer.weight.values().iter().chain(&layer.bias).all(|x| x.abs() <= bound));
        }
        assert_eq!(a.outline(), Outline::dense(&graph));
        assert_eq!(a.nonzeros(), 4 * 3 + 3 * 2);
    }

    #[test]
    fn flat_numbers_go_out_and_come_back() {
        let model = model();
        let flat = model.flat();
        assert_eq!(flat.len(), 4 * 3 + 3 + 3 * 2 + 2);
        assert_eq!(flat[12..15], model.layers()[0].bias);
        assert_eq!(model.clone().with_flat(&flat).unwrap(), model);
        let other: Vec<f32> = (0..flat.len()).map(|i| i as f32).collect();
        assert_eq!(model.clone().with_flat(&other).unwrap().flat(), other);
        let is_weight = model.flat_is_weight();
        assert_eq!(is_weight.iter().filter(|w| **w).count(), 18);
        assert!(is_weight[11] && !is_weight[12] && is_weight[15] && !is_weight[21]);
        for length in [0, 11, 22, 24] {
            let flat = vec![0.0; length];
            assert!(matches!(model.clone().with_flat(&flat), Err(ModelError::Data(_))), "{length}");
        }
        let undefined = vec![f32::NAN; flat.len()];
        assert!(matches!(model.with_flat(&undefined), Err(ModelError::Site { .. })));
    }

    #[test]
    fn masked_entries_stay_zero_and_packed_sites_have_no_flat_numbers() {
        let keep: Vec<bool> = (0..12).map(|i| i % 2 == 0).collect();
        let values = keep.iter().map(|k| f32::from(*k)).collect();
        let masked = with(|l| l[0].weight = Weight::Masked { values, keep: keep.clone() }).unwrap();
        assert_eq!(masked.flat_keep()[..12], keep);
        assert!(masked.flat_keep()[12..].iter().all(|k| *k));
        let back = masked.clone().with_flat(&[2.0; 23]).unwrap();
        let expected: Vec<f32> = keep.iter().map(|k| if *k { 2.0 } else { 0.0 }).collect();
        assert_eq!(*back.layers()[0].weight.values(), expected[..]);
        assert_eq!(back.outline().kept, 6 + 6);

        let matrix = Matrix::dense(4, 3, vec![1.0; 12]).unwrap();
        let scheme = nlpress_packed::Scheme::F32;
        let packed = masked.with_weight(&SiteId::hidden(0), Weight::Packed { scheme, matrix }).unwrap();
        assert_eq!((packed.flat().len(), packed.flat_keep().len(), packed.flat_is_weight().len()), (8, 8, 8));
        let back = packed.clone().with_flat(&[3.0; 8]).unwrap();
        assert_eq!(back.layers()[0], packed.layers()[0]);
        assert_eq!(back.layers()[1].bias, [3.0, 3.0]);
    }

    #[test]
    fn layers_that_do_not_fit_are_refused() {
        let keep = vec![false; 12];
        assert!(with(|l| drop(l.pop())).is_err());
        assert!(with(|l| l.swap(0, 1)).is_err());
        assert!(with(|l| l[0].bias.push(0.0)).is_err());
        assert!(with(|l| l[0].bias[0] = f32::INFINITY).is_err());
        assert!(with(|l| l[0].weight = Weight::Dense(vec![0.0; 11])).is_err());
        assert!(with(|l| l[0].weight = Weight::Dense(vec![f32::NAN; 12])).is_err());
        assert!(with(|l| l[0].weight = Weight::Masked { values: vec![1.0; 12], keep }).is_err());
        assert!(with(|l| l[0].weight = Weight::Masked { values: vec![0.0; 12], keep: vec![] }).is_err());
        let matrix = Matrix::dense(3, 4, vec![1.0; 12]).unwrap();
        let scheme = nlpress_packed::Scheme::F32;
        assert!(with(|l| l[0].weight = Weight::Packed { scheme, matrix }).is_err(), "transposed");
        assert!(model().with_weight(&SiteId::new("nowhere"), Weight::Dense(vec![])).is_err());
    }
}
