//! Factors of a site's inputs, taken out of what makes those inputs.
//!
//! Where nothing but a ReLU, attention's weighted sum or nothing at all lies between two sites, dividing the outputs of
//! the first and multiplying the weights of the second changes nothing.

use nlpress_model::{Graph, Layer, SiteId, Weight};
use nlpress_technique::StepError;
use std::collections::BTreeMap;

use crate::lattice::Coded;

/// The site whose outputs can be divided, each by a number above zero, so that the inputs of `id` are, and nothing
/// else changes.
pub(crate) fn absorber(graph: &Graph, id: &SiteId) -> Option<SiteId> {
    if graph.ranks().contains_key(id) {
        return Some(id.reduce());
    }
    let group = graph.groups().into_iter().find(|g| g.rows == [id.clone()])?;
    match group.what {
        // Neurons are cut off at zero, which a factor does not move.
        nlpress_model::Units::Neurons => group.columns.first().filter(|_| group.columns.len() == 1).cloned(),
        // What attention gives is a weighted sum of its values.
        nlpress_model::Units::Heads => {
            group.columns.into_iter().find(|c| c.as_str().ends_with("attention.value"))
        }
        nlpress_model::Units::Width => None,
    }
}

/// Divides the outputs of a site that is already packed: its scales and its biases.
pub(crate) fn fold(
    factors: &[f32],
    id: &SiteId,
    layers: &mut [Layer],
    done: &mut BTreeMap<SiteId, Coded>,
) -> Result<(), StepError> {
    let failed = |why: String| StepError::Failed(format!("site {id}: {why}"));
    let (Some(coded), Some(layer)) = (done.get_mut(id), layers.iter_mut().find(|l| &l.id == id)) else {
        return Err(failed("it was to take factors, and is not there".into()));
    };
    let Weight::Packed { scheme, matrix } = &mut layer.weight else {
        return Err(failed("it was to take factors, and is not packed".into()));
    };
    let less: Vec<f32> = factors.iter().map(|f| 1.0 / f).collect();
    coded.scale_outputs(&less);
    let keep = matrix.keep();
    let masked = scheme.index != nlpress_packed::Index::Full;
    *matrix =
        coded.matrix(masked.then_some(keep.as_slice()), scheme.index).map_err(|e| failed(e.to_string()))?;
    layer.bias.iter_mut().zip(&less).for_each(|(b, less)| *b *= less);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_folded_where() {
        use nlpress_model::{AttentionSpec, BlockSpec, MlpSpec, Ranks};
        let mut mlp = MlpSpec::new(9, &[8, 7], 1, 0.0);
        mlp.ranks.insert(SiteId::hidden(1), 3);
        let mlp = Graph::from(mlp);
        let of = |graph: &Graph, id: &str| absorber(graph, &SiteId::new(id)).map(|s| s.to_string());
        assert_eq!(of(&mlp, "hidden.0"), None);
        assert_eq!(of(&mlp, "hidden.1.reduce").as_deref(), Some("hidden.0"));
        assert_eq!(of(&mlp, "hidden.1").as_deref(), Some("hidden.1.reduce"));
        assert_eq!(of(&mlp, "output").as_deref(), Some("hidden.1"));
        let attention = Graph::from(AttentionSpec {
            inputs: 9,
            width: 6,
            head_width: 2,
            layers: vec![BlockSpec { heads: 3, neurons: 5 }],
            outputs: 1,
            dropout: 0.0,
            tokens: 4,
            ranks: Ranks::new(),
        });
        let sites = attention.sites();
        let all: Vec<Option<String>> = sites.iter().map(|(id, _)| of(&attention, id.as_str())).collect();
        let (value, up) = (Some(sites[3].0.to_string()), Some(sites[5].0.to_string()));
        assert_eq!(all, [None, None, None, None, value, None, up, None]);
    }
}
