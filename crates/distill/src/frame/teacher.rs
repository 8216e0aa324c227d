//! The teacher's logits, computed once; and how far a student agrees with them before and after its training.
//!
//! The teacher reads its own rows: the same documents, maybe in more features than the student's.

use nlpress_core::Measurement;
use nlpress_model::Model;
use nlpress_technique::{Cx, StepError};
use nlpress_train::{Loss, Scores, agreement};

/// The teacher's logits over the rows of a step.
pub(crate) struct TeacherCache {
    /// Its logits over the training rows.
    pub(crate) train: Vec<f32>,
    /// Its logits over the validation rows.
    pub(crate) valid: Vec<f32>,
    outputs: usize,
}

impl TeacherCache {
    /// Asks the teacher, and measures how far the incoming model agrees with it.
    pub(crate) fn ask(model: &Model, cx: &mut Cx<'_>) -> Result<Self, StepError> {
        let outputs = model.graph().outputs();
        let (train, valid) = cx.ask_teacher(outputs)?;
        let cache = Self { train, valid, outputs };
        let before = agreement(&cache.valid, &cx.valid_logits(model)?, outputs);
        cx.measure(Measurement::higher("agreement_before", before, "1"));
        Ok(cache)
    }

    /// Measures how far the student agrees with the teacher.
    pub(crate) fn compare(&self, student: &Model, cx: &mut Cx<'_>) -> Result<(), StepError> {
        let logits = cx.valid_logits(student)?;
        let score = |logits: &[f32]| Scores::of(logits, cx.valid, Loss::CrossEntropy).accuracy;
        let (own, teacher) = (score(&logits), score(&self.valid));
        let after = agreement(&self.valid, &logits, self.outputs);
        cx.measure(Measurement::higher("agreement_after", after, "1"));
        cx.measure(Measurement::higher("valid_accuracy", own, "1"));
        cx.measure(Measurement::higher("teacher_valid_accuracy", teacher, "1"));
        Ok(())
    }
}
