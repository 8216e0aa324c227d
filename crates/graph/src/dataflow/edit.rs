//! Graphs made from graphs: narrower, shallower, factored.

use std::ops::Range;

use super::node::{Graph, Key, Node, Op, Output, Source};
use crate::group::Group;
use crate::ranks::Ranks;
use crate::site::{Shape, SiteId};

impl Graph {
    /// The same network on another number of features, or of entries of a vocabulary.
    #[must_use]
    pub fn with_inputs(mut self, inputs: usize) -> Self {
        match &mut self.source {
            Source::Features { width } | Source::Bag { width, .. } => *width = inputs,
            Source::Tokens { vocabulary, .. } => *vocabulary = inputs,
        }
        self
    }

    /// The same network for texts of at most `tokens` tokens; tables of positions get a row for each. Unchanged where it
    /// reads no token ids.
    #[must_use]
    pub fn with_length(mut self, tokens: usize) -> Self {
        let Source::Tokens { most, .. } = &mut self.source else { return self };
        *most = tokens;
        for node in &mut self.nodes {
            if let Op::Embed { by: Key::Position { rows }, .. } = &mut node.op {
                *rows = tokens;
            }
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

    /// The same network with a site `classifier` of so many logits behind the embedding that it makes, which is no longer
    /// made of length 1; unchanged where it makes logits already. What made scores makes so many logits in their place.
    #[must_use]
    pub fn with_classifier(mut self, outputs: usize) -> Self {
        if self.output == Output::Logits {
            return self;
        }
        if self.output == Output::Scores {
            self.output = Output::Logits;
            return self.with_outputs(outputs);
        }
        let rate = self.dropout();
        let then = |nodes: &mut Vec<Node>, op: Op| nodes.push(Node { op, from: vec![nodes.len() - 1] });
        self.nodes.pop_if(|node| node.op == Op::Normalize);
        if rate > 0.0 {
            then(&mut self.nodes, Op::Dropout { rate });
        }
        then(&mut self.nodes, Op::linear(SiteId::new("classifier"), outputs));
        self.output = Output::Logits;
        self
    }

    /// The same network with so many scores that are no classes: of a site `classifier` behind the embedding that it makes, or
    /// in place of the scores that it has; unchanged where it makes logits.
    #[must_use]
    pub fn with_scores(self, outputs: usize) -> Self {
        if self.output == Output::Logits {
            return self;
        }
        let mut graph = self.with_classifier(outputs);
        graph.output = Output::Scores;
        graph
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
    pub fn ranks(&self) -> Ranks {
        let sites = self.sites();
        let second =
            |(id, shape): &(SiteId, Shape)| Some((self.first_factor(id).map(|_| id.clone())?, shape.inputs));
        sites.iter().filter_map(second).collect()
    }

    /// The same network with a site's weight as the product of two: `[inputs, rank]` at the site `NAME.reduce`, then
    /// `[rank, outputs]` at `NAME`. Where it is a product already, the rank changes. Unchanged when it has no such site.
    #[must_use]
    pub fn factored(mut self, site: &SiteId, rank: usize) -> Self {
        let first = self.first_factor(site).cloned();
        let Some(n) = self.node_of(first.as_ref().unwrap_or(site)) else { return self };
        let bias = self.nodes[n].op.has_bias();
        let Some((id, outputs)) = self.nodes[n].op.site_mut() else { return self };
        let (second, width) = (id.clone(), std::mem::replace(outputs, rank));
        if first.is_some() {
            return self;
        }
        *id = second.reduce();
        for node in &mut self.nodes[n + 1..] {
            node.from.iter_mut().filter(|from| **from >= n).for_each(|from| *from += 1);
        }
        self.nodes
            .insert(n + 1, Node { op: Op::Linear { site: second, outputs: width, bias }, from: vec![n] });
        self
    }

    /// The network without one of its [`blocks`](Graph::blocks), whose later blocks take the names of those before them;
    /// none when it has no such block.
    pub fn without_block(&self, block: usize) -> Option<Self> {
        let blocks = self.blocks();
        let gone = blocks.get(block)?;
        let names: Vec<String> = blocks.iter().map(|block| self.common_name(block)).collect();
        let mut less = self.clone();
        for (n, range) in blocks.iter().enumerate().skip(block + 1) {
            for node in &mut less.nodes[range.start + 1..=range.end] {
                let Some(name) = node.op.name_mut() else { continue };
                if let Some(rest) = name.as_str().strip_prefix(&names[n]) {
                    *name = SiteId::new(format!("{}{rest}", names[n - 1]));
                }
            }
        }
        less.cut_out(gone);
        Some(less)
    }

    /// The network without the `n`-th of the layers of a [chain](Graph::is_chain), whose later layers take the names of
    /// those before them, all but the last; none when it is no chain, or has no such layer before the last.
    pub fn without_layer(&self, n: usize) -> Option<Self> {
        let sites = self.sites();
        if !self.is_chain() || n + 1 >= sites.len() {
            return None;
        }
        let (this, next) = (self.node_of(&sites[n].0)?, self.node_of(&sites[n + 1].0)?);
        let mut less = self.clone();
        if n == 0 {
            let (site, outputs) = (sites[1].0.clone(), sites[1].1.outputs);
            less.nodes[next] = Node { op: Op::Features { site, outputs }, from: Vec::new() };
        }
        less.nodes.drain(this..next);
        for (n, node) in less.nodes.iter_mut().enumerate().skip(1) {
            node.from = vec![n - 1];
        }
        let last = sites.len() - 1;
        let names = sites.into_iter().enumerate().filter(|(n, _)| n + 1 != last).map(|(_, (id, _))| id);
        let ops = less.nodes.iter_mut().filter_map(|node| node.op.site_mut());
        ops.zip(names).for_each(|((site, _), name)| *site = name);
        Some(less)
    }

    /// What the names of a block's parameters begin with, up to and with a dot.
    fn common_name(&self, block: &Range<usize>) -> String {
        let mut names = self.nodes[block.start + 1..=block.end].iter().filter_map(|node| node.op.name());
        let first = names.next().map_or("", SiteId::as_str);
        let alike = |a: &str, b: &str| a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
        let common = names.fold(first.len(), |common, name| common.min(alike(first, name.as_str())));
        first
            .get(..common)
            .and_then(|name| name.rfind('.').map(|dot| name[..=dot].to_owned()))
            .unwrap_or_default()
    }

    /// Takes out the nodes behind the first of a range up to its last, whose readers then read the first.
    pub(super) fn cut_out(&mut self, range: &Range<usize>) {
        let gone = range.end - range.start;
        for node in &mut self.nodes[range.end + 1..] {
            for from in &mut node.from {
                *from = if *from == range.end {
                    range.start
                } else if *from > range.end {
                    *from - gone
                } else {
                    *from
                };
            }
        }
        self.nodes.drain(range.start + 1..=range.end);
    }
}
