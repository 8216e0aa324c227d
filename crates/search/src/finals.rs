//! The end of a search: the best are tried on other documents, one is chosen, and the test documents are looked at once.

use nlpress_core::Seed;
use nlpress_eval::{Bootstrap, Quality};
use nlpress_pipeline::RunError;
use nlpress_pipeline::measure::MeasureError;

use crate::candidate::{Base, Candidate};
use crate::choose::{choose, fits, frontier};
use crate::error::SearchError;
use crate::found::{Found, Tested};
use crate::generations::Search;
use crate::queue::side_by_side;
use crate::trial::{Ear, Opened, base_of, latency, scored};

/// Candidates that are tried on other folds before one is chosen.
const FINALISTS: usize = 6;
/// Folds that finalists are tried on, beside the split of the corpus.
const FOLDS: usize = 2;

impl Search<'_> {
    /// Tries the finalists on other folds, chooses, and looks at test once.
    pub(crate) fn finish(mut self) -> Result<Found, SearchError> {
        if self.trials.is_empty() {
            return Err(match (self.failed.first(), self.stopped) {
                (_, true) => SearchError::Stopped(nlpress_core::event::Stopped),
                (Some(why), _) => SearchError::Nothing(why.clone()),
                (None, _) => SearchError::Nothing("the time was over before the first was made".into()),
            });
        }
        let all: Vec<usize> = (0..self.trials.len()).collect();
        let among = if self.stopped { all.clone() } else { self.confirm(&all) };
        let limits = &self.request.limits;
        let nothing = || SearchError::Nothing("there is no trial".into());
        let mut choice = choose(&self.trials, &among, limits).ok_or_else(nothing)?;
        if !choice.missed.is_empty() {
            choice = choose(&self.trials, &all, limits).ok_or_else(nothing)?;
        }
        let front = frontier(&self.trials);
        let mut shown = front.clone();
        if !shown.contains(&choice.trial) {
            shown.push(choice.trial);
        }
        let tested = shown.iter().map(|&i| self.tested(i)).collect::<Result<Vec<_>, RunError>>()?;
        let chosen = &self.trials[choice.trial];
        let width = base_of(&self.opened, &chosen.candidate).map_or(0, |o| o.width);
        let recipe = self.world.recipe(&chosen.candidate, width);
        Ok(Found {
            notes: self.world.corpus.reading.notes.clone(),
            bases: self.opened.iter().map(|o| (o.base.clone(), o.score)).collect(),
            teacher: self.taught,
            frontier: front,
            choice,
            tested,
            recipe,
            seconds: self.began.elapsed().as_secs_f64(),
            stopped: self.stopped,
            failed: self.failed,
            spared: self.spared,
            trials: self.trials,
        })
    }

    /// The finalists, each with its mean score over folds. What was made for one split of the documents can be good
    /// by chance; on other documents to train and to choose by, chance has no memory.
    fn confirm(&mut self, all: &[usize]) -> Vec<usize> {
        let finalists = self.finalists(all);
        if finalists.len() < 2 {
            return all.to_vec();
        }
        let corpus = &self.world.corpus;
        let folds = ((corpus.train.len() + corpus.valid.len()) / corpus.valid.len().max(1)).clamp(3, 10);
        for n in 0..FOLDS {
            // When the time is over, all finalists keep as many folds.
            let Ok(scores) = self.on_fold(&finalists, n, folds) else { break };
            for (&i, (score, correct)) in finalists.iter().zip(scores) {
                let trial = &mut self.trials[i];
                trial.score = (trial.score * trial.folds as f64 + score) / (trial.folds + 1) as f64;
                trial.correct.extend(correct);
                trial.folds += 1;
            }
        }
        finalists
    }

    /// The best that keep the limits, and by turns those that would be chosen one after the other, which may be
    /// smaller; none when not one keeps the limits.
    fn finalists(&self, all: &[usize]) -> Vec<usize> {
        let mut rest = all.to_vec();
        let mut finalists = Vec::new();
        while finalists.len() < FINALISTS
            && let Some(choice) = choose(&self.trials, &rest, &self.request.limits)
            && choice.missed.is_empty()
        {
            let fitting = rest.iter().copied().filter(|&i| fits(&self.trials[i], &self.request.limits));
            let best = fitting.max_by(|&a, &b| {
                self.trials[a]
                    .score
                    .total_cmp(&self.trials[b].score)
                    .then(self.trials[b].bytes.cmp(&self.trials[a].bytes))
            });
            let next = if finalists.len() % 2 == 0 { choice.trial } else { best.unwrap_or(choice.trial) };
            finalists.push(next);
            rest.retain(|&i| i != next);
        }
        finalists
    }

    /// Scores of candidates that are made again on a fold.
    fn on_fold(&self, finalists: &[usize], n: usize, folds: usize) -> Result<Vec<(f64, Vec<f64>)>, RunError> {
        let world = self.world.fold(n, folds);
        let ear = Ear { outer: self.sink, until: self.until(1.0) };
        let candidates: Vec<&Candidate> = finalists.iter().map(|&i| &self.trials[i].candidate).collect();
        let mut bases: Vec<&Base> = Vec::new();
        for candidate in &candidates {
            if !bases.contains(&&candidate.base) {
                bases.push(&candidate.base);
            }
        }
        // Before anyone needs its answers, and on all threads.
        if candidates.iter().any(|candidate| candidate.is_taught_by_file()) {
            world.taught(self.request.threads, &ear)?;
        }
        let open = |_, base: &&Base| world.open(base, &ear);
        let opened = side_by_side(&self.pool, &bases, |_| 0.0, open);
        let opened: Vec<Opened> = opened.into_iter().collect::<Result<_, _>>()?;
        let outputs = self.outputs();
        let score = |_, candidate: &&Candidate| -> Result<(f64, Vec<f64>), RunError> {
            let lost = || RunError::Internal("a base is missing".into());
            let of = base_of(&opened, candidate).ok_or_else(lost)?;
            let trial = world.attempt(candidate, of, &ear)?;
            Ok((trial.score, trial.correct))
        };
        let scores = side_by_side(&self.pool, &candidates, |candidate| candidate.cost(outputs), score);
        scores.into_iter().collect()
    }

    /// A candidate's written file on the test documents.
    fn tested(&self, trial: usize) -> Result<Tested, RunError> {
        let test = &self.world.corpus.test;
        let labels: Vec<u32> = test.iter().map(|d| d.label).collect();
        let (session, scores) = scored(&self.trials[trial].path, test, &labels)?;
        let value = self.world.quality(&scores, &labels);
        let predictions = [scores.predictions.clone()];
        let bootstrap = Bootstrap::new(Seed(self.request.seed));
        let quality =
            Quality::of(&[scores], &labels, &predictions, &bootstrap).map_err(MeasureError::from)?;
        Ok(Tested {
            trial,
            score: value,
            accuracy: quality.accuracy,
            macro_f1: quality.macro_f1,
            latency_us: latency(&session, test, 9)?,
        })
    }
}
