from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from bitq.config import named_method
from bitq.core.errors import TrainingError
from bitq.nn.config import LenetConfig
from bitq.nn.lenet import build
from bitq.train.config import TrainConfig
from bitq.train.fit import fit
from bitq.train.stacked import fit_stacked, pays
from tests.data_sets import blobs, spirals

CONFIG = TrainConfig(epochs=6, batch=32, lr=0.01)
BINARY = {"policy": {"*": "bipolar"}, "method": named_method("ste_msqe")}
MIXED = {"policy": {"*": "int8", "0.weight": "odd2"}, "method": replace(named_method("hq"), scale="channel")}


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def stacked(seeds, config=CONFIG, **how):
    return fit_stacked([network(seed) for seed in seeds], blobs(), config, seeds, **how)


def state(fitted):
    return torch.cat([values.flatten().double() for values in fitted.quantized.model.state_dict().values()])


def test_float_replicas_learn_what_they_learn_alone():
    for seed, together in zip((3, 4, 9), stacked((3, 4, 9)), strict=True):
        alone = fit(network(seed), blobs(), CONFIG, seed)
        assert torch.allclose(state(together), state(alone), atol=1e-3)
        assert together.history[-1]["val/accuracy"] == pytest.approx(alone.history[-1]["val/accuracy"], abs=0.02)


@pytest.mark.parametrize("how", [BINARY, MIXED], ids=["binary", "mixed"])
def test_without_rounding_in_the_way_replicas_are_quantized_as_they_are_alone(how):
    one_step = replace(CONFIG, epochs=1, batch=len(blobs().train))
    for seed, together in zip((1, 2), stacked((1, 2), one_step, **how), strict=True):
        alone = fit(network(seed), blobs(), one_step, seed, **how)
        for name, weight in alone.quantized.weights.items():
            mine = together.quantized.weights[name]
            assert np.array_equal(mine.codes, weight.codes)
            np.testing.assert_allclose(mine.scale, weight.scale, rtol=1e-3)
            assert mine.scale.shape == weight.scale.shape
        assert set(together.history[0]) == set(alone.history[0])
        assert set(together.evolution) == set(alone.evolution)


@pytest.mark.parametrize("how", [BINARY, MIXED], ids=["binary", "mixed"])
def test_what_comes_out_is_codes_times_one_scale_each(how):
    for fitted in stacked((0, 1, 2), **how):
        assert fitted.history[-1]["weights/within_1pct"] == 1
        for name, weight in fitted.quantized.weights.items():
            scale = torch.from_numpy(weight.scale).float().reshape(-1, 1)
            assert torch.allclose(fitted.quantized.model.get_parameter(name), torch.from_numpy(weight.codes) * scale)
        assert (fitted.after == blobs().test.y).mean() > 0.6


def image_network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    body = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
    return nn.Sequential(body, nn.Flatten(), nn.Linear(36, 3))


def test_replicas_read_images_with_channels_innermost_and_learn_what_they_learn_alone():
    data, layouts = blobs(shape=(1, 8, 8)), []

    def note(module, args, output):
        if module.training and output.dim() == 4:
            layouts.append(output.is_contiguous(memory_format=torch.channels_last))

    config = replace(CONFIG, epochs=1)
    with torch.nn.modules.module.register_module_forward_hook(note):
        group = fit_stacked([image_network(seed) for seed in (1, 2)], data, config, (1, 2))
    assert layouts
    assert all(layouts)
    for seed, together in zip((1, 2), group, strict=True):
        assert torch.allclose(state(together), state(fit(image_network(seed), data, config, seed)), atol=1e-3)


def test_a_group_pays_up_to_a_lenet_on_whole_images():
    data = blobs(shape=(1, 28, 28))
    config = replace(CONFIG, batch=128)
    assert pays(build(LenetConfig(), (1, 28, 28), 3), data, config, None)
    assert not pays(build(LenetConfig(channels=[16, 32]), (1, 28, 28), 3), data, config, None)


def test_the_same_seeds_give_the_same_bits_and_each_its_own():
    first, again = stacked((5, 6), **BINARY), stacked((5, 6), **BINARY)
    assert all(torch.equal(state(a), state(b)) for a, b in zip(first, again, strict=True))
    assert not torch.equal(state(first[0]), state(first[1]))


def test_a_group_is_distributed_as_lone_trainings_are():
    """Means within three standard errors, spreads within a factor, after two epochs, when nothing is learned yet."""
    seeds, data = range(24), blobs()
    config = replace(CONFIG, epochs=2)
    how = {**BINARY, "on_test": False}
    together = fit_stacked([network(s) for s in seeds], data, config, seeds, **how)
    alone = [fit(network(s), data, config, s, **how) for s in seeds]
    a, b = (np.array([f.history[-1]["val/accuracy"] for f in group]) for group in (together, alone))
    error = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(seeds))
    assert abs(a.mean() - b.mean()) <= 3 * error + 1e-9
    assert 0.4 < (a.std(ddof=1) + 1e-3) / (b.std(ddof=1) + 1e-3) < 2.5


def test_each_replica_feels_its_own_strength():
    method = replace(named_method("hq"), freeze="none", strength=1.0, schedule="constant")
    how = {"policy": {"*": "bipolar"}, "method": method}
    weak, strong = fit_stacked([network(0), network(0)], blobs(), CONFIG, [0, 0], strengths=[0.1, 10.0], **how)
    alone = fit(network(0), blobs(), CONFIG, 0, policy={"*": "bipolar"}, method=replace(method, strength=10.0))

    def distance(f):
        return f.history[-1]["weights/0.weight/msqe"]

    assert distance(weak) > 2 * distance(strong)
    assert distance(strong) == pytest.approx(distance(alone), rel=0.2)


def test_what_diverges_is_an_error():
    with pytest.raises(TrainingError, match="not finite"):
        stacked((0, 1), replace(CONFIG, lr=1e38, schedule="constant"))


@pytest.mark.parametrize(
    ("change", "expected"),
    [({}, True), ({"augment": 0.5}, False), ({"distill": 0.5}, False), ({"batch": 1_000_000}, False)],
)
def test_groups_are_for_small_plain_classifications(change, expected):
    assert pays(network(0), blobs(), replace(CONFIG, **change), named_method("ste_msqe")) is expected


def test_what_a_group_cannot_do_is_left_to_lone_trainings():
    assert not pays(network(0), blobs(), CONFIG, named_method("ste_paced"))
    assert not pays(network(0), spirals(), CONFIG, None)
    mixing = nn.Sequential(nn.Linear(6, 3), nn.Softmax(dim=1))
    assert not pays(mixing, blobs(), CONFIG, None)
