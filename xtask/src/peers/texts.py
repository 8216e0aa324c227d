"""Trains another library on a corpus, from text to answers: `texts.py PEER FOLDER THREADS`.

FOLDER has `train.jsonl` and `test.jsonl` with the keys `text` and `label`. Prints one line of JSON: for each form, the
seconds of training (reading the file included, importing the library not), the seconds of answering all test texts,
which lie in memory, the accuracy, and the bytes of the saved model. Needs the standard library and the peer.
"""

import json
import os
import pickle
import re
import tempfile
import time

# What `nlpress train` looks at, too: runs of letters and digits.
WORD = re.compile(r"\w+")


def measure(form, folder, train, predict, save):
    """Times `train()`, which gives a model, and `predict(model, texts)`; `save(model)` gives bytes."""
    texts, labels = read(folder, "test")
    begin = time.perf_counter()
    model = train()
    trained = time.perf_counter()
    answers = predict(model, texts)
    answered = time.perf_counter()
    right = sum(answer == label for answer, label in zip(answers, labels))
    return {
        "form": form,
        "train_s": trained - begin,
        "predict_s": answered - trained,
        "accuracy": right / len(labels),
        "bytes": save(model),
    }


def sklearn(folder, _threads):
    try:
        import sklearn
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.pipeline import make_pipeline
        from sklearn.svm import LinearSVC
    except ModuleNotFoundError as error:
        raise Missing("scikit-learn") from error

    def train(sublinear):
        texts, labels = read(folder, "train")
        return make_pipeline(TfidfVectorizer(sublinear_tf=sublinear), LinearSVC()).fit(texts, labels)

    rows = [
        measure(
            form,
            folder,
            lambda sublinear=sublinear: train(sublinear),
            lambda model, texts: model.predict(texts),
            lambda model: len(pickle.dumps(model)),
        )
        for form, sublinear in (("tf-idf, LinearSVC", False), ("sublinear tf-idf, LinearSVC", True))
    ]
    return {"version": f"scikit-learn {sklearn.__version__}", "rows": rows}


def fasttext(folder, threads):
    try:
        import fasttext
    except ModuleNotFoundError as error:
        raise Missing("fasttext-wheel") from error
    from importlib import metadata

    packages = metadata.packages_distributions().get("fasttext", ["fasttext"])
    version = f"{packages[0]} {metadata.version(packages[0])}"

    def words(text):
        return " ".join(WORD.findall(text.lower()))

    with tempfile.TemporaryDirectory() as passing:
        path = os.path.join(passing, "train.txt")
        texts, labels = read(folder, "train")
        # fastText takes labels without spaces; they are numbered, and texts are cut into words beforehand.
        names = sorted(set(labels))
        with open(path, "w", encoding="utf-8") as file:
            for text, label in zip(texts, labels):
                print(f"__label__{names.index(label)} {words(text)}", file=file)

        def train(settings):
            return fasttext.train_supervised(path, thread=threads, verbose=0, **settings)

        def predict(model, lines):
            answers, _ = model.predict(lines)
            return [names[int(answer[0].removeprefix("__label__"))] for answer in answers]

        def save(model):
            saved = os.path.join(passing, "model.bin")
            model.save_model(saved)
            return os.path.getsize(saved)

        cut = os.path.join(passing, "cut")
        os.mkdir(cut)
        texts, labels = read(folder, "test")
        with open(os.path.join(cut, "test.jsonl"), "w", encoding="utf-8") as file:
            for text, label in zip(texts, labels):
                print(json.dumps({"text": words(text), "label": label}), file=file)
        forms = (("default", {}), ("lr 1, 25 epochs", {"lr": 1.0, "epoch": 25}))
        rows = [
            measure(form, cut, lambda settings=settings: train(settings), predict, save)
            for form, settings in forms
        ]
    return {"version": version, "rows": rows}


PEERS = {"sklearn": sklearn, "fasttext": fasttext}

if __name__ == "__main__":
    main()
