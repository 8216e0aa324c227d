//! What the techniques of this crate have in common: grids and scales, calibration, the post-training driver over sites,
//! and training with quantized weights.

pub mod calibration;
pub(crate) mod candidates;
pub mod correct;
pub(crate) mod course;
pub(crate) mod fake;
pub(crate) mod fold;
pub mod ladder;
pub mod lattice;
pub mod moments;
pub mod noise;
pub(crate) mod outliers;
pub(crate) mod range;
pub mod rounding;
pub(crate) mod ruled;
pub(crate) mod samples;
pub(crate) mod settings;
pub(crate) mod sites;
