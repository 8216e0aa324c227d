//! Folders, whole and damaged.

#![allow(clippy::unwrap_used)] // a test may end by a panic

mod answers;
mod damage;
