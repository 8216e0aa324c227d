//! What a graph must be before anything is built from it.

use nlpress_core::shown::shown;
use std::collections::BTreeSet;

use super::flow::{Per, Value};
use super::node::{Graph, Key, Node, Op, Pooling, Source};
use crate::bad::{BadSpec, MOST_PARAMETERS};
use crate::site::SiteId;

/// Most tokens of an example, of a bag and of a text.
const MOST_BAG: usize = 1 << 12;
const MOST_TOKENS: usize = 1 << 16;
/// Most types of a token, which are written in a byte.
pub(crate) const MOST_TYPES: usize = 1 << 8;
/// Bytes of the longest name of a site.
const LONGEST_NAME: usize = 256;
/// Most nodes: more than 64 blocks of any network have.
const MOST_NODES: usize = 2048;

impl Graph {
    /// Checks that every node reads what it can, that every value but the last is read, and every size, so that whatever
    /// is built from this graph runs and fits in memory.
    ///
    /// # Errors
    /// [`BadSpec`] naming the node or the site, its value and the bound.
    pub fn check(&self) -> Result<(), BadSpec> {
        if self.nodes.is_empty() || self.nodes.len() > MOST_NODES {
            return Err(BadSpec::new("nodes", self.nodes.len(), "between 1 and 2048"));
        }
        BadSpec::width("inputs", self.inputs())?;
        let (tokens, most) = match self.source {
            Source::Bag { tokens, .. } => (tokens, MOST_BAG),
            Source::Tokens { most, .. } => (most, MOST_TOKENS),
            Source::Features { .. } => (1, 1),
        };
        if !(1..=most).contains(&tokens) {
            return Err(BadSpec::new("tokens", tokens, &format!("between 1 and {most}")));
        }
        self.check_edges()?;
        let values = self.values();
        let mut seen = BTreeSet::new();
        for n in 0..self.nodes.len() {
            self.check_node(n, &values)?;
            let relative = self.nodes[n].op.relative();
            let shares = |other: &Node| {
                other.op.relative() == relative && heads(&other.op) == heads(&self.nodes[n].op)
            };
            if relative.is_some() && self.nodes[..n].iter().any(shares) {
                continue; // it is known
            }
            if let Some(name) = self.nodes[n].op.name().or(relative.map(|relative| &relative.param))
                && !seen.insert(name)
            {
                return Err(BadSpec::new(shown(name.as_str()).to_string(), "used twice", "used by one node"));
            }
        }
        if let Some(Node { op: Op::Dropout { .. }, .. }) = self.nodes.last() {
            return Err(BadSpec::new("the last node", "dropout", "an operation that makes numbers"));
        }
        if values.last().is_some_and(|value| value.per == Per::Token) {
            return Err(BadSpec::new("the last node", "one value for each token", "one for each example"));
        }
        self.check_factors(&values)?;
        let parameters = self.params().iter().map(|(_, p)| p.numbers()).fold(0, usize::saturating_add);
        if parameters > MOST_PARAMETERS {
            let bound = format!("at most {MOST_PARAMETERS}: take narrower layers, or fewer inputs");
            return Err(BadSpec::new("the number of parameters", parameters, &bound));
        }
        Ok(())
    }

    /// Checks that no factor of a weight is wider than the weight.
    fn check_factors(&self, values: &[Value]) -> Result<(), BadSpec> {
        let sites = self.sites();
        for (n, node) in self.nodes.iter().enumerate() {
            let (Some(second), Some(&from)) = (node.op.site(), node.from.first()) else { continue };
            let Some(first) = self.nodes[from].op.site().filter(|first| **first == second.reduce()) else {
                continue;
            };
            let inputs = sites.iter().find(|(id, _)| id == first).map_or(0, |(_, shape)| shape.inputs);
            let (rank, most) = (values[from].width, inputs.min(values[n].width));
            if rank > most {
                let what = format!("ranks.{}", shown(second.as_str()));
                return Err(BadSpec::new(what, rank, &format!("between 1 and {most}")));
            }
        }
        Ok(())
    }

    /// Checks that nodes read earlier ones, as many as they need, and that all but the last are read.
    fn check_edges(&self) -> Result<(), BadSpec> {
        for (n, node) in self.nodes.iter().enumerate() {
            let reads = node.op.reads();
            if node.from.len() != reads {
                return Err(BadSpec::new(
                    format!("nodes.{n}.from"),
                    node.from.len(),
                    &format!("{reads} nodes long"),
                ));
            }
            if let Some(from) = node.from.iter().find(|from| **from >= n) {
                return Err(BadSpec::new(format!("nodes.{n}.from"), from, "an earlier node"));
            }
        }
        let readers = self.readers();
        match readers.iter().take(self.nodes.len() - 1).position(Vec::is_empty) {
            Some(n) => Err(BadSpec::new(format!("nodes.{n}"), "read by none", "read by a later node")),
            None => Ok(()),
        }
    }

    /// Checks one node whose edges are sound.
    fn check_node(&self, n: usize, values: &[Value]) -> Result<(), BadSpec> {
        let node = &self.nodes[n];
        let bad = |what: &str, value: String, bound: &str| {
            Err(BadSpec::new(format!("nodes.{n}{what}"), value, bound))
        };
        let read = |i: usize| values[node.from[i]];
        let name = node.op.name().or(node.op.relative().map(|relative| &relative.param));
        if let Some(name) = name.map(SiteId::as_str) {
            if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
                let what = if node.op.site().is_some() { ".site" } else { ".param" };
                return bad(
                    what,
                    shown(name).to_string(),
                    "a name of 1 to 256 bytes without control characters",
                );
            }
            BadSpec::width(&shown(name).to_string(), values[n].width)?;
        }
        match (&node.op, self.source) {
            (Op::Features { .. }, Source::Bag { .. } | Source::Tokens { .. }) => {
                bad("", "features".into(), "an operation on tokens")
            }
            (Op::Features { .. }, _) if n > 0 => bad("", "features".into(), "behind them"),
            (Op::Embed { .. }, Source::Features { .. }) => {
                bad("", "embed".into(), "an operation on feature rows")
            }
            (Op::Embed { by, .. }, source) => check_key(n, *by, source),
            (Op::LayerNorm { epsilon, .. }, _) if !(epsilon.is_finite() && *epsilon > 0.0) => {
                bad(".epsilon", epsilon.to_string(), "positive and finite")
            }
            (Op::Dropout { rate }, _) => BadSpec::dropout(&format!("nodes.{n}.dropout"), *rate),
            (Op::Add | Op::Multiply, _) if read(0) != read(1) => {
                let what = if node.op == Op::Add { "sum" } else { "product" };
                bad("", format!("a {what} of widths {} and {}", read(0).width, read(1).width), "of one shape")
            }
            (Op::Pool(_), _) if read(0).per != Per::Token => {
                bad("", "a pool of rows".into(), "one of tokens")
            }
            (Op::Pool(Pooling::WeightedSum), Source::Tokens { .. }) => {
                bad("", "a weighted sum of tokens without weights".into(), "their mean or the first")
            }
            (Op::Pool(Pooling::First), Source::Bag { .. }) => {
                bad("", "the first of a bag, which has no order".into(), "a sum or a mean")
            }
            (Op::Attend { positions, .. }, Source::Bag { .. }) if !positions.is_none() => {
                bad(".positions", "of a bag".into(), "left out: a bag has no order")
            }
            (Op::Attend { heads, head_width, positions }, _) => {
                positions.check(n, *head_width)?;
                let expected = heads.saturating_mul(*head_width);
                BadSpec::width(&format!("nodes.{n}.heads"), *heads)?;
                BadSpec::width(&format!("nodes.{n}.head_width"), *head_width)?;
                match (0..3).map(read).find(|v| v.width != expected || v.per != Per::Token) {
                    Some(v) => bad(
                        "",
                        format!("attention over width {}", v.width),
                        &format!("tokens of width {expected}"),
                    ),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

/// Heads of an attention.
fn heads(op: &Op) -> Option<usize> {
    if let Op::Attend { heads, .. } = op { Some(*heads) } else { None }
}

/// Checks what the embedding of node `n` looks up.
fn check_key(n: usize, by: Key, source: Source) -> Result<(), BadSpec> {
    let bad = |what: &str, value: usize, bound: &str| {
        Err(BadSpec::new(format!("nodes.{n}.by.{what}.rows"), value, bound))
    };
    match (by, source) {
        (Key::Word, _) => Ok(()),
        (Key::Position { .. } | Key::Type { .. }, Source::Bag { .. } | Source::Features { .. }) => {
            Err(BadSpec::new(
                format!("nodes.{n}.by"),
                "a position or a type",
                "word, because a bag has no others",
            ))
        }
        (Key::Position { rows }, Source::Tokens { most, .. }) if rows < most => {
            bad("position", rows, &format!("at least the {most} tokens of an example"))
        }
        (Key::Position { rows }, _) => BadSpec::width(&format!("nodes.{n}.by.position.rows"), rows),
        (Key::Type { rows }, _) if !(1..=MOST_TYPES).contains(&rows) => {
            bad("type", rows, "between 1 and 256")
        }
        (Key::Type { .. }, _) => Ok(()),
    }
}
