"""The whole experiment as one dataclass, and its way from Hydra's composition to checked values.

Everything here is free of torch: composing and checking a configuration costs a fraction of a second.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bitq.core.errors import ConfigError, nearest
from bitq.core.fields import choice, number, validate
from bitq.core.registry import Registry
from bitq.data.config import DATASETS
from bitq.device.config import TARGETS
from bitq.nn.config import MODELS, OnnxConfig
from bitq.quant.config import METHODS, MethodConfig
from bitq.search.config import SEARCHES
from bitq.track.config import TRACKERS
from bitq.train.config import TRAININGS, TrainConfig
from bitq.trees.config import ForestConfig

MODELS.register("onnx", OnnxConfig, "bitq.lowering.onnx:build")  # here, since `nn` knows nothing of lowering
GROUPS: dict[str, Registry[Any]] = {
    "data": DATASETS,
    "model": MODELS,
    "quant": METHODS,
    "train": TRAININGS,
    "target": TARGETS,
    "track": TRACKERS,
    "search": SEARCHES,
}
"""Config groups: a folder in ``conf/``, a registry, and a field of `ExperimentConfig` each."""

SCHEMA_ONLY = {"method"}
"""Registered names that are no choice themselves; the files of their group are."""

_WITHOUT_EFFECT = ("track", "workers", "traceback", "dry_run", "search", "target")
"""Fields that do not change what is trained; the fingerprint leaves them out."""

PER_VARIANT = ("model", "quant", "train")
"""Groups that a variant may change for itself; the data are the same for all."""


@dataclass
class VariantConfig:
    """One of the networks that a run trains and compares.

    Attributes:
        policy: parameter-name patterns to codebooks (bipolar, ternary, odd2, odd3, odd4, int8, float); the last
            match wins.
        training: ``method`` trains under the method of ``quant``; ``ptq`` rounds the float network of the same
            seed after training; ``float`` trains without quantization; ``trees`` grows a kind of trees; ``given``
            takes the integers of a quantized ONNX file as they are.
        activation_bits: of the activations on the chip that are never negative, and of the input: 8, or 7, with which
            cores with the DSP extension add 1-bit layers up in fewer instructions.
        settings: values that this variant alone has, by the keys of the experiment (``quant.strength: 3.0``).
    """

    policy: dict[str, str] = field(default_factory=dict[str, str])
    training: str = choice("method", ("method", "ptq", "float", "trees", "given"))
    activation_bits: int = number(8, 7, 8, "bits")
    settings: dict[str, Any] = field(default_factory=dict[str, Any])

    def check(self, path: str) -> None:
        """Refuse a low-bit variant without a policy and a float one with."""
        if (self.training in ("float", "trees", "given")) == bool(self.policy):
            raise ConfigError(
                f"{path}: training '{self.training}' and policy {dict(self.policy)} contradict; "
                "float, trees and given have no policy, ptq and method need one."
            )


@dataclass
class ExperimentConfig:
    """Everything that determines a run.

    Attributes:
        experiment: name of the experiment; a C identifier, the models' symbols begin with it.
        data, model, quant, train, target, track, search: one config of each group.
        variants: what is trained and compared.
        seed: of the first repeat; the others follow it.
        repeats: trainings of every variant, each with its own seed.
        workers: worker processes; 0 is one per core.
        traceback: show Python's traceback with an error.
        dry_run: compose, check, read the data, print the plan, and stop.
    """

    experiment: str = "custom"
    data: Any = MISSING
    model: Any = MISSING
    quant: Any = MISSING
    train: Any = MISSING
    target: Any = MISSING
    track: Any = MISSING
    search: Any | None = None
    variants: dict[str, VariantConfig] = field(default_factory=dict[str, VariantConfig])
    seed: int = number(0, 0, 2**31 - 1)
    repeats: int = number(3, 1, 10_000, "repeats")
    workers: int = number(0, 0, 1024, "processes")
    traceback: bool = False
    dry_run: bool = False

    @property
    def seeds(self) -> list[int]:
        """The seed of every repeat."""
        return list(range(self.seed, self.seed + self.repeats))

    def of(self, variant: str) -> ExperimentConfig:
        """Return the experiment as one variant sees it: with that variant's own settings.

        Raises:
            ConfigError: a setting names no key of model, quant or train, or has a value that the key does not allow.
        """
        own: dict[str, dict[str, Any]] = {}
        for key, value in self.variants[variant].settings.items():
            group, _, name = key.partition(".")
            if group not in PER_VARIANT or not name:
                raise ConfigError(f"variants.{variant}.settings.{key}: keys of {', '.join(PER_VARIANT)} are allowed.")
            own.setdefault(group, {})[name] = value
        return replace(self, **{g: _changed(getattr(self, g), v, f"variants.{variant}.{g}") for g, v in own.items()})

    def fingerprint(self) -> str:
        """Return a SHA-256 over all values that change what is trained."""
        values = {key: value for key, value in asdict(self).items() if key not in _WITHOUT_EFFECT}
        for variant in values["variants"].values():
            if not variant["settings"]:
                del variant["settings"]
            if variant["activation_bits"] == 8:
                del variant["activation_bits"]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def check(self, path: str) -> None:
        """Refuse a run without variants, names that cannot become symbols and folders, and learning in no time."""
        if not self.variants:
            raise ConfigError("variants: name at least one, as in conf/config.yaml.")
        if isinstance(self.model, ForestConfig):
            self._check_trees()
        elif any(variant.training == "given" for variant in self.variants.values()):
            self._check_given()
        elif isinstance(self.train, TrainConfig) and self.train.epochs == 0:
            self._check_untrained(self.train)
        self._check_polish()
        for key, name in [("experiment", self.experiment), *(("variants", v) for v in self.variants)]:
            if not name.isidentifier() or not name.isascii() or not name.islower() or len(name) > 24:
                raise ConfigError(
                    f"{key}: '{name}' becomes part of C symbols and folders; use 1 to 24 lower-case letters, "
                    "digits and underscores, a letter first."
                )
        for name in self.variants:
            self.of(name)

    def _check_trees(self) -> None:
        if self.search is not None:
            raise ConfigError("search: trees have no bits per matrix to search; vary model.budget_bytes with -m.")

    def _check_given(self) -> None:
        if not isinstance(self.model, OnnxConfig) or len(self.variants) > 1 or self.search is not None:
            raise ConfigError(
                "variants: training=given takes a quantized ONNX file as it is, without other variants and without a "
                "search; name the file, model=onnx model.path=FILE."
            )

    def _check_polish(self) -> None:
        if not (isinstance(self.quant, MethodConfig) and isinstance(self.train, TrainConfig)):
            return
        if self.quant.polish != "none" and 0 < self.train.epochs <= self.quant.polish_epochs:
            raise ConfigError(
                f"quant.polish_epochs: {self.quant.polish_epochs} of train.epochs={self.train.epochs} leave none for "
                "training the weights; the polish takes the last epochs."
            )

    def _check_untrained(self, train: TrainConfig) -> None:
        learning = [f"variants.{name}" for name, variant in self.variants.items() if variant.training == "method"]
        if train.init is None:
            raise ConfigError("train.epochs: 0 trains nothing; name the weights to round, train.init=FILE.")
        if learning or self.search is not None:
            without = " ".join(f"'~{key}'" for key in learning or ["search"])
            raise ConfigError(
                f"train.epochs: 0 trains nothing, but {', '.join(learning) or 'a search'} cannot do without; choose "
                f"training=ptq there, or leave it out: {without}."
            )


@dataclass
class ExperimentSchema(ExperimentConfig):
    """What Hydra composes: variants are typed afterwards, so that the command line can add some."""

    variants: dict[str, Any] = field(default_factory=dict[str, Any])


def conf_dir() -> Path:
    """Return the folder of the YAML files: inside the installed package, else beside it in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def named_method(name: str) -> MethodConfig:
    """Return the method that ``conf/quant/NAME.yaml`` describes.

    Raises:
        ConfigError: there is no such file.
    """
    path = conf_dir() / "quant" / f"{name}.yaml"
    known = sorted(other.stem for other in path.parent.glob("*.yaml"))
    if name not in known:
        raise ConfigError(f"unknown method '{name}'.{nearest(name, known)}")
    values = OmegaConf.masked_copy(OmegaConf.load(path), [f.name for f in fields(MethodConfig)])  # pyright: ignore[reportArgumentType]
    result = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(MethodConfig), values))
    assert isinstance(result, MethodConfig)
    return result


def store_schemas() -> None:
    """Give Hydra the typed schema of every registered name, as ``GROUP/schema/NAME``."""
    store = ConfigStore.instance()
    store.store(name="experiment_schema", node=ExperimentSchema)
    for group, registry in GROUPS.items():
        for name in registry:
            store.store(group=f"{group}/schema", name=name, node=registry[name].config)
            if name not in SCHEMA_ONLY and not (conf_dir() / group / f"{name}.yaml").is_file():  # a plugin's
                store.store(group=group, name=name, node=registry[name].config)


def compose(overrides: Sequence[str]) -> ExperimentConfig:
    """Return the configuration that a command line with these overrides would give, for scripts and notebooks.

    Raises:
        ConfigError: a value is missing, out of range or contradicts another.
    """
    store_schemas()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return to_experiment(hydra_compose("config", list(overrides)))


def to_experiment(config: DictConfig) -> ExperimentConfig:
    """Turn a composed configuration into checked dataclasses.

    Raises:
        ConfigError: a value is missing, out of range or contradicts another, or a resolver is used.
    """
    _refuse_strangers(config, "")
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise ConfigError(f"{missing[0]}: a value is needed; choose one on the command line.")
    result = OmegaConf.to_object(config)
    assert isinstance(result, ExperimentConfig)
    if isinstance(result.model, ForestConfig):
        # What conf/config.yaml and the experiments name are networks.
        kinds = result.model.learning(getattr(result.data, "task", None))
        result.variants = {kind: VariantConfig(training="trees") for kind in kinds}
    elif isinstance(result.model, OnnxConfig) and _is_quantized(result.model.path):
        # Nothing is left to be trained, so once is enough.
        result.variants, result.repeats = {"quantized": VariantConfig(training="given")}, 1
    else:
        result.variants = {str(name): _to_variant(str(name), config.variants[name]) for name in config.variants}
    validate(result)
    return result


def _is_quantized(path: str) -> bool:
    from bitq.lowering.imports.files import is_quantized  # the onnx package is loaded where a file is read only

    return bool(path) and is_quantized(path)


def _changed(config: Any, values: dict[str, Any], path: str) -> Any:
    """Return a config with other values, as checked as if they stood in a YAML file."""
    known = [f.name for f in fields(config)]
    for key in values:
        if key not in known:
            raise ConfigError(f"unknown key '{path}.{key}'.{nearest(key, known)}")
    try:
        result = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(config), values))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{path}: {str(error).splitlines()[0]}") from error
    validate(result, path)
    return result


def _to_variant(name: str, node: Any) -> VariantConfig:
    known = [f.name for f in fields(VariantConfig)]
    for key in node if isinstance(node, DictConfig) else ():
        if key not in known:
            raise ConfigError(f"unknown key 'variants.{name}.{key}'.{nearest(str(key), known)}")
    try:
        variant = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(VariantConfig), node))
    except (OmegaConfBaseException, TypeError, ValueError) as error:
        example = f"+variants.{name}={{policy: {{*: odd2}}}}"
        raise ConfigError(f"variants.{name}: {str(error).splitlines()[0]}; write it as in '{example}'.") from error
    assert isinstance(variant, VariantConfig)
    return variant


def _refuse_strangers(config: Any, path: str) -> None:
    """Refuse keys that no dataclass has, and values that call a resolver (``${oc.env:…}``)."""
    if isinstance(config, DictConfig):
        kind = OmegaConf.get_type(config)
        known = {f.name for f in fields(kind)} if is_dataclass(kind) else None
        for key in config:
            where = f"{path}.{key}" if path else str(key)
            if known is not None and key not in known:
                raise ConfigError(f"unknown key '{where}'.{nearest(str(key), known)}")
            if key == "_target_":
                raise ConfigError(f"{where}: names code, which no configuration may.")
            _refuse_strangers(config._get_node(key), where)  # pyright: ignore[reportPrivateUsage]  raw, unresolved
    elif isinstance(config, ListConfig):
        for index in range(len(config)):
            _refuse_strangers(config._get_node(index), f"{path}[{index}]")  # pyright: ignore[reportPrivateUsage]
    elif OmegaConf.is_interpolation(config) or "${" in str(getattr(config, "_value", lambda: "")()):
        raw = str(config._value())
        if ":" in raw:
            raise ConfigError(f"{path}: '{raw}' calls a resolver; only plain values and ${{key}} are allowed.")
