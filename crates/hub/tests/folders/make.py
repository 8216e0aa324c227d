"""Makes the folders beside it: tiny encoders of random numbers as transformers writes them, and what it answers.

    pip install torch transformers
    python make.py [NAME …]

Every folder has `expected.jsonl`: texts (of some folders pairs of texts), the ids of each with the types of its tokens where they
are not all 0, and what the model makes of it: the logits of a classifier, the mean over the tokens of the last hidden states of
an encoder. Without names all folders are made.
"""

import json
import pathlib
import shutil
import sys
import zlib

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

HERE = pathlib.Path(__file__).parent
TEXTS = [
    "a small model answers fast",
    "the large model, which is slow, answers the same",
    "small",
    "Fast models!",
    "unseen words are cut",
    "",
]
LONG = "the large slow model answers the same as a small fast one . " * 2
# An empty second text is none to transformers.
PAIRS = [
    ("is a small model fast ?", "the small model answers fast"),
    ("", "slow"),
    (LONG, "the same word"),
    ("the same word", LONG),
    (LONG, LONG),
    ("a fast model is unseen", "Fast models, which are the same!"),
]
PIECES = "a the small large model answer fast slow which is are same word un seen cut ##s ##seen , . !".split()


def wordpiece():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {token: n for n, token in enumerate(special + PIECES)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.add_special_tokens(special)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    names = dict(zip(["pad_token", "unk_token", "cls_token", "sep_token", "mask_token"], special))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=30, **names)


def mpnet_words():
    special = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]
    vocabulary = {token: n for n, token in enumerate(special + PIECES)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.add_special_tokens(special)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    names = dict(pad_token="<pad>", unk_token="[UNK]", cls_token="<s>", bos_token="<s>", sep_token="</s>", eos_token="</s>",
                 mask_token="<mask>")
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=30, **names)


def modern_pairs():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("s", "m"), ("a", "l"), ("al", "l"), ("sm", "all"), ("Ġ", "m"), ("o", "d"), ("Ġm", "od"), ("e", "l")]
    tokens = letters + [left + right for left, right in merges] + special
    vocabulary = {token: n for n, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    # Runs of spaces are tokens of their own in ModernBERT.
    tokenizer.add_tokens([AddedToken("  ", normalized=True), AddedToken("   ", normalized=True)])
    tokenizer.add_special_tokens(special[:4] + [AddedToken("[MASK]", lstrip=True, normalized=False)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    names = dict(zip(["pad_token", "unk_token", "cls_token", "sep_token", "mask_token"], special))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=30, **names)


def bytepairs():
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("s", "m"), ("a", "l"), ("al", "l"), ("sm", "all"), ("Ġ", "m"), ("o", "d"), ("Ġm", "od"), ("e", "l")]
    tokens = special + letters + [left + right for left, right in merges]
    vocabulary = {token: n for n, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>"))
    tokenizer.add_special_tokens(special)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    names = dict(pad_token="<pad>", unk_token="<unk>", cls_token="<s>", bos_token="<s>", sep_token="</s>",
                 eos_token="</s>", mask_token="<mask>")
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=30, **names)


def write(name, model, tokenizer, pairs=False, **how):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(zlib.crc32(name.encode()))
    model.eval()
    # Wider than training begins with, so that every part of the model shows in what it answers.
    with torch.no_grad():
        for kind, parameter in model.named_parameters():
            gain = "norm" in kind.lower() and kind.endswith("weight")
            parameter.normal_(1.0 if gain else 0.0, 0.3 if parameter.dim() == 1 else 0.7)
    model.save_pretrained(folder, **how)
    tokenizer.save_pretrained(folder)
    is_classifier = "SequenceClassification" in type(model).__name__
    reopen = transformers.AutoModelForSequenceClassification if is_classifier else transformers.AutoModel
    model = reopen.from_pretrained(folder, dtype=torch.float32).eval()
    lines = []
    for text in PAIRS if pairs else TEXTS:
        asked = text if pairs else (text,)
        tokens = tokenizer(*asked, return_tensors="pt", truncation=True, return_token_type_ids=True)
        types = tokens["token_type_ids"][0].tolist()
        if not pairs or getattr(model.config, "type_vocab_size", 0) < 2:
            tokens.pop("token_type_ids", None)
        with torch.no_grad():
            out = model(**tokens)
        values = out.logits[0] if "logits" in out else out.last_hidden_state[0].mean(dim=0)
        numbers = [float(f"{x:.7g}") for x in values.tolist()]
        line = {"text": asked[0], "ids": tokens["input_ids"][0].tolist(), "values": numbers}
        if pairs:
            line["pair"] = asked[1]
        if any(types):
            line["types"] = types
        lines.append(json.dumps(line))
    (folder / "expected.jsonl").write_text("\n".join(lines) + "\n")


def main():
    words, pairs = wordpiece(), bytepairs()
    sizes = dict(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12)
    labels = dict(id2label={0: "bad", 1: "fair", 2: "good"}, label2id={"bad": 0, "fair": 1, "good": 2})
    score = dict(num_labels=1)
    of_words = dict(vocab_size=len(words) + 3, max_position_embeddings=32, **sizes)
    of_pairs = dict(vocab_size=len(pairs), max_position_embeddings=34, type_vocab_size=1, pad_token_id=1, **sizes)
    distil = dict(vocab_size=len(words), max_position_embeddings=32, dim=8, n_layers=2, n_heads=2, hidden_dim=12)
    narrow = dict(embedding_size=6, **of_words)
    mpnet_tokens, modern_tokens = mpnet_words(), modern_pairs()
    mpnet = dict(of_pairs, vocab_size=len(mpnet_tokens))
    mpnet.pop("type_vocab_size")
    # Texts are longer than the window, and there is a second layer that attends to all tokens.
    modern = dict(sizes, num_hidden_layers=4, vocab_size=len(modern_tokens), max_position_embeddings=32, local_attention=4,
                  pad_token_id=modern_tokens.pad_token_id, bos_token_id=modern_tokens.cls_token_id,
                  cls_token_id=modern_tokens.cls_token_id, eos_token_id=modern_tokens.sep_token_id,
                  sep_token_id=modern_tokens.sep_token_id)
    t = transformers
    folders = {
        "bert": lambda: (t.BertModel(t.BertConfig(**of_words)), words),
        "bert-classifier": lambda: (t.BertForSequenceClassification(t.BertConfig(**of_words, **labels)), words),
        "bert-masked": lambda: (t.BertForMaskedLM(t.BertConfig(**of_words)).to(torch.float16), words),
        "bert-pairs": lambda: (t.BertForSequenceClassification(t.BertConfig(**of_words, **score)), words),
        "roberta": lambda: (t.RobertaModel(t.RobertaConfig(**of_pairs)), pairs),
        "roberta-classifier": lambda: (t.RobertaForSequenceClassification(t.RobertaConfig(**of_pairs, **labels)), pairs),
        "roberta-pairs": lambda: (t.RobertaForSequenceClassification(t.RobertaConfig(**of_pairs, **labels)), pairs),
        "distilbert": lambda: (t.DistilBertModel(t.DistilBertConfig(**distil)), words),
        "distilbert-classifier": lambda: (
            t.DistilBertForSequenceClassification(t.DistilBertConfig(**distil, **labels)), words),
        "electra-classifier": lambda: (
            t.ElectraForSequenceClassification(t.ElectraConfig(embedding_size=8, **of_words, **labels)), words),
        "electra-small": lambda: (t.ElectraModel(t.ElectraConfig(**narrow)), words),
        "electra-small-classifier": lambda: (
            t.ElectraForSequenceClassification(t.ElectraConfig(**narrow, **labels)), words),
        "mpnet": lambda: (t.MPNetModel(t.MPNetConfig(**mpnet)), mpnet_tokens),
        "mpnet-classifier": lambda: (t.MPNetForSequenceClassification(t.MPNetConfig(**mpnet, **labels)), mpnet_tokens),
        "modernbert": lambda: (t.ModernBertModel(t.ModernBertConfig(**modern)), modern_tokens),
        "modernbert-classifier": lambda: (
            t.ModernBertForSequenceClassification(t.ModernBertConfig(**modern, **labels)), modern_tokens),
        "modernbert-pairs": lambda: (
            t.ModernBertForSequenceClassification(t.ModernBertConfig(**modern, classifier_pooling="mean", **score)),
            modern_tokens),
    }
    for name, make in folders.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        how = dict(max_shard_size="3KB") if name == "bert-masked" else {}
        write(name, *make(), pairs=name.endswith("-pairs"), **how)


if __name__ == "__main__":
    main()
