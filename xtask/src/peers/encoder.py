"""Times an encoder of the kind of BERT in another library: `encoder.py PEER FOLDER THREADS DOCUMENTS`.

FOLDER holds `encoder/` (the model's `config.json` and `model.safetensors`), `tokens.json` (the token ids of the documents) and
what was converted before. The first DOCUMENTS go one by one with their true lengths and, sorted by length and padded, in batches; the
faster way counts. Embeddings are the mean of the tokens at length 1, and are compared with those in `f32.json`, where
that is there. One line of JSON is printed.
"""

import contextlib
import importlib.metadata
import os
import statistics
import time

# Documents of a padded batch.
BATCH = 8
# Documents from which the ranges of activations are taken.
CALIBRATION = 300


def versions(*packages):
    return ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)


def resident():
    """The most memory that this process has held, in bytes."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def tokens(folder):
    with open(os.path.join(folder, "tokens.json"), encoding="ascii") as file:
        return json.load(file)


def measure(folder, count, version, embed):
    """Times `embed`, which takes ids and a mask, `[texts, tokens]`, and gives `[texts, tokens, width]`."""
    numpy = need("numpy", "numpy")
    documents = tokens(folder)[:count]

    def padded(texts):
        longest = max(map(len, texts))
        ids = numpy.zeros((len(texts), longest), "int64")
        mask = numpy.zeros((len(texts), longest), "int64")
        for n, text in enumerate(texts):
            ids[n, : len(text)] = text
            mask[n, : len(text)] = 1
        return ids, mask

    def pooled(states, mask):
        weights = mask[:, :, None].astype("float32")
        mean = (states * weights).sum(1) / weights.sum(1)
        return mean / numpy.linalg.norm(mean, axis=1, keepdims=True)

    def run(batches):
        return [pooled(embed(ids, mask), mask) for ids, mask in batches]

    def seconds(of, repetitions):
        times = []
        for _ in range(repetitions):
            begin = time.perf_counter()
            run(of)
            times.append(time.perf_counter() - begin)
        return statistics.median(times)

    singles = [padded([text]) for text in documents]
    ordered = sorted(documents, key=len)
    batches = [padded(ordered[n : n + BATCH]) for n in range(0, len(ordered), BATCH)]
    run(singles[:16])
    run(batches[:2])
    ways = {"one by one": seconds(singles, 1), f"batches of {BATCH}": seconds(batches, 1)}
    way = min(ways, key=ways.get)
    fixed = {}
    for count, length in ((1, 16), (1, 128), (32, 128)):
        ids = [[101] + [(7 * n + 31 * r) % 20000 + 1000 for n in range(length - 2)] + [102] for r in range(count)]
        one = [padded(ids)]
        run(one)
        fixed[f"{count}x{length}"] = 1000 * seconds(one, 20 if count == 1 else 3)
    vectors = numpy.concatenate(run(singles))
    cosine = None
    path = os.path.join(folder, "f32.json")
    if os.path.exists(path):
        with open(path, encoding="ascii") as file:
            exact = numpy.array(json.load(file), "float32").reshape(-1, vectors.shape[1])[: len(vectors)]
        products = (exact * vectors).sum(1)
        cosine = {"mean": float(products.mean()), "least": float(products.min())}
    return {
        "version": version,
        "way": way,
        "documents_per_s": len(documents) / ways[way],
        "ms": fixed,
        "rss_bytes": resident(),
        "cosine": cosine,
    }


def finished(path, write):
    """Writes a file through a passing one, so that a stopped run leaves no half of it."""
    if not os.path.exists(path):
        stem, end = os.path.splitext(path)
        passing = stem + ".part" + end
        write(passing)
        if os.path.exists(stem + ".part.bin"):  # beside OpenVINO's description
            os.replace(stem + ".part.bin", stem + ".bin")
        os.replace(passing, path)
    return path


# The model as ONNX, written down from its tensors ---------------------------------------------------------------


def onnx_model(folder):
    return finished(os.path.join(folder, "encoder.onnx"), lambda to: write_onnx(folder, to))


def write_onnx(folder, path):
    """BERT's operations by their usual names, so that libraries find what they fuse."""
    onnx = need("onnx", "onnx")
    numpy = need("numpy", "numpy")
    load = need("safetensors.numpy", "safetensors").load_file
    helper, kinds = onnx.helper, onnx.TensorProto
    with open(os.path.join(folder, "encoder", "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    tensors = load(os.path.join(folder, "encoder", "model.safetensors"))
    tensors = {name.removeprefix("bert."): x.astype("float32") for name, x in tensors.items() if x.dtype.kind == "f"}
    width, heads = config["hidden_size"], config["num_attention_heads"]
    nodes, constants = [], {}

    def constant(name, value):
        constants.setdefault(name, onnx.numpy_helper.from_array(numpy.asarray(value), name))
        return name

    def node(op, inputs, name, **attributes):
        nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def linear(x, site):
        weight = constant(site + ".weight", tensors[site + ".weight"].T.copy())
        product = node("MatMul", [x, weight], site + ".matmul")
        return node("Add", [product, constant(site + ".bias", tensors[site + ".bias"])], site + ".add")

    def norm(x, site):
        gain, bias = (constant(f"{site}.{part}", tensors[f"{site}.{part}"]) for part in ("weight", "bias"))
        epsilon = config.get("layer_norm_eps", 1e-12)
        return node("LayerNormalization", [x, gain, bias], site + ".out", axis=-1, epsilon=epsilon)

    table = "embeddings.word_embeddings.weight"
    words = node("Gather", [constant(table, tensors[table]), "ids"], "words")
    length = node("Gather", [node("Shape", ["ids"], "shape"), constant("one", numpy.int64(1))], "length")
    range_of = [constant("zero", numpy.int64(0)), length, "one"]
    table = "embeddings.position_embeddings.weight"
    places = node("Gather", [constant(table, tensors[table]), node("Range", range_of, "range")], "places")
    kind = constant("type", tensors["embeddings.token_type_embeddings.weight"][0])
    x = node("Add", [node("Add", [words, places], "placed"), kind], "embedded")
    x = norm(x, "embeddings.LayerNorm")
    axes = constant("axes", numpy.array([1, 2], "int64"))
    seen = node("Unsqueeze", [node("Cast", ["mask"], "mask.float", to=kinds.FLOAT), axes], "mask.4")
    hidden = node("Sub", [constant("float.one", numpy.float32(1)), seen], "mask.unseen")
    hidden = node("Mul", [hidden, constant("lowest", numpy.float32(-10000))], "mask.added")
    split = constant("split", numpy.array([0, 0, heads, width // heads], "int64"))
    joined = constant("joined", numpy.array([0, 0, width], "int64"))
    root = constant("root", numpy.float32((width // heads) ** 0.5))
    for layer in range(config["num_hidden_layers"]):
        site = f"encoder.layer.{layer}."
        parts = []
        for part, order in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
            made = linear(x, f"{site}attention.self.{part}")
            made = node("Reshape", [made, split], f"{site}{part}.split")
            parts.append(node("Transpose", [made], f"{site}{part}.turned", perm=order))
        query, key, value = parts
        scores = node("Div", [node("MatMul", [query, key], site + "scores"), root], site + "scaled")
        shares = node("Softmax", [node("Add", [scores, hidden], site + "masked")], site + "shares", axis=-1)
        context = node("MatMul", [shares, value], site + "context")
        context = node("Transpose", [context], site + "context.turned", perm=[0, 2, 1, 3])
        context = node("Reshape", [context, joined], site + "context.joined")
        change = linear(context, site + "attention.output.dense")
        x = norm(node("Add", [change, x], site + "first"), site + "attention.output.LayerNorm")
        wide = linear(x, site + "intermediate.dense")
        root_2 = constant("root.2", numpy.float32(2**0.5))
        erf = node("Erf", [node("Div", [wide, root_2], site + "gelu.div")], site + "gelu.erf")
        one = node("Add", [erf, "float.one"], site + "gelu.add")
        gelu = node("Mul", [wide, one], site + "gelu.mul")
        gelu = node("Mul", [gelu, constant("half", numpy.float32(0.5))], site + "gelu")
        change = linear(gelu, site + "output.dense")
        x = norm(node("Add", [change, x], site + "second"), site + "output.LayerNorm")
    given = [helper.make_tensor_value_info(name, kinds.INT64, ["texts", "tokens"]) for name in ("ids", "mask")]
    made = helper.make_tensor_value_info(x, kinds.FLOAT, ["texts", "tokens", width])
    graph = helper.make_graph(nodes, "encoder", given, [made], list(constants.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


# The libraries ------------------------------------------------------------------------------------------------------


def onnxruntime(folder, threads, count):
    """Dynamic int8, weights by channel."""
    library = need("onnxruntime", "onnxruntime")
    quantization = need("onnxruntime.quantization", "onnxruntime")
    exact = onnx_model(folder)

    def convert(to):
        quantization.quantize_dynamic(exact, to, per_channel=True, weight_type=quantization.QuantType.QInt8)

    path = finished(os.path.join(folder, "encoder.ort-int8.onnx"), convert)
    options = library.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = library.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return measure(
        folder,
        count,
        versions("onnxruntime", "onnx"),
        lambda ids, mask: session.run(None, {"ids": ids, "mask": mask})[0],
    )


def onnxruntime_f32(folder, threads, count):
    library = need("onnxruntime", "onnxruntime")
    options = library.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = library.InferenceSession(onnx_model(folder), options, providers=["CPUExecutionProvider"])
    return measure(
        folder,
        count,
        versions("onnxruntime", "onnx"),
        lambda ids, mask: session.run(None, {"ids": ids, "mask": mask})[0],
    )


def openvino(folder, threads, count):
    """Static int8 by NNCF's post-training quantization for transformers."""
    library = need("openvino", "openvino")
    core = library.Core()

    def convert(to):
        nncf = need("nncf", "nncf")
        numpy = need("numpy", "numpy")

        def given(text):
            return {"ids": numpy.array([text], "int64"), "mask": numpy.ones((1, len(text)), "int64")}

        samples = nncf.Dataset(tokens(folder)[:CALIBRATION], given)
        model = core.read_model(onnx_model(folder))
        model = nncf.quantize(model, samples, model_type=nncf.ModelType.TRANSFORMER, subset_size=CALIBRATION)
        library.save_model(model, to, compress_to_fp16=False)

    # What is no integer would be bfloat16 on a processor that has it, for which instructions that were held back have no kernels.
    settings = {"INFERENCE_PRECISION_HINT": "f32"} if "ONEDNN_MAX_CPU_ISA" in os.environ else {}
    return openvino_form(folder, threads, count, finished(os.path.join(folder, "encoder.int8.xml"), convert), settings)


def openvino_bf16(folder, threads, count):
    return openvino_form(folder, threads, count, onnx_model(folder), {"INFERENCE_PRECISION_HINT": "bf16"})


def openvino_f32(folder, threads, count):
    return openvino_form(folder, threads, count, onnx_model(folder), {"INFERENCE_PRECISION_HINT": "f32"})


def openvino_form(folder, threads, count, path, settings):
    library = need("openvino", "openvino")
    core = library.Core()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, **settings}
    request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()

    def embed(ids, mask):
        return request.infer({"ids": ids, "mask": mask}, share_inputs=True, share_outputs=True)[0]

    packages = ["openvino"]
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        packages += ["nncf"] if importlib.metadata.version("nncf") else []
    return measure(folder, count, versions(*packages), embed)


def ctranslate2(folder, threads, count):
    """Its own int8: weights by channel, activations by row."""
    library = need("ctranslate2", "ctranslate2")
    numpy = need("numpy", "numpy")
    path = finished(os.path.join(folder, "encoder.ct2"), lambda to: write_ctranslate2(folder, to))
    encoder = library.Encoder(path, device="cpu", compute_type="int8", intra_threads=threads, inter_threads=1)

    def embed(ids, mask):
        lengths = mask.sum(1)
        texts = [list(map(int, row[:n])) for row, n in zip(ids, lengths)]
        made = encoder.forward_batch(texts, token_type_ids=[[0] * len(text) for text in texts])
        return numpy.array(made.last_hidden_state)

    return measure(folder, count, versions("ctranslate2"), embed)


def write_ctranslate2(folder, path):
    specs = need("ctranslate2.specs", "ctranslate2")
    numpy = need("numpy", "numpy")
    load = need("safetensors.numpy", "safetensors").load_file
    with open(os.path.join(folder, "encoder", "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    tensors = load(os.path.join(folder, "encoder", "model.safetensors"))
    tensors = {name.removeprefix("bert."): x for name, x in tensors.items()}
    common = specs.common_spec
    encoder = specs.TransformerEncoderSpec(
        config["num_hidden_layers"],
        config["num_attention_heads"],
        pre_norm=False,
        activation=common.Activation.GELU,
        layernorm_embedding=True,
        num_source_embeddings=2,
        embeddings_merge=common.EmbeddingsMerge.ADD,
    )
    encoder.scale_embeddings = False
    spec = specs.TransformerEncoderModelSpec(encoder)

    def linear(to, *sites):
        for part in ("weight", "bias"):
            setattr(to, part, numpy.concatenate([tensors[f"{site}.{part}"] for site in sites]))

    def norm(to, site):
        to.gamma, to.beta = tensors[site + ".weight"], tensors[site + ".bias"]

    encoder.embeddings[0].weight = tensors["embeddings.word_embeddings.weight"]
    encoder.embeddings[1].weight = tensors["embeddings.token_type_embeddings.weight"]
    encoder.position_encodings.encodings = tensors["embeddings.position_embeddings.weight"]
    norm(encoder.layernorm_embedding, "embeddings.LayerNorm")
    for n, layer in enumerate(encoder.layer):
        site = f"encoder.layer.{n}."
        parts = [f"{site}attention.self.{part}" for part in ("query", "key", "value")]
        linear(layer.self_attention.linear[0], *parts)
        linear(layer.self_attention.linear[1], site + "attention.output.dense")
        norm(layer.self_attention.layer_norm, site + "attention.output.LayerNorm")
        linear(layer.ffn.linear_0, site + "intermediate.dense")
        linear(layer.ffn.linear_1, site + "output.dense")
        norm(layer.ffn.layer_norm, site + "output.LayerNorm")
    spec.config.unk_token, spec.config.layer_norm_epsilon = "[UNK]", config.get("layer_norm_eps", 1e-12)
    spec.register_vocabulary([f"{n}" if n else "[UNK]" for n in range(config["vocab_size"])])
    spec.validate()
    spec.optimize(quantization="int8")
    os.makedirs(path, exist_ok=True)
    spec.save(path)


PEERS = {
    "openvino": openvino,
    "onnxruntime": onnxruntime,
    "ctranslate2": ctranslate2,
    "openvino-bf16": openvino_bf16,
    "openvino-f32": openvino_f32,
    "onnxruntime-f32": onnxruntime_f32,
}

if __name__ == "__main__":
    main()
