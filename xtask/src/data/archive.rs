//! Files inside archives (`.whl`/`.zip`, `.tgz`/`.tar.gz`), within limits and never outside a folder.

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

/// Largest file of an archive, and most bytes of all its files together.
const MAX_FILE: u64 = 1 << 30;
const MAX_TOTAL: u64 = 4 << 30;
/// Most entries of an archive.
const MAX_ENTRIES: usize = 200_000;

/// Calls `each` with the path and the content of every regular file.
///
/// # Errors
/// Archives that are damaged or too large, and paths that lead out of the archive.
pub(crate) fn walk(archive: &Path, mut each: impl FnMut(&Path, &mut dyn Read) -> Result<()>) -> Result<()> {
    let file = File::open(archive).with_context(|| format!("cannot read {}", archive.display()))?;
    let mut total = 0u64;
    let mut visit = |name: &str, size: u64, content: &mut dyn Read| -> Result<()> {
        let path = inside(name)?;
        total = total.saturating_add(size);
        if size > MAX_FILE || total > MAX_TOTAL {
            bail!("{name:?} makes the archive larger than the limit");
        }
        // The size in the header is not believed: no more than it says is read.
        each(&path, &mut content.take(size))
    };
    if archive.extension().is_some_and(|e| e == "whl" || e == "zip") {
        let mut zip = zip::ZipArchive::new(io::BufReader::new(file))?;
        if zip.len() > MAX_ENTRIES {
            bail!("{} entries are more than {MAX_ENTRIES}", zip.len());
        }
        for i in 0..zip.len() {
            let mut entry = zip.by_index(i)?;
            if entry.is_file() {
                let (name, size) = (entry.name().to_owned(), entry.size());
                visit(&name, size, &mut entry)?;
            }
        }
        return Ok(());
    }
    read_tar(io::BufReader::new(file), &mut visit)
}

/// Like [`walk`], for a gzipped tar that is itself a stream.
pub(crate) fn walk_inner(
    content: impl Read,
    mut each: impl FnMut(&Path, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    read_tar(content, &mut |name, size, content| {
        if size > MAX_FILE {
            bail!("{name:?} is larger than the limit");
        }
        each(&inside(name)?, &mut content.take(size))
    })
}

fn read_tar(content: impl Read, visit: &mut dyn FnMut(&str, u64, &mut dyn Read) -> Result<()>) -> Result<()> {
    let mut tar = tar::Archive::new(GzDecoder::new(content).take(MAX_TOTAL + (1 << 28)));
    for (i, entry) in tar.entries()?.enumerate() {
        if i >= MAX_ENTRIES {
            bail!("more than {MAX_ENTRIES} entries");
        }
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let name = entry.path()?.to_str().context("a path that is not UTF-8")?.to_owned();
            let size = entry.size();
            visit(&name, size, &mut entry)?;
        }
    }
    Ok(())
}

/// Reads one file of an archive whole, by the end of its path.
pub(crate) fn read(archive: &Path, ending: &str) -> Result<Vec<u8>> {
    let mut found = None;
    walk(archive, |path, content| {
        if path.ends_with(ending) {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            found = Some(bytes);
        }
        Ok(())
    })?;
    found.with_context(|| format!("no {ending} in {}", archive.display()))
}

/// Unpacks every file in the archive's folder `below` into `folder`, and returns how many there are. Files are written beside
/// and renamed.
pub(crate) fn unpack(archive: &Path, below: &str, folder: &Path) -> Result<u64> {
    let mut files = 0;
    walk(archive, |path, content| {
        let Ok(path) = path.strip_prefix(below) else {
            return Ok(());
        };
        let to = folder.join(path);
        let parent = to.parent().context("a file without a folder")?;
        fs::create_dir_all(parent)?;
        let mut beside = tempfile::Builder::new().suffix(".partial").tempfile_in(parent)?;
        io::copy(content, beside.as_file_mut())?;
        beside.persist(&to)?;
        files += 1;
        Ok(())
    })?;
    if files == 0 {
        bail!("{} has no files in {below}", archive.display());
    }
    Ok(files)
}

/// A path of an archive, when it stays inside.
fn inside(name: &str) -> Result<PathBuf> {
    let path = Path::new(name);
    let plain = path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if !plain || name.is_empty() || name.contains(['\\', '\0', ':']) {
        bail!("the archive has the path {name:?}, which may lead out of it");
    }
    Ok(path.components().filter(|c| matches!(c, Component::Normal(_))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn tar_of(name: &str) -> Vec<u8> {
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(2);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append(&header, &b"hi"[..]).unwrap();
        tar.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn unpacks_what_stays_inside_and_refuses_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("a.tgz");
        fs::write(&archive, tar_of("p/x.txt")).unwrap();
        let to = folder.path().join("to");
        assert_eq!(unpack(&archive, "p", &to).unwrap(), 1);
        assert_eq!(fs::read(to.join("x.txt")).unwrap(), b"hi");
        assert!(unpack(&archive, "x", &to).is_err());
        assert_eq!(read(&archive, "x.txt").unwrap(), b"hi");
        assert!(read(&archive, "y.txt").is_err());
        for bad in ["../x", "/etc/x", "a/../../x", "c:x", "a\\x"] {
            fs::write(&archive, tar_of(bad)).unwrap();
            assert!(unpack(&archive, "", &to).is_err(), "{bad}");
        }
    }

    #[test]
    fn reads_wheels() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("a.whl");
        let mut zip = zip::ZipWriter::new(File::create(&archive).unwrap());
        zip.start_file("d/x.tab", zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(b"table").unwrap();
        zip.finish().unwrap();
        assert_eq!(read(&archive, "x.tab").unwrap(), b"table");
        fs::write(&archive, b"not a zip").unwrap();
        assert!(read(&archive, "x.tab").is_err());
    }
}
