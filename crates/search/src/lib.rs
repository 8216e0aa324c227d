#![doc = include_str!("../README.md")]

mod candidate;
mod choose;
mod error;
mod finals;
mod fit;
mod limits;
pub mod report;
mod space;
mod trial;

pub use candidate::{Base, Candidate, How, Loss, Numbers, ROW, Student, Training};
pub use choose::{Choice, choose, frontier};
pub use error::SearchError;
pub use fit::{Found, Request, Tested, clean, fit, write};
pub use limits::{Bytes, Effort, Limits, Metric, Micros};
pub use trial::Trial;
