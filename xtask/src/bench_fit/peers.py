"""Trains another library on a corpus and answers its test documents.

`peers.py sklearn FOLDER` and `peers.py fasttext FOLDER BYTES SECONDS THREADS SEED`. FOLDER has `train.jsonl`, `valid.jsonl`
and `test.jsonl` with the keys `text` and `label`. Prints one line of JSON: for each form its name, the bytes of the
saved model, and the label that it gives to each test document. Who is right is counted elsewhere, alike for all.
"""

import os
import pickle
import re
import signal
import tempfile

# Runs of letters and digits; characters of a script that has no spaces between words stand alone.
ALONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
TOKEN = re.compile(rf"[{ALONE}]|[^\W{ALONE}]+")
# From this share of tokens that stand alone on, features are runs of characters.
MOSTLY_ALONE = 0.3


def sklearn(folder):
    """All features, no limit on size: each classifier on each kind of features, trained on the training documents."""
    try:
        import sklearn
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.svm import LinearSVC
    except ModuleNotFoundError as error:
        raise Missing("scikit-learn") from error

    texts, labels = read(folder, "train")
    tests, _ = read(folder, "test")
    tokens = [token for text in texts for token in TOKEN.findall(text)]
    alone = sum(re.match(f"[{ALONE}]", token) is not None for token in tokens)
    if alone >= MOSTLY_ALONE * len(tokens):
        features = {
            "1-2 characters": {"analyzer": "char", "ngram_range": (1, 2)},
            "1-3 characters": {"analyzer": "char", "ngram_range": (1, 3)},
        }
    else:
        features = {"words": {}, "1-2 words": {"ngram_range": (1, 2)}}
    rows = []
    for name, settings in features.items():
        for classifier in (LinearSVC(), LogisticRegression(max_iter=1000)):
            model = make_pipeline(TfidfVectorizer(sublinear_tf=True, **settings), classifier)
            model.fit(texts, labels)
            form = f"{type(classifier).__name__}, {name}"
            answers = [str(label) for label in model.predict(tests)]
            rows.append({"form": form, "bytes": len(pickle.dumps(model)), "answers": answers})
    return {"version": f"scikit-learn {sklearn.__version__}", "rows": rows}


def fasttext(folder, size, seconds, threads, seed):
    """Its automatic tuning for a size of the model, choosing by the validation documents."""
    try:
        import fasttext
    except ModuleNotFoundError as error:
        raise Missing("fasttext-wheel") from error
    from importlib import metadata

    packages = metadata.packages_distributions().get("fasttext", ["fasttext"])
    version = f"{packages[0]} {metadata.version(packages[0])}"

    def tokens(text):
        return " ".join(TOKEN.findall(text.lower()))

    with tempfile.TemporaryDirectory() as passing:
        # fastText takes labels without spaces; they are numbered, and texts are cut into words beforehand.
        names = sorted(set(read(folder, "train")[1]))
        for split in ("train", "valid"):
            with open(os.path.join(passing, split), "w", encoding="utf-8") as file:
                for text, label in zip(*read(folder, split)):
                    if label in names:
                        print(f"__label__{names.index(label)} {tokens(text)}", file=file)
        # The time ends its search only, and its last training has been seen to go on for a quarter of an hour after half a
        # minute of search: the system then ends this process, which is a failure.
        if hasattr(signal, "alarm"):
            signal.alarm(60 + 10 * seconds)
        model = fasttext.train_supervised(
            os.path.join(passing, "train"),
            autotuneValidationFile=os.path.join(passing, "valid"),
            autotuneModelSize=str(size),
            autotuneDuration=seconds,
            thread=threads,
            seed=seed,
            verbose=0,
        )
        saved = os.path.join(passing, "model.ftz")
        model.save_model(saved)
        answers, _ = model.predict([tokens(text) for text in read(folder, "test")[0]])
        # A text without any known word has no answer.
        answers = [names[int(a[0].removeprefix("__label__"))] if len(a) else "" for a in answers]
        row = {"form": "autotune", "bytes": os.path.getsize(saved), "answers": answers}
        return {"version": version, "rows": [row]}


PEERS = {"sklearn": sklearn, "fasttext": fasttext}

if __name__ == "__main__":
    main()
