//! `nlpress techniques`: the list, one technique explained, or pages for the documentation.

use nlpress::pipeline::kinds;
use nlpress::technique::{Kind, Setting};
use std::fmt::Write;
use std::path::Path;

use crate::arguments::Techniques;
use crate::commands::generated;
use crate::outcome::{self, refuse, say};

pub(crate) fn techniques(arguments: Techniques) -> anyhow::Result<()> {
    if let Some(folder) = &arguments.markdown {
        return pages(folder);
    }
    let chosen: Vec<&Kind> =
        match &arguments.name {
            None => kinds::all().collect(),
            Some(name) => vec![kinds::find(name).ok_or_else(|| {
                refuse(format!("unknown technique {name:?}; `nlpress techniques` lists them"))
            })?],
        };
    if arguments.json {
        let json: Vec<serde_json::Value> = chosen.iter().map(|k| json(k)).collect();
        say!("{}", serde_json::to_string_pretty(&json)?);
    } else if arguments.name.is_some() {
        outcome::print(format_args!("{}", chosen.iter().map(|k| page(k)).collect::<String>()))?;
    } else {
        for kind in chosen {
            say!("{:<20} {:<9} {}", kind.name, kind.family.to_string(), kind.summary);
        }
    }
    Ok(())
}

fn json(kind: &Kind) -> serde_json::Value {
    let settings: serde_json::Map<String, serde_json::Value> =
        kind.settings().map(|setting| (setting.name.to_owned(), setting.meaning.into())).collect();
    serde_json::json!({
        "name": kind.name, "family": kind.family.to_string(), "summary": kind.summary, "source": kind.source,
        "example": kind.example, "on": kind.on, "settings": settings,
    })
}

/// A technique as a Markdown page.
fn page(kind: &Kind) -> String {
    let mut text = format!("# {}\n\nFamily: {}. {}\n\n", kind.name, kind.family, sentence(kind.summary));
    let mut add = |line: &str| writeln!(text, "{line}").expect("a String takes every write");
    add(&format!("Source: {}.\n", kind.source));
    add("## Settings\n");
    if kind.settings().next().is_none() {
        add("None.");
    } else {
        add("| setting | meaning |\n|---|---|");
    }
    for Setting { name, meaning } in kind.settings() {
        add(&format!("| `{name}` | {} |", meaning.replace('|', "\\|")));
    }
    let on: Vec<String> = kind.on.iter().map(|s| format!("{s:?}")).collect();
    add(&format!("\n## Example\n\n```toml\n[[steps]]\nuse = {:?}\non = [{}]", kind.name, on.join(", ")));
    if !kind.example.trim().is_empty() {
        add(&format!("[steps.with]\n{}", kind.example.trim()));
    }
    add("```");
    text
}

/// A summary as a sentence: a capital letter first, a full stop last.
fn sentence(summary: &str) -> String {
    let mut letters = summary.trim_end_matches('.').chars();
    let first: String = letters.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

fn pages(folder: &Path) -> anyhow::Result<()> {
    let mut index = String::from(
        "# Techniques\n\nMade by `cargo xtask docs`; do not edit.\n\n| technique | family | what it does |\n|---|---|---|\n",
    );
    let mut pages = Vec::new();
    for kind in kinds::all() {
        let file = format!("{}.md", kind.name);
        pages.push((folder.join(&file), page(kind).into_bytes()));
        writeln!(index, "| [{}]({file}) | {} | {} |", kind.name, kind.family, sentence(kind.summary))?;
    }
    pages.push((folder.join("README.md"), index.into_bytes()));
    generated::write(&pages)
}
