//! Tests of the analyzers.

use super::*;
use proptest::prelude::*;

fn tokens(analyzer: Analyzer, text: &str) -> Vec<String> {
    let mut out = Vec::new();
    analyzer.tokens(text, &mut Buffer::default(), |t| out.push(t.to_owned()));
    out
}

fn words(text: &str) -> Vec<String> {
    tokens(Analyzer::default(), text)
}

/// The tokens, and what became of the text.
fn cut(analysis: Analysis<'_>, text: &str) -> (Vec<String>, Cut) {
    let mut buffer = Buffer::default();
    let mut out = Vec::new();
    analysis.tokens(text, &mut buffer, |t| out.push(t.text.to_owned()));
    (out, buffer.cut)
}

fn plain(stop: &StopSet) -> Analysis<'_> {
    Analysis { version: VERSION, analyzer: Analyzer::default(), symbols: false, words: [1, 1], stop }
}

#[test]
fn short_and_overlong_words_are_left_out_and_counted() {
    let two = Analyzer::Words { min_length: 2, boundaries: Boundaries::Unicode };
    assert_eq!(tokens(two, "a I am é éa 好 😀 e\u{301}"), ["am", "éa", "好", "😀"]);
    assert!(words(&"x".repeat(MAX_TOKEN_BYTES + 1)).is_empty());
    assert_eq!(words(&"x".repeat(MAX_TOKEN_BYTES)).len(), 1);
    let none = StopSet::default();
    let long = format!("a, bc {} d", "é".repeat(200));
    let (found, cut) = cut(Analysis { analyzer: two, ..plain(&none) }, &long);
    assert_eq!(found, ["bc"]);
    assert_eq!(cut, Cut { tokens: 1, dropped: 4, ..Cut::default() });
}

#[test]
fn signs_are_tokens_when_asked_for_and_counted_when_not() {
    let none = StopSet::default();
    let text = "C++ rocks :) 👍🏽 <3, really!!! 好的";
    let (found, without) = cut(plain(&none), text);
    assert_eq!(found, ["c++", "rocks", "👍🏽", "3", "really", "好", "的"]);
    assert_eq!(without, Cut { tokens: 7, dropped: 4, symbols: 2, singles: 2, single_runs: 1 });
    let (found, with) = cut(Analysis { symbols: true, ..plain(&none) }, text);
    assert_eq!(found, ["c++", "rocks", ":)", "👍🏽", "<", "3", ",", "really", "!!!", "好", "的"]);
    assert_eq!((with.tokens, with.dropped), (11, 0));
}

#[test]
fn words_can_end_at_spaces_alone() {
    let spaces = Analyzer::Words { min_length: 1, boundaries: Boundaries::Spaces };
    assert_eq!(
        tokens(spaces, "质量 很好 。\u{3000}C++/CLI, Don’t!"),
        ["质量", "很好", "。", "c++/cli,", "don't!"]
    );
}

#[test]
fn word_ngrams_are_neighbouring_words_without_stop_words() {
    let none = StopSet::default();
    let two = Analysis { words: [1, 2], ..plain(&none) };
    assert_eq!(cut(two, "Not good, at all").0, ["not", "not good", "good", "good at", "at", "at all", "all"]);
    assert_eq!(cut(two, "one").0, ["one"]);
    assert_eq!(cut(two, "...").0, [""; 0]);
    assert_eq!(cut(Analysis { words: [2, 3], ..two }, "a b c").0, ["a b", "a b c", "b c"]);
    let stop: StopSet = ["at", "the"].map(Box::from).into_iter().collect();
    let (found, counted) = cut(Analysis { words: [1, 2], ..plain(&stop) }, "Good at THE end");
    assert_eq!(found, ["good", "good end", "end"]);
    assert_eq!(counted.tokens, 3);
    let long = format!("{0} {0}", "x".repeat(200));
    assert_eq!(cut(two, &long).0.len(), 2); // the pair has too many bytes
}

#[test]
fn character_ngrams_count_characters_and_collapse_white_space() {
    let two = Analyzer::characters(1, 2);
    assert_eq!(tokens(two, " 质量\n\t好 "), ["质", "质量", "量", "量 ", " ", " 好", "好"]);
    assert!(tokens(two, " \n ").is_empty());
    let three = Analyzer::characters(3, 3);
    assert_eq!(tokens(three, "ABCD"), ["abc", "bcd"]);
    assert!(tokens(three, "ab").is_empty());
    assert_eq!(tokens(two, "e\u{301}，"), ["é", "é,", ","]);
}

#[test]
fn character_ngrams_within_words_are_those_of_scikit_learn() {
    let within = |min, max| Analyzer::Characters { min, max, within_words: true };
    // CountVectorizer(analyzer="char_wb", ngram_range=(2, 4)).build_analyzer()("Ab cde")
    assert_eq!(
        tokens(within(2, 4), "Ab cde"),
        [" a", "ab", "b ", " ab", "ab ", " ab ", " c", "cd", "de", "e ", " cd", "cde", "de ", " cde", "cde "]
    );
    assert_eq!(tokens(within(5, 6), "a bcde"), [" a ", " bcde", "bcde ", " bcde "]);
    assert!(tokens(within(2, 3), " \n").is_empty());
}

#[test]
fn settings_are_bounded() {
    let words = |min_length| Analyzer::Words { min_length, boundaries: Boundaries::Unicode };
    let characters = Analyzer::characters;
    for bad in [words(0), words(65), characters(0, 2), characters(3, 2), characters(1, 9)] {
        assert!(matches!(bad.check(), Err(TextError::Setting { .. })), "{bad:?}");
    }
    assert!(characters(1, 8).check().is_ok());
}

#[test]
fn the_first_version_cuts_as_it_always_did() {
    let none = StopSet::default();
    let first = Analysis { version: 1, ..plain(&none) };
    for (text, want) in [
        ("Hello, World-wide 3D!", &["hello", "world", "wide", "3d"][..]),
        ("ÉCOLE Straße re\u{301}ussi İ", &["école", "straße", "re", "ussi", "i\u{307}"]),
        (
            "don't 'quote' it’s rock'n'roll dogs' x''y 90's",
            &["don't", "quote", "it's", "rock'n'roll", "dogs", "x", "y", "90's"],
        ),
        (
            "3.14 snake_case C++ 😀 质量很好 soft\u{ad}ly",
            &["3", "14", "snake", "case", "c", "质量很好", "soft", "ly"],
        ),
    ] {
        assert_eq!(cut(first, text).0, want, "{text:?}");
    }
    let characters = Analysis { analyzer: Analyzer::characters(1, 2), ..first };
    assert_eq!(cut(characters, "É\u{301}ｂ").0, ["é", "é\u{301}", "\u{301}", "\u{301}ｂ", "ｂ"]);
}

proptest! {
    #[test]
    fn words_of_words_are_the_same_words(text in any::<String>()) {
        let once = words(&text);
        prop_assert_eq!(words(&once.join(" ")), once);
    }

    #[test]
    fn any_text_has_tokens_of_the_asked_lengths(text in any::<String>(), min in 1usize..4, more in 0usize..4) {
        for token in tokens(Analyzer::characters(min, min + more), &text) {
            prop_assert!((min..=min + more).contains(&token.chars().count()));
        }
    }

    #[test]
    fn text_and_its_twins_have_the_same_tokens(text in "[a-zA-Zéüñ ệ ơ한국ｶﾞक़ไม่!.]{0,40}") {
        use icu_normalizer::{ComposingNormalizer, DecomposingNormalizer};
        let composed = ComposingNormalizer::new_nfc().normalize(&text);
        let apart = DecomposingNormalizer::new_nfd().normalize(&text);
        let shy: String = text.chars().flat_map(|c| [c, '\u{ad}', '\u{200b}']).collect();
        for analyzer in [Analyzer::default(), Analyzer::characters(1, 3)] {
            let want = tokens(analyzer, &text);
            prop_assert_eq!(&tokens(analyzer, &composed), &want);
            prop_assert_eq!(&tokens(analyzer, &apart), &want);
            prop_assert_eq!(&tokens(analyzer, &shy), &want);
        }
    }
}
