//! Serves an artifact: text in, labels with scores out.
//!
//! A [`Session`] is opened on the file that ships, so whatever it is asked is answered by the very numbers in
//! the file, in the layout they have there. It is `Send` and `Sync`, one serves any number of threads, and its
//! answers do not depend on how many there are. With a [`Scratch`] that is used again, answering allocates
//! nothing.
//!
//! Where every site is integers with a fixed scale of its activations, [`Session::in_integers`] answers without a
//! float.
//!
//! This crate refuses to train, to change weights, and to know which technique made them.

mod decision;
mod error;
mod explain;
pub mod integer;
mod network;
mod program;
mod scores;
mod session;

pub use error::RuntimeError;
pub use explain::{Contribution, Explainer};
pub use integer::{IntegerScratch, IntegerSession, NotIntegers};
pub use nlpress_artifact::OpenOptions;
pub use session::{Answer, Prediction, Scratch, Session};
