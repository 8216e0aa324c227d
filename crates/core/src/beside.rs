//! Two pieces of work at once.

use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, scope};

/// What both make: `there` on a thread of its own while this one does `here`, or after it where the system gives no thread.
/// So `there` may wait for what `here` sends, and not the other way round.
///
/// ```
/// let (sum, product) = nlpress_core::beside(|| 3 + 4, || 3 * 4);
/// assert_eq!((sum, product), (7, 12));
/// ```
///
/// # Panics
/// When one of them does.
pub fn beside<A, B: Send>(here: impl FnOnce() -> A, there: impl FnOnce() -> B + Send) -> (A, B) {
    let there = Mutex::new(Some(there));
    let take = || there.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (made, other) = scope(|scope| {
        let started = Builder::new().spawn_scoped(scope, || take().map(|there| there()));
        let made = here();
        let other = started.ok().and_then(|thread| match thread.join() {
            Ok(other) => other,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        (made, other)
    });
    let other = other.or_else(|| take().map(|there| there()));
    (made, other.expect("it was done there or here"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn one_hears_what_the_other_sends() {
        let (to, from) = channel();
        let send = || (1..=4).map(move |n| to.send(n).unwrap()).count();
        assert_eq!(beside(send, move || from.iter().sum::<i32>()), (4, 10));
    }

    #[test]
    #[should_panic(expected = "over there")]
    fn a_panic_is_passed_on() {
        beside(|| (), || panic!("over there"));
    }
}
