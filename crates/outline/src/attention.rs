//! Self-attention over the words of a feature row.

use serde::{Deserialize, Serialize};

use crate::spec::MOST_LISTED;
use crate::{BadSpec, Group, Ranks, Shape, SiteId, Units};

/// Most words of a row that attention may look at.
const MOST_TOKENS: usize = 1 << 12;

/// A small network of self-attention blocks (Vaswani et al. 2017) over the set of words of a feature row.
///
/// Every non-zero feature of a row is a token; at most `tokens` of the largest value are looked at, and their
/// order means nothing (a set: Lee et al. 2019). Token `t` starts as its row of `embedding`. Each block adds
/// attention over the normalised tokens, then a feed-forward layer with ReLU (pre-norm: Xiong et al. 2020). The
/// tokens are summed, each times its feature value, and `output` makes the logits of the sum. The normalisation
/// has no gain and no bias of its own, because those of the site that follows do the same. Without blocks it is a
/// linear model through a bottleneck (Joulin et al. 2016).
///
/// Sites: `embedding`; for block `i` `encoder.i.attention.query`, `….key`, `….value`, `….output`,
/// `encoder.i.ffn.up`, `….down`; `output`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionSpec {
    /// Features of a row.
    pub inputs: usize,
    /// Numbers of a token between blocks.
    pub width: usize,
    /// Numbers of a token in one head.
    pub head_width: usize,
    /// The blocks.
    #[serde(deserialize_with = "nlpress_core::bounded::list::<_, _, MOST_LISTED>")]
    pub layers: Vec<BlockSpec>,
    /// Logits.
    pub outputs: usize,
    /// Dropout rate of the summed tokens while training, in `[0, 1)`.
    #[serde(default)]
    pub dropout: f64,
    /// Words of a row that are looked at, at most: those of the largest value.
    pub tokens: usize,
    /// Sites that are the product of two.
    #[serde(
        default,
        skip_serializing_if = "Ranks::is_empty",
        deserialize_with = "nlpress_core::bounded::map::<_, _, _, MOST_LISTED>"
    )]
    pub ranks: Ranks,
}

/// One block of attention and feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockSpec {
    /// Attention heads.
    pub heads: usize,
    /// Width of the feed-forward layer.
    pub neurons: usize,
}

impl AttentionSpec {
    /// Added to a token's variance when it is normalised, so that one whose numbers are all the same stays finite.
    pub const NORM_EPSILON: f32 = 1e-5;

    /// The site `name` of block `block`, for example `ffn.up`.
    pub fn site(block: usize, name: &str) -> SiteId {
        SiteId::new(format!("encoder.{block}.{name}"))
    }

    /// The first site.
    pub fn embedding() -> SiteId {
        SiteId::new("embedding")
    }

    pub(crate) fn check(&self) -> Result<(), BadSpec> {
        if !(1..=MOST_TOKENS).contains(&self.tokens) {
            return Err(BadSpec::new("tokens", self.tokens, "between 1 and 4096"));
        }
        Ok(())
    }

    pub(crate) fn widths(&self) -> Vec<(String, usize)> {
        let mut widths = vec![
            ("inputs".to_owned(), self.inputs),
            ("width".to_owned(), self.width),
            ("head_width".to_owned(), self.head_width),
            ("outputs".to_owned(), self.outputs),
        ];
        for (i, block) in self.layers.iter().enumerate() {
            widths.push((format!("layers.{i}.heads"), block.heads));
            widths.push((
                format!("layers.{i}.heads times head_width"),
                block.heads.saturating_mul(self.head_width),
            ));
            widths.push((format!("layers.{i}.neurons"), block.neurons));
        }
        widths
    }

    pub(crate) fn sites(&self) -> Vec<(SiteId, Shape)> {
        let shape = |inputs, outputs| Shape { inputs, outputs };
        let mut sites = vec![(Self::embedding(), shape(self.inputs, self.width))];
        for (i, block) in self.layers.iter().enumerate() {
            let heads = block.heads.saturating_mul(self.head_width);
            for name in ["attention.query", "attention.key", "attention.value"] {
                sites.push((Self::site(i, name), shape(self.width, heads)));
            }
            sites.push((Self::site(i, "attention.output"), shape(heads, self.width)));
            sites.push((Self::site(i, "ffn.up"), shape(self.width, block.neurons)));
            sites.push((Self::site(i, "ffn.down"), shape(block.neurons, self.width)));
        }
        sites.push((SiteId::output(), shape(self.width, self.outputs)));
        sites
    }

    pub(crate) fn groups(&self) -> Vec<Group> {
        let of = |i, names: &[&str]| names.iter().map(|n| Self::site(i, n)).collect::<Vec<_>>();
        let mut width = Group {
            what: Units::Width,
            units: self.width,
            block: 1,
            columns: vec![Self::embedding()],
            rows: Vec::new(),
        };
        let mut groups = Vec::new();
        for (i, block) in self.layers.iter().enumerate() {
            let made = of(i, &["attention.query", "attention.key", "attention.value"]);
            width.rows.extend(made.iter().cloned().chain(of(i, &["ffn.up"])));
            width.columns.extend(of(i, &["attention.output", "ffn.down"]));
            groups.push(Group {
                what: Units::Heads,
                units: block.heads,
                block: self.head_width,
                columns: made,
                rows: of(i, &["attention.output"]),
            });
            groups.push(Group {
                what: Units::Neurons,
                units: block.neurons,
                block: 1,
                columns: of(i, &["ffn.up"]),
                rows: of(i, &["ffn.down"]),
            });
        }
        width.rows.push(SiteId::output());
        groups.push(width);
        groups
    }

    pub(crate) fn set_units(&mut self, group: &Group, units: usize) {
        if group.lead() == &Self::embedding() {
            self.width = units;
        }
        for (i, block) in self.layers.iter_mut().enumerate() {
            if group.lead() == &Self::site(i, "attention.query") {
                block.heads = units;
            } else if group.lead() == &Self::site(i, "ffn.up") {
                block.neurons = units;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Outline, Spec};

    fn spec() -> Spec {
        let block = BlockSpec { heads: 4, neurons: 32 };
        Spec::Attention(AttentionSpec {
            inputs: 100,
            width: 16,
            head_width: 8,
            layers: vec![block, block],
            outputs: 3,
            dropout: 0.1,
            tokens: 64,
            ranks: Ranks::new(),
        })
    }

    #[test]
    fn sites_and_groups_fit_together() {
        let spec = spec();
        spec.check().unwrap();
        let sites: std::collections::BTreeMap<_, _> = spec.sites().into_iter().collect();
        assert_eq!(sites.len(), 2 + 2 * 6);
        for group in spec.groups() {
            assert!(group.columns.iter().all(|s| sites[s].outputs == group.units * group.block), "{group:?}");
            assert!(group.rows.iter().all(|s| sites[s].inputs == group.units * group.block), "{group:?}");
            let smaller = spec.clone().with_units(&group, group.units - 1);
            smaller.check().unwrap();
            assert!(Outline::dense(&smaller).parameters() < Outline::dense(&spec).parameters());
            let same = smaller.groups().into_iter().find(|g| g.lead() == group.lead()).unwrap();
            assert_eq!(same.units, group.units - 1);
        }
    }

    #[test]
    fn refuses_impossible_sizes() {
        let with = |f: &dyn Fn(&mut AttentionSpec)| {
            let Spec::Attention(mut a) = spec() else { unreachable!("it is one") };
            f(&mut a);
            Spec::Attention(a).check().map_err(|e| e.to_string())
        };
        assert!(with(&|a| a.layers.clear()).is_ok());
        assert!(with(&|a| a.tokens = 0).unwrap_err().contains("tokens is 0"));
        assert!(with(&|a| a.head_width = usize::MAX).is_err());
        assert!(with(&|a| a.layers[1].heads = 0).unwrap_err().contains("layers.1.heads is 0"));
        assert!(with(&|a| a.dropout = 1.0).is_err());
        assert!(with(&|a| a.layers = vec![a.layers[0]; 65]).is_err());
    }

    #[test]
    fn is_read_back_from_json() {
        let text = serde_json::to_string(&spec()).unwrap();
        assert!(!text.contains("ranks"), "{text}");
        assert_eq!(serde_json::from_str::<Spec>(&text).unwrap(), spec());
    }
}
