//! Whether a technique can be stopped: wherever it says how far it is, and not only at the beginning.

use nlpress_core::event::{Event, Flow, Sink};
use nlpress_model::SiteId;
use nlpress_technique::{Cx, StepError, Technique};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Bench;

/// Counts what it hears, and asks to stop from a certain event on.
struct Listener {
    heard: AtomicUsize,
    stop_at: usize,
}

impl Sink for Listener {
    fn push(&self, _event: &Event) -> Flow {
        let number = self.heard.fetch_add(1, Ordering::SeqCst);
        if number >= self.stop_at { Flow::Stop } else { Flow::Continue }
    }
}

/// Holds a technique to the stop that a listener asks for: at its first event, in the middle, and at the last.
///
/// # Errors
/// A sentence on what it did instead. A technique that never says anything cannot be asked, so that is an error too.
pub(crate) fn check(bench: &Bench, technique: &dyn Technique, on: &[SiteId]) -> Result<(), String> {
    let listen = |stop_at| {
        let listener = Listener { heard: AtomicUsize::new(0), stop_at };
        let made = bench.apply(technique, on, Cx { threads: 1, ..bench.cx(&listener) });
        (made, listener.heard.into_inner())
    };
    let (_, events) = listen(usize::MAX);
    if events == 0 {
        return Err("it never says how far it is, so it cannot be stopped".into());
    }
    for at in [0, events / 2, events - 1] {
        let (made, heard) = listen(at);
        let which = format!("at event {} of {events}", at + 1);
        match made {
            Err(StepError::Stopped(_)) if heard == at + 1 => {}
            Err(StepError::Stopped(_)) => {
                return Err(format!("asked to stop {which}, it said {} more", heard - at - 1));
            }
            Ok(_) => return Err(format!("it went on although it was asked to stop {which}")),
            Err(other) => return Err(format!("asked to stop {which}, it failed instead: {other}")),
        }
    }
    Ok(())
}
