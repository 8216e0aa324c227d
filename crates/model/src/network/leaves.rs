//! Where a pass starts: values that follow from the examples without a graph.
//!
//! The product of feature rows with the first site, and the sums of what tables hold for tokens, are linear in constant
//! inputs. They are computed in plain memory, enter burn's graph as leaves, and their gradient is carried on to the sites
//! in plain memory too: a table of many words never becomes a tensor.

use nlpress_graph::{Graph, Key, Op};

/// A value that a pass starts from.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    /// The node whose value it is.
    pub(super) node: usize,
    /// The numbers of the sites that it is a sum of, with what each looks up; nothing for feature rows.
    pub(super) tables: Vec<(usize, Key)>,
}

/// The values that a whole pass starts from, and which nodes are computed without a graph; `site_of` has the number of
/// each node's site.
pub(super) fn leaves(graph: &Graph, site_of: &[Option<usize>]) -> (Vec<Leaf>, Vec<bool>) {
    let mut tables: Vec<Option<Vec<(usize, Key)>>> = Vec::with_capacity(graph.nodes.len());
    for (n, node) in graph.nodes.iter().enumerate() {
        tables.push(match (&node.op, site_of[n]) {
            (Op::Features { .. }, _) => Some(Vec::new()),
            (Op::Embed { by, .. }, Some(site)) => Some(vec![(site, *by)]),
            (Op::Add, _) => {
                let both = node.from.iter().map(|from| tables[*from].clone());
                both.collect::<Option<Vec<_>>>().map(|both| both.concat()).filter(|both| !both.is_empty())
            }
            _ => None,
        });
    }
    let readers = graph.readers();
    let goes_on =
        |n: usize| readers[n].is_empty() || readers[n].iter().any(|reader| tables[*reader].is_none());
    let leaf = |node: usize| tables[node].clone().map(|tables| Leaf { node, tables });
    let leaves = (0..graph.nodes.len()).filter(|n| goes_on(*n)).filter_map(leaf).collect();
    (leaves, tables.iter().map(Option::is_some).collect())
}
