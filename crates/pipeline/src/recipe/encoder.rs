//! Checks the encoder of a recipe, whose keys depend on its kind.

use nlpress_technique::told;
use nlpress_text::{EncoderTable, TextError};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::Path;
use toml::Spanned;

use super::RecipeError;
use super::raw::Table;
use super::reader::{Reader, with_example};

impl Reader<'_> {
    /// How texts become rows or tokens; the files that it names are read, or found.
    pub(super) fn encoder(
        &self,
        raw: Option<Spanned<Table>>,
        folder: &Path,
    ) -> Result<EncoderTable, RecipeError> {
        let Some(raw) = raw else { return Ok(EncoderTable::default()) };
        let at = raw.span().start;
        let mut table = raw.into_inner();
        let kind = table.remove("kind");
        let places: BTreeMap<String, usize> =
            table.iter().map(|(key, value)| (key.clone(), value.span().start)).collect();
        let table: toml::Table = table.into_iter().map(|(key, value)| (key, value.into_inner())).collect();
        let encoder = match kind.as_ref().map_or(Some("bag"), |kind| kind.get_ref().as_str()) {
            Some("bag") => EncoderTable::Bag(self.table(table, at, &places)?),
            Some("tokens") => EncoderTable::Tokens(self.table(table, at, &places)?),
            _ => {
                let why = "kind must be \"bag\" or \"tokens\"";
                return Err(self.refuse(kind.map(|kind| kind.span().start), why));
            }
        };
        encoder.read(folder).map_err(|e| {
            let of = if let TextError::Setting { setting, .. } = &e { places.get(*setting) } else { None };
            self.refuse(Some(*of.unwrap_or(&at)), e.to_string())
        })
    }

    /// Reads a table of settings that stands there, with the place of each.
    fn table<T: DeserializeOwned>(
        &self,
        table: toml::Table,
        at: usize,
        places: &BTreeMap<String, usize>,
    ) -> Result<T, RecipeError> {
        toml::Value::Table(table).try_into().map_err(|e: toml::de::Error| {
            let display = e.to_string();
            let keys = display.trim_end().rsplit_once("\nin ").map(|(_, keys)| keys.trim_matches('`'));
            let key = keys.and_then(|keys| keys.split('.').next());
            // Of a key that is not known, the message has the name.
            let unknown = || e.message().strip_prefix("unknown field `")?.split('`').next();
            let place = key.or_else(unknown).and_then(|key| places.get(key));
            self.refuse(Some(*place.unwrap_or(&at)), with_example(told(&e), key))
        })
    }
}
