//! The parameters of a graph: the weights of sites, and the vectors of normalisations.

use super::node::{Graph, Key, Node, Op};
use super::positions::{PositionScheme, RelativeBias};
use crate::site::{Shape, SiteId};

/// What a parameter is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Param {
    /// A site: a weight matrix, perhaps with a bias. What techniques act on.
    Site(Shape),
    /// A vector of a normalisation, or the bias of attention by distance: trained, cut with the units of its [`Group`](crate::Group), never quantized.
    Vector(Vector),
}

/// A parameter that is a vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Vector {
    /// How many numbers it has.
    pub length: usize,
    /// What each is before any training: 1 for a gain, 0 for a bias.
    pub fresh: f32,
}

impl Param {
    /// How many numbers it has.
    pub fn numbers(&self) -> usize {
        match self {
            Param::Site(shape) => shape.parameters(),
            Param::Vector(vector) => vector.length,
        }
    }
}

impl Graph {
    /// The parameters by their names, in the order in which they are used.
    pub fn params(&self) -> Vec<(SiteId, Param)> {
        let values = self.values();
        let mut params = Vec::new();
        for (node, value) in self.nodes.iter().zip(&values) {
            if let Some(site) = node.op.site() {
                let inputs = match &node.op {
                    Op::Embed { by: Key::Position { rows } | Key::Type { rows }, .. } => *rows,
                    _ => node.from.first().map_or(self.inputs(), |from| values[*from].width),
                };
                let shape = Shape { inputs, outputs: value.width, bias: node.op.has_bias() };
                params.push((site.clone(), Param::Site(shape)));
            }
            let vector = |length, fresh| Param::Vector(Vector { length, fresh });
            for (n, id) in node.op.vectors().into_iter().enumerate() {
                match &node.op {
                    // Several attentions may share one.
                    Op::Attend {
                        heads, positions: PositionScheme { relative: Some(relative), .. }, ..
                    } => {
                        if !params.iter().any(|(known, _)| *known == id) {
                            params.push((id, vector(heads.saturating_mul(relative.buckets), 0.0)));
                        }
                    }
                    _ => params.push((id, vector(value.width, if n == 0 { 1.0 } else { 0.0 }))),
                }
            }
        }
        params
    }

    /// The sites with their shapes, in the order in which they run.
    pub fn sites(&self) -> Vec<(SiteId, Shape)> {
        let site = |(id, param)| if let Param::Site(shape) = param { Some((id, shape)) } else { None };
        self.params().into_iter().filter_map(site).collect()
    }

    /// The vectors, in the order in which they are used.
    pub fn vectors(&self) -> Vec<(SiteId, Vector)> {
        let vector = |(id, param)| if let Param::Vector(vector) = param { Some((id, vector)) } else { None };
        self.params().into_iter().filter_map(vector).collect()
    }

    /// Numbers of all vectors.
    pub(crate) fn vector_numbers(&self) -> usize {
        self.vectors().iter().map(|(_, vector)| vector.length).sum()
    }

    /// The number of the node that uses a site.
    pub fn node_of(&self, site: &SiteId) -> Option<usize> {
        self.nodes.iter().position(|node: &Node| node.op.site() == Some(site))
    }
}

impl Op {
    /// The names of its vectors: the gain of a normalisation, and its bias where it has one; the bias of attention by
    /// distance.
    pub fn vectors(&self) -> Vec<SiteId> {
        match self {
            Op::LayerNorm { param, bias, .. } => {
                let parts: &[&str] = if *bias { &["weight", "bias"] } else { &["weight"] };
                parts.iter().map(|part| SiteId::new(format!("{param}.{part}"))).collect()
            }
            _ => self.relative().map(RelativeBias::vector).into_iter().collect(),
        }
    }

    /// The names of all of its parameters.
    pub(super) fn params(&self) -> impl Iterator<Item = SiteId> {
        self.site().cloned().into_iter().chain(self.vectors())
    }
}
