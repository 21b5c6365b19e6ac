# Every target works on a fresh machine with only Python >= 3.11: it makes .venv, installs what it needs, runs.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null \
	&& { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
# Those of `bench-peers` and `soak` are not among them. The last line needs data beyond the package index.
BENCHES := streams speed main_job sizing threads rare simulator learning depth gradient plasticity continual drift monitor calibration \
	regression river_tracks forecast targets time late live dashboard outlets fleet fleet-share \
	$(if $(LOCO_STREAM_DATA),wide permutations paper nettalk tables codes keel watch)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Workers of the tests: half of the time is waiting. Tests of one file stay together: their kernels are compiled once.
JOBS ?= 4
WORKERS := -n $(JOBS) --dist loadfile --no-loadscope-reorder
# Hundreds of tests talk to real brokers, files that grow and browsers: CI runs one that fails once more, and lists it.
RERUNS := $(if $(CI),--reruns 1 -r aR)
# The tested set; `make CONSTRAINTS= ...` takes the newest releases that pyproject.toml allows.
CONSTRAINTS ?= tests/constraints.txt
WITH := $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))

.PHONY: help demo docs test fuzz test-slow check matrix coverage dist wheel bench bench-peers pictures soak clean
help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "loco-stream needs Python 3.11 to 3.14 on the PATH (or: make PYTHON=/path/to/python ...)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(PIP) $(WITH) -e '.[plot,dashboard]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(PIP) $(WITH) -e '.[test,check,docs]'
	@touch $@ $(VENV)/.installed $(VENV)/.installed-docs

$(VENV)/.installed-docs: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(PIP) $(WITH) -e '.[docs]'
	@touch $@

demo: $(VENV)/.installed ## a live run on a real stream: table, out/report.json, out/report.png; offers the live page
	@mkdir -p out
	$(BIN)/loco-stream run river:ImageSegments --seed 1 --report out/report.json --plot out/report.png
	@$(BIN)/loco-stream demo machine --ask --seconds 60 --port 0

docs: $(VENV)/.installed-docs ## the guide, in out/docs; a warning is an error
	$(BIN)/python -m sphinx -W --keep-going -q -b html -d out/doctrees docs out/docs

test: $(VENV)/.installed-dev ## the tests, about a quarter of an hour on two cores; CI runs them
	$(BIN)/python -m pytest $(WORKERS) $(RERUNS) -m 'not slow'

test-slow: $(VENV)/.installed-dev ## the long tests: kills, whole tutorials, benches in small, demos
	$(BIN)/python -m pytest $(WORKERS) -m slow

check: $(VENV)/.installed-dev ## style, types, the import rule and CI's workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/actionlint -shellcheck= .github/workflows/*.yml # the same on machines without ShellCheck

matrix: $(VENV)/.installed-dev ## the distribution's Python, the lowest and newest dependencies
	PYTHON=$(PYTHON) .ci/matrix

fuzz: $(VENV)/.installed-dev ## damaged messages, rows, tables, models and checkpoints for a minute; LOCO_SOAK=1: an hour
	$(BIN)/python -m pytest -s tests/fuzz

coverage: $(VENV)/.installed-dev ## which lines the quick tests reach, in the workers and in the commands that they start
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(WORKERS) --reruns 1 -m 'not slow' # all is twice as slow
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

dist: $(VENV)/.installed-dev ## sdist and wheel, in dist/
	rm -rf dist
	$(BIN)/python -m build

wheel: dist ## the wheel for this system and Python too, with machine code; its first start compiles nothing
	PYTHON=$(BIN)/python .ci/wheel dist/*-none-any.whl dist

bench: $(VENV)/.installed-dev ## our own figures, written to benchmarks/RESULTS.md (a day; more with LOCO_STREAM_DATA=DIR)
	for name in $(BENCHES); do $(BIN)/python -m benchmarks $$name || exit; done
	$(BIN)/python -m benchmarks report --output benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks age

bench-peers: $(VENV)/.installed-dev ## the same tasks on other libraries, in environments of their own (hours; QUICK=1: minutes)
	PYTHON=$(BIN)/python benchmarks/peers/peers.sh $(if $(QUICK),--quick)

pictures: $(VENV)/.installed-dev ## those of the guide whose code changed, and those of the README; needs Chromium
	$(BIN)/python docs/pictures.py
	$(BIN)/loco-stream run river:ImageSegments --seed 1 --quiet --plot demos/images/run.png
	$(BIN)/python docs/screenshots.py --guide
	$(BIN)/loco-stream demo events --headless --recording out/events.npz --plot demos/images/events.png
	$(BIN)/python docs/drawn.py run events

soak: $(VENV)/.installed-dev ## kills, mutations, hostile peers, ten million rows at full count (an hour)
	LOCO_SOAK=1 $(BIN)/python -m pytest -m slow
	$(BIN)/python -m benchmarks soak

clean: ## remove what the targets above made
	rm -rf $(VENV) out build dist *.egg-info .numba_cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
