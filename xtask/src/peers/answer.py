"""What every script has before its own part: one line of JSON is printed, whatever a library prints or raises.

The script's `PEERS` has a function for each library, which takes the folder and numbers that follow on the command line.
"""

import json
import os
import sys


class Missing(Exception):
    """A package that is not installed."""


def need(module, package):
    """Imports a module, or says which package is missing."""
    try:
        return __import__(module, fromlist=["_"])
    except ModuleNotFoundError as error:
        if error.name and module.split(".")[0] == error.name.split(".")[0]:
            raise Missing(package) from None
        raise


def main():
    peer, folder, settings = sys.argv[1], sys.argv[2], sys.argv[3:]
    # Libraries print what they like, some from C++; only the answer goes to the standard output.
    answer = os.dup(1)
    os.dup2(2, 1)
    try:
        found = PEERS[peer](folder, *map(int, settings))
    except Missing as missing:
        found = {"missing": str(missing)}
    except Exception as error:  # whatever a library raises is its answer
        found = {"error": " ".join(f"{type(error).__name__}: {error}".split())}
    with os.fdopen(answer, "w") as out:
        print(json.dumps({"peer": peer, **found}), file=out)


def read(folder, split):
    """Texts and labels of a split."""
    with open(os.path.join(folder, f"{split}.jsonl"), encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [row["text"] for row in rows], [row["label"] for row in rows]


