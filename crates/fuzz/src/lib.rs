//! What a fuzzer does with its bytes: one function for each reader of files from strangers.
//!
//! A reader may refuse; it must not panic, and what it accepts must keep its promises. Each function takes the bytes and a
//! folder that it may write to, and returns whether something was accepted. `crates/text/tests/mutated.rs` calls those of
//! texts on damaged copies of good inputs, where there is no fuzzer. `docs/fuzzing.md` says how to run them.

pub mod artifact;
#[cfg(feature = "recipe")]
pub mod recipe;
pub mod samples;
pub mod text;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

pub use libfuzzer_sys;

/// The target of a fuzzer that calls one of the functions.
#[macro_export]
macro_rules! target {
    ($body:path) => {
        $crate::libfuzzer_sys::fuzz_target!(|bytes: &[u8]| $crate::run($body, bytes));
    };
}

/// The panic that was seen last.
static LAST: Mutex<String> = Mutex::new(String::new());

/// A folder that this process may write to.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    // The fuzzer ends the process at any panic, but readers of formats that others wrote catch those.
    std::panic::set_hook(Box::new(|panic| {
        *LAST.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = panic.to_string();
    }));
    tempfile::tempdir().expect("a folder can be made").keep()
});

/// Calls a function, and ends the process where it panics.
pub fn run(body: fn(&[u8], &Path) -> bool, bytes: &[u8]) {
    let folder = &*FOLDER;
    if catch_unwind(AssertUnwindSafe(|| body(bytes, folder))).is_err() {
        eprintln!("{}", LAST.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        std::process::abort();
    }
}
