//! What `nlpress predict` and `nlpress embed` share: texts from the command line, the lines of standard input, or the rows
//! of a file, each with a line of output.
//!
//! Standard input is answered as it comes: whatever whole lines are there are answered and flushed, so another program
//! can write a line and wait for its answer, and a large file is answered in large pieces by every thread. Each line
//! of input has one line of output. A line that is no text does not cost the answers of others: its place holds no
//! answer, standard error says why, and the exit code is 2 in the end.

mod lines;
mod ordered;

use nlpress::core::shown::{counted, quoted};
use nlpress::text::{Place, TextInput};
use serde::Deserialize;
use std::borrow::Cow;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use crate::arguments::Texts;
use crate::data;
use crate::outcome::{of_stdout, refuse, tell};
use lines::{LONGEST, Lines, Piece};
use ordered::in_order;

/// Texts that a thread answers together.
const TOGETHER: usize = 256;
/// Bad lines that are described on standard error; the others are counted.
const DESCRIBED: u64 = 20;

/// Some answers, and what could not be answered.
#[derive(Default)]
struct Answered {
    out: Vec<u8>,
    bad: Vec<Bad>,
}

/// A line without an answer.
struct Bad {
    line: u64,
    why: String,
}

/// What turns texts into lines of output.
pub(super) trait Answers: Sync {
    /// Memory that is used again.
    type Room: Default;

    /// The subcommand, for messages.
    const COMMAND: &'static str;

    /// Appends the answer to a text and a line end.
    fn write(&self, asked: Asked<'_>, room: &mut Self::Room, out: &mut Vec<u8>) -> anyhow::Result<()>;

    /// Appends what stands in place of the answer to a line that is no text, and a line end.
    fn write_bad(&self, line: u64, why: &str, out: &mut Vec<u8>) -> anyhow::Result<()>;
}

/// A text with what stands beside it.
#[derive(Clone, Copy)]
pub(super) struct Asked<'t> {
    pub(super) text: &'t str,
    /// The second text of a pair.
    pub(super) pair: Option<&'t str>,
    pub(super) id: Option<&'t str>,
    /// Where it stands, when it is of a file.
    pub(super) place: Option<&'t Place>,
}

impl<'t> Asked<'t> {
    pub(super) fn input(self) -> TextInput<'t> {
        TextInput { text: self.text, pair: self.pair }
    }

    /// A text without anything beside it.
    fn alone(text: &'t str) -> Self {
        Self { text, pair: None, id: None, place: None }
    }
}

/// Answers all texts that were asked for, in their order.
pub(super) fn answer(answers: &impl Answers, texts: &Texts) -> anyhow::Result<()> {
    if let Some(rows) = data::texts(&texts.rows)? {
        data::say_notes(&rows.reading);
        let ids = rows.ids.iter().map(|id| Some(id.as_str())).chain(std::iter::repeat(None));
        let pairs = rows.pairs.iter().map(|pair| Some(pair.as_str())).chain(std::iter::repeat(None));
        let asked: Vec<Asked<'_>> = (rows.texts.iter().zip(pairs).zip(&rows.places).zip(ids))
            .map(|(((text, pair), place), id)| Asked { text, pair, id, place: Some(place) })
            .collect();
        return answer_all(answers, &asked, texts.threads);
    }
    if texts.texts != ["-"] && !texts.texts.is_empty() {
        check_texts(texts, answers)?;
        texts.texts.iter().for_each(|text| hint(text));
        let asked: Vec<Asked<'_>> = match (texts.pairs, texts.texts.as_chunks()) {
            (false, _) => texts.texts.iter().map(|text| Asked::alone(text)).collect(),
            (true, (twos, [])) => {
                twos.iter().map(|[text, pair]| Asked { pair: Some(pair), ..Asked::alone(text) }).collect()
            }
            (true, _) => {
                return Err(refuse(format!(
                    "--pairs takes texts two by two, but there are {}",
                    texts.texts.len()
                )));
            }
        };
        return answer_all(answers, &asked, texts.threads);
    }
    answer_lines(answers, texts)
}

/// A dash stands for standard input, and only there are there lines to stop at.
fn check_texts<A: Answers>(texts: &Texts, _: &A) -> anyhow::Result<()> {
    if texts.texts.iter().any(|text| text == "-") {
        return Err(refuse(format!(
            "`-` stands for standard input, which cannot be mixed with texts: give it alone; a text of one dash is \
             answered by: printf '%s\\n' - | nlpress {} ARTIFACT",
            A::COMMAND
        )));
    }
    if texts.strict {
        return Err(refuse("--strict is for the lines of standard input, but texts were given"));
    }
    Ok(())
}

/// A text that is the name of a file was probably meant to be read.
fn hint(text: &str) {
    if !text.contains(['\n', '\0']) && text.len() < 4096 && Path::new(text).is_file() {
        let file = quoted(text);
        tell!(
            "note: there is a file {text}, but its name was taken as the text; \
             its rows are answered by --data {file}, its lines by < {file}"
        );
    }
}

fn answer_all<A: Answers>(answers: &A, asked: &[Asked<'_>], threads: usize) -> anyhow::Result<()> {
    let mut pieces = asked.chunks(TOGETHER);
    let work = |piece: &[Asked<'_>], room: &mut A::Room| {
        let mut out = Vec::new();
        piece.iter().try_for_each(|asked| answers.write(*asked, room, &mut out)).map_err(refuse)?;
        Ok(out)
    };
    in_order(threads, || Ok(pieces.next()), work, |out: Vec<u8>| put(&out))
}

fn answer_lines<A: Answers>(answers: &A, texts: &Texts) -> anyhow::Result<()> {
    let mut lines = Lines::new(io::stdin());
    let (strict, how) = (texts.strict, How { strict: texts.strict, pairs: texts.pairs });
    let next = || lines.next().map_err(of_stdin);
    let work = |piece, room: &mut A::Room| answer_piece(answers, piece, how, room);
    let mut bad = 0;
    let put_in_order = |answered: Answered| {
        put(&answered.out)?;
        for Bad { line, why } in answered.bad {
            bad += 1;
            if strict {
                return Err(refuse(format!("standard input:{line}: {why}")));
            }
            if bad <= DESCRIBED {
                tell!("error: standard input:{line}: {why}");
            }
        }
        Ok(())
    };
    in_order(texts.threads, next, work, put_in_order)?;
    match bad {
        0 => Ok(()),
        n => {
            let have = if n == 1 { "has" } else { "have" };
            Err(refuse(format!("{} of standard input {have} no answer", counted(n, "line"))))
        }
    }
}

/// How lines are read.
#[derive(Clone, Copy)]
struct How {
    /// Nothing follows a line that is no text.
    strict: bool,
    /// Each has two texts.
    pairs: bool,
}

/// Two texts on a line, as JSON.
#[derive(Deserialize)]
struct Pair<'l> {
    #[serde(borrow)]
    text: Cow<'l, str>,
    #[serde(borrow)]
    pair: Cow<'l, str>,
}

impl<'l> Pair<'l> {
    fn of(line: &'l str) -> anyhow::Result<Self> {
        if line.starts_with('{') {
            // A line of JSON is the whole text: its own number would be taken for that of the input.
            let bad = |e: serde_json::Error| {
                let why = e.to_string().replace(" at line 1 column", ", column");
                anyhow::anyhow!("it is no JSON of a `text` and a `pair`: {why}")
            };
            return serde_json::from_str(line).map_err(bad);
        }
        let mut columns = line.split('\t');
        match (columns.next(), columns.next(), columns.next()) {
            (Some(text), Some(pair), None) => Ok(Self { text: text.into(), pair: pair.into() }),
            _ => {
                Err(anyhow::anyhow!("it has {}, a pair has two", counted(line.split('\t').count(), "column")))
            }
        }
    }
}

/// Answers the lines of a piece; strictly, only those before the first bad one.
fn answer_piece<A: Answers>(
    answers: &A,
    piece: Piece,
    how: How,
    room: &mut A::Room,
) -> anyhow::Result<Answered> {
    let strict = how.strict;
    let mut made = Answered::default();
    let (first, bytes) = match piece {
        Piece::Lines { first, bytes } => (first, bytes),
        Piece::TooLong { line } => {
            made.refuse(answers, line, passed_over(), strict)?;
            return Ok(made);
        }
    };
    if first == 1 && is_wide(&bytes) {
        return Err(refuse(
            "standard input looks like UTF-16: convert it, for example with iconv -f UTF-16LE",
        ));
    }
    // As text when all of it is, for then its lines are found and checked at once.
    if let Ok(text) = std::str::from_utf8(&bytes) {
        for (line, text) in (first..).zip(text.strip_suffix('\n').unwrap_or(text).split('\n')) {
            made.answer(answers, (line, text), how, room)?;
            if strict && !made.bad.is_empty() {
                break;
            }
        }
        return Ok(made);
    }
    let lines = bytes.strip_suffix(b"\n").unwrap_or(&bytes).split(|b| *b == b'\n');
    for (line, bytes) in (first..).zip(lines) {
        match std::str::from_utf8(bytes) {
            Ok(text) => made.answer(answers, (line, text), how, room)?,
            Err(error) => made.refuse(answers, line, not_utf8(line, bytes, error), strict)?,
        }
        if strict && !made.bad.is_empty() {
            break;
        }
    }
    Ok(made)
}

impl Answered {
    fn answer<A: Answers>(
        &mut self,
        answers: &A,
        (line, text): (u64, &str),
        how: How,
        room: &mut A::Room,
    ) -> anyhow::Result<()> {
        if let Some(why) = too_long(text.as_bytes()) {
            return self.refuse(answers, line, why, how.strict);
        }
        let before = self.out.len();
        let text = text.strip_suffix('\r').unwrap_or(text);
        let written = match how.pairs {
            false => answers.write(Asked::alone(text), room, &mut self.out),
            true => Pair::of(text).and_then(|Pair { text, pair }| {
                let asked = Asked { pair: Some(&*pair), ..Asked::alone(&text) };
                answers.write(asked, room, &mut self.out)
            }),
        };
        written.or_else(|error| {
            self.out.truncate(before);
            self.refuse(answers, line, error.to_string(), how.strict)
        })
    }

    /// Notes a line without an answer, and unless nothing is to follow it leaves its place.
    fn refuse(&mut self, answers: &impl Answers, line: u64, why: String, strict: bool) -> anyhow::Result<()> {
        if !strict {
            answers.write_bad(line, &why, &mut self.out)?;
        }
        self.bad.push(Bad { line, why });
        Ok(())
    }
}

/// Whether the first lines look like UTF-16 without a byte order mark: half of their bytes are zero, all on one side.
fn is_wide(bytes: &[u8]) -> bool {
    let head = &bytes[..bytes.len().min(4096)];
    let zeros = |from: usize| head.iter().skip(from).step_by(2).filter(|b| **b == 0).count();
    let (big, little) = (zeros(0), zeros(1));
    big.max(little) * 4 >= head.len().max(8) && big.min(little) * 10 <= big.max(little)
}

/// Why a line that is too long is not answered.
pub(super) fn too_long(line: &[u8]) -> Option<String> {
    (line.len() > LONGEST).then(passed_over)
}

fn passed_over() -> String {
    format!("the line is longer than {LONGEST} bytes")
}

/// Why a line is not read, of which these are bytes, or of a text that begins with it.
pub(super) fn not_utf8(line: u64, bytes: &[u8], error: std::str::Utf8Error) -> String {
    let hint = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] if line == 1 => {
            "; it looks like UTF-16: convert it with iconv -f UTF-16"
        }
        _ => "",
    };
    format!("it is not UTF-8: {error}{hint}")
}

/// Writes whole lines, and leaves nothing in a buffer: somebody may be waiting for them.
fn put(lines: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(lines).and_then(|()| out.flush()).map_err(of_stdout)?;
    Ok(())
}

fn of_stdin(error: io::Error) -> anyhow::Error {
    if error.kind() == ErrorKind::IsADirectory {
        return refuse("standard input is a folder: give a file, or --data FILE");
    }
    anyhow::Error::new(error).context("standard input cannot be read")
}
