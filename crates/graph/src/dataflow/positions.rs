//! How attention knows where tokens stand.

use serde::{Deserialize, Serialize};

use crate::bad::{BadSpec, WIDEST};
use crate::site::SiteId;

/// What attention makes of the places of tokens, beside what positions have put into the tokens themselves; nothing by
/// default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PositionScheme {
    /// Queries and keys are rotated by their places (RoPE: Su et al. 2021, arXiv:2104.09864): number `i` of the first half
    /// of a head and number `i` of the second are turned by `place · base^(-2i / head_width)`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rotary: Option<Rotary>,
    /// A token attends to those at most so many places away; to all where there is none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub window: Option<usize>,
    /// What is added to the scores.
    #[serde(default, skip_serializing_if = "is_default")]
    pub relative: Option<RelativeBias>,
}

/// Rotary positions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotary {
    /// The base of the angles, called theta in configurations.
    pub base: f32,
}

/// A number for each head and distance, added to the score of a query and a key (Raffel et al. 2020, arXiv:1910.10683):
/// half of the buckets are for keys before the query, half for those behind it; of each half the nearer distances have a
/// bucket each, and the farther ones share buckets that widen up to `distance`, from which on all are in the last.
///
/// The numbers are the vector `PARAM.weight`, `[heads, buckets]`. Several attentions may share one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelativeBias {
    /// What its vector is called after.
    pub param: SiteId,
    /// Buckets, an even number.
    pub buckets: usize,
    /// Distance of the last bucket.
    pub distance: usize,
}

/// Most buckets: configurations have 32.
const MOST_BUCKETS: usize = 1 << 10;

impl PositionScheme {
    /// Whether places make no difference.
    pub fn is_none(&self) -> bool {
        is_default(self)
    }

    /// Checks the scheme of the attention at node `n`.
    pub(super) fn check(&self, n: usize, head_width: usize) -> Result<(), BadSpec> {
        let bad = |what: &str, value: String, bound: &str| {
            Err(BadSpec::new(format!("nodes.{n}.positions.{what}"), value, bound))
        };
        match (&self.rotary, self.window, &self.relative) {
            (Some(Rotary { base }), ..) if !(base.is_finite() && *base > 1.0) => {
                bad("rotary.base", base.to_string(), "above 1 and finite")
            }
            (Some(_), ..) if !head_width.is_multiple_of(2) => {
                bad("rotary", format!("of heads of {head_width} numbers"), "of heads of an even number")
            }
            (_, Some(window), _) if !(1..=WIDEST).contains(&window) => {
                bad("window", window.to_string(), "between 1 and 1048576")
            }
            (.., Some(relative))
                if !(4..=MOST_BUCKETS).contains(&relative.buckets) || !relative.buckets.is_multiple_of(2) =>
            {
                bad("relative.buckets", relative.buckets.to_string(), "even and between 4 and 1024")
            }
            (.., Some(relative)) if !(relative.buckets / 4 + 1..=WIDEST).contains(&relative.distance) => bad(
                "relative.distance",
                relative.distance.to_string(),
                "above a quarter of the buckets, at most 1048576",
            ),
            _ => Ok(()),
        }
    }
}

impl Rotary {
    /// The angle of each number of the first half of a head at each place: `[places, head_width / 2]`, as the cosine and
    /// the sine.
    pub fn turns(self, places: usize, head_width: usize) -> Vec<(f32, f32)> {
        let half = head_width / 2;
        let speed = |i: usize| {
            let power = 2.0 * i as f64 / head_width as f64;
            (1.0 / f64::from(self.base).powf(power)) as f32
        };
        let speeds: Vec<f32> = (0..half).map(speed).collect();
        let turn = |place: usize, speed: &f32| {
            // Rounded as others round it, whose angles are floats.
            let angle = f64::from(place as f32 * speed);
            (angle.cos() as f32, angle.sin() as f32)
        };
        (0..places).flat_map(|place| speeds.iter().map(move |speed| turn(place, speed))).collect()
    }
}

impl RelativeBias {
    /// The name of its vector.
    pub fn vector(&self) -> SiteId {
        SiteId::new(format!("{}.weight", self.param))
    }

    /// The bucket of a key that stands `offset` places behind the query, or before it where that is negative.
    pub fn bucket(&self, offset: isize) -> usize {
        let (half, near) = (self.buckets / 2, self.buckets / 4);
        let away = offset.unsigned_abs();
        let of_half = if away < near {
            away
        } else {
            // In floats of 32 bits, as in the models that were trained so.
            let share = (away as f32 / near as f32).ln() / (self.distance as f64 / near as f64).ln() as f32;
            (near + (share * (half - near) as f32) as usize).min(half - 1)
        };
        if offset > 0 { half + of_half } else { of_half }
    }

    /// The buckets of all offsets of an example of so many tokens, from the farthest before a query to the farthest behind
    /// it: `2 · tokens - 1` of them.
    pub fn bucket_of_offsets(&self, tokens: usize) -> Vec<usize> {
        let tokens = tokens as isize;
        (1 - tokens..tokens).map(|offset| self.bucket(offset)).collect()
    }
}

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_the_paper() {
        let bias = RelativeBias { param: SiteId::new("b"), buckets: 32, distance: 128 };
        let of = |offsets: &[isize]| offsets.iter().map(|o| bias.bucket(*o)).collect::<Vec<_>>();
        assert_eq!(of(&[0, -1, -7, -8, -11, -12, -15, -16]), [0, 1, 7, 8, 8, 9, 9, 10]);
        assert_eq!(of(&[1, 7, 8, 12, 127, 128, 9999]), [17, 23, 24, 25, 31, 31, 31]);
        assert_eq!(bias.bucket_of_offsets(2), [1, 0, 17]);
        assert!(bias.bucket_of_offsets(0).is_empty());
    }

    #[test]
    fn angles_grow_with_the_place() {
        let turns = Rotary { base: 10_000.0 }.turns(3, 4);
        assert_eq!(turns.len(), 6);
        assert_eq!(turns[..2], [(1.0, 0.0), (1.0, 0.0)]);
        let angles: Vec<f32> = turns[2..].iter().map(|(cos, sin)| sin.atan2(*cos)).collect();
        for (found, expected) in angles.iter().zip([1.0, 0.01, 2.0, 0.02]) {
            assert!((found - expected).abs() < 1e-6, "{angles:?}");
        }
    }
}
