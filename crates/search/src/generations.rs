//! Bases, then candidates in generations.

use nlpress_core::Seed;
use nlpress_core::event::{Event, Flow, Sink, Stopped};
use nlpress_core::shown::counted;
use nlpress_pipeline::{DataError, RunError};
use std::time::Instant;

use crate::candidate::{Base, Candidate, FEWEST, features};
use crate::choose::{choose, fits, frontier};
use crate::error::SearchError;
use crate::found::OfTeacher;
use crate::limits::Effort;
use crate::pretrained;
use crate::queue::side_by_side;
use crate::request::Request;
use crate::space::{bases, changed, hashed_bases, more_bases, usual};
use crate::trial::{Ear, Opened, Trial, World, ask, base_of};

/// Candidates that are made side by side, whatever the number of threads: what comes next depends on all of them.
const GENERATION: usize = 8;
/// Changes that are proposed for a generation at most, in rounds of as many as it has.
const PROPOSED: usize = 20 * GENERATION;
/// Bases that candidates are made from in the first generation.
const FIRST_BASES: usize = 4;
/// Words to try each of the usual ways with where no limit says how many: for the best base, and for others.
const LADDER: [&[usize]; 2] = [&[8000, 2000, 500], &[4000]];
/// Shares of the time after which no base is begun, those that were begun are given up, and no candidate is made.
const FOR_BASES: f64 = 0.3;
const FOR_BEGUN: f64 = 0.45;
const FOR_TRIALS: f64 = 0.65;

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
    /// What there is to say of the teacher.
    pub(crate) taught: Option<OfTeacher>,
}

impl<'a> Search<'a> {
    pub(crate) fn new(
        request: &'a Request<'a>,
        world: World<'a>,
        sink: &'a dyn Sink,
        pool: rayon::ThreadPool,
    ) -> Self {
        Self {
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
            taught: None,
        }
    }

    /// The moment when this share of the time is over; none where trials are counted.
    pub(crate) fn until(&self, share: f64) -> Option<Instant> {
        match self.request.effort {
            Effort::Trials(_) => None,
            Effort::Time(time) => Some(self.began + time.mul_f64(share)),
        }
    }

    /// Bases, then generations until time or trials are over.
    pub(crate) fn look(&mut self) -> Result<(), SearchError> {
        let wanted = bases(&self.world.corpus).map_err(DataError::from)?;
        let many = match self.request.effort {
            Effort::Trials(n) => n.div_ceil(4).max(1),
            Effort::Time(_) => usize::MAX,
        };
        self.open(&wanted, many)?;
        let more = more_bases(&self.opened);
        self.open(&more, many)?;
        let hashed = hashed_bases(&self.opened, self.outputs(), self.request.limits.max_bytes);
        self.open(&hashed, many)?;
        self.open_teacher()?;
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

    /// Asks the teacher about all documents, so that candidates find its answers; one that is an encoder is a base, too.
    fn open_teacher(&mut self) -> Result<(), SearchError> {
        let Some(teacher) = self.world.teacher.clone() else { return Ok(()) };
        let ear = Ear { outer: self.sink, until: self.until(FOR_BEGUN) };
        let taught = match self.world.taught(self.request.threads, &ear) {
            Ok(taught) => taught,
            Err(RunError::Stopped(_)) => {
                self.stopped |= self.asked_to_stop();
                let text = "the teacher was not asked about all documents in this time, so that nothing learns from it: give \
                            more minutes; what it answered is kept, and found by the next search";
                self.failed.push(text.into());
                self.world.teacher = None;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        self.taught = taught.as_deref().map(OfTeacher::from);
        if let Some(text) = self.taught.as_ref().map(ToString::to_string) {
            self.sink.say(&Event::Note { text })?;
        }
        if let (Some(sha256), Some(taught)) = (&teacher.encoder, taught) {
            let base = pretrained::base(sha256, taught.probed.map_or(1.0, |probe| probe.cost));
            self.open(&[base], usize::MAX)?;
        }
        Ok(())
    }

    /// Trains bases side by side, until there are so many. The very first is trained however long it takes, so that there
    /// is something.
    fn open(&mut self, wanted: &[Base], many: usize) -> Result<(), SearchError> {
        let first = self.opened.is_empty();
        let wanted = &wanted[..wanted.len().min(many.saturating_sub(self.opened.len()))];
        let (begun, done) = (self.until(FOR_BASES), self.until(FOR_BEGUN));
        let (world, sink) = (&self.world, self.sink);
        let open = |n: usize, base: &Base| {
            if first && n == 0 {
                return world.open(base, &Ear { outer: sink, until: None });
            }
            if begun.is_some_and(|until| Instant::now() > until) {
                return Err(RunError::Stopped(Stopped));
            }
            world.open(base, &Ear { outer: sink, until: done })
        };
        let opened = side_by_side(&self.pool, wanted, |_| 0.0, open);
        for (n, opened) in opened.into_iter().enumerate() {
            match opened {
                Ok(opened) => self.opened.push(opened),
                Err(error) if first && n == 0 => return Err(error.into()),
                Err(error) => self.note_failure("a base", error),
            }
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

    /// The bases, the best first.
    fn best_bases(&self) -> Vec<&Opened> {
        let mut order: Vec<&Opened> = self.opened.iter().collect();
        order.sort_by(|a, b| b.score.total_cmp(&a.score));
        order
    }

    /// What usually pays, from the best bases.
    fn first_generation(&mut self) -> Vec<Candidate> {
        let (of_features, pretrained): (Vec<_>, Vec<_>) =
            self.best_bases().into_iter().partition(|opened| opened.base.bag().is_some());
        let mut lists: Vec<_> = (of_features.into_iter().take(FIRST_BASES).enumerate())
            .map(|(n, opened)| {
                let all = [opened.width];
                let keeps = match self.request.limits.max_bytes {
                    Some(_) => &all[..],
                    None => LADDER[n.min(1)],
                };
                usual(opened, self.outputs(), keeps, self.world.teacher.is_some()).into_iter()
            })
            .collect();
        lists.extend(pretrained.first().map(|opened| pretrained::usual(opened).into_iter()));
        // The first of each base, then the second of each.
        let mut candidates = Vec::new();
        while lists.iter().any(|list| list.len() > 0) {
            candidates.extend(lists.iter_mut().filter_map(Iterator::next));
        }
        let mut filled = self.fill(candidates.iter().map(|candidate| (candidate.clone(), true)).collect());
        if filled.is_empty() {
            // Nothing keeps the limits, as far as is foreseen: the nearest is wanted even so.
            filled = candidates;
            for candidate in &mut filled {
                let fewest = base_of(&self.opened, candidate).map_or(FEWEST, |opened| opened.fewest);
                candidate.student.keep = candidate.student.keep.min(fewest);
            }
            self.spared = self.spared.saturating_sub(filled.len());
        }
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

    pub(crate) fn outputs(&self) -> usize {
        self.opened[0].prepared.outputs()
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
            let facts = (self.outputs(), self.world.teacher.is_some());
            let mut propose = || {
                // The better, the more often: the least of two.
                let parent = parents[rng.below(parents.len()).min(rng.below(parents.len()))];
                let child = changed(&self.trials[parent].candidate, &bases, facts, &mut rng);
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
        let (world, opened, sink) = (&self.world, &self.opened, self.sink);
        let outputs = self.outputs();
        let one = |n: usize, candidate: &Candidate| {
            // The very first is made however long it takes, so that there is something.
            let until = if first && n == 0 { None } else { until };
            Some(world.attempt(candidate, base_of(opened, candidate)?, &Ear { outer: sink, until }))
        };
        let made = side_by_side(&self.pool, candidates, |candidate| candidate.cost(outputs), one);
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
            let features = features(&opened.base.encoder);
            let what = match opened.base.bag() {
                Some(_) => format!("of {} {features}, hidden {:?}", opened.width, opened.base.hidden),
                None => format!("of {} {features}: its encoder, frozen, and a linear probe", opened.width),
            };
            let (metric, score) = (&self.request.metric, 100.0 * opened.score);
            let text = format!("base {what}: {metric} {score:.2} % on validation");
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
