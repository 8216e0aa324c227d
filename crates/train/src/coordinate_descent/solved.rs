//! The classes that are solved, and the file that keeps them.

use nlpress_core::files;
use nlpress_model::Model;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use super::CoordinateDescent;
use crate::TrainError;
use crate::checkpoint::{self, Progress};
use crate::identity;
use crate::label_training::LabelTraining;
use crate::record::{Reader, Writer, invalid};

/// What such a checkpoint begins with.
const MAGIC: &[u8; 8] = b"nlpCKPTd";

/// A class that is solved.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Class {
    /// Of each feature.
    pub(super) weights: Vec<f32>,
    pub(super) bias: f32,
    pub(super) passes: u32,
    pub(super) is_optimal: bool,
}

/// The classes that are solved, of one training.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Solved {
    identity: String,
    /// One for each output.
    pub(super) classes: Vec<Option<Class>>,
}

impl Solved {
    /// What the checkpoint has, where there is one to go on from; else nothing.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] for a file that cannot be read, is something else or another training's.
    pub(super) fn open(
        model: &Model,
        config: &CoordinateDescent,
        training: &LabelTraining<'_>,
    ) -> Result<Self, TrainError> {
        let shape = model.layers()[0].shape;
        let Some(path) = training.checkpoint else {
            return Ok(Self { identity: String::new(), classes: vec![None; shape.outputs] });
        };
        let identity = identity::of_solver(model, config, training);
        if !(training.resume && path.exists()) {
            Progress::may_replace(path)?;
            return Ok(Self { identity, classes: vec![None; shape.outputs] });
        }
        let (found, classes) = read(path, (shape.outputs, shape.inputs))
            .map_err(|e| TrainError::Checkpoint(path.into(), e.to_string()))?;
        if found != identity {
            return Err(TrainError::Checkpoint(path.into(), checkpoint::another(&found, &identity)));
        }
        Ok(Self { identity, classes })
    }

    /// The outputs that are not solved.
    pub(super) fn left(&self) -> Vec<usize> {
        (0..self.classes.len()).filter(|&n| self.classes[n].is_none()).collect()
    }

    pub(super) fn done(&self) -> usize {
        self.classes.iter().flatten().count()
    }

    /// Writes the file, beside and renamed.
    ///
    /// # Errors
    /// [`TrainError::Write`].
    pub(super) fn save(&self, path: &Path) -> Result<(), TrainError> {
        let write = files::stream_atomically(path, &mut |file| {
            let mut file = BufWriter::new(file);
            file.write_all(MAGIC)?;
            let mut record = Writer::new(&mut file);
            record.text(&self.identity)?;
            record.count(self.classes.len() as u64)?;
            for class in &self.classes {
                record.count(class.is_some().into())?;
                if let Some(class) = class {
                    record.row(&class.weights)?;
                    record.row(&[class.bias])?;
                    record.count(class.passes.into())?;
                    record.count(class.is_optimal.into())?;
                }
            }
            record.end()?;
            file.flush()
        });
        write.map_err(|e| TrainError::Write(path.into(), e))
    }
}

/// The identity of a checkpoint's training, and its classes: so many outputs, of so many features.
fn read(path: &Path, (outputs, features): (usize, usize)) -> io::Result<(String, Vec<Option<Class>>)> {
    let (file, size) = files::open_regular(path)?;
    let mut file = BufReader::new(file);
    let mut magic = [0; MAGIC.len()];
    if size < MAGIC.len() as u64 || file.read_exact(&mut magic).is_err() || &magic != MAGIC {
        return Err(invalid("it is no nlpress checkpoint of this solver and version"));
    }
    let mut record = Reader::new(&mut file, size - MAGIC.len() as u64);
    let identity = record.text()?;
    let mut classes = Vec::new();
    for _ in 0..record.count()? {
        if record.count()? == 0 {
            classes.push(None);
            continue;
        }
        let (weights, bias) = (record.row()?, record.row()?);
        let passes = u32::try_from(record.count()?).map_err(|_| invalid("too many passes"))?;
        let is_optimal = record.count()? != 0;
        match bias[..] {
            [bias] if weights.len() == features => {
                classes.push(Some(Class { weights, bias, passes, is_optimal }));
            }
            _ => return Err(invalid("a class has another number of weights")),
        }
    }
    record.end()?;
    match classes.len() == outputs {
        true => Ok((identity, classes)),
        false => Err(invalid(format!("it has {} outputs where there are {outputs}", classes.len()))),
    }
}
