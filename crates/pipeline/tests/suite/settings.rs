//! The settings of every technique, given what they cannot be: the refusal speaks of recipes, not of this program.

use nlpress_pipeline::{Plan, Prepared, Recipe, RunError, kinds, plan_of};
use nlpress_technique::Setting;
use std::path::Path;

/// Words of serde and of Rust that no recipe has.
const PRIVATE: [&str; 15] = [
    "invalid type",
    "invalid value",
    "struct",
    "enum",
    "variant",
    "newtype",
    "untagged",
    "Raw",
    "u8",
    "u16",
    "u32",
    "u64",
    "usize",
    "f32",
    "f64",
];

#[test]
fn refusals_are_in_words_of_recipes() {
    let values = ["'odd'", "-1", "1.5", "true", "[]", "['odd']", "{}", "{ odd = 1 }", "1979-05-27"];
    let mut refused = 0;
    for kind in kinds::all() {
        for Setting { name, meaning } in kind.settings() {
            for value in values {
                let mut with: toml::Table = kind.example.parse().unwrap();
                let given: toml::Table = format!("{name} = {value}").parse().unwrap();
                with.extend(given);
                let Err(why) = kind.read(&with) else { continue };
                refused += 1;
                let said = why.replace(meaning, "");
                for private in PRIVATE {
                    let word = |c: char| c.is_alphanumeric() || c == '_';
                    let is = said.split(|c| !word(c)).any(|w| w == private)
                        || private.contains(' ') && said.contains(private);
                    assert!(!is, "{}: {name} = {value}: {private:?} in: {why}", kind.name);
                }
            }
        }
    }
    assert!(refused > 500, "{refused}");
}

#[test]
fn a_value_of_the_wrong_kind_is_answered_with_what_the_setting_may_be() {
    let int8 = kinds::find("quant.int8").unwrap();
    let why = int8.read(&"activations = 'fixed'".parse().unwrap()).unwrap_err();
    assert!(why.starts_with("`activations` is the text \"fixed\", but it must be a table"), "{why}");
    assert!(why.contains("calibrator = \"minmax\""), "{why}");
}

#[test]
fn a_solver_of_linear_models_trains_those_and_has_controls_that_fit() {
    let recipe = |hidden: &str, rest: &str| -> Result<Plan, RunError> {
        let text = format!(
            "schema = 1\n[model]\nnetwork = {{ mlp = {{ hidden = {hidden} }} }}\n[data]\ncorpus = 'embedded'\n\
             read = {{ limit = 40 }}\n[train]\nsolver = 'coordinate_descent'\n{rest}"
        );
        let recipe = Recipe::parse(&text, "r.toml")?;
        let prepared = Prepared::of(&recipe.data, Path::new(""))?;
        plan_of(&recipe, &prepared)
    };
    let refused = |hidden: &str, rest: &str| recipe(hidden, rest).expect_err(rest).to_string();
    // The defaults of controls are none that the solver cannot train.
    assert_eq!(recipe("[]", "").unwrap().rows.len(), 1);
    let kept = "[[variants]]\nid = 'a'\nsteps = [{ use = 'select.norm', with = { keep = 9, finetune = { solver = \
                'coordinate_descent', cost = 0.5 } } }, { use = 'train.more', with = { fit = { solver = 'coordinate_descent' } } }]\n";
    assert_eq!(recipe("[]", kept).unwrap().rows.len(), 2);
    let deep = refused("[4]", "");
    assert!(deep.starts_with("r.toml:7: ") && deep.contains("the sites hidden.0, output"), "{deep}");
    let more = refused("[]", "[controls]\nmore_epochs = 2\n");
    assert!(more.contains("r.toml:9: controls: more_epochs: it is 2"), "{more}");
    let student = refused("[]", "[controls]\ntrain = { solver = 'coordinate_descent' }\n");
    assert!(student.contains("controls: student") && student.contains("hidden.0"), "{student}");
    for (steps, says) in [
        (
            "{ use = 'quant.int8' }, { use = 'train.more', with = { fit = { solver = 'coordinate_descent' } } }",
            "train.more",
        ),
        (
            "{ use = 'train.alone', with = { hidden = [4], fit = { solver = 'coordinate_descent' } } }",
            "hidden.0",
        ),
        ("{ use = 'distill.student', with = { fit = { solver = 'coordinate_descent' } } }", "adam"),
        ("{ use = 'quant.qat', with = { train = { solver = 'coordinate_descent' } } }", "adam"),
    ] {
        let error = refused("[]", &format!("[[variants]]\nid = 'a'\nsteps = [{steps}]\n"));
        assert!(error.contains(says), "{steps}: {error}");
    }
}
