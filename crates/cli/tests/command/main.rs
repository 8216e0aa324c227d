//! Drives the built command as a user does: what it refuses, and what it does.

#![allow(clippy::unwrap_used)] // a test may end by a panic

mod artifacts;
mod happy;
mod hostile;
#[cfg(unix)]
mod stopped;
mod unicode;
mod world;
