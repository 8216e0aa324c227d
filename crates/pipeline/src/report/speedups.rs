//! How much faster than its parent every row is, from text to answer and the network alone, with intervals.

use super::escape::escape;
use super::plot::{Log, line, text};
use super::words::{speedup, times};
use super::{Family, Ratio, Report, Row, Versus};

const WIDTH: f64 = 980.0;
const LEFT: f64 = 250.0;
const RIGHT: f64 = 820.0;
const TOP: f64 = 34.0;
const STEP: f64 = 24.0;

/// An SVG element: one line a row, the speed-up on a logarithmic axis with 1× marked. Empty when no row was
/// compared with a parent.
#[must_use]
pub fn speedups(report: &Report) -> String {
    let compared = |r: &'_ Row| r.family != Family::Parallel;
    let rows: Vec<(&Row, &Versus)> = (report.rows.iter().filter(|r| compared(r)))
        .filter_map(|r| Some((r, r.versus_parent.as_ref()?)))
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let all = rows.iter().flat_map(|(_, v)| both(v)).flat_map(|r| [ends(r)[0], r.median, ends(r)[1]]);
    let x = Log::over(all.chain([1.0]), LEFT, RIGHT);
    let bottom = TOP + STEP * rows.len() as f64;
    let tall = bottom + 40.0;
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {tall}\" role=\"img\" aria-label=\"Speed-up of every row over its parent\">\n"
    );
    for tick in x.ticks() {
        let at = x.at(tick);
        let class = if tick == 1.0 { "one" } else { "grid" };
        out += &line(class, at, TOP - 4.0, at, bottom);
        out += &text("tick", "middle", at, bottom + 16.0, &format!("{tick}×"));
    }
    out += &text(
        "axis",
        "middle",
        (LEFT + RIGHT) / 2.0,
        bottom + 34.0,
        "times as fast as the parent (logarithmic)",
    );
    out += &format!("<circle class=\"mark {}\" cx=\"{LEFT}\" cy=\"12\" r=\"5\"/>\n", "plain");
    out += &text("tick", "start", LEFT + 10.0, 16.0, "from text to answer");
    out += &square("open plain", LEFT + 142.0, 12.0, "");
    out += &text("tick", "start", LEFT + 152.0, 16.0, "network alone, 1 row");
    out += &text("tick", "end", RIGHT + 80.0, 16.0, "text");
    out += &text("tick", "end", RIGHT + 145.0, 16.0, "network");
    for (i, (row, versus)) in rows.iter().enumerate() {
        let y = TOP + STEP * (i as f64 + 0.5);
        if i % 2 == 1 {
            let width = WIDTH - 10.0;
            out += &format!(
                "<rect class=\"stripe\" x=\"5\" y=\"{:.1}\" width=\"{width}\" height=\"{STEP}\"/>\n",
                y - STEP / 2.0
            );
        }
        let name = match &row.parent {
            Some(parent) => format!("{} over {parent}", row.id),
            None => row.id.clone(),
        };
        out += &text("label", "end", LEFT - 12.0, y + 4.0, &shorten(&name));
        let [network, text_to_answer] = [Some(&versus.batch1_speedup), versus.text1_speedup.as_ref()];
        for (ratio, dy, open) in [(text_to_answer, -4.5, false), (network, 4.5, true)] {
            let Some(ratio) = ratio else { continue };
            let [low, high] = ends(ratio);
            let class = format!("bar {}", row.family);
            out += &line(&class, x.at(low), y + dy, x.at(high), y + dy);
            let title = escape(&format!(
                "{}, {}: {}",
                row.id,
                if open { "network alone, 1 row" } else { "from text to answer" },
                speedup(ratio)
            ));
            out += &if open {
                square(&format!("open {}", row.family), x.at(ratio.median), y + dy, &title)
            } else {
                format!(
                    "<circle class=\"mark {}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4.5\"><title>{title}</title></circle>\n",
                    row.family,
                    x.at(ratio.median),
                    y + dy
                )
            };
        }
        let words = text_to_answer.map(|r| times(r.median)).unwrap_or_default();
        out += &text("tick", "end", RIGHT + 80.0, y + 4.0, &words);
        out += &text("tick", "end", RIGHT + 145.0, y + 4.0, &times(versus.batch1_speedup.median));
    }
    out + "</svg>\n"
}

/// The speed-ups that are shown.
fn both(versus: &Versus) -> impl Iterator<Item = &Ratio> {
    versus.text1_speedup.iter().chain([&versus.batch1_speedup])
}

/// The interval, or the point alone where there is none.
fn ends(ratio: &Ratio) -> [f64; 2] {
    ratio.interval.unwrap_or([ratio.median; 2])
}

fn square(class: &str, x: f64, y: f64, title: &str) -> String {
    let (x, y) = (x - 4.0, y - 4.0);
    format!(
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"8\" height=\"8\"><title>{title}</title></rect>\n"
    )
}

/// At most as much of a name as fits left of the axis.
fn shorten(name: &str) -> String {
    const MOST: usize = 38;
    if name.chars().count() <= MOST {
        return name.to_owned();
    }
    name.chars().take(MOST - 1).chain(['…']).collect()
}
