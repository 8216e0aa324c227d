//! Bytes of other encodings to UTF-8, and guesses at what an unreadable file is written in.
//!
//! Nothing is guessed to *read* a file: without a byte order mark and without a setting it is UTF-8 or it is refused,
//! with the setting that would probably read it.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use encoding_rs::{WINDOWS_1250, WINDOWS_1251, WINDOWS_1252};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::io::{self, BufRead, Read};
use std::str::FromStr;

use crate::error::Looks;

/// An encoding by one of the names of the WHATWG standard: `utf-8`, `utf-16le`, `windows-1252`, `latin1`, `gbk`, …
///
/// As in browsers, `latin1` and `iso-8859-1` are Windows-1252, and `utf-16` without a byte order mark is little-endian.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TextEncoding(&'static Encoding);

impl FromStr for TextEncoding {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let plain = match name.trim().to_ascii_lowercase().as_str() {
            "latin-1" | "latin_1" => "latin1".to_owned(),
            other => other.to_owned(),
        };
        let known = Encoding::for_label_no_replacement(plain.as_bytes())
            .or_else(|| Encoding::for_label_no_replacement(plain.replace('_', "-").as_bytes()));
        known.map(Self).ok_or_else(|| {
            format!(
                "{name:?} is no encoding of the WHATWG standard: utf-8, utf-16le, utf-16be, latin-1, windows-1252, \
                 windows-1251, gbk, big5, shift_jis, euc-kr, …"
            )
        })
    }
}

impl fmt::Display for TextEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl fmt::Debug for TextEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl Serialize for TextEncoding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

impl<'de> Deserialize<'de> for TextEncoding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl TextEncoding {
    /// Its name in lower case, as the setting takes it.
    pub fn name(self) -> String {
        self.0.name().to_ascii_lowercase()
    }
}

/// What a file begins with, and what follows from it and the setting.
pub(super) struct Start {
    /// The encoding to decode from; none for UTF-8, which is checked where it is used.
    pub(super) decode: Option<&'static Encoding>,
    /// Bytes of a byte order mark, to be left out.
    pub(super) mark: usize,
}

/// Looks at the first bytes of a file.
///
/// # Errors
/// What the file looks like and what to do, when that is not what was asked for.
pub(super) fn start(head: &[u8], asked: Option<TextEncoding>) -> Result<Start, String> {
    if head.starts_with(b"\xff\xfe\0\0") || head.starts_with(b"\0\0\xfe\xff") {
        return Err(
            "the file is UTF-32, which is not read: convert it, for example with `iconv -t utf-8`".into()
        );
    }
    let marked = Encoding::for_bom(head);
    match (marked, asked) {
        (Some((encoding, mark)), None) => Ok(Start { decode: other(encoding), mark }),
        (Some((encoding, mark)), Some(asked)) => {
            // `utf-16` leaves the order of the bytes to the mark.
            let agree = encoding == asked.0 || (asked.0 == UTF_16LE && encoding == UTF_16BE);
            if !agree {
                return Err(format!(
                    "the file begins with the byte order mark of {}, but `--encoding {asked}` was given",
                    TextEncoding(encoding)
                ));
            }
            Ok(Start { decode: other(encoding), mark })
        }
        (None, Some(asked)) => Ok(Start { decode: other(asked.0), mark: 0 }),
        (None, None) => match wide(head) {
            Some(looks) => Err(format!(
                "the file looks like UTF-16 without a byte order mark: give `--encoding {looks}`, or convert it, for \
                 example with `iconv -f {looks} -t utf-8`"
            )),
            None => Ok(Start { decode: None, mark: 0 }),
        },
    }
}

fn other(encoding: &'static Encoding) -> Option<&'static Encoding> {
    (encoding != UTF_8).then_some(encoding)
}

/// UTF-16 by its zero bytes: text has none, but in UTF-16 every other byte of a Latin letter, a comma or a line end is.
fn wide(head: &[u8]) -> Option<TextEncoding> {
    let zeros = |from: usize| head.iter().skip(from).step_by(2).filter(|&&b| b == 0).count();
    let (big, little) = (zeros(0), zeros(1));
    let (many, few) = (big.max(little), big.min(little));
    if many * 40 < head.len().max(40) || few * 10 > many {
        return None;
    }
    Some(TextEncoding(if little > big { UTF_16LE } else { UTF_16BE }))
}

/// Gathers bytes that are not UTF-8 and says what they may be.
#[derive(Default)]
pub(super) struct Suspect {
    bytes: Vec<u8>,
}

/// Bytes of unreadable rows that are kept for a guess.
const MOST_SUSPECT: usize = 1 << 16;

impl Suspect {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let room = MOST_SUSPECT.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The settings that probably read them, the likeliest first, each with a word as it would read: several where few bytes
    /// decide, none when there are no such bytes.
    pub(super) fn looks(&self) -> Vec<Looks> {
        if self.bytes.is_empty() {
            return Vec::new();
        }
        let looks = |encoding| Looks { encoding: TextEncoding(encoding).name(), word: self.word(encoding) };
        if let Some(wide) = wide(&self.bytes) {
            return vec![looks(wide.0)];
        }
        let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
        detector.feed(&self.bytes, true);
        let mut found = vec![looks(detector.guess(None, Utf8Detection::Deny))];
        if self.bytes.iter().filter(|b| !b.is_ascii()).count() < ENOUGH {
            let others = [WINDOWS_1252, WINDOWS_1250, WINDOWS_1251].map(looks);
            found
                .extend(others.into_iter().find(|o| o.word != found[0].word && !o.word.contains('\u{fffd}')));
        }
        found
    }

    /// The first word with bytes beyond ASCII.
    fn word(&self, encoding: &'static Encoding) -> String {
        let ends = |b: &u8| b.is_ascii_whitespace() || b",;|\"".contains(b);
        let word = self.bytes.split(ends).find(|word| !word.is_ascii()).unwrap_or_default();
        let (word, _) = encoding.decode_without_bom_handling(word);
        word.chars().filter(|c| !c.is_control()).take(MOST_SHOWN).collect()
    }
}

/// So many bytes beyond ASCII tell encodings apart.
const ENOUGH: usize = 16;
/// Characters of a word that are shown.
const MOST_SHOWN: usize = 24;

/// A byte sequence that the encoding does not have.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("not valid {}", encoding.name())]
pub(super) struct Malformed {
    pub(super) encoding: &'static Encoding,
    /// The line, from 1.
    pub(super) line: u64,
}

/// Decodes to UTF-8 while it reads.
pub(super) struct Decoding<R> {
    inner: R,
    decoder: Decoder,
    out: Vec<u8>,
    /// What of `out` is still to be handed out.
    ready: std::ops::Range<usize>,
    lines: u64,
    /// Comes after what is ready.
    fault: Option<Malformed>,
    ended: bool,
}

const BUFFER: usize = 1 << 16;

impl<R: BufRead> Decoding<R> {
    pub(super) fn new(inner: R, encoding: &'static Encoding) -> Self {
        Self {
            inner,
            decoder: encoding.new_decoder_without_bom_handling(),
            out: vec![0; BUFFER],
            ready: 0..0,
            lines: 0,
            fault: None,
            ended: false,
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        while self.ready.is_empty() && !self.ended && self.fault.is_none() {
            let bytes = self.inner.fill_buf()?;
            let last = bytes.is_empty();
            let (result, read, written) =
                self.decoder.decode_to_utf8_without_replacement(bytes, &mut self.out, last);
            self.inner.consume(read);
            self.ready = 0..written;
            self.lines += self.out[..written].iter().filter(|&&b| b == b'\n').count() as u64;
            match result {
                DecoderResult::InputEmpty => self.ended = last,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => {
                    self.fault = Some(Malformed { encoding: self.decoder.encoding(), line: self.lines + 1 });
                }
            }
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Decoding<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        if let (true, Some(fault)) = (self.ready.is_empty(), self.fault) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, fault));
        }
        let n = buffer.len().min(self.ready.len());
        buffer[..n].copy_from_slice(&self.out[self.ready.start..self.ready.start + n]);
        self.ready.start += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8], asked: Option<&str>) -> Result<String, String> {
        let asked = asked.map(|name| name.parse().unwrap());
        let start = start(bytes, asked)?;
        let rest = &bytes[start.mark..];
        let Some(encoding) = start.decode else { return Ok(String::from_utf8(rest.to_vec()).unwrap()) };
        let mut text = String::new();
        let read = Decoding::new(io::BufReader::with_capacity(3, rest), encoding).read_to_string(&mut text);
        read.map_err(|e| e.to_string())?;
        Ok(text)
    }

    fn utf16(text: &str, little: bool) -> Vec<u8> {
        text.encode_utf16().flat_map(|u| if little { u.to_le_bytes() } else { u.to_be_bytes() }).collect()
    }

    #[test]
    fn marks_and_settings_decode() {
        let text = "text,label\nnaïve 漢字 😀,ü\n";
        for little in [true, false] {
            let plain = utf16(text, little);
            let marked = utf16(&format!("\u{feff}{text}"), little);
            let name = if little { "utf-16le" } else { "utf-16be" };
            assert_eq!(decode(&marked, None).unwrap(), text);
            assert_eq!(decode(&marked, Some("utf-16")).unwrap(), text);
            assert_eq!(decode(&marked, Some(name)).unwrap(), text);
            assert_eq!(decode(&plain, Some(name)).unwrap(), text);
            let refused = decode(&plain, None).unwrap_err();
            assert!(refused.contains(name), "{refused}");
        }
        assert_eq!(decode(b"\xef\xbb\xbfab", None).unwrap(), "ab");
        for name in ["latin-1", "latin1", "ISO-8859-1", "windows-1252", "Windows_1252", "cp1252"] {
            assert_eq!(decode(b"caf\xe9 \x80", Some(name)).unwrap(), "café €", "{name}");
        }
        assert_eq!(decode(b"\xc4\xe3\xba\xc3", Some("gbk")).unwrap(), "你好");
        assert!(decode(b"\xff\xfe\0\0", None).unwrap_err().contains("UTF-32"));
        assert!(decode(b"\xff\xfea\0", Some("utf-8")).unwrap_err().contains("utf-16le"));
        assert!("klingon".parse::<TextEncoding>().is_err() && "replacement".parse::<TextEncoding>().is_err());
    }

    #[test]
    fn what_an_encoding_does_not_have_is_an_error_with_its_line() {
        let mut bytes = utf16("a\nb\n", true);
        bytes.extend([0x00, 0xd8, b'c', 0]); // half a pair
        let mut reader = Decoding::new(&bytes[..], UTF_16LE);
        let mut text = Vec::new();
        let error = reader.read_to_end(&mut text).unwrap_err();
        let fault = error.get_ref().and_then(|e| e.downcast_ref::<Malformed>()).unwrap();
        assert_eq!((fault.line, &text[..]), (3, &b"a\nb\n"[..]));
        assert!(decode(b"\xff\xfea\0b", None).unwrap_err().contains("UTF-16LE"), "an odd number of bytes");
    }

    #[test]
    fn guesses_name_the_usual_encodings() {
        let looks = |bytes: &[u8]| {
            let mut suspect = Suspect::default();
            suspect.add(bytes);
            suspect.looks().into_iter().map(|l| (l.encoding, l.word)).collect::<Vec<_>>()
        };
        let is = |encoding: &str, word: &str| (encoding.to_owned(), word.to_owned());
        assert_eq!(looks(b""), []);
        let french = looks(b"un caf\xe9 tr\xe8s d\xe9licieux, voil\xe0 l'\xe9t\xe9");
        assert_eq!(french[0], is("windows-1252", "café"));
        assert_eq!(looks(&utf16("un café", false))[0].0, "utf-16be");
        // One sign of money tells nothing, so that the user is shown what it would be.
        let pounds = looks(b"costs,\xa35,pos\n");
        assert!(pounds.len() == 2 && pounds.contains(&is("windows-1252", "£5")), "{pounds:?}");
        let russian = b"\xcf\xf0\xe8\xe2\xe5\xf2, \xea\xe0\xea \xe4\xe5\xeb\xe0? \xd5\xee\xf0\xee\xf8\xe8\xe9 \xf4\xe8\xeb\xfc\xec";
        assert_eq!(looks(russian), [is("windows-1251", "Привет")]);
    }
}
