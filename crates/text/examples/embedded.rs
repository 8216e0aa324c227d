//! Writes the embedded corpus into a folder, for programs that read files: `embedded FOLDER` makes `train.jsonl`,
//! `valid.jsonl` and `test.jsonl` there, rows of `text` and `label`.

use nlpress_text::Corpus;
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: embedded FOLDER")?;
    let corpus = Corpus::embedded()?;
    for (name, documents) in corpus.splits() {
        let mut lines = String::new();
        for document in documents {
            let row = serde_json::json!({
                "text": document.text, "label": corpus.labels[document.label as usize],
            });
            lines += &format!("{row}\n");
        }
        let file = Path::new(&folder).join(format!("{name}.jsonl"));
        nlpress_core::files::write_atomically(&file, lines.as_bytes())?;
    }
    Ok(())
}
