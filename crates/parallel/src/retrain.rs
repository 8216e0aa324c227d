//! What the parallel techniques share: train a fresh network of the same specification with an engine, and, if
//! asked, serially too, to compare the two.

use nlpress_core::Measurement;
use nlpress_core::event::Event;
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
    Outline::dense(&before.spec)
}

/// Trains a fresh network with an engine. With `compare`, trains the same network serially first, reports the
/// speed-up, and refuses a result whose validation logits differ by more than `tolerance`.
///
/// # Errors
/// [`StepError`].
pub fn run(
    model: &Model,
    config: &FitConfig,
    engine: &mut dyn Engine,
    compare: Option<f64>,
    cx: &mut Cx<'_>,
) -> Result<Model, StepError> {
    let fresh = Model::init(model.spec(), cx.seed)?;
    let serial = match compare {
        Some(tolerance) => Some((train(fresh.clone(), config, None, cx)?, tolerance)),
        None => None,
    };
    let (parallel, seconds) = train(fresh, config, Some(engine), cx)?;
    if let Some(((serial, serial_seconds), tolerance)) = serial {
        let apart = distance(&serial, &parallel, cx)?;
        let ratio = serial_seconds / seconds;
        cx.measure(Measurement::higher("speedup_over_serial", ratio, "1"));
        cx.measure(Measurement::lower("largest_logit_difference", apart, "1"));
        cx.note(format!(
            "training is {ratio:.2}x as fast as on one thread; validation logits differ from the serial run by at most {apart:.1e}"
        ));
        if apart > tolerance {
            let why = format!("its logits differ from the serial run by {apart:e}, more than {tolerance:e}");
            return Err(StepError::Failed(why));
        }
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
    plan.engine = engine;
    let (model, _) = fit(fresh, plan)?;
    Ok((model, start.elapsed().as_secs_f64()))
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
