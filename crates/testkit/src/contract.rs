//! The contract, as a suite that any kind can be held against, on any network and any backend.
//!
//! The entry says what a reader needs: every setting that the kind reads is described, and no other, and the defaults in
//! the descriptions are the ones it has. The example parses and plans; a site that is not there is a problem; applying
//! makes exactly the planned outline; the same seed gives the same numbers, whatever the thread count; a model that reads
//! fewer features says which; outputs are finite; sites that were not selected keep their bits, where their shape is
//! planned to stay; what it says that it does not need it does not look at; a stop is obeyed wherever it is asked for; an
//! unknown setting is refused.

use nlpress_core::Backend;
use nlpress_core::event::{Event, Flow, Quiet, Sink};
use nlpress_model::{Dataset, ModelError, Network, Outline, SiteId};
use nlpress_technique::{Cx, Kind, Made, Technique};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::bench::example;
use crate::{Bench, entry, stops};

/// Holds every kind against the contract on every family of networks that its example selects sites of, but for those
/// that `refused` lists by kind and family: there the plan must refuse.
///
/// On a device that is no CPU each kind is held on one network only, and only what it makes is looked at: a driver in
/// software takes minutes for all.
///
/// # Errors
/// A sentence for each kind and network on the first clause that is broken.
pub fn check_all(kinds: &[Kind], refused: &[(&str, &str)], backend: &Backend) -> Result<(), String> {
    let benches = Bench::families(backend)?;
    let mut broken = Vec::new();
    for kind in kinds {
        let (refusing, mut fitting): (Vec<&Bench>, Vec<&Bench>) = benches
            .iter()
            .filter(|bench| bench.selects(kind))
            .partition(|bench| refused.contains(&(kind.name, bench.name())));
        for bench in refusing {
            let technique = example(kind)?;
            let on = bench.selected(kind, &bench.model().outline())?;
            if bench.plan(&*technique, &on).is_ok() {
                broken.push(format!("{} on {}: it is said to refuse, but it plans", kind.name, bench.name()));
            }
        }
        if fitting.is_empty() {
            broken.push(format!("{}: its example selects no site of any network", kind.name));
        }
        fitting.truncate(if backend.kind().is_cpu() { fitting.len() } else { 1 });
        broken.extend(fitting.into_iter().filter_map(|bench| bench.check(kind).err()));
    }
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n")) }
}

impl Bench {
    /// Holds a kind against the contract on this network.
    ///
    /// # Errors
    /// A sentence on the clause that is broken.
    pub fn check(&self, kind: &Kind) -> Result<(), String> {
        entry::check(kind, self)?;
        let technique = &*example(kind)?;
        let named = |why: String| format!("{} on {}: {why}", kind.name, self.name());
        let on = self.selected(kind, &self.model().outline())?;
        self.check_missing(technique, &on).map_err(named)?;
        let planned =
            self.plan(technique, &on).map_err(|why| named(format!("its example does not plan: {why}")))?;
        let made = self.run(kind, 1)?;
        if !self.backend().kind().is_cpu() {
            let inputs = self.model().graph().inputs();
            return self.check_made(technique, &planned, inputs, &made, self.valid()).map_err(named);
        }
        if made != self.run(kind, 1)? || made != self.run(kind, 2)? {
            return Err(named("the same seed gives other numbers, or threads change them".into()));
        }
        let inputs = self.model().graph().inputs();
        self.check_made(technique, &planned, inputs, &made, self.valid()).map_err(named)?;
        self.check_needs(technique, &on, &made).map_err(named)?;
        self.check_sites(technique, &on).map_err(named)?;
        for site in [on.first(), on.last()].into_iter().flatten().filter(|_| on.len() > 1) {
            let alone = std::slice::from_ref(site);
            if self.plan(technique, alone).is_ok() {
                self.check_sites(technique, alone).map_err(|why| named(format!("on {site} alone: {why}")))?;
            }
        }
        stops::check(self, technique, &on).map_err(named)
    }

    /// The outline that is planned of the network, or the first problem.
    fn plan(&self, technique: &dyn Technique, on: &[SiteId]) -> Result<Outline, String> {
        let mut problems = Vec::new();
        let planned = technique.plan(&self.model().outline(), on, &mut problems);
        problems.first().map_or(Ok(planned), |problem| Err(problem.to_string()))
    }

    /// Checks that a site that is not there is a problem, alone and beside others.
    fn check_missing(&self, technique: &dyn Technique, on: &[SiteId]) -> Result<(), String> {
        let (before, nowhere) = (self.model().outline(), SiteId::new("nowhere"));
        for on in [vec![nowhere.clone()], [on, std::slice::from_ref(&nowhere)].concat()] {
            let mut found = Vec::new();
            technique.plan(&before, &on, &mut found);
            if !found.iter().any(|problem| problem.site.as_ref() == Some(&nowhere)) {
                return Err(format!(
                    "planning on a site that does not exist finds no problem there: {found:?}"
                ));
            }
        }
        Ok(())
    }

    /// Checks that a technique makes the same without what it does not need: labels, training rows but one, validation rows
    /// but one, a teacher.
    fn check_needs(&self, technique: &dyn Technique, on: &[SiteId], made: &Made) -> Result<(), String> {
        let needs = technique.needs();
        let without = |data: &Dataset, looks: bool| -> Result<Dataset, ModelError> {
            let rows: Vec<usize> = (0..if looks { data.len() } else { 1 }).collect();
            if needs.labels { data.select(&rows) } else { Dataset::unlabelled(data.examples().select(&rows)) }
        };
        let train = without(self.train(), needs.inputs).map_err(|e| e.to_string())?;
        let valid = without(self.valid(), needs.validation).map_err(|e| e.to_string())?;
        let whole = self.cx(&Quiet);
        let teacher = whole.teacher.filter(|_| needs.teacher);
        let cx = Cx { train: &train, valid: &valid, teacher, ..whole };
        match self.apply(technique, on, cx) {
            Ok(again) if again == *made => Ok(()),
            Ok(_) => Err(format!("it says {needs:?}, but without the rest it makes another model")),
            Err(error) => Err(format!("it says {needs:?}, but without the rest it fails: {error}")),
        }
    }

    /// Checks a model that was made against what was planned: of `inputs` features before, on rows of those.
    pub(crate) fn check_made(
        &self,
        technique: &dyn Technique,
        planned: &Outline,
        inputs: usize,
        made: &Made,
        valid: &Dataset,
    ) -> Result<(), String> {
        check_features(made, inputs)?;
        let outline = made.model.outline();
        if outline != *planned && (technique.exact() || !outline.fits_within(planned)) {
            return Err(format!("planned {planned:?}, made {outline:?}"));
        }
        let narrowed = match &made.features {
            Some(kept) => self.narrowed(valid, kept)?,
            None => valid.clone(),
        };
        let network = Network::bind(&made.model, self.backend());
        let logits = network.logits_of(&narrowed).map_err(|e| e.to_string())?;
        match logits.iter().find(|x| !x.is_finite()) {
            Some(bad) => Err(format!("a logit is {bad}")),
            None => Ok(()),
        }
    }

    /// Checks that sites which were not selected keep their bits, where their shape is planned to stay. A technique that
    /// is heard to train may move them.
    fn check_sites(&self, technique: &dyn Technique, on: &[SiteId]) -> Result<(), String> {
        let planned = self.plan(technique, on)?;
        let trained = Trained(AtomicBool::new(false));
        let made = self.apply(technique, on, self.cx(&trained)).map_err(|e| format!("apply: {e}"))?;
        self.check_made(technique, &planned, self.model().graph().inputs(), &made, self.valid())?;
        if trained.0.into_inner() {
            return Ok(());
        }
        // With a layer or a block less, sites are renumbered, and are others by the same name.
        if made.model.layers().len() != self.model().layers().len() {
            return Ok(());
        }
        for layer in self.model().layers().iter().filter(|layer| !on.contains(&layer.id)) {
            let now = made.model.layer(&layer.id);
            if now.is_none_or(|now| now.shape == layer.shape && now != &**layer) {
                return Err(format!("site {} was not selected and changed", layer.id));
            }
        }
        Ok(())
    }
}

/// Hears whether anything was trained.
struct Trained(AtomicBool);

impl Sink for Trained {
    fn push(&self, event: &Event) -> Flow {
        self.0.fetch_or(matches!(event, Event::EpochFinished { .. }), Ordering::Relaxed);
        Flow::Continue
    }
}

/// Checks that a model of other inputs says which features it reads: ascending, as many as its inputs.
///
/// # Errors
/// A sentence on what is not so.
pub fn check_features(made: &Made, before: usize) -> Result<(), String> {
    let after = made.model.graph().inputs();
    match &made.features {
        None if after == before => Ok(()),
        None => {
            Err(format!("its {before} inputs became {after}, but it does not say which features it keeps"))
        }
        Some(_) if after == before => {
            Err(format!("it keeps features, but its inputs are {before} as before"))
        }
        Some(kept) if kept.len() != after => {
            Err(format!("it keeps {} features for {after} inputs", kept.len()))
        }
        Some(kept) if !kept.is_sorted_by(|a, b| a < b) => Err("the features it keeps do not ascend".into()),
        Some(kept) => match kept.last().filter(|last| **last as usize >= before) {
            Some(last) => Err(format!("it keeps feature {last}, but there were {before}")),
            None => Ok(()),
        },
    }
}
