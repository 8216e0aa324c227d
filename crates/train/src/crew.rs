//! Threads that train together: each computes on its own, and what all of them did is there before the next thing is done.
//!
//! burn hands its operations to the threads of the current pool. So every worker is a pool of one thread: what it computes
//! stays on it, and no worker waits in the middle of its work to do that of another.

use rayon::ThreadPool;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::TrainError;

/// Entries whose sum of squares is one number, so that the sum of all does not depend on who adds what.
const SQUARES: usize = 1 << 16;
/// Entries for which it is not worth waking a thread up.
const FEW: usize = 1 << 14;

/// Some threads that train together.
#[derive(Debug)]
pub struct Crew {
    workers: Vec<ThreadPool>,
}

impl Crew {
    /// A crew of `workers` threads, one where none is asked for.
    ///
    /// # Errors
    /// [`TrainError::Failed`] when they cannot be started.
    pub fn new(workers: usize) -> Result<Self, TrainError> {
        let start = |_| rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let started = (0..workers.max(1)).map(start).collect::<Result<_, _>>();
        let why = |e| TrainError::Failed(format!("{workers} threads could not be started: {e}"));
        Ok(Self { workers: started.map_err(why)? })
    }

    /// Number of its threads.
    pub fn len(&self) -> usize {
        self.workers.len()
    }

    /// Never: there is a thread at least.
    pub fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    /// Does every job on one of the threads, each of which takes the next that nobody has taken; the results come in the
    /// order of the jobs.
    ///
    /// # Panics
    /// As a job does, when all that were begun have ended.
    pub fn map<J: Send, R: Send>(&self, jobs: Vec<J>, work: impl Fn(J) -> R + Sync) -> Vec<R> {
        let results: Vec<Mutex<Option<R>>> = jobs.iter().map(|_| Mutex::default()).collect();
        let jobs: Vec<Mutex<Option<J>>> = jobs.into_iter().map(|job| Mutex::new(Some(job))).collect();
        let next = AtomicUsize::new(0);
        let several = || {
            while let Some(number) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|n| *n < jobs.len()) {
                let job = jobs[number].lock().unwrap_or_else(PoisonError::into_inner).take();
                let result = job.map(&work);
                *results[number].lock().unwrap_or_else(PoisonError::into_inner) = result;
            }
        };
        // Whoever calls from a pool of one thread works along in place of the first: that is one thread less to wake.
        let works_along = rayon::current_thread_index().is_some() && rayon::current_num_threads() == 1;
        let busy = self.workers.len().min(jobs.len());
        each_of(&self.workers[usize::from(works_along).min(busy)..busy], works_along, &several);
        let done = results.into_iter().map(|r| r.into_inner().unwrap_or_else(PoisonError::into_inner));
        done.map(|result| result.expect("every job was done, or one of them panicked")).collect()
    }
}

/// Does the same on each of some threads, and on this one where it works along, and waits for all.
fn each_of(workers: &[ThreadPool], works_along: bool, work: &(dyn Fn() + Sync)) {
    match workers {
        [] if works_along => work(),
        [] => {}
        [last] if !works_along => last.install(work),
        [first, others @ ..] => first.in_place_scope(|scope| {
            scope.spawn(|_| work());
            each_of(others, works_along, work);
        }),
    }
}

/// Cuts rows of one length at the same places, and calls `work` with where each piece begins and the pieces: on the threads
/// of the crew, where there is one. For work that does to an entry what does not depend on the others.
///
/// # Panics
/// When the lengths differ, or `work` panics.
pub(crate) fn by_pieces<const N: usize>(
    crew: Option<&Crew>,
    rows: [&mut [f32]; N],
    work: impl Fn(usize, [&mut [f32]; N]) + Sync,
) {
    let len = rows.first().map_or(0, |row| row.len());
    assert!(rows.iter().all(|row| row.len() == len), "the rows have different lengths");
    let Some(crew) = crew.filter(|crew| crew.len() > 1 && len > FEW) else { return work(0, rows) };
    let (mut rest, mut jobs) = (rows, Vec::new());
    for Range { start, end } in pieces(len, crew.len()) {
        let mut now = Vec::with_capacity(N);
        rest = rest.map(|row| {
            let (piece, later) = row.split_at_mut(end - start);
            now.push(piece);
            later
        });
        let now: Result<[&mut [f32]; N], _> = now.try_into();
        jobs.push((start, now.expect("there is a piece of every row")));
    }
    crew.map(jobs, |(start, pieces)| work(start, pieces));
}

/// `len` entries in `count` pieces, which begin at cache lines.
fn pieces(len: usize, count: usize) -> impl Iterator<Item = Range<usize>> {
    let bound = move |n: usize| if n == count { len } else { len * n / count / 16 * 16 };
    (0..count).map(move |n| bound(n)..bound(n + 1))
}

/// The sum of the squares of a row, the same whoever adds.
pub(crate) fn sum_of_squares(crew: Option<&Crew>, row: &[f32]) -> f64 {
    let of = |block: &[f32]| block.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
    match crew.filter(|crew| crew.len() > 1 && row.len() > SQUARES) {
        None => row.chunks(SQUARES).map(of).sum(),
        Some(crew) => crew.map(row.chunks(SQUARES).collect(), of).into_iter().sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Barrier;

    #[test]
    fn results_come_in_the_order_of_the_jobs() {
        for workers in [1, 2, 5] {
            let crew = Crew::new(workers).unwrap();
            let squares = crew.map((0..40).collect(), |n: usize| n * n);
            assert_eq!(squares, (0..40).map(|n| n * n).collect::<Vec<_>>(), "{workers}");
            assert!(crew.map(Vec::<u8>::new(), |_| ()).is_empty());
        }
    }

    #[test]
    fn the_threads_work_side_by_side_and_each_alone() {
        let crew = Crew::new(3).unwrap();
        let all = Barrier::new(3);
        // It would wait for ever if two jobs were done one after another.
        let threads = crew.map(vec![(), (), ()], |()| {
            all.wait();
            rayon::current_num_threads()
        });
        assert_eq!(threads, [1, 1, 1]);
    }

    #[test]
    fn a_pool_of_one_thread_works_along() {
        let (crew, pool) =
            (Crew::new(3).unwrap(), rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap());
        let (all, own) = (Barrier::new(3), pool.install(|| std::thread::current().id()));
        let who = || {
            all.wait();
            (rayon::current_num_threads(), std::thread::current().id())
        };
        let threads = pool.install(|| crew.map(vec![(), (), ()], |()| who()));
        assert!(threads.iter().all(|(alone, _)| *alone == 1));
        assert_eq!(threads.iter().filter(|(_, id)| *id == own).count(), 1);
        assert_eq!(pool.install(|| crew.map(vec![1, 2], |n| n * n)), [1, 4]);
        assert!(pool.install(|| crew.map(Vec::<u8>::new(), |_| ())).is_empty());
    }

    #[test]
    fn a_panic_of_a_job_is_the_callers_and_the_crew_works_on() {
        let crew = Crew::new(2).unwrap();
        let work = |n: i32| assert!(n != 3, "the third");
        assert!(catch_unwind(AssertUnwindSafe(|| crew.map((0..6).collect(), work))).is_err());
        assert_eq!(crew.map(vec![1, 2], |n| n), [1, 2]);
    }

    #[test]
    fn pieces_are_every_entry_once() {
        for len in [0, 1, 15, 16, 17, 1000, FEW + 1, 3 * FEW + 5] {
            for workers in [1, 2, 3, 7] {
                let crew = Crew::new(workers).unwrap();
                let (mut a, mut b) = (vec![1.0; len], vec![0.0; len]);
                by_pieces(Some(&crew), [&mut a, &mut b], |start, [a, b]| {
                    for (i, (a, b)) in a.iter_mut().zip(b).enumerate() {
                        *b += *a + (start + i) as f32;
                        *a += 1.0;
                    }
                });
                assert_eq!(a, vec![2.0; len]);
                assert_eq!(b, (0..len).map(|i| 1.0 + i as f32).collect::<Vec<_>>(), "{len} {workers}");
            }
        }
    }

    #[test]
    fn the_sum_of_squares_does_not_depend_on_the_crew() {
        let row: Vec<f32> = (0..5 * SQUARES + 77).map(|i| (i as f32).sin()).collect();
        let alone = sum_of_squares(None, &row);
        for workers in [1, 2, 3] {
            let crew = Crew::new(workers).unwrap();
            assert_eq!(sum_of_squares(Some(&crew), &row).to_bits(), alone.to_bits());
        }
        assert!((alone - row.len() as f64 / 2.0).abs() < 2.0, "{alone}");
    }
}
