//! The coded form of a vocabulary: an arithmetic code of words and counts under a model that learns from them.
//!
//! It takes a third to a half of the bytes of the plain form ([`crate::blob`]), and more time to open. A list of words is
//! coded as: its length; whether a dictionary is used, and which of its words the list has; then the others, in groups by
//! the spaces inside them, each in byte order. `docs/decisions/vocabularies.md` has the figures.
//!
//! Few bytes can say much in such a code. A reader believes no more than [`WORDS_A_BYTE`] words and [`TEXT_A_BYTE`] bytes
//! of text for each byte of the code, beside the words of the dictionary; a writer gives up beyond.

mod bits;
mod english;
mod model;
mod numbers;
mod words;

use bits::{Bits, Decoder, Encoder, Unwritten};
use english::English;
use model::{Model, context};
use numbers::{Counts, Known};
use words::{Alphabet, List};

use serde::{Deserialize, Serialize};

use crate::blob;
use crate::error::TextError;

/// Most words that a byte of code may stand for.
const WORDS_A_BYTE: usize = 8;
/// Most bytes of words that a byte of code may stand for.
const TEXT_A_BYTE: usize = 32;
/// Least and most bits of a place in the model's tables.
const WIDTHS: (u8, u8) = (10, 16);
/// The dictionary is used where one word in so many is in it.
const WORTH: usize = 16;
/// Lists are coded in so many groups at most, by the spaces inside words.
const GROUPS: usize = 8;

const ALPHABET: usize = words::MIXERS;
const MEMBERS: usize = ALPHABET + 1;
const COUNTS: usize = MEMBERS + 1;
const MIXERS: usize = COUNTS + numbers::MIXERS;

/// What the bytes of a vocabulary are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Form {
    /// Sorted words by their shared prefixes.
    #[default]
    Plain,
    /// An arithmetic code.
    Coded,
}

impl Form {
    pub(crate) fn is_plain(&self) -> bool {
        *self == Self::Plain
    }
}

/// Bytes that the name of the coded form takes in a description.
const NAMED: usize = 20;

/// The shorter of a vocabulary's forms.
pub(crate) fn shorter(plain: Vec<u8>, coded: Option<Vec<u8>>) -> (Form, Vec<u8>) {
    match coded {
        Some(coded) if coded.len() + NAMED < plain.len() => (Form::Coded, coded),
        _ => (Form::Plain, plain),
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Sizes,
    Frequencies,
    Numbers,
}

/// A vocabulary as it is read: words in byte order, each with its class in the dictionary (0 for one that is not in it).
#[derive(Debug, Default)]
pub(crate) struct Words {
    pub(crate) words: Vec<Box<str>>,
    classes: Vec<u8>,
}

/// What writing and reading have in common.
#[derive(Debug)]
struct Coding<B> {
    bits: B,
    model: Model,
}

impl<B: Bits> Coding<B> {
    fn size(&mut self, given: usize) -> usize {
        let known = Known { kind: Kind::Sizes as u32, by: [0, 0] };
        Counts::new(COUNTS).count(&mut self.bits, &mut self.model, known, given as u32) as usize
    }

    /// Which bytes are used.
    fn used(&mut self, used: &mut [bool; 256]) {
        let mut last = 0u32;
        for (byte, used) in (0u32..).zip(used) {
            let contexts = [
                context(21, last & 3),
                context(22, (last & 3) << 8 | byte >> 4),
                context(23, byte >> 5),
                context(24, (last & 3) << 8 | byte >> 3),
            ];
            *used = self.model.bit(&mut self.bits, &contexts, 0, ALPHABET, *used);
            last = last << 1 | u32::from(*used);
        }
    }

    /// The counts of words, as many as there are; a reader ignores `given`.
    fn counts(
        &mut self,
        words: &[impl AsRef<str>],
        classes: &[u8],
        given: impl Fn(usize) -> u32,
    ) -> Vec<u32> {
        let mut counts = Counts::new(COUNTS);
        let mut last = "";
        let mut count = |i: usize| {
            let word = words[i].as_ref();
            let shape = word.len().min(31) | inner_spaces(word) << 5;
            let longer = u32::from(i > 0 && word.starts_with(last));
            last = word;
            let by = [u32::from(classes[i]), (shape as u32) << 1 | longer];
            let known = Known { kind: Kind::Frequencies as u32, by };
            counts.count(&mut self.bits, &mut self.model, known, given(i))
        };
        (0..words.len()).map(&mut count).collect()
    }

    /// Numbers that words do not tell anything about, as many as there are.
    fn numbers(&mut self, count: usize, given: impl Fn(usize) -> u32) -> Vec<u32> {
        let mut counts = Counts::new(COUNTS);
        let known = Known { kind: Kind::Numbers as u32, by: [0, 0] };
        (0..count).map(|i| counts.count(&mut self.bits, &mut self.model, known, given(i))).collect()
    }

    /// The lowest bits of a number, as they are.
    fn plain(&mut self, width: u32, given: u64) -> u64 {
        (0..width)
            .rev()
            .fold(0, |number, at| number << 1 | u64::from(self.bits.bit(numbers::EVEN, given >> at & 1 == 1)))
    }

    /// Lets the model learn the words of a list that it need not code.
    fn learn(&mut self, words: &[&str], alphabet: &Alphabet) -> Result<(), &'static str> {
        let mut list = List::new(alphabet);
        words
            .iter()
            .try_for_each(|word| list.word(&mut Unwritten, &mut self.model, word.as_bytes()).map(drop))
    }
}

/// Writes lists of words and their counts.
#[derive(Debug)]
pub(crate) struct Writer {
    coding: Coding<Encoder>,
    /// Bytes before the code.
    before: usize,
    /// Words that are in no dictionary, and their bytes.
    others: usize,
    text: usize,
}

impl Writer {
    /// Appends to `out`; about so many words will come.
    pub(crate) fn new(mut out: Vec<u8>, words: usize) -> Self {
        let slots = words.saturating_mul(24).clamp(1, 1 << WIDTHS.1).next_power_of_two();
        let width = (slots.ilog2() as u8).max(WIDTHS.0);
        out.push(width);
        let before = out.len();
        let coding = Coding { bits: Encoder::new(out), model: Model::new(width, MIXERS) };
        Self { coding, before, others: 0, text: 0 }
    }

    /// Writes words, which must strictly ascend and have 1 to 255 bytes each, then a count for each where there are any.
    pub(crate) fn words(&mut self, words: &[&str], counts: &[u32]) {
        let english = English::read();
        let places: Vec<Option<usize>> = words.iter().map(|word| english.find(word)).collect();
        let found = places.iter().flatten().count();
        let mut classes = vec![0; words.len()];
        let mut members = Vec::new();
        let coding = &mut self.coding;
        coding.size(words.len());
        let worth = found * WORTH >= words.len() && found > 0;
        if coding.size(usize::from(worth)) == 1 {
            let mut has = vec![false; english.len()];
            for (i, place) in places.iter().enumerate().filter_map(|(i, place)| Some((i, (*place)?))) {
                has[place] = true;
                classes[i] = english.at(place).1;
                members.push(words[i]);
            }
            english.members(&mut coding.bits, &mut coding.model, MEMBERS, &mut has);
        }
        let mut groups: [Vec<&str>; GROUPS] = Default::default();
        for (word, _) in words.iter().zip(&classes).filter(|(_, class)| **class == 0) {
            groups[inner_spaces(word)].push(word);
            self.others += 1;
            self.text += word.len();
        }
        let last = groups.iter().rposition(|group| !group.is_empty()).unwrap_or(0);
        coding.size(last);
        for group in &groups[..last] {
            coding.size(group.len());
        }
        let learned = if last > 0 { &members[..] } else { &[] };
        let mut used = [false; 256];
        let all = groups.iter().flatten().chain(learned);
        all.flat_map(|word| word.bytes()).for_each(|byte| used[usize::from(byte)] = true);
        if words.len() > members.len() {
            coding.used(&mut used);
            let alphabet = Alphabet::of(&used).expect("no text has every byte");
            coding.learn(learned, &alphabet).expect("they ascend, and have bytes of the alphabet");
            for group in &groups {
                let mut list = List::new(&alphabet);
                for word in group {
                    list.word(&mut coding.bits, &mut coding.model, word.as_bytes())
                        .expect("words ascend, and have bytes of the alphabet");
                }
            }
        }
        if let Some(&least) = counts.iter().min() {
            coding.size(least as usize);
            coding.counts(words, &classes, |i| counts[i] - least);
        }
    }

    /// Writes how many things will come.
    pub(crate) fn count(&mut self, count: usize) {
        self.others += count;
        self.coding.size(count);
    }

    /// Writes numbers below `2³² − 1`.
    pub(crate) fn numbers(&mut self, numbers: &[u32]) {
        self.coding.numbers(numbers.len(), |i| numbers[i]);
    }

    /// Writes the lowest `width` bits of a number.
    pub(crate) fn bits(&mut self, width: u32, number: u64) {
        self.coding.plain(width, number);
    }

    /// What was written; nothing where a reader would not believe it.
    pub(crate) fn finish(self) -> Option<Vec<u8>> {
        let out = self.coding.bits.finish();
        let length = out.len() - self.before;
        (self.others <= length * WORDS_A_BYTE && self.text <= length * TEXT_A_BYTE).then_some(out)
    }
}

/// Reads what a [`Writer`] wrote.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    what: &'static str,
    /// Bytes before the code.
    before: usize,
    coding: Coding<Decoder<'a>>,
    /// Words that are in no dictionary, and bytes of them, that may still come.
    others: usize,
    text: usize,
}

impl<'a> Reader<'a> {
    /// Reads what is left of `plain`.
    ///
    /// # Errors
    /// [`TextError::Blob`] for tables of a size that no writer chooses.
    pub(crate) fn new(plain: &mut blob::Reader<'a>) -> Result<Self, TextError> {
        let width = plain.byte()?;
        if !(WIDTHS.0..=WIDTHS.1).contains(&width) {
            return plain.fail(format!("tables of 2^{width} slots"));
        }
        let (what, before) = (plain.what(), plain.at());
        let code = plain.take(plain.remaining())?;
        let coding = Coding { bits: Decoder::new(code), model: Model::new(width, MIXERS) };
        let [others, text] = [WORDS_A_BYTE, TEXT_A_BYTE].map(|most| code.len().saturating_mul(most));
        Ok(Self { what, before, coding, others, text })
    }

    /// An error at the current byte.
    pub(crate) fn fail<T>(&self, problem: impl Into<String>) -> Result<T, TextError> {
        let at = self.before + self.coding.bits.at();
        Err(TextError::Blob { what: self.what, at, problem: problem.into() })
    }

    /// A list of words.
    pub(crate) fn words(&mut self) -> Result<Words, TextError> {
        let count = self.coding.size(0);
        let mut all: Vec<(Box<str>, u8)> = Vec::new();
        if self.flag()? {
            let english = English::read();
            let mut has = vec![false; english.len()];
            let Coding { bits, model } = &mut self.coding;
            english.members(bits, model, MEMBERS, &mut has);
            let places = (0..has.len()).filter(|place| has[*place]);
            all.extend(places.map(|place| english.at(place)).map(|(word, class)| (word.into(), class)));
        }
        let Some(others) = count.checked_sub(all.len()) else {
            return self.fail(format!("{count} words, {} of them in the dictionary", all.len()));
        };
        let Some(left) = self.others.checked_sub(others) else {
            return self.fail(format!("{others} words, more than so few bytes can say"));
        };
        self.others = left;
        let groups = self.groups(others)?;
        if others > 0 {
            self.others(&groups, &mut all)?;
        }
        all.sort(); // a few sorted runs, which it finds
        if let Some(pair) = all.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return self.fail(format!("word {:?} twice", pair[0].0));
        }
        let (words, classes) = all.into_iter().unzip();
        Ok(Words { words, classes })
    }

    /// A count for each word, at most `most`.
    pub(crate) fn counts(&mut self, words: &Words, most: u32) -> Result<Vec<u32>, TextError> {
        if words.words.is_empty() {
            return Ok(Vec::new());
        }
        let least = self.coding.size(0);
        let counts = self.coding.counts(&words.words, &words.classes, |_| 0);
        let count = |more: u32| (least as u32).checked_add(more).filter(|count| *count <= most);
        match counts.into_iter().map(count).collect() {
            Some(counts) => Ok(counts),
            None => self.fail(format!("a count above {most}")),
        }
    }

    /// How many things will come.
    pub(crate) fn count(&mut self) -> Result<usize, TextError> {
        let count = self.coding.size(0);
        let Some(others) = self.others.checked_sub(count) else {
            return self.fail(format!("{count} entries, more than so few bytes can say"));
        };
        self.others = others;
        Ok(count)
    }

    /// So many numbers.
    pub(crate) fn numbers(&mut self, count: usize) -> Vec<u32> {
        self.coding.numbers(count, |_| 0)
    }

    /// The lowest `width` bits of a number.
    pub(crate) fn bits(&mut self, width: u32) -> Result<u64, TextError> {
        match self.coding.bits.is_beyond() {
            true => self.fail("the code ends within a number"),
            false => Ok(self.coding.plain(width, 0)),
        }
    }

    /// Refuses bytes that nothing has read, and too few of them.
    pub(crate) fn end(&self) -> Result<(), TextError> {
        match self.coding.bits.is_end() {
            true => Ok(()),
            false => self.fail("the code does not end where the bytes do"),
        }
    }

    fn flag(&mut self) -> Result<bool, TextError> {
        match self.coding.size(0) {
            0 => Ok(false),
            1 => Ok(true),
            other => self.fail(format!("the dictionary {other}")),
        }
    }

    /// How many words each group has.
    fn groups(&mut self, others: usize) -> Result<Vec<usize>, TextError> {
        let last = self.coding.size(0);
        if last >= GROUPS {
            return self.fail(format!("words with {last} spaces"));
        }
        let mut groups: Vec<usize> = (0..last).map(|_| self.coding.size(0)).collect();
        match groups.iter().try_fold(others, |rest, group| rest.checked_sub(*group)) {
            Some(rest) => groups.push(rest),
            None => return self.fail(format!("more than {others} words")),
        }
        Ok(groups)
    }

    /// The words of all groups, after those of the dictionary.
    fn others(&mut self, groups: &[usize], all: &mut Vec<(Box<str>, u8)>) -> Result<(), TextError> {
        let mut used = [false; 256];
        self.coding.used(&mut used);
        let Some(alphabet) = Alphabet::of(&used) else { return self.fail("words of all bytes there are") };
        if groups.len() > 1 {
            let members: Vec<&str> = all.iter().map(|(word, _)| &**word).collect();
            if let Err(problem) = self.coding.learn(&members, &alphabet) {
                return self.fail(problem);
            }
        }
        for &group in groups {
            let mut list = List::new(&alphabet);
            for _ in 0..group {
                let word = match list.word(&mut self.coding.bits, &mut self.coding.model, &[]) {
                    Ok(word) => word,
                    Err(problem) => return self.fail(problem),
                };
                let Some(text) = self.text.checked_sub(word.len()) else {
                    return self.fail("more text than so few bytes can say");
                };
                self.text = text;
                if self.coding.bits.is_beyond() {
                    return self.fail("the code ends within a word");
                }
                match std::str::from_utf8(word) {
                    Ok(word) => all.push((word.into(), 0)),
                    Err(_) => return self.fail("a word that is not UTF-8"),
                }
            }
        }
        Ok(())
    }
}

/// Spaces with something on both sides, as far as groups tell them apart.
fn inner_spaces(word: &str) -> usize {
    word.trim_matches(' ').bytes().filter(|byte| *byte == b' ').count().min(GROUPS - 1)
}

#[cfg(test)]
mod tests;
