//! Networks as artifacts had them before schema 4: by their family.

use serde::Deserialize;

use crate::attention::AttentionSpec;
use crate::bad::BadSpec;
use crate::dataflow::Graph;
use crate::mlp::MlpSpec;

/// A network by its family, as artifacts before schema 4 have it.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Spec {
    Mlp(MlpSpec),
    Attention(AttentionSpec),
}

impl TryFrom<Spec> for Graph {
    type Error = BadSpec;

    fn try_from(spec: Spec) -> Result<Self, BadSpec> {
        match spec {
            Spec::Mlp(mlp) => mlp.check().map(|()| mlp.into()),
            Spec::Attention(attention) => attention.check().map(|()| attention.into()),
        }
    }
}
