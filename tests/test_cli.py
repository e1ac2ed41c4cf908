"""The command line: mostly in this process, and a few real commands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bitq import cli
from bitq.core.errors import DataError
from bitq.core.processes import Interrupted

RUN = [sys.executable, "-m", "bitq.run"]


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Run the command line in an empty folder with a task that does nothing; returns code, message and config."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.signal, "signal", lambda number, handler: None)

    def run(*arguments, task=None):
        got = []
        monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
        monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
        code = cli.main(task or (lambda config, text: got.append(config)))
        return code, capsys.readouterr().err, got

    return run


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        # F01: unknown names
        (["quant.bitz=4"], "unknown key 'quant.bitz'. Did you mean 'bits'"),
        (["quant.colour=4"], "unknown key 'quant.colour'. Allowed: .*strength"),
        (["train.epoch=3"], "unknown key 'train.epoch'. Did you mean 'epochs'"),
        (["epochs=3"], "unknown key 'epochs'. Did you mean 'train.epochs'"),
        (["foo.bar=3"], "unknown key 'foo'. Allowed: data, "),
        (["+foo=3"], "unknown key 'foo'"),
        (["quant=bianry"], "quant=bianry: there is no such choice. Allowed: .*hq.*ste_msqe"),
        (["+experiment=mnits"], "experiment=mnits: there is no such choice. Did you mean 'mnist'"),
        (["model.channels=3"], "model.channels: the chosen model has no such field"),
        (["variants.binary.training=metod"], "variants.binary.training: .*Did you mean 'method'"),
        (["+variants.new={bits: 4}"], "unknown key 'variants.new.bits'"),
        # F02: wrong types, missing values
        (["train.epochs=four"], "train.epochs: .*'four'.*Integer"),
        (["train.epochs=4.5"], "train.epochs: .*'4.5'.*Integer"),
        (["train.epochs=true"], "train.epochs: .*'True'.*Integer"),
        (["train.epochs=null"], "train.epochs: .*not Optional"),
        (["model.hidden=3"], "model.hidden: .*int is not a ListConfig"),
        (["~train"], "train: a value is needed"),
        (["data=arrays"], "data.path: name the .npz file"),
        (["target=null"], "target=null: a run needs one; choose cortex_m0, "),
        # F03: not finite
        (["train.lr=nan"], "train.lr: must be finite"),
        (["train.lr=inf"], "train.lr: must be finite"),
        (["train.lr=1e400"], "train.lr: must be finite"),
        # F04: out of range
        (["train.epochs=0"], "train.epochs: 0 trains nothing"),
        (["train.epochs=-1"], "train.epochs: must be 0 to 100000, got -1"),
        (["train.batch=0"], "train.batch: must be 2 to 1000000 rows, got 0"),
        (["repeats=0"], "repeats: must be 1 to 10000 repeats"),
        (["model.hidden=[0]"], "model.hidden: each width must be 1 to 4096"),
        (["data=arrays", "data.path=a.npz", "data.rate_hz=-50"], "data.rate_hz: must be .* Hz, got -50"),
        (
            ["+search=lambda_bits", "search.space.bits.choices=[1,5]"],
            "search.space.bits.choices: choose among 1, 2, 3",
        ),
        (["+search=lambda_bits", "search.space.strength.low=20"], "search.space.strength: low ≤ high must hold"),
        (["+from_trial=study/3"], "from_trial=study/3: mlruns/sweeps/study/trials/3.json does not exist"),
        (
            ["+variants.x={policy: {a: int8}, settings: {data.seed: 1}}"],
            "variants.x.settings.data.seed: keys of model",
        ),
        (
            ["+variants.x={policy: {a: int8}, settings: {quant.strenght: 1}}"],
            "unknown key 'variants.x.quant.strenght'.*Did",
        ),
        (["+variants.x={policy: {a: int8}, settings: {quant.strength: a}}"], "variants.x.quant: Value 'a'.*Float"),
        (
            ["+variants.x={policy: {a: int8}, settings: {quant.strength: -1}}"],
            "variants.x.quant.strength: must be 0.0",
        ),
        (["target.flash_bytes=0"], "target.flash_bytes: must be 1 to"),
        (["+variants.A={training: float}"], "variants: 'A' becomes part of C symbols"),
        # F05: contradictions
        (["variants.float.training=method"], "variants.float: training 'method' and policy .* contradict"),
        (["data=arrays", "data.path=a", "data.val_fraction=0.6", "data.test_fraction=0.6"], "must be at most 0.9"),
        # F06: code
        (["+train._target_=os.system"], "'_target_' names code"),
        (["+hydra.callbacks.x._target_=os.system"], "'_target_' names code"),
        # F07: resolvers
        (["train.epochs=${oc.env:SECRET}"], "train.epochs: .*calls a resolver"),
        (["data.seed=${oc.decode:1}"], "data.seed: .*calls a resolver"),
        (["+variants.x={policy: {a: '${oc.env:SECRET}'}}"], "variants.x.policy.a: .*calls a resolver"),
        (["train.epochs=${train.nothere}"], "train.epochs: .*'train.nothere' not found"),
        # F09: names that are paths
        (["experiment=../../x"], "experiment=../../x: there is no such choice"),
        (["data=/etc/passwd"], "data=/etc/passwd: there is no such choice"),
        (["plugin=nothere.py"], "plugin=.*nothere.py: there is no such Python file"),
        (["train.epochs"], "'train.epochs' cannot be read as KEY=VALUE; .*quotes"),
        (["variants.x.policy.*=int8"], r"'variants.x.policy.\*=int8' cannot be read as KEY=VALUE"),
        (["+variants.x={policy: {a: int8}"], "cannot be read as KEY=VALUE"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_a_wrong_command_is_refused_and_leaves_nothing_behind(command, tmp_path, monkeypatch, arguments, says):
    monkeypatch.setenv("SECRET", "hunter2")
    code, message, got = command(*arguments)
    assert code == 2
    assert got == []
    assert message.startswith("bitq: ")
    assert message.count("\n") <= 2
    assert "Traceback" not in message
    assert "hunter2" not in message
    assert re.search(says, message), message
    assert list(tmp_path.iterdir()) == []


def test_a_right_command_reaches_the_task_with_checked_values(command):
    code, message, (config,) = command("+experiment=digits", "train.epochs=3", "+debug=smoke")
    assert (code, message) == (0, "")
    assert (config.experiment, config.train.epochs, config.repeats) == ("digits", 3, 1)


def test_nothing_can_be_chosen_of_what_a_run_may_go_without(command):
    code, _, got = command("+experiment=null", "search=lambda", "search=null", "debug=null")
    assert (code, got[0].search) == (0, None)


def test_a_variant_can_be_added(command):
    _, _, (config,) = command("+variants.two={policy: {*: odd2}}")
    assert config.variants["two"].policy == {"*": "odd2"}
    assert config.variants["two"].training == "method"


def test_a_multirun_goes_on_after_a_bad_job_and_still_fails(command):
    code, message, got = command("-m", "train.epochs=-1,2")
    assert code == 2
    assert "got -1" in message
    assert [c.train.epochs for c in got] == [2]


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (DataError("a.csv:3: empty"), 3, "bitq: a.csv:3: empty\n"),
        (KeyboardInterrupt(), 130, "bitq: interrupted.\n"),
        (Interrupted(15), 143, "bitq: ended by SIGTERM.\n"),
        (Interrupted(1), 129, "bitq: ended by SIGHUP.\n"),
    ],
)
def test_an_outcome_has_its_exit_code(command, error, code, says):
    def task(config, text):
        raise error

    assert command("data=digits", task=task)[:2] == (code, says)


def test_a_traceback_is_shown_when_it_is_asked_for(command):
    def task(config, text):
        raise DataError("why")

    _, message, _ = command("traceback=true", task=task)
    assert "Traceback" in message
    assert message.endswith("bitq: why\n")


def test_a_run_folder_that_cannot_be_made_is_a_line(command, tmp_path):
    (tmp_path / "outputs").write_text("")
    code, message, _ = command("data=digits")
    assert code == 2
    assert message.startswith("bitq: cannot make the run folder outputs/")


def test_a_plugin_registers_before_the_configuration_is_composed(command, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("import os\nos.environ['PLUGIN'] = 'seen'\n")
    code, _, _ = command(f"plugin={path}", task=lambda config, text: None)
    assert code == 0
    assert os.environ.pop("PLUGIN") == "seen"


def test_help_names_every_group(command, capsys):
    assert command("--help")[0] == 0
    for group in cli.GROUPS:
        assert group in cli.usage()


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["quant.bitz=4"], "quant.bitz"), (["train.lr=nan"], "train.lr"), (["+experiment=mnits"], "'mnist'")],
)
def test_a_real_command_refuses_with_code_2_and_one_line(tmp_path, arguments, says):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    assert list(tmp_path.iterdir()) == []


PROBE = """
import sys
from bitq.cli import main
sys.argv = ["run.py", "--cfg", "job", "+experiment=mnist"]
main(lambda config, text: None)
heavy = {"torch", "mlflow", "optuna", "sklearn", "matplotlib", "pytorch_lightning", "numpy"} & set(sys.modules)
print("HEAVY", sorted(heavy))
"""


def test_showing_the_configuration_is_quick_and_loads_nothing_heavy(tmp_path):
    before = os.times()
    done = run("--cfg", "job", "+experiment=mnist", cwd=tmp_path)
    after = os.times()
    assert done.returncode == 0
    assert "epochs:" in done.stdout
    used = after.children_user + after.children_system - before.children_user - before.children_system
    assert used <= 0.6  # the bar is 0.5 s on a machine at rest
    shown = subprocess.run([sys.executable, "-c", PROBE], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert shown.stdout.splitlines()[-1] == "HEAVY []", shown.stdout[-300:]
