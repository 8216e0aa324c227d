//! Settings of techniques: one list, [`settings!`](crate::settings!), gives the names, the reader and the descriptions.
//!
//! Two configurations may share a table: a technique's frame takes its keys, the technique its own ([`split`]).

use serde::de::DeserializeOwned;

use crate::told;

/// A setting of a technique: a key of its recipe table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub name: &'static str,
    /// What it says, with bounds and default.
    pub meaning: &'static str,
}

impl Setting {
    /// A setting with its description.
    ///
    /// # Panics
    /// When the description is empty: a compile error in a constant, as all settings are.
    pub const fn new(name: &'static str, meaning: &'static str) -> Self {
        let meaning = meaning.trim_ascii();
        assert!(!meaning.is_empty(), "a setting needs a description");
        Self { name, meaning }
    }

    /// The setting of that name in a list.
    ///
    /// # Panics
    /// When the list has none: a compile error in a constant.
    pub const fn of<T: Settings>(name: &str) -> Self {
        let mut left = T::SETTINGS;
        while let [first, rest @ ..] = left {
            if same(first.name.as_bytes(), name.as_bytes()) {
                return *first;
            }
            left = rest;
        }
        panic!("the list has no setting of that name")
    }

    /// The same key, where a technique describes it in other words.
    #[must_use]
    pub const fn saying(self, meaning: &'static str) -> Self {
        Self::new(self.name, meaning)
    }
}

const fn same(mut a: &[u8], mut b: &[u8]) -> bool {
    while let ([x, more_a @ ..], [y, more_b @ ..]) = (a, b) {
        if *x != *y {
            return false;
        }
        (a, b) = (more_a, more_b);
    }
    a.is_empty() && b.is_empty()
}

/// What is read from a table of settings; made by [`settings!`](crate::settings!).
pub trait Settings: DeserializeOwned {
    /// The settings, in the order of its fields.
    const SETTINGS: &'static [Setting];
}

/// Makes a struct that serde reads from a table of settings, which refuses other keys and whose [`Settings`] are its
/// fields.
///
/// The documentation of a field is its description. A field may take that of another instead, `as` a text:
///
/// ```
/// use nlpress_technique::settings::Settings;
///
/// const RATE: &str = "learning rate, positive; 1e-3 by default";
///
/// nlpress_technique::settings! {
///     /// The settings of a technique.
///     struct Raw {
///         /// training rows to look at, from 1 to 1000; 64 by
///         /// default
///         #[serde(default)]
///         rows: Option<usize>,
///         rate: Option<f64> as RATE,
///     }
/// }
/// let of: Vec<(&str, &str)> = Raw::SETTINGS.iter().map(|s| (s.name, s.meaning)).collect();
/// assert_eq!(of, [("rows", "training rows to look at, from 1 to 1000; 64 by default"), ("rate", RATE)]);
/// let raw: Raw = toml::from_str("rows = 3").unwrap();
/// assert_eq!((raw.rows, raw.rate), (Some(3), None));
/// assert!(toml::from_str::<Raw>("row = 3").is_err());
/// ```
///
/// A setting without a description does not compile:
///
/// ```compile_fail
/// nlpress_technique::settings! {
///     struct Raw {
///         rows: usize,
///     }
/// }
/// ```
#[macro_export]
macro_rules! settings {
    (@meaning [$($line:literal)*] #[doc = $next:literal] $($rest:tt)*) => {
        $crate::settings!(@meaning [$($line)* $next] $($rest)*)
    };
    (@meaning [$($line:literal)*] #[$($other:tt)*] $($rest:tt)*) => {
        $crate::settings!(@meaning [$($line)*] $($rest)*)
    };
    (@meaning [$($line:literal)+]) => { concat!($($line),+) };
    (@meaning [] $like:expr) => { $like };
    (@meaning []) => { compile_error!("a setting needs a description: a doc comment, or `as` that of another") };
    ($(#[$($outer:tt)*])* $vis:vis struct $name:ident { $(
        $(#[$($attribute:tt)*])* $field_vis:vis $field:ident: $type:ty $(as $like:expr)?
    ),* $(,)? }) => {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        $(#[$($outer)*])*
        $vis struct $name { $($(#[$($attribute)*])* $field_vis $field: $type),* }

        impl $crate::settings::Settings for $name {
            const SETTINGS: &'static [$crate::settings::Setting] = &[$($crate::settings::Setting::new(
                stringify!($field),
                $crate::settings!(@meaning [] $(#[$($attribute)*])* $($like)?),
            )),*];
        }
    };
}

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

/// Reads a technique's table as two configurations: `Shared` gets its settings, `Own` the rest. `groups` are all of the
/// technique's, as its entry has them.
///
/// # Errors
/// [`BadTable`] for a key that is none of the technique's, and with the message of the configuration that refuses its
/// part.
pub fn split<Shared: Settings, Own: DeserializeOwned>(
    table: toml::Table,
    groups: &[&[Setting]],
) -> Result<(Shared, Own), BadTable> {
    only_known(&table, groups)?;
    let is_shared = |key: &str| Shared::SETTINGS.iter().any(|setting| setting.name == key);
    let (shared, own) = table.into_iter().partition(|(key, _)| is_shared(key));
    Ok((read(shared)?, read(own)?))
}

/// Refuses a table with a key that is none of the technique's settings.
pub(crate) fn only_known(table: &toml::Table, groups: &[&[Setting]]) -> Result<(), BadTable> {
    let known: Vec<&str> = groups.iter().copied().flatten().map(|setting| setting.name).collect();
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(BadTable(format!("unknown field `{key}`, {}", expected(&known)))),
        None => Ok(()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Family, Kind};
    use serde::Deserialize;

    crate::settings! {
        #[derive(Debug, PartialEq)]
        struct Frame {
            /// a share
            share: Option<f64>,
            /// steps
            steps: Option<u32>,
        }
    }

    crate::settings! {
        #[derive(Debug, PartialEq)]
        struct Own {
            /// rows
            rows: usize,
        }
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
        let kind = |settings| Kind {
            name: "test.split",
            family: Family::Clip,
            summary: "",
            source: "",
            example: "",
            on: &[],
            settings,
            parse: |_| Err("it is not read".into()),
        };
        assert_eq!(kind(ALL).settings().map(|s| s.meaning).collect::<Vec<_>>(), ["a share", "rows", "cuts"]);
        let read = |text: &str, settings| split::<Frame, Checked>(text.parse().unwrap(), settings);
        let refused = |text: &str, settings| read(text, settings).unwrap_err().to_string();
        let (frame, own) = read("rows = 3\nshare = 1", ALL).unwrap();
        assert_eq!((frame, own), (Frame { share: Some(1.0), steps: None }, Checked(3)));
        let unknown = "unknown field `row`, expected one of `share`, `rows`, `steps`";
        assert_eq!(refused("rows = 1\nrow = 2", ALL), unknown);
        assert_eq!(kind(ALL).read(&"row = 2".parse().unwrap()).unwrap_err(), unknown);
        // A field of the frame that the technique does not list is not one of its settings.
        assert_eq!(
            refused("rows = 1\nsteps = 2", &ALL[..2]),
            "unknown field `steps`, expected `share` or `rows`"
        );
        assert_eq!(refused("rows = 0", ALL), "rows is 0");
        assert_eq!(refused("share = 0.5", ALL), "missing field `rows`");
        assert!(
            refused("rows = 1\nshare = 'x'", ALL).starts_with("`share` is the text \"x\", but it must be")
        );
    }

    const SHARE: Setting = Setting::of::<Frame>("share");
    const ALL: &[&[Setting]] = &[&[SHARE], Own::SETTINGS, &[Setting::of::<Frame>("steps").saying("cuts")]];
}
