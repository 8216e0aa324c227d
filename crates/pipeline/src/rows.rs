//! The rows of a run, as they depend on each other: which are made side by side, and what becomes of those that fail.
//!
//! A repetition that is made beside others has one thread, so that all together have as many as the run; one that is alone
//! has them all. A row that measures how fast it trains is made alone, and one for which there is no memory beside the others
//! waits.

use nlpress_core::event::{Event, StopFlag};
use nlpress_model::Outline;
use nlpress_technique::Family;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::failure::RunError;
use crate::identity::Written;
use crate::made::{Copy, Made, Rows};
use crate::make::{MadeFrom, Repetition, RowToMake, Taught, Workshop};
use crate::options::RunOptions;
use crate::recipe::{TEACHER, Teaching, Variant};
use crate::report::{self, FailedRow};
use crate::room::{self, Room};
use crate::schedule::{self, Failure, Limits, Outcome, Row, Task, Work};

/// Bytes of the stack on which a repetition beside others is made.
const STACK: usize = 8 << 20;

/// The rows in the order of the plan, each after those that it is made from.
struct Order<'a> {
    /// All but the first, which is the teacher.
    variants: Vec<&'a Variant>,
    techniques: Vec<String>,
    rows: Vec<Row>,
}

impl<'a> Order<'a> {
    fn of(variants: Vec<&'a Variant>, rooms: &[Room]) -> Self {
        let mut places = BTreeMap::from([(TEACHER, 0)]);
        let mut rows = vec![Row { room: rooms[0], ..Row::default() }];
        let mut techniques = vec!["train".to_owned()];
        for (variant, room) in variants.iter().zip(&rooms[1..]) {
            let others = [Some(variant.parent.as_str()), variant.teacher.row()];
            let after = others.into_iter().flatten().filter_map(|id| places.get(id).copied()).collect();
            let alone = variant.steps.iter().any(|step| step.kind.family == Family::Parallel);
            places.insert(&variant.id, rows.len());
            rows.push(Row { after, alone, room: *room });
            let names: Vec<&str> = variant.steps.iter().map(|step| step.kind.name).collect();
            techniques.push(names.join(" → "));
        }
        Self { variants, techniques, rows }
    }

    fn variant(&self, row: usize) -> Option<&'a Variant> {
        row.checked_sub(1).map(|place| self.variants[place])
    }

    fn id(&self, row: usize) -> &'a str {
        self.variant(row).map_or(TEACHER, |variant| &variant.id)
    }

    fn made(&self, row: usize, copies: Vec<Copy>) -> Made {
        let variant = self.variant(row);
        Made {
            id: self.id(row).into(),
            family: variant.map_or(report::Family::Baseline, |variant| variant.family),
            parent: variant.map(|variant| variant.parent.clone()),
            technique: self.techniques[row].clone(),
            copies,
        }
    }
}

/// Makes all rows of a workshop: the teacher, the controls, the variants. A row that fails, or whose parent or teacher
/// did, is left out with the reason, and the others are made.
///
/// # Errors
/// [`RunError`] when the teacher fails, or no row can be made any more.
pub(crate) fn all(workshop: &Workshop<'_>) -> Result<Rows, RunError> {
    let start = workshop.start.map(|start| (start.sha256.as_str(), start.trained));
    let mut written = Written::new(workshop.graph, (&workshop.recipe.train, workshop.threshold()), start);
    let controls = workshop.controls();
    let variants: Vec<&Variant> = controls.iter().chain(&workshop.recipe.variants).collect();
    for variant in &variants {
        written.add(variant, workshop.teachers.1.get(&variant.id).map(String::as_str));
    }
    let of_start = workshop.start.filter(|start| start.trained).map(|start| start.work.model.outline());
    let base = of_start.unwrap_or_else(|| Outline::dense(workshop.graph));
    let rooms = Room::of_rows(&base, &variants, &workshop.recipe.train);
    let making = Making {
        workshop,
        order: Order::of(variants, &rooms),
        written,
        ended: false.into(),
        failed: Mutex::default(),
    };
    let limits = Limits { workers: workers(workshop.options), bytes: room::budget(workshop.options) };
    let outcomes = schedule::run(&making.order.rows, workshop.recipe.seeds as usize, limits, &making)?;
    let mut rows = Rows::default();
    for (row, outcome) in outcomes.into_iter().enumerate() {
        if let Outcome::Made(copies) = outcome {
            let held = || RunError::Internal(format!("row {} is still in use", making.order.id(row)));
            rows.made.push(making.order.made(row, Arc::into_inner(copies).ok_or_else(held)?));
        }
    }
    let mut failed = making.failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort_by_key(|(row, _)| *row);
    rows.failed = failed.into_iter().map(|(_, failed)| failed).collect();
    Ok(rows)
}

/// Rows to make side by side at most: as the options say, else as many as there are threads. On a device that is not the
/// processor, and with other processes, which do the same in the same order, one.
fn workers(options: &RunOptions<'_>) -> usize {
    if !options.backend.kind().is_cpu() || options.peers.is_some_and(|peers| peers.size() > 1) {
        return 1;
    }
    options.workers.unwrap_or(options.threads).clamp(1, options.threads.max(1))
}

/// Rows that are being made.
struct Making<'a> {
    workshop: &'a Workshop<'a>,
    order: Order<'a>,
    written: Written,
    /// Whether the run ends before all rows are made.
    ended: AtomicBool,
    failed: Mutex<Vec<(usize, FailedRow)>>,
}

impl Work<Copy, RunError> for Making<'_> {
    fn make(
        &self,
        Task { row, repetition, is_alone }: Task,
        made: &dyn Fn(usize) -> Arc<Vec<Copy>>,
    ) -> Result<Copy, RunError> {
        let (workshop, variant) = (self.workshop, self.order.variant(row));
        let rows: Vec<Arc<Vec<Copy>>> = self.order.rows[row].after.iter().map(|row| made(*row)).collect();
        let copy_of = |place: usize| {
            let missing =
                || RunError::Internal(format!("row {} lacks what it starts from", self.order.id(row)));
            rows.get(place).and_then(|copies| copies.get(repetition)).ok_or_else(missing)
        };
        let from = match variant {
            None => None,
            Some(variant) => {
                let taught = match &variant.teacher {
                    Teaching::Row(_) => Taught::By(copy_of(1)?),
                    Teaching::File(file) => Taught::ByFile(file),
                };
                Some(MadeFrom { variant, parent: copy_of(0)?, taught })
            }
        };
        let sink = StopFlag::new(&self.ended, workshop.sink);
        let row = RowToMake {
            id: self.order.id(row),
            technique: &self.order.techniques[row],
            written: &self.written,
        };
        let threads = if is_alone { workshop.options.threads } else { 1 };
        let repetition = Repetition { row: &row, number: repetition as u32, threads, sink: &sink };
        if is_alone {
            return workshop.copy(&repetition, from);
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).stack_size(STACK).build();
        let pool = pool.map_err(|e| RunError::Internal(format!("a thread could not be started: {e}")))?;
        pool.install(|| workshop.copy(&repetition, from))
    }

    fn failed(&self, row: usize, why: Failure) -> Result<(), RunError> {
        let why = match (why, self.order.variant(row)) {
            (Failure::Own(why), _) => why,
            (Failure::Of(other), Some(variant)) if self.order.id(other) == variant.parent => {
                format!("skipped: it starts from {}, which failed", variant.parent)
            }
            (Failure::Of(other), _) => {
                format!("skipped: it learns from {}, which failed", self.order.id(other))
            }
        };
        let failed = FailedRow { id: self.order.id(row).into(), why };
        self.workshop.sink.say(&Event::Note { text: failed.to_string() })?;
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).push((row, failed));
        Ok(())
    }

    fn of_one_row(&self, task: Task, error: RunError) -> Result<String, RunError> {
        // All others are made from the first.
        if task.row == 0 { Err(error) } else { error.of_one_row() }
    }

    fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}
