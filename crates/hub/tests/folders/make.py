"""Makes the folders beside it: tiny encoders of random numbers as transformers writes them, and what it answers.

    pip install torch transformers
    python make.py

Every folder has `expected.jsonl`: texts, the ids of each, and what the model makes of it: the logits of a classifier, the mean
over the tokens of the last hidden states of an encoder.
"""

import json
import pathlib
import shutil

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

HERE = pathlib.Path(__file__).parent
TEXTS = [
    "a small model answers fast",
    "the large model, which is slow, answers the same",
    "small",
    "Fast models!",
    "unseen words are cut",
    "",
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


def write(name, model, tokenizer, **how):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    model.eval()
    # Wider than training begins with, so that every part of the model shows in what it answers.
    with torch.no_grad():
        for kind, parameter in model.named_parameters():
            gain = "norm" in kind.lower() and kind.endswith("weight")
            parameter.normal_(1.0 if gain else 0.0, 0.3 if parameter.dim() == 1 else 0.7)
    model.save_pretrained(folder, **how)
    tokenizer.save_pretrained(folder)
    reopen = transformers.AutoModelForSequenceClassification if name.endswith("classifier") else transformers.AutoModel
    model = reopen.from_pretrained(folder, dtype=torch.float32).eval()
    lines = []
    for text in TEXTS:
        tokens = tokenizer(text, return_tensors="pt", truncation=True)
        tokens.pop("token_type_ids", None)
        with torch.no_grad():
            out = model(**tokens)
        values = out.logits[0] if "logits" in out else out.last_hidden_state[0].mean(dim=0)
        numbers = [float(f"{x:.7g}") for x in values.tolist()]
        lines.append(json.dumps({"text": text, "ids": tokens["input_ids"][0].tolist(), "values": numbers}))
    (folder / "expected.jsonl").write_text("\n".join(lines) + "\n")


def main():
    torch.manual_seed(1)
    words, pairs = wordpiece(), bytepairs()
    sizes = dict(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12)
    labels = dict(id2label={0: "bad", 1: "fair", 2: "good"}, label2id={"bad": 0, "fair": 1, "good": 2})
    of_words = dict(vocab_size=len(words) + 3, max_position_embeddings=32, **sizes)
    of_pairs = dict(vocab_size=len(pairs), max_position_embeddings=34, type_vocab_size=1, pad_token_id=1, **sizes)
    distil = dict(vocab_size=len(words), max_position_embeddings=32, dim=8, n_layers=2, n_heads=2, hidden_dim=12)
    t = transformers
    write("bert", t.BertModel(t.BertConfig(**of_words)), words)
    write("bert-classifier", t.BertForSequenceClassification(t.BertConfig(**of_words, **labels)), words)
    write("bert-masked", t.BertForMaskedLM(t.BertConfig(**of_words)).to(torch.float16), words, max_shard_size="3KB")
    write("roberta", t.RobertaModel(t.RobertaConfig(**of_pairs)), pairs)
    write("roberta-classifier", t.RobertaForSequenceClassification(t.RobertaConfig(**of_pairs, **labels)), pairs)
    write("distilbert", t.DistilBertModel(t.DistilBertConfig(**distil)), words)
    write("distilbert-classifier",
          t.DistilBertForSequenceClassification(t.DistilBertConfig(**distil, **labels)), words)
    electra = t.ElectraConfig(embedding_size=8, **of_words, **labels)
    write("electra-classifier", t.ElectraForSequenceClassification(electra), words)


if __name__ == "__main__":
    main()
