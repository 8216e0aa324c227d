//! The data in the features that a row reads: all of them, or those that its steps kept.
//!
//! Rows of a report may read different features. Each row says which ([`Features`]), and its data are encoded
//! once however many steps, gates and descendants look at them.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use crate::data_error::DataError;
use crate::prepared::Prepared;

/// Narrowed data that are held at a time; those not asked for the longest are made again when they are.
const MOST_HELD: usize = 16;

/// Which of the prepared features a model reads: positions, ascending; all when there is no list.
pub type Features = Option<Vec<u32>>;

/// Puts features that were kept of `before` in the numbers of the prepared ones.
///
/// # Errors
/// A sentence when a position is not one of `before`.
pub(crate) fn kept_of(before: &Features, kept: Vec<u32>) -> Result<Features, String> {
    let Some(before) = before else { return Ok(Some(kept)) };
    let place = |i: &u32| {
        let missing = || format!("feature {i} is kept, but there were {}", before.len());
        before.get(*i as usize).copied().ok_or_else(missing)
    };
    kept.iter().map(place).collect::<Result<Vec<u32>, String>>().map(Some)
}

/// Prepared data, whole and narrowed.
#[derive(Debug)]
pub(crate) struct Views<'a> {
    whole: &'a Prepared,
    narrow: Mutex<Vec<(Vec<u32>, Arc<Prepared>)>>,
}

/// Prepared data in the features of a row.
#[derive(Clone, Debug)]
pub(crate) enum View<'a> {
    Whole(&'a Prepared),
    Narrow(Arc<Prepared>),
}

impl Deref for View<'_> {
    type Target = Prepared;

    fn deref(&self) -> &Prepared {
        match self {
            View::Whole(prepared) => prepared,
            View::Narrow(prepared) => prepared,
        }
    }
}

impl<'a> Views<'a> {
    /// Views of these data.
    pub(crate) fn new(whole: &'a Prepared) -> Self {
        Self { whole, narrow: Mutex::default() }
    }

    /// The data in these features, encoded if they are not at hand.
    ///
    /// # Errors
    /// [`DataError`] when the features do not ascend or are not there.
    pub(crate) fn of(&self, features: &Features) -> Result<View<'a>, DataError> {
        let Some(keep) = features else { return Ok(View::Whole(self.whole)) };
        // Whoever else wants the same waits here, in place of encoding it too.
        let mut held = self.narrow.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match held.iter().position(|(of, _)| of == keep) {
            Some(place) => held.remove(place),
            None => (keep.clone(), Arc::new(self.whole.narrow(keep)?)),
        };
        let prepared = Arc::clone(&found.1);
        held.push(found);
        if held.len() > MOST_HELD {
            held.remove(0);
        }
        Ok(View::Narrow(prepared))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Recipe;
    use nlpress_text::Encode;
    use std::path::Path;

    fn prepared() -> Prepared {
        let text = "schema = 1\nmodel = { network = { mlp = {} } }\n\
                    data = { corpus = 'embedded', encoder = { vocabulary = 20 }, read = { limit = 30 } }\n";
        let recipe = Recipe::parse(text, "r.toml").unwrap();
        Prepared::of(&recipe.data, Path::new("")).unwrap()
    }

    #[test]
    fn features_of_features_are_those_of_the_whole() {
        let once = kept_of(&None, vec![2, 5, 9]).unwrap();
        assert_eq!(kept_of(&once, vec![0, 2]).unwrap(), Some(vec![2, 9]));
        assert!(kept_of(&once, vec![3]).unwrap_err().contains("there were 3"));
    }

    #[test]
    fn views_are_encoded_once_and_in_step() {
        let whole = prepared();
        let views = Views::new(&whole);
        assert_eq!(views.of(&None).unwrap().encoder.width(), 20);
        let kept = Some(vec![1, 4, 7]);
        let (a, b) = (views.of(&kept).unwrap(), views.of(&kept).unwrap());
        let (View::Narrow(a), View::Narrow(b)) = (a, b) else { panic!("a narrow view is whole") };
        assert!(Arc::ptr_eq(&a, &b));
        assert_eq!((a.encoder.width(), a.train.examples().width()), (3, 3));
        assert_eq!(a.test.labels(), whole.test.labels());
        for i in 0..MOST_HELD as u32 {
            views.of(&Some(vec![i])).unwrap();
        }
        let View::Narrow(again) = views.of(&kept).unwrap() else { panic!("a narrow view is whole") };
        assert!(!Arc::ptr_eq(&a, &again) && a.train.features().unwrap() == again.train.features().unwrap());
        assert!(views.of(&Some(vec![3, 3])).is_err() && views.of(&Some(vec![20])).is_err());
    }
}
