//! Settings that several techniques read alike.

use nlpress_packed::{Grid, Per};
use serde::{Deserialize, Deserializer};

use crate::rounding::Clip;
use crate::{QuantError, sites};

/// What is said of a `per` that is none.
const PER_BOUND: &str = "\"channel\", \"tensor\", \"row\" or a number of inputs from 16 to 128";

/// Reads `per`.
pub(crate) fn per<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Per>, D::Error> {
    let bad = |value: String| QuantError::setting("per", value, PER_BOUND);
    let per = match toml::Value::deserialize(from)? {
        toml::Value::String(word) => match word.as_str() {
            "channel" => Ok(Per::Channel),
            "tensor" => Ok(Per::Tensor),
            "row" => Ok(Per::Row),
            other => Err(bad(format!("{other:?}"))),
        },
        toml::Value::Integer(size @ 16..=128) => Ok(Per::Group(size as u8)),
        other => Err(bad(other.to_string())),
    };
    per.map(Some).map_err(serde::de::Error::custom)
}

impl Clip {
    /// Reads a clip by its name.
    pub(crate) fn read(word: &str) -> Result<Self, QuantError> {
        let clips = [("max", Clip::Max), ("mse", Clip::Mse)];
        sites::choose("clip", word, "\"max\" or \"mse\"", &clips)
    }
}

/// Reads a grid of up to 8 bits by its name.
pub(crate) fn grid(word: &str) -> Result<Grid, QuantError> {
    let grids = Grid::ALL.map(|grid| (grid.name(), grid));
    let bound = "\"int8\", \"int4\", \"int3\", \"int2\", \"ternary\" or \"binary\"";
    sites::choose("grid", word, bound, &grids[2..])
}
