//! A model without its numbers: the network and the form of every site.

use nlpress_packed::Scheme;
use serde::{Deserialize, Serialize};

use crate::bad::{BadSpec, MOST_LISTED};
use crate::dataflow::Graph;
use crate::legacy::Spec;
use crate::site::{Form, Shape, Site, SiteId};

/// A model without its numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Outline {
    /// The network.
    pub graph: Graph,
    /// Its sites, in the order of the forward pass.
    pub sites: Vec<Site>,
    /// Weight entries that are kept (not held at zero), over all sites; biases are not counted.
    pub kept: usize,
}

/// An outline as it is written down, also before there were graphs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    graph: Option<Graph>,
    spec: Option<Spec>,
    #[serde(deserialize_with = "nlpress_core::bounded::list::<_, _, MOST_LISTED>")]
    sites: Vec<Site>,
    kept: usize,
}

impl TryFrom<Written> for Outline {
    type Error = BadSpec;

    fn try_from(Written { graph, spec, sites, kept }: Written) -> Result<Self, BadSpec> {
        let graph = match (graph, spec) {
            (Some(graph), None) => graph,
            (None, Some(spec)) => spec.try_into()?,
            (None, None) => return Err(BadSpec::new("graph", "missing", "the network")),
            (Some(_), Some(_)) => return Err(BadSpec::new("spec", "beside a graph", "left out")),
        };
        Ok(Self { graph, sites, kept })
    }
}

impl Outline {
    /// The outline of a freshly made, dense network.
    pub fn dense(graph: &Graph) -> Self {
        let sites: Vec<Site> =
            graph.sites().into_iter().map(|(id, shape)| Site { id, shape, form: Form::Dense }).collect();
        let kept = sites.iter().map(|s| s.shape.weights()).sum();
        Self { graph: graph.clone(), sites, kept }
    }

    /// The site of that name.
    pub fn site(&self, id: &SiteId) -> Option<&Site> {
        self.sites.iter().find(|s| &s.id == id)
    }

    /// The site of that name, to be changed.
    pub fn site_mut(&mut self, id: &SiteId) -> Option<&mut Site> {
        self.sites.iter_mut().find(|s| &s.id == id)
    }

    /// Entries of all weights, biases and vectors, zeros included.
    pub fn parameters(&self) -> usize {
        self.graph.vector_numbers() + self.sites.iter().map(|s| s.shape.parameters()).sum::<usize>()
    }

    /// Whether a model of this outline is what `planned` promised at most: the same kind of network and the same
    /// forms, or packed ones that take no more bytes, no site and no count of kept entries larger. For techniques
    /// whose plan is a bound.
    pub fn fits_within(&self, planned: &Outline) -> bool {
        let same_kind =
            std::mem::discriminant(&self.graph.source) == std::mem::discriminant(&planned.graph.source);
        let site_fits = |site: &Site| {
            planned.site(&site.id).is_some_and(|p| {
                (p.form == site.form || is_no_wider(site.form, p.form))
                    && site.shape.inputs <= p.shape.inputs
                    && site.shape.outputs <= p.shape.outputs
            })
        };
        same_kind && self.kept <= planned.kept && self.sites.iter().all(site_fits)
    }

    /// Multiply-accumulates of one row with no zero in it, counting kept weights only.
    pub fn macs(&self) -> usize {
        self.kept
    }

    /// Predicted bytes of all weights, biases and vectors as they would ship.
    ///
    /// Kept entries are spread over the sites in proportion to their size where only the total is planned.
    pub fn predicted_bytes(&self) -> usize {
        let total: usize = self.sites.iter().map(|s| s.shape.weights()).sum();
        let share = if total == 0 { 0.0 } else { self.kept as f64 / total as f64 };
        let kept = |site: &Site| (site.shape.weights() as f64 * share).round() as usize;
        let sites = self.sites.iter().map(|site| site.predicted_bytes(kept(site)));
        4 * self.graph.vector_numbers() + sites.sum::<usize>()
    }
}

impl Site {
    /// Predicted bytes of its weight, of which so many entries are kept, and its bias.
    pub fn predicted_bytes(&self, kept: usize) -> usize {
        let Shape { inputs, outputs, .. } = self.shape;
        let sparse = Scheme { index: nlpress_packed::Index::Sparse, ..Scheme::F32 };
        let weight = match self.form {
            Form::Dense => Scheme::F32.bytes(inputs, outputs, kept),
            Form::Masked => Scheme::F32.bytes(inputs, outputs, kept).min(sparse.bytes(inputs, outputs, kept)),
            Form::Packed(scheme) => scheme.bytes(inputs, outputs, kept),
        };
        4 * self.shape.biases() + weight
    }
}

/// Whether a packed form takes no more bytes than another with the same index.
fn is_no_wider(form: Form, planned: Form) -> bool {
    let (Form::Packed(form), Form::Packed(planned)) = (form, planned) else { return false };
    let bytes = |scheme: Scheme| scheme.bytes(128, 128, 8192);
    form.index == planned.index && bytes(form) <= bytes(planned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MlpSpec;

    fn article() -> Graph {
        Graph::from(MlpSpec::new(1000, &[128, 64], 1, 0.5))
    }

    #[test]
    fn the_article_network_has_136_449_parameters() {
        let outline = Outline::dense(&article());
        assert_eq!(outline.parameters(), 136_449);
        assert_eq!(outline.macs(), 136_256);
        assert_eq!(outline.predicted_bytes(), 4 * 136_449);
        assert_eq!(outline.sites[1].id.as_str(), "hidden.1");
    }

    #[test]
    fn forms_are_read_back_from_json() {
        let form = Form::Packed(Scheme::F32);
        let text = serde_json::to_string(&form).unwrap();
        assert_eq!(serde_json::from_str::<Form>(&text).unwrap(), form);
    }

    #[test]
    fn a_smaller_outline_fits_within_a_larger_one() {
        let large = Outline::dense(&article());
        let small = Outline::dense(&Graph::from(MlpSpec::new(1000, &[128, 32], 1, 0.5)));
        assert!(small.fits_within(&large) && large.fits_within(&large));
        assert!(!large.fits_within(&small));
        let mut masked = small.clone();
        masked.sites[0].form = Form::Masked;
        assert!(!masked.fits_within(&large));
        let packed = |values| {
            let mut packed = small.clone();
            packed.sites[0].form = Form::Packed(Scheme { values, ..Scheme::F32 });
            packed
        };
        use nlpress_packed::{Grid, Per, Values};
        let outliers = |outliers| {
            packed(Values::Int(nlpress_packed::Int {
                outliers,
                ..nlpress_packed::Int::new(Grid::Int8, Per::Channel)
            }))
        };
        assert!(outliers(0).fits_within(&outliers(8)) && outliers(5).fits_within(&outliers(8)));
        assert!(!outliers(9).fits_within(&outliers(8)));
        let (wide, narrow) = (packed(Values::F16), packed(Values::int(Grid::Int4, Per::Channel)));
        assert!(narrow.fits_within(&wide) && !wide.fits_within(&narrow) && !narrow.fits_within(&small));
    }
}
