//! The search: bases, then candidates in generations, then the best again on other folds, then one look at test.

use nlpress_core::event::{Event, Flow, Sink};
use nlpress_core::shown::counted;
use nlpress_core::{Backend, Seed, files};
use nlpress_eval::{Bootstrap, Estimate, Quality};
use nlpress_pipeline::measure::MeasureError;
use nlpress_pipeline::prepared::read_corpus;
use nlpress_pipeline::recipe::DataRecipe;
use nlpress_pipeline::{Lock, RunError};
use rayon::prelude::*;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::candidate::{Base, Candidate};
use crate::choose::{Choice, choose, fits, frontier};
use crate::error::SearchError;
use crate::limits::{Effort, Limits, Metric};
use crate::space::{Sizes, bases, changed, usual};
use crate::trial::{Ear, Opened, Trial, World, ask, base_of, latency, scored};

/// Candidates that are made side by side, whatever the number of threads: what comes next depends on all of them.
const GENERATION: usize = 8;
/// Candidates that are tried on other folds before one is chosen.
const FINALISTS: usize = 6;
/// Folds that finalists are tried on, beside the split of the corpus.
const FOLDS: usize = 2;
/// Bases that candidates are made from in the first generation.
const FIRST_BASES: usize = 3;
/// Shares of the time after which no base, and no candidate, is begun.
const FOR_BASES: f64 = 0.35;
const FOR_TRIALS: f64 = 0.65;

/// What is made on the way, below the folder of the search.
const TRIALS: &str = "trials";

/// What to look for, and where.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The labelled text. Its encoder is not read: which features there are is part of the search.
    pub data: DataRecipe,
    /// Folder of fetched corpora.
    pub data_dir: &'a Path,
    /// What the model must keep.
    pub limits: Limits,
    /// What counts as quality.
    pub metric: Metric,
    /// How long to look.
    pub effort: Effort,
    /// Root of all random choices.
    pub seed: u64,
    /// Candidates that are made at the same time. With [`Effort::Trials`] the result does not depend on it.
    pub threads: usize,
    /// Folder for what is made on the way. What an earlier search left there is used again if `resume` says so.
    pub folder: &'a Path,
    /// Whether to go on from what an earlier, stopped search left.
    pub resume: bool,
}

/// A candidate's scores on the test documents, which nothing was chosen by.
#[derive(Clone, Debug, Serialize)]
pub struct Tested {
    /// Its place among the trials.
    pub trial: usize,
    /// The metric on the test documents.
    pub score: f64,
    /// Accuracy with a 95 % interval.
    pub accuracy: Estimate,
    /// Macro-F1 with a 95 % interval.
    pub macro_f1: Estimate,
    /// Microseconds from a text to its answer, measured alone.
    pub latency_us: f64,
}

/// What a search found.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// Bases that candidates were made from, with their validation scores.
    pub bases: Vec<(Base, f64)>,
    /// All candidates that were made, in order.
    pub trials: Vec<Trial>,
    /// Candidates that could not be made, with the reason.
    pub failed: Vec<String>,
    /// Places of the candidates that no other beats in size and quality, smallest first.
    pub frontier: Vec<usize>,
    /// The one to ship.
    pub choice: Choice,
    /// The frontier and the choice on test.
    pub tested: Vec<Tested>,
    /// The recipe that makes the choice again.
    #[serde(skip)]
    pub recipe: serde_json::Value,
    /// Seconds that it took.
    pub seconds: f64,
    /// Whether it was asked to stop before it was done.
    pub stopped: bool,
}

/// Looks for the best model within the limits.
///
/// # Errors
/// [`SearchError`] when not one candidate could be made.
pub fn fit(request: &Request<'_>, backend: &Backend, sink: &dyn Sink) -> Result<Found, SearchError> {
    let corpus = Arc::new(read_corpus(&request.data, request.data_dir)?);
    for text in corpus.told() {
        sink.say(&Event::Note { text })?;
    }
    let class = request.metric.class(&corpus.labels).map_err(SearchError::Asked)?;
    let folder = request.folder.join(TRIALS);
    if folder.exists() && !Lock::is_in(request.folder) {
        let why = format!("{}: it is there, and no search made it; choose another name", folder.display());
        return Err(SearchError::Asked(why));
    }
    let _alone = Lock::take(request.folder)?;
    if !request.resume && folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|e| SearchError::Write(folder.clone(), e))?;
    }
    let world = World {
        corpus,
        data: request.data.clone(),
        folder,
        seed: request.seed,
        backend,
        metric: &request.metric,
        class,
        encoded: Mutex::default(),
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(request.threads.max(1)).build();
    let pool = pool.map_err(|e| SearchError::Asked(format!("{} threads: {e}", request.threads)))?;
    let mut search = Search {
        request,
        world,
        sink,
        pool,
        began: Instant::now(),
        opened: Vec::new(),
        trials: Vec::new(),
        failed: Vec::new(),
        stopped: false,
    };
    search.look()?;
    search.finish()
}

/// A search under way.
struct Search<'a> {
    request: &'a Request<'a>,
    world: World<'a>,
    sink: &'a dyn Sink,
    pool: rayon::ThreadPool,
    began: Instant,
    opened: Vec<Opened>,
    trials: Vec<Trial>,
    failed: Vec<String>,
    stopped: bool,
}

impl Found {
    /// What a candidate scored on test, where it was looked at.
    pub fn on_test(&self, trial: usize) -> Option<&Tested> {
        self.tested.iter().find(|tested| tested.trial == trial)
    }
}

impl Search<'_> {
    /// The moment when this share of the time is over; none where trials are counted.
    fn until(&self, share: f64) -> Option<Instant> {
        match self.request.effort {
            Effort::Trials(_) => None,
            Effort::Time(time) => Some(self.began + time.mul_f64(share)),
        }
    }

    fn look(&mut self) -> Result<(), SearchError> {
        let wanted = bases(&self.world.corpus).map_err(nlpress_pipeline::DataError::from)?;
        // The first base is trained however long it takes, so that there is something.
        let first = self.world.open(&wanted[0], &Ear { outer: self.sink, until: None })?;
        self.opened.push(first);
        let many = match self.request.effort {
            Effort::Trials(n) => n.div_ceil(6).min(wanted.len() - 1),
            Effort::Time(_) => wanted.len() - 1,
        };
        let ear = Ear { outer: self.sink, until: self.until(FOR_BASES) };
        let world = &self.world;
        let more: Vec<Result<Opened, RunError>> =
            self.pool.install(|| wanted[1..=many].par_iter().map(|base| world.open(base, &ear)).collect());
        for opened in more {
            match opened {
                Ok(opened) => self.opened.push(opened),
                Err(error) => self.note_failure("a base", error),
            }
        }
        self.say_bases()?;
        let mut generation = self.first_generation();
        let mut number = 0;
        while !generation.is_empty() && !self.stopped {
            self.attempt(&generation, number == 0);
            self.say_best();
            number += 1;
            generation = self.next_generation(number);
        }
        Ok(())
    }

    fn note_failure(&mut self, what: &str, error: RunError) {
        match error {
            // By the user, or because the time is over.
            RunError::Stopped(_) => self.stopped |= self.asked_to_stop(),
            error => self.failed.push(format!("{what}: {error}")),
        }
    }

    fn asked_to_stop(&self) -> bool {
        ask(self.sink) == Flow::Stop
    }

    /// What usually pays, from the best bases.
    fn first_generation(&self) -> Vec<Candidate> {
        let sizes = Sizes::learn(self.world_outputs(), &[], &self.opened);
        let mut order: Vec<&Opened> = self.opened.iter().collect();
        order.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut lists: Vec<_> = order
            .iter()
            .take(FIRST_BASES)
            .enumerate()
            .map(|(n, opened)| usual(opened, n == 0, &self.request.limits, &sizes).into_iter())
            .collect();
        // The first of each base, then the second of each.
        let mut candidates = Vec::new();
        while lists.iter().any(|list| list.len() > 0) {
            candidates.extend(lists.iter_mut().filter_map(Iterator::next));
        }
        candidates.truncate(self.left());
        candidates
    }

    /// Trials that are left.
    fn left(&self) -> usize {
        match self.request.effort {
            Effort::Trials(n) => n.saturating_sub(self.trials.len() + self.failed.len()),
            Effort::Time(_) => usize::MAX,
        }
    }

    fn world_outputs(&self) -> usize {
        self.opened[0].prepared.train.outputs()
    }

    /// Changes to the best so far.
    fn next_generation(&self, number: u64) -> Vec<Candidate> {
        let over = self.until(FOR_TRIALS).is_some_and(|until| Instant::now() > until);
        let parents = self.parents();
        if over || parents.is_empty() {
            return Vec::new();
        }
        let sizes = Sizes::learn(self.world_outputs(), &self.trials, &self.opened);
        let mut rng = Seed(self.request.seed).derive("search").stream(number);
        let mut generation: Vec<Candidate> = Vec::new();
        for _ in 0..50 * GENERATION {
            if generation.len() == GENERATION.min(self.left()) {
                break;
            }
            // The better, the more often: the least of two.
            let parent = parents[rng.below(parents.len()).min(rng.below(parents.len()))];
            let child =
                changed(&self.trials[parent].candidate, &self.opened, &self.request.limits, &sizes, &mut rng);
            let made = self.trials.iter().map(|t| &t.candidate);
            let known = made.chain(&generation).any(|other| child.is_like(other));
            let hopeless = self.request.limits.max_bytes.is_some_and(|most| {
                base_of(&self.opened, &child).is_none_or(|of| sizes.bytes(&child, of) > 1.2 * most as f64)
            });
            if !known && !hopeless {
                generation.push(child);
            }
        }
        generation
    }

    /// The candidates to change: with a limit on size or latency the best that keep it, else the frontier.
    fn parents(&self) -> Vec<usize> {
        let limits = &self.request.limits;
        let limited = limits.max_bytes.is_some() || limits.max_latency_us.is_some();
        let fitting: Vec<usize> = (0..self.trials.len()).filter(|&i| fits(&self.trials[i], limits)).collect();
        let mut parents = match limited && !fitting.is_empty() {
            true => fitting,
            false => frontier(&self.trials),
        };
        parents.sort_by(|&a, &b| self.trials[b].score.total_cmp(&self.trials[a].score).then(a.cmp(&b)));
        parents.truncate(10);
        parents
    }

    /// Makes candidates side by side; in their order they become trials.
    fn attempt(&mut self, candidates: &[Candidate], first: bool) {
        let until = if first { self.until(1.0) } else { self.until(FOR_TRIALS) };
        let ear = Ear { outer: self.sink, until };
        let (world, opened) = (&self.world, &self.opened);
        let made: Vec<Option<Result<Trial, RunError>>> = self.pool.install(|| {
            let one =
                |candidate: &Candidate| Some(world.attempt(candidate, base_of(opened, candidate)?, &ear));
            candidates.par_iter().with_max_len(1).map(one).collect()
        });
        for (candidate, made) in candidates.iter().zip(made) {
            match made {
                Some(Ok(trial)) => self.trials.push(trial),
                Some(Err(error)) => self.note_failure(&candidate.told(), error),
                None => {}
            }
        }
    }

    fn say_bases(&self) -> Result<(), SearchError> {
        for opened in &self.opened {
            let features = crate::candidate::features(&opened.base.encoder);
            let text = format!(
                "base of {} {features}, hidden {:?}: {} {:.2} % on validation",
                opened.width,
                opened.base.hidden,
                self.request.metric,
                100.0 * opened.score
            );
            self.sink.say(&Event::Note { text })?;
        }
        Ok(())
    }

    fn say_best(&mut self) {
        let all: Vec<usize> = (0..self.trials.len()).collect();
        let Some(choice) = choose(&self.trials, &all, &self.request.limits) else { return };
        let best = &self.trials[choice.trial];
        let text = format!(
            "{} in {:.0} s; best so far: {}: {} bytes, {} {:.2} %, {:.1} µs",
            counted(self.trials.len(), "candidate"),
            self.began.elapsed().as_secs_f64(),
            best.told,
            best.bytes,
            self.request.metric,
            100.0 * best.score,
            best.latency_us
        );
        self.stopped |= self.sink.say(&Event::Note { text }).is_err();
    }

    /// Tries the finalists on other folds, chooses, and looks at test once.
    fn finish(mut self) -> Result<Found, SearchError> {
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
        let recipe = chosen.candidate.recipe(self.request.seed, width);
        Ok(Found {
            bases: self.opened.iter().map(|o| (o.base.clone(), o.score)).collect(),
            frontier: front,
            choice,
            tested,
            recipe,
            seconds: self.began.elapsed().as_secs_f64(),
            stopped: self.stopped,
            failed: self.failed,
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
        self.pool.install(|| {
            let opened: Vec<Opened> =
                bases.par_iter().with_max_len(1).map(|b| world.open(b, &ear)).collect::<Result<_, _>>()?;
            let score = |candidate: &&Candidate| -> Result<(f64, Vec<f64>), RunError> {
                let lost = || RunError::Internal("a base is missing".into());
                let of = base_of(&opened, candidate).ok_or_else(lost)?;
                let trial = world.attempt(candidate, of, &ear)?;
                Ok((trial.score, trial.correct))
            };
            candidates.par_iter().with_max_len(1).map(score).collect()
        })
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

/// Writes the chosen file and the recipe that makes it again.
///
/// # Errors
/// [`SearchError::Write`].
pub fn write(found: &Found, out: &Path, recipe: &Path, text: &str) -> Result<(), SearchError> {
    let chosen = &found.trials[found.choice.trial].path;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |e| SearchError::Write(path, e)
    };
    let bytes = std::fs::read(chosen).map_err(failed(chosen))?;
    files::write_atomically(out, &bytes).map_err(failed(out))?;
    files::write_atomically(recipe, text.as_bytes()).map_err(failed(recipe))
}

/// Removes what was made on the way.
///
/// # Errors
/// [`SearchError::Write`].
pub fn clean(folder: &Path) -> Result<(), SearchError> {
    let trials: PathBuf = folder.join(TRIALS);
    std::fs::remove_dir_all(&trials).map_err(|e| SearchError::Write(trials, e))
}
