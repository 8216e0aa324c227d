//! A recipe laid over an outline: what every row will be, before anything is trained.

use nlpress_core::Selectors;
use nlpress_core::shown::shown;
use nlpress_model::{Graph, MlpSpec, Outline, SiteId};
use nlpress_technique::Problem;
use nlpress_train::TrainConfig;
use serde::Serialize;
use std::collections::BTreeMap;

use crate::recipe::{Recipe, RecipeError, Step, TEACHER};
use crate::report::Family;

/// A recipe laid over an outline.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The rows in the order they are made, the teacher first.
    pub rows: Vec<PlannedRow>,
}

/// What a row will be.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedRow {
    /// Its name.
    pub id: String,
    /// Its family.
    pub family: Family,
    /// The row it starts from.
    pub parent: Option<String>,
    /// The outline after every step.
    pub steps: Vec<PlannedStep>,
    /// The outline it ends with.
    pub outline: Outline,
    /// Bytes of its weights and biases as they will ship.
    pub predicted_bytes: usize,
}

/// What a step will make.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedStep {
    /// The kind.
    pub technique: String,
    /// The selected sites.
    pub on: Vec<SiteId>,
    /// The outline after it.
    pub outline: Outline,
}

impl Plan {
    /// Executes a recipe symbolically on the outline of its first model.
    ///
    /// # Errors
    /// [`RecipeError`] for a control that no network can have, and with the line of the first step that cannot run and
    /// everything that is wrong with it.
    pub fn of(recipe: &Recipe, base: &Outline) -> Result<Self, RecipeError> {
        let (inputs, outputs) = (base.graph.inputs(), base.graph.outputs());
        let student = MlpSpec::new(inputs, &recipe.controls.student, outputs, base.graph.dropout());
        student
            .check()
            .map_err(|e| recipe.refuse(recipe.lines.controls, format!("controls: student: {e}")))?;
        check_controls(recipe, base)?;
        let mut outlines: BTreeMap<&str, Outline> = BTreeMap::from([(TEACHER, base.clone())]);
        let mut rows = vec![PlannedRow::new(TEACHER, Family::Baseline, None, Vec::new(), base.clone())];
        for variant in &recipe.variants {
            let mut outline = outlines[variant.parent.as_str()].clone();
            let mut steps = Vec::new();
            for step in &variant.steps {
                let on = selected(step, &outline);
                let teacher = variant.teacher.row().map(|row| &outlines[row]);
                outline = planned(recipe, &variant.id, step, (&outline, teacher), &on)?;
                steps.push(PlannedStep { technique: step.kind.name.into(), on, outline: outline.clone() });
            }
            outlines.insert(&variant.id, outline.clone());
            rows.push(PlannedRow::new(&variant.id, variant.family, Some(&variant.parent), steps, outline));
        }
        Ok(Self { rows })
    }
}

impl PlannedRow {
    fn new(
        id: &str,
        family: Family,
        parent: Option<&str>,
        steps: Vec<PlannedStep>,
        outline: Outline,
    ) -> Self {
        let predicted_bytes = outline.predicted_bytes();
        Self { id: id.into(), family, parent: parent.map(Into::into), steps, outline, predicted_bytes }
    }
}

/// Refuses controls that cannot be trained as the recipe says.
fn check_controls(recipe: &Recipe, base: &Outline) -> Result<(), RecipeError> {
    let check = |name: &str, hidden: &[usize], train: TrainConfig| {
        let graph = Graph::feed_forward(base.graph.source, hidden, base.graph.outputs(), 0.0);
        let refuse = |e| recipe.refuse(recipe.lines.controls, format!("controls: {name}: {e}"));
        train.check(&Outline::dense(&graph)).map_err(refuse)
    };
    let controls = &recipe.controls;
    if controls.linear {
        check("linear", &[], recipe.linear_train())?;
    }
    match controls.student.as_slice() {
        [] => Ok(()),
        hidden => check("student", hidden, recipe.student_train()),
    }
}

/// The sites of an outline that a step selects.
pub fn selected(step: &Step, outline: &Outline) -> Vec<SiteId> {
    selected_by(&step.on, outline)
}

/// The sites of an outline that match.
pub(crate) fn selected_by(on: &Selectors, outline: &Outline) -> Vec<SiteId> {
    outline.sites.iter().map(|s| s.id.clone()).filter(|id| on.matches(id.as_str())).collect()
}

/// What is said of selectors that no site matches.
pub(crate) fn selects_none(on: &Selectors, outline: &Outline) -> String {
    let sites: Vec<&str> = outline.sites.iter().map(|s| s.id.as_str()).collect();
    format!("\"{}\" selects no site; there are: {}", shown(&on.source().join(", ")), sites.join(", "))
}

fn planned(
    recipe: &Recipe,
    id: &str,
    step: &Step,
    (before, teacher): (&Outline, Option<&Outline>),
    on: &[SiteId],
) -> Result<Outline, RecipeError> {
    let refuse = |why: String| {
        let why = format!("{id}: {}: {why}", step.kind.name);
        Err(RecipeError { file: recipe.path.clone(), line: Some(step.line), why })
    };
    if on.is_empty() {
        return refuse(selects_none(&step.on, before));
    }
    let mut problems = Vec::new();
    let after = step.technique.plan(before, on, &mut problems);
    match teacher {
        Some(teacher) if step.technique.needs().teacher => {
            step.technique.check_teacher(before, teacher, &mut problems);
        }
        None if step.technique.reads_teacher_network() => problems.push(Problem::of_step(
            "it looks into the teacher's network, so the teacher must be a row and no file",
        )),
        _ => {}
    }
    if problems.is_empty() {
        return Ok(after);
    }
    refuse(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}
