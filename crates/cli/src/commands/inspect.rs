//! `nlpress inspect` and `nlpress model summary`.

use nlpress::artifact::Artifact;
use nlpress::model::summary::summarise;
use nlpress::pipeline::plan_of;

use crate::arguments::{Inspect, Summary};
use crate::outcome::{of_run, refuse, say};
use crate::{data, outcome};

pub(crate) fn inspect(arguments: Inspect) -> anyhow::Result<()> {
    let artifact = Artifact::open(&arguments.artifact).map_err(refuse)?;
    let sizes = artifact.sizes().map_err(refuse)?;
    if arguments.json {
        let json = serde_json::json!({
            "manifest": artifact.manifest(),
            "sha256": artifact.sha256().map_err(refuse)?,
            "sizes": {
                "file_bytes": sizes.file_bytes, "weight_bytes": sizes.weight_bytes, "bias_bytes": sizes.bias_bytes,
                "vocabulary_bytes": sizes.vocabulary_bytes, "manifest_bytes": sizes.manifest_bytes,
                "unshrunk": sizes.unshrunk,
            },
        });
        say!("{}", serde_json::to_string_pretty(&json)?);
        return Ok(());
    }
    outcome::print(format_args!("{}", summarise(&artifact.outline)))?;
    say!("");
    for layer in &artifact.layers {
        let matrix = &layer.matrix;
        say!(
            "{:<12} {}: {} bytes, {} of {} entries kept",
            layer.id,
            matrix.scheme(),
            matrix.bytes(),
            matrix.kept(),
            matrix.inputs() * matrix.outputs()
        );
    }
    say!("\nlabels: {}", artifact.labels.join(", "));
    let p = &artifact.provenance;
    say!("made by: {} (nlpress {}, seed {})", p.technique, p.nlpress, p.seed);
    say!("recipe sha256: {}\ndata sha256:   {}", p.recipe_sha256, p.data_sha256);
    say!(
        "\nfile {} bytes: weights {}, biases {}, vocabulary {}, manifest {}",
        sizes.file_bytes,
        sizes.weight_bytes,
        sizes.bias_bytes,
        sizes.vocabulary_bytes,
        sizes.manifest_bytes
    );
    for item in &sizes.unshrunk {
        say!("did not shrink: {} ({} bytes): {}", item.what, item.bytes, item.why);
    }
    Ok(())
}

pub(crate) fn summary(arguments: Summary) -> anyhow::Result<()> {
    let outline = if arguments.path.extension().is_some_and(|e| e == "toml") {
        let recipe = data::recipe(&arguments.path, &arguments.changes)?;
        let prepared = data::prepare(&recipe, &arguments.changes)?;
        let plan = plan_of(&recipe, &prepared).map_err(of_run)?;
        plan.rows.into_iter().next().map(|row| row.outline).ok_or_else(|| refuse("the plan has no row"))?
    } else {
        Artifact::open(&arguments.path).map_err(refuse)?.outline
    };
    outcome::print(format_args!("{}", summarise(&outline)))?;
    Ok(())
}
