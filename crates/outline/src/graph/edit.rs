//! Graphs made from graphs: narrower, shallower, factored.

use std::ops::Range;

use super::{Graph, Node, Op, Source};
use crate::{Group, SiteId};

impl Graph {
    /// The same network on another number of features.
    #[must_use]
    pub fn with_inputs(mut self, inputs: usize) -> Self {
        match &mut self.source {
            Source::Features { width } | Source::Bag { width, .. } => *width = inputs,
        }
        self
    }

    /// The same network for another number of logits.
    #[must_use]
    pub fn with_outputs(mut self, outputs: usize) -> Self {
        if let Some((_, width)) = self.nodes.last_mut().and_then(|node| node.op.site_mut()) {
            *width = outputs;
        }
        self
    }

    /// The same network with other rates of dropout.
    #[must_use]
    pub fn with_dropout(mut self, share: f64) -> Self {
        for node in &mut self.nodes {
            if let Op::Dropout { rate } = &mut node.op {
                *rate = share;
            }
        }
        self
    }

    /// The same network with another number of units in a group; unchanged when it has no such group. Ranks of factored
    /// sites are lowered to what is left of their shapes.
    #[must_use]
    pub fn with_units(mut self, group: &Group, units: usize) -> Self {
        let heads_of: Vec<usize> = (0..self.nodes.len())
            .filter(|n| {
                let made_by =
                    |from: &usize| self.nodes[*from].op.site().is_some_and(|s| group.columns.contains(s));
                matches!(self.nodes[*n].op, Op::Attend { .. }) && self.nodes[*n].from.iter().any(made_by)
            })
            .collect();
        for node in &mut self.nodes {
            if let Some((site, outputs)) = node.op.site_mut()
                && group.columns.contains(site)
            {
                *outputs = units * group.block;
            }
        }
        for n in heads_of {
            if let Op::Attend { heads, .. } = &mut self.nodes[n].op {
                *heads = units;
            }
        }
        self.lower_ranks();
        self
    }

    /// A factor is never wider than what it factors.
    fn lower_ranks(&mut self) {
        let sites = self.sites();
        let shape = |id: &SiteId| sites.iter().find(|(site, _)| site == id).map(|(_, shape)| *shape);
        let mut most = Vec::new();
        for (second, factor) in &sites {
            if let Some(first) = self.first_factor(second)
                && let Some(whole) = shape(first)
            {
                most.push((first.clone(), whole.inputs.min(factor.outputs).max(1)));
            }
        }
        for (first, most) in most {
            let node = self.node_of(&first).expect("it was found in the graph");
            if let Some((_, rank)) = self.nodes[node].op.site_mut() {
                *rank = (*rank).min(most);
            }
        }
    }

    /// The ranks of the sites that are the product of two, by the name of the second.
    pub fn ranks(&self) -> crate::Ranks {
        let sites = self.sites();
        let second = |(id, shape): &(SiteId, crate::Shape)| {
            Some((self.first_factor(id).map(|_| id.clone())?, shape.inputs))
        };
        sites.iter().filter_map(second).collect()
    }

    /// The same network with a site's weight as the product of two: `[inputs, rank]` at the site `NAME.reduce`, then
    /// `[rank, outputs]` at `NAME`. Where it is a product already, the rank changes. Unchanged when it has no such site.
    #[must_use]
    pub fn factored(mut self, site: &SiteId, rank: usize) -> Self {
        let first = self.first_factor(site).cloned();
        let Some(n) = self.node_of(first.as_ref().unwrap_or(site)) else { return self };
        let Some((id, outputs)) = self.nodes[n].op.site_mut() else { return self };
        let (second, width) = (id.clone(), std::mem::replace(outputs, rank));
        if first.is_some() {
            return self;
        }
        *id = second.reduce();
        for node in &mut self.nodes[n + 1..] {
            node.from.iter_mut().filter(|from| **from >= n).for_each(|from| *from += 1);
        }
        self.nodes.insert(n + 1, Node { op: Op::Linear { site: second, outputs: width }, from: vec![n] });
        self
    }

    /// The same network without the nodes behind the first of `block` up to its last; see [`blocks`](Graph::blocks).
    /// Sites keep their names.
    #[must_use]
    pub fn without(mut self, block: Range<usize>) -> Self {
        let gone = block.end - block.start;
        for node in &mut self.nodes[block.end + 1..] {
            for from in &mut node.from {
                *from = if *from == block.end {
                    block.start
                } else if *from > block.end {
                    *from - gone
                } else {
                    *from
                };
            }
        }
        self.nodes.drain(block.start + 1..=block.end);
        self
    }
}
