//! One run at a time in a folder.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::failure::RunError;

/// Name of the file that is locked; it stays, because who removes it cannot know that nobody has just opened it.
const NAME: &str = ".nlpress.lock";

/// A folder that only this run writes into. The system frees it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code)] File); // held, not read

impl Lock {
    /// Whether a run has ever taken the folder.
    #[must_use]
    pub fn is_in(folder: &Path) -> bool {
        folder.join(NAME).exists()
    }

    /// Takes the folder, which is made when it is not there. On a file system without locks it is taken by all.
    ///
    /// # Errors
    /// [`RunError::Busy`] when another run has it, [`RunError::Write`] when nothing can be written there.
    pub fn take(folder: &Path) -> Result<Self, RunError> {
        let path = folder.join(NAME);
        let failed = |e| RunError::Write(path.clone(), e);
        std::fs::create_dir_all(folder).map_err(|e| RunError::Write(folder.to_owned(), e))?;
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(RunError::Busy(folder.to_owned())),
            Err(TryLockError::Error(e)) if e.kind() != std::io::ErrorKind::Unsupported => Err(failed(e)),
            _ => Ok(Self(file)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_taken_once_until_it_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("out");
        let first = Lock::take(&below).unwrap();
        let error = Lock::take(&below).unwrap_err();
        assert!(matches!(&error, RunError::Busy(path) if *path == below), "{error}");
        Lock::take(folder.path()).unwrap();
        drop(first);
        Lock::take(&below).unwrap();
    }
}
