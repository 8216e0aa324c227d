//! `prune.magnitude`: magnitude pruning, the connections of the smallest magnitude go.
//!
//! The oldest rule, and hard to beat with some training afterwards (Han et al. 2015): a weight near zero adds
//! little to any sum. Ranked over all sites together by default, because a sparsity for each site alone ruins
//! the small last layers (70 weights of an output layer are not as redundant as 128,000 of the first). At once,
//! or in steps along the cubic curve of Zhu and Gupta (2017) with training in between.
//!
//! It changes no shape; the zeros pay when the site is packed sparse (`prune.sparse`, or by the artifact).

use nlpress_technique::{Family, Kind, parse};
use serde::Deserialize;

use crate::frame::{Criterion, SCHEDULE, SCOPE, TARGET, Unstructured};

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "prune.magnitude",
    family: Family::Simplify,
    summary: "Magnitude pruning: drops the connections of the smallest magnitude, at once or along a gradual \
              schedule.",
    source: "Han et al. 2015, arXiv:1506.02626; schedule: Zhu and Gupta 2017, arXiv:1710.01878",
    example: "sparsity = 0.8\nschedule = \"cubic\"\nsteps = 2\nfinetune = { epochs = 2 }",
    on: &["**"],
    settings: &[TARGET, &[SCOPE], SCHEDULE],
    parse: parse::<Unstructured<Magnitude>>,
};

/// A weight's magnitude is its score.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Magnitude {}

impl Criterion for Magnitude {
    const KIND: Kind = KIND;
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_technique::Technique;

    fn read(text: &str) -> Result<Unstructured<Magnitude>, String> {
        toml::from_str(text).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn settings_are_checked() {
        assert!(!read("sparsity = 0.5").unwrap().needs().labels);
        assert!(read(KIND.example).unwrap().needs().labels);
        let read_back = format!("{:?}", read("bytes = 9000\nscope = 'output'").unwrap());
        assert!(read_back.contains("Bytes(9000)") && read_back.contains("Output"), "{read_back}");
        for (bad, says) in [
            ("", "sparsity, nonzeros or bytes is missing"),
            ("sparsity = 1.0", "sparsity is 1, but it must be more than 0 and less than 1"),
            ("sparsity = nan", "sparsity is NaN"),
            ("sparsity = 0.5\nscope = 'layer'", "layer"),
            ("sparsity = 0.5\nsteps = 3", "steps is 3"),
            ("sparsity = 0.5\nschedule = 'cubic'\nfinetune = {}", "steps is missing"),
            ("sparsity = 0.5\nsparse = true", "sparse"),
            ("sparsity = 0.5\nfinetune = { epochs = 0 }", "epochs is 0"),
        ] {
            let message = read(bad).unwrap_err();
            assert!(message.contains(says), "{bad}: {message}");
        }
    }
}
