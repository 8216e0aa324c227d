//! A technique's entry in the list of all techniques: its name, what it is, and how its recipe table is read.

use serde::de::DeserializeOwned;
use std::fmt;

use crate::Technique;
use crate::settings::{self, Setting};

/// The article's families of methods, and the chain of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Section 3.1: less important parameters, nodes, layers or connections go.
    Simplify,
    /// Section 3.2: regularised training, then the smallest weights go.
    Clip,
    /// Section 3.3: integers in place of floats.
    Quantize,
    /// Section 3.4: a student learns from a teacher.
    Distill,
    /// Section 3.5: training spread over processors.
    Parallel,
    /// Several of them at once.
    Chain,
    /// Ordinary training, for controls.
    Train,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::Simplify => "simplify",
            Family::Clip => "clip",
            Family::Quantize => "quantize",
            Family::Distill => "distill",
            Family::Parallel => "parallel",
            Family::Chain => "chain",
            Family::Train => "control",
        })
    }
}

/// A technique's entry, a constant beside its code.
#[derive(Clone, Copy)]
pub struct Kind {
    /// `family.method`, as in a recipe's `use`.
    pub name: &'static str,
    /// The family it is reported under.
    pub family: Family,
    /// One sentence on what it does.
    pub summary: &'static str,
    /// Paper or specification that it follows.
    pub source: &'static str,
    /// A `with` table that works on any small network, as TOML.
    pub example: &'static str,
    /// Selectors that the example works on.
    pub on: &'static [&'static str],
    /// Its settings: those of its frame and its own, as groups, in the order in which they are described.
    pub settings: &'static [&'static [Setting]],
    /// Reads a recipe's `with` table.
    pub parse: fn(&toml::Table) -> Result<Box<dyn Technique>, String>,
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kind({})", self.name)
    }
}

impl Kind {
    /// Its settings, group after group.
    pub fn settings(&self) -> impl Iterator<Item = &'static Setting> + use<> {
        self.settings.iter().copied().flatten()
    }

    /// Reads a recipe's `with` table; a value that is none of its setting is refused with what the setting may be.
    ///
    /// # Errors
    /// For a key that is none of its settings, and as [`parse`](Kind::parse).
    pub fn read(&self, with: &toml::Table) -> Result<Box<dyn Technique>, String> {
        settings::only_known(with, self.settings).map_err(|e| e.to_string())?;
        let speaks_of = |why: &str, name: &str| {
            let rest = why.strip_prefix('`').and_then(|why| why.strip_prefix(name));
            rest.is_some_and(|rest| rest.starts_with(['`', '.']))
        };
        (self.parse)(with).map_err(|why| match self.settings().find(|s| speaks_of(&why, s.name)) {
            Some(Setting { name, meaning }) => format!("{why}; {name}: {meaning}"),
            None => why,
        })
    }
}

/// Reads a `with` table as a technique's configuration: `parse: parse::<Magnitude>`.
///
/// # Errors
/// The message of serde or of the technique's own check, naming the key, the value and the bound.
pub fn parse<T: Technique + DeserializeOwned + 'static>(
    with: &toml::Table,
) -> Result<Box<dyn Technique>, String> {
    Ok(Box::new(settings::read::<T>(with.clone()).map_err(|e| e.to_string())?))
}
