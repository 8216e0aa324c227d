//! The settings of every technique, given what they cannot be: the refusal speaks of recipes, not of this program.

use nlpress_pipeline::kinds;
use nlpress_technique::Setting;

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
