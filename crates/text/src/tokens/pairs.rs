//! Two texts as one example: the special tokens around and between them, and how many tokens of each stay.

use serde_json::Value;

use super::frame::{id, kind};

/// Most pieces of a pair.
const MOST: usize = 64;

/// What a pair consists of, in order; each text is there once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PairFrame {
    pieces: Vec<Piece>,
}

/// A piece of a pair, with the type of its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Special(u32, u8),
    First(u8),
    Second(u8),
}

impl PairFrame {
    /// The frame that a post-processor puts around two texts.
    pub(super) fn of(processor: &Value, width: usize) -> Result<Self, String> {
        let pieces = pieces(processor, 0)?.unwrap_or_else(|| vec![Piece::First(0), Piece::Second(1)]);
        let count = |of: fn(&Piece) -> bool| pieces.iter().filter(|piece| of(piece)).count();
        let texts = (
            count(|piece| matches!(piece, Piece::First(_))),
            count(|piece| matches!(piece, Piece::Second(_))),
        );
        if texts != (1, 1) || pieces.len() > MOST {
            return Err("`post_processor.pair` must have both texts once, and few special tokens".into());
        }
        let beyond = |piece: &&Piece| matches!(piece, Piece::Special(id, _) if *id as usize >= width);
        match pieces.iter().find(beyond) {
            Some(_) => Err("`post_processor.pair` adds a token that is not there".into()),
            None => Ok(Self { pieces }),
        }
    }

    /// Special tokens around and between the texts.
    pub(super) fn len(&self) -> usize {
        self.pieces.len() - 2
    }

    /// One more than the largest type of a token.
    pub(super) fn types(&self) -> usize {
        let kind = |piece: &Piece| match piece {
            Piece::Special(_, kind) | Piece::First(kind) | Piece::Second(kind) => 1 + usize::from(*kind),
        };
        self.pieces.iter().map(kind).max().unwrap_or(1)
    }

    /// Puts two texts together; types only where some token has another than 0.
    pub(super) fn join(&self, first: &[u32], second: &[u32], ids: &mut Vec<u32>, types: &mut Vec<u8>) {
        ids.clear();
        types.clear();
        for piece in &self.pieces {
            let (own, kind): (&[u32], u8) = match piece {
                Piece::Special(id, kind) => (std::slice::from_ref(id), *kind),
                Piece::First(kind) => (first, *kind),
                Piece::Second(kind) => (second, *kind),
            };
            ids.extend_from_slice(own);
            types.resize(ids.len(), kind);
        }
        if self.types() == 1 {
            types.clear();
        }
    }
}

/// How many tokens of two texts of so many stay, of `room` at most: the longer one is cut first, as `tokenizers` does.
pub(super) fn longest_first(lengths: [usize; 2], room: usize) -> [usize; 2] {
    if lengths[0] + lengths[1] <= room {
        return lengths;
    }
    let shorter = lengths[0].min(lengths[1]);
    let (less, more) =
        if 2 * shorter <= room { (shorter, room - shorter) } else { (room / 2, room - room / 2) };
    if lengths[0] > lengths[1] { [more, less] } else { [less, more] }
}

/// The pieces of a pair; none where a processor adds nothing.
fn pieces(processor: &Value, depth: usize) -> Result<Option<Vec<Piece>>, String> {
    let special = |key: &str| -> Result<Piece, String> { Ok(Piece::Special(id(&processor[key][1])?, 0)) };
    let (first, second) = (Piece::First(0), Piece::Second(0));
    match processor["type"].as_str() {
        None if processor.is_null() => Ok(None),
        Some("ByteLevel") => Ok(None), // moves offsets, which nobody asks for
        Some("BertProcessing") => {
            let (cls, sep) = (special("cls")?, special("sep")?);
            let Piece::Special(sep_id, _) = sep else { return Ok(None) };
            Ok(Some(vec![cls, first, sep, Piece::Second(1), Piece::Special(sep_id, 1)]))
        }
        Some("RobertaProcessing") => {
            let (cls, sep) = (special("cls")?, special("sep")?);
            Ok(Some(vec![cls, first, sep, sep, second, sep]))
        }
        Some("TemplateProcessing") => template(processor).map(Some),
        Some("Sequence") if depth < 4 => {
            let list = processor["processors"].as_array().ok_or("`post_processor` has no list")?;
            let mut found = None;
            for one in list {
                match (pieces(one, depth + 1)?, &found) {
                    (Some(_), Some(_)) => return Err("`post_processor` has two frames for pairs".into()),
                    (Some(own), None) => found = Some(own),
                    (None, _) => {}
                }
            }
            Ok(found)
        }
        _ => Err("`post_processor` cannot be read".into()),
    }
}

fn template(processor: &Value) -> Result<Vec<Piece>, String> {
    let list = processor["pair"].as_array().ok_or("`post_processor.pair` is not a list")?;
    let mut pieces = Vec::new();
    for piece in list {
        if let Some(text) = piece.get("Sequence") {
            let kind = kind(&text["type_id"])?;
            pieces.push(if text["id"] == "A" { Piece::First(kind) } else { Piece::Second(kind) });
            continue;
        }
        let special = &piece["SpecialToken"];
        let ids = special["id"].as_str().and_then(|name| processor["special_tokens"].get(name));
        let ids = ids.and_then(|token| token["ids"].as_array());
        let kind = kind(&special["type_id"])?;
        for one in ids.ok_or("`post_processor.pair` has a piece of no kind")? {
            pieces.push(Piece::Special(id(one)?, kind));
        }
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn joined(processor: Value) -> (Vec<u32>, Vec<u8>) {
        let (mut ids, mut types) = (Vec::new(), Vec::new());
        PairFrame::of(&processor, 100).unwrap().join(&[1, 2], &[3], &mut ids, &mut types);
        (ids, types)
    }

    #[test]
    fn every_processor_has_its_frame() {
        let bert = json!({"type": "BertProcessing", "sep": ["[SEP]", 9], "cls": ["[CLS]", 8]});
        assert_eq!(joined(bert), (vec![8, 1, 2, 9, 3, 9], vec![0, 0, 0, 0, 1, 1]));
        let roberta = json!({"type": "RobertaProcessing", "sep": ["</s>", 9], "cls": ["<s>", 8]});
        assert_eq!(joined(roberta.clone()), (vec![8, 1, 2, 9, 9, 3, 9], vec![]));
        let sequence = json!({"type": "Sequence", "processors": [{"type": "ByteLevel"}, roberta]});
        assert_eq!(joined(sequence).0, [8, 1, 2, 9, 9, 3, 9]);
        assert_eq!(joined(Value::Null), (vec![1, 2, 3], vec![0, 0, 1]));
        let text = |id: &str, kind: u8| json!({"Sequence": {"id": id, "type_id": kind}});
        let special = json!({"SpecialToken": {"id": "x", "type_id": 0}});
        let template = |pair: Value| json!({"type": "TemplateProcessing", "pair": pair, "special_tokens": {"x": {"ids": [7, 6]}}});
        let pair = json!([text("B", 1), special, text("A", 0)]);
        assert_eq!(joined(template(pair)), (vec![3, 7, 6, 1, 2], vec![1, 0, 0, 0, 0]));
        let refused = |pair: Value| PairFrame::of(&template(pair), 100).unwrap_err();
        assert!(refused(json!([text("A", 0), text("A", 0)])).contains("both texts once"));
        assert!(refused(json!([text("A", 0)])).contains("both texts once"));
        assert!(
            refused(json!([text("A", 0), text("B", 0), {"SpecialToken": {"id": "y"}}])).contains("no kind")
        );
        let beyond = json!({"type": "BertProcessing", "sep": ["[SEP]", 100], "cls": ["[CLS]", 8]});
        assert!(PairFrame::of(&beyond, 100).unwrap_err().contains("not there"));
    }

    proptest! {
        #[test]
        fn lengths_are_those_of_the_crate(first in 0_usize..40, second in 0_usize..40, room in 1_usize..50) {
            let params = tokenizers::TruncationParams { max_length: room, ..Default::default() };
            let encoding = |tokens: usize| {
                let tokens = vec![tokenizers::Token::new(1, "a".into(), (0, 1)); tokens];
                tokenizers::Encoding::from_tokens(tokens, 0)
            };
            let (a, b) = tokenizers::truncate_encodings(encoding(first), Some(encoding(second)), &params).unwrap();
            prop_assert_eq!(longest_first([first, second], room), [a.len(), b.unwrap().len()]);
        }
    }
}
