//! Size, quality and latency of all rows in one picture.
//!
//! The SVG is written by hand rather than by a plotting crate: those put fixed colours into every element,
//! while this one names classes, so that the page's style sheet themes it for light and dark and the reader's
//! own font is used; and the labels, which are the hard part, would have to be placed by hand in any case.

use super::escape::escape;
use super::labels::{Anchor, HEIGHT, Rect, place};
use super::words::{bytes, micros, percent};
use super::{Family, Report, Row};

const WIDTH: f64 = 980.0;
const TALL: f64 = 600.0;
const PLOT: Rect = Rect { x: 64.0, y: 20.0, width: 896.0, height: 470.0 };

/// An SVG element: x is the file's size (logarithmic), y the accuracy with its 95 % interval, a marker's area
/// grows with the time from one text to its answer, its colour is the family. Empty when the report has no rows.
#[must_use]
pub fn size_quality_latency(report: &Report) -> String {
    let rows: Vec<&Row> = report.rows.iter().filter(|r| r.size.file_bytes > 0).collect();
    if rows.is_empty() {
        return String::new();
    }
    let sizes = rows.iter().map(|r| r.size.file_bytes as f64);
    let x = Log::over(sizes, PLOT.x, PLOT.x + PLOT.width);
    let all = rows.iter().flat_map(|r| r.quality.accuracy.ci95.into_iter().chain([r.quality.accuracy.mean]));
    let y = Linear::over(all.map(|v| 100.0 * v), PLOT.y + PLOT.height, PLOT.y);
    let slowest = rows.iter().map(|row| latency(row)).fold(0.0, f64::max);
    let radius = |us: f64| 3.0 + 8.0 * (us.max(0.0) / slowest.max(f64::MIN_POSITIVE)).sqrt();

    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {TALL}\" role=\"img\" aria-label=\"Accuracy over file size of all rows\">\n"
    );
    axes(&x, &y, "accuracy", &mut out);

    let mut bars = Vec::new();
    let mut anchors = Vec::new();
    for row in &rows {
        let [low, high] = row.quality.accuracy.ci95.map(|v| y.at(100.0 * v));
        let at = x.at(row.size.file_bytes as f64);
        bars.push(Rect { x: at - 1.0, y: high, width: 2.0, height: low - high });
        anchors.push(Anchor {
            x: at,
            y: y.at(100.0 * row.quality.accuracy.mean),
            radius: radius(latency(row)),
            width: 6.3 * row.id.chars().count() as f64 + 4.0,
        });
    }
    for (row, bar) in rows.iter().zip(&bars) {
        let class = format!("bar {}", row.family);
        out += &line(&class, bar.x + 1.0, bar.y, bar.x + 1.0, bar.y + bar.height);
    }
    // Large markers first, so that small ones stay visible on top of them.
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|&a, &b| anchors[b].radius.total_cmp(&anchors[a].radius));
    for i in order {
        let (row, a) = (rows[i], &anchors[i]);
        let title = format!(
            "{}: {} %, {}, {} µs",
            row.id,
            percent(&row.quality.accuracy),
            bytes(row.size.file_bytes),
            micros(latency(row))
        );
        out += &format!(
            "<circle class=\"mark {}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{:.1}\"><title>{}</title></circle>\n",
            row.family,
            a.x,
            a.y,
            a.radius,
            escape(&title)
        );
    }
    for ((row, anchor), rect) in rows.iter().zip(&anchors).zip(place(&anchors, &PLOT, &bars)) {
        out += &leader(anchor, &rect);
        let (at, base) = (rect.x + rect.width / 2.0, rect.y + HEIGHT - 3.0);
        out += &text("label", "middle", at, base, &row.id);
    }
    legend(&rows, slowest, &radius, &mut out);
    out + "</svg>\n"
}

/// Microseconds from one text to its answer; of the network alone in reports that have no more.
/// The grid of a plot of quality over size, with numbers and names at its axes.
fn axes(x: &Log, y: &Linear, quality: &str, out: &mut String) {
    for tick in x.ticks() {
        let at = x.at(tick);
        *out += &line("grid", at, PLOT.y, at, PLOT.y + PLOT.height);
        *out += &text("tick", "middle", at, PLOT.y + PLOT.height + 18.0, &bytes(tick as u64));
    }
    for tick in y.ticks() {
        let at = y.at(tick);
        *out += &line("grid", PLOT.x, at, PLOT.x + PLOT.width, at);
        *out += &text("tick", "end", PLOT.x - 8.0, at + 4.0, &format!("{} %", y.show(tick)));
    }
    let (middle, bottom) = (PLOT.x + PLOT.width / 2.0, PLOT.y + PLOT.height);
    *out += &text("axis", "middle", middle, bottom + 40.0, "file size (logarithmic) – left is better");
    *out += &format!(
        "<text class=\"axis\" text-anchor=\"middle\" transform=\"translate(14 {:.1}) rotate(-90)\">{} – up \
         is better</text>\n",
        PLOT.y + PLOT.height / 2.0,
        escape(quality)
    );
}

/// A point of a [`scatter`].
#[derive(Clone, Debug)]
pub struct Point {
    /// Bytes of the file.
    pub bytes: u64,
    /// Quality, a share.
    pub quality: f64,
    /// What a reader who points at it is told.
    pub title: String,
    /// Class of the style sheet, such as `control` or `baseline`.
    pub class: &'static str,
    /// Radius in pixels.
    pub radius: f64,
}

/// Quality over file size, one marker a point, the later above the earlier; empty without points.
#[must_use]
pub fn scatter(points: &[Point], quality: &str) -> String {
    if points.is_empty() {
        return String::new();
    }
    let x = Log::over(points.iter().map(|p| p.bytes as f64), PLOT.x, PLOT.x + PLOT.width);
    let y = Linear::over(points.iter().map(|p| 100.0 * p.quality), PLOT.y + PLOT.height, PLOT.y);
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {TALL}\" role=\"img\" aria-label=\"{} over file size\">\n",
        escape(quality)
    );
    axes(&x, &y, quality, &mut out);
    for Point { bytes, quality, title, class, radius } in points {
        out += &format!(
            "<circle class=\"mark {class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius:.1}\"><title>{}</title></circle>\n",
            x.at(*bytes as f64),
            y.at(100.0 * quality),
            escape(title)
        );
    }
    out + "</svg>\n"
}

fn latency(row: &Row) -> f64 {
    row.speed.text1_us.unwrap_or(row.speed.batch1_us).p50
}

/// A thin line from a marker to a label that could not stay beside it.
fn leader(a: &Anchor, label: &Rect) -> String {
    let x = a.x.clamp(label.x, label.x + label.width);
    let y = a.y.clamp(label.y, label.y + label.height);
    let (dx, dy) = (x - a.x, y - a.y);
    let far = dx.hypot(dy);
    if far < a.radius + 9.0 {
        return String::new();
    }
    let (sx, sy) = (a.x + dx / far * a.radius, a.y + dy / far * a.radius);
    line("leader", sx, sy, x, y)
}

fn legend(rows: &[&Row], slowest: f64, radius: &impl Fn(f64) -> f64, out: &mut String) {
    let mut x = PLOT.x;
    let y = TALL - 30.0;
    for family in Family::ALL.into_iter().filter(|f| rows.iter().any(|r| r.family == *f)) {
        *out += &format!("<circle class=\"mark {family}\" cx=\"{:.1}\" cy=\"{y}\" r=\"5\"/>\n", x + 5.0);
        *out += &text("tick", "start", x + 15.0, y + 4.0, family.name());
        x += 32.0 + 6.6 * family.name().len() as f64;
    }
    x = x.max(PLOT.x + PLOT.width - 250.0);
    *out += &text("tick", "start", x, y + 4.0, "1 text takes");
    x += 82.0;
    for us in [slowest / 16.0, slowest / 4.0, slowest] {
        let r = radius(us);
        *out += &format!("<circle class=\"size\" cx=\"{:.1}\" cy=\"{y}\" r=\"{r:.1}\"/>\n", x + r);
        let words = micros(us);
        *out += &text("tick", "start", x + 2.0 * r + 4.0, y + 4.0, &words);
        x += 2.0 * r + 12.0 + 6.6 * words.chars().count() as f64;
    }
    *out += &text("tick", "start", x - 4.0, y + 4.0, "µs");
}

pub(super) fn line(class: &str, x1: f64, y1: f64, x2: f64, y2: f64) -> String {
    format!("<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>\n")
}

pub(super) fn text(class: &str, anchor: &str, x: f64, y: f64, words: &str) -> String {
    let words = escape(words);
    format!("<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>\n")
}

/// A logarithmic axis.
pub(super) struct Log {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Log {
    /// An axis that shows all positive finite values, with a margin of a tenth at each end.
    pub(super) fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (low, high) = range(values.filter(|v| v.is_finite() && *v > 0.0).map(f64::ln));
        let margin = (0.1 * (high - low)).max(0.1);
        Self { low: low - margin, high: high + margin, from, to }
    }

    pub(super) fn at(&self, value: f64) -> f64 {
        let log = if value > 0.0 { value.ln() } else { self.low };
        self.from
            + (self.to - self.from) * (log.clamp(self.low, self.high) - self.low) / (self.high - self.low)
    }

    /// 1, 2 and 5 times powers of ten, or only the powers where that would be too many.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let steps: &[f64] = if self.high - self.low < 9.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let powers = (self.low / std::f64::consts::LN_10).floor() as i32
            ..=(self.high / std::f64::consts::LN_10).ceil() as i32;
        let all = powers.flat_map(|p| steps.iter().map(move |s| s * 10_f64.powi(p)));
        all.filter(|v| (self.low..=self.high).contains(&v.ln())).collect()
    }
}

/// A linear axis.
struct Linear {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Linear {
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (low, high) = range(values.filter(|v| v.is_finite()));
        let margin = (0.06 * (high - low)).max(0.1);
        Self { low: low - margin, high: high + margin, from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let value = if value.is_finite() { value.clamp(self.low, self.high) } else { self.low };
        self.from + (self.to - self.from) * (value - self.low) / (self.high - self.low)
    }

    /// The 1, 2 or 5 times a power of ten that gives at most nine ticks.
    fn step(&self) -> f64 {
        let raw = (self.high - self.low) / 8.0;
        let power = 10_f64.powf(raw.log10().floor());
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|s| s * power).find(|s| *s >= raw).unwrap_or(10.0 * power)
    }

    fn ticks(&self) -> Vec<f64> {
        let step = self.step();
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|i| i as f64 * step).collect()
    }

    fn show(&self, tick: f64) -> String {
        if self.step() < 1.0 { format!("{tick:.1}") } else { format!("{tick:.0}") }
    }
}

/// The least and the greatest; 0 and 0 of nothing.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let both = values.fold(None, |both: Option<(f64, f64)>, v| match both {
        None => Some((v, v)),
        Some((low, high)) => Some((low.min(v), high.max(v))),
    });
    both.unwrap_or((0.0, 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_ticks_inside_their_range() {
        let x = Log::over([12_000.0, 600_000.0].into_iter(), 0.0, 100.0);
        assert_eq!(x.ticks(), [10_000.0, 20_000.0, 50_000.0, 100_000.0, 200_000.0, 500_000.0]);
        assert!(x.at(12_000.0) > 0.0 && x.at(600_000.0) < 100.0 && x.at(0.0) == 0.0);
        let y = Linear::over([70.0, 76.0].into_iter(), 100.0, 0.0);
        assert_eq!(y.ticks(), [70.0, 71.0, 72.0, 73.0, 74.0, 75.0, 76.0]);
        assert!(y.at(70.0) > y.at(76.0) && y.at(f64::NAN).is_finite());
    }

    #[test]
    fn a_single_point_has_an_axis_too() {
        let x = Log::over([5.0].into_iter(), 0.0, 100.0);
        assert!((x.at(5.0) - 50.0).abs() < 1e-9);
        let y = Linear::over([100.0].into_iter(), 100.0, 0.0);
        assert!((y.at(100.0) - 50.0).abs() < 1e-9 && !y.ticks().is_empty());
    }
}
