//! How much the documents of each class weigh in the loss.
//!
//! Where one class is rare, a network that never gives it has a small loss. Weights make a mistake on a rare class cost
//! more: `balanced` gives class `c` the weight `n / (k · n_c)`, with `n` training documents in `k` classes of which
//! `n_c` are in `c`, as scikit-learn's `class_weight = "balanced"` does (after King and Zeng 2001, "Logistic Regression
//! in Rare Events Data"). The loss of a batch is the sum of weight times loss over its rows, divided by the number of
//! rows; with balanced weights its scale stays what it was, because they are 1 on average.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::BadConfig;

/// Largest weight.
const LARGEST: f64 = 1e6;
const FIELD: &str = "class_weights";

/// Weights of classes: the word `balanced`, or a table of labels and weights.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeights {
    /// By the inverse of their frequency among the training documents.
    Balanced,
    /// By their labels; those that are not named weigh 1.
    Given(BTreeMap<String, f64>),
}

impl ClassWeights {
    /// Checks what can be checked before there are labels.
    ///
    /// # Errors
    /// [`BadConfig`] for a weight that is not positive or above 1e6.
    pub fn check(&self) -> Result<(), BadConfig> {
        let Self::Given(given) = self else { return Ok(()) };
        match given.iter().find(|(_, weight)| !(**weight > 0.0 && **weight <= LARGEST)) {
            None => Ok(()),
            Some((label, weight)) => {
                let value = format!("{label:?} = {weight}");
                Err(BadConfig { field: FIELD, value, bound: "above 0 and at most 1000000" })
            }
        }
    }

    /// The weight of every class, for training documents with these labels, of which class `c` has `counts[c]`.
    ///
    /// # Errors
    /// [`BadConfig`] for a weight that is not positive or above 1e6, and for a label that the data do not have.
    pub fn resolve(&self, labels: &[String], counts: &[usize]) -> Result<Vec<f64>, BadConfig> {
        match self {
            Self::Balanced => {
                let all: usize = counts.iter().sum();
                let share = |n: usize| all as f64 / (counts.len() as f64 * n.max(1) as f64);
                Ok(counts.iter().map(|n| share(*n)).collect())
            }
            Self::Given(given) => {
                self.check()?;
                let mut weights = vec![1.0; labels.len()];
                for (label, &weight) in given {
                    let Some(class) = labels.iter().position(|l| l == label) else {
                        let value = format!("{label:?} = {weight}");
                        return Err(BadConfig {
                            field: FIELD,
                            value,
                            bound: "of a label that the training data have",
                        });
                    };
                    weights[class] = weight;
                }
                Ok(weights)
            }
        }
    }

    /// The same with every label changed, to the form in which the data have it.
    #[must_use]
    pub fn with_labels(self, form: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Balanced => Self::Balanced,
            Self::Given(given) => Self::Given(given.into_iter().map(|(l, w)| (form(&l), w)).collect()),
        }
    }
}

/// `balanced`, or `LABEL=WEIGHT,…`; of a label with `=` the last counts, one with a comma needs a recipe.
impl FromStr for ClassWeights {
    type Err = BadConfig;

    fn from_str(text: &str) -> Result<Self, BadConfig> {
        if text == "balanced" {
            return Ok(Self::Balanced);
        }
        let bad = || BadConfig {
            field: FIELD,
            value: format!("{text:?}"),
            bound: "balanced, or labels with weights such as spam=10,ham=1",
        };
        let mut given = BTreeMap::new();
        for part in text.split(',') {
            let (label, weight) = part.rsplit_once('=').ok_or_else(bad)?;
            let weight = weight.trim().parse().map_err(|_| bad())?;
            if label.trim().is_empty() || given.insert(label.trim().to_owned(), weight).is_some() {
                return Err(bad());
            }
        }
        Ok(Self::Given(given))
    }
}

impl<'de> Deserialize<'de> for ClassWeights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordOrTable)
    }
}

struct WordOrTable;

impl<'de> Visitor<'de> for WordOrTable {
    type Value = ClassWeights;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("class_weights = \"balanced\", or a table of labels and weights")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<ClassWeights, E> {
        match word {
            "balanced" => Ok(ClassWeights::Balanced),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(word), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ClassWeights, A::Error> {
        Ok(ClassWeights::Given(BTreeMap::deserialize(MapAccessDeserializer::new(map))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Vec<String> {
        ["ham", "spam"].map(String::from).to_vec()
    }

    #[test]
    fn balanced_weights_are_those_of_scikit_learn() {
        // compute_class_weight("balanced", classes=[0, 1], y=[0] * 98 + [1] * 2) is [0.5102…, 25].
        let weights = ClassWeights::Balanced.resolve(&labels(), &[98, 2]).unwrap();
        assert!((weights[0] - 0.510_204_081_632_653).abs() < 1e-12 && weights[1] == 25.0, "{weights:?}");
        assert!((98.0 * weights[0] + 2.0 * weights[1] - 100.0).abs() < 1e-9, "their mean is 1");
    }

    #[test]
    fn given_weights_find_their_labels() {
        let given: ClassWeights = "spam=2.5".parse().unwrap();
        assert_eq!(given.resolve(&labels(), &[1, 1]).unwrap(), [1.0, 2.5]);
        let upper = given.with_labels(str::to_uppercase);
        let error = upper.resolve(&labels(), &[1, 1]).unwrap_err().to_string();
        assert!(error.contains("\"SPAM\" = 2.5"), "{error}");
        for bad in ["spam=0", "spam=-1", "spam=inf", "spam=NaN", "spam=1e7"] {
            assert!(bad.parse::<ClassWeights>().unwrap().resolve(&labels(), &[1, 1]).is_err(), "{bad}");
        }
    }

    #[test]
    fn texts_and_tables_are_read() {
        let given = |pairs: &[(&str, f64)]| {
            ClassWeights::Given(pairs.iter().map(|(l, w)| ((*l).to_owned(), *w)).collect())
        };
        assert_eq!("balanced".parse(), Ok(ClassWeights::Balanced));
        assert_eq!("a=b=2, c = 1".parse(), Ok(given(&[("a=b", 2.0), ("c", 1.0)])));
        for bad in ["", "even", "a", "a=", "=2", "a=1,a=2", "a=1,"] {
            assert!(bad.parse::<ClassWeights>().is_err(), "{bad}");
        }
        #[derive(Deserialize)]
        struct Table {
            class_weights: ClassWeights,
        }
        let read = |text: &str| toml::from_str::<Table>(text).map(|t| t.class_weights);
        assert_eq!(read("class_weights = 'balanced'").unwrap(), ClassWeights::Balanced);
        let table = read("class_weights = { ham = 1, 'two words' = 0.5 }").unwrap();
        assert_eq!(table, given(&[("ham", 1.0), ("two words", 0.5)]));
        assert!(read("class_weights = 'even'").unwrap_err().to_string().contains("balanced"));
        assert!(read("class_weights = 3").is_err());
    }
}
