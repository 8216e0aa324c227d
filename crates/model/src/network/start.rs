//! What a pass starts from: on the CPU computed in plain memory, on a graphics card where the parameters are.

use burn::tensor::{Int, Tensor, TensorData};
use nlpress_graph::Source;
use nlpress_text::{ExamplesRef, Rows};
use std::sync::Arc;

use super::Network;
use super::factors::{Part, Sums};
use super::leaves::Leaf;
use super::parameters::Derivative;
use super::placed::Held;
use super::tokens::Tokens;
use crate::ModelError;

/// The values of the leaves of a pass, and how the sites behind them saw the examples.
#[derive(Debug, Default)]
pub(super) struct Start {
    /// The value and shape of each leaf: `[rows, outputs]` of feature rows, `[places, outputs]` of tokens; none where they
    /// are computed on the device.
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
        for leaf in self.wiring.leaves.iter().filter(|_| self.on_cpu) {
            let width = self.wiring.values[leaf.node].width;
            let mut sums = vec![0.0; tokens.places() * width];
            for &(site, by) in &leaf.tables {
                self.placed(site)
                    .with_numbers(|weight, bias| tokens.add_rows(by, weight, bias, width, &mut sums));
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
        if self.on_cpu {
            let values = self.first_site(rows, all, &mut start.dense);
            start.values.push((values, [indices.len(), self.sites[0].shape.outputs]));
        } else {
            rows.densify(all.iter().copied(), &mut start.dense);
        }
        Ok(start)
    }

    /// The values that a whole pass starts from, with the nodes whose they are: with a graph, where it is `tracked`.
    pub(super) fn starts(&self, start: &mut Start, tracked: bool) -> Vec<(usize, Tensor<2>)> {
        let device = if tracked { &self.tracked } else { &self.device };
        let nodes = self.wiring.leaves.iter().map(|leaf| leaf.node);
        if self.on_cpu {
            let values = std::mem::take(&mut start.values).into_iter();
            return nodes.zip(values.map(|(values, shape)| self.tensor(values, shape, device))).collect();
        }
        let leaf = |leaf: &Leaf| match &start.tokens {
            Some(tokens) => self.looked_up_on_device(tokens, leaf, tracked),
            None => self.first_site_on_device(&start.dense, tracked),
        };
        nodes.zip(self.wiring.leaves.iter().map(leaf)).collect()
    }

    fn first_site_on_device(&self, dense: &[f32], tracked: bool) -> Tensor<2> {
        let (placed, inputs) = (self.placed(0), self.sites[0].shape.inputs);
        let rows = self.tensor(dense.to_vec(), [dense.len() / inputs, inputs], &self.device);
        if !tracked || matches!(placed.weight, Held::Integers(_)) {
            // The input is constant, and so are integers.
            let value = placed.evaluate(rows);
            return if tracked { value.autodiff() } else { value };
        }
        let (weight, bias) = placed.floats(true).expect("a pass with a graph has floats");
        let product = rows.autodiff().matmul(weight);
        if let Some(bias) = bias { product + bias } else { product }
    }

    fn looked_up_on_device(&self, tokens: &Tokens, leaf: &Leaf, tracked: bool) -> Tensor<2> {
        let device = if tracked { &self.tracked } else { &self.device };
        let rows = leaf.tables.iter().map(|&(site, by)| {
            let (table, bias) = self.placed(site).floats(tracked).expect("tables are floats");
            let mut keys: Vec<i64> = tokens.keys(by).into_iter().map(i64::from).collect();
            // Where no token is, there is a place all the same, of nothing.
            let is_empty = keys.is_empty();
            keys.resize(tokens.places(), 0);
            let count = keys.len();
            let keys: Tensor<1, Int> = Tensor::from_data(TensorData::new(keys, [count]), device);
            let rows = table.select(0, keys);
            let rows = if let Some(bias) = bias { rows + bias } else { rows };
            if is_empty { rows * 0.0 } else { rows }
        });
        rows.reduce(|sum, rows| sum + rows).expect("a leaf of tokens is a sum of tables")
    }

    /// The derivative by a table, weight and bias: by all sums that it is in.
    pub(super) fn table_derivative(
        &self,
        site: usize,
        start: &Start,
        into_leaves: &[Arc<Vec<f32>>],
    ) -> Derivative {
        let (shape, leaves) = (self.sites[site].shape, self.wiring.leaves.iter().zip(into_leaves));
        let (mut weight, mut bias) = (Part::Zeros(shape.weights()), vec![0.0; shape.biases()]);
        let own = leaves.flat_map(|(leaf, upstream)| {
            let own = leaf.tables.iter().filter(|(of, _)| *of == site);
            own.map(move |(_, by)| (*by, upstream))
        });
        for (by, upstream) in own {
            let keys = start.tokens.as_ref().map(|tokens| tokens.keys(by)).unwrap_or_default();
            for row in upstream.chunks_exact(shape.outputs).take(keys.len()) {
                bias.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            }
            let terms = (0..).zip(&keys).map(|(place, key)| (*key, place, 1.0));
            let more = Sums::of(shape.inputs, terms, (upstream.clone(), shape.outputs));
            weight = weight.with(Part::Sums(more));
        }
        Derivative::Made { weight, bias }
    }
}
