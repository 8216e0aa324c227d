"""Networks in PyTorch, written down for `crates/model/tests/network/pytorch.rs` and `crates/runtime/tests/pytorch.rs`.

    python3 crates/model/tests/pytorch/dump.py

The files beside this script were made so, on a CPU, with PyTorch 1.13.1 as Debian 12 has it (`python3-torch`, which
calls itself 1.13.0a0) and Python 3.11. Each holds a network by the fields of its specification, its parameters, some
feature rows with labels, and what PyTorch makes of them without dropout: what goes into every site behind the first,
the words between blocks, the logits, the mean cross-entropy (of one logit: the binary one), and the derivative of it by
every parameter.

Every network is written from the words of `AttentionSpec` and `MlpSpec`, one row at a time, so that there is no padding
and no mask. Parameters and rows are decimals of four digits; PyTorch computes with 64-bit floats from their nearest
32-bit ones, and its results have seven digits.
"""

import json
import math
import pathlib

import torch
import torch.nn.functional as F

EPSILON = 1e-5
INPUTS = 30


def decimals(x):
    """The nearest decimals of four digits, as 64-bit floats that are 32-bit ones."""
    return (x.double() * 1e4).round().div(1e4).float().double()


def made(*shape, spread):
    """Normal numbers."""
    return decimals(torch.randn(*shape) * spread)


class Network:
    """Sites with their parameters, and what went into each."""

    def __init__(self, ranks):
        self.ranks, self.sites, self.inputs, self.words = ranks, {}, {}, {}

    def add(self, name, inputs, outputs, spread=None):
        """A site, or two where it has a rank: `NAME.reduce` with `[inputs, rank]`, then `NAME`."""
        if (rank := self.ranks.get(name)) is not None:
            self.add_one(f"{name}.reduce", inputs, rank, spread)
            inputs, spread = rank, None
        self.add_one(name, inputs, outputs, spread)

    def add_one(self, name, inputs, outputs, spread):
        weight = made(inputs, outputs, spread=spread or 1 / math.sqrt(inputs))
        bias = made(outputs, spread=spread or 0.2)
        self.sites[name] = (weight.requires_grad_(), bias.requires_grad_())

    def site(self, name, x):
        """`x · weight + bias`, after the first factor where there is one."""
        if name in self.ranks:
            x = self.one_site(f"{name}.reduce", x)
        return self.one_site(name, x)

    def one_site(self, name, x):
        self.inputs.setdefault(name, []).append(x)
        weight, bias = self.sites[name]
        return x @ weight + bias

    def keep_words(self, block, tokens):
        self.words.setdefault(block, []).append(tokens)


class Mlp(Network):
    """`inputs → hidden… (ReLU) → outputs`."""

    def __init__(self, hidden, outputs):
        super().__init__({})
        self.spec = {"inputs": INPUTS, "hidden": hidden, "outputs": outputs}
        self.names = [f"hidden.{i}" for i in range(len(hidden))] + ["output"]
        for name, fan_in, fan_out in zip(self.names, [INPUTS, *hidden], [*hidden, outputs]):
            self.add(name, fan_in, fan_out, spread=2 / math.sqrt(fan_in))

    def logits(self, columns, values):
        x = torch.zeros(INPUTS, dtype=torch.float64)
        x[columns] = values
        for name in self.names[:-1]:
            x = F.relu(self.site(name, x))
        return self.site("output", x)


class Attention(Network):
    """Self-attention over the words of a row."""

    def __init__(self, inputs, width, head_width, blocks, outputs, tokens, ranks):
        super().__init__(ranks)
        layers = [{"heads": heads, "neurons": neurons} for heads, neurons in blocks]
        self.spec = {"inputs": inputs, "width": width, "head_width": head_width, "layers": layers}
        self.spec |= {"outputs": outputs, "tokens": tokens, "ranks": ranks}
        self.blocks, self.head_width, self.tokens = blocks, head_width, tokens
        # Tokens of a small variance, so that what is added to it matters.
        self.add("embedding", inputs, width, spread=0.03)
        for i, (heads, neurons) in enumerate(blocks):
            all_heads = heads * head_width
            for part in ("query", "key", "value"):
                self.add(f"encoder.{i}.attention.{part}", width, all_heads, spread=0.4)
            self.add(f"encoder.{i}.attention.output", all_heads, width, spread=0.05)
            self.add(f"encoder.{i}.ffn.up", width, neurons)
            self.add(f"encoder.{i}.ffn.down", neurons, width, spread=0.05)
        self.add("output", width, outputs, spread=0.7)

    def logits(self, columns, values):
        columns, values = self.looked_at(columns, values)
        one_hot = F.one_hot(torch.tensor(columns, dtype=torch.long), self.spec["inputs"])
        x = self.site("embedding", one_hot.double())
        self.keep_words(0, x)
        for i, (heads, _) in enumerate(self.blocks):
            x = x + self.attended(f"encoder.{i}.attention", heads, normed(x))
            x = x + self.site(f"encoder.{i}.ffn.down", F.relu(self.site(f"encoder.{i}.ffn.up", normed(x))))
            self.keep_words(i + 1, x)
        return self.site("output", values @ x)

    def looked_at(self, columns, values):
        """The words of the largest value, the first among equals, in the order of their columns."""
        ranked = sorted(range(len(columns)), key=lambda i: (-values[i].item(), i))
        kept = sorted(ranked[: self.tokens])
        return [columns[i] for i in kept], values[kept]

    def attended(self, name, heads, x):
        """Vaswani et al. 2017, section 3.2: each head on its own, one after the other."""
        query, key, value = (self.site(f"{name}.{part}", x) for part in ("query", "key", "value"))
        brought = []
        for head in range(heads):
            part = slice(head * self.head_width, (head + 1) * self.head_width)
            scores = query[:, part] @ key[:, part].T / math.sqrt(self.head_width)
            brought.append(torch.softmax(scores, dim=1) @ value[:, part])
        return self.site(f"{name}.output", torch.cat(brought, dim=1))


def normed(x):
    """Layer normalisation without gain and bias (Ba et al. 2016)."""
    return F.layer_norm(x, x.shape[-1:], eps=EPSILON)


def row(inputs, words):
    """Columns in order, with values."""
    columns = sorted(torch.randperm(inputs)[:words].tolist())
    return columns, decimals(torch.randn(words).abs() * 0.3 + 0.25)


def mean_loss(logits, labels):
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits[:, 0], torch.tensor(labels, dtype=torch.float64))
    return F.cross_entropy(logits, torch.tensor(labels))


def digits(tensor):
    return [float(f"{x:.7g}") for x in tensor.detach().flatten().tolist()]


def stored(tensor):
    return [round(x, 4) for x in tensor.detach().flatten().tolist()]


def dump(name, family, seed, rows, make):
    """Makes a network with `make`, rows with `rows`, and the file of both."""
    torch.manual_seed(seed)
    network = make()
    examples = rows()
    classes = max(2, network.spec["outputs"])
    labels = [i % classes for i in range(len(examples))]
    logits = torch.stack([network.logits(columns, values) for columns, values in examples])
    loss = mean_loss(logits, labels)
    loss.backward()
    first = next(iter(network.sites))
    both = ("weight", "bias")
    text = {
        "torch": torch.__version__,
        "seed": seed,
        family: network.spec,
        "rows": [{"columns": columns, "values": stored(values)} for columns, values in examples],
        "labels": labels,
        "parameters": {site: dict(zip(both, map(stored, pair))) for site, pair in network.sites.items()},
        "logits": digits(logits),
        "inputs": {
            site: digits(torch.cat([x.reshape(-1) for x in seen]))
            for site, seen in network.inputs.items()
            if site != first
        },
        "words": [digits(torch.cat(tokens)) for tokens in network.words.values()],
        "loss": digits(loss)[0],
        "gradients": {
            site: dict(zip(both, (digits(p.grad) for p in pair))) for site, pair in network.sites.items()
        },
    }
    path = pathlib.Path(__file__).parent / f"{name}.json"
    lines = (f"{json.dumps(key)}:{json.dumps(value, separators=(',', ':'))}" for key, value in text.items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{path.name}: {path.stat().st_size} bytes, loss {text['loss']}")


def bags(inputs, tokens):
    """Rows of more words than are looked at, of none, of one, of a few, of as many."""
    examples = [row(inputs, words) for words in (tokens + 4, 0, 1, 3, tokens)]
    # The one of the largest magnitude is below zero, and the last one looked at is among three equals.
    columns, values = examples[0]
    values[2] = -2.0
    ranked = values.argsort(descending=True)
    values[ranked[tokens : tokens + 2]] = values[ranked[tokens - 1]].item()
    return examples


def main():
    sparse = lambda: [row(INPUTS, words) for words in (7, 3, 0, 1, 9, 5, 4, 6)]
    full = lambda: [row(INPUTS, words) for words in (20, 12, 30, 9, 0, 15)]
    dump("mlp-one-logit", "mlp", 1, sparse, lambda: Mlp([16, 9], 1))
    dump("mlp-four-classes", "mlp", 2, full, lambda: Mlp([16, 9], 4))
    few = lambda: bags(20, 5)
    attention = lambda outputs, ranks: Attention(20, 12, 4, [(2, 9), (3, 7)], outputs, 5, ranks)
    dump("attention", "attention", 3, few, lambda: attention(4, {}))
    ranks = {"embedding": 5, "encoder.0.attention.query": 3, "encoder.1.ffn.down": 4}
    dump("attention-factored", "attention", 4, few, lambda: attention(1, ranks))


if __name__ == "__main__":
    main()
