//! Which row a reader should ship, and why, in one sentence.
//!
//! It recommends only what was shown: the smallest file whose accuracy is alike to the baseline's or better, and
//! that is not slower. Where the test documents are too few to show that of any, it says so and how many it would
//! take; it never picks the best-looking row.

use super::words::{bytes, counts, grouped, percent, points};
use super::{Family, Likeness, Report, Row, Versus};

/// The sentence; empty for a report without a baseline.
#[must_use]
pub fn advice(report: &Report) -> String {
    let Some(baseline) = report.baseline() else { return String::new() };
    if let Some(majority) = &report.corpus.majority
        && baseline.quality.accuracy.ci95[0] <= majority.accuracy
    {
        return format!(
            "Ship none of these yet: the accuracy of {}, {} %, cannot be told from that of always answering {:?}, \
             {:.1} %; a row that is alike to it is no better.",
            baseline.id,
            percent(&baseline.quality.accuracy),
            majority.label,
            100.0 * majority.accuracy
        );
    }
    let smaller: Vec<(&Row, &Versus)> = (report.rows.iter())
        .filter(|row| row.family != Family::Parallel)
        .filter_map(|row| Some((row, row.versus_baseline.as_ref()?)))
        .filter(|(_, versus)| versus.smaller && !versus.slower)
        .collect();
    let kept = |is| matches!(is, Likeness::Alike | Likeness::MoreAccurate);
    let best = smaller.iter().filter(|(_, v)| kept(v.accuracy_is)).min_by_key(|(row, _)| row.size.file_bytes);
    match best {
        Some((row, versus)) => ship(report, baseline, row, versus),
        None => none(report, baseline, &smaller),
    }
}

fn ship(report: &Report, baseline: &Row, row: &Row, versus: &Versus) -> String {
    let accuracy = match versus.accuracy_is {
        Likeness::MoreAccurate => "is better than".to_owned(),
        _ => format!("is alike ({}) to", within(report.alike_points)),
    };
    let control = match row.family {
        Family::Control => " It is a control: here no compression pays more than a simpler model does.",
        _ => "",
    };
    format!(
        "Ship {}: at {}, {:.1} % of {}, it is the smallest file whose accuracy {accuracy} that of {} ({} points), and \
         that is not slower.{control}",
        row.id,
        bytes(row.size.file_bytes),
        100.0 * versus.file_ratio,
        baseline.id,
        baseline.id,
        points(&versus.accuracy)
    )
}

/// Why nothing is recommended.
fn none(report: &Report, baseline: &Row, smaller: &[(&Row, &Versus)]) -> String {
    let unknown =
        smaller.iter().filter(|(_, versus)| versus.accuracy_is == Likeness::CannotBeTold).collect::<Vec<_>>();
    if unknown.is_empty() {
        return format!("Ship {}: every smaller file is less accurate, or slower.", baseline.id);
    }
    let documents = report.corpus.documents.get("test").copied().unwrap_or(0);
    let enough =
        unknown.iter().filter_map(|(_, versus)| enough(versus, documents, report.alike_points)).min();
    let enough = match enough {
        Some(n) => format!(" About {} would tell, if the differences stay as they are.", grouped(n)),
        None => String::new(),
    };
    format!(
        "Ship {} for now: on {} it cannot be told whether the accuracy of a smaller file that is not \
         slower ({}) is alike to that of {} ({}).{enough}",
        baseline.id,
        counts(documents as u64, "test document"),
        counts(unknown.len() as u64, "row"),
        baseline.id,
        within(report.alike_points)
    )
}

/// The tolerance in words.
pub(super) fn within(alike_points: f64) -> String {
    if alike_points == 1.0 { "within one point".into() } else { format!("within {alike_points} points") }
}

/// So many documents would bring the whole interval within the tolerance: its width shrinks with their root. Two
/// digits; none where the difference itself is outside.
fn enough(versus: &Versus, documents: usize, alike_points: f64) -> Option<u64> {
    let [low, high] = versus.accuracy.ci95;
    let room = alike_points / 100.0 - versus.accuracy.mean.abs();
    let more = ((high - low) / 2.0 / room).powi(2);
    let many = documents as f64 * more;
    if room <= 0.0 || !many.is_finite() || many > 1e9 {
        return None;
    }
    let unit = 10_f64.powf((many.max(10.0).log10() - 1.0).floor());
    Some(((many / unit).ceil() * unit) as u64)
}

#[cfg(test)]
mod tests {
    use super::super::{Estimate, Majority, fixture};
    use super::*;

    fn of(change: impl FnOnce(&mut Report)) -> String {
        let mut report = fixture::report();
        change(&mut report);
        advice(&report)
    }

    fn set(report: &mut Report, is: Likeness) {
        for versus in report.rows.iter_mut().filter_map(|row| row.versus_baseline.as_mut()) {
            versus.accuracy_is = is;
        }
    }

    #[test]
    fn the_smallest_that_was_shown_to_keep_the_accuracy_is_named() {
        let says = of(|report| {
            set(report, Likeness::CannotBeTold);
            let row = report.rows.iter_mut().find(|row| row.id == "prune.sparse").unwrap();
            row.versus_baseline.as_mut().unwrap().accuracy_is = Likeness::Alike;
        });
        let start = "Ship prune.sparse: at 72.9 KB, 12.1 % of teacher, it is the smallest file whose accuracy is alike \
                     (within one point) to that of teacher (−1.0 (";
        assert!(says.starts_with(start), "{says}");
        let says = of(|report| {
            set(report, Likeness::Alike);
            report.alike_points = 2.5;
        });
        assert!(says.starts_with("Ship control.linear: ") && says.contains("It is a control"), "{says}");
        assert!(says.contains("alike (within 2.5 points) to"), "{says}");
        let says = of(|report| {
            set(report, Likeness::Alike);
            for row in &mut report.rows {
                if let Some(versus) = row.versus_baseline.as_mut().filter(|_| row.id.starts_with("control")) {
                    versus.slower = true;
                }
            }
        });
        assert!(says.starts_with("Ship chain: "), "{says}");
    }

    #[test]
    fn where_nothing_was_shown_nothing_is_picked() {
        let says = of(|report| set(report, Likeness::LessAccurate));
        assert!(says.starts_with("Ship teacher: every smaller file is less accurate"), "{says}");
        let says = of(|report| {
            set(report, Likeness::CannotBeTold);
            for versus in report.rows.iter_mut().filter_map(|row| row.versus_baseline.as_mut()) {
                versus.accuracy = Estimate { mean: 0.0, ci95: [-0.02, 0.02] };
            }
        });
        assert!(says.contains("on 2\u{202f}000 test documents it cannot be told"), "{says}");
        assert!(says.contains("About 8\u{202f}000 would tell"), "{says}");
        let chance = Majority { label: "neg".into(), accuracy: 0.74, macro_f1: 0.4 };
        let says = of(|report| report.corpus.majority = Some(chance));
        assert!(says.starts_with("Ship none of these yet: the accuracy of teacher"), "{says}");
        assert_eq!(of(|report| report.rows.clear()), "");
    }
}
