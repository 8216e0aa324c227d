//! What the chores share: where the workspace is, how cargo and the binary are run, and what a backend is called.

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The features of a build with every backend, on any selection of packages.
const ALL_BACKENDS: &str = "ndarray,flex,wgpu";

/// Where tensors live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub(crate) enum Backend {
    /// The processor, through ndarray.
    Ndarray,
    /// The processor, through flex.
    Flex,
    /// A GPU, or a Vulkan driver that plays one.
    Wgpu,
}

impl Backend {
    /// Its name, which is also the cargo feature's.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ndarray => "ndarray",
            Self::Flex => "flex",
            Self::Wgpu => "wgpu",
        }
    }
}

// What a build of the crates has in it; one that has more serves several chores. (A comment for rustdoc would become the help of
// every command that takes these.)
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct Build {
    /// Build with every backend, whichever runs: several chores then share one build.
    #[arg(long)]
    pub(crate) all_backends: bool,
    /// Build with runs of several processes, too; needs an MPI library and libclang (docs/decisions/mpi.md).
    #[arg(long)]
    pub(crate) mpi: bool,
}

impl Build {
    /// Everything that there is to build.
    pub(crate) const ALL: Self = Self { all_backends: true, mpi: true };

    /// The cargo features, on any selection of packages, of a build in which this backend runs.
    pub(crate) fn features(self, backend: Backend) -> String {
        let backends = if self.all_backends { ALL_BACKENDS } else { backend.name() };
        format!("{backends}{}", if self.mpi { ",mpi" } else { "" })
    }
}

/// The workspace as `cargo metadata` describes it.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    /// Its top folder.
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    /// The build folder; it follows `CARGO_TARGET_DIR`.
    #[serde(rename = "target_directory")]
    pub(crate) target: PathBuf,
    /// The member packages.
    pub(crate) packages: Vec<Package>,
}

/// A member of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    /// Its full name.
    pub(crate) name: String,
    /// What it builds.
    pub(crate) targets: Vec<Target>,
}

/// A thing that a package builds.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    /// Its name.
    pub(crate) name: String,
    /// `lib`, `bin`, `bench` and so on.
    pub(crate) kind: Vec<String>,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn read() -> Result<Self> {
        let output = cargo(["metadata", "--no-deps", "--format-version", "1"]).output();
        let output = output.context("cannot run cargo")?;
        if !output.status.success() {
            bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        serde_json::from_slice(&output.stdout).context("cargo metadata printed something unknown")
    }

    /// Builds the binary `nlpress` in the release profile, for runs on this backend, and says where it is.
    pub(crate) fn build(&self, build: Build, backend: Backend) -> Result<PathBuf> {
        let features = build.features(backend);
        let binary = ["build", "--release", "--package", "nlpress-cli", "--no-default-features"];
        succeed(cargo(binary.into_iter().chain(["--features", &features])))?;
        let binary = self.target.join("release").join(format!("nlpress{}", std::env::consts::EXE_SUFFIX));
        if !binary.is_file() {
            bail!("cargo build left no {}", binary.display());
        }
        Ok(binary)
    }

    /// Points a command at a folder for sockets where the surroundings name none: the graphics drivers ask for it.
    pub(crate) fn lend_runtime_folder(&self, command: &mut Command) -> Result<()> {
        const NAME: &str = "XDG_RUNTIME_DIR";
        if std::env::var_os(NAME).is_some_and(|folder| !folder.is_empty()) {
            return Ok(());
        }
        let folder = self.target.join("tmp").join("runtime");
        let made = std::fs::create_dir_all(&folder);
        made.with_context(|| format!("cannot make {}", folder.display()))?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700))
                .with_context(|| format!("cannot close {} to others", folder.display()))?;
        }
        command.env(NAME, folder);
        Ok(())
    }
}

/// A command of the cargo that runs this program.
pub(crate) fn cargo<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

/// Runs a command to its end; anything but success is an error that names it.
pub(crate) fn succeed(mut command: Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", words(&command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", words(&command));
    }
    Ok(())
}

/// The command as one would type it.
fn words(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let mut text = program.to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_workspace_is_read() {
        let workspace = Workspace::read().unwrap();
        assert!(workspace.root.join("recipes/article.toml").is_file());
        assert!(workspace.packages.iter().any(|p| p.name == "xtask"));
    }

    #[test]
    fn a_build_has_what_was_asked_for() {
        let features = |all_backends, mpi| Build { all_backends, mpi }.features(Backend::Flex);
        assert_eq!(features(false, false), "flex");
        assert_eq!(features(true, false), "ndarray,flex,wgpu");
        assert_eq!(features(false, true), "flex,mpi");
        assert_eq!(features(true, true), Build::ALL.features(Backend::Ndarray));
    }

    #[test]
    fn a_failed_command_is_named() {
        let error = succeed(cargo(["no-such-subcommand", "x"])).unwrap_err().to_string();
        assert!(error.contains("no-such-subcommand x"), "{error}");
    }
}
