//! Work on a stream by several threads whose results come out in order.
//!
//! There is no thread that reads and none that writes: every worker takes the next item under a lock, works on it
//! alone, and puts out what is ready, its own and that of others, in the order of the items. So nobody waits for an
//! item that has not come while there is an answer to give, one thread costs no hand-over, and no more than a few
//! results wait for a slow one.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

/// Results a thread that may wait for an earlier one, before nothing more is taken.
const WAITING: usize = 4;

/// Takes items from `next` until there are none, works on them with so many threads, each with a room of its own, and
/// puts the results out in the order of their items. Threads are started as items come.
///
/// # Errors
/// The first error in the order of the items, of `next`, `work` or `put`; what was before it is put out.
pub(super) fn in_order<T, R, O>(
    threads: usize,
    next: impl FnMut() -> anyhow::Result<Option<T>> + Send,
    work: impl Fn(T, &mut R) -> anyhow::Result<O> + Sync,
    put: impl FnMut(O) -> anyhow::Result<()> + Send,
) -> anyhow::Result<()>
where
    R: Default,
    O: Send,
{
    let source = Mutex::new(Source { next, taken: 0, ended: false });
    let sink = Mutex::new(Sink { put, expected: 0, waiting: BTreeMap::new(), failed: None, broken: false });
    let shared = Shared { source, sink, turn: Condvar::new(), work, threads };
    std::thread::scope(|scope| shared.take_part(scope, 1));
    let sink = shared.sink.into_inner().unwrap_or_else(PoisonError::into_inner);
    sink.failed.map_or(Ok(()), Err)
}

struct Source<N> {
    next: N,
    taken: u64,
    ended: bool,
}

struct Sink<P, O> {
    put: P,
    /// The item whose result is put out next.
    expected: u64,
    waiting: BTreeMap<u64, anyhow::Result<O>>,
    failed: Option<anyhow::Error>,
    /// A worker panicked, so what is expected may never come.
    broken: bool,
}

struct Shared<N, P, O, W> {
    source: Mutex<Source<N>>,
    sink: Mutex<Sink<P, O>>,
    /// Told when results were put out.
    turn: Condvar,
    work: W,
    threads: usize,
}

impl<N, P: Send, O: Send, W> Shared<N, P, O, W> {
    /// The life of worker number `worker`, counted from 1; with its first item it starts the next one.
    fn take_part<'scope, T, R: Default>(&'scope self, scope: &'scope Scope<'scope, '_>, worker: usize)
    where
        N: FnMut() -> anyhow::Result<Option<T>> + Send,
        P: FnMut(O) -> anyhow::Result<()> + Send,
        W: Fn(T, &mut R) -> anyhow::Result<O> + Sync,
    {
        let _guard = Guard(self);
        let mut room = R::default();
        let mut alone = worker < self.threads;
        while self.may_go_on() {
            let Some((number, item)) = self.take() else { return };
            if std::mem::take(&mut alone) {
                // Where the system gives no more threads, those that run do the work.
                let next = std::thread::Builder::new();
                let _ = next.spawn_scoped(scope, move || self.take_part(scope, worker + 1));
            }
            let made = item.and_then(|item| (self.work)(item, &mut room));
            self.put(number, made);
        }
    }

    /// Waits while too many results wait; false when there is nothing more to do for anybody.
    fn may_go_on(&self) -> bool {
        let mut sink = locked(&self.sink);
        loop {
            if sink.failed.is_some() || sink.broken {
                return false;
            }
            if sink.waiting.len() < WAITING * self.threads {
                return true;
            }
            sink = self.turn.wait(sink).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next item and its number; an error takes the place of an item, and is the last.
    fn take<T>(&self) -> Option<(u64, anyhow::Result<T>)>
    where
        N: FnMut() -> anyhow::Result<Option<T>>,
    {
        let mut source = locked(&self.source);
        if source.ended {
            return None;
        }
        let item = (source.next)().transpose();
        source.ended = !matches!(item, Some(Ok(_)));
        let number = source.taken;
        source.taken += 1;
        item.map(|item| (number, item))
    }

    fn put(&self, number: u64, made: anyhow::Result<O>)
    where
        P: FnMut(O) -> anyhow::Result<()>,
    {
        let mut sink = locked(&self.sink);
        sink.waiting.insert(number, made);
        while sink.failed.is_none() {
            let expected = sink.expected;
            let Some(made) = sink.waiting.remove(&expected) else { break };
            sink.expected += 1;
            if let Err(error) = made.and_then(|made| (sink.put)(made)) {
                sink.failed = Some(error);
            }
        }
        drop(sink);
        self.turn.notify_all();
    }
}

/// Lets the others end when a worker panics, so that the panic is seen and not a program that waits for ever.
struct Guard<'a, N, P, O, W>(&'a Shared<N, P, O, W>);

impl<N, P, O, W> Drop for Guard<'_, N, P, O, W> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            locked(&self.0.sink).broken = true;
            self.0.turn.notify_all();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    /// Doubles the numbers below `count`, some of them slowly; `fail` fails when it is worked on.
    fn doubled(threads: usize, count: u64, fail: Option<u64>) -> (Vec<u64>, Result<(), String>) {
        let (mut from, mut out) = (0..count, Vec::new());
        let work = |n: u64, calls: &mut u64| {
            *calls += 1;
            (0..(n * 7919) % 5000).for_each(|i| drop(std::hint::black_box(i.to_string())));
            if fail == Some(n) { Err(anyhow::anyhow!("item {n}")) } else { Ok(2 * n) }
        };
        let put = |n| {
            out.push(n);
            Ok(())
        };
        let done = in_order(threads, || Ok(from.next()), work, put);
        (out, done.map_err(|e| e.to_string()))
    }

    #[test]
    fn results_come_in_the_order_of_their_items() {
        for threads in [1, 2, 3, 16] {
            for count in [0, 1, 2, 500] {
                let (out, done) = doubled(threads, count, None);
                assert_eq!((out, done), ((0..count).map(|n| 2 * n).collect(), Ok(())), "{threads} {count}");
            }
        }
    }

    #[test]
    fn what_is_before_an_error_is_put_out_and_nothing_after_it() {
        for threads in [1, 2, 5] {
            let (out, done) = doubled(threads, 300, Some(123));
            assert_eq!((out.len(), done), (123, Err("item 123".into())), "{threads}");
        }
        let mut n = 0;
        let mut put = Vec::new();
        let next = || {
            n += 1;
            if n < 4 { Ok(Some(n)) } else { Err(anyhow::anyhow!("the source")) }
        };
        let done = in_order(
            3,
            next,
            |n, (): &mut ()| Ok(n),
            |n| {
                put.push(n);
                Ok(())
            },
        );
        assert_eq!((put, done.unwrap_err().to_string()), (vec![1, 2, 3], "the source".into()));
    }

    #[test]
    fn a_sink_that_is_full_ends_it() {
        let taken = AtomicUsize::new(0);
        let next = || Ok(Some(taken.fetch_add(1, Ordering::Relaxed)));
        let put = |n| if n == 10 { Err(anyhow::anyhow!("full")) } else { Ok(()) };
        let done = in_order(2, next, |n, (): &mut ()| Ok(n), put);
        assert_eq!(done.unwrap_err().to_string(), "full");
        assert!(taken.load(Ordering::Relaxed) <= 11 + 2 * WAITING + 2, "it went on without end");
    }

    #[test]
    fn results_that_wait_are_few() {
        // The first item takes until many others were taken, or until no more are.
        let taken = AtomicUsize::new(0);
        let next = || {
            let n = taken.fetch_add(1, Ordering::SeqCst);
            Ok((n < 1000).then_some(n))
        };
        let work = |n, (): &mut ()| {
            if n == 0 {
                let mut before = 0;
                loop {
                    std::thread::sleep(std::time::Duration::from_millis(30));
                    let now = taken.load(Ordering::SeqCst);
                    if now == before {
                        break;
                    }
                    before = now;
                }
                assert!(before <= 2 * WAITING + 2, "{before} items were taken while the first was worked on");
            }
            Ok(n)
        };
        let mut count = 0;
        in_order(2, next, work, |n| {
            assert_eq!(n, count);
            count += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(count, 1000);
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panic_is_seen() {
        let mut from = 0..1000;
        let caller = std::thread::current().id();
        let other = AtomicBool::new(false);
        let work = |n: u64, (): &mut ()| {
            if std::thread::current().id() != caller {
                other.store(true, Ordering::SeqCst);
                panic!("on purpose");
            }
            while !other.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            Ok(n)
        };
        let _ = in_order(2, || Ok(from.next()), work, |_| Ok(()));
    }
}
