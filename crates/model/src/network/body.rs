//! Everything after where a pass starts: the graph, node by node.

use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use nlpress_core::BackendKind;
use nlpress_graph::{NORM_EPSILON, Op, Per};
use nlpress_kernels::dense::Heads;
use std::sync::atomic::Ordering;

use super::hooks::{AttentionMap, Hooks};
use super::placed::on;
use super::positions::{ScoreBias, Turns};
use super::start::Start;
use super::tokens::Tokens;
use super::{Network, PASSES};
use crate::Dropout;
use crate::operations::{self, Projection, Slot, Way, affine, layer_norm, norm, pool, project};

/// One pass through a network.
pub(super) struct Pass<'a> {
    network: &'a Network,
    train: bool,
    /// What to switch off, and the place in the whole batch of the first row.
    dropout: Option<(&'a Dropout, usize)>,
    pub(super) hooks: Option<&'a mut dyn Hooks>,
    /// Where the derivatives of wide weights are left in factors, with their sites; nowhere where burn is to have them.
    pub(super) factors: Option<Vec<(usize, Slot)>>,
}

/// The tokens of a pass, and what attention and hooks need of them on the device.
struct Placement<'t> {
    tokens: &'t Tokens,
    buckets: Vec<Bucket>,
    /// For each place where it lies among the places of the buckets, one after the other; absent where the only bucket is
    /// all places in order.
    back: Option<Tensor<1, Int>>,
    /// The example of each place.
    owners: Tensor<1, Int>,
}

/// Examples that attend together.
struct Bucket {
    examples: usize,
    length: usize,
    places: Tensor<1, Int>,
    /// `[examples, 1, 1, length]`.
    absence: Tensor<4>,
}

/// Queries, keys and values.
#[allow(clippy::large_enum_variant)] // there is one at a time
enum Made {
    Apart([Tensor<2>; 3]),
    /// Side by side, on a CPU.
    Together(BackendKind, Tensor<2>),
}

impl<'a> Pass<'a> {
    /// A pass with a graph, for gradients.
    pub(super) fn training(network: &'a Network, dropout: Option<(&'a Dropout, usize)>) -> Self {
        Self {
            network,
            train: true,
            dropout: dropout.filter(|(d, _)| !d.is_off()),
            hooks: None,
            factors: None,
        }
    }

    /// A pass without.
    pub(super) fn evaluating(network: &'a Network) -> Self {
        Self { network, train: false, dropout: None, hooks: None, factors: None }
    }

    /// Runs the whole network.
    pub(super) fn whole(&mut self, start: &mut Start) -> Tensor<2> {
        let starts = self.network.starts(start, self.train);
        self.run(start.tokens.as_ref(), starts, self.network.wiring.last(self.network.sites.len()))
    }

    /// Runs the nodes up to `last` from the values of some of them: `[examples, width]`, or `[places, width]` of tokens.
    pub(super) fn run(
        &mut self,
        tokens: Option<&Tokens>,
        starts: Vec<(usize, Tensor<2>)>,
        last: usize,
    ) -> Tensor<2> {
        PASSES.fetch_add(1, Ordering::Relaxed);
        let network = self.network;
        let wiring = &network.wiring;
        let first = starts.iter().map(|(node, _)| *node).min().unwrap_or(0);
        let device = starts.first().map(|(_, value)| value.device());
        let placement = tokens.zip(device).map(|(tokens, device)| Placement::of(tokens, &device));
        let placement = placement.as_ref();
        let mut values: Vec<Option<Tensor<2>>> = vec![None; last + 1];
        for (node, value) in starts {
            self.show(node, &value);
            values[node] = Some(value);
        }
        for n in first..=last {
            if values[n].is_some() || wiring.is_plain[n] {
                continue;
            }
            let node = &network.graph.nodes[n];
            if wiring.projected_at[n].is_some_and(|at| self.projection(at).is_some()) {
                continue;
            }
            let mut read = |i: usize| {
                let from = node.from[i];
                let value = if wiring.last_readers[from] == n && !node.from[i + 1..].contains(&from) {
                    values[from].take()
                } else {
                    values[from].clone()
                };
                value.expect("a node comes after what it reads")
            };
            let made = match &node.op {
                Op::Linear { .. } | Op::Features { .. } | Op::Embed { .. } => {
                    let of_tokens = wiring.values[node.from[0]].per == Per::Token;
                    let owners = placement.filter(|_| of_tokens).map(|placement| &placement.owners);
                    self.site(n, read(0), owners)
                }
                Op::Norm => norm(self.way(), read(0), NORM_EPSILON),
                Op::LayerNorm { epsilon, .. } => {
                    layer_norm(self.way(), read(0), self.vectors_of(n), *epsilon)
                }
                Op::Activate(_) if self.is_activated(node.from[0]) => read(0),
                Op::Activate(activation) => operations::activate(*activation, read(0)),
                Op::Attend { heads, head_width, .. } => {
                    let placement = placement.expect("a graph on tokens starts from them");
                    let made = match self.projection(n) {
                        None => Made::Apart([read(0), read(1), read(2)]),
                        Some((kind, from, projection)) => {
                            let is_last = wiring.last_readers[from] < n;
                            let x = if is_last { values[from].take() } else { values[from].clone() };
                            let x = x.expect("a node comes after what it reads");
                            Made::Together(kind, project(self.way(), x, projection))
                        }
                    };
                    self.attend(n, placement, Heads { heads: *heads, width: *head_width }, made)
                }
                Op::Add => read(0) + read(1),
                Op::Multiply => read(0) * read(1),
                Op::Dropout { .. } => self.dropped(n, read(0), tokens),
                Op::Pool(pooling) => {
                    let tokens = tokens.expect("a graph on tokens starts from them");
                    pool(self.way(), read(0), tokens.offsets(), tokens.shares(*pooling))
                }
                Op::Normalize => normalize(read(0)),
            };
            self.show(n, &made);
            values[n] = Some(made);
        }
        values[last].take().expect("the last node has run")
    }

    fn show(&mut self, node: usize, value: &Tensor<2>) {
        if let Some(hooks) = &mut self.hooks {
            hooks.value(node, value);
        }
    }

    /// A value with some of its numbers switched off: for an example always the same ones, whatever its batch.
    fn dropped(&self, node: usize, hidden: Tensor<2>, tokens: Option<&Tokens>) -> Tensor<2> {
        let Some((dropout, first)) = self.dropout else { return hidden };
        let [places, width] = hidden.dims();
        let of = self.network.wiring.dropout_of[node];
        let mut factors = match tokens.filter(|_| self.network.wiring.values[node].per == Per::Token) {
            None => dropout.factors(of, first, places, width),
            Some(tokens) => {
                let example = |(n, length)| dropout.factors(of, first + n, 1, length * width);
                tokens.lengths().enumerate().flat_map(example).collect()
            }
        };
        // The place that is there where no token is.
        factors.resize(places * width, 1.0);
        let device = if self.train { &self.network.tracked } else { &self.network.device };
        hidden * self.network.tensor(factors, [places, width], device)
    }

    /// How operations are computed.
    fn way(&self) -> Way {
        self.network.way
    }

    /// Gain and bias of the normalisation at node `n`; zeros for a bias that it has not.
    fn vectors_of(&self, n: usize) -> [Tensor<2>; 2] {
        let own = &self.network.wiring.vectors_of[n];
        let gain = self.vector(own[0]);
        let bias = match own.get(1) {
            Some(bias) => self.vector(*bias),
            None => {
                let device = if self.train { &self.network.tracked } else { &self.network.device };
                let width = gain.dims()[1];
                self.network.tensor(vec![0.0; width], [1, width], device)
            }
        };
        [gain, bias]
    }

    /// A vector, `[1, length]`.
    fn vector(&self, vector: usize) -> Tensor<2> {
        let placed = self.network.vectors[vector].placed.as_ref();
        on(placed.expect("vectors are placed where the last site is"), self.train).unsqueeze()
    }

    /// Whether the non-linearity behind node `n` is computed with it.
    fn is_activated(&self, n: usize) -> bool {
        self.way() != Way::Burn && self.network.wiring.activation_of[n].is_some()
    }

    /// Whether someone looks at inputs, and at attention.
    fn is_looked_at(&self) -> (bool, bool) {
        self.hooks.as_ref().map_or((false, false), |hooks| (hooks.sees_inputs(), hooks.sees_attention()))
    }

    /// The weights of the three sites that make query, key and value for the attention at node `n`, and the node they
    /// read, where they are multiplied in one and nobody looks at what goes in or at the attention.
    fn projection(&self, n: usize) -> Option<(BackendKind, usize, Projection)> {
        let Way::Host(kind) = self.way() else { return None };
        let (from, sites) =
            self.network.wiring.projection_of[n].filter(|_| self.is_looked_at() == (false, false))?;
        let site = |i: usize| {
            let site = &self.network.sites[i];
            let floats = site.placed.as_ref().filter(|_| site.rounding.is_none())?.floats(self.train)?;
            floats.1.map(|bias| (floats.0, bias))
        };
        Some((kind, from, [site(sites[0])?, site(sites[1])?, site(sites[2])?]))
    }

    /// Attention of node `n` among the tokens of each example.
    fn attend(&mut self, n: usize, placement: &Placement<'_>, heads: Heads, made: Made) -> Tensor<2> {
        let offsets = placement.tokens.offsets();
        let (_, is_seen) = self.is_looked_at();
        let Op::Attend { positions, .. } = &self.network.graph.nodes[n].op else {
            unreachable!("it is asked of attention")
        };
        let longest = placement.tokens.lengths().max().unwrap_or(0);
        let mut made = made;
        if let (Some(rotary), Made::Apart([query, key, _])) = (positions.rotary, &mut made) {
            let turns = Turns::of(rotary, placement.tokens, heads, &query.device());
            *query = turns.turn(query.clone());
            *key = turns.turn(key.clone());
        }
        // A window as wide as the texts are long shuts nothing out.
        let window = positions.window.filter(|window| *window + 1 < longest);
        let bias = ScoreBias {
            window,
            relative: positions
                .relative
                .as_ref()
                .map(|of| (of, self.vector(self.network.wiring.vectors_of[n][0]))),
        };
        match (made, self.way()) {
            (Made::Together(kind, qkv), _) => operations::attend(kind, qkv, heads, offsets),
            (Made::Apart(made), Way::Host(kind)) if !is_seen && bias.is_none() => {
                operations::attend(kind, Tensor::cat(made.into(), 1), heads, offsets)
            }
            (Made::Apart(made), _) => {
                let (out, maps) = placement.attend(heads, &bias, made, is_seen);
                if let Some(hooks) = self.hooks.as_mut().filter(|_| is_seen) {
                    hooks.attention(maps);
                }
                out
            }
        }
    }

    /// Input times the weight of the site at node `n`, plus bias, and the non-linearity where that is computed with it.
    fn site(&mut self, n: usize, mut input: Tensor<2>, owners: Option<&Tensor<1, Int>>) -> Tensor<2> {
        let wiring = &self.network.wiring;
        let i = wiring.site_of[n].expect("it has a site");
        let site = &self.network.sites[i];
        if let Some(hooks) = &mut self.hooks {
            input = hooks.input(i, input, owners);
        }
        if let Some(rounding) = &site.rounding {
            input = rounding.tensor(input);
        }
        let placed = self.network.placed(i);
        let activation = wiring.activation_of[n].filter(|_| self.is_activated(n));
        match (placed.floats(self.train), self.network.host_of(site)) {
            (Some((weight, bias)), Some(kind)) => {
                let slot = self.factors.as_mut().filter(|_| site.trainable).map(|all| {
                    let slot = Slot::default();
                    all.push((i, slot.clone()));
                    slot
                });
                let product = operations::product(kind, input, weight, slot);
                if let Some(bias) = bias { product + bias } else { product }
            }
            (Some(floats), None) => affine(self.way(), input, floats, activation),
            (None, _) => placed.evaluate(input),
        }
    }
}

impl<'t> Placement<'t> {
    fn of(tokens: &'t Tokens, device: &Device) -> Self {
        let index = |places: &[usize]| -> Tensor<1, Int> {
            let places: Vec<i64> = places.iter().map(|place| *place as i64).collect();
            let count = places.len();
            Tensor::from_data(TensorData::new(places, [count]), device)
        };
        let buckets = tokens.buckets();
        let is_all = matches!(&buckets[..], [only] if only.is_all(tokens.count()));
        let mut back = vec![0; tokens.count()];
        let mut behind = 0;
        for bucket in &buckets {
            for (n, place) in bucket.places.iter().enumerate() {
                if bucket.absence[n] == 0.0 {
                    back[*place] = behind + n;
                }
            }
            behind += bucket.places.len();
        }
        let back = (!is_all && !buckets.is_empty()).then(|| index(&back));
        let place = |bucket: super::tokens::Bucket| {
            let shape = [bucket.examples, 1, 1, bucket.length];
            let absence = Tensor::from_data(TensorData::new(bucket.absence, shape), device);
            let (examples, length) = (bucket.examples, bucket.length);
            Bucket { examples, length, places: index(&bucket.places), absence }
        };
        let owners = index(&tokens.owners());
        Self { tokens, buckets: buckets.into_iter().map(place).collect(), back, owners }
    }

    /// Scaled dot-product attention among the tokens of each example, and its probabilities where they are to be seen.
    fn attend(
        &self,
        Heads { heads, width }: Heads,
        bias: &ScoreBias<'_>,
        [query, key, value]: [Tensor<2>; 3],
        is_seen: bool,
    ) -> (Tensor<2>, Vec<AttentionMap>) {
        let (mut mixed, mut maps) = (Vec::new(), Vec::new());
        if self.tokens.count() == 0 {
            // Nobody attends; what made query and key has a derivative, of zero.
            return (value + (query + key) * 0.0, maps);
        }
        let scale = 1.0 / (width as f32).sqrt();
        for Bucket { examples, length, places, absence } in &self.buckets {
            let split = |x: &Tensor<2>| -> Tensor<4> {
                let own = if self.back.is_some() { x.clone().select(0, places.clone()) } else { x.clone() };
                own.reshape([*examples, *length, heads, width]).swap_dims(1, 2)
            };
            let mut scores = split(&query).matmul(split(&key).swap_dims(2, 3)) * scale + absence.clone();
            for bias in bias.of(*length, heads, &scores.device()) {
                scores = scores + bias;
            }
            let probabilities = activation::softmax(scores, 3);
            if is_seen {
                let present = absence.clone().swap_dims(2, 3).equal_elem(0.0).float();
                maps.push(AttentionMap { probabilities: probabilities.clone(), present });
            }
            let brought = probabilities.matmul(split(&value));
            mixed.push(brought.swap_dims(1, 2).reshape([examples * length, heads * width]));
        }
        let mixed: Tensor<2> = if mixed.len() == 1 { mixed.remove(0) } else { Tensor::cat(mixed, 0) };
        let mixed = match &self.back {
            Some(back) => mixed.select(0, back.clone()),
            None => mixed,
        };
        (mixed, maps)
    }
}

/// Every row to length 1. The smallest square keeps the root, and its derivative, finite.
fn normalize(x: Tensor<2>) -> Tensor<2> {
    let length = (x.clone() * x.clone()).sum_dim(1).clamp_min(1e-24).sqrt();
    x / length
}
