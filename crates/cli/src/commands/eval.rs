//! `nlpress eval`.

use nlpress::core::Seed;
use nlpress::eval::{Bootstrap, Quality};
use nlpress::pipeline::measure;
use nlpress::runtime::Session;

use crate::arguments::Eval;
use crate::data;
use crate::outcome::{refuse, say};

pub(crate) fn eval(arguments: Eval) -> anyhow::Result<()> {
    let session = Session::open(&arguments.artifact).map_err(refuse)?;
    let data = data::scoring(&arguments.labelled, None)?;
    data::say_notes(&data.reading);
    let labels = measure::labels_for(&session, &data.labels, &data.documents)
        .map_err(|e| refuse(format!("{}: {e}", data.name)))?;
    let scores = if arguments.integers {
        measure::score_integers(&session, &data.documents, &labels)
    } else {
        measure::score(&session, &measure::encode(&session, &data.documents), &labels).map(|(_, scores)| scores)
    };
    let scores = scores.map_err(|e| refuse(format!("{}: {e}", arguments.artifact.display())))?;
    let reference = match &arguments.against {
        None => None,
        Some(path) => {
            let other = Session::open(path).map_err(refuse)?;
            if other.labels() != session.labels() {
                return Err(refuse(format!("{}: its labels are others", path.display())));
            }
            let rows = measure::encode(&other, &data.documents);
            let scored = measure::score(&other, &rows, &labels);
            Some(scored.map_err(|e| refuse(format!("{}: {e}", path.display())))?.1.predictions)
        }
    };
    let compared = reference.is_some();
    let reference = reference.unwrap_or_else(|| scores.predictions.clone());
    let quality = Quality::of(&[scores], &labels, &[reference], &Bootstrap::new(Seed(0)))?;
    let mut json = serde_json::to_value(quality)?;
    if let (false, Some(object)) = (compared, json.as_object_mut()) {
        object.remove("agreement");
    }
    if arguments.json {
        say!("{}", serde_json::json!({ "quality": json, "documents": labels.len() }));
        return Ok(());
    }
    say!("{} documents", labels.len());
    for (name, value) in json.as_object().into_iter().flatten() {
        let number = |v: &serde_json::Value| v.as_f64().unwrap_or(f64::NAN);
        let (low, high) = (number(&value["ci95"][0]), number(&value["ci95"][1]));
        say!("{name:<10} {:.4}  (95 % interval {low:.4} to {high:.4})", number(&value["mean"]));
    }
    Ok(())
}
