//! `cargo xtask docs`: the pages of docs/techniques, which the binary writes from the techniques' own words.

use anyhow::{Context, Result, bail};
use clap::Args;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::workspace::{Backend, Build, Workspace, succeed};

/// Folder of the pages.
const FOLDER: &str = "docs/techniques";

/// Brings the generated pages in docs/techniques up to date.
///
/// Builds the binary and runs `nlpress techniques --markdown`: one page for each technique, from the words, the
/// configuration and the example beside its code. A page whose technique is gone goes too.
#[derive(Clone, Debug, Args)]
pub(crate) struct Arguments {
    /// Write nothing; fail where a page is not what the binary would write.
    #[arg(long)]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) build: Build,
}

/// Writes or checks the pages.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::read()?;
    let binary = workspace.build(arguments.build, Backend::Ndarray)?;
    let fresh = tempfile::tempdir()?;
    let mut command = Command::new(binary);
    command.args(["techniques", "--markdown"]).arg(fresh.path());
    succeed(command)?;

    let folder = workspace.root.join(FOLDER);
    let (old, new) = (read(&folder)?, read(fresh.path())?);
    if new.is_empty() {
        bail!("nlpress techniques wrote no page");
    }
    let changes = compare(&old, &new);
    if arguments.check {
        if changes.is_empty() {
            println!("{FOLDER}: {} pages, all current", new.len());
            return Ok(());
        }
        let list: Vec<String> =
            changes.iter().map(|(name, change)| format!("  {FOLDER}/{name}: {change}")).collect();
        bail!("these pages are not current (`cargo xtask docs` writes them):\n{}", list.join("\n"));
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, change) in &changes {
        let page = folder.join(name);
        match new.get(*name) {
            Some(bytes) => std::fs::write(&page, bytes),
            None => std::fs::remove_file(&page),
        }
        .with_context(|| format!("cannot change {}", page.display()))?;
        println!("{FOLDER}/{name}: {change}");
    }
    println!("{FOLDER}: {} pages, {} changed", new.len(), changes.len());
    Ok(())
}

type Pages = BTreeMap<String, Vec<u8>>;

/// The Markdown files of a folder; none where it is not there.
fn read(folder: &Path) -> Result<Pages> {
    let mut pages = Pages::new();
    if !folder.exists() {
        return Ok(pages);
    }
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "md")
            && let Some(name) = path.file_name()
        {
            let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            pages.insert(name.to_string_lossy().into_owned(), bytes);
        }
    }
    Ok(pages)
}

/// What happens to each page that does not stay as it is.
fn compare<'a>(old: &'a Pages, new: &'a Pages) -> BTreeMap<&'a str, &'static str> {
    let mut changes = BTreeMap::new();
    for (name, page) in new {
        match old.get(name) {
            None => changes.insert(name.as_str(), "new"),
            Some(before) if before != page => changes.insert(name.as_str(), "changed"),
            Some(_) => None,
        };
    }
    changes.extend(old.keys().filter(|n| !new.contains_key(*n)).map(|n| (n.as_str(), "gone")));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_between_folders_is_seen() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (folder, name, text) in [
            (&old, "same.md", "1"),
            (&new, "same.md", "1"),
            (&old, "other.md", "1"),
            (&new, "other.md", "2"),
            (&old, "old.md", "1"),
            (&new, "new.md", "1"),
            (&old, "picture.svg", "1"),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let (old, new) = (read(old.path()).unwrap(), read(new.path()).unwrap());
        let expected = [("new.md", "new"), ("old.md", "gone"), ("other.md", "changed")];
        assert_eq!(compare(&old, &new), BTreeMap::from(expected));
        assert!(read(Path::new("no/such/folder")).unwrap().is_empty());
    }
}
