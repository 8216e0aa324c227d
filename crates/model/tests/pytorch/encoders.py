"""Networks on tokens in PyTorch, written down for the tests `encoders` of `model` and `tokens` of `runtime`.

    python3 crates/model/tests/pytorch/encoders.py

The files beside this script were made so, on a CPU, with PyTorch 1.13.1 and Python 3.11. Each holds a network by the
fields of its specification, its parameters, some texts as token ids (one of none where the network takes it), and what
PyTorch makes of them without dropout: what goes into every site behind the tables, the tokens between layers, the
result, a loss, and the derivative of it by every parameter. The loss is the mean cross-entropy of the labels (of one
logit: the binary one), or for embeddings the sum of their numbers, each times one of `against`.

Every network is written from the words of `EncoderSpec` and `StaticSpec`, one text at a time, so that there is no padding
and no mask; and the layers of an encoder are held against `torch.nn.TransformerEncoderLayer` on the padded batch.
"""

import json
import math
import pathlib

import torch
import torch.nn.functional as F

from dump import decimals, digits, made, mean_loss, stored


class Network:
    """Sites and vectors with their numbers, and what went into each site."""

    def __init__(self):
        self.sites, self.vectors, self.inputs, self.words = {}, {}, {}, {}

    def table(self, name, rows, width, spread):
        self.sites[name] = (made(rows, width, spread=spread).requires_grad_(), None)

    def add(self, name, inputs, outputs, spread=None):
        weight = made(inputs, outputs, spread=spread or 1 / math.sqrt(inputs))
        self.sites[name] = (weight.requires_grad_(), made(outputs, spread=0.2).requires_grad_())

    def add_norm(self, name, width):
        self.vectors[f"{name}.weight"] = decimals(1 + made(width, spread=0.3)).requires_grad_()
        self.vectors[f"{name}.bias"] = made(width, spread=0.3).requires_grad_()

    def site(self, name, x):
        self.inputs.setdefault(name, []).append(x)
        weight, bias = self.sites[name]
        return x @ weight + bias

    def norm(self, name, x):
        gain, bias = self.vectors[f"{name}.weight"], self.vectors[f"{name}.bias"]
        return F.layer_norm(x, x.shape[-1:], gain, bias, eps=self.spec["epsilon"])


class Encoder(Network):
    """BERT: Devlin et al. 2019."""

    def __init__(self, width, layers, heads, intermediate, types, head):
        super().__init__()
        self.spec = {"vocabulary": 24, "tokens": 9, "positions": 11, "types": types, "width": width}
        self.spec |= {"layers": layers, "heads": heads, "intermediate": intermediate}
        self.spec |= {"epsilon": 1e-3, "head": head}
        self.table("embeddings.word_embeddings", 24, width, 0.5)
        self.table("embeddings.position_embeddings", 11, width, 0.3)
        if types:
            self.table("embeddings.token_type_embeddings", types, width, 0.3)
        self.add_norm("embeddings.LayerNorm", width)
        for i in range(layers):
            at = f"encoder.layer.{i}"
            for part in ("query", "key", "value"):
                self.add(f"{at}.attention.self.{part}", width, width, spread=2 / math.sqrt(width))
            self.add(f"{at}.attention.output.dense", width, width)
            self.add_norm(f"{at}.attention.output.LayerNorm", width)
            self.add(f"{at}.intermediate.dense", width, intermediate)
            self.add(f"{at}.output.dense", intermediate, width)
            self.add_norm(f"{at}.output.LayerNorm", width)
        if "pooler" in head:
            self.add("pooler.dense", width, width)
            self.add("classifier", width, head["pooler"]["outputs"])

    def result(self, ids, types):
        x = self.sites["embeddings.word_embeddings"][0][ids]
        x = x + self.sites["embeddings.position_embeddings"][0][: len(ids)]
        if self.spec["types"]:
            x = x + self.sites["embeddings.token_type_embeddings"][0][types or [0] * len(ids)]
        x = self.norm("embeddings.LayerNorm", x)
        self.words.setdefault(0, []).append(x)
        for i in range(self.spec["layers"]):
            at = f"encoder.layer.{i}"
            x = self.norm(f"{at}.attention.output.LayerNorm", x + self.attended(at, x))
            hidden = F.gelu(self.site(f"{at}.intermediate.dense", x))
            x = self.norm(f"{at}.output.LayerNorm", x + self.site(f"{at}.output.dense", hidden))
            self.words.setdefault(i + 1, []).append(x)
        if "pooler" in self.spec["head"]:
            return self.site("classifier", torch.tanh(self.site("pooler.dense", x[0])))
        return F.normalize(x.mean(dim=0), dim=0)

    def attended(self, at, x):
        """Vaswani et al. 2017, section 3.2: each head on its own, one after the other."""
        query, key, value = (self.site(f"{at}.attention.self.{p}", x) for p in ("query", "key", "value"))
        width = self.spec["width"] // self.spec["heads"]
        brought = []
        for head in range(self.spec["heads"]):
            part = slice(head * width, (head + 1) * width)
            scores = query[:, part] @ key[:, part].T / math.sqrt(width)
            brought.append(torch.softmax(scores, dim=1) @ value[:, part])
        return self.site(f"{at}.attention.output.dense", torch.cat(brought, dim=1))

    def check(self):
        """Holds the layers against those that PyTorch has, on all texts at once with padding."""
        first, last = self.words[0], self.words[self.spec["layers"]]
        longest = max(len(x) for x in first)
        batch = torch.stack([F.pad(x, (0, 0, 0, longest - len(x)), value=7.0) for x in first])
        padding = torch.tensor([[n >= len(x) for n in range(longest)] for x in first])
        for i in range(self.spec["layers"]):
            batch = self.layer_of_torch(i)(batch, src_key_padding_mask=padding)
        for ours, theirs in zip(last, batch):
            assert torch.allclose(ours, theirs[: len(ours)], rtol=0, atol=1e-10)

    def layer_of_torch(self, i):
        spec, at = self.spec, f"encoder.layer.{i}"
        layer = torch.nn.TransformerEncoderLayer(
            spec["width"], spec["heads"], spec["intermediate"], 0.0, "gelu", spec["epsilon"], batch_first=True
        ).double()
        site = lambda name: self.sites[f"{at}.{name}"]
        three = [site(f"attention.self.{p}") for p in ("query", "key", "value")]
        vectors = lambda name: (self.vectors[f"{at}.{name}.weight"], self.vectors[f"{at}.{name}.bias"])
        with torch.no_grad():
            layer.self_attn.in_proj_weight.copy_(torch.cat([w.T for w, _ in three]))
            layer.self_attn.in_proj_bias.copy_(torch.cat([b for _, b in three]))
            for module, (weight, bias) in (
                (layer.self_attn.out_proj, site("attention.output.dense")),
                (layer.linear1, site("intermediate.dense")),
                (layer.linear2, site("output.dense")),
            ):
                module.weight.copy_(weight.T)
                module.bias.copy_(bias)
            for module, name in ((layer.norm1, "attention.output.LayerNorm"), (layer.norm2, "output.LayerNorm")):
                module.weight.copy_(vectors(name)[0])
                module.bias.copy_(vectors(name)[1])
        return layer


class Static(Network):
    """The mean of embeddings, then a linear classifier."""

    def __init__(self, width, outputs):
        super().__init__()
        self.spec = {"vocabulary": 24, "tokens": 30, "width": width, "outputs": outputs}
        self.table("embedding", 24, width, 0.5)
        self.add("output", width, outputs)

    def result(self, ids, types):
        rows = self.sites["embedding"][0][torch.tensor(ids, dtype=torch.long)]
        return self.site("output", rows.sum(dim=0) / max(1, len(ids)))

    def check(self):
        bag = F.embedding_bag(
            torch.tensor([3, 5, 3]), self.sites["embedding"][0].detach(), torch.tensor([0]), mode="mean"
        )
        assert torch.allclose(bag, self.sites["embedding"][0][[3, 5, 3]].mean(dim=0), rtol=0, atol=1e-12)


def dump(name, family, seed, lengths, typed, make):
    torch.manual_seed(seed)
    network = make()
    texts = [torch.randint(network.spec["vocabulary"], (n,)).tolist() for n in lengths]
    types = [[int(k >= len(ids) // 2) for k in range(len(ids))] if typed else None for ids in texts]
    results = torch.stack([network.result(ids, of) for ids, of in zip(texts, types)])
    outputs = results.shape[1]
    is_embedding = "embedding" in network.spec.get("head", {})
    labels = [] if is_embedding else [i % max(2, outputs) for i in range(len(texts))]
    against = made(results.numel(), spread=1.0) if is_embedding else torch.zeros(0)
    loss = results.flatten() @ against if is_embedding else mean_loss(results, labels)
    loss.backward()
    network.check()
    parts = lambda pair, of: {k: of(p) for k, p in zip(("weight", "bias"), pair) if p is not None}
    text = {
        "torch": torch.__version__,
        "seed": seed,
        family: network.spec,
        "texts": [{"ids": ids} | ({"types": of} if typed else {}) for ids, of in zip(texts, types)],
        "labels": labels,
        "against": stored(against),
        "parameters": {site: parts(pair, stored) for site, pair in network.sites.items()},
        "vectors": {name: stored(values) for name, values in network.vectors.items()},
        "results": digits(results),
        "inputs": {
            site: digits(torch.cat([x.reshape(-1) for x in seen])) for site, seen in network.inputs.items()
        },
        "words": [digits(torch.cat(tokens)) for tokens in network.words.values()],
        "loss": digits(loss)[0],
        "gradients": {
            site: parts([p if p is None else p.grad for p in pair], digits)
            for site, pair in network.sites.items()
        },
        "vector_gradients": {name: digits(values.grad) for name, values in network.vectors.items()},
    }
    path = pathlib.Path(__file__).parent / f"{name}.json"
    lines = (f"{json.dumps(key)}:{json.dumps(value, separators=(',', ':'))}" for key, value in text.items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{path.name}: {path.stat().st_size} bytes, loss {text['loss']}")


def main():
    pooler = {"pooler": {"activation": "tanh", "outputs": 3}}
    dump("encoder", "encoder", 5, (5, 1, 9, 3, 9, 2), True, lambda: Encoder(32, 2, 4, 40, 2, pooler))
    mean = {"embedding": {"pooling": "mean", "unit": True}}
    dump("encoder-embedding", "encoder", 6, (4, 9, 1, 6), False, lambda: Encoder(8, 1, 2, 12, 0, mean))
    dump("static", "static", 7, (4, 0, 30, 1, 7), False, lambda: Static(6, 1))


if __name__ == "__main__":
    main()
