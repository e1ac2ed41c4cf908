import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bitq.core.errors import ConfigError
from bitq.train.checkpoint import load_weights


def network(seed: int = 0, width: int = 5) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def saved(path, state) -> str:
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return str(path)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
@pytest.mark.parametrize("prefix", ["", "model.", "_orig_mod."])
def test_what_was_saved_comes_back(tmp_path, name, prefix):
    source, target = network(0), network(1)
    path = saved(tmp_path / name, {prefix + key: values for key, values in source.state_dict().items()})
    assert not same(source, target)
    load_weights(target, path)
    assert same(source, target)


def test_a_lightning_checkpoint_holds_the_state_under_a_key(tmp_path):
    source, target = network(0), network(1)
    state = {f"model.{key}": values for key, values in source.state_dict().items()}
    load_weights(target, saved(tmp_path / "last.ckpt", {"epoch": 3, "state_dict": state}))
    assert same(source, target)


def test_half_precision_and_a_missing_batch_counter_are_fine(tmp_path):
    source, target = network(0), network(1)
    state = {key: v.half() for key, v in source.state_dict().items() if not key.endswith("tracked")}
    load_weights(target, saved(tmp_path / "w.safetensors", state))
    assert target[0].weight.dtype == torch.float32
    assert torch.allclose(target[0].weight, source[0].weight, atol=1e-3)


def without(name):
    return lambda state: state.pop(name)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without("2.bias"), "it lacks 2.bias"),
        (lambda s: s.update(extra=torch.zeros(1)), "it holds extra"),
        (lambda s: s.update({"0.weight": torch.zeros(4, 3)}), r"0.weight is \(4, 3\) in the file and \(5, 3\)"),
        (lambda s: s.update({"2.bias": torch.tensor([0.0, torch.nan])}), "2.bias holds values that are not finite"),
        (lambda s: (s.clear(), s.update({f"b.{i}": torch.zeros(1) for i in range(9)})), "and 5 more"),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(tmp_path, change, says):
    state = dict(network(0).state_dict())
    change(state)
    model = network(1)
    with pytest.raises(ConfigError, match=f"w.pt.*{says}"):
        load_weights(model, saved(tmp_path / "w.pt", state))
    assert same(model, network(1))


class Trap:
    def __reduce__(self):
        return print, ("code was run",)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_damage_and_code_are_refused(tmp_path, name, capsys):
    path = tmp_path / name
    path.write_bytes(b"no weights at all")
    with pytest.raises(ConfigError, match="cannot be read as weights") as caught:
        load_weights(network(), path)
    assert len(str(caught.value)) < 330
    torch.save({"0.weight": Trap()}, path)
    with pytest.raises(ConfigError, match="cannot be read as weights"):
        load_weights(network(), path)
    assert capsys.readouterr().out == ""


def test_a_whole_model_is_refused_in_a_few_words(tmp_path):
    with pytest.raises(
        ConfigError, match=r"it holds a torch\.nn\.\S+, and objects may run code\); save them"
    ) as caught:
        load_weights(network(), saved(tmp_path / "w.pt", network()))
    assert len(str(caught.value)) < 350


def test_other_content_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load_weights(network(), tmp_path / "none.pt")
    with pytest.raises(ConfigError, match="holds list, not a state_dict"):
        load_weights(network(), saved(tmp_path / "w.pt", [torch.zeros(1)]))
