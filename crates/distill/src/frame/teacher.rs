//! The teacher's logits, computed once; and how far a student agrees with them before and after its training.
//!
//! The teacher reads its own rows: the same documents, maybe in more features than the student's.

use nlpress_core::Measurement;
use nlpress_model::{Dataset, Model};
use nlpress_technique::{Cx, StepError};
use nlpress_train::{Loss, Scores, agreement};

/// The teacher's logits over the rows of a step.
pub(crate) struct TeacherCache {
    /// Its logits over the training rows, and over what [`with_unlabelled`](TeacherCache::with_unlabelled) added.
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

    /// The training rows and after them documents without labels, where there are any; what the teacher says of those is
    /// asked, too.
    pub(crate) fn with_unlabelled(&mut self, cx: &mut Cx<'_>) -> Result<Option<Dataset>, StepError> {
        let Some((examples, logits)) = cx.ask_about_unlabelled(self.outputs)? else { return Ok(None) };
        let labelled = cx.train.examples();
        let all: Vec<usize> = (0..labelled.len()).collect();
        let joined = labelled.select(&all).followed_by(examples)?;
        self.train.extend(logits);
        cx.measure(Measurement::higher("texts_without_labels", examples.len() as f64, "1"));
        // The loss brings the labels of those that have one.
        Ok(Some(Dataset::unlabelled(joined)?))
    }

    /// Measures how far the student agrees with the teacher.
    pub(crate) fn compare(&self, student: &Model, cx: &mut Cx<'_>) -> Result<(), StepError> {
        let logits = cx.valid_logits(student)?;
        let score = |logits: &[f32]| Scores::of(logits, cx.valid, Loss::CrossEntropy).map(|s| s.accuracy);
        let (own, teacher) = (score(&logits)?, score(&self.valid)?);
        let after = agreement(&self.valid, &logits, self.outputs);
        cx.measure(Measurement::higher("agreement_after", after, "1"));
        cx.measure(Measurement::higher("valid_accuracy", own, "1"));
        cx.measure(Measurement::higher("teacher_valid_accuracy", teacher, "1"));
        Ok(())
    }
}
