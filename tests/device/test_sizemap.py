from bitq.device import deployment, image
from bitq.device.config import TargetConfig
from bitq.device.sizemap import ENGINE, GAPS, MODEL, size_map
from tests.delivered import deliver


def test_every_byte_belongs_to_a_layer_the_engine_or_the_calls(tmp_path):
    model = deployment.read(deliver(tmp_path / "deploy", "conv", "int8"))
    built = image.link(model, TargetConfig(name="cortex_m4", optimize="size"), tmp_path)
    parts = size_map(built, model.layers, model.name)
    assert [part.name for part in parts[-3:]] == [MODEL, ENGINE, GAPS]
    assert sum(part.flash for part in parts) == built.flash_bytes
    assert abs(parts[-1].flash) < 64
    first = next(part for part in parts if part.name.startswith("fc"))
    assert first.constants >= 12 * 5 * 10  # its weights of 8 bits
    assert sum(part.ram for part in parts) == built.static_ram_bytes
