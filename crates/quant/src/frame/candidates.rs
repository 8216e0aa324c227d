//! Candidate solutions (integers and scales) of one site, and the choice among them: a candidate is taken where its
//! error is smaller on held-out calibration rows and not larger on all of them.

use nlpress_core::shown::counted;
use nlpress_model::Layer;
use nlpress_technique::{Cx, StepError};
use std::collections::BTreeMap;

use crate::lattice::{Coded, Lattice, Plain, Span};
use crate::moments::{Moments, off};
use crate::rounding::Clip;
use crate::{QuantError, range};

/// A site that is to be quantized.
pub(crate) struct Task<'a> {
    pub(crate) site: &'a Layer,
    /// Its weight.
    pub(crate) plain: Plain<'a>,
    /// Gram matrix of its inputs on the rows to solve for.
    pub(crate) moments: &'a Moments,
    /// The same on the held-out rows, and on all.
    pub(crate) judges: [&'a Moments; 2],
    /// Why no factor of its inputs can be folded into the site before, where none can.
    pub(crate) cannot_fold: Option<&'static str>,
    /// Threads and progress.
    pub(crate) cx: &'a Cx<'a>,
    /// The number of this site, and of all sites, for the progress report.
    pub(crate) at: (usize, usize),
}

impl<'a> Task<'a> {
    /// Says what is being done.
    pub(crate) fn progress(&self, what: &str) -> Result<(), StepError> {
        self.cx.progress(&format!("{}: {what}", self.site.id), self.at.0, self.at.1)
    }

    /// An error of this site.
    pub(crate) fn failed(&self, error: QuantError) -> StepError {
        StepError::at(&self.site.id, error)
    }

    /// A first candidate.
    pub(crate) fn best(&self, coded: Coded, name: &'static str) -> Best<'a> {
        let errors = Errors::of(&self.plain, &coded, self.judges);
        let by = vec![name; errors.all.len()];
        Best { plain: self.plain, judges: self.judges, coded, errors, by }
    }

    /// Rounding to the nearest, in the range of all entries or in the one with the smallest error of the outputs.
    pub(crate) fn nearest(&self, lattice: Lattice) -> Best<'a> {
        let nearest = |scales| lattice.nearest(&self.plain, scales);
        let mut best = self.best(nearest(lattice.fit(&self.plain, Clip::Max)), "rounding");
        best.offer(nearest(range::clip(&self.plain, lattice, self.moments)), "rounding in the best range");
        best
    }
}

/// The mean squared error of each output.
#[derive(Clone, Debug)]
pub(crate) struct Errors {
    unseen: Vec<f64>,
    all: Vec<f64>,
}

impl Errors {
    /// Those of a weight, on the rows not solved for and on all.
    pub(crate) fn of(plain: &Plain<'_>, coded: &Coded, judges: [&Moments; 2]) -> Self {
        let off = off(plain.values(), &coded.values(plain.keep()));
        let of = |moments: &Moments| moments.errors(&off, plain.shape().1);
        Self { unseen: of(judges[0]), all: of(judges[1]) }
    }

    /// Whether the summed output error is smaller than another's on the held-out rows, and no larger on all rows.
    pub(crate) fn less_than(&self, other: &Self) -> bool {
        let sum = |of: &[f64]| of.iter().sum::<f64>();
        sum(&self.unseen) < sum(&other.unseen) && sum(&self.all) <= sum(&other.all)
    }
}

/// The best of several candidates for a site, output by output where each has scales of its own.
pub(crate) struct Best<'a> {
    plain: Plain<'a>,
    judges: [&'a Moments; 2],
    coded: Coded,
    errors: Errors,
    by: Vec<&'static str>,
}

impl Best<'_> {
    /// Takes those outputs of another candidate whose error is smaller on the held-out rows and not larger on all.
    pub(crate) fn offer(&mut self, coded: Coded, name: &'static str) {
        let errors = Errors::of(&self.plain, &coded, self.judges);
        if coded.lattice.span == Span::Tensor && coded.scales != self.coded.scales {
            if errors.less_than(&self.errors) {
                (self.coded, self.errors) = (coded, errors);
                self.by.fill(name);
            }
            return;
        }
        for (output, (unseen, all)) in errors.unseen.into_iter().zip(errors.all).enumerate() {
            let now = (&mut self.errors.unseen[output], &mut self.errors.all[output]);
            if unseen < *now.0 && all <= *now.1 && self.coded.take_output(&coded, output) {
                (*now.0, *now.1, self.by[output]) = (unseen, all, name);
            }
        }
    }
}

/// What a technique made of a site.
pub(crate) struct Choice {
    /// The integers and scales.
    pub(crate) coded: Coded,
    /// The error of the outputs.
    pub(crate) errors: Errors,
    /// The factor that the weights of each input were multiplied with, to be folded into the site before.
    pub(crate) factors: Option<Vec<f32>>,
    /// A sentence for the report.
    pub(crate) note: String,
}

impl From<Best<'_>> for Choice {
    fn from(best: Best<'_>) -> Self {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        best.by.iter().for_each(|name| *counts.entry(name).or_default() += 1);
        let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{count} by {name}")).collect();
        let note = format!("of {} {}", counted(best.by.len(), "output"), counts.join(", "));
        Self { coded: best.coded, errors: best.errors, factors: None, note }
    }
}
