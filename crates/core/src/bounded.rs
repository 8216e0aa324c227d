//! Lists and maps from files that are refused when they are too long, before they take memory.
//!
//! For `#[serde(deserialize_with = "…")]`. A few bytes of JSON become a few dozen in memory, so a file within its limit
//! can ask for gigabytes; a list that can only be short says so here. This module refuses to know what is listed.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// A list of at most `MOST` entries.
///
/// # Errors
/// Those of the format, and one for the entry beyond the last.
pub fn list<'de, D, T, const MOST: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(List::<T, MOST>(PhantomData))
}

/// A map of at most `MOST` entries, no key twice.
///
/// # Errors
/// Those of the format, one for the entry beyond the last, and one for a key that is there already.
pub fn map<'de, D, K, V, const MOST: usize>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord + fmt::Display,
    V: Deserialize<'de>,
{
    deserializer.deserialize_map(Map::<K, V, MOST>(PhantomData))
}

struct List<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for List<T, MOST> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MOST} entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element()? {
            if list.len() == MOST {
                return Err(A::Error::custom(format!("a list of more than {MOST} entries")));
            }
            list.push(entry);
        }
        Ok(list)
    }
}

struct Map<K, V, const MOST: usize>(PhantomData<(K, V)>);

impl<'de, K, V, const MOST: usize> Visitor<'de> for Map<K, V, MOST>
where
    K: Deserialize<'de> + Ord + fmt::Display,
    V: Deserialize<'de>,
{
    type Value = BTreeMap<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a map of at most {MOST} entries")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<BTreeMap<K, V>, A::Error> {
        let mut map = BTreeMap::new();
        while let Some(key) = entries.next_key::<K>()? {
            if map.len() == MOST {
                return Err(A::Error::custom(format!("a map of more than {MOST} entries")));
            }
            if map.contains_key(&key) {
                let key = key.to_string();
                return Err(A::Error::custom(format!(
                    "the key `{}` is there twice",
                    crate::shown::shown(&key)
                )));
            }
            map.insert(key, entries.next_value()?);
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Both {
        #[serde(default, deserialize_with = "list::<_, _, 3>")]
        list: Vec<u8>,
        #[serde(default, deserialize_with = "map::<_, _, _, 2>")]
        map: BTreeMap<String, u8>,
    }

    #[test]
    fn what_is_too_long_or_twice_is_refused() {
        let read = |text: &str| serde_json::from_str::<Both>(text).map_err(|e| e.to_string());
        assert_eq!(read("{\"list\": [1, 2, 3]}").unwrap().list, [1, 2, 3]);
        assert!(read("{\"list\": [1, 2, 3, 4]}").err().unwrap().contains("more than 3 entries"));
        assert_eq!(read("{\"map\": {\"a\": 1, \"b\": 2}}").unwrap().map.len(), 2);
        assert!(read("{\"map\": {\"a\": 1, \"b\": 2, \"c\": 3}}").err().unwrap().contains("more than 2"));
        assert!(read("{\"map\": {\"a\": 1, \"a\": 2}}").err().unwrap().contains("`a` is there twice"));
    }
}
