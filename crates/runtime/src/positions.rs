//! What attentions make of the places of tokens, prepared when a session is opened.

use nlpress_artifact::Vector;
use nlpress_graph::{Graph, Op, PositionScheme, RelativeBias, Source};
use std::sync::Arc;

/// What an attention makes of places; nothing by default.
#[derive(Clone, Debug, Default)]
pub(crate) struct Positions {
    /// The cosine and the sine that each pair of numbers of a head is turned by at each place, `[places, head_width / 2]`.
    pub(crate) turns: Option<Arc<[(f32, f32)]>>,
    /// A token attends to those at most so many places away.
    pub(crate) window: Option<usize>,
    /// What is added to scores.
    pub(crate) relative: Option<Arc<Relative>>,
}

/// What is added to the score of a query and a key, by head and distance.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Relative {
    /// Most tokens of an example.
    most: usize,
    /// `[heads, 2 · most - 1]`: from the farthest key before a query to the farthest behind it.
    by_offset: Vec<f32>,
}

/// The positions of each attention of a graph; those that are alike are there once.
pub(crate) fn of(graph: &Graph, vectors: &[Vector]) -> Vec<Positions> {
    let most = match graph.source {
        Source::Tokens { most, .. } => most,
        Source::Bag { .. } | Source::Features { .. } => 0,
    };
    let mut known: Vec<(&PositionScheme, usize, Positions)> = Vec::new();
    let mut all = Vec::new();
    for node in &graph.nodes {
        let Op::Attend { heads, head_width, positions } = &node.op else { continue };
        if let Some((.., made)) = known.iter().find(|(of, width, _)| *of == positions && width == head_width)
        {
            all.push(made.clone());
            continue;
        }
        let turns = positions.rotary.and_then(|rotary| {
            let same = known.iter().find(|(of, width, _)| of.rotary == Some(rotary) && width == head_width);
            same.map_or_else(|| Some(rotary.turns(most, *head_width).into()), |(.., made)| made.turns.clone())
        });
        let relative = positions.relative.as_ref().and_then(|bias| {
            let vector = vectors.iter().find(|vector| vector.id == bias.vector())?;
            Some(Arc::new(Relative::of(bias, &vector.values, *heads, most)))
        });
        let made = Positions { turns, window: positions.window, relative };
        known.push((positions, *head_width, made.clone()));
        all.push(made);
    }
    all
}

impl Positions {
    /// Bytes in memory, of what others may share.
    pub(crate) fn bytes(&self) -> usize {
        let turns = self.turns.as_ref().map_or(0, |turns| size_of_val(&turns[..]));
        turns + self.relative.as_ref().map_or(0, |relative| size_of_val(&relative.by_offset[..]))
    }

    /// Makes scores of a head's query at `place` and all keys what they are with their places.
    #[inline(always)]
    pub(crate) fn apply(&self, head: usize, place: usize, scores: &mut [f32]) {
        if let Some(relative) = &self.relative {
            scores.iter_mut().zip(relative.of_query(head, place)).for_each(|(score, bias)| *score += bias);
        }
        if let Some(window) = self.window {
            let end = (place + window + 1).min(scores.len());
            scores[..place.saturating_sub(window)].fill(f32::NEG_INFINITY);
            scores[end..].fill(f32::NEG_INFINITY);
        }
    }

    /// A head's query or key at `place`, turned; unchanged where nothing turns.
    #[inline(always)]
    pub(crate) fn turn(&self, place: usize, of_head: &mut [f32]) {
        let Some(turns) = &self.turns else { return };
        let half = of_head.len() / 2;
        let (first, second) = of_head.split_at_mut(half);
        let turns = &turns[place * half..][..half];
        for ((x, y), (cos, sin)) in first.iter_mut().zip(second).zip(turns) {
            (*x, *y) = (*x * cos - *y * sin, *y * cos + *x * sin);
        }
    }
}

impl Relative {
    pub(crate) fn of(bias: &RelativeBias, values: &[f32], heads: usize, most: usize) -> Self {
        let buckets = bias.bucket_of_offsets(most);
        let of_head = |head: usize| {
            let own = &values[head * bias.buckets..][..bias.buckets];
            buckets.iter().map(move |bucket| own[*bucket])
        };
        Self { most, by_offset: (0..heads).flat_map(of_head).collect() }
    }

    /// What is added to the scores of a query at `place` and the keys at 0, 1 and so on.
    pub(crate) fn of_query(&self, head: usize, place: usize) -> &[f32] {
        let of_head = &self.by_offset[head * (2 * self.most - 1)..][..2 * self.most - 1];
        &of_head[self.most - 1 - place..]
    }

    /// All of them.
    pub(crate) fn numbers(&self) -> &[f32] {
        &self.by_offset
    }
}
