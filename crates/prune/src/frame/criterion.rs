//! Unstructured pruning: a criterion says which connections matter least, the frame drops them down to an exact count.
//!
//! A technique that scores every connection and drops those of the lowest scores is one [`Criterion`]. Everything else
//! is [`Unstructured`]: how much goes, which entries compete, in which steps, the training after each, the masks, the
//! plan, and the reading of the settings for all that.

use nlpress_model::{Form, Model, Outline, SiteId};
use nlpress_technique::{Cx, Kind, Made, Needs, Problem, Setting, StepError, Technique, settings};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

use super::curve::SchedulePoint;
use super::finetune::{Tuning, retrain};
use super::keep::{KeepRule, keep_largest};
use super::mask::{MaskBuilder, plan_masks};
use super::pack::Places;
use super::schedule::{PruningSchedule, Schedule};
use super::scope::{Scope, treatable};
use super::target::SparsityTarget;
use crate::PruneError;

/// Which connections a technique drops: its scores, and how a mask is made of them.
///
/// The struct's own fields are the settings that only this technique has.
pub trait Criterion: Debug + Send + Sync + DeserializeOwned + 'static {
    /// The technique's entry. Of the frame's settings, those can be set that its `settings` name.
    const KIND: Kind;
    /// The scope when none is set.
    const DEFAULT_SCOPE: Scope = Scope::Global;
    /// Whether one of `sparsity`, `nonzeros` and `bytes` must be set; without one, nothing is dropped.
    const NEEDS_TARGET: bool = true;

    /// What the scores need, beyond what the trainings do.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// A training before the first cut, with the masks that are there; none by default.
    fn first(&self) -> Option<&Tuning> {
        None
    }

    /// One row of scores for each selected site, an entry for each of its weights; the highest stay. Magnitudes of the
    /// weights by default.
    ///
    /// # Errors
    /// [`StepError`] when they cannot be computed, or the sink asks to stop.
    fn scores(
        &self,
        model: &Model,
        masks: &MaskBuilder,
        _at: SchedulePoint,
        _cx: &mut Cx<'_>,
    ) -> Result<Vec<Vec<f32>>, StepError> {
        Ok(masks.weights(model))
    }

    /// How masks are made of scores, for all steps of one run: [`keep_largest`] by default.
    fn rule(&self, _cx: &Cx<'_>) -> Box<KeepRule<'static>> {
        Box::new(keep_largest)
    }

    /// Prunes a model: by default, the [`first`](Criterion::first) training, then scores and masks at each step of the
    /// schedule.
    ///
    /// # Errors
    /// [`StepError`] of a score, a mask or a training.
    fn prune(
        &self,
        model: Model,
        masks: &MaskBuilder,
        schedule: &PruningSchedule,
        cx: &mut Cx<'_>,
    ) -> Result<Model, StepError> {
        let model = match self.first() {
            Some(tuning) => retrain(model, tuning, "penalty", cx)?,
            None => model,
        };
        let mut rule = self.rule(cx);
        schedule.run(model, cx, &mut |model, at, cx| {
            let scores = self.scores(&model, masks, at, cx)?;
            masks.prune(model, &scores, at, &mut *rule)
        })
    }

    /// The sparse layout that the selected sites are packed in at the end; masked floats when there is none.
    fn layout(&self) -> Option<Places> {
        None
    }
}

/// Unstructured pruning by a criterion: the checked configuration of its technique.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "toml::Table", bound = "C: Criterion")]
pub struct Unstructured<C> {
    target: Option<SparsityTarget>,
    scope: Scope,
    schedule: PruningSchedule,
    criterion: C,
}

settings! {
    /// The settings that techniques of this kind share.
    pub(crate) struct Shared {
        /// share of the selected sites' weights to drop, more than 0 and less than 1; exactly one of sparsity,
        /// nonzeros and bytes is required
        pub(crate) sparsity: Option<f64>,
        /// entries to keep over the selected sites, at least 1; in place of sparsity
        pub(crate) nonzeros: Option<usize>,
        /// largest size of all weights and biases, each site in its smallest layout of floats, at least 1; in place
        /// of sparsity
        pub(crate) bytes: Option<usize>,
        /// "global": weights compete over all selected sites (default); "site": within each; "output": among the
        /// incoming weights of each output
        pub(crate) scope: Option<Scope>,
        /// "one_shot" (default); "cubic": in steps, much at first and little at the end; "iterative": in steps that
        /// each drop the same share of what is left; training follows each step
        #[serde(default)]
        pub(crate) schedule: Schedule,
        /// cuts of a schedule in steps, from 2 to 1000; required with one, refused without
        pub(crate) steps: Option<u32>,
        /// training with the mask held, as a training table, whose learning rate is 1e-2 and whose schedule
        /// "linear" by default; its epochs are spread over the steps; its `dropout` replaces the network's, which
        /// is otherwise lowered by the root of the share of weights kept, as in Han et al. 2015; none by default
        pub(crate) finetune: Option<Tuning>,
    }
}

/// The setting of how many entries are dropped, as a share.
pub const SPARSITY: Setting = Setting::of::<Shared>("sparsity");
/// The same as a count.
pub const NONZEROS: Setting = Setting::of::<Shared>("nonzeros");
/// The same as a size.
pub const BYTES: Setting = Setting::of::<Shared>("bytes");
/// The three, of which one is given.
pub const TARGET: &[Setting] = &[SPARSITY, NONZEROS, BYTES];
/// The setting of what competes with what.
pub const SCOPE: Setting = Setting::of::<Shared>("scope");
/// The setting of the training after a cut.
pub const FINETUNE: Setting = Setting::of::<Shared>("finetune");
/// The settings of the steps, and of the training after each.
pub const SCHEDULE: &[Setting] =
    &[Setting::of::<Shared>("schedule"), Setting::of::<Shared>("steps"), FINETUNE];

impl<C: Criterion> TryFrom<toml::Table> for Unstructured<C> {
    type Error = PruneError;

    fn try_from(table: toml::Table) -> Result<Self, PruneError> {
        let (shared, criterion): (Shared, C) = settings::split(table, C::KIND.settings)?;
        let given = shared.sparsity.is_some() || shared.nonzeros.is_some() || shared.bytes.is_some();
        let target = if given || C::NEEDS_TARGET {
            Some(SparsityTarget::one_of(shared.sparsity, shared.nonzeros, shared.bytes)?)
        } else {
            None
        };
        let schedule = PruningSchedule::new(shared.schedule, shared.steps, shared.finetune)?;
        Ok(Self { target, scope: shared.scope.unwrap_or(C::DEFAULT_SCOPE), schedule, criterion })
    }
}

impl<C> Unstructured<C> {
    /// What is its technique's own.
    pub fn criterion(&self) -> &C {
        &self.criterion
    }
}

impl<C: Criterion> Technique for Unstructured<C> {
    fn needs(&self) -> Needs {
        let first = Needs::TRAINING.when(self.criterion.first().is_some());
        self.schedule.needs().and(self.criterion.needs()).and(first)
    }

    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        let after = match self.target {
            Some(target) => plan_masks(before, on, target, self.scope, problems),
            None => {
                for site in treatable(before, on, problems).iter().filter(|s| s.form == Form::Dense) {
                    let why =
                        "it is dense, so that nothing can be left out: set sparsity, or prune it before";
                    problems.push(Problem::at(&site.id, why));
                }
                before.clone()
            }
        };
        match self.criterion.layout() {
            Some(layout) => layout.plan(after, on),
            None => after,
        }
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let model = match self.target {
            Some(target) => {
                let masks = MaskBuilder::of(&model, on, target, self.scope)?;
                self.criterion.prune(model, &masks, &self.schedule, cx)?
            }
            None => self.schedule.run(model, cx, &mut |model, _, _| Ok(model))?,
        };
        Ok(match self.criterion.layout() {
            Some(layout) => layout.pack(model, on)?,
            None => model,
        }
        .into())
    }
}
