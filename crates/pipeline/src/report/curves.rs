//! Learning curves of everything that was trained, as one small picture a row.

use super::escape::escape;
use super::plot::{line, text};
use super::{Curve, Report, Row};

const WIDTH: f64 = 230.0;
const TALL: f64 = 128.0;
const LEFT: f64 = 8.0;
const RIGHT: f64 = 222.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 108.0;

/// HTML: an SVG element for every row that has curves, side by side. Empty when none has.
pub(super) fn curves(report: &Report) -> String {
    report.rows.iter().filter(|row| row.curves.iter().any(|c| c.epochs.len() > 1)).map(picture).collect()
}

/// The loss from its least to its greatest value, and validation accuracy likewise; each training goes on where the
/// one before ended, with a line between.
fn picture(row: &Row) -> String {
    let epochs = || row.curves.iter().flat_map(|curve| &curve.epochs);
    let many = epochs().count();
    let x = |n: usize| LEFT + (RIGHT - LEFT) * n as f64 / many.saturating_sub(1).max(1) as f64;
    let loss = Span::of(epochs().map(|e| e.loss));
    let accuracy = Span::of(epochs().filter_map(|e| e.valid_accuracy));
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {TALL}\" role=\"img\" aria-label=\"Learning curves of {}\">\n",
        escape(&row.id)
    );
    out += &text("label", "start", LEFT, 12.0, &shorten(&row.id));
    let mut first = 0;
    let (mut loss_ends, mut accuracy_ends) = (Vec::new(), Vec::new());
    for curve in &row.curves {
        if first > 0 {
            let at = (x(first - 1) + x(first)) / 2.0;
            out += &line("grid", at, TOP, at, BOTTOM);
        }
        out += &path("loss", curve, first, &x, &loss, |e| Some(e.loss));
        out += &path(&format!("valid {}", row.family), curve, first, &x, &accuracy, |e| e.valid_accuracy);
        loss_ends.extend(curve.epochs.last().map(|e| e.loss));
        accuracy_ends.extend(curve.epochs.iter().rev().find_map(|e| e.valid_accuracy));
        first += curve.epochs.len();
    }
    let loss = epochs().next().zip(loss_ends.last()).map(|(f, l)| format!("loss {:.3} → {l:.3}", f.loss));
    out += &text("tick", "start", LEFT, TALL - 4.0, &loss.unwrap_or_default());
    if let Some(last) = accuracy_ends.last() {
        out += &text(
            &format!("tick {}", row.family),
            "end",
            RIGHT,
            TALL - 4.0,
            &format!("valid {:.1} %", 100.0 * last),
        );
    }
    out + "</svg>\n"
}

fn path(
    class: &str,
    curve: &Curve,
    first: usize,
    x: &impl Fn(usize) -> f64,
    span: &Span,
    value: impl Fn(&super::Epoch) -> Option<f64>,
) -> String {
    let points: Vec<String> = (curve.epochs.iter().enumerate())
        .filter_map(|(n, epoch)| {
            let value = value(epoch).filter(|v| v.is_finite())?;
            Some(format!("{:.1},{:.1}", x(first + n), span.at(value)))
        })
        .collect();
    match points.len() {
        0 => String::new(),
        _ => format!("<polyline class=\"curve {class}\" points=\"{}\"/>\n", points.join(" ")),
    }
}

/// A vertical axis that shows all its finite values.
struct Span {
    low: f64,
    high: f64,
}

impl Span {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let start = Self { low: f64::INFINITY, high: f64::NEG_INFINITY };
        values.filter(|v| v.is_finite()).fold(start, |s, v| Self { low: s.low.min(v), high: s.high.max(v) })
    }

    fn at(&self, value: f64) -> f64 {
        let wide = self.high - self.low;
        let share = if wide > 0.0 { (value - self.low) / wide } else { 0.5 };
        BOTTOM - 4.0 - (BOTTOM - TOP - 8.0) * share
    }
}

fn shorten(name: &str) -> String {
    const MOST: usize = 34;
    if name.chars().count() <= MOST {
        name.into()
    } else {
        name.chars().take(MOST - 1).chain(['…']).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Epoch, fixture};
    use super::*;

    #[test]
    fn every_row_that_trained_has_a_picture() {
        let mut report = fixture::report();
        report.rows.iter_mut().for_each(|row| row.curves.clear());
        assert_eq!(curves(&report), "");
        let epoch = |epoch, loss, valid_accuracy| Epoch { epoch, loss, valid_accuracy };
        let curve = |epochs: &[Epoch]| Curve { epochs: epochs.to_vec() };
        report.rows[0].curves = vec![
            curve(&[epoch(1, 0.7, Some(0.5)), epoch(2, 0.5, Some(0.7))]),
            curve(&[epoch(1, 0.4, None), epoch(2, f64::NAN, None), epoch(3, 0.3, None)]),
        ];
        report.rows[1].curves = vec![curve(&[epoch(1, 0.7, None)])];
        let svg = curves(&report);
        assert_eq!((svg.matches("<svg").count(), svg.matches("<polyline").count()), (1, 3));
        assert!(svg.contains("loss 0.700 → 0.300") && svg.contains("valid 70.0 %"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
