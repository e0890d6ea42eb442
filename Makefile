# One readable line a target. `make help` lists them; `make book` and `make test` need nothing but Python and make.
SHELL := /bin/bash
PYTHON ?= python3
# An active conda environment is used as it is (not its base); otherwise .venv is made.
CONDA := $(filter-out base,$(CONDA_DEFAULT_ENV))
ENV := $(if $(CONDA),$(CONDA_PREFIX),.venv)
BIN := $(ENV)/bin
READY := $(ENV)/.mmrec-ready
PYTEST := $(BIN)/python -m pytest -q
NBVAL := --nbval-lax --nbval-current-env --nbval-sanitize-with tests/book/nbval_sanitize.cfg --nbval-cell-timeout=600
OBTAIN := import mmrec_lib as mm; [print(mm.datasets.load(name)) for name in ("ml-100k", "stamps")]; mm.datasets.load_open_bandit()
export OMP_NUM_THREADS = 1
export PATH := $(abspath $(BIN)):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup data book test lint format unit coursework notebooks html offline colab lab links bench clean

help:       ## list the targets
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## */\1\t/' | expand -t 12

setup: $(READY)  ## make .venv (or use the active conda environment) and install everything in its tested version

$(READY): pyproject.toml constraints.txt tools/system_packages.sh
	PYTHON=$(PYTHON) tools/system_packages.sh venv
	test -n "$(CONDA)" || test -x $(BIN)/python || $(PYTHON) -m venv $(ENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[book,encoders,serve,dev]'
	touch $@

data: setup  ## obtain the data sets of the book (into datasets/.cache)
	$(BIN)/python -c '$(OBTAIN)'

book: setup  ## build the HTML book into _build/html
	$(BIN)/python tools/get_mathjax.py && $(BIN)/jupyter-book build . --all -n -W --keep-going --quiet

test: lint data unit coursework notebooks book html colab  ## all checks: what CI runs

lint: setup  ## style, import order of the rooms, spelling, form of the chapters
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports --no-logo && $(BIN)/codespell && $(PYTEST) tests/book/test_notebooks.py

format: setup  ## let ruff format and mend what it can
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

unit: data  ## unit tests
	$(PYTEST) -n 2 --dist loadscope tests --ignore tests/book --ignore tests/coursework

coursework: data  ## assignments: solutions, wrong answers, student versions, the grader
	$(PYTEST) -n 2 tests/coursework

notebooks: data  ## execute every chapter and compare its checked outputs
	tools/system_packages.sh checks
	$(PYTEST) -n 2 --dist loadscope $(NBVAL) chapters

html: offline  ## look at the built book, and at the archive of it, in a browser without a window
	tools/system_packages.sh checks
	$(PYTEST) -n 2 tests/book --ignore tests/book/test_notebooks.py

offline: book  ## pack the built book into one zip archive, to hand out and to read without a network
	$(BIN)/python tools/offline.py

colab: data  ## start every chapter as Colab does, with the oldest and with the newest versions of what it needs
	$(BIN)/python tools/environments.py

lab: data  ## open the chapters in JupyterLab
	$(BIN)/jupyter lab chapters

links: setup  ## write the set-up cells anew after a change of repository.url in _config.yml
	$(BIN)/python tools/notebooks.py setup

bench: data $(if $(DATA),.venv-recbole)  ## compare with other libraries on ml-100k; DATA=folder of Amazon Baby for the rest
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[bench]' && $(BIN)/python benchmarks $(DATA)

.venv-recbole:
	$(PYTHON) -m venv $@ && $@/bin/python -m pip install --quiet -r benchmarks/recbole-requirements.txt || (rm -rf $@; false)

clean:      ## remove what was built; keep .venv and the data
	rm -rf _build .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
