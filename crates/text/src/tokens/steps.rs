//! What a file may ask to be done to a text before it is cut into tokens.
//!
//! Each step may make a text longer, and steps come one after the other. So their growth is bounded as a product, before
//! a text is seen.

use serde_json::{Map, Value};

/// Most steps.
const MOST: usize = 64;
/// How often lists may lie in lists.
const DEEPEST: usize = 8;
/// Most bytes that all steps together may make of one.
const MAX_GROWTH: usize = 4096;

/// The steps that the crate `tokenizers` knows, besides lists of them.
const NORMALIZERS: &[&str] = &[
    "BertNormalizer",
    "ByteLevel",
    "Lowercase",
    "NFC",
    "NFD",
    "NFKC",
    "NFKD",
    "Nmt",
    "Precompiled",
    "Prepend",
    "Replace",
    "Strip",
    "StripAccents",
];
const PRE_TOKENIZERS: &[&str] = &[
    "BertPreTokenizer",
    "ByteLevel",
    "CharDelimiterSplit",
    "Digits",
    "FixedLength",
    "Metaspace",
    "Punctuation",
    "Split",
    "UnicodeScripts",
    "Whitespace",
    "WhitespaceSplit",
];

/// Steps that were seen, and what they make of a byte.
struct Steps {
    count: usize,
    growth: usize,
}

/// Checks `normalizer` and `pre_tokenizer`.
pub(super) fn check(top: &Map<String, Value>) -> Result<(), String> {
    let mut steps = Steps { count: 0, growth: 1 };
    for (key, known) in [("normalizer", NORMALIZERS), ("pre_tokenizer", PRE_TOKENIZERS)] {
        let value = top.get(key).unwrap_or(&Value::Null);
        steps.add(value, known, DEEPEST).map_err(|problem| format!("`{key}`: {problem}"))?;
    }
    Ok(())
}

impl Steps {
    fn add(&mut self, step: &Value, known: &[&str], depth: usize) -> Result<(), String> {
        if step.is_null() {
            return Ok(());
        }
        let Some(kind) = step["type"].as_str() else { return Err("a step without a type".into()) };
        if depth == 0 {
            return Err(format!("lists in lists, deeper than {DEEPEST}"));
        }
        if kind == "Sequence" {
            let list =
                step.get("normalizers").or_else(|| step.get("pretokenizers")).and_then(Value::as_array);
            let list = list.ok_or("a sequence without a list")?;
            return list.iter().try_for_each(|one| self.add(one, known, depth - 1));
        }
        if !known.contains(&kind) {
            return Err(format!("there is no step {kind:?}"));
        }
        self.count += 1;
        if self.count > MOST {
            return Err(format!("more than {MOST} steps"));
        }
        let text = |key: &str| step[key].as_str().map_or(0, str::len);
        let growth = match kind {
            "Replace" => match step["pattern"]["String"].as_str().map_or(0, str::len) {
                0 => 1 + text("content"), // a regular expression may match nothing, everywhere
                pattern => text("content").div_ceil(pattern).max(1),
            },
            "Prepend" => 1 + text("prepend"),
            "Metaspace" => 1 + text("replacement"),
            "ByteLevel" => 2,
            "Precompiled" => 1 + charsmap(step["precompiled_charsmap"].as_str())?,
            "FixedLength" if step["length"].as_u64() == Some(0) => return Err("pieces of length 0".into()),
            _ => 1,
        };
        self.growth = self.growth.saturating_mul(growth);
        if self.growth > MAX_GROWTH {
            return Err(format!("a text could become more than {MAX_GROWTH} times as long"));
        }
        Ok(())
    }
}

/// Checks the lengths in a compiled character map of SentencePiece: a little-endian number of bytes, so many bytes of a
/// trie, and texts that end with a zero. Returns the length of the longest text.
fn charsmap(map: Option<&str>) -> Result<usize, String> {
    let bytes = map.and_then(base64).ok_or("`precompiled_charsmap` is not base64")?;
    let Some((size, rest)) = bytes.split_first_chunk() else {
        return Err("`precompiled_charsmap` is shorter than its head".into());
    };
    let size = u32::from_le_bytes(*size) as usize;
    if size < 4 || size > rest.len() {
        return Err(format!("`precompiled_charsmap` claims a trie of {size} bytes and has {}", rest.len()));
    }
    Ok(rest[size / 4 * 4..].split(|byte| *byte == 0).map(<[u8]>::len).max().unwrap_or(0))
}

/// Bytes of standard base64 with its padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let body = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - body.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(body.len() / 4 * 3 + 2);
    let (mut bits, mut held) = (0u32, 0);
    for byte in body.bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn base64_is_decoded() {
        assert_eq!(base64("bmxwcmVzcw==").as_deref(), Some(&b"nlpress"[..]));
        assert_eq!(base64("/+8A").as_deref(), Some(&[0xff, 0xef, 0][..]));
        for bad in ["a", "a===", "a b=", "ab=c"] {
            assert_eq!(base64(bad), None, "{bad}");
        }
    }

    #[test]
    fn steps_that_could_blow_a_text_up_are_refused() {
        let grow = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"});
        let said = |normalizer: Value| {
            let top = json!({ "normalizer": normalizer });
            check(top.as_object().unwrap()).map_err(|problem| problem.to_string())
        };
        assert_eq!(said(json!({"type": "Sequence", "normalizers": vec![grow.clone(); 12]})), Ok(()));
        let many = said(json!({"type": "Sequence", "normalizers": vec![grow; 13]})).unwrap_err();
        assert!(many.contains("4096 times as long"), "{many}");
        let huge = json!({"type": "Precompiled", "precompiled_charsmap": "/////wAAAAA="});
        let huge = said(huge).unwrap_err();
        assert!(huge.contains("a trie of 4294967295 bytes and has 4"), "{huge}");
        let mut deep = json!({"type": "NFC"});
        for _ in 0..8 {
            deep = json!({"type": "Sequence", "normalizers": [deep]});
        }
        assert!(said(deep).unwrap_err().contains("deeper than 8"));
        assert!(said(json!({"type": "Sequence", "normalizers": vec![json!({"type": "NFC"}); 65]})).is_err());
    }
}
