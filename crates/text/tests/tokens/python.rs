//! Many texts through tokenizers as Python's `tokenizers` cuts them; `python.py` beside it makes what is compared.

use nlpress_text::{TokenEncoder, TokenScratch};
use std::path::{Path, PathBuf};

/// Most tokens of a text, as in `python.py`.
const MOST: usize = 64;

type Lines = Vec<(Vec<u32>, Vec<u8>)>;

fn lines(file: &Path) -> Lines {
    let lines = std::fs::read_to_string(file).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
#[ignore = "needs a folder that python.py made, named by NLPRESS_TOKENIZATION"]
fn texts_become_the_ids_that_python_gives() {
    let folder = PathBuf::from(std::env::var_os("NLPRESS_TOKENIZATION").unwrap());
    let texts: Vec<String> =
        serde_json::from_slice(&std::fs::read(folder.join("texts.json")).unwrap()).unwrap();
    let mut seen = 0;
    for file in std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()) {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        if file.extension().is_none_or(|end| end != "json") || name == "texts" {
            continue;
        }
        let encoder = TokenEncoder::open(&file, MOST).unwrap();
        let mut scratch = TokenScratch::default();
        let mut differ = 0;
        let mut check = |what: &str, n: usize, found: (&[u32], &[u8]), expected: &(Vec<u32>, Vec<u8>)| {
            let types = if expected.1.iter().all(|kind| *kind == 0) { &[][..] } else { &expected.1[..] };
            if (found.0, found.1) != (&expected.0[..], types) {
                differ += 1;
                if differ < 5 {
                    eprintln!("{name}: {what} {n} {:?}:\n{found:?}\n{expected:?}", texts[n]);
                }
            }
        };
        for (n, expected) in lines(&file.with_extension("jsonl")).iter().enumerate() {
            let row = encoder.encode(&texts[n], &mut scratch).unwrap();
            check("text", n, (row.ids, row.types), expected);
        }
        for (n, expected) in lines(&file.with_extension("pairs.jsonl")).iter().enumerate() {
            let pair = [&texts[n][..], &texts[(7 * n + 3) % texts.len()]];
            let row = encoder.encode_pair(pair, &mut scratch).unwrap();
            check("pair", n, (row.ids, row.types), expected);
        }
        eprintln!("{name}: {} texts and as many pairs, {differ} differ", texts.len());
        assert_eq!(differ, 0, "{name}");
        seen += 1;
    }
    assert!(seen > 0 && texts.len() >= 10_000, "{seen} tokenizers, {} texts", texts.len());
}
