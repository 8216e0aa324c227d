//! In which order the rows of a run are made, and how many at a time.
//!
//! A task is one repetition of one row. It may begin when the rows that it is made from are there, all their repetitions, and
//! when there is memory for it beside those that run; one that runs alone needs none. What is made of a task does not depend on what runs at the same time, and neither does what is said of a failed row:
//! the repetition that counts is the first of those that failed.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::room::Room;

/// What must be known of a row to know when it may be made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// The rows that it is made from; all come before it.
    pub(crate) after: Vec<usize>,
    /// Whether nothing else may run at the same time: it measures how fast it is made.
    pub(crate) alone: bool,
    /// The memory that a repetition takes.
    pub(crate) room: Room,
}

/// How much may go on at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Threads that make tasks.
    pub(crate) workers: usize,
    /// Bytes that those which run, and what was made, may take.
    pub(crate) bytes: u64,
}

/// A task, as it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) row: usize,
    pub(crate) repetition: usize,
    /// Whether nothing else will run as long as it does, so that it may have all threads.
    pub(crate) is_alone: bool,
}

/// What became of a row.
#[derive(Debug)]
pub(crate) enum Outcome<C> {
    /// All its repetitions.
    Made(Arc<Vec<C>>),
    Failed,
}

/// Why a row is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Own(String),
    /// It is made from this row, which is not there.
    Of(usize),
}

/// What is done with tasks.
pub(crate) trait Work<C, E>: Sync {
    /// Makes a repetition of a row from those of others.
    fn make(&self, task: Task, made: &dyn Fn(usize) -> Arc<Vec<C>>) -> Result<C, E>;

    /// Hears of a row that failed, once; gives the error back if the run cannot go on.
    fn failed(&self, row: usize, why: Failure) -> Result<(), E>;

    /// The reason why a row fails alone, or the error that ends the run.
    fn of_one_row(&self, task: Task, error: E) -> Result<String, E>;

    /// The run ends early: tasks that still run should.
    fn end(&self);
}

/// Makes all rows, `repetitions` times each.
///
/// # Errors
/// The first that ends the run.
///
/// # Panics
/// As a task does.
pub(crate) fn run<C: Send + Sync, E: Send>(
    rows: &[Row],
    repetitions: usize,
    Limits { workers, bytes }: Limits,
    work: &dyn Work<C, E>,
) -> Result<Vec<Outcome<C>>, E> {
    let begun = rows.iter().map(|_| Progress::new(repetitions)).collect();
    let schedule = Schedule {
        rows,
        repetitions,
        bytes,
        work,
        state: Mutex::new(State { rows: begun, running: 0, taken: 0, is_held: false, end: None }),
        changed: Condvar::new(),
    };
    if workers <= 1 {
        schedule.worker(true);
    } else {
        std::thread::scope(|scope| {
            for number in 1..workers.min(rows.len() * repetitions) {
                let thread = std::thread::Builder::new().name(format!("rows {number}")).stack_size(STACK);
                // Where the system gives no more threads, those that run do the work.
                let _ = thread.spawn_scoped(scope, || schedule.worker(false));
            }
            schedule.worker(false);
        });
    }
    let state = schedule.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match state.end {
        Some(End::Error(error)) => Err(error),
        Some(End::Panic(panic)) => resume_unwind(panic),
        None => Ok(state.rows.into_iter().map(|row| row.outcome.unwrap_or(Outcome::Failed)).collect()),
    }
}

/// Bytes of a worker's stack: what the first thread of a process has.
const STACK: usize = 8 << 20;

struct Schedule<'a, C, E> {
    rows: &'a [Row],
    repetitions: usize,
    bytes: u64,
    work: &'a dyn Work<C, E>,
    state: Mutex<State<C, E>>,
    changed: Condvar,
}

struct State<C, E> {
    rows: Vec<Progress<C>>,
    running: usize,
    /// Bytes that what runs and what was made takes.
    taken: u64,
    /// A task runs beside which nothing else may.
    is_held: bool,
    end: Option<End<E>>,
}

enum End<E> {
    Error(E),
    Panic(Box<dyn Any + Send>),
}

struct Progress<C> {
    begun: usize,
    running: usize,
    copies: Vec<Option<C>>,
    /// The first repetition that failed.
    failed: Option<(usize, String)>,
    outcome: Option<Outcome<C>>,
}

impl<C> Progress<C> {
    fn new(repetitions: usize) -> Self {
        let copies = std::iter::repeat_with(|| None).take(repetitions).collect();
        Self { begun: 0, running: 0, copies, failed: None, outcome: None }
    }
}

impl<C: Send + Sync, E: Send> Schedule<'_, C, E> {
    fn locked(&self) -> MutexGuard<'_, State<C, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes tasks until there are none.
    fn worker(&self, is_only: bool) {
        let mut state = self.locked();
        while state.end.is_none() {
            match self.next(&mut state, is_only) {
                Err(error) => self.end(&mut state, End::Error(error)),
                Ok(Some(task)) => {
                    drop(state);
                    let found =
                        catch_unwind(AssertUnwindSafe(|| self.work.make(task, &|row| self.made(row))));
                    state = self.locked();
                    self.close(&mut state, task, found);
                    self.changed.notify_all();
                }
                Ok(None) if state.running == 0 => break,
                Ok(None) => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    fn end(&self, state: &mut State<C, E>, end: End<E>) {
        state.end.get_or_insert(end);
        self.work.end();
    }

    /// The repetitions of a row that is there.
    fn made(&self, row: usize) -> Arc<Vec<C>> {
        match &self.locked().rows[row].outcome {
            Some(Outcome::Made(copies)) => Arc::clone(copies),
            _ => unreachable!("a task begins when the rows that it is made from are there"),
        }
    }

    /// The next task that may begin, if there is one. Rows that cannot be made any more are closed.
    fn next(&self, state: &mut State<C, E>, is_only: bool) -> Result<Option<Task>, E> {
        let mut ready = Vec::new();
        for row in 0..self.rows.len() {
            let progress = &state.rows[row];
            if progress.outcome.is_some() || progress.failed.is_some() || progress.begun == self.repetitions {
                continue;
            }
            let outcomes = || self.rows[row].after.iter().map(|after| (*after, &state.rows[*after].outcome));
            if let Some((of, _)) = outcomes().find(|(_, outcome)| matches!(outcome, Some(Outcome::Failed))) {
                state.rows[row].outcome = Some(Outcome::Failed);
                self.work.failed(row, Failure::Of(of))?;
            } else if outcomes().all(|(_, outcome)| outcome.is_some()) {
                ready.push(row);
            }
        }
        if state.is_held {
            return Ok(None);
        }
        let fits = |row: &usize| state.running == 0 || self.fits(state.taken, *row);
        let shared = ready.iter().find(|row| !self.rows[**row].alone && fits(row));
        let row = match shared.or(ready.first().filter(|_| state.running == 0)) {
            Some(row) => *row,
            None => return Ok(None),
        };
        let waiting = |row: &usize| if self.rows[*row].alone { 0 } else { self.left(state, *row) };
        let is_last = state.running == 0 && ready.iter().map(waiting).sum::<usize>() <= 1;
        let progress = &mut state.rows[row];
        let repetition = progress.begun;
        progress.begun += 1;
        progress.running += 1;
        state.taken = state.taken.saturating_add(self.rows[row].room.making);
        // Where there is no memory for any other beside it, it has all threads.
        let is_crowded =
            || !(0..self.rows.len()).any(|row| self.left(state, row) > 0 && self.fits(state.taken, row));
        let held = self.rows[row].alone || (state.running == 0 && is_crowded());
        state.is_held = held;
        state.running += 1;
        Ok(Some(Task { row, repetition, is_alone: is_only || held || is_last }))
    }

    /// Whether a repetition of a row may run beside what takes so many bytes.
    fn fits(&self, taken: u64, row: usize) -> bool {
        taken.saturating_add(self.rows[row].room.making) <= self.bytes
    }

    fn left(&self, state: &State<C, E>, row: usize) -> usize {
        self.repetitions - state.rows[row].begun
    }

    /// Takes in what a task made.
    fn close(&self, state: &mut State<C, E>, task: Task, found: Result<Result<C, E>, Box<dyn Any + Send>>) {
        let Task { row, repetition, .. } = task;
        state.running -= 1;
        state.is_held = false;
        let Room { making, made } = self.rows[row].room;
        state.taken = state.taken.saturating_sub(making).saturating_add(made);
        let progress = &mut state.rows[row];
        progress.running -= 1;
        match found {
            Err(panic) => return self.end(state, End::Panic(panic)),
            Ok(Ok(copy)) => progress.copies[repetition] = Some(copy),
            Ok(Err(error)) => match self.work.of_one_row(task, error) {
                Err(error) => return self.end(state, End::Error(error)),
                Ok(why) => match &progress.failed {
                    Some((first, _)) if *first < repetition => {}
                    _ => progress.failed = Some((repetition, why)),
                },
            },
        }
        if progress.running > 0 {
            return;
        }
        if let Some((_, why)) = progress.failed.take_if(|_| progress.outcome.is_none()) {
            progress.failed = Some((0, String::new()));
            progress.outcome = Some(Outcome::Failed);
            if let Err(error) = self.work.failed(row, Failure::Own(why)) {
                self.end(state, End::Error(error));
            }
        } else if progress.copies.iter().all(Option::is_some) {
            let copies = std::mem::take(&mut progress.copies).into_iter().flatten().collect();
            progress.outcome = Some(Outcome::Made(Arc::new(copies)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    /// Makes texts: the row's number with what it is made from.
    #[derive(Default)]
    struct Texts {
        rows: Vec<Row>,
        fails: Vec<(usize, usize)>,
        ends: Option<(usize, usize)>,
        running: AtomicUsize,
        most: AtomicUsize,
        alone: AtomicUsize,
        said: Mutex<Vec<(usize, Failure)>>,
        ended: AtomicBool,
        begun: Mutex<Vec<(usize, usize)>>,
        /// Where memory is counted: how many that take some ran at a time.
        at_most: Option<u64>,
        with_room: AtomicUsize,
        beside: AtomicUsize,
    }

    impl Work<String, &'static str> for Texts {
        fn make(&self, task: Task, made: &dyn Fn(usize) -> Arc<Vec<String>>) -> Result<String, &'static str> {
            let Task { row, repetition, is_alone } = task;
            self.begun.lock().unwrap().push((row, repetition));
            let running = 1 + self.running.fetch_add(1, Ordering::SeqCst);
            self.most.fetch_max(running, Ordering::SeqCst);
            let takes = usize::from(self.rows[row].room.making > 0 && self.at_most.is_some());
            let beside = takes + self.with_room.fetch_add(takes, Ordering::SeqCst);
            self.beside.fetch_max(beside, Ordering::SeqCst);
            // Later repetitions end before earlier ones.
            std::thread::sleep(Duration::from_millis(if repetition == 0 { 8 } else { 1 }));
            if is_alone {
                self.alone.fetch_add(1, Ordering::SeqCst);
                assert_eq!(self.running.load(Ordering::SeqCst), 1, "row {row} is alone");
            }
            self.with_room.fetch_sub(takes, Ordering::SeqCst);
            self.running.fetch_sub(1, Ordering::SeqCst);
            if self.ends == Some((row, repetition)) {
                return Err("end");
            }
            if self.fails.contains(&(row, repetition)) {
                return Err(if repetition == 0 { "first" } else { "later" });
            }
            let from: Vec<String> =
                self.rows[row].after.iter().map(|after| made(*after)[repetition].clone()).collect();
            Ok(format!("{row}.{repetition}({})", from.join(",")))
        }

        fn failed(&self, row: usize, why: Failure) -> Result<(), &'static str> {
            self.said.lock().unwrap().push((row, why));
            Ok(())
        }

        fn of_one_row(&self, _: Task, error: &'static str) -> Result<String, &'static str> {
            if error == "end" { Err(error) } else { Ok(error.into()) }
        }

        fn end(&self) {
            self.ended.store(true, Ordering::SeqCst);
        }
    }

    fn row(after: &[usize], alone: bool) -> Row {
        Row { after: after.to_vec(), alone, room: Room::default() }
    }

    fn texts(rows: Vec<Row>) -> Texts {
        Texts { rows, ..Texts::default() }
    }

    fn made(texts: &Texts, workers: usize) -> Result<Vec<Option<Vec<String>>>, &'static str> {
        made_within(texts, Limits { workers, bytes: u64::MAX })
    }

    fn made_within(texts: &Texts, limits: Limits) -> Result<Vec<Option<Vec<String>>>, &'static str> {
        let of = |outcome| match outcome {
            Outcome::Made(copies) => Some(Arc::into_inner(copies).expect("nobody else holds it")),
            Outcome::Failed => None,
        };
        Ok(run(&texts.rows, 3, limits, texts)?.into_iter().map(of).collect())
    }

    #[test]
    fn rows_are_the_same_for_any_number_of_workers() {
        let rows = || {
            vec![row(&[], false), row(&[0], false), row(&[0], true), row(&[1, 2], false), row(&[0], false)]
        };
        let one = made(&texts(rows()), 1).unwrap();
        assert_eq!(one[3].as_ref().unwrap()[1], "3.1(1.1(0.1()),2.1(0.1()))");
        for workers in [2, 3, 20] {
            let texts = texts(rows());
            assert_eq!(made(&texts, workers).unwrap(), one);
            assert!(texts.most.into_inner() > 1, "{workers} workers do nothing side by side");
            assert!(texts.alone.into_inner() >= 3, "what runs alone knows it");
        }
    }

    #[test]
    fn rows_wait_for_memory_and_are_the_same() {
        let of = |making| Row { room: Room { making, made: 1 }, ..row(&[0], false) };
        let rows = || vec![row(&[], false), of(10), of(10), of(25), row(&[3], false)];
        let free = made(&texts(rows()), 1).unwrap();
        // At most two of the small ones at a time and none beside the large one, then fewer, then each alone.
        for (bytes, most) in [(29, 2), (20, 2), (12, 1), (0, 1)] {
            for workers in [2, 8] {
                let texts = Texts { at_most: Some(bytes), ..texts(rows()) };
                assert_eq!(made_within(&texts, Limits { workers, bytes }).unwrap(), free, "{bytes}");
                let (found, alone) = (texts.beside.into_inner(), texts.alone.into_inner());
                assert!(found <= most, "{bytes} bytes, {workers} workers: {found} at a time");
                assert!(alone >= 3, "a large row has all threads: {alone}");
            }
        }
    }

    #[test]
    fn the_first_failure_counts_and_what_needs_the_row_is_left_out() {
        for workers in [1, 2, 4] {
            let rows = vec![
                row(&[], false),
                row(&[0], false),
                row(&[1], false),
                row(&[0], false),
                row(&[2, 3], true),
            ];
            let texts = Texts { fails: vec![(1, 0), (1, 1), (1, 2)], ..texts(rows) };
            let made = made(&texts, workers).unwrap();
            let there: Vec<bool> = made.iter().map(Option::is_some).collect();
            assert_eq!(there, [true, false, false, true, false]);
            let mut said = texts.said.into_inner().unwrap();
            said.sort_by_key(|(row, _)| *row);
            let own = Failure::Own("first".into());
            assert_eq!(said, [(1, own), (2, Failure::Of(1)), (4, Failure::Of(2))], "{workers}");
        }
    }

    #[test]
    fn an_error_of_the_run_ends_it() {
        for workers in [1, 2, 4] {
            let rows = vec![row(&[], false), row(&[0], false), row(&[1], false)];
            let texts = Texts { ends: Some((1, 0)), ..texts(rows) };
            assert_eq!(made(&texts, workers).unwrap_err(), "end");
            assert!(texts.ended.into_inner());
            assert!(texts.begun.into_inner().unwrap().iter().all(|(row, _)| *row < 2));
        }
    }

    #[test]
    fn a_panic_is_the_callers_and_nobody_waits_for_ever() {
        struct Bomb;
        impl Work<(), ()> for Bomb {
            fn make(&self, task: Task, _: &dyn Fn(usize) -> Arc<Vec<()>>) -> Result<(), ()> {
                assert!(task.row != 1, "the bomb went off");
                Ok(())
            }
            fn failed(&self, _: usize, _: Failure) -> Result<(), ()> {
                Ok(())
            }
            fn of_one_row(&self, _: Task, (): ()) -> Result<String, ()> {
                Err(())
            }
            fn end(&self) {}
        }
        for workers in [1, 3] {
            let rows = [row(&[], false), row(&[0], false), row(&[1], false)];
            assert!(
                catch_unwind(AssertUnwindSafe(|| run(&rows, 2, Limits { workers, bytes: 0 }, &Bomb)))
                    .is_err()
            );
        }
    }
}
