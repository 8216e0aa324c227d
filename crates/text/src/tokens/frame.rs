//! The special tokens around a text, read off a `post_processor`.

use serde_json::Value;

/// Most special tokens around a text.
const MOST: usize = 64;

/// Special tokens before and after a text, each with its type, and the type of the tokens between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) before: Vec<(u32, u8)>,
    pub(super) after: Vec<(u32, u8)>,
    pub(super) inner: u8,
}

impl Frame {
    /// The frame that a post-processor puts around a single text.
    pub(super) fn of(processor: &Value, width: usize) -> Result<Self, String> {
        let mut frame = Self::default();
        frame.add(processor, 0)?;
        if frame.len() > MOST {
            return Err(format!("{} special tokens around a text, more than {MOST}", frame.len()));
        }
        match frame.before.iter().chain(&frame.after).find(|(id, _)| *id as usize >= width) {
            Some((id, _)) => Err(format!("`post_processor` adds the token {id}, which is not there")),
            None => Ok(frame),
        }
    }

    /// Special tokens around a text.
    pub(super) fn len(&self) -> usize {
        self.before.len() + self.after.len()
    }

    /// Whether a token has another type than 0.
    pub(super) fn typed(&self) -> bool {
        self.types() > 1
    }

    /// One more than the largest type of a token.
    pub(super) fn types(&self) -> usize {
        let around = self.before.iter().chain(&self.after).map(|(_, kind)| *kind);
        1 + usize::from(around.fold(self.inner, u8::max))
    }

    /// A processor that works on what the ones before it made.
    fn add(&mut self, processor: &Value, depth: usize) -> Result<(), String> {
        if processor.is_null() {
            return Ok(());
        }
        match processor["type"].as_str() {
            Some("ByteLevel") => Ok(()), // moves offsets, which nobody asks for
            Some("BertProcessing" | "RobertaProcessing") => {
                self.before.insert(0, (id(&processor["cls"][1])?, 0));
                self.after.push((id(&processor["sep"][1])?, 0));
                Ok(())
            }
            Some("TemplateProcessing") => self.template(processor),
            Some("Sequence") if depth < 4 => {
                let list = processor["processors"].as_array().ok_or("`post_processor` has no list")?;
                list.iter().try_for_each(|one| self.add(one, depth + 1))
            }
            _ => Err(format!("`post_processor` is {}, which cannot be read", short(&processor["type"]))),
        }
    }

    fn template(&mut self, processor: &Value) -> Result<(), String> {
        let pieces = processor["single"].as_array().ok_or("`post_processor.single` is not a list")?;
        let is_text = |piece: &&Value| piece.get("Sequence").is_some();
        if pieces.iter().filter(is_text).count() != 1 {
            return Err("`post_processor.single` must have the text once".into());
        }
        let (mut before, mut after, mut past) = (Vec::new(), Vec::new(), false);
        for piece in pieces {
            if let Some(text) = piece.get("Sequence") {
                if text["id"].as_str() != Some("A") {
                    return Err("`post_processor.single` has a second text".into());
                }
                self.inner = kind(&text["type_id"])?;
                past = true;
                continue;
            }
            let special = &piece["SpecialToken"];
            let name = special["id"].as_str().ok_or("`post_processor.single` has a piece of no kind")?;
            let Some(ids) = processor["special_tokens"].get(name).and_then(|token| token["ids"].as_array())
            else {
                return Err(format!("`post_processor` does not say what {name:?} is"));
            };
            let kind = kind(&special["type_id"])?;
            let side = if past { &mut after } else { &mut before };
            for one in ids {
                side.push((id(one)?, kind));
            }
        }
        before.append(&mut self.before);
        self.before = before;
        self.after.append(&mut after);
        Ok(())
    }
}

pub(super) fn id(value: &Value) -> Result<u32, String> {
    let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
    id.ok_or_else(|| format!("`post_processor` has the id {}", short(value)))
}

pub(super) fn kind(value: &Value) -> Result<u8, String> {
    let kind = if value.is_null() { Some(0) } else { value.as_u64() };
    let kind = kind.and_then(|kind| u8::try_from(kind).ok());
    kind.ok_or_else(|| format!("`post_processor` has the type {}: must be 0 to 255", short(value)))
}

fn short(value: &Value) -> String {
    nlpress_core::shown::message(value)
}
