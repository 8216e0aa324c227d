//! `nlpress train`.

use nlpress::artifact::Provenance;
use nlpress::core::{Seed, files};
use nlpress::eval::Scores;
use nlpress::model::{MlpSpec, Model, Network, Spec};
use nlpress::pipeline::recipe::NetworkRecipe;
use nlpress::pipeline::ship;
use nlpress::runtime::Session;
use nlpress::text::EncoderConfig;
use nlpress::train::{Fit, FitConfig, fit};

use crate::arguments::{Shape, Train};
use crate::data;
use crate::outcome::{of_training, refuse, say};
use crate::progress::Progress;
use crate::tokens;

pub(crate) fn train(arguments: Train) -> anyhow::Result<()> {
    let config = config(&arguments)?;
    let mut encoder = EncoderConfig { vocabulary: arguments.vocabulary, ..EncoderConfig::default() };
    tokens::apply(&arguments.tokens, &mut encoder)?;
    let network = NetworkRecipe {
        path: None,
        inputs: None,
        outputs: None,
        template: Spec::Mlp(MlpSpec::new(1, &widths(&arguments.hidden)?, 1, arguments.dropout)),
    };
    let prepared = data::labelled(&arguments.labelled, encoder)?;
    let spec = prepared.spec(&network).map_err(refuse)?;
    let (backend, _) = data::compute(&arguments.compute)?;
    let progress = Progress::start(None)?;

    let seed = Seed(arguments.seed);
    let mut plan = Fit::new(&config, &backend, &prepared.train, seed, &progress);
    plan.valid = Some(&prepared.valid);
    plan.checkpoint = arguments.checkpoint.as_deref();
    plan.resume = arguments.resume;
    let (model, history) = fit(Model::init(&spec, seed)?, plan).map_err(of_training)?;

    let provenance = Provenance {
        recipe_sha256: files::sha256_hex(format!("{config:?} {spec:?}").as_bytes()),
        data_sha256: prepared.corpus.sha256.clone(),
        seed: seed.0,
        technique: "train".into(),
        nlpress: env!("CARGO_PKG_VERSION").into(),
    };
    let artifact = ship::pack(&model, &prepared.encoder, &prepared.corpus.labels, provenance)?;
    artifact.write(&arguments.out).map_err(refuse)?;

    let session = Session::open(&arguments.out)?;
    let logits = session.logits(prepared.test.rows())?;
    let scores = Scores::of(&logits, prepared.test.outputs(), prepared.test.labels())?;
    let memory = Network::bind(&model, &backend).logits_of(&prepared.test)?;
    let same = Scores::of(&memory, prepared.test.outputs(), prepared.test.labels())?;
    tracing::info!("accuracy in memory {:.4}, from the artifact {:.4}", same.accuracy, scores.accuracy);
    let bytes = artifact.sizes()?.file_bytes;
    if arguments.json {
        let result = serde_json::json!({
            "artifact": arguments.out, "file_bytes": bytes, "epochs": history.epochs.len(), "kept_epoch": history.kept,
            "test": { "accuracy": scores.accuracy, "macro_f1": scores.macro_f1, "nll": scores.nll },
        });
        say!("{result}");
    } else {
        say!(
            "{}: {bytes} bytes, {} epochs (epoch {} kept); on {} test documents: accuracy {:.2} %, macro-F1 {:.4}",
            arguments.out.display(),
            history.epochs.len(),
            history.kept,
            prepared.test.len(),
            100.0 * scores.accuracy,
            scores.macro_f1
        );
    }
    Ok(())
}

/// The training settings, checked by the library.
fn config(arguments: &Train) -> anyhow::Result<FitConfig> {
    let schedule = match arguments.schedule {
        Shape::Constant => "constant",
        Shape::Linear => "linear",
        Shape::Cosine => "cosine",
    };
    let settings = serde_json::json!({
        "epochs": arguments.epochs, "batch": arguments.batch, "learning_rate": arguments.learning_rate,
        "schedule": schedule, "patience": arguments.patience, "clip_norm": arguments.clip_norm,
    });
    serde_json::from_value(settings).map_err(refuse)
}

fn widths(text: &str) -> anyhow::Result<Vec<usize>> {
    if text == "none" {
        return Ok(Vec::new());
    }
    let width = |part: &str| part.trim().parse::<usize>();
    text.split(',')
        .map(width)
        .collect::<Result<_, _>>()
        .map_err(|_| refuse(format!("--hidden is {text:?}, but it must be widths such as 128,64, or none")))
}
