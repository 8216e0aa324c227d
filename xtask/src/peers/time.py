"""Times the article's network in another library: `time.py PEER FOLDER`.

Builds 1000 -> 128 -> 64 -> 1 (ReLU between) with made-up weights, as 32-bit floats and as 8-bit integers, times
it on one thread with dense rows, one and 32 at a time, and prints one line of JSON. Models that take a conversion
are kept in FOLDER and used again. Needs the standard library and the peer, nothing else.

A time is the median of single calls, in microseconds, after a warm-up; the forms take turns, so that a slow
moment meets all of them. `call_us` is the same call on a network of one weight: what the library and Python take
before any arithmetic.
"""

import contextlib
import importlib.metadata
import os
import statistics
import sys
import time

WIDTHS = [1000, 128, 64, 1]
TINY = [1, 1]
BATCHES = [1, 32]
TURNS = 10
SEED = 7
# Rows from which the range of activations is taken.
SAMPLES = 3200


def take_turns(calls):
    """Medians of `{name: (call, repetitions a turn)}`, in microseconds."""
    taken = {name: [] for name in calls}
    for name, (call, repetitions) in calls.items():
        for _ in range(repetitions):
            call()
    clock = time.perf_counter_ns
    for _ in range(TURNS):
        for name, (call, repetitions) in calls.items():
            times = taken[name]
            for _ in range(8):  # brings the model back into the cache
                call()
            for _ in range(repetitions):
                begin = clock()
                call()
                times.append(clock() - begin)
    return {name: statistics.median(times) / 1000.0 for name, times in taken.items()}


def measure(forms, tiny):
    """`forms` gives a call for each `(form, batch)`; `tiny` is a call on one weight."""
    calls = {key: (call, 200 if key[1] == 1 else 50) for key, call in forms.items()}
    calls["tiny"] = (tiny, 200)
    times = take_turns(calls)
    names = list(dict.fromkeys(form for form, _ in forms))
    rows = [
        {"form": name, "batch1_us": times[name, 1], "batch32_us": times[name, 32]} for name in names
    ]
    return {"rows": rows, "call_us": times["tiny"]}


def version(*packages):
    """The first of the packages that is installed, with its version."""
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return f"{package} {importlib.metadata.version(package)}"
    return packages[0]


def weights(numpy, widths):
    """Made-up weights and biases of each layer, outputs by inputs."""
    random = numpy.random.default_rng(SEED)
    layers = []
    for inputs, outputs in zip(widths, widths[1:]):
        matrix = random.normal(0.0, (2.0 / inputs) ** 0.5, (outputs, inputs))
        layers.append((matrix.astype("float32"), random.normal(0.0, 0.1, outputs).astype("float32")))
    return layers


def rows(numpy, batch, inputs, seed=SEED):
    """Made-up dense rows."""
    return numpy.random.default_rng(seed).normal(0.0, 1.0, (batch, inputs)).astype("float32")


def finished(path, write):
    """Writes a file through a passing one, so that a stopped run leaves no half of it."""
    if not os.path.exists(path):
        passing = path + ".part"
        write(passing)
        os.replace(passing, path)


# TensorFlow Lite -----------------------------------------------------------------------------------------------


def tflite(folder):
    interpreter, runner = tflite_interpreter()
    numpy = need("numpy", "numpy")

    def opened(form, batch, widths=WIDTHS):
        path = os.path.join(folder, f"{'-'.join(map(str, widths))}.{form}.{batch}.tflite")
        finished(path, lambda to: tflite_convert(to, form, batch, widths))
        model = interpreter(model_path=path, num_threads=1)
        model.allocate_tensors()
        into = model.get_input_details()[0]
        row = rows(numpy, batch, widths[0])
        if form == "int8":
            scale, zero = into["quantization"]
            row = numpy.clip(numpy.round(row / scale) + zero, -128, 127).astype("int8")
        model.set_tensor(into["index"], row)
        return model.invoke

    all_forms = ("f32", "int8", "int8-floats")
    forms = {(form, batch): opened(form, batch) for form in all_forms for batch in BATCHES}
    return {"version": runner, **measure(forms, opened("f32", 1, TINY))}


def tflite_interpreter():
    """The interpreter of whichever package has one."""
    with contextlib.suppress(ModuleNotFoundError):
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter, version("ai-edge-litert")
    with contextlib.suppress(ModuleNotFoundError):
        from tflite_runtime.interpreter import Interpreter

        return Interpreter, version("tflite-runtime")
    tensorflow = need("tensorflow", "tensorflow")
    return tensorflow.lite.Interpreter, version("tensorflow", "tensorflow-cpu")


def tflite_convert(path, form, batch, widths):
    """32-bit floats; or 8-bit integers by a representative data set, with bytes or floats as input and output."""
    tensorflow = need("tensorflow", "tensorflow")
    numpy = need("numpy", "numpy")
    layers = [(tensorflow.constant(w), tensorflow.constant(b)) for w, b in weights(numpy, widths)]

    @tensorflow.function(input_signature=[tensorflow.TensorSpec([batch, widths[0]], tensorflow.float32)])
    def network(x):
        for n, (matrix, bias) in enumerate(layers):
            x = tensorflow.matmul(x, matrix, transpose_b=True) + bias
            if n + 1 < len(layers):
                x = tensorflow.nn.relu(x)
        return x

    converter = tensorflow.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()])
    if form != "f32":
        converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [rows(numpy, batch, widths[0], seed)] for seed in range(SAMPLES // batch)
        )
        converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if form == "int8":
        converter.inference_input_type = tensorflow.int8
        converter.inference_output_type = tensorflow.int8
    with open(path, "wb") as file:
        file.write(converter.convert())


# ONNX Runtime --------------------------------------------------------------------------------------------------


def onnxruntime(folder):
    runtime = need("onnxruntime", "onnxruntime onnx")
    onnx = need("onnx", "onnxruntime onnx")
    numpy = need("numpy", "numpy")

    def path(form, widths=WIDTHS):
        return os.path.join(folder, f"{'-'.join(map(str, widths))}.{form}.onnx")

    finished(path("f32"), lambda to: onnx_write(to, WIDTHS))
    finished(path("tiny", TINY), lambda to: onnx_write(to, TINY))
    finished(path("int8"), lambda to: onnx_static(path("f32"), to))
    finished(path("int8-dynamic"), lambda to: onnx_dynamic(path("f32"), to))

    def opened(file, batch, inputs):
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        session = runtime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        into = runtime.OrtValue.ortvalue_from_numpy(rows(numpy, batch, inputs))
        out = runtime.OrtValue.ortvalue_from_numpy(numpy.zeros((batch, 1), "float32"))
        bound = session.io_binding()
        bound.bind_ortvalue_input("x", into)
        bound.bind_ortvalue_output("y", out)
        run = session.run_with_iobinding

        def call(run=run, bound=bound, kept=(into, out)):
            run(bound)

        return call

    forms = {
        (form, batch): opened(path(form), batch, WIDTHS[0])
        for form in ("f32", "int8", "int8-dynamic")
        for batch in BATCHES
    }
    found = measure(forms, opened(path("tiny", TINY), 1, 1))
    return {"version": f"{version('onnxruntime')}, {version('onnx')}", **found}


def onnx_write(path, widths):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    numpy = need("numpy", "numpy")
    nodes, constants, name = [], [], "x"
    layers = weights(numpy, widths)
    for n, (matrix, bias) in enumerate(layers):
        constants += [numpy_helper.from_array(matrix, f"w{n}"), numpy_helper.from_array(bias, f"b{n}")]
        last = n + 1 == len(layers)
        out = "y" if last else f"z{n}"
        nodes.append(helper.make_node("Gemm", [name, f"w{n}", f"b{n}"], [out], name=f"layer{n}", transB=1))
        name = out
        if not last:
            nodes.append(helper.make_node("Relu", [out], [f"a{n}"], name=f"relu{n}"))
            name = f"a{n}"

    def value(name, width):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", width])

    graph = helper.make_graph(nodes, "mlp", [value("x", widths[0])], [value("y", widths[-1])], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def onnx_static(source, path):
    """Activations in 8 bits without a sign and weights with one, which the runtime's x86 kernels are made for."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    numpy = need("numpy", "numpy")

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.seeds = iter(range(SAMPLES // 32))

        def get_next(self):
            seed = next(self.seeds, None)
            return None if seed is None else {"x": rows(numpy, 32, WIDTHS[0], seed)}

    quantize_static(
        source,
        path,
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def onnx_dynamic(source, path):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(source, path, per_channel=True, weight_type=QuantType.QInt8)


# PyTorch -------------------------------------------------------------------------------------------------------


def torch(_folder):
    torch = need("torch", "torch")
    numpy = need("numpy", "numpy")
    torch.set_num_threads(1)

    def made(widths):
        parts = []
        for matrix, bias in weights(numpy, widths):
            layer = torch.nn.Linear(matrix.shape[1], matrix.shape[0])
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(matrix))
                layer.bias.copy_(torch.from_numpy(bias))
            parts += [layer, torch.nn.ReLU()]
        return torch.nn.Sequential(*parts[:-1]).eval()

    def call_of(model, batch, inputs):
        row = torch.from_numpy(rows(numpy, batch, inputs))
        return lambda: model(row)

    eager = made(WIDTHS)
    models = {
        "f32": eager,
        "int8-dynamic": torch.ao.quantization.quantize_dynamic(eager, {torch.nn.Linear}, torch.qint8),
    }
    with torch.inference_mode():
        forms = {
            (form, batch): call_of(model, batch, WIDTHS[0])
            for form, model in models.items()
            for batch in BATCHES
        }
        found = measure(forms, call_of(made(TINY), 1, 1))
    return {"version": version("torch"), **found}


PEERS = {"tflite": tflite, "onnxruntime": onnxruntime, "torch": torch}

if __name__ == "__main__":
    os.makedirs(sys.argv[2], exist_ok=True)
    main()
