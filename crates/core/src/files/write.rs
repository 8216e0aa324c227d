//! Whole files or none: written beside under a name of their own, flushed, renamed.

use super::{folder_of, not_regular, odd_kind, resolve};
use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};
use tempfile::NamedTempFile;

/// How the files begin and end that are not whole yet.
const PARTIAL: (&str, &str) = (".nlpress-", ".partial");

/// Held from the moment when a file is there until it is locked, so that no thread of this process takes it for an
/// abandoned one.
static BEGINNING: Mutex<()> = Mutex::new(());

/// Shared by the writes at work, and taken alone by [`end_writes`].
static AT_WORK: RwLock<()> = RwLock::new(());

/// Waits for the files that other threads are writing, each of which is then whole, and lets none begin after them:
/// for a process that is about to end in the middle of its work. Whoever writes after this waits for that end.
pub fn end_writes() {
    std::mem::forget(AT_WORK.write().unwrap_or_else(PoisonError::into_inner));
}

/// Does what a process that is about to end ([`end_writes`]) waits for: several files that are whole together only.
/// No file may be written by the other functions of this module in it.
pub fn uninterrupted<T>(work: impl FnOnce() -> T) -> T {
    let _at_work = AT_WORK.read().unwrap_or_else(PoisonError::into_inner);
    work()
}

/// Writes the content of a file.
pub type WriteContent<'a> = dyn FnMut(&mut File) -> io::Result<()> + 'a;

/// Writes `bytes` into a file beside `path`, flushes it to disk and renames it over `path`.
///
/// A reader never sees a partial file, and a crash leaves the old content in place; once this returns, the new content
/// survives a power cut. Folders are made where they are missing. Where `path` is a symbolic link, the file that it
/// points to is replaced, and the link stays.
///
/// A new file gets the permissions that the process's umask leaves; a replaced one keeps its own, and its owner and
/// group where the system lets it (else the group gets no more than everyone). Other names of a replaced file (hard
/// links) keep the old content. Files that died processes left half-written in the folder are
/// [removed](remove_abandoned).
///
/// # Errors
/// Any error of the file system, and an error for which [`is_refusal`] holds when `path` is there and is not a regular
/// file. `path` is then as it was, unless flushing the folder was what failed.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    stream_atomically(path, &mut |file| file.write_all(bytes))
}

/// [`write_atomically`] of content that `write` makes piece by piece, so that it is never whole in memory. It may be
/// asked for the content again, for another file.
///
/// # Errors
/// As [`write_atomically`], and what `write` gives.
pub fn stream_atomically(path: &Path, write: &mut WriteContent<'_>) -> io::Result<()> {
    let target = Target::of(path)?;
    let folder = folder_of(&target.path);
    let _at_work = AT_WORK.read().unwrap_or_else(PoisonError::into_inner);
    make_folder(folder)?;
    remove_abandoned(folder);
    let mut attempts = 10;
    loop {
        attempts -= 1;
        match target.write(folder, write) {
            // Another process took the file for an abandoned one, in the moment before it was locked.
            Err(e) if e.kind() == io::ErrorKind::NotFound && attempts > 0 => {}
            Err(e) => return Err(e),
            Ok(()) => return sync_folder(folder),
        }
    }
}

/// Whether an error of [`write_atomically`], [`read_bounded`](super::read_bounded) or opening a file says that the
/// wrong file was named, rather than that the system failed (a full disk, a device that gives errors, a limit on the size of
/// files).
pub fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::NotFound
            | Kind::PermissionDenied
            | Kind::IsADirectory
            | Kind::NotADirectory
            | Kind::InvalidInput
            | Kind::InvalidFilename
            | Kind::InvalidData
            | Kind::UnexpectedEof
    ) || (error.kind() == Kind::FileTooLarge && error.raw_os_error().is_none()) // not the limit of the process
}

/// Removes the half-written files of a folder whose writers are dead, and says how many there were.
///
/// A writer holds a lock on its file, which the system frees when the process ends, however it ends; so a file that
/// can be locked has no writer. Where the file system has no locks, nothing is removed.
pub fn remove_abandoned(folder: &Path) -> usize {
    let _beginning = BEGINNING.lock().unwrap_or_else(PoisonError::into_inner);
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut removed = 0;
    for entry in entries {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if !(name.starts_with(PARTIAL.0.as_bytes()) && name.ends_with(PARTIAL.1.as_bytes())) {
            continue;
        }
        // The entry's own kind: a link or a pipe of that name is nobody's half-written file.
        if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else { continue };
        if file.try_lock().is_ok() && std::fs::remove_file(entry.path()).is_ok() {
            removed += 1;
        }
    }
    removed
}

/// What a file is written to: the end of all links, and what is there.
pub(super) struct Target {
    pub(super) path: PathBuf,
    pub(super) existing: Option<Metadata>,
}

impl Target {
    /// # Errors
    /// As [`write_atomically`], for what is not a regular file.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let existing = match std::fs::metadata(path) {
            Ok(metadata) => Some(metadata),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        if let Some(kind) = existing.as_ref().and_then(odd_kind) {
            return Err(not_regular(kind));
        }
        let path = resolve(path)?;
        if path.file_name().is_none() {
            return Err(not_regular("a folder"));
        }
        Ok(Self { path, existing })
    }

    fn write(&self, folder: &Path, write: &mut WriteContent<'_>) -> io::Result<()> {
        let beginning = BEGINNING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = self.create(folder)?;
        // A file system without locks only means that what this process may leave is never removed.
        let _ = file.as_file().try_lock();
        drop(beginning);
        // Not through the temporary file, which would name itself in the error and hide its kind.
        write(file.as_file_mut())?;
        #[cfg(unix)]
        if let Some(existing) = &self.existing {
            keep_owner_and_mode(file.as_file(), existing)?;
        }
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|e| e.error)?;
        Ok(())
    }

    fn create(&self, folder: &Path) -> io::Result<NamedTempFile> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(PARTIAL.0).suffix(PARTIAL.1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::{MetadataExt, PermissionsExt};
            // The umask is applied to it. Never more than the old file's while it is written.
            let mode = self.existing.as_ref().map_or(0o666, |m| m.mode() & 0o777);
            builder.permissions(std::fs::Permissions::from_mode(mode));
        }
        builder.tempfile_in(folder)
    }
}

/// The owner, group and permissions of the file that is replaced.
#[cfg(unix)]
fn keep_owner_and_mode(file: &File, existing: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let made = file.metadata()?;
    let mut mode = existing.mode() & 0o777;
    if made.uid() != existing.uid() {
        // Only a privileged process may give files away.
        let _ = fchown(file, Some(existing.uid()), None);
    }
    if made.gid() != existing.gid() && fchown(file, None, Some(existing.gid())).is_err() {
        // What was for one group is not for another.
        mode &= 0o707 | ((mode & 0o007) << 3);
    }
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

/// Makes the folder and those above it, so that they survive a power cut.
fn make_folder(folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        folder.ancestors().take_while(|f| !f.as_os_str().is_empty() && !f.exists()).collect();
    std::fs::create_dir_all(folder)?;
    missing.into_iter().try_for_each(|made| sync_folder(folder_of(made)))
}

/// Flushes the names in a folder to disk.
fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // A folder that may be written but not read, or a file system that cannot do it.
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) => {}
        done => return done,
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn writes_whole_files_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/file");
        write_atomically(&path, b"one").unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(names(path.parent().unwrap()), ["file"]);
        for path in [folder.path(), Path::new("/"), Path::new("..")] {
            let error = write_atomically(path, b"x").unwrap_err();
            assert!(is_refusal(&error) && error.to_string().contains("is a folder"), "{error}");
        }
        assert!(write_atomically(&path.join("below a file"), b"x").is_err());
    }

    #[test]
    fn the_files_of_the_dead_are_removed_and_those_of_the_living_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in [".nlpress-a1.partial", ".nlpress-b2.partial", ".nlpress-c3", "x.partial"] {
            std::fs::write(at(name), b"half").unwrap();
        }
        std::fs::create_dir(at(".nlpress-folder.partial")).unwrap();
        let alive = File::open(at(".nlpress-b2.partial")).unwrap();
        alive.try_lock().unwrap();
        write_atomically(&at("file"), b"whole").unwrap();
        let left = [".nlpress-b2.partial", ".nlpress-c3", ".nlpress-folder.partial", "file", "x.partial"];
        assert_eq!(names(folder.path()), left);
        drop(alive);
        assert_eq!(remove_abandoned(folder.path()), 1);
        assert_eq!(remove_abandoned(&at("none")), 0);
    }

    #[test]
    fn writers_of_one_folder_do_not_disturb_each_other() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let folder = folder.path();
                scope.spawn(move || {
                    for n in 0..25 {
                        let path = folder.join(format!("{}", (writer + n) % 5));
                        write_atomically(&path, &[b'x'; 5000]).unwrap();
                    }
                });
            }
        });
        assert_eq!(names(folder.path()), ["0", "1", "2", "3", "4"]);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_and_links_are_kept() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mode = |name: &str| std::fs::metadata(at(name)).unwrap().permissions().mode() & 0o7777;
        for kept in [0o600, 0o640, 0o666, 0o400] {
            std::fs::write(at("kept"), b"old").unwrap();
            std::fs::set_permissions(at("kept"), std::fs::Permissions::from_mode(kept)).unwrap();
            write_atomically(&at("kept"), b"new").unwrap();
            assert_eq!(mode("kept"), kept);
            std::fs::remove_file(at("kept")).unwrap();
        }
        // As the system makes a new file, under whatever umask.
        File::create(at("plain")).unwrap();
        write_atomically(&at("new"), b"new").unwrap();
        assert_eq!(mode("new"), mode("plain"));

        std::fs::create_dir(at("below")).unwrap();
        std::fs::write(at("below/target"), b"old").unwrap();
        symlink("below/target", at("near")).unwrap();
        symlink("near", at("far")).unwrap();
        symlink("below/made", at("dangling")).unwrap();
        write_atomically(&at("far"), b"new").unwrap();
        write_atomically(&at("dangling"), b"new").unwrap();
        for name in ["below/target", "below/made"] {
            assert_eq!(std::fs::read(at(name)).unwrap(), b"new", "{name}");
        }
        for name in ["near", "far", "dangling"] {
            assert!(at(name).is_symlink(), "{name}");
        }
        symlink("round", at("round")).unwrap();
        assert!(write_atomically(&at("round"), b"x").is_err());
        assert!(at("round").is_symlink());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_no_regular_file_stays() {
        use std::os::unix::fs::FileTypeExt;
        let error = write_atomically(Path::new("/dev/null"), b"x").unwrap_err();
        assert_eq!(error.to_string(), "is a device, expected a regular file");
        assert!(is_refusal(&error));
        assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _listens = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        std::os::unix::fs::symlink("socket", folder.path().join("link")).unwrap();
        for name in ["socket", "link"] {
            let error = write_atomically(&folder.path().join(name), b"x").unwrap_err();
            assert!(error.to_string().contains("is a socket"), "{error}");
        }
        assert!(std::fs::metadata(&socket).unwrap().file_type().is_socket());
    }
}
