//! `distill.static`: an encoder becomes a table of token embeddings whose mean stands for a text.
//!
//! Model2Vec's way (Tulkens and van Dongen 2024): every token of the vocabulary goes through the encoder by itself, between
//! the special tokens; what the encoder makes of it is its embedding. Of those the directions stay in which they vary most
//! (principal components), and each is multiplied by smooth inverse frequency, `a / (a + p)` with the share `p` of the token
//! among the training tokens (Arora et al. 2017), so that words that are everywhere count little. No label is looked at and
//! nothing is trained. Weights are scaled to 1 on the average over the training tokens.
//!
//! What stood behind the encoder's pooling stays: a classifier's first layer takes up the directions and the mean, exactly
//! for all that lies within the directions. It was trained for contextual embeddings, so a step of training should follow
//! (`distill.student` with `from = "model"`, or `train.more`). The order of words is lost: what the encoder knew by attention
//! alone, the student cannot know.

use nlpress_core::files::sha256_hex;
use nlpress_core::{BackendKind, Measurement};
use nlpress_model::graph::{Key, Node, Op, Output, Pooling, Source};
use nlpress_model::{Form, Graph, Layer, Layers, Model, Network, Outline, SiteId, Weight};
use nlpress_technique::directions::directions;
use nlpress_technique::solve::Gram;
use nlpress_technique::{
    Cx, Family, Kind, Made, Needs, Problem, Settings, StepError, Technique, parse, settings,
};
use nlpress_text::{Encode, TokenEncoder, TokenRow, TokenRows};
/// The technique's entry.
pub const KIND: Kind = Kind {
    name: "distill.static",
    family: Family::Distill,
    summary: "static embeddings (Model2Vec): the vocabulary goes through the encoder once, principal components and smooth \
              inverse frequency make a table of tokens, whose mean stands for a text; nothing is trained",
    source: "Tulkens and van Dongen 2024, Model2Vec, https://github.com/MinishLab/model2vec; Arora et al. 2017, A Simple but \
             Tough-to-Beat Baseline for Sentence Embeddings (SIF)",
    example: "width = 6",
    on: &["**"],
    settings: &[Static::SETTINGS],
    parse: parse::<Static>,
};

/// Tokens that go through the encoder at a time.
const AT_ONCE: usize = 512;
/// The site of the table.
const TABLE: &str = "embedding";

settings! {
    /// The technique's configuration.
    #[derive(Clone, Debug)]
    pub struct Static {
        /// numbers of a token's embedding, at least 1 and at most as many as the encoder has, default 128
        width: usize => or(128).when(|width: &usize| *width > 0, "at least 1"),
        /// the `a` of smooth inverse frequency, at least 0 and at most 1, default 0.001; 0 leaves every token its size
        sif: f64 => or(1e-3).when(|sif: &f64| (0.0..=1.0).contains(sif), "at least 0 and at most 1"),
    }
}

/// A network of tokens, divided at its pooling.
struct Divided {
    /// Up to there: an example's embedding.
    encoder: Graph,
    /// Numbers of that embedding.
    hidden: usize,
    /// What comes behind, node after node.
    head: Vec<Op>,
    output: Output,
    source: Source,
}

impl Divided {
    fn of(graph: &Graph) -> Result<Self, String> {
        let Source::Tokens { .. } = graph.source else {
            return Err(
                "the network reads bags of words, so that it has no tokens to encode one by one".into()
            );
        };
        let pool = graph.nodes.iter().rposition(|node| matches!(node.op, Op::Pool(_)));
        let pool = pool.ok_or("the network does not pool its tokens")?;
        let behind = graph.nodes.iter().enumerate().skip(pool + 1);
        let mut head = Vec::new();
        for (n, Node { op, from }) in behind {
            let is_known =
                matches!(op, Op::Linear { .. } | Op::Activate(_) | Op::Dropout { .. } | Op::Normalize);
            if !is_known || *from != [n - 1] {
                return Err("what stands behind its pooling is no chain of layers".into());
            }
            head.push(op.clone());
        }
        let first = head.iter().find(|op| !matches!(op, Op::Dropout { .. } | Op::Normalize));
        let turned = head.first() != Some(&Op::Normalize) || first.is_none();
        if !matches!(first, None | Some(Op::Linear { .. })) || !turned {
            return Err("behind its pooling stands no layer that could take up the directions".into());
        }
        let nodes = graph.nodes[..=pool].to_vec();
        let encoder = Graph { source: graph.source, nodes, output: Output::Embedding };
        Ok(Self { hidden: encoder.outputs(), encoder, head, output: graph.output, source: graph.source })
    }

    /// The network of the table.
    fn student(&self, width: usize) -> Graph {
        let table = Op::Embed { site: SiteId::new(TABLE), outputs: width, by: Key::Word, bias: false };
        let ops = [table, Op::Pool(Pooling::Mean)].into_iter().chain(self.head.iter().cloned());
        let from = |n: usize| if n == 0 { Vec::new() } else { vec![n - 1] };
        let nodes = ops.enumerate().map(|(n, op)| Node { op, from: from(n) }).collect();
        Graph { source: self.source, nodes, output: self.output }
    }
}

impl Technique for Static {
    fn needs(&self) -> Needs {
        Needs::INPUTS.when(self.sif > 0.0)
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        problems.extend(Problem::missing(before, on));
        if let Some(left) = before.sites.iter().find(|site| !on.contains(&site.id)) {
            let why = "it is not selected, but the whole network goes: select [\"**\"]";
            problems.push(Problem::at(&left.id, why));
        }
        let divided = match Divided::of(&before.graph) {
            Ok(divided) => divided,
            Err(why) => {
                problems.push(Problem::of_step(why));
                return before.clone();
            }
        };
        if self.width > divided.hidden {
            let (width, hidden) = (self.width, divided.hidden);
            problems.push(Problem::of_step(format!(
                "width is {width}, but the encoder's embeddings have {hidden} numbers"
            )));
        }
        for site in divided.head.iter().filter_map(|op| before.site(op.site()?)) {
            if site.form != Form::Dense {
                let why = format!("it is {}, and stays behind the table: make it static before", site.form);
                problems.push(Problem::at(&site.id, why));
            }
        }
        let graph = divided.student(self.width);
        if let Err(bad) = graph.check() {
            problems.push(Problem::of_step(format!("the table cannot be made: {bad}")));
            return before.clone();
        }
        Outline::dense(&graph)
    }

    fn apply(&self, model: Model, _on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let divided = Divided::of(model.graph()).map_err(StepError::Failed)?;
        let tokenizer = cx.encoder.and_then(|encoder| encoder.tokens());
        let tokenizer = tokenizer.ok_or(StepError::Missing("the tokenizer"))?;
        let hidden = divided.hidden;
        let mut table = encoded(&model, &divided, tokenizer, cx)?;
        let (mean, along) = main_directions(&table, hidden, self.width, cx)?;
        let mut variance = [0.0_f64; 2];
        let mut placed = Vec::with_capacity(table.len() / hidden * self.width);
        for row in table.chunks_exact_mut(hidden) {
            row.iter_mut().zip(&mean).for_each(|(x, m)| *x = (f64::from(*x) - m) as f32);
            variance[1] += row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
            let of =
                |direction: &[f64]| direction.iter().zip(&*row).map(|(d, x)| d * f64::from(*x)).sum::<f64>();
            let start = placed.len();
            placed.extend(along.chunks_exact(hidden).map(|direction| of(direction) as f32));
            variance[0] += placed[start..].iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
        }
        cx.measure(Measurement::higher(
            "variance_kept",
            variance[0] / variance[1].max(f64::MIN_POSITIVE),
            "1",
        ));
        if self.sif > 0.0 {
            let weights = inverse_frequencies(&cx.train.bags(), self.sif);
            for (row, weight) in placed.chunks_exact_mut(self.width).zip(&weights) {
                row.iter_mut().for_each(|x| *x = (f64::from(*x) * weight) as f32);
            }
        }
        // Ids that stand for no token, and so for no text, are nothing.
        for (row, token) in placed.chunks_exact_mut(self.width).zip(tokenizer.tokens()) {
            if token.is_none() {
                row.fill(0.0);
            }
        }
        Ok(assembled(&model, &divided, self.width, (placed, &mean, &along))?.into())
    }
}

/// What the encoder makes of each token of the vocabulary, `[vocabulary, hidden]`.
fn encoded(
    model: &Model,
    divided: &Divided,
    tokenizer: &TokenEncoder,
    cx: &Cx<'_>,
) -> Result<Vec<f32>, StepError> {
    let (width, inputs) = (Encode::width(tokenizer), divided.encoder.inputs());
    if width != inputs {
        return Err(StepError::Failed(format!("the tokenizer has {width} tokens, the network {inputs}")));
    }
    let (sites, vectors) = (divided.encoder.sites(), divided.encoder.vectors());
    let of = |id: &SiteId| sites.iter().any(|(site, _)| site == id);
    let layers = Layers {
        sites: model.layers().iter().filter(|layer| of(&layer.id)).map(|layer| (**layer).clone()).collect(),
        vectors: model
            .vectors()
            .iter()
            .filter(|vector| vectors.iter().any(|(id, _)| *id == vector.id))
            .cloned()
            .collect(),
    };
    let encoder = Model::new(divided.encoder.clone(), layers)?;
    let network = Network::bind(&encoder, cx.backend);
    let rows =
        tokenizer.alone(&(0..width as u32).collect::<Vec<_>>()).ok_or(StepError::Missing("a token"))?;
    let mut done = 0;
    let mut encode = |some: &[usize]| {
        let mut numbers = Vec::with_capacity(some.len() * divided.hidden);
        for some in some.chunks(AT_ONCE) {
            cx.progress("encoding the vocabulary", done, width)?;
            numbers.extend(network.logits(&rows.select(some))?);
            done += some.len();
        }
        Ok(numbers)
    };
    // What goes into packed sites is rounded, too, by more than their weights say.
    let is_packed = encoder.layers().iter().any(|layer| matches!(layer.weight, Weight::Packed { .. }));
    let Some(store) = cx.store.filter(|_| !is_packed) else { return encode(&(0..width).collect::<Vec<_>>()) };
    let (name, names) = named(&encoder, &rows, cx.backend.kind());
    store.answers((&name, divided.hidden), &names, &mut encode)
}

/// Names of a network but for its words, and of rows of tokens by what the network looks up for them: what it makes of a row
/// depends on nothing else, so that a smaller vocabulary finds what a larger one was answered.
fn named(encoder: &Model, rows: &TokenRows, backend: BackendKind) -> (String, Vec<String>) {
    let looks_up =
        |node: &Node, id: &SiteId| matches!(&node.op, Op::Embed { site, by: Key::Word, .. } if site == id);
    let graph = encoder.graph().clone().with_inputs(1);
    let mut network = format!("{backend} {graph:?}").into_bytes();
    let mut add = |numbers: &[f32]| network.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
    let mut tables = Vec::new();
    for layer in encoder.layers() {
        let values = layer.weight.values();
        add(&layer.bias);
        match graph.nodes.iter().any(|node| looks_up(node, &layer.id)) {
            true => tables.push((values, layer.shape.outputs)),
            false => add(&values),
        }
    }
    encoder.vectors().iter().for_each(|vector| add(&vector.values));
    let name = |row: TokenRow<'_>| {
        let mut bytes = row.types.to_vec();
        for (id, (values, width)) in
            row.ids.iter().flat_map(|id| tables.iter().map(move |table| (*id as usize, table)))
        {
            bytes.extend(values[id * width..][..*width].iter().flat_map(|x| x.to_le_bytes()));
        }
        sha256_hex(&bytes)
    };
    (sha256_hex(&network), rows.iter().map(name).collect())
}

/// The mean of the rows `[rows, hidden]`, and the directions in which they vary most, `[width, hidden]`: their principal
/// components.
fn main_directions(
    table: &[f32],
    hidden: usize,
    width: usize,
    cx: &Cx<'_>,
) -> Result<(Vec<f64>, Vec<f64>), StepError> {
    let rows = (table.len() / hidden).max(1) as f64;
    let mut gram = Gram::new(hidden);
    for (n, some) in table.chunks(AT_ONCE * hidden).enumerate() {
        cx.progress("summing up the vocabulary", n * AT_ONCE, table.len() / hidden)?;
        gram.add(some)?;
    }
    let mean: Vec<f64> = gram.sums().iter().map(|sum| sum / rows).collect();
    let mut covariance = vec![0.0; hidden * hidden];
    for i in 0..hidden {
        for j in 0..=i {
            let varied = gram.square()[i * hidden + j] / rows - mean[i] * mean[j];
            (covariance[i * hidden + j], covariance[j * hidden + i]) = (varied, varied);
        }
    }
    cx.progress("finding directions", 0, 1)?;
    Ok((mean, directions(covariance, hidden, width)))
}

/// Smooth inverse frequency of each token, `a / (a + p)`, scaled so that its mean over the tokens of the rows is 1.
///
/// Nothing else is known of tokens that no row has: they get the most that there is.
pub fn inverse_frequencies(bags: &nlpress_text::Rows, a: f64) -> Vec<f64> {
    let mut counts = vec![0.0; bags.width()];
    for (column, count) in bags.iter().flat_map(|row| row.columns.iter().zip(row.values)) {
        counts[*column as usize] += f64::from(*count);
    }
    let all = counts.iter().sum::<f64>().max(1.0);
    let weights: Vec<f64> = counts.iter().map(|count| a / (a + count / all)).collect();
    let mean = weights.iter().zip(&counts).map(|(weight, count)| weight * count / all).sum::<f64>();
    let scale = if mean > 0.0 { 1.0 / mean } else { 1.0 };
    weights.into_iter().map(|weight| weight * scale).collect()
}

/// The model of the table, the first layer behind it in the directions of the table.
fn assembled(
    model: &Model,
    divided: &Divided,
    width: usize,
    (table, mean, along): (Vec<f32>, &[f64], &[f64]),
) -> Result<Model, StepError> {
    let graph = divided.student(width);
    let mut layers: Vec<Layer> = Vec::new();
    for (n, (id, shape)) in graph.sites().into_iter().enumerate() {
        if n == 0 {
            layers.push(Layer { id, shape, weight: Weight::Dense(table.clone()), bias: Vec::new() });
            continue;
        }
        let layer = model.layer(&id).ok_or(StepError::Missing("a layer behind the pooling"))?;
        if n > 1 {
            layers.push(layer.clone());
            continue;
        }
        let (values, outputs) = (layer.weight.values(), shape.outputs);
        let through = |direction: &[f64]| -> Vec<f64> {
            let mut sums = vec![0.0; outputs];
            for (x, row) in direction.iter().zip(values.chunks_exact(outputs)) {
                sums.iter_mut().zip(row).for_each(|(sum, w)| *sum += x * f64::from(*w));
            }
            sums
        };
        let weight = along.chunks_exact(divided.hidden).flat_map(through).map(|x| x as f32).collect();
        let moved = through(mean);
        let bias = layer.bias.iter().zip(moved).map(|(b, more)| (f64::from(*b) + more) as f32).collect();
        layers.push(Layer { id, shape, weight: Weight::Dense(weight), bias });
    }
    Ok(Model::new(graph, layers)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::event::Quiet;
    use nlpress_technique::{AnswerStore, Ask};
    use nlpress_testkit::{Bench, backends, cpu};
    use nlpress_text::Rows;
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    #[test]
    fn settings_are_checked_by_name() {
        let read = |text: &str| (KIND.parse)(&text.parse().unwrap()).map(|_| ());
        assert_eq!((read(""), read("sif = 0")), (Ok(()), Ok(())));
        for (bad, says) in [
            ("width = 0", "width is 0"),
            ("sif = -1", "sif is -1"),
            ("sif = nan", "sif is NaN"),
            ("pca = 3", "pca"),
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.contains(says), "{bad}: {error}");
        }
    }

    #[test]
    fn frequent_tokens_count_less_and_the_mean_is_one() {
        // Shares 6/8, 2/8 and none.
        let bags = Rows::from_dense(2, 3, &[3.0, 1.0, 0.0, 3.0, 1.0, 0.0]).unwrap();
        let weights = inverse_frequencies(&bags, 0.25);
        let (often, seldom) = (0.25 / 1.0, 0.25 / 0.5);
        let mean = 0.75 * often + 0.25 * seldom;
        for (found, expected) in weights.iter().zip([often, seldom, 1.0]) {
            assert!((found - expected / mean).abs() < 1e-12, "{weights:?}");
        }
    }

    #[test]
    fn a_text_of_one_token_is_answered_as_by_the_encoder() {
        // All directions and no weights: the mean of one embedding is the embedding, and the classifier is the same map.
        for bench in [Bench::tokens(&cpu()).unwrap(), Bench::averaging(&cpu()).unwrap()] {
            let model = bench.model().clone();
            let on: Vec<SiteId> = model.layers().iter().map(|l| l.id.clone()).collect();
            let technique = Static { width: 12, sif: 0.0 };
            let mut problems = Vec::new();
            let planned = technique.plan(&model.outline(), &on, &mut problems);
            assert_eq!(problems, []);
            let made = technique.apply(model.clone(), &on, &mut bench.cx(&Quiet)).unwrap().model;
            assert_eq!(made.outline(), planned);
            let ids: Vec<u32> = (0..24).collect();
            let rows = bench.text_encoder().tokens().unwrap().alone(&ids).unwrap();
            let logits = |model: &Model| Network::bind(model, &cpu()).logits(&rows).unwrap();
            for (student, teacher) in logits(&made).iter().zip(logits(&model)) {
                assert!((student - teacher).abs() < 1e-4 * teacher.abs().max(1.0), "{student} {teacher}");
            }
        }
    }

    type ByNames = BTreeMap<[String; 2], Vec<f32>>;

    /// Keeps answers by the names of network and input, and counts what it asks.
    #[derive(Debug, Default)]
    struct Counting(Mutex<(ByNames, usize)>);

    impl AnswerStore for Counting {
        fn answers(
            &self,
            (network, width): (&str, usize),
            inputs: &[String],
            ask: Ask<'_>,
        ) -> Result<Vec<f32>, StepError> {
            let (known, asked) = &mut *self.0.lock().unwrap();
            let key = |i: usize| [network.to_owned(), inputs[i].clone()];
            // The last first, and few at a time: what is answered must not depend on it.
            let wanted: Vec<usize> =
                (0..inputs.len()).rev().filter(|i| !known.contains_key(&key(*i))).collect();
            *asked += wanted.len();
            for some in wanted.chunks(7) {
                let numbers = ask(some)?;
                known.extend(some.iter().zip(numbers.chunks(width)).map(|(i, one)| (key(*i), one.to_vec())));
            }
            Ok((0..inputs.len()).flat_map(|i| known[&key(i)].clone()).collect())
        }
    }

    #[test]
    fn a_token_goes_through_an_encoder_once_and_a_smaller_vocabulary_finds_it() {
        for backend in backends() {
            for bench in [Bench::tokens(&backend).unwrap(), Bench::modern(&backend).unwrap()] {
                let store = Counting::default();
                let asked = || store.0.lock().unwrap().1;
                let made = |model: &Model, kept: &[u32], store: Option<&dyn AnswerStore>| {
                    let (encoder, _) = bench.text_encoder().narrowed(kept).unwrap();
                    let on: Vec<SiteId> = model.layers().iter().map(|l| l.id.clone()).collect();
                    let mut cx = Cx { store, encoder: Some(&encoder), ..bench.cx(&Quiet) };
                    Static { width: 6, sif: 0.0 }.apply(model.clone(), &on, &mut cx).unwrap().model
                };
                let whole: Vec<u32> = (0..24).collect();
                assert_eq!(made(bench.model(), &whole, Some(&store)), made(bench.model(), &whole, None));
                assert_eq!(asked(), 24);
                let kept: Vec<u32> = (0..24).filter(|id| id % 3 != 1).collect();
                let (graph, mut layers) = bench.model().clone().into_parts();
                let table = layers.sites.iter_mut().find(|layer| layer.shape.inputs == 24).unwrap();
                let (values, width) = (table.weight.values().into_owned(), table.shape.outputs);
                let rows = kept.iter().flat_map(|id| &values[*id as usize * width..][..width]);
                table.weight = Weight::Dense(rows.copied().collect());
                table.shape.inputs = kept.len();
                let smaller = Model::new(graph.with_inputs(kept.len()), layers).unwrap();
                assert_eq!(made(&smaller, &kept, Some(&store)), made(&smaller, &kept, None));
                assert_eq!(asked(), 24);
                // Another network is asked, whatever of it is another.
                let (graph, mut layers) = smaller.into_parts();
                layers.vectors[0].values[0] += 0.5;
                let other = Model::new(graph, layers).unwrap();
                assert_eq!(made(&other, &kept, Some(&store)), made(&other, &kept, None));
                assert_eq!(asked(), 24 + kept.len());
            }
        }
    }

    #[test]
    fn what_has_no_tokens_or_is_too_narrow_is_refused() {
        let problems = |bench: &Bench, width: usize| {
            let before = bench.model().outline();
            let on: Vec<SiteId> = before.sites.iter().map(|s| s.id.clone()).collect();
            let mut found = Vec::new();
            Static { width, sif: 0.0 }.plan(&before, &on, &mut found);
            found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        assert!(problems(&Bench::new(&cpu()).unwrap(), 2).contains("bags of words"));
        assert!(problems(&Bench::tokens(&cpu()).unwrap(), 13).contains("width is 13"));
    }
}
