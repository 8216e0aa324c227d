//! How far each stretch of the parameters goes in a step: parameter groups, and weight decay for weights alone.

use nlpress_core::Selectors;
use nlpress_model::Model;
use std::ops::Range;

use crate::adam::Adam;
use crate::config::{BadConfig, ParameterGroup};
use crate::places::{Place, places};
use crate::{FitConfig, TrainError};

/// A stretch of parameters that move alike.
#[derive(Clone, Debug, PartialEq)]
struct Segment {
    range: Range<usize>,
    /// What the learning rate is multiplied with; 0 where nothing moves.
    rate: f64,
    decay: f64,
}

/// All parameters, in stretches as long as can be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Segments(Vec<Segment>);

impl Segments {
    /// The stretches of a model's parameters.
    ///
    /// # Errors
    /// [`TrainError::NoGroup`] for a group that selects no site that is trained.
    pub(crate) fn of(model: &Model, config: &FitConfig) -> Result<Self, TrainError> {
        let groups = config.groups().iter().map(|group| {
            let bad =
                |_| BadConfig { field: "groups.on", value: format!("{:?}", group.on), bound: "selectors" };
            Ok((group, Selectors::parse(&group.on).map_err(bad)?))
        });
        let groups = groups.collect::<Result<Vec<_>, BadConfig>>()?;
        let places = places(model);
        let selects = |on: &Selectors, place: &Place| on.matches(place.id.as_str());
        if let Some((group, _)) = groups.iter().find(|(_, on)| !places.iter().any(|p| selects(on, p))) {
            let all = places.iter().map(|p| p.id.as_str()).collect::<Vec<_>>().join(", ");
            return Err(TrainError::NoGroup(group.on.clone(), all));
        }
        let mut segments = Self(Vec::new());
        for place in &places {
            let group = groups.iter().find(|(_, on)| selects(on, place)).map(|(group, _)| *group);
            let rate = |g: &ParameterGroup| if g.frozen { 0.0 } else { g.rate.unwrap_or(1.0) };
            let rate = group.map_or(1.0, rate);
            let decay = group.and_then(|g| g.weight_decay).unwrap_or(config.weight_decay());
            segments.push(Segment { range: place.weights.clone(), rate, decay });
            segments.push(Segment { range: place.biases.clone(), rate, decay: 0.0 });
        }
        Ok(segments)
    }

    fn push(&mut self, next: Segment) {
        match self.0.last_mut() {
            Some(last) if (last.rate, last.decay) == (next.rate, next.decay) => {
                last.range.end = next.range.end
            }
            _ => self.0.push(next),
        }
    }

    /// Sets the gradient to zero where nothing moves.
    pub(crate) fn freeze(&self, gradient: &mut [f32]) {
        self.0.iter().filter(|s| s.rate == 0.0).for_each(|s| gradient[s.range.clone()].fill(0.0));
    }

    /// Decays the weights, and moves everything against its gradient by a step of Adam.
    pub(crate) fn step(
        &self,
        (flat, adam): (&mut [f32], &mut Adam),
        gradient: &[f32],
        rate: f64,
        config: &FitConfig,
    ) {
        let update = adam.next(rate, config.adam());
        for Segment { range, rate: factor, decay } in self.0.iter().filter(|s| s.rate > 0.0) {
            let numbers = &mut flat[range.clone()];
            if *decay > 0.0 {
                let left = (1.0 - rate * factor * decay) as f32;
                numbers.iter_mut().for_each(|w| *w *= left);
            }
            let (first, second) = adam.moments(range.clone());
            update.at(*factor).apply(numbers, &gradient[range.clone()], first, second);
        }
    }
}
