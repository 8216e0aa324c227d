//! The two ends of a gradient exchange: the layout that they share, and the sender with its error-feedback memory.

use nlpress_core::Seed;
use nlpress_model::{Model, SiteId};
use nlpress_train::record::{Reader, Writer};
use nlpress_train::{Stateful, places};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::{Codec, Coding};
use crate::QuantError;
use crate::error::BadBytes;

/// How a gradient is cut into blocks, and how each travels.
#[derive(Clone, Debug)]
pub struct Layout {
    coding: Coding,
    codec: Arc<dyn Codec>,
    blocks: Vec<Block>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Block {
    place: Range<usize>,
    coded: bool,
}

impl Layout {
    /// A layout of parts one after another, each so long and coded or not; blocks do not cross parts.
    ///
    /// # Errors
    /// [`QuantError::Setting`].
    pub fn new(coding: &Coding, parts: &[(usize, bool)]) -> Result<Self, QuantError> {
        let codec = Arc::from(coding.codec()?);
        let (mut blocks, mut len) = (Vec::new(), 0);
        for (part, coded) in parts {
            let end = len + part;
            let step = if *coded { coding.block().unwrap_or(*part) } else { *part };
            while len < end {
                let place = len..end.min(len + step);
                len = place.end;
                blocks.push(Block { place, coded: *coded });
            }
        }
        Ok(Self { coding: coding.clone(), codec, blocks, len })
    }

    /// The layout of a model's trainable numbers ([`Model::flat`]), coded where `on` says so; vectors never are.
    ///
    /// # Errors
    /// [`QuantError::Setting`].
    pub fn of(coding: &Coding, model: &Model, on: impl Fn(&SiteId) -> bool) -> Result<Self, QuantError> {
        let vectors: usize = model.vectors().iter().map(|vector| vector.values.len()).sum();
        let sites = places(model).into_iter().map(|p| (p.biases.end - p.weights.start, on(&p.id)));
        let parts: Vec<(usize, bool)> = sites.chain((vectors > 0).then_some((vectors, false))).collect();
        Self::new(coding, &parts)
    }

    /// What both ends agree on.
    pub fn coding(&self) -> &Coding {
        &self.coding
    }

    /// Numbers of a gradient.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether gradients are empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes the gradient that `bytes` of step `step` stand for over `into`.
    ///
    /// # Errors
    /// [`QuantError::Length`], or [`QuantError::Received`] for bytes that no sender makes; `into` is then partly
    /// written.
    pub fn decode(&self, step: u64, bytes: &[u8], into: &mut [f32]) -> Result<(), QuantError> {
        same_length(into.len(), self.len)?;
        let mut rest = bytes;
        for (number, block) in self.blocks.iter().enumerate() {
            let into = &mut into[block.place.clone()];
            let read = match self.is_coded(block, step) {
                true => self.codec.decode(rest, into),
                false => read_floats(rest, into),
            };
            rest = read.map_err(|why| QuantError::Received { block: number, why })?;
        }
        match rest.len() {
            0 => Ok(()),
            n => Err(QuantError::Received {
                block: self.blocks.len().saturating_sub(1),
                why: BadBytes::Rest(n),
            }),
        }
    }

    fn is_coded(&self, block: &Block, step: u64) -> bool {
        block.coded && step >= self.coding.plain_steps()
    }
}

/// The sending end: it counts the steps and, with error feedback, keeps the error of what it sent.
#[derive(Clone, Debug)]
pub struct Sender {
    layout: Layout,
    seed: Seed,
    step: u64,
    memory: Vec<f32>,
}

impl Sender {
    /// A sender with an empty memory. `seed` is the root of its stochastic rounding: each step and block has its own
    /// stream.
    pub fn new(layout: Layout, seed: Seed) -> Self {
        let memory = if layout.coding.error_feedback() { vec![0.0; layout.len] } else { Vec::new() };
        Self { layout, seed, step: 0, memory }
    }

    /// The layout, which the receiving end has, too.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Gradients sent.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The accumulated error of coding; empty without error feedback.
    pub fn memory(&self) -> &[f32] {
        &self.memory
    }

    /// Codes `gradient` plus the memory, appends the bytes, replaces the gradient by what they
    /// [decode](Layout::decode) to, and keeps the difference as the new memory.
    ///
    /// # Errors
    /// [`QuantError::Length`].
    pub fn send(&mut self, gradient: &mut [f32], out: &mut Vec<u8>) -> Result<(), QuantError> {
        same_length(gradient.len(), self.layout.len)?;
        let seed = self.seed.derive(&format!("gradient {}", self.step));
        for (number, block) in self.layout.blocks.iter().enumerate() {
            let numbers = &mut gradient[block.place.clone()];
            if !self.layout.is_coded(block, self.step) {
                numbers.iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes()));
                continue;
            }
            let owed = self.memory.get_mut(block.place.clone());
            let start = out.len();
            if let Some(owed) = &owed {
                numbers.iter_mut().zip(owed.iter()).for_each(|(x, owed)| *x += owed);
            }
            self.layout.codec.encode(numbers, &mut seed.stream(number as u64), out);
            if let Some(owed) = owed {
                owed.copy_from_slice(numbers);
                read_back(self.layout.codec.as_ref(), &out[start..], numbers);
                for (owed, x) in owed.iter_mut().zip(numbers.iter()) {
                    let left = *owed - x;
                    *owed = if left.is_finite() { left } else { 0.0 };
                }
            } else {
                read_back(self.layout.codec.as_ref(), &out[start..], numbers);
            }
        }
        self.step += 1;
        Ok(())
    }
}

impl Sender {
    /// Counts a step in which another process sent what this sender stands for.
    pub fn skip(&mut self) {
        self.step += 1;
    }
}

impl Stateful for Sender {
    fn identity(&self) -> String {
        format!("sent as {} from {:?}", self.layout.coding, self.seed)
    }

    fn save(&self, to: &mut Writer<'_>) -> io::Result<()> {
        to.count(self.step)?;
        to.row(&self.memory)
    }

    fn restore(&mut self, from: &mut Reader<'_>) -> io::Result<()> {
        self.step = from.count()?;
        from.row_into(&mut self.memory)
    }
}

fn read_back(codec: &dyn Codec, bytes: &[u8], into: &mut [f32]) {
    codec.decode(bytes, into).expect("a codec reads what it wrote");
}

/// Takes floats from the front of `bytes`.
fn read_floats<'a>(bytes: &'a [u8], into: &mut [f32]) -> Result<&'a [u8], BadBytes> {
    let (body, rest) = bytes.split_at_checked(4 * into.len()).ok_or(BadBytes::Cut)?;
    for (into, bytes) in into.iter_mut().zip(body.as_chunks::<4>().0) {
        *into = f32::from_le_bytes(*bytes);
    }
    Ok(rest)
}

fn same_length(found: usize, expected: usize) -> Result<(), QuantError> {
    if found == expected { Ok(()) } else { Err(QuantError::Length { what: "the gradient", found, expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn coding(text: &str) -> Coding {
        toml::from_str(text).unwrap()
    }

    const ALL: [&str; 11] = [
        "block = 4",
        "block = 4\nerror_feedback = false",
        "codec = 'qsgd'\nblock = 4",
        "codec = 'qsgd'\nbits = 2\nblock = 4\nerror_feedback = true",
        "codec = 'ternary'",
        "codec = 'ternary'\nerror_feedback = true",
        "codec = 'sign'\nblock = 3",
        "codec = 'sign'\nerror_feedback = false",
        "codec = 'top_k'\nshare = 0.2",
        "codec = 'top_k'\nshare = 0.2\nerror_feedback = false",
        "codec = 'sign'\nplain_steps = 2",
    ];

    fn gradient(step: u64) -> Vec<f32> {
        let mut rng = Seed(2).stream(step);
        (0..17).map(|_| rng.normal()).collect()
    }

    #[test]
    fn the_receiver_reads_what_the_sender_says_arrives() {
        for text in ALL {
            let layout = Layout::new(&coding(text), &[(9, true), (3, false), (5, true)]).unwrap();
            let mut sender = Sender::new(layout.clone(), Seed(1));
            let mut again = Sender::new(layout.clone(), Seed(1));
            for step in 0..5 {
                let (mut arrives, mut bytes) = (gradient(step), Vec::new());
                sender.send(&mut arrives, &mut bytes).unwrap();
                assert_eq!(arrives[9..12], gradient(step)[9..12], "{text}");
                let mut back = vec![9.0; 17];
                layout.decode(step, &bytes, &mut back).unwrap();
                assert_eq!(back, arrives, "{text}");
                let mut twice = Vec::new();
                again.send(&mut gradient(step), &mut twice).unwrap();
                assert_eq!(twice, bytes, "{text}");
                let cut = layout.decode(step, &bytes[..bytes.len() - 1], &mut back);
                assert!(
                    matches!(cut, Err(QuantError::Received { why: BadBytes::Cut, .. })),
                    "{text}: {cut:?}"
                );
                bytes.push(0);
                let long = layout.decode(step, &bytes, &mut back);
                assert!(matches!(long, Err(QuantError::Received { why: BadBytes::Rest(1), .. })), "{text}");
            }
        }
    }

    #[test]
    fn plain_steps_are_exact_and_cost_their_floats() {
        let layout = Layout::new(&coding("codec = 'sign'\nplain_steps = 2"), &[(17, true)]).unwrap();
        let mut sender = Sender::new(layout, Seed(1));
        for step in 0..3 {
            let (mut arrives, mut bytes) = (gradient(step), Vec::new());
            sender.send(&mut arrives, &mut bytes).unwrap();
            assert_eq!(arrives == gradient(step), step < 2);
            assert_eq!(bytes.len(), if step < 2 { 17 * 4 } else { 4 + 3 });
        }
    }

    #[test]
    fn other_lengths_are_refused() {
        let layout = Layout::new(&coding(""), &[(4, true)]).unwrap();
        assert!(matches!(layout.decode(0, &[], &mut [0.0; 3]), Err(QuantError::Length { found: 3, .. })));
        let error = Sender::new(layout, Seed(1)).send(&mut [0.0; 5], &mut Vec::new());
        assert!(matches!(error, Err(QuantError::Length { found: 5, expected: 4, .. })));
    }

    #[test]
    fn a_gradient_that_is_not_finite_is_not_owed() {
        let layout = Layout::new(&coding("block = 2"), &[(4, true)]).unwrap();
        let mut sender = Sender::new(layout, Seed(1));
        let mut arrives = [1.0, f32::INFINITY, 1.0, 0.3];
        sender.send(&mut arrives, &mut Vec::new()).unwrap();
        assert!(arrives[0].is_nan() && arrives[1].is_nan() && arrives[2] == 1.0);
        assert!(sender.memory()[..2] == [0.0; 2] && sender.memory()[3] != 0.0);
    }

    proptest! {
        #[test]
        fn what_arrives_and_what_is_owed_add_up_to_what_was_sent(
            gradients in prop::collection::vec(prop::collection::vec(-10.0_f32..10.0, 17), 1..40),
        ) {
            for text in ALL.into_iter().filter(|text| coding(text).error_feedback()) {
                let layout = Layout::new(&coding(text), &[(9, true), (3, false), (5, true)]).unwrap();
                let mut sender = Sender::new(layout, Seed(1));
                let (mut sent, mut arrived) = ([0.0_f64; 17], [0.0_f64; 17]);
                for gradient in &gradients {
                    let mut now = gradient.clone();
                    sender.send(&mut now, &mut Vec::new()).unwrap();
                    for i in 0..17 {
                        sent[i] += f64::from(gradient[i]);
                        arrived[i] += f64::from(now[i]);
                    }
                }
                for i in 0..17 {
                    let owed = f64::from(sender.memory()[i]);
                    prop_assert!((sent[i] - arrived[i] - owed).abs() < 1e-2, "{}", text);
                    prop_assert!(owed.abs() < 300.0, "{}: {} is owed", text, owed);
                }
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60), step in 0_u64..4) {
            for text in ALL {
                let layout = Layout::new(&coding(text), &[(9, true), (3, false), (5, true)]).unwrap();
                let _ = layout.decode(step, &bytes, &mut [0.0; 17]);
            }
        }
    }
}
