//! Graphs of the families of networks that a recipe can name.

use super::{Activation, Graph, Node, Op, Pooling, Source};
use crate::{AttentionSpec, MlpSpec, SiteId, Spec};

/// A graph that grows node by node.
struct Builder(Vec<Node>);

impl Builder {
    fn add(&mut self, op: Op, from: &[usize]) -> usize {
        self.0.push(Node { op, from: from.to_vec() });
        self.0.len() - 1
    }

    fn linear(&mut self, site: SiteId, outputs: usize, from: usize) -> usize {
        self.add(Op::Linear { site, outputs }, &[from])
    }
}

impl Graph {
    /// The graph of a specification, whose sizes may be impossible: [`check`](Graph::check) tells.
    pub fn of(spec: &Spec) -> Self {
        let graph = match spec {
            Spec::Mlp(mlp) => Self::mlp(mlp),
            Spec::Attention(attention) => Self::attention(attention),
        };
        spec.ranks().iter().fold(graph, |graph, (site, rank)| graph.factored(site, *rank))
    }

    fn mlp(mlp: &MlpSpec) -> Self {
        let mut nodes = Builder(Vec::new());
        let mut last = None;
        let sites = (0..mlp.hidden.len()).map(SiteId::hidden).chain([SiteId::output()]);
        for (site, &outputs) in sites.zip(mlp.hidden.iter().chain([&mlp.outputs])) {
            let node = match last {
                None => nodes.add(Op::Features { site, outputs }, &[]),
                Some(before) => {
                    let active = nodes.add(Op::Activate(Activation::Relu), &[before]);
                    let dropped = nodes.add(Op::Dropout { rate: mlp.dropout }, &[active]);
                    nodes.linear(site, outputs, dropped)
                }
            };
            last = Some(node);
        }
        Self { source: Source::Features { width: mlp.inputs }, nodes: nodes.0 }
    }

    fn attention(spec: &AttentionSpec) -> Self {
        let mut nodes = Builder(Vec::new());
        let (width, head_width) = (spec.width, spec.head_width);
        let mut tokens = nodes.add(Op::Embed { site: AttentionSpec::embedding(), outputs: width }, &[]);
        for (i, block) in spec.layers.iter().enumerate() {
            let site = |name: &str| AttentionSpec::site(i, name);
            let normed = nodes.add(Op::Norm, &[tokens]);
            let all = block.heads.saturating_mul(head_width);
            let [query, key, value] = ["attention.query", "attention.key", "attention.value"]
                .map(|name| nodes.linear(site(name), all, normed));
            let mixed = nodes.add(Op::Attend { heads: block.heads, head_width }, &[query, key, value]);
            let change = nodes.linear(site("attention.output"), width, mixed);
            tokens = nodes.add(Op::Add, &[tokens, change]);
            let normed = nodes.add(Op::Norm, &[tokens]);
            let up = nodes.linear(site("ffn.up"), block.neurons, normed);
            let active = nodes.add(Op::Activate(Activation::Relu), &[up]);
            let down = nodes.linear(site("ffn.down"), width, active);
            tokens = nodes.add(Op::Add, &[tokens, down]);
        }
        let pooled = nodes.add(Op::Pool(Pooling::WeightedSum), &[tokens]);
        let dropped = nodes.add(Op::Dropout { rate: spec.dropout }, &[pooled]);
        nodes.linear(SiteId::output(), spec.outputs, dropped);
        Self { source: Source::Bag { width: spec.inputs, tokens: spec.tokens }, nodes: nodes.0 }
    }
}
