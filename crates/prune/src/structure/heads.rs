//! `prune.heads` and `prune.width`: structured pruning of attention heads and of embedding dimensions.
//!
//! A head is the columns of query, key and value and the rows of the attention's output that belong to it; many heads
//! of a trained network can go at a small cost. A column of the embedding runs through the whole network: it is a
//! column of every site that writes to the words, and a row of every site that reads them. All of these matrices
//! become physically smaller.

use nlpress_core::Fraction;
use nlpress_model::Units;
use nlpress_technique::{Family, Kind, Settings, Technique, settings};
use nlpress_train::FitConfig;

use super::neurons::Narrow;
use crate::frame::AFTERWARDS;
use crate::importance::ImportanceCriterion;

/// The entry of head pruning in the list of all techniques.
pub const HEADS: Kind = Kind {
    name: "prune.heads",
    family: Family::Simplify,
    summary: "Attention head pruning (structured): removes the heads of the least importance; matrices \
              shrink.",
    source: "Michel, Levy and Neubig 2019, arXiv:1905.10650",
    example: "remove = 0.5",
    on: &["encoder.*.attention.query", "encoder.layer.*.attention.self.query"],
    settings: &[Raw::SETTINGS],
    parse: |with| read(with, Units::Heads),
};

/// The entry of width pruning in the list of all techniques.
pub const WIDTH: Kind = Kind {
    name: "prune.width",
    summary: "Width pruning (structured): removes the embedding dimensions of the least importance \
              throughout the network.",
    source: "McCarley, Chakravarti and Sil 2019, arXiv:1910.06360, for the dimensions of an embedding",
    example: "remove = 0.25\ncriterion = \"l2\"",
    on: &["embedding", "embeddings.word_embeddings"],
    settings: &[
        &[Raw::SETTINGS[0].saying(
            "share of the embedding's columns, more than 0 and at most 1, rounded down; one always stays; \
             required",
        )],
        Raw::SETTINGS.split_at(1).1,
    ],
    parse: |with| read(with, Units::Width),
    ..HEADS
};

settings! {
    struct Raw {
        /// share of the heads of each selected block, more than 0 and at most 1, rounded down; one always stays;
        /// required
        remove: Fraction => required().share(),
        /// "taylor" (default), "fisher": the derivative of the training loss by a factor on a unit, summed, or its
        /// squares; "ablation": the rise of the validation loss when it is held at its mean; "l1", "l2": its
        /// weights; "activation": its outputs
        criterion: Option<ImportanceCriterion>,
        /// removals, with new measurements in between, from 1 to 100; 1 by default
        passes: usize => or(1).within(1..=100),
        finetune: Option<FitConfig> as AFTERWARDS,
    }
}

fn read(with: &toml::Table, units: Units) -> Result<Box<dyn Technique>, String> {
    let raw: Result<Raw, _> = settings::read(with.clone());
    let Raw { remove, criterion, passes, finetune } = raw.map_err(|e| e.to_string())?;
    let criterion = criterion.unwrap_or(ImportanceCriterion::Taylor);
    // What a head says on average stays; the width is normalised anew wherever it is read.
    let compensate = units == Units::Heads;
    let (round_to, reconstruct) = (1, None);
    Ok(Box::new(Narrow { units, remove, round_to, criterion, passes, compensate, reconstruct, finetune }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        let read = |text: &str| (HEADS.parse)(&text.parse().unwrap()).map(|_| ());
        assert!(read("remove = 0.5\ncriterion = \"fisher\"").is_ok());
        for (bad, says) in [
            ("", "remove"),
            ("remove = 0", "remove is 0"),
            ("remove = 0.5\npasses = 0", "passes is 0"),
            ("remove = 0.5\ncriterion = \"luck\"", "luck"),
        ] {
            let message = read(bad).unwrap_err();
            assert!(message.contains(says), "{bad}: {message}");
        }
    }
}
