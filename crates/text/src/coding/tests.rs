//! Tests of the coded form.

use super::*;
use proptest::prelude::*;

fn write(words: &[&str], counts: &[u32]) -> Option<Vec<u8>> {
    let mut writer = Writer::new(Vec::new(), words.len());
    writer.words(words, counts);
    writer.finish()
}

/// Everything in `bytes` that [`write`] wrote: words and counts up to `most`.
fn read(bytes: &[u8], most: Option<u32>) -> Result<(Vec<Box<str>>, Vec<u32>), TextError> {
    let mut reader = Reader::new(&mut blob::Reader::new("test", bytes))?;
    let words = reader.words()?;
    let counts = most.map(|most| reader.counts(&words, most)).transpose()?.unwrap_or_default();
    reader.end()?;
    Ok((words.words, counts))
}

/// Numbers, names that no dictionary has, and what English has of them.
fn sample() -> Vec<String> {
    let mut words: Vec<String> = (0..400).map(|i| format!("z{}q", i * i)).collect();
    words.extend(
        ["acquire", "acquired", "bank", "banks", "the", "zoo", "of the", "the bank", "é", "好 好"]
            .map(String::from),
    );
    words.sort();
    words
}

fn borrowed(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[test]
fn the_dictionary_is_in_order_and_does_not_change() {
    let english = English::read();
    let words: Vec<&str> = (0..english.len()).map(|place| english.at(place).0).collect();
    assert!(words.windows(2).all(|pair| pair[0] < pair[1]) && words.iter().all(|word| !word.is_empty()));
    assert!((0..english.len()).all(|place| (1..=13).contains(&english.at(place).1)));
    assert_eq!(english.find("the").map(|place| english.at(place)), Some(("the", 1)));
    assert_eq!(english.find("thee"), None);
    // Files that were written name words by their places: another list would make other words of them.
    let hash = include_str!("../../data/english.txt")
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    assert_eq!(format!("{hash:016x}"), "ef6deb2188b3d242");
}

#[test]
fn what_was_written_once_is_read_for_ever() {
    let bytes = include_bytes!("../../tests/golden.vocabulary");
    let (words, counts) = read(bytes, Some(1000)).unwrap();
    let expected = sample();
    assert!(words.iter().map(|word| &**word).eq(expected.iter().map(String::as_str)));
    assert!(counts.iter().zip(1..).all(|(count, i)| *count == 1 + i * i % 31));
}

#[test]
fn frequent_words_take_less_than_two_bytes_with_their_counts() {
    let english = English::read();
    let (words, counts): (Vec<&str>, Vec<u32>) = (0..english.len())
        .filter(|place| place * place % 7 == 1)
        .map(|place| (english.at(place).0, 5 + 4000 / (1 + u32::from(english.at(place).1)).pow(3)))
        .unzip();
    let bytes = write(&words, &counts).unwrap();
    assert!(bytes.len() < 2 * words.len(), "{} bytes for {} words", bytes.len(), words.len());
    let (back, numbers) = read(&bytes, Some(5000)).unwrap();
    assert!(back.iter().map(|word| &**word).eq(words));
    assert_eq!(numbers, counts);
}

#[test]
fn several_lists_counts_and_bits_follow_each_other() {
    let mut writer = Writer::new(vec![7, 7], 3);
    writer.words(&["bank", "banks", "zzz"], &[3, 9, 4]);
    writer.words(&[], &[]);
    writer.count(2);
    writer.numbers(&[0, u32::MAX - 1, 1 << 20]);
    writer.bits(64, 0xfedc_ba98_7654_3210);
    writer.words(&["a b", "b"], &[]);
    let bytes = writer.finish().unwrap();
    let mut plain = blob::Reader::new("test", &bytes);
    plain.take(2).unwrap();
    let mut reader = Reader::new(&mut plain).unwrap();
    let words = reader.words().unwrap();
    assert_eq!(reader.counts(&words, 9).unwrap(), [3, 9, 4]);
    assert!(reader.words().unwrap().words.is_empty());
    assert_eq!(reader.count().unwrap(), 2);
    assert_eq!(reader.numbers(3), [0, u32::MAX - 1, 1 << 20]);
    assert_eq!(reader.bits(64).unwrap(), 0xfedc_ba98_7654_3210);
    assert_eq!(reader.words().unwrap().words.concat(), "a bb");
    reader.end().unwrap();
}

#[test]
fn cut_and_lengthened_codes_are_refused() {
    let words = sample();
    let counts: Vec<u32> = (1..).take(words.len()).collect();
    let bytes = write(&borrowed(&words), &counts).unwrap();
    // A shorter code may be one of other words, but hardly ever.
    let read_cut = |n: &usize| read(&bytes[..*n], Some(1000)).is_ok();
    let accepted = (0..bytes.len()).rev().take(100).filter(read_cut).count();
    assert!(accepted < 9, "{accepted} of 100");
    assert!(read(&[&bytes[..], &[0]].concat(), Some(1000)).is_err());
    let error = read(&bytes, Some(words.len() as u32 - 1)).unwrap_err().to_string();
    assert!(error.contains("a count above"), "{error}");
    let error = read(&[64, 0], None).unwrap_err().to_string();
    assert!(error.contains("tables of 2^64 slots"), "{error}");
}

#[test]
fn few_bytes_do_not_make_much() {
    // A writer that knows no bounds: as many words as it likes in a code that hardly grows.
    let all: Vec<String> = (0..40_000).map(|i| format!("{i:016}")).collect();
    let mut writer = Writer::new(Vec::new(), 1);
    writer.words(&borrowed(&all), &[]);
    let Writer { coding, .. } = writer;
    let bytes = coding.bits.finish();
    assert!(bytes.len() * TEXT_A_BYTE < 40_000 * 16, "{} bytes are no few", bytes.len());
    let error = read(&bytes, None).unwrap_err().to_string();
    assert!(error.contains("so few bytes can say"), "{error}");
    // The writer that knows them does not write what would be refused.
    assert_eq!(write(&borrowed(&all), &[]), None);
}

proptest! {
    #[test]
    fn words_and_counts_come_back(
        set in prop::collection::btree_set("[a-c ]{1,9}|\\PC{1,5}|(the|bank|film)s?( of)?|x{0,250}", 0..60),
        counts in prop::collection::vec(prop_oneof![0u32..9, any::<u32>()], 60),
    ) {
        let words: Vec<String> = set.into_iter().filter(|word| !word.is_empty()).collect();
        let counts: Vec<u32> = counts[..words.len()].iter().map(|count| (*count).min(u32::MAX - 1)).collect();
        let Some(bytes) = write(&borrowed(&words), &counts) else { return Ok(()) };
        let (back, numbers) = read(&bytes, Some(u32::MAX)).unwrap();
        prop_assert!(back.iter().map(|word| &**word).eq(words.iter().map(String::as_str)));
        prop_assert_eq!(numbers, counts);
    }

    #[test]
    fn noise_never_panics(
        width in 10u8..=18,
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(255)], 0..80),
    ) {
        if let Ok((words, counts)) = read(&[&[width], &bytes[..]].concat(), Some(100)) {
            prop_assert!(words.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(counts.len() == words.len() && counts.iter().all(|count| *count <= 100));
        }
    }

    #[test]
    fn damage_never_panics(at in any::<prop::sample::Index>(), flip in 1u8..=255, cut in 0usize..9) {
        let words = sample();
        let mut bytes = write(&borrowed(&words), &vec![3; words.len()]).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        bytes.truncate(bytes.len() - cut);
        if let Ok((words, _)) = read(&bytes, Some(100)) {
            prop_assert!(words.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
