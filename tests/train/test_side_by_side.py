import pytest
import torch
from torch import nn

from bitq.nn.gesture import Gesture
from bitq.train.side_by_side import stack, unstack


def image_network() -> nn.Module:
    layers = [nn.Conv2d(2, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Conv2d(4, 6, 1, groups=2), nn.Flatten(), nn.Linear(24, 3))


NETS = {
    "mlp": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(8, 5), nn.BatchNorm1d(5), nn.Linear(5, 3, bias=False)),
        (2, 4),
    ),
    "images": (image_network, (2, 8, 8)),
    "windows": (lambda: nn.Sequential(nn.Conv1d(2, 4, 3, dilation=2), nn.AdaptiveAvgPool1d(1), nn.Flatten()), (2, 9)),
    "recurrent": (lambda: Gesture(2, 4, 3, 2, 5, 3), (2, 11)),
}


@pytest.mark.parametrize("name", NETS)
def test_every_replica_answers_and_learns_as_it_does_alone(name):
    make, shape = NETS[name]
    models = [make() for _ in range(3)]
    x = torch.randn(4, 3, *shape)
    wide = stack(models)
    found = wide(x.flatten(1, 2))
    alone = [model(x[:, i]) for i, model in enumerate(models)]
    torch.testing.assert_close(found, torch.cat(alone, dim=1), atol=1e-5, rtol=1e-4)
    found.square().sum().backward()
    torch.stack([a.square().sum() for a in alone]).sum().backward()
    for key, parameter in wide.named_parameters():
        own = torch.cat([model.get_parameter(key).grad for model in models])
        torch.testing.assert_close(parameter.grad, own, atol=1e-4, rtol=1e-3)
    with torch.no_grad():
        for parameter in wide.parameters():
            parameter.mul_(2)
    doubled = [2 * model.get_parameter(key) for model in models for key, _ in model.named_parameters()]
    unstack(wide, models)
    back = [model.get_parameter(key) for model in models for key, _ in model.named_parameters()]
    assert all(torch.equal(a, b) for a, b in zip(doubled, back, strict=True))


@pytest.mark.parametrize("layer", [nn.LSTM(2, 3), nn.GRU(2, 3, num_layers=2, batch_first=True), nn.LayerNorm(4)])
def test_what_cannot_be_widened_is_refused(layer):
    with pytest.raises(TypeError, match="can"):
        stack([layer, layer])
