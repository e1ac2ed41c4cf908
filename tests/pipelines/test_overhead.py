"""The cost of a method is measured on whole trainings."""

import re

from bitq.config import compose
from bitq.data.load import load
from pipelines import overhead
from pipelines.methods import NETS


def test_every_method_and_bits_has_its_line(monkeypatch, capsys):
    monkeypatch.setattr(overhead, "EPOCHS", 1)
    assert overhead.main(["net=digits", "bits=1,2", "rounds=1"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.endswith("CPU s, 1 epochs")
    assert [line.split()[:3] for line in lines] == [["digits", "ste_msqe", "1"], ["digits", "ste_msqe", "2"]]
    assert all(re.search(r"\d\.\d\d +\d+\.\d\d +[+-]\d+\.\d%$", line) for line in lines)


def test_a_longer_training_costs_more(monkeypatch):
    data = load(compose([*NETS["digits"]]).data)
    monkeypatch.setattr(overhead, "EPOCHS", 1)
    short = overhead.cpu_seconds("digits", data, None, "")
    monkeypatch.setattr(overhead, "EPOCHS", 20)
    assert overhead.cpu_seconds("digits", data, None, "") > short > 0


def test_a_wrong_argument_ends_with_what_is_wrong(capsys):
    assert overhead.main(["round=1"]) == 2
    assert "unknown argument 'round'" in capsys.readouterr().err
