//! Whether a kind's entry tells its readers the truth: its name, its words, the settings within a setting and every
//! default.

use nlpress_technique::{Kind, Setting, Technique};

use crate::Bench;
use crate::bench::table;

/// A setting that no technique has.
const UNKNOWN: &str = "no_such_setting";

/// Holds what a kind says about itself against what its readers need, and against what it does.
///
/// # Errors
/// A sentence on what is missing or not so.
pub(crate) fn check(kind: &Kind, bench: &Bench) -> Result<(), String> {
    let name = kind.name;
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b"_0123456789".contains(&b))
    };
    if name.split('.').count() != 2 || !name.split('.').all(word) {
        return Err(format!("{name}: a name is family.method in lower case"));
    }
    for (what, text) in [("summary", kind.summary), ("source", kind.source)] {
        if text.trim().is_empty() {
            return Err(format!("{name}: it has no {what}"));
        }
    }
    let example = table(kind)?;
    kind.read(&example).map_err(|e| format!("{name}: its example does not parse: {e}"))?;
    check_settings(kind, &example).map_err(|why| format!("{name}: {why}"))?;
    check_defaults(kind, &example, bench).map_err(|why| format!("{name}: {why}"))
}

/// Checks that a setting which takes a table names the settings within.
fn check_settings(kind: &Kind, example: &toml::Table) -> Result<(), String> {
    for Setting { name: setting, meaning } in kind.settings() {
        // The settings of training are those of a recipe's [train], on a page of their own.
        let training = meaning.contains("how to train") || meaning.contains("training table");
        for key in within(kind, example, setting)?.unwrap_or_default() {
            let words = meaning.split(|c: char| !c.is_alphanumeric() && c != '_');
            if !training && !words.into_iter().any(|word| word == key) {
                return Err(format!("it reads {setting}.{key}, which its description does not name"));
            }
        }
    }
    Ok(())
}

/// The settings within a setting; nothing where it takes no table.
fn within(kind: &Kind, example: &toml::Table, setting: &str) -> Result<Option<Vec<String>>, String> {
    let unknown = toml::Table::from_iter([(UNKNOWN.to_owned(), toml::Value::Boolean(true))]);
    let mut nested = example.clone();
    nested.insert(setting.into(), toml::Value::Table(unknown));
    match (kind.parse)(&nested) {
        Ok(_) => Err(format!("an unknown setting within {setting} is not refused")),
        Err(refusal) if refusal.starts_with(&format!("unknown field `{setting}`")) => {
            Err(format!("it describes the setting {setting}, but does not read it"))
        }
        Err(refusal) => Ok(expected(&refusal)),
    }
}

/// The settings that serde lists when it refuses [`UNKNOWN`]; nothing where it lists none.
fn expected(refusal: &str) -> Option<Vec<String>> {
    let (_, rest) = refusal.split_once(&format!("unknown field `{UNKNOWN}`, "))?;
    if rest.starts_with("there are no fields") {
        return Some(Vec::new());
    }
    let list = rest.strip_prefix("expected ")?.lines().next()?;
    Some(list.split('`').skip(1).step_by(2).map(str::to_owned).collect())
}

/// Checks that the example with a default written out is the example without it: as a configuration, or, where that
/// keeps what was left out apart, by the model that it makes.
fn check_defaults(kind: &Kind, example: &toml::Table, bench: &Bench) -> Result<(), String> {
    for Setting { name: setting, meaning } in kind.settings() {
        // What is said of a table's default is said of its settings.
        let Some(default) = default_of(meaning) else { continue };
        if within(kind, example, setting)?.is_some() {
            continue;
        }
        let Some((without, with)) = pair(kind, example, setting, &default)? else { continue };
        if format!("{with:?}") == format!("{without:?}") {
            continue;
        }
        let on = bench.selected(kind, &bench.model().outline())?;
        let made = |technique| {
            let cx = bench.cx(&nlpress_core::event::Quiet);
            bench.apply(technique, &on, cx).map_err(|e| format!("with {setting}: {e}"))
        };
        if made(&*with)? != made(&*without)? {
            return Err(format!("{setting} is not {default} by default: {with:?} is not {without:?}"));
        }
    }
    Ok(())
}

/// A configuration without a setting, and the one with its default written out. Nothing where the setting has no use with
/// the others that are needed, and its refusal says to leave it out.
///
/// What the others are is tried: none, those that are required, the example's, and the example's without one.
fn pair(
    kind: &Kind,
    example: &toml::Table,
    setting: &str,
    default: &toml::Value,
) -> Result<Option<Pair>, String> {
    let required = |name: &str| kind.settings().any(|s| s.name == name && s.meaning.contains("required"));
    let needed: toml::Table =
        example.iter().filter(|(name, _)| required(name)).map(|(n, v)| (n.clone(), v.clone())).collect();
    let less_one = example.keys().map(|other| {
        let mut table = example.clone();
        table.remove(other);
        table
    });
    let mut refusal = None;
    for mut table in [toml::Table::new(), needed, example.clone()].into_iter().chain(less_one) {
        table.remove(setting);
        let Ok(without) = (kind.parse)(&table) else { continue };
        table.insert(setting.into(), default.clone());
        match (kind.parse)(&table) {
            Ok(with) => return Ok(Some((without, with))),
            Err(why) => refusal = Some(why),
        }
    }
    match refusal {
        None => Err(format!("{setting} is {default} by default, but it cannot be left out")),
        Some(why) if why.contains("left out") || why.contains("leave it out") => Ok(None),
        Some(why) => Err(format!("{setting} is {default} by default, which is refused: {why}")),
    }
}

type Pair = (Box<dyn Technique>, Box<dyn Technique>);

/// The default that a description states: `1 by default`, `default 2`, `"max" (default): …`; nothing where it is said
/// in words.
fn default_of(meaning: &str) -> Option<toml::Value> {
    let at = meaning.find("default")?;
    let (before, after) = (&meaning[..at], &meaning[at + "default".len()..]);
    let text = if let Some(before) = before.strip_suffix(" by ") {
        before.rsplit(|c: char| c.is_whitespace() || c == '(').next()?
    } else if let Some(before) = before.strip_suffix('(') {
        let clause = before.rsplit(';').next()?.trim();
        if let Some(word) = clause.strip_suffix('"') {
            return Some(toml::Value::String(word.rsplit_once('"')?.1.into()));
        }
        match clause.split_once('"') {
            Some((_, quoted)) => return Some(toml::Value::String(quoted.split_once('"')?.0.into())),
            None => clause.split([' ', ':']).next()?,
        }
    } else {
        let after = after.strip_prefix(' ')?;
        match after.find(']').filter(|_| after.starts_with('[')) {
            Some(end) => &after[..=end],
            None => after.split([' ', ';', ',', ')']).next()?,
        }
    };
    let text = text.trim_end_matches(['.', ',', ';']);
    format!("x = {text}").parse::<toml::Table>().ok()?.remove("x")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_found_in_the_words() {
        for (meaning, default) in [
            ("how many, from 1 to 64; 1 by default", Some("1")),
            ("weight, positive; 1e-3 by default", Some("0.001")),
            ("whether a bias moves; true by default", Some("true")),
            ("shares of a batch, 1 to 256; default 2", Some("2")),
            ("one task each; default [1e-3, 5e-4]", Some("[0.001, 0.0005]")),
            ("widths, default [16]; [] makes it linear", Some("[16]")),
            ("\"presence\": has the word (default); \"values\": of the rows", Some("\"presence\"")),
            ("\"a\": one; \"b\" (default)", Some("\"b\"")),
            ("true (default): train from fresh numbers", Some("true")),
            ("what it is: \"int8\", \"int4\" (default), \"int3\"", Some("\"int4\"")),
            ("none (default): a scale for each row; or samples (300 by default)", None),
            ("training afterwards; none by default", None),
            ("share, at least 0, default 0.5", Some("0.5")),
            ("required", None),
        ] {
            assert_eq!(default_of(meaning).map(|v| v.to_string()), default.map(str::to_owned), "{meaning}");
        }
    }

    #[test]
    fn lists_of_settings_are_read() {
        let list = |text: &str| expected(&format!("unknown field `{UNKNOWN}`, {text}"));
        assert_eq!(list("there are no fields"), Some(vec![]));
        assert_eq!(list("expected `a`").unwrap(), ["a"]);
        assert_eq!(list("expected `a` or `b`").unwrap(), ["a", "b"]);
        assert_eq!(list("expected one of `a`, `b`, `c`\nin `x`").unwrap(), ["a", "b", "c"]);
        assert_eq!(expected("unknown field `other`, expected `a`"), None);
        assert_eq!(expected("something else"), None);
    }
}
