//! What a row's numbers mean beside its parent's, in words.
//!
//! The thresholds are here and nowhere else. Every word is a claim, so it is said only where the measurement shows
//! it: "faster" and "slower" where the interval of a speed-up, which is as wide as the same artifact differs from
//! itself when opened again ([`nlpress_eval::speedup`]), leaves 1 out; "alike" where the whole interval of the
//! difference of accuracy lies within a tolerance. Elsewhere it says "not faster" or "cannot be told".

use nlpress_runtime::Session;

use super::words::{accuracy_points, bytes, interval, times};
use super::{Estimate, Family, Likeness, Ratio, Row, Training, Versus};

/// A file is smaller when it has at most this share of its parent's bytes.
pub const SMALLER: f64 = 0.98;

/// A variant is faster from this speed-up on, and slower from its inverse.
pub const FASTER: f64 = 1.05;

/// What the interval of a speed-up says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// It is at least [`FASTER`], and its interval lies above 1.
    Faster,
    /// Neither faster nor slower, or not known.
    Same,
    /// It is at most 1 / [`FASTER`], and its interval lies below 1.
    Slower,
}

impl Pace {
    /// Judges a speed-up. Without an interval nothing is claimed.
    #[must_use]
    pub fn of(speedup: &Ratio) -> Self {
        match speedup.interval {
            Some([low, _]) if speedup.median >= FASTER && low > 1.0 => Self::Faster,
            Some([_, high]) if speedup.median <= 1.0 / FASTER && high < 1.0 => Self::Slower,
            _ => Self::Same,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Same => "not faster",
            Self::Slower => "slower",
        }
    }
}

/// From text, at one row and at 32 rows, as far as they were measured.
pub(super) fn paces(versus: &Versus) -> Vec<Pace> {
    let text = versus.text1_speedup.iter();
    text.chain([&versus.batch1_speedup, &versus.batch32_speedup]).map(Pace::of).collect()
}

/// Judges a difference of accuracy.
#[must_use]
pub fn likeness(difference: &Estimate, alike_points: f64) -> Likeness {
    let [low, high] = difference.ci95;
    let within = alike_points / 100.0;
    match () {
        () if high < 0.0 => Likeness::LessAccurate,
        () if low > 0.0 => Likeness::MoreAccurate,
        () if low >= -within && high <= within => Likeness::Alike,
        () => Likeness::CannotBeTold,
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

/// Says in words where a row is not smaller or not faster than its parent, whether its accuracy differs, and which
/// of its steps were rolled back. Nothing for a row that was not compared with a parent.
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
    if row.family == Family::Parallel {
        says.push(training(row.training.as_ref()));
    } else {
        says.extend(speeds(versus, name));
    }
    says.push(accuracy_points(&versus.accuracy, versus.accuracy_is, name));
    says
}

/// Where a row is not faster.
fn speeds(versus: &Versus, name: &str) -> Vec<String> {
    let mut says = Vec::new();
    let alone = [
        ("the network alone, on one row", &versus.batch1_speedup),
        ("the network alone, on 32 rows", &versus.batch32_speedup),
    ];
    for (what, speedup) in versus.text1_speedup.iter().map(|s| ("from text to answer", s)).chain(alone) {
        let Ratio { median, interval: found, .. } = *speedup;
        match Pace::of(speedup) {
            Pace::Faster => {}
            Pace::Same => {
                says.push(format!(
                    "not faster {what}: {} the speed of {name}{}",
                    times(median),
                    interval(found)
                ));
            }
            Pace::Slower => says.push(format!(
                "slower {what}: takes {} as long as {name}{}",
                times(1.0 / median),
                interval(found.map(|[low, high]| [1.0 / high, 1.0 / low]))
            )),
        }
    }
    says
}

/// What a training in parallel took, as a sentence.
fn training(training: Option<&Training>) -> String {
    let Some(Training { seconds, serial_seconds, speedup: Some(speedup), exchanged_bytes }) = training else {
        return "its training was not compared with the serial one (compare = false), and its file is served as its \
                parent's is"
            .into();
    };
    let word = match speedup.interval {
        None => "one run, so no claim",
        Some(_) => Pace::of(speedup).word(),
    };
    let took = match (seconds, serial_seconds) {
        (Some(own), Some(serial)) => format!(": {own:.2} s against {serial:.2} s"),
        _ => String::new(),
    };
    let wire = exchanged_bytes.map(|n| format!("; {} on the wire", bytes(n))).unwrap_or_default();
    format!(
        "training is {} as fast as the serial one{} ({word}){took}{wire}; a file of the same shape is served as fast as \
         its parent",
        times(speedup.median),
        interval(speedup.interval)
    )
}

/// The verdict in few words, for a table.
#[must_use]
pub fn brief(row: &Row) -> String {
    let Some(versus) = &row.versus_parent else { return row.family.to_string() };
    let size = if versus.smaller { "smaller" } else { "not smaller" };
    let speed = match (row.family, &row.training) {
        (Family::Parallel, Some(Training { speedup: Some(speedup), exchanged_bytes, .. })) => {
            let wire = exchanged_bytes.map(|n| format!(", {} on the wire", bytes(n))).unwrap_or_default();
            let word = if speedup.interval.is_some() { Pace::of(speedup).word() } else { "one run" };
            format!("training {} of serial ({word}){wire}", times(speedup.median))
        }
        (Family::Parallel, _) => "training not compared".into(),
        _ => speed(versus),
    };
    let quality = match versus.accuracy_is {
        Likeness::LessAccurate => "less accurate",
        Likeness::MoreAccurate => "more accurate",
        Likeness::Alike => "accuracy alike",
        Likeness::CannotBeTold => "accuracy cannot be told",
    };
    format!("{}{size}, {speed}, {quality}", rolled_back(row))
}

/// The steps that were rolled back, before everything else that is said of a row.
fn rolled_back(row: &Row) -> String {
    let step = |(step, seeds): (&String, &usize)| match row.seeds {
        all if *seeds >= all => step.clone(),
        all => format!("{step} for {seeds} of {all} seeds"),
    };
    let steps: Vec<String> = row.rolled_back.iter().map(step).collect();
    if steps.is_empty() { String::new() } else { format!("rolled back ({}): ", steps.join(", ")) }
}

/// The speed in few words: from text first; the network alone where that says something else.
#[must_use]
pub fn speed(versus: &Versus) -> String {
    let network = match [Pace::of(&versus.batch1_speedup), Pace::of(&versus.batch32_speedup)] {
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
    match versus.text1_speedup.as_ref().map(|s| Pace::of(s).word()) {
        None => format!("network {network}"),
        Some(text) if text == network => text.into(),
        Some(text) => format!("{text} (network alone {network})"),
    }
}
