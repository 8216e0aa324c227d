//! What the parallel techniques share: train a fresh network of the same specification with an engine, and, if
//! asked, serially too, to compare the two.

use nlpress_core::Measurement;
use nlpress_core::event::Event;
use nlpress_model::dataset::{accuracy, decide};
use nlpress_model::{Form, Model, Network, Outline, SiteId};
use nlpress_technique::{Cx, Problem, StepError};
use nlpress_train::{Engine, Fit, FitConfig, fit};
use std::time::Instant;

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

/// Trains a fresh network with an engine.
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
    engine: &mut dyn Engine,
    reference: Option<(&mut dyn Engine, f64)>,
    cx: &mut Cx<'_>,
) -> Result<Model, StepError> {
    let fresh = Model::init(model.graph(), cx.seed)?;
    let (parallel, seconds) = train(fresh.clone(), config, Some(engine), cx)?;
    let Some((reference, tolerance)) = reference else { return Ok(parallel) };
    let (serial, serial_seconds) = train(fresh.clone(), config, Some(reference), cx)?;
    let (plain, plain_seconds) = train(fresh, config, None, cx)?;
    let apart = distance(&serial, &parallel, cx)?;
    let alike = agreement(&plain, &parallel, cx)?;
    let (parallel_score, plain_score) = (score(&parallel, cx)?, score(&plain, cx)?);
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

/// Trains a network, and says how many seconds it took.
fn train<'a>(
    fresh: Model,
    config: &'a FitConfig,
    engine: Option<&'a mut dyn Engine>,
    cx: &'a Cx<'_>,
) -> Result<(Model, f64), StepError> {
    let start = Instant::now();
    let mut plan = Fit::new(config, cx.backend, cx.train, cx.seed, cx.sink);
    plan.valid = Some(cx.valid);
    plan.engine = engine;
    let (model, _) = fit(fresh, plan)?;
    Ok((model, start.elapsed().as_secs_f64()))
}

/// Share of the validation rows on which two models decide alike.
fn agreement(a: &Model, b: &Model, cx: &Cx<'_>) -> Result<f64, StepError> {
    let outputs = cx.valid.outputs();
    let a = Network::bind(a, cx.backend).logits_of(cx.valid)?;
    let b = Network::bind(b, cx.backend).logits_of(cx.valid)?;
    let decisions: Vec<u32> = b.chunks_exact(outputs).map(decide).collect();
    Ok(accuracy(&a, outputs, &decisions))
}

/// Accuracy on the validation rows.
fn score(model: &Model, cx: &Cx<'_>) -> Result<f64, StepError> {
    let logits = Network::bind(model, cx.backend).logits_of(cx.valid)?;
    Ok(accuracy(&logits, cx.valid.outputs(), cx.valid.labels()))
}

/// Largest difference of two models' logits on the validation rows.
///
/// # Errors
/// [`StepError::Model`] when the device fails.
pub fn distance(a: &Model, b: &Model, cx: &Cx<'_>) -> Result<f64, StepError> {
    cx.sink.say(&Event::Progress { what: "comparing with the serial run".into(), done: 0, total: 1 })?;
    let a = Network::bind(a, cx.backend).logits_of(cx.valid)?;
    let b = Network::bind(b, cx.backend).logits_of(cx.valid)?;
    Ok(a.iter().zip(&b).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max))
}
