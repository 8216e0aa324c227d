//! Recipes.

use nlpress_pipeline::Recipe;
use std::path::Path;

/// A recipe in TOML.
pub fn text(bytes: &[u8], _: &Path) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| Recipe::parse(text, "fuzz.toml").is_ok())
}
