//! The same text written in other ways, symbols and emoji, and the settings of tokens, through the command.

use icu_normalizer::{ComposingNormalizer, DecomposingNormalizer};
use std::fmt::Write as _;

use crate::world::World;

/// Words that tell the class, for each of two, and words that tell nothing; made into rows.
struct Language {
    name: &'static str,
    up: &'static [&'static str],
    down: &'static [&'static str],
    rest: &'static [&'static str],
}

const LANGUAGES: [Language; 8] = [
    Language {
        name: "french",
        up: &["réussi", "léger", "très", "naïf"],
        down: &["gâché", "déçu", "raté", "forçé"],
        rest: &["été", "l’hôtel", "où", "garçon", "maître"],
    },
    Language {
        name: "vietnamese",
        up: &["tuyệt", "đẹp", "tốt", "thích"],
        down: &["tệ", "chán", "dở", "ghét"],
        rest: &["phòng", "khách", "sạn", "một", "người"],
    },
    Language {
        name: "hindi",
        up: &["अच्छी", "बढ़िया", "सुंदर"],
        down: &["ख़राब", "बुरी", "गंदी"],
        rest: &["फ़िल्म", "कहानी", "में", "दऱ्या", "क़लम"],
    },
    Language {
        name: "thai",
        up: &["ดีมาก", "ชอบ", "น้ำใจ"],
        down: &["แย่", "เสีย", "ช้ำ"],
        rest: &["ร้าน", "ที่นี่", "กำลัง", "หนังสือ"],
    },
    Language {
        name: "hebrew",
        up: &["טוֹב", "יָפֶה", "נָעִים"],
        down: &["רַע", "גָּרוּעַ", "עָצוּב"],
        rest: &["שָׁלוֹם", "סֵפֶר", "שׂוּק", "בַּיִת"],
    },
    Language {
        name: "korean",
        up: &["좋아요", "최고", "훌륭한"],
        down: &["나빠요", "최악", "지루한"],
        rest: &["영화", "사람", "한국", "책을"],
    },
    Language {
        name: "turkish",
        up: &["İYİ", "güzel", "başarılı"],
        down: &["KÖTÜ", "çirkin", "sıkıcı"],
        rest: &["İstanbul", "şehir", "ağaç", "öğle"],
    },
    Language {
        name: "greek",
        up: &["καλό", "ὡραῖον", "τέλειο"],
        down: &["κακό", "άσχημο", "χάλια"],
        rest: &["ταινία", "ἄνθρωπος", "ᾠδή", "πόλη"],
    },
];

impl Language {
    /// Texts with their classes, at random but always the same.
    /// No two seeds give a row the same name.
    fn rows(&self, count: usize, seed: u64) -> Vec<(String, &'static str)> {
        let mut state = seed;
        let mut pick = |words: &[&'static str]| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            words[(state >> 33) as usize % words.len()]
        };
        let mut row = |n: usize| {
            let (own, label) = if n.is_multiple_of(2) { (self.up, "up") } else { (self.down, "down") };
            let words = [pick(self.rest), pick(own), pick(self.rest), pick(own), pick(self.rest)];
            (format!("{} n{n}s{seed}", words.join(" ")), label)
        };
        (0..count).map(&mut row).collect()
    }
}

fn composed(text: &str) -> String {
    ComposingNormalizer::new_nfc().normalize(text).into_owned()
}

/// The other way of writing: in parts, and where a script has none, with the characters that its keyboards and fonts
/// use beside the usual ones.
fn apart(text: &str) -> String {
    let parts = DecomposingNormalizer::new_nfd().normalize(text).into_owned();
    let thai = parts.replace('\u{e33}', "\u{e4d}\u{e32}");
    thai.replace("\u{5e9}\u{5c2}", "\u{fb2b}").replace("\u{5d5}\u{5bc}", "\u{fb35}")
}

fn csv(rows: &[(String, &str)], write: impl Fn(&str) -> String) -> String {
    rows.iter().fold("text,label\n".to_owned(), |mut out, (text, label)| {
        writeln!(out, "\"{}\",{label}", write(text)).unwrap();
        out
    })
}

fn lines(rows: &[(String, &str)], write: impl Fn(&str) -> String) -> String {
    rows.iter().map(|(text, _)| write(text) + "\n").collect()
}

fn train(world: &World, data: &str, out: &str, more: &[&str]) {
    let options =
        ["--out", out, "--hidden", "none", "--epochs", "15", "--learning-rate", "0.05", "--batch", "8"];
    world.does(&[&["train", "--data", data], &options[..], more].concat());
}

fn predict(world: &World, artifact: &str, input: &str) -> String {
    let done = world.run(&["predict", artifact], input.as_bytes());
    assert_eq!(done.code, Some(0), "{}", done.err);
    done.out
}

fn accuracy(world: &World, artifact: &str, data: &str) -> f64 {
    let scored = world.json(&["eval", artifact, "--data", data, "--json"]);
    scored["quality"]["accuracy"]["mean"].as_f64().unwrap()
}

/// Share of the rows that got their class, and no answer in which `one` and `other` differ.
fn same_answers(world: &World, artifact: &str, rows: &[(String, &str)], one: &str, other: &str) -> f64 {
    let first = predict(world, artifact, one);
    assert_ne!(one, other);
    assert_eq!(first, predict(world, artifact, other));
    let right = first.lines().zip(rows).filter(|(line, (_, label))| line.split('\t').next() == Some(label));
    right.count() as f64 / rows.len() as f64
}

#[test]
fn composed_and_decomposed_texts_get_the_same_answers() {
    for language in &LANGUAGES {
        let world = World::new();
        let (known, asked) = (language.rows(160, 1), language.rows(60, 2));
        let (whole, parts) = (lines(&asked, composed), lines(&asked, apart));
        for file in ["nfc.csv", "nfd.csv"] {
            world.write(file, csv(&known, if file == "nfc.csv" { composed } else { apart }));
            for (name, more) in [("words", &[][..]), ("characters", &["--ngrams", "1-3"])] {
                let artifact = format!("{name}.safetensors");
                train(&world, file, &artifact, more);
                let right = same_answers(&world, &artifact, &asked, &whole, &parts);
                assert!(right > 0.9, "{} {file} {name}: {right}", language.name);
            }
        }
    }
}

#[test]
fn what_is_not_seen_and_what_is_wide_changes_no_answer() {
    let world = World::new();
    let english = Language {
        name: "english",
        up: &["splendid", "charming", "efficient"],
        down: &["dreadful", "boring", "offensive"],
        rest: &["river", "don't", "garden", "office", "Market"],
    };
    let (known, asked) = (english.rows(160, 1), english.rows(60, 2));
    world.write("train.csv", csv(&known, str::to_owned));
    train(&world, "train.csv", "m.safetensors", &[]);
    let plain = lines(&asked, str::to_owned);
    let inside = |mark: char| {
        lines(&asked, |text| {
            let inner =
                |word: &str| word.chars().map(String::from).collect::<Vec<_>>().join(&mark.to_string());
            text.split(' ').map(inner).collect::<Vec<_>>().join(" ")
        })
    };
    let wide = |c: char| if c.is_ascii_graphic() { char::from_u32(c as u32 + 0xfee0).unwrap() } else { c };
    let others = [
        inside('\u{ad}'),
        inside('\u{200b}'),
        inside('\u{200c}'),
        inside('\u{200d}'),
        inside('\u{2060}'),
        inside('\u{feff}'),
        inside('\u{fe0f}'),
        plain.chars().map(wide).collect(),
        plain.replace("ff", "\u{fb00}").replace("fi", "\u{fb01}"),
        plain.replace('\'', "’"),
        plain.replace(' ', "\u{2009}"),
        plain.replace(' ', "\u{3000}"),
        plain.to_uppercase(),
    ];
    for other in others {
        assert!(same_answers(&world, "m.safetensors", &asked, &plain, &other) > 0.9);
    }
}

#[test]
fn emoji_and_names_with_signs_are_features() {
    let world = World::new();
    let sets: [(&str, [&'static [&'static str]; 2]); 4] = [
        ("emoji", [&["😀", "😍😍", "👍🏽"], &["😡", "💩", "👎🏽"]]),
        ("joined", [&["👩‍💻", "❤️‍🔥"], &["👩‍🚀", "🔥"]]),
        ("flags", [&["🇩🇪", "🇫🇷"], &["🇩🇰", "🇫🇮"]]),
        ("languages", [&["C++", "c++17"], &["C#", "c"]]),
    ];
    for (name, [up, down]) in sets {
        let set = Language { name, up, down, rest: &["river", "garden", "market"] };
        world.write("train.csv", csv(&set.rows(160, 1), str::to_owned));
        world.write("test.csv", csv(&set.rows(60, 2), str::to_owned));
        train(&world, "train.csv", "m.safetensors", &[]);
        assert!(accuracy(&world, "m.safetensors", "test.csv") > 0.95, "{}", set.name);
    }
    let only = Language { name: "only", up: &["😀", "😍"], down: &["😡", "💩"], rest: &["!", "..."] };
    let bare: Vec<_> = only
        .rows(160, 1)
        .into_iter()
        .map(|(text, label)| (text.split(" n").next().unwrap().to_owned(), label))
        .collect();
    world.write("only.csv", csv(&bare, str::to_owned));
    train(&world, "only.csv", "m.safetensors", &[]);
    assert!(accuracy(&world, "m.safetensors", "only.csv") > 0.95);
}

#[test]
fn signs_are_features_when_asked_for_and_otherwise_the_error_says_how() {
    let world = World::new();
    let rows: String = (0..120).map(|n| [":),up\n", ":(,down\n", ";-),up\n", ">:[,down\n"][n % 4]).collect();
    world.write("signs.csv", format!("text,label\n{rows}"));
    world.refuses(
        &["train", "--data", "signs.csv", "--out", "m.safetensors"],
        b"",
        &["vocabulary is empty", "--symbols", "--ngrams 1-2"],
    );
    // Copies stay in one split; that the classes are learned is for the encoder, not for the split to show.
    let set = Language {
        name: "signs",
        up: &[":)", ";-)", "<3", "->"],
        down: &[":(", ">:[", "</3", "<-"],
        rest: &["river", "garden", "market"],
    };
    world.write("train.csv", csv(&set.rows(160, 1), str::to_owned));
    world.write("test.csv", csv(&set.rows(60, 2), str::to_owned));
    train(&world, "train.csv", "without.safetensors", &[]);
    train(&world, "train.csv", "with.safetensors", &["--symbols"]);
    assert!(accuracy(&world, "without.safetensors", "test.csv") < 0.8);
    assert!(accuracy(&world, "with.safetensors", "test.csv") > 0.95);
}

#[test]
fn word_ngrams_stop_words_and_boundaries_reach_the_artifact() {
    let world = World::new();
    // The order of two words tells the class, and a stop word stands between them.
    let set = Language {
        name: "order",
        up: &["red the blue"],
        down: &["blue the red"],
        rest: &["river", "garden"],
    };
    world.write("train.csv", csv(&set.rows(160, 1), str::to_owned));
    world.write("test.csv", csv(&set.rows(60, 2), str::to_owned));
    world.write("stop.txt", "The\nof\n");
    train(&world, "train.csv", "one.safetensors", &[]);
    let two = ["--word-ngrams", "1-2", "--stop-words", "stop.txt"];
    train(&world, "train.csv", "two.safetensors", &two);
    std::fs::remove_file(world.path("stop.txt")).unwrap();
    assert!(accuracy(&world, "one.safetensors", "test.csv") < 0.8);
    assert!(accuracy(&world, "two.safetensors", "test.csv") > 0.95);
    let answer = |text: &str| predict(&world, "two.safetensors", text);
    assert_eq!(answer("red the blue"), answer("RED of blue"));

    // Words that somebody cut: characters tell nothing, words do.
    let cut =
        Language {
            name: "cut", up: &["上海", "海上"], down: &["上上", "海海"], rest: &["很 好", "不 错"]
        };
    let rows: Vec<_> = cut
        .rows(160, 1)
        .into_iter()
        .map(|(text, label)| (text.replace("上海", "上海 海上"), label))
        .collect();
    world.write("cut.csv", csv(&rows, str::to_owned));
    train(&world, "cut.csv", "cut.safetensors", &["--boundaries", "spaces"]);
    assert!(accuracy(&world, "cut.safetensors", "cut.csv") > 0.95);
    train(&world, "train.csv", "within.safetensors", &["--ngrams", "2-4", "--within-words"]);
    train(&world, "train.csv", "across.safetensors", &["--ngrams", "2-5"]);
    let across = accuracy(&world, "across.safetensors", "test.csv");
    assert!(across > 0.95, "{across}");
    let within = world.json(&["inspect", "within.safetensors", "--json"]).to_string();
    assert!(within.contains("\"within_words\":true"), "{within}");
}

#[test]
fn settings_of_tokens_that_cannot_be_are_refused() {
    let world = World::new();
    world.write("stop.txt", "the\nof the\n");
    world.write("bytes.txt", b"the\n\xff\n");
    for (options, says) in [
        (&["--ngrams", "2"][..], &["--ngrams is \"2\"", "such as 1-2"][..]),
        (&["--ngrams", "0-2"], &["characters.min = 0"]),
        (&["--ngrams", "1-9"], &["characters.max = 9"]),
        (&["--word-ngrams", "2-1"], &["word_ngrams = [2, 1]"]),
        (&["--word-ngrams", "1-6"], &["word_ngrams = [1, 6]"]),
        (&["--ngrams", "1-2", "--symbols"], &["--symbols"]),
        (&["--ngrams", "1-2", "--stop-words", "stop.txt"], &["--stop-words"]),
        (&["--within-words"], &["--ngrams"]),
        (&["--stop-words", "stop.txt"], &["stop.txt:2", "\"of the\" is 2 words"]),
        (&["--stop-words", "bytes.txt"], &["bytes.txt:2", "UTF-8"]),
        (&["--stop-words", "none.txt"], &["none.txt"]),
        (&["--boundaries", "spaces", "--symbols"], &["symbols = true", "spaces"]),
    ] {
        let train = ["train", "--data", "rows.csv", "--out", "m.safetensors"];
        world.refuses(&[&train[..], options].concat(), b"", says);
    }
}

#[test]
fn recipes_have_the_settings_of_tokens() {
    let world = World::new();
    std::fs::create_dir(world.path("recipes")).unwrap();
    world.write("recipes/stop.txt", "und1\n");
    let recipe = |encoder: &str| {
        let text = format!(
            "schema = 1\n[model]\nnetwork = {{ mlp = {{ hidden = [4] }} }}\n\
             [data]\nfiles = \"../rows.csv\"\nencoder = {{ {encoder} }}\n[train]\nepochs = 1\n"
        );
        world.write("recipes/r.toml", text);
    };
    for encoder in [
        "word_ngrams = [1, 2], symbols = true, stop_words = \"stop.txt\"",
        "stop_words = [\"und1\", \"und2\"]",
        "analyzer = { words = { boundaries = \"spaces\" } }",
        "analyzer = { characters = { min = 2, max = 4, within_words = true } }",
        "version = 1",
    ] {
        recipe(encoder);
        world.does(&["plan", "recipes/r.toml"]);
    }
    for (encoder, says) in [
        ("word_ngrams = [0, 2]", "word_ngrams = [0, 2]"),
        ("word_ngrams = [1, 2, 3]", "word_ngrams"),
        ("stop_words = \"none.txt\"", "none.txt"),
        ("symbols = true, analyzer = { characters = { min = 1, max = 2 } }", "symbols = true"),
        ("analyzer = { words = { boundaries = \"tabs\" } }", "tabs"),
        ("version = 3", "version = 3"),
        ("version = 1, symbols = true", "needs version 2"),
    ] {
        recipe(encoder);
        world.refuses(&["plan", "recipes/r.toml"], b"", &["r.toml:6", says]);
    }
    recipe("stop_words = [\"a b\"]");
    world.refuses(&["plan", "recipes/r.toml"], b"", &["stop word 1: \"a b\" is 2 words"]);
}
