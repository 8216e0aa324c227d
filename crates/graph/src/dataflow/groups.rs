//! Which units can be removed together: read off the dataflow.

use super::node::{Graph, Op};
use crate::group::{Group, Units};
use crate::site::SiteId;

/// Units that go together: what makes them, what reads them, and how they are bundled.
#[derive(Debug, Default)]
struct Bundle {
    columns: Vec<SiteId>,
    rows: Vec<SiteId>,
    vectors: Vec<SiteId>,
    width: usize,
    /// Numbers of a head, where attention reads them.
    head_width: Option<usize>,
    is_embedding: bool,
    is_summed: bool,
    is_read_as_result: bool,
    /// The rank between two factors is chosen by factoring, not by removing units.
    is_rank: bool,
    last_reader: usize,
}

impl Graph {
    /// The units that can be removed, with every site that each of them touches: a removal propagates along sums,
    /// products, non-linearities and attention to all sites that make or read the same numbers (dependency groups: Fang et al.
    /// 2023, arXiv:2301.12900). In the order of their last readers.
    pub fn groups(&self) -> Vec<Group> {
        let bundles = self.bundle_of_each();
        let mut found: Vec<Bundle> = Vec::new();
        found.resize_with(self.nodes.len(), Bundle::default);
        let values = self.values();
        for (n, node) in self.nodes.iter().enumerate() {
            let made = &mut found[bundles[n]];
            made.width = values[n].width;
            made.is_read_as_result |= n + 1 == self.nodes.len();
            made.is_embedding |= matches!(node.op, Op::Embed { .. });
            made.is_summed |= matches!(node.op, Op::Add);
            if let Op::Attend { head_width, .. } = node.op {
                made.head_width = Some(head_width);
            }
            for vector in node.op.vectors() {
                if !made.vectors.contains(&vector) {
                    made.vectors.push(vector);
                }
            }
            let Some(site) = node.op.site() else { continue };
            made.columns.push(site.clone());
            made.is_embedding |=
                node.from.first().is_some_and(|from| matches!(self.nodes[*from].op, Op::Embed { .. }));
            if let Some(from) = node.from.first() {
                let read = &mut found[bundles[*from]];
                read.rows.push(site.clone());
                read.is_rank |= self.nodes[*from].op.site().is_some();
                read.last_reader = n;
            }
        }
        found.retain(|b| {
            !b.columns.is_empty() && !b.rows.is_empty() && !b.is_read_as_result && !b.is_rank_alone()
        });
        found.sort_by_key(|b| b.last_reader);
        found.into_iter().map(Bundle::group).collect()
    }

    /// For every node the first node whose numbers are removed with its own.
    fn bundle_of_each(&self) -> Vec<usize> {
        let mut bundle: Vec<usize> = (0..self.nodes.len()).collect();
        for (n, node) in self.nodes.iter().enumerate() {
            if node.op.site().is_some() {
                continue; // it makes numbers of its own
            }
            // Attentions that share a bias have their heads in common.
            let shares = |other: &usize| {
                node.op.relative().is_some() && self.nodes[*other].op.relative() == node.op.relative()
            };
            for from in node.from.iter().copied().chain((0..n).find(shares)) {
                let (a, b) = (root(&bundle, n), root(&bundle, from));
                bundle[a.max(b)] = a.min(b);
            }
        }
        (0..bundle.len()).map(|n| root(&bundle, n)).collect()
    }
}

fn root(bundle: &[usize], mut n: usize) -> usize {
    while bundle[n] != n {
        n = bundle[n];
    }
    n
}

impl Bundle {
    /// Whether it is nothing but the numbers between two factors of a weight.
    fn is_rank_alone(&self) -> bool {
        self.is_rank && self.columns.len() == 1 && self.rows.len() == 1
    }

    fn group(self) -> Group {
        let (what, block) = match self.head_width {
            Some(width) => (Units::Heads, width),
            None if self.is_embedding || self.is_summed => (Units::Width, 1),
            None => (Units::Neurons, 1),
        };
        let Self { columns, rows, vectors, width, .. } = self;
        Group { what, units: width / block.max(1), block, columns, rows, vectors }
    }
}
