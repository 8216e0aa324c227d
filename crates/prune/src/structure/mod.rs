//! Techniques that remove whole units, layers or directions: matrices become physically smaller.

pub mod depth;
pub mod group_lasso;
pub mod heads;
pub mod layers;
pub mod low_rank;
pub mod neurons;
pub mod search;
