//! Gradients as 8-bit integers: the codec, and its place between engine and optimiser.
//!
//! A gradient is cut into blocks; each block travels as one scale and one signed byte for every number. What
//! rounding takes away is not lost: it is kept back and added to the next gradient (error feedback: Seide et
//! al. 2014, "1-Bit Stochastic Gradient Descent"; Karimireddy et al. 2019, "Error Feedback Fixes SignSGD"), so
//! the sum of everything that arrived is never further than half a step from the sum of everything sent.
//!
//! One block on the wire: the scale as a little-endian `f32`, then its integers in `-127..=127`, one byte each.
//! There is no header: both ends know the length and the block.

use nlpress_model::{Model, SiteId};
use nlpress_train::Wire;

use pulp::Arch;

use crate::QuantError;
use crate::grid::Noise;

/// Bytes of a block's scale.
const SCALE_BYTES: usize = 4;
const LEVELS: f32 = 127.0;

/// Turns gradients of one length into bytes and back.
///
/// The receiving end may use any codec of the same length and block; only the sending end's residual changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Int8Codec {
    block: usize,
    residual: Vec<f32>,
}

impl Int8Codec {
    /// A codec for gradients of `len` numbers, with one scale for every `block` of them.
    ///
    /// # Errors
    /// [`QuantError::Setting`] when `block` is 0.
    pub fn new(len: usize, block: usize) -> Result<Self, QuantError> {
        if block == 0 {
            return Err(QuantError::Setting { key: "block", value: "0".into(), bound: "at least 1" });
        }
        Ok(Self { block, residual: vec![0.0; len] })
    }

    /// Numbers of a gradient.
    pub fn len(&self) -> usize {
        self.residual.len()
    }

    /// Whether gradients are empty.
    pub fn is_empty(&self) -> bool {
        self.residual.is_empty()
    }

    /// Bytes of an encoded gradient.
    pub fn encoded_bytes(&self) -> usize {
        self.len() + SCALE_BYTES * self.len().div_ceil(self.block)
    }

    /// What rounding has kept back so far.
    pub fn residual(&self) -> &[f32] {
        &self.residual
    }

    /// Appends [`encoded_bytes`](Int8Codec::encoded_bytes) bytes to `out` that stand for `gradient` plus what
    /// was kept back, and keeps back what they miss.
    ///
    /// A block with a number that is not finite arrives as undefined numbers, so that a training which diverges
    /// is seen to; nothing of it is kept back.
    ///
    /// # Errors
    /// [`QuantError::Length`].
    pub fn encode(&mut self, gradient: &[f32], out: &mut Vec<u8>) -> Result<(), QuantError> {
        same_length("the gradient", gradient.len(), self.len())?;
        let start = out.len();
        out.resize(start + self.encoded_bytes(), 0);
        let blocks = out[start..].chunks_mut(self.block + SCALE_BYTES);
        let sources = gradient.chunks(self.block).zip(self.residual.chunks_mut(self.block));
        Arch::new().dispatch(|| {
            for ((gradient, kept), out) in sources.zip(blocks) {
                encode_block(gradient, kept, out);
            }
        });
        Ok(())
    }

    /// Writes the gradient that `bytes` stand for over `into`.
    ///
    /// # Errors
    /// [`QuantError::Length`], [`QuantError::Scale`] or [`QuantError::Level`] for bytes that no encoder makes;
    /// `into` is then only partly written.
    pub fn decode(&self, bytes: &[u8], into: &mut [f32]) -> Result<(), QuantError> {
        same_length("the gradient", into.len(), self.len())?;
        same_length("the encoded gradient", bytes.len(), self.encoded_bytes())?;
        let blocks = bytes.chunks(self.block + SCALE_BYTES);
        for (block, (bytes, into)) in blocks.zip(into.chunks_mut(self.block)).enumerate() {
            let (scale, integers) =
                bytes.split_first_chunk().expect("the length was checked: every block has a scale");
            let scale = f32::from_le_bytes(*scale);
            if scale < 0.0 || scale.is_infinite() {
                return Err(QuantError::Scale { block, scale });
            }
            for (into, byte) in into.iter_mut().zip(integers) {
                let q = *byte as i8;
                if q == i8::MIN {
                    return Err(QuantError::Level { block });
                }
                *into = f32::from(q) * scale;
            }
        }
        Ok(())
    }
}

/// Every gradient as integers on its way to the optimiser, site by site; sites that were not selected travel as
/// floats. All bytes are counted as they are made.
#[derive(Clone, Debug)]
pub struct Int8Wire {
    sites: Vec<(usize, Option<Int8Codec>)>,
    buffer: Vec<u8>,
    bytes: u64,
    bytes_as_f32: u64,
    noise: Noise,
}

impl Int8Wire {
    /// A wire for the trainable numbers of a model ([`Model::flat`]), with integers on the sites `on`.
    ///
    /// Blocks do not cross sites; without `block`, a site's weight and bias are one block.
    ///
    /// # Errors
    /// [`QuantError::Setting`] when `block` is 0.
    pub fn new(model: &Model, on: &[SiteId], block: Option<usize>) -> Result<Self, QuantError> {
        let mut sites = Vec::new();
        for layer in model.layers().iter().filter(|l| l.weight.is_trainable()) {
            let len = layer.shape.parameters();
            let codec = match on.contains(&layer.id) {
                true => Some(Int8Codec::new(len, block.unwrap_or(len))?),
                false => None,
            };
            sites.push((len, codec));
        }
        Ok(Self { sites, buffer: Vec::new(), bytes: 0, bytes_as_f32: 0, noise: Noise::default() })
    }

    /// Bytes that the same gradients take as floats.
    pub fn bytes_as_f32(&self) -> u64 {
        self.bytes_as_f32
    }

    /// How far what arrived is from what was sent, gradient by gradient, error feedback included.
    pub fn noise(&self) -> Noise {
        self.noise
    }
}

impl Wire for Int8Wire {
    /// # Panics
    /// When the gradient does not have the model's length.
    fn send(&mut self, gradient: &mut [f32]) {
        self.bytes_as_f32 += 4 * gradient.len() as u64;
        let mut rest = gradient;
        for (len, codec) in &mut self.sites {
            let (part, tail) = rest.split_at_mut(*len);
            rest = tail;
            let Some(codec) = codec else {
                self.bytes += 4 * *len as u64;
                continue;
            };
            self.buffer.clear();
            codec.encode(part, &mut self.buffer).expect("the part has the codec's length");
            self.bytes += self.buffer.len() as u64;
            let sent = part.to_vec();
            codec.decode(&self.buffer, part).expect("the codec reads what it wrote");
            self.noise = self.noise.plus(Noise::between(&sent, part));
        }
        assert!(rest.is_empty(), "the gradient is longer than the model");
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// One block: its scale, then its integers. `out` is zero and has room for just that.
#[inline(always)]
fn encode_block(gradient: &[f32], kept: &mut [f32], out: &mut [u8]) {
    let (place, integers) = out.split_at_mut(SCALE_BYTES);
    let mut largest = 0.0_f32;
    let mut sum = 0.0_f32; // not finite as soon as one number is not
    for (g, kept) in gradient.iter().zip(kept.iter_mut()) {
        *kept += g;
        largest = largest.max(kept.abs());
        sum += *kept * 0.0;
    }
    if !sum.is_finite() {
        kept.fill(0.0);
        place.copy_from_slice(&f32::NAN.to_le_bytes());
        return;
    }
    let scale = largest / LEVELS;
    place.copy_from_slice(&scale.to_le_bytes());
    if scale == 0.0 {
        return; // no number is large enough to have a scale: all wait for the next gradient
    }
    for (kept, out) in kept.iter_mut().zip(integers) {
        let q = (*kept / scale).round_ties_even().clamp(-LEVELS, LEVELS);
        *kept -= q * scale;
        *out = q as i32 as i8 as u8;
    }
}

fn same_length(what: &'static str, found: usize, expected: usize) -> Result<(), QuantError> {
    if found == expected { Ok(()) } else { Err(QuantError::Length { what, found, expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_core::Seed;
    use nlpress_model::{MlpSpec, Spec};
    use proptest::prelude::*;

    fn round_trip(codec: &mut Int8Codec, gradient: &[f32]) -> Vec<f32> {
        let (mut bytes, mut back) = (Vec::new(), vec![9.0; gradient.len()]);
        codec.encode(gradient, &mut bytes).unwrap();
        assert_eq!(bytes.len(), codec.encoded_bytes());
        codec.decode(&bytes, &mut back).unwrap();
        back
    }

    #[test]
    fn each_block_has_its_own_scale() {
        let mut codec = Int8Codec::new(5, 2).unwrap();
        assert_eq!(codec.encoded_bytes(), 5 + 3 * 4);
        let back = round_trip(&mut codec, &[127.0, 1.0, 0.0127, 0.0, -1e-3]);
        assert_eq!(back[..2], [127.0, 1.0]);
        assert!((back[2] - 0.0127).abs() < 1e-8 && (back[4] + 1e-3).abs() < 1e-9, "{back:?}");
    }

    #[test]
    fn what_rounding_takes_is_paid_back() {
        let mut codec = Int8Codec::new(2, 2).unwrap();
        let mut arrived = 0.0;
        for _ in 0..100 {
            arrived += round_trip(&mut codec, &[1.0, 1e-3])[1]; // alone, 1e-3 always rounds to 0
        }
        assert!((arrived - 0.1).abs() < 0.5 / 127.0 + 1e-6, "{arrived}");
    }

    #[test]
    fn a_number_that_is_not_finite_is_seen_at_the_other_end() {
        let mut codec = Int8Codec::new(4, 2).unwrap();
        let back = round_trip(&mut codec, &[1.0, f32::INFINITY, 1.0, 0.0]);
        assert!(back[0].is_nan() && back[1].is_nan());
        assert_eq!(back[2], 1.0);
        assert!(round_trip(&mut codec, &[1.0; 4]).iter().all(|x| (x - 1.0).abs() < 1e-2));
    }

    #[test]
    fn bytes_that_no_encoder_makes_are_refused() {
        let codec = Int8Codec::new(2, 2).unwrap();
        let read = |scale: f32, q: [u8; 2]| {
            let bytes: Vec<u8> = scale.to_le_bytes().into_iter().chain(q).collect();
            codec.decode(&bytes, &mut [0.0; 2])
        };
        assert_eq!(read(1.0, [1, 255]), Ok(()));
        assert_eq!(read(-1.0, [0; 2]), Err(QuantError::Scale { block: 0, scale: -1.0 }));
        assert_eq!(read(f32::INFINITY, [0; 2]), Err(QuantError::Scale { block: 0, scale: f32::INFINITY }));
        assert_eq!(read(1.0, [0, 128]), Err(QuantError::Level { block: 0 }));
        assert!(matches!(codec.decode(&[0; 5], &mut [0.0; 2]), Err(QuantError::Length { found: 5, .. })));
        assert!(matches!(codec.decode(&[0; 6], &mut [0.0; 3]), Err(QuantError::Length { found: 3, .. })));
        assert!(Int8Codec::new(2, 2).unwrap().encode(&[0.0], &mut Vec::new()).is_err());
        assert!(Int8Codec::new(2, 0).is_err());
    }

    #[test]
    fn unselected_sites_travel_as_they_are() {
        let spec = Spec::Mlp(MlpSpec::new(3, &[2], 1, 0.0));
        let model = Model::init(&spec, Seed(1)).unwrap();
        let mut wire = Int8Wire::new(&model, &[SiteId::output()], None).unwrap();
        let mut gradient: Vec<f32> = (0..11).map(|i| (i as f32 * 0.7).cos()).collect();
        let sent = gradient.clone();
        wire.send(&mut gradient);
        assert_eq!(gradient[..8], sent[..8]);
        assert_ne!(gradient[8..], sent[8..]);
        assert_eq!((wire.bytes(), wire.bytes_as_f32()), (8 * 4 + 3 + 4, 11 * 4));
    }

    proptest! {
        #[test]
        fn what_arrives_adds_up(
            gradients in prop::collection::vec(prop::collection::vec(-10.0_f32..10.0, 7), 1..8),
            block in 1_usize..9,
        ) {
            let mut codec = Int8Codec::new(7, block).unwrap();
            let (mut sent, mut arrived) = ([0.0_f64; 7], [0.0_f64; 7]);
            for gradient in &gradients {
                let back = round_trip(&mut codec, gradient);
                for i in 0..7 {
                    sent[i] += f64::from(gradient[i]);
                    arrived[i] += f64::from(back[i]);
                }
            }
            for i in 0..7 {
                prop_assert!((sent[i] - arrived[i] - f64::from(codec.residual()[i])).abs() < 1e-4);
                prop_assert!(codec.residual()[i].abs() <= 0.06);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..30), block in 1_usize..6) {
            let _ = Int8Codec::new(9, block).unwrap().decode(&bytes, &mut [0.0; 9]);
        }
    }
}
