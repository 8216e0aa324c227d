//! From masked floats to the sparse layouts that ship.

use nlpress_model::{Form, Model, ModelError, Outline, SiteId, Weight};
use nlpress_packed::{Index, Matrix, Scheme, Values};
use nlpress_technique::StepError;
use serde::{Deserialize, Serialize};

/// How the places of the kept entries are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Places {
    /// Whichever of the two is smaller for each matrix.
    #[default]
    Auto,
    /// One bit for each entry.
    Bitmask,
    /// A count for each row and a column for each kept entry.
    Csr,
}

impl Places {
    /// The layout of 32-bit floats with these places.
    pub fn scheme(self) -> Scheme {
        let index = match self {
            Places::Auto => Index::Sparse,
            Places::Bitmask => Index::Bitmask,
            Places::Csr => Index::Csr,
        };
        Scheme { values: Values::F32, index }
    }

    /// Gives the selected sites of an outline this layout.
    pub(crate) fn plan(self, mut outline: Outline, on: &[SiteId]) -> Outline {
        for site in outline.sites.iter_mut().filter(|s| on.contains(&s.id)) {
            site.form = Form::Packed(self.scheme());
        }
        outline
    }

    /// Packs the selected sites of a model.
    pub(crate) fn pack(self, mut model: Model, on: &[SiteId]) -> Result<Model, StepError> {
        let scheme = self.scheme();
        let ids: Vec<SiteId> =
            model.layers().iter().map(|l| l.id.clone()).filter(|i| on.contains(i)).collect();
        for id in ids {
            let Some(layer) = model.layer(&id) else { continue };
            let (values, keep) = (layer.weight.values(), layer.weight.keep());
            let matrix =
                Matrix::sparse(layer.shape.inputs, layer.shape.outputs, &values, &keep, scheme.index)
                    .map_err(|source| ModelError::Pack { site: id.clone(), source })?;
            model = model.with_weight(&id, Weight::Packed { scheme, matrix })?;
        }
        Ok(model)
    }
}
