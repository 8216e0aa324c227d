//! What the script prints: one line of JSON, which is checked before anything is computed from it.

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// How a peer answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// With times.
    Times(Times),
    /// It is not installed; these packages are missing.
    Missing(String),
    /// It is installed and raised an error.
    Failed(String),
}

/// A peer's times in one round, in microseconds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Times {
    /// Packages and their versions.
    pub(super) version: String,
    /// One for each form of the network.
    pub(super) rows: Vec<Row>,
    /// A call on a network of one weight.
    pub(super) call_us: f64,
}

/// The times of one form, in microseconds.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    /// `f32`, `int8`, `int8-floats` where the input and output are floats that a peer's `int8` has in bytes, or `int8-dynamic`
    /// where the range of activations is measured in every call.
    pub(super) form: String,
    /// A call with one row.
    pub(super) batch1_us: f64,
    /// A call with 32 rows.
    pub(super) batch32_us: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    peer: String,
    missing: Option<String>,
    error: Option<String>,
    version: Option<String>,
    rows: Option<Vec<Row>>,
    call_us: Option<f64>,
}

impl Answer {
    /// Reads what the script printed for a peer.
    ///
    /// # Errors
    /// When the output is not one line of that kind, is of another peer, or has a time that is none.
    pub(super) fn read(peer: &str, output: &str) -> Result<Self> {
        let unknown = || format!("the script printed something unknown for {peer}: {:?}", output.trim());
        let line: Line = serde_json::from_str(output).with_context(unknown)?;
        if line.peer != peer {
            bail!("the script was asked for {peer} and answered for {}", line.peer);
        }
        match line {
            Line { missing: Some(packages), error: None, rows: None, .. } => Ok(Self::Missing(packages)),
            Line { error: Some(why), missing: None, rows: None, .. } => Ok(Self::Failed(why)),
            Line {
                rows: Some(rows),
                version: Some(version),
                call_us: Some(call_us),
                missing: None,
                error: None,
                ..
            } => {
                let times = Times { version, rows, call_us };
                times.check(peer)?;
                Ok(Self::Times(times))
            }
            _ => bail!(unknown()),
        }
    }
}

impl Times {
    fn check(&self, peer: &str) -> Result<()> {
        if self.rows.is_empty() {
            bail!("{peer}: rows is empty");
        }
        for (n, row) in self.rows.iter().enumerate() {
            if self.rows[..n].iter().any(|r| r.form == row.form) {
                bail!("{peer}: form {} is there twice", row.form);
            }
            if super::table::counterpart(&row.form).is_none() {
                bail!(
                    "{peer}: form is {:?}, but it must be f32, int8, int8-floats or int8-dynamic",
                    row.form
                );
            }
        }
        let rows = self.rows.iter().flat_map(|r| [("batch1_us", r.batch1_us), ("batch32_us", r.batch32_us)]);
        for (key, us) in rows.chain([("call_us", self.call_us)]) {
            if !(us.is_finite() && us > 0.0) {
                bail!("{peer}: {key} is {us}, but a time must be more than 0");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_times_or_what_is_missing_or_an_error() {
        let line = r#"{"peer": "p", "version": "p 1.2", "call_us": 0.7,
            "rows": [{"form": "f32", "batch1_us": 12.5, "batch32_us": 100}]}"#;
        let rows = vec![Row { form: "f32".into(), batch1_us: 12.5, batch32_us: 100.0 }];
        let times = Times { version: "p 1.2".into(), rows, call_us: 0.7 };
        assert_eq!(Answer::read("p", line).unwrap(), Answer::Times(times));
        assert_eq!(
            Answer::read("p", "{\"peer\": \"p\", \"missing\": \"a b\"}\n").unwrap(),
            Answer::Missing("a b".into())
        );
        assert_eq!(
            Answer::read("p", r#"{"peer": "p", "error": "no"}"#).unwrap(),
            Answer::Failed("no".into())
        );
    }

    #[test]
    fn another_line_is_an_error_that_says_why() {
        let row =
            |form: &str, one: &str| format!(r#"{{"form": "{form}", "batch1_us": {one}, "batch32_us": 2}}"#);
        let line = |rows: &str| format!(r#"{{"peer": "p", "version": "1", "call_us": 1, "rows": [{rows}]}}"#);
        for (bad, says) in [
            (String::new(), "something unknown for p"),
            ("noise\n{}".into(), "noise"),
            (r#"{"peer": "p"}"#.into(), "something unknown for p"),
            (r#"{"peer": "p", "missing": "a", "error": "b"}"#.into(), "something unknown"),
            (r#"{"peer": "p", "missing": "a", "other": 1}"#.into(), "something unknown"),
            (r#"{"peer": "q", "missing": "a"}"#.into(), "answered for q"),
            (line(""), "rows is empty"),
            (line(&row("f32", "0")), "batch1_us is 0"),
            (line(&row("f32", "-1")), "batch1_us is -1"),
            (line(&row("f16", "1")), "form is \"f16\""),
            (line(&[row("int8", "1"), row("int8", "1")].join(",")), "int8 is there twice"),
        ] {
            let error = format!("{:#}", Answer::read("p", &bad).unwrap_err());
            assert!(error.contains(says), "{bad}: {error}");
        }
    }
}
