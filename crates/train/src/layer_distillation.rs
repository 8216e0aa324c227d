//! Knowledge distillation of what lies between input and result: hidden states and attention maps.
//!
//! The distance of hidden states is the mean squared difference, as in TinyBERT (Jiao et al. 2019, arXiv:1909.10351,
//! equation 8, without the matrix that makes widths alike); that of attention is the divergence of the student's
//! probabilities from the teacher's, a mean over heads and tokens, as in MiniLM (Wang et al. 2020, arXiv:2002.10957,
//! equation 4). Both are means over the tokens of an example and over layers, and are added to a loss of the outputs. A
//! student with fewer layers learns from teacher's layers that are evenly spaced, the last one included.

use burn::tensor::{Tensor, TensorData};
use nlpress_model::network::{AttentionMap, Seen, Taps};
use nlpress_model::{Graph, ModelError, Network};
use nlpress_text::ExamplesRef;

use crate::{Imitation, Objective, TrainError};

/// Smallest probability whose logarithm is taken.
const SMALLEST: f32 = 1e-9;

/// A loss of outputs with distances of hidden states and attention maps.
#[derive(Debug)]
pub struct LayerDistillation<'a> {
    outputs: Imitation<'a>,
    teacher: &'a Network,
    examples: ExamplesRef<'a>,
    /// The weights of the distances; 0 where one is not looked at.
    hidden: f64,
    attention: f64,
    /// For each of the student's layers the teacher's.
    layers: Vec<usize>,
}

impl<'a> LayerDistillation<'a> {
    /// A loss of outputs with distances from a teacher that reads the same tokens, `examples`.
    ///
    /// # Errors
    /// [`TrainError::Failed`] where the networks have no layers with attention, the student has more than the teacher, or
    /// the tokens' width or the number of heads differs.
    pub fn new(
        outputs: Imitation<'a>,
        student: &Graph,
        (teacher, examples): (&'a Network, ExamplesRef<'a>),
        (hidden, attention): (f64, f64),
    ) -> Result<Self, TrainError> {
        let layers =
            Self::pairs(student, teacher.graph(), (hidden, attention)).map_err(TrainError::Failed)?;
        Ok(Self { outputs, teacher, examples, hidden, attention, layers })
    }

    /// For each of the student's layers the teacher's that it learns from, by the weights of the distances of hidden
    /// states and attention.
    ///
    /// # Errors
    /// Why the one cannot learn from the other's layers, as in [`new`](LayerDistillation::new).
    pub fn pairs(
        student: &Graph,
        teacher: &Graph,
        (hidden, attention): (f64, f64),
    ) -> Result<Vec<usize>, String> {
        let (own, others) = (Layers::of(student), Layers::of(teacher));
        if own.heads.is_empty() || own.heads.len() > others.heads.len() {
            let (own, others) = (own.heads.len(), others.heads.len());
            return Err(format!("the student has {own} layers with attention, the teacher {others}"));
        }
        if let Some(of) =
            [student, teacher].into_iter().find(|g| g.blocks().len() != Layers::of(g).heads.len())
        {
            let (layers, heads) = (of.blocks().len(), Layers::of(of).heads.len());
            return Err(format!("of {layers} layers {heads} have attention: layers cannot be told apart"));
        }
        let (m, n) = (own.heads.len(), others.heads.len());
        let layers: Vec<usize> = (1..=m).map(|i| (i * n).div_ceil(m) - 1).collect();
        if hidden > 0.0 && own.width != others.width {
            let (own, others) = (own.width.unwrap_or(0), others.width.unwrap_or(0));
            return Err(format!("the student's tokens have {own} numbers, the teacher's {others}"));
        }
        for (i, of) in layers.iter().enumerate().filter(|_| attention > 0.0) {
            if own.heads[i] != others.heads[*of] {
                let (own, others) = (own.heads[i], others.heads[*of]);
                return Err(format!(
                    "layer {i} of the student has {own} heads, layer {of} of the teacher {others}"
                ));
            }
        }
        Ok(layers)
    }

    /// Mean squared differences of hidden states, a mean over each example's tokens, summed over examples.
    fn of_hidden(&self, own: &Seen, others: &Seen) -> Tensor<1> {
        let device = own.output.device();
        let lengths = own.offsets.windows(2).map(|w| w[1] - w[0]);
        let mut shares: Vec<f32> = lengths.flat_map(|n| std::iter::repeat_n(1.0 / n as f32, n)).collect();
        // Where no token is, there is a row all the same, of no example.
        shares.resize(own.hidden[0].dims()[0], 0.0);
        let shape = [shares.len(), 1];
        let shares: Tensor<2> = Tensor::from_data(TensorData::new(shares, shape), &device);
        let pairs = std::iter::once(0).chain(self.layers.iter().map(|of| of + 1));
        let terms = own.hidden.iter().zip(pairs).map(|(own, of)| {
            let off = own.clone() - others.hidden[of].clone().autodiff();
            ((off.clone() * off).mean_dim(1) * shares.clone()).sum()
        });
        mean(terms, device)
    }

    /// Divergences of attention from the teacher's, a mean over each example's tokens and heads, summed over examples.
    fn of_attention(&self, own: &Seen, others: &Seen) -> Tensor<1> {
        let layer = |own: &Vec<AttentionMap>, others: &Vec<AttentionMap>| {
            let groups = own.iter().zip(others).map(|(own, other)| {
                let teacher = other.probabilities.clone().autodiff();
                let log = |p: &Tensor<4>| p.clone().clamp_min(SMALLEST).log();
                let divergence = (teacher.clone() * (log(&teacher) - log(&own.probabilities))).sum_dim(3);
                let shares = own.present.clone() / own.present.clone().sum_dim(2);
                (divergence.mean_dim(1) * shares).sum()
            });
            groups.reduce(|a, b| a + b)
        };
        let pairs = own.attention.iter().zip(&self.layers);
        mean(pairs.filter_map(|(own, of)| layer(own, &others.attention[*of])), own.output.device())
    }
}

/// The mean; 0 of nothing.
fn mean(terms: impl Iterator<Item = Tensor<1>>, device: burn::tensor::Device) -> Tensor<1> {
    let (mut count, mut sum) = (0, Tensor::zeros([1], &device));
    for term in terms {
        (count, sum) = (count + 1, sum + term);
    }
    sum / f64::from(count.max(1)) as f32
}

/// What two networks must have alike.
struct Layers {
    /// Numbers of a token between layers.
    width: Option<usize>,
    /// Heads of each layer.
    heads: Vec<usize>,
}

impl Layers {
    fn of(graph: &Graph) -> Self {
        let blocks = graph.blocks();
        let width = blocks.first().map(|block| graph.values()[block.start].width);
        let is_inside = |n: usize| blocks.iter().any(|block| (block.start..=block.end).contains(&n));
        let heads = graph.nodes.iter().enumerate().filter_map(|(n, node)| match node.op {
            nlpress_model::graph::Op::Attend { heads, .. } if is_inside(n) => Some(heads),
            _ => None,
        });
        Self { width, heads: heads.collect() }
    }
}

impl Objective for LayerDistillation<'_> {
    fn loss(&self, rows: &[usize], batch: usize, logits: &[f32], gradient: &mut [f32]) -> f64 {
        self.outputs.loss(rows, batch, logits, gradient)
    }

    fn taps(&self) -> Taps {
        Taps { hidden: self.hidden > 0.0, attention: self.attention > 0.0, ..Taps::default() }
    }

    fn term(&self, rows: &[usize], batch: usize, own: &Seen) -> Result<Option<Tensor<1>>, ModelError> {
        let others = self.teacher.seen(self.examples, rows, self.taps())?;
        if own.offsets != others.offsets {
            return Err(ModelError::Data("the teacher reads other tokens than the student".into()));
        }
        let mut sum = Tensor::zeros([1], &own.output.device());
        if self.hidden > 0.0 {
            sum = sum + self.of_hidden(own, &others) * self.hidden as f32;
        }
        if self.attention > 0.0 {
            sum = sum + self.of_attention(own, &others) * self.attention as f32;
        }
        Ok(Some(sum / batch as f32))
    }
}
