//! Words, emoji and runs of signs of a folded text.
//!
//! Words end where UAX 29 (Unicode Text Segmentation, rules WB3 to WB16) says, in one pass over a table of
//! characters. Three things differ on purpose: an apostrophe joins digits to letters too (`90's`), connectors at
//! the ends of a word do not belong to it (`_so_`), and plus and number signs at its end do (`C++`, `C#`).

use crate::classes::{ASCII, Classes, Kind, classes, is_ideograph};
use crate::index::Token;

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Letters and digits.
    Word,
    /// A character of a script without spaces, with its marks.
    Single {
        /// Whether none stands directly before it.
        first: bool,
    },
    /// An emoji with all that belongs to it, or a flag.
    Emoji,
    /// Neighbouring symbols and punctuation marks.
    Signs {
        /// Whether they look as if they meant something: a symbol is among them, or they are an emoticon.
        telling: bool,
    },
}

/// Calls `each` with every piece of a folded text, from left to right; white space lies between pieces.
#[inline(always)]
pub(super) fn pieces<'a>(text: &'a str, mut each: impl FnMut(Piece, Token<'a>)) {
    let scan = Scan { text, bytes: text.as_bytes(), classes: (!text.is_ascii()).then(classes) };
    let mut start = 0;
    let mut single = usize::MAX; // where the last `Piece::Single` ended
    let mut ahead = scan.look(start);
    while let Some((kind, next)) = ahead {
        let (piece, end) = match kind {
            Kind::Letter | Kind::Digit | Kind::Hebrew | Kind::Katakana => {
                (Piece::Word, scan.word(next, kind))
            }
            Kind::Space | Kind::Extend => {
                start = next;
                ahead = scan.look(start);
                continue;
            }
            Kind::Single => {
                let mut end = next;
                loop {
                    ahead = scan.look(end);
                    while let Some((Kind::Extend, next)) = ahead {
                        end = next;
                        ahead = scan.look(end);
                    }
                    each(Piece::Single { first: single != start }, Token::within(text, start, end));
                    (start, single) = (end, end);
                    match ahead {
                        Some((Kind::Single, next)) => end = next,
                        _ => break,
                    }
                }
                continue;
            }
            Kind::Emoji | Kind::Regional => (Piece::Emoji, scan.emoji(next, kind)),
            _ => {
                let (symbol, end) = scan.signs(start);
                (Piece::Signs { telling: symbol || is_emoticon(&scan.bytes[start..end]) }, end)
            }
        };
        each(piece, Token::within(text, start, end));
        start = end;
        ahead = scan.look(start);
    }
}

/// A text that is looked at from some place onwards.
#[derive(Clone, Copy)]
struct Scan<'a> {
    text: &'a str,
    bytes: &'a [u8],
    /// Not there when the text is ASCII.
    classes: Option<&'static Classes>,
}

impl Scan<'_> {
    /// The kind of the character at a place, and where the next begins.
    #[inline(always)]
    fn look(&self, at: usize) -> Option<(Kind, usize)> {
        let byte = *self.bytes.get(at)?;
        match self.classes {
            Some(classes) if !byte.is_ascii() => {
                if is_ideograph(&self.bytes[at..]) {
                    return Some((Kind::Single, at + 3));
                }
                let c = self.text[at..].chars().next()?;
                Some((classes.get(c).kind, at + c.len_utf8()))
            }
            _ => Some((ASCII[usize::from(byte)], at + 1)),
        }
    }

    /// The first place from `at` on where no mark is.
    fn past_marks(&self, mut at: usize) -> usize {
        while let Some((Kind::Extend, next)) = self.look(at) {
            at = next;
        }
        at
    }

    /// Where the word ends whose last character so far is of the kind `last` and ends at `at`.
    fn word(&self, mut at: usize, mut last: Kind) -> usize {
        loop {
            if last != Kind::Katakana && last != Kind::Apostrophe {
                let from = at;
                at = past_letters_and_digits(self.bytes, at);
                if at > from {
                    last = ASCII[usize::from(self.bytes[at - 1])];
                }
            }
            let Some((kind, next)) = self.look(at) else { return at };
            match kind {
                Kind::Space | Kind::Single => return at,
                Kind::Extend => at = next,
                // The plus and the number sign.
                Kind::Symbol | Kind::Punctuation if last != Kind::Apostrophe => {
                    return self.past_name_signs(at);
                }
                _ => match self.join(last, kind, next) {
                    Some(joined) => (last, at) = joined,
                    None => return at,
                },
            }
        }
    }

    /// Whether a character of the kind `kind`, which ends at `next`, goes on with a word that ended with `last`:
    /// if so, the kind of the word's end and its place, behind the character that it joins to the word.
    fn join(&self, last: Kind, kind: Kind, next: usize) -> Option<(Kind, usize)> {
        let letter = |kind| matches!(kind, Kind::Letter | Kind::Hebrew);
        let either = |kind| letter(kind) || kind == Kind::Digit;
        match kind {
            Kind::Letter | Kind::Hebrew | Kind::Digit => either(last).then_some((kind, next)),
            Kind::Katakana => (last == Kind::Katakana).then_some((kind, next)),
            Kind::Connector => {
                let mut at = next;
                while let Some((Kind::Connector | Kind::Extend, next)) = self.look(at) {
                    at = next;
                }
                self.look(at).filter(|(kind, _)| either(*kind) || *kind == Kind::Katakana)
            }
            Kind::MidLetter | Kind::MidNumber | Kind::MidBoth | Kind::Apostrophe | Kind::Quote => {
                let follows = self.look(self.past_marks(next)).filter(|&(follows, _)| match kind {
                    Kind::MidLetter => letter(last) && letter(follows),
                    Kind::MidNumber => last == Kind::Digit && follows == Kind::Digit,
                    Kind::MidBoth => {
                        letter(last) && letter(follows) || last == Kind::Digit && follows == Kind::Digit
                    }
                    Kind::Apostrophe => either(last) && either(follows),
                    _ => last == Kind::Hebrew && follows == Kind::Hebrew,
                });
                let abbreviated = kind == Kind::Apostrophe && last == Kind::Hebrew;
                follows.or(abbreviated.then_some((Kind::Apostrophe, next)))
            }
            _ => None,
        }
    }

    /// Behind the plus and number signs of a name such as `C++` or `C#`, which must not stand between two words
    /// (`a+b`, `page#part`); but `C++17` is two.
    fn past_name_signs(&self, at: usize) -> usize {
        let run = self.bytes[at..].iter().take_while(|b| matches!(b, b'+' | b'#')).count();
        let end = at + run;
        let name = match self.look(end).map(|(kind, _)| kind) {
            Some(Kind::Letter | Kind::Hebrew | Kind::Katakana | Kind::Single | Kind::Connector) => false,
            Some(Kind::Digit) => &self.bytes[at..end] != b"+",
            _ => true,
        };
        if name { end } else { at }
    }

    /// Where the emoji or the flag ends whose first character ends at `at`.
    fn emoji(&self, at: usize, kind: Kind) -> usize {
        let mut end = self.past_marks(at);
        match (kind, self.look(end)) {
            (Kind::Regional, Some((Kind::Regional, next))) => self.past_marks(next),
            (Kind::Regional, _) => end,
            _ => {
                // Folding leaves a joiner between two emoji only.
                while let Some((Kind::Emoji, next)) = self.look(end)
                    && self.text[..end].ends_with('\u{200d}')
                {
                    end = self.past_marks(next);
                }
                end
            }
        }
    }

    /// Whether a symbol is among the signs from `at` on, and where they end.
    fn signs(&self, mut at: usize) -> (bool, usize) {
        let mut symbol = false;
        while let Some((kind, next)) = self.look(at) {
            match kind {
                Kind::Symbol => symbol = true,
                Kind::Punctuation | Kind::Connector | Kind::Extend | Kind::Apostrophe | Kind::Quote => {}
                Kind::MidLetter | Kind::MidNumber | Kind::MidBoth => {}
                _ => break,
            }
            at = next;
        }
        (symbol, at)
    }
}

/// The first place from `at` on where no small letter or digit of ASCII is.
#[inline(always)]
pub(super) fn past_letters_and_digits(bytes: &[u8], mut at: usize) -> usize {
    // Eight bytes at once, as long as there are as many: words have all lengths, which a processor cannot foresee.
    while let Some(eight) = bytes[at..].first_chunk() {
        let run = letters_and_digits(u64::from_le_bytes(*eight));
        at += run;
        if run < 8 {
            return at;
        }
    }
    while let Some(&byte) = bytes.get(at)
        && matches!(ASCII[usize::from(byte)], Kind::Letter | Kind::Digit)
    {
        at += 1;
    }
    at
}

/// How many of eight bytes, from the lowest on, are small letters or digits of ASCII (folded text has no others).
#[inline(always)]
fn letters_and_digits(bytes: u64) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;
    let low = bytes & !HIGH;
    // The high bit of each byte: whether its lower seven are at least `from`.
    let least = |from: u8| low + ONES * u64::from(0x80 - from);
    let letters = least(b'a') & !least(b'z' + 1);
    let digits = least(b'0') & !least(b'9' + 1);
    let others = !((letters | digits) & !bytes) & HIGH;
    others.trailing_zeros() as usize / 8
}

/// Whether signs begin with the eyes of a face and have a mouth.
fn is_emoticon(signs: &[u8]) -> bool {
    matches!(signs, [b':' | b';' | b'=', rest @ ..] if rest.iter().any(|b| matches!(b, b'(' | b')' | b'[' | b']')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalize;
    use proptest::prelude::*;
    use unicode_segmentation::UnicodeSegmentation;

    fn of(text: &str) -> Vec<(Piece, String)> {
        let mut out = Vec::new();
        pieces(&normalize::text(text), |piece, token| out.push((piece, token.text.to_owned())));
        out
    }

    fn words(text: &str) -> Vec<String> {
        let is_word = |piece| matches!(piece, Piece::Word | Piece::Single { .. });
        of(text).into_iter().filter(|(piece, _)| is_word(*piece)).map(|(_, token)| token).collect()
    }

    fn emoji(text: &str) -> Vec<String> {
        of(text).into_iter().filter(|(piece, _)| *piece == Piece::Emoji).map(|(_, token)| token).collect()
    }

    #[test]
    fn words_end_where_unicode_says() {
        for (text, want) in [
            ("Hello, World-wide 3D!", &["hello", "world", "wide", "3d"][..]),
            (
                "It costs 3.14 or 1,000; see example.com, e.g. U.S.A.",
                &["it", "costs", "3.14", "or", "1,000", "see", "example.com", "e.g", "u.s.a"],
            ),
            (
                "don't 'quote' it’s rock'n'roll dogs' x''y 90's",
                &["don't", "quote", "it's", "rock'n'roll", "dogs", "x", "y", "90's"],
            ),
            ("_so_ snake_case __init__ _ __", &["so", "snake_case", "init"]),
            ("re\u{301}ussi ÉCOLE Straße", &["réussi", "école", "strasse"]),
            ("हिन्दी में कि", &["हिन्दी", "में", "कि"]),
            ("שָׁלוֹם צה\"ל ג'ירפה גר' x", &["שָׁלוֹם", "צה\"ל", "ג'ירפה", "גר'", "x"]),
            ("Tiếng Việt Tie\u{302}\u{301}ng Vie\u{323}\u{302}t", &["tiếng", "việt", "tiếng", "việt"]),
            ("质量很好abc", &["质", "量", "很", "好", "abc"]),
            ("カタカナとひらがな ｶﾞﾝ", &["カタカナ", "と", "ひ", "ら", "が", "な", "ガン"]),
            ("ไม่ดี", &["ไ", "ม่", "ดี"]),
            ("한국어 책", &["한국어", "책"]),
            (
                "C++ C# c++17 F#, a+b page#part 18+ A+.",
                &["c++", "c#", "c++", "17", "f#", "a", "b", "page", "part", "18+", "a+"],
            ),
            ("İstanbul istanbul", &["istanbul", "istanbul"]),
            ("", &[]),
            (" ...!? \u{301} ", &[]),
        ] {
            assert_eq!(words(text), want, "{text:?}");
        }
    }

    #[test]
    fn an_emoji_is_one_piece_with_all_that_belongs_to_it() {
        let text = "ok😀😀 👍🏽 ❤️ 👩‍💻👨‍👩‍👧‍👦 🇩🇪🇫🇷 🏴\u{e0067}\u{e0062}\u{e007f} ❤️‍🔥🔥";
        let want =
            ["😀", "😀", "👍🏽", "❤", "👩‍💻", "👨‍👩‍👧‍👦", "🇩🇪", "🇫🇷", "🏴\u{e0067}\u{e0062}\u{e007f}", "❤‍🔥", "🔥"];
        assert_eq!(emoji(text), want);
    }

    #[test]
    fn eight_bytes_are_looked_at_as_each_would_be() {
        for byte in 0..=255u8 {
            let wanted = byte.is_ascii_lowercase() || byte.is_ascii_digit();
            for place in 0..8 {
                let mut bytes = *b"az09bm5y";
                bytes[place] = byte;
                let run = letters_and_digits(u64::from_le_bytes(bytes));
                assert_eq!(run, if wanted { 8 } else { place }, "{byte} at {place}");
            }
        }
    }

    #[test]
    fn signs_say_whether_they_mean_something() {
        let signs = |text: &str| -> Vec<(String, bool)> {
            let telling = |(piece, token)| match piece {
                Piece::Signs { telling } => Some((token, telling)),
                _ => None,
            };
            of(text).into_iter().filter_map(telling).collect()
        };
        for (text, want) in [
            ("fine :) x", &[(":)", true)][..]),
            ("so ;-( and :: or :", &[(";-(", true), ("::", false), (":", false)]),
            (
                "a, b. (c) \"d.\"",
                &[(",", false), (".", false), ("(", false), (")", false), ("\"", false), (".\"", false)],
            ),
            ("5 € -> <3", &[("€", true), ("->", true), ("<", true)]),
            ("_a_ '", &[("_", false), ("_", false), ("'", false)]),
        ] {
            let got = signs(text);
            let got: Vec<(&str, bool)> = got.iter().map(|(s, t)| (s.as_str(), *t)).collect();
            assert_eq!(got, want, "{text:?}");
        }
    }

    #[test]
    fn characters_without_spaces_say_where_their_runs_begin() {
        let firsts = |text: &str| -> Vec<bool> {
            let first = |(piece, _)| match piece {
                Piece::Single { first } => Some(first),
                _ => None,
            };
            of(text).into_iter().filter_map(first).collect()
        };
        assert_eq!(firsts("很好 好，好a好"), [true, false, true, true, true]);
    }

    proptest! {
        #[test]
        fn words_are_those_of_another_implementation(
            // Without the characters of the three exceptions, and without emoji, which are no words there.
            text in "[a-cA-C0-2.,:;\"!é\u{301}\u{5b0}אבгд好のカーไม\u{e48}क\u{93f}\u{94d}가·﹒ \u{a0}\u{2028}\n&/-]{0,24}",
        ) {
            let folded = normalize::text(&text);
            prop_assume!(!folded.contains('\u{2044}'));
            // There, signs with a mark may be a word.
            let mut want: Vec<&str> = folded.unicode_words().collect();
            let begins = |c: char| matches!(
                classes().get(c).kind,
                Kind::Letter | Kind::Hebrew | Kind::Digit | Kind::Katakana | Kind::Single
            );
            want.retain(|word| word.contains(begins));
            prop_assert_eq!(words(&text), want, "{:?}", folded);
        }

        #[test]
        fn pieces_leave_out_nothing_but_space_and_stray_marks(text in any::<String>()) {
            let folded = normalize::text(&text);
            let mut rest = &*folded;
            let mut between = String::new();
            pieces(&folded, |_, token| {
                let at = token.text.as_ptr() as usize - rest.as_ptr() as usize;
                between.push_str(&rest[..at]);
                rest = &rest[at + token.text.len()..];
            });
            between.push_str(rest);
            let skipped = |c| matches!(classes().get(c).kind, Kind::Space | Kind::Extend);
            prop_assert!(between.chars().all(skipped), "{:?} of {:?}", between, folded);
        }
    }
}
