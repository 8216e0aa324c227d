//! t
pub mod error; pub mod rows; pub use rows::*; pub use error::*;
