//! Tables of settings that two configurations share: a technique's frame takes its keys, the technique its own.

use serde::Deserializer;
use serde::de::{DeserializeOwned, Error as _, Visitor, value};
use serde::forward_to_deserialize_any;

use crate::told;

/// A table of settings that cannot be read; its message names the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadTable(pub String);

impl BadTable {
    /// A required setting that the table does not have.
    pub fn missing(key: &str) -> Self {
        Self(format!("missing field `{key}`"))
    }
}

/// Reads a table as two configurations: `Shared` gets those of its fields that `settings` names, `Own` the rest.
///
/// # Errors
/// [`BadTable`] for a key that is a field of neither, and with the message of the configuration that refuses its part.
pub fn split<Shared: DeserializeOwned, Own: DeserializeOwned>(
    table: toml::Table,
    settings: &[(&str, &str)],
) -> Result<(Shared, Own), BadTable> {
    let named = |key: &&&str| settings.iter().any(|(name, _)| name == *key);
    let shared: Vec<&str> = fields::<Shared>().iter().filter(named).copied().collect();
    let own = fields::<Own>();
    let known = |key: &str| shared.contains(&key) || own.contains(&key);
    if let Some(key) = table.keys().find(|key| !known(key)) {
        let mut all: Vec<&str> = shared.iter().chain(own).copied().collect();
        // In the order of their description; what is not described comes last.
        all.sort_by_key(|key| settings.iter().position(|(name, _)| name == key).unwrap_or(usize::MAX));
        return Err(BadTable(format!("unknown field `{key}`, {}", expected(&all))));
    }
    let (shared, own) = table.into_iter().partition(|(key, _)| shared.contains(&key.as_str()));
    Ok((read(shared)?, read(own)?))
}

/// Reads a table as one configuration.
///
/// # Errors
/// [`BadTable`] with the configuration's message.
pub fn read<T: DeserializeOwned>(table: toml::Table) -> Result<T, BadTable> {
    toml::Value::Table(table).try_into().map_err(|e: toml::de::Error| BadTable(told(&e)))
}

/// The sentence that serde ends its refusal of an unknown field with.
fn expected(fields: &[&str]) -> String {
    match fields {
        [] => "there are no fields".into(),
        [one] => format!("expected `{one}`"),
        [one, two] => format!("expected `{one}` or `{two}`"),
        many => format!("expected one of `{}`", many.join("`, `")),
    }
}

/// Names of the fields that a struct is read from; none for what is not read as a struct.
fn fields<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &[&str] = &[];
    // It always fails: there is nothing to read.
    let _ = T::deserialize(FieldNames(&mut names));
    names
}

/// A deserializer without data that notes which fields it is asked for.
struct FieldNames<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, value::Error> {
        Err(value::Error::custom("it holds no data"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, value::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Frame {
        share: Option<f64>,
        steps: Option<u32>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Own {
        rows: usize,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(try_from = "Own")]
    struct Checked(usize);

    impl TryFrom<Own> for Checked {
        type Error = String;

        fn try_from(own: Own) -> Result<Self, String> {
            if own.rows == 0 { Err("rows is 0".into()) } else { Ok(Self(own.rows)) }
        }
    }

    #[test]
    fn each_gets_its_own_and_unknown_keys_are_named() {
        let all = [("share", ""), ("rows", ""), ("steps", "")];
        let read = |text: &str, settings| split::<Frame, Checked>(text.parse().unwrap(), settings);
        let refused = |text: &str, settings| read(text, settings).unwrap_err().to_string();
        let (frame, own) = read("rows = 3\nshare = 1", &all).unwrap();
        assert_eq!((frame, own), (Frame { share: Some(1.0), steps: None }, Checked(3)));
        assert_eq!(
            refused("rows = 1\nrow = 2", &all),
            "unknown field `row`, expected one of `share`, `rows`, `steps`"
        );
        // A field of the frame that the technique does not document is not one of its settings.
        assert_eq!(
            refused("rows = 1\nsteps = 2", &all[..2]),
            "unknown field `steps`, expected `share` or `rows`"
        );
        assert_eq!(refused("rows = 0", &all), "rows is 0");
        assert_eq!(refused("share = 0.5", &all), "missing field `rows`");
        assert!(
            refused("rows = 1\nshare = 'x'", &all).starts_with("`share` is the text \"x\", but it must be")
        );
    }
}
