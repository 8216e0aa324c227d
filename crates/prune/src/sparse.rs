//! `prune.sparse`: weights become sparse matrices that take less space.
//!
//! A masked weight still lies in memory whole; here only its kept entries are stored, with their places: as one
//! bit for each entry, or as a column for each kept one (compressed sparse rows). A dense weight has nothing
//! that can be left out, so it needs a `sparsity` first. The result is final and is no longer trained.

use nlpress_model::{Form, Model, Outline, SiteId};
use nlpress_technique::{Cx, Family, Kind, Needs, Problem, StepError, Technique, parse};
use serde::Deserialize;

use crate::PruneError;
use crate::cut::{self, Cut, SCOPE, Scope};
use crate::magnitude::keep_largest;
use crate::pack::Places;
use crate::target::{BYTES, NONZEROS, Target};
use crate::tune::{FINETUNE, Tuning, retrain_if};

/// The entry in the list of all techniques.
pub const KIND: Kind = Kind {
    name: "prune.sparse",
    family: Family::Simplify,
    summary: "Stores the kept entries only, after dropping the smallest where asked to.",
    source: "Tinney and Walker 1967 (compressed sparse rows); Han et al. 2016, arXiv:1510.00149",
    example: "sparsity = 0.8\nindex = \"auto\"",
    on: &["**"],
    settings: &[
        (
            "sparsity",
            "share of the selected sites' weights to drop first, more than 0 and less than 1; this, nonzeros or \
             bytes is required where a site is dense",
        ),
        NONZEROS,
        BYTES,
        SCOPE,
        ("index", "\"auto\": the smaller for each site (default); \"bitmask\"; \"csr\""),
        FINETUNE,
    ],
    parse: parse::<Sparse>,
};

/// The checked configuration of `prune.sparse`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Sparse {
    target: Option<Target>,
    scope: Scope,
    index: Places,
    finetune: Option<Tuning>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    sparsity: Option<f64>,
    nonzeros: Option<usize>,
    bytes: Option<usize>,
    #[serde(default)]
    scope: Scope,
    #[serde(default)]
    index: Places,
    finetune: Option<Tuning>,
}

impl TryFrom<Raw> for Sparse {
    type Error = PruneError;

    fn try_from(raw: Raw) -> Result<Self, PruneError> {
        let asked = raw.sparsity.is_some() || raw.nonzeros.is_some() || raw.bytes.is_some();
        let target = asked.then(|| Target::one_of(raw.sparsity, raw.nonzeros, raw.bytes)).transpose()?;
        Ok(Self { target, scope: raw.scope, index: raw.index, finetune: raw.finetune })
    }
}

impl Technique for Sparse {
    fn needs(&self) -> Needs {
        let trains = self.finetune.is_some();
        Needs { training: trains, validation: trains, teacher: false }
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        let after = match self.target {
            Some(target) => cut::plan(before, on, target, self.scope, problems),
            None => {
                for site in cut::treatable(before, on, problems).iter().filter(|s| s.form == Form::Dense) {
                    let why =
                        "it is dense, so that nothing can be left out: set sparsity, or prune it before";
                    problems.push(Problem::at(&site.id, why));
                }
                before.clone()
            }
        };
        self.index.plan(after, on)
    }

    fn apply(&self, mut model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Model, StepError> {
        cx.progress("cutting", 0, 1)?;
        if let Some(target) = self.target {
            model = Cut::of(&model, on, target, self.scope)?.make(model, &mut keep_largest)?;
        }
        model = retrain_if(model, self.finetune.as_ref(), cx)?;
        self.index.pack(model, on)
    }
}
