"""Times int8 inference of the article's network in other toolkits, for `cargo xtask bench peers`.

Prints one line of JSON: {"timed": [{"name", "batch1_us", "batch32_us"}], "missing": ["package"]}. The weights are made
up: dense kernels take the same time whatever they are. What is timed is the call that runs the network, on one thread,
with its input in place; the median of 2000 calls, or 500 for a batch.
"""

import json
import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["OMP_NUM_THREADS"] = "1"
WIDTHS = [1000, 128, 64, 1]


def median_us(call, count):
    for _ in range(count // 10 + 20):
        call()
    times = []
    for _ in range(count):
        begin = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - begin)
    times.sort()
    return times[count // 2] / 1000


def both(name, prepare):
    return {
        "name": name,
        "batch1_us": median_us(prepare(1), 2000),
        "batch32_us": median_us(prepare(32), 500),
    }


def tensorflow_lite():
    import numpy
    import tensorflow

    layers = tensorflow.keras.layers
    generator = numpy.random.default_rng(1)
    rows = generator.random((64, WIDTHS[0]), dtype=numpy.float32)

    def model(batch):
        stack = [layers.Input((WIDTHS[0],), batch_size=batch)]
        stack += [layers.Dense(width, activation="relu") for width in WIDTHS[1:-1]]
        return tensorflow.keras.Sequential(stack + [layers.Dense(WIDTHS[-1])])

    def prepared(batch, int8):
        converter = tensorflow.lite.TFLiteConverter.from_keras_model(model(batch))
        if int8:
            converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (
                [rows[n % 32 : n % 32 + batch]] for n in range(20)
            )
            converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = tensorflow.int8
            converter.inference_output_type = tensorflow.int8
        interpreter = tensorflow.lite.Interpreter(model_content=converter.convert(), num_threads=1)
        interpreter.allocate_tensors()
        entry = interpreter.get_input_details()[0]
        numbers = generator.integers(-128, 127, entry["shape"]) if int8 else rows[:batch]
        interpreter.set_tensor(entry["index"], numbers.astype(entry["dtype"]))
        return interpreter.invoke

    yield both("tensorflow lite int8", lambda batch: prepared(batch, True))
    yield both("tensorflow lite f32", lambda batch: prepared(batch, False))


def onnx_runtime():
    import tempfile

    import numpy
    import onnx
    import onnxruntime
    from onnxruntime.quantization import quantize_dynamic

    generator = numpy.random.default_rng(1)
    nodes, weights, name = [], [], "input"
    for n, (inputs, outputs) in enumerate(zip(WIDTHS, WIDTHS[1:])):
        for part, shape in [("w", (inputs, outputs)), ("b", (outputs,))]:
            numbers = (generator.random(shape) - 0.5).astype(numpy.float32)
            weights.append(onnx.numpy_helper.from_array(numbers, f"{part}{n}"))
        nodes.append(onnx.helper.make_node("MatMul", [name, f"w{n}"], [f"m{n}"]))
        nodes.append(onnx.helper.make_node("Add", [f"m{n}", f"b{n}"], [f"a{n}"]))
        name = f"a{n}"
        if n + 2 < len(WIDTHS):
            nodes.append(onnx.helper.make_node("Relu", [name], [f"r{n}"]))
            name = f"r{n}"
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "network",
        [value("input", onnx.TensorProto.FLOAT, ["batch", WIDTHS[0]])],
        [value(name, onnx.TensorProto.FLOAT, ["batch", WIDTHS[-1]])],
        weights,
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    with tempfile.TemporaryDirectory() as folder:
        plain, int8 = os.path.join(folder, "f32.onnx"), os.path.join(folder, "int8.onnx")
        onnx.save(model, plain)
        quantize_dynamic(plain, int8, per_channel=True)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        for label, path in [("int8 (dynamic)", int8), ("f32", plain)]:
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

            def prepare(batch):
                binding = session.io_binding()
                binding.bind_cpu_input("input", generator.random((batch, WIDTHS[0]), dtype=numpy.float32))
                binding.bind_output(name)
                return lambda: session.run_with_iobinding(binding)

            yield both(f"onnx runtime {label}", prepare)


def main():
    timed, missing = [], []
    for package, peer in [("tensorflow", tensorflow_lite), ("onnxruntime onnx", onnx_runtime)]:
        try:
            timed += list(peer())
        except ImportError as error:
            missing.append(f"{package} ({error})")
    json.dump({"timed": timed, "missing": missing}, sys.stdout)


main()
