//! `cargo xtask readme`: puts the table of a finished run into README.md, between its two markers.

use anyhow::{Context, Result};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Refused;

const BEGIN: &str = "<!-- results:begin -->";
const END: &str = "<!-- results:end -->";

/// Puts the table of a finished run into README.md.
///
/// It takes the advice, the line of the majority class and the table of `report.md` in the output folder of
/// `cargo xtask pipeline` as they stand, so that no number is copied by hand.
#[derive(Clone, Debug, Args)]
pub(crate) struct Arguments {
    /// Output folder of the run.
    #[arg(default_value = "out/embedded-ndarray")]
    out: PathBuf,
}

/// Reads the report, rewrites the README.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let path = arguments.out.join("report.md");
    let report = fs::read_to_string(&path)
        .map_err(|e| Refused(format!("{}: {e}; run `cargo xtask pipeline` first", path.display())))?;
    let readme = Path::new("README.md");
    let text = fs::read_to_string(readme).context("README.md")?;
    let table = table(&report).ok_or_else(|| Refused(format!("{} has no table", path.display())))?;
    let text = replaced(&text, &table)
        .ok_or_else(|| Refused(format!("README.md has no lines {BEGIN} and {END}, in that order")))?;
    fs::write(readme, text).context("README.md")
}

/// The first table of a Markdown text, with the advice above it and the majority class below.
fn table(report: &str) -> Option<String> {
    let is_row = |line: &&str| line.starts_with('|');
    let rows: Vec<&str> = report.lines().skip_while(|l| !is_row(l)).take_while(is_row).collect();
    let head = || report.lines().take_while(|l| !is_row(l));
    let advice = head().find(|line| line.starts_with("**")).map(|line| format!("{line}\n\n"));
    let majority = head().find_map(|line| line.strip_prefix("- **Majority class:** "));
    let majority = majority.map(|says| format!("\n\nMajority class: {says}."));
    (!rows.is_empty())
        .then(|| format!("{}{}{}", advice.unwrap_or_default(), rows.join("\n"), majority.unwrap_or_default()))
}

fn replaced(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_between_the_markers_changes() {
        let text = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        assert_eq!(replaced(&text, "| t |").unwrap(), format!("a\n{BEGIN}\n| t |\n{END}\nb\n"));
        assert!(replaced("a", "| t |").is_none());
        assert!(replaced(&format!("{END}{BEGIN}"), "| t |").is_none());
    }

    #[test]
    fn the_first_table_is_taken_whole() {
        assert_eq!(table("# x\n\n| a |\n| - |\n| 1 |\n\n| other |\n").unwrap(), "| a |\n| - |\n| 1 |");
        assert!(table("no table").is_none());
        let report = "# x\n\n**Ship y.**\n\n- **Machine:** m\n- **Majority class:** always 'n' has 50 %\n\nRead.\n\n| a |\n| - |\n";
        let expected = "**Ship y.**\n\n| a |\n| - |\n\nMajority class: always 'n' has 50 %.";
        assert_eq!(table(report).unwrap(), expected);
    }
}
