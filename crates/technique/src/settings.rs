//! Settings of techniques: one list, [`settings!`](crate::settings!), gives the names, the reader and the descriptions.
//!
//! Two configurations may share a table: a technique's frame takes its keys, the technique its own ([`split`]).

use nlpress_core::Fraction;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::ops::RangeInclusive;

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

/// A type of settings that can have a [`Rule`].
pub trait Value: Sized {
    /// What is written.
    type Raw: PartialOrd + Display;

    /// What is read; nothing where it cannot be what is written.
    fn of(raw: Self::Raw) -> Option<Self>;
}

macro_rules! values {
    ($($type:ty),*) => { $(
        impl Value for $type {
            type Raw = Self;

            fn of(raw: Self) -> Option<Self> {
                Some(raw)
            }
        }
    )* };
}

values!(bool, u8, u32, usize, f64, String);

impl Value for Fraction {
    type Raw = f64;

    fn of(raw: f64) -> Option<Self> {
        Self::try_from(raw).ok()
    }
}

/// What a setting is where it is left out, and what it may be.
#[derive(Debug)]
pub struct Rule<R> {
    default: Option<R>,
    bound: Option<Bound<R>>,
}

#[derive(Debug)]
enum Bound<R> {
    Within(RangeInclusive<R>),
    When(fn(&R) -> bool, &'static str),
}

/// A setting that may not be left out.
pub fn required<R>() -> Rule<R> {
    Rule { default: None, bound: None }
}

/// A setting that has a default.
pub fn or<R>(default: R) -> Rule<R> {
    Rule { default: Some(default), bound: None }
}

impl<R: PartialOrd + Display> Rule<R> {
    /// It lies between two values, or is one of them.
    #[must_use]
    pub fn within(self, range: RangeInclusive<R>) -> Self {
        Self { bound: Some(Bound::Within(range)), ..self }
    }

    /// It is as a sentence says that goes on from "it must be".
    #[must_use]
    pub fn when(self, is_fine: fn(&R) -> bool, bound: &'static str) -> Self {
        Self { bound: Some(Bound::When(is_fine, bound)), ..self }
    }

    /// What a setting is that was written, or left out.
    ///
    /// # Errors
    /// The key, the value and the bound, or that the setting is missing.
    pub fn read<T: Value<Raw = R>, E: serde::de::Error>(
        self,
        key: &'static str,
        given: Option<R>,
    ) -> Result<T, E> {
        let value = given.or(self.default).ok_or_else(|| E::missing_field(key))?;
        let (is_fine, bound) = match self.bound {
            None => (true, String::new()),
            Some(Bound::When(is_fine, bound)) => (is_fine(&value), bound.to_owned()),
            Some(Bound::Within(range)) => {
                (range.contains(&value), format!("between {} and {}", range.start(), range.end()))
            }
        };
        let refusal = format!("{key} is {value}, but it must be {bound}");
        T::of(value).filter(|_| is_fine).ok_or_else(|| E::custom(refusal))
    }
}

impl Rule<f64> {
    /// It is a share of something that is not nothing.
    #[must_use]
    pub fn share(self) -> Self {
        self.when(|share| *share > 0.0 && *share <= 1.0, "more than 0 and at most 1")
    }

    /// It is positive and finite.
    #[must_use]
    pub fn positive(self) -> Self {
        self.when(|x| *x > 0.0 && x.is_finite(), "positive and finite")
    }
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
/// What a setting is where it is left out, and what it may be, is a [`Rule`](crate::settings::Rule) behind `=>`; what several
/// settings must be together is a function behind the struct:
///
/// ```
/// nlpress_technique::settings! {
///     #[derive(Debug)]
///     struct Steps {
///         /// first step, from 0 to 9; 2 by default
///         first: usize => or(2).within(0..=9),
///         /// last step; required
///         last: usize => required(),
///     } => Steps::ascend
/// }
///
/// impl Steps {
///     fn ascend(&self) -> Result<(), String> {
///         if self.first <= self.last { Ok(()) } else { Err(format!("{} is before the first step", self.last)) }
///     }
/// }
///
/// let read = |text: &str| toml::from_str::<Steps>(text).map_err(|e| e.message().to_owned());
/// assert_eq!(read("last = 4").unwrap().first, 2);
/// assert_eq!(read("first = 10\nlast = 12").unwrap_err(), "first is 10, but it must be between 0 and 9");
/// assert_eq!(read("last = 1").unwrap_err(), "1 is before the first step");
/// assert_eq!(read("first = 1").unwrap_err(), "missing field `last`");
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
            const SETTINGS: &'static [$crate::settings::Setting] =
                $crate::settings!(@list $([$(#[$($attribute)*])* $($like)?] $field),*);
        }
    };
    (@list $([$($meaning:tt)*] $field:ident),*) => {
        &[$($crate::settings::Setting::new(
            stringify!($field),
            $crate::settings!(@meaning [] $($meaning)*),
        )),*]
    };
    (@read $type:ty) => { $type };
    (@read $type:ty => $rule:expr) => { Option<<$type as $crate::settings::Value>::Raw> };
    (@value $field:ident $given:expr) => { $given };
    (@value $field:ident $given:expr => $rule:expr) => { $rule.read::<_, D::Error>(stringify!($field), $given)? };
    ($(#[$($outer:tt)*])* $vis:vis struct $name:ident $(<const $parameter:ident: $of:ty>)? { $(
        $(#[$($attribute:tt)*])* $field_vis:vis $field:ident: $type:ty $(as $like:expr)? $(=> $rule:expr)?
    ),* $(,)? } $(=> $check:expr)?) => {
        $(#[$($outer)*])*
        $vis struct $name $(<const $parameter: $of>)? { $($field_vis $field: $type),* }

        impl<'de $(, const $parameter: $of)?> serde::Deserialize<'de> for $name $(<$parameter>)? {
            fn deserialize<D: serde::Deserializer<'de>>(table: D) -> Result<Self, D::Error> {
                #[allow(unused_imports)]
                use $crate::settings::{or, required};

                #[derive(serde::Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Raw {
                    $($(#[$($attribute)*])* $field: $crate::settings!(@read $type $(=> $rule)?)),*
                }

                let raw = <Raw as serde::Deserialize>::deserialize(table)?;
                let read = Self { $($field: $crate::settings!(@value $field raw.$field $(=> $rule)?)),* };
                $($check(&read).map_err(<D::Error as serde::de::Error>::custom)?;)?
                Ok(read)
            }
        }

        impl $(<const $parameter: $of>)? $crate::settings::Settings for $name $(<$parameter>)? {
            const SETTINGS: &'static [$crate::settings::Setting] =
                $crate::settings!(@list $([$(#[$($attribute)*])* $($like)?] $field),*);
        }
    };
}

/// A table of settings that cannot be read; its message names the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadTable(pub String);

impl serde::de::Error for BadTable {
    fn custom<T: Display>(why: T) -> Self {
        Self(why.to_string())
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
