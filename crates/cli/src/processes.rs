//! The processes of a run, where `mpirun` started several.

use nlpress::core::Peers;
use std::env;

use crate::outcome::refuse;

/// What launchers tell a process: how many they started, and how many of them on this machine.
const SIZES: [&str; 2] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];
const LOCAL_SIZES: [&str; 2] = ["OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"];

/// How many processes were started together, as the launcher says; 1 without one.
fn started() -> usize {
    number(&SIZES)
}

fn number(names: &[&str]) -> usize {
    let said = names.iter().find_map(|name| env::var(name).ok()?.parse().ok());
    said.unwrap_or(1).max(1)
}

/// The threads of this process: as many as asked for, or its part of the machine's processors.
pub(crate) fn threads(asked: Option<usize>) -> usize {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    asked.unwrap_or_else(|| (all / number(&LOCAL_SIZES)).max(1))
}

/// The other processes of a run.
#[derive(Debug)]
pub(crate) struct Processes {
    #[cfg(feature = "mpi")]
    mpi: nlpress::parallel::Mpi,
}

impl Processes {
    /// Joins the others; nothing where there are none.
    ///
    /// # Errors
    /// Several were started and this program cannot join them.
    pub(crate) fn join() -> anyhow::Result<Option<Self>> {
        match started() {
            1 => Ok(None),
            several => Self::of(several).map(Some),
        }
    }

    #[cfg(feature = "mpi")]
    fn of(_several: usize) -> anyhow::Result<Self> {
        Ok(Self { mpi: nlpress::parallel::Mpi::start().map_err(refuse)? })
    }

    #[cfg(not(feature = "mpi"))]
    fn of(several: usize) -> anyhow::Result<Self> {
        Err(refuse(format!(
            "{several} processes were started together, but this nlpress was built without MPI: build it with \
             --features mpi, or start one"
        )))
    }

    /// What the run knows of them.
    #[cfg(feature = "mpi")]
    pub(crate) fn peers(&self) -> &dyn Peers {
        &self.mpi
    }

    /// What the run knows of them: a program that cannot join them has none.
    #[cfg(not(feature = "mpi"))]
    pub(crate) fn peers(&self) -> &dyn Peers {
        unreachable!("without MPI there are no other processes")
    }

    /// Waits until all are done.
    ///
    /// # Errors
    /// They cannot be reached any more.
    #[cfg(feature = "mpi")]
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        Ok(self.mpi.finish()?)
    }

    /// Waits for nobody.
    ///
    /// # Errors
    /// None.
    #[cfg(not(feature = "mpi"))]
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        Ok(())
    }
}
