import numpy as np
import pytest

from bitq.core.errors import DeployError
from bitq.device.host import HostModel

from .toys import Mlp, one_function, write_project


@pytest.mark.parametrize("compiler", ["auto", "zig"])
@pytest.mark.parametrize("optimize", ["size", "speed"])
def test_equals_numpy_on_every_sample(tmp_path, compiler, optimize):
    net = Mlp(seed=3)
    x = net.inputs(3000)
    folder = net.write(tmp_path)
    before = sorted(path.name for path in folder.iterdir())
    scores, winners = HostModel(folder, compiler=compiler, optimize=optimize).predict(x)
    expected = net.evaluate(x)
    assert np.array_equal(scores, expected[0])
    assert np.array_equal(winners, expected[1])
    assert sorted(path.name for path in folder.iterdir()) == before


def test_takes_rows_that_are_not_contiguous_and_none_at_all(tmp_path):
    net = Mlp()
    model = HostModel(net.write(tmp_path))
    x = net.inputs(20)
    assert np.array_equal(model.predict(x[::2]).scores, net.evaluate(x[::2])[0])
    assert model.predict(x[:0]).scores.shape == (0, 3)


@pytest.mark.parametrize("dtype", ["uint8", "int16"])
def test_other_element_types(tmp_path, dtype):
    body = "    scores[0] = input[0];\n    scores[1] = input[11];\n    scores[2] = 0;\n    return input[5];"
    model = HostModel(write_project(tmp_path, one_function(body, dtype=dtype), dtype=dtype))
    info = np.iinfo(dtype)
    x = np.random.default_rng(0).integers(info.min, info.max + 1, (50, 12), dtype=dtype)
    found = model.predict(x)
    assert np.array_equal(found.scores[:, :2], x[:, [0, 11]])
    assert np.array_equal(found.winners, x[:, 5])


@pytest.mark.parametrize("x", [np.zeros((2, 11), np.int8), np.zeros((2, 12), np.int16), np.zeros(12, np.int8)])
def test_wrong_inputs_are_refused(tmp_path, x):
    model = HostModel(Mlp().write(tmp_path))
    with pytest.raises(DeployError, match=r"expected int8 \(n, 12\)"):
        model.predict(x)
