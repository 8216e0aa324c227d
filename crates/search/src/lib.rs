#![doc = include_str!("../README.md")]

mod candidate;
mod choose;
mod error;
mod fill;
mod finals;
mod fit;
mod found;
mod generations;
mod limits;
mod pretrained;
mod queue;
pub mod report;
mod request;
mod space;
mod trial;

pub use candidate::{Base, Candidate, How, Loss, Numbers, ROW, Reads, Steps, Student, Training};
pub use choose::{Choice, choose, frontier};
pub use error::SearchError;
pub use fit::{clean, fit, write};
pub use found::{Found, OfTeacher, Tested};
pub use limits::{Bytes, Effort, Limits, Metric, Micros};
pub use request::Request;
pub use trial::Trial;
