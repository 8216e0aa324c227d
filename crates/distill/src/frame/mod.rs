//! What every distillation has in common: the student, the teacher's logits, one training, the comparison afterwards.

pub mod compare;
pub(crate) mod distill;
pub mod start;
pub(crate) mod teacher;
