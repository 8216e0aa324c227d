//! What is asked for: limits, the measure of quality, and how long to look.

use nlpress_eval::{Confusion, Scores};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Bounds that the model must keep; any of them may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of the file.
    pub max_bytes: Option<u64>,
    /// Microseconds from a text to its answer, the median on one thread.
    pub max_latency_us: Option<f64>,
    /// Points of quality that may be lost against the best model of any size.
    pub max_drop: Option<f64>,
}

/// A number of bytes, written as `60KB`, `1.5 MB`, `64KiB` or `4096`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

/// A time, written as `20us`, `0.5ms` or `1s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Micros(pub f64);

/// What counts as quality: a share from 0 to 1, measured on documents that trained nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Share of documents that are classified as labelled.
    #[default]
    Accuracy,
    /// Unweighted mean of the classes' F1.
    MacroF1,
    /// The F1 of one label.
    F1(String),
}

/// How long to look.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effort {
    /// So many candidates; the same seed then gives the same file, whatever the machine and its threads.
    Trials(usize),
    /// As many as fit into this time.
    Time(Duration),
}

impl Metric {
    /// The class whose F1 it is, where it is one.
    ///
    /// # Errors
    /// When there is no such label.
    pub(crate) fn class(&self, labels: &[String]) -> Result<Option<u32>, String> {
        let Self::F1(label) = self else { return Ok(None) };
        let place = labels.iter().position(|l| l == label);
        let missing =
            || format!("metric f1:{label}: there is no such label; there are: {}", labels.join(", "));
        place.map(|i| Some(i as u32)).ok_or_else(missing)
    }

    /// The quality of predictions; `class` is [`class`](Metric::class)'s.
    pub(crate) fn of(&self, scores: &Scores, labels: &[u32], class: Option<u32>) -> f64 {
        match (self, class) {
            (Self::MacroF1, _) => scores.macro_f1,
            (Self::F1(_), Some(class)) => {
                let confusion = Confusion::of(&scores.predictions, labels);
                confusion.ok().and_then(|c| c.class(class).f1).unwrap_or(0.0)
            }
            _ => scores.accuracy,
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accuracy => f.write_str("accuracy"),
            Self::MacroF1 => f.write_str("macro-F1"),
            Self::F1(label) => write!(f, "F1 of {label}"),
        }
    }
}

impl FromStr for Metric {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "accuracy" => Ok(Self::Accuracy),
            "macro-f1" => Ok(Self::MacroF1),
            _ => match text.strip_prefix("f1:").filter(|label| !label.is_empty()) {
                Some(label) => Ok(Self::F1(label.into())),
                None => Err(format!("{text:?} is none of accuracy, macro-f1 and f1:LABEL")),
            },
        }
    }
}

/// A number, and the unit behind it.
fn quantity(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    (number.is_finite() && number > 0.0).then(|| (number, text[end..].trim()))
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no size; write 60KB, 1.5MB, 64KiB or a number of bytes");
        let (number, unit) = quantity(text).ok_or_else(bad)?;
        let scale = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1.0,
            "k" | "kb" => 1e3,
            "m" | "mb" => 1e6,
            "g" | "gb" => 1e9,
            "kib" => 1024.0,
            "mib" => 1024.0 * 1024.0,
            _ => return Err(bad()),
        };
        let bytes = number * scale;
        // More than any file has.
        let is_size = (1.0..2_f64.powi(63)).contains(&bytes);
        if is_size { Ok(Self(bytes as u64)) } else { Err(bad()) }
    }
}

impl FromStr for Micros {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no time; write 20us, 0.5ms or 1s");
        let (number, unit) = quantity(text).ok_or_else(bad)?;
        let scale = match unit {
            "" => return Err(format!("{text:?} has no unit; write {number}us, {number}ms or {number}s")),
            "us" | "µs" | "μs" => 1.0,
            "ms" => 1e3,
            "s" => 1e6,
            _ => return Err(bad()),
        };
        let micros = number * scale;
        if micros.is_finite() { Ok(Self(micros)) } else { Err(bad()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_have_units() {
        let bytes = |text: &str| text.parse::<Bytes>().map(|b| b.0);
        assert_eq!(bytes("60KB"), Ok(60_000));
        assert_eq!(bytes("1.5 mb"), Ok(1_500_000));
        assert_eq!(bytes("64KiB"), Ok(65_536));
        assert_eq!(bytes("4096"), Ok(4096));
        let micros = |text: &str| text.parse::<Micros>().map(|m| m.0);
        assert_eq!(micros("20us"), Ok(20.0));
        assert_eq!(micros("0.5ms"), Ok(500.0));
        assert!(micros("2").unwrap_err().contains("2us, 2ms"));
        for bad in ["", "KB", "-3KB", "0", "3 XB", "1e3", "nan", "0.2b", "99999999999GB"] {
            assert!(bytes(bad).unwrap_err().contains(bad), "{bad}");
        }
        assert!(micros("3m").unwrap_err().contains("3m"));
        let endless = format!("{}s", "9".repeat(308));
        assert!(micros(&endless).unwrap_err().contains("is no time"));
    }

    #[test]
    fn a_metric_names_its_label() {
        let labels = ["bad".to_owned(), "good".to_owned()];
        let metric = |text: &str| text.parse::<Metric>();
        assert_eq!(metric("f1:good").unwrap().class(&labels), Ok(Some(1)));
        assert_eq!(metric("macro-f1").unwrap().class(&labels), Ok(None));
        assert!(metric("f1:ugly").unwrap().class(&labels).unwrap_err().contains("bad, good"));
        assert!(metric("f1:").is_err() && metric("recall").is_err());
        let scores = Scores::of(&[-1.0, 1.0, 1.0, 1.0], 1, &[0, 1, 1, 0]).unwrap();
        assert_eq!(metric("f1:good").unwrap().of(&scores, &[0, 1, 1, 0], Some(1)), 0.8);
        assert_eq!(metric("accuracy").unwrap().of(&scores, &[0, 1, 1, 0], None), 0.75);
    }
}
