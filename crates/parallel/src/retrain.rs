//! What the parallel techniques share: train a fresh network of the same specification with a source of gradients, and, if
//! asked, serially too, to compare the two. Those that split the network over workers choose backends for them alike.

use nlpress_core::event::Event;
use nlpress_core::{Backend, BackendKind, Measurement};
use nlpress_model::{Form, Model, Outline, SiteId};
use nlpress_technique::{Checkpoint, Cx, Problem, StepError};
use nlpress_train::{Fit, FitConfig, GradientSource, Loss, Scores, agreement, fit};
use std::time::Instant;

/// Most workers that a network is split over, and most backends that are named for them.
pub(crate) const MOST: usize = 64;

/// Refuses a tolerance that nothing keeps, and more backends than there can be workers.
pub(crate) fn check(tolerance: f64, backends: &[BackendKind]) -> Result<(), String> {
    if backends.len() > MOST {
        return Err(format!("backends has {} entries, but it must have at most {MOST}", backends.len()));
    }
    match tolerance.is_finite() && tolerance > 0.0 {
        true => Ok(()),
        false => Err(format!("tolerance is {tolerance}, but it must be positive")),
    }
}

/// Opens the backends of workers.
pub(crate) fn opened(kinds: &[BackendKind]) -> Result<Vec<Backend>, StepError> {
    kinds.iter().map(|kind| kind.open().map_err(|e| StepError::Failed(e.to_string()))).collect()
}

/// The backend of a worker: they go round, and there is that of the run where there is none.
pub(crate) fn backend_of<'b>(all: &'b [Backend], worker: usize, of_run: &'b Backend) -> &'b Backend {
    all.get(worker % all.len().max(1)).unwrap_or(of_run)
}

/// What an identity says of backends.
pub(crate) fn named(backends: &[Backend]) -> String {
    let kinds: Vec<String> = backends.iter().map(|backend| backend.kind().to_string()).collect();
    kinds.join(", ")
}

/// Plans a retraining: all sites must be selected and dense, and they stay so.
pub fn plan(before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
    for id in on.iter().filter(|id| before.site(id).is_none()) {
        problems.push(Problem::at(id, "there is no such site"));
    }
    for site in &before.sites {
        if !on.contains(&site.id) {
            problems.push(Problem::at(&site.id, "it is not selected, but training takes the whole network"));
        } else if site.form != Form::Dense {
            problems.push(Problem::at(
                &site.id,
                format!("it is {}, but training starts from dense sites", site.form),
            ));
        }
    }
    Outline::dense(&before.graph)
}

/// Trains a fresh network with a source of gradients.
///
/// With a `reference`, the same parts of each batch one after another on one thread, it trains the same network
/// with that too and refuses a result whose validation logits differ by more than `tolerance`. It also trains
/// plainly, every batch in one piece, and reports the speed-up over that and how often the two predict alike:
/// floats added in another order drift apart over thousands of steps, so those two are not held to each other.
///
/// # Errors
/// [`StepError`].
pub fn run(
    model: &Model,
    config: &FitConfig,
    source: &mut dyn GradientSource,
    reference: Option<(&mut dyn GradientSource, f64)>,
    cx: &mut Cx<'_>,
) -> Result<Model, StepError> {
    let fresh = Model::init(model.graph(), cx.seed)?;
    let (parallel, seconds) = train(fresh.clone(), config, Some(source), (cx, cx.checkpoint))?;
    let Some((reference, tolerance)) = reference else { return Ok(parallel) };
    let (serial, serial_seconds) = train(fresh.clone(), config, Some(reference), (cx, None))?;
    let (plain, plain_seconds) = train(fresh, config, None, (cx, None))?;
    cx.sink.say(&Event::Progress { what: "comparing with the serial run".into(), done: 0, total: 1 })?;
    let logits = cx.valid_logits(&parallel)?;
    let apart = distance(&cx.valid_logits(&serial)?, &logits);
    let plain = cx.valid_logits(&plain)?;
    let score =
        |logits: &[f32]| Scores::of(logits, cx.valid, Loss::CrossEntropy).map(|scores| scores.accuracy);
    let alike = agreement(&plain, &logits, parallel.graph().outputs());
    let (parallel_score, plain_score) = (score(&logits)?, score(&plain)?);
    let (over_serial, over_plain) = (serial_seconds / seconds, plain_seconds / seconds);
    cx.measure(Measurement::lower("training_seconds", seconds, "s"));
    cx.measure(Measurement::lower("serial_training_seconds", plain_seconds, "s"));
    cx.measure(Measurement::higher("speedup_over_same_parts_on_one_thread", over_serial, "1"));
    cx.measure(Measurement::higher("speedup_over_plain_training", over_plain, "1"));
    cx.measure(Measurement::lower("largest_logit_difference", apart, "1"));
    cx.measure(Measurement::higher("agreement_with_plain_training", alike, "1"));
    cx.measure(Measurement::higher("valid_accuracy", parallel_score, "1"));
    cx.measure(Measurement::higher("valid_accuracy_of_plain_training", plain_score, "1"));
    cx.note(format!(
        "training is {over_serial:.2}x as fast as the same parts on one thread, whose validation logits differ by at \
         most {apart:.1e} (tolerance {tolerance:.0e}), and {over_plain:.2}x as fast as plain training, whose \
         validation predictions agree on {:.1} %: {:.1} % accuracy against {:.1} %",
        100.0 * alike,
        100.0 * parallel_score,
        100.0 * plain_score
    ));
    if apart > tolerance {
        let why = format!("its logits differ from the serial run by {apart:e}, more than {tolerance:e}");
        return Err(StepError::Failed(why));
    }
    Ok(parallel)
}

/// [`run`] with a network that is split over workers, against the serial one where there is a tolerance; it measures what
/// the workers sent, too.
pub(crate) fn split<S: GradientSource>(
    model: &Model,
    (config, tolerance): (&FitConfig, Option<f64>),
    [mut split, mut serial]: [S; 2],
    bytes: impl Fn(&S) -> u64,
    cx: &mut Cx<'_>,
) -> Result<Model, StepError> {
    let reference = tolerance.map(|tolerance| (&mut serial as &mut dyn GradientSource, tolerance));
    let model = run(model, config, &mut split, reference, cx)?;
    cx.measure(Measurement::lower("exchanged_bytes", bytes(&split) as f64, "bytes"));
    Ok(model)
}

/// Trains a network, and says how many seconds it took.
fn train<'a>(
    fresh: Model,
    config: &'a FitConfig,
    source: Option<&'a mut dyn GradientSource>,
    (cx, checkpoint): (&'a Cx<'_>, Option<Checkpoint<'a>>),
) -> Result<(Model, f64), StepError> {
    let start = Instant::now();
    let mut plan = Fit::new(config, cx.backend, cx.train, cx.seed, cx.sink);
    plan.valid = Some(cx.valid);
    plan.with.source = source;
    (plan.checkpoint, plan.resume) = checkpoint.map_or((None, false), |file| (Some(file.path), file.resume));
    let (model, _) = fit(fresh, plan)?;
    Ok((model, start.elapsed().as_secs_f64()))
}

/// Largest difference of two sets of logits.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
}
