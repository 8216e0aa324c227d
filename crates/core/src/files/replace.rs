//! What keeps a file from being replaced although files can be made beside it, found out before any work. This module
//! refuses to try the replacement: a rename has no way back that a crash could not cut off.

use std::fs::{File, Metadata};
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

/// Checks that a file made in `folder` may get the name `path`; `made` is such a file, without a name, and `existing` what
/// has the name now.
///
/// # Errors
/// [`ErrorKind::PermissionDenied`] for a file that its permissions let nobody write, for one of another user in a folder with the
/// sticky bit, and, on Linux, for what is immutable or can only be appended to.
pub(super) fn check(path: &Path, existing: Option<&Metadata>, folder: &Path, made: &File) -> Result<()> {
    if existing.is_some_and(|file| file.permissions().readonly()) {
        return refuse("it is read-only: give another name, or make it writable");
    }
    #[cfg(unix)]
    if let Some(file) = existing {
        use std::os::unix::fs::MetadataExt;
        const STICKY: u32 = 0o1000;
        let (here, me) = (std::fs::metadata(folder)?, made.metadata()?.uid());
        if here.mode() & STICKY != 0 && ![file.uid(), here.uid(), 0].contains(&me) {
            return refuse(
                "it belongs to another user, whose files this folder protects (sticky bit): give another name",
            );
        }
    }
    #[cfg(not(unix))]
    let _ = made;
    if existing.is_some() && is_fixed(path) {
        return refuse("it is immutable, or can only be appended to (chattr): give another name");
    }
    if is_fixed(folder) {
        return refuse("files of its folder can be made but not renamed (chattr +a): give another folder");
    }
    Ok(())
}

fn refuse(why: &str) -> Result<()> {
    Err(Error::new(ErrorKind::PermissionDenied, why))
}

/// Whether the file system says that a file or folder is immutable or only grows; not where it does not say.
#[cfg(target_os = "linux")]
fn is_fixed(path: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    let fixed = StatxAttributes::IMMUTABLE | StatxAttributes::APPEND;
    statx(CWD, path, AtFlags::empty(), StatxFlags::empty()).is_ok_and(|s| s.stx_attributes.intersects(fixed))
}

#[cfg(not(target_os = "linux"))]
fn is_fixed(_path: &Path) -> bool {
    false
}
