from dataclasses import replace

from bitq.codegen.fuse import fuse
from bitq.codegen.ops.pooled import PooledConv
from bitq.ir.types import BIPOLAR, INT8
from tests.codegen.nets import sequence_net


def test_a_pool_goes_with_its_convolution():
    fused = fuse(sequence_net(BIPOLAR), "speed")
    assert [type(op).__name__ for op in fused.ops] == ["PooledConv", "Dense", "ArgMax"]
    conv = fused.ops[0]
    assert isinstance(conv, PooledConv)
    assert (conv.name, conv.inputs, conv.out.shape) == ("pool", ("input",), (1, 11, 8))


def test_nothing_is_fused_where_the_convolution_is_a_loop_or_read_twice():
    assert [type(op).__name__ for op in fuse(sequence_net(INT8), "speed").ops][:2] == ["Conv", "MaxPool"]
    graph = sequence_net(BIPOLAR)
    again = replace(graph.ops[1], name="again")
    twice = replace(graph, ops=(*graph.ops[:2], again, *graph.ops[2:]))
    assert [op.name for op in fuse(twice, "speed").ops] == [op.name for op in twice.ops]
