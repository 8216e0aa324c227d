//! Training that can be stopped and resumed: everything the loop needs, in one file that is never half-written.
//!
//! The file is a magic number and a [record](crate::record), which ends with its SHA-256: where the training stands,
//! then the state of all that has one. It is written and read piece by piece, so that no second copy of the parameters
//! is ever in memory. It is for this program's own files, never for files from strangers: models travel as artifacts.

use nlpress_core::files;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::Path;

use crate::TrainError;
use crate::adam::Adam;
use crate::history::Epoch;
use crate::identity;
use crate::record::{Reader, Stateful, Writer, invalid};

const MAGIC: &[u8; 8] = b"nlpCKPT3";
/// What all checkpoints of this program begin with, whatever their version.
const ANY: &[u8] = b"nlpCKPT";

/// Where a training stands, between two epochs.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// What is being trained: names and hashes of configuration, seed, data and the like; resuming anything else is
    /// refused with the names of what differs.
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
    /// Writes the file, beside and renamed, with the state of what else the training changes.
    ///
    /// # Errors
    /// [`TrainError::Write`].
    pub fn save(&self, path: &Path, with: &dyn Stateful) -> Result<(), TrainError> {
        let write = files::stream_atomically(path, &mut |file| {
            let mut file = BufWriter::new(file);
            file.write_all(MAGIC)?;
            let mut record = Writer::new(&mut file);
            self.write(&mut record)?;
            with.save(&mut record)?;
            record.end()?;
            file.flush()
        });
        write.map_err(|e| TrainError::Write(path.into(), e))
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
        match file.take(ANY.len() as u64).read_to_end(&mut start) {
            Ok(_) if start.is_empty() || start == ANY => Ok(()),
            _ => Err(bad("it is there and not an nlpress checkpoint, so it is not replaced")),
        }
    }

    /// Reads where a training stands, and no more of the file.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] when it is missing, cut short, changed or not a checkpoint.
    pub fn load(path: &Path) -> Result<Self, TrainError> {
        Self::read_file(path, &mut |_, record| record.skip())
    }

    /// Reads the file of the training `identity`, and gives its state back to what else the training changes.
    ///
    /// # Errors
    /// As [`load`](Progress::load), and when it is another training's.
    pub fn resume(path: &Path, identity: &str, with: &mut dyn Stateful) -> Result<Self, TrainError> {
        Self::read_file(path, &mut |progress, record| {
            if progress.identity != identity {
                return Err(invalid(another(&progress.identity, identity)));
            }
            with.restore(record)
        })
    }

    fn read_file(
        path: &Path,
        then: &mut dyn FnMut(&Self, &mut Reader<'_>) -> io::Result<()>,
    ) -> Result<Self, TrainError> {
        let mut read = || -> io::Result<Self> {
            let (file, size) = files::open_regular(path)?;
            let mut file = BufReader::new(file);
            let mut magic = [0; MAGIC.len()];
            if size < MAGIC.len() as u64 || file.read_exact(&mut magic).is_err() || &magic != MAGIC {
                return Err(invalid("it is not an nlpress checkpoint of this version"));
            }
            let mut record = Reader::new(&mut file, size - MAGIC.len() as u64);
            let progress = Self::read(&mut record)?;
            then(&progress, &mut record)?;
            record.end()?;
            Ok(progress)
        };
        read().map_err(|e| TrainError::Checkpoint(path.into(), e.to_string()))
    }

    fn write(&self, to: &mut Writer<'_>) -> io::Result<()> {
        to.text(&self.identity)?;
        to.count(self.epoch.into())?;
        to.count(self.step)?;
        to.row(&self.flat)?;
        self.adam.save(to)?;
        to.count(self.best.is_some().into())?;
        if let Some((loss, flat)) = &self.best {
            to.number(*loss)?;
            to.row(flat)?;
        }
        to.count(self.stale.into())?;
        to.count(self.epochs.len() as u64)?;
        self.epochs.iter().try_for_each(|epoch| epoch.write(to))
    }

    fn read(from: &mut Reader<'_>) -> io::Result<Self> {
        let small = |n: u64| u32::try_from(n).map_err(|_| invalid(format!("{n} epochs")));
        let (identity, epoch, step) = (from.text()?, small(from.count()?)?, from.count()?);
        let flat = from.row()?;
        let mut adam = Adam::new(flat.len());
        adam.restore(from)?;
        let best = match from.count()? {
            0 => None,
            _ => Some((from.number()?, from.row()?)),
        };
        let stale = small(from.count()?)?;
        let epochs = (0..from.count()?).map(|_| Epoch::read(from)).collect::<io::Result<_>>()?;
        Ok(Self { identity, epoch, step, flat, adam, best, stale, epochs })
    }
}

/// What is said of a checkpoint of another training.
pub(crate) fn another(found: &str, wanted: &str) -> String {
    format!("it belongs to another training; what differs: {}", identity::differing(found, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A state of two numbers and a text.
    #[derive(Debug, Default, PartialEq)]
    struct Two(Vec<f32>, u64);

    impl Stateful for Two {
        fn identity(&self) -> String {
            "two".into()
        }

        fn save(&self, to: &mut Writer<'_>) -> io::Result<()> {
            to.row(&self.0)?;
            to.count(self.1)
        }

        fn restore(&mut self, from: &mut Reader<'_>) -> io::Result<()> {
            self.0 = from.row()?;
            self.1 = from.count()?;
            Ok(())
        }
    }

    #[test]
    fn comes_back_whole_or_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.state");
        let epoch = Epoch { loss: 0.25, valid_loss: None, valid_accuracy: Some(0.5) };
        let progress = Progress {
            identity: "network\tx\nseed\t1\n".into(),
            epoch: 2,
            step: 9,
            flat: vec![1.0, -2.0],
            adam: Adam::new(2),
            best: Some((0.5, vec![0.0, 1.0])),
            stale: 1,
            epochs: vec![epoch],
        };
        let (state, mut back) = (Two(vec![3.0; 5], 7), Two::default());
        progress.save(&path, &state).unwrap();
        assert_eq!(Progress::load(&path).unwrap(), progress);
        assert_eq!(Progress::resume(&path, &progress.identity, &mut back).unwrap(), progress);
        assert_eq!(back, state);
        let other = Progress::resume(&path, "network\tx\nseed\t2\nvalidation data\tz\n", &mut back);
        let other = other.unwrap_err().to_string();
        assert!(other.ends_with("another training; what differs: seed, validation data"), "{other}");
        let bytes = std::fs::read(&path).unwrap();
        let refused = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            Progress::load(&path).is_err()
                && Progress::resume(&path, &progress.identity, &mut Two::default()).is_err()
        };
        for length in 0..bytes.len() {
            assert!(refused(&bytes[..length]), "{length} bytes");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            assert!(refused(&changed), "byte {at}");
        }
        let mut long = bytes;
        long.push(0);
        assert!(refused(&long));
    }
}
