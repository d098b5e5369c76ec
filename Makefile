# Two commands do everything on a bare machine with Python 3.11:
#   make repro   environment, then the whole loop on the rendered sample (dvc repro)
#   make test    environment, then style, types, layers and tests
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8

# Nothing leaves the machine unasked (DVC's own switch stands in .dvc/config).
export FIFTYONE_DO_NOT_TRACK := true
export GRADIO_ANALYTICS_ENABLED := False
export HF_HUB_DISABLE_TELEMETRY := 1
export DVC_NO_ANALYTICS := 1

.PHONY: help setup repro test check docs label-studio clean
help:
	@echo "make repro   set up, then run the whole loop on the rendered sample"
	@echo "make test    set up, then check style, types and layers and run the tests"
	@echo "make docs    renew the generated parts of the documentation"
	@echo "make label-studio   start a Label Studio server on this machine, in an environment of its own"
	@echo "make clean   remove the environment and every cache (never the ledger)"

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v == (3, 11) else f"repset needs Python 3.11, found {v[0]}.{v[1]}. Install it, or name it: make PYTHON=/path/to/python3.11")'
	"$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

repro: setup
	@PATH="$(CURDIR)/$(BIN):$$PATH" dvc repro
	@echo "Done. Open report.html in a browser."

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest

docs: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tools/docs.py

label-studio: setup
	$(BIN)/python tools/label_studio_server.py

clean:
	rm -rf $(VENV) .repset .mypy_cache .ruff_cache .pytest_cache .hypothesis
