"""Imports point one way; nothing runs data as code; files stay short; every module has its test."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "bitq").rglob("*.py"))
NAMES = [str(path.relative_to(ROOT)) for path in MODULES]
EVERY = pytest.mark.parametrize("path", MODULES, ids=NAMES)

MAY_IMPORT = {
    "core": set(),
    "ir": {"core"},
    "codegen": {"core", "ir"},
    "device": {"core"},
    "track": {"core"},
    "search": {"core"},
    "data": {"core"},
    "nn": {"core"},
    "quant": {"core", "ir"},
    "trees": {"core", "data", "ir", "nn"},
    "train": {"core", "data", "ir", "quant", "sim"},
    "lowering": {"core", "data", "ir", "quant"},
    "sim": {"core", "ir"},
}
"""Packages of bitq that a package may import; the modules beside them join everything."""

ONLY_IN = {
    "torch": {"nn", "quant", "train", "lowering", "sim", "api.py", "callback.py", "experiment.py", "trial.py"},
    "pytorch_lightning": {"train", "callback.py"},
    "onnx": {"lowering"},
    "safetensors": {"train", "experiment.py"},
    "mlflow": {"track"},
    "sqlalchemy": {"track", "search"},
    "matplotlib": {"track", "pictures.py"},
    "optuna": {"search"},
    "ray": {"search"},
    "sklearn": {"data", "trees"},
    "hydra": {"config.py", "cli.py", "run.py", "data", "search"},
    "omegaconf": {"config.py", "cli.py", "api.py", "data", "deploy.py", "search"},
    "unicorn": {"device"},
    "capstone": {"device"},
    "elftools": {"device"},
    "subprocess": {"core"},
    "multiprocessing": {"core"},
    "concurrent": {"core"},
    **{name: set() for name in ("pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "requests")},
    "yaml": {"guard.py"},
}
"""Where a package that is not ours may be imported at all."""

LIGHT = ("bitq/cli.py", "bitq/run.py", *(name for name in NAMES if name.endswith("config.py")))
"""Loaded before the configuration is known: they import nothing heavy at their top."""

WITHOUT_OWN_TEST = {
    "bitq/run.py": "tests/integration",
    "bitq/stages.py": "tests/integration",
    "bitq/deliver.py": "tests/integration",
    "bitq/experiment.py": "tests/integration",
    "bitq/sweep.py": "tests/integration",
    "bitq/pictures.py": "tests/integration",
    "bitq/api.py": "tests/contract",
    "bitq/core/plugins.py": "tests/test_cli.py",
    "bitq/data/config.py": "tests/test_config.py",
    "bitq/data/dataset.py": "tests/contract",
    "bitq/data/load.py": "tests/contract",
    "bitq/data/root.py": "tests/data/test_mnist.py",
    "bitq/lowering/builder.py": "tests/lowering/test_lower.py",
    "bitq/lowering/common.py": "tests/lowering/test_lower.py",
    "bitq/lowering/standins.py": "tests/lowering/test_calls.py",
    "bitq/lowering/forms.py": "tests/lowering/test_calls.py and tests/integration/test_forms.py",
    "bitq/lowering/instead.py": "tests/integration/test_forms.py",
    "bitq/lowering/imports": "tests/lowering",
    "bitq/lowering/recurrent.py": "tests/lowering/test_recurrence.py",
    "bitq/lowering/modules.py": "tests/lowering/test_lower.py",
    "bitq/lowering/trace.py": "tests/lowering/test_lower.py",
    "bitq/nn": "tests/contract",
    "bitq/codegen": "tests/codegen and tests/property",
    "bitq/codegen/ops": "tests/codegen and tests/property",
    "bitq/ir": "tests/ir and tests/property",
    "bitq/ir/ops": "tests/ir and tests/property",
    "bitq/device": "tests/device",
    "bitq/trees/convert.py": "tests/trees/test_fit.py",
    "bitq/trees/grow.py": "tests/integration",
    "bitq/sim": "tests/sim",
    "bitq/sim/ops": "tests/sim",
    "bitq/track": "tests/track",
    "bitq/rehearsal.py": "tests/integration/test_own_networks.py",
    "bitq/train/rehearse.py": "tests/integration/test_own_networks.py",
    "bitq/search/plugins/hydra_plugins": "tests/integration",
}
"""Modules, or packages with tests by subject, whose tests stand elsewhere, and where."""


def place(path: Path) -> str:
    """Return the package that a module belongs to, or its file name directly in bitq."""
    return path.relative_to(ROOT / "bitq").parts[0]


def imports(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written out in full"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and re.fullmatch(r"bitq(\.\w+)+:\w+", str(node.value)):
            # a registry's "module:attribute"
            found.add(node.value.replace(":", "."))
    return found


@EVERY
def test_imports_point_one_way(path):
    if (here := place(path)) in MAY_IMPORT:
        names = {name.split(".")[1] for name in imports(ast.parse(path.read_text())) if name.startswith("bitq.")}
        assert names <= {here, *MAY_IMPORT[here]}


@EVERY
def test_each_library_has_its_place(path):
    used = {name.partition(".")[0] for name in imports(ast.parse(path.read_text()))}
    strangers = {name for name in used & set(ONLY_IN) if place(path) not in ONLY_IN[name]}
    assert not strangers


@pytest.mark.parametrize("name", LIGHT)
def test_composing_a_configuration_imports_nothing_heavy(name):
    tree = ast.parse((ROOT / name).read_text())
    top = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
    heavy = {"torch", "numpy", "mlflow", "optuna", "sklearn", "matplotlib", "pytorch_lightning", "unicorn", "rich"}
    assert not {used.partition(".")[0] for used in imports(top)} & heavy


@EVERY
def test_data_is_never_code(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}
            assert not called.endswith(("instantiate", "yaml.load", "unsafe_load"))
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert options.get("shell", "False") == "False"
            if called == "torch.load":
                assert options.get("weights_only") == "True"
            if called in ("np.load", "np.lib.format.read_array"):
                assert options.get("allow_pickle") == "False"


@EVERY
def test_a_module_says_what_it_is_and_stays_short(path):
    assert ast.get_docstring(ast.parse(path.read_text()))
    assert len(path.read_text().splitlines()) <= 350


@EVERY
def test_a_module_has_a_test_of_its_name(path):
    name = path.relative_to(ROOT)
    has_code = any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in ast.parse(path.read_text()).body)
    if has_code and name.name != "__init__.py" and not {str(name), str(name.parent)} & set(WITHOUT_OWN_TEST):
        mirrored = ROOT / "tests" / name.parent.relative_to("bitq") / f"test_{path.stem.strip('_')}.py"
        assert mirrored.is_file(), f"write {mirrored.relative_to(ROOT)}"


def test_the_list_of_exceptions_names_what_exists():
    for name, where in WITHOUT_OWN_TEST.items():
        assert (ROOT / name).exists(), name
        for folder in where.split(" and "):
            assert (ROOT / folder).exists(), folder
