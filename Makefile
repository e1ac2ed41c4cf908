# make run | test | test-long | check | ui — the first use of any of them makes the environment.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
# Recordings beside the checkout are used when they are there.
export BITQ_DATA ?= $(if $(wildcard ../shared/data),../shared/data,)

.PHONY: run test test-long check ui clean

run: $(VENV)/ready
	$(PY) -m bitq.run +experiment=face2wake

test: $(VENV)/ready
	$(PY) -m pytest -m "not long"

test-long: $(VENV)/ready
	$(PY) -m pytest -m long --timeout 3600

check: $(VENV)/ready
	$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m pyright

ui: $(VENV)/ready
	$(PY) -m bitq.ui

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[emulator,onnx,dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
