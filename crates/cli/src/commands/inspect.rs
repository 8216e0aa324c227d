//! `nlpress inspect` and `nlpress model summary`.
//!
//! Everything that is printed of a file was written by anyone, so nothing of it reaches the terminal but as
//! [`shown`](nlpress::core::shown).

use nlpress::artifact::{Artifact, Inspection, OpenOptions, Sizes};
use nlpress::core::shown::{counted, shown};
use nlpress::model::summary::summarise;
use nlpress::pipeline::plan_of;
use nlpress::text::{AnyEncoder, Encode};
use std::path::Path;

use super::refuse_folder;
use crate::arguments::{Inspect, Summary};
use crate::outcome::{of_run, refuse, say, sort};
use crate::{data, outcome};

/// Labels that are listed; a file may have a million.
const MOST_LABELS: usize = 100;

pub(crate) fn inspect(arguments: Inspect) -> anyhow::Result<()> {
    let path = &arguments.artifact;
    refuse_folder(path)?;
    let found = Inspection::open(path, &OpenOptions::default()).map_err(sort)?;
    let parts = &found.artifact.encoder;
    let encoder = AnyEncoder::from_parts(&parts.config, &parts.blob)
        .map_err(|e| refuse(format!("{}: the artifact's encoder is damaged: {e}", path.display())))?;
    if arguments.json { json(&found) } else { text(&found, &encoder) }
}

fn json(found: &Inspection) -> anyhow::Result<()> {
    let Inspection { artifact, schema, has_checksums, sha256, sizes, .. } = found;
    let mut manifest = serde_json::to_value(artifact.manifest())?;
    manifest["schema"] = (*schema).into();
    let json = serde_json::json!({
        "manifest": manifest,
        "sha256": sha256,
        "checksums": has_checksums,
        "sizes": {
            "file_bytes": sizes.file_bytes, "weight_bytes": sizes.weight_bytes, "bias_bytes": sizes.bias_bytes,
            "vocabulary_bytes": sizes.vocabulary_bytes, "manifest_bytes": sizes.manifest_bytes,
            "unshrunk": sizes.unshrunk,
        },
    });
    say!("{}", serde_json::to_string_pretty(&json)?);
    Ok(())
}

fn text(found: &Inspection, encoder: &AnyEncoder) -> anyhow::Result<()> {
    let Inspection { artifact, schema, has_checksums, sha256, sizes, weight_bytes, .. } = found;
    outcome::print(format_args!("{}", summarise(&artifact.outline)))?;
    say!("");
    let width = artifact.layers.iter().map(|layer| layer.id.as_str().len()).max().unwrap_or(0).max(12);
    for (layer, bytes) in artifact.layers.iter().zip(weight_bytes) {
        let matrix = &layer.matrix;
        let (kept, entries) = (matrix.kept(), matrix.inputs() * matrix.outputs());
        say!("{:<width$} {}: {bytes} bytes, {kept} of {entries} entries kept", layer.id, matrix.scheme());
    }
    match encoder {
        AnyEncoder::Bag(bag) => say!("\nencoder: a bag of {}", counted(bag.width(), "word")),
        AnyEncoder::Tokens(tokens) => say!(
            "\nencoder: a tokenizer ({}) of {}, at most {} of them a text",
            format!("{:?}", tokens.algorithm()).to_lowercase(),
            counted(tokens.width(), "token"),
            tokens.max_tokens()
        ),
    }
    let labels: Vec<String> =
        artifact.labels.iter().take(MOST_LABELS).map(|label| shown(label).to_string()).collect();
    let more = match artifact.labels.len() - labels.len() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    say!("labels: {}{more}", labels.join(", "));
    if let Some(threshold) = artifact.threshold {
        say!("threshold: the second label from a score of more than {threshold}");
    }
    let p = &artifact.provenance;
    say!("made by: {} (nlpress {}, seed {})", shown(&p.technique), shown(&p.nlpress), p.seed);
    say!("recipe sha256: {}\ndata sha256:   {}", shown(&p.recipe_sha256), shown(&p.data_sha256));
    if let Some(start) = &p.start_sha256 {
        say!("start sha256:  {}", shown(start));
    }
    say!("file sha256:   {sha256}");
    match has_checksums {
        true => say!("checksums: those of the header and of every tensor agree (schema {schema})"),
        false => say!("checksums: none, the file was written before there were any (schema {schema})"),
    }
    bytes(sizes)
}

fn bytes(sizes: &Sizes) -> anyhow::Result<()> {
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

fn outline_of(path: &Path) -> anyhow::Result<nlpress::model::Outline> {
    refuse_folder(path)?;
    Ok(Artifact::open(path).map_err(sort)?.outline)
}

pub(crate) fn summary(arguments: Summary) -> anyhow::Result<()> {
    let outline = if arguments.path.extension().is_some_and(|e| e == "toml") {
        let recipe = data::recipe(&arguments.path, &arguments.changes)?;
        let prepared = data::prepare(&recipe, &arguments.changes)?;
        let plan = plan_of(&recipe, &prepared).map_err(of_run)?;
        plan.rows.into_iter().next().map(|row| row.outline).ok_or_else(|| refuse("the plan has no row"))?
    } else {
        outline_of(&arguments.path)?
    };
    outcome::print(format_args!("{}", summarise(&outline)))?;
    Ok(())
}
