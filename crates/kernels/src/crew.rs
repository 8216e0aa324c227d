//! Threads that work on the parts of one task together.
//!
//! A part of a layer takes some hundred microseconds, so threads wait for the next task without being sent to sleep at
//! once, and whoever is awake takes the parts: a thread that comes late finds none left, and nobody waits for it.
//!
//! # Unsafe code
//!
//! A task borrows what its caller owns, while threads live longer. [`Crew::each`] returns only when every part is done, and a
//! thread looks at a task only after it took a part of it that is not done yet; so what it sees is there.

use std::any::Any;
use std::cell::UnsafeCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

/// Most parts of a task, and most threads that are of use.
const MOST: usize = 16;
/// How long a thread that has nothing to do stays awake.
const AWAKE: Duration = Duration::from_micros(50);
/// Looks at what it waits for between two looks at the clock.
const LOOKS: usize = 32;

/// The caller's thread and others that help it.
pub struct Crew {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
    /// Held by the one caller whose task it is.
    busy: Mutex<()>,
}

/// What a task is: to be done for each number of a part.
struct Task {
    work: *const (dyn Fn(usize) + Sync),
    caller: Thread,
}

struct Shared {
    /// Counted up with each task, then its parts, then those that are taken: 32, 16 and 16 bits.
    open: AtomicU64,
    /// Parts that are not done.
    left: AtomicUsize,
    /// Written by the caller while no part is left, read by whoever has taken a part.
    task: UnsafeCell<Option<Task>>,
    /// What the first part that failed did so with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    ends: AtomicBool,
}

// SAFETY: `task` is written only while there is no part of it that is taken and not done, and read only by those who have
// taken one; taking is an atomic exchange after the write. What it points at is `Sync`, and all else is for threads.
unsafe impl Sync for Shared {}
// SAFETY: the pointer in it is followed only as said above, wherever it is.
unsafe impl Send for Shared {}

impl Shared {
    /// Takes a part that nobody has; whoever does must [do](Shared::work) it.
    fn take(&self) -> Option<usize> {
        let mut open = self.open.load(Ordering::Acquire);
        loop {
            let (parts, taken) = (open >> 16 & 0xffff, open & 0xffff);
            if taken == parts {
                return None;
            }
            match self.open.compare_exchange_weak(open, open + 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(taken as usize),
                Err(now) => open = now,
            }
        }
    }

    /// Does parts of the task as long as there are any.
    fn work(&self) {
        while let Some(part) = self.take() {
            // SAFETY: the part is taken and not done, so the task is there until `left` is counted down.
            let (work, caller) = unsafe {
                let task = (*self.task.get()).as_ref().expect("written before its parts are open");
                (&*task.work, task.caller.clone())
            };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(part))) {
                self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
            }
            if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
                caller.unpark();
            }
        }
    }

    /// What a helper does.
    fn help(&self) {
        while !self.ends.load(Ordering::Acquire) {
            self.work();
            let is_open = || {
                let open = self.open.load(Ordering::Acquire);
                open >> 16 & 0xffff != open & 0xffff || self.ends.load(Ordering::Acquire)
            };
            if !soon(is_open) {
                thread::park();
            }
        }
    }
}

/// Waits, awake, for what is true within [`AWAKE`].
fn soon(is: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    loop {
        for _ in 0..LOOKS {
            if is() {
                return true;
            }
            std::hint::spin_loop();
        }
        if start.elapsed() > AWAKE {
            return false;
        }
    }
}

impl Crew {
    /// A crew of so many threads, that of the caller among them; of more than 16, 16.
    ///
    /// # Errors
    /// The system's, when it does not give a thread.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            open: AtomicU64::new(0),
            left: AtomicUsize::new(0),
            task: UnsafeCell::new(None),
            panic: Mutex::new(None),
            ends: AtomicBool::new(false),
        });
        let mut crew = Self { shared, helpers: Vec::new(), busy: Mutex::new(()) };
        for _ in 1..threads.min(MOST) {
            let shared = Arc::clone(&crew.shared);
            crew.helpers.push(thread::Builder::new().spawn(move || shared.help())?);
        }
        Ok(crew)
    }

    /// Threads, that of the caller among them.
    pub fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Does `work` for each of the parts, of which there are 16 at most; returns when all are done. Where the crew is busy with
    /// another task, the caller does all alone. Allocates nothing.
    ///
    /// # Panics
    /// When there are more parts, and when a part does, once all are done.
    pub fn each<T: Send>(&self, parts: impl Iterator<Item = T>, work: impl Fn(T) + Sync) {
        let mut parts = parts.fuse();
        let mut count = 0;
        let all: [Part<T>; MOST] = std::array::from_fn(|_| {
            let part = parts.next();
            count += usize::from(part.is_some());
            Part(UnsafeCell::new(part))
        });
        assert!(parts.next().is_none(), "at most {MOST} parts");
        let one = |part: usize| {
            // SAFETY: each number is taken once, so nobody else is at this part.
            if let Some(part) = unsafe { (*all[part].0.get()).take() } {
                work(part);
            }
        };
        match self.busy.try_lock() {
            Ok(_held) if count > 1 && !self.helpers.is_empty() => self.together(count, &one),
            _ => (0..count).for_each(one),
        }
    }

    /// Does a task of so many parts, with all that are awake.
    fn together(&self, parts: usize, work: &(dyn Fn(usize) + Sync)) {
        let shared = &*self.shared;
        let work = std::ptr::from_ref(work);
        // SAFETY: nothing but the lifetime differs, and the pointer is not followed once this function has returned.
        let work = unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), *const (dyn Fn(usize) + Sync + 'static)>(
                work,
            )
        };
        // SAFETY: the task before has no part left, and all of its parts were taken, so nobody reads it.
        unsafe { *shared.task.get() = Some(Task { work, caller: thread::current() }) };
        shared.left.store(parts, Ordering::Release);
        let number = (shared.open.load(Ordering::Acquire) >> 32).wrapping_add(1);
        shared.open.store(number << 32 | (parts as u64) << 16, Ordering::Release);
        for helper in self.helpers.iter().take(parts - 1) {
            helper.thread().unpark();
        }
        shared.work();
        let is_done = || shared.left.load(Ordering::Acquire) == 0;
        while !soon(is_done) {
            thread::park();
        }
        if let Some(panic) = shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take() {
            resume_unwind(panic);
        }
    }
}

/// A part until it is taken.
struct Part<T>(UnsafeCell<Option<T>>);

// SAFETY: of one part, one thread takes what is in it, and it may be sent there.
unsafe impl<T: Send> Sync for Part<T> {}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Release);
        for helper in self.helpers.drain(..) {
            helper.thread().unpark();
            // It fails for a thread that panicked, which none does: parts are caught.
            let _ = helper.join();
        }
    }
}

impl fmt::Debug for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crew").field("threads", &self.threads()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(target_family = "wasm", ignore = "starts threads")]
    fn every_part_is_done_once_however_many_there_are() {
        for threads in [1, 2, 3, 40] {
            let crew = Crew::new(threads).unwrap();
            assert_eq!(crew.threads(), threads.min(MOST));
            for round in 0..if cfg!(miri) { 20 } else { 500 } {
                let mut counts = vec![0; round % (MOST + 1)];
                crew.each(counts.iter_mut().enumerate(), |(n, count)| *count += n + round);
                assert!(
                    counts.iter().enumerate().all(|(n, count)| *count == n + round),
                    "{threads}, {round}"
                );
            }
        }
    }

    #[test]
    #[cfg_attr(target_family = "wasm", ignore = "starts threads")]
    fn threads_that_sleep_are_woken() {
        let crew = Crew::new(2).unwrap();
        for _ in 0..3 {
            thread::sleep(10 * AWAKE);
            // Neither part ends before the other has begun, so two threads are at work.
            let begun = AtomicUsize::new(0);
            crew.each(0..2, |_| {
                begun.fetch_add(1, Ordering::SeqCst);
                while begun.load(Ordering::SeqCst) < 2 {
                    thread::yield_now();
                }
            });
        }
    }

    #[test]
    #[cfg_attr(target_family = "wasm", ignore = "starts threads")]
    fn a_busy_crew_leaves_the_work_to_its_caller() {
        let crew = Crew::new(3).unwrap();
        let sum = AtomicUsize::new(0);
        let add = |n| {
            sum.fetch_add(n, Ordering::Relaxed);
        };
        crew.each(0..4, |n| crew.each(0..n, add));
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..10).for_each(|_| crew.each(0..5, add)));
            }
        });
        assert_eq!(sum.into_inner(), 1 + 3 + 3 * 10 * 10);
    }

    #[test]
    #[cfg_attr(target_family = "wasm", ignore = "starts threads")]
    fn a_part_that_panics_does_so_for_the_caller_and_leaves_the_crew_whole() {
        let crew = Crew::new(2).unwrap();
        let done = AtomicUsize::new(0);
        let failed = catch_unwind(AssertUnwindSafe(|| {
            crew.each(0..6, |n| {
                assert!(n != 3, "part three");
                done.fetch_add(1, Ordering::Relaxed);
            });
        }));
        assert_eq!(failed.unwrap_err().downcast_ref::<&str>(), Some(&"part three"));
        assert_eq!(done.into_inner(), 5);
        let mut doubled = [1, 2, 3];
        crew.each(doubled.iter_mut(), |n| *n *= 2);
        assert_eq!(doubled, [2, 4, 6]);
    }
}
