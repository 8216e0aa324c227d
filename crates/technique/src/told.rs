//! What is wrong with a table of a recipe, in words of whoever wrote it.
//!
//! Serde speaks of the types of a program: structs, `u32`, unit variants. A recipe has tables, lists, text and numbers,
//! so its messages are said anew here, in one place for all tables.

/// What a table's reader says, with the key that it speaks of.
pub fn told(error: &toml::de::Error) -> String {
    // The keys are in no other form than this line; an error that knows its text has a place there instead.
    let display = error.to_string();
    let keys = display.trim_end().rsplit_once("\nin ").map(|(_, keys)| keys.trim_matches('`'));
    said(error.message(), keys)
}

/// A message about the value of a key, where it is known, in plain words.
pub fn said(message: &str, key: Option<&str>) -> String {
    let of = |what: &str| key.map_or_else(|| what.to_owned(), |key| format!("`{key}`"));
    let misfit = ["invalid type: ", "invalid value: ", "invalid length "].iter().find_map(|start| {
        let (found, expected) = message.strip_prefix(start)?.split_once(", expected ")?;
        Some(match *start {
            "invalid length " => (format!("a list of {found}"), expected),
            _ => (found_in_words(found), expected),
        })
    });
    if let Some((found, expected)) = misfit {
        return format!("{} is {found}, but it must be {}", of("it"), expected_in_words(expected));
    }
    if let Some(found) = message.strip_prefix("expected table, found ") {
        return format!("{} is of the type {found}, but it must be a table", of("it"));
    }
    if message.starts_with("data did not match any variant of untagged enum") {
        return format!("{} is of no form that can be read here", of("a value"));
    }
    if message == "wanted string or table" {
        return format!("{} must be a word in quotes, or a table of one key", of("it"));
    }
    if message.starts_with("wanted exactly 1 element") {
        return format!("{} must be a table of exactly one key", of("the table"));
    }
    let plain = message.replace("unknown variant", "unknown value");
    match key {
        Some(key) if plain.starts_with("unknown ") || plain.starts_with("missing ") => {
            format!("`{key}`: {plain}")
        }
        _ => plain,
    }
}

fn found_in_words(found: &str) -> String {
    let value = |kind: &str| found.strip_prefix(kind).map(|value| value.trim_matches('`').to_owned());
    let number = ["integer ", "floating point ", "boolean "].into_iter().find_map(value);
    if let Some(number) = number {
        return number;
    }
    match found {
        "sequence" => "a list".into(),
        "map" => "a table".into(),
        "unit value" | "Option value" => "nothing".into(),
        "unit variant" => "a word alone".into(),
        "newtype variant" | "tuple variant" | "struct variant" => "a table".into(),
        _ => found.replacen("string ", "the text ", 1).replacen("character ", "the text ", 1),
    }
}

fn expected_in_words(expected: &str) -> String {
    let plain = match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" | "u128" => "a whole number of 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" | "i128" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "string" | "str" => "text in quotes",
        "path string" => "a path in quotes",
        "a character" => "one character in quotes",
        "a sequence" => "a list, `[…]`",
        "a map" => "a table, `{ key = value }`",
        "string or table" => "a word in quotes, or a table of one key",
        "newtype variant" | "struct variant" | "tuple variant" => {
            "a table that says more: `{ word = { key = value } }`"
        }
        "unit variant" => "a word alone, without a table",
        _ => "",
    };
    if !plain.is_empty() {
        return plain.into();
    }
    if let Some(length) =
        ["an array of length ", "a tuple of size "].iter().find_map(|s| expected.strip_prefix(s))
    {
        return format!("a list of {length}");
    }
    if expected.starts_with("struct ") || expected.starts_with("tuple struct ") {
        return "a table of settings, `{ key = value }`".into();
    }
    if expected.starts_with("enum ") {
        return "a word in quotes, or a table of one key".into();
    }
    expected.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Outer {
        #[serde(default)]
        inner: Inner,
        #[serde(default)]
        pair: [u8; 2],
        #[serde(default)]
        on: bool,
        kind: Option<Kind>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        #[serde(default)]
        count: u32,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Plain,
    }

    #[test]
    fn messages_name_the_key_and_what_a_recipe_may_hold() {
        for (text, says) in [
            (
                "inner = 'fixed'",
                "`inner` is the text \"fixed\", but it must be a table of settings, `{ key = value }`",
            ),
            (
                "inner = { count = 1.5 }",
                "`inner.count` is 1.5, but it must be a whole number from 0 to 4294967295",
            ),
            (
                "inner = { count = -1 }",
                "`inner.count` is -1, but it must be a whole number from 0 to 4294967295",
            ),
            ("inner = { number = 1 }", "`inner`: unknown field `number`, expected `count`"),
            ("pair = [1]", "`pair` is a list of 1, but it must be a list of 2"),
            ("pair = 300", "`pair` is 300, but it must be a list of 2"),
            ("on = 'yes'", "`on` is the text \"yes\", but it must be true or false"),
            ("kind = 'odd'", "`kind`: unknown value `odd`, expected `plain`"),
        ] {
            let table: toml::Table = text.parse().unwrap();
            let error = toml::Value::Table(table).try_into::<Outer>().unwrap_err();
            assert_eq!(told(&error), says, "{error}");
        }
    }
}
