//! Drives the built command as a user does: what it refuses, and what it does.

#![allow(clippy::unwrap_used)] // a test may end by a panic

mod artifacts;
mod damaged;
mod data;
mod eval;
#[cfg(unix)]
mod fit;
mod folders;
mod happy;
mod hashed;
mod hostile;
#[cfg(target_os = "linux")]
mod outputs;
mod predict;
#[cfg(target_os = "linux")]
mod processes;
#[cfg(unix)]
mod readme;
mod recipes;
mod resume;
#[cfg(target_os = "linux")]
mod signals;
#[cfg(unix)]
mod stopped;
mod tokens;
mod unicode;
mod verdicts;
mod world;
#[cfg(unix)]
mod written;
