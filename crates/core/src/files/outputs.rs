//! Which files a command reads and writes, checked against each other before it works.

use super::write::Target;
use super::{folder_of, not_regular, odd_kind, replace, resolve};
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Component, Path, PathBuf};

/// The files that a command is going to read and write.
///
/// [`check`](Outputs::check) proves that no output is an input, lies in a folder that is one, or is another output, whatever
/// paths, links or names lead to it, and that every output can be written. Files are told apart by device and inode where they exist, else by the
/// real path of the folder and the name.
///
/// ```no_run
/// use nlpress_core::files::Outputs;
/// use std::path::Path;
///
/// Outputs::new().input("--data", Path::new("rows.csv")).output("--out", Path::new("model.safetensors")).check()?;
/// # Ok::<(), nlpress_core::files::OutputError>(())
/// ```
#[derive(Debug, Default)]
pub struct Outputs {
    files: Vec<Named>,
}

#[derive(Debug)]
struct Named {
    /// What the user calls it, `--out`.
    name: String,
    path: PathBuf,
    purpose: Purpose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Read,
    Replace,
    Append,
}

/// An output that would do harm, or cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// An output is an input.
    #[error("{output} is the same file as {input}, which it would destroy: give it another name")]
    Input {
        /// Name and path of the output.
        output: String,
        /// Name and path of the input.
        input: String,
    },
    /// An output lies in a folder that is an input.
    #[error("{output} lies in the folder {input}, which is only read: write it elsewhere")]
    Inside {
        /// Name and path of the output.
        output: String,
        /// Name and path of the folder.
        input: String,
    },
    /// Two outputs are one file.
    #[error("{output} is the same file as {other}: give one of them another name")]
    Output {
        /// Name and path of an output.
        output: String,
        /// Name and path of the other.
        other: String,
    },
    /// Nothing can be written there.
    #[error("{output} cannot be written: {error}")]
    Unwritable {
        /// Name and path of the output.
        output: String,
        /// Why.
        #[source]
        error: io::Error,
    },
}

impl Outputs {
    /// No file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file or a folder that is read; `name` is what the user calls it, for example `--data`. The path `-` is standard
    /// input. A file that does not exist is no trouble here.
    #[must_use]
    pub fn input(self, name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        self.with(name, path, Purpose::Read)
    }

    /// Adds a file that is written by [`write_atomically`](super::write_atomically).
    #[must_use]
    pub fn output(self, name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        self.with(name, path, Purpose::Replace)
    }

    /// Adds a file that is written to its end; this may also be a device, or a pipe that is open (`/dev/fd/N`).
    #[must_use]
    pub fn appended(self, name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        self.with(name, path, Purpose::Append)
    }

    fn with(mut self, name: impl Into<String>, path: impl Into<PathBuf>, purpose: Purpose) -> Self {
        self.files.push(Named { name: name.into(), path: path.into(), purpose });
        self
    }

    /// Checks everything; nothing is left on disk.
    ///
    /// # Errors
    /// [`OutputError`] naming the output, and the file that it is at odds with.
    pub fn check(&self) -> Result<(), OutputError> {
        let mut known: HashMap<Identity, &Named> = HashMap::new();
        let (inputs, outputs): (Vec<_>, Vec<_>) = self.files.iter().partition(|f| f.purpose == Purpose::Read);
        for input in inputs {
            if let Some(identity) = Identity::of_input(&input.path) {
                known.insert(identity, input);
            }
        }
        for output in &outputs {
            let identity = Identity::of(&output.path).map_err(|e| output.unwritable(e))?;
            let mut around = folders_of(&output.path).filter_map(|folder| known.get(&folder));
            if let Some(input) = around.find(|other| other.purpose == Purpose::Read) {
                return Err(OutputError::Inside { output: output.shown(), input: input.shown() });
            }
            let Some(other) = known.insert(identity, output) else { continue };
            return Err(match other.purpose {
                Purpose::Read => OutputError::Input { output: output.shown(), input: other.shown() },
                _ => OutputError::Output { output: output.shown(), other: other.shown() },
            });
        }
        let mut tried = BTreeSet::new();
        outputs
            .into_iter()
            .try_for_each(|output| is_writable(output, &mut tried).map_err(|e| output.unwritable(e)))
    }
}

impl Named {
    fn shown(&self) -> String {
        format!("{} {}", self.name, self.path.display())
    }

    fn unwritable(&self, error: io::Error) -> OutputError {
        OutputError::Unwritable { output: self.shown(), error }
    }
}

/// Whether the file can be written, tried by a file without a name in its folder, or in the one in which folders would
/// be made; a new file is tried once a folder.
fn is_writable(output: &Named, tried: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    let (path, existing) = match output.purpose {
        Purpose::Append => {
            match std::fs::metadata(&output.path) {
                // Opening a pipe waits for a reader; one that the shell has opened has its reader.
                Ok(metadata) if odd_kind(&metadata) == Some("a named pipe") && !is_open(&output.path) => {
                    return Err(not_regular("a named pipe"));
                }
                Ok(metadata) if !metadata.is_dir() && odd_kind(&metadata).is_some() => return Ok(()),
                Ok(_) => return std::fs::OpenOptions::new().append(true).open(&output.path).map(drop),
                Err(_) => (resolve(&output.path)?, None),
            }
        }
        _ => {
            let target = Target::of(&output.path)?;
            (target.path, target.existing)
        }
    };
    let mut folder = folder_of(&path);
    while !folder.exists() {
        folder = folder_of(folder);
    }
    if !folder.is_dir() {
        let why = format!("{} is not a folder", folder.display());
        return Err(io::Error::new(io::ErrorKind::NotADirectory, why));
    }
    if !tried.insert(folder.to_owned()) && existing.is_none() {
        return Ok(());
    }
    let made = tempfile::tempfile_in(folder)?;
    match output.purpose {
        Purpose::Append => Ok(()),
        _ => replace::check(&path, existing.as_ref(), folder, &made),
    }
}

/// Whether the path names a file that this process has open, as `>(…)` of a shell does.
fn is_open(path: &Path) -> bool {
    ["/dev/fd", "/dev/stdout", "/dev/stderr", "/proc"].iter().any(|open| path.starts_with(open))
}

/// The folders that are there in which a path lies, the next first.
fn folders_of(path: &Path) -> impl Iterator<Item = Identity> {
    let path = resolve(path).unwrap_or_else(|_| path.to_owned());
    let there = path.ancestors().skip(1).map(or_here).find_map(|folder| folder.canonicalize().ok());
    let all: Vec<PathBuf> = there.iter().flat_map(|folder| folder.ancestors()).map(Path::to_owned).collect();
    all.into_iter().filter_map(|folder| Identity::of(&folder).ok())
}

/// The folder that a part of a path names.
fn or_here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

/// What makes two paths the same file.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Identity {
    #[cfg(unix)]
    Inode(u64, u64),
    Path(PathBuf),
}

impl Identity {
    /// The identity of a file that is there.
    fn of_input(path: &Path) -> Option<Self> {
        let path = if path == Path::new("-") { Path::new("/dev/stdin") } else { path };
        std::fs::metadata(path).ok()?;
        Self::of(path).ok()
    }

    fn of(path: &Path) -> io::Result<Self> {
        #[cfg(unix)]
        if let Ok(metadata) = std::fs::metadata(path) {
            use std::os::unix::fs::MetadataExt;
            return Ok(Self::Inode(metadata.dev(), metadata.ino()));
        }
        let path = resolve(path)?;
        // The longest part that is there, by its real path, and the rest by its names.
        for there in path.ancestors().map(or_here) {
            let Ok(mut real) = there.canonicalize() else { continue };
            let rest = path.strip_prefix(there).unwrap_or(&path);
            for part in rest.components() {
                match part {
                    Component::ParentDir => drop(real.pop()),
                    Component::Normal(name) => real.push(name),
                    _ => {}
                }
            }
            return Ok(Self::Path(real));
        }
        Ok(Self::Path(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_stay_away_from_inputs_and_from_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("rows.csv"), b"text,label\n").unwrap();
        std::fs::create_dir(at("below")).unwrap();
        let check = |data: &str, out: &str, more: &str| {
            let all = Outputs::new().input("--data", at(data)).output("--out", at(out));
            all.output("--checkpoint", at(more)).check().map_err(|e| e.to_string())
        };
        check("rows.csv", "model", "checkpoint").unwrap();
        check("rows.csv", "new/er/model", "new/model").unwrap();
        check("none.csv", "none.csv", "checkpoint").unwrap();
        for (out, more) in [("rows.csv", "c"), ("below/../rows.csv", "c"), ("m", "./rows.csv")] {
            let error = check("rows.csv", out, more).unwrap_err();
            assert!(error.contains("--data") && error.contains("would destroy"), "{error}");
        }
        for (out, more) in [("m", "m"), ("m", "below/../m"), ("new/m", "new/./m"), ("new/a/../m", "new/m")] {
            let error = check("rows.csv", out, more).unwrap_err();
            assert!(error.contains("--out") && error.contains("--checkpoint"), "{error}");
        }
        for out in ["below", ".", "rows.csv/m"] {
            let error = check("none.csv", out, "c").unwrap_err();
            assert!(error.contains("--out") && error.contains("cannot be written"), "{error}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn nothing_is_written_into_a_folder_that_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("model/part")).unwrap();
        let check = |out: &str| Outputs::new().input("--from", at("model")).output("--out", at(out)).check();
        for out in ["model/out", "model/part/out", "model/new/out", "model/part/../out"] {
            let error = check(out).unwrap_err();
            assert!(matches!(error, OutputError::Inside { .. }), "{out}");
            assert!(error.to_string().contains("--from"), "{error}");
        }
        check("out").unwrap();
        check("model-2").unwrap();
        check("model/../out").unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn links_are_looked_through() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("rows.csv"), b"text,label\n").unwrap();
        std::fs::hard_link(at("rows.csv"), at("hard")).unwrap();
        symlink("rows.csv", at("soft")).unwrap();
        symlink(".", at("here")).unwrap();
        symlink("made", at("dangling")).unwrap();
        for out in ["hard", "soft", "here/rows.csv", "here/here/soft"] {
            let error = Outputs::new().input("--data", at("rows.csv")).output("--out", at(out)).check();
            assert!(matches!(error, Err(OutputError::Input { .. })), "{out}");
            let error = Outputs::new().input("recipe", at(out)).appended("--events", at("rows.csv")).check();
            assert!(matches!(error, Err(OutputError::Input { .. })), "{out}");
        }
        let error = Outputs::new().output("--out", at("dangling")).output("--checkpoint", at("here/made"));
        assert!(matches!(error.check(), Err(OutputError::Output { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn what_cannot_be_replaced_is_refused_beforehand() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model");
        std::fs::write(&file, b"old").unwrap();
        let check = || Outputs::new().output("--out", &file).check().map_err(|e| e.to_string());
        check().unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).unwrap();
        let error = check().unwrap_err();
        assert!(error.contains("--out") && error.contains("it is read-only"), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_what_is_appended_may_go_to_a_device() {
        let null = Path::new("/dev/null");
        let error = Outputs::new().output("--out", null).check().unwrap_err();
        assert!(error.to_string().contains("--out /dev/null cannot be written: is a device"), "{error}");
        Outputs::new().appended("--events", null).check().unwrap();
    }
}
