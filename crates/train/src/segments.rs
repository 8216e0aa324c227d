//! How far each stretch of the parameters goes in a step: parameter groups, and weight decay for weights alone.

use nlpress_core::Selectors;
use nlpress_model::Model;
use std::ops::Range;

use crate::adam::{Adam, Update};
use crate::config::{BadConfig, ParameterGroup};
use crate::crew::{Crew, by_pieces};
use crate::places::places;
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
        let names = || {
            let vectors = model.vectors().iter().map(|vector| vector.id.as_str());
            places.iter().map(|place| place.id.as_str()).chain(vectors)
        };
        if let Some((group, _)) = groups.iter().find(|(_, on)| !names().any(|name| on.matches(name))) {
            return Err(TrainError::NoGroup(group.on.clone(), names().collect::<Vec<_>>().join(", ")));
        }
        let group = |name: &str| groups.iter().find(|(_, on)| on.matches(name)).map(|(group, _)| *group);
        let rate_of = |group: Option<&ParameterGroup>| match group {
            Some(group) if group.frozen => 0.0,
            group => group.and_then(|group| group.rate).unwrap_or(1.0),
        };
        let mut segments = Self(Vec::new());
        for place in &places {
            let group = group(place.id.as_str());
            let rate = rate_of(group);
            let decay = group.and_then(|g| g.weight_decay).unwrap_or(config.weight_decay());
            segments.push(Segment { range: place.weights.clone(), rate, decay });
            segments.push(Segment { range: place.biases.clone(), rate, decay: 0.0 });
        }
        let mut begin = places.last().map_or(0, |place| place.biases.end);
        for vector in model.vectors() {
            let range = begin..begin + vector.values.len();
            begin = range.end;
            segments.push(Segment { range, rate: rate_of(group(vector.id.as_str())), decay: 0.0 });
        }
        Ok(segments)
    }

    /// What the learning rate is multiplied with at a parameter, and its weight decay.
    pub(crate) fn at(&self, parameter: usize) -> (f64, f64) {
        let found = self.0.iter().find(|segment| segment.range.contains(&parameter));
        found.map_or((0.0, 0.0), |segment| (segment.rate, segment.decay))
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

    /// Decays the weights, and moves everything against its gradient by a step of Adam at a rate.
    pub(crate) fn step(
        &self,
        crew: Option<&Crew>,
        (flat, adam): (&mut [f32], &mut Adam),
        gradient: &[f32],
        (rate, config): (f64, &FitConfig),
    ) {
        let update = adam.next(rate, config.adam());
        let (first, second) = adam.moments(0..flat.len());
        by_pieces(crew, [flat, first, second], |start, moved| {
            let gradient = &gradient[start..start + moved[0].len()];
            self.step_from(start, moved, gradient, (update, rate));
        });
    }

    /// [`step`](Segments::step) for the parameters from one on, of which the moments are given.
    pub(crate) fn step_from(
        &self,
        start: usize,
        [numbers, first, second]: [&mut [f32]; 3],
        gradient: &[f32],
        (update, rate): (Update, f64),
    ) {
        let end = start + numbers.len();
        for Segment { range, rate: factor, decay } in self.0.iter().filter(|s| s.rate > 0.0) {
            let (from, to) = (range.start.max(start), range.end.min(end));
            if from >= to {
                continue;
            }
            let here = from - start..to - start;
            let numbers = &mut numbers[here.clone()];
            if *decay > 0.0 {
                let left = (1.0 - rate * factor * decay) as f32;
                numbers.iter_mut().for_each(|w| *w *= left);
            }
            let moments = (&mut first[here.clone()], &mut second[here.clone()]);
            update.at(*factor).apply(numbers, &gradient[here], moments.0, moments.1);
        }
    }
}
