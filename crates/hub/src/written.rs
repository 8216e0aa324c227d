//! The files of a folder in the making, and how they get there.

use half::{bf16, f16};
use nlpress_core::files;
use safetensors::Dtype;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::HubError;

/// Files by their places in the folder.
pub(crate) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Numbers in a type; in F32 where it is none of floats.
pub(crate) fn to_bytes(dtype: Dtype, numbers: &[f32]) -> (Dtype, Vec<u8>) {
    match dtype {
        Dtype::F16 => (dtype, numbers.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect()),
        Dtype::BF16 => (dtype, numbers.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect()),
        _ => (Dtype::F32, numbers.iter().flat_map(|x| x.to_le_bytes()).collect()),
    }
}

/// `modules.json`.
pub(crate) fn modules(unit: bool) -> Value {
    let module = |n: usize, kind: &str, path: &str| json!({"idx": n, "name": n.to_string(), "path": path, "type": format!("sentence_transformers.models.{kind}")});
    let mut all = vec![module(0, "Transformer", ""), module(1, "Pooling", "1_Pooling")];
    if unit {
        all.push(module(2, "Normalize", "2_Normalize"));
    }
    all.into()
}

/// Writes a folder beside, and renames it when it is whole.
pub(crate) fn write(folder: &Path, all: &Files) -> Result<(), HubError> {
    let fault = |file: &Path| {
        let file = file.to_owned();
        move |error| HubError::Write { file, error }
    };
    let empty = |folder: &Path| folder.read_dir().is_ok_and(|mut entries| entries.next().is_none());
    if folder.exists() && !empty(folder) {
        return Err(HubError::file(folder, "it is there already, and not an empty folder"));
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.with_file_name(format!(".{name}.{}.partial", std::process::id()));
    files::uninterrupted(|| {
        let written = all.iter().try_for_each(|(path, bytes)| {
            let path = beside.join(path);
            let parent = path.parent().expect("a file is in the folder");
            let write = || {
                std::fs::create_dir_all(parent)?;
                let mut file = File::create_new(&path)?;
                file.write_all(bytes)?;
                file.sync_all()
            };
            write().map_err(fault(&path))
        });
        // An empty folder gives way to a whole one.
        let renamed = written.and_then(|()| std::fs::rename(&beside, folder).map_err(fault(folder)));
        if renamed.is_err() {
            let _ = std::fs::remove_dir_all(&beside);
        }
        renamed
    })
}
