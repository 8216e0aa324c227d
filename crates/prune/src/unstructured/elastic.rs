//! `prune.elastic`: training under elastic net regularization, then magnitude pruning.
//!
//! L1 alone picks one of several inputs that say the same and drops the others by accident of the data; with some
//! L2 beside it they share the weight, and go or stay as a group (Zou and Hastie 2005). Words that occur together
//! are such inputs. Otherwise as `prune.l1`.

use nlpress_technique::{Family, Kind, Settings, parse, settings};
use serde::Deserialize;

use super::penalty::penalised;
use crate::PruneError;
use crate::frame::{Criterion, FINETUNE, SCOPE, TARGET, Tuning, Unstructured};

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "prune.elastic",
    family: Family::Clip,
    summary: "Elastic net regularization (L1 and L2 together), then magnitude pruning of the smallest \
              weights.",
    source: "Zou and Hastie 2005 (elastic net); Han et al. 2015, arXiv:1506.02626, section 3.1",
    example: "l1 = 1e-4\nl2 = 1e-4\nsparsity = 0.8\ntrain = { epochs = 1 }\nfinetune = { epochs = 1 }",
    on: &["**"],
    settings: &[Raw::SETTINGS, TARGET, &[SCOPE, FINETUNE]],
    parse: parse::<Unstructured<Elastic>>,
};

/// Magnitude after training under L1 and L2 together.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Elastic {
    /// With the penalties in it.
    train: Tuning,
}

settings! {
    struct Raw {
        /// weight of the sum of magnitudes in the loss, positive; required
        l1: f64 => required().positive(),
        /// weight of the sum of squares in the loss, positive; required
        l2: f64 => required().positive(),
        /// training under the penalties, as a training table like finetune's, without l1 and l2; 10 epochs by
        /// default
        #[serde(default)]
        train: Tuning,
    }
}

impl TryFrom<Raw> for Elastic {
    type Error = PruneError;

    fn try_from(raw: Raw) -> Result<Self, PruneError> {
        Ok(Self { train: penalised(raw.train, (raw.l1, raw.l2))? })
    }
}

impl Criterion for Elastic {
    const KIND: Kind = KIND;

    fn first(&self) -> Option<&Tuning> {
        Some(&self.train)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_penalties_are_set_and_positive() {
        let read =
            |text: &str| toml::from_str::<Unstructured<Elastic>>(text).map_err(|e| e.message().to_owned());
        let elastic = read("l1 = 0.01\nl2 = 0.1\nsparsity = 0.5").unwrap();
        let fit = elastic.criterion().train.fit();
        assert_eq!((fit.l1(), fit.l2()), (0.01, 0.1));
        for (bad, says) in [
            ("l1 = 0\nl2 = 0.1\nsparsity = 0.5", "l1 is 0, but it must be positive"),
            ("l1 = 0.1\nl2 = nan\nsparsity = 0.5", "l2 is NaN"),
            ("l1 = 0.1\nsparsity = 0.5", "l2"),
            ("l1 = 0.1\nl2 = 0.1\nsparsity = 0.5\ntrain = { l1 = 0.1 }", "train.l1 is 0.1"),
            ("l1 = 0.1\nl2 = 0.1", "sparsity, nonzeros or bytes is missing"),
        ] {
            let message = read(bad).unwrap_err();
            assert!(message.contains(says), "{bad}: {message}");
        }
    }
}
