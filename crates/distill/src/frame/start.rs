//! What a student is at first: fresh and small, or the model at hand with its form.

use nlpress_core::Seed;
use nlpress_model::{Form, Graph, Model, ModelError, Outline, SiteId};
use nlpress_technique::Problem;

use crate::error::{DistillError, check};

/// Widest layer that a specification may have.
const WIDEST: usize = 1 << 20;
/// Hidden widths of a student when none are asked for.
const DEFAULT_HIDDEN: [usize; 1] = [16];

/// What a student is at first.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    /// A fresh dense network between the same inputs and outputs: [`Graph::feed_forward`].
    Fresh {
        /// Its hidden widths.
        hidden: Vec<usize>,
        /// Its dropout rate.
        dropout: f64,
    },
    /// The incoming model: its numbers, its shape and its masks.
    Model,
}

impl Start {
    /// Reads `from`, `hidden` and `dropout`.
    ///
    /// # Errors
    /// [`DistillError`] for an unknown `from`, impossible sizes, or sizes beside `from = "model"`.
    pub fn read(from: &str, hidden: Option<Vec<usize>>, dropout: Option<f64>) -> Result<Self, DistillError> {
        match from {
            "fresh" => {
                let hidden = hidden.unwrap_or_else(|| DEFAULT_HIDDEN.to_vec());
                let dropout = dropout.unwrap_or(0.0);
                let wide = hidden.iter().all(|w| (1..=WIDEST).contains(w));
                check(wide, "hidden", format!("{hidden:?}"), "widths between 1 and 1048576")?;
                check((0.0..1.0).contains(&dropout), "dropout", dropout, "at least 0 and less than 1")?;
                Ok(Self::Fresh { hidden, dropout })
            }
            "model" => {
                let with = "from = \"model\"";
                match (hidden, dropout) {
                    (Some(_), _) => Err(DistillError::NoEffect { key: "hidden", with }),
                    (None, Some(_)) => Err(DistillError::NoEffect { key: "dropout", with }),
                    (None, None) => Ok(Self::Model),
                }
            }
            other => Err(DistillError::setting("from", format!("{other:?}"), "\"fresh\" or \"model\"")),
        }
    }

    /// The student's outline; whatever is in its way goes into `problems`.
    pub fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        problems.extend(Problem::missing(before, on));
        let left: Vec<&str> =
            before.sites.iter().map(|s| &s.id).filter(|id| !on.contains(id)).map(SiteId::as_str).collect();
        if !left.is_empty() {
            let why = format!(
                "a distillation takes the whole network, but {} is not selected; select [\"**\"]",
                left.join(", ")
            );
            problems.push(Problem::of_step(why));
        }
        match self {
            Start::Model => {
                for site in &before.sites {
                    if let Form::Packed(_) = site.form {
                        problems.push(Problem::at(
                            &site.id,
                            format!("it is {} and cannot be trained", site.form),
                        ));
                    }
                }
                before.clone()
            }
            Start::Fresh { .. } => {
                let graph = self.graph(&before.graph);
                if let Err(bad) = graph.check() {
                    problems.push(Problem::of_step(format!("the student cannot be made: {bad}")));
                    return before.clone();
                }
                Outline::dense(&graph)
            }
        }
    }

    /// The student before its first training.
    ///
    /// # Errors
    /// [`ModelError`] when the sizes are impossible.
    pub fn make(&self, model: Model, seed: Seed) -> Result<Model, ModelError> {
        match self {
            Start::Model => Ok(model),
            Start::Fresh { .. } => Model::init(&self.graph(model.graph()), seed.derive("student")),
        }
    }

    fn graph(&self, of: &Graph) -> Graph {
        match self {
            Start::Model => of.clone(),
            Start::Fresh { hidden, dropout } => {
                Graph::feed_forward(of.source, hidden, of.outputs(), *dropout)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nlpress_model::MlpSpec;

    #[test]
    fn settings_are_read_and_refused_by_name() {
        let fresh = Start::Fresh { hidden: vec![16], dropout: 0.0 };
        assert_eq!(Start::read("fresh", None, None), Ok(fresh));
        assert_eq!(Start::read("model", None, None), Ok(Start::Model));
        let message = |r: Result<Start, DistillError>| r.unwrap_err().to_string();
        assert!(message(Start::read("model", Some(vec![4]), None)).starts_with("hidden is set"));
        assert!(message(Start::read("model", None, Some(0.1))).starts_with("dropout is set"));
        assert!(message(Start::read("old", None, None)).starts_with("from is \"old\""));
        assert!(message(Start::read("fresh", Some(vec![4, 0]), None)).starts_with("hidden is [4, 0]"));
        assert!(message(Start::read("fresh", None, Some(1.0))).starts_with("dropout is 1"));
    }

    #[test]
    fn part_of_a_network_is_refused() {
        let graph = Graph::from(MlpSpec::new(5, &[4], 3, 0.1));
        let outline = Outline::dense(&graph);
        let plan = |start: &Start, on: &[SiteId]| {
            let mut problems = Vec::new();
            let after = start.plan(&outline, on, &mut problems);
            (after, problems.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let start = Start::read("fresh", Some(vec![2]), None).unwrap();
        let (after, problems) = plan(&start, &[SiteId::hidden(0), SiteId::output()]);
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(after.parameters(), 5 * 2 + 2 + 2 * 3 + 3);
        let (_, problems) = plan(&start, &[SiteId::output()]);
        assert!(problems[0].contains("hidden.0 is not selected"), "{problems:?}");
    }
}
