//! The sizes of an encoder, read off its graph.

use super::{EncoderSpec, Head, ModernLayers, RelativeSizes};
use crate::dataflow::{Graph, Key, Op, Output, PositionScheme, Source};

impl Head {
    /// What comes behind the layers of a graph.
    fn of(graph: &Graph) -> Result<Self, String> {
        let mut last = graph.nodes.iter().rev().map(|node| &node.op);
        let unit = last.clone().next() == Some(&Op::Normalize);
        let at = last.clone().find_map(|op| if let Op::Pool(pooling) = op { Some(*pooling) } else { None });
        let pooling = at.ok_or("its tokens are not pooled")?;
        if graph.output == Output::Embedding {
            return Ok(Head::Embedding { pooling, unit });
        }
        let outputs = last.next().and_then(Op::outputs).ok_or("it does not end with a site")?;
        let mut behind = last.take_while(|op| !matches!(op, Op::Pool(_)));
        let activation = behind
            .clone()
            .find_map(|op| if let Op::Activate(activation) = op { Some(*activation) } else { None });
        let is_normed = behind.any(|op| matches!(op, Op::LayerNorm { .. }));
        Ok(match activation {
            Some(_) if is_normed => Head::Prediction { pooling, outputs },
            Some(activation) => Head::Pooler { activation, outputs },
            None => Head::Classifier { pooling, outputs },
        })
    }
}

impl EncoderSpec {
    /// The sizes of a graph that is such an encoder, whatever its layers are called.
    ///
    /// # Errors
    /// What in it no such encoder has, naming the site: layers of other widths, a factored site, attention whose heads do
    /// not make the width.
    pub fn of(graph: &Graph) -> Result<Self, String> {
        let Source::Tokens { vocabulary, most } = graph.source else {
            return Err("it reads rows of features, not tokens".into());
        };
        let ops = || graph.nodes.iter().map(|node| &node.op);
        let outputs = |site: &str| {
            let ends = |op: &&Op| op.site().is_some_and(|id| id.as_str().ends_with(site));
            ops().find(ends).and_then(Op::outputs)
        };
        let rows = |of: &dyn Fn(&Key) -> Option<usize>| {
            ops().find_map(|op| if let Op::Embed { by, .. } = op { of(by) } else { None })
        };
        let positions = rows(&|by| if let Key::Position { rows } = by { Some(*rows) } else { None });
        let types = rows(&|by| if let Key::Type { rows } = by { Some(*rows) } else { None });
        let epsilon =
            ops().find_map(|op| if let Op::LayerNorm { epsilon, .. } = op { Some(*epsilon) } else { None });
        let attentions: Vec<(usize, &PositionScheme)> = ops()
            .filter_map(|op| match op {
                Op::Attend { heads, positions, .. } => Some((*heads, positions)),
                _ => None,
            })
            .collect();
        let modern = modern(&attentions);
        let relative = attentions.first().and_then(|(_, positions)| positions.relative.as_ref());
        let positions = match modern {
            Some(_) => positions.unwrap_or(most),
            None => positions.ok_or("it has no table of positions")?,
        };
        let table =
            outputs("embeddings.word_embeddings").ok_or("it has no table embeddings.word_embeddings")?;
        let projected = outputs("embeddings_project");
        let spec = Self {
            vocabulary,
            tokens: most,
            positions,
            types: types.unwrap_or(0),
            embedding: projected.map(|_| table),
            width: projected.unwrap_or(table),
            layers: attentions.len(),
            heads: attentions.first().map_or(1, |(heads, _)| *heads),
            intermediate: outputs(".intermediate.dense").unwrap_or(1),
            relative: relative.map(|bias| RelativeSizes { buckets: bias.buckets, distance: bias.distance }),
            modern,
            epsilon: epsilon.ok_or("it has no normalisation with a gain")?,
            dropout: graph.dropout(),
            head: Head::of(graph)?,
            scores: graph.output == Output::Scores,
        };
        spec.check().map_err(|e| e.to_string())?;
        spec.is_as(graph)?;
        Ok(spec)
    }

    /// Checks that a graph is this encoder's, but for names.
    fn is_as(&self, graph: &Graph) -> Result<(), String> {
        let expected = Graph::from(self.clone());
        for (found, expected) in graph.nodes.iter().zip(&expected.nodes) {
            if found.from != expected.from || !found.op.is_like(&expected.op) {
                return Err(match (found.op.name(), found.op.outputs(), &found.op) {
                    (Some(name), Some(outputs), _) => {
                        let usual = expected.op.outputs().unwrap_or(0);
                        format!("{name} makes {outputs} numbers, where such an encoder makes {usual}")
                    }
                    (_, _, Op::Attend { heads, head_width, positions }) => {
                        let is_of_place =
                            matches!(&expected.op, Op::Attend { positions: usual, .. } if positions != usual);
                        let what = match is_of_place {
                            true => {
                                "looks at places otherwise than such an encoder's at its depth".to_owned()
                            }
                            false => format!(
                                "has {heads} heads of {head_width} numbers: not those of the others, or not its width"
                            ),
                        };
                        format!("a layer {what}")
                    }
                    (Some(name), ..) => format!("{name} is not as in such an encoder"),
                    (None, ..) => "its operations are not those of such an encoder".into(),
                });
            }
        }
        match graph.nodes.len() == expected.nodes.len() {
            true => Ok(()),
            false => Err("its operations are not those of such an encoder".into()),
        }
    }
}

/// The layers of ModernBERT that attend so, of which the first attends to all tokens.
fn modern(attentions: &[(usize, &PositionScheme)]) -> Option<ModernLayers> {
    let base = |at: usize| attentions.get(at)?.1.rotary.map(|rotary| rotary.base);
    let global_base = base(0)?;
    let local = attentions.iter().position(|(_, positions)| positions.window.is_some());
    let window = local.and_then(|at| attentions[at].1.window);
    let is_global = |(_, positions): &(usize, &PositionScheme)| positions.window.is_none();
    // Without a second one, any number of layers would do that is not less than there are.
    let every = attentions.iter().skip(1).position(is_global).map_or(attentions.len(), |n| n + 1);
    Some(ModernLayers {
        every,
        window: window.unwrap_or(1),
        global_base,
        local_base: local.and_then(base).unwrap_or(global_base),
    })
}
