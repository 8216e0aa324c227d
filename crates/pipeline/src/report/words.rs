//! Numbers as people read them, the same in Markdown and in HTML.

use nlpress_core::shown::counted;

use super::{Estimate, Likeness, Ratio};

/// A number with its noun: `1 document`, `12 345 documents`, as [`grouped`] has it.
pub(crate) fn counts(number: u64, noun: &str) -> String {
    match number {
        0..1000 => counted(number, noun),
        _ => format!("{} {noun}s", grouped(number)),
    }
}

/// Per cent with its interval: `73.7 (72.0–75.0)`.
pub(crate) fn percent(e: &Estimate) -> String {
    format!("{:.1} ({:.1}–{:.1})", 100.0 * e.mean, 100.0 * e.ci95[0], 100.0 * e.ci95[1])
}

/// A difference in percentage points with its interval: `−1.2 (−2.0 to −0.4)`.
pub(crate) fn points(e: &Estimate) -> String {
    let [low, high] = e.ci95;
    format!("{} ({} to {})", signed(100.0 * e.mean), signed(100.0 * low), signed(100.0 * high))
}

/// The difference to the parent `name` as a sentence.
pub(crate) fn accuracy_points(e: &Estimate, is: Likeness, name: &str) -> String {
    let [low, high] = e.ci95.map(|x| 100.0 * x);
    let mean = 100.0 * e.mean;
    match is {
        Likeness::LessAccurate => {
            format!("loses {:.1} points ({:.1} to {:.1}) of accuracy to {name}", -mean, -high, -low)
        }
        Likeness::MoreAccurate => {
            format!("gains {mean:.1} points ({low:.1} to {high:.1}) of accuracy over {name}")
        }
        Likeness::Alike => format!("its accuracy is alike to that of {name}: {} points", points(e)),
        Likeness::CannotBeTold => {
            format!(
                "its accuracy cannot be told apart from that of {name}, nor called alike: {} points",
                points(e)
            )
        }
    }
}

/// `1.20×`, or `12.3×` where more digits would be noise.
pub(crate) fn times(ratio: f64) -> String {
    if ratio >= 10.0 { format!("{ratio:.1}×") } else { format!("{ratio:.2}×") }
}

/// A speed-up with its interval: `1.20× (1.18–1.22)`.
pub(crate) fn speedup(r: &Ratio) -> String {
    match r.interval {
        Some([low, high]) => format!("{} ({low:.2}–{high:.2})", times(r.median)),
        None => times(r.median),
    }
}

/// An interval after a sentence: ` (1.18 to 1.22)`.
pub(crate) fn interval(ends: Option<[f64; 2]>) -> String {
    ends.map(|[low, high]| format!(" ({low:.2} to {high:.2})")).unwrap_or_default()
}

/// Microseconds with three digits that mean something.
pub(crate) fn micros(us: f64) -> String {
    match us {
        us if us >= 100.0 => grouped(us.round() as u64),
        us if us >= 10.0 => format!("{us:.1}"),
        us => format!("{us:.2}"),
    }
}

/// Bytes in kilobytes of 1000.
pub(crate) fn kilobytes(bytes: u64) -> String {
    if bytes >= 100_000 { grouped((bytes + 500) / 1000) } else { format!("{:.1}", bytes as f64 / 1000.0) }
}

/// Bytes with the unit that suits them.
pub(crate) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{} KB", kilobytes(bytes)),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// An integer with thin spaces between its thousands.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// One decimal with a true minus, a plus for what is positive, and no sign for what rounds to zero.
pub(crate) fn signed(x: f64) -> String {
    let text = format!("{:.1}", x.abs());
    match x {
        _ if text == "0.0" => text,
        x if x < 0.0 => format!("−{text}"),
        _ => format!("+{text}"),
    }
}

/// The first twelve digits of a hash, enough to tell two apart.
pub(crate) fn short_hash(sha256: &str) -> String {
    sha256.chars().take(12).collect()
}
