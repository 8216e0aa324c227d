//! What a row's numbers mean beside its parent's, in words.
//!
//! The thresholds are here and nowhere else. They lean to the sceptical side: what is not clearly smaller is
//! "not smaller", and a speed-up whose rounds disagree is none.

use nlpress_runtime::Session;

use super::words::{accuracy_points, times};
use super::{Ratio, Row};

/// A file is smaller when it has at most this share of its parent's bytes.
pub const SMALLER: f64 = 0.98;

/// A variant is faster from this speed-up on, and slower from its inverse.
pub const FASTER: f64 = 1.05;

/// What the rounds of a speed-up agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The median is at least [`FASTER`] and the lower quartile above 1.
    Faster,
    /// Neither faster nor slower.
    Same,
    /// The median is at most 1 / [`FASTER`] and the upper quartile below 1.
    Slower,
}

impl Pace {
    /// Judges a speed-up.
    #[must_use]
    pub fn of(speedup: &Ratio) -> Self {
        if speedup.median >= FASTER && speedup.q1 > 1.0 {
            Self::Faster
        } else if speedup.median <= 1.0 / FASTER && speedup.q3 < 1.0 {
            Self::Slower
        } else {
            Self::Same
        }
    }
}

/// Says which sites are sparse on disk but not sparse enough to be multiplied without their zeros.
#[must_use]
pub fn below_crossover(session: &Session) -> Option<String> {
    let sites: Vec<&str> = session.held_with_zeros().into_iter().map(|id| id.as_str()).collect();
    let is = if sites.len() == 1 { "is" } else { "are" };
    (!sites.is_empty()).then(|| {
        format!(
            "{} {is} held with all zeros while serving: too few of them to be faster without (docs/sparse.md)",
            sites.join(", ")
        )
    })
}

/// Says in words where a row is not smaller or not faster than its parent, and whether its accuracy differs.
/// Nothing for a row that was not compared with a parent.
#[must_use]
pub fn verdict(row: &Row, parent: Option<&Row>) -> Vec<String> {
    let Some(versus) = &row.versus_parent else { return Vec::new() };
    let name = parent.map(|p| p.id.as_str()).or(row.parent.as_deref()).unwrap_or("its parent");
    let mut says = Vec::new();
    if versus.file_ratio > 1.0 / SMALLER {
        says.push(format!("not smaller: the file is {} the size of {name}", times(versus.file_ratio)));
    } else if versus.file_ratio > SMALLER {
        says.push(format!(
            "not smaller: the file has {:.1} % of the bytes of {name}",
            100.0 * versus.file_ratio
        ));
    }
    for (rows, speedup) in [("one row", &versus.batch1_speedup), ("32 rows", &versus.batch32_speedup)] {
        let Ratio { median, q1, q3 } = *speedup;
        match Pace::of(speedup) {
            Pace::Faster => {}
            Pace::Same => says.push(format!(
                "not faster at {rows}: {} the speed of {name} (quartiles {q1:.2} to {q3:.2})",
                times(median)
            )),
            Pace::Slower => says.push(format!(
                "slower at {rows}: takes {} as long as {name} (quartiles {:.2} to {:.2})",
                times(1.0 / median),
                1.0 / q3,
                1.0 / q1
            )),
        }
    }
    says.push(accuracy_points(&versus.accuracy, name));
    says
}

/// The verdict in few words, for a table.
#[must_use]
pub fn brief(row: &Row) -> String {
    let Some(versus) = &row.versus_parent else { return row.family.to_string() };
    let size = if versus.smaller { "smaller" } else { "not smaller" };
    let paces = [Pace::of(&versus.batch1_speedup), Pace::of(&versus.batch32_speedup)];
    let speed = match paces {
        [Pace::Faster, Pace::Faster] => "faster",
        [Pace::Slower, Pace::Slower] => "slower",
        [Pace::Faster, Pace::Same] => "faster at 1",
        [Pace::Same, Pace::Faster] => "faster at 32",
        [Pace::Slower, Pace::Same] => "slower at 1",
        [Pace::Same, Pace::Slower] => "slower at 32",
        [Pace::Faster, Pace::Slower] => "faster at 1, slower at 32",
        [Pace::Slower, Pace::Faster] => "slower at 1, faster at 32",
        [Pace::Same, Pace::Same] => "not faster",
    };
    let quality = match versus.accuracy.ci95 {
        [_, high] if high < 0.0 => "less accurate",
        [low, _] if low > 0.0 => "more accurate",
        _ => "accuracy alike",
    };
    format!("{size}, {speed}, {quality}")
}
