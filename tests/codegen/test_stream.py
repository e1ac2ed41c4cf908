"""Pushing samples one at a time gives what the whole graph gives over the samples so far."""

import json
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
from torch import nn

import bitq
from bitq.codegen.emit import emit
from bitq.codegen.manifest import DeployInfo
from bitq.core.processes import run_tool
from bitq.device import emulator
from bitq.device.compiler import STRICT, host_compiler
from bitq.device.config import TargetConfig
from bitq.device.verify import verify
from bitq.ir.check import check
from bitq.ir.ops import Recurrent
from bitq.ir.reference import evaluate
from bitq.ir.stream import stream_of
from tests.ir.test_stream import Network, lowered

NETWORKS = {
    "gesture": (Network(nn.Conv1d(3, 4, 5, 2), nn.ReLU()), 2),
    "every other step": (Network(nn.Conv1d(3, 4, 5, 2), nn.ReLU()), 6),
    "no convolution": (Network(rnn=nn.LSTM(3, 5, num_layers=2, batch_first=True)), 1),
    "pooled": (Network(nn.Conv1d(3, 4, 3), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(4, 4, 3), nn.ReLU()), 2),
    "one bit": (Network(rnn=nn.GRU(3, 9, batch_first=True), width=9, codebook="bipolar"), 1),
    "without tanh": (Network(rnn=nn.RNN(3, 5, nonlinearity="relu", batch_first=True)), 3),
}
EVERY = pytest.mark.parametrize("name", NETWORKS)

_MAIN = """
#include <stdio.h>
#include "model.h"
int main(void)
{
    enum { TIME = @TIME@, CHANNELS = @CHANNELS@, OUT = NET_SCORES_LENGTH };
    int8_t input[TIME * CHANNELS];
    static net_state state;
    while (fread(input, 1, sizeof input, stdin) == sizeof input) {
        int32_t scores[OUT] = {0};
        net_reset(&state);
        for (uint32_t t = 0; t < TIME; ++t) {
            int16_t sample[CHANNELS];
            int32_t winner;
            for (uint32_t c = 0; c < CHANNELS; ++c) {
                const int16_t value = input[t * CHANNELS + c];
                sample[c] = (int16_t)(value == 127 ? 300 : (value == -128 ? -32768 : value));
            }
            winner = net_push(&state, sample, scores);
            fwrite(scores, sizeof(int32_t), OUT, stdout);
            fwrite(&winner, sizeof winner, 1, stdout);
        }
    }
    return 0;
}
"""


def over(graph, time):
    """Return a graph over the first samples alone."""
    types = {graph.input_name: replace(graph.input, shape=(1, time, graph.input.shape[2]))}
    ops = []
    for op in graph.ops:
        inputs = [types[name] for name in op.inputs]
        op = replace(op, pick=inputs[0].shape[1] - 1) if isinstance(op, Recurrent) and op.pick is not None else op
        ops.append(replace(op, out=replace(op.out, shape=op.infer_shape(*inputs))))
        types[op.name] = ops[-1].out
    return check(replace(graph, input=types[graph.input_name], ops=tuple(ops)))


@EVERY
@pytest.mark.parametrize("optimize", ["size", "speed"])
def test_every_push_says_what_the_graph_says_of_the_samples_so_far(name, optimize, tmp_path):
    model, hop = NETWORKS[name]
    graph = lowered(model)
    stream, (time, channels) = stream_of(graph, hop), graph.input.shape[1:]
    rows = np.random.default_rng(1).integers(-128, 128, (8, time, channels)).astype(np.int8)
    text = _MAIN.replace("@TIME@", str(time)).replace("@CHANNELS@", str(channels))
    for file, content in {**emit(graph, optimize, hop).files, "main.c": text}.items():
        (tmp_path / file).write_text(content)
    host_compiler().build([*STRICT, "-O1", f"-I{tmp_path}"], sorted(tmp_path.glob("*.c")), tmp_path / "run")
    output = run_tool([str(tmp_path / "run")], timeout_s=60, stdin=rows.tobytes())
    got = np.frombuffer(output, np.int32).reshape(len(rows), time, -1)
    for number in range(1, time + 1):
        step, rest = divmod(number - stream.samples, stream.stride)
        due = step >= stream.first - 1 and rest == 0 and (step + 1 - stream.first) % stream.every == 0
        if due:
            expected = evaluate(over(graph, number), rows[:, :number])
            np.testing.assert_array_equal(got[:, number - 1, :-1], expected.scores)
            np.testing.assert_array_equal(got[:, number - 1, -1], expected.winners)
        else:
            assert (got[:, number - 1, -1] == -1).all()


@pytest.mark.skipif(not emulator.is_installed(), reason="the emulator is not installed")
def test_after_a_window_the_core_says_the_same_as_of_the_window(tmp_path):
    graph = lowered(Network(nn.Conv1d(3, 4, 5, 2), nn.ReLU()), 41)
    folder = bitq.export(graph, tmp_path / "deploy", DeployInfo(hop=2))
    (folder / "streamed.c").write_text(
        '#include "model.h"\n'
        "int32_t net_streamed(const int8_t *input, int32_t *scores);\n"
        "int32_t net_streamed(const int8_t *input, int32_t *scores)\n"
        "{\n"
        "    static net_state state;\n"
        "    int32_t winner = -1;\n"
        "    net_reset(&state);\n"
        "    for (uint32_t t = 0; t < 41u; ++t) {\n"
        "        const int16_t sample[3] = {input[3u * t], input[3u * t + 1u], input[3u * t + 2u]};\n"
        "        winner = net_push(&state, sample, scores);\n"
        "    }\n"
        "    return winner;\n"
        "}\n"
    )
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["stream"]["hop"] == 2
    assert "net_push(&state, sample, scores)" in (folder / "README.md").read_text()
    manifest["entry"]["symbol"] = "net_streamed"
    digest = sha256((folder / "streamed.c").read_bytes()).hexdigest()
    manifest["sources"].append({"file": "streamed.c", "sha256": digest})
    (folder / "manifest.json").write_text(json.dumps(manifest))
    rows = np.random.default_rng(1).integers(-128, 128, (50, 41, 3)).astype(np.int8)
    expected = evaluate(graph, rows)
    measured = verify(folder, TargetConfig(compiler="zig"), rows, expected.scores, expected.winners)
    assert measured.passed, measured.verdict


@EVERY
def test_weights_are_in_flash_once(name):
    model, hop = NETWORKS[name]
    text = emit(lowered(model), "size", hop).files["model.c"]
    assert "_weights_step" not in text
    assert "_bias_step" not in text
