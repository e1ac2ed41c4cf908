import pytest
from torch import nn

from pipelines import bench


def test_contenders_take_turns_and_one_that_cannot_run_is_named(capsys):
    order = []

    def broken():
        raise ImportError("no such library")

    found = bench.compare({"a": lambda: order.append("a"), "x": broken, "b": lambda: order.append("b")}, rounds=2)
    assert order == ["a", "b"] * 3  # once to warm up
    assert set(found) == {"a", "b"}
    assert "x: cannot run here (ImportError: no such library)" in capsys.readouterr().out


def test_ratios_are_to_the_first(capsys):
    bench.report("net part", {"one": 2.0, "eight": 3.0}, epochs=4)
    assert capsys.readouterr().out == "net part: one 0.500 s (1.00), eight 0.750 s (1.50)\n"


def test_a_network_that_a_peer_lacks_is_refused():
    pytest.importorskip("brevitas")
    with pytest.raises(TypeError, match="no GRU"):
        bench._with_brevitas(nn.Sequential(nn.GRU(2, 3)))


def test_a_contender_trains_alike_in_both_loops():
    made = bench.Bench("imu", epochs=1)
    trained = []

    def prepare(model, steps, adam):
        trained.append((model, steps, model.state_dict()["fc1.weight"].clone()))
        return made.float_loop(model, steps, adam)

    made.plain(prepare)
    made.loader(prepare)
    (_, steps, _), (_, again, _) = trained
    assert steps == again == len(made.data.train) // made.config.train.batch
    assert all((model.state_dict()["fc1.weight"] != before).any() for model, _, before in trained)


def test_unknown_arguments_are_refused(capsys):
    assert bench.main(["nett=imu"]) == 2
    assert "net" in capsys.readouterr().err
