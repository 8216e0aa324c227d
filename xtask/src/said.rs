//! What a script that trains another library prints, and what it says where it fails.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::Path;
use std::process::{Command, Output};

use crate::Refused;

/// How a peer answered.
#[derive(Debug)]
pub(crate) enum Said<R> {
    /// Packages and their versions, and a row for each form.
    Rows(String, Vec<R>),
    /// It is not installed; these packages are missing.
    Missing(String),
    /// It is installed and raised an error.
    Failed(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<R> {
    peer: String,
    missing: Option<String>,
    error: Option<String>,
    version: Option<String>,
    rows: Option<Vec<R>>,
}

impl<R: DeserializeOwned> Said<R> {
    /// Reads the one line that the script printed for a peer; `shown` is what an error shows of it.
    ///
    /// # Errors
    /// When it is no such line, or of another peer.
    pub(crate) fn read(peer: &str, said: &str, shown: &str) -> Result<Self> {
        let unknown = || format!("the script printed something unknown for {peer}: {shown}");
        let line: Line<R> = serde_json::from_str(said).with_context(unknown)?;
        if line.peer != peer {
            bail!("the script was asked for {peer} and answered for {}", line.peer);
        }
        Ok(match line {
            Line { missing: Some(packages), error: None, rows: None, .. } => Self::Missing(packages),
            Line { error: Some(why), missing: None, rows: None, .. } => Self::Failed(why),
            Line { rows: Some(rows), version: Some(version), missing: None, error: None, .. } => {
                Self::Rows(version, rows)
            }
            _ => bail!(unknown()),
        })
    }
}

/// The last line that a program said where it failed.
pub(crate) fn last_line(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim().to_owned()
}

/// Refuses what is no Python of version 3.`minor` or later.
pub(crate) fn check_python(python: &Path, minor: u32) -> Result<(), Refused> {
    let refused = |why: String| Refused(format!("--python {}: {why}", python.display()));
    let asked = format!("import sys; sys.exit(sys.version_info < (3, {minor}))");
    match Command::new(python).args(["-c", &asked]).output() {
        Err(error) => Err(refused(format!("cannot be run: {error}"))),
        Ok(output) if !output.status.success() => {
            Err(refused(format!("is no Python of version 3.{minor} or later")))
        }
        Ok(_) => Ok(()),
    }
}
