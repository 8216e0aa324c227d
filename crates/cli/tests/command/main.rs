//! Drives the built command as a user does: what it refuses, and what it does.

mod artifacts;
mod happy;
mod hostile;
#[cfg(unix)]
mod stopped;
mod world;
