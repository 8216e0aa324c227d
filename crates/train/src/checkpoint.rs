//! Training that can be stopped and resumed: everything the loop needs, in one file that is never half-written.
//!
//! The file is `magic, version, length, SHA-256, body`; the body is bincode 2. It is read back only after its
//! length and checksum agree, and with a size limit. It is for this program's own files, never for files from
//! strangers: models travel as artifacts.

use nlpress_core::files;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::TrainError;
use crate::adam::Adam;
use crate::history::Epoch;

const MAGIC: &[u8; 8] = b"nlpCKPT1";
const LIMIT: usize = 4 << 30;

/// Where a training stands, between two epochs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being trained: a hash over configuration, seed and data; resuming anything else is refused.
    pub identity: String,
    /// Epochs done.
    pub epoch: u32,
    /// Steps done; with the seed it determines every later shuffle and dropout, so no generator is stored.
    pub step: u64,
    /// The parameters.
    pub flat: Vec<f32>,
    /// The optimiser.
    pub adam: Adam,
    /// Best validation loss so far, and the parameters that had it, while early stopping is on.
    pub best: Option<(f64, Vec<f32>)>,
    /// Epochs since then.
    pub stale: u32,
    /// What happened so far.
    pub epochs: Vec<Epoch>,
}

impl Progress {
    /// Writes the file, beside and renamed.
    ///
    /// # Errors
    /// [`TrainError::Write`].
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        let body = bincode::serde::encode_to_vec(self, config())
            .map_err(|e| TrainError::Checkpoint(path.into(), e.to_string()))?;
        let mut bytes = Vec::with_capacity(body.len() + 48);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&Sha256::digest(&body));
        bytes.extend_from_slice(&body);
        files::write_atomically(path, &bytes).map_err(|e| TrainError::Write(path.into(), e))
    }

    /// Refuses to write over a file that is something else than a checkpoint.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] when there is such a file, or it cannot be read.
    pub fn may_replace(path: &Path) -> Result<(), TrainError> {
        let bad = |why: &str| TrainError::Checkpoint(path.into(), why.into());
        let file = match std::fs::File::open(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(|e| bad(&e.to_string()))?,
        };
        let mut start = Vec::new();
        match file.take(MAGIC.len() as u64).read_to_end(&mut start) {
            Ok(_) if start.is_empty() || start == MAGIC => Ok(()),
            _ => Err(bad("it is there and not an nlpress checkpoint, so it is not replaced")),
        }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] when it is missing, cut short, changed or not a checkpoint.
    pub fn load(path: &Path) -> Result<Self, TrainError> {
        let bad = |why: &str| TrainError::Checkpoint(path.into(), why.into());
        let bytes = files::read_bounded(path, LIMIT as u64).map_err(|e| bad(&e.to_string()))?;
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| bad("it is not an nlpress checkpoint"))?;
        let (length, rest) = rest.split_first_chunk::<8>().ok_or_else(|| bad("it is cut short"))?;
        let (sum, body) = rest.split_first_chunk::<32>().ok_or_else(|| bad("it is cut short"))?;
        if u64::from_le_bytes(*length) != body.len() as u64 {
            return Err(bad("its length is not the one it states: it is cut short or was appended to"));
        }
        if Sha256::digest(body).as_slice() != sum {
            return Err(bad("its checksum does not agree: it was changed"));
        }
        let (progress, _) =
            bincode::serde::decode_from_slice(body, config()).map_err(|e| bad(&e.to_string()))?;
        Ok(progress)
    }
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<LIMIT>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_whole_or_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.state");
        let progress = Progress {
            identity: "x".into(),
            epoch: 2,
            step: 9,
            flat: vec![1.0, -2.0],
            adam: Adam::new(2),
            best: Some((0.5, vec![0.0, 1.0])),
            stale: 1,
            epochs: vec![],
        };
        progress.save(&path).unwrap();
        assert_eq!(Progress::load(&path).unwrap(), progress);
        let bytes = std::fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(Progress::load(&path).is_err(), "{length} bytes");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            std::fs::write(&path, &changed).unwrap();
            assert!(Progress::load(&path).is_err(), "byte {at}");
        }
    }
}
