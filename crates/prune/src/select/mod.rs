//! `select.*`: fewer features, so that the vocabulary, the first site and every row become physically smaller.
//!
//! | technique | what stays |
//! |---|---|
//! | [`chi2`] | words that depend most on the class, by the chi-squared statistic |
//! | [`information`] | words that tell most about the class |
//! | [`frequency`] | words of the most documents |
//! | [`l1`] | words that a linear model under an L1 penalty uses |
//! | [`norm`] | words that the network itself uses |
//! | [`words`] | words of a list, or of some scripts |
//!
//! Each is one [`WordScore`]; [`Selector`] does the rest. A technique sees rows and the names of their columns, never
//! a text: it says which columns stay ([`Made::features`](nlpress_technique::Made::features)) and
//! returns a model whose first site has just their rows. Whoever runs it narrows the encoder and encodes the documents
//! anew.
//!
//! What is taken away is missing to the sums of the first site, and with an encoder that scales rows to length 1
//! the words that stay grow: the network should be trained after it, by `finetune` here (on the rows with the
//! columns taken out, which differ from those that the narrowed encoder makes by rounding only) or by any
//! training step that follows.
//!
//! A masked first site keeps the mask's rows, so that its count of kept entries is known only when the features
//! are: the plan is then a bound. The count of features is always exact, except where it is not given.

pub mod chi2;
pub mod frequency;
pub mod information;
pub mod l1;
pub mod norm;
pub mod words;

pub use crate::frame::selector::{FINETUNE, KEEP, Selector, WordScore, best, narrow, within};
pub(crate) use crate::frame::selector::{presence, sums, totals};
