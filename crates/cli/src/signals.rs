//! The signals that ask a command to stop: the first one at its next safe point, the second one at once.
//!
//! A signal that was ignored when the program started stays ignored: that is how `nohup` protects a run from a
//! terminal that goes away, and how a shell keeps Ctrl-C from its background jobs.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

#[cfg(unix)]
const STOPPING: [i32; 3] = [SIGINT, SIGTERM, signal_hook::consts::SIGHUP];
#[cfg(not(unix))]
const STOPPING: [i32; 2] = [SIGINT, SIGTERM];

/// Sets `stop` when a signal asks for it; a second one ends the process with code 130. Every file is written beside
/// and renamed, so none is half-written then.
///
/// # Errors
/// The system does not take a handler.
pub(crate) fn listen(stop: &Arc<AtomicBool>) -> io::Result<()> {
    for signal in STOPPING.into_iter().filter(|signal| !ignored(*signal)) {
        // In this order: the first signal finds the flag down and raises it, the second finds it up.
        flag::register_conditional_shutdown(signal, 130, Arc::clone(stop))?;
        flag::register(signal, Arc::clone(stop))?;
    }
    Ok(())
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
