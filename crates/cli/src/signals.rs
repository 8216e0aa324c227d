//! The signals that ask a command to stop, with code 130 in every case.
//!
//! A command that has [safe points](SafePoints) ends at the next of them; any other, and one that still reads its data,
//! ends at once, between two writes of files. A second signal ends the process where it is.
//!
//! A signal that was ignored when the program started stays ignored: that is how `nohup` protects a run from a
//! terminal that goes away, and how a shell keeps Ctrl-C from its background jobs.

use nlpress::core::Stopped;
use nlpress::core::files;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use crate::outcome::{STOPPED, tell};

#[cfg(unix)]
const STOPPING: [i32; 3] = [SIGINT, SIGTERM, signal_hook::consts::SIGHUP];
#[cfg(not(unix))]
const STOPPING: [i32; 2] = [SIGINT, SIGTERM];

/// Whether a signal asked to stop.
static ASKED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);
/// Whether the command ends by itself then.
static AT_SAFE_POINTS: AtomicBool = AtomicBool::new(false);

/// From its start to its end, a command stops at points of its own choice.
#[derive(Debug)]
pub(crate) struct SafePoints(());

impl SafePoints {
    /// From here on the command looks whether it was [asked](SafePoints::asked) to stop.
    pub(crate) fn start() -> Self {
        AT_SAFE_POINTS.store(true, Ordering::SeqCst);
        Self(())
    }

    /// Whether a signal asked to stop.
    pub(crate) fn asked(&self) -> bool {
        ASKED.load(Ordering::SeqCst)
    }

    /// From here on a signal ends the command at once again.
    ///
    /// # Errors
    /// [`Stopped`] when one came before this.
    pub(crate) fn end(&self) -> Result<(), Stopped> {
        AT_SAFE_POINTS.store(false, Ordering::SeqCst);
        if self.asked() { Err(Stopped) } else { Ok(()) }
    }
}

/// Listens to the signals.
///
/// # Errors
/// The system does not take a handler, or gives no thread.
pub(crate) fn listen() -> io::Result<()> {
    // A file that grows beyond the limit of the process is an error of writing then, and not a sudden end.
    #[cfg(unix)]
    flag::register(signal_hook::consts::SIGXFSZ, Arc::default())?;
    let heard: Vec<i32> = STOPPING.into_iter().filter(|signal| !ignored(*signal)).collect();
    for signal in &heard {
        // In this order: the first signal finds the flag down and raises it, the second finds it up.
        flag::register_conditional_shutdown(*signal, STOPPED.into(), Arc::clone(&ASKED))?;
        flag::register(*signal, Arc::clone(&ASKED))?;
    }
    wait(&heard)
}

/// Ends the process in a thread of its own when a signal came and there are no safe points: a handler could neither
/// wait for a file that is being written nor say anything.
#[cfg(unix)]
fn wait(heard: &[i32]) -> io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new(heard)?;
    let wait = move || {
        for _ in signals.forever() {
            if !AT_SAFE_POINTS.load(Ordering::SeqCst) {
                stop();
            }
            tell!("stopping at the next safe point; a second signal ends it at once");
        }
    };
    std::thread::Builder::new().name("signals".into()).stack_size(256 << 10).spawn(wait).map(drop)
}

/// The same by looking, where there is nothing to wait for.
#[cfg(not(unix))]
fn wait(_heard: &[i32]) -> io::Result<()> {
    let wait = || loop {
        std::thread::sleep(std::time::Duration::from_millis(50));
        if ASKED.load(Ordering::SeqCst) && !AT_SAFE_POINTS.load(Ordering::SeqCst) {
            stop();
        }
    };
    std::thread::Builder::new().name("signals".into()).stack_size(256 << 10).spawn(wait).map(drop)
}

#[expect(clippy::exit, reason = "this is the command, whose main thread may be waiting for its input")]
fn stop() -> ! {
    files::end_writes();
    tell!("stopped on request; no file is half-written");
    std::process::exit(STOPPED.into())
}

/// Whether this process ignores a signal, as the kernel tells.
#[cfg(target_os = "linux")]
fn ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    match mask {
        Some(mask) => mask & (1 << (signal - 1)) != 0,
        None => ignored_by_a_child(signal),
    }
}

#[cfg(all(unix, not(target_os = "linux")))]
fn ignored(signal: i32) -> bool {
    ignored_by_a_child(signal)
}

#[cfg(not(unix))]
fn ignored(_signal: i32) -> bool {
    false
}

/// Whether this process ignores a signal, found out without asking the kernel: a child inherits what is ignored, a
/// shell leaves it so, and one that sends itself the signal lives on.
#[cfg(unix)]
fn ignored_by_a_child(signal: i32) -> bool {
    use std::process::{Command, Stdio};
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("kill -{signal} $$; exit 0")]);
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.status().is_ok_and(|status| status.success())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_child_tells_what_the_kernel_tells() {
        for signal in STOPPING {
            assert_eq!(ignored(signal), ignored_by_a_child(signal), "signal {signal}");
        }
    }
}
