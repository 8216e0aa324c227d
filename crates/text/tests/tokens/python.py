"""What Python's `tokenizers` makes of many texts, for the test in python.rs.

    pip install tokenizers
    python python.py FOLDER TEXTS.json TOKENIZER.json …
    NLPRESS_TOKENIZATION=FOLDER cargo test -p nlpress-text --test tokens -- --ignored python

TEXTS.json is a list of texts. The folder gets a copy of it, and of each tokenizer the file itself, without truncation, with the
ids and types of each text and of pairs of texts, cut at 64 tokens.
"""

import json
import pathlib
import sys

from tokenizers import Tokenizer

MOST = 64


def main():
    folder, file, *tokenizers = map(pathlib.Path, sys.argv[1:])
    folder.mkdir(exist_ok=True)
    texts = json.loads(file.read_text())
    (folder / "texts.json").write_text(json.dumps(texts))
    pairs = [(text, texts[(7 * n + 3) % len(texts)]) for n, text in enumerate(texts)]
    for path in tokenizers:
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.save(str(folder / path.name))
        tokenizer.enable_truncation(max_length=MOST)
        for end, asked in [(".jsonl", texts), (".pairs.jsonl", pairs)]:
            lines = [json.dumps([made.ids, made.type_ids]) + "\n" for made in tokenizer.encode_batch(asked)]
            (folder / path.name).with_suffix(end).write_text("".join(lines))


if __name__ == "__main__":
    main()
