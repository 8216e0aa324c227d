//! The configuration of gradient compression: read from a recipe, then checked.

use nlpress_technique::{Setting, Settings, settings};
use serde::Deserialize;

use super::{Codec, Int8, Qsgd, Sign, Ternary, TopK};
use crate::QuantError;

const LARGEST_BLOCK: i64 = 1 << 20;

/// A configuration of gradient compression, shared by sender and receiver.
///
/// A recipe writes it as a table; its [`Settings`] are the keys.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawCoding")]
pub struct Coding {
    codec: Which,
    block: Option<usize>,
    error_feedback: bool,
    plain_steps: u64,
}

/// The codecs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Name {
    /// [`Int8`].
    #[default]
    Int8,
    /// [`Qsgd`].
    Qsgd,
    /// [`Ternary`].
    Ternary,
    /// [`Sign`].
    Sign,
    /// [`TopK`].
    TopK,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Which {
    Int8,
    Qsgd { bits: u32 },
    Ternary { clip: Option<f32> },
    Sign,
    TopK { share: f64 },
}

settings! {
    /// The table as written.
    #[derive(Clone, Debug, Default)]
    #[serde(default)]
    pub(crate) struct RawCoding {
        /// "int8" (default), "qsgd", "ternary", "sign" or "top_k"
        pub(crate) codec: Name,
        /// of qsgd: bits for each number, 2 to 8; default 4
        pub(crate) bits: Option<i64>,
        /// of ternary without error feedback: standard deviations beyond which numbers are clipped; default 2.5; or
        /// "off"
        pub(crate) clip: Option<toml::Value>,
        /// of top_k: share of a site's numbers that are sent, above 0 and at most 1; default 0.01
        pub(crate) share: Option<f64>,
        /// of all but top_k: numbers that share a scale, between 1 and 1048576, or "site"; default 256, of sign
        /// 512, of ternary "site"
        pub(crate) block: Option<toml::Value>,
        /// whether the error of coding is added to the next gradient; default true, of qsgd and ternary, which
        /// otherwise use stochastic rounding, false
        pub(crate) error_feedback: Option<bool>,
        /// number of first gradients that are sent as floats, their bytes counted (warm-up); default 0
        pub(crate) plain_steps: i64,
    }
}

impl Settings for Coding {
    const SETTINGS: &'static [Setting] = RawCoding::SETTINGS;
}

impl TryFrom<RawCoding> for Coding {
    type Error = QuantError;

    fn try_from(raw: RawCoding) -> Result<Self, QuantError> {
        let name = raw.codec;
        let bad = |key, value: String, bound| QuantError::setting(key, value, bound);
        let only = |key, value: Option<String>, ok: bool, bound| match value {
            Some(value) if !ok => Err(bad(key, value, bound)),
            _ => Ok(()),
        };
        let text = |value: &Option<toml::Value>| value.as_ref().map(ToString::to_string);
        only(
            "bits",
            raw.bits.map(|b| b.to_string()),
            name == Name::Qsgd,
            "left out unless codec is \"qsgd\"",
        )?;
        only(
            "share",
            raw.share.map(|s| s.to_string()),
            name == Name::TopK,
            "left out unless codec is \"top_k\"",
        )?;
        only(
            "block",
            text(&raw.block),
            name != Name::TopK,
            "left out with top_k, which chooses among a site's numbers",
        )?;
        let drawn = raw.error_feedback != Some(true);
        let clips = name == Name::Ternary && drawn;
        only("clip", text(&raw.clip), clips, "left out unless codec is \"ternary\", without error feedback")?;

        let codec = match name {
            Name::Int8 => Which::Int8,
            Name::Qsgd => {
                let bits = raw.bits.unwrap_or(4);
                let bits =
                    u32::try_from(bits).map_err(|_| bad("bits", bits.to_string(), "between 2 and 8"))?;
                Which::Qsgd { bits }
            }
            Name::Ternary => Which::Ternary {
                clip: match &raw.clip {
                    None => Some(2.5),
                    Some(toml::Value::String(word)) if word == "off" => None,
                    Some(toml::Value::Float(x)) => Some(*x as f32),
                    Some(toml::Value::Integer(n)) => Some(*n as f32),
                    Some(other) => return Err(bad("clip", other.to_string(), "positive, or \"off\"")),
                },
            },
            Name::Sign => Which::Sign,
            Name::TopK => Which::TopK { share: raw.share.unwrap_or(0.01) },
        };
        let block = match (&raw.block, name) {
            (None, Name::Int8 | Name::Qsgd) => Some(256),
            (None, Name::Sign) => Some(512),
            (None, Name::Ternary | Name::TopK) => None,
            (Some(toml::Value::Integer(n)), _) if (1..=LARGEST_BLOCK).contains(n) => Some(*n as usize),
            (Some(toml::Value::String(word)), _) if word == "site" => None,
            (Some(other), _) => {
                return Err(bad("block", other.to_string(), "between 1 and 1048576, or \"site\""));
            }
        };
        let plain_steps = u64::try_from(raw.plain_steps)
            .map_err(|_| bad("plain_steps", raw.plain_steps.to_string(), "at least 0"))?;
        let error_feedback = raw.error_feedback.unwrap_or(!matches!(name, Name::Qsgd | Name::Ternary));
        let coding = Self { codec, block, error_feedback, plain_steps };
        coding.codec()?;
        Ok(coding)
    }
}

impl Coding {
    /// A codec with its default settings.
    pub fn new(codec: Name) -> Self {
        let raw = RawCoding { codec, ..RawCoding::default() };
        Self::try_from(raw).expect("the defaults are within their own bounds")
    }

    /// The block size: numbers that share a scale; none for a whole site.
    pub fn block(&self) -> Option<usize> {
        self.block
    }

    /// Whether the sender adds the error of coding to its next gradient.
    pub fn error_feedback(&self) -> bool {
        self.error_feedback
    }

    /// Number of first gradients that are sent as floats.
    pub fn plain_steps(&self) -> u64 {
        self.plain_steps
    }

    /// The codec of a block.
    ///
    /// # Errors
    /// [`QuantError::Setting`].
    pub(super) fn codec(&self) -> Result<Box<dyn Codec>, QuantError> {
        Ok(match self.codec {
            Which::Int8 => Box::new(Int8),
            Which::Qsgd { bits } => Box::new(Qsgd::new(bits, !self.error_feedback)?),
            Which::Ternary { .. } if self.error_feedback => Box::new(Ternary::nearest()),
            Which::Ternary { clip } => Box::new(Ternary::drawn(clip)?),
            Which::Sign => Box::new(Sign),
            Which::TopK { share } => Box::new(TopK::new(share)?),
        })
    }
}

impl std::fmt::Display for Coding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.codec {
            Which::Int8 => write!(f, "8-bit integers")?,
            Which::Qsgd { bits } => write!(f, "integers of {bits} bits")?,
            Which::Ternary { .. } => write!(f, "ternary numbers")?,
            Which::Sign => write!(f, "signs")?,
            Which::TopK { share } => write!(f, "their largest {} %", 100.0 * share)?,
        }
        f.write_str(if self.error_feedback { " with error feedback" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Coding, String> {
        toml::from_str::<Coding>(text).map_err(|e| e.to_string())
    }

    #[test]
    fn every_name_has_sound_defaults() {
        assert_eq!(read(""), Ok(Coding::new(Name::Int8)));
        assert!([Name::Int8, Name::Sign, Name::TopK].iter().all(|name| Coding::new(*name).error_feedback()));
        assert!([Name::Qsgd, Name::Ternary].iter().all(|name| !Coding::new(*name).error_feedback()));
    }

    #[test]
    fn every_key_of_the_table_is_listed_and_checked() {
        let table: toml::Table =
            Coding::SETTINGS.iter().map(|s| (s.name.into(), toml::Value::Array(vec![]))).collect();
        assert_eq!(table.len(), 7);
        for key in table.keys() {
            let error = read(&format!("{key} = []")).unwrap_err();
            assert!(!error.contains("unknown field"), "{error}");
        }
        assert!(read("scale = 1").unwrap_err().contains("unknown field"));
        for (bad, why) in [
            ("codec = 'gzip'", "unknown variant"),
            ("bits = 4", "bits is 4, but it must be left out"),
            ("codec = 'qsgd'\nbits = 9", "bits is 9"),
            ("codec = 'qsgd'\nbits = -1", "bits is -1"),
            ("codec = 'qsgd'\nshare = 0.1", "share is 0.1"),
            ("codec = 'top_k'\nshare = 0.0", "share is 0"),
            ("codec = 'top_k'\nblock = 8", "block is 8"),
            ("block = 0", "block is 0"),
            ("block = 'row'", "block is \"row\""),
            ("clip = 2.0", "clip is 2"),
            ("codec = 'ternary'\nclip = 'on'", "clip is \"on\""),
            ("codec = 'ternary'\nclip = -1", "clip is -1"),
            ("codec = 'ternary'\nclip = 2.0\nerror_feedback = true", "clip is 2"),
            ("plain_steps = -1", "plain_steps is -1"),
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }
}
