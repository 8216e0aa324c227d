//! What each character is to the analysis: which part it plays in a word, and what folding does with it.
//!
//! All facts come from Unicode's own data (`icu_properties`). They are gathered once, when the first text that
//! is not ASCII comes by, into one table that a look-up reads twice; ASCII has a table of its own that the
//! compiler fills, so that a program that meets nothing else never builds the large one.

use hashbrown::HashMap;
use icu_properties::props::{
    Alphabetic, ChangesWhenNfkcCasefolded, DefaultIgnorableCodePoint, ExtendedPictographic, GeneralCategory,
    GeneralCategoryGroup, WordBreak,
};
use icu_properties::{CodePointMapData, CodePointSetData};
use rustc_hash::FxBuildHasher;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

/// The part that a character plays in a word: the values of UAX 29's `Word_Break` property as far as they
/// matter, and what the characters are that it calls `Other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Kind {
    /// White space, controls, and code points without a character.
    Space,
    /// Punctuation that ends a word.
    Punctuation,
    /// A symbol that is no emoji.
    Symbol,
    /// A letter of a script with words (`ALetter`).
    Letter,
    /// A Hebrew letter, whose marks of abbreviation belong to the word.
    Hebrew,
    /// A digit (`Numeric`).
    Digit,
    Katakana,
    /// `_` and the like (`ExtendNumLet`).
    Connector,
    /// Joins letters (`MidLetter`).
    MidLetter,
    /// Joins digits (`MidNum`), as the comma.
    MidNumber,
    /// Joins letters or digits (`MidNumLet`), as the full stop.
    MidBoth,
    /// `'`.
    Apostrophe,
    /// `"`, which joins Hebrew letters.
    Quote,
    /// Combining marks and joiners: part of what they follow.
    Extend,
    /// A letter that is a word of its own for lack of spaces: ideographs, Hiragana, Thai, Khmer, Lao, Burmese.
    Single,
    /// A pictograph.
    Emoji,
    /// Half of a flag.
    Regional,
}

/// What folding does with a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fold {
    /// It stays.
    Keep,
    /// It stays, but may join what is before it: the text needs a look at its composition.
    Mark,
    /// Something else comes in its place.
    Map,
    /// It goes.
    Drop,
}

/// Everything that is known of a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Class {
    pub(crate) kind: Kind,
    pub(crate) fold: Fold,
}

/// The class of every character.
#[derive(Debug)]
pub(crate) struct Classes {
    /// For each block of code points, which of the different `blocks` it is.
    index: Box<[u16]>,
    blocks: Box<[[Class; BLOCK]]>,
}

const BLOCK: usize = 128;
const CODE_POINTS: usize = 0x11_0000;
/// The apostrophes that become `'`: `’` and the modifier letter that Ukrainian and others write.
pub(crate) const APOSTROPHES: [char; 2] = ['\u{2019}', '\u{2bc}'];
/// A capital I with a dot: becomes `i`, and not `i` with a second dot as its full case folding would have it.
pub(crate) const DOTTED_CAPITAL_I: char = '\u{130}';

/// The one mark that folds to a letter.
pub(crate) const YPOGEGRAMMENI: char = '\u{345}';

/// The kind of every ASCII byte; [`Kind::Extend`] for the bytes of other characters, which must be looked up.
pub(crate) const ASCII: [Kind; 256] = {
    let mut table = [Kind::Extend; 256];
    let mut b = 0;
    while b < 128 {
        table[b] = match b as u8 {
            b'a'..=b'z' | b'A'..=b'Z' => Kind::Letter,
            b'0'..=b'9' => Kind::Digit,
            b'_' => Kind::Connector,
            b':' => Kind::MidLetter,
            b'.' => Kind::MidBoth,
            b',' | b';' => Kind::MidNumber,
            b'\'' => Kind::Apostrophe,
            b'"' => Kind::Quote,
            b'$' | b'+' | b'<' | b'=' | b'>' | b'^' | b'`' | b'|' | b'~' => Kind::Symbol,
            0..=b' ' | 0x7f => Kind::Space,
            _ => Kind::Punctuation,
        };
        b += 1;
    }
    table
};

/// Whether a character that is written in these bytes, of which there may be more, is one of the unified ideographs
/// U+4E00 to U+9FFF. They need no look into the table: folding keeps them, and each is a word of its own.
#[inline(always)]
pub(crate) fn is_ideograph(bytes: &[u8]) -> bool {
    matches!(bytes, &[a, b, ..] if (0xe4b8..=0xe9bf).contains(&u16::from_be_bytes([a, b])))
}

/// The table of all characters, built when it is first asked for.
pub(crate) fn classes() -> &'static Classes {
    static CLASSES: LazyLock<Classes> = LazyLock::new(Classes::build);
    &CLASSES
}

impl Classes {
    pub(crate) fn get(&self, c: char) -> Class {
        let c = c as usize;
        self.blocks[usize::from(self.index[c / BLOCK])][c % BLOCK]
    }

    fn build() -> Self {
        let mut all = vec![Class { kind: Kind::Space, fold: Fold::Keep }; CODE_POINTS];
        let mut set = |range: RangeInclusive<u32>, change: &dyn Fn(&mut Class)| {
            all[*range.start() as usize..=*range.end() as usize].iter_mut().for_each(change);
        };
        let category = CodePointMapData::<GeneralCategory>::new();
        let signs = |kind| move |class: &mut Class| class.kind = kind;
        for (group, kind) in [
            (GeneralCategoryGroup::Punctuation, Kind::Punctuation),
            (GeneralCategoryGroup::Symbol, Kind::Symbol),
            // Icons of a font have no category of their own; to a text they are symbols.
            (GeneralCategoryGroup::PrivateUse, Kind::Symbol),
            (GeneralCategoryGroup::Number, Kind::Single),
        ] {
            category.iter_ranges_for_group(group).for_each(|r| set(r, &signs(kind)));
        }
        let alphabetic = CodePointSetData::new::<Alphabetic>();
        alphabetic.iter_ranges().for_each(|r| set(r, &signs(Kind::Single)));
        let pictographs = CodePointSetData::new::<ExtendedPictographic>();
        pictographs.iter_ranges().for_each(|r| set(r, &signs(Kind::Emoji)));
        for range in CodePointMapData::<WordBreak>::new().iter_ranges() {
            if let Some(kind) = of_word_break(range.value) {
                set(range.range, &signs(kind));
            }
        }
        for mark in category.iter_ranges_for_group(GeneralCategoryGroup::Mark).chain(LATE_LETTERS) {
            set(mark, &|class| class.fold = Fold::Mark);
        }
        let changes = CodePointSetData::new::<ChangesWhenNfkcCasefolded>();
        changes.iter_ranges().for_each(|r| set(r, &|class| class.fold = Fold::Map));
        for apostrophe in APOSTROPHES.map(u32::from) {
            set(apostrophe..=apostrophe, &|class| class.fold = Fold::Map);
        }
        let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
        ignorable.iter_ranges().for_each(|r| set(r, &|class| class.fold = Fold::Drop));
        // Capitals of ASCII are folded many at once, not character by character.
        set(0..=0x7f, &|class| class.fold = Fold::Keep);
        Self::compress(&all)
    }

    /// Keeps every different block once.
    fn compress(all: &[Class]) -> Self {
        let mut known: HashMap<&[Class; BLOCK], u16, FxBuildHasher> = HashMap::default();
        let mut blocks = Vec::new();
        let (whole, _) = all.as_chunks::<BLOCK>();
        let place = |block| {
            *known.entry(block).or_insert_with(|| {
                blocks.push(*block);
                blocks.len() as u16 - 1
            })
        };
        let index = whole.iter().map(place).collect();
        Self { index, blocks: blocks.into() }
    }
}

/// Letters that may compose with what is before them though no category says so: the second and third parts of a
/// Korean syllable, and vowels of Kirat Rai.
const LATE_LETTERS: [RangeInclusive<u32>; 3] = [0x1161..=0x1175, 0x11a8..=0x11c2, 0x1_6d63..=0x1_6d6a];

fn of_word_break(value: WordBreak) -> Option<Kind> {
    Some(match value {
        WordBreak::ALetter => Kind::Letter,
        WordBreak::HebrewLetter => Kind::Hebrew,
        WordBreak::Numeric => Kind::Digit,
        WordBreak::Katakana => Kind::Katakana,
        WordBreak::ExtendNumLet => Kind::Connector,
        WordBreak::MidLetter => Kind::MidLetter,
        WordBreak::MidNum => Kind::MidNumber,
        WordBreak::MidNumLet => Kind::MidBoth,
        WordBreak::SingleQuote => Kind::Apostrophe,
        WordBreak::DoubleQuote => Kind::Quote,
        WordBreak::Extend | WordBreak::Format | WordBreak::ZWJ => Kind::Extend,
        WordBreak::RegionalIndicator => Kind::Regional,
        WordBreak::CR | WordBreak::LF | WordBreak::Newline | WordBreak::WSegSpace => Kind::Space,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use icu_normalizer::properties::{CanonicalDecomposition, Decomposed};

    fn all() -> impl Iterator<Item = char> {
        (0..CODE_POINTS as u32).filter_map(char::from_u32)
    }

    #[test]
    fn the_table_of_ascii_is_a_part_of_the_whole() {
        for b in 0..128u8 {
            let class = Class { kind: ASCII[usize::from(b)], fold: Fold::Keep };
            assert_eq!(classes().get(b.into()), class, "{:?}", b as char);
        }
    }

    #[test]
    fn ideographs_are_told_by_their_bytes_and_are_as_the_table_says() {
        let class = Class { kind: Kind::Single, fold: Fold::Keep };
        for c in all() {
            let is = is_ideograph(c.encode_utf8(&mut [0; 4]).as_bytes());
            assert_eq!(is, ('\u{4e00}'..='\u{9fff}').contains(&c), "{c:?}");
            assert!(!is || classes().get(c) == class, "{c:?}");
        }
        assert!(!is_ideograph(&[0xe5]) && !is_ideograph(&[]));
    }

    #[test]
    fn what_composes_with_the_character_before_it_is_a_mark() {
        let decompositions = CanonicalDecomposition::new();
        for c in all() {
            if let Decomposed::Expansion(_, second) = decompositions.decompose(c) {
                let fold = classes().get(second).fold;
                assert!(fold == Fold::Mark || second == YPOGEGRAMMENI, "{second:?}, the end of {c:?}");
            }
        }
    }

    #[test]
    fn characters_have_the_kinds_that_words_need() {
        let kind = |c| classes().get(c).kind;
        for (kind_wanted, characters) in [
            (Kind::Letter, "aéжक가ـ"),
            (Kind::Hebrew, "א"),
            (Kind::Single, "好のไខ"),
            (Kind::Katakana, "カー"),
            (Kind::Digit, "7٣"),
            (Kind::Extend, "\u{301}\u{93f}\u{e31}\u{5b0}"),
            (Kind::Emoji, "😀❤☎"),
            (Kind::Symbol, "€→√"),
            (Kind::Punctuation, "—¿。"),
            (Kind::Space, "\n\u{2003}\u{85}"),
        ] {
            for c in characters.chars() {
                assert_eq!(kind(c), kind_wanted, "{c:?}");
            }
        }
        assert!(classes().blocks.len() < 1000, "{} blocks", classes().blocks.len());
    }
}
