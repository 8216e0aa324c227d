//! Techniques that drop single connections: weights become masked, or packed sparse.
//!
//! Most score every connection and drop those of the lowest scores: one [`Criterion`](crate::Criterion) each. Three do
//! more than a criterion can say: [`sparsegpt`] moves the weights that stay, [`pattern`] drops tiles, and [`budget`]
//! chooses a sparsity for each site.

pub mod budget;
pub mod clip;
pub mod elastic;
pub mod gradient;
pub mod lamp;
pub mod lottery;
pub mod magnitude;
pub mod movement;
pub mod moving;
pub mod pattern;
pub mod penalty;
pub mod random;
pub mod sparse;
pub mod sparsegpt;
pub mod wanda;
