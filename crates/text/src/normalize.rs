//! One form for texts that mean the same characters, so that they are cut into the same words.
//!
//! [`text()`] is Unicode's NFKC case folding with three changes, which `docs/text.md` lists: canonically equal
//! texts become the same text (é as one character or as two), compatibility forms become the usual ones
//! (full-width letters, ligatures), capitals small ones in no particular language (`ß` becomes `ss`), and
//! characters that are not seen go (soft hyphens, zero-width spaces and joiners, variation selectors). The result
//! is composed (NFC). [`label`] does less: a label is shown as it was given.
//!
//! Nothing is guessed here: no accent is taken off, no spelling is repaired, no script is written in another.

use hashbrown::HashMap;
use icu_casemap::CaseMapper;
use icu_normalizer::{ComposingNormalizer, ComposingNormalizerBorrowed, DecomposingNormalizer};
use icu_properties::CodePointSetData;
use icu_properties::props::DefaultIgnorableCodePoint;
use rustc_hash::FxBuildHasher;
use std::borrow::Cow;

use crate::classes::{
    APOSTROPHES, Classes, DOTTED_CAPITAL_I, Fold, Kind, YPOGEGRAMMENI, classes, is_ideograph,
};

const NFC: ComposingNormalizerBorrowed<'static> = ComposingNormalizer::new_nfc();
const NFKC: ComposingNormalizerBorrowed<'static> = ComposingNormalizer::new_nfkc();

const JOINER: char = '\u{200d}';
const DOT_ABOVE: char = '\u{307}';
const BLACK_FLAG: char = '\u{1f3f4}';

/// A text as the analysis sees it. Texts that are canonically equal give the same; so does the result itself.
pub fn text(text: &str) -> Cow<'_, str> {
    let mut folded = Folded::default();
    match folded.fold(text) == text {
        true => Cow::Borrowed(text),
        false => Cow::Owned(folded.text),
    }
}

/// A label as classes are told apart: composed (NFC), without white space at its ends. Letters keep their case.
pub fn label(label: &str) -> Cow<'_, str> {
    composed(label.trim())
}

/// The canonical composition (NFC) of a text.
pub(crate) fn composed(text: &str) -> Cow<'_, str> {
    NFC.normalize(text)
}

/// A folded text and what folding reuses from text to text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Folded {
    text: String,
    spare: String,
    /// What characters become, as far as they were met.
    known: HashMap<char, Box<str>, FxBuildHasher>,
}

impl Folded {
    /// Folds a text; the result stays until the next call.
    pub(crate) fn fold(&mut self, text: &str) -> &str {
        self.text.clear();
        if text.is_ascii() {
            push_lower(&mut self.text, text);
        } else if self.pass(text, classes()) {
            // Marks were met. What they belong to must not depend on how they were written, so the same is done
            // again to the composed text, and its outcome is composed.
            if !NFC.is_normalized(text) {
                let mut composed = std::mem::take(&mut self.spare);
                compose(text, &mut composed);
                self.text.clear();
                self.pass(&composed, classes());
                self.spare = composed;
            }
            if !NFC.is_normalized(&self.text) {
                compose(&self.text, &mut self.spare);
                std::mem::swap(&mut self.text, &mut self.spare);
            }
        }
        &self.text
    }

    /// Appends the folded text, not yet composed; says whether it has marks, before or after.
    fn pass(&mut self, text: &str, classes: &Classes) -> bool {
        let mut marks = false;
        let mut kept = 0; // where the characters begin that stay and were not yet copied
        let mut at = 0;
        while let Some(&byte) = text.as_bytes().get(at) {
            if byte.is_ascii() {
                at += 1;
                continue;
            }
            if is_ideograph(&text.as_bytes()[at..]) {
                at += 3;
                continue;
            }
            let Some(c) = text[at..].chars().next() else { break };
            let (from, end) = (at, at + c.len_utf8());
            at = end;
            match classes.get(c).fold {
                Fold::Keep => continue,
                Fold::Mark => {
                    marks = true;
                    // The second dot of an i: so İ is i, in one character or in two.
                    if c != DOT_ABOVE || !text[..from].ends_with(['i', 'I']) {
                        continue;
                    }
                    push_lower(&mut self.text, &text[kept..from]);
                }
                Fold::Map => {
                    push_lower(&mut self.text, &text[kept..from]);
                    marks |= self.map(c, classes) || c == YPOGEGRAMMENI;
                }
                Fold::Drop => {
                    push_lower(&mut self.text, &text[kept..from]);
                    if in_emoji(c, &self.text, &text[end..], classes) {
                        self.text.push(c);
                    }
                }
            }
            kept = end;
        }
        push_lower(&mut self.text, &text[kept..]);
        marks
    }

    /// Appends what comes in the place of a character; says whether that has marks.
    fn map(&mut self, c: char, classes: &Classes) -> bool {
        // Full-width ASCII, by far the most frequent of all in Chinese and Japanese: its punctuation.
        if let '\u{ff01}'..='\u{ff5e}' = c {
            self.text.push((c as u32 - 0xff01 + 0x21) as u8 as char);
            let last = self.text.len() - 1;
            self.text[last..].make_ascii_lowercase();
            return false;
        }
        let mapped = self.known.entry(c).or_insert_with(|| mapping(c).into());
        self.text.push_str(mapped);
        mapped.chars().any(|m| classes.get(m).fold == Fold::Mark)
    }
}

/// Appends a text with the capitals of ASCII made small.
fn push_lower(out: &mut String, text: &str) {
    let start = out.len();
    out.push_str(text);
    out[start..].make_ascii_lowercase();
}

fn compose(text: &str, out: &mut String) {
    out.clear();
    NFC.normalize_to(text, out).expect("writing into a string cannot fail");
}

/// Whether a character that is not seen holds an emoji together: a joiner between two, or a tag of a flag.
fn in_emoji(c: char, before: &str, after: &str, classes: &Classes) -> bool {
    let last = || before.chars().next_back();
    let emoji = |c: char| classes.get(c).kind == Kind::Emoji;
    match c {
        JOINER => {
            last().is_some_and(|b| emoji(b) || ('\u{1f3fb}'..='\u{1f3ff}').contains(&b))
                && after.chars().next().is_some_and(emoji)
        }
        '\u{e0020}'..='\u{e007f}' => {
            last().is_some_and(|b| b == BLACK_FLAG || ('\u{e0020}'..='\u{e007e}').contains(&b))
        }
        _ => false,
    }
}

/// What a character becomes: `NFKC_Casefold` (Unicode, section 5.18), but one apostrophe for all and one dot on an i.
fn mapping(c: char) -> String {
    if c == DOTTED_CAPITAL_I {
        return "i".into();
    }
    let unseen = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    let mut now = DecomposingNormalizer::new_nfd().normalize(c.encode_utf8(&mut [0; 4])).into_owned();
    loop {
        let folded = CaseMapper::new().fold_string(&now);
        let mut next = NFKC.normalize(&folded).into_owned();
        next.retain(|c| !unseen.contains(c));
        if next == now {
            return next.replace(APOSTROPHES, "'");
        }
        now = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use icu_normalizer::DecomposingNormalizerBorrowed;
    use proptest::prelude::*;

    const NFD: DecomposingNormalizerBorrowed<'static> = DecomposingNormalizer::new_nfd();

    #[test]
    fn texts_are_folded_as_people_read_them() {
        for (given, want) in [
            ("Réussi", "réussi"),
            ("re\u{301}ussi", "réussi"),
            ("ＦＵＬＬ　ｗｉｄｔｈ！", "full width!"),
            ("ﬁne ﬂoor", "fine floor"),
            ("Straße GROẞ", "strasse gross"),
            ("İstanbul I\u{307}stanbul ISTANBUL", "istanbul istanbul istanbul"),
            (
                "soft\u{ad}ly zero\u{200b}width word\u{2060}joiner \u{feff}bom",
                "softly zerowidth wordjoiner bom",
            ),
            ("don’t don't donʼt", "don't don't don't"),
            ("thin\u{2009}space, no\u{a0}break", "thin space, no break"),
            ("\u{1112}\u{1161}\u{11ab}\u{1100}\u{116e}\u{11a8}", "한국"),
            ("ｶﾞｷﾞ", "ガギ"),
            ("Ⅳ ① ½ ㎏ ™", "iv 1 1⁄2 kg tm"),
            ("❤\u{fe0f} 👩\u{200d}💻 👍🏽", "❤ 👩\u{200d}💻 👍🏽"),
            ("می\u{200c}خواهم", "میخواهم"),
            ("น้ำ", "น\u{e49}\u{e4d}\u{e32}"),
            ("ΜΆΪΟΣ", "μάϊοσ"),
        ] {
            assert_eq!(text(given), want, "{given:?}");
        }
        assert!(matches!(text("already so, 好的 привет"), Cow::Borrowed(_)));
    }

    #[test]
    fn labels_are_composed_and_trimmed_only() {
        assert_eq!(label(" Re\u{301}ussi\n"), "Réussi");
        assert_eq!(label("ＡＢ ﬁ"), "ＡＢ ﬁ");
        assert!(matches!(label("plain"), Cow::Borrowed("plain")));
    }

    #[test]
    fn every_character_alone_is_its_nfkc_case_folding() {
        for c in (0..0x11_0000).filter_map(char::from_u32) {
            let one = c.to_string();
            let mut want = mapping(c);
            if c == DOT_ABOVE || classes().get(c).fold == Fold::Drop {
                want = if c == DOT_ABOVE { one.clone() } else { String::new() };
            }
            assert_eq!(text(&one), NFC.normalize(&want), "{c:?}");
            assert_eq!(text(&text(&one)), text(&one), "{c:?} twice");
            assert_eq!(text(&NFD.normalize(&one)), text(&one), "{c:?} decomposed");
        }
    }

    /// Characters that meet in surprising ways, and plain ones.
    fn awkward() -> impl Strategy<Value = String> {
        let one = prop_oneof![
            Just('i'),
            Just('I'),
            Just('İ'),
            Just('ı'),
            Just('\u{307}'),
            Just('\u{301}'),
            Just('\u{323}'),
            Just('\u{345}'),
            Just('ᾳ'),
            Just('\u{34f}'),
            Just('\u{200d}'),
            Just('\u{200c}'),
            Just('\u{ad}'),
            Just('\u{fe0f}'),
            Just('👩'),
            Just('💻'),
            Just('🏽'),
            Just('\u{e0067}'),
            Just('🏴'),
            Just('क'),
            Just('\u{93c}'),
            Just('\u{958}'),
            Just('ำ'),
            Just('น'),
            Just('\u{e49}'),
            Just('각'),
            Just('\u{1100}'),
            Just('\u{1161}'),
            Just('\u{11a8}'),
            Just('ｶ'),
            Just('ﾞ'),
            Just('j'),
            Just('\u{30c}'),
            Just('Å'),
            Just('\u{212b}'),
            Just(' '),
            Just('’'),
            Just('\u{200b}'),
            Just('ẞ'),
            Just('ﬃ'),
            any::<char>(),
        ];
        prop::collection::vec(one, 0..12).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn canonically_equal_texts_fold_to_the_same(given in awkward()) {
            let folded = text(&given);
            let (apart, composed) = (NFD.normalize(&given), NFC.normalize(&given));
            prop_assert_eq!(&text(&apart), &folded);
            prop_assert_eq!(&text(&composed), &folded);
            prop_assert!(NFC.is_normalized(&folded), "{:?}", folded);
        }

        #[test]
        fn ascii_takes_a_short_way_to_the_same_place(given in "[ -~\\n\\t]{0,60}") {
            let mut long = Folded::default();
            prop_assert!(!long.pass(&given, classes()));
            prop_assert_eq!(&long.text, &text(&given));
            prop_assert_eq!(&given.to_ascii_lowercase(), &text(&given));
        }
    }
}
