"""The callback in modules that know nothing of it; the yardstick is the quantizer in a hand-written loop."""

import logging
import math

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import GradientAccumulationScheduler, ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import bitq
from bitq.core.errors import ConfigError, TrainingError

ROWS, BATCH, EPOCHS = 96, 16, 5
POLICY = {"*": "bipolar"}
pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:DeprecationWarning")


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(ROWS, 6, generator=torch.Generator().manual_seed(1))
    return x, x[:, :3].argmax(dim=1)


def loader() -> DataLoader:
    return DataLoader(TensorDataset(*rows()), batch_size=BATCH)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


def stepped(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)


class Plain(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = network()
        self.seen: list[set[float]] = []

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        self.seen.append(set(self.net[0].weight.detach().abs().unique().tolist()))
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": stepped(optimizer), "interval": "step"}}


class Manual(Plain):
    """Two optimizers for two parts; the second one steps at every other batch only."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        first, second = self.optimizers()
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.manual_backward(loss)
        first.step()
        first.zero_grad()
        if batch_idx % 2:
            second.step()
            second.zero_grad()

    def configure_optimizers(self):
        return [torch.optim.Adam(self.net[:3].parameters(), 0.01), torch.optim.SGD(self.net[3].parameters(), 0.1)]


def fit(module: pl.LightningModule, *callbacks: pl.Callback, data=None, **options) -> pl.Trainer:
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    options = {"max_epochs": EPOCHS, "enable_checkpointing": False, **quiet, **options}
    trainer = pl.Trainer(accelerator="cpu", callbacks=list(callbacks), **options)
    trainer.fit(module, loader() if data is None else data)
    return trainer


def by_hand(method: str, every: int = 1) -> nn.Module:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = stepped(optimizer)
    batches = list(loader())
    quantizer = bitq.quantize(model, POLICY, optimizer, EPOCHS * math.ceil(len(batches) / every), method)
    for _ in range(EPOCHS):
        for number, (x, y) in enumerate(batches, 1):
            (nn.functional.cross_entropy(model(x), y) / every).backward()
            if number % every == 0 or number == len(batches):
                optimizer.step()
                optimizer.zero_grad()
                scheduler.step()
    return quantizer.finish().model


@pytest.mark.parametrize("every", [1, 4])
@pytest.mark.parametrize("method", ["ste_msqe", "hq", "lsq", "dampen_freeze"])
def test_it_does_what_a_loop_by_hand_does_bit_for_bit(method, every):
    callback = bitq.Quantization(POLICY, method, submodule="net")
    module = Plain()
    fit(module, callback, accumulate_grad_batches=every)
    expected = by_hand(method, every).state_dict()
    assert callback.quantized.model is module.net
    assert set(callback.quantized.weights) == {"0.weight", "3.weight"}
    for name, values in module.net.state_dict().items():
        assert torch.equal(values, expected[name]), name


def test_the_training_step_sees_one_bit_from_the_first_batch_on():
    module = Plain()
    fit(module, bitq.Quantization({"*": "bipolar"}, submodule="net"))
    assert all(len(values) == 1 for values in module.seen)


@pytest.mark.parametrize("method", ["ste_msqe", "hq", "ste_paced"])
def test_two_optimizers_at_paces_of_their_own_both_arrive(method):
    callback = bitq.Quantization(POLICY, method, submodule="net")
    module = Manual()
    fit(module, callback, max_epochs=20)
    steps = [quantizer.steps for quantizer in callback._quantizers]
    assert steps == [120, 60]
    assert [quantizer.progress for quantizer in callback._quantizers] == [1.0, 1.0]
    weights = callback.quantized.weights
    for name, weight in weights.items():
        found = module.net.get_parameter(name).detach().double().numpy()
        assert (abs(found - weight.codes * weight.scale.reshape(-1, 1)) < 1e-6).all()
    x, y = rows()
    with torch.no_grad():
        assert (module.eval()(x).argmax(dim=1) == y).float().mean() > 0.8


def test_an_accumulation_that_changes_on_the_way_still_arrives():
    callback = bitq.Quantization(POLICY, submodule="net")
    fit(Plain(), callback, GradientAccumulationScheduler({0: 1, 2: 3}))
    (quantizer,) = callback._quantizers
    assert quantizer.steps == 2 * 6 + 3 * 2
    assert quantizer.progress == 1.0


def test_max_steps_end_the_schedule_too():
    callback = bitq.Quantization(POLICY, submodule="net")
    fit(Plain(), callback, max_steps=10)
    assert callback._quantizers[0].steps == 10
    assert callback._quantizers[0].progress == 1.0


def test_a_second_fit_begins_anew():
    callback = bitq.Quantization(POLICY, submodule="net")
    module = Plain()
    trainer = fit(module, callback)
    first = callback.quantized
    trainer.fit_loop.max_epochs = 2 * EPOCHS
    trainer.fit(module, loader())
    assert callback.quantized is not first
    assert callback._quantizers[0].progress == 1.0


def test_the_module_itself_is_lowered_too(tmp_path):
    callback = bitq.Quantization({"net.*": "int8"})
    module = Plain()
    fit(module, callback)
    x, _ = rows()
    graph = bitq.lower(callback.quantized, x)
    assert {op.layer for op in graph.ops if op.layer} == {"net.0", "net.3"}


def test_it_logs_flips_and_arrivals():
    callback = bitq.Quantization(POLICY, submodule="net")
    trainer = fit(Plain(), callback)
    assert {"weights/flips", "weights/within_1pct"} <= set(trainer.logged_metrics)


def test_nothing_is_there_before_the_training():
    callback = bitq.Quantization(POLICY)
    for ask in (callback.finish, lambda: callback.quantized):
        with pytest.raises(TrainingError, match="nothing is quantized yet"):
            ask()


class StopAfter(pl.Callback):
    def on_train_epoch_end(self, trainer, pl_module):
        trainer.should_stop = True


def test_a_training_that_stops_early_is_rounded_and_says_so(caplog):
    callback = bitq.Quantization(POLICY, submodule="net")
    fit(Plain(), callback, StopAfter())
    assert "ended after 20 %" in caplog.text
    assert callback.finish() is callback.quantized


@pytest.mark.parametrize(
    ("policy", "submodule", "says"),
    [
        ({"nothing*": "int8"}, "net", "matches no weight matrix"),
        (POLICY, "nett", "Plain has no 'nett'"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_step(policy, submodule, says):
    module = Plain()
    with pytest.raises(ConfigError, match=says):
        fit(module, bitq.Quantization(policy, submodule=submodule))
    assert module.seen == []


class Headless(Plain):
    def configure_optimizers(self):
        return torch.optim.SGD(self.net[:3].parameters(), 0.1)


class Twice(Manual):
    def configure_optimizers(self):
        return [torch.optim.SGD(self.net.parameters(), 0.1) for _ in range(2)]


@pytest.mark.parametrize(("kind", "says"), [(Headless, "3.weight has 0 optim"), (Twice, "0.weight has 2 optim")])
def test_a_matrix_needs_one_optimizer(kind, says):
    with pytest.raises(ConfigError, match=says):
        fit(kind(), bitq.Quantization(POLICY, submodule="net"))


class Endless(IterableDataset):
    def __iter__(self):
        yield from zip(*rows(), strict=True)


def test_a_training_without_a_known_end_is_refused():
    with pytest.raises(ConfigError, match="set max_steps"):
        fit(Plain(), bitq.Quantization(POLICY, submodule="net"), data=DataLoader(Endless(), batch_size=BATCH))


def test_its_checkpoints_can_be_tested_but_not_trained_on(tmp_path):
    keep = ModelCheckpoint(tmp_path, save_last=True)
    trainer = fit(Plain(), bitq.Quantization(POLICY, submodule="net"), keep, enable_checkpointing=True)
    trainer.predict(Plain(), DataLoader(rows()[0], batch_size=BATCH), ckpt_path=keep.last_model_path)
    again = pl.Trainer(max_epochs=9, accelerator="cpu", logger=False, callbacks=[bitq.Quantization(POLICY)])
    with pytest.raises(ConfigError, match="lacks the real ones"):
        again.fit(Plain(), loader(), ckpt_path=keep.last_model_path)
