//! The comparison: times by round, ratios within rounds, and how both are shown.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Rows encoded from text, mostly zero.
pub(super) const TEXT: &str = "text";
/// Rows without zeros.
pub(super) const DENSE: &str = "dense";
/// The library that the others are compared with.
const OURS: &str = "nlpress";

/// The machine, as `nlpress run` reports it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Machine {
    cpu: String,
    architecture: String,
    features: Vec<String>,
    os: String,
}

/// Something that is timed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Side {
    /// The toolkit: ours, or a peer.
    pub(super) toolkit: String,
    /// Its packages and their versions.
    pub(super) version: Option<String>,
    /// `f32`, `int8`, `int8-floats` or `int8-dynamic`.
    pub(super) form: String,
    /// The rows it reads: [`TEXT`] or [`DENSE`].
    pub(super) rows: &'static str,
    /// Mean number of non-zeros in these rows, where it is not all.
    pub(super) nonzeros: Option<f64>,
    /// Microseconds of a call on a network of one weight, in this round.
    pub(super) call_us: Option<f64>,
}

/// Everything that was measured.
#[derive(Debug)]
pub(super) struct Comparison {
    machine: Machine,
    entries: Vec<Entry>,
    rounds: usize,
    /// Libraries that are not installed, and the packages to install.
    pub(super) missing: Vec<(String, String)>,
    /// Libraries that raised an error, and which.
    pub(super) failed: Vec<(String, String)>,
}

/// A side's times: for each batch, one a round.
#[derive(Debug)]
struct Entry {
    side: Side,
    us: [Vec<f64>; 2],
    calls_us: Vec<f64>,
}

/// The middle and the quarters of some numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Quartiles {
    q1: f64,
    pub(super) median: f64,
    q3: f64,
}

/// Which of our forms a form is compared with; `None` for an unknown form.
pub(super) fn counterpart(form: &str) -> Option<&'static str> {
    match form {
        "f32" => Some("f32"),
        "int8" | "int8-floats" | "int8-dynamic" => Some("int8"),
        _ => None,
    }
}

impl Comparison {
    /// Nothing measured yet.
    pub(super) const fn new(machine: Machine) -> Self {
        Self { machine, entries: Vec::new(), rounds: 0, missing: Vec::new(), failed: Vec::new() }
    }

    /// Takes in a round: microseconds of each side for one row and for 32.
    ///
    /// # Errors
    /// When the sides are not those of the rounds before.
    pub(super) fn add(&mut self, sides: Vec<(Side, [f64; 2])>) -> Result<()> {
        if self.rounds == 0 {
            let entry = |side: &Side| Entry { side: side.clone(), us: [vec![], vec![]], calls_us: vec![] };
            self.entries = sides.iter().map(|(side, _)| entry(side)).collect();
        }
        let same = |a: &Side, b: &Side| (&a.toolkit, &a.form, a.rows) == (&b.toolkit, &b.form, b.rows);
        let as_before = self.entries.len() == sides.len()
            && self.entries.iter().zip(&sides).all(|(entry, (side, _))| same(&entry.side, side));
        if !as_before {
            bail!("round {} timed other things than round 1", self.rounds + 1);
        }
        for (entry, (side, us)) in self.entries.iter_mut().zip(sides) {
            for (times, us) in entry.us.iter_mut().zip(us) {
                times.push(us);
            }
            entry.calls_us.extend(side.call_us);
        }
        self.rounds += 1;
        Ok(())
    }

    /// Times of an entry over ours of the same form on such rows, for one row and for 32; more than 1 is slower
    /// than ours. `None` for ours.
    fn ratios(&self, entry: &Entry, rows: &str) -> Option<[Quartiles; 2]> {
        if entry.side.toolkit == OURS {
            return None;
        }
        let form = counterpart(&entry.side.form)?;
        let ours = self
            .entries
            .iter()
            .find(|e| e.side.toolkit == OURS && e.side.form == form && e.side.rows == rows)?;
        let ratio = |batch: usize| {
            let pairs = entry.us[batch].iter().zip(&ours.us[batch]);
            Quartiles::of(pairs.map(|(theirs, ours)| theirs / ours).collect())
        };
        Some([ratio(0)?, ratio(1)?])
    }

    /// Everything, for programs.
    pub(super) fn json(&self) -> serde_json::Value {
        let both = |[one, many]: [Quartiles; 2]| serde_json::json!({ "batch1": one, "batch32": many });
        let entries = self.entries.iter().map(|entry| {
            serde_json::json!({
                "library": entry.side.toolkit,
                "version": entry.side.version,
                "form": entry.side.form,
                "rows": entry.side.rows,
                "nonzeros_per_row": entry.side.nonzeros,
                "batch1_us": Quartiles::of(entry.us[0].clone()),
                "batch32_us": Quartiles::of(entry.us[1].clone()),
                "call_us": Quartiles::of(entry.calls_us.clone()),
                "times_ours_on_text": self.ratios(entry, TEXT).map(both),
                "times_ours_on_dense": self.ratios(entry, DENSE).map(both),
            })
        });
        let pairs = |of: &[(String, String)], key: &str| -> Vec<serde_json::Value> {
            of.iter().map(|(library, what)| serde_json::json!({ "library": library, key: what })).collect()
        };
        serde_json::json!({
            "machine": self.machine,
            "threads": 1,
            "network": [1000, 128, 64, 1],
            "rounds": self.rounds,
            "entries": entries.collect::<Vec<_>>(),
            "not_installed": pairs(&self.missing, "packages"),
            "failed": pairs(&self.failed, "error"),
        })
    }

    /// Everything, for people.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        let Machine { cpu, architecture, features, os } = &self.machine;
        let mut line = |text: String| {
            out.push_str(&text);
            out.push('\n');
        };
        line(format!("{cpu}, {architecture} ({}), {os}", features.join(" ")));
        line(format!(
            "1000 → 128 → 64 → 1, ReLU; one thread; medians of {} rounds taken in turn",
            self.rounds
        ));
        line(String::new());
        let mut cells = vec![
            ["", "", "", "one row", "32 rows", "a call", "× ours on text", "", "× ours on dense", ""]
                .map(str::to_owned)
                .to_vec(),
            ["library", "form", "rows", "µs", "µs", "µs", "one row", "32 rows", "one row", "32 rows"]
                .map(str::to_owned)
                .to_vec(),
        ];
        cells.extend(self.entries.iter().map(|entry| self.cells(entry)));
        for row in aligned(&cells) {
            line(row);
        }
        line(String::new());
        for entry in self.entries.iter().filter(|e| e.side.form == "f32") {
            if let Some(nonzeros) = entry.side.nonzeros {
                line(format!("{} rows of {OURS}: {nonzeros:.0} non-zeros of 1000", entry.side.rows));
            } else if let Some(version) = &entry.side.version {
                line(format!("{}: {version}", entry.side.toolkit));
            }
        }
        for (library, packages) in &self.missing {
            line(format!("{library}: not installed: pip install {packages}"));
        }
        for (library, why) in &self.failed {
            line(format!("{library}: failed: {why}"));
        }
        if self.entries.iter().all(|entry| entry.side.toolkit == OURS) {
            line(format!("nothing to compare with: these are the numbers of {OURS} alone"));
        }
        out
    }

    fn cells(&self, entry: &Entry) -> Vec<String> {
        let Side { toolkit, form, rows, .. } = &entry.side;
        let median = |of: &[f64]| {
            Quartiles::of(of.to_vec())
                .map_or_else(|| "–".into(), |quartiles| format!("{:.2}", quartiles.median))
        };
        let mut cells = vec![toolkit.clone(), form.clone(), (*rows).to_owned()];
        cells.extend([median(&entry.us[0]), median(&entry.us[1]), median(&entry.calls_us)]);
        for rows in [TEXT, DENSE] {
            match self.ratios(entry, rows) {
                Some(both) => cells.extend(both.map(|quartiles| quartiles.text())),
                None => cells.extend(["–".to_owned(), "–".to_owned()]),
            }
        }
        cells
    }
}

impl Quartiles {
    /// Quartiles, between two numbers where they fall there; `None` of nothing.
    pub(super) fn of(mut numbers: Vec<f64>) -> Option<Self> {
        numbers.sort_by(f64::total_cmp);
        let last = numbers.len().checked_sub(1)?;
        let at = |share: f64| {
            let place = share * last as f64;
            let (below, above) = (numbers[place.floor() as usize], numbers[place.ceil() as usize]);
            below + (above - below) * place.fract()
        };
        Some(Self { q1: at(0.25), median: at(0.5), q3: at(0.75) })
    }

    pub(super) fn text(self) -> String {
        format!("{:.2} ({:.2}–{:.2})", self.median, self.q1, self.q3)
    }
}

/// Cells in columns: the first three to the left, numbers to the right.
pub(crate) fn aligned(cells: &[Vec<String>]) -> Vec<String> {
    let columns = cells.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        cells.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let row = |row: &Vec<String>| {
        let mut text = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            // A String takes everything.
            let _ = if column < 3 {
                write!(text, "{gap}{cell:<width$}")
            } else {
                write!(text, "{gap}{cell:>width$}")
            };
        }
        text.trim_end().to_owned()
    };
    cells.iter().map(row).collect()
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
