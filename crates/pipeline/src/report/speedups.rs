//! How much faster than its parent every row is, at one row and at 32, with quartiles.

use super::html::escape;
use super::plot::{Log, line, text};
use super::words::{speedup, times};
use super::{Ratio, Report, Row, Versus};

const WIDTH: f64 = 980.0;
const LEFT: f64 = 250.0;
const RIGHT: f64 = 820.0;
const TOP: f64 = 34.0;
const STEP: f64 = 24.0;

/// An SVG element: one line a row, the speed-up on a logarithmic axis with 1× marked. Empty when no row was
/// compared with a parent.
#[must_use]
pub fn speedups(report: &Report) -> String {
    let rows: Vec<(&Row, &Versus)> =
        report.rows.iter().filter_map(|r| Some((r, r.versus_parent.as_ref()?))).collect();
    if rows.is_empty() {
        return String::new();
    }
    let ends = |r: &Ratio| [r.q1, r.median, r.q3];
    let all =
        rows.iter().flat_map(|(_, v)| ends(&v.batch1_speedup).into_iter().chain(ends(&v.batch32_speedup)));
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
    out += &text("tick", "start", LEFT + 10.0, 16.0, "1 row");
    out += &square("open plain", LEFT + 72.0, 12.0, "");
    out += &text("tick", "start", LEFT + 82.0, 16.0, "32 rows");
    out += &text("tick", "end", RIGHT + 80.0, 16.0, "1 row");
    out += &text("tick", "end", RIGHT + 145.0, 16.0, "32 rows");
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
        for (ratio, dy, open) in [(&versus.batch1_speedup, -4.5, false), (&versus.batch32_speedup, 4.5, true)]
        {
            let class = format!("bar {}", row.family);
            out += &line(&class, x.at(ratio.q1), y + dy, x.at(ratio.q3), y + dy);
            let title = escape(&format!(
                "{}, {}: {}",
                row.id,
                if open { "32 rows" } else { "1 row" },
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
        out += &text("tick", "end", RIGHT + 80.0, y + 4.0, &times(versus.batch1_speedup.median));
        out += &text("tick", "end", RIGHT + 145.0, y + 4.0, &times(versus.batch32_speedup.median));
    }
    out + "</svg>\n"
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
