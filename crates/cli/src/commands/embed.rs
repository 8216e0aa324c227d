//! `nlpress embed`: the vector of each text, as a line of JSON.

use nlpress::core::shown::escaped;
use nlpress::graph::Output;
use nlpress::runtime::{Scratch, Session};
use std::io::Write;

use super::open;
use crate::arguments::Embed;
use crate::commands::texts::{self, Answers, Asked};
use crate::outcome::refuse;

/// Embeds texts in the form that was asked for.
struct Vectors<'s> {
    session: &'s Session,
    /// The artifact's file, for messages.
    file: String,
    json: bool,
}

pub(crate) fn embed(arguments: &Embed) -> anyhow::Result<()> {
    let session = open(&arguments.artifact)?;
    let file = arguments.artifact.display().to_string();
    let what = match session.outline().graph.output {
        Output::Embedding => None,
        Output::Logits => Some("logits of classes"),
        Output::Scores => Some("scores"),
    };
    if let Some(what) = what {
        return Err(refuse(format!("{file}: its network makes {what}: ask it by `nlpress predict`")));
    }
    texts::answer(&Vectors { session: &session, file, json: arguments.json }, &arguments.texts)
}

impl Answers for Vectors<'_> {
    type Room = Scratch;

    const COMMAND: &'static str = "embed";

    fn write(&self, asked: Asked<'_>, room: &mut Scratch, out: &mut Vec<u8>) -> anyhow::Result<()> {
        let place = || asked.place.map(|place| format!("{place}: ")).unwrap_or_default();
        let vector = self.session.answer(&asked.input(), room);
        let vector = vector.map_err(|e| refuse(format!("{}{}: {e}", place(), self.file)))?;
        match (self.json, asked.id) {
            (true, Some(id)) => write!(out, "{{\"id\":{},\"embedding\":", serde_json::to_string(id)?)?,
            (true, None) => out.extend(b"{\"embedding\":"),
            (false, Some(id)) => write!(out, "{}\t", escaped(id))?,
            (false, None) => {}
        }
        serde_json::to_writer(&mut *out, vector)?;
        if self.json {
            let seen = room.seen();
            write!(out, ",\"known\":{},\"tokens\":{}}}", seen.known, seen.tokens)?;
        }
        out.push(b'\n');
        Ok(())
    }

    fn write_bad(&self, line: u64, why: &str, out: &mut Vec<u8>) -> anyhow::Result<()> {
        match self.json {
            true => writeln!(out, "{}", serde_json::json!({ "line": line, "error": why }))?,
            false => out.extend(b"null\n"),
        }
        Ok(())
    }
}
