"""The operations of the integer graph as plain Python loops over exact integers, written apart from the oracle."""

import math
from itertools import pairwise, product
from math import prod

from bitq.ir.ops import (
    Add,
    ArgMax,
    AvgPool,
    Concat,
    Conv,
    Dense,
    Features,
    Forest,
    Lookup,
    MaxPool,
    Mul,
    Pad,
    Ramp,
    Recurrent,
    Requantize,
    Reshape,
    SquaredError,
    View,
)


def rescaled(acc, rescale, channel):
    multiplier = int(rescale.multiplier[channel if len(rescale.multiplier) > 1 else 0])
    product = acc // 2**rescale.pre_shift * multiplier
    # One rounding, half up: floor(p / 2^s + 1/2) = floor((2 p + 2^s) / 2^(s + 1)).
    value = (2 * product + 2**rescale.shift) // 2 ** (rescale.shift + 1)
    return min(max(value + rescale.zero_point, rescale.low), rescale.high)


def finished(acc, op, channel):
    return acc if op.rescale is None else rescaled(acc, op.rescale, channel)


def windows(op, x_shape, kernel, padding, dilation=(1, 1)):
    """Yield the input positions of every window, row by row; None stands for padding."""
    height, width, _ = x_shape
    for out_y in range(op.out.shape[0]):
        for out_x in range(op.out.shape[1]):
            places = []
            for ky in range(kernel[0]):
                for kx in range(kernel[1]):
                    y = out_y * op.stride[0] + ky * dilation[0] - padding[0][0]
                    x = out_x * op.stride[1] + kx * dilation[1] - padding[1][0]
                    inside = 0 <= y < height and 0 <= x < width
                    places.append((y * width + x) if inside else None)
            yield places


def long_tanh(value, fraction):
    """Interpolate between rounded values at multiples of 1/16, up to 63 of them; in steps of 2^−30."""
    step = 2**fraction // 16
    index = min(max(value // step, -64), 63)
    left, right = (round(math.tanh(max(-63, min(i, 63)) / 16) * 16384) for i in (index, index + 1))
    return left * 65536 + (right - left) * 2 * (value % step * 32768 // step + 1)


def tanh(value, fraction):
    return long_tanh(value, fraction) // 65536


def sigmoid(value, fraction):
    return 16384 + tanh(value, fraction + 1)


def times(gate, value):
    return (2 * gate * value + 32768) // 65536


def recurrent(op, x, kind):
    """Return the output of a recurrent layer, flat."""
    units = len(op.state.weights.codes[0])
    time, width = kind.shape[1:]
    h, c, kept = [0] * units, [0] * units, {}
    for t in reversed(range(time)) if op.reverse else range(time):
        a = parts(op.input, [v - kind.zero_point for v in x[t * width : (t + 1) * width]])
        b = parts(op.state, h)
        gates = [[(a[g * units + i], b[g * units + i]) for g in range(len(a) // units)] for i in range(units)]
        made = [unit(op, gates[i], c[i]) for i in range(units)]
        c = [state for state, _ in made]
        half = 2 ** (op.shift - 1)
        h = [min(max((value + half) // 2**op.shift, op.out.dtype.low), op.out.dtype.high) for _, value in made]
        kept[t] = h
    return [v for t in sorted(kept) for v in kept[t]] if op.pick is None else kept[op.pick]


def parts(layer, x):
    sums = [int(b) + sum(c * v for c, v in zip(codes, x, strict=True)) for b, codes in zip(
        layer.bias, layer.weights.codes.tolist(), strict=True)]  # fmt: skip
    return [rescaled(total, layer.rescale, row) for row, total in enumerate(sums)]


def unit(op, gates, state):
    """Return the next state of one unit and its result."""
    f, sums = op.fraction, [a + b for a, b in gates]
    match op.cell:
        case "rnn":
            return 0, tanh(sums[0], f)
        case "relu":
            return 0, sums[0]
        case "gru":
            kept = sigmoid(sums[0], f) * (gates[2][1] // 2**op.narrow) // 2 ** (15 - op.narrow)
            new = long_tanh(gates[2][0] + kept, f)
            state = new + sigmoid(sums[1], f) * (2 * ((state - new) // 65536) + 1)
            return state, state
        case "lstm":
            added = sigmoid(sums[0], f) * tanh(sums[2], f) // 2 ** (14 - op.cell_fraction)
            cell = (2 * (sigmoid(sums[1], f) * state + added) + 32768) // 65536
            cell = min(max(cell, -32767), 32767)
            return cell, times(sigmoid(sums[3], f), tanh(cell, op.cell_fraction))


def run(graph, row):
    """Return every value of one sample, flat."""
    types = graph.types()
    values = {graph.input_name: [int(v) for v in row.reshape(-1)]}
    for op in graph.ops:
        x, kind = values[op.inputs[0]], types[op.inputs[0]]
        zero, depth = kind.zero_point, kind.shape[-1]
        result = []
        match op:
            case Dense():
                for o, codes in enumerate(op.weights.codes.tolist()):
                    acc = int(op.bias[o]) + sum(c * (v - zero) for c, v in zip(codes, x, strict=True))
                    result.append(finished(acc, op, o))
            case Conv():
                part = depth // op.groups
                for places in windows(op, kind.shape, op.weights.codes.shape[1:3], op.padding, op.dilation):
                    for o, taps in enumerate(op.weights.codes.reshape(len(op.bias), -1, part).tolist()):
                        acc = int(op.bias[o])
                        first = o // (len(op.bias) // op.groups) * part
                        for place, codes in zip(places, taps, strict=True):
                            if place is not None:
                                acc += sum(c * (x[place * depth + first + i] - zero) for i, c in enumerate(codes))
                        result.append(finished(acc, op, o))
            case MaxPool():
                for places in windows(op, kind.shape, op.kernel, op.padding):
                    for c in range(depth):
                        inside = [x[p * depth + c] for p in places if p is not None]
                        result.append(max(inside, default=kind.dtype.low))
            case AvgPool():
                for places in windows(op, kind.shape, op.kernel, ((0, 0), (0, 0))):
                    for c in range(depth):
                        result.append(rescaled(sum(x[p * depth + c] - zero for p in places), op.rescale, c))
            case Requantize():
                result = [rescaled(v - zero, op.rescale, i % depth) for i, v in enumerate(x)]
            case Add():
                for i, pair in enumerate(zip(*(values[name] for name in op.inputs), strict=True)):
                    zeros = [types[name].zero_point for name in op.inputs]
                    acc = sum((v - z) * m for v, z, m in zip(pair, zeros, op.multipliers, strict=True))
                    result.append(rescaled(acc, op.rescale, i % depth))
            case Concat():
                for place in range(len(x) // depth):
                    for name in op.inputs:
                        width = types[name].shape[-1]
                        result += values[name][place * width : (place + 1) * width]
            case Recurrent():
                result = recurrent(op, x, kind)
            case SquaredError():
                result = [sum((a - b) ** 2 for a, b in zip(x, values[op.inputs[1]], strict=True))]
            case Reshape():
                result = x
            case Lookup():
                result = [int(op.table[v - kind.dtype.low]) for v in x]
            case Ramp():
                for i, v in enumerate(x):
                    at = i % depth if len(op.offset) > 1 else 0
                    slope = op.positive[at] if v >= zero else op.negative[at]
                    result.append(rescaled((v - zero) * int(slope) + int(op.offset[at]), op.rescale, 0))
            case Mul():
                gate, other = values[op.inputs[1]], types[op.inputs[1]]
                for i, v in enumerate(x):
                    place, channel = divmod(i, depth)
                    row = place if other.size > other.shape[-1] else 0
                    at = row * other.shape[-1] + (channel if other.shape[-1] > 1 else 0)
                    result.append(rescaled((v - zero) * (gate[at] - other.zero_point), op.rescale, 0))
            case Pad():
                (top, _), (left, _) = op.padding
                for y in range(op.out.shape[0]):
                    for z in range(op.out.shape[1]):
                        inside = top <= y < top + kind.shape[0] and left <= z < left + kind.shape[1]
                        at = ((y - top) * kind.shape[1] + z - left) * depth
                        result += x[at : at + depth] if inside else [op.value] * depth
            case View():
                for place in product(*(range(size) for size in op.out.shape)):
                    result.append(x[op.offset + sum(i * s for i, s in zip(place, op.strides, strict=True))])
            case Features():
                n, skipped = op.window, kind.shape[1] - op.window * op.windows
                for first in range(skipped, kind.shape[1], n):
                    for c in range(depth):
                        v = [x[t * depth + c] for t in range(first, first + n)]
                        pairs = list(pairwise(v))
                        found = {
                            "mean": sum(v),
                            "std": math.isqrt(n * sum(a * a for a in v) - sum(v) ** 2),
                            "rms": math.isqrt(n * sum(a * a for a in v)),
                            "min": min(v),
                            "max": max(v),
                            "range": max(v) - min(v),
                            "crossings": sum((a < 0) != (b < 0) for a, b in pairs),
                            "difference": sum(abs(a - b) for a, b in pairs),
                        }
                        result += [found[word] * 2 ** op.shifts[word] for word in op.kinds]
            case Forest():
                result = [0] * op.out.size
                turn = op.first
                for features, thresholds, leaves in zip(op.features, op.thresholds, op.leaves, strict=True):
                    node = 0
                    while node < len(features):
                        node = 2 * node + (2 if x[features[node]] > thresholds[node] else 1)
                    leaf = leaves[node - len(features)].tolist()
                    if op.votes:
                        result[leaf[0]] += 1
                    elif len(leaf) == len(result):
                        result = [a + b for a, b in zip(result, leaf, strict=True)]
                    else:
                        result[turn] += leaf[0]
                        turn = turn + 1 if turn + 1 < len(result) else op.first
            case ArgMax():
                result = [x.index(max(x))]
        assert len(result) == prod(op.out.shape)
        values[op.name] = result
    return values
