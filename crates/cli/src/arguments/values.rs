//! What the values of options may be: refused before any file is read.

use clap::builder::{PathBufValueParser, TypedValueParser};
use nlpress::eval::turns::MOST_ROUNDS;
use std::path::{Path, PathBuf};

use super::Widths;

/// Most classes or words that can be asked for.
const MOST_SHOWN: u64 = 1 << 20;
/// Most repetitions with different seeds.
const MOST_SEEDS: u64 = 100;

/// A place to write to: no option writes to standard output by `-`, unless it says so.
pub(super) fn place() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match path == Path::new("-") {
        true => Err("standard output is no place for it: give a path (./- for a file of that name)"),
        false => Ok(path),
    })
}

pub(super) fn seeds(text: &str) -> Result<u32, String> {
    whole(text, 1, MOST_SEEDS).map(|seeds| seeds as u32)
}

pub(super) fn rounds(text: &str) -> Result<usize, String> {
    whole(text, 5, MOST_ROUNDS as u64)
}

/// How many classes are shown of a text.
pub(super) fn class_count(text: &str) -> Result<usize, String> {
    whole(text, 1, MOST_SHOWN)
}

/// How many words are shown of a text.
pub(super) fn word_count(text: &str) -> Result<usize, String> {
    whole(text, 1, MOST_SHOWN)
}

pub(super) fn threads(text: &str) -> Result<usize, String> {
    whole(text, 1, 1024)
}

/// Shares of a batch, as `parallel.data` takes them.
pub(super) fn shares(text: &str) -> Result<usize, String> {
    whole(text, 1, 256)
}

/// Rows, or how wide something is, that is made up to be timed.
pub(super) fn made_up(text: &str) -> Result<usize, String> {
    whole(text, 1, 1 << 20)
}

/// Memory, up to 2^60 bytes.
pub(super) fn mebibytes(text: &str) -> Result<u64, String> {
    whole(text, 1, 1 << 40).map(|mebibytes| mebibytes as u64)
}

fn whole(text: &str, least: u64, most: u64) -> Result<usize, String> {
    let number = text.parse::<u64>().ok().filter(|n| (least..=most).contains(n));
    let number = number.and_then(|n| usize::try_from(n).ok());
    number.ok_or_else(|| format!("it must be a whole number from {least} to {most}"))
}

/// A number from 0 to 1.
pub(super) fn share(text: &str) -> Result<f32, String> {
    let number = text.parse().ok().filter(|x| (0.0..=1.0).contains(x));
    number.ok_or_else(|| "it must be a number from 0 to 1".into())
}

/// Points of quality, from 0 to 100.
pub(super) fn points(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|x| (0.0..=100.0).contains(x));
    number.ok_or_else(|| "it must be a number from 0 to 100".into())
}

/// Minutes, up to a week.
pub(super) fn minutes(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|x: &f64| *x > 0.0 && *x <= 10_080.0);
    number.ok_or_else(|| "it must be a number of minutes above 0 and up to 10080".into())
}

/// A number from 0 on and below 1.
pub(super) fn dropout(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|x| (0.0..1.0).contains(x));
    number.ok_or_else(|| "it must be a number of at least 0 and less than 1".into())
}

/// A number that JSON can carry.
pub(super) fn finite(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|x: &f64| x.is_finite()).ok_or_else(|| "it must be a finite number".into())
}

/// `128,64` or `none`.
pub(super) fn widths(text: &str) -> Result<Widths, String> {
    if text == "none" {
        return Ok(Widths(Vec::new()));
    }
    let width = |part: &str| part.trim().parse::<usize>();
    let widths = text.split(',').map(width).collect::<Result<_, _>>();
    widths.map(Widths).map_err(|_| "it must be widths such as 128,64, or none".into())
}

/// One character, or the name of the tab, which is hard to type.
pub(super) fn delimiter(text: &str) -> Result<char, String> {
    let mut characters = text.chars();
    match (text, characters.next(), characters.next()) {
        ("\\t" | "tab", ..) => Ok('\t'),
        (_, Some(one), None) => Ok(one),
        _ => Err("it must be one character, or \\t".into()),
    }
}
