//! What a pass starts from, computed in plain memory.

use nlpress_graph::Source;
use nlpress_text::{ExamplesRef, Rows};

use super::Network;
use super::tokens::Tokens;
use crate::ModelError;

/// The values of the leaves of a pass, and how the sites behind them saw the examples.
#[derive(Debug, Default)]
pub(super) struct Start {
    /// The value and shape of each leaf: `[rows, outputs]` of feature rows, `[places, outputs]` of tokens.
    pub(super) values: Vec<(Vec<f32>, [usize; 2])>,
    /// The tokens of the examples, where the network looks at them.
    pub(super) tokens: Option<Tokens>,
    /// The rows with their numbers rounded, and the numbers of all of them, where the site's input is rounded.
    pub(super) rounded: Option<(Rows, Vec<usize>)>,
    /// The rows without gaps, where the site needed them so.
    pub(super) dense: Vec<f32>,
}

impl Network {
    /// Looks tokens up, or runs the first site on feature rows.
    pub(super) fn start(&self, examples: ExamplesRef<'_>, indices: &[usize]) -> Result<Start, ModelError> {
        self.check_examples(examples, indices)?;
        match (examples, self.graph.source) {
            (ExamplesRef::Tokens(rows), _) => Ok(self.looked_up(Tokens::of_texts(rows, indices))),
            (ExamplesRef::Features(rows), Source::Bag { tokens, .. }) => {
                Ok(self.looked_up(Tokens::of_bags(rows, indices, tokens)))
            }
            (ExamplesRef::Features(rows), _) => self.start_of_rows(rows, indices),
        }
    }

    /// The sums of what the tables hold.
    fn looked_up(&self, tokens: Tokens) -> Start {
        let mut values = Vec::new();
        for leaf in &self.wiring.leaves {
            let width = self.wiring.values[leaf.node].width;
            let mut sums = vec![0.0; tokens.places() * width];
            for &(site, by) in &leaf.tables {
                let site = &self.sites[site];
                tokens.add_rows(by, &site.weight, &site.bias, width, &mut sums);
            }
            values.push((sums, [tokens.places(), width]));
        }
        Start { values, tokens: Some(tokens), ..Start::default() }
    }

    fn start_of_rows(&self, rows: &Rows, indices: &[usize]) -> Result<Start, ModelError> {
        let mut start = Start::default();
        start.rounded = self.sites[0].rounding.as_ref().map(|rounding| {
            let rounded = rounding.rows(rows.select(indices));
            (rounded, (0..indices.len()).collect())
        });
        let (rows, all) = start.rounded.as_ref().map_or((rows, indices), |(rows, all)| (rows, all));
        let values = self.first_site(rows, all, &mut start.dense)?;
        start.values.push((values, [indices.len(), self.sites[0].shape.outputs]));
        Ok(start)
    }

    /// Appends the gradient of a table, weight and bias: of all sums that it is in.
    pub(super) fn table_gradient(
        &self,
        site: usize,
        start: &Start,
        into_leaves: &[Vec<f32>],
        flat: &mut Vec<f32>,
    ) {
        let shape = self.sites[site].shape;
        let from = flat.len();
        flat.resize(from + shape.parameters(), 0.0);
        let Some(tokens) = &start.tokens else { return };
        for (leaf, upstream) in self.wiring.leaves.iter().zip(into_leaves) {
            for (_, by) in leaf.tables.iter().filter(|(of, _)| *of == site) {
                tokens.add_gradient(*by, upstream, shape, &mut flat[from..]);
            }
        }
    }
}
