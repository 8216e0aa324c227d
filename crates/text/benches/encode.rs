//! From text to row: how long a text takes to encode, by language and analyzer, and by tokenizer. Texts are made up.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nlpress_text::{
    Algorithm, Analyzer, BagEncoder, EncoderConfig, Scratch, TokenEncoder, TokenScratch, TokensConfig,
    TokensTable,
};
use std::hint::black_box;

/// Texts of made-up words: pieces of `letters`, two to four a word, frequent words more often than rare ones, with a
/// mark and `space` between.
fn texts(letters: &[&str], space: &str, mark: &str) -> Vec<String> {
    let mut state = 7u64;
    let mut below = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let mut word = || -> String {
        let parts = 2 + below(3);
        (0..parts).map(|_| letters[below(letters.len() as u64) as usize]).collect()
    };
    let words: Vec<String> = (0..4000).map(|_| word()).collect();
    let mut text = || {
        let mut out = String::new();
        for n in 1..=100 {
            let rank = below(4000) * below(4000) / 4000;
            out.push_str(&words[rank as usize]);
            out.push_str(if n % 9 == 0 { mark } else { "" });
            out.push_str(space);
        }
        out
    };
    (0..200).map(|_| text()).collect()
}

fn encode(c: &mut Criterion) {
    let latin = ["Ta", "re", "no", "si", "mu", "ple", "cor", "van"];
    let french = ["Té", "re", "nô", "si", "mù", "plé", "çor", "van"];
    let apart = ["Te\u{301}", "re", "no\u{302}", "si", "mu\u{300}", "ple\u{301}", "c\u{327}or", "van"];
    let cyrillic = ["Та", "ре", "но", "си", "му", "пле", "кор", "ван"];
    let hindi = ["का", "रे", "नो", "सि", "मु", "क्षे", "कॉ", "वं"];
    let han =
        ["的", "一", "是", "不", "了", "人", "我", "在", "有", "他", "这", "中", "大", "来", "上", "国"];
    let words = Analyzer::default();
    let characters = Analyzer::characters(1, 2);
    let mut group = c.benchmark_group("encode");
    for (name, texts, analyzer) in [
        ("ascii", texts(&latin, " ", ","), words),
        ("french", texts(&french, " ", ","), words),
        ("french, decomposed", texts(&apart, " ", ","), words),
        ("cyrillic", texts(&cyrillic, " ", ","), words),
        ("hindi", texts(&hindi, " ", "।"), words),
        ("chinese", texts(&han, "", "，"), words),
        ("chinese, characters 1-2", texts(&han, "", "，"), characters),
        ("ascii, characters 1-2", texts(&latin, " ", ","), characters),
    ] {
        let config = EncoderConfig { analyzer, ..EncoderConfig::default() };
        let encoder =
            BagEncoder::fit(&config, texts.iter().map(String::as_str)).expect("the texts have words");
        group.throughput(Throughput::Bytes(texts.iter().map(|t| t.len() as u64).sum()));
        let mut scratch = Scratch::default();
        group.bench_function(name, |b| {
            b.iter(|| {
                texts.iter().map(|t| encoder.encode(black_box(t), &mut scratch).columns.len()).sum::<usize>()
            });
        });
    }
    for (name, algorithm) in [
        ("ascii, wordpiece", Algorithm::Wordpiece),
        ("ascii, bpe", Algorithm::Bpe),
        ("ascii, unigram", Algorithm::Unigram),
        ("ascii, whole words", Algorithm::Words),
    ] {
        let texts = texts(&latin, " ", ",");
        let table =
            TokensTable { algorithm: Some(algorithm), max_tokens: Some(512), ..TokensTable::default() };
        let config = TokensConfig::try_from(&table).expect("within the bounds");
        let encoder =
            TokenEncoder::fit(&config, texts.iter().map(String::as_str)).expect("the texts have words");
        group.throughput(Throughput::Bytes(texts.iter().map(|t| t.len() as u64).sum()));
        let mut scratch = TokenScratch::default();
        let mut tokens = |text: &str| encoder.encode(text, &mut scratch).map_or(0, |row| row.ids.len());
        group.bench_function(name, |b| b.iter(|| texts.iter().map(|t| tokens(black_box(t))).sum::<usize>()));
    }
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
