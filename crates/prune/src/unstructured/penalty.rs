//! `prune.l1` and `prune.l2`: training under L1 or L2 regularization, then magnitude pruning.
//!
//! The penalty moves what the task does not need towards zero, so that cutting by magnitude loses less. L1
//! (the sum of magnitudes, Tibshirani 1996) pulls every weight by the same force and leaves few large ones; L2
//! (the sum of squares) pulls by proportion, so small weights are left and the cut matters more. The penalty is
//! for the training before the cut only; the training after it holds the mask and has its own settings.

use nlpress_technique::{Family, Kind, Settings, parse, settings};
use serde::Deserialize;

use crate::PruneError;
use crate::frame::{Criterion, FINETUNE, SCOPE, TARGET, Tuning, Unstructured};

/// The entry of L1 clipping in the list of all techniques.
pub const L1: Kind = Kind {
    name: "prune.l1",
    family: Family::Clip,
    summary: "L1 regularization (lasso), then magnitude pruning of the smallest weights.",
    source: "Tibshirani 1996 (lasso); Han et al. 2015, arXiv:1506.02626, section 3.1",
    example: "lambda = 1e-4\nsparsity = 0.8\ntrain = { epochs = 1 }\nfinetune = { epochs = 1 }",
    parse: parse::<Unstructured<Penalised<1>>>,
    ..L2
};

/// The entry of L2 clipping in the list of all techniques.
pub const L2: Kind = Kind {
    name: "prune.l2",
    family: Family::Clip,
    summary: "L2 regularization (weight decay), then magnitude pruning of the smallest weights.",
    source: "Krogh and Hertz 1991 (weight decay); Han et al. 2015, arXiv:1506.02626, section 3.1",
    example: "lambda = 1e-3\nsparsity = 0.8\ntrain = { epochs = 1 }\nfinetune = { epochs = 1 }",
    on: &["**"],
    settings: &[Raw::SETTINGS, TARGET, &[SCOPE, FINETUNE]],
    parse: parse::<Unstructured<Penalised<2>>>,
};

/// Magnitude after training under L1 (`NORM` is 1) or L2 (`NORM` is 2).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Penalised<const NORM: u8> {
    /// With the penalty in it.
    train: Tuning,
}

settings! {
    struct Raw {
        /// weight of the penalty in the loss, positive; required
        lambda: f64 => required().positive(),
        /// training under the penalty, as a training table like finetune's, without l1 and l2; 10 epochs by default
        #[serde(default)]
        train: Tuning,
    }
}

impl<const NORM: u8> TryFrom<Raw> for Penalised<NORM> {
    type Error = PruneError;

    fn try_from(raw: Raw) -> Result<Self, PruneError> {
        let penalty = if NORM == 1 { (raw.lambda, 0.0) } else { (0.0, raw.lambda) };
        Ok(Self { train: penalised(raw.train, penalty)? })
    }
}

impl<const NORM: u8> Criterion for Penalised<NORM> {
    const KIND: Kind = if NORM == 1 { L1 } else { L2 };

    fn first(&self) -> Option<&Tuning> {
        Some(&self.train)
    }
}

/// A training under a penalty, which is named outside its table.
pub(crate) fn penalised(train: Tuning, (l1, l2): (f64, f64)) -> Result<Tuning, PruneError> {
    for (key, given) in [("train.l1", train.fit().l1()), ("train.l2", train.fit().l2())] {
        if given != 0.0 {
            return Err(PruneError::setting(key, given, "left out: the penalty is set beside train"));
        }
    }
    let fit = train.fit().clone().with_penalty(l1, l2);
    Ok(train.with_fit(fit.map_err(|e| PruneError::Training(e.to_string()))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_penalty_is_set_once() {
        let read = |text: &str| {
            toml::from_str::<Unstructured<Penalised<1>>>(text).map_err(|e| e.message().to_owned())
        };
        let l1 = read("lambda = 0.01\nsparsity = 0.5").unwrap();
        let l1 = l1.criterion().train.fit();
        assert_eq!((l1.l1(), l1.l2()), (0.01, 0.0));
        let l2: Unstructured<Penalised<2>> = toml::from_str("lambda = 0.01\nsparsity = 0.5").unwrap();
        let l2 = l2.criterion().train.fit();
        assert_eq!((l2.l1(), l2.l2()), (0.0, 0.01));
        for (bad, says) in [
            ("lambda = 0.1\nsparsity = 0.5\ntrain = { l1 = 0.1 }", "train.l1 is 0.1"),
            ("lambda = 0.1\nsparsity = 0.5\ntrain = { l2 = 0.2 }", "train.l2 is 0.2"),
            ("lambda = 0\nsparsity = 0.5", "lambda is 0, but it must be positive"),
            ("lambda = inf\nsparsity = 0.5", "lambda is inf"),
            ("lambda = 0.1\nsparsity = 0", "sparsity is 0"),
            ("lambda = 0.1\nsparsity = 0.5\ntrain = { epochs = 0 }", "epochs is 0"),
        ] {
            let message = read(bad).unwrap_err();
            assert!(message.contains(says), "{bad}: {message}");
        }
    }
}
