//! Drives the built command as a user does: what it refuses, and what it does.

#![allow(clippy::unwrap_used)] // a test may end by a panic

mod artifacts;
mod eval;
mod happy;
mod hostile;
mod predict;
mod readme;
#[cfg(unix)]
mod stopped;
mod world;
