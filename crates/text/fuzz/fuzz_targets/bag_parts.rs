#![no_main]
#![allow(dead_code)]

#[path = "../bodies.rs"]
mod bodies;

use std::sync::LazyLock;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    bodies::bag_parts(bytes, FOLDER.path());
});
