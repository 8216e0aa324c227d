//! Puts together what was scored and what is timed now: one row of the report for every row that was made.

use nlpress_core::Measurement;
use nlpress_core::event::{Event, Sink};
use nlpress_core::shown::counted;
use nlpress_eval::interval::difference;
use nlpress_eval::quality::macro_f1;
use nlpress_eval::{Bootstrap, Call, Confusion, EvalError, Quality, Ratio, Scores, Speeds};
use nlpress_runtime::Session;
use nlpress_text::{Coverage, Encode};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::failure::RunError;
use crate::integers::Integers;
use crate::made::Made;
use crate::measure;
use crate::options::RunOptions;
use crate::prepared::Prepared;
use crate::report::{
    self, CorpusInfo, Family, Floor, Known, Likeness, Majority, Row, SeedArtifact, Speed, Training, Versus,
};

/// What is timed is said again after so long.
const AGAIN: Duration = Duration::from_secs(1);

/// A row that was made, with what its artifacts answered on the test documents.
pub(crate) struct Scored<'a> {
    pub(crate) made: &'a Made,
    /// Of each repetition.
    pub(crate) scores: Vec<Scores>,
    /// Of each repetition that answers in integers.
    pub(crate) integers: Vec<Integers>,
    /// Opened on the first repetition's artifact.
    pub(crate) session: Session,
}

impl Scored<'_> {
    fn correct(&self) -> Vec<&[f64]> {
        self.scores.iter().map(|s| &*s.correct).collect()
    }
}

/// The rows of a report, with what is known of their measurement. The first is the baseline.
pub(crate) struct Assembly<'a> {
    pub(crate) prepared: &'a Prepared,
    pub(crate) options: &'a RunOptions<'a>,
    pub(crate) sink: &'a dyn Sink,
    pub(crate) bootstrap: Bootstrap,
    pub(crate) alike_points: f64,
}

impl Assembly<'_> {
    /// Times all artifacts side by side and makes the rows; how far artifacts differ from themselves comes with them.
    pub(crate) fn rows(
        &self,
        scored: &[Scored<'_>],
    ) -> Result<(Vec<Row>, BTreeMap<String, Floor>), RunError> {
        let speeds = self.speeds(scored)?;
        let parents: Vec<Option<usize>> = (scored.iter())
            .map(|s| scored.iter().position(|p| Some(&p.made.id) == s.made.parent.as_ref()))
            .collect();
        // Every ratio that the report will have, for their intervals hold together.
        let ratios = |(n, parent): (usize, &Option<usize>)| match (n, parent) {
            (0, _) => 0,
            (_, None | Some(0)) => 1,
            _ => 2,
        };
        let among = speeds.kinds() * parents.iter().enumerate().map(ratios).sum::<usize>();
        let mut rows: Vec<Row> = Vec::new();
        for (n, of) in scored.iter().enumerate() {
            let mut row = self.row(of, &scored[0], &speeds, n)?;
            let beside = |other: usize, rows: &[Row], row: &Row| {
                let files = row.size.file_bytes as f64 / rows[other].size.file_bytes as f64;
                self.versus((of, &scored[other]), &speeds, (n, other, among), files)
            };
            row.versus_parent = parents[n].map(|p| beside(p, &rows, &row)).transpose()?;
            row.versus_baseline = (n > 0).then(|| beside(0, &rows, &row)).transpose()?;
            let parent = parents[n].map(|p| &rows[p]);
            let says = report::verdict(&row, parent);
            row.notes.extend(says);
            rows.push(row);
        }
        Ok((rows, floors(&speeds)))
    }

    fn speeds(&self, scored: &[Scored<'_>]) -> Result<Speeds, RunError> {
        let artifacts: Vec<(&str, &Path)> =
            scored.iter().map(|s| (s.made.id.as_str(), s.made.copies[0].path.as_path())).collect();
        let threads = if self.options.threads > 1 { vec![1, self.options.threads] } else { vec![1] };
        let kinds = 3 + threads.len() as u64;
        // Said when another kind of call begins, and again now and then to hear whether to stop.
        let (mut begun, mut said): (Vec<Call>, _) = (Vec::new(), Instant::now());
        let documents = &self.prepared.corpus.test;
        measure::speeds(&artifacts, documents, &threads, self.options.pace, |call| -> Result<(), RunError> {
            if !begun.contains(&call) {
                begun.push(call);
            } else if said.elapsed() < AGAIN {
                return Ok(());
            }
            said = Instant::now();
            let what = format!("timing artifacts side by side: {call}");
            self.sink.say(&Event::Progress { what, done: begun.len() as u64 - 1, total: kinds })?;
            Ok(())
        })
    }

    /// A row without its comparisons.
    fn row(
        &self,
        of: &Scored<'_>,
        baseline: &Scored<'_>,
        speeds: &Speeds,
        n: usize,
    ) -> Result<Row, RunError> {
        let Scored { made, scores, integers, session } = of;
        let first = &made.copies[0];
        let teacher: Vec<Vec<u32>> = baseline.scores.iter().map(|s| s.predictions.clone()).collect();
        let percentiles = |call| speeds.percentiles(n, call);
        let relative = |path: &Path| {
            path.strip_prefix(self.options.out).unwrap_or(path).to_string_lossy().replace('\\', "/")
        };
        let mut row = Row {
            id: made.id.clone(),
            family: made.family,
            parent: made.parent.clone(),
            technique: made.technique.clone(),
            seeds: made.copies.len(),
            quality: Quality::of(scores, self.prepared.test.labels(), &teacher, &self.bootstrap)?,
            size: measure::size(&first.path, self.prepared.test.examples())?,
            speed: Speed {
                batch1_us: percentiles(Call::Row).unwrap_or_default(),
                batch32_us: percentiles(Call::Batch).unwrap_or_default(),
                text1_us: percentiles(Call::Text),
                rows_per_s: speeds.rates(n),
                rss_bytes: self.options.memory.and_then(|probe| probe(&first.path)),
            },
            versus_parent: None,
            versus_baseline: None,
            training: None,
            rolled_back: rolled_back(made),
            measured: first.journal.measured.clone(),
            cost_s: made.copies.iter().map(|c| c.journal.seconds).sum::<f64>() / made.copies.len() as f64,
            artifact: relative(&first.path),
            sha256: first.sha256.clone(),
            artifacts: (made.copies.iter())
                .map(|c| SeedArtifact { seed: c.seed, path: relative(&c.path), sha256: c.sha256.clone() })
                .collect(),
            curves: first.journal.curves.clone(),
            notes: first.journal.notes.clone(),
        };
        row.training = (row.family == Family::Parallel).then(|| training(made));
        row.notes.extend(report::below_crossover(session));
        row.notes.extend(one_class(scores, self.prepared));
        if !integers.is_empty() {
            Integers::report(integers, &mut row);
        }
        Ok(row)
    }

    /// A row beside another, by their places; `among` counts all ratios of the report.
    fn versus(
        &self,
        (of, other): (&Scored<'_>, &Scored<'_>),
        speeds: &Speeds,
        (n, over, among): (usize, usize, usize),
        file_ratio: f64,
    ) -> Result<Versus, RunError> {
        let ratio = |call| speeds.speedup(call, n, over, among);
        let versus = Versus {
            accuracy: difference(&of.correct(), &other.correct())?,
            file_ratio,
            text1_speedup: ratio(Call::Text),
            rows_per_s_speedup: speeds.rate_speedups(n, over, among),
            batch1_speedup: ratio(Call::Row).unwrap_or_default(),
            batch32_speedup: ratio(Call::Batch).unwrap_or_default(),
            ..Versus::default()
        };
        let judged = versus.judged(self.alike_points);
        Ok(match of.made.family {
            Family::Parallel => Versus { faster: false, slower: false, ..judged },
            _ => judged,
        })
    }
}

/// How far artifacts differ from themselves, named as in `speed`.
fn floors(speeds: &Speeds) -> BTreeMap<String, Floor> {
    let calls = speeds.calls().into_iter().map(|call| {
        let name = match call {
            Call::Text => "text1".into(),
            Call::Row => "batch1".into(),
            Call::Batch => "batch32".into(),
            Call::Pass(threads) => format!("rows_per_s.{threads}"),
        };
        Some((name, speeds.floor(call)?))
    });
    calls.flatten().collect()
}

/// Always giving the answer that is most frequent in training, scored on the test documents.
pub(crate) fn majority(prepared: &Prepared) -> Option<Majority> {
    let mut counts = vec![0_usize; prepared.corpus.labels.len()];
    prepared.train.labels().iter().for_each(|&label| counts[label as usize] += 1);
    // The first of several that are equally frequent.
    let most = counts.iter().max()?;
    let class = counts.iter().position(|n| n == most)?;
    let labels = prepared.test.labels();
    let hits = labels.iter().filter(|&&label| label as usize == class).count();
    Some(Majority {
        label: prepared.corpus.labels[class].clone(),
        accuracy: hits as f64 / labels.len() as f64,
        macro_f1: macro_f1(&vec![class as u32; labels.len()], labels).ok()?,
    })
}

/// What a reader must know of the test documents and the baseline.
pub(crate) fn warnings(rows: &[Row], corpus: &CorpusInfo) -> Vec<String> {
    let mut notes = Vec::new();
    let documents = corpus.documents.get("test").copied().unwrap_or(0);
    if let (Some(baseline), Some(majority)) = (rows.first(), &corpus.majority)
        && baseline.quality.accuracy.ci95[0] <= majority.accuracy
    {
        notes.push(format!(
            "{} is not shown to be better than always answering {:?} ({:.1} % of the test documents): rows that are \
             alike to it are no better",
            baseline.id,
            majority.label,
            100.0 * majority.accuracy
        ));
    }
    let compared: Vec<&Versus> = rows.iter().filter_map(|row| row.versus_parent.as_ref()).collect();
    let untold = compared.iter().filter(|v| v.accuracy_is == Likeness::CannotBeTold).count();
    if untold > 0 {
        notes.push(format!(
            "for {untold} of {}, {} are too few to tell whether accuracy differs from the parent's",
            counted(compared.len(), "row"),
            counted(documents, "test document")
        ));
    }
    notes
}

/// How much of the test documents the encoder of the first model knows.
pub(crate) fn known(prepared: &Prepared) -> Known {
    let Coverage { documents, documents_without, tokens, tokens_unknown, .. } = prepared.of_test;
    Known { documents, documents_without, tokens, tokens_unknown }
}

/// What to try, where the encoder misses much of the test documents.
pub(crate) fn unknown_text(prepared: &Prepared) -> Option<String> {
    prepared.encoder.advice(&prepared.of_test)
}

/// The steps that were rolled back, with the number of repetitions for which they were.
fn rolled_back(made: &Made) -> BTreeMap<String, usize> {
    let mut steps = BTreeMap::new();
    for copy in &made.copies {
        let mut of_copy = copy.journal.rolled_back.clone();
        of_copy.sort_unstable();
        of_copy.dedup();
        of_copy.into_iter().for_each(|step| *steps.entry(step).or_default() += 1);
    }
    steps
}

/// What a training in parallel took, over the repetitions.
fn training(made: &Made) -> Training {
    let values = |names: &[&str]| -> Vec<f64> {
        let of = |m: &&Measurement| names.contains(&m.name.as_str());
        made.copies.iter().filter_map(|c| c.journal.measured.iter().find(of).map(|m| m.value)).collect()
    };
    let mean =
        |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    Training {
        seconds: mean(values(&["training_seconds"])),
        serial_seconds: mean(values(&["serial_training_seconds"])),
        speedup: Ratio::over_runs(&values(&[
            "speedup_over_plain_training",
            "speedup_over_one_after_another",
        ])),
        exchanged_bytes: mean(values(&["exchanged_bytes"])).map(|bytes| bytes as u64),
    }
}

/// Says where a row gives one answer only, though the test documents have several.
fn one_class(scores: &[Scores], prepared: &Prepared) -> Option<String> {
    let only = |s: &Scores| Confusion::of(&s.predictions, prepared.test.labels()).ok()?.only_prediction();
    let classes: Vec<u32> = scores.iter().filter_map(only).collect();
    let label = prepared.corpus.labels.get(*classes.first()? as usize)?;
    let seeds = match (classes.len(), scores.len()) {
        (one, all) if one == all => String::new(),
        (some, all) => format!(", for {some} of {all} seeds"),
    };
    Some(format!("predicts one class only: {label:?} for every test document{seeds}"))
}

impl From<EvalError> for RunError {
    fn from(error: EvalError) -> Self {
        Self::Measure(error.into())
    }
}
