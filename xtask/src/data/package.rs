//! Pinned packages, downloaded by their own client and kept.
//!
//! A package file counts only when its SHA-256 is the pinned one. A file that is there and right is not fetched
//! again, so a run that broke continues after its last good step; one that is there and wrong is deleted.

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Refused;

/// How often a download is tried.
const TRIES: u32 = 3;

/// The program that fetches a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// `pip download`: a wheel.
    Pip,
    /// `pip download --no-binary`: the source archive.
    PipSource,
    /// `npm pack`.
    Npm,
}

/// One version of one package.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Package {
    /// Who fetches it.
    pub(crate) client: Client,
    /// Its name.
    pub(crate) name: &'static str,
    /// Its version.
    pub(crate) version: &'static str,
    /// The file that the client writes.
    pub(crate) file: &'static str,
    /// SHA-256 of that file.
    pub(crate) sha256: &'static str,
}

impl Package {
    /// The checked package file in `folder`, fetched when it is not there yet.
    ///
    /// # Errors
    /// [`Refused`] when the client is missing; any other error when the download keeps failing.
    pub(crate) fn obtain(&self, folder: &Path) -> Result<PathBuf> {
        self.obtain_by(folder, |attempt| {
            println!("fetching {} {} (try {attempt} of {TRIES})", self.name, self.version);
            self.download(folder, attempt)
        })
    }

    fn obtain_by(&self, folder: &Path, download: impl Fn(u32) -> Result<()>) -> Result<PathBuf> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join(self.file);
        let mut last = None;
        for attempt in 0..=TRIES {
            if attempt > 0
                && let Err(error) = download(attempt)
            {
                if error.downcast_ref::<Refused>().is_some() {
                    return Err(error);
                }
                eprintln!("{error:#}");
                last = Some(error);
            }
            if !path.exists() {
                continue;
            }
            let found = sha256(&path)?;
            if found == self.sha256 {
                return Ok(path);
            }
            eprintln!("{}: sha256 is {found}, expected {}; deleted", path.display(), self.sha256);
            fs::remove_file(&path)?;
        }
        match last {
            Some(error) => Err(error.context(format!("{} could not be fetched", self.name))),
            None => bail!("{} {} never came as the pinned file {}", self.name, self.version, self.file),
        }
    }

    fn download(&self, folder: &Path, attempt: u32) -> Result<()> {
        // The client writes into a folder of its own: a file in `folder` is always a finished one.
        let inner = tempfile::Builder::new().prefix(".partial-").tempdir_in(folder)?;
        let mut command = match self.client {
            Client::Npm => {
                let mut npm = Command::new("npm");
                npm.arg("pack").arg(format!("{}@{}", self.name, self.version));
                npm.args(["--silent", "--pack-destination"]).arg(inner.path());
                npm
            }
            Client::Pip | Client::PipSource => self.pip(folder, inner.path(), attempt)?,
        };
        let status = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .map_err(|e| missing(self.client, &e))?;
        if !status.success() {
            bail!("{:?} ended with {status}", command.get_program());
        }
        let got = inner.path().join(self.file);
        fs::rename(&got, folder.join(self.file))
            .with_context(|| format!("the client did not write {}", self.file))
    }

    fn pip(&self, folder: &Path, to: &Path, attempt: u32) -> Result<Command> {
        let mut pip = find_pip()?;
        let can_resume = pip_says_resume(&mut find_pip()?);
        pip.args(["download", "--no-deps", "--disable-pip-version-check", "--quiet", "--retries", "5"]);
        pip.arg("--cache-dir").arg(std::path::absolute(folder)?.join("pip-cache"));
        pip.arg("--dest").arg(to);
        if can_resume {
            pip.args(["--resume-retries", "5"]);
        }
        if self.client == Client::PipSource {
            pip.args(["--no-binary", ":all:"]);
            if attempt > 1 {
                // Metadata of a source package is built; a machine's own build tools may do it better.
                pip.arg("--no-build-isolation");
            }
        }
        pip.arg(format!("{}=={}", self.name, self.version));
        Ok(pip)
    }
}

/// `python3 -m pip`, or `pip`.
fn find_pip() -> Result<Command> {
    let works = |program: &str, arguments: &[&str]| {
        let quiet = Command::new(program)
            .args(arguments)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        quiet.is_ok_and(|s| s.success())
    };
    if works("python3", &["-m", "pip"]) {
        let mut command = Command::new("python3");
        command.args(["-m", "pip"]);
        return Ok(command);
    }
    if works("pip", &[]) {
        return Ok(Command::new("pip"));
    }
    Err(missing(Client::Pip, &io::ErrorKind::NotFound.into()))
}

fn pip_says_resume(pip: &mut Command) -> bool {
    let help = pip.args(["download", "--help"]).stderr(Stdio::null()).output();
    help.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains("--resume-retries"))
}

fn missing(client: Client, error: &io::Error) -> anyhow::Error {
    let (program, package) = match client {
        Client::Npm => ("npm", "npm"),
        Client::Pip | Client::PipSource => ("pip", "python3-pip"),
    };
    if error.kind() == io::ErrorKind::NotFound {
        Refused(format!("{program} is not installed; on Debian: apt-get install {package}")).into()
    } else {
        Refused(format!("cannot run {program}: {error}")).into()
    }
}

/// SHA-256 of a file, in lower-case hexadecimal.
fn sha256(path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    io::copy(&mut file, &mut hash)?;
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const ABC: Package = Package {
        client: Client::Pip,
        name: "abc",
        version: "1",
        file: "abc.whl",
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    };

    #[test]
    fn a_right_file_is_kept_and_a_wrong_one_fetched_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc.whl");
        fs::write(&path, "ab").unwrap();
        let calls = Cell::new(0);
        let download = |attempt| {
            calls.set(attempt);
            fs::write(&path, if attempt == 1 { "abd" } else { "abc" })?;
            Ok(())
        };
        assert_eq!(ABC.obtain_by(folder.path(), download).unwrap(), path);
        assert_eq!(calls.get(), 2);
        ABC.obtain_by(folder.path(), |_| bail!("no download is needed")).unwrap();
    }

    #[test]
    fn it_gives_up_after_some_tries_and_at_once_without_a_client() {
        let folder = tempfile::tempdir().unwrap();
        let calls = Cell::new(0);
        let count = |error: fn() -> anyhow::Error| {
            calls.set(0);
            ABC.obtain_by(folder.path(), |_| {
                calls.set(calls.get() + 1);
                Err(error())
            })
            .unwrap_err()
        };
        count(|| anyhow::anyhow!("broken pipe"));
        assert_eq!(calls.get(), TRIES);
        let refused = count(|| missing(Client::Npm, &io::ErrorKind::NotFound.into()));
        assert_eq!(calls.get(), 1);
        assert!(refused.to_string().contains("apt-get install npm"));
    }
}
