//! `nlpress import` and `nlpress export`: folders of pretrained encoders in and out.

use nlpress::artifact::Artifact;
use nlpress::core::files::Outputs;
use nlpress::core::shown::{counted, shown};
use nlpress::graph::Output;
use nlpress::hub::{self, Folder, ImportOptions, Imported};

use crate::arguments::{Export, Import};
use crate::outcome::{say, sort};

/// Tensors that are named among those that were left out.
const NAMED: usize = 8;

pub(crate) fn import(arguments: &Import) -> anyhow::Result<()> {
    let options =
        ImportOptions { max_tokens: arguments.max_tokens, pooling: arguments.pooling.map(Into::into) };
    let folder = Folder::open(&arguments.folder).map_err(sort)?;
    let inputs =
        folder.files().into_iter().fold(Outputs::new(), |all, file| all.input("a file of the folder", file));
    inputs.output("--out", &arguments.out).check().map_err(sort)?;
    let Imported { artifact, unused } = folder.import(options).map_err(sort)?;
    artifact.write(&arguments.out).map_err(sort)?;
    let graph = &artifact.outline.graph;
    let what = match (graph.output, graph.classes()) {
        (_, Some(classes)) => format!("a classifier of {}", counted(classes, "class")),
        (Output::Scores, _) => counted(graph.outputs(), "score"),
        (_, None) => format!("embeddings of {}", counted(graph.outputs(), "number")),
    };
    let (kind, parameters) = (folder.model_type(), artifact.outline.parameters());
    say!("{}: {kind}, {what}, {parameters} parameters", arguments.out.display());
    if !unused.is_empty() {
        let bytes: u64 = unused.iter().map(|tensor| tensor.bytes).sum();
        let names: Vec<String> =
            unused.iter().take(NAMED).map(|tensor| shown(&tensor.name).to_string()).collect();
        let more = if unused.len() > NAMED { ", …" } else { "" };
        let tensors = counted(unused.len(), "tensor");
        say!("left out: {tensors} of {bytes} bytes that are no part of it: {}{more}", names.join(", "));
    }
    Ok(())
}

pub(crate) fn export(arguments: &Export) -> anyhow::Result<()> {
    let artifact = Artifact::open(&arguments.artifact).map_err(sort)?;
    let like = arguments.like.as_deref().map(Folder::open).transpose().map_err(sort)?;
    hub::export(&artifact, &arguments.hf, like.as_ref()).map_err(sort)?;
    say!(
        "{}: a folder for transformers, with {} parameters as floats",
        arguments.hf.display(),
        artifact.outline.parameters()
    );
    Ok(())
}
