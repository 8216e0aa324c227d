//! The search: bases, then candidates in generations, then the best again on other folds, then one look at test.

use nlpress_core::event::{Event, Flow, Sink};
use nlpress_core::shown::counted;
use nlpress_core::{Backend, Seed, files};
use nlpress_eval::Estimate;
use nlpress_pipeline::prepared::read_corpus;
use nlpress_pipeline::recipe::DataRecipe;
use nlpress_pipeline::{Lock, RunError};
use rayon::prelude::*;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::candidate::{Base, Candidate, Student};
use crate::choose::{Choice, LATENCY_USED, choose, fits, frontier};
use crate::error::SearchError;
use crate::limits::{Effort, Limits, Metric};
use crate::space::{FEWEST, bases, changed, more_bases, usual};
use crate::trial::{Ear, Opened, Trial, World, ask, base_of};

/// Candidates that are made side by side, whatever the number of threads: what comes next depends on all of them.
const GENERATION: usize = 8;
/// Changes that are proposed for a generation at most, in rounds of as many as it has.
const PROPOSED: usize = 20 * GENERATION;
/// Bases that candidates are made from in the first generation.
const FIRST_BASES: usize = 4;
/// Words to try each of the usual ways with where no limit says how many: for the best base, and for others.
const LADDER: [&[usize]; 2] = [&[8000, 2000, 500], &[4000]];
/// A file is filled up with words to this share of the limit at least.
const FULL: f64 = 0.995;
/// Sizes that are foreseen to find how many words fit.
const STEPS: usize = 8;
/// Shares of the time after which no base, and no candidate, is begun.
const FOR_BASES: f64 = 0.3;
const FOR_TRIALS: f64 = 0.65;

/// How long a search takes where nothing is said.
const USUAL_TIME: Duration = Duration::from_secs(120);

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

impl<'a> Request<'a> {
    /// A search of two minutes for accuracy, without limits, on all processors; `folder` is for what is made on the way.
    pub fn new(data: DataRecipe, folder: &'a Path) -> Self {
        Self {
            data,
            data_dir: Path::new("data"),
            limits: Limits::default(),
            metric: Metric::default(),
            effort: Effort::Time(USUAL_TIME),
            seed: 1,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            folder,
            resume: false,
        }
    }
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
///
/// Files of candidates lie in the folder of the search until [`clean`] removes them.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// Bases that candidates were made from, with their validation scores.
    pub bases: Vec<(Base, f64)>,
    /// All candidates that were made, in order.
    pub trials: Vec<Trial>,
    /// Candidates that could not be made, with the reason.
    pub failed: Vec<String>,
    /// Candidates that were not made, because their files were foreseen to miss the limits.
    pub spared: usize,
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
        spared: 0,
        stopped: false,
    };
    search.look()?;
    search.finish()
}

/// A search under way.
pub(crate) struct Search<'a> {
    pub(crate) request: &'a Request<'a>,
    pub(crate) world: World<'a>,
    pub(crate) sink: &'a dyn Sink,
    pub(crate) pool: rayon::ThreadPool,
    pub(crate) began: Instant,
    pub(crate) opened: Vec<Opened>,
    pub(crate) trials: Vec<Trial>,
    pub(crate) failed: Vec<String>,
    pub(crate) spared: usize,
    pub(crate) stopped: bool,
}

impl Found {
    /// The candidate to ship.
    pub fn chosen(&self) -> &Trial {
        &self.trials[self.choice.trial]
    }

    /// What a candidate scored on test, where it was looked at.
    pub fn on_test(&self, trial: usize) -> Option<&Tested> {
        self.tested.iter().find(|tested| tested.trial == trial)
    }
}

impl Search<'_> {
    /// The moment when this share of the time is over; none where trials are counted.
    pub(crate) fn until(&self, share: f64) -> Option<Instant> {
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
            Effort::Trials(n) => n.div_ceil(4),
            Effort::Time(_) => usize::MAX,
        };
        self.open(&wanted[1..], many);
        self.open(&more_bases(&self.opened), many);
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

    /// Trains bases side by side, until there are so many.
    fn open(&mut self, wanted: &[Base], many: usize) {
        let wanted = &wanted[..wanted.len().min(many.saturating_sub(self.opened.len()))];
        let ear = Ear { outer: self.sink, until: self.until(FOR_BASES) };
        let world = &self.world;
        let opened: Vec<Result<Opened, RunError>> = self
            .pool
            .install(|| wanted.par_iter().with_max_len(1).map(|base| world.open(base, &ear)).collect());
        for opened in opened {
            match opened {
                Ok(opened) => self.opened.push(opened),
                Err(error) => self.note_failure("a base", error),
            }
        }
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

    /// The bases, the best first.
    fn best_bases(&self) -> Vec<&Opened> {
        let mut order: Vec<&Opened> = self.opened.iter().collect();
        order.sort_by(|a, b| b.score.total_cmp(&a.score));
        order
    }

    /// What usually pays, from the best bases.
    fn first_generation(&mut self) -> Vec<Candidate> {
        let mut lists: Vec<_> = (self.best_bases().into_iter().take(FIRST_BASES).enumerate())
            .map(|(n, opened)| {
                let all = [opened.width];
                let keeps = match self.request.limits.max_bytes {
                    Some(_) => &all[..],
                    None => LADDER[n.min(1)],
                };
                usual(opened, self.outputs(), keeps).into_iter()
            })
            .collect();
        // The first of each base, then the second of each.
        let mut candidates = Vec::new();
        while lists.iter().any(|list| list.len() > 0) {
            candidates.extend(lists.iter_mut().filter_map(Iterator::next));
        }
        let filled = self.fill(candidates.into_iter().map(|candidate| (candidate, true)).collect());
        let mut kept: Vec<Candidate> = Vec::new();
        for candidate in filled {
            if !kept.iter().any(|other| candidate.is_like(other)) {
                kept.push(candidate);
            }
        }
        kept.truncate(self.left());
        kept
    }

    /// Trials that are left.
    fn left(&self) -> usize {
        match self.request.effort {
            Effort::Trials(n) => n.saturating_sub(self.trials.len() + self.failed.len()),
            Effort::Time(_) => usize::MAX,
        }
    }

    fn outputs(&self) -> usize {
        self.opened[0].prepared.train.outputs()
    }

    /// Changes to the best so far.
    fn next_generation(&mut self, number: u64) -> Vec<Candidate> {
        let over = self.until(FOR_TRIALS).is_some_and(|until| Instant::now() > until);
        let parents = self.parents();
        if over || parents.is_empty() {
            return Vec::new();
        }
        let mut rng = Seed(self.request.seed).derive("search").stream(number);
        let mut generation: Vec<Candidate> = Vec::new();
        let wanted = GENERATION.min(self.left());
        for _ in 0..PROPOSED / GENERATION {
            if generation.len() == wanted {
                break;
            }
            let bases = self.best_bases();
            let outputs = self.outputs();
            let mut propose = || {
                // The better, the more often: the least of two.
                let parent = parents[rng.below(parents.len()).min(rng.below(parents.len()))];
                let child = changed(&self.trials[parent].candidate, &bases, outputs, &mut rng);
                (child, rng.below(4) > 0)
            };
            let proposed = (0..GENERATION).map(|_| propose()).collect();
            for child in self.fill(proposed) {
                let made = self.trials.iter().map(|t| &t.candidate);
                let known = made.chain(&generation).any(|other| child.is_like(other));
                if !known && generation.len() < wanted {
                    generation.push(child);
                }
            }
        }
        generation
    }

    /// Candidates with as many words as the limit on size allows, or no more than that; those that are foreseen to miss
    /// a limit even so are left out, and counted.
    fn fill(&mut self, candidates: Vec<(Candidate, bool)>) -> Vec<Candidate> {
        let ratio = self.foreseen_too_low();
        let one = |(candidate, full): (Candidate, bool)| self.filled(candidate, full, ratio);
        let filled: Vec<Option<Candidate>> =
            self.pool.install(|| candidates.into_par_iter().with_max_len(1).map(one).collect());
        self.spared += filled.iter().filter(|candidate| candidate.is_none()).count();
        filled.into_iter().flatten().collect()
    }

    /// What files with pruned entries take, over what was foreseen; what is exact needs no correction.
    fn foreseen_too_low(&self) -> f64 {
        let sparse = self.trials.iter().filter(|trial| !trial.candidate.is_exact());
        let ratios = sparse.map(|trial| trial.bytes as f64 / trial.foreseen as f64);
        ratios.fold(1.01, f64::max)
    }

    fn filled(&self, mut candidate: Candidate, full: bool, ratio: f64) -> Option<Candidate> {
        let limits = &self.request.limits;
        let opened = base_of(&self.opened, &candidate)?;
        let ratio = if candidate.is_exact() { 1.0 } else { ratio };
        let bytes = |keep: usize| {
            let student = Student { keep, ..candidate.student.clone() };
            let candidate = Candidate { student, ..candidate.clone() };
            // What cannot be planned fails as a trial, with its reason.
            let foreseen = self.world.foresee(&candidate, opened, false);
            foreseen.map_or(0.0, |foreseen| ratio * foreseen.bytes as f64)
        };
        if let Some(most) = limits.max_bytes {
            let start = candidate.student.keep.min(opened.width);
            candidate.student.keep = words_that_fit(start, (opened.width, full), most as f64, bytes)?;
        }
        if let Some(most) = limits.max_latency_us {
            let foreseen = self.world.foresee(&candidate, opened, true).ok()?;
            if foreseen.latency_us.is_some_and(|us| us > LATENCY_USED * most) {
                return None;
            }
        }
        Some(candidate)
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
}

/// The largest number of words, up to `width`, whose file has no more than `most` bytes: where it is to be `full`, as near
/// to the limit as is quickly found; else no more than `start` words. `bytes` grows with words. Nothing where not even the
/// fewest fit.
fn words_that_fit(
    start: usize,
    (width, full): (usize, bool),
    most: f64,
    bytes: impl Fn(usize) -> f64,
) -> Option<usize> {
    let fewest = FEWEST.min(width);
    let (mut low, mut high) = ((fewest, bytes(fewest)), (width, f64::INFINITY));
    if low.1 > most {
        return None;
    }
    let mut next = start.clamp(fewest, width);
    for _ in 0..STEPS {
        let taken = bytes(next);
        match taken <= most {
            true if next >= low.0 => low = (next, taken),
            false if next < high.0 => high = (next, taken),
            _ => {}
        }
        let done = low.0 + 1 >= high.0 || low.0 == width || low.1 >= FULL * most;
        if done || (!full && low.0 == start) {
            break;
        }
        // A straight line through what is known, and a little below it.
        let line = match high.1.is_finite() {
            true => (high.1 - low.1) / (high.0 - low.0) as f64,
            false => (taken / next as f64).max(1e-9),
        };
        let guess = low.0 + ((0.998 * most - low.1).max(0.0) / line) as usize;
        next = guess.clamp(low.0 + 1, if high.1.is_finite() { high.0 - 1 } else { width });
    }
    Some(low.0)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The most words that fit are found, whatever a word takes, and nothing that does not fit.
    #[test]
    fn words_that_fit_fill_the_file() {
        for (fixed, word, width) in [(2000.0, 6.3, 50_000), (2000.0, 60.0, 7000), (0.0, 1.0, 20)] {
            // Words take less where there are more, as in a vocabulary that shares beginnings.
            let bytes = |keep: usize| fixed + word * (keep as f64).powf(0.95);
            for most in [2500.0, 12_500.0, 100_000.0] {
                let full = words_that_fit(width, (width, true), most, bytes);
                let fits = |keep: usize| bytes(keep) <= most;
                match full {
                    None => assert!(!fits(FEWEST.min(width))),
                    Some(keep) => {
                        assert!(fits(keep), "{keep} words take {} of {most}", bytes(keep));
                        assert!(keep == width || bytes(keep + 1) > 0.98 * most, "{keep} of {most}");
                    }
                }
                let few = words_that_fit(FEWEST.max(width / 100), (width, false), most, bytes);
                assert!(few.is_none_or(|few| few <= FEWEST.max(width / 100) && fits(few)));
            }
        }
    }
}
