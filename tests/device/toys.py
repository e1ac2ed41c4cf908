"""Small C projects written by hand, as deploy folders, with the same networks in numpy."""

import hashlib
import json
from pathlib import Path

import numpy as np

INPUTS, HIDDEN, CLASSES = 12, 8, 3


def write_project(folder, files, *, symbol="toy_run", shape=(INPUTS,), dtype="int8", scores=CLASSES):
    """Write sources and a minimal manifest; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    manifest = {
        "schema_version": 1,
        "name": "toy",
        "entry": {"symbol": symbol, "prototype": f"int32_t {symbol}(const {dtype}_t *input, int32_t *scores)"},
        "input": {"shape": list(shape), "dtype": dtype, "scale": 1.0, "zero_point": 0},
        "outputs": [{"name": "scores", "offset": 0, "length": scores, "scale": 1.0, "zero_point": 0}],
        "sources": [
            {"file": name, "sha256": hashlib.sha256(text.encode()).hexdigest()} for name, text in files.items()
        ],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def one_function(body, *, before="", dtype="int8"):
    """Return the sources of a model whose entry point has this body."""
    return {
        "model.h": f"#include <stdint.h>\nint32_t toy_run(const {dtype}_t *input, int32_t *scores);\n",
        "model.c": f'#include "model.h"\n{before}\n'
        f"int32_t toy_run(const {dtype}_t *input, int32_t *scores)\n{{\n{body}\n}}\n",
    }


CONSTANT = "    (void)input;\n    scores[0] = 1;\n    scores[1] = 2;\n    scores[2] = 3;\n    return 2;"


def _table(name, matrix):
    rows = ",\n    ".join("{" + ", ".join(map(str, row)) + "}" for row in matrix)
    return f"static const int8_t {name}[{len(matrix)}][{len(matrix[0])}] = {{\n    {rows}\n}};\n"


class Mlp:
    """Two dense layers with a ReLU; a static buffer, an initialized variable, two source files."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.first = rng.integers(-8, 8, (HIDDEN, INPUTS)).astype(np.int64)
        self.second = rng.integers(-8, 8, (CLASSES, HIDDEN)).astype(np.int64)

    def sources(self):
        return {
            "dense.h": "#include <stdint.h>\n"
            "int32_t dot(const int8_t *weights, const int32_t *input, int32_t length);\n",
            "dense.c": '#include "dense.h"\n'
            "int32_t dot(const int8_t *weights, const int32_t *input, int32_t length)\n{\n"
            "    int32_t sum = 0;\n"
            "    for (int32_t i = 0; i < length; ++i) {\n        sum += weights[i] * input[i];\n    }\n"
            "    return sum;\n}\n",
            **{
                name: text.replace("#include", '#include "dense.h"\n#include', 1) if name == "model.c" else text
                for name, text in one_function(
                    f"    int32_t wide[{INPUTS}];\n"
                    f"    for (int32_t i = 0; i < {INPUTS}; ++i) {{\n        wide[i] = input[i];\n    }}\n"
                    f"    for (int32_t j = 0; j < {HIDDEN}; ++j) {{\n"
                    f"        const int32_t sum = dot(first[j], wide, {INPUTS}) + offset;\n"
                    "        hidden[j] = sum > 0 ? sum : 0;\n    }\n"
                    "    int32_t best = 0;\n"
                    f"    for (int32_t k = 0; k < {CLASSES}; ++k) {{\n"
                    f"        scores[k] = dot(second[k], hidden, {HIDDEN});\n"
                    "        if (scores[k] > scores[best]) {\n            best = k;\n        }\n    }\n"
                    "    return best;",
                    before=_table("first", self.first.tolist())
                    + _table("second", self.second.tolist())
                    + f"static int32_t hidden[{HIDDEN}];\nextern int32_t offset;\nint32_t offset = 5;",
                ).items()
            },
        }

    def inputs(self, count, seed=1):
        return np.random.default_rng(seed).integers(-128, 128, (count, INPUTS), dtype=np.int8)

    def evaluate(self, x):
        hidden = np.maximum(x.astype(np.int64) @ self.first.T + 5, 0)
        scores = (hidden @ self.second.T).astype(np.int32)
        return scores, scores.argmax(axis=1).astype(np.int32)

    def write(self, folder: Path):
        return write_project(folder, self.sources())
