//! `nlpress plan`.

use nlpress::pipeline::plan_of;

use crate::arguments::Plan;
use crate::data;
use crate::outcome::{of_run, say};

pub(crate) fn plan(arguments: Plan) -> anyhow::Result<()> {
    let recipe = data::recipe(&arguments.recipe, &arguments.changes)?;
    let prepared = data::prepare(&recipe, &arguments.changes)?;
    let plan = plan_of(&recipe, &prepared).map_err(of_run)?;
    if arguments.json {
        say!("{}", serde_json::to_string_pretty(&plan)?);
        return Ok(());
    }
    let base = plan.rows.first().map_or(1, |row| row.predicted_bytes).max(1);
    say!("{:<30} {:>10} {:>10} {:>7}  steps", "row", "kept", "bytes", "%");
    for row in &plan.rows {
        let steps: Vec<&str> = row.steps.iter().map(|s| s.technique.as_str()).collect();
        say!(
            "{:<30} {:>10} {:>10} {:>6.1}%  {}",
            row.id,
            row.outline.kept,
            row.predicted_bytes,
            100.0 * row.predicted_bytes as f64 / base as f64,
            if steps.is_empty() { "train".to_owned() } else { steps.join(" → ") },
        );
    }
    say!(
        "\nbytes are of weights and biases; vocabulary and manifest come on top, and hardly shrink: `nlpress inspect` lists them"
    );
    Ok(())
}
