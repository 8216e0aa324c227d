//! Rows of one token each: what a network makes of a token by itself.

use super::TokenEncoder;
use crate::token_rows::{TokenRow, TokenRows};

impl TokenEncoder {
    /// A row for each of these ids: the token, with the special tokens around it that a text has.
    ///
    /// Nothing where an id is not below [`width`](Self::width).
    pub fn alone(&self, ids: &[u32]) -> Option<TokenRows> {
        let (frame, width) = (&self.plain.frame, self.width());
        if ids.iter().any(|id| *id as usize >= width) {
            return None;
        }
        let mut rows = TokenRows::empty(width);
        let [before, after] = [&frame.before, &frame.after];
        let types: Vec<u8> = match frame.typed() {
            true => {
                let kinds = |around: &[(u32, u8)]| around.iter().map(|(_, kind)| *kind).collect::<Vec<_>>();
                [kinds(before), vec![frame.inner], kinds(after)].concat()
            }
            false => Vec::new(),
        };
        let mut row: Vec<u32> = before.iter().map(|(id, _)| *id).chain([0]).collect();
        row.extend(after.iter().map(|(id, _)| *id));
        for id in ids {
            row[before.len()] = *id;
            rows.push(TokenRow { ids: &row, types: &types });
        }
        Some(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_token_stands_between_the_special_ones() {
        let json = json!({
            "version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": { "type": "Whitespace" },
            "post_processor": { "type": "BertProcessing", "cls": ["a", 1], "sep": ["b", 2] }, "decoder": null,
            "model": { "type": "WordLevel", "vocab": { "u": 0, "a": 1, "b": 2, "c": 3 }, "unk_token": "u" },
        });
        let encoder = TokenEncoder::from_json("made up", json.to_string().as_bytes(), 8).unwrap();
        let rows = encoder.alone(&[3, 1]).unwrap();
        assert_eq!((rows.len(), rows.row(0).ids, rows.row(1).ids), (2, &[1, 3, 2][..], &[1, 1, 2][..]));
        assert_eq!(rows, encoder.encode_all(&["c", "a"]).unwrap().0);
        assert!(encoder.alone(&[4]).is_none());
    }
}
