//! The processes that `mpirun` starts, by MPI (Message Passing Interface, MPI Forum 2015).
//!
//! MPI wants to be called by one thread. That thread is its own here: whoever wants something of the other processes asks it
//! and waits. When a process ends without saying so, `mpirun` ends all others; a run goes on from its last checkpoint
//! then.

use ::mpi::collective::{CommunicatorCollectives, Root};
use ::mpi::datatype::PartitionMut;
use ::mpi::topology::{Communicator, SimpleCommunicator};
use nlpress_core::{Peers, PeersError};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Bytes that all processes together receive in one call: MPI counts them in 31 bits.
const AT_ONCE: usize = 1 << 30;
/// How long a process that is done sleeps between two looks at whether the others are.
const LOOK: Duration = Duration::from_millis(20);

/// All processes of the job that this one belongs to.
#[derive(Debug)]
pub struct Mpi {
    rank: usize,
    size: usize,
    asks: Sender<Ask>,
    sent: AtomicU64,
}

enum Ask {
    Gather(Vec<u8>, To, Sender<Vec<Vec<u8>>>),
    Finish(Sender<()>),
}

/// Who gets what is gathered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    All,
    First,
}

impl Mpi {
    /// Joins the other processes; once in a process.
    ///
    /// # Errors
    /// [`PeersError`] when MPI was started before, or the system gives no thread.
    pub fn start() -> Result<Self, PeersError> {
        let ((asks, asked), (says, said)) = (channel(), channel());
        let serve = move || {
            // Its threads are told from the others by MPI, which is called from this one alone.
            let Some((universe, _)) = ::mpi::initialize_with_threading(::mpi::Threading::Funneled) else {
                return;
            };
            let world = universe.world();
            if says.send((world.rank() as usize, world.size() as usize)).is_err() {
                return;
            }
            match answer(&world, &asked) {
                End::Together(says) => {
                    // The process may end when this is done, and not before.
                    drop(universe);
                    let _ = says.send(());
                }
                // The job ends with a failure: to say farewell would wait for the others.
                End::Alone => std::mem::forget(universe),
            }
        };
        let thread = std::thread::Builder::new().name("mpi".into()).spawn(serve);
        thread.map_err(|e| PeersError(format!("a thread could not be started: {e}")))?;
        let (rank, size) = said.recv().map_err(|_| PeersError("MPI was started before".into()))?;
        Ok(Self { rank, size, asks, sent: AtomicU64::new(0) })
    }

    /// Waits, asleep, until all processes have come to this, and takes leave of them.
    ///
    /// # Errors
    /// [`PeersError`] when MPI has ended already.
    pub fn finish(self) -> Result<(), PeersError> {
        let (says, done) = channel();
        self.ask(Ask::Finish(says))?;
        done.recv().map_err(|_| gone())
    }

    fn gathered(&self, own: Vec<u8>, to: To) -> Result<Vec<Vec<u8>>, PeersError> {
        let (says, said) = channel();
        let (length, bytes, others) = (size_of::<u64>() as u64, own.len() as u64, self.size as u64 - 1);
        self.ask(Ask::Gather(own, to, says))?;
        let arrived = said.recv().map_err(|_| gone())?;
        let receivers = if to == To::All { others } else { u64::from(self.rank > 0) };
        self.sent.fetch_add(length * others + bytes * receivers, Ordering::Relaxed);
        Ok(arrived)
    }

    fn ask(&self, ask: Ask) -> Result<(), PeersError> {
        self.asks.send(ask).map_err(|_| gone())
    }
}

fn gone() -> PeersError {
    PeersError("MPI has ended".into())
}

impl Peers for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn all_gather(&self, own: Vec<u8>) -> Result<Vec<Vec<u8>>, PeersError> {
        self.gathered(own, To::All)
    }

    fn gather(&self, own: Vec<u8>) -> Result<Vec<Vec<u8>>, PeersError> {
        self.gathered(own, To::First)
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

/// How a process leaves the others.
enum End {
    /// All are done, and whoever waits for that is to hear of it.
    Together(Sender<()>),
    Alone,
}

/// Does what is asked for, until all is done.
fn answer(world: &SimpleCommunicator, asked: &Receiver<Ask>) -> End {
    for ask in asked {
        match ask {
            Ask::Gather(own, to, says) => {
                // Whoever asked and does not wait any more is on its way out.
                let _ = says.send(gather(world, &own, to));
            }
            Ask::Finish(says) => {
                let mut others = world.immediate_barrier();
                while let Err(waiting) = others.test() {
                    others = waiting;
                    std::thread::sleep(LOOK);
                }
                return End::Together(says);
            }
        }
    }
    End::Alone
}

/// The bytes of all processes, in as many calls as it takes; nothing where this one is none of those that get them. All know
/// the lengths, and so the number of calls.
fn gather(world: &SimpleCommunicator, own: &[u8], to: To) -> Vec<Vec<u8>> {
    let (size, first) = (world.size() as usize, world.process_at_rank(0));
    let mut lengths = vec![0_u64; size];
    world.all_gather_into(&(own.len() as u64), &mut lengths[..]);
    let receives = to == To::All || world.rank() == 0;
    let mut all: Vec<Vec<u8>> = vec![Vec::new(); if receives { size } else { 0 }];
    let (piece, mut done) = ((AT_ONCE / size).max(1), 0);
    while lengths.iter().any(|length| done < *length as usize) {
        let sent = &own[own.len().min(done)..own.len().min(done + piece)];
        if !receives {
            first.gather_varcount_into(sent);
            done += piece;
            continue;
        }
        let left = |length: &u64| (*length as usize).saturating_sub(done).min(piece);
        let counts: Vec<i32> = lengths.iter().map(|length| left(length) as i32).collect();
        let starts = counts.iter().scan(0, |end, count| {
            *end += count;
            Some(*end - count)
        });
        let starts: Vec<i32> = starts.collect();
        let mut arrived = vec![0_u8; counts.iter().map(|count| *count as usize).sum()];
        let mut parts = PartitionMut::new(&mut arrived[..], &counts[..], &starts[..]);
        match to {
            To::All => world.all_gather_varcount_into(sent, &mut parts),
            To::First => first.gather_varcount_into_root(sent, &mut parts),
        }
        for ((all, start), count) in all.iter_mut().zip(&starts).zip(&counts) {
            all.extend_from_slice(&arrived[*start as usize..][..*count as usize]);
        }
        done += piece;
    }
    all
}
